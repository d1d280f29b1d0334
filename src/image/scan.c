/* SPDX-License-Identifier: Apache-2.0 */
#include "image/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/file.h"
#include "fmt/distro.h"
#include "fmt/oci_image.h"
#include "fmt/scan_report.h"
#include "sys/path.h"

#define LIST_MAX      ((size_t) 128 << 20) /* dpkg's status, apk's data base */
#define METADATA_MAX  ((size_t) 4 << 20)   /* of one package */
#define PATH_BYTES    4096
#define DEPTH_MAX     128
#define ENTRIES_MAX   8000000u
#define PACKAGES_MAX  1000000u
#define FINDINGS_ROOM ((size_t) 512 << 20)

struct scan {
	struct str bases[OCI_LAYERS_MAX]; /* mapped whole, then their lines */
	void *maps[OCI_LAYERS_MAX];
	size_t sizes[OCI_LAYERS_MAX], bases_n;
	struct scan_report report;
	struct buf ecosystem; /* of the distribution's own packages; "" unknown */
	struct buf path;      /* where the walk is, without the leading "/" */
	struct arena arena;   /* what is found */
	uint64_t entries;
	struct err *e;
};

static int full(struct err *e, const char *of)
{
	return err_set(e, ERR_EXHAUSTED, E2BIG, "the files hold too many %s to be scanned", of);
}

/* ---- matching ---- */

static struct str ecosystem_of(const struct scan *s, enum package_kind kind)
{
	switch (kind) {
	case PACKAGE_DEB:
	case PACKAGE_APK:
		return buf_str(&s->ecosystem);
	case PACKAGE_PYTHON:
		return STR("PyPI");
	case PACKAGE_NODE:
		return STR("npm");
	}
	return STR("");
}

static int add_finding(struct scan *s, const struct package *p, const struct advisory *a,
		       struct str fixed)
{
	struct scan_finding *f = s->report.findings_n < SCAN_FINDINGS_MAX
					 ? arena_push(&s->arena, &s->report.findings,
						      &s->report.findings_n, sizeof(*f))
					 : NULL;

	if (!f)
		return full(s->e, "packages with known faults");
	*f = (struct scan_finding){ .package = arena_dup(&s->arena, p->name),
				    .version = arena_dup(&s->arena, p->version),
				    .type = package_kind_name(p->kind),
				    .id = arena_dup(&s->arena, a->id),
				    .fixed = arena_dup(&s->arena, fixed),
				    .summary = arena_dup(&s->arena, a->summary),
				    .path = arena_dup(&s->arena, buf_str(&s->path)),
				    .severity = a->severity };
	return f->package && f->version && f->id && f->fixed && f->summary && f->path
		       ? 0
		       : full(s->e, "packages with known faults");
}

static int match(struct scan *s, struct str lines, const struct package *p, bool binary)
{
	struct str version = binary ? p->version : p->source_version, fixed = { 0 };
	struct advisory a;
	int r = 0;

	lines = advisory_find(lines, ecosystem_of(s, p->kind), binary ? p->name : p->source);
	while (lines.n && r == 0) {
		struct str line = str_cut(lines, '\n', &lines);

		if (advisory_parse(line, &a) && advisory_of_binary(&a) == binary &&
		    advisory_hits(&a, package_scheme(p->kind), version, &fixed))
			r = add_finding(s, p, &a, fixed);
	}
	return r;
}

static int found(void *user, const struct package *p)
{
	struct scan *s = user;
	int r = 0;

	if (s->report.packages[p->kind]++ >= PACKAGES_MAX)
		return full(s->e, "packages");
	if (!ecosystem_of(s, p->kind).n)
		return 0;
	for (size_t i = 0; i < s->bases_n && r == 0; i++) {
		r = match(s, s->bases[i], p, false);
		if (r == 0 && p->kind == PACKAGE_DEB)
			r = match(s, s->bases[i], p, true);
	}
	return r;
}

/* ---- lists ---- */

/* 1: *text holds it. A file that is none, is too large or cannot be read is counted. */
static int read_list(struct scan *s, int fd, size_t max, struct buf *text)
{
	struct stat st;

	*text = BUF_INIT(max);
	if (fd < 0) {
		s->report.unread += fd != -ENOENT && fd != -ENOTDIR;
		return 0;
	}
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && fd_read_all(fd, text) == 0)
		return 1;
	s->report.unread++;
	return 0;
}

