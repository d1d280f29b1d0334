# SPDX-License-Identifier: Apache-2.0
"""
Pods on Atoll's own kernel by hand: what is refused, and what is left when something is killed. What
a kubelet and podman do with them is in test_sandbox_cri.py and test_sandbox_podman.py.
"""
import json
import os
import signal
from itertools import count

import pytest

from lib import sentry
from lib.wait import until

pods = (f"atoll-spod-{os.getpid()}-{n}" for n in count())
CRI = ("io.kubernetes.cri.container-type", "io.kubernetes.cri.sandbox-id")

pytestmark = [pytest.mark.timeout(120),
              pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")]


@pytest.fixture(scope="module", autouse=True)
def possible(build, base):
    sentry.need(sentry.Sentries(build, base / "sentries"))


class Pod:
    """Containers of one pod, created and started by hand as a CRI server would."""

    def __init__(self, runtime, bundle):
        self.runtime, self.bundle = runtime, bundle
        self.id = next(pods)
        self.dir = runtime.state_dir / "@pods" / self.id
        self.made = []

    def spec(self, role, change=None):
        def do(s):
            s.pop("hostname", None)
            s["annotations"] = {CRI[0]: role, CRI[1]: self.id}
            for n in s["linux"]["namespaces"]:
                if n["type"] == "network" and role == "container" and self.made:
                    n["path"] = f"/proc/{self.runtime.state(self.made[0])['pid']}/ns/net"
            return (change(s) if change else None) or s
        return do

    def create(self, name, args=("/bin/sleep", "1000"), role="container", change=None):
        b = self.bundle(list(args), self.spec(role, change))
        id = f"{self.id}-{name}"
        self.made.append(id)
        self.runtime.leave("--isolation", "sandbox", "create", "-b", b, id)
        return id

    def start(self, name, *args, **kw):
        id = self.create(name, *args, **kw)
        self.runtime("start", id)
        return id

    def sh(self, id, script):
        return self.runtime("exec", id, "sh", "-c", script).out

    def status(self, id):
        return self.runtime.state(id)["status"]

    def members(self):
        return sorted(p.name for p in (self.dir / "members").iterdir())

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for id in reversed(self.made):
            self.runtime.try_("delete", "--force", id)
        assert not self.dir.exists(), list(self.dir.rglob("*"))


def joined(kind, path):
    def change(s):
        for n in s["linux"]["namespaces"]:
            if n["type"] == kind:
                n["path"] = path
    return change


@pytest.fixture(scope="module")
def pod(runtime, bundle):
    with Pod(runtime, bundle) as p:
        p.sandbox = p.start("sandbox", role="sandbox")
        p.a = p.start("a")
        yield p


def test_life(pod):
    """Created, started, asked, signalled, deleted, by its own name each time."""
    id = pod.create("b", ["/bin/sh", "-c", "trap 'exit 3' TERM; echo > /tmp/up; while :; do sleep "
                          "0.1; done"], change=lambda s: s["linux"].update(resources={
                              "pids": {"limit": 20}}))
    assert pod.status(id) == "created"
    pod.runtime.fails("exec", id, "true", says="does not run")
    pod.runtime("start", id)
    until(lambda: pod.sh(id, "ls /tmp/up 2>/dev/null || :"), "its trap")
    assert "sleep 1000" not in pod.sh(id, "ps -o args")
    ps = json.loads(pod.runtime("ps", "-f", "json", id).out)
    assert pod.runtime.state(id)["pid"] in ps
    stats = json.loads(pod.runtime("events", "--stats", id).out)["data"]
    assert stats["cpu"]["usage"]["total"] > 0 and stats["pids"]["limit"] == 20
    pod.runtime("update", "--pids-limit", "30", id)
    assert pod.sh(id, "cat /proc/self/comm") == "cat\n"
    assert json.loads(pod.runtime("events", "--stats", id).out)["data"]["pids"]["limit"] == 30
    pod.runtime("kill", id, "TERM")
    until(lambda: pod.status(id) == "stopped", "its end")
    pod.runtime("delete", id)
    assert pod.members() == sorted([pod.sandbox, pod.a])


def test_killed_before_its_start(pod):
    id = pod.create("c")
    pod.runtime("kill", id, "KILL")
    until(lambda: pod.status(id) == "stopped", "its end")
    pod.runtime("delete", id)
    assert pod.sh(pod.a, "echo goes on") == "goes on\n"


@pytest.mark.parametrize("says, change", [
    ("no container's of this pod", joined("pid", f"/proc/{os.getpid()}/ns/pid")),
    ("it is not this pod's", joined("network", "/proc/self/ns/net")),
    ("share the host's ipc namespace", lambda s: s["linux"].update(
        namespaces=[n for n in s["linux"]["namespaces"] if n["type"] != "ipc"])),
    ("bind one container of a pod to processors", lambda s: s["linux"].update(
        resources={"cpu": {"cpus": "0"}})),
    ("limit the memory of one container of a pod", lambda s: s["linux"].update(
        resources={"memory": {"limit": 32 << 20}})),
    ("no such file", lambda s: s["process"].update(args=["/no/such"])),
    ("mount source", lambda s: s["mounts"].append(
        {"destination": "/v", "type": "bind", "source": "/no/such", "options": ["rbind"]})),
])
def test_what_is_refused(pod, says, change):
    """And the pod goes on without it."""
    before = pod.members()
    b = pod.bundle(["/bin/true"], pod.spec("container", change))
    r = pod.runtime.fails("--isolation", "sandbox", "run", "-b", b, f"{pod.id}-bad")
    assert says in r.err, str(r)
    assert pod.members() == before and pod.sh(pod.a, "echo goes on") == "goes on\n"


def test_what_is_of_all(pod, base):
    pod.runtime.fails("pause", pod.a, says="one container of a sandbox's pod cannot be paused")
    pod.runtime.fails("update", "--memory", str(64 << 20), pod.a, says="all of the pod's")
    pod.runtime.fails("update", "--cpuset-cpus", "0", pod.a, says="the whole pod's")
    pod.runtime.fails("checkpoint", "--image-path", str(base / "kept"), pod.a,
                      says="the whole pod's")
    b = pod.bundle(["/bin/true"], pod.spec("sandbox"))
    pod.runtime.fails("--isolation", "sandbox", "create", "-b", b, f"{pod.id}-second",
                      says="has a kernel already")


def test_without_a_sandbox(runtime, bundle):
    p = Pod(runtime, bundle)
    b = bundle(["/bin/true"], p.spec("container"))
    runtime.fails("--isolation", "sandbox", "run", "-b", b, f"{p.id}-x",
                  says="no container that is its sandbox")
    assert not p.dir.exists()


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM])
def test_the_sandbox_ends_all(runtime, bundle, sig):
    """Its kernel is killed, or its process ends; what is left goes."""
    with Pod(runtime, bundle) as p:
        sandbox = p.start("sandbox", ["/bin/sh", "-c", "trap 'exit 0' TERM; echo > /tmp/up; while :; "
                                      "do sleep 0.1; done"], role="sandbox")
        a, b = p.start("a"), p.create("b")
        until(lambda: p.sh(sandbox, "ls /tmp/up 2>/dev/null || :"), "its trap")
        os.kill(runtime.state(sandbox)["pid"], sig)
        until(lambda: {p.status(i) for i in (sandbox, a, b)} == {"stopped"}, "the end of all")
        late = bundle(["/bin/true"], lambda s: s.update(annotations={CRI[0]: "container",
                                                                     CRI[1]: p.id}))
        runtime.fails("--isolation", "sandbox", "run", "-b", late, f"{p.id}-late")
        for i in sandbox, a, b:
            runtime("delete", i)


@pytest.mark.parametrize("role", ["sandbox", "container"])
def test_killed_while_it_is_created(runtime, bundle, role):
    """The runtime gets SIGKILL at some moment; delete --force takes what there is."""
    with Pod(runtime, bundle) as p:
        if role == "container":
            p.start("sandbox", role="sandbox")
        b = p.bundle(["/bin/sleep", "1000"], p.spec(role))
        id = f"{p.id}-x"
        p.made.append(id)
        r = runtime.popen("--isolation", "sandbox", "create", "-b", b, id)
        until(lambda: (p.dir / "members" / id).exists() or r.poll() is not None, "it is a member")
        r.kill()
        r.communicate(timeout=60)
        runtime("delete", "--force", id)
        if role == "container":
            assert p.members() == [p.made[0]]
            assert "1000" in p.sh(p.made[0], "ps -o args")
