/* SPDX-License-Identifier: Apache-2.0 */
/* musl's declares memcpy and memset again, which string.h may have made macros before. */
#pragma once

#pragma push_macro("memcpy")
#pragma push_macro("memset")
#undef memcpy
#undef memset
#include_next <sched.h>
#pragma pop_macro("memcpy")
#pragma pop_macro("memset")
