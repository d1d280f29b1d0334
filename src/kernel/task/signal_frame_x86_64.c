/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From high to low: the area of XSAVE with its end mark, at 64 bytes; siginfo and ucontext; the
 * address of the restorer, which the handler returns to, 8 below a multiple of 16 (System V ABI,
 * AMD64 supplement 3.2.2).
 */
#include <linux/signal.h>
/* Needs the one above. */
#include <asm/sigcontext.h>
#include <asm/ucontext.h>

#include "kernel/core/heap.h"
#include "kernel/mm/uio.h"
#include "kernel/task/signal.h"
#include "kernel/task/signal_frame.h"
#include "kernel/task/task.h"

#define RED_ZONE 128
/* From here on an address is the kernel's half or none: a processor would fault while it leaves
 * the kernel. */
#define IP_END ((uint64_t) 1 << 47)
/* The flags that a program sets by itself: carry, parity, adjust, zero, sign, trap, direction,
 * overflow, resume, alignment check. */
#define FLAGS_OWN ((uint64_t) 0x50dd5)
#define FLAG_TF	  ((uint64_t) 0x100)
#define FLAG_DF	  ((uint64_t) 0x400)
#define FLAG_RF	  ((uint64_t) 0x10000)

struct context {
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15, di, si, bp, bx, dx, ax, cx, sp, ip, flags;
	uint16_t cs, gs, fs, ss;
	uint64_t error, trap, old_mask, cr2, fp, reserved[8];
};

struct frame {
	uint64_t restorer;
	uint64_t uc_flags, uc_link, stack_at;
	uint32_t stack_flags, pad;
	uint64_t stack_size;
	struct context context;
	uint64_t mask;
	struct signal_info info;
};
_Static_assert(sizeof(struct context) == sizeof(struct sigcontext), "Linux's");
_Static_assert(offsetof(struct frame, info) == 8 + sizeof(struct ucontext), "Linux's");

/* Intel SDM 1, 13.4: the legacy part, of which software has 48 bytes; the header; the rest. */
#define FX_SIZE	  512
#define FX_MXCSR  24
#define FX_SW	  464
#define XSAVE_MIN 576
#define MXCSR_ALL 0xffffu
#define FP_SSE	  ((uint64_t) 3)

struct xsave_header {
	uint64_t present, compacted, reserved[6];
};

/* ---- the floating point state ---- */

static int fp_push(struct task *t, uint64_t at, size_t size, uint64_t components)
{
	unsigned char *area = heap_alloc(size + sizeof(uint32_t));
	struct _fpx_sw_bytes sw = {
		.magic1 = FP_XSTATE_MAGIC1,
		.extended_size = (uint32_t) (size + sizeof(uint32_t)),
		.xfeatures = components,
		.xstate_size = (uint32_t) size,
	};
	uint32_t end = FP_XSTATE_MAGIC2;
	struct xsave_header header;
	int r;

	if (!area)
		return -ENOMEM;
	plat_user_fp(t->user, area);
	memcpy(area + FX_SW, &sw, sizeof(sw));
	/* Programs look for SSE's registers there, used or not. */
	memcpy(&header, area + FX_SIZE, sizeof(header));
	header.present |= FP_SSE;
	memcpy(area + FX_SIZE, &header, sizeof(header));
	memcpy(area + size, &end, sizeof(end));
	r = copy_out(t->space, uva(at), area, size + sizeof(end));
	heap_free(area);
	return r;
}

/* Of the guest's frame: as many bytes as it says and the platform has, without what a processor
 * would not take. */
static int fp_read(struct task *t, uint64_t at, unsigned char *area, size_t size,
		   uint64_t components)
{
	struct _fpx_sw_bytes sw;
	struct xsave_header header = { .present = FP_SSE };
	uint32_t end = 0, mxcsr;
	size_t has = FX_SIZE;

	if (copy_in(t->space, area, uva(at), FX_SIZE) < 0)
		return -EFAULT;
	memcpy(&sw, area + FX_SW, sizeof(sw));
	if (sw.magic1 == FP_XSTATE_MAGIC1 && sw.xstate_size >= XSAVE_MIN &&
	    sw.xstate_size <= size && sw.xstate_size <= sw.extended_size &&
	    copy_in(t->space, &end, uva(at + sw.xstate_size), sizeof(end)) == 0 &&
	    end == FP_XSTATE_MAGIC2)
		has = sw.xstate_size;
	if (has > FX_SIZE) {
		if (copy_in(t->space, area + FX_SIZE, uva(at + FX_SIZE), has - FX_SIZE) < 0)
			return -EFAULT;
		memcpy(&header, area + FX_SIZE, sizeof(header));
		header.present &= sw.xfeatures & components;
		for (size_t n = 0; n < countof(header.reserved); n++) {
			if (header.reserved[n] || header.compacted)
				return -EFAULT;
		}
	}
	memcpy(area + FX_SIZE, &header, sizeof(header));
	memset(area + FX_SW, 0, FX_SIZE - FX_SW);
	memcpy(&mxcsr, area + FX_MXCSR, sizeof(mxcsr));
	mxcsr &= MXCSR_ALL;
	memcpy(area + FX_MXCSR, &mxcsr, sizeof(mxcsr));
	return 0;
}

static int fp_pop(struct task *t, uint64_t at)
{
	uint64_t components;
	size_t size = plat_fp_size(&components);
	unsigned char *area;
	int r;

	if (size == 0)
		return 0;
	if (!at) {
		plat_user_set_fp(t->user, NULL);
		return 0;
	}
	area = heap_alloc(size);
	if (!area)
		return -ENOMEM;
	r = fp_read(t, at, area, size, components);
	if (r == 0)
		plat_user_set_fp(t->user, area);
	heap_free(area);
	return r;
}

