/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control messages of sendmsg and recvmsg (cmsg(3)): SCM_RIGHTS and SCM_CREDENTIALS, between the
 * guest's bytes, which the caller has copied, and files and credentials; those of a protocol as
 * they are.
 */
#pragma once

#include "kernel/net/socket.h"

#define RIGHTS_MOST  253		 /* SCM_MAX_FD */
#define CONTROL_MOST ((size_t) 20 << 10) /* longer ones are refused: -ENOBUFS */

struct rights {
	size_t count;
	struct file *files[];
};

#define CONTROL_NOTES	  3
#define CONTROL_NOTE_MOST 20

/* A message of another level than SOL_SOCKET, of few bytes: the protocol knows what it says. */
struct control_note {
	int32_t level, type;
	uint32_t len;
	unsigned char bytes[CONTROL_NOTE_MOST];
};

struct control {
	struct rights *rights; /* NULL: none; owned, with its files */
	bool has_cred;
	struct sock_sender sender;
	unsigned int notes;
	struct control_note note[CONTROL_NOTES];
};

/* From what the guest wrote; `c` is empty before, and after a failure. -EINVAL, -EBADF, -EPERM
 * (credentials that are not the caller's), -ENOMEM. */
[[nodiscard]] int control_parse(struct control *c, const void *bytes, size_t len,
				const struct descriptors *d, const struct sock_actor *by);
/*
 * To what the guest reads: files become descriptors below `limit`. The bytes used; MSG_CTRUNC in
 * *ret_flags where something did not fit. `c` is emptied.
 */
size_t control_write(struct control *c, void *to, size_t room, struct descriptors *d,
		     uint64_t limit, bool cloexec, unsigned int *ret_flags);
void control_fini(struct control *c);
/* One note more; what is longer, or one too many, is left out. */
void control_add(struct control *c, int level, int type, const void *bytes, size_t len);

/* Another owner of all its files. NULL: no memory. */
[[nodiscard]] struct rights *rights_copy(const struct rights *r);
void rights_free(struct rights *r); /* NULL: nothing */
