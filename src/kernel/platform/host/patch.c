/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sites: places in the guest's code from which calls come often. There the call's instruction and
 * the one before it, seven bytes together, become a jump to what does both (the kernel's mm makes
 * the page the guest's own for that):
 *
 *   b8 nr 0f 05              mov $nr, %eax; syscall           ff 24 25 xx xx 06 00
 *   4c 8b 4c 24 08 0f 05     mov 8(%rsp), %r9; syscall        the same
 *   48 c7 c0 nr 0f 05        mov $nr, %rax; syscall           the same, 0f 05
 *
 * Whoever jumps to the syscall instruction itself, or stood before it as it was replaced, finds it
 * (the last form), or 06, which is no instruction: that is a call, too (plat_patched()).
 *
 * What is jumped to is one of the STUB_SITES' records. It does what stood before the syscall, and
 * enters the gate, or, where that is closed, makes the call as any other.
 */
#include <string.h>
#include <sys/syscall.h>

#include "kernel/platform/host/inside.h"
#include "kernel/platform/host/stub_code.h"

#define SITES (CHUNK_SIZE / SITE_SIZE)
/* Calls from one place, until it is a site: a page of its own costs about as much as some calls. */
#define OFTEN 12

struct site {
	uint64_t entry, behind;
	unsigned char before[7];
	unsigned char code[41];
};
_Static_assert(sizeof(struct site) == SITE_SIZE, "the table's");

/* In the code: behind the call that is made as any other. */
#define CODE_CALLED (offsetof(struct site, code) + 11)

static struct site *sites_of(const struct plat_space *s)
{
	return chunk_ptr(s->sites_chunk);
}

static uint64_t site_address(uint32_t n)
{
	return STUB_SITES + (uint64_t) n * SITE_SIZE;
}

bool site_counts(struct plat_space *s, uint64_t ip)
{
	typeof(s->callers[0]) *c = &s->callers[ip / 2 % CALLERS];

	if (!host.gates || s->gates_closed)
		return false;
	if (c->ip != ip) {
		c->ip = ip;
		c->count = 0;
	}
	return ++c->count == OFTEN;
}

/* ---- what is jumped to ---- */

/* Seven bytes: jmp *to. */
static void put_jump(unsigned char *p, uint64_t to)
{
	uint32_t low = (uint32_t) to;

	memcpy(p, (unsigned char[]){ 0xff, 0x24, 0x25 }, 3);
	memcpy(p + 3, &low, sizeof(low));
}

static void build(struct site *t, uint32_t n, uint64_t behind, const unsigned char *before,
		  size_t bytes)
{
	const uint64_t at = site_address(n);
	const uint32_t closed = STUB_SITES + SITES_CLOSED;
	unsigned char *p = t->code;

	t->entry = at + offsetof(struct site, before);
	t->behind = behind;
	memcpy(t->before, before, bytes);
	if (bytes < sizeof(t->before))
		memcpy(t->before + bytes, (unsigned char[]){ 0x66, 0x90 }, 2); /* nop */
	memcpy(p, (unsigned char[]){ 0x8b, 0x0c, 0x25 }, 3); /* mov closed, %ecx */
	memcpy(p + 3, &closed, sizeof(closed));
	memcpy(p + 7, (unsigned char[]){ 0xe3, 0x09, 0x0f, 0x05 }, 4); /* jrcxz; syscall */
	put_jump(p + 11, at + offsetof(struct site, behind));
	memcpy(p + 18, (unsigned char[]){ 0x48, 0xb9 }, 2); /* movabs $behind, %rcx */
	memcpy(p + 20, &behind, sizeof(behind));
	put_jump(p + 28, STUB_SITES + SITES_GATE);
}

/* The record for it, one that is there or a new one; 0: no room. */
static uint32_t site_for(struct plat_space *s, uint64_t behind, const unsigned char *before,
			 size_t bytes)
{
	struct site *table = sites_of(s), made = {};
	uint64_t gate = stub_address(stub_gate);

	if (!s->sites_chunk) {
		s->sites_chunk = chunk_alloc(true);
		if (!s->sites_chunk)
			return 0;
		table = sites_of(s);
		memcpy((char *) table + SITES_GATE, &gate, sizeof(gate));
		s->sites_made = 1;
		stub_map_sites(s);
	}
	for (uint32_t n = 1; n < s->sites_made; n++) {
		build(&made, n, behind, before, bytes);
		if (memcmp(&made, &table[n], sizeof(made)) == 0)
			return n;
	}
	if (s->sites_made == SITES)
		return 0;
	build(&table[s->sites_made], s->sites_made, behind, before, bytes);
	return s->sites_made++;
}

/* ---- what is patched ---- */

/* An opcode of an instruction with an immediate of 32 bits and, as its ModRM says, a place in
 * memory. */
static bool is_longer(unsigned char opcode)
{
	return opcode == 0xc7 || opcode == 0x81 || opcode == 0x69 || opcode == 0xf7;
}

/* What looks like mov's opcode is a displacement of 8 bits, or has a prefix: Intel SDM 2, 2.1. */
static bool has_more_before(const unsigned char *p)
{
	return (p[-1] & 0xf0) == 0x40 || (is_longer(p[-2]) && (p[-1] & 0xc0) == 0x40) ||
	       (is_longer(p[-3]) && (p[-2] & 0xc7) == 0x44);
}

bool plat_patch(struct plat_space *s, uint64_t behind, unsigned int nr,
		unsigned char code[PLAT_SITE])
{
	static const unsigned char r9[] = { 0x4c, 0x8b, 0x4c, 0x24, 0x08 };
	static const unsigned char rax[] = { 0x48, 0xc7, 0xc0 };
	unsigned char *end = code + PLAT_SITE - 2, *from;
	uint32_t n, value;
	size_t bytes = 5;

	/* Those that end a thread leave its stub another way; unwinders know the bytes of a return
	 * from a signal. */
	if (nr == SYS_exit || nr == SYS_exit_group || nr == SYS_rt_sigreturn)
		return false;
	if (!host.gates || s->dead || s->gates_closed || end[0] != 0x0f || end[1] != 0x05)
		return false;
	from = end - 5;
	memcpy(&value, end - 4, sizeof(value));
	if (memcmp(end - 7, rax, sizeof(rax)) == 0 && value == nr) {
		from = end - 7;
		bytes = 7;
	} else if (memcmp(from, r9, sizeof(r9)) != 0 &&
		   (from[0] != 0xb8 || value != nr || has_more_before(from))) {
		return false;
	}
	n = site_for(s, behind, from, bytes);
	if (!n)
		return false;
	put_jump(from, site_address(n));
	return true;
}

bool plat_patched(const struct plat_space *s, uint64_t behind, const unsigned char code[PLAT_SITE])
{
	const unsigned char *from = code + PLAT_SITE - 7;
	unsigned char jump[7];
	uint32_t to;

	memcpy(&to, from + 3, sizeof(to));
	if (!s->sites_chunk || to <= STUB_SITES || to >= site_address(s->sites_made) ||
	    to % SITE_SIZE != 0)
		return false;
	put_jump(jump, to);
	return memcmp(from, jump, sizeof(jump)) == 0 &&
	       sites_of(s)[(to - STUB_SITES) / SITE_SIZE].behind == behind;
}

/* What was replaced, with what stood before the call. */
static uint64_t start_of(const struct site *t)
{
	return t->behind - (t->before[0] == 0x48 ? 9 : 7);
}

uint64_t plat_patch_next(const struct plat_space *s, uint64_t at)
{
	uint64_t least = UINT64_MAX;

	for (uint32_t n = 1; n < s->sites_made; n++) {
		uint64_t last = sites_of(s)[n].behind - 1;

		if (last >= at && last < least)
			least = last;
	}
	return least;
}

bool plat_unpatch(struct plat_space *s, uint64_t at, unsigned char *page)
{
	unsigned char jump[7];
	bool any = false;

	for (uint32_t n = 1; n < s->sites_made; n++) {
		const struct site *t = &sites_of(s)[n];
		uint64_t from = start_of(t);

		if (from < at || t->behind > at + PAGE_SIZE)
			continue;
		put_jump(jump, site_address(n));
		if (memcmp(page + (from - at), jump, sizeof(jump)) != 0)
			continue;
		memcpy(page + (from - at), t->before, sizeof(t->before));
		memcpy(page + (t->behind - 2 - at), (unsigned char[]){ 0x0f, 0x05 }, 2);
		any = true;
	}
	if (any)
		memset(s->callers, 0, sizeof(s->callers));
	return any;
}

int plat_patches_copy(struct plat_space *s, const struct plat_space *from)
{
	if (!from->sites_chunk || s->dead)
		return 0;
	s->sites_chunk = chunk_alloc(true);
	if (!s->sites_chunk)
		return -ENOMEM;
	/* What is not made yet takes no memory. */
	memcpy(sites_of(s), sites_of(from), from->sites_made * sizeof(struct site));
	s->sites_made = from->sites_made;
	s->gates_closed = from->gates_closed;
	stub_map_sites(s);
	return 0;
}

/* ---- who stands in them ---- */

static const struct site *site_at(const struct plat_space *s, uint64_t at)
{
	if (at < site_address(1) || at >= site_address(s->sites_made))
		return NULL;
	return &sites_of(s)[(at - STUB_SITES) / SITE_SIZE];
}

uint64_t site_outside(const struct plat_space *s, uint64_t at)
{
	const struct site *t = site_at(s, at);

	return t && at % SITE_SIZE == CODE_CALLED ? t->behind : at;
}

uint64_t site_start(const struct plat_space *s, uint64_t to)
{
	const struct site *t = site_at(s, to);

	for (uint32_t n = 1; !t && n < s->sites_made; n++)
		if (sites_of(s)[n].behind == to)
			t = &sites_of(s)[n];
	if (!t)
		return to;
	return start_of(t);
}

void sites_close(struct plat_space *s)
{
	s->gates_closed = true;
	if (s->sites_chunk)
		*(volatile uint64_t *) chunk_ptr(s->sites_chunk) = 1;
}

void sites_free(struct plat_space *s)
{
	if (s->sites_chunk)
		chunk_free(s->sites_chunk);
	s->sites_chunk = s->sites_made = 0;
	s->gates_closed = false;
	memset(s->callers, 0, sizeof(s->callers));
}
