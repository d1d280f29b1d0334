# SPDX-License-Identifier: Apache-2.0
"""
SIGKILL of each process that a machine consists of, while it runs and while it starts: the workload
has ended then, and nothing of it is left.
"""
import os
import re
import signal

import pytest

from lib import wait

SLOW_S = 120
MONITORS = {"qemu-system-x86_64", "atoll-vmm"}  # where KVM runs guests it is the latter
# What each is called where it is told of.
NAMES = {"monitor": "(qemu-system-x86_64|atoll-vmm)", "keeper": "qemu-system-x86_64",
         "fs": "atoll-device fs", "vsock": "atoll-device vsock"}
MICROVM = ("--isolation=microvm", "--network", "none")

pytestmark = pytest.mark.timeout(1500)


def read(pid, name):
    try:
        with open(f"/proc/{pid}/{name}", "rb") as f:
            return f.read()
    except OSError:
        return b""


def pids():
    return [int(p) for p in os.listdir("/proc") if p.isdigit()]


def parent_of(pid):
    """The parent's pid; None when it is gone."""
    fields = read(pid, "stat").rpartition(b")")[2].split()
    return int(fields[1]) if fields else None


def parts(id):
    """The machine's processes by what they are; the monitor, whichever it is, is "monitor"."""
    found = {}
    ours = {}
    for p in pids():
        words = read(p, "cmdline").split(b"\0")
        if id.encode() in words:
            ours[p] = os.path.basename(words[0]).decode()
    for p, name in ours.items():
        # A child that a shim has for a moment, to write its record, is not the shim; that of a
        # proxy keeps the emulator.
        if ours.get(parent_of(p)) != name:
            found[name] = p
        elif name == "atoll-proxy":
            found["keeper"] = p
    for p in pids():
        if p not in ours and parent_of(p) in (found.get("atoll-proxy", -1), found.get("keeper", -1)):
            words = read(p, "cmdline").split(b"\0")
            name = os.path.basename(words[0]).decode()
            if name == "atoll-device":
                name = words[1].decode()
            found["monitor" if name in MONITORS else name] = p
    return found


def gone(id, known=()):
    """None of the processes known is there any more, none in its cgroup, none that names it."""
    return (not any(os.path.exists(f"/proc/{p}") and read(p, "cmdline") for p in known)
            and not any(id.encode() in read(p, "cgroup") or id.encode() in read(p, "cmdline")
                        for p in pids()))


@pytest.mark.parametrize("victim", ["atoll-proxy", "keeper", "monitor", "fs", "vsock"])
def test_a_part_of_the_machine_is_killed(atoll, busybox, victim):
    """As when the workload's process is killed: 137, and the rest ends with it."""
    id = atoll("run", "-d", "--name", "k", *MICROVM, busybox, "sleep", "1000",
               timeout=SLOW_S).line
    all_ = parts(id)
    if victim in ("vsock", "keeper") and victim not in all_:
        atoll("rm", "-f", "k")
        pytest.skip("the monitor is that part itself")
    os.kill(all_[victim], signal.SIGKILL)
    wait.until(lambda: atoll.inspect("k")["State"]["Status"] == "exited", "its end", SLOW_S)
    state = atoll.inspect("k")["State"]
    assert state["ExitCode"] == 137
    if victim == "atoll-proxy":  # who would tell
        assert state["Error"] == ""
    else:
        assert re.fullmatch(f"the machine ended: {NAMES[victim]} was killed by signal 9",
                            state["Error"]), state
    wait.until(lambda: gone(id, all_.values()), "nothing of it is left")
    atoll("rm", "k")


def test_the_shim_is_killed(atoll, busybox):
    """Whoever looks next ends what runs."""
    id = atoll("run", "-d", "--name", "k", *MICROVM, busybox, "sleep", "1000",
               timeout=SLOW_S).line
    all_ = parts(id)
    os.kill(all_["atoll-shim"], signal.SIGKILL)
    # Its lock is let go late in its end.
    wait.until(lambda: atoll("system", "repair") and
               atoll.inspect("k")["State"]["Status"] == "exited", "it is mended", SLOW_S)
    wait.until(lambda: gone(id, all_.values()), "nothing of it is left")
    atoll("rm", "k")


@pytest.mark.parametrize("victim, seen", [
    ("atoll-proxy", "atoll-proxy"), ("atoll-shim", "monitor"), ("monitor", "monitor"), ("fs", "fs"),
])
def test_killed_while_it_starts(atoll, busybox, victim, seen):
    """The start fails with a word about it, and nothing is left."""
    before = set(atoll.ids())
    p = atoll.popen("run", "-d", "--name", "k", *MICROVM, busybox, "sleep", "1000")
    root = atoll.root / "workloads"

    def find():
        for d in root.iterdir():
            if d.name not in before and seen in parts(d.name):
                return d.name
        return None

    id = wait.until(find, f"{seen} is there", SLOW_S)
    all_ = parts(id)
    os.kill(all_[victim], signal.SIGKILL)
    out, err = p.communicate(timeout=SLOW_S)
    assert p.returncode != 0 and err, (out, err)
    if victim == "fs":
        assert b"atoll-device fs was killed by signal 9" in err, err
    atoll.try_("system", "repair")
    wait.until(lambda: gone(id, all_.values()), "nothing of it is left")
    atoll("rm", "-f", "k")
