/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/cpu_state.h"

#include <errno.h>
#include <linux/kvm.h>
#include <linux/kvm_para.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/auto.h"
#include "base/pack.h"
#include "vmm/cpu.h"

#define CPUIDS_MAX 256
#define MSRS_MAX   1024
#define MSRS_ONCE  128 /* KVM takes less than 256 by one call */
#define TSC_SLACK  250 /* parts of a million that two counters may differ by: crystals do */

#define MSR_TSC		 0x10
#define MSR_MTRR_FIRST	 0x200 /* to 0x20f: variable ranges */
#define MSR_MTRR_LAST	 0x20f
#define MSR_TSC_DEADLINE 0x6e0
#define APIC_LVT_TIMER	 0x320
#define LVT_MASKED	 (1 << 16)
#define LVT_MODE	 (3 << 17)
#define LVT_DEADLINE	 (2 << 17)

/*
 * The parts, as they are set: what the processor can do before what depends on it, its control
 * registers before its APIC (they say which kind it is), both before the registers that arm it.
 * They are read in reverse, all but the events: asking for any of them may change these.
 */
enum part { CPUID, TSC_KHZ, MP_STATE, REGS, SREGS, XSAVE, XCRS, DEBUGREGS, LAPIC, MSRS, EVENTS };

/* Parts that are one structure. */
static const struct {
	enum part part;
	const char *name;
	unsigned long get, set;
	uint32_t bytes;
} plain[] = {
	{ MP_STATE, "run state", KVM_GET_MP_STATE, KVM_SET_MP_STATE, sizeof(struct kvm_mp_state) },
	{ REGS, "registers", KVM_GET_REGS, KVM_SET_REGS, sizeof(struct kvm_regs) },
	{ SREGS, "control registers", KVM_GET_SREGS2, KVM_SET_SREGS2, sizeof(struct kvm_sregs2) },
	{ XCRS, "extended control registers", KVM_GET_XCRS, KVM_SET_XCRS, sizeof(struct kvm_xcrs) },
	{ DEBUGREGS, "debug registers", KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS,
	  sizeof(struct kvm_debugregs) },
	{ LAPIC, "local APIC", KVM_GET_LAPIC, KVM_SET_LAPIC, sizeof(struct kvm_lapic_state) },
	{ EVENTS, "pending events", KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS,
	  sizeof(struct kvm_vcpu_events) },
};
#define PLAIN_MAX sizeof(struct kvm_lapic_state)

/* Registers that KVM does not list, but keeps for the guest: its kinds of memory. */
static const uint32_t unlisted[] = { 0x250, 0x258, 0x259, 0x268, 0x269, 0x26a,
				     0x26b, 0x26c, 0x26d, 0x26e, 0x26f, 0x2ff };

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
}

/* ---- saving */

static int save_plain(int vcpu_fd, enum part part, struct buf *to, struct err *e)
{
	uint8_t bytes[PLAIN_MAX] = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
		if (plain[i].part != part)
			continue;
		if (ioctl(vcpu_fd, plain[i].get, bytes) < 0)
			return err_sys(e, errno, "read the %s", plain[i].name);
		pack_u32(to, (uint32_t) part);
		pack_bytes(to, bytes, plain[i].bytes);
	}
	return 0;
}

static int save_xsave(const struct hypervisor *h, int vcpu_fd, struct buf *to, struct err *e)
{
	auto_free void *area = calloc(1, h->xsave_bytes);
	bool large = h->xsave_bytes > sizeof(struct kvm_xsave);

	if (!area)
		return no_memory(e);
	if (ioctl(vcpu_fd, large ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, area) < 0)
		return err_sys(e, errno, "read the vector registers");
	pack_u32(to, XSAVE);
	pack_bytes(to, area, h->xsave_bytes);
	return 0;
}

