/* SPDX-License-Identifier: Apache-2.0 */
/* linux.seccomp of a config.json: what compiles is a program that ends, whatever it is asked. */
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdlib.h>

#include "base/auto.h"
#include "engine/container/listener.h"
#include "engine/container/seccomp.h"
#include "fmt/json.h"
#include "fuzz.h"
#include "sys/seccomp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = ARENA_INIT(16u << 20);
	struct seccomp_data d = { .arch = AUDIT_ARCH_X86_64 };
	const struct json *root = NULL;
	const struct spec *s = NULL;
	struct sock_fprog prog = {};
	unsigned flags;
	struct err e;

	if (json_parse(&a, (struct str){ (const char *) data, size }, &root, &e) < 0 ||
	    spec_decode(&a, root, &s, &e) < 0 || !s->linux_.seccomp)
		return 0;
	(void) listener_check(s, &e);
	if (seccomp_compile(&a, FD_NONE, s->linux_.seccomp, &prog, &flags, &e) < 0)
		return 0;
	if (!seccomp_valid(prog.filter, prog.len))
		abort();
	for (d.nr = -2; d.nr < 500; d.nr += 7)
		(void) seccomp_run(prog.filter, prog.len, &d);
	return 0;
}
