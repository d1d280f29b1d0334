/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linux.resources to control files: CPU, cpusets, pids, block I/O, huge pages, network classes,
 * RDMA and the unified map. Memory and devices have files of their own.
 */
#include "engine/container/groups_limits.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "base/auto.h"
#include "fmt/spec.h"

int groups_put(const struct groups_place *p, const char *file, const char *value, const char *what,
	       struct err *e)
{
	int r = cgroup_write(p->dir_fd, file, value);

	if (r == 0)
		return 0;
	if (r == -EINVAL || r == -ERANGE)
		return err_set(e, ERR_INVALID, -r,
			       "%s: the kernel refuses '%s' for /sys/fs/cgroup/%s/%s/%s", what,
			       value, p->dir, p->path, file);
	if (r == -ENOENT)
		return err_set(e, ERR_UNSUPPORTED, -r,
			       "%s: no such file or directory: this kernel has no "
			       "/sys/fs/cgroup/%s/%s/%s to write '%s' to",
			       what, p->dir, p->path, file, value);
	return err_sys(e, -r, "%s: write '%s' to /sys/fs/cgroup/%s/%s/%s", what, value, p->dir,
		       p->path, file);
}

static int put_u64(const struct groups_place *p, const char *file, uint64_t v, const char *what,
		   struct err *e)
{
	char text[24];

	(void) snprintf(text, sizeof(text), "%llu", (unsigned long long) v);
	return groups_put(p, file, text, what, e);
}

static int put_i64(const struct groups_place *p, const char *file, int64_t v, const char *what,
		   struct err *e)
{
	char text[24];

	(void) snprintf(text, sizeof(text), "%lld", (long long) v);
	return groups_put(p, file, text, what, e);
}

int groups_missing(const struct groups *g, enum cgroup_controller c, const char *what,
		   struct err *e)
{
	const char *name = cgroup_controller_name(c, true);

	/* The words in the middle are runc's: its callers look for them. */
	if (g->denied || geteuid() != 0)
		return err_set(e, ERR_DENIED, EACCES,
			       "%s: cannot set %s limit: container could not join or create cgroup "
			       "(the '%s' controller must be delegated to the user)",
			       what, name, name);
	return err_set(e, ERR_UNSUPPORTED, 0,
		       "%s: no cgroup hierarchy that this container may use has the '%s' "
		       "controller",
		       what, name);
}

/* The place for a controller, or the error that nothing here can enforce `what`. */
static const struct groups_place *need(const struct groups *g, enum cgroup_controller c,
				       const char *what, struct err *e)
{
	const struct groups_place *p = groups_place_of(g, c);

	if (!p)
		(void) groups_missing(g, c, what, e);
	return p;
}

static bool exists(const struct groups_place *p, const char *file)
{
	return faccessat(p->dir_fd, file, F_OK, 0) == 0;
}

/*
 * v1 shares (2 ... 262144, usual 1024) to a v2 weight (1 ... 10000, usual 100): a parabola through
 * the logarithms, so that both ends and the usual value meet.
 */
static uint64_t weight_of_shares(uint64_t shares)
{
	if (shares <= 2)
		return 1;
	if (shares >= 262144)
		return 10000;
	double l = log2((double) shares);
	double exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;

	return (uint64_t) ceil(pow(10.0, exponent) - 1e-9);
}

static int realtime_apply(const struct groups_place *p, const struct spec_cpu *c, struct err *e)
{
	bool period = c->realtime_period_set && c->realtime_period;
	bool runtime = c->realtime_runtime_set && c->realtime_runtime;
	int r = 0;

	/* A period shorter than the runtime so far is taken only after the new runtime. */
	if (period && runtime &&
	    cgroup_write_u64(p->dir_fd, "cpu.rt_period_us", c->realtime_period) == 0)
		period = false;
	if (runtime)
		r = put_i64(p, "cpu.rt_runtime_us", c->realtime_runtime,
			    "linux.resources.cpu.realtimeRuntime", e);
	if (r < 0)
		return err_ctx(e, "the cgroups above must have as much real-time run time "
				  "(cpu.rt_runtime_us), and share it");
	if (r == 0 && period)
		r = put_u64(p, "cpu.rt_period_us", c->realtime_period,
			    "linux.resources.cpu.realtimePeriod", e);
	return r;
}

