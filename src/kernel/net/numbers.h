/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of socket(2) and its kin that Linux keeps from its uapi headers: the C library has them,
 * and here who includes its <sys/socket.h>. */
#pragma once

#ifndef _SYS_SOCKET_H
#define AF_UNSPEC  0
#define AF_UNIX	   1
#define AF_INET	   2
#define AF_INET6   10
#define AF_NETLINK 16

#define SOCK_STREAM    1
#define SOCK_DGRAM     2
#define SOCK_RAW       3
#define SOCK_SEQPACKET 5
#define SOCK_CLOEXEC   02000000
#define SOCK_NONBLOCK  04000

#define MSG_OOB		 0x1
#define MSG_PEEK	 0x2
#define MSG_CTRUNC	 0x8
#define MSG_TRUNC	 0x20
#define MSG_DONTWAIT	 0x40
#define MSG_EOR		 0x80
#define MSG_WAITALL	 0x100
#define MSG_ERRQUEUE	 0x2000
#define MSG_NOSIGNAL	 0x4000
#define MSG_MORE	 0x8000
#define MSG_FASTOPEN	 0x20000000
#define MSG_CMSG_CLOEXEC 0x40000000

#define SHUT_RD	  0
#define SHUT_WR	  1
#define SHUT_RDWR 2

#define SCM_RIGHTS	1
#define SCM_CREDENTIALS 2

#define SOMAXCONN 4096
#endif
