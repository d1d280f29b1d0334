# SPDX-License-Identifier: Apache-2.0
"""Snapshots of containers that are kept, workloads made from them, and clones."""
import json
import os
import signal
import time

import pytest

from lib.wait import until

COUNTER = "echo old > /kept; rm -f /etc/motd; rm -rf /home; mkdir /home; : > /count; i=0; while :; do i=$((i+1)); echo $i; echo $i >> /count; sleep 0.05; done"


@pytest.fixture(scope="module")
def at(atoll, criu_path, busybox):
    atoll.env["PATH"] = f"{criu_path.parent}:{os.environ['PATH']}"
    return atoll


@pytest.fixture
def run(at, busybox):
    made = []

    def start(name, *args, command=("sh", "-c", COUNTER)):
        made.append(name)
        at("run", "-d", "--name", name, *args, busybox, *command)
        counted(at, name)
        return name

    yield start
    for name in [*made, *at("ps", "-a", "--format", "{{.Names}}").out.split()]:
        at.try_("rm", "-f", "-v", name)
    for name in at("snapshot", "ls", "-q").out.split():
        at.try_("snapshot", "rm", name)
    assert at("snapshot", "ls", "-q").out == ""
    assert not [p for p in (at.root / "snapshots").glob(".*")]


def does(a, *args, **kw):
    r = a.try_(*args, **kw)
    assert r.rc == 0, f"{r}\n" + "".join(f.read_text(errors="replace")[-4000:]
                                         for f in a.root.glob("workloads/*/*.log") if "workload" not in f.name)
    return r


def counted(a, name):
    """It counts on: the numbers in its own file, an unbroken row."""
    def count():
        return a("exec", name, "sh", "-c", "cat /count || true").out.split()
    n = len(count())
    until(lambda: len(count()) > n + 2, f"{name} counts on")
    seen = count()
    assert seen == [str(i + 1) for i in range(len(seen))]
    return len(seen)


def test_two_from_one(at, run):
    a = run("one")
    assert does(at, "snapshot", "create", a, "warm").line == "warm"
    counted(at, a)  # it goes on
    at.fails("snapshot", "create", a, "warm", says="there is a snapshot 'warm' already")
    first = int(at("logs", a).out.split()[-1])
    ids = [does(at, "run", "-d", "--from-snapshot", "warm", "--name", n).line for n in ("two", "three")]
    for n in ("two", "three"):
        assert counted(at, n)
        # What it wrote before is there, what it removed is not, and what it writes is its own.
        assert at("exec", n, "sh", "-c", "cat /kept; test -e /etc/motd || echo gone; ls -A /home; echo mine > /mine; hostname; "
                  "cat /etc/hostname").out.split() == ["old", "gone", *[at.inspect(n)["Id"][:12]] * 2]
        printed = [int(x) for x in at("logs", n).out.split()]  # its own log: only what it said since
        assert printed == list(range(printed[0], printed[0] + len(printed))) and 1 < printed[0] <= first + 1
    assert at.inspect("two")["Atoll"]["Snapshot"] == "warm" and at.inspect(a)["Atoll"]["Snapshot"] == ""
    assert at.try_("exec", a, "test", "-e", "/mine").rc == 1
    assert [at.inspect(n)["Id"] for n in ("two", "three")] == ids and len({*ids, at.inspect(a)["Id"]}) == 3
    # Removed meanwhile: what was made from it goes on, and ends and starts as others do.
    image = at.inspect(a)["Image"]
    at("rm", "-f", a)
    at("snapshot", "rm", "warm")
    counted(at, "two")
    at("stop", "-t", "0", "two")
    assert at.inspect("two")["State"]["ExitCode"] == 137
    at("start", "two")
    until(lambda: at("logs", "two").out.split().count("1") == 1, "a start begins at the beginning")
    assert at.inspect("two")["Image"] == image


