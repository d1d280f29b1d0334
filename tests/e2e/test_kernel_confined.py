# SPDX-License-Identifier: Apache-2.0
"""
The walls of atoll-kernel: what it can reach while it reads a kernel and modules that anybody may
have written. It is looked at from outside while it waits for its turn in the cache, which it does
behind them.
"""
import ctypes
import errno
import fcntl
import itertools
import os
import re
import struct
import subprocess
import time
from pathlib import Path

import pytest

from lib import kernels

BUSYBOX = "/usr/bin/busybox"
NAMESPACES = ("mnt", "net", "ipc", "uts")
NUMBERS = itertools.count()
SECRET = b"\x7fELF nobody else may know this"

# What it does: files of the two directories, bytes, the heap, its end.
ALLOWED = set("""
read write writev pread64 lseek ftruncate close
openat openat2 fstat newfstatat getdents64 fcntl flock
mkdirat unlinkat renameat linkat symlinkat utimensat
mmap mprotect munmap mremap madvise brk futex
clock_gettime rt_sigreturn rt_sigprocmask restart_syscall getpid gettid tgkill exit_group
""".split())

PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH, PTRACE_GET_FILTER = 0x4206, 0x4207, 17, 0x420c
X86_64, I386 = 0xc000003e, 0x40000003
ALLOW = 0x7fff0000


@pytest.fixture
def place(base):
    d = base / f"w{next(NUMBERS)}"
    (d / "cache").mkdir(parents=True)
    return d


def command(build, place, kernel, **kw):
    given = {"kernel": kernel, "modules": place / "lib/modules", "agent": BUSYBOX,
             "cache": place / "cache", **kw}
    return [build / "atoll-kernel", "prepare",
            *(w for name, value in given.items() for w in (f"--{name}", value))]


