/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service manager over D-Bus, as far as a container needs it: a scope to start, stop and
 * change, processes to put into it. The system's manager, or the user's. What a scope is asked to
 * be is groups_systemd.c's; the wire is fmt/dbus.h's.
 *
 * Every wait ends at the deadline given to systemd_open, with a message that says who did not
 * answer to what.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"

struct systemd;

/*
 * user: the manager of the user's session, found by DBUS_SESSION_BUS_ADDRESS and XDG_RUNTIME_DIR;
 * else the system's by DBUS_SYSTEM_BUS_ADDRESS. Where there is no bus, the manager's own socket.
 * UNSUPPORTED: there is no manager on this machine. DENIED, TIMEOUT.
 */
[[nodiscard]] int systemd_open(bool user, nsec_t deadline, struct systemd **ret_s, struct err *e);
void systemd_close(struct systemd *s); /* NULL is fine */
static inline void systemd_closep(struct systemd **s)
{
	systemd_close(*s);
}
#define auto_systemd __attribute__((cleanup(systemd_closep)))

/*
 * properties: elements of an array of (sv), written from an offset that is a multiple of 8.
 * Returns when the unit is up. CONFLICT: there is a unit of this name.
 */
[[nodiscard]] int systemd_start(struct systemd *s, const char *unit, struct str properties,
				struct err *e);
/* Stop it and wait until it is; a unit that is not there, or failed, is forgotten. */
[[nodiscard]] int systemd_stop(struct systemd *s, const char *unit, struct err *e);
/* As systemd_stop, but CONFLICT when it has processes: it may be another's. */
[[nodiscard]] int systemd_clear(struct systemd *s, const char *unit, struct err *e);
/* Change properties of a running unit, until it ends. */
[[nodiscard]] int systemd_set(struct systemd *s, const char *unit, struct str properties,
			      struct err *e);
/* A process of the caller's into a delegated unit; sub: a cgroup below its own, "" or "/a/b". */
[[nodiscard]] int systemd_attach(struct systemd *s, const char *unit, const char *sub, pid_t pid,
				 struct err *e);
