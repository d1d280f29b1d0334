/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/sk_lookup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"

#define OFF(member) ((int16_t) offsetof(struct bpf_sk_lookup, member))

void sk_lookup_program(int map_fd, struct bpf_insn ret_insns[static SK_LOOKUP_INSNS])
{
	/* Registers: r1 the context, r6 it, too, as calls spoil r1 to r5; r7 the socket. */
	const struct bpf_insn insns[SK_LOOKUP_INSNS] = {
		{ BPF_LDX | BPF_MEM | BPF_W, 2, 1, OFF(family), 0 },
		{ BPF_JMP | BPF_JNE | BPF_K, 2, 0, 19, AF_INET },
		{ BPF_LDX | BPF_MEM | BPF_W, 2, 1, OFF(protocol), 0 },
		{ BPF_JMP | BPF_JNE | BPF_K, 2, 0, 17, IPPROTO_TCP },
		{ BPF_LDX | BPF_MEM | BPF_W, 2, 1, OFF(local_ip4), 0 },
		{ BPF_JMP | BPF_JNE | BPF_K, 2, 0, 15, (int32_t) htonl(INADDR_LOOPBACK) },
		{ BPF_ALU64 | BPF_MOV | BPF_X, 6, 1, 0, 0 },
		/* r7 = the map's socket 0, with a reference; NULL: it is closed */
		{ BPF_ST | BPF_MEM | BPF_W, 10, 0, -4, 0 },
		{ BPF_LD | BPF_DW | BPF_IMM, 1, BPF_PSEUDO_MAP_FD, 0, map_fd },
		{ 0, 0, 0, 0, 0 }, /* its upper half */
		{ BPF_ALU64 | BPF_MOV | BPF_X, 2, 10, 0, 0 },
		{ BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, -4 },
		{ BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem },
		{ BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 7, 0 },
		{ BPF_ALU64 | BPF_MOV | BPF_X, 7, 0, 0, 0 },
		{ BPF_ALU64 | BPF_MOV | BPF_X, 1, 6, 0, 0 },
		{ BPF_ALU64 | BPF_MOV | BPF_X, 2, 7, 0, 0 },
		{ BPF_ALU64 | BPF_MOV | BPF_K, 3, 0, 0, 0 },
		{ BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_sk_assign },
		{ BPF_ALU64 | BPF_MOV | BPF_X, 1, 7, 0, 0 },
		{ BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_sk_release },
		/* what was not assigned is looked up as ever */
		{ BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, SK_PASS },
		{ BPF_JMP | BPF_EXIT, 0, 0, 0, 0 },
	};

	memcpy(ret_insns, insns, sizeof(insns));
}

static int bpf_call(int cmd, union bpf_attr *attr)
{
	long r = syscall(SYS_bpf, cmd, attr, sizeof(*attr));

	return r < 0 ? -errno : (int) r;
}

/* A map of one socket. */
static int make_map(int sock)
{
	union bpf_attr attr = { .map_type = BPF_MAP_TYPE_SOCKMAP,
				.key_size = sizeof(uint32_t),
				.value_size = sizeof(uint64_t),
				.max_entries = 1 };
	auto_fd int map = bpf_call(BPF_MAP_CREATE, &attr);
	uint64_t value = (uint64_t) sock;
	uint32_t key = 0;
	int r;

	if (map < 0)
		return map;
	memset(&attr, 0, sizeof(attr));
	attr.map_fd = (uint32_t) map;
	attr.key = (uintptr_t) &key;
	attr.value = (uintptr_t) &value;
	r = bpf_call(BPF_MAP_UPDATE_ELEM, &attr);
	return r < 0 ? r : take_fd(&map);
}

static int load(int map)
{
	struct bpf_insn insns[SK_LOOKUP_INSNS];
	union bpf_attr attr = { .prog_type = BPF_PROG_TYPE_SK_LOOKUP,
				.expected_attach_type = BPF_SK_LOOKUP,
				.insn_cnt = SK_LOOKUP_INSNS,
				.insns = (uintptr_t) insns,
				.license = (uintptr_t) "Apache-2.0" };

	sk_lookup_program(map, insns);
	return bpf_call(BPF_PROG_LOAD, &attr);
}

int sk_lookup_listen(int backlog)
{
	const struct sockaddr_in at = { .sin_family = AF_INET,
					.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	auto_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	/* It must have a port, too, which means nothing: the program is asked first. */
	if (fd < 0 || bind(fd, (const struct sockaddr *) (const void *) &at, sizeof(at)) < 0 ||
	    listen(fd, backlog) < 0)
		return -errno;
	return take_fd(&fd);
}

int sk_lookup_attach(int netns, int listener)
{
	auto_fd int map = make_map(listener);
	auto_fd int program = map < 0 ? map : load(map);
	union bpf_attr attr = { 0 };

	if (program < 0)
		return program;
	attr.link_create.prog_fd = (uint32_t) program;
	attr.link_create.target_fd = (uint32_t) netns;
	attr.link_create.attach_type = BPF_SK_LOOKUP;
	return bpf_call(BPF_LINK_CREATE, &attr);
}
