/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Terminals: termios(3), ioctl_tty(2), as Linux's line discipline N_TTY has them. What a program
 * reads and writes is here; what is at the other end (fs/pty.h) gives bytes to tty_receive() and
 * takes those in `out`.
 *
 *	master writes -> tty_receive() -> in  -> tty_read()   program
 *	                     | echo
 *	master reads  <----- out <----------- tty_write()  program
 */
#pragma once

#include <asm/termbits.h>
#include <asm/termios.h>

#include "kernel/core/sched.h"
#include "kernel/vfs/file.h"

struct group;
struct pid;
struct process;
struct session;

#define TTY_IN	((uint32_t) 4096)
#define TTY_OUT ((uint32_t) 8192)

struct tty {
	unsigned int owners; /* files of both ends, the session it controls */
	uint32_t index;
	struct ktermios termios;
	struct winsize size;
	struct waitq waiters; /* of both ends */

	/* What has come: positions only grow. [tail, canon) is whole lines, [canon, head) the one
	 * that is edited; without ICANON canon means nothing. */
	unsigned char in[TTY_IN], kind[TTY_IN]; /* kind: enum tty_char */
	uint32_t head, canon, tail;
	uint32_t line_column; /* of the terminal, where the edited line began */
	bool literal, erasing;
	struct sleeplock reading, writing; /* a program's */
	struct sleeplock typing;	   /* the master's writes */

	/* What goes. */
	unsigned char out[TTY_OUT];
	uint32_t out_head, out_tail;
	uint32_t column;
	bool stopped; /* IXON, TCXONC */

	/* Job control. Numbers stay nobody else's while they are kept. */
	struct pid *session, *foreground; /* owned; NULL: none */
	bool exclusive;			  /* TIOCEXCL */

	/* The pair: fs/pty.c. */
	struct inode *inode; /* of /dev/pts/N; owned, until the master goes */
	bool master, ever_open, locked;
	unsigned int slaves;
	bool packet;
	unsigned char packet_status;
};

enum tty_char { CHAR_PLAIN, CHAR_END, CHAR_EOF };

void tty_init(struct tty *t);

/* Whether input is read by lines. */
static inline bool tty_canonical(const struct tty *t)
{
	return (t->termios.c_lflag & (ICANON | EXTPROC)) == ICANON;
}

/* ---- tty_line.c: input and output ---- */

/* How many bytes of input there is room for now: more are lost. */
uint32_t tty_room(const struct tty *t);
void tty_receive(struct tty *t, unsigned char c);
/* What a read would give now. */
bool tty_readable(const struct tty *t);
uint32_t tty_out_used(const struct tty *t);
/* One character of a program's, with OPOST's changes; false: no room now. */
bool tty_emit(struct tty *t, unsigned char c);
/* A character of the line's own, past the programs' output. */
void tty_send(struct tty *t, unsigned char c);
void tty_flush_in(struct tty *t);
void tty_flush_out(struct tty *t);
void tty_stop(struct tty *t);
void tty_start(struct tty *t);
void tty_set_termios(struct tty *t, const struct ktermios *new);
uint32_t tty_waiting(const struct tty *t); /* FIONREAD */

/* ---- tty_file.c: as a program's file ---- */

/* Who has one of the locks may wait long, so this wait is like one for the terminal itself: a
 * signal ends it, and O_NONBLOCK does not begin it. */
[[nodiscard]] int tty_take_turn(struct sleeplock *l, const struct file *f);
int64_t tty_read(struct file *f, struct uio *to, uint64_t *pos);
int64_t tty_write(struct file *f, struct uio *from, uint64_t *pos);
unsigned int tty_poll(struct file *f, struct waiter *w);

/* ---- tty_ioctl.c ---- */

/* Of either end. -ENOTTY: not one of a terminal. */
sysret_t tty_ioctl(struct tty *t, bool master, unsigned int request, uint64_t arg, struct space *s);
/* The foreground is told, if it is another size. */
void tty_resize(struct tty *t, struct winsize w);

/* ---- tty_job.c: sessions and signals ---- */

/* 0, or what a process in the background gets: -EIO, or -ERESTARTSYS with SIGTTIN or SIGTTOU. */
int tty_check(struct tty *t, int signal);
void tty_signal_foreground(struct tty *t, int signal);
/* The session's leader and nobody else loses its terminal: SIGHUP and SIGCONT. */
void tty_signal_leader(struct tty *t);
/* open(2) without O_NOCTTY by a session's leader that has none. */
void tty_opened(struct tty *t);
/* p, which leads a session without a terminal, gets it. */
void tty_control(struct tty *t, struct process *p);
sysret_t tty_job_ioctl(struct tty *t, bool master, unsigned int request, uint64_t arg,
		       struct space *s);
/* The terminal controls nobody any more. */
void tty_let_go(struct tty *t);
/* It controls the session of that number, from a checkpoint; foreground 0: none. -EBADMSG: there is
 * no such session, or it or the terminal has another. */
[[nodiscard]] int tty_load_job(struct tty *t, uint32_t session, uint32_t foreground);
/* What the end of a session's leader does (exiting), and TIOCNOTTY. */
void tty_leader_leaves(struct session *s, bool exiting);

/* ---- pty.c ---- */

void tty_unref(struct tty *t);
