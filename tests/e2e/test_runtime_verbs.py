# SPDX-License-Identifier: Apache-2.0
"""atoll-runtime: every verb and its flags, as podman, containerd and hands call them."""
import array
import fcntl
import json
import os
import signal
import socket
import subprocess
from collections import Counter
from itertools import count
from pathlib import Path

import pytest

from lib.killing import calls_of, strace_works
from lib.wait import until

ids = (f"atoll-verbs-{os.getpid()}-{n}" for n in count())


def said(path):
    """What a detached process wrote: the file once it is there and complete."""
    return until(lambda: path.exists() and path.read_text().endswith("\n") and path.read_text(),
                 f"{path} written")


# -- run

def test_run_prints_and_gives_the_exit_status(runtime, bundle, id):
    r = runtime.try_("run", "--bundle", bundle(["/bin/sh", "-c", "echo hello; echo no >&2; exit 7"]),
                     id)
    assert (r.rc, r.out, r.err) == (7, "hello\n", "no\n"), str(r)
    assert runtime("list", "-q").out == ""


def test_run_gives_128_and_the_signal(runtime, bundle, id):
    assert runtime.try_("run", "-b", bundle(["/bin/sh", "-c", "sh -c 'kill -9 $$'; exit $?"]), id).rc == 137


def test_run_reads_standard_input(runtime, bundle, id):
    assert runtime("run", "-b", bundle(["/bin/cat"]), id, input="to and fro\n").out == "to and fro\n"


def test_run_in_the_current_directory(runtime, bundle, id):
    assert runtime("run", id, cwd=bundle(["/bin/echo", "here"])).out == "here\n"


def test_run_with_another_config(runtime, bundle, id, base):
    b = bundle(["/bin/echo", "one"])
    other = base / "other.json"
    spec = json.loads((b / "config.json").read_text())
    spec["process"]["args"] = ["/bin/echo", "two"]
    other.write_text(json.dumps(spec))
    assert runtime("run", "-b", b, "--config", other, id).out == "two\n"


def test_run_keeps_when_asked(runtime, bundle, id):
    assert runtime.try_("run", "--keep", "-b", bundle(["/bin/false"]), id).rc == 1
    s = runtime.state(id)
    assert (s["status"], s["pid"]) == ("stopped", 0)
    runtime("delete", id)


def test_run_passes_signals_on(runtime, bundle, id):
    p = runtime.popen("run", "-b", bundle(
        ["/bin/sh", "-c", "trap 'echo got it; exit 3' TERM; echo ready; while :; do sleep 0.1; done"]),
        id)
    assert p.stdout.readline() == b"ready\n"
    p.send_signal(signal.SIGTERM)
    assert (p.wait(60), p.stdout.read()) == (3, b"got it\n")


def test_run_detached_goes_on_without_us(runtime, bundle, id, base):
    pid_file = base / "detached.pid"
    runtime.leave("run", "-d", "--pid-file", pid_file, "-b", bundle(["/bin/sleep", "1000"]), id)
    s = runtime.state(id)
    assert s["status"] == "running"
    assert int(pid_file.read_text()) == s["pid"]
    assert os.readlink(f"/proc/{s['pid']}/exe").endswith("busybox")


def test_pid_file_is_relative_to_the_caller(runtime, bundle, id, base):
    where = base / "pid-here"
    where.mkdir()
    runtime.leave("run", "-d", "--pid-file", "p", "-b", bundle(["/bin/sleep", "1000"]), id, cwd=where)
    assert int((where / "p").read_text()) == runtime.state(id)["pid"]


def test_command_that_is_not_there(runtime, bundle, id):
    runtime.fails("run", "-b", bundle(["no-such-command"]), id,
                  says="executable file not found in $PATH")
    runtime.fails("run", "-b", bundle(["/no/such"]), id, says="no such file or directory")
    runtime.fails("run", "-b", bundle(["/etc/passwd"]), id, says="permission denied")
    assert runtime("list", "-q").out == ""


def test_tty_is_a_terminal_inside(runtime, bundle, id):
    b = bundle(["/bin/sh", "-c", "tty; stty size; read x; echo got $x"], terminal=True)
    with runtime.terminal("run", "-b", b, id) as t:
        t.expect("/dev/")
        t.write("word\n")
        t.expect("got word")
        assert t.wait() == 0


