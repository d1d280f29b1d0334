/* SPDX-License-Identifier: Apache-2.0 */
#include <elf.h>
#include <errno.h>

#include "base/auto.h"
#include "base/test.h"
#include "fmt/kmod.h"

static struct kmod_index texts(void)
{
	return (struct kmod_index){
		.dep = STR("kernel/fs/erofs/erofs.ko.xz: kernel/lib/libcrc32c.ko.xz\n"
			   "kernel/lib/libcrc32c.ko.xz:\n"
			   "kernel/arch/x86/crypto/crc32c-intel.ko.xz:\n"
			   "kernel/v/virtio_pci.ko: kernel/v/legacy.ko kernel/v/virtio.ko "
			   "kernel/v/ring.ko\n"
			   "kernel/v/ring.ko:\n"),
		.builtin = STR("kernel/fs/fuse/fuse.ko\nkernel/net/my-net.ko\n"),
		.builtin_modinfo = STR("fuse.license=GPL\0fuse.alias=fs-fuse\0"),
		.alias = STR("# Aliases\nalias crc32c crc32c_intel\nalias crc32c none\n"
			     "alias x* ring\n"),
		.softdep = STR("# Soft\nsoftdep libcrc32c pre: crc32c fs-fuse post: ring\n"),
	};
}

static const char *order(const struct kmod_list *l, char *text, size_t n)
{
	size_t at = 0;

	text[0] = '\0';
	for (size_t i = 0; i < l->n; i++)
		at += (size_t) snprintf(text + at, n - at, "%s%.*s", i ? " " : "",
					(int) kmod_name_of(l->v[i]).n, kmod_name_of(l->v[i]).p);
	return text;
}

static void test_order(void)
{
	auto_arena struct arena a = ARENA_INIT(1 << 16);
	const struct kmod_index x = texts();
	struct kmod_list l = {};
	char text[200];

	CHECK(kmod_add(&x, STR("virtio-pci"), &a, &l) == KMOD_LISTED);
	CHECK_STR(order(&l, text, sizeof(text)), "ring virtio legacy virtio_pci");
	CHECK(kmod_add(&x, STR("erofs"), &a, &l) == KMOD_LISTED);
	CHECK_STR(order(&l, text, sizeof(text)),
		  "ring virtio legacy virtio_pci crc32c-intel libcrc32c erofs");
	CHECK(kmod_add(&x, STR("ring"), &a, &l) == KMOD_LISTED && l.n == 7);
	CHECK(kmod_add(&x, STR("fuse"), &a, &l) == KMOD_BUILTIN);
	CHECK(kmod_add(&x, STR("my_net"), &a, &l) == KMOD_BUILTIN);
	CHECK(kmod_add(&x, STR("virtiofs"), &a, &l) == KMOD_MISSING && l.n == 7);
	CHECK(str_is(l.v[5], "kernel/lib/libcrc32c.ko.xz"));
}

static void test_empty(void)
{
	auto_arena struct arena a = ARENA_INIT(1 << 16);
	const struct kmod_index x = {};
	struct kmod_list l = {};

	CHECK(kmod_add(&x, STR("fuse"), &a, &l) == KMOD_MISSING);
	CHECK(!kmod_is_builtin(&x, STR("fuse")));
}

/* A module of text, type information and a relocation for each. */
struct object {
	Elf64_Ehdr header;
	Elf64_Shdr sections[6];
	char names[64], text[16], btf[16], rela_text[24], rela_debug[24];
	char signature[8];
};

