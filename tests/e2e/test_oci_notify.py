# SPDX-License-Identifier: Apache-2.0
"""Seccomp's notifications: an agent gets the filter's descriptor and answers calls."""
import array
import errno
import fcntl
import json
import os
import platform
import select
import socket
import struct
import threading
from itertools import count

import pytest

from lib.wait import until

ids = (f"atoll-notify-{os.getpid()}-{n}" for n in count())
pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of x86-64")

RECV, SEND = 0xc0502100, 0xc0182101  # SECCOMP_IOCTL_NOTIF_RECV, _SEND
CONTINUE = 1
MKDIR, MKDIRAT = 83, 258
STATE_MAX = 1 << 16


class Agent:
    """Listens; answers mkdir with an error and lets all else go on. `states` is what it was told."""

    def __init__(self, path, answers=True):
        self.path = str(path)
        self.answers = answers
        self.states = []
        self.calls = []
        self.threads = []
        self.kept = []
        self.end, self.ended = os.pipe()
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.bind(self.path)
        self.sock.listen(8)
        self.start(self.accept)

    def start(self, *call):
        self.threads.append(threading.Thread(target=call[0], args=call[1:], daemon=True))
        self.threads[-1].start()

    def accept(self):
        while self.sock in select.select([self.sock, self.end], [], [])[0]:
            conn, _ = self.sock.accept()
            with conn:
                text, control, _, _ = conn.recvmsg(STATE_MAX, socket.CMSG_SPACE(16))
                fds = array.array("i")
                for _, _, data in control:
                    fds.frombytes(data)
                self.states.append((json.loads(text), len(fds), conn.recv(1)))
            self.start(self.serve, fds[0])

    def serve(self, fd):
        if not self.answers:
            self.kept.append(fd)
            return
        p = select.poll()
        p.register(fd, select.POLLIN)
        p.register(self.end, select.POLLIN)
        while True:
            events = dict(p.poll())
            if self.end in events or events.get(fd, 0) & select.POLLHUP:
                break
            n = bytearray(80)
            try:
                fcntl.ioctl(fd, RECV, n)
                nid, _, _, nr = struct.unpack_from("=QIIi", n)
                self.calls.append(nr)
                answer = (0, -errno.ENOMSG, 0) if nr in (MKDIR, MKDIRAT) else (0, 0, CONTINUE)
                fcntl.ioctl(fd, SEND, bytearray(struct.pack("=QqiI", nid, *answer)))
            except OSError as ex:
                if ex.errno != errno.ENOENT:  # who asked is gone
                    raise
        os.close(fd)

    def close(self):
        os.close(self.ended)
        for t in self.threads:
            t.join(30)
        for fd in self.kept:
            os.close(fd)
        self.sock.close()
        os.close(self.end)
        os.unlink(self.path)


@pytest.fixture
def agent(base):
    a = Agent(base / "agent.sock")
    yield a
    a.close()


def notify(path, *names, **more):
    return {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
            **({"listenerPath": str(path)} if path else {}),
            "syscalls": [{"names": list(names or ("mkdir", "mkdirat")), "action": "SCMP_ACT_NOTIFY"}],
            **more}


@pytest.fixture
def make(bundle):
    def go(seccomp, args, **process):
        def change(s):
            s["linux"]["seccomp"] = seccomp
            s["annotations"] = {"who": "the test"}
        return bundle(args, change, **process)
    return go


@pytest.mark.parametrize("nnp", [True, False])
def test_an_agent_answers(runtime, make, agent, nnp):
    i = next(ids)
    b = make(notify(agent.path, listenerMetadata="a=b"), ["/bin/mkdir", "/tmp/x"],
             noNewPrivileges=nnp)
    r = runtime.try_("run", "-b", b, i)
    assert r.rc == 1 and "No message of desired type" in r.err, str(r)
    assert len(agent.states) == 1
    state, fds, rest = agent.states[0]
    assert fds == 1 and rest == b""
    pid = state.pop("pid")
    inner = state.pop("state")
    assert state == {"ociVersion": inner["ociVersion"], "fds": ["seccompFd"], "metadata": "a=b"}
    assert inner == {"ociVersion": state["ociVersion"], "id": i, "status": "created", "pid": pid,
                     "bundle": str(b), "annotations": {"who": "the test"}}


def test_create_asks_nobody_and_start_does(runtime, make, agent):
    i = next(ids)
    runtime.leave("create", "-b", make(notify(agent.path), ["/bin/sleep", "1000"]), i)
    try:
        assert not agent.states
        runtime("start", i)
        until(lambda: agent.states, "the agent's state")
        state, _, _ = agent.states[0]
        assert state["pid"] == state["state"]["pid"] == runtime.state(i)["pid"]
        assert "metadata" not in state
        # The workload has no descriptor of it.
        fds = os.listdir(f"/proc/{state['pid']}/fd")
        links = [os.readlink(f"/proc/{state['pid']}/fd/{fd}") for fd in fds]
        assert not [l for l in links if "seccomp" in l], links
    finally:
        runtime("delete", "-f", i)


def test_exec_has_a_listener_of_its_own(runtime, make, agent):
    i = next(ids)
    runtime.leave("run", "-d", "-b", make(notify(agent.path), ["/bin/sleep", "1000"]), i)
    try:
        r = runtime.fails("exec", i, "mkdir", "/tmp/x", says="No message of desired type")
        assert r.rc == 1
        until(lambda: len(agent.states) == 2, "two states")
        (first, _, _), (second, fds, _) = agent.states
        assert fds == 1 and second["fds"] == ["seccompFd"]
        assert second["state"]["status"] == "running"
        assert second["state"]["pid"] == first["pid"] != second["pid"]
    finally:
        runtime("delete", "-f", i)


