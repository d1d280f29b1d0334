# SPDX-License-Identifier: Apache-2.0
"""
atoll-runtime under containerd's CRI plug-in, driven as a kubelet does: pods with a network
namespace of their own (a plug-in of CNI's protocol brings up loopback in it) and of the node.
"""
import json

import pytest

from lib import clients, cri as cri_, kube
from lib.kube import CREATED, EXITED, NODE, NOT_READY, POD, READY, RUNNING, Pod
from lib.wait import until


@pytest.fixture(scope="module")
def world(cache, base, build, busybox_tar):
    with clients.World(cache, base, "cri") as w:
        kube.serve(w, build, busybox_tar, build / "atoll-runtime")
        yield w


@pytest.fixture(scope="module")
def cri(world):
    c = cri_.Cri(world.socket)
    yield kube.seen(c, world)
    c.close()


@pytest.fixture(scope="module")
def pod(cri, world):
    with Pod(cri, world, POD) as p:
        yield p


@pytest.fixture(scope="module")
def sleeper(pod):
    id, _ = pod.start("sleep", "1000", resources={
        "memory_limit_in_bytes": 64 << 20, "cpu_quota": 50000, "cpu_period": 100000,
        "cpu_shares": 512})
    return id


def cgroup(pod, id, controller, v1, v2):
    return pod.world.cgroup(controller, f"**/{id}", v1, v2)


def test_pod_is_ready_on_our_runtime(cri, pod):
    assert cri.Version()["runtime_name"] == "containerd"
    s = cri.PodSandboxStatus(pod_sandbox_id=pod.id)["status"]
    assert (s["state"], s["network"]["ip"], s["labels"]) == (READY, "127.0.0.2", {"of": "atoll"})
    assert pod.id in [p["id"] for p in cri.ListPodSandbox()["items"]]
    found = pod.world.states("/run/containerd/runc/k8s.io")
    assert pod.id in found and (pod.world.try_("cat", f"/run/containerd/runc/k8s.io/{pod.id}/status")
                                .out.startswith("{"))


def test_created_is_not_started(cri, pod):
    id, log = pod.create("sh", "-c", "echo $WORD; echo oops >&2; "
                         "until [ -e /go ]; do sleep 0.05; done; exit 7",
                         envs=[{"key": "WORD", "value": "said"}])
    assert pod.status(id)["state"] == CREATED and not log.exists()
    cri.StartContainer(container_id=id)
    # Not sooner: containerd takes the time of the start when the start has returned.
    pod.let_go(id)
    s = pod.ended(id)
    assert (s["exit_code"], s["reason"]) == (7, "Error")
    assert s["created_at"] < s["started_at"] <= s["finished_at"]
    lines = [l.split(" ", 3)[1:] for l in log.read_text().splitlines()]
    assert ["stdout", "F", "said"] in lines and ["stderr", "F", "oops"] in lines
    cri.RemoveContainer(container_id=id)
    assert id not in [c["id"] for c in cri.ListContainers()["containers"]]


def test_a_command_that_is_none(cri, pod):
    import grpc
    id, _ = pod.create("no-such-command")
    with pytest.raises(grpc.RpcError) as ex:
        cri.StartContainer(container_id=id)
    assert "executable file not found in $PATH" in ex.value.details()
    s = pod.status(id)
    assert (s["state"], s["reason"], s["exit_code"]) == (EXITED, "StartError", 128)
    cri.RemoveContainer(container_id=id)


def test_exec_sync(pod, sleeper):
    import grpc
    assert pod.sh(sleeper, "echo out; echo err >&2; exit 5") == (5, "out\n", "err\n")
    with pytest.raises(grpc.RpcError) as ex:
        pod.cri.ExecSync(container_id=sleeper, cmd=["sleep", "1000"], timeout=1)
    assert ex.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    until(lambda: "sleep 1000\n" * 2 not in pod.sh(sleeper, "ps -o args | grep '^sleep'")[1],
          "the command over its time is gone")
    with pytest.raises(grpc.RpcError) as ex:
        pod.cri.ExecSync(container_id=sleeper, cmd=["no-such"], timeout=100)
    assert "executable file not found in $PATH" in ex.value.details()


