/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/microvm/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/auto.h"
#include "engine/microvm/guest.h"
#include "engine/microvm/kvm.h"
#include "engine/microvm/network.h"
#include "engine/microvm/pod.h"
#include "engine/microvm/proxied.h"
#include "proto/agent.h"
#include "sys/self.h"
#include "sys/spawn.h"

#define WORDS_MAX 256
#define GUEST_CID 3
#define QEMU	  "qemu-system-x86_64"
#define TAG	  "atoll"

/*
 * Nothing of the boot is shown, waited for or tested; a panic ends the machine. With one processor
 * Linux would take the lock prefixes out of itself, thousands of them, each through a mapping of
 * its own, and put them back when a second one comes: noreplace-smp. Of the initcalls (a name that
 * a kernel lacks is no harm) one looks up the name of each function for a list of those that can be
 * traced, from 6.1 on; the next two rewrite what describes each event and make thousands of files
 * of tracefs for them, which take a machine 8 MiB: a fifth of a boot, for what a workload can
 * hardly reach; the last one is a self-test that cryptomgr.notests misses.
 */
#define CMDLINE                                                                                    \
	"quiet panic=-1 reboot=t cryptomgr.notests no_timer_check tsc=reliable "                   \
	"rcupdate.rcu_expedited=1 cgroup_no_v1=all noreplace-smp "                                 \
	"initcall_blacklist=ftrace_check_for_weak_functions,trace_eval_init,"                      \
	"tracer_init_tracefs,crypto_kdf108_init"

/* One program's arguments and descriptors: the first becomes 3. */
struct command {
	struct arena *a;
	const char *words[WORDS_MAX + 1];
	size_t n;
	int fds[PROXY_FDS_MAX];
	size_t fds_n;
	bool failed;
};

static void add(struct command *c, const char *word)
{
	if (c->n == WORDS_MAX || !word)
		c->failed = true;
	else
		c->words[c->n++] = word;
}

/* Its number in the program. */
static int add_fd(struct command *c, int fd)
{
	if (c->fds_n == ARRAY_SIZE(c->fds)) {
		c->failed = true;
		return -1;
	}
	c->fds[c->fds_n++] = fd;
	return 2 + (int) c->fds_n;
}

#define ADD(c, ...)                                                                                \
	do {                                                                                       \
		static const char *const words_[] = { __VA_ARGS__ };                               \
		for (size_t i_ = 0; i_ < ARRAY_SIZE(words_); i_++)                                 \
			add((c), words_[i_]);                                                      \
	} while (0)
#define ADDF(c, ...) add((c), arena_printf((c)->a, __VA_ARGS__))

static int run(struct command *c, struct proxied *p, bool strange, struct err *e)
{
	if (c->failed)
		return err_set(e, ERR_EXHAUSTED, E2BIG,
			       "a microvm cannot have so many shared directories");
	return proxied_spawn(p, c->words, c->fds, c->fds_n, strange, e);
}

static int sibling(struct command *c, const char *name, struct err *e)
{
	char path[PATH_MAX];
	int r = self_sibling(name, path);

	if (r < 0)
		return err_set(e, ERR_NOT_FOUND, -r,
			       "%s is not where this program is: the installation is incomplete",
			       name);
	add(c, arena_strdup(c->a, path));
	return 0;
}

int machine_find(struct arena *a, int cache_fd, struct machine *ret_m, struct err *e)
{
	struct machine m = { .kernel = FD_NONE,
			     .initrd = FD_NONE,
			     .restore_state = FD_NONE,
			     .restore_memory = FD_NONE,
			     .kvm = FD_NONE };
	char path[SPAWN_PATH_MAX];
	enum kvm_use use;
	int r = kvm_probe(cache_fd, &use, e);

	if (r < 0)
		return r;
	m.emulated = use != KVM_RUNS;
	if (m.emulated) {
		if (spawn_find(QEMU, path) < 0)
			return err_set(e, ERR_UNSUPPORTED, ENOENT,
				       "%s, and " QEMU " is not installed, which would emulate a "
				       "processor",
				       kvm_why(use));
		m.qemu = arena_strdup(a, path);
		if (!m.qemu)
			return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	}
	*ret_m = m;
	return 0;
}

