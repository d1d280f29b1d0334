# SPDX-License-Identifier: Apache-2.0
"""podman's pods in machines of their own: what `podman pod` and `podman run --pod` do with them."""
import os
from pathlib import Path

import pytest

from lib import clients
from lib.wait import until

SLOW_S = 240
IMAGE = "localhost/busybox:latest"
RUN = ["--pull", "never", "--no-healthcheck"]
BOOT_ID = "/proc/sys/kernel/random/boot_id"

pytestmark = pytest.mark.timeout(1500)


class Slow(clients.Client):
    """Machines are made in their time."""

    def try_(self, *args, **kw):
        return super().try_(*args, timeout=SLOW_S, **kw)

    def __call__(self, *args, **kw):
        return super().__call__(*args, timeout=SLOW_S, **kw)

    def sh(self, name, script):
        return self("exec", name, "sh", "-c", script)

    def status(self, name):
        return self.json("inspect", name)[0]["State"]["Status"]


@pytest.fixture(scope="module")
def podman(cache, base, build, machine_runtime, busybox_tar):
    with clients.World(cache, base, "podman-pods") as w:
        c = clients.podman(w, build, busybox_tar)
        yield Slow(w, *c.base, "--runtime", machine_runtime)
        assert not w.try_("ls", "/run/atoll-runtime/@pods").out  # nothing is left of any


@pytest.fixture(scope="module")
def volume(base):
    d = base / "volume"
    d.mkdir()
    return d


@pytest.fixture(scope="module")
def pod(podman, volume):
    """On podman's bridge, with two members that share a volume."""
    podman("pod", "create", "--name", "pod", "--hostname", "thepod")
    for name in "a", "b":
        podman("run", "-d", "--pod", "pod", "--name", name, *RUN, "-v", f"{volume}:/vol",
               *(["-m", "48m"] if name == "a" else []), IMAGE, "sh", "-c",
               "trap 'exit 3' TERM; echo said; while :; do sleep 0.1; done")
    yield "pod"
    podman.try_("pod", "rm", "-f", "-t", "0", "pod")


def infra(podman, pod):
    return podman.json("pod", "inspect", pod)["InfraContainerID"]


def test_one_machine(podman, pod):
    boots = {podman.sh(n, f"cat {BOOT_ID}") for n in ("a", "b")}
    assert len(boots) == 1 and Path(BOOT_ID).read_text() not in boots
    for kind in ("net", "ipc", "uts"):
        assert podman.sh("a", f"readlink /proc/1/ns/{kind}") == \
            podman.sh("b", f"readlink /proc/1/ns/{kind}"), kind
    for kind in ("mnt", "pid"):
        assert podman.sh("a", f"readlink /proc/1/ns/{kind}") != \
            podman.sh("b", f"readlink /proc/1/ns/{kind}"), kind
    assert podman.sh("a", "hostname") == podman.sh("b", "hostname") == "thepod\n"
    assert podman.sh("a", "cat /sys/fs/cgroup/memory.max") == f"{48 << 20}\n"


def test_network(podman, pod):
    """Localhost is the pod's; its address on the bridge answers, and reaches the gateway."""
    podman.sh("a", "echo page > /tmp/index.html; httpd -p 80 -h /tmp")
    assert podman.sh("b", "wget -qO- http://127.0.0.1/") == "page\n"
    at, gateway = podman("inspect", "-f",
                         "{{.NetworkSettings.IPAddress}} {{.NetworkSettings.Gateway}}",
                         infra(podman, pod)).split()
    assert f"inet {at}/" in podman.sh("b", "ip addr show eth0")
    until(lambda: podman.world.try_("/bin/busybox", "wget", "-qO-", f"http://{at}/").out == "page\n",
          "the pod serves a page", SLOW_S)
    assert "2 packets received" in podman.sh("b", f"ping -c 2 -w 60 {gateway}")


def test_files_and_memory_between_them(podman, pod, volume):
    podman.sh("a", "echo one > /vol/f; echo two > /dev/shm/f")
    assert podman.sh("b", "cat /vol/f /dev/shm/f") == "one\ntwo\n"
    assert (volume / "f").read_text() == "one\n"


def test_streams_and_codes(podman, pod):
    d = podman.try_("run", "--rm", "-i", "--pod", pod, *RUN, IMAGE, "sh", "-c",
                    f"cat {BOOT_ID}; cat; echo e >&2; exit 7", input="in")
    assert (d.rc, d.out, d.err) == (7, podman.sh("a", f"cat {BOOT_ID}") + "in", "e\n"), str(d)
    assert podman.try_("exec", "b", "sh", "-c", "exit 9").rc == 9
    assert podman.try_("run", "--rm", "--pod", pod, *RUN, IMAGE, "no-such").rc == 127
    assert podman("logs", "b") == "said\n"


