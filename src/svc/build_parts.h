/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a build; for the files build*.c alone. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "fmt/containerfile.h"
#include "fmt/ignorefile.h"
#include "fmt/oci_image.h"
#include "image/content.h"
#include "image/hash.h"
#include "image/resolve.h"
#include "svc/build.h"
#include "svc/svc.h"

#define BUILD_NO_STAGE SIZE_MAX

struct build_stage {
	const char *name;	 /* or NULL */
	const char *base;	 /* of FROM, its variables known */
	size_t base_stage;	 /* or BUILD_NO_STAGE */
	size_t from, first, end; /* steps: its FROM, and those that follow */
	size_t number;		 /* of its first step among all that are done */
	bool needed, done;
	struct image *image; /* what came of it, once done; the builder's */
};

/* A stage while it is made. */
struct build_state {
	struct image *image; /* of the layers so far */
	struct oci_image_config config;
	struct oci_run_config run; /* which is config's */
	struct json_pair *args;	   /* ARG's; value NULL: it has none */
	size_t args_n;
	struct digest key; /* of all since the image */
	bool dirty;	   /* config says more than the image */
	bool has_cmd;	   /* CMD stood in this stage */
};

struct builder {
	struct svc *svc;
	const struct svc_build *req;
	struct arena arena;
	struct content content; /* held, so that nothing is swept meanwhile */
	struct str text;	/* of the Containerfile */
	const char *file;	/* what it is called in messages */
	struct containerfile cf;
	struct ignorefile ignore;
	int context_fd;		/* or FD_NONE */
	int ask_fd;		/* of a child that makes one stage; else FD_NONE */
	size_t stage;		/* that is being made here */
	struct json_pair *args; /* ARG before the first FROM */
	size_t args_n;
	struct build_stage *stages;
	size_t stages_n, steps_n; /* steps of the needed stages */
	int64_t epoch;		  /* seconds: what is made is of this time */
	bool epoch_set;		  /* by SOURCE_DATE_EPOCH */
	struct image **images;	  /* to be freed at the end */
	size_t images_n;
	char empty[CONTENT_NAME_MAX]; /* an empty directory of the content; "": not yet */
	struct build_guard *guard;    /* build_run.c; NULL until it is needed */
};

[[gnu::format(printf, 2, 3)]] void build_tell(const struct builder *b, const char *fmt, ...);
int build_no_memory(struct err *e);

/* ---- its stages (build.c, build_stages.c) ---- */

/* One stage, whose base is done. */
[[nodiscard]] int build_stage(struct builder *b, size_t which, bool is_target, struct err *e);
/* All that are needed, side by side. */
[[nodiscard]] int build_stages(struct builder *b, size_t target, struct err *e);
/* Until that stage's image is there. */
[[nodiscard]] int build_await(struct builder *b, size_t stage, struct err *e);
/* A stage before this one by its name, in whatever case, or by its number; else BUILD_NO_STAGE. */
size_t build_find_stage(const struct builder *b, const char *name, size_t before);

/* ---- variables (build_vars.c) ---- */

/* ARG before the first FROM; and within a stage. */
[[nodiscard]] int build_arg(struct builder *b, struct build_state *st /* or NULL */,
			    const struct containerfile_step *s, struct err *e);
/* A word, and words, with the variables that are known there; st NULL: in FROM. */
[[nodiscard]] int build_word(struct builder *b, const struct build_state *st, struct str text,
			     const char **ret, struct err *e);
[[nodiscard]] int build_words(struct builder *b, const struct build_state *st, struct str text,
			      const char ***ret, size_t *ret_n, struct err *e);
/* A directory by WORKDIR's, without "." and "..": absolute. NULL: no memory. */
const char *build_path(struct builder *b, const struct build_state *st, const char *path);

/* ---- one step (build_step.c) ---- */

[[nodiscard]] int build_step(struct builder *b, struct build_state *st,
			     const struct containerfile_step *s, struct err *e);
/* An image of what the state says: its own, where that says all. labels: the user's, too. */
[[nodiscard]] int build_finish_stage(struct builder *b, struct build_state *st, bool is_target,
				     struct err *e);
/* The state goes on from this image, which becomes the builder's. */
[[nodiscard]] int build_adopt(struct builder *b, struct build_state *st, struct image *im,
			      struct err *e);
/* By reference or id; the builder's. */
[[nodiscard]] int build_image(struct builder *b, const char *ref, struct image **ret,
			      struct err *e);

/* What makes a layer: a step that adds to `upper` (a directory), seen in `root_fd`. */
struct build_layer_work {
	struct hash extra; /* what its key depends on beside its words */
	int (*make)(struct builder *b, struct build_state *st, void *user, int root_fd,
		    struct err *e);
	/* Or by itself: the descriptor of an upper directory, which `user` keeps, and its name in
	 * the content's tmp, where it may be taken; else "". */
	int (*make_upper)(struct builder *b, struct build_state *st, void *user, int *ret_upper_fd,
			  char ret_tmp[static CONTENT_NAME_MAX], struct err *e);
	void *user;
	bool may_be_none; /* where nothing changed there is no layer */
};
[[nodiscard]] int build_layer_step(struct builder *b, struct build_state *st, const char *text,
				   struct build_layer_work *w, struct err *e);

/* ---- COPY, ADD (build_copy.c) ---- */

[[nodiscard]] int build_copy(struct builder *b, struct build_state *st,
			     const struct containerfile_step *s, struct err *e);
/* The stage or image that --from names: its tree as a mount, read-only. Gives. */
[[nodiscard]] int build_from(struct builder *b, const char *name, int *ret_root_fd,
			     struct image **ret_image, struct err *e);
/* All files of a directory, by name and content, into the key of a step. */
[[nodiscard]] int build_hash_tree(struct builder *b, int root_fd, const char *path, bool context,
				  struct hash *h, struct err *e);

/* ---- RUN (build_run.c) ---- */

[[nodiscard]] int build_run(struct builder *b, struct build_state *st,
			    const struct containerfile_step *s, struct err *e);
void build_run_end(struct builder *b);
