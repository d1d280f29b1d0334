/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/snapshot.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/pack.h"
#include "fmt/sections.h"
#include "vmm/cpu_state.h"
#include "vmm/generation.h"
#include "vmm/layout.h"
#include "vmm/machine.h"
#include "vmm/memory_file.h"
#include "vmm/virtio_pci.h"

#define VERSION 1

static const char magic[SECTIONS_MAGIC_BYTES] = "ATOLLVM\n";

enum tag { SHAPE = 1, CLOCK, SERIAL, CPU, DEVICE, IOAPIC };

/* ---- which machine it is: lines of text, so that a difference can be told as it is */

static void shape_options(struct buf *b, uint64_t memory_bytes, unsigned cpus, bool serial)
{
	buf_addf(b, "%u processors\n%llu bytes of memory\n%s serial port\n", cpus,
		 (unsigned long long) memory_bytes, serial ? "a" : "no");
}

static void shape_device(struct buf *b, const struct virtio_device *d)
{
	buf_addf(b, "a %s device of %u queues\n", d->ops->name, d->queues_n);
}

/* The next lines of the snapshot are those of `here`. */
static int compare(struct snapshot *s, const struct buf *here, struct err *e)
{
	struct str rest = buf_str(here);

	if (!buf_ok(here))
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
	while (rest.n) {
		struct str line = str_cut(rest, '\n', &rest);
		struct str saved = str_cut(s->shape, '\n', &s->shape);

		if (!str_eq(line, saved))
			return err_set(e, ERR_INVALID, EINVAL,
				       "the snapshot's machine has %.*s where this one has %.*s",
				       (int) saved.n, saved.n ? saved.p : "", (int) line.n, line.p);
	}
	return 0;
}

int snapshot_check_options(struct snapshot *s, const struct options *o, struct err *e)
{
	auto_buf struct buf here = BUF_INIT(256);

	shape_options(&here, o->memory_bytes, o->cpus, file_option_given(&o->serial));
	return compare(s, &here, e);
}

int snapshot_check_devices(struct snapshot *s, const struct machine *m, struct err *e)
{
	auto_buf struct buf here = BUF_INIT(4096);

	for (unsigned i = 0; i < m->pci.devices_n; i++)
		shape_device(&here, m->pci.devices[i]->device);
	buf_adds(&here, "no more devices\n");
	return compare(s, &here, e);
}

/* ---- saving */

static int save_clock(const struct machine *m, struct buf *to, struct err *e)
{
	struct kvm_clock_data c = { 0 };

	if (ioctl(m->hypervisor.vm_fd, KVM_GET_CLOCK, &c) < 0)
		return err_sys(e, errno, "read the machine's clock");
	pack_u64(to, c.clock);
	return 0;
}

static void save_shape(const struct machine *m, struct buf *to)
{
	size_t at = section_begin(to, SHAPE);

	shape_options(to, m->ram.bytes, m->vcpus.n, m->serial.fd >= 0);
	for (unsigned i = 0; i < m->pci.devices_n; i++)
		shape_device(to, m->pci.devices[i]->device);
	buf_adds(to, "no more devices\n");
	section_end(to, at);
}

static int save_state(struct machine *m, struct buf *to, struct err *e)
{
	uint8_t serial[SERIAL_STATE_BYTES], ioapic[IOAPIC_STATE_BYTES];
	size_t at;

	sections_begin(to, magic, VERSION);
	save_shape(m, to);
	at = section_begin(to, CLOCK);
	if (save_clock(m, to, e) < 0)
		return -EIO;
	section_end(to, at);
	at = section_begin(to, SERIAL);
	serial_save(&m->serial, serial);
	buf_add(to, serial, sizeof(serial));
	section_end(to, at);
	at = section_begin(to, IOAPIC);
	ioapic_save(&m->ioapic, ioapic);
	buf_add(to, ioapic, sizeof(ioapic));
	section_end(to, at);
	for (unsigned i = 0; i < m->vcpus.n; i++) {
		at = section_begin(to, CPU);
		if (cpu_state_save(&m->hypervisor, m->vcpus.v[i].fd, to, e) < 0)
			return err_ctx(e, "processor %u", i);
		section_end(to, at);
	}
	for (unsigned i = 0; i < m->pci.devices_n; i++) {
		at = section_begin(to, DEVICE);
		if (virtio_pci_save(m->pci.devices[i], to, e) < 0)
			return -EIO;
		section_end(to, at);
	}
	sections_end(to);
	return buf_ok(to) ? 0 : err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
}

