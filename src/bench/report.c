/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/report.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/auto.h"
#include "fmt/json.h"

static const struct figure_kind kinds[FIGURE_COUNT] = {
	[FIGURE_FIRST] = { "start_first_instruction", "FIRST INSTRUCTION",
			   "start to the first instruction", UNIT_NS },
	[FIGURE_EXIT] = { "start_exit", "EXIT", "start to the exit", UNIT_NS },
	[FIGURE_COMMAND] = { "command_exit", "COMMAND", "start of the command to its exit",
			     UNIT_NS },
	[FIGURE_STOP] = { "stop", "STOP", "stop", UNIT_NS },
	[FIGURE_MEMORY] = { "memory_overhead", "MEMORY", "host memory beyond the workload's own",
			    UNIT_BYTES },
	[FIGURE_DISK] = { "disk", "DISK", "size on disk", UNIT_BYTES },
	[FIGURE_SYSCALL] = { "syscall", "SYSTEM CALL", "a system call", UNIT_NS },
	[FIGURE_FORK_EXEC] = { "fork_exec", "FORK+EXEC", "fork, exec, exit and wait", UNIT_NS },
	[FIGURE_COMPUTE] = { "compute", "COMPUTE", "a fixed piece of CPU work", UNIT_NS },
	[FIGURE_FILE_WRITE] = { "file_write_mib", "WRITE 1 MiB", "1 MiB of sequential file writes",
				UNIT_NS },
	[FIGURE_FILE_READ] = { "file_read_mib", "READ 1 MiB", "1 MiB of sequential file reads",
			       UNIT_NS },
	[FIGURE_RANDOM_IO] = { "random_io_4k", "RANDOM 4 KiB", "a random file access of 4 KiB",
			       UNIT_NS },
	[FIGURE_CALLS] = { "syscalls_let_through", "SYSTEM CALLS",
			   "system calls the host's kernel answers", UNIT_COUNT },
	[FIGURE_CAPS] = { "capabilities", "CAPABILITIES", "effective capabilities", UNIT_COUNT },
	[FIGURE_DEVICES] = { "devices", "DEVICES", "usable device nodes", UNIT_COUNT },
};

const struct figure_kind *figure_kind(enum figure_id id)
{
	return &kinds[id];
}

/* Three digits that matter: 1.23, 12.3, 123. value is in units of 1/1000. */
static void three_digits(uint64_t value, const char *unit, char *ret_text)
{
	uint64_t whole = value / 1000, rest = value % 1000;

	if (whole >= 100)
		(void) snprintf(ret_text, FIGURE_TEXT_MAX, "%" PRIu64 " %s", whole + (rest >= 500),
				unit);
	else if (whole >= 10)
		(void) snprintf(ret_text, FIGURE_TEXT_MAX, "%" PRIu64 ".%" PRIu64 " %s", whole,
				rest / 100, unit);
	else
		(void) snprintf(ret_text, FIGURE_TEXT_MAX, "%" PRIu64 ".%02" PRIu64 " %s", whole,
				rest / 10, unit);
}

static void ns_text(uint64_t ns, char *ret_text)
{
	if (ns < 1000)
		(void) snprintf(ret_text, FIGURE_TEXT_MAX, "%" PRIu64 " ns", ns);
	else if (ns < 1000000)
		three_digits(ns, "us", ret_text);
	else if (ns < 1000000000)
		three_digits(ns / 1000, "ms", ret_text);
	else
		three_digits(ns / 1000000, "s", ret_text);
}

static void bytes_text(uint64_t bytes, char *ret_text)
{
	if (bytes < 1000)
		(void) snprintf(ret_text, FIGURE_TEXT_MAX, "%" PRIu64 " B", bytes);
	else if (bytes < 1000000)
		three_digits(bytes, "kB", ret_text);
	else if (bytes < 1000000000)
		three_digits(bytes / 1000, "MB", ret_text);
	else
		three_digits(bytes / 1000000, "GB", ret_text);
}

