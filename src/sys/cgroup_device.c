/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/cgroup_device.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"

/* Per rule: type, access (3), major, minor, verdict (2). */
#define INSNS_PER_RULE 8
#define INSNS_FRAME    8
#define PROGRAMS_MAX   64

static bool is_all(const struct cgroup_device_rule *r)
{
	return r->type == 'a' && r->access == CGROUP_DEVICE_ALL && r->major < 0 && r->minor < 0;
}

size_t cgroup_device_normalise(struct cgroup_device_rule *rules, size_t n)
{
	size_t first = 0, out = 0;

	for (size_t i = 0; i < n; i++) {
		if (is_all(&rules[i]))
			first = i;
	}
	for (size_t i = first; i < n; i++) {
		bool merged = false;

		/* Back to the last rule of the other kind: between them order means nothing. */
		for (size_t k = out; k > 0 && rules[k - 1].allow == rules[i].allow && !merged;
		     k--) {
			struct cgroup_device_rule *other = &rules[k - 1];

			if (is_all(other) ||
			    (other->type == rules[i].type && other->major == rules[i].major &&
			     other->minor == rules[i].minor)) {
				other->access |= rules[i].access;
				merged = true;
			}
		}
		if (!merged)
			rules[out++] = rules[i];
	}
	return out;
}

bool cgroup_device_all_allowed(const struct cgroup_device_rule *rules, size_t n)
{
	return n == 1 && is_all(&rules[0]) && rules[0].allow;
}

static int bpf_call(int cmd, union bpf_attr *attr)
{
	long r = syscall(SYS_bpf, cmd, attr, sizeof(*attr));

	return r < 0 ? -errno : (int) r;
}

struct program {
	struct bpf_insn insns[INSNS_FRAME + INSNS_PER_RULE * CGROUP_DEVICE_RULES_MAX];
	size_t n;
};

static void emit(struct program *p, uint8_t code, unsigned dst, unsigned src, int16_t off,
		 int32_t imm)
{
	p->insns[p->n++] = (struct bpf_insn){
		.code = code, .dst_reg = dst & 15, .src_reg = src & 15, .off = off, .imm = imm
	};
}

/* Registers: r2 type, r3 access, r4 major, r5 minor, r1 scratch once they are loaded. */
static void emit_rule(struct program *p, const struct cgroup_device_rule *r)
{
	size_t start = p->n;

	if (r->type != 'a')
		emit(p, BPF_JMP32 | BPF_JNE | BPF_K, 2, 0, 0,
		     r->type == 'c' ? BPF_DEVCG_DEV_CHAR : BPF_DEVCG_DEV_BLOCK);
	if (r->access != CGROUP_DEVICE_ALL) {
		/* An allowance must cover all that is asked for, a denial any part of it. */
		unsigned mask = r->allow ? CGROUP_DEVICE_ALL & ~r->access : r->access;

		emit(p, BPF_ALU | BPF_MOV | BPF_X, 1, 3, 0, 0);
		emit(p, BPF_ALU | BPF_AND | BPF_K, 1, 0, 0, (int32_t) mask);
		emit(p, r->allow ? BPF_JMP32 | BPF_JNE | BPF_K : BPF_JMP32 | BPF_JEQ | BPF_K, 1, 0,
		     0, 0);
	}
	if (r->major >= 0)
		emit(p, BPF_JMP32 | BPF_JNE | BPF_K, 4, 0, 0, (int32_t) r->major);
	if (r->minor >= 0)
		emit(p, BPF_JMP32 | BPF_JNE | BPF_K, 5, 0, 0, (int32_t) r->minor);
	emit(p, BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, r->allow);
	emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	for (size_t i = start; i < p->n; i++) {
		if (BPF_CLASS(p->insns[i].code) == BPF_JMP32)
			p->insns[i].off = (int16_t) (p->n - i - 1);
	}
}

