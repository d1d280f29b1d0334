/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/devices.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>

#include "base/auto.h"
#include "base/le.h"
#include "vhost/frontend.h"
#include "virtio/balloon.h"
#include "virtio/block.h"
#include "virtio/console.h"
#include "virtio/entropy.h"
#include "virtio/net.h"
#include "virtio/vsock.h"
#include "vmm/machine.h"
#include "vmm/open.h"
#include "vmm/virtio_pci.h"

/* Of the device that was added last, and before anything runs. */
static void limit(struct machine *m, struct virtio_device *d, const struct rate_limit limits[2])
{
	d->ops->limit(d, limits[0], limits[1]);
	control_limits(&m->control, m->pci.devices_n - 1, limits);
}

/* Takes d; NULL: it could not be made, and *e says why. */
static int add(struct machine *m, struct virtio_device *d, const char *option, struct err *e)
{
	if (!d)
		return err_ctx(e, "%s", option);
	return virtio_pci_add(&m->pci, d, &m->hypervisor, &m->errands, e);
}

/* Whether the file is memory of the host: nothing of it waits for a storage. */
static bool is_memory(int fd)
{
	struct statfs s;

	return fstatfs(fd, &s) == 0 && (s.f_type == TMPFS_MAGIC || s.f_type == RAMFS_MAGIC);
}

/* Each on a thread of its own. */
static int add_disks(struct machine *m, const struct options *o, struct err *e)
{
	for (size_t i = 0; i < o->disks_n; i++) {
		const struct disk_option *d = &o->disks[i];
		int fd = open_file(&d->file, d->read_only ? O_RDONLY : O_RDWR, "--disk", e);
		struct virtio_device *b;
		struct worker *w;

		if (fd < 0)
			return -1;
		w = workers_add(&m->workers, !is_memory(fd), e);
		if (!w) {
			close_fd(&fd);
			return -1;
		}
		b = block_new(&w->loop, &m->ram.memory, fd, d->read_only,
			      w->handy ? &w->hands : NULL, e);
		if (!b)
			return err_ctx(e, "--disk");
		if (virtio_pci_add(&m->pci, b, &m->hypervisor, &w->errands, e) < 0)
			return -1;
		limit(m, b, d->limits);
	}
	return 0;
}

/* Served by another process (virtio 1.2, 5.11): a queue for what must not wait, one for requests.
 */
static int add_fs(struct machine *m, const struct options *o, struct err *e)
{
	uint8_t config[FS_TAG_BYTES + 4] = { 0 };
	const struct vhost_frontend_config c = {
		.id = VIRTIO_ID_IS_FS,
		.name = "fs",
		.queues_n = 2,
		.queue_size_max = QUEUE_SIZE_MAX,
		.config = config,
		.config_n = sizeof(config),
	};
	int fd;

	if (!o->fs.tag.n)
		return 0;
	memcpy(config, o->fs.tag.p, o->fs.tag.n);
	store_le32(config + FS_TAG_BYTES, 1);
	fd = open_connected(&o->fs.socket, "--fs", e);
	if (fd < 0)
		return -1;
	return add(m, vhost_frontend_new(&m->loop, &m->ram.memory, fd, &c, e), "--fs", e);
}

static int add_console(struct machine *m, const struct options *o, struct err *e)
{
	int fd;

	if (!file_option_given(&o->console))
		return 0;
	fd = open_file(&o->console, O_RDWR | O_NOCTTY, "--console", e);
	if (fd < 0)
		return -1;
	return add(m, console_new(&m->loop, &m->ram.memory, fd, fd, e), "--console", e);
}

static void balloon_changed(void *context)
{
	struct machine *m = context;

	control_balloon_changed(&m->control);
}

static int add_balloon(struct machine *m, const struct options *o, struct err *e)
{
	if (!o->balloon)
		return 0;
	m->balloon = balloon_new(&m->loop, &m->ram.memory, e);
	if (add(m, m->balloon, "--balloon", e) < 0)
		return -1;
	balloon_set_target(m->balloon, o->inflate_bytes);
	balloon_watch(m->balloon, balloon_changed, m);
	return 0;
}

static int add_nets(struct machine *m, const struct options *o, struct err *e)
{
	for (size_t i = 0; i < o->nets_n; i++) {
		const struct net_option *n = &o->nets[i];
		struct net_config c = { .kind = n->kind, .mtu = n->mtu };
		struct virtio_device *d;

		memcpy(c.mac, n->mac, sizeof(c.mac));
		c.fd = n->kind == LINK_STREAM ? open_connected(&n->file, "--net", e)
					      : open_file(&n->file, O_RDWR, "--net", e);
		if (c.fd < 0)
			return -1;
		d = net_new(&m->loop, &m->ram.memory, &c, e);
		if (add(m, d, "--net", e) < 0)
			return -1;
		limit(m, d, n->limits);
	}
	return 0;
}

static int offer_ports(struct virtio_device *d, const struct vsock_option *v, struct err *e)
{
	auto_fd int listener = open_listening(&v->ports, "--vsock ports", e);
	auto_fd int kept = FD_NONE;

	if (listener < 0)
		return -1;
	if (file_option_given(&v->kept)) {
		kept = open_file(&v->kept, O_RDONLY, "--vsock keep", e);
		if (kept < 0)
			return -1;
	}
	return vsock_offer_ports(d, v->ports_to, take_fd(&listener), take_fd(&kept), e);
}

static int add_vsock(struct machine *m, const struct options *o, struct err *e)
{
	struct vsock_forward forwards[OPTION_FORWARDS_MAX];
	const struct vsock_option *v = &o->vsock;
	struct virtio_device *d;
	int listener;

	if (!v->cid)
		return 0;
	for (size_t i = 0; i < v->forwards_n; i++) {
		forwards[i].port = v->forwards[i].port;
		forwards[i].fd = open_connected(&v->forwards[i].file, "--vsock", e);
		if (forwards[i].fd < 0)
			return -1;
	}
	listener = open_listening(&v->listen, "--vsock", e);
	if (listener < 0)
		return -1;
	d = vsock_new(&m->loop, &m->ram.memory, v->cid, listener, forwards, v->forwards_n, e);
	if (add(m, d, "--vsock", e) < 0)
		return -1;
	return file_option_given(&v->ports) ? offer_ports(d, v, e) : 0;
}

int devices_add(struct machine *m, const struct options *o, struct err *e)
{
	if (add_disks(m, o, e) < 0 || add_nets(m, o, e) < 0 || add_vsock(m, o, e) < 0 ||
	    add_fs(m, o, e) < 0 || add_console(m, o, e) < 0 || add_balloon(m, o, e) < 0)
		return -1;
	return add(m, entropy_new(&m->loop, &m->ram.memory, e), "entropy", e);
}
