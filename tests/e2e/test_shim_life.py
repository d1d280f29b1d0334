# SPDX-License-Identifier: Apache-2.0
"""A workload's life under its shim: restarts, stops, health, memory, execs, removal; and what holds
when the client, the shim or the workload misbehaves."""
import json
import os
import re
import signal
import subprocess

import pytest
from lib import leaks, wait


def state(atoll, name):
    return atoll.inspect(name)["State"]


def shim_of(atoll, id):
    """The pid of the workload's shim, as it wrote it down."""
    text = (atoll.state / "workloads" / id / "pid").read_text()
    return int(re.search(r"^shim (\d+) \d+$", text, re.M).group(1))


def until_status(atoll, name, wanted):
    wait.until(lambda: state(atoll, name)["Status"] == wanted, f"{name} {wanted}")


def until_logged(atoll, name, text):
    wait.until(lambda: text in atoll("logs", name).out, f"{text!r} in the log of {name}")


# ---- restart ------------------------------------------------------------------------------


def test_on_failure_gives_up(atoll, busybox):
    atoll("run", "-d", "--name", "fails", "--restart", "on-failure:2", busybox, "sh", "-c",
          "echo run; exit 5")
    assert atoll("wait", "fails").line == "5"
    assert atoll("logs", "fails").out == "run\n" * 3
    assert atoll.inspect("fails")["RestartCount"] == 2
    assert state(atoll, "fails")["ExitCode"] == 5
    atoll("rm", "fails")


def test_on_failure_leaves_success_alone(atoll, busybox):
    atoll("run", "-d", "--name", "fine", "--restart", "on-failure", busybox, "echo", "once")
    assert atoll("wait", "fine").line == "0"
    assert atoll("logs", "fine").out == "once\n"
    atoll("rm", "fine")


@pytest.mark.parametrize("policy", ["always", "unless-stopped"])
def test_always_until_stopped(atoll, busybox, policy):
    atoll("run", "-d", "--name", "again", "--restart", policy, busybox, "sh", "-c",
          "echo run; test -e /marker || { touch /marker; exit 0; }; exec sleep 1000")
    # The file of the first run is there in the second: the same root, mounted anew.
    wait.until(lambda: atoll("logs", "again").out == "run\nrun\n", "two runs")
    until_status(atoll, "again", "running")
    atoll("exec", "again", "test", "-e", "/marker")
    atoll("stop", "-t", "1", "again")
    assert state(atoll, "again")["Status"] == "exited"
    assert atoll("logs", "again").out == "run\nrun\n"
    atoll("start", "again")
    until_status(atoll, "again", "running")
    atoll("rm", "-f", "again")


def test_stop_while_waiting_for_the_next_start(atoll, busybox):
    atoll("run", "-d", "--name", "backoff", "--restart", "always", busybox, "sh", "-c", "exit 7")
    # Delays double: from some restart on it waits longer than a test looks.
    wait.until(lambda: state(atoll, "backoff")["Restarting"] and
               atoll.inspect("backoff")["RestartCount"] >= 4, "a long back-off")
    atoll("stop", "backoff")
    assert state(atoll, "backoff")["Status"] == "exited"
    count = len(atoll("events", "--since", "1h", "--until", "0s", "--filter", "event=start",
                      "--filter", "container=backoff").out.splitlines())
    assert count >= 4
    atoll("rm", "backoff")


def test_kill_ends_a_restarting_workload(atoll, busybox):
    atoll("run", "-d", "--name", "immortal", "--restart", "always", busybox, "sleep", "1000")
    atoll("kill", "immortal")
    assert atoll("wait", "immortal").line == "137"
    assert state(atoll, "immortal")["Status"] == "exited"
    atoll("rm", "immortal")


def test_update_of_the_policy(atoll, busybox):
    atoll("run", "-d", "--name", "policy", busybox, "sh", "-c",
          "echo run; while ! test -e /go; do sleep 0.05; done; rm /go; exit 1")
    until_logged(atoll, "policy", "run")
    atoll("update", "--restart", "always", "policy")
    atoll.try_("exec", "policy", "touch", "/go")  # the end it brings may come before its own
    wait.until(lambda: atoll("logs", "policy").out == "run\nrun\n", "a second run")
    atoll("rm", "-f", "policy")


# ---- stop ---------------------------------------------------------------------------------


