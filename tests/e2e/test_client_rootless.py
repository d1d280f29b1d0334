# SPDX-License-Identifier: Apache-2.0
"""atoll-runtime under podman of an ordinary user, which runs it as root of a user namespace."""
import os
import subprocess

import pytest

from lib import clients
from lib.rootless import User
from lib.wait import until

IMAGE = "localhost/busybox:latest"
FLAGS = ["--network", "none", "--pull", "never", "--no-healthcheck"]


@pytest.fixture(scope="module")
def user(base):
    return User(base)


@pytest.fixture(scope="module")
def podman(cache, base, build, busybox_tar, user):
    d = user.base
    (d / "containers.conf").write_text(
        f'[engine]\nevents_logger="file"\ncgroup_manager="cgroupfs"\nruntime="atoll"\n'
        f'[engine.runtimes]\natoll=["{build}/atoll-runtime"]\n'
        '[containers]\ndefault_ulimits=["nofile=1024:1024","nproc=1024:1024"]\n')
    (d / "policy.json").write_text('{"default":[{"type":"insecureAcceptAnything"}]}')
    with clients.World(cache, base, "rl") as w:
        env = {"HOME": d, "XDG_RUNTIME_DIR": user.run_dir, "USER": user.name,
               "CONTAINERS_CONF": d / "containers.conf", "TMPDIR": d}
        p = clients.Client(w, *user.prefix(last=["env", *(f"{k}={v}" for k, v in env.items())]),
                           "podman", "--root", d / "root", "--runroot", d / "podman-run",
                           "--storage-driver", "overlay")
        p("load", "--signature-policy", d / "policy.json", "-i", busybox_tar)
        yield p
        p.try_("rm", "-f", "-a", "-t", "0")
    # Files of ids that are mapped only in there.
    subprocess.run(["rm", "-rf", d / "root"], check=True)


def test_run(podman, user):
    out = podman("run", "--rm", *FLAGS, IMAGE, "sh", "-c", "id -u; cat /proc/self/uid_map; ls /dev/null")
    assert out.split()[:4] == ["0", "0", str(user.uid), "1"] and str(user.first) in out
    assert podman.try_("run", "--rm", *FLAGS, IMAGE, "sh", "-c", "exit 7").rc == 7
    assert podman.try_("run", "--rm", *FLAGS, IMAGE, "no-such").rc == 127
    assert podman.try_("run", "--rm", "-i", *FLAGS, IMAGE, "cat", input="in").out == "in"
    assert podman("run", "--rm", "-u", "1000:1000", *FLAGS, IMAGE, "id", "-u") == "1000\n"
    assert "atoll-runtime" in podman("info", "--format", "{{.Host.OCIRuntime.Version}}")


def test_terminal(podman):
    with podman.terminal("run", "--rm", "-t", *FLAGS, IMAGE, "tty") as t:
        assert t.wait() == 0 and b"/dev/pts/0" in t.text


def test_user_namespaces_of_its_own(podman, user):
    """--userns: a further one within podman's."""
    out = podman("run", "--rm", "--userns", "keep-id", *FLAGS, IMAGE, "id", "-u")
    assert out == f"{user.uid}\n"


def test_shared_namespaces(podman):
    """The host's network and processes: /sys and /proc are not to be had as new mounts."""
    out = podman("run", "--rm", "--network", "host", "--pid", "host", "--pull", "never",
                 IMAGE, "sh", "-c", "readlink /proc/self/ns/pid; cat /proc/self/mountinfo")
    sys = [l.split() for l in out.splitlines()[1:] if l.split()[4].startswith("/sys")]
    assert sys and all("ro" in l[5].split(",") for l in sys), out


def test_life(podman):
    podman("run", "-d", "--name", "life", *FLAGS, IMAGE, "sleep", "1000")
    try:
        assert podman("exec", "life", "echo", "in") == "in\n"
        assert podman.try_("exec", "life", "sh", "-c", "exit 9").rc == 9
        assert podman.try_("exec", "life", "no-such").rc == 127
        assert "sleep 1000" in podman("top", "life")
        out = podman("run", "--rm", "--pid", "container:life", *FLAGS, IMAGE, "ps")
        assert "sleep 1000" in out, "a pid namespace is joined"
        podman("kill", "--signal", "KILL", "life")
        until(lambda: podman.json("inspect", "life")[0]["State"]["Status"] != "running", "ended")
        podman("start", "life")
        podman("stop", "-t", "0", "life")
    finally:
        podman("rm", "-f", "-t", "0", "life")


def test_volumes_are_the_users(podman, user):
    d = user.base / "volume"
    d.mkdir()
    os.chown(d, user.uid, user.uid)
    podman("run", "--rm", "-v", f"{d}:/mnt", *FLAGS, IMAGE, "sh", "-c",
           "touch /mnt/a /mnt/b; chown 1000 /mnt/b")
    assert (d / "a").stat().st_uid == user.uid
    assert (d / "b").stat().st_uid == user.first + 999
