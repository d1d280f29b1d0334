/* SPDX-License-Identifier: Apache-2.0 */
/* Address spaces: a stub each, and the orders that its hand gets. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/core/heap.h"
#include "kernel/platform/host/inside.h"
#include "kernel/platform/host/stub_code.h"
#include "sys/pidfd.h"

#define ORDERS_MAX countof(((struct orders *) NULL)->list)

_Static_assert(sizeof(struct order) == ORDER_SIZE, "the assembler's");
_Static_assert(offsetof(struct orders, list) == ORDERS_FIRST, "the assembler's");
_Static_assert(offsetof(struct orders, go_thread) == ORDERS_GO_THREAD, "the assembler's");
_Static_assert(sizeof(struct orders) <= CHUNK_SIZE, "the assembler's");
_Static_assert(PLAT_READ == PROT_READ && PLAT_WRITE == PROT_WRITE && PLAT_EXEC == PROT_EXEC,
	       "plat_prot is mmap's");

static struct heap_cache spaces = HEAP_CACHE_INIT(struct plat_space);
static struct heap_cache areas = HEAP_CACHE_INIT(struct area);

/* ---- life ---- */

static void *tagged(struct plat_space *s)
{
	return (void *) ((uintptr_t) s | 1);
}

/* Its number is known to those who hear its hand, and to those who wait for its end. */
static int make_known(struct plat_space *s)
{
	s->pidfd = pidfd_of(s->pid);
	if (s->pidfd < 0)
		return s->pidfd;
	if (epoll_ctl(host.epoll, EPOLL_CTL_ADD, s->pidfd,
		      &(struct epoll_event){ .events = EPOLLIN, .data.ptr = s }) < 0)
		return -errno;
	return radix_set(&host.tids, (uint64_t) s->pid, tagged(s));
}

static void hand_await(struct plat_space *s)
{
	while (!s->hand.waits && !s->dead)
		s->dead = !host_receive(s->pidfd);
}

struct plat_space *plat_space_new(void)
{
	struct plat_space *s = spare_take();
	int r;

	if (s)
		return s;
	s = heap_cache_alloc(&spaces);
	if (!s)
		return NULL;
	s->pidfd = -EBADF;
	list_init(&s->users);
	list_init(&s->idle);
	list_init(&s->areas);
	list_init(&s->spare);
	s->chunk = chunk_alloc(false);
	if (s->chunk) {
		s->orders = chunk_ptr(s->chunk);
		s->orders->go_hand = s->orders->go_thread = 0;
	}
	s->pid = s->chunk ? source_stub(s->chunk) : -ENOMEM;
	if (s->pid < 0) {
		if (s->chunk)
			chunk_free(s->chunk);
		heap_cache_free(&spaces, s);
		return NULL;
	}
	host.live++;
	r = make_known(s);
	if (r == 0) {
		__atomic_store_n(&s->orders->go_hand, 1, __ATOMIC_RELEASE);
		host_futex_wake(&s->orders->go_hand);
		hand_await(s);
	}
	if (r < 0 || s->dead) {
		s->freed = true;
		stub_condemn(s);
		/* Without a descriptor in the epoll nobody would hear of its end. */
		if (r < 0)
			stub_reap(s);
		return NULL;
	}
	return s;
}

void stub_condemn(struct plat_space *s)
{
	if (!s->reaped)
		(void) kill(s->pid, SIGKILL);
	s->dead = true;
	list_each_safe(l, &s->users)
	{
		user_lost(list_entry(l, struct plat_user, link));
	}
}

void stub_areas_free(struct plat_space *s)
{
	struct list *l;

	while ((l = list_pop(&s->areas))) {
		struct area *a = list_entry(l, struct area, link);

		chunk_free(a->chunk);
		heap_cache_free(&areas, a);
	}
}

static void release(struct plat_space *s)
{
	stub_areas_free(s);
	sites_free(s);
	if (s->freed)
		heap_cache_free(&spaces, s);
}

void stub_reap(struct plat_space *s)
{
	s->dead = true;
	while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
		;
	s->reaped = true;
	host.live--;
	if (radix_get(&host.tids, (uint64_t) s->pid) == tagged(s))
		(void) radix_take(&host.tids, (uint64_t) s->pid);
	if (s->pidfd >= 0)
		(void) close(s->pidfd);
	stub_condemn(s);
	spare_lost(s);
	list_each_safe(l, &s->idle)
	{
		user_forget(list_entry(l, struct plat_user, link));
	}
	chunk_free(s->chunk);
	release(s);
}

