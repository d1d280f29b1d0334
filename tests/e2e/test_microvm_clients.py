# SPDX-License-Identifier: Apache-2.0
"""podman's and docker's containers in machines of their own, on the network that these make."""
from pathlib import Path

import pytest

from lib import clients
from lib.wait import until

SLOW_S = 240
IMAGE = "busybox:latest"
LIFE = ("trap 'echo ended; exit 3' TERM; echo started >&2; echo page > /tmp/index.html;"
        "httpd -p 80 -h /tmp; while :; do sleep 0.1; done")

pytestmark = pytest.mark.timeout(1500)


@pytest.fixture(scope="module")
def podman(cache, base, build, machine_runtime, busybox_tar):
    with clients.World(cache, base, "podman-vm") as w:
        c = clients.podman(w, build, busybox_tar)
        yield clients.Client(w, *c.base, "--runtime", machine_runtime), ["--pull", "never"]


@pytest.fixture(scope="module")
def docker(cache, base, build, machine_runtime, busybox_tar):
    with clients.World(cache, base, "docker-vm") as w:
        yield clients.docker(w, build, busybox_tar, "--add-runtime",
                             f"atoll-microvm={machine_runtime}"), ["--runtime", "atoll-microvm"]


def is_machine(client, name):
    """Its kernel is another one than ours."""
    boot = "/proc/sys/kernel/random/boot_id"
    return client("exec", name, "cat", boot, timeout=SLOW_S) != Path(boot).read_text()


def life_of(client, flags, address):
    """Output and exit codes of a run, of an exec and of a stop; and the network both ways."""
    d = client.try_("run", "--rm", "-i", *flags, IMAGE, "sh", "-c", "cat; echo e >&2; exit 7",
                    input="in", timeout=SLOW_S)
    assert (d.rc, d.out) == (7, "in") and "e\n" in d.err, str(d)
    client("run", "-d", "--name", "web", *flags, IMAGE, "sh", "-c", LIFE, timeout=SLOW_S)
    try:
        assert is_machine(client, "web")
        at, gateway = client("inspect", "-f", address, "web").split()
        assert f"inet {at}/" in client("exec", "web", "ip", "addr", "show", "eth0", timeout=SLOW_S)
        until(lambda: client.world.try_("/bin/busybox", "wget", "-qO-", f"http://{at}/"
                                        ).out == "page\n",
              "the machine serves a page", SLOW_S)
        assert "2 packets received" in client("exec", "web", "ping", "-c", "2", "-w", "60",
                                              gateway, timeout=SLOW_S)
        d = client.try_("exec", "-i", "web", "sh", "-c", "cat; exit 9", input="x", timeout=SLOW_S)
        assert (d.rc, d.out) == (9, "x"), str(d)
        client("stop", "-t", "100", "web", timeout=SLOW_S)
        assert client("inspect", "-f", "{{.State.ExitCode}}", "web").strip() == "3"
        d = client.try_("logs", "web")
        assert (d.out, d.err) == ("ended\n", "started\n"), str(d)
        client("start", "web", timeout=SLOW_S)
        assert client("exec", "web", "echo", "again", timeout=SLOW_S) == "again\n"
    finally:
        client.try_("rm", "-f", "web", timeout=SLOW_S)


def test_podman(podman):
    life_of(*podman, "{{.NetworkSettings.IPAddress}} {{.NetworkSettings.Gateway}}")


def test_docker(docker):
    life_of(*docker, "{{.NetworkSettings.IPAddress}} {{.NetworkSettings.Gateway}}")
