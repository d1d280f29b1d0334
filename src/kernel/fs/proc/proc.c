/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/fs/proc/proc.h"

#include <linux/magic.h>

#include "kernel/fs/proc/tables.h"

static int self_link(const struct generated_node *n, struct text *to)
{
	(void) n;
	if (!this_task())
		return -ENOENT;
	text_put(to, "%u", this_task()->process->pid);
	return 0;
}

static int thread_self_link(const struct generated_node *n, struct text *to)
{
	(void) n;
	if (!this_task())
		return -ENOENT;
	text_put(to, "%u/task/%u", this_task()->process->pid, this_task()->tid);
	return 0;
}

static int mounts_link(const struct generated_node *n, struct text *to)
{
	(void) n;
	text_put(to, "self/mounts");
	return 0;
}

static const struct generated_entry links[] = {
	{ .name = "mounts", .mode = S_IFLNK | 0777, .link = mounts_link },
	{ .name = "self", .mode = S_IFLNK | 0777, .link = self_link },
	{ .name = "thread-self", .mode = S_IFLNK | 0777, .link = thread_self_link },
};

static const struct generated_entry *const directories[] = { &proc_sys, &proc_sysvipc, &proc_net };

/* The names of the root beside its processes: links, directories, what is of the machine. */
static const struct generated_entry *named(size_t n)
{
	if (n < countof(links))
		return &links[n];
	n -= countof(links);
	if (n < countof(directories))
		return directories[n];
	n -= countof(directories);
	return n < proc_system.count ? &proc_system.entries[n] : NULL;
}

static int find(const struct generated_node *dir, const char *name, size_t len,
		struct generated_node *ret)
{
	const struct generated_entry *e;
	struct pid *p;
	uint64_t nr;

	(void) dir;
	if (generated_number(name, len, &nr)) {
		p = pid_find((int64_t) nr);
		/* By the number of any of its threads, as Linux finds it. */
		if (!p || !p->task)
			return -ENOENT;
		pid_ref(p);
		*ret = (struct generated_node){ .entry = &proc_process, .pid = p };
		return 0;
	}
	for (size_t n = 0; (e = named(n)); n++) {
		if (strlen(e->name) == len && memcmp(e->name, name, len) == 0) {
			*ret = (struct generated_node){ .entry = e };
			return 0;
		}
	}
	return -ENOENT;
}

/* Names stand before numbers: their positions are below this. */
#define NUMBERS (GENERATED_FIRST + 4096)

static void list(const struct generated_node *dir, uint64_t at, struct generated_sink *to)
{
	const struct generated_entry *e;
	uint64_t nr = at > NUMBERS ? at - NUMBERS : 0;
	struct pid *p;

	(void) dir;
	for (size_t n = (size_t) (at - GENERATED_FIRST); at < NUMBERS && (e = named(n)); n++) {
		if (!generated_tell(to, e->name, strlen(e->name), e->mode, GENERATED_FIRST + n + 1))
			return;
	}
	for (; (p = pid_next(&nr)); nr++) {
		if (p->process && !generated_tell_number(to, nr, S_IFDIR, NUMBERS + nr + 1))
			return;
	}
}

static const struct generated_entry top = {
	.name = "", .mode = S_IFDIR | 0555, .find = find, .list = list
};

static const struct super_ops super_ops = {
	.type = "proc",
	.magic = PROC_SUPER_MAGIC,
	.shutdown = generated_shutdown,
	.release = generated_release,
};

struct super *proc_new(void)
{
	return generated_new(&super_ops, &top);
}

struct pid *proc_pid_of(const struct file *f)
{
	const struct generated_node *n = generated_node_of(f->inode);

	return n && n->entry == &proc_process ? n->pid : NULL;
}
