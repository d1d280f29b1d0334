/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/state/state.h"

#include "kernel/core/heap.h"
#include "kernel/fs/inotify_node.h"
#include "kernel/fs/mqueue.h"
#include "kernel/fs/proc/proc.h"
#include "kernel/fs/pty.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/space.h"
#include "kernel/platform/platform.h"
#include "kernel/task/cred.h"
#include "kernel/task/pid.h"
#include "kernel/task/serve.h"
#include "kernel/task/signal.h"
#include "kernel/task/task.h"
#include "kernel/task/uts.h"
#include "kernel/vfs/file.h"

#define MAGIC	UINT64_C(0x6b63506c6c6f7441) /* "AtollPck" */
#define VERSION 10

/* ---- words ---- */

static size_t put(char to[STATE_WORDS], size_t at, const char *text)
{
	for (; *text && at < STATE_WORDS - 1; text++)
		to[at++] = *text >= ' ' && *text < 0x7f ? *text : '?'; /* it may be a guest's */
	to[at] = '\0';
	return at;
}

static size_t put_number(char to[STATE_WORDS], size_t at, uint64_t n)
{
	char digits[24];
	size_t d = sizeof(digits) - 1;

	digits[d] = '\0';
	do {
		digits[--d] = (char) ('0' + n % 10);
		n /= 10;
	} while (n);
	return put(to, at, digits + d);
}

void save_refuse(struct state_save *s, const char *what, const char *detail)
{
	size_t at = 0;

	if (s->out->error < 0)
		return;
	s->out->error = -EOPNOTSUPP;
	if (s->task) {
		at = put(s->why, at, "process ");
		at = put_number(s->why, at, s->task->process->pid);
		at = put(s->why, at, " (");
		at = put(s->why, at, s->task->comm);
		at = put(s->why, at, s->fd >= 0 ? ") holds descriptor " : ") has ");
		if (s->fd >= 0) {
			at = put_number(s->why, at, (uint64_t) s->fd);
			at = put(s->why, at, ", ");
		}
	}
	at = put(s->why, at, what);
	if (detail) {
		at = put(s->why, at, " ");
		at = put(s->why, at, detail);
	}
	(void) put(s->why, at, ": unsupported");
}

void load_fail(struct state_load *l, int error, const char *what, const char *detail)
{
	size_t at;

	if (l->in->error < 0)
		return;
	l->in->error = error;
	at = put(l->why, 0, what);
	if (detail) {
		at = put(l->why, at, " '");
		at = put(l->why, at, detail);
		(void) put(l->why, at, "'");
	}
}

/* ---- what several have ---- */

bool save_known(struct state_save *s, enum state_kind kind, const void *p)
{
	uint64_t key = (uintptr_t) p >> 3;
	uintptr_t nr = (uintptr_t) radix_get(&s->ids[kind], key);

	if (nr) {
		out_number(s->out, nr - 1);
		return true;
	}
	out_number(s->out, s->counts[kind]);
	if (radix_set(&s->ids[kind], key, (void *) (uintptr_t) ++s->counts[kind]) < 0 &&
	    s->out->error == 0)
		s->out->error = -ENOMEM;
	return s->out->error < 0;
}

void *load_known(struct state_load *l, enum state_kind kind, uint64_t *ret_nr)
{
	uint64_t nr = in_number(l->in, l->counts[kind]);

	*ret_nr = nr;
	if (l->in->error < 0)
		return NULL;
	if (nr < l->counts[kind]) {
		void *p = radix_get(&l->objects[kind], nr);

		/* Not while it is made itself. */
		if (!p)
			in_fail(l->in, -EBADMSG);
		return p;
	}
	l->counts[kind]++;
	return NULL;
}

void load_meet(struct state_load *l, enum state_kind kind, uint64_t nr, void *p)
{
	if (!p || radix_set(&l->objects[kind], nr, p) < 0)
		in_fail(l->in, -ENOMEM);
}

