/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "vmm/boot.h"
#include "vmm/devices.h"
#include "vmm/filter.h"
#include "vmm/layout.h"
#include "vmm/open.h"
#include "vmm/snapshot.h"

/* None of the processors waits for a disk any more: these can be held, too. */
static void vcpus_paused(struct vcpus *all)
{
	struct machine *m = LOOP_OWNER(all, struct machine, vcpus);

	workers_pause(&m->workers);
}

static void workers_paused(struct workers *all)
{
	struct machine *m = LOOP_OWNER(all, struct machine, workers);

	control_paused(&m->control);
}

static void workers_over(struct workers *all)
{
	struct machine *m = LOOP_OWNER(all, struct machine, workers);

	loop_stop(&m->loop);
}

static void over(struct vcpus *all)
{
	struct machine *m = LOOP_OWNER(all, struct machine, vcpus);

	loop_stop(&m->loop);
}

static int load(struct machine *m, const struct options *o, uint32_t *ret_entry, struct err *e)
{
	struct boot b = {
		.kernel_fd = FD_NONE,
		.initrd_fd = FD_NONE,
		.append = o->append,
		.acpi = { .cpus = o->cpus, .serial = file_option_given(&o->serial) },
	};
	auto_fd int kernel = open_file(&o->kernel, O_RDONLY, "--kernel", e);
	auto_fd int initrd = FD_NONE;

	if (kernel < 0)
		return -1;
	if (file_option_given(&o->initrd)) {
		initrd = open_file(&o->initrd, O_RDONLY, "--initrd", e);
		if (initrd < 0)
			return -1;
	}
	b.kernel_fd = kernel;
	b.initrd_fd = initrd;
	return boot_load(&b, &m->ram, ret_entry, e);
}

static int give_memory(struct machine *m, struct err *e)
{
	const struct guest_memory *all = &m->ram.memory;

	for (size_t i = 0; i < all->regions_n; i++)
		if (hypervisor_slot(&m->hypervisor, i ? SLOT_RAM_HIGH : SLOT_RAM_LOW,
				    all->regions[i].gpa, all->regions[i].size, all->regions[i].hva,
				    false, e) < 0)
			return -1;
	return 0;
}

static int open_serial(struct machine *m, const struct options *o, struct err *e)
{
	int fd = FD_NONE;

	if (file_option_given(&o->serial)) {
		fd = open_file(&o->serial, O_WRONLY | O_CREAT | O_APPEND, "--serial", e);
		if (fd < 0)
			return -1;
	}
	serial_init(&m->serial, fd);
	return 0;
}

static int open_control(struct machine *m, const struct options *o, struct err *e)
{
	int fd = FD_NONE;

	if (file_option_given(&o->control)) {
		fd = open_listening(&o->control, "--control", e);
		if (fd < 0)
			return -1;
	}
	return control_init(&m->control, m, fd, e);
}

/* Memory, and what is in it: a kernel, or what was in a snapshot. */
static int fill_memory(struct machine *m, const struct options *o, uint32_t *ret_entry,
		       struct err *e)
{
	bool shared = o->fs.tag.n > 0;
	int fd;

	if (!file_option_given(&o->restore_state))
		return ram_init(&m->ram, o->memory_bytes, shared, e) < 0 ? -1
									 : load(m, o, ret_entry, e);
	fd = open_file(&o->restore_memory, O_RDONLY, "--restore", e);
	if (fd < 0)
		return -1;
	return ram_restore(&m->ram, o->memory_bytes, shared, fd, e) < 0 ? err_ctx(e, "--restore")
									: 0;
}

static int add_parts(struct machine *m, const struct options *o, struct err *e)
{
	if (give_memory(m, e) < 0 || open_serial(m, o, e) < 0 || pci_init(&m->pci, e) < 0)
		return -1;
	if (devices_add(m, o, e) < 0 || pci_show(&m->pci, &m->hypervisor, e) < 0)
		return -1;
	if (open_control(m, o, e) < 0)
		return -1;
	return vcpus_init(&m->vcpus, &m->hypervisor, o->cpus, e);
}