void plat_space_free(struct plat_space *s)
{
	if (!s || spare_give(s))
		return;
	s->freed = true;
	stub_condemn(s);
	list_each(l, &s->users)
	{
		if (list_entry(l, struct plat_user, link)->state != USER_ENDING)
			plat_panic("host: a space ends before its contexts");
	}
	if (s->reaped)
		release(s);
}

/* ---- orders ---- */

void stub_hand_rang(struct plat_space *s, const struct seccomp_notif *n)
{
	s->hand = (struct ring){ .id = n->id, .waits = true };
	s->result = (int64_t) n->data.args[1];
	s->left = (uint32_t) n->data.args[2];
	if (s->use == STUB_UNMAPS && !s->dead)
		spare_unmapped(s);
}

/* Gives the hand what is queued: how many orders are left, the first of which failed with
 * s->result. A dead stub has done all. */
static uint32_t give(struct plat_space *s)
{
	if (s->dead)
		return 0;
	host_answer(&s->hand, s->queued);
	hand_await(s);
	if (s->dead)
		return 0;
	if (s->left > s->queued || s->result > INT32_MAX) {
		stub_condemn(s);
		return 0;
	}
	return s->result < 0 ? s->left : 0;
}

/* The first of those left failed: what was there must not stay; it comes back page by page. */
static int recover(struct plat_space *s, uint32_t left)
{
	struct order *failed = &s->orders->list[0];

	memmove(failed, failed + s->queued - left, left * sizeof(*failed));
	s->queued = left;
	if (failed->nr == SYS_mmap && failed->args[0] == STUB_SITES) {
		/* Its code leads there. */
		plat_log("host: a stub has no memory for its sites: it ends");
		stub_condemn(s);
		return 0;
	}
	if (failed->nr == SYS_mmap) {
		failed->nr = SYS_munmap;
		return -ENOMEM;
	}
	if (failed->nr == SYS_mprotect) {
		failed->nr = SYS_munmap;
	} else {
		plat_log("host: a stub has no memory to take mappings away: it ends");
		stub_condemn(s);
	}
	return 0;
}

static int flush(struct plat_space *s)
{
	int r = 0;

	while (s->queued > 0) {
		uint32_t left = give(s);

		if (left == 0)
			s->queued = 0;
		else if (recover(s, left) < 0)
			r = -ENOMEM;
	}
	s->due = false;
	return r;
}

int plat_space_commit(struct plat_space *s)
{
	return s->active > 0 ? flush(s) : 0;
}

/* The guest's, or the kernel is at fault. */
static void check(uint64_t at, uint64_t pages)
{
	uint64_t high = plat_user_high();

	if ((at & (PAGE_SIZE - 1)) || at < plat_user_low() || at >= high ||
	    pages > (high - at) / PAGE_SIZE)
		plat_panic("host: %llu pages at %llx are nobody's", (unsigned long long) pages,
			   (unsigned long long) at);
}

/* Room for one more; those that are there are carried out if there is none. */
static int queue(struct plat_space *s, const struct order *o)
{
	int r = s->queued == ORDERS_MAX ? flush(s) : 0;

	s->due = true;
	s->orders->list[s->queued++] = *o;
	return r;
}

void stub_map_sites(struct plat_space *s)
{
	(void) queue(s, &(struct order){ .nr = SYS_mmap,
					 .args = { STUB_SITES, CHUNK_SIZE, PLAT_READ | PLAT_EXEC,
						   STUB_MAP_FLAGS, (uint64_t) host.chunks_fd,
						   (uint64_t) s->sites_chunk * CHUNK_SIZE } });
}

void stub_map_area(struct plat_space *s, const struct area *a)
{
	(void) queue(s, &(struct order){ .nr = SYS_mmap,
					 .args = { area_address(a), CHUNK_SIZE, PLAT_READ,
						   STUB_MAP_FLAGS, (uint64_t) host.chunks_fd,
						   (uint64_t) a->chunk * CHUNK_SIZE } });
}

/* The last order, if it ends at `at` and is of this call. */
static struct order *before(struct plat_space *s, uint64_t nr, uint64_t at)
{
	struct order *o = s->queued > 0 ? &s->orders->list[s->queued - 1] : NULL;

