/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan: which packages of an image or a workload have known faults, by data bases of advisories
 * that the user supplied. Nothing is fetched. Feeds and files are read by atoll-image.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "fmt/oci_image.h"
#include "fmt/scan_report.h"
#include "svc/svc.h"

#define SCAN_BASE_NAME_MAX 64

struct scan_base_info {
	const char *name;
	uint64_t advisories, size;
	nsec_t imported;
};

struct scan_base_import {
	const char *name;
	const char *path;    /* a feed, an archive of feeds, a directory of those, "-": stdin */
	const char *release; /* of a debsecan feed; NULL: what file or data base are called */
};
/* One that is there by this name is replaced, once the new one is whole. */
[[nodiscard]] int scan_base_import(struct svc *s, const struct scan_base_import *req,
				   uint64_t *ret_advisories, struct err *e);
/* In the order of their names; in the arena. */
[[nodiscard]] int scan_base_list(struct svc *s, struct arena *a, struct scan_base_info **ret,
				 size_t *ret_n, struct err *e);
[[nodiscard]] int scan_base_remove(struct svc *s, const char *name, struct err *e);

/* A data base that was imported longer ago misses what became known since. */
#define SCAN_BASE_OLD (7 * 24 * 3600 * NSEC_PER_SEC)

/* What a scan looks things up in. */
struct scan_bases {
	int fds[OCI_LAYERS_MAX]; /* owned */
	size_t n;
	nsec_t oldest; /* when that one was imported; 0: those given by path */
};
/* paths: feeds to read for this scan alone; n 0: what was imported. NOT_FOUND: nothing was. */
[[nodiscard]] int scan_bases_open(struct svc *s, const char *const *paths, size_t n,
				  const char *release, struct scan_bases *ret, struct err *e);
void scan_bases_close(struct scan_bases *b);
#define auto_scan_bases __attribute__((cleanup(scan_bases_close)))

struct scan_target {
	const char *name;
	bool workload;
	nsec_t created; /* the image; 0 unknown */
	struct scan_report report;
};
struct image;
/* In the arena; findings are sorted (scan_report_sort). */
[[nodiscard]] int svc_scan_image(struct svc *s, const struct scan_bases *b, const struct image *im,
				 struct arena *a, struct scan_target *ret, struct err *e);
/* An image, or where there is none by this name a workload: its own files, as they are. */
[[nodiscard]] int svc_scan(struct svc *s, const struct scan_bases *b, const char *ref,
			   struct arena *a, struct scan_target *ret, struct err *e);

/* How long packages of its release are mended. */
struct scan_support {
	const char *end; /* "2028-06-30"; NULL: not known */
	bool over;
};
struct scan_support scan_support(const struct os_release *o, nsec_t now);
