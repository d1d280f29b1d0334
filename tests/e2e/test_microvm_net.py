# SPDX-License-Identifier: Apache-2.0
"""
The network of a machine: the interfaces of the namespace that its caller has filled are its cards.
The "host" is a namespace as well, with the other end of a pair of interfaces.
"""
import os
import socket
import subprocess
import threading
from itertools import count

import pytest

from lib.net import Net

SLOW_S = 180
MAC = "02:00:00:00:99:01"
ids = (f"atoll-vmnet-{os.getpid()}-{n}" for n in count())

pytestmark = pytest.mark.timeout(1500)


@pytest.fixture
def nets(base):
    """The host's side, and the container's, with a pair of interfaces between them."""
    host, inside = Net(), Net()
    inside.file = base / "netns"  # as "ip netns" and CNI keep them
    inside.file.touch()
    subprocess.run(["mount", "--bind", inside.path, inside.file], check=True)
    host.ip("link", "add", "peer0", "type", "veth", "peer", "name", "veth0", "netns",
            inside.holder.pid)
    host.ip("addr", "add", "10.9.1.1/24", "dev", "peer0")
    host.ip("addr", "add", "fd00:9::1/64", "dev", "peer0", "nodad")
    host.ip("link", "set", "peer0", "mtu", "1400", "up")
    for words in (["link", "set", "lo", "up"],
                  ["link", "set", "veth0", "name", "web0", "address", MAC, "mtu", "1400", "up"],
                  ["addr", "add", "10.9.1.2/24", "brd", "+", "dev", "web0"],
                  ["addr", "add", "fd00:9::2/64", "dev", "web0", "nodad"],
                  ["route", "add", "default", "via", "10.9.1.1"],
                  ["route", "add", "10.8.0.0/16", "via", "10.9.1.1", "metric", "7"],
                  ["-6", "route", "add", "default", "via", "fd00:9::1"]):
        inside.ip(*words)
    yield host, inside
    subprocess.run(["umount", inside.file], check=True)
    host.close()
    inside.close()


def joins(path):
    path = str(path)

    def change(s):
        for n in s["linux"]["namespaces"]:
            if n["type"] == "network":
                n["path"] = path
    return change


def configuration(net):
    """Addresses and routes, without what differs from one moment to the next."""
    return (sorted(line.split() for line in net.ip("-o", "addr", "show", "dev", "web0").splitlines()
                   if "fe80::" not in line),
            sorted(net.ip("route").splitlines()),
            sorted(line for line in net.ip("-6", "route").splitlines() if "fe80::" not in line))


class Server:
    """One connection to the host's side, which is told what it said in capitals."""

    def __init__(self, net):
        def listen():
            s = socket.socket()
            s.bind(("10.9.1.1", 0))
            s.listen(1)
            return s
        self.socket = net.inside(listen)
        self.socket.settimeout(SLOW_S)
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        try:
            c, _ = self.socket.accept()
        except OSError:
            return
        with c, c.makefile("rwb") as f:
            f.write(f.readline().upper())

    def close(self):
        self.socket.close()
        self.thread.join()


