/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/cpio.h"

#include <string.h>
#include <sys/stat.h>

/* Names and contents are padded to four bytes, counted from the archive's start. */
static void pad(struct cpio *c)
{
	while (buf_ok(c->out) && (c->out->n - c->from) % 4)
		buf_addc(c->out, '\0');
}

static void add(struct cpio *c, const char *name, uint32_t mode, uint32_t ino, struct str content)
{
	uint32_t links = S_ISDIR(mode) ? 2 : 1, name_n = (uint32_t) strlen(name) + 1;

	if (content.n > UINT32_MAX) {
		c->out->failed = true;
		return;
	}
	/* magic ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor
	 * namesize check */
	buf_addf(c->out, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", ino, mode,
		 0u, 0u, links, 0u, (uint32_t) content.n, 0u, 0u, 0u, 0u, name_n, 0u);
	buf_add(c->out, name, name_n);
	pad(c);
	buf_addstr(c->out, content);
	pad(c);
}

void cpio_init(struct cpio *c, struct buf *out)
{
	*c = (struct cpio){ .out = out, .from = out->n };
}

void cpio_add(struct cpio *c, const char *name, uint32_t mode, struct str content)
{
	add(c, name, mode, ++c->entries, content);
}

void cpio_end(struct cpio *c)
{
	add(c, "TRAILER!!!", 0, 0, (struct str){ 0 });
}
