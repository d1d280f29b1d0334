/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stubs that serve one guest after the other: to make one anew takes the host far longer than to
 * take away what was in it.
 *
 *   SERVES -> UNMAPS   spare_give(): no thread of it runs, one at most stands in a call that was
 *                      not answered, from the guest's own code; the hand unmaps all that was the
 *                      guest's
 *   UNMAPS -> ENTERS   spare_unmapped(): that call is answered, also one in the handler. Where it
 *                      goes on nothing is mapped: whatever the guest has done to its registers,
 *                      the handler is what comes next
 *   ENTERS -> SPARE    spare_entered(): its area is zeros
 *   SPARE  -> SERVES   spare_take()
 *
 * Who does not come in time, or stands elsewhere than it must, is killed. What is left of the old
 * guest is nothing: no memory, no thread that runs, and of the one that waits every register, the
 * stack and the mask of its signals are set anew when it starts (sigframe_store()).
 */
#include <string.h>
#include <sys/syscall.h>

#include "kernel/platform/host/inside.h"

#define SPARES_MOST 8
#define IN_TIME	    (2 * NSEC_PER_SEC)

static void too_late(struct ktimer *t)
{
	stub_condemn(container_of(t, struct plat_space, late));
}

static void ready(struct plat_space *s)
{
	ktimer_cancel(&s->late);
	s->use = STUB_SPARE;
	list_push(&host.spares, &s->spare);
}

/* The only user, whose thread stays; *ret_fit false: others are there, or it does not fit. */
static struct plat_user *last_user(struct plat_space *s, bool *ret_fit)
{
	struct plat_user *u;

	*ret_fit = list_empty(&s->users);
	if (*ret_fit)
		return NULL;
	u = list_entry(s->users.next, struct plat_user, link);
	/* Code of the stub and the vDSO's stay mapped: who called from there may go on there. */
	*ret_fit = s->users.next->next == &s->users && u->parked && u->area->slot == 0 &&
		   u->ip < STUB_BASE;
	return u;
}

bool spare_give(struct plat_space *s)
{
	uint64_t keep = STUB_AREAS;
	struct plat_user *u;
	bool fit;

	u = last_user(s, &fit);
	if (!fit || s->dead || !s->hand.waits || host.spare_count == SPARES_MOST)
		return false;
	list_each(l, &s->idle)
	{
		/* It may run until it rings. */
		if (!list_entry(l, struct plat_user, link)->ring.waits)
			return false;
	}
	list_each_safe(l, &s->idle)
	{
		struct plat_user *idle = list_entry(l, struct plat_user, link);

		host_let_end(&idle->ring);
		user_forget(idle);
	}
	stub_areas_free(s);
	sites_free(s);
	s->areas_made = u ? 1 : 0;
	keep += s->areas_made * CHUNK_SIZE;
	s->use = STUB_UNMAPS;
	s->freed = true;
	host.spare_count++;
	s->late.fire = too_late;
	ktimer_set(&s->late, plat_now(PLAT_MONOTONIC) + IN_TIME);
	s->orders->list[0] = (struct order){ .nr = SYS_munmap, .args = { 0, STUB_BASE } };
	s->orders->list[1] = (struct order){ .nr = SYS_munmap, .args = { keep, STUB_END - keep } };
	s->queued = 0;
	s->due = false;
	host_answer(&s->hand, 2);
	return true;
}

void spare_unmapped(struct plat_space *s)
{
	if (s->result < 0 || s->left > 0) {
		stub_condemn(s);
	} else if (list_empty(&s->users)) {
		ready(s);
	} else {
		s->use = STUB_ENTERS;
		user_end_call(list_entry(s->users.next, struct plat_user, link));
	}
}

void spare_entered(struct plat_user *u)
{
	struct plat_space *s = u->space;

	if (!sigframe_sound(u)) {
		stub_condemn(s);
		return;
	}
	memset(chunk_ptr(u->area->chunk), 0, CHUNK_SIZE);
	user_idle(u);
	ready(s);
}

struct plat_space *spare_take(void)
{
	struct list *l = list_pop(&host.spares);
	struct plat_space *s = l ? list_entry(l, struct plat_space, spare) : NULL;

	if (!s)
		return NULL;
	host.spare_count--;
	s->use = STUB_SERVES;
	s->freed = false;
	return s;
}

void spare_lost(struct plat_space *s)
{
	if (s->use == STUB_SERVES)
		return;
	host.spare_count--;
	s->use = STUB_SERVES;
	ktimer_cancel(&s->late);
	list_remove(&s->spare);
}
