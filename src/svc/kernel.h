/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels of machines as the user sees them: which there are and which is used, the choice of
 * another, and the removal of what was prepared of them. The kernels themselves are the
 * distribution's; nothing here removes one.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "engine/kernel.h"
#include "svc/svc.h"

struct prune_result; /* svc/workload.h */

struct kernel_row {
	const char *version, *path;
	uint64_t size;	   /* bytes of its file */
	bool used;	   /* a machine that asks for none gets this one */
	const char *id;	   /* of its prepared files, or NULL */
	uint64_t bytes;	   /* of its prepared files */
	const char *lacks; /* modules that were left out of them, "": none */
};
struct kernel_rows {
	struct kernel_row *v;
	size_t n;
};

/* Those of the host, and the one that is used where it is none of them. */
[[nodiscard]] int svc_kernel_ls(struct svc *s, struct arena *a, struct kernel_rows *ret,
				struct err *e);

/*
 * Use another from now on, once it is prepared, and thus known to be fit. ref: a version, a path;
 * NULL: the default again.
 */
[[nodiscard]] int svc_kernel_use(struct svc *s, const char *ref, struct kernel *ret, struct err *e);

/* All about one, by version, path or prepared id, as a JSON object. NOT_FOUND. */
[[nodiscard]] int svc_kernel_inspect(struct svc *s, const char *ref, struct buf *ret_json,
				     struct err *e);

/* Remove what was prepared. ref: a version, a path, an id or what it begins with. NOT_FOUND. */
[[nodiscard]] int svc_kernel_rm(struct svc *s, const char *ref, struct err *e);

/* The same for all that no kernel of the host would use as it is now; all: for those too. */
[[nodiscard]] int svc_kernel_prune(struct svc *s, bool all, struct arena *a,
				   struct prune_result *ret, struct err *e);
