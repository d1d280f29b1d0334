# SPDX-License-Identifier: Apache-2.0
"""
`--network host` of a microVM: the host's network at second hand, through passt.
"""
import os
import shutil
import socket
import socketserver
import threading

import pytest

from lib import wait

SLOW_S = 120
USER = ("--isolation=microvm", "--network", "host")

pytestmark = pytest.mark.timeout(1500)


def has_route():
    with open("/proc/net/route", encoding="ascii") as f:
        return any(line.split()[1] == "00000000" for line in list(f)[1:])


@pytest.fixture(scope="module")
def passt():
    if not shutil.which("passt"):
        pytest.skip("needs passt")
    if not has_route():
        pytest.skip("needs a default route")


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


LARGE = 300000


class Echo(socketserver.BaseRequestHandler):
    """What one said, in capitals; or a lot."""

    def handle(self):
        said = self.request.recv(100)
        self.request.sendall(bytes(LARGE) if said == b"large\n" else said.upper())


@pytest.fixture(scope="module")
def server():
    """On the host's loopback."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as s:
        threading.Thread(target=s.serve_forever, daemon=True).start()
        yield s.server_address[1]
        s.shutdown()


@pytest.fixture(scope="module")
def machine(atoll, busybox, passt, base):
    """One that serves a page, at ports of the host."""
    ports = free_port(), free_port(), free_port(socket.SOCK_DGRAM)
    atoll("run", "-d", "--name", "net", *USER, "-p", f"{ports[0]}:80", "-p",
          f"127.0.0.1:{ports[1]}:81/tcp", "-p", f"127.0.0.1:{ports[2]}:82/udp", busybox, "sh", "-c",
          "mkdir /www; echo page > /www/index.html; httpd -p 80 -h /www; httpd -p 81 -h /www;"
          "echo up; while :; do sleep 1; done", timeout=SLOW_S)
    wait.until(lambda: "up" in atoll("logs", "net").out, "its servers", SLOW_S)
    yield ports
    atoll("rm", "-f", "net")


def get(port):
    """What it answers; nothing before it listens."""
    try:
        return ask(port)
    except ConnectionError:
        return b""


def ask(port):
    with socket.create_connection(("127.0.0.1", port), timeout=SLOW_S) as s:
        s.sendall(b"GET /index.html HTTP/1.0\r\n\r\n")
        data = b""
        while more := s.recv(4096):
            data += more
        return data


def test_published_ports(atoll, machine):
    for port in machine[:2]:
        data = wait.until(lambda p=port: (d := get(p)).endswith(b"page\n") and d, "the page", SLOW_S)
        assert data.startswith(b"HTTP/1.")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        def heard():  # by the guest's kernel: nobody listens there
            s.sendto(b"datagram\n", ("127.0.0.1", machine[2]))
            lines = atoll("exec", "net", "grep", "^Udp:", "/proc/net/snmp", timeout=SLOW_S).out.splitlines()
            return int(lines[1].split()[2]) > 0
        wait.until(heard, "the datagram", SLOW_S)


def test_connections_outwards(atoll, machine, server):
    """To the host's loopback, which is the gateway, and back; a stream, and datagrams."""
    said = atoll("exec", "net", "sh", "-c", f"(echo hello; sleep 2) | nc 10.0.2.2 {server}",
                 timeout=SLOW_S).out
    assert said == "HELLO\n"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        s.settimeout(2)
        atoll("exec", "net", "syslogd", "-R", f"10.0.2.2:{s.getsockname()[1]}", timeout=SLOW_S)

        def heard():  # one of them: datagrams may be lost
            atoll("exec", "net", "logger", "said", timeout=SLOW_S)
            try:
                return b"said" in s.recv(1000)
            except TimeoutError:
                return False
        wait.until(heard, "a datagram", SLOW_S)
    seen = atoll("exec", "net", "sh", "-c", "ip -4 addr show eth0; ip route; cat /etc/resolv.conf",
                 timeout=SLOW_S).out
    assert "10.0.2.15/24" in seen and "default via 10.0.2.2" in seen
    assert "nameserver 10.0.2.3" in seen, seen


def test_what_it_is_not(atoll, machine, busybox):
    """None of the host's interfaces, and its programs see no other ports of it."""
    names = atoll("exec", "net", "ls", "/sys/class/net", timeout=SLOW_S).out.split()
    assert sorted(names) == ["eth0", "lo"], names
    assert atoll("exec", "net", "hostname", timeout=SLOW_S).line == os.uname().nodename
    stats = atoll("stats", "--no-stream", "--format", "{{.NetIO}}", "net", timeout=SLOW_S).line
    assert stats != "0B / 0B", stats


def test_rates_of_the_card(atoll, busybox, passt, server):
    """So many bytes take so many seconds."""
    out = atoll("run", "--rm", *USER, "--network-rx-bps", "100k", busybox, "sh", "-c",
                "cut -d' ' -f1 /proc/uptime; (echo large; sleep 8) |"
                f"nc 10.0.2.2 {server} | {{ head -c {LARGE} | wc -c; cut -d' ' -f1 /proc/uptime; }}",
                timeout=SLOW_S).out.split()
    assert int(out[1]) == LARGE
    # What is kept for a moment, and one segment of 64 KiB, go at once.
    assert float(out[2]) - float(out[0]) > (LARGE - 80000) / 102400, out


@pytest.mark.parametrize("options, says", [
    (("--network", "none", "-p", "80:80"), "--network host"),
    (("--network", "host", "--isolation=container", "-p", "80:80"), "--network host"),
    (("--network", "host", "-p", "80"), "write it"),
    (("--network", "host", "-p", "0:80"), "write it"),
    (("--network", "host", "-p", "x:1:80"), "write it"),
])
def test_refused_ports(atoll, busybox, options, says):
    atoll.fails("run", "--rm", "--isolation=microvm", *options, busybox, "true", rc=125, says=says)


def test_a_port_that_is_taken(atoll, busybox, passt):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        atoll.fails("run", "--rm", *USER, "-p", f"127.0.0.1:{port}:80", busybox, "true", rc=125,
                    says="the machine has ended", timeout=SLOW_S)


def test_without_passt(atoll, busybox, base):
    """Said before anything is made, with the package's name."""
    emulator = shutil.which("qemu-system-x86_64")
    d = base / "without-passt"
    d.mkdir()
    if emulator:
        (d / "qemu-system-x86_64").symlink_to(emulator)
    r = atoll.fails("run", "--rm", *USER, busybox, "true", rc=125, says="package passt",
                    env={"PATH": str(d)})
    assert r.err.count("\n") == 1, str(r)
