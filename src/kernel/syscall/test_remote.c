/* SPDX-License-Identifier: Apache-2.0 */
/* What one process does to another: process_vm_readv and writev; membarrier. */
#include <asm/unistd.h>
#include <linux/membarrier.h>

#include "kernel/core/heap.h"
#include "kernel/platform/sim/test_run.h"
#include "kernel/syscall/test_guest.h"

#define OWN    (GUEST_AT + 4 * PAGE_SIZE)
#define AT     (GUEST_AT + 8 * PAGE_SIZE) /* of iovecs */
#define THERE  ((uint64_t) 0x50000000)	  /* in the other's space */
#define COMMON (SYNC | SYNC << 1 | EACH | EACH << 1 | 1u)
#define EACH   ((unsigned int) MEMBARRIER_CMD_PRIVATE_EXPEDITED)
#define SYNC   ((unsigned int) MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE)

static struct guest g;
static struct task *other;

static void make_other(void)
{
	struct path top = { g.mounts->root, g.mounts->root->root };
	struct task_first q = {
		.comm = "other", .files = descriptors_new(), .cred = g.cred, .root = &top
	};
	struct space_mapping m = {
		.at = THERE, .len = 2 * PAGE_SIZE, .prot = PROT_READ | PROT_WRITE, .fixed = true
	};
	uint64_t at;

	CHECK(task_new_first(&q, &other) == 0);
	descriptors_unref(q.files);
	other->space = space_new(&guest_limits);
	CHECK(other->space && space_map(other->space, &m, &at) == 0);
	CHECK(copy_out(other->space, uva(THERE + PAGE_SIZE - 3), "abcdef", 6) == 0);
}

static sysret_t move(unsigned int nr, uint64_t own, uint64_t n, uint64_t remote, uint64_t m)
{
	(void) guest_put(&g, AT - GUEST_AT, (uint64_t[4]){ own, n, remote, m }, 32);
	return CALL(&g, nr, other->process->pid, AT, 1, AT + 16, 1, 0);
}

static void memory(void)
{
	const unsigned int in = __NR_process_vm_readv, out = __NR_process_vm_writev;
	char text[8] = "";

	CHECK(move(in, OWN, 5, THERE + PAGE_SIZE - 3, 9) == 5);
	guest_get(&g, OWN - GUEST_AT, text, 5);
	CHECK_STR(text, "abcde");
	(void) guest_text(&g, OWN - GUEST_AT, "wxyz");
	CHECK(move(out, OWN, 4, THERE + 1, 4) == 4);
	CHECK(copy_in(other->space, text, uva(THERE + 1), 5) == 0);
	CHECK_STR(text, "wxyz");
	/* Up to where there is nothing; none at all is an error. */
	CHECK(move(in, OWN, 100, THERE + 2 * PAGE_SIZE - 9, 100) == 9);
	CHECK(move(in, OWN, 100, THERE + 2 * PAGE_SIZE, 100) == -EFAULT);
	CHECK(move(out, 0x1000, 100, THERE, 100) == -EFAULT && move(in, OWN, 0, THERE, 9) == 0);
	CHECK(move(in, OWN, 9, THERE, 0) == 0);
	CHECK(CALL(&g, in, other->process->pid, AT, 1, AT + 16, 1, 1) == -EINVAL);
	CHECK(CALL(&g, in, other->process->pid, AT, 2000, AT + 16, 1, 0) == -EINVAL);
	CHECK(CALL(&g, in, other->process->pid, AT, 1, 5, 1, 0) == -EFAULT);
	(void) guest_put(&g, AT - GUEST_AT, (uint64_t[4]){ OWN, 9, THERE, 9 }, 32);
	CHECK(CALL(&g, in, 4711, AT, 1, AT + 16, 1, 0) == -ESRCH);
	for (unsigned int n = 1; n < 4; n++) {
		sysret_t r;

		heap_fail_at(n);
		r = move(in, OWN, 9, THERE, 9);
		heap_fail_at(0);
		CHECK(r == 9 || r == -ENOMEM);
	}
}

static void barriers(void)
{
	g.task->image = task_image_new();
	CHECK(g.task->image && CALL(&g, __NR_membarrier, 0, 0) == COMMON);
	CHECK(CALL(&g, __NR_membarrier, EACH, 0) == -EPERM);
	CHECK(CALL(&g, __NR_membarrier, EACH << 1, 0) == 0);
	CHECK(CALL(&g, __NR_membarrier, EACH, 0) == 0);
	CHECK(CALL(&g, __NR_membarrier, SYNC, 0) == -EPERM);
	CHECK(CALL(&g, __NR_membarrier, 1, 0) == 0 && CALL(&g, __NR_membarrier, 1, 1) == -EINVAL);
	CHECK(CALL(&g, __NR_membarrier, 2, 0) == -EINVAL);
}

static void without_rights(void)
{
	CHECK(CALL(&g, __NR_setresuid, 1000, 1000, 1000) == 0);
	CHECK(move(__NR_process_vm_readv, OWN, 9, THERE, 9) == -EPERM);
}

static bool finished;

static void body(void *arg)
{
	(void) arg;
	guest_begin(&g);
	make_other();
	memory();
	barriers();
	without_rights();
	process_free(other->process);
	guest_end(&g);
	CHECK(frame_used() <= 1);
	finished = true;
}

int main(void)
{
	int r = test_run(4096, body);

	return finished ? r : 1;
}
