/* SPDX-License-Identifier: Apache-2.0 */
#include <asm/ioctls.h>
#include <asm/signal.h>
#include <linux/tty.h>

#include "kernel/fs/tty.h"

/* struct termios is the first part of struct termios2, which is what is kept. */
#define OLD_SIZE sizeof(struct termios)

static int get_short(const struct tty *t, uint64_t arg, struct space *s)
{
	const struct ktermios *k = &t->termios;
	struct termio o = { .c_iflag = (unsigned short) k->c_iflag,
			    .c_oflag = (unsigned short) k->c_oflag,
			    .c_cflag = (unsigned short) k->c_cflag,
			    .c_lflag = (unsigned short) k->c_lflag,
			    .c_line = k->c_line };

	memcpy(o.c_cc, k->c_cc, NCC);
	return copy_out(s, uva(arg), &o, sizeof(o));
}

static int short_from(struct ktermios *k, uint64_t arg, struct space *s)
{
	struct termio o;

	if (copy_in(s, &o, uva(arg), sizeof(o)) < 0)
		return -EFAULT;
	k->c_iflag = (k->c_iflag & 0xffff0000) | o.c_iflag;
	k->c_oflag = (k->c_oflag & 0xffff0000) | o.c_oflag;
	k->c_cflag = (k->c_cflag & 0xffff0000) | o.c_cflag;
	k->c_lflag = (k->c_lflag & 0xffff0000) | o.c_lflag;
	memcpy(k->c_cc, o.c_cc, NCC);
	return 0;
}

/* Speeds change nothing here, and are what was asked for. */
static void keep_speeds(struct ktermios *k)
{
	static const speed_t speeds[] = { 0,   50,   75,   110,	 134,  150,  200,   300,
					  600, 1200, 1800, 2400, 4800, 9600, 19200, 38400 };
	static const speed_t fast[] = { 57600,	 115200,  230400,  460800,  500000,
					576000,	 921600,  1000000, 1152000, 1500000,
					2000000, 2500000, 3000000, 3500000, 4000000 };
	tcflag_t code = k->c_cflag & CBAUD;

	if (code == BOTHER)
		return;
	if (code < countof(speeds))
		k->c_ospeed = speeds[code];
	else if (code - B57600 < countof(fast))
		k->c_ospeed = fast[code - B57600];
	k->c_ispeed = k->c_ospeed;
}

/* how: TCSETS..., after which output is waited for (it is gone at once) or input is dropped. */
static int set(struct tty *t, unsigned int how, uint64_t arg, struct space *s)
{
	struct ktermios k = t->termios;
	bool flush = how == TCSETSF || how == TCSETSF2 || how == TCSETAF;
	int r = tty_check(t, SIGTTOU);

	if (r < 0)
		return r;
	if (how == TCSETA || how == TCSETAW || how == TCSETAF)
		r = short_from(&k, arg, s);
	else if (how == TCSETS || how == TCSETSW || how == TCSETSF)
		r = copy_in(s, &k, uva(arg), OLD_SIZE);
	else
		r = copy_in(s, &k, uva(arg), sizeof(k));
	if (r < 0)
		return r;
	keep_speeds(&k);
	if (flush)
		tty_flush_in(t);
	tty_set_termios(t, &k);
	return 0;
}

void tty_resize(struct tty *t, struct winsize w)
{
	if (memcmp(&w, &t->size, sizeof(w)) == 0)
		return;
	t->size = w;
	tty_signal_foreground(t, SIGWINCH);
}

static int set_size(struct tty *t, uint64_t arg, struct space *s)
{
	struct winsize w;

	if (copy_in(s, &w, uva(arg), sizeof(w)) < 0)
		return -EFAULT;
	tty_resize(t, w);
	return 0;
}

static int flush(struct tty *t, uint64_t what)
{
	int r = tty_check(t, SIGTTOU);

	if (r < 0)
		return r;
	if (what > TCIOFLUSH)
		return -EINVAL;
	if (what != TCOFLUSH)
		tty_flush_in(t);
	if (what != TCIFLUSH)
		tty_flush_out(t);
	return 0;
}

static int flow(struct tty *t, uint64_t what)
{
	int r = tty_check(t, SIGTTOU);

	if (r < 0)
		return r;
	switch (what) {
	case TCOOFF:
		tty_stop(t);
		return 0;
	case TCOON:
		tty_start(t);
		return 0;
	case TCIOFF:
	case TCION:
		tty_send(t, t->termios.c_cc[what == TCIOFF ? VSTOP : VSTART]);
		return 0;
	default:
		return -EINVAL;
	}
}

static int put_number(struct space *s, uint64_t arg, int32_t n)
{
	return copy_out(s, uva(arg), &n, sizeof(n));
}

static int set_discipline(uint64_t arg, struct space *s)
{
	int32_t n;

	if (copy_in(s, &n, uva(arg), sizeof(n)) < 0)
		return -EFAULT;
	return n == N_TTY ? 0 : -EINVAL;
}

sysret_t tty_ioctl(struct tty *t, bool master, unsigned int request, uint64_t arg, struct space *s)
{
	switch (request) {
	case TCGETS:
		return copy_out(s, uva(arg), &t->termios, OLD_SIZE);
	case TCGETS2:
		return copy_out(s, uva(arg), &t->termios, sizeof(t->termios));
	case TCGETA:
		return get_short(t, arg, s);
	case TCSETS:
	case TCSETSW:
	case TCSETSF:
	case TCSETS2:
	case TCSETSW2:
	case TCSETSF2:
	case TCSETA:
	case TCSETAW:
	case TCSETAF:
		return set(t, request, arg, s);
	case TIOCGWINSZ:
		return copy_out(s, uva(arg), &t->size, sizeof(t->size));
	case TIOCSWINSZ:
		return set_size(t, arg, s);
	case TCFLSH:
		return flush(t, arg);
	case TCXONC:
		return flow(t, arg);
	case TCSBRK: /* a break has no wire to go over; what was written has gone */
	case TCSBRKP:
		return tty_check(t, SIGTTOU);
	case FIONREAD:
		return put_number(s, arg, (int32_t) tty_waiting(t));
	case TIOCOUTQ:
		return put_number(s, arg, 0);
	case TIOCEXCL:
		t->exclusive = true;
		return 0;
	case TIOCNXCL:
		t->exclusive = false;
		return 0;
	case TIOCGEXCL:
		return put_number(s, arg, t->exclusive);
	case TIOCGETD:
		return put_number(s, arg, N_TTY);
	case TIOCSETD:
		return set_discipline(arg, s);
	case TIOCSTI: /* Linux 6.2 without LEGACY_TIOCSTI */
		return -EIO;
	default:
		return tty_job_ioctl(t, master, request, arg, s);
	}
}
