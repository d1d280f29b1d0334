/* SPDX-License-Identifier: Apache-2.0 */
/* The interfaces that there are, as directories of sysfs and as links to them: what a directory of
 * generated files needs (struct generated_entry). */
#pragma once

#include "kernel/fs/generated.h"

int sysfs_net_find(const struct generated_node *dir, const char *name, size_t len,
		   struct generated_node *ret);
void sysfs_net_list(const struct generated_node *dir, uint64_t at, struct generated_sink *to);
/* To /sys/devices/virtual/net, from /sys/class/net. */
int sysfs_net_find_link(const struct generated_node *dir, const char *name, size_t len,
			struct generated_node *ret);
void sysfs_net_list_links(const struct generated_node *dir, uint64_t at, struct generated_sink *to);
