/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers about names that the platform may give by itself (plat_user_name()): which names they
 * were found by, so that they are taken back before anybody can see that one of these has changed.
 * Names of file systems that nobody else changes are noted alone, and those of a super for so long
 * as it says (told_for): what changes there by others is seen that much later.
 */
#pragma once

#include "kernel/vfs/dentry.h"

#define TOLD_ROOM 120

/* One walk, from told_begin() to told_may(). */
struct told {
	uint64_t as_of;
	nsec_t time; /* 0: not to be told; NSEC_NEVER */
	size_t len;  /* 0: its text is not one to be told of */
	char text[TOLD_ROOM];
};

void told_begin(struct told *w);
/* What it follows: a text from the root, that fits. */
void told_text(struct told *w, const char *text);
/* It leads by this name of the directory, whether that is there or not. */
void told_step(struct told *w, const struct inode *dir, const char *name, size_t len);
/* Its answer is still true, and may be given until told_forget(). */
bool told_may(const struct told *w);

/* A name has come or gone; who may look for names in it has changed. */
void told_name_changes(const struct inode *dir, const char *name, size_t len);
void told_rights_change(const struct inode *i);
/* Mounts, roots. */
void told_forget(void);
