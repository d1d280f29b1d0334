# SPDX-License-Identifier: Apache-2.0
"""The host's side of proto/agent.h, for tests: messages as dicts, and sessions with their windows."""
import json
import os
import select
import socket
import stat
import struct
import subprocess
import time
from pathlib import Path

from . import guest, images, wait

WINDOW = 64 << 10
HEADER = 8
WITHIN = 120  # seconds: for a loaded machine, and for a guest that is emulated

U, B, S, D, L = "u64 bool string data strings".split()  # a list of structs is a tuple of fields

ADDRESS = (("address", S), ("peer", S), ("broadcast", S))
ROUTE = (("to", S), ("gateway", S), ("source", S), ("metric", U), ("scope", U), ("on_link", B))
INTERFACE = (("mac", S), ("name", S), ("mtu", U), ("addresses", ADDRESS), ("routes", ROUTE),
             ("was", S))
PROCESS = (("pid", U), ("ppid", U), ("uid", U), ("cpu_ns", U), ("age_ns", U), ("state", S), ("terminal", S),
           ("name", S), ("command", S), ("resident_bytes", U), ("virtual_bytes", U))
ID = (("id", S),)
PID = (("pid", U),)
USAGE = tuple((name, U) for name in """at cpu_ns cpu_user_ns cpu_system_ns throttled_periods throttled_ns periods
    memory_bytes memory_peak_bytes memory_limit_bytes memory_cache_bytes memory_swap_bytes memory_failures oom_kills
    pids pids_limit block_read_bytes block_write_bytes block_reads block_writes net_rx_bytes net_tx_bytes
    net_rx_packets net_tx_packets memory_host_bytes""".split())
MACHINE = tuple((name, U) for name in """uptime_ns cpu_ns cpus memory_total_bytes memory_free_bytes
    memory_available_bytes memory_cache_bytes swap_total_bytes swap_free_bytes processes load_milli""".split())
TYPES = (
    ("NONE", None),
    ("HELLO", (("version", U), ("build", S), ("kernel", S), ("boot_ns", U), ("problems", L))),
    ("SETUP", (("version", U), ("hostname", S), ("realtime_ns", U), ("entropy", D), ("interfaces", INTERFACE))),
    ("CREATE", (("id", S), ("config", S), ("rows", U), ("cols", U), ("stdin_open", B), ("lower", S),
                ("lower_type", S), ("upper", S), ("work", S), ("scratch", B), ("pids_of", S), ("upper_disk", S), ("files_only", B))),
    ("START", ()),
    ("EXEC", (("id", S), ("process", S), ("rows", U), ("cols", U), ("stdin_open", B),
              ("cgroups", L))),
    ("SIGNAL", (("id", S), ("signo", U), ("all", B))),
    ("STATE", ID), ("PAUSE", ID), ("RESUME", ID),
    ("UPDATE", (("id", S), ("resources", S))),
    ("USAGE", ID), ("PROCESSES", ID), ("DELETE", ID), ("MACHINE_USAGE", ()),
    ("RESEED", (("entropy", D), ("realtime_ns", U))),
    ("POWER_OFF", ()), ("OK", ()),
    ("ERROR", (("kind", U), ("sys", U), ("message", S))),
    ("CREATED", PID), ("STARTED", PID),
    ("STATE_IS", (("state", U), ("pid", U), ("code", U), ("oom", B))),
    ("USAGE_IS", USAGE),
    ("PROCESSES_ARE", (("list", PROCESS),)),
    ("MACHINE_USAGE_IS", MACHINE),
    ("DATA", None), ("EOF", None), ("WINDOW_MORE", None),
    ("RESIZE", (("rows", U), ("cols", U))),
    ("EXITED", (("code", U), ("oom", B))),
    ("HOLD", ()), ("HELD", ()), ("RELEASE", ()),
    ("ATTACH", (("id", S), ("as", S), ("hostname", S), ("rows", U), ("cols", U))),
    ("ATTACHED", (("pid", U), ("stdin_credit", U), ("stdin_open", B))),
    ("PROCESSORS", (("online", U),)),
    ("FILES", (("id", S), ("hold", B))),
)
NUMBER = {name: i for i, (name, _) in enumerate(TYPES)}
KINDS = "NONE INVALID NOT_FOUND CONFLICT DENIED UNSUPPORTED EXHAUSTED TIMEOUT REMOTE INTERNAL".split()


def encode_fields(fields, values):
    unknown = set(values) - {name for name, _ in fields}
    assert not unknown, unknown
    out, count = b"", 0
    for tag, (name, kind) in enumerate(fields, 1):
        v = values.get(name)
        if not v:
            continue
        if kind == U:
            data = struct.pack("<Q", v)
        elif kind == B:
            data = b"\1"
        elif kind == S:
            data = v.encode() + b"\0"
        elif kind == D:
            data = v
        elif kind == L:
            data = b"".join(s.encode() + b"\0" for s in v)
        else:
            data = b"".join(encode_fields(kind, one) for one in v)
        out += struct.pack("<HI", tag, len(data)) + data
        count += 1
    return struct.pack("<H", count) + out


