# SPDX-License-Identifier: Apache-2.0
"""Hooks of all six kinds: when they run, where, with what on standard input."""
import json
import os
from itertools import count

import pytest

from lib.wait import until

ids = (f"atoll-hooks-{os.getpid()}-{n}" for n in count())
KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


@pytest.fixture
def log(base):
    d = base / f"hooks-{next(ids)}"
    d.mkdir()
    return d


def hook(log, kind, extra="true", **more):
    """Notes its turn, the state it was given and what it sees."""
    script = (f"cat > {log}/{kind}.json; echo {kind} >> {log}/order; "
              f"readlink /proc/self/ns/mnt > {log}/{kind}.mnt; env > {log}/{kind}.env; {extra}")
    return {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin", "K=v"],
            **more}


def with_hooks(log, **hooks):
    def change(spec):
        spec["hooks"] = hooks
        # Those that run inside write to the same directory.
        spec["mounts"].append({"destination": str(log), "type": "bind", "source": str(log),
                               "options": ["bind"]})
        spec["annotations"] = {"org.example.key": "value"}
    return change


def test_all_kinds_in_order(runtime, bundle, log):
    i = next(ids)
    b = bundle(["/bin/sh", "-c", f"echo process >> {log}/order"],
               with_hooks(log, **{k: [hook(log, k)] for k in KINDS}))
    runtime.leave("create", "-b", b, i)
    assert (log / "order").read_text().split() == list(KINDS[:3])
    state = {k: json.loads((log / f"{k}.json").read_text()) for k in KINDS[:3]}
    for k in KINDS[:3]:
        assert state[k]["id"] == i and state[k]["status"] == "creating"
        assert state[k]["bundle"] == str(b)
        assert state[k]["annotations"] == {"org.example.key": "value"}
    assert state["createRuntime"]["pid"] == runtime.state(i)["pid"]
    assert state["createContainer"]["pid"] == 1
    host = os.readlink("/proc/self/ns/mnt")
    assert (log / "createRuntime.mnt").read_text().strip() == host
    assert (log / "createContainer.mnt").read_text().strip() != host
    runtime("start", i)
    until(lambda: runtime.state(i)["status"] == "stopped", "the end")
    runtime("delete", i)
    order = (log / "order").read_text().split()
    assert order[3] == "startContainer" and sorted(order[4:6]) == ["poststart", "process"]
    assert order[6:] == ["poststop"]
    assert json.loads((log / "poststart.json").read_text())["status"] == "running"
    assert json.loads((log / "startContainer.json").read_text())["status"] == "created"
    assert json.loads((log / "poststop.json").read_text())["status"] == "stopped"
    env = (log / "createRuntime.env").read_text().split()
    assert "K=v" in env and not any(e.startswith("HOME=") for e in env)


def test_several_run_in_their_order(runtime, bundle, log):
    runtime("run", "-b", bundle(["/bin/true"], with_hooks(
        log, createRuntime=[hook(log, "one"), hook(log, "two")],
        poststop=[hook(log, "bad", "exit 1"), hook(log, "last")])), next(ids))
    assert (log / "order").read_text().split() == ["one", "two", "bad", "last"]


def test_files_are_found_by_the_roots_path(runtime, bundle, log):
    """As hooks of devices do: by the root's path, with what is mounted below it, or from there."""
    spec = {}

    def change(s):
        spec.update(s)
        with_hooks(log, createContainer=[hook(
            log, "in", f"test -e {s['root']['path']}/proc/self && pwd > {log}/pwd")])(s)

    b = bundle(["/bin/true"], change)
    runtime("run", "-b", b, next(ids))
    assert (log / "pwd").read_text().strip() == spec["root"]["path"]


def test_environment_of_a_hook_that_names_none(runtime, bundle, log):
    h = hook(log, "e")
    del h["env"]
    runtime("run", "-b", bundle(["/bin/true"], with_hooks(log, createRuntime=[h])), next(ids),
            env={"FROM_CALLER": "yes"})
    assert "FROM_CALLER=yes" in (log / "e.env").read_text()


