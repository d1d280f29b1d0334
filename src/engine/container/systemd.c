/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/container/systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/num.h"
#include "fmt/dbus.h"
#include "sys/bus.h"

#define SYSTEM_BUS     "unix:path=/run/dbus/system_bus_socket"
#define SYSTEM_PRIVATE "/run/systemd/private"
#define BUS	       "org.freedesktop.DBus"
#define BUS_PATH       "/org/freedesktop/DBus"
#define MANAGER	       "org.freedesktop.systemd1"
#define MANAGER_PATH   "/org/freedesktop/systemd1"
#define MANAGER_IFACE  MANAGER ".Manager"
#define NAME_SHOWN     256

struct systemd {
	int fd;	     /* owned */
	bool user;   /* the user's manager */
	bool direct; /* no bus in between */
	bool welcomed;
	uint32_t serial;
	nsec_t deadline, opened;
	struct buf in;	 /* received and not read yet */
	size_t used;	 /* of it: the message that is being looked at */
	char where[160]; /* its address, for messages */
	char doing[96];	 /* the call that is under way, for messages */
	char sender[64]; /* the manager's unique name, once it has answered */
	char job[128];	 /* the job that is waited for */
};

/* What systemd's and the bus' errors mean to us. */
static const struct {
	const char *name;
	enum err_kind kind;
	int sys;
} errors[] = {
	{ MANAGER ".UnitExists", ERR_CONFLICT, EEXIST },
	{ MANAGER ".NoSuchUnit", ERR_NOT_FOUND, ENOENT },
	{ MANAGER ".LoadFailed", ERR_INVALID, EINVAL },
	{ BUS ".Error.ServiceUnknown", ERR_UNSUPPORTED, ENOTSUP },
	{ BUS ".Error.NameHasNoOwner", ERR_UNSUPPORTED, ENOTSUP },
	{ BUS ".Error.Spawn.ChildExited", ERR_UNSUPPORTED, ENOTSUP },
	{ BUS ".Error.AccessDenied", ERR_DENIED, EACCES },
	{ BUS ".Error.InteractiveAuthorizationRequired", ERR_DENIED, EACCES },
	{ BUS ".Error.InvalidArgs", ERR_INVALID, EINVAL },
	{ BUS ".Error.PropertyReadOnly", ERR_INVALID, EINVAL },
	{ BUS ".Error.UnknownProperty", ERR_INVALID, EINVAL },
	{ BUS ".Error.UnknownMethod", ERR_UNSUPPORTED, ENOTSUP },
	{ BUS ".Error.NoReply", ERR_TIMEOUT, ETIMEDOUT },
	{ BUS ".Error.Timeout", ERR_TIMEOUT, ETIMEDOUT },
};

static const char *manager(bool user)
{
	return user ? "the user's systemd" : "systemd";
}

/* ---- connecting ------------------------------------------------------------------------ */

/* The user's number on the host: the root of a user namespace is somebody there. */
static uint32_t outer_uid(void)
{
	auto_buf struct buf text = BUF_INIT(1u << 16);
	uint32_t uid = geteuid(), inside, outside, n;

	if (file_read(AT_FDCWD, "/proc/self/uid_map", &text) < 0)
		return uid;
	for (struct str rest = buf_str(&text); rest.p && rest.n > 0;) {
		struct str line = str_trim(str_cut(rest, '\n', &rest)), tail;
		struct str first = str_cut(line, ' ', &tail);

		tail = tail.p ? str_trim(tail) : STR("");
		struct str second = str_cut(tail, ' ', &tail);

		tail = tail.p ? str_trim(tail) : STR("");
		if (num_parse_u32(first, 0, UINT32_MAX, &inside) == 0 &&
		    num_parse_u32(second, 0, UINT32_MAX, &outside) == 0 &&
		    num_parse_u32(tail, 0, UINT32_MAX, &n) == 0 && uid >= inside &&
		    uid - inside < n)
			return outside + (uid - inside);
	}
	return uid;
}

