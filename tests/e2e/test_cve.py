# SPDX-License-Identifier: Apache-2.0
"""
Published vulnerabilities of container runtimes, one test each, named by its number: the attack as
it was, with an effect that can be seen. ATOLL_CVE_RUNTIME=/usr/sbin/runc (or crun) runs those of
the runtime against another one, which is how "fails on" below is known.
"""
import contextlib
import os
import stat
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import pytest

from lib import images, leaks
from lib.run import Runtime
from lib.wait import until

RACE_S = 3
PATIENCE_S = 60  # at most
ids = (f"atoll-cve-{os.getpid()}-{n}" for n in count())


@pytest.fixture(scope="module")
def oci(build, base):
    r = Runtime(build, base)
    r.path = os.environ.get("ATOLL_CVE_RUNTIME", r.path)
    yield r
    r.clean()


@pytest.fixture
def id(oci):
    i = next(ids)
    yield i
    oci.try_("delete", "--force", i)


@pytest.fixture
def hostile(oci, base):
    """hostile(prepare, args, change): runs a bundle whose root `prepare` has altered."""
    def go(prepare=lambda root: None, args=("/bin/true",), change=None, **process):
        i = next(ids)
        root = images.busybox_rootfs(base / f"root-{i}")
        prepare(root)
        r = oci.try_("run", "-b", images.bundle(base / f"hostile-{i}", root, args, change,
                                                **process), i)
        oci.try_("delete", "--force", i)
        return r
    return go


@pytest.fixture
def outside(base):
    """A directory of the host, which has to stay as it is."""
    d = base / f"outside-{next(ids)}"
    d.mkdir()
    (d / "precious").write_text("precious")
    yield d
    assert [p.name for p in d.iterdir()] == ["precious"], "the host was changed"
    assert (d / "precious").read_text() == "precious"


def mount(destination, source, type="bind", *options):
    return {"destination": destination, "type": type, "source": str(source),
            "options": [*options] or (["bind"] if type == "bind" else [])}


def link(name, target):
    def prepare(root):
        with contextlib.suppress(FileNotFoundError):
            (root / name).rmdir()
        (root / name).symlink_to(target)
    return prepare


def no_dev(spec):
    spec["mounts"] = [m for m in spec["mounts"] if not m["destination"].startswith("/dev")]


SWAP = """
import ctypes, sys
exchange, (a, b) = ctypes.CDLL(None).renameat2, (x.encode() for x in sys.argv[1:])
while True:
    exchange(-100, a, -100, b, 2)
"""


@contextlib.contextmanager
def swapping(a, b):
    """Another process that exchanges two names all the time: a container that shares a volume."""
    p = subprocess.Popen([sys.executable, "-c", SWAP, a, b])
    try:
        yield
    finally:
        p.kill()
        p.wait()


def for_a_while(met=lambda: True):
    """RACE_S; on a busy machine longer, until the attacked got through at least once."""
    start = time.monotonic()
    while (t := time.monotonic() - start) < RACE_S or (t < PATIENCE_S and not met()):
        yield


# -- symbolic links and mounts

def test_cve_2019_18837(hostile, base, outside):
    """A volume's destination leads over the image's symbolic links to the host."""
    source = base / "source-18837"
    source.mkdir()
    (source / "file").write_text("text\n")
    for target in (outside, f"/../../../../..{outside}", f"../../../..{outside}"):
        r = hostile(link("mnt", target), ["/bin/cat", "/mnt/in/file"],
                    lambda s: s["mounts"].append(mount("/mnt/in", source)))
        assert r.out == "text\n", str(r)


def raced(oci, base, target, args, spec, met):
    """Runs a bundle for a while whose /vol is shared with somebody who swaps /vol/dir."""
    n = next(ids)
    vol = base / f"vol-{n}"
    (vol / "dir").mkdir(parents=True)
    (vol / "link").symlink_to(target)
    root = images.busybox_rootfs(base / f"root-{n}")

    def change(s):
        s["mounts"].append(mount("/vol", vol))
        spec(s)
    b = images.bundle(base / f"bundle-{n}", root, args, change)
    with swapping(vol / "dir", vol / "link"):
        for _ in for_a_while(met):
            i = next(ids)
            yield oci.try_("run", "-b", b, i), vol
            oci.try_("delete", "--force", i)


