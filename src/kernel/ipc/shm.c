/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/mman.h>

#include "kernel/core/heap.h"
#include "kernel/fs/anon.h"
#include "kernel/fs/text.h"
#include "kernel/ipc/shm_segment.h"
#include "kernel/mm/detach.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/space.h"
#include "kernel/task/cred.h"
#include "kernel/task/task.h"

#define MAY_READ_IT  0444u
#define MAY_WRITE_IT 0222u
#define MAY_EXEC_IT  0111u

static struct heap_cache segments = HEAP_CACHE_INIT(struct shm);

/* There is one namespace. */
static struct ipc_ids ids;
static uint64_t pages_of_all;

struct shm_limits *shm_limits(void)
{
	static struct shm_limits limits = { UINT64_MAX - (1 << 24), UINT64_MAX - (1 << 24), 4096 };

	return &limits;
}

struct ipc_ids *shm_ids(void)
{
	return &ids;
}

static struct shm *shm_of(struct ipc_object *o)
{
	return o ? container_of(o, struct shm, ipc) : NULL;
}

struct shm *shm_find(int32_t id)
{
	return shm_of(ipc_ids_find(&ids, id));
}

static uint64_t pages_of(const struct shm *s)
{
	return (s->pager.size >> PAGE_SHIFT) + ((s->pager.size & (PAGE_SIZE - 1)) != 0);
}

/* ---- lives ---- */

static void shm_free(struct shm *s)
{
	ipc_ids_remove(&ids, &s->ipc);
	pages_of_all -= pages_of(s);
	pager_fini(&s->pager);
	dentry_unref(s->name);
	heap_cache_free(&segments, s);
}

static void used(struct shm *s, int64_t *time)
{
	const struct task *t = this_task();

	*time = ipc_now();
	if (t)
		s->last = t->process->pid;
}

static void attached(struct pager *p)
{
	struct shm *s = container_of(p, struct shm, pager);

	s->attached++;
	used(s, &s->atime);
}

static void detached(struct pager *p)
{
	struct shm *s = container_of(p, struct shm, pager);

	s->attached--;
	used(s, &s->dtime);
}

static void unused(struct pager *p)
{
	struct shm *s = container_of(p, struct shm, pager);

	if (s->ipc.mode & SHM_DEST)
		shm_free(s);
}

static const struct pager_ops ops = {
	.sparse = true,
	.release = unused,
	.attached = attached,
	.detached = detached,
};

/* What maps shows: a file of no file system, whose number is the identifier. */
static struct dentry *name_of(int32_t key, const struct cred *who)
{
	char name[] = "SYSV00000000 (deleted)";
	struct inode *i = anon_inode(S_IFREG | 0600, who);

	for (size_t n = 0; n < 8; n++)
		name[4 + n] = "0123456789abcdef"[(uint32_t) key >> (28 - 4 * n) & 15];
	return i ? dentry_root(i, name) : NULL;
}

static struct shm *shm_new(uint64_t size, int32_t key, const struct cred *who)
{
	struct shm *s = heap_cache_alloc(&segments);

	if (!s)
		return NULL;
	pager_init(&s->pager, &ops, size);
	s->made_key = key;
	s->name = name_of(key, who);
	if (s->name)
		return s;
	heap_cache_free(&segments, s);
	return NULL;
}

/* It is in the table; or (r < 0) could not be, and goes. */
static int enter(struct shm *s, int r)
{
	if (r < 0) {
		dentry_unref(s->name);
		heap_cache_free(&segments, s);
		return r;
	}
	s->name->inode->ino = (uint64_t) s->ipc.id;
	pages_of_all += pages_of(s);
	return 0;
}

int shm_load(const struct ipc_object *like, uint64_t size, int32_t made_key, struct shm **ret)
{
	const struct cred who = { .fsuid = like->cuid, .fsgid = like->cgid };
	struct shm *s;
	int r;

	if (size < 1 || size > INT64_MAX)
		return -EBADMSG;
	s = shm_new(size, made_key, &who);
	if (!s)
		return -ENOMEM;
	s->ipc = *like;
	r = enter(s, ipc_ids_load(&ids, &s->ipc));
	if (r == 0)
		*ret = s;
	return r;
}

