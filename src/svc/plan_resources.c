/* SPDX-License-Identifier: Apache-2.0 */
/* linux.resources and linux.devices: limits, device rules, device nodes. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/num.h"
#include "svc/plan.h"
#include "svc/plan_devices.h"
#include "svc/svc.h"
#include "sys/cgroup.h"

#define MACHINE_DISKS 8	      /* of a machine that can be limited by name */
#define PERIOD_US     100000u /* the kernel's default */

static void memory_write(const struct resources_config *r, struct json_writer *w)
{
	if (!r->memory && !r->memory_reservation && !r->memory_swap && !r->swappiness_set &&
	    !r->oom_kill_disable)
		return;
	json_w_object(w, "memory");
	if (r->memory)
		json_w_u64(w, "limit", r->memory);
	if (r->memory_reservation)
		json_w_u64(w, "reservation", r->memory_reservation);
	/* Docker: swap as large again as the memory, unless said otherwise. */
	if (r->memory_swap)
		json_w_i64(w, "swap", r->memory_swap);
	else if (r->memory && r->memory <= INT64_MAX / 2)
		json_w_u64(w, "swap", 2 * r->memory);
	if (r->swappiness_set)
		json_w_u64(w, "swappiness", r->swappiness);
	if (r->oom_kill_disable)
		json_w_bool(w, "disableOOMKiller", true);
	json_w_end(w);
}

static void cpu_write(const struct resources_config *r, struct json_writer *w)
{
	uint64_t period = r->cpu_period;
	int64_t quota = r->cpu_quota;

	if (r->nano_cpus) {
		period = PERIOD_US;
		quota = (int64_t) (r->nano_cpus / (1000000000u / PERIOD_US));
	}
	if (!period && !quota && !r->cpu_shares && !r->cpuset_cpus && !r->cpuset_mems)
		return;
	json_w_object(w, "cpu");
	if (r->cpu_shares)
		json_w_u64(w, "shares", r->cpu_shares);
	if (period)
		json_w_u64(w, "period", period);
	if (quota)
		json_w_i64(w, "quota", quota);
	if (r->cpuset_cpus && *r->cpuset_cpus)
		json_w_string(w, "cpus", r->cpuset_cpus);
	if (r->cpuset_mems && *r->cpuset_mems)
		json_w_string(w, "mems", r->cpuset_mems);
	json_w_end(w);
}

/* "atoll": what is of machines alone. */
static int disk_rate(uint64_t rates[static MACHINE_DISKS][4], size_t what, const char *const *list,
		     size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		int disk = config_machine_disk(list[i]);
		struct str text;
		int r = disk < MACHINE_DISKS ? 0 : -ENODEV;

		if (disk < 0)
			continue;
		(void) str_cut(str_of(list[i]), ':', &text);
		if (r == 0)
			r = what % 2 == 0 ? num_parse_bytes(text, &rates[disk][what])
					  : num_parse_u64(text, 0, UINT64_MAX, &rates[disk][what]);
		if (r < 0)
			return err_set(e, ERR_INVALID, EINVAL,
				       "device rate '%s': write it vda:RATE, up to vd%c", list[i],
				       'a' + MACHINE_DISKS - 1);
	}
	return 0;
}

static void disks_write(struct json_writer *w, uint64_t rates[static MACHINE_DISKS][4])
{
	static const char *const names[] = { "readBytes", "readOperations", "writeBytes",
					     "writeOperations" };

	json_w_array(w, "disks");
	for (size_t i = 0; i < MACHINE_DISKS; i++) {
		bool said = false;

		for (size_t k = 0; k < ARRAY_SIZE(names); k++)
			said = said || rates[i][k] != UINT64_MAX;
		if (!said)
			continue;
		json_w_object(w, NULL);
		json_w_u64(w, "index", i);
		for (size_t k = 0; k < ARRAY_SIZE(names); k++)
			json_w_u64(w, names[k], rates[i][k] == UINT64_MAX ? 0 : rates[i][k]);
		json_w_end(w);
	}
	json_w_end(w);
}

static int ports_write(const struct workload_config *c, struct json_writer *w, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	struct port_config p;
	int r = 0;

	json_w_array(w, "ports");
	for (size_t i = 0; r == 0 && i < c->publish_n; i++) {
		r = config_parse_publish(&a, c->publish[i], &p, e);
		if (r < 0)
			break;
		json_w_object(w, NULL);
		if (p.address)
			json_w_string(w, "address", p.address);
		json_w_u64(w, "host", p.host);
		json_w_u64(w, "guest", p.guest);
		json_w_bool(w, "udp", p.udp);
		json_w_end(w);
	}
	json_w_end(w);
	return r;
}

