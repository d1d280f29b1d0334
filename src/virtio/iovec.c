/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/iovec.h"

#include <stdint.h>
#include <string.h>

size_t iovec_read(const struct iovec *v, size_t v_n, size_t at, void *to, size_t n)
{
	size_t done = 0;

	for (size_t i = 0; i < v_n && done < n; i++) {
		size_t len = v[i].iov_len;

		if (at >= len) {
			at -= len;
			continue;
		}
		len = len - at < n - done ? len - at : n - done;
		memcpy((uint8_t *) to + done, (const uint8_t *) v[i].iov_base + at, len);
		done += len;
		at = 0;
	}
	return done;
}

size_t iovec_write(const struct iovec *v, size_t v_n, size_t at, const void *from, size_t n)
{
	size_t done = 0;

	for (size_t i = 0; i < v_n && done < n; i++) {
		size_t len = v[i].iov_len;

		if (at >= len) {
			at -= len;
			continue;
		}
		len = len - at < n - done ? len - at : n - done;
		memcpy((uint8_t *) v[i].iov_base + at, (const uint8_t *) from + done, len);
		done += len;
		at = 0;
	}
	return done;
}

size_t iovec_slice(const struct iovec *v, size_t v_n, size_t at, size_t n, struct iovec *ret)
{
	size_t ret_n = 0;

	for (size_t i = 0; i < v_n && n > 0; i++) {
		size_t len = v[i].iov_len;

		if (at >= len) {
			at -= len;
			continue;
		}
		len = len - at < n ? len - at : n;
		ret[ret_n++] = (struct iovec){ (uint8_t *) v[i].iov_base + at, len };
		n -= len;
		at = 0;
	}
	return ret_n;
}