static int pair_of(int type, int ret[2], struct err *e)
{
	return socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ret) < 0
		       ? err_sys(e, errno, "socket pair")
		       : 0;
}

static int listen_at(int state_fd, const char *name, int type, int *ret_fd, struct err *e)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	auto_fd int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void) snprintf(at.sun_path, sizeof(at.sun_path), "/proc/self/fd/%d/%s", state_fd, name);
	if (unlinkat(state_fd, name, 0) < 0 && errno != ENOENT)
		return err_sys(e, errno, "remove an old '%s'", name);
	if (fd < 0 || bind(fd, (const struct sockaddr *) (const void *) &at, sizeof(at)) < 0 ||
	    listen(fd, 64) < 0)
		return err_sys(e, errno, "the machine's '%s'", name);
	*ret_fd = take_fd(&fd);
	return 0;
}

static const char *const disk_words[] = { "read-bps", "read-iops", "write-bps", "write-iops" };
static const char *const card_words[] = { "rx-bps", "rx-pps", "tx-bps", "tx-pps" };

/* ",read-bps=N" and so on, as far as there are limits. NULL: no memory. */
static const char *rate_words(struct arena *a, const struct spec_rate *r,
			      const char *const names[static 4])
{
	const uint64_t v[] = { r->read_bytes, r->read_ops, r->write_bytes, r->write_ops };
	const char *words = "";

	for (size_t i = 0; words && i < ARRAY_SIZE(v); i++)
		if (v[i])
			words = arena_printf(a, "%s,%s=%llu", words, names[i],
					     (unsigned long long) v[i]);
	return words;
}

/* A pod's gets its shares as the containers come. */
static int start_fs(struct arena *a, struct proxied *p, const struct guest *g, int state_fd,
		    int sock, struct err *e)
{
	struct command c = { .a = a };
	auto_fd int control = FD_NONE;
	int r = sibling(&c, "atoll-device", e);

	if (r == 0 && g->pod != POD_NONE)
		r = listen_at(state_fd, POD_FILES, SOCK_SEQPACKET, &control, e);
	if (r < 0)
		return r;
	ADD(&c, "fs", "--socket");
	ADDF(&c, "fd:%d", add_fd(&c, sock));
	if (control >= 0) {
		add(&c, "--control");
		ADDF(&c, "fd:%d", add_fd(&c, control));
	}
	for (size_t i = g->disk_fd >= 0 ? 1 : 0; i < g->shares_n && control < 0; i++) {
		add(&c, "--share");
		ADDF(&c, "%s=fd:%d%s%s", g->shares[i].name, add_fd(&c, g->shares[i].fd),
		     g->shares[i].read_only ? ",ro" : "", g->shares[i].copy ? ",copy" : "");
	}
	return run(&c, p, false, e);
}

static int start_vsock(struct arena *a, struct proxied *p, const struct network *net, int sock,
		       int listen_fd, int forward, struct err *e)
{
	struct command c = { .a = a };
	int r = sibling(&c, "atoll-device", e);

	if (r < 0)
		return r;
	ADD(&c, "vsock", "--socket");
	ADDF(&c, "fd:%d", add_fd(&c, sock));
	add(&c, "--cid");
	ADDF(&c, "%d", GUEST_CID);
	add(&c, "--listen");
	ADDF(&c, "fd:%d", add_fd(&c, listen_fd));
	add(&c, "--forward");
	ADDF(&c, "%d:fd:%d", AGENT_HELLO_PORT, add_fd(&c, forward));
	if (net->ports_fd >= 0) {
		add(&c, "--ports");
		ADDF(&c, "%d:fd:%d", AGENT_FORWARD_PORT, add_fd(&c, net->ports_fd));
		add(&c, "--keep");
		ADDF(&c, "fd:%d", add_fd(&c, net->ports_kept_fd));
	}
	return run(&c, p, false, e);
}

/*
 * A network card for QEMU, which passes descriptors only over what it has connected to itself. It
 * gets the socket without a way to it, so that nobody else can come to it: *ret_fd is that.
 */