/* The bus' address, and the manager's own socket where there is no bus. */
static int addresses(bool user, struct buf *ret_bus, struct buf *ret_private)
{
	const char *env = secure_getenv(user ? "DBUS_SESSION_BUS_ADDRESS"
					     : "DBUS_SYSTEM_BUS_ADDRESS");
	const char *run = user ? secure_getenv("XDG_RUNTIME_DIR") : NULL;
	char dir[40];

	if (env && env[0]) { /* asked for: no other will do */
		buf_adds(ret_bus, env);
		return buf_error(ret_bus);
	}
	if (!user) {
		buf_adds(ret_bus, SYSTEM_BUS);
		buf_adds(ret_private, SYSTEM_PRIVATE);
	} else {
		(void) snprintf(dir, sizeof(dir), "/run/user/%u", outer_uid());
		run = run && run[0] == '/' ? run : dir;
		buf_addf(ret_bus, "unix:path=%s/bus", run);
		buf_addf(ret_private, "%s/systemd/private", run);
	}
	return buf_ok(ret_bus) && buf_ok(ret_private) ? 0 : -ENOMEM;
}

static bool absent(int r)
{
	return r == -ENOENT || r == -ECONNREFUSED || r == -ENOTDIR;
}

static int cannot_connect(const struct systemd *s, int r, struct err *e)
{
	if (r == -ETIMEDOUT)
		return err_set(e, ERR_TIMEOUT, ETIMEDOUT,
			       "cgroups by systemd: the bus at %s does not accept a connection",
			       s->where);
	if (absent(r) && access("/run/systemd/system", F_OK) < 0)
		return err_set(e, ERR_UNSUPPORTED, -r,
			       "cgroups by systemd: this machine was not started by systemd (no "
			       "/run/systemd/system, no bus at %s); use the cgroupfs manager",
			       s->where);
	if (absent(r) && s->user)
		return err_set(e, ERR_UNSUPPORTED, -r,
			       "cgroups by systemd: no manager of the user's session at %s (set "
			       "XDG_RUNTIME_DIR or DBUS_SESSION_BUS_ADDRESS, log in properly or "
			       "'loginctl enable-linger'), or use the cgroupfs manager",
			       s->where);
	return err_sys(e, -r, "cgroups by systemd: connect to %s at %s", manager(s->user),
		       s->where);
}

static int open_socket(struct systemd *s, struct err *e)
{
	auto_buf struct buf list = BUF_INIT(8192), private = BUF_INIT(4096);
	struct dbus_address a;
	int r = addresses(s->user, &list, &private);

	if (r < 0)
		return err_sys(e, -r, "address of the bus");
	(void) snprintf(s->where, sizeof(s->where), "%s", buf_z(&list));
	r = dbus_address_parse(buf_str(&list), &a);
	if (r < 0)
		return err_set(e, ERR_INVALID, -r,
			       "cgroups by systemd: '%s' (%s) is no address of a socket of this "
			       "machine",
			       s->where,
			       s->user ? "DBUS_SESSION_BUS_ADDRESS" : "DBUS_SYSTEM_BUS_ADDRESS");
	s->fd = bus_connect((struct str){ a.path, a.n }, a.abstract, s->deadline);
	if (absent(s->fd) && private.n > 0) {
		r = bus_connect(buf_str(&private), false, s->deadline);
		if (r >= 0) {
			s->fd = r;
			s->direct = true;
			(void) snprintf(s->where, sizeof(s->where), "%s", buf_z(&private));
		}
	}
	return s->fd < 0 ? cannot_connect(s, s->fd, e) : 0;
}

/* ---- messages -------------------------------------------------------------------------- */

/* What went wrong with the connection, in terms of what was asked. */
static int broken(const struct systemd *s, int r, struct err *e)
{
	long long after = (long long) ((clock_mono() - s->opened) / NSEC_PER_MSEC);

	if (r == -ETIMEDOUT)
		return err_set(e, ERR_TIMEOUT, ETIMEDOUT,
			       "%s did not answer %s within %lld.%lld s (by D-Bus, %s)",
			       s->welcomed ? manager(s->user) : "the bus", s->doing, after / 1000,
			       after % 1000 / 100, s->where);
	if (r == -EACCES)
		return err_set(e, ERR_DENIED, EACCES, "the bus at %s does not let us in (for %s)",
			       s->where, s->doing);
	if (r == -EBADMSG || r == -EMSGSIZE)
		return err_set(e, ERR_REMOTE, EPROTO,
			       "what answers at %s for %s does not speak D-Bus as it should",
			       s->where, s->doing);
	if (r == 0 || r == -ECONNRESET || r == -EPIPE)
		return err_set(e, ERR_REMOTE, ECONNRESET,
			       "the bus at %s closed the connection before it answered %s",
			       s->where, s->doing);
	return err_sys(e, -r, "%s by D-Bus at %s", s->doing, s->where);
}