@pytest.mark.parametrize("tty", [False, True])
def test_exec_streamed(pod, sleeper, tty):
    url = pod.cri.Exec(container_id=sleeper, tty=tty, stdin=True, stdout=True, stderr=not tty,
                       cmd=["sh", "-c", "read a; echo got $a; tty; echo e >&2; exit 3"])["url"]
    got = json.loads(pod.world("/usr/bin/python3", cri_.__file__, "exec", url, input="typed\n"))
    assert "got typed" in got["out"] and ("/dev/pts/" in got["out"]) == tty
    assert tty or got["err"] == "e\n"
    cause = got["status"]["details"]["causes"][0]
    assert (got["status"]["reason"], cause["message"]) == ("NonZeroExitCode", "3")


def test_limits_and_update(cri, pod, sleeper):
    def now():
        return (cgroup(pod, sleeper, "memory", "memory.limit_in_bytes", "memory.max"),
                cgroup(pod, sleeper, "cpu", "cpu.cfs_quota_us", "cpu.max").split()[0])
    assert now() == (str(64 << 20), "50000")
    cri.UpdateContainerResources(container_id=sleeper, linux={
        "memory_limit_in_bytes": 96 << 20, "cpu_quota": 70000, "cpu_period": 100000})
    assert now() == (str(96 << 20), "70000")


def test_stats(cri, pod, sleeper):
    pod.sh(sleeper, "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done")
    s = cri.ContainerStats(container_id=sleeper)["stats"]
    assert s["cpu"]["usage_core_nano_seconds"]["value"] > 1_000_000
    assert 0 < s["memory"]["working_set_bytes"]["value"] < 96 << 20
    assert len(cri.ListContainerStats()["stats"]) >= 1


def test_containers_of_a_pod_share_what_pods_share(pod, sleeper):
    other, _ = pod.start("sleep", "1000")

    def ns(id, kind):
        return pod.sh(id, f"readlink /proc/self/ns/{kind}")[1]
    try:
        assert all(ns(sleeper, k) == ns(other, k) for k in ("net", "ipc", "uts"))
        assert all(ns(sleeper, k) != ns(other, k) for k in ("mnt", "pid"))
        assert pod.sh(other, "hostname")[1].strip() == pod.config["hostname"]
        assert pod.sh(other, "ping -c1 -W2 127.0.0.1 >/dev/null; echo $?")[1] == "0\n"
    finally:
        pod.cri.StopContainer(container_id=other, timeout=0)
        pod.cri.RemoveContainer(container_id=other)


def test_a_forwarded_port(cri, pod, sleeper):
    assert pod.sh(sleeper, "mkdir /w && echo page > /w/index.html && "
                  "httpd -p 127.0.0.1:80 -h /w")[0] == 0
    url = cri.PortForward(pod_sandbox_id=pod.id, port=[80])["url"]
    got = json.loads(pod.world("/usr/bin/python3", cri_.__file__, "port", url,
                               input="GET / HTTP/1.0\r\n\r\n"))
    assert got["data"].endswith("\r\n\r\npage\n") and not got["error"], got


def test_stop(cri, pod):
    id, _ = pod.start("sh", "-c", "trap 'exit 42' TERM; while :; do sleep 0.05; done")
    until(lambda: pod.sh(id, "grep SigCgt /proc/1/status")[1].strip().endswith("4002"), "its trap")
    cri.StopContainer(container_id=id, timeout=100)
    assert pod.ended(id)["exit_code"] == 42
    cri.StopContainer(container_id=id, timeout=1)  # again is no error
    stubborn, _ = pod.start("sh", "-c", "trap '' TERM; while :; do sleep 1; done")
    cri.StopContainer(container_id=stubborn, timeout=1)
    assert pod.ended(stubborn)["exit_code"] == 137
    for i in (id, stubborn):
        cri.RemoveContainer(container_id=i)


def test_oom_is_told(cri, pod):
    id, _ = pod.start("sh", "-c", "x=$(head -c 64m /dev/zero | tr '\\0' x)",
                      resources={"memory_limit_in_bytes": 16 << 20})
    s = pod.ended(id)
    assert s["exit_code"] == 137
    until(lambda: pod.status(id)["reason"] == "OOMKilled", "the reason is told")
    cri.RemoveContainer(container_id=id)


