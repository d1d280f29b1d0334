# SPDX-License-Identifier: Apache-2.0
"""docker's and containerd's containers on Atoll's own kernel: atoll-sandbox as their runtime."""
import json
import os
from pathlib import Path

import pytest

from lib import clients, sentry
from lib.wait import until

IMAGE = "busybox:latest"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
LIFE = "trap 'echo ended; exit 3' TERM; trap 'exit 5' USR1; echo up; while :; do sleep 0.05; done"
SHOWS = "cd /sys/fs/cgroup; cat memory.max pids.max cpu.max"

pytestmark = [pytest.mark.timeout(300),
              pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")]


@pytest.fixture(scope="module")
def runtime(base, build):
    sentry.need(sentry.Sentries(build, base / "sentries"))
    name = base / "atoll-sandbox"
    name.symlink_to(build / "atoll-runtime")
    return name


@pytest.fixture(scope="module")
def docker(cache, base, build, runtime, busybox_tar):
    with clients.World(cache, base, "docker-sandbox") as w:
        yield clients.docker(w, build, busybox_tar, "--add-runtime", f"atoll-sandbox={runtime}")


@pytest.fixture(scope="module")
def ctr(docker, runtime):
    """The containerd that dockerd has started."""
    c = clients.Client(docker.world, "ctr", "--address", docker.world.dir / "exec/containerd/containerd.sock")
    d = docker.world.dir / "busybox.tar"
    docker("save", "-o", d, IMAGE)
    c("image", "import", d)
    c.image = c("image", "ls", "-q").split()[0]
    c.ours = ["--runtime", "io.containerd.runc.v2", "--runc-binary", runtime]
    return c


RUN = ["--runtime", "atoll-sandbox", "--network", "none"]


@pytest.fixture
def life(docker):
    docker("run", "-d", "--name", "life", *RUN, "-m", "64m", "--memory-swap", "64m", "--pids-limit", "50",
           "--cpus", "0.5", IMAGE, "sh", "-c", LIFE)
    until(lambda: docker("logs", "life") == "up\n", "its traps are set")
    yield "life"
    docker.try_("rm", "-f", "life")


def state(docker, name):
    return docker.json("inspect", name)[0]["State"]


def test_docker_run(docker):
    d = docker.try_("run", "--rm", "-i", *RUN, "-e", "A=b", "-w", "/tmp", "-u", "1000:50", "--hostname",
                    "h", "--tmpfs", "/t", IMAGE, "sh", "-c",
                    f"cat {BOOT_ID}; cat; echo $A $(pwd) $(id -u):$(id -g) $(hostname); echo e >&2; exit 7",
                    input="in\n")
    boot, *lines = d.out.splitlines()
    assert (d.rc, lines, d.err) == (7, ["in", "b /tmp 1000:50 h"], "e\n"), str(d)
    assert boot != Path(BOOT_ID).read_text().strip()
    assert docker.try_("run", "--rm", *RUN, IMAGE, "no-such").rc == 127
    assert docker.try_("run", "--rm", *RUN, IMAGE, "/etc/passwd").rc == 126
    with docker.terminal("run", "--rm", "-it", *RUN, IMAGE, "sh") as t:
        t.resize(33, 99)
        t.write("until [ \"$(stty size)\" = '33 99' ]; do sleep 0.05; done; echo b=$(stty size)\n")
        t.expect("b=33 99")
        t.write("exit 4\n")
        assert t.wait() == 4


def test_docker_life(docker, runtime, life):
    assert docker("exec", "-e", "A=b", "-u", "1000", life, "sh", "-c", "echo $A $(id -u)") == "b 1000\n"
    assert docker.try_("exec", life, "sh", "-c", "exit 9").rc == 9
    assert docker.try_("exec", life, "no-such").rc in (126, 127)
    with docker.terminal("exec", "-it", life, "sh") as t:
        t.write("tty; exit 6\n")
        t.expect("/dev/pts/")
        assert t.wait() == 6
    docker("pause", life)
    assert state(docker, life)["Status"] == "paused"
    assert docker.try_("update", "-m", "80m", "--memory-swap", "80m", life).rc != 0
    docker("unpause", life)
    assert docker("exec", life, "sh", "-c", SHOWS).split() == [str(64 << 20), "50", "50000", "100000"]
    docker("update", "-m", "80m", "--memory-swap", "80m", "--pids-limit", "60", "--cpus", "0.7", life)
    assert docker("exec", life, "sh", "-c", SHOWS).split() == [str(80 << 20), "60", "70000", "100000"]
    s = docker.json("stats", "--no-stream", "--format", "{{json .}}", life)
    assert s["MemUsage"].endswith("/ 176MiB"), s  # dockerd reads the host's control group
    id = docker.json("inspect", life)[0]["Id"]
    w = docker.world
    figures = json.loads(w(runtime, "--root", w.dir / "exec/runtime-runc/moby", "events", "--stats", id))
    assert figures["data"]["memory"]["usage"]["limit"] == 80 << 20
    assert figures["data"]["pids"]["limit"] == 60 and 1 <= figures["data"]["pids"]["current"] <= 10
    docker("stop", "-t", "100", life)
    assert state(docker, life)["ExitCode"] == 3 and docker("logs", life) == "up\nended\n"
    docker("start", life)
    until(lambda: docker("logs", life) == "up\nended\nup\n", "its traps are set")
    docker("kill", "--signal", "USR1", life)
    docker("wait", life)
    assert state(docker, life)["ExitCode"] == 5


def test_docker_bridge(docker):
    """A bridge's network is made by dockerd's hook, where the broker is: published ports, and out."""
    docker("network", "create", "n")
    try:
        docker("run", "-d", "--name", "web", "--runtime", "atoll-sandbox", "--network", "n", "-p",
               "127.0.0.1:8080:80", IMAGE, "sh", "-c", "echo page > /index.html; httpd -f -p 80 -h /")
        until(lambda: docker.world.try_("/bin/busybox", "wget", "-qO-", "http://127.0.0.1:8080/"
                                        ).out == "page\n", "its published port")
        at = docker("inspect", "-f", "{{.NetworkSettings.Networks.n.IPAddress}}", "web").strip()
        assert docker("run", "--rm", "--runtime", "atoll-sandbox", "--network", "n", IMAGE, "wget", "-qO-",
                      f"http://{at}/") == "page\n"
        assert docker("run", "--rm", "--runtime", "atoll-sandbox", "--network", "container:web", IMAGE,
                      "wget", "-qO-", f"http://{at}/") == "page\n"
    finally:
        docker.try_("rm", "-f", "web")
        docker("network", "rm", "n")


def test_docker_volumes(docker):
    host = docker.world.dir / "vol"
    host.mkdir()
    (host / "f").write_text("from the host\n")
    out = docker("run", "--rm", *RUN, "-v", f"{host}:/h:ro", "-v", f"{host}:/m", IMAGE, "sh", "-c",
                 "cat /h/f; echo back > /m/g; touch /h/x 2>/dev/null || echo refused")
    assert out == "from the host\nrefused\n" and (host / "g").read_text() == "back\n"


def task(ctr, name):
    rows = [l.split() for l in ctr("task", "ls").splitlines()]
    return next((r[2] for r in rows if r[0] == name), None)


def test_containerd(ctr):
    assert ctr.try_("run", "--rm", *ctr.ours, ctr.image, "s0", "sh", "-c", "exit 7").rc == 7
    with ctr.terminal("run", "--rm", "-t", *ctr.ours, ctr.image, "s1", "sh") as t:
        t.write("cat /proc/sys/kernel/random/boot_id; tty; exit 4\n")
        t.expect("/dev/")
        assert t.wait() == 4
    ctr("run", "-d", *ctr.ours, "--memory-limit", 64 << 20, ctr.image, "s2", "sh", "-c", LIFE)
    try:
        line, rc = ctr.talk("task", "exec", "--exec-id", "e1", "s2", "sh", "-c",
                            f"cat {BOOT_ID}; read x; exit 5")
        assert rc == 5 and line not in ("", Path(BOOT_ID).read_text())
        ctr("task", "pause", "s2")
        assert task(ctr, "s2") == "PAUSED"
        ctr("task", "resume", "s2")
        assert str((64 + 32 + 64) << 20) in ctr("task", "metrics", "s2")  # the host's control group
        assert "e1" not in ctr("task", "ps", "s2")
        ctr("task", "kill", "-s", "KILL", "s2")
        until(lambda: task(ctr, "s2") == "STOPPED", "its end")
    finally:
        ctr.try_("task", "rm", "-f", "s2")
        ctr("container", "rm", "s2")


def test_nothing_stays(docker, ctr):
    assert docker("ps", "-aq") == "" and ctr("task", "ls", "-q") == ""
    w = docker.world
    assert w.states(w.dir / "exec/runtime-runc/moby") == w.states("/run/containerd/runc/default") == []
    until(lambda: not [d for g in w.groups for d in g.glob("*/*") if d.is_dir() and
                       ("atoll/" in str(d) or "default/" in str(d))], "its cgroups are gone")
