/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate (gate.c), a part of the stub's code: where what stands in place of a call (patch.c) comes
 * to. rcx: where the guest goes on; all else is the guest's, as at its syscall instruction. Of all
 * that, rcx and r11 alone are lost by a call, and nothing of the guest's memory is written to. Its
 * flags are kept on no stack but the gate itself.
 */
stub_gate:
	mov	%rcx, %gs:GATE_IP
	/* Flags are the guest's still, and stay so where the answer is known: lea and jrcxz alone. */
	lea	(,%rax,8), %ecx
	movzbl	%cl, %r11d
	mov	%gs:GATE_KNOWN(%r11), %ecx
	lea	(%rcx,%rax), %ecx
	jrcxz	1f
	jmp	2f
1:	mov	%gs:GATE_KNOWN + 4(%r11), %eax
stub_gate_known:
	mov	%gs:GATE_IP, %rcx
	jmp	*%rcx
2:
stub_gate_asks:
	mov	%rax, %gs:GATE_AX
	mov	%rdi, %gs:GATE_DI
	mov	%rsi, %gs:GATE_SI
	mov	%rdx, %gs:GATE_DX
	mov	%r10, %gs:GATE_R10
	mov	%r8, %gs:GATE_R8
	mov	%r9, %gs:GATE_R9
	mov	%rbx, %gs:GATE_BX
	mov	%rbp, %gs:GATE_BP
	mov	%r12, %gs:GATE_R12
	mov	%r13, %gs:GATE_R13
	mov	%r14, %gs:GATE_R14
	mov	%r15, %gs:GATE_R15
	mov	%rsp, %gs:GATE_SP
stub_gate_saved:
	rdgsbase %rsp
	lea	GATE_FLAGS + 8(%rsp), %rsp
	pushfq
	mov	%gs:GATE_SP, %rsp
	rdfsbase %rcx
	mov	%rcx, %gs:GATE_FS
	/* clone, fork, vfork, clone3: floating point is what the child begins with. The flags are the
	 * gate's from here on. */
stub_gate_flagged:
	lea	-__NR_clone(%rax), %ecx
	cmp	$__NR_vfork - __NR_clone, %ecx
	jbe	7f
	cmp	$__NR_clone3, %eax
	jne	8f
7:	rdgsbase %rdi
	sub	$AREA_GATE, %rdi
	mov	$FP_LOW, %eax
	mov	$FP_HIGH, %edx
	xsave64	(%rdi)
	mov	%gs:GATE_DX, %rdx
8:	cmp	$__NR_readlink, %eax
	jne	stub_gate_unnamed
	/* Of a name: rdi, room in edx. What is done here is done anew, or by the kernel, whatever comes
	 * between: names.c. */
	test	%edx, %edx
	jle	stub_gate_unnamed
	mov	%gs:GATE_NAMES, %rdx
	test	%rdx, %rdx
	jz	9f
	xor	%ecx, %ecx
	xor	%r11d, %r11d
stub_gate_names:
1:	movzbl	(%rdi, %rcx), %eax
	test	%al, %al
	jz	2f
	imul	$31, %r11d, %r11d
	add	%eax, %r11d
	inc	%ecx
	cmp	$NAME_ROOM, %ecx
	jb	1b
	jmp	9f
2:	imul	$NAME_HASH, %r11d, %eax
	shr	$NAME_SHIFT, %eax
	imul	$NAME_SIZE, %eax, %eax
	add	%rdx, %rax
	cmp	%ecx, NAME_LENGTH(%rax)
	jne	9f
3:	dec	%ecx
	js	4f
	movzbl	(%rdi, %rcx), %edx
	cmp	%dl, NAME_TEXT(%rax, %rcx)
	je	3b
	jmp	9f
	/* Last: it is taken away before what it says is no longer so. */
4:	movslq	NAME_ERROR(%rax), %rax
	test	%eax, %eax
	jz	9f
	mov	%rax, %gs:GATE_RESULT
	mov	%gs:GATE_DX, %rdx
	rdgsbase %rsp
	lea	GATE_FLAGS(%rsp), %rsp
	popfq
	mov	%gs:GATE_SP, %rsp
	mov	%gs:GATE_FLAGS, %r11
	mov	%gs:GATE_RESULT, %rax
	mov	%gs:GATE_IP, %rcx
	jmp	*%rcx
9:	mov	%gs:GATE_DX, %rdx
stub_gate_unnamed:
	mov	%gs:GATE_SEQ, %ecx
	lea	1(%rcx), %ecx
	mov	%ecx, %r11d
	/* Before GATE_SPIN is read: the kernel clears that, and then looks for a call once more. */
	xchg	%ecx, %gs:GATE_SEQ
stub_gate_called:
	mov	%gs:GATE_SPIN, %ecx
1:	cmp	%gs:GATE_DONE, %r11d
	je	3f
	cmpl	$0, %gs:GATE_ASK
	jne	6f
	cmpl	$0, %gs:GATE_SPIN
	je	2f
	pause
	dec	%ecx
	jg	1b
2:	mov	$__NR_exit, %eax
	mov	$DOOR_GATE, %edi
	syscall
stub_gate_site:
	mov	%gs:GATE_SEQ, %r11d
	cmp	%gs:GATE_DONE, %r11d
	je	3f
	cmpl	$0, %gs:GATE_ASK
	jne	6f
	jmp	2b
3:	cmpl	$0, %gs:GATE_FULL
	jne	4f
	mov	%gs:GATE_DI, %rdi
	rdgsbase %rsp
	lea	GATE_FLAGS(%rsp), %rsp
	popfq
	mov	%gs:GATE_SP, %rsp
	mov	%gs:GATE_FLAGS, %r11
	mov	%gs:GATE_RESULT, %rax
	mov	%gs:GATE_IP, %rcx
	jmp	*%rcx
4:	cmpl	$FULL_FP, %gs:GATE_FULL
	jb	5f
	rdgsbase %rdi
	sub	$AREA_GATE, %rdi
	mov	$FP_LOW, %eax
	mov	$FP_HIGH, %edx
	xrstor64 (%rdi)
5:	mov	%gs:GATE_FS, %rax
	wrfsbase %rax
	rdgsbase %rsp
	lea	GATE_FLAGS(%rsp), %rsp
	popfq
	mov	%gs:GATE_SP, %rsp
	mov	%gs:GATE_DI, %rdi
	mov	%gs:GATE_SI, %rsi
	mov	%gs:GATE_DX, %rdx
	mov	%gs:GATE_R10, %r10
	mov	%gs:GATE_R8, %r8
	mov	%gs:GATE_R9, %r9
	mov	%gs:GATE_BX, %rbx
	mov	%gs:GATE_BP, %rbp
	mov	%gs:GATE_R12, %r12
	mov	%gs:GATE_R13, %r13
	mov	%gs:GATE_R14, %r14
	mov	%gs:GATE_R15, %r15
	mov	%gs:GATE_R11, %r11
	mov	%gs:GATE_CX, %rcx
	mov	%gs:GATE_AX, %rax
	jmp	*%gs:GATE_IP
6:	rdgsbase %rdi
	sub	$AREA_GATE, %rdi
	mov	$FP_LOW, %eax
	mov	$FP_HIGH, %edx
	xsave64	(%rdi)
	mov	%gs:GATE_DX, %rdx
	xor	%ecx, %ecx
	/* Before GATE_SPIN is read, as above. */
	xchg	%ecx, %gs:GATE_ASK
	jmp	stub_gate_called
stub_gate_end:
