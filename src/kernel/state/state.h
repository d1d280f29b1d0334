/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A checkpoint of all guests: what their kernel knows of them as a stream (stream.h), and made anew
 * from it in a kernel that has the same tree of mounts and no process yet.
 *
 * What several have (a description, a space, a table) is written where it is met first, and is a
 * number from then on. What cannot be saved is refused by name, never left out. Files are found
 * again by their path; those of tmpfs, and memory that is shared, are saved themselves.
 */
#pragma once

#include "kernel/core/radix.h"
#include "kernel/state/stream.h"
#include "kernel/vfs/dentry.h"

struct cred;
struct file;
struct pager;
struct process;
struct seccomp_filter;
struct socket;
struct space;
struct task;
struct tty;

enum state_kind {
	STATE_CRED,
	STATE_HANDLERS,
	STATE_IMAGE,
	STATE_SPACE,
	STATE_FS,
	STATE_TABLE,
	STATE_FILE,
	STATE_PIPE,
	STATE_SHM, /* a file without a name in a tmpfs: its inode */
	STATE_SOCKET,
	STATE_TTY,
	STATE_UNDOS, /* of semaphores: loaded, the first task that has them */
	STATE_KINDS
};

#define STATE_WORDS 300

/* What whoever runs the kernel knows of it. */
struct state_host {
	const struct path *root;       /* of the guests' tree */
	struct seccomp_filter *filter; /* of each process that came from outside; or NULL */
	const char *hostname;	       /* that it began with: kept is one that was set inside */
	uint64_t mounts;	       /* state_mounts() of the tree as it was when it was made */
	/* Which of the files f is that the first process was given; negative: none. */
	int (*given)(const struct file *f);
	/* That file, owned by the caller; NULL: it cannot be had. */
	struct file *(*give)(unsigned int nr);
	/* The terminal whose other end is the host's, if there is one; the caller's. */
	struct tty *console;
	/* Of the first process. */
	void (*ended)(struct process *p, int status, void *arg);
	void *ended_arg;
};

/* ---- the whole ---- */

/*
 * Whether all there is can be saved: -EOPNOTSUPP, and words that name who has what. Also of those
 * who run; may park.
 */
[[nodiscard]] int state_check(const struct state_host *h, char why[STATE_WORDS]);
/* All guests are held (task/hold.h). -EOPNOTSUPP as above, -errno of `out`. May park. */
[[nodiscard]] int state_save(const struct state_host *h, struct state_out *out,
			     char why[STATE_WORDS]);
/*
 * The processes are there, and have not begun. -EBADMSG: this is no checkpoint; others: what of the
 * host or of the files is not as it was; with words, and no process. What was changed of
 * the files is left.
 */
[[nodiscard]] int state_load(const struct state_host *h, struct state_in *in,
			     char why[STATE_WORDS]);
/* They begin. -ENOMEM. */
[[nodiscard]] int state_start(void);

/* A sum of which mounts stand where, and how. */
uint64_t state_mounts(const struct state_host *h);

/* ---- for the files of this room ---- */

struct state_save {
	struct state_out *out;
	const struct state_host *host;
	struct radix ids[STATE_KINDS]; /* by address: number + 1 */
	uint64_t counts[STATE_KINDS];
	struct radix frames;	 /* by number: that of its page + 1 */
	struct radix sockets;	 /* by number; one owner each */
	struct radix files;	 /* by number, borrowed: not where it is dry, as nobody is held */
	uint64_t masters;	 /* of terminals, that were met */
	nsec_t now;		 /* PLAT_MONOTONIC */
	bool dry;		 /* nothing is written: can it be? */
	const struct task *task; /* whose parts it is at, and which descriptor; -1: none */
	int64_t fd;
	char *why;
};

struct state_load {
	struct state_in *in;
	const struct state_host *host;
	struct radix objects[STATE_KINDS]; /* by number; one owner each */
	uint64_t counts[STATE_KINDS];
	struct mount **mounts; /* by the checkpoint's numbers, MOUNTS_MOST of the heap */
	uint64_t mount_count;
	unsigned int deep;   /* in files that name others */
	struct task *task;   /* whose parts it is at; or NULL */
	struct radix frames; /* by the page's number: the frame + 1, one owner */
	nsec_t later; /* what is added to times of PLAT_MONOTONIC: nobody's time has gone on */
	char *why;
};

/* Its number is written; true: it was met before. Else what it is follows. */
bool save_known(struct state_save *s, enum state_kind kind, const void *p);
/* "WHO holds descriptor N, WHAT: unsupported", once. */
void save_refuse(struct state_save *s, const char *what, const char *detail);
/* A page of the guest, once: its number. */
uint64_t save_frame(struct state_save *s, uint64_t frame);
/* In words. */
void load_fail(struct state_load *l, int error, const char *what, const char *detail);

/* The one that was met before; or NULL and in *ret_nr its number: what it is follows, and
 * load_meet() is told of it before anything else of its kind is read that is not part of it. */
