/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/lines.h"

#include <errno.h>
#include <sys/syscall.h>

#include "base/test.h"
#include "trace/choice.h"
#include "trace/record.h"
#include "trace/summary.h"

static struct {
	union {
		struct trace_record head;
		char bytes[TRACE_MESSAGE_MAX];
	};
	size_t n, begins;
} m;

static struct trace_record *record(enum trace_kind kind, uint32_t nr, uint32_t tid)
{
	struct trace_record *r = (struct trace_record *) (void *) (m.bytes + m.n);

	*r = (struct trace_record){ .bytes = sizeof(*r),
				    .kind = kind,
				    .pid = tid,
				    .tid = tid,
				    .at = 1000000000,
				    .took = 1500000,
				    .nr = nr };
	m.begins = m.n;
	m.n += sizeof(*r);
	return r;
}

static void part(uint8_t argument, enum trace_what what, const void *p, uint32_t n, uint64_t of)
{
	struct trace_record *r = (struct trace_record *) (void *) (m.bytes + m.begins);
	struct trace_part *h = (struct trace_part *) (void *) (m.bytes + m.n);

	*h = (struct trace_part){ .argument = argument, .what = what, .bytes = n, .of = of };
	h->flags = n < of ? TRACE_CUT : 0;
	if (n)
		memcpy(h + 1, p, n);
	m.n += sizeof(*h) + trace_padded(n);
	r->bytes = (uint32_t) (m.n - m.begins);
	r->parts++;
}

/* What was put together, as lines. */
static const char *lines_of(struct lines *l)
{
	static struct buf out = BUF_INIT(1 << 20);
	struct str rest = { m.bytes, m.n };
	static struct trace_call c;
	int r;

	buf_clear(&out);
	while ((r = trace_next(&rest, &c)) > 0)
		lines_add(l, &c, &out);
	CHECK(r == 0);
	m.n = 0;
	return buf_z(&out);
}

static void test_whole_calls(void)
{
	struct lines l = LINES_INIT((struct line_style){ .text = 32 });
	struct trace_record *r = record(TRACE_ENTRY, SYS_openat, 7);
	uint32_t stat[36] = { [6] = 0100644, [12] = 220 };

	r->args[0] = (uint32_t) -100;
	r->args[2] = 02000000;
	part(1, TRACE_WHOLE, "/etc/passwd", 11, 11);
	record(TRACE_EXIT, SYS_openat, 7)->result = 3;
	CHECK_STR(lines_of(&l),
		  "[pid 7] openat(AT_FDCWD, \"/etc/passwd\", O_RDONLY|O_CLOEXEC) = 3\n");

	r = record(TRACE_ENTRY, SYS_openat, 7);
	r->args[0] = 5;
	r->args[1] = 0xdead;
	r->args[2] = 0101;
	r->args[3] = 0600;
	record(TRACE_EXIT, SYS_openat, 7)->result = -ENOENT;
	CHECK_STR(lines_of(&l), "[pid 7] openat(5, 0xdead, O_WRONLY|O_CREAT, 0600) = -1 ENOENT "
				"(No such file or directory)\n");

	r = record(TRACE_ENTRY, SYS_fstat, 7);
	r->args[0] = 3;
	r = record(TRACE_EXIT, SYS_fstat, 7);
	part(1, TRACE_WHOLE, stat, 144, 144);
	CHECK_STR(lines_of(&l), "[pid 7] fstat(3, {st_mode=S_IFREG|0644, st_size=220, ...}) = 0\n");

	l.style.durations = true;
	r = record(TRACE_ENTRY, SYS_read, 7);
	r->args[2] = 4096;
	r = record(TRACE_EXIT, SYS_read, 7);
	r->args[2] = 4096;
	r->result = 40;
	part(1, TRACE_WHOLE,
	     "a\n\"\1"
	     "2\xff 7890123456789012345678901",
	     32, 40);
	CHECK_STR(lines_of(&l), "[pid 7] read(0, \"a\\n\\\"\\0012\\377 "
				"7890123456789012345678901\"..., 4096) = 40 <0.001500>\n");
	lines_fini(&l);
}