void figure_text(enum figure_id id, const struct figure *f, bool p99,
		 char ret_text[static FIGURE_TEXT_MAX])
{
	uint64_t v = p99 ? f->p99 : f->median;

	if (!f->known) {
		(void) snprintf(ret_text, FIGURE_TEXT_MAX, "-");
		return;
	}
	switch (kinds[id].unit) {
	case UNIT_NS:
		ns_text(v, ret_text);
		break;
	case UNIT_BYTES:
		bytes_text(v, ret_text);
		break;
	case UNIT_COUNT:
		(void) snprintf(ret_text, FIGURE_TEXT_MAX, "%" PRIu64, v);
		break;
	}
}

bool report_ratio(const struct report *r, size_t row, enum figure_id id, uint64_t *ret_hundredths)
{
	const struct figure *bare = &r->rows[0].figures[id], *own = &r->rows[row].figures[id];

	if (row == 0 || !bare->known || !own->known || bare->median == 0)
		return false;
	*ret_hundredths = (own->median * 100 + bare->median / 2) / bare->median;
	return true;
}

/* What stands in a cell: the median, with the 99th percentile or the ratio to bare metal. */
enum cell_kind { CELL_PLAIN, CELL_P99, CELL_RATIO };

#define CELL_MAX 48

static void cell_text(const struct report *r, size_t row, enum figure_id id, enum cell_kind kind,
		      char ret_text[static CELL_MAX])
{
	const struct figure *f = &r->rows[row].figures[id];
	char value[FIGURE_TEXT_MAX], more[FIGURE_TEXT_MAX] = "";
	uint64_t ratio = 0;

	figure_text(id, f, false, value);
	if (kind == CELL_P99 && f->known && f->n > 1)
		figure_text(id, f, true, more);
	else if (kind == CELL_RATIO && report_ratio(r, row, id, &ratio))
		(void) snprintf(more, sizeof(more), "%" PRIu64 ".%02" PRIu64 "x", ratio / 100,
				ratio % 100);
	(void) snprintf(ret_text, CELL_MAX, more[0] ? "%s (%s)" : "%s", value, more);
}

struct column {
	enum figure_id id;
	enum cell_kind kind;
};

static bool column_is_empty(const struct report *r, enum figure_id id)
{
	for (size_t i = 0; i < r->rows_n; i++)
		if (r->rows[i].figures[id].known)
			return false;
	return true;
}

static void add_padded(struct buf *out, const char *text, size_t width)
{
	buf_adds(out, text);
	for (size_t n = strlen(text); n < width; n++)
		buf_addc(out, ' ');
}

static size_t column_width(const struct report *r, const struct column *c)
{
	size_t width = strlen(kinds[c->id].title);

	for (size_t i = 0; i < r->rows_n; i++) {
		char cell[CELL_MAX];

		cell_text(r, i, c->id, c->kind, cell);
		if (strlen(cell) > width)
			width = strlen(cell);
	}
	return width;
}

const char *report_row_mark(const struct report_row *row)
{
	return row->emulated ? " (emulated)" : "";
}

/* The name of a line, and its length. */
static size_t row_title(const struct report_row *row, char ret_name[static CELL_MAX])
{
	(void) snprintf(ret_name, CELL_MAX, "%s%s", row->name, report_row_mark(row));
	return strlen(ret_name);
}

/* One block: a title, then a line per row. Lines do not end in blanks. */
static void add_block(const struct report *r, const char *title, const struct column *columns,
		      size_t n, struct buf *out)
{
	size_t name_width = strlen(title), widths[FIGURE_COUNT] = { 0 }, last = n;
	char name[CELL_MAX];

	for (size_t i = 0; i < r->rows_n; i++)
		if (row_title(&r->rows[i], name) > name_width)
			name_width = strlen(name);
	for (size_t c = 0; c < n; c++) {
		widths[c] = column_width(r, &columns[c]);
		if (!column_is_empty(r, columns[c].id))
			last = c;
	}
	if (last == n) /* nothing of it was measured */
		return;
	for (size_t line = 0; line <= r->rows_n; line++) {
		if (line)
			(void) row_title(&r->rows[line - 1], name);
		add_padded(out, line ? name : title, name_width);
		for (size_t c = 0; c < n; c++) {
			char cell[CELL_MAX];

			if (column_is_empty(r, columns[c].id))
				continue;
			if (line == 0)
				(void) snprintf(cell, sizeof(cell), "%s",
						kinds[columns[c].id].title);
			else
				cell_text(r, line - 1, columns[c].id, columns[c].kind, cell);
			buf_adds(out, "   ");
			add_padded(out, cell, c == last ? 0 : widths[c]);
		}
		buf_addc(out, '\n');
	}
}

