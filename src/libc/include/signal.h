/* SPDX-License-Identifier: Apache-2.0 */
/* The names of signals as glibc declares them. */
#pragma once

#include_next <signal.h>

const char *sigabbrev_np(int signo);
