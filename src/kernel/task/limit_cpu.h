/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RLIMIT_CPU (getrlimit(2)): at the soft limit SIGXCPU, which is a second more from then on, and
 * SIGKILL at the hard one. Looked at as often as the limit could be reached.
 */
#pragma once

struct process;

/* Its limit, its threads or its time have changed, or it begins. */
void limit_cpu_watch(struct process *p);
/* No thread is left. */
void limit_cpu_end(struct process *p);
