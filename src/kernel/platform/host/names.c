/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables of names: errors of readlink(2) that stay, by the text of a path, of one thread each. It
 * looks there by itself (gate_x86_64.S), and only reads: what it finds was told of the same text,
 * byte by byte, while it was in that call. Others only take errors away, each by one store; the
 * thread reads that word last. A text that cannot be read there is the kernel's to fail with.
 */
#include <string.h>

#include "kernel/platform/host/inside.h"

#define WORTH  32 /* names that were asked for, before there is a table */
#define FAILED 4  /* texts that could not be read, before there is none any more */

struct name {
	int32_t error;
	uint32_t len;
	char text[NAME_ROOM];
};
_Static_assert(sizeof(struct name) == NAME_SIZE && NAMES * NAME_SIZE == CHUNK_SIZE &&
		       offsetof(struct name, error) == NAME_ERROR &&
		       offsetof(struct name, len) == NAME_LENGTH &&
		       offsetof(struct name, text) == NAME_TEXT && NAMES == 1 << (32 - NAME_SHIFT),
	       "the assembler's");

static struct name *table_of(const struct plat_user *u)
{
	return chunk_ptr(u->names.area->chunk);
}

static struct name *place(const struct plat_user *u, const char *text, size_t len)
{
	uint32_t h = 0;

	for (size_t n = 0; n < len; n++)
		h = h * 31 + (unsigned char) text[n];
	return &table_of(u)[h * NAME_HASH >> NAME_SHIFT];
}

static bool make(struct plat_user *u)
{
	struct area *a = stub_area(u->space);

	if (!a)
		return false;
	memset(chunk_ptr(a->chunk), 0, CHUNK_SIZE);
	/* A thread that gets it later maps it anew. */
	a->mapped = false;
	stub_map_area(u->space, a);
	u->names.area = a;
	list_push(&host.named, &u->names.link);
	gate_names(u, area_address(a));
	return true;
}

void plat_user_name(struct plat_user *u, const char *text, size_t len, int error)
{
	struct name *n;

	if (!host.gates || u->space->dead || len == 0 || len >= NAME_ROOM ||
	    u->names.failed == FAILED || u->space->use != STUB_SERVES)
		return;
	if (!u->names.area && (error == 0 || ++u->names.asked < WORTH || !make(u)))
		return;
	n = place(u, text, len);
	/* Its thread is in this call, and does not look. */
	__atomic_store_n(&n->error, 0, __ATOMIC_RELAXED);
	if (error == 0)
		return;
	n->len = (uint32_t) len;
	memcpy(n->text, text, len);
	__atomic_store_n(&n->error, error, __ATOMIC_RELEASE);
	u->names.any = true;
}

void names_clear(struct plat_user *u)
{
	if (!u->names.any)
		return;
	for (unsigned int n = 0; n < NAMES; n++)
		__atomic_store_n(&table_of(u)[n].error, 0, __ATOMIC_RELAXED);
	/* Before the change that others see. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	u->names.any = false;
}

void plat_names_forget(void)
{
	list_each(l, &host.named)
	{
		names_clear(list_entry(l, struct plat_user, names.link));
	}
}

void names_free(struct plat_user *u)
{
	struct area *a = u->names.area;

	if (!a)
		return;
	names_clear(u);
	gate_names(u, 0);
	list_remove(&u->names.link);
	u->names.area = NULL;
	list_push(&u->space->areas, &a->link);
}

void names_failed(struct plat_user *u)
{
	if (u->names.failed < FAILED && ++u->names.failed == FAILED)
		names_free(u);
}
