/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What depmod(8) leaves in /lib/modules/VERSION: which modules there are, what each needs, and
 * which of them the kernel has built in (modules.dep(5), modprobe.d(5) for soft dependencies).
 * Names are compared as the kernel does: '-' and '_' are one. Nothing is loaded here.
 * And a module's file without what only debuggers read.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"

/* The files' texts, borrowed; those that are not there are empty. */
struct kmod_index {
	struct str dep;		    /* modules.dep */
	struct str builtin;	    /* modules.builtin */
	struct str builtin_modinfo; /* modules.builtin.modinfo */
	struct str alias;	    /* modules.alias */
	struct str softdep;	    /* modules.softdep */
};

/* Whether the name is a module that the kernel has built in. */
bool kmod_is_builtin(const struct kmod_index *x, struct str name);
/* A module's line in modules.dep: its path, and those it needs (the last first). */
bool kmod_find(const struct kmod_index *x, struct str name, struct str *ret_path,
	       struct str *ret_needs);

struct kmod_list { /* paths in the order of loading, each once; in an arena */
	struct str *v;
	size_t n;
};

enum kmod_found { KMOD_MISSING, KMOD_BUILTIN, KMOD_LISTED };
/*
 * Append the module and what it needs, softly ("pre") too, where that is there. Paths borrow from
 * the index. -ENOMEM, -E2BIG (more than KMOD_LIST_MAX), or enum kmod_found.
 */
#define KMOD_LIST_MAX 99
[[nodiscard]] int kmod_add(const struct kmod_index *x, struct str name, struct arena *a,
			   struct kmod_list *list);

/* "kernel/fs/fuse/virtio-fs.ko.xz" -> "virtio-fs". */
struct str kmod_name_of(struct str path);

/*
 * A module (.ko, uncompressed) without its debugging sections and type information (.debug_*,
 * .BTF*, .comment), and, for x86-64, without what the kernel's unwinder and function tracer want
 * of it (.orc_*, __mcount_loc, the calls of __fentry__), which takes most of its loading; appended
 * to ret. What follows the ELF file (a signature) is left out. 0; -ENOMEM; -ENOEXEC: this is no
 * module that can be rewritten safely, take it as it is.
 */
[[nodiscard]] int kmod_strip(struct str module, struct buf *ret);
