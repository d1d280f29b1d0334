# SPDX-License-Identifier: Apache-2.0
"""
atoll-runtime with systemd's cgroup driver where there is no systemd, or a bus or a systemd that does
not answer, or answers nonsense. With a fake bus, so on any machine.
"""
import os
import signal
import time
from itertools import count
from pathlib import Path

import pytest

from lib import fakebus
from lib.fakebus import keepers
from lib.wait import until

ids = (f"atoll-bus-{os.getpid()}-{n}" for n in count())


def spec_of(id, path=None, **annotations):
    def change(s):
        s["linux"]["cgroupsPath"] = f"machine.slice:t:{id}" if path is None else path
        s["annotations"] = annotations
    return change


@pytest.fixture
def bus(base):
    """bus(behave): a fake bus; gives the environment that leads to it."""
    made = []

    def make(behave, **kw):
        made.append(fakebus.Bus(base / f"bus-{next(ids)}", behave, **kw))
        return made[-1]
    yield make
    for b in made:
        b.close()


@pytest.mark.skipif(Path("/run/systemd/system").is_dir(), reason="this machine has systemd")
def test_no_systemd(runtime, bundle):
    runtime.fails("--systemd-cgroup", "run", "-b", bundle(), next(ids),
                  says="was not started by systemd")
    assert runtime("list", "-q").out == ""


@pytest.mark.parametrize("address, says", [
    ("unix:path=/nonexistent/bus", "/nonexistent/bus"), ("tcp:host=localhost", "no address"),
    ("nonsense", "no address")])
def test_no_bus(runtime, bundle, address, says):
    runtime.fails("--systemd-cgroup", "run", "-b", bundle(), next(ids), says=says,
                  env={"DBUS_SYSTEM_BUS_ADDRESS": address})
    assert runtime("list", "-q").out == ""


def test_answers_that_never_come(runtime, bundle, bus):
    """Each wait ends by itself, and says who did not answer to what. All at once: they take time."""
    cases = [("the bus", bus(fakebus.silent)), ("systemd", bus(fakebus.deaf)),
             ("systemd", bus(fakebus.job("done", sender=":1.66")))]
    started = time.monotonic()
    running = [(who, runtime.popen("--systemd-cgroup", "run", "-b", bundle(change=spec_of("x")),
                                   next(ids), env=b.env)) for who, b in cases]
    for who, p in running:
        _, err = p.communicate(timeout=100)
        text = err.decode()
        assert p.returncode != 0 and " s (by D-Bus" in text, text
        assert f"{who} did not answer StartTransientUnit of 't-x.scope'" in text
    assert time.monotonic() - started < 90
    assert runtime("list", "-q").out == "" and keepers() == []


@pytest.mark.parametrize("behave, says", [
    (fakebus.says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "does not speak D-Bus"),
    (fakebus.says(b"REJECTED EXTERNAL\r\n"), "does not let us in"),
    (fakebus.closes, "closed the connection"),
    (fakebus.nonsense, "does not speak D-Bus"),
    (fakebus.huge, "does not speak D-Bus"),
    (fakebus.job("failed"), "its job ended as 'failed'"),
    (fakebus.job("done"), "not with our process in it"),
    (fakebus.refuses("org.freedesktop.DBus.Error.ServiceUnknown", "no such name"), "no such name"),
    (fakebus.refuses("org.freedesktop.DBus.Error.AccessDenied", "not you"), "not you"),
    (fakebus.refuses("org.freedesktop.systemd1.UnitExists", "it exists"), "is in use"),
], ids=["http", "rejected", "closed", "nonsense", "huge", "failed", "elsewhere", "nobody", "denied",
        "exists"])
def test_answers_that_are_none(runtime, bundle, bus, behave, says):
    runtime.fails("--systemd-cgroup", "run", "-b", bundle(change=spec_of("x")), next(ids),
                  says=says, env=bus(behave).env)
    assert runtime("list", "-q").out == "" and keepers() == []


def test_killed_while_it_waits_for_systemd(runtime, bundle, bus):
    b = bus(fakebus.deaf)
    id = next(ids)
    p = runtime.popen("--systemd-cgroup", "create", "-b", bundle(change=spec_of("x")), id,
                      env=b.env)
    until(lambda: "StartTransientUnit" in b.calls, "the call")
    assert len(keepers()) == 1
    p.send_signal(signal.SIGKILL)
    p.communicate()
    until(lambda: keepers() == [], "its keeper gone with it")
    runtime("delete", "--force", id)
    assert runtime("list", "-q").out == ""


@pytest.mark.parametrize("path", ["/a/b", "a/b", "machine.slice:x", "a:b:c", "a.slice:b:",
                                  "a.slice:b:c:d", "a--b.slice:x:y", "a.slice:b:c d"])
def test_bad_paths_are_refused_before_systemd_is_asked(runtime, bundle, bus, path):
    b = bus(fakebus.deaf)
    runtime.fails("--systemd-cgroup", "create", "-b", bundle(change=spec_of("x", path=path)),
                  next(ids), says="cgroupsPath", env=b.env)
    assert b.calls == [] and runtime("list", "-q").out == ""


@pytest.mark.parametrize("name, value, says", [
    ("PIDs", "@au [1]", "set by the runtime"), ("Slice", "'x.slice'", "set by the runtime"),
    ("TimeoutStopUSec", "5 5", "more than one value"), ("Before", "[]", "without its type"),
    ("TimeoutStopSec", "'5'", "no number of seconds"), ("A=B", "1", "not the name of a property"),
    ("Description", "'open", "without an end")])
def test_bad_annotations_are_refused_before_systemd_is_asked(runtime, bundle, bus, name, value,
                                                             says):
    b = bus(fakebus.deaf)
    runtime.fails("--systemd-cgroup", "create", "-b", bundle(change=spec_of(
        "x", **{f"org.systemd.property.{name}": value})), next(ids), says=says, env=b.env)
    assert b.calls == [] and runtime("list", "-q").out == ""


def test_managers(runtime, bundle):
    runtime.fails("--cgroup-manager", "other", "list", says="cgroupfs, systemd or disabled")
    runtime.fails("--systemd-cgroup", "--cgroup-manager", "cgroupfs", "list", says="contradict")
    features = runtime("features").json
    assert features["linux"]["cgroup"]["systemd"] and features["linux"]["cgroup"]["systemdUser"]
    assert "org.systemd.property." in features["potentiallyUnsafeConfigAnnotations"]