static void test_lists(void)
{
	struct lines l = LINES_INIT((struct line_style){ .text = 4 });
	const uint32_t vars = 12;
	struct trace_record *r = record(TRACE_ENTRY, SYS_execve, 2);

	r->args[2] = 0x1000;
	part(0, TRACE_WHOLE, "/bin/echo", 9, 9);
	part(1, TRACE_WORD, "echo", 4, 4);
	part(1, TRACE_WORD, "hell", 4, 5);
	part(1, TRACE_MORE, NULL, 0, 0);
	part(2, TRACE_WHOLE, &vars, 4, 4);
	record(TRACE_EXIT, SYS_execve, 2);
	CHECK_STR(lines_of(&l),
		  "[pid 2] execve(\"/bin/echo\", [\"echo\", \"hell\"..., ...], 0x1000 "
		  "/* 12 vars */) = 0\n");

	r = record(TRACE_ENTRY, SYS_writev, 2);
	r->args[2] = 2;
	part(1, TRACE_PIECE, "ab", 2, 2);
	part(1, TRACE_PIECE, "cdef", 4, 9);
	record(TRACE_EXIT, SYS_writev, 2)->result = 11;
	CHECK_STR(lines_of(&l), "[pid 2] writev(0, [{iov_base=\"ab\", iov_len=2}, "
				"{iov_base=\"cdef\"..., iov_len=9}], 2) = 11\n");
	lines_fini(&l);
}

static void test_two_threads(void)
{
	struct lines l = LINES_INIT((struct line_style){ .text = 32 });
	static const char want[] = "[pid 1] read(5,  <unfinished ...>\n"
				   "[pid 2] getpid() = 2\n"
				   "[pid 1] <... read resumed>\"x\", 1) = 1\n";
	struct buf out = BUF_INIT(1 << 16);
	struct trace_call c;
	struct str rest;

	record(TRACE_ENTRY, SYS_read, 1)->args[0] = 5;
	m.head.args[2] = 1;
	rest = (struct str){ m.bytes, m.n };
	CHECK(trace_next(&rest, &c) == 1);
	lines_add(&l, &c, &out);
	CHECK(lines_wait(&l) && out.n == 0);
	lines_tell(&l, 999999999, &out);
	CHECK(lines_wait(&l) && out.n == 0);
	lines_tell(&l, 1000000000, &out);
	CHECK(!lines_wait(&l));
	m.n = 0;
	record(TRACE_ENTRY, SYS_getpid, 2);
	record(TRACE_EXIT, SYS_getpid, 2)->result = 2;
	record(TRACE_EXIT, SYS_read, 1)->result = 1;
	part(1, TRACE_WHOLE, "x", 1, 1);
	buf_adds(&out, lines_of(&l));
	CHECK_STR(buf_z(&out), want);
	buf_fini(&out);
	lines_fini(&l);
}

static void test_ends(void)
{
	struct lines l = LINES_INIT((struct line_style){ .text = 32 });
	struct trace_record *r;

	record(TRACE_ENTRY, SYS_exit_group, 3)->args[0] = 7;
	record(TRACE_END, 0, 3)->result = 7 << 8;
	CHECK_STR(lines_of(&l), "[pid 3] exit_group(7) = ?\n[pid 3] +++ exited with 7 +++\n");
	record(TRACE_ENTRY, SYS_pause, 3);
	record(TRACE_EXIT, SYS_pause, 3)->result = -514;
	r = record(TRACE_SIGNAL, 0, 3);
	r->args[0] = 10;
	r->args[2] = 1;
	record(TRACE_END, 0, 3)->result = 10;
	CHECK_STR(
		lines_of(&l),
		"[pid 3] pause() = ? ERESTARTNOHAND (To be restarted if no handler)\n"
		"[pid 3] --- SIGUSR1 {si_signo=SIGUSR1, si_code=SI_USER, si_pid=1, si_uid=0} ---\n"
		"[pid 3] +++ killed by SIGUSR1 +++\n");
	record(TRACE_EXIT, 999, 3)->result = -ENOSYS;
	record(TRACE_EXIT, SYS_read, 3)->result = 1;
	part(1, TRACE_WHOLE, "x", 1, 1);
	record(TRACE_LOST, 0, 0)->result = 12;
	CHECK_STR(lines_of(&l),
		  "[pid 3] <... syscall_0x3e7 resumed>) = -1 ENOSYS (Function not implemented)\n"
		  "[pid 3] <... read resumed>\"x\") = 1\n"
		  "*** 12 records are missing: they came faster than they were read "
		  "***\n");
	lines_fini(&l);
}

/* More threads than are remembered, and an entry after an entry. */
static void test_many(void)
{
	struct lines l = LINES_INIT((struct line_style){ .text = 32 });

	for (uint32_t tid = 1; tid <= LINES_PENDING_MAX; tid++) {
		record(TRACE_ENTRY, SYS_pause, tid);
		CHECK_STR(lines_of(&l), "");
	}
	record(TRACE_ENTRY, SYS_pause, 5000);
	CHECK_STR(lines_of(&l), "[pid 5000] pause( <unfinished ...>\n");
	record(TRACE_ENTRY, SYS_getpid, 1);
	CHECK_STR(lines_of(&l), "[pid 1] pause( <unfinished ...>\n");
	lines_fini(&l);
}

