/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/net.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/auto.h"
#include "virtio/train.h"

#define QUEUE_SIZE   256
#define HEADER	     sizeof(struct virtio_net_hdr_v1) /* in the guest's buffers (5.1.6) */
#define FRAMES_MAX   256 /* received before the loop's other sources are looked at */
#define MTU_MIN	     68	 /* 5.1.4.1 */
#define FEATURE(bit) (UINT64_C(1) << (bit))
#define GUEST_USO4   54 /* virtio 1.3: younger than the headers we build with */
#define GUEST_USO6   55

enum { RECEIVE, TRANSMIT, QUEUES };

#define PIECES_MAX                                                                                 \
	(CHAIN_PARTS_MAX - 2) /* of the room; the link's header and the spill are two              \
			       */
#define ROOM_MAX (HEADER + LINK_FRAME_MAX)

/*
 * Where frames will be received to: chains that have been taken from the queue and not given back,
 * in order. A frame that is longer than all of them goes on in `spill` until there are more.
 */
struct room {
	struct held {
		uint16_t head, pieces;
		size_t bytes;
	} chains[QUEUE_SIZE];
	size_t chains_n, pieces_n, bytes;
	bool full; /* no more chains can be held, though there are some */
	struct iovec pieces[PIECES_MAX];
	size_t waiting;			 /* bytes of a frame that is in pieces and spill; 0: none */
	struct virtio_net_hdr_v1 header; /* of it */
	uint8_t spill[LINK_FRAME_MAX];
};

struct net {
	struct virtio_device d;
	struct link link;
	struct loop_source source;
	uint32_t events; /* what the source waits for; 0: it is not in the loop */
	bool merge, guest_csum, gone, tx_blocked, rx_blocked;
	struct rate tx_rate, rx_rate;
	struct loop_timer tx_wait, rx_wait; /* for the rates */
	bool tx_waits, rx_waits;
	uint64_t guest_gso;	  /* gso_types that the driver takes, as bits */
	uint16_t status;	  /* atomic: VIRTIO_NET_S_LINK_UP, or 0 */
	struct net_config config; /* fd: not here any more */
	struct iovec slice[CHAIN_PARTS_MAX + 2];
	struct room room;
	struct train train; /* datagrams that have not gone to the guest yet */
};

static struct net *net_of(struct virtio_device *d)
{
	return LOOP_OWNER(d, struct net, d);
}

static void source_ready(struct loop_source *s, uint32_t events);
static void net_kick(struct virtio_device *d, unsigned queue);

/* The link is gone: no carrier. */
static void lose_link(struct net *n)
{
	n->gone = true;
	loop_remove(&n->source);
	n->events = 0;
	__atomic_store_n(&n->status, 0, __ATOMIC_RELAXED);
	n->d.config_changed(&n->d);
	virtio_again(&n->d, TRANSMIT); /* what waited for it waits for nothing */
}

/* Wait for what can be done something with. */
static void update_events(struct net *n)
{
	uint32_t want = n->gone ? 0
				: (n->rx_blocked || n->rx_waits ? 0 : (uint32_t) EPOLLIN) |
					  (n->tx_blocked ? (uint32_t) EPOLLOUT : 0);
	int r = 0;

	if (want == n->events)
		return;
	if (want == 0)
		loop_remove(&n->source);
	else if (n->events == 0)
		r = loop_add(n->d.loop, &n->source, n->link.fd, want, source_ready);
	else
		r = loop_change(&n->source, want);
	n->events = want;
	if (r < 0)
		lose_link(n);
}

/* ---- transmit ---- */

static void tx_again(struct loop_timer *t)
{
	struct net *n = LOOP_OWNER(t, struct net, tx_wait);

	n->tx_waits = false;
	net_kick(&n->d, TRANSMIT);
}

static bool tx_must_wait(struct net *n)
{
	nsec_t until = rate_limits(&n->tx_rate) && !n->gone ? rate_wait(&n->tx_rate, clock_mono())
							    : 0;

	if (until == 0)
		return false;
	n->tx_waits = true;
	loop_timer_set(n->d.loop, &n->tx_wait, until, tx_again);
	return true;
}

