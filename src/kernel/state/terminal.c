/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Terminals: what stands in them and how they are set, before all files; their ends, as files that
 * were opened by a path; and, when all processes are there, which sessions they control. That of
 * the host (state_host.console) is there before, with its master; all others have one in the guest.
 */
#include <asm/fcntl.h>

#include "kernel/fs/pty.h"
#include "kernel/fs/tty.h"
#include "kernel/state/state.h"
#include "kernel/task/cred.h"
#include "kernel/task/task.h"
#include "kernel/vfs/file.h"

#define NO_MORE UINT64_MAX
#define MODE	0777u

const char *state_terminal_why(const struct file *f)
{
	return file_tty(f)->inode ? NULL : "a terminal that was hung up:";
}

/* ---- saving ---- */

static void save_ring(struct state_save *s, const unsigned char *ring, uint32_t size, uint32_t from,
		      uint32_t n)
{
	uint32_t at = from % size, first = min_of(n, size - at);

	out_bytes(s->out, ring + at, first);
	out_bytes(s->out, ring, n - first);
}

static void save_input(struct state_save *s, const struct tty *t)
{
	uint32_t n = t->head - t->tail;

	out_number(s->out, n);
	out_number(s->out, t->canon - t->tail);
	save_ring(s, t->in, TTY_IN, t->tail, n);
	save_ring(s, t->kind, TTY_IN, t->tail, n);
	out_number(s->out, t->line_column);
	out_number(s->out, t->literal);
	out_number(s->out, t->erasing);
}

static void save_output(struct state_save *s, const struct tty *t)
{
	out_number(s->out, tty_out_used(t));
	save_ring(s, t->out, TTY_OUT, t->out_tail, tty_out_used(t));
	out_number(s->out, t->column);
	out_number(s->out, t->stopped);
}

static void save_node(struct state_save *s, const struct inode *i)
{
	out_number(s->out, i->uid);
	out_number(s->out, i->gid);
	out_number(s->out, i->mode & MODE);
	out_bytes(s->out, &i->times, sizeof(i->times));
}

static void save_terminal(struct state_save *s, const struct tty *t)
{
	(void) save_known(s, STATE_TTY, t);
	out_number(s->out, t == s->host->console);
	save_node(s, t->inode);
	out_bytes(s->out, &t->termios, sizeof(t->termios));
	out_bytes(s->out, &t->size, sizeof(t->size));
	save_input(s, t);
	save_output(s, t);
	out_number(s->out, t->exclusive);
	out_number(s->out, t->ever_open);
	out_number(s->out, t->locked);
	out_number(s->out, t->packet);
	out_number(s->out, t->packet_status);
}

void save_terminals(struct state_save *s)
{
	const struct tty *t;

	for (uint64_t nr = 0; s->out->error == 0 && (t = devpts_next(&nr)); nr++) {
		out_number(s->out, nr);
		save_terminal(s, t);
	}
	out_number(s->out, NO_MORE);
}

void save_terminal_file(struct state_save *s, const struct file *f)
{
	const struct tty *t = file_tty(f);
	bool master = file_is_pty_master(f);

	/* One that came meanwhile, where nobody is held: what it is nobody reads. */
	if (!save_known(s, STATE_TTY, t) && !s->dry)
		save_refuse(s, "a terminal that comes just now", NULL);
	s->masters += master;
	out_number(s->out, master);
	save_path(s, &f->path);
	save_cred(s, f->who);
}

void save_terminal_jobs(struct state_save *s)
{
	uint64_t ours = 0;
	const struct tty *t;

	for (uint64_t nr = 0; s->out->error == 0 && (t = devpts_next(&nr)); nr++) {
		ours += t != s->host->console;
		if (!t->session)
			continue;
		out_number(s->out, nr);
		out_number(s->out, t->session->nr);
		out_number(s->out, t->foreground ? t->foreground->nr : 0);
	}
	out_number(s->out, NO_MORE);
	if (ours != s->masters && !s->dry)
		save_refuse(s, "a terminal is of a process outside (exec)", NULL);
}

/* ---- loading ---- */

