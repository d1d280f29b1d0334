/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/task/cred.h"

#include "kernel/core/heap.h"

static struct heap_cache creds = HEAP_CACHE_INIT(struct cred);

struct cred *cred_new(void)
{
	struct cred *c = heap_cache_alloc(&creds);

	if (c)
		c->owners = 1;
	return c;
}

struct cred *cred_copy(const struct cred *from)
{
	struct cred *c = cred_new();

	if (!c)
		return NULL;
	*c = *from;
	c->owners = 1;
	c->groups = NULL;
	if (from->group_count > 0) {
		c->groups = heap_alloc(from->group_count * sizeof(*c->groups));
		if (!c->groups) {
			heap_cache_free(&creds, c);
			return NULL;
		}
		memcpy(c->groups, from->groups, from->group_count * sizeof(*c->groups));
	}
	return c;
}

/* What counts owners is nobody's secret: the rest of a shared one never changes. */
static struct cred *counted(const struct cred *c)
{
	return c && c->owners > 0 ? (struct cred *) (uintptr_t) c : NULL;
}

const struct cred *cred_ref(const struct cred *c)
{
	struct cred *own = counted(c);

	if (own)
		own->owners++;
	return c;
}

void cred_unref(const struct cred *c)
{
	struct cred *own = counted(c);

	if (!own || --own->owners > 0)
		return;
	heap_free(own->groups);
	heap_cache_free(&creds, own);
}