def decode_fields(fields, data, pos=0):
    values = {name: 0 if kind == U else False if kind == B else "" if kind == S else b"" if kind == D else []
              for name, kind in fields}
    (count,) = struct.unpack_from("<H", data, pos)
    pos += 2
    for _ in range(count):
        tag, length = struct.unpack_from("<HI", data, pos)
        pos += 6
        name, kind = fields[tag - 1]
        body = data[pos:pos + length]
        assert len(body) == length
        pos += length
        if kind == U:
            values[name] = struct.unpack("<Q", body)[0]
        elif kind == B:
            values[name] = True
        elif kind == S:
            assert body.index(0) == length - 1
            values[name] = body[:-1].decode(errors="surrogateescape")
        elif kind == D:
            values[name] = body
        elif kind == L:
            values[name] = [s.decode() for s in body.split(b"\0")[:-1]]
        else:
            at = 0
            while at < length:
                one, at = decode_fields(kind, body, at)
                values[name].append(one)
    return values, pos


def frame(name, stream=0, data=b"", **values):
    """The bytes of a message; `data` is what DATA carries, or the number of WINDOW_MORE."""
    fields = TYPES[NUMBER[name]][1]
    if name == "WINDOW_MORE":
        payload = struct.pack("<I", data)
    elif fields is None:
        payload = data
    else:
        payload = encode_fields(fields, values)
    return struct.pack("<IHH", len(payload), NUMBER[name], stream) + payload


class Refused(Exception):
    def __init__(self, error):
        super().__init__(error["message"])
        self.kind = KINDS[error["kind"]]
        self.sys = error["sys"]


