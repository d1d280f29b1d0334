/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/state/stream.h"

void out_bytes(struct state_out *o, const void *bytes, size_t n)
{
	if (o->error == 0 && n > 0)
		o->error = o->write(o, bytes, n);
}

void out_number(struct state_out *o, uint64_t v)
{
	unsigned char bytes[8];

	for (size_t n = 0; n < sizeof(bytes); n++)
		bytes[n] = (unsigned char) (v >> 8 * n);
	out_bytes(o, bytes, sizeof(bytes));
}

void out_text(struct state_out *o, const char *text, size_t n)
{
	out_number(o, n);
	out_bytes(o, text, n);
}

uint64_t out_page(struct state_out *o, const void *page)
{
	if (o->error == 0)
		o->error = o->page(o, o->pages, page);
	return o->pages++;
}

void in_fail(struct state_in *in, int error)
{
	if (in->error == 0)
		in->error = error;
}

void in_bytes(struct state_in *in, void *to, size_t n)
{
	if (in->error == 0 && n > in->left)
		in->error = -EBADMSG;
	if (in->error < 0) {
		memset(to, 0, n);
		return;
	}
	memcpy(to, in->at, n);
	in->at += n;
	in->left -= n;
}

uint64_t in_number(struct state_in *in, uint64_t most)
{
	unsigned char bytes[8];
	uint64_t v = 0;

	in_bytes(in, bytes, sizeof(bytes));
	for (size_t n = 0; n < sizeof(bytes); n++)
		v |= (uint64_t) bytes[n] << 8 * n;
	if (v > most) {
		in_fail(in, -EBADMSG);
		return 0;
	}
	return v;
}

size_t in_text(struct state_in *in, char *to, size_t room)
{
	size_t n = (size_t) in_number(in, room - 1);

	in_bytes(in, to, n);
	to[n] = '\0';
	/* What has an end within is no text. */
	for (size_t i = 0; i < n; i++)
		if (!to[i])
			in_fail(in, -EBADMSG);
	return in->error < 0 ? 0 : n;
}

void in_page(struct state_in *in, uint64_t nr, void *page)
{
	if (in->error == 0)
		in->error = nr < in->pages ? in->page(in, nr, page) : -EBADMSG;
	if (in->error < 0)
		memset(page, 0, PAGE_SIZE);
}
