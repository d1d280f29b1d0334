/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/kept.h"

#include <errno.h>

#include "fmt/json.h"

static const struct json_field fields[] = {
	JSON_U32_FIELD(struct kept, version, "version", 1, 1, JSON_REQUIRED),
	JSON_U64_FIELD(struct kept, created, "created", 0, INT64_MAX, JSON_REQUIRED),
	JSON_STRING_FIELD(struct kept, workload_id, "workloadId", JSON_REQUIRED),
	JSON_STRING_FIELD(struct kept, workload, "workload", JSON_REQUIRED),
	JSON_STRING_FIELD(struct kept, image, "image", JSON_REQUIRED),
	JSON_STRING_FIELD(struct kept, image_id, "imageId", JSON_REQUIRED),
	JSON_STRING_FIELD(struct kept, isolation, "isolation", JSON_REQUIRED),
	JSON_STRING_FIELD(struct kept, base, "base", 0),
	JSON_VALUE_FIELD(struct kept, config, "config", JSON_REQUIRED),
};
static const struct json_table table = JSON_TABLE(struct kept, fields, JSON_UNKNOWN_REFUSE);

void kept_encode(const struct kept *k, struct buf *out)
{
	struct json_writer w = JSON_WRITER(out);

	json_w_object(&w, NULL);
	json_w_u64(&w, "version", 1);
	json_w_u64(&w, "created", k->created);
	json_w_string(&w, "workloadId", k->workload_id);
	json_w_string(&w, "workload", k->workload);
	json_w_string(&w, "image", k->image);
	json_w_string(&w, "imageId", k->image_id);
	json_w_string(&w, "isolation", k->isolation);
	if (k->base)
		json_w_string(&w, "base", k->base);
	json_w_value(&w, "config", k->config);
	json_w_end(&w);
}

/* A name goes below a directory. */
static bool name_good(const char *name)
{
	return *name && *name != '.' && !strchr(name, '/') && strlen(name) < 200;
}

int kept_decode(struct arena *a, struct str text, struct kept *ret_k, struct err *e)
{
	const struct json *root;
	struct kept k = {};
	int r;

	if (text.n > KEPT_TEXT_MAX)
		return err_set(e, ERR_INVALID, EFBIG, "the snapshot's record is too long");
	r = json_parse(a, text, &root, e);
	r = r < 0 ? r : json_decode(a, root, &table, &k, "", e);
	if (r < 0)
		return err_ctx(e, "the snapshot's record");
	if (k.base && !name_good(k.base))
		return err_set(e, ERR_INVALID, EINVAL,
			       "the snapshot's record: '%.60s' is no snapshot's name", k.base);
	*ret_k = k;
	return 0;
}
