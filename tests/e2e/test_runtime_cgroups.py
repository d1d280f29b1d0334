# SPDX-License-Identifier: Apache-2.0
"""atoll-runtime: limits as the kernel has them and as the container feels them; nothing left."""
import json
import os
from itertools import count
from pathlib import Path

import pytest

from lib import cgroups
from lib.wait import until

ids = (f"atoll-groups-{os.getpid()}-{n}" for n in count())
MIB = 1 << 20
cgroupfs_alone = pytest.mark.skipif(cgroups.BY_SYSTEMD, reason="about cgroupfs's own paths")
TOP = f"atoll-test-{os.getpid()}"


@pytest.fixture
def id(runtime):
    i = next(ids)
    yield i
    runtime.try_("delete", "--force", i)
    assert cgroups.there(f"{TOP}/{i}") == []


@pytest.fixture
def limited(runtime, bundle, id):
    """limited(resources, args): a running container with its cgroups at TOP/ID."""
    def make(resources, args=("/bin/sleep", "1000"), change=None):
        def with_resources(s):
            s["linux"]["resources"] = resources
            s["linux"]["cgroupsPath"] = f"/{TOP}/{id}"
            s["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup",
                                "source": "cgroup", "options": ["ro", "nosuid", "noexec", "nodev"]})
            if change:
                change(s)
        runtime.leave("run", "-d", "-b", bundle(args, with_resources), id)
        return id
    return make


def value(id, controller, v1_file, v2_file=None):
    return cgroups.text(f"{TOP}/{id}", controller, v1_file, v2_file or v1_file)


def with_resources(resources, path=None):
    def change(s):
        s["linux"]["resources"] = resources
        if path:
            s["linux"]["cgroupsPath"] = path
    return change


# -- where it is

def test_every_hierarchy_has_it_and_loses_it(runtime, limited):
    id = limited({})
    pid = runtime.state(id)["pid"]
    at = cgroups.of_process(pid)
    for names, _ in cgroups.hierarchies():
        assert at[names] == f"/{cgroups.real(f'{TOP}/{id}')}"
    runtime("delete", "-f", id)
    assert cgroups.there(TOP) == [], "parents that were made for it go too"


@cgroupfs_alone
def test_a_relative_path_is_below_the_callers_own(runtime, bundle, id):
    own = cgroups.of_process("self")
    runtime.leave("run", "-d", "-b", bundle(["/bin/sleep", "1000"], with_resources(
        {}, f"{TOP}/{id}")), id)
    at = cgroups.of_process(runtime.state(id)["pid"])
    for names, path in at.items():
        if names or not cgroups.PURE_V2:
            if names in dict(cgroups.hierarchies()):
                assert path == f"{own[names].rstrip('/')}/{TOP}/{id}"
    runtime("delete", "-f", id)


@cgroupfs_alone
def test_without_a_path_the_id_names_it(runtime, bundle, id):
    runtime.leave("run", "-d", "-b", bundle(["/bin/sleep", "1000"]), id)
    assert all(p.endswith(f"/{id}") for n, p in
               cgroups.of_process(runtime.state(id)["pid"]).items()
               if n in dict(cgroups.hierarchies()))
    runtime("delete", "-f", id)


def test_parents_of_others_stay(runtime, limited, bundle):
    id = limited({})
    other = next(ids)
    runtime.leave("run", "-d", "-b", bundle(["/bin/sleep", "1000"], with_resources(
        {}, f"/{TOP}/{other}")), other)
    runtime("delete", "-f", id)
    assert cgroups.there(f"{TOP}/{other}")
    runtime("delete", "-f", other)
    assert cgroups.there(TOP) == []


@pytest.mark.parametrize("path", ["/a/../../b", "..", "/", "x/./y"])
def test_bad_paths_are_refused(runtime, bundle, id, path):
    runtime.fails("create", "-b", bundle(change=with_resources({}, path)), id, says="cgroupsPath")
    assert runtime("list", "-q").out == ""


def test_a_group_with_processes_is_not_taken(runtime, limited, bundle):
    id = limited({})
    other = next(ids)
    runtime.fails("create", "-b", bundle(change=with_resources({}, f"/{TOP}/{id}")), other,
                  says="is in use" if cgroups.BY_SYSTEMD else "container's cgroup is not empty")
    assert runtime.state(id)["status"] == "running"
    runtime("exec", id, "true")


