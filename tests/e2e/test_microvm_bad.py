# SPDX-License-Identifier: Apache-2.0
"""
Guests that misbehave, and a root that goes away: a word about it, an end in time, and nothing of
the machine is left.
"""
import shutil

import pytest

from lib import images, wait

SLOW_S = 180
ISOLATION = ("--isolation", "microvm")

pytestmark = pytest.mark.timeout(1500)


def mighty(s):
    """It may do to its kernel what root may."""
    s["linux"].update(readonlyPaths=[], maskedPaths=[])
    for kind in "bounding", "effective", "permitted":
        s["process"]["capabilities"][kind] += ["CAP_SYS_ADMIN", "CAP_SYS_NICE"]


@pytest.mark.parametrize("what", ["c", "b"], ids=["panics", "resets"])
def test_its_kernel_ends(runtime, bundle, id, what):
    b = bundle(["/bin/sh", "-c", f"echo before; sleep 1; echo {what} >/proc/sysrq-trigger; sleep 1000"],
               mighty)
    r = runtime.try_(*ISOLATION, "run", "-b", b, id, timeout=SLOW_S)
    assert (r.rc, r.out) == (137, "before\n"), str(r)


def test_it_hears_nothing_any_more(runtime, bundle, id, base):
    """
    All its processors are busy with more important things than its agent, which has said that the
    workload has begun: it waits for that, as the word might not get out any more.
    """
    b = bundle(["/bin/sh", "-c", "until [ -e /go ]; do sleep 0.2; done;"
                "echo -1 >/proc/sys/kernel/sched_rt_runtime_us && touch /up &&"
                "exec chrt -f 99 sh -c 'while :; do :; done'"], mighty)
    runtime.leave(*ISOLATION, "create", "-b", b, id)
    runtime("start", id, timeout=SLOW_S)
    (base / "rootfs/go").touch()
    wait.until((base / "rootfs/up").exists, "its last sign of life", SLOW_S)
    runtime("kill", id, "KILL", timeout=SLOW_S)
    wait.until(lambda: runtime.state(id)["status"] == "stopped", "its end", SLOW_S)
    runtime("delete", id, timeout=SLOW_S)


def test_its_root_vanishes(runtime, base):
    """What was not looked at before is missed, by name; ending it needs none of it."""
    rootfs = images.busybox_rootfs(base / "vanishes")
    b = images.bundle(base / "vanishing", rootfs,
                      ["/bin/sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.2; done"])
    runtime.leave(*ISOLATION, "create", "-b", b, "vanishes")
    runtime("start", "vanishes", timeout=SLOW_S)
    assert runtime.try_("exec", "vanishes", "true", timeout=SLOW_S).rc == 0
    shutil.rmtree(rootfs)
    r = runtime.try_("exec", "vanishes", "/bin/uname", timeout=SLOW_S)
    assert r.rc != 0 and "/bin/uname" in r.err, str(r)
    runtime("kill", "vanishes", "KILL")
    wait.until(lambda: runtime.state("vanishes")["status"] == "stopped", "its end", SLOW_S)
    runtime("delete", "vanishes", timeout=SLOW_S)
