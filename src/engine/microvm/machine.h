/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's processes: which programs, with which arguments and descriptors. */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"

struct guest;
struct network;
struct proxied;

#define MACHINE_CPUS_MAX 16

struct machine {
	bool emulated;			   /* QEMU's emulation instead of KVM */
	const char *qemu;		   /* its program, where it is needed */
	int kernel, initrd;		   /* borrowed */
	int restore_state, restore_memory; /* borrowed: a snapshot in place of these; FD_NONE */
	int kvm; /* borrowed, unless emulated: below a cgroup it may be forbidden to open it */
};

/* How machines are made here. UNSUPPORTED: neither KVM nor QEMU. cache_fd: kvm.h. */
[[nodiscard]] int machine_find(struct arena *a, int cache_fd, struct machine *ret_m, struct err *e);
/*
 * Start it, as the proxy's children: a monitor, and the devices that are not in it. Its vsock
 * listens at PROXY_VSOCK in state_fd, its monitor at PROXY_CONTROL; what comes to the host's hello
 * port is given in *ret_hello.
 */
[[nodiscard]] int machine_start(const struct machine *m, struct arena *a, struct proxied *p,
				const struct guest *g, const struct network *net, int state_fd,
				int *ret_hello, struct err *e);