@cgroupfs_alone
@pytest.mark.parametrize("paused", [False, True])
def test_the_undo_of_a_refusal_touches_no_others(runtime, limited, bundle, paused):
    """Without a pid namespace its processes would be known by that cgroup alone."""
    def change(s):
        with_resources({}, f"/{TOP}/{id}")(s)
        s["linux"]["namespaces"] = [n for n in s["linux"]["namespaces"] if n["type"] != "pid"]

    id = limited({})
    other = next(ids)
    if paused:
        runtime("pause", id)
    runtime.fails("run", "-b", bundle(change=change), other, says="container's cgroup")
    assert runtime.state(id)["status"] == ("paused" if paused else "running")
    if paused:
        runtime("resume", id)
    runtime("exec", id, "true")


@cgroupfs_alone
def test_a_frozen_group_is_refused_at_once(runtime, bundle, id):
    made = []
    for names, at in cgroups.hierarchies():
        file = {"freezer": "freezer.state", "": "cgroup.freeze"}.get(names)
        if file and (names or not cgroups.has_v1("freezer")):
            d = at / TOP / id
            d.mkdir(parents=True)
            made.append(d)
            (d / file).write_text("FROZEN" if names else "1")
    try:
        for verb in (["run"], ["run", "-d"], ["create"]):
            runtime.fails(*verb, "-b", bundle(change=with_resources({}, f"/{TOP}/{id}")), id,
                          says="unexpectedly frozen")
            for d in made:
                assert d.is_dir(), f"{verb}: what is not ours stays"
    finally:
        for d in made:
            d.rmdir()
            d.parent.rmdir()


def test_the_cgroup_file_system_shows_its_own(runtime, limited):
    id = limited({"pids": {"limit": 33}})
    inside = "pids.max" if cgroups.PURE_V2 else "pids/pids.max"
    assert runtime("exec", id, "cat", f"/sys/fs/cgroup/{inside}").out == "33\n"
    r = runtime.try_("exec", id, "sh", "-c", f"echo 1 > /sys/fs/cgroup/{inside}")
    assert r.rc != 0 and "Read-only" in r.err


# -- limits and their effects

def test_memory(runtime, limited):
    id = limited({"memory": {"limit": 40 * MIB, "swap": 60 * MIB, "reservation": 20 * MIB}})
    assert value(id, "memory", "memory.limit_in_bytes", "memory.max") == str(40 * MIB)
    if cgroups.has_v1("memory"):
        assert value(id, "memory", "memory.memsw.limit_in_bytes") == str(60 * MIB)
    assert value(id, "memory", "memory.soft_limit_in_bytes", "memory.low") == str(20 * MIB)
    r = runtime.try_("exec", id, "sh", "-c", "head -c 200000000 /dev/zero | tail")
    assert r.rc == 137, str(r)
    data = runtime("events", "--stats", id).json["data"]["memory"]
    assert data["usage"]["failcnt"] >= 1 and data["usage"]["limit"] == 40 * MIB


def test_events_tell_of_memory_that_ran_out(runtime, limited):
    id = limited({"memory": {"limit": 30 * MIB, "swap": 30 * MIB}})
    p = runtime.popen("events", "--interval", "100ms", id)
    assert json.loads(p.stdout.readline())["type"] == "stats"
    assert runtime.try_("exec", id, "sh", "-c", "head -c 200000000 /dev/zero | tail").rc == 137
    while json.loads(p.stdout.readline()) != {"type": "oom", "id": id}:
        pass
    runtime("kill", id, "KILL")
    assert p.wait(60) == 0


def test_memory_update_in_both_directions(runtime, limited):
    id = limited({"memory": {"limit": 40 * MIB, "swap": 60 * MIB}})

    def now():
        return value(id, "memory", "memory.limit_in_bytes", "memory.max")
    runtime("update", "--memory", "100m", "--memory-swap", "200m", id)
    assert now() == str(100 * MIB)
    runtime("update", "--memory", "30m", "--memory-swap", "30m", id)
    assert now() == str(30 * MIB)
    runtime("update", "--memory", "32M", "--memory-swap", "-1", id)
    assert now() == str(32 * MIB)
    runtime("update", "--memory", "-1", id)
    assert int(now().replace("max", str(1 << 62))) >= 1 << 62
    runtime.fails("update", "--memory", "50m", "--memory-swap", "40m", id, says="should be >=")
    runtime.fails("update", "--memory", "lots", id, says="memory")
    assert int(now().replace("max", str(1 << 62))) >= 1 << 62


