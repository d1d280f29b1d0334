/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole machine: memory, processors, bus and devices, made of options, run to its end on the
 * calling thread's loop, and on those of the disks.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/loop.h"
#include "vmm/control.h"
#include "vmm/errand.h"
#include "vmm/hypervisor.h"
#include "vmm/ioapic.h"
#include "vmm/options.h"
#include "vmm/pci.h"
#include "vmm/ram.h"
#include "vmm/serial.h"
#include "vmm/vcpu.h"
#include "vmm/worker.h"

struct machine {
	struct loop loop;
	struct hypervisor hypervisor;
	struct ram ram;
	struct errands errands;
	struct pci pci;
	struct serial serial;
	struct ioapic ioapic;
	struct vcpus vcpus;
	struct workers workers; /* of the disks, in their order */
	struct control control;
	struct virtio_device *balloon; /* borrowed of pci; NULL: none */
	bool paused;
	bool restored; /* its devices have not gone on yet */
	bool tracked;  /* changes of its memory are kept account of, since a snapshot or restore */
};

/* Opens what the options name; takes the descriptors they name. Nothing runs yet. */
[[nodiscard]] int machine_init(struct machine *m, const struct options *o, struct err *e);
/*
 * From here on a thread per processor and disk; filtered: with filters of system calls. paused: it
 * stands until it is asked to resume.
 */
void machine_resume(struct machine *m); /* also of a machine that runs */
[[nodiscard]] int machine_run(struct machine *m, bool filtered, bool paused, struct err *e);