def test_what_is_shown(at, run, busybox):
    a = run("shown", "-l", "x=1", "-e", "A=B")
    began = f"{time.time():.6f}"
    does(at, "snapshot", "create", "--leave-running=false", a, "last")
    assert at.inspect(a)["State"]["Status"] == "exited"
    [row] = at("snapshot", "ls", "--format", "json").json_lines
    assert (row["Name"], row["Workload"], row["Isolation"]) == ("last", a, "container") and row["Size"] != "0B"
    [one] = json.loads(at("snapshot", "inspect", "last").out)
    assert one["Workload"] == a and one["Config"]["env"] == ["A=B"] and one["Base"] == "" and one["Size"] > 10000
    assert at("snapshot", "inspect", "-f", "{{.ImageId}}", "last").line == at.inspect(a)["Image"]
    at.fails("snapshot", "inspect", "none", says="no such snapshot: none")
    df = {x["Type"]: x for x in at("system", "df", "--format", "json").json_lines}
    assert df["Snapshots"]["TotalCount"] == "1" and {"Kernels", "Image Disks"} <= set(df)
    # The image stays as long as what needs it.
    at("rm", a)
    at("tag", busybox, "other")
    at("image", "rm", busybox)
    at.fails("image", "rm", "other", says="is used by 1 workload or snapshots")
    at("tag", "other", busybox)
    does(at, "run", "-d", "--from-snapshot", "last", "--name", "user", "-l", "x=2", "-l", "y=3", "--restart", "always")
    shown = at.inspect("user")
    assert shown["Config"]["Labels"]["x"] == "2" and shown["Config"]["Labels"]["y"] == "3"
    assert shown["HostConfig"]["RestartPolicy"]["Name"] == "always"
    assert at("snapshot", "prune", "-f").out.startswith("Total reclaimed space: 0B")
    at("rm", "-f", "user")
    assert "Deleted Snapshots:\nlast\n" in at("snapshot", "prune", "-f").out
    said = [(e["Action"], e["Actor"]["ID"]) for e in at("events", "--since", began, "--until", f"{time.time():.6f}",
                                                        "--filter", "type=snapshot", "--format", "json").json_lines]
    assert said == [("create", "last"), ("destroy", "last")]


def test_created_before(at, run, tmp_path):
    """What is created from one goes on from there with its first start, and begins with its second."""
    a = run("before")
    does(at, "snapshot", "create", a, "cold")
    i = does(at, "create", "--from-snapshot", "cold", "--name", "later", "-l", "x=1").line
    at("rm", "-f", a)
    shown = at.inspect("later")
    assert (shown["Id"], shown["State"]["Status"], shown["Atoll"]["Snapshot"]) == (i, "created", "cold")
    for words in (["cp", "later:/kept", str(tmp_path)], ["diff", "later"], ["commit", "later", "x"],
                  ["export", "-o", str(tmp_path / "x"), "later"]):
        at.fails(*words, says="no files before it goes on from snapshot 'cold': start it first")
    at.fails("snapshot", "rm", "cold", says="what workload 'later' goes on from when it is started")
    assert "cold" not in at("snapshot", "prune", "-f", "-a").out
    # A start that fails leaves it as it was: the next one goes on.
    image = at.root / "snapshots/cold/state/pstree.img"
    image.rename(tmp_path / "pstree.img")
    assert at.try_("start", "later").rc == 1
    at.fails("diff", "later", says="start it first")
    at.fails("snapshot", "rm", "cold", says="goes on from when it is started")
    (tmp_path / "pstree.img").rename(image)
    does(at, "start", "later")
    assert counted(at, "later") and at("exec", "later", "sh", "-c", "cat /kept; hostname").out.split() == ["old", i[:12]]
    assert "1" not in at("logs", "later").out.split()
    at("snapshot", "rm", "cold")
    at("stop", "-t", "0", "later")
    at("start", "later")
    until(lambda: "1" in at("logs", "later").out.split(), "a second start begins at the beginning")
    at.fails("create", says="requires at least 1 argument")
    at.fails("create", "--from-snapshot", "cold", says="no snapshot 'cold'")


def test_in_the_foreground(at, run, busybox):
    """Its exit code, its streams and its --rm are those of a run."""
    at("run", "-d", "-i", "--name", "fore", busybox, "sh", "-c",
       "while read x && [ $x != quit ]; do echo got $x; done; echo end; exit 7")
    does(at, "snapshot", "create", "fore", "reader")
    r = at.try_("run", "--rm", "-i", "--from-snapshot", "reader", "--name", "again", input="one\nquit\n")
    assert (r.rc, r.out) == (7, "got one\nend\n"), r
    at.fails("inspect", "again", says="no such object")
    r = at.try_("run", "--rm", "--from-snapshot", "reader", "-t")
    assert r.rc == 125 and "no terminal" in r.err
    assert at.inspect("fore")["State"]["Status"] == "running"


