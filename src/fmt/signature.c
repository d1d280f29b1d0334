/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/signature.h"

#include <errno.h>
#include <stdio.h>

#include "base/arena.h"
#include "fmt/json.h"

#define TYPE	  "cosign container image signature"
#define ARENA_MAX ((size_t) 8 << 20)

struct identity {
	const char *reference;
};
struct subject {
	const char *digest;
};
struct critical {
	const char *type;
	struct identity *identity;
	struct subject *image;
};
struct payload {
	struct critical *critical;
	const struct json *optional;
};

static const struct json_field identity_fields[] = {
	JSON_STRING_FIELD(struct identity, reference, "docker-reference", JSON_REQUIRED),
};
static const struct json_table identity_table = JSON_TABLE(struct identity, identity_fields,
							   JSON_UNKNOWN_REFUSE);
static const struct json_field subject_fields[] = {
	JSON_STRING_FIELD(struct subject, digest, "docker-manifest-digest", JSON_REQUIRED),
};
static const struct json_table subject_table = JSON_TABLE(struct subject, subject_fields,
							  JSON_UNKNOWN_REFUSE);
static const struct json_field critical_fields[] = {
	JSON_STRING_FIELD(struct critical, type, "type", JSON_REQUIRED),
	JSON_OBJECT_FIELD(struct critical, identity, "identity", &identity_table, JSON_REQUIRED),
	JSON_OBJECT_FIELD(struct critical, image, "image", &subject_table, JSON_REQUIRED),
};
static const struct json_table critical_table = JSON_TABLE(struct critical, critical_fields,
							   JSON_UNKNOWN_REFUSE);
static const struct json_field payload_fields[] = {
	JSON_OBJECT_FIELD(struct payload, critical, "critical", &critical_table, JSON_REQUIRED),
	JSON_VALUE_FIELD(struct payload, optional, "optional", 0),
};
static const struct json_table payload_table = JSON_TABLE(struct payload, payload_fields,
							  JSON_UNKNOWN_REFUSE);

int signature_payload_decode(struct str text, struct signature_payload *ret_p, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(ARENA_MAX);
	struct signature_payload p = {};
	const struct json *root = NULL;
	struct payload got = {};
	int r = json_parse(&a, text, &root, e);

	r = r < 0 ? r : json_decode(&a, root, &payload_table, &got, "", e);
	if (r < 0)
		return err_ctx(e, "what is signed");
	if (!streq(got.critical->type, TYPE))
		return err_set(e, ERR_INVALID, EINVAL,
			       "what is signed: its type is not '" TYPE "'");
	if (digest_parse(str_of(got.critical->image->digest), &p.digest) < 0)
		return err_set(e, ERR_INVALID, EINVAL,
			       "what is signed: docker-manifest-digest is no sha256:HEX");
	r = reference_parse(str_of(got.critical->identity->reference), &p.ref, e);
	if (r < 0)
		return err_ctx(e, "what is signed: docker-reference");
	*ret_p = p;
	return 0;
}

void signature_payload_write(struct buf *out, const struct signature_payload *p,
			     const char *creator)
{
	struct json_writer w = JSON_WRITER(out);
	char digest[DIGEST_TEXT_MAX], name[REFERENCE_MAX];

	digest_text(&p->digest, digest);
	reference_text(&p->ref, name);
	json_w_object(&w, NULL);
	json_w_object(&w, "critical");
	json_w_object(&w, "identity");
	json_w_string(&w, "docker-reference", name);
	json_w_end(&w);
	json_w_object(&w, "image");
	json_w_string(&w, "docker-manifest-digest", digest);
	json_w_end(&w);
	json_w_string(&w, "type", TYPE);
	json_w_end(&w);
	json_w_object(&w, "optional");
	json_w_string(&w, "creator", creator);
	json_w_end(&w);
	json_w_end(&w);
}

void signature_tag(const struct digest *d, char ret_tag[static SIGNATURE_TAG_MAX])
{
	char hex[DIGEST_HEX_MAX];

	digest_hex(d, hex);
	(void) snprintf(ret_tag, SIGNATURE_TAG_MAX, "sha256-%s.sig", hex);
}
