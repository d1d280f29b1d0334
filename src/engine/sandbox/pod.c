/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sandbox/pod.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/log.h"
#include "base/num.h"
#include "base/str.h"
#include "engine/refuse.h"
#include "engine/sandbox/sandbox.h"
#include "proto/sentry.h"

#define WHO	  "a sandbox"
#define WORDS_MAX 64

static struct pod_place place_of(const struct sandbox *s)
{
	return (struct pod_place){ .path = s->pod_path, .fd = s->kernel_fd, .id = s->id };
}

int sandbox_pod_find(struct sandbox *s, const struct bundle *b, struct pod_name *ret, struct err *e)
{
	int r = pod_find(s->spec, ret, e);

	s->process = SENTRY_FIRST;
	if (r < 0)
		return r;
	if (ret->role != POD_NONE && !b->pods_path) {
		*ret = (struct pod_name){ .role = POD_NONE };
		return sandbox_check_alone(s->spec, e);
	}
	if (ret->role == POD_NONE)
		return 0;
	ret->id = ret->id ? ret->id : s->id;
	s->joins = ret->role == POD_MEMBER;
	s->container = s->joins ? 0 : SENTRY_FIRST_CONTAINER;
	if (asprintf(&s->pod_path, "%s/%s", b->pods_path, ret->id) < 0)
		s->pod_path = NULL;
	return s->pod_path ? 0 : err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

int sandbox_pod_enter(struct sandbox *s, const struct pod_name *n, nsec_t deadline, int *ret_lock,
		      struct err *e)
{
	const struct pod_place at = place_of(s);
	/* What is there of it is noted before it is there. */
	int fd = FD_NONE, r = sandbox_save(&s->in, s->state_fd, e);

	r = r < 0 ? r : pod_enter(&at, n, "a kernel", deadline, &fd, ret_lock, e);
	if (r < 0)
		return r;
	close_fd(&s->kernel_fd);
	s->kernel_fd = fd;
	return s->joins && !pod_has_sandbox(fd)
		       ? refuse_to(e, WHO,
				   "be of the pod '%.128s', which has no container that is its "
				   "sandbox: the pod's kernel is that one's",
				   n->id)
		       : 0;
}

int sandbox_pod_tell(const struct sandbox *s, struct err *e)
{
	const struct pod_place at = place_of(s);
	char words[WORDS_MAX];

	(void) snprintf(words, sizeof(words), "pid %d %llu\n", (int) s->in.pid,
			(unsigned long long) s->container);
	return pod_write_member(&at, str_of(words), e);
}

/* ---- namespaces -------------------------------------------------------------------------- */

/* Who stands on the host for the pod's sandbox. */
static int sandbox_pid(const struct sandbox *s, uint32_t *ret)
{
	auto_buf struct buf words = BUF_INIT(WORDS_MAX);
	char id[POD_ID_SIZE];
	struct pod_place at = place_of(s);
	struct str rest;
	int r = pod_sandbox(s->kernel_fd, id);

	at.id = id;
	r = r < 0 ? r : pod_read_member(&at, &words);
	if (r < 0)
		return r;
	(void) str_cut(buf_str(&words), ' ', &rest);
	return num_parse_u32(str_cut(rest, ' ', &rest), 1, INT32_MAX, ret);
}

int sandbox_pod_network(const struct sandbox *s, struct err *e)
{
	const struct spec_ns *ns = &s->spec->linux_.ns[SPEC_NS_NETWORK];
	struct stat asked, pods;
	char path[64];
	uint32_t pid;

	if (!ns->present)
		return 0; /* the host's; of the pod's sandbox as well, or that is what it has */
	if (!ns->path)
		return refuse_to(e, WHO, "have a network of its own in a pod");
	if (sandbox_pid(s, &pid) < 0)
		return err_set(e, ERR_CONFLICT, ESRCH, "the pod's sandbox is not running");
	(void) snprintf(path, sizeof(path), "/proc/%u/ns/net", pid);
	if (stat(ns->path, &asked) < 0)
		return err_sys(e, errno, "namespace network at '%.200s'", ns->path);
	if (stat(path, &pods) < 0)
		return err_set(e, ERR_CONFLICT, ESRCH, "the pod's sandbox is not running");
	return asked.st_ino == pods.st_ino && asked.st_dev == pods.st_dev
		       ? 0
		       : refuse_to(e, WHO,
				   "join the network namespace '%.100s': it is not this pod's",
				   ns->path);
}

/* "/proc/PID/ns/pid" of who stands for a container of the pod. */
static bool container_of_path(const struct sandbox *s, const char *path, uint64_t *ret)
{
	auto_buf struct buf found = BUF_INIT(WORDS_MAX);
	struct str rest, pid = str_cut(str_of(path + strlen("/proc/")), '/', &rest);
	char words[WORDS_MAX];
	uint32_t n;

	if (!str_is(rest, "ns/pid") || num_parse_u32(pid, 1, INT32_MAX, &n) < 0)
		return false;
	(void) snprintf(words, sizeof(words), "pid %u ", n);
	return pod_rest_of_line(s->kernel_fd, str_of(words), &found) == 0 &&
	       num_parse_u64(buf_str(&found), 1, UINT64_MAX, ret) == 0;
}

int sandbox_pod_pids_of(const struct sandbox *s, uint64_t *ret_container, struct err *e)
{
	const char *path = s->spec->linux_.ns[SPEC_NS_PID].path;

	*ret_container = 0;
	if (!path)
		return 0;
	if (strncmp(path, "/proc/", 6) != 0) { /* pinned: the pod's own */
		*ret_container = SENTRY_FIRST_CONTAINER;
		return 0;
	}
	return container_of_path(s, path, ret_container)
		       ? 0
		       : refuse_to(e, WHO,
				   "join the pid namespace '%.100s': it is no container's of this "
				   "pod",
				   path);
}

/* ---- out of it --------------------------------------------------------------------------- */

void sandbox_pod_leave(const struct sandbox *s, nsec_t deadline)
{
	struct pod_place at = place_of(s);
	auto_fd int fd = FD_NONE;
	struct err e = {};

	if (pod_lock(s->pod_path, deadline, &fd, &e) < 0) {
		if (e.sys != ENOENT)
			log_warn("%s", e.msg);
		return;
	}
	at.fd = fd;
	pod_remove_member(&at);
	if (pod_members(fd) == 0)
		pod_remove(&at);
}
