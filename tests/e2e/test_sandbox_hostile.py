# SPDX-License-Identifier: Apache-2.0
"""
Workloads that mean harm, on Atoll's own kernel: what takes as much as it gets of each resource, what
tries to reach the host by the ways that are known from other walls, what breaks its own stub.
"""
import hashlib
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from lib import guest, sentry, wait

pytestmark = [pytest.mark.timeout(300),
              pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")]

SANDBOX = ("--isolation=sandbox",)
LIMITS = {"linux_resources": {"memory": {"limit": 128 << 20}, "pids": {"limit": 200}},
          "process_rlimits": [{"type": "RLIMIT_NOFILE", "soft": 5000, "hard": 5000}]}
MARK = "what only the host has"

# How each ends: an errno, or by the kernel's killer.
FILLS = {
    "memory": "killed|ENOMEM", "mappings": "ENOMEM", "children": "EAGAIN", "threads": "EAGAIN",
    "descriptors": "EMFILE", "pipes": "ENOMEM|EMFILE", "sockets": "ENOMEM|ENOBUFS|EMFILE",
    "flights": "ETOOMANYREFS|ENOMEM", "listeners": "EMFILE", "timers": "EAGAIN", "clocks": "EMFILE",
    "signals": "EAGAIN", "events": "EMFILE|ENOSPC", "nested": "ELOOP", "watches": "ENOSPC|ENOMEM",
    "files": "ENOSPC", "names": "ENOSPC|ENOMEM", "depth": "ENOSPC|ENOMEM|ENAMETOOLONG",
    "locks": "ENOLCK|ENOMEM", "segments": "ENOSPC", "semaphores": "ENOSPC|ENOMEM",
    "messages": "ENOSPC|ENOMEM", "memfds": "ENOMEM|EMFILE|ENOSPC", "terminals": "ENOSPC|ENOMEM|EMFILE",
    "mounts": "EPERM",
}


@pytest.fixture(scope="module")
def programs(base):
    return {name: guest.compiled(f"sandbox_{name}.c", base) for name in ("fills", "reaches")}


@pytest.fixture(scope="module")
def box(build, base, programs):
    s = sentry.Sentries(build, base, [programs["fills"]])
    sentry.need(s)
    return s


def free(said):
    return int(re.search(r"MemFree: +(\d+) kB", said)[1])


def test_what_fills_up(box):
    """An errno each, everything given back, and the kernel and its other programs there as before."""
    seen = "grep MemFree /proc/meminfo"
    with box.start(f"{seen}; sandbox_fills {' '.join(FILLS)} 2>&1; {seen}; cat", **LIMITS) as s:
        assert s.ask("start") == {}
        before = free(s.p.stdout.readline().decode())
        for name, how in FILLS.items():
            line = s.p.stdout.readline().decode()
            assert re.fullmatch(rf"{name}: (({how}) after \w+|{how})\n", line), line
            assert s.ask("stats")["processes"] >= 1
        assert before - free(s.p.stdout.readline().decode()) < 4096
        null, (end, out) = os.open("/dev/null", os.O_RDWR), os.pipe()
        reply = s.ask("exec", fds=(null, out, out), spec=sentry.config(["echo", "lives"])["process"])
        assert s.ask("wait", process=reply["process"]) == {}
        assert os.read(end, 100) == b"lives\n"
        for fd in (null, end, out):
            os.close(fd)


def test_a_storm_of_children(box):
    """A fork bomb, which ends where it cannot fork, but for its sleeps, has its tasks' limit."""
    with box.start("bomb() { sleep 9 & bomb | bomb & }; bomb; cat", **LIMITS) as s:
        assert s.ask("start") == {}
        wait.until(lambda: s.ask("stats")["processes"] > 60, "many of them")
        assert s.ask("stats")["processes"] <= 200
        s.ask("signal", process=1, signal=9)
        assert s.ended()[0] == 137


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


# With all capabilities the guest may ask its own kernel for what is that one's.
OWN = {"proc", "sysfs", "cgroup2", "bind", "remount"}
RIGHTS = {"as-usual": ((), set()),
          "all": (("--cap-add", "ALL", "--security-opt", "seccomp=unconfined"), OWN)}


@pytest.mark.usefixtures("box")
@pytest.mark.parametrize("rights", RIGHTS)
def test_ways_to_the_host(atoll, busybox, base, programs, build, rights):
    """What the lists of others' escapes name: none is open, and nothing of the host changes."""
    more, own = RIGHTS[rights]
    where = base / rights
    for d in ("rw", "ro"):
        (where / d).mkdir(parents=True)
    shutil.copy(programs["reaches"], where / "rw")
    (where / "ro/f").write_text("stays\n")
    (where / "mark").write_text(MARK)
    name = f"atoll-hostile-{os.getpid()}"
    before = {p: digest(p) for p in (build / "atoll", build / "atoll-sentry", build / "atoll-device",
                                     build / "atoll-runtime", "/etc/passwd")}
    pattern = Path("/proc/sys/kernel/core_pattern").read_text(encoding="ascii")
    with socket.socket(socket.AF_UNIX) as listening, \
            subprocess.Popen(["sleep", "1000"]) as victim:
        listening.bind("\0" + name)
        listening.listen()
        try:
            r = atoll("run", "--rm", *SANDBOX, "--network", "host", *more,
                      "-v", f"{where / 'rw'}:/rw", "-v", f"{where / 'ro'}:/ro:ro",
                      "-e", f"HOST_PID={victim.pid}", "-e", f"HOST_SOCKET={name}",
                      "-e", f"HOST_FILE={where / 'mark'}", "-e", f"HOST_MARK={MARK}",
                      busybox, "/rw/sandbox_reaches", "/rw", "/ro", timeout=120)
        finally:
            alive = victim.poll() is None
            victim.kill()
    *ways, last = r.out.splitlines()
    assert int(last.removeprefix("tried ")) > 300 and set(ways) == own
    assert alive and (where / "ro/f").read_text() == "stays\n"
    assert {p: digest(p) for p in before} == before
    assert Path("/proc/sys/kernel/core_pattern").read_text(encoding="ascii") == pattern
    assert not [p for p in (where / "rw").iterdir() if p.is_block_device() or p.is_char_device()]


@pytest.mark.usefixtures("box")
@pytest.mark.parametrize("place", ["/proc/self/fd/3", "/proc/self/fd/7/../..", "/proc/1/cwd/../.."])
def test_a_directory_that_is_a_descriptor(atoll, busybox, place):
    """CVE-2024-21626: where it begins is the guest's, whatever its name."""
    r = atoll.try_("run", "--rm", *SANDBOX, "--workdir", place, busybox, "sh", "-c",
                   "ls /; cat /proc/sys/kernel/hostname", timeout=60)
    assert "workloads" not in r.out and r.rc in (0, 126, 127, 125), str(r)
