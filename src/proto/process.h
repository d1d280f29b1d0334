/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process as lists show it (struct engine_process of engine/engine.h), as our protocols carry it.
 */
#pragma once

#include <stdint.h>

#include "proto/fields.h"

struct process_fields {
	uint64_t pid, ppid, uid;
	uint64_t cpu_ns;
	uint64_t age_ns;      /* since it began */
	const char *state;    /* "S": as ps shows it */
	const char *terminal; /* "pts/0"; "": none */
	const char *name, *command;
	uint64_t resident_bytes, virtual_bytes;
};

/* From *p into the initializer of either structure: both name them alike. */
/* clang-format off */
#define PROCESS_FIGURES(p) \
	.pid = (p)->pid, \
	.ppid = (p)->ppid, \
	.uid = (p)->uid, \
	.cpu_ns = (p)->cpu_ns, \
	.age_ns = (p)->age_ns, \
	.state = (p)->state, \
	.terminal = (p)->terminal, \
	.name = (p)->name, \
	.command = (p)->command, \
	.resident_bytes = (p)->resident_bytes, \
	.virtual_bytes = (p)->virtual_bytes
/* clang-format on */

extern const struct field_layout process_layout;
