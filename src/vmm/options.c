/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/options.h"

#include <errno.h>
#include <string.h>

#include "base/auto.h"
#include "base/num.h"
#include "vmm/boot.h"
#include "vmm/hypervisor.h"
#include "vmm/ram.h"

#define NET_MTU_MIN 68 /* of IPv4 */

const char options_help[] =
	"Usage: atoll-vmm --kernel FILE [OPTION...]\n"
	"       atoll-vmm --restore STATE,MEMORY [OPTION...]\n"
	"\n"
	"Run one virtual machine. FILE is a path, or fd:N for a descriptor that was inherited.\n"
	"\n"
	"  --kernel FILE          the kernel: an ELF file with a PVH entry (vmlinux)\n"
	"  --initrd FILE          its initial RAM file system\n"
	"  --append TEXT          its command line\n"
	"  --restore FILE,FILE    a snapshot, in place of a kernel: its state and its memory, "
	"which\n"
	"                         must not change while the machine runs; all other options but\n"
	"                         paths and addresses are those of the machine it was made of\n"
	"  --paused               wait for a request to resume\n"
	"  --memory BYTES[K|M|G]  memory (default 512M)\n"
	"  --cpus N               processors, 1 to 16 (default 1)\n"
	"  --disk FILE[,ro][,LIMIT=N]...\n"
	"                         a disk of raw bytes; may be repeated: vda, vdb, ...; N per "
	"second:\n"
	"                         LIMIT: read-bps, read-iops, write-bps, write-iops\n"
	"  --net KIND=FILE,mac=AA:BB:CC:DD:EE:FF[,mtu=N][,LIMIT=N]...\n"
	"                         a network device; KIND: tap, packet or stream; may be repeated;\n"
	"                         LIMIT: rx-bps, rx-pps, tx-bps, tx-pps, N per second\n"
	"  --vsock cid=N,listen=FILE[,forward=PORT:FILE]...[,ports=PORT:FILE[,keep=FILE]]\n"
	"                         sockets between host and guest\n"
	"  --fs tag=NAME,socket=FILE\n"
	"                         a file system served over vhost-user\n"
	"  --serial FILE          a serial port whose output goes there\n"
	"  --console FILE         a virtio console\n"
	"  --balloon              a memory balloon\n"
	"  --inflate BYTES        a memory balloon that takes so much of the memory at once\n"
	"  --control FILE         a listening socket for requests: pause, resume, stats, ...\n"
	"  --kvm FILE             KVM's device (default /dev/kvm)\n"
	"  --uid N, --gid N       who to be, once all is open\n"
	"  --no-jail              keep privileges, root directory and all system calls\n"
	"  --help, --version\n";

bool file_option_given(const struct file_option *f)
{
	return f->fd >= 0 || f->path.n;
}

static int parse_file(struct str s, struct file_option *ret_f)
{
	uint32_t fd;

	if (str_starts(s, "fd:")) {
		s.p += 3;
		s.n -= 3;
		if (num_parse_u32(s, 0, OPTION_FD_MAX, &fd) < 0)
			return -EINVAL;
		*ret_f = (struct file_option){ .fd = (int) fd };
		return 0;
	}
	if (s.n == 0)
		return -EINVAL;
	*ret_f = (struct file_option){ .path = s, .fd = FD_NONE };
	return 0;
}

/* The next "key=value" of a list with commas. */
static bool next_pair(struct str *rest, struct str *ret_key, struct str *ret_value)
{
	struct str pair;

	if (rest->n == 0)
		return false;
	pair = str_cut(*rest, ',', rest);
	*ret_key = str_cut(pair, '=', ret_value);
	return true;
}

/* A limit by name, in the order of both directions' bytes and operations. 0: it is none. */
static int parse_limit(const char *const names[4], struct str key, struct str value,
		       struct rate_limit limits[2])
{
	uint64_t *const at[] = { &limits[0].bytes, &limits[0].ops, &limits[1].bytes,
				 &limits[1].ops };

