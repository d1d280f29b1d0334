/* SPDX-License-Identifier: Apache-2.0 */
#include "image/resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "fmt/shown.h"
#include "image/registries_read.h"
#include "store/store.h"

#define ARENA_MAX ((size_t) 64 << 20)

static int not_found(const char *text, struct err *e)
{
	return err_set(e, ERR_NOT_FOUND, ENOENT,
		       "no such image: %s (get one with `atoll pull`, `atoll load` or `atoll image "
		       "bootstrap`)",
		       shown_of(str_of(text)).z);
}

static int find(struct store *s, const char *text, struct image *im, struct err *e)
{
	struct reference ref = {};
	struct err bad = {};
	struct str hex = {};
	bool found = false, is_id = reference_is_id(str_of(text), &hex);
	int r = 0;

	/* A whole id is never a name: the quick way of every start. */
	if (!(is_id && hex.n == DIGEST_HEX_LEN)) {
		if (reference_parse(str_of(text), &ref, &bad) < 0) {
			if (!is_id) {
				*e = bad;
				return -EINVAL;
			}
		} else {
			reference_default_tag(&ref);
			if (ref.has_digest) { /* as it was pulled */
				struct reference by = ref;

				by.tag[0] = '\0';
				reference_text(&by, im->name);
				r = store_image_by_name(s, &im->arena, im->name, &im->row, &found,
							e);
				if (r < 0 || found)
					return r;
				im->name[0] = '\0';
			}
			if (ref.has_digest && !ref.tag[0]) {
				char id[DIGEST_HEX_MAX];

				digest_hex(&ref.digest, id);
				r = store_image_by_prefix(s, &im->arena, str_of(id), &im->row,
							  &found, e);
			} else {
				bool pinned = ref.has_digest;

				ref.has_digest = false;
				reference_text(&ref, im->name);
				r = store_image_by_name(s, &im->arena, im->name, &im->row, &found,
							e);
				if (r == 0 && found && pinned &&
				    !digest_eq(&im->row.id, &ref.digest) &&
				    !(im->row.has_manifest &&
				      digest_eq(&im->row.manifest, &ref.digest)))
					found = false;
			}
			if (r < 0 || found)
				return r;
			im->name[0] = '\0';
		}
	}
	if (is_id)
		r = store_image_by_prefix(s, &im->arena, hex, &im->row, &found, e);
	if (r == 0 && !found)
		r = not_found(text, e);
	return r;
}

/* What a name without a registry means by registries.conf(5), where docker.io's is not here. */
static int find_meant(struct store *s, const char *text, struct image *im, bool *ret_found,
		      struct err *e)
{
	auto_registries struct registries c = REGISTRIES_INIT;
	struct reference *refs = NULL;
	struct str hex;
	size_t n = 0;
	int r = 0;

	if (reference_is_id(str_of(text), &hex) && hex.n == DIGEST_HEX_LEN)
		return 0;
	if (reference_is_short(str_of(text))) {
		r = registries_read(&c, e);
		r = r < 0 ? r : registries_meant(&c, str_of(text), &refs, &n, e);
	}
	for (size_t i = 0; i < n && r == 0 && !*ret_found; i++) {
		char whole[REFERENCE_MAX];
		struct err none = {};

		reference_text(&refs[i], whole);
		if (find(s, whole, im, &none) == 0)
			*ret_found = true;
		else if (none.kind != ERR_NOT_FOUND) {
			*e = none;
			r = -EIO;
		}
	}
	return r;
}

int image_resolve(struct store *s, const char *text, struct image **ret_image, struct err *e)
{
	struct image *im = calloc(1, sizeof(*im));
	int r;

	if (!im)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
	im->arena = ARENA_INIT(ARENA_MAX);
	r = find(s, text, im, e);
	if (r < 0 && e->kind == ERR_NOT_FOUND) {
		struct err why = {};
		bool found = false;

		if (find_meant(s, text, im, &found, &why) == 0)
			r = found ? 0 : r;
		else
			*e = why;
	}
	if (r == 0)
		r = oci_image_config_decode(&im->arena, im->row.config, &im->config, e);
	if (r < 0) {
		image_free(im);
		return r;
	}
	im->id = im->row.id;
	digest_text(&im->id, im->id_text);
	*ret_image = im;
	return 0;
}

void image_free(struct image *im)
{
	if (!im)
		return;
	arena_fini(&im->arena);
	free(im);
}

int image_layer_fds(struct store *s, const struct image *im, int *ret_fds, size_t *ret_n,
		    struct err *e)
{
	size_t n = im->row.chains_n;

	for (size_t i = 0; i < n; i++) {
		char hex[DIGEST_HEX_MAX];
		struct path_text path;
		int fd;

		digest_hex(&im->row.chains[n - 1 - i], hex);
		path = paths_layer(&s->paths, hex);
		fd = open(path.z, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0) {
			int sys = errno;

			while (i-- > 0)
				(void) close(ret_fds[i]);
			return err_sys(
				e, sys,
				"layer %s of image %.19s is missing: remove the image and load "
				"it again (%s)",
				hex, im->id_text, path.z);
		}
		ret_fds[i] = fd;
	}
	*ret_n = n;
	return 0;
}
