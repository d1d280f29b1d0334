/* SPDX-License-Identifier: Apache-2.0 */
/* Finding the hierarchies and handling single files; directories are in cgroup_dir.c. */
#include "sys/cgroup.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/vfs.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/num.h"

static const struct {
	enum cgroup_controller bit;
	const char *v1, *v2;
} names[] = {
	{ CGROUP_CPU, "cpu", "cpu" },
	{ CGROUP_CPUACCT, "cpuacct", "cpuacct" },
	{ CGROUP_CPUSET, "cpuset", "cpuset" },
	{ CGROUP_MEMORY, "memory", "memory" },
	{ CGROUP_IO, "blkio", "io" },
	{ CGROUP_PIDS, "pids", "pids" },
	{ CGROUP_DEVICES, "devices", "devices" },
	{ CGROUP_FREEZER, "freezer", "freezer" },
	{ CGROUP_HUGETLB, "hugetlb", "hugetlb" },
	{ CGROUP_RDMA, "rdma", "rdma" },
	{ CGROUP_NET_CLS, "net_cls", "net_cls" },
	{ CGROUP_NET_PRIO, "net_prio", "net_prio" },
	{ CGROUP_PERF, "perf_event", "perf_event" },
	{ CGROUP_MISC, "misc", "misc" },
};

unsigned cgroup_controller_of(struct str name)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (str_is(name, names[i].v1) || str_is(name, names[i].v2))
			return names[i].bit;
	}
	return 0;
}

const char *cgroup_controller_name(enum cgroup_controller c, bool unified)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (names[i].bit == c)
			return unified ? names[i].v2 : names[i].v1;
	}
	return "?";
}

static unsigned controllers_in(struct str list, char sep)
{
	unsigned got = 0;

	for (struct str rest = str_trim(list); rest.p && rest.n > 0;)
		got |= cgroup_controller_of(str_cut(rest, sep, &rest));
	return got;
}

int cgroup_path_clean(struct str path, char ret_path[static CGROUP_PATH_MAX])
{
	char out[CGROUP_PATH_MAX];
	size_t n = 0;

	for (struct str rest = path; rest.p;) {
		struct str part = str_cut(rest, '/', &rest);

		if (part.n == 0)
			continue;
		if (str_is(part, "..") || str_is(part, ".") || memchr(part.p, '\n', part.n))
			return -EINVAL;
		if (part.n > NAME_MAX || n + 1 + part.n >= sizeof(out))
			return -ENAMETOOLONG;
		if (n > 0)
			out[n++] = '/';
		memcpy(out + n, part.p, part.n);
		n += part.n;
	}
	if (n == 0)
		return -EINVAL;
	out[n] = 0;
	memcpy(ret_path, out, n + 1);
	return 0;
}

static bool fs_is(int fd, long magic)
{
	struct statfs st;

	return fstatfs(fd, &st) == 0 && (long) st.f_type == magic;
}

/* The caller's own cgroup, where the mount shows it; "" where it is outside of what is mounted. */
static int set_own(struct cgroup_hierarchy *h, struct str own)
{
	char path[CGROUP_PATH_MAX] = "";

	if (own.n > 1 &&
	    (cgroup_path_clean(own, path) < 0 || faccessat(h->root_fd, path, F_OK, 0) < 0))
		path[0] = 0;
	h->own = str_dup(str_of(path));
	return h->own ? 0 : -ENOMEM;
}

static int find_controllers(struct cgroup_hierarchy *h)
{
	char text[512];

	if (!h->unified) {
		h->controllers = controllers_in(str_of(h->name), ',');
		return 0;
	}
	int r = cgroup_read(h->root_fd, "cgroup.controllers", text, sizeof(text));
	if (r < 0)
		return r;
	h->controllers = controllers_in(str_of(text), ' ');
	return 0;
}

/* Where mountinfo says that a hierarchy is, for machines that mount them in unusual places. */
static int open_by_mountinfo(const char *name, bool unified)
{
	auto_file FILE *f = fopen("/proc/self/mountinfo", "re");
	auto_free char *line = NULL;
	size_t cap = 0;

	while (f && getline(&line, &cap, f) > 0) {
		struct str rest = str_trim(str_of(line)), point = { NULL, 0 };

		for (int i = 0; i < 5 && rest.p; i++)
			point = str_cut(rest, ' ', &rest);
		const char *dash = rest.p ? strstr(rest.p, " - ") : NULL;
		if (!dash)
			continue;
		struct str tail = str_of(dash + 3);
		struct str type = str_cut(tail, ' ', &tail);
		bool found = unified && str_is(type, "cgroup2");

		if (!unified && str_is(type, "cgroup")) {
			(void) str_cut(tail, ' ', &tail); /* source */
			for (struct str opts = str_trim(tail); opts.p && !found;) {
				struct str opt = str_cut(opts, ',', &opts);

				found = str_is(opt, name) ||
					(strchr(name, ',') && strncmp(name, opt.p, opt.n) == 0 &&
					 name[opt.n] == ',');
			}
		}
		if (!found)
			continue;
		auto_free char *dir = str_dup(point);

		return dir ? open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	}
	errno = ENOENT;
	return -1;
}

