/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to the file server. Each is a byte each for the opcode, which of the nodes it got it is
 * about, which handle (or second node) it names, and how much room there is for the answer; two
 * for the length of the body, and the body. What an answer is made of is checked.
 */
#include "device/test_fs_client.h"
#include "fs_scratch.h"
#include "fuzz.h"

#define KNOWN_MAX 128

static struct client client;

struct known {
	uint64_t nodes[KNOWN_MAX], handles[KNOWN_MAX];
	size_t nodes_n, handles_n;
};

static void know(uint64_t *all, size_t *n, uint64_t id)
{
	if (id)
		all[(*n)++ % KNOWN_MAX] = id;
}

static uint64_t known(const uint64_t *all, size_t n, uint8_t which)
{
	size_t have = n < KNOWN_MAX ? n : KNOWN_MAX;

	return which == 0 || !have ? 1 : which == UINT8_MAX ? UINT64_MAX : all[which % have];
}

/* Where the opcode's body begins with a handle, or with a node. */
static void fill_in(const struct known *k, uint32_t opcode, uint8_t which, uint8_t *body, size_t n)
{
	uint64_t id;

	switch (opcode) {
	case FUSE_READ:
	case FUSE_WRITE:
	case FUSE_RELEASE:
	case FUSE_FSYNC:
	case FUSE_FLUSH:
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
	case FUSE_RELEASEDIR:
	case FUSE_FSYNCDIR:
	case FUSE_FALLOCATE:
	case FUSE_LSEEK:
	case FUSE_COPY_FILE_RANGE:
		id = known(k->handles, k->handles_n, which);
		break;
	case FUSE_RENAME:
	case FUSE_RENAME2:
	case FUSE_LINK:
		id = known(k->nodes, k->nodes_n, which);
		break;
	default:
		return;
	}
	if (n >= sizeof(id))
		memcpy(body, &id, sizeof(id));
}

static void learn(struct known *k, uint32_t opcode)
{
	struct fuse_open_out open = {};

	switch (opcode) {
	case FUSE_CREATE:
	case FUSE_TMPFILE:
		if (client.in_n != sizeof(struct fuse_entry_out) + sizeof(open))
			abort();
		memcpy(&open, client.p + sizeof(struct fuse_entry_out), sizeof(open));
		[[fallthrough]];
	case FUSE_LOOKUP:
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_SYMLINK:
	case FUSE_LINK:
		know(k->nodes, &k->nodes_n, client_entry(&client).nodeid);
		know(k->handles, &k->handles_n, open.fh);
		break;
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		memcpy(&open, client.p, sizeof(open));
		know(k->handles, &k->handles_n, open.fh);
		break;
	default:
		break;
	}
}

/* Consumes one request of the input: false at its end. */
static bool step(struct known *k, const uint8_t **data, size_t *size)
{
	const uint8_t *p = *data;
	size_t n, used;
	struct fuse_in_header h = { .unique = 1, .uid = 0 };

	if (*size < 6)
		return false;
	used = 6;
	n = (size_t) (p[4] | p[5] << 8);
	if (n > *size - used)
		n = *size - used;
	h.opcode = p[0];
	h.nodeid = known(k->nodes, k->nodes_n, p[1]);
	h.len = (uint32_t) (sizeof(h) + n);
	h.uid = h.gid = p[3] & 0x80 ? 1000 : 0;
	memcpy(client.out, &h, sizeof(h));
	memcpy(client.out + sizeof(h), p + used, n);
	fill_in(k, h.opcode, p[2], client.out + sizeof(h), n);
	if (client_raw(&client, sizeof(h) + n, (size_t) p[3] % (sizeof(h) + n + 1),
		       p[3] & 0x40 ? 65536u : (size_t) (p[3] & 0x3f) * 8) == 0)
		learn(k, h.opcode);
	*data += used + n;
	*size -= used + n;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct scratch s;
	struct known k = {};

	scratch_init(&s);
	client_init(&client, s.shares, ARRAY_SIZE(s.shares), SCRATCH_FDS);
	(void) client_start(&client);
	for (size_t i = 0; i < ARRAY_SIZE(s.shares); i++)
		know(k.nodes, &k.nodes_n, client_lookup(&client, 1, s.shares[i].name, NULL));
	for (unsigned left = 256; left && step(&k, &data, &size); left--)
		;
	fs_session_free(client.session);
	scratch_fini(&s);
	return 0;
}