def test_stop_signals(atoll, busybox):
    trap = "trap 'echo term; exit 3' TERM; trap 'echo usr; exit 4' USR1; echo up; " \
           "while :; do sleep 0.1; done"
    atoll("run", "-d", "--name", "polite", busybox, "sh", "-c", trap)
    until_logged(atoll, "polite", "up")
    atoll("stop", "polite")
    assert state(atoll, "polite")["ExitCode"] == 3
    assert atoll("logs", "polite").out == "up\nterm\n"
    atoll("rm", "polite")
    atoll("run", "-d", "--name", "custom", "--stop-signal", "SIGUSR1", busybox, "sh", "-c", trap)
    until_logged(atoll, "custom", "up")
    atoll("stop", "custom")
    assert state(atoll, "custom")["ExitCode"] == 4
    atoll("rm", "custom")


def test_signals_reach_the_workload(atoll, busybox):
    atoll("run", "-d", "--name", "heard", busybox, "sh", "-c",
          "trap 'echo hup' HUP; echo up; while :; do sleep 0.1; done")
    until_logged(atoll, "heard", "up")
    atoll("kill", "-s", "HUP", "heard")
    until_logged(atoll, "heard", "hup")
    p = atoll.popen("attach", "--no-stdin", "heard")  # sig-proxy: what the client gets
    first = wait.until(lambda: atoll("kill", "-s", "HUP", "heard") and
                       select_line(p), "a line at the client")
    assert first == b"hup\n"
    p.send_signal(signal.SIGHUP)
    wait.until(lambda: atoll("logs", "heard").out.count("hup") >= 3, "the client's signal")
    atoll("rm", "-f", "heard")
    p.communicate(timeout=60)


def select_line(p):
    import select
    return p.stdout.readline() if select.select([p.stdout], [], [], 0.3)[0] else b""


def test_pause_holds_everything(atoll, busybox):
    atoll("run", "-d", "--name", "frozen", busybox, "sleep", "1000")
    atoll("pause", "frozen")
    assert state(atoll, "frozen")["Paused"] is True
    atoll.fails("exec", "frozen", "true")
    atoll.fails("pause", "frozen")
    atoll("unpause", "frozen")
    atoll("exec", "frozen", "true")
    atoll("pause", "frozen")
    atoll("stop", "-t", "1", "frozen")  # a stop thaws
    assert state(atoll, "frozen")["Status"] == "exited"
    atoll("start", "frozen")
    atoll("pause", "frozen")
    atoll("kill", "frozen")
    assert atoll("wait", "frozen").line == "137"
    atoll("rm", "frozen")


# ---- --rm ---------------------------------------------------------------------------------


def test_rm_without_a_client(atoll, busybox):
    p = atoll.popen("run", "--rm", "--name", "brief", busybox, "sh", "-c",
                    "echo up; while ! test -e /go; do sleep 0.05; done")
    assert p.stdout.readline() == b"up\n"
    p.kill()
    p.communicate()
    id = atoll.inspect("brief")["Id"]
    atoll("exec", "-d", "brief", "touch", "/go")
    wait.until(lambda: not (atoll.root / "workloads" / id).exists() and
               not (atoll.state / "workloads" / id).exists(), "removal")
    assert "brief" not in atoll("ps", "-a").out


def test_the_name_is_free_when_run_returns(atoll, busybox):
    for i in range(5):
        assert atoll("run", "--rm", "--name", "again", busybox, "echo", i).line == str(i)
    r = atoll.try_("run", "--rm", "--name", "again", busybox, "nonesuch")
    assert r.rc == 127
    assert "again" not in atoll("ps", "-a").out


# ---- exec ---------------------------------------------------------------------------------


