# SPDX-License-Identifier: Apache-2.0
"""What a workload writes and reads: through pipes, files and terminals, to many readers, quick and
slow, and into its log."""
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest
from lib import wait

BIG = 6_000_000


def pattern(n):
    """Bytes that tell where one is missing, of every value."""
    block = bytes(range(256)) * 16
    return b"".join(b"%08d" % i + block for i in range(n // (len(block) + 8) + 1))[:n]


def log_files(atoll, name):
    id = atoll("ps", "-aq", "--no-trunc", "--filter", f"name={name}").line
    return sorted((atoll.root / "workloads" / id).glob("workload.log*"))


def test_streams_are_apart_and_the_exit_code_comes_through(atoll, busybox):
    r = atoll.try_("run", "--rm", busybox, "sh", "-c", "echo out; echo err >&2; exit 42")
    assert (r.rc, r.out, r.err) == (42, "out\n", "err\n")
    r = atoll.try_("run", "--rm", busybox, "sh", "-c", "kill -KILL $$")
    assert r.rc in (0, 137)  # init of a pid namespace is deaf to itself
    assert atoll.try_("run", "--rm", busybox, "nonesuch").rc == 127
    assert atoll.try_("run", "--rm", busybox, "/etc").rc == 126


@pytest.mark.parametrize("driver", ["json-file", "none"])
def test_every_byte_comes_through(atoll, busybox, driver):
    data = pattern(BIG)
    r = atoll("run", "--rm", "-i", "--log-driver", driver, busybox, "cat", input=data)
    assert hashlib.sha256(r.raw).digest() == hashlib.sha256(data).digest()


@pytest.mark.parametrize("driver", ["json-file", "none"])
def test_a_slow_reader_in_front_loses_nothing(atoll, busybox, driver):
    p = atoll.popen("run", "--rm", "--log-driver", driver, busybox, "sh", "-c",
                    f"yes 123456789 | head -c {BIG}; echo end >&2")
    data = bytearray()
    for i in range(40):
        data += p.stdout.read(BIG // 200)
        time.sleep(0.01)  # slow is the point
    data += p.stdout.read()
    assert p.wait(120) == 0
    assert len(data) == BIG and data.replace(b"123456789\n", b"") == b""


def test_files_and_null_as_streams(atoll, busybox, base):
    given, got = base / "given", base / "got"
    given.write_bytes(pattern(300_000))
    with open(given, "rb") as i, open(got, "wb") as o:
        o.write(b"before\n")
        o.flush()
        p = atoll.popen("run", "--rm", "-i", busybox, "cat", stdin=i, stdout=o)
        assert p.wait(60) == 0
        o.seek(0, os.SEEK_END)
        o.write(b"after\n")
    assert got.read_bytes() == b"before\n" + pattern(300_000) + b"after\n"
    # Without -i there is nothing to read, and nothing of ours is read.
    with open(given, "rb") as i:
        p = atoll.popen("run", "--rm", busybox, "cat", stdin=i)
        assert p.communicate(timeout=60)[0] == b""


def test_reader_that_leaves(atoll, busybox):
    """`run | head`: the run ends like any program whose reader has gone."""
    p = atoll.popen("run", "--name", "left", busybox, "sh", "-c", "yes; exit 3")
    assert p.stdout.read(4) == b"y\ny\n"
    p.stdout.close()
    p.wait(60)
    p.stderr.close()
    assert atoll("ps", "-q", "--filter", "name=left").out or True  # it may run on, as with docker
    atoll("rm", "-f", "left")


def test_the_program_starts_clean(atoll, busybox):
    out = atoll("run", "--rm", busybox, "sh", "-c",
                "grep -E 'Sig(Blk|Ign)' /proc/self/status; ls /proc/self/fd; umask").out
    assert re.search(r"SigBlk:\s+0+\n", out) and re.search(r"SigIgn:\s+0+\n", out), out
    assert out.split("\n", 2)[2] == "0\n1\n2\n3\n0022\n"  # 3 is ls' own
    atoll("run", "-d", "--name", "clean", busybox, "sleep", "1000")
    out = atoll("exec", "clean", "sh", "-c",
                "grep -E 'Sig(Blk|Ign)' /proc/self/status; ls /proc/self/fd").out
    assert re.search(r"SigBlk:\s+0+\n", out) and out.endswith("\n0\n1\n2\n3\n"), out
    atoll("rm", "-f", "clean")


# ---- many readers -------------------------------------------------------------------------


def test_two_attached_see_the_same(atoll, busybox):
    atoll("run", "-d", "-i", "--name", "both", busybox, "sh", "-c",
          "while read l; do echo \"got $l\"; done; echo over")
    a = atoll.popen("attach", "--no-stdin", "both")
    b = atoll.popen("attach", "both", stdin=subprocess.PIPE)
    seen = []

    def one():  # a line now and then until both have one: attaching takes its time
        b.stdin.write(b"x\n")
        b.stdin.flush()
        return True

    reader = threading.Thread(target=lambda: seen.append(a.stdout.readline()))
    reader.start()
    wait.until(lambda: one() and not reader.is_alive(), "a line at the first client")
    assert seen == [b"got x\n"] and b.stdout.readline() == b"got x\n"
    atoll("kill", "both")
    assert a.wait(60) == 137 and b.wait(60) == 137
    a.communicate()
    b.communicate()
    atoll("rm", "both")


def test_a_slow_client_costs_the_log_nothing(atoll, busybox):
    atoll("run", "-d", "--name", "slow", "--log-opt", "max-size=100m", busybox, "sh", "-c",
          "while ! test -e /go; do echo waits; sleep 0.1; done; yes 0123456789abcde | head -c 8000000; "
          "echo; echo end; sleep 1000")
    p = atoll.popen("attach", "--no-stdin", "slow")
    assert p.stdout.readline() == b"waits\n"  # it is attached: now it writes, and nobody reads
    atoll("exec", "slow", "touch", "/go")
    # A pipe, a socket and the client's own buffer are full by then.
    wait.until(lambda: atoll("logs", "--tail", "1", "slow").line == "end", "the end in the log")
    assert p.poll() is None, "a slow client was thrown out"
    logged = (json.loads(l)["log"] for f in log_files(atoll, "slow")
              for l in f.read_text().splitlines())
    assert sum(len(l) for l in logged if l != "waits\n") == 8_000_005
    atoll("kill", "slow")
    out, err = p.communicate(timeout=60)
    assert p.returncode == 137
    assert len(out) < 8_000_000 and b"not shown" in err, err
    atoll("rm", "slow")


# ---- terminals ----------------------------------------------------------------------------


def test_terminal_detach_and_return(atoll, busybox):
    with atoll.terminal("run", "-it", "--name", "term", busybox, "sh") as t:
        t.resize(33, 77)
        t.expect("/ #")
        t.write("stty size; tty\n")
        t.expect("/dev/pts/0")
        t.write("echo $((40 + 2)) is the answer\n")
        t.expect("42 is the answer")
        t.write(b"\x10\x11")  # ctrl-p ctrl-q
        assert t.wait() == 0
    with atoll.terminal("attach", "term") as t:
        t.write("echo $((1 + 1)) again\n")
        t.expect("2 again")
        t.write("exit 9\n")
        assert t.wait() == 9
    assert "42 is the answer" in atoll("logs", "term").out
    atoll("rm", "term")


def test_terminal_takes_the_callers_size(atoll, busybox):
    with atoll.terminal("run", "--rm", "-it", busybox, "sh") as t:
        t.expect("#")

        def has(rows, columns):
            t.resize(rows, columns)
            t.write("stty size\n")
            got = t.expect("#")
            return f"{rows} {columns}".encode() in got

        wait.until(lambda: has(33, 77), "the size 33 77")
        wait.until(lambda: has(40, 100), "the size 40 100")
        t.write("exit\n")
        assert t.wait() == 0


def test_terminal_of_the_caller_without_one_inside(atoll, busybox):
    with atoll.terminal("run", "--rm", "-i", busybox, "sh", "-c",
                        "test -t 1 || echo no terminal; read l; echo got $l; cat") as t:
        t.expect("no terminal\r\n")
        t.write("a line\n")
        t.expect("got a line\r\n")
        t.write("more\n\x04")
        t.expect("more\r\nmore\r\n")
        assert t.wait() == 0


def test_interrupt_reaches_the_workload(atoll, busybox):
    with atoll.terminal("run", "--rm", busybox, "sh", "-c",
                        "trap 'echo int; exit 5' INT; echo up; while :; do sleep 0.1; done") as t:
        t.expect("up")
        t.write("\x03")
        t.expect("int")
        assert t.wait() == 5


def test_exec_terminal(atoll, busybox):
    atoll("run", "-d", "--name", "xterm", busybox, "sleep", "1000")
    with atoll.terminal("exec", "-it", "xterm", "sh") as t:
        t.expect("#")
        t.write("tty; exit 6\n")
        t.expect("/dev/pts/")
        assert t.wait() == 6
    atoll("rm", "-f", "xterm")


# ---- the log ------------------------------------------------------------------------------


def test_log_format_is_dockers(atoll, busybox):
    atoll("run", "--name", "fmt", busybox, "sh", "-c",
          r"printf 'a\042\\\n'; printf 'b' >&2; head -c 20000 /dev/zero | tr '\0' x; echo")
    lines = [json.loads(l) for f in log_files(atoll, "fmt") for l in f.read_text().splitlines()]
    assert all(set(l) == {"log", "stream", "time"} for l in lines)
    out = [l["log"] for l in lines if l["stream"] == "stdout"]
    assert out[0] == 'a"\\\n' and len(out[1]) == 16384 and out[2] == "x" * 3616 + "\n"
    assert [l["log"] for l in lines if l["stream"] == "stderr"] == ["b"]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", l["time"]) for l in lines)
    r = atoll("logs", "fmt")
    assert r.out == 'a"\\\n' + "x" * 20000 + "\n" and r.err == "b"
    atoll("rm", "fmt")


def test_log_rotates_and_is_read_over_its_files(atoll, busybox):
    atoll("run", "--name", "rot", "--log-opt", "max-size=20k", "--log-opt", "max-file=4", busybox,
          "sh", "-c", "i=0; while [ $i -lt 600 ]; do echo line $i; i=$((i+1)); done")
    files = log_files(atoll, "rot")
    assert 2 <= len(files) <= 4 and all(f.stat().st_size < 22_000 for f in files)
    numbers = [int(l.split()[1]) for l in atoll("logs", "rot").out.splitlines()]
    assert numbers == list(range(numbers[0], 600)) and len(numbers) > 300
    for n in (0, 1, 7, 250, 10_000):
        tail = [int(l.split()[1]) for l in atoll("logs", "--tail", n, "rot").out.splitlines()]
        assert tail == numbers[len(numbers) - min(n, len(numbers)):]
    atoll("rm", "rot")


def test_follow_over_rotations_to_the_end(atoll, busybox):
    atoll("run", "-d", "--name", "fol", "--log-opt", "max-size=40k", "--log-opt", "max-file=3",
          busybox, "sh", "-c",
          "i=0; while [ $i -lt 800 ]; do echo line $i; i=$((i+1)); "
          "[ $((i % 100)) = 0 ] && sleep 0.1; done")
    p = atoll.popen("logs", "-f", "fol")
    out, err = p.communicate(timeout=120)
    assert p.returncode == 0, err
    assert [int(l.split()[1]) for l in out.decode().splitlines()] == list(range(800))
    atoll("rm", "fol")


def test_log_by_time(atoll, busybox):
    atoll("run", "--name", "when", busybox, "sh", "-c", "echo one; sleep 1.2; echo two")
    lines = atoll("logs", "-t", "when").out.splitlines()
    stamp, text = lines[1].split(" ", 1)
    assert text == "two"
    assert atoll("logs", "--since", stamp, "when").out == "two\n"
    assert atoll("logs", "--until", lines[0].split()[0], "when").out == "one\n"
    assert atoll("logs", "--since", "24h", "when").out == "one\ntwo\n"
    atoll("rm", "when")


def test_log_driver_none_keeps_nothing(atoll, busybox):
    atoll("run", "--name", "nolog", "--log-driver", "none", busybox, "echo", "gone")
    assert log_files(atoll, "nolog") == []
    atoll.fails("logs", "nolog", says="--log-driver none")
    atoll("rm", "nolog")


def test_log_options_are_checked_at_create(atoll, busybox):
    atoll.fails("create", "--log-driver", "jsonfile", busybox, says="json-file")
    atoll.fails("create", "--log-opt", "max-sise=1m", busybox, says="max-size")
    atoll.fails("create", "--log-opt", "max-size=much", busybox, says="max-size")
    atoll.fails("create", "--log-opt", "max-file=0", busybox, says="max-file")
    if not os.path.exists("/run/systemd/journal/socket"):
        atoll.fails("create", "--log-driver", "journald", busybox, says="journal")
    assert atoll("ps", "-aq", "--filter", "status=created").out == ""


JOURNAL = """
import os, socket, subprocess, sys
os.makedirs("/run/systemd/journal", exist_ok=True)
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("/run/systemd/journal/socket")
s.settimeout(60)
subprocess.run(sys.argv[1:], check=True)
for _ in range(3):
    sys.stdout.buffer.write(s.recv(1 << 20) + b"\\0\\0")
"""


def test_journald(atoll, busybox):
    """The journal's end of the socket, in a mount namespace of its own."""
    argv = atoll.argv("run", "--rm", "--name", "jour", "--log-driver", "journald", "--log-opt",
                      "tag=mine", busybox, "sh", "-c", "echo one; echo two >&2; printf 'thr\\te'")
    script = "mount -t tmpfs tmpfs /run && exec /usr/bin/python3 -c \"$0\" \"$@\""
    r = subprocess.run(["unshare", "-m", "sh", "-c", script, JOURNAL, *argv], capture_output=True,
                       timeout=120, check=False)
    assert r.returncode == 0, r.stderr
    text = r.stdout
    assert b"MESSAGE=one\n" in text and b"MESSAGE=two\n" in text and b"MESSAGE=thr\te\n" in text
    assert text.count(b"PRIORITY=6\n") == 2 and text.count(b"PRIORITY=3\n") == 1
    assert b"CONTAINER_NAME=jour\n" in text and b"SYSLOG_IDENTIFIER=mine\n" in text
