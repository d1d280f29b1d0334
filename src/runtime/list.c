/* SPDX-License-Identifier: Apache-2.0 */
/* state, list and ps. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/num.h"
#include "fmt/json.h"
#include "runtime/state.h"
#include "sys/spawn.h"

#define OUTPUT_MAX (64u << 20)
#define PIDS_MAX   65536

#define CREATED_WITHIN (NSEC_PER_SEC / 4)
#define CREATED_NAP_MS 2

static void write_one(struct json_writer *w, const struct container *c, bool listed)
{
	char created[CLOCK_RFC3339_MAX];

	clock_rfc3339(c->created, created);
	json_w_object(w, NULL);
	json_w_string(w, "ociVersion", c->oci_version);
	json_w_string(w, "id", c->id);
	json_w_i64(w, "pid", container_pid(c));
	json_w_string(w, "status", container_status(c));
	json_w_string(w, "bundle", c->bundle);
	json_w_string(w, "rootfs", c->rootfs);
	json_w_string(w, "created", created);
	if (c->annotations)
		json_w_value(w, "annotations", c->annotations);
	else if (listed)
		json_w_null(w, "annotations");
	json_w_string(w, "owner", listed ? c->owner : "");
	json_w_end(w);
}

static int print(const struct buf *out, struct err *e)
{
	if (!buf_ok(out))
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	int r = fd_write_all(STDOUT_FILENO, out->p, out->n);

	return r < 0 ? err_sys(e, -r, "write to standard output") : 0;
}

static int run_state(struct runtime *rt, const void *options, const struct strings *args,
		     struct err *e)
{
	auto_container struct container c = CONTAINER_INIT;
	auto_buf struct buf out = BUF_INIT(OUTPUT_MAX);
	struct json_writer w = JSON_WRITER_PRETTY(&out, 2);
	auto_fd int root = container_cache(rt);
	int r = container_show(rt, root, args->v[0], CONTAINER_WHOLE, &c, e);

	nsec_t deadline = clock_deadline(CREATED_WITHIN);

	(void) options;
	/* Who polls until there is a state means one that is created: it soon is. Not for long: a
	 * hook of its creation may be who asks. */
	while (r == 0 && c.state == ENGINE_CREATING && clock_mono() < deadline) {
		container_close(&c);
		(void) poll(NULL, 0, CREATED_NAP_MS);
		r = container_open(rt, args->v[0], CONTAINER_LOOK, &c, e);
	}
	if (r < 0)
		return r;
	write_one(&w, &c, false);
	buf_addc(&out, '\n');
	return print(&out, e);
}

struct list_options {
	const char *format;
	bool quiet;
};

static const struct option list_options[] = {
	{ "format", 'f', OPTION_STRING, offsetof(struct list_options, format), "table|json",
	  "form of the list (table)" },
	{ "quiet", 'q', OPTION_FLAG, offsetof(struct list_options, quiet), NULL, "only the ids" },
};

static int check_format(const char *format, struct err *e)
{
	if (!format || streq(format, "table") || streq(format, "json"))
		return 0;
	return err_set(e, ERR_INVALID, EINVAL, "invalid format option: '%s'", format);
}

/* How wide the column of a table is: its longest cell, but no less than its head. */
static int widest(size_t n, int head)
{
	return (int) n > head ? (int) n : head;
}

static void add_cell(struct buf *out, const char *text, int width)
{
	size_t n = strlen(text), full = (size_t) width > n ? (size_t) width : n;
	char *to = buf_room(out, full);

	if (!to)
		return; /* print() says so */
	memcpy(to, text, n);
	memset(to + n, ' ', full - n);
	buf_grew(out, full);
}

static void add_table(struct buf *out, const struct container *all, size_t n)
{
	int id = 12, bundle = 11, created = 11;
	char at[CLOCK_RFC3339_MAX];

	for (size_t i = 0; i < n; i++) {
		clock_rfc3339(all[i].created, at);
		id = widest(strlen(all[i].id) + 3, id);
		bundle = widest(strlen(all[i].bundle) + 3, bundle);
		created = widest(strlen(at) + 3, created);
	}
	buf_addf(out, "%-*s%-12s%-12s%-*s%-*s%s\n", id, "ID", "PID", "STATUS", bundle, "BUNDLE",
		 created, "CREATED", "OWNER");
	for (size_t i = 0; i < n; i++) {
		char pid[16];

		clock_rfc3339(all[i].created, at);
		(void) snprintf(pid, sizeof(pid), "%d", (int) container_pid(&all[i]));
		add_cell(out, all[i].id, id);
		add_cell(out, pid, 12);
		add_cell(out, container_status(&all[i]), 12);
		add_cell(out, all[i].bundle, bundle);
		add_cell(out, at, created);
		add_cell(out, all[i].owner, 0);
		buf_addc(out, '\n');
	}
}

