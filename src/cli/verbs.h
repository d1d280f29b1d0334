/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs, each defined in the file of its name; groups and the tree of all are in tree.c. */
#pragma once

#include <stdbool.h>

#include "cli/option.h"

extern const struct verb verb_attach, verb_build, verb_builder_prune, verb_commit, verb_compare,
	verb_completion, verb_cp, verb_create, verb_diff, verb_events, verb_exec, verb_export,
	verb_import, verb_inspect, verb_kill, verb_load, verb_login, verb_logout, verb_logs,
	verb_man, verb_pause, verb_ps, verb_pull, verb_push, verb_rename, verb_restart, verb_rm,
	verb_run, verb_save, verb_search, verb_start, verb_stats, verb_stop, verb_top, verb_trace,
	verb_unpause, verb_update, verb_version, verb_wait;

extern const struct verb verb_checkpoint_create, verb_checkpoint_ls, verb_checkpoint_rm,
	verb_restore;

extern const struct verb verb_clone, verb_snapshot_create, verb_snapshot_inspect, verb_snapshot_ls,
	verb_snapshot_prune, verb_snapshot_rm;

extern const struct verb verb_container_inspect, verb_container_prune;

extern const struct verb verb_images, verb_image_bootstrap, verb_image_history, verb_image_inspect,
	verb_image_prune, verb_image_rm, verb_image_scan, verb_image_tag;

extern const struct verb verb_scan_base_import, verb_scan_base_ls, verb_scan_base_rm;

extern const struct verb verb_kernel_inspect, verb_kernel_ls, verb_kernel_prune, verb_kernel_rm,
	verb_kernel_use;

extern const struct verb verb_volume_create, verb_volume_inspect, verb_volume_ls, verb_volume_prune,
	verb_volume_rm;

extern const struct verb verb_network_inspect, verb_network_ls;

extern const struct verb verb_system_df, verb_system_info, verb_system_prune, verb_system_repair;

/* What stands before a verb. */
struct root_options {
	const char *root, *state, *log_level;
	bool debug, version;
};
#define ROOT_OPTIONS 5
extern const struct option root_option_table[ROOT_OPTIONS];

/* The whole tree: a group whose entries are what `atoll` takes first. */
extern const struct verb verb_root;
