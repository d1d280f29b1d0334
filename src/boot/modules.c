/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/modules.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>
#include <stdio.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/num.h"
#include "boot/expand.h"
#include "boot/input.h"
#include "sys/path.h"

#define LIST_FILE_MAX ((size_t) 16 << 20)
#define MODULE_MAX    ((size_t) 64 << 20)
#define CONFIG_MAX    ((size_t) 4 << 20)

/* In the order of loading: what the agent's first message needs comes first. */
static const struct {
	const char *name, *what; /* what: needed, and for what; NULL: a machine can do without */
	bool later;		 /* loaded by the agent when it is asked for; these are the last */
} wanted[] = {
	{ "virtio_pci", "the devices of a microVM" },
	{ "vmw_vsock_virtio_transport", "talking to the host" },
	{ "virtiofs", "the files of the host" },
	{ "overlay", NULL },
	{ "virtio_blk", NULL },
	{ "erofs", NULL },
	{ "virtio_net", NULL },
	{ "virtio_rng", NULL },
	{ "virtio_balloon", NULL },
	{ "virtio_console", NULL },
	{ "ext4", NULL, .later = true },
};

void modules_fini(struct modules *m)
{
	for (size_t i = 0; m->texts && i < m->list.n; i++)
		buf_fini(&m->texts[i]);
	free(m->texts);
	buf_fini(&m->dep);
	buf_fini(&m->builtin);
	buf_fini(&m->builtin_modinfo);
	buf_fini(&m->alias);
	buf_fini(&m->softdep);
	arena_fini(&m->arena);
}

/* One of depmod's files; not there is empty. */
static int read_list(int dirfd, const char *name, struct buf *ret, struct err *e)
{
	*ret = BUF_INIT(LIST_FILE_MAX);
	int r = file_read(dirfd, name, ret);

	return r < 0 && r != -ENOENT ? err_sys(e, -r, "read '%s'", name) : 0;
}

static int read_lists(int dirfd, struct modules *m, struct err *e)
{
	int r = read_list(dirfd, "modules.dep", &m->dep, e);

	if (r == 0)
		r = read_list(dirfd, "modules.builtin", &m->builtin, e);
	if (r == 0)
		r = read_list(dirfd, "modules.builtin.modinfo", &m->builtin_modinfo, e);
	if (r == 0)
		r = read_list(dirfd, "modules.alias", &m->alias, e);
	if (r == 0)
		r = read_list(dirfd, "modules.softdep", &m->softdep, e);
	/* A kernel without loadable modules has no modules.dep: the directory stands for it. */
	if (r == 0 && fstatat(dirfd, "modules.dep", &m->dep_stat, 0) < 0 &&
	    fstat(dirfd, &m->dep_stat) < 0)
		r = err_sys(e, errno, "look at the modules");
	return r;
}

static int choose(struct modules *m, const char *dir, const char *version, struct err *e)
{
	const struct kmod_index x = { .dep = buf_str(&m->dep),
				      .builtin = buf_str(&m->builtin),
				      .builtin_modinfo = buf_str(&m->builtin_modinfo),
				      .alias = buf_str(&m->alias),
				      .softdep = buf_str(&m->softdep) };
	size_t lacks = 0;

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		int r = kmod_add(&x, str_of(wanted[i].name), &m->arena, &m->list);

		if (!wanted[i].later)
			m->later_from = m->list.n;
		if (r < 0)
			return err_sys(e, -r, "the modules in '%s/%s'", dir, version);
		if (r != KMOD_MISSING)
			continue;
		if (wanted[i].what)
			return err_set(
				e, ERR_UNSUPPORTED, ENOENT,
				"no module '%s' in '%s/%s', nor is it built in: it is needed "
				"for %s",
				wanted[i].name, dir, version, wanted[i].what);
		lacks += (size_t) snprintf(m->lacks + lacks, sizeof(m->lacks) - lacks, "%s%s",
					   lacks ? " " : "", wanted[i].name);
	}
	return 0;
}

