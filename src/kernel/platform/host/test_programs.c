/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Real programs on Atoll's kernel, each in its own stub: Debian's static busybox from an image of
 * EROFS, with a tmpfs over it. What they say and how they end is what Linux's own kernel gives.
 */
#include "kernel/platform/host/host.h"

#include <asm/fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/test.h"
#include "kernel/fs/devices.h"
#include "kernel/fs/erofs.h"
#include "kernel/fs/memfs.h"
#include "kernel/mm/frame.h"
#include "kernel/task/cred.h"
#include "kernel/task/exec.h"
#include "kernel/task/serve.h"
#include "kernel/task/signal.h"
#include "kernel/task/task.h"
#include "kernel/vfs/names.h"

#define RAM	 ((uint64_t) 65536)
#define SAID_MAX 60000

static struct cred root_cred = { .effective = CRED_ALL,
				 .permitted = CRED_ALL,
				 .bounding = CRED_ALL };
static struct path top;
static char place[] = "/tmp/programs-XXXXXX";

/* ---- the image ---- */

struct image {
	struct erofs_source source;
	uint8_t *bytes;
} image;

static int image_read(struct erofs_source *s, uint64_t at, void *to, size_t n)
{
	memcpy(to, container_of(s, struct image, source)->bytes + at, n);
	return 0;
}

static void image_release(struct erofs_source *s)
{
	(void) s; /* the next life has it, too */
}

static bool shell(const char *script)
{
	char *argv[] = { (char[]){ "sh" }, (char[]){ "-ec" }, strdup(script), place, NULL };
	int status = -1;
	pid_t pid;
	bool ok = argv[2] && posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ) == 0 &&
		  waitpid(pid, &status, 0) == pid && status == 0;

	free(argv[2]);
	return ok;
}

static bool make_image(void)
{
	char path[100];
	struct stat st;
	FILE *f;

	if (!mkdtemp(place) ||
	    !shell("cd $0; mkdir -p root/bin root/dev root/etc root/tmp; cp /bin/busybox root/bin;"
		   "for n in $(root/bin/busybox --list); do ln -s busybox root/bin/$n || :; done "
		   "2>/dev/null;"
		   "echo 'root:x:0:0:root:/:/bin/sh' >root/etc/passwd; chmod 1777 root/tmp;"
		   "mkfs.erofs -d0 --all-root image root >log 2>&1"))
		return false;
	(void) snprintf(path, sizeof(path), "%s/image", place);
	f = fopen(path, "re");
	if (!f || fstat(fileno(f), &st) < 0)
		return false;
	image.source = (struct erofs_source){ image_read, image_release, (uint64_t) st.st_size };
	image.bytes = mmap(NULL, (size_t) st.st_size, PROT_READ, MAP_PRIVATE, fileno(f), 0);
	(void) fclose(f);
	return image.bytes != MAP_FAILED && shell("rm -r $0");
}

/* ---- one life ---- */

static struct mount_space *root(void)
{
	struct super *lower, *upper, *tmp;
	struct mount_space *m;
	struct walk w = { .root = &top, .start = &top, .who = &root_cred };
	struct path at;
	struct mount *on;

	CHECK(erofs_new(&image.source, &lower) == 0);
	upper = memfs_new(&(struct memfs_options){ .below = lower->root->inode });
	super_leave(lower);
	m = mount_space_new(upper, 0, "overlay");
	super_leave(upper);
	top = (struct path){ m->root, m->root->root };
	tmp = memfs_new(&(struct memfs_options){ .mode = 0755 });
	CHECK(walk(&w, "/dev", WALK_FOLLOW, &at) == 0 &&
	      mount_add(&at, tmp->root, 0, "tmpfs", &on) == 0);
	super_leave(tmp);
	path_unref(&at);
	CHECK(walk(&w, "/dev", WALK_FOLLOW, &at) == 0 && devices_fill(&at, &root_cred) == 0);
	path_unref(&at);
	return m;
}

static int status;
static struct fiber *waits;

static void ended(struct process *p, int how, void *arg)
{
	(void) p;
	(void) arg;
	status = how;
	fiber_wake(waits);
}

static void add(struct words *w, const char *text)
{
	CHECK(words_add(w, text, strlen(text)) == 0);
}

