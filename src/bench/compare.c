/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/compare.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/num.h"
#include "base/str.h"
#include "bench/subject.h"
#include "engine/engine.h"
#include "fmt/json.h"
#include "svc/image.h"
#include "svc/program.h"
#include "svc/system.h"

/* Stops are slower than starts and say less: fewer of them. */
enum { STOP_RUNS_MAX = 5, OUTPUT_MAX = 1 << 20 };

/* When memory counts as idle: so many equal readings, so far apart, or no longer than this. */
enum { SETTLED = 8, SETTLE_STEP_MS = 100 };
#define SETTLE_MAX (3 * NSEC_PER_SEC)

/* A row in the making. */
struct task {
	struct compare *compare;
	struct subject subject;
	struct report_row *row;
	bool own_kernel; /* not the host's */
	bool cancelled;
	unsigned done, total; /* steps told to the user */
};

static void tell(struct task *t, const char *what)
{
	if (t->compare->progress)
		t->compare->progress(t->compare, t->row->name, what, t->done, t->total);
}

static bool is_cancelled(struct task *t)
{
	struct pollfd p = { .fd = t->compare->cancel_fd, .events = POLLIN };

	if (!t->cancelled && p.fd >= 0 && poll(&p, 1, 0) > 0)
		t->cancelled = true;
	return t->cancelled;
}

/* Until the end of its output or, with one_line, the first bytes; cancelled: as is_cancelled(). */
static int read_output(struct task *t, struct subject_run *run, bool one_line, struct buf *out,
		       struct err *e)
{
	for (;;) {
		struct pollfd p[2] = {
			{ .fd = run->out_fd, .events = POLLIN },
			{ .fd = t->compare->cancel_fd, .events = POLLIN },
		};
		char *room;
		ssize_t n;

		if (poll(p, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			return err_sys(e, errno, "compare: poll");
		}
		if (is_cancelled(t))
			return 0;
		if (!p[0].revents)
			continue;
		room = buf_room(out, BUFSIZ);
		if (!room)
			return err_set(e, ERR_EXHAUSTED, ENOMEM, "compare: too much output");
		n = read(run->out_fd, room, BUFSIZ);
		if (n < 0)
			return err_sys(e, errno, "compare: read the probe's output");
		if (n == 0)
			return 0;
		buf_grew(out, (size_t) n);
		if (one_line)
			return 0;
	}
}

/* Start to the first byte, and to the exit. */
static int time_start(struct task *t, struct samples *first, struct samples *ended, struct err *e)
{
	static const char *const words[] = { "mark" };
	auto_run struct subject_run run = SUBJECT_RUN_INIT;
	auto_buf struct buf line = BUF_INIT(BUFSIZ * 2);
	nsec_t seen;
	int code = 0;

	if (subject_start(&t->subject, true, words, 1, &run, e) < 0)
		return -1;
	if (read_output(t, &run, true, &line, e) < 0)
		return -1;
	seen = clock_mono();
	if (!t->cancelled && subject_wait(&run, &code, &t->cancelled, e) < 0)
		return -1;
	if (t->cancelled)
		return 0;
	if (code != 0 || line.n == 0)
		return err_set(e, ERR_INTERNAL, 0, "compare: the probe ended with %d", code);
	samples_add(first, (uint64_t) (seen - run.started));
	samples_add(ended, (uint64_t) (clock_mono() - run.started));
	return 0;
}

static int measure_start(struct task *t, struct err *e)
{
	static struct samples first, ended;

	first.n = ended.n = 0;
	for (uint32_t i = 0; i < t->compare->runs && !is_cancelled(t); i++) {
		tell(t, "start");
		if (time_start(t, &first, &ended, e) < 0)
			return -1;
		t->done++;
	}
	t->row->figures[FIGURE_FIRST] = samples_figure(&first);
	t->row->figures[FIGURE_EXIT] = samples_figure(&ended);
	return 0;
}

/* The user's own command; its output is read and dropped, its exit status is its own affair. */
static int measure_command(struct task *t, struct err *e)
{
	static struct samples ended;

	ended.n = 0;
	for (uint32_t i = 0; i < t->compare->runs && !is_cancelled(t); i++) {
		auto_run struct subject_run run = SUBJECT_RUN_INIT;
		auto_buf struct buf output = BUF_INIT(64u * OUTPUT_MAX);
		int code = 0;

		tell(t, "command");
		if (subject_start(&t->subject, false, t->compare->command, t->compare->command_n,
				  &run, e) < 0 ||
		    read_output(t, &run, false, &output, e) < 0)
			return -1;
		if (!t->cancelled && subject_wait(&run, &code, &t->cancelled, e) < 0)
			return -1;
		if (!t->cancelled)
			samples_add(&ended, (uint64_t) (clock_mono() - run.started));
		t->done++;
	}
	t->row->figures[FIGURE_COMMAND] = samples_figure(&ended);
	return 0;
}

/*
 * What is kept while nothing happens. Supervisors give memory back some time after a start, so the
 * figure counts once it has stood still for a while; 0 with *ret_bytes 0 on bare metal.
 */
static int settled_overhead(struct task *t, const struct subject_run *run, uint64_t *ret_bytes,
			    struct err *e)
{
	struct pollfd cancel = { .fd = t->compare->cancel_fd, .events = POLLIN };
	nsec_t deadline = clock_deadline(SETTLE_MAX);
	uint64_t last = UINT64_MAX, now = 0;
	unsigned same = 0;

