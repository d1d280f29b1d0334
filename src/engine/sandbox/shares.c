/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sandbox/shares.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/str.h"
#include "engine/container/own_kernel.h"
#include "engine/engine.h"
#include "engine/sandbox/inside.h"
#include "engine/source.h"
#include "fmt/spec.h"
#include "sys/mount.h"

static bool has_option(const struct spec_mount *m, const char *word)
{
	for (size_t i = 0; i < m->options_n; i++) {
		if (streq(m->options[i], word))
			return true;
	}
	return false;
}

/* With all below it or without, as a bind has it. Takes `at`. */
static void keep(struct share *s, int at, bool recursive)
{
	auto_fd int given = at;
	int clone = mount_clone(given, "", recursive);

	/* Of a detached mount before Linux 6.15, and without the right to it, there is none. */
	s->fd = clone < 0 ? take_fd(&given) : clone;
}

static int open_root(struct share *s, const struct bundle *b, struct err *e)
{
	const char *path = b->spec->root->path;
	int from = b->bundle_fd >= 0 ? b->bundle_fd : AT_FDCWD;
	auto_fd int at = b->root_fd >= 0 ? fcntl(b->root_fd, F_DUPFD_CLOEXEC, 3)
					 : openat(from, path, O_PATH | O_CLOEXEC);
	struct stat st;

	if (at < 0 || fstat(at, &st) < 0)
		return err_sys(e, errno, "root file system '%.200s'", path);
	if (!S_ISDIR(st.st_mode))
		return err_set(e, ERR_INVALID, ENOTDIR, "root file system '%.200s': no directory",
			       path);
	s->name = SHARES_ROOT;
	keep(s, take_fd(&at), true);
	return 0;
}

static int open_bind(struct share *s, struct arena *a, const struct bundle *b, size_t mount,
		     struct err *e)
{
	const struct spec_mount *m = &b->spec->mounts[mount];
	int from = b->bundle_fd >= 0 ? b->bundle_fd : AT_FDCWD;
	int nofollow = has_option(m, "src-nofollow") ? O_NOFOLLOW : 0;
	auto_fd int at = openat(from, m->source, O_PATH | O_CLOEXEC | nofollow);

	if (at < 0)
		return err_sys(e, errno, "mount source '%.200s' (for '%.100s')", m->source,
			       m->destination);
	if (source_check(at, m->source, "a sandbox", e) < 0)
		return -1;
	s->name = arena_printf(a, "mount%zu", mount);
	s->mount = (uint32_t) mount;
	s->read_only = has_option(m, "ro") || has_option(m, "rro");
	keep(s, take_fd(&at), has_option(m, "rbind"));
	return s->name ? 0 : err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

static struct share *add(struct shares *s)
{
	s->v[s->n].fd = FD_NONE;
	return &s->v[s->n++];
}

int shares_open(struct shares *s, struct arena *a, const struct bundle *b, enum pod_role pod,
		bool root, struct err *e)
{
	int r = 0;

	*s = (struct shares){ .v = arena_array(a, b->spec->mounts_n + 1, sizeof(*s->v)),
			      .root = root };
	if (!s->v)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	if (root)
		r = open_root(add(s), b, e);
	for (size_t i = 0; r == 0 && i < b->spec->mounts_n; i++) {
		const struct spec_mount *m = &b->spec->mounts[i];

		if (!own_kernel_is_bind(m) || inside_is_pod_shm(m, pod))
			continue;
		if (s->n == SHARES_MAX)
			return err_set(e, ERR_UNSUPPORTED, E2BIG,
				       "a sandbox cannot have more than %d directories and files "
				       "of the host",
				       SHARES_MAX);
		r = open_bind(add(s), a, b, i, e);
	}
	return r;
}

void shares_close(struct shares *s)
{
	for (size_t i = 0; i < s->n; i++)
		close_fd(&s->v[i].fd);
}