def test_tty_detached_needs_a_socket(runtime, bundle, id):
    b = bundle(["/bin/true"], terminal=True)
    runtime.fails("run", "-d", "-b", b, id, says="without setting console socket")
    runtime.fails("run", "-d", "-b", bundle(), "--console-socket", "/nowhere", id,
                  says="cannot use console socket")


def receive_fd(listener):
    conn, _ = listener.accept()
    with conn:
        conn.settimeout(60)
        _, ancillary, _, _ = conn.recvmsg(256, socket.CMSG_SPACE(16))
    fds = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(data[:len(data) - len(data) % fds.itemsize])
    assert len(fds) == 1
    return fds[0]


@pytest.fixture
def unix(base):
    path = base / f"s{next(ids).rsplit('-', 1)[1]}"
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(path))
        s.listen()
        s.settimeout(60)
        yield s, path


def read_until(fd, wanted):
    got = b""
    while wanted not in got:
        got += os.read(fd, 4096)
    return got


def test_console_socket_gets_the_terminal(runtime, bundle, id, unix):
    sock, path = unix
    b = bundle(["/bin/sh", "-c", "read x; echo got $x"], terminal=True)
    runtime.leave("create", "--console-socket", path, "-b", b, id)
    fd = receive_fd(sock)
    assert os.isatty(fd)
    runtime("start", id)
    os.write(fd, b"this\n")
    read_until(fd, b"got this")
    os.close(fd)


def test_pidfd_socket(runtime, bundle, id, unix):
    sock, path = unix
    runtime.leave("create", "--pidfd-socket", path, "-b", bundle(["/bin/sleep", "1000"]), id)
    fd = receive_fd(sock)
    info = Path(f"/proc/self/fdinfo/{fd}").read_text()
    assert f"Pid:\t{runtime.state(id)['pid']}\n" in info
    os.close(fd)


def test_preserve_fds(runtime, bundle, id, base):
    f = open(base / "passed", "w+b")
    fd = fcntl.fcntl(f.fileno(), fcntl.F_DUPFD, 50)
    argv = runtime.argv("run", "--preserve-fds", "1", "-b",
                        bundle(["/bin/sh", "-c", "echo through >&3; ls /proc/self/fd"]), id)
    p = subprocess.run(["/bin/bash", "-c", f'exec "$@" 3>&{fd} {fd}>&-', "bash", *argv], pass_fds=[fd],
                       capture_output=True, timeout=120)
    os.close(fd)
    assert p.returncode == 0, p.stderr
    assert (base / "passed").read_text() == "through\n"
    assert str(fd) not in p.stdout.decode().split()
    f.close()


def test_preserved_fds_that_are_closed_stay_closed(runtime, bundle, id):
    """And nothing that the runtime itself has open by then takes their place."""
    out = runtime("run", "--preserve-fds", "20", "-b", bundle(["/bin/ls", "-l", "/proc/1/fd"]), id).out
    assert all(int(l.split(" -> ")[0].split()[-1]) < 3 for l in out.splitlines() if " -> " in l), out
    runtime.fails("run", "--preserve-fds", "x", "-b", bundle(), id, says="must be a number")


# -- create, start, state, kill, delete

def test_life(runtime, bundle, id, base):
    out = base / "life"
    b = bundle(["/bin/sh", "-c", "echo started > /out/life; exec sleep 1000"], change=lambda s:
               s["mounts"].append({"destination": "/out", "type": "bind", "source": str(base),
                                   "options": ["bind", "rw"]}))
    runtime.leave("create", "-b", b, id)
    s = runtime.state(id)
    assert s["status"] == "created" and s["pid"] > 0 and s["id"] == id
    assert s["bundle"] == str(b) and s["ociVersion"]
    assert not out.exists(), "nothing of the user's code may run before start"
    runtime("start", id)
    said(out)
    assert runtime.state(id)["status"] == "running"
    runtime.fails("start", id, says="cannot start an already running container")
    runtime.fails("delete", id, says="that is not stopped: running")
    runtime("kill", id, "KILL")
    until(lambda: runtime.state(id)["status"] == "stopped", "stopped")
    assert runtime.state(id)["pid"] == 0
    runtime.fails("kill", id, "KILL", says="container not running")
    runtime.fails("start", id, says="cannot start a container that has stopped")
    runtime.fails("exec", id, "true", rc=255, says="cannot exec in a stopped container")
    runtime("delete", id)
    runtime.fails("state", id, says="container does not exist")
    runtime.fails("delete", id, says="container does not exist")
    runtime("delete", "--force", id)


