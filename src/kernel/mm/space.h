/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An address space: what of a guest's addresses is mapped, to what, and which frames are there.
 * What the platform shows its processor is a cache of that: a page that is missing there faults and
 * is put in. Numbers of protection and of mmap are Linux's (asm-generic/mman.h), results its
 * errnos.
 *
 * `lock` is held by whoever changes mappings or resolves a fault, also across parks. Copying to and
 * from it (mm/uio.h) takes it only to fault.
 */
#pragma once

#include "kernel/core/list.h"
#include "kernel/core/radix.h"
#include "kernel/core/sched.h"
#include "kernel/core/tree.h"
#include "kernel/platform/platform.h"

struct dentry;
struct pager;
struct space;

enum vma_flags {
	VMA_SHARED = 1 << 0,	 /* writes are everybody's; else a copy of one's own */
	VMA_GROWSDOWN = 1 << 1,	 /* a stack: a fault below it makes it larger */
	VMA_LOCKED = 1 << 2,	 /* counts against RLIMIT_MEMLOCK, populated at once */
	VMA_DONTFORK = 1 << 3,	 /* MADV_DONTFORK */
	VMA_WIPEONFORK = 1 << 4, /* MADV_WIPEONFORK */
	VMA_READONLY = 1 << 5, /* the file was opened so: a shared mapping never becomes writable */
	VMA_DONTDUMP = 1 << 6, /* MADV_DONTDUMP */
};

/* [node.key, end): one protection, one source. */
struct vma {
	struct tree_node node;
	uint64_t end;
	struct space *space;
	unsigned int prot, flags;
	struct pager *pager;  /* NULL: anonymous memory of one's own */
	uint64_t first;	      /* the page of the pager at the start */
	unsigned int windows; /* that faults have brought */
	struct list of_pager; /* in the pager's mappings */
	struct dentry *name;  /* what maps tells of a file: owned; NULL: none */
};

static inline uint64_t vma_start(const struct vma *v)
{
	return v->node.key;
}

struct space_limits {
	uint64_t size, data, stack, locked; /* bytes: RLIMIT_AS, DATA, STACK, MEMLOCK */
	uint32_t mappings;		    /* vm.max_map_count */
	uint32_t pad;			    /* as in signal_stack */
};

struct space {
	struct plat_space *plat;
	struct tree vmas;
	struct radix pages; /* by number of the page: its frame, and how it is shown */
	struct sleeplock lock;
	unsigned int owners;
	struct space_limits limits;
	uint64_t top; /* mappings are placed below it */
	/* From `above` (0: nothing is known) to top no free place is longer than `longest`. */
	uint64_t above, longest;
	uint64_t brk_start, brk;
	unsigned int count;			 /* of vmas */
	uint64_t mapped, data, locked, resident; /* pages */
	bool starved; /* a system call got less of the guest's memory than there is: oom_kill() */
};

/* NULL: no memory. */
[[nodiscard]] struct space *space_new(const struct space_limits *limits);
void space_ref(struct space *s);
/* The last owner's ends it with all its mappings. */
void space_unref(struct space *s);
/*
 * What fork gives a child: private pages are shared until one side writes. Those that were written
 * to since the last fork are what both will soon write to again: of mappings with few of them they
 * are copied at once, `copies` at most, and neither side has to fault for them. NULL: no memory.
 */
[[nodiscard]] struct space *space_fork(struct space *s, unsigned int copies);

struct vma *space_find(const struct space *s, uint64_t at);  /* that holds it, or NULL */
struct vma *space_after(const struct space *s, uint64_t at); /* that holds it, or the next one */

/* When what is mapped will be touched. */
enum space_expected {
	EXPECTED_SOMETIME,
	EXPECTED_SOON, /* after other mappings, most likely: it comes with what they need */
	EXPECTED_NEXT,
};

struct space_mapping {
	uint64_t at, len; /* at: a wish unless `fixed`; len: bytes, rounded up here */
	unsigned int prot, flags;
	struct pager *pager; /* borrowed; the mapping refers to it */
	uint64_t offset;     /* bytes, of whole pages */
	struct dentry *name; /* borrowed */
	bool fixed, noreplace, populate;
	enum space_expected expected;
};

/* Where it is in *ret_at. -EINVAL, -ENOMEM, -EEXIST (noreplace), -EAGAIN (locked), -EACCES. */
[[nodiscard]] int space_map(struct space *s, const struct space_mapping *m, uint64_t *ret_at);
/* What is not mapped in between is no error. -EINVAL, -ENOMEM. */
[[nodiscard]] int space_unmap(struct space *s, uint64_t at, uint64_t len);
/* -ENOMEM where something is not mapped, -EACCES. */
[[nodiscard]] int space_protect(struct space *s, uint64_t at, uint64_t len, unsigned int prot);
/* flags: MREMAP_*; wish: the new address with MREMAP_FIXED. */
[[nodiscard]] int space_remap(struct space *s, uint64_t at, uint64_t old_len, uint64_t new_len,
			      unsigned int flags, uint64_t wish, uint64_t *ret_at);
/* MADV_DONTNEED and its kin; unknown advice is -EINVAL. */
[[nodiscard]] int space_advise(struct space *s, uint64_t at, uint64_t len, int advice);
/* Files that shared mappings in [from, end) show have what was written through them. May park; the
 * first error. */
[[nodiscard]] int space_sync(struct space *s, uint64_t from, uint64_t end);
/* The end of the heap after the wish, as brk(2) gives it: unchanged where it cannot be had. */
uint64_t space_brk(struct space *s, uint64_t wish);

enum space_fault {
	FAULT_DONE,
	FAULT_NOTHING, /* SEGV_MAPERR */
	FAULT_DENIED,  /* SEGV_ACCERR */
	FAULT_BEHIND,  /* SIGBUS: behind the end of the file, or it cannot be read */
	FAULT_MEMORY,  /* no memory: the killer's */
};

/* Makes the page there as access (plat_prot) needs it. May park. */
enum space_fault space_fault(struct space *s, uint64_t at, unsigned int access);
/* What is cached, or cheaply had, of the file that a private mapping shows in [from, to) is there
 * before it is touched; where it may be written to, as copies. -ENOMEM: less of it is. */
[[nodiscard]] int space_foresee(struct space *s, uint64_t from, uint64_t to);
/* The frame behind a page that the guest may access so, without faulting; FRAME_NONE: space_fault()
 * first. */
uint64_t space_frame(const struct space *s, uint64_t at, unsigned int access);

/* Pages [first, last) of the pager go out of every mapping of it. */
void space_forget(struct pager *p, uint64_t first, uint64_t last);
