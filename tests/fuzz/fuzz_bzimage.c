/* SPDX-License-Identifier: Apache-2.0 */
/* Compressed kernels: the payload lies within the file, the release is fit for a file's name. */
#include <stdlib.h>

#include "base/auto.h"
#include "base/num.h"
#include "fmt/bzimage.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char version[KERNEL_VERSION_MAX];
	struct bzimage b;
	struct err e;

	(void) bzimage_is(data, size);
	if (kernel_version_in(data, size, version) && !kernel_version_ok(str_of(version)))
		abort();
	if (bzimage_read(data, size, &b, &e) < 0)
		return 0;
	if (!b.payload_n || !range_in(b.payload, b.payload_n, size) ||
	    (b.version[0] && !kernel_version_ok(str_of(b.version))))
		abort();
	return 0;
}
