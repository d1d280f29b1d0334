/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/container/options.h"

#include <errno.h>
#include <string.h>

#include "base/auto.h"
#include "base/str.h"
#include "fmt/spec.h"

enum word_kind {
	WORD_ATTR,	  /* set `value` */
	WORD_ATTR_CLEAR,  /* clear it */
	WORD_ATIME,	  /* an access time mode: replaces whatever there was */
	WORD_ATIME_NOT,	  /* no such mode: on a bind no word at all (mount(8)), else `value` */
	WORD_PROPAGATION, /* MS_* */
	WORD_BIND,
	WORD_SUPER,  /* a flag of the file system instance, handed on to a new one */
	WORD_IGNORE, /* without an effect by its meaning */
	WORD_COPY_UP,
	WORD_IDMAP,
	WORD_SRC_NOFOLLOW,
	WORD_DEST_NOFOLLOW,
	WORD_REMOUNT,
};

struct word {
	const char *name;
	enum word_kind kind;
	bool recursive;
	uint64_t value;
};

/*
 * Runtime specification, "Linux mount options". Access times: relatime is the kernel's default and
 * what the negations of the other modes fall back to.
 */
static const struct word words[] = {
	{ "async", WORD_SUPER, false, 0 },
	{ "atime", WORD_ATIME_NOT, false, MOUNT_ATTR_RELATIME },
	{ "bind", WORD_BIND, false, 0 },
	{ "copy-symlink", WORD_SRC_NOFOLLOW, false, 0 },
	{ "defaults", WORD_IGNORE, false, 0 },
	{ "dest-nofollow", WORD_DEST_NOFOLLOW, false, 0 },
	{ "dev", WORD_ATTR_CLEAR, false, MOUNT_ATTR_NODEV },
	{ "diratime", WORD_ATTR_CLEAR, false, MOUNT_ATTR_NODIRATIME },
	{ "dirsync", WORD_SUPER, false, 0 },
	{ "exec", WORD_ATTR_CLEAR, false, MOUNT_ATTR_NOEXEC },
	{ "idmap", WORD_IDMAP, false, 0 },
	{ "iversion", WORD_IGNORE, false, 0 }, /* every file system decides by itself since 4.17 */
	{ "lazytime", WORD_SUPER, false, 0 },
	{ "loud", WORD_IGNORE, false, 0 },
	{ "mand", WORD_IGNORE, false, 0 }, /* mandatory locks left the kernel with 5.15 */
	{ "noatime", WORD_ATIME, false, MOUNT_ATTR_NOATIME },
	{ "nodev", WORD_ATTR, false, MOUNT_ATTR_NODEV },
	{ "nodiratime", WORD_ATTR, false, MOUNT_ATTR_NODIRATIME },
	{ "noexec", WORD_ATTR, false, MOUNT_ATTR_NOEXEC },
	{ "noiversion", WORD_IGNORE, false, 0 },
	{ "nolazytime", WORD_SUPER, false, 0 },
	{ "nomand", WORD_IGNORE, false, 0 },
	{ "norelatime", WORD_ATIME_NOT, false, MOUNT_ATTR_STRICTATIME },
	{ "nostrictatime", WORD_ATIME_NOT, false, MOUNT_ATTR_RELATIME },
	{ "nosuid", WORD_ATTR, false, MOUNT_ATTR_NOSUID },
	{ "nosymfollow", WORD_ATTR, false, MOUNT_ATTR_NOSYMFOLLOW },
	{ "private", WORD_PROPAGATION, false, MS_PRIVATE },
	{ "ratime", WORD_ATIME, true, MOUNT_ATTR_RELATIME },
	{ "rbind", WORD_BIND, true, 0 },
	{ "rdev", WORD_ATTR_CLEAR, true, MOUNT_ATTR_NODEV },
	{ "rdiratime", WORD_ATTR_CLEAR, true, MOUNT_ATTR_NODIRATIME },
	{ "relatime", WORD_ATIME, false, MOUNT_ATTR_RELATIME },
	{ "remount", WORD_REMOUNT, false, 0 },
	{ "rexec", WORD_ATTR_CLEAR, true, MOUNT_ATTR_NOEXEC },
	{ "ridmap", WORD_IDMAP, true, 0 },
	{ "rnoatime", WORD_ATIME, true, MOUNT_ATTR_NOATIME },
	{ "rnodev", WORD_ATTR, true, MOUNT_ATTR_NODEV },
	{ "rnodiratime", WORD_ATTR, true, MOUNT_ATTR_NODIRATIME },
	{ "rnoexec", WORD_ATTR, true, MOUNT_ATTR_NOEXEC },
	{ "rnorelatime", WORD_ATIME, true, MOUNT_ATTR_STRICTATIME },
	{ "rnostrictatime", WORD_ATIME, true, MOUNT_ATTR_RELATIME },
	{ "rnosuid", WORD_ATTR, true, MOUNT_ATTR_NOSUID },
	{ "rnosymfollow", WORD_ATTR, true, MOUNT_ATTR_NOSYMFOLLOW },
	{ "ro", WORD_ATTR, false, MOUNT_ATTR_RDONLY },
	{ "rprivate", WORD_PROPAGATION, true, MS_PRIVATE },
	{ "rrelatime", WORD_ATIME, true, MOUNT_ATTR_RELATIME },
	{ "rro", WORD_ATTR, true, MOUNT_ATTR_RDONLY },
	{ "rrw", WORD_ATTR_CLEAR, true, MOUNT_ATTR_RDONLY },
	{ "rshared", WORD_PROPAGATION, true, MS_SHARED },
	{ "rslave", WORD_PROPAGATION, true, MS_SLAVE },
	{ "rstrictatime", WORD_ATIME, true, MOUNT_ATTR_STRICTATIME },
	{ "rsuid", WORD_ATTR_CLEAR, true, MOUNT_ATTR_NOSUID },
	{ "rsymfollow", WORD_ATTR_CLEAR, true, MOUNT_ATTR_NOSYMFOLLOW },
	{ "runbindable", WORD_PROPAGATION, true, MS_UNBINDABLE },
	{ "rw", WORD_ATTR_CLEAR, false, MOUNT_ATTR_RDONLY },
	{ "shared", WORD_PROPAGATION, false, MS_SHARED },
	{ "silent", WORD_IGNORE, false, 0 },
	{ "slave", WORD_PROPAGATION, false, MS_SLAVE },
	{ "src-nofollow", WORD_SRC_NOFOLLOW, false, 0 },
	{ "strictatime", WORD_ATIME, false, MOUNT_ATTR_STRICTATIME },
	{ "suid", WORD_ATTR_CLEAR, false, MOUNT_ATTR_NOSUID },
	{ "symfollow", WORD_ATTR_CLEAR, false, MOUNT_ATTR_NOSYMFOLLOW },
	{ "sync", WORD_SUPER, false, 0 },
	{ "tmpcopyup", WORD_COPY_UP, false, 0 },
	{ "unbindable", WORD_PROPAGATION, false, MS_UNBINDABLE },
};

