/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/hypervisor.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "base/auto.h"
#include "vmm/layout.h"

#define API_VERSION  12
#define IRQCHIP_GSIS 24 /* an I/O APIC's, which stay away: message-signalled ones follow */

static const struct {
	int cap;
	const char *name;
} needed[] = {
	{ KVM_CAP_USER_MEMORY, "user memory" },
	{ KVM_CAP_SPLIT_IRQCHIP, "a split interrupt controller" },
	{ KVM_CAP_IOEVENTFD, "event descriptors" },
	{ KVM_CAP_IOEVENTFD_ANY_LENGTH, "event descriptors of any width" },
	{ KVM_CAP_SIGNAL_MSI, "message-signalled interrupts" },
	{ KVM_CAP_EXT_CPUID, "CPUID tables" },
	{ KVM_CAP_IMMEDIATE_EXIT, "immediate exits" },
	{ KVM_CAP_SET_TSS_ADDR, "a task state segment" },
};

static int make_vm(struct hypervisor *h, struct err *e)
{
	struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { IRQCHIP_GSIS } };
	uint64_t identity = LAYOUT_IDENTITY_MAP;

	do
		h->vm_fd = ioctl(h->kvm_fd, KVM_CREATE_VM, 0UL);
	while (h->vm_fd < 0 && errno == EINTR);
	if (h->vm_fd < 0)
		return err_sys(e, errno, "make a virtual machine");
	if (ioctl(h->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0 ||
	    ioctl(h->vm_fd, KVM_SET_TSS_ADDR, (unsigned long) LAYOUT_TSS) < 0)
		return err_sys(e, errno, "place KVM's own pages");
	if (ioctl(h->vm_fd, KVM_ENABLE_CAP, &split) < 0)
		return err_sys(e, errno, "make the local interrupt controllers");
	return 0;
}

int hypervisor_init(struct hypervisor *h, int kvm_fd, struct err *e)
{
	int version, bytes;

	*h = (struct hypervisor){ .kvm_fd = kvm_fd, .vm_fd = FD_NONE };
	version = ioctl(kvm_fd, KVM_GET_API_VERSION, 0UL);
	if (version < 0)
		return err_set(e, ERR_UNSUPPORTED, errno, "the --kvm file is no KVM device");
	if (version != API_VERSION)
		return err_set(e, ERR_UNSUPPORTED, ENOTSUP, "KVM has version %d of its interface",
			       version);
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
		if (ioctl(kvm_fd, KVM_CHECK_EXTENSION, (unsigned long) needed[i].cap) <= 0)
			return err_set(e, ERR_UNSUPPORTED, ENOTSUP, "this KVM has no %s",
				       needed[i].name);
	h->read_only = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_READONLY_MEM) > 0;
	bytes = ioctl(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0UL);
	if (bytes < (int) sizeof(struct kvm_run))
		return err_set(e, ERR_UNSUPPORTED, errno, "KVM shares no state of processors");
	h->run_bytes = (size_t) bytes;
	h->routes = calloc(1, sizeof(*h->routes) +
				      HYPERVISOR_LINES_MAX * sizeof(h->routes->entries[0]));
	if (!h->routes)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
	if (make_vm(h, e) < 0)
		return -1;
	bytes = ioctl(h->vm_fd, KVM_CHECK_EXTENSION, (unsigned long) KVM_CAP_XSAVE2);
	h->xsave_bytes = bytes > (int) sizeof(struct kvm_xsave) ? (size_t) bytes
								: sizeof(struct kvm_xsave);
	return 0;
}

void hypervisor_fini(struct hypervisor *h)
{
	free(h->routes);
	h->routes = NULL;
	close_fd(&h->vm_fd);
	close_fd(&h->kvm_fd);
}

