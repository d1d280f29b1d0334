/* SPDX-License-Identifier: Apache-2.0 */
/* What a workload asks of its kernel, where that is ours: a trace of its calls, those not served.
 */
#pragma once

#include "engine/engine.h"
#include "svc/svc.h"

/*
 * A socket whose messages are records (kernel/syscall/list/record.h) until the workload ends or it
 * is closed. Gives. NOT_FOUND; CONFLICT: it does not run; UNSUPPORTED: another kernel serves it,
 * and the message says who shows its calls.
 */
[[nodiscard]] int trace_open(struct svc *s, const char *ref, const struct engine_trace *t,
			     int *ret_fd, struct err *e);
/* Since its last start; also when it has ended. In the arena. */
[[nodiscard]] int trace_refused(struct svc *s, const char *ref, struct arena *a,
				struct engine_refusals *ret, struct err *e);