static int start_net(struct arena *a, struct proxied *p, const struct network_card *card,
		     const struct spec_rate *rate, int state_fd, int *ret_fd, struct err *e)
{
	const uint64_t limits[] = { rate->read_bytes, rate->read_ops, rate->write_bytes,
				    rate->write_ops };
	static const char name[] = "card";
	struct command c = { .a = a };
	auto_fd int listen_fd = FD_NONE, path_fd = FD_NONE;
	int r = listen_at(state_fd, name, SOCK_STREAM, &listen_fd, e);

	if (r < 0)
		return r;
	/* QEMU has no rights; but for it nobody can enter the directory. */
	if (fchmodat(state_fd, name, 0666, 0) < 0 ||
	    (path_fd = openat(state_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC)) < 0 ||
	    unlinkat(state_fd, name, 0) < 0)
		return err_sys(e, errno, "the socket of a network card");
	r = sibling(&c, "atoll-device", e);
	if (r < 0)
		return r;
	ADD(&c, "net", "--socket");
	ADDF(&c, "fd:%d", add_fd(&c, listen_fd));
	add(&c, card->stream ? "--stream" : "--packet");
	ADDF(&c, "fd:%d", add_fd(&c, card->fd));
	ADD(&c, "--mac");
	add(&c, card->mac);
	add(&c, "--mtu");
	ADDF(&c, "%u", card->mtu);
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		if (limits[i]) {
			ADDF(&c, "--%s", card_words[i]);
			ADDF(&c, "%llu", (unsigned long long) limits[i]);
		}
	*ret_fd = take_fd(&path_fd);
	return run(&c, p, false, e);
}

/* QEMU 7.2 without KVM dies of interrupts as messages from these cards: vectors=0. */
static void add_qemu_card(struct command *c, const struct network_card *card, size_t i, int socket)
{
	add(c, "-chardev");
	ADDF(c, "socket,id=net%zu,path=/proc/self/fd/%d", i, add_fd(c, socket));
	add(c, "-netdev");
	ADDF(c, "vhost-user,id=card%zu,chardev=net%zu", i, i);
	add(c, "-device");
	ADDF(c, "virtio-net-pci,netdev=card%zu,mac=%s,disable-legacy=on,romfile=,vectors=0", i,
	     card->mac);
}

/* What the guest's kernel says, for whoever looks for why it does not: a file, or NULL. */
static const char *console_file(void)
{
	const char *file = secure_getenv("ATOLL_MICROVM_CONSOLE");

	return file && file[0] == '/' ? file : NULL;
}

