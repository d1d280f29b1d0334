/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/task/program.h"

#include <linux/auxvec.h>
#include <linux/elf-em.h>
#include <linux/elf.h>
#include <linux/mman.h>

#include "kernel/core/heap.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/space.h"
#include "kernel/mm/uio.h"
#include "kernel/platform/platform.h"
#include "kernel/task/cred.h"
#include "kernel/task/signal_frame.h"
#include "kernel/vfs/notify.h"

#define HEADERS_MOST	 128 /* program headers; 64 KiB are Linux's limit, no linker makes so many */
#define INTERPRETER_MOST PATH_ROOM		/* PT_INTERP's text */
#define STACK_FIRST	 ((uint64_t) 128 << 10) /* mapped at once; the rest comes as it is used */
#define STACK_GAP                                                                                  \
	((uint64_t) 128 << 20) /* at least so far below it are the mappings: Linux's MIN_GAP */
/* How far things are moved at random, in bits of pages: as x86-64 Linux does. */
#define STACK_RANDOM	22
#define MAP_RANDOM	28
#define FORESEE_READ	((uint64_t) 1 << 20) /* of each part */
#define FORESEE_WRITTEN ((uint64_t) 384 << 10)
#define CLOCK_TICKS	100
#define PLATFORM	"x86_64"

int program_may(const struct path *exe, const struct cred *who)
{
	const struct inode *i = exe->dentry->inode;

	if (!inode_is(i, S_IFREG) || exe->mount->flags & MNT_NOEXEC)
		return -EACCES;
	return inode_may(i, who, MAY_EXEC);
}

/* ---- where things stand ---- */

static uint64_t randomly(const struct program_request *q, unsigned int bits)
{
	uint64_t n;

	if (q->fixed)
		return 0;
	plat_random(&n, sizeof(n));
	return (n & (((uint64_t) 1 << bits) - 1)) << PAGE_SHIFT;
}

/* Two thirds of the way up: Linux's ELF_ET_DYN_BASE. */
static uint64_t program_base(const struct program_request *q)
{
	return page_down(plat_user_high() / 3 * 2) + randomly(q, MAP_RANDOM);
}

/* The end of the stack; mappings are placed below what it may grow to. */
static uint64_t place_stack(struct space *s, const struct program_request *q)
{
	uint64_t end = plat_user_high() - randomly(q, STACK_RANDOM);
	uint64_t most = min_of(s->limits.stack, plat_user_high() / 6 * 5),
		 gap = max_of(most, STACK_GAP);

	s->top = page_down(end - gap) - randomly(q, MAP_RANDOM);
	return end;
}

/* ---- reading ---- */

/* All of n bytes, or -ENOEXEC where the file is shorter. */
static int read_at(const struct path *p, uint64_t at, void *to, size_t n)
{
	int64_t got = pager_read(&p->dentry->inode->pager, at, to, n);

	return got < 0 ? (int) got : (size_t) got < n ? -ENOEXEC : 0;
}

/* ---- scripts ---- */

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

/* "#! interpreter one argument": the arguments become those, the script's name, the rest. *name is
 * the interpreter's from then on, in `own`. */
static int script(const struct program_request *q, const char *line, size_t n, const char **name,
		  char own[static PROGRAM_LINE], struct path *exe)
{
	const char *at = line + 2, *end = line, *interpreter, *argument = NULL;
	size_t len;
	int r;

	while (end < line + n && *end != '\n' && *end)
		end++;
	/* A line that does not end in what was read may be cut within the interpreter's name. */
	if (end == line + n) {
		const char *word = at;

		while (word < end && blank(*word))
			word++;
		while (word < end && !blank(*word))
			word++;
		if (word == end)
			return -ENOEXEC;
	}
	while (end > at && blank(end[-1]))
		end--;
	while (at < end && blank(*at))
		at++;
	if (at == end)
		return -ENOEXEC;
	interpreter = at;
	while (at < end && !blank(*at))
		at++;
	len = (size_t) (at - interpreter);
	while (at < end && blank(*at))
		at++;
	if (at < end)
		argument = at;
	words_drop_first(q->arguments);
	r = words_put_first(q->arguments, *name, strlen(*name));
	if (r == 0 && argument)
		r = words_put_first(q->arguments, argument, (size_t) (end - argument));
	if (r == 0)
		r = words_put_first(q->arguments, interpreter, len);
	if (r < 0)
		return r;
	memcpy(own, interpreter, len);
	own[len] = 0;
	*name = own;
	path_unref(exe);
	r = walk(q->walk, *name, WALK_FOLLOW, exe);
	if (r == 0)
		r = program_may(exe, q->walk->who);
	return r;
}

