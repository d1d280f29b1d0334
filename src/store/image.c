/* SPDX-License-Identifier: Apache-2.0 */
#include "store/image.h"

#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "store/store.h"

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory reading image records");
}

static int damaged(struct err *e)
{
	return err_set(e, ERR_INTERNAL, 0,
		       "an image's record is damaged: run `atoll system repair`");
}

/* Words parted by blanks into the arena; NULL-terminated. */
static const char **split(struct arena *a, const char *text, size_t *ret_n)
{
	const char **words = NULL;
	struct str rest = str_of(text ? text : "");
	size_t n = 0;

	while (rest.p && rest.n) {
		struct str word = str_cut(rest, ' ', &rest);
		const char **slot = arena_push(a, &words, &n, sizeof(*words));

		if (!slot || !(*slot = arena_dup(a, word)))
			return NULL;
	}
	if (!arena_push(a, &words, &n, sizeof(*words)))
		return NULL;
	*ret_n = n - 1;
	return words;
}

static int parse_chains(struct arena *a, const char *text, struct store_image *im, struct err *e)
{
	size_t n;
	const char **hex = split(a, text, &n);

	im->chains = hex ? arena_array(a, n + 1, sizeof(*im->chains)) : NULL;
	if (!im->chains)
		return no_memory(e);
	for (size_t i = 0; i < n; i++)
		if (digest_parse_hex(str_of(hex[i]), &im->chains[i]) < 0)
			return damaged(e);
	im->chains_n = n;
	return 0;
}

#define SELECT_IMAGE                                                                               \
	"SELECT i.id,i.config,i.created,i.added,i.size,i.chains,i.manifest,"                       \
	"(SELECT group_concat(name,' ') FROM (SELECT name FROM image_names WHERE image=i.id "      \
	"ORDER BY name)),"                                                                         \
	"(SELECT count(*) FROM image_pins WHERE image=i.id) FROM images i "

static int image_of(struct arena *a, struct sqlite3_stmt *st, struct store_image *ret,
		    struct err *e)
{
	const char *id = store_text(a, st, 0), *config = store_text(a, st, 1);
	const char *chains = store_text(a, st, 5), *manifest = store_text(a, st, 6);
	struct store_image im = {
		.config = str_of(config),
		.created = store_int(st, 2),
		.added = store_int(st, 3),
		.size = (uint64_t) store_int(st, 4),
		.pins = (uint64_t) store_int(st, 8),
	};
	int r;

	if (!id || !config || !chains)
		return no_memory(e);
	if (digest_parse_hex(str_of(id), &im.id) < 0)
		return damaged(e);
	if (manifest) {
		if (digest_parse_hex(str_of(manifest), &im.manifest) < 0)
			return damaged(e);
		im.has_manifest = true;
	}
	r = parse_chains(a, chains, &im, e);
	if (r < 0)
		return r;
	im.names = split(a, store_text(a, st, 7), &im.names_n);
	if (!im.names)
		return no_memory(e);
	*ret = im;
	return 0;
}

int store_image_by_name(struct store *s, struct arena *a, const char *name,
			struct store_image *ret_image, bool *ret_found, struct err *e)
{
	auto_stmt struct sqlite3_stmt *st = NULL;
	int r = store_prepare(s, SELECT_IMAGE "JOIN image_names n ON n.image=i.id WHERE n.name=?1",
			      STORE_ARGS(STORE_TEXT(name)), &st, e);

	if (r >= 0)
		r = store_step(s, st, e);
	if (r < 0)
		return r;
	*ret_found = r > 0;
	return r > 0 ? image_of(a, st, ret_image, e) : 0;
}

int store_image_by_prefix(struct store *s, struct arena *a, struct str hex,
			  struct store_image *ret_image, bool *ret_found, struct err *e)
{
	auto_stmt struct sqlite3_stmt *st = NULL;
	char from[DIGEST_HEX_MAX], to[DIGEST_HEX_MAX + 1];
	int r;

	if (hex.n == 0 || hex.n > DIGEST_HEX_LEN)
		return err_set(e, ERR_INVALID, EINVAL, "no image id: '%.*s'",
			       (int) (hex.n < 80 ? hex.n : 80), hex.p);
	/* 'g' comes after every hex digit: the range is the prefix. */
	memcpy(from, hex.p, hex.n);
	from[hex.n] = '\0';
	memcpy(to, hex.p, hex.n);
	memcpy(to + hex.n, "g", 2);
	r = store_prepare(s, SELECT_IMAGE "WHERE i.id>=?1 AND i.id<?2 LIMIT 2",
			  STORE_ARGS(STORE_TEXT(from), STORE_TEXT(to)), &st, e);
	if (r >= 0)
		r = store_step(s, st, e);
	if (r <= 0) {
		if (r == 0)
			*ret_found = false;
		return r;
	}
	r = image_of(a, st, ret_image, e);
	if (r < 0)
		return r;
	r = store_step(s, st, e);
	if (r > 0)
		return err_set(e, ERR_CONFLICT, EEXIST,
			       "several images have an id that begins with '%s': give more digits",
			       from);
	*ret_found = r == 0;
	return r;
}

