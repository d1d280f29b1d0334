# SPDX-License-Identifier: Apache-2.0
"""atoll-runtime checkpoint and restore, through CRIU: what goes on afterwards, and what is refused."""
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from lib import cgroups, images, leaks
from lib.run import Result
from lib.wait import until

COUNTER = "i=0; while :; do i=$((i+1)); echo $i >> /tmp/count; sleep 0.05; done"


class Tty:
    """A terminal's master that came over a console socket."""

    def __init__(self, fd):
        self.fd, self.text = fd, b""

    def write(self, text):
        os.write(self.fd, text.encode())

    def expect(self, wanted, timeout=60):
        end = time.monotonic() + timeout
        while wanted.encode() not in self.text:
            assert select.select([self.fd], [], [], max(0, end - time.monotonic()))[0], self.text
            self.text += os.read(self.fd, 4096)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        os.close(self.fd)


@pytest.fixture
def unix(base):
    """The path of a console socket, and what takes the next terminal from it."""
    path = base / "tty.sock"
    s = socket.socket(socket.AF_UNIX)
    s.bind(str(path))
    s.listen()
    s.settimeout(60)

    def receive():
        c, _ = s.accept()
        with c:
            return Tty(socket.recv_fds(c, 100, 1)[1][0])

    yield path, receive
    s.close()
    path.unlink()


@pytest.fixture
def new_rootfs(base):
    return lambda: images.busybox_rootfs(Path(tempfile.mkdtemp(prefix="root-", dir=base)) / "fs")


@pytest.fixture(scope="module")
def rt(runtime, criu_path):
    runtime.options += ["--criu", str(criu_path)]
    return runtime


class Box:
    """A container of this runtime, its checkpoints, and their logs."""

    def __init__(self, rt, bundle, base, name):
        self.rt, self.bundle, self.name, self.base = rt, bundle, name, base
        self.images = base / f"images-{name}"

    def start(self, *args, stdin=subprocess.DEVNULL, stdout=None, stderr=None, env=None):
        """What stays behind gets files: a pipe of ours would end only with the container."""
        argv = self.rt.argv(*args)
        with open(self.base / "stdout", "wb+") as out, open(self.base / "stderr", "wb+") as err:
            p = subprocess.run(argv, stdin=stdin, stdout=stdout or out, stderr=stderr or err,
                               timeout=120, check=False, env=self.rt.environment(env))
            err.seek(0)
            out.seek(0)
            return Result(argv, p.returncode, out.read(), err.read())

    def run(self, **kw):
        r = self.start("run", "-d", "--bundle", self.bundle, self.name, **kw)
        assert r.rc == 0, str(r)
        return self

    def logs(self):
        return "".join(p.read_text(errors="replace")[-6000:] for p in self.images.glob("*.log"))

    def dump(self, *flags, **kw):
        r = self.rt.try_("checkpoint", "--image-path", self.images, *flags, self.name, **kw)
        assert r.rc == 0, f"{r}\n{self.logs()}"
        return r

    def restore(self, *flags, name=None, bundle=None, **kw):
        r = self.start("restore", "-d", "--image-path", self.images, "--bundle",
                       bundle or self.bundle, *flags, name or self.name, **kw)
        assert r.rc == 0, f"{r}\n{self.logs()}"
        return r

    def exec(self, *args, name=None, **kw):
        return self.rt("exec", name or self.name, *args, **kw)

    def delete(self, name=None):
        self.rt("delete", "--force", name or self.name)


@pytest.fixture
def box(rt, bundle, base, request, new_rootfs):
    made = []

    def make(args=("/bin/sh", "-c", COUNTER), change=None, name=None, **process):
        name = name or f"b{len(made)}-{re.sub(r'[^a-z0-9]', '', request.node.name)[:40]}"
        root = new_rootfs()

        def with_root(spec):
            spec["root"]["path"] = str(root)
            return change(spec) if change else None
        made.append(Box(rt, bundle(args, with_root, **process), base, name))
        return made[-1]

    yield make
    for b in made:
        rt.try_("delete", "--force", b.name)


