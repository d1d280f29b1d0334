# SPDX-License-Identifier: Apache-2.0
"""
atoll-vmm with kernels of a few instructions, which run wherever there is a /dev/kvm: its options,
its ends, its control socket, its jail.
"""
import errno
import os
import signal
import socket
import struct
import subprocess
import sys

import pytest

from lib import vmm, wait
from lib.vmm import Vmm

NOBODY = 65534

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def kvm(build, base):
    vmm.need(build, base, vmm.RESET)


@pytest.fixture
def run(kvm, build, base):
    """Start machines that are gone at the end of the test."""
    yield from vmm.starter(build, base)


@pytest.mark.parametrize("code", [vmm.RESET, vmm.OFF, vmm.TRIPLE_FAULT],
                         ids=["reset", "off", "triple-fault"])
def test_ends(run, code):
    assert run(code=code).ended() == (0, "")


def test_serial_only_when_asked(run, base):
    m = run(code=vmm.HELLO)
    assert m.ended() == (0, "")
    assert sorted(os.listdir(m.directory)) == ["c", "errors", "kernel"]
    assert run("--serial", base / "hello", code=vmm.HELLO).ended() == (0, "")
    assert (base / "hello").read_bytes() == b"Hi\n"


BAD = {
    "empty": b"",
    "cut": vmm.elf(vmm.RESET)[:4098],
    "cut-head": vmm.elf(vmm.RESET)[:40],
    "text": b"#!/bin/sh\n" * 1000,
    "other-architecture": vmm.elf(vmm.RESET, machine=183),
    "no-entry": vmm.elf(vmm.RESET, note=False),
    "entry-outside": vmm.elf(vmm.RESET, entry=0x900000),
    "too-large": vmm.elf(vmm.RESET, memory=1 << 30),
    "too-high": vmm.elf(vmm.RESET, at=0x80000000),
    "too-low": vmm.elf(vmm.RESET, at=0x1000),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_kernel(run, base, name):
    path = base / name
    path.write_bytes(BAD[name])
    status, said = run(kernel=path).ended()
    assert status == 1
    assert said.startswith("atoll-vmm: --kernel: ") and said.count("\n") == 1, said


def test_no_kernel(run, base):
    status, said = run(kernel=base / "nothing").ended()
    assert status == 1 and "No such file" in said and said.count("\n") == 1
    status, said = run(kernel=base).ended()
    assert status == 1 and said.count("\n") == 1
    status, said = run(kernel="fd:77").ended()
    assert status == 1 and "descriptor 77 is not open" in said


def test_no_kvm(run):
    status, said = run("--kvm", "/dev/null", code=vmm.RESET).ended()
    assert (status, said) == (1, "atoll-vmm: the --kvm file is no KVM device\n")


def test_usage(build):
    def words(*argv):
        return subprocess.run([build / "atoll-vmm", *argv], capture_output=True, text=True,
                              check=False, timeout=wait.DEADLINE_S)
    for argv in ([], ["--kernel"], ["--kernel", "k", "--cpus", "17"], ["--what"]):
        r = words(*argv)
        assert r.returncode == 2 and r.stderr.startswith("atoll-vmm: ") and not r.stdout
        assert r.stderr.count("\n") == 1
    assert "--kernel FILE" in words("--help").stdout
    assert words("--version").stdout.startswith("atoll-vmm ")


def test_quit_of_one_that_spins(run):
    m = run("--cpus", "2", code=vmm.SPIN)
    assert m.ask("info") == (0, (m.process.pid, 2, 64 << 20, 0))
    assert m.ask("quit") == (0, ())
    assert m.ended() == (0, "")


def test_pause_and_resume(run, base):
    path = base / "paused"
    m = run("--serial", path, code=vmm.WRITES)
    wait.until(lambda: path.exists() and path.stat().st_size, "output")
    for _ in range(20):
        assert m.ask("pause") == (0, ())
        before = path.stat().st_size
        assert m.ask("info")[1][3] == 1
        exits = m.ask("stats")[1][0]
        assert m.ask("pause") == (0, ())  # it is
        assert path.stat().st_size == before and m.ask("stats")[1][0] == exits
        assert m.ask("resume") == (0, ())
        wait.until(lambda: path.stat().st_size > before, "output")
    assert m.ask("resume") == (0, ())
    assert m.ask("info")[1][3] == 0
    m.ask("pause")
    assert m.ask("quit") == (0, ())
    assert m.ended() == (0, "")


def test_pause_of_a_halted_one(run):
    m = run("--cpus", "4", code=vmm.HALT)
    assert m.ask("pause") == (0, ())
    assert m.ask("resume") == (0, ())
    assert m.ask("balloon", 1 << 20) == (errno.ENODEV, ())
    assert m.ask("quit") == (0, ())
    assert m.ended() == (0, "")


@pytest.fixture
def disk(base):
    path = base / "disk"
    path.write_bytes(bytes(1 << 20))
    return path


def test_pause_waits_for_disks(run, disk):
    m = run("--disk", disk, "--disk", f"{disk},ro", code=vmm.SPIN)
    for round_ in range(3):
        with vmm.Stopped(m.thread(f"disk{round_ % 2}")) as stopped, m.connect() as s:
            s.sendall(struct.pack("<HHIQ", 1, vmm.TYPES["pause"], 0, 0))
            for _ in range(20):  # all else goes on
                assert m.ask("info")[1][3] == 0
                assert m.ask("stats")[0] == 0
            stopped.goes_on()
            assert vmm.answer(s, "pause") == (0, ())
        assert m.ask("info")[1][3] == 1
        assert m.ask("resume") == (0, ())
        assert m.ask("info")[1][3] == 0
    for _ in range(50):
        assert m.ask("pause") == m.ask("resume") == (0, ())
    assert m.ask("quit") == (0, ())
    assert m.ended() == (0, "")


def test_resume_of_a_pause_that_waits(run, disk):
    m = run("--disk", disk, code=vmm.SPIN)
    with vmm.Stopped(m.thread("disk0")) as stopped, m.connect() as s, m.connect() as t:
        for c, error in ((s, errno.ECANCELED), (t, 0)):
            c.sendall(struct.pack("<HHIQ", 1, vmm.TYPES["pause"], 0, 0))
            assert m.ask("info")[1][3] == 0
            if error:
                assert m.ask("resume") == (0, ())
            else:
                stopped.goes_on()
            assert vmm.answer(c, "pause") == (error, ())
    assert m.ask("info")[1][3] == 1
    assert m.ask("resume") == (0, ())
    assert m.ask("quit") == (0, ())
    assert m.ended() == (0, "")


def test_quit_while_a_disk_waits(run, disk):
    m = run("--disk", disk, code=vmm.SPIN)
    with vmm.Stopped(m.thread("disk0")) as stopped:
        assert m.ask("quit") == (0, ())
        assert not os.WIFSTOPPED(stopped.ended())
    assert m.ended() == (0, "")


def test_limits_and_a_balloon_that_waits(run, disk):
    m = run("--disk", f"{disk},read-bps=4096,write-iops=7", "--inflate", "16M", code=vmm.SPIN)
    assert m.ask("limit", 1 << 20, which=0) == (0, ())  # of the disk's reads
    assert m.ask("limit", 0, which=3) == (0, ())
    assert m.ask("limit", 5, which=4) == (errno.ENOTSUP, ())  # the balloon
    assert m.ask("limit", 5, which=4 * 20) == (errno.ENODEV, ())
    with vmm.Stopped(m.thread("disk0")) as stopped:  # it is told when it has time
        assert m.ask("limit", 9, which=1) == (0, ())
        stopped.goes_on()
    with m.connect() as s:  # nobody inflates it
        s.sendall(struct.pack("<HHIQ", 1, vmm.TYPES["balloon-wait"], 0, 0))
        assert m.ask("pause") == m.ask("resume") == (0, ())
        assert m.ask("balloon", 0) == (0, ())
        assert m.ask("balloon-wait") == (0, ())
    assert m.ask("quit") == (0, ())
    assert m.ended() == (0, "")


def test_nonsense_on_the_control_socket(run):
    m = run(code=vmm.SPIN)
    for words in (b"GET / HTTP/1.1\r\n\r\n", struct.pack("<HHIQ", 1, 99, 0, 0),
                  struct.pack("<HHIQ", 2, 1, 0, 0), struct.pack("<HHIQ", 1, 1, 1, 0)):
        with m.connect() as s:
            s.sendall(words)
            try:
                assert s.recv(1) == b""
            except ConnectionResetError:
                pass  # it had not read all
    with m.connect() as s:
        s.sendall(b"\1")  # and hangs up
    many = [m.connect() for _ in range(20)]  # more than it serves at once
    for s in many:
        s.close()
    wait.until(lambda: served(m), "an answer")


def served(m):
    with m.connect() as s:
        s.sendall(struct.pack("<HHIQ", 1, 1, 0, 0))
        try:
            return len(s.recv(16)) == 16
        except ConnectionResetError:
            return False


def test_jail(run, disk):
    r, w = os.pipe()  # nobody's business
    os.set_inheritable(r, True)
    m = run("--cpus", "2", "--disk", disk, code=vmm.SPIN, uid=NOBODY, fds=(r,))
    os.close(r)
    assert m.ask("info")[0] == 0
    proc = f"/proc/{m.process.pid}"

    def threads():
        # But KVM's own, since Linux 6.14.
        every = [m.status(t) for t in m.threads()]
        return [s for s in every if not s["Name"].startswith("kvm-")]
    # Each processor's thread does it before it runs the guest, a disk's before it serves. A disk in
    # the host's memory needs no hands.
    kind = subprocess.run(["stat", "-fc%T", disk], stdout=subprocess.PIPE, text=True, check=True)
    n = 4 if kind.stdout.strip() == "tmpfs" else 4 + 3
    wait.until(lambda: [s["Seccomp"] for s in threads()] == ["2"] * n, "filters")
    for s in threads():
        assert s["NoNewPrivs"] == "1"
        assert all(int(s[c], 16) == 0 for c in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
        assert s["Uid"].split() == s["Gid"].split() == [str(NOBODY)] * 4 and not s["Groups"].split()
    assert os.listdir(f"{proc}/root") == []
    for space in ("mnt", "net", "ipc", "uts"):
        assert os.readlink(f"{proc}/ns/{space}") != os.readlink(f"/proc/self/ns/{space}")
    with pytest.raises(BrokenPipeError):
        os.write(w, b"x")
    os.close(w)
    assert m.ask("quit") == (0, ())


def test_small(run):
    """What it needs besides its guest's memory."""
    m = run("--cpus", "2", code=vmm.SPIN)
    assert m.ask("info")[0] == 0
    assert m.resident_kib(60 << 10) <= 3 << 10


def test_ends_with_its_parent(build, kvm, base):
    """Also when it has another user than its parent."""
    kernel = base / "orphan"
    kernel.write_bytes(vmm.elf(vmm.SPIN))
    control = base / "orphan.c"
    code = f"""
import ctypes, os, subprocess, sys
p = subprocess.Popen([{str(build / "atoll-vmm")!r}, "--kernel", {str(kernel)!r}, "--memory", "64M",
                      "--control", {str(control)!r}, "--uid", "{NOBODY}", "--gid", "{NOBODY}"],
                     preexec_fn=lambda: ctypes.CDLL(None).prctl(1, 9))
print(p.pid, flush=True)
sys.stdin.read()
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE)
    pidfd = os.pidfd_open(int(parent.stdout.readline()))
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(wait.DEADLINE_S)
            wait.until(lambda: s.connect_ex(str(control)) == 0, "the control socket")
            s.sendall(struct.pack("<HHIQ", 1, 1, 0, 0))
            assert vmm.answer(s, "info")[0] == 0
        parent.kill()
        parent.wait()
        wait.until(lambda: gone(pidfd), "the end of the machine")
    finally:
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.close(pidfd)
        parent.stdin.close()
        parent.stdout.close()


def gone(pidfd):
    try:
        signal.pidfd_send_signal(pidfd, 0)
    except ProcessLookupError:
        return True
    return False


def test_killed(run, base):
    """Nothing of it stays but the socket's name, which is its maker's."""
    m = run("--serial", base / "killed", code=vmm.WRITES)
    assert m.ask("info")[0] == 0
    m.kill()
    assert m.ended() == (-signal.SIGKILL, "")
