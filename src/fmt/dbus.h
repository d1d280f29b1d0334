/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The D-Bus wire: messages between bytes and structs, the addresses of buses, and the words that
 * open a connection. What talking to systemd needs, no more: calls are written, replies and signals
 * are read, descriptors are not passed. Pure; the socket is in sys/bus.h.
 *
 * Written bytes are little-endian; both orders are read. (D-Bus specification 0.38)
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

#define DBUS_HEAD_SIZE	 16u	    /* bytes of a message that tell its size */
#define DBUS_MESSAGE_MAX (1u << 20) /* bytes; the specification allows 128 MiB */
#define DBUS_PATH_MAX	 108u	    /* of a socket, with its NUL */
#define DBUS_NAME_MAX	 255u	    /* of interfaces, members, buses and signatures */

enum dbus_kind { DBUS_CALL = 1, DBUS_RETURN = 2, DBUS_ERROR = 3, DBUS_SIGNAL = 4 };

struct dbus_message { /* views into the bytes it was read from */
	enum dbus_kind kind;
	bool big; /* byte order of the body */
	uint32_t serial, reply_serial;
	struct str path, interface, member, error, sender, signature;
	struct str body;
};

/* The whole message's size, from its first DBUS_HEAD_SIZE bytes. -EBADMSG, -EMSGSIZE. */
[[nodiscard]] int dbus_size(struct str head, size_t *ret_n);
/* One message and nothing after it. -EBADMSG: against the specification. */
[[nodiscard]] int dbus_parse(struct str bytes, struct dbus_message *ret_m);

/* Values of a body, in the order of its signature. -EBADMSG. */
struct dbus_reader {
	struct str data;
	size_t at;
	bool big;
};
#define DBUS_READER(m) ((struct dbus_reader){ .data = (m)->body, .big = (m)->big })
[[nodiscard]] int dbus_read_u32(struct dbus_reader *r, uint32_t *ret_v);
[[nodiscard]] int dbus_read_string(struct dbus_reader *r, struct str *ret_s); /* and paths */

struct dbus_call {
	const char *destination; /* NULL: to the peer itself */
	const char *path, *interface, *member;
	const char *signature; /* of the body; "" */
	struct str body;
	uint32_t serial; /* not 0 */
};
/* Appends to an empty buffer; a failure is the buffer's. */
void dbus_write_call(struct buf *b, const struct dbus_call *c);

/*
 * Values for a body, each aligned as counted from the buffer's start; failures are the buffer's.
 * An array: size_t at = dbus_array(b, alignment of its elements); elements; dbus_array_end(b, at).
 */
void dbus_align(struct buf *b, size_t to);
void dbus_u8(struct buf *b, uint8_t v);
void dbus_u16(struct buf *b, uint16_t v);
void dbus_u32(struct buf *b, uint32_t v);
void dbus_u64(struct buf *b, uint64_t v);
void dbus_bool(struct buf *b, bool v);
void dbus_string(struct buf *b, struct str v);	  /* and object paths */
void dbus_signature(struct buf *b, struct str v); /* also the head of a variant */
struct dbus_array {
	size_t length_at, start;
};
struct dbus_array dbus_array(struct buf *b, size_t element_alignment);
void dbus_array_end(struct buf *b, struct dbus_array a);

/* How the first value of a signature is aligned: 1, 2, 4 or 8 bytes. */
size_t dbus_alignment(char type);
/* Whether it is exactly one complete type, nested at most 32 deep in each kind. */
bool dbus_type_valid(struct str signature);
bool dbus_object_path_valid(struct str path);
/* "_5a" for all but letters and digits, as systemd names objects of units. */
void dbus_path_escape(struct buf *b, struct str name);

/*
 * The first address of a list ("unix:path=/run/bus,guid=..;..") that is a socket we can open.
 * -ENOENT: none is; -EINVAL: not a list of addresses.
 */
struct dbus_address {
	bool abstract;
	size_t n;
	char path[DBUS_PATH_MAX]; /* NUL-terminated; an abstract name without its leading NUL */
};
[[nodiscard]] int dbus_address_parse(struct str list, struct dbus_address *ret_a);

/*
 * The client's opening words: authentication as whoever the kernel says we are, whatever number
 * our user namespace gives us. Messages may follow at once.
 */
#define DBUS_HELLO STR("\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")
/* The server's answer to it: its length, 0 when more must come, -EACCES, -EBADMSG. */
[[nodiscard]] int dbus_welcome(struct str bytes);
