/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pods: containers that share one kernel, where an engine gives a workload one of its own. Which
 * pod a container is of, and whether it is the pod's sandbox, its caller says by annotations: those
 * of containerd's CRI plug-in, CRI-O's and dockershim's. podman has CRI-O's for all but the
 * sandbox, which is known by its cgroup (podman 4.3). What the kernel is, and what else the
 * containers share, is the engines' matter (microvm/pod.h, sandbox/pod.h).
 *
 * What they have in common lies in a directory PODS/ID, beside the state directories of the
 * containers:
 *
 *	sandbox		whose kernel it is: a container's id; absent: nobody's among them
 *	members/ID	each container of it, with the engine's words about it, one a line
 *
 * and what the engines put there. Whoever changes what is there holds the lock of the directory.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"

struct spec;

#define POD_ID_SIZE 129 /* with its NUL */

enum pod_role { POD_NONE, POD_SANDBOX, POD_MEMBER };

struct pod_name {
	enum pod_role role;
	bool bounded;	/* its size is said by the limits of the cgroup that its own is in */
	const char *id; /* borrowed from the spec; NULL with POD_NONE, and: the container's own */
};

/* INVALID: annotations that make no sense. */
[[nodiscard]] int pod_find(const struct spec *s, struct pod_name *ret_name, struct err *e);

/* What its containers may have all in all, as far as annotations of its sandbox say. 0: unknown. */
struct pod_size {
	uint64_t memory;	/* bytes */
	uint64_t quota, period; /* microseconds of processors */
	uint64_t shares;
};
/* INVALID: no number. */
[[nodiscard]] int pod_size(const struct spec *s, struct pod_size *ret, struct err *e);
/* An annotation's number; *ret stays without it, and with "-1". INVALID: none, or above max. */
[[nodiscard]] int pod_number(const struct spec *s, const char *key, uint64_t max, uint64_t *ret,
			     struct err *e);

/* A container's place in one. All borrowed. */
struct pod_place {
	const char *path; /* of the directory */
	int fd;		  /* the directory */
	const char *id;	  /* the container's */
};

/*
 * Take part in the pod of p->path; p->fd is not looked at. Gives the directory in *ret_fd and in
 * *ret_lock what is held until it is closed, and never to be handed on. CONFLICT: the sandbox is
 * there already, or has ended; `kernel` is what the pod has then: "a machine".
 */
[[nodiscard]] int pod_enter(const struct pod_place *p, const struct pod_name *n, const char *kernel,
			    nsec_t deadline, int *ret_fd, int *ret_lock, struct err *e);
/* The lock alone, which is a descriptor of the directory, too. Gives. NOT_FOUND: there is none. */
[[nodiscard]] int pod_lock(const char *path, nsec_t deadline, int *ret_lock, struct err *e);

bool pod_has_sandbox(int dir_fd);
/* Its id: 0, -errno. */
[[nodiscard]] int pod_sandbox(int dir_fd, char ret_id[static POD_ID_SIZE]);

bool pod_has_member(int dir_fd, const char *id);
size_t pod_members(int dir_fd);
/* The engine's words about it. */
[[nodiscard]] int pod_write_member(const struct pod_place *p, struct str text, struct err *e);
/* 0, -errno. */
[[nodiscard]] int pod_read_member(const struct pod_place *p, struct buf *text);
/* Whether a member's words have this line. */
bool pod_has_line(int dir_fd, struct str line);
/* Of the first line of a member's that begins with it the rest: 0; -ENOENT: there is none. */
[[nodiscard]] int pod_rest_of_line(int dir_fd, struct str begin, struct buf *ret);
void pod_remove_member(const struct pod_place *p);

/* The directory and all that is in it, under the lock. What stays is said in the log. */
void pod_remove(const struct pod_place *p);
