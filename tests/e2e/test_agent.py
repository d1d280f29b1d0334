# SPDX-License-Identifier: Apache-2.0
"""
The agent of microVMs by its protocol: containers, processes in them, their streams, and hosts that
talk nonsense. It runs here as a process of this machine: what only a guest's init does is tested
with a guest.
"""
import errno
import hashlib
import json
import os
import random
import re
import resource
import select
import signal
import socket
import struct
import subprocess
import threading
import time
import uuid
from itertools import count

import pytest

from lib import agent, images, wait
from lib.guest import parts
from lib.agent import Guest, Native, Refused, Session, frame

numbers = count()
MAC = "02:00:00:00:00:01"
MIB = 1 << 20


pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def native(build, base):
    (base / "native").mkdir()
    with Native(build / "atoll-agent", base / "native") as h:
        yield h


@pytest.fixture(scope="module")
def shared(base):
    """Directories of the host that the machine has: root, with a root file system, and changes."""
    for name in ("upper", "work"):
        (base / "changes" / name).mkdir(parents=True)
    return {"root": images.busybox_rootfs(base / "shared"), "changes": base / "changes"}


@pytest.fixture(scope="module")
def machine(build, base, shared):
    (base / "machine").mkdir()
    disk = base / "machine/disk"
    parts.file_system(disk, 64, images.busybox_rootfs(base / "machine/lower"))
    devices = ["-netdev", "user,id=n", "-device",
               f"virtio-net-pci,netdev=n,mac={MAC},disable-legacy=on,romfile=", "-drive",
               f"if=none,id=d,file={disk},format=raw,read-only=on", "-device",
               "virtio-blk-pci,drive=d,disable-legacy=on"]
    with Guest(build, base / "machine", devices, modules=[*Guest.MODULES, "ext4"], shares=shared) as h:
        assert h.hello["problems"] == []
        h.setup(hostname="machine", realtime_ns=time.time_ns(), entropy=os.urandom(64))
        yield h