/* ---- ELF ---- */

struct image {
	const struct path *file;
	struct elf64_hdr head;
	struct elf64_phdr parts[HEADERS_MOST];
	uint64_t bias;	     /* what its addresses are off by */
	uint64_t first, end; /* where it stands */
	uint64_t headers_at; /* AT_PHDR, or 0 */
	bool stack_executes;
};

static int read_image(struct image *m, const struct path *file)
{
	const struct elf64_hdr *h = &m->head;
	int r;

	m->file = file;
	r = read_at(file, 0, &m->head, sizeof(m->head));
	if (r < 0)
		return r;
	if (memcmp(h->e_ident, ELFMAG, SELFMAG) != 0 || h->e_ident[EI_CLASS] != ELFCLASS64 ||
	    h->e_ident[EI_DATA] != ELFDATA2LSB || h->e_machine != EM_X86_64 ||
	    (h->e_type != ET_EXEC && h->e_type != ET_DYN) ||
	    h->e_phentsize != sizeof(struct elf64_phdr) || h->e_phnum == 0 ||
	    h->e_phnum > HEADERS_MOST)
		return -ENOEXEC;
	return read_at(file, h->e_phoff, m->parts, h->e_phnum * sizeof(m->parts[0]));
}

/* Where all its parts together stand: [first, end), page by page. */
static int extent(struct image *m)
{
	uint64_t end;

	m->first = UINT64_MAX;
	m->stack_executes = true; /* without PT_GNU_STACK: as old programs expect */
	for (size_t n = 0; n < m->head.e_phnum; n++) {
		const struct elf64_phdr *p = &m->parts[n];

		if (p->p_type == PT_GNU_STACK)
			m->stack_executes = p->p_flags & PF_X;
		if (p->p_type != PT_LOAD)
			continue;
		if (p->p_filesz > p->p_memsz || !uva_end(uva(p->p_vaddr), p->p_memsz, &end) ||
		    end > plat_user_high() || (p->p_vaddr - p->p_offset) & (PAGE_SIZE - 1))
			return -ENOEXEC;
		m->first = min_of(m->first, page_down(p->p_vaddr));
		m->end = max_of(m->end, page_up(end));
	}
	return m->first < m->end ? 0 : -ENOEXEC;
}

static unsigned int prot_of(const struct elf64_phdr *p)
{
	return (p->p_flags & PF_R ? PROT_READ : 0u) | (p->p_flags & PF_W ? PROT_WRITE : 0u) |
	       (p->p_flags & PF_X ? PROT_EXEC : 0u);
}

/* The pages of [at, at + n) can be written to, or why not; otherwise: for other reasons than that
 * there is no memory. */
static int pages_had(struct space *s, uint64_t at, size_t n, int otherwise)
{
	for (uint64_t page = page_down(at); page < at + n; page += PAGE_SIZE) {
		enum space_fault f = space_frame(s, page, PLAT_WRITE) == FRAME_NONE
					     ? space_fault(s, page, PLAT_WRITE)
					     : FAULT_DONE;

		if (f != FAULT_DONE)
			return f == FAULT_MEMORY ? -ENOMEM : otherwise;
	}
	return 0;
}

static int map_fixed(struct space *s, uint64_t at, uint64_t len, unsigned int prot, struct pager *p,
		     uint64_t offset, struct dentry *name)
{
	struct space_mapping m = { .at = at,
				   .len = len,
				   .prot = prot,
				   .pager = p,
				   .offset = offset,
				   .name = name,
				   .fixed = true };
	uint64_t got;

	return space_map(s, &m, &got);
}

/* What is sure to be touched of a part, before it is: its text, and what it writes to when it
 * starts, unless that is much. */
static int foresee(struct space *s, const struct elf64_phdr *p, uint64_t from, uint64_t to)
{
	if (p->p_flags & PF_W && to - from > FORESEE_WRITTEN)
		return 0;
	return space_foresee(s, from, min_of(to, from + FORESEE_READ));
}

