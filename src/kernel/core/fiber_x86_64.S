/* SPDX-License-Identifier: Apache-2.0 */
/*
 * void fiber_swap(void **save_sp, void *sp): the callee-saved registers of the System V ABI on the
 * old stack, its pointer in *save_sp, the same from the new one. MXCSR and the x87 control word are
 * never changed by the kernel.
 */
	.text
	.globl	fiber_swap
	.hidden	fiber_swap
	.type	fiber_swap, @function
fiber_swap:
	endbr64
	push	%rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rsp, (%rdi)
	mov	%rsi, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	ret
	.size	fiber_swap, . - fiber_swap

/* Where a new fiber begins: r12 is what it calls, r13 what with. */
	.globl	fiber_begin
	.hidden	fiber_begin
	.type	fiber_begin, @function
fiber_begin:
	endbr64
	xor	%ebp, %ebp
	mov	%r13, %rdi
	call	*%r12
	ud2
	.size	fiber_begin, . - fiber_begin
	.section .note.GNU-stack, "", @progbits
