/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything held still for a snapshot of the machine: containers are paused, so that nothing of
 * them runs in a restored machine before it has a name, a clock and randomness of its own, and no
 * bytes are on their way, so that none are lost or seen twice.
 *
 *	          HOLD                HELD of each             RELEASE, or HOLD's hung up
 *	(free) ---------> (holding) ---------------> (held) -------------------------> (free)
 *	                                               |  restored: HOLD's connection fails
 *	                                               +--------> (held) -- ATTACH --> (free)
 */
#include <errno.h>
#include <signal.h>

#include "base/auto.h"
#include "base/log.h"
#include "guest/agent.h"
#include "sys/pidfd.h"

static int hold_workload(struct workload *w, struct err *e)
{
	int r;

	if (!w->in || w->in->state == ENGINE_PAUSED)
		return 0;
	r = engine_pause(w->in, e);
	w->held = r == 0;
	return r < 0 ? err_ctx(e, "hold container '%s'", w->id) : 0;
}

static int release_workload(struct workload *w, struct err *e)
{
	if (!w->held)
		return 0;
	w->held = false;
	return w->in && w->in->state == ENGINE_PAUSED ? engine_resume(w->in, e) : 0;
}

const struct session *hold_loud(const struct agent *a)
{
	const struct session *s = a->sessions;

	while (s && s->quiet)
		s = s->next;
	return s;
}

static void check_all(struct agent *a)
{
	if (a->holder && !hold_loud(a))
		connection_held(a->holder);
}

int hold_begin(struct agent *a, struct connection *holder, struct err *e)
{
	const struct agent_msg m = agent_msg_of(AGENT_HOLD);
	int r = 0;

	if (a->holder)
		return err_set(e, ERR_CONFLICT, EBUSY, "a snapshot of the machine is being made");
	for (const struct session *s = a->sessions; s; s = s->next)
		if (s->held)
			return err_set(e, ERR_CONFLICT, EBUSY,
				       "the machine was restored, and nobody has taken over "
				       "container '%s' yet",
				       s->workload ? s->workload->id : "");
	for (struct workload *w = a->workloads; r == 0 && w; w = w->next)
		r = hold_workload(w, e);
	a->holder = holder;
	if (r < 0) {
		hold_end(a);
		return r;
	}
	for (struct session *s = a->sessions; s; s = s->next) {
		s->held = true;
		s->quiet = !s->connection || connection_said_all(s->connection);
		session_resume(s); /* nothing is read any more */
		connection_send(s->connection, &m);
	}
	check_all(a);
	return 0;
}

void hold_quiet(struct session *s)
{
	struct agent *a = s->agent;
	bool news = !s->quiet;

	s->quiet = true;
	if (news)
		check_all(a);
}

void hold_end(struct agent *a)
{
	const struct agent_msg m = agent_msg_of(AGENT_RELEASE);
	struct err e = {};

	a->holder = NULL;
	for (struct workload *w = a->workloads; w; w = w->next)
		if (release_workload(w, &e) < 0)
			log_warn("a container does not go on: %s id=%s", e.msg, w->id);
	for (struct session *s = a->sessions, *next; s; s = next) {
		next = s->next;
		if (!s->held)
			continue;
		s->held = s->quiet = false;
		if (!s->connection) {
			session_free(s); /* its host went meanwhile */
			continue;
		}
		connection_send(s->connection, &m);
		session_resume(s);
		session_check_done(s);
	}
}

static struct session *find(struct agent *a, const char *id)
{
	for (struct session *s = a->sessions; s; s = s->next)
		if (s->is_init && s->workload && streq(s->workload->id, id))
			return s;
	return NULL;
}

/* Nobody can take these over: their hosts were of the machine that the snapshot is of. */
static void end_others(struct agent *a, const struct workload *w)
{
	for (struct session *s = a->sessions, *next; s; s = next) {
		next = s->next;
		if (s->workload == w && !s->is_init && s->held && !s->connection)
			session_free(s);
	}
}

int hold_attach(struct agent *a, const struct agent_attach *m, struct session **ret_s,
		struct err *e)
{
	struct session *s = find(a, m->id);
	int r;

	if (!s)
		return err_set(e, ERR_NOT_FOUND, ENOENT, "no container '%.128s' in this machine",
			       m->id);
	if (!s->held || s->connection || a->holder)
		return err_set(e, ERR_CONFLICT, EBUSY, "container '%s' has a host", m->id);
	r = workload_rename(s->workload, m->as, m->hostname, e);
	if (r < 0)
		return r;
	end_others(a, s->workload);
	r = release_workload(s->workload, e);
	if (r < 0)
		return err_ctx(e, "container '%s' does not go on", m->id);
	s->held = s->quiet = false;
	*ret_s = s;
	return 0;
}
