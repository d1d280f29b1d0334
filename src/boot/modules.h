/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The modules that a microVM's devices need: which of them a kernel has built in, which are loaded,
 * in which order, and their files.
 */
#pragma once

#include <sys/stat.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "boot/configs.h"
#include "fmt/bzimage.h"
#include "fmt/digest.h"
#include "fmt/kmod.h"
#include "fmt/prepared.h"

struct modules {
	struct arena arena;
	struct buf dep, builtin, builtin_modinfo, alias, softdep; /* depmod's files */
	struct kmod_list list;					  /* what to load, in this order */
	size_t later_from;		/* those from here on wait until they are asked for */
	struct buf *texts;		/* of each: its file, as it is on disk */
	char lacks[PREPARED_LACKS_MAX]; /* of those that could be done without */
	struct stat dep_stat;
	struct digest digest; /* of the texts, in their order */
	bool keep_signed;     /* the kernel loads no module without its signature */
};
#define MODULES_INIT ((struct modules){ .arena = ARENA_INIT((size_t) 1 << 20) })
void modules_fini(struct modules *m);
#define auto_modules __attribute__((cleanup(modules_fini)))

/*
 * Read those of a version below the directory (/lib/modules; dir names it in messages). configs:
 * the host's. Names and links in there that lead out of the directory lead nowhere. NOT_FOUND: no
 * modules of this version; UNSUPPORTED: the kernel has one neither built in nor as a module that
 * is needed.
 */
[[nodiscard]] int modules_read(int dir_fd, const char *dir, const char *version,
			       const struct configs *configs, struct modules *ret, struct err *e);

/* The i-th as it shall be loaded: decompressed, and without what only debuggers read. */
[[nodiscard]] int modules_text(const struct modules *m, size_t i, struct buf *ret, struct err *e);