/* One part: its bytes of the file, zeros behind them to the end of its last page, memory after
 * that. */
static int map_part(struct space *s, const struct image *m, const struct elf64_phdr *p)
{
	uint64_t start = p->p_vaddr + m->bias, at = page_down(start);
	uint64_t file_end = start + p->p_filesz, end = start + p->p_memsz;
	struct inode *i = m->file->dentry->inode;
	int r = 0;

	if (p->p_memsz == 0)
		return 0;
	if (p->p_filesz > 0)
		r = map_fixed(s, at, page_up(file_end) - at, prot_of(p), &i->pager,
			      page_down(p->p_offset), m->file->dentry);
	if (r == 0 && p->p_filesz > 0)
		r = foresee(s, p, at, page_up(file_end));
	if (r == 0 && p->p_filesz > 0 && p->p_memsz > p->p_filesz && p->p_flags & PF_W &&
	    file_end & (PAGE_SIZE - 1)) {
		size_t rest = (size_t) (page_up(file_end) - file_end);

		r = pages_had(s, file_end, rest, -ENOEXEC);
		if (r == 0)
			r = zero_out(s, uva(file_end), rest);
	}
	if (p->p_filesz == 0)
		file_end = at;
	if (r == 0 && page_up(end) > page_up(file_end))
		r = map_fixed(s, page_up(file_end), page_up(end) - page_up(file_end), prot_of(p),
			      NULL, 0, NULL);
	return r == -EFAULT ? -ENOEXEC : r;
}

static int map_image(struct space *s, struct image *m)
{
	int r = 0;

	for (size_t n = 0; r == 0 && n < m->head.e_phnum; n++) {
		const struct elf64_phdr *p = &m->parts[n];

		if (p->p_type != PT_LOAD)
			continue;
		r = map_part(s, m, p);
		if (m->head.e_phoff >= p->p_offset && m->head.e_phoff - p->p_offset < p->p_filesz)
			m->headers_at = m->head.e_phoff - p->p_offset + p->p_vaddr + m->bias;
	}
	return r;
}

/* Where an interpreter, or whoever may stand anywhere, is put: free, and whole. */
static int choose_bias(struct space *s, struct image *m, uint64_t wish)
{
	uint64_t len = m->end - m->first, at = wish;
	struct space_mapping probe = { .len = len, .prot = PROT_NONE };
	int r;

	if (!at) {
		/* Mapped once to find the place; its parts are mapped over it. */
		r = space_map(s, &probe, &at);
		if (r == 0)
			r = space_unmap(s, at, len);
		if (r < 0)
			return r;
	}
	if (at > plat_user_high() || len > plat_user_high() - at)
		return -ENOMEM;
	m->bias = at - m->first;
	return 0;
}

/* PT_INTERP's text into the heap; NULL: there is none. */
static int interpreter_of(const struct image *m, char **ret)
{
	*ret = NULL;
	for (size_t n = 0; n < m->head.e_phnum; n++) {
		const struct elf64_phdr *p = &m->parts[n];
		int r;

		if (p->p_type != PT_INTERP)
			continue;
		if (p->p_filesz < 2 || p->p_filesz > INTERPRETER_MOST)
			return -ENOEXEC;
		*ret = heap_alloc((size_t) p->p_filesz);
		if (!*ret)
			return -ENOMEM;
		r = read_at(m->file, p->p_offset, *ret, (size_t) p->p_filesz);
		if (r == 0 && (*ret)[p->p_filesz - 1] != 0)
			r = -ENOEXEC;
		if (r < 0) {
			heap_free(*ret);
			*ret = NULL;
		}
		return r;
	}
	return 0;
}

static int load_interpreter(struct space *s, const struct program_request *q, const char *text,
			    struct image *m, struct path *file)
{
	int r = walk(q->walk, text, WALK_FOLLOW, file);

	if (r < 0)
		return r;
	r = program_may(file, q->walk->who);
	if (r == 0) {
		r = read_image(m, file);
		notify_program(file->dentry);
	}
	if (r == 0)
		r = extent(m);
	if (r == 0)
		r = m->head.e_type == ET_DYN ? choose_bias(s, m, 0) : 0;
	if (r == 0)
		r = map_image(s, m);
	return r == -ENOEXEC ? -ELIBBAD : r;
}