def test_cve_2021_30465(oci, base, outside):
    """
    A mount's destination is swapped for a link between the check and mount(2), by a container that
    shares the volume; then the mount is not where it was meant, but on the host's path.
    """
    some = 0
    for r, _ in raced(oci, base, outside, ["/bin/cat", "/proc/self/mountinfo"], lambda s: s[
            "mounts"].append(mount("/vol/dir/sub", "marker", "tmpfs")), lambda: some):
        some += r.rc == 0
        assert r.rc or " marker " in r.out, f"mounted outside of the container:\n{r}"
    assert some > 0


def test_cve_2024_45310(oci, base, outside):
    """
    Making a destination's parents goes astray over a swapped link: empty files and directories on
    the host. Fails on Debian's runc 1.1.5.
    """
    some = 0
    for r, _ in raced(oci, base, outside, ["/bin/true"], lambda s: s["mounts"].extend(
            mount(f"/vol/dir/a{n}/b/c", "x", "tmpfs") for n in range(5)), lambda: some):
        some += r.rc == 0
        assert [p.name for p in outside.iterdir()] == ["precious"], "made on the host"
    assert some > 0


@pytest.mark.parametrize("name", ["proc", "sys"])
def test_cve_2023_27561(hostile, name):
    """/proc or /sys of the image is a link: what is mounted there is what the image says. Also
    CVE-2019-19921 and CVE-2023-28642 (runc), CVE-2025-54867 (youki)."""
    r = hostile(link(name, "/tmp"))
    assert r.rc and "must be mounted on ordinary directory" in r.err, str(r)


def test_cve_2026_41579(hostile, base):
    """
    /dev of the image is a link: the runtime unlinks and makes ptmx and other names on the host.
    Also CVE-2026-47766 (crun). Fails on Debian's runc 1.1.5.
    """
    out = base / "outside-dev"
    out.mkdir()
    (out / "ptmx").write_text("precious")
    r = hostile(link("dev", out), change=no_dev)
    assert r.rc and "/dev" in r.err, str(r)
    assert (out / "ptmx").read_text() == "precious" and len(list(out.iterdir())) == 1


# -- what is masked, and the console

def harmless_target(spec):
    """A file of procfs that a container may not write, and whose change would show: its own."""
    spec["linux"]["maskedPaths"] = ["/proc/timer_list", "/etc/passwd"]
    spec["linux"]["readonlyPaths"] = ["/proc/sys"]


