# SPDX-License-Identifier: Apache-2.0
"""What a process is given: identity, capabilities, limits, scheduling, environment, its program."""
import ctypes
import os
import re
from itertools import count

import pytest

ids = (f"atoll-process-{os.getpid()}-{n}" for n in count())


def sets(text):
    return {k: int(v, 16) for k, v in re.findall(r"(Cap\w+):\s+(\w+)", text)}


def caps(**names):
    return {k: [f"CAP_{n}" for n in v] for k, v in names.items()}


def test_user_groups_umask(run):
    out = run(["/bin/sh", "-c", "id; umask; touch /tmp/x; stat -c '%u:%g %a' /tmp/x; "
                                "grep Groups /proc/self/status"],
              user={"uid": 1000, "gid": 1001, "additionalGids": [5, 6000], "umask": 0o27},
              cwd="/tmp")
    assert "uid=1000" in out and "gid=1001" in out and "\n0027\n" in out
    assert "1000:1001 640" in out and re.search(r"Groups:\s+5 6000", out), out


def test_no_groups_of_the_caller_remain(run):
    assert re.search(r"Groups:\s*\n", run(["/bin/cat", "/proc/self/status"]))


def test_capabilities_of_root_and_user(run):
    three = caps(bounding=["KILL", "CHOWN"], effective=["KILL"], permitted=["KILL"])
    got = sets(run(["/bin/cat", "/proc/self/status"], capabilities=three))
    assert got["CapBnd"] == 0b100001 and got["CapInh"] == 0 and got["CapAmb"] == 0
    got = sets(run(["/bin/cat", "/proc/self/status"], capabilities=three,
                   user={"uid": 1000, "gid": 1000}))
    assert (got["CapBnd"], got["CapPrm"], got["CapEff"]) == (0b100001, 0, 0)


def test_ambient_capabilities(run):
    all5 = caps(**{k: ["KILL", "NET_BIND_SERVICE"] for k in
                   ("bounding", "effective", "permitted", "inheritable", "ambient")})
    got = sets(run(["/bin/cat", "/proc/self/status"], capabilities=all5,
                   user={"uid": 1000, "gid": 1000}))
    assert set(got.values()) == {1 << 5 | 1 << 10}


def test_ambient_without_inheritable_is_skipped(run):
    got = sets(run(["/bin/cat", "/proc/self/status"], user={"uid": 1000, "gid": 1000},
                   capabilities=caps(bounding=["KILL"], permitted=["KILL"], ambient=["KILL"])))
    assert got["CapAmb"] == 0


def test_no_capabilities_named_means_none(run):
    got = sets(run(["/bin/cat", "/proc/self/status"], lambda s: s["process"].pop("capabilities") and None))
    assert set(got.values()) == {0}


def test_unknown_capability_is_left_out(run):
    got = sets(run(["/bin/cat", "/proc/self/status"],
                   capabilities=caps(bounding=["KILL", "FLY"], effective=["FLY"])))
    assert got["CapBnd"] == 1 << 5


@pytest.mark.parametrize("nnp", [True, False])
def test_no_new_privileges(run, nnp):
    assert f"NoNewPrivs:\t{int(nnp)}\n" in run(["/bin/cat", "/proc/self/status"],
                                               noNewPrivileges=nnp)


def test_rlimits(run, refuses):
    limits = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
              {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
              {"type": "RLIMIT_STACK", "soft": 1 << 20, "hard": 1 << 21}]
    out = run(["/bin/cat", "/proc/self/limits"], rlimits=limits)
    assert re.search(r"Max open files\s+100\s+200", out)
    assert re.search(r"Max core file size\s+0\s+0", out)
    assert re.search(rf"Max stack size\s+{1 << 20}\s+{1 << 21}", out)
    refuses("the same limit twice", rlimits=[limits[0], limits[0]])
    refuses("soft is above hard", rlimits=[{"type": "RLIMIT_CPU", "soft": 2, "hard": 1}])


def test_oom_score(run):
    assert run(["/bin/cat", "/proc/self/oom_score_adj"], oomScoreAdj=345) == "345\n"


def test_scheduler(run, refuses):
    out = run(["/bin/cat", "/proc/self/sched"],
              scheduler={"policy": "SCHED_BATCH", "nice": 7})
    assert re.search(r"policy\s+:\s+3\b", out) and re.search(r"prio\s+:\s+127\b", out), out
    refuses("can only be specified for SchedFIFO or SchedRR",
            scheduler={"policy": "SCHED_OTHER", "priority": 5})
    refuses("can only be specified for SchedDeadline",
            scheduler={"policy": "SCHED_OTHER", "runtime": 5})
    refuses("can't be used together with AllowedCPUs",
            lambda s: s["linux"].update(resources={"cpu": {"cpus": "0"}}),
            scheduler={"policy": "SCHED_DEADLINE", "runtime": 10000000, "deadline": 20000000,
                       "period": 20000000})


