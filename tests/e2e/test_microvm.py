# SPDX-License-Identifier: Apache-2.0
"""
Workloads in machines of their own: what a user sees of them is what he sees of containers. The
processor is emulated here, so one machine serves many assertions and every deadline is generous.
"""
import array
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile

import pytest

from lib import guest, wait

SLOW_S = 120
# A machine may have as many processors as the host at most.
CPUS, PROCESSORS = ("1.5", "2") if len(os.sched_getaffinity(0)) > 1 else ("0.5", "1")
BOOT_ID = "/proc/sys/kernel/random/boot_id"  # another in each running kernel
with open(BOOT_ID, encoding="ascii") as f:
    OUR_BOOT = f.read().strip()

pytestmark = pytest.mark.timeout(1500)

MICROVM = ("--isolation=microvm", "--network", "none")


@pytest.fixture(scope="module")
def volume(base):
    d = base / "volume"
    d.mkdir()
    (d / "from-host").write_text("host\n")
    return d


@pytest.fixture(scope="module")
def machine(atoll, busybox, volume):
    """The name of a machine that runs through many tests."""
    atoll("run", "-d", "--name", "m", *MICROVM, "-h", "inside", "-e", "FOO=bar", "-u", "1000:1000",
          "-w", "/tmp", "-m", "256m", "--cpus", CPUS, "--pids-limit", "77", "-v", f"{volume}:/v",
          "-v", f"{volume}:/ro:ro", busybox, "sh", "-c",
          'echo started; trap "exit 3" TERM; while :; do sleep 0.2; done', timeout=SLOW_S)
    yield "m"
    atoll("rm", "-f", "m")


def nobody_names(id):
    """No process of this machine's kernel has the id among its arguments, none is in its cgroup."""
    for p in os.listdir("/proc"):
        if not p.isdigit():
            continue
        try:
            with open(f"/proc/{p}/cmdline", "rb") as f:
                line = f.read()
            with open(f"/proc/{p}/cgroup", encoding="utf-8") as f:
                groups = f.read()
        except OSError:
            continue
        if id.encode() in line or id in groups:
            return False
    return True


def test_a_foreground_run(atoll, busybox):
    """Its own kernel; streams apart, stdin to its end, the exit status, and nothing left."""
    r = atoll.try_("run", "--rm", "-i", *MICROVM, busybox, "sh", "-c",
                   f"cat {BOOT_ID}; head -c 300000 | wc -c; cat /proc/1/comm; echo oops >&2; exit 7",
                   input=b"x" * 300001, timeout=SLOW_S)
    assert r.rc == 7 and r.err == "oops\n", str(r)
    boot, count, name = r.out.splitlines()
    assert boot != OUR_BOOT and count == "300000" and name == "sh"
    assert not list((atoll.root / "workloads").iterdir())


def test_what_the_guest_sees(atoll, machine):
    out = atoll("exec", machine, "sh", "-c",
                "hostname; id -u; id -g; pwd; echo $FOO; nproc; cat /sys/fs/cgroup/memory.max;"
                "cat /sys/fs/cgroup/pids.max; grep MemTotal /proc/meminfo; ls /sys/class/net;"
                # of devices it does not have nothing is loaded
                "grep -oE '^(virtiofs|virtio_net|virtio_console) ' /proc/modules",
                timeout=SLOW_S).out.split()
    assert out[:8] == ["inside", "1000", "1000", "/tmp", "bar", PROCESSORS, str(256 << 20), "77"], out
    assert 150 << 10 < int(out[9]) < 256 << 10  # kB: the kernel has some of it for itself
    assert out[11:] == ["lo", "virtiofs"], out


def test_volumes(atoll, machine, volume):
    """Both ways at once; what is read-only is so for root of the guest as well."""
    r = atoll("exec", "-u", "0", machine, "sh", "-c",
              "cat /v/from-host; echo guest > /v/from-guest; touch /ro/x || echo refused",
              timeout=SLOW_S)
    assert r.out == "host\nrefused\n", str(r)
    assert (volume / "from-guest").read_text() == "guest\n"
    (volume / "later").write_text("later\n")
    assert wait.until(lambda: atoll.try_("exec", machine, "cat", "/ro/later",
                                         timeout=SLOW_S).out == "later\n", "the new file is seen")