def test_memory_check_before_update(runtime, limited):
    # The shell keeps x while it has a command after the sleep; the last one it would exec.
    hoard = "x=$(head -c 20000000 /dev/zero | tr '\\0' x); sleep 1000; :"
    id = limited({"memory": {"limit": 64 * MIB}}, ["/bin/sh", "-c", hoard])
    until(lambda: runtime("events", "--stats", id).json["data"]["memory"]["usage"]["usage"] >
          16 * MIB, "memory used")
    runtime.fails("update", "-r", "-", id, says="rejecting memory limit", input=json.dumps(
        {"memory": {"limit": 8 * MIB, "checkBeforeUpdate": True}}))
    assert value(id, "memory", "memory.limit_in_bytes", "memory.max") == str(64 * MIB)


def test_cpu(runtime, limited):
    id = limited({"cpu": {"shares": 512, "quota": 20000, "period": 50000, "burst": 10000}})
    if cgroups.has_v1("cpu"):
        assert value(id, "cpu", "cpu.shares") == "512"
        assert value(id, "cpu", "cpu.cfs_quota_us") == "20000"
        assert value(id, "cpu", "cpu.cfs_period_us") == "50000"
        assert value(id, "cpu", "cpu.cfs_burst_us") == "10000"
    else:
        assert value(id, "cpu", "", "cpu.weight") == "59"
        assert value(id, "cpu", "", "cpu.max") == "20000 50000"
    runtime("update", "--cpu-quota", "-1", "--cpu-share", "1024", "--cpu-burst", "0", id)
    if cgroups.has_v1("cpu"):
        assert value(id, "cpu", "cpu.cfs_quota_us") == "-1"
        assert value(id, "cpu", "cpu.cfs_period_us") == "50000"
    else:
        assert value(id, "cpu", "", "cpu.max") == "max 50000"
        assert value(id, "cpu", "", "cpu.weight") == "100"
    # Period and quota that are only possible together.
    runtime("update", "--cpu-period", "500000", "--cpu-quota", "1000", id)
    runtime("update", "--cpu-period", "10000", "--cpu-quota", "5000", id)
    runtime("update", "--cpu-idle", "1", id)
    assert value(id, "cpu", "cpu.idle") == "1"


def test_cpu_quota_is_felt(runtime, limited):
    id = limited({"cpu": {"quota": 10000, "period": 100000}},
                 ["/bin/sh", "-c", "while :; do :; done"])
    until(lambda: runtime("events", "--stats", id).json["data"]["cpu"]["throttling"]
          ["throttledPeriods"] > 3, "throttled")


def test_cpuset(runtime, limited):
    id = limited({"cpu": {"cpus": "0", "mems": "0"}})
    assert value(id, "cpuset", "cpuset.cpus") == "0"
    assert "Cpus_allowed_list:\t0\n" in runtime("exec", id, "cat", "/proc/self/status").out


@cgroupfs_alone
def test_cpusets_below_parents_that_were_made_for_them(run):
    """Each has all that the hierarchy has, however the runtime comes to it."""
    def allowed(path):
        out = run(["/bin/grep", "_allowed_list", "/proc/self/status"], with_resources({}, path))
        assert cgroups.there(path.split("/")[1]) == []
        return out

    assert allowed(f"/{TOP}/one/two/three") == allowed(f"/{TOP}-beside") != ""


def test_pids(runtime, limited):
    id = limited({"pids": {"limit": 5}})
    assert value(id, "pids", "pids.max") == "5"
    r = runtime.try_("exec", id, "sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 3 & done; wait")
    assert "can't fork" in r.err, str(r)
    runtime("update", "--pids-limit", "-1", id)
    assert value(id, "pids", "pids.max") == "max"
    runtime("exec", id, "sh", "-c", "for i in 1 2 3 4 5 6 7 8; do true & done; wait")


def test_pids_zero_means_no_other(runtime, limited):
    assert value(limited({"pids": {"limit": 0}}), "pids", "pids.max") == "1"


