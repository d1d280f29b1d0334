# SPDX-License-Identifier: Apache-2.0
"""
Containers without a mount namespace of their own: their mounts are the caller's, and go with them.
Also what is executed in containers that are entered by chroot. The "host" is a mount namespace that
the test made.
"""
import json
import os
import shutil
import subprocess
from itertools import count

import pytest

from lib import images

bundles = count()
ids = (f"atoll-hostmnt-{os.getpid()}-{n}" for n in count())


class Mounts:
    """A mount namespace, held open by a process in it; nothing propagates out of it."""

    def __init__(self):
        self.holder = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", "echo ready; exec sleep 1000"], stdout=subprocess.PIPE)
        self.holder.stdout.readline()

    def call(self, *argv):
        return subprocess.run(["nsenter", "-t", str(self.holder.pid), "-m", *map(str, argv)],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                              check=False)

    def good(self, *argv):
        r = self.call(*argv)
        assert r.returncode == 0, r
        return r.stdout

    def leave(self, *argv):
        """As good(), for what stays behind with our descriptors."""
        r = subprocess.run(["nsenter", "-t", str(self.holder.pid), "-m", *map(str, argv)],
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=60,
                           stderr=subprocess.DEVNULL, check=False)
        assert r.returncode == 0, r

    def points(self, marker):
        with open(f"/proc/{self.holder.pid}/mountinfo", encoding="utf-8") as f:
            return [l.split()[4] for l in f if marker in l.split()[4]]

    def close(self):
        self.holder.kill()
        self.holder.wait()
        self.holder.stdout.close()


@pytest.fixture
def host():
    m = Mounts()
    yield m
    m.close()


@pytest.fixture
def own(base):
    """A bundle with a root file system of its own, as mounts appear in it."""
    made = []

    def make(args, change=None, **process):
        n = next(bundles)
        d = base / f"own-{n}"
        rootfs = images.busybox_rootfs(base / f"own-rootfs-{n}")
        made.append(rootfs)

        def all_changes(s):
            s["linux"]["namespaces"] = [n for n in s["linux"]["namespaces"] if n["type"] != "mount"]
            s["linux"]["maskedPaths"] = s["linux"]["readonlyPaths"] = []
            if change:
                change(s)
        return images.bundle(d, rootfs, args, all_changes, **process), rootfs
    yield make
    for rootfs in made:
        shutil.rmtree(rootfs)


def test_it_runs_and_leaves_no_mount(runtime, own, host):
    b, rootfs = own(["/bin/sh", "-c", "readlink /proc/self/ns/mnt; ls /; cat /proc/1/comm; pwd"])
    out = host.good(*runtime.argv("run", "-b", b, next(ids))).splitlines()
    assert out[0] == host.good("readlink", "/proc/self/ns/mnt").strip()
    assert out[-2:] == ["sh", "/"] and "bin" in out and "own-0" not in out
    assert host.points(str(rootfs)) == []


def test_exec_and_delete(runtime, own, host):
    b, rootfs = own(["/bin/sleep", "1000"])
    i = next(ids)
    host.leave(*runtime.argv("run", "-d", "-b", b, i))
    try:
        assert f"{rootfs}/proc" in host.points(str(rootfs))
        assert host.good(*runtime.argv("exec", i, "cat", "/proc/1/comm")) == "sleep\n"
        assert host.call(*runtime.argv("exec", i, "ls", "-d", rootfs)).returncode == 1
    finally:
        host.good(*runtime.argv("delete", "-f", i))
    assert host.points(str(rootfs)) == []


def test_the_callers_own_mount_stays(runtime, own, host):
    b, rootfs = own(["/bin/true"])
    host.good("mount", "--bind", rootfs, rootfs)
    for _ in range(2):
        host.good(*runtime.argv("run", "-b", b, next(ids)))
        assert host.points(str(rootfs)) == [str(rootfs)]


def test_failures_leave_no_mount(runtime, own, host):
    def change(s):
        s["mounts"].append({"destination": "/x", "type": "no-such-type", "source": "x"})
    b, rootfs = own(["/bin/true"], change)
    i = next(ids)
    r = host.call(*runtime.argv("run", "-b", b, i))
    assert r.returncode and "no-such-type" in r.stderr, r
    assert host.points(str(rootfs)) == []
    b, rootfs = own(["/bin/no-such-program"])
    assert host.call(*runtime.argv("run", "-b", b, i)).returncode
    assert host.points(str(rootfs)) == []


def test_hooks_see_it(runtime, own, host, base):
    hook = base / "hook.sh"
    hook.write_text(f"#!/bin/sh\nls \"$1\"/proc/1/status > {base}/hook.out\n")
    hook.chmod(0o755)
    b, rootfs = own(["/bin/echo", "fine"])
    config = json.loads((b / "config.json").read_text())
    config["hooks"] = {"createRuntime": [{"path": str(hook), "args": ["hook", str(rootfs)]}]}
    (b / "config.json").write_text(json.dumps(config))
    assert host.good(*runtime.argv("run", "-b", b, next(ids))) == "fine\n"
    assert (base / "hook.out").read_text() == f"{rootfs}/proc/1/status\n"
    assert host.points(str(rootfs)) == []


@pytest.mark.parametrize("change,says", [
    (lambda s: s["linux"].update(maskedPaths=["/proc/kcore"]), "without a private MNT namespace"),
    (lambda s: s["linux"].update(readonlyPaths=["/proc/sys"]), "without a private MNT namespace"),
    (lambda s: s["linux"].update(uidMappings=[{"containerID": 0, "hostID": 1000, "size": 10}],
                                 gidMappings=[{"containerID": 0, "hostID": 1000, "size": 10}],
                                 namespaces=s["linux"]["namespaces"] + [{"type": "user"}]),
     "takes a mount namespace"),
    (lambda s: s["root"].update(path="/"), "the host's own root"),
])
def test_wrong(runtime, own, host, change, says):
    b, rootfs = own(["/bin/true"], change)
    r = host.call(*runtime.argv("run", "-b", b, next(ids)))
    assert r.returncode and says in r.stderr, r
    assert host.points(str(rootfs)) == []


@pytest.mark.parametrize("how", ["no-pivot", "joined"])
def test_exec_enters_the_containers_root(runtime, own, host, base, how):
    """Where a hook makes the root be mounted at its path, the namespace's own is another."""
    def change(s):
        s["hooks"] = {"createRuntime": [{"path": "/bin/true"}]}
        if how == "no-pivot":
            s["linux"]["namespaces"].append({"type": "mount"})
        else:
            s["linux"]["namespaces"].append({"type": "mount", "path": f"/proc/{other.holder.pid}/ns/mnt"})
    other = Mounts()
    i = next(ids)
    try:
        b, rootfs = own(["/bin/sleep", "1000"], change)
        host.leave(*runtime.argv("run", "-d", *(["--no-pivot"] if how == "no-pivot" else []), "-b", b, i))
        try:
            r = host.call(*runtime.argv("exec", i, "ls", "-d", str(base), "/bin/busybox"))
            assert r.returncode and r.stdout == "/bin/busybox\n", r
        finally:
            host.good(*runtime.argv("delete", "-f", i))
    finally:
        other.close()
