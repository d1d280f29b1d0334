# SPDX-License-Identifier: Apache-2.0
"""
Snapshots of atoll-vmm's machines with kernels of a few instructions, which run wherever there is a
/dev/kvm: what goes on where it stood, what differs, what is refused.
"""
import errno
import os
import resource
import shutil
import signal
import socket
import struct

import pytest

from lib import guest, vmm, wait

MEMORY = 64 << 20

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def kvm(build, base):
    vmm.need(build, base, vmm.RESET)


@pytest.fixture
def run(kvm, build, base):
    yield from vmm.starter(build, base)


@pytest.fixture
def place(base, request):
    """A directory of the test's own."""
    path = base / request.node.name.replace("/", "_")
    path.mkdir()
    return path


@pytest.fixture
def numbers(run, place):
    """Start one that counts on its serial port."""
    def start(*options, code=vmm.NUMBERS, **more):
        serial = place / f"serial{vmm.Vmm.count}"
        m = run("--serial", serial, *options, code=None if "restore" in more else code, **more)
        m.serial = serial
        return m
    return start


def has_said(m, more_than=0):
    wait.until(lambda: len(m.said()) > more_than or m.process.poll() is not None, "numbers")
    assert m.process.poll() is None, m.why()


def check_count(said, first=1):
    assert said == bytes((first + i) % 256 for i in range(len(said)))


def number(directory, at=vmm.NUMBER_AT):
    with open(directory / "memory", "rb") as f:
        f.seek(at)
        return struct.unpack("<I", f.read(4))[0]


def test_goes_on(numbers, place):
    m = numbers()
    has_said(m, 1000)
    assert m.ask("pause") == (0, ())
    said = m.said()
    error, words = m.snapshot(place / "s")
    assert error == 0, words
    state_bytes, memory_bytes = words
    assert (place / "s/state").stat().st_size == state_bytes
    memory = (place / "s/memory").stat()
    assert memory.st_size == MEMORY and memory_bytes < 1 << 20
    assert memory.st_blocks * 512 < 1 << 20  # sparse
    assert number(place / "s") in (len(said), len(said) + 1)
    # The one that it was made of goes on, too.
    assert m.said() == said
    assert m.ask("resume") == (0, ())
    has_said(m, len(said) + 100)
    assert m.ask("quit") == (0, ())
    check_count(m.said())
    # Two more from the same state, which know nothing of each other.
    for _ in range(2):
        n = numbers(restore=place / "s")
        has_said(n, 1000)
        assert n.ask("info") == (0, (n.process.pid, 1, MEMORY, 0))
        assert n.ask("quit") == (0, ())
        assert n.ended() == (0, "")
        check_count(n.said(), len(said) + 1)


def test_paused_until_resumed(numbers, place):
    m = numbers("--paused")
    wait.until(lambda: m.ask("info")[1][3] == 1, "a pause")
    assert m.said() == b""
    assert m.snapshot(place / "before")[0] == 0  # of one that has not begun
    assert m.ask("resume") == (0, ())
    has_said(m)
    m.kill()
    n = numbers("--paused", restore=place / "before")
    wait.until(lambda: n.ask("info")[1][3] == 1, "a pause")
    assert n.said() == b""
    assert n.ask("resume") == (0, ())
    has_said(n, 300)
    n.ask("quit")
    check_count(n.said())


def test_generations(numbers, place):
    """Each restore has one of its own."""
    m = numbers()
    has_said(m)
    m.ask("pause")
    m.snapshot(place / "s")
    seen = {generation(place / "s")}
    for i in range(2):
        n = numbers("--paused", restore=place / "s")
        wait.until(lambda n=n: n.ask("info")[1][3] == 1, "a pause")
        assert n.snapshot(place / f"s{i}")[0] == 0
        seen.add(generation(place / f"s{i}"))
        n.kill()
    assert len(seen) == 3


def generation(directory):
    with open(directory / "memory", "rb") as f:
        f.seek(0xef000)
        return f.read(16)


def test_two_processors(numbers, place):
    m = numbers("--cpus", "2", code=vmm.NUMBERS_OF_TWO)
    second, tries = 0, 0
    while not second:  # it may come later than the first
        m.ask("resume")
        has_said(m, len(m.said()) + 100)
        m.ask("pause")
        tries += 1
        assert m.snapshot(place / f"a{tries}")[0] == 0 and tries < 1000
        second = number(place / f"a{tries}", vmm.SECOND_AT)
    shutil.move(place / f"a{tries}", place / "a")
    said = m.said()
    m.kill()
    n = numbers("--cpus", "2", restore=place / "a")
    has_said(n, 1000)
    n.ask("pause")
    assert n.snapshot(place / "b")[0] == 0
    assert number(place / "b", vmm.SECOND_AT) > second
    assert number(place / "b") > number(place / "a")
    n.kill()
    check_count(n.said(), len(said) + 1)


