# SPDX-License-Identifier: Apache-2.0
"""
atoll-sentry: what a config.json says of rights and limits: filters of system calls, the guest's own
and the engine's.
"""
import errno
import json
import os
import struct
import subprocess

import pytest

from lib import engine_specs, guest, sentry

pytestmark = [pytest.mark.timeout(60),
              pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")]

# Of x86-64, and of seccomp(2).
MKDIR, SYNC = 83, 162
ALLOW, ERRNO, KILL = 0x7fff0000, 0x00050000, 0x80000000
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06


@pytest.fixture(scope="module")
def box(build, base):
    s = sentry.Sentries(build, base)
    sentry.need(s)
    return s


def program(fates):
    """A filter: {number of a call: what becomes of it}; all else is allowed."""
    code = struct.pack("<HBBI", LOAD, 0, 0, 0)
    for nr, fate in fates.items():
        code += struct.pack("<HBBI", EQUAL, 0, 1, nr) + struct.pack("<HBBI", RETURN, 0, 0, fate)
    return code + struct.pack("<HBBI", RETURN, 0, 0, ALLOW)


# ---- seccomp ----


@pytest.fixture(scope="module")
def confined(base):
    return guest.compiled("guest_confined.c", base)


def test_filters_of_the_guest(box, confined):
    """The same program says the same as on the host's kernel."""
    own = subprocess.run([confined], capture_output=True, timeout=60, check=True).stdout
    r = box.run("cat >/tmp/p; chmod +x /tmp/p; /tmp/p", stdin=confined.read_bytes())
    assert r.returncode == 0, r.stderr
    before, after = own.decode().split("NoNewPrivs")
    here, there = r.stdout.decode().split("NoNewPrivs")
    assert here == before == ("1 9\n4321 1 7 1 1\n0 0\n1 31\nstill here\n0 0\n66\n0 0\n-55 1\n0 0\n")
    assert there == ":\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n" and "Seccomp:\t2\n" in after


def test_an_engines_filter(box, base):
    """It is there from the first instruction on, for children, and for what is executed."""
    path = base / "filter"
    path.write_bytes(program({MKDIR: ERRNO | errno.ENOTTY, SYNC: KILL}))
    r = box.run("mkdir /x 2>&1; sync; echo $?; grep -i seccomp /proc/self/status; "
                "sh -c 'sync; echo $?'", "--seccomp", path,
                linux_seccomp={"defaultAction": "SCMP_ACT_ALLOW"})
    said = r.stdout.decode()
    assert said == ("mkdir: can't create directory '/x': Inappropriate ioctl for device\n159\n"
                    "Seccomp:\t2\nSeccomp_filters:\t1\n159\n"), r
    with open(path, "rb") as f:
        r = subprocess.run(box.command(sentry.config(["sync"]), "--seccomp", f"fd:{f.fileno()}"),
                           pass_fds=[f.fileno()], capture_output=True, timeout=60, check=False)
    assert r.returncode == 128 + 31, r


def test_an_exec_has_the_filter(box, base):
    path = base / "filter-of-exec"
    path.write_bytes(program({MKDIR: ERRNO | errno.ENOTTY}))
    null = os.open("/dev/null", os.O_RDWR)
    with box.start("sleep 100", "--seccomp", path) as s:
        assert s.ask("start") == {}
        spec = sentry.config(["sh", "-c", "mkdir /x 2>/dev/null || exit 5"])["process"]
        reply = s.ask("exec", fds=(null, null, null), spec=spec)
        assert s.ask("wait", process=reply["process"])["status"] == 5
    os.close(null)


@pytest.mark.parametrize("code, why", [
    (b"", "0 bytes are no program"),
    (b"x" * 12, "12 bytes are no program"),
    (struct.pack("<HBBI", LOAD, 0, 0, 0), "no program that seccomp(2) would run"),
    (program({}) * 2049, "File too large"),
])
def test_no_filters(box, base, code, why):
    path = base / "no-filter"
    path.write_bytes(code)
    r = box.run(["true"], "--seccomp", path)
    assert r.returncode == 125 and why in r.stderr.decode() and r.stderr.count(b"\n") == 1, r


def test_seccomp_that_is_refused(box, base):
    path = base / "good-filter"
    path.write_bytes(program({}))
    r = box.run(["true"], linux_seccomp={"defaultAction": "SCMP_ACT_ALLOW"})
    assert r.returncode == 125 and b"no linux.seccomp that was not compiled" in r.stderr
    r = box.run(["true"], "--seccomp", path, linux_seccomp={
        "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/x"})
    assert r.returncode == 125 and b"no linux.seccomp.listenerPath" in r.stderr


# ---- limits, settings ----


def test_the_number_of_tasks(box):
    r = box.run("cd /sys/fs/cgroup; cat pids.max pids.current; for i in 1 2 3 4 5 6; do "
                "sleep 100 & done; echo all", linux_resources={"pids": {"limit": 4}})
    assert (r.returncode, r.stdout) == (2, b"4\n2\n"), r
    assert b"fork: Resource temporarily unavailable" in r.stderr
    r = box.run("sleep 0.1 & sleep 0.1 & wait; sleep 0.1 & wait; cat /sys/fs/cgroup/pids.events",
                linux_resources={"pids": {"limit": 3}})
    assert (r.returncode, r.stdout) == (0, b"max 0\n"), r
    for limit in (-1, None):
        r = box.run("cat /sys/fs/cgroup/pids.max",
                    linux_resources={"pids": {"limit": limit} if limit else {}})
        assert r.stdout == b"max\n", r


def test_an_exec_is_not_held_back(box):
    """What comes from outside is counted, and not refused: as what is moved into a cgroup."""
    null, (end, out) = os.open("/dev/null", os.O_RDWR), os.pipe()
    with box.start("sleep 100", linux_resources={"pids": {"limit": 1}}) as s:
        assert s.ask("start") == {}
        spec = sentry.config(["cat", "/sys/fs/cgroup/pids.current"])["process"]
        reply = s.ask("exec", fds=(null, out, null), spec=spec)
        assert s.ask("wait", process=reply["process"]) == {}
        assert os.read(end, 100) == b"2\n"
        spec = sentry.config(["sh", "-c", "true & wait"])["process"]
        reply = s.ask("exec", fds=(null, null, null), spec=spec)
        assert s.ask("wait", process=reply["process"])["status"] == 2
    for fd in (null, end, out):
        os.close(fd)


def test_settings(box):
    r = box.run("cd /proc/sys; cat kernel/domainname kernel/sem kernel/shmmax fs/mqueue/msg_max "
                "net/ipv4/ip_unprivileged_port_start net/ipv4/ping_group_range "
                "net/core/somaxconn vm/max_map_count; nc -l -p 80 & sleep 0.2; kill %1 && echo ok",
                process_user={"uid": 7, "gid": 7}, process_capabilities={}, linux_sysctl={
                    "kernel.domainname": "d.example", "kernel.sem": "100 1000 10 5",
                    "kernel.shmmax": "65536", "fs.mqueue.msg_max": "20",
                    "net.ipv4.ip_unprivileged_port_start": "0",
                    "net.ipv4.ping_group_range": "0 2147483647", "net.core.somaxconn": "128",
                    "vm.max_map_count": "65530"})
    assert r.stdout.decode() == ("d.example\n100\t1000\t10\t5\n65536\n20\n0\n0\t2147483647\n128\n"
                                 "65530\nok\n"), r


@pytest.mark.parametrize("changes, why", [
    ({"linux_sysctl": {"net.ipv4.tcp_nothing": "1"}}, "has no 'net.ipv4.tcp_nothing'"),
    ({"linux_sysctl": {"vm.swappiness": "60"}}, "does not change 'vm.swappiness'"),
    ({"linux_sysctl": {"kernel.shmmax": "x"}}, "'kernel.shmmax' cannot have this value"),
    ({"linux_devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}]},
     "no '/dev/fuse': device 'c' 10:229"),
    ({"linux_devices": [{"path": "/dev/sda", "type": "b", "major": 8, "minor": 0}]},
     "device 'b' 8:0"),
    ({"linux_devices": [{"path": "dev/x", "type": "c", "major": 1, "minor": 3}]}, "no path"),
    ({"linux_devices": [{"path": "/etc/passwd", "type": "c", "major": 1, "minor": 3}]},
     "make '/etc/passwd': File exists"),
    ({"process_user": {"username": "nobody-here"}}, "no user 'nobody-here' in /etc/passwd"),
    ({"process_user": {"username": "root:none"}}, "no group 'none' in /etc/group"),
    ({"process_scheduler": {"policy": "SCHED_DEADLINE", "runtime": 1, "deadline": 2,
                            "period": 2}}, "SCHED_DEADLINE"),
    ({"process_scheduler": {"policy": "SCHED_FIFO", "priority": 0}}, "process.scheduler"),
    ({"process_ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 2}}, "process.ioPriority"),
    ({"mounts": [{"destination": "/m", "type": "proc", "options": ["hidepid=2"]}]},
     "no option 'hidepid=2'"),
    ({"mounts": [{"destination": "/m", "type": "mqueue", "options": ["mode=1"]}]},
     "no option 'mode=1'"),
])
def test_what_is_refused(box, changes, why):
    r = box.run(["true"], **changes)
    said = r.stderr.decode()
    assert r.returncode == 125 and r.stdout == b"" and why in said and said.count("\n") == 1, r


def test_devices(box):
    r = box.run("stat -c '%n %t:%T %a %u %g' /dev/zero /nodes/null /nodes/tty /dev/pipe; "
                "echo x >/nodes/null && echo good",
                linux_devices=[
                    {"path": "/dev/zero", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640,
                     "uid": 3, "gid": 4},
                    {"path": "/nodes/null", "type": "c", "major": 1, "minor": 3,
                     "fileMode": 0o666},
                    {"path": "/nodes/tty", "type": "u", "major": 5, "minor": 0},
                    {"path": "/dev/pipe", "type": "p", "fileMode": 0o600}])
    assert r.stdout.decode() == ("/dev/zero 1:5 640 3 4\n/nodes/null 1:3 666 0 0\n"
                                 "/nodes/tty 5:0 666 0 0\n/dev/pipe 0:0 600 0 0\ngood\n"), r


def test_users_by_name(box):
    """They are the guest's own, and an exec's, too."""
    r = box.run("id; echo $HOME", process_user={"username": "root"},
                process_env=["PATH=/bin"])
    assert r.stdout == b"uid=0(root) gid=0(root)\n/\n", r
    with box.start("echo me:x:77:78:me:/home/me:/bin/sh >>/etc/passwd; "
                   "echo mine:x:79:me >>/etc/group; echo ready; sleep 100") as s:
        assert s.ask("start") == {}
        assert s.p.stdout.readline() == b"ready\n"
        null, (end, out) = os.open("/dev/null", os.O_RDWR), os.pipe()
        spec = sentry.config(["sh", "-c", "id -u; id -g; id -G; echo $HOME"],
                             process_user={"username": "me"},
                             process_env=["PATH=/bin"])["process"]
        reply = s.ask("exec", fds=(null, out, null), spec=spec)
        assert s.ask("wait", process=reply["process"]) == {}
        assert os.read(end, 100) == b"77\n78\n78 79\n/home/me\n"
        for fd in (null, end, out):
            os.close(fd)


def test_turns_and_personality(box):
    r = box.run("uname -m; cut -d' ' -f18,19,40,41 /proc/self/stat",
                process_scheduler={"policy": "SCHED_RR", "priority": 7},
                linux_personality={"domain": "LINUX32"})
    assert r.stdout.decode() == "i686\n-8 0 7 2\n", r
    r = box.run("uname -m; cut -d' ' -f18,19,40,41 /proc/self/stat",
                process_scheduler={"policy": "SCHED_BATCH", "nice": 5},
                linux_personality={"domain": "LINUX"})
    assert r.stdout.decode() == "x86_64\n25 5 0 3\n", r


def test_what_engines_mount(box):
    """Types and options as docker, podman and containerd write them."""
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc",
         "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
         "options": ["nosuid", "noexec", "nodev", "rprivate"]},
        {"destination": "/etc", "type": "tmpfs", "source": "tmpfs",
         "options": ["rw", "rprivate", "nosuid", "nodev", "tmpcopyup", "size=10%"]},
        {"destination": "/run", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k", "rslave"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
         "options": ["rprivate", "nosuid", "noexec", "nodev", "relatime", "ro"]},
        {"destination": "/bin/x", "type": "tmpfs", "options": ["noswap", "nr_inodes=5k", "rro"]},
    ]
    r = box.run("cat /proc/mounts; cat /etc/passwd; echo more >>/etc/passwd && stat -c %a /etc; "
                "touch /bin/x/y 2>/dev/null || echo ro", mounts=mounts)
    said = r.stdout.decode()
    for line in ("mqueue /dev/mqueue mqueue rw,nosuid,nodev,noexec,", "tmpfs /etc tmpfs rw,nosuid,",
                 "cgroup /sys/fs/cgroup cgroup2 ro,"):
        assert "\n" + line in "\n" + said, said
    assert said.endswith("root:x:0:0:root:/:/bin/sh\n1777\nro\n"), said


# ---- what engines write ----


def for_a_sandbox(spec, script):
    """What is others' to bring: root, terminal, binds, the network."""
    spec["mounts"] = [m for m in spec["mounts"] if m["type"] != "bind"]
    spec["process"].update(args=["/bin/sh", "-c", script], terminal=False)
    for n in spec["linux"]["namespaces"]:
        n.pop("path", None)
    return spec


SEES = ("grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status; umask; "
        "cat /sys/fs/cgroup/pids.max /proc/self/oom_score_adj; "
        "ulimit -n; "
        "echo x 2>/dev/null >/proc/sys/kernel/hostname || echo ro; "
        "echo x >/dev/null && cut -d' ' -f2 /proc/mounts | sort | tr '\\n' ' '")
EFFECTIVE = "CapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\n"
MOUNTED = "/ /dev /dev/mqueue /dev/pts "
SEEN = {
    "docker": (EFFECTIVE + "NoNewPrivs:\t0\nSeccomp:\t2\n0022\n100\n0\n1048576\nro\n",
               MOUNTED + "/dev/shm /proc /proc/sys /run/x "),
    "containerd": (EFFECTIVE + "NoNewPrivs:\t1\nSeccomp:\t2\n0022\nmax\n1000\n1024\nro\n",
                   MOUNTED + "/dev/shm /proc /proc/sys /run "),
    "podman": (EFFECTIVE + "NoNewPrivs:\t0\nSeccomp:\t2\n0022\n2048\n0\n1048576\nro\n",
               MOUNTED + "/opt /proc /proc/sys "),
}


@pytest.mark.parametrize("engine", sorted(engine_specs.ENGINES))
def test_what_engines_write(box, base, engine):
    path = base / "allow-all"
    path.write_bytes(program({}))
    spec = for_a_sandbox(engine_specs.ENGINES[engine](), SEES)
    r = subprocess.run(box.command(json.dumps(spec), "--seccomp", path), capture_output=True,
                       timeout=60, check=False)
    rights, mounts = SEEN[engine]
    said = r.stdout.decode()
    assert (r.returncode, r.stderr) == (0, b""), r
    assert said == rights + mounts + "/sys /sys/fs/cgroup ", said


def test_what_atoll_writes(box, base, atoll, busybox):
    """`atoll run`'s own, and `atoll-runtime spec`'s."""
    path = base / "allow-all"
    path.write_bytes(program({}))
    name = atoll("run", "-d", busybox, "sleep", "100").out.strip()
    own = json.loads((atoll.root / "workloads" / name / "config.json").read_text("utf-8"))
    subprocess.run([box.program.parent / "atoll-runtime", "spec", "--bundle", base], check=True,
                   timeout=60)
    for spec in (own, json.loads((base / "config.json").read_text("utf-8"))):
        spec = for_a_sandbox(spec, "echo fine")
        r = subprocess.run(box.command(json.dumps(spec), "--seccomp", path), capture_output=True,
                           timeout=60, check=False)
        assert (r.returncode, r.stdout, r.stderr) == (0, b"fine\n", b""), r
    atoll("rm", "-f", name)
