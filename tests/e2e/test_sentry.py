# SPDX-License-Identifier: Apache-2.0
"""
atoll-sentry: programs of an image on a kernel of their own, with the streams, the user, the limits
and the mounts that their config.json says; its ends, its refusals, its control socket, its walls.
"""
import contextlib
import errno
import hashlib
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from lib import images, sentry, wait
from lib.sentry import alive, children
from test_kernel_confined import ALLOW, I386, filter_of, numbers, status, verdict

pytestmark = [pytest.mark.timeout(60),
              pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")]
NOBODY = 65534


@pytest.fixture(scope="module")
def box(build, base):
    s = sentry.Sentries(build, base)
    sentry.need(s)
    return s


def ran(r):
    return r.returncode, r.stdout.decode(), r.stderr.decode()


# ---- what runs ----


@pytest.mark.parametrize("script, how, said", [
    ("echo hello", 0, "hello\n"),
    ("exit 3", 3, ""),
    ("echo $$; (exit 7); echo $?", 0, "1\n7\n"),
    ("echo a b c | tr a-z A-Z | rev", 0, "C B A\n"),
    ("sh -c 'kill -9 $$'; echo $?", 0, "137\n"),
    ("trap 'echo caught' USR1; kill -USR1 $$; echo after", 0, "caught\nafter\n"),
    ("hostname; pwd; echo $HOME", 0, "inside\n/\n/\n"),
    ("echo x >/new; cat /new; ls /bin | wc -l | grep -q . && echo many", 0, "x\nmany\n"),
    ("ls /dev | tr '\\n' ' '", 0,
     "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero "),
    ("echo to-out >/dev/stdout; echo again >/proc/self/fd/1", 0, "to-out\nagain\n"),
    ("sleep 0.1 & wait $!; echo $?", 0, "0\n"),
])
def test_runs(box, script, how, said):
    r = box.run(script)
    assert (r.returncode, r.stdout.decode()) == (how, said), r.stderr


def test_standard_error_is_its_own(box):
    assert ran(box.run("echo out; echo err >&2; exit 4")) == (4, "out\n", "err\n")


def test_input(box):
    data = os.urandom(3 << 20)
    r = box.run("md5sum", stdin=data)
    assert ran(r) == (0, hashlib.md5(data).hexdigest() + "  -\n", "")
    assert ran(box.run("cat; echo end", stdin=b"a\nb\n")) == (0, "a\nb\nend\n", "")


def test_megabytes_of_output(box):
    r = box.run("dd if=/dev/zero bs=1M count=8 2>/dev/null | tr '\\0' x")
    assert r.returncode == 0 and r.stdout == b"x" * (8 << 20)


def test_files_are_shared_by_position(box, base):
    """Standard streams that are files of the host, as a shell gives them."""
    name = base / "out"
    with open(name, "wb") as f, open("/etc/passwd", "rb") as given:
        f.write(b"before\n")
        f.flush()
        p = subprocess.run(box.command(sentry.config(["sh", "-c", "read l; echo $l; echo more"])),
                           stdin=given, stdout=f, stderr=subprocess.STDOUT, timeout=120,
                           check=False)
        f.write(b"after\n")
    first = Path("/etc/passwd").read_text(encoding="utf-8").splitlines()[0]
    assert p.returncode == 0
    assert name.read_text(encoding="utf-8") == f"before\n{first}\nmore\nafter\n"


def test_descriptors_stay_blocking(box):
    """O_NONBLOCK is of the open file, which others share: it stays as it was."""
    r, w = os.pipe()
    with subprocess.Popen(box.command(sentry.config(["sh", "-c", "echo ready; cat"])), stdin=r,
                          stdout=subprocess.PIPE) as p:
        assert p.stdout.readline() == b"ready\n"
        assert os.get_blocking(r) and os.get_blocking(w) and os.get_blocking(p.stdout.fileno())
        os.close(r)
        os.write(w, b"x\n")
        assert p.stdout.readline() == b"x\n"
        os.close(w)
        assert p.wait(120) == 0


def test_broken_pipe(box):
    """SIGPIPE, for it is one."""
    with subprocess.Popen(box.command(sentry.config(["sh", "-c", "yes; echo $? >&2"])),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as p:
        assert p.stdout.read(4) == b"y\ny\n"
        p.stdout.close()
        assert p.stderr.read() == b"141\n" and p.wait(120) == 0


# ---- what a config.json says ----


def test_user(box):
    r = box.run("id -u; id -g; id -G; umask; touch /tmp/f && stat -c '%u %g %a' /tmp/f; touch /f; "
                "echo x >/dev/stdout",
                process_user={"uid": 1000, "gid": 1001, "additionalGids": [5, 6], "umask": 0o27})
    assert r.stdout.decode() == "1000\n1001\n1001 5 6\n0027\n1000 1001 640\nx\n", r.stderr
    assert b"Permission denied" in r.stderr


def test_capabilities_and_privileges(box):
    def said(**kw):
        return dict(l.split(":\t") for l in
                    box.run("cat /proc/self/status", **kw).stdout.decode().splitlines())

    s = said()
    assert int(s["CapEff"], 16) == int(s["CapBnd"], 16) == 1 << 0 | 1 << 5 | 1 << 6 | 1 << 7
    assert s["NoNewPrivs"] == "0"
    s = said(process_noNewPrivileges=True, process_capabilities={})
    assert int(s["CapEff"], 16) == int(s["CapBnd"], 16) == 0 and s["NoNewPrivs"] == "1"
    r = box.run("chown 5 /tmp; echo $?", process_capabilities={})
    assert r.stdout == b"1\n"


def test_limits(box):
    r = box.run("ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj",
                process_rlimits=[{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}],
                process_oomScoreAdj=300)
    assert ran(r) == (0, "100\n200\n300\n", "")


def test_environment_and_directory(box):
    r = box.run(["sh", "-c", "pwd; echo $A-$0-$1", "zero", "one"], process_cwd="/made/here",
                process_env=["PATH=/nowhere:/bin", "A=b c"])
    assert ran(r) == (0, "/made/here\nb c-zero-one\n", "")


def test_memory(box):
    limit = 64 << 20
    resources = {"memory": {"limit": limit}, "cpu": {"quota": 50000, "period": 100000}}
    r = box.run("grep MemTotal /proc/meminfo; cat /sys/fs/cgroup/memory.max "
                "/sys/fs/cgroup/cpu.max", linux_resources=resources)
    assert ran(r) == (0, f"MemTotal: {limit >> 10:14} kB\n{limit}\n50000 100000\n", "")
    # What has too much of it is told or ended, and nothing else is.
    r = box.run("sh -c 'dd if=/dev/zero of=/dev/null bs=200M count=1 2>/dev/null'; echo $?; "
                "echo goes on", linux_resources=resources)
    first, last = r.stdout.decode().splitlines()
    assert first != "0" and last == "goes on", r


def test_mounts(box):
    r = box.run("cut -d' ' -f1-4 /proc/mounts; dd if=/dev/zero of=/tmp/own/f bs=1M count=2 "
                "2>/dev/null; echo $?; echo x >/sys/x; echo $?")
    said = r.stdout.decode()
    for line in ("overlay / overlay rw", "proc /proc proc rw", "tmpfs /dev tmpfs rw,nosuid",
                 "devpts /dev/pts devpts rw,nosuid,noexec", "sysfs /sys sysfs ro,nosuid",
                 "tmpfs /tmp/own tmpfs rw"):
        assert "\n" + line in "\n" + said, said
    assert said.endswith("\n1\n1\n"), said


def test_less_than_there_is(box):
    r = box.run(["sh", "-c", "true"], linux_maskedPaths=["/bin"])
    assert r.returncode == 125 and b'exec: "sh": executable file not found' in r.stderr
    r = box.run("touch /x 2>/dev/null; echo $?; touch /dev/shm/y; echo $?; "
                "cat /proc/meminfo /etc/passwd; ls /tmp; "
                "echo x 2>/dev/null >/proc/sys/kernel/hostname; echo $?; hostname",
                root_readonly=True, linux_readonlyPaths=["/proc/sys", "/nothing"],
                linux_maskedPaths=["/proc/meminfo", "/etc/passwd", "/tmp", "/nothing"])
    assert r.stdout.decode() == "1\n0\n1\ninside\n", r


REFUSED = {
    "terminal": ({"process_terminal": True}, "process.terminal: the descriptor that was given is "
                                             "no terminal"),
    "bind": ({"mounts": [{"destination": "/m", "type": "bind", "source": "/"}]},
             "no --bind names the share"),
    "option": ({"mounts": [{"destination": "/m", "type": "tmpfs", "options": ["huge=always"]}]},
               "no option 'huge=always'"),
    "size": ({"mounts": [{"destination": "/m", "type": "tmpfs", "options": ["size=x"]}]},
             "option 'size=x' cannot be"),
    "seccomp": ({"linux_seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}}, "no linux.seccomp that was not compiled"),
    "namespace": ({"linux_namespaces": [{"type": "network", "path": "/proc/1/ns/net"}]},
                  "joins no namespace: 'network'"),
    "memory": ({"linux_resources": {"memory": {"limit": 4096}}}, "needs at least 4194304 bytes"),
    "program": ({"process_args": ["nosuch"]}, 'exec: "nosuch": executable file not found in $PATH'),
    "no-program": ({"process_args": ["/etc/passwd"]}, 'exec: "/etc/passwd": permission denied'),
    "cwd": ({"process_cwd": "/etc/passwd"}, "'/etc/passwd': Not a directory"),
    "process": ({"process": None}, "config.json"),
}


@pytest.mark.parametrize("what", sorted(REFUSED))
def test_refused_by_name(box, what):
    changes, why = REFUSED[what]
    r = box.run(["true"], **changes)
    assert r.returncode == 125 and r.stdout == b""
    said = r.stderr.decode()
    assert said.startswith("atoll-sentry: ") and why in said and said.count("\n") == 1, said


def bad_images(good):
    data = good.read_bytes()
    return {
        "empty": b"",
        "text": b"#!/bin/sh\n" * 1000,
        "zeros": bytes(1 << 20),
        "cut": data[:2000],
        "features": data[:1024 + 80] + b"\xff\xff\xff\xff" + data[1024 + 84:],
        "directories": data[:4096] + b"\xff" * (len(data) - 4096),
    }


def test_bad_images(box, base):
    for name, data in bad_images(box.image).items():
        path = base / f"bad-{name}"
        path.write_bytes(data)
        r = box.run(["true"], root=path)
        assert r.returncode == 125, (name, r)
        said = r.stderr.decode()
        assert said.startswith("atoll-sentry: ") and said.count("\n") == 1, (name, said)
    assert b"is no EROFS image" in box.run(["true"], root="/etc").stderr
    assert b"No such file" in box.run(["true"], root="/nothing").stderr
    assert b"descriptor 77 is not open" in box.run(["true"], root="fd:77").stderr


@pytest.mark.parametrize("more", [[], ["--no-gates"]])
def test_many_calls(box, more):
    """From the same places, through signals and forks: with code that is patched, and as it is."""
    r = box.run("trap 'n=$((n+1))' USR1; for i in $(seq 60); do kill -USR1 $$; done; echo $n; "
                "dd if=/dev/zero bs=1 count=3000 2>/dev/null | md5sum; "
                "for i in $(seq 60); do (exit $((i % 3))) || m=$((m+1)); done; echo $m", *more)
    assert (r.returncode, r.stdout, r.stderr) == \
        (0, b"60\n0efa007088f326bbc072c34315f3edb8  -\n40\n", b"")


@pytest.mark.parametrize("words, why", [
    (["--root", "/x"], "--config is missing"),
    (["--config", "/x"], "--root is missing"),
    (["--rot", "x"], "there is no option '--rot'"),
    (["x"], "'x' is no option"),
    (["--root"], "--root needs a value"),
    (["--root", "fd:x"], "--root: cannot be 'fd:x'"),
    (["--root="], "--root: cannot be ''"),
    (["--control", "5"], "--control: cannot be '5'"),
    (["--uid", "-1"], "--uid: cannot be '-1'"),
    (["--help=x"], "takes no value"),
    (["--no-gates=x"], "takes no value"),
])
def test_bad_options(build, words, why):
    r = subprocess.run([build / "atoll-sentry", *words], capture_output=True, text=True,
                       timeout=60, check=False)
    assert r.returncode == 125 and r.stdout == ""
    assert r.stderr.startswith("atoll-sentry: ") and why in r.stderr
    assert r.stderr.count("\n") == 1


def test_bad_configurations(box):
    for text, why in (("", "config.json"), ("{", "config.json"), ("[]", "config.json"),
                      (json.dumps(sentry.config([])), "args")):
        r = subprocess.run(box.command(text), capture_output=True, text=True, timeout=60,
                           check=False)
        assert r.returncode == 125 and why in r.stderr and r.stderr.count("\n") == 1, r
    r = box.run(["true"], "--control", "fd:0")
    assert r.returncode == 125 and b"no seqpacket socket that listens" in r.stderr


def test_log(box, base):
    log = base / "log"
    r = box.run(["nosuch"], "--log", log)
    assert (r.returncode, r.stderr) == (125, b"") and "nosuch" in log.read_text(encoding="utf-8")


# ---- the control socket ----


def test_start_and_wait(box):
    with box.start("read l; echo $l; exit 9") as s:
        assert s.ask("wait", process=1)["error"] == errno.EBUSY
        assert s.ask("stats")["threads"] == 1
        assert s.ask("start") == {}
        assert s.ask("start")["error"] == errno.EBUSY
        other = s.connect()
        s.send("wait", process=1, on=other)
        s.p.stdin.write(b"hello\n")
        s.p.stdin.flush()
        assert s.receive(other) == {"status": 9}
        other.close()
        assert s.ended() == (9, b"hello\n", b"")


def test_signals(box):
    with box.start("trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done") as s:
        assert s.ask("start") == {}
        assert s.p.stdout.readline() == b"ready\n"
        assert s.ask("signal", process=1) == {}
        assert s.ask("signal", process=2, signal=9)["error"] == errno.ESRCH
        assert s.ask("signal", process=1, signal=signal.SIGTERM) == {}
        assert s.ended()[0] == 5
    with box.start("echo ready; sleep 1000") as s:
        assert s.ask("start") == {}
        assert s.p.stdout.readline() == b"ready\n"
        # Number 1 has no handler for it, and is number 1.
        assert s.ask("signal", process=1, signal=signal.SIGTERM) == {}
        assert s.ask("signal", process=1, signal=signal.SIGKILL) == {}
        assert s.ended()[0] == 137


def execute(s, script, **more):
    """Its number, the end of its input, and a file with what it says."""
    spec = {**sentry.config(["sh", "-c", script])["process"], **more}
    pipes = [os.pipe(), os.pipe()]
    reply = s.ask("exec", spec=spec, fds=[pipes[0][0], pipes[1][1], pipes[1][1]])
    os.close(pipes[0][0])
    os.close(pipes[1][1])
    return reply, pipes[0][1], open(pipes[1][0], "rb")


def test_exec(box):
    with box.start("echo x >/tmp/shared; sleep 1000; true") as s:
        assert s.ask("start") == {}
        wait.until(lambda: s.ask("stats").get("processes") == 2, "the first's child")
        reply, given, said = execute(s, "cat /tmp/shared; echo $$ $PPID; cat; exit 6",
                                     user={"uid": 7, "gid": 8})
        assert reply["process"] == 2 and reply["pid"] > 2
        os.write(given, b"input\n")
        os.close(given)
        assert said.read().decode() == f"x\n{reply['pid']} 0\ninput\n"
        said.close()
        assert s.ask("wait", process=2) == {"status": 6}
        assert s.ask("wait", process=2)["error"] == errno.ESRCH
        # One that is killed, one that does not exist, one that is nonsense.
        reply, given, said = execute(s, "sleep 1000")
        assert s.ask("signal", process=reply["process"], signal=9) == {}
        assert s.ask("wait", process=reply["process"]) == {"status": 137}
        os.close(given)
        said.close()
        reply, given, said = execute(s, "true", args=["nosuch"])
        assert reply["error"] == errno.ENOENT and 'exec: "nosuch"' in reply["reason"]
        os.close(given)
        assert said.read() == b""
        said.close()
        assert s.ask("exec", spec={})["error"] == errno.EINVAL
        with open(os.devnull, "r+b") as null:
            reply = s.ask("exec", spec=sentry.config(["true"])["process"],
                          fds=[null.fileno()] * 3)
        assert s.ask("wait", process=reply["process"]) == {}
        # What is left ends with the first.
        reply, given, said = execute(s, "echo up; sleep 1000")
        assert said.readline() == b"up\n"
        waits = s.connect()
        s.send("wait", process=reply["process"], on=waits)
        assert s.ask("signal", process=1, signal=9) == {}
        assert s.receive(waits) == {"status": 137}
        waits.close()
        os.close(given)
        assert said.read() == b"" and s.ended()[0] == 137
        said.close()


def test_list(box):
    """As ps and top show it, and one message after the other where there are many."""
    with box.start("sleep 1000 & for n in $(seq 200); do sleep 1001 & done; echo up; "
                   "while :; do :; done") as s:
        assert s.ask("start") == {}
        assert s.p.stdout.readline() == b"up\n"
        found, at = [], 0
        while True:
            reply = s.ask("list", process=at)
            found += reply["list"]
            at = reply.get("process", 0)
            if not at:
                break
            assert at > found[-1]["pid"]
        assert [p["pid"] for p in found] == [1, 2, *range(4, 204)]  # 3: seq
        first, second = found[:2]
        assert first["command"].startswith("sh -c sleep 1000 & for n") and first["state"] == "R"
        assert (second["ppid"], second["name"], second["command"], second["state"]) == \
            (1, "sleep", "sleep 1000", "S")
        assert first["resident_bytes"] > 4096 <= second["virtual_bytes"]
        wait.until(lambda: s.ask("list")["list"][0].get("cpu_ns", 0) > 50_000_000, "its time")
        assert s.ask("stats")["cpu_ns"] > 50_000_000
        assert "terminal" not in first or not first["terminal"]
        # To all of them.
        assert s.ask("signal", signal=signal.SIGSTOP) == {}
        wait.until(lambda: s.ask("list", process=2)["list"][0]["state"] == "T", "they stop")
        assert s.ask("signal", signal=signal.SIGKILL) == {}
        assert s.ended()[0] == 137


def test_update(box):
    limit = 64 << 20
    script = ("read l; cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max "
              "/sys/fs/cgroup/cpu.max; (true) || echo no-more; "
              "dd if=/dev/zero of=/dev/null bs=30M count=1 2>/dev/null; echo $?")
    with box.start(script, linux_resources={"memory": {"limit": limit}}) as s:
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        none = (1 << 64) - 1
        assert s.ask("update", tasks=7) == {}  # before its start, too
        assert s.ask("start") == {}
        for memory in whole + (1 << 20), (4 << 20) - 1:
            assert s.ask("update", memory=memory, tasks=1)["error"] == errno.ERANGE
        stats = s.ask("stats")
        assert [stats[k] for k in ("memory_most", "memory_limit", "tasks_limit")] == [limit, limit, 7]
        assert s.ask("update", memory=none, tasks=none, cpu_quota=none) == {}
        stats = s.ask("stats")
        assert stats["memory_most"] == whole and not stats.get("memory_limit") and \
            not stats.get("tasks_limit")
        assert s.ask("update", memory=limit * 2) == {} and s.ask("stats")["memory_limit"] == limit * 2
        assert s.ask("update", memory=limit // 4, tasks=1, cpu_quota=20000, cpu_period=50000) == {}
        assert s.ask("stats")["memory_most"] == limit // 4
        assert s.ask("update", tasks=5) == {}
        s.p.stdin.write(b"go\n")
        s.p.stdin.flush()
        said = s.ended()[1].decode().splitlines()
        assert said[:3] == [str(limit // 4), "5", "20000 50000"] and said[-1] != "0", said


def image_mapped(pid, image):
    """kB of the image that are mapped by who is below a process."""
    found = []
    for p in children(pid):
        with open(f"/proc/{p}/smaps", encoding="ascii") as f:
            found += re.findall(rf" {re.escape(str(image))}\n(?:\w+:.*\n)*?Rss: +(\d+) kB", f.read())
    assert found
    return sum(map(int, found))


def test_image_rests(box):
    """Who reads nothing of its image keeps no page of it, and can read it again."""
    with box.start("echo ready; read x; md5sum /bin/busybox") as s:
        assert s.ask("start") == {}
        assert s.p.stdout.readline() == b"ready\n"
        wait.until(lambda: image_mapped(s.p.pid, box.image) == 0, "no page of the image")
        s.p.stdin.write(b"go\n")
        s.p.stdin.flush()
        code, said, _ = s.ended()
        own = hashlib.md5(Path(images.BUSYBOX).read_bytes()).hexdigest()
        assert code == 0 and said.split()[0].decode() == own


def test_connections(box):
    """Nonsense ends its connection alone; who hangs up while it waits is forgotten."""
    with box.start("sleep 1000") as s:
        assert s.ask("start") == {}
        for nonsense in (b"x", bytes(6), b"\1\0\x63\0\0\0", b"\2\0\1\0\0\0", os.urandom(1000)):
            c = s.connect()
            c.send(nonsense)
            assert c.recv(10) == b""
            c.close()
        for _ in range(40):
            c = s.connect()
            s.send("wait", process=1, on=c)
            c.close()
        wait.until(lambda: s.ask("stats")["processes"] == 1, "an answer")
        assert s.ask("stats")["memory"] > 0
        assert s.ask("signal", process=1, signal=9) == {}
        assert s.ended()[0] == 137


def test_a_wait_that_is_given_up(box):
    """Who waits with a signal takes the process along; all can be sent one."""
    with box.start("sleep 1000 & echo up; wait $!; echo $?; sleep 1000") as s:
        assert s.ask("start") == {}
        assert s.p.stdout.readline() == b"up\n"
        reply, given, said = execute(s, "echo up; sleep 1000")
        assert said.readline() == b"up\n"
        waits, other = s.connect(), s.connect()
        s.send("wait", process=reply["process"], signal=9, on=waits)
        s.send("wait", process=reply["process"], on=other)
        waits.close()
        assert s.receive(other) == {"status": 137}
        other.close()
        os.close(given)
        assert said.read() == b""
        said.close()
        assert s.ask("signal", signal=signal.SIGTERM) == {}
        assert s.p.stdout.readline() == b"143\n"
        assert s.ask("signal", process=1, signal=9) == {}
        assert s.ended()[0] == 137


# ---- who started it ----


def test_signals_are_handed_on(box):
    """What the process outside is sent the first one gets, once it runs."""
    with box.start("trap 'exit 5' TERM; trap 'echo hup' HUP; echo up; while :; do sleep 0.01; done"
                   ) as s:
        assert s.ask("stats")["threads"] == 1
        s.p.send_signal(signal.SIGTERM)
        assert s.ask("start") == {}
        assert s.p.stdout.readline() == b"up\n"
        s.p.send_signal(signal.SIGHUP)
        assert s.p.stdout.readline() == b"hup\n"
        s.p.send_signal(signal.SIGTERM)
        assert s.ended()[0] == 5


@pytest.mark.parametrize("word, lives", [(b"b", False), (b"g", True), (b"", False)])
def test_its_creator(box, word, lives):
    """Before its word nothing begins; with 'b' the sandbox ends with it, until it was started."""
    theirs, ours = os.pipe()
    with box.start("exit 5", "--creator", f"fd:{theirs}", fds=[theirs]) as s:
        os.close(theirs)
        os.write(ours, word)
        if word:
            assert s.ask("stats")["threads"] == 1
        os.close(ours)
        if lives:
            assert s.ask("start") == {}
            assert s.ended() == (5, b"", b"")
        else:
            how, out, err = s.ended()
            assert (how, out) == (125, b"") and b"ended" in err


@pytest.mark.parametrize("args, how, said", [
    ("exit 6", 6, "6\n"),
    ("kill -9 $$; exit 4", 4, "4\n"),
    (["nosuch"], 125, '125 2 2 exec: "nosuch": executable file not found in $PATH\n'),
])
def test_report(box, base, args, how, said):
    with open(base / "report", "w+", encoding="utf-8") as f:
        fd = f.fileno()
        r = box.run(args, "--report", f"fd:{fd}", fds=[fd])
        f.seek(0)
        told = [l for l in f if not l.startswith("refused ")]  # of calls: test_sandbox_trace.py
        assert (r.returncode, "".join(told)) == (how, said)


# ---- ends ----


@pytest.mark.parametrize("whom", ["outer", "inner"])
def test_nothing_is_left(box, whom):
    with box.start("sleep 1000 & sleep 1000 & echo up; wait") as s:
        assert s.ask("start") == {}
        assert s.p.stdout.readline() == b"up\n"
        wait.until(lambda: s.ask("stats")["processes"] == 3, "its children")
        processes = children(s.p.pid)
        assert len(processes) >= 5  # itself, the source of stubs, three stubs
        os.kill(s.p.pid if whom == "outer" else s.inner(), signal.SIGKILL)
        wait.until(lambda: not any(map(alive, processes)), "the end of all")
        assert s.ended()[0] == (-9 if whom == "outer" else 137)


def test_a_killed_stub_is_a_killed_process(box):
    with box.start("for i in 1 2; do sh -c 'echo up; while :; do :; done'; echo $?; done") as s:
        assert s.ask("start") == {}
        for _ in range(2):
            assert s.p.stdout.readline() == b"up\n"
            os.kill(max(children(s.p.pid)), signal.SIGKILL)
            assert s.p.stdout.readline() == b"137\n"
        assert s.ended()[0] == 0


def test_a_killed_stub_ends_who_waits(box):
    """In a call that would have taken long."""
    with box.start("echo up; sleep 1000; echo $?") as s:
        assert s.ask("start") == {}
        assert s.p.stdout.readline() == b"up\n"
        wait.until(lambda: s.ask("stats")["processes"] == 2, "the first's child")
        wait.until(lambda: s.ask("list", process=2)["list"][0]["command"] == "sleep 1000", "it")
        for pid in sorted(children(s.inner()))[1:]:  # but the source of stubs
            with contextlib.suppress(ProcessLookupError):  # the first's end is its child's, too
                os.kill(pid, signal.SIGKILL)
        assert s.ended()[0] == 137


# ---- walls ----

# What it does: its guests' calls, memory and ends; the descriptors that it was given; the heap.
ALLOWED = set("""
ioctl poll ppoll epoll_pwait epoll_ctl kill wait4 pidfd_open close
fallocate getrandom sched_getaffinity sched_setaffinity
fcntl newfstatat fstat lseek ftruncate fsync fdatasync write readv writev preadv2 pwritev2 recvmsg sendto accept4
mmap munmap mprotect mremap madvise brk futex
clock_gettime rt_sigreturn rt_sigprocmask restart_syscall getpid gettid tgkill exit_group
""".split())
WITH_ARGUMENTS = {"ioctl": (0, 0xc0502100), "fcntl": (0, 3), "newfstatat": (0, 0, 0, 0x1000)}


@pytest.mark.parametrize("stays", [False, True])
def test_walls(box, stays):
    """With `--network stay`, too, where who stands for the sandbox keeps one namespace of the caller's."""
    with box.start("sleep 1000", *(["--network", "stay"] if stays else [])) as s:
        assert s.ask("start") == {}
        inner = s.inner()
        for pid in (s.p.pid, inner):
            st = status(pid)
            for field in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"):
                assert int(st[field], 16) == 0, field
            assert st["NoNewPrivs"] == "1" and st["Seccomp"] == "2"
            for ns in ("user", "mnt", "net", "ipc", "uts", "cgroup"):
                same = os.readlink(f"/proc/{pid}/ns/{ns}") == os.readlink(f"/proc/self/ns/{ns}")
                assert same == (stays and ns == "net" and pid != inner), (pid, ns)
            assert os.listdir(f"/proc/{pid}/root") == os.listdir(f"/proc/{pid}/cwd") == []
            assert re.search(r"Max core file size +0 ",
                             Path(f"/proc/{pid}/limits").read_text(encoding="ascii"))
        assert status(inner)["NSpid"].split()[-1] == "1"
        assert [f.split(":")[0] for f in sentry.fds_of(s.p.pid)] == ["socket"]
        files = sentry.fds_of(inner)
        own = [f for f in files if not f.startswith(("pipe:", "socket:"))]
        assert set(own) <= {"/memfd:ram (deleted)", "/memfd:stubs (deleted)", "anon_inode:[pidfd]",
                            "anon_inode:[eventpoll]", "anon_inode:seccomp notify",
                            "/proc/loadavg"}, files
        for pid in children(inner):
            assert set(sentry.fds_of(pid)) <= {"/memfd:ram (deleted)", "/memfd:stubs (deleted)"}


def test_the_filter(box):
    """Of all calls of the machine those of the list alone, at most 45, and none that makes code."""
    assert len(ALLOWED) <= 45
    with box.start("sleep 1000") as s:
        assert s.ask("start") == {}
        program = filter_of(s.inner())
        waiting = filter_of(s.p.pid)
    calls = numbers()
    assert ALLOWED <= set(calls)
    assert {n for n, nr in calls.items()
            if verdict(program, nr, args=WITH_ARGUMENTS.get(n, ())) == ALLOW} == ALLOWED
    assert {n for n, nr in calls.items() if verdict(waiting, nr) == ALLOW} == \
        {"waitid", "rt_sigtimedwait", "sendto", "rt_sigreturn", "restart_syscall", "exit_group"}
    # Descriptors are asked, not set; no name is looked up.
    assert verdict(program, calls["fcntl"], args=(0, 4)) != ALLOW
    assert verdict(program, calls["newfstatat"], args=(0, 0, 0, 0)) != ALLOW
    # No socket is led anywhere: an address, MSG_FASTOPEN.
    assert verdict(program, calls["sendto"], args=(0, 0, 0, 0, 1)) != ALLOW
    assert verdict(program, calls["sendto"], args=(0, 0, 0, 0x20000000)) != ALLOW
    requests = [r for r in range(0x5400, 0x5480)
                if verdict(program, calls["ioctl"], args=(0, r)) == ALLOW]
    # TCGETS TCSETS TIOCOUTQ TIOCGWINSZ FIONREAD
    assert requests == [0x5401, 0x5402, 0x5411, 0x5413, 0x541b]
    for call in ("mmap", "mprotect"):
        assert verdict(program, calls[call], args=(0, 4096, 5)) != ALLOW  # to be run
    assert verdict(program, calls["write"] | 1 << 30) != ALLOW  # x32's
    assert verdict(program, calls["write"], arch=I386) != ALLOW
    assert verdict(program, max(calls.values()) + 1) != ALLOW


def test_of_an_ordinary_user(box, user, base):
    as_user = ["setpriv", "--reuid", str(user.uid), "--regid", str(user.uid), "--clear-groups"]
    command = box.command(sentry.config(["sh", "-c", "id -u; echo x >/dev/stdout"]))
    r = subprocess.run([*as_user, *command], capture_output=True, text=True, timeout=120,
                       check=False)
    assert (r.returncode, r.stdout, r.stderr) == (0, "0\nx\n", "")


def test_as_somebody_else(box):
    """Root's sandbox is nobody's, if it is told so."""
    with box.start("sleep 1000", "--uid", str(NOBODY), "--gid", str(NOBODY)) as s:
        assert s.ask("start") == {}
        for pid in (s.p.pid, *children(s.p.pid)):
            st = status(pid)
            assert st["Uid"].split() == st["Gid"].split() == [str(NOBODY)] * 4
            assert st["Groups"].strip() == ""


def test_as_nobody(box):
    """A user and a group that nobody is, others for each."""
    with box.start("sleep 1000", "--uid", "own") as a, box.start("true", "--uid", "own") as b:
        ids = set()
        for s in (a, b):
            assert s.ask("stats")["threads"] == 1
            st = status(s.p.pid)
            (uid,), (gid,) = set(st["Uid"].split()), set(st["Gid"].split())
            assert uid == gid and st["Groups"].strip() == "" and int(uid) > NOBODY
            assert set(status(s.inner())["Uid"].split()) == {uid}
            ids.add(uid)
        assert len(ids) == 2


def test_a_terminal(box):
    """It is asked, not changed, and its other users' open stays blocking."""
    master, slave = os.openpty()
    with subprocess.Popen(box.command(sentry.config(
            ["sh", "-c", "test -t 0 && test -t 1 && echo terminal; read l; echo got $l; "
             "stty raw 2>/dev/null; echo $?"])), stdin=slave, stdout=slave, stderr=slave) as p:
        assert os.get_blocking(slave)
        said = b""
        end = time.monotonic() + 60
        while b"terminal\r\n" not in said and time.monotonic() < end:
            said += os.read(master, 100)
        os.write(master, b"line\n")
        while said.count(b"\r\n") < 4 and time.monotonic() < end:
            said += os.read(master, 100)
        assert said == b"terminal\r\nline\r\ngot line\r\n1\r\n"
        assert p.wait(120) == 0 and os.get_blocking(slave)
    os.close(master)
    os.close(slave)


def test_slow_readers_hold_nobody(box):
    """Two sandboxed processes, one of which nobody reads: the other goes on."""
    with box.start("yes & sleep 0.1; echo alive >&2; wait") as s:
        assert s.ask("start") == {}
        assert s.p.stderr.readline() == b"alive\n"
        reply, given, said = execute(s, "echo works")
        assert said.read() == b"works\n"
        assert s.ask("wait", process=reply["process"]) == {}
        os.close(given)
        said.close()
        assert s.ask("signal", process=1, signal=9) == {}
        assert s.p.wait(120) == 137