static struct object module_of(void)
{
	/* offsets of the names: 1 .text 7 .BTF 12 .rela.text 23 .names 30 .debug_x */
	struct object m = {
		.header = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1 },
			    .e_type = ET_REL,
			    .e_machine = EM_X86_64,
			    .e_shoff = offsetof(struct object, sections),
			    .e_ehsize = sizeof(Elf64_Ehdr),
			    .e_shentsize = sizeof(Elf64_Shdr),
			    .e_shnum = 6,
			    .e_shstrndx = 5 },
		.sections = { {},
			      { .sh_name = 1,
				.sh_type = SHT_PROGBITS,
				.sh_flags = SHF_ALLOC,
				.sh_offset = offsetof(struct object, text),
				.sh_size = 16,
				.sh_addralign = 16 },
			      { .sh_name = 7,
				.sh_type = SHT_PROGBITS,
				.sh_offset = offsetof(struct object, btf),
				.sh_size = 16 },
			      { .sh_name = 12,
				.sh_type = SHT_RELA,
				.sh_info = 1,
				.sh_offset = offsetof(struct object, rela_text),
				.sh_size = 24,
				.sh_addralign = 8 },
			      { .sh_name = 12,
				.sh_type = SHT_RELA,
				.sh_info = 2,
				.sh_offset = offsetof(struct object, rela_debug),
				.sh_size = 24 },
			      { .sh_name = 23,
				.sh_type = SHT_STRTAB,
				.sh_offset = offsetof(struct object, names),
				.sh_size = 64 } },
		.names = "\0.text\0.BTF\0.rela.text\0.names",
		.text = "text of a module",
		.btf = "types of a modul",
		.rela_text = "relocations of the text!",
		.rela_debug = "relocations of the types",
		.signature = "~Module",
	};
	return m;
}

static void test_strip(void)
{
	auto_buf struct buf out = BUF_INIT(1 << 16);
	struct object m = module_of();
	struct str in = { (const char *) &m, sizeof(m) };
	Elf64_Ehdr h;
	Elf64_Shdr s[6];

	buf_adds(&out, "before"); /* offsets count from where it starts */
	CHECK(kmod_strip(in, &out) == 0);
	const char *p = out.p + 6;
	memcpy(&h, p, sizeof(h));
	CHECK(h.e_shnum == 6 && h.e_shoff + sizeof(s) == out.n - 6);
	memcpy(s, p + h.e_shoff, sizeof(s));
	CHECK(s[1].sh_offset % 16 == 0 && memcmp(p + s[1].sh_offset, m.text, 16) == 0);
	CHECK(memcmp(p + s[3].sh_offset, m.rela_text, 24) == 0);
	CHECK(memcmp(p + s[5].sh_offset, m.names, 64) == 0);
	CHECK(s[2].sh_type == SHT_NULL && s[2].sh_size == 0 && s[4].sh_type == SHT_NULL);
	CHECK(!memmem(out.p, out.n, "types", 5) && !memmem(out.p, out.n, "~Module", 7));
}

/* Two calls, of which one is the tracer's, and lists of where they are. */
struct traced {
	Elf64_Ehdr header;
	Elf64_Shdr sections[7];
	char names[64], symbols_names[32];
	uint8_t text[16];
	char places[8], frames[8];
	Elf64_Rela rela[3];
	Elf64_Sym symbols[3];
};