/* c: NULL for an update, which cannot change ports. */
static int machine_write(const struct resources_config *r, const struct workload_config *c,
			 struct json_writer *w, struct err *e)
{
	uint64_t rates[MACHINE_DISKS][4];
	const char **const lists[] = { r->read_bps, r->read_iops, r->write_bps, r->write_iops };
	const size_t n[] = { r->read_bps_n, r->read_iops_n, r->write_bps_n, r->write_iops_n };
	int f = 0;

	memset(rates, 0xff, sizeof(rates)); /* not spoken of */
	for (size_t i = 0; i < ARRAY_SIZE(lists) && f >= 0; i++)
		f = disk_rate(rates, i, lists[i], n[i], e);
	json_w_object(w, "atoll");
	if (r->cpus_max)
		json_w_u64(w, "cpusMax", r->cpus_max);
	if (r->memory_max)
		json_w_u64(w, "memoryMax", r->memory_max);
	json_w_object(w, "network");
	json_w_u64(w, "receiveBytes", r->network_rx_bps);
	json_w_u64(w, "receivePackets", r->network_rx_pps);
	json_w_u64(w, "sendBytes", r->network_tx_bps);
	json_w_u64(w, "sendPackets", r->network_tx_pps);
	json_w_end(w);
	disks_write(w, rates);
	if (f >= 0 && c && c->publish_n)
		f = ports_write(c, w, e);
	json_w_end(w);
	return f;
}

static int device_of(const char *path, dev_t *ret_dev, mode_t *ret_mode, struct err *e)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_sys(e, errno, "device '%s'", path);
	if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(e, ERR_INVALID, ENODEV, "'%s' is no device", path);
	*ret_dev = st.st_rdev;
	*ret_mode = st.st_mode;
	return 0;
}

/* "PATH:RATE"; bytes: with a unit. */
static int throttle_write(struct json_writer *w, const char *key, const char *const *list, size_t n,
			  bool bytes, struct err *e)
{
	if (n == 0)
		return 0;
	json_w_array(w, key);
	for (size_t i = 0; i < n; i++) {
		struct str rate;
		auto_free char *path = str_dup(str_cut(str_of(list[i]), ':', &rate));
		uint64_t value;
		mode_t mode;
		dev_t dev;

		if (config_machine_disk(list[i]) >= 0)
			continue;
		if (!path)
			return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
		if (!rate.p || (bytes ? num_parse_bytes(rate, &value)
				      : num_parse_u64(rate, 0, UINT64_MAX, &value)) < 0)
			return err_set(e, ERR_INVALID, EINVAL,
				       "device rate '%s': write it PATH:RATE", list[i]);
		int r = device_of(path, &dev, &mode, e);
		if (r < 0)
			return r;
		json_w_object(w, NULL);
		json_w_u64(w, "major", major(dev));
		json_w_u64(w, "minor", minor(dev));
		json_w_u64(w, "rate", value);
		json_w_end(w);
	}
	json_w_end(w);
	return 0;
}

static int block_write(const struct resources_config *r, struct json_writer *w, struct err *e)
{
	if (!r->blkio_weight &&
	    r->read_bps_n + r->write_bps_n + r->read_iops_n + r->write_iops_n == 0)
		return 0;
	json_w_object(w, "blockIO");
	if (r->blkio_weight)
		json_w_u64(w, "weight", r->blkio_weight);
	int f = throttle_write(w, "throttleReadBpsDevice", r->read_bps, r->read_bps_n, true, e);
	if (f >= 0)
		f = throttle_write(w, "throttleWriteBpsDevice", r->write_bps, r->write_bps_n, true,
				   e);
	if (f >= 0)
		f = throttle_write(w, "throttleReadIOPSDevice", r->read_iops, r->read_iops_n, false,
				   e);
	if (f >= 0)
		f = throttle_write(w, "throttleWriteIOPSDevice", r->write_iops, r->write_iops_n,
				   false, e);
	json_w_end(w);
	return f;
}

struct rule {
	const char *type;
	int64_t major, minor; /* -1: any */
	const char *access;
};

static void rule_write(struct json_writer *w, bool allow, const struct rule *r)
{
	json_w_object(w, NULL);
	json_w_bool(w, "allow", allow);
	if (r->type)
		json_w_string(w, "type", r->type);
	if (r->major >= 0)
		json_w_i64(w, "major", r->major);
	if (r->minor >= 0)
		json_w_i64(w, "minor", r->minor);
	json_w_string(w, "access", r->access);
	json_w_end(w);
}