@pytest.fixture(scope="module", params=["native", "machine"])
def host(request):
    """An agent beside us, and one that is a guest's init."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def id():
    return f"atoll-agent-{os.getpid()}-{next(numbers)}"


@pytest.fixture
def config(request, rootfs):
    """config(["/bin/true"], change): a config.json as the engine sends it."""
    callspec = getattr(request.node, "callspec", None)
    inside = "machine" in request.fixturenames or callspec and callspec.params.get("host") == "machine"

    def make(args=("/bin/true",), change=None, **process):
        spec = images.spec(Guest.ROOTFS if inside else rootfs, args, **process)
        if change:
            change(spec)
        return spec
    return make


@pytest.fixture
def sleeper(host, config, id):
    """A running container; ends with the test."""
    session = host.create(config(["/bin/sleep", "100000"]), id).start()
    yield id
    session.close()
    wait.until(lambda: gone(host, id), "what ran ends when its host hangs up")


def gone(host, id):
    try:
        host.ask("STATE", "STATE_IS", id=id)
        return False
    except Refused as e:
        assert e.kind == "NOT_FOUND"
        return True


def descriptors(host):
    return host.look("fd", count=True)


def resident(host):
    return int(re.search(r"VmRSS:\s+(\d+)", host.look("status"))[1]) << 10


def big(host, n):
    """So many bytes; fewer where each is emulated."""
    return n if isinstance(host, Native) else n // 8


def check_alive(host, config, id):
    s = host.run(config(["/bin/echo", "alive"]), id)
    assert (s.exited["code"], s.output[1]) == (0, b"alive\n")


def test_output_and_exit_code(host, config, id):
    s = host.run(config(["/bin/sh", "-c", "echo out; echo err >&2; exit 7"]), id)
    assert s.exited == {"code": 7, "oom": False}
    assert s.output == {1: b"out\n", 2: b"err\n"}


def test_signal_ends_with_128_and_its_number(host, config, id):
    s = host.create(config(["/bin/sh", "-c", "echo up; kill -9 $$; sleep 1000"]), id).start()
    s.until(lambda s: b"up" in s.output[1])
    s.send("SIGNAL", signo=signal.SIGKILL)
    assert s.run() == 137
    host.ask("DELETE", id=id)
    s = host.create(config(["/bin/sh", "-c", "trap 'echo term; exit 3' TERM; echo up; while :; do sleep 0.05; done"]),
                    id).start()
    s.until(lambda s: b"up" in s.output[1])
    host.ask("SIGNAL", id=id, signo=signal.SIGTERM)
    assert s.run() == 3 and s.output[1] == b"up\nterm\n"
    host.ask("DELETE", id=id)


def test_stdin_to_its_end(host, config, id):
    s = host.run(config(["/bin/sh", "-c", "cat; echo done"]), id, stdin=b"line\n" * 10)
    assert s.output[1] == b"line\n" * 10 + b"done\n"
    s = host.run(config(["/bin/wc", "-c"]), id)  # not open: /dev/null
    assert s.output[1] == b"0\n"


def test_start_and_stdin_at_once(host, config, id):
    """The host need not wait for answers."""
    s = Session(host.connect())
    s.credit = {0: 0}
    s.sock.sendall(frame("CREATE", id=id, config=json.dumps(config(["/bin/cat"])), stdin_open=True) +
                   frame("START") + frame("DATA", 0, b"early") + frame("EOF", 0))
    assert s.expect("CREATED")["pid"] > 0
    got = [s.recv() for _ in range(6)]
    names = [g[0] for g in got]
    assert names.count("STARTED") == 1 and ("DATA", 1, b"early") in got, got
    assert s.recv() is None and got[-1][0] == "EXITED" and got[-1][2]["code"] == 0
    host.ask("DELETE", id=id)


def test_what_came_is_what_was_sent(host, config, id):
    """Many megabytes both ways, through pipes and windows, unchanged."""
    data = random.Random(1).randbytes(big(host, 24 * MIB))
    s = host.run(config(["/bin/sh", "-c", "tee /dev/stderr"]), id, stdin=data)
    assert hashlib.sha256(s.output[1]).digest() == hashlib.sha256(data).digest()
    assert hashlib.sha256(s.output[2]).digest() == hashlib.sha256(data).digest()


def test_slow_reader_costs_no_memory(host, config, id):
    """100 MB to a host that reads none of it for a while: the process waits."""
    total, got = big(host, 100 * MIB), 0
    s = host.create(config(["/bin/sh", "-c", f"head -c {total} /dev/zero"]), id).start()

    def sink(stream, data):
        nonlocal got
        got += len(data)

    s.sink = sink
    # No window: 64 KiB and no more, however long it is waited for.
    waiting = 0
    while waiting < agent.WINDOW:
        name, stream, data = s.recv()
        assert name == "DATA" and stream == 1
        waiting += len(data)
    assert waiting == agent.WINDOW
    before = resident(host)
    check_alive(host, config, id + "-b")  # meanwhile others are served
    assert resident(host) - before < 2 * MIB
    s.send("WINDOW_MORE", 1, waiting)
    assert s.run() == 0 and got + waiting == total
    assert resident(host) - before < 4 * MIB
    host.ask("DELETE", id=id)


def test_nobody_reads(host, config, id):
    """The host closes stdout: the process gets SIGPIPE, and stderr goes on."""
    s = host.create(config(["/bin/sh", "-c", "yes; echo $? >&2; exit 4"]), id).start()
    s.until(lambda s: len(s.output[1]) > 100)
    s.send("EOF", 1)
    assert s.run() == 4 and int(s.output[2]) == 128 + signal.SIGPIPE
    host.ask("DELETE", id=id)


def test_process_reads_no_more(host, config, id):
    s = host.run(config(["/bin/sh", "-c", "exec <&-; echo closed; sleep 0.2; exit 5"]), id, stdin=b"x" * MIB)
    assert s.exited["code"] == 5 and s.output[1] == b"closed\n"


def test_terminal(host, config, id):
    def change(spec):
        spec["process"]["terminal"] = True

    # Not the interactive shell: busybox's loses what is typed before it has asked where its cursor is.
    script = ("stty size; tty; echo e >&2; read x; echo \"got $x\"; stty size; trap 'exit 9' INT; echo ready; "
              "while :; do sleep 0.05; done")
    s = host.create(config(["/bin/sh", "-c", script], change), id, rows=33, cols=101, stdin_open=True).start()
    s.until(lambda s: re.search(rb"33 101\s+/dev/(pts/0|console)\s+e\s", s.output[1]))
    s.send("RESIZE", rows=50, cols=120)
    s.write(b"text\n")
    s.until(lambda s: re.search(rb"text\s+got text\s+50 120\s+ready", s.output[1]))
    s.write(b"\x03")  # the terminal makes a signal of it
    assert s.run() == 9 and s.output[2] == b""
    host.ask("DELETE", id=id)


def test_last_words_on_a_terminal(host, sleeper):
    """What a process wrote just before its end is not lost, many times."""
    for n in range(30):
        s = host.begin(sleeper, ["/bin/sh", "-c", f"seq 1 2000; echo end-{n}"], terminal=True)
        assert s.run() == 0
        lines = s.output[1].split()
        assert lines[-1] == b"end-%d" % n and len(lines) == 2001, lines[-3:]


def test_isolated_as_the_spec_says(host, config, id):
    """The engine's rooms do it: namespaces, capabilities, limits, masked paths, seccomp."""
    def change(spec):
        spec["hostname"] = "inside"
        spec["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 123, "hard": 456}]
        spec["linux"]["maskedPaths"] = ["/proc/kcore"]
        spec["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
                                    "syscalls": [{"names": ["chmod", "fchmodat"], "action": "SCMP_ACT_ERRNO",
                                                  "errnoRet": 38}]}
        spec["linux"]["resources"] = {"pids": {"limit": 17}}

    script = ("hostname; echo $$; ulimit -n; cat /proc/kcore | wc -c; chmod 700 /tmp 2>&1; "
              "grep CapEff /proc/self/status; cat /proc/1/comm")
    s = host.run(config(["/bin/sh", "-c", script], change), id)
    lines = s.output[1].decode().splitlines()
    assert lines[:4] == ["inside", "1", "123", "0"] and "Function not implemented" in lines[4], s.output
    assert int(lines[5].split()[1], 16) == sum(1 << n for n in (0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31)), lines


def test_hooks_of_the_host_are_left_out(native, config, id, base):
    def change(spec):
        spec["hooks"] = {k: [{"path": "/bin/touch", "args": ["touch", str(base / f"hook-{k}")]}]
                         for k in ("prestart", "createRuntime", "poststart", "poststop")}

    native.run(config(["/bin/true"], change), id)
    assert not list(base.glob("hook-*"))


def test_exec(host, sleeper):
    s = host.execute(sleeper, ["/bin/sh", "-c", "cat; echo err >&2; exit 6"], stdin=b"in")
    assert (s.exited["code"], s.output) == (6, {1: b"in", 2: b"err\n"})
    s = host.begin(sleeper, ["/bin/sleep", "1000"])
    s.send("SIGNAL", signo=signal.SIGTERM)
    s.send("SIGNAL", signo=signal.SIGKILL)
    assert s.run() in (128 + 15, 128 + 9)


@pytest.mark.parametrize("args, kind, says", [(["/nothing"], "NOT_FOUND", "/nothing"),
                                              (["/etc/passwd"], "DENIED", "/etc/passwd")])
def test_exec_of_what_cannot_run(host, sleeper, args, kind, says):
    with pytest.raises(Refused) as r:
        host.execute(sleeper, args)
    assert r.value.kind == kind and says in str(r.value) and 'exec: "' in str(r.value)


def test_create_of_what_cannot_run(host, config, id):
    with pytest.raises(Refused) as r:
        host.create(config(["/nothing"]), id).start()
    assert r.value.kind == "NOT_FOUND" and 'exec: "' in str(r.value)
    assert gone(host, id)


def test_background_process_of_an_exec_does_not_hold_its_end(host, sleeper):
    s = host.begin(sleeper, ["/bin/sh", "-c", "sleep 1000 & echo started"])
    assert s.run() == 0 and s.output[1] == b"started\n"
    host.execute(sleeper, ["/bin/sh", "-c", "kill $(pgrep -f 'sleep 1000$')"])


def test_many_execs_at_once(host, sleeper):
    sessions = [host.begin(sleeper, ["/bin/sh", "-c", f"cat; echo {n}; exit {n}"], stdin_open=True) for n in range(50)]
    assert len({s.pid for s in sessions}) == 50
    for n, s in enumerate(sessions):
        s.write(b"to %d\n" % n, end=True)
    for n, s in enumerate(sessions):
        assert s.run() == n and s.output[1] == b"to %d\n%d\n" % (n, n)


def test_many_execs_one_after_the_other(host, sleeper):
    host.execute(sleeper, ["/bin/true"])
    before, memory = descriptors(host), resident(host)
    for n in range(big(host, 1000)):
        s = host.execute(sleeper, ["/bin/echo", "short"])
        assert s.exited["code"] == 0 and s.output[1] == b"short\n", n
    wait.until(lambda: descriptors(host) <= before, "descriptors are given back")
    assert resident(host) - memory < MIB


def test_execs_from_many_hosts_at_once(host, sleeper):
    failures = []

    def work(n):
        try:
            for i in range(20):
                s = host.execute(sleeper, ["/bin/sh", "-c", f"cat; echo {n}-{i}"], stdin=b"x" * 1000)
                assert s.output[1] == b"x" * 1000 + b"%d-%d\n" % (n, i)
        except BaseException as e:
            failures.append(e)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures, failures


def test_pause(host, sleeper):
    assert host.ask("STATE", "STATE_IS", id=sleeper)["state"] == 3
    host.ask("PAUSE", id=sleeper)
    assert host.ask("STATE", "STATE_IS", id=sleeper)["state"] == 4
    with pytest.raises(Refused) as r:
        host.execute(sleeper, ["/bin/true"])
    assert r.value.kind == "CONFLICT" and "paused" in str(r.value)
    with pytest.raises(Refused):
        host.ask("PAUSE", id=sleeper)
    host.ask("RESUME", id=sleeper)
    assert host.execute(sleeper, ["/bin/true"]).exited["code"] == 0


COUNT = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done"


def counted(session):
    """The lines so far: an unbroken row of numbers."""
    numbers = [int(n) for n in session.output[1].split(b"\n")[:-1]]
    assert numbers == list(range(1, len(numbers) + 1)), numbers[-9:]
    return len(numbers)


def test_hold_and_release(host, config, id):
    """Nothing runs, nothing is sent; then all goes on, with nothing lost or seen twice."""
    s = host.create(config(["/bin/sh", "-c", COUNT]), id).start()
    s.until(lambda s: counted(s) > 5)
    for _ in range(3):
        held = host.hold(s)
        before = counted(s)
        with pytest.raises(Refused) as r:
            host.execute(id, ["/bin/true"])
        assert r.value.kind == "CONFLICT"
        with pytest.raises(Refused) as r:
            host.ask("HOLD")
        assert r.value.kind == "CONFLICT" and "snapshot" in str(r.value)
        with pytest.raises(Refused) as r:
            Session(host.connect()).attach(id)
        assert r.value.kind == "CONFLICT"
        held.send("RELEASE")
        held.expect("OK")
        assert held.recv() is None
        held.close()
        s.until(lambda s: counted(s) > before + 5)
    s.send("SIGNAL", signo=signal.SIGKILL)
    assert s.run() == 137
    host.ask("DELETE", id=id)


def test_hold_ends_with_its_host(host, config, id):
    s = host.create(config(["/bin/sh", "-c", COUNT]), id).start()
    host.hold(s).close()
    s.until(lambda s: not s.held and counted(s) > 5)
    # A session whose host goes meanwhile ends as soon as it is known to be no snapshot.
    held = host.hold(s)
    s.close()
    assert host.ask("STATE", "STATE_IS", id=id)["pid"] > 0
    held.send("RELEASE")
    held.expect("OK")
    wait.until(lambda: gone(host, id), "a session without a host ends")


def test_hold_needs_every_host(native, config, id):
    s = native.create(config(["/bin/sh", "-c", COUNT]), id).start()
    s.deaf = True
    with native.link() as link:
        link.send("HOLD")
        s.until(lambda s: s.held)
        with pytest.raises(Refused) as r:
            link.expect("OK")
    assert r.value.kind == "TIMEOUT" and "hold still" in str(r.value)
    s.until(lambda s: not s.held and counted(s) > 5)
    s.close()


def test_hold_waits_for_start(native, config, id):
    s = native.create(config(["/bin/sleep", "1000"]), id)
    with pytest.raises(Refused) as r:
        native.ask("HOLD")
    assert id in str(r.value)
    s.start()
    native.hold(s).close()
    s.close()


def test_attach_after_a_restore(native, config, id):
    """Another host, another name; what was in the pipes is there; processes of other sessions are not."""
    s = native.create(config(["/bin/sh", "-c", "read x; echo got $x; hostname; " + COUNT]), id, stdin_open=True).start()
    other = native.begin(id, ["/bin/sleep", "4711"])
    held = native.hold(s, other, unread=True)
    for one in (held, s, other):
        one.close()
    wait.until(lambda: not refused(native, "HOLD", "snapshot"), "the end of what held is noticed")
    assert refused(native, "HOLD", "taken over")
    for bad, kind in (("none", "NOT_FOUND"), (f"{id}-2", "NOT_FOUND")):
        with pytest.raises(Refused) as r:
            Session(native.connect()).attach(bad)
        assert r.value.kind == kind
    with pytest.raises(Refused) as r:
        Session(native.connect()).attach(id, **{"as": "../x"})
    assert r.value.kind == "INVALID"
    assert native.runs(other.pid)
    s = Session(native.connect()).attach(id, **{"as": f"{id}-2", "hostname": "clone"})
    wait.until(lambda: not native.runs(other.pid), "what nobody takes over ends")
    s.write(b"line\n")
    s.until(lambda s: b"\n7\n" in s.output[1])
    assert s.output[1].startswith(b"got line\nclone\n1\n2\n3\n")
    assert gone(native, id) and native.ask("STATE", "STATE_IS", id=f"{id}-2")["pid"] == s.pid
    assert native.execute(f"{id}-2", ["/bin/hostname"]).output[1] == b"clone\n"
    # It is in a boot of its own, always the same, and cannot choose it.
    path = "/proc/sys/kernel/random/boot_id"
    own, again = (native.execute(f"{id}-2", ["/bin/sh", "-c", f"cat {path}; true > {path}"]).output[1].decode() for _ in "12")
    assert own == again and str(uuid.UUID(own.strip())) == own.strip() != open(path, encoding="ascii").read().strip()
    with pytest.raises(Refused) as r:
        Session(native.connect()).attach(f"{id}-2")
    assert r.value.kind == "CONFLICT"
    s.close()
    wait.until(lambda: gone(native, f"{id}-2"), "it ends with its new host")


def refused(host, name, says):
    try:
        with host.link() as link:
            link.send(name)
            link.expect("OK")
            link.send("RELEASE")
        return False
    except Refused as e:
        return says in str(e)


def test_attach_to_streams_that_ended(native, config, id):
    """Windows and ends are as the answer says, whatever was on its way before."""
    script = "cat >/dev/null; exec 2>&-; head -c 300000 /dev/zero; exec >&-; sleep 0.2; exit 9"
    s = native.create(config(["/bin/sh", "-c", script]), id, stdin_open=True).start()
    s.write(b"x" * 60000, end=True)
    taken = 0
    while taken < agent.WINDOW:  # it waits for more of it
        got = s.recv()
        taken += len(got[2]) if got[0] == "DATA" else 0
    held = native.link()
    held.send("HOLD")
    while True:
        got = s.recv()
        if got[0] == "HOLD":
            break
    s.send("HELD")
    assert select.select([held.sock], [], [], 60)[0]
    held.close()
    s.close()
    wait.until(lambda: not refused(native, "HOLD", "snapshot"), "the end of what held is noticed")
    s = Session(native.connect()).attach(id)
    assert s.stdin_closed and s.credit[0] > 0
    assert s.run() == 9 and len(s.output[1]) == 300000 - agent.WINDOW and 2 in s.ended
    native.ask("DELETE", id=id)


def fuse(link, opcode, body=b"", unique=1, node=1):
    """One request of a FUSE device, and the answer's error and body."""
    link.sock.sendall(struct.pack("<IIQQIIII", 40 + len(body), opcode, unique, node, 0, 0, 0, 0) + body)
    head = whole(link.sock, 16)
    length, error, got = struct.unpack("<IiQ", head)
    assert got == unique
    return error, whole(link.sock, length - 16)


def whole(sock, n):
    out = b""
    while len(out) < n:
        more = sock.recv(n - len(out))
        assert more, "hung up"
        out += more
    return out


def test_files(host, sleeper):
    """A file system of its own, as /dev/fuse would have it; nonsense ends it and nothing else."""
    with host.link() as c:
        c.send("FILES", id=sleeper)
        c.expect("OK")
        error, body = fuse(c, 26, struct.pack("<IIII", 7, 38, 0, 0) + bytes(48))
        assert error == 0 and struct.unpack_from("<I", body)[0] == 7
        error, entry = fuse(c, 1, b"root\0", unique=2)
        assert error == 0
        root = struct.unpack_from("<Q", entry)[0]
        assert fuse(c, 1, b"etc\0", unique=3, node=root)[0] == 0
        assert fuse(c, 1, b"nothing\0", unique=4, node=root)[0] == -errno.ENOENT
        assert fuse(c, 1, b"upper\0", unique=5)[0] == -errno.ENOENT  # its root is no disk
        c.sock.sendall(struct.pack("<IIQQIIII", 1 << 30, 1, 9, 1, 0, 0, 0, 0))
        assert c.sock.recv(1) == b""
    with pytest.raises(Refused) as r:
        host.ask("FILES", id="nobody")
    assert r.value.kind == "NOT_FOUND"


def test_files_while_all_stands_still(host, config, id):
    s = host.create(config(["/bin/sh", "-c", "while :; do echo x; sleep 0.05; done"]), id).start()
    s.until(lambda s: len(s.output[1]) > 4)
    with host.link() as c:
        c.send("FILES", id=id, hold=True)
        c.expect("OK")
        assert host.ask("STATE", "STATE_IS", id=id)["state"] == 4  # ENGINE_PAUSED
        with pytest.raises(Refused) as r:
            host.ask("FILES", id=id, hold=True)
        assert r.value.kind == "CONFLICT"
    wait.until(lambda: host.ask("STATE", "STATE_IS", id=id)["state"] == 3, "it goes on")
    host.ask("DELETE", id=id)


def test_kill_of_a_paused_container(host, config, id):
    s = host.create(config(["/bin/sleep", "1000"]), id).start()
    host.ask("PAUSE", id=id)
    host.ask("SIGNAL", id=id, signo=signal.SIGKILL)
    assert s.run() == 137
    host.ask("DELETE", id=id)


def test_update_and_usage(host, config, id):
    def change(spec):
        spec["linux"]["resources"] = {"memory": {"limit": 64 * MIB}, "pids": {"limit": 30}}

    s = host.create(config(["/bin/sleep", "1000"], change), id).start()
    u = host.ask("USAGE", "USAGE_IS", id=id)
    assert u["memory_limit_bytes"] == 64 * MIB and u["pids"] == 1 and u["pids_limit"] == 30 and u["cpu_ns"] > 0
    host.ask("UPDATE", id=id, resources='{"memory": {"limit": 33554432}, "pids": {"limit": 20}}')
    u = host.ask("USAGE", "USAGE_IS", id=id)
    assert (u["memory_limit_bytes"], u["pids_limit"]) == (32 * MIB, 20)
    with pytest.raises(Refused) as r:
        host.ask("UPDATE", id=id, resources='{"memory": 5}')
    assert r.value.kind == "INVALID"
    host.ask("DELETE", id=id)
    assert s.run() == 137


def test_out_of_memory_is_told(host, config, id):
    def change(spec):
        spec["linux"]["resources"] = {"memory": {"limit": 16 * MIB, "swap": 16 * MIB}}

    s = host.run(config(["/bin/sh", "-c", "tail /dev/zero"], change), id)
    assert s.exited == {"code": 137, "oom": True}, s.output


def test_fork_bomb_within_its_limit(host, config, id):
    def change(spec):
        spec["linux"]["resources"] = {"pids": {"limit": 40}}

    bomb = "bomb() { bomb | bomb & }; bomb 2>/dev/null; sleep 1000"
    s = host.create(config(["/bin/sh", "-c", bomb], change), id).start()
    wait.until(lambda: host.ask("USAGE", "USAGE_IS", id=id)["pids"] > 30, "the bomb goes off")
    check_alive(host, config, id + "-b")
    host.ask("SIGNAL", id=id, signo=signal.SIGKILL)
    assert s.run() == 137
    host.ask("DELETE", id=id)


def test_processes(host, sleeper):
    s = host.begin(sleeper, ["/bin/sh", "-c", "sleep 987 & wait"], terminal=True)

    def seen():
        return {p["command"]: p for p in host.ask("PROCESSES", "PROCESSES_ARE", id=sleeper)["list"]}

    wait.until(lambda: "sleep 987" in seen(), "the process is shown")
    p = seen()
    assert len(p) == 3 and p["sleep 987"]["ppid"] == s.pid and p["sleep 987"]["uid"] == 0
    assert p["sleep 987"]["terminal"].startswith("pts/") and p["/bin/sleep 100000"]["terminal"] == ""
    assert all(q["state"] in "SRD" and q["age_ns"] < 10**12 for q in p.values())
    s.close()
    wait.until(lambda: s.pid not in {q["pid"] for q in seen().values()}, "an exec ends with its host")


def test_signal_to_all(host, sleeper):
    s = host.begin(sleeper, ["/bin/sleep", "555"])
    host.ask("SIGNAL", id=sleeper, signo=signal.SIGUSR1, all=True)  # init has no handler: ignored there
    assert s.run() == 128 + signal.SIGUSR1
    assert host.ask("STATE", "STATE_IS", id=sleeper)["state"] == 3


def test_machine_usage(host):
    u = host.ask("MACHINE_USAGE", "MACHINE_USAGE_IS")
    assert u["cpus"] >= 1 and u["memory_total_bytes"] > u["memory_free_bytes"] > 0
    assert u["uptime_ns"] > 0 and u["cpu_ns"] > 0 and u["processes"] > 0


def test_without_a_pid_namespace_all_end_with_init(host, config, id):
    def change(spec):
        spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"] if n["type"] != "pid"]

    s = host.run(config(["/bin/sh", "-c", "setsid sleep 7654 >/dev/null 2>&1 & echo $!"], change), id)
    pid = int(s.output[1])
    wait.until(lambda: not host.runs(pid), "it has ended and was reaped")


def test_orphans_are_reaped(host, config, id):
    def change(spec):
        spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"] if n["type"] != "pid"]

    s = host.create(config(["/bin/sh", "-c", "for i in $(seq 50); do (true &); done; echo done; sleep 1000"], change),
                    id).start()
    s.until(lambda s: b"done" in s.output[1])

    wait.until(lambda: not host.zombies(), "no zombies stay")
    host.ask("DELETE", id=id)
    assert s.run() == 137


@pytest.mark.parametrize("name, values, kind", [
    ("STATE", {}, "NOT_FOUND"), ("STATE", {"id": "none"}, "NOT_FOUND"), ("PAUSE", {"id": "none"}, "NOT_FOUND"),
    ("SIGNAL", {"id": "none", "signo": 9}, "NOT_FOUND"), ("USAGE", {"id": "none"}, "NOT_FOUND"),
    ("UPDATE", {"id": "none", "resources": "{}"}, "NOT_FOUND"), ("PROCESSES", {"id": "none"}, "NOT_FOUND"),
    ("EXEC", {"id": "none", "process": "{}"}, "NOT_FOUND"),
    ("CREATE", {"id": "../x", "config": "{}"}, "INVALID"), ("CREATE", {"id": "..", "config": "{}"}, "INVALID"),
    ("CREATE", {"id": "x" * 200, "config": "{}"}, "INVALID"), ("CREATE", {"id": "", "config": "{}"}, "INVALID"),
    ("CREATE", {"id": "a", "config": "{"}, "INVALID"), ("CREATE", {"id": "a", "config": "{}"}, "INVALID"),
    ("CREATE", {"id": "a", "config": "[" * 100000}, "INVALID"),
], ids=count())
def test_refused_requests(host, name, values, kind):
    with pytest.raises(Refused) as r:
        host.ask(name, **values)
    assert r.value.kind == kind and str(r.value)


@pytest.mark.parametrize("name, values", [("SETUP", {"version": 1, "hostname": "x"}), ("POWER_OFF", {}),
                                          ("RESEED", {"entropy": b"1234", "realtime_ns": 1})])
def test_what_only_an_init_does(native, name, values):
    with pytest.raises(Refused) as r:
        native.ask(name, **values)
    assert r.value.kind == "UNSUPPORTED"


def test_delete_of_nothing_is_done(host, id):
    host.ask("DELETE", id=id)


def test_an_id_is_used_once(host, sleeper, config):
    with pytest.raises(Refused) as r:
        host.create(config(), sleeper)
    assert r.value.kind == "CONFLICT"
    assert host.execute(sleeper, ["/bin/true"]).exited["code"] == 0


def test_after_its_end_it_is_known_until_deleted(host, config, id):
    s = host.create(config(["/bin/sh", "-c", "exit 3"]), id).start()
    assert s.run() == 3
    state = host.ask("STATE", "STATE_IS", id=id)
    assert state == {"state": 6, "pid": 0, "code": 3, "oom": False}
    for name in ("PAUSE", "USAGE"):
        with pytest.raises(Refused) as r:
            host.ask(name, id=id)
        assert r.value.kind == "CONFLICT"
    host.ask("DELETE", id=id)
    assert gone(host, id)


def test_host_hangs_up_before_start(host, config, id):
    s = host.create(config(["/bin/sleep", "1000"]), id)
    pid = s.pid
    s.close()
    wait.until(lambda: gone(host, id) and not host.runs(pid), "it is removed")


def test_nonsense_ends_its_connection_alone(host, config, id):
    r = random.Random(7)
    good = [frame("STATE", id="x"), frame("CREATE", id="x", config="{}"), frame("DATA", 0, b"x"), frame("EOF", 2),
            frame("EXEC", id="x", process="{}"), frame("WINDOW_MORE", 1, 5), frame("START"), frame("OK")]
    for n in range(400):
        with host.connect() as sock:
            sock.settimeout(agent.WITHIN)
            if n % 3 == 0:
                data = r.randbytes(r.randrange(1, 2000))
            else:
                data = bytearray(b"".join(r.choice(good) for _ in range(r.randrange(1, 4))))
                for _ in range(r.randrange(3)):
                    data[r.randrange(len(data))] = r.randrange(256)
            try:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass
            except (ConnectionResetError, BrokenPipeError):
                pass
    check_alive(host, config, id)


NONSENSE = {
    "past its window": frame("DATA", 0, b"x" * (agent.WINDOW + 1)),
    "data of stdout": frame("DATA", 1, b"x"),
    "a window nobody needs": frame("WINDOW_MORE", 1, 1),
    "a window without end": frame("WINDOW_MORE", 1, 0xffffffff),
    "a window of stdin": frame("WINDOW_MORE", 0, 1),
    "another request": frame("STATE", id="x"),
    "started twice": frame("START"),
    "data after its end": frame("EOF", 0) + frame("DATA", 0, b"x"),
    "a signal to another": frame("SIGNAL", id="other", signo=9),
    "no signal": frame("SIGNAL"),
    "no frame": struct.pack("<IHH", 0xffffffff, 2, 0),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_nonsense_within_a_session(host, config, id, what):
    """Past its window, on the wrong stream, at the wrong time: the host is taken for gone."""
    s = host.create(config(["/bin/sleep", "1000"]), id, stdin_open=True).start()
    s.sock.sendall(NONSENSE[what])
    while s.recv():
        pass
    wait.until(lambda: gone(host, id), "what ran is killed")


def test_many_silent_connections(host, config, id):
    socks = [host.connect() for _ in range(300)]
    for s in socks[::2]:
        s.sendall(struct.pack("<IHH", 1 << 20, 2, 0))  # and nothing of it comes
    check_alive(host, config, id)
    for s in socks:
        s.close()


def cpu_ticks(pid):
    return sum(map(int, open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[11:13]))


def test_no_descriptors_left(build, base, config, id):
    """An agent at its limit refuses what it cannot do, and does it again later."""
    d = base / "few"
    d.mkdir()
    with Native(build / "atoll-agent", d) as few:
        resource.prlimit(few.process.pid, resource.RLIMIT_NOFILE, (100, 100))
        check_alive(few, config, id)
        held = [few.connect() for _ in range(120)]
        wait.until(lambda: descriptors(few) == 100, "it has all it may have")
        used = cpu_ticks(few.process.pid)
        time.sleep(1)
        assert cpu_ticks(few.process.pid) - used < 50, "it waits, and does not spin"
        for s in held[:40]:
            s.close()
        for n in range(5):
            try:
                check_alive(few, config, f"{id}-{n}")
            except Refused as e:
                assert e.kind == "EXHAUSTED", e
        for s in held:
            s.close()
        wait.until(lambda: descriptors(few) < 15, "they are given back")
        check_alive(few, config, id)


def test_stopped_it_takes_its_containers_along(build, base, config, id):
    d = base / "second"
    d.mkdir()
    with Native(build / "atoll-agent", d) as second:
        s = second.create(config(["/bin/sleep", "1000"]), id).start()
        second.stop()
    assert not os.path.exists(f"/proc/{s.pid}")
    s.close()


def test_not_by_hand(build):
    r = subprocess.run([build / "atoll-agent"], capture_output=True, text=True, timeout=60)
    assert r.returncode == 1 and "init of a microVM" in r.stderr


# ---- a guest's init ------------------------------------------------------------------------------


def without(*types):
    def change(spec):
        spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"] if n["type"] not in types]
        if "uts" in types:
            del spec["hostname"]
    return change


def test_name_and_clock(machine, config, id):
    def look():
        return machine.run(config(["/bin/sh", "-c", "hostname; date +%s"], without("uts")), id).output[1].split()

    assert look()[0] == b"machine"
    machine.setup(hostname="other", realtime_ns=2_000_000_000 * 10**9)
    name, seconds = look()
    assert name == b"other" and 0 <= int(seconds) - 2_000_000_000 < 600
    machine.ask("RESEED", entropy=os.urandom(32), realtime_ns=time.time_ns())
    name, seconds = look()
    assert name == b"other" and abs(int(seconds) - time.time()) < 600
    machine.setup(hostname="machine")


def test_another_version_is_refused(machine):
    with pytest.raises(Refused) as r:
        machine.ask("SETUP", version=999)
    assert r.value.kind == "UNSUPPORTED" and "999" in str(r.value)


def test_network(machine, config, id):
    """As described: a name, addresses, routes, an MTU; described again, nothing changes."""
    lan = {"mac": MAC, "name": "lan0", "mtu": 1400,
           "addresses": [{"address": "10.0.2.15/24", "broadcast": "10.0.2.255"}, {"address": "fd00::5/64"}],
           "routes": [{"gateway": "10.0.2.2"}, {"to": "10.77.0.0/16", "metric": 7},
                      {"to": "10.78.0.0/16", "gateway": "10.0.9.9", "on_link": True},
                      {"to": "fd99::/32", "gateway": "fd00::1"}, {"to": "::/0", "gateway": "fd00::2"}]}
    for _ in range(2):
        machine.setup(interfaces=[lan])
        # A namespace in the spec is the machine's own; so it is without one.
        for change in (None, without("network")):
            text = machine.run(config(["/bin/sh", "-c", "ip addr; ip route; ip -6 route"], change), id).output[1].decode()
            assert re.search(r"lan0: <(NO-CARRIER,)?BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1400", text), text
            assert "inet 10.0.2.15/24 brd 10.0.2.255" in text and "inet6 fd00::5/64 scope global" in text
            assert not re.search("fd00::5.*tentative", text) and "inet 127.0.0.1/8" in text
            assert "default via 10.0.2.2 dev lan0" in text and "10.78.0.0/16 via 10.0.9.9 dev lan0" in text
            assert re.search(r"10.77.0.0/16 dev lan0 scope link\s+metric 7", text), text
            assert "fd99::/32 via fd00::1 dev lan0" in text and "default via fd00::2 dev lan0" in text
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        s = machine.create(config(["/bin/sh", "-c", f"echo from the guest | nc 10.0.2.2 {port}"]), id).start()
        server.settimeout(agent.WITHIN)
        peer, _ = server.accept()
        peer.settimeout(agent.WITHIN)
        assert peer.recv(100) == b"from the guest\n"
        peer.close()
        s.run()
        machine.ask("DELETE", id=id)


def test_card_of_another_machine(machine, config, id):
    """After a restore: the same card with another hardware address, and none of what it had."""
    before, now = [{"mac": mac, "name": "lan0", "mtu": 1400, "addresses": [{"address": address}], "routes": routes}
                   for mac, address, routes in ((MAC, "10.0.2.15/24", [{"gateway": "10.0.2.2"}]),
                                                ("02:00:00:00:00:77", "10.0.2.99/24", []))]
    machine.setup(interfaces=[before])
    machine.setup(interfaces=[{**now, "was": MAC}])
    text = machine.run(config(["/bin/sh", "-c", "ip addr show lan0; ip route"]), id).output[1].decode()
    assert "02:00:00:00:00:77" in text and "inet 10.0.2.99/24" in text
    assert "10.0.2.15" not in text and "default" not in text and MAC not in text
    machine.setup(interfaces=[{**before, "was": now["mac"]}])
    text = machine.run(config(["/bin/sh", "-c", "ip addr show lan0; ip route"]), id).output[1].decode()
    assert MAC in text and "inet 10.0.2.15/24" in text and "10.0.2.99" not in text and "default via 10.0.2.2" in text


@pytest.mark.parametrize("interface, kind, says", [
    ({"mac": "02:00:00:00:00:99"}, "NOT_FOUND", "02:00:00:00:00:99"), ({"mac": "nonsense"}, "INVALID", "nonsense"),
    ({"mac": MAC, "addresses": [{"address": "10.0.0.1/33"}]}, "INVALID", "10.0.0.1/33"),
    ({"mac": MAC, "addresses": [{"address": "1.2.3.4/24", "peer": "::1"}]}, "INVALID", "::1"),
    ({"mac": MAC, "routes": [{"to": "10.0.0.0/8", "gateway": "fd00::1"}]}, "INVALID", "10.0.0.0/8"),
    ({"mac": MAC, "routes": [{}]}, "INVALID", "nowhere"), ({"mac": MAC, "name": "x" * 40}, "INVALID", MAC),
], ids=count())
def test_networks_that_cannot_be(machine, interface, kind, says):
    with pytest.raises(Refused) as r:
        machine.setup(interfaces=[interface])
    assert r.value.kind == kind and says in str(r.value)


def test_sysctls_of_the_network(machine, config, id):
    def change(spec):
        spec["linux"]["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "80"}

    text = machine.run(config(["/bin/cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start"], change), id).output[1]
    assert text == b"80\n"
    for key in ("net.ipv4.nothing", "net.ipv4...kernel.panic", "kernel.panic"):
        with pytest.raises(Refused) as r:
            machine.run(config(change=lambda spec: spec["linux"].update(sysctl={key: "1"})), id)
        assert key[:8] in str(r.value)


def test_user_namespace(machine, config, id):
    def change(spec):
        spec["linux"]["namespaces"].append({"type": "user"})
        for kind in ("uidMappings", "gidMappings"):
            spec["linux"][kind] = [{"containerID": 0, "hostID": 100000, "size": 65536}]

    s = machine.run(config(["/bin/sh", "-c", "id -u; cat /proc/self/uid_map; ls /sys/class/net"], change), id)
    lines = s.output[1].decode().split()
    assert lines[:4] == ["0", "0", "100000", "65536"] and "lo" in lines, s.output


def test_control_groups_are_the_containers(machine, config, id):
    def change(spec):
        spec["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
                               "options": ["ro", "nosuid", "noexec", "nodev"]})
        spec["linux"]["resources"] = {"cpu": {"quota": 50000, "period": 100000}, "memory": {"limit": 32 * MIB},
                                      "pids": {"limit": 9}}
        spec["linux"]["cgroupsPath"] = "system.slice:docker:" + id  # the host's, of no meaning here

    script = "cd /sys/fs/cgroup; cat cgroup.controllers cpu.max memory.max pids.max; cat /proc/self/cgroup"
    s = machine.run(config(["/bin/sh", "-c", script], change), id)
    lines = s.output[1].decode().splitlines()
    assert {"cpu", "memory", "pids", "io"} <= set(lines[0].split()), s.output
    assert lines[1:] == ["50000 100000", str(32 * MIB), "9", "0::/"]


def test_labels_of_the_hosts_security_modules_are_left_out(machine, config, id):
    def change(spec):
        spec["process"]["apparmorProfile"] = "docker-default"
        spec["process"]["selinuxLabel"] = "system_u:system_r:container_t:s0:c1"
        spec["linux"]["mountLabel"] = "system_u:object_r:container_file_t:s0:c1"

    s = machine.create(config(["/bin/sleep", "1000"], change), id).start()
    assert machine.begin(id, ["/bin/true"], apparmorProfile="docker-default").run() == 0
    machine.ask("DELETE", id=id)
    assert s.run() == 137


def test_root_of_a_disk(machine, config, id):
    s = machine.run(config(["/bin/sh", "-c", "touch /x 2>&1; cat /etc/os-release; grep ' / ' /proc/self/mountinfo"]), id,
                    lower="/dev/vda", lower_type="ext4")
    text = s.output[1].decode()
    assert "Read-only file system" in text and "ID=busybox" in text and " ext4 /dev/vda ro" in text


def test_root_of_a_disk_and_mount_points_that_it_lacks(machine, config, id):
    """They are made in the machine's memory; the root is as writable as the config has it."""
    def change(spec):
        spec["root"]["readonly"] = True
        spec["mounts"].append({"destination": "/lacking/there", "type": "tmpfs", "source": "tmpfs"})

    script = "touch /x 2>&1; touch /lacking/there/x && cat /etc/os-release; grep ' / ' /proc/self/mountinfo"
    for readonly in True, False:
        s = machine.run(config(["/bin/sh", "-c", script], change if readonly else None), id,
                        lower="/dev/vda", lower_type="ext4", scratch=True)
        text = s.output[1].decode()
        assert ("Read-only file system" in text) == readonly, text
        assert ("ID=busybox" in text) == readonly and " - overlay overlay rw" in text, text
    assert machine.inside("ls -A /run/atoll | grep lower || echo none") == "none\n"


def test_root_of_a_disk_and_what_was_changed(machine, config, id):
    """An overlay; what was written stays in the upper directory, for the next container on it."""
    machine.inside("mkdir -p /mnt/upper /mnt/work")  # below the root file system that the spy has
    layers = {"lower": "/dev/vda", "lower_type": "ext4", "upper": f"{Guest.ROOTFS}/mnt/upper",
              "work": f"{Guest.ROOTFS}/mnt/work"}
    s = machine.run(config(["/bin/sh", "-c", "echo new > /etc/new; rm /etc/group; echo more >> /etc/passwd; ls -d /var"]), id,
                    **layers)
    assert s.exited["code"] == 0 and s.output[1] == b"/var\n", s.output
    s = machine.run(config(["/bin/sh", "-c", "cat /etc/new; ls /etc; tail -n1 /etc/passwd"]), id, **layers)
    assert s.output[1] == b"new\nnew\nos-release\npasswd\nmore\n", s.output
    assert machine.inside("cat /mnt/upper/etc/new; ls -A /mnt/upper") == "new\netc\n"
    machine.inside("rm -rf /mnt/upper /mnt/work")


def test_root_of_a_share(machine, config, id, shared):
    """The host's files: what is written there is here, and the other way round."""
    def change(spec):
        spec["root"]["path"] = "/run/atoll/shares/root"
        spec["mounts"].append({"destination": "/mnt", "source": "/run/atoll/shares/changes", "type": "bind",
                               "options": ["bind", "ro"]})

    script = ("echo from the guest > /root/file; chown 1000:1001 /root/file; chmod 640 /root/file; ls /mnt; "
              "touch /mnt/x 2>&1; read x; cat /root/other")
    s = machine.create(config(["/bin/sh", "-c", script], change), id, stdin_open=True).start()
    s.until(lambda s: b"Read-only" in s.output[1])
    file = shared["root"] / "root/file"
    st = file.stat()
    assert file.read_text() == "from the guest\n" and (st.st_uid, st.st_gid, st.st_mode & 0o777) == (1000, 1001, 0o640)
    (shared["root"] / "root/other").write_text("from the host")
    s.run(b"go on\n")
    assert s.exited["code"] == 0 and s.output[1].startswith(b"upper\nwork\n") and s.output[1].endswith(b"from the host")
    machine.ask("DELETE", id=id)


def test_changes_on_a_share_to_a_disk(machine, config, id, shared):
    """As an image is run: the layers on a disk, what is written on the host."""
    layers = {"lower": "/dev/vda", "lower_type": "ext4", "upper": "/run/atoll/shares/changes/upper",
              "work": "/run/atoll/shares/changes/work"}
    script = ("echo new > /etc/new; echo more >> /etc/passwd; rm /etc/group; mkdir /opt/d; mv /etc/os-release /opt/d; "
              "chmod 4755 /bin/busybox; ls /etc")
    s = machine.run(config(["/bin/sh", "-c", script]), id, **layers)
    assert s.exited["code"] == 0 and s.output == {1: b"new\npasswd\n", 2: b""}, s.output
    upper = shared["changes"] / "upper"
    assert (upper / "etc/new").read_text() == "new\n" and (upper / "etc/passwd").read_text().endswith("more\n")
    assert (upper / "opt/d/os-release").is_file() and (upper / "bin/busybox").stat().st_mode & 0o7777 == 0o4755
    s = machine.run(config(["/bin/sh", "-c", "ls /etc /opt/d; tail -n1 /etc/passwd"]), id, **layers)
    assert s.output[1] == b"/etc:\nnew\npasswd\n\n/opt/d:\nos-release\nmore\n", s.output


@pytest.mark.parametrize("layers, kind, says", [
    ({"lower": "/dev/vdz", "lower_type": "ext4"}, "NOT_FOUND", "/dev/vdz"),
    ({"lower": "/dev/vda", "lower_type": "nonsense"}, "NOT_FOUND", "nonsense"),
    ({"lower": "/dev/vda", "lower_type": "erofs"}, "INVALID", "/dev/vda"),
    ({"lower": "/dev/vda", "lower_type": "ext4", "upper": "/none", "work": "/none"}, "NOT_FOUND", "/none"),
    ({"lower": "/dev/vda", "lower_type": "ext4", "upper": "/a:b", "work": "/c"}, "INVALID", "/a:b"),
], ids=count())
def test_roots_that_cannot_be(machine, config, id, layers, kind, says):
    with pytest.raises(Refused) as r:
        machine.create(config(), id, **layers)
    assert r.value.kind == kind and says in str(r.value)
    assert gone(machine, id)


def test_the_machine_is_out_of_memory(machine, config, id):
    """No limit but the machine's: the kernel takes the workload, never the agent."""
    s = machine.run(config(["/bin/sh", "-c", "tail /dev/zero"]), id)
    assert s.exited == {"code": 137, "oom": True}, s.output
    check_alive(machine, config, id)


def test_no_space_left(machine, config, id):
    """Where the agent keeps what it needs is full: what it refuses it does again later."""
    said = machine.inside("dd if=/dev/zero of=/fill bs=64k 2>/dev/null; echo more 2>&1 >> /fill; true")
    try:
        assert "No space left" in said
        try:
            check_alive(machine, config, id)
        except Refused as e:
            assert e.kind == "EXHAUSTED"
        assert machine.ask("MACHINE_USAGE", "MACHINE_USAGE_IS")["memory_free_bytes"] > 0
    finally:
        machine.inside("rm -f /fill*")
    check_alive(machine, config, id)


def test_small(machine):
    """The agent's own memory, after all of the above."""
    assert resident(machine) < 8 * MIB
    assert machine.look("comm").strip() == "init"


def test_off(build, base, config, id):
    """What runs is ended; the machine ends by itself."""
    (base / "off").mkdir()
    with Guest(build, base / "off", modules=["virtio_pci", "vmw_vsock_virtio_transport"]) as g:
        assert g.hello["version"] == 1 and g.hello["kernel"] and g.hello["boot_ns"] > 0
        s = g.create(config(["/bin/sleep", "1000"], lambda spec: spec["root"].update(path=Guest.ROOTFS)), id).start()
        assert g.off() == 0
        s.close()


def test_what_a_machine_lacks_is_told(build, base):
    (base / "lacks").mkdir()
    with Guest(build, base / "lacks", modules=["virtio_pci", "vmw_vsock_virtio_transport"],
               files=[("modules/000-broken.ko", 0o644, b"no module")]) as g:
        assert len(g.hello["problems"]) == 1 and "000-broken.ko" in g.hello["problems"][0]
