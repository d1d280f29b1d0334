# SPDX-License-Identifier: Apache-2.0
"""
atoll-device: devices served over vhost-user to a machine of QEMU's with an emulated processor.
The program in the machine is tests/fixtures/guest_vsock.c; its ports are told there.
"""
import socket
import threading

import pytest

from lib import guest
from lib.guest import READY, Vsock, line

TIMEOUT_S = 300
MODULES = ["virtio_pci", "vmw_vsock_virtio_transport"]
PERIOD = 251
PATTERN = bytes(i % PERIOD for i in range(PERIOD * 1024))

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def parts(build):
    return guest.kernel(build)


@pytest.fixture(scope="module")
def initrd(parts, base):
    return guest.initramfs(parts, guest.compiled("guest_vsock.c", base), MODULES, base)


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
