/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast a machine's disks and cards may go: what linux.resources says of them. A limit of a
 * device of the host is one of all disks whose bytes lie there, as the host's caches stand between
 * them and that device; "atoll".disks names them by their place in the machine.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fmt/spec.h"

#define RATES_DISKS_MAX 8

struct rates_disk {
	uint32_t major, minor; /* where its bytes lie: of its file's file system, or its own */
	struct spec_rate rate;
};

struct rates {
	struct rates_disk disks[RATES_DISKS_MAX];
	size_t disks_n;
	struct spec_rate network;
};

/* One more disk, without limits. Borrows fd. false: there are too many. */
bool rates_add_disk(struct rates *s, int fd);
/*
 * What the resources say, over what is so by now; what they do not speak of stays. Bits: which
 * disks they speak of, and RATES_NETWORK. *s may be a copy.
 */
#define RATES_NETWORK (1u << 31)
uint32_t rates_apply(struct rates *s, const struct spec_resources *r);
/* Of the disks that the resources name by number, the first that is not there, or -1. */
int rates_missing(const struct rates *s, const struct spec_resources *r);
bool rates_limit(const struct spec_rate *r); /* whether it is one */
