/* SPDX-License-Identifier: Apache-2.0 */
/* Devices and terminals, as programs of several fibers and sessions use them. */
#include <asm/fcntl.h>
#include <asm/ioctls.h>
#include <asm/signal.h>
#include <linux/poll.h>

#include "kernel/core/heap.h"
#include "kernel/fs/devices.h"
#include "kernel/fs/memfs.h"
#include "kernel/fs/pty.h"
#include "kernel/fs/tty.h"
#include "kernel/mm/space.h"
#include "kernel/platform/sim/test_run.h"
#include "kernel/task/cred.h"
#include "kernel/task/signal.h"
#include "kernel/task/task.h"
#include "kernel/vfs/names.h"

#define BASE ((uint64_t) 0x40000000)
#define ROOM ((uint64_t) 1 << 20)
#define IN   (BASE + ROOM)

static struct cred root_cred = { .owners = 1, .effective = UINT64_MAX };
static struct space *guest;
static struct path top;
static struct file *master, *slave;
static struct tty *tty;
static int64_t result;
static int finished;

static void let_run(void)
{
	for (int n = 0; n < 40; n++)
		fiber_yield();
}

static int64_t put(struct file *f, const char *text)
{
	struct uio u;
	size_t n = strlen(text);

	CHECK(copy_out(guest, uva(BASE), text, n) == 0);
	uio_one(&u, guest, uva(BASE), n);
	return file_write(f, &u, NULL, UINT64_MAX);
}

static int64_t put_many(struct file *f, uint64_t n)
{
	struct uio u;

	uio_one(&u, guest, uva(BASE), n);
	return file_write(f, &u, NULL, UINT64_MAX);
}

static int64_t get(struct file *f, uint64_t n)
{
	struct uio u;

	CHECK(zero_out(guest, uva(IN), 256) == 0);
	uio_one(&u, guest, uva(IN), n);
	return vfs_read(f, &u, NULL);
}

static bool is(const char *text)
{
	char there[256] = "";

	CHECK(copy_in(guest, there, uva(IN), strlen(text) + 1) == 0);
	return memcmp(there, text, strlen(text)) == 0;
}

/* All that is read now is this text. */
static bool reads(struct file *f, const char *text)
{
	return get(f, 250) == (int64_t) strlen(text) && is(text);
}

static unsigned int ready(struct file *f)
{
	return f->ops->poll(f, NULL);
}

static sysret_t control(struct file *f, unsigned int request, uint64_t arg)
{
	return f->ops->ioctl(f, request, arg, guest);
}

/* With a number at an address, as most take it; what is there then in *n. */
static sysret_t control_number(struct file *f, unsigned int request, int32_t *n)
{
	sysret_t r;

	CHECK(copy_out(guest, uva(BASE), n, 4) == 0);
	r = control(f, request, BASE);
	CHECK(copy_in(guest, n, uva(BASE), 4) == 0);
	return r;
}

static struct walk as_root(void)
{
	return (struct walk){ .root = &top, .start = &top, .who = &root_cred };
}

static struct file *open_file(const char *name, unsigned int flags)
{
	struct walk w = as_root();
	struct file *f = NULL;

	CHECK(names_open(&w, name, flags, 0, &f) == 0);
	return f;
}

static void mode(tcflag_t lflag_off, tcflag_t lflag_on, tcflag_t iflag_off, unsigned char least,
		 unsigned char time)
{
	struct termios k;

	CHECK(control(slave, TCGETS, IN) == 0 && copy_in(guest, &k, uva(IN), sizeof(k)) == 0);
	k.c_lflag = (k.c_lflag & ~lflag_off) | lflag_on;
	k.c_iflag &= ~iflag_off;
	k.c_cc[VMIN] = least;
	k.c_cc[VTIME] = time;
	CHECK(copy_out(guest, uva(BASE), &k, sizeof(k)) == 0);
	CHECK(control(slave, TCSETS, BASE) == 0);
}

