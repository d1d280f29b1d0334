# SPDX-License-Identifier: Apache-2.0
"""dockerd with --userns-remap on atoll-runtime: every container in a user namespace."""
import os

import pytest

from lib import clients

IMAGE = "busybox:latest"
FIRST = 300000


@pytest.fixture(scope="module")
def docker(cache, base, build, busybox_tar):
    with clients.World(cache, base, "remap") as w:
        w("sh", "-c", "echo remap:x:990:990::/:/bin/false >> /etc/passwd; "
          f"echo remap:x:990: >> /etc/group; for f in subuid subgid; do "
          f"echo remap:{FIRST}:65536 >> /etc/$f; done")
        yield clients.docker(w, build, busybox_tar, "--userns-remap", "remap")


@pytest.fixture
def life(docker):
    docker("run", "-d", "--name", "life", "-m", "64m", "--pids-limit", "50", IMAGE, "sleep", "1000")
    yield "life"
    docker.try_("rm", "-f", "life")


def test_root_is_nobody_outside(docker, life):
    pid = docker("inspect", "-f", "{{.State.Pid}}", life).strip()
    assert docker.world("sh", "-c", f"grep Uid /proc/{pid}/status").split()[1] == str(FIRST)
    assert docker("exec", life, "cat", "/proc/self/uid_map").split() == ["0", str(FIRST), "65536"]
    assert docker("exec", life, "id", "-u") == "0\n"


def test_run_and_exec(docker, life):
    assert docker.try_("run", "--rm", IMAGE, "sh", "-c", "exit 7").rc == 7
    assert docker.try_("run", "--rm", IMAGE, "no-such").rc == 127
    assert docker("run", "--rm", "-u", "1000", IMAGE, "id", "-u") == "1000\n"
    assert docker("exec", "-u", "1000", life, "id", "-u") == "1000\n"
    with docker.terminal("run", "--rm", "-it", IMAGE, "sh", "-c", "tty; stat -c %u $(tty)") as t:
        t.expect("/dev/pts/0")
        t.expect("0")
        assert t.wait() == 0
    with docker.terminal("exec", "-it", life, "sh", "-c", "tty; exit 6") as t:
        t.expect("/dev/pts/")
        assert t.wait() == 6


def test_files_and_volumes(docker):
    host = docker.world.dir / "vol"
    host.mkdir()
    os.chown(host, FIRST, FIRST)
    docker("run", "--rm", "-v", f"{host}:/h", "-v", "named:/n", "--tmpfs", "/t", IMAGE, "sh", "-ec",
           "touch /h/f /n/f /t/f /root/f; stat -c %u /dev/null /proc/1 /sys/fs | sort -u")
    assert (host / "f").stat().st_uid == FIRST
    docker("volume", "rm", "named")


def test_limits_devices_and_pause(docker, life):
    id = docker.json("inspect", life)[0]["Id"]
    assert docker.world.cgroup("memory", f"atoll/{id}", "memory.limit_in_bytes",
                               "memory.max") == str(64 << 20)
    docker("exec", life, "sh", "-ec", "head -c1 /dev/urandom >/dev/null; echo > /dev/full || true")
    docker("pause", life)
    docker("unpause", life)
    docker("update", "-m", "80m", "--memory-swap", "160m", life)
    assert docker.json("stats", "--no-stream", "--format", "{{json .}}",
                       life)["MemUsage"].endswith("/ 80MiB")


def test_what_the_host_guards_stays_guarded(docker):
    out = docker("run", "--rm", "--cap-add", "SYS_ADMIN", IMAGE, "sh", "-c",
                 "mount -t tmpfs t /mnt && echo may; echo x 2>/dev/null > /proc/sysrq-trigger || "
                 "echo not; hostname other && echo named")
    assert out == "may\nnot\nnamed\n"
