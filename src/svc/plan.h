/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A workload's configuration and its image's become an OCI runtime spec (config.json): docker's
 * defaults for capabilities, masked paths, devices, mounts and system calls. Pure but for looking
 * into the image's /etc/passwd and /etc/group through root_fd; writes nothing but text to `out`.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "svc/config.h"
#include "svc/svc.h"

struct plan_image { /* what an image's configuration says; all borrowed, may be empty */
	const char **entrypoint, **command, **env, **volumes;
	size_t entrypoint_n, command_n, env_n, volumes_n;
	const char *user, *workdir, *stop_signal;
	struct health_config health;
	struct json_pair *labels;
	size_t labels_n;
};

struct plan_mount { /* a mount of the user's, its source found */
	const char *target;
	const char *type;   /* "bind" "tmpfs" */
	const char *source; /* host path, or "tmpfs" */
	const char **options;
	size_t options_n;
};

struct plan_input {
	const char *id;
	const struct workload_config *config;
	const struct plan_image *image;
	const struct plan_mount *mounts; /* in the order they are to be mounted */
	size_t mounts_n;
	int root_fd;	       /* borrowed: the root file system, to find users in; or FD_NONE */
	bool names_inside;     /* users are looked up in there instead, when it starts */
	const char *run_dir;   /* ROOT/workloads/ID: hosts, hostname, resolv.conf lie there */
	const char *init_path; /* --init: our reaper on the host */
	const char *hostname;
	const char *shm_dir; /* --ipc shareable or container:X: the shared /dev/shm; else NULL */
	/* "container:X" resolved: /proc/PID/ns/..., NULL when not asked for */
	const char *pid_ns, *ipc_ns, *uts_ns, *net_ns;
};

/* The process line: entry point and command merged as docker does. n 0: INVALID, nothing to run. */
[[nodiscard]] int plan_command(const struct workload_config *c, const struct plan_image *image,
			       struct arena *a, const char ***ret_argv, size_t *ret_n,
			       struct err *e);

/* Writes config.json to out. Notices (a limit clamped) go to s. */
[[nodiscard]] int plan_write(struct svc *s, const struct plan_input *in, struct arena *a,
			     struct buf *out, struct err *e);

/* What every workload but a privileged one cannot see, and cannot write; NULL-terminated. */
extern const char *const plan_masked_paths[], *const plan_readonly_paths[];

/* linux.cgroupsPath; in the arena, NULL: no memory. */
const char *plan_cgroups_path(const struct workload_config *c, const char *id, struct arena *a);
/* As much of it as this machine can do; what docker leaves out then is left out, with a notice. */
struct resources_config plan_enforceable(struct svc *s, const struct resources_config *r);
/* The linux.resources object of a configuration; key NULL at the root (update). */
[[nodiscard]] int plan_resources(const struct resources_config *r, const struct workload_config *c,
				 struct json_writer *w, const char *key, struct err *e);
/* The default seccomp profile as a linux.seccomp object, for these capabilities. */
void plan_seccomp_default(struct json_writer *w, const char *key, const char *const *caps);
/* What exec adds: process section for argv in a running workload (svc/exec.h writes the rest). */
struct plan_exec {
	const char *const *argv;
	size_t argv_n;
	const char *const *env;
	size_t env_n;
	const char *user, *workdir;
	bool tty, privileged;
};
[[nodiscard]] int plan_exec_write(struct svc *s, const char *id, const struct plan_exec *x,
				  struct arena *a, struct buf *out, struct err *e);