/* What the guest has changed is added to what we have: KVM tells it once. */
static int collect_changes(struct machine *m, struct err *e)
{
	const struct guest_memory *all = &m->ram.memory;

	m->ram.unaccounted = false;
	for (unsigned i = 0; i < m->pci.devices_n; i++) {
		virtio_mark_rings(m->pci.devices[i]->device);
		m->ram.unaccounted |= m->pci.devices[i]->device->unaccounted;
	}
	for (size_t i = 0; i < all->regions_n; i++) {
		const struct guest_region *g = &all->regions[i];
		size_t words = (size_t) ((g->size / GUEST_PAGE + 63) / 64);
		auto_free uint64_t *bits = calloc(words, sizeof(*bits));
		int r = bits ? hypervisor_changed(&m->hypervisor, i ? SLOT_RAM_HIGH : SLOT_RAM_LOW,
						  bits)
			     : -ENOMEM;

		if (r < 0)
			return err_sys(e, -r, "ask which memory has changed");
		for (size_t w = 0; w < words; w++)
			while (bits[w]) {
				unsigned bit = (unsigned) __builtin_ctzll(bits[w]);

				bits[w] &= bits[w] - 1;
				guest_memory_mark(all, g->gpa + (w * 64 + bit) * GUEST_PAGE, 1);
			}
	}
	return 0;
}

static int track_changes(struct machine *m, struct err *e)
{
	const struct guest_memory *all = &m->ram.memory;
	int r = ram_track(&m->ram);

	for (size_t i = 0; i < all->regions_n && r == 0; i++)
		r = hypervisor_track(&m->hypervisor, i ? SLOT_RAM_HIGH : SLOT_RAM_LOW,
				     all->regions[i].gpa, all->regions[i].size,
				     all->regions[i].hva);
	m->tracked = r == 0;
	return r < 0 ? err_sys(e, -r, "keep account of changes of the memory") : 0;
}

static int write_both(struct machine *m, int state_fd, int memory_fd, bool changed_only,
		      struct vmm_written *ret_w, struct err *e)
{
	auto_buf struct buf state = BUF_INIT(SNAPSHOT_STATE_MAX);
	struct vmm_written w;
	int r;

	if (save_state(m, &state, e) < 0)
		return -EIO;
	if (m->tracked ? collect_changes(m, e) < 0 : track_changes(m, e) < 0)
		return -EIO;
	if (memory_file_write(&m->ram, memory_fd, changed_only, &w.memory_bytes, e) < 0)
		return -EIO;
	if (lseek(state_fd, 0, SEEK_END) != 0)
		return err_set(e, ERR_INVALID, EINVAL, "the file for the state is not empty");
	r = fd_write_all(state_fd, state.p, state.n);
	if (r < 0)
		return err_sys(e, -r, "write the state");
	w.state_bytes = state.n;
	*ret_w = w;
	return 0;
}

int snapshot_save(struct machine *m, int state_fd, int memory_fd, bool changed_only,
		  struct vmm_written *ret_w, struct err *e)
{
	bool tracked = m->tracked;
	int r = 0;

	if (changed_only && !tracked)
		return err_set(e, ERR_INVALID, ENODATA,
			       "there is no snapshot of this machine to tell changes from");
	for (unsigned i = 0; i < m->pci.devices_n && r == 0; i++)
		r = virtio_pause(m->pci.devices[i]->device, e);
	if (r == 0)
		r = write_both(m, state_fd, memory_fd, changed_only, ret_w, e);
	if (r == 0)
		ram_forget_changes(&m->ram);
	else
		ram_forget_zeros(&m->ram);
	if (r < 0 && !tracked)
		m->tracked = false; /* there is nothing yet that changes could be told from */
	for (unsigned i = 0; i < m->pci.devices_n; i++)
		virtio_pci_resume(m->pci.devices[i], false);
	return r < 0 ? err_ctx(e, "snapshot") : 0;
}

/* ---- restoring */

static int damaged(struct err *e)
{
	return err_set(e, ERR_INVALID, EBADMSG, "the state is damaged");
}

