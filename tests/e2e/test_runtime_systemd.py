# SPDX-License-Identifier: Apache-2.0
"""
atoll-runtime with systemd's cgroup driver: scopes as systemd and the kernel have them. A bus that
does not answer is in test_runtime_bus.py.
"""
import json
import os
import signal
import subprocess
import time
from itertools import count
from pathlib import Path

import pytest

from lib import cgroups
from lib.fakebus import keepers
from lib.wait import until

ids = (f"atoll-sd-{os.getpid()}-{n}" for n in count())
MIB = 1 << 20
needs_systemd = pytest.mark.skipif(not Path("/run/systemd/system").is_dir() or os.geteuid() != 0,
                                   reason="needs a machine that systemd started")
needs_v2 = pytest.mark.skipif(not cgroups.PURE_V2, reason="needs cgroup v2 alone")
BY_SYSTEMD = ("--cgroup-manager", "systemd")
FUSE = {"path": "/dev/fuse2", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666}
TUN = {"path": "/dev/tun2", "type": "c", "major": 10, "minor": 200, "fileMode": 0o666}


@pytest.fixture
def id(runtime):
    i = next(ids)
    yield i
    runtime.try_("delete", "--force", i)
    if Path("/run/systemd/system").is_dir():
        until(lambda: show(f"t-{i}.scope", "LoadState") == "not-found", "no unit left")


def show(unit, *properties):
    """The values of a unit's properties, in the order asked for; one: alone."""
    out = subprocess.run(["systemctl", "show", unit, "-p", ",".join(properties)],
                         capture_output=True, text=True, check=True).stdout
    found = {}
    for line in out.splitlines():
        key, value = line.split("=", 1)
        found[key] = f"{found[key]} {value}" if key in found else value
    values = [found.get(p, "") for p in properties]
    return values[0] if len(values) == 1 else values


def file(id, name, at=None):
    return (cgroups.TOP / (at or f"machine.slice/t-{id}.scope") / name).read_text().strip()


def spec_of(id, resources=None, path=None, **annotations):
    def change(s):
        s["linux"]["cgroupsPath"] = f"machine.slice:t:{id}" if path is None else path
        s["linux"]["resources"] = resources or {}
        s["annotations"] = {k.replace("__", "."): v for k, v in annotations.items()}
    return change


@pytest.fixture
def running(runtime, bundle, id):
    """running(resources, args): a running container in machine.slice/t-ID.scope."""
    def make(resources=None, args=("/bin/sleep", "1000"), change=None, **kw):
        def both(s):
            spec_of(id, resources, **kw)(s)
            if change:
                change(s)
        runtime.leave(*BY_SYSTEMD, "run", "-d", "-b", bundle(args, both), id)
        return id
    return make


# -- the life of a scope

@needs_systemd
@needs_v2
def test_a_scope_in_its_slice(runtime, running):
    id = running()
    unit = f"t-{id}.scope"
    assert show(unit, "ActiveState", "Slice", "Delegate") == ["active", "machine.slice", "yes"]
    assert id in show(unit, "Description")
    assert show(unit, "MemoryAccounting", "CPUAccounting", "TasksAccounting") == ["yes"] * 3
    pid = runtime.state(id)["pid"]
    assert Path(f"/proc/{pid}/cgroup").read_text().splitlines()[-1].endswith(
        f"/machine.slice/{unit}")
    assert file(id, "cgroup.procs") == str(pid), "nobody else, such as who held its place"
    assert keepers() == []
    assert runtime("exec", id, "cat", "/proc/self/cgroup").out.splitlines()[-1].endswith(":/")
    runtime("kill", id, "KILL")
    until(lambda: runtime.state(id)["status"] == "stopped", "stopped")
    runtime("delete", id)
    assert show(unit, "LoadState") == "not-found"
    assert not (cgroups.TOP / "machine.slice" / unit).exists()


