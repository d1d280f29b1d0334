/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The platform of tests and fuzz targets: the kernel and its guests in one thread of one process,
 * on a clock that stands still while anybody runs. A guest's program is a C function; it enters the
 * kernel by sim_syscall() and touches its memory by sim_read() and sim_write(), which fault as a
 * processor would. Nothing here is a wall.
 */
#pragma once

#include "kernel/platform/platform.h"

/* From nothing: RAM of so many frames, the clock at one hour. Once more after sim_end(). */
void sim_begin(uint64_t ram_frames);
void sim_end(void);

/* Runs fibers, and the clock where all wait for it, until none can go on; how many still wait is
 * for the caller to know. */
void sim_run(void);
nsec_t sim_now(void);

/* Whether calls whose answers are known (plat_user_know(), plat_user_name()) are answered here: who
 * waits for others by such calls would wait for ever. All others are compared with what is known:
 * else it panics. */
void sim_answers(bool answers);

/* How many times a carrier was called in; how many changes and commits address spaces saw. */
struct sim_counts {
	unsigned long kicks, maps, unmaps, protects, commits;
	unsigned long known; /* calls that were answered without the kernel */
};
const struct sim_counts *sim_counts(void);
/* The n-th allocation of the platform (kernel memory, stacks, spaces, contexts) from now fails,
 * once. */
void sim_fail_at(unsigned long n);

/* ---- inside a guest's program ---- */

struct sim_program {
	void (*main)(void *arg);
	void *arg;
};

/* A context whose first instruction is this function: what plat_regs.ip names, di as its argument.
 */
uint64_t sim_entry(void (*main)(void *arg));
/* What rt_sigaction is told of a handler. It runs when the kernel has sent the guest there, before
 * the call or the access of memory that it came into returns. */
uint64_t sim_handler(void (*handler)(int nr, uint64_t info, uint64_t context));
/* The 576 bytes of XSAVE's area of the program that runs. */
unsigned char *sim_fp(void);

sysret_t sim_syscall(unsigned int nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
		     uint64_t f);
#define sim_sys(nr, ...) sim_sys_(nr, ##__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define sim_sys_(nr, a, b, c, d, e, f, ...)                                                        \
	sim_syscall(nr, (uint64_t) (a), (uint64_t) (b), (uint64_t) (c), (uint64_t) (d),            \
		    (uint64_t) (e), (uint64_t) (f))
/* False: the kernel did not make the page right (it has signalled or ended the thread). */
bool sim_read(uint64_t at, void *to, size_t n);
bool sim_write(uint64_t at, const void *from, size_t n);
