# SPDX-License-Identifier: Apache-2.0
"""
The strict network of a sandbox: atoll-netstack's own TCP/IP stack on an interface, and no socket of
the host's. What calls of sockets give is compared with Linux's, on another pair of interfaces.
"""
import errno
import hashlib
import json
import os
import re
import socket
import struct
import subprocess
import threading
from pathlib import Path

import pytest

from lib import sentry, wait
from lib.outside import HOST4, OWN4, Outside, Strict, packets
from test_kernel_confined import ALLOW, filter_of, numbers, status, verdict
from test_sandbox_net import (ACCEPT, BIND, CLOSE, CONNECT, GET, LISTEN, OPEN, ROUTES, SCRIPTS,
                              SEND, SET, SHUTDOWN, SO_ERROR, SOL_SOCKET, SOURCE, TCP, TCP6, UDP,
                              Echo, inet, inside, on_linux, request)

pytestmark = [pytest.mark.timeout(120),
              pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")]


@pytest.fixture(scope="module")
def words(base):
    program = base / "words"
    subprocess.run(["gcc", "-static", "-pthread", "-O1", "-w", "-o", program, SOURCE], check=True)
    return program


@pytest.fixture(scope="module")
def out(build, base, words):
    place = base / "box"
    place.mkdir()
    box = sentry.Sentries(build, place, [words])
    sentry.need(box)
    o = Strict(build, box)
    yield o
    o.close()


@pytest.fixture(scope="module")
def linux(out, build):
    """The same interfaces once more, with Linux's own stack at both."""
    o = Outside(build, out.box)
    yield o
    o.close()


@pytest.fixture(scope="module")
def echoes(out, linux):
    both = Echo(out), Echo(linux)
    yield both
    for e in both:
        e.close()


# What it has not: IPv6, ICMP's errors, timestamps (which make segments shorter). Edges come more
# often: what a pair of sockets has room for again tells of what can be read, too.
ALIKE = [name for name in SCRIPTS if name not in (
    "datagrams of IPv6", "what comes along", "datagrams, refused", "options", "edges")]


@pytest.mark.parametrize("name", ALIKE)
def test_as_on_linux(out, linux, words, echoes, name):
    def script(echo):
        return [re.sub("PORT", str(echo.port), re.sub("ECHO", str(echo.echo), line))
                for line in SCRIPTS[name]]

    def same(said, echo):
        return said.replace(f" {echo.port}", " PORT").replace(f" {echo.echo}", " ECHO")
    with on_linux(linux, words) as w:
        expected = [f"{line}: {same(said, echoes[1])}"
                    for line, said in zip(SCRIPTS[name], w(*script(echoes[1])))]
    with inside(out) as w:
        assert [f"{line}: {same(said, echoes[0])}"
                for line, said in zip(SCRIPTS[name], w(*script(echoes[0])))] == expected


# ---- what Linux' own loopback has no part in ----

def test_from_outside(out):
    """One listener of both families, of which one comes; what a peer's ends look like inside."""
    with inside(out) as w:
        assert w(f"socket a {TCP6}", "bind a :: 6000", "listen a 5") == ["0"] * 3
        w.say("accept a b")  # which waits
        with out.connect(6000) as s:
            assert w.hear() == "0"
            assert w("peer b") == f"::ffff:{HOST4} {s.getsockname()[1]}"
            assert w("name b") == f"::ffff:{OWN4} 6000"
            assert table(out) == []
            s.sendall(b"hello")
            s.shutdown(socket.SHUT_WR)
            assert w("recv b 10 0x100", "recv b 10") == ["5 hello", "0 "]
            assert w("send b still", "close b") == ["5", "0"]
            assert s.recv(10, socket.MSG_WAITALL) == b"still"
        with out.connect(6000) as s:
            assert w("poll a 1 5000", "accept a b") == ["0x1", "0"]
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert w("poll b 1 5000", "recv b 10", "recv b 10", "send b x") == \
            ["0x19", "ECONNRESET", "0 ", "EPIPE"]
        with out.connect(6000) as s:
            assert w("accept a b", "linger b 1 0", "close b") == ["0"] * 3
            with pytest.raises(ConnectionResetError):
                s.recv(10)
        with pytest.raises(ConnectionRefusedError):
            out.connect(6009)


def table(out):
    """Sockets that the kernel has in the workload's namespace."""
    lines = []
    for name in ("tcp", "tcp6", "udp", "udp6", "raw", "icmp"):
        lines += Path(f"/proc/{out.own.holder.pid}/net/{name}").read_text().splitlines()[1:]
    return lines


def test_datagrams_from_outside(out):
    with inside(out) as w, out.datagrams() as host:
        port = host.getsockname()[1]
        assert w(f"socket a {UDP}", "bind a 0.0.0.0 6001", "set a 0 12 1", "set a 0 8 1") == ["0"] * 4
        w.say("recvfrom a 100")
        host.sendto(b"without", (OWN4, 6001))
        assert w.hear() == f"7 without {HOST4} {port}"
        assert w(f"sendto a {HOST4} {port} answer") == "6"
        assert host.recvfrom(100) == (b"answer", (OWN4, 6001))
        host.sendto(b"l" * 12000, (OWN4, 6001))  # in fragments
        assert w("recv a 70000") == "12000 " + "l" * 60
        assert table(out) == []
        # Whom it is not connected to it does not hear.
        assert w(f"socket b {UDP}", "bind b 0.0.0.0 6002", f"connect b {HOST4} 9", "poll b 1 0") == \
            ["0", "0", "0", "0x0"]
        host.sendto(b"no", (OWN4, 6002))
        assert w("poll b 1 100") == "0x0"


def test_what_it_has_not(out):
    with inside(out) as w:
        assert w(f"socket a {TCP6}", "connect a 2001:db8::1 80", f"socket b {UDP}",
                 f"join b 239.1.1.1 {OWN4}", "sendto b 239.1.1.1 9 x", "sendto b 255.255.255.255 9 x",
                 "set b 1 6 1", "sendto b 255.255.255.255 9 x", "sendto b 10.77.0.255 9 x") == \
            ["0", "ENETUNREACH", "0", "ENODEV", "ENETUNREACH", "EACCES", "0", "1", "1"]
    with out.sandbox(["words"], stdin=subprocess.PIPE,
                     linux_sysctl={"net.ipv4.ping_group_range": "0 100"}) as p:
        p.stdin.write(f"ping {HOST4}\n".encode())
        p.stdin.flush()
        assert p.stdout.readline() == b"EPROTONOSUPPORT\n"


def test_interfaces(out):
    said = out.run("ip addr show eth0 | grep -o -e 'mtu [0-9]*' -e 'inet .*'; ip route; "
                   "cat /sys/class/net/eth0/address; cut -d: -f1 /proc/net/dev | tail -n +3")[1]
    assert said.split("\n") == [
        f"mtu {out.mtu}", f"inet {OWN4}/24 brd 10.77.0.255 scope global eth0",
        f"10.77.0.0/24 dev eth0 scope link  src {OWN4} ", out.mac, "    lo", "  eth0", ""]


def test_a_way_by_a_gateway(out):
    """A route's, and not all there is without one."""
    out.host.ip("addr", "add", "192.0.2.1/32", "dev", "peer0")
    try:
        with out.listener(address="192.0.2.1") as l:
            port = l.getsockname()[1]
            for rules, said in (((), "ENETUNREACH"),
                                (("--route", f"192.0.2.0/24,{HOST4}"), "0"),
                                (("--route", "0.0.0.0/0,10.77.0.250",
                                  "--route", f"192.0.2.1/32,{HOST4}"), "0"),
                                (("--route", "192.0.2.1/32"), "0")):
                with inside(out, *rules) as w:
                    assert w(f"socket a {TCP}", f"connect a 192.0.2.1 {port}") == ["0", said]
    finally:
        out.host.ip("addr", "del", "192.0.2.1/32", "dev", "peer0")


def test_many(out, echoes):
    limit = [{"type": "RLIMIT_NOFILE", "soft": 4096, "hard": 4096}]
    with out.sandbox(["words"], stdin=subprocess.PIPE, process_rlimits=limit) as p:
        for _ in range(2):
            p.stdin.write(f"many {HOST4} {echoes[0].port} 1000\n".encode())
            p.stdin.flush()
            assert [p.stdout.readline() for _ in range(2)] == [b"1000\n"] * 2
        wait.until(lambda: len(os.listdir(f"/proc/{p.broker.pid}/fd")) < 20, "the end of sockets")


def test_threads_at_the_same_sockets(out, echoes):
    """Whatever they do at once, nothing of it is left, and the sandbox goes on."""
    port = echoes[0].port
    with inside(out) as w:
        for seed in range(3):
            assert w(f"race {HOST4} {port} {1000 * seed}") == "0"
        assert w(f"socket a {TCP}", f"connect a {HOST4} {port}", "send a well",
                 "recv a 4 0x100") == ["0", "0", "4", "4 WELL"]
        wait.until(lambda: len(os.listdir(f"/proc/{w.broker.pid}/fd")) <= 6, "the end of sockets")


def test_a_slow_reader(out):
    """What nobody reads fills up, holds nobody else, and comes whole."""
    with out.listener() as l, inside(out) as w:
        assert w(f"socket a {TCP}", f"connect a {HOST4} {l.getsockname()[1]}") == ["0", "0"]
        s, _ = l.accept()
        with s:
            w.say("fill a")
            assert w.hear() == "full"
            sent = int(w.hear())
            assert w(f"socket b {UDP}", "poll a 0xffff 0", "shutdown a 1") == ["0", "0x0", "0"]
            got = 0
            while data := s.recv(1 << 20):
                got += len(data)
                assert data.strip(b"f") == b""
            assert got == sent
            # And the other way.
            w.say("drain a")
            s.sendall(b"x" * (20 << 20))
            s.shutdown(socket.SHUT_WR)
            assert w.hear() == str(20 << 20)


def test_a_server(out):
    """Bound to no address: from outside and from its own loopback; port 80 by a capability."""
    script = ("mkdir /tmp/own/w; cd /tmp/own/w; dd if=/dev/urandom of=page bs=1k count=700 "
              "2>/dev/null; md5sum <page; httpd -p 80; wget -q -O - http://127.0.0.1/page | md5sum;"
              f"wget -q -O - http://{OWN4}/page | md5sum; echo ready; sleep 1000")
    with out.sandbox(script) as p:
        said = [p.stdout.readline().decode() for _ in range(3)]
        assert said[0] == said[1] == said[2]
        assert p.stdout.readline() == b"ready\n"
        for _ in range(3):
            r = subprocess.run(
                out.host.argv("busybox", "wget", "-q", "-O", "-", f"http://{OWN4}/page"),
                capture_output=True, timeout=60, check=True)
            assert hashlib.md5(r.stdout).hexdigest() + "  -\n" == said[0]
        assert table(out) == []


def test_a_name_is_asked_for(out):
    """As a resolver asks, by UDP."""
    def answer():
        q, peer = dns.recvfrom(512)
        end = q.index(b"\0", 12) + 5
        dns.sendto(q[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0) + q[12:end] +
                   struct.pack(">HHHIH", 0xc00c, 1, 1, 60, 4) + bytes([192, 0, 2, 99]), peer)
    with out.datagrams(port=53) as dns:
        t = threading.Thread(target=answer)
        t.start()
        how, said, err = out.run(f"nslookup -type=a some.name.example {HOST4}")
        t.join()
    assert how == 0 and "192.0.2.99" in said, (said, err)


def test_policy(out, echoes):
    port, echo = echoes[0].port, echoes[0].echo
    rules = ["--connect", f"allow,tcp,{HOST4},{port}", "--connect", f"deny,tcp,{HOST4}/16,*",
             "--connect", "deny,udp,*,1-9", "--bind", "deny,tcp,*,6100-6200", "--bind", "deny,udp,*,*",
             "--privileged-ports", "deny"]
    with inside(out, *rules) as w, out.listener() as other:
        assert w(f"socket a {TCP}", f"connect a {HOST4} {other.getsockname()[1]}", f"socket b {TCP6}",
                 f"connect b ::ffff:{HOST4} {other.getsockname()[1]}") == ["0", "EPERM", "0", "EPERM"]
        assert w(f"connect a {HOST4} {port}", "send a yes", "recv a 3 0x100") == ["0", "3", "3 YES"]
        assert w(f"socket c {UDP}", f"sendto c {HOST4} 9 x", f"connect c {HOST4} 9",
                 f"sendto c {HOST4} {echo} yes", "recv c 10") == ["0", "EPERM", "EPERM", "3", "3 YES"]
        assert w(f"socket f {TCP}", "bind f 0.0.0.0 6150", "bind f 0.0.0.0 81",
                 "bind f 127.0.0.1 6150", "listen f 1") == ["0", "EACCES", "EACCES", "0", "0"]
        assert w(f"socket g {TCP}", "bind g 0.0.0.0 6201", "listen g 5") == ["0"] * 3
        out.connect(6201).close()


def test_without_its_stack(out, echoes):
    """It is gone with what it had, and the loopback is as it was."""
    with inside(out) as w:
        assert w(f"socket a {TCP}", f"connect a {HOST4} {echoes[0].port}", f"socket l {TCP}",
                 "bind l 0.0.0.0 6300", "listen l 5") == ["0"] * 5
        w.broker.kill()
        w.broker.wait()
        assert w("recv a 4", f"socket b {TCP}", f"connect b {HOST4} 80") == ["0 ", "0", "ENETDOWN"]
        assert w("close a", f"socket d {TCP}", "connect d 127.0.0.1 6300", "accept l e", "send d x",
                 "recv e 1") == ["0", "0", "0", "0", "1", "1 x"]


# ---- the wire ----

def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return struct.pack(">H", ~total & 0xffff)


def packet(source, to, protocol, data, head=b"\x45"):
    h = head + struct.pack(">BHHHBB", 0, 20 + len(data), 7, 0, 64, protocol)
    a = socket.inet_aton(source) + socket.inet_aton(to)
    return h + checksum(h + b"\0\0" + a) + a + data


def segment(source, to, port, sport=1234, flags=2):
    t = struct.pack(">HHIIBBHHH", sport, port, 99, 0, 0x50, flags, 1000, 0, 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(to) + struct.pack(">BBH", 0, 6, len(t))
    return packet(source, to, 6, t[:16] + checksum(pseudo + t) + t[18:])


class Wire:
    """The host's end of the cable: frames to the stack, and what comes of it."""

    def __init__(self, out):
        self.out, self.s = out, out.host.inside(lambda: packets("peer0"))
        self.mac = json.loads(out.host.ip("-j", "link", "show", "peer0"))[0]["address"]

    @staticmethod
    def bytes_of(mac):
        return bytes.fromhex(mac.replace(":", ""))

    def send(self, data, kind=0x0800, to=None):
        self.s.send((to or self.bytes_of(self.out.mac)) + self.bytes_of(self.mac) +
                    struct.pack(">H", kind) + data)

    def heard(self, seconds=0.3):
        """Packets of IPv4 that the stack sent meanwhile."""
        found = []
        self.s.settimeout(seconds)
        try:
            while True:
                frame = self.s.recv(65536)
                if frame[6:12] == self.bytes_of(self.out.mac) and frame[12:14] == b"\x08\0":
                    found.append(frame[14:])
        except TimeoutError:
            return found

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.s.close()


def test_odd_frames(out):
    """What no honest sender says is not answered, and does the stack no harm."""
    with inside(out) as w, Wire(out) as wire:
        assert w(f"socket a {TCP}", "bind a 0.0.0.0 6400", "listen a 5") == ["0"] * 3
        wire.heard()
        for source, to in ((OWN4, OWN4), ("127.0.0.1", OWN4), (HOST4, "127.0.0.1"), ("0.0.0.0", OWN4),
                           ("255.255.255.255", OWN4), ("10.77.0.255", OWN4), ("224.0.0.1", OWN4),
                           (HOST4, "10.77.0.3"), (HOST4, "10.77.0.255"), (HOST4, "224.0.0.1")):
            wire.send(segment(source, to, 6400))
            wire.send(packet(source, to, 1, b"\x08\0\xf7\xff\0\0\0\0"))
        wire.send(segment(HOST4, OWN4, 6400), to=b"\xff" * 6)
        wire.send(packet(HOST4, OWN4, 1, b"\x0d\0\xf2\xff\0\0\0\0"))  # a time request
        wire.send(packet(HOST4, OWN4, 132, bytes(40)))  # SCTP
        wire.send(packet(HOST4, OWN4, 6, segment(HOST4, OWN4, 6400)[20:], head=b"\x46"))
        wire.send(struct.pack(">HHBBH", 1, 0x800, 6, 4, 2) + Wire.bytes_of(wire.mac) +
                  socket.inet_aton(OWN4) + bytes(6) + socket.inet_aton(OWN4), kind=0x0806)
        for n in range(200):
            data = os.urandom(n)
            wire.send(data)
            wire.send(packet(HOST4, OWN4, (6, 17, 1)[n % 3], data))
            wire.send(data, kind=(0x0806, 0x86dd, 0x8100)[n % 3])
        assert [p for p in wire.heard() if p[9] != 17 and (p[9], p[20]) != (1, 3)
                and not (p[9] == 6 and p[33] & 4)] == []
        assert w.broker.poll() is None
        with out.connect(6400):
            assert w("accept a b") == "0"


def test_a_flood(out):
    """Half-open connections are bounded, and who really wants gets through."""
    with inside(out) as w, Wire(out) as wire:
        assert w(f"socket a {TCP}", "bind a 0.0.0.0 6500", "listen a 5") == ["0"] * 3
        before = memory(w.broker.pid)
        for n in range(20000):
            wire.send(segment(f"10.77.0.{100 + n % 100}", OWN4, 6500, sport=1024 + n))
        with out.connect(6500):
            assert w("accept a b") == "0"
        assert memory(w.broker.pid) - before < 2048


def memory(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


def test_a_full_queue(out):
    """Who listens gets as many as it said; others wait outside, as on Linux."""
    with inside(out) as w:
        assert w(f"socket a {TCP}", "bind a 0.0.0.0 6600", "listen a 3") == ["0"] * 3
        waiting = [out.connect(6600) for _ in range(3)]
        late = out.host.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        late.settimeout(30)
        t = threading.Thread(target=late.connect, args=((OWN4, 6600),))
        t.start()
        assert w("accept a b", "accept a c", "accept a d", "accept a e") == ["0"] * 4
        t.join()
        for s in (late, *waiting):
            s.close()


def test_nobody_guesses(out, echoes):
    """Sequence numbers and ports of two runs."""
    seen = set()
    for _ in range(2):
        with Wire(out) as wire:
            with inside(out) as w:
                for name in "abc":
                    assert w(f"socket {name} {TCP}",
                             f"connect {name} {HOST4} {echoes[0].port}") == ["0", "0"]
            for p in wire.heard():
                if p[9] == 6 and p[33] & 0x12 == 2:
                    seen.add(struct.unpack_from(">H2xI", p, 20))
    assert len(seen) == 6
    assert len({port for port, _ in seen}) >= 5 and len({n >> 16 for _, n in seen}) >= 5, seen


# ---- the program ----

def ask(s, *args, **kw):
    s.send(request(*args, **kw))
    while True:
        head, fds, _, _ = socket.recv_fds(s, 1 << 17, 4)
        tag, result = struct.unpack_from("<Ii", head)
        if tag:
            break
    for fd in fds:
        os.close(fd)
    assert tag == 7
    return result, len(fds)


def test_asked_badly(out):
    with out.broker("--connect", f"deny,tcp,{HOST4},*") as (_, s):
        assert ask(s, OPEN, a=2, b=3, c=1) == (-errno.EPROTONOSUPPORT, 0)  # raw
        assert ask(s, OPEN, a=2, b=2, c=1) == (-errno.EPROTONOSUPPORT, 0)  # ping
        assert ask(s, OPEN, a=17, b=3) == (-errno.EAFNOSUPPORT, 0)  # packets
        assert ask(s, OPEN, number=0, a=2, b=1) == (-errno.EEXIST, 0)
        assert ask(s, OPEN, a=2, b=1) == (0, 1)
        assert ask(s, OPEN, a=2, b=1) == (-errno.EEXIST, 0)
        assert ask(s, LISTEN, a=5) == (-errno.EPERM, 0)
        assert ask(s, ACCEPT, a=2) == (-errno.EINVAL, 0)
        assert ask(s, SHUTDOWN, a=1) == (-errno.ENOTCONN, 0)
        assert ask(s, BIND, address=inet("127.0.0.1", 7100)) == (-errno.EADDRNOTAVAIL, 0)
        assert ask(s, BIND, address=inet(HOST4, 7100)) == (-errno.EADDRNOTAVAIL, 0)
        for to, why in (("127.0.0.1", errno.ENETUNREACH), ("0.0.0.0", errno.ENETUNREACH),
                        ("10.77.0.255", errno.ENETUNREACH), ("240.0.0.1", errno.ENETUNREACH),
                        ("8.8.8.8", errno.ENETUNREACH), (HOST4, errno.EPERM)):
            assert ask(s, CONNECT, address=inet(to, 22)) == (-why, 0), to
        assert ask(s, CONNECT, address=inet(HOST4, 22)[:15]) == (-errno.EINVAL, 0)
        assert ask(s, CONNECT, address=b"\1\0/run/x") == (-errno.EAFNOSUPPORT, 0)
        assert ask(s, SEND, b=-1, c=-1, address=inet(HOST4, 22)) == (-errno.EOPNOTSUPP, 0)
        assert ask(s, SET, a=1, b=25, data=b"lo\0\0") == (-errno.ENOPROTOOPT, 0)  # BINDTODEVICE
        assert ask(s, GET, number=2, a=1, b=4, c=4) == (-errno.EBADF, 0)
        assert ask(s, ROUTES, a=16) == (-errno.EOPNOTSUPP, 0)  # RTM_NEWLINK
        s.send(request(CLOSE))
        assert ask(s, OPEN, a=10, b=2) == (0, 1)
    for nonsense in (b"x", bytes(88), request(12), request(BIND, number=65536)):
        theirs, s = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, s:
            s.send(nonsense)
            r = subprocess.run([out.program, "--socket", f"fd:{theirs.fileno()}"],
                               pass_fds=[theirs.fileno()], capture_output=True, timeout=30,
                               check=False)
            assert (r.returncode, r.stderr) == (1, b"atoll-netstack: the sandbox asks for nonsense\n")


@pytest.mark.parametrize("given, why", [
    ([], "--socket is missing"),
    (["--what", "x"], "there is no option '--what'"),
    (["--socket", "fd:x"], "'fd:x' is no descriptor"),
    (["--socket", "fd:0"], "no seqpacket socket"),
    (["--wire", "fd:0"], "no packet socket"),
    (["--mac", "01:00:00:00:00:01"], "no hardware address"),
    (["--mtu", "20"], "no length of packets"),
    (["--address", "10.0.0.1"], "no ADDRESS/PREFIX"),
    (["--address", "127.0.0.1/8"], "no ADDRESS/PREFIX"),
    (["--route", "10.0.0.1/8"], "ADDRESS/PREFIX[,GATEWAY]"),
    (["--privileged-ports", "some"], "is no allow or deny"),
    (["--bind", "allow,tcp,*,*,*"], "is no rule"),
])
def test_usage(out, given, why):
    r = subprocess.run([out.program, *given], stdin=subprocess.DEVNULL, capture_output=True,
                       text=True, timeout=30, check=False)
    assert r.returncode == 2 and r.stderr.startswith("atoll-netstack: ") and why in r.stderr


def test_walls(out):
    with out.broker() as (p, s):
        assert ask(s, OPEN, a=2, b=1) == (0, 1)  # it has its filter by now
        st = status(p.pid)
        for field in ("CapEff", "CapPrm", "CapBnd"):
            assert int(st[field], 16) == 0, field
        assert st["NoNewPrivs"] == "1" and st["Seccomp"] == "2" and st["Threads"] == "1"
        for ns in ("net", "mnt", "ipc", "uts"):
            assert os.readlink(f"/proc/{p.pid}/ns/{ns}") not in (
                os.readlink(f"/proc/self/ns/{ns}"), os.readlink(out.own.path))
        assert os.listdir(f"/proc/{p.pid}/root") == []
        program, calls = filter_of(p.pid), numbers()
    allowed = {n for n, nr in calls.items() if verdict(program, nr, args=(2, 1, 0)) == ALLOW}
    assert not allowed & {"open", "openat", "openat2", "execve", "execveat", "clone", "clone3", "fork",
                          "ptrace", "mount", "setns", "unshare", "ioctl", "bpf", "io_uring_setup", "socket",
                          "bind", "connect", "listen", "accept4", "setsockopt", "socketpair", "recvmsg",
                          "fcntl", "prctl"}
    assert verdict(program, calls["socketpair"], args=(1, 1, 0)) == ALLOW


# ---- the runtime ----

STRICT = {"org.atoll.sandbox.network": "strict"}


@pytest.fixture(scope="module")
def runtime(build, base):
    """Calls atoll-runtime by its name for sandboxes, with a state directory of its own."""
    for name in ("atoll-sentry", "atoll-device", "atoll-broker", "atoll-netstack"):
        os.symlink(build / name, base / name)
    link, bundle = base / "atoll-sandbox", base / "hand"
    link.symlink_to(build / "atoll-runtime")
    bundle.mkdir()
    sentry.tree(bundle / "rootfs")

    def call(*args, config=None):
        if config:
            (bundle / "config.json").write_text(json.dumps(config), encoding="utf-8")
        with open(base / "said", "w", encoding="utf-8") as f:
            r = subprocess.run([link, "--root", base / "state", *args], stdin=subprocess.DEVNULL,
                               stdout=f, stderr=f, timeout=60, check=False)
        return r.returncode, (base / "said").read_text()
    call.bundle = bundle
    return call


class Named:
    """Two namespaces with a cable, of which the workload's has a name that is no process'."""

    def __init__(self, base):
        self.out = Outside.__new__(Outside)
        self.path = base / "netns"

    def __enter__(self):
        Outside.__init__(self.out, self.path.parent, None)
        self.path.touch()
        subprocess.run(["mount", "--bind", self.out.own.path, self.path], check=True)
        self.out.own.ip("route", "add", "default", "via", HOST4)
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", self.path], check=True)
        self.path.unlink()
        self.out.close()

    def config(self, script, **changes):
        spaces = [{"type": t} for t in ("pid", "mount", "ipc", "uts")]
        return sentry.config(["sh", "-c", script], **{
            "linux_namespaces": [*spaces, {"type": "network", "path": str(self.path)}],
            "linux_cgroupsPath": "/atoll-test/strict", "annotations": STRICT, **changes})

    def has(self):
        return [self.out.own.ip(*args) for args in (
            ("-o", "addr", "show", "eth0"), ("route",), ("-6", "route"), ("-o", "link", "show", "eth0"))]


@pytest.fixture
def named(base):
    with Named(base) as n:
        yield n


def netstacks():
    """Those of the sandboxes below, by their cgroup."""
    found = []
    for p in Path("/proc").glob("[0-9]*"):
        try:
            if (p / "cmdline").read_bytes().split(b"\0")[0].endswith(b"atoll-netstack") \
                    and "/atoll-test/strict" in (p / "cgroup").read_text():
                found.append(int(p.name))
        except OSError:
            pass
    return found


def test_a_runtimes_namespace(runtime, named):
    """Its interface is the stack's while the sandbox is there, and as it was before afterwards."""
    before = named.has()
    script = "echo page >/tmp/own/page; httpd -p 8080 -h /tmp/own; sleep 1000"
    rc, said = runtime("create", "--bundle", runtime.bundle, "s", config=named.config(script))
    try:
        assert rc == 0, said
        assert len(netstacks()) == 1
        assert runtime("start", "s")[0] == 0
        got = subprocess.run(
            named.out.host.argv("busybox", "timeout", "30", "sh", "-c",
                                f"until wget -q -O - http://{OWN4}:8080/page 2>/dev/null; do sleep 0.1; done"),
            capture_output=True, timeout=60, check=False)
        assert got.stdout == b"page\n"
        assert table(named.out) == [] and OWN4 not in named.has()[0]
        assert "inet6" not in named.has()[0]
        heard = []

        def hear(l):
            s, who = l.accept()
            with s:
                heard.append((who[0], s.recv(100)))
        with named.out.listener() as l:
            t = threading.Thread(target=hear, args=(l,))
            t.start()
            rc, said = runtime("exec", "s", "sh", "-c", f"ip route; echo hello | nc -w 5 {HOST4} "
                               f"{l.getsockname()[1]}")
            t.join()
        assert said == f"default via {HOST4} dev eth0 \n10.77.0.0/24 dev eth0 scope link  src {OWN4} \n"
        assert (rc, heard) == (0, [(OWN4, b"hello\n")])
        # Nobody else gets that interface.
        rc, said = runtime("run", "--bundle", runtime.bundle, "t", config=named.config(
            "true", linux_cgroupsPath="/atoll-test/other"))
        assert rc != 0 and "is another workload's alone" in said
    finally:
        runtime("delete", "--force", "s")
    wait.until(lambda: not netstacks(), "the end of the stack")
    assert named.has() == before
    # Without the annotation it is the kernel's.
    rc, said = runtime("run", "--bundle", runtime.bundle, "t",
                       config=named.config("ip addr show eth0 | grep -c inet6", annotations={}))
    assert (rc, said) == (0, "1\n")


def test_a_hooks_namespace(runtime, base):
    """One that a hook makes something of, as dockerd does, is taken once it has."""
    hook = base / "hook"
    hook.write_text("#!/bin/sh\npid=$(sed -n 's/.*\"pid\":\\([0-9]*\\).*/\\1/p')\n"
                    "n=\"nsenter -t $pid -n\"\n"
                    "$n ip link add eth0 type veth peer name peer0\n"
                    "$n ip addr add 10.78.0.2/24 dev eth0\n$n ip link set peer0 up\n"
                    "$n ip link set peer0 address 02:00:00:00:00:09 down\n$n ip link set eth0 up\n")
    hook.chmod(0o755)
    spaces = [{"type": t} for t in ("pid", "mount", "ipc", "uts", "network")]
    rc, said = runtime("run", "--bundle", runtime.bundle, "h", config=sentry.config(
        ["sh", "-c", "ip addr show eth0 | grep -o 'inet .*'; nc -w 1 10.78.0.9 80 </dev/null 2>/dev/null; echo $?"],
        linux_namespaces=spaces, linux_cgroupsPath="/atoll-test/strict", annotations=STRICT,
        hooks={"prestart": [{"path": str(hook)}]}))
    assert (rc, said) == (0, "inet 10.78.0.2/24 brd 10.78.0.255 scope global eth0\n1\n")
    assert not netstacks()


def test_refused_by_the_runtime(runtime, named):
    own = [{"type": t} for t in ("pid", "mount", "ipc", "uts")]

    def run(**changes):
        rc, said = runtime("run", "--bundle", runtime.bundle, "r", config=named.config("true", **changes))
        assert rc != 0
        return said
    assert "is neither strict nor broker" in run(annotations={"org.atoll.sandbox.network": "yes"})
    assert "cannot use the host's interfaces" in run(linux_namespaces=own)
    assert "cannot share the network of a process" in run(
        linux_namespaces=[*own, {"type": "network", "path": named.out.own.path}])
    named.out.own.ip("addr", "add", "10.99.0.1/24", "dev", "eth0")
    assert "it has one address" in run()
    assert OWN4 in named.has()[0] and "10.99.0.1" in named.has()[0]  # given back
    named.out.own.ip("addr", "del", "10.99.0.1/24", "dev", "eth0")
    named.out.own.ip("link", "add", "eth1", "type", "veth", "peer", "name", "eth2")
    named.out.own.ip("link", "set", "eth1", "up")
    assert "cannot have two interfaces ('eth0' and 'eth1')" in run()
    named.out.own.ip("link", "del", "eth1")
