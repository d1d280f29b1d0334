/* SPDX-License-Identifier: Apache-2.0 */
#include <asm/ioctls.h>
#include <asm/signal.h>

#include "kernel/fs/tty.h"

#define DISABLED 0 /* _POSIX_VDISABLE */

static bool in_mode(const struct tty *t, tcflag_t flag)
{
	return t->termios.c_iflag & flag;
}

static bool out_mode(const struct tty *t, tcflag_t flag)
{
	return t->termios.c_oflag & flag;
}

static bool local(const struct tty *t, tcflag_t flag)
{
	return t->termios.c_lflag & flag;
}

static bool is_key(const struct tty *t, int key, unsigned char c)
{
	return c != DISABLED && t->termios.c_cc[key] == c;
}

static bool is_control(unsigned char c)
{
	return c < 0x20 || c == 0x7f;
}

/* A byte of UTF-8 that takes no column of its own. */
static bool continues(const struct tty *t, unsigned char c)
{
	return in_mode(t, IUTF8) && (c & 0xc0) == 0x80;
}

void tty_init(struct tty *t)
{
	static const struct ktermios usual = {
		.c_iflag = ICRNL | IXON,
		.c_oflag = OPOST | ONLCR,
		.c_cflag = B38400 | CS8 | CREAD | HUPCL,
		.c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
		.c_cc = { [VINTR] = 3,
			  [VQUIT] = 28,
			  [VERASE] = 127,
			  [VKILL] = 21,
			  [VEOF] = 4,
			  [VMIN] = 1,
			  [VSTART] = 17,
			  [VSTOP] = 19,
			  [VSUSP] = 26,
			  [VREPRINT] = 18,
			  [VDISCARD] = 15,
			  [VWERASE] = 23,
			  [VLNEXT] = 22 },
		.c_ispeed = 38400,
		.c_ospeed = 38400,
	};

	t->termios = usual;
	waitq_init(&t->waiters);
	sleeplock_init(&t->reading);
	sleeplock_init(&t->writing);
	sleeplock_init(&t->typing);
}

/* ---- output ---- */

uint32_t tty_out_used(const struct tty *t)
{
	return t->out_head - t->out_tail;
}

static uint32_t out_room(const struct tty *t)
{
	return TTY_OUT - tty_out_used(t);
}

static void out(struct tty *t, unsigned char c)
{
	/* An echo that finds no room is lost; a program's bytes never come without. */
	if (out_room(t) > 0)
		t->out[t->out_head++ % TTY_OUT] = c;
}

static void out_text(struct tty *t, const char *s)
{
	while (*s)
		out(t, (unsigned char) *s++);
}

static void emit_plain(struct tty *t, unsigned char c)
{
	if (out_mode(t, OLCUC) && c >= 'a' && c <= 'z')
		c = (unsigned char) (c - 'a' + 'A');
	if (!is_control(c) && !continues(t, c))
		t->column++;
	out(t, c);
}

static void emit(struct tty *t, unsigned char c)
{
	uint32_t spaces;

	if (!out_mode(t, OPOST)) {
		out(t, c);
		return;
	}
	switch (c) {
	case '\n':
		if (out_mode(t, ONLCR))
			out(t, '\r');
		if (out_mode(t, ONLCR | ONLRET))
			t->column = 0;
		out(t, c);
		break;
	case '\r':
		if (out_mode(t, ONOCR) && t->column == 0)
			break;
		t->column = out_mode(t, OCRNL) && !out_mode(t, ONLRET) ? t->column : 0;
		out(t, out_mode(t, OCRNL) ? '\n' : '\r');
		break;
	case '\t':
		spaces = 8 - t->column % 8;
		t->column += spaces;
		if ((t->termios.c_oflag & TABDLY) == XTABS)
			while (spaces-- > 0)
				out(t, ' ');
		else
			out(t, c);
		break;
	case '\b':
		if (t->column > 0)
			t->column--;
		out(t, c);
		break;
	default:
		emit_plain(t, c);
	}
}

