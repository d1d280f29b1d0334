# SPDX-License-Identifier: Apache-2.0
"""
Debian's kernel goes on from snapshots of atoll-vmm, where KVM runs guests at a processor's speed.
The program in the machine is tests/fixtures/guest_words.c.
"""
import os
import re
import shutil
import socket

import pytest

from lib import guest, vmm, wait

DEADLINE_S = 150  # of a boot, beside other machines
QUIET = ("quiet panic=-1 reboot=t cryptomgr.notests no_timer_check tsc=reliable "
         "rcupdate.rcu_expedited=1")
MODULES = ["virtio_pci", "virtio_blk", "virtio_balloon", "virtio_console", "virtio_net", "virtiofs"]
MAC = "02:00:00:00:00:01"
FORKED = b"kernel: virtual machine fork\n"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def run(build, base):
    yield from vmm.starter(build, base)


@pytest.fixture
def boot(build, run, base):
    vmm.need(build, base, vmm.COUNT)

    def start(words, *options, fds=()):
        parts = guest.kernel(build)
        initrd = guest.initramfs(parts, guest.compiled("guest_words.c", base), MODULES, base)
        serial = base / "serial"
        m = run("--initrd", initrd, "--memory", "256M", "--serial", serial, "--append",
                f"{QUIET} test={words}", *options, kernel=parts.kernel / "vmlinux", fds=fds)
        m.serial = serial
        return m
    return start


def rounds(m):
    """Numbers of the rounds it has done, none of them bad."""
    done = re.findall(rb"round (\d+): (\d+) bad\n", m.said())
    assert all(bad == b"0" for _, bad in done), m.why()
    return [int(n) for n, _ in done]


def reads(m):
    """How often it has read the share's file, always the same."""
    assert b"or another" not in m.said(), m.why()
    return max((int(n) for n in re.findall(rb"read (\d+) times\n", m.said())), default=0)


class Ends:
    """The host's ends of a machine's console, card and share, and what the machine is to have."""

    def __init__(self, build, place, disk):
        share = os.open(place / "share", os.O_PATH)
        self.server = guest.Device(build, "fs", place, ["--share", f"s=fd:{share}"], [share])
        os.close(share)
        (self.console, self._console), (self.wire, self._wire) = (socket.socketpair(),
                                                                 socket.socketpair())
        self.wire.settimeout(DEADLINE_S)
        self.fds = [s.fileno() for s in (self._console, self._wire, self.server.socket)]
        self.options = ["--cpus", "2", "--disk", disk, "--net", f"stream=fd:{self.fds[1]},mac={MAC}",
                        "--console", f"fd:{self.fds[0]}", "--balloon", "--fs", f"tag=t,socket=fd:{self.fds[2]}"]

    def given(self):
        self._console.close()
        self._wire.close()
        self.server.socket.close()

    def work(self, m):
        """The guest reads two lines, then sends a frame; and disk and share go on meanwhile."""
        self.console.sendall(b"one\n")
        m.wait_for(b"/dev/hvc0: one\n", DEADLINE_S)
        self.console.sendall(b"two\n")
        m.wait_for(b"/dev/hvc0: two\n", DEADLINE_S)
        frames = b""
        while b"from_the_guest" not in frames:
            frames += self.wire.recv(65536)
        before, n = rounds(m), reads(m)
        wait.until(lambda: len(rounds(m)) > len(before) + 1 and reads(m) > n, "rounds", DEADLINE_S)
        self.console.close()
        self.wire.close()
        return rounds(m)


def test_snapshot(boot, run, build, base):
    """
    Made in the middle of writes to a disk and reads of a share; and one on top of it, of what has
    changed, also by the process that serves the share.
    """
    place = base / "snapshot"
    (place / "share").mkdir(parents=True)
    (place / "share/file").write_bytes(os.urandom(64 << 10))
    disk = place / "disk"
    disk.write_bytes(bytes(1 << 20))
    ends = Ends(build, place, disk)
    m = boot("mount:t,later:kmsg:virtual_machine_fork,later:rounds:/dev/vda,later:reads:/mnt/s/file,"
             "cat:/dev/hvc0,cat:/dev/hvc0,send:eth0=from_the_guest,hold",
             *ends.options, fds=ends.fds)
    ends.given()
    m.wait_for(b"/dev/hvc0: open\n", DEADLINE_S)
    wait.until(lambda: len(rounds(m)) > 1 and reads(m), "rounds", DEADLINE_S)
    made = []
    for kind, flags in (("full", 0), ("diff", vmm.SNAPSHOT_DIFF)):
        assert m.ask("pause") == (0, ())
        error, words = m.snapshot(place / kind, flags)
        assert error == 0, words
        made.append((kind, words[1], rounds(m)[-1]))
        if flags:  # which is what a whole one is, at the same moment
            assert m.snapshot(place / "again")[0] == 0
        shutil.copy(disk, place / kind / "disk")
        assert m.ask("resume") == (0, ())
        n = reads(m)
        wait.until(lambda n=n: rounds(m)[-1] > made[-1][2] + 1 and reads(m) > n, "rounds", DEADLINE_S)
    assert made[1][1] < made[0][1] / 2, made
    ends.work(m)
    assert m.ask("quit") == (0, ())
    assert m.ended() == (0, "") and ends.server.ended() == (0, "")
    assert FORKED not in m.said()
    for kind, _, last in made:
        if kind == "diff":
            vmm.lay_over(place / "diff/memory", place / "full/memory")
            assert differences(place / "full/memory", place / "again/memory") == [], kind
            os.rename(place / "full/memory", place / "diff/memory")
        ends = Ends(build, place, place / kind / "disk")
        serial = place / kind / "serial"
        m = run("--memory", "256M", "--serial", serial, *ends.options, restore=place / kind,
                fds=ends.fds)
        m.serial = serial
        ends.given()
        done = ends.work(m)
        m.wait_for(FORKED, DEADLINE_S)  # its random numbers are others from now on
        assert done[0] == last + 1 and done == list(range(done[0], done[0] + len(done)))
        assert m.ask("balloon", 100 << 20) == (0, ())
        wait.until(lambda m=m: m.ask("stats")[1][1] >= 100 << 20, "the balloon", DEADLINE_S)
        assert m.ask("quit") == (0, ())
        assert m.ended() == (0, "") and ends.server.ended() == (0, "")


def differences(one, other):
    """Where pages of two files are not the same."""
    found = []
    with open(one, "rb") as f, open(other, "rb") as g:
        while a := f.read(4096):
            if a != g.read(4096):
                found.append(hex(f.tell() - 4096))
    return found
