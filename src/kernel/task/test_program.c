/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/task/program.h"

#include <asm/fcntl.h>
#include <linux/auxvec.h>
#include <linux/elf-em.h>
#include <linux/elf.h>

#include "kernel/core/heap.h"
#include "kernel/fs/memfs.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/space.h"
#include "kernel/mm/uio.h"
#include "kernel/platform/sim/test_run.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/names.h"

static struct cred root_cred = { .effective = UINT64_MAX };
static struct path top;
static const struct space_limits wide = { UINT64_MAX, UINT64_MAX, 8 << 20, UINT64_MAX, 65530 };

/* A file of the kernel's with these bytes and mode. */
static void file(const char *name, const void *bytes, size_t n, uint32_t mode)
{
	struct walk w = { .root = &top, .start = &top, .who = &root_cred };
	struct vfs_change c = { .what = ATTR_SIZE, .size = n };
	struct file *f;

	CHECK(names_open(&w, name, O_CREAT | O_WRONLY | O_TRUNC, mode, &f) == 0);
	CHECK(inode_change(f->inode, &root_cred, &c) == 0);
	CHECK(pager_write(&f->inode->pager, 0, bytes, n) == (int64_t) n);
	c = (struct vfs_change){ .what = ATTR_MODE, .mode = mode };
	CHECK(inode_change(f->inode, &root_cred, &c) == 0);
	file_unref(f);
}

struct tiny {
	struct elf64_hdr head;
	struct elf64_phdr parts[4];
	char interpreter[16];
	char code[0x1000];
};

/* Code at 0x1000, data and zeros at 0x3000; with the name of an interpreter or without. */
static struct tiny tiny(uint16_t type, uint64_t base, const char *interpreter)
{
	struct tiny t = {
		.head = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1 },
			  .e_type = type,
			  .e_machine = EM_X86_64,
			  .e_version = 1,
			  .e_entry = base + 0x1010,
			  .e_phoff = offsetof(struct tiny, parts),
			  .e_ehsize = sizeof(struct elf64_hdr),
			  .e_phentsize = sizeof(struct elf64_phdr),
			  .e_phnum = interpreter ? 4 : 3 },
		.parts = { { .p_type = PT_LOAD,
			     .p_flags = PF_R | PF_X,
			     .p_offset = 0,
			     .p_vaddr = base + 0x1000,
			     .p_filesz = 0x400,
			     .p_memsz = 0x400 },
			   { .p_type = PT_LOAD,
			     .p_flags = PF_R | PF_W,
			     .p_offset = 0x400,
			     .p_vaddr = base + 0x3400,
			     .p_filesz = 0x100,
			     .p_memsz = 0x2000 },
			   { .p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W },
			   { .p_type = PT_INTERP,
			     .p_offset = offsetof(struct tiny, interpreter),
			     .p_filesz = interpreter ? strlen(interpreter) + 1 : 0 } },
	};

	memset(t.code, 0x77, sizeof(t.code));
	if (interpreter)
		memcpy(t.interpreter, interpreter, strlen(interpreter) + 1);
	return t;
}

static struct words args, env;
static unsigned long fail_at; /* the allocation of program_load() that fails */

static int load(const char *name, struct space *s, struct program *p)
{
	struct walk w = { .root = &top, .start = &top, .who = &root_cred };
	struct path exe;
	int r = walk(&w, name, WALK_FOLLOW, &exe);
	struct program_request q = { .walk = &w,
				     .exe = &exe,
				     .name = name,
				     .arguments = &args,
				     .environment = &env,
				     .hardware = 0x1234 };

	words_fini(&args);
	words_fini(&env);
	words_init(&args, 100000);
	words_init(&env, 100000);
	CHECK(words_add(&args, "zero", 4) == 0 && words_add(&args, "one", 3) == 0);
	CHECK(words_add(&env, "A=b", 3) == 0);
	if (r < 0)
		return r;
	r = program_may(&exe, &root_cred);
	heap_fail_at(fail_at);
	if (r == 0)
		r = program_load(s, &q, p);
	heap_fail_at(0);
	path_unref(&exe);
	return r;
}

static uint64_t word(struct space *s, uint64_t at)
{
	uint64_t v = 0xbad;

	CHECK(copy_in(s, &v, uva(at), sizeof(v)) == 0);
	return v;
}

static const char *text(struct space *s, uint64_t at)
{
	static char t[400];

	return copy_text(s, t, uva(at), sizeof(t)) < 0 ? "?" : t;
}

static uint64_t aux(struct space *s, const struct program *p, uint64_t type)
{
	uint64_t at = p->stack + 8 * (1 + word(s, p->stack) + 1);

	while (word(s, at))
		at += 8;
	for (at += 8; word(s, at) != AT_NULL; at += 16) {
		if (word(s, at) == type)
			return word(s, at + 8);
	}
	return 0xbad;
}

