/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/record.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "fmt/json.h"
#include "shim/shim.h"
#include "store/discard.h"
#include "store/event.h"
#include "store/store.h"
#include "sys/process.h"

#define LOCK_NAME      "shim.lock"
#define PID_NAME       "pid"
#define LOG_NAME       "shim.log" /* its own; gone when it is empty: see main.c */
#define LOCK_WAIT      NSEC_PER_SEC
#define WRITE_TRIES    6
#define WRITE_DELAY    (100 * NSEC_PER_MSEC) /* doubled with every failure */
#define WRITER_SECONDS 120		     /* one that hangs (a dead disk) is ended */
#define LENT_FOR       (5 * NSEC_PER_SEC)    /* a client that was stopped, or waits for its turn */

struct record_entry {
	struct record_entry *next;
	struct workload_status status; /* its texts point into the entry's own */
	bool has_action;
	char action[96];
	char *attributes, *error, *health_log; /* owned */
};

/* ---- files ------------------------------------------------------------------------------- */

/* Of the open file, not of the process: others can look (F_OFD_GETLK) without taking it. */
static int lock_once(struct shim *s, struct err *e)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	auto_fd int fd = openat(s->state_fd, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
				0600);
	struct stat mine, named;

	if (fd < 0)
		return err_sys(e, errno, "open '" LOCK_NAME "' of workload '%s'", s->c.id);
	if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
		return errno == EAGAIN || errno == EACCES
			       ? 0
			       : err_sys(e, errno, "lock '" LOCK_NAME "'");
	/* The one before us may just have removed it: then nobody would find ours. */
	if (fstat(fd, &mine) < 0 || fstatat(s->state_fd, LOCK_NAME, &named, 0) < 0 ||
	    mine.st_ino != named.st_ino)
		return 0;
	s->lock_fd = take_fd(&fd);
	return 1;
}

int record_lock(struct shim *s, struct err *e)
{
	nsec_t deadline = clock_deadline(LOCK_WAIT);

	if (s->lock_fd >= 0)
		return 0;
	/* A shim whose record says that it ended needs a moment to leave. */
	for (;;) {
		int r = lock_once(s, e);

		if (r)
			return r < 0 ? r : 0;
		if (clock_mono() > deadline)
			return err_set(e, ERR_CONFLICT, EBUSY,
				       "workload '%s' runs already: its shim holds it", s->c.name);
		(void) poll(NULL, 0, 2); /* nothing to wait for: a lock has no descriptor */
	}
}

bool record_try_lock(struct shim *s)
{
	struct err ignored;

	return lock_once(s, &ignored) > 0;
}

static void add_pid(struct buf *b, const char *role, pid_t pid, uint64_t *ident)
{
	if (pid <= 0)
		return;
	if (!*ident && process_ident(pid, ident) < 0)
		return; /* it has ended */
	buf_addf(b, "%s %d %ju\n", role, (int) pid, (uintmax_t) *ident);
}

void record_pids(struct shim *s)
{
	struct workload_status *st = &s->record.status;
	auto_buf struct buf b = BUF_INIT(64u << 10);
	int r;

	add_pid(&b, "shim", st->shim_pid, &st->shim_ident);
	add_pid(&b, "init", st->pid, &st->pid_ident);
	for (const struct exec_session *x = s->execs; x; x = x->next) {
		uint64_t ident = 0;

		if (!x->ended)
			add_pid(&b, "exec", x->pid, &ident);
	}
	r = buf_error(&b);
	if (!r)
		r = file_replace(s->state_fd, PID_NAME, buf_str(&b), 0600, false);
	if (r < 0)
		log_warn("pid file not written, ignoring: errno=%d id=%s", -r, s->c.id);
}

void record_fini(struct shim *s)
{
	const char *keeps = s->ops ? s->ops->keeps : NULL;
	auto_dir DIR *d = NULL;
	const struct dirent *entry;
	struct err e;

	if (s->removed) { /* a writer did so already, a client left it to us */
		if (store_workload_sweep_run(&s->paths, s->c.id, &e) < 0)
			log_warn("%s id=%s", e.msg, s->c.id);
		close_fd(&s->lock_fd);
		return;
	}
	d = dir_open(s->state_fd, ".");
	/* What stays behind is harmless: it is looked at only where the record claims a shim. */
	while (d && (entry = dir_next(d)))
		if (!streq(entry->d_name, LOCK_NAME) && !streq(entry->d_name, LOG_NAME) &&
		    !(keeps && streq(entry->d_name, keeps)))
			(void) unlinkat(s->state_fd, entry->d_name, 0);
	(void) unlinkat(s->state_fd, LOCK_NAME, 0);
	close_fd(&s->lock_fd);
}

/* ---- the store --------------------------------------------------------------------------- */

static void entry_free(struct record_entry *en)
{
	free(en->attributes);
	free(en->error);
	free(en->health_log);
	free(en);
}

