/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program is run by an interpreter of the few instructions that it uses; a namespace that has
 * it is in tests/e2e/test_microvm_cri.py.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "base/test.h"
#include "sys/sk_lookup.h"

#define MAP_FD 77

static char a_socket;

struct kernel {
	const struct bpf_sk_lookup *context;
	void *in_map;
	void *assigned;
	int held; /* references */
	bool wrong;
};

static uint64_t call(struct kernel *k, int32_t function, const uint64_t r[11])
{
	uint32_t key;

	switch (function) {
	case BPF_FUNC_map_lookup_elem:
		memcpy(&key, (const void *) (uintptr_t) r[2], sizeof(key));
		k->wrong |= r[1] != MAP_FD || key != 0;
		k->held += k->in_map != NULL;
		return (uintptr_t) k->in_map;
	case BPF_FUNC_sk_assign:
		k->wrong |= r[1] != (uintptr_t) k->context || r[3] != 0 || !k->held;
		k->assigned = (void *) (uintptr_t) r[2];
		return 0;
	case BPF_FUNC_sk_release:
		k->wrong |= r[1] != (uintptr_t) k->in_map;
		k->held--;
		return 0;
	default:
		k->wrong = true;
		return 0;
	}
}

/* What it gives; -1: it does what no program may. */
static int run(struct kernel *k)
{
	struct bpf_insn insns[SK_LOOKUP_INSNS];
	uint64_t r[11] = { 0 }, stack[8] = { 0 };
	uint32_t word;

	sk_lookup_program(MAP_FD, insns);
	r[1] = (uintptr_t) k->context;
	r[10] = (uintptr_t) (stack + 8);
	for (size_t pc = 0; pc < SK_LOOKUP_INSNS; pc++) {
		const struct bpf_insn *i = &insns[pc];
		uint64_t *dst = &r[i->dst_reg];

		switch (i->code) {
		case BPF_LDX | BPF_MEM | BPF_W:
			memcpy(&word, (const char *) (uintptr_t) r[i->src_reg] + i->off,
			       sizeof(word));
			*dst = word;
			break;
		case BPF_ST | BPF_MEM | BPF_W:
			memcpy((char *) (uintptr_t) *dst + i->off, &i->imm, sizeof(i->imm));
			break;
		case BPF_LD | BPF_DW | BPF_IMM:
			*dst = (uint32_t) i->imm;
			k->wrong |= i->src_reg != BPF_PSEUDO_MAP_FD;
			pc++;
			break;
		case BPF_ALU64 | BPF_MOV | BPF_X:
			*dst = r[i->src_reg];
			break;
		case BPF_ALU64 | BPF_MOV | BPF_K:
			*dst = (uint64_t) i->imm;
			break;
		case BPF_ALU64 | BPF_ADD | BPF_K:
			*dst += (uint64_t) i->imm;
			break;
		case BPF_JMP | BPF_JNE | BPF_K:
			pc += *dst != (uint64_t) i->imm ? (size_t) i->off : 0;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			pc += *dst == (uint64_t) i->imm ? (size_t) i->off : 0;
			break;
		case BPF_JMP | BPF_CALL:
			r[0] = call(k, i->imm, r);
			memset(&r[1], 0xee, 5 * sizeof(r[0])); /* as calls may */
			break;
		case BPF_JMP | BPF_EXIT:
			return k->wrong || k->held ? -1 : (int) r[0];
		default:
			return -1;
		}
	}
	return -1;
}

/* Whether it comes to the socket. */
static bool comes(uint32_t family, uint32_t protocol, const char *address, void *in_map)
{
	struct bpf_sk_lookup context = { .family = family,
					 .protocol = protocol,
					 .local_ip4 = inet_addr(address),
					 .local_port = 80 };
	struct kernel k = { .context = &context, .in_map = in_map };

	CHECK(run(&k) == SK_PASS);
	CHECK(!k.assigned || k.assigned == in_map);
	return k.assigned;
}

int main(void)
{
	CHECK(comes(AF_INET, IPPROTO_TCP, "127.0.0.1", &a_socket));
	CHECK(!comes(AF_INET, IPPROTO_TCP, "127.0.0.1", NULL));
	CHECK(!comes(AF_INET, IPPROTO_UDP, "127.0.0.1", &a_socket));
	CHECK(!comes(AF_INET6, IPPROTO_TCP, "127.0.0.1", &a_socket));
	CHECK(!comes(AF_INET, IPPROTO_TCP, "127.0.0.11", &a_socket));
	CHECK(!comes(AF_INET, IPPROTO_TCP, "10.0.0.2", &a_socket));
	CHECK(!comes(AF_INET, IPPROTO_TCP, "0.0.0.0", &a_socket));
	return test_done();
}
