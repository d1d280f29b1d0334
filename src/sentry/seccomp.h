/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What linux.seccomp has become: a program of struct sock_filter (seccomp(2)) that the engine has
 * compiled, which the guest's kernel runs. What a program calls is judged by it; what this program
 * itself may do is filter.h's.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "fmt/spec.h"

struct seccomp_filter;

/* The whole of fd; FD_NONE: none. INVALID: it can be no program by its length. */
[[nodiscard]] int seccomp_read(int fd, struct buf *ret_program, struct err *e);
/* UNSUPPORTED: linux.seccomp asks for what no program does, or is there without one. */
[[nodiscard]] int seccomp_fits(const struct spec *s, const struct buf *program, struct err *e);
/* The chain of it alone, owned; NULL: there is no program. In a fiber. INVALID: it is none. */
[[nodiscard]] int seccomp_chain(const struct buf *program, struct seccomp_filter **ret,
				struct err *e);