/* ---- the frame ---- */

static void save(struct context *c, const struct plat_regs *r)
{
	*c = (struct context){
		.r8 = r->r8,
		.r9 = r->r9,
		.r10 = r->r10,
		.r11 = r->r11,
		.r12 = r->r12,
		.r13 = r->r13,
		.r14 = r->r14,
		.r15 = r->r15,
		.di = r->di,
		.si = r->si,
		.bp = r->bp,
		.bx = r->bx,
		.dx = r->dx,
		.ax = r->ax,
		.cx = r->cx,
		.sp = r->sp,
		.ip = r->ip,
		.flags = r->flags,
		.cs = (uint16_t) r->cs,
		.ss = (uint16_t) r->ss,
	};
}

static void restore(struct plat_regs *r, const struct context *c)
{
	r->r8 = c->r8;
	r->r9 = c->r9;
	r->r10 = c->r10;
	r->r11 = c->r11;
	r->r12 = c->r12;
	r->r13 = c->r13;
	r->r14 = c->r14;
	r->r15 = c->r15;
	r->di = c->di;
	r->si = c->si;
	r->bp = c->bp;
	r->bx = c->bx;
	r->dx = c->dx;
	r->ax = c->ax;
	r->cx = c->cx;
	r->sp = c->sp;
	r->ip = c->ip;
	r->flags = (r->flags & ~FLAGS_OWN) | (c->flags & FLAGS_OWN);
	r->orig_ax = UINT64_MAX;
}

uint64_t signal_frame_most(void)
{
	uint64_t components;
	size_t fp_size = plat_fp_size(&components);
	/* What place() aligns away, 63 and 23, and the byte below that it wants. */
	uint64_t most = sizeof(struct frame) + 24;

	if (fp_size)
		most += fp_size + sizeof(uint32_t) + 63;
	return (most + 15) & ~(uint64_t) 15;
}

/* Where the frame begins, and the area above it. */
static int place(const struct task *t, bool alternate, uint64_t sp, size_t fp_size,
		 uint64_t *ret_fp, uint64_t *ret_frame)
{
	const struct signal_stack *s = &t->signals->stack;
	bool there = signal_stack_holds(t, sp);

	sp -= RED_ZONE;
	if (alternate && !there && s->size) {
		sp = s->at + s->size;
		there = true;
	}
	if (fp_size)
		sp = (sp - (fp_size + sizeof(uint32_t))) & ~(uint64_t) 63;
	*ret_fp = fp_size ? sp : 0;
	sp = ((sp - sizeof(struct frame)) & ~(uint64_t) 15) - 8;
	*ret_frame = sp;
	/* Linux 5.14: an overflow of the alternate stack is seen before it happens. */
	return there && (sp <= s->at || sp - s->at > s->size) ? -EFAULT : 0;
}

int signal_frame_push(struct task *t, const struct signal_action *a, const struct signal_info *info,
		      uint64_t blocked, struct plat_regs *regs)
{
	const struct task_signals *s = t->signals;
	uint64_t components, at, fp;
	size_t fp_size = plat_fp_size(&components);
	struct frame f = {
		.restorer = a->restorer,
		.uc_flags = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS | (fp_size ? UC_FP_XSTATE : 0),
		.stack_at = s->stack.at,
		.stack_flags = s->stack.flags,
		.stack_size = s->stack.size,
		.mask = blocked,
		.info = *info,
	};
	int r = place(t, a->flags & SA_ONSTACK, regs->sp, fp_size, &fp, &at);

	if (r < 0 || !(a->flags & SA_RESTORER) || a->handler >= IP_END)
		return -EFAULT;
	save(&f.context, regs);
	f.context.trap = s->trap.vector;
	f.context.error = s->trap.error;
	f.context.cr2 = s->trap.address;
	f.context.old_mask = blocked;
	f.context.fp = fp;
	if (fp_size)
		r = fp_push(t, fp, fp_size, components);
	if (r == 0)
		r = copy_out(t->space, uva(at), &f, sizeof(f));
	if (r < 0)
		return -EFAULT;
	/* As Linux: the handler rounds as programs do when they begin. */
	if (fp_size)
		plat_user_set_fp(t->user, NULL);
	regs->di = (uint64_t) info->nr;
	regs->si = at + offsetof(struct frame, info);
	regs->dx = at + offsetof(struct frame, uc_flags);
	regs->ax = 0;
	regs->sp = at;
	regs->ip = a->handler;
	regs->flags &= ~(FLAG_DF | FLAG_RF | FLAG_TF);
	return 0;
}

void signal_frame_pop(struct task *t)
{
	struct plat_regs regs;
	struct signal_stack stack;
	struct frame f;

	t->call.in = false;
	t->signals->restart.go_on = NULL;
	plat_user_regs(t->user, &regs);
	/* The handler's return took the restorer's address off the stack. */
	if (copy_in(t->space, &f, uva(regs.sp - 8), offsetof(struct frame, info)) < 0 ||
	    f.context.ip >= IP_END || fp_pop(t, f.context.fp) < 0) {
		signal_frame_failed(t, 0);
		return;
	}
	restore(&regs, &f.context);
	plat_user_set_regs(t->user, &regs);
	signals_block(t, f.mask);
	stack = (struct signal_stack){ f.stack_at, f.stack_size, f.stack_flags };
	/* As Linux: a stack that cannot be is no reason to end. */
	(void) signal_stack_set(t, &stack, regs.sp);
}
