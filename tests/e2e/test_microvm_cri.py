# SPDX-License-Identifier: Apache-2.0
"""
A kubelet's pods in machines of their own: containerd and its CRI plug-in run atoll-microvm; and
containerd alone, by ctr.
"""
import json
import os
from itertools import count
from pathlib import Path

import pytest

from lib import clients, cri as cri_, kube
from lib.kube import EXITED, NOT_READY, POD, READY, RUNNING, Pod
from lib.wait import until

SLOW_S = 240
BOOT_ID = "/proc/sys/kernel/random/boot_id"
names = (f"v{i}" for i in count())

pytestmark = pytest.mark.timeout(1500)


@pytest.fixture(scope="module")
def world(cache, base, build, busybox_tar, machine_runtime):
    with clients.World(cache, base, "cri-vm") as w:
        kube.serve(w, build, busybox_tar, machine_runtime)
        yield w


@pytest.fixture(scope="module")
def cri(world):
    c = cri_.Cri(world.socket, SLOW_S)
    yield kube.seen(c, world)
    c.close()


@pytest.fixture(scope="module")
def volume(base):
    d = base / "volume"
    d.mkdir()
    return d


@pytest.fixture(scope="module")
def pod(cri, world):
    with Pod(cri, world, POD, sysctls={"net.ipv4.ip_default_ttl": "99"}, resources={
            "memory_limit_in_bytes": 192 << 20, "cpu_quota": 150000, "cpu_period": 100000}) as p:
        yield p


@pytest.fixture(scope="module")
def pair(pod, volume):
    """Two containers that serve until they are told to end."""
    mounts = [{"container_path": "/vol", "host_path": str(volume)}]
    a, _ = pod.start("sh", "-c", "trap 'exit 42' TERM; echo up > /vol/a; echo said; echo oops >&2;"
                     "while :; do sleep 0.1; done", mounts=mounts, resources={
                         "memory_limit_in_bytes": 64 << 20, "cpu_quota": 50000,
                         "cpu_period": 100000, "cpu_shares": 512})
    b, _ = pod.start("sleep", "1000", mounts=[{**mounts[0], "readonly": True}])
    until(lambda: (volume / "a").exists(), "it runs", SLOW_S)
    return a, b


def test_a_pod_is_one_machine(cri, pod, pair):
    s = cri.PodSandboxStatus(pod_sandbox_id=pod.id)["status"]
    assert (s["state"], s["network"]["ip"]) == (READY, "127.0.0.2")
    boots = {pod.sh(i, f"cat {BOOT_ID}")[1] for i in pair}
    assert len(boots) == 1 and Path(BOOT_ID).read_text() not in boots
    found = pod.world.states("/run/containerd/runc/k8s.io")
    assert {pod.id, *pair} <= set(found)
    rc, out, _ = pod.sh(pair[0], "hostname; nproc; cat /proc/sys/net/ipv4/ip_default_ttl")
    assert (rc, out.split()) == (0, [pod.config["hostname"],
                                     str(min(2, len(os.sched_getaffinity(0)))), "99"])
    # The pod's memory and what its machine needs for itself.
    kib = int(pod.sh(pair[0], "grep MemTotal /proc/meminfo | tr -dc 0-9")[1])
    assert 192 << 10 < kib < 320 << 10


def test_logs_and_a_volume(pod, pair, volume):
    a, b = pair
    log = pod.logs / Path(pod.status(a)["log_path"]).name
    lines = [l.split(" ", 3)[1:] for l in log.read_text().splitlines()]
    assert ["stdout", "F", "said"] in lines and ["stderr", "F", "oops"] in lines
    assert pod.sh(b, "cat /vol/a")[1] == "up\n"
    assert pod.sh(a, "echo more > /vol/m")[0] == 0 and (volume / "m").read_text() == "more\n"
    rc, _, err = pod.sh(b, "echo no > /vol/n")
    assert rc != 0 and "Read-only" in err