def test_start_deletes_what_poststart_refused(runtime, bundle, log):
    i = next(ids)
    runtime.leave("create", "-b", bundle(["/bin/sleep", "1000"], with_hooks(
        log, poststart=[hook(log, "bad", "exit 1")])), i)
    runtime.fails("start", i, says="error running poststart hook #0")
    runtime.fails("state", i, says="does not exist")


@pytest.mark.parametrize("kind", KINDS[:4])
def test_a_failure_ends_the_start(runtime, bundle, log, kind):
    i = next(ids)
    runtime.fails("run", "-b", bundle(["/bin/sh", "-c", f"echo ran > {log}/ran"], with_hooks(
        log, **{kind: [hook(log, "first"), hook(log, "bad", "echo why >&2; exit 3")]})), i,
        says=f"error running {kind} hook #1")
    assert not (log / "ran").exists()
    assert runtime("list", "-q").out == ""


def test_a_hook_that_takes_too_long(runtime, bundle, log):
    runtime.fails("run", "-b", bundle(["/bin/true"], with_hooks(log, createRuntime=[
        hook(log, "slow", "sleep 1000 & sleep 1000", timeout=1)])), next(ids),
        says="took longer than 1 s")


def test_a_hook_that_is_not_there(runtime, bundle, log):
    runtime.fails("run", "-b", bundle(["/bin/true"], with_hooks(log, prestart=[
        {"path": "/no/such/hook"}])), next(ids), says="error running prestart hook #0")
    runtime.fails("run", "-b", bundle(["/bin/true"], with_hooks(log, prestart=[
        {"path": "relative"}])), next(ids), says="must be absolute")


def test_poststart_failure_stops_it(runtime, bundle, log):
    i = next(ids)
    runtime.fails("run", "-d", "-b", bundle(["/bin/sleep", "1000"], with_hooks(
        log, poststart=[hook(log, "bad", "exit 1")])), i, says="error running poststart hook #0")
    assert runtime("list", "-q").out == ""


def test_inside_it_has_the_environment_of_the_process(runtime, bundle, log):
    h = hook(log, "e")
    del h["env"]

    def change(spec):
        with_hooks(log, startContainer=[h])(spec)
        spec["process"]["env"] += ["OF_PROCESS=yes", "HOME=/somewhere", "HOME="]

    runtime("run", "-b", bundle(["/bin/true"], change), next(ids), env={"FROM_CALLER": "yes"})
    text = (log / "e.env").read_text()
    assert "OF_PROCESS=yes" in text and "FROM_CALLER" not in text


def test_output_into_files(runtime, bundle, log):
    """As crun's annotations ask: also of those inside, who could not reach the files."""
    def change(spec):
        with_hooks(log, createRuntime=[hook(log, "a", "echo out-a; echo err-a >&2")],
                   startContainer=[hook(log, "b", "echo out-b; echo err-b >&2")],
                   poststop=[hook(log, "c", "echo out-c")])(spec)
        spec["annotations"] = {"run.oci.hooks.stdout": f"{log}/stdout",
                               "run.oci.hooks.stderr": f"{log}/stderr"}

    assert runtime("run", "-b", bundle(["/bin/true"], change), next(ids)).out == ""
    assert (log / "stdout").read_text().split() == ["out-a", "out-b", "out-c"]
    assert (log / "stderr").read_text().split() == ["err-a", "err-b"]


def test_a_poststop_that_fails_is_told(runtime, bundle, log):
    r = runtime("run", "-b", bundle(["/bin/true"], with_hooks(
        log, poststop=[hook(log, "bad", "exit 3")])), next(ids))
    assert "poststop hook failed with exit code 3" in r.err


def test_hooks_of_another_config(runtime, bundle, log):
    """What start and delete run is what was created, whatever the file's name."""
    b = bundle(["/bin/true"], with_hooks(log, poststart=[hook(log, "real")],
                                         poststop=[hook(log, "end")]))
    (b / "config.json").rename(b / "other.json")
    i = next(ids)
    runtime.leave("create", "-b", b, "-f", b / "other.json", i)
    runtime("start", i)
    runtime("delete", "-f", i)
    assert (log / "order").read_text().split() == ["real", "end"]
