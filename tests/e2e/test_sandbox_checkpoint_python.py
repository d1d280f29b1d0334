# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of sandboxes with programs of Python: threads, and sockets among themselves and to the outside."""
import os
import socket
import subprocess

import pytest

from lib import sentry
from lib.outside import OWN4, Outside
from lib.wait import until

pytestmark = [pytest.mark.timeout(300),
              pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")]

# A server of TCP and of a path, each with clients that say one number after the other and get it back; a socket pair
# that carries descriptors, with one always on its way; datagrams; a listener that nobody accepts from.
ASYNC = """
import array, asyncio, os, socket, threading, time
n, lock = {}, threading.Lock()
def told(who):
    with lock:
        n[who] = n.get(who, 0) + 1
async def serve(r, w):
    while line := await r.readline():
        w.write(line)
        await w.drain()
async def client(who, connect):
    r, w = await connect()
    i = 0
    while True:
        w.write(b"%d\\n" % i + b"x" * 20000 + b"\\n")
        assert await r.readline() == b"%d\\n" % i
        assert await r.readline() == b"x" * 20000 + b"\\n"
        i += 1
        told(who)
        await asyncio.sleep(0.002)
def pairs():
    a, b = socket.socketpair()
    up, down = os.pipe()
    while True:
        for _ in range(3):
            socket.send_fds(a, [b"d"], [down])
        time.sleep(0.01)
        for _ in range(3):
            data, fds, _, _ = socket.recv_fds(b, 1, 1)
            os.write(fds[0], b"through")
            os.close(fds[0])
            assert os.read(up, 7) == b"through"
        told("pair")
def datagrams():
    a, b = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in "ab")
    a.bind(("127.0.0.1", 5353))
    b.connect(("127.0.0.1", 5353))
    while True:
        b.send(b"d")
        time.sleep(0.01)
        assert a.recvfrom(10) == (b"d", b.getsockname())
        told("datagram")
async def main():
    await asyncio.start_server(serve, "127.0.0.1", 8000)
    await asyncio.start_unix_server(serve, "/tmp/server")
    for f in pairs, datagrams:
        threading.Thread(target=f, daemon=True).start()
    await asyncio.gather(*(client(f"tcp{i}", lambda: asyncio.open_connection("127.0.0.1", 8000)) for i in range(3)),
                         *(client(f"unix{i}", lambda: asyncio.open_unix_connection("/tmp/server")) for i in range(2)),
                         says())
async def says():
    while True:
        with open("/n.new", "w") as f:
            print(len(n), min(n.values(), default=0), file=f)
        os.rename("/n.new", "/n")
        await asyncio.sleep(0.05)
asyncio.run(main())
"""
KINDS = 7
PORT = 7000


@pytest.fixture(scope="module", autouse=True)
def possible(build, base):
    sentry.need(sentry.Sentries(build, base / "sentries"))


@pytest.fixture(scope="module")
def languages(atoll, request):
    atoll("load", "-i", request.getfixturevalue("languages_tar"), timeout=300)
    return "languages"


@pytest.fixture
def run(atoll):
    made = []

    def start(name, *args):
        made.append(name)
        atoll("run", "-d", "--name", name, "--isolation=sandbox", *args)
        return name

    start.made = made
    yield start
    for name in made:
        atoll.try_("rm", "-f", name)


def does(a, *args):
    r = a.try_(*args)
    assert r.rc == 0, f"{r}\n" + "".join(f.read_text(errors="replace")[-3000:]
                                        for f in a.state.glob("workloads/*/*.log"))
    return r


def go_on(a, name):
    said = lambda: [int(n) for n in (a.try_("exec", name, "cat", "/n").out.split() or (0, 0))]
    before = said()[1]

    def more():
        assert a.inspect(name)["State"]["Status"] == "running", a("logs", name).err
        return said()[0] == KINDS and said()[1] > before + 5
    until(more, "all of them go on", 60)


def test_asyncio(atoll, run, languages):
    name = run("async", "--network", "none", languages, "python3", "-c", ASYNC)
    go_on(atoll, name)
    for _ in range(2):
        does(atoll, "checkpoint", name)
        does(atoll, "restore", name)
        go_on(atoll, name)
    does(atoll, "checkpoint", name, "again", "--leave-running")
    go_on(atoll, name)


OUTSIDE = """
import socket, sys, threading
resets = 0
def echo(c):
    global resets
    try:
        while data := c.recv(100):
            c.sendall(data)
    except ConnectionResetError:
        resets += 1
        with open("/resets", "w") as f:
            print(resets, file=f)
def datagrams():
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    u.bind(("0.0.0.0", int(sys.argv[1])))
    while True:
        u.sendto(*u.recvfrom(100))
threading.Thread(target=datagrams, daemon=True).start()
s = socket.create_server(("0.0.0.0", int(sys.argv[1])))
while True:
    threading.Thread(target=echo, args=s.accept()[:1], daemon=True).start()
"""


@pytest.fixture
def out(build):
    """A namespace that is the host's network to who is started in it, and another side."""
    o = Outside(build, None)
    yield o
    o.close()


def echoes(out, kind):
    with out.host.inside(lambda: socket.socket(socket.AF_INET, kind)) as s:
        s.settimeout(1)
        try:
            s.connect((OWN4, PORT))
            s.send(b"are you there?")
            return s.recv(100) == b"are you there?"
        except OSError:
            return False


def test_outside(atoll, run, languages, out):
    """Who listens and gets datagrams does so again; a connection is reset."""
    def there(*args):
        return subprocess.run(out.own.argv(*atoll.argv(*args)), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=60, env=atoll.environment(), check=False)
    answers = lambda: echoes(out, socket.SOCK_STREAM) and echoes(out, socket.SOCK_DGRAM)
    run.made.append("outside")
    r = there("run", "-d", "--name", "outside", "--isolation=sandbox", "--network", "host", languages,
              "python3", "-c", OUTSIDE, str(PORT))
    assert r.returncode == 0, r
    until(answers, "it answers", 60)
    with out.host.inside(lambda: socket.create_connection((OWN4, PORT))) as c:
        c.send(b"one")
        assert c.recv(100) == b"one"
        does(atoll, "checkpoint", "outside")
        c.settimeout(30)
        try:
            assert c.recv(100) == b""
        except ConnectionResetError:
            pass
    with out.own.inside(lambda: socket.create_server(("0.0.0.0", PORT))):
        r = there("restore", "outside")
    assert r.returncode != 0 and f"cannot have its port again: '{PORT}'" in r.stderr, r
    r = there("restore", "outside")
    assert r.returncode == 0, r
    until(answers, "it answers again", 60)
    until(lambda: atoll.try_("exec", "outside", "cat", "/resets").out == "1\n", "the connection's end")


NETLINK = """
import os, socket, struct, time
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)
s.bind((0, 3))
ask = struct.pack("=IHHII16x", 32, 18, 0x301, 77, 0)  # RTM_GETLINK, all of them
s.send(ask)
print("up", flush=True)
while not os.path.exists("/go"):
    time.sleep(0.05)
def answer(seq):
    done = False
    links = 0
    while not done:
        data = s.recv(65536, socket.MSG_DONTWAIT)
        while data:
            n, kind, _, got, port = struct.unpack_from("=IHHII", data)
            assert (got, port) == (seq, s.getsockname()[0]), (got, port)
            links += kind == 16
            done = done or kind == 3
            data = data[(n + 3) & ~3:]
    assert links > 0
answer(77)
s.send(ask[:8] + struct.pack("=I", 78) + ask[12:])
answer(78)
assert s.getsockname()[1] == 3
print("heard as", s.getsockname()[0], "of", os.getpid(), flush=True)
time.sleep(99)
"""


def test_netlink(atoll, run, languages):
    """An answer that nobody has read is there; what is asked then is answered."""
    name = run("netlink", "--network", "none", languages, "python3", "-c", NETLINK)
    until(lambda: "up" in atoll("logs", name).out, "it is there", 60)
    does(atoll, "checkpoint", name)
    does(atoll, "restore", name)
    does(atoll, "exec", name, "touch", "/go")
    until(lambda: "heard as 1 of 1" in atoll("logs", name).out, "it hears the answers", 60)


LEASES = """
import fcntl, os, signal, sys, time
sys.excepthook = lambda kind, e, at: print(kind, e, "line", at.tb_lineno, flush=True)
told = []
signal.signal(signal.SIGRTMIN, lambda *a: told.append("lease"))
signal.signal(signal.SIGRTMIN + 1, lambda *a: told.append("note"))
os.mkdir("/dir")
kept, broken = (os.open(p, os.O_RDWR | os.O_CREAT, 0o600) for p in ("/kept", "/broken"))
seen = os.open("/dir", os.O_RDONLY)
for fd in kept, broken:
    fcntl.fcntl(fd, 10, signal.SIGRTMIN)  # F_SETSIG
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
fcntl.fcntl(seen, 10, signal.SIGRTMIN + 1)
fcntl.fcntl(seen, fcntl.F_NOTIFY, fcntl.DN_CREATE | fcntl.DN_MULTISHOT)
def refused(path):
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    except BlockingIOError:
        return True
    return False
assert refused("/broken")
child = os.fork()
if child == 0:
    os.close(os.open("/broken", os.O_RDONLY))  # who waits for it
    os._exit(7)
print("up", flush=True)
while not os.path.exists("/go"):
    time.sleep(0.05)
assert told == ["lease"], told
get = lambda fd: fcntl.fcntl(fd, fcntl.F_GETLEASE)
assert (get(kept), get(broken)) == (fcntl.F_WRLCK, fcntl.F_RDLCK), (get(kept), get(broken))
assert os.waitpid(child, os.WNOHANG) == (0, 0) and refused("/broken") and told == ["lease"]
fcntl.fcntl(broken, fcntl.F_SETLEASE, fcntl.F_UNLCK)
assert os.waitpid(child, 0)[1] == 7 << 8
assert refused("/kept")
for name in "ab":
    open("/dir/" + name, "w").close()
assert told == ["lease", "lease", "note", "note"], told
print("all told", flush=True)
time.sleep(99)
"""


def test_leases(atoll, run, languages):
    """Leases hold, one that is being broken, too, whose other side waits on; a directory's watch tells."""
    name = run("leases", "--network", "none", languages, "python3", "-c", LEASES)
    until(lambda: "up" in atoll("logs", name).out, "it is there", 60)
    does(atoll, "checkpoint", name)
    does(atoll, "restore", name)
    does(atoll, "exec", name, "touch", "/go")
    until(lambda: atoll("logs", name).out.splitlines()[1:], "its verdict", 40)
    assert "all told" in atoll("logs", name).out, atoll("logs", name)


REFUSED = """
import os, time
r, w = os.pipe()
os.open(f"/proc/self/fd/{r}", os.O_RDONLY)
print("up", flush=True)
time.sleep(99)
"""


def test_what_cannot_be_kept(atoll, run, languages):
    name = run("refused", "--network", "none", languages, "python3", "-c", REFUSED)
    until(lambda: "up" in atoll("logs", name).out, "it is there", 60)
    r = atoll.try_("checkpoint", name)
    assert r.rc != 0 and "holds descriptor 3, a pipe that was opened more than once:" in r.err, r
    assert "unsupported" in r.err, r
    assert atoll("exec", name, "echo", "here").out == "here\n"


THREADS = """
import os, select, threading, time
r, w = os.pipe()
ready, told = threading.Event(), threading.Condition()
state = {"n": 0}
def counts():
    x = 0.5
    while True:
        for _ in range(2000):
            x = x * 3.7 * (1 - x)
        assert 0 < x < 1
        with told:
            state["n"] += 1
            told.notify_all()
        time.sleep(0.02)
def waits():
    seen = 0
    while True:
        with told:
            told.wait_for(lambda: state["n"] > seen)
            seen = state["n"]
        os.write(w, b"x")
for f in (counts, counts, waits):
    threading.Thread(target=f, daemon=True).start()
e = select.epoll()
e.register(r, select.EPOLLIN)
n = 0
while True:
    for fd, what in e.poll(10):
        n += len(os.read(fd, 100))
        with open("/n", "w") as f:
            f.write(f"{n} {threading.active_count()}")
"""


def test_threads(atoll, run, languages):
    run("threads", "--network", "none", languages, "python3", "-c", THREADS)
    said = lambda: [int(n) for n in (atoll.try_("exec", "threads", "cat", "/n").out.split() or (0, 0))]
    more = lambda than: until(lambda: said()[0] > than + 5 and said()[1] == 4, "its threads go on")
    more(0)
    for _ in range(3):
        does(atoll, "checkpoint", "threads")
        does(atoll, "restore", "threads")
        more(said()[0])
    does(atoll, "checkpoint", "threads", "again", "--leave-running")
    more(said()[0])


# A signalfd that an epoll watches, of a timer of timer_create; locks; a FIFO with bytes in it; memory of a file that has
# no name any more; watches of inotify, and one who waits for a semaphore of System V.
HELD = """
import ctypes, fcntl, mmap, os, select, signal, struct
libc = ctypes.CDLL(None, use_errno=True)
sem = libc.semget(4711, 1, 0o1600)
waiter = os.fork()
if waiter == 0:
    os._exit(libc.semop(sem, struct.pack("@HhH", 0, -1, 0), 1))
watches = libc.inotify_init1(os.O_NONBLOCK)
places = "/dev/shm/watched", "/watched"
for n, place in enumerate(places, 1):
    os.mkdir(place)
    assert libc.inotify_add_watch(watches, place.encode(), 0x100) == n
os.mkdir("/watched/before")
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN, signal.SIGUSR1])
mask = (ctypes.c_ulong * 16)(1 << signal.SIGRTMIN - 1)
fd = libc.signalfd(-1, mask, 0)
timer, event = ctypes.c_void_p(), struct.pack("@qii48x", 4711, signal.SIGRTMIN, 0)
assert libc.timer_create(1, event, ctypes.byref(timer)) == 0
assert libc.timer_settime(timer, 0, struct.pack("@qqqq", 0, 20000000, 0, 20000000), None) == 0
e = select.epoll()
e.register(fd, select.EPOLLIN)
locked = os.open("/locked", os.O_CREAT | os.O_RDWR)
fcntl.lockf(locked, fcntl.LOCK_EX, 5, 10)
whole = os.open("/locked", os.O_RDWR)
fcntl.flock(whole, fcntl.LOCK_EX)
os.mkfifo("/dev/shm/fifo")
fifo = os.open("/dev/shm/fifo", os.O_RDWR)
os.write(fifo, b"in the pipe")
orphan = os.open("/dev/shm/orphan", os.O_CREAT | os.O_RDWR)
os.unlink("/dev/shm/orphan")
os.ftruncate(orphan, 8192)
shown = mmap.mmap(orphan, 8192)
shown[5000:5008] = b"in there"
n = 0
while True:
    assert e.poll(10) == [(fd, select.EPOLLIN)]
    told = os.read(fd, 128)
    assert struct.unpack_from("@I", told)[0] == signal.SIGRTMIN and struct.unpack_from("@q", told, 48)[0] == 4711
    n += 1
    if n == 3:
        print("up", flush=True)
    if os.path.exists("/go"):
        break
n = 0
while n < 3:
    assert e.poll(10) == [(fd, select.EPOLLIN)]
    n += len(os.read(fd, 128)) // 128
for place in places:
    os.mkdir(place + "/after")
events, seen = os.read(watches, 1000), []
while events:
    number, size = struct.unpack_from("@i8xI", events)
    seen.append((number, events[16:16 + size].rstrip(bytes(1))))
    events = events[16 + size:]
assert seen == [(2, b"before"), (1, b"after"), (2, b"after")], seen
assert libc.semop(sem, struct.pack("@HhH", 0, 1, 0), 1) == 0 and os.waitpid(waiter, 0)[1] == 0
assert os.read(fifo, 100) == b"in the pipe"
shown[0] = 7
assert os.pread(orphan, 8, 5000) == b"in there" and os.pread(orphan, 1, 0) == b"\\7" and os.fstat(orphan).st_nlink == 0
if os.fork() == 0:
    for take in lambda f: fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 12), lambda f: fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB):
        with open("/locked", "r+") as other:
            try:
                take(other)
            except BlockingIOError:
                continue
            os._exit(1)
    os._exit(0)
assert os.wait()[1] == 0
fcntl.flock(whole, fcntl.LOCK_UN)
with open("/locked", "r+") as other:
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
print("all of it", flush=True)
"""


def twice_and_on(a, name):
    until(lambda: "up" in a("logs", name).out, "it has all of that", 60)
    for _ in range(2):
        does(a, "checkpoint", name)
        does(a, "restore", name)
    a("exec", name, "touch", "/go")
    a("wait", name)
    said = a("logs", name)
    assert said.out == "up\nall of it\n", said


def test_what_it_holds(atoll, run, languages):
    name = run("holds", "--network", "none", languages, "python3", "-c", HELD)
    twice_and_on(atoll, name)


# Threads and processes that come and go, with signals that go to and fro.
CHURN = """
import os, signal, threading, time
signal.signal(signal.SIGUSR1, lambda *_: None)
def threads():
    while True:
        some = [threading.Thread(target=lambda: None) for _ in range(4)]
        for t in some: t.start()
        for t in some: t.join()
def forks():
    while True:
        child = os.fork()
        if child == 0: os._exit(0)
        os.kill(os.getppid(), signal.SIGUSR1)
        os.waitpid(child, 0)
if os.fork() == 0: threads()
if os.fork() == 0: forks()
n = 0
while True:
    n += 1
    with open("/n.new", "w") as f: f.write(f"{KINDS} {n}")
    os.rename("/n.new", "/n")
    time.sleep(0.01)
"""


def test_who_ends_meanwhile(atoll, run, languages):
    name = run("churn", "--network", "none", languages, "python3", "-c", CHURN.replace("KINDS", str(KINDS)))
    go_on(atoll, name)
    for n in range(60):
        does(atoll, "checkpoint", name, f"c{n}", "--leave-running")
        does(atoll, "checkpoint", "rm", name, f"c{n}")
    go_on(atoll, name)


# Terminals of its own: one whose child leads a session there and reads lines, with half a line typed, a whole one that
# nobody has read, and output that waits; and one that nobody has opened, locked, and one that is in packet mode.
TERMINALS = """
import fcntl, os, pty, signal, struct, sys, termios, time, tty
child, master = pty.fork()
if child == 0:
    said = []
    signal.signal(signal.SIGWINCH, lambda *_: said.append("size"))
    print("child", os.ttyname(0), flush=True)
    while not os.path.exists("/go"):
        time.sleep(0.02)
    signal.signal(signal.SIGINT, lambda *_: said.append("int"))
    with open("/dev/tty") as mine:
        print([input(), mine.readline().strip()], os.tcgetpgrp(0) == os.getpgrp(), os.getsid(0) == os.getpid(), flush=True)
    while "int" not in said or "size" not in said:
        time.sleep(0.02)
    print(said, flush=True)
    os._exit(5)
fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("4H", 7, 77, 0, 0))
time.sleep(0.2)
os.write(master, b"whole\\nha")
kept = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
number = fcntl.ioctl(kept, 0x80045430, bytes(4))
name = "/dev/pts/%d" % struct.unpack("i", number)
packets, slave = os.openpty()
tty.setraw(slave)
fcntl.ioctl(packets, termios.TIOCPKT, struct.pack("i", 1))
os.write(packets, b"raw")
os.write(slave, b"out")
os.close(os.openpty()[1])
print("up", flush=True)
while not os.path.exists("/go"):
    time.sleep(0.02)
assert fcntl.ioctl(kept, 0x80045430, bytes(4)) == number
try:
    os.open(name, os.O_RDWR | os.O_NOCTTY)
    sys.exit("it is not locked any more")
except OSError:
    fcntl.ioctl(kept, 0x40045431, struct.pack("i", 0))
    os.close(os.open(name, os.O_RDWR | os.O_NOCTTY))
assert os.read(slave, 10) == b"raw" and os.read(packets, 10) == bytes(1) + b"out"
assert not termios.tcgetattr(slave)[3] & termios.ICANON
os.write(master, b"lf\\n")
text = b""
def until(word):
    global text
    while word not in text:
        text += os.read(master, 1000)
until(b"['whole', 'half'] True True")
assert text.startswith(b"child /dev/pts/0\\r\\nwhole\\r\\nhalf\\r\\n"), text
os.write(master, b"\\x03")
fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("4H", 8, 88, 0, 0))
until(b"]\\r\\n")
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
print("all of it", flush=True)
"""


def test_terminals_of_its_own(atoll, run, languages):
    name = run("ptys", "--network", "none", languages, "python3", "-c", TERMINALS)
    twice_and_on(atoll, name)