def test_delete_force_ends_a_created_one(runtime, bundle, id):
    runtime.leave("create", "-b", bundle(["/bin/sleep", "1000"]), id)
    pid = runtime.state(id)["pid"]
    runtime("delete", "--force", id)
    until(lambda: not Path(f"/proc/{pid}/cgroup").exists() or
          "Z" in Path(f"/proc/{pid}/stat").read_text(), "its process gone")
    assert runtime("list", "-q").out == ""


@pytest.mark.parametrize("name", ["TERM", "SIGTERM", "term", "15"])
def test_kill_knows_names_and_numbers(runtime, bundle, id, name):
    b = bundle(["/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done"])
    runtime.leave("run", "-d", "-b", b, id)
    pid = runtime.state(id)["pid"]
    until(lambda: int([l for l in Path(f"/proc/{pid}/status").read_text().splitlines()
                       if l.startswith("SigCgt")][0].split()[1], 16) & 1 << 14, "its trap set")
    runtime("kill", id, name)
    until(lambda: runtime.state(id)["status"] == "stopped", "ended by TERM")


def test_kill_refuses_nonsense(runtime, sleeper):
    for bad in ("NOSUCH", "65", "-1", ""):
        runtime.fails("kill", sleeper, "--", bad, says="unknown signal")
    assert runtime.state(sleeper)["status"] == "running"


def test_kill_all(runtime, bundle, id):
    runtime.leave("run", "-d", "-b", bundle(["/bin/sh", "-c", "sleep 1000 & sleep 1001 & wait"]), id)
    until(lambda: len(runtime("ps", "-f", "json", id).json) == 3, "three processes")
    runtime("kill", "--all", id, "KILL")
    until(lambda: runtime.state(id)["status"] == "stopped", "all ended")
    runtime("kill", "--all", id, "KILL")


def test_annotations_are_in_the_state(runtime, bundle, id):
    def change(s):
        s["annotations"] = {"org.example.a": "1", "b": "ü\n"}
    runtime.leave("create", "-b", bundle(change=change), id)
    assert runtime.state(id)["annotations"] == {"org.example.a": "1", "b": "ü\n"}


def test_an_id_is_used_once(runtime, bundle, sleeper):
    runtime.fails("create", "-b", bundle(), sleeper, says="already exists")
    assert runtime.state(sleeper)["status"] == "running"


@pytest.mark.parametrize("bad", ["", ".", "..", "a/b", "a b", "ä", "x" * 129, "a\nb", "a*"])
def test_ids_are_checked(runtime, bundle, bad):
    runtime.fails("create", "-b", bundle(), bad, rc=1)
    runtime.fails("state", bad, rc=1)
    runtime.fails("delete", bad, rc=1)


# -- exec

def test_exec(runtime, sleeper):
    r = runtime.try_("exec", sleeper, "/bin/sh", "-c", "echo out; echo err >&2; exit 9")
    assert (r.rc, r.out, r.err) == (9, "out\n", "err\n"), str(r)
    assert runtime("exec", sleeper, "hostname").out == "atoll\n"
    assert runtime("exec", sleeper, "cat", input="in").out == "in"


def test_exec_flags(runtime, sleeper):
    out = runtime("exec", "--cwd", "/tmp", "-e", "A=b c", "--env", "PATH=/bin:/none", "-u", "1000:50",
                  "-g", "77", sleeper, "sh", "-c", "pwd; echo $A $PATH; id -u; id -g; id -G").out
    assert out.split("\n")[:4] == ["/tmp", "b c /bin:/none", "1000", "50"]
    assert "77" in out.split("\n")[4].split()


def test_exec_refuses_a_user_that_is_no_number(runtime, sleeper):
    for bad in ("1x", "x", "1:", ":1", "-1", "4294967296", "1:2:3"):
        runtime.fails("exec", "--user", bad, sleeper, "true", rc=255, says="--user")


def test_exec_capabilities(runtime, bundle, id):
    def change(s):
        s["process"]["capabilities"] = {k: ["CAP_KILL"] for k in ("bounding", "effective",
                                                                  "permitted")}
    runtime.leave("run", "-d", "-b", bundle(["/bin/sleep", "1000"], change), id)

    def effective(*flags):
        return int(runtime("exec", *flags, id, "sh", "-c", "grep CapEff /proc/self/status").out
                   .split()[1], 16)
    assert effective() == 1 << 5
    assert effective("--cap", "CAP_NET_RAW") == 1 << 5 | 1 << 13
    runtime.fails("exec", "--cap", "CAP_NONE", id, "true", rc=255, says="no such capability")