	for (size_t i = 0; i < ARRAY_SIZE(at); i++)
		if (str_is(key, names[i]))
			return num_parse_u64(value, 0, UINT64_MAX, at[i]) < 0 ? -EINVAL : 1;
	return 0;
}

/* What follows a file's name, which may have commas itself: the last word if it is one of ours. */
static int parse_disk_word(struct str *v, struct disk_option *d)
{
	static const char *const limits[] = { "read-bps", "read-iops", "write-bps", "write-iops" };
	const char *comma = v->n ? memrchr(v->p, ',', v->n) : NULL;
	struct str key, value;
	int r;

	if (!comma)
		return 0;
	key = str_cut((struct str){ comma + 1, v->n - (size_t) (comma + 1 - v->p) }, '=', &value);
	r = str_is(key, "ro") && !value.p ? 1
	    : value.p			  ? parse_limit(limits, key, value, d->limits)
					  : 0;
	d->read_only = d->read_only || (r == 1 && !value.p);
	if (r == 1)
		v->n = (size_t) (comma - v->p);
	return r;
}

static int parse_disk(struct str v, struct options *o)
{
	struct disk_option *d = &o->disks[o->disks_n];
	int r;

	if (o->disks_n == OPTION_DISKS_MAX)
		return -E2BIG;
	while ((r = parse_disk_word(&v, d)) > 0)
		;
	o->disks_n++;
	return r < 0 ? r : parse_file(v, &d->file);
}

static int parse_net(struct str v, struct options *o)
{
	static const char *const kinds[] = {
		[LINK_TAP] = "tap", [LINK_PACKET] = "packet", [LINK_STREAM] = "stream"
	};
	static const char *const limits[] = { "rx-bps", "rx-pps", "tx-bps", "tx-pps" };
	struct net_option n = { .file.fd = FD_NONE };
	struct str key, value;
	bool mac = false;
	uint32_t mtu;
	int r;

	if (o->nets_n == OPTION_NETS_MAX)
		return -E2BIG;
	while (next_pair(&v, &key, &value)) {
		bool known = false;

		if (str_is(key, "mac")) {
			if (mac || num_parse_mac(value, n.mac) < 0 ||
			    (n.mac[0] & 1)) /* a group is nobody's address */
				return -EINVAL;
			mac = true;
			continue;
		}
		if (str_is(key, "mtu")) {
			if (num_parse_u32(value, NET_MTU_MIN, UINT16_MAX, &mtu) < 0)
				return -EINVAL;
			n.mtu = (uint16_t) mtu;
			continue;
		}
		r = parse_limit(limits, key, value, n.limits);
		if (r > 0)
			continue;
		if (r < 0)
			return r;
		for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
			if (str_is(key, kinds[i])) {
				known = true;
				n.kind = (enum link_kind) i;
			}
		if (!known || file_option_given(&n.file) || parse_file(value, &n.file) < 0)
			return -EINVAL;
	}
	if (!mac || !file_option_given(&n.file))
		return -EINVAL;
	o->nets[o->nets_n++] = n;
	return 0;
}

static int parse_forward(struct str v, struct vsock_option *k)
{
	struct str file, port = str_cut(v, ':', &file);

	if (k->forwards_n == OPTION_FORWARDS_MAX)
		return -E2BIG;
	if (!file.p || num_parse_u32(port, 0, UINT32_MAX - 1, &k->forwards[k->forwards_n].port) < 0)
		return -EINVAL;
	return parse_file(file, &k->forwards[k->forwards_n++].file);
}

static int parse_ports(struct str v, struct vsock_option *k)
{
	struct str file, port = str_cut(v, ':', &file);

	if (file_option_given(&k->ports))
		return -E2BIG;
	if (!file.p || num_parse_u32(port, 0, UINT32_MAX - 1, &k->ports_to) < 0)
		return -EINVAL;
	return parse_file(file, &k->ports);
}