def test_exec(atoll, busybox):
    atoll("run", "-d", "--name", "host", "-e", "A=1", "-w", "/tmp", busybox, "sleep", "1000")
    r = atoll.try_("exec", "host", "sh", "-c", "echo out; echo err >&2; exit 11")
    assert (r.rc, r.out, r.err) == (11, "out\n", "err\n")
    assert atoll("exec", "-e", "B=2", "host", "sh", "-c", "echo $A$B; pwd").out == "12\n/tmp\n"
    assert atoll("exec", "-w", "/etc", "host", "pwd").line == "/etc"
    assert atoll("exec", "-u", "tester", "host", "id", "-u").line == "1000"
    assert atoll("exec", "-i", "host", "cat", input="through\n").out == "through\n"
    big = b"x" * 3_000_000
    assert atoll("exec", "-i", "host", "wc", "-c", input=big).line == "3000000"
    assert atoll.try_("exec", "host", "nonesuch").rc == 127
    assert atoll.try_("exec", "host", "/etc").rc == 126
    assert atoll.try_("exec", "host", "sh", "-c", "kill -9 $$").rc == 137
    atoll("exec", "-d", "host", "sh", "-c", "echo done > /tmp/detached")
    wait.until(lambda: atoll.try_("exec", "host", "cat", "/tmp/detached").out == "done\n",
               "the detached exec")
    atoll("stop", "-t", "1", "host")
    atoll.fails("exec", "host", "true", says="not running")
    atoll("rm", "host")


def test_execs_end_with_the_workload(atoll, busybox):
    atoll("run", "-d", "--name", "ends", busybox, "sleep", "1000")
    p = atoll.popen("exec", "ends", "sh", "-c", "echo up; sleep 1000")
    assert p.stdout.readline() == b"up\n"
    atoll("kill", "ends")
    assert p.wait(60) == 137
    p.communicate()
    atoll("rm", "ends")


def test_many_execs_at_once(atoll, busybox):
    atoll("run", "-d", "--name", "many", busybox, "sleep", "1000")
    running = [atoll.popen("exec", "many", "sh", "-c", f"echo {i}; exit {i}") for i in range(24)]
    for i, p in enumerate(running):
        out, err = p.communicate(timeout=120)
        assert (p.returncode, out) == (i, f"{i}\n".encode()), err
    # None of them stays behind as a zombie of the shim.
    shim = shim_of(atoll, atoll.inspect("many")["Id"])
    init = state(atoll, "many")["Pid"]
    children = f"/proc/{shim}/task/{shim}/children"
    wait.until(lambda: [int(c) for c in open(children).read().split()] == [init], "one child")
    atoll("rm", "-f", "many")


# ---- health, memory -----------------------------------------------------------------------


def test_health(atoll, busybox):
    atoll("run", "-d", "--name", "well", "--health-cmd", "echo checked; test -e /well",
          "--health-interval", "200ms", "--health-retries", "2", busybox, "sleep", "1000")
    wait.until(lambda: state(atoll, "well")["Health"]["Status"] == "unhealthy", "unhealthy")
    assert "(unhealthy)" in atoll("ps").out
    atoll("exec", "well", "touch", "/well")
    wait.until(lambda: state(atoll, "well")["Health"]["Status"] == "healthy", "healthy")
    last = state(atoll, "well")["Health"]["Log"][-1]
    assert last["ExitCode"] == 0 and last["Output"] == "checked\n"
    atoll("pause", "well")
    atoll("unpause", "well")
    atoll("stop", "-t", "1", "well")
    seen = atoll("events", "--since", "1h", "--until", "0s", "--filter", "container=well").out
    assert re.search("unhealthy.*\n(.*\n)*.*health_status: healthy", seen), seen
    atoll("rm", "well")
    atoll("run", "-d", "--name", "new", "--health-cmd", "true", "--health-interval", "1h", busybox,
          "sleep", "1000")
    assert state(atoll, "new")["Health"]["Status"] == "starting"
    atoll("rm", "-f", "new")


def test_health_check_that_hangs(atoll, busybox):
    atoll("run", "-d", "--name", "hangs", "--health-cmd", "sleep 1000", "--health-interval",
          "100ms", "--health-timeout", "200ms", "--health-retries", "1", busybox, "sleep", "1000")
    wait.until(lambda: state(atoll, "hangs")["Health"]["Status"] == "unhealthy", "unhealthy")
    assert "exceeded timeout" in state(atoll, "hangs")["Health"]["Log"][0]["Output"]
    # The process that hung was killed; at most the next check's is there.
    wait.until(lambda: len(atoll("top", "hangs").out.splitlines()) <= 3, "the hung one's end")
    atoll("rm", "-f", "hangs")