def test_diff(numbers, place):
    m = numbers()
    has_said(m)
    m.ask("pause")
    error, why = m.snapshot(place / "none", vmm.SNAPSHOT_DIFF)
    assert error == errno.ENODATA and "no snapshot of this machine" in why
    assert m.snapshot(place / "full")[0] == 0
    for step in ("one", "two"):
        m.ask("resume")
        has_said(m, len(m.said()) + 500)
        m.ask("pause")
        error, (_, memory_bytes) = m.snapshot(place / step, vmm.SNAPSHOT_DIFF)
        assert error == 0 and 4096 <= memory_bytes <= 65536
        vmm.lay_over(place / step / "memory", place / "full/memory")
    said = m.said()
    m.kill()
    shutil.copy(place / "two/state", place / "full/state")
    assert number(place / "full") == number(place / "two")
    n = numbers(restore=place / "full")
    has_said(n, 300)
    n.ask("pause")
    check_count(n.said(), len(said) + 1)
    # And on top of what it was restored of, at once.
    error, (_, memory_bytes) = n.snapshot(place / "three", vmm.SNAPSHOT_DIFF)
    assert error == 0 and 4096 <= memory_bytes <= 65536
    said = len(said) + len(n.said())
    n.kill()
    vmm.lay_over(place / "three/memory", place / "full/memory")
    shutil.copy(place / "three/state", place / "full/state")
    last = numbers(restore=place / "full")
    has_said(last, 300)
    last.ask("quit")
    check_count(last.said(), said + 1)


def test_when_it_may_be(numbers, place):
    m = numbers()
    has_said(m)
    error, why = m.snapshot(place / "runs")
    assert error == errno.EBUSY and "paused" in why
    m.ask("pause")
    assert m.ask("snapshot")[0] == errno.EINVAL  # without files
    assert m.snapshot(place / "flags", 2)[0] == errno.EINVAL
    assert m.snapshot(place / "a")[0] == 0
    # Files that are not empty, or no files.
    with m.connect() as s, open(place / "a/state", "r+b") as f, open("/dev/null", "r+b") as g:
        for pair in ((f, f), (g, g)):
            send(s, [x.fileno() for x in pair])
            error, why = vmm.answer(s, "snapshot")
            assert error in (errno.EINVAL, errno.ESPIPE) and why.startswith("snapshot: "), why
    with m.connect() as s:  # more than two are nobody's request
        send(s, [s.fileno()] * 3)
        assert hung_up(s)
    assert len(os.listdir(f"/proc/{m.process.pid}/fd")) < 32
    assert m.snapshot(place / "b")[0] == 0
    assert m.ask("resume") == (0, ())


def send(s, fds):
    socket.send_fds(s, [struct.pack("<HHIQ", 1, vmm.TYPES["snapshot"], 0, 0)], fds)


def hung_up(s):
    try:
        return s.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.fixture
def snapshot(numbers, place):
    m = numbers("--cpus", "2")
    has_said(m)
    m.ask("pause")
    assert m.snapshot(place / "s")[0] == 0
    m.kill()
    return place / "s"


def test_other_machines(run, numbers, snapshot, place):
    disk = place / "disk"
    disk.write_bytes(bytes(1 << 20))
    for options, what in (
            (["--cpus", "1"], "has 2 processors where this one has 1 processors"),
            (["--cpus", "2", "--memory", "65M"],
             "has 67108864 bytes of memory where this one has 68157440 bytes of memory"),
            (["--cpus", "2", "--disk", disk],
             "has a entropy device of 1 queues where this one has a block device of 1 queues"),
            (["--cpus", "2", "--balloon"],
             "has a entropy device of 1 queues where this one has a balloon device of 5 queues")):
        status, said = numbers(*options, restore=snapshot).ended()
        assert (status, said) == (1, f"atoll-vmm: --restore: the snapshot's machine {what}\n")
    status, said = run("--cpus", "2", restore=snapshot).ended()
    assert status == 1 and "has a serial port where this one has no serial port" in said
    status, said = run("--cpus", "2", "--kernel", "x", restore=snapshot).ended()
    assert status == 2 and "--restore goes without --kernel" in said


