# SPDX-License-Identifier: Apache-2.0
"""Machines that are kept, and go on elsewhere: on KVM. Without it the reason is said."""
import json
import os
import signal

import pytest

from lib.vmm import NO_KVM
from lib.wait import until

KVM = os.environ.get("ATOLL_MICROVM") == "kvm"
SLOW_S = 300
# Every line says how far it is, and something that no other machine says.
COUNTER = ("echo old > /kept; trap 'exit 5' TERM; i=0; while :; do i=$((i+1)); "
           "echo $i $(cat /proc/sys/kernel/random/uuid); echo $i > /count; sleep 0.1; done")

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def run(atoll, busybox):
    if not KVM:
        pytest.skip(NO_KVM)

    def start(name, *args, command=("sh", "-c", COUNTER)):
        atoll("run", "-d", "--isolation", "microvm", "-m", "192m", "--name", name, *args, busybox, *command,
              timeout=SLOW_S)
        return name

    yield start
    for name in atoll("ps", "-a", "--format", "{{.Names}}").out.split():
        atoll.try_("rm", "-f", "-v", name, timeout=SLOW_S)
    for name in atoll("snapshot", "ls", "-q").out.split():  # the newest first: what is on top of others
        atoll("snapshot", "rm", name)
    assert not list((atoll.root / "snapshots").glob("*"))


def does(a, *args):
    r = a.try_(*args, timeout=SLOW_S)
    assert r.rc == 0, f"{r}\n{a.try_('ps', '-a')}\n" + "".join(
        f"{f}: {f.read_text(errors='replace')[-3000:]}" for f in a.state.glob("workloads/*/machine.log"))
    return r


def lines(a, name):
    return [(int(n), said) for n, said in (x.split() for x in a("logs", name).out.splitlines())]


def counts(a, name):
    """It counts on, without a gap: its lines."""
    n = len(lines(a, name))
    until(lambda: len(lines(a, name)) > n + 2, f"{name} counts on", deadline_s=120)
    seen = lines(a, name)
    assert [x for x, _ in seen] == list(range(seen[0][0], seen[0][0] + len(seen)))
    return seen


def test_two_from_one(atoll, run):
    """
    Both count on from there, with names, randomness, boots, files and ends of their own; the original
    goes on. The third is created first, of a snapshot on top of the other, made while it is paused.
    """
    a = run("one")
    counts(atoll, a)
    does(atoll, "snapshot", "create", a, "warm")
    counts(atoll, a)
    assert {p.name: oct(p.stat().st_mode)[-3:] for p in (atoll.root / "snapshots/warm/state").iterdir()} == {
        "machine": "600", "memory": "600", "guest.json": "600", "files": "700", "disk": "600"}
    atoll("pause", a)
    does(atoll, "snapshot", "create", "--diff", a, "cold")
    assert atoll.inspect(a)["State"]["Status"] == "paused"
    [whole, part] = [json.loads(atoll("snapshot", "inspect", n).out)[0] for n in ("warm", "cold")]
    assert part["Base"] == "warm" and sized(atoll, "cold") < sized(atoll, "warm") / 2, (whole, part)
    atoll("unpause", a)
    counts(atoll, a)
    names = ("two", "three")
    does(atoll, "run", "-d", "--from-snapshot", "warm", "--name", "two")
    does(atoll, "create", "--from-snapshot", "cold", "--name", "three")
    does(atoll, "start", "three")
    said = {n: counts(atoll, n) for n in names}
    at, both = {n: said[n][0][0] for n in names}, {n: dict(said[n]) for n in names}
    assert 1 < at["two"] < at["three"] <= lines(atoll, a)[-1][0]
    boots = {atoll("exec", n, "cat", "/proc/sys/kernel/random/boot_id", timeout=SLOW_S).out for n in (*names, a)}
    assert len(boots) == 3
    assert not set(both["two"].values()) & set(both["three"].values()) & set(dict(lines(atoll, a)).values())
    assert all(both["two"][i] != both["three"][i] for i in set(both["two"]) & set(both["three"]))
    for n in names:
        out = atoll("exec", n, "sh", "-c", "cat /kept; hostname; cat /etc/hostname; echo mine >> /kept; cat /count").out.split()
        assert out[:3] == ["old", *[atoll.inspect(n)["Id"][:12]] * 2] and int(out[3]) >= at[n]
    assert atoll("exec", a, "cat", "/kept").out == "old\n"
    assert atoll.inspect("two")["Atoll"]["Snapshot"] == "warm"
    # Removed meanwhile: its memory file is mapped, and goes on to serve.
    atoll("snapshot", "rm", "cold", "warm")
    counts(atoll, "two")
    atoll("stop", "-t", "60", "two", timeout=SLOW_S)
    assert atoll.inspect("two")["State"]["ExitCode"] == 5
    atoll("kill", "three", timeout=SLOW_S)
    until(lambda: atoll.inspect("three")["State"]["ExitCode"] == 137, "it ends", deadline_s=120)
    counts(atoll, a)


def sized(a, name):
    """Bytes on disk of a snapshot's memory."""
    return (a.root / "snapshots" / name / "state/memory").stat().st_blocks * 512


