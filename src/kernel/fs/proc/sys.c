/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/sys: what the kernel does, as numbers. Names and the limits of IPC and of sockets may be
 * written to: the rest is as it is. */
#include "kernel/fs/inotify.h"
#include "kernel/fs/pipe.h"
#include "kernel/fs/proc/proc.h"
#include "kernel/fs/proc/tables.h"
#include "kernel/fs/pty.h"
#include "kernel/net/inet.h"
#include "kernel/net/unix.h"
#include "kernel/platform/platform.h"
#include "kernel/task/cred.h"
#include "kernel/task/uts.h"
#include "kernel/vfs/lease.h"

#define TEXT(id, what)                                                                             \
	static int id(const struct generated_node *n, struct text *to)                             \
	{                                                                                          \
		(void) n;                                                                          \
		text_put(to, "%s\n", (what));                                                      \
		return 0;                                                                          \
	}
#define NUMBER(id, what)                                                                           \
	static int id(const struct generated_node *n, struct text *to)                             \
	{                                                                                          \
		(void) n;                                                                          \
		text_put(to, "%lu\n", (uint64_t) (what));                                          \
		return 0;                                                                          \
	}

/* ---- kernel ---- */

TEXT(ostype, UTS_SYSNAME)
TEXT(osrelease, UTS_RELEASE)
TEXT(version, UTS_VERSION)
TEXT(hostname, uts_hostname())
TEXT(domainname, uts_domainname())
NUMBER(pid_max, PID_MOST)
NUMBER(threads_max, PID_MOST)
NUMBER(tainted, 0)
NUMBER(last_capability, CAP_LAST_CAP)
NUMBER(groups_most, CRED_GROUPS)
NUMBER(overflow_id, 65534)
NUMBER(randomize, 2)
TEXT(core_pattern, "core")
NUMBER(pty_most, PTS_MOST)
NUMBER(entropy, 256)

static int set_name(const char *bytes, size_t len, void (*set)(const char *name, size_t len))
{
	if (this_task() && !cred_can(this_task()->cred, CAP_SYS_ADMIN))
		return -EPERM;
	while (len > 0 && bytes[len - 1] == '\n')
		len--;
	if (len > UTS_NAME)
		return -EINVAL;
	set(bytes, len);
	return 0;
}

static int set_hostname(const struct generated_node *n, const char *bytes, size_t len)
{
	(void) n;
	return set_name(bytes, len, uts_set_hostname);
}

static int set_domainname(const struct generated_node *n, const char *bytes, size_t len)
{
	(void) n;
	return set_name(bytes, len, uts_set_domainname);
}

/* Of RFC 4122, version 4. */
static void uuid_text(const unsigned char random[static 16], struct text *to)
{
	for (size_t n = 0; n < 16; n++) {
		unsigned int byte = random[n];

		byte = n == 6 ? (byte & 0x0f) | 0x40 : n == 8 ? (byte & 0x3f) | 0x80 : byte;
		text_put(to, n == 4 || n == 6 || n == 8 || n == 10 ? "-%02x" : "%02x", byte);
	}
	text_put(to, "\n");
}

static int uuid(const struct generated_node *n, struct text *to)
{
	unsigned char random[16];

	(void) n;
	plat_random(random, sizeof(random));
	uuid_text(random, to);
	return 0;
}

/* One for as long as the kernel runs. */
static int boot_id(const struct generated_node *n, struct text *to)
{
	static unsigned char id[16];
	static bool made;

	(void) n;
	if (!made)
		plat_random(id, sizeof(id));
	made = true;
	uuid_text(id, to);
	return 0;
}

static const struct generated_entry random_files[] = {
	PROC_FILE("boot_id", 0444, boot_id),
	PROC_FILE("entropy_avail", 0444, entropy),
	PROC_FILE("poolsize", 0444, entropy),
	PROC_FILE("uuid", 0444, uuid),
};

TEXT(seccomp_actions, "kill_process kill_thread trap errno trace log allow")

static const struct generated_entry seccomp_files[] = {
	PROC_FILE("actions_avail", 0444, seccomp_actions),
};

static const struct generated_entry pty_files[] = { PROC_FILE("max", 0444, pty_most) };

#define IPC_LIMIT(n)                                                                               \
	{                                                                                          \
		.name = (n), .mode = S_IFREG | 0644, .show = proc_ipc_limit,                       \
		.store = proc_ipc_set_limit                                                        \
	}

