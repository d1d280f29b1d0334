/* SPDX-License-Identifier: Apache-2.0 */
/* What callers are warned of: asked for, harmless to leave out, and left out. */
#include "base/log.h"
#include "fmt/spec.h"
#include "runtime/runtime.h"

/* capabilities(7): only what is permitted and inheritable can be ambient. */
void process_warn(const struct spec_process *p)
{
	uint64_t lost = p->caps ? p->caps->ambient & ~(p->caps->inheritable & p->caps->permitted)
				: 0;

	for (unsigned i = 0; i < SPEC_CAP_N; i++) {
		if (lost & (uint64_t) 1 << i)
			log_warn("can't raise ambient capability %s: operation not permitted (it "
				 "must be inheritable and permitted)",
				 spec_cap_name(i));
	}
}
