/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/net/control.h"

#include <asm/fcntl.h>
#include <asm/socket.h>

#include "kernel/core/heap.h"
#include "kernel/task/cred.h"
#include "kernel/task/pid.h"

/* struct cmsghdr of 64 bits; what follows is aligned to eight bytes. */
struct head {
	uint64_t len; /* with the head */
	int32_t level, type;
};

static uint64_t aligned(uint64_t n)
{
	return (n + 7) & ~(uint64_t) 7;
}

void rights_free(struct rights *r)
{
	if (!r)
		return;
	for (size_t n = 0; n < r->count; n++)
		file_unref(r->files[n]);
	heap_free(r);
}

struct rights *rights_copy(const struct rights *r)
{
	struct rights *copy = heap_alloc(sizeof(*r) + r->count * sizeof(r->files[0]));

	if (!copy)
		return NULL;
	copy->count = r->count;
	for (size_t n = 0; n < r->count; n++) {
		copy->files[n] = r->files[n];
		file_ref(copy->files[n]);
	}
	return copy;
}

void control_fini(struct control *c)
{
	struct rights *r = c->rights;

	*c = (struct control){};
	rights_free(r);
}

void control_add(struct control *c, int level, int type, const void *bytes, size_t len)
{
	struct control_note *n = &c->note[c->notes];

	if (c->notes == CONTROL_NOTES || len > sizeof(n->bytes))
		return;
	n->level = level;
	n->type = type;
	n->len = (uint32_t) len;
	memcpy(n->bytes, bytes, len);
	c->notes++;
}

static int add_files(struct control *c, const char *data, size_t bytes, const struct descriptors *d)
{
	size_t more = bytes / sizeof(int32_t), had = c->rights ? c->rights->count : 0;
	struct rights *r;

	if (more > RIGHTS_MOST - had)
		return -EINVAL;
	if (more == 0)
		return 0;
	r = heap_alloc(sizeof(*r) + (had + more) * sizeof(r->files[0]));
	if (!r)
		return -ENOMEM;
	if (had)
		memcpy(r->files, c->rights->files, had * sizeof(r->files[0]));
	r->count = had;
	heap_free(c->rights);
	c->rights = r;
	for (size_t n = 0; n < more; n++) {
		struct file *f;
		int32_t fd;

		memcpy(&fd, data + n * sizeof(fd), sizeof(fd));
		f = fd < 0 ? NULL : descriptors_get(d, (uint64_t) fd);
		/* Linux: one that only names a path cannot be sent. */
		if (!f || f->flags & O_PATH) {
			file_unref(f);
			return -EBADF;
		}
		r->files[r->count++] = f;
	}
	return 0;
}

struct sock_ucred sock_seen(const struct sock_sender *s)
{
	struct sock_ucred c = s->cred;

	if (s->numbers != pid_space_serial(pid_space_here()))
		c.pid = 0;
	return c;
}

static bool may_claim(const struct sock_ucred *u, const struct sock_actor *by)
{
	const struct cred *c = by->walk.who;
	bool uid = u->uid == c->uid || u->uid == c->euid || u->uid == c->suid;
	bool gid = u->gid == c->gid || u->gid == c->egid || u->gid == c->sgid;

	return (u->pid == by->pid || cred_can(c, CAP_SYS_ADMIN)) &&
	       (uid || cred_can(c, CAP_SETUID)) && (gid || cred_can(c, CAP_SETGID));
}

static int parse_one(struct control *c, const struct head *h, const char *data,
		     const struct descriptors *d, const struct sock_actor *by)
{
	size_t bytes = (size_t) (h->len - sizeof(*h));

	if (h->level != SOL_SOCKET) {
		control_add(c, h->level, h->type, data, bytes); /* AF_UNIX looks at none */
		return 0;
	}
	switch (h->type) {
	case SCM_RIGHTS:
		return add_files(c, data, bytes, d);
	case SCM_CREDENTIALS:
		if (bytes != sizeof(c->sender.cred))
			return -EINVAL;
		memcpy(&c->sender.cred, data, bytes);
		c->sender.numbers = by->numbers;
		c->has_cred = true;
		return may_claim(&c->sender.cred, by) ? 0 : -EPERM;
	default:
		return -EINVAL;
	}
}

int control_parse(struct control *c, const void *bytes, size_t len, const struct descriptors *d,
		  const struct sock_actor *by)
{
	const char *at = bytes;
	size_t left = len;
	int r = 0;

	while (r == 0 && left >= sizeof(struct head)) {
		struct head h;

		memcpy(&h, at, sizeof(h));
		if (h.len < sizeof(h) || h.len > left)
			r = -EINVAL;
		else
			r = parse_one(c, &h, at + sizeof(h), d, by);
		if (r == 0) {
			size_t step = (size_t) min_of(aligned(h.len), (uint64_t) left);

			at += step;
			left -= step;
		}
	}
	if (r < 0)
		control_fini(c);
	return r;
}

/* One message of `bytes` data at to[used]; what is used after it. The head says what there is. */
static size_t put(char *to, size_t room, size_t used, int level, int type, const void *data,
		  size_t bytes)
{
	struct head h = { sizeof(h) + bytes, level, type };
	size_t end = used + (size_t) h.len, whole = used + (size_t) aligned(h.len);

	memcpy(to + used, &h, sizeof(h));
	memcpy(to + used + sizeof(h), data, bytes);
	if (whole > room)
		return end;
	memset(to + end, 0, whole - end);
	return whole;
}

static size_t put_files(struct rights *r, char *to, size_t room, size_t used, struct descriptors *d,
			uint64_t limit, bool cloexec, unsigned int *flags)
{
	size_t fit = room - used > sizeof(struct head)
			     ? (room - used - sizeof(struct head)) / sizeof(int32_t)
			     : 0;
	int32_t fds[RIGHTS_MOST];
	size_t n = 0;

	while (n < r->count && n < fit) {
		int64_t fd;

		file_ref(r->files[n]);
		fd = descriptors_add(d, r->files[n], cloexec, 0, limit);
		if (fd < 0)
			break;
		fds[n++] = (int32_t) fd;
	}
	if (n < r->count)
		*flags |= MSG_CTRUNC;
	return n ? put(to, room, used, SOL_SOCKET, SCM_RIGHTS, fds, n * sizeof(fds[0])) : used;
}

size_t control_write(struct control *c, void *to, size_t room, struct descriptors *d,
		     uint64_t limit, bool cloexec, unsigned int *ret_flags)
{
	size_t used = 0;

	if (c->has_cred) {
		const struct sock_ucred seen = sock_seen(&c->sender);

		if (room >= sizeof(struct head) + sizeof(seen))
			used = put(to, room, 0, SOL_SOCKET, SCM_CREDENTIALS, &seen, sizeof(seen));
		else
			*ret_flags |= MSG_CTRUNC;
	}
	if (c->rights)
		used = put_files(c->rights, to, room, used, d, limit, cloexec, ret_flags);
	for (unsigned int n = 0; n < c->notes; n++) {
		const struct control_note *note = &c->note[n];

		if (room - used >= sizeof(struct head) + note->len)
			used = put(to, room, used, note->level, note->type, note->bytes, note->len);
		else
			*ret_flags |= MSG_CTRUNC;
	}
	control_fini(c);
	return used;
}
