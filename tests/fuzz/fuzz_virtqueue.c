/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole small guest memory is the input: rings lie where its first bytes say, and every chain
 * that comes out is read, written and given back. All parts must lie in that memory.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "virtio/queue.h"

enum { MEMORY = 16384, HEADER = 16, POPS = 4096 };

static struct chain chain;

static uint16_t word(const uint8_t *data, size_t at)
{
	return (uint16_t) (data[at] | data[at + 1] << 8);
}

static void check_parts(const uint8_t *memory, const struct iovec *v, size_t n, size_t bytes)
{
	for (size_t i = 0; i < n; i++) {
		const uint8_t *p = v[i].iov_base;

		if (p < memory || p > memory + MEMORY || v[i].iov_len == 0 ||
		    v[i].iov_len > (size_t) (memory + MEMORY - p) || v[i].iov_len > bytes)
			abort();
		bytes -= v[i].iov_len;
	}
	if (bytes)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t half[2][MEMORY / 2] __attribute__((aligned(16)));
	uint8_t *memory = &half[0][0];
	struct guest_memory m = { .regions_n = 2 };
	struct queue q = { .memory = &m };
	uint8_t scratch[64] = { 0 };

	if (size < HEADER)
		return 0;
	memset(half, 0, sizeof(half));
	memcpy(memory, data + HEADER, size - HEADER < MEMORY ? size - HEADER : MEMORY);
	/* Two regions side by side, so that buffers cross. */
	for (size_t i = 0; i < 2; i++)
		m.regions[i] = (struct guest_region){
			.gpa = i * (MEMORY / 2), .size = MEMORY / 2, .hva = half[i], .fd = -1
		};
	q.size = word(data, 0);
	q.desc = word(data, 2);
	q.avail = word(data, 4);
	q.used = word(data, 6);
	q.event_idx = data[8] & 1;
	q.indirect = data[8] & 2;
	q.next_avail = q.next_used = word(data, 10);
	if (queue_start(&q) < 0)
		return 0;
	if (data[8] & 4)
		queue_resume(&q, word(data, 12));
	/* What is written may be the rings themselves: they change under the walker. */
	for (unsigned i = 0; i < POPS && queue_pop(&q, &chain) > 0; i++) {
		check_parts(memory, chain.out, chain.out_n, chain.out_bytes);
		check_parts(memory, chain.in, chain.in_n, chain.in_bytes);
		if (chain.head >= q.size || chain.out_n + chain.in_n > CHAIN_PARTS_MAX)
			abort();
		(void) chain_read(&chain, i % 8, scratch, sizeof(scratch));
		if (data[9] & 1)
			(void) chain_write(&chain, i % 3, scratch, sizeof(scratch));
		queue_push(&q, chain.head, (uint32_t) chain.in_bytes);
		(void) queue_wants_interrupt(&q);
		(void) queue_enable_kicks(&q);
	}
	return 0;
}
