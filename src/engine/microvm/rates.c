/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/microvm/rates.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/num.h"

bool rates_add_disk(struct rates *s, int fd)
{
	struct stat st;
	dev_t dev;

	if (s->disks_n == RATES_DISKS_MAX || fstat(fd, &st) < 0)
		return false;
	dev = S_ISBLK(st.st_mode) ? st.st_rdev : st.st_dev;
	s->disks[s->disks_n++] = (struct rates_disk){ .major = major(dev), .minor = minor(dev) };
	return true;
}

/* Whether the disk lies on the device, or on a partition of it. */
static bool lies_on(const struct rates_disk *d, const struct spec_throttle_device *t)
{
	auto_buf struct buf text = BUF_INIT(64);
	struct str minor_text, major_text;
	char path[64];
	uint64_t high, low;

	if (t->major == d->major && t->minor == d->minor)
		return true;
	/* The directory of a partition is within its disk's. */
	(void) snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/../dev", d->major, d->minor);
	if (file_read(AT_FDCWD, path, &text) < 0)
		return false;
	major_text = str_cut(str_trim(buf_str(&text)), ':', &minor_text);
	return num_parse_u64(major_text, 0, UINT32_MAX, &high) == 0 &&
	       num_parse_u64(minor_text, 0, UINT32_MAX, &low) == 0 && high == (uint64_t) t->major &&
	       low == (uint64_t) t->minor;
}

static bool apply_list(const struct rates_disk *d, const struct spec_throttle_device *v, size_t n,
		       uint64_t *rate)
{
	bool found = false;

	for (size_t i = 0; i < n; i++) {
		if (lies_on(d, &v[i])) {
			*rate = v[i].rate;
			found = true;
		}
	}
	return found;
}

static bool apply_throttles(struct rates_disk *d, const struct spec_block_io *b)
{
	bool found = apply_list(d, b->read_bps, b->read_bps_n, &d->rate.read_bytes);

	found = apply_list(d, b->write_bps, b->write_bps_n, &d->rate.write_bytes) || found;
	found = apply_list(d, b->read_iops, b->read_iops_n, &d->rate.read_ops) || found;
	return apply_list(d, b->write_iops, b->write_iops_n, &d->rate.write_ops) || found;
}

uint32_t rates_apply(struct rates *s, const struct spec_resources *r)
{
	const struct spec_machine *m = r->machine;
	uint32_t said = 0;

	for (size_t i = 0; r->block_io && i < s->disks_n; i++) {
		if (apply_throttles(&s->disks[i], r->block_io))
			said |= 1u << i;
	}
	for (size_t k = 0; m && k < m->disks_n; k++) {
		if (m->disks[k].index >= s->disks_n)
			continue; /* the caller has looked */
		s->disks[m->disks[k].index].rate = m->disks[k].rate;
		said |= 1u << m->disks[k].index;
	}
	if (m && m->network) {
		s->network = *m->network;
		said |= RATES_NETWORK;
	}
	return said;
}

int rates_missing(const struct rates *s, const struct spec_resources *r)
{
	for (size_t i = 0; r->machine && i < r->machine->disks_n; i++) {
		if (r->machine->disks[i].index >= s->disks_n)
			return (int) r->machine->disks[i].index;
	}
	return -1;
}

bool rates_limit(const struct spec_rate *r)
{
	return r->read_bytes || r->read_ops || r->write_bytes || r->write_ops;
}
