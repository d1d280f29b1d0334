/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/prepare.h"

#include <errno.h>
#include <fcntl.h>
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>
#include <stdio.h>
#include <unistd.h>

#include "base/auto.h"
#include "boot/cache.h"
#include "boot/configs.h"
#include "boot/confine.h"
#include "boot/expand.h"
#include "boot/input.h"
#include "boot/modules.h"
#include "fmt/cpio.h"
#include "fmt/vmlinux.h"
#include "sys/process.h"

#define KERNEL_MAX    ((size_t) 512 << 20) /* compressed or not */
#define AGENT_MAX     ((size_t) 64 << 20)
#define INITRAMFS_MAX ((size_t) 512 << 20)

/* All that goes into one, and what comes out. */
struct work {
	int kernel_fd, agent_fd, modules_fd;
	struct configs configs;
	struct cache cache;
	struct input kernel, agent;
	struct modules modules;
	bool packed; /* the kernel is a bzImage: */
	struct bzimage bzimage;
	char version[KERNEL_VERSION_MAX];
	struct buf vmlinux, initramfs;
};

#define WORK_INIT                                                                                  \
	((struct work){ .kernel_fd = FD_NONE,                                                      \
			.agent_fd = FD_NONE,                                                       \
			.modules_fd = FD_NONE,                                                     \
			.cache = CACHE_INIT,                                                       \
			.modules = MODULES_INIT })

static void work_fini(struct work *w)
{
	close_fd(&w->kernel_fd);
	close_fd(&w->agent_fd);
	close_fd(&w->modules_fd);
	close_fd(&w->cache.fd);
	configs_fini(&w->configs);
	input_fini(&w->kernel);
	input_fini(&w->agent);
	modules_fini(&w->modules);
	buf_fini(&w->vmlinux);
	buf_fini(&w->initramfs);
}

static const char *shown(const struct prepare *p)
{
	return p->shown ? p->shown : p->kernel;
}

/* All that it will ever read by name. */
static int open_inputs(const struct prepare *p, struct work *w, struct err *e)
{
	static const int file = O_RDONLY | O_NONBLOCK, directory = O_RDONLY | O_DIRECTORY;
	int r = input_open(p->kernel, file, &w->kernel_fd, e);

	if (r < 0)
		return err_ctx(e, "kernel");
	r = input_open(p->modules, directory, &w->modules_fd, e);
	if (r < 0)
		return err_ctx(e, "modules");
	r = input_open(p->agent, file, &w->agent_fd, e);
	if (r < 0)
		return err_ctx(e, "agent");
	r = input_open(p->cache, directory, &w->cache.fd, e);
	if (r < 0)
		return r;
	r = configs_open("/boot", &w->configs);
	if (r < 0)
		return err_sys(e, -r, "open the configurations of kernels");
	if (process_boot_id(w->cache.boot) < 0)
		w->cache.boot[0] = '\0'; /* digests are compared each time then */
	return 0;
}

static int confine(struct work *w, struct err *e)
{
	auto_free int *keep = calloc(w->configs.n + 4, sizeof(*keep));
	size_t n = 0;

	if (!keep)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	keep[n++] = STDOUT_FILENO;
	keep[n++] = STDERR_FILENO;
	keep[n++] = w->kernel_fd;
	keep[n++] = w->agent_fd;
	for (size_t i = 0; i < w->configs.n; i++)
		keep[n++] = w->configs.fds[i];
	return confine_enter(&w->modules_fd, &w->cache.fd, keep, n, e);
}

/* Everything that can be said without decompressing it. */
static int look_at_kernel(const struct prepare *p, struct work *w, struct err *e)
{
	const char *image;
	struct vmlinux v;
	size_t n;
	int r = input_read(w->kernel_fd, p->kernel, "kernel", KERNEL_MAX, &w->kernel, e);

	if (r < 0)
		return r;
	image = w->kernel.text.p;
	n = w->kernel.text.n;
	w->packed = bzimage_is(image, n);
	r = w->packed ? bzimage_read(image, n, &w->bzimage, e) : vmlinux_read(image, n, &v, e);
	if (r < 0)
		return err_ctx(e, "kernel '%s'", shown(p));
	if (w->packed && w->bzimage.version[0])
		memcpy(w->version, w->bzimage.version, sizeof(w->version));
	else if (w->packed || !kernel_version_in(image, n, w->version))
		return err_set(e, ERR_INVALID, ENOEXEC, "kernel '%s': it does not say its version",
			       shown(p));
	return 0;
}

static int unpack_kernel(const struct prepare *p, struct work *w, struct str *ret, struct err *e)
{
	const struct bzimage *b = &w->bzimage;
	struct str whole = buf_str(&w->kernel.text);
	struct vmlinux v;
	int r = 0;

	if (w->packed) {
		whole = (struct str){ whole.p + b->payload, b->payload_n };
		if (b->format != BZIMAGE_ELF) {
			w->vmlinux = BUF_INIT(KERNEL_MAX);
			r = expand(whole, &w->vmlinux, e);
			whole = buf_str(&w->vmlinux);
		}
		if (r == 0 && b->vmlinux_n && b->vmlinux_n != whole.n)
			r = err_set(e, ERR_INVALID, EILSEQ, "damaged: %zu bytes instead of %llu",
				    whole.n, (unsigned long long) b->vmlinux_n);
	}
	if (r == 0)
		r = vmlinux_read(whole.p, whole.n, &v, e);
	if (r == 0 && !v.pvh_entry)
		r = err_set(e, ERR_UNSUPPORTED, ENOEXEC,
			    "no PVH entry: a kernel with CONFIG_PVH=y is needed");
	if (r < 0)
		return err_ctx(e, "kernel '%s'", shown(p));
	*ret = whole;
	return 0;
}

