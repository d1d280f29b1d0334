/* SPDX-License-Identifier: Apache-2.0 */
/*
 * atoll-runtime: the command line of an OCI runtime (runc's verbs and flags) over the engines.
 * Every verb is a process of its own; what they share is the state directory (state.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "engine/engine.h"
#include "runtime/options.h"

struct runtime {
	const char *program; /* what it was called as */
	const char *root;
	const char *log, *log_format, *log_level;
	const char *rootless;
	const char *cgroup_manager;
	const char *isolation;
	enum rootless rootless_mode; /* of the flag */
	bool root_named;	     /* --root was given */
	bool root_private; /* the state directory is a user's own: nobody else may write there */
	const char *criu;  /* the program for checkpoint and restore; NULL: in PATH */
	bool debug, systemd_cgroup, version;
	bool no_cgroups;     /* --cgroup-manager disabled */
	struct arena *arena; /* for the whole run of the verb */
	int self_fd; /* owned: see self_protect(); closed while the verb waits, or at the end */
};

struct verb {
	const char *name;
	const char *usage; /* the arguments: "CONTAINER [SIGNAL]" */
	const char *help;
	struct option_table options;
	size_t size; /* of the struct that the options go to */
	size_t min_args, max_args;
	/* The exit status, or negative with *e set. `o` is the struct of the options. */
	int (*run)(struct runtime *rt, const void *o, const struct strings *args, struct err *e);
	int failure;   /* the exit status of an error; 0: 1 */
	bool prefixed; /* errors begin with "PROGRAM VERB failed", as runc's do */
	bool enters;   /* forks a process of the container: its program is protected from it */
};

#define VERB_OPTIONS(array)                                                                        \
	{                                                                                          \
		.v = (array), .n = sizeof(array) / sizeof((array)[0])                              \
	}
#define VERB_ANY_ARGS ((size_t) -1)

struct spec_process;
/* Say what is asked for and will not be: the ambient capabilities that cannot be raised. */
void process_warn(const struct spec_process *p);

extern const struct verb verb_checkpoint, verb_create, verb_delete, verb_events, verb_exec,
	verb_features, verb_kill, verb_list, verb_mounts, verb_pause, verb_ps, verb_restore,
	verb_resume, verb_run, verb_spec, verb_start, verb_state, verb_update;
