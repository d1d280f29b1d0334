# SPDX-License-Identifier: Apache-2.0
"""
Machines looked at and changed while they run: what runs in them, what their devices do, what limits
are put on them.
"""
import os
import re
import time
from pathlib import Path

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
    def listed():
        return rows(atoll("top", machine, timeout=SLOW_S).out)
    wait.until(lambda: "sleep 987654" in [p["CMD"] for p in listed()], "its child")
    seen = listed()
    sleeper = [p for p in seen if p["CMD"] == "sleep 987654"]
    assert len(sleeper) == 1 and sleeper[0]["UID"] == "root", seen
    first = int(sleeper[0]["PPID"])
    assert [p for p in seen if int(p["PID"]) == first and p["CMD"].startswith("sh -c")], seen
    assert not [p for p in seen if "atoll" in p["CMD"]], seen
    assert not os.path.exists(f"/proc/{sleeper[0]['PID']}/root/etc/inittab")
    wide = rows(atoll("top", machine, "aux", timeout=SLOW_S).out)
    sleeper = [p for p in wide if p["COMMAND"] == "sleep 987654"][0]
    assert int(sleeper["RSS"]) > 0 and int(sleeper["VSZ"]) >= int(sleeper["RSS"])
    assert sleeper["STAT"] in ("R", "S") and sleeper["TTY"] == "?"  # just begun, it may still run
    some = rows(atoll("top", machine, "-o", "pid,comm", timeout=SLOW_S).out)
    assert set(some[0]) == {"PID", "COMMAND"} and "sleep" in {p["COMMAND"] for p in some}
    with atoll.terminal("exec", "-it", machine, "sh", "-c", "echo there; exec sleep 4321") as t:
        t.expect("there", SLOW_S)
        wait.until(lambda: [p for p in listed()
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


def inside(atoll, machine, *words):
    return atoll("exec", machine, *words, timeout=SLOW_S).out


def seconds_of(top):
    """Processor time of a process and of all below it."""
    parent, ticks = {}, {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue  # it ended meanwhile
        parent[int(pid)], ticks[int(pid)] = int(fields[1]), int(fields[11]) + int(fields[12])

    def below(pid):
        return pid == top or (pid in parent and below(parent[pid]))
    return sum(t for pid, t in ticks.items() if below(pid)) / os.sysconf("SC_CLK_TCK")


def memory_kib(atoll, machine):
    """What the guest's free(1) calls its total."""
    return int(re.search(r"MemTotal: +(\d+)", inside(atoll, machine, "cat", "/proc/meminfo")).group(1))


@pytest.fixture(scope="module")
def large(atoll, busybox):
    """One that can grow: two processors and 384 MiB at most, of which it has one and 192 MiB."""
    several = os.cpu_count() > 1
    atoll("run", "-d", "--name", "large", *MICROVM, "--cpus", "0.5", "--cpus-max",
          "2" if several else "1", "-m", "192m", "--memory-max", "384m", busybox, "sleep", "1000",
          timeout=SLOW_S)
    yield "large"
    atoll("rm", "-f", "large")


def test_processors_while_it_runs(atoll, large):
    """nproc in there follows --cpus, and --cpuset-cpus; no more than the machine has."""
    if os.cpu_count() < 2:
        pytest.skip("needs two processors")
    assert inside(atoll, large, "nproc").strip() == "1"
    atoll("update", "--cpus", "2", large, timeout=SLOW_S)
    assert inside(atoll, large, "nproc").strip() == "2"
    first = sorted(os.sched_getaffinity(0))[0]
    atoll("update", "--cpuset-cpus", str(first), large, timeout=SLOW_S)
    assert inside(atoll, large, "nproc").strip() == "1"
    atoll("update", "--cpuset-cpus", ",".join(map(str, sorted(os.sched_getaffinity(0))[:2])), large,
          timeout=SLOW_S)
    assert inside(atoll, large, "sh", "-c", "nproc; grep -c ^processor /proc/cpuinfo").split() == ["2"] * 2
    atoll("update", "--cpus", "1", large, timeout=SLOW_S)
    assert inside(atoll, large, "nproc").strip() == "1"
    assert atoll.inspect(large)["HostConfig"]["NanoCpus"] == 1000000000


def test_no_more_processors_than_it_has(atoll, machine):
    emulated = atoll.inspect(machine)["Atoll"]["Emulated"]
    if os.cpu_count() < 2:
        pytest.skip("needs two processors")
    if emulated:  # what is not asked for at its start is not there
        atoll.fails("update", "--cpus", "2", machine, says="--cpus-max", timeout=SLOW_S)
        assert inside(atoll, machine, "nproc").strip() == "1"
    else:
        atoll("update", "--cpus", "2", machine, timeout=SLOW_S)
        assert inside(atoll, machine, "nproc").strip() == "2"


def test_memory_while_it_runs(atoll, large):
    """MemTotal in there is what -m says, down and up again; the machine's own size is the end."""
    wait.until(lambda: memory_kib(atoll, large) < 192 << 10, "the balloon has what is too much", SLOW_S)
    atoll("update", "-m", "384m", "--memory-swap", "-1", large, timeout=SLOW_S)
    grown = memory_kib(atoll, large)
    assert 320 << 10 < grown < 384 << 10, grown
    assert stats(atoll, large, "MemUsage")[0].endswith("/ 384MiB")
    # Used, so that it must be given up.
    inside(atoll, large, "sh", "-c", "dd if=/dev/zero of=/dev/shm/x bs=1M count=60; rm /dev/shm/x")
    atoll("update", "-m", "160m", large, timeout=SLOW_S)
    assert abs(grown - memory_kib(atoll, large) - (224 << 10)) < 4096
    assert inside(atoll, large, "cat", "/sys/fs/cgroup/memory.max").strip() == str(160 << 20)
    atoll.fails("update", "-m", "400m", "--memory-swap", "-1", large, says="--memory-max",
                timeout=SLOW_S)
    assert abs(grown - memory_kib(atoll, large) - (224 << 10)) < 4096
    atoll("update", "-m", "256m", large, timeout=SLOW_S)
    assert abs(grown - memory_kib(atoll, large) - (128 << 10)) < 4096


def test_memory_that_is_needed_stays(atoll, busybox):
    """What is in use is not given up: the limit stays as it was, and says so."""
    atoll("run", "-d", "--name", "full", *MICROVM, "-m", "256m", "--tmpfs", "/t:size=200m", busybox,
          "sh", "-c", "dd if=/dev/zero of=/t/x bs=1M count=90; echo full; sleep 1000", timeout=SLOW_S)
    wait.until(lambda: "full" in atoll("logs", "full").out, "its memory is used", SLOW_S)
    before = memory_kib(atoll, "full")
    atoll.fails("update", "-m", "128m", "full", says="the guest needs its memory", timeout=SLOW_S)
    assert memory_kib(atoll, "full") == before
    assert inside(atoll, "full", "stat", "-c", "%s", "/t/x").strip() == str(90 << 20)
    assert inside(atoll, "full", "cat", "/sys/fs/cgroup/memory.max").strip() == str(256 << 20)
    atoll("rm", "-f", "full")


def seconds_to_read(atoll, machine, kib):
    """From its disk, past what its kernel remembers."""
    out = inside(atoll, machine, "sh", "-c",
                 "n=$(awk '$2 == \"virtblk\" { print $1 }' /proc/devices);"
                 "[ -e /dev/disk ] || mknod /dev/disk b $n 0; a=$(cut -d' ' -f1 /proc/uptime);"
                 f"dd if=/dev/disk of=/dev/null bs=64k count={kib // 64} iflag=direct 2>/dev/null;"
                 "b=$(cut -d' ' -f1 /proc/uptime); echo $a $b")
    begun, ended = map(float, out.split())
    return ended - begun


@pytest.fixture(scope="module")
def limited(atoll, busybox):
    """A machine whose disk may be read at 1 MiB/s, and that may look at it."""
    atoll("run", "-d", "--name", "limited", *MICROVM, "--read-only", "-m", "256m",
          "--health-cmd", "! touch /x 2>/dev/null", "--health-interval", "5s",
          "--device-cgroup-rule", "b *:* rm", "--device-read-bps", "vda:1mb", busybox, "sleep",
          "1000", timeout=SLOW_S)
    yield "limited"
    atoll("rm", "-f", "limited")


def test_rates_of_a_disk(atoll, limited):
    """Measured from inside: as slow as said, and otherwise while it runs."""
    slow = seconds_to_read(atoll, limited, 1024)
    assert slow > 0.7, slow
    atoll("update", "--device-read-bps", "vda:0", limited, timeout=SLOW_S)
    fast = seconds_to_read(atoll, limited, 1024)
    assert fast < slow / 2, (fast, slow)
    atoll("update", "--device-read-iops", "vda:10", limited, timeout=SLOW_S)
    counted = seconds_to_read(atoll, limited, 1024)  # 16 requests, one of them at once
    assert counted > 1, counted
    assert atoll.inspect(limited)["HostConfig"]["BlkioDeviceReadIOps"] == [{"Path": "vda", "Rate": 10}]
    atoll.fails("update", "--device-read-bps", "vdh:1mb", limited, says="no disk vdh", timeout=SLOW_S)
    atoll.fails("update", "--device-read-bps", "vda:x", limited, says="vda:RATE", timeout=SLOW_S)
    if atoll.inspect(limited)["Atoll"]["Emulated"]:
        atoll.fails("update", "--network-rx-bps", "1mb", limited, says="from its start", timeout=SLOW_S)


def test_less_of_a_machine(atoll, limited):
    """Memory is given up by its guest, processor time is the host's to give; its checks go on."""
    before = memory_kib(atoll, limited)
    atoll("update", "-m", "128m", limited, timeout=SLOW_S)
    assert abs(before - memory_kib(atoll, limited) - (128 << 10)) < 4096
    assert inside(atoll, limited, "cat", "/sys/fs/cgroup/memory.max").strip() == str(128 << 20)

    atoll("update", "--cpus", "0.4", limited, timeout=SLOW_S)
    pid = atoll.inspect(limited)["State"]["Pid"]
    begun, used = time.monotonic(), seconds_of(pid)
    inside(atoll, limited, "sh", "-c", "timeout 3 sh -c 'while :; do :; done'; true")
    assert seconds_of(pid) - used < 0.6 * (time.monotonic() - begun)
    atoll("update", "--cpus", "1", limited, timeout=SLOW_S)
    wait.until(lambda: atoll.inspect(limited)["State"]["Health"]["Status"] == "healthy",
               "the check sees a root that is read-only", SLOW_S)


@pytest.mark.parametrize("options, says", [
    (("--device-read-bps", "vda:1mb"), "only a machine"),
    (("--network-rx-bps", "1mb"), "only a machine"),
    (("--cpus-max", "2"), "only a machine"),
    (("--memory-max", "1g"), "only a machine"),
])
def test_not_of_containers(atoll, busybox, options, says):
    atoll.fails("run", "--rm", "--network", "none", *options, busybox, "true", rc=125, says=says)


@pytest.mark.parametrize("options, says", [
    (("--memory-max", "64m", "-m", "128m"), "--memory-max is below --memory"),
    (("--cpus-max", "17"), "at most 16 processors"),
    (("--read-only", "--device-write-iops", "vdb:5"), "no disk vdb"),
    (("--device-write-iops", "vdb:many"), "vda:RATE"),
])
def test_refusals(atoll, busybox, options, says):
    atoll.fails("run", "--rm", *MICROVM, *options, busybox, "true", rc=125, says=says,
                timeout=SLOW_S)
