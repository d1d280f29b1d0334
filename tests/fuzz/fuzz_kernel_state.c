/* SPDX-License-Identifier: Apache-2.0 */
/* The stream of a checkpoint, with pages of zeros: refused, or processes that go again. */
#include "kernel/state/state.h"

#include "kernel/fs/pty.h"
#include "kernel/task/task.h"
#include "kernel/vfs/names.h"
#include "kernel_run.h"

#define PAGES 64

static int given(const struct file *f)
{
	(void) f;
	return -1;
}

static struct file *give(unsigned int nr)
{
	(void) nr;
	return NULL;
}

static int page(struct state_in *in, uint64_t nr, void *to)
{
	if (nr >= in->pages)
		abort();
	memset(to, 0, PAGE_SIZE);
	return 0;
}

static void mount_devpts(const struct kernel_run *k)
{
	struct super *s = devpts_new(&(struct devpts_options){ .mode = 0620, .ptmx_mode = 0666 });
	struct path at;

	if (!s || names_create(&k->walk, "/pts", S_IFDIR | 0755, 0, NULL) < 0 ||
	    walk(&k->walk, "/pts", WALK_FOLLOW, &at) < 0 ||
	    mount_add(&at, s->root, 0, "devpts", NULL) < 0)
		abort();
	path_unref(&at);
	super_leave(s);
}

static void body(struct kernel_run *k)
{
	const struct state_host h = {
		.root = &k->top, .hostname = "", .given = given, .give = give
	};
	struct state_in in = { .at = k->data, .left = k->left, .pages = PAGES, .page = page };
	char why[STATE_WORDS];

	mount_devpts(k);
	if (state_load(&h, &in, why) < 0 ? !why[0] || tasks_count() != 0 : tasks_count() == 0)
		abort();
	drop_tasks();
	drop_ipc();
	if (tasks_count() != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	kernel_run(data, size, body);
	return 0;
}
