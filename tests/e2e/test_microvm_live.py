# SPDX-License-Identifier: Apache-2.0
"""
Machines looked at and changed while they run: what runs in them, what their devices do, what limits
are put on them.
"""
import os
import re

import pytest

from lib import wait

SLOW_S = 120
MICROVM = ("--isolation=microvm", "--network", "none")

pytestmark = pytest.mark.timeout(1500)


@pytest.fixture(scope="module")
def machine(atoll, busybox):
    """One whose root is a disk."""
    atoll("run", "-d", "--name", "m", *MICROVM, "--read-only", "-m", "256m", busybox, "sh", "-c",
          "echo started; sleep 987654 & while :; do sleep 0.2; done", timeout=SLOW_S)
    wait.until(lambda: "started" in atoll("logs", "m").out, "its output", SLOW_S)
    yield "m"
    atoll("rm", "-f", "m")


def rows(out):
    head, *lines = out.splitlines()
    names = head.split()
    return [dict(zip(names, line.split(None, len(names) - 1))) for line in lines]


def test_top_is_the_guests(atoll, machine):
    """Its processes and numbers, not those of the machine's programs here; docker's options."""
    wait.until(lambda: "sleep 987654" in atoll("top", machine, timeout=SLOW_S).out, "its child")
    seen = rows(atoll("top", machine, timeout=SLOW_S).out)
    sleeper = [p for p in seen if p["CMD"] == "sleep 987654"]
    assert len(sleeper) == 1 and sleeper[0]["UID"] == "root", seen
    first = int(sleeper[0]["PPID"])
    assert [p for p in seen if int(p["PID"]) == first and p["CMD"].startswith("sh -c")], seen
    assert not [p for p in seen if "atoll" in p["CMD"]], seen
    assert not os.path.exists(f"/proc/{sleeper[0]['PID']}/root/etc/inittab")
    wide = rows(atoll("top", machine, "aux", timeout=SLOW_S).out)
    sleeper = [p for p in wide if p["COMMAND"] == "sleep 987654"][0]
    assert int(sleeper["RSS"]) > 0 and int(sleeper["VSZ"]) >= int(sleeper["RSS"])
    assert sleeper["STAT"] == "S" and sleeper["TTY"] == "?"
    some = rows(atoll("top", machine, "-o", "pid,comm", timeout=SLOW_S).out)
    assert set(some[0]) == {"PID", "COMMAND"} and "sleep" in {p["COMMAND"] for p in some}
    with atoll.terminal("exec", "-it", machine, "sh", "-c", "echo there; exec sleep 4321") as t:
        t.expect("there", SLOW_S)
        wait.until(lambda: [p for p in rows(atoll("top", machine, timeout=SLOW_S).out)
                            if p["CMD"] == "sleep 4321" and p["TTY"].startswith("pts/")],
                   "its terminal")
    atoll("pause", machine)
    atoll.fails("top", machine, says="paused", timeout=SLOW_S)
    atoll("unpause", machine)


SIZE = {"B": 1, "kB": 1e3, "MB": 1e6, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def size(text):
    number, unit = re.fullmatch(r"([0-9.]+)([A-Za-z]+)", text).groups()
    return float(number) * SIZE[unit]


def stats(atoll, machine, *columns):
    form = "|".join("{{." + c + "}}" for c in columns)
    return atoll("stats", "--no-stream", "--format", form, machine,
                 timeout=SLOW_S).line.split("|")


def test_figures_of_devices(atoll, machine):
    """What was read from the disk, and what the machine costs the host."""
    io, ops, used, host, pids = stats(atoll, machine, "BlockIO", "BlockOps", "MemUsage", "HostMem",
                                      "PIDs")
    read, written = io.split(" / ")
    assert size(read) > 100e3 and size(written) == 0, io
    assert int(ops.split(" / ")[0]) > 5, ops
    assert 2 <= int(pids) <= 10
    inside = size(used.split(" / ")[0])
    assert 0 < inside < 64 << 20, used
    # The guest's kernel and the machine's programs are in the host's figure, where it has one.
    assert size(host) >= inside or host == "0B", (host, used)
    assert stats(atoll, machine, "BlockOps")[0] >= ops
