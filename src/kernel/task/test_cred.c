/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/securebits.h>

#include "kernel/core/heap.h"
#include "kernel/platform/sim/test_run.h"
#include "kernel/task/cred_change.h"
#include "kernel/vfs/inode.h"

#define BIT(n) ((uint64_t) 1 << (n))

/* Linux's first process, and an ordinary user. */
static struct cred of_root(void)
{
	return (struct cred){ .effective = CRED_ALL, .permitted = CRED_ALL, .bounding = CRED_ALL };
}

static struct cred of_user(uint32_t uid)
{
	return (struct cred){ .uid = uid,
			      .euid = uid,
			      .suid = uid,
			      .fsuid = uid,
			      .gid = uid,
			      .egid = uid,
			      .sgid = uid,
			      .fsgid = uid,
			      .bounding = CRED_ALL };
}

static bool uids(const struct cred *c, uint32_t r, uint32_t e, uint32_t s, uint32_t f)
{
	return c->uid == r && c->euid == e && c->suid == s && c->fsuid == f;
}

static bool gids(const struct cred *c, uint32_t r, uint32_t e, uint32_t s, uint32_t f)
{
	return c->gid == r && c->egid == e && c->sgid == s && c->fsgid == f;
}

static void users(void)
{
	struct cred c = of_root(), u = of_user(7);

	CHECK(cred_setuid(&c, CRED_KEEP) == -EINVAL && cred_setuid(&c, 5) == 0);
	CHECK(uids(&c, 5, 5, 5, 5) && !c.effective && !c.permitted && c.bounding == CRED_ALL);
	CHECK(cred_setuid(&c, 0) == -EPERM && cred_setuid(&c, 5) == 0);
	/* A set-user-id program of root's goes back and forth. */
	c = of_root();
	c.uid = 7;
	CHECK(cred_setresuid(&c, CRED_KEEP, 7, CRED_KEEP) == 0 && uids(&c, 7, 7, 0, 7));
	CHECK(!c.effective && c.permitted == CRED_ALL);
	CHECK(cred_setuid(&c, 0) == 0 && uids(&c, 7, 0, 0, 0) && c.effective == CRED_ALL);
	CHECK(cred_setreuid(&c, CRED_KEEP, 7) == 0 && uids(&c, 7, 7, 0, 7));
	CHECK(cred_setreuid(&c, CRED_KEEP, 0) == 0 && uids(&c, 7, 0, 0, 0));
	CHECK(cred_setreuid(&c, 0, 7) == 0 && uids(&c, 0, 7, 7, 7) && !c.effective);
	CHECK(cred_setreuid(&c, 7, 0) == 0 && uids(&c, 7, 0, 0, 0));
	CHECK(cred_setresuid(&u, 7, 7, 8) == -EPERM && cred_setresuid(&u, 8, 7, 7) == -EPERM);
	CHECK(cred_setreuid(&u, 8, 7) == -EPERM && cred_setreuid(&u, 7, 8) == -EPERM);
	CHECK(cred_setresuid(&u, CRED_KEEP, CRED_KEEP, CRED_KEEP) == 0 && uids(&u, 7, 7, 7, 7));
	/* KEEPCAPS keeps what is permitted, once. */
	c = of_root();
	c.inheritable = c.ambient = BIT(CAP_CHOWN);
	CHECK(cred_set_keepcaps(&c, 2) == -EINVAL && cred_set_keepcaps(&c, 1) == 0);
	CHECK(cred_setuid(&c, 5) == 0 && !c.effective && c.permitted == CRED_ALL && !c.ambient);
	c = of_root();
	c.securebits = SECBIT_NO_SETUID_FIXUP;
	CHECK(cred_setuid(&c, 5) == 0 && c.effective == CRED_ALL);
}

