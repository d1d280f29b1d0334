# SPDX-License-Identifier: Apache-2.0
"""Sandboxes kept in a file by their own kernel, and begun again: here, elsewhere, or not at all."""
import hashlib
import os
import re

import pytest

from lib import sentry
from lib.wait import until

pytestmark = [pytest.mark.timeout(180),
              pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")]

COUNTER = "i=0; while :; do i=$((i+1)); echo $i >> /count; echo $i; sleep 0.05; done"
# Files that are open, names in a tmpfs, a pipe with a reader that waits, a child that was stopped, one that has
# ended, a trap, and a sleep.
MANY = """
trap 'echo told >> /told' USR1
cd /dev/shm; mkdir d; echo before > d/file; ln d/file other; ln -s d/file link; chmod 600 d/file; rm /dev/full
exec 5>>/log 6</etc/passwd; echo opened >&5; read -r first <&6
mkfifo /dev/shm/fifo
(while :; do sleep 0.1; done) & echo $! > stopped; kill -STOP $!
(exit 7) & zombie=$!
(sleep 3; echo slept > /slept) &
{ while [ ! -e /go ]; do sleep 0.1; done; echo one; echo two; } | { read -r l; echo "$l" > /piped; cat >> /piped; } &
echo ready > /ready
while [ ! -e /go ]; do sleep 0.1; done
wait $zombie; echo "ended $?" >&5
read -r second <&6; [ "$second" != "$first" ] && echo "$second" >&5
echo after >> d/file
echo done > /done
while :; do sleep 0.1; done
"""


@pytest.fixture(scope="module", autouse=True)
def possible(build, base):
    sentry.need(sentry.Sentries(build, base / "sentries"))


@pytest.fixture
def run(atoll, busybox, request):
    made = []

    def start(*args, command=("sh", "-c", COUNTER), name=None):
        made.append(name or f"k{len(made)}-{request.node.originalname[5:25].replace('_', '-')}")
        atoll("run", "-d", "--name", made[-1], "--isolation=sandbox", *args, busybox, *command)
        return made[-1]

    start.made = made
    yield start
    for name in made:
        atoll.try_("rm", "-f", name)


def counts(a, name):
    count = lambda: a.try_("exec", name, "cat", "/count").out.split()
    n = len(count())
    until(lambda: len(count()) > n + 2, "the counter goes on")
    seen = count()
    assert seen == [str(i + 1) for i in range(len(seen))]


def does(a, *args):
    r = a.try_(*args)
    assert r.rc == 0, f"{r}\n" + "".join(f.read_text(errors="replace")[-3000:]
                                        for f in a.state.glob("workloads/*/*.log"))
    return r


def test_there_and_back(atoll, run):
    name = run("-m", "64m", "-e", "WHO=me")
    counts(atoll, name)
    does(atoll, "checkpoint", name)
    s = atoll.inspect(name)["State"]
    assert s["Status"] == "exited" and s["Pid"] == 0
    does(atoll, "restore", name)
    assert atoll.inspect(name)["State"]["Status"] == "running"
    counts(atoll, name)
    printed = atoll("logs", name).out.split()  # from before and after, without a gap
    assert printed == [str(i + 1) for i in range(len(printed))] and len(printed) > 5
    assert atoll("exec", name, "sh", "-c", "tr '\\0' '\\n' < /proc/1/environ").out.count("WHO=me") == 1


def test_from_start(atoll, run, base):
    name, kept = run(), base / "from-start"
    kept.mkdir()
    counts(atoll, name)
    does(atoll, "checkpoint", name, "one", "--leave-running")
    atoll.fails("start", "--checkpoint", "one", name, says="runs: stop it before")
    does(atoll, "checkpoint", name, "two", "--checkpoint-dir", kept)
    atoll.fails("start", "--checkpoint", "two", name, says="checkpoint two does not exist")
    does(atoll, "start", "--checkpoint", "two", "--checkpoint-dir", kept, name)
    counts(atoll, name)


def test_it_goes_on(atoll, run):
    name = run()
    counts(atoll, name)
    pid = atoll.inspect(name)["State"]["Pid"]
    does(atoll, "checkpoint", name, "kept", "--leave-running")
    assert atoll.inspect(name)["State"]["Pid"] == pid
    counts(atoll, name)
    assert atoll("checkpoint", "ls", name).out.split()[-1] == "kept"
    assert atoll.inspect(name)["State"]["Status"] == "running"


def test_what_it_has(atoll, run):
    name = run(command=("sh", "-c", MANY))
    until(lambda: atoll.try_("exec", name, "cat", "/ready").rc == 0, "it has all of that")
    look = "cd /dev/shm; stat -c '%n %i %h %a %Y' d d/file other; ls -l /dev; cat /proc/1/maps; "\
        "for f in 5 6; do readlink /proc/1/fd/$f; done"
    before = inside(atoll, name, look)
    does(atoll, "checkpoint", name)
    does(atoll, "restore", name)
    assert inside(atoll, name, look) == before
    assert inside(atoll, name, "grep State /proc/$(cat /dev/shm/stopped)/status").split()[1] == "T"
    inside(atoll, name, "kill -USR1 1; touch /go")
    until(lambda: atoll.try_("exec", name, "cat", "/done").rc == 0, "it comes to its end")
    assert inside(atoll, name, "cat /log") == "opened\nended 7\n" + \
        inside(atoll, name, "sed -n 2p /etc/passwd")
    assert inside(atoll, name, "cat /dev/shm/other /dev/shm/link") == "before\nafter\n" * 2
    assert inside(atoll, name, "cat /told") == "told\n"
    until(lambda: atoll.try_("exec", name, "cat", "/piped").out == "one\ntwo\n", "what was piped")
    until(lambda: atoll.try_("exec", name, "cat", "/slept").out == "slept\n", "the sleep's end")


def inside(a, name, command):
    return a("exec", name, "sh", "-c", command).out


REFUSED = {
    "removed": ("exec 4>/f; rm /f; echo up; sleep 99", "descriptor 4, a file that was removed: f"),
    "mounts": ("mount -t tmpfs none /mnt; echo up; sleep 99", "mounts were made or changed inside"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_kept(atoll, run, what):
    command, says = REFUSED[what]
    name = run("--cap-add", "SYS_ADMIN", command=("sh", "-c", f"mkdir -p /mnt; {command}"))
    until(lambda: "up" in atoll("logs", name).out, "it is there")
    r = atoll.try_("checkpoint", name)
    assert r.rc != 0 and says in r.err and "unsupported" in r.err, r
    s = atoll.inspect(name)["State"]
    assert s["Status"] == "running" and inside(atoll, name, "echo here") == "here\n"


def test_an_exec_and_a_pause(atoll, run):
    name = run()
    counts(atoll, name)
    atoll("exec", "-d", name, "sleep", "99")
    until(lambda: "sleep" in inside(atoll, name, "ps"), "the exec")
    r = atoll.try_("checkpoint", name)
    assert r.rc != 0 and "(sleep)" in r.err and "exec" in r.err and "unsupported" in r.err, r
    counts(atoll, name)


def test_its_terminal(atoll, run):
    name = run("-it", command=("sh", "-c", "trap 'echo interrupted' INT; stty -echo; echo up; "
                               "while :; do read x && echo got $x; done"))
    with atoll.terminal("attach", name) as t:
        t.resize(33, 44)
        until(lambda: inside(atoll, name, "stty size < /dev/console") == "33 44\n", "its size")
        t.write("one\npart")
        t.expect("got one")
        look = "stty -a < /dev/console; ls -l /dev/pts /dev/console; cut -d' ' -f5-8 /proc/1/stat; ls -l /proc/1/fd"
        before = inside(atoll, name, look)
        assert "-echo" in before.split() and before.count("/dev/pts/0") == 3
        r = atoll.try_("checkpoint", name)
        assert r.rc == 0, r
    does(atoll, "restore", name)
    with atoll.terminal("attach", name) as t:
        t.resize(33, 44)
        until(lambda: inside(atoll, name, look) == before, "all as it was")
        t.write("ial\n")
        t.expect("got partial")
        t.write("\x03")
        t.expect("interrupted")
        t.resize(22, 55)
        until(lambda: inside(atoll, name, "stty size < /dev/console") == "22 55\n", "the new size")
        inside(atoll, name, "echo from the console > /dev/console")
        t.expect("from the console")
    printed = atoll("logs", name).out.replace("\r", "")
    assert printed.count("got one") == 1 and printed.count("up\n") == 1, printed


def test_an_execs_terminal(atoll, run):
    name = run()
    counts(atoll, name)
    with atoll.terminal("exec", "-it", name, "sh") as t:
        t.write("echo he''re\n")
        t.expect("here")
        r = atoll.try_("checkpoint", name)
        assert r.rc != 0 and "exec" in r.err and "unsupported" in r.err, r
    counts(atoll, name)


def test_through_a_file(atoll, run, base):
    name = run("--cap-add", "NET_RAW")
    counts(atoll, name)
    file = base / "kept.tar"
    does(atoll, "checkpoint", name, "--export", file)
    at_end = atoll("logs", name).out.split()[-1]
    atoll("rm", name)
    does(atoll, "restore", "--import", file, "--name", "elsewhere")
    run.made.append("elsewhere")
    counts(atoll, "elsewhere")
    assert int(atoll("logs", "elsewhere").out.split()[0]) == int(at_end) + 1


def test_a_clone(atoll, run):
    name = run("-h", "first")
    counts(atoll, name)
    does(atoll, "snapshot", "create", name, "kept")
    run.made.append("another")
    does(atoll, "run", "-d", "--name", "another", "-h", "second", "--from-snapshot", "kept")
    counts(atoll, "another")
    assert inside(atoll, "another", "hostname") == "second\n"
    counts(atoll, name)
    atoll("snapshot", "rm", "kept")


def test_damaged(atoll, run, base):
    name = run()
    counts(atoll, name)
    does(atoll, "checkpoint", name, "--checkpoint-dir", base)
    state = next(base.glob("*/sandbox.state"))
    whole = state.read_bytes()
    for bad in (whole[:5000], b"", b"x" * 8192, whole[:-8] + b"\0" * 8, whole + b"\0" * 8):
        state.write_bytes(bad)
        r = atoll.try_("restore", name, "--checkpoint-dir", base)
        assert r.rc != 0 and "checkpoint" in r.err, r
    state.write_bytes(whole)
    does(atoll, "restore", name, "--checkpoint-dir", base)
    counts(atoll, name)


# Calls without a rest, from code that is patched: some that wait, of one that is interrupted, and of one whose code
# a signal's handler comes back to.
BUSY = """
trap 'n=$((n+1))' USR1
(dd if=/dev/zero bs=1 count=5000 2>/dev/null | dd bs=1 2>/dev/null | md5sum > /sum; echo summed > /summed) &
(while [ ! -e /done ]; do kill -USR1 1; usleep 1000; done) &
(while [ ! -e /summed ]; do stat /sum; (exit 3); [ $? = 3 ] || echo bad >> /bad; usleep 1000; done > /dev/null) &
while [ ! -e /summed ]; do usleep 100 || [ $? -gt 128 ] || echo bad >> /bad; done
while [ "${n:-0}" -lt 5 ]; do usleep 100; done
echo done > /done
while :; do sleep 0.1; done
"""
# What stands in place of a call: a jump by an address of the kernel's own.
PATCHED = re.compile(rb"\xff\x24\x25[\0\x40\x80\xc0].\x06\0", re.S)


def test_busy(atoll, run, base):
    """In whatever of its calls each is, and with its code as it was in what is kept."""
    name = run(command=("sh", "-c", BUSY))
    until(lambda: atoll.try_("exec", name, "stat", "/sum").rc == 0, "it began")
    for n in range(3):
        kept = base / f"busy-{n}"
        kept.mkdir()
        does(atoll, "checkpoint", name, "--checkpoint-dir", kept)
        state = next(kept.glob("*/sandbox.state")).read_bytes()
        assert not PATCHED.search(state)
        does(atoll, "restore", name, "--checkpoint-dir", kept)
    does(atoll, "checkpoint", name, "again", "--leave-running")
    until(lambda: atoll.try_("exec", name, "cat", "/done").rc == 0, "it comes to its end", 100)
    assert inside(atoll, name, "cat /sum /bad 2>/dev/null; true").split() == \
        [hashlib.md5(bytes(5000)).hexdigest(), "-"]
