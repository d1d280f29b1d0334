/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every verb of the command line shares: the services, one arena for the call, standard
 * output collected and written at once, and the one place that words an error. Not here: what any
 * verb does.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "cli/option.h"
#include "svc/svc.h"

struct cli {
	struct svc svc;	    /* notices go to stderr */
	struct arena arena; /* freed when the program ends */
	struct buf out;	    /* standard output, not yet written */
	const char *path;   /* the verb as the user called it: "atoll container ls" */
	const struct verb *verb;
	const struct verb *root; /* of all verbs */
	bool debug;
	int user_fd;	/* owned: an ordinary user's namespaces (svc/user.h) */
	int out_status; /* what became of writing: 0 or -errno */
};

/* Exit statuses of docker's: what our own failure is, beside the workload's own. */
enum {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 125, /* also: run, create and exec failed before the workload had its say */
	CLI_NOT_EXECUTABLE = 126,
	CLI_NOT_FOUND = 127,
	CLI_SIGNAL = 128, /* plus its number */
};

/* Write what is in c->out. 0 or -errno, which is remembered: a closed pipe ends a program. */
int cli_flush(struct cli *c);

/* "atoll: MESSAGE" on stderr, after what stood in c->out; gives CLI_FAILED. */
int cli_fail(struct cli *c, const struct err *e);
[[gnu::format(printf, 2, 3)]] int cli_failf(struct cli *c, const char *fmt, ...);
[[gnu::format(printf, 2, 3)]] void cli_warn(struct cli *c, const char *fmt, ...);

/* A wrong command line: the message, and where help is. Gives the verb's usage status. */
int cli_usage(struct cli *c, const struct err *e);

bool cli_is_tty(int fd);

/* "Are you sure you want to continue? [y/N] " on a terminal; false also when stdin ends. */
bool cli_confirm(struct cli *c, const char *question);

/*
 * The verb's action on each operand in turn, printing each that succeeded (print) and each error;
 * gives CLI_OK, or CLI_FAILED when any failed.
 */
int cli_each(struct cli *c, struct option_args args, bool print, const void *options,
	     int (*action)(struct cli *c, const char *ref, const void *options, struct err *e));

/* The words of a list as NULL-terminated pairs "key=value"; a missing "=" gives value "". */
struct json_pair *cli_pairs(struct cli *c, const struct option_list *l);
