# SPDX-License-Identifier: Apache-2.0
"""
atoll-sentry under test: an image of busybox, configurations, sandboxes, and what is asked of one on
its control socket.
"""
import copy
import itertools
import json
import os
import shutil
import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest

from . import run, wait

BUSYBOX = "/bin/busybox"
NUMBERS = itertools.count()
MESSAGE = 128 << 10
TYPES = {"start": 1, "signal": 2, "wait": 3, "exec": 4, "stats": 5, "list": 6, "update": 7,
         "checkpoint": 8, "add": 11, "remove": 12}
NUMBERED = {"process": 1, "signal": 2, "memory": 7, "tasks": 8, "cpu_quota": 9, "cpu_period": 10,
            "container": 16, "pids_of": 17}
REPLY = ("error", "reason", "process", "pid", "status", "memory", "memory_most", "kernel_memory",
         "processes", "threads", "cpu_ns", "list", "memory_limit", "tasks_limit", "refused",
         "others", "container")
PROCESS = ("pid", "ppid", "uid", "cpu_ns", "age_ns", "state", "terminal", "name", "command",
           "resident_bytes", "virtual_bytes")

CAPS = ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID"]
CONFIG = {
    "ociVersion": "1.0.2",
    "process": {
        "args": [], "cwd": "/", "env": ["PATH=/bin", "HOME=/"],
        "user": {"uid": 0, "gid": 0},
        "capabilities": {k: CAPS for k in ("bounding", "effective", "permitted")},
    },
    "root": {"path": "rootfs"},
    "hostname": "inside",
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
         "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs",
         "options": ["nosuid", "noexec", "nodev", "ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
         "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]},
        {"destination": "/tmp/own", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m"]},
    ],
    "linux": {},
}


def tree(root, programs=()):
    """A directory of busybox and its names, and of these, as a root."""
    for d in ("bin", "dev", "etc", "proc", "sys", "tmp"):
        (root / d).mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin/busybox")
    for name in subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True,
                               check=True).stdout.split():
        if name != "busybox":
            (root / "bin" / name).symlink_to("busybox")
    for p in programs:
        shutil.copy(p, root / "bin")
    (root / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "tmp").chmod(0o1777)
    return root


def image(directory, programs=()):
    """An EROFS image of such a one."""
    root = tree(directory / "tree", programs)
    path = directory / "image"
    subprocess.run(["mkfs.erofs", "-d0", "--all-root", path, root], check=True,
                   stdout=subprocess.DEVNULL)
    shutil.rmtree(root)
    return path


def config(args, **changes):
    """CONFIG for these arguments; process_X=V is process.X, root_X root.X, linux_X linux.X."""
    c = copy.deepcopy(CONFIG)
    c["process"]["args"] = list(args)
    for key, value in changes.items():
        section, _, name = key.partition("_")
        if section in ("process", "root", "linux") and name:
            c[section][name] = value
        else:
            c[key] = value
    return c


def children(pid):
    """Of all its threads, and theirs."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*"):
        try:
            own = [int(p) for p in (task / "children").read_text(encoding="ascii").split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
        for p in own:
            found += [p, *children(p)]
    return found


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Sentries:
    """Starts sandboxes from one image."""

    def __init__(self, build, base, programs=()):
        self.program, self.base = build / "atoll-sentry", base
        self.image = image(base, programs)
        self.image.chmod(0o644)

    def command(self, what, *more, root=None):
        path = self.base / f"config{next(NUMBERS)}"
        path.write_text(what if isinstance(what, str) else json.dumps(what), encoding="utf-8")
        return [self.program, "--root", root or self.image, "--config", path, *more]

    def run(self, args, *more, stdin=b"", timeout=120, root=None, fds=(), **changes):
        """A shell's script, or arguments: what it said and how it ended."""
        args = ["sh", "-c", args] if isinstance(args, str) else args
        given = {"stdin": stdin} if stdin is None or not isinstance(stdin, bytes) \
            else {"input": stdin}
        return subprocess.run(self.command(config(args, **changes), *more, root=root), **given,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout,
                              check=False, pass_fds=fds)

    def start(self, args, *more, fds=(), **changes):
        args = ["sh", "-c", args] if isinstance(args, str) else args
        return Sandbox(self, config(args, **changes), more, fds)