static void devices(void)
{
	struct walk w = as_root();
	struct file *f;
	struct pager *p;
	uint64_t word = 0;

	CHECK(device_major(device_number(136, 300)) == 136 &&
	      device_minor(device_number(136, 300)) == 300);
	CHECK(devices_fill(&top, &root_cred) == 0 && devices_fill(&top, &root_cred) == -EEXIST);
	f = open_file("null", O_RDWR);
	CHECK(put(f, "abc") == 3 && get(f, 10) == 0 && file_seek(f, 9, 0) == 0);
	file_unref(f);
	f = open_file("zero", O_RDWR);
	CHECK(put_many(f, 100000) == 100000 && get(f, 70000) == 70000 && is(""));
	CHECK(f->ops->mmap(f, &p) == 0 && p->size > 1 << 30);
	pager_ref(p);
	file_unref(f);
	pager_unref(p);
	f = open_file("full", O_RDWR);
	CHECK(put(f, "abc") == -ENOSPC && get(f, 10) == 10);
	file_unref(f);
	f = open_file("urandom", O_RDWR);
	CHECK(get(f, 100) == 100 && put(f, "x") == 1);
	CHECK(copy_in(guest, &word, uva(IN), 8) == 0 && word != 0);
	file_unref(f);
	CHECK(names_open(&w, "tty", O_RDWR, 0, &f) == -ENXIO);
	CHECK(names_create(&w, "other", S_IFCHR | 0600, device_number(9, 9), NULL) == 0);
	CHECK(names_open(&w, "other", O_RDWR, 0, &f) == -ENXIO);
}

static void open_pair(void)
{
	struct walk w = as_root();
	int32_t n = 0;
	char name[] = "pts/0";

	master = open_file("ptmx", O_RDWR | O_NOCTTY);
	CHECK(control_number(master, TIOCGPTN, &n) == 0 && n < 10);
	name[4] = (char) ('0' + n);
	CHECK(names_open(&w, name, O_RDWR, 0, &slave) == -EIO);
	n = 0;
	CHECK(control_number(master, TIOCSPTLCK, &n) == 0);
	slave = open_file(name, O_RDWR | O_NOCTTY);
	tty = file_tty(slave);
	CHECK(tty && tty == file_tty(master));
}

static void close_pair(void)
{
	file_unref(master);
	file_unref(slave);
}

static void lines(void)
{
	open_pair();
	CHECK(ready(slave) == (POLLOUT | POLLWRNORM) && ready(master) == (POLLOUT | POLLWRNORM));
	CHECK(put(slave, "a\tb\n") == 4 && reads(master, "a\tb\r\n"));
	/* A line is there when it has its end, and is echoed as it is typed. */
	CHECK(put(master, "ab") == 2 && !(ready(slave) & POLLIN) && reads(master, "ab"));
	CHECK(put(master, "c\r") == 2 && ready(slave) & POLLIN && reads(master, "c\r\n"));
	CHECK(get(slave, 2) == 2 && is("ab") && reads(slave, "c\n"));
	/* Two lines are two reads. */
	CHECK(put(master, "x\ny\n") == 4 && reads(slave, "x\n") && reads(slave, "y\n"));
	CHECK(reads(master, "x\r\ny\r\n"));
	/* Erasing: a character, a word, the line, UTF-8, a control character, a tab. */
	CHECK(put(master, "ab\177c\n") == 5 && reads(slave, "ac\n") &&
	      reads(master, "ab\b \bc\r\n"));
	CHECK(put(master, "one two\27x\n") == 10 && reads(slave, "one x\n"));
	CHECK(reads(master, "one two\b \b\b \b\b \bx\r\n"));
	CHECK(put(master, "abc\25d\n") == 6 && reads(slave, "d\n"));
	CHECK(reads(master, "abc\b \b\b \b\b \bd\r\n"));
	CHECK(put(master, "\177\26\3\177q\n") == 6 && reads(slave, "q\n") &&
	      reads(master, "^\b^C\b \b\b \bq\r\n"));
	CHECK(put(master, "a\t\177b\n") == 5 && reads(slave, "ab\n"));
	CHECK(reads(master, "a\t\b\b\b\b\b\b\bb\r\n"));
	tty->termios.c_iflag |= IUTF8;
	CHECK(put(master, "a\303\266\177b\n") == 6 && reads(slave, "ab\n"));
	CHECK(reads(master, "a\303\266\b \bb\r\n"));
	CHECK(put(master, "ab\22c\n") == 5 && reads(slave, "abc\n") &&
	      reads(master, "ab^R\r\nabc\r\n"));
	/* An end of file: what was typed, then nothing, once. */
	CHECK(put(master, "ab\4") == 3 && reads(slave, "ab") && put(master, "\4") == 1);
	CHECK(ready(slave) & POLLIN && get(slave, 9) == 0 && !(ready(slave) & POLLIN));
	CHECK(reads(master, "ab"));
	int32_t n = 0;

	CHECK(put(master, "abc\nd") == 5 && control_number(slave, FIONREAD, &n) == 0 && n == 4);
	CHECK(control(slave, TCFLSH, TCIFLUSH) == 0 && !(ready(slave) & POLLIN));
	CHECK(control(slave, TCFLSH, 7) == -EINVAL && control(slave, 0x5499, 0) == -ENOTTY);
	CHECK(control(slave, TCFLSH, TCOFLUSH) == 0 && !(ready(master) & POLLIN));
	/* A line that is too long is cut; its end is not. */
	CHECK(zero_out(guest, uva(BASE), 6000) == 0 && put_many(master, 6000) == 6000);
	CHECK(put(master, "\n") == 1 && get(slave, 9000) == 4096);
	CHECK(control(slave, TCFLSH, TCIOFLUSH) == 0);
	/* No echo, but of the line's end. */
	mode(ECHO, ECHONL, 0, 1, 0);
	CHECK(put(master, "pw\n") == 3 && reads(master, "\r\n") && reads(slave, "pw\n"));
	mode(ECHONL, 0, 0, 1, 0);
	CHECK(put(master, "pw\n") == 3 && !(ready(master) & POLLIN) && reads(slave, "pw\n"));
	close_pair();
}

