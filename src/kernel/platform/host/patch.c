/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sites: places in the guest's code from which calls come often. There seven bytes up to the call's
 * instruction, or before it, become a jump to what does the same (the kernel's mm makes the page
 * the guest's own for that):
 *
 *   b8 nr 0f 05              mov $nr, %eax; syscall           ff 24 25 xx xx 06 00
 *   4c 8b 4c 24 08 0f 05     mov 8(%rsp), %r9; syscall        the same
 *   4c 89 5c 24 08 0f 05     mov %r11, 8(%rsp); syscall       the same (musl)
 *   48 c7 c0 nr 0f 05        mov $nr, %rax; syscall           the same, 0f 05
 *   b8 nr ... 0f 05          others between the two           the same, the rest as it was
 *   ba 3c ... 31 ff          mov $60, %edx; nop;              the same, the rest as it was
 *     89 d0 0f 05              xor %edi, %edi; mov %edx, %eax;   (the end of glibc's threads)
 *                              syscall
 *   b8 nr 48 8d 35 of        mov $nr, %eax; lea of(%rip), %rsi;  the same, the rest as it was
 *     0f 05                    syscall
 *   80 3d of 00 74 to        cmpb $0, of(%rip); je to;        the same, 74 to 31 c0 0f 05
 *     31 c0 0f 05              xor %eax, %eax; syscall          (read() of glibc's)
 *   48 8b 74 24 nn 41 89 c0  mov nn(%rsp), %rsi; mov %eax, %r8d;   the same, the rest as it was
 *     8b 7c 24 nn 31 c0 0f 05  mov nn(%rsp), %edi; xor %eax, %eax;   (read() where there are
 *                              syscall                                 threads)
 *
 * Whoever jumps to an instruction in between, or stood there as it was replaced, finds it: but one
 * that was five bytes behind the first, where 06 is, which is no instruction. If that was the
 * call's it is a call, too; else the code becomes what it was, for good (plat_patched()).
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

#define BEFORE	24
#define JUMP	7
#define BETWEEN 16 /* bytes that may stand between a number and its call */

struct site {
	uint64_t entry, behind, other;
	unsigned char before[BEFORE];
	unsigned char code[35];
	unsigned char was[JUMP]; /* what the jump replaced */
	unsigned char bytes;	 /* from there to the syscall instruction */
	unsigned char translated, never, unused[3];
};
_Static_assert(sizeof(struct site) == SITE_SIZE && STUB_SITES % SITE_SIZE == 0, "the table's");
_Static_assert(5 + BETWEEN <= BEFORE && 5 + BETWEEN + 3 + 2 <= PLAT_SITE, "what is looked at");
/* What makes two of them the same: the code of all, but not what has become of them. */
#define SITE_SAME offsetof(struct site, never)

/* In the code: behind the call that is made as any other. */
#define CODE_CALLED (offsetof(struct site, code) + 11)
/* Of a jump: what is no instruction. */
#define JUMP_BAD PLAT_JUMP_BAD
_Static_assert(JUMP == PLAT_JUMP, "the kernel's");

/* What is to be patched. */
struct form {
	const unsigned char *from;
	size_t bytes; /* up to the syscall instruction */
	/* What is about places that are found from where it stands is done in another way. */
	enum { AS_IT_IS, OF_READ, OF_ADDRESS } translated;
};

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
	/* Two that are taken for one are patched sooner, no more. */
	uint32_t place = (uint32_t) (ip ^ ip >> 32);
	/* Fibonacci's hash (Knuth, 6.4): programs call from places that are alike. */
	typeof(s->callers[0]) *c = &s->callers[(place * 2654435769u) / (UINT32_MAX / CALLERS + 1)];
	unsigned int n = 0, count;

	if (!host.gates || s->gates_closed)
		return false;
	while (n < CALLERS_NEAR - 1 && c->place[n] != place)
		n++;
	count = c->place[n] == place ? c->count[n] : 0;
	memmove(c->place + 1, c->place, n * sizeof(c->place[0]));
	memmove(c->count + 1, c->count, n * sizeof(c->count[0]));
	count += count <= OFTEN;
	c->place[0] = place;
	c->count[0] = (uint8_t) count;
	return count == OFTEN;
}

/* ---- what is jumped to ---- */

/* Seven bytes: jmp *to. */
static void put_jump(unsigned char *p, uint64_t to)
{
	uint32_t low = (uint32_t) to;

	memcpy(p, (unsigned char[]){ 0xff, 0x24, 0x25 }, 3);
	memcpy(p + 3, &low, sizeof(low));
}

/* The two of read() of glibc's with which it begins are about places that are found from where
 * they stand; rcx is nobody's there. */
static void build_read(struct site *t, uint64_t at, const struct form *f)
{
	unsigned char *p = t->before;
	uint64_t start = t->behind - 2 - f->bytes, word;
	int32_t of;

	memcpy(&of, f->from + 2, sizeof(of));
	word = start + JUMP + (uint64_t) (int64_t) of;
	t->other = start + 9 + (uint64_t) (int64_t) (signed char) f->from[8];
	memcpy(p, (unsigned char[]){ 0x48, 0xb9 }, 2); /* movabs $word, %rcx */
	memcpy(p + 2, &word, sizeof(word));
	/* cmpb $0, (%rcx); jne behind the jump */
	memcpy(p + 10, (unsigned char[]){ 0x80, 0x39, 0x00, 0x75, 0x07 }, 5);
	put_jump(p + 15, at + offsetof(struct site, other));
	memcpy(p + 22, (unsigned char[]){ 0x31, 0xc0 }, 2); /* xor %eax, %eax */
}

/* An address in rsi. */
static void build_address(struct site *t, const struct form *f)
{
	uint64_t word;
	int32_t of;

	memcpy(&of, f->from + 8, sizeof(of));
	word = t->behind - 2 + (uint64_t) (int64_t) of;
	memcpy(t->before, f->from, 5);
	memcpy(t->before + 5, (unsigned char[]){ 0x48, 0xbe }, 2); /* movabs $word, %rsi */
	memcpy(t->before + 7, &word, sizeof(word));
}

static void build(struct site *t, uint32_t n, uint64_t behind, const struct form *f)
{
	const uint64_t at = site_address(n);
	const uint32_t closed = STUB_SITES + SITES_CLOSED;
	unsigned char *p = t->code;

	*t = (struct site){ .entry = at + offsetof(struct site, before),
			    .behind = behind,
			    .bytes = (unsigned char) f->bytes,
			    .translated = f->translated != AS_IT_IS };
	memcpy(t->was, f->from, JUMP);
	memset(t->before, 0x90, BEFORE); /* nop */
	if (f->translated == OF_READ)
		build_read(t, at, f);
	else if (f->translated == OF_ADDRESS)
		build_address(t, f);
	else
		memcpy(t->before, f->from, f->bytes);
	memcpy(p, (unsigned char[]){ 0x8b, 0x0c, 0x25 }, 3); /* mov closed, %ecx */
	memcpy(p + 3, &closed, sizeof(closed));
	memcpy(p + 7, (unsigned char[]){ 0xe3, 0x09, 0x0f, 0x05 }, 4); /* jrcxz; syscall */
	put_jump(p + 11, at + offsetof(struct site, behind));
	memcpy(p + 18, (unsigned char[]){ 0x48, 0xb9 }, 2); /* movabs $behind, %rcx */
	memcpy(p + 20, &behind, sizeof(behind));
	put_jump(p + 28, STUB_SITES + SITES_GATE);
}

/* The record for it, one that is there or a new one; 0: no room. */
static uint32_t site_for(struct plat_space *s, uint64_t behind, const struct form *f)
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
		build(&made, n, behind, f);
		if (memcmp(&made, &table[n], SITE_SAME) == 0)
			return table[n].never ? 0 : n;
	}
	if (s->sites_made == SITES)
		return 0;
	build(&table[s->sites_made], s->sites_made, behind, f);
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

/* Of a ModRM that is about memory, with what belongs to it; 0: of no memory, or of such that is
 * found from where the instruction stands. Intel SDM 2, 2.1.5. */
static size_t operand(const unsigned char *p, size_t room)
{
	unsigned char mod = p[0] >> 6, rm = p[0] & 7;
	size_t bytes = rm == 4 ? 2 : 1;

	if (mod == 3 || (mod == 0 && rm == 5) || room < bytes)
		return 0;
	if (mod == 1)
		return bytes + 1;
	return bytes + (mod == 2 || (rm == 4 && (p[1] & 7) == 5) ? 4 : 0);
}

/* nop of two bytes or more: what is behind one may be jumped to, and no jump may end there. */
static size_t idle(const unsigned char *p, size_t room)
{
	size_t head = 0, rest;

	while (head < room && (p[head] == 0x66 || p[head] == 0x2e))
		head++;
	if (head > 0 && head < room && p[head] == 0x90)
		return head + 1;
	if (room < head + 3 || p[head] != 0x0f || p[head + 1] != 0x1f)
		return 0;
	rest = operand(p + head + 2, room - head - 2);
	return rest > 0 ? head + 2 + rest : 0;
}

/*
 * Instructions that do the same wherever they stand: moves between registers, from where the stack
 * pointer points to, of constants, of addresses, and xor. The bytes of the one that stands there,
 * 0: another.
 */
static size_t movable(const unsigned char *p, size_t room)
{
	unsigned char rex = (p[0] & 0xf0) == 0x40 ? p[0] : 0, modrm;
	size_t head = rex ? 1 : 0, bytes = 0, rest;

	if (room < head + 2)
		return 0;
	p += head;
	modrm = p[1];
	if ((p[0] == 0x89 || p[0] == 0x8b || p[0] == 0x31) && modrm >= 0xc0)
		bytes = 2;
	else if (p[0] == 0x8b && (modrm & 0xc7) == 0x44 && room > head + 2 && p[2] == 0x24)
		bytes = 4; /* of 8 bits behind the stack pointer */
	else if (p[0] == 0x8b && (modrm & 0xc7) == 0x04 && room > head + 2 && p[2] == 0x24)
		bytes = 3;
	else if (p[0] >= 0xb8 && p[0] <= 0xbf && !(rex & 8))
		bytes = 5;
	else if (p[0] == 0x80 && modrm >= 0xf0 && modrm <= 0xf7)
		bytes = 3; /* xor with 8 bits */
	else if (p[0] == 0x63 && modrm >= 0xc0)
		bytes = 2; /* movslq */
	else if (p[0] == 0x8d && (rest = operand(p + 1, room - head - 1)) > 0)
		bytes = 1 + rest;
	return bytes > 0 && head + bytes <= room ? head + bytes : 0;
}

static bool all_movable(const unsigned char *p, const unsigned char *end)
{
	while (p < end) {
		size_t n = movable(p, (size_t) (end - p));

		if (n == 0)
			return false;
		p += n;
	}
	return true;
}

/* mov $nr, %eax, and what may stand between that and the call. */
static bool has_number(const unsigned char *end, unsigned int nr, struct form *ret)
{
	for (size_t bytes = 5; bytes <= 5 + BETWEEN; bytes++) {
		const unsigned char *p = end - bytes;
		uint32_t value;

		memcpy(&value, p + 1, sizeof(value));
		if (p[0] != 0xb8 || value != nr || has_more_before(p) || !all_movable(p + 5, end))
			continue;
		*ret = (struct form){ .from = p, .bytes = bytes };
		return true;
	}
	return false;
}

/* glibc's threads end so, again and again: what is behind the jump stays as it was, and is a call.
 */
static bool has_end(const unsigned char *end, struct form *ret)
{
	static const unsigned char first[] = { 0xba, SYS_exit, 0, 0, 0 },
				   last[] = { 0x31, 0xff, 0x89, 0xd0 };

	if (memcmp(end - sizeof(last), last, sizeof(last)) != 0)
		return false;
	for (size_t bytes = 9; bytes <= 5 + BETWEEN; bytes++) {
		const unsigned char *p = end - bytes, *nop = p + sizeof(first);
		size_t n = 1;

		if (memcmp(p, first, sizeof(first)) != 0 || has_more_before(p))
			continue;
		while (nop < end - sizeof(last) && n > 0) {
			n = idle(nop, (size_t) (end - sizeof(last) - nop));
			nop += n;
		}
		if (nop != end - sizeof(last))
			continue;
		*ret = (struct form){ .from = p, .bytes = bytes };
		return true;
	}
	return false;
}

/* Whether the bytes before `end` are these; 0x100: any. */
static bool ends_in(const unsigned char *end, const unsigned short *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (bytes[i] < 0x100 && end[i - n] != bytes[i])
			return false;
	}
	return true;
}

