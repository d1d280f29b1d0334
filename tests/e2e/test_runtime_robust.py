# SPDX-License-Identifier: Apache-2.0
"""atoll-runtime: wrong and hostile input, kills at any moment, racers; nothing is left behind."""
import json
import os
import signal
import subprocess
import time
from itertools import count
from pathlib import Path

import pytest

from lib import cgroups, leaks
from lib.wait import until

ids = (f"atoll-robust-{os.getpid()}-{n}" for n in count())


def set_(path, value):
    """A change of the spec: the member named by the path becomes `value`."""
    def change(s):
        at = s
        keys = path.split(".")
        for k in keys[:-1]:
            at = at[int(k)] if isinstance(at, list) else at.setdefault(k, {})
        at[keys[-1]] = value
    return change


# -- config.json

@pytest.mark.parametrize("path, value, says", [
    ("process", "text", "process"),
    ("process.args", "sh", "process.args"),
    ("process.args", [], "process.args"),
    ("process.args", [1, 2], "process.args"),
    ("process.cwd", "relative", "cwd"),
    ("process.cwd", None, "cwd"),
    ("process.user.uid", -1, "process.user.uid"),
    ("process.user.uid", 1 << 32, "process.user.uid"),
    ("process.user.uid", "0", "process.user.uid"),
    ("process.env", {"A": "b"}, "process.env"),
    ("process.rlimits", [{"type": "RLIMIT_NONE", "hard": 1, "soft": 1}], "RLIMIT_NONE"),
    ("process.rlimits", [{"type": "RLIMIT_CORE", "hard": 1, "soft": 2}], "process.rlimits"),
    ("process.oomScoreAdj", 5000, "oomScoreAdj"),
    ("root", None, "root"),
    ("root.path", "no-such-directory", "no-such-directory"),
    ("root.path", "", "root.path"),
    ("mounts", [{"destination": 7}], "mounts[0].destination"),
    ("mounts", [{"destination": "/x", "type": "nofs", "source": "x"}], "nofs"),
    ("mounts", [{"destination": "/x", "type": "bind", "source": "/no/such", "options": ["bind"]}],
     "/no/such"),
    ("linux.namespaces", [{"type": "pid"}, {"type": "pid"}], "namespaces"),
    ("linux.namespaces", [{"type": "moon"}], "moon"),
    ("linux.namespaces", [{"type": "mount"}, {"type": "uts"}, {"type": "network", "path": "/proc/self/ns/uts"}],
     "/proc/self/ns/uts"),
    ("linux.sysctl", {"kernel.core_pattern": "|/x"}, "kernel.core_pattern"),
    ("linux.sysctl", {"net/../kernel.hostname": "x"}, "sysctl"),
    ("linux.seccomp", {"defaultAction": "SCMP_ACT_NOTHING"}, "SCMP_ACT_NOTHING"),
    ("linux.resources.memory.limit", "1g", "memory.limit"),
    ("linux.cgroupsPath", 5, "cgroupsPath"),
    ("linux.uidMappings", [{"containerID": 0, "hostID": 0, "size": 0}], ""),
    ("hooks.prestart", [{"path": "relative"}], "hooks.prestart"),
    ("hooks.createRuntime", [{"path": "/no/such/hook"}], "/no/such/hook"),
    ("ociVersion", 1, "ociVersion"),
    ("ociVersion", "9.0.0", "ociVersion"),
])
def test_wrong_specs_are_named_and_leave_nothing(runtime, bundle, id, path, value, says):
    r = runtime.fails("create", "-b", bundle(change=set_(path, value)), id, rc=1)
    assert says in r.err, str(r)
    assert runtime("list", "-q").out == ""
    assert not [c for c in leaks.cgroups() if id in c.split("/")]


@pytest.mark.parametrize("text", [
    b"", b"{", b"null", b"[]", b"{}", b'"x"', b"\xff\xfe", b"{" * 100000, b"[" * 100000,
    b'{"ociVersion":"1.0.0","ociVersion":"1.0.0"}', b'{"a": 1e999}', b"{} x", b"\0" * 100,
    b'{"process":' * 200 + b"1" + b"}" * 200,
])
def test_what_is_no_spec_is_refused(runtime, bundle, id, text):
    b = bundle()
    (b / "config.json").write_bytes(text)
    runtime.fails("create", "-b", b, id, rc=1, says="config.json")
    assert runtime("list", "-q").out == ""


