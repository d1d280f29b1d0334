/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/bzimage.h"

#include <errno.h>
#include <string.h>

#include "base/auto.h"
#include "base/le.h"
#include "base/num.h"

/* "The Real-Mode Kernel Header": offsets in the file. */
#define SETUP_SECTS    0x1f1
#define BOOT_FLAG      0x1fe
#define MAGIC	       0x202
#define PROTOCOL       0x206
#define KERNEL_VERSION 0x20e /* less 0x200 */
#define XLOADFLAGS     0x236
#define PAYLOAD_OFFSET 0x248 /* in the protected-mode part */
#define PAYLOAD_LENGTH 0x24c
#define HEADER_END     0x268
#define SECTOR	       512
#define PAYLOAD_SINCE  0x0208 /* protocol 2.08, Linux 2.6.26 */
#define XLF_SINCE      0x020c
#define XLF_KERNEL_64  1

#define ARM64_MAGIC 0x38 /* Linux Documentation/arch/arm64/booting.rst, and riscv's */

static const struct {
	enum bzimage_format format;
	const char *name;
	size_t magic_n;
	uint8_t magic[6];
} formats[] = {
	{ BZIMAGE_GZIP, "gzip", 3, { 0x1f, 0x8b, 0x08 } },
	{ BZIMAGE_XZ, "xz", 6, { 0xfd, '7', 'z', 'X', 'Z', 0 } },
	{ BZIMAGE_ZSTD, "zstd", 4, { 0x28, 0xb5, 0x2f, 0xfd } },
	{ BZIMAGE_LZ4, "lz4", 4, { 0x02, 0x21, 0x4c, 0x18 } }, /* the legacy frame */
	{ BZIMAGE_LZMA, "lzma", 3, { 0x5d, 0, 0 } },
	{ BZIMAGE_BZIP2, "bzip2", 3, { 'B', 'Z', 'h' } },
	{ BZIMAGE_LZO, "lzo", 4, { 0x89, 'L', 'Z', 'O' } },
	{ BZIMAGE_ELF, "none", 4, { 0x7f, 'E', 'L', 'F' } },
};

enum bzimage_format bzimage_format_of(const void *payload, size_t n)
{
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (n >= formats[i].magic_n &&
		    memcmp(payload, formats[i].magic, formats[i].magic_n) == 0)
			return formats[i].format;
	return BZIMAGE_UNKNOWN;
}

const char *bzimage_format_name(enum bzimage_format f)
{
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (formats[i].format == f)
			return formats[i].name;
	return "unknown";
}

bool kernel_version_ok(struct str v)
{
	if (v.n == 0 || v.n >= KERNEL_VERSION_MAX || v.p[0] < '0' || v.p[0] > '9')
		return false;
	for (size_t i = 0; i < v.n; i++) {
		char c = v.p[i];

		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
		    !strchr("._+~-", c))
			return false;
	}
	return true;
}

/* The word at the start of the bytes, ended by a blank or a NUL within them. */
static bool version_at(const uint8_t *p, size_t n, char ret[static KERNEL_VERSION_MAX])
{
	size_t len = 0;

	while (len < n && len < KERNEL_VERSION_MAX && p[len] != ' ' && p[len] != '\0')
		len++;
	if (len == n || !kernel_version_ok((struct str){ (const char *) p, len }))
		return false;
	memcpy(ret, p, len);
	ret[len] = '\0';
	return true;
}

bool kernel_version_in(const void *vmlinux, size_t n, char ret_version[static KERNEL_VERSION_MAX])
{
	static const char banner[] = "Linux version ";
	const uint8_t *p = vmlinux, *end = p + n;

	while ((p = memmem(p, (size_t) (end - p), banner, sizeof(banner) - 1))) {
		p += sizeof(banner) - 1;
		if (version_at(p, (size_t) (end - p), ret_version))
			return true;
	}
	return false;
}

static bool has(const uint8_t *p, size_t n, size_t at, const char *magic)
{
	size_t len = strlen(magic);

	return n >= at + len && memcmp(p + at, magic, len) == 0;
}