static bool has_form(const unsigned char *end, unsigned int nr, struct form *ret)
{
#define ANY 0x100
	static const unsigned short r9[] = { 0x4c, 0x8b, 0x4c, 0x24, 0x08 };
	static const unsigned short r11[] = { 0x4c, 0x89, 0x5c, 0x24, 0x08 };
	static const unsigned short rax[] = { 0x48, 0xc7, 0xc0, ANY, ANY, ANY, ANY };
	static const unsigned short read[] = { 0x80, 0x3d, ANY, ANY,  ANY, ANY,
					       0x00, 0x74, ANY, 0x31, 0xc0 };
	static const unsigned short reads[] = { 0x48, 0x8b, 0x54, 0x24, ANY,  0x48, 0x8b,
						0x74, 0x24, ANY,  0x41, 0x89, 0xc0, 0x8b,
						0x7c, 0x24, ANY,  0x31, 0xc0 };
	static const unsigned short address[] = { 0xb8, ANY,  ANY, ANY, ANY, 0x48,
						  0x8d, 0x35, ANY, ANY, ANY, ANY };
#undef ANY
	uint32_t value, before;

	memcpy(&value, end - 4, sizeof(value));
	memcpy(&before, end - 11, sizeof(before));
	if (ends_in(end, rax, countof(rax)) && value == nr)
		*ret = (struct form){ .from = end - 7, .bytes = 7 };
	else if (ends_in(end, r9, countof(r9)) || ends_in(end, r11, countof(r11)))
		*ret = (struct form){ .from = end - 5, .bytes = 5 };
	else if (nr == SYS_read && ends_in(end, read, countof(read)))
		*ret = (struct form){ .from = end - 11, .bytes = 11, .translated = OF_READ };
	else if (nr == SYS_read && ends_in(end, reads, countof(reads)))
		*ret = (struct form){ .from = end - 14, .bytes = 14 };
	else if (ends_in(end, address, countof(address)) && before == nr &&
		 !has_more_before(end - 12))
		*ret = (struct form){ .from = end - 12, .bytes = 12, .translated = OF_ADDRESS };
	else if (nr == SYS_exit && has_end(end, ret))
		return true;
	else
		return has_number(end, nr, ret);
	return true;
}