static int restore(struct machine *m, const struct options *o, struct err *e)
{
	struct snapshot s;
	int r = open_file(&o->restore_state, O_RDONLY, "--restore", e);
	auto_fd int fd = r;

	if (r < 0)
		return -1;
	if (snapshot_open(&s, fd, e) < 0)
		return err_ctx(e, "--restore");
	if (snapshot_check_options(&s, o, e) < 0) {
		r = err_ctx(e, "--restore");
	} else if (fill_memory(m, o, NULL, e) < 0 || add_parts(m, o, e) < 0) {
		r = -1;
	} else if (snapshot_check_devices(&s, m, e) < 0 || snapshot_restore(&s, m, e) < 0) {
		r = err_ctx(e, "--restore");
	} else {
		m->restored = true;
		r = 0;
	}
	snapshot_close(&s);
	return r;
}

struct filling {
	struct machine *m;
	const struct options *o;
	pid_t tid;
	int result;
	uint32_t entry;
	struct err e;
};

static void *fill_thread(void *arg)
{
	struct filling *f = arg;

	f->tid = gettid();
	f->result = fill_memory(f->m, f->o, &f->entry, &f->e);
	return NULL;
}

/*
 * KVM_CREATE_VM sleeps through grace periods of RCU, 10 ms and more, while KVM's thread for huge
 * pages joins our cgroup (Linux 5.4 to 6.13): time for another thread to load a kernel in. The
 * machine is made by the first one, as KVM names its files in debugfs by the maker's id. Takes
 * kvm_fd.
 */
static int make_and_fill(struct machine *m, const struct options *o, int kvm_fd,
			 uint32_t *ret_entry, struct err *e)
{
	struct filling f = { .m = m, .o = o };
	pthread_t thread;
	int made, r = pthread_create(&thread, NULL, fill_thread, &f);

	if (r != 0) {
		close_fd(&kvm_fd);
		return err_sys(e, r, "start a thread to load the kernel");
	}
	made = hypervisor_init(&m->hypervisor, kvm_fd, e);
	(void) pthread_join(thread, NULL); /* it is there, and joined once: cannot fail */
	/* Joined, it may count for one of ours still; a user namespace is made by one thread alone.
	 */
	while (syscall(SYS_tgkill, getpid(), f.tid, 0) == 0)
		(void) sched_yield();
	if (made < 0)
		return -1;
	if (f.result < 0) {
		*e = f.e;
		return -1;
	}
	*ret_entry = f.entry;
	return 0;
}

int machine_init(struct machine *m, const struct options *o, struct err *e)
{
	uint32_t entry = 0;
	int fd, r;

	*m = (struct machine){
		.vcpus = { .paused = vcpus_paused, .over = over },
		.workers = { .paused = workers_paused, .over = workers_over },
	};
	m->vcpus.pci = &m->pci;
	m->vcpus.serial = &m->serial;
	m->vcpus.ioapic = &m->ioapic;
	m->vcpus.errands = &m->errands;
	r = loop_init(&m->loop);
	if (r == 0)
		r = errands_init(&m->errands, &m->loop);
	if (r < 0)
		return err_sys(e, -r, "make an event loop");
	workers_init(&m->workers, &m->errands);
	fd = open_file(&o->kvm, O_RDWR, "--kvm", e);
	if (fd < 0)
		return -1;
	ioapic_init(&m->ioapic, &m->hypervisor);
	if (file_option_given(&o->restore_state))
		return hypervisor_init(&m->hypervisor, fd, e) < 0 ? -1 : restore(m, o, e);
	if (make_and_fill(m, o, fd, &entry, e) < 0 || add_parts(m, o, e) < 0)
		return -1;
	return vcpus_enter(&m->vcpus, &m->hypervisor, entry, e);
}

void machine_resume(struct machine *m)
{
	if (m->restored)
		snapshot_resume_devices(m);
	m->restored = false;
	m->paused = false;
	workers_resume(&m->workers);
	vcpus_resume(&m->vcpus);
}

int machine_run(struct machine *m, bool filtered, bool paused, struct err *e)
{
	int r;

	m->vcpus.filtered = m->workers.filtered = filtered;
	if (workers_start(&m->workers, e) < 0 || vcpus_start(&m->vcpus, e) < 0 ||
	    filter_enter(FILTER_LOOP, filtered, e) < 0)
		return -1;
	if (paused)
		workers_pause(&m->workers); /* the processors stand already */
	else
		machine_resume(m);
	r = loop_run(&m->loop);
	if (r < 0)
		return err_sys(e, -r, "wait for events");
	if (m->vcpus.end == VCPUS_FAILED || m->workers.failed) {
		*e = m->vcpus.end == VCPUS_FAILED ? m->vcpus.why : m->workers.why;
		return -1;
	}
	return 0;
}
