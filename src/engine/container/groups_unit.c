/* SPDX-License-Identifier: Apache-2.0 */
/*
 * systemd writes the limits it knows of whenever it looks at a unit again (a daemon-reload, a
 * change): what it was not told, it resets. So everything it has a word for is told, read back from
 * the files, where the kernel has rounded it and v1's terms have become v2's; and always all of a
 * controller, as one property brings the defaults of its neighbours with it.
 */
#include "engine/container/groups_unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/auto.h"
#include "base/num.h"
#include "engine/container/cpus.h"
#include "engine/container/groups_limits.h"
#include "fmt/dbus.h"
#include "fmt/gvariant.h"
#include "fmt/spec.h"
#include "sys/cgroup_device.h"

#define PROPERTY_PREFIX "org.systemd.property."
#define SUBGROUP	"run.oci.systemd.subgroup"
#define ARENA_MAX	(1u << 20)
#define PERIOD_MIN	1000 /* us; what systemd takes */
#define PERIOD_MAX	1000000
#define PERCENT		10000 /* us of a second */

/* ---- names ----------------------------------------------------------------------------- */

static bool unit_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr(":_.-@\\", c));
}

static bool unit_valid(const char *name)
{
	for (const char *c = name; *c; c++) {
		if (!unit_char(*c))
			return false;
	}
	return name[0] != '.';
}

/* An id may have a '+', which systemd writes as it writes all it has no letter for. */
static int name_by_id(const char *id, char ret_unit[static UNIT_NAME_SIZE])
{
	auto_buf struct buf b = BUF_INIT(UNIT_NAME_SIZE - 1);

	buf_adds(&b, "atoll-");
	for (const char *c = id; *c; c++) {
		if (*c == '+')
			buf_adds(&b, "\\x2b");
		else
			buf_addc(&b, *c);
	}
	buf_adds(&b, ".scope");
	if (!buf_ok(&b))
		return -ENAMETOOLONG;
	(void) snprintf(ret_unit, UNIT_NAME_SIZE, "%s", buf_z(&b));
	return 0;
}

/* The three parts of "slice:prefix:name", or a single word. */
static int name_by_path(const char *path, struct unit_names *n)
{
	struct str rest, name, slice = str_cut(str_of(path), ':', &rest);
	int len;

	if (!rest.p) {
		len = snprintf(n->unit, sizeof(n->unit), "%s.scope", path);
	} else {
		struct str prefix = str_cut(rest, ':', &name);

		if (!name.p || name.n == 0 || memchr(name.p, ':', name.n) ||
		    slice.n >= sizeof(n->slice))
			return -EINVAL;
		if (slice.n > 0)
			(void) snprintf(n->slice, sizeof(n->slice), "%.*s", (int) slice.n, slice.p);
		len = snprintf(n->unit, sizeof(n->unit), "%.*s-%.*s.scope", (int) prefix.n,
			       prefix.p, (int) name.n, name.p);
	}
	return len < 0 || (size_t) len >= sizeof(n->unit) ? -ENAMETOOLONG : 0;
}

/* "-.slice", or words between single dashes: each is a slice of its own. */
static bool slice_valid(const char *slice)
{
	if (!str_ends(str_of(slice), ".slice") || !unit_valid(slice))
		return false;
	return streq(slice, "-.slice") ||
	       (slice[0] != '-' && !strstr(slice, "--") && !strstr(slice, "-.slice"));
}

static const char *annotation(const struct groups_options *o, const char *key)
{
	return o->spec ? spec_annotation(o->spec, key) : NULL;
}

int unit_names_of(const struct groups_options *o, bool user, struct unit_names *ret_n,
		  struct err *e)
{
	struct unit_names n = { .sub = "" };
	const char *sub = annotation(o, SUBGROUP);
	bool named = o->path && o->path[0];

	(void) snprintf(n.slice, sizeof(n.slice), "%s", user ? "user.slice" : "system.slice");
	int r = named ? name_by_path(o->path, &n) : name_by_id(o->id, n.unit);

	if (r < 0 || !unit_valid(n.unit))
		return err_set(e, ERR_INVALID, EINVAL,
			       "linux.cgroupsPath '%s': systemd's driver wants 'slice:prefix:name' "
			       "of letters, digits and _.-@, at most %d bytes",
			       named ? o->path : o->id, UNIT_NAME_SIZE - 1);
	if (!slice_valid(n.slice))
		return err_set(e, ERR_INVALID, EINVAL,
			       "linux.cgroupsPath '%s': '%s' is not the name of a slice "
			       "('user-x.slice')",
			       o->path, n.slice);
	if (sub && sub[0] && cgroup_path_clean(str_of(sub), n.sub) < 0)
		return err_set(e, ERR_INVALID, EINVAL,
			       "annotations." SUBGROUP " '%s': must be a path without '.' or '..'",
			       sub);
	*ret_n = n;
	return 0;
}

