/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/record.h"

#include <errno.h>

#include "kernel/syscall/list/arguments.h"

static int take_parts(struct str s, struct trace_call *ret)
{
	if (ret->head.parts > TRACE_PARTS_MAX)
		return -EBADMSG;
	for (ret->parts_n = 0; ret->parts_n < ret->head.parts; ret->parts_n++) {
		struct trace_piece *p = &ret->parts[ret->parts_n];
		size_t padded;

		if (s.n < sizeof(p->head))
			return -EBADMSG;
		memcpy(&p->head, s.p, sizeof(p->head));
		if (p->head.bytes > TRACE_RECORD_MAX || p->head.argument >= ARGUMENTS_MOST ||
		    p->head.what > TRACE_MORE)
			return -EBADMSG;
		padded = sizeof(p->head) + trace_padded(p->head.bytes);
		if (s.n < padded)
			return -EBADMSG;
		p->bytes = s.p + sizeof(p->head);
		s = (struct str){ s.p + padded, s.n - padded };
	}
	return s.n ? -EBADMSG : 0;
}

int trace_next(struct str *rest, struct trace_call *ret)
{
	uint32_t bytes;
	int r;

	if (rest->n == 0)
		return 0;
	if (rest->n < sizeof(ret->head))
		return -EBADMSG;
	memcpy(&ret->head, rest->p, sizeof(ret->head));
	bytes = ret->head.bytes;
	if (bytes < sizeof(ret->head) || bytes > rest->n || bytes > TRACE_RECORD_MAX ||
	    ret->head.kind < TRACE_ENTRY || ret->head.kind > TRACE_LOST)
		return -EBADMSG;
	r = take_parts((struct str){ rest->p + sizeof(ret->head), bytes - sizeof(ret->head) }, ret);
	*rest = (struct str){ rest->p + bytes, rest->n - bytes };
	return r < 0 ? r : 1;
}

const struct trace_piece *trace_find(const struct trace_call *c, unsigned int argument,
				     enum trace_what what)
{
	for (size_t n = 0; n < c->parts_n; n++)
		if (c->parts[n].head.argument == argument && c->parts[n].head.what == what)
			return &c->parts[n];
	return NULL;
}
