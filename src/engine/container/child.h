/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What runs between clone3 and exec. System calls only: no allocation, no log, no return into the
 * parent's code. A failure goes as one struct err over the sync socket.
 *
 *	init  -> parent   NETWORK (move devices to it, answer)   CONSOLE (with the pty's master)
 *			  IDMAP (with a detached mount; answer)
 *			  HOOKS (run the runtime's, answer)
 *			  READY   LISTENER (of the filter; answer)   FAILED (a struct err)
 *			  end of file: exec has happened
 *	parent -> init    one byte: go on
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "engine/container/plan.h"

struct spec_process;
struct spec_rlimit;

enum child_word {
	CHILD_PID = 1, /* of the init proper, from a helper that had to fork it */
	CHILD_CONSOLE,
	CHILD_NETWORK,
	CHILD_IDMAP, /* pid: which of the plan's mounts: what only the creator has the right to */
	CHILD_HOOKS,
	CHILD_READY,
	CHILD_LISTENER, /* pid: the number of the filter's descriptor; answered by one byte */
	CHILD_FAILED,
};

/* In place of a word: it ended, and had not read all that it was sent. */
#define CHILD_NEVER_READ UINT32_MAX

/* The creator's bytes. The second: no signal is ignored, so that none has to be reset. */
enum { CHILD_GO = 'g', CHILD_GO_UNIGNORED = 'u' };

struct child_message {
	uint32_t word; /* enum child_word */
	int32_t pid;
	struct err err;
};

/* The whole life of a container's init up to exec. */
[[gnu::noreturn]] void init_child(struct plan *p);

/* rootfs_child.c: everything mounted below the new root; then the root is entered. */
[[nodiscard]] int rootfs_build(struct plan *p, struct err *e);
/* Its options give the mode of a tmpfs, or else the directory below it does. */
bool mount_has_mode(const struct plan_mount *m);
/* Parts of a mount of cgroups: its tmpfs, detached; a place for one hierarchy ("cpu,cpuacct" is
 * also found as cpu and as cpuacct). Or -errno. */
[[nodiscard]] int cgroup_tmpfs(void);
[[nodiscard]] int cgroup_directory(int dir_fd, const char *name);
[[nodiscard]] int rootfs_mount(struct plan *p, struct plan_mount *m, struct err *e); /* one */
[[nodiscard]] int rootfs_protect(struct plan *p, struct err *e); /* masks, read-only paths */
[[nodiscard]] int rootfs_enter(struct plan *p, struct err *e);

/* turn_child.c */
/* Before the first mount: whether their order has to be seen to. */
void turn_begin(struct plan *p);
/* The next mount was made so: true when it is too early for its place, and to be made again. */
[[nodiscard]] bool turn_passed(struct plan *p, enum plan_made made);
/* That mount goes where nobody looks, if it can: then more may be mounted in it. */
[[nodiscard]] bool turn_aside(int fd, bool is_dir);
/* And a clone of all of it, detached; where there can be none, the mount itself, to be moved.
 * unbindable: it is, as the clone shall be; rec: with all below it. */
[[nodiscard]] int turn_again(int fd, bool unbindable, bool rec);

/* late_child.c */
/* Open root and sources, where the creator could not. */
[[nodiscard]] int late_sources(struct plan *p, struct err *e);

/* groups_child.c */
/* Whether groups_send can take all that this plan needs. */
bool groups_fit_message(const struct plan *p);
/* The creator's side, once they are finished. */
[[nodiscard]] int groups_send(const struct plan *p, int sock);
/* Once: wait for what groups_send sent. Nothing when they are not due. */
[[nodiscard]] int groups_receive(struct plan *p, struct err *e);
/* Once: the same, enter, and make the cgroup namespace. Nothing when they are not due. */
[[nodiscard]] int groups_arrive(struct plan *p, struct err *e);

/* devices_child.c */
[[nodiscard]] int devices_fill(struct plan *p, struct err *e);
/* The creator's: the same in a detached mount that is to be /dev, without anything outside of it.
 */
[[nodiscard]] int devices_fill_in(struct plan *p, int dev_fd, struct err *e);
/* "null" of "/dev/null"; NULL: it is not directly in /dev. */
const char *devices_name(const char *path);
/* A pty of the container's devpts, bound to /dev/console; both ends given. */
[[nodiscard]] int devices_console(struct plan *p, int *ret_master, int *ret_slave, struct err *e);

/* copyup_child.c: the content of one directory into another, owners, modes and links kept. */
[[nodiscard]] int copy_up(int from_fd, int to_fd);

/* process_child.c */
/* Every processor that its cgroup allows, whatever those of the caller are. */
void process_all_cpus(void);
/*
 * 0 of the user namespace, or who the process is to be where 0 is nobody there: without an id of
 * the namespace no file can be made. All capabilities stay.
 */
[[nodiscard]] int process_become_root(const struct spec_process *s);
/*
 * What its user namespace takes the right to from the process `pid` (0: the caller): limits are
 * raised where they must be, none is lowered yet. Its set-up shall not have to do with 20 files.
 */
[[nodiscard]] int process_limits_raise(const struct spec_process *s, pid_t pid, struct err *e);
/* Limits, identity, working directory; finds the program: path in *ret_path (static storage). */
[[nodiscard]] int process_prepare(struct plan_process *p, const char **ret_path, struct err *e);
/* The file its label is written to, while our own procfs is there. Nothing when it has none. */
[[nodiscard]] int process_open_label(struct plan *p, struct err *e);
/* A session keyring of the container, with its label, so that the caller's keys stay the caller's.
 */
[[nodiscard]] int process_keyring(struct plan *p, struct err *e);
/* Last steps and exec; returns only to say why not, to be reported on *report_fd (it may move). */
int process_exec(struct plan_process *p, const char *path, int *report_fd, struct err *e);

/* Send one message; the fd (FD_NONE: none) goes with it. */
[[nodiscard]] int child_tell(int sync_fd, enum child_word w, pid_t pid, int fd,
			     const struct err *e);
/* Wait for the parent's byte, and give it; -EPIPE when it is gone. */
[[nodiscard]] int child_wait(int sync_fd);
[[gnu::noreturn]] void child_fail(int sync_fd, const struct err *e);