static int save_cpuid(int vcpu_fd, struct buf *to, struct err *e)
{
	auto_free struct kvm_cpuid2 *t = calloc(1, sizeof(*t) + CPUIDS_MAX * sizeof(t->entries[0]));

	if (!t)
		return no_memory(e);
	t->nent = CPUIDS_MAX;
	if (ioctl(vcpu_fd, KVM_GET_CPUID2, t) < 0)
		return err_sys(e, errno, "read the features");
	pack_u32(to, CPUID);
	pack_bytes(to, t->entries, t->nent * sizeof(t->entries[0]));
	return 0;
}

static void save_khz(int vcpu_fd, struct buf *to)
{
	int khz = ioctl(vcpu_fd, KVM_GET_TSC_KHZ, 0UL);
	uint32_t value = htole32(khz > 0 ? (uint32_t) khz : 0);

	pack_u32(to, TSC_KHZ);
	pack_bytes(to, &value, sizeof(value));
}

static void add_msr(struct kvm_msrs *m, uint32_t index)
{
	if (m->nmsrs < MSRS_MAX)
		m->entries[m->nmsrs++].index = index;
}

/* All that may have a value: those that KVM lists for saving, and a few more. Gives. */
static struct kvm_msrs *list_msrs(const struct hypervisor *h, struct err *e)
{
	auto_free struct kvm_msrs *m = calloc(1, sizeof(*m) + MSRS_MAX * sizeof(m->entries[0]));
	auto_free struct kvm_msr_list *l = calloc(1, sizeof(*l) + MSRS_MAX * sizeof(l->indices[0]));

	if (!m || !l) {
		(void) no_memory(e);
		return NULL;
	}
	l->nmsrs = MSRS_MAX;
	if (ioctl(h->kvm_fd, KVM_GET_MSR_INDEX_LIST, l) < 0) {
		(void) err_sys(e, errno, "list the model-specific registers");
		return NULL;
	}
	add_msr(m, MSR_TSC); /* first: others count from it */
	for (uint32_t i = 0; i < l->nmsrs; i++)
		if (l->indices[i] != MSR_TSC && l->indices[i] != MSR_TSC_DEADLINE)
			add_msr(m, l->indices[i]);
	for (uint32_t i = MSR_MTRR_FIRST; i <= MSR_MTRR_LAST; i++)
		add_msr(m, i);
	for (size_t i = 0; i < ARRAY_SIZE(unlisted); i++)
		add_msr(m, unlisted[i]);
	add_msr(m, MSR_TSC_DEADLINE); /* last, as it arms the timer */
	return TAKE(m);
}

/* Read them into a row; what this processor has not is left out. */
static void read_msrs(int vcpu_fd, struct kvm_msrs *m)
{
	struct kvm_msr_entry entry[1 + 1] = { 0 };
	struct kvm_msrs *one = (struct kvm_msrs *) (void *) entry;
	uint32_t kept = 0;

	static_assert(sizeof(*one) <= sizeof(entry[0]), "a head and one register");
	for (uint32_t i = 0; i < m->nmsrs; i++) {
		one->nmsrs = 1;
		one->entries[0] = m->entries[i];
		if (ioctl(vcpu_fd, KVM_GET_MSRS, one) == 1)
			m->entries[kept++] = one->entries[0];
	}
	m->nmsrs = kept;
}

static int save_msrs(const struct hypervisor *h, int vcpu_fd, struct buf *to, struct err *e)
{
	auto_free struct kvm_msrs *m = list_msrs(h, e);

	if (!m)
		return -EIO;
	read_msrs(vcpu_fd, m);
	pack_u32(to, MSRS);
	pack_bytes(to, m->entries, m->nmsrs * sizeof(m->entries[0]));
	return 0;
}

int cpu_state_save(const struct hypervisor *h, int vcpu_fd, struct buf *to, struct err *e)
{
	/* The run state first: asking for it takes in events that wait for the APIC. */
	if (save_plain(vcpu_fd, MP_STATE, to, e) < 0 || save_plain(vcpu_fd, REGS, to, e) < 0 ||
	    save_plain(vcpu_fd, SREGS, to, e) < 0 || save_xsave(h, vcpu_fd, to, e) < 0 ||
	    save_plain(vcpu_fd, XCRS, to, e) < 0 || save_plain(vcpu_fd, DEBUGREGS, to, e) < 0 ||
	    save_plain(vcpu_fd, LAPIC, to, e) < 0 || save_cpuid(vcpu_fd, to, e) < 0)
		return -EIO;
	save_khz(vcpu_fd, to);
	if (save_msrs(h, vcpu_fd, to, e) < 0)
		return -EIO;
	return save_plain(vcpu_fd, EVENTS, to, e);
}

