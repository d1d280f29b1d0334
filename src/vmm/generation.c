/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/generation.h"

#include <errno.h>
#include <sys/random.h>

#include "vmm/layout.h"

int generation_renew(const struct guest_memory *m, struct err *e)
{
	uint8_t id[LAYOUT_GENERATION_BYTES];
	int r;

	if (getrandom(id, sizeof(id), 0) != sizeof(id))
		return err_sys(e, errno, "get random bytes");
	r = guest_memory_write(m, LAYOUT_GENERATION, id, sizeof(id));
	return r < 0 ? err_sys(e, -r, "write the machine's generation") : 0;
}
