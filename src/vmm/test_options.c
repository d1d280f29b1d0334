/* SPDX-License-Identifier: Apache-2.0 */
#include "base/auto.h"
#include "base/test.h"
#include "vmm/options.h"

static struct options o;
static struct err e;

#define WORDS_MAX 16

static int parse(const char *const *words)
{
	char *copies[WORDS_MAX] = { NULL };
	static char text[WORDS_MAX][3000];
	int n = 0;

	for (; words[n]; n++) {
		(void) snprintf(text[n], sizeof(text[n]), "%s", words[n]);
		copies[n] = text[n];
	}
	e.msg[0] = '\0';
	return options_parse(n, copies, &o, &e);
}

#define PARSE(...) parse((const char *const[]){ __VA_ARGS__, NULL })

static void test_all(void)
{
	CHECK(PARSE("--kernel", "fd:5", "--memory=1G", "--cpus", "16", "--disk", "a,ro", "--disk",
		    "fd:7", "--append", "x y", "--no-jail") == 0);
	CHECK(o.kernel.fd == 5 && o.memory_bytes == UINT64_C(1) << 30 && o.cpus == 16);
	CHECK(o.disks_n == 2 && o.disks[0].read_only && str_is(o.disks[0].file.path, "a"));
	CHECK(o.disks[1].file.fd == 7 && !o.disks[1].read_only);
	CHECK_STR(o.append, "x y");
	CHECK(!o.jail && str_is(o.kvm.path, "/dev/kvm") && !file_option_given(&o.serial));
	CHECK(PARSE("--kernel", "k", "--net", "packet=fd:3,mac=02:00:00:00:aB:01,mtu=1400",
		    "--vsock",
		    "cid=3,listen=fd:0,forward=1025:fd:9,forward=5:/p,ports=1026:fd:11,keep=fd:12",
		    "--fs", "tag=atoll,socket=/s") == 0);
	CHECK(o.nets[0].limits[0].bytes == 0 && o.nets[0].limits[1].ops == 0);
	CHECK(o.jail && o.nets_n == 1 && o.nets[0].kind == LINK_PACKET && o.nets[0].mtu == 1400);
	CHECK(memcmp(o.nets[0].mac, "\x02\0\0\0\xab\x01", 6) == 0);
	CHECK(o.vsock.cid == 3 && o.vsock.listen.fd == 0 && o.vsock.forwards_n == 2);
	CHECK(o.vsock.forwards[0].port == 1025 && o.vsock.forwards[0].file.fd == 9);
	CHECK(str_is(o.vsock.forwards[1].file.path, "/p"));
	CHECK(o.vsock.ports_to == 1026 && o.vsock.ports.fd == 11 && o.vsock.kept.fd == 12);
	CHECK(str_is(o.fs.tag, "atoll") && str_is(o.fs.socket.path, "/s"));
}

static void test_limits(void)
{
	CHECK(PARSE("--kernel", "k", "--disk", "a,b,read-bps=5,ro,write-iops=7", "--disk",
		    "x,read-iops=1,write-bps=2", "--net",
		    "packet=fd:3,mac=02:00:00:00:00:01,rx-bps=1,rx-pps=2,tx-bps=3,tx-pps=4",
		    "--memory", "1G", "--inflate", "512M") == 0);
	CHECK(str_is(o.disks[0].file.path, "a,b") && o.disks[0].read_only);
	CHECK(o.disks[0].limits[0].bytes == 5 && o.disks[0].limits[1].ops == 7);
	CHECK(o.disks[0].limits[0].ops == 0 && o.disks[0].limits[1].bytes == 0);
	CHECK(o.disks[1].limits[0].ops == 1 && o.disks[1].limits[1].bytes == 2);
	CHECK(o.nets[0].limits[0].bytes == 1 && o.nets[0].limits[0].ops == 2);
	CHECK(o.nets[0].limits[1].bytes == 3 && o.nets[0].limits[1].ops == 4);
	CHECK(o.balloon && o.inflate_bytes == 512u << 20);
	CHECK(PARSE("--kernel", "k", "--disk", "x,read-bps=") < 0);
	CHECK(PARSE("--kernel", "k", "--disk", "x,read-bps=-1") < 0);
	CHECK(PARSE("--kernel", "k", "--disk", ",ro") < 0);
	CHECK(PARSE("--kernel", "k", "--net", "tap=fd:3,mac=02:00:00:00:00:01,rx-bps=x") < 0);
	CHECK(PARSE("--kernel", "k", "--memory", "64M", "--inflate", "64M") < 0);
}

