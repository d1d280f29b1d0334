/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/vmlinux.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "base/auto.h"
#include "base/le.h"
#include "base/num.h"

/* Offsets and sizes of the 64-bit structures; the files are read field by field. */
#define EHDR_N		sizeof(Elf64_Ehdr)
#define PHDR_N		sizeof(Elf64_Phdr)
#define PHDRS_MAX	64
#define NOTE_N		12
#define PVH_NOTE	18 /* XEN_ELFNOTE_PHYS32_ENTRY */
#define KERNEL_HIGH_MAX (UINT64_C(1) << 32)

#define AT(type, field) (offsetof(type, field))

static const struct {
	uint16_t machine;
	const char *name;
} machines[] = {
	{ EM_386, "i386" },	   { EM_X86_64, "x86-64" }, { EM_AARCH64, "arm64" },
	{ EM_ARM, "arm" },	   { EM_RISCV, "riscv" },   { EM_PPC64, "ppc64" },
	{ EM_S390, "s390x" },	   { EM_MIPS, "mips" },	    { EM_PPC, "powerpc" },
	{ EM_SPARCV9, "sparc64" },
};

static const char *machine_name(uint16_t machine)
{
	for (size_t i = 0; i < ARRAY_SIZE(machines); i++)
		if (machines[i].machine == machine)
			return machines[i].name;
	return "another processor";
}

static int damaged(struct err *e, const char *what)
{
	return err_set(e, ERR_INVALID, ENOEXEC, "damaged kernel: %s", what);
}

static int check_header(const uint8_t *p, size_t n, struct err *e)
{
	if (n < SELFMAG || memcmp(p, ELFMAG, SELFMAG) != 0)
		return err_set(e, ERR_INVALID, ENOEXEC, "not a Linux kernel");
	if (n < EHDR_N)
		return damaged(e, "it ends within its header");
	bool little = p[EI_DATA] == ELFDATA2LSB;
	uint16_t machine = little ? load_le16(p + AT(Elf64_Ehdr, e_machine))
				  : (uint16_t) (p[18] << 8 | p[19]);

	if (machine != EM_X86_64 || !little || p[EI_CLASS] != ELFCLASS64)
		return err_set(e, ERR_UNSUPPORTED, ENOEXEC,
			       "a kernel for %s, where x86-64 is needed",
			       machine == EM_X86_64 ? "another mode of the processor"
						    : machine_name(machine));
	uint16_t type = load_le16(p + AT(Elf64_Ehdr, e_type));
	if (type != ET_EXEC && type != ET_DYN)
		return err_set(e, ERR_INVALID, ENOEXEC,
			       "an ELF file, but not a kernel (it is not executable)");
	if (load_le16(p + AT(Elf64_Ehdr, e_phentsize)) != PHDR_N)
		return damaged(e, "its program headers are of a wrong size");
	return 0;
}

/* Keep them by address: whoever loads them goes upwards. */
static int add_segment(struct vmlinux *k, struct vmlinux_segment s, uint64_t file_size,
		       struct err *e)
{
	uint64_t end;

	if (s.memory_n == 0)
		return 0;
	if (s.file_n > s.memory_n)
		return damaged(e, "a segment is larger in the file than in memory");
	if (!range_in(s.offset, s.file_n, file_size))
		return damaged(e, "it ends within a segment: the file is cut short");
	if (!add_u64(s.paddr, s.memory_n, &end) || end > KERNEL_HIGH_MAX)
		return damaged(e, "a segment lies above 4 GiB");
	if (k->segments_n == VMLINUX_SEGMENTS_MAX)
		return damaged(e, "too many segments");
	size_t at = k->segments_n;
	while (at > 0 && k->segments[at - 1].paddr > s.paddr)
		at--;
	if (at > 0 && k->segments[at - 1].paddr + k->segments[at - 1].memory_n > s.paddr)
		return damaged(e, "two segments overlap");
	if (at < k->segments_n && end > k->segments[at].paddr)
		return damaged(e, "two segments overlap");
	memmove(k->segments + at + 1, k->segments + at,
		(k->segments_n - at) * sizeof(*k->segments));
	k->segments[at] = s;
	k->segments_n++;
	return 0;
}

