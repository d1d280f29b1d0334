# SPDX-License-Identifier: Apache-2.0
"""
SIGKILL at each step: of the client before each of its system calls, of the shim at moments spread
over its start. After each, repair must leave an installation that works and holds nothing lost.
"""
import os
import signal
import time

import pytest
from lib import leaks, wait
from lib.killing import calls_of, killed_at, spread, strace_works

STEPS = 60  # as many points of a run are tried; which ones, the length of the run decides


def sound(atoll, busybox):
    """Mend, remove all, and find nothing that no record knows of."""
    atoll("system", "repair")
    ids = atoll.ids()
    if ids:
        atoll("rm", "-f", *ids)
    dirs = [atoll.root / "workloads", atoll.state / "workloads", atoll.root / "tmp"]
    # A shim whose client was killed may still be at what it removes.
    wait.until(lambda: not [p for d in dirs if d.exists() for p in d.iterdir()],
               f"nothing left in {dirs}")
    assert atoll("run", "--rm", busybox, "echo", "sound").line == "sound"


@pytest.mark.parametrize("args", [("run", "-d"), ("create",), ("run", "--rm")],
                         ids=lambda a: " ".join(a))
def test_client_killed_at_each_step(atoll, busybox, args):
    if not strace_works():
        pytest.skip("strace cannot trace here")
    argv = (*args, busybox, "true")
    calls = calls_of(atoll, *argv)
    killed = 0
    points = spread(calls, STEPS)
    for n, point in enumerate(points):
        killed += killed_at(atoll, calls, point, *argv)
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
        return ("rm", "-f", id) if what == "rm -f" else ("stop", "-t", "0", id)

    calls = calls_of(atoll, *prepare())
    killed = 0
    for point in spread(calls, 20):
        killed += killed_at(atoll, calls, point, *prepare())
        sound(atoll, busybox)
    assert killed > 10


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
    wait.until(lambda: not shims(atoll.base), "the end of the last one's clearing up")
    p = atoll.popen("run", "-d", busybox, "sleep", "1000")
    deadline = time.monotonic() + 30
    found = []
    while not found and p.poll() is None and time.monotonic() < deadline:
        found = shims(atoll.base)
    time.sleep(delay_ms / 1000)  # not to wait for anything: to spread the moments
    # Whom the first look found may be one of the shim's short-lived writers, or its parent.
    for pid in {*found, *shims(atoll.base)}:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    p.communicate(timeout=60)
    wait.until(lambda: not shims(atoll.base), "the shim's end")
    sound(atoll, busybox)
