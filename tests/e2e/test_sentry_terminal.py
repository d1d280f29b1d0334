# SPDX-License-Identifier: Apache-2.0
"""
atoll-sentry with process.terminal: a terminal of the guest's own before one of the host's, job
control, sizes, hang-ups, and that nothing of what is written is lost.
"""
import errno
import hashlib
import os
import select
import signal
import termios

import pytest

from lib import run, sentry, wait

pytestmark = [pytest.mark.timeout(120),
              pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")]


@pytest.fixture(scope="module")
def box(build, base):
    s = sentry.Sentries(build, base)
    sentry.need(s)
    return s


def before(box, args, *more, **changes):
    args = ["sh", "-c", args] if isinstance(args, str) else args
    return sentry.OnPty(box, sentry.config(args, **changes), *more)


def test_what_it_is(box):
    """pts/0, the console, the controlling terminal, the user's."""
    with before(box, "tty; test -t 2 && stat -c '%u %g %a %t,%T' /dev/pts/0 /dev/console; "
                "readlink /proc/self/fd/0; echo controls >/dev/tty; echo is >/dev/console; "
                "cut -d' ' -f5-8 /proc/$$/stat; exit 6",
                process_user={"uid": 1000, "gid": 1001}) as t:
        node = b"1000 5 620 88,0\r\n"
        assert t.wait() == 6
        assert t.text == (b"/dev/pts/0\r\n" + node * 2 + b"/dev/pts/0\r\ncontrols\r\nis\r\n"
                          b"1 1 34816 1\r\n")


def test_no_devpts(box):
    with before(box, "true", mounts=[]) as t:
        assert t.wait() == 125 and b"no devpts at /dev/pts" in t.text


def test_lines_are_edited_inside(box):
    """The host's end carries bytes: echo, editing and ^D are the guest's."""
    with before(box, "echo up; cat; echo end") as t:
        t.expect("up\r\n")
        assert not termios.tcgetattr(t.fd)[3] & (termios.ECHO | termios.ICANON)
        t.write("abd\x7fc\n")
        assert t.expect("abc\r\n") == b"abd\b \bc\r\nabc\r\n"
        t.write(b"\x04")
        t.expect("end\r\n")
        assert t.wait() == 0


def test_raw_inside(box):
    with before(box, "stty raw -echo; echo ready; dd bs=1 count=3 2>/dev/null | hexdump -C; "
                "stty sane") as t:
        t.expect("ready")
        t.write(b"\x03\x04\r")
        t.expect("03 04 0d")
        assert t.wait() == 0


# What an interactive shell gets, and what is to come then. A marker is typed with quotes in it, so
# that its echo is not taken for it.
SESSION = (
    # It tells that it goes on, which is when the terminal is its own: what is typed before is another's.
    ("sh -c 'trap \"echo c\\$((1))ont\" CONT; echo g\"\"o; while :; do sleep 0.05; done'\n", "go\r\n"),
    (b"\x1a", "Stopped"), ("jobs\n", "Stopped"),
    ("bg\n", "c1ont"), ("jobs; echo l''isted\n", "Running"), ("", "listed\r\n"),
    ("fg; echo m''ark $?\n", "c1ont\r\n"),
    (b"\x03", "> "), ("echo m''ark $?\n", "mark 130"), ("jobs; echo no-j''obs\n", "\r\nno-jobs"),
    ("cat & wait %1; echo w''aited\n", "waited"), ("jobs\n", "Stopped (tty input)"),
    ("kill %1; wait; echo k''illed\n", "killed"),
    # Who waits for input holds nobody who writes by the same open file.
    ("(echo g''o; cat) | cat\n", "go\r\n"), ("xyz\n", "xyz\r\nxyz"), (b"\x1c", "> "),
    ("stty tostop; (echo b''ad) & wait $!; stty -tostop; echo d''one\n", "done"), ("jobs\n", "Stopped (tty output)"),
    ("kill -9 %1 %2; wait; exit 9\n", "\n"),
)


def test_job_control(box):
    with before(box, ["sh", "-i"], process_env=["PATH=/bin", "PS1=> "]) as t:
        t.expect("> ")
        for typed, said in SESSION:
            t.write(typed)
            t.expect(said)
        assert t.wait() == 9
        assert b"bad" not in t.text


def test_sizes(box):
    """consoleSize, or the host's; then what the host's becomes, and SIGWINCH."""
    script = "trap 'stty size' WINCH; stty size; while :; do sleep 0.02; done"
    with before(box, script, process_consoleSize={"height": 11, "width": 22}) as t:
        t.expect("11 22\r\n")
        for rows, columns in ((50, 132), (24, 80)):
            t.resize(rows, columns)
            t.expect(f"{rows} {columns}\r\n")


def test_sizes_of_a_terminal_of_anothers_session(box):
    """Whose SIGWINCH is not this program's: they are seen nevertheless."""
    what = sentry.config(["sh", "-c", "echo up; trap 'stty size' WINCH; "
                          "while :; do sleep 0.02; done"], process_terminal=True)
    with run.Terminal(box.command(what), os.environ) as t:
        t.expect("up")
        t.resize(44, 55)
        t.expect("44 55\r\n")


def test_hang_up(box, base):
    with before(box, "trap 'exit 4' HUP; echo up; while :; do sleep 0.02; done") as t:
        t.expect("up")
        os.close(t.fd)
        t.fd = -1
        assert os.waitstatus_to_exitcode(os.waitpid(t.pid, 0)[1]) == 4
        t.rc = 4
    with before(box, "echo up; cat; echo end; exec cat /dev/zero") as t:
        # Who does not hear it sees it.
        t.expect("up")
        os.close(t.fd)
        t.fd = -1
        assert os.waitstatus_to_exitcode(os.waitpid(t.pid, 0)[1]) in (1, 129)
        t.rc = 1


def test_megabytes(box):
    """Both ways, at a slow reader's pace, and none is lost at the end."""
    data = os.urandom(300000).hex().encode()
    lines = b"\n".join(data[k:k + 100] for k in range(0, len(data), 100)) + b"\n"
    with before(box, f"stty raw -echo; echo ready; head -c {len(lines)} | md5sum") as t:
        t.expect("ready")
        os.set_blocking(t.fd, False)
        at = 0
        while at < len(lines):
            try:
                at += os.write(t.fd, lines[at:at + 4096])
            except BlockingIOError:
                wait.until(lambda: writable(t.fd), "room")
        os.set_blocking(t.fd, True)
        t.expect(hashlib.md5(lines).hexdigest())
        assert t.wait() == 0
    with before(box, "seq 1 200000") as t:
        said = t.rest()
        assert said == b"".join(b"%d\r\n" % n for n in range(1, 200001))
        assert t.wait() == 0


def writable(fd):
    return select.select([], [fd], [], 1)[1]


def test_who_reads_slowly_gets_it_all(box):
    """The process has ended long before."""
    with before(box, "seq 1 3000; exit 3") as t:
        said = b""
        try:
            while part := os.read(t.fd, 16):
                said += part
        except OSError as e:
            assert e.errno == errno.EIO
        assert said == b"".join(b"%d\r\n" % n for n in range(1, 3001))
        assert t.wait() == 3


# ---- EXEC ----


def execute(s, args, **more):
    args = ["sh", "-c", args] if isinstance(args, str) else args
    t = sentry.Pty(args)
    spec = {**sentry.config(args)["process"], "terminal": True, **more}
    reply = s.ask("exec", spec=spec, fds=[t.slave])
    t.given()
    return reply, t


def test_exec(box):
    with box.start("exec sleep 1000") as s:
        assert s.ask("start") == {}
        reply, t = execute(s, "tty; cat; exit 5", user={"uid": 7, "gid": 8},
                           consoleSize={"height": 5, "width": 6})
        with t:
            t.expect("/dev/pts/0\r\n")
            other, u = execute(s, "tty; trap 'stty size; exit 8' WINCH; echo up; "
                               "while :; do sleep 0.02; done")
            with u:
                u.expect("/dev/pts/1\r\n")
                u.expect("up")
                u.resize(7, 9)
                u.expect("7 9\r\n")
                assert s.ask("wait", process=other["process"]) == {"status": 8}
                assert u.rest() == b""
            t.write("line\n\x04")
            assert s.ask("wait", process=reply["process"]) == {"status": 5}
            assert t.rest() == b"line\r\nline\r\n"
        # Its hang-up is its own alone.
        reply, t = execute(s, "echo up; sleep 1000")
        t.expect("up")
        t.close()
        assert s.ask("wait", process=reply["process"]) == {"status": 129}
        # Numbers are free again, and what cannot be is refused by name.
        reply, t = execute(s, "tty; seq 1 20000")
        with t:
            waiting = s.connect()
            s.send("wait", process=reply["process"], on=waiting)
            assert t.rest() == b"/dev/pts/0\r\n" + b"".join(b"%d\r\n" % n for n in range(1, 20001))
            assert s.receive(waiting) == {}
            waiting.close()
        reply, t = execute(s, ["nosuch"])
        with t:
            assert reply["error"] == errno.ENOENT and t.rest() == b""
        spec = {**sentry.config(["true"])["process"], "terminal": True}
        assert s.ask("exec", spec=spec)["error"] == errno.EINVAL
        with open(os.devnull, "r+b") as null:
            reply = s.ask("exec", spec=spec, fds=[null.fileno()])
        assert reply["error"] == errno.ENOTTY and "no terminal" in reply["reason"]
        blocking, slave = os.openpty()
        assert "without waiting" in s.ask("exec", spec=spec, fds=[slave])["reason"]
        os.close(blocking)
        os.close(slave)
        assert s.ask("signal", process=1, signal=signal.SIGKILL) == {}
        assert s.ended()[0] == 137
