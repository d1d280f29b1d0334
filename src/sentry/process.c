/* SPDX-License-Identifier: Apache-2.0 */
#include "sentry/process.h"

#include <linux/sched.h>
#include <string.h>

#include "base/auto.h"
#include "kernel/core/heap.h"
#include "kernel/platform/host/descriptor.h"
#include "kernel/task/cred.h"
#include "kernel/task/exec.h"
#include "kernel/task/seccomp.h"
#include "kernel/task/signal.h"
#include "kernel/task/task.h"
#include "kernel/vfs/file.h"
#include "sentry/place.h"
#include "sentry/terminal.h"
#include "sentry/users.h"

#define ARENA_MAX  ((size_t) 16 << 20)
#define WORDS_MOST ((size_t) 6 << 20) /* of arguments, of environment: as execve(2) has them */

/* ---- who ---- */

static const struct cred *cred_of(const struct spec_process *p)
{
	static const struct spec_caps none;
	const struct spec_caps *caps = p->caps ? p->caps : &none;
	const struct spec_user *u = &p->user;
	struct cred *c = cred_new();

	if (!c)
		return NULL;
	c->uid = c->euid = c->suid = c->fsuid = u->uid;
	c->gid = c->egid = c->sgid = c->fsgid = u->gid;
	c->permitted = caps->permitted & CRED_ALL;
	c->effective = caps->effective & c->permitted;
	c->inheritable = caps->inheritable & CRED_ALL;
	c->bounding = caps->bounding & CRED_ALL;
	c->ambient = caps->ambient & c->permitted & c->inheritable;
	c->no_new_privs = p->no_new_privileges;
	if (u->additional_gids.n == 0)
		return c;
	c->groups = heap_alloc(u->additional_gids.n * sizeof(*c->groups));
	if (!c->groups) {
		cred_unref(c);
		return NULL;
	}
	memcpy(c->groups, u->additional_gids.v, u->additional_gids.n * sizeof(*c->groups));
	c->group_count = (uint32_t) u->additional_gids.n;
	return c;
}

/* ---- standard input, output and error ---- */

static int open_three(struct process_wish *w, const struct cred *who, struct descriptors *d,
		      struct err *e)
{
	static const char *const names[] = { "input", "output", "error" };

	for (uint64_t n = 0; n < 3; n++) {
		struct file *f;
		int r = host_descriptor(w->stdio[n], who, &f);

		if (r == -EOPNOTSUPP)
			return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
				       "standard %s: a sandbox cannot have such a descriptor",
				       names[n]);
		if (r == 0) {
			w->stdio[n] = FD_NONE;
			if (w->console)
				host_descriptor_mark(f, (unsigned int) n);
			r = descriptors_put(d, n, f, false);
		}
		if (r < 0)
			return err_sys(e, -r, "standard %s", names[n]);
	}
	return 0;
}

static int make_terminal(struct process_wish *w, const struct cred *who, struct file **ret_slave,
			 struct err *e)
{
	struct terminal_wish q = { .root = w->root,
				   .who = who,
				   .fd = w->stdio[0],
				   .resized = w->resized,
				   .size = w->spec->console_size,
				   .console = w->console,
				   .told = w->told };
	int r = terminal_new(&q, &w->terminal, ret_slave, e);

	w->stdio[0] = q.fd;
	return r;
}

static int open_terminal(struct process_wish *w, const struct cred *who, struct descriptors *d,
			 struct err *e)
{
	struct file *slave;
	int r = make_terminal(w, who, &slave, e);

	if (r < 0)
		return r;
	for (uint64_t n = 0; r == 0 && n < 3; n++) {
		file_ref(slave);
		r = descriptors_put(d, n, slave, false);
	}
	file_unref(slave);
	return r < 0 ? err_sys(e, -r, "process.terminal") : 0;
}

/* ---- which program ---- */

static const char *path_of(const struct spec_process *p)
{
	for (size_t n = 0; n < p->env_n; n++)
		if (strncmp(p->env[n], "PATH=", 5) == 0)
			return p->env[n] + 5;
	return "";
}

