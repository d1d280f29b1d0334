/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual processors: a thread each that runs the guest and serves its exits, and the gate
 * that holds them all for a pause. A processor's thread touches no device: it goes through
 * vmm/pci, which sends errands.
 *
 *    runs --(gate closed)--> at the gate --(opened)--> runs --(guest ends or fails)--> parked
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vmm/errand.h"
#include "vmm/hypervisor.h"
#include "vmm/serial.h"

struct ioapic;
struct pci;

enum vcpus_end {
	VCPUS_RUN,
	VCPUS_OFF,    /* the guest powered off */
	VCPUS_RESET,  /* or reset itself, also by a triple fault */
	VCPUS_FAILED, /* KVM could not go on: vcpus.why */
};

struct vcpus;

struct vcpu {
	struct vcpus *all;
	unsigned id;
	int fd;		     /* owned */
	struct kvm_run *run; /* mapped */
	pthread_t thread;
	uint64_t seen;	/* the last of vcpus.closings it stood for; under the gate's lock */
	uint64_t exits; /* written by its thread alone */
};

struct vcpus {
	struct vcpu v[VCPUS_MAX];
	unsigned n;
	struct pci *pci;	   /* borrowed */
	struct serial *serial;	   /* borrowed */
	struct ioapic *ioapic;	   /* borrowed */
	struct errands *errands;   /* borrowed */
	bool filtered;		   /* each thread gives up the system calls it does not need */
	pthread_mutex_t port_lock; /* the serial port; a leaf */
	/* The gate. Its lock is a leaf, but for that of the errands. */
	pthread_mutex_t lock;
	pthread_cond_t opened;
	bool closed;
	uint64_t closings;		   /* how often it was closed since the start */
	unsigned at_gate;		   /* who has seen the last closing */
	struct errand all_at_gate;	   /* runs `paused` */
	void (*paused)(struct vcpus *all); /* set by the owner: on the loop's thread */
	/* The end: the first that comes counts. */
	enum vcpus_end end;
	struct err why;
	struct errand ended;		 /* runs `over` */
	void (*over)(struct vcpus *all); /* set by the owner: on the loop's thread */
};

/* n processors; none runs. */
[[nodiscard]] int vcpus_init(struct vcpus *all, const struct hypervisor *h, unsigned n,
			     struct err *e);
/* They are as after a reset, but the first is about to enter the kernel. */
[[nodiscard]] int vcpus_enter(struct vcpus *all, const struct hypervisor *h, uint32_t entry,
			      struct err *e);
/* Start the threads; they wait at the gate, which is closed. */
[[nodiscard]] int vcpus_start(struct vcpus *all, struct err *e);
/* On the loop's thread: close the gate; `paused` follows when all stand there. */
void vcpus_pause(struct vcpus *all);
void vcpus_resume(struct vcpus *all);