def test_counts_on(box):
    b = box().run()
    count = lambda: int(b.exec("tail", "-n", "1", "/tmp/count").out or 0)
    until(lambda: b.rt.try_("exec", b.name, "cat", "/tmp/count").out.count("\n") > 3, "the counter counts")
    b.dump()
    b.rt.fails("state", b.name, says="does not exist")
    b.restore()
    s = b.rt.state(b.name)
    assert s["status"] == "running" and s["pid"] > 0
    before = count()
    until(lambda: count() > before + 2, "the counter goes on")
    seen = b.exec("cat", "/tmp/count").out.split()
    assert seen == [str(i + 1) for i in range(len(seen))]
    b.rt("kill", b.name, "KILL")
    until(lambda: b.rt.state(b.name)["status"] == "stopped", "it ends")
    b.rt("delete", b.name)


def counting(b, name=None):
    """It counts, without a gap."""
    count = lambda: b.exec("sh", "-c", "cat /tmp/count || true", name=name).out.split()
    n = len(count())
    until(lambda: len(count()) > n + 2, "the counter goes on")
    seen = count()
    assert seen == [str(i + 1) for i in range(len(seen))]


def test_left_running_and_restored_as_another(box, base, rootfs):
    b = box().run()
    counting(b)
    b.dump("--leave-running")
    assert b.rt.state(b.name)["status"] == "running"
    counting(b)
    b.delete()
    # The file went on, its writer goes back to where it was.
    b.restore(name=b.name + "-2")
    until(lambda: len(set(lines := b.exec("cat", "/tmp/count", name=b.name + "-2").out.split())) <
          len(lines), "it counts again what was counted after the dump")
    b.delete(b.name + "-2")


def test_files_keep_their_offsets(box):
    b = box(["/bin/sh", "-c", "seq 1 100 > /tmp/in; exec 5< /tmp/in; exec 6>> /tmp/out; "
             "exec 7> /tmp/gone; echo kept >&7; rm /tmp/gone; read x <&5; read x <&5; touch /tmp/up;"
             "while [ ! -e /tmp/go ]; do sleep 0.05; done; read x <&5; echo $x >&6;"
             "cat /proc/self/fd/7 >&6; exec sleep 1000"]).run()
    until(lambda: b.rt.try_("exec", b.name, "test", "-e", "/tmp/up").rc == 0, "it waits")
    b.dump()
    b.restore()
    b.exec("touch", "/tmp/go")
    until(lambda: b.exec("cat", "/tmp/out").out == "3\nkept\n", "the third line")


def test_pipes_of_the_caller_are_taken_over(box):
    b = box(["/bin/sh", "-c", "while read x; do echo got $x; echo err $x >&2; done"])
    ends = [os.pipe() for _ in range(6)]  # (read, write): in, out, err, and again
    try:
        b.run(stdin=ends[0][0], stdout=ends[1][1], stderr=ends[2][1])
        os.write(ends[0][1], b"one\n")
        assert os.read(ends[1][0], 100) == b"got one\n"
        assert os.read(ends[2][0], 100) == b"err one\n"
        b.dump()
        links = json.loads((b.images / "descriptors.json").read_text())
        assert len(links) == 3 and all(re.fullmatch(r"pipe:\[\d+\]", l) for l in links), links
        b.restore(stdin=ends[3][0], stdout=ends[4][1], stderr=ends[5][1])
        os.write(ends[3][1], b"two\n")
        assert os.read(ends[4][0], 100) == b"got two\n"
        assert os.read(ends[5][0], 100) == b"err two\n"
    finally:
        for fd in [fd for pair in ends for fd in pair]:
            os.close(fd)


