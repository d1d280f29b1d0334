/* SPDX-License-Identifier: Apache-2.0 */
/* The duties of a guest's PID 1. */
#pragma once

#include "base/err.h"
#include "proto/agent.h"

#define MACHINE_RUN    "/run/atoll"
#define MACHINE_SHARES MACHINE_RUN "/shares"

/*
 * From what the kernel leaves to a machine that can talk to its host: standard streams, a root that
 * can be left, file systems, control groups, and of the modules those for vsock. What does not
 * succeed is said in the log and kept for machine_problems(): the host decides whether it can do
 * without.
 */
void machine_boot(void);
/*
 * Where containers can be made: the other modules that there is a device for, shares. Once, before
 * anything is asked of the machine; the host has its first message meanwhile, and is busy itself.
 * Problems from here on are only said in the log.
 */
void machine_complete(void);
/* What a machine is not given before it needs it: a file system to write to (ext4). */
void machine_modules(void);
/* One sentence each; borrowed. */
struct field_strings machine_problems(void);

[[nodiscard]] int machine_setup(const struct agent_setup *m, struct err *e);
/* Use so many of the processors that the machine has: the first ones. */
[[nodiscard]] int machine_processors(uint64_t online, struct err *e);
[[nodiscard]] int machine_reseed(const struct agent_reseed *m, struct err *e);
/* A sysctl of the machine itself, by its name with dots or slashes. */
[[nodiscard]] int machine_sysctl(const char *key, const char *value, struct err *e);
/* What was written through mappings of files gets to the shares. */
void machine_flush(void);
[[gnu::noreturn]] void machine_off(void);
