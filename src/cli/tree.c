/* SPDX-License-Identifier: Apache-2.0 */
/* The tree of verbs. A verb that docker has in two places ("ps", "container ls") is one verb. */
#include "cli/verbs.h"

static const struct verb_entry builder_entries[] = {
	{ .name = "build", .verb = &verb_build },
	{ .name = "prune", .verb = &verb_builder_prune },
	{},
};

static const struct verb_entry checkpoint_entries[] = {
	{ .name = "create", .verb = &verb_checkpoint_create },
	{ .name = "ls", .aliases = "list", .verb = &verb_checkpoint_ls },
	{ .name = "rm", .aliases = "remove", .verb = &verb_checkpoint_rm },
	{},
};

static const struct verb_entry container_entries[] = {
	{ .name = "attach", .verb = &verb_attach },
	{ .name = "checkpoint", .verb = &verb_checkpoint_create },
	{ .name = "commit", .verb = &verb_commit },
	{ .name = "cp", .verb = &verb_cp },
	{ .name = "create", .verb = &verb_create },
	{ .name = "diff", .verb = &verb_diff },
	{ .name = "exec", .verb = &verb_exec },
	{ .name = "export", .verb = &verb_export },
	{ .name = "inspect", .verb = &verb_container_inspect },
	{ .name = "kill", .verb = &verb_kill },
	{ .name = "logs", .verb = &verb_logs },
	{ .name = "ls", .aliases = "list ps", .verb = &verb_ps },
	{ .name = "pause", .verb = &verb_pause },
	{ .name = "prune", .verb = &verb_container_prune },
	{ .name = "rename", .verb = &verb_rename },
	{ .name = "restart", .verb = &verb_restart },
	{ .name = "restore", .verb = &verb_restore },
	{ .name = "rm", .aliases = "remove", .verb = &verb_rm },
	{ .name = "run", .verb = &verb_run },
	{ .name = "start", .verb = &verb_start },
	{ .name = "stats", .verb = &verb_stats },
	{ .name = "stop", .verb = &verb_stop },
	{ .name = "top", .verb = &verb_top },
	{ .name = "trace", .verb = &verb_trace },
	{ .name = "unpause", .verb = &verb_unpause },
	{ .name = "update", .verb = &verb_update },
	{ .name = "wait", .verb = &verb_wait },
	{},
};