def test_exec_streams_and_codes(atoll, machine):
    r = atoll.try_("exec", "-i", machine, "sh", "-c", "cat; echo e >&2; exit 9", input=b"in\n",
                   timeout=SLOW_S)
    assert (r.rc, r.out, r.err) == (9, "in\n", "e\n"), str(r)
    atoll.fails("exec", machine, "nosuch", rc=127, says="not found", timeout=SLOW_S)
    atoll.fails("exec", machine, "/etc/passwd", rc=126, says="permission denied", timeout=SLOW_S)
    assert atoll.try_("exec", machine, "sh", "-c", "kill -9 $$", timeout=SLOW_S).rc == 137
    big = atoll("exec", machine, "sh", "-c", "yes 0123456789abcde | head -c 1000000",
                timeout=SLOW_S).raw
    assert big == (b"0123456789abcde\n" * 62500), len(big)


def proxies(id):
    """The processes that stand for the machine's, and hold it."""
    found = []
    for p in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{p}/cmdline", encoding="utf-8") as f:
                words = f.read().split("\0")
        except OSError:
            continue
        if words[:2] == ["atoll-proxy", id]:
            found.append(int(p))
    return found


def test_its_proxies_are_confined(atoll, machine):
    """What reads the guest's frames has no right, and dies of a call that it has no use for."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    id = atoll.inspect(machine)["Id"]
    before = set(proxies(id))
    p = atoll.popen("exec", "-i", machine, "cat", stdin=subprocess.PIPE)
    p.stdin.write(b"first\n")
    p.stdin.flush()
    assert p.stdout.readline() == b"first\n"
    (new,) = set(proxies(id)) - before
    for pid in before | {new}:
        with open(f"/proc/{pid}/status", encoding="utf-8") as f:
            status = dict(l.split(":\t", 1) for l in f.read().splitlines())
        assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1"), status
        kill_only = "0000000000000020"  # of the one that QEMU dies with
        assert status["CapEff"] in ("0" * 16, kill_only) and status["CapPrm"] == status["CapEff"], status
    assert not set(os.listdir(f"/proc/{new}/root")), "an empty root"
    with subprocess.Popen(["strace", "-p", str(new), "-e", "inject=poll:error=EINTR:syscall=getuid"],
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as t:
        wait.until(lambda: tracer(new) == t.pid, "strace")
        p.stdin.write(b"second\n")
        p.stdin.close()
        assert p.wait(SLOW_S) == 128 + signal.SIGSYS, p.stderr.read()
        assert "killed by SIGSYS" in t.communicate(timeout=SLOW_S)[1]
    assert atoll("exec", machine, "echo", "on", timeout=SLOW_S).out == "on\n", "the others go on"


def tracer(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        return int(next(l.split()[1] for l in f if l.startswith("TracerPid:")))


def test_a_terminal(atoll, machine):
    """One of the guest's own: its size follows, and a key there is a signal there."""
    with atoll.terminal("exec", "-it", machine, "sh", "-c",
                        "trap 'exit 5' INT; tty; until [ \"$(stty size)\" = '44 88' ];"
                        "do sleep 0.1; done; echo resized; while :; do sleep 0.1; done") as t:
        t.expect("/dev/pts/", SLOW_S)
        t.resize(44, 88)
        t.expect("resized", SLOW_S)
        t.write(b"\x03")
        assert t.wait(SLOW_S) == 5


def test_the_host_sees_its_files(atoll, machine, volume):
    """cp, diff, commit and export are about the workload's files, never about the host's."""
    atoll("exec", "-u", "0", machine, "sh", "-c", "echo made > /made; rm /etc/group",
          timeout=SLOW_S)
    assert set(atoll("diff", machine).out.splitlines()) >= {"A /made", "D /etc/group"}
    tar = tarfile.open(fileobj=io.BytesIO(atoll("cp", f"{machine}:/made", "-").raw))
    assert tar.extractfile("made").read() == b"made\n"
    atoll("cp", volume / "from-host", f"{machine}:/v/copied")
    assert (volume / "copied").read_text() == "host\n"
    atoll("cp", volume / "from-host", f"{machine}:/etc/copied")
    assert atoll("exec", machine, "cat", "/etc/copied", timeout=SLOW_S).out == "host\n"
    names = tarfile.open(fileobj=io.BytesIO(atoll("export", machine).raw)).getnames()
    assert "made" in names and "boot" not in names
    atoll("commit", machine, "committed")
    assert atoll("run", "--rm", "--network", "none", "committed", "cat", "/made").out == "made\n"
    atoll("image", "rm", "-f", "committed")