/* ---- restoring */

struct parts {
	struct str of[EVENTS + 1]; /* p NULL: there is none */
};

static int find_parts(struct str state, struct parts *ret_p, struct err *e)
{
	struct unpack u = unpack_of(state);
	struct parts p = { 0 };

	while (!u.failed && u.rest.n) {
		uint32_t part = unpack_u32(&u);
		struct str bytes = unpack_bytes(&u);

		if (part > EVENTS || p.of[part].p)
			u.failed = true;
		else
			p.of[part] = bytes;
	}
	for (unsigned i = 0; i <= EVENTS; i++)
		if (!p.of[i].p)
			u.failed = true;
	if (u.failed)
		return err_set(e, ERR_INVALID, EBADMSG, "its state is none of a processor");
	*ret_p = p;
	return 0;
}

static int wrong_size(const char *what, struct err *e)
{
	return err_set(e, ERR_INVALID, EBADMSG, "its %s have another size", what);
}

static int restore_plain(int vcpu_fd, const struct parts *p, enum part part, struct err *e)
{
	uint8_t bytes[PLAIN_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
		if (plain[i].part != part)
			continue;
		if (p->of[part].n != plain[i].bytes)
			return wrong_size(plain[i].name, e);
		memcpy(bytes, p->of[part].p, plain[i].bytes);
		if (ioctl(vcpu_fd, plain[i].set, bytes) < 0)
			return err_sys(e, errno, "set the %s", plain[i].name);
	}
	return 0;
}

static int restore_xsave(const struct hypervisor *h, int vcpu_fd, struct str saved, struct err *e)
{
	size_t n = saved.n > h->xsave_bytes ? saved.n : h->xsave_bytes;
	auto_free char *area = NULL;

	if (saved.n < sizeof(struct kvm_xsave))
		return wrong_size("vector registers", e);
	for (size_t i = h->xsave_bytes; i < saved.n; i++)
		if (saved.p[i])
			return err_set(e, ERR_UNSUPPORTED, ENOTSUP,
				       "it has vector registers that this host's has not");
	area = calloc(1, n);
	if (!area)
		return no_memory(e);
	memcpy(area, saved.p, saved.n);
	return ioctl(vcpu_fd, KVM_SET_XSAVE, area) < 0
		       ? err_sys(e, errno, "set the vector registers")
		       : 0;
}

enum { EAX, EBX, ECX, EDX };

/* Words of CPUID whose every bit is something the processor can do. */
static const struct {
	uint32_t leaf, index;
	unsigned word;
	uint32_t changing; /* bits that follow the guest's own settings */
} features[] = {
	{ 1, 0, ECX, UINT32_C(1) << 27 },
	{ 1, 0, EDX, UINT32_C(1) << 9 },
	{ 7, 0, EBX, 0 },
	{ 7, 0, ECX, UINT32_C(1) << 4 },
	{ 7, 0, EDX, 0 },
	{ 7, 1, EAX, 0 },
	{ 0xd, 0, EAX, 0 },
	{ 0xd, 0, EDX, 0 },
	{ 0xd, 1, EAX, 0 },
	{ KVM_CPUID_FEATURES, 0, EAX, 0 },
	{ 0x80000001u, 0, ECX, 0 },
	{ 0x80000001u, 0, EDX, UINT32_C(1) << 9 },
	{ 0x80000008u, 0, EBX, 0 },
};

