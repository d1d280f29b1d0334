/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/input.h"

#include <errno.h>
#include <fcntl.h>
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include "base/file.h"
#include "base/num.h"

void input_fini(struct input *i)
{
	buf_fini(&i->text);
}

int input_open(const char *name, int flags, int *ret_fd, struct err *e)
{
	struct str number = str_of(name);
	uint32_t n = 0;
	int fd;

	if (str_starts(number, "fd:")) {
		number = (struct str){ number.p + 3, number.n - 3 };
		if (num_parse_u32(number, 0, INT32_MAX, &n) < 0)
			return err_set(e, ERR_INVALID, EINVAL, "'%s' is no descriptor", name);
		fd = fcntl((int) n, F_DUPFD_CLOEXEC, 3);
	} else {
		fd = open(name, flags | O_CLOEXEC);
	}
	if (fd < 0)
		return err_sys(e, errno, "open '%s'", name);
	*ret_fd = fd;
	return 0;
}

/* By position: a descriptor that was given may have been read from before. */
static int read_whole(int fd, size_t size, struct buf *ret)
{
	char *room = buf_room(ret, size);
	size_t at = 0;

	if (!room)
		return -ENOMEM;
	while (at < size) {
		ssize_t n = pread(fd, room + at, size - at, (off_t) at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ESTALE; /* shorter than it was a moment ago */
		at += (size_t) n;
	}
	buf_grew(ret, size);
	return 0;
}

int input_read(int fd, const char *name, const char *what, size_t max, struct input *ret,
	       struct err *e)
{
	struct input in = { .text = BUF_INIT(max) };
	int r;

	if (fstat(fd, &in.stat) < 0)
		return err_sys(e, errno, "%s '%s'", what, name);
	if (!S_ISREG(in.stat.st_mode))
		return err_set(e, ERR_INVALID, EINVAL, "%s '%s': not a regular file", what, name);
	if (in.stat.st_size == 0)
		return err_set(e, ERR_INVALID, ENODATA, "%s '%s': the file is empty", what, name);
	if ((uint64_t) in.stat.st_size > max)
		return err_set(e, ERR_INVALID, EFBIG, "%s '%s': larger than %zu MiB", what, name,
			       max >> 20);
	r = read_whole(fd, (size_t) in.stat.st_size, &in.text);
	if (r < 0) {
		input_fini(&in);
		return err_sys(e, -r, "read %s '%s'", what, name);
	}
	(void) SHA256((const unsigned char *) in.text.p, in.text.n, in.digest.b);
	*ret = in;
	return 0;
}