	while (same < SETTLED && clock_mono() < deadline && !is_cancelled(t)) {
		if (subject_overhead(run, &now, e) < 0)
			return -1;
		same = now == last ? same + 1 : 0;
		last = now;
		if (now == 0)
			break;
		(void) poll(&cancel, 1, SETTLE_STEP_MS);
	}
	*ret_bytes = now;
	return 0;
}

static int measure_stop(struct task *t, struct err *e)
{
	static const char *const words[] = { "serve" };
	static struct samples stops;

	stops.n = 0;
	for (uint32_t i = 0; i < t->compare->runs && i < STOP_RUNS_MAX && !is_cancelled(t); i++) {
		auto_run struct subject_run run = SUBJECT_RUN_INIT;
		auto_buf struct buf line = BUF_INIT(BUFSIZ * 2);
		uint64_t bytes = 0;
		nsec_t asked;

		tell(t, "stop");
		if (subject_start(&t->subject, true, words, 1, &run, e) < 0 ||
		    read_output(t, &run, true, &line, e) < 0)
			return -1;
		if (t->cancelled)
			return 0;
		if (i == 0) {
			if (settled_overhead(t, &run, &bytes, e) < 0)
				return -1;
			t->row->figures[FIGURE_MEMORY] = figure_of(bytes);
		}
		asked = clock_mono();
		if (subject_stop(&run, e) < 0)
			return -1;
		samples_add(&stops, (uint64_t) (clock_mono() - asked));
		t->done++;
	}
	t->row->figures[FIGURE_STOP] = samples_figure(&stops);
	return 0;
}

/* A line of the probe: "NAME MEDIAN P99 N". Names that are not known are left out. */
static void take_line(struct report_row *row, struct str line)
{
	static const struct {
		const char *name;
		enum figure_id id;
	} names[] = {
		{ "syscall", FIGURE_SYSCALL },	   { "fork_exec", FIGURE_FORK_EXEC },
		{ "compute", FIGURE_COMPUTE },	   { "file_write", FIGURE_FILE_WRITE },
		{ "file_read", FIGURE_FILE_READ }, { "random_io", FIGURE_RANDOM_IO },
		{ "calls", FIGURE_CALLS },	   { "capabilities", FIGURE_CAPS },
	};
	struct str rest, name = str_cut(line, ' ', &rest);
	struct str median = str_cut(rest, ' ', &rest), p99 = str_cut(rest, ' ', &rest);
	struct figure f = { .known = true };

	/* One line per device node: the probe keeps no count. */
	if (str_is(name, "device")) {
		row->figures[FIGURE_DEVICES].median++;
		row->figures[FIGURE_DEVICES].p99++;
		return;
	}
	if (num_parse_u64(median, 0, UINT64_MAX, &f.median) < 0 ||
	    num_parse_u64(p99, 0, UINT64_MAX, &f.p99) < 0 ||
	    num_parse_u32(rest, 1, UINT32_MAX, &f.n) < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_is(name, names[i].name))
			row->figures[names[i].id] = f;
}

static int measure_inside(struct task *t, const char *what, const char *const *words, size_t n,
			  struct err *e)
{
	auto_run struct subject_run run = SUBJECT_RUN_INIT;
	auto_buf struct buf output = BUF_INIT(OUTPUT_MAX);
	struct str rest;
	int code = 0;

