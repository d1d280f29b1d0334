/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cpu.h"

#include <errno.h>
#include <linux/kvm.h>
#include <linux/kvm_para.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/auto.h"

#define ENTRIES_MAX	 256
#define LEAF_FREQUENCIES 0x40000010u /* of KVM and others: TSC and local APIC, in kHz */
#define APIC_BUS_KHZ	 1000000     /* KVM's local APIC counts nanoseconds */

#define MSR_MISC_ENABLE	 0x1a0
#define MISC_FAST_STRING 1
#define MSR_MTRR_DEFAULT 0x2ff
#define MTRR_ENABLE	 (1 << 11)
#define MTRR_WRITE_BACK	 6

/* What KVM can give of the processor below, with room for ENTRIES_MAX. Gives. */
static struct kvm_cpuid2 *get_supported(const struct hypervisor *h, struct err *e)
{
	auto_free struct kvm_cpuid2 *t = calloc(1,
						sizeof(*t) + ENTRIES_MAX * sizeof(t->entries[0]));

	if (!t) {
		(void) err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
		return NULL;
	}
	t->nent = ENTRIES_MAX;
	if (ioctl(h->kvm_fd, KVM_GET_SUPPORTED_CPUID, t) < 0) {
		(void) err_sys(e, errno, "ask for the processor's features");
		return NULL;
	}
	return TAKE(t);
}

static unsigned bits_for(unsigned n)
{
	unsigned bits = 0;

	while (1u << bits < n)
		bits++;
	return bits;
}

/* Caches of level 3 are everybody's, the others each core's own (leaves 4 and 0x8000001d). */
static uint32_t cache_sharing(uint32_t eax, unsigned cpus)
{
	uint32_t level = eax >> 5 & 7;

	eax &= ~(UINT32_C(0xfff) << 14);
	return level >= 3 ? eax | (cpus - 1) << 14 : eax;
}

static void adapt(struct kvm_cpuid_entry2 *c, unsigned id, unsigned cpus, bool deadline)
{
	switch (c->function) {
	case 1:
		c->ebx = (c->ebx & 0xffff) | cpus << 16 | id << 24;
		c->ecx |= UINT32_C(1) << 31 | UINT32_C(1) << 21; /* a hypervisor; x2APIC */
		if (deadline)
			c->ecx |= UINT32_C(1) << 24;
		c->ecx &= ~(UINT32_C(1) << 5); /* no VMX: KVM's nested part is nobody's business */
		c->edx = cpus > 1 ? c->edx | UINT32_C(1) << 28 : c->edx & ~(UINT32_C(1) << 28);
		break;
	case 4:
		c->eax = (cache_sharing(c->eax, cpus) & 0x3ffffff) | (cpus - 1) << 26;
		break;
	case 0xa: /* no performance counters */
		c->eax = c->ebx = c->ecx = c->edx = 0;
		break;
	case KVM_CPUID_SIGNATURE:
		c->eax = LEAF_FREQUENCIES;
		break;
	case 0x80000001u:
		c->ecx &= ~(UINT32_C(1) << 2); /* no SVM */
		break;
	case 0x80000008u:
		c->ecx = (c->ecx & ~UINT32_C(0xf0ff)) | bits_for(cpus) << 12 | (cpus - 1);
		break;
	case 0x8000000au:
		c->eax = c->ebx = c->ecx = c->edx = 0;
		break;
	case 0x8000001du:
		c->eax = cache_sharing(c->eax, cpus);
		break;
	case 0x8000001eu:
		c->eax = id;
		c->ebx = id;
		c->ecx = 0;
		break;
	default:
		break;
	}
}

static void add(struct kvm_cpuid2 *t, struct kvm_cpuid_entry2 entry)
{
	if (t->nent < ENTRIES_MAX)
		t->entries[t->nent++] = entry;
}

static bool ours(uint32_t leaf)
{
	return leaf == 0xb || leaf == 0x1f || leaf == LEAF_FREQUENCIES;
}

