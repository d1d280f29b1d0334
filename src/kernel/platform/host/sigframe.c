/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frames of the stub's handler, as Linux lays them out on x86-64 and rt_sigreturn(2) takes them
 * back. They and all around them are the guest's to write: what it lies there is about itself.
 */
#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "kernel/platform/host/inside.h"

/* What Linux puts on the stack for a handler on x86-64, as far as it is read here: the address to
 * return to, ucontext with its sigcontext, siginfo. */
struct sigframe {
	uint64_t restorer;
	uint64_t flags, link;
	uint64_t stack;
	uint32_t stack_flags, unused;
	uint64_t stack_size;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15, di, si, bp, bx, dx, ax, cx, sp, ip, eflags;
	uint16_t cs, gs, fs, ss;
	uint64_t error, trap, mask_low, cr2, state, reserved[8];
	uint64_t mask;
	union {
		struct {
			int signal, error, code, unused;
			uint64_t address;
		} info;
		struct {
			uint64_t fs_base, gs_base; /* put there by us: layout.h */
		};
		char size[128];
	};
};
_Static_assert(offsetof(struct sigframe, info) == FRAME_INFO, "arch/x86/include/asm/sigframe.h");
_Static_assert(offsetof(struct sigframe, fs_base) == FRAME_FS_BASE, "the assembler's");
_Static_assert(offsetof(struct sigframe, gs_base) == FRAME_GS_BASE, "the assembler's");

/* uapi/asm/ucontext.h: the stack segment is in the frame, and is restored as it is. */
#define FRAME_FLAGS 6u
#define FRAME_FP    1u /* what state points to is XSAVE's, with words of its size */
#define USER_CS	    0x33
#define USER_SS	    0x2b
/* uapi/asm/sigcontext.h and asm/trap_pf.h */
#define TRAP_PAGE   14
#define ERROR_WRITE 2u
#define ERROR_FETCH 16u

static struct sigframe *sigframe_ptr_of(const struct plat_user *u)
{
	return (struct sigframe *) (void *) ((char *) chunk_ptr(u->area->chunk) +
					     (u->frame - area_address(u->area)));
}

bool sigframe_fits(const struct plat_user *u, uint64_t frame)
{
	uint64_t low = area_address(u->area);

	return frame >= low && frame <= low + CHUNK_SIZE - sizeof(struct sigframe) &&
	       frame % 8 == 0;
}

bool sigframe_sound(const struct plat_user *u)
{
	const struct sigframe *f = sigframe_ptr_of(u);

	return f->stack == area_address(u->area) + AREA_STACK &&
	       f->stack_size == CHUNK_SIZE - AREA_STACK && !f->stack_flags;
}

/* Once, from what the guest may change meanwhile. */
void sigframe_load(struct plat_user *u)
{
	struct sigframe f;

	if (u->known)
		return;
	memcpy(&f, sigframe_ptr_of(u), sizeof(f));
	u->regs = (struct plat_regs){
		.r15 = f.r15,
		.r14 = f.r14,
		.r13 = f.r13,
		.r12 = f.r12,
		.bp = f.bp,
		.bx = f.bx,
		.r11 = f.r11,
		.r10 = f.r10,
		.r9 = f.r9,
		.r8 = f.r8,
		.ax = f.ax,
		.cx = f.cx,
		.dx = f.dx,
		.si = f.si,
		.di = f.di,
		.orig_ax = UINT64_MAX,
		.ip = site_outside(u->space, f.ip),
		.cs = f.cs,
		.flags = f.eflags,
		.sp = f.sp,
		.ss = f.ss,
		.fs_base = u->fs,
		/* The gate's is none of its own. */
		.gs_base = u->gs == gate_address(u->area) ? 0 : u->gs,
	};
	u->known = true;
}

void sigframe_store(struct plat_user *u, bool whole)
{
	const struct plat_regs *g = &u->regs;
	struct sigframe *f = sigframe_ptr_of(u);

	if (whole) {
		memset(f, 0, sizeof(*f));
		f->stack = area_address(u->area) + AREA_STACK;
		f->stack_size = CHUNK_SIZE - AREA_STACK;
	}
	f->flags |= FRAME_FLAGS;
	f->r8 = g->r8;
	f->r9 = g->r9;
	f->r10 = g->r10;
	f->r11 = g->r11;
	f->r12 = g->r12;
	f->r13 = g->r13;
	f->r14 = g->r14;
	f->r15 = g->r15;
	f->di = g->di;
	f->si = g->si;
	f->bp = g->bp;
	f->bx = g->bx;
	f->dx = g->dx;
	f->ax = g->ax;
	f->cx = g->cx;
	f->sp = g->sp;
	f->ip = g->ip;
	f->eflags = g->flags;
	f->cs = USER_CS;
	f->ss = USER_SS;
	f->mask = 0;
	if (u->fp != FP_OWN)
		f->state = u->fp == FP_GIVEN ? area_address(u->area) : 0;
	if (f->state)
		f->flags |= FRAME_FP;
	f->fs_base = g->fs_base;
	f->gs_base = g->gs_base ? g->gs_base : gate_address(u->area);
	if (g->gs_base)
		sites_close(u->space);
}

uint64_t sigframe_ip(const struct plat_user *u)
{
	return __atomic_load_n(&sigframe_ptr_of(u)->ip, __ATOMIC_RELAXED);
}

struct plat_event sigframe_fault(const struct plat_user *u, int signal)
{
	struct sigframe f;
	struct plat_event event = { .kind = PLAT_TRAP, .signal = signal };