static int load(const struct cgroup_device_rule *rules, size_t n)
{
	auto_free struct program *p = calloc(1, sizeof(*p));
	bool closed = false;

	if (!p)
		return -ENOMEM;
	emit(p, BPF_LDX | BPF_MEM | BPF_W, 3, 1, offsetof(struct bpf_cgroup_dev_ctx, access_type),
	     0);
	emit(p, BPF_LDX | BPF_MEM | BPF_W, 4, 1, offsetof(struct bpf_cgroup_dev_ctx, major), 0);
	emit(p, BPF_LDX | BPF_MEM | BPF_W, 5, 1, offsetof(struct bpf_cgroup_dev_ctx, minor), 0);
	emit(p, BPF_ALU | BPF_MOV | BPF_X, 2, 3, 0, 0);
	emit(p, BPF_ALU | BPF_AND | BPF_K, 2, 0, 0, 0xffff);
	emit(p, BPF_ALU | BPF_RSH | BPF_K, 3, 0, 0, 16);
	for (size_t i = n; i > 0 && !closed; i--) {
		emit_rule(p, &rules[i - 1]);
		closed = is_all(&rules[i - 1]); /* what follows would be unreachable: refused */
	}
	if (!closed) {
		emit(p, BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0);
		emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	}
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
		.insn_cnt = (uint32_t) p->n,
		.insns = (uintptr_t) p->insns,
		.license = (uintptr_t) "Apache-2.0",
	};

	return bpf_call(BPF_PROG_LOAD, &attr);
}

/* The programs now on the cgroup; none on kernels that cannot tell. */
static size_t attached(int dir_fd, uint32_t ids[static PROGRAMS_MAX])
{
	union bpf_attr attr = { 0 };

	attr.query.target_fd = (uint32_t) dir_fd;
	attr.query.attach_type = BPF_CGROUP_DEVICE;
	attr.query.prog_cnt = PROGRAMS_MAX;
	attr.query.prog_ids = (uintptr_t) ids;
	return bpf_call(BPF_PROG_QUERY, &attr) < 0 ? 0 : attr.query.prog_cnt;
}

static int program_by_id(uint32_t id)
{
	union bpf_attr attr = { .prog_id = id };

	return bpf_call(BPF_PROG_GET_FD_BY_ID, &attr);
}

static int detach(int dir_fd, int prog_fd)
{
	union bpf_attr attr = { .target_fd = (uint32_t) dir_fd,
				.attach_bpf_fd = (uint32_t) prog_fd,
				.attach_type = BPF_CGROUP_DEVICE };

	return bpf_call(BPF_PROG_DETACH, &attr);
}

/* systemd's own of a unit, by the name it gives them: it looks after it, and ours is beside it. */
static bool is_systemds(int prog_fd)
{
	struct bpf_prog_info info = { 0 };
	union bpf_attr attr = { .info.bpf_fd = (uint32_t) prog_fd,
				.info.info_len = sizeof(info),
				.info.info = (uintptr_t) &info };

	return bpf_call(BPF_OBJ_GET_INFO_BY_FD, &attr) == 0 && strcmp(info.name, "sd_devices") == 0;
}

int cgroup_device_attach(int dir_fd, const struct cgroup_device_rule *rules, size_t n)
{
	uint32_t old[PROGRAMS_MAX];
	int old_fds[PROGRAMS_MAX];

	if (n > CGROUP_DEVICE_RULES_MAX)
		return -E2BIG;
	auto_fd int prog = load(rules, n);

	if (prog < 0)
		return prog;
	size_t all = attached(dir_fd, old), old_n = 0;

	for (size_t i = 0; i < all; i++) {
		int fd = program_by_id(old[i]); /* gone meanwhile: what is wanted */

		if (fd >= 0 && is_systemds(fd))
			(void) close(fd);
		else if (fd >= 0)
			old_fds[old_n++] = fd;
	}
	union bpf_attr attr = { .target_fd = (uint32_t) dir_fd,
				.attach_bpf_fd = (uint32_t) prog,
				.attach_type = BPF_CGROUP_DEVICE,
				.attach_flags = BPF_F_ALLOW_MULTI };

	/* All attached programs must agree: one left over from before would deny what this allows.
	 * One is replaced in one step, so that there is no moment without rules. */
	if (old_n == 1) {
		attr.attach_flags |= BPF_F_REPLACE;
		attr.replace_bpf_fd = (uint32_t) old_fds[0];
	}
	int r = bpf_call(BPF_PROG_ATTACH, &attr);

	for (size_t i = 0; i < old_n; i++) {
		if (r == 0 && old_n > 1)
			(void) detach(dir_fd, old_fds[i]); /* gone meanwhile: what was wanted */
		(void) close(old_fds[i]);
	}
	return r;
}
