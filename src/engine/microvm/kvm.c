/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/microvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "sys/process.h"

#define DEVICE	   "/dev/kvm"
#define CACHE	   "@microvm"
#define CACHE_FILE "kvm"
/* A processor of any age takes a tenth of a millisecond for these; an interpreter, seconds. */
#define LOOPS	   200000u
#define FAST	   (20 * NSEC_PER_MSEC)
#define TRIES	   3
#define CPU_MAX_US 300000 /* of the processor; a busy machine may take its time */
#define GIVE_UP_S  10

static const char *const names[] = {
	[KVM_RUNS] = "runs", [KVM_MISSING] = "missing", [KVM_DENIED] = "denied", [KVM_SLOW] = "slow"
};

const char *kvm_why(enum kvm_use use)
{
	switch (use) {
	case KVM_RUNS:
		return "";
	case KVM_MISSING:
		return "this machine has no /dev/kvm";
	case KVM_DENIED:
		return "/dev/kvm may not be opened by this user (its group, often kvm, may)";
	case KVM_SLOW:
		return "/dev/kvm of this machine interprets its guests";
	}
	return "";
}

static nsec_t cpu_time(void)
{
	struct timespec t;

	return clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) < 0 ? 0
							      : t.tv_sec * NSEC_PER_SEC + t.tv_nsec;
}

/* mov ecx, LOOPS; dec ecx; jnz; hlt: in 16 bits. */
static const unsigned char code[] = {
	0x66, 0xb9, LOOPS & 0xff, LOOPS >> 8 & 0xff, LOOPS >> 16 & 0xff, LOOPS >> 24, 0x66, 0x49,
	0x75, 0xfc, 0xf4
};

static bool run_fast(int vcpu, const struct kvm_run *run)
{
	for (int i = 0; i < TRIES; i++) {
		struct kvm_sregs s;
		struct kvm_regs regs = { .rflags = 2 };
		nsec_t begin;

		if (ioctl(vcpu, KVM_GET_SREGS, &s) < 0)
			return false;
		s.cs.base = 0;
		s.cs.selector = 0;
		if (ioctl(vcpu, KVM_SET_SREGS, &s) < 0 || ioctl(vcpu, KVM_SET_REGS, &regs) < 0)
			return false;
		begin = cpu_time();
		if (ioctl(vcpu, KVM_RUN, 0) < 0 || run->exit_reason != KVM_EXIT_HLT)
			return false;
		if (cpu_time() - begin < FAST)
			return true;
	}
	return false;
}

/* The child: nothing of the caller's is touched, and the end takes all away. */
static bool guest_is_fast(int kvm)
{
	auto_fd int vm = ioctl(kvm, KVM_CREATE_VM, 0);
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region region = { .memory_size = 4096,
						      .userspace_addr = (uintptr_t) page };
	int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	void *run;

	if (vm < 0 || page == MAP_FAILED || size < (int) sizeof(struct kvm_run))
		return false;
	memcpy(page, code, sizeof(code));
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return false;
	auto_fd int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);

	run = vcpu < 0 ? MAP_FAILED
		       : mmap(NULL, (size_t) size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	return run != MAP_FAILED && run_fast(vcpu, run);
}

/* In a child that an alarm ends: one instruction of an interpreter cannot be waited for. */
static int look(enum kvm_use *ret_use, struct err *e)
{
	auto_fd int kvm = open(DEVICE, O_RDWR | O_CLOEXEC);
	pid_t pid;
	int status;

	if (kvm < 0) {
		*ret_use = errno == EACCES || errno == EPERM ? KVM_DENIED : KVM_MISSING;
		return 0;
	}
	pid = fork();
	if (pid < 0)
		return err_sys(e, errno, "fork to try KVM");
	if (pid == 0) {
		struct itimerval spent = { .it_value = { .tv_usec = CPU_MAX_US } };
		struct itimerval within = { .it_value = { .tv_sec = GIVE_UP_S } };
		struct sigaction dfl = { .sa_handler = SIG_DFL };
		sigset_t none;

		(void) sigemptyset(&none);
		(void) sigaction(SIGPROF, &dfl, NULL);
		(void) sigaction(SIGALRM, &dfl, NULL);
		(void) sigprocmask(SIG_SETMASK, &none, NULL);
		(void) setitimer(ITIMER_PROF, &spent, NULL);
		(void) setitimer(ITIMER_REAL, &within, NULL);
		_exit(guest_is_fast(kvm) ? 0 : 1);
	}
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return err_sys(e, errno, "wait for the trial of KVM");
	}
	*ret_use = WIFEXITED(status) && WEXITSTATUS(status) == 0 ? KVM_RUNS : KVM_SLOW;
	return 0;
}

static bool read_cache(int cache_fd, const char *boot, enum kvm_use *ret_use)
{
	auto_buf struct buf text = BUF_INIT(128);
	struct str rest, first;

	if (file_read(cache_fd, CACHE "/" CACHE_FILE, &text) < 0)
		return false;
	first = str_cut(buf_str(&text), ' ', &rest);
	for (size_t i = 0; i < ARRAY_SIZE(names) && str_is(first, boot); i++) {
		if (str_is(str_trim(rest), names[i])) {
			*ret_use = (enum kvm_use) i;
			return true;
		}
	}
	return false;
}

static void write_cache(int cache_fd, const char *boot, enum kvm_use use)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "%s %s\n", boot, names[use]);

	if (mkdirat(cache_fd, CACHE, 0700) < 0 && errno != EEXIST)
		return; /* best effort: found anew next time */
	auto_fd int dir = openat(cache_fd, CACHE, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (dir >= 0)
		(void) file_replace(dir, CACHE_FILE, (struct str){ text, (size_t) n }, 0600, false);
}

int kvm_probe(int cache_fd, enum kvm_use *ret_use, struct err *e)
{
	const char *forced = secure_getenv("ATOLL_MICROVM");
	char boot[PROCESS_BOOT_ID_MAX];
	int r;

	if (forced && *forced && !streq(forced, "auto")) {
		if (!streq(forced, "kvm") && !streq(forced, "tcg"))
			return err_set(e, ERR_INVALID, EINVAL,
				       "ATOLL_MICROVM='%.40s': must be kvm, tcg or auto", forced);
		*ret_use = streq(forced, "kvm") ? KVM_RUNS : KVM_SLOW;
		return 0;
	}
	r = process_boot_id(boot);
	if (r < 0)
		return err_sys(e, -r, "read this boot's id");
	if (cache_fd >= 0 && read_cache(cache_fd, boot, ret_use))
		return 0;
	r = look(ret_use, e);
	/* What may be opened differs from caller to caller. */
	if (r == 0 && cache_fd >= 0 && (*ret_use == KVM_RUNS || *ret_use == KVM_SLOW))
		write_cache(cache_fd, boot, *ret_use);
	return r;
}

int kvm_open(int *ret_fd, struct err *e)
{
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, errno, "open '" DEVICE "'");
	*ret_fd = fd;
	return 0;
}
