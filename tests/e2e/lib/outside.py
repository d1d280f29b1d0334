# SPDX-License-Identifier: Apache-2.0
"""
A network namespace with a broker in it, and the host's side of it: sandboxes that reach and are
reached by a pair of interfaces between two namespaces.
"""
import json
import socket
import subprocess
from contextlib import contextmanager

from . import sentry, wait
from .net import ETH_P_ALL, Net

HOST4, OWN4 = "10.77.0.1", "10.77.0.2"
HOST6, OWN6 = "fd00:77::1", "fd00:77::2"
CAPS = [*sentry.CAPS, "CAP_NET_BIND_SERVICE"]


class Outside:
    """Both namespaces: `own` is the workload's, `host` the other side."""
    option = "--broker"

    def __init__(self, build, box):
        self.program, self.box = build / "atoll-broker", box
        self.host, self.own = Net(), Net()
        self.host.ip("link", "add", "peer0", "type", "veth", "peer", "name", "eth0", "netns",
                     self.own.holder.pid)
        for net, name, four, six in ((self.host, "peer0", HOST4, HOST6),
                                     (self.own, "eth0", OWN4, OWN6)):
            net.ip("link", "set", "lo", "up")
            net.ip("addr", "add", f"{four}/24", "dev", name)
            net.ip("addr", "add", f"{six}/64", "dev", name, "nodad")
            net.ip("link", "set", name, "addrgenmode", "none", "up")
        # As engines leave it: whoever is of a group may ping.
        subprocess.run(self.own.argv("sh", "-c", "echo 0 2147483647 "
                                     ">/proc/sys/net/ipv4/ping_group_range"), check=True)

    def close(self):
        self.own.close()
        self.host.close()

    def start(self, end, rules):
        return subprocess.Popen(
            self.own.argv(self.program, "--socket", f"fd:{end.fileno()}", *rules),
            pass_fds=[end.fileno()], stderr=subprocess.PIPE)

    @contextmanager
    def broker(self, *rules):
        """A broker in the workload's namespace, and the sandbox's end of its socket."""
        theirs, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, ours:
            p = self.start(theirs, rules)
            theirs.close()
            try:
                yield p, ours
            finally:
                ours.close()
                _, said = p.communicate(timeout=60)
                assert said == b"", said

    @contextmanager
    def sandbox(self, args, *rules, stdin=None, **changes):
        """A running one; its broker is .broker."""
        args = ["sh", "-c", args] if isinstance(args, str) else args
        caps = {k: CAPS for k in ("bounding", "effective", "permitted")}
        what = sentry.config(args, process_capabilities=caps, **changes)
        with self.broker(*rules) as (broker, end):
            p = subprocess.Popen(
                [*self.box.command(what), self.option, f"fd:{end.fileno()}"],
                pass_fds=[end.fileno()], stdin=stdin or subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            end.close()
            p.broker = broker
            try:
                yield p
            finally:
                stubs = sentry.children(p.pid)
                p.kill()
                p.communicate()
                wait.until(lambda: not any(map(sentry.alive, stubs)), "the end of its processes")

    def run(self, args, *rules, **kw):
        """How it ended, what it said."""
        with self.sandbox(args, *rules, **kw) as p:
            out, err = p.communicate(timeout=60)
            return p.returncode, out.decode(), err.decode()

    def listener(self, family=socket.AF_INET, port=0, address=None):
        """A listening socket of the host's side."""
        def make():
            s = socket.socket(family, socket.SOCK_STREAM)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind((address or (HOST4 if family == socket.AF_INET else HOST6), port))
            s.listen(1024)
            s.settimeout(30)
            return s
        return self.host.inside(make)

    def datagrams(self, family=socket.AF_INET, port=0):
        def make():
            s = socket.socket(family, socket.SOCK_DGRAM)
            s.bind((HOST4 if family == socket.AF_INET else HOST6, port))
            s.settimeout(30)
            return s
        return self.host.inside(make)

    def connect(self, port, family=socket.AF_INET):
        """A connection from the host's side to the workload's."""
        def make():
            return socket.create_connection((OWN4 if family == socket.AF_INET else OWN6, port), 30)
        return self.host.inside(make)


def packets(name):
    """What reaches the interface, of the namespace it is called in."""
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    s.bind((name, ETH_P_ALL))
    return s


class Strict(Outside):
    """With a stack of its own in the broker's place: the kernel has no address in there."""
    option = "--netstack"

    def __init__(self, build, box):
        super().__init__(build, box)
        self.program = build / "atoll-netstack"
        self.own.ip("addr", "flush", "dev", "eth0")
        link = json.loads(self.own.ip("-j", "link", "show", "eth0"))[0]
        self.mac, self.mtu = link["address"], link["mtu"]

    def start(self, end, rules):
        with self.own.inside(lambda: packets("eth0")) as wire:
            return subprocess.Popen(
                [self.program, "--socket", f"fd:{end.fileno()}", "--wire", f"fd:{wire.fileno()}",
                 "--name", "eth0", "--mac", self.mac, "--mtu", str(self.mtu),
                 "--address", f"{OWN4}/24", *rules],
                pass_fds=[end.fileno(), wire.fileno()], stderr=subprocess.PIPE)
