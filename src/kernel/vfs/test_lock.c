/* SPDX-License-Identifier: Apache-2.0 */
/* Locks of several owners on files: ranges, waits, circles, and what is shown of them. */
#include "kernel/vfs/lock.h"

#include <asm/fcntl.h>

#include "kernel/core/heap.h"
#include "kernel/fs/memfs.h"
#include "kernel/fs/text.h"
#include "kernel/platform/sim/test_run.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/dentry.h"

static const struct cred root_cred = { .effective = UINT64_MAX };
static struct inode *one, *two;

static struct lock_request of(char owner, int type, uint64_t first, uint64_t last)
{
	/* An owner is compared alone: capital letters are open files. */
	return (struct lock_request){ .kind = LOCK_RANGE,
				      .owner = (const void *) (uintptr_t) owner,
				      .type = type,
				      .first = first,
				      .last = last,
				      .pid = owner < 'a' ? -1 : owner - 'a' + 1 };
}

static int set(struct inode *i, char owner, int type, uint64_t first, uint64_t last, bool wait)
{
	struct lock_request q = of(owner, type, first, last);

	return lock_set(i, &q, wait);
}

static int whole(char owner, int type, bool wait)
{
	struct lock_request q = of(owner, type, 0, LOCK_END);

	q.kind = LOCK_WHOLE;
	q.pid = 9;
	return lock_set(one, &q, wait);
}

static const char *table(void)
{
	static char kept[1024];
	struct text t = {};

	lock_table(&t);
	CHECK(!t.failed && t.len < sizeof(kept));
	memset(kept, 0, sizeof(kept));
	if (t.len)
		memcpy(kept, t.bytes, t.len);
	text_fini(&t);
	return kept;
}

/* What is held, without the file, which is `one`: "W 0 9 " */
static const char *held(void)
{
	static char kept[512];
	size_t n = 0;

	memset(kept, 0, sizeof(kept));
	for (const char *at = table(); *at; at++) {
		if (memcmp(at, "READ ", 5) == 0 || memcmp(at, "WRITE", 5) == 0) {
			kept[n++] = *at;
			/* Behind the pid and the file. */
			at += *at == 'R' ? 5 : 6;
			for (int words = 0; words < 2; at++)
				words += *at == ' ';
			at--;
		}
		if (n > 0 && *at == '\n')
			kept[n++] = ';';
		else if (n > 0 && kept[n - 1] != ';')
			kept[n++] = *at;
	}
	return kept;
}

static void ranges(void)
{
	struct lock_request q = of('b', F_WRLCK, 0, LOCK_END), who;

	CHECK(set(one, 'a', F_RDLCK, 10, 19, false) == 0);
	CHECK(set(one, 'a', F_RDLCK, 30, 39, false) == 0);
	CHECK_STR(held(), "R 10 19;R 30 39;");
	/* Those that touch become one. */
	CHECK(set(one, 'a', F_RDLCK, 20, 29, false) == 0);
	CHECK_STR(held(), "R 10 39;");
	/* Another type cuts it in three, and joins it again. */
	CHECK(set(one, 'a', F_WRLCK, 15, 16, false) == 0);
	CHECK_STR(held(), "R 10 14;R 17 39;W 15 16;");
	CHECK(set(one, 'a', F_RDLCK, 12, 20, false) == 0);
	CHECK_STR(held(), "R 10 39;");
	CHECK(set(one, 'a', F_UNLCK, 20, 20, false) == 0);
	CHECK(set(one, 'a', F_UNLCK, 0, 10, false) == 0);
	CHECK(set(one, 'a', F_UNLCK, 39, LOCK_END, false) == 0);
	CHECK_STR(held(), "R 11 19;R 21 38;");
	/* In the way of who writes, not of who reads; not beside it, not of another file. */
	CHECK(lock_in_the_way(one, &q, &who) && who.first == 11 && who.last == 19 && who.pid == 1);
	q.type = F_RDLCK;
	CHECK(!lock_in_the_way(one, &q, &who));
	CHECK(set(one, 'b', F_WRLCK, 20, 20, false) == 0);
	CHECK(set(one, 'b', F_WRLCK, 20, 21, false) == -EAGAIN);
	CHECK(set(two, 'b', F_WRLCK, 0, LOCK_END, false) == 0);
	CHECK(set(one, 'b', F_WRLCK, 39, LOCK_END, false) == 0);
	/* flock's and fcntl's do not know each other. */
	CHECK(whole('F', F_WRLCK, false) == 0 && whole('G', F_RDLCK, false) == -EAGAIN);
	lock_drop(one, (const void *) (uintptr_t) 'a');
	CHECK_STR(held(), "W 20 20;W 0 EOF;W 39 EOF;W 0 EOF;");
	lock_drop(one, (const void *) (uintptr_t) 'b');
	lock_drop(one, (const void *) (uintptr_t) 'F');
	lock_drop(two, (const void *) (uintptr_t) 'b');
	CHECK(list_empty(&one->locks) && list_empty(&two->locks));
}

