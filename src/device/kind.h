/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kinds of devices that atoll-device serves: a table in main.c, one file or more for each. A
 * kind reads its own options and makes a device; main confines the process to what the kind
 * needs, then serves the device.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "sys/filter.h"
#include "virtio/device.h"

#define DEVICE_WORDS_MAX 256 /* options, and descriptors kept */

struct device_word {
	const char *name;  /* without "--" */
	const char *value; /* never NULL */
};

/* One run of the program. */
struct device_run {
	struct loop loop;
	const struct guest_memory *memory;
	struct device_word words[DEVICE_WORDS_MAX]; /* those that main does not know */
	size_t words_n;
	int keep[DEVICE_WORDS_MAX + 2]; /* descriptors that stay open: see device_fd() */
	size_t keep_n;
};

struct device_kind {
	const char *name;
	const char *usage;		  /* of its own options: "--cid N ..." */
	uint64_t capabilities;		  /* kept: bit n is capability n */
	const struct seccomp_rule *calls; /* beyond those that every kind makes */
	size_t calls_n;
	bool threads;	/* it makes some, each with a umask of its own */
	unsigned ioctl; /* the one request it makes, 0: none */
	/* Before the process is confined. INVALID: an option it has not, or a bad value. NULL: it
	 * is no device. */
	struct virtio_device *(*make)(struct device_run *run, struct err *e);
	/* Of what is no device, instead of make and run: it serves the connected socket itself. */
	int (*begin)(struct device_run *run, int socket, struct err *e);
	int (*serve)(void (*abandon)(void), struct err *e);
	void (*end)(void);
	/* Optional, instead of loop_run(): run the loop until it is stopped. abandon() ends the
	 * process where that cannot be waited for. */
	int (*run)(struct virtio_device *d, void (*abandon)(void), struct err *e);
};

extern const struct device_kind device_fs, device_gofer, device_net, device_vsock;

/* "fd:N": an open descriptor, which stays open. 0, or INVALID. */
[[nodiscard]] int device_fd(struct device_run *run, const char *value, int *ret_fd, struct err *e);
/* A word that the kind has no use for: fills *e, NULL. */
struct virtio_device *device_unknown(const struct device_word *w, struct err *e);
