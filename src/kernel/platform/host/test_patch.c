/* SPDX-License-Identifier: Apache-2.0 */
/* Which bytes are patched, and which are not. */
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/test.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/space.h"
#include "kernel/platform/host/host.h"
#include "kernel/platform/host/inside.h"

#define RAM  ((uint64_t) 1024)
#define CODE ((uint64_t) 0x400000)

static struct space *fresh(void)
{
	static const struct space_limits wide = { UINT64_MAX, UINT64_MAX, 8 << 20, UINT64_MAX,
						  65530 };

	return space_new(&wide);
}

/* Bytes that look like a call's first instruction, and are another's last. */
static void bytes(void)
{
#define LAST 12
	static const unsigned char codes[][LAST] = {
		{ 0x90, 0x90, 0x90, 0x90, 0x90, 0xb8, 39, 0, 0, 0, 0x0f, 0x05 },
		{ 0x90, 0x90, 0x90, 0x90, 0x41, 0xb8, 39, 0, 0, 0, 0x0f, 0x05 },
		{ 0x90, 0x48, 0xc7, 0x44, 0x24, 0xb8, 39, 0, 0, 0, 0x0f, 0x05 },
		{ 0x90, 0x90, 0x48, 0xc7, 0x45, 0xb8, 39, 0, 0, 0, 0x0f, 0x05 },
		{ 0x90, 0x90, 0x90, 0x90, 0x90, 0xb8, 40, 0, 0, 0, 0x0f, 0x05 },
		{ 0x90, 0x90, 0x90, 0x90, 0x90, 0xb8, 39, 0, 0, 0, 0x0f, 0x34 },
		{ 0x90, 0x90, 0x90, 0x48, 0xc7, 0xc0, 39, 0, 0, 0, 0x0f, 0x05 },
		/* Between the two: mov %ebx, %edi; xor %esi, %esi; nothing that may be moved; the
		 * same with a number of 64 bits that is cut off. */
		{ 0x90, 0x90, 0x90, 0xb8, 39, 0, 0, 0, 0x89, 0xdf, 0x0f, 0x05 },
		{ 0x90, 0xb8, 39, 0, 0, 0, 0x31, 0xf6, 0x89, 0xdf, 0x0f, 0x05 },
		{ 0x90, 0x90, 0x90, 0xb8, 39, 0, 0, 0, 0x74, 0x02, 0x0f, 0x05 },
		{ 0x90, 0xb8, 39, 0, 0, 0, 0x48, 0xbf, 0x01, 0x00, 0x0f, 0x05 },
		{ 0x90, 0x90, 0x90, 0xb8, 39, 0, 0, 0, 0x8b, 0x3d, 0x0f, 0x05 },
		{ 0x90, 0xb8, 39, 0, 0, 0, 0x8b, 0x7c, 0x24, 0x08, 0x0f, 0x05 },
		{ 0x90, 0xb8, 39, 0, 0, 0, 0x8b, 0x7c, 0x23, 0x08, 0x0f, 0x05 },
		{ 0x90, 0x90, 0x90, 0x90, 0x90, 0x4c, 0x89, 0x5c, 0x24, 0x08, 0x0f, 0x05 },
		/* lea (%rbx), %rsi; of what stands 8 bits behind %rsp; of the instruction's own
		 * place, not in rsi; of registers, which is none; cut off. */
		{ 0x90, 0x90, 0xb8, 39, 0, 0, 0, 0x48, 0x8d, 0x33, 0x0f, 0x05 },
		{ 0xb8, 39, 0, 0, 0, 0x48, 0x8d, 0x74, 0x24, 0x08, 0x0f, 0x05 },
		{ 0xb8, 39, 0, 0, 0, 0x90, 0x90, 0x48, 0x8d, 0x3d, 0x0f, 0x05 },
		{ 0x90, 0x90, 0xb8, 39, 0, 0, 0, 0x48, 0x8d, 0xf3, 0x0f, 0x05 },
		{ 0x90, 0x90, 0xb8, 39, 0, 0, 0, 0x48, 0x8d, 0x73, 0x0f, 0x05 },
	};
	static const bool fits[] = { true, false, false, false, false, false, true,
				     true, true,  false, false, false, true,  false,
				     true, true,  true,	 false, false, false };
	static const int start[] = { 5, 0, 0, 0, 0, 0, 3, 3, 1, 0, 0, 0, 1, 0, 5, 2, 0, 0, 0, 0 };
	struct space *s = fresh();
	unsigned char code[PLAT_SITE] = {}, *last = code + PLAT_SITE - LAST;
	unsigned int made = 1;

	for (size_t n = 0; n < countof(fits); n++) {
		uint64_t behind = CODE + 64 * n, bad;
		enum plat_patched was;

		memcpy(last, codes[n], LAST);
		CHECK(plat_patch(s->plat, behind, 39, code) == fits[n]);
		CHECK((memcmp(last, codes[n], LAST) != 0) == fits[n]);
		made += fits[n];
		if (!fits[n])
			continue;
		bad = behind - LAST + (uint64_t) start[n] + PLAT_JUMP_BAD;
		was = plat_patched(s->plat, bad, last + start[n]);
		CHECK(was == (start[n] == 5 ? PLAT_PATCHED_CALL : PLAT_PATCHED_INSIDE));
		CHECK(plat_patched(s->plat, bad + 1, last + start[n]) == PLAT_NOT_PATCHED);
		memcpy(last, codes[n], LAST);
		CHECK(plat_patched(s->plat, bad, last + start[n]) == PLAT_UNPATCHED);
		last[start[n]] ^= 1;
		CHECK(plat_patched(s->plat, bad, last + start[n]) == PLAT_NOT_PATCHED);
		/* One that was found in between is not patched any more. */
		memcpy(last, codes[n], LAST);
		CHECK(plat_patch(s->plat, behind, 39, code) == (start[n] == 5));
	}
	/* As many as there is room for, and the same one again. */
	for (unsigned int n = 0; n < 300; n++) {
		memcpy(last, codes[0], LAST);
		CHECK(plat_patch(s->plat, CODE + 2000 + 20 * n, 39, code) ==
		      (n < CHUNK_SIZE / SITE_SIZE - made));
	}
	memcpy(last, codes[0], LAST);
	CHECK(plat_patch(s->plat, CODE, 39, code));
	space_unref(s);
}

