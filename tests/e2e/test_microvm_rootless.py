# SPDX-License-Identifier: Apache-2.0
"""
Machines of an ordinary user: what root's do, with nothing that is more than his. Here in QEMU's
emulation, or on KVM when he is in the group of /dev/kvm (ATOLL_MICROVM=kvm).
"""
import os
import shutil
import stat
from pathlib import Path

import pytest

from lib import kernels
from lib.rootless import User, UserAtoll
from lib.wait import until

SLOW_S = 120
MICROVM = ("--isolation=microvm", "--network", "none")
KVM = os.environ.get("ATOLL_MICROVM") == "kvm"
KVM_GROUP = 49_999  # whoever is in it may use the device
GROUPS = (KVM_GROUP,) if KVM else ()

pytestmark = pytest.mark.timeout(1500)


@pytest.fixture(scope="module")
def user(base):
    u = User(base)
    if KVM:  # a device as udev leaves it, in his mount namespace
        node = u.base / "kvm"
        os.mknod(node, 0o600 | stat.S_IFCHR, os.stat("/dev/kvm").st_rdev)
        os.chown(node, 0, KVM_GROUP)
        node.chmod(0o660)
        u.script += f"mount --bind {node} /dev/kvm\n"
    with u:
        yield u


@pytest.fixture(scope="module")
def mine(build, user):
    a = UserAtoll(build, user, groups=GROUPS)
    yield a
    a.clean()
    until(lambda: not a.keepers(), "the namespaces end with the last command")


@pytest.fixture(scope="module")
def image(mine, busybox_tar, user):
    tar = user.base / "busybox.tar"  # readable for him, wherever the cache is
    tar.write_bytes(Path(busybox_tar).read_bytes())
    mine("load", "-i", tar)
    return "busybox:latest"


@pytest.fixture(scope="module")
def bound(user):
    d = user.base / "bound"
    d.mkdir()
    os.chown(d, user.uid, user.uid)
    (d / "from-host").write_text("host\n")
    return d


@pytest.fixture(scope="module")
def machine(mine, image, bound):
    mine("run", "-d", "--name", "m", *MICROVM, "-v", f"{bound}:/mnt", "-v", f"{bound}:/ro:ro",
         "-m", "256m", "--cpus", "1", "--pids-limit", "77", image, "sh", "-c",
         "echo started; trap 'exit 3' TERM; while :; do sleep 0.2; done", timeout=SLOW_S)
    yield "m"
    mine.try_("rm", "-f", "m", timeout=SLOW_S)


def processes(user):
    """{pid: (command line, status)} of all that are his, or of ids that were granted to him."""
    found = {}
    for p in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path(f"/proc/{p}/cmdline").read_text().replace("\0", " ")
            status = dict(l.split(":\t", 1) for l in Path(f"/proc/{p}/status").read_text().splitlines()
                          if ":\t" in l)
        except (OSError, ValueError):
            continue
        uid = int(status["Uid"].split()[0])
        if uid == user.uid or user.first <= uid < user.first + 65536:
            found[int(p)] = line, status
    return found


