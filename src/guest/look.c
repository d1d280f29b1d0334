/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/look.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/num.h"

#define COMMAND_MAX 4096
#define FILE_MAX    (64u << 10)

static uint64_t ticks_ns(uint64_t ticks)
{
	long per_second = sysconf(_SC_CLK_TCK);

	return ticks * ((uint64_t) NSEC_PER_SEC / (uint64_t) (per_second > 0 ? per_second : 100));
}

static uint64_t number(struct str s)
{
	uint64_t v = 0;

	(void) num_parse_u64(str_trim(s), 0, UINT64_MAX, &v); /* 0 for what is none */
	return v;
}

static uint64_t uptime_ns(void)
{
	struct timespec t;

	(void) clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t) t.tv_sec * (uint64_t) NSEC_PER_SEC + (uint64_t) t.tv_nsec;
}

/* Linux's numbers of terminals: 136 to 143 are pts. */
static const char *terminal_name(struct arena *a, uint64_t device)
{
	unsigned high = major((dev_t) device), low = minor((dev_t) device);

	if (high >= 136 && high <= 143)
		return arena_printf(a, "pts/%u", (high - 136) * 256 + low);
	return device ? arena_printf(a, "%u:%u", high, low) : "";
}

/* proc_pid_stat(5): pid (name) state ppid pgrp session tty ..., the name with whatever in it. */
static bool read_stat(struct arena *a, struct str text, uint64_t now, struct process_fields *p)
{
	const char *open = memchr(text.p, '(', text.n), *close = memrchr(text.p, ')', text.n);
	struct str word, rest;
	uint64_t v[25] = {};
	char *state;

	if (!open || !close || close < open)
		return false;
	p->name = arena_dup(a, (struct str){ open + 1, (size_t) (close - open - 1) });
	rest = str_trim((struct str){ close + 1, text.n - (size_t) (close + 1 - text.p) });
	word = str_cut(rest, ' ', &rest);
	state = arena_dup(a, word);
	for (size_t i = 4; i < ARRAY_SIZE(v) && rest.p; i++) {
		word = str_cut(rest, ' ', &rest);
		v[i] = number(word); /* negative ones are of no interest here */
	}
	p->state = state;
	p->ppid = v[4] <= INT32_MAX ? v[4] : 0;
	p->terminal = terminal_name(a, v[7]);
	p->cpu_ns = ticks_ns(v[14] + v[15]);
	p->age_ns = now > ticks_ns(v[22]) ? now - ticks_ns(v[22]) : 0;
	p->virtual_bytes = v[23];
	p->resident_bytes = v[24] * (uint64_t) sysconf(_SC_PAGESIZE);
	return p->name && p->state && p->terminal;
}

static char *command_of(struct arena *a, int dir)
{
	auto_buf struct buf text = BUF_INIT(COMMAND_MAX);
	int r = file_read(dir, "cmdline", &text);

	if (r < 0 && r != -EFBIG)
		return arena_strdup(a, "");
	while (text.n && !text.p[text.n - 1])
		text.n--;
	for (size_t i = 0; i < text.n; i++)
		text.p[i] = text.p[i] ? text.p[i] : ' ';
	return arena_dup(a, (struct str){ text.p ? text.p : "", text.n });
}

/* 1; 0: it is gone. */
static int look_at(struct arena *a, pid_t pid, uint64_t now, struct process_fields *ret)
{
	auto_buf struct buf text = BUF_INIT(FILE_MAX);
	struct process_fields p = { .pid = (uint64_t) pid };
	char path[32];
	struct stat st;
	auto_fd int dir = FD_NONE;

	(void) snprintf(path, sizeof(path), "/proc/%d", (int) pid);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || fstat(dir, &st) < 0 || file_read(dir, "stat", &text) < 0 ||
	    !read_stat(a, buf_str(&text), now, &p))
		return 0;
	p.uid = st.st_uid;
	p.command = command_of(a, dir);
	if (!p.command)
		return -ENOMEM;
	*ret = p;
	return 1;
}

int look_processes(struct arena *a, const pid_t *pids, size_t n, struct agent_processes *ret,
		   struct err *e)
{
	uint64_t now = uptime_ns();

	*ret = (struct agent_processes){};
	ret->list.v = arena_array(a, n + 1, sizeof(*ret->list.v));
	if (!ret->list.v)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		int r = look_at(a, pids[i], now, &ret->list.v[ret->list.n]);

		if (r < 0)
			return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
		ret->list.n += (size_t) r;
	}
	return 0;
}

/* The number of the line "Key:  1234 kB", in bytes. */
static uint64_t meminfo(struct str text, const char *key)
{
	for (struct str line, rest = text; rest.p;) {
		struct str value;

		line = str_cut(rest, '\n', &rest);
		if (str_is(str_cut(line, ':', &value), key) && value.p) {
			struct str kib = str_cut(str_trim(value), ' ', &value);

			return number(kib) << 10;
		}
	}
	return 0;
}

/* The sum of user nice system irq softirq steal of proc_stat(5), which are all but idle's. */
static uint64_t busy_ns(struct str text)
{
	struct str rest, word = str_cut(text, '\n', &rest);
	uint64_t sum = 0;

	(void) str_cut(word, ' ', &rest); /* "cpu" */
	rest = str_trim(rest);
	for (int i = 0; rest.p && i < 8; i++) {
		word = str_cut(rest, ' ', &rest);
		if (i != 3 && i != 4) /* idle, iowait */
			sum += number(word);
	}
	return ticks_ns(sum);
}

int look_machine(struct agent_machine_usage *ret, struct err *e)
{
	auto_buf struct buf memory = BUF_INIT(FILE_MAX), cpu = BUF_INIT(1u << 20);
	struct sysinfo info;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	int r = file_read(AT_FDCWD, "/proc/meminfo", &memory);
	struct str m;

	if (r == 0)
		r = file_read(AT_FDCWD, "/proc/stat", &cpu);
	if (r == 0 && sysinfo(&info) < 0)
		r = -errno;
	if (r < 0)
		return err_sys(e, -r, "the machine's figures");
	m = buf_str(&memory);
	*ret = (struct agent_machine_usage){
		.uptime_ns = uptime_ns(),
		.cpu_ns = busy_ns(buf_str(&cpu)),
		.cpus = cpus > 0 ? (uint64_t) cpus : 1,
		.memory_total_bytes = meminfo(m, "MemTotal"),
		.memory_free_bytes = meminfo(m, "MemFree"),
		.memory_available_bytes = meminfo(m, "MemAvailable"),
		.memory_cache_bytes = meminfo(m, "Cached"),
		.swap_total_bytes = meminfo(m, "SwapTotal"),
		.swap_free_bytes = meminfo(m, "SwapFree"),
		.processes = info.procs,
		.load_milli = (uint64_t) info.loads[0] * 1000 >> SI_LOAD_SHIFT,
	};
	return 0;
}
