/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/prepared.h"

#include <errno.h>
#include <stdio.h>

#include "base/auto.h"
#include "base/num.h"

static void write_file(struct buf *out, const char *name, const struct prepared_file *f)
{
	char hex[DIGEST_HEX_MAX];

	digest_hex(&f->digest, hex);
	buf_addf(out, "%s %llu %s\n", name, (unsigned long long) f->size, hex);
}

void prepared_write(const struct prepared *p, struct buf *out)
{
	char hex[DIGEST_HEX_MAX];

	digest_hex(&p->source, hex);
	buf_addf(out, PREPARED_FORMAT "\nboot %s\nversion %s\nkernel %s\nlacks %s\nsource %s\n",
		 p->boot, p->version, p->kernel, p->lacks, hex);
	write_file(out, PREPARED_VMLINUX, &p->vmlinux);
	write_file(out, PREPARED_INITRAMFS, &p->initramfs);
}

/* The rest of the next line, which begins with the word. */
static int take(struct str *rest, const char *word, struct str *ret_value)
{
	struct str value, line;

	if (!rest->p)
		return -EINVAL;
	line = str_cut(*rest, '\n', rest);
	if (!rest->p || !str_is(str_cut(line, ' ', &value), word) || !value.p)
		return -EINVAL;
	*ret_value = value;
	return 0;
}

static int take_text(struct str *rest, const char *word, char *ret, size_t max)
{
	struct str value;

	if (take(rest, word, &value) < 0 || value.n >= max || memchr(value.p, '\0', value.n))
		return -EINVAL;
	memcpy(ret, value.p, value.n);
	ret[value.n] = '\0';
	return 0;
}

static int take_file(struct str *rest, const char *word, struct prepared_file *ret)
{
	struct str value, hex;

	if (take(rest, word, &value) < 0)
		return -EINVAL;
	value = str_cut(value, ' ', &hex);
	if (!hex.p || num_parse_u64(value, 1, INT64_MAX, &ret->size) < 0)
		return -EINVAL;
	return digest_parse_hex(hex, &ret->digest);
}

int prepared_read(struct str text, struct prepared *ret)
{
	struct str rest = text, source;
	struct prepared p;

	if (!str_is(str_cut(rest, '\n', &rest), PREPARED_FORMAT) ||
	    take_text(&rest, "boot", p.boot, sizeof(p.boot)) < 0 ||
	    take_text(&rest, "version", p.version, sizeof(p.version)) < 0 ||
	    !kernel_version_ok(str_of(p.version)) ||
	    take_text(&rest, "kernel", p.kernel, sizeof(p.kernel)) < 0 ||
	    take_text(&rest, "lacks", p.lacks, sizeof(p.lacks)) < 0 ||
	    take(&rest, "source", &source) < 0 || digest_parse_hex(source, &p.source) < 0 ||
	    take_file(&rest, PREPARED_VMLINUX, &p.vmlinux) < 0 ||
	    take_file(&rest, PREPARED_INITRAMFS, &p.initramfs) < 0 || rest.n)
		return -EINVAL;
	*ret = p;
	return 0;
}

bool prepared_intact(const struct prepared_file *f, const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_size >= 0 && (uint64_t) st->st_size == f->size &&
	       st->st_mtim.tv_sec == 0 && st->st_mtim.tv_nsec == 0;
}

bool prepared_stamp(const struct stat *kernel, const struct stat *agent, const struct stat *modules,
		    char ret_name[static PREPARED_STAMP_MAX])
{
	const struct stat *const all[] = { kernel, agent, modules };
	size_t n = (size_t) snprintf(ret_name, PREPARED_STAMP_MAX, "@1");

	for (size_t i = 0; i < ARRAY_SIZE(all) && n < PREPARED_STAMP_MAX; i++) {
		const struct stat *s = all[i];

		n += (size_t) snprintf(
			ret_name + n, PREPARED_STAMP_MAX - n, "-%llx.%llx.%llx.%llx.%lx.%llx.%lx",
			(unsigned long long) s->st_dev, (unsigned long long) s->st_ino,
			(unsigned long long) s->st_size, (unsigned long long) s->st_mtim.tv_sec,
			(unsigned long) s->st_mtim.tv_nsec, (unsigned long long) s->st_ctim.tv_sec,
			(unsigned long) s->st_ctim.tv_nsec);
	}
	return n < PREPARED_STAMP_MAX;
}
