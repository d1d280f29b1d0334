/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linux.intelRdt: the container in a class of service of the kernel's resctrl file system, and with
 * enableMonitoring in a monitoring group of its own. A class that closID names and that was there
 * before stays and must be as the spec says; one that was made for the container goes with it.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct spec_intel_rdt;

struct rdt {
	char *class;   /* owned: the class's directory; NULL: none */
	char *monitor; /* owned: the monitoring group's; NULL: none */
	bool class_made;
};

[[nodiscard]] int rdt_check(const struct spec_intel_rdt *s, struct err *e);
/* Make or find both; what was made is in *ret also on failure, for rdt_remove. */
[[nodiscard]] int rdt_make(const struct spec_intel_rdt *s, const char *id, struct rdt *ret,
			   struct err *e);
[[nodiscard]] int rdt_enter(const struct rdt *r, pid_t pid, struct err *e);
/* Another schemata: of an update. */
[[nodiscard]] int rdt_update(const struct rdt *r, const struct spec_intel_rdt *s, struct err *e);
void rdt_remove(const struct rdt *r); /* what was made; nothing that is in use by others */
void rdt_fini(struct rdt *r);

/* A file of the state directory; none is written, and found, for a container without. */
[[nodiscard]] int rdt_save(const struct rdt *r, int state_fd, struct err *e);
[[nodiscard]] int rdt_load(struct rdt *ret, int state_fd, struct err *e);
