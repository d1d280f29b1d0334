/* SPDX-License-Identifier: Apache-2.0 */
/* ps: rows, filters, sizes, the words of the STATUS column. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/num.h"
#include "fmt/reference.h"
#include "image/resolve.h"
#include "store/discard.h"
#include "svc/filter.h"
#include "svc/heal.h"
#include "svc/own_disk.h"
#include "svc/workload.h"
#include "sys/tree.h"

static const char *const filter_keys[] = { "id",     "name",   "label",	    "status",  "ancestor",
					   "exited", "health", "isolation", "network", "volume",
					   "before", "since",  NULL };

void workload_status_text(const struct workload_status *st, nsec_t created, nsec_t now,
			  char ret_text[static WORKLOAD_STATUS_MAX])
{
	char up[CLOCK_DURATION_MAX], ended[CLOCK_DURATION_MAX];
	const char *health = "";

	(void) created;
	clock_human(now - st->started, up);
	clock_human(now - st->finished, ended);
	switch (st->health) {
	case HEALTH_NONE:
		break;
	case HEALTH_STARTING:
		health = " (health: starting)";
		break;
	case HEALTH_HEALTHY:
		health = " (healthy)";
		break;
	case HEALTH_UNHEALTHY:
		health = " (unhealthy)";
		break;
	}
	switch (st->state) {
	case WORKLOAD_CREATED:
		(void) snprintf(ret_text, WORKLOAD_STATUS_MAX, "Created");
		break;
	case WORKLOAD_RUNNING:
		(void) snprintf(ret_text, WORKLOAD_STATUS_MAX, "Up %s%s", up, health);
		break;
	case WORKLOAD_PAUSED:
		(void) snprintf(ret_text, WORKLOAD_STATUS_MAX, "Up %s (Paused)", up);
		break;
	case WORKLOAD_RESTARTING:
		(void) snprintf(ret_text, WORKLOAD_STATUS_MAX, "Restarting (%d) %s ago",
				st->exit_code, ended);
		break;
	case WORKLOAD_EXITED:
		(void) snprintf(ret_text, WORKLOAD_STATUS_MAX, "Exited (%d) %s ago", st->exit_code,
				ended);
		break;
	case WORKLOAD_REMOVING:
		(void) snprintf(ret_text, WORKLOAD_STATUS_MAX, "Removal In Progress");
		break;
	case WORKLOAD_DEAD:
		(void) snprintf(ret_text, WORKLOAD_STATUS_MAX, "Dead");
		break;
	}
}

/* "a repository", "repository:tag" or an image's id or prefix against a workload's image. */
static bool has_ancestor(const struct workload_record *w, struct str value)
{
	const char *familiar = reference_familiar_of(w->image);
	size_t n = strcspn(familiar, ":");
	const char *hex = strchr(w->image_id, ':');

	if (str_is(value, w->image) || str_is(value, familiar) || str_is(value, w->image_id))
		return true;
	if (str_eq(value, (struct str){ familiar, n }))
		return true;
	return hex && value.n >= 2 && strncmp(hex + 1, value.p, value.n) == 0;
}

static bool in_mounts(const struct workload_record *w, struct str value, struct arena *a)
{
	const struct json *mounts;
	struct err ignored;

	if (!w->mounts || json_parse(a, str_of(w->mounts), &mounts, &ignored) < 0)
		return false;
	for (size_t i = 0; mounts->type == JSON_ARRAY && i < mounts->n; i++) {
		const char *source = json_string(&mounts->items[i]);

		if (source && str_is(value, source))
			return true;
	}
	return false;
}

struct bounds { /* of before and since: seqs */
	int64_t before, since;
};

static bool accepts(const struct workload_record *w, struct str key, struct str value,
		    const struct bounds *b, struct arena *a)
{
	const struct workload_status *st = &w->status;
	const struct json *labels = NULL;
	struct err ignored;
	uint64_t code;

	if (str_is(key, "id"))
		return value.n > 0 && strncmp(w->id, value.p, value.n) == 0;
	if (str_is(key, "name")) /* docker: any part of the name */
		return memmem(w->name, strlen(w->name), value.p, value.n) != NULL;
	if (str_is(key, "label"))
		return w->labels && json_parse(a, str_of(w->labels), &labels, &ignored) >= 0 &&
		       filter_label(labels, value);
	if (str_is(key, "status"))
		return str_is(value, workload_state_name(st->state));
	if (str_is(key, "ancestor"))
		return has_ancestor(w, value);
	if (str_is(key, "exited"))
		return st->state == WORKLOAD_EXITED && num_parse_u64(value, 0, 255, &code) >= 0 &&
		       st->exit_code == (int) code;
	if (str_is(key, "health"))
		return str_is(value, workload_health_name(st->health));
	if (str_is(key, "isolation"))
		return str_is(value, w->isolation);
	if (str_is(key, "network"))
		return str_is(value, w->network);
	if (str_is(key, "volume"))
		return in_mounts(w, value, a);
	if (str_is(key, "before"))
		return w->seq < b->before;
	return w->seq > b->since;
}

static bool matches(const struct workload_record *w, const struct workload_filter *f,
		    const struct bounds *b, struct arena *a)
{
	for (size_t i = 0; i < f->filters_n; i++) {
		struct str value, key = str_cut(str_of(f->filters[i]), '=', &value);
		bool any = false, all = true, is_label = str_is(key, "label");

		if (!filter_is_first(f->filters, i))
			continue;
		for (size_t j = i; j < f->filters_n; j++) {
			struct str other_value;
			struct str other = str_cut(str_of(f->filters[j]), '=', &other_value);

			if (!str_eq(key, other))
				continue;
			bool yes = accepts(w, key, other_value, b, a);
			any = any || yes;
			all = all && yes;
		}
		/* Several labels are all wanted; of everything else any. */
		if (is_label ? !all : !any)
			return false;
	}
	return true;
}