def status(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


class Waiting:
    """A command of atoll-kernel that waits for the cache's lock."""

    def __init__(self, argv, cache, **kw):
        self.argv, self.cache, self.kw = argv, cache, kw

    def __enter__(self):
        self.lock = open(self.cache / "lock", "w", encoding="ascii")
        os.chown(self.cache / "lock", os.stat(self.cache).st_uid, os.stat(self.cache).st_gid)
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.p = subprocess.Popen(self.argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  text=True, **self.kw)
        self.pid = self.p.pid
        end = time.monotonic() + 60
        while "FLOCK" not in (locks := self.waits()):
            assert self.p.poll() is None and time.monotonic() < end, (self.p.communicate(), locks)
            time.sleep(0.01)
        return self

    def waits(self):
        with open("/proc/locks", encoding="ascii") as f:
            return "".join(l for l in f if f"-> FLOCK  ADVISORY  WRITE {self.pid} " in l)

    def end(self):
        fcntl.flock(self.lock, fcntl.LOCK_UN)
        out, err = self.p.communicate(timeout=120)
        assert self.p.returncode == 0 and err == "", err
        return out.strip()

    def __exit__(self, *exc):
        self.lock.close()
        self.p.kill()
        self.p.communicate()


def behind_walls(pid):
    for ns in NAMESPACES:
        assert os.readlink(f"/proc/{pid}/ns/{ns}") != os.readlink(f"/proc/self/ns/{ns}"), ns
    s = status(pid)
    for field in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"):
        assert int(s[field], 16) == 0, field
    assert s["NoNewPrivs"] == "1" and s["Seccomp"] == "2"
    assert os.listdir(f"/proc/{pid}/root") == os.listdir(f"/proc/{pid}/cwd") == []
    limits = Path(f"/proc/{pid}/limits").read_text(encoding="ascii")
    for name, most in ("core file size", 0), ("file size", 1 << 30), ("data size", 4 << 30), \
            ("open files", 400):
        assert int(re.search(rf"Max {name} +(\d+)", limits)[1]) <= most, name


def open_files(pid):
    return sorted(os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd"))


def test_walls(build, place):
    """Namespaces, an empty root, no capability, limits; and only the descriptors it needs."""
    kernel = kernels.tree(place, "6.9.0-w")
    more = os.open("/etc/hostname", os.O_RDONLY)
    with Waiting(command(build, place, kernel), place / "cache", pass_fds=[more]) as w:
        behind_walls(w.pid)
        files = open_files(w.pid)
        assert sum(f.startswith("pipe:") for f in files) == 2  # what it says
        rest = [f for f in files if not f.startswith(("pipe:", "/boot/config-"))]
        # Paths of a detached mount begin at its root: there is no other way out of it.
        assert sorted(rest) == sorted(["/", "/", "/lock", str(kernel), os.path.realpath(BUSYBOX)])
        name = w.end()
    os.close(more)
    assert kernels.prepared(place / "cache") == [name]


def test_modules_are_not_writable(build, place):
    kernel = kernels.tree(place, "6.9.0-w")
    with Waiting(command(build, place, kernel), place / "cache") as w:
        tried = []
        for fd in os.listdir(f"/proc/{w.pid}/fd"):
            top = f"/proc/{w.pid}/fd/{fd}"
            if os.path.isdir(top):
                try:
                    os.close(os.open(f"{top}/written", os.O_CREAT | os.O_WRONLY))
                    tried.append(0)
                except OSError as e:
                    tried.append(e.errno)
        assert sorted(tried) == [0, errno.EROFS]
    assert (place / "cache/written").exists()


def test_of_an_ordinary_user(build, place, user):
    """The same walls; his cache is given by path, and as his engine gives it."""
    os.chmod(place, 0o755)
    kernel = kernels.tree(place, "6.9.0-u")
    os.chown(place / "cache", user.uid, user.uid)
    as_user = ["setpriv", "--reuid", str(user.uid), "--regid", str(user.uid), "--clear-groups"]
    names = set()
    fd = os.open(place / "cache", os.O_RDONLY)
    for cache in (place / "cache", f"fd:{fd}"):
        with Waiting([*as_user, *command(build, place, kernel, cache=cache)], place / "cache",
                     pass_fds=[fd]) as w:
            behind_walls(w.pid)
            assert os.readlink(f"/proc/{w.pid}/ns/user") != os.readlink("/proc/self/ns/user")
            names.add(w.end())
        made, = kernels.prepared(place / "cache")
        assert names == {made} and os.stat(place / "cache" / made).st_uid == user.uid
        subprocess.run(["rm", "-r", place / "cache" / made], check=True)
    os.close(fd)


# ---- the filter ----


def filter_of(pid):
    """The program of the process's one filter: (code, jt, jf, k) each."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long

    def ptrace(request, addr=None, data=None):
        r = libc.ptrace(request, pid, addr, data)
        assert r >= 0, os.strerror(ctypes.get_errno())
        return r
    ptrace(PTRACE_SEIZE)
    ptrace(PTRACE_INTERRUPT)
    os.waitpid(pid, 0x40000000)  # __WALL
    n = ptrace(PTRACE_GET_FILTER)
    code = ctypes.create_string_buffer(8 * n)
    ptrace(PTRACE_GET_FILTER, None, ctypes.addressof(code))
    ptrace(PTRACE_DETACH)
    return list(struct.iter_unpack("<HBBI", code.raw))


def verdict(program, nr, arch=X86_64, args=()):
    """What it says to a call: classic BPF, as much of it as filters are made of."""
    data = struct.pack("<IIQ6Q", nr, arch, 0, *args, *[0] * (6 - len(args)))
    a = at = 0
    while True:
        code, jt, jf, k = program[at]
        at += 1
        if code == 0x20:  # ld [k]
            a = struct.unpack_from("<I", data, k)[0]
        elif code == 0x54:  # and #k
            a &= k
        elif code == 0x05:  # ja
            at += k
        elif code & 0x07 == 0x05:
            yes = {0x15: a == k, 0x25: a > k, 0x35: a >= k, 0x45: bool(a & k)}[code]
            at += jt if yes else jf
        elif code == 0x06:  # ret #k
            return k
        else:
            raise AssertionError(f"BPF {code:#x}")


def numbers():
    """Of the calls of this architecture, by name."""
    text = subprocess.run(["gcc", "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", "/dev/null"],
                          capture_output=True, text=True, check=True).stdout
    return {n: int(v) for n, v in re.findall(r"#define __NR_(\w+) (\d+)$", text, re.M)}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")
def test_the_filter(build, place):
    """Of all calls of the machine those of the list alone, and none that makes code."""
    kernel = kernels.tree(place, "6.9.0-w")
    with Waiting(command(build, place, kernel), place / "cache") as w:
        program = filter_of(w.pid)
        w.end()
    calls = numbers()
    assert ALLOWED <= set(calls)
    assert {n for n, nr in calls.items() if verdict(program, nr) == ALLOW} == ALLOWED
    assert verdict(program, calls["mmap"], args=(0, 4096, 3)) == ALLOW  # to be written
    for call in ("mmap", "mprotect"):
        assert verdict(program, calls[call], args=(0, 4096, 5)) != ALLOW  # to be run
    assert verdict(program, calls["read"] | 1 << 30) != ALLOW  # x32's
    assert verdict(program, calls["read"], arch=I386) != ALLOW
    assert verdict(program, max(calls.values()) + 1) != ALLOW


# ---- ways out ----


def to_path(path):
    """The list of modules names a file elsewhere."""
    def do(d, secret):
        text = (d / "modules.dep").read_text().replace("kernel/virtiofs.ko", path(secret))
        (d / "modules.dep").write_text(text)
    return do


def to_link(target):
    """A module is a link."""
    def do(d, secret):
        (d / "kernel/virtiofs.ko").unlink()
        (d / "kernel/virtiofs.ko").symlink_to(target(secret))
    return do


def list_elsewhere(d, secret):
    (d / "modules.dep").rename(secret.parent / "modules.dep")
    (d / "modules.builtin").unlink()
    (d / "modules.dep").symlink_to(secret.parent / "modules.dep")


def tree_elsewhere(d, secret):
    d.rename(secret.parent / d.name)
    d.symlink_to(secret.parent / d.name)


def no_file(d, secret):
    (d / "kernel/virtiofs.ko").unlink()
    os.mkfifo(d / "kernel/virtiofs.ko")


OUT = {
    "absolute path": (to_path(lambda s: f"{s.parent}/virtiofs.ko"), "virtiofs.ko' below"),
    "path upwards": (to_path(lambda s: f"../../../{s.parent.name}/virtiofs.ko"), "virtiofs.ko' below"),
    "many upwards": (to_path(lambda s: "../" * 40 + f"{s.parent}/virtiofs.ko"), "virtiofs.ko' below"),
    "absolute link": (to_link(lambda s: s), "virtiofs.ko' below"),
    "link upwards": (to_link(lambda s: f"../../../../{s.parent.name}/virtiofs.ko"), "virtiofs.ko' below"),
    "link to a process's": (to_link(lambda s: "/proc/self/exe"), "virtiofs.ko' below"),
    "list elsewhere": (list_elsewhere, "run: depmod"),
    "tree elsewhere": (tree_elsewhere, "no modules for it"),
    "a pipe": (no_file, "not a regular file"),
}


@pytest.mark.parametrize("way", sorted(OUT))
def test_ways_out(build, place, way):
    """Names and links lead to nothing but what is below the directory of modules."""
    kernel = kernels.tree(place, "6.9.0-o")
    secret = place / "secret/virtiofs.ko"
    secret.parent.mkdir()
    secret.write_bytes(SECRET)
    change, why = OUT[way]
    change(place / "lib/modules/6.9.0-o", secret)
    r = subprocess.run(command(build, place, kernel), capture_output=True, text=True, timeout=120,
                       check=False)
    assert r.returncode == 1 and why in r.stderr and r.stderr.count("\n") == 1, r.stderr
    assert kernels.prepared(place / "cache") == []


def test_links_within(build, place):
    """Of one version to another's module, and to a tree beside it."""
    kernel = kernels.tree(place, "6.9.0-a")
    d = place / "lib/modules/6.9.0-a"
    (place / "lib/modules/shared.ko").write_bytes(kernels.module("linked"))
    (d / "kernel/virtiofs.ko").unlink()
    (d / "kernel/virtiofs.ko").symlink_to("../../shared.ko")
    d.rename(place / "lib/modules/real")
    d.symlink_to("real")
    out = subprocess.run(command(build, place, kernel), capture_output=True, text=True, timeout=120,
                         check=True).stdout.strip()
    files = kernels.read_cpio((place / "cache" / out / "initramfs").read_bytes())
    assert files["modules/02-virtiofs.ko"][1] == kernels.module("linked")
