# SPDX-License-Identifier: Apache-2.0
"""
Several containers on one kernel: they are added to a running atoll-sentry by its control socket,
each with a gofer of its own. What they share, what they do not, their ends, what is refused.
"""
import errno
import os
import signal
import socket

import pytest

from lib import sentry, wait

pytestmark = [pytest.mark.timeout(120),
              pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")]
SHM = {"destination": "/dev/shm", "type": "pod-shm", "source": "shm"}


@pytest.fixture(scope="module")
def box(build, base):
    s = sentry.Sentries(build, base)
    sentry.need(s)
    s.build = build
    s.roots = [sentry.tree(base / name) for name in ("root-a", "root-b")]
    return s


@pytest.fixture
def pod(box):
    """A sandbox whose first process does nothing."""
    with box.start("echo up; while :; do sleep 1000; done") as s:
        assert s.ask("start") == {}
        assert s.p.stdout.readline() == b"up\n"
        s.box = box
        yield s


def config(script, **changes):
    c = sentry.config(["sh", "-c", script] if isinstance(script, str) else script, **changes)
    c["mounts"] = [m for m in c["mounts"] if m["destination"] != "/dev/shm"] + [SHM]
    return c


class Member:
    """A container that was added, and its gofer; gone at the end of `with`."""

    def __init__(self, pod, script, root=0, pids_of=0, start=True, **changes):
        self.pod, self.s = pod, pod.connect()
        self.gofer = sentry.Gofer(pod.box.build, {"root": pod.box.roots[root]})
        self.gofer.socket.setblocking(False)
        given, said = os.pipe(), os.pipe()
        self.reply = pod.ask("add", on=self.s, spec=config(script, **changes), pids_of=pids_of,
                             fds=[given[0], said[1], said[1]], gofer=self.gofer.socket.fileno())
        for fd in (given[0], said[1]):
            os.close(fd)
        self.input, self.said = open(given[1], "wb", buffering=0), open(said[0], "rb")
        self.number, self.process = self.reply.get("container"), self.reply.get("process")
        if self.number:
            self.waiting = pod.connect()
            pod.send("wait", on=self.s, process=self.process, signal=9)
            if start:
                assert self.ask("start") == {}

    def ask(self, what, **more):
        return self.pod.ask(what, container=self.number, **more)

    def line(self):
        return self.said.readline().decode().rstrip("\n")

    def status(self):
        return self.pod.receive(self.s).get("status", 0)

    def execute(self, script):
        r, w = os.pipe()
        with open(os.devnull, "rb") as null:
            reply = self.ask("exec", spec=config(script)["process"], fds=[null.fileno(), w, w])
        os.close(w)
        with open(r, "rb") as said:
            text = said.read().decode()
        return reply if "error" in reply else (text, self.pod.ask(
            "wait", process=reply["process"]).get("status", 0))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.s.close()
        if self.number:
            self.waiting.close()
            if exc[0] is None:
                self.ask("remove")
        self.input.close()
        self.said.close()
        self.gofer.socket.close()
        self.gofer.process.kill()
        self.gofer.process.wait(20)
        self.gofer.process.stderr.close()


# ---- what is whose ----


def test_two_containers(pod):
    """Numbers and files of their own; one network, one /dev/shm and one name."""
    report = "echo $$ $PPID; ls /proc | grep -c '^[0-9]'; cat /proc/1/comm; hostname; "
    with Member(pod, report + "echo a >/mark; echo shared >/dev/shm/x; echo done; read l; cat /dev/shm/y; "
                     "echo hello | nc -l -p 5000 >/got; cat /got; exit 4") as a:
        # Its shell and both of the pipe.
        assert [a.line() for _ in range(5)] == ["1 0", "3", "sh", "inside", "done"]
        assert a.number == 2 and a.process == 2
        with Member(pod, report + "ls /mark 2>/dev/null; echo back >/dev/shm/y; cat /dev/shm/x; "
                         "read l; for i in $(seq 200); do echo asked | nc 127.0.0.1 5000 2>/dev/null && "
                         "break; sleep 0.05; done; exit 5", root=1) as b:
            assert [b.line() for _ in range(5)] == ["1 0", "3", "sh", "inside", "shared"]
            assert (pod.box.roots[0] / "mark").read_text(encoding="ascii") == "a\n"
            assert not (pod.box.roots[1] / "mark").exists()
            a.input.write(b"go\n")
            assert a.line() == "back"
            b.input.write(b"go\n")
            assert b.line() == "hello" and a.line() == "asked"
            assert (a.status(), b.status()) == (4, 5)
    # The sandbox saw none of their processes.
    assert [p["pid"] for p in pod.ask("list")["list"]] == [1, 2]


def test_processes_of_one(pod):
    """EXEC, LIST, STATS, SIGNAL and kill(-1) are of one container; the others go on."""
    with Member(pod, "trap 'echo term' TERM; sleep 1001 & echo up; wait; wait; sleep 1002; read l") as a, \
            Member(pod, "echo up; sleep 1003 & wait", root=1) as b:
        assert (a.line(), b.line()) == ("up", "up")
        said, how = a.execute("echo $$ $PPID; cat /proc/1/cmdline | tr '\\0' ' ' | cut -c-14; "
                              "cat /proc/2/comm; exit 6")
        assert said.splitlines()[1:] == ["sh -c trap 'ec", "sleep"] and how == 6
        assert said.split()[1] == "0" and int(said.split()[0]) > 2
        assert [(p["pid"], p["command"]) for p in b.ask("list")["list"]][1:] == [(2, "sleep 1003")]
        assert a.ask("stats")["processes"] == b.ask("stats")["processes"] == 2
        assert a.ask("stats")["memory"] > 4096
        assert a.ask("signal", signal=signal.SIGTERM) == {}
        assert a.line() == "term"
        wait.until(lambda: [p["command"] for p in a.ask("list")["list"]][1:] == ["sleep 1002"],
                   "the next one")
        # All that it finds but its own shell and number 1: nobody of another container.
        assert a.execute("kill -9 -1; echo $?") == ("0\n", 0)
        wait.until(lambda: a.ask("stats")["processes"] == 1, "number 1 alone")
        assert b.ask("stats")["processes"] == 2
        assert a.ask("signal", signal=signal.SIGKILL) == {} and a.status() == 137
        assert b.ask("signal", signal=signal.SIGKILL) == {}
        assert b.status() == 137 and pod.ask("stats")["processes"] == 2


def test_the_end_of_its_first(pod):
    """Orphans are its own number 1's, and end with it, execs too; another's stay."""
    with Member(pod, "sh -c 'sleep 1000 & echo $!' >/n; cut -d' ' -f4 /proc/$(cat /n)/stat; "
                     "read l; exit 3") as a, Member(pod, "echo up; read l; echo $l", root=1) as b:
        assert (a.line(), b.line()) == ("1", "up")
        r, w = os.pipe()
        reply = a.ask("exec", spec=config("sleep 1000")["process"], fds=[w, w, w])
        os.close(w)
        other = pod.connect()
        pod.send("wait", on=other, process=reply["process"])
        a.input.write(b"go\n")
        assert a.status() == 3 and pod.receive(other) == {"status": 137}
        os.close(r)
        other.close()
        assert "list" not in a.ask("list") and a.ask("stats").get("processes", 0) == 0
        assert a.execute("true")["error"] == errno.ESRCH
        assert a.ask("start")["error"] == errno.EBUSY
        assert a.ask("remove") == {} and a.ask("stats")["error"] == errno.ESRCH
        b.input.write(b"lives\n")
        assert b.line() == "lives" and b.status() == 0
        a.number = None


def test_shared_processes(pod):
    """With the sandbox's numbers, or another's: they see each other, and end apart."""
    with Member(pod, "echo $$ $PPID; cat /proc/1/cmdline | tr '\\0' ' ' | cut -c-14; "
                     "sleep 1001 & echo $!; wait", pids_of=1) as a, \
            Member(pod, "echo up; sleep 1002", root=1) as b:
        own = a.line()
        assert own.endswith(" 0") and int(own.split()[0]) > 2
        assert a.line() == "sh -c echo up;"
        child = a.line()
        assert b.line() == "up"
        with Member(pod, "cat /proc/1/cmdline | tr '\\0' ' '; echo; echo $$; kill -9 " + child,
                    pids_of=b.number) as c:
            assert c.line() == "sleep 1002 " and int(c.line()) > 1
            assert c.line() != ""  # of a number that is not in its sight
            assert c.status() == 1
            assert [p["command"] for p in a.ask("list")["list"]][1:] == ["sleep 1001"]
        assert a.ask("signal", signal=9) == {} and a.status() == 137
        assert pod.ask("stats")["processes"] == 2
        assert b.ask("stats")["processes"] >= 1


def test_each_by_its_own_config(pod):
    with Member(pod, "id -u; id -g; pwd; echo $A; ulimit -n; grep CapEff /proc/self/status; "
                     "touch /new 2>/dev/null; echo $?; cat /sys/fs/cgroup/pids.max; "
                     "(true) & (true) & (true) & wait; echo end",
                process_user={"uid": 7, "gid": 8}, process_cwd="/tmp",
                process_env=["PATH=/bin", "A=b"], process_capabilities={},
                process_rlimits=[{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 100}],
                root_readonly=True, linux_resources={"pids": {"limit": 2}}) as a, \
            Member(pod, "(sleep 0.1) & (sleep 0.1) & (sleep 0.1) & wait; echo $?; id -u; read l",
                   root=1) as b:
        assert [a.line() for _ in range(5)] == ["7", "8", "/tmp", "b", "100"]
        assert int(a.line().split()[1], 16) == 0 and a.line() == "1" and a.line() == "2"
        assert "fork" in a.line()
        assert a.ask("stats")["tasks_limit"] == 2 and not b.ask("stats").get("tasks_limit")
        assert (b.line(), b.line()) == ("0", "0")
        assert b.ask("update", tasks=1) == {} and b.ask("stats")["tasks_limit"] == 1
        refused = b.ask("update", memory=64 << 20)
        assert refused["error"] == errno.EOPNOTSUPP and "memory" in refused["reason"]


# ---- ends ----


def test_one_that_never_started(pod):
    """It ends as killed; who adds one and goes away leaves nothing."""
    with Member(pod, "true", start=False) as a:
        assert a.execute("true")["error"] == errno.ESRCH
        assert pod.ask("signal", process=a.process, signal=9) == {}
        assert a.status() == 137
        assert a.ask("start")["error"] == errno.EBUSY
    with Member(pod, "true", start=False) as a:
        a.s.close()
        wait.until(lambda: pod.ask("signal", process=a.process)["error"] == errno.ESRCH,
                   "its end, of a wait with a signal")


def test_the_sandbox_takes_all_along(pod):
    with Member(pod, "echo up; sleep 1000") as a, Member(pod, "true", root=1, start=False) as b:
        assert a.line() == "up"
        assert pod.ask("signal", process=1, signal=9) == {}
        assert (a.status(), b.status()) == (137, 137)
        assert pod.ended()[0] == 137
        a.number = b.number = None


def test_a_gofer_that_ends(pod):
    """It is the loss of one container."""
    with Member(pod, "echo up; read l; cat /etc/passwd; echo $?; ls /nothing; exit 3") as a, \
            Member(pod, "echo up; read l; cat /etc/group; exit 4", root=1) as b:
        assert (a.line(), b.line()) == ("up", "up")
        a.gofer.process.kill()
        a.gofer.process.wait(20)
        a.input.write(b"go\n")
        assert a.status() != 0
        b.input.write(b"go\n")
        assert b.line() == "root:x:0:" and b.status() == 4


# ---- what is refused ----


def add(pod, spec, gofer, fds=3, **more):
    with open(os.devnull, "r+b") as null:
        return pod.ask("add", spec=spec, gofer=gofer, fds=[null.fileno()] * fds, **more)


def silent(blocking=False):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(blocking)
    return ours, theirs


BAD = {
    "nothing": ("", "config.json"),
    "namespace": (config("true", linux_namespaces=[{"type": "network", "path": "/x"}]),
                  "joins no namespace"),
    "type": (config("true", mounts=[{"destination": "/m", "type": "nfs", "source": "x"}]),
             "no mounts of type 'nfs'"),
    "bind": (config("true", mounts=[{"destination": "/m", "type": "bind", "source": "/"}]),
             "names the share"),
    "program": (config(["nosuch"]), 'exec: "nosuch"'),
    "user": (config("true", process_user={"username": "nobody-here"}), "nobody-here"),
    "seccomp": (config("true", linux_seccomp={"defaultAction": "SCMP_ACT_ALLOW"}), "seccomp"),
}


@pytest.mark.parametrize("what", sorted(BAD))
def test_bad_bundles(pod, what):
    spec, why = BAD[what]
    with sentry.Gofer(pod.box.build, {"root": pod.box.roots[0]}) as g:
        g.socket.setblocking(False)
        refused = add(pod, spec, g.socket.fileno())
        assert refused["error"] and why in refused["reason"], refused
        g.socket.close()
        assert g.process.wait(20) == 0  # its descriptor is closed inside, too
    with Member(pod, "exit 7") as a:
        assert a.status() == 7


def test_bad_gofers(pod):
    ours, theirs = silent(blocking=True)
    assert add(pod, config("true"), ours.fileno())["error"] == errno.EINVAL
    ours.close()
    theirs.close()
    with open(os.devnull, "rb") as f:
        assert add(pod, config("true"), f.fileno())["error"] == errno.EINVAL
    ours, theirs = silent()
    theirs.close()
    assert add(pod, config("true"), ours.fileno())["error"]
    ours.close()
    # Nonsense, and silence, which holds nobody else.
    ours, theirs = silent()
    theirs.send(b"x" * 100)
    assert add(pod, config("true"), ours.fileno())["error"]
    theirs.close()
    ours.close()
    ours, theirs = silent()
    other = pod.connect()
    with open(os.devnull, "r+b") as null:
        pod.send("add", on=other, spec=config("true"), gofer=ours.fileno(),
                 fds=[null.fileno()] * 3)
    with Member(pod, "exit 7") as a:
        assert a.status() == 7
    theirs.close()
    assert pod.receive(other)["error"]
    other.close()
    ours.close()


def test_bad_requests(pod):
    with sentry.Gofer(pod.box.build, {"root": pod.box.roots[0]}) as g:
        g.socket.setblocking(False)
        fd = g.socket.fileno()
        assert pod.ask("add")["error"] == errno.EINVAL
        assert add(pod, config("true"), None)["error"] == errno.EINVAL
        assert add(pod, config("true"), fd, fds=0)["error"] == errno.EINVAL
        assert add(pod, config("true"), fd, pids_of=77)["error"] == errno.ESRCH
        assert "binds" in add(pod, config("true"), fd, binds="x=y")["reason"]
        for what in ("start", "stats", "list", "remove", "signal"):
            assert pod.ask(what, container=77)["error"] == errno.ESRCH
            assert pod.ask(what, container=(1 << 64) - 1)["error"] == errno.ESRCH
        assert pod.ask("remove", container=1)["error"] == errno.EINVAL
        assert pod.ask("remove")["error"] == errno.EINVAL
    assert pod.ask("stats")["processes"] == 2


def test_no_checkpoint(pod, base):
    with Member(pod, "sleep 1000") as a, open(base / "checkpoint", "w+b") as f:
        fd = f.fileno()
        refused = pod.ask("checkpoint", fds=[fd, fd])
        assert refused["error"] == errno.EOPNOTSUPP
        assert "several containers" in refused["reason"]
        assert a.ask("stats")["processes"] >= 1 and os.fstat(fd).st_size == 0


def test_before_the_sandbox(box):
    with box.start("sleep 1000") as s:
        s.box = box
        with sentry.Gofer(box.build, {"root": box.roots[0]}) as g:
            g.socket.setblocking(False)
            assert add(s, config("true"), g.socket.fileno())["error"] == errno.EBUSY
