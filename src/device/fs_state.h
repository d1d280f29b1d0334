/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the file server knows of its guest as bytes, for another server of the same shares or of
 * copies of them to go on with: what INIT agreed on, the inodes the guest has numbers of with
 * their places, and what it has open. Files are found again by their places, one component at a
 * time beneath their share, and are opened anew; nothing is held meanwhile.
 *
 * Where the share is the same directory, a file has to be the same one (inode number, birth time,
 * and device as far as the share's own tells). Where it is a copy (fs_share.copied), whatever has
 * the place is it. What is not there any more, or is another file, is lost: the guest hears ESTALE
 * about it, and about it alone.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "device/fs_session.h"

#define FS_STATE_MAX ((size_t) 256 << 20)

/*
 * No request is being served. Fails UNSUPPORTED where a file is open that no name leads to: what
 * it holds could not be found again; and where shares have come and gone since the beginning.
 * EXHAUSTED: more than FS_STATE_MAX, or no memory.
 */
[[nodiscard]] int fs_state_save(struct fs_session *s, struct buf *to, struct err *e);
/*
 * The session has been entered, and no request served since its reset. Fails INVALID for bytes
 * that are no state, and for shares of other names, rights or directories than the state's: the
 * session is as before.
 */
[[nodiscard]] int fs_state_restore(struct fs_session *s, struct str state, struct err *e);
