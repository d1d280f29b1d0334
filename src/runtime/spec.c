/* SPDX-License-Identifier: Apache-2.0 */
/* spec: a config.json to start from. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "fmt/json.h"
#include "runtime/runtime.h"
#include "sys/cgroup.h"

struct spec_options {
	const char *bundle;
	bool rootless;
};

static const struct option spec_options[] = {
	{ "bundle", 'b', OPTION_STRING, offsetof(struct spec_options, bundle), "DIR",
	  "where to put it (the current directory)" },
	{ "rootless", 0, OPTION_FLAG, offsetof(struct spec_options, rootless), NULL,
	  "for a caller who is not root" },
};

static void write_process(struct json_writer *w)
{
	static const char *const sets[] = { "bounding", "effective", "permitted" };
	static const char *const caps[] = { "CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE",
					    NULL };

	json_w_object(w, "process");
	json_w_bool(w, "terminal", true);
	json_w_object(w, "user");
	json_w_u64(w, "uid", 0);
	json_w_u64(w, "gid", 0);
	json_w_end(w);
	json_w_strings(w, "args", (const char *const[]){ "sh", NULL });
	json_w_strings(w, "env",
		       (const char *const[]){
			       "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
			       "TERM=xterm", NULL });
	json_w_string(w, "cwd", "/");
	json_w_object(w, "capabilities");
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		json_w_strings(w, sets[i], caps);
	json_w_end(w);
	json_w_array(w, "rlimits");
	json_w_object(w, NULL);
	json_w_string(w, "type", "RLIMIT_NOFILE");
	json_w_u64(w, "hard", 1024);
	json_w_u64(w, "soft", 1024);
	json_w_end(w);
	json_w_end(w);
	json_w_bool(w, "noNewPrivileges", true);
	json_w_end(w);
}

struct mount_default {
	const char *destination, *type, *source;
	const char *options[8];
};

static const struct mount_default mounts[] = {
	{ "/proc", "proc", "proc", { NULL } },
	{ "/dev", "tmpfs", "tmpfs", { "nosuid", "strictatime", "mode=755", "size=65536k", NULL } },
	{ "/dev/pts",
	  "devpts",
	  "devpts",
	  { "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5", NULL } },
	{ "/dev/shm", "tmpfs", "shm", { "nosuid", "noexec", "nodev", "mode=1777", "size=65536k" } },
	{ "/dev/mqueue", "mqueue", "mqueue", { "nosuid", "noexec", "nodev", NULL } },
	{ "/sys", "sysfs", "sysfs", { "nosuid", "noexec", "nodev", "ro", NULL } },
	{ "/sys/fs/cgroup",
	  "cgroup",
	  "cgroup",
	  { "nosuid", "noexec", "nodev", "relatime", "ro", NULL } },
};

static void write_mount(struct json_writer *w, const struct mount_default *m, bool rootless)
{
	const char *options[9];
	size_t n = 0;
	bool bind = rootless && streq(m->destination, "/sys");

	if (bind) {
		options[n++] = "rbind";
	}
	for (size_t i = 0; i < ARRAY_SIZE(m->options) && m->options[i]; i++) {
		/* Group 5 is not in a user namespace of one user. */
		if (!rootless || !streq(m->options[i], "gid=5"))
			options[n++] = m->options[i];
	}
	options[n] = NULL;
	json_w_object(w, NULL);
	json_w_string(w, "destination", m->destination);
	json_w_string(w, "type", bind ? "none" : m->type);
	json_w_string(w, "source", bind ? "/sys" : m->source);
	if (n > 0)
		json_w_strings(w, "options", options);
	json_w_end(w);
}

static void write_id_map(struct json_writer *w, const char *key, uint32_t host_id)
{
	json_w_array(w, key);
	json_w_object(w, NULL);
	json_w_u64(w, "containerID", 0);
	json_w_u64(w, "hostID", host_id);
	json_w_u64(w, "size", 1);
	json_w_end(w);
	json_w_end(w);
}

