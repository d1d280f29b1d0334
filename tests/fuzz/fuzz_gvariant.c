/* SPDX-License-Identifier: Apache-2.0 */
/* A value of an annotation: what is accepted has a type that D-Bus has, and can be written. */
#include <errno.h>
#include <stdlib.h>

#include "fmt/dbus.h"
#include "fmt/gvariant.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = ARENA_INIT(8u << 20);
	auto_buf struct buf b = BUF_INIT(1u << 20);
	const struct gvariant *v;
	const char *why = NULL;
	uint64_t usec;
	int r = gvariant_parse(&a, (struct str){ (const char *) data, size }, &v, &why);

	if (r < 0) {
		if (r == -EINVAL && !why)
			abort();
		return 0;
	}
	if (!dbus_type_valid(str_of(gvariant_type(v))))
		abort();
	(void) gvariant_seconds(v, &usec);
	gvariant_write(&b, v);
	if (!buf_ok(&b) && size < 512)
		abort();
	return 0;
}
