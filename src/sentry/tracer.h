/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one connection is told of the guest's calls (proto/sentry.h: TRACE): records wait here for
 * whoever reads them, in bounded memory. Where there is no more of it records are counted, not
 * kept: no guest waits for a reader.
 */
#pragma once

#include <stdbool.h>

struct sentry_reply;
struct sentry_request;
struct tracer;
struct waitq;

/* Begins: `told` is woken as there is something to send. 0, -EBUSY, -EINVAL, -ENOMEM. */
[[nodiscard]] int tracer_new(const struct sentry_request *q, struct waitq *told,
			     struct tracer **ret);
void tracer_free(struct tracer *t);
/* Whether enough has come, or what came has waited long enough. */
bool tracer_due(const struct tracer *t);
/* All there is: 0; -EAGAIN: some, and the socket takes no more now; -errno: nobody reads. */
[[nodiscard]] int tracer_send(struct tracer *t, int sock);

/* REFUSED. */
void tracer_refused(struct sentry_reply *a);
