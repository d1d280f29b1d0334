# SPDX-License-Identifier: Apache-2.0
"""SIGKILL of a program before a chosen one of its system calls, by strace's injection."""
import re
import signal
import subprocess
import tempfile


def strace_works():
    p = subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], capture_output=True,
                       check=False)
    return p.returncode == 0


def calls_of(program, *args):
    """The names of the system calls of a whole run, in order."""
    with tempfile.NamedTemporaryFile("r") as trace, tempfile.TemporaryFile("w+") as out:
        # Into files: what stays behind of it would keep pipes open.
        p = subprocess.run(["strace", "-qq", "-o", trace.name, *program.argv(*args)],
                           stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=120,
                           check=False)
        out.seek(0)
        assert p.returncode == 0, out.read()
        names = [m[1] for m in re.finditer(r"^([a-z_0-9]+)\(", trace.read(), re.M)]
    return [n for n in names if n not in ("execve", "exit_group", "vfork")]


def killed_at(program, calls, point, *args):
    """Run with SIGKILL at the call that calls[point] was; True when it was killed by it."""
    name = calls[point]
    nth = calls[:point + 1].count(name)  # strace counts each system call for itself
    p = subprocess.run(["strace", "-qq", "-o", "/dev/null", "-e", f"trace={name}", "-e",
                        f"inject={name}:signal=SIGKILL:when={nth}", *program.argv(*args)],
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=120, check=False)
    return p.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)


def spread(calls, n):
    return sorted({i * (len(calls) - 1) // n for i in range(n)})