static int take(struct snapshot *s, uint32_t tag, struct str bytes, struct err *e)
{
	struct str *to = NULL;

	switch ((enum tag) tag) {
	case SHAPE:
		to = &s->shape;
		break;
	case CLOCK:
		to = &s->clock;
		break;
	case SERIAL:
		to = &s->serial;
		break;
	case IOAPIC:
		to = &s->ioapic;
		break;
	case CPU:
		to = s->cpus_n < ARRAY_SIZE(s->cpus) ? &s->cpus[s->cpus_n++] : NULL;
		break;
	case DEVICE:
		to = s->devices_n < ARRAY_SIZE(s->devices) ? &s->devices[s->devices_n++] : NULL;
		break;
	}
	if (!to || to->p)
		return damaged(e);
	*to = bytes;
	return 0;
}

/* Words to be shown, and lines as compare() cuts them. */
static bool is_text(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] != '\n' && (s.p[i] < ' ' || s.p[i] > '~'))
			return false;
	return true;
}

int snapshot_parse(struct snapshot *s, struct str bytes, struct err *e)
{
	struct sections all;
	struct str section;
	uint32_t tag;
	int r = sections_open(bytes, magic, VERSION, &all);

	if (r == -EPROTO)
		return err_set(e, ERR_INVALID, EPROTO, "the state is of another version");
	if (r < 0)
		return err_set(e, ERR_INVALID, EBADMSG, "the file is no machine's state");
	while ((r = sections_next(&all, &tag, &section)) > 0)
		if (take(s, tag, section, e) < 0)
			return -EBADMSG;
	if (r < 0 || !s->shape.p || s->clock.n != 8 || s->serial.n != SERIAL_STATE_BYTES ||
	    s->ioapic.n != IOAPIC_STATE_BYTES || !is_text(s->shape))
		return damaged(e);
	return 0;
}

/* All of it, from the beginning: others may have the same open file. */
static int read_all(int fd, struct buf *to)
{
	char chunk[4096];

	for (;;) {
		ssize_t n = pread(fd, chunk, sizeof(chunk), (off_t) to->n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		buf_add(to, chunk, (size_t) n);
		if (!buf_ok(to))
			return buf_error(to);
	}
}

int snapshot_open(struct snapshot *s, int fd, struct err *e)
{
	int r;

	*s = (struct snapshot){ .bytes = BUF_INIT(SNAPSHOT_STATE_MAX) };
	r = read_all(fd, &s->bytes);
	if (r == -EFBIG)
		r = err_set(e, ERR_INVALID, EFBIG, "the file is no machine's state");
	else if (r < 0)
		r = err_sys(e, -r, "read the state");
	else
		r = snapshot_parse(s, buf_str(&s->bytes), e);
	if (r < 0)
		snapshot_close(s);
	return r;
}

void snapshot_close(struct snapshot *s)
{
	buf_fini(&s->bytes);
	*s = (struct snapshot){ .bytes = BUF_INIT(SNAPSHOT_STATE_MAX) };
}

static int restore_clock(const struct snapshot *s, const struct machine *m, struct err *e)
{
	/* No flags: the time of day that has passed is not added. */
	struct kvm_clock_data c = { .clock = load_le64(s->clock.p) };

	return ioctl(m->hypervisor.vm_fd, KVM_SET_CLOCK, &c) < 0
		       ? err_sys(e, errno, "set the machine's clock")
		       : 0;
}

int snapshot_restore(const struct snapshot *s, struct machine *m, struct err *e)
{
	if (s->cpus_n != m->vcpus.n || s->devices_n != m->pci.devices_n)
		return damaged(e);
	serial_restore(&m->serial, (const uint8_t *) s->serial.p);
	ioapic_restore(&m->ioapic, (const uint8_t *) s->ioapic.p);
	for (unsigned i = 0; i < m->vcpus.n; i++)
		if (cpu_state_restore(&m->hypervisor, m->vcpus.v[i].fd, i, m->vcpus.n, s->cpus[i],
				      e) < 0)
			return err_ctx(e, "processor %u", i);
	if (restore_clock(s, m, e) < 0)
		return -EIO;
	for (unsigned i = 0; i < m->pci.devices_n; i++)
		if (virtio_pci_restore(m->pci.devices[i], s->devices[i], e) < 0)
			return err_ctx(e, "device %u", i + 1);
	if (track_changes(m, e) < 0)
		return -EIO;
	return generation_renew(&m->ram.memory, e);
}

void snapshot_resume_devices(struct machine *m)
{
	for (unsigned i = 0; i < m->pci.devices_n; i++)
		virtio_pci_resume(m->pci.devices[i], true);
	ioapic_raise(&m->ioapic); /* the generation is a new one */
}