static int cpu_v1(const struct groups_place *p, const struct spec_cpu *c, struct err *e)
{
	bool late_period = false, late_burst = false;
	int r = 0;

	if (c->shares_set && c->shares)
		r = put_u64(p, "cpu.shares", c->shares, "linux.resources.cpu.shares", e);
	r = r < 0 ? r : realtime_apply(p, c, e);
	/* Burst, period and quota bound one another: what is refused before the new quota is
	 * there may be accepted after it. */
	if (r == 0 && c->burst_set) {
		r = cgroup_write_u64(p->dir_fd, "cpu.cfs_burst_us", c->burst);
		late_burst = r == -EINVAL && c->quota_set;
		if (r < 0 && !late_burst)
			r = put_u64(p, "cpu.cfs_burst_us", c->burst, "linux.resources.cpu.burst",
				    e);
		else
			r = 0;
	}
	if (r == 0 && c->period_set && c->period) {
		r = cgroup_write_u64(p->dir_fd, "cpu.cfs_period_us", c->period);
		late_period = r == -EINVAL && c->quota_set && c->quota;
		if (r < 0 && !late_period)
			r = put_u64(p, "cpu.cfs_period_us", c->period, "linux.resources.cpu.period",
				    e);
		else
			r = 0;
	}
	if (r == 0 && c->quota_set && c->quota)
		r = put_i64(p, "cpu.cfs_quota_us", c->quota, "linux.resources.cpu.quota", e);
	if (r == 0 && late_period)
		r = put_u64(p, "cpu.cfs_period_us", c->period, "linux.resources.cpu.period", e);
	if (r == 0 && late_burst)
		r = put_u64(p, "cpu.cfs_burst_us", c->burst, "linux.resources.cpu.burst", e);
	if (r == 0 && c->idle_set)
		r = put_i64(p, "cpu.idle", c->idle, "linux.resources.cpu.idle", e);
	return r;
}

/* Quota and period are one file on v2: what is not given stays what it is. */
static int cpu_max(const struct groups_place *p, const struct spec_cpu *c, struct err *e)
{
	char now[64], quota[32], period[32];
	char text[72];
	struct str rest;

	if (cgroup_read(p->dir_fd, "cpu.max", now, sizeof(now)) < 0)
		(void) snprintf(now, sizeof(now), "max 100000");
	struct str first = str_cut(str_trim(str_of(now)), ' ', &rest);

	if (c->quota_set && c->quota > 0)
		(void) snprintf(quota, sizeof(quota), "%lld", (long long) c->quota);
	else if (c->quota_set && c->quota < 0)
		(void) snprintf(quota, sizeof(quota), "max");
	else
		(void) snprintf(quota, sizeof(quota), "%.*s", (int) first.n, first.p);
	if (c->period_set && c->period)
		(void) snprintf(period, sizeof(period), "%llu", (unsigned long long) c->period);
	else
		(void) snprintf(period, sizeof(period), "%.*s", (int) rest.n, rest.p ? rest.p : "");
	(void) snprintf(text, sizeof(text), "%s %s", quota, period);
	return groups_put(p, "cpu.max", text, "linux.resources.cpu.quota", e);
}

