/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Namespaces and clone3. No policy. Results: >= 0 or -errno.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* clone3 without CLONE_VM: returns 0 in the child, the pid in the parent with its pidfd (given).
 * cgroup_fd: v2 directory to be born in, or FD_NONE. Signal handlers start at their defaults. */
[[nodiscard]] pid_t ns_clone(uint64_t flags, int cgroup_fd, int *ret_pidfd);

/* The namespace file's kind as its CLONE_NEW* flag; -EINVAL when it is no namespace. */
[[nodiscard]] int ns_kind(int fd);

/* Write one id map ("0 100000 65536\n...") to /proc/PID/uid_map or gid_map through proc_fd. */
struct ns_map {
	uint32_t inside, outside, count;
};
#define NS_MAPS_MAX 340 /* lines of an id map (Linux 4.15) */
enum ns_map_kind { NS_MAP_UID, NS_MAP_GID };
[[nodiscard]] int ns_write_map(pid_t pid, enum ns_map_kind kind, const struct ns_map *maps,
			       size_t n);
/* No process in there may call setgroups(2): without it a gid map of one's own is refused to those
 * without CAP_SETGID (CVE-2014-8989). Before the gid map. */
[[nodiscard]] int ns_deny_setgroups(pid_t pid);
/* Whether the caller's user namespace is another than the machine's first one. */
bool ns_in_user(void);
/* Every id of the caller's own user namespace to itself: for one more within it. At most max. */
[[nodiscard]] int ns_same_ids(enum ns_map_kind kind, struct ns_map *ret_maps, size_t max,
			      size_t *ret_n);
/* The id of a user and group that nobody is, and no other process that asks; in a user namespace
 * one of those that services without a user of their own get by custom. false: those are not
 * mapped. */
[[nodiscard]] bool ns_stranger(uint32_t *ret_id);
/* A user namespace with these maps and nobody in it, for idmapped mounts: gives its descriptor. */
[[nodiscard]] int ns_user_holder(const struct ns_map *uids, size_t uids_n,
				 const struct ns_map *gids, size_t gids_n);
/* The loopback interface of the caller's network namespace goes up. */
[[nodiscard]] int ns_loopback_up(void);
/*
 * What `call` gives, from within this network namespace (FD_NONE: from a new one), in the caller's
 * memory and with its descriptors; the caller waits, and is never in there itself: whoever is root
 * of a user namespace alone could not come back. `call` starts no process. -errno: it was not
 * called.
 */
[[nodiscard]] int ns_network_visit(int netns, int (*call)(void *arg), void *arg, int *ret_result);
/* A new network namespace with nobody in it, its loopback interface up: gives its descriptor. */
[[nodiscard]] int ns_network_make(void);
