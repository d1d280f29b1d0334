/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that makes the system calls the bytes say: numbers of those that are served, arguments
 * from open descriptors, its memory, texts, boundary values. Whatever it does, the kernel gives a
 * result or an errno, nothing waits for ever (waits are interrupted in the end), and when its task
 * is gone nothing is left.
 */
#include <asm/unistd.h>

#include "fuzz.h"
#include "kernel/core/sched.h"
#include "kernel/fs/devices.h"
#include "kernel/fs/proc/proc.h"
#include "kernel/fs/pty.h"
#include "kernel/fs/sysfs.h"
#include "kernel/fs/tty.h"
#include "kernel/mm/frame.h"
#include "kernel/platform/sim/sim.h"
#include "kernel/syscall/test_guest.h"
#include "kernel/task/bpf.h"
#include "kernel/task/seccomp.h"
#include "kernel/vfs/names.h"

#define FRAMES	   1024
#define CALLS_MOST 400

struct input {
	const uint8_t *data;
	size_t left;
	bool over; /* the body came to its end */
};

/* Not those that do not come back to who calls, or need a program that runs. */
static bool wanted(unsigned int nr)
{
	switch (nr) {
	case __NR_exit:
	case __NR_exit_group:
	case __NR_rt_sigreturn:
	case __NR_execve:
	case __NR_execveat:
	case __NR_clone:
	case __NR_clone3:
	case __NR_fork:
	case __NR_vfork:
		return false;
	default:
		return true;
	}
}

/* 0 when all is used up. */
static unsigned int byte(struct input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->data++;
}

static uint64_t number(struct input *in, size_t bytes)
{
	uint64_t v = 0;

	while (bytes-- > 0)
		v = v << 8 | byte(in);
	return v;
}

static uint64_t place(struct input *in)
{
	unsigned int page = byte(in) % (GUEST_PAGES + 2), within = byte(in);

	/* From a page's start or before its end. */
	return GUEST_AT + page * PAGE_SIZE + (within < 128 ? within : PAGE_SIZE + within - 256);
}

static uint64_t text(struct guest *g, struct input *in)
{
	static const char *const texts[] = { "/a",
					     "/a/b",
					     "/b",
					     "/b/c",
					     "c",
					     "..",
					     "",
					     "/l",
					     "/l/a",
					     "user.x",
					     "/s",
					     "/p",
					     "/",
					     ".",
					     "a/",
					     "/a/../b",
					     "trusted.y",
					     "/dev/ptmx",
					     "/dev/pts/0",
					     "/dev/tty",
					     "/dev/zero",
					     "/proc/self/fd/3",
					     "/proc/self/maps",
					     "/proc/self/status",
					     "/proc/self/cwd/a",
					     "/proc/self/fd",
					     "/sys/devices/system/cpu" };
	uint64_t at = place(in);
	const char *one = texts[byte(in) % countof(texts)];

	(void) !copy_out(g->task->space, uva(at), one, strlen(one) + 1);
	return at;
}

/* A structure of the input's bytes. */
static uint64_t bytes(struct guest *g, struct input *in)
{
	size_t n = min_of((size_t) byte(in) % 64, in->left);
	uint64_t at = place(in);

	n = min_of(n, in->left);
	(void) !copy_out(g->task->space, uva(at), in->data, n);
	in->data += n;
	in->left -= n;
	return at;
}

/* One of words that are addresses, sizes and descriptors themselves: iovecs, msghdrs, pollfds. */
static uint64_t words(struct guest *g, struct input *in)
{
	uint64_t values[8], at = place(in);

	for (size_t n = 0; n < countof(values); n++)
		values[n] = byte(in) % 2 ? place(in) : byte(in) % 32;
	(void) !copy_out(g->task->space, uva(at), values, sizeof(values));
	return at;
}

static uint64_t argument(struct guest *g, struct input *in)
{
	static const uint64_t bounds[] = { (uint64_t) -1,
					   (uint64_t) -100,
					   INT32_MAX,
					   (uint64_t) INT32_MIN,
					   UINT32_MAX,
					   INT64_MAX,
					   (uint64_t) INT64_MIN,
					   0x7ffffffff000,
					   0xffff800000000000,
					   PAGE_SIZE,
					   PAGE_SIZE - 1,
					   2 * PAGE_SIZE,
					   1 << 20,
					   GUEST_AT + GUEST_PAGES * PAGE_SIZE };

	switch (byte(in) % 10) {
	case 0:
	case 1:
		return byte(in) % 20;
	case 2:
		return place(in);
	case 3:
		return text(g, in);
	case 4:
		return bounds[byte(in) % countof(bounds)];
	case 5:
		return (uint64_t) 1 << byte(in) % 64 | (uint64_t) 1 << byte(in) % 32;
	case 6:
		return bytes(g, in);
	case 7:
		return words(g, in);
	case 8:
		return GUEST_AT + byte(in) % (4 * GUEST_PAGES) * PAGE_SIZE;
	default:
		return number(in, 1 + byte(in) % 8);
	}
}

/* ---- seccomp(2): programs that are nearly good ---- */

