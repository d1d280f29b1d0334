/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest of the file server for tests: requests as Linux makes them, and as it never would.
 * Failures to set it up end the test.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "device/fs_session.h"

#define CLIENT_BYTES (1u << 20)

struct client {
	struct fs_session *session;
	struct chain chain;
	uint32_t uid, gid;
	uint8_t out[CLIENT_BYTES], in[CLIENT_BYTES];
	size_t in_n;	  /* bytes of the answer's body */
	const uint8_t *p; /* the answer's body */
};

/* The tests' files: below a directory that mkdtemp() has given its name. at() is the last one's. */
static char top[] = "/tmp/test_fs.XXXXXX";

static inline const char *at(const char *name)
{
	static char path[512];

	(void) snprintf(path, sizeof(path), "%s/%s", top, name);
	return path;
}

static inline void put(const char *name, const char *text)
{
	int fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t) strlen(text))
		abort();
	(void) close(fd);
}

static inline int client_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		abort();
	return fd;
}

static inline void client_init(struct client *c, const struct fs_share *shares, size_t n,
			       size_t fds_max)
{
	struct err e = {};
	int proc = fs_session_proc(&e);

	c->session = proc < 0 ? NULL : fs_session_new(proc, shares, n, fds_max, &e);
	if (!c->session || fs_session_enter(c->session, &e) < 0) {
		(void) fprintf(stderr, "%s\n", e.msg);
		abort();
	}
	c->uid = c->gid = 0;
}

/*
 * The request as it is in c->out (n bytes), split at byte `cut` as a driver may; the answer has
 * room for in_n bytes. Its errno, negative, or 0; 1: there was no answer.
 */
static inline int client_raw(struct client *c, size_t n, size_t cut, size_t in_n)
{
	struct fuse_out_header h;
	uint32_t got;

	c->chain.parts[0] = (struct iovec){ c->out, cut };
	c->chain.parts[1] = (struct iovec){ c->out + cut, n - cut };
	c->chain.parts[2] = (struct iovec){ c->in, in_n };
	c->chain.out = c->chain.parts;
	c->chain.in = c->chain.parts + 2;
	c->chain.out_n = 2;
	c->chain.in_n = in_n ? 1 : 0;
	c->chain.out_bytes = n;
	c->chain.in_bytes = in_n;
	got = fs_session_serve(c->session, &c->chain);
	if (got > in_n)
		abort();
	if (got < sizeof(h))
		return 1;
	memcpy(&h, c->in, sizeof(h));
	if (h.len != got || h.error > 0 || (h.error < 0 && got != sizeof(h)))
		abort();
	c->in_n = got - sizeof(h);
	c->p = c->in + sizeof(h);
	return h.error;
}

/* A request: a fixed part, and bytes after it. */
static inline int client_ask(struct client *c, uint32_t opcode, uint64_t node, const void *fixed,
			     size_t fixed_n, const void *bytes, size_t bytes_n)
{
	struct fuse_in_header h = {
		.len = (uint32_t) (sizeof(h) + fixed_n + bytes_n),
		.opcode = opcode,
		.unique = 77,
		.nodeid = node,
		.uid = c->uid,
		.gid = c->gid,
	};

	memcpy(c->out, &h, sizeof(h));
	if (fixed_n)
		memcpy(c->out + sizeof(h), fixed, fixed_n);
	if (bytes_n)
		memcpy(c->out + sizeof(h) + fixed_n, bytes, bytes_n);
	return client_raw(c, h.len, sizeof(h), CLIENT_BYTES);
}

static inline int client_name(struct client *c, uint32_t opcode, uint64_t node, const char *name)
{
	return client_ask(c, opcode, node, NULL, 0, name, strlen(name) + 1);
}

static inline int client_start(struct client *c)
{
	struct fuse_init_in in = { .major = 7, .minor = 37, .flags = UINT32_MAX };

	return client_ask(c, FUSE_INIT, 0, &in, sizeof(in), NULL, 0);
}

/* The entry in the answer of LOOKUP, MKDIR, CREATE and their like. */
static inline struct fuse_entry_out client_entry(const struct client *c)
{
	struct fuse_entry_out e = {};

	memcpy(&e, c->p, c->in_n < sizeof(e) ? c->in_n : sizeof(e));
	return e;
}

/* The node `name` in `dir`, or 0 with the errno in *ret_error (may be NULL). */
static inline uint64_t client_lookup(struct client *c, uint64_t dir, const char *name,
				     int *ret_error)
{
	int r = client_name(c, FUSE_LOOKUP, dir, name);

	if (ret_error)
		*ret_error = r;
	return r == 0 ? client_entry(c).nodeid : 0;
}

/* A new, open file: its node, and its handle in *ret_fh. */
static inline uint64_t client_create(struct client *c, uint64_t dir, const char *name,
				     uint32_t mode, uint64_t *ret_fh)
{
	struct fuse_create_in in = { .flags = O_RDWR | O_CREAT, .mode = S_IFREG | mode };
	struct fuse_open_out open;

	if (client_ask(c, FUSE_CREATE, dir, &in, sizeof(in), name, strlen(name) + 1) != 0)
		return 0;
	memcpy(&open, c->p + sizeof(struct fuse_entry_out), sizeof(open));
	*ret_fh = open.fh;
	return client_entry(c).nodeid;
}

static inline int client_open(struct client *c, uint32_t opcode, uint64_t node, uint32_t flags,
			      uint64_t *ret_fh)
{
	struct fuse_open_in in = { .flags = flags };
	struct fuse_open_out out;
	int r = client_ask(c, opcode, node, &in, sizeof(in), NULL, 0);

	if (r == 0) {
		memcpy(&out, c->p, sizeof(out));
		*ret_fh = out.fh;
	}
	return r;
}

static inline int client_write(struct client *c, uint64_t node, uint64_t fh, uint64_t at,
			       const char *text, uint32_t write_flags, uint32_t flags)
{
	struct fuse_write_in in = {
		.fh = fh,
		.offset = at,
		.size = (uint32_t) strlen(text),
		.write_flags = write_flags,
		.flags = flags,
	};

	return client_ask(c, FUSE_WRITE, node, &in, sizeof(in), text, strlen(text));
}

/* opcode: READ, READDIR or READDIRPLUS */
static inline int client_read(struct client *c, uint32_t opcode, uint64_t node, uint64_t fh,
			      uint64_t at, uint32_t n)
{
	struct fuse_read_in in = { .fh = fh, .offset = at, .size = n };

	return client_ask(c, opcode, node, &in, sizeof(in), NULL, 0);
}

static inline int client_release(struct client *c, uint32_t opcode, uint64_t node, uint64_t fh)
{
	struct fuse_release_in in = { .fh = fh };

	return client_ask(c, opcode, node, &in, sizeof(in), NULL, 0);
}

static inline int client_getattr(struct client *c, uint64_t node, struct fuse_attr *ret_attr)
{
	struct fuse_getattr_in in = {};
	struct fuse_attr_out out = {};
	int r = client_ask(c, FUSE_GETATTR, node, &in, sizeof(in), NULL, 0);

	if (r == 0)
		memcpy(&out, c->p, sizeof(out));
	*ret_attr = out.attr;
	return r;
}

static inline void client_forget(struct client *c, uint64_t node, uint64_t n)
{
	struct fuse_forget_in in = { .nlookup = n };

	if (client_ask(c, FUSE_FORGET, node, &in, sizeof(in), NULL, 0) != 1)
		abort(); /* it has no answer */
}
