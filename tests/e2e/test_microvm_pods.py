# SPDX-License-Identifier: Apache-2.0
"""
Pods: containers that their callers' annotations put into one machine, with a sandbox that holds it
and without one. What a kubelet would do through containerd is in test_microvm_cri.py.
"""
import json
import os
import signal
from itertools import count

import pytest

from lib.wait import until

SLOW_S = 240
BOOT_ID = "/proc/sys/kernel/random/boot_id"
pods = (f"atoll-pod-{os.getpid()}-{n}" for n in count())

pytestmark = pytest.mark.timeout(1500)

CRI = ("io.kubernetes.cri.container-type", "io.kubernetes.cri.sandbox-id")
CRIO = ("io.kubernetes.cri-o.ContainerType", "io.kubernetes.cri-o.SandboxID")


class Pod:
    """Containers of one pod, created and started by hand as a CRI server would."""

    def __init__(self, runtime, bundle, keys=CRI):
        self.runtime = runtime
        self.bundle = bundle
        self.keys = keys
        self.id = next(pods)
        self.dir = runtime.state_dir / "@pods" / self.id
        self.made = []

    def spec(self, role, change=None, annotations=None):
        def do(s):
            s.pop("hostname", None)
            s["annotations"] = {self.keys[0]: role, self.keys[1]: self.id, **(annotations or {})}
            return (change(s) if change else None) or s
        return do

    def create(self, name, args, role="container", change=None, annotations=None, **kw):
        b = self.bundle(args, self.spec(role, change, annotations))
        id = f"{self.id}-{name}"
        self.made.append(id)
        self.runtime.leave("--isolation", "microvm", "create", "-b", b, id, **kw)
        return id

    def start(self, name, args=("/bin/sleep", "1000"), **kw):
        id = self.create(name, args, **kw)
        self.runtime("start", id, timeout=SLOW_S)
        return id

    def sh(self, id, script):
        return self.runtime("exec", id, "sh", "-c", script, timeout=SLOW_S).out

    def status(self, id):
        return self.runtime.state(id)["status"]

    def members(self):
        return sorted(p.name for p in (self.dir / "members").iterdir())

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for id in reversed(self.made):
            self.runtime.try_("delete", "--force", id, timeout=SLOW_S)
        assert not self.dir.exists(), list(self.dir.rglob("*"))


def joined(*kinds, of=None):
    """Paths of namespaces as containerd gives them: those of the sandbox's process."""
    def change(s):
        for n in s["linux"]["namespaces"]:
            if n["type"] in kinds:
                n["path"] = f"/proc/{of}/ns/{n['type']}"
    return change


def with_volume(source, *options):
    def change(s):
        s["mounts"].append({"destination": "/vol", "type": "bind", "source": str(source),
                            "options": ["rbind", *options]})
    return change


@pytest.fixture(scope="module")
def volume(base):
    d = base / "volume"
    d.mkdir()
    return d


@pytest.fixture(scope="module")
def pod(runtime, bundle, volume):
    """A sandbox and two containers with one volume between them."""
    with Pod(runtime, bundle) as p:
        def named(s):
            s["hostname"] = "thepod"
            s["linux"]["sysctl"] = {"net.ipv4.ip_default_ttl": "99", "kernel.shm_rmid_forced": "1"}

        def one(s):
            with_volume(volume)(s)
            s["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup",
                                "source": "cgroup", "options": ["ro"]})
            s["mounts"].append({"destination": "/dev/shm", "type": "bind", "source": str(volume),
                                "options": ["rbind"]})
            s["linux"]["resources"] = {
                "memory": {"limit": 48 << 20}, "pids": {"limit": 33},
                "cpu": {"shares": 512, "quota": 50000, "period": 100000}}
            return joined("ipc", "uts", of=p.sandbox_pid)(s)

        p.sandbox = p.start("sandbox", role="sandbox", change=named, annotations={
            "io.kubernetes.cri.sandbox-memory": str(256 << 20),
            "io.kubernetes.cri.sandbox-cpu-quota": "150000",
            "io.kubernetes.cri.sandbox-cpu-period": "100000"})
        p.sandbox_pid = runtime.state(p.sandbox)["pid"]
        p.a = p.start("a", change=one)

        def other(s):
            one(s)
            s["linux"]["resources"] = {}
            next(m for m in s["mounts"] if m["destination"] == "/vol")["options"].append("ro")
        p.b = p.start("b", change=other)
        yield p


