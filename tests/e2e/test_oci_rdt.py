# SPDX-License-Identifier: Apache-2.0
"""
linux.intelRdt where the kernel has no resctrl mounted, which is everywhere but on a few servers:
what is refused, and that nothing is left. Texts have unit tests; the rest needs the hardware.
"""
import os
import subprocess
from itertools import count

import pytest

ids = (f"atoll-rdt-{os.getpid()}-{n}" for n in count())

# In a mount namespace without resctrl, whatever the machine has.
WITHOUT = ["unshare", "-m", "sh", "-c", "umount -a -t resctrl; exec \"$@\"", "sh"]


@pytest.fixture
def run(runtime, bundle):
    def go(rdt):
        b = bundle(["/bin/true"], lambda s: s["linux"].update(intelRdt=rdt))
        return subprocess.run([*WITHOUT, *runtime.argv("run", "-b", b, next(ids))], timeout=60,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return go


@pytest.mark.parametrize("rdt", [
    {"closID": "guaranteed"},
    {"l3CacheSchema": "L3:0=f;1=f0"},
    {"closID": "/", "enableMonitoring": True},
    {"schemata": ["L2:0=3", "MB:0=70"]},
])
def test_no_resctrl(run, runtime, rdt):
    r = run(rdt)
    assert r.returncode and "no resctrl file system is mounted" in r.stderr, r
    assert "atoll-rdt" not in runtime("list", "-q").out


@pytest.mark.parametrize("rdt,says", [
    ({"closID": "a/b"}, "no name of a class"),
    ({"closID": ".."}, "no name of a class"),
    ({"closID": "x" * 300}, "no name of a class"),
    ({"memBwSchema": "L3:0=f"}, "does not begin with 'MB:'"),
    ({"closID": 7}, "closID"),
    ({"schemata": "L3:0=f"}, "schemata"),
])
def test_wrong(run, rdt, says):
    r = run(rdt)
    assert r.returncode and says in r.stderr, r


def test_update_of_a_container_without(runtime, bundle):
    i = next(ids)
    runtime.leave("run", "-d", "-b", bundle(["/bin/sleep", "1000"]), i)
    try:
        for option, text in (("--l3-cache-schema", "L3:0=f"), ("--mem-bw-schema", "MB:0=10")):
            runtime.fails("update", option, text, i, says="has no class of service")
        runtime.fails("update", "--mem-bw-schema", "L3:0=1", i, says="does not begin with 'MB:'")
    finally:
        runtime("delete", "-f", i)


def test_features(runtime):
    f = runtime("features").json["linux"]
    assert f["intelRdt"] == {"enabled": True, "schemata": True, "monitoring": True}
    assert f["netDevices"] == {"enabled": True}
    assert "MPOL_BIND" in f["memoryPolicy"]["modes"]
    assert "MPOL_F_STATIC_NODES" in f["memoryPolicy"]["flags"]
    assert "SCMP_ACT_NOTIFY" in f["seccomp"]["actions"]
