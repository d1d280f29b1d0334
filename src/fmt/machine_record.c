/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/machine_record.h"

#include <errno.h>
#include <string.h>

#include "fmt/json.h"

#define SHARES_MAX 64
#define CARDS_MAX  8
#define CPUS_MAX   1024

static const struct json_field share_fields[] = {
	JSON_STRING_FIELD(struct machine_record_share, name, "name", JSON_REQUIRED),
	JSON_STRING_FIELD(struct machine_record_share, destination, "destination", JSON_REQUIRED),
	JSON_BOOL_FIELD(struct machine_record_share, read_only, "readOnly", JSON_REQUIRED),
	JSON_U64_FIELD(struct machine_record_share, device, "device", 0, UINT64_MAX, JSON_REQUIRED),
	JSON_U64_FIELD(struct machine_record_share, inode, "inode", 0, UINT64_MAX, JSON_REQUIRED),
};
static const struct json_table share_table = JSON_TABLE(struct machine_record_share, share_fields,
							JSON_UNKNOWN_REFUSE);
static const struct json_field card_fields[] = {
	JSON_STRING_FIELD(struct machine_record_card, mac, "mac", JSON_REQUIRED),
	JSON_U32_FIELD(struct machine_record_card, mtu, "mtu", 0, UINT16_MAX, JSON_REQUIRED),
};
static const struct json_table card_table = JSON_TABLE(struct machine_record_card, card_fields,
						       JSON_UNKNOWN_REFUSE);
static const struct json_field fields[] = {
	JSON_U32_FIELD(struct machine_record, version, "version", 1, 1, JSON_REQUIRED),
	JSON_STRING_FIELD(struct machine_record, build, "build", JSON_REQUIRED),
	JSON_STRING_FIELD(struct machine_record, kernel, "kernel", JSON_REQUIRED),
	JSON_STRING_FIELD(struct machine_record, container, "container", JSON_REQUIRED),
	JSON_STRING_FIELD(struct machine_record, id, "id", 0),
	JSON_STRING_FIELD(struct machine_record, base, "base", 0),
	JSON_U32_FIELD(struct machine_record, cpus, "cpus", 1, CPUS_MAX, JSON_REQUIRED),
	JSON_U64_FIELD(struct machine_record, memory, "memory", 1, INT64_MAX, JSON_REQUIRED),
	JSON_BOOL_FIELD(struct machine_record, terminal, "terminal", JSON_REQUIRED),
	JSON_BOOL_FIELD(struct machine_record, root_disk, "rootDisk", JSON_REQUIRED),
	JSON_BOOL_FIELD(struct machine_record, own_disk, "ownDisk", JSON_REQUIRED),
	JSON_ARRAY_FIELD(struct machine_record, shares, shares_n, "shares", &share_table,
			 JSON_REQUIRED),
	JSON_ARRAY_FIELD(struct machine_record, cards, cards_n, "cards", &card_table,
			 JSON_REQUIRED),
};
static const struct json_table table = JSON_TABLE(struct machine_record, fields,
						  JSON_UNKNOWN_REFUSE);

void machine_record_encode(const struct machine_record *m, struct buf *out)
{
	struct json_writer w = JSON_WRITER(out);

	json_w_object(&w, NULL);
	json_w_u64(&w, "version", 1);
	json_w_string(&w, "build", m->build);
	json_w_string(&w, "kernel", m->kernel);
	json_w_string(&w, "container", m->container);
	if (m->id)
		json_w_string(&w, "id", m->id);
	if (m->base)
		json_w_string(&w, "base", m->base);
	json_w_u64(&w, "cpus", m->cpus);
	json_w_u64(&w, "memory", m->memory);
	json_w_bool(&w, "terminal", m->terminal);
	json_w_bool(&w, "rootDisk", m->root_disk);
	json_w_bool(&w, "ownDisk", m->own_disk);
	json_w_array(&w, "shares");
	for (size_t i = 0; i < m->shares_n; i++) {
		json_w_object(&w, NULL);
		json_w_string(&w, "name", m->shares[i].name);
		json_w_string(&w, "destination", m->shares[i].destination);
		json_w_bool(&w, "readOnly", m->shares[i].read_only);
		json_w_u64(&w, "device", m->shares[i].device);
		json_w_u64(&w, "inode", m->shares[i].inode);
		json_w_end(&w);
	}
	json_w_end(&w);
	json_w_array(&w, "cards");
	for (size_t i = 0; i < m->cards_n; i++) {
		json_w_object(&w, NULL);
		json_w_string(&w, "mac", m->cards[i].mac);
		json_w_u64(&w, "mtu", m->cards[i].mtu);
		json_w_end(&w);
	}
	json_w_end(&w);
	json_w_end(&w);
}

