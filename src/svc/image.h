/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the image verbs mean: load, save, import, bootstrap, ls, inspect, history, tag, rm, prune,
 * commit. Plain structs in and out; every result that owns memory carries one arena. The bytes are
 * handled by image/, the records by store/image.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "fmt/json.h"
#include "image/resolve.h"

struct svc;

/* Told while something long goes on, for a terminal. done/total in bytes, total 0 when unknown. */
struct svc_progress {
	void (*told)(void *user, const char *what, uint64_t done, uint64_t total);
	void *user;
};

/* Images made or touched by a verb. */
struct svc_image_result {
	struct arena arena;
	struct svc_image_made {
		const char *id;	    /* "sha256:HEX" */
		const char **names; /* familiar references given to it */
		size_t names_n;
		bool existed; /* it was here already */
	} * items;
	size_t n;
};
void svc_image_result_fini(struct svc_image_result *r);

/* Whether an image is here by this reference or id. */
bool svc_image_is_here(struct svc *s, const char *ref);

struct svc_image_load {
	const char *path; /* an archive, an OCI layout's directory, or NULL: read fd */
	int fd;		  /* borrowed */
	const struct svc_progress *progress; /* or NULL */
};
/* docker-archive or OCI layout; plain, gzip or zstd; file, directory or stream. */
[[nodiscard]] int svc_image_load(struct svc *s, const struct svc_image_load *req,
				 struct svc_image_result *ret_result, struct err *e);

struct svc_image_save {
	const char *const *images; /* references or ids */
	size_t images_n;
	int out_fd; /* borrowed */
	enum svc_image_format {
		SVC_IMAGE_DOCKER,
		SVC_IMAGE_OCI,
		SVC_IMAGE_EROFS, /* one image: its files as a disk (svc/image_disk.h) */
	} format;
};
[[nodiscard]] int svc_image_save(struct svc *s, const struct svc_image_save *req, struct err *e);

struct svc_image_import {
	const char *path; /* a root file system's tar (plain, gzip, zstd) or NULL: read fd */
	int fd;
	const char *name;	    /* reference to give, or NULL */
	const char *message;	    /* for history, or NULL */
	const char *const *changes; /* "CMD [...]", "ENV A=b", "EXPOSE 80", ... */
	size_t changes_n;
	const char *platform; /* "os/arch[/variant]" or NULL: this machine's */
};
[[nodiscard]] int svc_image_import(struct svc *s, const struct svc_image_import *req,
				   struct svc_image_result *ret_result, struct err *e);

struct svc_image_bootstrap {
	const char *base;    /* "debian:bookworm" */
	const char *include; /* packages separated by commas or blanks, or NULL */
	const char *name;    /* reference; NULL: base itself, with "-" and the packages when any */
	const char *mirror;  /* NULL: what the host's apt uses */
	const char *variant; /* mmdebstrap's; NULL: minbase */
	const char *const *changes;
	size_t changes_n;
	int log_fd; /* mmdebstrap's words go here; FD_NONE: shown only on failure */
};
/*
 * Build an image from Debian's packages. The same packages on the same day (UTC; or
 * SOURCE_DATE_EPOCH) give the same digest.
 */
[[nodiscard]] int svc_image_bootstrap(struct svc *s, const struct svc_image_bootstrap *req,
				      struct svc_image_result *ret_result, struct err *e);

/* `commit`: the workload's overlay upper becomes a layer on its image. */
struct svc_image_commit {
	const char *base_id;		     /* "sha256:HEX": the workload's image */
	int upper_fd;			     /* borrowed; the overlay's upper directory */
	const struct oci_run_config *config; /* the workload's own; NULL: the image's */
	const char *name;		     /* or NULL */
	const char *author, *message;
	const char *created_by; /* for history: the workload's command line */
	const char *const *changes;
	size_t changes_n;
};
[[nodiscard]] int svc_image_commit(struct svc *s, const struct svc_image_commit *req,
				   struct svc_image_result *ret_result, struct err *e);

struct svc_image_filter {
	bool all;		       /* also what builds keep for later ones */
	const char *const *references; /* globs on familiar names, any of them; NULL: all */
	size_t references_n;
	enum { SVC_DANGLING_ANY, SVC_DANGLING_ONLY, SVC_DANGLING_NOT } dangling;
	const char *const *labels; /* "key" or "key=value", all of them */
	size_t labels_n;
	const char *before, *since; /* references or ids */
	nsec_t until;		    /* created before; 0: any */
};

struct svc_image_summary {
	const char *id;
	const char **names; /* familiar "repo:tag"; none: dangling */
	size_t names_n;
	nsec_t created; /* 0 unknown */
	uint64_t size, shared_size, unique_size;
	uint64_t containers; /* workloads that use it */
	struct json_pair *labels;
	size_t labels_n;
};
struct svc_image_list {
	struct arena arena;
	struct svc_image_summary *items; /* newest first */
	size_t n;
	uint64_t layers_size; /* of all layers on disk, each once */
};
[[nodiscard]] int svc_image_list(struct svc *s, const struct svc_image_filter *f,
				 struct svc_image_list *ret_list, struct err *e);
void svc_image_list_fini(struct svc_image_list *l);

/* docker's `image inspect` object, appended with the writer. */
[[nodiscard]] int svc_image_inspect(struct svc *s, const char *ref, struct json_writer *w,
				    struct err *e);

struct svc_image_step {
	const char *id; /* "sha256:HEX" for the top, "<missing>" below, as docker shows */
	nsec_t created;
	const char *created_by, *comment;
	uint64_t size;
	const char **names;
	size_t names_n;
};
struct svc_image_history {
	struct arena arena;
	struct svc_image_step *items; /* newest first */
	size_t n;
};
[[nodiscard]] int svc_image_history(struct svc *s, const char *ref,
				    struct svc_image_history *ret_history, struct err *e);
void svc_image_history_fini(struct svc_image_history *h);

[[nodiscard]] int svc_image_tag(struct svc *s, const char *source, const char *target,
				struct err *e);

/* What went, line by line as docker prints it. */
struct svc_image_removed {
	struct arena arena;
	struct svc_image_gone {
		bool deleted;	  /* else untagged */
		const char *what; /* familiar reference, or id */
	} * items;
	size_t n;
	uint64_t reclaimed; /* bytes */
};
void svc_image_removed_fini(struct svc_image_removed *r);
/*
 * Untag, and delete with the last name. By id with several names: only with force. CONFLICT while a
 * workload uses it; force untags all the same but never takes layers from a workload.
 */
[[nodiscard]] int svc_image_remove(struct svc *s, const char *ref, bool force,
				   struct svc_image_removed *ret_removed, struct err *e);
/* Dangling images, or with all every image no workload uses; and what failed loads left. */
[[nodiscard]] int svc_image_prune(struct svc *s, bool all, const struct svc_image_filter *f,
				  struct svc_image_removed *ret_removed, struct err *e);