static uint64_t align4(uint64_t n)
{
	return (n + 3) & ~UINT64_C(3);
}

/* Sizes are of 32 bits, so that sums of a few of them fit into 64. */
static void read_notes(const uint8_t *p, uint64_t n, struct vmlinux *k)
{
	for (uint64_t at = 0; range_in(at, NOTE_N, n);) {
		uint64_t name_n = load_le32(p + at), desc_n = load_le32(p + at + 4);
		uint32_t type = load_le32(p + at + 8);
		uint64_t name = at + NOTE_N, desc = name + align4(name_n);

		if (!range_in(name, name_n, n) || !range_in(desc, desc_n, n))
			return;
		if (type == PVH_NOTE && name_n == 4 && memcmp(p + name, "Xen", 4) == 0) {
			uint64_t v = desc_n == 8   ? load_le64(p + desc)
				     : desc_n == 4 ? load_le32(p + desc)
						   : 0;

			k->pvh_entry = v <= UINT32_MAX ? (uint32_t) v : 0;
		}
		at = desc + align4(desc_n);
	}
}

static bool in_segment(const struct vmlinux *k, uint64_t at)
{
	for (size_t i = 0; i < k->segments_n; i++)
		if (at >= k->segments[i].paddr && at - k->segments[i].paddr < k->segments[i].file_n)
			return true;
	return false;
}

static int read_program_header(const uint8_t *p, size_t n, const uint8_t *ph, struct vmlinux *k,
			       struct err *e)
{
	uint32_t type = load_le32(ph + AT(Elf64_Phdr, p_type));
	const struct vmlinux_segment s = {
		.offset = load_le64(ph + AT(Elf64_Phdr, p_offset)),
		.paddr = load_le64(ph + AT(Elf64_Phdr, p_paddr)),
		.file_n = load_le64(ph + AT(Elf64_Phdr, p_filesz)),
		.memory_n = load_le64(ph + AT(Elf64_Phdr, p_memsz)),
	};

	if (type != PT_LOAD && type != PT_NOTE)
		return 0;
	if (range_in(s.offset, s.file_n, n) && s.offset + s.file_n > k->file_end)
		k->file_end = s.offset + s.file_n;
	if (type == PT_LOAD)
		return add_segment(k, s, n, e);
	if (!range_in(s.offset, s.file_n, n))
		return damaged(e, "it ends within its notes: the file is cut short");
	read_notes(p + s.offset, s.file_n, k);
	return 0;
}

int vmlinux_read(const void *image, size_t n, struct vmlinux *ret, struct err *e)
{
	const uint8_t *p = image;
	struct vmlinux k = {};
	int r = check_header(p, n, e);

	if (r < 0)
		return r;
	uint64_t at = load_le64(p + AT(Elf64_Ehdr, e_phoff));
	uint64_t count = load_le16(p + AT(Elf64_Ehdr, e_phnum));
	if (count == 0 || count > PHDRS_MAX)
		return damaged(e, "no sensible number of program headers");
	if (!range_in(at, count * PHDR_N, n))
		return damaged(e, "it ends within its program headers: the file is cut short");
	k.file_end = at + count * PHDR_N;
	for (uint64_t i = 0; i < count && r == 0; i++)
		r = read_program_header(p, n, p + at + i * PHDR_N, &k, e);
	if (r < 0)
		return r;
	if (k.segments_n == 0)
		return damaged(e, "nothing to load");
	k.low = k.segments[0].paddr;
	k.high = k.segments[k.segments_n - 1].paddr + k.segments[k.segments_n - 1].memory_n;
	k.entry = load_le64(p + AT(Elf64_Ehdr, e_entry));
	if (!in_segment(&k, k.entry))
		return damaged(e, "its entry is not in what is loaded");
	if (k.pvh_entry && !in_segment(&k, k.pvh_entry))
		return damaged(e, "its PVH entry is not in what is loaded");
	*ret = k;
	return 0;
}
