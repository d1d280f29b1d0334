/* SPDX-License-Identifier: Apache-2.0 */
/* top and stats: what the processes of a workload are, and what they use. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/num.h"
#include "svc/heal.h"
#include "svc/running.h"
#include "svc/supervise.h"
#include "svc/workload.h"

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

struct proc {
	pid_t pid, ppid;
	uid_t uid;
	char state;
	uint64_t cpu_ticks, start_ticks, vsz_kb, rss_kb;
	const char *tty; /* "?": none */
	char comm[64];
	const char *args; /* in the arena */
};

/* The n-th field after the name of /proc/PID/stat, which is field 2. */
static uint64_t stat_field(struct str rest, unsigned field)
{
	struct str f = {};
	uint64_t v = 0;

	for (unsigned i = 3; i <= field; i++)
		f = str_cut(rest, ' ', &rest);
	return num_parse_u64(f, 0, UINT64_MAX, &v) < 0 ? 0 : v;
}

/* UNIX98 terminals: majors 136 to 143. */
static const char *terminal_name(unsigned tty, struct arena *a)
{
	if (tty == 0)
		return "?";
	if (major(tty) >= 136 && major(tty) <= 143)
		return arena_printf(a, "pts/%u", (major(tty) - 136) * 256 + minor(tty));
	return arena_printf(a, "%u:%u", major(tty), minor(tty));
}

static bool read_proc(pid_t pid, struct arena *a, struct proc *ret)
{
	auto_buf struct buf stat_text = BUF_INIT(4096), cmdline = BUF_INIT(64u << 10);
	struct proc p = { .pid = pid };
	char dir[32];
	struct stat st;

	(void) snprintf(dir, sizeof(dir), "/proc/%d", pid);
	auto_fd int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	/* A process that ends while we look is simply not there. */
	if (fd < 0 || fstat(fd, &st) < 0 || file_read(fd, "stat", &stat_text) < 0 ||
	    file_read(fd, "cmdline", &cmdline) < 0)
		return false;
	const char *open_bracket = strchr(buf_z(&stat_text), '(');
	const char *bracket = strrchr(buf_z(&stat_text), ')');
	if (!open_bracket || !bracket || bracket[1] != ' ' || !bracket[2])
		return false;
	size_t n = (size_t) (bracket - open_bracket - 1);
	if (n >= sizeof(p.comm))
		n = sizeof(p.comm) - 1;
	memcpy(p.comm, open_bracket + 1, n);
	struct str rest = str_of(bracket + 2);
	p.uid = st.st_uid;
	p.state = rest.p[0];
	p.ppid = (pid_t) stat_field(rest, 4);
	p.tty = terminal_name((unsigned) stat_field(rest, 7), a);
	p.cpu_ticks = stat_field(rest, 14) + stat_field(rest, 15);
	p.start_ticks = stat_field(rest, 22);
	p.vsz_kb = stat_field(rest, 23) / 1024;
	p.rss_kb = stat_field(rest, 24) * (uint64_t) sysconf(_SC_PAGESIZE) / 1024;
	for (size_t i = 0; i + 1 < cmdline.n; i++) {
		if (!isprint((unsigned char) cmdline.p[i]))
			cmdline.p[i] = ' ';
	}
	p.args = cmdline.n && cmdline.p[0] ? arena_strdup(a, buf_z(&cmdline))
					   : arena_printf(a, "[%s]", p.comm);
	*ret = p;
	return p.args != NULL && p.tty != NULL;
}

/* What another kernel says of a process of its own. */
static struct proc proc_of(const struct engine_process *from, uint64_t hz, nsec_t uptime,
			   struct arena *a)
{
	uint64_t tick = (uint64_t) NSEC_PER_SEC / hz, up = (uint64_t) uptime;
	struct proc p = {
		.pid = (pid_t) from->pid,
		.ppid = (pid_t) from->ppid,
		.uid = (uid_t) from->uid,
		.state = from->state[0] ? from->state[0] : '?',
		.cpu_ticks = from->cpu_ns / tick,
		.start_ticks = up > from->age_ns ? (up - from->age_ns) / tick : 0,
		.vsz_kb = from->virtual_bytes >> 10,
		.rss_kb = from->resident_bytes >> 10,
		.tty = from->terminal[0] ? from->terminal : "?",
		.args = from->command[0] ? from->command : arena_printf(a, "[%s]", from->name),
	};
	size_t n = strlen(from->name);