def test_a_run(mine, image):
    """Its own kernel, with the exit status and the streams of its process."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    r = mine.try_("run", "--rm", "-i", *MICROVM, image, "sh", "-c",
                  "cat /proc/sys/kernel/random/boot_id; cat; echo err >&2; exit 7",
                  input="in", timeout=SLOW_S)
    assert (r.rc, r.err) == (7, "err\n") and r.out.endswith("in"), str(r)
    assert r.out.splitlines()[0] != boot.strip()
    assert mine.ids() == []


def test_where_it_is(mine, image, machine, user):
    """The kernel and the disks are his, none of the machine's directories is root's."""
    made = kernels.prepared(mine.root / "kernels")
    assert len(made) == 1
    made_by = all(map(shutil.which, ("mkfs.erofs", "mkfs.ext4")))
    disks = list((mine.root / "disks").iterdir()) if made_by else []
    assert bool(disks) == made_by and all(d.stat().st_uid == user.uid for d in disks)
    assert (mine.root / "kernels" / made[0]).stat().st_uid == user.uid
    row = mine("ps", "--format", "{{.Isolation}}").line
    assert row == ("microvm" if KVM else "microvm (emulated)"), row


def test_nothing_of_it_has_rights(mine, machine, user):
    """
    The machine's processes are in his user namespace, where they have no capability but those of a
    file server, and QEMU a user of its own, whose id was granted to him.
    """
    ours = {p: v for p, v in processes(user).items()
            if any(n in v[0] for n in ("atoll-proxy", "atoll-device", "atoll-vmm", "qemu-system"))}
    own = os.readlink("/proc/self/ns/user")
    kinds = set()
    for p, (line, status) in ours.items():
        assert os.readlink(f"/proc/{p}/ns/user") != own, line
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", line
        caps, uid = int(status["CapPrm"], 16) | int(status["CapEff"], 16), int(status["Uid"].split()[0])
        if "atoll-device fs" in line or "/atoll-device fs" in line:
            kinds.add("fs")
            assert caps & (1 << 21 | 1 << 12 | 1 << 19) == 0, line  # SYS_ADMIN, NET_ADMIN, SYS_PTRACE
        elif "qemu-system" in line:
            kinds.add("qemu")
            assert caps == 0 and uid != user.uid, line
        elif os.path.exists(f"/proc/{p}/task/{p}/children") and "qemu" in "".join(
                ours.get(int(c), ("",))[0] for c in
                Path(f"/proc/{p}/task/{p}/children").read_text().split()) and caps:
            kinds.add("keeper")
            assert caps == 1 << 5, line  # CAP_KILL, for the one that it keeps
        else:
            kinds.add("others")
            assert caps == 0, line
    assert kinds == ({"fs", "others"} if KVM else {"fs", "qemu", "keeper", "others"}), ours


def test_what_the_guest_sees(mine, machine):
    """Memory, whole processors, processes: limits that need no control group of the host's."""
    out = mine("exec", machine, "sh", "-c", "nproc; cat /sys/fs/cgroup/memory.max;"
               "cat /sys/fs/cgroup/pids.max; grep MemTotal /proc/meminfo; ls /sys/class/net",
               timeout=SLOW_S).out.split()
    assert out[:3] == ["1", str(256 << 20), "77"] and out[-1] == "lo"
    assert int(out[4]) < 256 << 10


def test_volumes(mine, machine, bound, user):
    """Both ways; what root or others of the guest write belongs to the ids that were granted."""
    out = mine("exec", machine, "sh", "-c",
               "cat /ro/from-host; touch /mnt/a /mnt/b; chown 1000:1000 /mnt/b; touch /ro/x || echo refused;"
               "chmod 777 /mnt", timeout=SLOW_S).out
    assert out == "host\nrefused\n"
    mine("exec", "-u", "1000:1000", machine, "touch", "/mnt/c", timeout=SLOW_S)
    assert [(bound / n).stat().st_uid - user.first for n in "bc"] == [999, 999]
    assert (bound / "a").stat().st_uid == user.uid
    (bound / "later").write_text("later\n")
    assert until(lambda: mine.try_("exec", machine, "cat", "/ro/later", timeout=SLOW_S).out == "later\n",
                 "the new file is seen")


def test_ids_that_are_not_his(mine, machine, bound):
    """A file of root's in there is nobody's for the guest, and cannot be taken."""
    (bound / "roots").write_text("secret\n")
    (bound / "roots").chmod(0o600)
    r = mine.try_("exec", machine, "sh", "-c", "stat -c %u /mnt/roots; cat /mnt/roots || chown 0 /mnt/roots",
                  timeout=SLOW_S)
    assert r.rc != 0 and r.out == "65534\n" and "secret" not in r.out, str(r)
    assert (bound / "roots").stat().st_uid == 0
    (bound / "roots").unlink()