static void test_restore(void)
{
	CHECK(PARSE("--restore", "s,fd:7", "--paused") == 0);
	CHECK(str_is(o.restore_state.path, "s") && o.restore_memory.fd == 7 && o.paused);
	CHECK(PARSE("--kernel", "k") == 0 && !o.paused && o.restore_state.fd == FD_NONE);
	CHECK(PARSE("--restore", "s") < 0);
	CHECK(PARSE("--restore", "s,") < 0);
	CHECK(PARSE("--restore", ",m") < 0);
	CHECK(PARSE("--restore", "s,m", "--restore", "s,m") < 0);
	CHECK(PARSE("--restore", "s,m", "--kernel", "k") < 0);
	CHECK(PARSE("--restore", "s,m", "--append", "x") < 0);
	CHECK_STR(e.msg, "--restore goes without --kernel, --initrd and --append");
}

static void test_refused(void)
{
	static char long_text[2049];

	memset(long_text, 'x', 2048);
	CHECK(PARSE("--cpus", "1") < 0); /* no kernel */
	CHECK_STR(e.msg, "--kernel is missing; see --help");
	CHECK(PARSE("--kernel", "k", "--cpus", "0") < 0);
	CHECK(PARSE("--kernel", "k", "--cpus", "17") < 0);
	CHECK(PARSE("--kernel", "k", "--memory", "31M") < 0);
	CHECK(PARSE("--kernel", "k", "--memory", "2048G") < 0);
	CHECK(PARSE("--kernel", "k", "--append", long_text) < 0);
	CHECK(PARSE("--kernel", "k", "--disk", "") < 0);
	CHECK(PARSE("--kernel", "k", "--disk", "fd:x") < 0);
	CHECK(PARSE("--kernel", "k", "--disk", "fd:-1") < 0);
	CHECK(PARSE("--kernel", "k", "--net", "tap=fd:3") < 0);
	CHECK(PARSE("--kernel", "k", "--net", "tap=fd:3,mac=02:00:00:00:00:01,mtu=67") < 0);
	CHECK(PARSE("--kernel", "k", "--net", "tap=fd:3,mac=01:00:00:00:00:01") < 0);
	CHECK(PARSE("--kernel", "k", "--net", "tap=fd:3,tap=fd:4,mac=02:00:00:00:00:01") < 0);
	CHECK(PARSE("--kernel", "k", "--vsock", "cid=2,listen=a") < 0);
	CHECK(PARSE("--kernel", "k", "--vsock", "cid=3") < 0);
	CHECK(PARSE("--kernel", "k", "--vsock", "cid=3,listen=a,forward=b") < 0);
	CHECK(PARSE("--kernel", "k", "--vsock", "cid=3,listen=a,ports=fd:3") < 0);
	CHECK(PARSE("--kernel", "k", "--vsock", "cid=3,listen=a,keep=fd:3") < 0);
	CHECK(PARSE("--kernel", "k", "--fs", "tag=,socket=a") < 0);
	CHECK(PARSE("--kernel", "k", "--balloon=yes") < 0);
	CHECK(PARSE("--kernel", "k", "what") < 0);
	CHECK(PARSE("--kernel", "k", "--what") < 0);
	CHECK(PARSE("--kernel") < 0);
	CHECK_STR(e.msg, "--kernel needs a value");
}

int main(void)
{
	test_all();
	test_limits();
	test_restore();
	test_refused();
	return test_done();
}
