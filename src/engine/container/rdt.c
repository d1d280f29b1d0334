/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/container/rdt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "engine/container/saved.h"
#include "fmt/json.h"
#include "fmt/mountinfo.h"
#include "fmt/resctrl.h"
#include "fmt/spec.h"

#define FILE_NAME "rdt.json"
#define TEXT_MAX  (64u << 10)
#define PATH_MAX_ 1024

static bool given(const char *z)
{
	return z && z[0];
}

static bool has_schemata(const struct spec_intel_rdt *s)
{
	return given(s->l3_cache_schema) || given(s->mem_bw_schema) || s->schemata_n;
}

int rdt_check(const struct spec_intel_rdt *s, struct err *e)
{
	const char *id = s->clos_id;

	if (given(id) && !streq(id, "/") &&
	    (strchr(id, '/') || strchr(id, '\n') || streq(id, ".") || streq(id, "..") ||
	     strlen(id) > NAME_MAX))
		return err_set(e, ERR_INVALID, EINVAL,
			       "linux.intelRdt.closID: '%.60s' is no name of a class of service",
			       id);
	if (given(s->mem_bw_schema) && !str_starts(str_trim(str_of(s->mem_bw_schema)), "MB:"))
		return err_set(e, ERR_INVALID, EINVAL,
			       "linux.intelRdt.memBwSchema: '%.60s' does not begin with 'MB:'",
			       s->mem_bw_schema);
	return 0;
}

static int find_root(char ret_root[static PATH_MAX_], struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(2 * MOUNTINFO_MAX);
	auto_buf struct buf text = BUF_INIT(MOUNTINFO_MAX);
	const struct mountinfo *v = NULL;
	size_t n = 0;
	int r = file_read(AT_FDCWD, "/proc/self/mountinfo", &text);

	r = r < 0 ? r : mountinfo_parse(&a, buf_str(&text), &v, &n);
	if (r < 0)
		return err_sys(e, -r, "/proc/self/mountinfo");
	for (size_t i = 0; i < n; i++) {
		if (streq(v[i].fstype, "resctrl") && strlen(v[i].at) < PATH_MAX_) {
			(void) snprintf(ret_root, PATH_MAX_, "%s", v[i].at);
			return 0;
		}
	}
	return err_set(e, ERR_UNSUPPORTED, ENOENT,
		       "linux.intelRdt: no resctrl file system is mounted (mount -t resctrl "
		       "resctrl /sys/fs/resctrl, on a processor that has it)");
}

/* The kernel says in a file of its own what was wrong with a text. */
static int refused(const char *dir, const char *what, int error, struct err *e)
{
	auto_buf struct buf why = BUF_INIT(4096);
	char root[PATH_MAX_] = "", path[PATH_MAX_ + 32];
	struct err ignored;
	struct str text = {};

	if (find_root(root, &ignored) == 0) {
		(void) snprintf(path, sizeof(path), "%s/info/last_cmd_status", root);
		if (file_read(AT_FDCWD, path, &why) >= 0)
			text = str_trim(buf_str(&why));
	}
	return err_sys(e, error, "linux.intelRdt: %s of '%s'%s%.*s%s", what, dir,
		       text.n ? " (" : "", (int) (text.n > 200 ? 200 : text.n),
		       text.n ? text.p : "", text.n ? ")" : "");
}

static int put(const char *dir, const char *file, struct str text, struct err *e)
{
	char path[PATH_MAX_ + 64];
	int r;

	(void) snprintf(path, sizeof(path), "%s/%s", dir, file);
	r = file_put(AT_FDCWD, path, text);
	return r < 0 ? refused(dir, file, -r, e) : 0;
}

static int write_schemata(const char *dir, const struct spec_intel_rdt *s, bool must_be,
			  struct err *e)
{
	auto_buf struct buf text = BUF_INIT(TEXT_MAX), have = BUF_INIT(TEXT_MAX);
	char path[PATH_MAX_ + 64];
	int r;

	resctrl_schemata(s->l3_cache_schema, s->mem_bw_schema, s->schemata, s->schemata_n, &text);
	if (!buf_ok(&text))
		return err_set(e, ERR_INVALID, E2BIG, "linux.intelRdt: schemata too long");
	if (!text.n)
		return 0;
	if (!must_be)
		return put(dir, "schemata", buf_str(&text), e);
	/* Specification: a class that was there is compared, and a difference is an error. */
	(void) snprintf(path, sizeof(path), "%s/schemata", dir);
	r = file_read(AT_FDCWD, path, &have);
	if (r < 0)
		return refused(dir, "schemata", -r, e);
	if (!resctrl_same(buf_str(&text), buf_str(&have)))
		return err_set(e, ERR_CONFLICT, EEXIST,
			       "linux.intelRdt: the class '%s' exists and its schemata differ",
			       dir);
	return 0;
}

