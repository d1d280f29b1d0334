/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs of networks: today only looking at the two there are, none and host. */
#pragma once

#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "store/network.h"
#include "svc/svc.h"

/* filters: "name=" (a part of it), "driver=", "id=" (its beginning). INVALID: another. */
[[nodiscard]] int network_ls(struct svc *s, const char *const *filters, size_t filters_n,
			     struct arena *a, struct network_records *ret, struct err *e);
/* Docker's object of it. NOT_FOUND. */
[[nodiscard]] int network_inspect(struct svc *s, const char *name, struct buf *ret_json,
				  struct err *e);