def test_lists_and_figures(atoll, machine):
    assert atoll("ps", "--filter", "isolation=microvm", "--format", "{{.Names}}").line == machine
    seen = atoll.inspect(machine)
    assert seen["HostConfig"]["Isolation"] == seen["Atoll"]["Isolation"] == "microvm"
    wait.until(lambda: "started" in atoll("logs", machine).out, "its output", SLOW_S)
    stats = atoll("stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}}", machine,
                  timeout=SLOW_S).line
    assert stats.split()[2] == "256MiB" and int(stats.split()[3]) >= 1, stats
    info = {e["Name"]: e for e in atoll("system", "info", "--format", "json").json["Engines"]}
    assert info["microvm"]["Usable"], info
    emulated = info["microvm"]["Emulated"]
    assert seen["Atoll"]["Emulated"] == emulated
    assert atoll("ps", "--filter", f"name={machine}", "--format", "{{.Isolation}}").line == \
        ("microvm (emulated)" if emulated else "microvm")


def test_pause_and_update(atoll, machine):
    atoll("pause", machine)
    assert atoll.inspect(machine)["State"]["Paused"]
    atoll.fails("exec", machine, "true", timeout=SLOW_S)
    atoll("unpause", machine)
    atoll("update", "-m", "128m", machine, timeout=SLOW_S)
    assert atoll("exec", machine, "cat", "/sys/fs/cgroup/memory.max",
                 timeout=SLOW_S).line == str(128 << 20)
    atoll.fails("update", "-m", "1g", "--memory-swap", "-1", machine, timeout=SLOW_S)


def test_namespaces_are_not_shared(atoll, machine, busybox):
    atoll.fails("run", "--rm", "--network", f"container:{machine}", busybox, "true", rc=125,
                says="on a kernel of its own")


def test_stop_start_kill(atoll, busybox):
    """Its own signal handler's end, a second start with the same files, and SIGKILL."""
    id = atoll("run", "-d", "--name", "life", *MICROVM, busybox, "sh", "-c",
               'echo x >> /count; trap "exit 3" TERM; while :; do sleep 0.1; done',
               timeout=SLOW_S).line
    wait.until(lambda: atoll.try_("exec", "life", "test", "-s", "/count", timeout=SLOW_S).rc == 0,
               "the trap is set", SLOW_S)
    atoll("stop", "-t", "120", "life", timeout=SLOW_S)
    assert atoll.inspect("life")["State"]["ExitCode"] == 3
    assert wait.until(lambda: nobody_names(id), "no process is left")
    assert "A /count" in atoll("diff", "life").out.splitlines()
    tar = tarfile.open(fileobj=io.BytesIO(atoll("cp", "life:/count", "-").raw))
    assert tar.extractfile("count").read() == b"x\n"
    assert "count" in tarfile.open(fileobj=io.BytesIO(atoll("export", "life").raw)).getnames()
    atoll("commit", "life", "kept")
    assert atoll("run", "--rm", "--network", "none", "kept", "cat", "/count").out == "x\n"
    atoll("image", "rm", "-f", "kept")
    atoll("start", "life", timeout=SLOW_S)
    wait.until(lambda: atoll.try_("exec", "life", "cat", "/count", timeout=SLOW_S).out == "x\nx\n",
               "the second start", SLOW_S)
    atoll("kill", "life")
    wait.until(lambda: atoll.inspect("life")["State"]["Status"] == "exited", "its end", SLOW_S)
    assert atoll.inspect("life")["State"]["ExitCode"] == 137
    assert wait.until(lambda: nobody_names(id), "no process is left")
    atoll("rm", "life")


