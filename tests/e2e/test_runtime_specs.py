# SPDX-License-Identifier: Apache-2.0
"""
config.json with every field mistyped, absent, huge, and in contradiction to another: a run ends,
well or with one error that names the field, and nothing of it stays.
"""
import copy
import json
import os
import subprocess
from itertools import count

import pytest

from lib import cgroups, images, leaks

ids = (f"atoll-specs-{os.getpid()}-{n}" for n in count())
PARENT = f"atoll-specs-{os.getpid()}"

MAPS = [{"containerID": 0, "hostID": 0, "size": 65536}]
# What runs as it stands; each leaf is then made wrong in turn.
WHOLE = {
    "ociVersion": "1.2.0",
    "process": {
        "terminal": False, "consoleSize": {"height": 24, "width": 80},
        "user": {"uid": 0, "gid": 0, "umask": 18, "additionalGids": [5]},
        "args": ["/bin/true"], "env": ["PATH=/bin"], "cwd": "/",
        "rlimits": [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}],
        "capabilities": {k: ["CAP_CHOWN"] for k in ("bounding", "effective", "inheritable",
                                                    "permitted", "ambient")},
        "noNewPrivileges": True, "oomScoreAdj": 1000,
        "scheduler": {"policy": "SCHED_OTHER", "nice": 1, "flags": ["SCHED_FLAG_RESET_ON_FORK"]},
        "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4},
        "execCPUAffinity": {"initial": "0", "final": "0"},
    },
    "root": {"path": "rootfs", "readonly": False},
    "hostname": "name", "domainname": "domain",
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
        {"destination": "/mnt", "type": "tmpfs", "source": "x", "options": ["size=64k", "ro"]},
    ],
    "hooks": {"poststop": [{"path": "/bin/true", "args": ["true"], "env": ["A=b"], "timeout": 10}]},
    "annotations": {"org.example": "x"},
    "linux": {
        "namespaces": [{"type": t} for t in ("pid", "network", "ipc", "uts", "mount", "cgroup",
                                             "time")],
        "devices": [{"path": "/dev/x", "type": "c", "major": 1, "minor": 3, "fileMode": 420,
                     "uid": 0, "gid": 0}],
        "cgroupsPath": f"/{PARENT}/x",
        "sysctl": {"net.ipv4.ip_default_ttl": "64"},
        "timeOffsets": {"monotonic": {"secs": 1, "nanosecs": 2}, "boottime": {"secs": 1}},
        "rootfsPropagation": "private",
        "maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc/sys"],
        "personality": {"domain": "LINUX"},
        "seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
                    "flags": ["SECCOMP_FILTER_FLAG_LOG"],
                    "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1,
                                  "args": [{"index": 0, "value": 1, "valueTwo": 2,
                                            "op": "SCMP_CMP_EQ"}]}]},
        "resources": {
            "devices": [{"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"}],
            "memory": {"limit": 67108864, "reservation": 33554432, "swap": 134217728,
                       "swappiness": 10, "disableOOMKiller": False, "checkBeforeUpdate": False},
            "cpu": {"shares": 512, "quota": 50000, "period": 100000},
            "pids": {"limit": 100},
        },
    },
}
# Read as well, but what they ask for is not everywhere: for wrong types only.
MORE = {
    "process": {"apparmorProfile": "p", "selinuxLabel": "l"},
    "mounts": [{"destination": "/mnt", "type": "bind", "source": "/", "options": ["bind"],
                "uidMappings": MAPS, "gidMappings": MAPS}],
    "hooks": {k: [{"path": "/x", "args": ["x"], "env": ["A=b"], "timeout": 1}] for k in (
        "prestart", "createRuntime", "createContainer", "startContainer", "poststart")},
    "linux": {
        "uidMappings": MAPS, "gidMappings": MAPS, "mountLabel": "l",
        "intelRdt": {"closID": "c", "l3CacheSchema": "s", "memBwSchema": "s"},
        "memoryPolicy": {"mode": "MPOL_DEFAULT", "nodes": "0", "flags": []},
        "netDevices": {"eth9": {"name": "eth0"}},
        "seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1,
                    "listenerPath": "/x", "listenerMetadata": "m"},
        "resources": {
            "cpu": {"realtimeRuntime": 1, "realtimePeriod": 2, "cpus": "0", "mems": "0",
                    "idle": 0, "burst": 0},
            "blockIO": {"weight": 10, "leafWeight": 10,
                        "weightDevice": [{"major": 1, "minor": 1, "weight": 10, "leafWeight": 10}],
                        **{f"throttle{k}Device": [{"major": 1, "minor": 1, "rate": 1}] for k in (
                            "ReadBps", "WriteBps", "ReadIOPS", "WriteIOPS")}},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 0}],
            "network": {"classID": 1, "priorities": [{"name": "lo", "priority": 1}]},
            "rdma": {"mlx5": {"hcaHandles": 1, "hcaObjects": 1}},
            "unified": {"memory.high": "max"},
        },
    },
}

