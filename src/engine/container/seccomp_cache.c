/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/container/seccomp_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "fmt/spec.h"
#include "sys/seccomp.h"

/* To be raised with every change of what is compiled from a profile. */
#define COMPILER 3

#define MAGIC	"atollbpf"
#define KEY_MAX (1u << 20) /* bytes; a larger profile is compiled each time */

struct head {
	char magic[8];
	uint32_t key_n; /* bytes that follow; then the instructions */
	uint32_t code_n;
	uint64_t sum; /* of both */
};

/* FNV-1a, eight bytes at a time. */
static uint64_t mix(uint64_t h, const void *p, size_t n)
{
	const unsigned char *c = p;

	for (; n >= 8; n -= 8, c += 8) {
		uint64_t v;

		memcpy(&v, c, 8);
		h = (h ^ v) * UINT64_C(0x100000001b3);
		h ^= h >> 29;
	}
	for (; n; n--)
		h = (h ^ *c++) * UINT64_C(0x100000001b3);
	return h;
}

#define MIX_INIT UINT64_C(0xcbf29ce484222325)

static void add_number(struct buf *b, uint64_t v)
{
	buf_add(b, &v, sizeof(v));
}

/* With their ends, so that no two lists give the same bytes. */
static void add_text(struct buf *b, const char *z)
{
	buf_add(b, z, strlen(z) + 1);
}

static void add_texts(struct buf *b, const char *const *v, size_t n)
{
	add_number(b, n);
	for (size_t i = 0; i < n; i++)
		add_text(b, v[i]);
}

bool seccomp_cache_key(const struct spec_seccomp *s, struct buf *ret_key)
{
	const struct scmp_version *lib = seccomp_version();

	buf_addf(ret_key, "atoll " ATOLL_VERSION " %d, libseccomp %u.%u.%u, %x", COMPILER,
		 lib->major, lib->minor, lib->micro, seccomp_arch_native());
	buf_addc(ret_key, '\0');
	add_text(ret_key, s->default_action);
	add_number(ret_key, s->default_errno_ret_set);
	add_number(ret_key, s->default_errno_ret);
	add_texts(ret_key, (const char *const *) s->architectures, s->architectures_n);
	for (size_t i = 0; i < s->rules_n; i++) {
		const struct spec_seccomp_rule *r = &s->rules[i];

		add_texts(ret_key, (const char *const *) r->names, r->names_n);
		add_text(ret_key, r->action);
		add_number(ret_key, r->errno_ret_set);
		add_number(ret_key, r->errno_ret);
		add_number(ret_key, r->args_n);
		for (size_t k = 0; k < r->args_n; k++) {
			add_number(ret_key, r->args[k].index);
			add_number(ret_key, r->args[k].value);
			add_number(ret_key, r->args[k].value_two);
			add_text(ret_key, r->args[k].op);
		}
	}
	return buf_ok(ret_key) && ret_key->n <= KEY_MAX;
}

bool seccomp_cache_parse(struct arena *a, struct str bytes, struct str key,
			 struct sock_fprog *ret_prog)
{
	struct sock_filter *code;
	struct head h;
	size_t n;

	if (bytes.n < sizeof(h))
		return false;
	memcpy(&h, bytes.p, sizeof(h));
	n = h.code_n * sizeof(*code);
	if (memcmp(h.magic, MAGIC, sizeof(h.magic)) != 0 || h.key_n != key.n || h.code_n == 0 ||
	    h.code_n > SECCOMP_PROGRAM_MAX || bytes.n != sizeof(h) + key.n + n ||
	    memcmp(bytes.p + sizeof(h), key.p, key.n) != 0 ||
	    h.sum != mix(MIX_INIT, bytes.p + sizeof(h), key.n + n))
		return false;
	code = arena_alloc(a, n);
	if (!code)
		return false;
	memcpy(code, bytes.p + sizeof(h) + key.n, n);
	if (!seccomp_valid(code, h.code_n))
		return false;
	*ret_prog = (struct sock_fprog){ .len = (unsigned short) h.code_n, .filter = code };
	return true;
}

static bool ours(int fd, mode_t type)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == type && st.st_uid == geteuid() &&
	       !(st.st_mode & (S_IWGRP | S_IWOTH));
}

static int open_cache(int dir_fd, bool make)
{
	auto_fd int fd = FD_NONE;

	if (dir_fd < 0)
		return FD_NONE;
	fd = openat(dir_fd, SECCOMP_CACHE_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && make &&
	    (mkdirat(dir_fd, SECCOMP_CACHE_DIR, 0700) == 0 || errno == EEXIST))
		fd = openat(dir_fd, SECCOMP_CACHE_DIR,
			    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd >= 0 && ours(fd, S_IFDIR) ? take_fd(&fd) : FD_NONE;
}

static void name_of(struct str key, char ret_name[static 20])
{
	(void) snprintf(ret_name, 20, "%016llx", (unsigned long long) mix(MIX_INIT, key.p, key.n));
}

bool seccomp_cache_find(struct arena *a, int dir_fd, struct str key, struct sock_fprog *ret_prog)
{
	auto_buf struct buf text = BUF_INIT(sizeof(struct head) + KEY_MAX +
					    SECCOMP_PROGRAM_MAX * sizeof(struct sock_filter));
	auto_fd int dir = open_cache(dir_fd, false);
	auto_fd int fd = FD_NONE;
	char name[20];

	if (dir < 0)
		return false;
	name_of(key, name);
	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	return fd >= 0 && ours(fd, S_IFREG) && fd_read_all(fd, &text) >= 0 &&
	       seccomp_cache_parse(a, buf_str(&text), key, ret_prog);
}

/* Room for one more: the oldest go, whatever their names are. */
static void make_room(int dir)
{
	for (;;) {
		auto_dir DIR *d = dir_open(dir, ".");
		struct stat st, oldest_st = {};
		char oldest[NAME_MAX + 1] = "";
		size_t n = 0;

		for (struct dirent *de; d && (de = dir_next(d));) {
			if (fstatat(dir, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
				continue;
			if (n++ == 0 || st.st_mtim.tv_sec < oldest_st.st_mtim.tv_sec ||
			    (st.st_mtim.tv_sec == oldest_st.st_mtim.tv_sec &&
			     st.st_mtim.tv_nsec < oldest_st.st_mtim.tv_nsec)) {
				oldest_st = st;
				(void) snprintf(oldest, sizeof(oldest), "%s", de->d_name);
			}
		}
		if (n < SECCOMP_CACHE_FILES || unlinkat(dir, oldest, 0) < 0)
			return;
	}
}

void seccomp_cache_keep(int dir_fd, struct str key, const struct sock_fprog *prog)
{
	auto_fd int dir = open_cache(dir_fd, true);
	auto_buf struct buf text = BUF_INIT(sizeof(struct head) + KEY_MAX +
					    SECCOMP_PROGRAM_MAX * sizeof(*prog->filter));
	struct head h = { .magic = MAGIC, .key_n = (uint32_t) key.n, .code_n = prog->len };
	char name[20];

	if (dir < 0)
		return;
	buf_add(&text, &h, sizeof(h));
	buf_addstr(&text, key);
	buf_add(&text, prog->filter, prog->len * sizeof(*prog->filter));
	if (!buf_ok(&text))
		return;
	h.sum = mix(MIX_INIT, text.p + sizeof(h), text.n - sizeof(h));
	memcpy(text.p, &h, sizeof(h));
	make_room(dir);
	name_of(key, name);
	(void) file_replace(dir, name, buf_str(&text), 0600, false); /* best effort */
}
