/* SPDX-License-Identifier: Apache-2.0 */
#include "device/fs_ids.h"

#include <errno.h>
#include <stdlib.h>

#define SLOTS_FIRST 64

struct fs_id_slot {
	void *object; /* NULL: free */
	uint32_t uses, next;
};

void fs_ids_init(struct fs_ids *t, size_t max)
{
	*t = (struct fs_ids){ .max = max < UINT32_MAX ? max : UINT32_MAX - 1 };
}

void fs_ids_fini(struct fs_ids *t)
{
	free(t->slots);
	fs_ids_init(t, t->max);
}

static int grow(struct fs_ids *t)
{
	size_t n = t->slots_n ? t->slots_n * 2 : SLOTS_FIRST;
	struct fs_id_slot *more;

	if (n > UINT32_MAX)
		return -ENFILE;
	more = reallocarray(t->slots, n, sizeof(*more));
	if (!more)
		return -ENOMEM;
	for (size_t i = n; i-- > t->slots_n;) {
		more[i] = (struct fs_id_slot){ .next = i > 0 ? t->first : 0 };
		if (i > 0)
			t->first = (uint32_t) i;
	}
	t->slots = more;
	t->slots_n = n;
	return 0;
}

int fs_ids_add(struct fs_ids *t, void *object, uint64_t *ret_id)
{
	struct fs_id_slot *s;
	uint32_t at;

	if (t->used >= t->max)
		return -ENFILE;
	if (!t->first) {
		int r = grow(t);

		if (r < 0)
			return r;
	}
	at = t->first;
	s = &t->slots[at];
	t->first = s->next;
	s->object = object;
	t->used++;
	*ret_id = (uint64_t) s->uses << 32 | at;
	return 0;
}

int fs_ids_put(struct fs_ids *t, uint64_t id, void *object)
{
	uint32_t at = (uint32_t) id;

	if (at == 0 || at > t->max || t->used >= t->max)
		return -EINVAL;
	while (at >= t->slots_n) {
		int r = grow(t);

		if (r < 0)
			return r;
	}
	if (t->slots[at].object)
		return -EINVAL;
	t->slots[at].object = object;
	t->slots[at].uses = (uint32_t) (id >> 32);
	t->used++;
	return 0;
}

void fs_ids_mend(struct fs_ids *t)
{
	uint32_t uses = 0;

	for (size_t i = 1; i < t->slots_n; i++)
		if (t->slots[i].uses > uses)
			uses = t->slots[i].uses;
	t->first = 0;
	for (size_t i = t->slots_n; i-- > 1;)
		if (!t->slots[i].object) {
			t->slots[i].uses = uses + 1;
			t->slots[i].next = t->first;
			t->first = (uint32_t) i;
		}
}

static struct fs_id_slot *slot(const struct fs_ids *t, uint64_t id)
{
	struct fs_id_slot *s = NULL;

	if ((uint32_t) id < t->slots_n)
		s = &t->slots[(uint32_t) id];
	return s && s->object && s->uses == id >> 32 ? s : NULL;
}

void *fs_ids_get(const struct fs_ids *t, uint64_t id)
{
	struct fs_id_slot *s = slot(t, id);

	return s ? s->object : NULL;
}

void fs_ids_drop(struct fs_ids *t, uint64_t id)
{
	struct fs_id_slot *s = slot(t, id);

	if (!s)
		return;
	s->object = NULL;
	s->uses++;
	s->next = t->first;
	t->first = (uint32_t) id;
	t->used--;
}

void *fs_ids_next(const struct fs_ids *t, size_t at, size_t *ret_next)
{
	for (; at < t->slots_n; at++)
		if (t->slots[at].object) {
			*ret_next = at + 1;
			return t->slots[at].object;
		}
	return NULL;
}
