# SPDX-License-Identifier: Apache-2.0
"""
atoll-runtime under its real callers: Debian's podman (through conmon) and containerd (through its
shim), unpacked below the build tree and run from there, with directories of their own.
"""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lib import cgroups, mirror
from lib.wait import until

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "perf"))
import peers as packages  # noqa: E402


@pytest.fixture(scope="module")
def peers(cache):
    """The packages' root, and an environment in which its programs run."""
    done = cache / "peers" / ".complete"
    if not done.exists() and not mirror.reachable():
        pytest.skip("the Debian mirror cannot be reached")
    root = packages.unpacked(cache)
    env = {**os.environ, "PATH": f"{root}/usr/bin:{root}/usr/sbin:{os.environ['PATH']}",
           "LD_LIBRARY_PATH": f"{root}/usr/lib/x86_64-linux-gnu"}
    return root, env


class Client:
    def __init__(self, argv, env):
        self.base = [str(a) for a in argv]
        self.env = env

    def try_(self, *args, **kw):
        kw.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run([*self.base, *map(str, args)], env=self.env, capture_output=True,
                              text=True, timeout=120, check=False, **kw)

    def __call__(self, *args, **kw):
        p = self.try_(*args, **kw)
        assert p.returncode == 0, f"{p.args}: {p.returncode}\n{p.stdout}{p.stderr}"
        return p.stdout


# -- podman