def test_localhost_and_memory_between_them(pod, pair):
    a, b = pair
    assert pod.sh(a, "mkdir /w && echo page > /w/index.html && httpd -p 127.0.0.1:80 -h /w;"
                  "echo shared > /dev/shm/x")[0] == 0
    assert pod.sh(b, "wget -qO- http://127.0.0.1/; cat /dev/shm/x")[1] == "page\nshared\n"
    assert all(pod.sh(a, f"readlink /proc/1/ns/{k}") == pod.sh(b, f"readlink /proc/1/ns/{k}")
               for k in ("net", "ipc", "uts"))


def forward(pod, port, sent=""):
    url = pod.cri.PortForward(pod_sandbox_id=pod.id, port=[port])["url"]
    return json.loads(pod.world("/usr/bin/python3", cri_.__file__, "port", url, input=sent))


def test_a_forwarded_port(pod, pair):
    """The CRI server connects to localhost in the pod's namespace on the host: the guest's server
    answers, over IPv6, too; where there is none nobody waits."""
    a, _ = pair
    get = "GET / HTTP/1.0\r\n\r\n"
    assert pod.sh(a, "mkdir -p /w && head -c 300000 /dev/zero | tr '\\0' x > /w/index.html && "
                  "httpd -p 127.0.0.1:88 -h /w && httpd -p [::1]:89 -h /w")[0] == 0
    for port in 88, 89:
        got = forward(pod, port, get)
        assert got["data"].endswith("\r\n\r\n" + "x" * 300000) and not got["error"], got
    got = forward(pod, 90, get)
    assert not got["data"] and "reset" in got["error"], got


TRY = """
import socket, sys
for host in sys.argv[1:]:
    try:
        s = socket.create_connection((host, 91), 30)
        s.sendall(b"GET /etc/hostname HTTP/1.0\\r\\n\\r\\n")
        print(host, s.recv(12).decode())
    except OSError as e:
        print(host, type(e).__name__)
"""


def test_no_other_address_is_forwarded(pod, pair):
    """What is not localhost in the pod's namespace is what it always was: nobody's."""
    assert pod.sh(pair[0], "httpd -p 0.0.0.0:91 -h /")[0] == 0
    hosts = "127.0.0.1", "127.0.0.2", "::1"
    said = pod.world("sh", "-c", 'for n in /run/netns/* /var/run/netns/*; do [ ! -e "$n" ] || '
                     f"nsenter --net=$n /usr/bin/python3 -c '{TRY}' {' '.join(hosts)}; done")
    lines = set(said.splitlines())
    assert any(l.startswith("127.0.0.1 HTTP/1.") for l in lines), said
    assert not [l for l in lines if l.startswith(hosts[1:]) and "Error" not in l], said


def test_exec(pod, pair):
    import grpc
    assert pod.sh(pair[0], "echo out; echo err >&2; exit 5") == (5, "out\n", "err\n")
    with pytest.raises(grpc.RpcError) as ex:
        pod.cri.ExecSync(container_id=pair[0], cmd=["no-such"], timeout=100)
    assert "no-such" in ex.value.details()
    url = pod.cri.Exec(container_id=pair[1], tty=True, stdin=True, stdout=True,
                       cmd=["sh", "-c", "read a; echo got $a; tty; exit 3"])["url"]
    got = json.loads(pod.world("/usr/bin/python3", cri_.__file__, "exec", url, input="typed\n"))
    assert "got typed" in got["out"] and "/dev/pts/" in got["out"]
    assert got["status"]["details"]["causes"][0]["message"] == "3"


def test_limits_and_figures(pod, pair):
    """The guest's cgroups have each container's limits; figures of the host are of its processes."""
    a, b = pair

    def now():
        return pod.sh(a, "cd /sys/fs/cgroup; cat memory.max cpu.max")[1].split()
    assert now() == [str(64 << 20), "50000", "100000"]
    pod.cri.UpdateContainerResources(container_id=a, linux={
        "memory_limit_in_bytes": 96 << 20, "cpu_quota": 70000, "cpu_period": 100000})
    assert now() == [str(96 << 20), "70000", "100000"]
    for id in (a, b):
        s = pod.cri.ContainerStats(container_id=id)["stats"]
        assert s["cpu"]["usage_core_nano_seconds"]["value"] > 0
        assert s["memory"]["working_set_bytes"]["value"] > 0
    assert len(pod.cri.ListContainerStats()["stats"]) >= 2