static int try_program(const struct walk *w, const char *name, struct path *ret)
{
	int r = walk(w, name, WALK_FOLLOW, ret);

	if (r < 0)
		return r;
	r = program_may(ret, w->who);
	if (r < 0)
		path_unref(ret);
	return r;
}

/* Its name as it is executed, in name[0, PATH_ROOM). */
static int find_program(const struct walk *w, const struct spec_process *p, struct path *ret,
			char *name)
{
	struct str rest = str_of(path_of(p));
	const char *word = p->args[0];
	size_t len = strlen(word);
	int found = -ENOENT;

	if (len >= PATH_ROOM)
		return -ENAMETOOLONG;
	memcpy(name, word, len + 1);
	if (strchr(word, '/'))
		return try_program(w, name, ret);
	while (rest.p) {
		struct str dir = str_cut(rest, ':', &rest);
		int r;

		if (dir.n == 0 || dir.n + 1 + len >= PATH_ROOM)
			continue; /* "" is the current directory, where no program is looked for */
		memcpy(name, dir.p, dir.n);
		name[dir.n] = '/';
		memcpy(name + dir.n + 1, word, len + 1);
		r = try_program(w, name, ret);
		if (r == 0)
			return 0;
		if (r == -EACCES)
			found = r;
	}
	return found;
}

static int add_words(struct words *w, const char **texts, size_t n)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++)
		r = words_add(w, texts[i], strlen(texts[i]));
	return r;
}

/* Runtimes' callers know these texts: podman and docker tell 127 from 126 by them. */
static int cannot_start(const char *name, int r, struct err *e)
{
	if (r == -ENOENT && !strchr(name, '/'))
		return err_set(e, ERR_NOT_FOUND, ENOENT,
			       "exec: \"%.200s\": executable file not found in $PATH", name);
	if (r == -ENOENT || r == -ENOTDIR)
		return err_set(e, ERR_NOT_FOUND, -r,
			       "exec: \"%.150s\": stat %.150s: no such file or directory", name,
			       name);
	return err_set(e, ERR_DENIED, -r, "exec: \"%.200s\": %s", name,
		       r == -EISDIR    ? "is a directory"
		       : r == -EACCES  ? "permission denied"
		       : r == -ENOEXEC ? "exec format error"
				       : strerror(-r));
}

static int load(struct task *t, const struct spec_process *p, struct err *e)
{
	struct walk w = task_walk(t);
	char name[PATH_ROOM];
	struct words args, env;
	struct path exe;
	int r = find_program(&w, p, &exe, name);

	if (r < 0)
		return cannot_start(p->args[0], r, e);
	words_init(&args, WORDS_MOST);
	words_init(&env, WORDS_MOST);
	r = add_words(&args, p->args, p->args_n);
	if (r == 0)
		r = add_words(&env, p->env, p->env_n);
	if (r == 0)
		r = task_load(t, &exe, name, &args, &env);
	words_fini(&args);
	words_fini(&env);
	path_unref(&exe);
	return r < 0 ? cannot_start(p->args[0], r, e) : 0;
}

/* ---- the rest ---- */

static int enter_cwd(struct task *t, const struct process_wish *w, struct err *e)
{
	struct walk from_root = task_walk(t);
	struct path cwd;
	int r;

	if (w->make_cwd) {
		r = place_make(w->root, w->spec->cwd, &cwd);
		if (r < 0 && r != -EROFS)
			return err_sys(e, -r, "make the directory '%s'", w->spec->cwd);
		if (r == 0)
			path_unref(&cwd);
	}
	r = walk(&from_root, w->spec->cwd, WALK_FOLLOW | WALK_DIRECTORY, &cwd);
	if (r == 0) {
		r = inode_may(cwd.dentry->inode, t->cred, MAY_EXEC);
		if (r == 0) {
			path_unref(&t->fs->cwd);
			t->fs->cwd = cwd;
		} else {
			path_unref(&cwd);
		}
	}
	return r < 0 ? err_sys(e, -r, "go to the directory '%s'", w->spec->cwd) : 0;
}

