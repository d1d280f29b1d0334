/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/num.h"
#include "svc/config.h"
#include "svc/running.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define FILES_MAX      1000
#define LINE_MAX_BYTES (256u << 10) /* a part of 16 KiB, escaped, and its frame */
#define BLOCK	       (64u << 10)

/* ---- options ----------------------------------------------------------------------------- */

static int find_driver(const char *name, enum shim_log_driver *ret, struct err *e)
{
	static const char *const names[] = { [SHIM_LOG_JSON_FILE] = "json-file",
					     [SHIM_LOG_NONE] = "none",
					     [SHIM_LOG_JOURNALD] = "journald" };
	const char *near;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!name || !*name || streq(name, names[i])) {
			*ret = (enum shim_log_driver) i;
			return 0;
		}
	near = str_nearest(name, names, ARRAY_SIZE(names));
	return err_set(e, ERR_INVALID, EINVAL,
		       "no log driver '%s'; there are json-file, journald and none%s%s%s", name,
		       near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static int set_option(struct logs_config *c, const struct json_pair *o, struct err *e)
{
	bool file = c->driver == SHIM_LOG_JSON_FILE;

	if (file && streq(o->key, "max-size")) {
		if (streq(o->value, "-1")) {
			c->max_bytes = 0;
			return 0;
		}
		if (num_parse_bytes(str_of(o->value), &c->max_bytes) < 0 || !c->max_bytes ||
		    c->max_bytes > INT64_MAX)
			return err_set(e, ERR_INVALID, EINVAL,
				       "log option max-size: '%s' is no size such as 10m",
				       o->value);
		return 0;
	}
	if (file && streq(o->key, "max-file")) {
		if (num_parse_u64(str_of(o->value), 1, FILES_MAX, &c->max_files) < 0)
			return err_set(e, ERR_INVALID, EINVAL,
				       "log option max-file: '%s' is no number from 1 to %d",
				       o->value, FILES_MAX);
		return 0;
	}
	if (c->driver == SHIM_LOG_JOURNALD && streq(o->key, "tag")) {
		c->tag = o->value;
		return 0;
	}
	if (streq(o->key, "mode") && streq(o->value, "blocking"))
		return 0; /* what it is */
	return err_set(e, ERR_INVALID, EINVAL, "no log option '%s=%s' for this driver; there %s",
		       o->key, o->value,
		       file				? "are max-size and max-file"
		       : c->driver == SHIM_LOG_JOURNALD ? "is tag"
							: "is none");
}

static int journal_listens(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET };
	auto_fd int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return fd < 0 || connect(fd, (struct sockaddr *) &to, sizeof(to)) < 0 ? -errno : 0;
}

int logs_configure(const char *driver, const struct json_pair *opts, size_t opts_n,
		   struct logs_config *ret, struct err *e)
{
	struct logs_config c = { .max_bytes = LOGS_MAX_BYTES_DEFAULT,
				 .max_files = LOGS_MAX_FILES_DEFAULT,
				 .tag = "" };
	int r;

	if (find_driver(driver, &c.driver, e) < 0)
		return -1;
	for (size_t i = 0; i < opts_n; i++)
		if (set_option(&c, &opts[i], e) < 0)
			return -1;
	r = c.driver == SHIM_LOG_JOURNALD ? journal_listens() : 0;
	if (r < 0)
		return err_set(e, ERR_UNSUPPORTED, -r,
			       "log driver journald: no journal listens at " JOURNAL_SOCKET
			       "; use --log-driver json-file");
	*ret = c;
	return 0;
}

/* ---- the files --------------------------------------------------------------------------- */

struct reader {
	const struct logs_read *r;
	int (*line)(void *arg, const struct logs_line *l);
	void *arg;
	int dir_fd; /* borrowed */
	int fd;	    /* owned: the file read now */
	ino_t ino;
	off_t at;
	struct buf rest; /* of a line whose end is not there yet */
	bool past_until;
};

static int open_nth(int dir_fd, unsigned n, ino_t *ret_ino)
{
	char name[40];
	struct stat st;
	int fd;

	if (n)
		(void) snprintf(name, sizeof(name), "workload.log.%u", n);
	else
		(void) snprintf(name, sizeof(name), "workload.log");
	fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		(void) close(fd);
		return -EINVAL;
	}
	*ret_ino = st.st_ino;
	return fd;
}