static int cpu_v2(const struct groups_place *p, const struct spec_cpu *c, struct err *e)
{
	int r = 0;

	if ((c->realtime_period_set && c->realtime_period) ||
	    (c->realtime_runtime_set && c->realtime_runtime))
		return err_set(e, ERR_UNSUPPORTED, 0,
			       "linux.resources.cpu.realtimeRuntime and realtimePeriod: cgroup v2 "
			       "has no limit for real-time tasks");
	if (c->idle_set)
		r = put_i64(p, "cpu.idle", c->idle, "linux.resources.cpu.idle", e);
	/* An idle group has no weight to set. */
	if (r == 0 && c->shares_set && c->shares && !(c->idle_set && c->idle))
		r = put_u64(p, "cpu.weight", weight_of_shares(c->shares),
			    "linux.resources.cpu.shares", e);
	bool late_burst = false;

	if (r == 0 && c->burst_set) {
		r = cgroup_write_u64(p->dir_fd, "cpu.max.burst", c->burst);
		late_burst = r == -EINVAL && c->quota_set;
		if (r < 0 && !late_burst)
			r = put_u64(p, "cpu.max.burst", c->burst, "linux.resources.cpu.burst", e);
		else
			r = 0;
	}
	if (r == 0 && ((c->quota_set && c->quota) || (c->period_set && c->period)))
		r = cpu_max(p, c, e);
	if (r == 0 && late_burst)
		r = put_u64(p, "cpu.max.burst", c->burst, "linux.resources.cpu.burst", e);
	return r;
}

static bool cpu_wanted(const struct spec_cpu *c)
{
	return (c->shares_set && c->shares) || (c->quota_set && c->quota) ||
	       (c->period_set && c->period) || c->burst_set || c->idle_set ||
	       (c->realtime_period_set && c->realtime_period) ||
	       (c->realtime_runtime_set && c->realtime_runtime);
}

static int cpu_apply(const struct groups *g, const struct spec_cpu *c, struct err *e)
{
	const struct groups_place *p;
	bool cpus = c->cpus && c->cpus[0], mems = c->mems && c->mems[0];
	int r = 0;

	/* The kernel would silently take the nearest possible value. */
	if (c->shares_set && c->shares && (c->shares < 2 || c->shares > 262144))
		return err_set(e, ERR_INVALID, EINVAL,
			       "linux.resources.cpu.shares: the %s allowed cpu-shares is %s, not "
			       "%llu",
			       c->shares < 2 ? "minimum" : "maximum",
			       c->shares < 2 ? "2" : "262144", (unsigned long long) c->shares);
	if (cpu_wanted(c)) {
		p = need(g, CGROUP_CPU, "linux.resources.cpu", e);
		if (!p)
			return -ENOTSUP;
		r = p->unified ? cpu_v2(p, c, e) : cpu_v1(p, c, e);
	}
	if (r < 0 || (!cpus && !mems))
		return r;
	p = need(g, CGROUP_CPUSET, "linux.resources.cpu.cpus", e);
	if (!p)
		return -ENOTSUP;
	if (cpus)
		r = groups_put(p, "cpuset.cpus", c->cpus, "linux.resources.cpu.cpus", e);
	if (r == 0 && mems)
		r = groups_put(p, "cpuset.mems", c->mems, "linux.resources.cpu.mems", e);
	return r;
}

static int pids_apply(const struct groups *g, const struct spec_pids *pids, struct err *e)
{
	const struct groups_place *p;

	if (!pids->limit_set)
		return 0;
	p = need(g, CGROUP_PIDS, "linux.resources.pids.limit", e);
	if (!p)
		return -ENOTSUP;
	if (pids->limit < 0)
		return groups_put(p, "pids.max", "max", "linux.resources.pids.limit", e);
	/* Entering is not counted against the limit, so 1 is what 0 means: no other process. */
	return put_i64(p, "pids.max", pids->limit ? pids->limit : 1, "linux.resources.pids.limit",
		       e);
}

/* A weight for all devices, under the name that the scheduler in use gives it. */
static int block_weight(const struct groups_place *p, uint32_t weight, struct err *e)
{
	const char *what = "linux.resources.blockIO.weight";

	if (weight == 0)
		return 0;
	if (weight < 10 || weight > 1000)
		return err_set(e, ERR_INVALID, EINVAL, "%s: %u is not within 10 to 1000", what,
			       weight);
	if (!p->unified)
		return put_u64(p, exists(p, "blkio.weight") ? "blkio.weight" : "blkio.bfq.weight",
			       weight, what, e);
	if (exists(p, "io.bfq.weight"))
		return put_u64(p, "io.bfq.weight", weight, what, e);
	/* 10 ... 1000 to 1 ... 10000 */
	return put_u64(p, "io.weight", 1 + (uint64_t) (weight - 10) * 9999 / 990, what, e);
}

