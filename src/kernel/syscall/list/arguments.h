/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the arguments of system calls are: one table for who copies what a call means (task/trace.h)
 * and for who writes it down (src/trace). Not what a call does with them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARGUMENTS_MOST 6

/* When there is something behind an address. */
#define ARGUMENT_NEVER 0
#define ARGUMENT_IN    1 /* as the call begins */
#define ARGUMENT_OUT   2 /* as it returns without an error */

/* How much there is. */
enum argument_shape {
	SHAPE_VALUE,   /* nothing: the argument itself is all */
	SHAPE_TEXT,    /* up to a zero byte */
	SHAPE_FIXED,   /* `unit` bytes */
	SHAPE_COUNTED, /* in: the next argument's number of units; out: the result's, at most that
			*/
	SHAPE_LENGTH,  /* as many bytes as the number (32 bits) behind the next argument says */
	SHAPE_PIECES,  /* struct iovec, the next argument's number: each with its bytes */
	SHAPE_MESSAGE, /* struct msghdr: with its address, its pieces and their bytes */
	SHAPE_WORDS,   /* texts, up to a null address */
	SHAPE_COUNT,   /* the same, but only how many there are: 32 bits */
};

/* KIND(name, when, shape, unit) */
#define ARGUMENT_KINDS(KIND)                                                                       \
	KIND(NONE, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                                 \
	KIND(INT, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                                  \
	KIND(UINT, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                                 \
	KIND(LONG, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                                 \
	KIND(SIZE, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                                 \
	KIND(HEX, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                                  \
	KIND(POINTER, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                              \
	KIND(FD, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                                   \
	KIND(DIRFD, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                                \
	KIND(PID, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                                  \
	KIND(ID, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                                   \
	KIND(MODE, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                                 \
	KIND(DEVICE, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                               \
	KIND(SIGNAL, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                               \
	KIND(OPEN_FLAGS, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                           \
	KIND(ACCESS_MODE, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                          \
	KIND(AT_FLAGS, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                             \
	KIND(STATX_MASK, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                           \
	KIND(PROT, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                                 \
	KIND(MAP_FLAGS, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                            \
	KIND(MREMAP_FLAGS, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                         \
	KIND(MSYNC_FLAGS, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                          \
	KIND(ADVICE, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                               \
	KIND(WHENCE, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                               \
	KIND(FCNTL, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                                \
	KIND(FCNTL_ARGUMENT, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                       \
	KIND(FLOCK, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                                \
	KIND(IOCTL, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                                \
	KIND(PRCTL, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                                \
	KIND(ARCH_PRCTL, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                           \
	KIND(CLONE_FLAGS, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                          \
	KIND(WAIT_FLAGS, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                           \
	KIND(ID_TYPE, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                              \
	KIND(FUTEX_OP, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                             \
	KIND(CLOCK, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                                \
	KIND(TIMER_FLAGS, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                          \
	KIND(ITIMER, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                               \
	KIND(SIGMASK_HOW, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                          \
	KIND(RESOURCE, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                             \
	KIND(RUSAGE_WHO, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                           \
	KIND(FAMILY, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                               \
	KIND(SOCKET_TYPE, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                          \
	KIND(PROTOCOL, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                             \
	KIND(MSG_FLAGS, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                            \
	KIND(SOCKET_LEVEL, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                         \
	KIND(SOCKET_OPTION, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                        \
	KIND(SHUTDOWN, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                             \
	KIND(EPOLL_OP, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                             \
	KIND(FILE_FLAGS, ARGUMENT_NEVER, SHAPE_VALUE, 0) /* O_CLOEXEC, O_NONBLOCK alone */         \
	KIND(MOUNT_FLAGS, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                          \
	KIND(RENAME_FLAGS, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                         \
	KIND(RANDOM_FLAGS, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                         \
	KIND(MEMFD_FLAGS, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                          \
	KIND(FALLOCATE_MODE, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                       \
	KIND(POLICY, ARGUMENT_NEVER, SHAPE_VALUE, 0)                                               \
	KIND(PATH, ARGUMENT_IN, SHAPE_TEXT, 4096)                                                  \
	KIND(TEXT, ARGUMENT_IN, SHAPE_TEXT, 4096)                                                  \
	KIND(TEXT_OUT, ARGUMENT_OUT, SHAPE_TEXT, 4096)                                             \
	KIND(BYTES, ARGUMENT_IN, SHAPE_COUNTED, 1)                                                 \
	KIND(BYTES_OUT, ARGUMENT_OUT, SHAPE_COUNTED, 1)                                            \
	KIND(PIECES, ARGUMENT_IN, SHAPE_PIECES, 0)                                                 \
	KIND(PIECES_OUT, ARGUMENT_OUT, SHAPE_PIECES, 0)                                            \
	KIND(MESSAGE, ARGUMENT_IN, SHAPE_MESSAGE, 0)                                               \
	KIND(MESSAGE_OUT, ARGUMENT_OUT, SHAPE_MESSAGE, 0)                                          \
	KIND(WORDS, ARGUMENT_IN, SHAPE_WORDS, 0)                                                   \
	KIND(ENVIRONMENT, ARGUMENT_IN, SHAPE_COUNT, 0)                                             \
	KIND(INT_IN, ARGUMENT_IN, SHAPE_FIXED, 4)                                                  \
	KIND(INT_OUT, ARGUMENT_OUT, SHAPE_FIXED, 4)                                                \
	KIND(OFFSET_INOUT, ARGUMENT_IN, SHAPE_FIXED, 8)                                            \
	KIND(PIPE_OUT, ARGUMENT_OUT, SHAPE_FIXED, 8)                                               \
	KIND(STATUS_OUT, ARGUMENT_OUT, SHAPE_FIXED, 4)                                             \
	KIND(STAT_OUT, ARGUMENT_OUT, SHAPE_FIXED, 144)                                             \
	KIND(STATX_OUT, ARGUMENT_OUT, SHAPE_FIXED, 256)                                            \
	KIND(STATFS_OUT, ARGUMENT_OUT, SHAPE_FIXED, 120)                                           \
	KIND(TIMESPEC, ARGUMENT_IN, SHAPE_FIXED, 16)                                               \
	KIND(TIMESPEC_OUT, ARGUMENT_OUT, SHAPE_FIXED, 16)                                          \
	KIND(TIMESPECS, ARGUMENT_IN, SHAPE_FIXED, 32) /* two: utimensat */                         \
	KIND(TIMEVAL, ARGUMENT_IN, SHAPE_FIXED, 16)                                                \
	KIND(TIMEVAL_OUT, ARGUMENT_OUT, SHAPE_FIXED, 16)                                           \
	KIND(ITIMERSPEC, ARGUMENT_IN, SHAPE_FIXED, 32)                                             \
	KIND(ITIMERSPEC_OUT, ARGUMENT_OUT, SHAPE_FIXED, 32)                                        \
	KIND(ITIMERVAL, ARGUMENT_IN, SHAPE_FIXED, 32)                                              \
	KIND(ITIMERVAL_OUT, ARGUMENT_OUT, SHAPE_FIXED, 32)                                         \
	KIND(RLIMIT, ARGUMENT_IN, SHAPE_FIXED, 16)                                                 \
	KIND(RLIMIT_OUT, ARGUMENT_OUT, SHAPE_FIXED, 16)                                            \
	KIND(SIGSET, ARGUMENT_IN, SHAPE_FIXED, 8)                                                  \
	KIND(SIGSET_OUT, ARGUMENT_OUT, SHAPE_FIXED, 8)                                             \
	KIND(SIGACTION, ARGUMENT_IN, SHAPE_FIXED, 32)                                              \
	KIND(SIGACTION_OUT, ARGUMENT_OUT, SHAPE_FIXED, 32)                                         \
	KIND(UTSNAME_OUT, ARGUMENT_OUT, SHAPE_FIXED, 390)                                          \
	KIND(CLONE_ARGS, ARGUMENT_IN, SHAPE_FIXED, 64)                                             \
	KIND(OPEN_HOW, ARGUMENT_IN, SHAPE_FIXED, 24)                                               \
	KIND(EPOLL_EVENT, ARGUMENT_IN, SHAPE_FIXED, 12)                                            \
	KIND(EPOLL_EVENTS_OUT, ARGUMENT_OUT, SHAPE_COUNTED, 12)                                    \
	KIND(POLLFDS, ARGUMENT_IN | ARGUMENT_OUT, SHAPE_COUNTED, 8)                                \
	KIND(ADDRESS, ARGUMENT_IN, SHAPE_COUNTED, 1)                                               \
	KIND(ADDRESS_OUT, ARGUMENT_OUT, SHAPE_LENGTH, 1)                                           \
	KIND(OPTION_VALUE, ARGUMENT_IN, SHAPE_COUNTED, 1)                                          \
	KIND(OPTION_VALUE_OUT, ARGUMENT_OUT, SHAPE_LENGTH, 1)

enum argument_kind {
#define KIND(name, when, shape, unit) ARGUMENT_##name,
	ARGUMENT_KINDS(KIND)
#undef KIND
		ARGUMENT_KINDS_N
};

struct argument_info {
	unsigned char when; /* ARGUMENT_IN, ARGUMENT_OUT */
	unsigned char shape;
	unsigned short unit;
};
/* For each kind. */
extern const struct argument_info argument_infos[ARGUMENT_KINDS_N];

/* What a call's result is, where it is no number. */
enum result_kind { RESULT_NUMBER, RESULT_ADDRESS, RESULT_MODE, RESULT_NEVER };

/* What -e trace=%NAME means. */
#define CALLS_FILE    1 /* takes a name of a file */
#define CALLS_DESC    2 /* takes or gives a descriptor */
#define CALLS_PROCESS 4 /* begins, ends or waits for processes */
#define CALLS_NETWORK 8
#define CALLS_SIGNAL  16
#define CALLS_MEMORY  32
#define CALLS_IPC     64

struct call_arguments {
	unsigned char kinds[ARGUMENTS_MOST]; /* enum argument_kind, ended by ARGUMENT_NONE */
	unsigned char result;
	unsigned char groups;
	bool known; /* false: nothing is known of its arguments */
	/* Of a call that is many: the argument that says which, from 1; 0: it is one. */
	unsigned char which;
};

/* All of them have six arguments at most; of those that are not known the six are numbers. */
const struct call_arguments *call_arguments(unsigned int nr);
