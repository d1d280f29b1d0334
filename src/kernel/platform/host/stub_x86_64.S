/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The code of stubs, copied to STUB_BASE. layout.h says what stands where. From stub_own_begin to
 * stub_own_end it is run by threads that no guest has touched, and uses registers alone; the three
 * calls after that are all that a guest's thread may make itself (filter.c).
 */
#include <asm/unistd_64.h>

#include "kernel/platform/host/layout.h"

#define FUTEX_WAIT 0
#define FUTEX_WAKE 1

	.section .rodata.stub, "a", @progbits
	.balign 64
	.globl	stub_begin, stub_end, stub_own_begin, stub_own_end
	.globl	stub_source, stub_handler, stub_door_site, stub_sigreturn_site
	.globl	stub_gate_known, stub_gate_asks
	.hidden	stub_gate_known, stub_gate_asks
	.globl	stub_gate, stub_gate_saved, stub_gate_flagged, stub_gate_called, stub_gate_site, stub_gate_end
	.globl	stub_gate_names, stub_gate_unnamed
	.hidden	stub_gate_names, stub_gate_unnamed
	.hidden	stub_gate, stub_gate_saved, stub_gate_flagged, stub_gate_called, stub_gate_site, stub_gate_end
	.hidden	stub_begin, stub_end, stub_own_begin, stub_own_end
	.hidden	stub_source, stub_handler, stub_door_site, stub_sigreturn_site
stub_begin:
stub_own_begin:

/*
 * The source, from which stubs are forked. rdi: a word that the kernel waits for; rsi < rdx: the two
 * descriptors that stay, of the frames and of the chunks; r8: the latter. The table of descriptors is
 * the kernel's until unshare().
 */
stub_source:
	mov	%rsi, %r12
	mov	%rdx, %r13
	mov	%r8, %rbp
	mov	$__NR_futex, %eax
	mov	$FUTEX_WAKE, %esi
	mov	$1, %edx
	xor	%r10d, %r10d
	syscall
	mov	$__NR_unshare, %eax
	mov	$0x400, %edi			/* CLONE_FILES */
	syscall
	test	%rax, %rax
	jnz	leave
	xor	%edi, %edi
	lea	-1(%r12), %rsi
	mov	$__NR_close_range, %eax
	xor	%edx, %edx
	syscall
	lea	1(%r12), %rdi
	lea	-1(%r13), %rsi
	cmp	%rdi, %rsi
	jb	1f
	mov	$__NR_close_range, %eax
	xor	%edx, %edx
	syscall
1:	lea	1(%r13), %rdi
	mov	$-1, %esi
	mov	$__NR_close_range, %eax
	xor	%edx, %edx
	syscall
	test	%rax, %rax
	jnz	leave
	/* Nothing but the stub's own pages stays. */
	xor	%edi, %edi
	movabs	$STUB_BASE, %rsi
	mov	$__NR_munmap, %eax
	syscall
	test	%rax, %rax
	jnz	leave
	movabs	$STUB_ORDERS, %rdi
	movabs	$(STUB_END - STUB_ORDERS), %rsi
	mov	$__NR_munmap, %eax
	syscall
	test	%rax, %rax
	jnz	leave
	xor	%r14d, %r14d
next_stub:
	mov	$__NR_exit, %eax
	mov	$DOOR_SOURCE, %edi
	mov	%r14, %rsi
	syscall
	test	%rax, %rax			/* where the new stub's orders are among the chunks */
	jle	leave
	mov	%rax, %r15
	mov	$__NR_clone, %eax
	mov	$STUB_CHILD_FLAGS, %edi
	xor	%esi, %esi
	xor	%edx, %edx
	xor	%r10d, %r10d
	xor	%r8d, %r8d
	syscall
	mov	%rax, %r14
	test	%rax, %rax
	jnz	next_stub

/* A new stub. It waits until the kernel knows its number. */
	mov	$__NR_prctl, %eax
	mov	$1, %edi			/* PR_SET_PDEATHSIG */
	mov	$9, %esi
	xor	%edx, %edx
	xor	%r10d, %r10d
	xor	%r8d, %r8d
	syscall
	test	%rax, %rax
	jnz	leave
	movabs	$STUB_ORDERS, %rdi
	mov	$CHUNK_SIZE, %esi
	mov	$1, %edx			/* PROT_READ */
	mov	$STUB_MAP_FLAGS, %r10d
	mov	%rbp, %r8
	mov	%r15, %r9
	mov	$__NR_mmap, %eax
	syscall
	movabs	$STUB_ORDERS, %rbx
	cmp	%rbx, %rax
	jne	leave
