/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/mman.h>

#include "kernel/core/heap.h"
#include "kernel/fs/proc/tables.h"
#include "kernel/mm/space.h"

#define WORDS_MOST ((uint64_t) 1 << 20)

/* The path of a mapped file, by whichever mount of the reader's shows it. */
static void name_of(const struct task *reader, struct dentry *d, struct mount **last,
		    struct text *to)
{
	struct mount_space *s = reader->fs ? reader->fs->root.mount->space : NULL;
	struct mount *m = *last;

	if (!m || m->super != d->super || !dentry_below(d, m->root)) {
		m = NULL;
		if (s)
			list_each(l, &s->mounts)
			{
				struct mount *other = list_entry(l, struct mount, in_space);

				if (other->super == d->super && dentry_below(d, other->root)) {
					m = other;
					break;
				}
			}
	}
	*last = m;
	if (m)
		(void) proc_path(reader, &(struct path){ m, d }, to); /* too long: no name */
	else
		text_put(to, "/%s", d->name);
}

void proc_map_line(const struct task *t, const struct vma *v, struct mount **last, struct text *to)
{
	const struct task_image *i = t->image;
	size_t from = to->len;
	bool file = v->pager && v->name;
	uint64_t dev = file ? v->name->super->dev : 0;

	text_put(to, "%08lx-%08lx %c%c%c%c %08lx %02lx:%02lx %lu ", vma_start(v), v->end,
		 v->prot & PROT_READ ? 'r' : '-', v->prot & PROT_WRITE ? 'w' : '-',
		 v->prot & PROT_EXEC ? 'x' : '-', v->flags & VMA_SHARED ? 's' : 'p',
		 v->pager ? v->first << PAGE_SHIFT : 0, dev >> 8, dev & 0xff,
		 file ? v->name->inode->ino : 0);
	if (file) {
		text_pad(to, from, 73);
		name_of(this_task() ? this_task() : t, v->name, last, to);
	} else if (vma_start(v) < t->space->brk && v->end > t->space->brk_start) {
		text_pad(to, from, 73);
		text_put(to, "[heap]");
	} else if (i && vma_start(v) <= i->program.stack_start && v->end > i->program.stack_start) {
		text_pad(to, from, 73);
		text_put(to, "[stack]");
	}
	text_put(to, "\n");
}

int proc_maps(const struct generated_node *n, struct text *to)
{
	const struct task *t = proc_task(n);
	struct mount *last = NULL;
	int r = t ? proc_may(t) : -ESRCH;

	if (r < 0 || !t->space)
		return r;
	for (struct tree_node *v = tree_first(&t->space->vmas); v; v = tree_next(v))
		proc_map_line(t, container_of(v, struct vma, node), &last, to);
	return 0;
}

int proc_statm(const struct generated_node *n, struct text *to)
{
	const struct task *t = proc_task(n);
	const struct space *s = t ? t->space : NULL;
	uint64_t text = 0;

	if (!t)
		return -ESRCH;
	if (s && t->image)
		text = (page_up(t->image->program.code_end) -
			page_down(t->image->program.code_start)) >>
		       PAGE_SHIFT;
	text_put(to, "%lu %lu 0 %lu 0 %lu 0\n", s ? s->mapped : 0, s ? s->resident : 0, text,
		 s ? s->data : 0);
	return 0;
}

/* The guest's own memory, as it is now. May park. */
static int words(struct space *s, uint64_t from, uint64_t to, struct text *out)
{
	char *piece;
	int r = 0;

	if (to <= from || to - from > WORDS_MOST)
		return 0;
	piece = heap_alloc(PAGE_SIZE);
	if (!piece)
		return -ENOMEM;
	while (from < to) {
		size_t n = (size_t) min_of(to - from, PAGE_SIZE);

		/* What it has unmapped itself is not told. */
		if (copy_in(s, piece, uva(from), n) < 0)
			break;
		text_add(out, piece, n);
		from += n;
	}
	heap_free(piece);
	return r;
}

int proc_cmdline(const struct generated_node *n, struct text *to)
{
	const struct task *t = proc_task(n);
	struct space *s = t ? t->space : NULL;
	int r;

	if (!t)
		return -ESRCH;
	if (!s || !t->image)
		return 0;
	space_ref(s);
	r = words(s, t->image->program.arguments_start, t->image->program.arguments_end, to);
	space_unref(s);
	return r;
}

int proc_environ(const struct generated_node *n, struct text *to)
{
	const struct task *t = proc_task(n);
	struct space *s = t ? t->space : NULL;
	int r = t ? proc_may(t) : -ESRCH;

	if (r < 0 || !s || !t->image)
		return r;
	space_ref(s);
	r = words(s, t->image->program.environment_start, t->image->program.environment_end, to);
	space_unref(s);
	return r;
}