int store_image_list(struct store *s, struct arena *a, struct store_image **ret_images,
		     size_t *ret_n, struct err *e)
{
	auto_stmt struct sqlite3_stmt *st = NULL;
	struct store_image *images = NULL;
	size_t n = 0;
	int r = store_prepare(s, SELECT_IMAGE "ORDER BY i.created DESC, i.seq DESC", NULL, &st, e);

	while (r >= 0) {
		struct store_image *slot;

		r = store_step(s, st, e);
		if (r <= 0)
			break;
		slot = arena_push(a, &images, &n, sizeof(*images));
		r = slot ? image_of(a, st, slot, e) : no_memory(e);
	}
	if (r < 0)
		return r;
	*ret_images = images;
	*ret_n = n;
	return 0;
}

/* Within the caller's write. */
static int name_image(struct store *s, const char *name, const char *id_hex, struct err *e)
{
	/* Nothing is written, and synced, where it is so already. */
	return store_run(s,
			 "INSERT INTO image_names(name,image) VALUES(?1,?2)"
			 " ON CONFLICT(name) DO UPDATE SET image=excluded.image"
			 " WHERE image<>excluded.image",
			 STORE_ARGS(STORE_TEXT(name), STORE_TEXT(id_hex)), NULL, e);
}

static int add_layers(struct store *s, const struct store_image *im, const char *id_hex,
		      struct err *e)
{
	for (size_t i = 0; i < im->chains_n; i++) {
		char chain[DIGEST_HEX_MAX];
		int r;

		digest_hex(&im->chains[i], chain);
		r = store_run(s, "INSERT INTO image_layers(image,pos,chain) VALUES(?1,?2,?3)",
			      STORE_ARGS(STORE_TEXT(id_hex), STORE_INT(i), STORE_TEXT(chain)), NULL,
			      e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add(struct store *s, const struct store_image *im, bool *ret_new, struct err *e)
{
	char id[DIGEST_HEX_MAX], manifest[DIGEST_HEX_MAX];
	auto_arena struct arena a = ARENA_INIT(4u << 20);
	auto_buf struct buf chains = BUF_INIT(1u << 20);
	const char *config = arena_dup(&a, im->config);
	int64_t changed = 0;
	int r;

	digest_hex(&im->id, id);
	digest_hex(&im->manifest, manifest);
	for (size_t i = 0; i < im->chains_n; i++) {
		char hex[DIGEST_HEX_MAX];

		digest_hex(&im->chains[i], hex);
		buf_addf(&chains, "%s%s", i ? " " : "", hex);
	}
	if (!config || !buf_ok(&chains))
		return no_memory(e);
	r = store_run(s,
		      "INSERT OR IGNORE INTO images(id,config,created,added,size,chains,manifest)"
		      " VALUES(?1,?2,?3,?4,?5,?6,?7)",
		      STORE_ARGS(STORE_TEXT(id), STORE_TEXT(config), STORE_INT(im->created),
				 STORE_INT(im->added), STORE_INT(im->size),
				 STORE_TEXT(buf_z(&chains)),
				 STORE_TEXT(im->has_manifest ? manifest : NULL)),
		      &changed, e);
	if (r >= 0 && changed > 0)
		r = add_layers(s, im, id, e);
	for (size_t i = 0; i < im->names_n && r >= 0; i++)
		r = name_image(s, im->names[i], id, e);
	if (r >= 0)
		*ret_new = changed > 0;
	return r;
}

/* End a write begun here or, nested, in the caller: by what came of it. */
static int end(struct store *s, int r, struct err *e)
{
	if (r < 0) {
		store_rollback(s);
		return r;
	}
	return store_commit(s, e);
}

int store_image_add(struct store *s, const struct store_image *image, bool *ret_new, struct err *e)
{
	int r = store_write(s, STORE_DURABLE, e);

	return r < 0 ? r : end(s, add(s, image, ret_new, e), e);
}

/* NOT_FOUND when there is no such image (any more). */
static int must_exist(struct store *s, const char *id_hex, struct err *e)
{
	auto_stmt struct sqlite3_stmt *st = NULL;
	int r = store_prepare(s, "SELECT 1 FROM images WHERE id=?1", STORE_ARGS(STORE_TEXT(id_hex)),
			      &st, e);

	if (r >= 0)
		r = store_step(s, st, e);
	if (r == 0)
		return err_set(e, ERR_NOT_FOUND, ENOENT, "image sha256:%s is gone", id_hex);
	return r < 0 ? r : 0;
}

int store_image_tag(struct store *s, const struct digest *id, const char *name, struct err *e)
{
	char hex[DIGEST_HEX_MAX];
	int r = store_write(s, STORE_DURABLE, e);

	if (r < 0)
		return r;
	digest_hex(id, hex);
	r = must_exist(s, hex, e);
	if (r == 0)
		r = name_image(s, name, hex, e);
	return end(s, r, e);
}

int store_image_untag(struct store *s, const char *name, bool *ret_found, struct err *e)
{
	int64_t changed = 0;
	int r = store_write(s, STORE_DURABLE, e);

	if (r < 0)
		return r;
	r = end(s,
		store_run(s, "DELETE FROM image_names WHERE name=?1", STORE_ARGS(STORE_TEXT(name)),
			  &changed, e),
		e);
	if (r >= 0)
		*ret_found = changed > 0;
	return r;
}

static int remove_image(struct store *s, const char *hex, struct err *e)
{
	auto_stmt struct sqlite3_stmt *st = NULL;
	auto_arena struct arena a = ARENA_INIT(65536);
	int r = store_prepare(s,
			      "SELECT COALESCE((SELECT name FROM workloads w WHERE w.id=p.owner),"
			      "p.owner) FROM image_pins p WHERE p.image=?1 LIMIT 1",
			      STORE_ARGS(STORE_TEXT(hex)), &st, e);

	if (r >= 0)
		r = store_step(s, st, e);
	if (r > 0) {
		const char *owner = store_text(&a, st, 0);

		if (owner && strncmp(owner, STORE_PIN_SNAPSHOT, strlen(STORE_PIN_SNAPSHOT)) == 0)
			return err_set(e, ERR_CONFLICT, EBUSY,
				       "image %.12s is used by snapshot '%s': remove that first "
				       "(atoll snapshot rm)",
				       hex, owner + strlen(STORE_PIN_SNAPSHOT));
		return err_set(e, ERR_CONFLICT, EBUSY,
			       "image %.12s is used by workload '%s': remove that first (atoll rm)",
			       hex, owner ? owner : "?");
	}
	if (r < 0)
		return r;
	return store_run(s, "DELETE FROM images WHERE id=?1", STORE_ARGS(STORE_TEXT(hex)), NULL, e);
}

int store_image_remove(struct store *s, const struct digest *id, struct err *e)
{
	char hex[DIGEST_HEX_MAX];
	int r = store_write(s, STORE_DURABLE, e);

	if (r < 0)
		return r;
	digest_hex(id, hex);
	return end(s, remove_image(s, hex, e), e);
}

int store_image_pin(struct store *s, const struct digest *id, const char *owner, struct err *e)
{
	char hex[DIGEST_HEX_MAX];
	int r = store_write(s, STORE_RELAXED, e);

	if (r < 0)
		return r;
	digest_hex(id, hex);
	r = must_exist(s, hex, e);
	if (r == 0)
		r = store_run(s, "INSERT OR IGNORE INTO image_pins(owner,image) VALUES(?1,?2)",
			      STORE_ARGS(STORE_TEXT(owner), STORE_TEXT(hex)), NULL, e);
	return end(s, r, e);
}

int store_image_unpin(struct store *s, const char *owner, struct err *e)
{
	int r = store_write(s, STORE_RELAXED, e);

	if (r < 0)
		return r;
	return end(s,
		   store_run(s, "DELETE FROM image_pins WHERE owner=?1",
			     STORE_ARGS(STORE_TEXT(owner)), NULL, e),
		   e);
}

int store_image_pins(struct store *s, struct arena *a, const struct digest *id,
		     const char ***ret_owners, size_t *ret_n, struct err *e)
{
	auto_stmt struct sqlite3_stmt *st = NULL;
	const char **owners = NULL;
	char hex[DIGEST_HEX_MAX];
	size_t n = 0;
	int r;

	digest_hex(id, hex);
	r = store_prepare(s, "SELECT owner FROM image_pins WHERE image=?1 ORDER BY owner",
			  STORE_ARGS(STORE_TEXT(hex)), &st, e);
	while (r >= 0) {
		const char **slot;

		r = store_step(s, st, e);
		if (r <= 0)
			break;
		slot = arena_push(a, &owners, &n, sizeof(*owners));
		if (!slot || !(*slot = store_text(a, st, 0)))
			r = no_memory(e);
	}
	if (r < 0)
		return r;
	if (!arena_push(a, &owners, &n, sizeof(*owners)))
		return no_memory(e);
	*ret_owners = owners;
	*ret_n = n - 1;
	return 0;
}

#define SELECT_LAYER                                                                               \
	"SELECT chain,diff,blob,media,blob_size,size,"                                             \
	"(SELECT count(DISTINCT image) FROM image_layers x WHERE x.chain=l.chain) FROM layers l "

static int layer_of(struct arena *a, struct sqlite3_stmt *st, struct store_layer *ret,
		    struct err *e)
{
	const char *chain = store_text(a, st, 0), *diff = store_text(a, st, 1),
		   *blob = store_text(a, st, 2);
	struct store_layer l = {
		.media_type = store_text(a, st, 3),
		.blob_size = (uint64_t) store_int(st, 4),
		.size = (uint64_t) store_int(st, 5),
		.images = (uint64_t) store_int(st, 6),
	};

	if (!chain || !diff || !blob || !l.media_type)
		return no_memory(e);
	if (digest_parse_hex(str_of(chain), &l.chain) < 0 ||
	    digest_parse_hex(str_of(diff), &l.diff) < 0 ||
	    digest_parse_hex(str_of(blob), &l.blob) < 0)
		return damaged(e);
	*ret = l;
	return 0;
}

int store_layer_get(struct store *s, struct arena *a, const struct digest *chain,
		    struct store_layer *ret_layer, bool *ret_found, struct err *e)
{
	auto_stmt struct sqlite3_stmt *st = NULL;
	char hex[DIGEST_HEX_MAX];
	int r;

	digest_hex(chain, hex);
	r = store_prepare(s, SELECT_LAYER "WHERE chain=?1", STORE_ARGS(STORE_TEXT(hex)), &st, e);
	if (r >= 0)
		r = store_step(s, st, e);
	if (r < 0)
		return r;
	*ret_found = r > 0;
	return r > 0 ? layer_of(a, st, ret_layer, e) : 0;
}

int store_layer_add(struct store *s, const struct store_layer *l, struct err *e)
{
	char chain[DIGEST_HEX_MAX], diff[DIGEST_HEX_MAX], blob[DIGEST_HEX_MAX];
	int r = store_write(s, STORE_DURABLE, e);

	if (r < 0)
		return r;
	digest_hex(&l->chain, chain);
	digest_hex(&l->diff, diff);
	digest_hex(&l->blob, blob);
	return end(s,
		   store_run(s,
			     "INSERT OR IGNORE INTO layers(chain,diff,blob,media,blob_size,size)"
			     " VALUES(?1,?2,?3,?4,?5,?6)",
			     STORE_ARGS(STORE_TEXT(chain), STORE_TEXT(diff), STORE_TEXT(blob),
					STORE_TEXT(l->media_type), STORE_INT(l->blob_size),
					STORE_INT(l->size)),
			     NULL, e),
		   e);
}

int store_layer_repack(struct store *s, const struct store_layer *l, struct err *e)
{
	char chain[DIGEST_HEX_MAX], blob[DIGEST_HEX_MAX];
	int r = store_write(s, STORE_DURABLE, e);

	if (r < 0)
		return r;
	digest_hex(&l->chain, chain);
	digest_hex(&l->blob, blob);
	return end(s,
		   store_run(s, "UPDATE layers SET blob=?2,media=?3,blob_size=?4 WHERE chain=?1",
			     STORE_ARGS(STORE_TEXT(chain), STORE_TEXT(blob),
					STORE_TEXT(l->media_type), STORE_INT(l->blob_size)),
			     NULL, e),
		   e);
}

int store_layer_list(struct store *s, struct arena *a, struct store_layer **ret_layers,
		     size_t *ret_n, struct err *e)
{
	auto_stmt struct sqlite3_stmt *st = NULL;
	struct store_layer *layers = NULL;
	size_t n = 0;
	int r = store_prepare(s, SELECT_LAYER "ORDER BY chain", NULL, &st, e);

	while (r >= 0) {
		struct store_layer *slot;

		r = store_step(s, st, e);
		if (r <= 0)
			break;
		slot = arena_push(a, &layers, &n, sizeof(*layers));
		r = slot ? layer_of(a, st, slot, e) : no_memory(e);
	}
	if (r < 0)
		return r;
	*ret_layers = layers;
	*ret_n = n;
	return 0;
}

int store_layer_sweep(struct store *s, struct err *e)
{
	int r = store_write(s, STORE_DURABLE, e);

	if (r < 0)
		return r;
	r = store_run(s,
		      "DELETE FROM layers WHERE NOT EXISTS"
		      " (SELECT 1 FROM image_layers x WHERE x.chain=layers.chain)",
		      NULL, NULL, e);
	if (r >= 0)
		r = store_run(s,
			      "DELETE FROM layer_origins WHERE blob NOT IN"
			      " (SELECT blob FROM layers)",
			      NULL, NULL, e);
	return end(s, r, e);
}