/* ---- waits ---- */

struct turn {
	struct inode *at;
	char owner;
	int type;
	bool flock;
	int result;
	struct fiber *fiber;
};

static int running;

static void take(void *arg)
{
	struct turn *t = arg;

	t->result = t->flock ? whole(t->owner, t->type, true)
			     : set(t->at, t->owner, t->type, 0, 9, true);
	running--;
	fiber_exit();
}

static void start(struct turn *t)
{
	t->result = 1;
	running++;
	CHECK(sched_spawn(take, t, &t->fiber) == 0);
	fiber_yield();
}

static void settle(void)
{
	for (int n = 0; n < 10; n++)
		fiber_yield();
}

static void waits(void)
{
	struct turn a = { one, 'a', F_RDLCK, false, 0, NULL },
		    b = { one, 'b', F_RDLCK, false, 0, NULL },
		    c = { one, 'c', F_WRLCK, false, 0, NULL };
	char expected[256];
	struct text t = {};

	CHECK(set(one, 'w', F_WRLCK, 5, 5, false) == 0);
	start(&a);
	start(&c);
	start(&b);
	CHECK(a.result == 1 && b.result == 1 && c.result == 1);
	text_put(&t,
		 "1: POSIX  ADVISORY  WRITE 23 00:%02x:%lu 5 5\n"
		 "1: -> POSIX  ADVISORY  READ 1 00:%02x:%lu 0 9\n",
		 (unsigned int) one->super->dev, one->ino, (unsigned int) one->super->dev,
		 one->ino);
	memset(expected, 0, sizeof(expected));
	memcpy(expected, t.bytes, t.len);
	text_fini(&t);
	CHECK(memcmp(table(), expected, strlen(expected)) == 0);
	/* Readers come in together, the writer behind them. */
	CHECK(set(one, 'w', F_UNLCK, 0, LOCK_END, false) == 0);
	settle();
	CHECK(a.result == 0 && b.result == 0 && c.result == 1);
	lock_drop(one, (const void *) (uintptr_t) 'a');
	settle();
	CHECK(c.result == 1);
	/* A signal ends a wait. */
	fiber_interrupt(c.fiber);
	settle();
	CHECK(c.result == -ERESTARTSYS);
	start(&c);
	lock_drop(one, (const void *) (uintptr_t) 'b');
	settle();
	CHECK(c.result == 0 && running == 0);
	/* From writing to reading is room for others. */
	start(&a);
	CHECK(a.result == 1 && set(one, 'c', F_RDLCK, 0, 9, false) == 0);
	settle();
	CHECK(a.result == 0);
	lock_drop(one, (const void *) (uintptr_t) 'a');
	lock_drop(one, (const void *) (uintptr_t) 'c');
}

