/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of fs/proc share: tables of entries, and whose an entry is. */
#pragma once

#include "kernel/fs/generated.h"
#include "kernel/task/task.h"

struct vma;

struct proc_table {
	const struct generated_entry *entries;
	size_t count;
};

/* The thread of a node, or NULL: it is gone. A zombie's has no space and no files. */
static inline struct task *proc_task(const struct generated_node *n)
{
	return n->pid ? n->pid->task : NULL;
}

/* Whether who calls may look into t: its memory, its files (ptrace(2), "Ptrace access mode
 * checking"). 0, -EACCES. */
[[nodiscard]] int proc_may(const struct task *t);
/* As seen from the root of t; a name alone where it has no place in its tree. */
int proc_path(const struct task *t, const struct path *p, struct text *to);

#define PROC_FILE(n, m, s)                                                                         \
	{                                                                                          \
		.name = (n), .mode = S_IFREG | (m), .show = (s)                                    \
	}
#define PROC_DIR(n, m, t)                                                                          \
	{                                                                                          \
		.name = (n), .mode = S_IFDIR | (m), .children = (t), .count = countof(t)           \
	}

/* process.c: /proc/PID and /proc/PID/task/TID. */
extern const struct generated_entry proc_process, proc_thread;
/* files.c */
int proc_fd_find(const struct generated_node *dir, const char *name, size_t len,
		 struct generated_node *ret);
void proc_fd_list(const struct generated_node *dir, uint64_t at, struct generated_sink *to);
int proc_fdinfo_find(const struct generated_node *dir, const char *name, size_t len,
		     struct generated_node *ret);
int proc_exe_link(const struct generated_node *n, struct text *to);
int proc_cwd_link(const struct generated_node *n, struct text *to);
int proc_root_link(const struct generated_node *n, struct text *to);
int proc_exe_follow(const struct generated_node *n, const struct cred *who, struct path *ret);
int proc_cwd_follow(const struct generated_node *n, const struct cred *who, struct path *ret);
int proc_root_follow(const struct generated_node *n, const struct cred *who, struct path *ret);
/* memory.c */
int proc_maps(const struct generated_node *n, struct text *to);
void proc_map_line(const struct task *t, const struct vma *v, struct mount **last, struct text *to);
int proc_statm(const struct generated_node *n, struct text *to);
int proc_cmdline(const struct generated_node *n, struct text *to);
int proc_environ(const struct generated_node *n, struct text *to);
/* smaps.c */
int proc_smaps(const struct generated_node *n, struct text *to);
int proc_smaps_rollup(const struct generated_node *n, struct text *to);
int proc_io(const struct generated_node *n, struct text *to);
int proc_timer_slack(const struct generated_node *n, struct text *to);
int proc_set_timer_slack(const struct generated_node *n, const char *bytes, size_t len);
/* mounts.c */
int proc_mounts(const struct generated_node *n, struct text *to);
int proc_mountinfo(const struct generated_node *n, struct text *to);
/* status.c */
int proc_stat(const struct generated_node *n, struct text *to);
int proc_status(const struct generated_node *n, struct text *to);
int proc_limits(const struct generated_node *n, struct text *to);
/* system.c: what is of the machine; sys.c: /proc/sys. */
extern const struct proc_table proc_system;
extern const struct generated_entry proc_sys;
/* net.c: /proc/net. */
extern const struct generated_entry proc_net;
/* ipc.c: a limit, by the name of its file in /proc/sys. */
extern const struct generated_entry proc_sysvipc;
int proc_ipc_limit(const struct generated_node *n, struct text *to);
int proc_ipc_set_limit(const struct generated_node *n, const char *bytes, size_t len);
