/* SPDX-License-Identifier: Apache-2.0 */
/* atoll-device vsock: the options of src/virtio/vsock.h's device. */

#include "virtio/vsock.h"
#include "base/auto.h"
#include "base/num.h"
#include "device/kind.h"

/* New connections from both sides. */
static const struct seccomp_rule calls[] = {
	FILTER_CALL(accept4),
	FILTER_CALL(socketpair),
	FILTER_CALL(shutdown),
	/* connections to ports */
	FILTER_CALL(getsockname),
	FILTER_CALL_IF(setsockopt, filter_linger),
#ifdef SYS_poll
	FILTER_CALL(poll),
#else
	FILTER_CALL(ppoll),
#endif
};

/* "PORT:fd:N" */
static int parse_forward(struct device_run *run, const char *value, struct vsock_forward *ret_f,
			 struct err *e)
{
	struct str fd, port = str_cut(str_of(value), ':', &fd);

	if (!fd.p || num_parse_u32(port, 0, UINT32_MAX - 1, &ret_f->port) < 0)
		return err_set(e, ERR_INVALID, EINVAL, "%s: PORT:fd:N is needed", value);
	return device_fd(run, fd.p, &ret_f->fd, e);
}

/* What it takes is the device's from here on. */
static struct virtio_device *offer(struct virtio_device *d, const struct vsock_forward *ports,
				   int kept_fd, struct err *e)
{
	if (!d || ports->fd < 0)
		return d;
	if (vsock_offer_ports(d, ports->port, ports->fd, kept_fd, e) == 0)
		return d;
	d->ops->free(d);
	return NULL;
}

static struct virtio_device *make(struct device_run *run, struct err *e)
{
	struct vsock_forward ports = { .fd = FD_NONE };
	struct vsock_forward forwards[VSOCK_FORWARDS_MAX];
	size_t forwards_n = 0;
	int listen_fd = FD_NONE, kept_fd = FD_NONE;
	uint32_t cid = VSOCK_CID_MIN;

	for (size_t i = 0; i < run->words_n; i++) {
		const struct device_word *w = &run->words[i];

		if (streq(w->name, "cid")) {
			if (num_parse_u32(str_of(w->value), VSOCK_CID_MIN, UINT32_MAX - 1, &cid) <
			    0) {
				(void) err_set(e, ERR_INVALID, EINVAL,
					       "--cid %s: 3 is the first of a guest", w->value);
				return NULL;
			}
		} else if (streq(w->name, "listen")) {
			if (device_fd(run, w->value, &listen_fd, e) < 0)
				return NULL;
		} else if (streq(w->name, "ports") && ports.fd < 0) {
			if (parse_forward(run, w->value, &ports, e) < 0)
				return NULL;
		} else if (streq(w->name, "keep") && kept_fd < 0) {
			if (device_fd(run, w->value, &kept_fd, e) < 0)
				return NULL;
		} else if (streq(w->name, "forward") && forwards_n < VSOCK_FORWARDS_MAX) {
			if (parse_forward(run, w->value, &forwards[forwards_n++], e) < 0)
				return NULL;
		} else {
			return device_unknown(w, e);
		}
	}
	return offer(vsock_new(&run->loop, run->memory, cid, listen_fd, forwards, forwards_n, e),
		     &ports, kept_fd, e);
}

const struct device_kind device_vsock = {
	.name = "vsock",
	.usage = "[--cid N] [--listen fd:N] [--forward PORT:fd:N]... [--ports PORT:fd:N [--keep "
		 "fd:N]]",
	.calls = calls,
	.calls_n = ARRAY_SIZE(calls),
	.make = make,
};
