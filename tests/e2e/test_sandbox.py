# SPDX-License-Identifier: Apache-2.0
"""
Workloads on Atoll's own kernel: what a user sees of them is what he sees of containers. Life cycle,
streams, exec, limits, volumes, terminals, ends, refusals, and `atoll-sandbox` by hand.
"""
import io
import json
import os
import signal
import socket
import subprocess
import tarfile
import threading
from pathlib import Path

import pytest

from lib import cgroups, sentry, wait
from lib.outside import HOST4, OWN4, Outside

pytestmark = [pytest.mark.timeout(120),
              pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")]

SANDBOX = ("--isolation=sandbox",)
LOOP = 'trap "echo got; exit 3" TERM; echo up; while :; do sleep 0.1; done'


@pytest.fixture(scope="module", autouse=True)
def possible(build, base):
    sentry.need(sentry.Sentries(build, base / "sentries"))


@pytest.fixture(scope="module")
def volume(base):
    d = base / "volume"
    d.mkdir()
    (d / "from-host").write_text("host\n")
    return d


@pytest.fixture(scope="module")
def box(atoll, busybox, volume):
    """The name of a sandbox that runs through many tests."""
    atoll("run", "-d", "--name", "s", *SANDBOX, "-h", "inside", "-e", "FOO=bar", "-u", "1000:1000",
          "-w", "/tmp", "-m", "64m", "--cpus", "0.5", "-v", f"{volume}:/v",
          "-v", f"{volume}:/ro:ro", busybox, "sh", "-c", LOOP)
    wait.until(lambda: "up" in atoll("logs", "s").out, "its output")
    yield "s"
    atoll("rm", "-f", "s")


def of(id, by_name=True):
    """Processes in control groups of this workload; by_name: and those that are told of it."""
    found = []
    for p in filter(str.isdigit, os.listdir("/proc")):
        try:
            if not sentry.alive(p):
                continue
            if id in Path(f"/proc/{p}/cgroup").read_text(encoding="utf-8") or by_name and \
                    id.encode() in Path(f"/proc/{p}/cmdline").read_bytes():
                found.append(int(p))
        except OSError:
            continue
    return found


def test_a_foreground_run(atoll, busybox):
    """Another kernel; streams apart, stdin to its end, the exit status, and nothing left."""
    r = atoll.try_("run", "--rm", "-i", *SANDBOX, busybox, "sh", "-c",
                   "cat /proc/sys/kernel/random/boot_id; head -c 300000 | wc -c; "
                   "cat /proc/1/comm; grep -c . /etc/hosts; echo oops >&2; exit 7",
                   input=b"x" * 300001)
    assert r.rc == 7 and r.err == "oops\n", str(r)
    boot, count, name, hosts = r.out.splitlines()
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as f:
        assert boot != f.read().strip()
    assert count == "300000" and name == "sh" and int(hosts) > 3
    assert not list((atoll.root / "workloads").iterdir())


@pytest.mark.parametrize("args, rc, says", [
    (["nosuch"], 127, "executable file not found in $PATH"),
    (["/nosuch"], 127, "no such file or directory"),
    (["/etc/passwd"], 126, "permission denied"),
    (["sh", "-c", "kill -9 0; sleep 9"], 0, None),
])
def test_exit_codes(atoll, busybox, args, rc, says):
    if says:
        atoll.fails("run", "--rm", *SANDBOX, busybox, *args, rc=rc, says=says)
    else:  # number 1 cannot be killed from within
        r = atoll.try_("run", "--rm", *SANDBOX, busybox, "sh", "-c", "kill -9 $$; exit 4")
        assert (r.rc, r.out, r.err) == (4, "", "")


def test_what_it_sees(atoll, box):
    out = atoll("exec", box, "sh", "-c",
                "hostname; id -u; id -g; pwd; echo $FOO; grep MemTotal /proc/meminfo;"
                "grep Seccomp: /proc/self/status;"
                "grep NoNewPrivs /proc/self/status").out.split()
    assert out == ["inside", "1000", "1000", "/tmp", "bar", "MemTotal:", str(64 << 10), "kB",
                   "Seccomp:", "2", "NoNewPrivs:", "0"], out


def test_volumes(atoll, box, volume):
    r = atoll("exec", "-u", "0", box, "sh", "-c",
              "cat /v/from-host; echo guest > /v/from-guest; touch /ro/x || echo refused")
    assert r.out == "host\nrefused\n", str(r)
    assert (volume / "from-guest").read_text() == "guest\n"
    (volume / "later").write_text("later\n")
    assert atoll("exec", box, "cat", "/ro/later").out == "later\n"


def test_exec(atoll, box):
    r = atoll.try_("exec", "-i", "-u", "5:6", "-e", "A=b", "-w", "/bin", box, "sh", "-c",
                   "cat; id -u; id -g; echo $A; pwd; echo e >&2; exit 9", input=b"in\n")
    assert (r.rc, r.out, r.err) == (9, "in\n5\n6\nb\n/bin\n", "e\n"), str(r)
    atoll.fails("exec", box, "nosuch", rc=127, says="not found")
    atoll.fails("exec", box, "/etc/passwd", rc=126, says="permission denied")
    assert atoll.try_("exec", box, "sh", "-c", "kill -9 $$").rc == 137
    big = atoll("exec", box, "sh", "-c", "yes 0123456789abcde | head -c 1000000").raw
    assert big == (b"0123456789abcde\n" * 62500), len(big)


def standing_for(atoll, box):
    """The process on the host for the newest exec."""
    id = atoll.inspect(box)["Id"]
    shim = [p for p in of(id) if b"atoll-shim" in Path(f"/proc/{p}/cmdline").read_bytes()]
    return max(p for p in shim if Path(f"/proc/{p}/status").read_text(
        encoding="ascii").split("Seccomp:\t")[1][0] == "2")


def test_who_stands_for_an_exec(atoll, box):
    """It has no rights, hands signals on, and takes its process along."""
    script = "trap 'echo hup' HUP; echo up; while :; do sleep 0.1; done"
    p = atoll.popen("exec", box, "sh", "-c", script, stdin=subprocess.DEVNULL)
    assert p.stdout.readline() == b"up\n"
    pid = standing_for(atoll, box)
    status = dict(l.split(":\t", 1) for l in Path(f"/proc/{pid}/status").read_text(
        encoding="ascii").splitlines())
    assert int(status["CapPrm"], 16) == 0 and status["NoNewPrivs"] == "1", status
    assert {os.readlink(f"/proc/{pid}/fd/{f}").split(":")[0]
            for f in os.listdir(f"/proc/{pid}/fd")} == {"socket", "anon_inode"}
    os.kill(pid, signal.SIGHUP)
    assert p.stdout.readline() == b"hup\n"
    before = atoll("exec", box, "sh", "-c", "pidof sh | wc -w").out
    os.kill(pid, signal.SIGKILL)
    assert p.wait(60) == 137
    p.stdout.close()
    assert int(before) > 2
    wait.until(lambda: int(atoll("exec", box, "sh", "-c", "pidof sh | wc -w").out) < int(before),
               "its end inside")


def test_lists_and_figures(atoll, box):
    assert atoll("ps", "--filter", "isolation=sandbox", "--format", "{{.Names}}").line == box
    seen = atoll.inspect(box)
    assert seen["HostConfig"]["Isolation"] == seen["Atoll"]["Isolation"] == "sandbox"
    head, *rows = atoll("top", box, "-eo", "pid,comm").out.splitlines()
    assert head.split() == ["PID", "COMMAND"] and rows[0].split() == ["1", "sh"], rows
    assert not [r for r in rows if "atoll" in r], rows
    stats = atoll("stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}}", box).line.split()
    assert stats[2] == "64MiB" and 1 <= int(stats[3]) < 10, stats
    info = {e["Name"]: e for e in atoll("system", "info", "--format", "json").json["Engines"]}
    assert info["sandbox"]["Usable"] and not info["sandbox"]["Emulated"], info


def test_pause_and_update(atoll, box):
    atoll("pause", box)
    assert atoll.inspect(box)["State"]["Paused"]
    pids = of(atoll.inspect(box)["Id"], by_name=False)  # of others one may be about to end
    assert len(pids) > 2
    times = [Path(f"/proc/{p}/stat").read_text(encoding="ascii").split()[13:15] for p in pids]
    atoll.fails("exec", box, "true", says="paused")
    atoll.fails("top", box, says="paused")
    again = [Path(f"/proc/{p}/stat").read_text(encoding="ascii").split()[13:15] for p in pids]
    assert times == again
    atoll("unpause", box)
    assert atoll("exec", box, "echo", "on").out == "on\n"
    shows = ("sh", "-c", "cd /sys/fs/cgroup; cat memory.max pids.max cpu.max; "
             "grep -c 'MemTotal: *131072 kB' /proc/meminfo")
    atoll("update", "--cpus", "1", "-m", "128m", "--pids-limit", "70", box)
    assert atoll("exec", box, *shows).out.split() == [str(128 << 20), "70", "100000", "100000", "1"]
    own = cgroups.of_process(atoll.inspect(box)["State"]["Pid"])
    host, = [int((at / own[names].strip("/") / f).read_text()) for names, at in cgroups.hierarchies()
             for n, f in (("memory", "memory.limit_in_bytes"), ("", "memory.max"))
             if names == n and (n or cgroups.PURE_V2)]
    assert 128 << 20 < host < 300 << 20, host
    atoll("exec", box, "dd", "if=/dev/zero", "of=/dev/shm/x", "bs=1M", "count=30")
    atoll.fails("update", "-m", "20m", "--pids-limit", "9", box, says="more memory than that is in use")
    assert atoll("exec", box, "sh", "-c", "rm /dev/shm/x; cat /sys/fs/cgroup/pids.max").line == "70"
    atoll("update", "-m", "64m", "--pids-limit", "-1", "--cpus", "0.5", box)
    assert atoll("exec", box, *shows[:2], "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max"
                 ).out.split() == [str(64 << 20), "max"]
    atoll("pause", box)
    atoll.fails("update", "-m", "128m", box, says="paused")
    atoll("unpause", box)


def test_memory_is_a_wall(atoll, busybox):
    """Who wants more than there is ends, and the sandbox goes on."""
    r = atoll.try_("run", "--rm", *SANDBOX, "-m", "16m", busybox, "sh", "-c",
                   "head -c 100m /dev/zero | tail -n 1 >/dev/null; echo went on $?")
    assert r.rc == 0 and r.out.startswith("went on ") and r.out != "went on 0\n", str(r)
    atoll.fails("run", "--rm", *SANDBOX, "-m", "1m", busybox, "true", rc=125, says="--memory")


def test_processes_are_limited(atoll, busybox):
    r = atoll.try_("run", "--rm", *SANDBOX, "--pids-limit", "8", busybox, "sh", "-c",
                   "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 & done 2>/dev/null; "
                   "echo not reached")
    assert r.rc != 0 and "not reached" not in r.out, str(r)


def test_stop_start_kill(atoll, busybox):
    """Its own signal handler's end, a second start with the same files, and SIGKILL."""
    id = atoll("run", "-d", "--name", "life", *SANDBOX, busybox, "sh", "-c",
               f"echo x >> /count; {LOOP}").line
    wait.until(lambda: "up" in atoll("logs", "life").out, "the trap is set")
    atoll("stop", "-t", "60", "life")
    assert atoll.inspect("life")["State"]["ExitCode"] == 3
    assert not of(id)
    assert "A /count" in atoll("diff", "life").out.splitlines()
    tar = tarfile.open(fileobj=io.BytesIO(atoll("cp", "life:/count", "-").raw))
    assert tar.extractfile("count").read() == b"x\n"
    atoll("start", "life")
    wait.until(lambda: atoll("logs", "life").out.count("up") == 2, "the second start")
    atoll("restart", "-t", "60", "life")
    wait.until(lambda: atoll("logs", "life").out.count("up") == 3, "the third")
    assert atoll("exec", "life", "cat", "/count").out == "x\nx\nx\n"
    atoll("kill", "life")
    wait.until(lambda: atoll.inspect("life")["State"]["Status"] == "exited", "its end")
    state = atoll.inspect("life")["State"]
    assert state["ExitCode"] == 137 and not state["Error"], state
    assert wait.until(lambda: not of(id), "no process is left")
    atoll("rm", "life")


def test_its_kernel_is_killed(atoll, busybox):
    """The workload's end, with a reason; a restart policy starts it again."""
    id = atoll("run", "-d", "--name", "dies", "--restart", "on-failure:1", *SANDBOX, busybox, "sh",
               "-c", "echo x >> /count; echo up; sleep 1000").line
    for n in (1, 2):
        wait.until(lambda n=n: atoll("logs", "dies").out.count("up") == n, "its output")
        os.kill(atoll.inspect("dies")["State"]["Pid"], signal.SIGKILL)
    wait.until(lambda: atoll.inspect("dies")["State"]["Status"] == "exited", "its end")
    state = atoll.inspect("dies")["State"]
    assert state["ExitCode"] == 137 and "kernel (atoll-sentry) was killed" in state["Error"], state
    assert wait.until(lambda: not of(id), "no process is left")
    atoll("rm", "dies")


def test_its_shim_is_killed(atoll, busybox):
    """Who looks next ends what is left."""
    id = atoll("run", "-d", "--name", "orphan", *SANDBOX, busybox, "sleep", "1000").line
    shim = next(p for p in of(id)
                if Path(f"/proc/{p}/cmdline").read_bytes().startswith(b"atoll-shim"))
    os.kill(shim, signal.SIGKILL)
    wait.until(lambda: atoll.inspect("orphan")["State"]["Status"] == "exited", "its healing")
    assert wait.until(lambda: not of(id), "no process is left")
    atoll("rm", "orphan")


def test_a_health_check(atoll, busybox):
    atoll("run", "-d", "--name", "healthy", *SANDBOX, "--health-cmd", "test -e /tmp/good",
          "--health-interval", "100ms", busybox, "sh", "-c", "sleep 0.3; touch /tmp/good; sleep 1000")
    wait.until(lambda: atoll.inspect("healthy")["State"]["Health"]["Status"] == "healthy", "health")
    atoll("rm", "-f", "healthy")


def test_a_terminal(atoll, busybox):
    with atoll.terminal("run", "--rm", "-it", *SANDBOX, busybox, "sh", "-c",
                        "trap 'exit 5' INT; tty; until [ \"$(stty size)\" = '44 88' ];"
                        "do sleep 0.1; done; echo resized; while :; do sleep 0.1; done") as t:
        t.expect("/dev/", 60)
        t.resize(44, 88)
        t.expect("resized", 60)
        t.write(b"\x03")
        assert t.wait(60) == 5


def test_read_only_from_an_image(atoll, busybox):
    """Its root is the image's disk, which no process of the host serves."""
    r = atoll.try_("run", "--rm", "--read-only", *SANDBOX, busybox, "sh", "-c",
                   "grep ' / ' /proc/mounts; touch /x; touch /etc/hosts && echo writable")
    kind = r.out.split()[0:3]
    assert kind[1:] == ["/", "overlay"] and "writable" in r.out, str(r)
    assert "Read-only file system" in r.err


@pytest.mark.parametrize("args, says", [
    (["--pid", "host"], "share the host's pid"),
    (["--device", "/dev/kmsg"], "the host's device '/dev/kmsg'"),
    (["--privileged"], "--privileged"),
    (["-p", "8080:80"], "--publish"),
    (["--storage-opt", "size=1g"], "whose size has no limit"),
    (["-v", "/proc:/p"], "that is the host's kernel's"),
    (["-v", "/dev/null:/p"], "the host's device '/dev/null'"),
    (["-v", "/tmp:/p:rshared"], "come through '/p' (rshared)"),
])
def test_refused_by_name(atoll, busybox, args, says):
    atoll.fails("run", "--rm", *SANDBOX, *args, busybox, "true", rc=125, says=says)
    assert not atoll("ps", "-aq").out.replace(atoll("ps", "-q").out, "")


def in_tar(data):
    """Name to content, of what is a file."""
    tar = tarfile.open(fileobj=io.BytesIO(data))
    return {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}


def test_its_files_while_it_runs(atoll, box, volume, base):
    atoll("exec", "-u", "0", box, "sh", "-c", "echo made > /made; mkdir /there; ls /there")
    assert "A /made" in atoll("diff", box).out.splitlines()
    if tuple(map(int, os.uname().release.split(".")[:2])) < (6, 15):
        atoll.fails("cp", f"{box}:/made", "-", says="Linux 6.15")
        return
    (base / "given").write_text("given\n")
    atoll("cp", base / "given", f"{box}:/there/given")
    assert atoll("exec", box, "cat", "/there/given").out == "given\n"
    atoll("pause", box)
    try:
        assert in_tar(atoll("cp", f"{box}:/made", "-").raw) == {"made": b"made\n"}
    finally:
        atoll("unpause", box)
    # A volume is what is at its place, in both directions.
    atoll("cp", base / "given", f"{box}:/v/given")
    assert (volume / "given").read_text() == "given\n"
    assert in_tar(atoll("cp", f"{box}:/v", "-").raw)["v/given"] == b"given\n"
    r = atoll.try_("cp", base / "given", f"{box}:/ro/refused")
    assert r.rc and not (volume / "refused").exists(), str(r)


def test_users_of_an_exec_by_name(atoll, box):
    r = atoll("exec", "-u", "root", box, "sh", "-c", "id -u; echo $HOME")
    assert r.out == "0\n/root\n", str(r)
    atoll.fails("exec", "-u", "nosuch", box, "true", says="nosuch")


# ---- the network outside ----


@pytest.fixture(scope="module")
def out(build):
    """A namespace that is the host's network to who is started in it, and another side."""
    o = Outside(build, None)
    yield o
    o.close()


@pytest.fixture
def there(atoll, out):
    """atoll(...) by a caller in that namespace: what it gave."""
    def call(*args, rc=0):
        r = subprocess.run(out.own.argv(*atoll.argv("run", *SANDBOX, "--network", "host", *args)),
                           stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                           env=atoll.environment(), check=False)
        assert r.returncode == rc, r
        return r.stdout
    return call


def hearing(listener):
    """One connection is heard to its first bytes; gives what tells of them and who it was."""
    got = []

    def serve():
        s, peer = listener.accept()
        with s:
            got.append((s.recv(100), peer[0]))
    t = threading.Thread(target=serve)
    t.start()

    def heard():
        t.join()
        return got[0]
    return heard


def broker(id):
    return [p for p in of(id) if b"atoll-broker" in Path(f"/proc/{p}/cmdline").read_bytes()]


def test_a_client_in_the_hosts_network(there, busybox, out):
    """It reaches the other side; the host's loopback it does not, its own is another."""
    with out.listener() as l, out.own.inside(lambda: socket.create_server(("", 7001))):
        heard = hearing(l)
        said = there("--rm", busybox, "sh", "-c", f"echo hello | nc -w 5 {HOST4} {l.getsockname()[1]};"
                     "nc -w 5 127.0.0.1 7001 </dev/null; echo $?; cat /etc/resolv.conf; ip addr")
        assert heard() == (b"hello\n", OWN4)
    assert said.startswith("1\n") and OWN4 in said, said
    assert Path("/etc/resolv.conf").read_text(encoding="utf-8").strip() in said


def test_a_server_in_the_hosts_network(there, atoll, busybox, out):
    """At a port of its right; who serves its sockets has that right alone, and ends with it."""
    id = there("-d", "--name", "served", busybox, "httpd", "-f", "-p", "80", "-h", "/etc").strip()

    def page():
        return subprocess.run(out.host.argv("busybox", "wget", "-q", "-O", "-",
                                            f"http://{OWN4}/group"), capture_output=True,
                              text=True, timeout=60, check=False).stdout
    wait.until(lambda: "root:x:0:" in page(), "a page")
    serving, = broker(id)
    assert os.readlink(f"/proc/{serving}/ns/net") == os.readlink(out.own.path)
    assert caps(serving) == [1 << 10] * 3
    atoll("pause", "served")
    atoll("unpause", "served")
    assert "root:x:0:" in page()
    atoll("kill", "served")
    assert wait.until(lambda: not of(id), "no process is left")
    atoll("rm", "served")


def caps(pid):
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii").split()
    return [int(status[status.index(field) + 1], 16) for field in ("CapEff:", "CapPrm:", "CapBnd:")]


def test_a_broker_without_the_right_to_ports(there, atoll, busybox):
    id = there("-d", "--name", "low", "--cap-drop", "NET_BIND_SERVICE", busybox, "sleep",
               "1000").strip()
    wait.until(lambda: broker(id) and caps(*broker(id)) == [0, 0, 0], "its giving up")
    r = atoll.try_("exec", "low", "httpd", "-f", "-p", "80")
    assert r.rc != 0 and "Permission denied" in r.err, str(r)
    atoll("rm", "-f", "low")


def test_without_a_network_there_is_no_broker(atoll, busybox):
    id = atoll("run", "-d", "--name", "alone", *SANDBOX, "--network", "none", busybox, "sleep",
               "1000").line
    assert of(id) and not broker(id)
    assert atoll("exec", "alone", "ip", "-o", "link").out.count("mtu") == 1
    atoll("rm", "-f", "alone")


# ---- atoll-sandbox by hand ----


@pytest.fixture(scope="module")
def by_hand(build, base):
    """Calls atoll-runtime by its other name, with a state directory of its own."""
    link = base / "atoll-sandbox"
    link.symlink_to(build / "atoll-runtime")
    os.symlink(build / "atoll-sentry", base / "atoll-sentry")
    os.symlink(build / "atoll-device", base / "atoll-device")
    os.symlink(build / "atoll-broker", base / "atoll-broker")
    bundle = base / "hand"
    bundle.mkdir()
    sentry.tree(bundle / "rootfs")
    spaces = [{"type": t} for t in ("pid", "mount", "ipc", "uts", "network")]

    def call(*args, check=True, config=None, **kw):
        if config:
            (bundle / "config.json").write_text(json.dumps(config), encoding="utf-8")
        r = subprocess.run([link, "--root", base / "state", *args], capture_output=True, text=True,
                           timeout=60, check=False, **kw)
        assert not check or r.returncode == 0, r.stderr
        return r
    call.bundle = bundle
    call.config = lambda script, **kw: sentry.config(["sh", "-c", script], **{
        "linux_namespaces": spaces, "linux_cgroupsPath": "/atoll-test/hand", **kw})
    return call


def test_by_hand(by_hand, base):
    """create and start are calls of their own; the process outlives them and says how it ended."""
    pid_file, out = base / "pid", base / "out"
    with open(out, "wb") as f:
        subprocess.run([base / "atoll-sandbox", "--root", base / "state", "create", "--bundle",
                        by_hand.bundle, "--pid-file", pid_file, "h"], stdin=subprocess.DEVNULL,
                       stdout=f, stderr=f, timeout=60, check=by_hand.bundle.joinpath(
                           "config.json").write_text(json.dumps(by_hand.config(LOOP))) > 0)
    pid = int(pid_file.read_text(encoding="ascii"))
    state = json.loads(by_hand("state", "h").stdout)
    assert (state["status"], state["pid"]) == ("created", pid)
    assert out.read_bytes() == b""
    assert by_hand("exec", "h", "true", check=False).returncode != 0  # it was not started
    by_hand("start", "h")
    wait.until(lambda: out.read_bytes() == b"up\n", "its output")
    assert json.loads(by_hand("state", "h").stdout)["status"] == "running"
    r = by_hand("exec", "h", "sh", "-c", "echo $$ $PPID; exit 4", check=False)
    assert r.returncode == 4 and r.stdout.split()[1] == "0", r
    assert by_hand("exec", "h", "nosuch", check=False).returncode != 0
    by_hand("pause", "h")
    assert json.loads(by_hand("state", "h").stdout)["status"] == "paused"
    assert "paused" in by_hand("list").stdout
    by_hand("resume", "h")
    by_hand("kill", "h", "TERM")
    wait.until(lambda: not sentry.alive(pid), "its end")
    assert out.read_bytes() == b"up\ngot\n"
    assert json.loads(by_hand("state", "h").stdout)["status"] == "stopped"
    by_hand("delete", "h")
    assert by_hand("state", "h", check=False).returncode != 0


def test_by_hand_kept(by_hand, base):
    """checkpoint and restore: the same process goes on, and is refused what it cannot have."""
    images, out = base / "images", base / "out"
    call = lambda *args: subprocess.run([base / "atoll-sandbox", "--root", base / "state", *args], timeout=60,
                                        stdin=subprocess.DEVNULL, stdout=f, stderr=f, check=False).returncode
    with open(out, "wb") as f:
        by_hand.bundle.joinpath("config.json").write_text(json.dumps(by_hand.config(
            "n=0; while :; do n=$((n+1)); echo $n; sleep 0.05; done")))
        assert call("run", "-d", "--bundle", by_hand.bundle, "k") == 0
        wait.until(lambda: len(out.read_bytes().split()) > 3, "it counts")
        by_hand("checkpoint", "--leave-running", "--image-path", base / "first", "k")
        r = by_hand("checkpoint", "--pre-dump", "--image-path", base / "second", "k", check=False)
        assert r.returncode != 0 and "a sandbox's memory is written at once" in r.stderr, r
        by_hand("checkpoint", "--image-path", images, "k")
        assert by_hand("state", "k", check=False).returncode != 0
        before = len(out.read_bytes().split())
        assert call("restore", "-d", "--image-path", images, "--bundle", by_hand.bundle, "again") == 0, out.read_bytes()
        wait.until(lambda: len(out.read_bytes().split()) > before + 3, "it goes on")
    said = out.read_bytes().split()
    assert said == [b"%d" % (n + 1) for n in range(len(said))]
    assert json.loads(by_hand("state", "again").stdout)["status"] == "running"
    by_hand("delete", "--force", "again")


def test_by_hand_run(by_hand):
    r = by_hand("run", "--bundle", by_hand.bundle, "r", check=False,
                config=by_hand.config("cat; exit 6"), input="through\n")
    assert (r.returncode, r.stdout) == (6, "through\n"), r
    r = by_hand("run", "--bundle", by_hand.bundle, "r", check=False,
                config=by_hand.config("true", process_args=["nosuch"]))
    assert r.returncode != 0 and "executable file not found in $PATH" in r.stderr
    hook = {"createContainer": [{"path": "/bin/true"}]}
    r = by_hand("run", "--bundle", by_hand.bundle, "r", check=False,
                config=by_hand.config("true", hooks=hook))
    assert r.returncode != 0 and "createContainer" in r.stderr


def test_by_hand_in_a_network(by_hand, out):
    """A namespace by its path; what is none is refused, and so is one that is not there."""
    own = [{"type": t} for t in ("pid", "mount", "ipc", "uts")]

    def run(path, script):
        spaces = [*own, {"type": "network", "path": path}]
        return by_hand("run", "--bundle", by_hand.bundle, "n", check=False,
                       config=by_hand.config(script, linux_namespaces=spaces))
    with out.listener() as l:
        heard = hearing(l)
        r = run(out.own.path, f"echo hello | nc -w 5 {HOST4} {l.getsockname()[1]}")
        assert (heard(), r.returncode) == ((b"hello\n", OWN4), 0), r
    for path, why in (("/proc/self/ns/pid", "is not a network namespace"),
                      ("/nosuch", "namespace network at '/nosuch'")):
        r = run(path, "true")
        assert r.returncode != 0 and why in r.stderr, r
    assert wait.until(lambda: not of("/atoll-test/hand"), "no process is left")


def test_by_hand_a_crash_of_the_creator(by_hand, base):
    """What a killed `create` leaves `delete --force` clears away."""
    said = base / "hook-runs"
    hook = {"createRuntime": [{"path": "/bin/sh", "args": [
        "sh", "-c", f"touch {said}; while [ -e {said} ]; do sleep 0.1; done"]}]}
    (by_hand.bundle / "config.json").write_text(json.dumps(
        by_hand.config("true", hooks=hook)), encoding="utf-8")
    with subprocess.Popen([base / "atoll-sandbox", "--root", base / "state", "create", "--bundle",
                           by_hand.bundle, "k"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as p:
        wait.until(said.exists, "the hook")
        p.kill()
    said.unlink()
    by_hand("delete", "--force", "k")
    assert wait.until(lambda: not of("/atoll-test/hand"), "no process is left")