static struct traced traced_of(uint16_t machine)
{
	struct traced m = {
		.header = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1 },
			    .e_type = ET_REL,
			    .e_machine = machine,
			    .e_shoff = offsetof(struct traced, sections),
			    .e_ehsize = sizeof(Elf64_Ehdr),
			    .e_shentsize = sizeof(Elf64_Shdr),
			    .e_shnum = 7,
			    .e_shstrndx = 6 },
		.names = "\0.text\0__mcount_loc\0.orc_unwind",
		.symbols_names = "\0__fentry__\0printk",
		.text = { 0xe8, 1, 2, 3, 4, 0x90, 0xe8, 5, 6, 7, 8 },
		.places = "places",
		.frames = "frames",
		.symbols = { {}, { .st_name = 1 }, { .st_name = 12 } },
		.rela = { { 1, ELF64_R_INFO(1, R_X86_64_PLT32), -4 },
			  { 7, ELF64_R_INFO(2, R_X86_64_PLT32), -4 },
			  { 13, ELF64_R_INFO(1, R_X86_64_PLT32), -4 } }, /* ends behind the text */
	};
	const Elf64_Shdr sections[7] = {
		{},
		{ .sh_name = 1,
		  .sh_type = SHT_PROGBITS,
		  .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
		  .sh_offset = offsetof(struct traced, text),
		  .sh_size = 16 },
		{ .sh_type = SHT_RELA,
		  .sh_link = 5,
		  .sh_info = 1,
		  .sh_offset = offsetof(struct traced, rela),
		  .sh_size = sizeof(m.rela) },
		{ .sh_name = 7,
		  .sh_type = SHT_PROGBITS,
		  .sh_flags = SHF_ALLOC,
		  .sh_offset = offsetof(struct traced, places),
		  .sh_size = 8 },
		{ .sh_name = 20,
		  .sh_type = SHT_PROGBITS,
		  .sh_flags = SHF_ALLOC,
		  .sh_offset = offsetof(struct traced, frames),
		  .sh_size = 8 },
		{ .sh_type = SHT_SYMTAB,
		  .sh_link = 6,
		  .sh_offset = offsetof(struct traced, symbols),
		  .sh_size = sizeof(m.symbols) },
		{ .sh_type = SHT_STRTAB,
		  .sh_offset = offsetof(struct traced, names),
		  .sh_size = sizeof(m.names) + sizeof(m.symbols_names) },
	};

	for (size_t i = 1; i < ARRAY_SIZE(m.symbols); i++)
		m.symbols[i].st_name += sizeof(m.names);
	memcpy(m.sections, sections, sizeof(sections));
	return m;
}

static void test_strip_tracing(void)
{
	static const uint8_t after[16] = { 0x0f, 0x1f, 0x44, 0, 0, 0x90, 0xe8, 5, 6, 7, 8 };

	for (int i = 0; i < 2; i++) {
		auto_buf struct buf out = BUF_INIT(1 << 16);
		struct traced m = traced_of(i ? EM_AARCH64 : EM_X86_64);
		Elf64_Ehdr h;
		Elf64_Shdr s[7];
		Elf64_Rela r[3];

		CHECK(kmod_strip((struct str){ (const char *) &m, sizeof(m) }, &out) == 0);
		memcpy(&h, out.p, sizeof(h));
		memcpy(s, out.p + h.e_shoff, sizeof(s));
		memcpy(r, out.p + s[2].sh_offset, sizeof(r));
		CHECK(memcmp(out.p + s[1].sh_offset, i ? m.text : after, 16) == 0);
		CHECK(s[3].sh_type == (i ? SHT_PROGBITS : SHT_NULL) &&
		      s[3].sh_type == s[4].sh_type);
		if (i == 0)
			m.rela[0].r_info = ELF64_R_INFO(1, R_X86_64_NONE);
		CHECK(memcmp(r, m.rela, sizeof(r)) == 0);
	}
}

static void test_strip_refuses(void)
{
	auto_buf struct buf out = BUF_INIT(1 << 16);
	struct object m = module_of();
	struct str in = { (const char *) &m, sizeof(m) };

	m.sections[1].sh_size = sizeof(m);
	CHECK(kmod_strip(in, &out) == -ENOEXEC);
	m = module_of();
	m.header.e_shoff = sizeof(m) - 8;
	CHECK(kmod_strip(in, &out) == -ENOEXEC);
	m = module_of();
	m.header.e_type = ET_EXEC;
	CHECK(kmod_strip(in, &out) == -ENOEXEC);
	m = module_of();
	m.sections[1].sh_addralign = 1 << 20;
	CHECK(kmod_strip(in, &out) == -ENOEXEC);
	CHECK(kmod_strip(STR("\x7f"
			     "ELF"),
			 &out) == -ENOEXEC);
	CHECK(out.n == 0);
}

int main(void)
{
	test_order();
	test_empty();
	test_strip();
	test_strip_tracing();
	test_strip_refuses();
	return test_done();
}
