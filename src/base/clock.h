/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time: monotonic nanoseconds for deadlines, wall-clock nanoseconds for records, RFC 3339 text and
 * durations as Go writes them ("1m30s").
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

typedef int64_t nsec_t;

#define NSEC_PER_SEC  ((nsec_t) 1000000000)
#define NSEC_PER_MSEC ((nsec_t) 1000000)
#define NSEC_NEVER    INT64_MAX

nsec_t clock_mono(void);	    /* CLOCK_MONOTONIC */
nsec_t clock_wall(void);	    /* CLOCK_REALTIME, ns since 1970 */
nsec_t clock_deadline(nsec_t in);   /* now + in, saturating */
int clock_poll_ms(nsec_t deadline); /* for poll(2): -1 never, 0 past, rounded up */

#define CLOCK_RFC3339_MAX 36
/* "2026-01-02T03:04:05.000000006Z"; 0 gives "0001-01-01T00:00:00Z", as docker shows no time. */
void clock_rfc3339(nsec_t wall, char ret_text[static CLOCK_RFC3339_MAX]);
/* RFC 3339, with or without fraction and zone, or seconds since 1970 with fraction. -EINVAL. */
[[nodiscard]] int clock_parse(struct str s, nsec_t *ret_wall);

/* Go's durations: "300ms", "1.5h", "2h45m", also plain "0". -EINVAL, -ERANGE. */
[[nodiscard]] int clock_parse_duration(struct str s, nsec_t *ret_d);
#define CLOCK_DURATION_MAX 32
void clock_duration(nsec_t d, char ret_text[static CLOCK_DURATION_MAX]); /* "1m30s" */
/* "Less than a second", "5 seconds", "About a minute", "3 weeks": docker's words. */
void clock_human(nsec_t d, char ret_text[static CLOCK_DURATION_MAX]);
