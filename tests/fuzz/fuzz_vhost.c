/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of vhost-user in a row: what is understood is written as it was read. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "vhost/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	while (size >= VHOST_HEADER_SIZE) {
		uint8_t bytes[VHOST_HEADER_SIZE + VHOST_PAYLOAD_MAX];
		struct vhost_message m = {}, again = {};
		uint32_t n = 0, n_again = 0;

		if (vhost_decode_header(data, &m, &n) < 0 || n > size - VHOST_HEADER_SIZE)
			return 0;
		if (vhost_decode_payload(data + VHOST_HEADER_SIZE, n, &m) == 0) {
			size_t written = vhost_encode(&m, bytes);

			if (vhost_decode_header(bytes, &again, &n_again) < 0 ||
			    written != VHOST_HEADER_SIZE + n_again ||
			    vhost_decode_payload(bytes + VHOST_HEADER_SIZE, n_again, &again) < 0 ||
			    memcmp(&m, &again, sizeof(m)) != 0)
				abort();
		}
		data += VHOST_HEADER_SIZE + n;
		size -= VHOST_HEADER_SIZE + n;
	}
	return 0;
}
