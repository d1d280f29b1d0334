/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/test.h"
#include "engine/pod.h"
#include "fmt/json.h"
#include "fmt/spec.h"

/* Whose annotations and cgroup say what. */
static void test_who(void)
{
	static const char pod[] =
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	static const struct {
		const char *annotations, *before, *after; /* the pod's id is between these */
		enum pod_role role;
		const char *id;
	} v[] = {
		{ "\"io.container.manager\":\"libpod\"", "/libpod_parent/", "/libpod-x",
		  POD_SANDBOX, NULL },
		{ "\"io.container.manager\":\"libpod\"", "", "/libpod-x", POD_SANDBOX, NULL },
		{ "\"io.container.manager\":\"libpod\"", "machine-libpod_pod_", ".slice:libpod:x",
		  POD_SANDBOX, NULL },
		{ "\"io.container.manager\":\"libpod\"", "user.slice/user-libpod_pod_",
		  ".slice:libpod:x", POD_SANDBOX, NULL },
		{ "\"io.container.manager\":\"libpod\"", "/libpod_parent/libpod-", "", POD_NONE,
		  NULL },
		{ "\"io.container.manager\":\"libpod\"", "machine.slice:libpod:", "", POD_NONE,
		  NULL },
		{ "\"io.container.manager\":\"libpod\"", "/a/", "f/libpod-x", POD_NONE, NULL },
		{ "\"io.container.manager\":\"libpod\"", "machine-libpod_pod_", "f.slice:libpod:x",
		  POD_NONE, NULL },
		{ "\"io.container.manager\":\"other\"", "/libpod_parent/", "/libpod-x", POD_NONE,
		  NULL },
		{ "\"io.container.manager\":\"libpod\","
		  "\"io.kubernetes.cri-o.ContainerType\":\"container\","
		  "\"io.kubernetes.cri-o.SandboxID\":\"s\"",
		  "/libpod_parent/", "/libpod-x", POD_MEMBER, "s" },
		{ "\"io.kubernetes.cri-o.ContainerType\":\"container\"", "/a/", "/x", POD_NONE,
		  NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(v); i++) {
		auto_arena struct arena a = ARENA_INIT(1 << 20);
		const struct json *root = NULL;
		const struct spec *s = NULL;
		struct pod_name n;
		struct err e = {};
		char text[1024];

		(void) snprintf(text, sizeof(text),
				"{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"r\"},"
				"\"annotations\":{%s},\"linux\":{\"cgroupsPath\":\"%s%s%s\"}}",
				v[i].annotations, v[i].before, pod, v[i].after);
		CHECK(json_parse(&a, str_of(text), &root, &e) == 0 &&
		      spec_decode(&a, root, &s, &e) == 0);
		if (!s)
			return;
		CHECK(pod_find(s, &n, &e) == 0);
		CHECK(n.role == v[i].role);
		CHECK(v[i].id ? n.id && streq(n.id, v[i].id) : !n.id);
	}
}

/* Members come and go; who is alone with the lock sees it. */
static void test_directory(void)
{
	char base[] = "/tmp/atoll-pod-XXXXXX", path[64];
	const struct pod_name sandbox = { .role = POD_SANDBOX, .id = "p" },
			      member = { .role = POD_MEMBER, .id = "p" };
	auto_buf struct buf text = BUF_INIT(100);
	struct pod_place a, b;
	auto_fd int fd = FD_NONE, lock = FD_NONE, other = FD_NONE;
	char id[POD_ID_SIZE];
	struct err e = {};

	CHECK(mkdtemp(base) == base);
	(void) snprintf(path, sizeof(path), "%s/pods/p", base);
	a = (struct pod_place){ .path = path, .fd = FD_NONE, .id = "a" };
	b = (struct pod_place){ .path = path, .fd = FD_NONE, .id = "b" };
	CHECK(pod_lock(path, clock_deadline(0), &lock, &e) < 0 && e.sys == ENOENT);
	CHECK(pod_enter(&a, &sandbox, "a kernel", clock_deadline(0), &fd, &lock, &e) == 0);
	CHECK(pod_has_sandbox(fd) && pod_sandbox(fd, id) == 0 && streq(id, "a"));
	CHECK(pod_enter(&b, &member, "a kernel", clock_deadline(0), &other, &other, &e) < 0 &&
	      e.kind == ERR_TIMEOUT);
	close_fd(&lock);
	CHECK(pod_enter(&b, &sandbox, "a kernel", clock_deadline(0), &other, &other, &e) < 0 &&
	      e.kind == ERR_CONFLICT && strstr(e.msg, "has a kernel already"));
	CHECK(pod_enter(&b, &member, "a kernel", clock_deadline(0), &other, &lock, &e) == 0);
	a.fd = b.fd = fd;
	CHECK(pod_members(fd) == 2 && pod_has_member(fd, "b") && !pod_has_member(fd, "../a"));
	CHECK(pod_write_member(&b, STR("one\ntwo\n"), &e) == 0);
	CHECK(pod_has_line(fd, STR("two")) && !pod_has_line(fd, STR("tw")));
	CHECK(pod_read_member(&b, &text) == 0 && str_is(buf_str(&text), "one\ntwo\n"));
	pod_remove_member(&b);
	CHECK(pod_members(fd) == 1 && !pod_has_line(fd, STR("two")));
	/* Half of its words: who wrote them was killed. */
	a.fd = openat(fd, "members/.a.1.f", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	CHECK(a.fd >= 0 && write(a.fd, "half\n", 5) == 5);
	close_fd(&a.fd);
	a.fd = fd;
	CHECK(pod_members(fd) == 1 && !pod_has_line(fd, STR("half")));
	pod_remove_member(&a);
	CHECK(pod_members(fd) == 0);
	pod_remove(&a);
	(void) snprintf(path, sizeof(path), "%s/pods", base);
	CHECK(rmdir(path) == 0 && rmdir(base) == 0);
}

int main(void)
{
	test_who();
	test_directory();
	return test_done();
}
