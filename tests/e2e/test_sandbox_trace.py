# SPDX-License-Identifier: Apache-2.0
"""`atoll trace`: what a sandbox's programs call is shown as they call it, counted, and kept of what
was refused."""
import json
import os
import re
import signal
import threading

import pytest

from lib import guest, sentry, wait

pytestmark = [pytest.mark.timeout(120),
              pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")]

SANDBOX = ("--isolation=sandbox",)
# Waits to be told, and then does what is to be seen.
WORK = ('trap : USR1; echo up; read line < /go; cat /etc/hosts > /dev/null; cat /nosuch; '
        'mkdir /tmp/d; sh -c "exit 7"; exit 3')
LOOP = 'while :; do cat /etc/hosts > /dev/null; sleep 0.05; done'


@pytest.fixture(scope="module", autouse=True)
def possible(build, base):
    sentry.need(sentry.Sentries(build, base / "sentries"))


class Trace:
    """A trace that runs: its lines, and what it said."""

    def __init__(self, atoll, *args):
        self.p = atoll.popen("trace", *args)
        self.out, self.err = b"", b""
        self.threads = [threading.Thread(target=self.read, args=a, daemon=True)
                        for a in (("out", self.p.stdout), ("err", self.p.stderr))]
        for t in self.threads:
            t.start()
        if "-q" not in args:
            wait.until(lambda: b"tracing workload" in self.err or self.p.poll() is not None,
                       "the trace to begin")

    def read(self, name, stream):
        while chunk := os.read(stream.fileno(), 65536):
            setattr(self, name, getattr(self, name) + chunk)

    def await_(self, what):
        wait.until(lambda: re.search(what, self.out.decode()), f"{what} in the trace")

    def end(self, signo=None):
        if signo:
            self.p.send_signal(signo)
        rc = self.p.wait(60)
        for t in self.threads:
            t.join(60)
        self.p.stdout.close()
        self.p.stderr.close()
        return rc, self.out.decode(), self.err.decode()


@pytest.fixture
def waiting(atoll, busybox, base):
    """A sandbox that works as it is told to, by a line in a FIFO."""
    atoll("run", "-d", "--name", "w", *SANDBOX, busybox, "sh", "-c", "mkfifo /go; " + WORK)
    wait.until(lambda: "up" in atoll("logs", "w").out, "its output")
    # It may end with the container that it ends.
    yield lambda: atoll.try_("exec", "w", "sh", "-c", "echo > /go")
    atoll("rm", "-f", "w")


@pytest.fixture(scope="module")
def loop(atoll, busybox):
    atoll("run", "-d", "--name", "loop", *SANDBOX, busybox, "sh", "-c", LOOP)
    yield "loop"
    atoll("rm", "-f", "loop")


def test_what_a_shell_does(atoll, waiting):
    """Names, numbers, flags, structures, lists, results, signals and ends of several processes; and
    its own end is the trace's."""
    t = Trace(atoll, "w")
    waiting()
    rc, out, err = t.end()
    assert rc == 0 and err == "atoll: tracing workload 'w'\n", err
    for line in (
            r'\[pid \d+\] execve\("[^"]+", \["cat", "/etc/hosts"\], 0x[0-9a-f]+ /\* \d+ vars \*/\) = 0',
            r'\[pid \d+\] openat\(AT_FDCWD, "/etc/hosts", O_RDONLY\) = 3',
            r'\[pid \d+\] openat\(AT_FDCWD, "/nosuch", O_RDONLY\) = -1 ENOENT \(No such file or directory\)',
            r'\[pid 1\] openat\(AT_FDCWD, "/dev/null", O_WRONLY\|O_CREAT\|O_TRUNC, 0666\) = 3',
            r'\[pid \d+\] mkdir\("/tmp/d", 0777\) = 0',
            r'\[pid \d+\] write\(2, "cat: can.t open ./nosuch.: No su"\.\.\., \d+\) = \d+',
            r'\[pid 1\] clone\(CLONE_CHILD_CLEARTID\|CLONE_CHILD_SETTID\|SIGCHLD, NULL, .*\) = \d+',
            r'\[pid 1\] wait4\(-1, \[\{WIFEXITED\(s\) && WEXITSTATUS\(s\) == 7\}\], 0, NULL\) = \d+',
            r'\[pid 1\] --- SIGCHLD \{si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=\d+, si_uid=0\} ---',
            r'\[pid \d+\] exit_group\(7\) = \?',
            r'\[pid \d+\] \+\+\+ exited with 7 \+\+\+'):
        assert re.search("^" + line + "$", out, re.M), f"{line}\n{out}"
    assert out.endswith("[pid 1] exit_group(3) = ?\n[pid 1] +++ exited with 3 +++\n"), out[-300:]


def test_a_call_that_takes_long(atoll, loop):
    """What waits is shown while it waits; with its time, and with the time of day."""
    t = Trace(atoll, "-tT", "-e", "openat,open,read", loop)
    t.await_(r"/etc/hosts")
    atoll("exec", "-d", loop, "sh", "-c", "mkfifo /f; cat /f")
    wait.until(lambda: "cat /f" in atoll("top", loop).out, "the reader")
    t.await_(r'(?m)^\d\d:\d\d:\d\d\.\d{6} \[pid \d+\] open(at)?\(.*"/f", O_RDONLY <unfinished \.\.\.>$')
    atoll("exec", loop, "sh", "-c", "echo a > /f")
    t.await_(r"<\.\.\. open(at)? resumed>\) = \d+ <\d+\.\d{6}>")
    rc, out, _ = t.end(signal.SIGINT)
    assert rc == 0 and set(re.findall(r"\] (\w+)\(", out)) <= {"openat", "open", "read"}, out


def test_filters(atoll, loop, tmp_path):
    """Of classes, of processes, without signals, into a file, with longer texts."""
    t = Trace(atoll, "-q", "-e", "trace=%file", "-e", "signal=none", "-o", tmp_path / "f", loop)
    wait.until(lambda: (tmp_path / "f").exists() and
               (tmp_path / "f").read_text().count("exited with") > 3, "a trace in the file")
    rc, out, err = t.end(signal.SIGTERM)
    text = (tmp_path / "f").read_text()
    assert (rc, out, err) == (0, "", "")
    assert "/etc/hosts" in text and "SIGCHLD" not in text and not re.search(r"\] (read|wait4)\(", text)

    t = Trace(atoll, "-s", "3", "-e", "!%memory", "-p", "1", loop)
    t.await_(r'execve\("[^"]+", \["cat", "/et"\.\.\.\]')
    rc, out, _ = t.end(signal.SIGINT)
    assert not re.search(r"\] (brk|mmap|mprotect)\(", out), out
    t = Trace(atoll, "-p", "999999", loop)
    atoll("exec", loop, "true")
    rc, out, _ = t.end(signal.SIGINT)
    assert (rc, out) == (0, "")


def test_what_is_known(atoll, busybox, tmp_path):
    """Calls that nobody hears of, as their answers are known, are seen while somebody looks."""
    guest.compiled("sandbox_known.c", tmp_path)
    atoll("run", "-d", "--name", "known", *SANDBOX, "-v", f"{tmp_path}:/known:ro", busybox,
          "/known/sandbox_known", "for", "ever")
    try:
        wait.until(lambda: "known" in atoll("logs", "known").out, "its output")
        t = Trace(atoll, "-e", "getppid", "known")
        t.await_(r"(getppid\(\) += 0\n.*){20}")
        t.end(signal.SIGINT)
    finally:
        atoll("rm", "-f", "known")


def test_a_summary(atoll, loop):
    t = Trace(atoll, "-c", loop)
    for _ in range(3):
        atoll.fails("exec", loop, "cat", "/nosuch")
    rc, out, _ = t.end(signal.SIGINT)
    assert rc == 0 and out.startswith("% time     seconds  usecs/call     calls    errors syscall\n"), out
    rows = {r.split()[-1]: r.split() for r in out.splitlines()}
    assert int(rows["exit_group"][3] if "exit_group" in rows else 0) == 0, out  # they do not return
    assert int(rows["openat"][3]) > int(rows["openat"][4]) > 0, out
    assert sum(int(r[3]) for n, r in rows.items() if n.islower() and n not in ("total", "syscall")) \
        == int(rows["total"][3]), out


def test_every_call(atoll, busybox):
    """Also of code that is patched, before it is watched and meanwhile."""
    copy = "dd if=/dev/zero of=/dev/null bs=1 count=500 2>/dev/null; "
    atoll("run", "-d", "--name", "every", *SANDBOX, busybox, "sh", "-c",
          f"{copy} mkfifo /go; echo up; read x < /go; {copy}")
    wait.until(lambda: "up" in atoll("logs", "every").out, "its output")
    try:
        t = Trace(atoll, "-e", "write", "every")
        atoll.try_("exec", "every", "sh", "-c", "echo > /go")
        rc, out, err = t.end()
        assert rc == 0 and len(re.findall(r'write\(1, "\\0", 1\) += 1', out)) == 500, out[-500:] + err
    finally:
        atoll.try_("rm", "-f", "every")


def test_two_at_once_and_too_many(atoll, loop):
    two = [Trace(atoll, "-e", "execve", loop) for _ in range(2)]
    for t in two:
        t.await_(r'\["cat", "/etc/hosts"\]')
    more = [Trace(atoll, "-c", loop) for _ in range(6)]
    atoll.fails("trace", loop, says="too many look at its calls already")
    for t in two + more:
        assert t.end(signal.SIGINT)[0] == 0


def test_a_reader_that_stands_still(atoll, busybox):
    """It holds nobody up: the workload does its work and ends, and the reader is told what it missed."""
    atoll("run", "-d", "--name", "fast", *SANDBOX, busybox, "sh", "-c",
          "mkfifo /go; echo up; read x < /go; dd if=/dev/zero of=/dev/null bs=1 count=60000; exit 5")
    wait.until(lambda: "up" in atoll("logs", "fast").out, "its output")
    t = Trace(atoll, "fast")
    t.p.send_signal(signal.SIGSTOP)
    try:
        atoll.try_("exec", "fast", "sh", "-c", "echo > /go")
        assert atoll("wait", "fast").out == "5\n"
        assert t.p.poll() is None
    finally:
        t.p.send_signal(signal.SIGCONT)
    rc, out, _ = t.end()
    assert rc == 0 and "read(0, " in out, out[-500:]
    atoll("rm", "fast")


def test_what_was_refused(atoll, busybox):
    """By number, kind and error; while it runs, and after its end."""
    atoll("run", "-d", "--name", "r", *SANDBOX, busybox, "sh", "-c",
          "mkfifo /go; [ -t 0 ]; unshare -n true; unshare -n true; echo up; read x < /go")
    wait.until(lambda: "up" in atoll("logs", "r").out, "its output")
    seen = [atoll("trace", "--refused", "--format", "json", "r").out.splitlines()]
    atoll.try_("exec", "r", "sh", "-c", "echo > /go")
    assert atoll("wait", "r").out == "0\n"
    seen.append(atoll("trace", "--refused", "--format", "json", "r").out.splitlines())
    for rows in seen:
        rows = {(r["Name"], r["Which"]): r for r in map(json.loads, rows)}
        assert rows["unshare", "CLONE_NEWNET"] == {
            "Count": "2", "Name": "unshare", "Which": "CLONE_NEWNET", "State": "filtered",
            "Error": "EPERM", "Note": "by a seccomp filter of the workload"}
        assert rows["rseq", ""]["State"] == "refused" and rows["rseq", ""]["Error"] == "ENOSYS"
        assert rows["ioctl", "TCGETS"]["State"] == "partial"
    atoll.fails("trace", "r", says="is not running")
    table = atoll("trace", "--refused", "r").out.splitlines()
    assert table[0].split() == ["COUNT", "NAME", "WHICH", "STATE", "ERROR", "NOTE"]
    atoll("start", "r")
    wait.until(lambda: atoll("logs", "r").out.count("up") == 2, "its output")
    t = Trace(atoll, "-e", "read", "r")
    atoll.try_("exec", "r", "sh", "-c", "echo > /go")
    assert t.end()[1].endswith("exited with 0 +++\n")
    atoll("rm", "-f", "r")


def test_what_cannot_be_traced(atoll, busybox, loop):
    atoll.fails("trace", "nosuch", says="no such")
    atoll.fails("trace", "-e", "trace=opne", loop, says="did you mean 'open'?")
    atoll.fails("trace", "-e", "inject=open", loop, says="unsupported")
    atoll.fails("trace", "-p", "x", loop, says="no process' number")
    atoll("run", "-d", "--name", "c", busybox, "sleep", "1000")
    for args in (), ("--refused",):
        atoll.fails("trace", *args, "c", says="unsupported: the calls of workload 'c' go to this "
                                              "machine's kernel")
    atoll("rm", "-f", "c")
    atoll("create", "--name", "n", *SANDBOX, busybox, "true")
    atoll.fails("trace", "n", says="is not running")
    atoll.fails("trace", "--refused", "n", says="it never ran")
    atoll("rm", "n")
    atoll("pause", loop)
    atoll.fails("trace", loop, says="is paused")
    atoll("unpause", loop)
