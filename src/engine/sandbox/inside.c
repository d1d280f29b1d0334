/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sandbox/inside.h"

#include <string.h>

#include "base/auto.h"
#include "base/str.h"
#include "engine/container/own_kernel.h"
#include "fmt/json.h"
#include "fmt/spec.h"
#include "proto/sentry.h"

/*
 * Beside the guest's memory: the kernel's own, a quarter of it within bounds (sentry/sandbox.c),
 * and what the processes take that are its address spaces.
 */
#define KERNEL_SHARE 4
#define KERNEL_LEAST (UINT64_C(32) << 20)
#define KERNEL_MOST  (UINT64_C(2) << 30)
#define STUBS	     (UINT64_C(64) << 20)

bool inside_is_pod_shm(const struct spec_mount *m, enum pod_role pod)
{
	return pod != POD_NONE && own_kernel_is_bind(m) && streq(m->destination, "/dev/shm");
}

/* ---- the host's part --------------------------------------------------------------------- */

uint64_t inside_memory(const struct spec *s)
{
	const struct spec_resources *r = s->linux_.resources;
	const struct spec_memory *m = r ? r->memory : NULL;

	return m && m->limit_set && m->limit > 0 ? (uint64_t) m->limit : 0;
}

/* Of the host, for a guest that may use so much. */
static uint64_t overhead_of(uint64_t memory)
{
	uint64_t kernel = memory / KERNEL_SHARE;

	kernel = kernel < KERNEL_LEAST ? KERNEL_LEAST : kernel > KERNEL_MOST ? KERNEL_MOST : kernel;
	return kernel + STUBS;
}

static int64_t with_overhead(int64_t limit, uint64_t overhead)
{
	return limit > INT64_MAX - (int64_t) overhead ? INT64_MAX : limit + (int64_t) overhead;
}

void inside_host_memory(struct spec_memory *m, uint64_t memory)
{
	uint64_t overhead = overhead_of(memory);

	if (m->limit_set && m->limit > 0)
		m->limit = with_overhead(m->limit, overhead);
	if (m->swap_set && m->swap > 0) /* of memory and swap together */
		m->swap = with_overhead(m->swap, overhead);
}

struct spec_resources *inside_host_part(struct arena *a, const struct spec *s)
{
	struct spec_resources *host = arena_alloc(a, sizeof(*host));
	struct spec_memory *m = arena_alloc(a, sizeof(*m));
	uint64_t memory = inside_memory(s);

	if (!host || !m || !s->linux_.resources)
		return m ? host : NULL;
	*host = *s->linux_.resources;
	host->devices = NULL;
	host->devices_n = 0;
	host->pids = NULL;
	host->machine = NULL;
	if (!memory)
		return host;
	*m = *s->linux_.resources->memory;
	inside_host_memory(m, memory);
	host->memory = m;
	return host;
}

struct spec_resources *inside_pod_part(struct arena *a, const struct pod_size *size)
{
	struct spec_resources *host = arena_alloc(a, sizeof(*host));
	struct spec_memory *m = arena_alloc(a, sizeof(*m));
	struct spec_cpu *cpu = arena_alloc(a, sizeof(*cpu));

	if (!host || !m || !cpu)
		return NULL;
	*m = (struct spec_memory){ .limit = (int64_t) size->memory, .limit_set = true };
	*cpu = (struct spec_cpu){ .quota = (int64_t) size->quota,
				  .quota_set = size->quota != 0,
				  .period = size->period,
				  .period_set = size->quota != 0,
				  .shares = size->shares,
				  .shares_set = size->shares != 0 };
	inside_host_memory(m, size->memory);
	host->memory = size->memory ? m : NULL;
	host->cpu = size->quota || size->shares ? cpu : NULL;
	return host;
}

/* Where what its programs would take is most of it they share it evenly. */
uint64_t inside_memory_within(uint64_t host)
{
	uint64_t overhead = overhead_of(host);

	return overhead < host / 2 ? host - overhead : host / 2;
}

/* ---- config.json ------------------------------------------------------------------------- */