/* Standard output and error are a file. */
static void open_three(struct descriptors *d)
{
	struct walk w = { .root = &top, .start = &top, .who = &root_cred };
	struct file *f;

	CHECK(names_open(&w, "/dev/null", O_RDONLY, 0, &f) == 0);
	CHECK(descriptors_put(d, 0, f, false) == 0);
	CHECK(names_open(&w, "/said", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0644, &f) == 0);
	file_ref(f);
	CHECK(descriptors_put(d, 1, f, false) == 0 && descriptors_put(d, 2, f, false) == 0);
}

static size_t read_said(char *to)
{
	struct walk w = { .root = &top, .start = &top, .who = &root_cred };
	struct path at;
	int64_t n;

	CHECK(walk(&w, "/said", 0, &at) == 0);
	n = pager_read(&at.dentry->inode->pager, 0, to, SAID_MAX);
	path_unref(&at);
	to[n < 0 ? 0 : n] = '\0';
	return n < 0 ? 0 : (size_t) n;
}

/* Runs `sh -c script` as process number 1: its status, as wait4 gives it, and what was said. */
static int run(const char *script, char *said)
{
	struct mount_space *m = root();
	struct walk w = { .root = &top, .start = &top, .who = &root_cred };
	struct task_first q = { .cred = &root_cred, .root = &top, .comm = "sh" };
	struct words args, env;
	struct path exe;
	struct task *t;

	q.files = descriptors_new();
	open_three(q.files);
	words_init(&args, 100000);
	words_init(&env, 1000);
	add(&args, "sh");
	add(&args, "-c");
	add(&args, script);
	add(&env, "PATH=/bin");
	CHECK(walk(&w, "/bin/sh", WALK_FOLLOW, &exe) == 0);
	CHECK(task_new_first(&q, &t) == 0);
	descriptors_unref(q.files);
	CHECK(signals_clone(t, NULL, 0) == 0);
	t->process->ended = ended;
	status = -1;
	waits = fiber_now();
	CHECK(task_load(t, &exe, "/bin/sh", &args, &env) == 0 && task_start(t) == 0);
	path_unref(&exe);
	words_fini(&args);
	words_fini(&env);
	while (status == -1)
		fiber_park();
	(void) read_said(said);
	mount_space_unref(m);
	return status;
}

static void says(const char *script, const char *what, int how)
{
	static char said[SAID_MAX + 1];
	int r = run(script, said);

	if (r != how || strcmp(said, what) != 0)
		(void) fprintf(stderr, "%s: %#x\n%s\n", script, (unsigned int) r, said);
	CHECK(r == how);
	CHECK_STR(said, what);
}

static void body(void *arg)
{
	(void) arg;
	says("echo hello", "hello\n", 0);
	says("exit 3", "", 3 << 8);
	says("echo $$; (exit 7); echo $?", "1\n7\n", 0);
	says("echo a b c | tr a-z A-Z | rev", "C B A\n", 0);
	says("for i in 3 1 2; do echo $i; done | sort -n | head -n 2", "1\n2\n", 0);
	says("cd /tmp; echo one >f; cat f f; ls -a; wc -c <f; rm f; ls", "one\none\n.\n..\nf\n4\n",
	     0);
	says("ls -l /bin/sh | cut -c1-10; stat -c '%F %a %s' /etc/passwd",
	     "lrwxrwxrwx\nregular file 644 26\n", 0);
	says("sh -c 'kill -9 $$'; echo $?; sh -c 'kill -TERM $$'; echo $?",
	     "Killed\n137\nTerminated\n143\n", 0);
	says("trap 'echo caught' USR1; kill -USR1 $$; echo after", "caught\nafter\n", 0);
	says("sleep 0.05 & p=$!; wait $p; echo $?; (sleep 100 & echo $! >/tmp/p); kill $(cat "
	     "/tmp/p)",
	     "0\n", 0);
	says("dd if=/dev/zero bs=1k count=300 2>/dev/null | md5sum",
	     "90aeded9922cf8946ea7858635493724  -\n", 0);
	says("nosuch", "sh: nosuch: not found\n", 127 << 8);
	host_stop();
	fiber_exit();
}

int main(void)
{
	struct fiber *f;
	struct err e = {};
	int r = -1;

	if (!make_image()) {
		(void) fprintf(stderr, "no image could be made\n");
		return 1;
	}
	r = host_begin(RAM, true, &e);
	if (r < 0) {
		(void) fprintf(stderr, "%s\n", e.msg);
		return e.kind == ERR_UNSUPPORTED ? 77 : 1;
	}
	CHECK(frame_init(RAM) == 0);
	CHECK(sched_spawn(body, NULL, &f) == 0);
	host_run();
	host_end();
	frame_fini();
	return test_done();
}