static int make_class(const struct spec_intel_rdt *s, const char *id, const char *root,
		      struct rdt *ret, struct err *e)
{
	bool top = given(s->clos_id) && streq(s->clos_id, "/");
	char path[PATH_MAX_ + NAME_MAX + 2];

	(void) snprintf(path, sizeof(path), "%s%s%s", root, top ? "" : "/",
			top		    ? ""
			: given(s->clos_id) ? s->clos_id
					    : id);
	ret->class = strdup(path);
	if (!ret->class)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	if (top)
		return 0;
	if (given(s->clos_id) && !has_schemata(s)) {
		if (access(path, F_OK) < 0)
			return err_sys(e, errno,
				       "linux.intelRdt.closID: no class of service '%s', and no "
				       "schemata to make it with",
				       s->clos_id);
		return 0;
	}
	ret->class_made = mkdir(path, 0755) == 0;
	if (!ret->class_made && (errno != EEXIST || !given(s->clos_id)))
		return refused(path, "directory", errno, e);
	return 0;
}

int rdt_make(const struct spec_intel_rdt *s, const char *id, struct rdt *ret, struct err *e)
{
	char root[PATH_MAX_], path[PATH_MAX_ * 2];
	int r = find_root(root, e);

	r = r < 0 ? r : make_class(s, id, root, ret, e);
	r = r < 0 ? r : write_schemata(ret->class, s, !ret->class_made, e);
	if (r < 0 || !s->enable_monitoring)
		return r;
	(void) snprintf(path, sizeof(path), "%s/mon_groups/%s", ret->class, id);
	if (mkdir(path, 0755) < 0)
		return refused(path, "monitoring group", errno, e);
	ret->monitor = strdup(path);
	return ret->monitor ? 0 : err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

int rdt_enter(const struct rdt *r, pid_t pid, struct err *e)
{
	char text[16];
	struct str pid_text = { text, (size_t) snprintf(text, sizeof(text), "%d", (int) pid) };
	int res = r->class ? put(r->class, "tasks", pid_text, e) : 0;

	/* The class first: with it a task leaves the monitoring groups of another. */
	return res == 0 && r->monitor ? put(r->monitor, "tasks", pid_text, e) : res;
}

int rdt_update(const struct rdt *r, const struct spec_intel_rdt *s, struct err *e)
{
	int res = rdt_check(s, e);

	if (res < 0)
		return res;
	if (!r->class)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "the container has no class of service: linux.intelRdt was not set "
			       "when it was created");
	return write_schemata(r->class, s, false, e);
}

void rdt_remove(const struct rdt *r)
{
	/* The kernel moves what tasks are left to the class above. */
	if (r->monitor)
		(void) rmdir(r->monitor);
	if (r->class && r->class_made)
		(void) rmdir(r->class);
}

void rdt_fini(struct rdt *r)
{
	free(TAKE(r->class));
	free(TAKE(r->monitor));
	r->class_made = false;
}

struct record {
	const char *class, *monitor;
	bool made;
};

static const struct json_field record_fields[] = {
	JSON_STRING_FIELD(struct record, class, "class", JSON_REQUIRED),
	JSON_STRING_FIELD(struct record, monitor, "monitor", 0),
	JSON_BOOL_FIELD(struct record, made, "made", 0),
};
static const struct json_table record_table = JSON_TABLE(struct record, record_fields,
							 JSON_UNKNOWN_IGNORE);

int rdt_save(const struct rdt *r, int state_fd, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(TEXT_MAX);
	struct json_writer w = JSON_WRITER(&text);

	if (!r->class)
		return 0;
	json_w_object(&w, NULL);
	json_w_string(&w, "class", r->class);
	if (r->monitor)
		json_w_string(&w, "monitor", r->monitor);
	json_w_bool(&w, "made", r->class_made);
	json_w_end(&w);
	return saved_write(state_fd, FILE_NAME, &text, e);
}

int rdt_load(struct rdt *ret, int state_fd, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(TEXT_MAX * 4);
	struct record rec = {};
	bool found;
	int r = saved_read(&a, state_fd, FILE_NAME, TEXT_MAX, &record_table, &rec, &found, e);

	if (r < 0 || !found)
		return r;
	ret->class = strdup(rec.class);
	ret->monitor = rec.monitor ? strdup(rec.monitor) : NULL;
	ret->class_made = rec.made;
	if (!ret->class || (rec.monitor && !ret->monitor))
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	return 0;
}
