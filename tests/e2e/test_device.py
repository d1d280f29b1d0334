# SPDX-License-Identifier: Apache-2.0
"""
atoll-device: devices served over vhost-user to a machine of QEMU's with an emulated processor.
The program in the machine is tests/fixtures/guest_vsock.c; its ports are told there.
"""
import socket
import threading

import pytest

from lib import guest

TIMEOUT_S = 300
MODULES = ["virtio_pci", "vmw_vsock_virtio_transport"]
PERIOD = 251
PATTERN = bytes(i % PERIOD for i in range(PERIOD * 1024))
READY = 1025

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def parts(build):
    return guest.kernel(build)


@pytest.fixture(scope="module")
def initrd(parts, base):
    return guest.initramfs(parts, guest.compiled("guest_vsock.c", base), MODULES, base)


class Vsock:
    """A machine with a vsock device. Connections of the guest to READY come from forwarded()."""

    def __init__(self, build, parts, initrd, directory, **machine):
        directory.mkdir()
        self.path = directory / "v"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.path))
            listener.listen(512)
            self.forward, theirs = socket.socketpair()
            self.device = guest.Device(
                build, "vsock", directory,
                ["--cid", "3", "--listen", f"fd:{listener.fileno()}",
                 "--forward", f"{READY}:fd:{theirs.fileno()}"],
                [listener.fileno(), theirs.fileno()])
            theirs.close()
        fd = self.device.socket.fileno()
        self.machine = guest.Machine(
            parts, initrd, directory,
            ["-chardev", f"socket,id=v,fd={fd}", "-device",
             "vhost-user-vsock-pci,chardev=v,disable-legacy=on"], [fd], **machine)
        self.device.socket.close()
        self.forward.settimeout(guest.BOOT_S)

    def ready(self):
        """Wait for the guest's own connection, after each of its boots."""
        s = self.forwarded()
        assert s.recv(6, socket.MSG_WAITALL) == b"ready\n"
        s.close()
        return self

    def forwarded(self):
        byte, fds, _, _ = socket.recv_fds(self.forward, 1, 4)
        assert byte == b"C" and len(fds) == 1, self.machine.why()
        s = socket.socket(fileno=fds[0])
        s.settimeout(TIMEOUT_S)
        return s

    def connect(self, port):
        """A connection to the guest's port, or None: refused."""
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(TIMEOUT_S)
        s.connect(str(self.path))
        s.sendall(b"CONNECT %d\n" % port)
        answer = line(s)
        if not answer:
            s.close()
            return None
        assert answer.startswith(b"OK ") and int(answer[3:]) >= 1 << 30
        return s

    def close(self):
        self.machine.kill()
        self.device.kill()
        self.forward.close()


def line(s):
    got = b""
    while not got.endswith(b"\n"):
        byte = s.recv(1)
        if not byte:
            break
        got += byte
    return got


def everything(s):
    """What it reads until the end: the length, and whether all of it was the pattern."""
    n, good = 0, True
    while part := s.recv(1 << 16):
        at = n % PERIOD
        good = good and part == PATTERN[at:at + len(part)]
        n += len(part)
    return n, good


def send_pattern(s, n):
    whole = len(PATTERN)
    for at in range(0, n, whole):
        s.sendall(PATTERN[:min(whole, n - at)])
    s.shutdown(socket.SHUT_WR)


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
