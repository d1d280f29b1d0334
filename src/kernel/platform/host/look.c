/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking for calls in gates. Calls that come at once after an answer make it worth while; looks in
 * vain, or others that want the host's processors, end it. Those that are looked at may share one:
 * they wait for no other's work there, and what they ask for is done here meanwhile.
 */
#include <limits.h>
#include <sys/uio.h>

#include "kernel/platform/host/inside.h"

#define LOOK (25 * 1000) /* ns: an answer or a call that comes does so within it */
/* Where time of processors is limited: less than what a call by the host's kernel takes of it, so
 * that looking in vain costs no more than what is saved elsewhere. */
#define LOOK_LITTLE (4 * 1000)
/* From an answer to a ring, with the host's switches there and back, which looking saves. */
#define SOON	    (50 * 1000)
#define NOTICE	    (2 * 1000)	      /* between looks at what else there is */
#define ASK	    (2 * 1000 * 1000) /* between looks at how many others run */
#define ASK_AGAIN   (200 * 1000)      /* once there were too many */
#define CROWD	    3		      /* times in a row: who passes by is no crowd */
#define GAP	    (50 * 1000)	      /* longer between two looks: somebody else ran here */
#define VAIN	    (2 * 1000 * 1000) /* without a look, when they have been in vain */
#define PAUSE_LEAST (10 * 1000 * 1000)
#define PAUSE_MOST  (640 * 1000 * 1000)
#define SPIN	    400 /* times that a thread looks for its answer: about as long as LOOK */
#define SPIN_LITTLE 64
#define RUN_MOST    64 /* that are looked at */
#define CREDIT	    8
#define CREDIT_LOOK 4

void look_begin(void)
{
	list_init(&host.look.run);
	list_init(&host.look.called);
	host.look.pause = PAUSE_LEAST;
	host.look.load_fd = FD_NONE;
	host.look.cpus = plat_cpus();
	host_limit_cpus(0, 0);
	host_sync_wakes(true);
	apart_begin();
}

void host_watch_load(int fd)
{
	host.look.load_fd = fd;
}

void host_limit_cpus(uint64_t quota, uint64_t period)
{
	bool little = quota > 0 && quota / host.look.cpus < period;

	host.look.little = little;
	host.look.time = little ? LOOK_LITTLE : LOOK;
	host.look.spin = little ? SPIN_LITTLE : SPIN;
}

void look_forget(struct plat_user *u)
{
	host.look.run_count -= u->gate.runs;
	u->gate.runs = false;
	list_remove(&u->gate.link);
}

void look_called(struct plat_user *u)
{
	look_forget(u);
	list_push(&host.look.called, &u->gate.link);
}

void look_at(struct plat_user *u, bool looks)
{
	look_forget(u);
	looks = looks && host.look.looks && host.look.run_count < RUN_MOST;
	gate_spin(u, looks ? host.look.spin : 0);
	if (looks) {
		list_push(&host.look.run, &u->gate.link);
		host.look.run_count++;
		u->gate.runs = true;
	}
}

void look_answered(void)
{
	host.look.answered = plat_now(PLAT_MONOTONIC);
}

/* proc(5): after three averages, how many threads run, of how many; UINT_MAX: nobody knows. */
static unsigned int running(void)
{
	char text[64];
	struct iovec to = { text, sizeof(text) - 1 };
	ssize_t n = preadv2(host.look.load_fd, &to, 1, 0, 0);
	const char *p = text;
	unsigned int found = 0;

	if (n <= 0)
		return UINT_MAX;
	text[n] = '\0';
	for (int spaces = 0; *p && spaces < 3; p++)
		spaces += *p == ' ';
	for (; *p >= '0' && *p <= '9' && found < 100000; p++)
		found = found * 10 + (unsigned int) (*p - '0');
	return found > 0 ? found : UINT_MAX;
}

/*
 * How often in a row others wanted all processors: while this one and a guest's look at each other
 * they have none. Who is served here is no other, and `own` of those run: they have nothing of it
 * if nobody looks.
 */
static unsigned int crowd(nsec_t now, uint32_t own)
{
	if (now - host.look.asked > (host.look.crowd > 0 ? ASK_AGAIN : ASK)) {
		host.look.asked = now;
		if (host.look.cpus >= 2 && running() <= host.look.cpus + own)
			host.look.crowd = 0;
		else if (host.look.crowd < CROWD)
			host.look.crowd++;
	}
	return host.look.crowd;
}

