/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/boot.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/le.h"
#include "vmm/generation.h"
#include "vmm/kernel.h"
#include "vmm/layout.h"

#define START_MAGIC   0x336ec578 /* XEN_HVM_START_MAGIC_VALUE */
#define START_BYTES   56
#define MODULE_BYTES  32
#define MEMORY_BYTES  24
#define E820_RAM      1
#define E820_RESERVED 2
#define PAGE	      4096

static int too_big(struct err *e)
{
	return err_set(e, ERR_INVALID, ENOMEM, "does not fit into the guest's memory");
}

/* At the top of low memory, where it is out of the kernel's way. */
static int load_initrd(int fd, struct ram *r, uint64_t from, uint64_t *ret_at, uint64_t *ret_n,
		       struct err *e)
{
	struct stat st;
	uint64_t n, at, done = 0;
	uint8_t *to;

	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "cannot be read");
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, EINVAL, "is no regular file");
	n = (uint64_t) st.st_size;
	if (n > ram_low_end(r) - LAYOUT_KERNEL_MIN)
		return too_big(e);
	at = (ram_low_end(r) - n) & ~(uint64_t) (PAGE - 1);
	if (at < from)
		return too_big(e);
	to = n ? guest_memory_at(&r->memory, at, n) : NULL;
	if (n && !to)
		return too_big(e);
	while (done < n) {
		ssize_t got = pread(fd, to + done, n - done, (off_t) done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_sys(e, errno, "cannot be read");
		if (got == 0) /* it was cut since */
			break;
		done += (uint64_t) got;
	}
	*ret_at = at;
	*ret_n = done;
	return 0;
}

static void add_range(char *map, uint32_t *n, uint64_t at, uint64_t bytes, uint32_t type)
{
	char *entry = map + *n * MEMORY_BYTES;

	store_le64(entry, at);
	store_le64(entry + 8, bytes);
	store_le32(entry + 16, type);
	(*n)++;
}

static uint32_t put_memory_map(const struct ram *r, char *map)
{
	uint32_t n = 0;

	add_range(map, &n, 0, LAYOUT_LOW_END, E820_RAM);
	add_range(map, &n, LAYOUT_ACPI, LAYOUT_ACPI_BYTES, E820_RESERVED);
	add_range(map, &n, LAYOUT_KERNEL_MIN, ram_low_end(r) - LAYOUT_KERNEL_MIN, E820_RAM);
	add_range(map, &n, LAYOUT_ECAM, LAYOUT_ECAM_BYTES, E820_RESERVED);
	for (size_t i = 1; i < r->memory.regions_n; i++)
		add_range(map, &n, r->memory.regions[i].gpa, r->memory.regions[i].size, E820_RAM);
	return n;
}

/* Low memory is there, whatever the guest's size. */
static char *low(struct ram *r, uint64_t at)
{
	return (char *) r->map + at;
}

static int put_acpi(const struct acpi_config *c, struct ram *r, uint64_t *ret_rsdp, struct err *e)
{
	auto_buf struct buf tables = BUF_INIT(LAYOUT_TABLES_BYTES);

	acpi_build(c, LAYOUT_ACPI, &tables, ret_rsdp);
	if (!buf_ok(&tables))
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory for the tables of ACPI");
	memcpy(low(r, LAYOUT_ACPI), tables.p, tables.n);
	return 0;
}

int boot_load(const struct boot *b, struct ram *r, uint32_t *ret_entry, struct err *e)
{
	char *start = low(r, LAYOUT_START_INFO), *module = start + 64;
	uint64_t initrd = 0, initrd_n = 0, rsdp = 0;
	struct kernel k;

	if (kernel_load(b->kernel_fd, &r->memory, &k, e) < 0)
		return err_ctx(e, "--kernel");
	if (b->initrd_fd >= 0 && load_initrd(b->initrd_fd, r, k.end, &initrd, &initrd_n, e) < 0)
		return -1;
	if (put_acpi(&b->acpi, r, &rsdp, e) < 0)
		return -1;
	memcpy(low(r, LAYOUT_APPEND), b->append, strlen(b->append) + 1);

	memset(start, 0, 64 + MODULE_BYTES);
	static_assert(START_BYTES <= 64, "the list of modules stands behind it");
	store_le32(start, START_MAGIC);
	store_le32(start + 4, 1); /* version */
	store_le32(start + 12, initrd_n ? 1 : 0);
	store_le64(start + 16, LAYOUT_START_INFO + 64);
	store_le64(start + 24, LAYOUT_APPEND);
	store_le64(start + 32, rsdp);
	store_le64(start + 40, LAYOUT_MEMORY_MAP);
	store_le32(start + 48, put_memory_map(r, low(r, LAYOUT_MEMORY_MAP)));
	store_le64(module, initrd);
	store_le64(module + 8, initrd_n);
	*ret_entry = k.entry;
	return generation_renew(&r->memory, e);
}