static sysret_t make(struct task *t, int32_t key, uint64_t size, int flags)
{
	const struct shm_limits *l = shm_limits();
	uint64_t pages = page_up(size) >> PAGE_SHIFT;
	struct shm *s;
	int r;

	if (size < 1 || size > l->max || size > INT64_MAX)
		return -EINVAL;
	if (pages_of_all + pages > l->all)
		return -ENOSPC;
	/* As overcommitting goes by default: what can never be there is refused at once. */
	if (flags & SHM_HUGETLB || (!(flags & SHM_NORESERVE) && pages > frame_budget()))
		return -ENOMEM;
	s = shm_new(size, key, t->cred);
	if (!s)
		return -ENOMEM;
	s->creator = t->process->pid;
	s->ctime = ipc_now();
	r = enter(s, ipc_ids_add(&ids, &s->ipc, key, flags, t->cred, (uint32_t) l->ids));
	return r < 0 ? r : s->ipc.id;
}

sysret_t shm_get(struct task *t, int32_t key, uint64_t size, int flags)
{
	struct ipc_object *o;
	int r = ipc_ids_get(&ids, key, flags, &o);

	if (r == 0 && !o)
		return make(t, key, size, flags);
	if (r == 0 && shm_of(o)->pager.size < size)
		r = -EINVAL;
	if (r == 0)
		r = ipc_may(o, t->cred, (unsigned int) flags);
	return r < 0 ? r : o->id;
}

sysret_t shm_remove(struct task *t, int32_t id)
{
	struct shm *s = shm_find(id);
	int r = s ? ipc_owned(&s->ipc, t->cred) : -EINVAL;

	if (r < 0)
		return r;
	ipc_ids_hide(&ids, &s->ipc);
	s->ipc.mode |= SHM_DEST;
	if (s->pager.owners == 0)
		shm_free(s);
	return 0;
}

void shm_end(void)
{
	struct ipc_object *o;

	for (uint64_t at = 0; (o = ipc_ids_next(&ids, &at)); at++) {
		ipc_ids_hide(&ids, o);
		o->mode |= SHM_DEST;
		if (shm_of(o)->pager.owners == 0)
			shm_free(shm_of(o));
	}
}

/* ---- attachments ---- */

struct shm *shm_of_pager(struct pager *p)
{
	return p->ops == &ops ? container_of(p, struct shm, pager) : NULL;
}

static int check_place(uint64_t *at, int flags)
{
	if (!*at)
		return flags & SHM_REMAP ? -EINVAL : 0;
	if (*at & (PAGE_SIZE - 1) && !(flags & SHM_RND))
		return -EINVAL;
	*at = page_down(*at);
	return !*at && flags & SHM_REMAP ? -EINVAL : 0;
}

sysret_t shm_attach(struct task *t, int32_t id, uint64_t at, int flags)
{
	bool write = !(flags & SHM_RDONLY), exec = flags & SHM_EXEC;
	struct shm *s = shm_find(id);
	unsigned int may = MAY_READ_IT | (write ? MAY_WRITE_IT : 0u) | (exec ? MAY_EXEC_IT : 0u);
	struct space_mapping m = {
		.flags = VMA_SHARED | (write ? 0u : VMA_READONLY),
		.prot = PROT_READ | (write ? (unsigned int) PROT_WRITE : 0u) |
			(exec ? (unsigned int) PROT_EXEC : 0u),
		.fixed = at != 0,
		.noreplace = !(flags & SHM_REMAP),
	};
	int r = check_place(&at, flags);

	if (r == 0)
		r = s ? ipc_may(&s->ipc, t->cred, may) : -EINVAL;
	if (r < 0)
		return r;
	m.at = at;
	m.len = s->pager.size;
	m.pager = &s->pager;
	m.name = s->name;
	/* It may be removed while this parks. */
	pager_ref(&s->pager);
	r = space_map(t->space, &m, &at);
	pager_unref(&s->pager);
	return r == -EEXIST ? -EINVAL : r < 0 ? r : (sysret_t) at;
}

