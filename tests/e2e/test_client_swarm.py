# SPDX-License-Identifier: Apache-2.0
"""
Docker Swarm on atoll-runtime: one node that manages itself, in a World without any other network.
The service's tasks hang on an overlay network (vxlan) and are found by its names (dnsrr), and one
publishes its port in host mode: virtual addresses and the routing mesh need IPVS in the kernel,
which is dockerd's business and not the runtime's.
"""
import json

import pytest

from lib import clients
from lib.wait import until

IMAGE = "busybox:latest"


@pytest.fixture(scope="module")
def docker(cache, base, build, busybox_tar):
    with clients.World(cache, base, "swarm") as w:
        c = clients.docker(w, build, busybox_tar)
        c("tag", IMAGE, "busybox:next")
        c("swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1:2377")
        yield c
        c("swarm", "leave", "--force")
        until(lambda: c("ps", "-aq") == "", "its tasks are gone")


def tasks(docker, name="web", running=True):
    """[(container's id, task)] of the service's tasks that run."""
    ids = docker("service", "ps", "-q", "--no-trunc", name).split()
    # One may be forgotten by the manager meanwhile: what is left of them is printed all the same.
    found = json.loads(docker.try_("inspect", *ids).out) if ids else []
    return [(t["Status"].get("ContainerStatus", {}).get("ContainerID"), t) for t in found
            if not running or t["Status"]["State"] == "running"]


def containers(docker, name="web"):
    return sorted(c for c, _ in tasks(docker, name))


def steady(docker, replicas, env=None, image=None):
    """Exactly so many tasks run, all as the service is now."""
    def so():
        now = [t["Spec"]["ContainerSpec"] for _, t in tasks(docker)]
        return len(now) == replicas and all(
            (env is None or env in t.get("Env", [])) and (image is None or t["Image"] == image)
            for t in now)
    until(so, f"{replicas} replicas run", 150)


@pytest.fixture(scope="module")
def web(docker):
    docker("network", "create", "-d", "overlay", "--attachable", "net")
    docker("service", "create", "--name", "web", "--replicas", "2", "--network", "net", "--detach",
           "--endpoint-mode", "dnsrr", "--no-resolve-image", "--env", "V=1", "--limit-memory", "32m", "--stop-grace-period", "1s",
           "--restart-delay", "100ms", "--update-delay", "0s", "--update-monitor", "500ms",
           "--rollback-monitor", "500ms", IMAGE, "sh", "-c",
           "echo $V > /index.html; exec httpd -f -p 80 -h /")
    steady(docker, 2, "V=1")
    yield "web"
    docker("service", "rm", "web")
    until(lambda: docker("ps", "-q") == "", "its containers end")
    until(lambda: docker.try_("network", "rm", "net").rc == 0, "its network goes")


def test_replicas_run_on_ours(docker, web):
    for c in containers(docker):
        i = docker.json("inspect", c)[0]
        assert (i["State"]["Status"], i["HostConfig"]["Runtime"]) == ("running", "atoll")
        assert docker.world.cgroup("memory", f"atoll/{c}", "memory.limit_in_bytes",
                                   "memory.max") == str(32 << 20)
        until(lambda: docker.try_("exec", c, "cat", "/index.html").out == "1\n", "its page")
    assert docker("service", "ls", "--format", "{{.Replicas}}") == "2/2\n"


def test_tasks_are_reached_over_the_overlay(docker, web):
    # A task runs before its server listens.
    until(lambda: docker.try_(
        "run", "--rm", "--network", "net", IMAGE, "sh", "-c",
        "nslookup web | grep -c '^Address.*10\\.'; wget -qO- http://web/").out == "2\n1\n",
        "both by the service's name, and a page", 120)
    docker("service", "create", "--name", "out", "--publish", "mode=host,published=8088,target=80",
           "--no-resolve-image", "--detach", IMAGE, "sh", "-c",
           "echo out > /index.html; exec httpd -f -p 80 -h /")
    try:
        until(lambda: docker.world.try_("/bin/busybox", "wget", "-qO-", "http://127.0.0.1:8088/"
                                        ).out == "out\n", "its published port")
    finally:
        docker("service", "rm", "out")