def test_where_a_file_was_a_pipe_cannot_stand(box):
    """It was started with /dev/null and is restored by somebody whose streams are pipes."""
    b = box().run(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    counting(b)
    b.dump()
    r, w = os.pipe()
    try:
        b.restore(stdin=r, stdout=w, stderr=w)
        counting(b)
    finally:
        os.close(r)
        os.close(w)


def test_terminal(box, unix):
    b = box(["/bin/sh", "-c", "stty -echo; while read x; do echo got $x; done"], terminal=True)
    path, receive = unix
    b.run_tty = b.start("run", "-d", "--bundle", b.bundle, "--console-socket", path, b.name)
    assert b.run_tty.rc == 0, str(b.run_tty)
    with receive() as tty:
        tty.write("one\n")
        tty.expect("got one")
        b.dump()
    b.restore("--console-socket", path)
    with receive() as tty:
        tty.write("two\n")
        tty.expect("got two")
        assert b.exec("readlink", "/proc/1/fd/0").line.startswith("/dev/pts/")
        b.exec("sh", "-c", "echo from the console > /dev/console")
        tty.expect("from the console")


def test_unix_sockets_within(box):
    b = box(["/bin/sh", "-c", "syslogd -O /tmp/log; exec sleep 1000"]).run()
    said = lambda text: b.rt.try_("exec", b.name, "grep", "-q", text, "/tmp/log").rc == 0
    until(lambda: b.rt.try_("exec", b.name, "test", "-S", "/dev/log").rc == 0, "it listens")
    b.exec("logger", "before")
    until(lambda: said("before"), "the first message")
    b.dump()
    b.restore()
    b.exec("logger", "after")
    until(lambda: said("after"), "the second message")


TALK = ("sleep 1000 | nc -l -p 5000 > /tmp/count & while ! netstat -tln | grep -q :5000; do sleep 0.05; done; "
        "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done | nc 127.0.0.1 5000")


def test_tcp_connections_go_on(box):
    b = box(["/bin/sh", "-c", TALK]).run()
    until(lambda: b.rt.try_("exec", b.name, "cat", "/tmp/count").out.count("\n") > 3, "they talk")
    b.rt.fails("checkpoint", "--image-path", b.images, b.name, says="criu cannot dump")
    counting(b)
    r = b.rt.try_("checkpoint", "--image-path", b.images, "--tcp-established", b.name)
    if "sockets: Can't get 1:34 opt" in r.err:  # Linux 6.16: SO_PASSSEC is for unix sockets alone
        counting(b)
        pytest.skip("this criu cannot dump network sockets on this kernel")
    assert r.rc == 0, f"{r}\n{b.logs()}"
    b.restore("--tcp-established")
    counting(b)


def test_limits_hold_afterwards(box):
    def limit(spec):
        spec["linux"]["resources"] = {"memory": {"limit": 24 << 20}, "pids": {"limit": 7},
                                      "devices": [{"allow": False, "access": "rwm"}]}
        spec["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 99}]
        spec["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]}
    args = ["/bin/sh", "-c", "while [ ! -e /tmp/go ]; do sleep 0.05; done; ulimit -n > /tmp/files;"
            "mkdir /tmp/dir 2> /tmp/mkdir; grep -E 'Cap|NoNew|Seccomp:' /proc/self/status > /tmp/caps;"
            "hostname > /tmp/host; touch /tmp/done; exec sleep 1000"]
    b = box(args, limit).run()
    path = next(p for p in cgroups.of_process(b.rt.state(b.name)["pid"]).values() if b.name in p)
    path = path[path.index(b.name):] if cgroups.has_v1("memory") else path
    status = b.exec("sh", "-c", "grep -E 'Cap|NoNew' /proc/1/status").out
    b.dump()
    b.restore()
    pid = b.rt.state(b.name)["pid"]
    for controller, file1, file2, value in (
            ("memory", "memory.limit_in_bytes", "memory.max", str(24 << 20)),
            ("pids", "pids.max", "pids.max", "7")):
        own = cgroups.of_process(pid)
        at = next((p for names, p in own.items() if controller in names.split(",")), own.get(""))
        assert cgroups.text(at, controller, file1, file2) == value
    b.exec("touch", "/tmp/go")
    until(lambda: b.rt.try_("exec", b.name, "test", "-e", "/tmp/done").rc == 0, "it looked")
    assert b.exec("cat", "/tmp/files").line == "77"
    assert "not supported" in b.exec("cat", "/tmp/mkdir").out
    assert b.exec("sh", "-c", "grep -E 'Cap|NoNew' /proc/1/status").out == status
    assert "Seccomp:\t2" in b.exec("cat", "/tmp/caps").out
    assert b.exec("cat", "/tmp/host").line == "atoll"


def test_mounts_come_back(box, base):
    host = base / "volume"
    (host / "sub").mkdir(parents=True)
    (host / "file").write_text("from the host\n")
    (base / "one").write_text("one\n")

    def mounts(spec):
        spec["root"]["readonly"] = True
        spec["mounts"] += [
            {"destination": "/mnt", "type": "bind", "source": str(host), "options": ["rbind"]},
            {"destination": "/opt", "type": "bind", "source": str(host), "options": ["bind", "ro"]},
            {"destination": "/srv", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m"]},
            {"destination": "/mnt/sub", "type": "tmpfs", "source": "tmpfs"},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"},
            {"destination": "/etc/one", "type": "bind", "source": str(base / "one"),
             "options": ["bind", "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
             "options": ["ro"]}]
    b = box(change=mounts).run()
    b.exec("sh", "-c", "echo kept > /srv/kept; echo kept > /mnt/sub/kept; mkfifo /tmp/fifo")
    look = lambda: b.exec("sh", "-c", "cut -d' ' -f5,6 /proc/self/mountinfo | sort").out
    before = look()
    b.dump()
    b.restore()
    assert look() == before
    counting(b)
    assert b.exec("cat", "/srv/kept", "/mnt/sub/kept", "/opt/file", "/etc/one").out == \
        "kept\nkept\nfrom the host\none\n"
    b.exec("sh", "-c", "echo back > /mnt/file")
    assert (host / "file").read_text() == "back\n"
    assert not (host / "sub/kept").exists()
    for path in ("/opt/file", "/etc/passwd", "/proc/sys/kernel/domainname", "/etc/one"):
        assert "Read-only" in b.rt.fails("exec", b.name, "sh", "-c", f"echo > {path}").err
    assert b.exec("cat", "/proc/timer_list").out == ""  # still masked
    b.exec("sh", "-c", "test -p /tmp/fifo && test -c /dev/null && echo x > /dev/null")
    assert b.exec("ls", "/sys/fs/cgroup").out


def test_a_linked_destination(box, base, new_rootfs):
    root = new_rootfs()
    (root / "real").mkdir()
    (root / "link").symlink_to("/real/conf")
    (base / "conf").mkdir(exist_ok=True)
    (base / "conf/f").write_text("conf\n")

    def mounts(spec):
        spec["root"]["path"] = str(root)
        spec["mounts"].append({"destination": "/link", "type": "bind", "source": str(base / "conf"),
                               "options": ["bind"]})
    b = box(change=mounts).run()
    for _ in range(2):
        b.dump()
        b.restore()
        assert b.exec("cat", "/real/conf/f").out == "conf\n"
    counting(b)


def test_its_own_cgroups(box):
    """What it made below its own: with `soft` it comes back, without it is where its own is."""
    def mounts(spec):
        spec["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup",
                               "source": "cgroup", "options": ["rw"]})
    where = "/sys/fs/cgroup" if cgroups.PURE_V2 else "/sys/fs/cgroup/pids"
    b = box(["/bin/sh", "-c", f"mkdir {where}/inner; echo 0 > {where}/inner/cgroup.procs; " + COUNTER],
            mounts).run()
    counting(b)
    b.dump("--manage-cgroups-mode", "soft")
    b.restore("--manage-cgroups-mode", "soft")
    counting(b)
    pid = b.rt.state(b.name)["pid"]
    assert any(p.endswith("/inner") for p in cgroups.of_process(pid).values())


def test_joined_namespaces(box):
    holder = subprocess.Popen(["unshare", "-n", "-i", "-u", "sh", "-c",
                               "hostname held; ip link set lo up; echo; exec sleep 1000"],
                              stdout=subprocess.PIPE)
    try:
        holder.stdout.readline()
        net = os.stat(f"/proc/{holder.pid}/ns/net").st_ino

        def join(spec):
            for n in spec["linux"]["namespaces"]:
                if n["type"] in ("network", "ipc", "uts"):
                    n["path"] = f"/proc/{holder.pid}/ns/{ {'network': 'net'}.get(n['type'], n['type'])}"
            del spec["hostname"]
        b = box(change=join).run()
        b.dump()
        b.restore()
        counting(b)
        pid = b.rt.state(b.name)["pid"]
        assert os.stat(f"/proc/{pid}/ns/net").st_ino == net
        assert b.exec("hostname").line == "held"
        for ns in ("ipc", "uts"):
            assert os.readlink(f"/proc/{pid}/ns/{ns}") == os.readlink(f"/proc/{holder.pid}/ns/{ns}")
        b.delete()
    finally:
        holder.kill()
        holder.wait()


def test_in_a_user_namespace(box):
    def user(spec):
        spec["linux"]["namespaces"].append({"type": "user"})
        spec["linux"]["uidMappings"] = spec["linux"]["gidMappings"] = [
            {"containerID": 0, "hostID": 0, "size": 70000}]
    b = box(change=user).run()
    b.dump()
    b.restore()
    counting(b)
    assert b.exec("cat", "/proc/self/uid_map").out.split() == ["0", "0", "70000"]
    b.exec("sh", "-c", "echo x > /dev/null")


def test_its_network_is_up_again(box):
    def sysctl(spec):
        spec["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.shmmax": "4096"}
    b = box(change=sysctl).run()
    b.dump()
    b.restore()
    assert "127.0.0.1" in b.exec("ip", "addr", "show", "lo").out
    assert b.exec("cat", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/shmmax").out == "1\n4096\n"


def test_paused(box):
    b = box().run()
    b.rt("pause", b.name)
    b.dump("--leave-running")
    assert b.rt.state(b.name)["status"] == "paused"
    b.rt("resume", b.name)
    counting(b)
    b.rt("pause", b.name)
    b.dump()
    b.restore()
    assert b.rt.state(b.name)["status"] == "running"
    counting(b)
    b.rt("pause", b.name)
    b.rt("resume", b.name)
    counting(b)


def test_hooks_and_the_pid_file(box, base):
    log = base / "hooks-log"
    log.write_text("")

    def hooks(spec):
        spec["hooks"] = {kind: [{"path": "/bin/sh", "args": [
            "sh", "-c", f"cat >> {log}; echo ' {kind}' >> {log}"]}] for kind in (
                "prestart", "createRuntime", "createContainer", "poststop")}
    b = box(change=hooks).run()
    b.dump()
    ran = [l.rsplit(" ", 1) for l in log.read_text().splitlines()]
    assert [kind for _, kind in ran] == ["prestart", "createRuntime", "createContainer", "poststop"]
    log.write_text("")
    b.restore("--pid-file", base / "pid")
    pid = b.rt.state(b.name)["pid"]
    assert (base / "pid").read_text() == str(pid)
    b.delete()
    ran = [l.rsplit(" ", 1) for l in log.read_text().splitlines()]
    assert [kind for _, kind in ran] == ["prestart", "createRuntime", "poststop"]
    assert json.loads(ran[0][0])["pid"] == pid and json.loads(ran[0][0])["id"] == b.name


def test_in_the_foreground(box, base):
    b = box(["/bin/sh", "-c", "while [ ! -e /tmp/go ]; do sleep 0.05; done; exit 7"]).run()
    b.dump()
    p = subprocess.Popen(b.rt.argv("restore", "--image-path", b.images, "--bundle", b.bundle, b.name),
                         stdin=subprocess.DEVNULL, stdout=open(base / "stdout", "wb+"),
                         stderr=open(base / "stderr", "wb+"))
    until(lambda: b.rt.try_("exec", b.name, "touch", "/tmp/go").rc == 0, "it runs")
    assert p.wait(60) == 7
    b.rt.fails("state", b.name)


# A file that is open and whose name is gone, while another one is there.
UNLINKED = ["/bin/sh", "-c", "echo kept > /tmp/a; ln /tmp/a /tmp/b; exec 7</tmp/a; rm /tmp/a; " + COUNTER]


def whole(b):
    counting(b)
    assert b.exec("cat", "/proc/1/fd/7").out == "kept\n"


def test_a_dump_that_fails_harms_nothing(box):
    b = box(UNLINKED).run()
    whole(b)
    r = b.rt.fails("checkpoint", "--image-path", b.images, b.name, says="criu cannot dump")
    assert f"(its log: {b.images}/dump.log): Error (criu/" in r.err and "link-remap" in r.err, r.err
    assert b.rt.state(b.name)["status"] == "running"
    whole(b)
    b.dump("--link-remap")
    b.restore()
    whole(b)


def test_the_annotation_names_criu_s_configuration(box, base):
    (base / "criu.conf").write_text("link-remap\n")

    def annotate(spec):
        spec["annotations"] = {"org.criu.config": str(base / "criu.conf")}
    b = box(UNLINKED, annotate).run()
    whole(b)
    b.dump()  # refused without what the file says: see the test before
    b.restore()
    whole(b)


def test_memory_beforehand(box):
    b = box().run()
    r = b.rt.try_("checkpoint", "--pre-dump", "--image-path", b.images / "first", b.name)
    if r.rc:  # a kernel without CONFIG_MEM_SOFT_DIRTY
        assert "CONFIG_MEM_SOFT_DIRTY" in r.err, str(r)
        counting(b)
        b.rt.fails("checkpoint", "--image-path", b.images, "--parent-path", "first", b.name)
        counting(b)
        return
    counting(b)
    whole = sum(f.stat().st_size for f in (b.images / "first").glob("pages-*.img"))
    b.images /= "second"
    b.dump("--parent-path", "../first")
    assert whole and sum(f.stat().st_size for f in b.images.glob("pages-*.img")) < whole
    b.restore()
    counting(b)


# ---- what fails, and leaves nothing ---------------------------------------------------------


def gone(b, name=None):
    name = name or b.name
    b.rt.fails("state", name, says="does not exist")
    assert not (b.rt.state_dir / name).exists()
    assert not cgroups.there(name), cgroups.there(name)
    assert not [l for l in Path("/proc/self/mountinfo").read_text().splitlines() if name in l]


def broken_images(b, change):
    shutil.rmtree(b.images.with_name("broken"), ignore_errors=True)
    there = Path(shutil.copytree(b.images, b.images.with_name("broken")))
    change(there)
    return there


def refuses(b, images, says, name=None):
    r = b.start("restore", "-d", "--image-path", images, "--bundle", b.bundle, name or b.name)
    assert r.rc == 1 and says in r.err, str(r)
    gone(b, name)
    return r


def test_a_restore_that_fails_leaves_nothing(box):
    b = box().run()
    b.dump()
    r = refuses(b, broken_images(b, lambda d: os.truncate(d / "core-1.img", 40)), "criu cannot restore")
    assert "broken/restore.log): Error (criu/" in r.err
    refuses(b, broken_images(b, lambda d: (d / "inventory.img").unlink()), "criu cannot restore")
    refuses(b, broken_images(b, lambda d: [f.unlink() for f in d.iterdir()]), "there is no checkpoint")
    refuses(b, b.images.with_name("nowhere"), "--image-path")
    (b.images / "file").touch()
    refuses(b, b.images / "file", "--image-path")
    b.restore()  # the good ones are still good
    counting(b)
    r = b.start("restore", "-d", "--image-path", b.images, "--bundle", b.bundle, b.name)
    assert r.rc == 1 and "already exists" in r.err
    counting(b)


OURS = {"version": 1, "streams": ["", "", ""], "mounts": [], "cgroups": []}


def test_hostile_files_beside_the_images(box, base):
    b = box().run()
    b.dump()
    (base / "secret").write_text("{}")
    bind = {"at": "/mnt", "source": "/mnt", "below": ""}

    def text(content, name="atoll.json"):
        return lambda d: (d / name).write_text(content if isinstance(content, str)
                                               else json.dumps(content))

    def instead(make, name="atoll.json"):
        def change(d):
            (d / name).unlink()
            make(d / name)
        return change

    for change, says in (
            (text("{"), "atoll.json of the checkpoint"),
            (text(""), "atoll.json of the checkpoint"),
            (text("[1"), "atoll.json of the checkpoint"),
            (text({**OURS, "version": 2}), "version"),
            (text({**OURS, "more": 1}), "more"),
            (text({**OURS, "streams": ["", ""]}), "2 streams"),
            (text({**OURS, "streams": ["", "/etc/shadow", ""]}), "streams[1]"),
            (text({**OURS, "mounts": [bind]}), "config.json has no bind there"),
            (text({**OURS, "mounts": [{**bind, "below": "../../etc"}]}), "mounts[0]"),
            (text({**OURS, "mounts": [{**bind, "at": "/a/../b"}]}), "mounts[0]"),
            (text({**OURS, "mounts": [{"at": "/dev/x", "source": "device", "below": "8:0"}]}),
             "does not give it"),
            (text({**OURS, "mounts": [{"at": "/x", "source": "cgroup", "below": "memory"}]}),
             "the cgroup 'memory'"),
            (text({**OURS, "mounts": [bind] * 5000}), "5000 mounts"),
            (text("x" * (1 << 20) + "x"), "atoll.json"),
            (instead(lambda p: p.symlink_to(base / "secret")), "Too many levels of symbolic links"),
            (instead(os.mkfifo), "is no file"),
            (instead(Path.mkdir), "is no file")):
        refuses(b, broken_images(b, change), says)
    # Another runtime's images have its list alone.
    list_only = lambda then: lambda d: ((d / "atoll.json").unlink(), then(d))
    refuses(b, broken_images(b, list_only(text("{}", "descriptors.json"))), "not a list of texts")
    refuses(b, broken_images(b, list_only(text("[1]", "descriptors.json"))), "[0] is not a text")


def test_killed_while_it_restores(box, base):
    """The runtime dies by SIGKILL with half a container: delete --force takes it away."""
    def hook(spec):
        spec["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": [
            "sh", "-c", f"[ ! -e {base}/deadly ] || kill -9 $PPID"]}]}
    b = box(change=hook).run()
    b.dump()
    (base / "deadly").touch()
    r = b.start("restore", "-d", "--image-path", b.images, "--bundle", b.bundle, b.name)
    assert r.rc == -9, str(r)
    until(lambda: b.rt.state(b.name)["status"] == "stopped", "it counts as stopped")
    b.rt("delete", "--force", b.name)
    gone(b)
    (base / "deadly").unlink()
    b.restore()
    counting(b)


def test_killed_while_it_dumps(box, base, criu_path):
    """The runtime dies by SIGKILL: the container goes on, whatever CRIU was at."""
    b = box().run()
    for delay in ("0", "0.01", "0.03", "0.06"):
        counting(b)
        deadly = base / "deadly-criu"
        deadly.write_text(f"#!/bin/sh\n[ -e {base}/asked ] && (sleep {delay}; kill -9 $PPID) &\n"
                          f"touch {base}/asked\nexec {criu_path} \"$@\"\n")
        deadly.chmod(0o755)
        # The first run of it only asks for its version.
        plain = [o for o in b.rt.options if o not in ("--criu", str(criu_path))]
        p = subprocess.run([b.rt.path, *plain, "--criu", str(deadly), "checkpoint", "--leave-running",
                            "--image-path", str(b.images), b.name], capture_output=True, check=False)
        (base / "asked").unlink()
        assert p.returncode in (-9, 0), p.stderr
        until(lambda: not leaks.processes(str(b.images)), "CRIU has finished without us")
        counting(b)
        assert b.rt.state(b.name)["status"] == "running"
    b.dump()
    b.restore()
    counting(b)


def test_without_criu(box, base):
    b = box().run()
    plain = b.rt.options[:2]
    for options, env, says in (
            ([], {"PATH": str(base)}, "there is no program 'criu' in PATH"),
            (["--criu", base / "none"], {}, "is no program that can be run"),
            (["--criu", "/bin/false"], {}, "criu cannot tell its version")):
        for verb in (["checkpoint"], ["restore", "-d", "--bundle", b.bundle]):
            (base / "empty").mkdir(exist_ok=True)
            p = subprocess.run([b.rt.path, *plain, *map(str, options), *map(str, verb), "--image-path",
                                str(base / "empty"), b.name if verb == ["checkpoint"] else "other"],
                               capture_output=True, text=True, env={**os.environ, **env}, check=False)
            assert p.returncode == 1 and says in p.stderr, (p.stderr, says)
            assert not list((base / "empty").iterdir())
    counting(b)
    gone(b, "other")


def test_flags_that_cannot_be_meant(box, base):
    b = box().run()
    for flags, says in (
            (["--parent-path", str(base)], "must be relative"),
            (["--parent-path", "none"], "invalid --parent-path"),
            (["--manage-cgroups-mode", "hard"], "no such mode"),
            (["--network-lock", "wire"], "no such way"),
            (["--empty-ns", "pid"], "network namespace"),
            (["--page-server", "here"], "ADDRESS:PORT"),
            (["--page-server", "here:99999"], "ADDRESS:PORT"),
            (["--status-fd", "77"], "--lazy-pages"),
            (["--lazy-pages", "--status-fd", "77"], "no open descriptor"),
            (["--lsm-profile", "x"], "not defined")):
        b.rt.fails("checkpoint", "--image-path", b.images, *flags, b.name, says=says)
    counting(b)
    b.rt.fails("restore", "--no-pivot", "--image-path", b.images, "--bundle", b.bundle, "x",
               says="--no-pivot")
    b.rt.fails("checkpoint", "none", says="does not exist")
    b.rt("kill", b.name, "KILL")
    until(lambda: b.rt.state(b.name)["status"] == "stopped", "it ends")
    b.rt.fails("checkpoint", b.name, says="cannot be checkpointed in stopped state")
    b.delete()
    b.start("create", "--bundle", b.bundle, b.name)
    b.rt.fails("checkpoint", b.name, says="cannot be checkpointed in created state")


def test_where_the_host_s_mounts_are_shared(box, base):
    """As systemd has them: the container's are slaves of theirs, before and after."""
    (base / "shared").mkdir()
    (base / "shared/f").write_text("f\n")

    def mounts(spec):
        spec["mounts"] += [{"destination": f"/{d}", "type": "bind", "source": str(base / "shared"),
                            "options": ["rbind", "rslave"]} for d in ("mnt", "opt")]
    b = box(change=mounts)
    rt = " ".join(map(str, b.rt.argv()))
    look = f"{rt} exec {b.name} cut -d' ' -f5-7 /proc/self/mountinfo | grep -E '^/(mnt|opt)? '"
    script = f"""set -e; mount --make-rshared /; cd {b.bundle}; exec < /dev/null
        {rt} run -d {b.name} > {base}/o 2> {base}/e
        {look} > {base}/before
        {rt} checkpoint --image-path {b.images} {b.name}
        {rt} restore -d --image-path {b.images} {b.name} > {base}/o 2> {base}/e || {{ cat {base}/e; exit 1; }}
        {look} > {base}/after
        {rt} exec {b.name} cat /mnt/f /opt/f
        {rt} delete --force {b.name}"""
    p = subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-c", script],
                       capture_output=True, text=True, timeout=120, check=False)
    assert (p.returncode, p.stdout) == (0, "f\nf\n"), f"{p.stdout}{p.stderr}{b.logs()}"
    before, after = ((base / n).read_text().splitlines() for n in ("before", "after"))
    assert len(before) == 3 and all("master:" in l for l in before)
    assert [re.sub(r":\d+", "", l) for l in after] == [re.sub(r":\d+", "", l) for l in before]