/* ---- the stack ---- */

struct stack {
	struct space *space;
	uint64_t sp;
	int failed;
};

static uint64_t push(struct stack *k, const void *bytes, size_t n)
{
	if (n > k->sp - plat_user_low())
		k->failed = -E2BIG;
	if (k->failed)
		return 0;
	k->sp -= n;
	/* Or it is beyond what the stack may grow to. */
	k->failed = pages_had(k->space, k->sp, n, -E2BIG);
	if (!k->failed && copy_out(k->space, uva(k->sp), bytes, n) < 0)
		k->failed = -E2BIG;
	return k->sp;
}

/* Pointers to words that stand one behind the other at `at`, and the NULL behind them. */
static size_t pointers(uint64_t *to, const struct words *w, uint64_t at)
{
	size_t off = 0;

	for (uint32_t n = 0; n < w->count; n++) {
		*to++ = at + off;
		off += strlen(w->bytes + off) + 1;
	}
	*to = 0;
	return w->count + 1;
}

/* From the top down: texts, randomness, then argc, argv, envp and the auxiliary vector at the end.
 */
static int make_stack(struct space *s, const struct program_request *q, const char *name,
		      const struct image *m, uint64_t base, uint64_t end, struct program *ret)
{
	const struct words *args = q->arguments, *env = q->environment;
	const struct cred *who = q->walk->who;
	bool secure = false;
	struct stack k = { .space = s, .sp = end };
	size_t slots = 1 + args->count + 1 + env->count + 1 + PROGRAM_AUXILIARY, n = 0, vector;
	unsigned char random[16];
	uint64_t *table, executed, platform, randomness;
	struct space_mapping map = { .at = k.sp - STACK_FIRST,
				     .len = STACK_FIRST,
				     .prot = PROT_READ | PROT_WRITE |
					     (m->stack_executes ? PROT_EXEC : 0),
				     .flags = VMA_GROWSDOWN,
				     .fixed = true,
				     .noreplace = true };
	uint64_t at;
	int r = q->become ? q->become(q->become_arg, &ret->exe, &who, &secure) : 0;

	if (r == 0)
		r = space_map(s, &map, &at);
	if (r < 0)
		return r;
	plat_random(random, sizeof(random));
	(void) push(&k, &(uint64_t){ 0 }, sizeof(uint64_t));
	executed = push(&k, name, strlen(name) + 1);
	ret->environment_end = k.sp;
	ret->environment_start = push(&k, env->bytes, env->used);
	ret->arguments_end = k.sp;
	ret->arguments_start = push(&k, args->bytes, args->used);
	k.sp &= ~(uint64_t) 15;
	platform = push(&k, PLATFORM, sizeof(PLATFORM));
	randomness = push(&k, random, sizeof(random));
	k.sp &= ~(uint64_t) 15;
	table = k.failed ? NULL : heap_alloc(slots * sizeof(*table));
	if (!table)
		return k.failed ? k.failed : -ENOMEM;
	table[n++] = args->count;
	n += pointers(table + n, args, ret->arguments_start);
	n += pointers(table + n, env, ret->environment_start);
	vector = n;
#define AUX(type, value) (table[n++] = (type), table[n++] = (value))
	if (plat_vdso())
		AUX(AT_SYSINFO_EHDR, plat_vdso());
	AUX(AT_MINSIGSTKSZ, signal_frame_most());
	AUX(AT_HWCAP, q->hardware);
	AUX(AT_PAGESZ, PAGE_SIZE);
	AUX(AT_CLKTCK, CLOCK_TICKS);
	if (m->headers_at) {
		AUX(AT_PHDR, m->headers_at);
		AUX(AT_PHENT, sizeof(struct elf64_phdr));
		AUX(AT_PHNUM, m->head.e_phnum);
	}
	AUX(AT_BASE, base);
	AUX(AT_FLAGS, 0);
	AUX(AT_ENTRY, ret->entry);
	AUX(AT_UID, who->uid);
	AUX(AT_EUID, who->euid);
	AUX(AT_GID, who->gid);
	AUX(AT_EGID, who->egid);
	AUX(AT_SECURE, secure);
	AUX(AT_RANDOM, randomness);
	AUX(AT_EXECFN, executed);
	AUX(AT_PLATFORM, platform);
	AUX(AT_NULL, 0);
#undef AUX
	ret->auxiliary_count = n - vector;
	memcpy(ret->auxiliary, table + vector, (n - vector) * sizeof(*table));
	/* argc stands at a multiple of 16: AMD64 ABI 3.4.1. */
	if (n % 2)
		k.sp -= sizeof(*table);
	ret->stack = push(&k, table, n * sizeof(*table));
	heap_free(table);
	ret->stack_start = ret->stack;
	return k.failed;
}

