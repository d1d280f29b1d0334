/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/block.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/virtio_blk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>

#include "base/auto.h"
#include "base/num.h"
#include "base/pack.h"

#define SECTOR	     512u
#define QUEUE_SIZE   256
#define RANGES_MAX   32		/* of one discard or write-zeroes request */
#define DISCARD_MAX  (1u << 22) /* sectors of one range: 2 GiB */
#define ZEROES_MAX   (1u << 15) /* 16 MiB, as zeros may have to be written */
#define JOBS_MAX     32u	/* requests that wait for the storage at once */
#define MUST_WAIT    0xff	/* in place of a status: not on the loop's thread */
#define FEATURE(bit) (UINT64_C(1) << (bit))

struct block {
	struct virtio_device d;
	int fd; /* owned */
	bool read_only, write_through;
	bool in_memory;	  /* the file is in the host's: to read it waits for no storage */
	uint64_t bytes;	  /* of the file when it was opened */
	uint64_t sectors; /* capacity */
	char id[VIRTIO_BLK_ID_BYTES + 1];
	struct virtio_blk_config config;
	struct rate read_rate, write_rate;
	struct loop_timer wait; /* for the rates */
	struct iovec slice[CHAIN_PARTS_MAX];
	struct hands *hands; /* borrowed; NULL: the loop's thread does all */
	bool cannot_ask;  /* whether a read would wait; on the loop's thread, as all that follows */
	bool stalled;	  /* there are more requests than jobs */
	bool settling;	  /* no more are to be taken */
	struct job *jobs; /* owned: JOBS_MAX of them; NULL without hands */
	struct job *free_jobs;
};

/* One request: its header, and what came of it. */
struct request {
	uint32_t type;
	uint64_t sector;
	size_t data_n; /* bytes of the direction that carries data */
	size_t done;   /* bytes written from the beginning of `in` */
	const struct chain *chain;
	struct iovec *slice; /* room for the parts of a chain */
};

/* A request that a hand performs; the chain is a copy, as others are served meanwhile. */
struct job {
	struct hands_job hand;
	struct block *owner;
	struct job *next_free;
	struct request request;
	uint8_t status;
	struct chain chain;
	struct iovec slice[CHAIN_PARTS_MAX];
};

static struct block *block_of(struct virtio_device *d)
{
	return LOOP_OWNER(d, struct block, d);
}

/* Whether the request's data are whole sectors of the disk. */
static bool on_disk(const struct block *b, const struct request *r)
{
	return r->data_n % SECTOR == 0 && range_in(r->sector, r->data_n / SECTOR, b->sectors);
}

/* MUST_WAIT: the rest is not in memory; only when that is `asked`. */
static uint8_t read_sectors(const struct block *b, struct request *r, bool asked)
{
	static const uint8_t zeros[SECTOR];
	const struct chain *c = r->chain;
	uint64_t at = r->sector * SECTOR;

	if (!on_disk(b, r))
		return VIRTIO_BLK_S_IOERR;
	while (r->done < r->data_n) {
		size_t parts = iovec_slice(c->in, c->in_n, r->done, r->data_n - r->done, r->slice);
		ssize_t n = preadv2(b->fd, r->slice, (int) parts, (off_t) (at + r->done),
				    asked ? RWF_NOWAIT : 0);

		if (n < 0 && errno == EINTR)
			continue;
		/* An error, too: who waits will see whether there is one. */
		if (n < 0 && asked)
			return MUST_WAIT;
		/* Past its end there is the rest of the last sector, or a file cut short. */
		if (n == 0 && at + r->done >= b->bytes)
			n = (ssize_t) chain_write(c, r->done, zeros, r->data_n - r->done);
		if (n <= 0)
			return VIRTIO_BLK_S_IOERR;
		r->done += (size_t) n;
	}
	return VIRTIO_BLK_S_OK;
}