def test_a_spec_without_end_is_refused(runtime, bundle, id):
    b = bundle()
    (b / "config.json").unlink()
    (b / "config.json").symlink_to("/dev/zero")
    runtime.fails("create", "-b", b, id, rc=1, says="config.json")


def test_bundles_that_are_none(runtime, bundle, id, base):
    runtime.fails("create", "-b", base / "no-bundle", id, rc=1, says="no-bundle")
    empty = base / "empty-bundle"
    empty.mkdir(exist_ok=True)
    runtime.fails("create", "-b", empty, id, rc=1, says="config.json")
    b = bundle()
    runtime.fails("create", "-b", b / "config.json", id, rc=1, says="config.json")


def test_a_root_that_cannot_be_written(build, base, bundle, id):
    from lib.run import Runtime
    r = Runtime(build, base)
    f = base / "a-file"
    f.write_text("")
    r.options = ["--root", str(f)]
    r.fails("create", "-b", bundle(), id, rc=1, says="a-file")
    r.fails("list", rc=1, says="a-file")


# -- kills

STEPS_MS = [0, 1, 2, 3, 5, 8, 12, 20]


def kill_after(p, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end and p.poll() is None:
        pass
    p.send_signal(signal.SIGKILL)
    p.wait()


@pytest.mark.parametrize("verb", ["create", "run"])
@pytest.mark.parametrize("ms", STEPS_MS)
def test_killed_while_it_creates(runtime, bundle, id, verb, ms):
    """Whatever was there when it was killed, delete --force takes it away."""
    b = bundle(["/bin/sleep", "1000"], set_("linux.cgroupsPath", f"/atoll-kill-{os.getpid()}/{id}"))
    with open(os.devnull, "wb") as null:
        p = runtime.popen(verb, "-b", b, id, stdout=null, stderr=null)
        kill_after(p, ms / 1000)
    runtime("delete", "--force", id)
    assert runtime("list", "-q").out == ""
    until(lambda: not cgroups.there(f"atoll-kill-{os.getpid()}/{id}"), "its cgroups gone")
    until(lambda: not leaks.processes(str(b)), "no process left")
    assert not leaks.mounts(str(b))
    # And the id is free.
    runtime("run", "-b", bundle(), id)


@pytest.mark.parametrize("ms", STEPS_MS[:5])
def test_killed_while_it_deletes(runtime, bundle, id, ms):
    b = bundle(["/bin/sleep", "1000"], set_("linux.cgroupsPath", f"/atoll-kill-{os.getpid()}/{id}"))
    runtime.leave("run", "-d", "-b", b, id)
    kill_after(runtime.popen("delete", "--force", id), ms / 1000)
    runtime("delete", "--force", id)
    assert runtime("list", "-q").out == "" and not cgroups.there(f"atoll-kill-{os.getpid()}/{id}")


def test_an_init_killed_from_outside_is_stopped(runtime, bundle, id):
    runtime.leave("run", "-d", "-b", bundle(["/bin/sleep", "1000"]), id)
    os.kill(runtime.state(id)["pid"], signal.SIGKILL)
    until(lambda: runtime.state(id)["status"] == "stopped", "stopped")
    runtime("delete", id)


def test_a_pid_that_another_has_now_is_not_taken_for_it(runtime, bundle, id):
    runtime.leave("create", "-b", bundle(["/bin/sleep", "1000"]), id)
    pid = runtime.state(id)["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: runtime.state(id)["status"] == "stopped", "stopped")
    mine = subprocess.Popen(["sleep", "100"])
    try:
        for f in (runtime.state_dir / id).iterdir():
            text = f.read_bytes()
            if str(pid).encode() in text and f.name != "state":
                f.write_bytes(text.replace(str(pid).encode(), str(mine.pid).encode()))
        s = runtime.state(id)
        assert (s["status"], s["pid"]) == ("stopped", 0)
        runtime("delete", "--force", id)
        assert mine.poll() is None, "a stranger was killed"
    finally:
        mine.kill()
        mine.wait()


def test_state_that_was_damaged(runtime, bundle, id):
    runtime.leave("create", "-b", bundle(["/bin/sleep", "1000"]), id)
    pid = runtime.state(id)["pid"]
    (runtime.state_dir / id / "status").write_text("{")
    r = runtime.fails("state", id, rc=1)
    assert f"{id}/status" in r.err
    assert runtime("list", "-q").out.split() == [id]
    runtime.try_("list")
    runtime("delete", "--force", id)
    assert runtime("list", "-q").out == ""
    until(lambda: not leaks.processes(str(runtime.state_dir / id)) and
          not os.path.exists(f"/proc/{pid}/root/bin"), "its process gone")


# -- racers

def test_two_create_one_id(runtime, bundle, id):
    for _ in range(5):
        b = bundle(["/bin/sleep", "1000"])
        with open(os.devnull, "wb") as null:
            both = [runtime.popen("create", "-b", b, id, stdout=null, stderr=null)
                    for _ in range(2)]
            codes = sorted(p.wait(60) for p in both)
        assert codes == [0, 1]
        assert runtime.state(id)["status"] == "created"
        runtime("delete", "--force", id)


def test_two_start_and_two_delete_one(runtime, bundle, id):
    runtime.leave("create", "-b", bundle(["/bin/sleep", "1000"]), id)
    both = [runtime.popen("start", id) for _ in range(2)]
    assert sorted(p.wait(60) for p in both) == [0, 1]
    both = [runtime.popen("delete", "--force", id) for _ in range(2)]
    assert [p.wait(60) for p in both] == [0, 0]
    assert runtime("list", "-q").out == ""


def test_many_at_once(runtime, bundle):
    many = [next(ids) for _ in range(12)]
    bundles = [bundle(["/bin/echo", i], set_("linux.cgroupsPath", f"/atoll-many-{os.getpid()}/{i}"))
               for i in many]
    started = [runtime.popen("run", "-b", d, i) for i, d in zip(many, bundles)]
    while any(p.poll() is None for p in started):
        runtime("list")  # who looks gets in nobody's way
    for i, p in zip(many, started):
        out, err = p.communicate(timeout=120)
        assert (p.returncode, out, err) == (0, f"{i}\n".encode(), b"")
    assert runtime("list", "-q").out == "" and cgroups.there(f"atoll-many-{os.getpid()}") == []


# -- hooks

def hook(base, name, script):
    f = base / f"{name}.sh"
    f.write_text(f"#!/bin/sh\n{script}\n")
    f.chmod(0o755)
    return {"path": str(f), "args": [name], "env": ["PATH=/bin:/usr/bin"]}


def test_hooks_see_the_state(runtime, bundle, id, base):
    log = base / "hooks.log"
    kinds = ["prestart", "createRuntime", "poststart", "poststop"]

    def change(s):
        s["hooks"] = {k: [hook(base, k, f"echo {k} $(cat) >> {log}")] for k in kinds}
    runtime("run", "-b", bundle(["/bin/true"], change), id)
    lines = [l.split(" ", 1) for l in log.read_text().splitlines()]
    assert [k for k, _ in lines] == kinds
    for kind, text in lines:
        s = json.loads(text)
        assert s["id"] == id and s["ociVersion"] and Path(s["bundle"]).is_dir()
        assert s["status"] == {"prestart": "creating", "createRuntime": "creating",
                               "poststart": "running", "poststop": "stopped"}[kind]


def test_a_hook_that_fails_undoes_all(runtime, bundle, id, base):
    def change(s):
        s["hooks"] = {"createRuntime": [hook(base, "bad", "echo because >&2; exit 5")]}
        s["linux"]["cgroupsPath"] = f"/atoll-hook-{os.getpid()}/{id}"
    r = runtime.fails("create", "-b", bundle(change=change), id, rc=1)
    assert "hook" in r.err and "createRuntime" in r.err, str(r)
    assert runtime("list", "-q").out == "" and cgroups.there(f"atoll-hook-{os.getpid()}") == []


def test_a_hook_that_does_not_end(runtime, bundle, id, base):
    def change(s):
        slow = hook(base, "slow", "sleep 1000")
        slow["timeout"] = 1
        s["hooks"] = {"createRuntime": [slow]}
    runtime.fails("create", "-b", bundle(change=change), id, rc=1, says="createRuntime")
    assert runtime("list", "-q").out == ""
    assert not [p for p in leaks.processes(str(base)) if "slow.sh" in p]


def test_a_hook_may_ask_for_the_state(runtime, bundle, id, base):
    out = base / "asked"
    ask = " ".join(runtime.argv("state", id))

    def change(s):
        s["hooks"] = {"createRuntime": [hook(base, "ask", f"{ask} > {out}")],
                      "poststart": [hook(base, "ask2", f"{ask} > {out}2")]}
    runtime("run", "-b", bundle(["/bin/sleep", "0.1"], change), id)
    assert json.loads(out.read_text())["status"] == "creating"
    assert json.loads(Path(f"{out}2").read_text())["status"] in ("running", "stopped", "created")