def test_out_of_memory_is_one_containers(pod, pair):
    id, _ = pod.start("sh", "-c", "x=$(head -c 64m /dev/zero | tr '\\0' x)",
                      resources={"memory_limit_in_bytes": 24 << 20})
    assert pod.ended(id, SLOW_S)["exit_code"] == 137
    assert pod.status(pair[0])["state"] == RUNNING
    pod.cri.RemoveContainer(container_id=id)


def test_one_ends_and_comes_again(cri, pod, volume):
    """Stopped by its signal, and by the one it cannot catch."""
    for trap, timeout, code in (("exit 42", 100, 42), ("", 1, 137)):
        up = volume / "trap"
        id, _ = pod.start("sh", "-c", f"trap '{trap}' TERM; echo > /vol/trap;"
                          "while :; do sleep 0.1; done",
                          mounts=[{"container_path": "/vol", "host_path": str(volume)}])
        until(up.exists, "its trap", SLOW_S)
        up.unlink()
        cri.StopContainer(container_id=id, timeout=timeout)
        assert pod.ended(id)["exit_code"] == code
        cri.RemoveContainer(container_id=id)


def test_one_pid_namespace(cri, world):
    """shareProcessNamespace; and the end of the pod is the end of all in it."""
    with Pod(cri, world, POD, pid=POD) as p:
        a, _ = p.start("sleep", "1001")
        b, _ = p.start("sleep", "1002")
        seen = p.sh(a, "ps -o args")[1]
        assert all(t in seen for t in ("sleep 1000000", "sleep 1001", "sleep 1002"))
        cri.StopContainer(container_id=b, timeout=0)
        assert p.status(b)["exit_code"] == 137 and p.status(a)["state"] == RUNNING
        cri.StopPodSandbox(pod_sandbox_id=p.id)
        assert cri.PodSandboxStatus(pod_sandbox_id=p.id)["status"]["state"] == NOT_READY
        assert p.ended(a)["exit_code"] == 137


def test_removed_pods_leave_nothing(cri, world):
    with Pod(cri, world, POD) as p:
        id, _ = p.start("sleep", "1000")
        assert p.status(id)["state"] != EXITED
    assert p.id not in world.states("/run/containerd/runc/k8s.io")
    until(lambda: [d for g in world.groups for d in g.glob("**/" + p.id)] == [], "no cgroup")
    assert world.try_("ls", f"/run/containerd/runc/k8s.io/@pods/{p.id}").rc != 0


def test_containerd_alone(world, machine_runtime):
    """ctr run, exec, kill; as a machine of one container."""
    name = next(names)
    base = ["ctr", "--address", world.socket]
    run = [*base, "run", "--runc-binary", machine_runtime]
    d = world.try_(*run, "--rm", world.image, name, "sh", "-c", f"cat {BOOT_ID}; exit 7",
                   timeout=SLOW_S)
    assert d.rc == 7 and d.out and d.out != Path(BOOT_ID).read_text(), str(d)
    world(*run, "-d", world.image, name, "sleep", "1000", timeout=SLOW_S)
    try:
        said = world.talk(*base, "task", "exec", "--exec-id", "x", name, "sh", "-c",
                          f"cat {BOOT_ID}; read x; exit 9", timeout=SLOW_S)
        assert said[1] == 9 and said[0] not in ("", Path(BOOT_ID).read_text()), said
        assert "RUNNING" in world(*base, "task", "ls")
        world(*base, "task", "kill", "-s", "SIGKILL", name, timeout=SLOW_S)
        until(lambda: "RUNNING" not in world(*base, "task", "ls"), "its end", SLOW_S)
    finally:
        world.try_(*base, "task", "rm", "-f", name, timeout=SLOW_S)
        world(*base, "container", "rm", name)