void *load_known(struct state_load *l, enum state_kind kind, uint64_t *ret_nr);
/* Takes an owner of it. */
void load_meet(struct state_load *l, enum state_kind kind, uint64_t nr, void *p);
/* A frame with an owner for the caller; FRAME_NONE: failed. */
uint64_t load_frame(struct state_load *l, uint64_t nr);

/* tree.c: names and mounts */
void save_mounts(struct state_save *s);
void load_mounts(struct state_load *l); /* that they are the same, in whatever order */
void save_dentry(struct state_save *s, struct dentry *d);
struct dentry *load_dentry(struct state_load *l); /* owned; NULL: failed */
void save_path(struct state_save *s, const struct path *p);
[[nodiscard]] bool load_path(struct state_load *l, struct path *ret);
struct super *state_super(const struct state_host *h, uint64_t nr); /* NULL: no more */
struct super *load_super(const struct state_load *l, uint64_t nr);  /* by its number there */
/* Whether no name leads to it any more. */
bool state_removed(const struct dentry *d);
bool state_has_super(const struct state_host *h, const struct super *super, uint64_t *ret_nr);

/* tmpfs.c */
/* Whether it is a file of a tmpfs without a name, which lives as long as somebody has it. */
bool state_is_orphan(const struct inode *i);
void save_tmpfs(struct state_save *s);
void load_tmpfs(struct state_load *l);
void save_contents(struct state_save *s, struct pager *p);
void load_contents(struct state_load *l, struct pager *p);

/* ipc.c: what processes use of System V IPC, and how it was used by them, which stands behind them.
 */
void save_ipc(struct state_save *s);
void load_ipc(struct state_load *l);
void save_ipc_uses(struct state_save *s);
void load_ipc_uses(struct state_load *l);
void save_undos(struct state_save *s, const struct task *t);
void load_undos(struct state_load *l, struct task *t);
/* It failed: nothing of it is left. */
void drop_ipc(void);

/* space.c */
void save_space(struct state_save *s, struct space *space);
struct space *load_space(struct state_load *l); /* borrowed from the objects, as those below */

/* file.c */
void save_file(struct state_save *s, struct file *f);
struct file *load_file(struct state_load *l);
/* What is refused of it; NULL: nothing. */
const char *state_file_why(const struct state_host *h, struct file *f);
void save_shm(struct state_save *s, struct inode *i, const char *shown);
struct inode *load_shm(struct state_load *l, char shown[static 256]);
void load_pipes_done(struct state_load *l);

/* terminal.c: first what they are, as paths lead there; last whose they are */
const char *state_terminal_why(const struct file *f);
void save_terminals(struct state_save *s);
void load_terminals(struct state_load *l);
void save_terminal_file(struct state_save *s, const struct file *f);
struct file *load_terminal_file(struct state_load *l, unsigned int flags);
void save_terminal_jobs(struct state_save *s);
void load_terminal_jobs(struct state_load *l);

/* watch.c: inotify; the latter NULL where it failed */
void save_inotify(struct state_save *s, struct file *f);
struct file *load_inotify(struct state_load *l, unsigned int flags);

/* socket.c: a number where one is met, and what each is behind all processes, as they lead to each
 * other and to files without an end. */
const char *state_socket_why(struct socket *sock); /* as state_file_why() */
void save_socket(struct state_save *s, struct socket *sock);
struct socket *load_socket(struct state_load *l);
/* That has no file yet, nor a place elsewhere. */
bool socket_is_homeless(struct socket *sock);
void socket_unref(struct socket *sock);
void save_sockets(struct state_save *s);
void load_sockets(struct state_load *l);
/* It failed: before anything is closed. */
void drop_sockets(struct state_load *l);

/* socket_unix.c, socket_inet.c, socket_netlink.c: one each. _whole: what was read of it is so with
 * what it leads to.
 */
void save_unix(struct state_save *s, struct socket *sock);
void load_unix(struct state_load *l, struct socket *sock);
bool load_unix_whole(struct socket *sock);
void save_inet(struct state_save *s, struct socket *sock);
void load_inet(struct state_load *l, struct socket *sock);
bool load_inet_whole(struct socket *sock);
void save_netlink(struct state_save *s, struct socket *sock);
void load_netlink(struct state_load *l, struct socket *sock);

/* owner.c: who is told of what happens to them; when all else is there */
void save_owners(struct state_save *s);
void load_owners(struct state_load *l);

/* lease.c: of files that are there with their owners, by tables that are */
void save_leases(struct state_save *s);
void load_leases(struct state_load *l);

/* lock.c: of files that are there, by tables that are */
void save_locks(struct state_save *s);
void load_locks(struct state_load *l);

/* task.c: NULL is nobody */
void save_cred(struct state_save *s, const struct cred *c);
const struct cred *load_cred(struct state_load *l);

void save_tasks(struct state_save *s);
void load_tasks(struct state_load *l);
/* All that have not begun go, with what they have. */
void drop_tasks(void);
