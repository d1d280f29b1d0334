/* SPDX-License-Identifier: Apache-2.0 */
/* Records of networks. Every store has the rows "none" and "host"; neither can be removed. */
#pragma once

#include <stddef.h>

#include "base/arena.h"
#include "base/clock.h"
#include "store/store.h"

struct network_record {
	const char *id, *name;
	const char *driver; /* "null" "host" */
	nsec_t created;
};

struct network_records {
	struct network_record *v; /* by name */
	size_t n;
};

[[nodiscard]] int store_network_find(struct store *s, const char *name, struct arena *a,
				     struct network_record *ret, struct err *e);
[[nodiscard]] int store_network_list(struct store *s, struct arena *a, struct network_records *ret,
				     struct err *e);
