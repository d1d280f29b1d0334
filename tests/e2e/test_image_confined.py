# SPDX-License-Identifier: Apache-2.0
"""
The processes that read an archive: what they can reach while they do. They are looked at from
outside while they wait for the rest of an archive on a pipe.
"""
import os
import time

import pytest

from lib.images import entry, layer

NAMESPACES = ("user", "mnt", "net", "pid", "ipc", "uts")
# CHOWN, DAC_OVERRIDE, FOWNER, FSETID, SETFCAP
CAPS = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 31


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [int(p) for p in f.read().split()]


def status(pid):
    with open(f"/proc/{pid}/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


@pytest.fixture(scope="module")
def confined(atoll):
    """The processes behind the walls, while they wait."""
    data = layer([(entry("f"), b"x" * 3000)])
    p = atoll.popen("import", "-", "waits:1", stdin=-1)
    p.stdin.write(data[:1000])
    p.stdin.flush()
    end = time.monotonic() + 60
    inside = []
    while time.monotonic() < end:
        try:
            inside = [i for worker in children(p.pid) for half in children(worker)
                      for i in (half, *children(half))]
            if len(inside) == 2 and all(status(i)["Seccomp"] == "2" for i in inside):
                break
        except (FileNotFoundError, ProcessLookupError, KeyError):
            pass
        time.sleep(0.01)
    else:
        raise AssertionError("the unpacker never stood behind its walls")
    yield inside
    p.stdin.write(data[1000:])
    p.stdin.close()
    assert p.wait(60) == 0, p.stderr.read()
    p.stdout.close()
    p.stderr.close()


def test_namespaces_are_their_own(confined):
    for pid in confined:
        for ns in NAMESPACES:
            assert os.readlink(f"/proc/{pid}/ns/{ns}") != os.readlink(f"/proc/self/ns/{ns}"), ns


def test_few_capabilities_and_no_new_ones(confined):
    for pid in confined:
        s = status(pid)
        for field in ("CapEff", "CapPrm", "CapBnd"):
            assert int(s[field], 16) == CAPS, field
        assert int(s["CapInh"], 16) == int(s["CapAmb"], 16) == 0
        assert s["NoNewPrivs"] == "1" and s["Seccomp"] == "2"


def test_the_root_is_empty(confined):
    for pid in confined:
        assert os.listdir(f"/proc/{pid}/root") == []
        assert os.listdir(f"/proc/{pid}/cwd") == []


def test_only_the_descriptors_it_needs(confined, atoll):
    unpacker, reader = confined
    targets = {pid: sorted(os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd"))
               for pid in confined}
    # The unpacker: three sockets and its directory. The reader: a socket, the archive, the blob.
    assert sum(t.startswith("socket:") for t in targets[unpacker]) == 3
    assert not any(t.startswith("pipe:") for t in targets[unpacker])
    assert sorted(t.split(":")[0] for t in targets[reader] if ":" in t) == ["pipe", "socket"]
    # Paths of a detached mount begin at its root: there is no other way out of it.
    assert {t for t in targets[unpacker] if ":" not in t} == {"/", "/f"}
    blob, = (t for t in targets[reader] if ":" not in t)
    assert blob.startswith(f"{atoll.root}/tmp/image-")


def test_not_for_users(build):
    import subprocess
    r = subprocess.run([build / "atoll-image"], stdin=subprocess.DEVNULL, capture_output=True,
                       text=True, close_fds=True, check=False)
    assert r.returncode == 2 and "no commands of its own" in r.stderr