static void load_input(struct state_load *l, struct tty *t)
{
	uint32_t n = (uint32_t) in_number(l->in, TTY_IN);

	t->tail = 0;
	t->head = n;
	t->canon = (uint32_t) in_number(l->in, n);
	in_bytes(l->in, t->in, n);
	in_bytes(l->in, t->kind, n);
	for (uint32_t k = 0; k < n; k++) {
		if (t->kind[k] > CHAR_EOF)
			in_fail(l->in, -EBADMSG);
	}
	t->line_column = (uint32_t) in_number(l->in, UINT32_MAX);
	t->literal = in_flag(l->in);
	t->erasing = in_flag(l->in);
}

static void load_output(struct state_load *l, struct tty *t)
{
	uint32_t n = (uint32_t) in_number(l->in, TTY_OUT);

	t->out_tail = 0;
	t->out_head = n;
	in_bytes(l->in, t->out, n);
	t->column = (uint32_t) in_number(l->in, UINT32_MAX);
	t->stopped = in_flag(l->in);
}

static void load_node(struct state_load *l, struct inode *i)
{
	i->uid = (uint32_t) in_number(l->in, UINT32_MAX);
	i->gid = (uint32_t) in_number(l->in, UINT32_MAX);
	i->mode = (i->mode & ~MODE) | (uint32_t) in_number(l->in, MODE);
	in_bytes(l->in, &i->times, sizeof(i->times));
}

static void load_state(struct state_load *l, struct tty *t)
{
	load_node(l, t->inode);
	in_bytes(l->in, &t->termios, sizeof(t->termios));
	in_bytes(l->in, &t->size, sizeof(t->size));
	load_input(l, t);
	load_output(l, t);
	t->exclusive = in_flag(l->in);
	t->ever_open = in_flag(l->in);
	t->locked = in_flag(l->in);
	t->packet = in_flag(l->in);
	t->packet_status = (unsigned char) in_number(l->in, UINT8_MAX);
}

static struct tty *begin(struct state_load *l, uint64_t index)
{
	static const struct cred nobody;
	struct tty *t = l->host->console;
	int r = 0;

	if (!in_flag(l->in)) {
		r = index < PTS_MOST ? pty_load(index, &nobody, &t) : -EBADMSG;
	} else if (!t) {
		load_fail(l, -EBADF, "the workload has a terminal, and none was given", NULL);
	} else if (t->index != index) {
		r = -EBADMSG;
	} else {
		t->owners++;
	}
	if (r < 0)
		in_fail(l->in, r);
	return l->in->error < 0 ? NULL : t;
}

void load_terminals(struct state_load *l)
{
	uint64_t index, nr;

	while (l->in->error == 0 && (index = in_number(l->in, NO_MORE)) != NO_MORE) {
		struct tty *t = load_known(l, STATE_TTY, &nr);

		if (t || l->in->error < 0) {
			in_fail(l->in, -EBADMSG);
			return;
		}
		t = begin(l, index);
		if (!t)
			return;
		load_meet(l, STATE_TTY, nr, t);
		load_state(l, t);
	}
}

struct file *load_terminal_file(struct state_load *l, unsigned int flags)
{
	uint64_t nr;
	struct tty *t = load_known(l, STATE_TTY, &nr);
	bool master = in_flag(l->in), found;
	const struct cred *who;
	struct path p = {};
	struct file *f = NULL;
	int r;

	found = load_path(l, &p);
	who = load_cred(l);
	if (!t || !found || !who || flags & O_PATH)
		in_fail(l->in, -EBADMSG);
	r = l->in->error == 0 ? pty_open_again(t, master, &p, flags, who, &f) : 0;
	if (r < 0)
		in_fail(l->in, r);
	path_unref(&p);
	return f;
}

void load_terminal_jobs(struct state_load *l)
{
	uint64_t index, nr = 0;
	struct tty *t;

	while (l->in->error == 0 && (index = in_number(l->in, NO_MORE)) != NO_MORE) {
		uint32_t session = (uint32_t) in_number(l->in, PID_MOST);
		uint32_t foreground = (uint32_t) in_number(l->in, PID_MOST);

		t = l->in->error == 0 ? devpts_find(index) : NULL;
		if (!t || tty_load_job(t, session, foreground) < 0)
			in_fail(l->in, -EBADMSG);
	}
	for (; (t = radix_next(&l->objects[STATE_TTY], &nr)); nr++) {
		if (!t->master)
			in_fail(l->in, -EBADMSG);
	}
}
