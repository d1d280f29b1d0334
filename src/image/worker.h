/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running atoll-image, the confined program that reads archives and writes and scans trees. It
 * gets open descriptors and fixed-size requests, and answers with fixed-size results; nothing that
 * an archive says is parsed in the caller's process, but for the report of a scan.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "fmt/digest.h"

/* What an archive may cost before it is refused. 0 in a request: these defaults. */
#define UNPACK_BYTES_MAX   ((uint64_t) 64 << 30) /* unpacked */
#define UNPACK_ENTRIES_MAX 4000000u
#define UNPACK_RATIO_MAX                                                                           \
	1100u /* unpacked to packed past the first 64 MiB; deflate's own limit is 1032 */

struct unpack_request {
	int in_fd;     /* borrowed; read from its position unless in_size says otherwise */
	bool in_range; /* pread [in_off, in_off + in_size) of a file instead */
	uint64_t in_off, in_size;
	int dir_fd;	      /* borrowed; an empty directory (layers) or any (trees) */
	const int *lower_fds; /* layers beneath, topmost first: for hard links and parents there */
	size_t lower_n;
	int copy_fd;	 /* FD_NONE, or where the packed bytes are copied to (a blob) */
	bool plain_tree; /* no whiteouts: write entries as they are, over what is there */
	bool no_owner;	 /* plain_tree: all belongs to root, as `cp` without -a */
	uint64_t bytes_max, entries_max;
};

struct unpack_result {
	struct digest packed; /* of the bytes as they came */
	struct digest diff;   /* of the tar */
	uint64_t packed_bytes, tar_bytes;
	uint64_t file_bytes; /* in regular files */
	uint64_t entries;
	uint64_t left_out; /* of a tree that is packed: sockets, access control lists */
	enum unpack_format { UNPACK_TAR, UNPACK_GZIP, UNPACK_ZSTD } format;
};

/*
 * Unpack one archive. On failure the directory's content is undefined: the caller removes it.
 * Fails: INVALID (damaged or hostile archive, with the entry's name), EXHAUSTED (a limit, the
 * disk).
 */
[[nodiscard]] int worker_unpack(const struct unpack_request *r, struct unpack_result *ret_result,
				struct err *e);

/* Inflate (gzip, zstd, or copy as it is) in_fd to out_fd, hashing both sides; nothing is unpacked.
 */
[[nodiscard]] int worker_expand(int in_fd, int out_fd, uint64_t bytes_max,
				struct unpack_result *ret_result, struct err *e);

/* The members of a tar in a regular file, without their data. */
struct archive_member {
	const char *name;   /* as written, without leading "./" */
	const char *link;   /* target of a symbolic or hard link, else NULL */
	uint64_t off, size; /* of the data in the file */
	bool dir;
};
struct arena;
[[nodiscard]] int worker_index(int in_fd, struct arena *a, struct archive_member **ret_members,
			       size_t *ret_n, struct err *e);

struct pack_request {
	int dir_fd; /* borrowed */
	int out_fd; /* borrowed; gets a tar with sorted entries */
	/* The directory is an overlay's upper: character devices 0:0 become ".wh.NAME" and opaque
	 * directories get ".wh..wh..opq". */
	bool overlay_upper;
	bool sparse;	   /* files with holes keep them: how, depends on the file system */
	int64_t mtime_max; /* seconds; later times are clamped to it; INT64_MAX: as they are */
	const char *only;  /* one component of dir_fd to pack instead of all, or NULL */
	const char
		*prefix; /* what `only`, or the directory itself, is called in the tar, or NULL */
};
/* *ret_result: tar_bytes, diff, left_out, and file_bytes but of files with holes kept so. */
[[nodiscard]] int worker_pack(const struct pack_request *r, struct unpack_result *ret_result,
			      struct err *e);

/* in_fd, to its end, as gzip into out_fd: the same bytes give the same. *ret_result is of both. */
[[nodiscard]] int worker_squeeze(int in_fd, int out_fd, struct unpack_result *ret_result,
				 struct err *e);

/*
 * Feeds of advisories into one data base (fmt/advisory.h), written to out_fd: a file of them,
 * plain, packed by gzip, zstd or zlib, or a zip or tar archive; or all in a directory. Gives how
 * many advisories there are in *ret_n.
 */
struct advise_request {
	int in_fd, dir_fd;   /* borrowed; one of them FD_NONE */
	int out_fd;	     /* borrowed */
	const char *release; /* that a debsecan feed is of, or NULL */
};
[[nodiscard]] int worker_advise(const struct advise_request *r, uint64_t *ret_n, struct err *e);

/* A tree's packages against such data bases; what comes out is fmt/scan_report.h's. */
struct scan_request {
	int dir_fd;	     /* borrowed: a mount of its own */
	const int *base_fds; /* borrowed */
	size_t bases_n;	     /* at most OCI_LAYERS_MAX */
	int out_fd;	     /* borrowed */
};
[[nodiscard]] int worker_scan(const struct scan_request *r, uint64_t *ret_packages, struct err *e);

/* Gives a file of memory with this text, to be read from its beginning. */
[[nodiscard]] int worker_text_file(struct str text, struct err *e);

/* Of a payload, by one of these keys. */
struct verify_request {
	struct str payload, signature;
	const int *key_fds; /* borrowed: public keys in PEM */
	size_t keys_n;	    /* at most OCI_LAYERS_MAX */
};
struct verify_result {
	bool good;
	size_t key;	     /* the first that it is good by */
	struct digest print; /* SHA-256 of that one (SubjectPublicKeyInfo) */
};
/* Fails: INVALID a key is none; UNSUPPORTED it is none of those we know. A bad signature is none.
 */
[[nodiscard]] int worker_verify(const struct verify_request *r, struct verify_result *ret_result,
				struct err *e);
