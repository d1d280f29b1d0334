/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/home.h"

#define BOOT	"/boot"
#define MODULES "/lib/modules"
#define PREFIX	"vmlinuz-"
#define CHOICE	"choice"

int kernels_open(const char *dir, int *ret_fd, struct err *e)
{
	char path[PREPARED_PATH_MAX];
	int r;

	if (dir)
		(void) snprintf(path, sizeof(path), "%s", dir);
	else
		(void) snprintf(path, sizeof(path), "%s/kernels", home_root().z);
	r = dir_make_all(path, 0700);
	int fd = r < 0 ? r : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, r < 0 ? -r : errno, "open the directory of kernels '%s'", path);
	*ret_fd = fd;
	return 0;
}

/* ---- those of the host ---- */

static bool is_cloud(const struct kernel *k)
{
	return strstr(k->version, "cloud");
}

static int by_preference(const void *a, const void *b)
{
	const struct kernel *x = a, *y = b;

	return is_cloud(x) != is_cloud(y) ? (is_cloud(x) ? -1 : 1)
					  : -strverscmp(x->version, y->version);
}

/* One more, if it is a kernel with modules and not listed yet. */
static int list_add(struct arena *a, struct kernels *list, struct str version, const char *path,
		    struct err *e)
{
	struct kernel k = {};
	struct stat st;
	char dir[sizeof(MODULES) + KERNEL_VERSION_MAX];

	if (!kernel_version_ok(version))
		return 0;
	(void) snprintf(k.version, sizeof(k.version), "%.*s", (int) version.n, version.p);
	(void) snprintf(dir, sizeof(dir), MODULES "/%s", k.version);
	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) || stat(dir, &st) < 0 ||
	    !S_ISDIR(st.st_mode))
		return 0;
	for (size_t i = 0; i < list->n; i++)
		if (streq(list->v[i].version, k.version))
			return 0;
	(void) snprintf(k.path, sizeof(k.path), "%s", path);
	(void) snprintf(k.modules, sizeof(k.modules), MODULES);
	struct kernel *slot = arena_push(a, &list->v, &list->n, sizeof(k));
	if (!slot)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "too many kernels on this host");
	*slot = k;
	return 0;
}

static int list_directory(struct arena *a, const char *top, struct kernels *list, struct err *e)
{
	auto_dir DIR *d = dir_open(AT_FDCWD, top);
	struct dirent *entry;
	int r = 0;

	while (d && r == 0 && (entry = dir_next(d))) {
		struct str version = str_of(entry->d_name);
		char path[sizeof(MODULES "//vmlinuz") + NAME_MAX];

		if (streq(top, BOOT)) {
			if (!str_starts(version, PREFIX))
				continue;
			version.p += strlen(PREFIX);
			version.n -= strlen(PREFIX);
			(void) snprintf(path, sizeof(path), BOOT "/%s", entry->d_name);
		} else {
			(void) snprintf(path, sizeof(path), MODULES "/%s/vmlinuz", entry->d_name);
		}
		r = list_add(a, list, version, path, e);
	}
	return r;
}

int kernel_list(struct arena *a, struct kernels *ret, struct err *e)
{
	struct kernels list = {};
	int r = list_directory(a, BOOT, &list, e);

	if (r == 0)
		r = list_directory(a, MODULES, &list, e);
	if (r < 0)
		return r;
	if (list.n)
		qsort(list.v, list.n, sizeof(*list.v), by_preference);
	*ret = list;
	return 0;
}

/* ---- which one ---- */

/* Modules lie beside it where it lies in a tree like a host's: X/boot/vmlinuz, X/lib/modules. */
static void modules_of(struct kernel *k)
{
	static const char boot[] = BOOT "/";
	char *slash = strrchr(k->path, '/');
	size_t n = (size_t) (slash - k->path) + 1;
	char beside[PREPARED_PATH_MAX + sizeof(MODULES)];

	(void) snprintf(k->modules, sizeof(k->modules), MODULES);
	if (n < sizeof(boot) - 1 ||
	    memcmp(slash + 1 - (sizeof(boot) - 1), boot, sizeof(boot) - 1) != 0)
		return;
	(void) snprintf(beside, sizeof(beside), "%.*s" MODULES, (int) (n - (sizeof(boot) - 1)),
			k->path);
	if (strlen(beside) < sizeof(k->modules) && access(beside, F_OK) == 0)
		(void) snprintf(k->modules, sizeof(k->modules), "%s", beside);
}

