/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot of a machine that runs: the agent holds everything still (proto/agent.h, HOLD), so
 * that nothing is on its way between host and guest; the monitor stops its processors and writes
 * state and memory; the workload's files are copied; and all goes on, or ends.
 */
#include "engine/microvm/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/log.h"
#include "engine/container/groups.h"
#include "engine/kernel.h"
#include "engine/microvm/agent.h"
#include "engine/microvm/guest.h"
#include "engine/microvm/kvm.h"
#include "engine/microvm/microvm.h"
#include "engine/microvm/monitor.h"
#include "engine/microvm/network.h"
#include "fmt/spec.h"
#include "proto/agent_link.h"
#include "proto/vmm.h"
#include "sys/pidfd.h"

#define NOTE	      "machine.json" /* in the state directory */
#define RECORD	      "guest.json"
#define STATE	      "machine"
#define MEMORY	      "memory"
#define FREEZE_WITHIN (10 * NSEC_PER_SEC)
#define HOLD_WITHIN   (30 * NSEC_PER_SEC)
#define ASK_WITHIN    (30 * NSEC_PER_SEC)
#define WRITE_WITHIN  (600 * NSEC_PER_SEC)
#define END_WITHIN    (30 * NSEC_PER_SEC)

/* ---- what it is made of ------------------------------------------------------------------- */

int snapshot_describe(struct microvm *m, const struct guest *g, const struct network *n,
		      const char *kernel, struct machine_record *ret_r, struct err *e)
{
	struct machine_record r = { .build = ATOLL_VERSION,
				    .kernel = kernel,
				    .container = m->id,
				    .cpus = g->cpus_max,
				    .memory = g->memory_max,
				    .terminal = m->spec->process->terminal,
				    .root_disk = g->disk_fd >= 0,
				    .own_disk = g->upper_fd >= 0 };

	r.shares = arena_array(&m->arena, g->shares_n + 1, sizeof(*r.shares));
	r.cards = arena_array(&m->arena, n->cards_n + 1, sizeof(*r.cards));
	if (!r.shares || !r.cards)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	r.shares_n = g->shares_n;
	r.cards_n = n->cards_n;
	for (size_t i = 0; i < g->shares_n; i++) {
		const struct guest_share *s = &g->shares[i];
		struct stat st;

		if (fstat(s->fd, &st) < 0)
			return err_sys(e, errno, "the mount at '%.200s'", s->destination);
		r.shares[i] = (struct machine_record_share){
			.name = s->name,
			.destination = i && s->destination ? s->destination : "",
			.read_only = s->read_only,
			.device = st.st_dev,
			.inode = st.st_ino,
		};
	}
	for (size_t i = 0; i < n->cards_n; i++)
		r.cards[i] = (struct machine_record_card){ n->cards[i].mac, n->cards[i].mtu };
	*ret_r = r;
	return 0;
}

static int write_record(int dirfd, const char *name, const struct machine_record *r, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(MACHINE_RECORD_TEXT_MAX);
	int done;

	machine_record_encode(r, &text);
	done = buf_ok(&text) ? file_replace(dirfd, name, buf_str(&text), 0600, false)
			     : buf_error(&text);
	return done < 0 ? err_sys(e, -done, "write '%s' of the machine", name) : 0;
}

static int read_record(int dirfd, const char *name, struct arena *a, struct machine_record *ret_r,
		       struct err *e)
{
	auto_buf struct buf text = BUF_INIT(MACHINE_RECORD_TEXT_MAX);
	int r = file_read(dirfd, name, &text);
	const char *kept = r < 0 ? NULL : arena_dup(a, buf_str(&text));

	if (!kept)
		return err_sys(e, r < 0 ? -r : ENOMEM, "read '%s' of the machine", name);
	return machine_record_decode(a, (struct str){ kept, text.n }, ret_r, e);
}

int snapshot_note(const struct microvm *m, const struct machine_record *r, struct err *e)
{
	return write_record(m->state_fd, NOTE, r, e);
}

/* ---- going on from one -------------------------------------------------------------------- */