static int more(struct systemd *s)
{
	char *room = buf_room(&s->in, 4096);

	if (!room)
		return -EMSGSIZE;
	int n = bus_receive(s->fd, room, 4096, s->deadline);

	if (n > 0)
		buf_grew(&s->in, (size_t) n);
	return n > 0 ? 0 : n == 0 ? -ECONNRESET : n;
}

/* The next message; its parts lie in s->in until the next call. */
static int next(struct systemd *s, struct dbus_message *ret_m)
{
	size_t size;
	int r;

	buf_drop_front(&s->in, s->used);
	s->used = 0;
	while (!s->welcomed) {
		r = dbus_welcome(buf_str(&s->in));
		if (r > 0) {
			s->welcomed = true;
			buf_drop_front(&s->in, (size_t) r);
		} else if (r < 0 || (r = more(s)) < 0) {
			return r;
		}
	}
	for (;;) {
		if (s->in.n >= DBUS_HEAD_SIZE) {
			r = dbus_size((struct str){ s->in.p, DBUS_HEAD_SIZE }, &size);
			if (r < 0)
				return r;
			if (s->in.n >= size) {
				s->used = size;
				return dbus_parse((struct str){ s->in.p, size }, ret_m);
			}
		}
		r = more(s);
		if (r < 0)
			return r;
	}
}

/* Send a call; its serial. */
static int post(struct systemd *s, struct dbus_call *c, uint32_t *ret_serial)
{
	auto_buf struct buf b = BUF_INIT(DBUS_MESSAGE_MAX);

	c->serial = ++s->serial;
	dbus_write_call(&b, c);
	if (!buf_ok(&b))
		return buf_error(&b);
	*ret_serial = c->serial;
	return bus_send(s->fd, buf_str(&b), s->deadline);
}

/* An error the other side sent, in its own words. */
static int refused(const struct systemd *s, const struct dbus_message *m, struct err *e)
{
	struct dbus_reader r = DBUS_READER(m);
	struct str text = STR("no reason given");
	enum err_kind kind = ERR_REMOTE;
	int sys = EPROTO;

	if (m->signature.n > 0 && m->signature.p[0] == 's')
		(void) dbus_read_string(&r, &text); /* the default stands */
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		if (str_is(m->error, errors[i].name)) {
			kind = errors[i].kind;
			sys = errors[i].sys;
		}
	}
	return err_set(e, kind, sys, "%s refuses %s: %.*s (%.*s)", manager(s->user), s->doing,
		       (int) (text.n < NAME_SHOWN ? text.n : NAME_SHOWN), text.p,
		       (int) (m->error.n < NAME_SHOWN ? m->error.n : NAME_SHOWN), m->error.p);
}

/* Wait for the answer to one call; other messages are not for us. */
static int answer(struct systemd *s, uint32_t serial, struct dbus_message *ret_m, struct err *e)
{
	for (;;) {
		int r = next(s, ret_m);

		if (r < 0)
			return broken(s, r, e);
		if (ret_m->kind != DBUS_RETURN && ret_m->kind != DBUS_ERROR)
			continue;
		if (ret_m->reply_serial != serial)
			continue; /* of one that needed no answer */
		return ret_m->kind == DBUS_ERROR ? refused(s, ret_m, e) : 0;
	}
}

/* A method of the manager; `doing` for messages. */
static int call(struct systemd *s, const char *member, const char *signature, struct str body,
		const char *unit, struct dbus_message *ret_m, struct err *e)
{
	struct dbus_call c = { .destination = s->direct ? NULL : MANAGER,
			       .path = MANAGER_PATH,
			       .interface = MANAGER_IFACE,
			       .member = member,
			       .signature = signature,
			       .body = body };
	uint32_t serial = 0;

	(void) snprintf(s->doing, sizeof(s->doing), "%s of '%.60s'", member, unit);
	int r = post(s, &c, &serial);

	return r < 0 ? broken(s, r, e) : answer(s, serial, ret_m, e);
}

