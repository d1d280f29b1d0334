/* SPDX-License-Identifier: Apache-2.0 */
/* The record of a prepared kernel: what is taken can be written and taken again. */
#include <stdlib.h>

#include "base/auto.h"
#include "fmt/prepared.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_buf struct buf again = BUF_INIT(PREPARED_RECORD_MAX);
	struct prepared p, twice;

	if (prepared_read((struct str){ (const char *) data, size }, &p) < 0)
		return 0;
	prepared_write(&p, &again); /* not always the same bytes: 007 is a number too */
	if (!buf_ok(&again) || prepared_read(buf_str(&again), &twice) < 0 ||
	    twice.vmlinux.size != p.vmlinux.size || !digest_eq(&twice.source, &p.source))
		abort();
	return 0;
}
