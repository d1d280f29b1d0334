/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A state of the file server that somebody else has written. What it is taken for is saved, and
 * taken up again; requests about all it speaks of reach nothing outside the shares.
 */
#include "device/fs_state.h"
#include "device/test_fs_client.h"
#include "fs_scratch.h"
#include "fuzz.h"

static struct client client;

/* All numbers that may be known: as many as were put, and some more. */
static void use(void)
{
	struct fuse_attr a;
	uint64_t fh;

	for (uint64_t node = 1; node < 24; node++) {
		(void) client_getattr(&client, node, &a);
		(void) client_lookup(&client, node, "f", NULL);
		(void) client_name(&client, FUSE_UNLINK, node, "g");
		(void) client_open(&client, FUSE_OPEN, node, O_RDWR, &fh);
		for (fh = 1; fh < 6; fh++) {
			(void) client_read(&client, FUSE_READ, node, fh, 0, 100);
			(void) client_read(&client, FUSE_READDIR, node, fh, 0, 200);
			(void) client_write(&client, node, fh, 0, "written", 0, O_RDWR);
		}
		client_forget(&client, node, 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct str state = { (const char *) data + 1, size - 1 };
	struct buf again = BUF_INIT(FS_STATE_MAX);
	struct scratch s;
	struct err e = {};

	if (size == 0)
		return 0;
	scratch_init(&s);
	s.shares[0].copied = s.shares[1].copied = s.shares[2].copied = data[0] & 1;
	client_init(&client, s.shares, ARRAY_SIZE(s.shares), SCRATCH_FDS);
	if (fs_state_restore(client.session, state, &e) == 0) {
		if (fs_state_save(client.session, &again, &e) == 0 &&
		    fs_state_restore(client.session, buf_str(&again), &e) < 0)
			abort();
		use();
	} else if (!e.msg[0] || client_lookup(&client, 1, "rw", NULL)) {
		abort();
	}
	buf_fini(&again);
	fs_session_free(client.session);
	scratch_fini(&s);
	return 0;
}
