/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sections keep their numbers, so that nothing that names one by number (symbols, links,
 * relocations) has to change: what is dropped becomes a header of zeros, and what is kept moves
 * together. Of the sections that the kernel loads (SHF_ALLOC) it can do without two kinds: where
 * its unwinder finds frames, sorted anew at each loading, and where functions can be traced, each
 * looked up by name then. The calls that tracing would have turned into nothing are made so here.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "base/auto.h"
#include "base/le.h"
#include "base/num.h"
#include "fmt/kmod.h"

#define EHDR_N	     sizeof(Elf64_Ehdr)
#define SHDR_N	     sizeof(Elf64_Shdr)
#define ALIGN_MAX    4096
#define SECTIONS_MAX 4096

struct object {
	const uint8_t *p;
	uint64_t n;
	const uint8_t *sections;
	uint64_t sections_n;
	const char *names; /* NUL-terminated at its end */
	uint64_t names_n;
};

static const uint8_t *section(const struct object *m, uint64_t i)
{
	return m->sections + i * SHDR_N;
}

static uint32_t type_of(const uint8_t *s)
{
	return load_le32(s + offsetof(Elf64_Shdr, sh_type));
}

static bool has_bytes(const uint8_t *s)
{
	return type_of(s) != SHT_NULL && type_of(s) != SHT_NOBITS;
}

static bool read_object(struct str text, struct object *ret)
{
	struct object m = { .p = (const uint8_t *) text.p, .n = text.n };

	if (m.n < EHDR_N || memcmp(m.p, ELFMAG, SELFMAG) != 0 || m.p[EI_CLASS] != ELFCLASS64 ||
	    m.p[EI_DATA] != ELFDATA2LSB ||
	    load_le16(m.p + offsetof(Elf64_Ehdr, e_type)) != ET_REL ||
	    load_le16(m.p + offsetof(Elf64_Ehdr, e_phnum)) != 0 ||
	    load_le16(m.p + offsetof(Elf64_Ehdr, e_ehsize)) != EHDR_N ||
	    load_le16(m.p + offsetof(Elf64_Ehdr, e_shentsize)) != SHDR_N)
		return false;
	uint64_t at = load_le64(m.p + offsetof(Elf64_Ehdr, e_shoff));
	uint64_t names = load_le16(m.p + offsetof(Elf64_Ehdr, e_shstrndx));
	m.sections_n = load_le16(m.p + offsetof(Elf64_Ehdr, e_shnum));
	if (m.sections_n == 0 || m.sections_n > SECTIONS_MAX || names >= m.sections_n ||
	    !range_in(at, m.sections_n * SHDR_N, m.n))
		return false;
	m.sections = m.p + at;
	for (uint64_t i = 0; i < m.sections_n; i++) {
		const uint8_t *s = section(&m, i);

		if (has_bytes(s) && (!range_in(load_le64(s + offsetof(Elf64_Shdr, sh_offset)),
					       load_le64(s + offsetof(Elf64_Shdr, sh_size)), m.n) ||
				     load_le64(s + offsetof(Elf64_Shdr, sh_addralign)) > ALIGN_MAX))
			return false;
	}
	const uint8_t *s = section(&m, names);
	m.names_n = load_le64(s + offsetof(Elf64_Shdr, sh_size));
	if (type_of(s) != SHT_STRTAB || m.names_n == 0)
		return false;
	m.names = (const char *) m.p + load_le64(s + offsetof(Elf64_Shdr, sh_offset));
	if (m.names[m.names_n - 1] != '\0')
		return false;
	*ret = m;
	return true;
}

static bool is_x86_64(const struct object *m)
{
	return load_le16(m->p + offsetof(Elf64_Ehdr, e_machine)) == EM_X86_64;
}

static bool is_debug(const struct object *m, const uint8_t *s)
{
	static const struct {
		const char *prefix;
		bool loaded;
	} known[] = { { ".debug_", false },
		      { ".BTF", false },
		      { ".comment", false },
		      { ".orc_", true },
		      { "__mcount_loc", true } };
	uint64_t name = load_le32(s + offsetof(Elf64_Shdr, sh_name));
	bool loaded = load_le64(s + offsetof(Elf64_Shdr, sh_flags)) & SHF_ALLOC;

	if (type_of(s) != SHT_PROGBITS || (loaded && !is_x86_64(m)) || name >= m->names_n)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (loaded == known[i].loaded &&
		    strncmp(m->names + name, known[i].prefix, strlen(known[i].prefix)) == 0)
			return true;
	return false;
}

static bool is_dropped(const struct object *m, uint64_t i)
{
	const uint8_t *s = section(m, i);

	if (type_of(s) == SHT_RELA || type_of(s) == SHT_REL) {
		uint64_t of = load_le32(s + offsetof(Elf64_Shdr, sh_info));

		return of < m->sections_n && is_debug(m, section(m, of));
	}
	return is_debug(m, s);
}