	return o && o->nr == nr && o->args[0] + o->args[1] == at ? o : NULL;
}

int plat_map(struct plat_space *s, uint64_t at, uint64_t pages, uint64_t frame, unsigned int prot)
{
	struct order *o = before(s, SYS_mmap, at);
	uint64_t bytes = pages * PAGE_SIZE, offset = frame * PAGE_SIZE;

	check(at, pages);
	if (frame > host.frames || pages > host.frames - frame)
		plat_panic("host: %llu frames at %llu are mapped", (unsigned long long) pages,
			   (unsigned long long) frame);
	if (pages == 0 || s->dead)
		return 0;
	if (o && o->args[2] == prot && o->args[5] + o->args[1] == offset) {
		o->args[1] += bytes;
		s->due = true;
		return 0;
	}
	return queue(s, &(struct order){ .nr = SYS_mmap,
					 .args = { at, bytes, prot, STUB_MAP_FLAGS,
						   (uint64_t) host.ram_fd, offset } });
}

int plat_map_ahead(struct plat_space *s, uint64_t at, uint64_t pages, uint64_t frame,
		   unsigned int prot)
{
	bool due = s->due && s->queued < ORDERS_MAX;
	int r = plat_map(s, at, pages, frame, prot);

	s->due = due;
	return r;
}

int plat_unmap(struct plat_space *s, uint64_t at, uint64_t pages)
{
	struct order *o = before(s, SYS_munmap, at);

	check(at, pages);
	if (pages == 0 || s->dead)
		return 0;
	s->due = true;
	if (o)
		o->args[1] += pages * PAGE_SIZE;
	else
		/* An earlier mapping that failed on the way is not this one's failure. */
		(void) queue(
			s, &(struct order){ .nr = SYS_munmap, .args = { at, pages * PAGE_SIZE } });
	return 0;
}

int plat_protect(struct plat_space *s, uint64_t at, uint64_t pages, unsigned int prot)
{
	struct order *o = before(s, SYS_mprotect, at);

	check(at, pages);
	if (pages == 0 || s->dead)
		return 0;
	if (o && o->args[2] == prot) {
		o->args[1] += pages * PAGE_SIZE;
		s->due = true;
		return 0;
	}
	return queue(
		s, &(struct order){ .nr = SYS_mprotect, .args = { at, pages * PAGE_SIZE, prot } });
}

/* ---- threads ---- */

struct area *stub_area(struct plat_space *s)
{
	struct list *l = list_pop(&s->areas);
	struct area *a = l ? list_entry(l, struct area, link) : NULL;

	if (a || s->areas_made == (STUB_END - STUB_AREAS) / CHUNK_SIZE)
		return a;
	a = heap_cache_alloc(&areas);
	if (!a)
		return NULL;
	list_init(&a->link);
	a->chunk = chunk_alloc(true);
	if (!a->chunk) {
		heap_cache_free(&areas, a);
		return NULL;
	}
	a->slot = s->areas_made++;
	return a;
}

int stub_thread(struct plat_space *s, struct area *a, uint64_t frame)
{
	uint32_t own = a->mapped ? 1 : 2, left;

	if (s->queued > ORDERS_MAX - own)
		(void) flush(s);
	for (;;) {
		if (!a->mapped)
			(void) queue(s, &(struct order){
						.nr = SYS_mmap,
						.args = { area_address(a), CHUNK_SIZE,
							  PLAT_READ | PLAT_WRITE, STUB_MAP_FLAGS,
							  (uint64_t) host.chunks_fd,
							  (uint64_t) a->chunk * CHUNK_SIZE } });
		(void) queue(s, &(struct order){ .nr = SYS_clone,
						 .args = { STUB_THREAD_FLAGS, frame, 0, 0, 0,
							   s->serial + 1 } });
		left = give(s);
		if (left <= own)
			break;
		/* A mapping from before: that first. */
		s->queued -= own;
		(void) recover(s, left - own);
		(void) flush(s);
	}
	s->queued = 0;
	s->due = false;
	s->serial++;
	a->mapped = a->mapped || left < 2;
	return s->dead ? -EAGAIN : (int) s->result;
}

void stub_thread_go(struct plat_space *s)
{
	__atomic_store_n(&s->orders->go_thread, s->serial, __ATOMIC_RELEASE);
	host_futex_wake(&s->orders->go_thread);
}
