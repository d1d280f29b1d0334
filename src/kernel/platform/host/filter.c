/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/platform/host/filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "kernel/platform/host/layout.h"
#include "kernel/platform/host/stub_code.h"

#define X32 0x40000000u

struct program {
	struct sock_filter *code;
	unsigned short len;
};

/* One argument's low half; its high half is not looked at where it is an int's. */
struct argument {
	unsigned int n;
	uint32_t value;
};

static void emit(struct program *p, struct sock_filter f)
{
	p->code[p->len++] = f;
}

static void load(struct program *p, size_t offset)
{
	emit(p, (struct sock_filter) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t) offset));
}

static void skip_unless(struct program *p, uint32_t value, uint8_t skip)
{
	emit(p, (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip));
}

static void give(struct program *p, uint32_t action)
{
	emit(p, (struct sock_filter) BPF_STMT(BPF_RET | BPF_K, action));
}

static void when(struct program *p, uint32_t nr, const struct argument *args, unsigned int n,
		 uint32_t action)
{
	load(p, offsetof(struct seccomp_data, nr));
	skip_unless(p, nr, (uint8_t) (2 * n + 1));
	for (unsigned int i = 0; i < n; i++) {
		load(p, offsetof(struct seccomp_data, args) + 8 * args[i].n);
		skip_unless(p, args[i].value, (uint8_t) (2 * (n - 1 - i) + 1));
	}
	give(p, action);
}

#define ALLOW_IF(p, nr, ...)                                                                       \
	when(p, nr, (const struct argument[]){ __VA_ARGS__ },                                      \
	     sizeof((const struct argument[]){ __VA_ARGS__ }) / sizeof(struct argument),           \
	     SECCOMP_RET_ALLOW)

/* On with the next instruction but `outside`'s, which give what is done about a call from outside
 * of the stub's page of code. */
static void where(struct program *p, const struct sock_filter *outside, uint8_t n)
{
	load(p, offsetof(struct seccomp_data, instruction_pointer) + 4);
	skip_unless(p, (uint32_t) (STUB_BASE >> 32), 3);
	load(p, offsetof(struct seccomp_data, instruction_pointer));
	emit(p, (struct sock_filter) BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xfffff000));
	emit(p,
	     (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t) STUB_BASE, n, 0));
	for (uint8_t i = 0; i < n; i++)
		emit(p, outside[i]);
}

/* The next instructions, `n` of them, are for calls from this place alone. */
static void only_at(struct program *p, const char *site, uint8_t n)
{
	load(p, offsetof(struct seccomp_data, instruction_pointer));
	skip_unless(p, (uint32_t) stub_address(site), n);
}

/*
 * Calls that look at registers, or set them, or end the thread: they come by the handler at once,
 * where all of them stand. A notification alone would need a signal after it.
 */
static const unsigned short by_handler[] = {
	SYS_rt_sigreturn, SYS_clone,	     SYS_fork,	 SYS_vfork,	 SYS_execve, SYS_exit,
	SYS_kill,	  SYS_rt_sigsuspend, SYS_tkill,	 SYS_tgkill,	 SYS_pause,  SYS_arch_prctl,
	SYS_sigaltstack,  SYS_execveat,	     SYS_clone3, SYS_exit_group,
};
#define BY_HANDLER (sizeof(by_handler) / sizeof(by_handler[0]))

unsigned short stub_filter(struct sock_filter code[STUB_FILTER_MAX], int ram_fd, int chunks_fd)
{
	struct sock_filter outside[BY_HANDLER + 5] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
	};
	struct program p = { .code = code };

	for (size_t i = 0; i < BY_HANDLER; i++)
		outside[3 + i] = (struct sock_filter) BPF_JUMP(
			BPF_JMP | BPF_JEQ | BPF_K, by_handler[i], (uint8_t) (BY_HANDLER - i), 0);
	outside[BY_HANDLER + 3] = (struct sock_filter) BPF_STMT(BPF_RET | BPF_K,
								SECCOMP_RET_USER_NOTIF);
	outside[BY_HANDLER + 4] = (struct sock_filter) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);

	load(&p, offsetof(struct seccomp_data, arch));
	emit(&p, (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0));
	/* As a kernel without 32-bit calls: the guest's is one. */
	give(&p, SECCOMP_RET_ERRNO | ENOSYS);
	where(&p, outside, sizeof(outside) / sizeof(outside[0]));
	when(&p, SYS_exit, NULL, 0, SECCOMP_RET_USER_NOTIF);
	only_at(&p, stub_sigreturn_site, 3);
	when(&p, SYS_rt_sigreturn, NULL, 0, SECCOMP_RET_ALLOW);
	/* From here on: the stub's own threads, in their own code. */
	load(&p, offsetof(struct seccomp_data, instruction_pointer));
	emit(&p, (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K,
					       (uint32_t) stub_address(stub_own_end), 0, 1));
	give(&p, SECCOMP_RET_KILL_PROCESS);
	ALLOW_IF(&p, SYS_mmap, { 3, STUB_MAP_FLAGS }, { 4, (uint32_t) ram_fd });
	ALLOW_IF(&p, SYS_mmap, { 3, STUB_MAP_FLAGS }, { 4, (uint32_t) chunks_fd });
	when(&p, SYS_munmap, NULL, 0, SECCOMP_RET_ALLOW);
	when(&p, SYS_mprotect, NULL, 0, SECCOMP_RET_ALLOW);
	ALLOW_IF(&p, SYS_clone, { 0, STUB_THREAD_FLAGS });
	ALLOW_IF(&p, SYS_clone, { 0, STUB_CHILD_FLAGS });
	ALLOW_IF(&p, SYS_seccomp, { 0, SECCOMP_SET_MODE_FILTER }, { 1, 0 },
		 { 2, (uint32_t) STUB_DATA });
	ALLOW_IF(&p, SYS_futex, { 1, FUTEX_WAIT });
	ALLOW_IF(&p, SYS_futex, { 1, FUTEX_WAKE });
	ALLOW_IF(&p, SYS_prctl, { 0, PR_SET_PDEATHSIG });
	ALLOW_IF(&p, SYS_unshare, { 0, 0x400 }); /* CLONE_FILES */
	when(&p, SYS_close_range, NULL, 0, SECCOMP_RET_ALLOW);
	when(&p, SYS_exit_group, NULL, 0, SECCOMP_RET_ALLOW);
	give(&p, SECCOMP_RET_KILL_PROCESS);
	return p.len;
}

unsigned short stub_filter_guest(struct sock_filter code[STUB_FILTER_MAX])
{
	static const struct sock_filter outside[] = {
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct program p = { .code = code };

	where(&p, outside, 1);
	only_at(&p, stub_door_site, 3);
	when(&p, SYS_exit, NULL, 0, SECCOMP_RET_ALLOW);
	only_at(&p, stub_gate_site, 3);
	when(&p, SYS_exit, NULL, 0, SECCOMP_RET_ALLOW);
	only_at(&p, stub_sigreturn_site, 3);
	when(&p, SYS_rt_sigreturn, NULL, 0, SECCOMP_RET_ALLOW);
	give(&p, SECCOMP_RET_KILL_PROCESS);
	return p.len;
}