1:	cmpl	$0, ORDERS_GO_HAND(%rbx)
	jne	hand
	lea	ORDERS_GO_HAND(%rbx), %rdi
	mov	$FUTEX_WAIT, %esi
	xor	%edx, %edx
	xor	%r10d, %r10d
	mov	$__NR_futex, %eax
	syscall
	jmp	1b

/* The hand. rbx: the orders. */
hand:
	xor	%r13d, %r13d
	xor	%r14d, %r14d
1:	mov	$__NR_exit, %eax
	mov	$DOOR_HAND, %edi
	mov	%r14, %rsi
	mov	%r13, %rdx
	syscall
	test	%rax, %rax			/* how many orders there are */
	jle	leave
	mov	%rax, %r13
	lea	ORDERS_FIRST(%rbx), %r12
	xor	%r14d, %r14d
2:	mov	(%r12), %rax
	mov	8(%r12), %rdi
	mov	16(%r12), %rsi
	mov	24(%r12), %rdx
	mov	32(%r12), %r10
	mov	40(%r12), %r8
	mov	48(%r12), %r9
	cmp	$__NR_clone, %rax
	je	4f
	syscall
	cmp	$-4095, %rax
	jae	3f
	add	$ORDER_SIZE, %r12
	dec	%r13
	jnz	2b
	jmp	1b
3:	mov	%rax, %r14
	jmp	1b
4:	mov	%r9, %r15			/* what lets the thread begin */
	syscall
	mov	%rax, %r14
	test	%rax, %rax
	js	1b
	jz	5f
	dec	%r13
	jmp	1b

/* A new thread. rsp: its frame. It waits until the kernel knows its number. */
5:	mov	ORDERS_GO_THREAD(%rbx), %edx
	cmp	%r15d, %edx
	je	6f
	lea	ORDERS_GO_THREAD(%rbx), %rdi
	mov	$FUTEX_WAIT, %esi
	xor	%r10d, %r10d
	mov	$__NR_futex, %eax
	syscall
	jmp	5b
6:	mov	$__NR_seccomp, %eax
	mov	$1, %edi			/* SECCOMP_SET_MODE_FILTER */
	xor	%esi, %esi
	movabs	$STUB_DATA, %rdx
	syscall
	mov	%rax, %rdx
	mov	%rsp, %rsi
	mov	$DOOR_BORN, %edi
	jmp	door

leave:
	mov	$__NR_exit_group, %eax
	mov	$1, %edi
	syscall
	ud2
stub_own_end:

/*
 * The handler of all signals. rdi: which; rsp: the frame, which the kernel reads and writes. It tells
 * of itself as the gate does of a call; rbx: the gate, rbp: its number in a row.
 */
stub_handler:
	mov	%rdi, %r8
	rdfsbase %rdx
	rdgsbase %r10
	mov	%rsp, %rsi
	mov	%rsp, %rbx
	and	$-CHUNK_SIZE, %rbx
	add	$AREA_GATE, %rbx
	mov	%rsi, GATE_UP_FRAME(%rbx)
	mov	%rdx, GATE_UP_FS(%rbx)
	mov	%r10, GATE_UP_GS(%rbx)
	mov	%r8, GATE_UP_SIGNAL(%rbx)
	mov	GATE_UP_SEQ(%rbx), %ebp
	inc	%ebp
	mov	%ebp, %ecx
	/* Before GATE_SPIN is read, as in the gate. */
	xchg	%ecx, GATE_UP_SEQ(%rbx)
	mov	GATE_SPIN(%rbx), %ecx
1:	cmp	%ebp, GATE_UP_DONE(%rbx)
	je	3f
	cmpl	$0, GATE_SPIN(%rbx)
	je	2f
	pause
	dec	%ecx
	jg	1b
2:	mov	$DOOR_UPCALL, %edi
door:
	mov	$__NR_exit, %eax
	syscall
stub_door_site:
	test	%rax, %rax
	jz	5f
	js	6f
	cmp	$UP_TOLD, %rax
	jne	4f
3:	cmpl	$UP_BACK, GATE_UP_RESULT(%rbx)
	je	5f
4:	mov	FRAME_FS_BASE(%rsp), %rax
	wrfsbase %rax
	mov	FRAME_GS_BASE(%rsp), %rax
	wrgsbase %rax
5:	add	$8, %rsp
	mov	$__NR_rt_sigreturn, %eax
	syscall
stub_sigreturn_site:
6:	ud2

#include "kernel/platform/host/gate_x86_64.S"
stub_end:
	.section .note.GNU-stack, "", @progbits
