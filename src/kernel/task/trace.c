/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/task/trace.h"

#include "kernel/core/heap.h"
#include "kernel/mm/space.h"
#include "kernel/mm/uio.h"
#include "kernel/platform/platform.h"
#include "kernel/syscall/list/arguments.h"
#include "kernel/task/known.h"
#include "kernel/task/signal.h"
#include "kernel/task/task.h"

#define COUNT_MOST   1024 /* words that are counted */
#define ADDRESS_MOST 128  /* struct sockaddr_storage */

/* struct msghdr of 64 bits. */
struct message {
	uint64_t name;
	uint32_t name_bytes, pad;
	uint64_t pieces, pieces_n, control, control_bytes;
	uint32_t flags, pad_two;
};

unsigned int trace_watchers;
static struct list watchers = LIST_INIT(watchers);
/* The memory of a record that is being made: making one may park, and then another is needed. */
static char *spare;

void trace_watch(struct trace_watcher *w)
{
	list_push(&watchers, &w->link);
	trace_watchers++;
	known_forget_all();
}

void trace_unwatch(struct trace_watcher *w)
{
	list_remove(&w->link);
	trace_watchers--;
	if (trace_watchers == 0) {
		heap_free(spare);
		spare = NULL;
	}
}

/* ---- who wants it ---- */

static bool wants_process(const struct trace_watcher *w, const struct process *p)
{
	if (w->pids_n == 0)
		return true;
	for (; p; p = p->parent)
		for (size_t n = 0; n < w->pids_n; n++)
			if (w->pids[n] == p->pid)
				return true;
	return false;
}

static bool wants_call(const struct trace_watcher *w, const struct task *t)
{
	unsigned int bit = min_of(t->call.nr, (unsigned int) TRACE_CALLS - 1);

	return w->calls[bit / 64] >> bit % 64 & 1 && wants_process(w, t->process);
}

static bool wants(const struct trace_watcher *w, const struct task *t, enum trace_kind kind)
{
	switch (kind) {
	case TRACE_ENTRY:
		return w->entries && wants_call(w, t);
	case TRACE_EXIT:
		return wants_call(w, t);
	case TRACE_SIGNAL:
		return w->signals && wants_process(w, t->process);
	case TRACE_END:
	case TRACE_LOST:
		return wants_process(w, t->process);
	}
	return false;
}

/* Bytes of a text that somebody wants to see; -1: nobody wants any of it. */
static int64_t wanted(const struct task *t, enum trace_kind kind)
{
	int64_t text = -1;

	list_each(l, &watchers)
	{
		const struct trace_watcher *w = list_entry(l, struct trace_watcher, link);

		if (wants(w, t, kind))
			text = max_of(text, (int64_t) w->text);
	}
	return min_of(text, (int64_t) TRACE_TEXT_MAX);
}

static void give(const struct task *t, const struct trace_record *r)
{
	list_each_safe(l, &watchers)
	{
		struct trace_watcher *w = list_entry(l, struct trace_watcher, link);

		if (wants(w, t, (enum trace_kind) r->kind))
			w->take(w, r);
	}
}

static struct trace_record head_of(const struct task *t, enum trace_kind kind)
{
	struct trace_record r = { .bytes = sizeof(r),
				  .kind = (uint16_t) kind,
				  .pid = t->process->pid,
				  .tid = t->tid,
				  .at = plat_now(PLAT_REALTIME),
				  .took = -1 };

	if (kind == TRACE_ENTRY || kind == TRACE_EXIT) {
		r.nr = t->call.nr;
		memcpy(r.args, t->call.args, sizeof(r.args));
	}
	return r;
}

/* ---- what is behind arguments ---- */

struct copier {
	struct space *space;
	struct trace_record *r; /* followed by its parts, with room for TRACE_RECORD_MAX bytes */
	size_t text;
};

/* Room for a part of so many bytes; NULL: there is none left. */
static struct trace_part *part_begin(struct copier *c, unsigned int argument, enum trace_what what,
				     size_t bytes)
{
	struct trace_part *p = (struct trace_part *) (void *) ((char *) c->r + c->r->bytes);

	if (c->r->bytes + sizeof(*p) + trace_padded((uint32_t) bytes) > TRACE_RECORD_MAX)
		return NULL;
	*p = (struct trace_part){ .argument = (uint8_t) argument, .what = (uint8_t) what };
	return p;
}

static void part_end(struct copier *c, struct trace_part *p, size_t bytes, uint64_t of, bool cut)
{
	uint32_t padded = trace_padded((uint32_t) bytes);

	memset((char *) (p + 1) + bytes, 0, padded - bytes);
	p->bytes = (uint32_t) bytes;
	p->of = of;
	p->flags = cut ? TRACE_CUT : 0;
	c->r->bytes += (uint32_t) sizeof(*p) + padded;
	c->r->parts++;
}

