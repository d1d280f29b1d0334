/* SPDX-License-Identifier: Apache-2.0 */
/* The library's headers, for those files that call it: one of its names is base/err.h's as well. */
#pragma once

#include <arpa/inet.h>

#define ERR_TIMEOUT LWIP_ERR_TIMEOUT
#include <lwip/err.h>
#undef ERR_TIMEOUT

#include <lwip/etharp.h>
#include <lwip/init.h>
#include <lwip/ip.h>
#include <lwip/netif.h>
#include <lwip/pbuf.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/tcp.h>
#include <lwip/tcpip.h>
#include <lwip/timeouts.h>
#include <lwip/udp.h>
#include <netif/ethernet.h>