/* A filter that names what one must be older or newer than; a status that rules the default out. */
static int prepare(struct svc *s, const struct workload_filter *f, struct arena *a,
		   struct bounds *ret, bool *ret_all, struct err *e)
{
	int r = filters_check(f->filters, f->filters_n, filter_keys, e);

	*ret = (struct bounds){ .before = INT64_MAX };
	*ret_all = f->all || f->last > 0;
	for (size_t i = 0; r >= 0 && i < f->filters_n; i++) {
		struct str value, key = str_cut(str_of(f->filters[i]), '=', &value);
		bool before = str_is(key, "before");
		struct workload_record other;

		if (str_is(key, "status") || str_is(key, "exited"))
			*ret_all = true;
		if (!before && !str_is(key, "since"))
			continue;
		r = store_workload_find(s->store, value.p, a, &other, e);
		if (r >= 0)
			*(before ? &ret->before : &ret->since) = other.seq;
		*ret_all = true;
	}
	return r;
}

static void sizes(struct svc *s, struct workload_info *i)
{
	auto_image struct image *im = NULL;
	struct path_text dir = paths_workload(&s->paths, i->record.id);
	struct err ignored;
	uint64_t rw = 0;

	/* A workload that goes while it is measured simply has no size. */
	auto_fd int fd = open(dir.z, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || tree_size(fd, "upper", &rw) < 0)
		return;
	rw += own_disk_bytes(fd);
	i->size_rw = (int64_t) rw;
	if (image_resolve(s->store, i->record.image_id, &im, &ignored) >= 0)
		i->size_root = (int64_t) (rw + im->row.size);
}

int workload_ps(struct svc *s, const struct workload_filter *f, struct arena *a,
		struct workload_infos *ret, struct err *e)
{
	struct workload_infos got = {};
	struct workload_records list;
	struct bounds bounds;
	bool all;
	unsigned what = f->brief && !f->filters_n && !f->size ? WORKLOAD_LIST_BRIEF : 0;
	int r = svc_store(s, e);

	if (r >= 0)
		r = prepare(s, f, a, &bounds, &all, e);
	if (r >= 0)
		r = heal_list(s, what | (all ? 0 : WORKLOAD_LIST_RUNNING), a, &list, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < list.n; i++) {
		if (f->last && got.n >= f->last)
			break;
		if (!matches(&list.v[i], f, &bounds, a))
			continue;
		struct workload_info *info = arena_push(a, &got.v, &got.n, sizeof(*info));
		if (!info)
			return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
		info->record = list.v[i];
		info->size_rw = info->size_root = WORKLOAD_SIZE_UNKNOWN;
		if (f->size)
			sizes(s, info);
	}
	*ret = got;
	return 0;
}

int workload_look(struct svc *s, const char *ref, bool size, struct arena *a,
		  struct workload_detail *ret, struct err *e)
{
	struct workload_detail d = {};
	const char *json;
	int r = heal_find(s, ref, a, &d.info.record, e);

	if (r >= 0)
		r = store_workload_config(s->store, d.info.record.id, a, &json, e);
	if (r >= 0)
		r = workload_config_read(a, str_of(json), &d.config, e);
	if (r < 0)
		return r;
	d.info.size_rw = d.info.size_root = WORKLOAD_SIZE_UNKNOWN;
	if (size)
		sizes(s, &d.info);
	*ret = d;
	return 0;
}

int workload_prune(struct svc *s, const char *const *filters, size_t filters_n, struct arena *a,
		   struct prune_result *ret, struct err *e)
{
	static const char *const known[] = { "label", "label!", "until", NULL };
	struct prune_result got = {};
	struct workload_records list;
	nsec_t until = INT64_MAX;
	int r = filters_check(filters, filters_n, known, e);

	for (size_t i = 0; r >= 0 && i < filters_n; i++) {
		struct str value, key = str_cut(str_of(filters[i]), '=', &value);
		if (str_is(key, "until"))
			r = filter_until(value, &until, e);
	}
	if (r >= 0)
		r = heal_list(s, 0, a, &list, e);
	for (size_t i = 0; r >= 0 && i < list.n; i++) {
		const struct workload_record *w = &list.v[i];
		const struct json *labels = NULL;
		struct workload_info info = { .record = *w };
		struct err ignored;
		bool wanted = w->created < until && w->status.shim_pid == 0;

		if (w->labels && json_parse(a, str_of(w->labels), &labels, &ignored) < 0)
			labels = NULL;
		for (size_t j = 0; wanted && j < filters_n; j++) {
			struct str value, key = str_cut(str_of(filters[j]), '=', &value);
			if (str_is(key, "label"))
				wanted = filter_label(labels, value);
			else if (str_is(key, "label!"))
				wanted = !filter_label(labels, value);
		}
		if (!wanted)
			continue;
		sizes(s, &info);
		r = workload_rm(s, w->id, false, false, e);
		/* One that started or went meanwhile is none of ours. */
		if (r < 0 && (e->kind == ERR_CONFLICT || e->kind == ERR_NOT_FOUND)) {
			r = 0;
			continue;
		}
		const char **slot = r < 0 ? NULL : arena_push(a, &got.names, &got.n, sizeof(*slot));
		if (slot) {
			*slot = w->id;
			got.bytes += info.size_rw > 0 ? (uint64_t) info.size_rw : 0;
		}
	}
	if (r >= 0 && s->store)
		store_checkpoint(s->store);
	if (r < 0)
		return r;
	*ret = got;
	return 0;
}
