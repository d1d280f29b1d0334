/* SPDX-License-Identifier: Apache-2.0 */
/* Profiles into programs, by what the programs answer. */
#include "engine/container/seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>

#include "base/auto.h"
#include "base/test.h"
#include "fmt/spec.h"
#include "sys/seccomp.h"

static struct sock_fprog prog;
static struct err err;

static int compile(struct arena *a, const char *text)
{
	const struct json *root = NULL;
	const struct spec *s = NULL;
	unsigned flags = 0;

	if (json_parse(a, str_of(text), &root, &err) < 0 || spec_decode(a, root, &s, &err) < 0)
		return -1;
	return seccomp_compile(a, FD_NONE, s->linux_.seccomp, &prog, &flags, &err);
}

static uint32_t ask(uint32_t arch, int nr)
{
	struct seccomp_data d = { .nr = nr, .arch = arch };

	return seccomp_run(prog.filter, prog.len, &d);
}

#define PROFILE(more)                                                                              \
	"{\"ociVersion\":\"1.2.0\",\"root\":{\"path\":\"r\"},\"linux\":{\"seccomp\":{" more "}}}"

int main(void)
{
	auto_arena struct arena a = ARENA_INIT(16u << 20);

	CHECK(compile(&a, PROFILE("\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":["
				  "\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\",\"SCMP_ARCH_X32\","
				  "\"SCMP_ARCH_AARCH64\",\"SCMP_ARCH_MIPS64\"],"
				  "\"syscalls\":[{\"names\":[\"mseal\",\"getpid\",\"no_such\"],"
				  "\"action\":\"SCMP_ACT_ALLOW\"}]")) == 0);
	/* Newer than the library's tables, and the same number almost everywhere. */
	CHECK(ask(AUDIT_ARCH_X86_64, 462) == SECCOMP_RET_ALLOW);
	CHECK(ask(AUDIT_ARCH_I386, 462) == SECCOMP_RET_ALLOW);
	CHECK(ask(AUDIT_ARCH_AARCH64, 462) == SECCOMP_RET_ALLOW);
	CHECK(ask(AUDIT_ARCH_X86_64, 0x40000000 + 462) == SECCOMP_RET_ALLOW);
	CHECK(ask(AUDIT_ARCH_MIPS64, 5462) == SECCOMP_RET_ALLOW);
	/* Older ones that are not named are refused, newer ones are unknown. */
	CHECK(ask(AUDIT_ARCH_X86_64, 39) == SECCOMP_RET_ALLOW);
	CHECK(ask(AUDIT_ARCH_X86_64, 40) == (SECCOMP_RET_ERRNO | EPERM));
	CHECK(ask(AUDIT_ARCH_X86_64, 461) == (SECCOMP_RET_ERRNO | EPERM));
	CHECK(ask(AUDIT_ARCH_X86_64, 463) == (SECCOMP_RET_ERRNO | ENOSYS));
	CHECK(ask(AUDIT_ARCH_ARM, 20) == SECCOMP_RET_KILL_THREAD);
	CHECK(compile(&a, PROFILE("\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":["
				  "\"getpid\"],\"action\":\"SCMP_ACT_NOTIFY\"}]")) == 0);
	CHECK(ask(AUDIT_ARCH_X86_64, 39) == SECCOMP_RET_USER_NOTIF);
	CHECK(ask(AUDIT_ARCH_X86_64, 4000) == SECCOMP_RET_ALLOW); /* a list of what is denied */
	return test_done();
}