static int parsed(const char *bytes, size_t n)
{
	struct str rest = { bytes, n };
	struct trace_call c;

	return trace_next(&rest, &c);
}

static void test_nonsense(void)
{
	struct trace_record *r = record(TRACE_ENTRY, SYS_open, 1);
	struct trace_part *p = (struct trace_part *) (void *) (m.bytes + m.n);

	part(0, TRACE_WHOLE, "/x", 2, 2);
	CHECK(parsed(m.bytes, m.n) == 1);
	CHECK(parsed(m.bytes, 0) == 0);
	CHECK(parsed(m.bytes, m.n - 1) == -EBADMSG);
	CHECK(parsed(m.bytes, 95) == -EBADMSG);
	p->bytes = 100;
	CHECK(parsed(m.bytes, m.n) == -EBADMSG);
	p->bytes = UINT32_MAX - 3;
	CHECK(parsed(m.bytes, m.n) == -EBADMSG);
	p->bytes = 2;
	p->argument = 6;
	CHECK(parsed(m.bytes, m.n) == -EBADMSG);
	p->argument = 0;
	r->parts = 2;
	CHECK(parsed(m.bytes, m.n) == -EBADMSG);
	r->parts = 0;
	CHECK(parsed(m.bytes, m.n) == -EBADMSG);
	r->parts = 1;
	r->kind = 9;
	CHECK(parsed(m.bytes, m.n) == -EBADMSG);
	r->kind = TRACE_ENTRY;
	r->bytes = 8;
	CHECK(parsed(m.bytes, m.n) == -EBADMSG);
	m.n = 0;
}

static bool chosen(const struct choice *c, unsigned int nr)
{
	return c->calls[nr / 64] >> nr % 64 & 1;
}

static void test_choice(void)
{
	struct choice c;
	struct err e;

	choice_all(&c);
	CHECK(chosen(&c, 0) && chosen(&c, 511) && c.signals);
	CHECK(choice_parse(&c, "trace=open,%network,999", &e) == 0);
	CHECK(chosen(&c, SYS_open) && chosen(&c, SYS_connect) && chosen(&c, 511));
	CHECK(!chosen(&c, SYS_read));
	CHECK(choice_parse(&c, "!%file", &e) == 0);
	CHECK(!chosen(&c, SYS_open) && !chosen(&c, SYS_execve) && chosen(&c, SYS_read));
	CHECK(choice_parse(&c, "signal=none", &e) == 0 && !c.signals);
	CHECK(choice_parse(&c, "trace=none", &e) == 0 && !chosen(&c, 0) && !chosen(&c, 511));
	CHECK(choice_parse(&c, "trace=opne", &e) < 0 && e.kind == ERR_INVALID);
	CHECK(strstr(e.msg, "did you mean 'open'?"));
	CHECK(choice_parse(&c, "trace=%files", &e) < 0 && e.kind == ERR_INVALID);
	CHECK(choice_parse(&c, "inject=open", &e) < 0 && e.kind == ERR_UNSUPPORTED);
}

static void test_summary(void)
{
	static struct summary s;
	struct str rest;
	struct trace_call c;
	struct buf out = BUF_INIT(1 << 16);

	record(TRACE_EXIT, SYS_read, 1)->result = 3;
	record(TRACE_EXIT, SYS_read, 1)->result = -EINTR;
	record(TRACE_EXIT, SYS_write, 1)->took = 7000000;
	record(TRACE_ENTRY, SYS_write, 1);
	rest = (struct str){ m.bytes, m.n };
	while (trace_next(&rest, &c) > 0)
		summary_add(&s, &c);
	m.n = 0;
	summary_print(&s, &out);
	CHECK(strstr(buf_z(&out), " 70.00    0.007000        7000         1           write\n"));
	CHECK(strstr(buf_z(&out), " 30.00    0.003000        1500         2         1 read\n"));
	CHECK(strstr(buf_z(&out), "100.00    0.010000        3333         3         1 total\n"));
	buf_fini(&out);
}

int main(void)
{
	test_whole_calls();
	test_lists();
	test_two_threads();
	test_ends();
	test_many();
	test_nonsense();
	test_choice();
	test_summary();
	return test_done();
}