static int start_qemu(const struct machine *m, struct arena *a, struct proxied *p,
		      const struct guest *g, const struct network *net, const int *cards, int fs,
		      int vsock, int control, struct err *e)
{
	struct command c = { .a = a };
	const char *console = console_file();

	add(&c, m->qemu);
	/*
	 * One thread for all its processors: with one each, a processor that runs into code which
	 * another one patches (a static key) never gets out of it (QEMU 7.2): some hundred flips of
	 * kernel.sched_schedstats hang the machine, and one is enough. Without ERMS, the promise
	 * that rep stosb and movsb are fast: emulated they go byte by byte, and Linux clears each
	 * page so.
	 */
	ADD(&c, "-M", "q35,memory-backend=m,sata=off,smbus=off,usb=off,vmport=off", "-accel",
	    "tcg,thread=single,tb-size=128", "-cpu", "max,-cx16,-erms", "-nodefaults",
	    "-no-user-config", "-display", "none", "-no-reboot", "-sandbox",
	    "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
	add(&c, "-smp");
	ADDF(&c, "%u", g->cpus_max);
	add(&c, "-m");
	ADDF(&c, "%lluk", (unsigned long long) (g->memory_max >> 10));
	add(&c, "-object");
	ADDF(&c, "memory-backend-memfd,id=m,size=%llu,share=on",
	     (unsigned long long) g->memory_max);
	add(&c, "-kernel");
	ADDF(&c, "/proc/self/fd/%d", add_fd(&c, m->kernel));
	add(&c, "-initrd");
	ADDF(&c, "/proc/self/fd/%d", add_fd(&c, m->initrd));
	add(&c, "-append");
	ADDF(&c, "%s maxcpus=%u",
	     console ? CMDLINE " console=ttyS0 ignore_loglevel" : CMDLINE " 8250.nr_uarts=0",
	     g->cpus);
	if (console) {
		add(&c, "-serial");
		ADDF(&c, "file:%s", console);
	}
	if (g->disk_fd >= 0) { /* the descriptor itself: its user may not open the file again */
		add(&c, "-add-fd");
		ADDF(&c, "fd=%d,set=1", add_fd(&c, g->disk_fd));
		ADD(&c, "-blockdev",
		    "driver=file,node-name=root,filename=/dev/fdset/1,read-only=on,locking=off",
		    "-device", "virtio-blk-pci,id=disk0,drive=root,disable-legacy=on");
	}
	if (g->upper_fd >= 0) {
		add(&c, "-add-fd");
		ADDF(&c, "fd=%d,set=2", add_fd(&c, g->upper_fd));
		ADD(&c, "-blockdev",
		    "driver=file,node-name=upper,filename=/dev/fdset/2,locking=off,discard=unmap",
		    "-device", "virtio-blk-pci,id=disk1,drive=upper,disable-legacy=on");
	}
	add(&c, "-chardev");
	ADDF(&c, "socket,id=fs,fd=%d", add_fd(&c, fs));
	add(&c, "-chardev");
	ADDF(&c, "socket,id=vsock,fd=%d", add_fd(&c, vsock));
	ADD(&c, "-device", "vhost-user-fs-pci,chardev=fs,tag=" TAG ",queue-size=1024", "-device",
	    "vhost-user-vsock-pci,chardev=vsock", "-object", "rng-builtin,id=rng", "-device",
	    "virtio-rng-pci,rng=rng,disable-legacy=on", "-device",
	    "virtio-balloon-pci,id=balloon,free-page-reporting=on,disable-legacy=on", "-mon",
	    "chardev=control,mode=control", "-chardev");
	ADDF(&c, "socket,id=control,server=on,wait=off,fd=%d", add_fd(&c, control));
	for (size_t i = 0; i < net->cards_n; i++)
		add_qemu_card(&c, &net->cards[i], i, cards[i]);
	return run(&c, p, true, e);
}

static void add_kernel(struct command *c, const struct machine *m, const struct guest *g,
		       const char *console)
{
	add(c, "--kernel");
	ADDF(c, "fd:%d", add_fd(c, m->kernel));
	add(c, "--initrd");
	ADDF(c, "fd:%d", add_fd(c, m->initrd));
	add(c, "--append");
	/* Without noearly an AMD kernel looks for an AGP bridge, in thousands of exits. */
	ADDF(c, "%s maxcpus=%u",
	     console ? CMDLINE " pci=noearly console=ttyS0 ignore_loglevel"
		     : CMDLINE " pci=noearly 8250.nr_uarts=0",
	     g->cpus);
}

static const char *vsock_words(struct command *c, const struct network *net, int listen_fd,
			       int forward)
{
	const char *ports = "";

	if (net->ports_fd >= 0)
		ports = arena_printf(c->a, ",ports=%d:fd:%d,keep=fd:%d", AGENT_FORWARD_PORT,
				     add_fd(c, net->ports_fd), add_fd(c, net->ports_kept_fd));
	return ports ? arena_printf(c->a, "cid=%d,listen=fd:%d,forward=%d:fd:%d%s", GUEST_CID,
				    add_fd(c, listen_fd), AGENT_HELLO_PORT, add_fd(c, forward),
				    ports)
		     : NULL;
}

static int start_vmm(const struct machine *m, struct arena *a, struct proxied *p,
		     const struct guest *g, const struct network *net, int fs, int listen_fd,
		     int forward, int control, struct err *e)
{
	struct command c = { .a = a };
	const char *console = console_file();
	int r = sibling(&c, "atoll-vmm", e);

	if (r < 0)
		return r;
	add(&c, "--kvm");
	ADDF(&c, "fd:%d", add_fd(&c, m->kvm));
	if (m->restore_state >= 0) {
		add(&c, "--restore");
		ADDF(&c, "fd:%d,fd:%d", add_fd(&c, m->restore_state),
		     add_fd(&c, m->restore_memory));
	} else {
		add_kernel(&c, m, g, console);
	}
	if (console) {
		add(&c, "--serial");
		add(&c, console);
	}
	add(&c, "--memory");
	ADDF(&c, "%llu", (unsigned long long) g->memory_max);
	add(&c, "--inflate");
	ADDF(&c, "%llu", (unsigned long long) (g->memory_max - g->memory));
	add(&c, "--cpus");
	ADDF(&c, "%u", g->cpus_max);
	add(&c, "--control");
	ADDF(&c, "fd:%d", add_fd(&c, control));
	add(&c, "--vsock");
	add(&c, vsock_words(&c, net, listen_fd, forward));
	if (g->disk_fd >= 0) {
		add(&c, "--disk");
		ADDF(&c, "fd:%d,ro%s", add_fd(&c, g->disk_fd),
		     rate_words(a, &g->rates.disks[0].rate, disk_words));
	}
	if (g->upper_fd >= 0) {
		add(&c, "--disk");
		ADDF(&c, "fd:%d%s", add_fd(&c, g->upper_fd),
		     rate_words(a, &g->rates.disks[1].rate, disk_words));
	}
	add(&c, "--fs");
	ADDF(&c, "tag=" TAG ",socket=fd:%d", add_fd(&c, fs));
	for (size_t i = 0; i < net->cards_n; i++) {
		add(&c, "--net");
		ADDF(&c, "%s=fd:%d,mac=%s,mtu=%u%s", net->cards[i].stream ? "stream" : "packet",
		     add_fd(&c, net->cards[i].fd), net->cards[i].mac, net->cards[i].mtu,
		     rate_words(a, &g->rates.network, card_words));
	}
	return run(&c, p, false, e);
}

/* The devices that QEMU leaves to others, and QEMU. */
static int start_emulated(const struct machine *m, struct arena *a, struct proxied *p,
			  const struct guest *g, const struct network *net, int state_fd, int fs,
			  int listen_fd, int forward, int control, struct err *e)
{
	int cards[NETWORK_CARDS_MAX] = {}, vsock[2] = { FD_NONE, FD_NONE };
	int r = pair_of(SOCK_STREAM, vsock, e);
	auto_fd int vsock_ours = vsock[0];
	auto_fd int vsock_theirs = vsock[1];
	size_t n = 0;

	r = r < 0 ? r : start_vsock(a, p, net, vsock_theirs, listen_fd, forward, e);
	for (; r == 0 && n < net->cards_n; n++) {
		cards[n] = FD_NONE;
		r = start_net(a, p, &net->cards[n], &g->rates.network, state_fd, &cards[n], e);
	}
	r = r < 0 ? r : start_qemu(m, a, p, g, net, cards, fs, vsock_ours, control, e);
	while (n > 0)
		close_fd(&cards[--n]);
	return r;
}

int machine_start(const struct machine *m, struct arena *a, struct proxied *p,
		  const struct guest *g, const struct network *net, int state_fd, int *ret_hello,
		  struct err *e)
{
	int fs[2] = { FD_NONE, FD_NONE }, hello[2] = { FD_NONE, FD_NONE };
	int r = pair_of(SOCK_STREAM, fs, e);

	r = r < 0 ? r : pair_of(SOCK_STREAM, hello, e);
	auto_fd int fs_ours = fs[0];
	auto_fd int fs_theirs = fs[1];
	auto_fd int hello_ours = hello[0];
	auto_fd int hello_theirs = hello[1];
	auto_fd int listen_fd = FD_NONE, control = FD_NONE;

	r = r < 0 ? r : listen_at(state_fd, PROXY_CONTROL, SOCK_STREAM, &control, e);
	r = r < 0 ? r : listen_at(state_fd, PROXY_VSOCK, SOCK_STREAM, &listen_fd, e);
	r = r < 0 ? r : start_fs(a, p, g, state_fd, fs_theirs, e);
	if (r == 0)
		r = m->emulated ? start_emulated(m, a, p, g, net, state_fd, fs_ours, listen_fd,
						 hello_theirs, control, e)
				: start_vmm(m, a, p, g, net, fs_ours, listen_fd, hello_theirs,
					    control, e);
	if (r == 0)
		*ret_hello = take_fd(&hello_ours);
	return r;
}