static int open_at(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static void at_path(struct scan *s, const char *path)
{
	buf_clear(&s->path);
	buf_adds(&s->path, path);
}

static int read_system_list(struct scan *s, int root, const char *path,
			    int (*parse)(struct str, package_told, void *))
{
	auto_fd int fd = path_open_in(root, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0);
	auto_buf struct buf text = { 0 };

	at_path(s, path);
	return read_list(s, fd, LIST_MAX, &text) ? parse(buf_str(&text), found, s) : 0;
}

/* Of images without dpkg: a file for each package. */
static int read_status_d(struct scan *s, int root)
{
	auto_fd int fd = path_open_in(root, "var/lib/dpkg/status.d",
				      O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	auto_dir DIR *d = fd < 0 ? NULL : dir_open(fd, ".");
	struct dirent *entry;
	int r = 0;

	while (d && r == 0 && (entry = dir_next(d))) {
		auto_fd int file = open_at(fd, entry->d_name);
		auto_buf struct buf text = { 0 };

		if (++s->entries > ENTRIES_MAX)
			return full(s->e, "files");
		at_path(s, "var/lib/dpkg/status.d");
		if (!str_ends(str_of(entry->d_name), ".md5sums") &&
		    read_list(s, file, METADATA_MAX, &text))
			r = packages_dpkg(buf_str(&text), found, s);
	}
	return r;
}

static int read_release(struct scan *s, int root)
{
	static const char *const places[] = { "etc/os-release", "usr/lib/os-release" };

	s->report.os = (struct os_release){ .id = "", .version = "", .codename = "", .name = "" };
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		auto_fd int fd = path_open_in(root, places[i], O_RDONLY | O_NONBLOCK | O_CLOEXEC,
					      0);
		auto_buf struct buf text = { 0 };

		if (!read_list(s, fd, 64u << 10, &text))
			continue;
		if (os_release_parse(&s->arena, buf_str(&text), &s->report.os) < 0)
			return full(s->e, "words");
		break;
	}
	distro_ecosystem(&s->report.os, &s->ecosystem);
	return 0;
}

static void look_for_rpm(struct scan *s, int root)
{
	static const char *const places[] = {
		"var/lib/rpm/rpmdb.sqlite",
		"var/lib/rpm/Packages.db",
		"var/lib/rpm/Packages",
		"usr/lib/sysimage/rpm/rpmdb.sqlite",
		"usr/lib/sysimage/rpm/Packages.db",
	};

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		auto_fd int fd = path_open_in(root, places[i], O_PATH | O_CLOEXEC, 0);

		s->report.rpm = s->report.rpm || fd >= 0;
	}
}

/* ---- Python and Node, wherever they are ---- */

static int read_package(struct scan *s, int dir_fd, const char *name,
			int (*parse)(struct arena *, struct str, struct package *))
{
	auto_arena struct arena a = ARENA_INIT((size_t) 64 << 20);
	auto_fd int fd = open_at(dir_fd, name);
	auto_buf struct buf text = { 0 };
	struct package p;

	if (!read_list(s, fd, METADATA_MAX, &text))
		return 0;
	if (parse(&a, buf_str(&text), &p) < 0) {
		s->report.unread++;
		return 0;
	}
	return found(s, &p);
}

/* What belongs to a package of the distribution is that one's. */
static bool is_systems(const struct scan *s)
{
	return s->report.packages[PACKAGE_DEB] &&
	       (str_is(buf_str(&s->path), "usr/lib/python3/dist-packages") ||
		str_is(buf_str(&s->path), "usr/share/nodejs"));
}

static bool is_kernels(const struct scan *s)
{
	struct str p = buf_str(&s->path);

	return str_is(p, "proc") || str_is(p, "sys") || str_is(p, "dev");
}

static int walk(struct scan *s, int dir_fd, unsigned depth, bool modules);

/* modules: the directory's own are packages of Node. */
static int walk_into(struct scan *s, int dir_fd, const char *name, unsigned depth, bool modules)
{
	struct str n = str_of(name);
	auto_fd int fd = open_at(dir_fd, name);
	int r = 0;

	if (fd < 0) {
		s->report.unread += fd != -ENOENT && fd != -ENOTDIR && fd != -ELOOP;
		return 0;
	}
	if (str_ends(n, ".dist-info"))
		return read_package(s, fd, "METADATA", packages_python);
	if (str_ends(n, ".egg-info"))
		return read_package(s, fd, "PKG-INFO", packages_python);
	if (modules && *name != '@' && *name != '.')
		r = read_package(s, fd, "package.json", packages_node);
	return r < 0 ? r
		     : walk(s, fd, depth + 1,
			    streq(name, "node_modules") || (modules && *name == '@'));
}

static int walk(struct scan *s, int dir_fd, unsigned depth, bool modules)
{
	auto_dir DIR *d = dir_open(dir_fd, ".");
	size_t n = s->path.n;
	struct dirent *entry;
	int r = 0;

	if (!d) {
		s->report.unread++;
		return 0;
	}
	while (r == 0 && (entry = dir_next(d))) {
		const char *name = entry->d_name;
		bool egg = str_ends(str_of(name), ".egg-info");

		if (++s->entries > ENTRIES_MAX)
			return full(s->e, "files");
		if (entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN &&
		    (!egg || entry->d_type != DT_REG))
			continue;
		if (depth == DEPTH_MAX || s->path.n + 1 + strlen(name) > PATH_BYTES) {
			s->report.unread++;
			continue;
		}
		buf_addf(&s->path, "%s%s", n ? "/" : "", name);
		if (egg && entry->d_type == DT_REG)
			r = read_package(s, dir_fd, name, packages_python);
		else if (!is_kernels(s) && !is_systems(s))
			r = walk_into(s, dir_fd, name, depth, modules);
		s->path.n = n;
		s->path.p[n] = '\0';
	}
	return r;
}

