/* SPDX-License-Identifier: Apache-2.0 */
/* linux.resources.devices: which device nodes the container may use. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "engine/container/groups_limits.h"
#include "fmt/spec.h"
#include "sys/cgroup_device.h"

/* What every container has, whatever its rules: the nodes that the specification puts in /dev. */
static const struct cgroup_device_rule always[] = {
	{ true, 'c', CGROUP_DEVICE_MKNOD, -1, -1 }, { true, 'b', CGROUP_DEVICE_MKNOD, -1, -1 },
	{ true, 'c', CGROUP_DEVICE_ALL, 1, 3 },	   /* null */
	{ true, 'c', CGROUP_DEVICE_ALL, 1, 5 },	   /* zero */
	{ true, 'c', CGROUP_DEVICE_ALL, 1, 7 },	   /* full */
	{ true, 'c', CGROUP_DEVICE_ALL, 1, 8 },	   /* random */
	{ true, 'c', CGROUP_DEVICE_ALL, 1, 9 },	   /* urandom */
	{ true, 'c', CGROUP_DEVICE_ALL, 5, 0 },	   /* tty */
	{ true, 'c', CGROUP_DEVICE_ALL, 5, 2 },	   /* ptmx */
	{ true, 'c', CGROUP_DEVICE_ALL, 136, -1 }, /* pts */
};

int groups_devices_rules(const struct spec_resources *r, bool fresh, struct cgroup_device_rule *out,
			 size_t *ret_n, struct err *e)
{
	size_t n = 0, given = r ? r->devices_n : 0;

	if (given + ARRAY_SIZE(always) + 1 > CGROUP_DEVICE_RULES_MAX)
		return err_set(e, ERR_EXHAUSTED, E2BIG,
			       "linux.resources.devices: %zu rules, at most %zu are possible",
			       given, CGROUP_DEVICE_RULES_MAX - ARRAY_SIZE(always) - 1);
	if (fresh) /* nothing is allowed that no rule allows */
		out[n++] = (struct cgroup_device_rule){ false, 'a', CGROUP_DEVICE_ALL, -1, -1 };
	for (size_t i = 0; i < given; i++) {
		const struct spec_device_rule *d = &r->devices[i];
		unsigned access = (d->make_node ? CGROUP_DEVICE_MKNOD : 0) |
				  (d->read ? CGROUP_DEVICE_READ : 0) |
				  (d->write ? CGROUP_DEVICE_WRITE : 0);

		out[n++] = (struct cgroup_device_rule){
			.allow = d->allow,
			.type = d->type,
			.access = access ? access : CGROUP_DEVICE_ALL,
			.major = d->major,
			.minor = d->minor,
		};
	}
	for (size_t i = 0; i < ARRAY_SIZE(always); i++)
		out[n++] = always[i];
	*ret_n = cgroup_device_normalise(out, n);
	return 0;
}

/* Rules are written one by one, but each of the two files is opened once. */
struct files_v1 {
	int allow_fd, deny_fd;
};

static int put_v1(const struct groups_place *p, struct files_v1 *f, bool allow, const char *text,
		  struct err *e)
{
	const char *name = allow ? "devices.allow" : "devices.deny";
	int *fd = allow ? &f->allow_fd : &f->deny_fd;

	if (*fd < 0)
		*fd = openat(p->dir_fd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (*fd >= 0 && write(*fd, text, strlen(text)) >= 0)
		return 0;
	return err_sys(e, errno, "linux.resources.devices: write '%s' to /sys/fs/cgroup/%s/%s/%s",
		       text, p->dir, p->path, name);
}

static void text_v1(const struct cgroup_device_rule *d, char type, char ret_text[static 64])
{
	char major[24] = "*", minor[24] = "*";

	if (d->major >= 0)
		(void) snprintf(major, sizeof(major), "%lld", (long long) d->major);
	if (d->minor >= 0)
		(void) snprintf(minor, sizeof(minor), "%lld", (long long) d->minor);
	(void) snprintf(ret_text, 64, "%c %s:%s %s%s%s", type, major, minor,
			d->access & CGROUP_DEVICE_READ ? "r" : "",
			d->access & CGROUP_DEVICE_WRITE ? "w" : "",
			d->access & CGROUP_DEVICE_MKNOD ? "m" : "");
}

static int apply_v1(const struct groups_place *p, const struct cgroup_device_rule *rules, size_t n,
		    struct err *e)
{
	struct files_v1 f = { FD_NONE, FD_NONE };
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		const struct cgroup_device_rule *d = &rules[i];
		char text[64] = "a"; /* the kernel takes it as everything, whatever follows it */
		bool both = d->type == 'a';

		if (!both || d->major >= 0 || d->minor >= 0 || d->access != CGROUP_DEVICE_ALL)
			text_v1(d, both ? 'c' : d->type, text);
		r = put_v1(p, &f, d->allow, text, e);
		if (r == 0 && both && text[0] == 'c') {
			text[0] = 'b';
			r = put_v1(p, &f, d->allow, text, e);
		}
	}
	close_fd(&f.allow_fd);
	close_fd(&f.deny_fd);
	return r;
}

int groups_devices_apply(const struct groups *g, const struct spec_resources *r, bool fresh,
			 struct err *e)
{
	struct cgroup_device_rule rules[CGROUP_DEVICE_RULES_MAX];
	const struct groups_place *p = groups_place_of(g, CGROUP_DEVICES);
	struct err why = {};
	size_t n;

	if (!fresh && (!r || r->devices_n == 0))
		return 0; /* an update that does not speak of devices */
	int res = groups_devices_rules(r, fresh, rules, &n, e);

	if (res < 0)
		return res;
	if (p)
		res = apply_v1(p, rules, n, &why);
	p = p ? NULL : groups_unified(g);
	if (p && !(fresh && cgroup_device_all_allowed(rules, n))) {
		res = cgroup_device_attach(p->dir_fd, rules, n);
		if (res < 0)
			(void) err_sys(&why, -res,
				       "linux.resources.devices: attach the device program to "
				       "/sys/fs/cgroup/%s/%s",
				       p->dir, p->path);
	}
	/* Who may not set them can make no nodes either: what there is to open, he could before. */
	if (res >= 0 || (why.kind == ERR_DENIED && groups_tolerant(g->rootless)))
		return 0;
	*e = why;
	return res;
}
