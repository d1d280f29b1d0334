/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/task/bpf.h"

#include "kernel/core/heap.h"

#define CELLS  BPF_MEMWORDS
#define LENGTH ((uint32_t) sizeof(struct seccomp_data)) /* what BPF_LEN gives */

/* ---- before it runs ---- */

/* Loads of A and X, returns, and what has no operand that could be wrong. */
static bool plain(const struct sock_filter *i)
{
	switch (i->code) {
	case BPF_LD | BPF_W | BPF_LEN:
	case BPF_LDX | BPF_W | BPF_LEN:
	case BPF_LD | BPF_IMM:
	case BPF_LDX | BPF_IMM:
	case BPF_MISC | BPF_TAX:
	case BPF_MISC | BPF_TXA:
	case BPF_RET | BPF_K:
	case BPF_RET | BPF_A:
	case BPF_ALU | BPF_NEG:
		return true;
	case BPF_LD | BPF_W | BPF_ABS:
		return i->k < LENGTH && i->k % 4 == 0;
	case BPF_LD | BPF_MEM:
	case BPF_LDX | BPF_MEM:
	case BPF_ST:
	case BPF_STX:
		return i->k < CELLS;
	default:
		return false;
	}
}

static bool calculates(const struct sock_filter *i)
{
	if (BPF_CLASS(i->code) != BPF_ALU || i->code & ~0xff)
		return false;
	switch (BPF_OP(i->code)) {
	case BPF_ADD:
	case BPF_SUB:
	case BPF_MUL:
	case BPF_AND:
	case BPF_OR:
	case BPF_XOR:
		return true;
	case BPF_DIV:
		return BPF_SRC(i->code) == BPF_X || i->k != 0;
	case BPF_LSH:
	case BPF_RSH:
		return BPF_SRC(i->code) == BPF_X || i->k < 32;
	default:
		return false;
	}
}

/* left: instructions behind this one. */
static bool jumps(const struct sock_filter *i, size_t left)
{
	switch (i->code) {
	case BPF_JMP | BPF_JA:
		return i->k < left;
	case BPF_JMP | BPF_JEQ | BPF_K:
	case BPF_JMP | BPF_JEQ | BPF_X:
	case BPF_JMP | BPF_JGE | BPF_K:
	case BPF_JMP | BPF_JGE | BPF_X:
	case BPF_JMP | BPF_JGT | BPF_K:
	case BPF_JMP | BPF_JGT | BPF_X:
	case BPF_JMP | BPF_JSET | BPF_K:
	case BPF_JMP | BPF_JSET | BPF_X:
		return i->jt < left && i->jf < left;
	default:
		return false;
	}
}

/* One way of several to an instruction: what is written on all of them is. */
static uint16_t *at(uint16_t *ways, size_t pc, size_t over)
{
	return &ways[pc + 1 + over];
}

/* No cell is read that no way there has written. ways: of each instruction, all ones. */
static bool cells(const struct sock_filter *code, size_t n, uint16_t *ways)
{
	uint16_t written = 0;

	for (size_t pc = 0; pc < n; pc++) {
		const struct sock_filter *i = &code[pc];

		written &= ways[pc];
		switch (BPF_CLASS(i->code)) {
		case BPF_ST:
		case BPF_STX:
			written |= (uint16_t) (1u << i->k);
			break;
		case BPF_LD:
		case BPF_LDX:
			if (BPF_MODE(i->code) == BPF_MEM && !(written >> i->k & 1))
				return false;
			break;
		case BPF_JMP:
			if (BPF_OP(i->code) == BPF_JA) {
				*at(ways, pc, i->k) &= written;
			} else {
				*at(ways, pc, i->jt) &= written;
				*at(ways, pc, i->jf) &= written;
			}
			written = UINT16_MAX;
			break;
		default:
			break;
		}
	}
	return true;
}

