/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names to numbers (libseccomp's tables), words to constants; the program itself comes from
 * sys/seccomp. libseccomp's own compiler is not used: it takes 13 ms for docker's profile, longer
 * than all the rest of a start.
 */
#include "engine/container/seccomp.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/str.h"
#include "engine/container/seccomp_cache.h"
#include "fmt/spec.h"
#include "sys/seccomp.h"

#define ARCHS_MAX 24
#define ERRNO_MAX 4095 /* the kernel's MAX_ERRNO: it cuts what is above */
#define X32_BIT	  0x40000000u
#define RULES_MAX 20000 /* over all names; a program of 4096 instructions cannot hold more */

struct compiling {
	struct arena *a;
	const struct spec_seccomp *s;
	uint32_t token[ARCHS_MAX]; /* SCMP_ARCH_* */
	size_t tokens_n;
	struct seccomp_arch archs[ARCHS_MAX];
	size_t archs_n;
	uint32_t default_action;
};

static int action_of(const char *word, bool errno_set, uint32_t errno_ret, uint32_t *ret_action,
		     struct err *e)
{
	static const struct {
		const char *word;
		uint32_t action;
		bool data;
	} words[] = {
		{ "SCMP_ACT_ALLOW", SECCOMP_RET_ALLOW, false },
		{ "SCMP_ACT_ERRNO", SECCOMP_RET_ERRNO, true },
		{ "SCMP_ACT_KILL", SECCOMP_RET_KILL_THREAD, false },
		{ "SCMP_ACT_KILL_THREAD", SECCOMP_RET_KILL_THREAD, false },
		{ "SCMP_ACT_KILL_PROCESS", SECCOMP_RET_KILL_PROCESS, false },
		{ "SCMP_ACT_LOG", SECCOMP_RET_LOG, false },
		{ "SCMP_ACT_NOTIFY", SECCOMP_RET_USER_NOTIF, false },
		{ "SCMP_ACT_TRACE", SECCOMP_RET_TRACE, true },
		{ "SCMP_ACT_TRAP", SECCOMP_RET_TRAP, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (!streq(word, words[i].word))
			continue;
		/* Specification, "errnoRet": an action that has none must not be given one. */
		if (errno_set && !words[i].data)
			return err_set(e, ERR_INVALID, EINVAL,
				       "linux.seccomp: errnoRet with %s, which returns none", word);
		if (words[i].action == SECCOMP_RET_ERRNO && errno_set && errno_ret > ERRNO_MAX)
			return err_set(e, ERR_INVALID, ERANGE,
				       "linux.seccomp: errnoRet %u: not from 0 to %d", errno_ret,
				       ERRNO_MAX);
		*ret_action = words[i].action;
		if (words[i].data)
			*ret_action |= (errno_set ? errno_ret : EPERM) & SECCOMP_RET_DATA;
		return 0;
	}
	return err_set(e, ERR_INVALID, EINVAL, "linux.seccomp: '%.40s' is no action", word);
}

static int compare_of(const char *word, enum seccomp_compare *ret_op, struct err *e)
{
	static const struct {
		const char *word;
		enum seccomp_compare op;
	} words[] = {
		{ "SCMP_CMP_NE", SECCOMP_NE },
		{ "SCMP_CMP_LT", SECCOMP_LT },
		{ "SCMP_CMP_LE", SECCOMP_LE },
		{ "SCMP_CMP_EQ", SECCOMP_EQ },
		{ "SCMP_CMP_GE", SECCOMP_GE },
		{ "SCMP_CMP_GT", SECCOMP_GT },
		{ "SCMP_CMP_MASKED_EQ", SECCOMP_MASKED_EQ },
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (streq(word, words[i].word)) {
			*ret_op = words[i].op;
			return 0;
		}
	}
	return err_set(e, ERR_INVALID, EINVAL, "linux.seccomp: '%.40s' is no operator", word);
}

static int add_token(struct compiling *c, uint32_t token)
{
	for (size_t i = 0; i < c->tokens_n; i++) {
		if (c->token[i] == token)
			return 0;
	}
	if (c->tokens_n == ARCHS_MAX)
		return -E2BIG;
	c->token[c->tokens_n++] = token;
	return 0;
}

/* "SCMP_ARCH_X86_64" is libseccomp's "x86_64". */
static uint32_t arch_token(const char *word)
{
	char name[32] = "";

	if (strncmp(word, "SCMP_ARCH_", 10) != 0)
		return 0;
	(void) snprintf(name, sizeof(name), "%s", word + 10);
	for (char *p = name; *p; p++)
		*p = *p >= 'A' && *p <= 'Z' ? (char) (*p - 'A' + 'a') : *p;
	return seccomp_arch_resolve_name(name);
}

bool seccomp_arch_known(const char *word)
{
	return arch_token(word) != 0;
}

/* The machine's own is always there. */
static int read_archs(struct compiling *c, struct err *e)
{
	(void) add_token(c, seccomp_arch_native()); /* the first always fits */
	for (size_t i = 0; i < c->s->architectures_n; i++) {
		const char *word = c->s->architectures[i];
		uint32_t token = arch_token(word);

		if (!token)
			return err_set(e, ERR_INVALID, EINVAL,
				       "linux.seccomp.architectures: '%.40s' is not known", word);
		if (add_token(c, token) < 0)
			return err_set(e, ERR_INVALID, E2BIG,
				       "linux.seccomp.architectures: more than %d", ARCHS_MAX);
	}
	return 0;
}

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "linux.seccomp: too large");
}