def test_archive(atoll, run, base, tmp_path):
    """Out to a file and in again, as another machine; of one that is paused, too."""
    (base / "kept").mkdir(exist_ok=True)
    a = run("out", "-v", f"{base}/kept:/data")
    counts(atoll, a)
    atoll("exec", a, "sh", "-c", "exec 7>/data/held; while :; do echo on >&7; sleep 1; done & echo $! > /data/pid")
    does(atoll, "checkpoint", "--leave-running", "--export", tmp_path / "one.tar", a)
    assert (tmp_path / "one.tar").stat().st_size < 192 << 20
    counts(atoll, a)
    atoll("pause", a)
    does(atoll, "checkpoint", "--export", tmp_path / "two.tar.zst", a)
    assert atoll.inspect(a)["State"]["ExitCode"] == 137
    atoll("rm", "-v", a)
    for name, file in (("in1", "one.tar"), ("in2", "two.tar.zst")):
        does(atoll, "restore", "--import", tmp_path / file, "--name", name)
        counts(atoll, name)
        out = atoll("exec", name, "sh", "-c", "cat /kept; hostname; ls /data", timeout=SLOW_S).out.split()
        assert out == ["old", atoll.inspect(name)["Id"][:12], "held", "pid"]


def test_checkpoint_and_restore(atoll, run):
    """It ends with its checkpoint, and goes on from there, its output in one piece."""
    a = run("there")
    counts(atoll, a)
    does(atoll, "checkpoint", "create", a, "c1")
    assert (atoll.inspect(a)["State"]["Status"], atoll.inspect(a)["State"]["ExitCode"]) == ("exited", 137)
    before = lines(atoll, a)
    does(atoll, "restore", a, "c1")
    seen = counts(atoll, a)
    assert seen[:len(before)] == before and len(seen) > len(before)
    does(atoll, "checkpoint", "create", "--leave-running", a, "c2")
    counts(atoll, a)
    assert atoll("checkpoint", "ls", a).out.split()[2:] == ["c1", "c2"]
    atoll("exec", a, "true")


def test_clones_and_diffs(atoll, run, base):
    """Three of one, which share a volume; and snapshots on top of each other."""
    (base / "shared").mkdir(exist_ok=True)
    a = run("orig", "-v", f"{base}/shared:/data")
    atoll.fails("snapshot", "create", "--diff", a, "d0", says="whole one first")
    ids = does(atoll, "clone", a, "c1", "c2", "c3").out.split()
    assert len(set(ids)) == 3
    for n in ("c1", "c2", "c3"):
        atoll("exec", n, "sh", "-c", "hostname > /data/$(hostname)", timeout=SLOW_S)
        counts(atoll, n)
    assert {p.name for p in (base / "shared").iterdir()} == {i[:12] for i in ids}
    atoll.fails("snapshot", "create", "--diff", a, "d0", says="is not kept")
    for n in ("c1", "c2", "c3"):
        atoll("rm", "-f", n, timeout=SLOW_S)
    does(atoll, "snapshot", "create", a, "whole")
    atoll("exec", a, "sh", "-c", "echo later > /later")
    does(atoll, "snapshot", "create", "--diff", a, "part")
    [shown] = json.loads(atoll("snapshot", "inspect", "part").out)
    assert shown["Base"] == "whole"
    atoll.fails("snapshot", "rm", "whole", says="'part' is on top of")
    does(atoll, "run", "-d", "--from-snapshot", "part", "--name", "late")
    assert atoll("exec", "late", "cat", "/later", timeout=SLOW_S).out == "later\n"
    counts(atoll, "late")


@pytest.mark.parametrize("part", ["client", "atoll-vmm", "atoll-proxy", "shim"])
def test_nothing_half(atoll, run, part):
    """kill -9 of each part while it is kept: it goes on or has ended, and no snapshot is there."""
    a = run("half")
    counts(atoll, a)
    p = atoll.popen("snapshot", "create", a, "half")
    until(lambda: p.poll() is not None or list((atoll.root / "snapshots").glob(".part-*/state/memory")),
          "it is being written", deadline_s=120)
    if part == "client":
        p.kill()
    elif part == "shim":
        os.kill(atoll.inspect(a)["Atoll"]["ShimPid"], signal.SIGKILL)
    else:
        os.kill(process_of(atoll, a, part), signal.SIGKILL)
    p.wait()
    for name in atoll("snapshot", "ls", "-q").out.split():  # it was faster
        atoll("snapshot", "rm", name)
    if part == "client":
        counts(atoll, a)
        does(atoll, "snapshot", "create", a, "whole")
        assert {p.name for p in (atoll.root / "snapshots").iterdir()} == {"whole"}
    else:
        until(lambda: atoll.inspect(a)["State"]["Status"] == "exited", f"it has ended without {part}", deadline_s=120)
        assert "Total reclaimed" in atoll("snapshot", "prune", "-f").out
        assert not list((atoll.root / "snapshots").iterdir())


def process_of(a, name, program):
    """The pid of a program of the machine: its proxy, or a child of that."""
    proxy = a.inspect(name)["State"]["Pid"]
    with open(f"/proc/{proxy}/task/{proxy}/children", encoding="utf-8") as f:
        for pid in (proxy, *map(int, f.read().split())):
            with open(f"/proc/{pid}/comm", encoding="utf-8") as g:
                if g.read().strip() == program:
                    return pid
    raise AssertionError(f"no {program}")


def test_without_kvm(atoll, busybox):
    """An emulated processor's state cannot be kept: the reason, and what would serve."""
    atoll("run", "-d", "--isolation", "microvm", "--name", "emulated", busybox, "sleep", "1000",
          env={"ATOLL_MICROVM": "tcg"}, timeout=SLOW_S)
    for words in (["snapshot", "create", "emulated", "x"], ["clone", "emulated", "y"], ["checkpoint", "emulated"]):
        atoll.fails(*words, says="it needs KVM; a container can be kept by CRIU", timeout=SLOW_S)
    atoll.fails("checkpoint", "--export", "/dev/null", "emulated", says="it needs KVM")
    assert atoll("exec", "emulated", "echo", "on", timeout=SLOW_S).out == "on\n"
    assert atoll("snapshot", "ls", "-q").out == "" and not list((atoll.root / "snapshots").iterdir())
    atoll("rm", "-f", "emulated", timeout=SLOW_S)