bool tty_emit(struct tty *t, unsigned char c)
{
	if (t->stopped || out_room(t) < 8)
		return false;
	emit(t, c);
	return true;
}

void tty_send(struct tty *t, unsigned char c)
{
	if (c != DISABLED)
		out(t, c);
	(void) waitq_wake(&t->waiters, 0, 0);
}

static void told(struct tty *t, unsigned char set, unsigned char clear)
{
	if (t->packet)
		t->packet_status = (unsigned char) ((t->packet_status & ~clear) | set);
	(void) waitq_wake(&t->waiters, 0, 0);
}

void tty_flush_in(struct tty *t)
{
	t->head = t->canon = t->tail = 0;
	t->literal = t->erasing = false;
	told(t, TIOCPKT_FLUSHREAD, 0);
}

void tty_flush_out(struct tty *t)
{
	t->out_tail = t->out_head;
	told(t, TIOCPKT_FLUSHWRITE, 0);
}

void tty_stop(struct tty *t)
{
	if (t->stopped)
		return;
	t->stopped = true;
	told(t, TIOCPKT_STOP, TIOCPKT_START);
}

void tty_start(struct tty *t)
{
	if (!t->stopped)
		return;
	t->stopped = false;
	told(t, TIOCPKT_START, TIOCPKT_STOP);
}

/* ---- echo ---- */

static void echo(struct tty *t, unsigned char c)
{
	if (local(t, ECHOCTL) && is_control(c) && c != '\t') {
		emit_plain(t, '^');
		emit_plain(t, c ^ 0x40);
	} else {
		emit(t, c);
	}
}

static void end_erasing(struct tty *t)
{
	if (t->erasing)
		emit(t, '/');
	t->erasing = false;
}

/* How far the terminal is at `upto` of the line that is edited. */
static uint32_t column_at(const struct tty *t, uint32_t upto)
{
	uint32_t column = t->line_column;

	for (uint32_t n = t->canon; n != upto; n++) {
		unsigned char c = t->in[n % TTY_IN];

		if (c == '\t')
			column += 8 - column % 8;
		else if (is_control(c))
			column += local(t, ECHOCTL) ? 2 : 0;
		else if (!continues(t, c))
			column++;
	}
	return column;
}

/* What stood from t->head to `end` goes from the screen: one character. */
static void unecho(struct tty *t, uint32_t end, int key)
{
	if (!local(t, ECHO))
		return;
	if (local(t, ECHOPRT)) {
		if (!t->erasing)
			emit(t, '\\');
		t->erasing = true;
		for (uint32_t n = t->head; n != end; n++)
			echo(t, t->in[n % TTY_IN]);
	} else if (key == VERASE && !local(t, ECHOE)) {
		echo(t, t->termios.c_cc[VERASE]);
	} else {
		uint32_t columns = column_at(t, end) - column_at(t, t->head);
		bool tab = t->in[t->head % TTY_IN] == '\t';

		for (uint32_t n = 0; n < columns; n++) {
			out_text(t, tab ? "\b" : "\b \b");
			if (t->column > 0)
				t->column--;
		}
	}
}

/* One character, of UTF-8 a whole one, from the end of the edited line. */
static void erase_one(struct tty *t, int key)
{
	uint32_t end = t->head;

	do
		t->head--;
	while (t->head != t->canon && continues(t, t->in[t->head % TTY_IN]));
	unecho(t, end, key);
}

static bool of_word(unsigned char c)
{
	return c >= 0x80 || c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z');
}