int bpf_check(const struct sock_filter *code, size_t n, bool *ret_place)
{
	const uint32_t place = offsetof(struct seccomp_data, instruction_pointer);
	uint16_t *ways;
	bool good;

	if (n == 0 || n > BPF_MAXINSNS || BPF_CLASS(code[n - 1].code) != BPF_RET)
		return -EINVAL;
	*ret_place = false;
	for (size_t pc = 0; pc < n; pc++) {
		const struct sock_filter *i = &code[pc];

		if (!plain(i) && !calculates(i) && !jumps(i, n - pc - 1))
			return -EINVAL;
		*ret_place |= i->code == (BPF_LD | BPF_W | BPF_ABS) && i->k >= place &&
			      i->k < place + sizeof(uint64_t);
	}
	ways = heap_alloc(n * sizeof(*ways));
	if (!ways)
		return -ENOMEM;
	memset(ways, 0xff, n * sizeof(*ways));
	good = cells(code, n, ways);
	heap_free(ways);
	return good ? 0 : -EINVAL;
}

/* ---- as it runs ---- */

/* False: a division by zero, which ends the program. */
static bool calculate(uint32_t *a, unsigned int op, uint32_t b)
{
	switch (op) {
	case BPF_ADD:
		*a += b;
		return true;
	case BPF_SUB:
		*a -= b;
		return true;
	case BPF_MUL:
		*a *= b;
		return true;
	case BPF_DIV:
		if (b == 0)
			return false;
		*a /= b;
		return true;
	case BPF_AND:
		*a &= b;
		return true;
	case BPF_OR:
		*a |= b;
		return true;
	case BPF_XOR:
		*a ^= b;
		return true;
	case BPF_LSH:
		*a <<= b & 31;
		return true;
	case BPF_RSH:
		*a >>= b & 31;
		return true;
	default: /* BPF_NEG */
		*a = -*a;
		return true;
	}
}

static bool holds(uint32_t a, unsigned int op, uint32_t b)
{
	switch (op) {
	case BPF_JEQ:
		return a == b;
	case BPF_JGE:
		return a >= b;
	case BPF_JGT:
		return a > b;
	default: /* BPF_JSET */
		return a & b;
	}
}

static uint32_t word(const struct seccomp_data *d, uint32_t offset, bool *looked)
{
	uint32_t w;

	*looked |= offset >= offsetof(struct seccomp_data, instruction_pointer);
	memcpy(&w, (const char *) d + offset, sizeof(w));
	return w;
}

uint32_t bpf_run(const struct sock_filter *i, const struct seccomp_data *d, bool *looked)
{
	uint32_t a = 0, x = 0, cell[CELLS] = {};

	for (;; i++) {
		uint32_t operand = BPF_SRC(i->code) == BPF_X ? x : i->k;

		switch (BPF_CLASS(i->code)) {
		case BPF_LD:
			a = BPF_MODE(i->code) == BPF_ABS   ? word(d, i->k, looked)
			    : BPF_MODE(i->code) == BPF_MEM ? cell[i->k]
			    : BPF_MODE(i->code) == BPF_LEN ? LENGTH
							   : i->k;
			break;
		case BPF_LDX:
			x = BPF_MODE(i->code) == BPF_MEM   ? cell[i->k]
			    : BPF_MODE(i->code) == BPF_LEN ? LENGTH
							   : i->k;
			break;
		case BPF_ST:
			cell[i->k] = a;
			break;
		case BPF_STX:
			cell[i->k] = x;
			break;
		case BPF_ALU:
			if (!calculate(&a, BPF_OP(i->code), operand))
				return 0;
			break;
		case BPF_JMP:
			if (BPF_OP(i->code) == BPF_JA)
				i += i->k;
			else
				i += holds(a, BPF_OP(i->code), operand) ? i->jt : i->jf;
			break;
		case BPF_MISC:
			if (BPF_MISCOP(i->code) == BPF_TAX)
				x = a;
			else
				a = x;
			break;
		default: /* BPF_RET */
			return BPF_RVAL(i->code) == BPF_A ? a : i->k;
		}
	}
}