/* null zero full random urandom tty console ptmx pts/N; and mknod of anything, which opens nothing.
 */
static const struct rule rules_default[] = {
	{ "c", -1, -1, "m" }, { "b", -1, -1, "m" }, { "c", 1, 3, "rwm" },    { "c", 1, 5, "rwm" },
	{ "c", 1, 7, "rwm" }, { "c", 1, 8, "rwm" }, { "c", 1, 9, "rwm" },    { "c", 5, 0, "rwm" },
	{ "c", 5, 1, "rwm" }, { "c", 5, 2, "rwm" }, { "c", 136, -1, "rwm" },
};

/* "HOST[:INSIDE[:rwm]]" or "HOST:rwm". */
static int device_parse(const char *text, struct plan_device *ret, struct arena *a, struct err *e)
{
	struct str rest, third = {};
	struct str first = str_cut(str_of(text), ':', &rest);
	struct str second = rest.p ? str_cut(rest, ':', &third) : (struct str){};
	struct plan_device d = { .access = "rwm" };

	if (second.p && !third.p && second.n && second.p[0] != '/') {
		third = second;
		second = (struct str){};
	}
	d.host = arena_dup(a, first);
	d.inside = arena_dup(a, second.n ? second : first);
	if (third.p)
		d.access = arena_dup(a, third);
	if (!d.host || !d.inside || !d.access)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	if (d.host[0] != '/' || d.inside[0] != '/' || strstr(d.inside, "..") || !*d.access ||
	    d.access[strspn(d.access, "rwm")] != '\0')
		return err_set(e, ERR_INVALID, EINVAL,
			       "--device '%s': write it HOST[:INSIDE[:rwm]], absolute paths", text);
	*ret = d;
	return 0;
}

static int add_device(struct arena *a, struct plan_devices *list, const struct plan_device *d,
		      struct err *e)
{
	struct plan_device *slot = arena_push(a, &list->v, &list->n, sizeof(*slot));

	if (!slot)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	*slot = *d;
	return device_of(d->host, &slot->dev, &slot->mode, e);
}

/* All devices below a directory of the host: what --device DIR and --privileged mean. */
static int add_tree(struct arena *a, struct plan_devices *list, const struct plan_device *top,
		    bool privileged, struct err *e)
{
	auto_dir DIR *dir = dir_open(AT_FDCWD, top->host);

	if (!dir)
		return err_sys(e, errno, "open '%s'", top->host);
	for (struct dirent *de; (de = dir_next(dir));) {
		struct plan_device d = *top;
		struct err ignored;
		int r = 0;

		/* Those every workload has, of its own. */
		if (privileged && (streq(de->d_name, "pts") || streq(de->d_name, "shm") ||
				   streq(de->d_name, "mqueue") || streq(de->d_name, "console") ||
				   streq(de->d_name, "ptmx") || streq(de->d_name, "fd") ||
				   streq(de->d_name, "null") || streq(de->d_name, "zero") ||
				   streq(de->d_name, "full") || streq(de->d_name, "random") ||
				   streq(de->d_name, "urandom") || streq(de->d_name, "tty")))
			continue;
		d.host = arena_printf(a, "%s/%s", top->host, de->d_name);
		d.inside = arena_printf(a, "%s/%s", top->inside, de->d_name);
		if (!d.host || !d.inside)
			return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
		if (de->d_type == DT_DIR)
			r = add_tree(a, list, &d, false, e);
		else if (de->d_type == DT_CHR || de->d_type == DT_BLK)
			(void) add_device(a, list, &d, &ignored); /* gone meanwhile */
		if (r < 0)
			return r;
	}
	return 0;
}

int plan_devices_of(const struct workload_config *c, struct arena *a, struct plan_devices *ret,
		    struct err *e)
{
	struct plan_devices list = {};
	int r = 0;

	if (c->privileged)
		r = add_tree(
			a, &list,
			&(struct plan_device){ .host = "/dev", .inside = "/dev", .access = "rwm" },
			true, e);
	for (size_t i = 0; r >= 0 && i < c->devices_n; i++) {
		struct plan_device d = {};
		struct stat st;

		r = device_parse(c->devices[i], &d, a, e);
		if (r < 0)
			return r;
		if (stat(d.host, &st) == 0 && S_ISDIR(st.st_mode))
			r = add_tree(a, &list, &d, false, e);
		else
			r = add_device(a, &list, &d, e);
	}
	if (r < 0)
		return r;
	*ret = list;
	return 0;
}

