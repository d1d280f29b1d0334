/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "fmt/json.h"

#define NAME_MAX_BYTES 40

int logfile_open(struct logfile *l, int dir_fd, uint64_t max_bytes, uint64_t max_files)
{
	auto_fd int fd = openat(dir_fd, LOGFILE_NAME, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
				0640);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	*l = (struct logfile){
		.dir_fd = dir_fd,
		.fd = take_fd(&fd),
		.size = (uint64_t) st.st_size,
		.max_bytes = max_bytes,
		.max_files = max_files ? max_files : 1,
		.batch = BUF_INIT(LOGFILE_BATCH_MAX),
	};
	return 0;
}

void logfile_close(struct logfile *l)
{
	logfile_flush(l);
	close_fd(&l->fd);
}

static void name_of(uint64_t n, char ret_name[static NAME_MAX_BYTES])
{
	if (n)
		(void) snprintf(ret_name, NAME_MAX_BYTES, LOGFILE_NAME ".%ju", (uintmax_t) n);
	else
		(void) snprintf(ret_name, NAME_MAX_BYTES, LOGFILE_NAME);
}

/*
 * The newest becomes .1 and a new one is begun. Where that fails (a full disk has no room for a
 * directory entry) the old one is emptied instead: a bounded log is promised, all of it is not.
 */
static void rotate(struct logfile *l)
{
	char from[NAME_MAX_BYTES], to[NAME_MAX_BYTES];
	int fd = FD_NONE;

	for (uint64_t n = l->max_files - 1; n > 0; n--) {
		name_of(n - 1, from);
		name_of(n, to);
		(void) renameat(l->dir_fd, from, l->dir_fd, to); /* the early ones may not exist */
	}
	if (l->max_files > 1)
		fd = openat(l->dir_fd, LOGFILE_NAME,
			    O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0640);
	if (fd >= 0) {
		(void) close(l->fd);
		l->fd = fd;
	} else if (ftruncate(l->fd, 0) < 0) {
		return;
	}
	l->size = 0;
}

/* The bytes of the batch go to the file, all or none. */
static void write_batch(struct logfile *l)
{
	size_t done = 0;

	while (done < l->batch.n) {
		ssize_t n = write(l->fd, l->batch.p + done, l->batch.n - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t) n;
	}
	if (done == l->batch.n) {
		l->size += done;
	} else {
		l->lost += l->batch_lines;
		if (done && ftruncate(l->fd, (off_t) l->size) < 0)
			l->size += done; /* readers skip a torn line */
	}
	buf_clear(&l->batch);
	l->batch_lines = 0;
}

void logfile_add(struct logfile *l, enum shim_stream stream, struct str text, nsec_t wall)
{
	size_t before = l->batch.n;
	/* Every byte may become "\u0000", and bytes that are no UTF-8 three bytes. */
	size_t most = text.n * 6 + 128;
	struct json_writer w = JSON_WRITER(&l->batch);
	char time[CLOCK_RFC3339_MAX];

	if (before && (before + most > LOGFILE_BATCH_MAX ||
		       (l->max_bytes && l->size + before + text.n > l->max_bytes))) {
		write_batch(l);
		before = 0;
	}
	if (l->max_bytes && l->size && l->size + before + text.n > l->max_bytes)
		rotate(l);
	clock_rfc3339(wall, time);
	json_w_object(&w, NULL);
	json_w_str(&w, "log", text);
	json_w_string(&w, "stream", stream == SHIM_STREAM_STDERR ? "stderr" : "stdout");
	json_w_string(&w, "time", time);
	json_w_end(&w);
	buf_addc(&l->batch, '\n');
	if (buf_ok(&l->batch)) {
		l->batch_lines++;
		return;
	}
	l->lost++; /* no memory */
	buf_clear(&l->batch);
	l->lost += l->batch_lines;
	l->batch_lines = 0;
}

void logfile_flush(struct logfile *l)
{
	if (l->batch.n)
		write_batch(l);
	buf_fini(&l->batch);
	l->batch = BUF_INIT(LOGFILE_BATCH_MAX);
}