static const struct kvm_cpuid_entry2 *find_leaf(const struct kvm_cpuid2 *t, uint32_t leaf,
						uint32_t index)
{
	for (uint32_t i = 0; i < t->nent; i++)
		if (t->entries[i].function == leaf &&
		    (t->entries[i].index == index ||
		     !(t->entries[i].flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX)))
			return &t->entries[i];
	return NULL;
}

static uint32_t word_of(const struct kvm_cpuid_entry2 *c, unsigned word)
{
	const uint32_t words[] = { c->eax, c->ebx, c->ecx, c->edx };

	return words[word];
}

/* A guest does not look again at what it has found its processor to be. vcpu_fd: a new one here. */
static int compare_cpuid(int vcpu_fd, const struct kvm_cpuid2 *saved, struct err *e)
{
	auto_free struct kvm_cpuid2 *here =
		calloc(1, sizeof(*here) + CPUIDS_MAX * sizeof(here->entries[0]));
	const struct kvm_cpuid_entry2 none = { 0 }, *a, *b;

	if (!here)
		return no_memory(e);
	here->nent = CPUIDS_MAX;
	if (ioctl(vcpu_fd, KVM_GET_CPUID2, here) < 0)
		return err_sys(e, errno, "ask for the processor's features");
	a = find_leaf(saved, 0, 0);
	b = find_leaf(here, 0, 0);
	if (!a || !b || a->ebx != b->ebx || a->ecx != b->ecx || a->edx != b->edx)
		return err_set(e, ERR_UNSUPPORTED, ENOTSUP,
			       "it is of another maker than this host's");
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		uint32_t lacks;

		a = find_leaf(saved, features[i].leaf, features[i].index);
		b = find_leaf(here, features[i].leaf, features[i].index);
		lacks = word_of(a ? a : &none, features[i].word) &
			~word_of(b ? b : &none, features[i].word) & ~features[i].changing;
		if (lacks)
			return err_set(e, ERR_UNSUPPORTED, ENOTSUP,
				       "it has features that this host's has not (CPUID %#x.%u "
				       "e%cx: %#x)",
				       features[i].leaf, features[i].index,
				       "abcd"[features[i].word], lacks);
	}
	return 0;
}

static int restore_cpuid(int vcpu_fd, struct str saved, struct err *e)
{
	auto_free struct kvm_cpuid2 *t = NULL;

	if (saved.n % sizeof(t->entries[0]) || saved.n / sizeof(t->entries[0]) > CPUIDS_MAX)
		return wrong_size("features", e);
	t = calloc(1, sizeof(*t) + saved.n);
	if (!t)
		return no_memory(e);
	t->nent = (uint32_t) (saved.n / sizeof(t->entries[0]));
	memcpy(t->entries, saved.p, saved.n);
	if (compare_cpuid(vcpu_fd, t, e) < 0)
		return -EIO;
	return ioctl(vcpu_fd, KVM_SET_CPUID2, t) < 0 ? err_sys(e, errno, "set the features") : 0;
}

/* The counter's rate: the host's own, or near it, or KVM scales it. */
static int restore_khz(int vcpu_fd, struct str saved, struct err *e)
{
	int here = ioctl(vcpu_fd, KVM_GET_TSC_KHZ, 0UL);
	uint64_t khz, difference;

	if (saved.n != 4)
		return wrong_size("clock rates", e);
	khz = load_le32(saved.p);
	if (here <= 0 || khz == 0 || khz == (uint64_t) here)
		return 0;
	difference = khz > (uint64_t) here ? khz - (uint64_t) here : (uint64_t) here - khz;
	if (difference * 1000000 <= khz * TSC_SLACK)
		return 0;
	if (ioctl(vcpu_fd, KVM_SET_TSC_KHZ, (unsigned long) khz) < 0)
		return err_set(e, ERR_UNSUPPORTED, errno,
			       "its counter runs at %llu kHz, this host's at %d and cannot be "
			       "scaled",
			       (unsigned long long) khz, here);
	return 0;
}