def test_out_of_memory_is_told(atoll, busybox):
    r = atoll.try_("run", "--name", "hungry", "-m", "16m", busybox, "sh", "-c",
                   "x=x; while :; do x=$x$x; done")
    assert r.rc == 137, str(r)
    s = state(atoll, "hungry")
    assert s["OOMKilled"] is True and s["ExitCode"] == 137
    assert "oom" in atoll("events", "--since", "1h", "--until", "0s", "--filter",
                          "container=hungry", "--filter", "event=oom").out
    atoll("rm", "hungry")


# ---- the shim itself ----------------------------------------------------------------------


def test_orphans_of_a_host_pid_namespace(atoll, busybox):
    atoll("run", "-d", "--name", "orphans", "--pid", "host", busybox, "sh", "-c",
          "for i in 1 2 3 4 5; do (sleep 0.1 &); done; (sleep 1000 &); echo up; "
          "exec sleep 1000")
    until_logged(atoll, "orphans", "up")
    shim = shim_of(atoll, atoll.inspect("orphans")["Id"])

    def zombies():
        found = []
        for c in open(f"/proc/{shim}/task/{shim}/children").read().split():
            try:
                if open(f"/proc/{c}/stat").read().rpartition(")")[2].split()[0] == "Z":
                    found.append(c)
            except OSError:
                continue
        return found

    def pids_of():
        return [int(l.split()[1]) for l in atoll("top", "orphans").out.splitlines()[1:]]

    wait.until(lambda: len(pids_of()) == 2 and not zombies(), "all but two ended and reaped")
    pids = pids_of()
    atoll("kill", "orphans")
    atoll("wait", "orphans")
    # What it left in the host's pid namespace is ended too.
    wait.until(lambda: not any(os.path.exists(f"/proc/{p}") for p in pids), "the rest ended")
    atoll("rm", "orphans")


def test_shim_told_to_stop_by_the_host(atoll, busybox):
    id = atoll("run", "-d", "--name", "goes", "--restart", "unless-stopped", busybox, "sh", "-c",
               "trap 'exit 8' TERM; echo up; while :; do sleep 0.1; done").line
    until_logged(atoll, "goes", "up")
    os.kill(shim_of(atoll, id), signal.SIGTERM)
    assert atoll("wait", "goes").line == "8"
    assert state(atoll, "goes")["Status"] == "exited"
    atoll("rm", "goes")


def test_one_start_of_many_wins(atoll, busybox):
    id = atoll("create", "--name", "race", busybox, "sleep", "1000").line
    racers = [atoll.popen("start", "race") for _ in range(8)]
    for p in racers:
        p.communicate(timeout=120)
    assert [p.returncode for p in racers] == [0] * 8  # to start what runs is no error
    # For a moment also a child that empties the store's log.
    wait.until(lambda: len([p for p in os.listdir("/proc") if p.isdigit() and held_by(p, id)]) == 1,
               "one shim")
    assert state(atoll, "race")["Running"] is True
    atoll("rm", "-f", "race")


def held_by(pid, id):
    try:
        if not open(f"/proc/{pid}/comm").read().startswith("atoll-shim"):
            return False
        return any(id in os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return False


def test_nonsense_on_the_socket(atoll, busybox):
    import socket
    import struct
    id = atoll("run", "-d", "--name", "sock", busybox, "sleep", "1000").line
    path = f"/proc/self/fd/{os.open(atoll.state / 'workloads' / id, os.O_PATH)}/shim.sock"
    for data in (b"x", b"\x01", b"\x02\x01\0\0", b"\x01\x63\0\0", b"\x01\x0a\0\0",
                 b"\x01\x02\x01\0\x01\0\xff\xff\xff\xff", os.urandom(5000),
                 b"\x01\x01\0\0", b"\x01\x18\0\0", struct.pack("<BBH", 1, 2, 0) * 2):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.settimeout(60)
        s.connect(path)
        s.send(data)
        try:
            answer = s.recv(4096)
            # Hung up on, or refused by a message of its own.
            assert answer == b"" or b"not running" in answer or b"'sock'" in answer, answer
        except ConnectionResetError:
            pass
        s.close()
    idle = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(100)]
    for s in idle:
        s.connect(path)
    assert atoll("exec", "sock", "echo", "well").line == "well"
    for s in idle:
        s.close()
    atoll("rm", "-f", "sock")
    os.close(int(path.split("/")[4]))


