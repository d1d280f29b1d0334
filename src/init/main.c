/* SPDX-License-Identifier: Apache-2.0 */
/*
 * atoll-init: what `--init` puts in front of a workload's command as its process 1. It starts the
 * command, passes on the signals it gets, reaps whatever orphans the kernel hands to process 1, and
 * ends as the command ended. It runs inside the workload, with the workload's privileges, and reads
 * nothing but its arguments.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND	    127

static int run(char *const argv[], const sigset_t *mask)
{
	/*
	 * A group of its own, in the foreground of the terminal if there is one: ^C is its own.
	 * Done with all signals blocked: SIGTTOU would stop it on the way.
	 */
	if (setpgid(0, 0) == 0 && tcgetpgrp(STDIN_FILENO) >= 0)
		(void) tcsetpgrp(STDIN_FILENO, getpid()); /* no terminal of ours: nothing to take */
	(void) sigprocmask(SIG_SETMASK, mask, NULL);	  /* fails only for a bad first argument */
	(void) execvp(argv[0], argv);			  /* returns only when it failed */
	int sys = errno;
	(void) fprintf(stderr, "atoll-init: %s: %s\n", argv[0], strerror(sys));
	return sys == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}

/* Reap all that have ended; the exit status to end with, once the command has, else -1. */
static int reap(pid_t command)
{
	int result = -1, status;

	for (;;) {
		pid_t pid = waitpid(-1, &status, WNOHANG);

		if (pid <= 0)
			return result;
		if (pid == command)
			result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	}
}

int main(int argc, char *argv[])
{
	char *const *command = argv + 1;
	sigset_t all, before;

	if (argc > 1 && strcmp(argv[1], "--") == 0)
		command++;
	if (!command[0]) {
		(void) fputs("atoll-init: no command\n", stderr);
		return EXIT_NOT_FOUND;
	}
	(void) sigfillset(&all);
	if (sigprocmask(SIG_SETMASK, &all, &before) < 0)
		return EXIT_NOT_EXECUTABLE;

	pid_t pid = fork();
	if (pid == 0)
		return run(command, &before);
	if (pid < 0) {
		(void) fprintf(stderr, "atoll-init: fork: %s\n", strerror(errno));
		return EXIT_NOT_EXECUTABLE;
	}
	for (;;) {
		siginfo_t info;
		int signo = sigwaitinfo(&all, &info);

		if (signo < 0)
			continue;
		if (signo != SIGCHLD) {
			(void) kill(-pid, signo); /* it may have ended just now: reaped next */
			continue;
		}
		int status = reap(pid);
		if (status >= 0)
			return status;
	}
}