/* Where the last *lines lines of the file begin; takes those it has off *lines. */
static int tail_offset(int fd, uint64_t *lines, off_t *ret_at)
{
	auto_free char *block = malloc(BLOCK);
	off_t end = lseek(fd, 0, SEEK_END), at = end;

	if (!block)
		return -ENOMEM;
	while (at > 0) {
		size_t n = at > (off_t) BLOCK ? BLOCK : (size_t) at;
		ssize_t got = pread(fd, block, n, at - (off_t) n);

		if (got < 0)
			return -errno;
		if ((size_t) got != n) /* it was cut meanwhile */
			break;
		at -= (off_t) n;
		for (size_t i = n; i-- > 0;) {
			if (block[i] != '\n' || at + (off_t) i + 1 == end)
				continue;
			if (--*lines == 0) {
				*ret_at = at + (off_t) i + 1;
				return 0;
			}
		}
	}
	if (end > 0)
		--*lines; /* the first line has no line end before it */
	*ret_at = 0;
	return 0;
}

static int give_line(struct reader *k, struct str text)
{
	auto_arena struct arena a = ARENA_INIT(2u << 20);
	const struct json *root;
	struct logs_line l;
	const char *stream, *time;
	const struct json *log;
	struct err ignored;

	if (json_parse(&a, text, &root, &ignored) < 0)
		return 0; /* torn */
	log = json_get(root, "log");
	stream = json_string(json_get(root, "stream"));
	time = json_string(json_get(root, "time"));
	if (!log || log->type != JSON_STRING || !stream || !time ||
	    clock_parse(str_of(time), &l.at) < 0)
		return 0;
	l.stream = streq(stream, "stderr") ? SHIM_STREAM_STDERR : SHIM_STREAM_STDOUT;
	l.text = log->text;
	if (k->r->until && l.at > k->r->until) {
		k->past_until = true;
		return 0;
	}
	if ((k->r->since && l.at < k->r->since) ||
	    !(l.stream == SHIM_STREAM_STDERR ? k->r->err : k->r->out))
		return 0;
	return k->line(k->arg, &l);
}

/* Lines of the open file from where it stands to its present end. */
static int read_on(struct reader *k, struct err *e)
{
	auto_free char *block = malloc(BLOCK);
	struct stat st;

	if (!block)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory to read the log");
	if (fstat(k->fd, &st) == 0 && st.st_size < k->at)
		k->at = 0; /* a log of one file is emptied when it is full */
	while (!k->past_until) {
		ssize_t n = pread(k->fd, block, BLOCK, k->at);
		struct str bytes = { block, n > 0 ? (size_t) n : 0 }, rest;

		if (n < 0)
			return err_sys(e, errno, "read the log");
		if (n == 0)
			return 0;
		k->at += n;
		for (;;) {
			struct str line = str_cut(bytes, '\n', &rest);
			int r;

			buf_addstr(&k->rest, line);
			if (!rest.p)
				break;
			r = buf_ok(&k->rest) ? give_line(k, buf_str(&k->rest)) : 0;
			buf_clear(&k->rest);
			if (r)
				return r;
			if (k->past_until)
				return 0;
			bytes = rest;
		}
	}
	return 0;
}

static void open_file(struct reader *k, int fd, ino_t ino, off_t at)
{
	close_fd(&k->fd);
	k->fd = fd;
	k->ino = ino;
	k->at = at;
	buf_clear(&k->rest);
}

