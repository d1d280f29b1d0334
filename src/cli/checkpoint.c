/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint: create, ls, rm; and restore. docker's flags, and podman's to and from a file. */
#include "svc/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "svc/workload.h"
#include "sys/spawn.h"

struct options {
	const char *dir, *export, *compress, *import, *name;
	bool leave_running, link_remap, tcp_established, tcp_close, ext_unix_sk, file_locks;
};

#define ITEM(member, kind, name_, letter_)                                                         \
	OPTION_ITEM_(struct options, member, kind, name_, letter_)
#define DIR_OPTION                                                                                 \
	{                                                                                          \
		ITEM(dir, OPTION_STRING, "checkpoint-dir", 0),                                     \
			.value = "string", .complete = OPTION_COMPLETE_DIR,                        \
			.help = "Use a custom checkpoint storage directory"                        \
	}
#define CRIU_OPTIONS                                                                               \
	{ ITEM(ext_unix_sk, OPTION_BOOL, "ext-unix-sk", 0),                                        \
	  .help = "Allow unix sockets whose other end is outside" },                               \
		{ ITEM(file_locks, OPTION_BOOL, "file-locks", 0),                                  \
		  .help = "Allow held file locks" },                                               \
	{                                                                                          \
		ITEM(tcp_established, OPTION_BOOL, "tcp-established", 0),                          \
			.help = "Keep established TCP connections"                                 \
	}

static const struct option create_table[] = {
	DIR_OPTION,
	{ ITEM(compress, OPTION_STRING, "compress", 'c'), .value = "string",
	  .help = "Compression of --export (default: by the file's name)",
	  .words = "gzip none zstd" },
	{ ITEM(export, OPTION_STRING, "export", 'e'), .value = "file",
	  .complete = OPTION_COMPLETE_FILE,
	  .help = "Write the checkpoint with the workload's own files to an archive" },
	{ ITEM(leave_running, OPTION_BOOL, "leave-running", 'R'),
	  .help = "Leave the workload running after the checkpoint" },
	{ ITEM(link_remap, OPTION_BOOL, "link-remap", 0),
	  .help = "Give deleted files that are open a name again" },
	CRIU_OPTIONS,
};
static const struct option restore_table[] = {
	DIR_OPTION,
	{ ITEM(import, OPTION_STRING, "import", 'i'), .value = "file",
	  .complete = OPTION_COMPLETE_FILE,
	  .help = "Make a workload anew from an archive of 'checkpoint --export'" },
	{ ITEM(name, OPTION_STRING, "name", 'n'), .value = "string",
	  .help = "Name of the imported workload (default: the one it had)" },
	{ ITEM(tcp_close, OPTION_BOOL, "tcp-close", 0),
	  .help = "Close TCP connections instead of keeping them" },
	CRIU_OPTIONS,
};
static const struct option dir_table[] = { DIR_OPTION };

static struct checkpoint_options wanted(const struct options *o, const char *name)
{
	return (struct checkpoint_options){ .name = name,
					    .dir = o->dir,
					    .leave_running = o->leave_running,
					    .link_remap = o->link_remap,
					    .tcp_close = o->tcp_close,
					    .tcp_established = o->tcp_established,
					    .ext_unix_sk = o->ext_unix_sk,
					    .file_locks = o->file_locks };
}

/* ---- create ------------------------------------------------------------------------------ */

/* The program that packs, NULL: none does. */
static int packer(const struct options *o, const char **ret_name, struct err *e)
{
	struct str file = str_of(o->export);
	const char *how = o->compress;

	if (!how)
		how = str_ends(file, ".gz") || str_ends(file, ".tgz") ? "gzip"
		      : str_ends(file, ".zst")			      ? "zstd"
								      : "none";
	*ret_name = streq(how, "none") ? NULL : how;
	if (!*ret_name || streq(how, "gzip") || streq(how, "zstd"))
		return 0;
	return err_set(e, ERR_INVALID, EINVAL, "--compress '%.40s': gzip, none or zstd", how);
}

/* What is written to *ret_fd comes packed to out_fd. */
static int start_packer(const char *name, int out_fd, int *ret_fd, pid_t *ret_pid, struct err *e)
{
	char path[SPAWN_PATH_MAX];
	char *argv[] = { path, (char[]){ "-c" }, NULL };
	struct spawn sp = SPAWN_INIT;
	auto_fd int theirs = FD_NONE, ours = FD_NONE;
	int pair[2], r;

	if (spawn_find(name, path) < 0)
		return err_set(e, ERR_UNSUPPORTED, ENOENT,
			       "--compress %s: there is no program '%s' in PATH", name, name);
	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_sys(e, errno, "pipe");
	theirs = pair[0];
	ours = pair[1];
	sp.path = path;
	sp.argv = argv;
	sp.stdio[0] = theirs;
	sp.stdio[1] = out_fd;
	sp.stdio[2] = STDERR_FILENO;
	r = spawn_process(&sp, ret_pid, NULL);
	if (r < 0)
		return err_sys(e, -r, "start '%s'", path);
	*ret_fd = take_fd(&ours);
	return 0;
}

static int end_packer(const char *name, pid_t pid, struct err *e)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_sys(e, errno, "wait for '%s'", name);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return err_set(e, ERR_REMOTE, EIO, "'%s' failed: the archive is not written", name);
}

static int export(struct cli *c, const struct options *o, const char *ref, struct err *e)
{
	struct checkpoint_options what = wanted(o, NULL);
	auto_output struct output out = OUTPUT_INIT;
	auto_fd int fd = FD_NONE;
	const char *program;
	struct err ignored;
	pid_t pid = 0;
	int r = packer(o, &program, e);

	r = r < 0 ? r : output_open(&out, o->export, e);
	if (r == 0 && program)
		r = start_packer(program, out.fd, &fd, &pid, e);
	r = r < 0 ? r : workload_checkpoint_export(&c->svc, ref, &what, program ? fd : out.fd, e);
	close_fd(&fd);
	if (pid > 0 && end_packer(program, pid, r < 0 ? &ignored : e) < 0)
		r = -1;
	return r < 0 ? r : output_commit(&out, e);
}

