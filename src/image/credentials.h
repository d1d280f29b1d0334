/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who a user is to registries: the files that docker and podman share (containers-auth.json(5)):
 *
 *	{"auths": {"HOST[/NAMESPACE...]": {"auth": "base64 of USER:PASSWORD",
 *					   "identitytoken": "instead of the password"}},
 *	 "credHelpers": {"HOST": "NAME"}, "credsStore": "NAME"}
 *
 * The first of these that is there and knows the host decides: $REGISTRY_AUTH_FILE alone, or
 * $XDG_RUNTIME_DIR/containers/auth.json (root's: /run/containers/0/auth.json),
 * ~/.config/containers/auth.json, $DOCKER_CONFIG/config.json (~/.docker/config.json). Helpers are
 * docker's programs docker-credential-NAME.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "image/registry.h"

/* ret->user is "" where nobody is known. Fails: INVALID a broken file, REMOTE a helper that fails.
 */
[[nodiscard]] int credentials_find(const char *host, const char *repository,
				   struct registry_login *ret, struct err *e);
/*
 * Kept in, or removed from, $REGISTRY_AUTH_FILE or docker's file, or with the helper that it names.
 * Gives where, for the user.
 */
[[nodiscard]] int credentials_keep(const char *host, const struct registry_login *login,
				   char ret_where[static 512], struct err *e);
[[nodiscard]] int credentials_forget(const char *host, bool *ret_known, char ret_where[static 512],
				     struct err *e);