static int parse_vsock(struct str v, struct options *o)
{
	struct vsock_option k = { .listen.fd = FD_NONE, .ports.fd = FD_NONE, .kept.fd = FD_NONE };
	struct str key, value;
	int r;

	if (o->vsock.cid)
		return -E2BIG;
	while (next_pair(&v, &key, &value)) {
		if (str_is(key, "cid"))
			r = num_parse_u32(value, 3, UINT32_MAX - 1, &k.cid);
		else if (str_is(key, "listen"))
			r = parse_file(value, &k.listen);
		else if (str_is(key, "forward"))
			r = parse_forward(value, &k);
		else if (str_is(key, "ports"))
			r = parse_ports(value, &k);
		else if (str_is(key, "keep"))
			r = parse_file(value, &k.kept);
		else
			r = -EINVAL;
		if (r < 0)
			return r;
	}
	if (!k.cid || !file_option_given(&k.listen) ||
	    (file_option_given(&k.kept) && !file_option_given(&k.ports)))
		return -EINVAL;
	o->vsock = k;
	return 0;
}

static int parse_fs(struct str v, struct options *o)
{
	struct fs_option f = { .socket.fd = FD_NONE };
	struct str key, value;

	if (o->fs.tag.n)
		return -E2BIG;
	while (next_pair(&v, &key, &value)) {
		if (str_is(key, "tag") && value.n && value.n <= FS_TAG_BYTES)
			f.tag = value;
		else if (!str_is(key, "socket") || parse_file(value, &f.socket) < 0)
			return -EINVAL;
	}
	if (!f.tag.n || !file_option_given(&f.socket))
		return -EINVAL;
	o->fs = f;
	return 0;
}

static int parse_memory(struct str v, struct options *o)
{
	uint64_t bytes;

	if (num_parse_bytes(v, &bytes) < 0)
		return -EINVAL;
	bytes &= ~UINT64_C(4095);
	if (bytes < RAM_MIN_BYTES || bytes > RAM_MAX_BYTES)
		return -ERANGE;
	o->memory_bytes = bytes;
	return 0;
}

static int parse_cpus(struct str v, struct options *o)
{
	return num_parse_u32(v, 1, VCPUS_MAX, &o->cpus);
}

static int parse_append(struct str v, struct options *o)
{
	o->append = v.p; /* a whole word: ends with a NUL */
	return v.n > BOOT_APPEND_MAX ? -E2BIG : 0;
}

static int parse_restore(struct str v, struct options *o)
{
	struct str memory, state = str_cut(v, ',', &memory);

	if (file_option_given(&o->restore_state))
		return -E2BIG;
	if (!memory.p || parse_file(state, &o->restore_state) < 0)
		return -EINVAL;
	return parse_file(memory, &o->restore_memory);
}

static int parse_paused(struct str, struct options *o)
{
	o->paused = true;
	return 0;
}

static int parse_uid(struct str v, struct options *o)
{
	o->set_ids = true;
	return num_parse_u32(v, 0, UINT32_MAX - 1, &o->uid);
}

static int parse_gid(struct str v, struct options *o)
{
	o->set_ids = true;
	return num_parse_u32(v, 0, UINT32_MAX - 1, &o->gid);
}

static int parse_jail(struct str, struct options *o)
{
	o->jail = true;
	return 0;
}

static int parse_no_jail(struct str, struct options *o)
{
	o->jail = false;
	return 0;
}

static int parse_balloon(struct str, struct options *o)
{
	o->balloon = true;
	return 0;
}

static int parse_inflate(struct str v, struct options *o)
{
	o->balloon = true;
	return num_parse_bytes(v, &o->inflate_bytes);
}

static int parse_help(struct str, struct options *o)
{
	o->help = true;
	return 0;
}

static int parse_version(struct str, struct options *o)
{
	o->version = true;
	return 0;
}