static void alone(void)
{
	struct tiny t = tiny(ET_EXEC, 0x400000, NULL);
	struct space *s = space_new(&wide);
	struct program p;
	unsigned char c = 0;

	file("/alone", &t, sizeof(t), 0755);
	CHECK(load("/alone", s, &p) == 0);
	CHECK(p.entry == 0x401010 && p.brk_start == 0x406000 && p.stack % 16 == 0);
	CHECK_STR(p.comm, "alone");
	CHECK(word(s, p.stack) == 2);
	CHECK_STR(text(s, word(s, p.stack + 8)), "zero");
	CHECK_STR(text(s, word(s, p.stack + 16)), "one");
	CHECK(word(s, p.stack + 24) == 0 && word(s, p.stack + 40) == 0);
	CHECK_STR(text(s, word(s, p.stack + 32)), "A=b");
	CHECK(aux(s, &p, AT_PHDR) == 0x401000 + offsetof(struct tiny, parts) &&
	      aux(s, &p, AT_PHNUM) == 3);
	CHECK(aux(s, &p, AT_ENTRY) == 0x401010 && aux(s, &p, AT_BASE) == 0 &&
	      aux(s, &p, AT_HWCAP) == 0x1234);
	CHECK(aux(s, &p, AT_PAGESZ) == 4096 && aux(s, &p, AT_SECURE) == 0);
	CHECK(aux(s, &p, AT_MINSIGSTKSZ) > 1024 && aux(s, &p, AT_SYSINFO_EHDR) == 0xbad);
	CHECK_STR(text(s, aux(s, &p, AT_EXECFN)), "/alone");
	CHECK_STR(text(s, aux(s, &p, AT_PLATFORM)), "x86_64");
	CHECK(word(s, aux(s, &p, AT_RANDOM)) != 0);
	/* Bytes of the file, then zeros to the end. */
	CHECK(word(s, 0x4034f8) == 0x7777777777777777 && word(s, 0x403500) == 0 &&
	      word(s, 0x4053f8) == 0);
	CHECK(copy_out(s, uva(0x401010), &c, 1) == -EFAULT &&
	      copy_out(s, uva(0x403600), &c, 1) == 0);
	CHECK(space_fault(s, 0x401010, PLAT_EXEC) == FAULT_DONE);
	CHECK(space_fault(s, p.stack, PLAT_EXEC) == FAULT_DENIED);
	path_unref(&p.exe);
	space_unref(s);
}

static void interpreted(void)
{
	struct tiny ld = tiny(ET_DYN, 0, NULL), t = tiny(ET_DYN, 0, "/lib/ld");
	struct walk w = { .root = &top, .start = &top, .who = &root_cred };
	struct space *s = space_new(&wide);
	struct program p;

	file("/pie", &t, sizeof(t), 0755);
	CHECK(load("/pie", s, &p) == -ENOENT);
	space_unref(s);
	CHECK(names_create(&w, "/lib", S_IFDIR | 0755, 0, NULL) == 0);
	file("/lib/ld", "no program", 10, 0755);
	s = space_new(&wide);
	CHECK(load("/pie", s, &p) == -ELIBBAD);
	space_unref(s);
	file("/lib/ld", &ld, sizeof(ld), 0755);
	s = space_new(&wide);
	CHECK(load("/pie", s, &p) == 0);
	uint64_t base = aux(s, &p, AT_BASE), own = aux(s, &p, AT_ENTRY);

	CHECK(p.entry == base + 0x1010 && own != p.entry && own % PAGE_SIZE == 0x10);
	CHECK(space_fault(s, p.entry, PLAT_EXEC) == FAULT_DONE &&
	      space_fault(s, own, PLAT_EXEC) == FAULT_DONE);
	path_unref(&p.exe);
	space_unref(s);
	/* Not where it was the last time. */
	s = space_new(&wide);
	CHECK(load("/pie", s, &p) == 0 && aux(s, &p, AT_ENTRY) != own &&
	      aux(s, &p, AT_BASE) != base);
	path_unref(&p.exe);
	space_unref(s);
}

static const char *argument(struct space *s, const struct program *p, uint64_t n)
{
	return text(s, word(s, p->stack + 8 + 8 * n));
}

