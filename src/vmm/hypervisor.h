/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One virtual machine of KVM and its virtual processors' descriptors: opened, its features asked
 * for, its slots and event descriptors set. What they mean is the others' business.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct kvm_run;
struct kvm_irq_routing;

#define VCPUS_MAX 16
/* Interrupt lines for hypervisor_wire(). */
#define HYPERVISOR_LINES_MAX 256

struct hypervisor {
	int kvm_fd, vm_fd; /* owned */
	size_t run_bytes;  /* of each virtual processor's shared page(s) */
	bool read_only;	   /* slots can be so */
	/* Owned: what the lines that were ever wired lead to; KVM is told all of it at each change.
	 */
	struct kvm_irq_routing *routes;
	size_t xsave_bytes; /* of a processor's vector registers */
};

/* Takes kvm_fd. UNSUPPORTED: this KVM lacks what we need. */
[[nodiscard]] int hypervisor_init(struct hypervisor *h, int kvm_fd, struct err *e);
void hypervisor_fini(struct hypervisor *h);

[[nodiscard]] int hypervisor_slot(const struct hypervisor *h, unsigned slot, uint64_t gpa,
				  uint64_t size, void *hva, bool read_only, struct err *e);
/*
 * From now on KVM keeps account of which pages of a slot, which is as hypervisor_slot() made it,
 * the guest changes. 0 or -errno.
 */
[[nodiscard]] int hypervisor_track(const struct hypervisor *h, unsigned slot, uint64_t gpa,
				   uint64_t size, void *hva);
/* Which it has changed since it was last asked: a bit per page. 0 or -errno. */
[[nodiscard]] int hypervisor_changed(const struct hypervisor *h, unsigned slot, uint64_t *ret_bits);
/*
 * Every write to this address, of any width, adds to event_fd (borrowed) instead of exiting; or
 * does so no more. 0 or -errno.
 */
[[nodiscard]] int hypervisor_doorbell(const struct hypervisor *h, uint64_t gpa, int event_fd,
				      bool on);
/* Send a message-signalled interrupt. Which the guest made up: what cannot be delivered is not. */
void hypervisor_signal(const struct hypervisor *h, uint64_t address, uint32_t data);
/*
 * Whatever is added to event_fd (borrowed) sends this interrupt, without a thread of ours; or does
 * so no more. What was added before is sent now, what is added afterwards stays in it. A line has
 * one event_fd at a time. On one thread. 0 or -errno: nothing has changed.
 */
[[nodiscard]] int hypervisor_wire(const struct hypervisor *h, unsigned line, int event_fd,
				  uint64_t address, uint32_t data);
[[nodiscard]] int hypervisor_unwire(const struct hypervisor *h, unsigned line, int event_fd);
/* A virtual processor: gives its descriptor and its shared pages. */
[[nodiscard]] int hypervisor_vcpu(const struct hypervisor *h, unsigned id, int *ret_fd,
				  struct kvm_run **ret_run, struct err *e);