static int create_run(struct cli *c, const void *options, struct option_args args)
{
	const struct options *o = options;
	const char *name = args.n > 1 ? args.argv[1] : NULL;
	struct checkpoint_options what = wanted(o, name);
	struct err e;
	int r;

	if (o->export && (name || o->dir))
		return cli_failf(c, "--export writes to its file alone: no name and no "
				    "--checkpoint-dir with it");
	if (o->compress && !o->export)
		return cli_failf(c, "--compress is of --export: give that, too");
	r = o->export ? export(c, o, args.argv[0], &e)
		      : workload_checkpoint(&c->svc, args.argv[0], &what, &e);
	if (r < 0)
		return cli_fail(c, &e);
	if (!o->export || !streq(o->export, "-"))
		buf_addf(&c->out, "%s\n", name ? name : args.argv[0]);
	return CLI_OK;
}

const struct verb verb_checkpoint_create = {
	.usage = "[OPTIONS] CONTAINER [CHECKPOINT]",
	.summary = "Write a running workload to disk",
	.about =
		"Writes a running workload to disk: its processes with all they hold. It ends, "
		"unless it is left running, and 'restore' or 'start --checkpoint' take it up "
		"again from there. Of a container CRIU does the work: the program criu must be in "
		"PATH. A microVM needs KVM.\n\n"
		"Without a name the checkpoint is called 'checkpoint', and replaces an earlier one "
		"of that name. --export takes it to another installation: the archive holds the "
		"configuration and the files the workload changed; its image and its volumes must "
		"be there. CRIU's logs are in the workload's own directory.",
	.example = "atoll checkpoint web before-the-change\n"
		   "atoll start --checkpoint before-the-change web\n"
		   "atoll checkpoint --leave-running --export web.tar.zst web",
	.options = create_table,
	.options_n = ARRAY_SIZE(create_table),
	.size = sizeof(struct options),
	.args_min = 1,
	.args_max = 2,
	.complete = OPTION_COMPLETE_RUNNING,
	.run = create_run,
};

/* ---- ls, rm ------------------------------------------------------------------------------- */

static int ls_run(struct cli *c, const void *options, struct option_args args)
{
	const struct options *o = options;
	struct checkpoint_names all;
	struct err e;

	if (workload_checkpoints(&c->svc, args.argv[0], o->dir, &c->arena, &all, &e) < 0)
		return cli_fail(c, &e);
	buf_adds(&c->out, "CHECKPOINT NAME\n");
	for (size_t i = 0; i < all.n; i++)
		buf_addf(&c->out, "%s\n", all.v[i]);
	return CLI_OK;
}

static int rm_run(struct cli *c, const void *options, struct option_args args)
{
	const struct options *o = options;
	struct err e;

	if (workload_checkpoint_rm(&c->svc, args.argv[0], args.argv[1], o->dir, &e) < 0)
		return cli_fail(c, &e);
	return CLI_OK;
}

const struct verb verb_checkpoint_ls = {
	.usage = "[OPTIONS] CONTAINER",
	.summary = "List checkpoints of a workload",
	.options = dir_table,
	.options_n = ARRAY_SIZE(dir_table),
	.size = sizeof(struct options),
	.args_min = 1,
	.args_max = 1,
	.complete = OPTION_COMPLETE_CONTAINER,
	.run = ls_run,
};
const struct verb verb_checkpoint_rm = {
	.usage = "[OPTIONS] CONTAINER CHECKPOINT",
	.summary = "Remove a checkpoint",
	.options = dir_table,
	.options_n = ARRAY_SIZE(dir_table),
	.size = sizeof(struct options),
	.args_min = 2,
	.args_max = 2,
	.complete = OPTION_COMPLETE_CONTAINER,
	.run = rm_run,
};

/* ---- restore ------------------------------------------------------------------------------ */

static int restore_run(struct cli *c, const void *options, struct option_args args)
{
	const struct options *o = options;
	struct checkpoint_options what = wanted(o, args.n > 1 ? args.argv[1] : NULL);
	char id[WORKLOAD_ID_MAX];
	struct err e;

	if (o->import && (args.n || o->dir))
		return cli_failf(c, "--import makes a workload of its own: no other, and no "
				    "--checkpoint-dir with it");
	if (!o->import && (!args.n || o->name))
		return cli_failf(c, o->name ? "--name is of --import: give that, too"
					    : "name a workload, or an archive with --import");
	if (o->import) {
		if (workload_checkpoint_import(&c->svc, o->import, o->name, &what, id, &e) < 0)
			return cli_fail(c, &e);
		buf_addf(&c->out, "%s\n", id);
		return CLI_OK;
	}
	if (workload_restore(&c->svc, args.argv[0], &what, NULL, NULL, NULL, &e) < 0)
		return cli_fail(c, &e);
	buf_addf(&c->out, "%s\n", args.argv[0]);
	return CLI_OK;
}

const struct verb verb_restore = {
	.usage = "[OPTIONS] [CONTAINER [CHECKPOINT]]",
	.summary = "Take a workload up from a checkpoint",
	.example = "atoll restore web\n"
		   "atoll restore --import web.tar.zst --name web2",
	.options = restore_table,
	.options_n = ARRAY_SIZE(restore_table),
	.size = sizeof(struct options),
	.args_max = 2,
	.complete = OPTION_COMPLETE_CONTAINER,
	.run = restore_run,
};
