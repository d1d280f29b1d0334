/* SPDX-License-Identifier: Apache-2.0 */
/* Who ends when there is no more memory: proc_pid_oom_score(5). */
#pragma once

struct process;
struct task;

#define OOM_NEVER (-1001) /* oom_score_adj is -1000 */

/* How much of the memory is p's, in thousandths, with its oom_score_adj: the largest ends first. */
int oom_badness(const struct process *p);
/*
 * A page for t, the running task, could not be had: ends whoever is worst, with all that share its
 * space, and waits for its memory; t tries again then. Where all are protected it is t's process.
 */
void oom_kill(struct task *t);