def test_one_ends_and_others_go_on(podman, pod):
    boot = podman.sh("b", f"cat {BOOT_ID}")
    podman("run", "-d", "--pod", pod, "--name", "c", *RUN, IMAGE, "sleep", "1000")
    podman("pause", "c")
    assert podman.sh("b", "echo goes on") == "goes on\n"
    podman("unpause", "c")
    podman("rm", "-f", "-t", "0", "c")
    podman("kill", "a")
    until(lambda: podman.status("a") == "exited", "it ends", SLOW_S)
    podman("start", "a")
    assert podman.sh("a", f"cat {BOOT_ID}") == podman.sh("b", f"cat {BOOT_ID}") == boot


def test_stopped_and_started(podman, pod):
    """The whole pod: what was in it ends as it is told to, and gets another machine."""
    boot = podman.sh("a", f"cat {BOOT_ID}")
    podman("stop", "-t", "100", "a", "b")
    podman("pod", "stop", "-t", "0", pod)  # podman's own is deaf to SIGTERM
    assert [podman.json("inspect", n)[0]["State"]["ExitCode"] for n in ("a", "b")] == [3, 3]
    assert podman.world.states("/run/atoll-runtime") == []
    podman("pod", "start", pod)
    assert podman.sh("a", f"cat {BOOT_ID}") == podman.sh("b", f"cat {BOOT_ID}") != boot


def test_size(podman):
    """What the pod may have of the host is what its machine is made of."""
    podman("pod", "create", "--name", "sized", "--network", "none", "--memory", "600m", "--cpus", "2")
    try:
        out = podman("run", "--rm", "--pod", "sized", *RUN, IMAGE, "sh", "-c",
                     "dd if=/dev/zero of=/dev/null bs=200M count=1 2>/dev/null || echo none;"
                     "grep MemTotal /proc/meminfo | tr -dc 0-9; echo; nproc").split()
        assert 250 << 10 < int(out[0]) < 472 << 10 and int(out[1]) == min(2, os.cpu_count()), out
    finally:
        podman("pod", "rm", "-f", "-t", "0", "sized")


def test_too_small(podman):
    podman("pod", "create", "--name", "small", "--network", "none", "--memory", "200m")
    try:
        d = podman.try_("run", "--rm", "--pod", "small", *RUN, IMAGE, "true")
        assert d.rc != 0 and "too small for a microvm" in d.err, str(d)
        assert infra(podman, "small") not in podman.world.states("/run/atoll-runtime")
    finally:
        podman("pod", "rm", "-f", "-t", "0", "small")


def test_processes_of_all(podman):
    """A pod that shares its processes."""
    podman("pod", "create", "--name", "seen", "--network", "none", "--share", "net,ipc,uts,pid")
    try:
        podman("run", "-d", "--pod", "seen", "--name", "d", *RUN, IMAGE, "sleep", "1234")
        out = podman("run", "--rm", "--pod", "seen", *RUN, IMAGE, "ps")
        assert "sleep 1000000" in out and "sleep 1234" in out, out
    finally:
        podman("pod", "rm", "-f", "-t", "0", "seen")


def test_a_pod_of_none(podman):
    """Without a container of podman's own there is nothing to share: machines of their own."""
    podman("pod", "create", "--name", "loose", "--infra=false")
    try:
        out = [podman("run", "--rm", "--pod", "loose", "--network", "none", *RUN, IMAGE, "cat",
                      BOOT_ID) for _ in range(2)]
        assert len(set(out)) == 2
    finally:
        podman("pod", "rm", "-f", "-t", "0", "loose")


def test_the_sandbox_dies(podman):
    """With podman's own container the machine ends, and what is in it; all can be removed."""
    podman("pod", "create", "--name", "dies", "--network", "none")
    try:
        podman("run", "-d", "--pod", "dies", "--name", "f", *RUN, IMAGE, "sleep", "1000")
        podman("kill", infra(podman, "dies"))
        until(lambda: podman.status("f") == "exited", "it ends with its machine", SLOW_S)
    finally:
        podman("pod", "rm", "-f", "-t", "0", "dies")


def test_another_containers_network(podman):
    """Outside of a pod there is no machine to share."""
    podman("run", "-d", "--name", "g", "--network", "none", *RUN, IMAGE, "sleep", "1000")
    try:
        d = podman.try_("run", "--rm", "--network", "container:g", *RUN, IMAGE, "true")
        assert d.rc != 0 and "cannot share the network of a process" in d.err, str(d)
    finally:
        podman("rm", "-f", "-t", "0", "g")
