/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the creation of a workload prepares on the host, whether it gets a kernel of its own
 * (create.c) or joins a pod's (member.c): control groups, its config.json and filter, who serves
 * its files, its streams.
 */
#pragma once

#include "engine/pod.h"
#include "engine/sandbox/network.h"
#include "engine/sandbox/sandbox.h"
#include "engine/sandbox/shares.h"
#include "engine/sandbox/terminal.h"

/* What a create holds besides the instance. */
struct making {
	struct sandbox *s;
	const struct bundle *b;
	struct pod_name pod;
	int restore_fd; /* borrowed: a checkpoint; FD_NONE: it begins */
	struct terminal terminal;
	struct shares shares;
	struct sandbox_network network;
	int gofer_fd, broker_fd, config_fd, seccomp_fd, control_fd, log_fd, end_fd; /* owned */
	int lock_fd; /* owned: of the pod */
};

/* The instance is begun with it: -ENOMEM. Also then making_fini(). */
[[nodiscard]] int making_init(struct making *k, struct instance *in, const struct bundle *b);
void making_fini(struct making *k);

/* First: the state directory. */
[[nodiscard]] int making_state(struct making *k, struct err *e);
/* Limits that nobody would enforce are refused, not forgotten; its memory is its own limit. */
[[nodiscard]] int making_groups(struct making *k, struct err *e);
/* What it is told of its config.json. After the groups, which may say how large a pod is. */
[[nodiscard]] int making_config(struct making *k, struct err *e);
/* linux.seccomp judges what is called inside; of the host's calls the workload makes none. */
[[nodiscard]] int making_filter(struct making *k, struct err *e);
/* Its log; in the groups who serves it files; its streams. */
[[nodiscard]] int making_files(struct making *k, struct err *e);
/* A file of the state directory, empty. Gives. */
[[nodiscard]] int making_open(const struct making *k, const char *name, struct err *e);
/* That one of its streams, borrowed. */
int making_stream(const struct making *k, size_t n);
