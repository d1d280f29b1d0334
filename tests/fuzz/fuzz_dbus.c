/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a bus sends: its first words and messages, in pieces as they arrive; and addresses. All that
 * is taken out lies within what came in.
 */
#include <stdlib.h>

#include "fmt/dbus.h"
#include "fuzz.h"

static void inside(struct str part, struct str whole)
{
	if (part.n > 0 && (part.p < whole.p || part.p + part.n > whole.p + whole.n))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str all = { (const char *) data, size }, text;
	struct dbus_address a;
	struct dbus_message m;
	size_t n;
	uint32_t v;
	int used = dbus_welcome(all);

	if (used > 0 && (size_t) used > size)
		abort();
	if (dbus_address_parse(all, &a) == 0 && (a.n == 0 || a.path[a.n]))
		abort();
	(void) dbus_type_valid(all);
	(void) dbus_object_path_valid(all);
	if (used < 0)
		used = 0;
	all = (struct str){ all.p + used, all.n - (size_t) used };
	while (dbus_size(all, &n) == 0 && n <= all.n) {
		if (dbus_parse((struct str){ all.p, n }, &m) == 0) {
			struct dbus_reader r = DBUS_READER(&m);

			inside(m.path, all);
			inside(m.error, all);
			inside(m.signature, all);
			inside(m.body, all);
			while (dbus_read_string(&r, &text) == 0)
				inside(text, m.body);
			while (dbus_read_u32(&r, &v) == 0)
				continue;
		}
		all = (struct str){ all.p + n, all.n - n };
	}
	return 0;
}
