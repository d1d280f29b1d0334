/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/output.h"

#include "base/auto.h"

int output_open(struct output *o, const struct shim_create *c, int dir_fd, struct err *e)
{
	int r = 0;

	*o = (struct output){
		.driver = (enum shim_log_driver) c->log_driver,
		.file = { .fd = FD_NONE, .batch = BUF_INIT(LOGFILE_BATCH_MAX) },
		.journal = { .fd = FD_NONE,
			     .id = c->id,
			     .name = c->name,
			     .image = c->image,
			     .tag = c->log_tag },
		.partial = { BUF_INIT(OUTPUT_LINE_MAX), BUF_INIT(OUTPUT_LINE_MAX) },
	};
	switch (o->driver) {
	case SHIM_LOG_JSON_FILE:
		r = logfile_open(&o->file, dir_fd, c->log_max_bytes, c->log_max_files);
		return r < 0 ? err_sys(e, -r, "open the log '" LOGFILE_NAME "'") : 0;
	case SHIM_LOG_JOURNALD:
		r = journal_open(&o->journal);
		return r < 0 ? err_set(e, ERR_UNSUPPORTED, -r,
				       "log driver journald: no journal listens at " JOURNAL_SOCKET
				       "; use --log-driver json-file")
			     : 0;
	case SHIM_LOG_NONE:
		return 0;
	}
	return 0;
}

void output_close(struct output *o)
{
	output_end(o, SHIM_STREAM_STDOUT);
	output_end(o, SHIM_STREAM_STDERR);
	logfile_close(&o->file);
	journal_close(&o->journal);
}

/* One line, or a part of one when it has no line end. */
static void emit(struct output *o, enum shim_stream stream, struct str text, nsec_t now,
		 bool partial)
{
	switch (o->driver) {
	case SHIM_LOG_JSON_FILE:
		logfile_add(&o->file, stream, text, now);
		return;
	case SHIM_LOG_JOURNALD:
		if (text.n && text.p[text.n - 1] == '\n')
			text.n--;
		journal_add(&o->journal, stream, text, partial);
		return;
	case SHIM_LOG_NONE:
		return;
	}
}

/* Bytes of the UTF-8 sequence that begins with c; 1 when none does. */
static size_t sequence_bytes(unsigned char c)
{
	if (c >= 0xf0)
		return 4;
	if (c >= 0xe0)
		return 3;
	return c >= 0xc0 ? 2 : 1;
}

/* How much of a part to log so that no character is cut. */
static size_t whole_characters(const char *p, size_t n)
{
	for (size_t back = 1; back <= 3 && back < n; back++) {
		unsigned char c = (unsigned char) p[n - back];

		if ((c & 0xc0) != 0x80)
			return sequence_bytes(c) > back ? n - back : n;
	}
	return n;
}

void output_bytes(struct output *o, enum shim_stream stream, struct str bytes)
{
	struct buf *held = &o->partial[stream == SHIM_STREAM_STDERR];
	nsec_t now;

	if (o->driver == SHIM_LOG_NONE)
		return;
	now = clock_wall();
	while (bytes.n) {
		size_t room = OUTPUT_LINE_MAX - held->n;
		size_t look = bytes.n < room ? bytes.n : room;
		const char *end = memchr(bytes.p, '\n', look);
		size_t n = end ? (size_t) (end - bytes.p) + 1 : look;
		bool full = !end && n == room;

		if (!end && !full) { /* the rest of the line is still to come */
			buf_add(held, bytes.p, n);
			break;
		}
		if (full)
			n = whole_characters(bytes.p, n);
		if (held->n) {
			buf_add(held, bytes.p, n);
			emit(o, stream, buf_str(held), now, !end);
			buf_fini(held);
			*held = BUF_INIT(OUTPUT_LINE_MAX);
		} else {
			emit(o, stream, (struct str){ bytes.p, n }, now, !end);
		}
		bytes.p += n;
		bytes.n -= n;
	}
	if (o->driver == SHIM_LOG_JSON_FILE)
		logfile_flush(&o->file);
}

void output_end(struct output *o, enum shim_stream stream)
{
	struct buf *held = &o->partial[stream == SHIM_STREAM_STDERR];

	if (held->n) {
		emit(o, stream, buf_str(held), clock_wall(), false);
		if (o->driver == SHIM_LOG_JSON_FILE)
			logfile_flush(&o->file);
	}
	buf_fini(held);
	*held = BUF_INIT(OUTPUT_LINE_MAX);
}

uint64_t output_lost(const struct output *o)
{
	return o->file.lost + o->journal.lost;
}
