/* SPDX-License-Identifier: Apache-2.0 */
/* The diagram of engine.h: which call is allowed in which state, with an engine that only counts.
 */
#include <errno.h>
#include <string.h>

#include "base/auto.h"
#include "base/test.h"
#include "engine/engine.h"
#include "engine/host.h"
#include "fmt/spec.h"

static int calls; /* of ops, all together */
static bool refuse;

static int answer(struct err *e)
{
	calls++;
	return refuse ? err_set(e, ERR_INTERNAL, EIO, "refused") : 0;
}

static int op_probe(const struct host *, struct engine_caps *, struct err *e)
{
	return answer(e);
}

static int op_check(const struct engine_caps *, const struct spec *, struct err *e)
{
	return answer(e);
}

static int op_create(struct instance *, const struct bundle *, nsec_t, struct err *e)
{
	return answer(e);
}

static int op_plain(struct instance *, struct err *e)
{
	return answer(e);
}

static int op_signal(struct instance *, int, struct err *e)
{
	return answer(e);
}

static int op_kill(struct instance *, nsec_t, struct err *e)
{
	return answer(e);
}

static int op_exec(struct instance *, const struct exec_spec *, struct exec *, struct err *e)
{
	return answer(e);
}

static void op_end(struct instance *)
{
	calls++;
}

static const struct engine_ops ops = {
	.name = "counting",
	.instance_size = sizeof(struct instance),
	.probe = op_probe,
	.check = op_check,
	.create = op_create,
	.start = op_plain,
	.signal = op_signal,
	.kill = op_kill,
	.destroy = op_end,
	.forget = op_end,
	.pause = op_plain,
	.resume = op_plain,
	.exec = op_exec,
};

enum verb { CREATE, START, PAUSE, RESUME, SIGNAL, EXEC, KILL, EXITED, DESTROY };

static int call(struct instance *in, enum verb v, struct err *e)
{
	const struct exec_spec x = {};
	const struct bundle b = {};
	struct exec got;

	switch (v) {
	case CREATE:
		return engine_create(in, &b, NSEC_NEVER, e);
	case START:
		return engine_start(in, e);
	case PAUSE:
		return engine_pause(in, e);
	case RESUME:
		return engine_resume(in, e);
	case SIGNAL:
		return engine_signal(in, 15, e);
	case EXEC:
		return engine_exec(in, &x, &got, e);
	case KILL:
		return engine_kill(in, NSEC_NEVER, e);
	case EXITED:
		engine_exited(in);
		return 0;
	case DESTROY:
		engine_destroy(in);
		return 0;
	}
	return -1;
}

static void test_transitions(void)
{
	static const struct {
		enum engine_state from;
		enum verb verb;
		bool ok;
		enum engine_state to;
	} arrows[] = {
		{ ENGINE_NONE, CREATE, true, ENGINE_CREATED },
		{ ENGINE_NONE, START, false, ENGINE_NONE },
		{ ENGINE_NONE, KILL, true, ENGINE_NONE },
		{ ENGINE_CREATED, CREATE, false, ENGINE_CREATED },
		{ ENGINE_CREATED, START, true, ENGINE_RUNNING },
		{ ENGINE_CREATED, PAUSE, false, ENGINE_CREATED },
		{ ENGINE_CREATED, EXEC, true, ENGINE_CREATED },
		{ ENGINE_CREATED, EXITED, true, ENGINE_STOPPED },
		{ ENGINE_RUNNING, START, false, ENGINE_RUNNING },
		{ ENGINE_RUNNING, PAUSE, true, ENGINE_PAUSED },
		{ ENGINE_RUNNING, RESUME, false, ENGINE_RUNNING },
		{ ENGINE_RUNNING, SIGNAL, true, ENGINE_RUNNING },
		{ ENGINE_RUNNING, KILL, true, ENGINE_STOPPED },
		{ ENGINE_RUNNING, EXITED, true, ENGINE_STOPPED },
		{ ENGINE_PAUSED, RESUME, true, ENGINE_RUNNING },
		{ ENGINE_PAUSED, EXEC, false, ENGINE_PAUSED },
		{ ENGINE_PAUSED, KILL, true, ENGINE_STOPPED },
		{ ENGINE_STOPPED, SIGNAL, false, ENGINE_STOPPED },
		{ ENGINE_STOPPED, EXEC, false, ENGINE_STOPPED },
		{ ENGINE_STOPPED, KILL, true, ENGINE_STOPPED },
		{ ENGINE_STOPPED, EXITED, true, ENGINE_STOPPED },
		{ ENGINE_STOPPED, DESTROY, true, ENGINE_NONE },
		{ ENGINE_FAILED, START, false, ENGINE_FAILED },
		{ ENGINE_FAILED, KILL, true, ENGINE_STOPPED },
		{ ENGINE_FAILED, DESTROY, true, ENGINE_NONE },
	};
	const struct engine_caps caps = { .usable = true,
					  .caps = ENGINE_CAP_PAUSE | ENGINE_CAP_EXEC };

	for (size_t i = 0; i < ARRAY_SIZE(arrows); i++) {
		struct instance *in = instance_new(&ops, &caps);
		struct err e = {};

		if (!in)
			return;
		in->state = arrows[i].from;
		calls = 0;
		CHECK((call(in, arrows[i].verb, &e) == 0) == arrows[i].ok);
		CHECK(in->state == arrows[i].to);
		/* What is not allowed never reaches the engine. */
		if (!arrows[i].ok)
			CHECK(calls == 0 && e.kind == ERR_CONFLICT);
		instance_forget(in);
	}
}

