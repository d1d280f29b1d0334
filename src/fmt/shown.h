/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A foreign name inside a message: bounded, printable ASCII, everything else as \xNN. What an
 * archive or a peer calls something must not write escape codes to a terminal or lines to a log.
 */
#pragma once

#include "base/str.h"

struct shown {
	char z[112];
};

struct shown shown_of(struct str s); /* ends in "..." where it was cut */
