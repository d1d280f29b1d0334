/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames: the pages of the guest's RAM. A buddy system gives runs of a power of two, so that what
 * is near in an address space is near in the RAM and one mapping of the platform covers it; from
 * then on each frame counts its owners alone. What is given is zero. Large pieces that come free go
 * back to the platform. The budget is what the sandbox's memory limit leaves; when it is spent
 * FRAME_NONE is given and the guest gets ENOMEM, or its killer comes (task/).
 */
#pragma once

#include "kernel/core/types.h"

#define FRAME_NONE  UINT64_MAX
#define FRAME_ORDER 9 /* the largest run: 2 MiB */

/* Once, before anything else of mm: RAM of the platform's size, of which `budget` may be in use. */
[[nodiscard]] int frame_init(uint64_t budget);
void frame_fini(void);

/* 1 << order frames in a row, one owner each; the first one's number. */
uint64_t frame_alloc(unsigned int order);
/* The same with whatever was in them: for who writes all of it before anybody looks. */
uint64_t frame_alloc_unclean(unsigned int order);
/* The page of zeros that reads of untouched memory share: never one owner's alone. */
uint64_t frame_zero(void);
bool frame_is_zero(uint64_t frame);
void frame_ref(uint64_t frame);
/* The last owner's goes back. */
void frame_unref(uint64_t frame);
/* Called when there is no frame to give: whether some came free by it, of what can be had again. It
 * must not park. NULL: nobody. */
void frame_set_relief(bool (*relief)(void));
bool frame_shared(uint64_t frame); /* more than one owner */
void *frame_ptr(uint64_t frame);

uint64_t frame_budget(void);
void frame_set_budget(uint64_t frames);
uint64_t frame_used(void);
/* Memory is not short: what is had ahead may stay. */
bool frame_plenty(void);
/* What is free and was written to goes back to the platform. */
void frame_trim(void);
