# SPDX-License-Identifier: Apache-2.0
"""
What was acknowledged is on disk before it is acknowledged: seen in the order of the system calls,
since nobody cuts the power here. And what a reboot leaves: records without anything behind them.
"""
import os
import re
import shutil
import signal
import subprocess

import pytest
from lib import wait


@pytest.fixture
def calls(base):
    """Runs a command under strace: its system calls, in order, of all its processes."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")

    def run(atoll, *args):
        out = base / "strace"
        p = subprocess.run(["strace", "-f", "-y", "-o", out, "-e",
                            "trace=fsync,fdatasync,write,pwrite64,sendmsg,sendto", *atoll.argv(*args)],
                           capture_output=True, stdin=subprocess.DEVNULL, timeout=120,
                           env=atoll.environment({"ASAN_OPTIONS": "detect_leaks=0"}))
        assert p.returncode == 0, p.stderr.decode()
        return out.read_text(errors="replace").splitlines(), p.stdout.decode()

    return run


def last_index(lines, pattern):
    found = [i for i, l in enumerate(lines) if re.search(pattern, l)]
    return found[-1] if found else -1


def first_index(lines, pattern):
    found = [i for i, l in enumerate(lines) if re.search(pattern, l)]
    return found[0] if found else -1


@pytest.mark.parametrize("what", ["create", "volume", "rename", "rm", "tag"])
def test_synced_before_it_is_told(atoll, busybox, calls, what):
    if what == "create":
        lines, out = calls(atoll, "create", "--name", "made", busybox, "true")
        told = first_index(lines, r'write\(1[<,].*"' + out[:12])
    elif what == "volume":
        lines, out = calls(atoll, "volume", "create", "made")
        told = first_index(lines, r'write\(1[<,].*"made')
    elif what == "rename":
        atoll("create", "--name", "before", busybox, "true")
        lines, out = calls(atoll, "rename", "before", "after")
        told = len(lines)
    elif what == "rm":
        atoll("create", "--name", "gone", busybox, "true")
        lines, out = calls(atoll, "rm", "gone")
        told = first_index(lines, r'write\(1[<,].*"gone')
    else:
        lines, out = calls(atoll, "tag", busybox, "another:tag")
        told = len(lines)
    written = last_index(lines[:told], r"pwrite64\(\d+<.*atoll\.db-wal>")
    synced = last_index(lines[:told], r"fdatasync\(\d+<.*atoll\.db-wal>|fsync\(\d+<.*atoll\.db-wal>")
    atoll.try_("rm", "made", "after")
    atoll.try_("volume", "rm", "made")
    assert told > 0 and written >= 0, "\n".join(lines[-40:])
    if what == "tag":  # the event, a commit of its own, tells nobody anything that matters
        written = first_index(lines, r"pwrite64\(\d+<.*atoll\.db-wal>")
    assert synced > written, "acknowledged before it was on disk:\n" + "\n".join(lines[-40:])


def test_foreground_run_syncs_nothing(atoll, busybox, calls):
    # But for the first write after the log was emptied, which syncs the log's new header.
    syncing = []
    for _ in range(4):
        lines, _ = calls(atoll, "run", "--rm", busybox, "true")
        cli = lines[0].split()[0]
        syncing.append([l for l in lines if l.startswith(cli + " ") and "sync(" in l])
    assert [] in syncing, syncing


def test_after_a_reboot(atoll, busybox):
    """STATE is gone and nothing runs, but the records say otherwise."""
    for other in atoll("ps", "-aq").out.split():
        atoll("rm", "-f", other)
    id = atoll("run", "-d", "--name", "old", "--restart", "always", busybox, "sleep", "1000").line
    idle = atoll("run", "-d", "--name", "idle", busybox, "sleep", "1000").line
    atoll("run", "-d", "--rm", "--name", "brief", busybox, "sleep", "1000")
    pids = [atoll.inspect(n)["Atoll"]["ShimPid"] for n in ("old", "idle", "brief")]
    inits = [atoll.inspect(n)["State"]["Pid"] for n in ("old", "idle", "brief")]
    for pid in pids + inits:
        os.kill(pid, signal.SIGKILL)
    wait.until(lambda: all(not os.path.exists(f"/proc/{p}/exe") or not _runs(p)
                           for p in pids + inits), "their end")
    shutil.rmtree(atoll.state)
    r = atoll("ps", "-a")
    assert "Exited" in r.out and "Up" not in r.out and "healed" in r.err, str(r)
    assert "brief" not in r.out
    assert "healed" not in atoll("ps", "-a").err
    assert {i[:12] for i in atoll("ps", "-aq").out.split()} == {id[:12], idle[:12]}
    # What its policy wants running runs again; the other one on request.
    atoll("system", "repair")
    wait.until(lambda: atoll.inspect("old")["State"]["Running"], "the restart")
    assert not atoll.inspect("idle")["State"]["Running"]
    atoll("start", "idle")
    assert atoll.inspect("idle")["State"]["Running"]
    atoll("rm", "-f", "old", "idle")


def _runs(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def test_damaged_store_is_told(new_atoll, busybox_tar):
    atoll = new_atoll("damaged")
    atoll("load", "-i", busybox_tar)
    atoll("volume", "create", "v")
    db = atoll.root / "atoll.db"
    for f in (atoll.root / "atoll.db-wal", atoll.root / "atoll.db-shm"):
        f.unlink(missing_ok=True)
    db.write_bytes(b"not a database, but long enough to be one" * 200)
    r = atoll.fails("ps")
    assert "damaged" in r.err and "atoll.db" in r.err, str(r)
    db.unlink()
    assert atoll("ps", "-aq").out == ""
    shutil.rmtree(atoll.root / "volumes/v")


def test_newer_store_is_refused(new_atoll):
    sqlite3 = pytest.importorskip("sqlite3")
    atoll = new_atoll("newer")
    atoll("ps")
    with sqlite3.connect(atoll.root / "atoll.db") as db:
        db.execute("PRAGMA user_version=4711")
    r = atoll.fails("ps")
    assert "newer" in r.err and "4711" in r.err


@pytest.mark.parametrize("verb", ["ps", "repair", "start", "rm"])
def test_shim_killed_before_its_first_word(atoll, busybox, verb):
    """The record of a foreground run is written late: until then only the run directory tells."""
    p = atoll.popen("run", "--name", "quick", busybox, "sleep", "1000")
    runs = atoll.state / "workloads"

    def pids():
        words = [f.read_text().split() for f in runs.glob("*/pid")]
        return [w for w in words if "init" in w and "shim" in w]

    wait.until(pids, "the workload")
    words = pids()[0]
    shim, init = (int(words[words.index(k) + 1]) for k in ("shim", "init"))
    os.kill(shim, signal.SIGKILL)
    p.communicate(timeout=60)
    wait.until(lambda: not _runs(shim), "the shim's end")
    if verb == "ps":
        atoll("ps", "-a")
    elif verb == "repair":
        atoll("system", "repair")
    else:
        atoll(verb, "quick")
    assert not _runs(init)
    atoll.try_("rm", "-f", "quick")