static void reader(void *arg)
{
	result = get(slave, *(uint64_t *) arg);
	finished++;
	fiber_exit();
}

static void raw(void)
{
	static uint64_t ten = 10;
	struct fiber *f;
	nsec_t from;

	open_pair();
	mode(ICANON | ECHO | ISIG | IEXTEN, 0, ICRNL | IXON, 1, 0);
	CHECK(put(master, "a\3\r") == 3 && reads(slave, "a\3\r") && !(ready(master) & POLLIN));
	slave->flags |= O_NONBLOCK;
	CHECK(get(slave, 1) == -EAGAIN);
	slave->flags &= ~(unsigned int) O_NONBLOCK;
	mode(0, 0, 0, 0, 0);
	CHECK(get(slave, 1) == 0);
	mode(0, 0, 0, 3, 0);
	finished = 0;
	CHECK(sched_spawn(reader, &ten, &f) == 0);
	let_run();
	CHECK(put(master, "ab") == 2 && !(ready(slave) & POLLIN));
	let_run();
	CHECK(finished == 0 && put(master, "c") == 1);
	let_run();
	CHECK(finished == 1 && result == 3 && is("abc"));
	/* A time alone; a time between bytes. */
	mode(0, 0, 0, 0, 5);
	from = sim_now();
	CHECK(get(slave, 9) == 0 && sim_now() - from == NSEC_PER_SEC / 2);
	mode(0, 0, 0, 5, 2);
	CHECK(put(master, "xy") == 2);
	from = sim_now();
	CHECK(get(slave, 9) == 2 && is("xy") && sim_now() - from == NSEC_PER_SEC / 5);
	CHECK(sched_spawn(reader, &ten, &f) == 0);
	let_run();
	CHECK(finished == 1);
	fiber_interrupt(f);
	let_run();
	CHECK(finished == 2 && result == -ERESTARTSYS);
	/* What was typed before becomes a line. */
	CHECK(put(master, "rest") == 4);
	mode(0, ICANON, 0, 1, 0);
	CHECK(reads(slave, "rest"));
	close_pair();
}

static void writer(void *arg)
{
	result = put_many(slave, *(uint64_t *) arg);
	finished++;
	fiber_exit();
}