static int set_limits(struct process *p, const struct spec_process *s, struct err *e)
{
	for (size_t n = 0; n < s->rlimits_n; n++) {
		const struct spec_rlimit *l = &s->rlimits[n];

		if (l->resource >= RLIM_NLIMITS || l->soft > l->hard)
			return err_set(e, ERR_INVALID, EINVAL,
				       "config.json: process.rlimits: number %zu cannot be", n);
		p->limits[l->resource] = (struct task_limit){ l->soft, l->hard };
	}
	if (s->oom_score_adj_set)
		p->oom_score_adj = (int) s->oom_score_adj;
	return 0;
}

/* Kept and told by the guest's kernel, as when a program sets them; what the whole sandbox gets of
 * processors is the engine's. */
static int set_turns(struct task *t, const struct spec_scheduler *s, struct err *e)
{
	bool real_time = s && (s->policy == SCHED_FIFO || s->policy == SCHED_RR);

	if (!s)
		return 0;
	if (s->nice < -20 || s->nice > 19 ||
	    (real_time ? s->priority < 1 || s->priority > 99 : s->priority != 0))
		return err_set(e, ERR_INVALID, EINVAL,
			       "config.json: process.scheduler: nice %lld and priority %lld "
			       "cannot be together",
			       (long long) s->nice, (long long) s->priority);
	t->policy = s->policy;
	t->priority = (unsigned int) s->priority;
	t->nice = (int) s->nice;
	return 0;
}

static int fill(struct task *t, struct process_wish *w, struct err *e)
{
	int r = signals_clone(t, NULL, 0);

	if (r < 0)
		return err_sys(e, -r, "make a process");
	t->process->ended = w->ended;
	/* Before its first instruction; what it needs for that is not called. */
	t->filters = seccomp_filter_ref(w->filter);
	t->process->ended_arg = w->arg;
	if (w->spec->user.umask_set)
		t->fs->umask = w->spec->user.umask & 0777;
	t->personality = w->personality;
	r = set_limits(t->process, w->spec, e);
	if (r == 0)
		r = set_turns(t, w->spec->scheduler, e);
	if (r == 0)
		r = enter_cwd(t, w, e);
	return r < 0 ? r : load(t, w->spec, e);
}

/* With the ids that it has by now. */
static int make(struct process_wish *w, struct task **ret, struct err *e)
{
	struct task_first q = {
		.root = w->root, .comm = "atoll", .numbers = w->numbers, .container = w->container
	};
	struct task *t = NULL;
	int r = -ENOMEM;

	q.cred = cred_of(w->spec);
	q.files = q.cred ? descriptors_new() : NULL;
	if (q.files) {
		r = w->spec->terminal ? open_terminal(w, q.cred, q.files, e)
				      : open_three(w, q.cred, q.files, e);
		if (r == 0 && task_new_first(&q, &t) < 0)
			r = err_set(e, ERR_EXHAUSTED, ENOMEM, "make a process");
		descriptors_unref(q.files);
	} else {
		r = err_set(e, ERR_EXHAUSTED, ENOMEM, "make a process");
	}
	if (q.cred)
		cred_unref(q.cred);
	if (r == 0) {
		if (w->terminal)
			terminal_control(w->terminal, t->process);
		r = fill(t, w, e);
		if (r < 0)
			process_undo(t);
	}
	if (r < 0) {
		terminal_unref(TAKE(w->terminal));
		return r;
	}
	*ret = t;
	return 0;
}

int process_make(struct process_wish *w, struct task **ret, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(ARENA_MAX);
	const struct spec_process *given = w->spec;
	struct spec_process found;
	int r = users_find(given, w->root, &a, &found, e);

	w->spec = &found;
	if (r == 0)
		r = make(w, ret, e);
	w->spec = given;
	return r;
}

void process_undo(struct task *t)
{
	struct process *p = t->process;

	if (t->signals) {
		t->dying = true;
		signals_end(t);
		signals_end_process(p);
	}
	process_free(p);
}

int process_terminal(struct process_wish *w, struct file **ret_slave, struct err *e)
{
	const struct cred *who = cred_of(w->spec);
	int r = who ? make_terminal(w, who, ret_slave, e)
		    : err_set(e, ERR_EXHAUSTED, ENOMEM, "process.terminal: no memory");

	if (who)
		cred_unref(who);
	return r;
}
