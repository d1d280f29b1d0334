/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/syscall/list/arguments.h"

/* The numbers, by name, of the one list. */
enum {
#define FULL(n, call)		  CALL_##call = (n),
#define PART(n, call, missing)	  FULL(n, call)
#define DENY(n, call, error, why) FULL(n, call)
#define NONE(n, call)		  FULL(n, call)
#include "kernel/syscall/list/calls.inc"
#undef FULL
#undef PART
#undef DENY
#undef NONE
	CALLS_END
};

const struct argument_info argument_infos[ARGUMENT_KINDS_N] = {
#define KIND(name, when, shape, unit) { when, shape, unit },
	ARGUMENT_KINDS(KIND)
#undef KIND
};

#define KINDS_1(a)			       ARGUMENT_##a
#define KINDS_2(a, b)			       ARGUMENT_##a, ARGUMENT_##b
#define KINDS_3(a, b, c)		       KINDS_2(a, b), ARGUMENT_##c
#define KINDS_4(a, b, c, d)		       KINDS_3(a, b, c), ARGUMENT_##d
#define KINDS_5(a, b, c, d, f)		       KINDS_4(a, b, c, d), ARGUMENT_##f
#define KINDS_6(a, b, c, d, f, g)	       KINDS_5(a, b, c, d, f), ARGUMENT_##g
#define KINDS_OF(a, b, c, d, f, g, count, ...) KINDS_##count
#define KINDS(...)                                                                                 \
	KINDS_OF(__VA_ARGS__, 6, 5, 4, 3, 2, 1, 0)                                                 \
	(__VA_ARGS__)

#define ARGUMENTS(call, groups_, result_, which_, ...)                                             \
	[CALL_##call] = { .kinds = { KINDS(__VA_ARGS__) },                                         \
			  .result = RESULT_##result_,                                              \
			  .groups = (groups_),                                                     \
			  .known = true,                                                           \
			  .which = (which_) },

static const struct call_arguments calls[CALLS_END] = {
#include "kernel/syscall/list/arguments.inc"
};

const struct call_arguments *call_arguments(unsigned int nr)
{
	static const struct call_arguments none = {
		.kinds = { ARGUMENT_HEX, ARGUMENT_HEX, ARGUMENT_HEX, ARGUMENT_HEX, ARGUMENT_HEX,
			   ARGUMENT_HEX },
	};

	return nr < CALLS_END && calls[nr].known ? &calls[nr] : &none;
}