/* ---- properties ------------------------------------------------------------------------ */

static void begin(struct buf *b, const char *name, struct str type)
{
	dbus_align(b, 8);
	dbus_string(b, str_of(name));
	dbus_signature(b, type);
}

static void put_string(struct buf *b, const char *name, const char *v)
{
	begin(b, name, STR("s"));
	dbus_string(b, str_of(v));
}

static void put_bool(struct buf *b, const char *name, bool v)
{
	begin(b, name, STR("b"));
	dbus_bool(b, v);
}

static void put_u64(struct buf *b, const char *name, uint64_t v)
{
	begin(b, name, STR("t"));
	dbus_u64(b, v);
}

void unit_put_start(struct buf *b, const struct groups_options *o, const struct unit_names *n,
		    bool v1)
{
	char description[192];

	(void) snprintf(description, sizeof(description), "container %s of Atoll", o->id);
	put_string(b, "Description", description);
	put_string(b, "Slice", n->slice);
	/* Its cgroup is ours to write to, and it and what the container makes below it theirs. */
	put_bool(b, "Delegate", true);
	put_bool(b, "MemoryAccounting", true);
	put_bool(b, "CPUAccounting", true);
	put_bool(b, "TasksAccounting", true);
	put_bool(b, v1 ? "BlockIOAccounting" : "IOAccounting", true);
	/* It lives as long as who asked for it wants: no earlier end at a shutdown. */
	put_bool(b, "DefaultDependencies", false);
	/* Nothing of it stays when it failed (a process killed for want of memory is a failure). */
	put_string(b, "CollectMode", "inactive-or-failed");
}

void unit_put_process(struct buf *b, pid_t pid)
{
	begin(b, "PIDs", STR("au"));
	struct dbus_array a = dbus_array(b, 4);

	dbus_u32(b, (uint32_t) pid);
	dbus_array_end(b, a);
}

/* What the driver itself relies on. */
static bool ours(const char *name)
{
	static const char *const all[] = { "PIDs", "PIDFDs", "Slice", "Controller", "Delegate" };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		if (streq(name, all[i]))
			return true;
	}
	return false;
}

static bool property_name(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < n; i++) {
		if (!((name[i] >= 'a' && name[i] <= 'z') || (name[i] >= 'A' && name[i] <= 'Z')))
			return false;
	}
	return n >= 3 && n <= 64;
}

/*
 * Units are written with "TimeoutStopSec", on the bus it is TimeoutStopUSec, in microseconds:
 * both words are understood, the first with seconds.
 */
static int put_annotation(struct buf *b, struct arena *a, const char *name, const char *text,
			  struct err *e)
{
	size_t n = strlen(name);
	const struct gvariant *v;
	const char *why = "out of memory";
	char usec[80];
	uint64_t t;

	if (!property_name(name) || ours(name))
		return err_set(e, ERR_INVALID, EINVAL, "annotations." PROPERTY_PREFIX "%.80s: %s",
			       name,
			       ours(name) ? "this property is set by the runtime"
					  : "not the name of a property");
	if (gvariant_parse(a, str_of(text), &v, &why) < 0)
		return err_set(e, ERR_INVALID, EINVAL,
			       "annotations." PROPERTY_PREFIX
			       "%s: '%.80s' is no value in GVariant's text format: %s",
			       name, text, why);
	if (n > 3 && streq(name + n - 3, "Sec") && name[n - 4] >= 'a' && name[n - 4] <= 'z') {
		if (gvariant_seconds(v, &t) < 0)
			return err_set(e, ERR_INVALID, EINVAL,
				       "annotations." PROPERTY_PREFIX
				       "%s: '%.80s' is no number of seconds",
				       name, text);
		(void) snprintf(usec, sizeof(usec), "%.*sUSec", (int) (n - 3), name);
		put_u64(b, usec, t);
		return 0;
	}
	dbus_align(b, 8);
	dbus_string(b, str_of(name));
	gvariant_write(b, v);
	return 0;
}