def test_one_machine(pod):
    """One kernel, that is none of the host's, with the size the pod was announced with."""
    boots = {pod.sh(i, f"cat {BOOT_ID}") for i in (pod.sandbox, pod.a, pod.b)}
    with open(BOOT_ID, encoding="ascii") as f:
        assert len(boots) == 1 and f.read() not in boots
    total, cpus = pod.sh(pod.a, "grep MemTotal /proc/meminfo | tr -dc 0-9; echo; nproc").split()
    assert 256 << 10 < int(total) < 384 << 10
    assert int(cpus) == min(2, len(os.sched_getaffinity(0)))
    pids = [pod.runtime.state(i)["pid"] for i in (pod.sandbox, pod.a, pod.b)]
    assert len(set(pids)) == 3 and all(os.path.exists(f"/proc/{p}") for p in pids)


def test_what_a_pod_shares(pod):
    def ns(id, kind):
        return pod.sh(id, f"readlink /proc/1/ns/{kind}")
    for kind in ("net", "ipc", "uts"):
        assert ns(pod.a, kind) == ns(pod.b, kind) == ns(pod.sandbox, kind)
    for kind in ("mnt", "pid", "cgroup"):
        assert len({ns(pod.a, kind), ns(pod.b, kind), ns(pod.sandbox, kind)}) == 3
    assert pod.sh(pod.b, "hostname; cat /proc/sys/net/ipv4/ip_default_ttl "
                  "/proc/sys/kernel/shm_rmid_forced").split() == ["thepod", "99", "1"]
    assert "1000" in pod.sh(pod.a, "ps -o args") and "thepod" not in pod.sh(pod.a, "ps -o args")


def test_localhost(pod):
    """What one serves another gets."""
    pod.sh(pod.a, "echo page > /tmp/index.html; httpd -p 127.0.0.1:8080 -h /tmp")
    assert pod.sh(pod.b, "wget -qO- http://127.0.0.1:8080/") == "page\n"


def test_a_volume_of_two(pod, volume):
    """The same files for both, and read-only is the host's word."""
    pod.sh(pod.a, "echo from a > /vol/f; echo shm > /dev/shm/s")
    assert (volume / "f").read_text() == "from a\n" and not (volume / "s").exists()
    assert pod.sh(pod.b, "cat /vol/f /dev/shm/s") == "from a\nshm\n"
    r = pod.runtime.fails("exec", pod.b, "sh", "-c", "echo no > /vol/f", timeout=SLOW_S)
    assert "Read-only" in r.err, str(r)
    shares = (pod.dir / "members" / pod.b).read_text().split()
    assert any(s.endswith("-ro-r") for s in shares)
    # The root file system of the bundles is one, and so is its share.
    assert shares[0] in (pod.dir / "members" / pod.a).read_text().split()


def test_limits_and_figures(pod):
    """Those of each container, by the guest's cgroups."""
    def limits(id):
        return pod.sh(id, "cd /sys/fs/cgroup && cat memory.max pids.max cpu.max").split()
    assert limits(pod.a) == [str(48 << 20), "33", "50000", "100000"]
    assert limits(pod.b)[0] == "max"
    pod.runtime("update", "--memory", str(64 << 20), "--cpu-quota", "70000", "--cpu-period",
                "100000", "--pids-limit", "44", pod.a, timeout=SLOW_S)
    assert limits(pod.a) == [str(64 << 20), "44", "70000", "100000"]
    assert limits(pod.b)[0] == "max"
    pod.runtime.fails("update", "--cpuset-cpus", "0", pod.a, says="the whole pod's")
    pod.sh(pod.a, "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done")
    a, b = (json.loads(pod.runtime("events", "--stats", i, timeout=SLOW_S).out)["data"]
            for i in (pod.a, pod.b))
    assert a["memory"]["usage"]["limit"] == 64 << 20 and b["memory"]["usage"]["limit"] > 64 << 20
    assert 0 < a["memory"]["usage"]["usage"] < 48 << 20
    assert a["cpu"]["usage"]["total"] > b["cpu"]["usage"]["total"] > 0


