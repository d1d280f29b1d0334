/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/sysvipc, and the limits of IPC and of sockets in /proc/sys, which may be written to. */
#include "kernel/fs/mqueue.h"
#include "kernel/fs/proc/tables.h"
#include "kernel/ipc/ids.h"
#include "kernel/ipc/msg.h"
#include "kernel/ipc/sem.h"
#include "kernel/ipc/shm.h"
#include "kernel/net/inet.h"
#include "kernel/net/socket.h"
#include "kernel/task/cred.h"

static int show_shm(const struct generated_node *n, struct text *to)
{
	(void) n;
	shm_table(to);
	return 0;
}

static int show_msg(const struct generated_node *n, struct text *to)
{
	(void) n;
	msg_table(to);
	return 0;
}

static int show_sem(const struct generated_node *n, struct text *to)
{
	(void) n;
	sem_table(to);
	return 0;
}

static const struct generated_entry sysvipc_files[] = {
	PROC_FILE("msg", 0444, show_msg),
	PROC_FILE("sem", 0444, show_sem),
	PROC_FILE("shm", 0444, show_shm),
};

const struct generated_entry proc_sysvipc = PROC_DIR("sysvipc", 0555, sysvipc_files);

/* ---- limits ---- */

#define NUMBERS_MOST 4
#define GROUPS_END   INT32_MAX /* Linux takes no group behind it here */

struct limits {
	const char *name;
	struct {
		uint64_t *value, most; /* that it can be */
	} of[NUMBERS_MOST];
};

static bool limits_of(const struct generated_node *n, struct limits *ret)
{
	struct shm_limits *shm = shm_limits();
	struct sem_limits *sem = sem_limits();
	struct msg_limits *msg = msg_limits();
	struct mqueue_limits *mq = mqueue_limits();
	struct inet_limits *inet = inet_limits();
	const struct limits all[] = {
		{ "msg_default", { { &mq->messages_default, MQUEUE_MESSAGES_MOST } } },
		{ "msg_max", { { &mq->messages, MQUEUE_MESSAGES_MOST } } },
		{ "msgsize_default", { { &mq->size_default, MQUEUE_SIZE_MOST } } },
		{ "msgsize_max", { { &mq->size, MQUEUE_SIZE_MOST } } },
		{ "queues_max", { { &mq->queues, INT32_MAX } } },
		{ "msgmax", { { &msg->message, MSG_MESSAGE_MOST } } },
		{ "msgmnb", { { &msg->queue, INT32_MAX } } },
		{ "msgmni", { { &msg->ids, IPC_IDS_MOST } } },
		{ "sem",
		  { { &sem->per_set, SEM_PER_SET_MOST },
		    { &sem->all, INT32_MAX },
		    { &sem->operations, SEM_OPERATIONS_MOST },
		    { &sem->sets, IPC_IDS_MOST } } },
		{ "shmall", { { &shm->all, UINT64_MAX } } },
		{ "shmmax", { { &shm->max, UINT64_MAX } } },
		{ "shmmni", { { &shm->ids, IPC_IDS_MOST } } },
		{ "somaxconn", { { &socket_limits()->backlog, INT32_MAX } } },
		{ "ip_unprivileged_port_start", { { &inet->port_free, UINT16_MAX } } },
		{ "ping_group_range",
		  { { &inet->ping_first, GROUPS_END }, { &inet->ping_last, GROUPS_END } } },
	};

	for (size_t k = 0; k < countof(all); k++) {
		size_t len = strlen(all[k].name);

		if (strlen(n->entry->name) == len &&
		    memcmp(n->entry->name, all[k].name, len) == 0) {
			*ret = all[k];
			return true;
		}
	}
	return false;
}

int proc_ipc_limit(const struct generated_node *n, struct text *to)
{
	struct limits l;

	if (!limits_of(n, &l))
		return -EINVAL;
	for (size_t k = 0; k < NUMBERS_MOST && l.of[k].value; k++)
		text_put(to, k ? "\t%lu" : "%lu", *l.of[k].value);
	text_put(to, "\n");
	return 0;
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n';
}

/* The next number; false: there is none, or it is too large. */
static bool number(const char **at, const char *end, uint64_t most, uint64_t *ret)
{
	const char *p = *at;
	uint64_t v = 0;

	while (p < end && blank(*p))
		p++;
	if (p == end || *p < '0' || *p > '9')
		return false;
	for (; p < end && *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(v, (uint64_t) 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t) (*p - '0'), &v))
			return false;
	}
	if (v > most || (p < end && !blank(*p)))
		return false;
	*at = p;
	*ret = v;
	return true;
}

/* As many as are written, from the first on; all of them or none. */
int proc_ipc_set_limit(const struct generated_node *n, const char *bytes, size_t len)
{
	const char *at = bytes, *end = bytes + len;
	uint64_t values[NUMBERS_MOST];
	struct limits l;
	size_t count = 0;

	if (!limits_of(n, &l))
		return -EINVAL;
	if (this_task() && this_task()->cred->euid != 0)
		return -EPERM;
	while (end > bytes && blank(end[-1]))
		end--;
	for (; at < end && count < NUMBERS_MOST && l.of[count].value; count++) {
		if (!number(&at, end, l.of[count].most, &values[count]))
			return -EINVAL;
	}
	if (count == 0 || at < end)
		return -EINVAL;
	for (size_t k = 0; k < count; k++)
		*l.of[k].value = values[k];
	return 0;
}