@pytest.mark.parametrize("nnp", [True, False])
def test_whatever_the_hand_over_needs_may_be_trapped(runtime, make, agent, nnp):
    """All that comes between the filter and the program, and much of what a program does."""
    names = ["sendmsg", "recvmsg", "sendto", "close", "close_range", "read", "execve", "capset",
             "capget", "prctl", "dup3", "dup2", "fcntl", "openat", "mmap", "brk", "exit_group",
             "futex", "getpid", "rt_sigprocmask", "ioctl", "poll"]
    r = runtime.try_("run", "-b", make(notify(agent.path, *names), ["/bin/echo", "here"],
                                       noNewPrivileges=nnp), next(ids))
    assert r.rc == 0 and r.out == "here\n", str(r)
    assert {59, 231} <= set(agent.calls)  # execve, exit_group


def test_a_failure_after_the_filter_is_told(runtime, make, agent):
    """The program vanishes between create and start."""
    i = next(ids)
    b = make(notify(agent.path, "sendmsg"), ["/tmp/prog"])
    config = json.loads((b / "config.json").read_text())
    config["mounts"].append({"destination": "/tmp", "type": "bind", "options": ["bind"],
                             "source": str(b / "t")})
    (b / "t").mkdir()
    (b / "t/prog").write_text("#!/bin/no/such/shell\n")
    (b / "t/prog").chmod(0o755)
    (b / "config.json").write_text(json.dumps(config))
    runtime.leave("create", "-b", b, i)
    runtime.fails("start", i, says="no such file or directory")
    runtime("delete", "-f", i)


def test_flags_with_a_listener(runtime, make, agent):
    for flags in (["TSYNC"], ["TSYNC", "LOG"], ["WAIT_KILLABLE_RECV"]):
        b = make(notify(agent.path, flags=[f"SECCOMP_FILTER_FLAG_{f}" for f in flags]),
                 ["/bin/mkdir", "/tmp/x"])
        r = runtime.try_("run", "-b", b, next(ids))
        assert "No message of desired type" in r.err, str(r)


def test_the_path_by_annotation(runtime, make, agent):
    b = make(notify(None), ["/bin/mkdir", "/tmp/x"])
    config = json.loads((b / "config.json").read_text())
    config["annotations"]["run.oci.seccomp.receiver"] = agent.path
    (b / "config.json").write_text(json.dumps(config))
    r = runtime.try_("run", "-b", b, next(ids))
    assert "No message of desired type" in r.err, str(r)


def test_a_socket_with_a_long_path(runtime, make, base):
    deep = base / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    here = os.open(deep, os.O_PATH)
    a = Agent(f"/proc/self/fd/{here}/s")
    try:
        r = runtime.try_("run", "-b", make(notify(deep / "s"), ["/bin/mkdir", "/tmp/x"]), next(ids))
        assert "No message of desired type" in r.err, str(r)
    finally:
        a.close()
        os.close(here)


def test_an_agent_that_never_answers_does_not_keep_it_alive(runtime, make, base):
    a = Agent(base / "silent.sock", answers=False)
    i = next(ids)
    try:
        runtime.leave("run", "-d", "-b", make(notify(a.path), ["/bin/mkdir", "/tmp/x"]), i)
        until(lambda: a.kept, "the agent's descriptor")
        assert runtime.state(i)["status"] == "running"
        runtime("delete", "-f", i)
    finally:
        a.close()


def test_nobody_listens(runtime, make, base):
    path = base / "nobody.sock"
    i = next(ids)
    b = make(notify(path), ["/bin/true"])
    runtime.fails("run", "-b", b, i, says="listenerPath")
    runtime.fails("create", "-b", b, i, says="is the agent running?")
    path.write_text("")
    runtime.fails("create", "-b", b, i, says="not a socket")
    path.unlink()
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.bind(str(path))
    s.close()
    runtime.leave("create", "-b", b, i)
    runtime.fails("start", i, says="Connection refused")
    runtime("delete", "-f", i)
    assert i not in runtime("list", "-q").out


@pytest.mark.parametrize("change,says", [
    ({"defaultAction": "SCMP_ACT_NOTIFY"}, "cannot be used as default action"),
    ({"listenerPath": ""}, "needs listenerPath"),
    ({"listenerPath": "x/y.sock"}, "must be absolute"),
    ({"listenerPath": "", "listenerMetadata": "x"}, "listenerMetadata without listenerPath"),
    ({"syscalls": [{"names": ["write"], "action": "SCMP_ACT_NOTIFY"}]}, "the write syscall"),
    ({"syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"},
                   {"names": ["read"], "action": "SCMP_ACT_ERRNO"}]}, "must allow read and write"),
    ({"syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY", "errnoRet": 1}]}, "errnoRet"),
])
def test_wrong(runtime, make, agent, change, says):
    profile = {**notify(agent.path), **change}
    runtime.fails("run", "-b", make(profile, ["/bin/true"]), next(ids), says=says)
    assert not agent.states


def test_a_path_without_notify_is_not_used(runtime, make, base):
    b = make({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": str(base / "none.sock")},
             ["/bin/true"])
    runtime("run", "-b", b, next(ids))