static bool transmit(struct virtio_device *d, unsigned queue, struct chain *c)
{
	struct net *n = net_of(d);
	struct virtio_net_hdr_v1 header = {};
	size_t bytes = c->out_bytes > HEADER ? c->out_bytes - HEADER : 0;
	int r = -EINVAL;

	if (tx_must_wait(n))
		return false;
	if (!n->gone && bytes >= LINK_FRAME_MIN && bytes <= LINK_FRAME_MAX) {
		size_t pieces = iovec_slice(c->out, c->out_n, HEADER, bytes, n->slice + 1);

		(void) chain_read(c, 0, &header, HEADER);
		/* One more than a call takes is possible, if it is cut into single bytes. */
		if (pieces < CHAIN_PARTS_MAX)
			r = link_send(&n->link, &header, n->slice, pieces + 1, bytes);
	}
	if (r == -EAGAIN) {
		n->tx_blocked = true;
		return false;
	}
	if (r == -EPIPE)
		lose_link(n);
	if (r < 0) {
		d->stats.errors++;
	} else {
		d->stats.writes++;
		d->stats.write_bytes += bytes;
		if (rate_limits(&n->tx_rate))
			rate_take(&n->tx_rate, clock_mono(), bytes);
	}
	queue_push(&d->queues[queue], c->head, 0);
	return true;
}

static void transmit_all(struct net *n)
{
	int r;

	n->tx_blocked = false;
	virtio_serve(&n->d, TRANSMIT, transmit);
	r = n->gone ? 0 : link_flush(&n->link);
	if (r == -EAGAIN)
		n->tx_blocked = true;
	else if (r < 0)
		lose_link(n);
}

/* ---- receive ---- */

/* Give the first chains of the room back, as parts of one frame of `bytes` with its header. */
static void hand_over(struct net *n, size_t chains, size_t bytes)
{
	struct room *room = &n->room;
	struct queue *q = &n->d.queues[RECEIVE];
	size_t pieces = 0, taken = 0;

	for (size_t i = 0; i < chains; i++) {
		size_t part = room->chains[i].bytes < bytes ? room->chains[i].bytes : bytes;

		queue_stage(q, room->chains[i].head, (uint32_t) part);
		pieces += room->chains[i].pieces;
		taken += room->chains[i].bytes;
		bytes -= part;
	}
	queue_publish(q); /* all at once: the driver looks for the rest when it sees the first */
	room->chains_n -= chains;
	room->pieces_n -= pieces;
	room->bytes -= taken;
	memmove(room->chains, room->chains + chains, room->chains_n * sizeof(room->chains[0]));
	memmove(room->pieces, room->pieces + pieces, room->pieces_n * sizeof(room->pieces[0]));
}

/* Take chains until there is room for any frame, or there are no more. */
static void make_room(struct net *n)
{
	struct room *room = &n->room;
	struct chain *c = &n->d.chain;

	room->full = false;
	while (room->bytes < ROOM_MAX && virtio_pop(&n->d, RECEIVE, c)) {
		if (c->in_bytes < HEADER || c->in_n > PIECES_MAX) {
			virtio_broken(&n->d, RECEIVE,
				      "a receive buffer cannot be used"); /* 5.1.6.3 */
			return;
		}
		if (room->chains_n == QUEUE_SIZE || room->pieces_n + c->in_n > PIECES_MAX) {
			queue_unpop(&n->d.queues[RECEIVE]);
			room->full = true;
			return;
		}
		room->chains[room->chains_n++] = (struct held){ .head = c->head,
								.pieces = (uint16_t) c->in_n,
								.bytes = c->in_bytes };
		memcpy(room->pieces + room->pieces_n, c->in, c->in_n * sizeof(*c->in));
		room->pieces_n += c->in_n;
		room->bytes += c->in_bytes;
	}
}

/* All chains back into the queue, unused. */
static void leave_room(struct net *n)
{
	for (size_t i = 0; i < n->room.chains_n; i++)
		queue_unpop(&n->d.queues[RECEIVE]);
	n->room.chains_n = n->room.pieces_n = n->room.bytes = n->room.waiting = 0;
	n->train.n = 0;
}

/* Internet checksum (RFC 1071) of bytes [at, end) of the room, the first one being an even one. */
static uint16_t checksum(const struct room *room, size_t at, size_t end)
{
	uint8_t bytes[512];
	uint32_t sum = 0;
	size_t n;

	while ((n = iovec_read(room->pieces, room->pieces_n, at, bytes,
			       end - at < sizeof(bytes) ? end - at : sizeof(bytes))) > 0) {
		for (size_t i = 0; i < n; i++)
			sum += i % 2 ? bytes[i] : (uint32_t) bytes[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
		at += n;
	}
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) ~(sum + (sum >> 16));
}

