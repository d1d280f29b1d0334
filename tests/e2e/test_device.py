# SPDX-License-Identifier: Apache-2.0
"""
atoll-device: devices served over vhost-user to a machine of QEMU's with an emulated processor.
Programs in the machines: tests/fixtures/guest_vsock.c, which tells of its ports, and guest_net.c.
"""
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from lib import guest, wait
from lib.guest import READY, Vsock, line
from lib.pattern import PATTERN, everything, send as send_pattern

TIMEOUT_S = 300
MODULES = ["virtio_pci", "vmw_vsock_virtio_transport"]

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def parts(build):
    return guest.kernel(build)


@pytest.fixture(scope="module")
def initrd(parts, base):
    return guest.initramfs(parts, guest.compiled("guest_vsock.c", base), MODULES, base)


def echo(s):
    while part := s.recv(1 << 16):
        s.sendall(part)
    s.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def vsock(build, parts, initrd, base):
    v = Vsock(build, parts, initrd, base / "one")
    yield v.ready()
    v.close()


def test_echo_in_the_guest(vsock):
    with vsock.connect(7) as s:
        n = 64 << 20
        writer = threading.Thread(target=send_pattern, args=(s, n))
        writer.start()
        assert everything(s) == (n, True)
        writer.join()


def test_echo_on_the_host(vsock):
    with vsock.connect(8) as s:
        n = 64 << 20
        s.sendall(b"echo %d %d\n" % (READY, n))
        with vsock.forwarded() as other:
            echo(other)
        assert line(s) == b"ok\n"


def test_refused(vsock):
    assert vsock.connect(4444) is None
    with vsock.connect(8) as s:
        s.sendall(b"connect 4444\n")
        assert line(s) == b"Connection reset by peer\n"


def test_each_direction_ends_on_its_own(vsock):
    n = 3 << 20
    with vsock.connect(9) as s:  # counts until our end, then answers
        send_pattern(s, n)
        assert line(s) == b"%d good\n" % n
        assert s.recv(1) == b""
    with vsock.connect(19) as s:  # ends its direction first
        s.sendall(b"%d\n" % n)
        assert everything(s) == (n, True)


def test_many_connections(vsock):
    """All are open at once; each echoes its own bytes."""
    many = [vsock.connect(7) for _ in range(200)]
    assert None not in many
    for i, s in enumerate(many):
        s.sendall(b"number %d\n" % i)
    for i, s in reversed(list(enumerate(many))):
        assert line(s) == b"number %d\n" % i
        s.shutdown(socket.SHUT_WR)
    for s in many:
        assert s.recv(1) == b""
        s.close()


def test_hang_ups(vsock):
    for _ in range(20):
        with vsock.connect(21) as s:  # the guest closes at once
            assert s.recv(1) == b""
        with vsock.connect(23) as s:  # the guest does not read, and we go away in the middle
            s.setblocking(False)
            try:
                while True:
                    s.send(PATTERN)
            except BlockingIOError:
                pass
        with vsock.connect(19) as s:  # we do not read, and go away in the middle
            s.sendall(b"%d\n" % (64 << 20))
            assert s.recv(1) == PATTERN[:1]
    with vsock.connect(7) as s:
        s.sendall(b"still there\n")
        assert line(s) == b"still there\n"


def test_slow_reader_holds_up_nobody(vsock):
    with vsock.connect(19) as slow, vsock.connect(7) as s:
        slow.sendall(b"%d\n" % (8 << 20))
        assert slow.recv(1) == PATTERN[:1]
        s.sendall(PATTERN[:100000])
        s.shutdown(socket.SHUT_WR)
        assert everything(s) == (100000, True)
        assert slow.recv(3, socket.MSG_WAITALL) == PATTERN[1:4]


def test_nothing_of_the_host_is_within_reach(vsock):
    pid = vsock.device.process.pid
    status = open(f"/proc/{pid}/status", encoding="ascii").read()
    for what in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert f"{what}:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status and "Seccomp:\t2" in status
    for ns in ("mnt", "net", "ipc", "uts"):
        assert os.readlink(f"/proc/{pid}/ns/{ns}") != os.readlink(f"/proc/self/ns/{ns}")
    assert os.listdir(f"/proc/{pid}/root") == []
    kinds = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    # Besides its error file and the guest's memory: sockets, counters and its loop.
    files = [k for k in kinds if k.startswith("/") and not k.startswith("/memfd:")]
    assert files == [str(vsock.device.errors)]


def test_guest_starts_anew(build, parts, initrd, base):
    v = Vsock(build, parts, initrd, base / "anew", stay=True)
    try:
        v.ready()
        for _ in range(2):
            held = v.connect(23)
            with v.connect(8) as s:
                s.sendall(b"reset\n")
                v.ready()
                assert s.recv(1) == b""
            assert held.recv(1) == b""
            held.close()
            with v.connect(7) as s:
                s.sendall(b"again\n")
                assert line(s) == b"again\n"
    finally:
        v.close()


def test_device_is_killed(build, parts, initrd, base):
    """The machine goes on without it; who is connected sees the end."""
    v = Vsock(build, parts, initrd, base / "killed")
    try:
        v.ready()
        held = v.connect(23)
        v.device.process.send_signal(signal.SIGKILL)
        v.device.process.wait()
        assert held.recv(1) == b""
        held.close()
        assert v.machine.process.poll() is None
    finally:
        v.close()


