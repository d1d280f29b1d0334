/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/terminal.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/auto.h"
#include "base/str.h"

int terminal_raw(struct terminal *t, int fd)
{
	struct termios raw;

	if (tcgetattr(fd, &t->saved) < 0)
		return -errno;
	raw = t->saved;
	raw.c_iflag &= ~(tcflag_t) (IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL |
				    IXON);
	raw.c_oflag &= ~(tcflag_t) OPOST;
	raw.c_lflag &= ~(tcflag_t) (ECHO | ECHONL | ICANON | ISIG | IEXTEN);
	raw.c_cflag &= ~(tcflag_t) (CSIZE | PARENB);
	raw.c_cflag |= CS8;
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	if (tcsetattr(fd, TCSANOW, &raw) < 0)
		return -errno;
	t->fd = fd;
	return 0;
}

void terminal_restore(struct terminal *t)
{
	int saved = errno;

	if (t->fd >= 0) /* nothing can be done for a terminal that has gone */
		(void) tcsetattr(t->fd, TCSADRAIN, &t->saved);
	t->fd = FD_NONE;
	errno = saved;
}

void terminal_size(int fd, unsigned *ret_rows, unsigned *ret_cols)
{
	struct winsize w = { 0 };
	int saved = errno;

	if (ioctl(fd, TIOCGWINSZ, &w) < 0)
		w = (struct winsize){ 0 };
	*ret_rows = w.ws_row;
	*ret_cols = w.ws_col;
	errno = saved;
}

static int parse_key(struct str word, unsigned char *ret_key)
{
	unsigned char c;

	if (word.n == 1) {
		*ret_key = (unsigned char) word.p[0];
		return 0;
	}
	if (word.n != 6 || !str_starts(word, "ctrl-"))
		return -EINVAL;
	c = (unsigned char) word.p[5];
	if (c >= 'a' && c <= 'z')
		*ret_key = (unsigned char) (c - 'a' + 1);
	else if (c >= '@' && c <= '_')
		*ret_key = (unsigned char) (c - '@');
	else
		return -EINVAL;
	return 0;
}

int detach_keys_parse(struct detach_keys *k, const char *text, struct err *e)
{
	*k = (struct detach_keys){ 0 };
	for (struct str rest = str_of(text); rest.p && rest.n;) {
		struct str word = str_cut(rest, ',', &rest);

		if (k->n == DETACH_KEYS_MAX || parse_key(word, &k->keys[k->n++]) < 0)
			return err_set(e, ERR_INVALID, EINVAL,
				       "--detach-keys '%.60s': write single characters and "
				       "ctrl-<a-z, @, [, \\, ], ^, _> separated by commas",
				       text);
	}
	return 0;
}

bool detach_keys_filter(struct detach_keys *k, const char *typed, size_t n, char *to, size_t *ret_n)
{
	size_t out = 0;

	for (size_t i = 0; i < n; i++) {
		if (k->n && (unsigned char) typed[i] == k->keys[k->at]) {
			if (++k->at < k->n)
				continue;
			k->at = 0;
			*ret_n = out;
			return true;
		}
		/* What was held back was no beginning after all. */
		memcpy(to + out, k->keys, k->at);
		out += k->at;
		k->at = 0;
		if (k->n && (unsigned char) typed[i] == k->keys[0] && k->n > 1)
			k->at = 1;
		else
			to[out++] = typed[i];
	}
	*ret_n = out;
	return false;
}