def test_nothing_written_is_lost(atoll, busybox, base):
    """What was written, also through a mapping, is in the host's files at whatever end."""
    d = base / "dirty"
    d.mkdir()
    guest.compiled("guest_dirty.c", d)
    ends = (("killed", 137, ("kill",)), ("stopped", 3, ("stop", "-t", "120")),
            ("removed", None, ("rm", "-f")))
    for word, code, end in ends:
        (d / "ready").unlink(missing_ok=True)
        atoll("run", "-d", "--name", word, *MICROVM, "-v", f"{d}:/v", busybox, "/v/guest_dirty",
              "/v", word, timeout=SLOW_S)
        wait.until(lambda: (d / "ready").exists(), "all is written", SLOW_S)
        atoll(*end, word, timeout=SLOW_S)
        if code:
            wait.until(lambda: atoll.inspect(word)["State"]["Status"] == "exited", "its end", SLOW_S)
            assert atoll.inspect(word)["State"]["ExitCode"] == code
            atoll("rm", word)
        for name in "mapped", "written":
            data = (d / name).read_bytes()
            pages = {data[i:i + len(word)] for i in range(0, len(data), 4096)}
            assert len(data) > 255 * 4096 and pages == {word.encode()}, (word, name, pages)


def test_restart_and_memory(atoll, busybox):
    """What ends for lack of memory says so, and a restart policy makes a new machine."""
    atoll("run", "-d", "--name", "again", *MICROVM, "-m", "96m", "--restart", "on-failure:1",
          busybox, "sh", "-c", "tail /dev/zero", timeout=SLOW_S)
    state = wait.until(lambda: (s := atoll.inspect("again"))["State"]["Status"] == "exited" and s,
                       "both ends", SLOW_S)
    assert state["RestartCount"] == 1 and state["State"]["ExitCode"] == 137, state["State"]
    assert state["State"]["OOMKilled"], state["State"]
    atoll("rm", "again")


def test_read_only_health_and_no_program(atoll, busybox):
    atoll("run", "-d", "--name", "ro", *MICROVM, "--read-only", "--health-cmd",
          "! touch /x 2>/dev/null", "--health-interval", "1s", busybox, "sleep", "1000",
          timeout=SLOW_S)
    wait.until(lambda: atoll.inspect("ro")["State"]["Health"]["Status"] == "healthy",
               "the check sees a root that is read-only", SLOW_S)
    atoll("rm", "-f", "ro")
    atoll.fails("run", "--rm", *MICROVM, busybox, "nosuch", rc=127, says="not found",
                timeout=SLOW_S)


@pytest.mark.parametrize("options, says", [
    (("--network", "none", "--pid", "host"), "share the host's pid namespace"),
    (("--network", "none", "--ipc", "host"), "share the host's ipc namespace"),
    (("--network", "none", "--uts", "host"), "share the host's uts namespace"),
    (("--network", "none", "--device", "/dev/kmsg"), "have the host's device '/dev/kmsg'"),
    (("--network", "none", "-v", "/proc/sys:/p"), "that is the host's kernel's"),
    (("--network", "none", "-v", "/tmp:/p:rshared"), "come through '/p'"),
    (("--network", "none", "-m", "4096g"), "larger than its host"),
])
def test_refusals(atoll, busybox, options, says):
    """Before anything is made, and naming what would serve."""
    atoll.fails("run", "--rm", "--isolation=microvm", *options, busybox, "true", rc=125, says=says)


def test_without_an_emulator(atoll, busybox):
    """Where neither KVM nor QEMU runs guests, one line says so."""
    r = atoll.fails("run", "--rm", *MICROVM, busybox, "true", rc=125, says="is not installed",
                    env={"PATH": "/nonexistent", "ATOLL_MICROVM": "tcg"})
    assert r.err.count("\n") == 1, str(r)


@pytest.fixture
def microvm_runtime(runtime, build, base):
    """atoll-runtime called as atoll-microvm, as engines of others would have it."""
    link = base / "atoll-microvm"
    if not link.exists():
        link.symlink_to(build / "atoll-runtime")
    old, runtime.path = runtime.path, str(link)
    runtime.env["ATOLL_ROOT"] = str(base / "runtime-root")
    yield runtime
    runtime.path = old