static bool only_v2(void)
{
	auto_cgroup_layout struct cgroup_layout l = CGROUP_LAYOUT_INIT;

	return cgroup_layout_open(&l) == 0 && l.n == 1 && l.at[0].unified;
}

static void write_linux(struct json_writer *w, bool rootless)
{
	static const char *const namespaces[] = { "pid",   "network", "ipc", "uts",
						  "mount", "cgroup",  "user" };
	static const char *const masked[] = {
		"/proc/acpi",
		"/proc/asound",
		"/proc/kcore",
		"/proc/keys",
		"/proc/latency_stats",
		"/proc/timer_list",
		"/proc/timer_stats",
		"/proc/sched_debug",
		"/sys/firmware",
		"/proc/scsi",
		"/sys/devices/virtual/powercap",
		NULL,
	};
	static const char *const readonly[] = { "/proc/bus",	       "/proc/fs",
						"/proc/irq",	       "/proc/sys",
						"/proc/sysrq-trigger", NULL };

	bool v2 = only_v2();

	json_w_object(w, "linux");
	if (rootless) {
		write_id_map(w, "uidMappings", geteuid());
		write_id_map(w, "gidMappings", getegid());
	} else {
		json_w_object(w, "resources");
		json_w_array(w, "devices");
		json_w_object(w, NULL);
		json_w_bool(w, "allow", false);
		json_w_string(w, "access", "rwm");
		json_w_end(w);
		json_w_end(w);
		json_w_end(w);
	}
	json_w_array(w, "namespaces");
	for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++) {
		/* Without root the host's network stays; with it no user namespace is needed. */
		if (streq(namespaces[i], rootless ? "network" : "user"))
			continue;
		/* As runc's: with v1 the paths of all hierarchies stay what callers look for. */
		if (!v2 && streq(namespaces[i], "cgroup"))
			continue;
		json_w_object(w, NULL);
		json_w_string(w, "type", namespaces[i]);
		json_w_end(w);
	}
	json_w_end(w);
	json_w_strings(w, "maskedPaths", masked);
	json_w_strings(w, "readonlyPaths", readonly);
	json_w_end(w);
}

static int run_spec(struct runtime *rt, const void *options, const struct strings *args,
		    struct err *e)
{
	const struct spec_options *o = options;
	auto_buf struct buf out = BUF_INIT(1u << 20);
	struct json_writer w = JSON_WRITER_PRETTY(&out, 4);
	const char *dir = o->bundle && o->bundle[0] ? o->bundle : ".";

	(void) rt;
	(void) args;
	json_w_object(&w, NULL);
	json_w_string(&w, "ociVersion", "1.2.0");
	write_process(&w);
	json_w_object(&w, "root");
	json_w_string(&w, "path", "rootfs");
	json_w_bool(&w, "readonly", true);
	json_w_end(&w);
	json_w_string(&w, "hostname", "atoll");
	json_w_array(&w, "mounts");
	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++)
		write_mount(&w, &mounts[i], o->rootless);
	json_w_end(&w);
	write_linux(&w, o->rootless);
	json_w_end(&w);
	buf_addc(&out, '\n');
	if (!buf_ok(&out))
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	auto_fd int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (at < 0)
		return err_sys(e, errno, "open the bundle '%s'", dir);
	auto_fd int fd = openat(at, "config.json", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

	if (fd < 0 && errno == EEXIST)
		return err_set(e, ERR_CONFLICT, EEXIST,
			       "file config.json exists in '%s'. Remove it first", dir);
	int r = fd < 0 ? -errno : fd_write_all(fd, out.p, out.n);

	return r < 0 ? err_sys(e, -r, "write '%s/config.json'", dir) : 0;
}

const struct verb verb_spec = {
	.name = "spec",
	.usage = "",
	.help = "write a config.json to start from",
	.options = VERB_OPTIONS(spec_options),
	.size = sizeof(struct spec_options),
	.run = run_spec,
};
