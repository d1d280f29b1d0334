/* SPDX-License-Identifier: Apache-2.0 */
#include "sentry/users.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "kernel/mm/uio.h"
#include "kernel/vfs/names.h"
#include "sentry/place.h"
#include "sys/accounts.h"

#define PART ((size_t) 64 << 10)

static int read_all(struct file *f, struct buf *ret)
{
	uint64_t at = 0;

	for (;;) {
		char *part = buf_room(ret, PART);
		struct uio u;
		int64_t n;

		if (!part)
			return buf_error(ret);
		uio_kernel(&u, part, PART);
		n = vfs_read(f, &u, &at);
		if (n <= 0)
			return (int) n;
		buf_grew(ret, (size_t) n);
	}
}

/* The file's text, empty when there is none. The guest's image wrote it. */
static int read_file(const struct path *root, const char *name, struct buf *ret, struct err *e)
{
	struct walk w = { .root = root, .start = root, .who = &place_root };
	struct file *f = NULL;
	struct path p;
	int r = walk(&w, name, WALK_FOLLOW, &p);

	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r < 0)
		return err_sys(e, -r, "open '%s' of the guest", name);
	r = -EINVAL;
	if (inode_is(p.dentry->inode, S_IFREG))
		r = file_open(&p, O_RDONLY, &place_root, &f);
	if (r == 0)
		r = read_all(f, ret);
	file_unref(f);
	path_unref(&p);
	return r < 0 ? err_sys(e, -r, "read '%s' of the guest", name) : 0;
}

static bool has_home(const struct spec_process *p)
{
	for (size_t n = 0; n < p->env_n; n++) {
		if (strncmp(p->env[n], "HOME=", 5) == 0)
			return true;
	}
	return false;
}

static int add_home(struct arena *a, const char *home, struct spec_process *p, struct err *e)
{
	const char **env = arena_array(a, p->env_n + 2, sizeof(*env));
	const char *own = arena_printf(a, "HOME=%s", home);

	if (!env || !own)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	for (size_t n = 0; n < p->env_n; n++)
		env[n] = p->env[n];
	env[p->env_n] = own;
	env[p->env_n + 1] = NULL;
	p->env = env;
	p->env_n++;
	return 0;
}

int users_find(const struct spec_process *p, const struct path *root, struct arena *a,
	       struct spec_process *ret, struct err *e)
{
	auto_buf struct buf passwd = BUF_INIT(ACCOUNTS_MAX), group = BUF_INIT(ACCOUNTS_MAX);
	const struct spec_user *u = &p->user;
	struct account found;
	int r;

	*ret = *p;
	if (!u->username)
		return 0;
	r = read_file(root, "/etc/passwd", &passwd, e);
	if (r == 0)
		r = read_file(root, "/etc/group", &group, e);
	if (r == 0)
		r = accounts_find_in(buf_str(&passwd), buf_str(&group), u->username,
				     (const char *const *) u->group_names, u->group_names_n, a,
				     &found, e);
	if (r < 0)
		return r;
	ret->user.uid = found.uid;
	ret->user.gid = found.gid;
	ret->user.additional_gids = (struct spec_ids){ found.groups, found.groups_n };
	return has_home(p) ? 0 : add_home(a, found.home, ret, e);
}
