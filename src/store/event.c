/* SPDX-License-Identifier: Apache-2.0 */
#include "store/event.h"

#include <errno.h>

#include "fmt/json.h"

#define PRUNE_EVERY 256 /* events; a sweep for each would cost more than it saves */

void event_attributes(struct buf *out, const char *name, const char *image, const char *labels_json)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	struct json_writer w = JSON_WRITER(out);
	const struct json *labels = NULL;
	struct err ignored;

	/* Our own text; were it damaged, the event is still worth telling without labels. */
	if (labels_json && json_parse(&a, str_of(labels_json), &labels, &ignored) < 0)
		labels = NULL;
	json_w_object(&w, NULL);
	json_w_string(&w, "image", image);
	json_w_string(&w, "name", name);
	for (size_t i = 0; labels && labels->type == JSON_OBJECT && i < labels->members_n; i++) {
		const char *key = labels->members[i].key.p;

		if (!streq(key, "image") && !streq(key, "name"))
			json_w_value(&w, key, &labels->members[i].value);
	}
	json_w_end(&w);
}

int store_event_add(struct store *s, const struct event *ev, struct err *e)
{
	nsec_t at = ev->at ? ev->at : clock_wall();
	int r = store_run(s,
			  "INSERT INTO events(at,type,action,id,attributes) VALUES(?1,?2,?3,?4,?5)",
			  STORE_ARGS(STORE_INT(at), STORE_TEXT(ev->type), STORE_TEXT(ev->action),
				     STORE_TEXT(ev->id), STORE_TEXT(ev->attributes)),
			  NULL, e);
	if (r < 0)
		return r;
	int64_t last = store_last_row(s);
	if (last % PRUNE_EVERY != 0)
		return 0;
	return store_run(s, "DELETE FROM events WHERE seq<=?1",
			 STORE_ARGS(STORE_INT(last - EVENTS_KEPT)), NULL, e);
}

int store_event_last(struct store *s, int64_t *ret_seq, struct err *e)
{
	auto_stmt struct sqlite3_stmt *st = NULL;
	int r = store_prepare(s, "SELECT coalesce(max(seq),0) FROM events", NULL, &st, e);

	if (r >= 0)
		r = store_step(s, st, e);
	if (r < 0)
		return r;
	*ret_seq = store_int(st, 0);
	return 0;
}

int store_event_list(struct store *s, int64_t after_seq, size_t max, struct arena *a,
		     struct events *ret, struct err *e)
{
	auto_stmt struct sqlite3_stmt *st = NULL;
	struct events got = {};
	int r = store_prepare(s,
			      "SELECT seq,at,type,action,id,attributes FROM events WHERE seq>?1"
			      " ORDER BY seq LIMIT ?2",
			      STORE_ARGS(STORE_INT(after_seq), STORE_INT(max)), &st, e);

	while (r >= 0 && (r = store_step(s, st, e)) > 0) {
		struct event *ev = arena_push(a, &got.v, &got.n, sizeof(*ev));

		if (ev)
			*ev = (struct event){
				.seq = store_int(st, 0),
				.at = store_int(st, 1),
				.type = store_text(a, st, 2),
				.action = store_text(a, st, 3),
				.id = store_text(a, st, 4),
				.attributes = store_text(a, st, 5),
			};
		if (!ev || !ev->type || !ev->action || !ev->id)
			return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory reading events");
	}
	if (r < 0)
		return r;
	*ret = got;
	return 0;
}