@needs_systemd
@needs_v2
def test_create_and_start_apart(runtime, bundle, id):
    runtime.leave("--systemd-cgroup", "create", "-b", bundle(["/bin/sleep", "1000"], spec_of(id)),
                  id)
    assert runtime.state(id)["status"] == "created"
    pid = str(runtime.state(id)["pid"])
    assert file(id, "cgroup.procs") == pid and keepers() == []
    runtime("start", id)
    assert runtime.state(id)["status"] == "running" and file(id, "cgroup.procs") == pid
    runtime("delete", "-f", id)


@needs_systemd
def test_run_in_the_foreground(runtime, bundle, id):
    r = runtime.try_(*BY_SYSTEMD, "run", "-b", bundle(
        ["/bin/sh", "-c", "echo in; exit 7"], spec_of(id)), id)
    assert (r.rc, r.out, r.err) == (7, "in\n", ""), str(r)
    assert show(f"t-{id}.scope", "LoadState") == "not-found"


@needs_systemd
@needs_v2
def test_exec_pause_ps_and_kill_all(runtime, running):
    id = running()
    p = runtime.popen("exec", id, "sleep", "1000")
    until(lambda: len(file(id, "cgroup.procs").split()) == 2, "the second process")
    assert len(json.loads(runtime("ps", "-f", "json", id).out)) == 2
    runtime("pause", id)
    assert runtime.state(id)["status"] == "paused" and file(id, "cgroup.freeze") == "1"
    runtime("resume", id)
    runtime("kill", "--all", id, "KILL")
    assert p.wait(60) == 137
    until(lambda: runtime.state(id)["status"] == "stopped", "stopped")


@needs_systemd
def test_systemd_stops_it(runtime, running):
    id = running()
    subprocess.run(["systemctl", "kill", "-s", "KILL", f"t-{id}.scope"], check=True)
    until(lambda: runtime.state(id)["status"] == "stopped", "stopped")
    runtime("delete", id)


@needs_systemd
@needs_v2
def test_memory_that_ran_out_leaves_no_failed_unit(runtime, running):
    id = running({"memory": {"limit": 30 * MIB, "swap": 30 * MIB}},
                 ["/bin/sh", "-c", "head -c 200000000 /dev/zero | tail; sleep 1000"])
    until(lambda: "oom_kill 1" in file(id, "memory.events"), "something killed")
    runtime("delete", "-f", id)
    assert show(f"t-{id}.scope", "LoadState") == "not-found"


# -- names

@needs_systemd
def test_without_a_path_the_id_names_it(runtime, bundle, id):
    runtime.leave(*BY_SYSTEMD, "run", "-d", "-b", bundle(["/bin/sleep", "1000"], spec_of(id, path="")),
                  id)
    assert show(f"atoll-{id}.scope", "ActiveState", "Slice") == ["active", "system.slice"]
    runtime("delete", "-f", id)
    assert show(f"atoll-{id}.scope", "LoadState") == "not-found"


@needs_systemd
@pytest.mark.parametrize("path, unit, slice", [
    ("{}", "{}.scope", "system.slice"), (":x:{}", "x-{}.scope", "system.slice"),
    ("a-b.slice:x:{}", "x-{}.scope", "a-b.slice")])
def test_other_names(runtime, bundle, id, path, unit, slice):
    runtime.leave(*BY_SYSTEMD, "run", "-d", "-b",
                  bundle(["/bin/sleep", "1000"], spec_of(id, path=path.format(id))), id)
    assert show(unit.format(id), "ActiveState", "Slice") == ["active", slice]
    where = cgroups.of_process(runtime.state(id)["pid"])[""]
    assert where.endswith(unit.format(id)) and (slice != "a-b.slice" or
                                                where.startswith("/a.slice/a-b.slice/"))
    runtime("delete", "-f", id)


@needs_systemd
def test_a_name_in_use(runtime, running, bundle):
    id = running()
    other = next(ids)
    runtime.fails(*BY_SYSTEMD, "run", "-b", bundle(change=spec_of(id)), other, says="is in use")
    assert show(f"t-{id}.scope", "ActiveState") == "active"
    runtime("exec", id, "true")
    assert [c["id"] for c in json.loads(runtime("list", "-f", "json").out)] == [id]


@needs_systemd
def test_a_name_that_was_just_given_back(runtime, bundle, id):
    b = bundle(["/bin/true"], spec_of(id))
    for _ in range(5):
        runtime(*BY_SYSTEMD, "run", "-b", b, id)