static void scripts(void)
{
	static const char first[] = "#! /alone  -x  y \nrest", second[] = "#!/first\n",
			  circle[] = "#!/circle\n";
	static const char nothing[] = "#!   \n", plain[] = "echo";
	char cut[300];
	struct space *s = space_new(&wide);
	struct program p;

	file("/first", first, sizeof(first) - 1, 0755);
	file("/second", second, sizeof(second) - 1, 0755);
	file("/circle", circle, sizeof(circle) - 1, 0755);
	file("/nothing", nothing, sizeof(nothing) - 1, 0755);
	file("/plain", plain, sizeof(plain) - 1, 0755);
	file("/hidden", first, sizeof(first) - 1, 0644);
	CHECK(load("/first", s, &p) == 0 && word(s, p.stack) == 4);
	CHECK_STR(argument(s, &p, 0), "/alone");
	CHECK_STR(argument(s, &p, 1), "-x  y");
	CHECK_STR(argument(s, &p, 2), "/first");
	CHECK_STR(argument(s, &p, 3), "one");
	CHECK_STR(p.comm, "first");
	CHECK_STR(text(s, aux(s, &p, AT_EXECFN)), "/first");
	path_unref(&p.exe);
	space_unref(s);
	s = space_new(&wide);
	CHECK(load("/second", s, &p) == 0 && word(s, p.stack) == 5);
	CHECK_STR(argument(s, &p, 2), "/first");
	CHECK_STR(argument(s, &p, 3), "/second");
	path_unref(&p.exe);
	space_unref(s);
	s = space_new(&wide);
	CHECK(load("/circle", s, &p) == -ELOOP && load("/nothing", s, &p) == -ENOEXEC);
	CHECK(load("/plain", s, &p) == -ENOEXEC && load("/hidden", s, &p) == -EACCES);
	CHECK(load("/lib", s, &p) == -EACCES);
	/* A line longer than what is read: good as long as the interpreter's name is whole. */
	memset(cut, 'a', sizeof(cut));
	memcpy(cut, "#!/alone ", 9);
	file("/cut", cut, sizeof(cut), 0755);
	CHECK(load("/cut", s, &p) == 0 && strlen(argument(s, &p, 1)) == PROGRAM_LINE - 9);
	path_unref(&p.exe);
	memset(cut + 2, 'a', sizeof(cut) - 2);
	file("/cut", cut, sizeof(cut), 0755);
	CHECK(load("/cut", s, &p) == -ENOEXEC);
	space_unref(s);
}

/* Whatever a byte of the headers is: an errno or a program, and nothing else happens. */
static void nonsense(void)
{
	static const unsigned char bytes[] = { 0, 1, 0x7f, 0x80, 0xff };
	uint64_t used = frame_used();
	struct program p;

	for (size_t at = 0; at < offsetof(struct tiny, interpreter); at++) {
		for (size_t n = 0; n < sizeof(bytes); n++) {
			struct tiny t = tiny(at % 2 ? ET_DYN : ET_EXEC, 0x400000,
					     at % 3 ? "/lib/ld" : NULL);
			struct space *s = space_new(&wide);
			int r;

			((unsigned char *) &t)[at] = bytes[n];
			file("/odd", &t, sizeof(t), 0755);
			r = load("/odd", s, &p);
			CHECK(r == 0 || (r < 0 && r > -200));
			if (r == 0)
				path_unref(&p.exe);
			space_unref(s);
		}
	}
	for (unsigned long n = 1; n < 60; n++) {
		struct space *s = space_new(&wide);
		int r;

		fail_at = n;
		r = load("/first", s, &p);
		CHECK(r == 0 || r == -ENOMEM);
		if (r == 0)
			path_unref(&p.exe);
		space_unref(s);
	}
	fail_at = 0;
	CHECK(frame_used() <= used + 2);
}

static void large_words(void)
{
	struct words w;

	words_init(&w, 1000);
	for (int n = 0; n < 100; n++)
		CHECK(words_add(&w, "123456789", 9) == 0);
	CHECK(words_add(&w, "", 0) == -E2BIG && words_put_first(&w, "x", 1) == -E2BIG &&
	      w.count == 100);
	words_drop_first(&w);
	CHECK(words_put_first(&w, "first", 5) == 0 && w.used == 996);
	CHECK_STR(w.bytes, "first");
	CHECK_STR(w.bytes + 6, "123456789");
	words_fini(&w);
}

static void all(void *arg)
{
	struct super *s = memfs_new(&(struct memfs_options){ .mode = 0755 });
	struct mount_space *mounts = mount_space_new(s, 0, "tmpfs");

	(void) arg;
	super_leave(s);
	top = (struct path){ mounts->root, mounts->root->root };
	path_ref(&top);
	alone();
	interpreted();
	scripts();
	nonsense();
	large_words();
	words_fini(&args);
	words_fini(&env);
	path_unref(&top);
	mount_space_unref(mounts);
	CHECK(frame_used() <= 1); /* the page of zeros */
}

int main(void)
{
	return test_run(8192, all);
}
