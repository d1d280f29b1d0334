/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper of a user's namespaces: their first process, which does nothing but be there. */
#pragma once

/* Waits for its maps (a byte on `sock`), answers, and ends when nobody holds STATE/user. */
[[gnu::noreturn]] void user_child(int state_fd, int sock);
