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
 *   areas     read and written: one per thread of the guest: its gate (gate.c), the stack of its
 *             signal handler
 *
 * And below what is the guest's, where 32 bits of an instruction reach it:
 *
 *   sites     read, executed; the kernel writes: what stands in place of calls (patch.c)
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

#define CHUNK_SIZE 0x4000 /* of orders, of an area, of sites */

/* The third byte of an address in it is 06, which is no instruction: patch.c. */
#define STUB_SITES 0x60000
/* In it: whether no gate is to be entered, and where the gates' code is; then the sites. */
#define SITES_CLOSED 0
#define SITES_GATE   8
#define SITE_SIZE    96

/* In an area: floating point that is given, the gate, and the stack from here on. */
#define AREA_GATE  0x1d00
#define AREA_STACK 0x2000

/* A doorbell: exit(2) with one of these words as its argument, which waits for the kernel's answer.
 * Answered with SECCOMP_USER_NOTIF_FLAG_CONTINUE it is what it says: the thread ends. */
#define DOOR_SOURCE 0x51 /* rsi: the pid of the last stub, or -errno */
#define DOOR_HAND   0x52 /* rsi: 0, a thread's number, or -errno; rdx: how many orders are left */
#define DOOR_BORN   0x53 /* rsi: the frame, rdx: 0 or the filter's -errno */
#define DOOR_UPCALL 0x54 /* rsi: the frame; rdx, r10: the bases of fs and gs; r8: the signal */
#define DOOR_GATE   0x55 /* a call stands in the thread's gate */

/* How DOOR_BORN and DOOR_UPCALL are answered. */
#define UP_BACK	 0 /* the frame is to be returned from */
#define UP_BASES 1 /* and has new bases of fs and gs */
#define UP_TOLD	 2 /* the answer stands in the gate */

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

/* In a gate, to which the base of gs points: the call, and its number in a row; */
#define GATE_SEQ 0
#define GATE_AX	 8
#define GATE_DI	 16
#define GATE_SI	 24
#define GATE_DX	 32
#define GATE_R10 40
#define GATE_R8	 48
#define GATE_R9	 56
/* the kernel's answer: to which call, with what, how often it may be looked for, whether floating
 * point is wanted before it; */
#define GATE_DONE   64
#define GATE_FULL   68
#define GATE_SPIN   72
#define GATE_ASK    76
#define GATE_RESULT 80
/* and the other registers. */
#define GATE_IP	   128
#define GATE_SP	   136
#define GATE_FLAGS 144
#define GATE_FS	   152
#define GATE_BX	   160
#define GATE_BP	   168
#define GATE_R12   176
#define GATE_R13   184
#define GATE_R14   192
#define GATE_R15   200
#define GATE_R11   208
#define GATE_CX	   216

/* The handler's own part, in the gate of the area that its stack is in: its number in a row, what
 * DOOR_UPCALL tells; */
#define GATE_UP_SEQ    256
#define GATE_UP_FRAME  264
#define GATE_UP_FS     272
#define GATE_UP_GS     280
#define GATE_UP_SIGNAL 288
/* the kernel's answer: to which, and as that door is answered. */
#define GATE_UP_DONE   320
#define GATE_UP_RESULT 324

/* Where the thread's table of names is, or 0: records of 128 bytes, by the hash of the text: the
 * error that readlink(2) gives, or 0; the length of the text; and that. */
#define GATE_NAMES  328
#define NAME_SIZE   128
#define NAME_ERROR  0
#define NAME_LENGTH 4
#define NAME_TEXT   8
#define NAME_ROOM   (NAME_SIZE - NAME_TEXT)
#define NAMES	    128 /* of one chunk */
#define NAME_HASH   0x9e3779b1
#define NAME_SHIFT  25

/* Answers that are known, where the last five bits of a call's number say: a pair of words, the
 * number, negative, and the answer. None: a number that does not belong there. */
#define GATE_KNOWN  512
#define KNOWN_SLOTS 32

/* GATE_FULL: but the result all registers, and floating point, which stands where the area begins.
 */
#define FULL_REGS  1
#define FULL_FP	   2
#define FULL_FIRST 3 /* as a program begins */
/* All that a processor has of that, but what no stub uses: AMX's tiles. */
#define FP_LOW	0xfffbffff
#define FP_HIGH 0x7fffffff

#define STUB_THREAD_FLAGS 0x50f00 /* VM, FS, FILES, SIGHAND, THREAD, SYSVSEM */
#define STUB_CHILD_FLAGS  0x8011  /* PARENT, SIGCHLD */
#define STUB_MAP_FLAGS	  0x11	  /* SHARED, FIXED */
