/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/memory_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "base/auto.h"

#define RUN_MAX (UINT64_C(1) << 20) /* bytes of one write */

static bool is_zero(const uint8_t *page)
{
	uint64_t first;

	memcpy(&first, page, sizeof(first));
	return first == 0 && memcmp(page, page + sizeof(first), GUEST_PAGE - sizeof(first)) == 0;
}

static bool has_changed(const struct guest_memory *m, uint64_t gpa)
{
	uint64_t page = gpa / GUEST_PAGE;

	return m->changed && (m->changed[page / 8] & 1u << page % 8);
}

/*
 * The file whose pages the memory's are where nothing was written: what is a hole there is zeros
 * here, and need not be looked at, which would fill it. FD_NONE: none.
 */
static int beneath(const struct ram *r)
{
	return r->fd >= 0 ? r->fd : r->memory.changed ? r->restored_fd : FD_NONE;
}

struct writing {
	struct ram *ram;
	int fd;
	bool changed_only;
	uint64_t data_at, data_end; /* the next data of the file beneath, from where we are */
	uint64_t written;
};

/* Whether [at, at + page) of the file beneath is a hole. */
static bool is_hole(struct writing *w, uint64_t at)
{
	int fd = beneath(w->ram);
	off_t r;

	if (fd < 0)
		return false;
	if (at >= w->data_end) {
		r = lseek(fd, (off_t) at, SEEK_DATA);
		if (r < 0 && errno != ENXIO)
			return false; /* it does not tell */
		w->data_at = r < 0 ? w->ram->bytes : (uint64_t) r & ~(GUEST_PAGE - 1);
		r = r < 0 ? -1 : lseek(fd, r, SEEK_HOLE);
		w->data_end = r < 0 ? w->ram->bytes : (uint64_t) r;
	}
	return at < w->data_at;
}

/* What of a page a file needs; and keeps account of which the newest file has as zeros. */
static bool is_wanted(struct writing *w, const struct guest_region *g, uint64_t at)
{
	uint64_t page = (g->fd_offset + at) / GUEST_PAGE;
	uint8_t *zeros = &w->ram->zeros[page / 8], bit = (uint8_t) (1u << page % 8);
	bool changed = has_changed(&w->ram->memory, g->gpa + at);
	bool hole = is_hole(w, g->fd_offset + at), was_zero = *zeros & bit;

	/* Where nobody tells what others have changed, all that is there may be. */
	if (w->changed_only && !changed && (!w->ram->unaccounted || hole))
		return false;
	if ((hole && (w->ram->fd >= 0 || !changed)) || is_zero(g->hva + at)) {
		*zeros |= bit;
		/* The guest gives back what it never used: it is zeros beneath as well. */
		return w->changed_only && !was_zero;
	}
	*zeros &= (uint8_t) ~bit;
	return true;
}

static int write_run(struct writing *w, const struct guest_region *g, uint64_t at, uint64_t n,
		     struct err *e)
{
	w->written += n;
	while (n > 0) {
		ssize_t r = pwrite(w->fd, g->hva + at, n < RUN_MAX ? n : RUN_MAX,
				   (off_t) (g->fd_offset + at));

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return err_sys(e, r < 0 ? errno : ENOSPC, "write the memory");
		at += (uint64_t) r;
		n -= (uint64_t) r;
	}
	return 0;
}

static int write_region(struct writing *w, const struct guest_region *g, struct err *e)
{
	uint64_t run = 0; /* bytes that wait to be written, up to `at` */

	for (uint64_t at = 0; at <= g->size; at += GUEST_PAGE) {
		if (at < g->size && is_wanted(w, g, at)) {
			run += GUEST_PAGE;
			continue;
		}
		if (run && write_run(w, g, at - run, run, e) < 0)
			return -EIO;
		run = 0;
	}
	return 0;
}

/* Until the first file is written, the newest is the one that the memory came from. */
static int know_zeros(struct ram *r, struct err *e)
{
	off_t end = 0, at;

	if (r->zeros)
		return 0;
	r->zeros = calloc(1, (size_t) (r->bytes / GUEST_PAGE / 8 + 1));
	if (!r->zeros)
		return err_sys(e, ENOMEM, "account of the memory");
	while (r->restored_fd >= 0 && end < (off_t) r->bytes) {
		at = lseek(r->restored_fd, end, SEEK_DATA);
		if (at < 0 && errno != ENXIO)
			return 0; /* it does not tell: nothing is known of the rest */
		for (uint64_t p = (uint64_t) end / GUEST_PAGE,
			      to = (at < 0 ? r->bytes : (uint64_t) at) / GUEST_PAGE;
		     p < to; p++)
			r->zeros[p / 8] |= (uint8_t) (1u << p % 8);
		end = at < 0 ? -1 : lseek(r->restored_fd, at, SEEK_HOLE);
		if (end < 0)
			return 0;
		end = (off_t) (((uint64_t) end + GUEST_PAGE - 1) & ~(uint64_t) (GUEST_PAGE - 1));
	}
	return 0;
}

int memory_file_write(struct ram *r, int fd, bool changed_only, uint64_t *ret_bytes, struct err *e)
{
	struct writing w = { .ram = r, .fd = fd, .changed_only = changed_only };
	off_t there = lseek(fd, 0, SEEK_END);

	if (there != 0)
		return err_set(e, ERR_INVALID, EINVAL, "the file for the memory is not empty%s",
			       there < 0 ? ", or no file" : "");
	if (know_zeros(r, e) < 0)
		return -ENOMEM;
	if (ftruncate(fd, (off_t) r->bytes) < 0)
		return err_sys(e, errno, "size the file for the memory");
	for (size_t i = 0; i < r->memory.regions_n; i++)
		if (write_region(&w, &r->memory.regions[i], e) < 0)
			return -EIO;
	*ret_bytes = w.written;
	return 0;
}

/* From file to file: through the mapping each page would be made, and filled with zeros, first. */
static int move_run(int to, int from, off_t at, off_t end, struct err *e)
{
	if (lseek(to, at, SEEK_SET) < 0)
		return err_sys(e, errno, "the guest's memory");
	while (at < end) {
		ssize_t n = sendfile(to, from, &at, (size_t) (end - at));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_sys(e, n < 0 ? errno : ENODATA, "read the memory");
	}
	return 0;
}

int memory_file_load(const struct ram *r, int fd, struct err *e)
{
	off_t at = 0, end;

	for (;;) {
		at = lseek(fd, at, SEEK_DATA);
		if (at < 0 && errno == ENXIO)
			return 0;
		end = at < 0 ? -1 : lseek(fd, at, SEEK_HOLE);
		if (end < 0)
			return err_sys(e, errno, "read the memory");
		if (move_run(r->fd, fd, at, end, e) < 0)
			return -EIO;
		at = end;
	}
}
