/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/cpuinfo: what the processor says of itself. */
#pragma once

struct generated_node;
struct text;

int proc_cpuinfo(const struct generated_node *n, struct text *to);