def test_pause_is_of_one(pod):
    pod.runtime("pause", pod.a, timeout=SLOW_S)
    assert (pod.status(pod.a), pod.status(pod.b)) == ("paused", "running")
    assert [c["status"] for c in pod.runtime("list", "-f", "json").json
            if c["id"] == pod.a] == ["paused"]
    assert "frozen 1" in pod.sh(pod.sandbox, "cat /proc/1/cgroup >/dev/null; echo frozen 1")
    pod.runtime.fails("exec", pod.a, "true", says="paused")
    assert pod.sh(pod.b, "echo runs") == "runs\n"
    pod.runtime("resume", pod.a, timeout=SLOW_S)
    assert pod.sh(pod.a, "echo again") == "again\n"


def test_one_comes_and_goes(pod, base):
    """Its exit status, its signal, its files, and nothing of it in the machine afterwards."""
    own = base / "late"
    own.mkdir()
    before = pod.members()
    for i, (sig, code) in enumerate((("TERM", 3), ("KILL", 137))):
        id = pod.start(f"late{i}", ["/bin/sh", "-c", "trap 'exit 3' TERM; echo up > /vol/up;"
                                    "while :; do sleep 0.1; done"], change=with_volume(own))
        until(lambda: (own / "up").exists(), "its file is there", SLOW_S)
        (own / "up").unlink()
        pid = pod.runtime.state(id)["pid"]
        pod.runtime("kill", id, sig, timeout=SLOW_S)
        until(lambda: pod.status(id) == "stopped", "its end", SLOW_S)
        assert not os.path.exists(f"/proc/{pid}/exe")
        ended = pod.runtime.state_dir / id / "ended"
        assert sig == "KILL" or ended.read_text().split()[0] == str(code)
        pod.runtime("delete", id, timeout=SLOW_S)
        assert pod.members() == before
    # Its share has gone with it: the same id, the same volume, another time.
    id = pod.start("late0", ["/bin/sh", "-c", "ls /vol; exec sleep 1000"], change=with_volume(own))
    assert pod.sh(id, "ls /vol") == ""
    pod.runtime("delete", "--force", id, timeout=SLOW_S)
    assert pod.members() == before


def test_processes_of_all(pod):
    """A pid namespace that the spec names by the process of another container."""
    a = pod.runtime.state(pod.a)["pid"]
    id = pod.start("sees", change=joined("pid", of=a))
    try:
        assert pod.sh(id, "readlink /proc/self/ns/pid") == pod.sh(pod.a,
                                                                  "readlink /proc/self/ns/pid")
        assert pod.sh(id, "ps -o args").count("sleep 1000") >= 2
        pod.runtime("kill", id, "KILL", timeout=SLOW_S)
        until(lambda: pod.status(id) == "stopped", "its end", SLOW_S)
        assert pod.status(pod.a) == "running"
    finally:
        pod.runtime("delete", "--force", id, timeout=SLOW_S)


@pytest.mark.parametrize("says, change", [
    ("no container's of this pod", joined("pid", of=os.getpid())),
    ("share the host's ipc namespace", lambda s: s["linux"].update(
        namespaces=[n for n in s["linux"]["namespaces"] if n["type"] != "ipc"])),
    ("bind one container of a pod to processors", lambda s: s["linux"].update(
        resources={"cpu": {"cpus": "0"}})),
    ("no such file", lambda s: s["process"].update(args=["/no/such"])),
    ("mount source", with_volume("/no/such/directory")),
])
def test_what_is_refused(pod, says, change):
    """And the pod goes on without it."""
    before = pod.members()
    b = pod.bundle(["/bin/true"], pod.spec("container", change))
    r = pod.runtime.fails("--isolation", "microvm", "run", "-b", b, f"{pod.id}-bad",
                          timeout=SLOW_S)
    assert says in r.err, str(r)
    assert pod.members() == before
    assert pod.sh(pod.a, "echo goes on") == "goes on\n"


def test_a_second_sandbox_is_refused(pod):
    b = pod.bundle(["/bin/true"], pod.spec("sandbox"))
    pod.runtime.fails("--isolation", "microvm", "create", "-b", b, f"{pod.id}-second",
                      says="has a machine already", timeout=SLOW_S)


@pytest.mark.parametrize("annotations, says", [
    ({CRI[0]: "king", CRI[1]: "x"}, "must be 'sandbox' or 'container'"),
    ({CRI[0]: "sandbox", CRI[1]: "../../x"}, "no id of a pod"),
    ({CRI[0]: "sandbox", CRI[1]: "x", "io.kubernetes.cri.sandbox-memory": "much"}, "no number"),
])
def test_nonsense_in_annotations(runtime, bundle, annotations, says):
    b = bundle(["/bin/true"], lambda s: s.update(annotations=annotations))
    runtime.fails("--isolation", "microvm", "run", "-b", b, next(pods), says=says)


