/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The setup header of a compressed Linux kernel for x86 (Linux Documentation/arch/x86/boot.rst):
 * which release it is, and where in the file the compressed vmlinux lies. Nothing is decompressed
 * here, and nothing booted.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum bzimage_format {
	BZIMAGE_UNKNOWN,
	BZIMAGE_GZIP,
	BZIMAGE_XZ,
	BZIMAGE_ZSTD,
	BZIMAGE_LZ4,
	BZIMAGE_LZMA,
	BZIMAGE_BZIP2,
	BZIMAGE_LZO,
	BZIMAGE_ELF, /* stored as it is */
};

#define KERNEL_VERSION_MAX 65 /* as uname(2)'s release, with the NUL */

struct bzimage {
	char version[KERNEL_VERSION_MAX]; /* "6.1.0-56-cloud-amd64", "" when it says none */
	uint64_t payload, payload_n;	  /* in the file, and within it; without what follows */
	enum bzimage_format format;
	uint64_t vmlinux_n; /* bytes once decompressed, by its own word; 0: it says nothing */
};

/* Whether the first bytes are those of a bzImage at all, or of a kernel image near to one. */
bool bzimage_is(const void *image, size_t n);

/*
 * Check and take apart. INVALID: damaged, cut short; UNSUPPORTED: for another processor, too old.
 * The message says so in a few words, without a name.
 */
[[nodiscard]] int bzimage_read(const void *image, size_t n, struct bzimage *ret, struct err *e);

/*
 * The release alone, from the file's first bytes: BZIMAGE_HEAD_MAX are enough. false: no bzImage,
 * or it says none.
 */
#define BZIMAGE_HEAD_MAX (64u << 10)
bool bzimage_version(const void *head, size_t n, char ret_version[static KERNEL_VERSION_MAX]);

enum bzimage_format bzimage_format_of(const void *payload, size_t n);
const char *bzimage_format_name(enum bzimage_format f);

/*
 * The release in a vmlinux: what follows "Linux version " where it is a sensible one; false: none
 * found.
 */
bool kernel_version_in(const void *vmlinux, size_t n, char ret_version[static KERNEL_VERSION_MAX]);
/* Whether the text can be a release, and so the name of a directory of modules. */
bool kernel_version_ok(struct str version);
