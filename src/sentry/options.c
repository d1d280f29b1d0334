/* SPDX-License-Identifier: Apache-2.0 */
#include "sentry/options.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/auto.h"
#include "base/num.h"

#define FD_MAX 65535

const char options_help[] =
	"Usage: atoll-sentry --root FILE --config FILE [OPTION...]\n"
	"\n"
	"Run one sandbox: a container's processes on a kernel of their own. Standard input, "
	"output\n"
	"and error are theirs. FILE is a path, or fd:N for a descriptor that was inherited.\n"
	"\n"
	"  --root FILE            the root's files: an EROFS image\n"
	"  --root share:NAME      the root's files: a share of the gofer\n"
	"  --gofer fd:N           a connected socket: directories and files of the host\n"
	"  --bind N=NAME          mount number N of config.json (0 is the first), a bind, is a "
	"share\n"
	"  --config FILE          what is to run: a config.json of the OCI runtime specification\n"
	"  --broker fd:N          a socket that atoll-broker serves: the network outside (default: "
	"none)\n"
	"  --netstack fd:N        the same, of atoll-netstack in its place: a TCP/IP stack of its "
	"own\n"
	"  --seccomp FILE         linux.seccomp, compiled: an array of struct sock_filter\n"
	"  --control fd:N         a listening socket for requests: start, exec, signal, wait, "
	"...;\n"
	"                         without one the sandbox starts at once\n"
	"  --network stay         the process that stands for the sandbox stays in this network "
	"namespace,\n"
	"                         where the broker's is, and nothing else is done in it\n"
	"  --restore FILE         go on from what a checkpoint wrote, in the place of "
	"process.args\n"
	"  --log FILE             where this program's own words go (default: standard error)\n"
	"  --report fd:N          a file that says how it ended: the status, and of a failure "
	"its\n"
	"                         kind, errno and words\n"
	"  --creator fd:N         a pipe: nothing begins before a byte was read from it; after a "
	"'b'\n"
	"                         the sandbox ends with the pipe, unless it was started\n"
	"  --uid N|own, --gid N   who to be, once all is open; own: a user and group that nobody "
	"is\n"
	"  --no-gates             let all calls come by the host's kernel, and patch no code of "
	"its "
	"programs\n"
	"                         where they come from often: for the search for faults\n"
	"  --help, --version\n"
	"\n"
	"Exit status: that of the first process, 128 + N when signal N ended it; 125: it could "
	"not\n"
	"be run, or the sandbox failed.\n";

static int parse_fd(const char *value, int *ret_fd)
{
	uint32_t fd;

	if (strncmp(value, "fd:", 3) != 0 || num_parse_u32(str_of(value + 3), 0, FD_MAX, &fd) < 0)
		return -EINVAL;
	*ret_fd = (int) fd;
	return 0;
}

static int parse_file(const char *value, struct file_option *ret_f)
{
	*ret_f = (struct file_option){ .fd = FD_NONE };
	if (strncmp(value, "fd:", 3) == 0)
		return parse_fd(value, &ret_f->fd);
	ret_f->path = value;
	return *value ? 0 : -EINVAL;
}

/* A name, or a file. */
static int parse_root(const char *value, struct options *o)
{
	if (strncmp(value, "share:", 6) != 0)
		return parse_file(value, &o->root);
	o->root_share = value + 6;
	return value[6] ? 0 : -EINVAL;
}

/* "N=NAME"; each mount has one. */
static int parse_bind(const char *value, struct options *o)
{
	struct str name, number = str_cut(str_of(value), '=', &name);
	struct bind_option *b = &o->binds[o->binds_n];

	if (o->binds_n == BINDS_MOST || !name.p || name.n == 0 ||
	    num_parse_u32(number, 0, UINT32_MAX, &b->mount) < 0)
		return -EINVAL;
	for (size_t n = 0; n < o->binds_n; n++)
		if (o->binds[n].mount == b->mount)
			return -EINVAL;
	b->share = name.p;
	o->binds_n++;
	return 0;
}

static int parse_id(const char *value, struct options *o, uint32_t *ret_id)
{
	o->set_ids = true;
	return num_parse_u32(str_of(value), 0, UINT32_MAX - 1, ret_id);
}

static int parse_uid(const char *value, struct options *o)
{
	o->own_ids = streq(value, "own");
	return o->own_ids ? 0 : parse_id(value, o, &o->uid);
}