/* x32 is x86-64 to the kernel, with numbers of its own. */
static struct seccomp_arch *arch_of(struct compiling *c, uint32_t token)
{
	uint32_t audit = token == SCMP_ARCH_X32 ? SCMP_ARCH_X86_64 : token;

	for (size_t i = 0; i < c->archs_n; i++) {
		if (c->archs[i].audit == audit)
			return &c->archs[i];
	}
	c->archs[c->archs_n] = (struct seccomp_arch){ .audit = audit,
						      .foreign_from = UINT32_MAX,
						      .foreign_action = SECCOMP_RET_KILL_THREAD };
	return &c->archs[c->archs_n++];
}

static int add_rule(struct compiling *c, struct seccomp_arch *arch, struct seccomp_rule r,
		    struct err *e)
{
	struct seccomp_rule *slot = arch->rules_n >= RULES_MAX
					    ? NULL
					    : arena_push(c->a, &arch->rules, &arch->rules_n,
							 sizeof(*slot));

	if (!slot)
		return no_memory(e);
	*slot = r;
	return 0;
}

/*
 * On 32-bit x86 sockets and System V IPC have two ways in: a number each, and one number for all
 * with the call in its first argument. libseccomp says -101 for the 1st of socketcall, -201 of ipc.
 */
static uint32_t x86_direct(int pseudo)
{
	static const struct {
		int pseudo;
		uint32_t nr;
	} table[] = {
		{ -101, 359 }, { -102, 361 }, { -103, 362 }, { -104, 363 }, { -106, 367 },
		{ -107, 368 }, { -108, 360 }, { -111, 369 }, { -112, 371 }, { -113, 373 },
		{ -114, 366 }, { -115, 365 }, { -116, 370 }, { -117, 372 }, { -118, 364 },
		{ -119, 337 }, { -120, 345 }, { -202, 393 }, { -203, 394 }, { -211, 400 },
		{ -212, 401 }, { -213, 399 }, { -214, 402 }, { -221, 397 }, { -222, 398 },
		{ -223, 395 }, { -224, 396 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (table[i].pseudo == pseudo)
			return table[i].nr;
	}
	return 0;
}

static int add_multiplexed(struct compiling *c, struct seccomp_arch *arch, int pseudo,
			   struct seccomp_rule r, struct err *e)
{
	bool sockets = pseudo > -200;
	struct seccomp_condition *q = arena_alloc(c->a, sizeof(*q));
	int err;

	if (!q)
		return no_memory(e);
	r.nr = x86_direct(pseudo);
	if (r.nr) {
		err = add_rule(c, arch, r, e);
		if (err < 0)
			return err;
	}
	/* The arguments stand in memory there, where no filter sees them. */
	if (r.conditions_n)
		return 0;
	*q = (struct seccomp_condition){ .arg = 0,
					 .op = SECCOMP_EQ,
					 .value = (uint64_t) (-pseudo - (sockets ? 100 : 200)) };
	r.nr = sockets ? 102 : 117;
	r.conditions = q;
	r.conditions_n = 1;
	return add_rule(c, arch, r, e);
}

/*
 * Calls newer than the library's tables (Linux 5.17): since 424 a call has the same number on all
 * architectures; but for these the numbers of a whole family are shifted.
 */
static int newer_number(uint32_t token, const char *name)
{
	static const struct {
		const char *name;
		int nr;
	} table[] = {
		{ "cachestat", 451 },	      { "fchmodat2", 452 },
		{ "map_shadow_stack", 453 },  { "futex_wake", 454 },
		{ "futex_wait", 455 },	      { "futex_requeue", 456 },
		{ "statmount", 457 },	      { "listmount", 458 },
		{ "lsm_get_self_attr", 459 }, { "lsm_set_self_attr", 460 },
		{ "lsm_list_modules", 461 },  { "mseal", 462 },
		{ "setxattrat", 463 },	      { "getxattrat", 464 },
		{ "listxattrat", 465 },	      { "removexattrat", 466 },
		{ "open_tree_attr", 467 },    { "file_getattr", 468 },
		{ "file_setattr", 469 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (!streq(table[i].name, name))
			continue;
		switch (token) {
		case SCMP_ARCH_X32:
			return (int) X32_BIT + table[i].nr;
		case SCMP_ARCH_MIPS:
		case SCMP_ARCH_MIPSEL:
			return 4000 + table[i].nr;
		case SCMP_ARCH_MIPS64:
		case SCMP_ARCH_MIPSEL64:
			return 5000 + table[i].nr;
		case SCMP_ARCH_MIPS64N32:
		case SCMP_ARCH_MIPSEL64N32:
			return 6000 + table[i].nr;
		}
		return table[i].nr;
	}
	return __NR_SCMP_ERROR;
}

static int add_name(struct compiling *c, const char *name, const struct seccomp_rule *rule,
		    struct err *e)
{
	for (size_t i = 0; i < c->tokens_n; i++) {
		struct seccomp_arch *arch = arch_of(c, c->token[i]);
		int nr = seccomp_syscall_resolve_name_arch(c->token[i], name), r = 0;
		struct seccomp_rule one = *rule;

		if (nr == __NR_SCMP_ERROR)
			nr = newer_number(c->token[i], name);
		one.nr = (uint32_t) nr;
		if (nr >= 0)
			r = add_rule(c, arch, one, e);
		else if (c->token[i] == SCMP_ARCH_X86 && nr < -100 && nr > -300)
			r = add_multiplexed(c, arch, nr, one, e);
		if (r < 0)
			return r;
		if (nr >= 0 && (uint32_t) nr < X32_BIT && (uint32_t) nr > arch->last_known)
			arch->last_known = (uint32_t) nr;
	}
	return 0;
}

/*
 * Several conditions on one argument mean "any of them" to libseccomp's users, conditions on
 * different ones "all of them".
 */
static int add_conditions(struct compiling *c, const struct spec_seccomp_rule *r,
			  struct seccomp_rule *rule, size_t *ret_alternatives, struct err *e)
{
	struct seccomp_condition *q = arena_array(c->a, r->args_n ? r->args_n : 1, sizeof(*q));
	unsigned seen = 0;
	bool repeated = false;

	if (!q)
		return no_memory(e);
	for (size_t i = 0; i < r->args_n; i++) {
		int err = compare_of(r->args[i].op, &q[i].op, e);

		if (err < 0)
			return err;
		q[i].arg = r->args[i].index;
		q[i].value = r->args[i].value;
		q[i].value_two = r->args[i].value_two;
		repeated = repeated || (seen & 1u << q[i].arg);
		seen |= 1u << q[i].arg;
	}
	rule->conditions = q;
	rule->conditions_n = repeated ? 1 : r->args_n;
	*ret_alternatives = repeated ? r->args_n : 1;
	return 0;
}

static int add_rules(struct compiling *c, const struct spec_seccomp_rule *r, struct err *e)
{
	struct seccomp_rule rule = {};
	size_t alternatives = 1;
	int err = action_of(r->action, r->errno_ret_set, r->errno_ret, &rule.action, e);

	err = err < 0 ? err : add_conditions(c, r, &rule, &alternatives, e);
	for (size_t k = 0; k < alternatives && err == 0; k++) {
		for (size_t i = 0; i < r->names_n && err == 0; i++)
			err = add_name(c, r->names[i], &rule, e);
		rule.conditions++;
	}
	return err;
}

static int read_flags(const struct spec_seccomp *s, unsigned *ret_flags, struct err *e)
{
	unsigned flags = 0;

	for (size_t i = 0; i < s->flags_n; i++) {
		if (streq(s->flags[i], "SECCOMP_FILTER_FLAG_TSYNC"))
			continue; /* for other threads: who loads it has none, as with runc */
		else if (streq(s->flags[i], "SECCOMP_FILTER_FLAG_LOG"))
			flags |= SECCOMP_FILTER_FLAG_LOG;
		else if (streq(s->flags[i], "SECCOMP_FILTER_FLAG_SPEC_ALLOW"))
			flags |= SECCOMP_FILTER_FLAG_SPEC_ALLOW;
		else if (streq(s->flags[i], "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"))
			/* has a meaning, and is taken by the kernel, with a listener only */
			flags |= seccomp_notifies(s) ? SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV : 0;
		else
			return err_set(e, ERR_INVALID, EINVAL,
				       "linux.seccomp.flags: '%.60s' is not known", s->flags[i]);
	}
	/* None named is not the same as an empty list: runc's default, without which kernels before
	 * 5.16 slow down every branch and store of the workload. */
	if (!s->flags)
		flags |= SECCOMP_FILTER_FLAG_SPEC_ALLOW;
	if (seccomp_notifies(s))
		flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
	*ret_flags = flags;
	return 0;
}

/*
 * A call newer than the profile was not considered by it: ENOSYS lets C libraries fall back to the
 * old call, where EPERM would make them fail. Only where the default refuses.
 */
static uint32_t newer_action(uint32_t default_action)
{
	switch (default_action & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ERRNO:
	case SECCOMP_RET_KILL_THREAD:
	case SECCOMP_RET_KILL_PROCESS:
	case SECCOMP_RET_TRAP:
		return SECCOMP_RET_ERRNO | ENOSYS;
	}
	return default_action;
}

static int build(struct compiling *c, struct sock_fprog *ret_prog, struct err *e)
{
	struct seccomp_profile p = {
		.archs = c->archs,
		.archs_n = c->archs_n,
		.default_action = c->default_action,
		.newer_action = newer_action(c->default_action),
		.unknown_arch_action = SECCOMP_RET_KILL_THREAD,
	};
	struct sock_filter *code = arena_array(c->a, SECCOMP_PROGRAM_MAX, sizeof(*code));
	bool x32 = false;
	int n;

	if (!code)
		return no_memory(e);
	for (size_t i = 0; i < c->tokens_n; i++)
		x32 = x32 || c->token[i] == SCMP_ARCH_X32;
	for (size_t i = 0; i < c->archs_n; i++) {
		struct seccomp_arch *a = &c->archs[i];

		if (a->audit == SCMP_ARCH_X86_64) {
			a->foreign_from = X32_BIT;
			a->foreign_action = x32 ? c->default_action : SECCOMP_RET_KILL_THREAD;
		}
		if (a->last_known == 0)
			a->last_known = UINT32_MAX; /* it names nothing: nothing is newer */
	}
	n = seccomp_build(&p, code, SECCOMP_PROGRAM_MAX);
	if (n == -E2BIG)
		return err_set(e, ERR_INVALID, E2BIG,
			       "linux.seccomp: more than the %d instructions a filter can have",
			       SECCOMP_PROGRAM_MAX);
	if (n < 0)
		return no_memory(e);
	*ret_prog = (struct sock_fprog){ .len = (unsigned short) n, .filter = code };
	return 0;
}

static int compile(struct arena *a, const struct spec_seccomp *s, struct sock_fprog *ret_prog,
		   struct err *e)
{
	struct compiling c = { .a = a, .s = s };
	int r = action_of(s->default_action, s->default_errno_ret_set, s->default_errno_ret,
			  &c.default_action, e);

	r = r < 0 ? r : read_archs(&c, e);
	for (size_t i = 0; i < c.tokens_n && r == 0; i++)
		(void) arch_of(&c, c.token[i]);
	for (size_t i = 0; i < s->rules_n && r == 0; i++)
		r = add_rules(&c, &s->rules[i], e);
	return r < 0 ? r : build(&c, ret_prog, e);
}

int seccomp_compile(struct arena *a, int cache_fd, const struct spec_seccomp *s,
		    struct sock_fprog *ret_prog, unsigned *ret_flags, struct err *e)
{
	auto_buf struct buf key = BUF_INIT(1u << 22);
	bool keyed = cache_fd >= 0 && seccomp_cache_key(s, &key);
	int r = read_flags(s, ret_flags, e);

	if (r < 0 || (keyed && seccomp_cache_find(a, cache_fd, buf_str(&key), ret_prog)))
		return r;
	r = compile(a, s, ret_prog, e);
	if (r == 0 && keyed)
		seccomp_cache_keep(cache_fd, buf_str(&key), ret_prog);
	return r;
}

int seccomp_check_names(const struct spec_seccomp *s, struct err *e)
{
	for (size_t i = 0; i < s->rules_n; i++) {
		for (size_t k = 0; k < s->rules[i].names_n; k++) {
			const char *name = s->rules[i].names[k];

			if (seccomp_syscall_resolve_name(name) == __NR_SCMP_ERROR)
				return err_set(e, ERR_INVALID, EINVAL,
					       "linux.seccomp.syscalls[%zu]: unknown system call "
					       "'%.80s' (run.oci.seccomp_fail_unknown_syscall)",
					       i, name);
		}
	}
	return 0;
}