def test_exec_and_terminal(mine, machine):
    r = mine.try_("exec", "-i", machine, "sh", "-c", "cat; echo e >&2; exit 9", input="in\n", timeout=SLOW_S)
    assert (r.rc, r.out, r.err) == (9, "in\n", "e\n"), str(r)
    assert mine.try_("exec", machine, "nosuch", timeout=SLOW_S).rc == 127
    with mine.terminal("exec", "-it", machine, "sh", "-c",
                       "trap 'exit 5' INT; tty; echo ready; while :; do sleep 0.1; done") as t:
        t.expect("/dev/pts/", SLOW_S)
        t.expect("ready", SLOW_S)
        t.write(b"\x03")
        assert t.wait(SLOW_S) == 5


def test_files_and_its_end(mine, machine, user):
    """cp both ways, logs, stop and what it leaves, another start, kill."""
    (user.base / "in").write_text("text")
    mine("cp", user.base / "in", f"{machine}:/root/in", timeout=SLOW_S)
    assert mine("exec", machine, "cat", "/root/in", timeout=SLOW_S).out == "text"
    assert mine("logs", machine).out == "started\n"
    assert mine.fails("pause", machine).err.count("needs a cgroup") == 1
    mine("stop", "-t", "60", machine, timeout=SLOW_S)
    assert mine("wait", machine).line == "3"
    until(lambda: not [v for v in processes(user).values() if "qemu" in v[0] or "atoll-vmm" in v[0]],
          "its processes end")
    mine("start", machine, timeout=SLOW_S)
    mine("cp", f"{machine}:/root/in", user.base / "run" / "out", timeout=SLOW_S)
    assert (user.base / "run" / "out").read_text() == "text", "its disk is kept"
    mine("kill", machine, timeout=SLOW_S)
    assert mine("wait", machine).line == "137"


def test_limits_that_need_a_cgroup(mine, image):
    """A part of a processor, and what a machine has beyond its limit, to grow."""
    r = mine.fails("run", "--rm", *MICROVM, "--cpus", "0.5", image, "true", rc=125, timeout=SLOW_S)
    assert "cannot set cpu limit" in r.err and "delegated" in r.err
    r = mine.fails("run", "--rm", *MICROVM, "-m", "256m", "--memory-max", "512m", image, "true", rc=125,
                   timeout=SLOW_S)
    assert "cannot set memory limit" in r.err, str(r)


def test_the_hosts_network(mine, image):
    """Through passt, which he may start."""
    if not shutil.which("passt"):
        pytest.skip("needs passt")
    if "\t00000000\t" not in Path("/proc/net/route").read_text():
        pytest.skip("needs a default route")
    out = mine("run", "--rm", "--isolation=microvm", "--network", "host", image, "ip", "addr", "show",
               "eth0", timeout=SLOW_S).out
    assert "inet 10.0.2.15/24" in out, out


def test_a_kernel_that_he_may_not_read(mine, user, base):
    """The error says how he gets one; a copy of his own does."""
    version = kernels.cloud()
    closed = base / "closed"
    closed.write_bytes(b"")
    closed.chmod(0o600)
    homes = [user.base / n for n in ("other-run", "other-data")]
    for d in homes:
        d.mkdir()
        os.chown(d, user.uid, user.uid)
    other = UserAtoll(mine.build, user)
    other.env = {**other.env, "XDG_RUNTIME_DIR": str(homes[0]), "XDG_DATA_HOME": str(homes[1])}
    other.prefix = user.prefix(f"mount --bind {closed} /boot/vmlinuz-{version}")
    r = other.fails("kernel", "use", version, timeout=SLOW_S)
    assert "may not be read by this user" in r.err and "atoll kernel use PATH" in r.err, str(r)
    copy = user.base / "vmlinuz"
    shutil.copy(f"/boot/vmlinuz-{version}", copy)
    copy.chmod(0o644)
    other("kernel", "use", copy, timeout=SLOW_S)
    assert [l.split()[-1] for l in other("kernel", "ls").out.splitlines() if str(copy) in l] == ["*"]
