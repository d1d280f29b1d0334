/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel stands on. Exactly one platform is linked with it: `sim` (in process, for tests
 * and fuzzing), `host` (a jailed process that serves others' system calls), bare hardware.
 *
 * The kernel runs in fibers (core/fiber.h), many of them on few carriers: threads of the host, or
 * processors. A platform brings carriers in through core/sched.h: each takes the giant lock, makes
 * what has happened known, runs what can run, gives the lock back and waits.
 */
#pragma once

#include <stdarg.h>

#include "kernel/core/types.h"

/* ---- the machine ---- */

/* Coarse: as the vDSO has them, which go in steps and never run ahead of the others. */
enum plat_clock { PLAT_MONOTONIC, PLAT_REALTIME, PLAT_MONOTONIC_COARSE, PLAT_REALTIME_COARSE };

nsec_t plat_now(enum plat_clock clock);
unsigned int plat_cpus(void);
/* Never fails; a platform without entropy does not start. */
void plat_random(void *to, size_t n);
/* A line for whoever watches the kernel; never what a guest wrote, unescaped. */
[[gnu::format(printf, 1, 2)]] void plat_log(const char *fmt, ...);
/* The kernel is at fault: the sandbox ends, the host is told. */
[[gnu::noreturn, gnu::format(printf, 1, 2)]] void plat_panic(const char *fmt, ...);

/* ---- carriers ---- */

/* The carrier that runs this. Changes across a switch of fibers: never keep it. */
struct carrier *plat_carrier(void);
/* The giant lock (core/sched.h). Not recursive. */
void plat_lock(void);
void plat_unlock(void);
/* The next timer is earlier than sched_leave() told: a carrier that waits comes in and hears it. */
void plat_kick(void);

/* ---- the kernel's memory ---- */

/* Zeroed; align: a power of two of at least a page. NULL: the machine has no more. */
[[nodiscard]] void *plat_kmem_alloc(size_t bytes, size_t align);
void plat_kmem_free(void *p, size_t bytes);
/* A stack with a page below it that ends the kernel when it is touched. Gives its lowest byte. */
[[nodiscard]] void *plat_stack_alloc(size_t bytes);
void plat_stack_free(void *low, size_t bytes);

/* ---- the guest's memory ---- */

/* Frames: pages of the RAM, by number, each at plat_ram() + number * PAGE_SIZE for the kernel. */
void *plat_ram(void);
uint64_t plat_ram_frames(void);
/* Their contents are zero when they are looked at next, and take no memory until then. */
void plat_ram_discard(uint64_t first, uint64_t count);

/* ---- address spaces: what a guest's program sees ---- */

enum plat_prot { PLAT_READ = 1, PLAT_WRITE = 2, PLAT_EXEC = 4 };

struct plat_space;

/* NULL: the platform has no more. The guest's addresses are those in [plat_user_low(),
 * plat_user_high()). */
[[nodiscard]] struct plat_space *plat_space_new(void);
void plat_space_free(struct plat_space *s);
uint64_t plat_user_low(void);
uint64_t plat_user_high(void);
/*
 * Where every space has the platform's vDSO (vdso(7)), above plat_user_high(): its clocks are
 * plat_now()'s. No frame of the RAM holds it. 0: there is none.
 */
uint64_t plat_vdso(void);
/* What a guest reads there at `at`, to the end of its page: a guest may hand these bytes to a call,
 * as its dynamic linker does with the name. NULL: no code or text of the vDSO stands there. */
const char *plat_vdso_bytes(uint64_t at);
/*
 * Changes are queued and seen by the guest when it runs next, at the latest; those of another
 * thread of the same space after plat_space_commit(). Page-aligned, whole frames in a row. -ENOMEM.
 */
[[nodiscard]] int plat_map(struct plat_space *s, uint64_t at, uint64_t pages, uint64_t frame,
			   unsigned int prot);
/* The same of pages where the guest sees nothing yet, and need not before it asks for one. */
[[nodiscard]] int plat_map_ahead(struct plat_space *s, uint64_t at, uint64_t pages, uint64_t frame,
				 unsigned int prot);
[[nodiscard]] int plat_unmap(struct plat_space *s, uint64_t at, uint64_t pages);
[[nodiscard]] int plat_protect(struct plat_space *s, uint64_t at, uint64_t pages,
			       unsigned int prot);
[[nodiscard]] int plat_space_commit(struct plat_space *s);
/*
 * Calls that come often from one place can come quicker. `code`: the guest's bytes before the
 * address behind the instruction of the call nr, PLAT_NOT_CODE for those of the page before it;
 * true: they are to be these from now on.
 */
#define PLAT_SITE 28
#define PLAT_NOT_CODE                                                                              \
	0x40 /* a prefix: what stands behind it is not to be taken for an instruction */
[[nodiscard]] bool plat_patch(struct plat_space *s, uint64_t behind, unsigned int nr,
			      unsigned char code[PLAT_SITE]);
enum plat_patched {
	PLAT_NOT_PATCHED,
	PLAT_PATCHED_CALL,   /* a call's instruction is what was there */
	PLAT_PATCHED_INSIDE, /* another: the page is to be unpatched, and stays so there */
	PLAT_UNPATCHED,	     /* what was there is there again */
};
/* What was no instruction at `at` (SIGILL). code: the guest's, from PLAT_JUMP_BAD bytes before. */
#define PLAT_JUMP     7
#define PLAT_JUMP_BAD 5
enum plat_patched plat_patched(struct plat_space *s, uint64_t at,
			       const unsigned char code[PLAT_JUMP]);
/* Of what plat_patch() changed: the byte before the least `behind` above `at`; UINT64_MAX: none. */
uint64_t plat_patch_next(const struct plat_space *s, uint64_t at);
/* The page of the guest's at `at` is to be shown with these bytes, of which those that were patched
 * are as they were; false: none is. Calls from there may be patched again. */
[[nodiscard]] bool plat_unpatch(struct plat_space *s, uint64_t at, unsigned char *page);
/* A space, still without threads, is to hold code of `from` as it was patched. -ENOMEM. */
[[nodiscard]] int plat_patches_copy(struct plat_space *s, const struct plat_space *from);

/* ---- contexts: a guest's threads ---- */

/* As ptrace's user_regs_struct of x86-64 orders them. */
struct plat_regs {
	uint64_t r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs,
		flags, sp, ss, fs_base, gs_base;
};

enum plat_event_kind {
	PLAT_SYSCALL, /* nr, args */
	PLAT_FAULT,   /* address, access (plat_prot): a page that is not there or not so */
	PLAT_TRAP,    /* signal, code, address: an instruction that cannot be */
	PLAT_KICKED,  /* by plat_user_kick() */
	PLAT_GONE,    /* the context is lost: it ended by itself or broke the rules */
};

struct plat_event {
	enum plat_event_kind kind;
	unsigned int nr;
	uint64_t args[6];
	uint64_t site; /* 0, or behind which instruction a call is that plat_patch() may know */
	uint64_t address;
	unsigned int access;
	int signal, code;
};

struct plat_user;

/* A new thread of `s`, that starts with these registers. NULL: the platform has no more. */
[[nodiscard]] struct plat_user *plat_user_new(struct plat_space *s, const struct plat_regs *regs);
void plat_user_free(struct plat_user *u);
/*
 * Lets the guest's thread go on until it needs the kernel; what it needs is in *ret_event. Called
 * by the fiber that serves the thread; others run meanwhile. After PLAT_SYSCALL the thread goes on
 * with what plat_user_result() was given last.
 */
void plat_user_run(struct plat_user *u, struct plat_event *ret_event);
void plat_user_result(struct plat_user *u, sysret_t result);
/*
 * The answer to the call nr, which u is in, stays for now: the platform may give it, whatever the
 * arguments, and nobody hears of it. Until plat_user_forget(): calls that begin after that are the
 * kernel's again, of whatever thread it runs.
 */
void plat_user_know(struct plat_user *u, unsigned int nr, uint32_t answer);
void plat_user_forget(struct plat_user *u);
/*
 * In the same way the error that readlink(2), which u is in, gives for this text, whatever else its
 * arguments are, but for room that is none. 0: no error that stays. plat_user_forget() of this
 * thread takes it back, plat_names_forget() those of all.
 */
void plat_user_name(struct plat_user *u, const char *text, size_t len, int error);
void plat_names_forget(void);
/* All registers, for signals, execve and clone; dearer than a result alone. */
void plat_user_regs(struct plat_user *u, struct plat_regs *ret_regs);
void plat_user_set_regs(struct plat_user *u, const struct plat_regs *regs);
/*
 * The rest of a thread's state (x87, SSE, AVX ...), as XSAVE stores it in its standard form (Intel
 * SDM 1, 13.4): its bytes, the same for all threads and for good, and its components, as XCR0 has
 * them. 0: the platform keeps none, and the two below are not called.
 */
size_t plat_fp_size(uint64_t *ret_components);
void plat_user_fp(struct plat_user *u, void *to);
/* from: no reserved bit is set in its header and MXCSR; NULL: as a program begins. */
void plat_user_set_fp(struct plat_user *u, const void *from);
/* plat_user_run() of u returns soon, with PLAT_KICKED unless with something else. From any fiber.
 */
void plat_user_kick(struct plat_user *u);
/* It will be PLAT_GONE; who serves it is interrupted as that comes to be known. */
bool plat_user_gone(const struct plat_user *u);