/* What the driver has not taken upon itself is done for it. false: it cannot be. */
static bool finish_frame(const struct net *n, struct virtio_net_hdr_v1 *h, size_t total)
{
	const struct room *room = &n->room;
	size_t start = HEADER + h->csum_start;
	unsigned gso = h->gso_type & ~(unsigned) VIRTIO_NET_HDR_GSO_ECN;
	uint8_t sum[2];
	uint16_t value;

	if (gso != VIRTIO_NET_HDR_GSO_NONE && (gso > 63 || !(n->guest_gso & FEATURE(gso))))
		return false;
	if (n->guest_csum)
		return true;
	h->flags &= (uint8_t) ~VIRTIO_NET_HDR_F_DATA_VALID;
	if (!(h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return true;
	if (start + h->csum_offset + sizeof(sum) > total)
		return false;
	value = checksum(room, start, total);
	if (value == 0) /* UDP's zero means that there is none; both are zero to all others */
		value = 0xffff;
	sum[0] = (uint8_t) (value >> 8);
	sum[1] = (uint8_t) value;
	(void) iovec_write(room->pieces, room->pieces_n, start + h->csum_offset, sum, sizeof(sum));
	h->flags = 0;
	h->csum_start = h->csum_offset = 0;
	return true;
}

/* The frame that is in the room to the guest. false: it needs more room than there is. */
static bool deliver(struct net *n)
{
	struct room *room = &n->room;
	size_t total = HEADER + room->waiting, chains = 0, there = 0;

	while (there < total && chains < room->chains_n)
		there += room->chains[chains++].bytes;
	if (there < total && n->merge && !room->full)
		return false;
	room->waiting = 0;
	/* Nowhere to put it, or a driver that cannot read it: as if it had never come. */
	if (there < total || (!n->merge && chains > 1) || !finish_frame(n, &room->header, total)) {
		n->d.stats.errors++;
		return true;
	}
	room->header.num_buffers = (uint16_t) chains;
	(void) iovec_write(room->pieces, room->pieces_n, 0, &room->header, HEADER);
	n->d.stats.reads++;
	n->d.stats.read_bytes += total - HEADER;
	if (rate_limits(&n->rx_rate))
		rate_take(&n->rx_rate, clock_mono(), total - HEADER);
	hand_over(n, chains, total);
	return true;
}

/* The next datagram of a train, as if the link had given it. v: room and spill. */
static ssize_t receive_datagram(struct net *n, const struct iovec *v, size_t v_n)
{
	uint8_t head[TRAIN_HEAD_MAX];
	const uint8_t *bytes = NULL;
	size_t bytes_n = 0;
	size_t head_n = train_next(&n->train, &n->room.header, head, &bytes, &bytes_n);

	(void) iovec_write(v, v_n, 0, head, head_n);
	(void) iovec_write(v, v_n, head_n, bytes, bytes_n);
	return (ssize_t) (head_n + bytes_n);
}

/* Datagrams in one frame, which the driver does not take (Linux before 6.2 has no such feature). */
static bool is_train(const struct net *n)
{
	return n->room.header.gso_type == TRAIN_GSO_UDP_L4 &&
	       !(n->guest_gso & FEATURE(TRAIN_GSO_UDP_L4));
}

/* A frame from the link into the room and, where that ends, into the spill. As link_receive(). */
static ssize_t receive(struct net *n)
{
	struct room *room = &n->room;
	struct iovec *v = n->slice + 1; /* the first one is the link's */
	size_t v_n = iovec_slice(room->pieces, room->pieces_n, HEADER, room->bytes - HEADER, v);
	ssize_t r;

	v[v_n++] = (struct iovec){ room->spill, sizeof(room->spill) };
	if (n->train.n) {
		r = receive_datagram(n, v, v_n);
	} else {
		r = link_receive(&n->link, &room->header, n->slice, 1 + v_n);
		if (r > 0 && is_train(n)) {
			(void) iovec_read(v, v_n, 0, n->train.frame, (size_t) r);
			r = train_begin(&n->train, &room->header, (size_t) r)
				    ? receive_datagram(n, v, v_n)
				    : -EBADMSG;
		}
	}
	if (r > 0)
		room->waiting = (size_t) r;
	return r;
}

/* More room has come: the rest of the frame that waits goes there. `had`: the room before. */
static void move_spill(struct net *n, size_t had)
{
	struct room *room = &n->room;
	size_t total = HEADER + room->waiting, moved;

	if (room->waiting == 0 || total <= had)
		return;
	moved = iovec_write(room->pieces, room->pieces_n, had, room->spill, total - had);
	memmove(room->spill, room->spill + moved, total - had - moved);
}

/* Room that was made and can be used now: false: none, and the driver's next kick is waited for. */
static bool have_room(struct net *n)
{
	struct queue *q = &n->d.queues[RECEIVE];
	size_t had = n->room.bytes;

	make_room(n);
	while (!n->room.full && (n->room.bytes == 0 || (n->room.waiting && n->room.bytes == had))) {
		if (!queue_enable_kicks(q))
			return false;
		queue_disable_kicks(q);
		make_room(n);
	}
	move_spill(n, had);
	return true;
}

static void rx_again(struct loop_timer *t)
{
	struct net *n = LOOP_OWNER(t, struct net, rx_wait);

	n->rx_waits = false;
	net_kick(&n->d, RECEIVE);
}

/* What comes meanwhile waits at the host's side of the link, as far as there is room. */
static bool rx_must_wait(struct net *n)
{
	nsec_t until = rate_limits(&n->rx_rate) ? rate_wait(&n->rx_rate, clock_mono()) : 0;

	if (until == 0)
		return false;
	n->rx_waits = true;
	loop_timer_set(n->d.loop, &n->rx_wait, until, rx_again);
	return true;
}

static void receive_all(struct net *n)
{
	unsigned left = FRAMES_MAX;
	ssize_t r = 1;

	queue_disable_kicks(&n->d.queues[RECEIVE]);
	n->rx_blocked = false;
	while (r != 0 && !n->gone) {
		if (!have_room(n)) {
			n->rx_blocked = true;
			break;
		}
		if (left-- == 0) {
			virtio_again(&n->d, RECEIVE);
			break;
		}
		if (n->room.waiting == 0) {
			if (rx_must_wait(n))
				break;
			r = receive(n);
		}
		if (r == -EPIPE)
			lose_link(n);
		else if (r < 0)
			n->d.stats.errors++;
		else if (r > 0)
			(void) deliver(n); /* what cannot be yet makes have_room() look for more */
	}
	virtio_signal(&n->d, RECEIVE);
}

/* ---- the device ---- */

static void source_ready(struct loop_source *s, uint32_t events)
{
	struct net *n = LOOP_OWNER(s, struct net, source);

	if (events & (EPOLLIN | EPOLLERR | EPOLLHUP) && !n->rx_blocked && !n->rx_waits)
		receive_all(n);
	if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP) && n->tx_blocked && !n->gone)
		transmit_all(n);
	update_events(n);
}

