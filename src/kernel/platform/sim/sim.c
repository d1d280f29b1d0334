/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/platform/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "kernel/core/fiber.h"
#include "kernel/core/sched.h"

#define USER_LOW     (uint64_t) 0x10000
#define USER_HIGH    ((uint64_t) 1 << 46)
#define GUARD	     4096
#define IN_HANDLER   (uint64_t) 0x10002
#define BEGINNING    (3600 * NSEC_PER_SEC)
#define COARSE	     ((nsec_t) 4000000)
#define SIM_FP	     (512 + 64) /* XSAVE's least */
#define SIM_KNOWN    512
#define SIM_NAMES    16
#define SYS_READLINK 89

/* A space: what is mapped, in an array of pieces without order; tests' spaces are small. */
struct piece {
	uint64_t at, frame;
	unsigned int prot;
};

struct plat_space {
	struct piece *pieces;
	size_t used, room;
};

struct plat_user {
	struct plat_space *space;
	struct plat_regs regs;
	struct fiber *self;   /* the guest's own stack */
	struct fiber *kernel; /* who serves it, while it runs */
	struct plat_event event;
	bool begun, kicked;
	unsigned char fp[SIM_FP];
	struct {
		bool is;
		uint32_t answer;
	} known[SIM_KNOWN];
	struct sim_name {
		uint64_t names; /* as of sim.names */
		int error;
		size_t len; /* 0: none */
		char text[120];
	} names[SIM_NAMES];
};

static struct {
	unsigned char *ram;
	uint64_t frames;
	nsec_t now;
	bool locked;
	uint64_t names; /* as often were they forgotten */
	struct carrier carrier;
	struct plat_user *user; /* whose program runs */
	struct sim_counts counts;
	bool answers;
	unsigned long fail_at;
	uint64_t entries[32]; /* of sim_entry() */
	size_t entries_used;
} sim;

static bool refused(void)
{
	return sim.fail_at && --sim.fail_at == 0;
}

