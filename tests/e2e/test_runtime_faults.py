# SPDX-License-Identifier: Apache-2.0
"""
atoll-runtime when things break while it works: killed before each of its system calls, bundles
that vanish, processes that end during create, hooks that flood, hang, fall or stay behind.
"""
import json
import os
import shutil
import signal
import time
from itertools import count

import pytest

from lib import cgroups, images, leaks
from lib.killing import calls_of, killed_at, spread, strace_works
from lib.wait import until

ids = (f"atoll-faults-{os.getpid()}-{n}" for n in count())
PARENT = f"atoll-faults-{os.getpid()}"
STEPS = 120  # of a start as many of its calls; of the other verbs fewer
FEWER = 40


@pytest.fixture
def id(runtime):
    i = next(ids)
    yield i
    runtime.try_("delete", "--force", i)


def in_parent(spec):
    spec["linux"]["cgroupsPath"] = f"/{PARENT}/x"


def nothing_left(runtime, b):
    assert runtime("list", "-q").out == ""
    until(lambda: cgroups.there(PARENT) == [], "its cgroups gone")
    until(lambda: not leaks.processes(str(b)), "no process left")
    assert not leaks.mounts(str(b))


# -- SIGKILL at each step

@pytest.mark.parametrize("verb", [("run",), ("run", "-d"), ("create",)], ids=" ".join)
def test_killed_at_each_step_of_its_start(runtime, bundle, verb):
    """Whatever is there then, delete --force takes it away, and the id is free again."""
    assert strace_works()
    b = bundle(["/bin/true"] if verb == ("run",) else ["/bin/sleep", "1000"], in_parent)

    def argv(i):
        return (*verb, "-b", str(b), i)
    i = next(ids)
    calls = calls_of(runtime, *argv(i))
    runtime("delete", "--force", i)
    killed = 0
    points = spread(calls, STEPS)
    for point in points:
        i = next(ids)
        killed += killed_at(runtime, calls, point, *argv(i))
        runtime("delete", "--force", i)
        nothing_left(runtime, b)
        assert not (runtime.state_dir / i).exists()
    assert killed > len(points) // 2, (killed, len(points))
    runtime("run", "-b", bundle(), i)


@pytest.mark.parametrize("verb", ["start", "delete", "delete --force", "kill", "pause", "resume",
                                  "update", "exec"])
def test_other_verbs_killed_at_each_step(runtime, bundle, verb):
    assert strace_works()
    b = bundle(["/bin/sleep", "1000"], in_parent)

    def prepare():
        i = next(ids)
        runtime.leave("create" if verb == "start" else "run",
                      *([] if verb == "start" else ["-d"]), "-b", b, i)
        if verb == "resume":
            runtime("pause", i)
        if verb == "delete":
            runtime("kill", i, "KILL")
            until(lambda: runtime.state(i)["status"] == "stopped", "it ended")
        more = {"kill": ["KILL"], "exec": ["/bin/true"]}.get(verb, [])
        if verb == "update":
            return i, ("update", "--memory", str(64 << 20), "--pids-limit", "50", i)
        return i, (*verb.split(), i, *more)

    i, argv = prepare()
    calls = calls_of(runtime, *argv)
    runtime("delete", "--force", i)
    killed = 0
    points = spread(calls, FEWER)
    for point in points:
        i, argv = prepare()
        killed += killed_at(runtime, calls, point, *argv)
        runtime.try_("state", i)
        runtime("delete", "--force", i)
        nothing_left(runtime, b)
    assert killed > len(points) // 3, (killed, len(points))


# -- bundles that vanish