def test_machine_is_killed(build, parts, initrd, base):
    """The device ends with it, and well."""
    v = Vsock(build, parts, initrd, base / "dead")
    try:
        v.ready()
        held = v.connect(23)
        v.machine.kill()
        assert v.device.ended() == (0, "")
        assert held.recv(1) == b""
        held.close()
    finally:
        v.close()


def test_death_of_who_asked(build, base):
    """The end of --death-fd ends the device, with a front end or without."""
    for listen in None, base / "listen":
        ours, theirs = os.pipe()
        with guest.Device(build, "vsock", base, ["--death-fd", f"fd:{ours}"], [ours],
                          listen=listen) as device:
            os.close(ours)
            assert device.process.poll() is None
            os.close(theirs)
            assert device.ended() == (0, "")


@pytest.mark.parametrize("words, says", [
    (["--cid", "2"], "--cid 2"),
    (["--listen", "/a/path"], "no descriptor"),
    (["--listen", "fd:999"], "not open"),
    (["--forward", "5"], "PORT:fd:N"),
    (["--colour", "red"], "no option --colour"),
    (["--cid"], "needs a value"),
])
def test_usage(build, base, words, says):
    with guest.Device(build, "vsock", base, words) as device:
        status, text = device.ended()
        assert status == 2 and says in text


def test_nonsense_from_the_front_end(build, base):
    with guest.Device(build, "vsock", base) as device:
        device.socket.sendall(b"GET / HTTP/1.1\r\n\r\n")
        status, text = device.ended()
        assert status == 1 and "hung up on" in text


# --- network ---

TYPE = bytes.fromhex("88b5")
GUEST_MAC = bytes.fromhex("020000000007")
HOST_MAC = bytes.fromhex("020000000008")
# In a network namespace of its own, which lasts as long as the two sockets that it gives.
VETH = """
import socket, subprocess, sys
subprocess.run(["ip", "link", "add", "ours", "type", "veth", "peer", "name", "theirs"], check=True)
ends = []
for name, kind in ("ours", 0x88b5), ("theirs", 3):
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    ends.append(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind)))
    ends[-1].bind((name, 0))
socket.send_fds(socket.socket(fileno=int(sys.argv[1])), [b"x"], [s.fileno() for s in ends])
"""


class StreamWire:
    """Our end of a stream: each frame behind its length."""
    option = "--stream"

    def __init__(self):
        self.end, self.device = socket.socketpair()
        self.end.settimeout(TIMEOUT_S)

    def send(self, frame):
        self.end.sendall(len(frame).to_bytes(4, "big") + frame)

    def receive(self):
        n = int.from_bytes(self.end.recv(4, socket.MSG_WAITALL), "big")
        return self.end.recv(n, socket.MSG_WAITALL)


class PacketWire:
    """Our end of a veth whose other end is the device's."""
    option = "--packet"

    def __init__(self):
        ours, theirs = socket.socketpair()
        subprocess.run(["unshare", "-n", sys.executable, "-c", VETH, str(theirs.fileno())],
                       pass_fds=[theirs.fileno()], check=True, timeout=TIMEOUT_S)
        _, fds, _, _ = socket.recv_fds(ours, 1, 2)
        self.end, self.device = (socket.socket(fileno=fd) for fd in fds)
        self.end.settimeout(TIMEOUT_S)
        ours.close()
        theirs.close()

    def send(self, frame):
        self.end.send(frame)

    def receive(self):
        return self.end.recv(1 << 16)


@pytest.fixture(scope="module")
def net_initrd(parts, base):
    directory = base / "net"
    directory.mkdir()
    return guest.initramfs(parts, guest.compiled("guest_net.c", directory),
                           ["virtio_pci", "virtio_net"], directory)


@pytest.mark.parametrize("wire", [StreamWire, PacketWire])
def test_frames(build, parts, net_initrd, base, wire):
    directory = base / wire.__name__
    directory.mkdir()
    w = wire()
    device = guest.Device(build, "net", directory, [w.option, f"fd:{w.device.fileno()}"],
                          [w.device.fileno()], listen=directory / "d")
    w.device.close()
    # QEMU 7.2 dies of interrupts as messages for such a card, where the processor is emulated.
    card = f"virtio-net-pci,netdev=n,mac={GUEST_MAC.hex(':')},disable-legacy=on,romfile=,vectors=0"
    machine = guest.Machine(
        parts, net_initrd, directory,
        ["-chardev", f"socket,id=c,path={directory}/d", "-netdev", "vhost-user,id=n,chardev=c",
         "-device", card])
    with machine, device:
        machine.said("guest: ready")
        # The link may not be up yet at either end: what is lost then is sent again.
        w.end.settimeout(1)
        first = GUEST_MAC + HOST_MAC + TYPE + b"first".ljust(50)

        def answered():
            w.send(first)
            try:
                while w.receive()[12:] != first[12:]:
                    pass  # the guest's kernel says something of its own
                return True
            except TimeoutError:
                return False
        wait.until(answered, "an answer of the guest's", guest.BOOT_S)
        w.end.settimeout(TIMEOUT_S)
        for i in range(300):
            n = 46 + i * 5 - 60 * (i >= 290)
            frame = GUEST_MAC + HOST_MAC + TYPE + bytes([i % 256]) + PATTERN[:n - 1]
            w.send(frame)
            while (back := w.receive())[12:] != frame[12:]:
                assert back[12:14] != TYPE or back[14:19] == b"first"
            assert back[:12] == HOST_MAC + GUEST_MAC
        machine.kill()
        assert device.ended() == (0, "")
    w.end.close()