static void erase(struct tty *t, int key)
{
	bool word = false;

	if (t->head == t->canon)
		return;
	if (key == VKILL &&
	    (!local(t, ECHO) || !local(t, ECHOK) || !local(t, ECHOKE) || !local(t, ECHOE))) {
		t->head = t->canon;
		if (!local(t, ECHO))
			return;
		end_erasing(t);
		echo(t, t->termios.c_cc[VKILL]);
		if (local(t, ECHOK))
			emit(t, '\n');
		return;
	}
	while (t->head != t->canon) {
		if (key == VWERASE) {
			bool letter = of_word(t->in[(t->head - 1) % TTY_IN]);

			if (word && !letter)
				break;
			word = word || letter;
		}
		erase_one(t, key);
		if (key == VERASE)
			break;
	}
	if (t->head == t->canon)
		end_erasing(t);
}

/* ---- input ---- */

uint32_t tty_waiting(const struct tty *t)
{
	uint32_t end = tty_canonical(t) ? t->canon : t->head, n = 0;

	for (uint32_t at = t->tail; at != end; at++)
		n += t->kind[at % TTY_IN] != CHAR_EOF;
	return n;
}

uint32_t tty_room(const struct tty *t)
{
	uint32_t room = TTY_IN - 1 - (t->head - t->tail);

	/* A line that is too long is cut, and its end still has to come. */
	if (room == 0 && local(t, ICANON) && t->canon == t->tail)
		return 1;
	return room;
}

static void put(struct tty *t, unsigned char c, enum tty_char kind)
{
	uint32_t used = t->head - t->tail;

	/* The last place is for the end of the line. */
	if (used >= TTY_IN - (kind == CHAR_PLAIN && local(t, ICANON) ? 1 : 0)) {
		if (in_mode(t, IMAXBEL))
			out(t, '\a');
		return;
	}
	if (t->head == t->canon)
		t->line_column = t->column;
	t->in[t->head % TTY_IN] = c;
	t->kind[t->head % TTY_IN] = (unsigned char) kind;
	t->head++;
}

static void end_line(struct tty *t, unsigned char c, enum tty_char kind)
{
	put(t, c, kind);
	t->canon = t->head;
}

/* INTR, QUIT, SUSP. */
static bool signalled(struct tty *t, unsigned char c)
{
	static const int keys[][2] = { { VINTR, SIGINT }, { VQUIT, SIGQUIT }, { VSUSP, SIGTSTP } };

	for (size_t n = 0; n < countof(keys); n++) {
		if (!is_key(t, keys[n][0], c))
			continue;
		if (!local(t, NOFLSH)) {
			tty_flush_in(t);
			tty_flush_out(t);
		}
		if (in_mode(t, IXON))
			tty_start(t);
		if (local(t, ECHO))
			echo(t, c);
		tty_signal_foreground(t, keys[n][1]);
		return true;
	}
	return false;
}

/* Keys that edit, and those that end a line; false: an ordinary character. */
static bool edited(struct tty *t, unsigned char c)
{
	bool more = local(t, IEXTEN);

	if (is_key(t, VERASE, c) || is_key(t, VKILL, c) || (more && is_key(t, VWERASE, c))) {
		erase(t, is_key(t, VERASE, c) ? VERASE : is_key(t, VKILL, c) ? VKILL : VWERASE);
		return true;
	}
	if (more && is_key(t, VLNEXT, c)) {
		t->literal = true;
		if (local(t, ECHO)) {
			end_erasing(t);
			if (local(t, ECHOCTL))
				out_text(t, "^\b");
		}
		return true;
	}
	if (more && is_key(t, VREPRINT, c) && local(t, ECHO)) {
		end_erasing(t);
		echo(t, c);
		emit(t, '\n');
		t->line_column = t->column;
		for (uint32_t n = t->canon; n != t->head; n++)
			echo(t, t->in[n % TTY_IN]);
		return true;
	}
	if (c == '\n') {
		if (local(t, ECHO | ECHONL)) {
			end_erasing(t);
			emit(t, '\n');
		}
		end_line(t, c, CHAR_END);
		return true;
	}
	if (is_key(t, VEOF, c)) {
		end_line(t, 0, CHAR_EOF);
		return true;
	}
	if (is_key(t, VEOL, c) || (more && is_key(t, VEOL2, c))) {
		if (local(t, ECHO)) {
			end_erasing(t);
			echo(t, c);
		}
		end_line(t, c, CHAR_END);
		return true;
	}
	return false;
}