static int run_list(struct runtime *rt, const void *options, const struct strings *args,
		    struct err *e)
{
	const struct list_options *o = options;
	auto_buf struct buf out = BUF_INIT(OUTPUT_MAX);
	const char **ids;
	size_t n, open = 0;
	int r = check_format(o->format, e);

	(void) args;
	/* No container yet is no error; a directory that the caller made a slip in is. */
	if (r == 0 && rt->root_named && access(rt->root, F_OK) < 0)
		r = err_sys(e, errno, "the state directory '%s' (--root)", rt->root);
	if (r == 0)
		r = container_ids(rt, &ids, &n, e);
	if (r < 0)
		return r;
	if (o->quiet) {
		for (size_t i = 0; i < n; i++)
			buf_addf(&out, "%s\n", ids[i]);
		return print(&out, e);
	}
	struct container *all = arena_array(rt->arena, n + 1, sizeof(*all));

	if (!all)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	auto_fd int root = container_cache(rt);
	bool json = o->format && streq(o->format, "json");
	enum container_part part = json ? CONTAINER_ANNOTATED : CONTAINER_ROW;

	for (size_t i = 0; i < n; i++) {
		struct err gone;

		/* One that is deleted while the list is made is not in it; one that cannot be
		 * read does not hide the others. */
		if (container_show(rt, root, ids[i], part, &all[open], &gone) == 0) {
			close_fd(&all[open].dir_fd);
			open++;
		} else if (gone.kind != ERR_NOT_FOUND) {
			(void) fprintf(stderr, "container %s: %s\n", ids[i], gone.msg);
		}
	}
	if (json) {
		struct json_writer w = JSON_WRITER(&out);

		if (open == 0) {
			buf_adds(&out, "null");
		} else {
			json_w_array(&w, NULL);
			for (size_t i = 0; i < open; i++)
				write_one(&w, &all[i], true);
			json_w_end(&w);
		}
	} else {
		add_table(&out, all, open);
	}
	for (size_t i = 0; i < open; i++)
		container_close(&all[i]);
	return print(&out, e);
}

struct ps_options {
	const char *format;
};

static const struct option ps_options[] = {
	{ "format", 'f', OPTION_STRING, offsetof(struct ps_options, format), "table|json",
	  "form of the list (table)" },
};

static int by_pid(const void *a, const void *b)
{
	pid_t x = *(const pid_t *) a, y = *(const pid_t *) b;

	return x < y ? -1 : x > y;
}

/* What ps(1) says of all processes. */
static int read_ps(struct runtime *rt, const struct strings *more, struct buf *out, struct err *e)
{
	static char dash_ef[] = "-ef", name[] = "ps";
	char **argv = arena_array(rt->arena, more->n + 3, sizeof(*argv));
	int pipe_fds[2] = { FD_NONE, FD_NONE }, status = 0;
	struct spawn s = SPAWN_INIT;
	static const char *const places[] = { "/bin/ps", "/usr/bin/ps" };
	pid_t pid = 0;
	int r = -ENOENT;

	if (!argv)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	argv[0] = name;
	argv[1] = dash_ef;
	for (size_t i = 0; i < more->n; i++) {
		argv[i + 1] = arena_strdup(rt->arena, more->v[i]);
		if (!argv[i + 1])
			return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	}
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return err_sys(e, errno, "make a pipe");
	auto_fd int from = pipe_fds[0];
	auto_fd int to = pipe_fds[1];

	s.argv = argv;
	s.stdio[1] = to;
	s.stdio[2] = STDERR_FILENO;
	for (size_t i = 0; i < ARRAY_SIZE(places) && r == -ENOENT; i++) {
		s.path = places[i];
		r = spawn_process(&s, &pid, NULL);
	}
	if (r < 0)
		return err_sys(e, -r, "run ps(1); --format json does without");
	close_fd(&to);
	r = fd_read_all(from, out);
	(void) waitpid(pid, &status, 0);
	if (r < 0)
		return err_sys(e, -r, "read what ps(1) says");
	if (status != 0)
		return err_set(e, ERR_INVALID, 0, "ps(1) failed: see its message");
	return 0;
}

/* The n-th word of a line, counted from 0. */
static struct str word(struct str line, size_t n)
{
	struct str w = { NULL, 0 };

	for (size_t i = 0; i <= n && line.p;) {
		w = str_cut(line, ' ', &line);
		if (w.n > 0)
			i++;
	}
	return w;
}

