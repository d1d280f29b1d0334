/* SPDX-License-Identifier: Apache-2.0 */
/* The user's home, and where lasting state lies when no option says so (in it: store/paths.h). */
#pragma once

#define HOME_MAX 256

struct home_text {
	char z[HOME_MAX]; /* absolute */
};

/* HOME if that is an absolute path; else root's, or none that is there. */
const char *home_user(void);

/* ATOLL_ROOT if that is an absolute path; else home_root_default(). */
struct home_text home_root(void);
/* /var/lib/atoll; of an ordinary user XDG_DATA_HOME/atoll or ~/.local/share/atoll. */
struct home_text home_root_default(void);