def test_exec_process_file(runtime, sleeper, base):
    f = base / "process.json"
    f.write_text(json.dumps({"cwd": "/usr", "args": ["sh", "-c", "pwd; echo $X"],
                             "env": ["X=y", "PATH=/bin"], "user": {"uid": 0, "gid": 0}}))
    assert runtime("exec", "-p", f, sleeper).out == "/usr\ny\n"
    f.write_text('{"cwd": "/", "args": []}')
    runtime.fails("exec", "-p", f, sleeper, rc=255)
    f.write_text('{"cwd": ')
    runtime.fails("exec", "-p", f, sleeper, rc=255, says="process.json")


def test_exec_detached(runtime, sleeper, base):
    pid_file = base / "exec.pid"
    runtime.leave("exec", "-d", "--pid-file", pid_file, sleeper, "sleep", "500")
    pid = int(pid_file.read_text())
    assert pid in runtime("ps", "--format", "json", sleeper).json
    assert Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\0" b"500\0"


def test_exec_tty(runtime, sleeper, unix):
    with runtime.terminal("exec", "-t", sleeper, "sh", "-c", "tty && read x && echo got $x") as t:
        t.expect("/dev/")
        t.write("it\n")
        t.expect("got it")
        assert t.wait() == 0
    sock, path = unix
    runtime.leave("exec", "-t", "-d", "--console-socket", path, sleeper, "sh", "-c", "echo hi; read x")
    fd = receive_fd(sock)
    read_until(fd, b"hi")
    os.close(fd)


def test_exec_failures(runtime, sleeper):
    runtime.fails("exec", sleeper, "no-such", rc=255, says="executable file not found in $PATH")
    runtime.fails("exec", sleeper, "/etc/passwd", rc=255, says="permission denied")
    runtime.fails("exec", "--cwd", "/nowhere", sleeper, "true", rc=255, says="/nowhere")
    runtime.fails("exec", sleeper, rc=255, says="process args cannot be empty")


def test_exec_is_in_all_namespaces_and_cgroups(runtime, sleeper):
    pid = runtime.state(sleeper)["pid"]
    inside = runtime("exec", sleeper, "sh", "-c",
                     "for n in mnt pid net ipc uts cgroup; do readlink /proc/self/ns/$n; done; "
                     "cat /proc/self/cgroup").out
    for ns in ("mnt", "pid", "net", "ipc", "uts", "cgroup"):
        assert os.readlink(f"/proc/{pid}/ns/{ns}") in inside
    assert all(l.endswith(":/") for l in inside.splitlines() if l[0].isdigit()), inside


def test_exec_is_filtered_as_the_container_is(runtime, bundle, id, base):
    def change(s):
        s["linux"]["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO",
                          "errnoRet": 28}]}
    runtime.leave("run", "-d", "-b", bundle(["/bin/sleep", "1000"], change), id)
    f = base / "filtered.json"
    f.write_text(json.dumps({"cwd": "/", "args": ["mkdir", "/tmp/x"], "env": ["PATH=/bin"],
                             "user": {"uid": 0, "gid": 0}}))
    for how in (["-p", f, id], [id, "mkdir", "/tmp/x"]):
        r = runtime.try_("exec", *how)
        assert r.rc == 1 and "No space left on device" in r.err, str(r)


# -- pause, resume, ps, list, events

def test_pause_and_resume(runtime, sleeper):
    runtime("pause", sleeper)
    assert runtime.state(sleeper)["status"] == "paused"
    runtime.fails("pause", sleeper, says="is paused")
    runtime.fails("exec", sleeper, "true", rc=255, says="cannot exec in a paused container")
    runtime("resume", sleeper)
    assert runtime.state(sleeper)["status"] == "running"
    runtime.fails("resume", sleeper, says="container not paused")
    runtime("exec", sleeper, "true")


def test_a_paused_one_is_killed(runtime, sleeper):
    runtime("pause", sleeper)
    runtime("kill", sleeper, "KILL")
    until(lambda: runtime.state(sleeper)["status"] == "stopped", "stopped")


