# SPDX-License-Identifier: Apache-2.0
"""
Images in bad weather: many at once, killed at any moment, on a full disk, on one that cannot be
written. What is visible is whole; what is not whole is not visible and does not stay.
"""
import os
import random
import signal
import subprocess
import time

import pytest

from lib import mirror, wait
from lib.images import docker_archive, entry, layer
from lib.run import Atoll

PARALLEL = 32


def big_layer(n=400, size=20000, seed=1):
    rnd = random.Random(seed)
    return layer((entry(f"d{i % 10}/f{i}"), rnd.randbytes(size)) for i in range(n))


@pytest.fixture(scope="module")
def big(base):
    layers = [big_layer(), big_layer(50, 5000, 2)]
    return docker_archive(base / "big.tar", layers, ["big:1"])


def whole(atoll, name="big:1"):
    """The image is there with all its files."""
    dirs = atoll("image", "inspect", name).json[0]["GraphDriver"]["Data"]["Layers"]
    for d, files, size in zip(dirs, (400, 50), (20000, 5000)):
        found = [os.path.join(p, f) for p, _, fs in os.walk(d) for f in fs]
        assert len(found) == files and all(os.stat(f).st_size == size for f in found)


def nothing_left(atoll):
    """After a prune there are only the bytes that records name: here none."""
    atoll("image", "prune", "-a", "-f")
    for d in ("layers", "blobs/sha256", "tmp"):
        assert os.listdir(atoll.root / d) == [], d


def test_many_loads_of_one_image(new_atoll, big):
    """All succeed, one of them does the work; the layers are there once."""
    atoll = new_atoll("many")
    loads = [atoll.popen("load", "-q", "-i", big) for _ in range(PARALLEL)]
    for p in loads:
        out, err = p.communicate(timeout=240)
        assert p.returncode == 0, err.decode()
    whole(atoll)
    assert len(os.listdir(atoll.root / "layers")) == 2
    nothing_left(atoll)


def test_loads_and_removals_race(new_atoll, big):
    atoll = new_atoll("race")
    atoll("images")
    for _ in range(3):
        jobs = [atoll.popen(*args) for args in [("load", "-q", "-i", big), ("rmi", "-f", "big:1"),
                                                ("image", "prune", "-a", "-f")] * 4]
        for p in jobs:
            _, err = p.communicate(timeout=240)
            text = err.decode()
            assert p.returncode == 0 or "no such image" in text or "is gone" in text, text
    atoll("load", "-i", big)
    whole(atoll)
    nothing_left(atoll)


def children(pid):
    out = []
    for d in os.listdir("/proc"):
        if d.isdigit():
            try:
                with open(f"/proc/{d}/stat") as f:
                    if int(f.read().rpartition(")")[2].split()[1]) == pid:
                        out += [int(d), *children(int(d))]
            except OSError:
                pass
    return out


@pytest.mark.parametrize("whom", ["atoll", "worker"])
def test_killed_at_any_moment(new_atoll, big, whom):
    """SIGKILL after growing delays: the image is there and whole, or it is not there."""
    atoll = new_atoll(f"kill-{whom}")
    atoll("images")
    delays = [i * 0.004 for i in range(15)]
    for delay in delays:
        p = atoll.popen("load", "-q", "-i", big)
        end = time.monotonic() + delay
        while time.monotonic() < end and p.poll() is None:
            pass
        victims = [p.pid] if whom == "atoll" else children(p.pid)
        for v in victims:
            try:
                os.kill(v, signal.SIGKILL)
            except ProcessLookupError:
                pass
        _, err = p.communicate(timeout=120)
        if atoll.try_("image", "inspect", "big:1").rc == 0:
            whole(atoll)
            atoll("rmi", "big:1")
        elif whom == "worker" and victims:
            assert p.returncode != 0 and err
    atoll("load", "-q", "-i", big)
    whole(atoll)
    nothing_left(atoll)


@pytest.fixture
def small_disk(base):
    """A file system of 4 MiB, gone at the end."""
    d = base / "disk"
    d.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", d], check=True)
    yield d
    wait.until(lambda: subprocess.run(["umount", d], check=False).returncode == 0, "its end")


def test_a_full_disk(build, big, base, small_disk):
    atoll = Atoll(build, small_disk)
    small = docker_archive(base / "small.tar", [layer([(entry("f"), b"x")])], ["small:1"])
    for _ in range(3):
        r = atoll.fails("load", "-i", big, rc=1)
        assert "No space left on device" in r.err
        assert os.listdir(atoll.root / "layers") == []
    atoll("load", "-i", small)
    assert atoll("images", "-q").out.count("\n") == 1
    atoll.fails("load", "-i", big, rc=1)
    atoll("rmi", "small:1")
    nothing_left(atoll)


def test_a_read_only_state_directory(build, base, big, new_atoll):
    atoll = new_atoll("ro")
    atoll("load", "-i", big)
    subprocess.run(["mount", "--bind", atoll.root, atoll.root], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", atoll.root], check=True)
        assert "big" in atoll("images").out
        for args in (["load", "-i", big], ["rmi", "big:1"], ["tag", "big:1", "x:1"]):
            r = atoll.fails(*args, rc=1)
            assert r.err.startswith("atoll: ") and r.err.count("\n") == 1
    finally:
        subprocess.run(["umount", atoll.root], check=True)
    whole(atoll)


@pytest.mark.timeout(1200)  # a minute, beside nobody
def test_the_same_day_gives_the_same_image(atoll, new_atoll):
    """Two bootstraps, with packages, in two places: one digest."""
    if not mirror.reachable():
        pytest.skip("the Debian mirror cannot be reached")
    env = {"SOURCE_DATE_EPOCH": "1700000000"}
    args = ("image", "bootstrap", "-q", "--variant", "essential", "--include", "busybox-static",
            "debian:bookworm")
    a = atoll(*args, env=env, timeout=600).line
    b = new_atoll("boot2")(*args, env=env, timeout=600).line
    assert a == b and a.startswith("sha256:")
    assert "debian:bookworm-busybox-static" in atoll("images", "--format",
                                                     "{{.Repository}}:{{.Tag}}").out
    out = atoll("run", "--rm", "--network", "none", "debian:bookworm-busybox-static", "sh", "-c",
                "busybox true && echo $PATH; ls /etc/hostname /var/lib/apt/lists 2>/dev/null").out
    assert out.startswith("/usr/local/sbin:")


@pytest.mark.parametrize("base_name, says", [
    ("ubuntu:noble", "only debian"), ("debian:no such", "no suite"), ("debian:-x", "no suite"),
    ("debian:bookworm; rm", "no suite")])
def test_bootstrap_refuses(atoll, base_name, says):
    atoll.fails("image", "bootstrap", base_name, says=says)


def test_bootstrap_refuses_packages(atoll):
    for p in ("--x", "a b;c", "$(x)"):
        atoll.fails("image", "bootstrap", f"--include={p}", "debian:bookworm", says="no name of a")