void sim_begin(uint64_t ram_frames)
{
	sim.frames = ram_frames;
	sim.ram = mmap(NULL, ram_frames * PAGE_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (sim.ram == MAP_FAILED)
		plat_panic("sim: no memory for %llu frames", (unsigned long long) ram_frames);
	sim.now = BEGINNING;
	sim.carrier.now = &sim.carrier.base;
	sim.counts = (struct sim_counts){};
	sim.answers = false;
}

void sim_end(void)
{
	(void) munmap(sim.ram, sim.frames * PAGE_SIZE);
	sim.ram = NULL;
}

void sim_run(void)
{
	for (;;) {
		nsec_t next;

		sched_enter();
		sched_run();
		next = sched_leave();
		if (next == NSEC_NEVER)
			return;
		if (next > sim.now)
			sim.now = next;
	}
}

nsec_t sim_now(void)
{
	return sim.now;
}

void sim_answers(bool answers)
{
	sim.answers = answers;
}

const struct sim_counts *sim_counts(void)
{
	return &sim.counts;
}

void sim_fail_at(unsigned long n)
{
	sim.fail_at = n;
}

/* ---- the machine ---- */

nsec_t plat_now(enum plat_clock clock)
{
	bool coarse = clock == PLAT_MONOTONIC_COARSE || clock == PLAT_REALTIME_COARSE;
	nsec_t now = coarse ? sim.now - sim.now % COARSE : sim.now;

	/* 2026 began at this second. */
	return clock == PLAT_REALTIME || clock == PLAT_REALTIME_COARSE
		       ? now + 1767225600 * NSEC_PER_SEC
		       : now;
}

unsigned int plat_cpus(void)
{
	return 1;
}

void plat_random(void *to, size_t n)
{
	if (getrandom(to, n, 0) != (ssize_t) n)
		plat_panic("sim: no randomness");
}

[[gnu::format(printf, 1, 0)]] static void say(const char *fmt, va_list args)
{
	(void) vfprintf(stderr, fmt, args);
	(void) fputc('\n', stderr);
}

void plat_log(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(fmt, args);
	va_end(args);
}

void plat_panic(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(fmt, args);
	va_end(args);
	abort();
}

struct carrier *plat_carrier(void)
{
	return &sim.carrier;
}

void plat_lock(void)
{
	if (sim.locked)
		plat_panic("sim: the lock is taken twice");
	sim.locked = true;
}

void plat_unlock(void)
{
	if (!sim.locked)
		plat_panic("sim: the lock is not taken");
	sim.locked = false;
}

void plat_kick(void)
{
	sim.counts.kicks++;
}

void *plat_kmem_alloc(size_t bytes, size_t align)
{
	size_t whole = (bytes + align - 1) & ~(align - 1);
	void *p = refused() ? NULL : aligned_alloc(align, whole);

	if (!p)
		return NULL;
#if defined(__SANITIZE_ADDRESS__)
	/* What the rounding added is nobody's. */
	__builtin_memset(p, 0, bytes);
	void __asan_poison_memory_region(void const volatile *addr, size_t size);
	__asan_poison_memory_region((char *) p + bytes, whole - bytes);
	return p;
#else
	return memset(p, 0, whole);
#endif
}

void plat_kmem_free(void *p, size_t bytes)
{
	(void) bytes;
	free(p);
}

void *plat_stack_alloc(size_t bytes)
{
	char *p = refused() ? MAP_FAILED
			    : mmap(NULL, bytes + GUARD, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	if (mprotect(p, GUARD, PROT_NONE) < 0) {
		(void) munmap(p, bytes + GUARD);
		return NULL;
	}
#if defined(__SANITIZE_ADDRESS__)
	/* One that ended in the middle of its functions may have stood here. */
	void __asan_unpoison_memory_region(void const volatile *addr, size_t size);
	__asan_unpoison_memory_region(p + GUARD, bytes);
#endif
	return p + GUARD;
}

void plat_stack_free(void *low, size_t bytes)
{
	(void) munmap((char *) low - GUARD, bytes + GUARD);
}

void *plat_ram(void)
{
	return sim.ram;
}

uint64_t plat_ram_frames(void)
{
	return sim.frames;
}

void plat_ram_discard(uint64_t first, uint64_t count)
{
	if (madvise(sim.ram + first * PAGE_SIZE, count * PAGE_SIZE, MADV_DONTNEED) < 0)
		plat_panic("sim: memory cannot be given back");
}

/* ---- address spaces ---- */

struct plat_space *plat_space_new(void)
{
	return refused() ? NULL : calloc(1, sizeof(struct plat_space));
}

void plat_space_free(struct plat_space *s)
{
	if (!s)
		return;
	free(s->pieces);
	free(s);
}

uint64_t plat_user_low(void)
{
	return USER_LOW;
}

uint64_t plat_user_high(void)
{
	return USER_HIGH;
}

uint64_t plat_vdso(void)
{
	return 0;
}

const char *plat_vdso_bytes(uint64_t at)
{
	(void) at;
	return NULL;
}

bool plat_patch(struct plat_space *, uint64_t, unsigned int, unsigned char[PLAT_SITE])
{
	return false; /* its calls are calls of functions */
}

enum plat_patched plat_patched(struct plat_space *, uint64_t, const unsigned char[PLAT_JUMP])
{
	return PLAT_NOT_PATCHED;
}

uint64_t plat_patch_next(const struct plat_space *, uint64_t)
{
	return UINT64_MAX;
}

bool plat_unpatch(struct plat_space *, uint64_t, unsigned char *)
{
	return false;
}

int plat_patches_copy(struct plat_space *, const struct plat_space *)
{
	return 0;
}

static struct piece *piece_at(struct plat_space *s, uint64_t at)
{
	for (size_t n = 0; n < s->used; n++) {
		if (s->pieces[n].at == page_down(at))
			return &s->pieces[n];
	}
	return NULL;
}

int plat_map(struct plat_space *s, uint64_t at, uint64_t pages, uint64_t frame, unsigned int prot)
{
	sim.counts.maps++;
	if (refused())
		return -ENOMEM;
	for (uint64_t n = 0; n < pages; n++) {
		struct piece *p = piece_at(s, at + n * PAGE_SIZE);

		if (frame + n >= sim.frames)
			plat_panic("sim: frame %llu is mapped", (unsigned long long) (frame + n));
		if (!p) {
			if (s->used == s->room) {
				size_t room = s->room ? 2 * s->room : 64;
				struct piece *more = reallocarray(s->pieces, room, sizeof(*more));

				if (!more)
					return -ENOMEM;
				s->pieces = more;
				s->room = room;
			}
			p = &s->pieces[s->used++];
		}
		*p = (struct piece){ at + n * PAGE_SIZE, frame + n, prot };
	}
	return 0;
}

int plat_map_ahead(struct plat_space *s, uint64_t at, uint64_t pages, uint64_t frame,
		   unsigned int prot)
{
	return plat_map(s, at, pages, frame, prot);
}

int plat_unmap(struct plat_space *s, uint64_t at, uint64_t pages)
{
	sim.counts.unmaps++;
	for (size_t n = 0; n < s->used;) {
		if (s->pieces[n].at >= at && s->pieces[n].at - at < pages * PAGE_SIZE)
			s->pieces[n] = s->pieces[--s->used];
		else
			n++;
	}
	return 0;
}

int plat_protect(struct plat_space *s, uint64_t at, uint64_t pages, unsigned int prot)
{
	sim.counts.protects++;
	for (size_t n = 0; n < s->used; n++) {
		if (s->pieces[n].at >= at && s->pieces[n].at - at < pages * PAGE_SIZE)
			s->pieces[n].prot = prot;
	}
	return 0;
}

int plat_space_commit(struct plat_space *s)
{
	(void) s;
	sim.counts.commits++;
	return 0;
}

/* ---- contexts ---- */

static bool known_entry(uint64_t at)
{
	for (size_t n = 0; n < sim.entries_used; n++) {
		if (sim.entries[n] == at)
			return true;
	}
	return false;
}

uint64_t sim_entry(void (*main)(void *arg))
{
	uint64_t at = (uint64_t) (uintptr_t) main;

	if (!known_entry(at)) {
		if (sim.entries_used == sizeof(sim.entries) / sizeof(*sim.entries))
			plat_panic("sim: too many entries");
		sim.entries[sim.entries_used++] = at;
	}
	return at;
}

uint64_t sim_handler(void (*handler)(int nr, uint64_t info, uint64_t context))
{
	return sim_entry((void (*)(void *))(uintptr_t) handler);
}

/* A guest's program runs; the kernel's fiber goes on with what it needs. */
static void need(struct plat_event event)
{
	struct plat_user *u = sim.user;

	u->event = event;
	fiber_switch(u->self, u->kernel, false);
	sim.user = u;
}

/*
 * The kernel may have sent the guest elsewhere: into a handler. It runs here, on the same C stack,
 * and returns by the restorer, whose whole program is rt_sigreturn (15). Then the registers are as
 * the handler's frame says: the guest is where it was, `home`, or 2 before it, at the call.
 */
static void handlers(uint64_t home)
{
	struct plat_user *u = sim.user;

	while (u->regs.ip != home && known_entry(u->regs.ip)) {
		void (*handler)(int, uint64_t, uint64_t) =
			(void (*)(int, uint64_t, uint64_t))(uintptr_t) u->regs.ip;
		uint64_t frame = u->regs.sp;

		/* Somewhere in it: the same handler may come on top. */
		u->regs.ip = IN_HANDLER;
		handler((int) u->regs.di, u->regs.si, u->regs.dx);
		u->regs.sp = frame + 8;
		need((struct plat_event){ .kind = PLAT_SYSCALL, .nr = 15 });
	}
}

static void user_begin(void *arg)
{
	struct plat_user *u = arg;
	void (*main)(void *) = (void (*)(void *))(uintptr_t) u->regs.ip;

	sim.user = u;
	main((void *) (uintptr_t) u->regs.di);
	for (;;)
		need((struct plat_event){ .kind = PLAT_GONE });
}

struct plat_user *plat_user_new(struct plat_space *s, const struct plat_regs *regs)
{
	struct plat_user *u = refused() ? NULL : calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->space = s;
	u->regs = *regs;
	u->self = fiber_new(user_begin, u);
	if (!u->self) {
		free(u);
		return NULL;
	}
	return u;
}

void plat_user_free(struct plat_user *u)
{
	if (!u)
		return;
	fiber_free(u->self);
	free(u);
}

void plat_user_run(struct plat_user *u, struct plat_event *ret_event)
{
	if (u->kicked) {
		u->kicked = false;
		*ret_event = (struct plat_event){ .kind = PLAT_KICKED };
		return;
	}
	u->kernel = fiber_now();
	fiber_switch(u->kernel, u->self, false);
	*ret_event = u->event;
}

/* What was known would have been told in its place. */
static void check_known(const struct plat_user *u, unsigned int nr, sysret_t result)
{
	if (nr < SIM_KNOWN && u->known[nr].is && u->known[nr].answer != result)
		plat_panic("sim: call %u is known to give %u, and gives %lld", nr,
			   u->known[nr].answer, (long long) result);
}

void plat_user_result(struct plat_user *u, sysret_t result)
{
	if (u->event.kind == PLAT_SYSCALL)
		check_known(u, u->event.nr, result);
	u->regs.ax = (uint64_t) result;
}

void plat_user_know(struct plat_user *u, unsigned int nr, uint32_t answer)
{
	check_known(u, nr, answer);
	if (nr >= SIM_KNOWN)
		return;
	u->known[nr].is = true;
	u->known[nr].answer = answer;
}

/* As above: what was told is still so. */
void plat_user_name(struct plat_user *u, const char *text, size_t len, int error)
{
	struct sim_name *n = &u->names[(unsigned char) text[len - 1] % SIM_NAMES];
	bool same = n->names == sim.names && n->len == len && memcmp(n->text, text, len) == 0;

	if (same && n->error != error)
		plat_panic("sim: readlink of %.*s is known to give %d, and gives %d", (int) len,
			   text, n->error, error);
	if (error == 0 || len > sizeof(n->text))
		return;
	n->names = sim.names;
	n->error = error;
	n->len = len;
	memcpy(n->text, text, len);
}

void plat_names_forget(void)
{
	sim.names++;
}

void plat_user_forget(struct plat_user *u)
{
	memset(u->known, 0, sizeof(u->known));
	memset(u->names, 0, sizeof(u->names));
}

void plat_user_regs(struct plat_user *u, struct plat_regs *ret_regs)
{
	*ret_regs = u->regs;
}

void plat_user_set_regs(struct plat_user *u, const struct plat_regs *regs)
{
	u->regs = *regs;
}

size_t plat_fp_size(uint64_t *ret_components)
{
	*ret_components = 3; /* x87 and SSE */
	return SIM_FP;
}

void plat_user_fp(struct plat_user *u, void *to)
{
	memcpy(to, u->fp, SIM_FP);
}

void plat_user_set_fp(struct plat_user *u, const void *from)
{
	if (from)
		memcpy(u->fp, from, SIM_FP);
	else
		memset(u->fp, 0, SIM_FP);
}

unsigned char *sim_fp(void)
{
	return sim.user->fp;
}

bool plat_user_gone(const struct plat_user *u)
{
	(void) u;
	return false; /* a function of this program stays */
}

void plat_user_kick(struct plat_user *u)
{
	u->kicked = true;
}

/* Whether the error for the text at `at` is known; the text is read as the guest would. */
static bool knows_name(uint64_t at, int *ret_error)
{
	char text[sizeof(sim.user->names[0].text)];
	const struct sim_name *n;
	size_t len = 0;

	while (sim_read(at + len, text + len, 1) && text[len])
		if (++len == sizeof(text))
			return false;
	if (len == 0)
		return false;
	n = &sim.user->names[(unsigned char) text[len - 1] % SIM_NAMES];
	*ret_error = n->error;
	return n->names == sim.names && n->len == len && memcmp(n->text, text, len) == 0;
}

sysret_t sim_syscall(unsigned int nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
		     uint64_t f)
{
	struct plat_regs *r = &sim.user->regs;
	uint64_t home = r->ip;
	int error;

	/* Who is kicked comes into the kernel first. */
	if (sim.answers && nr < SIM_KNOWN && sim.user->known[nr].is && !sim.user->kicked) {
		sim.counts.known++;
		return sim.user->known[nr].answer;
	}
	if (sim.answers && nr == SYS_READLINK && (int) c > 0 && knows_name(a, &error) &&
	    !sim.user->kicked) {
		sim.counts.known++;
		return error;
	}
	for (;;) {
		need((struct plat_event){
			.kind = PLAT_SYSCALL, .nr = nr, .args = { a, b, c, d, e, f } });
		handlers(home);
		if (r->ip != home - 2)
			return (sysret_t) r->ax;
		/* Begun again, by the number that the kernel has set. */
		r->ip = home;
		nr = (unsigned int) r->ax;
	}
}

static bool touch(uint64_t at, void *to, const void *from, size_t n)
{
	unsigned int access = from ? PLAT_WRITE : PLAT_READ;

	while (n > 0) {
		size_t part = min_of(n, (size_t) (PAGE_SIZE - (at & (PAGE_SIZE - 1))));
		struct piece *p = piece_at(sim.user->space, at);

		for (int tries = 0; !p || !(p->prot & access); tries++) {
			if (tries == 2)
				return false;
			uint64_t home = sim.user->regs.ip;

			need((struct plat_event){
				.kind = PLAT_FAULT, .address = at, .access = access });
			handlers(home);
			p = piece_at(sim.user->space, at);
		}
		unsigned char *page = sim.ram + p->frame * PAGE_SIZE + (at & (PAGE_SIZE - 1));

		if (from)
			memcpy(page, from, part);
		else
			memcpy(to, page, part);
		at += part;
		n -= part;
		if (from)
			from = (const char *) from + part;
		else
			to = (char *) to + part;
	}
	return true;
}

bool sim_read(uint64_t at, void *to, size_t n)
{
	return touch(at, to, NULL, n);
}

bool sim_write(uint64_t at, const void *from, size_t n)
{
	return touch(at, NULL, from, n);
}
