/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/microvm/monitor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "engine/microvm/microvm.h"
#include "engine/microvm/qmp.h"
#include "fmt/json.h"
#include "fmt/spec.h"
#include "proto/proxy.h"
#include "proto/vmm.h"
#include "sys/unix.h"

#define ARENA_MAX (16u << 20)
/* virtio 1.2, 5: what STATS calls its devices. */
#define IS_NET	 1
#define IS_BLOCK 2

/* ---- atoll-vmm --------------------------------------------------------------------------- */

int monitor_dial(const struct microvm *m, struct err *e)
{
	char path[64];
	int fd;

	(void) snprintf(path, sizeof(path), "/proc/self/fd/%d/" PROXY_CONTROL, m->machine_fd);
	fd = unix_connect(path, SOCK_STREAM, NSEC_PER_SEC);
	if (fd == -ECONNREFUSED || fd == -ENOENT)
		return err_set(e, ERR_CONFLICT, -fd, "the machine is not running");
	return fd < 0 ? err_sys(e, -fd, "connect to the machine's monitor") : fd;
}

static int ask(int fd, const struct vmm_request *q, nsec_t deadline, struct vmm_reply *ret,
	       struct err *e)
{
	int r = vmm_ask(fd, q, deadline, ret);

	if (r == -ETIMEDOUT)
		return err_set(e, ERR_TIMEOUT, ETIMEDOUT, "the machine's monitor does not answer");
	return r < 0 ? err_sys(e, -r, "ask the machine's monitor") : 0;
}

static int usage_of_vmm(int fd, nsec_t deadline, struct monitor_usage *ret, struct err *e)
{
	const struct vmm_request q = { .type = VMM_STATS };
	struct monitor_usage u = {};
	struct vmm_reply got;
	int r = ask(fd, &q, deadline, &got, e);

	for (size_t i = 0; r == 0 && i < got.stats.devices_n; i++) {
		const struct vmm_device_stats *d = &got.stats.devices[i];

		if (d->virtio_id == IS_BLOCK) {
			u.disks_n++;
			u.read_bytes += d->read_bytes;
			u.write_bytes += d->write_bytes;
			u.reads += d->reads;
			u.writes += d->writes;
		} else if (d->virtio_id == IS_NET) {
			u.rx_bytes += d->read_bytes;
			u.tx_bytes += d->write_bytes;
			u.rx_packets += d->reads;
			u.tx_packets += d->writes;
		}
	}
	if (r == 0)
		*ret = u;
	return r;
}

static int balloon_of_vmm(const struct microvm *m, int fd, uint64_t bytes, bool wait_for_it,
			  nsec_t deadline, uint64_t *ret_given, struct err *e)
{
	const struct vmm_request set = { .type = VMM_BALLOON, .value = bytes },
				 wait = { .type = VMM_BALLOON_WAIT }, look = { .type = VMM_STATS };
	auto_fd int other = FD_NONE;
	struct err ignored;
	struct vmm_reply got;
	int r = ask(fd, &set, deadline, &got, e);

	if (r < 0 || !wait_for_it)
		return r;
	r = vmm_ask(fd, &wait, deadline, &got);
	if (r == 0)
		*ret_given = bytes;
	if (r != -ETIMEDOUT)
		return r < 0 ? err_sys(e, -r, "ask the machine's monitor") : 0;
	other = monitor_dial(m, &ignored); /* this one waits still */
	if (other >= 0 && ask(other, &look, clock_deadline(NSEC_PER_SEC), &got, &ignored) == 0)
		*ret_given = got.stats.balloon_bytes;
	return err_set(e, ERR_TIMEOUT, ETIMEDOUT, "the guest does not give its memory up");
}

/* All devices of the kind, or the index-th of them. */
static int limit_of_vmm(int fd, uint64_t kind, size_t index, const struct spec_rate *l,
			nsec_t deadline, struct err *e)
{
	const uint64_t values[VMM_LIMITS_N] = { [VMM_READ_BYTES] = l->read_bytes,
						[VMM_READ_OPS] = l->read_ops,
						[VMM_WRITE_BYTES] = l->write_bytes,
						[VMM_WRITE_OPS] = l->write_ops };
	struct vmm_request q = { .type = VMM_STATS };
	struct vmm_reply all, got;
	size_t seen = 0;
	int r = ask(fd, &q, deadline, &all, e);

	for (size_t i = 0; r == 0 && i < all.stats.devices_n; i++) {
		if (all.stats.devices[i].virtio_id != kind ||
		    (index != SIZE_MAX && seen++ != index))
			continue;
		for (size_t k = 0; r == 0 && k < VMM_LIMITS_N; k++) {
			q = (struct vmm_request){ .type = VMM_LIMIT,
						  .which = vmm_limit_which(i, (enum vmm_limit) k),
						  .value = values[k] };
			r = ask(fd, &q, deadline, &got, e);
		}
	}
	return r;
}

/* ---- QEMU -------------------------------------------------------------------------------- */

static uint64_t number(const struct json *object, const char *key)
{
	const struct json *v = object ? json_get(object, key) : NULL;
	uint64_t n = 0;

	return v && json_u64(v, &n) == 0 ? n : 0;
}