	memcpy(&f, sigframe_ptr_of(u), sizeof(f));
	event.code = f.info.code;
	event.address = f.info.address;
	if (signal == SIGSEGV && f.trap == TRAP_PAGE) {
		event.kind = PLAT_FAULT;
		event.address = f.cr2;
		event.access = f.error & ERROR_WRITE   ? PLAT_WRITE
			       : f.error & ERROR_FETCH ? PLAT_EXEC
						       : PLAT_READ;
	}
	return event;
}

/* ---- floating point ---- */

/* uapi/asm/sigcontext.h: struct _fpx_sw_bytes, behind the legacy region's last used byte. */
struct fp_words {
	uint32_t magic, extended_size;
	uint64_t components;
	uint32_t size, unused[7];
};
#define FP_MAGIC     0x46505853u
#define FP_MAGIC_END 0x46505845u
#define FP_WORDS     464
#define FP_MXCSR     24
#define FP_HEADER    512
#define FP_MIN	     576
/* Asked for by arch_prctl(2), which no stub does: AMX's tiles. */
#define FP_DYNAMIC ((uint64_t) 1 << 18)

int sigframe_begin(void)
{
	unsigned int ax, bx, cx, dx, low, high;
	size_t size = FP_MIN;

	/* OSXSAVE */
	if (!__get_cpuid(1, &ax, &bx, &cx, &dx) || !(cx & (1u << 27)))
		return -ENOSYS;
	asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	host.fp_components = ((uint64_t) high << 32 | low) & ~FP_DYNAMIC;
	/* Intel SDM 1, 13.2: the size of each component, and where it stands. */
	for (unsigned int n = 2; n < FP_PARTS; n++) {
		if (!(host.fp_components >> n & 1))
			continue;
		__cpuid_count(0xd, n, ax, bx, cx, dx);
		host.fp_part[n].at = bx;
		host.fp_part[n].bytes = ax;
		size = max_of(size, (size_t) ax + bx);
	}
	host.fp_size = size;
	/* One that is given, and one that Linux writes with its frame. */
	return size + 64 > AREA_GATE || size + 1024 > CHUNK_SIZE - AREA_STACK ? -E2BIG : 0;
}

/* As a program begins: Intel SDM 1, 13.6. */
static const uint32_t first_mxcsr = 0x1f80;

static void fp_first(unsigned char *to)
{
	const uint16_t control = 0x37f;

	memset(to, 0, host.fp_size);
	memcpy(to, &control, sizeof(control));
	memcpy(to + FP_MXCSR, &first_mxcsr, sizeof(first_mxcsr));
}

/* Those components alone that are there: the others' bytes are in another processor's cache, and
 * would have to come over for nothing. */
static void fp_copy(unsigned char *to, const unsigned char *from)
{
	uint64_t present;

	memcpy(to, from, FP_MIN);
	memcpy(&present, to + FP_HEADER, sizeof(present));
	for (unsigned int n = 2; n < FP_PARTS; n++) {
		if (present & host.fp_components & (uint64_t) 1 << n)
			memcpy(to + host.fp_part[n].at, from + host.fp_part[n].at,
			       host.fp_part[n].bytes);
	}
}

/* What a processor takes, whatever it was. */
static void fp_clean(unsigned char *at)
{
	uint64_t present, none[7] = {};
	uint32_t mxcsr;

	memcpy(&present, at + FP_HEADER, sizeof(present));
	present &= host.fp_components;
	memcpy(at + FP_HEADER, &present, sizeof(present));
	memcpy(at + FP_HEADER + sizeof(present), none, sizeof(none));
	memcpy(&mxcsr, at + FP_MXCSR, sizeof(mxcsr));
	mxcsr &= 0xffff;
	memcpy(at + FP_MXCSR, &mxcsr, sizeof(mxcsr));
	memset(at + FP_WORDS, 0, FP_HEADER - FP_WORDS);
}

void sigframe_fp(const struct plat_user *u, void *to)
{
	uint64_t low = area_address(u->area), at = low;

	if (u->fp == FP_OWN && u->state == USER_UPCALL)
		at = __atomic_load_n(&sigframe_ptr_of(u)->state, __ATOMIC_RELAXED);
	else if (u->fp != FP_GIVEN && (u->fp != FP_OWN || u->state != USER_GATE))
		at = 0;
	if (at < low || at > low + CHUNK_SIZE - host.fp_size) {
		fp_first(to);
		return;
	}
	fp_copy(to, (unsigned char *) chunk_ptr(u->area->chunk) + (at - low));
	fp_clean(to);
}

void sigframe_set_fp(struct plat_user *u, const void *from)
{
	unsigned char *at = chunk_ptr(u->area->chunk);
	const struct fp_words words = { .magic = FP_MAGIC,
					.extended_size = (uint32_t) host.fp_size + 4,
					.components = host.fp_components,
					.size = (uint32_t) host.fp_size };
	const uint32_t end = FP_MAGIC_END;

	u->fp = from ? FP_GIVEN : FP_FIRST;
	if (!from)
		return;
	/* Its own frame stands at the other end, unless it has seen to that. */
	if (u->state != USER_GATE &&
	    u->frame < area_address(u->area) + host.fp_size + sizeof(end)) {
		stub_condemn(u->space);
		return;
	}
	fp_copy(at, from);
	fp_clean(at);
	memcpy(at + FP_WORDS, &words, sizeof(words));
	memcpy(at + host.fp_size, &end, sizeof(end));
}

void sigframe_place_first(struct plat_user *u)
{
	unsigned char *at = chunk_ptr(u->area->chunk);

	memset(at + FP_HEADER, 0, FP_MIN - FP_HEADER);
	memcpy(at + FP_MXCSR, &first_mxcsr, sizeof(first_mxcsr));
}