int hypervisor_slot(const struct hypervisor *h, unsigned slot, uint64_t gpa, uint64_t size,
		    void *hva, bool read_only, struct err *e)
{
	struct kvm_userspace_memory_region r = {
		.slot = slot,
		.flags = read_only ? KVM_MEM_READONLY : 0,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t) hva,
	};

	if (ioctl(h->vm_fd, KVM_SET_USER_MEMORY_REGION, &r) < 0)
		return err_sys(e, errno, "give the guest its memory at %#llx",
			       (unsigned long long) gpa);
	return 0;
}

int hypervisor_track(const struct hypervisor *h, unsigned slot, uint64_t gpa, uint64_t size,
		     void *hva)
{
	struct kvm_userspace_memory_region r = {
		.slot = slot,
		.flags = KVM_MEM_LOG_DIRTY_PAGES,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t) hva,
	};

	return ioctl(h->vm_fd, KVM_SET_USER_MEMORY_REGION, &r) < 0 ? -errno : 0;
}

int hypervisor_changed(const struct hypervisor *h, unsigned slot, uint64_t *ret_bits)
{
	struct kvm_dirty_log l = { .slot = slot, .dirty_bitmap = ret_bits };

	return ioctl(h->vm_fd, KVM_GET_DIRTY_LOG, &l) < 0 ? -errno : 0;
}

int hypervisor_doorbell(const struct hypervisor *h, uint64_t gpa, int event_fd, bool on)
{
	struct kvm_ioeventfd d = {
		.addr = gpa, .len = 0, .fd = event_fd, .flags = on ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN
	};

	return ioctl(h->vm_fd, KVM_IOEVENTFD, &d) < 0 ? -errno : 0;
}

void hypervisor_signal(const struct hypervisor *h, uint64_t address, uint32_t data)
{
	struct kvm_msi m = { .address_lo = (uint32_t) address,
			     .address_hi = (uint32_t) (address >> 32),
			     .data = data };

	(void) ioctl(h->vm_fd, KVM_SIGNAL_MSI, &m); /* a wrong address is the guest's own loss */
}

static int change_wire(const struct hypervisor *h, unsigned line, int event_fd, uint32_t flags)
{
	struct kvm_irqfd w = { .fd = (uint32_t) event_fd,
			       .gsi = IRQCHIP_GSIS + line,
			       .flags = flags };

	return ioctl(h->vm_fd, KVM_IRQFD, &w) < 0 ? -errno : 0;
}

int hypervisor_wire(const struct hypervisor *h, unsigned line, int event_fd, uint64_t address,
		    uint32_t data)
{
	const struct kvm_irq_routing_entry to = {
		.gsi = IRQCHIP_GSIS + line,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = (uint32_t) address,
			   .address_hi = (uint32_t) (address >> 32),
			   .data = data },
	};
	struct kvm_irq_routing *all = h->routes;
	struct kvm_irq_routing_entry had;
	uint32_t n = all->nr, at = 0;

	if (line >= HYPERVISOR_LINES_MAX)
		return -EINVAL;
	while (at < n && all->entries[at].gsi != to.gsi)
		at++;
	had = all->entries[at];
	all->entries[at] = to;
	all->nr = at == n ? n + 1 : n;
	if (ioctl(h->vm_fd, KVM_SET_GSI_ROUTING, all) < 0) {
		int r = -errno;

		all->entries[at] = had;
		all->nr = n;
		return r;
	}
	return change_wire(h, line, event_fd, 0);
}

int hypervisor_unwire(const struct hypervisor *h, unsigned line, int event_fd)
{
	return change_wire(h, line, event_fd, KVM_IRQFD_FLAG_DEASSIGN);
}

int hypervisor_vcpu(const struct hypervisor *h, unsigned id, int *ret_fd, struct kvm_run **ret_run,
		    struct err *e)
{
	auto_fd int fd = ioctl(h->vm_fd, KVM_CREATE_VCPU, (unsigned long) id);
	void *run;

	if (fd < 0)
		return err_sys(e, errno, "make processor %u", id);
	run = mmap(NULL, h->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (run == MAP_FAILED)
		return err_sys(e, errno, "share the state of processor %u", id);
	*ret_run = run;
	*ret_fd = take_fd(&fd);
	return 0;
}
