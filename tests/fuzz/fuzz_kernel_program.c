/* SPDX-License-Identifier: Apache-2.0 */
/* A program, its interpreter and a script, all of the same bytes: an errno, or a first stack that
 * can be read, and nothing is left. */
#include <asm/fcntl.h>

#include "kernel/mm/space.h"
#include "kernel/mm/uio.h"
#include "kernel/task/program.h"
#include "kernel_run.h"

static void make(struct kernel_run *k, const char *name)
{
	struct vfs_change c = { .what = ATTR_SIZE, .size = k->left };
	struct file *f;

	if (names_open(&k->walk, name, O_CREAT | O_WRONLY, 0755, &f) < 0)
		abort();
	if (inode_change(f->inode, &kernel_root, &c) == 0)
		(void) !pager_write(&f->inode->pager, 0, k->data, k->left); /* as far as it fits */
	file_unref(f);
}

static void load(struct kernel_run *k)
{
	static const struct space_limits wide = { UINT64_MAX, UINT64_MAX, 8 << 20, UINT64_MAX,
						  1000 };
	struct space *s = space_new(&wide);
	struct words args, env;
	struct program p;
	struct path exe;

	make(k, "/a");
	make(k, "/b");
	words_init(&args, 4096);
	words_init(&env, 4096);
	if (!s || words_add(&args, "/a", 2) < 0 || walk(&k->walk, "/a", WALK_FOLLOW, &exe) < 0)
		abort();
	struct program_request q = {
		.walk = &k->walk, .exe = &exe, .name = "/a", .arguments = &args, .environment = &env
	};
	if (program_load(s, &q, &p) == 0) {
		uint64_t argc = 0;

		if (p.stack % 16 || copy_in(s, &argc, uva(p.stack), sizeof(argc)) < 0 ||
		    argc != args.count)
			abort();
		path_unref(&p.exe);
	}
	path_unref(&exe);
	words_fini(&args);
	words_fini(&env);
	space_unref(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	kernel_run(data, size < 100000 ? size : 100000, load);
	return 0;
}
