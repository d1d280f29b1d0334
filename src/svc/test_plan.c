/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/plan.h"
#include "sys/accounts.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/test.h"
#include "fmt/spec.h"
#include "sys/tree.h"

static struct err e;
static unsigned notices;

static void noticed(struct svc *, const char *)
{
	notices++;
}

static void put(int dir, const char *name, const char *text)
{
	auto_fd int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t) strlen(text));
}

static const struct spec *planned(struct arena *a, const struct workload_config *c,
				  const struct plan_image *image, int root_fd)
{
	auto_buf struct buf text = BUF_INIT(1u << 20);
	struct svc s = { .notice = noticed };
	struct plan_input in = {
		.id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		.config = c,
		.image = image,
		.root_fd = root_fd,
		.run_dir = "/run/dir",
		.hostname = "host",
		.init_path = "/libexec/init",
	};
	const struct json *root;
	const struct spec *spec = NULL;

	CHECK(plan_write(&s, &in, a, &text, &e) == 0);
	CHECK(json_parse(a, buf_str(&text), &root, &e) == 0);
	CHECK(spec_decode(a, root, &spec, &e) == 0);
	return spec;
}

static void test_defaults(int root_fd)
{
	auto_arena struct arena a = ARENA_INIT(16u << 20);
	const char *cmd[] = { "sh" }, *env[] = { "PATH=/bin", "X=1" };
	struct plan_image image = { .command = cmd, .command_n = 1, .env = env, .env_n = 2 };
	struct workload_config c = { .image = "i" };
	const struct spec *s = planned(&a, &c, &image, root_fd);

	if (!s)
		return;
	CHECK(s->process->args_n == 1 && s->process->caps->bounding == 0xa80425fbu);
	CHECK(s->process->caps->inheritable == 0 && s->process->caps->ambient == 0);
	CHECK_STR(s->process->env[0], "PATH=/bin");
	CHECK_STR(s->process->cwd, "/");
	CHECK_STR(s->hostname, "host");
	CHECK(s->linux_.ns[SPEC_NS_PID].present && s->linux_.ns[SPEC_NS_NETWORK].present);
	CHECK(!s->linux_.ns[SPEC_NS_USER].present && s->linux_.ns[SPEC_NS_CGROUP].present);
	CHECK(s->linux_.masked_paths_n > 8 && s->linux_.readonly_paths_n >= 5);
	CHECK(s->linux_.seccomp && s->linux_.seccomp->rules_n > 5);
	CHECK(s->linux_.resources->devices_n == 12 && !s->linux_.resources->devices[0].allow);
	CHECK(!s->linux_.resources->memory && !s->linux_.resources->cpu);

	c.privileged = true;
	s = planned(&a, &c, &image, root_fd);
	CHECK(s && !s->linux_.seccomp && s->linux_.masked_paths_n == 0);
	CHECK(s && s->linux_.resources->devices_n == 1 && s->linux_.resources->devices[0].allow);
}

static void test_flags(int root_fd)
{
	auto_arena struct arena a = ARENA_INIT(16u << 20);
	const char *cmd[] = { "img" }, *mine[] = { "one", "two" }, *drop[] = { "ALL" };
	const char *add[] = { "net_admin" }, *entry[] = { "/entry" };
	struct plan_image image = { .command = cmd, .command_n = 1 };
	struct workload_config c = {
		.image = "i",
		.command = mine,
		.command_n = 2,
		.cap_drop = drop,
		.cap_drop_n = 1,
		.cap_add = add,
		.cap_add_n = 1,
		.network = "host",
		.pid_mode = "host",
		.init = true,
		.resources = { .memory = 64u << 20, .nano_cpus = 1500000000, .pids_limit = -1 },
	};
	const struct spec *s = planned(&a, &c, &image, root_fd);

	if (!s)
		return;
	CHECK(s->process->args_n == 4);
	CHECK_STR(s->process->args[0], "/dev/init");
	CHECK_STR(s->process->args[2], "one");
	CHECK((s->process->caps->effective & ~((uint64_t) 1 << 12)) == 0);
	CHECK(!s->linux_.ns[SPEC_NS_NETWORK].present && !s->linux_.ns[SPEC_NS_PID].present);
	CHECK(s->linux_.resources->memory->limit == 64 << 20);
	CHECK(s->linux_.resources->memory->swap == 128 << 20);
	CHECK(s->linux_.resources->cpu->quota == 150000 &&
	      s->linux_.resources->cpu->period == 100000);
	CHECK(s->linux_.resources->pids->limit == -1);

	/* A new entry point drops the image's command; an empty one with nothing else is refused.
	 */
	struct workload_config over = {
		.image = "i", .entrypoint_set = true, .entrypoint = entry, .entrypoint_n = 1
	};
	const char **argv;
	size_t n;
	CHECK(plan_command(&over, &image, &a, &argv, &n, &e) == 0 && n == 1);
	over.entrypoint_n = 0;
	CHECK(plan_command(&over, &image, &a, &argv, &n, &e) < 0 && e.kind == ERR_INVALID);
}

