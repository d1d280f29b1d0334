# SPDX-License-Identifier: Apache-2.0
"""
atoll-runtime: what callers of runc and crun rely on beyond the specification: wording that is
looked for, defaults, annotations, options of either.
"""
import json
import os
import socket
import subprocess

import pytest

from lib.wait import until

def runs(pid):
    """A process that has ended may wait to be reaped."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def status_of(text, field):
    return next(l.split(":", 1)[1].strip() for l in text.splitlines() if l.startswith(field + ":"))


# -- several at once

def test_delete_and_kill_by_expression(runtime, bundle):
    stem = f"atoll-callers-{os.getpid()}-re"
    for end in ("a1", "a2", "b1"):
        runtime.leave("run", "-d", "-b", bundle(["/bin/sleep", "1000"]), f"{stem}-{end}")
    try:
        runtime("kill", "--regex", f"{stem}-a[0-9]$", "KILL")
        for end in ("a1", "a2"):
            until(lambda: runtime.state(f"{stem}-{end}")["status"] == "stopped", "its end")
        assert runtime.state(f"{stem}-b1")["status"] == "running"
        runtime.fails("delete", "--regex", f"^{stem}-", says=f"{stem}-b1 that is not stopped")
        assert runtime("list", "-q").out.split() == [f"{stem}-b1"]
        runtime("delete", "--force", "--regex", f"^{stem}-")
        assert runtime("list", "-q").out == ""
        runtime("delete", "--regex", "matches-nothing")
        runtime.fails("delete", "--regex", "*(", says="--regex")
    finally:
        runtime("delete", "--force", "--regex", f"^{stem}-")


def test_kill_ends_all_of_a_shared_pid_namespace(runtime, bundle, id):
    """Also what is left when the init went first; signal 0 asks, and -a asks of what has ended."""
    def host_pids(spec):
        spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"] if n["type"] != "pid"]

    args = ["/bin/sh", "-c", "for i in 1 2 3; do sleep 1000 & done; exec sleep 1000"]
    for init_first in (False, True):
        runtime.leave("run", "-d", "-b", bundle(args, host_pids), id)
        until(lambda: len(runtime("ps", "-f", "json", id).json) == 4, "four processes")
        pids = runtime("ps", "-f", "json", id).json
        runtime("kill", id, "0")
        if init_first:
            os.kill(runtime.state(id)["pid"], 9)
            until(lambda: runtime.state(id)["status"] == "stopped", "its init's end")
        runtime("kill", id, "KILL")
        until(lambda: not any(runs(p) for p in pids), "the end of all")
        runtime.fails("kill", id, "0", says="container not running")
        runtime("kill", "-a", id, "0")
        runtime("delete", id)


def test_a_created_one_heeds_signals(runtime, bundle, id):
    """Number 1 of a pid namespace would ignore them."""
    runtime.leave("create", "-b", bundle(), id)
    runtime("kill", id, "TERM")
    until(lambda: runtime.state(id)["status"] == "stopped", "its end")
    runtime("delete", id)


def test_delete_of_what_somebody_else_froze(runtime, sleeper):
    freezer = "/sys/fs/cgroup/freezer"
    if not os.path.isdir(freezer):
        pytest.skip("no v1 freezer here")
    theirs = f"{freezer}/{sleeper}-frozen"
    os.mkdir(theirs)
    try:
        with open(f"{theirs}/cgroup.procs", "w", encoding="ascii") as f:
            f.write(str(runtime.state(sleeper)["pid"]))
        with open(f"{theirs}/freezer.state", "w", encoding="ascii") as f:
            f.write("FROZEN")
        runtime("delete", "-f", sleeper)
    finally:
        with open(f"{theirs}/freezer.state", "w", encoding="ascii") as f:
            f.write("THAWED")
        os.rmdir(theirs)


# -- without cgroups

def test_cgroup_manager_disabled(runtime, bundle, id):
    """It stays where its caller is, and what needs a cgroup says so."""
    def plain(spec):
        spec["linux"].pop("resources", None)

    own = open("/proc/self/cgroup", encoding="ascii").read()
    b = bundle(["/bin/sleep", "1000"], plain)
    runtime.leave("--cgroup-manager", "disabled", "run", "-d", "-b", b, id)
    pid = runtime.state(id)["pid"]
    assert open(f"/proc/{pid}/cgroup", encoding="ascii").read() == own
    assert runtime("exec", id, "echo", "in").out == "in\n"
    runtime.fails("pause", id, says="cgroup")
    runtime("kill", "--all", id, "KILL")
    until(lambda: runtime.state(id)["status"] == "stopped", "its end")
    runtime("delete", id)

    def limited(spec):
        spec["linux"]["resources"] = {"pids": {"limit": 5}}

    runtime.fails("--cgroup-manager", "disabled", "run", "-b", bundle(["/bin/true"], limited), id,
                  says="linux.resources")


# -- processes

def test_all_processors_whatever_the_callers(runtime, bundle, id):
    """A caller bound to one processor does not bind what it starts."""
    cpus = os.sched_getaffinity(0)
    if len(cpus) < 2:
        pytest.skip("one processor")
    one = {min(cpus)}
    both = ["/bin/grep", "Cpus_allowed_list", "/proc/self/status"]
    free = runtime("run", "-b", bundle(both), id).out
    bound = runtime("run", "-b", bundle(both), id, preexec_fn=lambda: os.sched_setaffinity(0, one))
    assert bound.out == free
    runtime.leave("run", "-d", "-b", bundle(["/bin/sleep", "1000"]), id)
    got = runtime("exec", id, *both, preexec_fn=lambda: os.sched_setaffinity(0, one)).out
    assert got == free


def test_the_callers_groups_by_annotation(runtime, bundle, id):
    def keep(spec):
        spec["annotations"] = {"run.oci.keep_original_groups": "1"}

    def run(change):
        return status_of(runtime("run", "-b", bundle(["/bin/cat", "/proc/self/status"], change), id,
                                 extra_groups=[7, 8]).out, "Groups")

    assert run(keep).split() == ["7", "8"]
    assert run(None).split() == []


def test_nothing_of_the_host_is_open_while_it_waits(runtime, bundle, id, base):
    """Between create and start the init holds its streams and sockets, and no file or directory."""
    with open(base / "secret", "w", encoding="ascii") as f:
        os.set_inheritable(f.fileno(), True)
        runtime.leave("create", "-b", bundle(), id, close_fds=False)
    pid = runtime.state(id)["pid"]
    for fd in os.listdir(f"/proc/{pid}/fd"):
        if int(fd) > 2:
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
            assert target.startswith(("socket:", "anon_inode:")), (fd, target)
    runtime("start", id)


def test_ambient_that_cannot_be_is_told(runtime, bundle, id):
    def change(spec):
        spec["process"]["capabilities"] = {
            "bounding": ["CAP_KILL", "CAP_CHOWN"], "permitted": ["CAP_KILL", "CAP_CHOWN"],
            "effective": ["CAP_KILL"], "inheritable": ["CAP_KILL"],
            "ambient": ["CAP_KILL", "CAP_CHOWN"]}

    r = runtime("run", "-b", bundle(["/bin/cat", "/proc/self/status"], change), id)
    assert "can't raise ambient capability CAP_CHOWN: " in r.err
    assert "CAP_KILL" not in r.err
    assert int(status_of(r.out, "CapAmb"), 16) == 1 << 5


def test_unknown_system_calls_by_annotation(runtime, bundle, id):
    """A rule for what nobody knows is left out, unless it shall not be."""
    def change(value):
        def f(spec):
            spec["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                {"names": ["no_such_call"], "action": "SCMP_ACT_ERRNO"}]}
            spec["annotations"] = {"run.oci.seccomp_fail_unknown_syscall": value}
        return f

    runtime("run", "-b", bundle(["/bin/true"], change("0")), id)
    runtime.fails("run", "-b", bundle(["/bin/true"], change("1")), id, says="'no_such_call'")


@pytest.mark.parametrize("key, value, says", [
    ("run.oci.handler", "krun", "not supported"), ("run.oci.seccomp_bpf_data", "AAAA", "not supported"),
    ("run.oci.mount_context_type", "nonsense", "none of context"), ("run.oci.handler", "", None)])
def test_annotations_that_are_not_served(runtime, bundle, id, key, value, says):
    """A workload that was to run behind another wall is not run without it."""
    b = bundle(["/bin/true"], lambda spec: spec.update(annotations={key: value}))
    if says:
        r = runtime.fails("run", "-b", b, id, says=says)
        assert key in r.err
    else:
        runtime("run", "-b", b, id)


def test_pidfd_by_annotation(runtime, bundle, id, base):
    at = base / "pidfd.sock"
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(at))
        s.listen()
        s.settimeout(60)

        def change(spec):
            spec["annotations"] = {"run.oci.pidfd_receiver": str(at)}

        runtime.leave("create", "-b", bundle(["/bin/sleep", "1000"], change), id)
        with s.accept()[0] as c:
            _, fds, _, _ = socket.recv_fds(c, 100, 1)
    info = open(f"/proc/self/fdinfo/{fds[0]}", encoding="ascii").read()
    os.close(fds[0])
    assert f"\nPid:\t{runtime.state(id)['pid']}\n" in info


def test_features_name_the_annotations_that_reach_out(runtime):
    """Callers that pass annotations of strangers on leave these out."""
    unsafe = runtime("features").json["potentiallyUnsafeConfigAnnotations"]
    assert {"run.oci.hooks.stdout", "org.systemd.property.", "org.criu.config"} <= set(unsafe)


def test_streams_belong_to_the_user_and_its_group(runtime, bundle, id):
    args = ["/bin/stat", "-L", "-c", "%u:%g", "/proc/self/fd/1"]
    out = runtime("run", "-b", bundle(args, user={"uid": 1234, "gid": 2345}), id).out
    assert out == "1234:2345\n"


def test_exec_has_the_containers_personality(runtime, bundle, id):
    def change(spec):
        spec["linux"]["personality"] = {"domain": "LINUX32"}

    runtime.leave("run", "-d", "-b", bundle(["/bin/sleep", "1000"], change), id)
    assert runtime("exec", id, "uname", "-m").out.strip() == "i686"


def test_exec_affinity_is_told(runtime, sleeper):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one processor")
    cpu = max(os.sched_getaffinity(0))
    process = json.dumps({"cwd": "/", "args": ["/bin/grep", "Cpus_allowed_list", "/proc/self/status"],
                          "user": {"uid": 0, "gid": 0},
                          "execCPUAffinity": {"initial": str(cpu), "final": str(cpu)}})
    r = runtime("--debug", "exec", "--process", "/dev/stdin", sleeper, input=process)
    assert f"nsexec: affinity: {hex(1 << cpu)}" in r.err
    assert r.out.split()[-1] == str(cpu)


# -- exec into a cgroup below

def test_exec_into_a_cgroup_below(runtime, sleeper):
    runtime.fails("exec", "--cgroup", "..", sleeper, "true",
                  says="bad sub cgroup path: .. is not a sub cgroup path")  # runc's words, new and old
    runtime.fails("exec", "--cgroup", "a/../..", sleeper, "true", says="`..` components are not allowed")
    runtime.fails("exec", "--cgroup", "none", sleeper, "true",
                  says="/none/cgroup.procs: no such file or directory")
    pid = runtime.state(sleeper)["pid"]
    lines = [l.split(":", 2) for l in open(f"/proc/{pid}/cgroup", encoding="ascii").read().split()]
    assert lines, "it has cgroups"
    if any(l[1] for l in lines):
        runtime.fails("exec", "--cgroup", "nosuch:/", sleeper, "true", says="unknown controller ")
        runtime.fails("exec", "--cgroup", "pids:none", sleeper, "true", says="no such file")
        path = next(l[2] for l in lines if l[1] == "pids")
        top = f"/sys/fs/cgroup/pids{path}"
    else:
        path = lines[0][2]
        top = f"/sys/fs/cgroup{path}"
    os.mkdir(f"{top}/below")
    try:
        out = runtime("exec", "--cgroup", "below", sleeper, "cat", "/proc/self/cgroup").out
        assert out.count("/below\n") == 1
        out = runtime("exec", "--cgroup", "/", sleeper, "cat", "/proc/self/cgroup").out
        assert "/below\n" not in out
    finally:
        os.rmdir(f"{top}/below")


# -- config.json

def test_a_user_namespace_without_mappings(runtime, bundle, id):
    def change(spec):
        spec["linux"]["namespaces"].append({"type": "user"})

    out = runtime("run", "-b", bundle(["/bin/cat", "/proc/self/uid_map"], change), id).out.split()
    assert out[:2] == ["0", "0"]
    assert out[2] == open("/proc/self/uid_map", encoding="ascii").read().split()[2]


def test_a_domain_name_said_twice(runtime, bundle, id):
    def change(value):
        def f(spec):
            spec["domainname"] = "example"
            spec["linux"]["sysctl"] = {"kernel.domainname": value}
        return f

    out = runtime("run", "-b", bundle(["/bin/cat", "/proc/sys/kernel/domainname"],
                                      change("example")), id).out
    assert out == "example\n"
    runtime.fails("run", "-b", bundle(["/bin/true"], change("other")), id, says="conflicts")


@pytest.mark.parametrize("fields, says", [
    ({}, "requires `runtime`"),
    ({"runtime": 2000}, "requires `deadline`"),
    ({"runtime": 0, "deadline": 2000}, "must be greater than 0"),
    ({"runtime": 1023, "deadline": 2000}, "must be between 1024 and "),
    ({"runtime": 2001, "deadline": 2000}, "must be <= deadline 2000"),
    ({"runtime": 2000, "deadline": 3000, "period": 2999}, "must be <= period 2999"),
])
def test_a_deadline_that_cannot_be(runtime, bundle, id, fields, says):
    scheduler = {"policy": "SCHED_DEADLINE", **fields}
    runtime.fails("run", "-b", bundle(scheduler=scheduler), id, says=says)


def test_a_device_made_for_a_user_namespace(runtime, bundle, id):
    """Not there on the host, of an owner inside, and usable: a loop of /dev/full under another name."""
    def change(spec):
        spec["linux"]["namespaces"].append({"type": "user"})
        full = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        spec["linux"].update(uidMappings=full, gidMappings=full, devices=[
            {"path": "/dev/brimming/", "type": "c", "major": 1, "minor": 7, "uid": 10, "gid": 11,
             "fileMode": 0o640}])

    b = bundle(["/bin/sh", "-c", "stat -c '%u:%g %a %t,%T' /dev/brimming; echo x > /dev/brimming"],
               change)
    r = runtime.try_("run", "-b", b, id)
    assert r.out == "10:11 640 1,7\n", str(r)
    assert "No space left" in r.err, str(r)


# -- mounts of a running container

@pytest.mark.parametrize("users", [False, True])
def test_mounts_come_and_go(runtime, bundle, id, base, users):
    def change(spec):
        spec["mounts"].append({"destination": "/run", "type": "tmpfs", "source": "tmpfs"})
        if users:
            full = [{"containerID": 0, "hostID": 100000, "size": 65536}]
            spec["linux"]["namespaces"].append({"type": "user"})
            spec["linux"].update(uidMappings=full, gidMappings=full)

    source = base / f"live-{id}"
    source.mkdir()
    (source / "word").write_text("came\n")
    mounts = [{"destination": "/run/bound", "type": "bind", "source": str(source),
               "options": ["bind", "ro"]},
              {"destination": "/run/bound-file", "type": "bind", "source": str(source / "word"),
               "options": ["bind"]},
              {"destination": "/run/small", "type": "tmpfs", "source": "tmpfs",
               "options": ["size=64k", "noexec"]}]
    file = base / f"live-{id}.json"
    file.write_text(json.dumps(mounts))
    runtime.leave("run", "-d", "-b", bundle(["/bin/sleep", "1000"], change), id)
    runtime("mounts", "add", id, file)
    seen = runtime("exec", id, "sh", "-c", "cat /run/bound/word /run/bound-file; touch /run/bound/x; "
                   "touch /run/small/y && stat -c %u /run/small/y; grep /run/ /proc/mounts; true").out
    assert seen.startswith("came\ncame\n0\n")
    assert "/run/small tmpfs rw,noexec" in seen and "size=64k" in seen
    assert not (source / "x").exists()
    with open("/proc/self/mountinfo", encoding="ascii") as f:
        assert str(source) not in f.read()
    runtime("mounts", "remove", id, "-", input=file.read_text())
    assert runtime("exec", id, "sh", "-c", "grep /run/ /proc/mounts; ls /run/bound").out == ""
    runtime.fails("mounts", "remove", id, file, says="nothing is mounted")
    runtime.fails("mounts", "swap", id, file, says="must be add or remove")
    file.write_text('[{"destination": "/proc/1/status", "type": "bind", "source": "/etc/hostname", '
                    '"options": ["bind"]}]')
    runtime.fails("mounts", "add", id, file, says="inside /proc")


# -- words

def test_ids(runtime, bundle):
    r = runtime.fails("run", "-b", bundle(), "a/b", says="invalid character '/'")
    assert "container ID" in r.err
    for bad in (".", "..", "a b"):
        runtime.fails("run", "-b", bundle(), bad, says="invalid container ID format")


def test_debug(runtime, bundle, id, base):
    r = runtime("--debug", "run", "-b", bundle(), id)
    for word in ("level=debug", "nsexec container setup", "child process in init()",
                 "init: closing the pipe to signal completion"):
        assert word in r.err
    log = base / "debug.log"
    r = runtime("--debug", "--log", log, "--log-format", "json", "run", "-b", bundle(), id)
    assert r.err == ""
    assert {json.loads(l)["level"] for l in log.read_text().splitlines()} == {"debug"}


@pytest.mark.parametrize("kind, path, begins", [
    ("syslog", "/dev/log", "<27>me["), ("journald", "/run/systemd/journal/socket", "MESSAGE=")])
def test_log_to_the_systems_own(runtime, base, kind, path, begins):
    """In a mount namespace where the socket is the test's."""
    at = base / f"{kind}.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(str(at))
        s.settimeout(60)
        top = "/" + path.split("/")[1]
        script = (f"exec 9<{at.parent}; mount -t tmpfs tmpfs {top} && mkdir -p {os.path.dirname(path)} && "
                  f"touch {path} && mount --bind /proc/self/fd/9/{at.name} {path} && shift && "
                  'exec "$0" --root /proc/self/fd/9/none "$@"')
        p = subprocess.run(["unshare", "-m", "sh", "-c", script, runtime.path, "x", "--log",
                            f"{kind}:me", "state", "nobody"], capture_output=True, text=True,
                           check=False)
        assert p.returncode == 1 and "container does not exist" in p.stderr, p
        text = s.recv(4096).decode()
    assert text.startswith(begins) and "container does not exist" in text, text
    if kind == "journald":
        assert "\nPRIORITY=3\nSYSLOG_IDENTIFIER=me\n" in text
    r = runtime.fails("--log", f"file:{base}/said", "state", "nobody", says="does not exist")
    assert r.rc == 1 and "level=error" in (base / "said").read_text()