static void circles(void)
{
	struct turn a = { two, 'a', F_WRLCK, false, 0, NULL },
		    b = { two, 'b', F_WRLCK, false, 0, NULL },
		    f = { one, 'F', F_WRLCK, true, 0, NULL };

	CHECK(set(one, 'a', F_WRLCK, 0, 9, false) == 0);
	CHECK(set(two, 'c', F_WRLCK, 0, 9, false) == 0);
	start(&a);
	CHECK(a.result == 1);
	/* c waits for a, which waits for c. */
	CHECK(set(one, 'c', F_WRLCK, 3, 3, true) == -EDEADLK);
	lock_drop(two, (const void *) (uintptr_t) 'c');
	settle();
	CHECK(a.result == 0);
	lock_drop(two, (const void *) (uintptr_t) 'a');
	/* Another comes in the place of who was in the way. */
	CHECK(set(two, 'c', F_RDLCK, 0, 9, false) == 0);
	start(&b);
	CHECK(b.result == 1 && set(two, 'a', F_RDLCK, 0, 9, false) == 0);
	lock_drop(two, (const void *) (uintptr_t) 'c');
	settle();
	CHECK(b.result == 1);
	lock_drop(two, (const void *) (uintptr_t) 'a');
	settle();
	CHECK(b.result == 0);
	lock_drop(two, (const void *) (uintptr_t) 'b');
	/* Open files wait on, and are told nothing. */
	CHECK(whole('G', F_WRLCK, false) == 0);
	start(&f);
	CHECK(f.result == 1 && set(one, 'G', F_WRLCK, 3, 3, false) == -EAGAIN);
	lock_drop(one, (const void *) (uintptr_t) 'G');
	settle();
	CHECK(f.result == 0 && running == 0);
	lock_drop(one, (const void *) (uintptr_t) 'F');
	lock_drop(one, (const void *) (uintptr_t) 'a');
}

static void no_memory(void)
{
	CHECK(set(one, 'a', F_WRLCK, 0, 99, false) == 0);
	heap_fail_at(1);
	CHECK(set(one, 'a', F_UNLCK, 50, 50, false) == -ENOLCK);
	heap_fail_at(1);
	CHECK(set(one, 'b', F_WRLCK, 200, 200, false) == -ENOLCK);
	for (unsigned long n = 1; n < 3; n++) {
		heap_fail_at(n);
		CHECK(set(one, 'a', F_RDLCK, 50, 50, false) == -ENOLCK);
	}
	CHECK_STR(held(), "W 0 99;");
	/* What needs none goes. */
	heap_fail_at(1);
	CHECK(set(one, 'a', F_UNLCK, 0, 10, false) == 0);
	CHECK(set(one, 'a', F_UNLCK, 0, LOCK_END, false) == 0);
	heap_fail_at(0);
	CHECK_STR(held(), "");
}

static void lines(void)
{
	struct text t = {};

	CHECK(set(one, 'A', F_RDLCK, 0, LOCK_END, false) == 0);
	CHECK(set(one, 'a', F_RDLCK, 0, 0, false) == 0 && set(one, 'b', F_RDLCK, 0, 0, false) == 0);
	CHECK(whole('A', F_WRLCK, false) == 0);
	lock_lines(one, (const void *) (uintptr_t) 'A', (const void *) (uintptr_t) 'a', &t);
	CHECK(t.len > 0 && memcmp(t.bytes, "lock:\t1: OFDLCK ADVISORY  READ -1 00:", 37) == 0);
	CHECK(memcmp(t.bytes + t.len - 7, " 0 EOF\n", 7) == 0);
	text_fini(&t);
	lock_drop(one, (const void *) (uintptr_t) 'A');
	lock_drop(one, (const void *) (uintptr_t) 'a');
	lock_drop(one, (const void *) (uintptr_t) 'b');
}

static void all(void *arg)
{
	struct super *s = memfs_new(&(struct memfs_options){ .mode = 0755 });
	struct inode *top = s->root->inode;

	(void) arg;
	CHECK(top->ops->create(top, "1", 1, S_IFREG | 0600, 0, NULL, &root_cred, &one) == 0);
	CHECK(top->ops->create(top, "2", 1, S_IFREG | 0600, 0, NULL, &root_cred, &two) == 0);
	ranges();
	waits();
	circles();
	no_memory();
	lines();
	inode_unref(one);
	inode_unref(two);
	super_leave(s);
}

int main(void)
{
	return test_run(64, all);
}