WRONG = {  # by what it should be
    str: [0, -1, True, [], {}, ["x"], 1.5],
    int: ["0", "", True, [], {}, 1.5, 1e300, [1], "x"],
    bool: ["true", 0, 1, [], {}],
    dict: ["x", 1, True, [], [{}]],
    list: ["x", 1, True, {}, {"0": "x"}],
}
EXTREME = {
    str: ["", "x", " ", "\x01", "\u00e9", "../../..", "/", "a" * 255, "a" * 70000, "%s%n%d", "\\"],
    int: [0, 1, -1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, -2**63, 2**63, 2**64 - 1, 2**64,
          10**40],
    bool: [True, False],
    dict: [{}],
    list: [[]],
}


def nodes(value, at=()):
    """(path, value) of every member and item, the containing ones too."""
    if at:
        yield at, value
    if isinstance(value, dict):
        for k, v in value.items():
            yield from nodes(v, (*at, k))
    elif isinstance(value, list) and value:
        yield from nodes(value[0], (*at, 0))


def changed(spec, path, value, remove=False):
    spec = copy.deepcopy(spec)
    at = spec
    for k in path[:-1]:
        at = at[k]
    if remove:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return spec


def merged(a, b):
    if isinstance(a, dict) and isinstance(b, dict):
        return {k: merged(a[k], b[k]) if k in a and k in b else copy.deepcopy(b.get(k, a.get(k)))
                for k in [*a, *(k for k in b if k not in a)]}
    return copy.deepcopy(b)


def named(path, err):
    """The error names the field, or what it stands in: "mount at '/proc'", "device '/'"."""
    keys = [k for k in path if isinstance(k, str)][-3:]
    parts = {k for k in keys if k not in ("process", "linux", "resources")} or keys
    words = {"args": 'exec: \\"', "namespaces": "namespace", "linux": "namespace"}
    return any(w.lower() in err.lower() for k in parts
               for w in (k, k.removesuffix("s") + " ", words.get(k, k)))


def show(path):
    return "".join(f"[{k}]" if isinstance(k, int) else f".{k}" for k in path)[1:]


class Tries:
    """Runs one spec after the other in one bundle, and keeps what went wrong."""

    def __init__(self, runtime, directory, rootfs):
        self.runtime = runtime
        self.bundle = images.bundle(directory, rootfs)
        self.rootfs = str(rootfs)
        self.ran = self.refused = 0
        self.bad = []

    def __call__(self, path, what, spec, must_fail):
        if isinstance(spec.get("root"), dict) and spec["root"].get("path") == "rootfs":
            spec["root"]["path"] = self.rootfs
        (self.bundle / "config.json").write_text(json.dumps(spec))
        i = next(ids)
        text = f"{show(path)} = {str(what)[:40]!r}"
        try:
            p = subprocess.run(self.runtime.argv("run", "-b", self.bundle, i), capture_output=True,
                               text=True, errors="replace", timeout=30, stdin=subprocess.DEVNULL,
                               check=False)
        except subprocess.TimeoutExpired:
            self.bad.append(f"{text}: hangs")
            self.runtime.try_("delete", "--force", i)
            return
        self.ran += 1
        if p.returncode == 0:
            if must_fail:
                self.bad.append(f"{text}: taken")
        else:
            self.refused += 1
            if p.returncode != 1:
                self.bad.append(f"{text}: exit status {p.returncode}: {p.stderr[:200]}")
            elif not named(path, p.stderr) or "level=error" not in p.stderr:
                self.bad.append(f"{text}: names no field: {p.stderr[:300]}")
            elif len(p.stderr) > 2000:
                self.bad.append(f"{text}: an error of {len(p.stderr)} characters")
        if (self.runtime.state_dir / i).exists():
            self.bad.append(f"{text}: leaves its state")
            self.runtime.try_("delete", "--force", i)

    def check(self, at_least):
        assert not self.bad, f"{len(self.bad)} of {self.ran}:\n" + "\n".join(self.bad)
        assert self.ran >= at_least, self.ran
        assert self.runtime("list", "-q").out == ""
        assert cgroups.there(PARENT) == []
        assert not leaks.processes(str(self.bundle)) and not leaks.mounts(str(self.bundle))