/*
 * Unwinders know a return from a signal by its bytes, which stay where they have nothing else:
 * musl's stands behind a nop of one byte, Go's behind int3. glibc's, which they know by its DWARF,
 * begins at a multiple of 16, behind the longer nop that fills up to there.
 */
static bool may_restore(const struct form *f, uint64_t behind)
{
	return f->bytes == 7 && (behind - 9) % 16 == 0 && f->from[-1] == 0x00;
}

bool plat_patch(struct plat_space *s, uint64_t behind, unsigned int nr,
		unsigned char code[PLAT_SITE])
{
	const unsigned char *end = code + PLAT_SITE - 2;
	struct form f;
	uint32_t n;

	/* What ends them all leaves its stub another way. */
	if (nr == SYS_exit_group)
		return false;
	if (!host.gates || s->dead || s->gates_closed || end[0] != 0x0f || end[1] != 0x05)
		return false;
	if (!has_form(end, nr, &f) || (nr == SYS_rt_sigreturn && !may_restore(&f, behind)))
		return false;
	n = site_for(s, behind, &f);
	if (!n)
		return false;
	put_jump(code + (f.from - code), site_address(n));
	return true;
}

/* What was replaced, with what stood before the call. */
static uint64_t start_of(const struct site *t)
{
	return t->behind - 2 - t->bytes;
}