def test_a_bundle_that_vanishes_after_create(runtime, base, rootfs, id):
    b = images.bundle(base / f"vanishes-{id}", rootfs, ["/bin/sleep", "1000"], in_parent)
    runtime.leave("create", "-b", b, id)
    shutil.rmtree(b)
    assert runtime.state(id)["status"] == "created"
    runtime("start", id)
    assert runtime("exec", id, "echo", "still").out == "still\n"
    runtime("update", "--pids-limit", "77", id)
    runtime("kill", id, "KILL")
    until(lambda: runtime.state(id)["status"] == "stopped", "it ended")
    runtime("delete", id)
    nothing_left(runtime, b)


@pytest.mark.parametrize("what", ["bundle", "rootfs", "config.json"])
@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer"])
def test_a_bundle_that_vanishes_during_create(runtime, base, id, kind, what):
    """By a hook, which is when somebody else has a turn: it runs all the same, or says why not."""
    root = images.busybox_rootfs(base / f"root-{id}")
    b = base / f"gone-{id}"
    gone = {"bundle": b, "rootfs": root, "config.json": b / "config.json"}[what]
    script = base / f"rm-{id}.sh"
    script.write_text(f"#!/bin/busybox sh\nexec rm -rf {gone}\n")
    script.chmod(0o755)

    def change(s):
        in_parent(s)
        s["hooks"] = {kind: [{"path": "/bin/busybox", "args": ["sh", str(script)]}]}
    images.bundle(b, root, ["/bin/true"], change)
    r = runtime.try_("run", "-b", b, id, timeout=60)
    assert r.rc in (0, 1) and (r.rc == 0 or "level=error" in r.err), str(r)
    assert what != "rootfs" or r.rc == 1
    nothing_left(runtime, b)


def test_a_config_that_is_changed_after_create(runtime, bundle, id):
    """What was created is what starts, and what exec takes after."""
    b = bundle(["/bin/sleep", "1000"], env=["PATH=/bin", "A=first"])
    runtime.leave("create", "-b", b, id)
    s = json.loads((b / "config.json").read_text())
    s["process"].update(args=["/bin/false"], env=["A=second"])
    (b / "config.json").write_text(json.dumps(s))
    runtime("start", id)
    assert runtime("exec", id, "/bin/sh", "-c", "echo $A").out == "first\n"


# -- processes that end at the wrong moment

def hook(base, name, script, **more):
    f = base / f"{name}-{next(ids)}.sh"
    f.write_text(f"#!/bin/sh\n{script}\n")
    f.chmod(0o755)
    return {"path": str(f), "args": [name], "env": ["PATH=/bin:/usr/bin"], **more}


@pytest.mark.parametrize("kind", ["prestart", "createRuntime"])
def test_an_init_that_ends_during_create(runtime, bundle, base, id, kind):
    def change(s):
        in_parent(s)
        s["hooks"] = {kind: [hook(base, "kill", "kill -9 $(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/')")]}
    b = bundle(["/bin/true"], change)
    r = runtime.fails("create", "-b", b, id, rc=1, timeout=60)
    assert "container" in r.err or "init" in r.err, str(r)
    nothing_left(runtime, b)


def test_an_init_that_ends_before_start(runtime, bundle, id):
    b = bundle(["/bin/true"], in_parent)
    runtime.leave("create", "-b", b, id)
    os.kill(runtime.state(id)["pid"], signal.SIGKILL)
    until(lambda: runtime.state(id)["status"] == "stopped", "stopped")
    runtime.fails("start", id, rc=1, says="stopped")
    runtime.fails("exec", id, "true", says="stopped")
    runtime.fails("pause", id)
    runtime("delete", id)
    nothing_left(runtime, b)


def test_a_container_that_ends_while_it_is_entered(runtime, bundle):
    for _ in range(10):
        i = next(ids)
        b = bundle(["/bin/sleep", "0.03"])
        runtime.leave("run", "-d", "-b", b, i)
        while runtime.state(i)["status"] == "running":
            r = runtime.try_("exec", i, "/bin/true", timeout=30)
            assert r.rc in (0, 1, 255, 137) and "panic" not in r.err, str(r)
        runtime("delete", i)


