/* SPDX-License-Identifier: Apache-2.0 */
#include "base/test.h"
#include "virtio/entropy.h"
#include "virtio/test_guest.h"

static struct guest guest;

static bool all_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

int main(void)
{
	struct guest_queue v[VIRTIO_QUEUES_MAX];
	struct virtio_device *d;
	struct loop loop;
	struct err e;
	uint16_t head;
	uint32_t n;
	uint8_t *at;

	CHECK(loop_init(&loop) == 0);
	guest_init(&guest);
	d = entropy_new(&loop, &guest.memory, &e);
	if (!d)
		return 1;
	guest_drive(&guest, d, VIRTIO_RING_FEATURES, 64, v);
	at = guest_at(&guest, guest_gpa(&guest, 0));

	(void) guest_request(&v[0], 0, 0, guest_gpa(&guest, 0), 64);
	(void) guest_request(&v[0], 0, 0, guest_gpa(&guest, 64), 64);
	d->ops->kick(d, 0);
	CHECK(guest_reap(&v[0], &head, &n) && n == 64);
	CHECK(guest_reap(&v[0], &head, &n) && n == 64);
	CHECK(guest.interrupts[0] == 1);
	CHECK(!all_zero(at, 64) && memcmp(at, at + 64, 64) != 0 && all_zero(at + 128, 64));

	/* No request gets more than 64 KiB, in however many pieces. */
	memset(at, 0, 200000);
	head = guest_desc(&v[0], guest_gpa(&guest, 0), 65000, QUEUE_DESC_NEXT | QUEUE_DESC_WRITE);
	(void) guest_desc(&v[0], guest_gpa(&guest, 65000), 100000, QUEUE_DESC_WRITE);
	guest_offer(&v[0], head);
	d->ops->kick(d, 0);
	CHECK(guest_reap(&v[0], &head, &n) && n == 65536);
	CHECK(!all_zero(at + 65536 - 32, 32) && all_zero(at + 65536, 100000));

	/* What asks for nothing gets nothing, and is given back. */
	(void) guest_request(&v[0], guest_gpa(&guest, 0), 10, 0, 0);
	d->ops->kick(d, 0);
	CHECK(guest_reap(&v[0], &head, &n) && n == 0);
	CHECK(d->stats.errors == 1 && d->stats.read_bytes == 128 + 65536);
	d->ops->free(d);
	guest_fini(&guest);
	loop_fini(&loop);
	return test_done();
}