static void copy_bytes(struct copier *c, unsigned int argument, enum trace_what what, uint64_t at,
		       size_t n, uint64_t of)
{
	struct trace_part *p = part_begin(c, argument, what, n);

	if (p && copy_in(c->space, p + 1, uva(at), n) == 0)
		part_end(c, p, n, of, n < of);
}

/* False: it cannot be read. */
static bool copy_string(struct copier *c, unsigned int argument, enum trace_what what, uint64_t at,
			size_t most)
{
	struct trace_part *p = part_begin(c, argument, what, most);
	int64_t n;

	if (!p)
		return false;
	n = copy_text(c->space, (char *) (p + 1), uva(at), most);
	if (n == -ENAMETOOLONG)
		part_end(c, p, most, most, true);
	else if (n >= 0)
		part_end(c, p, (size_t) n, (uint64_t) n, false);
	return n >= 0;
}

static void more(struct copier *c, unsigned int argument)
{
	struct trace_part *p = part_begin(c, argument, TRACE_MORE, 0);

	if (p)
		part_end(c, p, 0, 0, true);
}

static void copy_words(struct copier *c, unsigned int argument, uint64_t at)
{
	uint64_t word;

	for (unsigned int n = 0; copy_in(c->space, &word, uva(at), sizeof(word)) == 0 && word;
	     n++, at += sizeof(word)) {
		if (n == TRACE_ITEMS_MAX) {
			more(c, argument);
			return;
		}
		/* Or it is not told. One byte more says whether there is one. */
		(void) copy_string(c, argument, TRACE_WORD, word, c->text + 1);
	}
}

static void copy_count(struct copier *c, unsigned int argument, uint64_t at)
{
	struct trace_part *p = part_begin(c, argument, TRACE_WHOLE, sizeof(uint32_t));
	uint32_t n = 0;
	uint64_t word;

	if (!p || !at)
		return;
	for (; n < COUNT_MOST && copy_in(c->space, &word, uva(at), sizeof(word)) == 0 && word; n++)
		at += sizeof(word);
	memcpy(p + 1, &n, sizeof(n));
	part_end(c, p, sizeof(n), sizeof(n), false);
}

/* left: bytes that are there in all of them; UINT64_MAX: as many as they have room for. */
static void copy_pieces(struct copier *c, unsigned int argument, uint64_t at, uint64_t count,
			uint64_t left)
{
	for (uint64_t n = 0; n < count; n++) {
		struct uio_piece piece;
		uint64_t there;

		if (n == TRACE_ITEMS_MAX) {
			more(c, argument);
			return;
		}
		if (copy_in(c->space, &piece, uva(at + n * sizeof(piece)), sizeof(piece)) < 0)
			return;
		there = min_of(piece.len, left);
		left -= left == UINT64_MAX ? 0 : there;
		copy_bytes(c, argument, TRACE_PIECE, piece.base,
			   (size_t) min_of(there, (uint64_t) c->text), piece.len);
	}
}

static void copy_message(struct copier *c, unsigned int argument, uint64_t at, uint64_t left)
{
	struct message m;

	if (copy_in(c->space, &m, uva(at), sizeof(m)) < 0)
		return;
	copy_bytes(c, argument, TRACE_HEADER, at, sizeof(m), sizeof(m));
	if (m.name)
		copy_bytes(c, argument, TRACE_ADDRESS, m.name,
			   min_of(m.name_bytes, (uint32_t) ADDRESS_MOST), m.name_bytes);
	copy_pieces(c, argument, m.pieces, m.pieces_n, left);
}

/* Texts and buffers are shown in part, arrays of structures in whole ones. */
static size_t most_of(const struct copier *c, unsigned int kind, unsigned int unit)
{
	if (unit > 1)
		return (size_t) unit * TRACE_ITEMS_MAX;
	return kind == ARGUMENT_ADDRESS || kind == ARGUMENT_ADDRESS_OUT ? ADDRESS_MOST : c->text;
}

static void copy_counted(struct copier *c, unsigned int argument, unsigned int kind,
			 const struct task_call *call, bool out)
{
	unsigned int unit = argument_infos[kind].unit;
	uint64_t count = argument + 1 < ARGUMENTS_MOST ? call->args[argument + 1] : 0, bytes;

	/* A result that is no error. Of poll(2) all are written, and it says how many matter. */
	if (out && kind != ARGUMENT_POLLFDS)
		count = min_of(count, (uint64_t) call->result);
	if (__builtin_mul_overflow(count, (uint64_t) unit, &bytes))
		return;
	copy_bytes(c, argument, TRACE_WHOLE, call->args[argument],
		   (size_t) min_of(bytes, (uint64_t) most_of(c, kind, unit)), bytes);
}