static bool moved_away(const struct reader *k)
{
	struct stat st;

	return fstatat(k->dir_fd, "workload.log", &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	       st.st_ino != k->ino;
}

/* The file after the one read now, when it has been rotated away. False: there is none. */
static bool next_file(struct reader *k)
{
	unsigned n = 0, newer;

	for (; n < FILES_MAX; n++) {
		ino_t ino;
		int fd = open_nth(k->dir_fd, n, &ino);

		if (fd < 0)
			break;
		(void) close(fd);
		if (ino == k->ino)
			break;
	}
	if (n == 0)
		return false;
	newer = n - 1; /* also when ours is gone: then it is the oldest there is */
	for (;;) {
		ino_t ino;
		int fd = open_nth(k->dir_fd, newer, &ino);

		if (fd >= 0) {
			open_file(k, fd, ino, 0);
			return true;
		}
		if (!newer--)
			return false;
	}
}

/* All that is there, and stay at the end of the newest. */
static int read_rest(struct reader *k, struct err *e)
{
	int r;

	do {
		bool moved = moved_away(k);

		/* Read after it was seen to have moved: nothing is written to it any more. */
		r = read_on(k, e);
		if (r || k->past_until)
			return r;
		if (!moved)
			return 0;
	} while (next_file(k));
	return 0;
}

static int start_at(struct reader *k, struct err *e)
{
	uint64_t lines = k->r->tail;
	unsigned n = 0;

	for (; n < FILES_MAX; n++) {
		off_t at = 0;
		ino_t ino;
		int fd = open_nth(k->dir_fd, n, &ino), r = 0;

		if (fd == -ENOENT)
			break;
		if (fd < 0)
			return err_sys(e, -fd, "open the log");
		if (lines == 0)
			at = lseek(fd, 0, SEEK_END);
		else if (lines != UINT64_MAX)
			r = tail_offset(fd, &lines, &at);
		open_file(k, fd, ino, at);
		if (r < 0)
			return err_sys(e, -r, "read the log");
		if (lines == 0)
			break;
	}
	return 0;
}

/* ---- following --------------------------------------------------------------------------- */

static int wait_for_more(struct reader *k, int watch_fd, struct shim_conn *conn, bool *ret_end,
			 struct err *e)
{
	struct pollfd p[3] = {
		{ .fd = watch_fd, .events = POLLIN },
		{ .fd = conn->fd, .events = POLLIN },
		{ .fd = k->r->wake_fd, .events = POLLIN },
	};
	nsec_t left = k->r->until ? k->r->until - clock_wall() : NSEC_NEVER;
	char events[4096];

	if (left <= 0) {
		*ret_end = true;
		return 0;
	}
	if (poll(p, 3, clock_poll_ms(left == NSEC_NEVER ? left : clock_deadline(left))) < 0 &&
	    errno != EINTR)
		return err_sys(e, errno, "poll");
	if (p[0].revents)
		(void) !read(watch_fd, events, sizeof(events)); /* that it woke us is all */
	if (p[1].revents || p[2].revents)
		*ret_end = true; /* after what has come meanwhile */
	return 0;
}

static int follow(struct reader *k, struct shim_conn *conn, struct err *e)
{
	auto_fd int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	char path[32];
	bool end = false;
	int r;

	(void) snprintf(path, sizeof(path), "/proc/self/fd/%d", k->dir_fd);
	if (watch < 0 || inotify_add_watch(watch, path, IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0)
		return err_sys(e, errno, "watch the log");
	if (supervise_wait_send(conn, SHIM_WAIT_NOT_RUNNING, e) < 0)
		end = true; /* it has just ended */
	do {
		if (k->fd < 0)
			(void) start_at(k, e); /* its first line made the file */
		r = k->fd >= 0 ? read_rest(k, e) : 0;
		if (r || k->past_until || end)
			return r;
		r = wait_for_more(k, watch, conn, &end, e);
	} while (r == 0);
	return r;
}

static int log_driver_of(struct svc *s, const struct workload_record *w, enum shim_log_driver *ret,
			 struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(8u << 20);
	struct workload_config config;
	const char *json;

	if (store_workload_config(s->store, w->id, &a, &json, e) < 0 ||
	    workload_config_read(&a, str_of(json), &config, e) < 0)
		return -1;
	return find_driver(config.log_driver, ret, e);
}

static int readable(enum shim_log_driver driver, const struct workload_record *w, struct err *e)
{
	switch (driver) {
	case SHIM_LOG_JSON_FILE:
		return 0;
	case SHIM_LOG_NONE:
		return err_set(e, ERR_UNSUPPORTED, 0,
			       "workload '%s' keeps no log (--log-driver none)", w->name);
	case SHIM_LOG_JOURNALD:
		return err_set(e, ERR_UNSUPPORTED, 0,
			       "the log of '%s' is in the journal: journalctl CONTAINER_ID_FULL=%s",
			       w->name, w->id);
	}
	return 0;
}

int logs_read(struct svc *s, const char *ref, const struct logs_read *r,
	      int (*line)(void *arg, const struct logs_line *l), void *arg, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	auto_shim_conn struct shim_conn conn = SHIM_CONN_NONE;
	auto_fd int dir = FD_NONE, run = FD_NONE;
	struct reader k = { .r = r, .line = line, .arg = arg, .fd = FD_NONE };
	enum shim_log_driver driver;
	struct workload_record w;
	struct err none;
	int result;

	if (svc_store(s, e) < 0 || store_workload_find(s->store, ref, &a, &w, e) < 0 ||
	    log_driver_of(s, &w, &driver, e) < 0 || readable(driver, &w, e) < 0)
		return -1;
	dir = open(paths_workload(&s->paths, w.id).z, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_sys(e, errno, "open the directory of workload '%s'", w.name);
	k.dir_fd = dir;
	k.rest = BUF_INIT(LINE_MAX_BYTES);
	run = running_state_dir(s, w.id);
	result = start_at(&k, e);
	if (result == 0 && r->follow && run >= 0 && shim_connect(run, &conn, &none) == 0)
		result = follow(&k, &conn, e);
	else if (result == 0 && k.fd >= 0)
		result = read_rest(&k, e);
	close_fd(&k.fd);
	buf_fini(&k.rest);
	return result;
}