#define GROUP(group, text)                                                                         \
	static const struct verb group = { .usage = "COMMAND",                                     \
					   .summary = text,                                        \
					   .verbs = group##_entries }

static const struct verb_entry scan_db_entries[] = {
	{ .name = "import", .verb = &verb_scan_base_import },
	{ .name = "ls", .aliases = "list", .verb = &verb_scan_base_ls },
	{ .name = "rm", .aliases = "remove", .verb = &verb_scan_base_rm },
	{},
};
GROUP(scan_db, "Manage data bases of advisories");

static const struct verb_entry image_entries[] = {
	{ .name = "bootstrap", .verb = &verb_image_bootstrap },
	{ .name = "build", .verb = &verb_build },
	{ .name = "history", .verb = &verb_image_history },
	{ .name = "import", .verb = &verb_import },
	{ .name = "inspect", .verb = &verb_image_inspect },
	{ .name = "load", .verb = &verb_load },
	{ .name = "ls", .aliases = "list", .verb = &verb_images },
	{ .name = "prune", .verb = &verb_image_prune },
	{ .name = "pull", .verb = &verb_pull },
	{ .name = "push", .verb = &verb_push },
	{ .name = "rm", .aliases = "remove", .verb = &verb_image_rm },
	{ .name = "save", .verb = &verb_save },
	{ .name = "scan", .verb = &verb_image_scan },
	{ .name = "scan-db", .verb = &scan_db },
	{ .name = "tag", .verb = &verb_image_tag },
	{},
};

static const struct verb_entry kernel_entries[] = {
	{ .name = "inspect", .verb = &verb_kernel_inspect },
	{ .name = "ls", .aliases = "list", .verb = &verb_kernel_ls },
	{ .name = "prune", .verb = &verb_kernel_prune },
	{ .name = "rm", .aliases = "remove", .verb = &verb_kernel_rm },
	{ .name = "use", .verb = &verb_kernel_use },
	{},
};

static const struct verb_entry network_entries[] = {
	{ .name = "inspect", .verb = &verb_network_inspect },
	{ .name = "ls", .aliases = "list", .verb = &verb_network_ls },
	{},
};

static const struct verb_entry snapshot_entries[] = {
	{ .name = "create", .verb = &verb_snapshot_create },
	{ .name = "inspect", .verb = &verb_snapshot_inspect },
	{ .name = "ls", .aliases = "list", .verb = &verb_snapshot_ls },
	{ .name = "prune", .verb = &verb_snapshot_prune },
	{ .name = "rm", .aliases = "remove", .verb = &verb_snapshot_rm },
	{},
};

static const struct verb_entry system_entries[] = {
	{ .name = "df", .verb = &verb_system_df },
	{ .name = "events", .verb = &verb_events },
	{ .name = "info", .verb = &verb_system_info },
	{ .name = "prune", .verb = &verb_system_prune },
	{ .name = "repair", .verb = &verb_system_repair },
	{},
};

static const struct verb_entry volume_entries[] = {
	{ .name = "create", .verb = &verb_volume_create },
	{ .name = "inspect", .verb = &verb_volume_inspect },
	{ .name = "ls", .aliases = "list", .verb = &verb_volume_ls },
	{ .name = "prune", .verb = &verb_volume_prune },
	{ .name = "rm", .aliases = "remove", .verb = &verb_volume_rm },
	{},
};

/* "checkpoint CONTAINER" makes one: podman's and crun's way beside docker's. */
static const struct verb checkpoint = {
	.usage = "COMMAND | [OPTIONS] CONTAINER [CHECKPOINT]",
	.summary = "Manage checkpoints",
	.verbs = checkpoint_entries,
	.otherwise = &verb_checkpoint_create,
};
GROUP(builder, "Manage builds");
GROUP(container, "Manage workloads");
GROUP(image, "Manage images");
GROUP(kernel, "Manage kernels of machines");
GROUP(network, "Manage networks");
GROUP(snapshot, "Manage snapshots of running workloads");
GROUP(system, "Manage the installation");
GROUP(volume, "Manage volumes");

static const struct verb_entry root_entries[] = {
	{ .name = "attach", .verb = &verb_attach },
	{ .name = "build", .verb = &verb_build },
	{ .name = "builder", .verb = &builder },
	{ .name = "checkpoint", .verb = &checkpoint },
	{ .name = "clone", .verb = &verb_clone },
	{ .name = "commit", .verb = &verb_commit },
	{ .name = "compare", .verb = &verb_compare },
	{ .name = "completion", .verb = &verb_completion },
	{ .name = "container", .verb = &container },
	{ .name = "cp", .verb = &verb_cp },
	{ .name = "create", .verb = &verb_create },
	{ .name = "diff", .verb = &verb_diff },
	{ .name = "events", .verb = &verb_events },
	{ .name = "exec", .verb = &verb_exec },
	{ .name = "export", .verb = &verb_export },
	{ .name = "history", .verb = &verb_image_history },
	{ .name = "image", .verb = &image },
	{ .name = "images", .verb = &verb_images },
	{ .name = "import", .verb = &verb_import },
	{ .name = "info", .verb = &verb_system_info },
	{ .name = "inspect", .verb = &verb_inspect },
	{ .name = "kernel", .verb = &kernel },
	{ .name = "kill", .verb = &verb_kill },
	{ .name = "load", .verb = &verb_load },
	{ .name = "login", .verb = &verb_login },
	{ .name = "logout", .verb = &verb_logout },
	{ .name = "logs", .verb = &verb_logs },
	{ .name = "man", .verb = &verb_man, .hidden = true },
	{ .name = "network", .verb = &network },
	{ .name = "pause", .verb = &verb_pause },
	{ .name = "ps", .verb = &verb_ps },
	{ .name = "pull", .verb = &verb_pull },
	{ .name = "push", .verb = &verb_push },
	{ .name = "rename", .verb = &verb_rename },
	{ .name = "restart", .verb = &verb_restart },
	{ .name = "restore", .verb = &verb_restore },
	{ .name = "rm", .verb = &verb_rm },
	{ .name = "rmi", .verb = &verb_image_rm },
	{ .name = "run", .verb = &verb_run },
	{ .name = "save", .verb = &verb_save },
	{ .name = "search", .verb = &verb_search },
	{ .name = "snapshot", .verb = &snapshot },
	{ .name = "start", .verb = &verb_start },
	{ .name = "stats", .verb = &verb_stats },
	{ .name = "stop", .verb = &verb_stop },
	{ .name = "system", .verb = &system },
	{ .name = "tag", .verb = &verb_image_tag },
	{ .name = "top", .verb = &verb_top },
	{ .name = "trace", .verb = &verb_trace },
	{ .name = "unpause", .verb = &verb_unpause },
	{ .name = "update", .verb = &verb_update },
	{ .name = "version", .verb = &verb_version },
	{ .name = "volume", .verb = &volume },
	{ .name = "wait", .verb = &verb_wait },
	{},
};

const struct verb verb_root = {
	.usage = "[OPTIONS] COMMAND",
	.summary = "Run any workload behind the wall it needs",
	.about = "Run any workload behind the wall it needs. No daemon: every workload has a "
		 "supervisor of its own, which outlives this command.",
	.options = root_option_table,
	.options_n = ROOT_OPTIONS,
	.size = sizeof(struct root_options),
	.operands_end = true,
	.verbs = root_entries,
};