static void flow(void)
{
	static uint64_t much = 30000, some = 10;
	struct fiber *f;
	int64_t all = 0;
	int32_t n = 1;

	open_pair();
	tty->termios.c_oflag &= ~(tcflag_t) OPOST;
	finished = 0;
	CHECK(sched_spawn(writer, &much, &f) == 0);
	let_run();
	while (all < (int64_t) much && ready(master) & POLLIN) {
		all += get(master, 5000);
		let_run();
	}
	CHECK(all == (int64_t) much && finished == 1 && result == all);
	CHECK(put(master, "\23") == 1 && !(ready(slave) & POLLOUT));
	CHECK(sched_spawn(writer, &some, &f) == 0);
	let_run();
	CHECK(finished == 1 && put(master, "\21") == 1);
	let_run();
	CHECK(finished == 2 && get(master, 100) == 10);
	/* Packets begin with what happened. */
	CHECK(control_number(master, TIOCPKT, &n) == 0 && put(slave, "ab") == 2);
	CHECK(get(master, 9) == 3 && is("") && control(slave, TCXONC, TCOOFF) == 0);
	CHECK(ready(master) & POLLPRI && reads(master, "\4") && !(ready(master) & POLLIN));
	CHECK(control(slave, TCXONC, TCOON) == 0 && reads(master, "\10"));
	mode(0, 0, IXON, 1, 0);
	CHECK(reads(master, "\20") && control(slave, TCFLSH, TCIOFLUSH) == 0 &&
	      reads(master, "\3"));
	n = 0;
	CHECK(control_number(master, TIOCPKT, &n) == 0 && control(slave, TCXONC, 9) == -EINVAL);
	CHECK(control(slave, TCXONC, TCIOFF) == 0 && reads(master, "\23"));
	close_pair();
}

static void hangups(void)
{
	static uint64_t ten = 10;
	struct fiber *f;
	struct file *again;
	struct walk w = as_root();
	struct path p;

	open_pair();
	CHECK(walk(&w, "pts/0", 0, &p) == 0 && p.dentry->inode->rdev == device_number(136, 0));
	path_unref(&p);
	finished = 0;
	CHECK(sched_spawn(reader, &ten, &f) == 0);
	let_run();
	file_unref(master);
	let_run();
	CHECK(finished == 1 && result == 0 && get(slave, 5) == 0 && put(slave, "x") == -EIO);
	CHECK(ready(slave) & POLLHUP && control(slave, TCGETS, IN) == -EIO);
	CHECK(names_open(&w, "pts/0", O_RDWR, 0, &again) == -ENOENT);
	/* The number is free again while the old one is still open. */
	struct file *old = slave;

	open_pair();
	CHECK(tty->index == 0 && put(old, "x") == -EIO && put(slave, "x") == 1);
	file_unref(old);
	/* The other way: what is there is read, then an error, until one opens it again. */
	CHECK(put(slave, "bye") == 3);
	file_unref(slave);
	CHECK(ready(master) & POLLHUP && reads(master, "xbye") && get(master, 9) == -EIO);
	slave = open_file("pts/0", O_RDWR | O_NOCTTY);
	CHECK(!(ready(master) & POLLHUP) && put(slave, "on") == 2 && reads(master, "on"));
	close_pair();
	/* One that nobody has opened yet is waited for. */
	master = open_file("ptmx", O_RDWR | O_NONBLOCK);
	CHECK(get(master, 9) == -EAGAIN && put(master, "early\n") == 6);
	file_unref(master);
}

/* ---- sessions ---- */

/* Whether a process was sent this, which is taken back: all of them have handlers for all. */
static bool told(struct task *t, int nr)
{
	struct signal_queue *q = &t->process->signals->pending;
	bool was = q->set & SIGNAL_BIT(nr);

	signal_queue_flush(q, UINT64_MAX);
	fiber_undisturbed(fiber_now());
	return was;
}

static void ignore(struct task *t, bool on)
{
	for (size_t n = 0; n < SIGNALS; n++)
		t->handlers->actions[n].handler = on ? 1 : 0x1000;
}

static struct task *child(struct process *parent)
{
	struct process *p;
	struct task *t = NULL;

	CHECK(process_new(&p) == 0 && task_new(p, &t) == 0);
	p->parent = parent;
	group_enter(p, parent->group);
	list_push(&parent->children, &p->in_parent);
	t->cred = cred_ref(&root_cred);
	CHECK(signals_clone(t, NULL, 0) == 0);
	ignore(t, false);
	return t;
}

static void gone(struct task *t)
{
	list_remove(&t->process->in_parent);
	signals_end(t);
	signals_end_process(t->process);
	process_free(t->process);
}