/* A struct sock_fprog and its code, in words that there are most often. */
static uint64_t filter_program(struct guest *g, struct input *in)
{
	static const uint16_t codes[] = {
		BPF_LD | BPF_W | BPF_ABS,
		BPF_LD | BPF_MEM,
		BPF_LDX | BPF_MEM,
		BPF_LD | BPF_W | BPF_LEN,
		BPF_LD | BPF_IMM,
		BPF_LDX | BPF_IMM,
		BPF_ST,
		BPF_STX,
		BPF_MISC | BPF_TAX,
		BPF_MISC | BPF_TXA,
		BPF_ALU | BPF_DIV | BPF_X,
		BPF_ALU | BPF_LSH | BPF_X,
		BPF_ALU | BPF_ADD | BPF_K,
		BPF_ALU | BPF_MUL | BPF_X,
		BPF_ALU | BPF_NEG,
		BPF_JMP | BPF_JA,
		BPF_JMP | BPF_JEQ | BPF_K,
		BPF_JMP | BPF_JGT | BPF_X,
		BPF_JMP | BPF_JSET | BPF_K,
		BPF_JMP | BPF_JGE | BPF_X,
		BPF_RET | BPF_K,
		BPF_RET | BPF_A,
	};
	struct sock_filter code[64];
	uint64_t at = GUEST_AT, head[2];
	size_t n = 1 + byte(in) % countof(code);

	for (size_t k = 0; k < n; k++) {
		unsigned int which = byte(in);

		code[k] = (struct sock_filter){
			.code = which < 250 ? codes[which % countof(codes)]
					    : (uint16_t) number(in, 2),
			.jt = (uint8_t) (byte(in) % 8),
			.jf = (uint8_t) (byte(in) % 8),
			.k = which % 2 ? byte(in) % 64 : (uint32_t) number(in, 4),
		};
	}
	code[n - 1].code = BPF_RET | BPF_K;
	head[0] = n;
	head[1] = at + sizeof(head);
	(void) !copy_out(g->task->space, uva(at), head, sizeof(head));
	(void) !copy_out(g->task->space, uva(head[1]), code, n * sizeof(*code));
	return at;
}

/* Whatever the guest's filters say of the call: it is made. */
static void ask_filters(const struct guest *g, unsigned int nr, const uint64_t a[6])
{
	struct seccomp_data d = { .nr = (int) nr, .instruction_pointer = a[0] ^ a[1] };
	bool looked = false;

	memcpy(d.args, a, sizeof(d.args));
	for (const struct seccomp_filter *f = g->task->filters; f; f = f->older)
		(void) bpf_run(f->code, &d, &looked);
}

static void step(struct guest *g, struct input *in)
{
	unsigned int nr = (unsigned int) number(in, 2) % 512;
	uint64_t a[6];
	sysret_t r;

	for (size_t n = 0; n < 6; n++)
		a[n] = argument(g, in);
	if (!wanted(nr))
		return;
	if (nr == __NR_seccomp && a[0] % 2) {
		a[0] = SECCOMP_SET_MODE_FILTER;
		a[1] &= SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG;
		a[2] = filter_program(g, in);
	}
	ask_filters(g, nr, a);
	r = guest_call(g, nr, a);
	/* An errno, or one of the kernel's own. */
	if (r < 0 && r >= -4095 && r < -516)
		__builtin_trap();
}

static void mount_on(struct guest *g, const char *name, struct super *s)
{
	struct path top = { g->mounts->root, g->mounts->root->root }, p;
	struct walk w = { .root = &top, .start = &top, .who = g->cred };

	if (!s)
		__builtin_trap();
	(void) !names_create(&w, name, S_IFDIR | 0755, 0, NULL); /* or it is there */
	if (walk(&w, name, 0, &p) < 0 || mount_add(&p, s->root, 0, s->ops->type, NULL) < 0)
		__builtin_trap();
	path_unref(&p);
	super_leave(s);
}

/* What a container has beside its root. */
static void mount_all(struct guest *g)
{
	struct path top = { g->mounts->root, g->mounts->root->root }, dev;
	struct walk w = { .root = &top, .start = &top, .who = g->cred };

	mount_on(g, "/proc", proc_new());
	mount_on(g, "/sys", sysfs_new());
	(void) !names_create(&w, "/dev", S_IFDIR | 0755, 0, NULL);
	if (walk(&w, "/dev", 0, &dev) < 0 || devices_fill(&dev, g->cred) < 0)
		__builtin_trap();
	path_unref(&dev);
	mount_on(g, "/dev/pts", devpts_new(&(struct devpts_options){ 0620, 5, 0666 }));
}

static void body(void *arg)
{
	struct input *in = arg;
	struct guest g;

	guest_begin(&g);
	mount_all(&g);
	for (int n = 0; in->left > 0 && n < CALLS_MOST; n++)
		step(&g, in);
	if (g.task->process->group)
		tty_leader_leaves(g.task->process->group->session, true);
	guest_end(&g);
	if (frame_used() > 1)
		__builtin_trap();
	in->over = true;
	fiber_exit();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { .data = data, .left = size };
	struct fiber *f;

	sim_begin(FRAMES);
	if (frame_init(FRAMES) < 0 || sched_spawn(body, &in, &f) < 0)
		__builtin_trap();
	sim_run();
	if (!in.over)
		__builtin_trap();
	frame_fini();
	sim_end();
	return 0;
}