def ended(pid):
    """Gone, or waiting for whoever inherited it."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return not f.read()
    except OSError:
        return True


def test_the_runtime(microvm_runtime, bundle, id, base):
    """runc's verbs, by separate processes: create, start with a hook, exec, kill, delete."""
    r = microvm_runtime
    pid_file = base / "pid"

    def hooked(s):
        s["hooks"] = {"startContainer": [
            {"path": "/bin/sh", "args": ["sh", "-c", f"cat >/state; cat {BOOT_ID} >/where"]}]}
    r.leave("create", "--pid-file", pid_file, "-b", bundle(
        ["/bin/sh", "-c", 'trap "exit 4" TERM; test -s /where && touch /up; '
         'while :; do sleep 0.1; done'], hooked), id)
    state = r.state(id)
    assert state["status"] == "created" and state["pid"] == int(pid_file.read_text())
    r("start", id, timeout=SLOW_S)
    assert r.state(id)["status"] == "running"
    wait.until(lambda: r.try_("exec", id, "test", "-e", "/up", timeout=SLOW_S).rc == 0,
               "it has set its trap", SLOW_S)
    assert r.try_("exec", id, "sh", "-c", "exit 6", timeout=SLOW_S).rc == 6
    where = r("exec", id, "cat", BOOT_ID, timeout=SLOW_S).line
    assert where != OUR_BOOT
    said = r("exec", id, "cat", "/where", "/state", timeout=SLOW_S).out.split("\n", 1)
    assert said[0] == where, "the hook ran in the machine"
    told = json.loads(said[1])
    assert (told["id"], told["status"], told["pid"]) == (id, "created", 1), told
    pid = state["pid"]
    r("kill", id, "TERM")
    wait.until(lambda: r.state(id)["status"] == "stopped", "its end", SLOW_S)
    r("delete", id)
    wait.until(lambda: ended(pid), "its process has ended", SLOW_S)


def received_fd(listener):
    """The one descriptor that somebody sends."""
    listener.settimeout(SLOW_S)
    peer, _ = listener.accept()
    with peer:
        peer.settimeout(SLOW_S)
        _, more, _, _ = peer.recvmsg(256, socket.CMSG_SPACE(16))
    fds = array.array("i", more[0][2])
    assert len(fds) == 1, more
    return fds[0]


def read_until(fd, wanted):
    got = b""
    while wanted not in got:
        got += os.read(fd, 4096)
    return got


def test_the_runtimes_terminal_and_signals(microvm_runtime, bundle, id, base):
    """A console socket is sent the terminal; ps lists the guest's processes, kill --all reaches each."""
    r = microvm_runtime
    b = bundle(["/bin/sh", "-c", "tty; stty size; sh -c 'trap \"echo second\" USR1; echo up;"
                "while :; do sleep 0.1; done' & trap 'echo first' USR1; read x; echo got $x;"
                "while :; do sleep 0.1; done"], terminal=True,
               consoleSize={"height": 33, "width": 99})
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(base / "console"))
        s.listen()
        r.leave("create", "--console-socket", base / "console", "-b", b, id)
        fd = received_fd(s)
    assert os.isatty(fd)
    r("start", id, timeout=SLOW_S)
    said = read_until(fd, b"up\n")
    assert b"/dev/" in said and b"33 99\n" in said, said
    os.write(fd, b"this\n")
    read_until(fd, b"got this\n")
    listed = r("ps", id, timeout=SLOW_S).out
    assert listed.count("sh -c") >= 2 and "atoll" not in listed, listed
    assert len(r("ps", "-f", "json", id, timeout=SLOW_S).json) >= 2
    r("kill", "--all", id, "USR1", timeout=SLOW_S)
    said = b""
    while not (b"first" in said and b"second" in said):
        said += os.read(fd, 4096)
    r("kill", "--all", id, "KILL", timeout=SLOW_S)
    wait.until(lambda: r.state(id)["status"] == "stopped", "its end", SLOW_S)
    os.close(fd)
    r("delete", id)