static bool id_good(const char *id)
{
	return !id || (strlen(id) == MACHINE_RECORD_ID - 1 &&
		       strspn(id, "0123456789abcdef") == MACHINE_RECORD_ID - 1);
}

int machine_record_decode(struct arena *a, struct str text, struct machine_record *ret_m,
			  struct err *e)
{
	struct machine_record m = {};
	const struct json *root;
	int r;

	if (text.n > MACHINE_RECORD_TEXT_MAX)
		return err_set(e, ERR_INVALID, EFBIG, "the machine's record is too long");
	r = json_parse(a, text, &root, e);
	r = r < 0 ? r : json_decode(a, root, &table, &m, "", e);
	if (r < 0)
		return err_ctx(e, "the machine's record");
	if (m.shares_n > SHARES_MAX || m.cards_n > CARDS_MAX || !id_good(m.id) || !id_good(m.base))
		return err_set(e, ERR_INVALID, EINVAL,
			       "the machine's record: it has what no machine has");
	*ret_m = m;
	return 0;
}

static int differs(struct err *e, const char *what)
{
	return err_set(e, ERR_INVALID, EINVAL, "the snapshot is of a machine with %s", what);
}

static int shares_fit(const struct machine_record *was, const struct machine_record *now,
		      struct err *e)
{
	for (size_t i = 0; i < was->shares_n || i < now->shares_n; i++) {
		const struct machine_record_share *w = &was->shares[i], *n = &now->shares[i];

		if (i >= was->shares_n)
			return err_set(e, ERR_INVALID, EINVAL,
				       "the snapshot is of a machine without the mount at '%.200s'",
				       n->destination);
		if (i >= now->shares_n || !streq(w->name, n->name) ||
		    !streq(w->destination, n->destination) || w->read_only != n->read_only)
			return err_set(e, ERR_INVALID, EINVAL,
				       "the snapshot is of a machine with a mount at '%.200s'%s",
				       w->destination, w->read_only ? " (read-only)" : "");
	}
	return 0;
}

int machine_record_fits(const struct machine_record *was, const struct machine_record *now,
			struct err *e)
{
	if (!streq(was->build, now->build))
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "the snapshot is of Atoll %.40s, and this is %.40s: in its machine "
			       "runs that one's agent",
			       was->build, now->build);
	if (was->cpus != now->cpus)
		return err_set(e, ERR_INVALID, EINVAL,
			       "the snapshot is of a machine with %u processors, not %u", was->cpus,
			       now->cpus);
	if (was->memory != now->memory)
		return err_set(e, ERR_INVALID, EINVAL,
			       "the snapshot is of a machine with %llu bytes of memory, not %llu",
			       (unsigned long long) was->memory, (unsigned long long) now->memory);
	if (was->terminal != now->terminal)
		return differs(e, was->terminal ? "a terminal" : "no terminal");
	if (was->root_disk != now->root_disk)
		return differs(e, was->root_disk ? "its image on a disk" : "its image as a share");
	if (was->own_disk != now->own_disk)
		return differs(e, was->own_disk ? "a disk of its own" : "no disk of its own");
	if (was->cards_n != now->cards_n)
		return err_set(e, ERR_INVALID, EINVAL,
			       "the snapshot is of a machine with %zu network cards, not %zu",
			       was->cards_n, now->cards_n);
	return shares_fit(was, now, e);
}
