/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sandbox/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/auto.h"
#include "engine/container/saved.h"
#include "engine/sandbox/gofer.h"
#include "engine/sandbox/sandbox.h"
#include "engine/sandbox/shares.h"
#include "sys/mount.h"
#include "sys/path.h"
#include "sys/process.h"

#define FILES_FILE "files.json"
#define FILES_MAX  (2u << 20)

struct record {
	int64_t pid;
	uint64_t ident;
	bool root; /* the first one is the root */
	const char **places;
	size_t places_n;
};

static const struct json_field fields[] = {
	JSON_I64_FIELD(struct record, pid, "pid", 1, INT32_MAX, JSON_REQUIRED),
	JSON_U64_FIELD(struct record, ident, "ident", 0, UINT64_MAX, JSON_REQUIRED),
	JSON_BOOL_FIELD(struct record, root, "root", JSON_REQUIRED),
	JSON_STRINGS_FIELD(struct record, places, places_n, "places", JSON_REQUIRED),
};
static const struct json_table table = JSON_TABLE(struct record, fields, JSON_UNKNOWN_IGNORE);

int files_save(const struct sandbox *s, const struct shares *shares, pid_t gofer, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(FILES_MAX);
	struct json_writer w = JSON_WRITER(&text);
	uint64_t ident;
	int r = process_ident(gofer, &ident);

	if (r < 0)
		return err_sys(e, -r, "ask for the identity of the gofer");
	json_w_object(&w, NULL);
	json_w_i64(&w, "pid", gofer);
	json_w_u64(&w, "ident", ident);
	json_w_bool(&w, "root", shares->root);
	json_w_array(&w, "places");
	for (size_t i = 0; i < shares->n; i++) {
		bool is_root = i == 0 && shares->root;

		json_w_string(&w, NULL,
			      is_root ? "/" : s->spec->mounts[shares->v[i].mount].destination);
	}
	json_w_end(&w);
	json_w_end(&w);
	return saved_write(s->state_fd, FILES_FILE, &text, e);
}

/* -EINVAL: this kernel does not copy what is attached nowhere. */
static int clone_of(const struct record *rec, size_t nr)
{
	char path[64];

	(void) snprintf(path, sizeof(path), "/proc/%d/fd/%zu", (int) rec->pid,
			(size_t) GOFER_SHARES_FD + nr);
	return mount_clone(AT_FDCWD, path, true);
}

static int attach(const struct record *rec, size_t nr, int root_fd)
{
	auto_fd int at = path_open_in(root_fd, rec->places[nr], O_PATH, 0);
	auto_fd int fd = at < 0 ? at : clone_of(rec, nr);

	return fd < 0 ? fd : mount_attach(fd, at, "");
}

static int put_together(const struct record *rec, int *ret_fd, struct err *e)
{
	auto_fd int root = clone_of(rec, 0);

	if (root == -EINVAL)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "the files of a sandbox that runs are to be seen from Linux 6.15 "
			       "on: stop it first");
	if (root < 0)
		return err_sys(e, -root, "copy the mount of the sandbox's root");
	for (size_t i = 1; i < rec->places_n; i++) {
		int r = attach(rec, i, root);

		if (r < 0)
			return err_sys(e, -r, "copy the mount at '%.200s'", rec->places[i]);
	}
	*ret_fd = take_fd(&root);
	return 0;
}

int sandbox_files(struct instance *in, [[maybe_unused]] bool hold, [[maybe_unused]] nsec_t deadline,
		  struct engine_files *ret, struct err *e)
{
	struct sandbox *s = sandbox_of_instance(in);
	struct record rec = {};
	bool found = false;
	int fd = FD_NONE;
	int r = saved_read(&s->arena, s->state_fd, FILES_FILE, FILES_MAX, &table, &rec, &found, e);

	if (r < 0)
		return r;
	if (!found || !rec.root || !rec.places_n)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "the root of this sandbox is an image, which its own kernel reads: "
			       "stop it first");
	r = put_together(&rec, &fd, e);
	if (r < 0)
		return r;
	/* Looked at after all was opened: the pid may have become another's before. */
	if (!process_alive((pid_t) rec.pid, rec.ident)) {
		close_fd(&fd);
		return err_set(e, ERR_CONFLICT, ESRCH, "the sandbox has ended");
	}
	*ret = ENGINE_FILES_INIT;
	ret->root_fd = fd;
	return 0;
}
