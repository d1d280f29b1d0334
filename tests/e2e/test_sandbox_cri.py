# SPDX-License-Identifier: Apache-2.0
"""A kubelet's pods under atoll-sandbox: the containers of one share Atoll's own kernel."""
import json
import os
from pathlib import Path

import pytest

from lib import clients, cri as cri_, kube, sentry
from lib.kube import EXITED, NOT_READY, POD, READY, RUNNING, Pod
from lib.wait import until

BOOT_ID = "/proc/sys/kernel/random/boot_id"

pytestmark = [pytest.mark.timeout(300),
              pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")]


@pytest.fixture(scope="module")
def world(cache, base, build, busybox_tar):
    sentry.need(sentry.Sentries(build, base / "sentries"))
    name = base / "atoll-sandbox"
    name.symlink_to(build / "atoll-runtime")
    with clients.World(cache, base, "cri-sandbox") as w:
        kube.serve(w, build, busybox_tar, name)
        yield w


@pytest.fixture(scope="module")
def cri(world):
    c = cri_.Cri(world.socket)
    yield kube.seen(c, world)
    c.close()


@pytest.fixture(scope="module")
def volume(base):
    d = base / "volume"
    d.mkdir()
    return d


@pytest.fixture(scope="module")
def pod(cri, world):
    with Pod(cri, world, POD, resources={
            "memory_limit_in_bytes": 192 << 20, "cpu_quota": 150000, "cpu_period": 100000}) as p:
        yield p


@pytest.fixture(scope="module")
def pair(pod, volume):
    """Two containers that serve until they are told to end."""
    mounts = [{"container_path": "/vol", "host_path": str(volume)}]
    a, _ = pod.start("sh", "-c", "trap 'exit 42' TERM; echo up > /vol/a; echo said; echo oops >&2;"
                     "while :; do sleep 0.1; done", mounts=mounts,
                     resources={"memory_limit_in_bytes": 64 << 20})
    b, _ = pod.start("sleep", "1000", mounts=[{**mounts[0], "readonly": True}])
    until(lambda: (volume / "a").exists(), "it runs")
    return a, b


def test_a_pod_is_one_kernel(cri, pod, pair):
    s = cri.PodSandboxStatus(pod_sandbox_id=pod.id)["status"]
    assert (s["state"], s["network"]["ip"]) == (READY, "127.0.0.2")
    boots = {pod.sh(i, f"cat {BOOT_ID}")[1] for i in pair}
    assert len(boots) == 1 and Path(BOOT_ID).read_text() not in boots
    assert {pod.id, *pair} <= set(pod.world.states("/run/containerd/runc/k8s.io"))
    rc, out, _ = pod.sh(pair[0], "hostname; grep MemTotal /proc/meminfo | tr -dc 0-9")
    assert (rc, out.split()) == (0, [pod.config["hostname"], str(192 << 10)])
    sentries = [p for p in Path("/proc").glob("[0-9]*/comm") if sentry.alive(p.parent.name)
                and p.read_text() == "atoll-sentry\n" and pod.id in
                (p.parent / "cgroup").read_text()]
    assert sentries and not [p for p in sentries if pair[0] in (p.parent / "cgroup").read_text()]


def test_each_has_its_own(pod, pair):
    """Processes, their numbers, and files; nobody sees the other's."""
    a, b = pair
    assert pod.sh(a, "touch /only-a; cat /proc/1/comm; ps -o args")[1].startswith("sh\n")
    rc, out, _ = pod.sh(b, "ls /only-a 2>/dev/null; cat /proc/1/comm; ps -o args; echo $PPID")
    assert rc == 0 and out.startswith("sleep\n") and "trap" not in out
    assert out.splitlines()[-1] == "0"
    # Whom it does not see it cannot reach; its own first is safe from within, as everywhere.
    assert pod.sh(b, "kill -9 -1; kill -9 1; echo lives")[1] == "lives\n"
    assert pod.status(a)["state"] == RUNNING and pod.status(b)["state"] == RUNNING


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


def test_one_ends_and_comes_again(cri, pod, pair, volume):
    """Stopped by its signal, and by the one it cannot catch; the others go on."""
    for trap, timeout, code in (("exit 42", 100, 42), ("", 1, 137)):
        up = volume / "trap"
        id, _ = pod.start("sh", "-c", f"trap '{trap}' TERM; sleep 1003 & echo > /vol/trap;"
                          "while :; do sleep 0.1; done",
                          mounts=[{"container_path": "/vol", "host_path": str(volume)}])
        until(up.exists, "its trap")
        up.unlink()
        cri.StopContainer(container_id=id, timeout=timeout)
        assert pod.ended(id)["exit_code"] == code
        cri.RemoveContainer(container_id=id)
    assert pod.sh(pair[0], "echo goes on")[1] == "goes on\n"


def test_figures(pod, pair):
    for id in pair:
        s = pod.cri.ContainerStats(container_id=id)["stats"]
        assert s["cpu"]["usage_core_nano_seconds"]["value"] > 0
    assert len(pod.cri.ListContainerStats()["stats"]) >= 2


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


def test_memory_without_a_pods(cri, world):
    """A limit that nobody would keep is refused."""
    import grpc
    with Pod(cri, world, POD) as p:
        id, _ = p.create("true", resources={"memory_limit_in_bytes": 64 << 20})
        with pytest.raises(grpc.RpcError) as ex:
            cri.StartContainer(container_id=id)
        assert "limit the memory of one container of a pod" in ex.value.details()


def test_removed_pods_leave_nothing(cri, world):
    with Pod(cri, world, POD) as p:
        id, _ = p.start("sleep", "1000")
        assert p.status(id)["state"] != EXITED
    assert p.id not in world.states("/run/containerd/runc/k8s.io")
    until(lambda: [d for g in world.groups for d in g.glob("**/" + p.id)] == [], "no cgroup")
    assert world.try_("ls", f"/run/containerd/runc/k8s.io/@pods/{p.id}").rc != 0
