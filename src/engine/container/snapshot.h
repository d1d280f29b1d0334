/* SPDX-License-Identifier: Apache-2.0 */
/* What a dump (snapshot.c) and a restore (restore.c) of a container share. */
#pragma once

#include "base/err.h"
#include "engine/engine.h"
#include "fmt/criu.h"

#define SNAPSHOT_NET_KEY "extRootNetNS" /* runc's and crun's names of joined namespaces */
#define SNAPSHOT_PID_KEY "extRootPidNS"
/* Sources in atoll.json that are no destination of a mount of config.json. */
#define SNAPSHOT_FROM_CGROUP "cgroup"
#define SNAPSHOT_FROM_DEVICE "device"

/* What the options say in CRIU's words, and the container's own CRIU configuration. */
void snapshot_request(struct criu_request *q, const struct snapshot_options *o);

/* The devices every container has: "/dev/null" and so on (devices_child.c). */
const struct spec_device *devices_default(size_t *ret_n);

[[nodiscard]] int container_can_snapshot(const char *program, struct err *e);
[[nodiscard]] int container_snapshot(struct instance *in, int dirfd,
				     const struct snapshot_options *o, struct err *e);
[[nodiscard]] int container_restore(struct instance *in, const struct bundle *b, int dirfd,
				    const struct snapshot_options *o, struct err *e);