static int block_weights(const struct groups_place *p, const struct spec_block_io *b, struct err *e)
{
	for (size_t i = 0; i < b->weight_devices_n; i++) {
		const struct spec_weight_device *d = &b->weight_devices[i];
		const char *what = "linux.resources.blockIO.weightDevice";
		char text[80];
		int r = 0;

		(void) snprintf(text, sizeof(text), "%lld:%lld %u", (long long) d->major,
				(long long) d->minor, d->weight);
		if (d->weight_set && d->weight && !p->unified)
			r = groups_put(p,
				       exists(p, "blkio.weight_device") ? "blkio.weight_device"
									: "blkio.bfq.weight_device",
				       text, what, e);
		else if (d->weight_set && d->weight)
			r = groups_put(p,
				       exists(p, "io.bfq.weight") ? "io.bfq.weight" : "io.weight",
				       text, what, e);
		if (r == 0 && d->leaf_weight_set && d->leaf_weight) {
			if (p->unified)
				return err_set(e, ERR_UNSUPPORTED, 0,
					       "%s: cgroup v2 has no leaf weights", what);
			(void) snprintf(text, sizeof(text), "%lld:%lld %u", (long long) d->major,
					(long long) d->minor, d->leaf_weight);
			r = groups_put(p, "blkio.leaf_weight_device", text, what, e);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int block_throttle(const struct groups_place *p, const struct spec_throttle_device *v,
			  size_t n, const char *v1_file, const char *v2_key, const char *what,
			  struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		char text[96];

		if (p->unified && v[i].rate == 0)
			(void) snprintf(text, sizeof(text), "%lld:%lld %s=max",
					(long long) v[i].major, (long long) v[i].minor, v2_key);
		else
			(void) snprintf(text, sizeof(text), "%lld:%lld %s%s%llu",
					(long long) v[i].major, (long long) v[i].minor,
					p->unified ? v2_key : "", p->unified ? "=" : "",
					(unsigned long long) v[i].rate);
		int r = groups_put(p, p->unified ? "io.max" : v1_file, text, what, e);

		if (r < 0)
			return r;
	}
	return 0;
}

static bool block_wanted(const struct spec_block_io *b)
{
	return (b->weight_set && b->weight) || (b->leaf_weight_set && b->leaf_weight) ||
	       b->weight_devices_n || b->read_bps_n || b->write_bps_n || b->read_iops_n ||
	       b->write_iops_n;
}

static int block_apply(const struct groups *g, const struct spec_block_io *b, struct err *e)
{
	const struct groups_place *p;

	if (!block_wanted(b))
		return 0;
	p = need(g, CGROUP_IO, "linux.resources.blockIO", e);
	if (!p)
		return -ENOTSUP;
	int r = b->weight_set ? block_weight(p, b->weight, e) : 0;

	if (r == 0 && b->leaf_weight_set && b->leaf_weight)
		r = p->unified
			    ? err_set(e, ERR_UNSUPPORTED, 0,
				      "linux.resources.blockIO.leafWeight: cgroup v2 has no leaf "
				      "weights")
			    : put_u64(p, "blkio.leaf_weight", b->leaf_weight,
				      "linux.resources.blockIO.leafWeight", e);
	if (r == 0)
		r = block_weights(p, b, e);
	if (r == 0)
		r = block_throttle(p, b->read_bps, b->read_bps_n, "blkio.throttle.read_bps_device",
				   "rbps", "linux.resources.blockIO.throttleReadBpsDevice", e);
	if (r == 0)
		r = block_throttle(p, b->write_bps, b->write_bps_n,
				   "blkio.throttle.write_bps_device", "wbps",
				   "linux.resources.blockIO.throttleWriteBpsDevice", e);
	if (r == 0)
		r = block_throttle(p, b->read_iops, b->read_iops_n,
				   "blkio.throttle.read_iops_device", "riops",
				   "linux.resources.blockIO.throttleReadIOPSDevice", e);
	if (r == 0)
		r = block_throttle(p, b->write_iops, b->write_iops_n,
				   "blkio.throttle.write_iops_device", "wiops",
				   "linux.resources.blockIO.throttleWriteIOPSDevice", e);
	return r;
}

static int hugepages_apply(const struct groups *g, const struct spec_resources *res, struct err *e)
{
	const char *what = "linux.resources.hugepageLimits";
	const struct groups_place *p = need(g, CGROUP_HUGETLB, what, e);

	if (!p)
		return -ENOTSUP;
	for (size_t i = 0; i < res->hugepages_n; i++) {
		const struct spec_hugepage_limit *h = &res->hugepages[i];
		char file[96];

		if (strchr(h->page_size, '/') || strlen(h->page_size) > 32)
			return err_set(e, ERR_INVALID, EINVAL, "%s: no page size '%s'", what,
				       h->page_size);
		(void) snprintf(file, sizeof(file), "hugetlb.%s.%s", h->page_size,
				p->unified ? "max" : "limit_in_bytes");
		int r = put_u64(p, file, h->limit, what, e);

		if (r < 0)
			return r;
		/* Reservations count as well where the kernel can: otherwise a mapping beyond the
		 * limit succeeds and dies of SIGBUS when touched. */
		(void) snprintf(file, sizeof(file), "hugetlb.%s.rsvd.%s", h->page_size,
				p->unified ? "max" : "limit_in_bytes");
		if (exists(p, file)) {
			r = put_u64(p, file, h->limit, what, e);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int network_apply(const struct groups *g, const struct spec_net_cls *n, struct err *e)
{
	const struct groups_place *p;
	int r = 0;

	if (n->class_id_set && n->class_id) {
		p = need(g, CGROUP_NET_CLS, "linux.resources.network.classID", e);
		if (!p)
			return -ENOTSUP;
		r = put_u64(p, "net_cls.classid", n->class_id, "linux.resources.network.classID",
			    e);
	}
	if (r < 0 || n->priorities_n == 0)
		return r;
	p = need(g, CGROUP_NET_PRIO, "linux.resources.network.priorities", e);
	if (!p)
		return -ENOTSUP;
	for (size_t i = 0; i < n->priorities_n && r == 0; i++) {
		char text[80];

		(void) snprintf(text, sizeof(text), "%.40s %u", n->priorities[i].name,
				n->priorities[i].priority);
		r = groups_put(p, "net_prio.ifpriomap", text, "linux.resources.network.priorities",
			       e);
	}
	return r;
}

static int rdma_apply(const struct groups *g, const struct spec_resources *res, struct err *e)
{
	const struct groups_place *p = need(g, CGROUP_RDMA, "linux.resources.rdma", e);

	if (!p)
		return -ENOTSUP;
	for (size_t i = 0; i < res->rdma_n; i++) {
		const struct spec_rdma *d = &res->rdma[i];
		char text[160];
		int n = snprintf(text, sizeof(text), "%.64s", d->device);

		if (d->hca_handles_set)
			n += snprintf(text + n, sizeof(text) - (size_t) n, " hca_handle=%u",
				      d->hca_handles);
		if (d->hca_objects_set)
			(void) snprintf(text + n, sizeof(text) - (size_t) n, " hca_object=%u",
					d->hca_objects);
		int r = groups_put(p, "rdma.max", text, "linux.resources.rdma", e);

		if (r < 0)
			return r;
	}
	return 0;
}

static unsigned unified_controller(const char *key)
{
	return cgroup_controller_of(str_cut(str_of(key), '.', &(struct str){ NULL, 0 }));
}

static int unified_apply(const struct groups *g, const struct spec_resources *res, struct err *e)
{
	const struct groups_place *p = groups_unified(g);

	if (!p && g->denied)
		return err_set(e, ERR_DENIED, EACCES,
			       "linux.resources.unified: cannot set limits: container could not "
			       "join or create cgroup (it must be delegated to the user)");
	if (!p)
		return err_set(
			e, ERR_UNSUPPORTED, 0,
			"linux.resources.unified: invalid configuration: this machine has no "
			"cgroup v2 hierarchy");
	for (size_t i = 0; i < res->unified_n; i++) {
		const char *key = res->unified[i].key;
		char what[160];

		(void) snprintf(what, sizeof(what), "linux.resources.unified.%.80s", key);
		if (strchr(key, '/') || streq(key, ".") || streq(key, "..") ||
		    streq(key, "cgroup.procs"))
			return err_set(e, ERR_INVALID, EINVAL, "%s: no name of a limit", what);
		unsigned c = unified_controller(key);

		if (!strchr(key, '.'))
			return err_set(e, ERR_INVALID, EINVAL,
				       "%s: the specified key has not the form CONTROLLER.VALUE "
				       "`%.80s`",
				       what, key);
		if (!c && !str_is(str_cut(str_of(key), '.', &(struct str){ NULL, 0 }), "cgroup"))
			return err_set(
				e, ERR_UNSUPPORTED, 0,
				"%s: the requested cgroup controller `%.*s` is not available", what,
				(int) strcspn(key, "."), key);
		if (c && !(p->controllers & c) && g->layout.n > 1)
			return err_set(
				e, ERR_UNSUPPORTED, 0,
				"%s: invalid configuration: the controller is in a cgroup v1 "
				"hierarchy here; give the limit in its own section of "
				"linux.resources",
				what);
		int r = groups_put(p, key, res->unified[i].value, what, e);

		if (r < 0)
			return r;
	}
	return 0;
}

unsigned groups_needed(const struct spec_resources *r)
{
	unsigned need = 0;

	if (!r)
		return 0;
	if (r->cpu && cpu_wanted(r->cpu))
		need |= CGROUP_CPU;
	if (r->cpu && ((r->cpu->cpus && r->cpu->cpus[0]) || (r->cpu->mems && r->cpu->mems[0])))
		need |= CGROUP_CPUSET;
	if (r->memory)
		need |= CGROUP_MEMORY;
	if (r->pids && r->pids->limit_set)
		need |= CGROUP_PIDS;
	if (r->block_io && block_wanted(r->block_io))
		need |= CGROUP_IO;
	if (r->hugepages_n)
		need |= CGROUP_HUGETLB;
	if (r->rdma_n)
		need |= CGROUP_RDMA;
	for (size_t i = 0; i < r->unified_n; i++)
		need |= unified_controller(r->unified[i].key);
	return need;
}

int groups_limits_apply(const struct groups *g, const struct spec_resources *r, bool fresh,
			struct err *e)
{
	int res = 0;

	if (!r)
		return groups_devices_apply(g, NULL, fresh, e);
	if (r->cpu)
		res = cpu_apply(g, r->cpu, e);
	if (res == 0 && r->memory)
		res = groups_memory_apply(g, r, e);
	if (res == 0 && r->pids)
		res = pids_apply(g, r->pids, e);
	if (res == 0 && r->block_io)
		res = block_apply(g, r->block_io, e);
	if (res == 0 && r->hugepages_n)
		res = hugepages_apply(g, r, e);
	if (res == 0 && r->network)
		res = network_apply(g, r->network, e);
	if (res == 0 && r->rdma_n)
		res = rdma_apply(g, r, e);
	if (res == 0)
		res = groups_devices_apply(g, r, fresh, e);
	/* Last: the most specific word on v2 wins over what was converted. */
	if (res == 0 && r->unified_n)
		res = unified_apply(g, r, e);
	return res;
}