static void copy_length(struct copier *c, unsigned int argument, unsigned int kind,
			const struct task_call *call)
{
	uint32_t n;

	if (argument + 1 < ARGUMENTS_MOST && call->args[argument + 1] &&
	    copy_in(c->space, &n, uva(call->args[argument + 1]), sizeof(n)) == 0)
		copy_bytes(c, argument, TRACE_WHOLE, call->args[argument],
			   min_of((size_t) n, most_of(c, kind, 1)), n);
}

static void copy_argument(struct copier *c, unsigned int argument, unsigned int kind,
			  const struct task_call *call, bool out)
{
	const struct argument_info *i = &argument_infos[kind];
	uint64_t at = call->args[argument], left = out ? (uint64_t) call->result : UINT64_MAX;

	switch ((enum argument_shape) i->shape) {
	case SHAPE_VALUE:
		break;
	case SHAPE_TEXT:
		(void) copy_string(c, argument, TRACE_WHOLE, at,
				   kind == ARGUMENT_TEXT ? c->text + 1 : i->unit);
		break;
	case SHAPE_FIXED:
		copy_bytes(c, argument, TRACE_WHOLE, at, i->unit, i->unit);
		break;
	case SHAPE_COUNTED:
		copy_counted(c, argument, kind, call, out);
		break;
	case SHAPE_LENGTH:
		copy_length(c, argument, kind, call);
		break;
	case SHAPE_PIECES:
		copy_pieces(c, argument, at, call->args[argument + 1], left);
		break;
	case SHAPE_MESSAGE:
		copy_message(c, argument, at, left);
		break;
	case SHAPE_WORDS:
		copy_words(c, argument, at);
		break;
	case SHAPE_COUNT:
		copy_count(c, argument, at);
		break;
	}
}

static void copy_arguments(struct copier *c, const struct task_call *call, bool out)
{
	const struct call_arguments *a = call_arguments(call->nr);
	unsigned int when = out ? ARGUMENT_OUT : ARGUMENT_IN;

	for (unsigned int n = 0; n < ARGUMENTS_MOST && a->kinds[n] != ARGUMENT_NONE; n++)
		if (argument_infos[a->kinds[n]].when & when && call->args[n])
			copy_argument(c, n, a->kinds[n], call, out);
}

/* What is looked at for a trace alone may fail as the guest likes: nothing is to come of it. */
static void tell_with_parts(struct task *t, const struct trace_record *head, size_t text)
{
	const struct task_call call = t->call;
	char *memory = spare ? spare : heap_alloc(TRACE_RECORD_MAX);
	bool out = head->kind == TRACE_EXIT, starved = t->space->starved;

	spare = NULL;
	if (!memory) {
		give(t, head);
		return;
	}
	struct copier c = { .space = t->space,
			    .r = (struct trace_record *) (void *) memory,
			    .text = text };
	*c.r = *head;
	copy_arguments(&c, &call, out);
	t->space->starved = starved;
	give(t, c.r);
	if (spare || trace_watchers == 0)
		heap_free(memory);
	else
		spare = memory;
}

/* ---- the hooks ---- */

void trace_entry(struct task *t)
{
	int64_t text = wanted(t, TRACE_ENTRY);
	struct trace_record r;

	t->call.told = false;
	t->call.began = plat_now(PLAT_MONOTONIC);
	if (text < 0)
		return;
	r = head_of(t, TRACE_ENTRY);
	if (text == 0)
		give(t, &r);
	else
		tell_with_parts(t, &r, (size_t) text);
	/* What was copied took its time, too. */
	t->call.began = plat_now(PLAT_MONOTONIC);
}

void trace_exit(struct task *t)
{
	int64_t text = wanted(t, TRACE_EXIT);
	struct trace_record r;

	t->call.told = true;
	if (text < 0)
		return;
	r = head_of(t, TRACE_EXIT);
	r.result = t->call.result;
	if (t->call.began)
		r.took = plat_now(PLAT_MONOTONIC) - t->call.began;
	if (text == 0 || r.result < 0)
		give(t, &r);
	else
		tell_with_parts(t, &r, (size_t) text);
}

void trace_signal(struct task *t, const struct signal_info *info)
{
	struct trace_record r;

	/* Its result is one of ERESTART*, or it would have been told. */
	if (t->call.in && t->call.began && !t->call.told)
		trace_exit(t);
	r = head_of(t, TRACE_SIGNAL);
	r.args[0] = (uint64_t) info->nr;
	r.args[1] = (uint64_t) (int64_t) info->code;
	r.args[2] = info->sent.pid;
	r.args[3] = info->sent.uid;
	r.args[4] = info->fault.address;
	give(t, &r);
}

void trace_end(struct task *t)
{
	const struct process *p = t->process;
	struct trace_record r = head_of(t, TRACE_END);

	r.result = p->exiting || p->thread_count == 1 ? p->exit_status : -1;
	r.args[0] = p->thread_count == 1;
	give(t, &r);
}