static char *copy(const char *z)
{
	return z ? str_dup(str_of(z)) : NULL;
}

static struct record_entry *push(struct shim *s, const char *action)
{
	struct record_entry *en = calloc(1, sizeof(*en)), **p = &s->record.waiting;

	if (!en) {
		log_error("out of memory, a change of state is not recorded id=%s", s->c.id);
		return NULL;
	}
	en->status = s->record.status;
	en->error = copy(s->record.status.error);
	en->status.error = en->error;
	en->status.health_log = NULL;
	if (s->health.kept_n) {
		auto_buf struct buf b = BUF_INIT(256u << 10);

		health_write(&s->health, &b);
		en->health_log = buf_take(&b);
		en->status.health_log = en->health_log;
	}
	if (action) {
		en->has_action = true;
		(void) snprintf(en->action, sizeof(en->action), "%s", action);
	}
	while (*p)
		p = &(*p)->next;
	*p = en;
	return en;
}

static char *attributes(const struct shim *s, const char *key, const char *value)
{
	auto_buf struct buf b = BUF_INIT(16u << 10);
	struct json_writer w = JSON_WRITER(&b);

	json_w_object(&w, NULL);
	json_w_string(&w, "image", s->c.image);
	json_w_string(&w, "name", s->c.name);
	if (key)
		json_w_string(&w, key, value);
	json_w_end(&w);
	return buf_take(&b);
}

void record_event(struct shim *s, const char *action, const char *key, const char *value)
{
	struct record_entry *en = push(s, action);

	if (en && action)
		en->attributes = attributes(s, key, value);
}

void record_change(struct shim *s, const char *action, int exit_code)
{
	char code[16];

	(void) snprintf(code, sizeof(code), "%d", exit_code);
	record_event(s, action, action && streq(action, "die") ? "exitCode" : NULL, code);
}

bool record_idle(const struct record *r)
{
	return !r->waiting && !r->writer && !r->discard;
}

/* In the child: its parent waits for it, and a client for its parent; nobody for this syncing. */
static void checkpoint_aside(struct shim *s)
{
	if (fork() != 0)
		return; /* also where there is no process to be had: the next writer tries again */
	auto_store struct store *st = NULL;
	struct err ignored;

	(void) alarm(WRITER_SECONDS);
	if (store_open(&s->paths, &st, &ignored) >= 0)
		store_checkpoint(st);
	_exit(0);
}

/* What waits, as events of the store in the arena. */
static int events_of(const struct shim *s, struct arena *a, struct event **ret, size_t *ret_n)
{
	*ret = NULL;
	*ret_n = 0;
	for (const struct record_entry *en = s->record.waiting; en; en = en->next) {
		struct event *ev = en->has_action ? arena_push(a, ret, ret_n, sizeof(*ev)) : NULL;

		if (ev)
			*ev = (struct event){ .type = "container",
					      .action = en->action,
					      .id = s->c.id,
					      .attributes = en->attributes };
		else if (en->has_action)
			return -ENOMEM;
	}
	return 0;
}

/* In the child: the status and its events, or with the record's end the events alone. */
static int write_status(struct shim *s, struct store *st, enum store_sync sync, struct err *e)
{
	if (store_write(st, sync, e) < 0)
		return -1;
	for (const struct record_entry *en = s->record.waiting; en; en = en->next) {
		if (store_workload_set_status(st, s->c.id, &en->status,
					      en->has_action ? en->action : NULL, en->attributes,
					      e) < 0) {
			store_rollback(st);
			/* removed meanwhile: nothing to say */
			return e->kind == ERR_NOT_FOUND ? 0 : -1;
		}
	}
	return store_commit(st, e);
}

static int write_end(struct shim *s, struct store *st, enum store_sync sync, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	struct event *last;
	size_t n;

	if (events_of(s, &a, &last, &n) < 0)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory for the last events");
	if (store_workload_forget(st, s->c.id, true, last, n, sync, e) < 0)
		return -1;
	if (store_workload_sweep(&s->paths, s->c.id, e) < 0)
		return -1;
	/* Of a client that went, or was stopped, half-way. */
	return s->c.records ? store_workload_sweep_aside(&s->paths, s->c.id, e) : 0;
}

/* In the child: everything in one transaction. */
static int write_all(struct shim *s, struct err *e)
{
	enum store_sync sync = s->record.durable ? STORE_DURABLE : STORE_RELAXED;
	auto_store struct store *st = NULL;
	int r;

	if (store_open(&s->paths, &st, e) < 0)
		return -1;
	r = s->record.discard ? write_end(s, st, sync, e) : write_status(s, st, sync, e);
	if (r < 0)
		return r;
	if (store_checkpoint_due(st)) {
		store_close(TAKE(st));
		checkpoint_aside(s);
	}
	return 0;
}

