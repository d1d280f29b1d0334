/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proc(5): what is there is as Linux 6.12 has it; what is not known is not there. It shows the
 * sandbox: its memory's limit, its processors, its processes.
 */
#pragma once

#include "kernel/core/types.h"

struct file;
struct pid;
struct super;
struct task;
struct text;

/* As ps(1) shows it: 'S'. */
char proc_state(const struct task *t);
/* The caller is its user (super_leave). NULL: no memory. */
[[nodiscard]] struct super *proc_new(void);
/*
 * Writes to the file of /proc/sys that sysctl(8) has this name for ("kernel.hostname"), without
 * asking who may. One that is not written to takes what it says already. -ENOENT, -EPERM, -EINVAL.
 */
[[nodiscard]] int proc_sysctl(const char *name, const char *value);
#define SYSCTL_NAME 128
/* Those that can be set, but for names of the machine: until act gives another thing than 0. */
[[nodiscard]] int proc_sysctl_each(int (*act)(void *arg, const char *name, const char *value,
					      size_t n),
				   void *arg);
/* One of those as it was told. -ENOENT: there is none; and what setting it gives. */
[[nodiscard]] int proc_sysctl_again(const char *name, const char *value);
/* Whose directory f is (/proc/PID, not that of a thread), borrowed from it; NULL: no such. */
struct pid *proc_pid_of(const struct file *f);
/* The lines of /proc/filesystems. */
void proc_filesystems(struct text *to);