int kernel_open(const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	if (errno == EACCES || errno == EPERM)
		return err_set(e, ERR_DENIED, errno,
			       "kernel '%s' may not be read by this user: an administrator can let "
			       "all users read it (`chmod a+r %s`), or give you a copy of it for "
			       "'atoll kernel use PATH'",
			       path, path);
	return err_sys(e, errno, "kernel '%s'", path);
}

static int pick_path(const char *path, struct kernel *ret, struct err *e)
{
	auto_fd int fd = kernel_open(path, e);
	auto_free char *head = malloc(BZIMAGE_HEAD_MAX);
	struct kernel k = {};

	if (!head)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	if (fd < 0)
		return fd;
	if (strlen(path) >= sizeof(k.path))
		return err_set(e, ERR_INVALID, ENAMETOOLONG, "kernel '%.40s...': too long a name",
			       path);
	(void) snprintf(k.path, sizeof(k.path), "%s", path);
	modules_of(&k);
	ssize_t n = pread(fd, head, BZIMAGE_HEAD_MAX, 0);
	if (n < 0)
		return err_sys(e, errno, "read kernel '%s'", path);
	/* Without one: what kind of file it is, atoll-kernel says. */
	(void) bzimage_version(head, (size_t) n, k.version);
	*ret = k;
	return 0;
}

static int none_found(const struct kernels *list, const char *want, struct err *e)
{
	auto_buf struct buf names = BUF_INIT(300);

	if (!list->n)
		return err_set(e, ERR_NOT_FOUND, ENOENT,
			       "no kernel for the machine: none in " BOOT " has modules in " MODULES
			       " (Debian's package: linux-image-cloud-amd64)");
	for (size_t i = 0; i < list->n && buf_ok(&names); i++)
		buf_addf(&names, "%s%s", i ? ", " : "", list->v[i].version);
	return err_set(e, ERR_NOT_FOUND, ENOENT,
		       "no kernel '%s' with modules in " BOOT "; there is: %s", want,
		       buf_ok(&names) ? buf_z(&names) : "see 'atoll kernel ls'");
}

static int pick_listed(const char *want, struct kernel *ret, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT((size_t) 16 << 20);
	struct kernels list;
	int r = kernel_list(&a, &list, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < list.n; i++)
		if (!want || streq(list.v[i].version, want)) {
			*ret = list.v[i];
			return 0;
		}
	return none_found(&list, want, e);
}

static int pick(const char *want, struct kernel *ret, struct err *e)
{
	if (strchr(want, '/'))
		return want[0] == '/'
			       ? pick_path(want, ret, e)
			       : err_set(e, ERR_INVALID, EINVAL,
					 "kernel '%s': neither a version nor an absolute path",
					 want);
	return pick_listed(want, ret, e);
}

void kernel_choice(int kernels_fd, char ret_want[static PREPARED_PATH_MAX])
{
	auto_buf struct buf text = BUF_INIT(PREPARED_PATH_MAX);

	ret_want[0] = '\0';
	if (kernels_fd < 0 || file_read(kernels_fd, CHOICE, &text) < 0)
		return;
	struct str want = str_trim(buf_str(&text));
	if (want.n < PREPARED_PATH_MAX)
		(void) snprintf(ret_want, PREPARED_PATH_MAX, "%.*s", (int) want.n, want.p);
}

int kernel_choose(int kernels_fd, const char *want, struct err *e)
{
	int r = 0;

	if (want)
		r = file_replace(kernels_fd, CHOICE, str_of(want), 0600, true);
	else if (unlinkat(kernels_fd, CHOICE, 0) < 0 && errno != ENOENT)
		r = -errno;
	return r < 0 ? err_sys(e, -r, "write down the choice of kernel") : 0;
}

int kernel_pick(int kernels_fd, const char *want, struct kernel *ret, struct err *e)
{
	const char *env = secure_getenv("ATOLL_KERNEL");
	char choice[PREPARED_PATH_MAX];
	int r;

	if (want && *want)
		return pick(want, ret, e);
	if (env && *env) {
		r = pick(env, ret, e);
		return r < 0 ? err_ctx(e, "ATOLL_KERNEL") : 0;
	}
	kernel_choice(kernels_fd, choice);
	if (!choice[0])
		return pick_listed(NULL, ret, e);
	r = pick(choice, ret, e);
	return r < 0 ? err_ctx(e, "chosen by 'atoll kernel use'") : 0;
}