/* ---- the whole ---- */

static int map_bases(struct scan *s, const struct scan_request *q)
{
	for (size_t i = 0; i < q->bases_n; i++) {
		struct stat st;
		void *p;

		if (fstat(q->base_fds[i], &st) < 0 || st.st_size <= 0)
			return err_set(s->e, ERR_INVALID, EINVAL, "a data base is empty");
		p = mmap(NULL, (size_t) st.st_size, PROT_READ, MAP_PRIVATE, q->base_fds[i], 0);
		if (p == MAP_FAILED)
			return err_sys(s->e, errno, "read a data base");
		s->maps[i] = p;
		s->sizes[i] = (size_t) st.st_size;
		s->bases_n = i + 1;
		if (advisory_base((struct str){ p, (size_t) st.st_size }, &s->bases[i]) < 0)
			return err_set(
				s->e, ERR_INVALID, EINVAL,
				"a data base of advisories is not as it was written: import it "
				"again");
	}
	return 0;
}

/* Whether anything at all is known of the ecosystems that packages were found of. */
static void look_for_unchecked(struct scan *s)
{
	for (size_t k = 0; k < PACKAGE_KINDS; k++) {
		struct str ecosystem = ecosystem_of(s, (enum package_kind) k);
		bool known = false;

		for (size_t i = 0; i < s->bases_n && ecosystem.n && !known; i++)
			known = advisory_find(s->bases[i], ecosystem, STR("")).n > 0;
		s->report.unchecked[k] = s->report.packages[k] && !known;
	}
}

static int by_identity(const void *va, const void *vb)
{
	const struct scan_finding *a = va, *b = vb;
	int r = strcmp(a->type, b->type);

	r = r ? r : strcmp(a->package, b->package);
	r = r ? r : strcmp(a->version, b->version);
	r = r ? r : strcmp(a->path, b->path);
	r = r ? r : strcmp(a->id, b->id);
	r = r ? r : (*a->fixed == '\0') - (*b->fixed == '\0');
	return r ? r : (b->severity > a->severity) - (b->severity < a->severity);
}

static bool same(const struct scan_finding *a, const struct scan_finding *b)
{
	return streq(a->type, b->type) && streq(a->package, b->package) &&
	       streq(a->version, b->version) && streq(a->path, b->path) && streq(a->id, b->id);
}

/* Several data bases tell of one thing: one of them, with a fix and the worst that is said. */
static int write_report(struct scan *s, int out_fd)
{
	auto_buf struct buf out = BUF_INIT(FINDINGS_ROOM);
	struct scan_finding *v = s->report.findings;
	size_t n = 0;

	if (s->report.findings_n)
		qsort(v, s->report.findings_n, sizeof(*v), by_identity);
	for (size_t i = 0; i < s->report.findings_n; i++) {
		if (n && same(&v[n - 1], &v[i])) {
			if (v[i].severity > v[n - 1].severity)
				v[n - 1].severity = v[i].severity;
			continue;
		}
		v[n++] = v[i];
	}
	scan_report_write_head(&out, &s->report);
	for (size_t i = 0; i < n; i++)
		scan_report_write_finding(&out, &v[i]);
	if (!buf_ok(&out))
		return full(s->e, "packages with known faults");
	int r = fd_write_all(out_fd, out.p, out.n);
	return r < 0 ? err_sys(s->e, -r, "write what was found") : 0;
}

static int scan(struct scan *s, const struct scan_request *q)
{
	int r = map_bases(s, q);

	r = r < 0 ? r : read_release(s, q->dir_fd);
	r = r < 0 ? r : read_system_list(s, q->dir_fd, "var/lib/dpkg/status", packages_dpkg);
	r = r < 0 ? r : read_status_d(s, q->dir_fd);
	r = r < 0 ? r : read_system_list(s, q->dir_fd, "lib/apk/db/installed", packages_apk);
	if (r < 0)
		return r;
	look_for_rpm(s, q->dir_fd);
	at_path(s, "");
	r = walk(s, q->dir_fd, 0, false);
	if (r < 0)
		return r;
	look_for_unchecked(s);
	return write_report(s, q->out_fd);
}

int scan_run(const struct scan_request *q, uint64_t *ret_n, struct err *e)
{
	auto_free struct scan *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
	s->ecosystem = BUF_INIT(PACKAGE_WORD_MAX);
	s->path = BUF_INIT(2 * PATH_BYTES);
	s->arena = ARENA_INIT(FINDINGS_ROOM);
	s->e = e;
	r = scan(s, q);
	*ret_n = s->report.packages[PACKAGE_DEB] + s->report.packages[PACKAGE_APK] +
		 s->report.packages[PACKAGE_PYTHON] + s->report.packages[PACKAGE_NODE];
	for (size_t i = 0; i < s->bases_n; i++)
		(void) munmap(s->maps[i], s->sizes[i]);
	buf_fini(&s->ecosystem);
	buf_fini(&s->path);
	arena_fini(&s->arena);
	return r;
}