static void spawn_writer(struct shim *s)
{
	pid_t pid;

	guard_drop(s);
	pid = fork();
	if (pid == 0) {
		struct err e = {};

		(void) alarm(WRITER_SECONDS);
		if (write_all(s, &e) < 0) {
			log_error("record not written: %s id=%s", e.msg, s->c.id);
			_exit(1);
		}
		_exit(0);
	}
	guard_raise(s);
	if (pid < 0) {
		log_warn("no process to write the record, trying again: errno=%d id=%s", errno,
			 s->c.id);
		if (s->record.failures < WRITE_TRIES)
			s->record.failures++;
		record_write(s, WRITE_DELAY << s->record.failures);
		return;
	}
	s->record.writer = pid;
	s->record.discarding = s->record.discard;
	s->record.in_flight = 0;
	for (const struct record_entry *en = s->record.waiting; en; en = en->next)
		s->record.in_flight++;
}

static void due(struct loop_timer *t)
{
	struct shim *s = LOOP_OWNER(t, struct shim, record.timer);

	s->record.lent = false; /* too long: whoever comes second finds it done */
	if (!s->record.writer)
		spawn_writer(s);
}

void record_write(struct shim *s, nsec_t delay)
{
	struct record *r = &s->record;
	nsec_t at = clock_deadline(delay);

	if (r->writer || r->lent || (!r->waiting && !r->discard))
		return; /* its end looks again */
	if (delay == 0) {
		loop_timer_cancel(&r->timer);
		spawn_writer(s);
	} else if (!r->timer.loop || r->timer.at > at) {
		loop_timer_set(&s->loop, &r->timer, at, due);
	}
}

static void forget(struct record *r, unsigned n)
{
	for (; n && r->waiting; n--) {
		struct record_entry *en = r->waiting;

		r->waiting = en->next;
		entry_free(en);
	}
}

bool record_ended(struct shim *s, pid_t pid, int code)
{
	struct record *r = &s->record;

	if (!r->writer || pid != r->writer)
		return false;
	r->writer = 0;
	if (code && ++r->failures < WRITE_TRIES) {
		loop_timer_set(&s->loop, &r->timer, clock_deadline(WRITE_DELAY << r->failures),
			       due);
		return true;
	}
	if (code) /* svc's healing finds the shim gone and mends the record */
		log_error("record not written after %u tries, going on id=%s", r->failures,
			  s->c.id);
	else if (r->discarding)
		s->removed = true;
	forget(r, r->in_flight);
	r->failures = 0;
	if (r->discarding)
		r->discard = false;
	if (!r->waiting)
		r->durable = false;
	if (record_idle(r))
		life_recorded(s);
	else
		record_write(s, 0);
	return true;
}

/* ---- by the client ----------------------------------------------------------------------- */

bool record_lendable(const struct shim *s)
{
	return s->keeper && !s->record.writer && !s->record.lent;
}

bool record_lend(struct shim *s)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	struct record *r = &s->record;
	struct shim_msg m = shim_msg_of(SHIM_RECORD);
	struct event *events;
	const char **texts;
	size_t n;

	if (!record_lendable(s) || !r->discard || events_of(s, &a, &events, &n) < 0)
		return false;
	texts = arena_array(&a, 2 * n + 1, sizeof(*texts));
	if (!texts)
		return false;
	for (size_t i = 0; i < n; i++) {
		texts[2 * i] = events[i].action;
		texts[2 * i + 1] = events[i].attributes ? events[i].attributes : "";
	}
	m.record.id = s->c.id;
	m.record.durable = r->durable;
	m.record.events = (struct field_strings){ texts, 2 * n };
	if (!clients_lend(s, &m))
		return false;
	r->lent = true;
	loop_timer_set(&s->loop, &r->timer, clock_deadline(LENT_FOR), due);
	return true;
}

void record_returned(struct shim *s, const struct shim_recorded *how)
{
	struct record *r = &s->record;

	if (!r->lent)
		return; /* too late: a child is at it, or has done it */
	r->lent = false;
	loop_timer_cancel(&r->timer);
	if (how->failed) {
		record_write(s, 0);
		return;
	}
	while (r->waiting)
		forget(r, 1);
	r->discard = false;
	r->checkpoint_due = how->checkpoint_due;
	r->kept = true;
	s->removed = true;
	life_recorded(s);
}

void record_clear_up(struct shim *s)
{
	auto_store struct store *st = NULL;
	struct err e;

	if (!s->record.kept)
		return;
	if (store_workload_sweep_aside(&s->paths, s->c.id, &e) < 0)
		log_warn("%s id=%s", e.msg, s->c.id);
	/* Not done: the next writer finds it due as well. */
	if (s->record.checkpoint_due && store_open(&s->paths, &st, &e) >= 0)
		store_checkpoint(st);
}