def test_what_is_on_disk_while_it_runs(atoll, busybox):
    id = atoll("run", "-d", "--name", "disk", busybox, "sleep", "1000").line
    run = atoll.state / "workloads" / id
    assert {"pid", "shim.lock", "shim.sock"} <= set(os.listdir(run))
    pids = dict(l.split()[:2] for l in (run / "pid").read_text().splitlines())
    assert int(pids["init"]) == state(atoll, "disk")["Pid"] and "shim" in pids
    rollup = open(f"/proc/{pids['shim']}/smaps_rollup").read()
    print("shim's PSS:", re.search(r"Pss:\s+(\d+ kB)", rollup).group(1))
    assert run.stat().st_mode & 0o777 == 0o700
    atoll("kill", "disk")
    atoll("wait", "disk")
    wait.until(lambda: os.listdir(run) == [], "an empty run directory")
    atoll("rm", "disk")


def test_stop_does_not_wait_for_a_client_that_does_not_read(atoll, busybox):
    p = atoll.popen("run", "--name", "held", busybox, "sh", "-c",
                    "yes 0123456789 | head -c 2000000; echo written >&2; sleep 1000")
    # The pipe to us is full and nobody reads it: the workload waits in its write.
    wait.until(lambda: len(atoll.try_("logs", "held").out) > 60_000, "some output")
    atoll("stop", "-t", "1", "held")
    assert state(atoll, "held")["ExitCode"] == 137
    p.communicate(timeout=60)
    assert p.returncode == 137
    atoll("rm", "held")


# ---- the end of a run that is removed, written by its client ---------------------------------


def gone(atoll, id):
    """Nothing of it is left: no record, no directory, nothing set aside."""
    wait.until(lambda: not [p for p in (atoll.root / "workloads" / id, atoll.state / "workloads" / id,
                                        atoll.root / "tmp" / f"workload-{id}") if p.exists()],
               f"{id[:12]} removed")
    atoll.fails("inspect", id, says="no such")


def told(atoll, id):
    return [e["Action"] for e in atoll("events", "--since", "1h", "--until", "0s", "--format", "json",
                                       "--filter", f"container={id}").json_lines]


def run_rm(atoll, busybox, *command):
    client = atoll.popen("run", "--rm", "--name", "lent", busybox, *command,
                         stdout=subprocess.DEVNULL)
    wait.until(lambda: atoll.try_("inspect", "lent").rc == 0 and state(atoll, "lent")["Running"],
               "its start")
    return client, atoll.inspect("lent")["Id"]


def test_the_client_writes_the_end(atoll, busybox):
    client, id = run_rm(atoll, busybox, "sleep", "1000")
    atoll("kill", "lent")
    assert client.wait(60) == 137
    assert not (atoll.root / "workloads" / id).exists()
    assert not (atoll.state / "workloads" / id).exists()
    assert sorted(told(atoll, id)) == ["create", "destroy", "die", "kill", "start"]
    gone(atoll, id)


@pytest.mark.parametrize("signo", [signal.SIGKILL, signal.SIGSTOP])
def test_a_client_that_cannot_write_the_end(atoll, busybox, signo):
    """Killed, or standing still: the shim does it itself, once."""
    client, id = run_rm(atoll, busybox, "sleep", "1000")
    client.send_signal(signo)
    if signo == signal.SIGKILL:
        client.wait(60)
    atoll("kill", "lent")
    wait.until(lambda: id not in atoll.ids(), "removed without its client")
    client.send_signal(signal.SIGCONT)
    client.wait(60)
    assert sorted(told(atoll, id)) == ["create", "destroy", "die", "kill", "start"]
    gone(atoll, id)


@pytest.mark.parametrize("args", [("nosuch:image",), ("--name", "taken", "IMAGE", "true")])
def test_a_start_that_was_begun_for_nothing(atoll, busybox, args):
    """The shim and the control groups that a run has made ready before it was refused."""
    atoll("create", "--name", "taken", busybox, "true")
    before = leaks.cgroups()
    atoll.fails("run", *[busybox if a == "IMAGE" else a for a in args], rc=125)
    wait.until(lambda: not leaks.lost_cgroups(before), "its control groups gone")
    wait.until(lambda: not list((atoll.state / "workloads").iterdir()), "its directory gone")
    assert len(list((atoll.root / "workloads").iterdir())) == 1
    atoll("rm", "taken")
