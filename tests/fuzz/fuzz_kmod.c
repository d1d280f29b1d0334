/* SPDX-License-Identifier: Apache-2.0 */
/* depmod's files, split at bytes 1: every path that is listed is a piece of the text, and once. */
#include <stdlib.h>

#include "fmt/kmod.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "erofs", "virtio_pci", "fuse", "ring", "a" };
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	struct str rest = { (const char *) data, size };
	struct kmod_list l = {};
	struct kmod_index x = { .dep = str_cut(rest, 1, &rest) };

	x.builtin = str_cut(rest, 1, &rest);
	x.builtin_modinfo = str_cut(rest, 1, &rest);
	x.alias = str_cut(rest, 1, &rest);
	x.softdep = str_cut(rest, 1, &rest);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		(void) !kmod_add(&x, str_of(names[i]), &a, &l); /* full, or not: as it comes */
	if (l.n > KMOD_LIST_MAX)
		abort();
	for (size_t i = 0; i < l.n; i++) {
		if (l.v[i].p < (const char *) data ||
		    l.v[i].p + l.v[i].n > (const char *) data + size)
			abort();
		for (size_t j = 0; j < i; j++)
			if (str_eq(l.v[i], l.v[j]))
				abort();
	}
	return 0;
}
