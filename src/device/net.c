/* SPDX-License-Identifier: Apache-2.0 */
/* atoll-device net: the options of src/virtio/net.h's device. */
#include <errno.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include "base/auto.h"
#include "base/num.h"
#include "device/kind.h"
#include "virtio/net.h"

static const struct {
	const char *option;
	enum link_kind kind;
} links[] = { { "tap", LINK_TAP }, { "packet", LINK_PACKET }, { "stream", LINK_STREAM } };

/* Whether the word says what the card is plugged into; more than one such word is an error. */
static bool is_link(struct device_run *run, const struct device_word *w, struct net_config *c,
		    int *ret_r, struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		if (!streq(w->name, links[i].option) || c->fd >= 0)
			continue;
		c->kind = links[i].kind;
		*ret_r = device_fd(run, w->value, &c->fd, e);
		return true;
	}
	return false;
}

/* A limit: receive, then send. */
static bool is_limit(const struct device_word *w, struct rate_limit limits[2], int *ret_r,
		     struct err *e)
{
	static const char *const names[] = { "rx-bps", "rx-pps", "tx-bps", "tx-pps" };
	uint64_t *const at[] = { &limits[0].bytes, &limits[0].ops, &limits[1].bytes,
				 &limits[1].ops };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!streq(w->name, names[i]))
			continue;
		*ret_r = num_parse_u64(str_of(w->value), 0, UINT64_MAX, at[i]) < 0
				 ? err_set(e, ERR_INVALID, EINVAL, "--%s %s is no number", names[i],
					   w->value)
				 : 0;
		return true;
	}
	return false;
}

static int read_word(struct device_run *run, const struct device_word *w, struct net_config *c,
		     struct rate_limit limits[2], struct err *e)
{
	uint32_t mtu;
	int r = 0;

	if (is_link(run, w, c, &r, e) || is_limit(w, limits, &r, e))
		return r;
	if (streq(w->name, "mac")) {
		/* An odd first byte is a group's, nobody's own. */
		if (num_parse_mac(str_of(w->value), c->mac) < 0 || (c->mac[0] & 1))
			return err_set(e, ERR_INVALID, EINVAL, "--mac %s is no card's address",
				       w->value);
		return 0;
	}
	if (streq(w->name, "mtu")) {
		if (num_parse_u32(str_of(w->value), 68, UINT16_MAX, &mtu) < 0)
			return err_set(e, ERR_INVALID, EINVAL, "--mtu %s cannot be", w->value);
		c->mtu = (uint16_t) mtu;
		return 0;
	}
	(void) device_unknown(w, e);
	return -EINVAL;
}

static struct virtio_device *make(struct device_run *run, struct err *e)
{
	struct net_config c = { .fd = FD_NONE };
	struct rate_limit limits[2] = {};
	struct virtio_device *d;

	for (size_t i = 0; i < run->words_n; i++)
		if (read_word(run, &run->words[i], &c, limits, e) < 0)
			return NULL;
	if (c.fd < 0) {
		(void) err_set(e, ERR_INVALID, EINVAL, "--tap, --packet or --stream is needed");
		return NULL;
	}
	d = net_new(&run->loop, run->memory, &c, e);
	if (d)
		d->ops->limit(d, limits[0], limits[1]);
	return d;
}

const struct device_kind device_net = {
	.name = "net",
	.usage = "--tap|--packet|--stream fd:N [--mac AA:BB:CC:DD:EE:FF] [--mtu N] "
		 "[--rx-bps|--rx-pps|--tx-bps|--tx-pps N]",
	.ioctl = TUNSETOFFLOAD,
	.make = make,
};