/* The agent has to be a program for this processor that needs no other file. */
static int look_at_agent(const struct prepare *p, struct work *w, struct err *e)
{
	int r = input_read(w->agent_fd, p->agent, "agent", AGENT_MAX, &w->agent, e);

	if (r == 0 && bzimage_format_of(w->agent.text.p, w->agent.text.n) != BZIMAGE_ELF)
		r = err_set(e, ERR_INVALID, ENOEXEC, "agent '%s': not a program", p->agent);
	return r;
}

static int pack_initramfs(struct work *w, struct err *e)
{
	struct cpio c;
	int r = 0;

	w->initramfs = BUF_INIT(INITRAMFS_MAX);
	cpio_init(&c, &w->initramfs);
	cpio_add(&c, "init", S_IFREG | 0755, buf_str(&w->agent.text));
	cpio_add(&c, "modules", S_IFDIR | 0755, (struct str){ 0 });
	cpio_add(&c, "modules/later", S_IFDIR | 0755, (struct str){ 0 });
	for (size_t i = 0; i < w->modules.list.n && r == 0; i++) {
		auto_buf struct buf text = BUF_INIT(INITRAMFS_MAX);
		struct str name = kmod_name_of(w->modules.list.v[i]);
		char path[300];

		r = modules_text(&w->modules, i, &text, e);
		(void) snprintf(path, sizeof(path), "modules/%s%02zu-%.*s.ko",
				i < w->modules.later_from ? "" : "later/", i,
				(int) (name.n < 200 ? name.n : 200), name.p);
		if (r == 0)
			cpio_add(&c, path, S_IFREG | 0644, buf_str(&text));
	}
	cpio_end(&c);
	if (r == 0 && !buf_ok(&w->initramfs))
		r = err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory for the initramfs");
	return r;
}

/* What all of it is known by: anything else in, another name. */
static void name_of(const struct work *w, char ret_hex[static DIGEST_HEX_MAX])
{
	static const char format[] = PREPARED_FORMAT;
	struct digest d;
	SHA256_CTX h;

	(void) SHA256_Init(&h);
	(void) SHA256_Update(&h, format, sizeof(format));
	(void) SHA256_Update(&h, w->kernel.digest.b, sizeof(d.b));
	(void) SHA256_Update(&h, w->agent.digest.b, sizeof(d.b));
	(void) SHA256_Update(&h, w->modules.digest.b, sizeof(d.b));
	(void) SHA256_Update(&h, &w->modules.keep_signed, sizeof(w->modules.keep_signed));
	(void) SHA256_Update(&h, w->modules.lacks, sizeof(w->modules.lacks));
	(void) SHA256_Final(d.b, &h);
	digest_hex(&d, ret_hex);
}

static int make(const struct prepare *p, struct work *w, const char *hex, struct err *e)
{
	struct prepared record = { .source = w->kernel.digest };
	auto_fd int lock = FD_NONE;
	struct str vmlinux;
	int r = cache_lock(&w->cache, &lock, e);

	if (r < 0 || cache_has(&w->cache, hex)) /* another one was here first */
		return r;
	r = unpack_kernel(p, w, &vmlinux, e);
	if (r == 0)
		r = pack_initramfs(w, e);
	if (r < 0)
		return r;
	memcpy(record.version, w->version, sizeof(record.version));
	memcpy(record.lacks, w->modules.lacks, sizeof(record.lacks));
	if (strlen(shown(p)) < sizeof(record.kernel) && !strchr(shown(p), '\n'))
		(void) snprintf(record.kernel, sizeof(record.kernel), "%s", shown(p));
	return cache_make(&w->cache, hex, &record, vmlinux, buf_str(&w->initramfs), e);
}

int prepare(const struct prepare *p, char ret_hex[static DIGEST_HEX_MAX], struct err *e)
{
	__attribute__((cleanup(work_fini))) struct work w = WORK_INIT;
	char hex[DIGEST_HEX_MAX], stamp[PREPARED_STAMP_MAX];
	int r = open_inputs(p, &w, e);

	r = r < 0 ? r : confine(&w, e);
	r = r < 0 ? r : look_at_kernel(p, &w, e);
	if (r == 0) {
		r = modules_read(w.modules_fd, p->modules, w.version, &w.configs, &w.modules, e);
		if (r < 0)
			(void) err_ctx(e, "kernel '%s' (%s)", shown(p), w.version);
	}
	if (r == 0)
		r = look_at_agent(p, &w, e);
	if (r < 0)
		return r;
	name_of(&w, hex);
	if (!cache_has(&w.cache, hex))
		r = make(p, &w, hex, e);
	if (r < 0)
		return r;
	if (prepared_stamp(&w.kernel.stat, &w.agent.stat, &w.modules.dep_stat, stamp))
		cache_stamp(&w.cache, stamp, hex);
	memcpy(ret_hex, hex, sizeof(hex));
	return 0;
}
