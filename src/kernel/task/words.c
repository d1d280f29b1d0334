/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/core/heap.h"
#include "kernel/task/program.h"

void words_init(struct words *w, size_t most)
{
	*w = (struct words){ .most = most };
}

void words_fini(struct words *w)
{
	heap_free(w->bytes);
	words_init(w, 0);
}

/* A gap of n bytes at `at`. Room doubles, so that many words cost no more than their bytes. */
static int make_room(struct words *w, size_t at, size_t n)
{
	size_t room = max_of(w->room, (size_t) 256);
	char *bytes;

	if (n > w->most || w->used > w->most - n)
		return -E2BIG;
	while (room < w->used + n)
		room *= 2;
	if (room > w->room) {
		bytes = heap_alloc(room);
		if (!bytes)
			return -ENOMEM;
		if (w->bytes)
			memcpy(bytes, w->bytes, w->used);
		heap_free(w->bytes);
		w->bytes = bytes;
		w->room = room;
	}
	memmove(w->bytes + at + n, w->bytes + at, w->used - at);
	w->used += n;
	return 0;
}

static int insert(struct words *w, size_t at, const char *text, size_t len)
{
	int r = len == SIZE_MAX ? -E2BIG : make_room(w, at, len + 1);

	if (r < 0)
		return r;
	memcpy(w->bytes + at, text, len);
	w->bytes[at + len] = 0;
	w->count++;
	return 0;
}

int words_add(struct words *w, const char *text, size_t len)
{
	return insert(w, w->used, text, len);
}

int words_put_first(struct words *w, const char *text, size_t len)
{
	return insert(w, 0, text, len);
}

void words_drop_first(struct words *w)
{
	size_t n = w->count ? strlen(w->bytes) + 1 : 0;

	if (!n)
		return;
	memmove(w->bytes, w->bytes + n, w->used - n);
	w->used -= n;
	w->count--;
}