static void unref(enum state_kind kind, void *p)
{
	switch (kind) {
	case STATE_CRED:
		cred_unref(p);
		break;
	case STATE_IMAGE:
		task_image_unref(p);
		break;
	case STATE_SPACE:
		space_unref(p);
		break;
	case STATE_FS:
		fs_context_unref(p);
		break;
	case STATE_TABLE:
		descriptors_unref(p);
		break;
	case STATE_FILE:
		file_unref(p);
		break;
	case STATE_SHM:
		inode_unref(p);
		break;
	case STATE_SOCKET:
		socket_unref(p);
		break;
	case STATE_TTY:
		pty_loaded(p);
		break;
	case STATE_HANDLERS: /* its tasks' */
	case STATE_UNDOS:
	case STATE_PIPE:
	case STATE_KINDS:
		break;
	}
}

/* ---- pages ---- */

uint64_t save_frame(struct state_save *s, uint64_t frame)
{
	uintptr_t nr = (uintptr_t) radix_get(&s->frames, frame);

	if (nr)
		return nr - 1;
	if (s->dry)
		return 0;
	nr = out_page(s->out, frame_ptr(frame));
	if (radix_set(&s->frames, frame, (void *) (nr + 1)) < 0 && s->out->error == 0)
		s->out->error = -ENOMEM;
	return nr;
}

uint64_t load_frame(struct state_load *l, uint64_t nr)
{
	uint64_t frame = (uintptr_t) radix_get(&l->frames, nr);

	if (l->in->error < 0)
		return FRAME_NONE;
	if (frame) {
		frame_ref(frame - 1);
		return frame - 1;
	}
	frame = frame_alloc_unclean(0);
	if (frame == FRAME_NONE) {
		load_fail(l, -ENOMEM, "there is less memory than the checkpoint needs", NULL);
		return FRAME_NONE;
	}
	in_page(l->in, nr, frame_ptr(frame));
	if (l->in->error == 0 && radix_set(&l->frames, nr, (void *) (uintptr_t) (frame + 1)) < 0)
		in_fail(l->in, -ENOMEM);
	if (l->in->error < 0) {
		frame_unref(frame);
		return FRAME_NONE;
	}
	frame_ref(frame);
	return frame;
}

/* ---- the whole ---- */

/* What nobody holds, and lives on without anybody. */
static void check_rest(struct state_save *s)
{
	if (mqueue_any())
		save_refuse(s, "POSIX message queues are in use", NULL);
}

static int save_limit(void *arg, const char *name, const char *value, size_t n)
{
	struct state_save *s = arg;

	out_number(s->out, 1);
	out_text(s->out, name, strlen(name));
	out_text(s->out, value, n);
	return s->out->error;
}

/* What was written to below /proc/sys. */
static void save_limits(struct state_save *s)
{
	int r = proc_sysctl_each(save_limit, s);

	if (r < 0 && s->out->error == 0)
		s->out->error = r;
	out_number(s->out, 0);
}

static void load_limits(struct state_load *l)
{
	char name[SYSCTL_NAME], value[256];

	while (in_flag(l->in)) {
		(void) in_text(l->in, name, sizeof(name));
		(void) in_text(l->in, value, sizeof(value));
		if (l->in->error == 0 && proc_sysctl_again(name, value) < 0)
			in_fail(l->in, -EBADMSG);
	}
}

static int save(const struct state_host *h, struct state_out *out, bool dry, char why[STATE_WORDS])
{
	struct state_save s = { .out = out,
				.host = h,
				.now = plat_now(PLAT_MONOTONIC),
				.dry = dry,
				.fd = -1,
				.why = why };
	uint64_t components;
	struct socket *sock;

	why[0] = '\0';
	out_number(out, MAGIC);
	out_number(out, VERSION);
	out_number(out, plat_fp_size(&components));
	out_number(out, components);
	out_number(out, plat_vdso());
	out_number(out, (uint64_t) s.now);
	check_rest(&s);
	save_mounts(&s);
	out_number(out, strlen(uts_hostname()) != strlen(h->hostname) ||
				memcmp(uts_hostname(), h->hostname, strlen(h->hostname)) != 0);
	out_text(out, uts_hostname(), strlen(uts_hostname()));
	out_text(out, uts_domainname(), strlen(uts_domainname()));
	save_limits(&s);
	save_tmpfs(&s);
	save_terminals(&s);
	save_ipc(&s);
	save_tasks(&s);
	save_ipc_uses(&s);
	save_sockets(&s);
	save_terminal_jobs(&s);
	save_locks(&s);
	save_owners(&s);
	save_leases(&s);
	out_number(out, MAGIC);
	for (uint64_t nr = 0; (sock = radix_next(&s.sockets, &nr)); nr++)
		socket_unref(sock);
	radix_fini(&s.sockets);
	radix_fini(&s.files);
	for (size_t kind = 0; kind < STATE_KINDS; kind++)
		radix_fini(&s.ids[kind]);
	radix_fini(&s.frames);
	return out->error;
}