	if (is_cancelled(t))
		return 0;
	tell(t, what);
	if (subject_start(&t->subject, true, words, n, &run, e) < 0 ||
	    read_output(t, &run, false, &output, e) < 0)
		return -1;
	if (!t->cancelled && subject_wait(&run, &code, &t->cancelled, e) < 0)
		return -1;
	if (t->cancelled)
		return 0;
	if (code != 0)
		return err_set(e, ERR_INTERNAL, 0, "compare: '%s' inside ended with %d", what,
			       code);
	for (rest = buf_str(&output); rest.n;)
		take_line(t->row, str_cut(rest, '\n', &rest));
	t->done++;
	return 0;
}

static int measure_all(struct task *t, struct err *e)
{
	static const char *const surface[] = { "surface" };
	const char *costs[] = { "measure", t->subject.isolation ? "/" : t->compare->dir };

	if (measure_start(t, e) < 0)
		return -1;
	if (t->compare->command_n && t->subject.isolation && measure_command(t, e) < 0)
		return -1;
	if (measure_stop(t, e) < 0 || measure_inside(t, "costs", costs, 2, e) < 0)
		return -1;
	/* What a workload reaches in a kernel of its own is not the host's: not known from inside.
	 */
	if (t->own_kernel)
		return 0;
	t->row->figures[FIGURE_DEVICES] = (struct figure){ .n = 1 };
	if (measure_inside(t, "reach", surface, 1, e) < 0)
		return -1;
	t->row->figures[FIGURE_DEVICES].known = t->row->figures[FIGURE_CALLS].known;
	return 0;
}

static int measure_row(struct compare *c, const struct engine_ops *engine, const char *probe,
		       struct report_row *row, bool *ret_cancelled)
{
	uint32_t stops = c->runs < STOP_RUNS_MAX ? c->runs : STOP_RUNS_MAX;
	const char *isolation = engine ? engine->name : NULL;
	struct task t = {
		.compare = c,
		.subject = { .compare = c, .isolation = isolation, .probe = probe },
		.row = row,
		.own_kernel = engine && engine->own_kernel,
		.total = c->runs + stops + (engine && engine->own_kernel ? 1 : 2),
	};
	struct err e;
	int r;

	if (c->command_n && isolation)
		t.total += c->runs;
	r = measure_all(&t, &e);
	/* One engine that fails takes nothing from the others: its row says why. */
	if (r < 0)
		(void) snprintf(row->why, sizeof(row->why), "%s", e.msg);
	*ret_cancelled = t.cancelled;
	return r;
}

static int image_size(struct compare *c, struct figure *ret, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(16u << 20);
	auto_buf struct buf text = BUF_INIT(8u << 20);
	struct json_writer w = JSON_WRITER(&text);
	const struct json *root = NULL;
	uint64_t size = 0;

	if (svc_image_inspect(c->svc, c->image, &w, e) < 0 ||
	    json_parse(&a, buf_str(&text), &root, e) < 0)
		return -1;
	if (json_u64(json_get(root, "Size"), &size) == 0)
		*ret = figure_of(size);
	return 0;
}

static void describe_host(char *ret_text, size_t max)
{
	struct utsname u;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (uname(&u) < 0)
		return;
	(void) snprintf(ret_text, max, "Linux %s, %ld CPU%s", u.release, cpus,
			cpus == 1 ? "" : "s");
}

static void join_command(const struct compare *c, struct report *r)
{
	size_t used = 0;

	for (size_t i = 0; i < c->command_n && used < sizeof(r->command); i++)
		used += (size_t) snprintf(r->command + used, sizeof(r->command) - used, "%s%s",
					  i ? " " : "", c->command[i]);
}

static bool is_wanted(const struct compare *c, const char *engine)
{
	for (size_t i = 0; i < c->walls_n; i++)
		if (streq(c->walls[i], engine))
			return true;
	return c->walls_n == 0;
}

static int check_walls(const struct compare *c, struct err *e)
{
	for (size_t i = 0; i < c->walls_n; i++)
		if (!engine_find(c->walls[i]))
			return err_set(e, ERR_NOT_FOUND, ENOENT,
				       "--isolation '%s': no such isolation in this build",
				       c->walls[i]);
	return 0;
}

int compare_run(struct compare *c, struct report *ret, bool *ret_cancelled, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(4u << 20);
	struct figure disk = { .known = false };
	struct system_info info;
	char probe[PATH_MAX];

	*ret = (struct report){ .image = c->image, .runs = c->runs, .when = clock_wall() };
	*ret_cancelled = false;
	if (check_walls(c, e) < 0 || program_path("atoll-probe", probe, e) < 0 ||
	    image_size(c, &disk, e) < 0 || system_info(c->svc, &a, &info, e) < 0)
		return -1;
	describe_host(ret->host, sizeof(ret->host));
	join_command(c, ret);

	ret->rows[ret->rows_n++].name = "bare metal";
	if (measure_row(c, NULL, probe, &ret->rows[0], ret_cancelled) < 0)
		return err_set(e, ERR_INTERNAL, 0, "%s", ret->rows[0].why);
	for (size_t i = 0; i < info.engines_n && ret->rows_n < REPORT_ROWS_MAX; i++) {
		const struct engine_ops *ops = engine_find(info.engines[i].name);
		struct report_row *row = &ret->rows[ret->rows_n];

		if (!is_wanted(c, info.engines[i].name))
			continue;
		ret->rows_n++;
		row->emulated = info.engines[i].emulated;
		/* The name must outlive the arena. */
		row->name = ops ? ops->name : "";
		if (!info.engines[i].usable) {
			(void) snprintf(row->why, sizeof(row->why), "%s",
					info.engines[i].why ? info.engines[i].why : "not usable");
			continue;
		}
		row->figures[FIGURE_DISK] = disk;
		if (!*ret_cancelled)
			(void) measure_row(c, ops, probe, row, ret_cancelled);
	}
	return 0;
}
