/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and replies of the machine monitor: what decodes is encoded again to the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "proto/vmm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t bytes[VMM_REPLY_MAX];
	struct vmm_request q;
	struct vmm_reply r;

	if (size >= VMM_REQUEST_BYTES && vmm_decode_request(data, &q) == 0) {
		vmm_encode_request(&q, bytes);
		if (memcmp(bytes, data, VMM_REQUEST_BYTES) != 0)
			abort();
		if (q.type == VMM_LIMIT && vmm_limit_device(q.which) >= VMM_DEVICES_MAX)
			abort();
	}
	if (vmm_decode_reply(data, size, &r) == 1) {
		size_t n = vmm_encode_reply(&r, bytes);

		if (n > size || memcmp(bytes, data, n) != 0)
			abort();
	}
	return 0;
}
