# SPDX-License-Identifier: Apache-2.0
"""
SIGKILL at each step: of the client before each of its system calls, of the shim at moments spread
over its start. After each, repair must leave an installation that works and holds nothing lost.
"""
import os
import signal
import subprocess
import time

import pytest
from lib import leaks, wait

STEPS = 60  # as many points of a run are tried; which ones, the length of the run decides


def strace_works():
    p = subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], capture_output=True,
                       check=False)
    return p.returncode == 0


def killed_at(atoll, call, *args):
    """Run with SIGKILL before its call-th system call; True when it was killed by it."""
    p = subprocess.run(["strace", "-qq", "-o", "/dev/null", "-e", "trace=all", "-e",
                        f"inject=all:signal=SIGKILL:when={call}", *atoll.argv(*args)],
                       stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
    return p.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)


def calls_of(atoll, *args):
    p = subprocess.run(["strace", "-qq", "-o", "|wc -l", *atoll.argv(*args)],
                       stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
                       check=False)
    assert p.returncode == 0, p.stderr
    return int(p.stdout.split()[-1])


def sound(atoll, busybox):
    """Mend, remove all, and find nothing that no record knows of."""
    atoll("system", "repair")
    ids = atoll.ids()
    if ids:
        atoll("rm", "-f", *ids)
    left = []
    for d in (atoll.root / "workloads", atoll.state / "workloads", atoll.root / "tmp"):
        if d.exists():
            left += [p for p in d.iterdir()]
    assert left == []
    assert atoll("run", "--rm", busybox, "echo", "sound").line == "sound"


@pytest.mark.parametrize("args", [("run", "-d"), ("create",), ("run", "--rm")],
                         ids=lambda a: " ".join(a))
def test_client_killed_at_each_step(atoll, busybox, args):
    if not strace_works():
        pytest.skip("strace cannot trace here")
    argv = (*args, busybox, "true")
    total = calls_of(atoll, *argv)
    atoll("system", "repair")
    killed = 0
    points = sorted({1 + i * (total - 1) // STEPS for i in range(STEPS)})
    for n, call in enumerate(points):
        killed += killed_at(atoll, call, *argv)
        # Not after each: crashes may also meet what an earlier one left.
        if n % 3 == 2:
            sound(atoll, busybox)
    assert killed > len(points) // 2
    sound(atoll, busybox)


@pytest.mark.parametrize("what", ["rm -f", "stop", "load"])
def test_other_verbs_killed_at_each_step(atoll, busybox, busybox_tar, what):
    if not strace_works():
        pytest.skip("strace cannot trace here")

    def prepare():
        if what == "load":
            return ("load", "-i", str(busybox_tar))
        id = atoll("run", "-d", busybox, "sleep", "1000").line
        return ("rm", "-f", id) if what == "rm -f" else ("stop", "-t", "1", id)

    total = calls_of(atoll, *prepare())
    for call in sorted({1 + i * (total - 1) // 20 for i in range(20)}):
        killed_at(atoll, call, *prepare())
        sound(atoll, busybox)


def shims(marker):
    found = []
    for p in leaks.processes(str(marker)):
        pid = p.split()[0]
        try:
            with open(f"/proc/{pid}/comm") as f:
                if f.read().startswith("atoll-shim"):
                    found.append(int(pid))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("delay_ms", [0, 1, 2, 3, 5, 8, 13, 50])
def test_shim_killed_while_it_starts(atoll, busybox, delay_ms):
    p = atoll.popen("run", "-d", busybox, "sleep", "1000")
    deadline = time.monotonic() + 30
    found = []
    while not found and p.poll() is None and time.monotonic() < deadline:
        found = shims(atoll.base)
    time.sleep(delay_ms / 1000)  # not to wait for anything: to spread the moments
    for pid in found or shims(atoll.base):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    p.communicate(timeout=60)
    wait.until(lambda: not shims(atoll.base), "the shim's end")
    sound(atoll, busybox)
