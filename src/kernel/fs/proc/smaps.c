/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/PID/smaps, smaps_rollup, io, timerslack_ns: what a process uses. */
#include <linux/mman.h>

#include "kernel/fs/proc/tables.h"
#include "kernel/mm/space.h"
#include "kernel/mm/usage.h"
#include "kernel/task/cred.h"
#include "kernel/task/wait.h"

#define KIB(pages) ((pages) << (PAGE_SHIFT - 10))

/* Pages of mappings together. */
struct sum {
	uint64_t size, resident, shared_clean, shared_dirty, private_clean, private_dirty,
		anonymous, locked;
};

static void add(struct sum *s, const struct vma *v)
{
	struct vma_usage u;

	vma_usage(v, &u);
	s->size += (v->end - vma_start(v)) >> PAGE_SHIFT;
	s->resident += u.resident;
	s->anonymous += u.anonymous;
	/* What is no file's has been written to. */
	if (v->pager && v->flags & VMA_SHARED) {
		s->shared_dirty += v->prot & PROT_WRITE ? u.shared : 0;
		s->shared_clean += v->prot & PROT_WRITE ? 0 : u.shared;
		s->private_dirty += u.resident - u.shared;
	} else {
		s->shared_dirty += u.shared;
		s->private_dirty += u.anonymous > u.shared ? u.anonymous - u.shared : 0;
		s->private_clean += u.resident - max_of(u.anonymous, u.shared);
	}
	if (v->flags & VMA_LOCKED)
		s->locked += u.resident;
}

static void line(struct text *to, const char *name, uint64_t pages)
{
	text_put(to, "%s%8lu kB\n", name, KIB(pages));
}

static void show_sum(struct text *to, const struct sum *s)
{
	uint64_t shared = s->shared_clean + s->shared_dirty;

	line(to, "Rss:            ", s->resident);
	/* At least one more has what is shared: how many is not counted. */
	line(to, "Pss:            ", s->resident - shared + shared / 2);
	line(to, "Shared_Clean:   ", s->shared_clean);
	line(to, "Shared_Dirty:   ", s->shared_dirty);
	line(to, "Private_Clean:  ", s->private_clean);
	line(to, "Private_Dirty:  ", s->private_dirty);
	line(to, "Referenced:     ", s->resident);
	line(to, "Anonymous:      ", s->anonymous);
	line(to, "LazyFree:       ", 0);
	line(to, "AnonHugePages:  ", 0);
	line(to, "ShmemPmdMapped: ", 0);
	line(to, "FilePmdMapped:  ", 0);
	line(to, "Shared_Hugetlb: ", 0);
	line(to, "Private_Hugetlb:", 0);
	line(to, "Swap:           ", 0);
	line(to, "SwapPss:        ", 0);
	line(to, "Locked:         ", s->locked);
}

static void show_flags(struct text *to, const struct vma *v)
{
	text_put(to, "VmFlags:%s%s%s%s mr mw me%s%s%s%s\n", v->prot & PROT_READ ? " rd" : "",
		 v->prot & PROT_WRITE ? " wr" : "", v->prot & PROT_EXEC ? " ex" : "",
		 v->flags & VMA_SHARED ? " sh" : "", v->flags & VMA_GROWSDOWN ? " gd" : "",
		 v->flags & VMA_LOCKED ? " lo" : "", v->flags & VMA_DONTFORK ? " dc" : "",
		 v->flags & VMA_DONTDUMP ? " dd" : "");
}

static int space_of(const struct generated_node *n, const struct task **ret)
{
	const struct task *t = proc_task(n);
	int r = t ? proc_may(t) : -ESRCH;

	*ret = r == 0 && t->space ? t : NULL;
	return r;
}

int proc_smaps(const struct generated_node *n, struct text *to)
{
	struct mount *last = NULL;
	const struct task *t;
	int r = space_of(n, &t);

	if (!t)
		return r;
	for (struct tree_node *v = tree_first(&t->space->vmas); v; v = tree_next(v)) {
		const struct vma *one = container_of(v, struct vma, node);
		struct sum s = {};

		add(&s, one);
		proc_map_line(t, one, &last, to);
		line(to, "Size:           ", s.size);
		line(to, "KernelPageSize: ", 1);
		line(to, "MMUPageSize:    ", 1);
		show_sum(to, &s);
		text_put(to, "THPeligible:           0\n");
		show_flags(to, one);
	}
	return 0;
}

int proc_smaps_rollup(const struct generated_node *n, struct text *to)
{
	uint64_t first = 0, last = 0;
	struct sum s = {};
	const struct task *t;
	int r = space_of(n, &t);

	if (!t)
		return r;
	for (struct tree_node *v = tree_first(&t->space->vmas); v; v = tree_next(v)) {
		const struct vma *one = container_of(v, struct vma, node);

		first = first ?: vma_start(one);
		last = one->end;
		add(&s, one);
	}
	text_put(to, "%08lx-%08lx ---p 00000000 00:00 0                          [rollup]\n", first,
		 last);
	show_sum(to, &s);
	return 0;
}

int proc_io(const struct generated_node *n, struct text *to)
{
	const struct task *t = proc_task(n);
	int r = t ? proc_may(t) : -ESRCH;
	struct task_usage u;

	if (r < 0)
		return r;
	if (n->number) /* a thread's own */
		task_usage(t, &u);
	else
		process_usage(t->process, &u);
	/* No storage is below: what is read and written is memory. */
	text_put(to,
		 "rchar: %lu\nwchar: %lu\nsyscr: %lu\nsyscw: %lu\nread_bytes: 0\nwrite_bytes: 0\n"
		 "cancelled_write_bytes: 0\n",
		 u.read, u.written, u.reads, u.writes);
	return 0;
}

int proc_timer_slack(const struct generated_node *n, struct text *to)
{
	const struct task *t = proc_task(n);
	int r = t ? proc_may(t) : -ESRCH;

	if (r == 0)
		text_put(to, "%lu\n", (uint64_t) t->timer_slack);
	return r;
}

int proc_set_timer_slack(const struct generated_node *n, const char *bytes, size_t len)
{
	struct task *t = proc_task(n);
	uint64_t value;
	int r = t ? proc_may(t) : -ESRCH;

	if (r < 0)
		return r;
	while (len > 0 && bytes[len - 1] == '\n')
		len--;
	if (!generated_number(bytes, len, &value))
		return -EINVAL;
	t->timer_slack = value ? (nsec_t) value : t->slack_at_birth;
	return 0;
}