static void files_and_groups(void)
{
	struct cred c = of_root(), u = of_user(7);
	uint32_t *g;

	cred_setfsuid(&c, 9);
	CHECK(uids(&c, 0, 0, 0, 9) && !cred_can(&c, CAP_DAC_OVERRIDE) && cred_can(&c, CAP_KILL));
	cred_setfsuid(&c, CRED_KEEP);
	cred_setfsuid(&c, 0);
	CHECK(uids(&c, 0, 0, 0, 0) && c.effective == CRED_ALL);
	cred_setfsuid(&u, 9);
	cred_setfsgid(&u, 9);
	CHECK(uids(&u, 7, 7, 7, 7) && gids(&u, 7, 7, 7, 7));
	CHECK(cred_setgid(&c, CRED_KEEP) == -EINVAL && cred_setgid(&c, 5) == 0 &&
	      gids(&c, 5, 5, 5, 5));
	CHECK(c.effective == CRED_ALL);
	CHECK(cred_setresgid(&c, 1, 2, 3) == 0 && gids(&c, 1, 2, 3, 2));
	CHECK(cred_setregid(&c, CRED_KEEP, 1) == 0 && gids(&c, 1, 1, 3, 1));
	CHECK(cred_setregid(&c, 4, CRED_KEEP) == 0 && gids(&c, 4, 1, 1, 1));
	cred_setfsgid(&c, 77);
	CHECK(gids(&c, 4, 1, 1, 77));
	CHECK(cred_setgid(&u, 8) == -EPERM && cred_setregid(&u, 8, 7) == -EPERM &&
	      cred_setresgid(&u, 7, 7, 8) == -EPERM);
	u.sgid = 8;
	CHECK(cred_setgid(&u, 8) == 0 && gids(&u, 7, 8, 8, 8));
	g = heap_alloc(5 * sizeof(*g));
	memcpy(g, (uint32_t[]){ 5, 1, 4, 1, 3 }, 5 * sizeof(*g));
	CHECK(cred_setgroups(&c, g, 5) == 0 && c.group_count == 5 && c.groups[0] == 1 &&
	      c.groups[1] == 1 && c.groups[2] == 3 && c.groups[3] == 4 && c.groups[4] == 5);
	CHECK(cred_setgroups(&u, heap_alloc(4), 1) == -EPERM && u.group_count == 0);
	CHECK(cred_setgroups(&c, heap_alloc(4), CRED_GROUPS + 1) == -EINVAL);
	CHECK(cred_setgroups(&c, NULL, 0) == 0 && c.group_count == 0);
}

static void capabilities(void)
{
	struct cred c = of_root(), u = of_user(7);

	u.permitted = BIT(CAP_KILL) | BIT(CAP_CHOWN);
	CHECK(cred_capset(&u, BIT(CAP_KILL), u.permitted, 0) == 0 && cred_can(&u, CAP_KILL));
	CHECK(cred_capset(&u, BIT(CAP_SETUID), u.permitted, 0) == -EPERM);
	CHECK(cred_capset(&u, 0, u.permitted | BIT(CAP_SETUID), 0) == -EPERM);
	CHECK(cred_capset(&u, 0, u.permitted, BIT(CAP_SETUID)) == -EPERM);
	CHECK(cred_raise_ambient(&u, CAP_KILL) == -EPERM);
	CHECK(cred_capset(&u, 0, u.permitted, BIT(CAP_KILL)) == 0);
	CHECK(cred_raise_ambient(&u, CAP_LAST_CAP + 1) == -EINVAL &&
	      cred_raise_ambient(&u, CAP_KILL) == 0 && u.ambient == BIT(CAP_KILL));
	CHECK(cred_capset(&u, 0, BIT(CAP_CHOWN), BIT(CAP_KILL)) == 0 && !u.ambient);
	CHECK(cred_capset(&u, 0, BIT(CAP_KILL), 0) == -EPERM);
	CHECK(cred_drop_bounding(&u, CAP_KILL) == -EPERM);
	CHECK(cred_drop_bounding(&c, 64) == -EINVAL && cred_drop_bounding(&c, CAP_KILL) == 0);
	CHECK(c.bounding == (CRED_ALL & ~BIT(CAP_KILL)));
	CHECK(cred_capset(&c, CRED_ALL, CRED_ALL, BIT(CAP_KILL)) == -EPERM);
	CHECK(cred_capset(&c, CRED_ALL, CRED_ALL, BIT(CAP_CHOWN)) == 0);
	CHECK(cred_raise_ambient(&c, CAP_CHOWN) == 0 && cred_lower_ambient(&c, 64) == -EINVAL &&
	      cred_lower_ambient(&c, CAP_CHOWN) == 0 && !c.ambient);
	CHECK(cred_raise_ambient(&c, CAP_CHOWN) == 0);
	cred_clear_ambient(&c);
	CHECK(!c.ambient);
	CHECK(cred_set_securebits(&u, 0) == -EPERM && cred_set_securebits(&c, BIT(20)) == -EPERM);
	CHECK(cred_set_securebits(&c, SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_KEEP_CAPS_LOCKED) == 0);
	CHECK(cred_raise_ambient(&c, CAP_CHOWN) == -EPERM && cred_set_keepcaps(&c, 1) == -EPERM);
	CHECK(cred_set_securebits(&c, 0) == -EPERM);
	CHECK(cred_set_securebits(&c, SECBIT_KEEP_CAPS_LOCKED | SECBIT_KEEP_CAPS) == -EPERM);
}

