/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a server wants its clients to say who they are: one value of WWW-Authenticate (RFC 9110,
 * 11.6.1), of which registries use Basic (RFC 7617) and Bearer (RFC 6750, with the distribution
 * specification's realm, service and scope). Other schemes are passed over.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

#define CHALLENGE_TEXT_MAX 1024 /* of a parameter, with NUL */

struct challenge {
	enum challenge_scheme { CHALLENGE_NONE, CHALLENGE_BASIC, CHALLENGE_BEARER } scheme;
	char realm[CHALLENGE_TEXT_MAX]; /* of Bearer: an URL */
	char service[CHALLENGE_TEXT_MAX], scope[CHALLENGE_TEXT_MAX];
	char error[CHALLENGE_TEXT_MAX]; /* "insufficient_scope", ... */
};

/*
 * Of several challenges in the value: Bearer before Basic. NONE where neither is there. Fails:
 * -EINVAL, it is no list of challenges; -E2BIG, a parameter is too long, or holds a control
 * character.
 */
[[nodiscard]] int challenge_parse(struct str value, struct challenge *ret_c);