/* ---- all of it ---- */

static void note_parts(const struct image *m, struct program *ret)
{
	ret->code_start = UINT64_MAX;
	for (size_t n = 0; n < m->head.e_phnum; n++) {
		const struct elf64_phdr *p = &m->parts[n];
		uint64_t start = p->p_vaddr + m->bias;

		if (p->p_type != PT_LOAD)
			continue;
		if (p->p_flags & PF_X) {
			ret->code_start = min_of(ret->code_start, start);
			ret->code_end = max_of(ret->code_end, start + p->p_filesz);
		}
		ret->data_start = max_of(ret->data_start, start);
		ret->data_end = max_of(ret->data_end, start + p->p_filesz);
	}
	ret->brk_start = m->end + m->bias;
}

static void name_of(char comm[static 16], const char *name)
{
	const char *last = name;
	size_t n;

	for (const char *at = name; *at; at++) {
		if (*at == '/')
			last = at + 1;
	}
	n = min_of(strlen(last), (size_t) 15);
	memcpy(comm, last, n);
	comm[n] = 0;
}

/* Both images are large: they stand in the heap, not on a fiber's stack. */
struct loading {
	struct image program, interpreter;
	struct path interpreter_file;
	char *interpreter_name;
};

static int load_elf(struct space *s, const struct program_request *q, const char *name,
		    struct loading *l, struct program *ret)
{
	struct image *m = &l->program;
	uint64_t base = 0, stack_end = place_stack(s, q);
	int r = read_image(m, &ret->exe);

	if (r == 0)
		r = extent(m);
	if (r == 0)
		r = interpreter_of(m, &l->interpreter_name);
	/* Alone and position independent (static PIE, ld.so itself): among the mappings. */
	if (r == 0 && m->head.e_type == ET_DYN)
		r = choose_bias(s, m, l->interpreter_name ? program_base(q) : 0);
	if (r == 0)
		r = map_image(s, m);
	ret->entry = m->head.e_entry + m->bias;
	if (r == 0 && l->interpreter_name) {
		r = load_interpreter(s, q, l->interpreter_name, &l->interpreter,
				     &l->interpreter_file);
		base = l->interpreter.bias;
	}
	if (r == 0)
		r = make_stack(s, q, name, m, base, stack_end, ret);
	if (r < 0)
		return r;
	if (l->interpreter_name)
		ret->entry = l->interpreter.head.e_entry + base;
	note_parts(m, ret);
	s->brk_start = s->brk = ret->brk_start;
	return 0;
}

int program_load(struct space *s, const struct program_request *q, struct program *ret)
{
	const char *name = q->name;
	char line[PROGRAM_LINE], interpreter[PROGRAM_LINE];
	struct loading *l;
	int64_t n = 0;
	int r = 0;

	*ret = (struct program){ .exe = *q->exe };
	path_ref(&ret->exe);
	name_of(ret->comm, name);
	for (int scripts = 0; r == 0; scripts++) {
		pager_around(&ret->exe.dentry->inode->pager, 0);
		n = pager_read(&ret->exe.dentry->inode->pager, 0, line, sizeof(line));
		notify_program(ret->exe.dentry);
		if (n < 0)
			r = (int) n;
		else if (n < 2 || line[0] != '#' || line[1] != '!')
			break;
		else
			r = scripts == PROGRAM_SCRIPTS
				    ? -ELOOP
				    : script(q, line, (size_t) n, &name, interpreter, &ret->exe);
	}
	l = r == 0 ? heap_alloc(sizeof(*l)) : NULL;
	if (r == 0)
		r = l ? load_elf(s, q, q->name, l, ret) : -ENOMEM;
	if (l) {
		heap_free(l->interpreter_name);
		path_unref(&l->interpreter_file);
		heap_free(l);
	}
	if (r < 0)
		path_unref(&ret->exe);
	return r;
}