/* The formulas of capabilities(7), "Transformation of capabilities during execve()". */
static void programs(void)
{
	struct cred c = of_root();
	struct cred_file plain = { .mode = 0755 }, set = { .mode = 06755, .uid = 0, .gid = 9 },
			 capable = { .mode = 0755,
				     .capable = true,
				     .effective = true,
				     .permitted = BIT(CAP_KILL) };
	bool secure = true;

	CHECK(cred_exec(&c, &plain, false, &secure) == 0 && !secure && c.effective == CRED_ALL);
	c = of_user(7);
	CHECK(cred_exec(&c, &plain, false, &secure) == 0 && !secure && !c.permitted);
	CHECK(cred_exec(&c, &set, false, &secure) == 0 && secure && uids(&c, 7, 0, 0, 0) &&
	      gids(&c, 7, 9, 9, 9) && c.effective == CRED_ALL);
	/* Nothing is gained by it: no_new_privs, a shared root. */
	c = of_user(7);
	cred_set_no_new_privs(&c);
	CHECK(cred_exec(&c, &set, false, &secure) == 0 && !secure && uids(&c, 7, 7, 7, 7) &&
	      !c.permitted);
	CHECK(cred_exec(&c, &capable, false, &secure) == 0 && !c.permitted && !c.effective);
	c = of_user(7);
	CHECK(cred_exec(&c, &set, true, &secure) == 0 && uids(&c, 7, 7, 7, 7) && !c.effective);
	/* Group without the right to execute: no set-group-id. */
	c = of_user(7);
	set.mode = 02745;
	CHECK(cred_exec(&c, &set, false, &secure) == 0 && gids(&c, 7, 7, 7, 7));
	c = of_user(7);
	CHECK(cred_exec(&c, &capable, false, &secure) == 0 && secure &&
	      c.effective == BIT(CAP_KILL) && c.permitted == BIT(CAP_KILL));
	/* And the next program has none of it. */
	CHECK(cred_exec(&c, &plain, false, &secure) == 0 && !c.permitted && !secure);
	c.bounding = 0;
	CHECK(cred_exec(&c, &capable, false, &secure) == -EPERM);
	/* Ambient ones go on, but not through a file that has its own. */
	c = of_user(7);
	c.permitted = c.inheritable = c.ambient = BIT(CAP_CHOWN);
	c.securebits = SECBIT_KEEP_CAPS;
	CHECK(cred_exec(&c, &plain, false, &secure) == 0 && c.effective == BIT(CAP_CHOWN) &&
	      c.permitted == BIT(CAP_CHOWN) && !secure && !c.securebits);
	CHECK(cred_exec(&c, &capable, false, &secure) == 0 && !c.ambient &&
	      c.permitted == BIT(CAP_KILL));
	/* Inheritable of both. */
	c = of_user(7);
	c.inheritable = BIT(CAP_CHOWN) | BIT(CAP_FOWNER);
	capable = (struct cred_file){ .capable = true, .inheritable = BIT(CAP_CHOWN) };
	CHECK(cred_exec(&c, &capable, false, &secure) == 0 && c.permitted == BIT(CAP_CHOWN) &&
	      !c.effective);
	/* SECBIT_NOROOT: user 0 is nobody special. */
	c = of_root();
	c.securebits = SECBIT_NOROOT;
	CHECK(cred_exec(&c, &plain, false, &secure) == 0 && !c.permitted);
	/* A set-user-id program of root's that says what it needs. */
	c = of_user(7);
	capable = (struct cred_file){ .mode = 04755, .capable = true, .permitted = BIT(CAP_KILL) };
	CHECK(cred_exec(&c, &capable, false, &secure) == 0 && uids(&c, 7, 0, 0, 0) &&
	      c.permitted == BIT(CAP_KILL) && !c.effective && secure);
}

static void attributes(void)
{
	unsigned char b[24] = { 1, 0, 0, 2, 0x20, 0, 0, 0, 1, 0, 0, 0, 1 };
	struct cred_file f = {};

	CHECK(cred_file_capabilities(&f, b, 20) == 0 && f.capable && f.effective &&
	      f.permitted == (0x20 | BIT(32)) && f.inheritable == 1);
	CHECK(cred_file_capabilities(&f, b, 19) == -EINVAL &&
	      cred_file_capabilities(&f, b, 3) == -EINVAL &&
	      cred_file_capabilities(&f, b, 24) == -EINVAL);
	b[3] = 3;
	CHECK(cred_file_capabilities(&f, b, 24) == 0 && f.permitted == (0x20 | BIT(32)));
	b[20] = 1;
	CHECK(cred_file_capabilities(&f, b, 24) == -EINVAL);
	b[3] = 1;
	CHECK(cred_file_capabilities(&f, b, 12) == -EINVAL);
}

static void body(void *arg)
{
	(void) arg;
	users();
	files_and_groups();
	capabilities();
	programs();
	attributes();
}

int main(void)
{
	return test_run(64, body);
}