static int add_ps_table(struct runtime *rt, const struct strings *more, const pid_t *pids, size_t n,
			struct buf *out, struct err *e)
{
	auto_buf struct buf all = BUF_INIT(OUTPUT_MAX);
	size_t column = 0;
	bool head = true;
	int r = read_ps(rt, more, &all, e);

	if (r < 0)
		return r;
	for (struct str rest = buf_str(&all); rest.p && rest.n > 0;) {
		struct str line = str_cut(rest, '\n', &rest);
		uint32_t pid;

		if (head) {
			while (column < 64 && !str_is(word(line, column), "PID"))
				column++;
			if (column == 64)
				return err_set(e, ERR_INVALID, EINVAL,
					       "couldn't find PID field in ps output");
		} else if (num_parse_u32(word(line, column), 1, INT32_MAX, &pid) < 0 ||
			   !bsearch(&(pid_t){ (pid_t) pid }, pids, n, sizeof(*pids), by_pid)) {
			continue;
		}
		head = false;
		buf_addstr(out, line);
		buf_addc(out, '\n');
	}
	return 0;
}

/* Printable ASCII: the guest's words write nothing else to a terminal. */
static void add_plain(struct buf *out, const char *text)
{
	for (; *text; text++)
		buf_addc(out, *text >= ' ' && *text <= '~' ? *text : '?');
}

/* Processes of another kernel: as `ps -ef` there would say. */
static int add_list(struct container *c, const struct strings *more, struct buf *out, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(32u << 20);
	struct engine_processes all;
	int r;

	if (more->n)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "ps(1) of the host cannot look into a %s: no options of its",
			       c->in->ops->name);
	r = engine_list(c->in, &a, &all, e);
	if (r < 0)
		return r;
	buf_addf(out, "%-8s %7s %7s %-8s %8s %s\n", "UID", "PID", "PPID", "TTY", "TIME", "CMD");
	for (size_t i = 0; i < all.n; i++) {
		const struct engine_process *p = &all.v[i];
		unsigned long long s = p->cpu_ns / (uint64_t) NSEC_PER_SEC;

		buf_addf(out, "%-8llu %7llu %7llu %-8s %02llu:%02llu:%02llu ",
			 (unsigned long long) p->uid, (unsigned long long) p->pid,
			 (unsigned long long) p->ppid, p->terminal[0] ? p->terminal : "?", s / 3600,
			 s / 60 % 60, s % 60);
		add_plain(out, p->command[0] ? p->command : p->name);
		buf_addc(out, '\n');
	}
	return 0;
}

static int run_ps(struct runtime *rt, const void *options, const struct strings *args,
		  struct err *e)
{
	const struct ps_options *o = options;
	auto_container struct container c = CONTAINER_INIT;
	auto_buf struct buf out = BUF_INIT(OUTPUT_MAX);
	auto_free pid_t *pids = calloc(PIDS_MAX, sizeof(*pids));
	struct strings more = { args->v + 1, args->n - 1 };
	size_t n = 0;
	int r = check_format(o->format, e);

	if (r == 0)
		r = container_open(rt, args->v[0], CONTAINER_LOOK, &c, e);
	if (r < 0)
		return r;
	if (!pids)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	if (container_pid(&c))
		r = engine_processes(c.in, pids, PIDS_MAX, &n, e);
	if (r < 0)
		return r;
	n = n > PIDS_MAX ? PIDS_MAX : n;
	qsort(pids, n, sizeof(*pids), by_pid);
	if (o->format && streq(o->format, "json")) {
		struct json_writer w = JSON_WRITER(&out);

		json_w_array(&w, NULL);
		for (size_t i = 0; i < n; i++)
			json_w_i64(&w, NULL, pids[i]);
		json_w_end(&w);
		buf_addc(&out, '\n');
	} else if (engine_lists(c.in) && container_pid(&c)) {
		r = add_list(&c, &more, &out, e);
	} else {
		r = add_ps_table(rt, &more, pids, n, &out, e);
	}
	return r < 0 ? r : print(&out, e);
}

const struct verb verb_state = {
	.name = "state",
	.usage = "CONTAINER",
	.help = "print a container's state as JSON",
	.min_args = 1,
	.max_args = 1,
	.run = run_state,
};
const struct verb verb_list = {
	.name = "list",
	.usage = "",
	.help = "list the containers of the state directory",
	.options = VERB_OPTIONS(list_options),
	.size = sizeof(struct list_options),
	.run = run_list,
};
const struct verb verb_ps = {
	.name = "ps",
	.usage = "CONTAINER [PS-OPTION...]",
	.help = "list the processes of a container",
	.options = { .v = ps_options, .n = ARRAY_SIZE(ps_options), .first = true },
	.size = sizeof(struct ps_options),
	.min_args = 1,
	.max_args = VERB_ANY_ARGS,
	.run = run_ps,
};
