/* SPDX-License-Identifier: Apache-2.0 */
/* Text within URLs (RFC 3986, 2.1). */
#pragma once

#include "base/buf.h"
#include "base/str.h"

/* As a value of a query, or of a form: what has a meaning there, and all that is not ASCII, as %XX.
 */
void url_escape(struct buf *to, struct str text);
