/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How kernels that are ready to be booted are kept, for who makes them (atoll-kernel) and who looks
 * them up (the microvm engine): the text of the record beside the files, and the name of the link
 * by which they are found without reading what they were made of.
 *
 *	CACHE/HEX/vmlinux, initramfs, record	HEX: sha256 of all they were made of
 *	CACHE/@STAMP -> HEX			what those files looked like then
 *	CACHE/lock				held by who makes one
 *	CACHE/new.*				being made, or left by who was killed
 *
 * The files' times are 0: a file that has been written to since has another. Nothing is synced: a
 * power cut may have left anything, so after a boot the files are compared with the record's
 * digests once, which is then of that boot.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "fmt/bzimage.h"
#include "fmt/digest.h"

/* Counts up whenever other files are made of the same input, or the record changes. */
#define PREPARED_FORMAT	   "atoll-kernel 3"
#define PREPARED_VMLINUX   "vmlinux"
#define PREPARED_INITRAMFS "initramfs"
#define PREPARED_RECORD	   "record"
#define PREPARED_LOCK	   "lock"
#define PREPARED_NEW	   "new."
#define PREPARED_PATH_MAX  4096
#define PREPARED_LACKS_MAX 256

struct prepared_file {
	uint64_t size;
	struct digest digest;
};

#define PREPARED_BOOT_MAX 37 /* as sys/process.h has it */

struct prepared {
	char boot[PREPARED_BOOT_MAX]; /* the boot's id in which the files were last known good */
	char version[KERNEL_VERSION_MAX];
	char kernel[PREPARED_PATH_MAX]; /* the path it was made of, "" unknown; to be shown */
	char lacks[PREPARED_LACKS_MAX]; /* modules it would have used, "a b", often "" */
	struct digest source;		/* sha256 of the kernel's file */
	struct prepared_file vmlinux, initramfs;
};

#define PREPARED_RECORD_MAX 8192
void prepared_write(const struct prepared *p, struct buf *out);
/* -EINVAL: not a record of this version. */
[[nodiscard]] int prepared_read(struct str text, struct prepared *ret);

/* Whether the file is as it was made, by its looks. */
bool prepared_intact(const struct prepared_file *f, const struct stat *st);

#define PREPARED_STAMP_MAX 256 /* fits a file's name */
/* Of the kernel's file, the agent's, and the list of modules. false: numbers too large for a name.
 */
bool prepared_stamp(const struct stat *kernel, const struct stat *agent, const struct stat *modules,
		    char ret_name[static PREPARED_STAMP_MAX]);