static int open_part(int dirfd, const char *name, struct err *e)
{
	int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	close_fd(&fd);
	return err_set(e, ERR_INVALID, EINVAL,
		       "this is no snapshot of a machine: it has no file '%s'", name);
}

int snapshot_source_open(struct snapshot_source *s, int dirfd, struct arena *a, struct err *e)
{
	int r = read_record(dirfd, RECORD, a, &s->record, e);

	if (r < 0)
		return err_ctx(e, "this is no snapshot of a machine");
	r = s->state_fd = open_part(dirfd, STATE, e);
	r = r < 0 ? r : (s->memory_fd = open_part(dirfd, MEMORY, e));
	return r < 0 ? r : 0;
}

void snapshot_source_fini(struct snapshot_source *s)
{
	close_fd(&s->state_fd);
	close_fd(&s->memory_fd);
}

/* ---- making one --------------------------------------------------------------------------- */

static int not_here(enum kvm_use use, struct err *e)
{
	const char *why = kvm_why(use);

	return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
		       "the state of an emulated machine cannot be kept%s%.100s: it needs KVM; a "
		       "container can be kept by CRIU (--isolation=container)",
		       *why ? ", and " : "", why);
}

int microvm_can_snapshot(const char *, struct err *e)
{
	auto_fd int kernels = FD_NONE;
	struct err ignored;
	enum kvm_use use;
	int r = kernels_open(NULL, &kernels, &ignored) < 0 ? kvm_probe(FD_NONE, &use, e)
							   : kvm_probe(kernels, &use, e);

	return r < 0 || use == KVM_RUNS ? r : not_here(use, e);
}

static int check(const struct microvm *m, const struct snapshot_options *o, struct err *e)
{
	if (m->pod_path)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "a container of a microvm's pod cannot be kept: the machine is the "
			       "whole pod's");
	if (m->emulated)
		return not_here(KVM_RUNS, e);
	if (o->pre_dump || o->parent || o->page_server || o->lazy_pages)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "a machine's memory is written at once: --pre-dump, --parent-path, "
			       "--page-server and --lazy-pages are of containers");
	return 0;
}

struct taking {
	struct microvm *m;
	const struct snapshot_options *o;
	int dirfd;    /* borrowed */
	int monitor;  /* owned */
	bool paused;  /* before, and again afterwards */
	bool stopped; /* its processors */
	struct agent_link hold;
	struct arena arena;
	struct machine_record record;
	char id[MACHINE_RECORD_ID];
};

static int make_id(char id[static MACHINE_RECORD_ID], struct err *e)
{
	unsigned char bytes[(MACHINE_RECORD_ID - 1) / 2];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t) sizeof(bytes))
		return err_sys(e, errno, "random bytes");
	for (size_t i = 0; i < sizeof(bytes); i++)
		(void) snprintf(id + 2 * i, 3, "%02x", bytes[i]);
	return 0;
}

static int ask(const struct taking *t, enum vmm_type what, struct err *e)
{
	const struct vmm_request q = { .type = what };
	struct vmm_reply got;
	int r = vmm_ask(t->monitor, &q, clock_deadline(ASK_WITHIN), &got);

	return r < 0 ? err_sys(e, -r, "ask the machine's monitor") : 0;
}

static int stop(struct taking *t, struct err *e)
{
	int r = t->monitor = monitor_dial(t->m, e);

	r = r < 0 ? r
		  : agent_hold(t->m->state_fd, clock_deadline(HOLD_WITHIN), &t->arena, &t->hold, e);
	r = r < 0 ? r : ask(t, VMM_PAUSE, e);
	t->stopped = r == 0;
	return r;
}

/* Both also where only the first of stop() was done; what fails ends by itself with its host. */
static int go_on(struct taking *t, struct err *e)
{
	int r = t->stopped ? ask(t, VMM_RESUME, e) : 0;

	if (r == 0 && t->hold.fd >= 0)
		r = agent_release(&t->hold, clock_deadline(HOLD_WITHIN), &t->arena, e);
	agent_link_fini(&t->hold);
	return r;
}

