/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests whose guests live from their first program to their end: a root file system, programs
 * in it whose entries are functions of the test's, a process number 1 that runs one of them.
 */
#pragma once

#include <asm/fcntl.h>
#include <linux/elf-em.h>
#include <linux/elf.h>

#include "kernel/fs/memfs.h"
#include "kernel/mm/frame.h"
#include "kernel/platform/sim/test_run.h"
#include "kernel/task/cred.h"
#include "kernel/task/exec.h"
#include "kernel/task/serve.h"
#include "kernel/task/signal.h"
#include "kernel/task/task.h"
#include "kernel/vfs/names.h"

static struct cred root_cred = { .effective = CRED_ALL,
				 .permitted = CRED_ALL,
				 .bounding = CRED_ALL };
static struct path top;

/* An empty root; the caller's. */
static inline struct mount_space *life_root(void)
{
	struct super *s = memfs_new(&(struct memfs_options){ .mode = 0755 });
	struct mount_space *m = mount_space_new(s, 0, "tmpfs");

	super_leave(s);
	top = (struct path){ m->root, m->root->root };
	return m;
}

struct tiny {
	struct elf64_hdr head;
	struct elf64_phdr part;
};

/* A program whose entry is this function of the test's; memory of its own at DATA. */
#define DATA ((uint64_t) 0x500000)

static inline void program(const char *name, void (*main)(void *arg), uint32_t mode)
{
	struct tiny t = { .head = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1 },
				    .e_type = ET_EXEC,
				    .e_machine = EM_X86_64,
				    .e_entry = sim_entry(main),
				    .e_phoff = offsetof(struct tiny, part),
				    .e_phentsize = sizeof(struct elf64_phdr),
				    .e_phnum = 1 },
			  .part = { .p_type = PT_LOAD,
				    .p_flags = PF_R | PF_W,
				    .p_vaddr = DATA,
				    .p_filesz = sizeof(struct tiny),
				    .p_memsz = 0x40000 } };
	struct walk w = { .root = &top, .start = &top, .who = &root_cred };
	struct vfs_change c = { .what = ATTR_SIZE, .size = sizeof(t) };
	struct file *f;

	CHECK(names_open(&w, name, O_CREAT | O_WRONLY | O_TRUNC, 0755, &f) == 0);
	CHECK(inode_change(f->inode, &root_cred, &c) == 0);
	CHECK(pager_write(&f->inode->pager, 0, &t, sizeof(t)) == sizeof(t));
	f->inode->mode = S_IFREG | mode;
	file_unref(f);
}

static int init_status;

static inline void init_ended(struct process *p, int status, void *arg)
{
	CHECK(p->pid == 1 && p->thread_count == 0 && p->leader->state == TASK_ENDED);
	init_status = status;
	fiber_wake(arg);
}

/* Runs a process number 1 with this program until it ends: its status. */
static inline int run(void (*main)(void *arg))
{
	struct task_first q = { .cred = &root_cred, .root = &top, .comm = "test" };
	struct walk w = { .root = &top, .start = &top, .who = &root_cred };
	struct words args, env;
	struct path exe;
	struct task *t;
	size_t before;

	q.files = descriptors_new();
	program("/init", main, 0755);
	words_init(&args, 1000);
	words_init(&env, 1000);
	CHECK(words_add(&args, "init", 4) == 0 && walk(&w, "/init", WALK_FOLLOW, &exe) == 0);
	(void) frame_zero(); /* made when it is needed first */
	before = frame_used();
	CHECK(task_new_first(&q, &t) == 0);
	descriptors_unref(q.files);
	CHECK(signals_clone(t, NULL, 0) == 0);
	t->process->ended = init_ended;
	t->process->ended_arg = fiber_now();
	CHECK(task_load(t, &exe, "/init", &args, &env) == 0);
	CHECK(task_start(t) == 0);
	path_unref(&exe);
	words_fini(&args);
	words_fini(&env);
	init_status = -1;
	while (init_status == -1)
		fiber_park();
	CHECK(!pid_find(1) && !pid_find(2) && !process_init());
	CHECK(frame_used() == before);
	return init_status;
}
