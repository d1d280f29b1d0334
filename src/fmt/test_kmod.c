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
	test_strip_refuses();
	return test_done();
}