def test_security_context(pod):
    id, log = pod.start(
        "sh", "-c", "id -u; id -g; id -G; grep -E 'CapBnd|NoNewPrivs|Seccomp:' /proc/self/status | "
        "tr -d '\\t'; touch /x 2>&1; cat /proc/sys/kernel/ns_last_pid > /dev/null 2>&1 || echo masked;"
        " echo 1 2>/dev/null > /proc/sys/kernel/panic || echo ro",
        security={"run_as_user": {"value": 1000}, "run_as_group": {"value": 1001},
                  "supplemental_groups": [77], "readonly_rootfs": True, "no_new_privs": True,
                  "capabilities": {"drop": ["ALL"], "add": ["NET_RAW"]},
                  "masked_paths": ["/proc/sys/kernel/ns_last_pid"],
                  "readonly_paths": ["/proc/sys"], "seccomp": {"profile_type": 0}})
    pod.ended(id)
    said = [l.split(" ", 3)[3] for l in log.read_text().splitlines()]
    assert said[:6] == ["1000", "1001", "1001 50 77", "CapBnd:0000000000002000", "NoNewPrivs:1",
                        "Seccomp:2"], said
    assert "Read-only" in said[6] and said[-1] == "ro"
    pod.cri.RemoveContainer(container_id=id)


def test_mounts(pod):
    host = pod.world.dir / "mounted"
    host.mkdir()
    id, _ = pod.start("sh", "-c", "echo in > /rw/f; echo in > /ro/g; true",
                      mounts=[{"container_path": "/rw", "host_path": str(host)},
                              {"container_path": "/ro", "host_path": str(host), "readonly": True}])
    pod.ended(id)
    assert sorted(p.name for p in host.iterdir()) == ["f"]
    pod.cri.RemoveContainer(container_id=id)


def test_terminal_and_log_reopened(cri, pod):
    id, log = pod.start("sh", "-c", "tty; until [ -e /go ]; do sleep 0.05; done; echo more; sleep 99",
                        tty=True)
    until(lambda: "/dev/pts/0" in log.read_text(), "its terminal")
    log.rename(f"{log}.1")
    cri.ReopenContainerLog(container_id=id)
    assert pod.sh(id, "touch /go")[0] == 0
    until(lambda: log.exists() and "more" in log.read_text(), "the new log")
    cri.RemoveContainer(container_id=id)  # forcibly, as it runs


def test_pod_of_the_node_with_one_pid_namespace(cri, world):
    with Pod(cri, world, NODE, pid=POD) as p:
        a, _ = p.start("sleep", "1001")
        b, _ = p.start("sleep", "1002")
        assert p.sh(a, "readlink /proc/self/ns/net")[1] == world("readlink", "/proc/self/ns/net")
        seen = p.sh(a, "ps -o args")[1]
        assert all(t in seen for t in ("sleep 1000000", "sleep 1001", "sleep 1002"))
        cri.StopContainer(container_id=b, timeout=0)
        assert p.status(b)["exit_code"] == 137 and p.status(a)["state"] == RUNNING
        cri.StopPodSandbox(pod_sandbox_id=p.id)
        assert cri.PodSandboxStatus(pod_sandbox_id=p.id)["status"]["state"] == NOT_READY
        assert p.ended(a)["exit_code"] == 137


def test_pod_with_sysctls(cri, world):
    with Pod(cri, world, POD, sysctls={"net.ipv4.ip_default_ttl": "99"}) as p:
        id, _ = p.start("sleep", "1000")
        assert p.sh(id, "cat /proc/sys/net/ipv4/ip_default_ttl")[1] == "99\n"


def test_removed_pods_leave_nothing(cri, world):
    with Pod(cri, world, POD) as p:
        p.start("sleep", "1000")
    assert p.id not in [x["id"] for x in cri.ListPodSandbox()["items"]]
    assert p.id not in world.states("/run/containerd/runc/k8s.io")
    until(lambda: [d for g in world.groups for d in g.glob("**/" + p.id)] == [], "no cgroup")