/* Whether that one's jump stands there. */
static bool is_jump_to(uint32_t n, const unsigned char *p)
{
	unsigned char jump[JUMP];

	put_jump(jump, site_address(n));
	return memcmp(p, jump, sizeof(jump)) == 0;
}

enum plat_patched plat_patched(struct plat_space *s, uint64_t at,
			       const unsigned char code[PLAT_JUMP])
{
	enum plat_patched found = PLAT_NOT_PATCHED;

	for (uint32_t n = 1; n < s->sites_made; n++) {
		struct site *t = &sites_of(s)[n];

		if (start_of(t) + JUMP_BAD != at)
			continue;
		if (is_jump_to(n, code) && t->bytes == JUMP_BAD)
			return PLAT_PATCHED_CALL;
		if (is_jump_to(n, code)) {
			t->never = true;
			return PLAT_PATCHED_INSIDE;
		}
		if (memcmp(code, t->was, JUMP) == 0)
			found = PLAT_UNPATCHED;
	}
	return found;
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
	bool any = false;

	for (uint32_t n = 1; n < s->sites_made; n++) {
		const struct site *t = &sites_of(s)[n];
		uint64_t from = start_of(t);

		if (from < at || t->behind > at + PAGE_SIZE || !is_jump_to(n, page + (from - at)))
			continue;
		memcpy(page + (from - at), t->was, JUMP);
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

/* Where a call from there begins anew: with what was moved, unless that is more than one
 * instruction. Then it is done by now, and the call's own stands where it was. */
static uint64_t again_at(const struct site *t)
{
	return t->bytes <= JUMP ? start_of(t) : t->behind - 2;
}

uint64_t site_settled(const struct plat_space *s, uint64_t at)
{
	const struct site *t = site_at(s, at);
	uint64_t skip;

	if (!t)
		return at;
	if (at % SITE_SIZE == CODE_CALLED)
		return t->behind;
	skip = at - t->entry;
	if (skip >= BEFORE)
		return again_at(t);
	if (t->translated)
		return start_of(t);
	return skip >= t->bytes ? again_at(t) : start_of(t) + skip;
}

uint64_t site_start(const struct plat_space *s, uint64_t to)
{
	uint64_t start = 0;

	for (uint32_t n = 1; n < s->sites_made; n++) {
		const struct site *t = &sites_of(s)[n];

		if (t->behind != to)
			continue;
		/* Of different code that stood there one after the other: the call's instruction,
		 * or what is no more. */
		if (start && start != again_at(t))
			return to - 2;
		start = again_at(t);
	}
	return start ? start : to;
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
