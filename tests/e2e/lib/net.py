# SPDX-License-Identifier: Apache-2.0
"""Network namespaces that tests make, and what is born in them."""
import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import threading

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
ETH_P_ALL = 3


class Net:
    """A network namespace, held open by a process in it."""

    def __init__(self):
        self.holder = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo ready; exec sleep 1000"],
                                       stdout=subprocess.PIPE)
        self.holder.stdout.readline()
        self.path = f"/proc/{self.holder.pid}/ns/net"

    def argv(self, *argv):
        return ["nsenter", f"--net={self.path}", *map(str, argv)]

    def ip(self, *args):
        r = subprocess.run(self.argv("ip", *args), capture_output=True, text=True, check=False)
        assert r.returncode == 0, r
        return r.stdout

    def has(self, name):
        return subprocess.run(self.argv("ip", "link", "show", name), capture_output=True,
                              check=False).returncode == 0

    def inside(self, make):
        """What make() gives; the sockets and devices it makes are of this namespace."""
        libc = ctypes.CDLL(None, use_errno=True)

        def enter(fd):
            if libc.setns(fd, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(self.path, os.O_RDONLY)
        try:
            enter(there)
            try:
                return make()
            finally:
                enter(own)
        finally:
            os.close(own)
            os.close(there)

    def tap(self, name, flags=IFF_VNET_HDR):
        """Descriptor of a new tap device; it is not up."""
        def make():
            fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
            fcntl.ioctl(fd, TUNSETIFF,
                        struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | flags))
            return fd
        return self.inside(make)

    def packet_socket(self, name):
        """A raw socket that hears and says everything at an interface."""
        def make():
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            s.bind((name, ETH_P_ALL))
            return s
        return self.inside(make)

    def close(self):
        self.holder.kill()
        self.holder.wait()
        self.holder.stdout.close()


class StreamSwitch:
    """
    A tap device and a stream socket whose frames go to each other: what passt is to its client,
    without a network stack of its own. .socket is for the client.
    """

    def __init__(self, tap):
        self.tap = tap
        self.socket, self.own = socket.socketpair()
        self.threads = [threading.Thread(target=f) for f in (self.to_client, self.to_tap)]
        for t in self.threads:
            t.start()

    def to_client(self):
        try:
            while True:
                frame = os.read(self.tap, 65600)
                if not frame:
                    break
                self.own.sendall(struct.pack(">I", len(frame)) + frame)
        except OSError:
            pass  # one of the two is gone

    def to_tap(self):
        try:
            while len(head := self.own.recv(4, socket.MSG_WAITALL)) == 4:
                n, = struct.unpack(">I", head)
                os.write(self.tap, self.own.recv(n, socket.MSG_WAITALL))
        except OSError:
            pass

    def hang_up(self):
        try:
            self.own.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other side has been faster

    def close(self, net, name):
        """The device must go first: nothing else wakes who reads from it."""
        self.hang_up()
        net.ip("link", "del", name)
        for t in self.threads:
            t.join()
        os.close(self.tap)
        self.own.close()