static void test_refusals(void)
{
	const struct engine_caps caps = { .usable = true, .caps = ENGINE_CAP_PAUSE };
	struct instance *in = instance_new(&ops, &caps);
	struct err e = {};

	if (!in)
		return;
	refuse = true;
	CHECK(call(in, CREATE, &e) < 0 && in->state == ENGINE_FAILED);
	in->state = ENGINE_CREATED;
	CHECK(call(in, START, &e) < 0 && in->state == ENGINE_FAILED);
	in->state = ENGINE_RUNNING;
	CHECK(call(in, PAUSE, &e) < 0 && in->state == ENGINE_RUNNING);
	CHECK(call(in, KILL, &e) < 0 && in->state == ENGINE_STOPPING);
	refuse = false;
	CHECK(call(in, KILL, &e) == 0 && in->state == ENGINE_STOPPED);
	/* No such capability, whatever the state. */
	in->state = ENGINE_RUNNING;
	CHECK(call(in, EXEC, &e) < 0 && e.kind == ERR_UNSUPPORTED);
	CHECK(engine_update(in, NULL, &e) < 0 && e.kind == ERR_UNSUPPORTED);
	instance_free(in);
	instance_free(NULL);
	instance_forget(NULL);
}

static void test_pick(void)
{
	const struct engine_ops *got = NULL;
	struct spec_root root = { .path = "rootfs" };
	struct spec s = { .root = &root };
	struct engine_caps caps = {};
	struct host h = {}, old = {};
	struct err e = {};

	CHECK(host_probe(&h, &e) == 0 && h.kernel_major >= 4);
	CHECK(host_kernel_at_least(&h, h.kernel_major, h.kernel_minor));
	CHECK(!host_kernel_at_least(&h, h.kernel_major, h.kernel_minor + 1));
	h.euid = 0;
	s.linux_.ns[SPEC_NS_MOUNT].present = true;
	CHECK(engine_pick("", &h, &s, &got, &caps, &e) == 0 && got &&
	      streq(got->name, "container"));
	CHECK(engine_pick("unikernel", &h, &s, &got, &caps, &e) < 0 && e.kind == ERR_NOT_FOUND);
	CHECK(strstr(e.msg, "container") != NULL);
	CHECK(engine_pick("container", &old, &s, &got, &caps, &e) < 0 && e.kind == ERR_UNSUPPORTED);
	s.has_vm = true; /* and no process */
	CHECK(engine_pick(NULL, &h, &s, &got, &caps, &e) < 0 && e.kind == ERR_UNSUPPORTED);
}

int main(void)
{
	test_transitions();
	test_refusals();
	test_pick();
	return test_done();
}