static int make_file(int dirfd, const char *name, struct err *e)
{
	int fd = openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? err_sys(e, errno, "make '%s' of the snapshot", name) : fd;
}

static int write_all(struct taking *t, struct err *e)
{
	struct machine_record *rec = &t->record;
	struct vmm_written written;
	auto_fd int state = make_file(t->dirfd, STATE, e), memory = FD_NONE;
	int r = state < 0 ? state : (memory = make_file(t->dirfd, MEMORY, e));

	r = r < 0 ? r
		  : vmm_snapshot(t->monitor, t->o->diff ? VMM_SNAPSHOT_DIFF : 0, state, memory,
				 clock_deadline(WRITE_WITHIN), &written, e);
	if (r < 0)
		return r;
	rec->base = t->o->diff ? rec->id : NULL;
	rec->id = t->id;
	rec->container = t->m->id;
	rec->own_disk = t->o->disk_fd >= 0;
	r = write_record(t->dirfd, RECORD, rec, e);
	rec->base = NULL;
	/* Also after a failure below: the next differs from this one, kept or not. */
	r = r < 0 ? r : snapshot_note(t->m, rec, e);
	return r < 0 ? r : engine_copy_files(t->o, t->dirfd, e);
}

/* What came from it is delivered by its proxy, which then ends as a killed process does. */
static int end(struct taking *t, struct err *e)
{
	struct err ignored;
	int pidfd = t->m->in.pidfd;

	(void) ask(t, VMM_QUIT, &ignored); /* it may be gone before it has answered */
	if (pidfd_poll(pidfd, clock_deadline(END_WITHIN)) == 1)
		return 0;
	(void) pidfd_kill(pidfd, SIGKILL);
	return pidfd_poll(pidfd, clock_deadline(END_WITHIN)) == 1
		       ? 0
		       : err_set(e, ERR_TIMEOUT, ETIMEDOUT,
				 "the machine is kept, but does not end");
}

static int set_frozen(struct taking *t, bool frozen, struct err *e)
{
	return t->paused ? groups_freeze(t->m->groups, frozen, clock_deadline(FREEZE_WITHIN), e)
			 : 0;
}

/*
 * A paused machine is frozen from outside, and cannot be held still from within before it is let
 * go for a moment: what runs in it goes on that long.
 */
static int take(struct taking *t, struct err *e)
{
	struct err ignored = {};
	int r = read_record(t->m->state_fd, NOTE, &t->arena, &t->record, e);

	if (r == 0 && t->o->diff && !t->record.id)
		return err_set(e, ERR_CONFLICT, ENODATA,
			       "there is no snapshot of this machine to differ from: make a whole "
			       "one first");
	r = r < 0 ? r : make_id(t->id, e);
	r = r < 0 ? r : set_frozen(t, false, e);
	if (r < 0)
		return r;
	r = stop(t, e);
	r = r < 0 ? r : write_all(t, e);
	if (r == 0 && !t->o->leave_running)
		return end(t, e);
	if (go_on(t, r < 0 ? &ignored : e) < 0) {
		if (r == 0)
			return -1;
		log_warn("the machine does not go on: %s", ignored.msg);
	}
	if (set_frozen(t, true, r < 0 ? &ignored : e) < 0) {
		if (r == 0)
			return err_ctx(e, "the machine is kept, but not paused again");
		log_warn("the machine is not paused again: %s", ignored.msg);
	}
	return r;
}

int microvm_snapshot(struct instance *in, int dirfd, const struct snapshot_options *o,
		     struct err *e)
{
	struct taking t = { .m = microvm_of_instance(in),
			    .o = o,
			    .dirfd = dirfd,
			    .paused = in->state == ENGINE_PAUSED,
			    .monitor = FD_NONE,
			    .hold = AGENT_LINK_INIT,
			    .arena = ARENA_INIT(16u << 20) };
	int r = check(t.m, o, e);

	r = r < 0 ? r : take(&t, e);
	agent_link_fini(&t.hold);
	close_fd(&t.monitor);
	arena_fini(&t.arena);
	return r;
}