static void pad(struct buf *b, size_t from, uint64_t align)
{
	while (buf_ok(b) && (b->n - from) % align)
		buf_addc(b, '\0');
}

/* The file's bytes of that section, when it is of that type. */
static bool section_of(const struct object *m, uint64_t i, uint32_t type, uint64_t *ret_at,
		       uint64_t *ret_n)
{
	const uint8_t *s = i < m->sections_n ? section(m, i) : NULL;

	if (!s || type_of(s) != type)
		return false;
	*ret_at = load_le64(s + offsetof(Elf64_Shdr, sh_offset));
	*ret_n = load_le64(s + offsetof(Elf64_Shdr, sh_size));
	return true;
}

/* Whether a symbol has the name of what functions call at their start to be traced. */
static bool is_tracer(const struct object *m, uint64_t symtab, uint64_t i)
{
	static const char tracer[] = "__fentry__";
	uint64_t at, n, names, names_n, name;

	if (!section_of(m, symtab, SHT_SYMTAB, &at, &n) || i >= n / sizeof(Elf64_Sym) ||
	    !section_of(m, load_le32(section(m, symtab) + offsetof(Elf64_Shdr, sh_link)),
			SHT_STRTAB, &names, &names_n))
		return false;
	name = load_le32(m->p + at + i * sizeof(Elf64_Sym) + offsetof(Elf64_Sym, st_name));
	return range_in(name, sizeof(tracer), names_n) &&
	       memcmp(m->p + names + name, tracer, sizeof(tracer)) == 0;
}

/* In place, in an object that was read from `to`: calls of the tracer become a nop of their size.
 */
static void drop_calls(const struct object *m, uint8_t *to, uint64_t relocations)
{
	static const uint8_t nop[5] = { 0x0f, 0x1f, 0x44, 0x00, 0x00 };
	const uint8_t *s = section(m, relocations);
	uint64_t symtab = load_le32(s + offsetof(Elf64_Shdr, sh_link));
	uint64_t target = load_le32(s + offsetof(Elf64_Shdr, sh_info));
	uint64_t code, code_n, at, n;

	if (!section_of(m, relocations, SHT_RELA, &at, &n) ||
	    !section_of(m, target, SHT_PROGBITS, &code, &code_n) ||
	    !(load_le64(section(m, target) + offsetof(Elf64_Shdr, sh_flags)) & SHF_EXECINSTR))
		return;
	for (; n >= sizeof(Elf64_Rela); at += sizeof(Elf64_Rela), n -= sizeof(Elf64_Rela)) {
		uint64_t where = load_le64(to + at + offsetof(Elf64_Rela, r_offset));
		uint64_t info = load_le64(to + at + offsetof(Elf64_Rela, r_info));
		uint64_t type = ELF64_R_TYPE(info);

		if ((type != R_X86_64_PLT32 && type != R_X86_64_PC32) || where == 0 ||
		    !range_in(where - 1, sizeof(nop), code_n) || to[code + where - 1] != 0xe8 ||
		    !is_tracer(m, symtab, ELF64_R_SYM(info)))
			continue;
		memcpy(to + code + where - 1, nop, sizeof(nop));
		store_le64(to + at + offsetof(Elf64_Rela, r_info),
			   ELF64_R_INFO(ELF64_R_SYM(info), R_X86_64_NONE));
	}
}

int kmod_strip(struct str module, struct buf *ret)
{
	auto_buf struct buf headers = BUF_INIT(SECTIONS_MAX * SHDR_N);
	uint8_t header[EHDR_N];
	struct object m;
	size_t from = ret->n;

	if (!read_object(module, &m))
		return -ENOEXEC;
	memcpy(header, m.p, EHDR_N);
	buf_add(ret, header, EHDR_N);
	for (uint64_t i = 0; i < m.sections_n; i++) {
		uint8_t s[SHDR_N] = {};

		if (!is_dropped(&m, i))
			memcpy(s, section(&m, i), SHDR_N);
		if (has_bytes(s)) {
			uint64_t align = load_le64(s + offsetof(Elf64_Shdr, sh_addralign));

			pad(ret, from, align ? align : 1);
			uint64_t at = load_le64(s + offsetof(Elf64_Shdr, sh_offset));
			store_le64(s + offsetof(Elf64_Shdr, sh_offset), ret->n - from);
			buf_add(ret, m.p + at, load_le64(s + offsetof(Elf64_Shdr, sh_size)));
		}
		buf_add(&headers, s, SHDR_N);
	}
	pad(ret, from, 8);
	store_le64(header + offsetof(Elf64_Ehdr, e_shoff), ret->n - from);
	buf_addstr(ret, buf_str(&headers));
	if (!buf_ok(ret) || !buf_ok(&headers))
		return -ENOMEM;
	memcpy(ret->p + from, header, EHDR_N);
	if (is_x86_64(&m) && read_object((struct str){ ret->p + from, ret->n - from }, &m))
		for (uint64_t i = 0; i < m.sections_n; i++)
			drop_calls(&m, (uint8_t *) ret->p + from, i);
	return 0;
}