def test_interfaces_of_a_namespace(runtime, bundle, nets):
    """Addresses, routes, MAC and MTU are the guest's, TCP goes both ways; then all is as before."""
    host, inside = nets
    before = configuration(inside)
    server = Server(host)
    script = (
        "ip addr show dev web0; ip route; ip -6 route;"
        "ping -c 3 -w 60 10.9.1.1 | grep received; ping -6 -c 3 -w 60 fd00:9::1 | grep received;"
        f"echo from-guest | nc 10.9.1.1 {server.port};"
        "echo listening; echo from-server | nc -l -p 7777; cat /sys/class/net/web0/mtu")
    b = bundle(["/bin/sh", "-c", script], joins(inside.file))
    i = next(ids)
    p = runtime.popen("--isolation", "microvm", "run", "-b", b, i)
    try:
        out = ""
        while "listening\n" not in out:
            line = p.stdout.readline()
            assert line, (out, p.stderr.read())
            out += line if isinstance(line, str) else line.decode()
        # What the host's kernel had it does not have now: one of the two must answer, not both.
        assert configuration(inside)[0] == [], configuration(inside)

        def ask():
            with socket.create_connection(("10.9.1.2", 7777), SLOW_S) as c:
                return c.makefile("rb").readline()
        assert host.inside(ask_until(ask)) == b"from-server\n"
        rest, err = p.communicate(timeout=SLOW_S)
        out += rest if isinstance(rest, str) else rest.decode()
        assert p.returncode == 0, (out, err)
    finally:
        p.kill()
        p.wait()
        server.close()
        runtime.try_("delete", "-f", i)
    assert f"link/ether {MAC}" in out and "mtu 1400" in out and out.endswith("1400\n"), out
    assert "inet 10.9.1.2/24 brd 10.9.1.255" in out and "inet6 fd00:9::2/64" in out, out
    assert "default via 10.9.1.1 dev web0" in out and "10.8.0.0/16 via 10.9.1.1" in out, out
    assert "default via fd00:9::1" in out, out
    assert out.count("3 packets received") == 2, out
    assert "FROM-GUEST" in out, out
    assert configuration(inside) == before


def ask_until(ask):
    """The server in there says that it listens before it does."""
    def go():
        for _ in range(600):
            try:
                return ask()
            except ConnectionRefusedError:
                threading.Event().wait(0.1)
        return ask()
    return go


def test_what_is_in_use_is_not_taken(runtime, bundle, nets):
    """Another machine's, a container's, the host's; and a start that fails changes nothing."""
    host, inside = nets
    before = configuration(inside)
    b = bundle(["/bin/true"], joins(inside.file))
    inside.ip("link", "set", "web0", "alias", "atoll microvm")
    runtime.fails("--isolation", "microvm", "run", "-b", b, next(ids), says="another microvm's",
                  timeout=SLOW_S)
    inside.ip("link", "set", "web0", "alias", "")
    assert configuration(inside) == before
    runtime.fails("--isolation", "microvm", "run", "-b", bundle(["/no/such"], joins(inside.file)),
                  next(ids), says="no such file", timeout=SLOW_S)
    assert configuration(inside) == before
    for path, says in (("/proc/self/ns/net", "host's network"),
                       (inside.path, "share the network of a process")):
        runtime.fails("--isolation", "microvm", "run", "-b", bundle(["/bin/true"], joins(path)),
                      next(ids), says=says, timeout=SLOW_S)
    assert configuration(inside) == before
    assert host.has("peer0")


def test_a_hook_fills_the_namespace(runtime, bundle, nets, base):
    """As dockerd does: it finds the new namespace by the process that the runtime names."""
    host, _ = nets
    hook = base / "fill.sh"
    hook.write_text(
        "#!/bin/sh -e\npid=$(sed 's/.*\"pid\": *\\([0-9]*\\).*/\\1/')\n"
        f"nsenter --net={host.path} ip link add peer1 type veth peer name eth0 netns $pid\n"
        f"nsenter --net={host.path} ip addr add 10.9.2.1/24 dev peer1\n"
        f"nsenter --net={host.path} ip link set peer1 up\n"
        "exec nsenter --net=/proc/$pid/ns/net sh -ec 'ip addr add 10.9.2.2/24 dev eth0;"
        "ip link set eth0 up; ip route add default via 10.9.2.1'\n")
    hook.chmod(0o755)
    b = bundle(["/bin/sh", "-c", "ping -c 2 -w 60 10.9.2.1; ip route"],
               lambda s: s.update(hooks={"prestart": [{"path": str(hook)}]}))
    out = runtime("--isolation", "microvm", "run", "-b", b, next(ids), timeout=SLOW_S).out
    assert "2 packets received" in out and "default via 10.9.2.1 dev eth0" in out, out
