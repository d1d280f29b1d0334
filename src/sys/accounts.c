/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/accounts.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/num.h"
#include "sys/path.h"

#define ID_MAX 2147483647u /* docker's: above, ids wrap in too many programs (CVE-2024-40635) */

/* The file's text, empty when there is none. */
static int read_accounts(int root_fd, const char *path, struct buf *ret, struct err *e)
{
	struct stat st;

	if (root_fd < 0)
		return 0;
	/* NONBLOCK: it may be a fifo that nobody writes to. */
	auto_fd int fd = path_open_in(root_fd, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0);
	if (fd == -ENOENT || fd == -ENOTDIR)
		return 0;
	if (fd < 0)
		return err_sys(e, -fd, "open %s of the workload", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, EINVAL, "%s of the workload is no regular file",
			       path);
	int r = fd_read_all(fd, ret);
	return r < 0 ? err_sys(e, -r, "read %s of the workload", path) : 0;
}

static struct str field(struct str line, unsigned i)
{
	struct str rest = line, f = {};

	for (;; i--) {
		f = str_cut(rest, ':', &rest);
		if (i == 0)
			return f;
		if (!rest.p)
			return (struct str){};
	}
}

static bool field_number(struct str line, unsigned i, uint32_t *ret)
{
	return num_parse_u32(field(line, i), 0, ID_MAX, ret) == 0;
}

/* The line whose field `i` is `text`; n 0 when there is none. */
static struct str line_where(struct str file, unsigned i, struct str text)
{
	while (file.p) {
		struct str line = str_cut(file, '\n', &file);

		if (line.n && line.p[0] != '#' && field(line, i).n && str_eq(field(line, i), text))
			return line;
	}
	return (struct str){};
}

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

/* A name or a number in the file: its id is field 2 in both files. */
static int find_group(struct str file, struct str text, uint32_t *ret_gid, struct err *e)
{
	struct str line = line_where(file, 0, text);

	if (line.n && field_number(line, 2, ret_gid))
		return 0;
	if (num_parse_u32(text, 0, ID_MAX, ret_gid) == 0)
		return 0;
	return err_set(e, ERR_NOT_FOUND, ENOENT,
		       "no group '%.*s' in /etc/group of the workload, and it is no number of one",
		       (int) text.n, text.p);
}

static int add_group(struct arena *a, struct account *u, uint32_t gid, struct err *e)
{
	for (size_t i = 0; i < u->groups_n; i++) {
		if (u->groups[i] == gid)
			return 0;
	}
	uint32_t *g = arena_push(a, &u->groups, &u->groups_n, sizeof(*g));
	if (!g)
		return no_memory(e);
	*g = gid;
	return 0;
}

/* Groups that list the user as a member (field 3: names by commas). */
static int member_groups(struct arena *a, struct str file, struct str name, struct account *u,
			 struct err *e)
{
	while (file.p && name.n) {
		struct str line = str_cut(file, '\n', &file);
		struct str members = line.n && line.p[0] != '#' ? field(line, 3) : (struct str){};
		uint32_t gid;

		while (members.p) {
			struct str member = str_cut(members, ',', &members);
			if (!str_eq(str_trim(member), name) || !field_number(line, 2, &gid))
				continue;
			int r = add_group(a, u, gid, e);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

int accounts_find_in(struct str passwd, struct str group, const char *user,
		     const char *const *group_add, size_t group_add_n, struct arena *a,
		     struct account *ret, struct err *e)
{
	struct account u = { .home = "/", .name = "" };
	struct str group_part, user_part = str_cut(str_of(user ? user : ""), ':', &group_part);
	struct str name = user_part.n ? user_part : STR("0");
	uint32_t number;
	int r;

	bool is_number = num_parse_u32(name, 0, UINT32_MAX, &number) == 0;
	struct str line = line_where(passwd, 0, name);
	if (line.n == 0 && is_number)
		line = line_where(passwd, 2, name);
	if (line.n && field_number(line, 2, &u.uid)) {
		u.name = arena_dup(a, field(line, 0));
		struct str home = field(line, 5);
		if (home.n)
			u.home = arena_dup(a, home);
		if (!field_number(line, 3, &u.gid))
			u.gid = 0;
	} else if (is_number && number <= ID_MAX) {
		u.uid = number;
	} else if (is_number) {
		return err_set(e, ERR_INVALID, ERANGE, "user '%.*s': ids end at %u", (int) name.n,
			       name.p, ID_MAX);
	} else {
		return err_set(e, ERR_NOT_FOUND, ENOENT,
			       "no user '%.*s' in /etc/passwd of the workload", (int) name.n,
			       name.p);
	}
	if (!u.name || !u.home)
		return no_memory(e);
	if (group_part.p) {
		r = find_group(group, group_part, &u.gid, e);
		if (r < 0)
			return r;
	} else {
		r = member_groups(a, group, str_of(u.name), &u, e);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < group_add_n; i++) {
		uint32_t gid;

		r = find_group(group, str_of(group_add[i]), &gid, e);
		if (r >= 0)
			r = add_group(a, &u, gid, e);
		if (r < 0)
			return r;
	}
	*ret = u;
	return 0;
}

int accounts_find(int root_fd, const char *user, const char *const *group_add, size_t group_add_n,
		  struct arena *a, struct account *ret, struct err *e)
{
	auto_buf struct buf passwd = BUF_INIT(ACCOUNTS_MAX);
	auto_buf struct buf group = BUF_INIT(ACCOUNTS_MAX);
	int r = read_accounts(root_fd, "/etc/passwd", &passwd, e);

	if (r >= 0)
		r = read_accounts(root_fd, "/etc/group", &group, e);
	return r < 0 ? r
		     : accounts_find_in(buf_str(&passwd), buf_str(&group), user, group_add,
					group_add_n, a, ret, e);
}
