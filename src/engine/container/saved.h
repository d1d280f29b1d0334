/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small files of JSON in a workload's state directory, one for each part of an instance that has
 * something of its own to remember. Written by one rename, not synced: they do not outlive a boot.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "engine/engine.h"
#include "fmt/json.h"

/* *text: what a json_writer made, its failure included. */
[[nodiscard]] int saved_write(int state_fd, const char *name, const struct buf *text,
			      struct err *e);
/*
 * Decode at most max bytes into *to by the table, the texts in the arena. *ret_found: false when
 * there is no file.
 */
[[nodiscard]] int saved_read(struct arena *a, int state_fd, const char *name, size_t max,
			     const struct json_table *t, void *to, bool *ret_found, struct err *e);

/*
 * An instance whose process on the host is all of it, as it was saved: whether that is there still,
 * with its pidfd, given; its state by that. What its creator left unfinished is FAILED.
 */
void saved_process(struct instance *in, const char *state, int64_t pid, uint64_t ident);
/* Frozen or not decides, whoever did it: RUNNING or PAUSED by that; the others stay. */
enum engine_state saved_frozen(enum engine_state saved, bool frozen);