void report_table(const struct report *r, struct buf *out)
{
	static const struct column start[] = {
		{ FIGURE_FIRST, CELL_P99 },    { FIGURE_EXIT, CELL_P99 },
		{ FIGURE_COMMAND, CELL_P99 },  { FIGURE_STOP, CELL_P99 },
		{ FIGURE_MEMORY, CELL_PLAIN }, { FIGURE_DISK, CELL_PLAIN },
	};
	static const struct column cost[] = {
		{ FIGURE_SYSCALL, CELL_RATIO },
		{ FIGURE_FORK_EXEC, CELL_RATIO },
		{ FIGURE_COMPUTE, CELL_RATIO },
	};
	static const struct column files[] = {
		{ FIGURE_FILE_WRITE, CELL_RATIO },
		{ FIGURE_FILE_READ, CELL_RATIO },
		{ FIGURE_RANDOM_IO, CELL_RATIO },
	};
	static const struct column reach[] = {
		{ FIGURE_CALLS, CELL_PLAIN },
		{ FIGURE_CAPS, CELL_PLAIN },
		{ FIGURE_DEVICES, CELL_PLAIN },
	};

	buf_addf(out, "%s on %s, %u runs each: median (p99)\n", r->image, r->host, r->runs);
	add_block(r, "START AND STOP", start, ARRAY_SIZE(start), out);
	buf_adds(out, "\nmedian (multiple of bare metal)\n");
	add_block(r, "COST", cost, ARRAY_SIZE(cost), out);
	buf_addc(out, '\n');
	add_block(r, "FILES", files, ARRAY_SIZE(files), out);
	buf_adds(out, "\nwhat of the host's kernel a workload can reach\n");
	add_block(r, "REACH", reach, ARRAY_SIZE(reach), out);
	for (size_t i = 0; i < r->rows_n; i++)
		if (r->rows[i].why[0])
			buf_addf(out, "\n%s: %s\n", r->rows[i].name, r->rows[i].why);
}

static void json_figure(struct json_writer *w, const struct report *r, size_t row,
			enum figure_id id)
{
	const struct figure *f = &r->rows[row].figures[id];
	static const char *const units[] = {
		[UNIT_NS] = "ns", [UNIT_BYTES] = "bytes", [UNIT_COUNT] = "count"
	};
	uint64_t ratio = 0;

	if (!f->known) {
		json_w_null(w, kinds[id].key);
		return;
	}
	json_w_object(w, kinds[id].key);
	json_w_string(w, "unit", units[kinds[id].unit]);
	json_w_u64(w, "median", f->median);
	json_w_u64(w, "p99", f->p99);
	json_w_u64(w, "samples", f->n);
	if (report_ratio(r, row, id, &ratio))
		json_w_fixed(w, "bare_metal_ratio", (int64_t) ratio, 2);
	json_w_end(w);
}

void report_json(const struct report *r, struct buf *out)
{
	struct json_writer w = JSON_WRITER_PRETTY(out, 2);
	char when[CLOCK_RFC3339_MAX];

	clock_rfc3339(r->when, when);
	json_w_object(&w, NULL);
	json_w_string(&w, "image", r->image);
	json_w_string(&w, "command", r->command[0] ? r->command : NULL);
	json_w_string(&w, "host", r->host);
	json_w_string(&w, "time", when);
	json_w_u64(&w, "runs", r->runs);
	json_w_array(&w, "rows");
	for (size_t i = 0; i < r->rows_n; i++) {
		json_w_object(&w, NULL);
		json_w_string(&w, "name", r->rows[i].name);
		json_w_bool(&w, "emulated", r->rows[i].emulated);
		json_w_string(&w, "why_not", r->rows[i].why[0] ? r->rows[i].why : NULL);
		json_w_object(&w, "figures");
		for (unsigned id = 0; id < FIGURE_COUNT; id++)
			json_figure(&w, r, i, (enum figure_id) id);
		json_w_end(&w);
		json_w_end(&w);
	}
	json_w_end(&w);
	json_w_end(&w);
	buf_addc(out, '\n');
}