def test_killed_replicas_come_back(docker, web):
    before = containers(docker)
    docker.world("kill", "-9", docker("inspect", "-f", "{{.State.Pid}}", before[0]).strip())
    until(lambda: len(containers(docker)) == 2 and before[0] not in containers(docker),
          "another took its place", 90)
    assert before[1] in containers(docker)
    failed = [t for c, t in tasks(docker, running=False) if c == before[0]]
    assert failed[0]["Status"]["ContainerStatus"]["ExitCode"] == 137


def test_rolling_update_and_rollback(docker, web):
    before = containers(docker)
    docker("service", "update", "--env-add", "V=2", "--env-rm", "V=1", "--image", "busybox:next",
           "--no-resolve-image", "--update-parallelism", "1", "--update-order", "start-first",
           "--detach", web)
    steady(docker, 2, "V=2", "busybox:next")
    until(lambda: docker.json("service", "inspect", web)[0]["UpdateStatus"]["State"] == "completed",
          "the update is complete")
    after = containers(docker)
    assert not set(before) & set(after)
    until(lambda: {docker.try_("exec", c, "cat", "/index.html").out for c in after} == {"2\n"},
          "their pages")
    docker("service", "rollback", "--detach", web)
    steady(docker, 2, "V=1", IMAGE)
    until(lambda: docker.json("service", "inspect", web)[0]["UpdateStatus"]["State"] ==
          "rollback_completed", "it is rolled back")


def test_scaling(docker, web):
    docker("service", "scale", "--detach", "web=4")
    steady(docker, 4)
    assert len(set(containers(docker))) == 4
    docker("service", "scale", "--detach", "web=2")
    steady(docker, 2)
    until(lambda: len(docker("ps", "-q").split()) == 2, "the others have ended")


def test_a_bad_update_is_paused(docker, web):
    before = containers(docker)
    docker("service", "update", "--args", "no-such-command", "--update-parallelism", "1",
           "--update-failure-action", "pause", "--update-delay", "5s", "--detach", web)
    until(lambda: docker.json("service", "inspect", web)[0].get("UpdateStatus", {}).get("State") ==
          "paused", "it is paused", 90)
    errors = [t["Status"].get("Err", "") for _, t in tasks(docker, running=False)]
    assert any("executable file not found in $PATH" in e for e in errors), errors
    assert set(before) & set(containers(docker)), "one of two stays"
    docker("service", "rollback", "--detach", web)
    steady(docker, 2)


def test_secrets_and_configs(docker):
    docker("secret", "create", "word", "-", input="hush")
    docker("config", "create", "conf", "-", input="loud")
    try:
        docker("service", "create", "--name", "keeper", "--secret", "source=word,mode=0400,uid=1000",
               "--config", "source=conf,target=/conf", "--no-resolve-image", "--detach",
               "--user", "1000", "--cap-drop", "CAP_CHOWN", IMAGE, "sleep", "1000")
        until(lambda: containers(docker, "keeper"), "it runs")
        c = containers(docker, "keeper")[0]
        assert docker("exec", c, "cat", "/run/secrets/word", "/conf") == "hushloud"
    finally:
        docker("service", "rm", "keeper")
        until(lambda: docker.try_("secret", "rm", "word").rc == 0, "the secret is free")
        docker("config", "rm", "conf")


def test_drained_nodes_hold_nothing(docker, web):
    node = docker("node", "ls", "-q").strip()
    docker("node", "update", "--availability", "drain", node)
    until(lambda: docker("ps", "-q") == "", "nothing runs")
    docker("node", "update", "--availability", "active", node)
    steady(docker, 2)
