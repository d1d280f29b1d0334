/* SPDX-License-Identifier: Apache-2.0 */
/* A decoded process section as JSON again: for an engine that hands it on to another machine. */
#include "base/auto.h"
#include "fmt/spec_tables.h"

static const char *word_of(const struct spec_word *t, size_t n, uint64_t value)
{
	for (size_t i = 0; i < n; i++) {
		if (t[i].value == value)
			return t[i].word;
	}
	return NULL;
}

static void write_user(struct json_writer *w, const struct spec_user *u)
{
	json_w_object(w, "user");
	json_w_u64(w, "uid", u->uid);
	json_w_u64(w, "gid", u->gid);
	if (u->umask_set)
		json_w_u64(w, "umask", u->umask);
	if (u->additional_gids.n) {
		json_w_array(w, "additionalGids");
		for (size_t i = 0; i < u->additional_gids.n; i++)
			json_w_u64(w, NULL, u->additional_gids.v[i]);
		json_w_end(w);
	}
	if (u->username)
		json_w_string(w, "username", u->username);
	if (u->group_names_n) {
		json_w_array(w, "groupNames");
		for (size_t i = 0; i < u->group_names_n; i++)
			json_w_string(w, NULL, u->group_names[i]);
		json_w_end(w);
	}
	json_w_end(w);
}

static void write_cap_set(struct json_writer *w, const char *key, uint64_t set)
{
	json_w_array(w, key);
	for (unsigned i = 0; i < SPEC_CAP_N; i++) {
		if (set & (UINT64_C(1) << i))
			json_w_string(w, NULL, spec_cap_name(i));
	}
	json_w_end(w);
}

static void write_caps(struct json_writer *w, const struct spec_caps *c)
{
	json_w_object(w, "capabilities");
	write_cap_set(w, "bounding", c->bounding);
	write_cap_set(w, "effective", c->effective);
	write_cap_set(w, "inheritable", c->inheritable);
	write_cap_set(w, "permitted", c->permitted);
	write_cap_set(w, "ambient", c->ambient);
	json_w_end(w);
}

static void write_rlimits(struct json_writer *w, const struct spec_process *p)
{
	json_w_array(w, "rlimits");
	for (size_t i = 0; i < p->rlimits_n; i++) {
		json_w_object(w, NULL);
		json_w_string(w, "type",
			      word_of(spec_rlimit_words, ARRAY_SIZE(spec_rlimit_words),
				      p->rlimits[i].resource));
		json_w_u64(w, "soft", p->rlimits[i].soft);
		json_w_u64(w, "hard", p->rlimits[i].hard);
		json_w_end(w);
	}
	json_w_end(w);
}

static void write_scheduler(struct json_writer *w, const struct spec_scheduler *s)
{
	json_w_object(w, "scheduler");
	json_w_string(w, "policy",
		      word_of(spec_policy_words, ARRAY_SIZE(spec_policy_words), s->policy));
	json_w_i64(w, "nice", s->nice);
	json_w_i64(w, "priority", s->priority);
	json_w_array(w, "flags");
	for (size_t i = 0; i < ARRAY_SIZE(spec_sched_flag_words); i++) {
		if (s->flags & spec_sched_flag_words[i].value)
			json_w_string(w, NULL, spec_sched_flag_words[i].word);
	}
	json_w_end(w);
	if (s->runtime_set)
		json_w_u64(w, "runtime", s->runtime);
	if (s->deadline_set)
		json_w_u64(w, "deadline", s->deadline);
	json_w_u64(w, "period", s->period);
	json_w_end(w);
}

static void write_affinity(struct json_writer *w, const struct spec_cpu_affinity *a)
{
	json_w_object(w, "execCPUAffinity");
	if (a->initial)
		json_w_string(w, "initial", a->initial);
	if (a->final)
		json_w_string(w, "final", a->final);
	json_w_end(w);
}

void spec_process_write(struct json_writer *w, const char *key, const struct spec_process *p)
{
	json_w_object(w, key);
	json_w_bool(w, "terminal", p->terminal);
	if (p->console_size) {
		json_w_object(w, "consoleSize");
		json_w_u64(w, "height", p->console_size->height);
		json_w_u64(w, "width", p->console_size->width);
		json_w_end(w);
	}
	write_user(w, &p->user);
	if (p->args)
		json_w_strings(w, "args", (const char *const *) p->args);
	if (p->env)
		json_w_strings(w, "env", (const char *const *) p->env);
	if (p->cwd)
		json_w_string(w, "cwd", p->cwd);
	if (p->rlimits_n)
		write_rlimits(w, p);
	if (p->caps)
		write_caps(w, p->caps);
	json_w_bool(w, "noNewPrivileges", p->no_new_privileges);
	if (p->oom_score_adj_set)
		json_w_i64(w, "oomScoreAdj", p->oom_score_adj);
	if (p->apparmor_profile)
		json_w_string(w, "apparmorProfile", p->apparmor_profile);
	if (p->selinux_label)
		json_w_string(w, "selinuxLabel", p->selinux_label);
	if (p->scheduler)
		write_scheduler(w, p->scheduler);
	if (p->io_priority) {
		json_w_object(w, "ioPriority");
		json_w_string(w, "class",
			      word_of(spec_io_class_words, ARRAY_SIZE(spec_io_class_words),
				      p->io_priority->class));
		json_w_i64(w, "priority", p->io_priority->priority);
		json_w_end(w);
	}
	if (p->exec_cpu_affinity)
		write_affinity(w, p->exec_cpu_affinity);
	json_w_end(w);
}
