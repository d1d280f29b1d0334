/* SPDX-License-Identifier: Apache-2.0 */
/*
 * atoll-vmm's command line: what machine to make of which files. A FILE is a path or "fd:N", a
 * descriptor that was inherited; nothing is opened here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "virtio/link.h"
#include "virtio/rate.h"

#define OPTION_DISKS_MAX    8
#define OPTION_NETS_MAX	    8
#define OPTION_FORWARDS_MAX 8
#define OPTION_FD_MAX	    65535
#define FS_TAG_BYTES	    36 /* virtio 1.2, 5.11.4 */

struct file_option {
	struct str path; /* empty: not given, or a descriptor */
	int fd;		 /* borrowed; FD_NONE: a path */
};

struct net_option {
	enum link_kind kind;
	struct file_option file;
	uint8_t mac[6];
	uint16_t mtu;		     /* 0: not given */
	struct rate_limit limits[2]; /* receive, send */
};

struct disk_option {
	struct file_option file;
	bool read_only;
	struct rate_limit limits[2]; /* read, write */
};

struct vsock_option {
	uint32_t cid; /* 0: no device */
	struct file_option listen;
	struct {
		uint32_t port;
		struct file_option file;
	} forwards[OPTION_FORWARDS_MAX];
	size_t forwards_n;
	uint32_t ports_to;
	struct file_option ports, kept; /* none, or the first, or both */
};

struct fs_option {
	struct str tag; /* empty: no device */
	struct file_option socket;
};

struct options {
	struct file_option kernel, initrd, kvm, serial, console, control;
	struct file_option restore_state, restore_memory; /* both or none, and then no kernel */
	bool paused;
	const char *append;
	uint64_t memory_bytes;
	uint64_t inflate_bytes; /* that the balloon asks for from the beginning */
	uint32_t cpus;
	struct disk_option disks[OPTION_DISKS_MAX];
	size_t disks_n;
	struct net_option nets[OPTION_NETS_MAX];
	size_t nets_n;
	struct vsock_option vsock;
	struct fs_option fs;
	bool balloon, jail;
	bool set_ids;
	uint32_t uid, gid;
	bool help, version;
};

/* Whether the option was given. */
bool file_option_given(const struct file_option *f);

/* Of the words after the program's name; borrows them. INVALID names the option. */
[[nodiscard]] int options_parse(int argc, char *const *argv, struct options *ret_o, struct err *e);
/* The help text: a line per option. */
extern const char options_help[];
