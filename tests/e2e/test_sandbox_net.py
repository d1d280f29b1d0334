# SPDX-License-Identifier: Apache-2.0
"""
The network outside of a sandbox, by its broker: programs of an image reach the other side of a
network namespace and are reached from there, within a policy; their own loopback is theirs alone.
What calls of sockets give is compared with Linux's, on the same interfaces.
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
from contextlib import contextmanager
from pathlib import Path

import pytest

from lib import sentry, wait
from lib.outside import HOST4, HOST6, OWN4, OWN6, Outside
from test_kernel_confined import ALLOW, filter_of, numbers, status, verdict

pytestmark = [pytest.mark.timeout(120),
              pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")]
SOURCE = Path(__file__).resolve().parent.parent / "fixtures" / "sockets_words.c"
TCP, UDP, TCP6, UDP6 = "2 1 0", "2 2 0", "10 1 0", "10 2 0"
SOL_SOCKET, SO_ERROR = 1, 4


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
    o = Outside(build, box)
    yield o
    o.close()


class Words:
    """A process that does calls of sockets, a line each."""

    def __init__(self, process):
        self.p = process

    def say(self, *lines):
        self.p.stdin.write("".join(f"{line}\n" for line in lines).encode())
        self.p.stdin.flush()

    def hear(self):
        return self.p.stdout.readline().decode().rstrip("\n")

    def __call__(self, *lines):
        """What each line gave; of one line alone, not in a list."""
        said = []
        for line in lines:
            self.say(line)
            said.append(self.hear())
        return said[0] if len(said) == 1 else said


@contextmanager
def inside(out, *rules):
    with out.sandbox(["words"], *rules, stdin=subprocess.PIPE) as p:
        w = Words(p)
        w.broker = p.broker
        yield w


@contextmanager
def on_linux(out, words):
    """The same program as a process of the workload's namespace."""
    with subprocess.Popen(out.own.argv(words), stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as p:
        yield Words(p)
        p.stdin.close()


# ---- streams ----


def test_a_client(out):
    with out.listener() as l, out.sandbox(f"echo hello | nc {HOST4} {l.getsockname()[1]}") as p:
        s, _ = l.accept()
        with s:
            assert s.recv(100) == b"hello\n"
            s.sendall(b"answer\n")
            s.shutdown(socket.SHUT_WR)
        assert p.communicate(timeout=60) == (b"answer\n", b"")


def test_a_page_of_the_host(out, base):
    data = os.urandom(5 << 20)
    (base / "page").write_bytes(data)
    with subprocess.Popen(out.host.argv("busybox", "httpd", "-f", "-p", f"{HOST4}:80", "-h",
                                        base)) as server:
        try:
            wait.until(lambda: out.run(f"wget -q -O /dev/null http://{HOST4}/page")[0] == 0,
                       "a server")
            assert out.run(f"wget -q -O - http://{HOST4}/page | md5sum") == \
                (0, hashlib.md5(data).hexdigest() + "  -\n", "")
        finally:
            server.kill()


def test_a_server(out):
    """Bound to no address: from outside and from its own loopback; port 80 by a capability."""
    script = ("mkdir /tmp/own/w; cd /tmp/own/w; dd if=/dev/urandom of=page bs=1k count=700 "
              "2>/dev/null; md5sum <page; httpd -p 80; wget -q -O - http://127.0.0.1/page | md5sum;"
              "wget -q -O - http://[::1]/page | md5sum; echo ready; sleep 1000")
    with out.sandbox(script) as p:
        said = [p.stdout.readline().decode() for _ in range(3)]
        assert said[0] == said[1] == said[2]
        assert p.stdout.readline() == b"ready\n"
        for address in (OWN4, f"[{OWN6}]"):
            r = subprocess.run(
                out.host.argv("busybox", "wget", "-q", "-O", "-", f"http://{address}/page"),
                capture_output=True, timeout=60, check=True)
            assert hashlib.md5(r.stdout).hexdigest() + "  -\n" == said[0]


def test_loopback_is_its_own(out):
    """What is bound to it inside is not in the namespace, and what is there is not reached."""
    with out.sandbox("httpd -p 127.0.0.1:7000 -h /etc; "
                     "wget -q -O - http://127.0.0.1:7000/group; sleep 1000") as p:
        assert p.stdout.readline() == b"root:x:0:\n"
        assert ":1B58" not in Path(f"/proc/{out.own.holder.pid}/net/tcp").read_text()
    with out.own.inside(lambda: socket.create_server(("0.0.0.0", 7001))):
        assert out.run("nc -w 5 127.0.0.1 7001 </dev/null; echo $?")[1] == "1\n"


SCRIPTS = {
    "no such kinds": [f"socket a {kind}" for kind in
                      ("-1 1 0", "46 15 0", "0 1 0", "0 11 0", "1 0 0", "1 4 0", "1 1 -1", "1 1 6",
                       "1 4 6", "1 11 6", "2 0 0", "2 4 0", "2 4 -1", "2 3 0", "2 3 263", "2 1 17",
                       "2 2 6", "2 1 262000", "2 75 0", "2 5 6", "10 3 0", "10 1 300", "10 2 6",
                       "16 1 0", "16 2 40", "16 2 -1", "16 12 0")],
    "refused": [f"socket a {TCP}", f"connect a {HOST4} 9", f"get a {SOL_SOCKET} {SO_ERROR}",
                "recv a 10", "send a x", "peer a", f"connect a {HOST4} 9"],
    "refused later": [f"socket a {TCP}", "nonblock a", f"connect a {HOST4} 9", "poll a 0xffff 5000",
                      f"get a {SOL_SOCKET} {SO_ERROR}", f"get a {SOL_SOCKET} {SO_ERROR}",
                      "poll a 0xffff 0", "recv a 10", "send a x"],
    "refused, read": [f"socket a {TCP}", "nonblock a", f"connect a {HOST4} 9", "poll a 4 5000",
                      "recv a 10", "recv a 10", f"get a {SOL_SOCKET} {SO_ERROR}"],
    "refused, asked": [f"socket a {TCP}", "nonblock a", f"connect a {HOST4} 9", "poll a 4 5000",
                       f"connect a {HOST4} 9", "poll a 0xffff 0"],
    "refused within": [f"socket a {TCP}", "nonblock a", "connect a 127.0.0.1 9",
                       "poll a 0xffff 1000", "recv a 10", f"get a {SOL_SOCKET} {SO_ERROR}",
                       "recv a 10", "poll a 0xffff 0", "send a x"],
    "refused within, waited for": [f"socket a {TCP}", "connect a 127.0.0.1 9", "poll a 0xffff 0",
                                   "recv a 10", f"get a {SOL_SOCKET} {SO_ERROR}", "send a x",
                                   "connect a 127.0.0.1 9", "peer a", "shutdown a 2"],
    "refused within, asked": [f"socket a {TCP}", "nonblock a", "connect a 127.0.0.1 9",
                              f"get a {SOL_SOCKET} {SO_ERROR}", f"get a {SOL_SOCKET} {SO_ERROR}",
                              "poll a 0xffff 0", "recv a 10", "connect a 127.0.0.1 9"],
    "unreachable": [f"socket a {TCP}", "connect a 192.0.2.1 80", f"socket b {TCP6}",
                    "connect b 2001:db8::1 80", f"socket c {UDP}", "sendto c 192.0.2.1 80 x",
                    "connect c 192.0.2.1 80"],
    "data": [f"socket a {TCP}", f"connect a {HOST4} PORT", "peer a", "send a upper", "recv a 3 2",
             "recv a 5 0x100", "queued a", "set a 6 1 1", "get a 6 1", "set a 1 9 1", "get a 1 9",
             "recv a 1 0x40", "poll a 0xffff 0", "shutdown a 1", "recv a 10", "poll a 0xffff 1000",
             "send a x", f"connect a {HOST4} PORT"],
    "addresses": [f"socket a {TCP}", "set a 1 2 1", f"bind a {OWN4} 5001", "name a", f"connect a {HOST4} PORT",
                  "name a", f"socket b {TCP}", f"bind b {HOST4} 5002", f"bind b {OWN4} 5001",
                  f"connect a {HOST4} PORT",
                  f"socket c {TCP6}", f"connect c ::ffff:{HOST4} PORT", "peer c",
                  f"socket d {TCP}", "bind d 127.0.0.1 0", f"connect d {HOST4} PORT"],
    "options": [f"socket a {TCP}", "get a 6 2", f"connect a {HOST4} PORT", "get a 6 2",
                "get a 0 14", "set a 0 1 16", "get a 0 1", "set a 0 1 0xff", "get a 0 1",
                "set a 1 18 1", "set a 6 4 60", "get a 6 4", "set a 6 5 0", "get a 1 3",
                "get a 1 38"],
    "options within": [f"socket a {TCP}", "set a 0 1 0xff", "get a 0 1", "set a 0 1 3", "get a 0 1",
                       f"socket b {UDP}", "set b 0 1 0xff", "get b 0 1", "set b 0 1 256",
                       "get b 0 1"],
    "a listener": [f"socket a {TCP}", "set a 1 2 1", "bind a 0.0.0.0 5003", "listen a 5", "name a",
                   "get a 1 30", f"socket b {TCP}", "connect b 127.0.0.1 5003", "accept a c",
                   "send c hi", "recv b 10", f"socket d {TCP}", f"connect d {OWN4} 5003",
                   "accept a e", "send d own", "recv e 10", f"socket f {TCP}",
                   "bind f 0.0.0.0 5003", "poll a 0xffff 0", "nonblock a", "accept a g"],
    "parted": [f"socket a {TCP}", f"connect a {HOST4} PORT", "connect a nobody", "recv a 4",
               f"connect a {HOST4} PORT", "send a low", "recv a 3 0x100"],
    "datagrams": [f"socket a {UDP}", f"sendto a {HOST4} ECHO hello", "recvfrom a 100",
                  f"connect a {HOST4} ECHO", "peer a", "send a again", "poll a 1 5000",
                  "queued a", "recv a 2 0x20", "recv a 10 0x40", "poll a 0xffff 0"],
    "datagrams, refused": [f"socket a {UDP}", f"connect a {HOST4} 9", "send a x",
                           "poll a 0xffff 5000", f"get a {SOL_SOCKET} {SO_ERROR}", "send a x",
                           "poll a 1 5000", "recv a 10", "recv a 10 0x40"],
    "datagrams, refused within": [f"socket a {UDP}", "connect a 127.0.0.1 9", "send a x",
                                  "poll a 0xffff 1000", "recv a 10", "send a x", "send a x",
                                  "poll a 0xffff 0"],
    "datagrams, parted": [f"socket a {UDP}", f"connect a {HOST4} ECHO", "connect a nobody",
                          "send a x", f"sendto a {HOST4} ECHO there", "recvfrom a 100",
                          "connect a 127.0.0.1 9", f"connect a {HOST4} ECHO",
                          "send a y", "recv a 10"] ,
    "datagrams, shut": [f"socket a {UDP}", "shutdown a 1", f"connect a {HOST4} ECHO", "shutdown a 0",
                        "recv a 10", "shutdown a 1", "send a x", "poll a 0xffff 0"],
    "datagrams, shut within": [f"socket a {UDP}", "shutdown a 2", "bind a 127.0.0.1 5009",
                               "shutdown a 2", "poll a 0xffff 0", f"socket b {UDP}",
                               "connect b 127.0.0.1 5009", "shutdown b 0", "recv b 10",
                               "poll b 0xffff 0", "shutdown b 1", "send b x", "poll b 0xffff 0"],
    "datagrams of IPv6": [f"socket a {UDP6}", f"sendto a {HOST6} ECHO six", "recvfrom a 100",
                          f"sendto a ::ffff:{HOST4} ECHO four", "recvfrom a 100"],
    "what comes along": [f"socket a {UDP}", "set a 0 12 1", "set a 0 13 1", "set a 0 8 1",
                         f"sendto a {HOST4} ECHO x", "recvmsg a 100", f"socket b {UDP6}",
                         "set b 41 49 1", "set b 41 51 1", "set b 41 66 1",
                         f"sendto b {HOST6} ECHO x", "recvmsg b 100"],
    "times": [f"socket a {TCP}", f"connect a {HOST4} PORT", "timeout a 20 50", "recv a 10",
              f"socket b {UDP}", "timeout b 20 50", "recv b 10", f"socket c {TCP}",
              "timeout c 21 50", "connect c 10.77.0.99 80", "connect c 10.77.0.99 80",
              "poll c 0xffff 0"],
    "edges": [f"socket a {TCP}", f"connect a {HOST4} PORT", "watch a 0x80000001", "wait 0",
              "send a up", "wait 5000", "wait 0", "recv a 1", "wait 0", "send a up", "wait 5000",
              "wait 0", "recv a 10", "shutdown a 1", "wait 5000"],
}


class Echo:
    """The host's side: streams hear in capitals what they say, to its end; datagrams, too."""

    def __init__(self, out):
        self.l = out.listener()
        self.d = [out.datagrams()]
        self.port, self.echo = (s.getsockname()[1] for s in (self.l, self.d[0]))
        self.d.append(out.datagrams(socket.AF_INET6, self.echo))
        for run, s in ((self.accept, self.l), *((self.datagrams, s) for s in self.d)):
            s.settimeout(None)
            threading.Thread(target=run, args=(s,), daemon=True).start()

    def accept(self, l):
        while True:
            try:
                s, _ = l.accept()
            except OSError:
                return
            threading.Thread(target=self.stream, args=(s,), daemon=True).start()

    @staticmethod
    def stream(s):
        with s:
            try:
                while data := s.recv(65536):
                    s.sendall(data.upper())
            except OSError:
                pass

    @staticmethod
    def datagrams(s):
        while True:
            try:
                data, peer = s.recvfrom(65536)
            except OSError:
                return
            s.sendto(data.upper(), peer)

    def close(self):
        for s in (self.l, *self.d):
            s.close()


@pytest.fixture(scope="module")
def echo(out):
    e = Echo(out)
    yield e
    e.close()


@pytest.mark.parametrize("name", SCRIPTS)
def test_as_on_linux(out, words, echo, name):
    script = [re.sub("PORT", str(echo.port), re.sub("ECHO", str(echo.echo), line))
              for line in SCRIPTS[name]]
    with on_linux(out, words) as w:
        expected = [f"{line}: {said}" for line, said in zip(script, w(*script))]
    with inside(out) as w:
        assert [f"{line}: {said}" for line, said in zip(script, w(*script))] == expected


def test_from_outside(out):
    """One listener of both families; what a host's program and a guest's end looks like there."""
    with inside(out) as w:
        assert w(f"socket a {TCP6}", "bind a :: 6000", "listen a 5") == ["0"] * 3
        for family, prefix in ((socket.AF_INET, "::ffff:"), (socket.AF_INET6, "")):
            w.say("accept a b")  # which waits
            with out.connect(6000, family) as s:
                assert w.hear() == "0"
                assert w("peer b") == f"{prefix}{s.getsockname()[0]} {s.getsockname()[1]}"
                assert w("name b") == f"{prefix}{s.getpeername()[0]} 6000"
                s.sendall(b"hello")
                s.shutdown(socket.SHUT_WR)
                assert w("recv b 10 0x100", "recv b 10") == ["5 hello", "0 "]
                assert w("send b still", "poll b 0xffff 0", "close b") == ["5", "0x2145", "0"]
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


def test_datagrams_from_outside(out):
    """One socket hears the host and its own loopback, and answers both."""
    with inside(out) as w, out.datagrams() as host:
        assert w(f"socket a {UDP}", "bind a 0.0.0.0 6001", f"socket b {UDP}",
                 "connect b 127.0.0.1 6001", "send b within") == ["0", "0", "0", "0", "6"]
        within = w("name b")
        assert w("recvfrom a 100") == f"6 within {within}"
        w.say("recvfrom a 100")
        host.sendto(b"without", (OWN4, 6001))
        port = host.getsockname()[1]
        assert w.hear() == f"7 without {HOST4} {port}"
        assert w(f"sendto a {HOST4} {port} answer") == "6"
        assert host.recvfrom(100) == (b"answer", (OWN4, 6001))
        assert w(f"sendto a {within} back", "recv b 10") == ["4", "4 back"]
        # The longest there is, in fragments.
        host.sendto(b"l" * 65507, (OWN4, 6001))
        assert w("recv a 70000") == "65507 " + "l" * 60


def test_groups(out):
    with inside(out) as w, out.datagrams() as host:
        assert w(f"socket a {UDP}", "bind a 0.0.0.0 6003", f"join a 239.1.1.1 {OWN4}") == ["0"] * 3
        host.sendto(b"all", ("239.1.1.1", 6003))
        assert w("recv a 100") == "3 all"


def test_echo_requests(out, words):
    script = [f"ping {HOST4}", f"ping {OWN4}"]
    with on_linux(out, words) as w:
        expected = w(*script)
    with out.sandbox(["words"], stdin=subprocess.PIPE,
                     linux_sysctl={"net.ipv4.ping_group_range": "0 100"}) as p:
        assert Words(p)(*script) == expected == ["12 0 ping"] * 2
    with inside(out) as w:
        assert w(f"ping {HOST4}") == "EACCES"
    with out.sandbox(["words"], "--connect", f"deny,icmp,{HOST4},*", stdin=subprocess.PIPE,
                     linux_sysctl={"net.ipv4.ping_group_range": "0 100"}) as p:
        assert Words(p)(*script) == ["EPERM", "12 0 ping"]


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


def test_interfaces(out, words):
    """What there is, as programs ask: rtnetlink, ioctls, /proc/net; what has come since is seen."""
    scripts = ["cat /proc/net/route", "sort /proc/net/if_inet6", "ip addr", "ip -6 addr show eth0",
               "ip route", "ip -6 route | sort", "ip link show eth0", "ifconfig eth0 | grep -e HWaddr -e inet.addr",
               "ifconfig -a | grep -c encap", "route -n", "cut -d: -f1 /proc/net/dev"]
    inner = ("cd /sys/class/net; ls; cd eth0; cat address mtu ifindex operstate carrier; "
             "test $(cat statistics/rx_packets) -gt 0; echo $?; readlink /sys/class/net/eth0; "
             "test -e /sys/class/net/nosuch; echo $?; sleep 1000 | nc -l -p 7777 & "
             "until netstat -tln | grep :7777; do sleep 0.1; done")

    def alike():
        with on_linux(out, words) as w:
            expected = w("interfaces")
        with inside(out) as w:
            assert w("interfaces") == expected
        told = out.run("; ".join(f"echo '{s}:'; {s}" for s in scripts))[1].split("\n")
        assert told == subprocess.run(
            out.own.argv("busybox", "sh", "-c", "; ".join(f"echo '{s}:'; {s}" for s in scripts)),
            capture_output=True, text=True, check=True).stdout.split("\n")
        return told
    def is_up(name):
        wait.until(lambda: "state UP" in out.own.ip("link", "show", name), "Linux's own watch of links")
    is_up("eth0")
    before = alike()
    assert any(OWN4 in line for line in before)
    links = json.loads(out.own.ip("-j", "link", "show"))
    link = next(l for l in links if l["ifname"] == "eth0")
    assert out.run(inner)[1].split() == [
        *sorted(l["ifname"] for l in links), link["address"], str(link["mtu"]), str(link["ifindex"]),
        link["operstate"].lower(), str(int("LOWER_UP" in link["flags"])), "0", "../../devices/virtual/net/eth0", "1",
        "tcp", "0", "0", ":::7777", ":::*", "LISTEN"]
    out.own.ip("link", "add", "more0", "type", "veth", "peer", "name", "more1")
    for name in ("more0", "more1"):
        out.own.ip("link", "set", name, "addrgenmode", "none", "up")
    is_up("more0")
    is_up("more1")
    out.own.ip("addr", "add", "192.0.2.33/27", "dev", "more0")
    out.own.ip("route", "add", "198.51.100.0/24", "via", "192.0.2.40", "metric", "7")
    try:
        assert any("198.51.100.0" in line for line in alike())
    finally:
        out.own.ip("link", "del", "more0")
    assert alike() == before


def test_many(out, echo):
    limit = [{"type": "RLIMIT_NOFILE", "soft": 4096, "hard": 4096}]
    with out.sandbox(["words"], stdin=subprocess.PIPE, process_rlimits=limit) as p:
        w = Words(p)
        for _ in range(2):
            w.say(f"many {HOST4} {echo.port} 1000")
            assert [w.hear(), w.hear()] == ["1000", "1000"]
        wait.until(lambda: len(os.listdir(f"/proc/{p.broker.pid}/fd")) < 20,
                   "the end of what was closed inside")


def test_threads_at_the_same_sockets(out, echo):
    """Whatever they do at once, nothing of it is left, and the sandbox goes on."""
    with inside(out) as w:
        for seed in range(5):
            assert w(f"race {HOST4} {echo.port} {1000 * seed}") == "0"
        assert w(f"socket a {TCP}", f"connect a {HOST4} {echo.port}", "send a well",
                 "recv a 4 0x100") == ["0", "0", "4", "4 WELL"]
        wait.until(lambda: len(os.listdir(f"/proc/{w.broker.pid}/fd")) <= 5, "the end of sockets")


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


def test_policy(out, echo):
    rules = ["--connect", f"allow,tcp,{HOST4},{echo.port}", "--connect", f"deny,tcp,{HOST4}/16,*",
             "--connect", "deny,udp,*,1-9", "--connect", f"deny,*,{HOST6}/64,*",
             "--bind", "deny,tcp,*,6100-6200", "--bind", "deny,udp,*,*"]
    with inside(out, *rules) as w, out.listener() as other:
        port = other.getsockname()[1]
        assert w(f"socket a {TCP}", f"connect a {HOST4} {port}", f"socket b {TCP6}",
                 f"connect b ::ffff:{HOST4} {port}", f"connect b {HOST6} {echo.port}") == \
            ["0", "EPERM", "0", "EPERM", "EPERM"]
        assert w(f"connect a {HOST4} {echo.port}", "send a yes", "recv a 3 0x100") == \
            ["0", "3", "3 YES"]
        assert w(f"socket c {UDP}", f"sendto c {HOST4} 9 x", f"connect c {HOST4} 9") == \
            ["0", "EPERM", "EPERM"]
        assert w(f"sendto c {HOST4} {echo.echo} yes", "recv c 10") == ["3", "3 YES"]
        # What it is bound to is nobody's business where it is to hear answers alone.
        assert w(f"socket d {UDP}", "bind d 0.0.0.0 0", f"sendto d {HOST4} {echo.echo} yes",
                 "recv d 10", f"socket e {UDP}", "bind e 0.0.0.0 6100") == \
            ["0", "0", "3", "3 YES", "0", "EACCES"]
        assert w(f"socket f {TCP}", "bind f 0.0.0.0 6150", f"bind f {OWN4} 6150",
                 "bind f 127.0.0.1 6150", "listen f 1") == ["0", "EACCES", "EACCES", "0", "0"]
        assert w(f"socket g {TCP}", "bind g 0.0.0.0 6201", "listen g 5") == ["0"] * 3
        out.connect(6201).close()
    with inside(out, "--bind", "deny,*,*,*") as w:
        # In here it listens, to those in here.
        assert w(f"socket a {TCP}", "listen a 5") == ["0", "0"]


def test_without_its_broker(out, echo):
    """What is connected goes on, what would be new is refused, and the loopback is as it was."""
    with inside(out) as w:
        assert w(f"socket a {TCP}", f"connect a {HOST4} {echo.port}", f"socket l {TCP}",
                 "bind l 0.0.0.0 6300", "listen l 5") == ["0"] * 5
        w.broker.kill()
        w.broker.wait()
        assert w("send a more", "recv a 4 0x100", f"socket b {TCP}", f"connect b {HOST4} 80",
                 f"socket c {UDP}", f"sendto c {HOST4} {echo.echo} x") == \
            ["4", "4 MORE", "0", "ENETDOWN", "0", "ENETDOWN"]
        assert w("shutdown a 1", "close a", f"socket d {TCP}", "connect d 127.0.0.1 6300",
                 "accept l e", "send d x", "recv e 1", f"socket f {TCP}", "bind f 0.0.0.0 6301",
                 "listen f 1") == ["ENETDOWN", "0", "0", "0", "0", "1", "1 x", "0", "0", "0"]


# ---- the broker ----

def request(kind, number=1, a=0, b=0, c=0, address=b"", data=b""):
    return struct.pack("<IIIiii", kind, 7, number, a, b, c) + \
        struct.pack("<I28s", len(address), address) + bytes(32) + data


def ask(s, *args, **kw):
    s.send(request(*args, **kw))
    head, fds, _, _ = socket.recv_fds(s, 1 << 17, 4)
    for fd in fds:
        os.close(fd)
    tag, result = struct.unpack_from("<Ii", head)
    assert tag == 7
    return result, len(fds)


def inet(address, port):
    return struct.pack("<H", socket.AF_INET) + struct.pack(">H", port) + \
        socket.inet_aton(address) + bytes(8)


OPEN, CLOSE, BIND, CONNECT, LISTEN, ACCEPT, SEND, SHUTDOWN, GET, SET, ROUTES = range(1, 12)


def test_the_broker_is_asked_badly(out):
    with out.broker("--connect", f"deny,tcp,{HOST4},*") as (_, s):
        assert ask(s, OPEN, a=2, b=3, c=1) == (-errno.EPROTONOSUPPORT, 0)  # raw
        assert ask(s, OPEN, a=17, b=3) == (-errno.EAFNOSUPPORT, 0)  # packets
        assert ask(s, OPEN, a=1, b=1) == (-errno.EAFNOSUPPORT, 0)  # AF_UNIX
        assert ask(s, OPEN, a=2, b=1) == (0, 1)
        assert ask(s, OPEN, a=2, b=1) == (-errno.EEXIST, 0)
        assert ask(s, LISTEN, a=5) == (-errno.EPERM, 0)
        assert ask(s, BIND, address=inet("127.0.0.1", 7100)) == (-errno.EADDRNOTAVAIL, 0)
        assert ask(s, CONNECT, address=inet("127.0.0.1", 22)) == (-errno.ENETUNREACH, 0)
        assert ask(s, CONNECT, address=inet("0.0.0.0", 22)) == (-errno.ENETUNREACH, 0)
        assert ask(s, CONNECT, address=inet(HOST4, 22)) == (-errno.EPERM, 0)
        assert ask(s, CONNECT, address=inet(HOST4, 22)[:15]) == (-errno.EINVAL, 0)
        assert ask(s, CONNECT, address=b"\1\0/run/x") == (-errno.EAFNOSUPPORT, 0)
        assert ask(s, SEND, b=-1, c=-1, address=inet(HOST4, 22)) == (-errno.EOPNOTSUPP, 0)
        assert ask(s, SET, a=1, b=25, data=b"lo\0\0") == (-errno.ENOPROTOOPT, 0)  # BINDTODEVICE
        assert ask(s, SET, a=1, b=13, data=struct.pack("ii", 1, 9)) == (-errno.EINVAL, 0)
        assert ask(s, SET, a=1, b=36, data=bytes(4)) == (-errno.ENOPROTOOPT, 0)  # MARK
        assert ask(s, GET, number=2, a=1, b=4, c=4) == (-errno.EBADF, 0)
        assert ask(s, ACCEPT, number=1, a=-1) == (-errno.EEXIST, 0)
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
            assert (r.returncode, r.stderr) == (1, b"atoll-broker: the sandbox asks for nonsense\n")


def test_the_broker_without_the_right_to_ports(out):
    for rules, result in (((), 0), (("--privileged-ports", "allow"), 0),
                          (("--privileged-ports", "deny"), -errno.EACCES)):
        with out.broker(*rules) as (_, s):
            assert ask(s, OPEN, a=2, b=1) == (0, 1)
            assert ask(s, BIND, address=inet(OWN4, 81)) == (result, 0)


@pytest.mark.parametrize("given, why", [
    ([], "--socket is missing"),
    (["--what", "x"], "there is no option '--what'"),
    (["--socket", "fd:x"], "'fd:x' is no descriptor"),
    (["--socket", "fd:0"], "no seqpacket socket"),
    (["--privileged-ports", "some"], "is neither allow nor deny"),
    (["--bind", "allow,tcp,*,*,*"], "is no rule"),
    (["--connect", "allow,tcp,1.2.3.4/40,*"], "no ADDRESS"),
])
def test_the_brokers_usage(out, given, why):
    r = subprocess.run([out.program, *given], stdin=subprocess.DEVNULL, capture_output=True,
                       text=True, timeout=30, check=False)
    assert r.returncode == 2 and r.stderr.startswith("atoll-broker: ") and why in r.stderr


def test_the_brokers_walls(out):
    with out.broker() as (p, s):
        assert ask(s, OPEN, a=2, b=1) == (0, 1)  # it has its filter by now
        st = status(p.pid)
        for field in ("CapEff", "CapPrm", "CapBnd"):
            assert int(st[field], 16) == 1 << 10, field  # CAP_NET_BIND_SERVICE
        assert st["NoNewPrivs"] == "1" and st["Seccomp"] == "2"
        assert os.readlink(f"/proc/{p.pid}/ns/net") == os.readlink(out.own.path)
        for ns in ("mnt", "ipc", "uts"):
            assert os.readlink(f"/proc/{p.pid}/ns/{ns}") != os.readlink(f"/proc/self/ns/{ns}")
        assert os.listdir(f"/proc/{p.pid}/root") == []
        files = sentry.fds_of(p.pid)
        assert len(files) == 4 and all(f.startswith(("pipe:", "socket:")) for f in files), files
        program, calls = filter_of(p.pid), numbers()
    allowed = {n for n, nr in calls.items() if verdict(program, nr, args=(2, 1, 0)) == ALLOW}
    assert not allowed & {"open", "openat", "openat2", "execve", "execveat", "clone", "clone3",
                          "fork", "ptrace", "mount", "setns", "unshare", "ioctl", "bpf", "io_uring_setup",
                          "recvmsg", "fcntl", "prctl"}
    for args in ((2, 3, 1), (2, 3, 255), (17, 3, 0), (16, 3, 0), (1, 1, 0), (40, 1, 0), (2, 5, 132)):
        assert verdict(program, calls["socket"], args=args) != ALLOW, args
