/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a stub and the kernel agree on: where things stand in a stub's address space, and the words
 * that they exchange. Also read by the assembler.
 *
 * A stub is a process that serves as one guest address space. All below STUB_BASE is the guest's;
 * above it stand, at the same addresses in every stub:
 *
 *   code      read and executed: the same page in all stubs
 *   data      read: the filter that a guest's thread puts on itself
 *   vdso      read, executed: the host's own (vdso.c); what it calls is the guest's call
 *   orders    read; the kernel writes: what the stub's own thread has to do
 *   areas     read and written: one per thread of the guest, the stack of its signal handler
 *
 * A stub's first thread, the `hand`, maps and unmaps by orders, and makes threads. It uses
 * registers alone, so nothing that the guest writes changes what it does.
 */
#pragma once

#define STUB_BASE   0x7ffff0000000
#define STUB_DATA   0x7ffff0001000
#define STUB_ORDERS 0x7ffff0040000
#define STUB_AREAS  0x7ffff0100000
#define STUB_END    0x7ffffffff000

/* The vDSO, which its data stands below; and all the room for both. */
#define STUB_VDSO      0x7ffff0020000
#define STUB_VDSO_LOW  0x7ffff0010000
#define STUB_VDSO_HIGH 0x7ffff0030000

#define CHUNK_SIZE 0x4000 /* of orders, or of an area */

/* A doorbell: exit(2) with one of these words as its argument, which waits for the kernel's answer.
 * Answered with SECCOMP_USER_NOTIF_FLAG_CONTINUE it is what it says: the thread ends. */
#define DOOR_SOURCE 0x51 /* rsi: the pid of the last stub, or -errno */
#define DOOR_HAND   0x52 /* rsi: 0, a thread's number, or -errno; rdx: how many orders are left */
#define DOOR_BORN   0x53 /* rsi: the frame, rdx: 0 or the filter's -errno */
#define DOOR_UPCALL 0x54 /* rsi: the frame; rdx, r10: the bases of fs and gs; r8: the signal */

/* In the orders' chunk: two words that let a new stub and a new thread begin, then the orders: the
 * number of a system call and its six arguments. */
#define ORDERS_GO_HAND	 0
#define ORDERS_GO_THREAD 4
#define ORDERS_FIRST	 64
#define ORDER_SIZE	 56

/* In a frame, where siginfo was: the bases of fs and gs, which rt_sigreturn does not restore. */
#define FRAME_INFO    312
#define FRAME_FS_BASE 312
#define FRAME_GS_BASE 320

#define STUB_THREAD_FLAGS 0x50f00 /* VM, FS, FILES, SIGHAND, THREAD, SYSVSEM */
#define STUB_CHILD_FLAGS  0x8011  /* PARENT, SIGCHLD */
#define STUB_MAP_FLAGS	  0x11	  /* SHARED, FIXED */