sysret_t shm_detach(struct task *t, uint64_t at)
{
	return space_detach(t->space, at, &ops);
}

/* ---- shmctl ---- */

sysret_t shm_stat(struct task *t, int32_t id, int how, struct shmid64_ds *ret)
{
	struct shm *s = shm_of(how == IPC_STAT ? ipc_ids_find(&ids, id) : ipc_ids_at(&ids, id));
	int r = 0;

	if (!s)
		return -EINVAL;
	if (how != SHM_STAT_ANY)
		r = ipc_may(&s->ipc, t->cred, MAY_READ_IT);
	if (r < 0)
		return r;
	*ret = (struct shmid64_ds){ .shm_segsz = s->pager.size,
				    .shm_atime = s->atime,
				    .shm_dtime = s->dtime,
				    .shm_ctime = s->ctime,
				    .shm_cpid = (int32_t) s->creator,
				    .shm_lpid = (int32_t) s->last,
				    .shm_nattch = s->attached };
	ipc_tell(&s->ipc, &ret->shm_perm);
	return how == IPC_STAT ? 0 : s->ipc.id;
}

sysret_t shm_set(struct task *t, int32_t id, const struct shmid64_ds *to)
{
	struct shm *s = shm_find(id);
	int r = s ? ipc_owned(&s->ipc, t->cred) : -EINVAL;

	if (r == 0)
		r = ipc_change(&s->ipc, &to->shm_perm);
	if (r == 0)
		s->ctime = ipc_now();
	return r;
}

/* Pages that are locked on this user's account. */
static uint64_t locked_by(uint32_t uid)
{
	struct ipc_object *o;
	uint64_t sum = 0;

	for (uint64_t at = 0; (o = ipc_ids_next(&ids, &at)); at++) {
		if (o->mode & SHM_LOCKED && shm_of(o)->locker == uid)
			sum += pages_of(shm_of(o));
	}
	return sum;
}

sysret_t shm_lock(struct task *t, int32_t id, bool lock)
{
	struct shm *s = shm_find(id);
	uint64_t most = process_limit(t->process, RLIMIT_MEMLOCK);
	bool free = cred_can(t->cred, CAP_IPC_LOCK);

	if (!s)
		return -EINVAL;
	if (!free && t->cred->euid != s->ipc.uid && t->cred->euid != s->ipc.cuid)
		return -EPERM;
	if (!lock) {
		s->ipc.mode &= ~SHM_LOCKED;
		return 0;
	}
	if (!free && most == 0)
		return -EPERM;
	if (s->ipc.mode & SHM_LOCKED)
		return 0;
	if (!free && locked_by(t->cred->uid) + pages_of(s) > most >> PAGE_SHIFT)
		return -ENOMEM;
	s->ipc.mode |= SHM_LOCKED;
	s->locker = t->cred->uid;
	return 0;
}

int shm_totals(struct shm_info *ret)
{
	struct ipc_object *o;

	*ret = (struct shm_info){ .used_ids = (int32_t) ids.count, .total = pages_of_all };
	for (uint64_t at = 0; (o = ipc_ids_next(&ids, &at)); at++)
		ret->resident += shm_of(o)->pager.resident;
	return ipc_ids_highest(&ids);
}

void shm_table(struct text *to)
{
	struct ipc_object *o;

	text_put(to,
		 "       key      shmid perms                  size  cpid  lpid nattch   uid   gid"
		 "  cuid  cgid      atime      dtime      ctime                   rss"
		 "                  swap\n");
	for (uint64_t at = 0; (o = ipc_ids_next(&ids, &at)); at++) {
		const struct shm *s = shm_of(o);

		text_put(to, "%10d %10d  %4o %21lu %5u %5u  %5lu %5u %5u %5u %5u %10ld %10ld %10ld",
			 o->key, o->id, o->mode, s->pager.size, s->creator, s->last, s->attached,
			 o->uid, o->gid, o->cuid, o->cgid, s->atime, s->dtime, s->ctime);
		text_put(to, " %21lu %21lu\n", s->pager.resident << PAGE_SHIFT, (uint64_t) 0);
	}
}