static int open_hierarchy(int base, bool usual, struct cgroup_hierarchy *h)
{
	const char *dir = str_starts(str_of(h->name), "name=") ? h->name + 5 : h->name;

	if (h->unified)
		dir = "unified";
	(void) snprintf(h->dir, sizeof(h->dir), "%s", dir);
	h->root_fd = base < 0 ? -1 : openat(base, dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (h->root_fd >= 0 &&
	    fs_is(h->root_fd, h->unified ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC))
		return 0;
	close_fd(&h->root_fd);
	/* Beside v1 at its place it is there, or nowhere; mountinfo is long to read. */
	if (h->unified && usual)
		return -ENOENT;
	h->root_fd = open_by_mountinfo(h->name, h->unified);
	return h->root_fd < 0 ? -errno : 0;
}

int cgroup_layout_open(struct cgroup_layout *ret_l)
{
	auto_cgroup_layout struct cgroup_layout l = CGROUP_LAYOUT_INIT;
	auto_fd int base = open("/sys/fs/cgroup", O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_buf struct buf text = BUF_INIT(64 << 10);
	bool pure = base >= 0 && fs_is(base, CGROUP2_SUPER_MAGIC);
	int r = file_read(AT_FDCWD, "/proc/self/cgroup", &text);

	if (r < 0)
		return r;
	for (struct str rest = buf_str(&text); rest.p && rest.n > 0;) {
		struct str own = str_cut(rest, '\n', &rest);

		(void) str_cut(own, ':', &own);
		struct str name = str_cut(own, ':', &own);
		if (!own.p || l.n == CGROUP_HIERARCHIES_MAX)
			continue;
		struct cgroup_hierarchy *h = &l.at[l.n];

		if (name.n >= sizeof(h->name) || (pure && name.n > 0))
			continue;
		*h = (struct cgroup_hierarchy){ .root_fd = FD_NONE, .unified = name.n == 0 };
		(void) snprintf(h->name, sizeof(h->name), "%.*s", (int) name.n, name.p);
		if (pure)
			h->root_fd = take_fd(&base);
		else if (open_hierarchy(base, l.n > 0, h) < 0)
			continue; /* a hierarchy that is not mounted limits nothing here */
		l.n++;
		r = find_controllers(h);
		if (r == 0)
			r = set_own(h, own);
		if (r < 0)
			return r;
	}
	*ret_l = l;
	l.n = 0;
	return 0;
}

void cgroup_layout_fini(struct cgroup_layout *l)
{
	for (size_t i = 0; i < l->n; i++) {
		close_fd(&l->at[i].root_fd);
		free(l->at[i].own);
		l->at[i].own = NULL;
	}
	l->n = 0;
}

int cgroup_write(int dir_fd, const char *file, const char *text)
{
	auto_fd int fd = openat(dir_fd, file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	size_t n = strlen(text);

	if (fd < 0)
		return -errno;
	ssize_t r;

	do
		r = write(fd, text, n);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : (size_t) r == n ? 0 : -EIO;
}

int cgroup_write_u64(int dir_fd, const char *file, uint64_t v)
{
	char text[24];

	(void) snprintf(text, sizeof(text), "%llu", (unsigned long long) v);
	return cgroup_write(dir_fd, file, text);
}

int cgroup_read(int dir_fd, const char *file, char *ret_text, size_t size)
{
	auto_fd int fd = openat(dir_fd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	size_t n = 0;

	if (fd < 0)
		return -errno;
	while (n < size - 1) {
		ssize_t r = read(fd, ret_text + n, size - 1 - n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		n += (size_t) r;
	}
	ret_text[n] = 0;
	return (int) n;
}

int cgroup_read_u64(int dir_fd, const char *file, uint64_t *ret_v)
{
	char text[64];
	int r = cgroup_read(dir_fd, file, text, sizeof(text));

	if (r < 0)
		return r;
	struct str s = str_trim(str_of(text));

	if (str_is(s, "max") || str_is(s, "-1")) {
		*ret_v = UINT64_MAX;
		return 0;
	}
	return num_parse_u64(s, 0, UINT64_MAX, ret_v);
}

int cgroup_stat_get(const char *text, const char *key, uint64_t *ret_v)
{
	for (struct str rest = str_of(text); rest.p && rest.n > 0;) {
		struct str value = str_cut(rest, '\n', &rest);
		struct str name = str_cut(value, ' ', &value);

		if (value.p && str_is(name, key))
			return num_parse_u64(str_trim(value), 0, UINT64_MAX, ret_v);
	}
	return -ENOENT;
}
