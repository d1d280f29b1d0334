/* SPDX-License-Identifier: Apache-2.0 */
/* `pull`, `login` and `logout`: what the verbs of registries mean. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "fmt/digest.h"
#include "image/registry.h"

struct svc;
struct svc_image_result;

struct svc_layer_step {
	enum svc_layer_kind {
		SVC_LAYERS_BEGIN,  /* of an image with n layers */
		SVC_LAYER_EXISTS,  /* a layer: it is where it is to be */
		SVC_LAYER_WAITS,   /* it is to be fetched, or sent */
		SVC_LAYER_GOES_ON, /* `bytes` of `total` are */
		SVC_LAYER_FETCHED,
		SVC_LAYER_MOUNTED,  /* of a push: from another repository */
		SVC_LAYER_COMPLETE, /* and unpacked; or sent */
	} kind;
	const char *name;  /* BEGIN: familiar, with its tag or digest */
	const char *from;  /* BEGIN: where, when that is another place; of MOUNTED; or NULL */
	const char *layer; /* else: the first of its digest */
	size_t i, n;	   /* of the layers */
	uint64_t bytes, total;
};

struct svc_image_pull {
	const char *image;    /* a reference */
	const char *platform; /* "os/arch[/variant]", or NULL: this machine's */
	bool no_verify;	      /* any certificate, or no TLS */
	/* Or NULL. By several threads, one call at a time. */
	void (*told)(void *user, const struct svc_layer_step *step);
	/*
	 * Or NULL, where nobody can be asked: which of n names is meant by this one without a
	 * registry.
	 */
	int (*choose)(void *user, const char *name, const char *const *names, size_t n,
		      size_t *ret_i, struct err *e);
	void *user;
};
/*
 * Where it is fetched from is said by registries.conf(5).
 *
 * Fetch an image that is not here, or is another one by now. Nothing of it is visible until it is
 * whole; what was fetched of it before a failure is not fetched again. The digest is that of the
 * manifest, or of the index it was chosen from. Fails: NOT_FOUND, DENIED, REMOTE, INVALID where the
 * registry gives other bytes than it says, UNSUPPORTED.
 */
[[nodiscard]] int svc_image_pull(struct svc *s, const struct svc_image_pull *req,
				 struct svc_image_result *ret_result, struct digest *ret_digest,
				 struct err *e);

struct svc_image_push {
	const char *image; /* a reference: what is pushed, and where to */
	bool no_verify;
	void (*told)(void *user, const struct svc_layer_step *step); /* or NULL */
	void *user;
};
struct svc_image_pushed {
	char name[REFERENCE_MAX]; /* whole */
	struct digest digest;	  /* of the manifest */
	uint64_t size;
};
/*
 * What is not there is mounted from other repositories of the registry, or sent.
 * Its layers are sent as they are kept here, in the packing that they came in, or compressed from
 * the first push on where they were made here; the manifest, too,
 * if it came by one of these.
 */
[[nodiscard]] int svc_image_push(struct svc *s, const struct svc_image_push *req,
				 struct svc_image_pushed *ret_pushed, struct err *e);

struct svc_login_kept {
	char where[512];
	bool identity; /* an identity token, not the password */
};
/* Whether a registry ("" for docker.io) knows that user; then it is kept for later. */
[[nodiscard]] int svc_login(const char *server, const struct registry_login *login, bool no_verify,
			    struct svc_login_kept *ret_kept, struct err *e);
/* NOT_FOUND: nobody is logged in there. */
[[nodiscard]] int svc_logout(const char *server, char ret_where[static 512], struct err *e);
