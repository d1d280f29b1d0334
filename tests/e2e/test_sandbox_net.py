# SPDX-License-Identifier: Apache-2.0
"""
The network outside of a sandbox, by its broker: programs of an image reach the other side of a
network namespace and are reached from there, within a policy; their own loopback is theirs alone.
What calls of sockets give is compared with Linux's, on the same interfaces.
"""
import hashlib
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
from lib.outside import CAPS, HOST4, HOST6, OWN4, OWN6, Outside

pytestmark = [pytest.mark.timeout(120),
              pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")]
SOURCE = Path(__file__).resolve().parent.parent / "fixtures" / "sockets_words.c"
TCP, UDP, TCP6, UDP6 = "2 1 0", "2 2 0", "10 1 0", "10 2 0"
SOL_SOCKET, SO_ERROR = 1, 4


@pytest.fixture(scope="module")
def words(base):
    program = base / "words"
    subprocess.run(["gcc", "-static", "-O1", "-w", "-o", program, SOURCE], check=True)
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
                  f"connect a {HOST4} ECHO", "peer a", "send a again", "queued a", "poll a 1 5000",
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
