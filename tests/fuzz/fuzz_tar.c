/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tar stream, in pieces whose length the first byte chooses: events come in order, data within
 * the size that its entry has, and names hold no NUL.
 */
#include <stdlib.h>
#include <string.h>

#include "fmt/tar.h"
#include "fuzz.h"

static void check_event(const struct tar_event *event, const struct tar_entry **entry)
{
	switch (event->kind) {
	case TAR_MORE:
	case TAR_EOF:
		break;
	case TAR_ENTRY:
		*entry = event->entry;
		if ((*entry)->name.n == 0 || strlen((*entry)->name.p) != (*entry)->name.n)
			abort();
		break;
	case TAR_DATA:
		if (!*entry || event->off > (*entry)->size ||
		    event->data.n > (*entry)->size - event->off)
			abort();
		break;
	case TAR_ENTRY_END:
		if (!*entry)
			abort();
		*entry = NULL;
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_tar struct tar t;
	size_t piece = size ? (size_t) data[0] * 8 + 1 : 1;
	const struct tar_entry *entry = NULL;
	struct err e;

	tar_init(&t);
	/* That byte belongs to the archive as well, so that archives are inputs as they are. */
	for (size_t at = 0; at < size; at += piece) {
		struct str in = { (const char *) data + at, size - at < piece ? size - at : piece };
		struct tar_event event = { .kind = TAR_MORE };

		do {
			if (tar_step(&t, &in, &event, &e) < 0)
				return 0;
			check_event(&event, &entry);
		} while (event.kind != TAR_MORE);
	}
	(void) tar_finish(&t, &e); /* cut short is the commonest damage */
	return 0;
}
