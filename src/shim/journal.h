/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines into systemd's journal by its native protocol: one datagram per entry, fields as NAME=text
 * or, for any bytes, NAME, line end, length as le64, bytes (systemd.io/JOURNAL_NATIVE_PROTOCOL).
 * A journal that does not take an entry at once loses it, counted: the workload does not wait.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "proto/shim.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

struct journal {
	int fd;				     /* owned; connected, non-blocking */
	const char *id, *name, *image, *tag; /* borrowed */
	uint64_t lost;
};

/* -errno: nothing listens there. */
[[nodiscard]] int journal_open(struct journal *j);
void journal_close(struct journal *j);
/* text without its line end; partial: more of the line follows. */
void journal_add(struct journal *j, enum shim_stream stream, struct str text, bool partial);