/* Compressed kernels for other processors, and other envelopes, that begin as a bzImage may. */
static const char *other_kind(const uint8_t *p, size_t n)
{
	if (has(p, n, ARM64_MAGIC, "ARM\x64"))
		return "arm64";
	if (has(p, n, ARM64_MAGIC, "RSC\x05"))
		return "riscv";
	return NULL;
}

bool bzimage_is(const void *image, size_t n)
{
	return has(image, n, MAGIC, "HdrS") || has(image, n, 4, "zimg") || other_kind(image, n);
}

bool bzimage_version(const void *head, size_t n, char ret_version[static KERNEL_VERSION_MAX])
{
	const uint8_t *p = head;

	if (n < HEADER_END || !has(p, n, MAGIC, "HdrS"))
		return false;
	uint64_t at = load_le16(p + KERNEL_VERSION);
	return at && range_in(at + SECTOR, 1, n) &&
	       version_at(p + at + SECTOR, n - at - SECTOR, ret_version);
}

static int damaged(struct err *e, const char *what)
{
	return err_set(e, ERR_INVALID, ENOEXEC, "damaged kernel: %s", what);
}

static int old(struct err *e, const char *what)
{
	return err_set(e, ERR_UNSUPPORTED, ENOEXEC, "%s, where x86-64 is needed", what);
}

/*
 * Every format but gzip, whose last four bytes are the length anyway, has it appended
 * (Linux scripts/Makefile.lib, "size_append"), which its decompressor must not see.
 */
static void read_payload_end(const uint8_t *p, struct bzimage *b)
{
	if (b->format == BZIMAGE_ELF || b->format == BZIMAGE_UNKNOWN || b->payload_n < 8)
		return;
	b->vmlinux_n = load_le32(p + b->payload + b->payload_n - 4);
	if (b->format != BZIMAGE_GZIP)
		b->payload_n -= 4;
}

int bzimage_read(const void *image, size_t n, struct bzimage *ret, struct err *e)
{
	const uint8_t *p = image;
	const char *other = other_kind(p, n);
	struct bzimage b = {};

	if (other && !has(p, n, MAGIC, "HdrS")) {
		char what[40] = "a kernel for ";

		memcpy(what + strlen(what), other, strlen(other) + 1);
		return old(e, what);
	}
	if (has(p, n, 4, "zimg"))
		return err_set(e, ERR_UNSUPPORTED, ENOEXEC,
			       "an EFI zboot image: its kernel must be taken out of it first");
	if (!has(p, n, MAGIC, "HdrS"))
		return err_set(e, ERR_INVALID, ENOEXEC, "not a Linux kernel");
	if (n < HEADER_END || load_le16(p + BOOT_FLAG) != 0xaa55)
		return damaged(e, "its setup header is not whole");
	uint16_t protocol = load_le16(p + PROTOCOL);
	if (protocol < PAYLOAD_SINCE)
		return err_set(e, ERR_UNSUPPORTED, ENOEXEC,
			       "a kernel older than Linux 2.6.26 (boot protocol %u.%02u)",
			       protocol >> 8, protocol & 0xffu);
	if (protocol < XLF_SINCE || !(load_le16(p + XLOADFLAGS) & XLF_KERNEL_64))
		return old(e, "a 32-bit kernel");
	uint64_t setup = p[SETUP_SECTS] ? p[SETUP_SECTS] : 4;
	uint64_t start = (setup + 1) * SECTOR;
	(void) bzimage_version(p, n, b.version); /* without one it is still a kernel */
	b.payload = start + load_le32(p + PAYLOAD_OFFSET);
	b.payload_n = load_le32(p + PAYLOAD_LENGTH);
	if (b.payload_n == 0 || b.payload < start)
		return damaged(e, "it has no payload");
	if (!range_in(b.payload, b.payload_n, n))
		return damaged(e, "it ends within its payload: the file is cut short");
	b.format = bzimage_format_of(p + b.payload, b.payload_n);
	read_payload_end(p, &b);
	*ret = b;
	return 0;
}
