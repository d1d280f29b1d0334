/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a trace tells of system calls, as bytes: the kernel writes them (task/trace.h), src/trace
 * reads them, on the same machine. A record is its head and so many parts, each a head and its
 * bytes; all begin at multiples of 8. A message has whole records.
 */
#pragma once

#include <stdint.h>

#define TRACE_RECORD_MAX  (16u << 10) /* bytes of one, with all its parts */
#define TRACE_MESSAGE_MAX (32u << 10) /* of a message */
#define TRACE_TEXT_MAX	  4096u	      /* bytes of one text or buffer */
#define TRACE_ITEMS_MAX	  32u	      /* of an array, a list of words or of pieces */

enum trace_kind {
	TRACE_ENTRY = 1, /* a call begins; parts: what is behind its arguments */
	TRACE_EXIT,	 /* it returns: result, took; parts: what it wrote there */
	TRACE_SIGNAL, /* one is delivered: args[0]: number, [1]: si_code, [2]: si_pid, [3]: si_uid,
		       * [4]: si_addr */
	TRACE_END,    /* a thread ends: result: its process' status as wait4(2) tells it, or -1:
		       * others go on; args[0]: whether it is the process' last */
	TRACE_LOST,   /* result: so many records were not told as nobody read them in time */
};

struct trace_record {
	uint32_t bytes; /* with the parts */
	uint16_t kind;
	uint16_t parts;
	uint32_t pid, tid; /* inside */
	int64_t at;	   /* ns since 1970 */
	int64_t took;	   /* ns; -1: when it began is not known */
	int64_t result;
	uint32_t nr, pad;
	uint64_t args[6];
};
_Static_assert(sizeof(struct trace_record) == 96, "as it travels");

#define TRACE_CUT 1 /* there was more */

/* Of SHAPE_PIECES and SHAPE_MESSAGE: which of them this is. */
enum trace_what {
	TRACE_WHOLE,   /* all other shapes */
	TRACE_HEADER,  /* struct msghdr */
	TRACE_ADDRESS, /* its msg_name */
	TRACE_PIECE,   /* one struct iovec's bytes; `of` is its iov_len */
	TRACE_WORD,    /* one text of a list */
	TRACE_MORE,    /* of the list, the array of pieces: there are more; no bytes */
};

struct trace_part {
	uint8_t argument;
	uint8_t what;
	uint16_t flags;
	uint32_t bytes; /* that follow, without the padding */
	uint64_t of;	/* how many there are, of which some may follow */
};
_Static_assert(sizeof(struct trace_part) == 16, "as it travels");

static inline uint32_t trace_padded(uint32_t bytes)
{
	return (bytes + 7) & ~7u;
}