static uint8_t write_sectors(const struct block *b, const struct request *r)
{
	const struct chain *c = r->chain;
	uint64_t at = r->sector * SECTOR;

	if (b->read_only || !on_disk(b, r))
		return VIRTIO_BLK_S_IOERR;
	for (size_t done = 0; done < r->data_n;) {
		size_t parts = iovec_slice(c->out, c->out_n,
					   sizeof(struct virtio_blk_outhdr) + done,
					   r->data_n - done, r->slice);
		ssize_t n = pwritev2(b->fd, r->slice, (int) parts, (off_t) (at + done),
				     b->write_through ? RWF_DSYNC : 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return VIRTIO_BLK_S_IOERR;
		done += (size_t) n;
	}
	return VIRTIO_BLK_S_OK;
}

static int write_zeros(int fd, uint64_t at, uint64_t n)
{
	static const uint8_t zeros[65536];

	while (n > 0) {
		ssize_t w = pwrite(fd, zeros, n < sizeof(zeros) ? n : sizeof(zeros), (off_t) at);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return w < 0 ? -errno : -EIO;
		at += (uint64_t) w;
		n -= (uint64_t) w;
	}
	return 0;
}

static int fallocate_keep(int fd, int mode, uint64_t at, uint64_t n)
{
	return fallocate(fd, mode | FALLOC_FL_KEEP_SIZE, (off_t) at, (off_t) n) < 0 ? -errno : 0;
}

/* Zeros, with the space given back where that may be (unmap) and can be. */
static int zero_range(const struct block *b, uint64_t at, uint64_t n, bool unmap)
{
	int r = -EOPNOTSUPP;

	if (unmap)
		r = fallocate_keep(b->fd, FALLOC_FL_PUNCH_HOLE, at, n);
	if (r == -EOPNOTSUPP)
		r = fallocate_keep(b->fd, FALLOC_FL_ZERO_RANGE, at, n);
	if (r == -EOPNOTSUPP)
		r = write_zeros(b->fd, at, n);
	if (r == 0 && b->write_through)
		r = fdatasync(b->fd) < 0 ? -errno : 0;
	return r;
}

static uint8_t change_range(const struct block *b, uint32_t type,
			    const struct virtio_blk_discard_write_zeroes *range)
{
	bool zeroes = type == VIRTIO_BLK_T_WRITE_ZEROES;
	uint32_t unmap = VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
	uint64_t at, n = (uint64_t) range->num_sectors * SECTOR;
	int r;

	if (range->flags & ~(zeroes ? unmap : 0)) /* 5.2.6.2 */
		return VIRTIO_BLK_S_UNSUPP;
	if (range->num_sectors > (zeroes ? ZEROES_MAX : DISCARD_MAX) ||
	    !range_in(range->sector, range->num_sectors, b->sectors))
		return VIRTIO_BLK_S_IOERR;
	if (n == 0)
		return VIRTIO_BLK_S_OK;
	at = range->sector * SECTOR;
	if (zeroes)
		r = zero_range(b, at, n, range->flags & unmap);
	else
		r = fallocate_keep(b->fd, FALLOC_FL_PUNCH_HOLE, at, n);
	if (r == -EOPNOTSUPP) /* a discard is advice */
		r = 0;
	return r < 0 ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
}

static uint8_t change_ranges(const struct block *b, const struct request *r)
{
	struct virtio_blk_discard_write_zeroes ranges[RANGES_MAX];
	size_t n = r->data_n / sizeof(ranges[0]);
	uint8_t status = VIRTIO_BLK_S_OK;

	if (b->read_only)
		return VIRTIO_BLK_S_IOERR;
	if (r->data_n % sizeof(ranges[0]) != 0 || n == 0 || n > RANGES_MAX)
		return VIRTIO_BLK_S_UNSUPP;
	(void) chain_read(r->chain, sizeof(struct virtio_blk_outhdr), ranges, r->data_n);
	for (size_t i = 0; i < n && status == VIRTIO_BLK_S_OK; i++)
		status = change_range(b, r->type, &ranges[i]);
	return status;
}

static uint8_t flush(const struct block *b)
{
	return b->read_only || fdatasync(b->fd) == 0 ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
}

/* On the loop's thread (`hand` is false) nothing is begun that waits for the storage. */
static uint8_t perform(const struct block *b, struct request *r, bool hand)
{
	bool may_wait = hand || !b->hands;

	switch (r->type) {
	case VIRTIO_BLK_T_IN:
		may_wait = may_wait || b->in_memory;
		if (!may_wait && b->cannot_ask)
			return MUST_WAIT;
		return read_sectors(b, r, !may_wait);
	case VIRTIO_BLK_T_OUT:
		/* Into the host's page cache, unless it is to be on the storage. */
		return may_wait || !b->write_through ? write_sectors(b, r) : MUST_WAIT;
	case VIRTIO_BLK_T_FLUSH:
		return may_wait || b->read_only ? flush(b) : MUST_WAIT;
	case VIRTIO_BLK_T_GET_ID:
		r->done = r->data_n < VIRTIO_BLK_ID_BYTES ? r->data_n : VIRTIO_BLK_ID_BYTES;
		(void) chain_write(r->chain, 0, b->id, r->done);
		return VIRTIO_BLK_S_OK;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return may_wait ? change_ranges(b, r) : MUST_WAIT;
	}
	return VIRTIO_BLK_S_UNSUPP;
}

/* Whether its data go from the guest to the disk. */
static bool is_out(uint32_t type)
{
	return type == VIRTIO_BLK_T_OUT || type == VIRTIO_BLK_T_DISCARD ||
	       type == VIRTIO_BLK_T_WRITE_ZEROES;
}

static void count(struct virtio_stats *s, const struct request *r, uint8_t status)
{
	if (status != VIRTIO_BLK_S_OK) {
		virtio_count(&s->errors, 1);
	} else if (r->type == VIRTIO_BLK_T_IN) {
		virtio_count(&s->reads, 1);
		virtio_count(&s->read_bytes, r->data_n);
	} else if (is_out(r->type)) {
		virtio_count(&s->writes, 1);
		virtio_count(&s->write_bytes, r->type == VIRTIO_BLK_T_OUT ? r->data_n : 0);
	}
}

/* Give it back; on the loop's thread. */
static void finish(struct block *b, struct request *r, uint8_t status)
{
	const struct chain *c = r->chain;

	/* The status is the last byte; what is said to be written has no gap (2.7.8.2). */
	(void) chain_write(c, c->in_bytes - 1, &status, 1);
	if (r->done == c->in_bytes - 1)
		r->done++;
	count(&b->d.stats, r, status);
	queue_push(&b->d.queues[0], c->head, (uint32_t) r->done);
}

static void work(struct hands_job *hand)
{
	struct job *j = LOOP_OWNER(hand, struct job, hand);

	j->status = perform(j->owner, &j->request, true);
}

static void worked(struct hands_job *hand)
{
	struct job *j = LOOP_OWNER(hand, struct job, hand);
	struct block *b = j->owner;

	finish(b, &j->request, j->status);
	j->next_free = b->free_jobs;
	b->free_jobs = j;
	virtio_signal(&b->d, 0);
	if (b->stalled && !b->settling)
		b->d.ops->kick(&b->d, 0);
}

static void post(struct block *b, const struct request *r)
{
	struct job *j = b->free_jobs;

	b->free_jobs = j->next_free;
	j->hand = (struct hands_job){ .work = work, .done = worked };
	j->request = *r;
	chain_copy(&j->chain, r->chain);
	j->request.chain = &j->chain;
	j->request.slice = j->slice;
	hands_post(b->hands, &j->hand);
}

static void serve_waiting(struct loop_timer *t)
{
	struct block *b = LOOP_OWNER(t, struct block, wait);

	b->d.ops->kick(&b->d, 0);
}

/*
 * Whether the request may begin. One that may not keeps its place, and those behind it wait too:
 * requests begin in order.
 */
static bool may_begin(struct block *b, const struct request *r)
{
	bool out = is_out(r->type);
	struct rate *rate = out ? &b->write_rate : &b->read_rate;
	nsec_t now, until;

	if (b->hands && !b->free_jobs) {
		b->stalled = true;
		return false;
	}
	if (!rate_limits(rate) || (!out && r->type != VIRTIO_BLK_T_IN))
		return true;
	now = clock_mono();
	until = rate_wait(rate, now);
	if (until == 0)
		rate_take(rate, now, out && r->type != VIRTIO_BLK_T_OUT ? 0 : r->data_n);
	else
		loop_timer_set(b->d.loop, &b->wait, until, serve_waiting);
	return until == 0;
}

static bool serve(struct virtio_device *d, unsigned queue, struct chain *c)
{
	struct block *b = block_of(d);
	struct request r = { .chain = c, .slice = b->slice };
	struct virtio_blk_outhdr header;
	uint8_t status;

	if (chain_read(c, 0, &header, sizeof(header)) < sizeof(header) || c->in_bytes == 0) {
		virtio_count(&d->stats.errors, 1);
		queue_push(&d->queues[queue], c->head, 0);
		return true;
	}
	r.type = header.type;
	r.sector = header.sector;
	r.data_n = is_out(r.type) ? c->out_bytes - sizeof(header) : c->in_bytes - 1;
	if (!may_begin(b, &r))
		return false;
	status = perform(b, &r, false);
	if (status != MUST_WAIT) {
		finish(b, &r, status);
		return true;
	}
	if (r.type == VIRTIO_BLK_T_IN && (errno == EOPNOTSUPP || errno == ENOSYS))
		b->cannot_ask = true;
	post(b, &r);
	return true;
}

static void block_kick(struct virtio_device *d, unsigned queue)
{
	block_of(d)->stalled = false;
	virtio_serve(d, queue, serve);
}

static uint64_t block_features(const struct virtio_device *d)
{
	const struct block *b = VIRTIO_OWNER_CONST(d, struct block);

	return FEATURE(VIRTIO_BLK_F_SEG_MAX) | FEATURE(VIRTIO_BLK_F_BLK_SIZE) |
	       FEATURE(VIRTIO_BLK_F_TOPOLOGY) | FEATURE(VIRTIO_BLK_F_FLUSH) |
	       (b->read_only ? FEATURE(VIRTIO_BLK_F_RO)
			     : FEATURE(VIRTIO_BLK_F_DISCARD) | FEATURE(VIRTIO_BLK_F_WRITE_ZEROES));
}

static void block_config_read(const struct virtio_device *d, uint32_t at, void *to, uint32_t n)
{
	const struct block *b = VIRTIO_OWNER_CONST(d, struct block);

	virtio_config_copy(&b->config, sizeof(b->config), at, to, n);
}

static int block_activate(struct virtio_device *d, uint64_t features, struct err *e)
{
	(void) e;
	/* 5.2.6.2: a driver that cannot flush is told of a write when it is on the storage. */
	block_of(d)->write_through = !(features & FEATURE(VIRTIO_BLK_F_FLUSH));
	return 0;
}

static void block_limit(struct virtio_device *d, struct rate_limit read, struct rate_limit write)
{
	struct block *b = block_of(d);

	rate_set(&b->read_rate, read);
	rate_set(&b->write_rate, write);
	loop_timer_cancel(&b->wait);
	if (d->active)
		block_kick(d, 0);
}

static int block_save(struct virtio_device *d, struct buf *to, struct err *)
{
	pack_u64(to, VIRTIO_OWNER_CONST(d, struct block)->sectors);
	return 0;
}

static int block_restore(struct virtio_device *d, uint64_t features, struct str state,
			 struct err *e)
{
	const struct block *b = block_of(d);
	struct unpack u = unpack_of(state);
	uint64_t sectors = unpack_u64(&u);

	if (!unpack_done(&u))
		return virtio_bad_state(d, e);
	if (sectors != b->sectors)
		return err_set(e, ERR_INVALID, EINVAL,
			       "the disk has %llu sectors; the one of the snapshot had %llu",
			       (unsigned long long) b->sectors, (unsigned long long) sectors);
	return block_activate(d, features, e);
}

/* Until no hand has a request any more. */
static void settle(struct block *b)
{
	if (!b->hands)
		return;
	b->settling = true;
	hands_settle(b->hands);
	b->settling = false;
}

static int block_pause(struct virtio_device *d, struct err *)
{
	settle(block_of(d));
	return 0;
}

static void block_reset(struct virtio_device *d)
{
	struct block *b = block_of(d);

	settle(b);
	b->stalled = false;
	loop_timer_cancel(&b->wait);
}

static void block_free(struct virtio_device *d)
{
	struct block *b = block_of(d);

	virtio_reset(d);
	close_fd(&b->fd);
	free(b->jobs);
	free(b);
}

static const struct virtio_ops block_ops = {
	.id = VIRTIO_ID_IS_BLOCK,
	.name = "block",
	.features = block_features,
	.config_read = block_config_read,
	.config_write = virtio_config_ignore,
	.activate = block_activate,
	.kick = block_kick,
	.limit = block_limit,
	.reset = block_reset,
	.free = block_free,
	.pause = block_pause,
	.save = block_save,
	.restore = block_restore,
};

/* Size and kind of what is open; INVALID for what is no disk, or cannot be written though it is to.
 */
static int look(struct block *b, struct err *e)
{
	int flags = fcntl(b->fd, F_GETFL);
	struct statfs fs;
	struct stat st;

	if (flags < 0 || fstat(b->fd, &st) < 0 || fstatfs(b->fd, &fs) < 0)
		return err_sys(e, errno, "disk");
	/* tmpfs cannot be asked whether a read would wait (RWF_NOWAIT), and it does not, but for
	 * what was swapped out. */
	b->in_memory = S_ISREG(st.st_mode) && (uint32_t) fs.f_type == TMPFS_MAGIC;
	if (S_ISREG(st.st_mode))
		b->bytes = (uint64_t) st.st_size;
	else if (!S_ISBLK(st.st_mode))
		return err_set(e, ERR_INVALID, EINVAL,
			       "a disk is a regular file or a block device");
	else if (ioctl(b->fd, BLKGETSIZE64, &b->bytes) < 0)
		return err_sys(e, errno, "size of the disk");
	if ((flags & O_ACCMODE) == O_WRONLY || (!b->read_only && (flags & O_ACCMODE) != O_RDWR))
		return err_set(e, ERR_INVALID, EACCES, "the disk is not open for reading%s",
			       b->read_only ? "" : " and writing");
	b->sectors = b->bytes / SECTOR + (b->bytes % SECTOR != 0);
	/* The same as long as it is the same file, and different for each of a machine's disks. */
	(void) snprintf(b->id, sizeof(b->id), "%08x%012llx", (unsigned) st.st_dev,
			(unsigned long long) st.st_ino & 0xffffffffffffu);
	return 0;
}

struct virtio_device *block_new(struct loop *loop, const struct guest_memory *memory, int fd,
				bool read_only, struct hands *hands, struct err *e)
{
	struct block *b = calloc(1, sizeof(*b));
	struct job *jobs = hands ? calloc(JOBS_MAX, sizeof(*jobs)) : NULL;

	if (!b || (hands && !jobs)) {
		free(b);
		free(jobs);
		close_fd(&fd);
		(void) err_sys(e, ENOMEM, "disk");
		return NULL;
	}
	b->fd = fd;
	b->read_only = read_only;
	b->hands = hands;
	b->jobs = jobs;
	for (unsigned i = 0; hands && i < JOBS_MAX; i++) {
		jobs[i].owner = b;
		jobs[i].next_free = b->free_jobs;
		b->free_jobs = &jobs[i];
	}
	virtio_init(&b->d, &block_ops, loop, memory, 1, QUEUE_SIZE);
	if (look(b, e) < 0) {
		block_free(&b->d);
		return NULL;
	}
	b->config = (struct virtio_blk_config){
		.capacity = b->sectors,
		.seg_max = QUEUE_SIZE - 2, /* header and status are descriptors, too */
		.blk_size = SECTOR,
		.physical_block_exp = 3, /* 4 KiB: a page of the host's cache */
		.min_io_size = 8,
		.max_discard_sectors = DISCARD_MAX,
		.max_discard_seg = RANGES_MAX,
		.discard_sector_alignment = 8,
		.max_write_zeroes_sectors = ZEROES_MAX,
		.max_write_zeroes_seg = RANGES_MAX,
		.write_zeroes_may_unmap = 1,
	};
	return &b->d;
}