static const struct {
	const char *name;
	bool flag;
	int (*parse)(struct str v, struct options *o); /* NULL: a file at `offset` */
	size_t offset;
} table[] = {
	{ "kernel", false, NULL, offsetof(struct options, kernel) },
	{ "initrd", false, NULL, offsetof(struct options, initrd) },
	{ "append", false, parse_append, 0 },
	{ "restore", false, parse_restore, 0 },
	{ "paused", true, parse_paused, 0 },
	{ "memory", false, parse_memory, 0 },
	{ "cpus", false, parse_cpus, 0 },
	{ "kvm", false, NULL, offsetof(struct options, kvm) },
	{ "disk", false, parse_disk, 0 },
	{ "net", false, parse_net, 0 },
	{ "vsock", false, parse_vsock, 0 },
	{ "fs", false, parse_fs, 0 },
	{ "serial", false, NULL, offsetof(struct options, serial) },
	{ "console", false, NULL, offsetof(struct options, console) },
	{ "balloon", true, parse_balloon, 0 },
	{ "inflate", false, parse_inflate, 0 },
	{ "control", false, NULL, offsetof(struct options, control) },
	{ "uid", false, parse_uid, 0 },
	{ "gid", false, parse_gid, 0 },
	{ "jail", true, parse_jail, 0 },
	{ "no-jail", true, parse_no_jail, 0 },
	{ "help", true, parse_help, 0 },
	{ "version", true, parse_version, 0 },
};

static int parse_one(size_t i, struct str value, struct options *o, struct err *e)
{
	int r = table[i].parse ? table[i].parse(value, o)
			       : parse_file(value, (void *) ((char *) o + table[i].offset));

	if (r == -E2BIG)
		return err_set(e, ERR_INVALID, E2BIG, "--%s: too long, or given too often",
			       table[i].name);
	if (r < 0)
		return err_set(e, ERR_INVALID, EINVAL, "--%s: cannot be '%.*s'; see --help",
			       table[i].name, (int) value.n, value.p);
	return 0;
}

/* "--name value" or "--name=value" at argv[*i], which is moved on. */
static int parse_word(int argc, char *const *argv, int *i, struct options *o, struct err *e)
{
	struct str value = { NULL, 0 }, name;
	const char *word = argv[*i];

	if (strncmp(word, "--", 2) != 0)
		return err_set(e, ERR_INVALID, EINVAL, "'%s' is no option; see --help", word);
	name = str_cut(str_of(word + 2), '=', &value);
	for (size_t t = 0; t < ARRAY_SIZE(table); t++) {
		if (!str_is(name, table[t].name))
			continue;
		if (table[t].flag && value.p)
			return err_set(e, ERR_INVALID, EINVAL, "--%s takes no value",
				       table[t].name);
		if (!table[t].flag && !value.p) {
			if (*i + 1 == argc)
				return err_set(e, ERR_INVALID, EINVAL, "--%s needs a value",
					       table[t].name);
			value = str_of(argv[++*i]);
		}
		return parse_one(t, value, o, e);
	}
	return err_set(e, ERR_INVALID, EINVAL, "there is no option '--%.*s'; see --help",
		       (int) name.n, name.p);
}

int options_parse(int argc, char *const *argv, struct options *ret_o, struct err *e)
{
	const struct file_option none = { .fd = FD_NONE };
	struct options o = {
		.kernel = none,
		.initrd = none,
		.restore_state = none,
		.restore_memory = none,
		.kvm = { .path = STR("/dev/kvm"), .fd = FD_NONE },
		.serial = none,
		.console = none,
		.control = none,
		.vsock = { .ports = none, .kept = none },
		.append = "",
		.memory_bytes = UINT64_C(512) << 20,
		.cpus = 1,
		.jail = true,
	};

	for (int i = 0; i < argc; i++)
		if (parse_word(argc, argv, &i, &o, e) < 0)
			return -1;
	if (o.inflate_bytes >= o.memory_bytes)
		return err_set(e, ERR_INVALID, EINVAL, "--inflate: that is all of the memory");
	if (file_option_given(&o.restore_state) &&
	    (file_option_given(&o.kernel) || file_option_given(&o.initrd) || o.append[0]))
		return err_set(e, ERR_INVALID, EINVAL,
			       "--restore goes without --kernel, --initrd and --append");
	if (!o.help && !o.version && !file_option_given(&o.kernel) &&
	    !file_option_given(&o.restore_state))
		return err_set(e, ERR_INVALID, EINVAL, "--kernel is missing; see --help");
	*ret_o = o;
	return 0;
}