def test_specification_as_callers_of_runc_extend_it(runtime, base):
    """They add a cgroup namespace on cgroup v1, where none may be there before."""
    d = base / "spec"
    d.mkdir()
    runtime("spec", "-b", d)
    types = [n["type"] for n in json.loads((d / "config.json").read_text())["linux"]["namespaces"]]
    v2 = subprocess.run(["stat", "-f", "-c", "%T", "/sys/fs/cgroup"], capture_output=True,
                        check=True, text=True).stdout.strip() == "cgroup2fs"
    assert ("cgroup" in types) == v2


# -- cgroup v2 alone

@pytest.fixture
def v2():
    kind = subprocess.run(["stat", "-f", "-c", "%T", "/sys/fs/cgroup"], capture_output=True,
                          check=True, text=True).stdout.strip()
    if kind != "cgroup2fs":
        pytest.skip("not a machine of cgroup v2 alone")


@pytest.mark.parametrize("key, says", [
    ("NOT-A-KEY", "the specified key has not the form CONTROLLER.VALUE `NOT-A-KEY`"),
    ("foo.bar", "the requested cgroup controller `foo` is not available"),
    ("memory.nosuch", "no such file or directory"),
])
def test_unified_keys_that_cannot_be(runtime, bundle, id, v2, key, says):
    def change(spec):
        spec["linux"]["resources"] = {"unified": {key: "1"}}

    runtime.fails("run", "-b", bundle(["/bin/true"], change), id, says=says)


def test_no_swap_without_a_memory_limit(runtime, bundle, id, v2):
    def change(spec):
        spec["linux"]["resources"] = {"memory": {"swap": 0}}

    runtime.leave("run", "-d", "-b", bundle(["/bin/sleep", "1000"], change), id)
    path = open(f"/proc/{runtime.state(id)['pid']}/cgroup", encoding="ascii").read().strip()[3:]
    assert open(f"/sys/fs/cgroup{path}/memory.swap.max", encoding="ascii").read() == "0\n"


def test_options_of_a_cgroup_mount(runtime, bundle, id, v2):
    def change(word):
        def f(spec):
            if {"type": "cgroup"} not in spec["linux"]["namespaces"]:
                spec["linux"]["namespaces"].append({"type": "cgroup"})
            spec["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup",
                                   "source": "cgroup", "options": ["ro", word]})
        return f

    runtime.fails("run", "-b", bundle(["/bin/true"], change("no_such_option")), id,
                  says="Invalid argument")
    runtime("run", "-b", bundle(["/bin/true"], change("nsdelegate")), id)