@pytest.mark.parametrize("args, says", [
    (["-v", "/tmp:/x"], "all else is the snapshot's"), (["busybox"], "'busybox' has no place"),
    (["-m", "64m"], "all else is the snapshot's"), (["--name", "refused"], "no snapshot 'some'"),
])
def test_what_cannot_be_another(at, busybox, args, says):
    at.try_("snapshot", "rm", "some")
    r = at.try_("run", "-d", "--from-snapshot", "some", *args)
    assert r.rc == 125 and says in r.err, r


def test_clones(at, run):
    """One into three, which share what is outside: the original goes on, and no snapshot stays."""
    at("volume", "create", "shared")
    a = run("orig", "-v", "shared:/data", "--rm")
    ids = does(at, "clone", a, "c1", "c2", "c3").out.split()
    assert len(set(ids)) == 3 and at("snapshot", "ls", "-q").out == ""
    script = "hostname; echo $(hostname) > /data/$(hostname)"
    names = {at("exec", n, "sh", "-c", script).line for n in ("c1", "c2", "c3", a)}
    assert len(names) == 4 and set(at("exec", a, "ls", "/data").out.split()) == names
    for n in ("c1", "c2", "c3", a):
        counted(at, n)
    at.fails("clone", a, "new", "c2", says="the name 'c2' is in use")
    at.fails("inspect", "new", says="no such object")
    at.fails("clone", a, "../x", says="are allowed")
    at("kill", "c1")
    at.fails("clone", "c1", "dead", says="not running")
    at.fails("snapshot", "create", "c1", "dead", says="not running")
    at.fails("snapshot", "create", "--leave-running=false", a, "gone", says="--rm")
    for n in (a, "c2", "c3"):
        at("rm", "-f", n)
    at("rm", "c1")
    at("volume", "rm", "shared")


def test_of_one_that_is_paused(at, run, tmp_path):
    """It stays paused; what is made of it runs. A checkpoint ends it as it ends others."""
    a = run("still")
    at("pause", a)
    said = at("logs", a).out
    does(at, "snapshot", "create", a, "calm")
    assert does(at, "clone", a, "copy").line == at.inspect("copy")["Id"]
    does(at, "checkpoint", "--leave-running", "--export", tmp_path / "calm.tar", a)
    assert at.inspect(a)["State"]["Status"] == "paused" and at("logs", a).out == said
    does(at, "run", "-d", "--from-snapshot", "calm", "--name", "woken")
    does(at, "restore", "--import", tmp_path / "calm.tar", "--name", "carried")
    for n in ("copy", "woken", "carried"):
        counted(at, n)
        assert int(at("logs", n).out.split()[0]) <= int(said.split()[-1]) + 2
    at("unpause", a)
    counted(at, a)
    at("pause", a)
    does(at, "checkpoint", a, "last")
    assert (at.inspect(a)["State"]["Status"], at.inspect(a)["State"]["ExitCode"]) == ("exited", 137)
    does(at, "restore", a, "last")
    counted(at, a)


def test_diff_is_of_machines(at, run):
    a = run("whole")
    at.fails("snapshot", "create", "--diff", a, "part", says="only those of microVMs")
    counted(at, a)


def test_nothing_half(at, run):
    """kill -9 while it is written: no snapshot, and the workload goes on or has ended."""
    a = run("half")
    for n in range(4):
        p = at.popen("snapshot", "create", a, f"s{n}")
        until(lambda: p.poll() is not None or list((at.root / "snapshots").glob(".part-*/state/*")), "it is written")
        if n < 2:
            p.kill()
            p.wait()
        else:
            shim = at.inspect(a)["Atoll"]["ShimPid"]
            os.kill(shim, signal.SIGKILL)
            p.wait()
            until(lambda: at.inspect(a)["State"]["Status"] == "exited", "it has ended")
            at("start", a)
        for name in at("snapshot", "ls", "-q").out.split():  # it was faster: then it is whole
            at("snapshot", "rm", name)
        counted(at, a)
    # What was left half goes with a repair, or with the next one.
    half = at.root / "snapshots/.part-0123456789abcdef"
    (half / "state").mkdir(parents=True)
    assert "half-written snapshots" in at("system", "repair").out and not half.exists()
    half.mkdir()
    does(at, "snapshot", "create", a, "whole")
    assert {p.name for p in (at.root / "snapshots").iterdir()} == {"whole"}