def proxies_of(id):
    """The processes that stand for it, or hold its machine; not what a proxy has to keep the emulator."""
    found = {}
    for p in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{p}/cmdline", "rb") as f:
                words = f.read().split(b"\0")
            with open(f"/proc/{p}/stat", "rb") as f:
                parent = int(f.read().rpartition(b")")[2].split()[1])
        except OSError:
            continue
        if id.encode() in words and os.path.basename(words[0]) == b"atoll-proxy":
            found[int(p)] = parent
    return [p for p, parent in found.items() if parent not in found]


def test_without_a_sandbox(runtime, bundle, volume):
    """As CRI-O has it: the first makes the machine, which outlives it, and the last one ends it."""
    with Pod(runtime, bundle, CRIO) as p:
        a = p.start("a")
        holder, = proxies_of(f"pod-{p.id}")
        b = p.start("b", change=with_volume(volume))
        assert p.sh(a, f"cat {BOOT_ID}") == p.sh(b, f"cat {BOOT_ID}")
        runtime("delete", "--force", a, timeout=SLOW_S)
        assert p.sh(b, "echo lives; ls /vol >/dev/null") == "lives\n"
        c = p.start("c")
        runtime("delete", "--force", b, timeout=SLOW_S)
        assert p.sh(c, "readlink /proc/1/ns/net")
        assert proxies_of(f"pod-{p.id}") == [holder]
        runtime("delete", "--force", c, timeout=SLOW_S)
        assert not p.dir.exists() and not os.path.exists(f"/proc/{holder}/exe")


def test_killed_parts(runtime, bundle):
    """
    SIGKILL of a container's proxy ends that container; of the holder's, all; a container that comes
    then gets another machine; and what is left goes with delete --force.
    """
    with Pod(runtime, bundle, CRIO) as p:
        a, b = p.start("a"), p.start("b")
        os.kill(runtime.state(a)["pid"], signal.SIGKILL)
        until(lambda: p.status(a) == "stopped", "its end", SLOW_S)
        assert p.sh(b, "echo lives") == "lives\n"
        holder, = proxies_of(f"pod-{p.id}")
        os.kill(holder, signal.SIGKILL)
        until(lambda: p.status(b) == "stopped", "the other's end", SLOW_S)
        c = p.start("c")
        assert p.sh(c, "echo anew") == "anew\n"
        for i in (a, b, c):
            runtime("delete", "--force", i, timeout=SLOW_S)
        assert not p.dir.exists()


def test_the_sandbox_ends_all(runtime, bundle):
    with Pod(runtime, bundle) as p:
        sandbox = p.start("sandbox", role="sandbox")
        a = p.start("a")
        runtime("kill", sandbox, "KILL", timeout=SLOW_S)
        until(lambda: p.status(sandbox) == p.status(a) == "stopped", "the end of all", SLOW_S)
        b = p.bundle(["/bin/true"], p.spec("container"))
        runtime.fails("--isolation", "microvm", "run", "-b", b, f"{p.id}-late",
                      says="the pod's machine is not running", timeout=SLOW_S)
        runtime("delete", sandbox, timeout=SLOW_S)
        runtime("delete", a, timeout=SLOW_S)
        assert not p.dir.exists()


@pytest.mark.parametrize("role, keys", [("sandbox", CRI), ("container", CRIO)])
@pytest.mark.parametrize("seen", ["members", "machine.log", "vsock"])
def test_killed_while_it_is_created(runtime, bundle, role, keys, seen):
    """The runtime gets SIGKILL at some moment; delete --force takes what there is."""
    with Pod(runtime, bundle, keys) as p:
        b = p.bundle(["/bin/sleep", "1000"], p.spec(role))
        id = f"{p.id}-x"
        p.made.append(id)
        r = runtime.popen("--isolation", "microvm", "create", "-b", b, id)
        until(lambda: (p.dir / seen).exists() or r.poll() is not None, f"{seen} is there", SLOW_S)
        r.kill()
        r.communicate(timeout=SLOW_S)
        runtime("delete", "--force", id, timeout=SLOW_S)
        assert not p.dir.exists()
        until(lambda: not proxies_of(id) and not proxies_of(f"pod-{p.id}"), "no proxy is left")