/* Every processor is a core of its own in one package (leaf 0xb). */
static void add_topology(struct kvm_cpuid2 *t, unsigned id, unsigned cpus)
{
	for (uint32_t level = 0; level < 2; level++)
		add(t, (struct kvm_cpuid_entry2){
			       .function = 0xb,
			       .index = level,
			       .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			       .eax = level ? bits_for(cpus) : 0,
			       .ebx = level ? cpus : 1,
			       .ecx = level | (level + 1) << 8,
			       .edx = id,
		       });
	add(t, (struct kvm_cpuid_entry2){ .function = 0xb,
					  .index = 2,
					  .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
					  .ecx = 2,
					  .edx = id });
}

static int set_cpuid(const struct hypervisor *h, int vcpu_fd, unsigned id, unsigned cpus,
		     struct err *e)
{
	bool deadline = ioctl(h->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	auto_free struct kvm_cpuid2 *t = get_supported(h, e);
	int khz = ioctl(vcpu_fd, KVM_GET_TSC_KHZ, 0UL);
	uint32_t kept = 0;

	if (!t)
		return -1;
	for (uint32_t i = 0; i < t->nent; i++) {
		struct kvm_cpuid_entry2 c = t->entries[i];

		if (ours(c.function))
			continue;
		adapt(&c, id, cpus, deadline);
		t->entries[kept++] = c;
	}
	t->nent = kept;
	add_topology(t, id, cpus);
	if (khz > 0)
		add(t, (struct kvm_cpuid_entry2){ .function = LEAF_FREQUENCIES,
						  .eax = (uint32_t) khz,
						  .ebx = APIC_BUS_KHZ });
	if (ioctl(vcpu_fd, KVM_SET_CPUID2, t) < 0)
		return err_sys(e, errno, "set the features of processor %u", id);
	return 0;
}

static int set_msrs(int vcpu_fd, unsigned id, struct err *e)
{
	static const struct kvm_msr_entry entries[] = {
		{ .index = MSR_MISC_ENABLE, .data = MISC_FAST_STRING },
		/* Off, as they are after a reset, Linux would do without PAT too. */
		{ .index = MSR_MTRR_DEFAULT, .data = MTRR_ENABLE | MTRR_WRITE_BACK },
	};
	auto_free struct kvm_msrs *m = calloc(1, sizeof(*m) + sizeof(entries));

	if (!m)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
	m->nmsrs = ARRAY_SIZE(entries);
	memcpy(m->entries, entries, sizeof(entries));
	if (ioctl(vcpu_fd, KVM_SET_MSRS, m) != (int) m->nmsrs)
		return err_sys(e, errno, "set registers of processor %u", id);
	return 0;
}

int cpu_setup(const struct hypervisor *h, int vcpu_fd, unsigned id, unsigned cpus, struct err *e)
{
	int r = set_cpuid(h, vcpu_fd, id, cpus, e);

	return r < 0 ? r : set_msrs(vcpu_fd, id, e);
}

static struct kvm_segment segment(uint16_t selector, uint8_t type, uint32_t limit)
{
	bool system = type == 0xb && limit != UINT32_MAX;

	return (struct kvm_segment){
		.selector = selector,
		.type = type,
		.limit = limit,
		.present = 1,
		.s = !system,
		.db = !system,
		.g = !system,
	};
}

int cpu_enter(int vcpu_fd, uint32_t entry, uint64_t start_info, struct err *e)
{
	struct kvm_regs r = { .rip = entry, .rbx = start_info, .rflags = 2 };
	struct kvm_sregs s;

	if (ioctl(vcpu_fd, KVM_GET_SREGS, &s) < 0)
		return err_sys(e, errno, "read the first processor's state");
	s.cs = segment(8, 0xb, UINT32_MAX);
	s.ds = s.es = s.fs = s.gs = s.ss = segment(16, 3, UINT32_MAX);
	s.tr = segment(24, 0xb, 0x67);
	s.gdt = s.idt = (struct kvm_dtable){ 0 };
	s.cr0 = 0x11; /* protected mode, and the bit that always is set */
	s.cr4 = 0;
	s.efer = 0;
	if (ioctl(vcpu_fd, KVM_SET_SREGS, &s) < 0 || ioctl(vcpu_fd, KVM_SET_REGS, &r) < 0)
		return err_sys(e, errno, "set the first processor's state");
	return 0;
}