static void net_kick(struct virtio_device *d, unsigned queue)
{
	struct net *n = net_of(d);

	if (queue == RECEIVE && !n->gone && !n->rx_waits)
		receive_all(n);
	else if (queue == TRANSMIT && (n->gone || (!n->tx_blocked && !n->tx_waits)))
		transmit_all(n);
	update_events(n);
}

static uint64_t net_features(const struct virtio_device *d)
{
	const struct net *n = VIRTIO_OWNER_CONST(d, struct net);
	uint64_t f = FEATURE(VIRTIO_NET_F_MAC) | FEATURE(VIRTIO_NET_F_MRG_RXBUF) |
		     FEATURE(VIRTIO_NET_F_STATUS);

	if (n->config.mtu)
		f |= FEATURE(VIRTIO_NET_F_MTU);
	if (link_offloads(&n->link))
		f |= FEATURE(VIRTIO_NET_F_CSUM) | FEATURE(VIRTIO_NET_F_GUEST_CSUM) |
		     FEATURE(VIRTIO_NET_F_HOST_TSO4) | FEATURE(VIRTIO_NET_F_HOST_TSO6) |
		     FEATURE(VIRTIO_NET_F_HOST_ECN) | FEATURE(VIRTIO_NET_F_GUEST_TSO4) |
		     FEATURE(VIRTIO_NET_F_GUEST_TSO6) | FEATURE(VIRTIO_NET_F_GUEST_ECN);
	/* A packet socket gives these to whoever listens; a tap would have to be asked. */
	if (n->link.kind == LINK_PACKET)
		f |= FEATURE(GUEST_USO4) | FEATURE(GUEST_USO6);
	return f;
}

