/* SPDX-License-Identifier: Apache-2.0 */
/* sysfs(2), ustat(2): old questions about file systems. */
#include "kernel/fs/proc/proc.h"
#include "kernel/fs/text.h"
#include "kernel/syscall/decode.h"

#define TYPE_LONGEST 32

/* The next type of /proc/filesystems from *at on, with an end; false: no more. */
static bool next_type(const struct text *t, size_t *at, char type[static TYPE_LONGEST])
{
	size_t n = 0;

	while (*at < t->len && t->bytes[*at] != '\t')
		(*at)++;
	if (*at == t->len)
		return false;
	for ((*at)++; *at < t->len && t->bytes[*at] != '\n'; (*at)++) {
		if (n + 1 < TYPE_LONGEST)
			type[n++] = t->bytes[*at];
	}
	type[n] = 0;
	return true;
}

static sysret_t number_of(struct task *t, const struct text *all, uva_t name)
{
	char wanted[TYPE_LONGEST], type[TYPE_LONGEST];
	int64_t len = copy_text(t->space, wanted, name, sizeof(wanted));
	sysret_t n = 0;

	if (len < 0)
		return len == -ENAMETOOLONG ? -EINVAL : len;
	for (size_t at = 0; next_type(all, &at, type); n++) {
		if (strlen(type) == (size_t) len && memcmp(type, wanted, (size_t) len) == 0)
			return n;
	}
	return -EINVAL;
}

static sysret_t name_of(struct task *t, const struct text *all, uint32_t number, uva_t to)
{
	char type[TYPE_LONGEST];

	for (size_t at = 0; next_type(all, &at, type);) {
		if (number-- == 0)
			return copy_out(t->space, to, type, strlen(type) + 1);
	}
	return -EINVAL;
}

static sysret_t count(const struct text *all)
{
	char type[TYPE_LONGEST];
	sysret_t n = 0;

	for (size_t at = 0; next_type(all, &at, type);)
		n++;
	return n;
}

sysret_t sys_sysfs(struct task *t, const uint64_t *a)
{
	struct text all = {};
	sysret_t r = -EINVAL;

	proc_filesystems(&all);
	if (all.failed)
		r = -ENOMEM;
	else if ((int) a[0] == 1)
		r = number_of(t, &all, uva(a[1]));
	else if ((int) a[0] == 2)
		r = name_of(t, &all, (uint32_t) a[1], uva(a[2]));
	else if ((int) a[0] == 3)
		r = count(&all);
	text_fini(&all);
	return r;
}

/* As Linux splits a device's number of 32 bits. */
static uint64_t device(uint32_t dev)
{
	return (uint64_t) (dev >> 8 & 0xfff) << 8 | (dev & 0xff) |
	       (uint64_t) (dev >> 12 & 0xfff00) << 12;
}

sysret_t sys_ustat(struct task *t, const uint64_t *a)
{
	struct {
		int32_t free;
		uint64_t inodes;
		char name[6], pack[6];
	} out = {};
	const struct mount_space *m = t->fs->root.mount->space;

	list_each(l, &m->mounts)
	{
		struct super *s = list_entry(l, struct mount, in_space)->super;
		struct vfs_statfs v = {};

		if (s->dev != device((uint32_t) a[0]))
			continue;
		super_statfs(s, &v);
		out.free = (int32_t) v.free;
		out.inodes = v.inodes_free;
		return copy_out(t->space, uva(a[1]), &out, sizeof(out));
	}
	return -EINVAL;
}
