/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EROFS on its disk, as far as images without compression have it (Linux 5.4 and later,
 * Documentation/filesystems/erofs.rst; mkfs.erofs of erofs-utils 1.5 to 1.8). Little-endian, as the
 * machines that this kernel runs on; structures are copied out of the image, never pointed at.
 */
#pragma once

#include "kernel/core/types.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "as on disk");

#define EROFS_MAGIC    0xe0f5e1e2
#define EROFS_SUPER_AT 1024
#define EROFS_SLOT     32 /* bytes: an inode's number counts these */

/* Features without which an image is read wrongly. */
enum erofs_incompat {
	EROFS_ZERO_PADDING = 1, /* of compressed data: there is none */
	EROFS_CHUNKED_FILE = 4,
	EROFS_KNOWN = EROFS_ZERO_PADDING | EROFS_CHUNKED_FILE
};

struct erofs_super {
	uint32_t magic, checksum, feature_compat;
	uint8_t block_bits, ext_slots;
	uint16_t root;
	uint64_t inodes, build_time;
	uint32_t build_nsec, blocks, meta_block, xattr_block;
	uint8_t uuid[16], label[16];
	uint32_t feature_incompat;
	uint16_t compression, extra_devices, device_slot;
	uint8_t dir_block_bits, prefix_count;
	uint32_t prefix_start;
	uint64_t packed;
	uint8_t filter, reserved[23];
};
_Static_assert(sizeof(struct erofs_super) == 128, "as on disk");

enum erofs_layout {
	EROFS_PLAIN = 0,  /* blocks in a row */
	EROFS_INLINE = 2, /* the same, but the last one behind the inode */
	EROFS_CHUNKS = 4  /* a table of pieces behind the inode */
};

/* i_format: bit 0 extended, bits 1 to 3 the layout. */
struct erofs_inode_compact {
	uint16_t format, xattr_count, mode, links;
	uint32_t size, reserved, where, ino;
	uint16_t uid, gid;
	uint32_t reserved2;
};
_Static_assert(sizeof(struct erofs_inode_compact) == 32, "as on disk");

struct erofs_inode_extended {
	uint16_t format, xattr_count, mode, reserved;
	uint64_t size;
	uint32_t where, ino, uid, gid;
	uint64_t modify;
	uint32_t modify_nsec, links;
	uint8_t reserved2[16];
};
_Static_assert(sizeof(struct erofs_inode_extended) == 64, "as on disk");

/* `where` of chunks: their size in bits beyond a block's, and of what kind the table is. */
#define EROFS_CHUNK_BITS    0x1f
#define EROFS_CHUNK_INDEXES 0x20 /* struct erofs_chunk; else block numbers alone */
#define EROFS_HOLE	    UINT32_MAX

struct erofs_chunk {
	uint16_t advise, device;
	uint32_t block;
};
_Static_assert(sizeof(struct erofs_chunk) == 8, "as on disk");

/* The first one's name_at, divided by 12, is their count; names end where the next one begins. */
struct [[gnu::packed]] erofs_dirent {
	uint64_t node;
	uint16_t name_at;
	uint8_t type, reserved; /* type: as FT_*, 1 regular, 2 directory, … */
};
_Static_assert(sizeof(struct erofs_dirent) == 12, "as on disk");

/* Behind an inode whose xattr_count is not 0; then the shared ones' numbers, then its own. */
struct erofs_xattrs {
	uint32_t filter;
	uint8_t shared_count, reserved[7];
};
_Static_assert(sizeof(struct erofs_xattrs) == 12, "as on disk");

struct erofs_xattr {
	uint8_t name_len, prefix;
	uint16_t value_size; /* the name, the value; then up to a multiple of 4 */
};
_Static_assert(sizeof(struct erofs_xattr) == 4, "as on disk");