/* What every connection to a bus begins with. Its answer is not waited for. */
static int greet(struct systemd *s)
{
	struct dbus_call hello = {
		.destination = BUS, .path = BUS_PATH, .interface = BUS, .member = "Hello"
	};
	uint32_t serial;
	int r = bus_send(s->fd, DBUS_HELLO, s->deadline);

	return r < 0 || s->direct ? r : post(s, &hello, &serial);
}

int systemd_open(bool user, nsec_t deadline, struct systemd **ret_s, struct err *e)
{
	auto_systemd struct systemd *s = calloc(1, sizeof(*s));

	if (!s)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	s->fd = FD_NONE;
	s->user = user;
	s->deadline = deadline;
	s->opened = clock_mono();
	s->in = BUF_INIT(2 * DBUS_MESSAGE_MAX);
	(void) snprintf(s->doing, sizeof(s->doing), "a greeting");
	int r = open_socket(s, e);

	if (r < 0)
		return r;
	r = greet(s);
	if (r < 0)
		return broken(s, r, e);
	*ret_s = TAKE(s);
	return 0;
}

void systemd_close(struct systemd *s)
{
	if (!s)
		return;
	close_fd(&s->fd);
	buf_fini(&s->in);
	free(s);
}

/* ---- jobs ------------------------------------------------------------------------------ */

/*
 * Be told when jobs of the unit end: without a subscriber systemd says nothing, and a bus passes on
 * what a rule asks for. An answer is not needed: what fails here fails again at the job.
 */
static int subscribe(struct systemd *s, const char *unit)
{
	auto_buf struct buf body = BUF_INIT(2048), rule = BUF_INIT(1024);
	struct dbus_call match = { .destination = BUS,
				   .path = BUS_PATH,
				   .interface = BUS,
				   .member = "AddMatch",
				   .signature = "s" };
	struct dbus_call call = { .destination = s->direct ? NULL : MANAGER,
				  .path = MANAGER_PATH,
				  .interface = MANAGER_IFACE,
				  .member = "Subscribe" };
	uint32_t serial;
	int r = 0;

	if (!s->direct) {
		buf_addf(&rule,
			 "type='signal',sender='" MANAGER "',path='" MANAGER_PATH
			 "',interface='" MANAGER_IFACE "',member='JobRemoved',arg2='%s'",
			 unit);
		dbus_string(&body, buf_str(&rule));
		match.body = buf_str(&body);
		r = buf_ok(&body) && buf_ok(&rule) ? post(s, &match, &serial) : -ENOMEM;
	}
	return r < 0 ? r : post(s, &call, &serial);
}

/* Whether this message says that our job has ended, and how. */
static bool job_removed(const struct systemd *s, const struct dbus_message *m, struct str *ret_how)
{
	struct dbus_reader r = DBUS_READER(m);
	struct str job, unit;
	uint32_t id;

	return m->kind == DBUS_SIGNAL && str_is(m->member, "JobRemoved") &&
	       str_is(m->interface, MANAGER_IFACE) && str_is(m->signature, "uoss") &&
	       (s->direct || str_is(m->sender, s->sender)) && dbus_read_u32(&r, &id) == 0 &&
	       dbus_read_string(&r, &job) == 0 && str_is(job, s->job) &&
	       dbus_read_string(&r, &unit) == 0 && dbus_read_string(&r, ret_how) == 0;
}

static void keep(char *to, size_t size, struct str text)
{
	size_t n = text.n < size - 1 ? text.n : 0; /* one that is too long is nobody's */

	memcpy(to, n ? text.p : "", n);
	to[n] = 0;
}

/* The job that a method has returned, to its end. */
static int await_job(struct systemd *s, const struct dbus_message *reply, const char *unit,
		     struct err *e)
{
	struct dbus_reader r = DBUS_READER(reply);
	struct str job, how = { NULL, 0 };
	struct dbus_message m;

	if (!str_is(reply->signature, "o") || dbus_read_string(&r, &job) < 0)
		return broken(s, -EBADMSG, e);
	keep(s->job, sizeof(s->job), job);
	keep(s->sender, sizeof(s->sender), reply->sender);
	do {
		int res = next(s, &m);

		if (res < 0)
			return broken(s, res, e);
	} while (!job_removed(s, &m, &how));
	if (str_is(how, "done"))
		return 0;
	return err_set(e, ERR_REMOTE, ECANCELED,
		       "%s could not do %s: its job ended as '%.*s'; 'journalctl %s%s' may say why",
		       manager(s->user), s->doing, (int) (how.n < 40 ? how.n : 40), how.p,
		       s->user ? "--user-unit " : "-u ", unit);
}

