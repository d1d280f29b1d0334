/* SPDX-License-Identifier: Apache-2.0 */
/* The interfaces of the sandbox: lo, always up, with 127.0.0.1/8 and ::1/128. */
#pragma once

#include "kernel/core/types.h"

#define INTERFACE_NAME	"lo"
#define INTERFACE_INDEX 1
#define INTERFACE_MTU	65536
#define INTERFACE_QUEUE 1000	 /* packets: what Linux tells of it */
#define INTERFACE_FLAGS 0x49u	 /* IFF_UP, IFF_LOOPBACK, IFF_RUNNING */
#define INTERFACE_LOWER 0x10000u /* IFF_LOWER_UP, which netlink alone tells */
#define INTERFACE_TYPE	772	 /* ARPHRD_LOOPBACK */

struct space;

/*
 * ioctl(2) of any socket: netdevice(7). What asks for addresses is AF_INET's alone. Nothing can be
 * changed: -EPERM, as for who has no CAP_NET_ADMIN. -ENODEV, -ENOTTY, -EFAULT, -EINVAL.
 */
[[nodiscard]] int interface_ioctl(int domain, unsigned int request, uva_t at, struct space *s);
