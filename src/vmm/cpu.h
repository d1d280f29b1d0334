/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a virtual processor is: its CPUID tables, model-specific registers, and the state in which
 * the first one enters the kernel.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "vmm/hypervisor.h"

/* Before its first run; id < cpus. */
[[nodiscard]] int cpu_setup(const struct hypervisor *h, int vcpu_fd, unsigned id, unsigned cpus,
			    struct err *e);
/* PVH: 32-bit protected mode without paging, EBX points to the start information. */
[[nodiscard]] int cpu_enter(int vcpu_fd, uint32_t entry, uint64_t start_info, struct err *e);
