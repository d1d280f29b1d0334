/* SPDX-License-Identifier: Apache-2.0 */
/* Figures for people, in docker's words: sizes, times ago, short ids. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/clock.h"

#define HUMAN_MAX 40

struct human {
	char z[HUMAN_MAX];
};

struct human human_size(uint64_t bytes);	 /* "1.98MB", powers of 1000, three figures */
struct human human_size4(uint64_t bytes);	 /* "1.984MB", four figures */
struct human human_memory(uint64_t bytes);	 /* "7.5MiB", powers of 1024 */
struct human human_ago(nsec_t then, nsec_t now); /* "5 minutes ago", "N/A" for never */
struct human human_time(nsec_t wall);		 /* "2026-11-21 06:01:04 +0000 UTC" */
struct human human_percent(uint64_t part, uint64_t whole); /* "12.34%" */

/* 12 digits of an id, without "sha256:"; the whole id when !truncate. */
const char *human_id(struct arena *a, const char *id, bool truncate);

/* At most max characters (not bytes), the last one "…" when something was cut. */
const char *human_ellipsis(struct arena *a, const char *text, size_t max);

/* Control characters made visible, so that a name or a command can't play with the terminal. */
const char *human_clean(struct arena *a, const char *text);
