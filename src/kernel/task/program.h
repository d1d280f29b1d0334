/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a file to something that can run: what execve does to an address space. ELF of 64-bit x86
 * (fixed and position independent, with an interpreter or without), "#!" scripts up to four deep,
 * the first stack with arguments, environment and auxiliary vector (System V ABI, AMD64
 * supplement 3.4). The file is the guest's own work: nothing in it is believed.
 *
 * It is not execve: credentials, descriptors, threads and signals are others' (task/).
 */
#pragma once

#include "kernel/vfs/walk.h"

struct space;

#define PROGRAM_SCRIPTS 4
#define PROGRAM_LINE	256 /* of "#!", as BINPRM_BUF_SIZE */

#define PROGRAM_AUXILIARY 44

/* Texts one behind the other, each with its end. */
struct words {
	char *bytes; /* of the heap */
	size_t used, most, room;
	uint32_t count;
};

/* most: bytes at most; -E2BIG above. */
void words_init(struct words *w, size_t most);
void words_fini(struct words *w);
/* At the end, or before all others. -E2BIG, -ENOMEM. */
[[nodiscard]] int words_add(struct words *w, const char *text, size_t len);
[[nodiscard]] int words_put_first(struct words *w, const char *text, size_t len);
/* argv[0] goes. */
void words_drop_first(struct words *w);

struct program_request {
	const struct walk *walk; /* for interpreters of scripts and programs */
	const struct path *exe;	 /* borrowed: found, may be executed */
	const char *name;	 /* as it was called: AT_EXECFN, and what a script is told */
	struct words *arguments; /* a script's interpreter changes it */
	const struct words *environment;
	uint64_t hardware; /* AT_HWCAP: CPUID 1, EDX */
	/* Who it will be, once it is known what runs (of a script the interpreter): for AT_UID and
	 * its kin and AT_SECURE. Borrowed from the callee. NULL: walk->who, not secure. */
	int (*become)(void *arg, const struct path *exe, const struct cred **ret_who,
		      bool *ret_secure);
	void *become_arg;
	bool fixed; /* nothing stands where chance puts it: ADDR_NO_RANDOMIZE */
};

struct program {
	struct path exe; /* owned: what runs, which of a script is the interpreter */
	char comm[16];
	uint64_t entry, stack; /* the first registers: ip and sp */
	uint64_t code_start, code_end, data_start, data_end, brk_start;
	uint64_t stack_start, arguments_start, arguments_end, environment_start, environment_end;
	uint64_t auxiliary[PROGRAM_AUXILIARY]; /* pairs, to AT_NULL's */
	size_t auxiliary_count;		       /* of numbers */
};

/*
 * Into a space with nothing in it; what is in it after an error is to be thrown away with it.
 * -ENOEXEC, -EACCES, -ELIBBAD, -ENOENT, -E2BIG, -ENOMEM, -ELOOP, -EIO. May park.
 */
[[nodiscard]] int program_load(struct space *s, const struct program_request *q,
			       struct program *ret);
/* Whether `who` may execute it: a regular file, with an x bit, not on a mount without. 0, -EACCES.
 */
[[nodiscard]] int program_may(const struct path *exe, const struct cred *who);