FLAGS = ["--network", "none", "--no-healthcheck", "--pull", "never", "--cgroup-parent",
         "/atoll-podman",
         # Its defaults are above the hard limits where root may not raise them.
         "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]
IMAGE = "localhost/busybox:latest"


@pytest.fixture(scope="module")
def podman(peers, base, build, busybox_tar):
    root, env = peers
    d = base / "podman"
    d.mkdir()
    (d / "policy.json").write_text('{"default":[{"type":"insecureAcceptAnything"}]}')
    (d / "containers.conf").write_text(
        f'[engine]\ntmp_dir="{d}/tmp"\nstatic_dir="{d}/static"\nvolume_path="{d}/volumes"\n'
        f'conmon_path=["{root}/usr/bin/conmon"]\nevents_logger="file"\n'
        f'cgroup_manager="cgroupfs"\nruntime="atoll"\n'
        f'[engine.runtimes]\natoll=["{build}/atoll-runtime"]\n')
    # No `run --rm` in these tests: this podman waits 20 s when its own clean-up is faster than it.
    p = Client([root / "usr/bin/podman", "--root", d / "root", "--runroot", d / "run",
                "--storage-driver", "overlay"], {**env, "CONTAINERS_CONF": d / "containers.conf"})
    p("load", "--signature-policy", d / "policy.json", "-i", busybox_tar)
    yield p
    p.try_("rm", "-f", "-a")
    for _, at in cgroups.hierarchies():  # conmon's own group, which podman leaves behind
        for sub in ("atoll-podman/conmon", "atoll-podman"):
            try:
                (at / sub).rmdir()
            except OSError:
                pass


def test_podman_runs(podman):
    assert podman("run", *FLAGS, IMAGE, "echo", "hello") == "hello\n"
    assert podman.try_("run", *FLAGS, IMAGE, "sh", "-c", "exit 7").returncode == 7
    assert podman("run", "-i", *FLAGS, IMAGE, "cat", stdin=None, input="in") == "in"
    assert "/dev/pts/0" in podman("run", "-t", *FLAGS, IMAGE, "tty")


def test_podman_knows_why_a_command_does_not_run(podman):
    assert podman.try_("run", *FLAGS, IMAGE, "no-such").returncode == 127
    assert podman.try_("run", *FLAGS, IMAGE, "/etc/passwd").returncode == 126


def test_podman_life(podman):
    podman("run", "-d", "--name", "life", *FLAGS, "-m", "64m", "--pids-limit", "50", IMAGE,
           "sleep", "1000")
    try:
        assert podman("exec", "life", "hostname").strip()
        assert podman.try_("exec", "life", "sh", "-c", "exit 9").returncode == 9
        assert podman.try_("exec", "life", "no-such").returncode == 127
        podman("pause", "life")
        assert json.loads(podman("inspect", "life"))[0]["State"]["Status"] == "paused"
        podman("unpause", "life")
        stats = json.loads(podman("stats", "--no-stream", "--format", "json", "life"))[0]
        assert "67.11MB" in stats["mem_usage"]
        assert "sleep 1000" in podman("top", "life")
        podman("update", "--cpus", "0.5", "life")
        podman("kill", "--signal", "KILL", "life")
        until(lambda: json.loads(podman("inspect", "life"))[0]["State"]["Status"] != "running",
              "ended")
        podman("start", "life")
        podman("stop", "-t", "1", "life")
    finally:
        podman("rm", "-f", "life")
    for at in cgroups.there("atoll-podman"):
        assert not list((at / "atoll-podman").glob("libpod-*"))


# -- containerd

@pytest.fixture(scope="module")
def ctr(peers, base, busybox_tar):
    root, env = peers
    d = base / "c"
    d.mkdir()
    sock = d / "sock"
    (d / "config.toml").write_text(
        f'version = 2\nroot = "{d}/root"\nstate = "{d}/state"\n'
        f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        f'[grpc]\naddress = "{sock}"\n[ttrpc]\naddress = "{sock}.ttrpc"\n')
    with open(d / "log", "wb") as log:
        daemon = subprocess.Popen([root / "usr/bin/containerd", "--config", d / "config.toml"],
                                  env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        c = Client([root / "usr/bin/ctr", "--address", sock], env)
        until(lambda: sock.exists() and c.try_("version").returncode == 0, "containerd answers")
        c("image", "import", busybox_tar)
        c.image = c("image", "ls", "-q").split()[0]
        yield c
    finally:
        daemon.terminate()
        daemon.wait(60)


@pytest.fixture
def ours(build, base):
    return ["--runtime", "io.containerd.runc.v2", "--runc-binary", str(build / "atoll-runtime"),
            "--runc-root", str(base / "c-runtime")]


def test_containerd_runs(ctr, ours):
    assert ctr("run", "--rm", *ours, ctr.image, "atoll-ctr-1", "echo", "hello") == "hello\n"
    assert ctr.try_("run", "--rm", *ours, ctr.image, "atoll-ctr-2", "sh", "-c",
                    "exit 7").returncode == 7
    p = ctr.try_("run", "--rm", *ours, ctr.image, "atoll-ctr-3", "no-such")
    assert p.returncode != 0 and "executable file not found in $PATH" in p.stderr
    ctr.try_("container", "delete", "atoll-ctr-3")


def test_containerd_life(ctr, ours):
    name = "atoll-ctr-4"

    def status():
        rows = [l.split() for l in ctr("task", "ls").splitlines()]
        return next((r[2] for r in rows if r[0] == name), None)
    ctr("run", "-d", *ours, "--memory-limit", str(64 << 20), ctr.image, name, "sleep", "1000")
    try:
        assert status() == "RUNNING"
        p = ctr.try_("task", "exec", "--exec-id", "e1", name, "sh", "-c", "echo in; exit 5")
        assert (p.returncode, p.stdout) == (5, "in\n"), p.stderr
        assert len(ctr("task", "ps", name).splitlines()) == 2
        ctr("task", "pause", name)
        assert status() == "PAUSED"
        ctr("task", "resume", name)
        assert str(64 << 20) in ctr("task", "metrics", name)
        ctr("task", "kill", "-s", "KILL", name)
        until(lambda: status() == "STOPPED", "stopped")
    finally:
        ctr.try_("task", "kill", "-s", "KILL", name)
        ctr.try_("task", "delete", "--force", name)
        ctr.try_("container", "delete", name)
    assert cgroups.there(f"default/{name}") == []
