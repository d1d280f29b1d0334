/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/fs/proc/cpu.h"

#include <cpuid.h>

#include "kernel/fs/text.h"
#include "kernel/platform/platform.h"

enum word { W1_EDX, W1_ECX, W7_EBX, W7_ECX, W7_EDX, W81_EDX, W81_ECX, WORDS };

/* Names as Linux has them; those of what only a kernel may use are not told. */
static const struct {
	enum word word;
	unsigned int bit;
	const char *name;
} flags[] = {
	{ W1_EDX, 0, "fpu" },
	{ W1_EDX, 4, "tsc" },
	{ W1_EDX, 8, "cx8" },
	{ W1_EDX, 15, "cmov" },
	{ W1_EDX, 19, "clflush" },
	{ W1_EDX, 23, "mmx" },
	{ W1_EDX, 24, "fxsr" },
	{ W1_EDX, 25, "sse" },
	{ W1_EDX, 26, "sse2" },
	{ W1_EDX, 28, "ht" },
	{ W81_EDX, 11, "syscall" },
	{ W81_EDX, 20, "nx" },
	{ W81_EDX, 26, "pdpe1gb" },
	{ W81_EDX, 27, "rdtscp" },
	{ W81_EDX, 29, "lm" },
	{ W1_ECX, 0, "pni" },
	{ W1_ECX, 1, "pclmulqdq" },
	{ W1_ECX, 9, "ssse3" },
	{ W1_ECX, 12, "fma" },
	{ W1_ECX, 13, "cx16" },
	{ W1_ECX, 19, "sse4_1" },
	{ W1_ECX, 20, "sse4_2" },
	{ W1_ECX, 22, "movbe" },
	{ W1_ECX, 23, "popcnt" },
	{ W1_ECX, 25, "aes" },
	{ W1_ECX, 26, "xsave" },
	{ W1_ECX, 28, "avx" },
	{ W1_ECX, 29, "f16c" },
	{ W1_ECX, 30, "rdrand" },
	{ W1_ECX, 31, "hypervisor" },
	{ W81_ECX, 0, "lahf_lm" },
	{ W81_ECX, 5, "abm" },
	{ W81_ECX, 6, "sse4a" },
	{ W81_ECX, 8, "3dnowprefetch" },
	{ W7_EBX, 0, "fsgsbase" },
	{ W7_EBX, 3, "bmi1" },
	{ W7_EBX, 5, "avx2" },
	{ W7_EBX, 8, "bmi2" },
	{ W7_EBX, 9, "erms" },
	{ W7_EBX, 11, "rtm" },
	{ W7_EBX, 16, "avx512f" },
	{ W7_EBX, 17, "avx512dq" },
	{ W7_EBX, 18, "rdseed" },
	{ W7_EBX, 19, "adx" },
	{ W7_EBX, 21, "avx512ifma" },
	{ W7_EBX, 23, "clflushopt" },
	{ W7_EBX, 24, "clwb" },
	{ W7_EBX, 28, "avx512cd" },
	{ W7_EBX, 29, "sha_ni" },
	{ W7_EBX, 30, "avx512bw" },
	{ W7_EBX, 31, "avx512vl" },
	{ W7_ECX, 1, "avx512vbmi" },
	{ W7_ECX, 6, "avx512_vbmi2" },
	{ W7_ECX, 8, "gfni" },
	{ W7_ECX, 9, "vaes" },
	{ W7_ECX, 10, "vpclmulqdq" },
	{ W7_ECX, 11, "avx512_vnni" },
	{ W7_ECX, 12, "avx512_bitalg" },
	{ W7_ECX, 14, "avx512_vpopcntdq" },
	{ W7_ECX, 22, "rdpid" },
	{ W7_EDX, 4, "fsrm" },
	{ W7_EDX, 22, "amx_bf16" },
	{ W7_EDX, 23, "avx512_fp16" },
	{ W7_EDX, 24, "amx_tile" },
	{ W7_EDX, 25, "amx_int8" },
};

struct facts {
	char vendor[13], model[49];
	uint32_t family, number, stepping, words[WORDS], clflush, mhz;
};

static void ask(uint32_t leaf, uint32_t r[static 4])
{
	if (!__get_cpuid_count(leaf, 0, &r[0], &r[1], &r[2], &r[3]))
		memset(r, 0, 16);
}

static void learn(struct facts *f)
{
	uint32_t r[4];

	*f = (struct facts){};
	ask(0, r);
	memcpy(f->vendor, &r[1], 4);
	memcpy(f->vendor + 4, &r[3], 4);
	memcpy(f->vendor + 8, &r[2], 4);
	ask(1, r);
	f->family = r[0] >> 8 & 15;
	f->number = r[0] >> 4 & 15;
	f->stepping = r[0] & 15;
	if (f->family == 6 || f->family == 15)
		f->number |= r[0] >> 12 & 0xf0;
	if (f->family == 15)
		f->family += r[0] >> 20 & 0xff;
	f->words[W1_EDX] = r[3];
	f->words[W1_ECX] = r[2];
	f->clflush = (r[1] >> 8 & 0xff) * 8;
	ask(7, r);
	f->words[W7_EBX] = r[1];
	f->words[W7_ECX] = r[2];
	f->words[W7_EDX] = r[3];
	ask(0x80000001, r);
	f->words[W81_EDX] = r[3];
	f->words[W81_ECX] = r[2];
	for (uint32_t n = 0; n < 3; n++) {
		ask(0x80000002 + n, r);
		memcpy(f->model + 16 * n, r, 16);
	}
	ask(0x16, r);
	f->mhz = r[0] & 0xffff;
}

int proc_cpuinfo(const struct generated_node *n, struct text *to)
{
	struct facts f;
	unsigned int cpus = plat_cpus();

	(void) n;
	learn(&f);
	for (unsigned int cpu = 0; cpu < cpus; cpu++) {
		text_put(to, "processor\t: %u\nvendor_id\t: %s\ncpu family\t: %u\n", cpu, f.vendor,
			 f.family);
		text_put(to, "model\t\t: %u\nmodel name\t: %s\nstepping\t: %u\n", f.number,
			 *f.model ? f.model : "unknown", f.stepping);
		if (f.mhz)
			text_put(to, "cpu MHz\t\t: %u.000\n", f.mhz);
		text_put(to, "physical id\t: 0\nsiblings\t: %u\ncore id\t\t: %u\ncpu cores\t: %u\n",
			 cpus, cpu, cpus);
		text_put(to, "fpu\t\t: yes\nfpu_exception\t: yes\nwp\t\t: yes\nflags\t\t:");
		for (size_t k = 0; k < countof(flags); k++) {
			if (f.words[flags[k].word] >> flags[k].bit & 1)
				text_put(to, " %s", flags[k].name);
		}
		text_put(to, "\nclflush size\t: %u\ncache_alignment\t: 64\n\n", f.clflush);
	}
	return 0;
}
