/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/container/listener.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/auto.h"
#include "base/buf.h"
#include "engine/container/child.h"
#include "engine/container/seccomp.h"
#include "fmt/json.h"
#include "sys/fdpass.h"
#include "sys/pidfd.h"
#include "sys/seccomp.h"
#include "sys/unix.h"

#define STATE_MAX (2u << 20)
#define WITHIN	  (10 * NSEC_PER_SEC) /* a listener that does not accept */
#define NOTIFY	  "SCMP_ACT_NOTIFY"

bool seccomp_notifies(const struct spec_seccomp *s)
{
	for (size_t i = 0; i < s->rules_n; i++) {
		if (streq(s->rules[i].action, NOTIFY))
			return true;
	}
	return false;
}

const char *listener_path(const struct spec *s)
{
	const struct spec_seccomp *sc = s->linux_.seccomp;
	const char *path = spec_annotation(s, LISTENER_ANNOTATION);

	if (!path || !path[0])
		path = sc ? sc->listener_path : NULL;
	return path && path[0] ? path : NULL;
}

static bool names(const struct spec_seccomp_rule *r, const char *name)
{
	for (size_t i = 0; i < r->names_n; i++) {
		if (streq(r->names[i], name))
			return true;
	}
	return false;
}

static int refuse(struct err *e, const char *text)
{
	return err_set(e, ERR_INVALID, EINVAL, "linux.seccomp: %s", text);
}

int listener_check(const struct spec *s, struct err *e)
{
	const struct spec_seccomp *sc = s->linux_.seccomp;
	const char *path = listener_path(s);

	if (!sc)
		return 0;
	if (streq(sc->default_action, NOTIFY))
		return refuse(e, NOTIFY " cannot be used as default action: whoever listens has to "
					"get its descriptor first");
	for (size_t i = 0; i < sc->rules_n; i++) {
		if (streq(sc->rules[i].action, NOTIFY) && names(&sc->rules[i], "write"))
			return refuse(e, NOTIFY " cannot be used for the write syscall: the "
						"listener is handed over with its help");
	}
	if (sc->listener_metadata && sc->listener_metadata[0] && !path)
		return refuse(e, "listenerMetadata without listenerPath");
	if (!seccomp_notifies(sc))
		return 0;
	if (!path)
		return refuse(e, NOTIFY " needs listenerPath, the unix socket of who listens");
	if (path[0] != '/')
		return err_set(e, ERR_INVALID, EINVAL,
			       "linux.seccomp.listenerPath: must be absolute, not '%.100s'", path);
	return 0;
}

static uint32_t answer(const struct sock_fprog *prog, int nr)
{
	struct seccomp_data d = { .nr = nr, .arch = seccomp_arch_native(), .args = { 4 } };

	d.args[2] = nr == SYS_write ? sizeof(struct child_message) : 1;
	return seccomp_run(prog->filter, prog->len, &d) & SECCOMP_RET_ACTION_FULL;
}

int listener_check_filter(const struct spec *s, const struct sock_fprog *prog, struct err *e)
{
	const char *path = listener_path(s);
	uint32_t on_write, on_read;
	struct stat st;

	if (!seccomp_notifies(s->linux_.seccomp))
		return 0;
	on_write = answer(prog, SYS_write);
	on_read = answer(prog, SYS_read);
	if ((on_write != SECCOMP_RET_ALLOW && on_write != SECCOMP_RET_LOG) ||
	    (on_read != SECCOMP_RET_ALLOW && on_read != SECCOMP_RET_LOG &&
	     on_read != SECCOMP_RET_USER_NOTIF))
		return refuse(e,
			      "a profile with " NOTIFY " must allow read and write: the listener "
			      "is handed over with their help");
	if (stat(path, &st) < 0)
		return err_sys(e, errno,
			       "failed to connect with seccomp agent: linux.seccomp.listenerPath "
			       "'%s' (is the agent running?)",
			       path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(e, ERR_INVALID, ENOTSOCK,
			       "linux.seccomp.listenerPath '%s': not a socket", path);
	return 0;
}

static void write_state(const struct listener_call *c, struct buf *out)
{
	const char *metadata = c->spec->linux_.seccomp->listener_metadata;
	struct json_writer w = JSON_WRITER(out);

	json_w_object(&w, NULL);
	json_w_string(&w, "ociVersion", c->spec->oci_version);
	json_w_strings(&w, "fds", (const char *const[]){ "seccompFd", NULL });
	json_w_i64(&w, "pid", c->pid);
	if (metadata && metadata[0])
		json_w_string(&w, "metadata", metadata);
	/* The state is text already; what closes this object comes after it. */
	buf_addf(out, ",\"state\":%s,\"status\":\"%s\",\"pid\":%d,%s}", c->head, c->status,
		 (int) c->init_pid, c->tail);
}

int listener_serve(const struct listener_call *c, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(STATE_MAX);
	auto_fd int fd = FD_NONE, sock = FD_NONE;
	const char *path;
	int r;

	if (!c->spec || !c->spec->linux_.seccomp || !c->head)
		return err_set(e, ERR_NOT_FOUND, ENOENT,
			       "linux.seccomp: config.json of the bundle is gone, and with it "
			       "where the listener is");
	path = listener_path(c->spec);
	fd = pidfd_getfd(c->pidfd, c->number, 0);
	if (fd < 0)
		return err_sys(e, errno,
			       "linux.seccomp: taking the listener's descriptor out of "
			       "process %d",
			       (int) c->pid);
	sock = unix_connect(path, SOCK_STREAM, WITHIN);
	if (sock < 0)
		return err_sys(e, -sock, "linux.seccomp.listenerPath: connect to '%s'", path);
	write_state(c, &text);
	r = buf_ok(&text) ? fdpass_send(sock, text.p, text.n, &fd, 1) : buf_error(&text);
	return r < 0 ? err_sys(e, -r, "linux.seccomp.listenerPath: send to '%s'", path) : 0;
}