int unit_put_annotations(struct buf *b, const struct groups_options *o, struct err *e)
{
	for (size_t i = 0; o->spec && i < o->spec->annotations_n; i++) {
		const struct json_pair *p = &o->spec->annotations[i];
		auto_arena struct arena a = ARENA_INIT(ARENA_MAX);

		if (!str_starts(str_of(p->key), PROPERTY_PREFIX))
			continue;
		int r = put_annotation(b, &a, p->key + strlen(PROPERTY_PREFIX), p->value, e);

		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- devices --------------------------------------------------------------------------- */

/* Whether they have the same name in systemd's eyes. */
static bool same_name(const struct cgroup_device_rule *a, const struct cgroup_device_rule *b)
{
	if (a->major < 0 || b->major < 0)
		return a->major < 0 && b->major < 0;
	return a->major == b->major && (a->minor == b->minor || (a->minor < 0 && b->minor < 0));
}

/* A later entry of a name replaces the one before it: each name once, with all it is allowed. */
static void put_class(struct buf *b, const char *class, char type,
		      const struct cgroup_device_rule *rules, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct cgroup_device_rule *d = &rules[i];
		char name[64], text[4];
		unsigned access = 0;
		bool first = true;

		for (size_t k = 0; k < n; k++) {
			const struct cgroup_device_rule *o = &rules[k];

			if (!o->allow || (o->type != 'a' && o->type != type) || !same_name(o, d))
				continue;
			first = first && k >= i;
			access |= o->access;
		}
		if (!d->allow || (d->type != 'a' && d->type != type) || !first)
			continue;
		if (d->major < 0)
			(void) snprintf(name, sizeof(name), "%s-*", class);
		else if (d->minor < 0)
			(void) snprintf(name, sizeof(name), "%s-%lld", class, (long long) d->major);
		else
			(void) snprintf(name, sizeof(name), "/dev/%s/%lld:%lld", class,
					(long long) d->major, (long long) d->minor);
		(void) snprintf(text, sizeof(text), "%s%s%s",
				access & CGROUP_DEVICE_READ ? "r" : "",
				access & CGROUP_DEVICE_WRITE ? "w" : "",
				access & CGROUP_DEVICE_MKNOD ? "m" : "");
		dbus_align(b, 8);
		dbus_string(b, str_of(name));
		dbus_string(b, str_of(text));
	}
}

int unit_put_devices(struct buf *b, const struct spec_resources *r, bool fresh, struct err *e)
{
	struct cgroup_device_rule rules[CGROUP_DEVICE_RULES_MAX];
	struct dbus_array a;
	size_t n;

	if (!fresh && (!r || r->devices_n == 0))
		return 0;
	int res = groups_devices_rules(r, fresh, rules, &n, e);

	if (res < 0)
		return res;
	bool all = cgroup_device_all_allowed(rules, n);

	put_string(b, "DevicePolicy", all ? "auto" : "strict");
	if (!fresh) { /* an empty list clears, another adds */
		begin(b, "DeviceAllow", STR("a(ss)"));
		a = dbus_array(b, 8);
		dbus_array_end(b, a);
	}
	if (all)
		return 0;
	begin(b, "DeviceAllow", STR("a(ss)"));
	a = dbus_array(b, 8);
	/* Exceptions it has no words for: they are in our own rules, and both must agree. */
	put_class(b, "char", 'c', rules, n);
	put_class(b, "block", 'b', rules, n);
	dbus_array_end(b, a);
	return 0;
}

/* ---- limits ---------------------------------------------------------------------------- */

static void put_file(struct buf *b, const struct groups_place *p, const char *file,
		     const char *property)
{
	uint64_t v;

	if (cgroup_read_u64(p->dir_fd, file, &v) < 0)
		return; /* a kernel without it: systemd cannot write it either */
	/* v1 has no word for "no limit": it is the largest number of whole pages. */
	put_u64(b, property, v >= (uint64_t) INT64_MAX - 65536 ? UINT64_MAX : v);
}

static void put_set(struct buf *b, const struct groups_place *p, const char *file,
		    const char *property)
{
	uint64_t mask[CPUS_MAX / 64] = { 0 };
	char text[4096];
	size_t bits = 0;

	if (cgroup_read(p->dir_fd, file, text, sizeof(text)) < 0)
		return;
	text[strcspn(text, "\n")] = 0;
	if (cpus_parse(text, mask, &bits) < 0)
		return; /* cannot be: it is the kernel's own list */
	begin(b, property, STR("ay"));
	struct dbus_array a = dbus_array(b, 1);

	for (size_t i = 0; i < bits; i += 8)
		dbus_u8(b, (uint8_t) (mask[i / 64] >> (i % 64) & 0xff));
	dbus_array_end(b, a);
}

/*
 * A quota per period as time per second. systemd notes it in whole percents, rounded down, and has
 * no more than that after a daemon-reload: rounded up, it is never less than was asked for.
 */
static void put_quota(struct buf *b, uint64_t quota, uint64_t period)
{
	uint64_t per_sec = UINT64_MAX;

	if (period < PERIOD_MIN || period > PERIOD_MAX)
		return;
	put_u64(b, "CPUQuotaPeriodUSec", period);
	if (quota < UINT64_MAX / 1000000)
		per_sec = (quota * 1000000 + period * PERCENT - 1) / (period * PERCENT) * PERCENT;
	put_u64(b, "CPUQuotaPerSecUSec", per_sec);
}

static void put_cpu(struct buf *b, const struct groups_place *p)
{
	uint64_t idle = 0, weight = 0, quota = UINT64_MAX, period = 0;
	char text[64];
	struct str rest;

	if (!p->unified) {
		put_file(b, p, "cpu.shares", "CPUShares");
		if (cgroup_read_u64(p->dir_fd, "cpu.cfs_quota_us", &quota) == 0 &&
		    cgroup_read_u64(p->dir_fd, "cpu.cfs_period_us", &period) == 0)
			put_quota(b, quota, period);
		return;
	}
	/* 0 is systemd's word for cpu.idle (since 252). */
	if (cgroup_read_u64(p->dir_fd, "cpu.idle", &idle) == 0 && idle)
		put_u64(b, "CPUWeight", 0);
	else if (cgroup_read_u64(p->dir_fd, "cpu.weight", &weight) == 0)
		put_u64(b, "CPUWeight", weight);
	if (cgroup_read(p->dir_fd, "cpu.max", text, sizeof(text)) < 0)
		return;
	struct str first = str_cut(str_trim(str_of(text)), ' ', &rest);

	if (!str_is(first, "max") && num_parse_u64(first, 0, UINT64_MAX, &quota) < 0)
		return;
	if (rest.p && num_parse_u64(rest, 0, UINT64_MAX, &period) == 0)
		put_quota(b, quota, period);
}

static void put_memory(struct buf *b, const struct groups_place *p)
{
	if (!p->unified) {
		put_file(b, p, "memory.limit_in_bytes", "MemoryLimit");
		return;
	}
	put_file(b, p, "memory.min", "MemoryMin");
	put_file(b, p, "memory.low", "MemoryLow");
	put_file(b, p, "memory.high", "MemoryHigh");
	put_file(b, p, "memory.max", "MemoryMax");
	put_file(b, p, "memory.swap.max", "MemorySwapMax");
}

/* The weight for all devices: "default 100", or a number, or the other scheduler's. */
static void put_io(struct buf *b, const struct groups_place *p)
{
	char text[256];
	uint64_t v;

	if (!p->unified) {
		put_file(b, p,
			 faccessat(p->dir_fd, "blkio.weight", F_OK, 0) == 0 ? "blkio.weight"
									    : "blkio.bfq.weight",
			 "BlockIOWeight");
		return;
	}
	if (cgroup_read(p->dir_fd, "io.weight", text, sizeof(text)) < 0 &&
	    cgroup_read(p->dir_fd, "io.bfq.weight", text, sizeof(text)) < 0)
		return;
	struct str line = str_cut(str_of(text), '\n', &(struct str){ NULL, 0 });

	if (str_starts(line, "default "))
		line = (struct str){ line.p + 8, line.n - 8 };
	if (num_parse_u64(line, 1, 10000, &v) == 0)
		put_u64(b, "IOWeight", v);
}

void unit_put_limits(struct buf *b, const struct groups *g, const struct spec_resources *r)
{
	unsigned touched = groups_needed(r);
	const struct groups_place *p;

	if ((touched & CGROUP_MEMORY) && (p = groups_place_of(g, CGROUP_MEMORY)))
		put_memory(b, p);
	if ((touched & CGROUP_CPU) && (p = groups_place_of(g, CGROUP_CPU)))
		put_cpu(b, p);
	if ((touched & CGROUP_IO) && (p = groups_place_of(g, CGROUP_IO)))
		put_io(b, p);
	if ((touched & CGROUP_PIDS) && (p = groups_place_of(g, CGROUP_PIDS)))
		put_file(b, p, "pids.max", "TasksMax");
	/* systemd knows cpusets on v2 alone. */
	if ((touched & CGROUP_CPUSET) && (p = groups_place_of(g, CGROUP_CPUSET)) && p->unified) {
		put_set(b, p, "cpuset.cpus", "AllowedCPUs");
		put_set(b, p, "cpuset.mems", "AllowedMemoryNodes");
	}
}