def test_block_io(runtime, limited):
    disk = next((Path(p).read_text().strip() for p in Path("/sys/block").glob("vd*/dev")), None)
    if not disk:
        pytest.skip("no disk vd* to limit here")
    major, minor = map(int, disk.split(":"))
    id = limited({"blockIO": {"throttleReadBpsDevice": [{"major": major, "minor": minor,
                                                         "rate": 1048576}],
                              "throttleWriteIOPSDevice": [{"major": major, "minor": minor,
                                                           "rate": 100}]}})
    if cgroups.has_v1("blkio"):
        assert value(id, "blkio", "blkio.throttle.read_bps_device") == f"{disk} 1048576"
        assert value(id, "blkio", "blkio.throttle.write_iops_device") == f"{disk} 100"
    else:
        assert "rbps=1048576" in value(id, "io", "", "io.max")


def has_huge_pages():
    controllers = cgroups.UNIFIED / "cgroup.controllers"
    return cgroups.has_v1("hugetlb") or (
        controllers.exists() and "hugetlb" in controllers.read_text().split())


def test_huge_pages(runtime, limited):
    if not has_huge_pages():
        pytest.skip("no hugetlb controller here")
    id = limited({"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}]})
    assert value(id, "hugetlb", "hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.max") == str(4 * MIB)


def test_unified(runtime, limited):
    id = limited({"unified": {"cgroup.max.descendants": "7"}})
    assert (cgroups.UNIFIED / cgroups.real(f"{TOP}/{id}") / "cgroup.max.descendants").read_text() == "7\n"


def test_devices(runtime, limited, base):
    node = [{"path": "/dev/zero2", "type": "c", "major": 1, "minor": 5, "fileMode": 0o666},
            {"path": "/dev/mem2", "type": "c", "major": 1, "minor": 1, "fileMode": 0o666},
            {"path": "/dev/fuse2", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666}]

    def change(s):
        s["linux"]["devices"] = node
        s["process"]["capabilities"] = {k: ["CAP_MKNOD", "CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"]
                                        for k in ("bounding", "effective", "permitted")}
    id = limited({"devices": [{"allow": False, "access": "rwm"},
                              {"allow": True, "type": "c", "major": 10, "minor": 229,
                               "access": "r"}]}, change=change)
    runtime("exec", id, "head", "-c", "1", "/dev/zero2")
    runtime("exec", id, "sh", "-c", ": < /dev/fuse2")
    for denied in (": > /dev/fuse2", ": < /dev/mem2"):
        r = runtime.try_("exec", id, "sh", "-c", denied)
        assert r.rc != 0 and "not permitted" in r.err, str(r)
    runtime("exec", id, "mknod", "/tmp/node", "c", "1", "1")  # making is free, using is not
    runtime("update", "-r", "-", id, input=json.dumps(
        {"devices": [{"allow": True, "type": "c", "major": 10, "minor": 229, "access": "w"}]}))
    runtime("exec", id, "sh", "-c", ": > /dev/fuse2")


def test_no_device_rules_still_deny(runtime, bundle, id):
    def change(s):
        s["linux"]["devices"] = [{"path": "/dev/mem2", "type": "c", "major": 1, "minor": 1}]
    r = runtime.try_("run", "-b", bundle(["/bin/sh", "-c", ": < /dev/mem2"], change), id)
    assert r.rc != 0 and "not permitted" in r.err, str(r)


def test_all_devices_for_the_privileged(runtime, bundle, id):
    def change(s):
        s["linux"]["devices"] = [{"path": "/dev/f", "type": "c", "major": 10, "minor": 229}]
        s["linux"]["resources"] = {"devices": [{"allow": True, "access": "rwm"}]}
    runtime("run", "-b", bundle(["/bin/sh", "-c", ": < /dev/f"], change), id)


def test_update_changes_only_what_it_names(runtime, limited):
    id = limited({"memory": {"limit": 64 * MIB}, "pids": {"limit": 9},
                  "cpu": {"shares": 300}})
    runtime("update", "--pids-limit", "11", id)
    assert value(id, "pids", "pids.max") == "11"
    assert value(id, "memory", "memory.limit_in_bytes", "memory.max") == str(64 * MIB)
    if cgroups.has_v1("cpu"):
        assert value(id, "cpu", "cpu.shares") == "300"
    runtime("update", id)
    runtime("update", "--resources", "-", id, input='{"pids": {"limit": 12}}')
    assert value(id, "pids", "pids.max") == "12"


def test_updates_that_are_refused(runtime, limited, base):
    id = limited({})
    bad = base / "bad.json"
    bad.write_text('{"memory": {"limit": "much"}}')
    runtime.fails("update", "-r", bad, id, says="memory.limit")
    runtime.fails("update", "-r", base / "nowhere", id, says="nowhere")
    runtime.fails("update", "--pids-limit", "x", id, says="pids-limit")
    runtime.fails("update", "--cpuset-cpus", "9999", id, says="9999")
    runtime.fails("update", "--l3-cache-schema", "L3:0=f", id, says="no class of service")
    runtime("kill", id, "KILL")
    until(lambda: runtime.state(id)["status"] == "stopped", "stopped")
    runtime.fails("update", "--pids-limit", "3", id, says="not running")


@pytest.mark.parametrize("resources, says", [
    ({"cpu": {"cpus": "5000"}}, "cpuset.cpus"),
    ({"cpu": {"cpus": "nonsense"}}, "nonsense"),
    ({"cpu": {"shares": 1}}, "shares"),
    ({"cpu": {"quota": 1, "period": 100000}}, "quota"),
    ({"memory": {"limit": 20 * MIB, "swap": 10 * MIB}}, "should be >="),
    ({"hugepageLimits": [{"pageSize": "3MB", "limit": 1}]},
     "3MB" if has_huge_pages() else "hugetlb"),
    ({"hugepageLimits": [{"pageSize": "../../x", "limit": 1}]}, "hugepageLimits"),
    ({"unified": {"../pids.max": "1"}}, "unified"),
    ({"unified": {"no.such.file": "1"}}, "no.such.file"),
    ({"rdma": {"mlx5_1": {"hcaHandles": 3}}}, "rdma"),
    ({"blockIO": {"throttleReadBpsDevice": [{"major": 999, "minor": 9, "rate": 1}]}}, "999:9"),
])
def test_limits_that_cannot_be_are_named_and_nothing_is_left(runtime, bundle, id, resources, says):
    runtime.fails("create", "-b", bundle(change=with_resources(resources, f"/{TOP}/{id}")),
                  id, says=says)
    assert cgroups.there(TOP) == []
    assert runtime("list", "-q").out == ""


# -- ends

def test_groups_the_container_makes_go_with_it(runtime, limited):
    def writable(s):
        s["mounts"][-1]["options"] = ["rw", "nosuid", "noexec", "nodev"]
        s["process"]["capabilities"] = {k: ["CAP_DAC_OVERRIDE"]
                                        for k in ("bounding", "effective", "permitted")}
    id = limited({}, change=writable)
    top = "/sys/fs/cgroup" if cgroups.PURE_V2 else "/sys/fs/cgroup/pids"
    runtime("exec", id, "sh", "-c", f"mkdir -p {top}/a/b/c && echo $$ > {top}/a/b/cgroup.procs; "
                                    f"sleep 1000 > /dev/null 2>&1 & exit 0")
    assert len(runtime("ps", "-f", "json", id).json) >= 2
    runtime("delete", "-f", id)
    assert cgroups.there(f"{TOP}/{id}") == []


def test_forks_without_end_are_killed(runtime, limited):
    id = limited({"pids": {"limit": 60}}, ["/bin/sh", "-c", "f() { f & f & wait; }; f"])
    runtime("delete", "--force", id)
    assert cgroups.there(f"{TOP}/{id}") == []


def test_frozen_from_outside_is_paused_and_can_be_deleted(runtime, limited):
    id = limited({})
    for names, at in cgroups.hierarchies():
        if names == "freezer":
            (at / cgroups.real(f"{TOP}/{id}") / "freezer.state").write_text("FROZEN")
        elif not names and not cgroups.has_v1("freezer"):
            (at / cgroups.real(f"{TOP}/{id}") / "cgroup.freeze").write_text("1")
    assert runtime.state(id)["status"] == "paused"
    runtime("delete", "-f", id)
    assert cgroups.there(f"{TOP}/{id}") == []