const char *const mount_words_known[] = {
	"async",	 "atime",	 "bind",
	"defaults",	 "dev",		 "diratime",
	"dirsync",	 "exec",	 "idmap",
	"iversion",	 "lazytime",	 "loud",
	"mand",		 "noatime",	 "nodev",
	"nodiratime",	 "noexec",	 "noiversion",
	"nolazytime",	 "nomand",	 "norelatime",
	"nostrictatime", "nosuid",	 "nosymfollow",
	"private",	 "ratime",	 "rbind",
	"rdev",		 "rdiratime",	 "relatime",
	"remount",	 "rexec",	 "ridmap",
	"rnoatime",	 "rnodev",	 "rnodiratime",
	"rnoexec",	 "rnorelatime",	 "rnostrictatime",
	"rnosuid",	 "rnosymfollow", "ro",
	"rprivate",	 "rrelatime",	 "rro",
	"rrw",		 "rshared",	 "rslave",
	"rstrictatime",	 "rsuid",	 "rsymfollow",
	"runbindable",	 "rw",		 "shared",
	"silent",	 "slave",	 "strictatime",
	"suid",		 "symfollow",	 "sync",
	"tmpcopyup",	 "unbindable",	 NULL,
};

static const struct word *find(const char *name)
{
	size_t lo = 0, hi = ARRAY_SIZE(words); /* sorted by name */

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int d = strcmp(name, words[mid].name);

		if (d == 0)
			return &words[mid];
		if (d < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

static void change(struct mount_words *w, bool recursive, uint64_t set, uint64_t clear)
{
	uint64_t *s = recursive ? &w->rec_set : &w->set;
	uint64_t *c = recursive ? &w->rec_clear : &w->clear;

	/* The last word wins. */
	*s = (*s & ~clear) | set;
	*c = (*c & ~set) | clear;
}

static void add_data(struct arena *a, struct mount_words *w, const char *option)
{
	struct mount_option *o = &w->data[w->data_n];
	const char *eq = strchr(option, '=');

	o->key = eq ? arena_dup(a, (struct str){ option, (size_t) (eq - option) }) : option;
	o->value = eq ? eq + 1 : NULL;
	o->fd = FD_NONE;
	if (o->key)
		w->data_n++;
}

static void apply(struct arena *a, struct mount_words *w, const struct word *o, const char *text)
{
	switch (o->kind) {
	case WORD_ATTR:
		change(w, o->recursive, o->value, 0);
		w->touched = w->touched || !o->recursive;
		break;
	case WORD_ATTR_CLEAR:
		change(w, o->recursive, 0, o->value);
		w->touched = w->touched || !o->recursive;
		break;
	case WORD_ATIME_NOT:
		w->touched = true;
		if (w->bind && !(w->clear & MOUNT_ATTR__ATIME)) /* nothing to take back */
			break;
		[[fallthrough]];
	case WORD_ATIME:
		w->touched = w->touched || !o->recursive;
		/* The mode is a field of bits: mount_setattr wants all of it cleared to set it. */
		change(w, o->recursive, 0, MOUNT_ATTR__ATIME);
		if (o->recursive)
			w->rec_set |= o->value;
		else
			w->set |= o->value;
		break;
	case WORD_PROPAGATION:
		w->propagation = o->value;
		w->propagation_rec = o->recursive;
		break;
	case WORD_BIND:
		w->bind = true;
		w->rec_bind = w->rec_bind || o->recursive;
		break;
	case WORD_SUPER:
		add_data(a, w, text);
		break;
	case WORD_IGNORE:
		break;
	case WORD_COPY_UP:
		w->copy_up = true;
		break;
	case WORD_IDMAP:
		w->idmap = true;
		w->idmap_rec = w->idmap_rec || o->recursive;
		break;
	case WORD_SRC_NOFOLLOW:
		w->src_nofollow = true;
		break;
	case WORD_DEST_NOFOLLOW:
		w->dest_nofollow = true;
		break;
	case WORD_REMOUNT:
		w->remount = true;
		break;
	}
}

int mount_words_parse(struct arena *a, const struct spec_mount *m, struct mount_words *ret_w,
		      struct err *e)
{
	struct mount_words w = { .bind = m->type && streq(m->type, "bind") };

	for (size_t i = 0; i < m->options_n; i++)
		w.bind = w.bind || streq(m->options[i], "bind") || streq(m->options[i], "rbind");
	w.data = arena_array(a, m->options_n + 4, sizeof(*w.data));
	if (!w.data)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "mount options: out of memory");
	for (size_t i = 0; i < m->options_n; i++) {
		const struct word *o = find(m->options[i]);

		if (o)
			apply(a, &w, o, m->options[i]);
		else if (m->options[i][0])
			add_data(a, &w, m->options[i]);
	}
	if (w.copy_up && (w.bind || !m->type || !streq(m->type, "tmpfs")))
		return err_set(e, ERR_INVALID, EINVAL,
			       "mount at '%.100s': tmpcopyup is for tmpfs mounts only",
			       m->destination);
	if (!w.bind && (!m->type || !m->type[0] || streq(m->type, "none")))
		return err_set(e, ERR_INVALID, EINVAL,
			       "mount at '%.100s': neither a type nor the option bind",
			       m->destination);
	if ((m->uid_maps_n || m->gid_maps_n) && !w.idmap)
		w.idmap = true;
	if (w.idmap && !w.bind)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "mount at '%.100s': only binds can be idmapped", m->destination);
	*ret_w = w;
	return 0;
}
