/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/vfs/told.h"

#include "kernel/core/sched.h"
#include "kernel/platform/platform.h"

/* Two that share a bit are taken back together. */
#define BITS 16384u

static struct {
	uint64_t generation;
	bool any; /* bits are set */
	uint64_t bits[BITS / 64];
	struct ktimer late;
} told;

/* FNV-1a. Rights of a directory stand under no name. */
static unsigned int bit(const struct inode *dir, const char *name, size_t len)
{
	uint64_t h = 0xcbf29ce484222325 ^ dir->ino ^ dir->super->dev << 32;

	h *= 0x100000001b3;
	for (size_t n = 0; n < len; n++)
		h = (h ^ (unsigned char) name[n]) * 0x100000001b3;
	return (unsigned int) (h ^ h >> 32) % BITS;
}

static void note(unsigned int b)
{
	told.bits[b / 64] |= (uint64_t) 1 << b % 64;
	told.any = true;
}

static void changes(unsigned int b)
{
	if (told.any && told.bits[b / 64] >> b % 64 & 1)
		told_forget();
}

void told_begin(struct told *w)
{
	*w = (struct told){ .as_of = told.generation, .time = NSEC_NEVER };
}

void told_text(struct told *w, const char *text)
{
	size_t len = strlen(text);

	if (text[0] != '/' || len >= sizeof(w->text))
		return;
	memcpy(w->text, text, len);
	w->len = len;
}

void told_step(struct told *w, const struct inode *dir, const char *name, size_t len)
{
	w->time = min_of(w->time, dir->super->told_for);
	if (w->time == 0)
		return;
	note(bit(dir, name, len));
	note(bit(dir, NULL, 0));
}

static void is_late(struct ktimer *t)
{
	(void) t;
	told_forget();
}

bool told_may(const struct told *w)
{
	nsec_t until;

	if (w->time == 0 || w->as_of != told.generation)
		return false;
	if (w->time == NSEC_NEVER)
		return true;
	until = plat_now(PLAT_MONOTONIC) + w->time;
	if (!ktimer_pending(&told.late) || until < ktimer_at(&told.late)) {
		told.late.fire = is_late;
		ktimer_set(&told.late, until);
	}
	return true;
}

void told_name_changes(const struct inode *dir, const char *name, size_t len)
{
	changes(bit(dir, name, len));
}

void told_rights_change(const struct inode *i)
{
	changes(bit(i, NULL, 0));
}

void told_forget(void)
{
	told.generation++;
	if (!told.any)
		return;
	plat_names_forget();
	memset(told.bits, 0, sizeof(told.bits));
	told.any = false;
	ktimer_cancel(&told.late);
}
