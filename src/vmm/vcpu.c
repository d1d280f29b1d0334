/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/vcpu.h"

#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/auto.h"
#include "vmm/cpu.h"
#include "vmm/filter.h"
#include "vmm/ioapic.h"
#include "vmm/layout.h"
#include "vmm/pci.h"

/* Only interrupts KVM_RUN: the gate says why. */
#define WAKE SIGUSR1

#define STACK_BYTES (256 * KIB)

#define SLEEP_ENABLE (1 << 5) /* ACPI 6.5, 4.8.3.7: sleep control register */
#define SLEEP_TYPE   2	      /* its first bit */

static void woken(int)
{
}

/* What the guest did ends it; this thread will not run it again. */
static void finish(struct vcpu *v, enum vcpus_end end, const struct err *why)
{
	struct vcpus *all = v->all;

	(void) pthread_mutex_lock(&all->lock);
	if (all->end == VCPUS_RUN) {
		all->end = end;
		if (why)
			all->why = *why;
		errand_post(all->errands, &all->ended);
	}
	(void) pthread_mutex_unlock(&all->lock);
}

static uint8_t port_read(struct vcpu *v, uint16_t port)
{
	struct serial *s = v->all->serial;
	unsigned at = (unsigned) port - LAYOUT_PIO_SERIAL;
	uint8_t byte = 0xff;

	if (s->fd >= 0 && at < 8) {
		(void) pthread_mutex_lock(&v->all->port_lock);
		byte = serial_read(s, at);
		(void) pthread_mutex_unlock(&v->all->port_lock);
	} else if (port == LAYOUT_PIO_SLEEP_STATUS) {
		byte = 0;
	}
	return byte;
}

/* Whether the guest goes on. */
static bool port_write(struct vcpu *v, uint16_t port, uint8_t byte)
{
	struct serial *s = v->all->serial;
	unsigned at = (unsigned) port - LAYOUT_PIO_SERIAL;

	if (s->fd >= 0 && at < 8) {
		(void) pthread_mutex_lock(&v->all->port_lock);
		serial_write(s, at, byte);
		(void) pthread_mutex_unlock(&v->all->port_lock);
	} else if (port == LAYOUT_PIO_SLEEP_CONTROL &&
		   byte == (LAYOUT_SLEEP_TYPE_OFF << SLEEP_TYPE | SLEEP_ENABLE)) {
		finish(v, VCPUS_OFF, NULL);
		return false;
	} else if (port == LAYOUT_PIO_RESET && byte == LAYOUT_RESET_VALUE) {
		finish(v, VCPUS_RESET, NULL);
		return false;
	}
	return true;
}

/* Our ports are bytes: of a wider access the first byte is one, the others read as nothing. */
static bool serve_port(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	uint8_t *data = (uint8_t *) run + run->io.data_offset;

	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
		if (run->io.direction == KVM_EXIT_IO_OUT) {
			if (!port_write(v, run->io.port, *data))
				return false;
		} else {
			memset(data, 0xff, run->io.size);
			*data = port_read(v, run->io.port);
		}
	}
	return true;
}

static void fail(struct vcpu *v, const char *what, uint64_t number)
{
	struct err e;

	(void) err_set(&e, ERR_INTERNAL, EIO, "processor %u: %s (%#llx)", v->id, what,
		       (unsigned long long) number);
	finish(v, VCPUS_FAILED, &e);
}

static void serve_memory(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	uint64_t at = run->mmio.phys_addr - LAYOUT_IOAPIC;

	if (at < LAYOUT_IOAPIC_BYTES)
		ioapic_access(v->all->ioapic, (uint32_t) at, run->mmio.data, run->mmio.len,
			      run->mmio.is_write);
	else
		pci_access(v->all->pci, run->mmio.phys_addr, run->mmio.data, run->mmio.len,
			   run->mmio.is_write);
}

/* Whether the guest goes on. */
static bool serve_exit(struct vcpu *v)
{
	struct kvm_run *run = v->run;

	__atomic_store_n(&v->exits, v->exits + 1, __ATOMIC_RELAXED);
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		return serve_port(v);
	case KVM_EXIT_MMIO:
		serve_memory(v);
		return true;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_IOAPIC_EOI:
		return true;
	case KVM_EXIT_SHUTDOWN: /* a triple fault: how Linux resets with reboot=t */
		finish(v, VCPUS_RESET, NULL);
		return false;
	case KVM_EXIT_INTERNAL_ERROR:
		fail(v, "KVM cannot emulate what the guest does", run->internal.suberror);
		return false;
	case KVM_EXIT_FAIL_ENTRY:
		fail(v, "the processor refuses the guest's state",
		     run->fail_entry.hardware_entry_failure_reason);
		return false;
	default:
		fail(v, "an exit that nobody expects", run->exit_reason);
		return false;
	}
}