/* The list of modules is as foreign as they are: names and links lead nowhere but below `top`. */
static int open_module(int top, const char *version, const char *path, int *ret_fd, struct err *e)
{
	char name[PATH_MAX];

	if (snprintf(name, sizeof(name), "%s/%s", version, path) >= (int) sizeof(name))
		return err_sys(e, ENAMETOOLONG, "module '%s'", path);
	int fd = path_open_in(top, name, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(e, -fd, "open module '%s' below the directory of modules", path);
	*ret_fd = fd;
	return 0;
}

static int read_texts(struct modules *m, int top, const char *version, struct err *e)
{
	SHA256_CTX all;

	(void) SHA256_Init(&all);
	m->texts = calloc(m->list.n + 1, sizeof(*m->texts));
	if (!m->texts)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	for (size_t i = 0; i < m->list.n; i++) {
		auto_free char *path = str_dup(m->list.v[i]);
		auto_fd int fd = FD_NONE;
		auto_input struct input in = INPUT_INIT;

		if (!path)
			return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
		int r = open_module(top, version, path, &fd, e);
		if (r == 0)
			r = input_read(fd, path, "module", MODULE_MAX, &in, e);
		if (r < 0)
			return r;
		(void) SHA256_Update(&all, in.digest.b, sizeof(in.digest.b));
		m->texts[i] = in.text;
		in.text = BUF_INIT(0);
	}
	(void) SHA256_Final(m->digest.b, &all);
	return 0;
}

/* Kernels that insist on signatures are few; theirs are kept, at the price of their size. */
static bool insists_on_signatures(int dirfd, const char *version, const struct configs *configs)
{
	static const char line[] = "\nCONFIG_MODULE_SIG_FORCE=y\n";
	auto_buf struct buf config = BUF_INIT(CONFIG_MAX);

	if (file_read(dirfd, "config", &config) < 0 && configs_read(configs, version, &config) < 0)
		return false;
	return memmem(buf_z(&config), config.n, line, sizeof(line) - 1);
}

int modules_read(int dir_fd, const char *dir, const char *version, const struct configs *configs,
		 struct modules *ret, struct err *e)
{
	auto_fd int dirfd = path_open_in(dir_fd, version, O_RDONLY | O_DIRECTORY, 0);
	auto_modules struct modules m = MODULES_INIT;
	int r;

	if (dirfd < 0)
		return err_sys(e, -dirfd, "no modules for it in '%s/%s'", dir, version);
	r = read_lists(dirfd, &m, e);
	if (r == 0 && m.dep.n == 0 && m.builtin.n == 0)
		r = err_set(e, ERR_NOT_FOUND, ENOENT,
			    "no list of modules in '%s/%s': run: depmod %s", dir, version, version);
	if (r == 0)
		r = choose(&m, dir, version, e);
	if (r == 0)
		r = read_texts(&m, dir_fd, version, e);
	if (r < 0)
		return r;
	m.keep_signed = insists_on_signatures(dirfd, version, configs);
	*ret = m;
	m = MODULES_INIT;
	return 0;
}

int modules_text(const struct modules *m, size_t i, struct buf *ret, struct err *e)
{
	auto_buf struct buf plain = BUF_INIT(MODULE_MAX);
	struct str text = buf_str(&m->texts[i]), name = kmod_name_of(m->list.v[i]);
	int r = 0;

	if (bzimage_format_of(text.p, text.n) != BZIMAGE_ELF) {
		r = expand(text, &plain, e);
		if (r < 0)
			return err_ctx(e, "module '%.*s'", (int) name.n, name.p);
		text = buf_str(&plain);
	}
	r = m->keep_signed ? -ENOEXEC : kmod_strip(text, ret);
	if (r == -ENOEXEC)
		buf_addstr(ret, text);
	return buf_ok(ret) ? 0 : err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}