def test_damaged_state(numbers, snapshot):
    whole = (snapshot / "state").read_bytes()

    def refused(state):
        (snapshot / "state").write_bytes(state)
        status, said = numbers("--cpus", "2", restore=snapshot).ended()
        assert status == 1 and said.startswith("atoll-vmm: --restore: "), said
        assert said.count("\n") == 1
        return said
    assert "no machine's state" in refused(b"")
    assert "no machine's state" in refused(b"garbage" * 1000)
    assert "another version" in refused(whole[:8] + b"\2" + whole[9:])
    for n in (16, 40, len(whole) // 2, len(whole) - 1):
        assert "damaged" in refused(whole[:n])
    for at in (20, 30, 300, len(whole) // 2, len(whole) - 40):
        assert "damaged" in refused(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:])
    assert "damaged" in refused(whole + b"\0")
    (snapshot / "state").write_bytes(whole)
    with open(snapshot / "memory", "r+b") as f:
        f.truncate(MEMORY - 4096)
    status, said = numbers("--cpus", "2", restore=snapshot).ended()
    assert status == 1 and "the memory's file has 67104768 bytes" in said
    os.unlink(snapshot / "memory")
    status, said = numbers("--cpus", "2", restore=snapshot).ended()
    assert status == 1 and "No such file" in said


def test_full_disk(numbers, place):
    """What cannot be written leaves the machine as it was."""
    small = place / "small"
    m = numbers(before=limited_files)
    has_said(m)
    m.ask("pause")
    said = m.said()
    error, why = m.snapshot(small)
    assert error == errno.EFBIG and why.startswith("snapshot: size the file for the memory"), why
    assert m.snapshot(place / "again", vmm.SNAPSHOT_DIFF)[0] == errno.ENODATA
    m.ask("resume")
    has_said(m, len(said) + 100)
    m.ask("quit")
    check_count(m.said())


def limited_files():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MEMORY // 2, MEMORY // 2))


def test_lazy(numbers, place):
    """A restored machine has no more memory of its own than it has changed."""
    m = numbers()
    has_said(m)
    m.ask("pause")
    m.snapshot(place / "s")
    m.kill()
    with open(place / "s/memory", "r+b") as f:  # as if the guest had had more
        f.seek(8 << 20)
        f.write(os.urandom(1 << 20) * 32)
    n = numbers(restore=place / "s")
    has_said(n, 100)
    own = sum(int(line.split()[1])
              for line in open(f"/proc/{n.process.pid}/smaps", encoding="ascii")
              if line.startswith("Private_Dirty:"))
    assert own < 4 << 10, own
    # And a snapshot of it is whole.
    n.ask("pause")
    error, (_, memory_bytes) = n.snapshot(place / "t")
    assert error == 0 and memory_bytes >= 32 << 20
    n.kill()
    with open(place / "s/memory", "rb") as f, open(place / "t/memory", "rb") as g:
        for x in (f, g):
            x.seek(8 << 20)
        assert f.read(32 << 20) == g.read(32 << 20)


def test_shared_memory(numbers, place, build):
    """With a device in another process its memory is read, not mapped; that process tells changes, too."""
    share = place / "share"
    share.mkdir()

    def start(**more):
        fd = os.open(share, os.O_PATH)
        server = guest.Device(build, "fs", place, ["--share", f"s=fd:{fd}"], [fd])
        os.close(fd)
        fds = [server.socket.fileno()]
        m = numbers("--fs", f"tag=t,socket=fd:{fds[0]}", fds=fds, **more)
        server.socket.close()
        has_said(m, 200)
        m.ask("pause")
        return server, m
    server, m = start()
    with server:
        assert m.snapshot(place / "s")[0] == 0
        said = m.said()
        m.ask("quit")
        assert server.ended() == (0, "")
    server, n = start(restore=place / "s")
    with server:
        check_count(n.said(), len(said) + 1)
        error, (_, memory_bytes) = n.snapshot(place / "d", vmm.SNAPSHOT_DIFF)
        assert error == 0 and 4096 <= memory_bytes <= 65536
        said += n.said()
        vmm.lay_over(place / "d/memory", place / "s/memory")
        shutil.copy(place / "d/state", place / "s/state")
        n.ask("quit")
        assert server.ended() == (0, "")
    server, n = start(restore=place / "s")
    with server:
        check_count(n.said(), len(said) + 1)
        n.ask("quit")
        assert server.ended() == (0, "")