class Pty(run.Terminal):
    """The master of a pty whose slave somebody gets: `slave`, non-blocking."""

    def __init__(self, what="terminal"):
        self.argv, self.text, self.pid, self.rc = [what], b"", None, 0
        self.fd, blocking = os.openpty()
        self.slave = os.open(os.ttyname(blocking), os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        os.close(blocking)

    def given(self):
        """The slave is another's alone."""
        os.close(self.slave)
        self.slave = -1

    def rest(self, timeout=60):
        """What comes until nobody has the slave any more."""
        end = time.monotonic() + timeout
        while self.read(end):
            pass
        text, self.text = self.text, b""
        return text

    def close(self):
        if self.slave >= 0:
            self.given()
        super().close()


class OnPty(Pty):
    """A sandbox before a terminal: config is as config() has it."""

    def __init__(self, sentries, what, *more):
        super().__init__(what["process"]["args"])
        what["process"]["terminal"] = True
        p = subprocess.Popen(sentries.command(what, *more), stdin=self.slave, stdout=self.slave,
                             stderr=self.slave)
        p.returncode = 0  # waited for here
        self.pid, self.rc = p.pid, None
        self.given()


TEXTS = {"reason", "state", "terminal", "name", "command"}


def fields_of(data, at, count, names):
    """So many fields from `at`, by their names; and where they end."""
    found = {}
    for _ in range(count):
        tag, n = struct.unpack_from("<HI", data, at)
        value, name = data[at + 6:at + 6 + n], names[tag - 1]
        found[name] = (value[:-1].decode() if name in TEXTS else
                       value if name == "list" else struct.unpack("<Q", value)[0])
        at += 6 + n
    return found, at


class Sandbox:
    """One that is told by its control socket; gone at the end of `with`."""

    def __init__(self, sentries, what, more, fds=()):
        self.path = sentries.base / f"s{next(NUMBERS)}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
            listening.bind(str(self.path))
            listening.listen(128)
            fd = listening.fileno()
            self.p = subprocess.Popen(
                [*sentries.command(what, *more), "--control", f"fd:{fd}"], pass_fds=[fd, *fds],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.s = self.connect()

    def connect(self):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.settimeout(120)
        s.connect(str(self.path))
        return s

    def send(self, what, fds=(), on=None, spec=None, gofer=None, binds=None, **numbers):
        """fds: in, out and err; numbers: as NUMBERED names them."""
        fields = [(NUMBERED[k], struct.pack("<Q", v)) for k, v in numbers.items() if v]
        if spec is not None:
            fields.append((3, json.dumps(spec).encode() + b"\0"))
        fields += [(4 + n, bytes([n])) for n in range(len(fds))]
        if gofer is not None:
            fields.append((18, bytes([len(fds)])))
        if binds is not None:
            fields.append((19, binds.encode() + b"\0"))
        fields.sort()
        body = struct.pack("<HHH", 1, TYPES[what], len(fields)) + b"".join(
            struct.pack("<HI", tag, len(data)) + data for tag, data in fields)
        socket.send_fds(on or self.s, [body], [*fds, *([] if gofer is None else [gofer])])

    def receive(self, on=None):
        """The reply's fields that say something, but its type."""
        data = (on or self.s).recv(MESSAGE)
        assert data, "hung up"
        version, _, count = struct.unpack_from("<HHH", data)
        assert version == 1
        reply, end = fields_of(data, 6, count, REPLY)
        assert end == len(data)
        if "list" in reply:
            inside = reply["list"]
            at, reply["list"] = 0, []
            while at < len(inside):
                (count,) = struct.unpack_from("<H", inside, at)
                process, at = fields_of(inside, at + 2, count, PROCESS)
                reply["list"].append(process)
        return reply

    def ask(self, what, **kw):
        self.send(what, **kw)
        return self.receive(kw.get("on"))

    def inner(self):
        """The pid of the process that is number 1 in its own namespace."""
        self.ask("stats")  # it is made then
        return children(self.p.pid)[0]

    def ended(self, timeout=120):
        out, err = self.p.communicate(timeout=timeout)
        return self.p.returncode, out, err

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        stubs = children(self.p.pid)
        self.s.close()
        self.p.kill()
        self.p.communicate()
        wait.until(lambda: not any(map(alive, stubs)), "the end of its processes")


def need(sentries):
    r = sentries.run(["true"])
    if r.returncode == 125 and (b"the sandbox needs" in r.stderr or b"does not fit" in r.stderr):
        pytest.skip("the sandbox is not for this machine: " + r.stderr.decode().strip())
    if r.returncode == 125 and b"make namespaces to be jailed in" in r.stderr:
        pytest.skip("no user namespaces here")
    assert (r.returncode, r.stdout, r.stderr) == (0, b"", b"")


def fds_of(pid):
    return sorted(os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd"))


class Gofer:
    """atoll-device's file server and one end of its socket; shares: names and paths, ",ro" behind
    those that are read-only. Gone at the end of `with`."""

    def __init__(self, build, shares, limit=None):
        self.socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        words, fds = [], [other.fileno()]
        for name, path in shares.items():
            path, comma, options = str(path).partition(",")
            fds.append(os.open(path, os.O_PATH))
            words += ["--share", f"{name}=fd:{fds[-1]}{comma}{options}"]
        self.process = subprocess.Popen([build / "atoll-device", "gofer", "--socket",
                                         f"fd:{other.fileno()}", *words], pass_fds=fds,
                                        stderr=subprocess.PIPE, preexec_fn=limit)
        for fd in fds[1:]:
            os.close(fd)
        other.close()

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.socket.close()
        if self.process.poll() is None:
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise
        self.process.stderr.close()
