/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of Linux on x86-64 by their names, as programmers write them. */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "kernel/syscall/list/arguments.h"

/* What a value of this kind is called: flags joined by '|', what has no name in hexadecimal. False:
 * values of this kind have no names. */
bool name_value(struct buf *out, enum argument_kind kind, uint64_t value);
/* "ENOENT"; NULL: none of Linux's. */
const char *name_error(unsigned int error);
/* "SIGCHLD", "SIGRT_3" or a number. */
void name_signal(struct buf *out, uint64_t nr);
/* {SIGHUP, ...} as strace has it: [HUP INT]. */
void name_signals(struct buf *out, uint64_t set);
/* SI_USER, CLD_EXITED, ...: of this signal. */
void name_signal_code(struct buf *out, uint64_t nr, int64_t code);
/* S_IFREG|0644 */
void name_mode(struct buf *out, uint32_t mode);
void name_poll_events(struct buf *out, uint32_t events);
void name_epoll_events(struct buf *out, uint32_t events);
void name_action_flags(struct buf *out, uint64_t flags);
void name_resolve_flags(struct buf *out, uint64_t flags);
