/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `build`: an image from a Containerfile and a context. Stages that the wanted one does not need
 * are left out; a step whose key (its words, what it starts from, what it copies) gave an image
 * before takes that one. RUN is a workload like any other, behind the wall that is asked for.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "fmt/digest.h"
#include "fmt/json.h"

struct svc;

struct svc_build_secret {
	const char *id, *path;
};

struct svc_build {
	const char *context; /* a directory; NULL: none */
	const char *file;    /* NULL: Containerfile or Dockerfile in the context */
	int file_fd;	     /* borrowed; or FD_NONE: `file` is opened */
	const char *const *names;
	size_t names_n;
	const char *target; /* a stage by name or number; NULL: the last */
	const struct json_pair *args;
	size_t args_n;
	const struct json_pair *labels;
	size_t labels_n;
	bool no_cache;
	const char *isolation;		/* of RUN; NULL: container */
	const char *network;		/* of RUN; NULL: host */
	const char *const *extra_hosts; /* "NAME:ADDR" */
	size_t extra_hosts_n;
	const struct svc_build_secret *secrets;
	size_t secrets_n;
	/* An image of FROM or --from that is to be here; 0, or -1 with *e. */
	int (*need)(void *user, const char *image, struct err *e);
	void (*told)(void *user, const char *line); /* or NULL */
	void *user;
	int out[2]; /* borrowed: where RUN's stdout and stderr go */
};

/*
 * Fails: INVALID, with the file's name and line; NOT_FOUND; REMOTE a RUN that ended with another
 * status than 0; as workload_start() and svc_image_commit(). Nothing is named then.
 */
[[nodiscard]] int svc_build(struct svc *s, const struct svc_build *req,
			    char ret_id[static DIGEST_TEXT_MAX], struct err *e);

struct svc_image_removed;
/* What builds keep for later ones; what running builds need stays. */
[[nodiscard]] int svc_build_prune(struct svc *s, struct svc_image_removed *ret_removed,
				  struct err *e);