	memcpy(p.comm, from->name, n < sizeof(p.comm) ? n : sizeof(p.comm) - 1);
	return p;
}

struct clocks { /* to turn ticks since boot into times */
	uint64_t hz;
	nsec_t boot; /* wall */
	nsec_t now;
};

static const char *column_uid(const struct proc *p, const struct clocks *c, struct arena *a)
{
	/* The host's names: docker shows those, too; a number where there is none. */
	(void) c;
	if (p->uid == 0)
		return "root";
	return arena_printf(a, "%u", p->uid);
}

static const char *column_pid(const struct proc *p, const struct clocks *c, struct arena *a)
{
	(void) c;
	return arena_printf(a, "%d", p->pid);
}

static const char *column_ppid(const struct proc *p, const struct clocks *c, struct arena *a)
{
	(void) c;
	return arena_printf(a, "%d", p->ppid);
}

static nsec_t age(const struct proc *p, const struct clocks *c)
{
	nsec_t d = c->now - c->boot - (nsec_t) (p->start_ticks * (NSEC_PER_SEC / c->hz));

	return d > 0 ? d : 1;
}

static const char *column_c(const struct proc *p, const struct clocks *c, struct arena *a)
{
	nsec_t cpu = (nsec_t) (p->cpu_ticks * (NSEC_PER_SEC / c->hz));

	return arena_printf(a, "%lld", (long long) (cpu / (age(p, c) / 100 + 1)));
}

static const char *column_pcpu(const struct proc *p, const struct clocks *c, struct arena *a)
{
	nsec_t cpu = (nsec_t) (p->cpu_ticks * (NSEC_PER_SEC / c->hz));
	long long tenths = (long long) (cpu / (age(p, c) / 1000 + 1));

	return arena_printf(a, "%lld.%lld", tenths / 10, tenths % 10);
}

static const char *column_pmem(const struct proc *p, const struct clocks *c, struct arena *a)
{
	uint64_t all = (uint64_t) sysconf(_SC_PHYS_PAGES) *
		       ((uint64_t) sysconf(_SC_PAGESIZE) / 1024);
	uint64_t tenths = p->rss_kb * 1000 / (all ? all : 1);

	(void) c;
	return arena_printf(a, "%llu.%llu", (unsigned long long) (tenths / 10),
			    (unsigned long long) (tenths % 10));
}

static const char *column_stime(const struct proc *p, const struct clocks *c, struct arena *a)
{
	time_t at = (time_t) ((c->now - age(p, c)) / NSEC_PER_SEC);
	char text[16];
	struct tm tm;

	if (!localtime_r(&at, &tm) ||
	    strftime(text, sizeof(text), age(p, c) > 86400 * NSEC_PER_SEC ? "%b%d" : "%H:%M",
		     &tm) == 0)
		return "?";
	return arena_strdup(a, text);
}

static const char *column_tty(const struct proc *p, const struct clocks *c, struct arena *a)
{
	(void) c;
	(void) a;
	return p->tty;
}

static const char *column_time(const struct proc *p, const struct clocks *c, struct arena *a)
{
	unsigned long long s = p->cpu_ticks / c->hz;

	return arena_printf(a, "%02llu:%02llu:%02llu", s / 3600, s / 60 % 60, s % 60);
}

static const char *column_cmd(const struct proc *p, const struct clocks *c, struct arena *a)
{
	(void) c;
	(void) a;
	return p->args;
}

static const char *column_comm(const struct proc *p, const struct clocks *c, struct arena *a)
{
	(void) c;
	return arena_strdup(a, p->comm);
}

static const char *column_vsz(const struct proc *p, const struct clocks *c, struct arena *a)
{
	(void) c;
	return arena_printf(a, "%llu", (unsigned long long) p->vsz_kb);
}

static const char *column_rss(const struct proc *p, const struct clocks *c, struct arena *a)
{
	(void) c;
	return arena_printf(a, "%llu", (unsigned long long) p->rss_kb);
}

static const char *column_stat(const struct proc *p, const struct clocks *c, struct arena *a)
{
	(void) c;
	return arena_printf(a, "%c", p->state);
}