def test_a_paused_one_is_deleted_by_force(runtime, sleeper):
    runtime("pause", sleeper)
    runtime.fails("delete", sleeper, says="not stopped: paused")
    runtime("delete", "-f", sleeper)
    assert runtime("list", "-q").out == ""


def test_ps(runtime, sleeper):
    pid = runtime.state(sleeper)["pid"]
    assert runtime("ps", "-f", "json", sleeper).json == [pid]
    if Path("/bin/ps").exists():
        table = runtime("ps", sleeper).out.splitlines()
        assert len(table) == 2 and str(pid) in table[1].split() and "PID" in table[0]
        assert "sleep 1000" in runtime("ps", sleeper, "-o", "pid,args").out
    runtime.fails("ps", "-f", "xml", sleeper, says="invalid format")


def test_list(runtime, sleeper, bundle):
    second = next(ids)
    runtime.leave("create", "-b", bundle(), second)
    try:
        assert runtime("list", "-q").out.split() == sorted([sleeper, second])
        table = runtime("list").out.splitlines()
        assert table[0].split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
        rows = {r.split()[0]: r.split() for r in table[1:]}
        assert rows[sleeper][2] == "running" and rows[second][2] == "created"
        assert rows[sleeper][5] == "root"
        listed = {c["id"]: c for c in runtime("list", "--format", "json").json}
        assert listed[sleeper]["pid"] == runtime.state(sleeper)["pid"]
        assert listed[second]["status"] == "created"
    finally:
        runtime("delete", "-f", second)
    runtime.fails("list", "--format", "xml", says="invalid format option")


def test_list_and_state_of_what_its_words_could_mislead(runtime, bundle, base, id):
    odd = base / "a bundle  with 7 spaces 0 and\tmore"
    Path(bundle(["/bin/sleep", "1000"], lambda s: s.update(
        ociVersion="1.0.2", annotations={"a b": "c \" d"}))).rename(odd)
    runtime.leave("create", "-b", odd, id)
    try:
        for status in "created", "running":
            row = next(r for r in runtime("list").out.splitlines() if r.startswith(id))
            assert f"  {status}  " in row and f" {odd} " in row
            one = next(c for c in runtime("list", "-f", "json").json if c["id"] == id)
            state = runtime.state(id)
            for said in one, state:
                assert said["bundle"] == str(odd) and said["annotations"] == {"a b": "c \" d"}
                assert said["ociVersion"] == "1.0.2" and said["status"] == status
            assert one["owner"] == "root" and one["rootfs"] == state["rootfs"]
            assert one["created"] == state["created"]
            if status == "created":
                runtime.leave("start", id)
    finally:
        runtime("delete", "-f", id)


def test_list_reads_little_of_each(runtime, bundle):
    if not strace_works():
        pytest.skip("strace cannot trace here")
    where, names = bundle(["/bin/sleep", "1000"]), [next(ids) for _ in range(6)]
    for name in names[:2]:
        runtime.leave("run", "-d", "-b", where, name)
    few = Counter(calls_of(runtime, "list"))
    try:
        for name in names[2:]:
            runtime.leave("run", "-d", "-b", where, name)
        more = Counter(calls_of(runtime, "list"))
        each = {c: (n - few[c]) / 4 for c, n in more.items()}
        # Its record, its process, and whether it is frozen: by v1, by v2, or on hybrids by both.
        assert each["openat"] + each.get("open", 0) <= 3 and each["pidfd_open"] == 1, each
        assert sum(each.values()) <= 15, each
    finally:
        for name in names:
            runtime("delete", "-f", name)


def test_list_without_any(build, base):
    from lib.run import Runtime
    r = Runtime(build, base / "nothing-here")
    r.fails("list", says="(--root): No such file or directory")
    r.state_dir.mkdir(parents=True)
    assert r("list", "-q").out == ""
    assert r("list", "-f", "json").out.strip() == "null"
    assert len(r("list").out.splitlines()) == 1


def test_events_stats(runtime, sleeper):
    e = runtime("events", "--stats", sleeper).json
    assert e["type"] == "stats" and e["id"] == sleeper
    assert e["data"]["pids"]["current"] == 1
    assert e["data"]["memory"]["usage"]["usage"] > 0
    assert e["data"]["cpu"]["usage"]["total"] > 0


