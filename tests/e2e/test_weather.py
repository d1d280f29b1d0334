# SPDX-License-Identifier: Apache-2.0
"""Bad surroundings and bad workloads: a full or read-only disk, floods, bombs, the deaf."""
import contextlib
import os
import signal
import subprocess

import pytest
from lib import wait
from lib.run import Atoll


@contextlib.contextmanager
def small_disk(path, size):
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], check=True)
    try:
        yield path
    finally:
        # A shim that has said its last word may take a moment to end.
        wait.until(lambda: subprocess.run(["umount", path], capture_output=True).returncode == 0,
                   "nobody uses the disk any more")


def test_disk_too_small_for_an_image(build, base, busybox_tar):
    with small_disk(base / "tiny", "1500k") as disk:
        atoll = Atoll(build, disk)
        r = atoll.fails("load", "-i", busybox_tar)
        assert "No space left" in r.err or "disk" in r.err, str(r)
        assert atoll("images", "-q").out == ""
        # With room again it works: what the failure left is not in the way.
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        atoll("load", "-i", busybox_tar)
        assert atoll("run", "--rm", "busybox", "echo", "room").line == "room"


def test_workload_fills_its_disk(build, base, busybox_tar):
    with small_disk(base / "small", "24m") as disk:
        atoll = Atoll(build, disk)
        atoll("load", "-i", busybox_tar)
        r = atoll.try_("run", "--name", "fills", "busybox", "sh", "-c",
                       "dd if=/dev/zero of=/full bs=64k; echo ended $?")
        # The store lies on the same full disk: the run may end with our complaint, not silently.
        assert "No space left" in r.out + r.err, str(r)
        atoll.try_("rm", "-f", "fills")
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        if atoll("ps", "-aq").out:
            atoll("rm", "-f", "fills")
        assert atoll("run", "--rm", "busybox", "echo", "on").line == "on"


def test_read_only_root(build, base, busybox_tar):
    with small_disk(base / "ro", "64m") as disk:
        atoll = Atoll(build, disk)
        atoll("load", "-i", busybox_tar)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        for args in (("run", "--rm", "busybox", "true"), ("create", "busybox"),
                     ("load", "-i", busybox_tar), ("volume", "create", "vol")):
            r = atoll.fails(*args)
            assert "ead-only" in r.err or "cannot be written" in r.err, str(r)
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        assert atoll("run", "--rm", "busybox", "echo", "rw").line == "rw"


def test_log_flood_is_bounded(atoll, busybox):
    atoll("run", "--name", "flood", "--log-opt", "max-size=1m", "--log-opt", "max-file=2", "-d",
          busybox, "sh", "-c", "yes flood | head -n 300000; echo last")
    atoll("wait", "flood", timeout=240)
    id = atoll.inspect("flood")["Id"]
    logs = list((atoll.root / "workloads" / id).glob("workload.log*"))
    assert 1 <= len(logs) <= 2
    # A line is written whole, so a file may pass its bound by one.
    assert all(p.stat().st_size < 1_100_000 for p in logs)
    assert atoll("logs", "--tail", "1", "flood").line == "last"
    atoll("rm", "flood")


def test_fork_bomb_is_bounded(atoll, busybox):
    atoll("run", "-d", "--name", "bomb", "--pids-limit", "40", busybox, "sh", "-c",
          "b() { b | b & }; b & exec sleep 1000")
    wait.until(lambda: "can't fork" in atoll("logs", "bomb").err, "the bound")
    # The host lives, and so does the workload's first process.
    assert "sleep 1000" in atoll("top", "bomb").out
    atoll("rm", "-f", "bomb")
    assert "bomb" not in atoll("ps", "-a").out


def test_deaf_workload_is_killed_in_time(atoll, busybox):
    atoll("run", "-d", "--name", "deaf", busybox, "sh", "-c",
          "trap '' TERM; echo deaf; while :; do sleep 1; done")
    wait.until(lambda: "deaf" in atoll("logs", "deaf").out, "the trap")
    atoll("stop", "-t", "1", "deaf")
    assert atoll.inspect("deaf")["State"]["ExitCode"] == 137
    atoll("rm", "deaf")


def shim_of(atoll, id):
    """The pid of the workload's shim: it has the workload's directories open."""
    for p in os.listdir("/proc"):
        if not p.isdigit():
            continue
        try:
            with open(f"/proc/{p}/comm") as f:
                if not f.read().startswith("atoll-shim"):
                    continue
            descriptors = os.listdir(f"/proc/{p}/fd")
        except OSError:
            continue
        if any(id in link_of(f"/proc/{p}/fd/{n}") for n in descriptors):
            return int(p)
    return None


def link_of(path):
    """Of a descriptor, which may be closed meanwhile."""
    try:
        return os.readlink(path)
    except OSError:
        return ""


def ended(pid):
    """Gone, or waiting for its parent: a process that is only on its way out still counts."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("verb", ["ps", "repair", "start", "rm"])
def test_killed_shim_is_healed_by_every_verb(atoll, busybox, verb):
    name = f"orphan-{verb}"
    id = atoll("run", "-d", "--name", name, busybox, "sleep", "1000").line
    shim = shim_of(atoll, id)
    assert shim, "no shim found"
    os.kill(shim, signal.SIGKILL)
    wait.until(lambda: ended(shim), "the shim's end")
    if verb == "repair":
        atoll("system", "repair")
    elif verb == "start":
        atoll("start", name)
        assert atoll.inspect(name)["State"]["Running"] is True
    elif verb == "ps":
        assert name not in atoll("ps").out
        assert "Exited" in atoll("ps", "-a", "--filter", f"name={name}").out
    atoll("rm", "-f", name)
    atoll.fails("inspect", name)


def test_killed_client_leaves_the_workload_running(atoll, busybox):
    p = atoll.popen("run", "--name", "alone", busybox, "sh", "-c", "echo up; sleep 1000")
    assert p.stdout.readline() == b"up\n"
    p.kill()
    p.wait()  # not communicate(): the workload lives on, and holds the pipes
    p.stdout.close()
    p.stderr.close()
    assert atoll.inspect("alone")["State"]["Running"] is True
    assert atoll("exec", "alone", "echo", "there").line == "there"
    atoll("rm", "-f", "alone")
