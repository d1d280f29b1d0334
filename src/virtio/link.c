/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "virtio/iovec.h"

#define SOCKET_BUFFER (4 << 20) /* some dozens of the greatest frames */
#define LENGTH	      4		/* bytes before each frame of a stream */
#define SHORT_FRAME   16384	/* copying as much costs less than a system call */
#define FEATURE(bit)  (UINT64_C(1) << (bit))

struct link_stream {
	uint8_t in[2 * (LENGTH + LINK_FRAME_MAX)]; /* [in_at, in_end) is not handed out yet */
	size_t in_at, in_end;
	/* [out_at, out_end): short frames that go together, or the rest of one sent in part. */
	uint8_t out[2 * (LENGTH + LINK_FRAME_MAX)];
	size_t out_at, out_end;
};

static int init_tap(struct link *l, struct err *e)
{
	int header = sizeof(struct virtio_net_hdr_v1), flags = fcntl(l->fd, F_GETFL);
	struct ifreq ifr = {};

	if (ioctl(l->fd, TUNGETIFF, &ifr) < 0)
		return err_set(e, ERR_INVALID, errno, "network: not a tap device");
	if (!(ifr.ifr_flags & IFF_TAP) || !(ifr.ifr_flags & IFF_NO_PI) ||
	    !(ifr.ifr_flags & IFF_VNET_HDR))
		return err_set(e, ERR_INVALID, EINVAL,
			       "network: %.*s is not a tap device with IFF_NO_PI and IFF_VNET_HDR",
			       IFNAMSIZ, ifr.ifr_name);
	if (flags < 0 || fcntl(l->fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    ioctl(l->fd, TUNSETVNETHDRSZ, &header) < 0)
		return err_sys(e, errno, "network: tap device");
	l->header = sizeof(struct virtio_net_hdr_v1);
	return 0;
}

static int socket_option(int fd, int option)
{
	socklen_t n = sizeof(int);
	int value = -1;

	return getsockopt(fd, SOL_SOCKET, option, &value, &n) < 0 ? -errno : value;
}

static void widen(int fd, int force, int usual)
{
	int n = SOCKET_BUFFER;

	/* As far as we may: smaller ones lose or hold up more. */
	if (setsockopt(fd, SOL_SOCKET, force, &n, sizeof(n)) < 0)
		(void) setsockopt(fd, SOL_SOCKET, usual, &n, sizeof(n));
}

static int init_packet(struct link *l, struct err *e)
{
	int yes = 1;

	if (socket_option(l->fd, SO_DOMAIN) != AF_PACKET ||
	    socket_option(l->fd, SO_TYPE) != SOCK_RAW)
		return err_set(e, ERR_INVALID, EINVAL, "network: not a raw packet socket");
	/* What the host's own stack sends through the interface is not for us. */
	if (setsockopt(l->fd, SOL_PACKET, PACKET_VNET_HDR, &yes, sizeof(yes)) < 0 ||
	    setsockopt(l->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof(yes)) < 0)
		return err_sys(e, errno, "network: packet socket");
	widen(l->fd, SO_RCVBUFFORCE, SO_RCVBUF);
	widen(l->fd, SO_SNDBUFFORCE, SO_SNDBUF);
	l->header = sizeof(struct virtio_net_hdr);
	return 0;
}

static int init_stream(struct link *l, struct err *e)
{
	if (socket_option(l->fd, SO_TYPE) != SOCK_STREAM)
		return err_set(e, ERR_INVALID, EINVAL, "network: not a stream socket");
	l->stream = calloc(1, sizeof(*l->stream));
	return l->stream ? 0 : err_sys(e, ENOMEM, "network");
}

int link_init(struct link *l, enum link_kind kind, int fd, struct err *e)
{
	int r = 0;

	*l = (struct link){ .kind = kind, .fd = fd };
	switch (kind) {
	case LINK_TAP:
		r = init_tap(l, e);
		break;
	case LINK_PACKET:
		r = init_packet(l, e);
		break;
	case LINK_STREAM:
		r = init_stream(l, e);
		break;
	}
	if (r < 0)
		link_fini(l);
	return r;
}

void link_fini(struct link *l)
{
	close_fd(&l->fd);
	free(l->stream);
	l->stream = NULL;
}

bool link_offloads(const struct link *l)
{
	return l->kind != LINK_STREAM;
}

int link_set_offloads(struct link *l, uint64_t features)
{
	unsigned flags = 0;

	if (l->kind != LINK_TAP)
		return 0;
	if (features & FEATURE(VIRTIO_NET_F_GUEST_CSUM)) {
		flags |= TUN_F_CSUM;
		if (features & FEATURE(VIRTIO_NET_F_GUEST_TSO4))
			flags |= TUN_F_TSO4;
		if (features & FEATURE(VIRTIO_NET_F_GUEST_TSO6))
			flags |= TUN_F_TSO6;
		if (features & FEATURE(VIRTIO_NET_F_GUEST_ECN))
			flags |= TUN_F_TSO_ECN;
	}
	return ioctl(l->fd, TUNSETOFFLOAD, (unsigned long) flags) < 0 ? -errno : 0;
}

/* errno of a failed call on a tap or packet socket: whether this link is at its end. */
static int failure(const struct link *l)
{
	if (errno == EAGAIN || errno == EINTR)
		return -EAGAIN;
	/* A tap whose device is gone; an interface behind a packet socket may come up again. */
	if (l->kind == LINK_TAP && errno == EBADFD)
		return -EPIPE;
	return errno == EPIPE ? -EIO : -errno;
}

/* The length of the frame that is whole in `in`, 0: none; -EPIPE: no frame is as long. */
static ssize_t buffered(const struct link_stream *s)
{
	size_t there = s->in_end - s->in_at;
	uint32_t length;

	if (there < LENGTH)
		return 0;
	memcpy(&length, s->in + s->in_at, LENGTH);
	length = ntohl(length);
	if (length == 0 || length > LINK_FRAME_MAX)
		return -EPIPE;
	return there - LENGTH >= length ? (ssize_t) length : 0;
}

static ssize_t receive_stream(struct link *l, const struct iovec *v, size_t v_n)
{
	struct link_stream *s = l->stream;
	ssize_t n;

	while ((n = buffered(s)) == 0) {
		if (s->in_at > 0) {
			memmove(s->in, s->in + s->in_at, s->in_end - s->in_at);
			s->in_end -= s->in_at;
			s->in_at = 0;
		}
		n = recv(l->fd, s->in + s->in_end, sizeof(s->in) - s->in_end, MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n == 0 || (n < 0 && errno != EINTR))
			return -EPIPE;
		if (n > 0)
			s->in_end += (size_t) n;
	}
	if (n < 0)
		return n;
	(void) iovec_write(v, v_n, 0, s->in + s->in_at + LENGTH, (size_t) n);
	s->in_at += LENGTH + (size_t) n;
	return n >= LINK_FRAME_MIN ? n : -EBADMSG;
}

ssize_t link_receive(struct link *l, struct virtio_net_hdr_v1 *ret_h, struct iovec *v, size_t v_n)
{
	struct msghdr m = { .msg_iov = v, .msg_iovlen = v_n };
	ssize_t n;

	*ret_h = (struct virtio_net_hdr_v1){};
	if (l->kind == LINK_STREAM)
		return receive_stream(l, v + 1, v_n - 1);
	v[0] = (struct iovec){ ret_h, l->header };
	if (l->kind == LINK_TAP)
		n = readv(l->fd, v, (int) v_n);
	else
		n = recvmsg(l->fd, &m, MSG_DONTWAIT);
	if (n < 0) {
		int r = failure(l);

		return r == -EAGAIN ? 0 : r;
	}
	if (m.msg_flags & MSG_TRUNC || (size_t) n < l->header + LINK_FRAME_MIN)
		return -EBADMSG;
	return n - (ssize_t) l->header;
}

int link_flush(struct link *l)
{
	struct link_stream *s = l->stream;

	while (s && s->out_at < s->out_end) {
		ssize_t n = send(l->fd, s->out + s->out_at, s->out_end - s->out_at,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
			return -EAGAIN;
		if (n < 0 && errno != EINTR)
			return -EPIPE;
		if (n > 0)
			s->out_at += (size_t) n;
	}
	return 0;
}

static int send_stream(struct link *l, struct iovec *v, size_t v_n, size_t n)
{
	struct msghdr m = { .msg_iov = v, .msg_iovlen = v_n };
	struct link_stream *s = l->stream;
	uint32_t length = htonl((uint32_t) n);
	ssize_t sent = 0;
	int r;

	v[0] = (struct iovec){ &length, LENGTH };
	if (n > SHORT_FRAME || LENGTH + n > sizeof(s->out) - s->out_end) {
		r = link_flush(l);
		if (r < 0)
			return r;
		s->out_at = s->out_end = 0;
	}
	if (n > SHORT_FRAME) {
		sent = sendmsg(l->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0)
			return errno == EAGAIN || errno == EINTR ? -EAGAIN : -EPIPE;
	}
	/* Whatever of it is out, all of it must follow; the guest may change its memory meanwhile.
	 */
	s->out_end += iovec_read(v, v_n, (size_t) sent, s->out + s->out_end,
				 LENGTH + n - (size_t) sent);
	return 0;
}

int link_send(struct link *l, const struct virtio_net_hdr_v1 *h, struct iovec *v, size_t v_n,
	      size_t n)
{
	struct msghdr m = { .msg_iov = v, .msg_iovlen = v_n };
	struct virtio_net_hdr_v1 header = *h;
	ssize_t sent;

	if (l->kind == LINK_STREAM)
		return send_stream(l, v, v_n, n);
	v[0] = (struct iovec){ &header, l->header };
	if (l->kind == LINK_TAP)
		sent = writev(l->fd, v, (int) v_n);
	else
		sent = sendmsg(l->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	return sent < 0 ? failure(l) : 0;
}