struct column {
	const char *key, *title;
	const char *(*text)(const struct proc *p, const struct clocks *c, struct arena *a);
};
static const struct column columns[] = {
	{ "uid", "UID", column_uid },
	{ "user", "USER", column_uid },
	{ "pid", "PID", column_pid },
	{ "ppid", "PPID", column_ppid },
	{ "c", "C", column_c },
	{ "pcpu", "%CPU", column_pcpu },
	{ "%cpu", "%CPU", column_pcpu },
	{ "pmem", "%MEM", column_pmem },
	{ "%mem", "%MEM", column_pmem },
	{ "stime", "STIME", column_stime },
	{ "start", "START", column_stime },
	{ "tty", "TTY", column_tty },
	{ "tt", "TT", column_tty },
	{ "time", "TIME", column_time },
	{ "cmd", "CMD", column_cmd },
	{ "args", "COMMAND", column_cmd },
	{ "command", "COMMAND", column_cmd },
	{ "comm", "COMMAND", column_comm },
	{ "vsz", "VSZ", column_vsz },
	{ "rss", "RSS", column_rss },
	{ "stat", "STAT", column_stat },
	{ "state", "S", column_stat },
	{ "s", "S", column_stat },
};

#define COLUMNS_MAX 32

static int choose_list(struct str list, const struct column *ret[static COLUMNS_MAX], size_t *ret_n,
		       struct err *e)
{
	while (list.p) {
		struct str key = str_cut(list, ',', &list);
		size_t i = 0;

		while (i < ARRAY_SIZE(columns) && !str_is(key, columns[i].key))
			i++;
		if (i == ARRAY_SIZE(columns) || *ret_n == COLUMNS_MAX)
			return err_set(e, ERR_INVALID, EINVAL,
				       "top -o '%.*s': no such column; there are: user, uid, pid, "
				       "ppid, pcpu, pmem, vsz, rss, tty, stat, stime, time, comm, "
				       "args",
				       (int) key.n, key.p);
		ret[(*ret_n)++] = &columns[i];
	}
	return 0;
}

/* -ef, aux and -o LIST: what people give to docker top. */
static int choose(const char *const *args, size_t n, const struct column *ret[static COLUMNS_MAX],
		  size_t *ret_n, struct err *e)
{
	static const char ef[] = "uid,pid,ppid,c,stime,tty,time,cmd";
	static const char aux[] = "user,pid,%cpu,%mem,vsz,rss,tty,stat,start,time,command";
	const char *list = ef;

	*ret_n = 0;
	for (size_t i = 0; i < n; i++) {
		const char *arg = args[i];

		if (streq(arg, "aux") || streq(arg, "-aux") || streq(arg, "u"))
			list = aux;
		else if ((streq(arg, "-o") || streq(arg, "o") || streq(arg, "-eo") ||
			  streq(arg, "-axo") || streq(arg, "axo")) &&
			 i + 1 < n)
			list = args[++i];
		else if (strncmp(arg, "-o", 2) == 0 && arg[2])
			list = arg + 2;
		else if (!streq(arg, "-ef") && !streq(arg, "-e") && !streq(arg, "-f") &&
			 !streq(arg, "ax") && !streq(arg, "-A"))
			return err_set(
				e, ERR_INVALID, EINVAL,
				"top: of ps' options these are known: -ef, aux, -o LIST; not "
				"'%s'",
				arg);
	}
	return choose_list(str_of(list), ret, ret_n, e);
}

static int add_row(struct top *t, const struct column *const *chosen, size_t n,
		   const struct proc *p, const struct clocks *c, struct arena *a, struct err *e)
{
	struct top_row *row = arena_push(a, &t->rows, &t->rows_n, sizeof(*row));

	if (row)
		row->columns = arena_array(a, n + 1, sizeof(*row->columns));
	if (!row || !row->columns || !p->args)
		return no_memory(e);
	for (size_t j = 0; j < n; j++) {
		row->columns[j] = chosen[j]->text(p, c, a);
		if (!row->columns[j])
			return no_memory(e);
	}
	return 0;
}