/* Whether the register has this value already: one that cannot be written, but need not be. */
static bool has_value(int vcpu_fd, const struct kvm_msr_entry *wanted)
{
	struct kvm_msr_entry entry[1 + 1] = { 0 };
	struct kvm_msrs *one = (struct kvm_msrs *) (void *) entry;

	one->nmsrs = 1;
	one->entries[0].index = wanted->index;
	return ioctl(vcpu_fd, KVM_GET_MSRS, one) == 1 && one->entries[0].data == wanted->data;
}

/*
 * A deadline that has passed is 0 for KVM before the guest has had its interrupt: an interrupt too
 * many is better than a guest that waits for ever.
 */
static void mend_deadline(struct kvm_msr_entry *m, uint64_t tsc, struct str lapic)
{
	uint32_t timer = load_le32(lapic.p + APIC_LVT_TIMER);

	if (m->index == MSR_TSC_DEADLINE && m->data == 0 && !(timer & LVT_MASKED) &&
	    (timer & LVT_MODE) == LVT_DEADLINE)
		m->data = tsc;
}

static int restore_msrs(int vcpu_fd, struct str saved, struct str lapic, struct err *e)
{
	struct kvm_msr_entry entries[1 + MSRS_ONCE] = { 0 };
	struct kvm_msrs *some = (struct kvm_msrs *) (void *) entries;
	size_t n = saved.n / sizeof(entries[0]);
	uint64_t tsc = 0;

	if (saved.n % sizeof(entries[0]) || n > MSRS_MAX)
		return wrong_size("model-specific registers", e);
	for (size_t at = 0; at < n;) {
		const struct kvm_msr_entry *stopped;
		int set;

		some->nmsrs = (uint32_t) (n - at < MSRS_ONCE ? n - at : MSRS_ONCE);
		memcpy(some->entries, saved.p + at * sizeof(entries[0]),
		       some->nmsrs * sizeof(entries[0]));
		for (uint32_t i = 0; i < some->nmsrs; i++) {
			if (some->entries[i].index == MSR_TSC)
				tsc = some->entries[i].data;
			mend_deadline(&some->entries[i], tsc, lapic);
		}
		set = ioctl(vcpu_fd, KVM_SET_MSRS, some);
		at += set > 0 ? (size_t) set : 0;
		if (set == (int) some->nmsrs)
			continue;
		/* It has stopped at one that cannot be set. */
		stopped = &some->entries[set > 0 ? set : 0];
		if (!has_value(vcpu_fd, stopped))
			return err_set(e, ERR_UNSUPPORTED, ENOTSUP,
				       "its register %#x cannot be %#llx here", stopped->index,
				       (unsigned long long) stopped->data);
		at++;
	}
	return 0;
}

int cpu_state_restore(const struct hypervisor *h, int vcpu_fd, unsigned id, unsigned cpus,
		      struct str state, struct err *e)
{
	struct parts p;

	if (find_parts(state, &p, e) < 0 || cpu_setup(h, vcpu_fd, id, cpus, e) < 0 ||
	    restore_cpuid(vcpu_fd, p.of[CPUID], e) < 0 ||
	    restore_khz(vcpu_fd, p.of[TSC_KHZ], e) < 0 ||
	    restore_plain(vcpu_fd, &p, MP_STATE, e) < 0 ||
	    restore_plain(vcpu_fd, &p, REGS, e) < 0 || restore_plain(vcpu_fd, &p, SREGS, e) < 0 ||
	    restore_xsave(h, vcpu_fd, p.of[XSAVE], e) < 0 ||
	    restore_plain(vcpu_fd, &p, XCRS, e) < 0 ||
	    restore_plain(vcpu_fd, &p, DEBUGREGS, e) < 0 ||
	    restore_plain(vcpu_fd, &p, LAPIC, e) < 0 ||
	    restore_msrs(vcpu_fd, p.of[MSRS], p.of[LAPIC], e) < 0 ||
	    restore_plain(vcpu_fd, &p, EVENTS, e) < 0)
		return -EIO;
	/* Linux would take the time in between for a lockup. EINVAL: it has no clock of KVM's. */
	(void) ioctl(vcpu_fd, KVM_KVMCLOCK_CTRL, 0UL);
	return 0;
}
