# SPDX-License-Identifier: Apache-2.0
"""atoll-runtime under containerd's shim, which ctr drives: by BinaryName of the runtime's options."""
import re
from itertools import count

import pytest

from lib import clients
from lib.wait import until

names = (f"atoll-ctr-{i}" for i in count())


@pytest.fixture(scope="module")
def ctr(cache, base, build, busybox_tar):
    with clients.World(cache, base, "containerd") as w:
        c = clients.containerd(w, build, busybox_tar)
        c.ours = ["--runtime", "io.containerd.runc.v2", "--runc-binary", build / "atoll-runtime",
                  "--runc-root", w.dir / "states"]
        yield c


@pytest.fixture
def name(ctr):
    n = next(names)
    yield n
    ctr.try_("task", "kill", "-s", "KILL", n)
    until(lambda: status(ctr, n) in (None, "STOPPED"), f"{n} ended")
    ctr.try_("task", "delete", n)
    ctr.try_("container", "delete", n)


@pytest.fixture
def life(ctr, name):
    ctr("run", "-d", *ctr.ours, "--memory-limit", 64 << 20, ctr.image, name, "sh", "-c",
        "trap 'exit 3' TERM; while :; do sleep 0.05; done")
    return name


def status(ctr, name):
    rows = [l.split() for l in ctr("task", "ls").splitlines()]
    return next((r[2] for r in rows if r[0] == name), None)


def deleted(ctr, name):
    """Delete the task; the exit status it had."""
    d = ctr.try_("task", "delete", name)
    assert d.rc == 0, str(d)
    return int(re.search(r"non-zero exit code (\d+)", d.err)[1])


def limit(ctr, name):
    return ctr.world.cgroup("memory", f"default/{name}", "memory.limit_in_bytes", "memory.max")


def test_run(ctr, name):
    run = ["run", "--rm", *ctr.ours]
    assert ctr(*run, ctr.image, name, "echo", "hello") == "hello\n"
    assert ctr.try_(*run, ctr.image, name, "sh", "-c", "exit 7").rc == 7
    p = ctr.try_(*run, ctr.image, name, "no-such")
    assert p.rc != 0 and "executable file not found in $PATH" in p.err
    ctr.try_("container", "delete", name)
    assert ctr(*run, "--cwd", "/tmp", "--env", "A=b", "--read-only", "--net-host",
               ctr.image, name, "sh", "-c", "echo $A $(pwd); touch /x 2>&1 || echo ro"
               ).startswith("b /tmp\n")


def test_terminal(ctr, name):
    with ctr.terminal("run", "--rm", "-t", *ctr.ours, ctr.image, name, "sh") as t:
        t.resize(31, 97)
        t.write("until [ \"$(stty size)\" = '31 97' ]; do sleep 0.05; done; echo a=$(tty)\n")
        t.expect("a=/dev/pts/0")
        t.write("exit 4\n")
        assert t.wait() == 4


def test_a_container_outlives_its_task(ctr, name):
    ctr("run", "-d", *ctr.ours, ctr.image, name, "sleep", "1000")
    assert (ctr.world.dir / "states/default" / name / "status").exists()
    for _ in range(2):
        assert status(ctr, name) == "RUNNING"
        ctr("task", "kill", "-s", "KILL", name)
        until(lambda: status(ctr, name) == "STOPPED", "stopped")
        assert deleted(ctr, name) == 137
        assert status(ctr, name) is None
        ctr("task", "start", "-d", name)


def test_exec(ctr, life):
    assert ctr.talk("task", "exec", "--exec-id", "e1", life, "sh", "-c",
                    "echo in; read x; exit 5") == ("in\n", 5)
    p = ctr.try_("task", "exec", "--exec-id", "e2", life, "no-such")
    assert p.rc != 0 and "executable file not found in $PATH" in p.err
    assert ctr.talk("task", "exec", "--exec-id", "e3", "--user", "1000", "--cwd", "/tmp", life,
                    "sh", "-c", "echo $(id -u) $(pwd); read x") == ("1000 /tmp\n", 0)
    with ctr.terminal("task", "exec", "-t", "--exec-id", "e4", life, "sh") as t:
        t.write("tty; exit 6\n")
        t.expect("/dev/pts/")
        assert t.wait() == 6
    ctr("task", "exec", "-d", "--exec-id", "e5", life, "sleep", "1000")
    rows = ctr("task", "ps", life).splitlines()
    assert any("e5" in r for r in rows) and len(rows) >= 3


def test_pause_metrics_and_signals(ctr, life):
    ctr("task", "pause", life)
    assert status(ctr, life) == "PAUSED"
    ctr("task", "resume", life)
    assert status(ctr, life) == "RUNNING"
    m = ctr("task", "metrics", life)
    assert re.search(rf"memory\.(limit_in_bytes|usage_limit).*\b{64 << 20}\b", m) or \
        str(64 << 20) in m, m
    assert limit(ctr, life) == str(64 << 20)
    until(lambda: ctr("task", "exec", "--exec-id", "look", life, "grep", "SigCgt", "/proc/1/status"
                      ).strip().endswith("4002"), "its trap")
    ctr("task", "kill", "-s", "TERM", life)
    until(lambda: status(ctr, life) == "STOPPED", "stopped")
    assert deleted(ctr, life) == 3


def test_killed_from_outside(ctr, life):
    pid = next(l.split()[1] for l in ctr("task", "ls").splitlines() if l.startswith(life + " "))
    ctr.world("kill", "-9", pid)
    until(lambda: status(ctr, life) == "STOPPED", "its end is seen")
    assert deleted(ctr, life) == 137


def test_wait_gives_the_status(ctr, name):
    ctr("run", "-d", *ctr.ours, ctr.image, name, "sh", "-c", "sleep 0.3; exit 9")
    until(lambda: status(ctr, name) == "STOPPED", "its end is seen")
    assert deleted(ctr, name) == 9


def test_security_reaches_the_process(ctr, name):
    out = ctr("run", "--rm", *ctr.ours, "--seccomp", "--cap-drop", "CAP_CHOWN", "--cap-add",
              "CAP_SYS_NICE", "--mount", "type=tmpfs,src=t,dst=/t,options=size=1m", ctr.image, name,
              "sh", "-c", "grep -E '^(CapEff|CapInh|Seccomp):' /proc/self/status | tr -d '\\t'; "
              "df -k /t | awk 'END {print $2}'")
    caps = int(re.search(r"CapEff:(\w+)", out)[1], 16)
    assert not caps & 1 and caps >> 23 & 1
    assert "CapInh:0000000000000000" in out and "Seccomp:2" in out and out.endswith("1024\n")


def test_nothing_stays(ctr, name):
    ctr("run", "--rm", *ctr.ours, ctr.image, name, "true")
    assert ctr("task", "ls", "-q") == "" == ctr("container", "ls", "-q")
    assert ctr.world.states(ctr.world.dir / "states/default") == []
    until(lambda: [d for g in ctr.world.groups for d in g.glob("default/*")] == [], "no cgroup")
