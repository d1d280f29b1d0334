/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sandbox/inside.h"

#include <string.h>

#include "base/auto.h"
#include "base/str.h"
#include "fmt/json.h"
#include "fmt/spec.h"

/*
 * Beside the guest's memory: the kernel's own, a quarter of it within bounds (sentry/sandbox.c),
 * and what the processes take that are its address spaces.
 */
#define KERNEL_SHARE 4
#define KERNEL_LEAST (UINT64_C(32) << 20)
#define KERNEL_MOST  (UINT64_C(2) << 30)
#define STUBS	     (UINT64_C(64) << 20)

bool inside_is_bind(const struct spec_mount *m)
{
	if (m->type && streq(m->type, "bind"))
		return true;
	for (size_t i = 0; i < m->options_n; i++) {
		if (streq(m->options[i], "bind") || streq(m->options[i], "rbind"))
			return true;
	}
	return false;
}

/* ---- the host's part --------------------------------------------------------------------- */

uint64_t inside_memory(const struct spec *s)
{
	const struct spec_resources *r = s->linux_.resources;
	const struct spec_memory *m = r ? r->memory : NULL;

	return m && m->limit_set && m->limit > 0 ? (uint64_t) m->limit : 0;
}

int64_t inside_swap(const struct spec *s)
{
	const struct spec_resources *r = s->linux_.resources;

	return r && r->memory && r->memory->swap_set ? r->memory->swap : 0;
}

int64_t inside_pids(const struct spec *s)
{
	const struct spec_resources *r = s->linux_.resources;

	return r && r->pids && r->pids->limit > 0 ? r->pids->limit : -1;
}

static int64_t with_overhead(int64_t limit, uint64_t overhead)
{
	return limit > INT64_MAX - (int64_t) overhead ? INT64_MAX : limit + (int64_t) overhead;
}

struct spec_resources *inside_host_part(struct arena *a, const struct spec *s)
{
	struct spec_resources *host = arena_alloc(a, sizeof(*host));
	struct spec_memory *m = arena_alloc(a, sizeof(*m));
	uint64_t memory = inside_memory(s), kernel = memory / KERNEL_SHARE, overhead;

	if (!host || !m || !s->linux_.resources)
		return m ? host : NULL;
	*host = *s->linux_.resources;
	host->devices = NULL;
	host->devices_n = 0;
	host->pids = NULL;
	host->machine = NULL;
	if (!memory)
		return host;
	kernel = kernel < KERNEL_LEAST ? KERNEL_LEAST : kernel > KERNEL_MOST ? KERNEL_MOST : kernel;
	overhead = kernel + STUBS;
	*m = *s->linux_.resources->memory;
	m->limit = with_overhead(m->limit, overhead);
	if (m->swap_set && m->swap > 0) /* of memory and swap together */
		m->swap = with_overhead(m->swap, overhead);
	host->memory = m;
	return host;
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

static void write_mounts(struct json_writer *w, const struct spec *s)
{
	json_w_array(w, "mounts");
	for (size_t i = 0; i < s->mounts_n; i++) {
		const struct spec_mount *m = &s->mounts[i];

		json_w_object(w, NULL);
		json_w_string(w, "destination", m->destination);
		json_w_string(w, "type", inside_is_bind(m) ? "bind" : m->type);
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

static void write_resources(struct json_writer *w, const struct spec *s, const struct json *given)
{
	const struct json *pids = json_get(given, "pids"), *cpu = json_get(given, "cpu");
	uint64_t memory = inside_memory(s);

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

static void write_linux(struct json_writer *w, const struct spec *s, const struct json *given)
{
	static const char *const same[] = { "sysctl", "maskedPaths", "readonlyPaths", "devices" };

	json_w_object(w, "linux");
	write_resources(w, s, json_get(given, "resources"));
	for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
		const struct json *v = json_get(given, same[i]);

		if (v)
			json_w_value(w, same[i], v);
	}
	json_w_end(w);
}

void inside_config(struct buf *out, const struct spec *s, const struct json *given)
{
	struct json_writer w = JSON_WRITER(out);

	json_w_object(&w, NULL);
	json_w_string(&w, "ociVersion", s->oci_version ? s->oci_version : "1.0.0");
	write_process(&w, "process", s->process, false);
	json_w_object(&w, "root");
	json_w_string(&w, "path", "root");
	json_w_bool(&w, "readonly", s->root->readonly);
	json_w_end(&w);
	if (s->hostname)
		json_w_string(&w, "hostname", s->hostname);
	if (s->domainname)
		json_w_string(&w, "domainname", s->domainname);
	write_mounts(&w, s);
	write_linux(&w, s, json_get(given, "linux"));
	json_w_end(&w);
}