def realtime_group():
    """The directory of our own cgroup where real-time groups are (cgroup v1), or None."""
    with open("/proc/self/cgroup") as f:
        for line in f:
            _, names, path = line.rstrip("\n").split(":", 2)
            if "cpu" in names.split(","):
                d = f"/sys/fs/cgroup/{names}{path}"
                return d if os.path.exists(f"{d}/cpu.rt_runtime_us") else None
    return None


def test_realtime_scheduler(runtime, bundle):
    def try_fifo(resources):
        b = bundle(["/bin/cat", "/proc/self/sched"], lambda s: s["linux"].update(resources=resources),
                   scheduler={"policy": "SCHED_FIFO", "priority": 5})
        return runtime.try_("run", "-b", b, f"atoll-rt-{os.getpid()}")
    r = try_fifo({})
    group = realtime_group()
    if not group:  # nothing divides real time among groups
        assert re.search(r"policy\s+:\s+1\b", r.out), str(r)
        return
    assert r.rc and "linux.resources.cpu.realtimeRuntime" in r.err, str(r)
    r = try_fifo({"cpu": {"realtimeRuntime": 2000, "realtimePeriod": 1000000}})
    with open(f"{group}/cpu.rt_runtime_us") as f:
        if int(f.read()) > 2000:
            assert re.search(r"policy\s+:\s+1\b", r.out), str(r)
        else:
            assert r.rc and "the cgroups above must have as much real-time run time" in r.err, str(r)


def test_io_priority(run):
    assert run(["/bin/ionice", "-p", "1"],
               ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 2}) == "best-effort: prio 2\n"
    assert "idle" in run(["/bin/ionice", "-p", "1"], ioPriority={"class": "IOPRIO_CLASS_IDLE"})


def test_personality(run, refuses):
    assert run(["/bin/uname", "-m"],
               lambda s: s["linux"].update(personality={"domain": "LINUX32"})) == "i686\n"
    refuses("none of those known", lambda s: s["linux"].update(personality={"domain": "BSD"}))


def test_memory_policy(run, refuses):
    def policy(**p):
        return lambda s: s["linux"].update(memoryPolicy=p)

    out = run(["/bin/cat", "/proc/self/numa_maps"], policy(mode="MPOL_BIND", nodes="0"))
    assert "bind:0" in out
    assert "interleave:0" in run(["/bin/cat", "/proc/self/numa_maps"],
                                 policy(mode="MPOL_INTERLEAVE", nodes="0"))
    refuses("invalid memory policy nodes: 'x' is no list of nodes",
            policy(mode="MPOL_BIND", nodes="x"))
    refuses("invalid memory policy mode: linux.memoryPolicy.mode: 'MPOL_SOMETIMES' is none of those known",
            policy(mode="MPOL_SOMETIMES"))
    refuses("invalid memory policy mode: missing", policy(nodes="0"))
    refuses("invalid memory policy flag", policy(mode="MPOL_BIND", nodes="0", flags=["MPOL_F_X"]))
    refuses("mode requires 0 nodes but got 2", policy(mode="MPOL_LOCAL", nodes="0,7"))
    refuses("at least one node", policy(mode="MPOL_INTERLEAVE"))