static const struct generated_entry kernel_files[] = {
	PROC_FILE("cap_last_cap", 0444, last_capability),
	PROC_FILE("core_pattern", 0444, core_pattern),
	{ .name = "domainname",
	  .mode = S_IFREG | 0644,
	  .show = domainname,
	  .store = set_domainname },
	{ .name = "hostname", .mode = S_IFREG | 0644, .show = hostname, .store = set_hostname },
	IPC_LIMIT("msgmax"),
	IPC_LIMIT("msgmnb"),
	IPC_LIMIT("msgmni"),
	PROC_FILE("ngroups_max", 0444, groups_most),
	PROC_FILE("osrelease", 0444, osrelease),
	PROC_FILE("ostype", 0444, ostype),
	PROC_FILE("overflowgid", 0444, overflow_id),
	PROC_FILE("overflowuid", 0444, overflow_id),
	PROC_FILE("pid_max", 0444, pid_max),
	PROC_DIR("pty", 0555, pty_files),
	PROC_DIR("random", 0555, random_files),
	PROC_FILE("randomize_va_space", 0444, randomize),
	PROC_DIR("seccomp", 0555, seccomp_files),
	IPC_LIMIT("sem"),
	IPC_LIMIT("shmall"),
	IPC_LIMIT("shmmax"),
	IPC_LIMIT("shmmni"),
	PROC_FILE("tainted", 0444, tainted),
	PROC_FILE("threads-max", 0444, threads_max),
	PROC_FILE("version", 0444, version),
};

/* ---- vm, fs, net ---- */

NUMBER(overcommit, 0)
NUMBER(overcommit_ratio, 50)
NUMBER(mappings_most, 65530)
NUMBER(lowest_address, plat_user_low())
NUMBER(swappiness, 0)

static const struct generated_entry vm_files[] = {
	PROC_FILE("max_map_count", 0444, mappings_most),
	PROC_FILE("mmap_min_addr", 0444, lowest_address),
	PROC_FILE("overcommit_memory", 0444, overcommit),
	PROC_FILE("overcommit_ratio", 0444, overcommit_ratio),
	PROC_FILE("swappiness", 0444, swappiness),
};

NUMBER(files_most, INT64_MAX)
NUMBER(descriptors_most, 1048576)
NUMBER(pipe_most, PIPE_SIZE_MAX)
NUMBER(off, 0)
NUMBER(lease_time, LEASE_BREAK_TIME)

NUMBER(inotify_queue, INOTIFY_QUEUE_MOST)
NUMBER(inotify_instances, INOTIFY_INSTANCES_MOST)
NUMBER(inotify_watches, INOTIFY_WATCHES_MOST)

static const struct generated_entry inotify_files[] = {
	PROC_FILE("max_queued_events", 0444, inotify_queue),
	PROC_FILE("max_user_instances", 0444, inotify_instances),
	PROC_FILE("max_user_watches", 0444, inotify_watches),
};

static const struct generated_entry mqueue_files[] = {
	IPC_LIMIT("msg_default"), IPC_LIMIT("msg_max"),	   IPC_LIMIT("msgsize_default"),
	IPC_LIMIT("msgsize_max"), IPC_LIMIT("queues_max"),
};

static const struct generated_entry fs_files[] = {
	PROC_DIR("mqueue", 0555, mqueue_files),
	PROC_DIR("inotify", 0555, inotify_files),
	PROC_FILE("file-max", 0444, files_most),
	PROC_FILE("lease-break-time", 0444, lease_time),
	PROC_FILE("nr_open", 0444, descriptors_most),
	PROC_FILE("pipe-max-size", 0444, pipe_most),
	PROC_FILE("protected_fifos", 0444, off),
	PROC_FILE("protected_hardlinks", 0444, off),
	PROC_FILE("protected_regular", 0444, off),
	PROC_FILE("protected_symlinks", 0444, off),
};

NUMBER(socket_room, SOCKET_ROOM)
NUMBER(datagrams_most, DATAGRAMS_MOST)

static const struct generated_entry core_files[] = {
	PROC_FILE("rmem_default", 0444, socket_room),
	PROC_FILE("rmem_max", 0444, socket_room),
	IPC_LIMIT("somaxconn"),
	PROC_FILE("wmem_default", 0444, socket_room),
	PROC_FILE("wmem_max", 0444, socket_room),
};

static const struct generated_entry unix_files[] = {
	PROC_FILE("max_dgram_qlen", 0444, datagrams_most),
};

static int port_range(const struct generated_node *n, struct text *to)
{
	(void) n;
	text_put(to, "%d\t%d\n", INET_PORT_FIRST, INET_PORT_LAST);
	return 0;
}