/* Returns from signals: those that unwinders know without their bytes. */
static void returns(void)
{
	static const unsigned char codes[][LAST] = {
		{ 0x1f, 0x40, 0x00, 0x48, 0xc7, 0xc0, SYS_rt_sigreturn, 0, 0, 0, 0x0f, 0x05 },
		{ 0x31, 0xc0, 0x90, 0x48, 0xc7, 0xc0, SYS_rt_sigreturn, 0, 0, 0, 0x0f, 0x05 },
		{ 0xcc, 0xcc, 0xcc, 0x48, 0xc7, 0xc0, SYS_rt_sigreturn, 0, 0, 0, 0x0f, 0x05 },
		{ 0x00, 0x00, 0x00, 0x00, 0x00, 0xb8, SYS_rt_sigreturn, 0, 0, 0, 0x0f, 0x05 },
	};
	struct space *s = fresh();
	unsigned char code[PLAT_SITE] = {}, *last = code + PLAT_SITE - LAST;

	for (size_t n = 0; n < countof(codes); n++) {
		for (uint64_t skip = 0; skip < 16; skip++) {
			memcpy(last, codes[n], LAST);
			CHECK(plat_patch(s->plat, CODE + 64 + skip, SYS_rt_sigreturn, code) ==
			      (n == 0 && skip == 9));
		}
	}
	space_unref(s);
}

/* Ends of threads, as glibc has them: with whatever fills up to the loop, and no more than that. */
static void last_bytes(void)
{
#define END 0x31, 0xff, 0x89, 0xd0, 0x0f, 0x05
	static const unsigned char codes[][PLAT_SITE - 4] = {
		{ [13] = 0xba, 60, 0, 0, 0, END },
		{ [11] = 0xba, 60, 0, 0, 0, 0x66, 0x90, END },
		{ [10] = 0xba, 60, 0, 0, 0, 0x0f, 0x1f, 0x00, END },
		{ [6] = 0xba, 60, 0, 0, 0, 0x0f, 0x1f, 0x80, 0, 0, 0, 0, END },
		{ [3] = 0xba, 60, 0, 0, 0, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0, END },
		{ [11] = 0xba, 60, 0, 0, 0, 0x74, 0x00, END },
		{ [12] = 0xba, 60, 0, 0, 0, 0x90, END },
		{ [11] = 0xba, 61, 0, 0, 0, 0x66, 0x90, END },
		{ [10] = 0x41, 0xba, 60, 0, 0, 0, 0x66, 0x90, END },
		{ [10] = 0xba, 60, 0, 0, 0, 0x0f, 0x1f, 0x05, END },
		{ [10] = 0xba, 60, 0, 0, 0, 0x0f, 0x1f, 0x80, END },
	};
#undef END
	struct space *s = fresh();
	unsigned char code[PLAT_SITE] = {};

	for (size_t n = 0; n < countof(codes); n++) {
		memcpy(code + 4, codes[n], sizeof(codes[n]));
		CHECK(plat_patch(s->plat, CODE + 64 * n, SYS_exit, code) == (n < 5));
		memcpy(code + 4, codes[n], sizeof(codes[n]));
		CHECK(!plat_patch(s->plat, CODE + 64 * n, SYS_exit_group, code));
	}
	space_unref(s);
}

static void body(void *arg)
{
	(void) arg;
	bytes();
	last_bytes();
	returns();
	host_stop();
	fiber_exit();
}

int main(void)
{
	struct fiber *f;
	struct err e = {};

	if (host_begin(RAM, true, &e) < 0) {
		(void) fprintf(stderr, "%s\n", e.msg);
		return e.kind == ERR_UNSUPPORTED ? 77 : 1;
	}
	CHECK(host.gates);
	CHECK(frame_init(RAM) == 0);
	CHECK(sched_spawn(body, NULL, &f) == 0);
	host_run();
	host_end();
	frame_fini();
	return test_done();
}