def test_a_memory_policy_is_that_of_exec_too(runtime, bundle):
    i = next(ids)
    runtime.leave("run", "-d", "-b", bundle(["/bin/sleep", "1000"], lambda s: s["linux"].update(
        memoryPolicy={"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]})), i)
    try:
        assert "bind=static:0" in runtime("exec", i, "cat", "/proc/self/numa_maps").out
    finally:
        runtime("delete", "-f", i)


def test_environment(run):
    out = run(["/bin/env"], env=["PATH=/bin", "A=1", "B=2", "A=3", "EMPTY="])
    assert out.splitlines() == ["PATH=/bin", "A=3", "B=2", "EMPTY=", "HOME=/root"]


@pytest.mark.parametrize("uid,home", [(0, "/root"), (1000, "/home/tester"), (4711, "/")])
def test_home_comes_from_the_containers_passwd(run, uid, home):
    assert f"HOME={home}\n" in run(["/bin/env"], user={"uid": uid, "gid": 0})


def test_home_that_is_set_stays(run):
    assert "HOME=/x\n" in run(["/bin/env"], env=["PATH=/bin", "HOME=/x"])


def test_working_directory_is_made(run):
    assert run(["/bin/pwd"], cwd="/made/for/it") == "/made/for/it\n"
    assert run(["/bin/pwd"], cwd="/home/tester", user={"uid": 1000, "gid": 1000}) == "/home/tester\n"


def test_working_directory_that_nobody_can_enter(refuses):
    def secret(spec):
        spec["mounts"].append({"destination": "/secret", "type": "tmpfs", "source": "t",
                               "options": ["mode=700"]})

    refuses("chdir to cwd (\"/etc/passwd\") set in config.json failed", cwd="/etc/passwd")
    refuses("must be an absolute path", cwd="etc")
    # Root may enter where the user may not: as with runc, that is where it starts.
    refuses("permission denied", secret, args=["./x"], cwd="/secret", capabilities={},
            user={"uid": 1000, "gid": 1000})


@pytest.mark.parametrize("args,says,path", [
    (["nonesuch"], 'exec: "nonesuch": executable file not found in $PATH', "/bin"),
    (["/bin/nonesuch"], 'exec: "/bin/nonesuch": stat /bin/nonesuch: no such file or directory',
     "/bin"),
    (["/etc/passwd"], 'exec: "/etc/passwd": permission denied', "/bin"),
    (["/etc"], 'exec: "/etc": is a directory', "/bin"),
    (["true"], 'exec: "true": executable file not found in $PATH', "/sbin:/nowhere"),
    ([""], "executable file not found in $PATH", "/bin"),
])
def test_programs_that_cannot_be_run(refuses, args, says, path):
    refuses(says, args=args, env=[f"PATH={path}"])


def test_path_is_the_containers(run):
    assert run(["sh", "-c", "echo here"], env=["PATH=/nowhere:/bin"]) == "here\n"


def test_script_without_its_interpreter(runtime, bundle, base):
    script = base / "script"
    script.write_text("#!/no/such/shell\n")
    script.chmod(0o755)
    b = bundle(["/script"], lambda s: s["mounts"].append(
        {"destination": "/script", "type": "bind", "source": str(script), "options": ["bind"]}))
    runtime.fails("run", "-b", b, next(ids), says="is its interpreter")


def test_exec_has_the_same_rules(runtime, bundle):
    i = next(ids)
    runtime.leave("run", "-d", "-b", bundle(["/bin/sleep", "1000"]), i)
    try:
        r = runtime.fails("exec", i, "nonesuch")
        assert 'exec: "nonesuch": executable file not found in $PATH' in r.err.replace('\\"', '"')
        runtime.fails("exec", "--cwd", "/nowhere", i, "pwd", says="/nowhere")
        assert "NoNewPrivs:\t1" in runtime("exec", i, "cat", "/proc/self/status").out
        out = runtime("exec", i, "sh", "-c", "cat /proc/1/status /proc/self/status").out
        bounding = re.findall(r"CapBnd:\s+(\w+)", out)
        assert bounding[0] == bounding[1]
    finally:
        runtime("delete", "-f", i)


def test_exec_affinity(runtime, bundle, base):
    import json
    i = next(ids)
    runtime.leave("run", "-d", "-b", bundle(["/bin/sleep", "1000"]), i)
    try:
        p = base / "process.json"
        p.write_text(json.dumps({"args": ["/bin/grep", "Cpus_allowed_list", "/proc/self/status"],
                                 "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0},
                                 "execCPUAffinity": {"initial": "0-1", "final": "0"}}))
        assert runtime("exec", "-p", p, i).out.split()[-1] == "0"
        p.write_text(p.read_text().replace('"0-1"', '"one"'))
        runtime.fails("exec", "-p", p, i, says="no list of processors")
    finally:
        runtime("delete", "-f", i)


def test_nothing_of_the_caller_is_inherited(run):
    out = run(["/bin/sh", "-c", "ls /proc/self/fd; grep Sig /proc/self/status; env"],
              env=["PATH=/bin", "HOME=/"])
    assert out.split()[:4] == ["0", "1", "2", "3"]  # 3: the directory ls reads
    assert re.search(r"SigBlk:\s+0+\n", out) and re.search(r"SigIgn:\s+0+\n", out)
    assert out.endswith("PATH=/bin\nHOME=/\n") or "PWD=" in out


@pytest.mark.parametrize("kept", [False, True])
def test_the_callers_keys_are_the_callers(runtime, bundle, kept):
    """/proc/keys shows a keyring that only who has it may see to who has it."""
    id, keyring, sys_keyctl = next(ids), "atoll-callers-keys", 250

    def hold():
        libc = ctypes.CDLL(None)
        libc.syscall(sys_keyctl, 1, keyring.encode())  # KEYCTL_JOIN_SESSION_KEYRING
        libc.syscall(sys_keyctl, 5, -3, 0x3f000000)  # KEYCTL_SETPERM of the session's: possessor

    def change(s):
        s["linux"]["maskedPaths"] = []

    options = ["--no-new-keyring"] if kept else []
    cat = ["cat", "/proc/keys"]
    got = runtime("run", *options, "-b", bundle(cat, change), id, preexec_fn=hold).out
    assert (keyring in got, f" {id}:" in got) == (kept, not kept), got
    runtime.leave("run", "-d", *options, "-b", bundle(["/bin/sleep", "1000"], change), id)
    got = runtime("exec", id, *cat, preexec_fn=hold).out
    assert (keyring in got, f" {id}:" in got) == (kept, not kept), got
    runtime("delete", "--force", id)
