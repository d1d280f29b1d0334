/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All that KVM knows of a virtual processor, as bytes, and back: registers, what they mean to the
 * guest (CPUID), pending events, the local APIC, the clock's counter. The processor does not run;
 * any thread may ask. The bytes are KVM's own structures for x86: for one program on one kind of
 * processor, not for ever.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "vmm/hypervisor.h"

[[nodiscard]] int cpu_state_save(const struct hypervisor *h, int vcpu_fd, struct buf *to,
				 struct err *e);
/*
 * Into a new processor, the id-th of `cpus`, before its first run. INVALID: these are no such
 * bytes; UNSUPPORTED: this host's processor, or its KVM, lacks what the guest has seen, and *e
 * names it.
 */
[[nodiscard]] int cpu_state_restore(const struct hypervisor *h, int vcpu_fd, unsigned id,
				    unsigned cpus, struct str state, struct err *e);