static void net_config_read(const struct virtio_device *d, uint32_t at, void *to, uint32_t n)
{
	const struct net *net = VIRTIO_OWNER_CONST(d, struct net);
	struct virtio_net_config config = {
		.status = __atomic_load_n(&net->status, __ATOMIC_RELAXED),
		.mtu = net->config.mtu,
	};

	memcpy(config.mac, net->config.mac, sizeof(config.mac));
	virtio_config_copy(&config, sizeof(config), at, to, n);
}

static int net_activate(struct virtio_device *d, uint64_t features, struct err *e)
{
	struct net *n = net_of(d);
	int r = link_set_offloads(&n->link, features);

	if (r < 0)
		return err_sys(e, -r, "network: offloads");
	n->merge = features & FEATURE(VIRTIO_NET_F_MRG_RXBUF);
	n->guest_csum = features & FEATURE(VIRTIO_NET_F_GUEST_CSUM);
	n->guest_gso = 0;
	if (n->guest_csum && features & FEATURE(VIRTIO_NET_F_GUEST_TSO4))
		n->guest_gso |= FEATURE(VIRTIO_NET_HDR_GSO_TCPV4);
	if (n->guest_csum && features & FEATURE(VIRTIO_NET_F_GUEST_TSO6))
		n->guest_gso |= FEATURE(VIRTIO_NET_HDR_GSO_TCPV6);
	if (n->guest_csum && features & FEATURE(GUEST_USO4) && features & FEATURE(GUEST_USO6))
		n->guest_gso |= FEATURE(TRAIN_GSO_UDP_L4);
	return 0;
}

/* Nothing waits for a rate any more. */
static void end_waiting(struct net *n)
{
	loop_timer_cancel(&n->rx_wait);
	loop_timer_cancel(&n->tx_wait);
	n->rx_waits = n->tx_waits = false;
}

static void net_limit(struct virtio_device *d, struct rate_limit read, struct rate_limit write)
{
	struct net *n = net_of(d);

	rate_set(&n->rx_rate, read);
	rate_set(&n->tx_rate, write);
	end_waiting(n);
	if (!d->active)
		return;
	net_kick(d, RECEIVE);
	net_kick(d, TRANSMIT);
}

/* A frame that is on its way to the guest is lost, as on any wire. */
static int net_pause(struct virtio_device *d, struct err *)
{
	struct net *n = net_of(d);

	if (n->room.waiting)
		n->d.stats.errors++;
	leave_room(n);
	return 0;
}

static int net_restore(struct virtio_device *d, uint64_t features, struct str state, struct err *e)
{
	return state.n ? virtio_bad_state(d, e) : net_activate(d, features, e);
}

static void net_reset(struct virtio_device *d)
{
	struct net *n = net_of(d);

	end_waiting(n);
	leave_room(n);
	loop_remove(&n->source);
	n->events = 0;
	n->tx_blocked = n->rx_blocked = false;
}

static void net_free(struct virtio_device *d)
{
	struct net *n = net_of(d);

	virtio_reset(d);
	link_fini(&n->link);
	free(n);
}

static const struct virtio_ops net_ops = {
	.id = VIRTIO_ID_IS_NET,
	.name = "net",
	.features = net_features,
	.config_read = net_config_read,
	.config_write = virtio_config_ignore,
	.activate = net_activate,
	.kick = net_kick,
	.limit = net_limit,
	.reset = net_reset,
	.free = net_free,
	.pause = net_pause,
	.save = virtio_save_nothing,
	.restore = net_restore,
};

struct virtio_device *net_new(struct loop *loop, const struct guest_memory *memory,
			      const struct net_config *config, struct err *e)
{
	struct net *n = calloc(1, sizeof(*n));
	int fd = config->fd;

	if (!n || (config->mtu && config->mtu < MTU_MIN)) {
		if (n)
			(void) err_set(e, ERR_INVALID, EINVAL, "network: an MTU of %u is too small",
				       config->mtu);
		else
			(void) err_sys(e, ENOMEM, "network");
		close_fd(&fd);
		free(n);
		return NULL;
	}
	if (link_init(&n->link, config->kind, fd, e) < 0) {
		free(n);
		return NULL;
	}
	n->config = *config;
	n->config.fd = FD_NONE;
	n->source.fd = FD_NONE;
	n->status = VIRTIO_NET_S_LINK_UP;
	virtio_init(&n->d, &net_ops, loop, memory, QUEUES, QUEUE_SIZE);
	return &n->d;
}