static void ordinary(struct tty *t, unsigned char c)
{
	uint32_t before = t->column;
	bool first = t->head == t->canon;

	if (local(t, ECHO)) {
		end_erasing(t);
		if (c == '\n')
			emit(t, c);
		else
			echo(t, c);
	}
	if (c == 0xff && in_mode(t, PARMRK))
		put(t, c, CHAR_PLAIN);
	put(t, c, CHAR_PLAIN);
	if (first)
		t->line_column = before;
}

static void received(struct tty *t, unsigned char c)
{
	if (in_mode(t, ISTRIP))
		c &= 0x7f;
	if (in_mode(t, IUCLC) && local(t, IEXTEN) && c >= 'A' && c <= 'Z')
		c = (unsigned char) (c - 'A' + 'a');
	if (local(t, EXTPROC)) {
		put(t, c, CHAR_PLAIN);
		return;
	}
	if (t->literal) {
		t->literal = false;
		ordinary(t, c);
		return;
	}
	if (t->stopped && in_mode(t, IXON) && in_mode(t, IXANY) && !is_key(t, VSTOP, c))
		tty_start(t);
	if (in_mode(t, IXON) && is_key(t, VSTART, c)) {
		tty_start(t);
		return;
	}
	if (in_mode(t, IXON) && is_key(t, VSTOP, c)) {
		tty_stop(t);
		return;
	}
	if (local(t, ISIG) && signalled(t, c))
		return;
	if (c == '\r') {
		if (in_mode(t, IGNCR))
			return;
		if (in_mode(t, ICRNL))
			c = '\n';
	} else if (c == '\n' && in_mode(t, INLCR)) {
		c = '\r';
	}
	if (!local(t, ICANON) || !edited(t, c))
		ordinary(t, c);
}

void tty_receive(struct tty *t, unsigned char c)
{
	received(t, c);
	(void) waitq_wake(&t->waiters, 0, 0);
}

bool tty_readable(const struct tty *t)
{
	uint32_t least = 1;

	if (tty_canonical(t))
		return t->canon != t->tail;
	if (!t->termios.c_cc[VTIME] && t->termios.c_cc[VMIN])
		least = t->termios.c_cc[VMIN];
	return t->head - t->tail >= least;
}

void tty_set_termios(struct tty *t, const struct ktermios *new)
{
	tcflag_t was = t->termios.c_lflag, was_in = t->termios.c_iflag;
	bool keys, kept = t->termios.c_cc[VSTART] == 17 && t->termios.c_cc[VSTOP] == 19;

	t->termios = *new;
	if ((was ^ new->c_lflag) & ICANON) {
		for (uint32_t n = t->tail; n != t->head; n++)
			t->kind[n % TTY_IN] = CHAR_PLAIN;
		/* What was typed before is one line now, without an end. */
		if (new->c_lflag & ICANON && t->head != t->tail)
			t->kind[(t->head - 1) % TTY_IN] = CHAR_END;
		t->canon = new->c_lflag &ICANON ? t->head : t->tail;
	}
	if (was_in & IXON && !(new->c_iflag &IXON))
		tty_start(t);
	keys = new->c_cc[VSTART] == 17 && new->c_cc[VSTOP] == 19;
	if ((was_in ^ new->c_iflag) & IXON || keys != kept)
		told(t, new->c_iflag &IXON &&keys ? TIOCPKT_DOSTOP : TIOCPKT_NOSTOP,
		     TIOCPKT_DOSTOP | TIOCPKT_NOSTOP);
	(void) waitq_wake(&t->waiters, 0, 0);
}
