# SPDX-License-Identifier: Apache-2.0
"""Seccomp filters, by what the calls of the workload give."""
import os
import platform
import shutil
import struct
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
    ({"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "errnoRet": 1}]}, "errnoRet"),
    ({"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5000}]}, "errnoRet"),
    ({"defaultErrnoRet": 1}, "errnoRet"),
])
def test_wrong_profiles(run, change, says):
    r = run({**deny("mkdir"), **change}, ["/bin/true"])
    assert r.rc and says in r.err, str(r)


@pytest.mark.parametrize("nnp", [True, False])
@pytest.mark.parametrize("uid", [0, 1000])
def test_start_container_hooks_are_filtered(runtime, bundle, nnp, uid):
    def change(s):
        s["linux"]["seccomp"] = deny("mkdir", "mkdirat", action="SCMP_ACT_KILL")
        s["hooks"] = {"startContainer": [{"path": "/bin/busybox", "args": hook}]}
    for hook, ok in ((["mkdir", "/tmp/by-a-hook"], False), (["true"], True)):
        b = bundle(["/bin/true"], change, noNewPrivileges=nnp, user={"uid": uid, "gid": uid})
        r = runtime.try_("run", "-b", b, next(ids))
        if ok:
            assert r.rc == 0, str(r)
        else:
            assert r.rc and "error running startContainer hook" in r.err, str(r)
            assert "bad system call" in r.err


def test_flags_given_to_the_kernel(runtime, bundle):
    """Nothing said is another thing than nothing wanted: as runc has it."""
    flag = "SECCOMP_FILTER_FLAG_"
    for given, value in ((None, 4), ([], 0), ([flag + "TSYNC"], 0), ([flag + "LOG"], 2),
                         ([flag + "LOG", flag + "SPEC_ALLOW"], 6)):
        profile = deny("sync")
        if given is not None:
            profile["flags"] = given
        b = bundle(["/bin/true"], lambda s: s["linux"].update(seccomp=profile))
        r = runtime.try_("--debug", "run", "-b", b, next(ids))
        assert r.rc == 0 and f"seccomp filter flags: {value}" in r.err, str(r)


def test_unknown_calls_are_left_out(run):
    assert run(deny("mkdir", "call_of_the_wild"), ["/bin/true"]).rc == 0


@pytest.mark.parametrize("flag", ["LOG", "SPEC_ALLOW", "TSYNC"])
def test_flags(run, flag):
    r = run({**deny("sync"), "flags": [f"SECCOMP_FILTER_FLAG_{flag}"]}, ["/bin/true"])
    assert r.rc == 0, str(r)


# ---- compiled filters are kept ------------------------------------------------------------------

class Kept:
    """The cache below the runtime's root; empty at first."""

    def __init__(self, root):
        self.dir = root / "@seccomp"
        shutil.rmtree(self.dir, ignore_errors=True)

    @property
    def files(self):
        return sorted(self.dir.iterdir()) if self.dir.exists() else []

    def let_all_through(self):
        """Put a program there that allows everything, well formed: who reads it obeys it."""
        f, = self.files
        data = f.read_bytes()
        n = int.from_bytes(data[8:12], "little")
        body = data[24:24 + n] + struct.pack("<HBBI", 6, 0, 0, 0x7fff0000)
        h = 0xcbf29ce484222325
        words = [body[i:i + 8] for i in range(0, len(body) - 7, 8)]
        for w in words:
            h = (h ^ int.from_bytes(w, "little")) * 0x100000001b3 % 2**64
            h ^= h >> 29
        for c in body[len(words) * 8:]:
            h = (h ^ c) * 0x100000001b3 % 2**64
        f.write_bytes(b"atollbpf" + struct.pack("<IIQ", n, 1, h) + body)
        return f


@pytest.fixture
def kept(runtime):
    return Kept(runtime.state_dir)


def refused(r):
    assert r.rc == 1 and "Operation not permitted" in r.err, str(r)


def test_a_filter_is_kept_and_used(run, kept, runtime):
    for _ in range(2):
        refused(run(deny("mkdir", "mkdirat"), ["/bin/mkdir", "/tmp/kept"]))
    f, = kept.files
    assert f.stat().st_mode & 0o777 == 0o600 and kept.dir.stat().st_mode & 0o777 == 0o700
    assert "@seccomp" not in runtime("list").out
    kept.let_all_through()
    r = run(deny("mkdir", "mkdirat"), ["/bin/sh", "-c", "mkdir /tmp/kept && rmdir /tmp/kept"])
    assert r.rc == 0, str(r)  # it is what was read
    refused(run(deny("mkdir", "mkdirat", "rmdir"), ["/bin/mkdir", "/tmp/kept"]))
    assert len(kept.files) == 2  # another profile is another file


@pytest.mark.parametrize("harm", ["writable", "directory", "cut", "bit", "link", "strange"])
def test_a_filter_that_others_could_have_written_is_not_used(run, kept, harm):
    refused(run(deny("mkdir", "mkdirat"), ["/bin/mkdir", "/tmp/kept"]))
    f = kept.let_all_through()
    if harm == "writable":
        f.chmod(0o620)
    elif harm == "directory":
        kept.dir.chmod(0o770)
    elif harm == "cut":
        os.truncate(f, f.stat().st_size - 1)
    elif harm == "bit":
        data = bytearray(f.read_bytes())
        data[-1] ^= 0x80
        f.write_bytes(data)
    elif harm == "link":
        f.rename(kept.dir / "elsewhere")
        f.symlink_to("elsewhere")
    elif harm == "strange":
        os.chown(f, 12345, 0)
    refused(run(deny("mkdir", "mkdirat"), ["/bin/mkdir", "/tmp/kept"]))


def test_a_cache_that_cannot_be_written_changes_nothing(run, kept):
    kept.dir.write_text("a file where the directory should be")
    try:
        refused(run(deny("mkdir", "mkdirat"), ["/bin/mkdir", "/tmp/kept"]))
    finally:
        kept.dir.unlink()


def test_the_cache_is_bounded(run, kept):
    kept.dir.mkdir(mode=0o700)
    for i in range(70):
        f = kept.dir / f"{i:016x}"
        f.write_bytes(b"old")
        os.utime(f, (1000 + i, 1000 + i))
    refused(run(deny("mkdir", "mkdirat"), ["/bin/mkdir", "/tmp/kept"]))
    names = [f.name for f in kept.files]
    assert len(names) == 64 and f"{6:016x}" not in names and f"{7:016x}" in names


def test_many_at_once_share_one_filter(runtime, bundle, kept):
    b = bundle(["/bin/mkdir", "/tmp/kept"],
               lambda s: s["linux"].update(seccomp=deny("mkdir", "mkdirat")))
    ps = [runtime.popen("run", "-b", b, next(ids)) for _ in range(8)]
    for p in ps:
        _, err = p.communicate(timeout=120)
        assert p.returncode == 1 and b"Operation not permitted" in err, err
    assert len(kept.files) == 1


def test_exec_takes_the_kept_filter(runtime, bundle, kept):
    i = next(ids)
    runtime.leave("run", "-d", "-b", bundle(["/bin/sleep", "1000"], lambda s: s["linux"].update(
        seccomp=deny("mkdir", "mkdirat"))), i)
    try:
        kept.let_all_through()
        runtime("exec", i, "mkdir", "/tmp/kept")
        runtime("exec", i, "rmdir", "/tmp/kept")
    finally:
        runtime("delete", "-f", i)


def test_a_profile_is_loaded_from_the_cache_by_atoll_too(atoll, busybox):
    for _ in range(2):
        r = atoll("run", "--rm", "--network", "none", busybox, "grep", "Seccomp:", "/proc/self/status")
        assert r.out.split() == ["Seccomp:", "2"]
    assert len(list((atoll.state / "@seccomp").iterdir())) == 1