static void wait_at_gate(struct vcpu *v)
{
	struct vcpus *all = v->all;
	bool waited = false;

	(void) pthread_mutex_lock(&all->lock);
	v->run->immediate_exit = 0;
	for (; all->closed; waited = true) {
		if (v->seen != all->closings) {
			v->seen = all->closings;
			if (++all->at_gate == all->n)
				errand_post(all->errands, &all->all_at_gate);
		}
		(void) pthread_cond_wait(&all->opened, &all->lock);
	}
	(void) pthread_mutex_unlock(&all->lock);
	/* Linux would take the pause for a lockup. EINVAL: it has no clock of KVM's yet. */
	if (waited)
		(void) ioctl(v->fd, KVM_KVMCLOCK_CTRL, 0UL);
}

/* The end is the loop's to make; until then this thread only takes part in pauses. */
static void park(struct vcpu *v)
{
	struct vcpus *all = v->all;

	for (;;) {
		wait_at_gate(v);
		(void) pthread_mutex_lock(&all->lock);
		while (!all->closed)
			(void) pthread_cond_wait(&all->opened, &all->lock);
		(void) pthread_mutex_unlock(&all->lock);
	}
}

static void *run_thread(void *arg)
{
	struct vcpu *v = arg;
	bool goes_on = true;
	struct err e;

	if (filter_enter(FILTER_VCPU, v->all->filtered, &e) < 0) {
		finish(v, VCPUS_FAILED, &e);
		goes_on = false;
	}
	wait_at_gate(v);
	while (goes_on) {
		int r = ioctl(v->fd, KVM_RUN, 0UL);

		if (r == 0) {
			goes_on = serve_exit(v);
		} else if (errno == EINTR || errno == EAGAIN) {
			wait_at_gate(v);
		} else {
			(void) err_sys(&e, errno, "run processor %u", v->id);
			finish(v, VCPUS_FAILED, &e);
			goes_on = false;
		}
	}
	park(v);
	return NULL;
}

static void serve_paused(struct errand *d)
{
	struct vcpus *all = LOOP_OWNER(d, struct vcpus, all_at_gate);

	bool closed;

	(void) pthread_mutex_lock(&all->lock);
	closed = all->closed && all->at_gate == all->n;
	(void) pthread_mutex_unlock(&all->lock);
	if (closed) /* it may have been opened, and closed again, since */
		all->paused(all);
}

static void serve_over(struct errand *d)
{
	struct vcpus *all = LOOP_OWNER(d, struct vcpus, ended);

	all->over(all);
}

int vcpus_init(struct vcpus *all, const struct hypervisor *h, unsigned n, struct err *e)
{
	/* With default attributes these cannot fail. */
	(void) pthread_mutex_init(&all->port_lock, NULL);
	(void) pthread_mutex_init(&all->lock, NULL);
	(void) pthread_cond_init(&all->opened, NULL);
	all->closed = true; /* nobody waits for this one: no closing to be seen */
	all->all_at_gate.run = serve_paused;
	all->ended.run = serve_over;
	for (unsigned i = 0; i < n; i++) {
		struct vcpu *v = &all->v[i];

		*v = (struct vcpu){ .all = all, .id = i, .fd = FD_NONE };
		if (hypervisor_vcpu(h, i, &v->fd, &v->run, e) < 0)
			return -1;
		all->n++;
	}
	return 0;
}

int vcpus_enter(struct vcpus *all, const struct hypervisor *h, uint32_t entry, struct err *e)
{
	for (unsigned i = 0; i < all->n; i++)
		if (cpu_setup(h, all->v[i].fd, i, all->n, e) < 0)
			return -1;
	return cpu_enter(all->v[0].fd, entry, LAYOUT_START_INFO, e);
}

int vcpus_start(struct vcpus *all, struct err *e)
{
	struct sigaction wake = { .sa_handler = woken };
	pthread_attr_t attributes;
	int r;

	(void) sigaction(WAKE, &wake, NULL); /* a valid signal: cannot fail */
	r = pthread_attr_init(&attributes);
	if (r == 0)
		r = pthread_attr_setstacksize(&attributes, STACK_BYTES);
	for (unsigned i = 0; i < all->n && r == 0; i++)
		r = pthread_create(&all->v[i].thread, &attributes, run_thread, &all->v[i]);
	if (r != 0)
		return err_sys(e, r, "start a thread for a processor");
	return 0;
}

void vcpus_pause(struct vcpus *all)
{
	(void) pthread_mutex_lock(&all->lock);
	if (!all->closed) {
		all->closed = true;
		all->closings++;
		all->at_gate = 0;
		for (unsigned i = 0; i < all->n; i++) {
			all->v[i].run->immediate_exit = 1;
			(void) pthread_kill(all->v[i].thread, WAKE); /* it never ends: is there */
		}
		(void) pthread_cond_broadcast(
			&all->opened); /* the parked ones go to the gate too */
	}
	(void) pthread_mutex_unlock(&all->lock);
}

void vcpus_resume(struct vcpus *all)
{
	(void) pthread_mutex_lock(&all->lock);
	all->closed = false;
	(void) pthread_cond_broadcast(&all->opened);
	(void) pthread_mutex_unlock(&all->lock);
}