@needs_systemd
@needs_v2
def test_a_cgroup_below_the_scope(runtime, running):
    id = running({"pids": {"limit": 40}, "memory": {"limit": 50 * MIB}},
                 run__oci__systemd__subgroup="container")
    pid = runtime.state(id)["pid"]
    sub = f"machine.slice/t-{id}.scope/container"
    assert cgroups.of_process(pid)[""] == f"/{sub}"
    assert file(id, "pids.max", sub) == "40" and file(id, "cgroup.procs") == ""
    assert show(f"t-{id}.scope", "TasksMax", "MemoryMax") == ["40", str(50 * MIB)]
    p = runtime.popen("exec", id, "sleep", "1000")
    until(lambda: len(file(id, "cgroup.procs", sub).split()) == 2, "exec enters there")
    runtime("update", "--pids-limit", "41", id)
    assert file(id, "pids.max", sub) == "41"
    runtime("delete", "-f", id)
    assert p.wait(60) == 137


# -- limits: in the files, in systemd's eyes, and after it read its units again

LIMITS = {"memory": {"limit": 64 * MIB, "swap": 96 * MIB, "reservation": 32 * MIB},
          "cpu": {"shares": 512, "quota": 7500, "period": 30000, "cpus": "0", "mems": "0"},
          "pids": {"limit": 33}, "blockIO": {"weight": 500}}
FILES = {"memory.max": str(64 * MIB), "memory.swap.max": str(32 * MIB),
         "memory.low": str(32 * MIB), "cpu.weight": "59", "cpu.max": "7500 30000",
         "cpuset.cpus": "0", "cpuset.mems": "0", "pids.max": "33"}
SHOWN = {"MemoryMax": str(64 * MIB), "MemorySwapMax": str(32 * MIB), "MemoryLow": str(32 * MIB),
         "CPUWeight": "59", "CPUQuotaPeriodUSec": "30ms", "CPUQuotaPerSecUSec": "250ms", "AllowedCPUs": "0",
         "AllowedMemoryNodes": "0", "TasksMax": "33"}


@needs_systemd
@needs_v2
def test_limits_twice_and_after_a_reload(runtime, running):
    direct = {"cgroup.max.descendants": "7", "memory.high": str(60 * MIB)}
    id = running({**LIMITS, "unified": direct})
    files = {**FILES, **direct}
    assert {f: file(id, f) for f in files} == files
    assert dict(zip(SHOWN, show(f"t-{id}.scope", *SHOWN))) == SHOWN
    assert show(f"t-{id}.scope", "MemoryHigh") == str(60 * MIB)
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    # Something that makes systemd write all it knows of the unit.
    subprocess.run(["systemctl", "set-property", "--runtime", f"t-{id}.scope", "Description=x"],
                   check=False)
    assert {f: file(id, f) for f in files} == files
    assert dict(zip(SHOWN, show(f"t-{id}.scope", *SHOWN))) == SHOWN


@needs_systemd
@needs_v2
def test_update(runtime, running):
    id = running(LIMITS)
    unit = f"t-{id}.scope"
    runtime("update", "--memory", "128m", "--memory-swap", "-1", id)
    assert show(unit, "MemoryMax", "MemorySwapMax", "MemoryLow") == [
        str(128 * MIB), "infinity", str(32 * MIB)]
    assert file(id, "memory.max") == str(128 * MIB) and file(id, "memory.swap.max") == "max"
    runtime("update", "--cpu-quota", "20000", id)
    assert file(id, "cpu.max") == "20000 30000" and file(id, "cpu.weight") == "59"
    assert show(unit, "CPUWeight", "CPUQuotaPeriodUSec") == ["59", "30ms"]
    runtime("update", "--cpu-quota", "-1", "--cpu-share", "1024", "--pids-limit", "-1", id)
    assert file(id, "cpu.max").startswith("max ") and file(id, "pids.max") == "max"
    assert show(unit, "CPUWeight", "CPUQuotaPerSecUSec", "TasksMax") == [
        "100", "infinity", "infinity"]
    runtime("update", "--cpu-idle", "1", id)
    assert file(id, "cpu.idle") == "1" and show(unit, "CPUWeight") == "idle"
    runtime("update", "-r", "-", id, input='{"unified": {"memory.min": "4194304"}}')
    assert show(unit, "MemoryMin") == "4194304" and file(id, "memory.max") == str(128 * MIB)
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    assert file(id, "cpu.idle") == "1" and file(id, "memory.min") == "4194304"
    before = {f: file(id, f) for f in FILES}
    runtime("update", id)
    assert {f: file(id, f) for f in FILES} == before