static void sessions(void)
{
	struct task_first q = { .cred = &root_cred, .root = &top, .comm = "init" };
	struct task *init, *shell, *job;
	struct winsize size = { 24, 80, 0, 0 };
	struct walk w = as_root();
	struct file *f;
	int32_t n = 0;

	q.files = descriptors_new();
	CHECK(task_new_first(&q, &init) == 0 && signals_clone(init, NULL, 0) == 0);
	descriptors_unref(q.files);
	shell = child(init->process);
	CHECK(task_setsid(shell) > 0);
	job = child(shell->process);
	CHECK(task_setpgid(shell, (int32_t) job->tid, 0) == 0);
	task_attach(shell);
	open_pair();
	CHECK(control_number(slave, TIOCGPGRP, &n) == -ENOTTY);
	CHECK(names_open(&w, "tty", O_RDWR, 0, &f) == -ENXIO);
	CHECK(control(slave, TIOCSCTTY, 0) == 0 && control(slave, TIOCSCTTY, 0) == 0);
	CHECK(process_tty(shell->process) == tty && process_tty(job->process) == tty);
	CHECK(control_number(slave, TIOCGPGRP, &n) == 0 && n == (int32_t) shell->tid);
	CHECK(control_number(slave, TIOCGSID, &n) == 0 && n == (int32_t) shell->tid);
	CHECK(put(master, "\3") == 1 && told(shell, SIGINT));
	f = open_file("tty", O_RDWR);
	CHECK(put(f, "hi") == 2 && reads(master, "^Chi"));
	file_unref(f);
	/* Another group is in front; the shell is told when it reads. */
	n = (int32_t) job->tid;
	CHECK(control_number(slave, TIOCSPGRP, &n) == 0);
	CHECK(copy_out(guest, uva(BASE), &size, sizeof(size)) == 0);
	CHECK(control(master, TIOCSWINSZ, BASE) == 0 && told(job, SIGWINCH));
	CHECK(control(master, TIOCSWINSZ, BASE) == 0 && !told(job, SIGWINCH));
	CHECK(put(master, "x\n\32") == 3 && told(job, SIGTSTP));
	/* The shell's group is orphaned: no signal would be of use. */
	n = (int32_t) shell->tid;
	CHECK(put(master, "x\n") == 2 && get(slave, 9) == -EIO);
	CHECK(control_number(slave, TIOCSPGRP, &n) == -ENOTTY);
	ignore(shell, true);
	CHECK(control_number(slave, TIOCSPGRP, &n) == 0);
	ignore(shell, false);
	task_attach(job);
	CHECK(get(slave, 9) == -ERESTARTSYS && told(job, SIGTTIN));
	CHECK(put(slave, "a") == 1);
	tty->termios.c_lflag |= TOSTOP;
	CHECK(put(slave, "a") == -ERESTARTSYS && told(job, SIGTTOU));
	CHECK(control_number(slave, TIOCSPGRP, &n) == -ERESTARTSYS && told(job, SIGTTOU));
	ignore(job, true);
	CHECK(get(slave, 9) == -EIO && put(slave, "a") == 1);
	CHECK(control_number(slave, TIOCSPGRP, &n) == 0);
	ignore(job, false);
	task_attach(shell);
	CHECK(reads(slave, "x\n"));
	n = 1;
	CHECK(control_number(slave, TIOCSPGRP, &n) == -EPERM);
	n = 9999;
	CHECK(control_number(slave, TIOCSPGRP, &n) == -ESRCH);
	n = -1;
	CHECK(control_number(slave, TIOCSPGRP, &n) == -EINVAL);
	/* Others cannot take it but by force. */
	task_attach(init);
	CHECK(control(slave, TIOCSCTTY, 0) == -EPERM && control(slave, TIOCNOTTY, 0) == -ENOTTY);
	CHECK(control_number(slave, TIOCGPGRP, &n) == -ENOTTY &&
	      control_number(master, TIOCGPGRP, &n) == 0 && n == (int32_t) shell->tid);
	task_attach(shell);
	file_unref(master);
	CHECK(told(shell, SIGHUP) && !process_tty(shell->process));
	file_unref(slave);
	/* The first terminal that a leader opens is its own; a child gives it up for itself. */
	int32_t unlock = 0;

	master = open_file("ptmx", O_RDWR);
	CHECK(control_number(master, TIOCSPTLCK, &unlock) == 0);
	slave = open_file("pts/0", O_RDWR);
	CHECK(process_tty(shell->process) == file_tty(slave));
	task_attach(job);
	CHECK(control(slave, TIOCNOTTY, 0) == 0 && !process_tty(job->process) &&
	      process_tty(shell->process));
	task_attach(shell);
	CHECK(control(slave, TIOCNOTTY, 0) == 0 && told(shell, SIGCONT));
	CHECK(!shell->process->group->session->tty && !file_tty(slave)->session);
	CHECK(control(slave, TIOCSCTTY, 0) == 0);
	tty_leader_leaves(shell->process->group->session, true);
	CHECK(told(shell, SIGHUP) && !file_tty(slave)->session);
	close_pair();
	fiber_now()->owner = NULL;
	gone(job);
	gone(shell);
	signals_end(init);
	signals_end_process(init->process);
	process_free(init->process);
}