static void no_more(void)
{
	host.look.credit = 0;
	if (host.look.looks) {
		apart_end();
		host_sync_wakes(true);
	}
	host.look.looks = false;
}

/* Somebody else wants this processor: for as long as it was looked from, at most, or for longer
 * each time. */
static void give_way(nsec_t now)
{
	bool well = host.look.looks && now - host.look.began >= host.look.pause;

	host.look.not_before = now + host.look.pause;
	host.look.pause = well ? max_of(host.look.pause / 2, (nsec_t) PAUSE_LEAST)
			       : min_of(2 * host.look.pause, (nsec_t) PAUSE_MOST);
	no_more();
}

/* This processor was somebody else's for a while. If that was one of those that are looked at, or
 * is over, it is nobody's loss; where time of processors is limited it may have been used up. */
static bool was_taken(nsec_t now)
{
	host.look.asked = 0;
	return host.look.little || crowd(now, host.look.own) == CROWD;
}

void look_rang(void)
{
	nsec_t now = plat_now(PLAT_MONOTONIC);
	unsigned int others;

	if (host.look.looks || host.look.load_fd < 0 || now < host.look.not_before)
		return;
	if (now - host.look.answered > (host.look.little ? host.look.time : SOON)) {
		host.look.credit -= host.look.credit > 0;
		return;
	}
	if (++host.look.credit < CREDIT_LOOK)
		return;
	others = crowd(now, host.look.own - 1);
	if (others == CROWD) {
		give_way(now);
	} else if (others == 0) {
		host.look.credit = CREDIT;
		host.look.looks = true;
		host.look.began = now;
		host_sync_wakes(false);
		apart_watch(now);
	}
}

static bool any_news(void)
{
	list_each(l, &host.look.run)
	{
		if (gate_has_news(list_entry(l, struct plat_user, gate.link)))
			return true;
	}
	return false;
}

/* Whether any of them may call: others are served in another way by now. */
static bool any_runs(void)
{
	list_each(l, &host.look.run)
	{
		if (gate_runs(list_entry(l, struct plat_user, gate.link)))
			return true;
	}
	return false;
}

/* Those that run are told to ring; true: one has called meanwhile. */
static bool leave(void)
{
	bool any;

	list_each(l, &host.look.run)
	{
		gate_spin(list_entry(l, struct plat_user, gate.link), 0);
	}
	/* Before the last look: the thread tells its call, and then reads whether to ring. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	any = any_news();
	list_each_safe(l, &host.look.run)
	{
		struct plat_user *u = list_entry(l, struct plat_user, gate.link);

		if (!gate_has_news(u))
			look_forget(u);
	}
	return any;
}

static bool look(nsec_t deadline, nsec_t now)
{
	nsec_t end = min_of(deadline, now + host.look.time), last = now, notice = now + NOTICE;

	if (crowd(now, host.look.own) == CROWD) {
		give_way(now);
		return leave();
	}
	for (;;) {
		if (any_news()) {
			host.look.credit = min_of(host.look.credit + 1, (unsigned int) CREDIT);
			apart_waited(last);
			return true;
		}
		__builtin_ia32_pause();
		now = plat_now(PLAT_MONOTONIC);
		if (now - last > GAP) {
			if (was_taken(now)) {
				give_way(now);
				return leave();
			}
			end = min_of(deadline, now + host.look.time);
		}
		last = now;
		if (now >= end)
			break;
		if (now >= notice) {
			if (host_has_notice()) {
				apart_waited(now);
				return false;
			}
			notice = now + NOTICE;
			last = plat_now(PLAT_MONOTONIC);
		}
	}
	if (end == deadline)
		return false;
	if (host.look.credit > 0)
		host.look.credit--;
	if (host.look.credit == 0) {
		host.look.not_before = now + VAIN;
		no_more();
	}
	return leave();
}

bool look_for_calls(nsec_t deadline)
{
	struct list *l;
	nsec_t now;

	/* What is not answered by now takes longer. */
	while ((l = list_pop(&host.look.called)))
		gate_spin(list_entry(l, struct plat_user, gate.link), 0);
	if (!host.look.looks && list_empty(&host.look.run))
		return false;
	now = plat_now(PLAT_MONOTONIC);
	apart_waits(now);
	return any_runs() && look(deadline, now);
}