static void test_users(int root_fd)
{
	auto_arena struct arena a = ARENA_INIT(16u << 20);
	static const char *const groups[] = { "wheel", "77" };
	struct account u;

	put(root_fd, "etc/passwd",
	    "root:x:0:0:root:/root:/bin/sh\n# bob:x:1:1::/:\nbob:x:1000:100::/home/bob:/bin/sh\n"
	    "short:x\nnegative:x:-1:0::/:\nlarge:x:99999999999:0::/:\n1234:x:5:6::/number:\n");
	put(root_fd, "etc/group", "root:x:0:\nwheel:x:10:bob,alice\nusers:x:100:bob\nbad\n");
	CHECK(accounts_find(root_fd, NULL, NULL, 0, &a, &u, &e) == 0 && u.uid == 0 && u.gid == 0);
	CHECK_STR(u.home, "/root");
	CHECK(accounts_find(root_fd, "bob", NULL, 0, &a, &u, &e) == 0);
	CHECK(u.uid == 1000 && u.gid == 100 && u.groups_n == 2);
	CHECK(accounts_find(root_fd, "1000", NULL, 0, &a, &u, &e) == 0 && u.gid == 100);
	CHECK_STR(u.home, "/home/bob");
	CHECK(accounts_find(root_fd, "bob:wheel", NULL, 0, &a, &u, &e) == 0 && u.gid == 10);
	CHECK(u.groups_n == 0);
	CHECK(accounts_find(root_fd, "4242:77", groups, 2, &a, &u, &e) == 0);
	CHECK(u.uid == 4242 && u.gid == 77 && u.groups_n == 2);
	CHECK_STR(u.home, "/");
	/* A name of digits is a name first. */
	CHECK(accounts_find(root_fd, "1234", NULL, 0, &a, &u, &e) == 0 && u.uid == 5);
	static const char *const bad[] = { "nobody-here", "short",	"negative",   "large",
					   "4294967296",  "4294967295", "2147483648", "-1",
					   "bob:nogroup", "0x0",	" 0",	      "bob:" };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK(accounts_find(root_fd, bad[i], NULL, 0, &a, &u, &e) < 0);
	/* Links stay inside the root; what is no file is no accounts. */
	CHECK(unlinkat(root_fd, "etc/passwd", 0) == 0);
	CHECK(symlinkat("/../../../../../etc/passwd", root_fd, "etc/passwd") == 0);
	CHECK(accounts_find(root_fd, "root", NULL, 0, &a, &u, &e) < 0);
	CHECK(unlinkat(root_fd, "etc/passwd", 0) == 0);
	CHECK(mknodat(root_fd, "etc/passwd", S_IFIFO | 0600, 0) == 0);
	CHECK(accounts_find(root_fd, "root", NULL, 0, &a, &u, &e) < 0);
	CHECK(unlinkat(root_fd, "etc/passwd", 0) == 0);
	CHECK(accounts_find(root_fd, "17", NULL, 0, &a, &u, &e) == 0 && u.uid == 17);
}

int main(void)
{
	char dir[] = "/tmp/test_plan.XXXXXX";

	CHECK(mkdtemp(dir) != NULL);
	auto_fd int root_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	CHECK(mkdirat(root_fd, "etc", 0755) == 0);
	test_defaults(root_fd);
	test_flags(root_fd);
	test_users(root_fd);
	CHECK(tree_unlink(AT_FDCWD, dir) == 0);
	return test_done();
}
