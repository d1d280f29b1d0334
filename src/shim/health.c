/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/health.h"

#include <stdlib.h>

#include "base/auto.h"
#include "fmt/json.h"

static nsec_t or_default(uint64_t ns, nsec_t otherwise)
{
	return ns ? (nsec_t) ns : otherwise;
}

void health_init(struct health *h, const struct shim_health *config)
{
	*h = (struct health){
		.interval = or_default(config->interval_ns, 30 * NSEC_PER_SEC),
		.timeout = or_default(config->timeout_ns, 30 * NSEC_PER_SEC),
		.start_period = (nsec_t) config->start_period_ns,
		.start_interval = or_default(config->start_interval_ns, 5 * NSEC_PER_SEC),
		.retries = config->retries ? config->retries : 3,
		.status = config->test.n ? HEALTH_STARTING : HEALTH_NONE,
	};
}

void health_fini(struct health *h)
{
	for (unsigned i = 0; i < h->kept_n; i++)
		free(h->kept[i].output);
	h->kept_n = 0;
}

void health_started(struct health *h, nsec_t now)
{
	health_fini(h);
	h->started = now;
	h->failures = 0;
	h->was_healthy = false;
	if (h->status != HEALTH_NONE)
		h->status = HEALTH_STARTING;
}

static bool in_start_period(const struct health *h, nsec_t now)
{
	return !h->was_healthy && now - h->started < h->start_period;
}

nsec_t health_wait(const struct health *h, nsec_t now)
{
	return in_start_period(h, now) && h->start_interval < h->interval ? h->start_interval
									  : h->interval;
}

static void keep(struct health *h, const struct health_result *r)
{
	if (h->kept_n == HEALTH_KEPT) {
		free(h->kept[0].output);
		memmove(h->kept, h->kept + 1, sizeof(h->kept[0]) * (HEALTH_KEPT - 1));
		h->kept_n--;
	}
	h->kept[h->kept_n++] = *r;
}

bool health_checked(struct health *h, const struct health_result *r, nsec_t now)
{
	enum workload_health before = h->status;

	keep(h, r);
	if (r->code == 0) {
		h->failures = 0;
		h->was_healthy = true;
		h->status = HEALTH_HEALTHY;
	} else if (!in_start_period(h, now) && ++h->failures >= h->retries) {
		h->status = HEALTH_UNHEALTHY;
	}
	return h->status != before;
}

void health_write(const struct health *h, struct buf *out)
{
	struct json_writer w = JSON_WRITER(out);
	char text[CLOCK_RFC3339_MAX];

	json_w_array(&w, NULL);
	for (unsigned i = 0; i < h->kept_n; i++) {
		const struct health_result *r = &h->kept[i];

		json_w_object(&w, NULL);
		clock_rfc3339(r->start, text);
		json_w_string(&w, "Start", text);
		clock_rfc3339(r->end, text);
		json_w_string(&w, "End", text);
		json_w_i64(&w, "ExitCode", r->code);
		json_w_string(&w, "Output", r->output ? r->output : "");
		json_w_end(&w);
	}
	json_w_end(&w);
}