@needs_systemd
@needs_v2
def test_what_systemd_cannot_say_exactly(runtime, running):
    id = running({"cpu": {"quota": 10000, "period": 30000},
                  "unified": {"memory.max": "40000000", "memory.oom.group": "1"}})
    assert file(id, "cpu.max") == "10000 30000" and file(id, "memory.oom.group") == "1"
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    assert file(id, "cpu.max") in ("10000 30000", "10200 30000"), "never less than was asked for"


@needs_systemd
@needs_v2
def test_very_few_processes(runtime, bundle, id):
    r = runtime.try_(*BY_SYSTEMD, "run", "-b", bundle(
        ["/bin/echo", "alone"], spec_of(id, {"pids": {"limit": 1}})), id)
    assert (r.rc, r.out) == (0, "alone\n"), str(r)


@needs_systemd
def test_a_limit_that_is_refused_leaves_nothing(runtime, bundle, id):
    runtime.fails(*BY_SYSTEMD, "create", "-b", bundle(change=spec_of(
        id, {"cpu": {"cpus": "5000"}})), id, says="5000")
    assert show(f"t-{id}.scope", "LoadState") == "not-found" and keepers() == []
    assert not (cgroups.TOP / f"machine.slice/t-{id}.scope").exists()


# -- devices

@needs_systemd
def test_devices_stay_through_a_reload(runtime, running):
    def nodes(s):
        s["linux"]["devices"] = [FUSE, TUN]
    id = running({"devices": [{"allow": False, "access": "rwm"},
                              {"allow": True, "type": "c", "major": 10, "minor": 229,
                               "access": "rw"}]}, change=nodes)

    def check():
        runtime("exec", id, "sh", "-c", ": < /dev/fuse2; head -c 1 /dev/zero; echo > /dev/null")
        r = runtime.try_("exec", id, "sh", "-c", ": < /dev/tun2")
        assert r.rc != 0 and "not permitted" in r.err, str(r)
    check()
    unit = f"t-{id}.scope"
    assert show(unit, "DevicePolicy") == "strict"
    assert "/dev/char/10:229 rw" in show(unit, "DeviceAllow")
    for command in (["daemon-reload"], ["set-property", "--runtime", unit, "TasksMax=77"],
                    ["daemon-reexec"]):
        subprocess.run(["systemctl", *command], check=True)
        check()
    runtime("update", "-r", "-", id, input=json.dumps({"devices": [
        {"allow": True, "type": "c", "major": 10, "minor": 200, "access": "r"}]}))
    runtime("exec", id, "sh", "-c", ": < /dev/tun2")
    assert "/dev/char/10:200 r" in show(unit, "DeviceAllow")
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    runtime("exec", id, "sh", "-c", ": < /dev/tun2")


@needs_systemd
def test_a_container_that_may_use_all_devices(runtime, running):
    def nodes(s):
        s["linux"]["devices"] = [FUSE]
    id = running({"devices": [{"allow": True, "access": "rwm"}]}, change=nodes)
    assert show(f"t-{id}.scope", "DevicePolicy", "DeviceAllow") == ["auto", ""]
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    runtime("exec", id, "sh", "-c", ": < /dev/fuse2")


@needs_systemd
@needs_v2
def test_an_exception_that_systemd_has_no_word_for(runtime, running):
    def nodes(s):
        s["linux"]["devices"] = [FUSE, TUN]
    id = running({"devices": [{"allow": True, "access": "rwm"},
                              {"allow": False, "type": "c", "major": 10, "minor": 200,
                               "access": "rwm"}]}, change=nodes)
    for _ in range(2):
        runtime("exec", id, "sh", "-c", ": < /dev/fuse2")
        assert runtime.try_("exec", id, "sh", "-c", ": < /dev/tun2").rc != 0
        subprocess.run(["systemctl", "daemon-reload"], check=True)