def test_events_follows_until_the_end(runtime, sleeper):
    p = runtime.popen("events", "--interval", "20ms", sleeper)
    for _ in range(3):
        assert json.loads(p.stdout.readline())["type"] == "stats"
    runtime("kill", sleeper, "KILL")
    assert p.wait(60) == 0
    runtime.fails("events", "--interval", "0s", sleeper, says="duration interval")


# -- the rest of the command line

def test_features(runtime):
    f = runtime("features").json
    assert f["ociVersionMax"].startswith("1.") and "createRuntime" in f["hooks"]
    assert "time" in f["linux"]["namespaces"] and "CAP_SYS_ADMIN" in f["linux"]["capabilities"]
    assert "rbind" in f["mountOptions"] and f["linux"]["seccomp"]["enabled"]
    assert f["linux"]["cgroup"]["systemd"] is True


def test_spec_makes_a_bundle_that_runs(runtime, rootfs, id, base):
    b = base / "from-spec"
    b.mkdir()
    (b / "rootfs").symlink_to(rootfs)
    runtime("spec", "-b", b)
    spec = json.loads((b / "config.json").read_text())
    assert spec["process"]["terminal"] is True
    spec["process"].update(terminal=False, args=["sh", "-c", "echo from spec; cat /proc/self/status"])
    spec["root"]["path"] = str(rootfs)
    (b / "config.json").write_text(json.dumps(spec))
    out = runtime("run", "-b", b, id).out
    assert out.startswith("from spec\n") and "NoNewPrivs:\t1" in out
    runtime.fails("spec", "-b", b, says="exists")
    runtime("spec", "--rootless", cwd=base)
    assert json.loads((base / "config.json").read_text())["linux"]["uidMappings"][0]["size"] == 1


def test_version(runtime):
    out = runtime("--version").out
    assert out.splitlines()[0].startswith("atoll-runtime version ")
    assert any(l.startswith("spec: 1.") for l in out.splitlines())


def test_help(runtime):
    out = runtime("--help").out
    for verb in ("create", "run", "exec", "events", "update", "features"):
        assert f"   {verb} " in out
        text = runtime(verb, "--help").out
        assert text.splitlines()[1].startswith(f"   atoll-runtime {verb} - ")
        assert f"\nUsage: atoll-runtime [OPTION...] {verb}" in text
        assert runtime("help", verb).out == text


def test_named_after_what_it_stands_for(runtime, base):
    """Installed in the place of another runtime it answers as that: callers look for the name."""
    runc = base / "runc"
    runc.symlink_to(runtime.path)
    out = subprocess.run([runc, "--version"], capture_output=True, check=True, text=True).stdout
    assert out.startswith("runc version ")
    out = subprocess.run([runc, "exec", "-h"], capture_output=True, check=True, text=True).stdout
    assert out.startswith("NAME:\n   runc exec - ")


def test_unknown_words(runtime):
    runtime.fails("--no-such", "list", says="flag provided but not defined")
    runtime.fails("list", "--formt", "json", says="did you mean '--format'")
    runtime.fails("strat", "x", says="did you mean 'start'")
    runtime.fails("strat", "-h", says="No help topic for 'strat'")
    runtime.fails("state", says="requires exactly 1 argument")
    runtime.fails("state", "a", "b", says="requires")
    runtime.fails("list", "--format", says="flag needs an argument")


def test_log_as_json(runtime, base):
    log = base / "log.json"
    r = runtime.fails("--log", log, "--log-format", "json", "start", "nobody-here")
    last = json.loads(log.read_text().splitlines()[-1])
    assert last["level"] == "error" and "does not exist" in last["msg"] and last["time"]
    assert "does not exist" in r.err
    runtime.fails("--log-format", "xml", "list", says="invalid log-format")
    runtime("--debug", "--log", log, "list")
    assert "level=debug" in log.read_text()


def test_rootless_is_checked(runtime):
    runtime.fails("--rootless", "maybe", "list", says="--rootless")


def test_no_descriptor_leaks_into_the_container(runtime, bundle, sleeper):
    inside = runtime("run", "-b", bundle(["/bin/sh", "-c", "ls /proc/self/fd"]), next(ids)).out.split()
    assert set(inside) <= {"0", "1", "2", "3"}, inside  # 3 is ls's own
    inside = runtime("exec", sleeper, "ls", "/proc/self/fd").out.split()
    assert set(inside) <= {"0", "1", "2", "3"}, inside