static int usage_of_qemu(struct qmp *q, struct monitor_usage *ret, struct err *e)
{
	struct monitor_usage u = { .rx_bytes = UINT64_MAX,
				   .tx_bytes = UINT64_MAX,
				   .rx_packets = UINT64_MAX,
				   .tx_packets = UINT64_MAX };
	const struct json *disks;
	int r = qmp_ask(q, "query-blockstats", NULL, &disks, e);

	if (r < 0)
		return r;
	for (size_t i = 0; disks->type == JSON_ARRAY && i < disks->n; i++) {
		const struct json *s = json_get(&disks->items[i], "stats");

		u.disks_n++;
		u.read_bytes += number(s, "rd_bytes");
		u.write_bytes += number(s, "wr_bytes");
		u.reads += number(s, "rd_operations");
		u.writes += number(s, "wr_operations");
	}
	*ret = u;
	return 0;
}

/* QEMU counts what is left to the guest. */
static int balloon_of_qemu(struct qmp *q, uint64_t all, uint64_t bytes, bool wait,
			   uint64_t *ret_given, struct err *e)
{
	const struct json *got;
	char arguments[64];
	int r;

	(void) snprintf(arguments, sizeof(arguments), "{\"value\":%llu}",
			(unsigned long long) (all - bytes));
	r = qmp_ask(q, "balloon", arguments, &got, e);
	while (r == 0 && wait) {
		uint64_t left;

		r = qmp_ask(q, "query-balloon", NULL, &got, e);
		if (r < 0)
			break;
		left = number(got, "actual");
		*ret_given = left < all ? all - left : 0;
		if (left == all - bytes)
			return 0;
		r = qmp_event(q, e);
		if (r < 0 && e->kind == ERR_TIMEOUT)
			return err_set(e, ERR_TIMEOUT, ETIMEDOUT,
				       "the guest does not give its memory up");
	}
	return r;
}

static int limit_of_qemu(struct qmp *q, size_t index, const struct spec_rate *l, struct err *e)
{
	const struct json *got;
	char arguments[320];

	(void) snprintf(arguments, sizeof(arguments),
			"{\"id\":\"/machine/peripheral/disk%zu/"
			"virtio-backend\",\"bps\":0,\"bps_rd\":%llu,\"bps_wr\":%llu,\"iops\":0,"
			"\"iops_rd\":%llu,\"iops_wr\":%llu}",
			index, (unsigned long long) l->read_bytes,
			(unsigned long long) l->write_bytes, (unsigned long long) l->read_ops,
			(unsigned long long) l->write_ops);
	return qmp_ask(q, "block_set_io_throttle", arguments, &got, e);
}

/* ---- either ------------------------------------------------------------------------------ */

int monitor_usage(const struct microvm *m, nsec_t deadline, struct monitor_usage *ret,
		  struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(ARENA_MAX);
	struct qmp q;
	int r;

	if (!m->emulated) {
		auto_fd int fd = monitor_dial(m, e);

		return fd < 0 ? fd : usage_of_vmm(fd, deadline, ret, e);
	}
	r = qmp_open(&q, m->machine_fd, PROXY_CONTROL, deadline, &a, e);
	if (r < 0)
		return r;
	r = usage_of_qemu(&q, ret, e);
	qmp_close(&q);
	return r;
}

int monitor_balloon(const struct microvm *m, uint64_t bytes, bool wait, nsec_t deadline,
		    uint64_t *ret_given, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(ARENA_MAX);
	struct qmp q;
	int r;

	*ret_given = 0;
	bytes &= ~UINT64_C(4095);
	if (!m->emulated) {
		auto_fd int fd = monitor_dial(m, e);

		return fd < 0 ? fd : balloon_of_vmm(m, fd, bytes, wait, deadline, ret_given, e);
	}
	r = qmp_open(&q, m->machine_fd, PROXY_CONTROL, deadline, &a, e);
	if (r < 0)
		return r;
	r = balloon_of_qemu(&q, m->memory, bytes, wait, ret_given, e);
	qmp_close(&q);
	return r;
}

int monitor_limit_disk(const struct microvm *m, size_t index, const struct spec_rate *l,
		       nsec_t deadline, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(ARENA_MAX);
	struct qmp q;
	int r;

	if (!m->emulated) {
		auto_fd int fd = monitor_dial(m, e);

		return fd < 0 ? fd : limit_of_vmm(fd, IS_BLOCK, index, l, deadline, e);
	}
	r = qmp_open(&q, m->machine_fd, PROXY_CONTROL, deadline, &a, e);
	if (r < 0)
		return r;
	r = limit_of_qemu(&q, index, l, e);
	qmp_close(&q);
	return r;
}

int monitor_limit_cards(const struct microvm *m, const struct spec_rate *l, nsec_t deadline,
			struct err *e)
{
	if (m->emulated)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "an emulated machine has the limits of its network from its start");
	auto_fd int fd = monitor_dial(m, e);

	return fd < 0 ? fd : limit_of_vmm(fd, IS_NET, SIZE_MAX, l, deadline, e);
}