# -- annotations

@needs_systemd
def test_properties_by_annotations(runtime, running):
    id = running(None, **{"org.systemd.property.TimeoutStopSec": "uint64 7",
                          "org.systemd.property.Before": "['multi-user.target']",
                          "org.systemd.property.CollectMode": "'inactive'",
                          "org.systemd.property.Description": '"said by an annotation"'})
    unit = f"t-{id}.scope"
    assert show(unit, "TimeoutStopUSec", "CollectMode", "Description") == [
        "7s", "inactive", "said by an annotation"]
    assert "multi-user.target" in show(unit, "Before")


@needs_systemd
@pytest.mark.parametrize("name, value, says", [
    ("NoSuchThing", "true", "NoSuchThing"), ("TimeoutStopUSec", "'text'", "StartTransientUnit")])
def test_properties_that_systemd_refuses(runtime, bundle, id, name, value, says):
    runtime.fails(*BY_SYSTEMD, "create", "-b", bundle(change=spec_of(
        id, **{f"org.systemd.property.{name}": value})), id, says=says)
    assert runtime("list", "-q").out == "" and keepers() == []


# -- ends in the middle

@needs_systemd
def test_killed_while_a_hook_runs(runtime, bundle, id, base):
    mark = base / f"{id}.hook"

    def change(s):
        spec_of(id)(s)
        s["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": [
            "sh", "-c", f"echo $$ > {mark}; exec sleep 1000"]}]}
    p = runtime.popen(*BY_SYSTEMD, "create", "-b", bundle(change=change), id)
    hook = int(until(lambda: mark.exists() and mark.read_text(), "the hook"))
    p.kill()
    p.wait()
    os.kill(hook, signal.SIGKILL)
    runtime("delete", "--force", id)
    assert show(f"t-{id}.scope", "LoadState") == "not-found" and keepers() == []
    runtime(*BY_SYSTEMD, "run", "-b", bundle(["/bin/true"], spec_of(id)), id)


@needs_systemd
@needs_v2
def test_killed_at_many_moments(runtime, bundle, id):
    b = bundle(["/bin/sleep", "1000"], spec_of(id, LIMITS))
    began = time.monotonic()
    runtime.leave(*BY_SYSTEMD, "create", "-b", b, id)
    took = time.monotonic() - began
    runtime("delete", "-f", id)
    for n in range(8):
        p = runtime.popen(*BY_SYSTEMD, "create", "-b", b, id, start_new_session=True,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            p.wait(took * (n + 1) / 9)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
        runtime("delete", "--force", id)
        until(lambda: show(f"t-{id}.scope", "LoadState") == "not-found", f"unit gone, kill {n}")
    assert keepers() == [] and runtime("list", "-q").out == ""
    runtime(*BY_SYSTEMD, "run", "-b", bundle(["/bin/true"], spec_of(id)), id)


@needs_systemd
def test_deleting_without_a_bus(runtime, running, base):
    """What can be done without systemd is done: processes and cgroups go."""
    id = running()
    runtime("delete", "-f", id, env={"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={base}/nowhere"})
    assert runtime("list", "-q").out == ""
    until(lambda: show(f"t-{id}.scope", "ActiveState") != "active", "systemd notices by itself")


@needs_systemd
def test_without_a_bus_by_systemds_own_socket(runtime, bundle, id):
    socket = Path("/run/dbus/system_bus_socket")
    away = socket.with_name("system_bus_socket.away")
    socket.rename(away)
    try:
        r = runtime.try_(*BY_SYSTEMD, "run", "-b", bundle(["/bin/echo", "by itself"], spec_of(
            id, {"pids": {"limit": 20}})), id)
    finally:
        away.rename(socket)
    assert (r.rc, r.out) == (0, "by itself\n"), str(r)
    assert show(f"t-{id}.scope", "LoadState") == "not-found"
