/* SPDX-License-Identifier: Apache-2.0 */
#include <elf.h>

#include "base/test.h"
#include "fmt/vmlinux.h"

/* A kernel of two segments and the PVH note, small enough to be looked through. */
struct image {
	Elf64_Ehdr header;
	Elf64_Phdr parts[3];
	struct {
		uint32_t name_n, desc_n, type;
		char name[4];
		uint64_t entry;
	} note;
	char text[64];
};

static struct image image_of(void)
{
	struct image k = {
		.header = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1 },
			    .e_type = ET_EXEC,
			    .e_machine = EM_X86_64,
			    .e_version = 1,
			    .e_entry = 0x1000010,
			    .e_phoff = offsetof(struct image, parts),
			    .e_ehsize = sizeof(Elf64_Ehdr),
			    .e_phentsize = sizeof(Elf64_Phdr),
			    .e_phnum = 3 },
		.parts = { { .p_type = PT_LOAD,
			     .p_offset = offsetof(struct image, text) + 32,
			     .p_paddr = 0x2000000,
			     .p_filesz = 32,
			     .p_memsz = 0x1000 },
			   { .p_type = PT_LOAD,
			     .p_offset = offsetof(struct image, text),
			     .p_paddr = 0x1000000,
			     .p_filesz = 64,
			     .p_memsz = 64 },
			   { .p_type = PT_NOTE,
			     .p_offset = offsetof(struct image, note),
			     .p_filesz = sizeof(k.note) } },
		.note = { 4, 8, 18, "Xen", 0x1000020 },
	};
	return k;
}

static const char *refusal(const struct image *k, size_t n)
{
	static struct err e;
	struct vmlinux got;

	e = (struct err){};
	return vmlinux_read(k, n, &got, &e) < 0 ? e.msg : "";
}

static void test_good(void)
{
	struct image k = image_of();
	struct vmlinux got;
	struct err e;

	CHECK(vmlinux_read(&k, sizeof(k), &got, &e) == 0);
	CHECK(got.segments_n == 2);
	CHECK(got.segments[0].paddr == 0x1000000 && got.segments[1].paddr == 0x2000000);
	CHECK(got.segments[1].file_n == 32 && got.segments[1].memory_n == 0x1000);
	CHECK(got.low == 0x1000000 && got.high == 0x2001000);
	CHECK(got.entry == 0x1000010 && got.pvh_entry == 0x1000020);
	CHECK(got.file_end == sizeof(k));
	k.note.type = 1;
	CHECK(vmlinux_read(&k, sizeof(k), &got, &e) == 0 && got.pvh_entry == 0);
}

static void test_bad(void)
{
	struct image k = image_of();

	CHECK_STR(refusal(&k, 3), "not a Linux kernel");
	CHECK_STR(refusal(&k, 40), "damaged kernel: it ends within its header");
	CHECK_STR(refusal(&k, sizeof(k) - 1),
		  "damaged kernel: it ends within a segment: the file is cut short");
	CHECK_STR(refusal(&k, sizeof(Elf64_Ehdr) + 5),
		  "damaged kernel: it ends within its program headers: the file is cut short");
	k.header.e_machine = EM_AARCH64;
	CHECK_STR(refusal(&k, sizeof(k)), "a kernel for arm64, where x86-64 is needed");
	k = image_of();
	k.header.e_type = ET_REL;
	CHECK_STR(refusal(&k, sizeof(k)), "an ELF file, but not a kernel (it is not executable)");
	k = image_of();
	k.parts[1].p_paddr = 0x2000fff;
	CHECK_STR(refusal(&k, sizeof(k)), "damaged kernel: two segments overlap");
	k = image_of();
	k.parts[0].p_paddr = UINT64_MAX - 5;
	CHECK_STR(refusal(&k, sizeof(k)), "damaged kernel: a segment lies above 4 GiB");
	k = image_of();
	k.parts[0].p_memsz = 31;
	CHECK_STR(refusal(&k, sizeof(k)),
		  "damaged kernel: a segment is larger in the file than in memory");
	k = image_of();
	k.header.e_entry = 0x3000000;
	CHECK_STR(refusal(&k, sizeof(k)), "damaged kernel: its entry is not in what is loaded");
	k = image_of();
	k.note.entry = 0x2000800; /* beyond the file's part: zeros */
	CHECK_STR(refusal(&k, sizeof(k)), "damaged kernel: its PVH entry is not in what is loaded");
}

int main(void)
{
	test_good();
	test_bad();
	return test_done();
}
