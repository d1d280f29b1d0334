/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of two versions is the newer one, as each kind of package sees it. Total for any bytes:
 * what is no version of its kind stands before all that are, in dpkg's order. No ranges: those are
 * an advisory's (fmt/advisory.h).
 */
#pragma once

#include "base/str.h"

enum version_scheme {
	VERSION_DEBIAN, /* deb-version(7) */
	VERSION_ALPINE, /* apk-package(5): 1.2.3b_rc4-r5 */
	VERSION_PEP440,
	VERSION_SEMVER, /* 2.0.0, with any count of numbers */
};

/* Less than 0: a is older. 0: neither. */
int version_order(enum version_scheme scheme, struct str a, struct str b);