static int parse_value(struct str name, const char *value, struct options *o)
{
	if (str_is(name, "root"))
		return parse_root(value, o);
	if (str_is(name, "gofer"))
		return parse_fd(value, &o->gofer);
	if (str_is(name, "bind"))
		return parse_bind(value, o);
	if (str_is(name, "config"))
		return parse_file(value, &o->config);
	if (str_is(name, "broker"))
		return parse_fd(value, &o->broker);
	if (str_is(name, "netstack"))
		return parse_fd(value, &o->netstack);
	if (str_is(name, "seccomp"))
		return parse_file(value, &o->seccomp);
	if (str_is(name, "restore"))
		return parse_file(value, &o->restore);
	if (str_is(name, "log"))
		return parse_file(value, &o->log);
	if (str_is(name, "control"))
		return parse_fd(value, &o->control);
	if (str_is(name, "report"))
		return parse_fd(value, &o->report);
	if (str_is(name, "creator"))
		return parse_fd(value, &o->creator);
	if (str_is(name, "network")) {
		o->network_stays = streq(value, "stay");
		return o->network_stays ? 0 : -EINVAL;
	}
	if (str_is(name, "uid"))
		return parse_uid(value, o);
	if (str_is(name, "gid"))
		return parse_id(value, o, &o->gid);
	return -ENOENT;
}

/* "--name value" or "--name=value" at argv[*i], which is moved on. */
static int parse_word(int argc, char *const *argv, int *i, struct options *o, struct err *e)
{
	struct str rest = { NULL, 0 }, name;
	const char *word = argv[*i], *value;
	int r;

	if (strncmp(word, "--", 2) != 0)
		return err_set(e, ERR_INVALID, EINVAL, "'%s' is no option; see --help", word);
	name = str_cut(str_of(word + 2), '=', &rest);
	if (str_is(name, "help") || str_is(name, "version")) {
		*(str_is(name, "help") ? &o->help : &o->version) = true;
		return rest.p ? err_set(e, ERR_INVALID, EINVAL, "%s: takes no value", word) : 0;
	}
	if (str_is(name, "no-gates")) {
		o->no_gates = true;
		return rest.p ? err_set(e, ERR_INVALID, EINVAL, "%s: takes no value", word) : 0;
	}
	value = rest.p ? rest.p : *i + 1 < argc ? argv[*i + 1] : "";
	r = parse_value(name, value, o);
	if (r == -ENOENT)
		return err_set(e, ERR_INVALID, EINVAL, "there is no option '--%.*s'; see --help",
			       (int) name.n, name.p);
	if (!rest.p && ++*i == argc)
		return err_set(e, ERR_INVALID, EINVAL, "%s needs a value", word);
	if (r < 0)
		return err_set(e, ERR_INVALID, EINVAL, "--%.*s: cannot be '%s'; see --help",
			       (int) name.n, name.p, value);
	return 0;
}

int options_parse(int argc, char *const *argv, struct options *ret_o, struct err *e)
{
	const struct file_option none = { .fd = FD_NONE };
	struct options o = {
		.root = none, .config = none, .seccomp = none, .log = none, .restore = none
	};

	o.control = o.gofer = o.broker = o.netstack = o.creator = o.report = FD_NONE;
	for (int i = 0; i < argc; i++)
		if (parse_word(argc, argv, &i, &o, e) < 0)
			return -1;
	if (!o.help && !o.version && !file_option_given(&o.root) && !o.root_share)
		return err_set(e, ERR_INVALID, EINVAL, "--root is missing; see --help");
	if (!o.help && !o.version && !file_option_given(&o.config))
		return err_set(e, ERR_INVALID, EINVAL, "--config is missing; see --help");
	if (o.root_share && file_option_given(&o.root))
		return err_set(e, ERR_INVALID, EINVAL, "--root: an image or a share, not both");
	if ((o.root_share || o.binds_n) && o.gofer < 0)
		return err_set(e, ERR_INVALID, EINVAL, "shares need --gofer; see --help");
	if (o.broker >= 0 && o.netstack >= 0)
		return err_set(e, ERR_INVALID, EINVAL,
			       "--broker and --netstack exclude each other");
	*ret_o = o;
	return 0;
}

int file_option_open(const struct file_option *f, int flags, const char *option, struct err *e)
{
	int fd;

	if (f->fd >= 0) {
		if (fcntl(f->fd, F_SETFD, FD_CLOEXEC) < 0)
			return err_set(e, ERR_INVALID, EBADF, "%s: descriptor %d is not open",
				       option, f->fd);
		return f->fd;
	}
	fd = open(f->path, flags | O_CLOEXEC, 0600);
	return fd < 0 ? err_sys(e, errno, "%s: open '%s'", option, f->path) : fd;
}