static void write_process(struct json_writer *w, const char *key, const struct spec_process *p,
			  bool names)
{
	struct spec_process inside = *p;

	if (!names) {
		inside.user.username = NULL;
		inside.user.group_names_n = 0;
	}
	inside.apparmor_profile = NULL;
	inside.selinux_label = NULL;
	spec_process_write(w, key, &inside);
}

void inside_process(struct buf *out, const struct spec_process *p)
{
	struct json_writer w = JSON_WRITER(out);

	/* A name is looked up inside where it is given instead of a number: svc/plan_exec.c. */
	write_process(&w, NULL, p, p->user.uid == 0 && p->user.gid == 0);
}

/* The sandbox makes it, and the others have the same. */
static void write_pod_shm(struct json_writer *w, enum pod_role pod)
{
	static const char *const options[] = { "nosuid", "nodev", "noexec", "mode=1777" };
	size_t n = ARRAY_SIZE(options) -
		   (pod == POD_SANDBOX ? 0 : 1); /* who makes it says the mode */

	json_w_string(w, "destination", "/dev/shm");
	json_w_string(w, "type", pod == POD_SANDBOX ? "tmpfs" : SENTRY_POD_SHM);
	json_w_string(w, "source", "shm");
	json_w_array(w, "options");
	for (size_t i = 0; i < n; i++)
		json_w_string(w, NULL, options[i]);
	json_w_end(w);
}

static void write_mounts(struct json_writer *w, const struct spec *s, enum pod_role pod)
{
	json_w_array(w, "mounts");
	for (size_t i = 0; i < s->mounts_n; i++) {
		const struct spec_mount *m = &s->mounts[i];

		json_w_object(w, NULL);
		if (inside_is_pod_shm(m, pod)) {
			write_pod_shm(w, pod);
			json_w_end(w);
			continue;
		}
		json_w_string(w, "destination", m->destination);
		json_w_string(w, "type", own_kernel_is_bind(m) ? "bind" : m->type);
		if (m->source)
			json_w_string(w, "source", m->source);
		json_w_array(w, "options");
		for (size_t k = 0; k < m->options_n; k++)
			json_w_string(w, NULL, m->options[k]);
		json_w_end(w);
		json_w_end(w);
	}
	json_w_end(w);
}

static void write_resources(struct json_writer *w, const struct json *given, uint64_t memory)
{
	const struct json *pids = json_get(given, "pids"), *cpu = json_get(given, "cpu");

	json_w_object(w, "resources");
	if (memory) {
		json_w_object(w, "memory");
		json_w_u64(w, "limit", memory);
		json_w_end(w);
	}
	if (cpu) /* what it shows of its share */
		json_w_value(w, "cpu", cpu);
	if (pids)
		json_w_value(w, "pids", pids);
	json_w_end(w);
}

static void write_linux(struct json_writer *w, const struct json *given, uint64_t memory)
{
	static const char *const same[] = { "sysctl", "maskedPaths", "readonlyPaths", "devices" };

	json_w_object(w, "linux");
	write_resources(w, json_get(given, "resources"), memory);
	for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
		const struct json *v = json_get(given, same[i]);

		if (v)
			json_w_value(w, same[i], v);
	}
	json_w_end(w);
}

void inside_config(struct buf *out, const struct spec *s, const struct json *given,
		   enum pod_role pod, uint64_t memory)
{
	struct json_writer w = JSON_WRITER(out);

	json_w_object(&w, NULL);
	json_w_string(&w, "ociVersion", s->oci_version ? s->oci_version : "1.0.0");
	write_process(&w, "process", s->process, false);
	json_w_object(&w, "root");
	json_w_string(&w, "path", "root");
	json_w_bool(&w, "readonly", s->root->readonly);
	json_w_end(&w);
	if (s->hostname && pod != POD_MEMBER) /* the pod has one */
		json_w_string(&w, "hostname", s->hostname);
	if (s->domainname && pod != POD_MEMBER)
		json_w_string(&w, "domainname", s->domainname);
	write_mounts(&w, s, pod);
	write_linux(&w, json_get(given, "linux"), memory);
	json_w_end(&w);
}