int systemd_start(struct systemd *s, const char *unit, struct str properties, struct err *e)
{
	auto_buf struct buf body = BUF_INIT(DBUS_MESSAGE_MAX);
	struct dbus_message m;
	struct dbus_array a;

	dbus_string(&body, str_of(unit));
	dbus_string(&body, STR("fail"));
	a = dbus_array(&body, 8);
	buf_addstr(&body, properties);
	dbus_array_end(&body, a);
	a = dbus_array(&body, 8); /* auxiliary units: none */
	dbus_array_end(&body, a);
	if (!buf_ok(&body))
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "the properties of '%s' are too many",
			       unit);
	int r = subscribe(s, unit);

	if (r < 0)
		return broken(s, r, e);
	r = call(s, "StartTransientUnit", "ssa(sv)a(sa(sv))", buf_str(&body), unit, &m, e);
	return r < 0 ? r : await_job(s, &m, unit, e);
}

/* A unit that failed is forgotten. */
static int reset(struct systemd *s, const char *unit, struct err *e)
{
	auto_buf struct buf body = BUF_INIT(1024);
	struct dbus_message m;
	struct err own;

	dbus_string(&body, str_of(unit));
	int r = call(s, "ResetFailedUnit", "s", buf_str(&body), unit, &m, &own);

	if (r < 0 && own.kind != ERR_NOT_FOUND) {
		*e = own;
		return r;
	}
	return 0;
}

int systemd_stop(struct systemd *s, const char *unit, struct err *e)
{
	auto_buf struct buf body = BUF_INIT(1024);
	struct dbus_message m;
	struct err own;
	int r = subscribe(s, unit);

	if (r < 0)
		return broken(s, r, e);
	dbus_string(&body, str_of(unit));
	dbus_string(&body, STR("replace"));
	r = call(s, "StopUnit", "ss", buf_str(&body), unit, &m, &own);
	if (r < 0 && own.kind == ERR_NOT_FOUND)
		return 0;
	if (r == 0)
		r = await_job(s, &m, unit, &own);
	if (r < 0) {
		*e = own;
		return r;
	}
	return reset(s, unit, e);
}

int systemd_clear(struct systemd *s, const char *unit, struct err *e)
{
	auto_buf struct buf body = BUF_INIT(1024);
	struct dbus_message m;
	struct err own;
	uint32_t n;

	dbus_string(&body, str_of(unit));
	int r = call(s, "GetUnitProcesses", "s", buf_str(&body), unit, &m, &own);
	struct dbus_reader in = DBUS_READER(&m);

	if (r < 0 && own.kind == ERR_NOT_FOUND)
		return 0;
	if (r < 0) {
		*e = own;
		return r;
	}
	if (!str_is(m.signature, "a(sus)") || dbus_read_u32(&in, &n) < 0)
		return broken(s, -EBADMSG, e);
	return n == 0 ? systemd_stop(s, unit, e)
		      : err_set(e, ERR_CONFLICT, EBUSY, "the unit %s has processes", unit);
}

int systemd_set(struct systemd *s, const char *unit, struct str properties, struct err *e)
{
	auto_buf struct buf body = BUF_INIT(DBUS_MESSAGE_MAX);
	struct dbus_message m;
	struct dbus_array a;

	dbus_string(&body, str_of(unit));
	dbus_bool(&body, true); /* runtime: not beyond its end */
	a = dbus_array(&body, 8);
	buf_addstr(&body, properties);
	dbus_array_end(&body, a);
	if (!buf_ok(&body))
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "the properties of '%s' are too many",
			       unit);
	return call(s, "SetUnitProperties", "sba(sv)", buf_str(&body), unit, &m, e);
}

int systemd_attach(struct systemd *s, const char *unit, const char *sub, pid_t pid, struct err *e)
{
	auto_buf struct buf body = BUF_INIT(2048);
	struct dbus_message m;
	struct dbus_array a;

	dbus_string(&body, str_of(unit));
	dbus_string(&body, str_of(sub));
	a = dbus_array(&body, 4);
	dbus_u32(&body, (uint32_t) pid);
	dbus_array_end(&body, a);
	return call(s, "AttachProcessesToUnit", "ssau", buf_str(&body), unit, &m, e);
}
