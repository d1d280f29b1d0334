# SPDX-License-Identifier: Apache-2.0
"""Seccomp filters, by what the calls of the workload give."""
import os
import platform
from itertools import count

import pytest

ids = (f"atoll-seccomp-{os.getpid()}-{n}" for n in count())

# Calls whose results tell: rmdir and mkdir of names, sync, personality by setarch.
pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of x86-64")


@pytest.fixture
def run(runtime, bundle):
    def go(seccomp, args, **process):
        b = bundle(args, lambda s: s["linux"].update(seccomp=seccomp), **process)
        return runtime.try_("run", "-b", b, next(ids))
    return go


def deny(*names, action="SCMP_ACT_ERRNO", **more):
    return {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{"names": list(names), "action": action, **more}]}


@pytest.mark.parametrize("nnp", [True, False])
def test_errno(run, nnp):
    r = run(deny("mkdir", "mkdirat"), ["/bin/mkdir", "/tmp/x"], noNewPrivileges=nnp)
    assert r.rc == 1 and "Operation not permitted" in r.err, str(r)
    r = run(deny("mkdir", "mkdirat", errnoRet=28), ["/bin/mkdir", "/tmp/x"], noNewPrivileges=nnp)
    assert "No space left on device" in r.err, str(r)


def test_filter_is_on(run):
    r = run(deny("mkdir"), ["/bin/grep", "Seccomp", "/proc/self/status"])
    assert "Seccomp:\t2" in r.out


@pytest.mark.parametrize("action", ["SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD",
                                    "SCMP_ACT_TRAP"])
def test_kill(run, action):
    r = run(deny("mkdir", "mkdirat", action=action), ["/bin/sh", "-c", "/bin/mkdir /tmp/x; echo $?"])
    assert r.out.strip() == "159", str(r)  # 128 + SIGSYS


def test_log_lets_through(run):
    assert run(deny("sync", action="SCMP_ACT_LOG"), ["/bin/true"]).rc == 0


def test_arguments(run):
    """kill(2) with signal 10 only; also masked, and any of several."""
    def args(*a):
        return [{"index": i, "value": v, "valueTwo": w, "op": f"SCMP_CMP_{op}"} for i, op, v, w in a]

    script = "trap 'echo usr1' USR1; trap 'echo usr2' USR2; kill -USR1 $$; kill -USR2 $$; :"
    both = "usr1\nusr2\n"
    for a, out in {
        ((1, "EQ", 10, 0),): "usr2\n", ((1, "NE", 10, 0),): "usr1\n",
        ((1, "LT", 12, 0),): "usr2\n", ((1, "GE", 12, 0),): "usr1\n",
        ((1, "LE", 12, 0),): "", ((1, "GT", 12, 0),): both,
        ((1, "MASKED_EQ", 6, 2),): "usr2\n",
        ((0, "EQ", 1, 0), (1, "EQ", 12, 0)): "usr1\n", ((0, "EQ", 2, 0), (1, "EQ", 12, 0)): both,
        ((1, "EQ", 10, 0), (1, "EQ", 12, 0)): "",
    }.items():
        r = run(deny("kill", args=args(*a)), ["/bin/sh", "-c", script])
        assert r.out == out, (a, str(r))


def test_allow_list_and_newer_calls(run, base):
    """Of a list of what is allowed, calls newer than all of it give ENOSYS, others the default."""
    import ctypes.util
    names = """read write open openat close stat fstat lstat newfstatat lseek mmap mprotect munmap
        brk rt_sigaction rt_sigprocmask rt_sigreturn ioctl access execve exit exit_group arch_prctl
        set_tid_address set_robust_list rseq prlimit64 readlink readlinkat getrandom getuid geteuid
        getgid getegid getpid getppid fcntl uname poll futex clone wait4 dup2 dup3 capset prctl
        sendfile getcwd close_range setsid pipe pipe2 sched_yield capget umask chdir statx""".split()
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
               "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
               "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}]}
    r = run(profile, ["/bin/sh", "-c", "echo fine; mkdir /tmp/x"])
    assert r.out == "fine\n" and "Operation not permitted" in r.err, str(r)


def test_exec_is_filtered_too(runtime, bundle):
    i = next(ids)
    runtime.leave("run", "-d", "-b", bundle(["/bin/sleep", "1000"], lambda s: s["linux"].update(
        seccomp=deny("mkdir", "mkdirat"))), i)
    try:
        runtime.fails("exec", i, "mkdir", "/tmp/x", says="Operation not permitted")
    finally:
        runtime("delete", "-f", i)


@pytest.mark.parametrize("change,says", [
    ({"defaultAction": "SCMP_ACT_MAYBE"}, "is no action"),
    ({"architectures": ["SCMP_ARCH_Z80"]}, "is not known"),
    ({"flags": ["SECCOMP_FILTER_FLAG_X"]}, "linux.seccomp.flags"),
    ({"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO",
                    "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_SOME"}]}]}, "is no operator"),
    ({"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO",
                    "args": [{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}]}]}, "index"),
    ({"syscalls": [{"names": ["read"], "action": "SCMP_ACT_NOTIFY"}]}, "not supported"),
    ({"listenerPath": "/run/x"}, "not supported"),
])
def test_wrong_profiles(run, change, says):
    r = run({**deny("mkdir"), **change}, ["/bin/true"])
    assert r.rc and says in r.err, str(r)


def test_unknown_calls_are_left_out(run):
    assert run(deny("mkdir", "call_of_the_wild"), ["/bin/true"]).rc == 0


@pytest.mark.parametrize("flag", ["LOG", "SPEC_ALLOW", "TSYNC"])
def test_flags(run, flag):
    r = run({**deny("sync"), "flags": [f"SECCOMP_FILTER_FLAG_{flag}"]}, ["/bin/true"])
    assert r.rc == 0, str(r)