static int fill(struct top *t, const struct column *const *chosen, size_t n,
		const struct supervise_processes *from, struct arena *a, struct err *e)
{
	struct clocks c = { .hz = (uint64_t) sysconf(_SC_CLK_TCK), .now = clock_wall() };
	struct timespec up;
	struct proc p;
	int r = 0;

	if (clock_gettime(CLOCK_BOOTTIME, &up) < 0)
		return err_sys(e, errno, "the time since boot");
	c.boot = c.now - (up.tv_sec * NSEC_PER_SEC + up.tv_nsec);
	for (size_t i = 0; i < from->pids_n && r == 0; i++)
		if (read_proc(from->pids[i], a, &p))
			r = add_row(t, chosen, n, &p, &c, a, e);
	for (size_t i = 0; i < from->list.n && r == 0; i++) {
		p = proc_of(&from->list.v[i], c.hz, c.now - c.boot, a);
		r = add_row(t, chosen, n, &p, &c, a, e);
	}
	return r;
}

int workload_top(struct svc *s, const char *ref, const char *const *ps_args, size_t ps_args_n,
		 struct arena *a, struct top *ret, struct err *e)
{
	auto_shim_conn struct shim_conn conn = SHIM_CONN_NONE;
	const struct column *chosen[COLUMNS_MAX];
	struct top t = {};
	struct supervise_processes all;
	size_t n = 0;
	int r = choose(ps_args, ps_args_n, chosen, &n, e);

	if (r >= 0)
		r = running_connect(s, ref, &conn, e);
	if (r >= 0)
		r = supervise_top(&conn, a, &all, e);
	if (r < 0)
		return r;
	t.titles = arena_array(a, n + 1, sizeof(*t.titles));
	if (!t.titles)
		return no_memory(e);
	for (size_t i = 0; i < n; i++)
		t.titles[t.titles_n++] = chosen[i]->title;
	r = fill(&t, chosen, n, &all, a, e);
	if (r < 0)
		return r;
	*ret = t;
	return 0;
}

/* ---- stats ------------------------------------------------------------------------------ */

/* The first line of /proc/stat: all processors, in ticks. */
static uint64_t host_cpu_ns(void)
{
	auto_buf struct buf text = BUF_INIT(1u << 20);
	uint64_t sum = 0;

	if (file_read(AT_FDCWD, "/proc/stat", &text) < 0)
		return 0;
	struct str rest, line = str_cut(buf_str(&text), '\n', &rest);
	for (unsigned i = 0; line.p && i <= 8;) {
		struct str f = str_cut(line, ' ', &line);
		uint64_t v;

		if (num_parse_u64(f, 0, UINT64_MAX, &v) < 0)
			continue; /* "cpu" and the blanks after it */
		sum += v;
		i++;
	}
	return sum * (uint64_t) (NSEC_PER_SEC / sysconf(_SC_CLK_TCK));
}

static void sample(struct svc *s, const struct workload_record *w, struct stats *ret)
{
	struct shim_conn conn = SHIM_CONN_NONE;
	struct err ignored;

	*ret = (struct stats){ .id = w->id, .name = w->name, .now = { .at = clock_wall() } };
	/* One that ends meanwhile is shown as not running. */
	if (w->status.shim_pid != 0 && running_connect(s, w->id, &conn, &ignored) >= 0)
		ret->running = supervise_usage(&conn, &ret->now, &ignored) >= 0;
	shim_conn_close(&conn);
	ret->system_cpu_ns = host_cpu_ns();
	ret->online_cpus = (uint32_t) sysconf(_SC_NPROCESSORS_ONLN);
}

int workload_stats(struct svc *s, const char *const *refs, size_t refs_n, struct arena *a,
		   struct stats **ret, size_t *ret_n, struct err *e)
{
	struct workload_records list = {};
	int r = 0;

	if (!refs) {
		r = heal_list(s, WORKLOAD_LIST_RUNNING, a, &list, e);
	} else {
		for (size_t i = 0; r >= 0 && i < refs_n; i++) {
			struct workload_record *w = arena_push(a, &list.v, &list.n, sizeof(*w));

			r = w ? heal_find(s, refs[i], a, w, e) : no_memory(e);
		}
	}
	if (r < 0)
		return r;
	struct stats *v = arena_array(a, list.n + 1, sizeof(*v));
	if (!v)
		return no_memory(e);
	for (size_t i = 0; i < list.n; i++)
		sample(s, &list.v[i], &v[i]);
	*ret = v;
	*ret_n = list.n;
	return 0;
}