# -- hooks

def test_a_hook_that_floods(runtime, bundle, base, id):
    """What it says is read, to be cut, and neither stops it nor fills our memory."""
    def change(s):
        s["hooks"] = {"createRuntime": [hook(
            base, "flood", "head -c 300000000 /dev/zero | tr '\\0' x >&2; exit 4", timeout=60)]}
    r = runtime.fails("run", "-b", bundle(change=change), id, rc=1, says="exit status 4")
    assert 100 < len(r.err) < 1500 and "xxxx" in r.err
    assert runtime("list", "-q").out == ""

    def fine(s):
        s["hooks"] = {"createRuntime": [hook(base, "flood", "yes | head -c 100000000 >&2")]}
    assert runtime("run", "-b", bundle(["/bin/echo", "ran"], fine), id).out == "ran\n"


def test_a_hook_that_floods_for_ever(runtime, bundle, base, id):
    def change(s):
        s["hooks"] = {"createRuntime": [hook(base, "flood", "yes >&2", timeout=1)]}
    runtime.fails("run", "-b", bundle(change=change), id, rc=1, says="took longer than 1 s")
    assert runtime("list", "-q").out == ""


def test_a_hook_that_does_not_read_its_state(runtime, bundle, base, id):
    def change(s):
        s["annotations"] = {f"org.example.{n}": "x" * 1000 for n in range(900)}
        s["hooks"] = {k: [hook(base, "deaf", "exec < /dev/null")] for k in (
            "prestart", "createRuntime", "createContainer", "poststart", "poststop")}
    assert runtime("run", "-b", bundle(["/bin/echo", "ran"], change), id).out == "ran\n"


def test_a_hook_that_leaves_a_process(runtime, bundle, base, id):
    """Who goes into the background with the hook's output does not hold up the container."""
    pid = base / f"left-{id}"

    def change(s):
        s["hooks"] = {"createRuntime": [hook(base, "leave", f"sleep 1000 & echo $! > {pid}")]}
    b = bundle(["/bin/sleep", "1000"], change)
    started = time.monotonic()
    try:
        runtime.leave("run", "-d", "-b", b, id)
        assert time.monotonic() - started < 30
    finally:
        os.kill(int(pid.read_text()), signal.SIGKILL)


@pytest.mark.parametrize("script, says", [
    ("kill -SEGV $$", "killed by signal 11"), ("exit 255", "exit status 255"),
    ("printf '\\033[31m\\001\\377'; printf '\\033[31m\\001' >&2; exit 1", "exit status 1")])
def test_a_hook_that_falls(runtime, bundle, base, id, script, says):
    def change(s):
        in_parent(s)
        s["hooks"] = {"createRuntime": [hook(base, "falls", script)]}
    b = bundle(change=change)
    r = runtime.fails("run", "-b", b, id, rc=1, says=says)
    assert "\x1b" not in r.err, repr(r.err)
    nothing_left(runtime, b)


def test_killed_while_a_hook_hangs(runtime, bundle, base, id):
    """The hook has no time limit, and the runtime is killed over it: the rest can be removed."""
    mark = base / f"hangs-{id}"

    def change(s):
        in_parent(s)
        s["hooks"] = {"createRuntime": [hook(base, "hang", f"echo $$ > {mark}; exec sleep 1000")]}
    b = bundle(change=change)
    with open(os.devnull, "wb") as null:
        p = runtime.popen("create", "-b", b, id, stdout=null, stderr=null)
        until(lambda: mark.exists() and mark.read_text().strip(), "the hook runs")
        assert runtime.state(id)["status"] == "creating"
        p.send_signal(signal.SIGKILL)
        p.wait()
    runtime("delete", "--force", id)
    try:
        os.kill(int(mark.read_text()), signal.SIGKILL)
    except ProcessLookupError:
        pass
    nothing_left(runtime, b)
