/* SPDX-License-Identifier: Apache-2.0 */
/* Asking the privileged half of atoll-image, from the confined one. >= 0 or -errno. */
#pragma once

#include <stdint.h>

#include "base/str.h"

[[nodiscard]] int help_opaque_set(int sock, int dir_fd);
[[nodiscard]] int help_opaque_get(int sock, int dir_fd);
[[nodiscard]] int help_node(int sock, int dir_fd, const char *name, uint32_t mode, uint32_t major,
			    uint32_t minor);

/* The other side: answer until the confined half closes its end. */
void help_serve(int sock);
