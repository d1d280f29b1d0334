/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a spec becomes for atoll-sentry: a config.json with what a sandbox does. What the host does
 * for it (control groups, hooks), and what only the host's kernel has (AppArmor, SELinux, rules of
 * its device cgroup), is left out: the workload has nothing of the host that these would be about.
 * Pure.
 */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

struct json;
struct spec;
struct spec_mount;
struct spec_process;
struct spec_resources;

/* `given`: the document that the spec was decoded from. */
void inside_config(struct buf *out, const struct spec *s, const struct json *given);
/* A process alone, for an exec. */
void inside_process(struct buf *out, const struct spec_process *p);

bool inside_is_bind(const struct spec_mount *m);

/*
 * Of linux.resources the host's part: all but the number of processes and devices, and of memory
 * what the sandbox's programs take beside the guest's. In the arena; NULL: out of memory.
 */
struct spec_resources *inside_host_part(struct arena *a, const struct spec *s);
/* Bytes that the guest may use; 0: no limit was given. */
uint64_t inside_memory(const struct spec *s);
/* memory.swap; 0: not given. Processes that it may have; -1: no limit was given. */
int64_t inside_swap(const struct spec *s);
int64_t inside_pids(const struct spec *s);