static const struct generated_entry ipv4_files[] = {
	PROC_FILE("ip_local_port_range", 0444, port_range),
	IPC_LIMIT("ip_unprivileged_port_start"),
	IPC_LIMIT("ping_group_range"),
};

static const struct generated_entry net_files[] = {
	PROC_DIR("core", 0555, core_files),
	PROC_DIR("ipv4", 0555, ipv4_files),
	PROC_DIR("unix", 0555, unix_files),
};

static const struct generated_entry sys_files[] = {
	PROC_DIR("fs", 0555, fs_files),
	PROC_DIR("kernel", 0555, kernel_files),
	PROC_DIR("net", 0555, net_files),
	PROC_DIR("vm", 0555, vm_files),
};

const struct generated_entry proc_sys = PROC_DIR("sys", 0555, sys_files);

/* ---- by the names of sysctl(8) ---- */

/* The entry of dir for the name's part up to its next separator, which is moved on. */
static const struct generated_entry *entry_of(const struct generated_entry *dir, const char **name)
{
	size_t len = 0;

	while ((*name)[len] && (*name)[len] != '.' && (*name)[len] != '/')
		len++;
	for (size_t n = 0; n < dir->count; n++) {
		const struct generated_entry *e = &dir->children[n];

		if (strlen(e->name) == len && memcmp(e->name, *name, len) == 0) {
			*name += len + ((*name)[len] != 0);
			return e;
		}
	}
	return NULL;
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n';
}

/* The same words, however they are set apart. */
static bool same_words(const char *a, const char *a_end, const char *b)
{
	for (;;) {
		while (a < a_end && blank(*a))
			a++;
		while (blank(*b))
			b++;
		if (a == a_end || !*b)
			return a == a_end && !*b;
		while (a < a_end && *b && *a == *b && !blank(*a)) {
			a++;
			b++;
		}
		if ((a < a_end && !blank(*a)) || (*b && !blank(*b)))
			return false;
	}
}

static int is_so(const struct generated_node *n, const char *value)
{
	struct text text = {};
	int r = n->entry->show ? n->entry->show(n, &text) : -EPERM;

	if (r == 0)
		r = text.failed;
	if (r == 0 && !same_words(text.bytes, text.bytes + text.len, value))
		r = -EPERM;
	text_fini(&text);
	return r;
}

/* NULL: there is none. */
static const struct generated_entry *find(const char *name)
{
	const struct generated_entry *e = &proc_sys;

	while (e && *name)
		e = e->children ? entry_of(e, &name) : NULL;
	return e && !e->children ? e : NULL;
}

int proc_sysctl(const char *name, const char *value)
{
	const struct generated_entry *e = find(name);
	struct generated_node n = { .entry = e };

	if (!e)
		return -ENOENT;
	return e->store ? e->store(&n, value, strlen(value)) : is_so(&n, value);
}

/* ---- kept ---- */

/* Those of names are the machine's own: uts.h. */
static bool is_limit(const struct generated_entry *e)
{
	return e->store && e->store != set_hostname && e->store != set_domainname;
}

/* name: of dir, `len` bytes with a separator at its end. */
static int each(const struct generated_entry *dir, char name[static SYSCTL_NAME], size_t len,
		int (*act)(void *arg, const char *name, const char *value, size_t n), void *arg)
{
	int r = 0;

	for (size_t at = 0; at < dir->count && r == 0; at++) {
		const struct generated_entry *e = &dir->children[at];
		struct generated_node node = { .entry = e };
		size_t n = strlen(e->name);
		struct text text = {};

		if (len + n + 2 > SYSCTL_NAME)
			return -ENAMETOOLONG;
		memcpy(name + len, e->name, n + 1);
		if (e->children) {
			name[len + n] = '.';
			r = each(e, name, len + n + 1, act, arg);
		} else if (is_limit(e)) {
			r = e->show(&node, &text);
			if (r == 0)
				r = text.failed ?: act(arg, name, text.bytes, text.len);
			text_fini(&text);
		}
	}
	return r;
}

int proc_sysctl_each(int (*act)(void *arg, const char *name, const char *value, size_t n),
		     void *arg)
{
	char name[SYSCTL_NAME];

	return each(&proc_sys, name, 0, act, arg);
}

int proc_sysctl_again(const char *name, const char *value)
{
	const struct generated_entry *e = find(name);
	struct generated_node n = { .entry = e };

	if (!e || !is_limit(e))
		return -ENOENT;
	return is_so(&n, value) == 0 ? 0 : e->store(&n, value, strlen(value));
}