class Link:
    """Frames over a connected socket; reads wait for WITHIN seconds."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = b""
        sock.settimeout(WITHIN)

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, name, *args, **values):
        self.sock.sendall(frame(name, *args, **values))

    def whole(self):
        return len(self.buffer) >= HEADER and len(self.buffer) >= HEADER + struct.unpack_from("<I", self.buffer)[0]

    def recv(self):
        """(name, stream, dict or bytes), None when the agent has hung up."""
        while not self.whole():
            try:
                more = self.sock.recv(1 << 18)
            except ConnectionResetError:
                more = b""
            if not more:
                assert not self.buffer, self.buffer
                return None
            self.buffer += more
        length, number, stream = struct.unpack_from("<IHH", self.buffer)
        payload = self.buffer[HEADER:HEADER + length]
        self.buffer = self.buffer[HEADER + length:]
        name, fields = TYPES[number]
        if name == "WINDOW_MORE":
            return name, stream, struct.unpack("<I", payload)[0]
        if fields is None:
            return name, stream, payload
        values, end = decode_fields(fields, payload)
        assert end == len(payload)
        return name, stream, values

    def expect(self, *names):
        got = self.recv()
        assert got is not None, f"hung up instead of {names}"
        if got[0] == "ERROR" and "ERROR" not in names:
            raise Refused(got[2])
        assert got[0] in names, (got, names)
        return got[2]


class Session(Link):
    """CREATE or EXEC and what follows: run() moves bytes both ways until EXITED."""

    def begin(self, name, answer, **values):
        self.new()
        self.send(name, **values)
        self.pid = self.expect(answer)["pid"]
        return self

    def new(self):
        self.credit = {0: WINDOW}
        self.stdin = bytearray()
        self.stdin_ends = False
        self.stdin_closed = False
        self.output = {1: bytearray(), 2: bytearray()}
        self.ended = set()
        self.exited = None
        self.sink = None  # called with (stream, bytes) instead of output
        self.held = False
        self.deaf = False  # says nothing to HOLD

    def create(self, config, id, **values):
        return self.begin("CREATE", "CREATED", id=id, config=json.dumps(config), **values)

    def start(self):
        self.send("START")
        self.pid = self.expect("STARTED")["pid"]
        return self

    def attach(self, id, **values):
        """Take over a session that is held."""
        self.new()
        self.send("ATTACH", id=id, **values)
        got = self.expect("ATTACHED")
        self.pid, self.credit[0], self.stdin_closed = got["pid"], got["stdin_credit"], not got["stdin_open"]
        return self

    def execute(self, process, id, **values):
        return self.begin("EXEC", "STARTED", id=id, process=json.dumps(process), **values)

    def feed(self):
        while self.stdin and self.credit[0] and not self.stdin_closed and not self.held:
            piece = bytes(self.stdin[:min(self.credit[0], 16 << 10)])
            del self.stdin[:len(piece)]
            self.credit[0] -= len(piece)
            self.send("DATA", 0, piece)
        if (not self.stdin or self.stdin_closed) and self.stdin_ends:
            self.stdin_ends = False
            self.send("EOF", 0)

    def take(self, got, slow=0.0):
        name, stream, body = got
        if name == "DATA":
            assert stream in (1, 2) and stream not in self.ended and body and not self.held
            if self.sink:
                self.sink(stream, body)
            else:
                self.output[stream] += body
            if slow:
                time.sleep(slow)
            try:
                self.send("WINDOW_MORE", stream, len(body))
            except OSError:
                pass  # EXITED may be on its way, and nobody reads any more
        elif name == "EOF":
            if stream == 0:
                self.stdin_closed = True
            else:
                self.ended.add(stream)
        elif name == "WINDOW_MORE":
            assert stream == 0
            self.credit[0] += body
            assert self.credit[0] <= WINDOW
        elif name == "HOLD":
            self.held = True
            if not self.deaf:
                self.send("HELD")
        elif name == "RELEASE":
            assert self.held
            self.held = False
        elif name == "EXITED":
            self.exited = body
        elif name == "ERROR":
            raise Refused(body)
        else:
            raise AssertionError(got)

    def write(self, data, end=False):
        self.stdin += data
        self.stdin_ends = end
        self.feed()

    def until(self, condition, within=WITHIN):
        """Serve the session until condition(self)."""
        deadline = time.monotonic() + within
        while not condition(self):
            assert self.exited is None, f"it ended: {self.exited} {self.output}"
            left = deadline - time.monotonic()
            assert left > 0, f"nothing of it within {within} s: {self.output}"
            if not self.whole() and not select.select([self.sock], [], [], left)[0]:
                continue
            got = self.recv()
            assert got is not None, f"hung up before EXITED: {self.output}"
            self.take(got)
            self.feed()
        return self

    def run(self, stdin=b"", slow=0.0):
        """All of stdin in, all output out: the exit code."""
        self.write(stdin, end=True)
        while self.exited is None:
            got = self.recv()
            assert got is not None, f"hung up before EXITED: {self.output}"
            self.take(got, slow)
            try:
                self.feed()
            except OSError:
                pass  # as above: what it does not read any more
        assert self.recv() is None
        self.close()
        return self.exited["code"]


class Host:
    """The host of an agent: connect() gives a socket to it."""

    def hold(self, *sessions, unread=False):
        """
        All of the agent held still for a snapshot: the connection to release it by. With an answer that is not read a
        unix socket fails at its close, instead of ending: this is what a restored machine sees.
        """
        for s in self.own_sessions():
            s.until(lambda s: not s.held)  # it has not read the last RELEASE yet
        link = self.link()
        link.send("HOLD")
        for s in [*sessions, *self.own_sessions()]:
            s.until(lambda s: s.held)
        if unread:
            assert select.select([link.sock], [], [], WITHIN)[0] and b"ERR" not in link.sock.recv(99, socket.MSG_PEEK)
        else:
            link.expect("OK")
        return link

    def own_sessions(self):
        """Those of this class, which answer as all others do."""
        return []

    def connect(self):
        raise NotImplementedError

    def link(self):
        return Link(self.connect())

    def ask(self, name, answer="OK", **values):
        """One request and its answer; Refused for an error."""
        with self.link() as link:
            link.send(name, **values)
            got = link.expect(answer)
            assert link.recv() is None, "no more than one answer"
            return got

    def create(self, config, id, **values):
        return Session(self.connect()).create(config, id, **values)

    def run(self, config, id, stdin=b"", **values):
        """A container to its end, and removed: its session, with exited and output."""
        session = self.create(config, id, stdin_open=bool(stdin), **values).start()
        session.run(stdin)
        self.ask("DELETE", id=id)
        return session

    def execute(self, id, args, stdin=b"", **process):
        """One process in a container to its end."""
        session = self.begin(id, args, stdin_open=bool(stdin), **process)
        session.run(stdin)
        return session

    def begin(self, id, args, stdin_open=False, rows=0, cols=0, **process):
        spec = {"args": args, "cwd": "/", "env": ["PATH=/bin:/sbin:/usr/bin:/usr/sbin"], "user": {"uid": 0, "gid": 0},
                **process}
        return Session(self.connect()).execute(spec, id, stdin_open=stdin_open, rows=rows, cols=cols)


class Native(Host):
    """atoll-agent as a process of this machine, on a unix socket."""

    def __init__(self, program, base):
        self.path = base / "agent.sock"
        (base / "run").mkdir()
        self.log = open(base / "log", "w+b")
        self.process = subprocess.Popen([program, "--listen", self.path, "--run", base / "run"], stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log)
        wait.until(self.path.exists, "the agent listens")

    def connect(self):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        deadline = time.monotonic() + WITHIN
        while True:
            try:
                sock.connect(str(self.path))
                return sock
            except (ConnectionRefusedError, BlockingIOError):  # bound and not listening yet; its queue is full
                assert time.monotonic() < deadline and self.process.poll() is None, self.text()
                time.sleep(0.01)

    def look(self, what, count=False):
        """The text of a file of the agent's in procfs, or how many names a directory has."""
        path = Path(f"/proc/{self.process.pid}", what)
        return len(os.listdir(path)) if count else path.read_text()

    def runs(self, pid):
        return os.path.exists(f"/proc/{pid}")

    def zombies(self):
        """How many children of the agent have ended and are not reaped."""
        children = self.look(f"task/{self.process.pid}/children").split()
        return sum(" Z " in Path(f"/proc/{c}/stat").read_text() for c in children)

    def text(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.returncode is None:
            self.stop()

    def stop(self):
        self.process.terminate()
        assert self.process.wait(WITHIN) == 0, self.text()
        self.log.close()


class Guest(Host):
    """atoll-agent as the init of an emulated machine; a root file system for containers is at /rootfs."""

    ROOTFS = "/rootfs"
    MODULES = ["virtio_pci", "vmw_vsock_virtio_transport", "virtio_net", "virtio_blk", "virtio-rng", "fuse", "virtiofs",
               "overlay", "erofs"]

    def __init__(self, build, base, devices=(), modules=MODULES, files=(), shares=None, **machine):
        kernel = guest.kernel(build)
        root = [(f"rootfs/{h.name}", h.mode | (stat.S_IFDIR if h.isdir() else stat.S_IFLNK if h.issym() else
                                                stat.S_IFREG), data or h.linkname.encode())
                 for h, data in images.busybox_entries()]
        initrd = guest.initramfs(kernel, build / "atoll-agent", modules, base,
                                 [("rootfs", stat.S_IFDIR | 0o755, b""), *root, *files])
        self.server, fds = self.serve(build, base, shares) if shares else (None, [])
        devices = [*devices, *(["-chardev", f"socket,id=f,fd={fds[0]}", "-device",
                                "vhost-user-fs-pci,chardev=f,tag=atoll,queue-size=1024"] if shares else [])]
        self.vsock = guest.Vsock(build, kernel, initrd, base / "vsock", devices, fds, **machine)
        if self.server:
            self.server.socket.close()
        self.greeting = Link(self.vsock.forwarded())
        self.hello = self.greeting.expect("HELLO")
        self.spy = None

    @staticmethod
    def serve(build, base, shares):
        """The server of shares, {name: path}, and the descriptor that the machine reaches it by."""
        own = {name: os.open(path, os.O_PATH) for name, path in shares.items()}
        options = [o for name, fd in own.items() for o in ("--share", f"{name}=fd:{fd}")]
        server = guest.Device(build, "fs", base, options, own.values())
        for fd in own.values():
            os.close(fd)
        return server, [server.socket.fileno()]

    def connect(self):
        sock = self.vsock.connect(1024)
        assert sock, f"the agent does not listen: {self.vsock.machine.why()}"
        return sock

    def own_sessions(self):
        return [self.spy] if self.spy else []

    def inside(self, script):
        """What a shell in the guest says that sees all processes."""
        if not self.spy:
            config = images.spec(self.ROOTFS, ["/bin/sleep", "1000000"])
            config["linux"]["namespaces"] = [n for n in config["linux"]["namespaces"] if n["type"] != "pid"]
            self.spy = self.create(config, "spy").start()
        s = self.execute("spy", ["/bin/sh", "-c", script], capabilities={
            k: [*images.CAPS, "CAP_SYS_PTRACE"] for k in ("bounding", "effective", "permitted")})
        assert s.exited["code"] == 0, s.output
        return s.output[1].decode()

    def look(self, what, count=False):
        return int(self.inside(f"ls /proc/1/{what} | wc -l")) if count else self.inside(f"cat /proc/1/{what}")

    def runs(self, pid):
        return "yes" in self.inside(f"test -d /proc/{pid} && echo yes; true")

    def zombies(self):
        return int(self.inside("cat /proc/[0-9]*/status 2>/dev/null | grep -c '^State:.Z'; true"))

    def setup(self, **values):
        self.ask("SETUP", version=1, **values)

    def off(self):
        """It ends by itself."""
        self.ask("POWER_OFF")
        assert self.greeting.recv() is None
        return self.vsock.machine.process.wait(WITHIN)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.spy:
            self.spy.close()
        self.greeting.close()
        self.vsock.close()
        if self.server:
            self.server.kill()