static int write_nothing(struct state_out *o, const void *bytes, size_t n)
{
	(void) o;
	(void) bytes;
	(void) n;
	return 0;
}

static int page_nothing(struct state_out *o, uint64_t nr, const void *page)
{
	(void) o;
	(void) nr;
	(void) page;
	return 0;
}

int state_check(const struct state_host *h, char why[STATE_WORDS])
{
	struct state_out nothing = { .write = write_nothing, .page = page_nothing };

	return save(h, &nothing, true, why);
}

int state_save(const struct state_host *h, struct state_out *out, char why[STATE_WORDS])
{
	return save(h, out, false, why);
}

static void load_head(struct state_load *l)
{
	uint64_t components, size = plat_fp_size(&components);

	if (in_number(l->in, UINT64_MAX) != MAGIC)
		load_fail(l, -EBADMSG, "this is no checkpoint of a sandbox", NULL);
	if (in_number(l->in, UINT64_MAX) != VERSION)
		load_fail(l, -EBADMSG, "the checkpoint is of another version of atoll", NULL);
	if (in_number(l->in, UINT64_MAX) != size || in_number(l->in, UINT64_MAX) != components ||
	    in_number(l->in, UINT64_MAX) != plat_vdso())
		load_fail(l, -EOPNOTSUPP, "the checkpoint was made on another processor or host",
			  NULL);
	l->later = plat_now(PLAT_MONOTONIC) - (nsec_t) in_number(l->in, INT64_MAX);
}

static void load_names(struct state_load *l)
{
	char name[UTS_NAME + 1];
	bool own = in_flag(l->in);
	size_t n = in_text(l->in, name, sizeof(name));

	if (own)
		uts_set_hostname(name, n);
	n = in_text(l->in, name, sizeof(name));
	uts_set_domainname(name, n);
}

int state_load(const struct state_host *h, struct state_in *in, char why[STATE_WORDS])
{
	struct state_load l = { .in = in, .host = h, .why = why };
	uint64_t nr;
	void *p;

	why[0] = '\0';
	inotify_hush(true);
	load_head(&l);
	load_mounts(&l);
	load_names(&l);
	load_limits(&l);
	load_tmpfs(&l);
	load_terminals(&l);
	load_ipc(&l);
	load_tasks(&l);
	load_ipc_uses(&l);
	load_sockets(&l);
	load_terminal_jobs(&l);
	load_locks(&l);
	load_owners(&l);
	load_leases(&l);
	if (in_number(in, UINT64_MAX) != MAGIC || in->left > 0)
		in_fail(in, -EBADMSG);
	if (in->error < 0) {
		drop_sockets(&l);
		drop_tasks();
		drop_ipc();
	}
	load_pipes_done(&l);
	for (enum state_kind kind = 0; kind < STATE_KINDS; kind++) {
		for (nr = 0; (p = radix_next(&l.objects[kind], &nr)); nr++)
			unref(kind, p);
		radix_fini(&l.objects[kind]);
	}
	for (nr = 0; (p = radix_next(&l.frames, &nr)); nr++)
		frame_unref((uintptr_t) p - 1);
	radix_fini(&l.frames);
	heap_free(l.mounts);
	inotify_hush(false);
	if (in->error < 0 && !why[0])
		(void) put(why, 0,
			   in->error == -ENOMEM ? "there is less memory than the checkpoint needs"
						: "the checkpoint is damaged");
	return in->error;
}

int state_start(void)
{
	struct pid *p;
	int r = 0;

	for (uint64_t nr = 1; r == 0 && (p = pid_next(&nr)); nr++) {
		if (p->task && p->task->state == TASK_NEW)
			r = task_start(p->task);
	}
	return r;
}