static void settings(void)
{
	struct termios2 k;
	struct termio o;
	int32_t n = 0;

	open_pair();
	CHECK(control(slave, TCGETS2, BASE) == 0 && copy_in(guest, &k, uva(BASE), sizeof(k)) == 0);
	CHECK(k.c_ospeed == 38400 && k.c_cc[VINTR] == 3 && k.c_lflag & ICANON);
	k.c_cflag = (k.c_cflag & ~(tcflag_t) CBAUD) | B115200;
	CHECK(copy_out(guest, uva(BASE), &k, sizeof(k)) == 0 && put(master, "x\n") == 2);
	CHECK(copy_out(guest, uva(BASE), &k, sizeof(k)) == 0 &&
	      control(slave, TCSETSF2, BASE) == 0);
	CHECK(tty->termios.c_ospeed == 115200 && !(ready(slave) & POLLIN));
	CHECK(control(master, TCGETA, BASE) == 0 && copy_in(guest, &o, uva(BASE), sizeof(o)) == 0);
	o.c_cc[VINTR] = 5;
	CHECK(copy_out(guest, uva(BASE), &o, sizeof(o)) == 0 && control(slave, TCSETA, BASE) == 0);
	CHECK(tty->termios.c_cc[VINTR] == 5 && tty->termios.c_cc[VSUSP] == 26);
	CHECK(control(slave, TCSETS, 8) == -EFAULT && control(slave, TIOCSTI, BASE) == -EIO);
	CHECK(control_number(slave, TIOCSETD, &n) == 0 &&
	      control_number(slave, TIOCGEXCL, &n) == 0);
	CHECK(control(slave, TIOCEXCL, 0) == 0 && control_number(slave, TIOCGEXCL, &n) == 0 &&
	      n == 1);
	CHECK(control_number(slave, TIOCGPTN, &n) == -ENOTTY && control(slave, TCSBRK, 1) == 0);
	close_pair();
}

static void no_memory(void)
{
	struct walk w = as_root();

	for (unsigned long n = 1; n < 16; n++) {
		struct file *a = NULL, *b = NULL;

		heap_fail_at(n);
		bool made = names_open(&w, "ptmx", O_RDWR, 0, &a) == 0;

		heap_fail_at(0);
		if (!made)
			continue;
		file_tty(a)->locked = false;
		heap_fail_at(n);
		if (names_open(&w, "pts/0", O_RDWR | O_NOCTTY, 0, &b) == 0)
			file_unref(b);
		heap_fail_at(0);
		file_unref(a);
	}
	open_pair();
	CHECK(tty->index == 0);
	close_pair();
}

static void all(void *arg)
{
	static const struct space_limits wide = { UINT64_MAX, UINT64_MAX, 8 << 20, UINT64_MAX,
						  65530 };
	struct super *s = memfs_new(&(struct memfs_options){ .mode = 0755 }), *pts;
	struct mount_space *mounts = mount_space_new(s, 0, "tmpfs");
	struct walk w;
	struct mount *m;
	struct path p;
	uint64_t at;

	(void) arg;
	super_leave(s);
	top = (struct path){ mounts->root, mounts->root->root };
	path_ref(&top);
	guest = space_new(&wide);
	CHECK(space_map(guest,
			&(struct space_mapping){ .at = BASE,
						 .len = 3 * ROOM,
						 .prot = PLAT_READ | PLAT_WRITE,
						 .fixed = true },
			&at) == 0);
	devices();
	w = as_root();
	pts = devpts_new(&(struct devpts_options){ 0620, 5, 0666 });
	CHECK(walk(&w, "pts", 0, &p) == 0 && mount_add(&p, pts->root, 0, "devpts", &m) == 0);
	path_unref(&p);
	super_leave(pts);
	lines();
	raw();
	flow();
	hangups();
	settings();
	sessions();
	no_memory();
	path_unref(&top);
	mount_space_unref(mounts);
	space_unref(guest);
}

int main(void)
{
	return test_run(8192, all);
}