void plan_devices_write(struct json_writer *w, const struct plan_devices *list)
{
	if (list->n == 0)
		return;
	json_w_array(w, "devices");
	for (size_t i = 0; i < list->n; i++) {
		const struct plan_device *d = &list->v[i];

		json_w_object(w, NULL);
		json_w_string(w, "path", d->inside);
		json_w_string(w, "type", S_ISBLK(d->mode) ? "b" : "c");
		json_w_u64(w, "major", major(d->dev));
		json_w_u64(w, "minor", minor(d->dev));
		json_w_u64(w, "fileMode", d->mode & 0777);
		json_w_u64(w, "uid", 0);
		json_w_u64(w, "gid", 0);
		json_w_end(w);
	}
	json_w_end(w);
}

static int number_or_any(struct str s, int64_t *ret)
{
	if (str_is(s, "*")) {
		*ret = -1;
		return 0;
	}
	return num_parse_i64(s, 0, UINT32_MAX, ret);
}

/* "c 1:3 rwm", "a *:* rwm" */
static int cgroup_rule(struct json_writer *w, const char *text, struct err *e)
{
	struct str rest, number, type = str_cut(str_of(text), ' ', &rest);
	struct str numbers = str_cut(rest, ' ', &rest);
	struct str first = str_cut(numbers, ':', &number);
	char access[4] = "", kind[2] = "";
	struct rule r = { .type = kind, .access = access };

	bool ok = type.n == 1 && strchr("abc", type.p[0]) && rest.p && rest.n > 0 && rest.n <= 3 &&
		  number.p && number_or_any(first, &r.major) >= 0 &&
		  number_or_any(number, &r.minor) >= 0;
	for (size_t i = 0; ok && i < rest.n; i++)
		ok = strchr("rwm", rest.p[i]) != NULL;
	if (!ok)
		return err_set(e, ERR_INVALID, EINVAL,
			       "--device-cgroup-rule '%s': write it 'c 1:3 rwm'", text);
	kind[0] = type.p[0];
	memcpy(access, rest.p, rest.n);
	rule_write(w, true, &r);
	return 0;
}

static int rules_write(const struct workload_config *c, struct json_writer *w, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(4u << 20);
	struct plan_devices list = {};

	json_w_array(w, "devices");
	if (c->privileged) {
		rule_write(w, true, &(struct rule){ "a", -1, -1, "rwm" });
		json_w_end(w);
		return 0;
	}
	rule_write(w, false, &(struct rule){ NULL, -1, -1, "rwm" });
	for (size_t i = 0; i < ARRAY_SIZE(rules_default); i++)
		rule_write(w, true, &rules_default[i]);
	int r = plan_devices_of(c, &a, &list, e);
	for (size_t i = 0; r >= 0 && i < list.n; i++)
		rule_write(w, true,
			   &(struct rule){ S_ISBLK(list.v[i].mode) ? "b" : "c",
					   major(list.v[i].dev), minor(list.v[i].dev),
					   list.v[i].access });
	for (size_t i = 0; r >= 0 && i < c->device_rules_n; i++)
		r = cgroup_rule(w, c->device_rules[i], e);
	json_w_end(w);
	return r;
}

struct resources_config plan_enforceable(struct svc *s, const struct resources_config *r)
{
	auto_cgroup_layout struct cgroup_layout l = CGROUP_LAYOUT_INIT;
	struct resources_config c = *r;

	if (!c.swappiness_set && !c.oom_kill_disable)
		return c;
	if (cgroup_layout_open(&l) < 0)
		return c;
	for (size_t i = 0; i < l.n; i++) {
		if (!l.at[i].unified && (l.at[i].controllers & CGROUP_MEMORY))
			return c;
	}
	if (c.swappiness_set)
		svc_notice(s, "--memory-swappiness: cgroup v2 has no such setting; discarded");
	if (c.oom_kill_disable)
		svc_notice(s, "--oom-kill-disable: cgroup v2 has no such setting; discarded");
	c.swappiness_set = false;
	c.oom_kill_disable = false;
	return c;
}

int plan_resources(const struct resources_config *r, const struct workload_config *c,
		   struct json_writer *w, const char *key, struct err *e)
{
	json_w_object(w, key);
	int f = c ? rules_write(c, w, e) : 0;
	memory_write(r, w);
	cpu_write(r, w);
	if (r->pids_limit) {
		json_w_object(w, "pids");
		json_w_i64(w, "limit", r->pids_limit);
		json_w_end(w);
	}
	if (f >= 0)
		f = block_write(r, w, e);
	if (f >= 0 && (r->machine || (c && c->isolation && streq(c->isolation, "microvm"))))
		f = machine_write(r, c, w, e);
	json_w_end(w);
	return f;
}
