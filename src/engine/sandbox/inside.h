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
#include "engine/pod.h"

struct json;
struct spec;
struct spec_memory;
struct spec_mount;
struct spec_process;
struct spec_resources;

/*
 * `given`: the document that the spec was decoded from. memory: bytes that it may use; of a pod's
 * sandbox the whole pod may. 0: no limit.
 */
void inside_config(struct buf *out, const struct spec *s, const struct json *given,
		   enum pod_role pod, uint64_t memory);
/* A process alone, for an exec. */
void inside_process(struct buf *out, const struct spec_process *p);

/*
 * A pod's /dev/shm is a file system of its kernel's memory, which all of its containers map, as
 * files of the host could not be: a bind there is none of the host's.
 */
bool inside_is_pod_shm(const struct spec_mount *m, enum pod_role pod);

/*
 * Of linux.resources the host's part: all but the number of processes and devices, and of memory
 * what the sandbox's programs take beside the guest's. In the arena; NULL: out of memory.
 */
struct spec_resources *inside_host_part(struct arena *a, const struct spec *s);
/* The same of a guest's memory that is to be so large: bytes of limit and swap. */
void inside_host_memory(struct spec_memory *m, uint64_t memory);
/* The same of a pod's sandbox: what all of its containers may have. */
struct spec_resources *inside_pod_part(struct arena *a, const struct pod_size *size);
/* Bytes that a guest may use within so many of the host; 0: no limit. */
uint64_t inside_memory_within(uint64_t host);
/* Bytes that the guest may use; 0: no limit was given. */
uint64_t inside_memory(const struct spec *s);