def test_cve_2025_31133(hostile, oci, base):
    """
    Paths are masked by a bind of the container's own /dev/null, which the image made a link: what
    it points to appears, writable, in the masked place. Also CVE-2025-62161 (youki). Fails on
    Debian's runc 1.1.5.
    """
    def change(spec):
        no_dev(spec)
        harmless_target(spec)

    # It says what lies on each masked path: its type, and its major and minor number.
    r = hostile(link("dev/null", "/proc/sys/kernel/core_pattern"),
                ["/bin/stat", "-c", "%F %t:%T", "/proc/timer_list", "/etc/passwd"], change)
    assert r.rc or r.out == "character special file 1:3\n" * 2, str(r)

    def dev_of_a_volume(s):
        s["mounts"] = [m for m in s["mounts"] if not m["destination"].startswith("/dev")]
        s["mounts"].append(mount("/dev", dev))
        harmless_target(s)

    dev = base / "dev-31133"
    dev.mkdir()
    os.mknod(dev / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    (dev / "other").symlink_to("/proc/sys/kernel/core_pattern")
    b = images.bundle(base / "bundle-31133", images.busybox_rootfs(base / "root-31133"),
                      ["/bin/stat", "-c", "%F %t:%T", "/proc/timer_list", "/etc/passwd"],
                      dev_of_a_volume)
    some = 0
    with swapping(dev / "null", dev / "other"):
        for _ in for_a_while(lambda: some):
            r = oci.try_("run", "-b", b, next(ids))
            some += r.rc == 0
            assert r.rc or r.out == "character special file 1:3\n" * 2, str(r)
    assert some > 0


def test_cve_2025_52565(oci, base, id):
    """
    /dev/console is bound from a path below /dev/pts that the container made a link to a file of
    procfs, before that is masked and read-only. Also CVE-2025-62596's class.
    """
    dev = base / "dev-52565"
    (dev / "pts").mkdir(parents=True)
    (dev / "console").symlink_to("/proc/sys/kernel/core_pattern")
    for n in range(4):
        (dev / "pts" / str(n)).symlink_to("/proc/sys/kernel/core_pattern")

    def change(s):
        s["mounts"] = [m for m in s["mounts"] if not m["destination"].startswith("/dev")]
        s["mounts"].append(mount("/dev", dev))
        harmless_target(s)
        s["process"]["terminal"] = True

    b = images.bundle(base / "bundle-52565", images.busybox_rootfs(base / "root-52565"),
                      ["/bin/sh", "-c", "stat -c %F /dev/console; cat /proc/self/mountinfo"], change)
    with oci.terminal("run", "-b", b, id) as t:
        t.wait()
        said = t.text.decode()
    assert "regular" not in said and "core_pattern" not in said, said


# -- procfs that is not what it seems

def test_cve_2019_16884(hostile, base):
    """
    A volume of the image lies on /proc: writes to /proc/self/attr and to sysctls go into files of
    the attacker, and the process runs without what was asked for. Also CVE-2025-52881.
    """
    fake = base / "fake-proc"
    for name in ("sys/net/ipv4/ip_default_ttl", "self/attr/exec", "thread-self/attr/exec"):
        (fake / name).parent.mkdir(parents=True, exist_ok=True)
        (fake / name).write_text("untouched")

    def change(s):
        s["mounts"] = [m for m in s["mounts"] if m["destination"] != "/proc"]
        s["mounts"] += [mount("/proc", fake), mount("/real", "proc", "proc")]
        s["linux"].update(sysctl={"net.ipv4.ip_default_ttl": "99"}, maskedPaths=[],
                          readonlyPaths=[])

    r = hostile(args=["/bin/cat", "/real/sys/net/ipv4/ip_default_ttl"], change=change)
    assert r.rc or r.out == "99\n", str(r)
    assert {f.read_text() for f in fake.rglob("*") if f.is_file()} == {"untouched"}


def test_cve_2025_52881(oci, base):
    """
    While the runtime sets up, another container swaps what is mounted as /proc: the write of a
    sysctl lands in another file, be it of a real procfs. Here it is where it belongs, or the
    container is not.
    """
    root = images.busybox_rootfs(base / "root-52881")
    fake = root / "fake/sys/net/ipv4/ip_default_ttl"
    fake.parent.mkdir(parents=True)
    fake.write_text("untouched")
    (root / "link").symlink_to("fake")

    def change(s):
        s["mounts"].append(mount("/real", "proc", "proc"))
        s["linux"]["sysctl"] = {"net.ipv4.ip_default_ttl": "98"}

    def over_proc(s):
        change(s)
        s["mounts"].append(mount("/proc/sys", root / "fake/sys"))

    read = ["/bin/cat", "/real/sys/net/ipv4/ip_default_ttl"]
    host = Path("/proc/sys/net/ipv4/ip_default_ttl").read_text()
    r = oci.try_("run", "-b", images.bundle(base / "bundle-52881-o", root, read, over_proc), next(ids))
    assert r.rc == 1 and "it is inside /proc" in r.err, str(r)
    b = images.bundle(base / "bundle-52881", root, read, change)
    some = 0
    with swapping(root / "proc", root / "link"):
        for _ in for_a_while(lambda: some):
            r = oci.try_("run", "-b", b, next(ids))
            some += r.rc == 0
            assert r.rc or r.out == "98\n", str(r)
    assert some > 0 and Path("/proc/sys/net/ipv4/ip_default_ttl").read_text() == host
    assert fake.read_text() == "untouched"


@pytest.mark.parametrize("key, value", [
    ("kernel.shm_rmid_forced", "0+kernel.core_pattern=|/evil"),
    ("kernel.shm_rmid_forced", "0\nkernel.core_pattern=|/evil"),
    ("kernel.core_pattern", "|/evil"), ("kernel/core_pattern", "|/evil"),
    ("net.ipv4/../../kernel/core_pattern", "|/evil"), ("net.../kernel/core_pattern", "|/evil"),
    ("kernel.shm_rmid_forced/../core_pattern", "|/evil"),
])
def test_cve_2022_0811(hostile, key, value):
    """Sysctls of the host are set through the value or the name of one that is allowed (CRI-O)."""
    at = Path("/proc/sys/kernel/core_pattern")
    before = at.read_text()
    r = hostile(change=lambda s: s["linux"].update(sysctl={key: value}))
    assert at.read_text() == before
    assert r.rc and key.split("/")[0][:10] in r.err, str(r)


# -- descriptors, directories, and the runtime's own file

@pytest.mark.parametrize("verb", ["run", "exec"])
def test_cve_2024_21626(oci, hostile, bundle, id, verb):
    """A leaked descriptor of a directory of the host is the working directory."""
    fd = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    look = ["/bin/sh", "-c", "ls ../../../.. 2>&1; pwd; ls -l /proc/self/fd"]
    os.set_inheritable(fd, True)
    if verb == "exec":
        oci.leave("run", "-d", "-b", bundle(["/bin/sleep", "1000"]), id)
    try:
        for n in sorted({*range(3, 14), fd}):
            cwd = f"/proc/self/fd/{n}"
            if verb == "run":
                r = oci.try_("run", "-b", bundle(look, cwd=cwd), next(ids), pass_fds=[fd])
            else:
                r = oci.try_("exec", "--cwd", cwd, id, *look, pass_fds=[fd])
            assert r.rc != 0 or "lost+found" not in r.out and "rootfs" not in r.out, (n, str(r))
        r = oci.try_("run", "-b", bundle(look), next(ids), pass_fds=[fd])
        links = [l.split(" -> ")[1] for l in r.out.splitlines() if " -> " in l]
        assert "/" not in links, str(r)
    finally:
        os.close(fd)


def test_cve_2019_5736(oci, bundle, base, id):
    """
    A program of the image is a link to /proc/self/exe: the runtime runs itself inside, and its file
    is open for writing from there. It finds the file read-only.
    """
    program = Path(oci.path)
    before = program.read_bytes()
    script = base / "evil"
    script.write_text("#!/proc/self/exe --help\n")
    script.chmod(0o755)
    grab = ("while :; do for p in /proc/[0-9]*; do "
            "if grep -q atoll-runtime $p/comm 2>/dev/null; then "
            "(exec 3>>$p/exe) 2>&1 | grep -v 'No such'; fi; done; done")
    oci.leave("run", "-d", "-b", bundle(["/bin/sh", "-c", grab], lambda s: s["mounts"].append(
        mount("/evil", script)), noNewPrivileges=False), id)
    for _ in range(20):
        r = oci.try_("exec", id, "/evil")
        # It did run, inside, as anything else does; linked dynamically it finds no loader.
        assert "Usage" in r.out or b"/ld-linux" in before, str(r)
    assert "atoll-runtime" not in oci("exec", id, "cat", "/proc/self/mountinfo").out
    assert program.read_bytes() == before


WATCH = r"""
while :; do
    for p in /proc/[0-9]*; do
        case $p in /proc/1|/proc/$$) continue;; esac
        # Before it is a program of ours: what is open, and where it is.
        if ! ls -l $p/exe 2>/dev/null | grep -q /bin/busybox; then
            # 0 to 2 and / are what any program has, as it may be one by now.
            ls -l $p/fd $p/cwd 2>/dev/null | grep -e '->' | grep -vE ' [012] ->|cwd -> /$' >> /seen
        fi
    done
    echo round >> /rounds
done
"""


def test_cve_2016_9962(oci, base, id):
    """
    What `exec` brings into the container is looked at by the container's root before it became the
    container's program: its descriptors are listed and opened. Held up right before it does, it is
    seen by all of them; fails on ours without PR_SET_DUMPABLE.
    """
    root = images.busybox_rootfs(base / "root-9962")
    b = images.bundle(base / "bundle-9962", root, ["/bin/sh", "-c", WATCH])
    oci.leave("run", "-d", "-b", b, id)
    until((root / "rounds").exists, "it watches")
    for _ in range(3):
        p = subprocess.run(["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=execve", "-e",
                            "inject=execve:delay_enter=300000", *oci.argv("exec", id, "/bin/true")],
                           stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
        if b"PTRACE" in p.stderr:
            pytest.skip("strace cannot trace here")
        assert p.returncode == 0, p.stderr
    assert not (root / "seen").exists() or (root / "seen").read_text() == "", \
        (root / "seen").read_text()[:2000]


def test_cve_2025_23266(hostile, base):
    """A hook ran with LD_PRELOAD of the image, as root, outside (NVIDIA's toolkit)."""
    log = base / "hook-env"
    script = base / "hook.sh"
    script.write_text(f"#!/bin/sh\nenv | grep -v OLDPWD >> {log}\n")
    script.chmod(0o755)
    kinds = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"]
    r = hostile(change=lambda s: s.update(hooks={k: [{"path": str(script)}] for k in kinds}),
                env=["PATH=/bin", "LD_PRELOAD=/evil.so", "MARK=of-the-image"])
    assert r.rc == 0 and log.read_text().count("PWD=") == len(kinds), str(r)
    assert "evil" not in log.read_text() and "of-the-image" not in log.read_text()


# -- numbers and powers

@pytest.mark.parametrize("user, got", [
    ("1", "1 0"), ("1:50", "1 50"), ("01", None), ("1x", None), ("-1", None), (" 1", None),
    ("0x1", None), ("1:", None), (":1", None), ("4294967295", None), ("4294967296", None),
    ("1:4294967296", None), ("18446744073709551616", None)])
def test_cve_2026_30892(oci, bundle, id, user, got):
    """`exec -u 1` ran as root (crun); anything but a whole number that fits is nobody.
    4294967296 is root for Debian's runc 1.1.5."""
    oci.leave("run", "-d", "-b", bundle(["/bin/sleep", "1000"]), id)
    r = oci.try_("exec", "-u", user, id, "sh", "-c", "echo $(id -u) $(id -g)")
    assert r.out.strip() in ({got} if got else {"", "1 0"} if user == "01" else {""}), str(r)
    assert got is None or r.rc == 0, str(r)


@pytest.mark.parametrize("user", [{"uid": 4294967296, "gid": 0}, {"uid": 4294967295, "gid": 0},
                                  {"uid": -1, "gid": 0}, {"uid": 0, "gid": 4294967296},
                                  {"uid": 0, "gid": 0, "additionalGids": [4294967296]}])
def test_cve_2024_40635(hostile, user):
    """A user id that does not fit wraps to root, or means "unchanged", which is root too."""
    r = hostile(args=["/bin/id", "-u"], user=user)
    assert r.rc and "process.user" in r.err and not r.out, str(r)


def test_cve_2022_29162(oci, bundle, id):
    """Inheritable capabilities that nobody asked for, of what is executed later. Also
    CVE-2022-27650 (crun)."""
    oci.leave("run", "-d", "-b", bundle(["/bin/sleep", "1000"]), id)
    for more in ([], ["--cap", "CAP_NET_ADMIN"], ["-u", "1000"]):
        out = oci("exec", *more, id, "grep", "-E", "CapInh|CapAmb", "/proc/self/status").out
        assert [int(l.split()[1], 16) for l in out.splitlines()] == [0, 0], out
    out = oci("exec", id, "grep", "CapInh", "/proc/1/status").out
    assert int(out.split()[1], 16) == 0


@pytest.mark.parametrize("what", ["namespace", "maps"])
def test_cve_2021_43784(hostile, what):
    """A length that does not fit its 16 bits lets the rest pass for other settings (runc)."""
    def change(s):
        if what == "namespace":
            s["linux"]["namespaces"][1]["path"] = "/proc/self/ns/net/" + "x" * 70000
        else:
            one = [{"containerID": n, "hostID": 100000 + n, "size": 1} for n in range(5000)]
            s["linux"]["namespaces"].append({"type": "user"})
            s["linux"].update(uidMappings=one, gidMappings=one)
    r = hostile(change=change)
    assert r.rc == 1 and ("network" in r.err if what == "namespace" else "appings" in r.err), str(r)


# -- state of ours

def test_cve_2024_25621(oci, atoll, busybox, bundle, id):
    """Directories of state that others may enter and read (containerd)."""
    oci.leave("run", "-d", "-b", bundle(["/bin/sleep", "1000"]), id)
    name = atoll("run", "-d", busybox, "sleep", "1000").line
    try:
        closed = [oci.state_dir / id, atoll.root / "workloads", atoll.root / "blobs",
                  atoll.state / "workloads", atoll.root / "atoll.db"]
        for p in closed:
            assert p.exists(), p
            d = subprocess.run(["ls", p] if p.is_dir() else ["head", "-c1", p], user=65534,
                               group=65534, extra_groups=[], capture_output=True, check=False)
            assert d.returncode, p
        for d in leaks.processes(str(atoll.base)):
            pid = d.split()[0]
            assert subprocess.run(["ls", f"/proc/{pid}/fd"], user=65534, group=65534,
                                  extra_groups=[], capture_output=True, check=False).returncode
    finally:
        atoll("rm", "-f", name)


def test_cve_2021_41103(atoll, busybox):
    """A user of the host runs a setuid program that a container left in its own files."""
    name = atoll("run", "-d", "-v", "vol:/v", busybox, "sh", "-c",
                 "for d in /v /bin; do cp /bin/busybox $d/up; chmod 4755 $d/up; done; "
                 "touch /done; sleep 1000").line
    try:
        until(lambda: atoll.try_("exec", name, "test", "-e", "/done").rc == 0, "it is there")
        found = [p for p in atoll.root.rglob("up") if p.is_file()]
        assert len(found) == 2
        for p in found:
            with pytest.raises(PermissionError):
                subprocess.run([p, "id"], user=65534, group=65534, extra_groups=[], check=False)
    finally:
        atoll("rm", "-f", name)
        atoll("volume", "rm", "vol")


def abstract_sockets(pids):
    """Names of abstract sockets that these processes hold."""
    rows = (l.split() for l in Path("/proc/net/unix").read_text().splitlines()[1:])
    names = {r[6]: r[7] for r in rows if len(r) > 7 and r[7].startswith("@")}
    links = [l for p in pids for l in leaks.fds(p).values() if l.startswith("socket:[")]
    return [names[l[8:-1]] for l in links if l[8:-1] in names]


def test_cve_2020_15257(oci, atoll, busybox, bundle, id):
    """The shim is reached over an abstract socket, by any root that has the host's network."""
    name = atoll("run", "-d", "--network", "host", busybox, "sleep", "1000").line
    oci.leave("create", "-b", bundle(["/bin/sleep", "1000"]), id)
    try:
        pids = [int(p.split()[0]) for p in leaks.processes(str(atoll.base))]
        assert len(pids) >= 2 and abstract_sockets(pids) == []
        sockets = [p for p in atoll.state.rglob("*") if p.is_socket()]
        assert sockets, "the shim has one, by name"
        for s in sockets:
            assert not s.parent.stat().st_mode & 0o077 or not s.stat().st_mode & 0o077, s
    finally:
        atoll("rm", "-f", name)


# -- duties of the engine above

def test_cve_2018_15664(atoll, busybox, base, outside):
    """
    `cp` looks at a path, and then goes it again: a link that the workload put there meanwhile leads
    to the host, in both directions.
    """
    swap = (f"mkdir /a; echo inside > /a/precious; ln -s {outside} /b; "
            "while :; do mv -T /a /c; mv -T /b /a; mv -T /c /b; "
            "mv -T /a /c; mv -T /b /a; mv -T /c /b; done")
    name = atoll("run", "-d", busybox, "sh", "-c", swap).line
    try:
        (base / "put").write_text("put")
        into = base / "got"
        for _ in for_a_while():
            atoll.try_("cp", base / "put", f"{name}:/a/put")
            assert not (outside / "put").exists()
            into.unlink(missing_ok=True)
            atoll.try_("cp", f"{name}:/a/precious", into)
            assert not into.exists() or into.is_symlink() or into.read_text() == "inside\n"
    finally:
        atoll("rm", "-f", name)


def test_cve_2022_23648(atoll, base, outside):
    """A volume that the image declares leads out of it, and its content is copied from the host."""
    up = "/../../../../../../../.."
    tar = images.docker_archive(base / "volume.tar", [images.layer(images.busybox_entries())],
                                ["volume:latest"], Cmd=["sh"],
                                Volumes={f"{up}{outside}": {}, f"/tmp{up}{outside}/": {}})
    atoll("load", "-i", tar)
    r = atoll.try_("run", "--rm", "volume:latest", "sh", "-c",
                   f"cat {outside}/precious {up}{outside}/precious; find / -name precious -xdev")
    assert "precious" not in r.out, str(r)


def test_cve_2023_25173(atoll, busybox, base):
    """Groups of the image's user are not set up, or root's stay: what is closed to a group opens."""
    for user, groups in (("tester", "1000 50"), ("1000", "1000 50"), ("65534:77", "77")):
        got = atoll("run", "--rm", "-u", user, busybox, "id", "-G").line.split()
        assert set(groups.split()) == set(got) and "0" not in got, (user, got)
    shut = base / "shut"
    shut.mkdir()
    shut.chmod(0o705)  # open to all but one group, which user 1000 is a member of
    os.chown(shut, 0, 50)
    atoll.fails("run", "--rm", "-u", "tester", "-v", f"{shut}:/shut", busybox, "ls", "/shut")


@pytest.mark.parametrize("user", ["4294967296", "4294967295", "2147483648", "0:4294967296",
                                  "-1", "18446744073709551616"])
def test_cve_2024_40635_of_images(atoll, base, user):
    """As above, with the number in the image's configuration."""
    tag = f"wraps{abs(hash(user))}:latest"
    tar = images.docker_archive(base / "wraps.tar", [images.layer(images.busybox_entries())], [tag],
                                Cmd=["id", "-u"], User=user)
    atoll("load", "-i", tar)
    r = atoll.fails("run", "--rm", tag, rc=125)
    assert not r.out and user.split(":")[-1] in r.err, str(r)


def test_cve_2022_24769(atoll, busybox):
    """Inheritable capabilities that nobody asked for, of a container and of its exec (docker)."""
    name = atoll("run", "-d", busybox, "sleep", "1000").line
    try:
        show = ["grep", "-hE", "CapInh|CapAmb"]
        out = atoll("exec", name, *show, "/proc/self/status", "/proc/1/status").out
        out += atoll("exec", "-u", "1000", name, *show, "/proc/self/status").out
        out += atoll("exec", "--privileged", name, "grep", "CapAmb", "/proc/self/status").out
        assert {int(l.split()[1], 16) for l in out.splitlines()} == {0}, out
    finally:
        atoll("rm", "-f", name)
