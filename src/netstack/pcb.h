/* SPDX-License-Identifier: Apache-2.0 */
/* What both protocols' blocks of lwIP have, of a socket: apart, as its headers and Linux's clash.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct sock;

enum pcb_flag { PCB_REUSE, PCB_KEEPALIVE };

void pcb_flag(const struct sock *s, enum pcb_flag flag, bool on);
void pcb_ttl(const struct sock *s, uint8_t ttl);
void pcb_tos(const struct sock *s, uint8_t tos);
uint32_t pcb_mss(const struct sock *s);