@pytest.fixture
def tries(runtime, base, rootfs):
    return Tries(runtime, base / f"tries-{next(ids)}", rootfs)


def test_the_whole_runs(tries):
    tries(("ociVersion",), "as it is", copy.deepcopy(WHOLE), must_fail=False)
    assert tries.refused == 0, tries.bad
    tries.check(1)


def test_every_field_mistyped(tries):
    whole = merged(WHOLE, MORE)
    for path, value in nodes(whole):
        for wrong in WRONG[type(value)]:
            tries(path, wrong, changed(whole, path, wrong), must_fail=True)
    tries.check(500)


def test_every_field_absent_or_null(tries):
    for path, _ in nodes(WHOLE):
        if path[-1] == 0:
            continue
        tries(path, "absent", changed(WHOLE, path, None, remove=True), must_fail=False)
        tries(path, None, changed(WHOLE, path, None), must_fail=False)
    tries.check(150)


def test_every_field_at_its_ends(tries):
    for path, value in nodes(WHOLE):
        for extreme in EXTREME[type(value)]:
            tries(path, extreme, changed(WHOLE, path, extreme), must_fail=False)
    tries.check(500)


@pytest.mark.parametrize("path", ["process.args", "process.env", "mounts", "linux.devices",
                                  "linux.maskedPaths", "linux.namespaces", "annotations",
                                  "linux.seccomp.syscalls", "linux.uidMappings", "process.rlimits"])
def test_a_great_many(tries, path):
    """Three thousand where a few are usual: it ends, whichever way, in bounded time."""
    keys = tuple(path.split("."))
    whole = merged(WHOLE, {"linux": {"uidMappings": MAPS}} if "uidMappings" in keys else {})
    value = whole
    for k in keys:
        value = value[k]
    many = ({f"k{n}": "v" for n in range(3000)} if isinstance(value, dict) else
            (value * 3000)[:3000])
    tries(keys, "3,000", changed(whole, keys, many), must_fail=False)
    tries.check(1)


def at(spec, path, value):
    return changed(spec, tuple(path.split(".")), value)


@pytest.mark.parametrize("says, changes", [
    ("UTS", {"linux.namespaces": [{"type": "mount"}, {"type": "pid"}]}),
    ("time", {"linux.namespaces": [{"type": t} for t in ("mount", "uts", "network")]}),
    ("uidMappings", {"linux.uidMappings": MAPS}),
    ("gidMappings", {"linux.uidMappings": MAPS,
                     "linux.namespaces": WHOLE["linux"]["namespaces"] + [{"type": "user"}]}),
    ("MNT namespace", {"linux.namespaces": [{"type": "uts"}, {"type": "time"}]}),
    ("sysctl", {"linux.sysctl": {"kernel.hostname": "x"}}),
    ("domainname", {"linux.sysctl": {"kernel.domainname": "x"}}),
    ("scheduler", {"process.scheduler": {"policy": "SCHED_OTHER", "priority": 5}}),
    ("scheduler", {"process.scheduler": {"policy": "SCHED_FIFO", "runtime": 5}}),
    ("rlimits", {"process.rlimits": [{"type": "RLIMIT_CORE", "soft": 2, "hard": 1}]}),
    ("swap", {"linux.resources.memory": {"limit": 67108864, "swap": 1048576}}),
    ("period", {"linux.resources.cpu": {"quota": 1000000, "period": 1}}),
    ("cpus", {"linux.resources.cpu": {"cpus": "9-1"}}),
    ("cpus", {"linux.resources.cpu": {"cpus": "4000"}}),
    ("maskedPaths", {"linux.maskedPaths": ["relative"]}),
    ("not found", {"process.args": ["no-such"], "process.env": ["PATH=/nowhere"]}),
    ("cwd", {"process.cwd": "/proc/1/root/../etc/passwd"}),
])
def test_what_contradicts(tries, says, changes):
    spec = WHOLE
    for path, value in changes.items():
        spec = at(spec, path, value)
    tries(tuple(next(iter(changes)).split(".")), changes, copy.deepcopy(spec), must_fail=True)
    bad = [b for b in tries.bad if "names no field" not in b or says not in b]
    tries.bad = bad
    tries.check(1)
