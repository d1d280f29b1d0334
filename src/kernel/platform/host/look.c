/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking for calls in gates. Calls that come at once after an answer make it worth while; looks in
 * vain end it. Those that are looked at may share a processor: they wait for no other's work there,
 * and what they ask for is done here meanwhile.
 *
 * Where others want the host's processors it is tried now and then whether more calls are served
 * with looks or without: who calls often in a row is better off with them, also if he has a
 * processor for half of the time, and who sleeps between his calls without, since the host lets
 * those run at once that it wakes. Where the guests themselves could use every processor, the time
 * that is waited here is set against that of the rings that the calls would have taken.
 */
#include <limits.h>
#include <sys/uio.h>

#include "kernel/platform/host/inside.h"

#define LOOK	    (25 * 1000) /* ns: an answer or a call that comes does so within it */
#define LOOK_LITTLE (4 * 1000)
/* From an answer to a ring, with the host's switches there and back, which looking saves. */
#define SOON	    (50 * 1000)
#define NOTICE	    (2 * 1000)	      /* between looks at what else there is */
#define ASK	    (2 * 1000 * 1000) /* between looks at how many others run */
#define COUNT_MOST  256		      /* threads */
#define OTHERS_MOST 4096u
#define OTHERS_ONE  256		       /* stands for one */
#define TRIAL	    (30 * 1000 * 1000) /* each way */
#define TRIAL_HOLDS (1000 * 1000 * 1000)
#define GAP	    (50 * 1000) /* longer between two looks: somebody else ran here */
#define WINDOW	    (5 * 1000 * 1000)
#define RING	    (8 * 1000)	      /* of the processors' time, with its answer */
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
	host.look.limited = quota > 0 && quota / host.look.cpus < period;
	host.look.time = host.look.limited ? LOOK_LITTLE : LOOK;
	host.look.spin = host.look.limited ? SPIN_LITTLE : SPIN;
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

/* Threads of this sandbox that run, or would; about, where there are many. */
static unsigned int awake(void)
{
	unsigned int n = 1 + !host.source.ring.waits, threads = 0;
	uintptr_t p;

	for (uint64_t i = 0; (p = (uintptr_t) radix_next(&host.tids, &i)); i++) {
		if (++threads > COUNT_MOST)
			return 1 + host.look.own;
		n += p & 1 ? !((struct plat_space *) (p & ~(uintptr_t) 1))->hand.waits
			   : !((struct plat_user *) p)->ring.waits;
	}
	return n;
}

/* Whether others want the processors: as many as there are, or nearly, on the average. A thread
 * that goes to sleep, or has just done so, is counted wrongly for a moment. */
static bool crowded(nsec_t now)
{
	struct host_look *l = &host.look;
	int all = (int) l->cpus * OTHERS_ONE;

	if (now - l->asked > ASK) {
		int others = (int) min_of(running(), OTHERS_MOST) - (int) awake();

		l->asked = now;
		l->others += (others * OTHERS_ONE - l->others) / 16;
	}
	return l->others >= (l->trial == LOOK_ALWAYS ? all * 5 / 8 : all * 3 / 8);
}

/* The next of a trial's parts. */
static void go_on_with(enum look_trial next, nsec_t now, nsec_t time)
{
	host.look.trial = next;
	host.look.trial_ends = now + time;
	host.look.calls = 0;
}

static bool may_look(nsec_t now)
{
	struct host_look *l = &host.look;

	if (!crowded(now)) {
		l->trial = LOOK_ALWAYS;
		return true;
	}
	if (l->trial != LOOK_ALWAYS && now < l->trial_ends)
		return l->trial != LOOK_TRY_NONE && l->trial != LOOK_NONE;
	switch (l->trial) {
	case LOOK_TRY_NONE:
		l->calls_without = l->calls;
		go_on_with(LOOK_TRY, now, TRIAL);
		return true;
	case LOOK_TRY:
		go_on_with(l->calls > l->calls_without + l->calls_without / 2 ? LOOK_GOES_WELL
									      : LOOK_NONE,
			   now, TRIAL_HOLDS);
		return l->trial == LOOK_GOES_WELL;
	case LOOK_ALWAYS:
	case LOOK_GOES_WELL:
	case LOOK_NONE:
		go_on_with(LOOK_TRY_NONE, now, TRIAL);
	}
	return false;
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

/* The time is used up, perhaps: no look for as long as there was some, at most, or for longer each
 * time. */
static void give_way(nsec_t now)
{
	bool well = now - host.look.began >= host.look.pause;

	host.look.not_before = now + host.look.pause;
	host.look.pause = well ? max_of(host.look.pause / 2, (nsec_t) PAUSE_LEAST)
			       : min_of(2 * host.look.pause, (nsec_t) PAUSE_MOST);
	no_more();
}

void look_rang(void)
{
	nsec_t now = plat_now(PLAT_MONOTONIC);

	if (host.look.looks || host.look.load_fd < 0 || host.look.cpus < 2 ||
	    now < host.look.not_before)
		return;
	if (now - host.look.answered > (host.look.limited ? host.look.time : SOON)) {
		host.look.credit -= host.look.credit > 0;
		return;
	}
	if (++host.look.credit < CREDIT_LOOK || !may_look(now))
		return;
	host.look.credit = CREDIT;
	host.look.looks = true;
	host.look.began = host.look.since = now;
	host.look.wanted = 0;
	host.look.served = 0;
	host_sync_wakes(false);
	apart_go(now);
}

/* The time from `from` on was waited, with or without a look. */
void look_waited(nsec_t from, nsec_t now)
{
	if (host.look.own >= host.look.cpus)
		host.look.wanted += now - from;
}

/* Whether guests could have done more by themselves, on this processor. */
static bool is_wanted(nsec_t now)
{
	struct host_look *l = &host.look;
	bool wanted = l->wanted > l->served * (nsec_t) RING;

	if (now - l->since < WINDOW)
		return false;
	l->since = now;
	l->wanted = 0;
	l->served = 0;
	return wanted;
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

	for (;;) {
		if (any_news()) {
			host.look.credit = min_of(host.look.credit + 1, (unsigned int) CREDIT);
			apart_waited(last);
			return true;
		}
		__builtin_ia32_pause();
		now = plat_now(PLAT_MONOTONIC);
		if (now - last > GAP) {
			if (host.look.limited) {
				give_way(now);
				return leave();
			}
			if (host.look.trial == LOOK_ALWAYS)
				apart_taken(now, now - last);
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
	if (host.look.looks && !may_look(now)) {
		no_more();
		return leave();
	}
	if (host.look.looks && is_wanted(now)) {
		give_way(now);
		return leave();
	}
	apart_waits(now);
	return any_runs() && look(deadline, now);
}
