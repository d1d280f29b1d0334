# SPDX-License-Identifier: Apache-2.0
"""Before a terminal: raw mode and its end, the window's size, detaching, ^C."""
import os
import signal
import termios

import pytest

from lib import wait


def mode(t):
    """A terminal's settings."""
    return termios.tcgetattr(t.fd)[:4]


@pytest.fixture
def before():
    """A new terminal's settings: that of a test may be raw before it can be asked."""
    ours, theirs = os.openpty()
    yield termios.tcgetattr(ours)[:4]
    os.close(ours)
    os.close(theirs)


def test_interactive_shell(atoll, busybox):
    with atoll.terminal("run", "-it", "--rm", busybox, "sh") as t:
        t.expect("# ")
        t.write("tty; echo $((6*7))\n")
        t.expect("/dev/pts/0")
        t.expect("42")
        t.write("exit 5\n")
        assert t.wait() == 5
    assert atoll.ids() == []


def test_the_terminal_is_restored(atoll, busybox, before):
    with atoll.terminal("run", "-it", "--name", "raw", busybox, "sh", "-c",
                        "echo ready; read x; exit 3") as t:
        t.expect("ready")
        wait.until(lambda: mode(t) != before, "raw mode")
        t.write("\n")
        wait.until(lambda: mode(t) == before, "the terminal as it was")
        assert t.wait() == 3
    atoll("rm", "raw")


@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_is_restored_after_a_signal(atoll, busybox, before, signo):
    with atoll.terminal("run", "-it", "--sig-proxy=false", "--name", "raw", busybox, "sh", "-c",
                        "echo ready; sleep 1000") as t:
        t.expect("ready")
        wait.until(lambda: mode(t) != before, "raw mode")
        os.kill(t.pid, signo)
        wait.until(lambda: mode(t) == before, "the terminal as it was")
        assert t.wait() == 128 + signo
    assert atoll.inspect("raw")["State"]["Running"]
    atoll("rm", "-f", "raw")


def test_the_terminal_is_restored_when_the_shim_dies(atoll, busybox, before):
    with atoll.terminal("run", "-it", "--name", "widow", busybox, "sh", "-c",
                        "echo ready; sleep 1000") as t:
        t.expect("ready")
        wait.until(lambda: mode(t) != before, "raw mode")
        pid = atoll.inspect("widow")["State"]["Pid"]
        with open(f"/proc/{pid}/stat") as f:
            shim = int(f.read().rpartition(")")[2].split()[1])
        os.kill(shim, signal.SIGKILL)
        t.expect("supervisor was killed")
        wait.until(lambda: mode(t) == before, "the terminal as it was")
        assert t.wait() == 125
    atoll("rm", "-f", "widow")


def test_window_size(atoll, busybox):
    with atoll.terminal("run", "-it", "--rm", busybox, "sh", "-c",
                        "trap 'stty size; exit 0' WINCH; stty size; echo ready; "
                        "while :; do sleep 0.05; done") as t:
        t.expect("ready")
        t.resize(33, 77)
        t.expect("33 77")
        assert t.wait() == 0


def test_control_c_goes_to_the_workload(atoll, busybox):
    with atoll.terminal("run", "-it", "--rm", busybox, "sh", "-c",
                        "trap 'echo interrupted; exit 6' INT; echo ready; "
                        "while :; do sleep 0.05; done") as t:
        t.expect("ready")
        t.write(b"\x03")
        t.expect("interrupted")
        assert t.wait() == 6


def test_control_c_without_a_terminal_of_its_own(atoll, busybox):
    with atoll.terminal("run", "--rm", busybox, "sh", "-c",
                        "trap 'echo interrupted; exit 6' INT; echo ready; "
                        "while :; do sleep 0.05; done") as t:
        t.expect("ready")
        t.write(b"\x03")
        t.expect("interrupted")
        assert t.wait() == 6


def test_detach_and_attach(atoll, busybox):
    with atoll.terminal("run", "-it", "--name", "kept", busybox, "sh") as t:
        t.expect("# ")
        t.write(b"\x10\x11")
        assert t.wait() == 0
    assert atoll.inspect("kept")["State"]["Running"]
    with atoll.terminal("attach", "--detach-keys", "ctrl-x,x", "kept") as t:
        t.write("echo back $((1+1))\n")
        t.expect("back 2")
        t.write(b"\x18x")
        assert t.wait() == 0
    assert atoll.inspect("kept")["State"]["Running"]
    atoll("rm", "-f", "kept")


def test_exec_on_a_terminal(atoll, busybox):
    atoll("run", "-d", "--name", "bg", busybox, "sleep", "1000")
    with atoll.terminal("exec", "-it", "bg", "sh") as t:
        t.expect("# ")
        t.resize(20, 60)
        t.write("stty size; exit 8\n")
        t.expect("20 60")
        assert t.wait() == 8
    atoll("rm", "-f", "bg")


def test_bad_detach_keys(atoll, busybox):
    atoll.fails("run", "--rm", "--detach-keys", "ctrl-1", busybox, "true", rc=125,
                says="--detach-keys")
