# SPDX-License-Identifier: Apache-2.0
"""Running `atoll` and `atoll-runtime` of the build tree, each with directories of its own."""
import json
import os
import pty
import select
import signal
import subprocess
import tempfile
import time
import weakref

from . import cgroups

TIMEOUT_S = 120


class Result:
    """How a command ended; `out` and `err` are text, `raw` the bytes of its standard output."""

    def __init__(self, argv, rc, raw, err):
        self.argv = argv
        self.rc = rc
        self.raw = raw
        self.out = raw.decode(errors="replace")
        self.err = err.decode(errors="replace")

    def __str__(self):
        return f"$ {' '.join(map(str, self.argv))}\nexit status {self.rc}\n{self.out}{self.err}"

    __repr__ = __str__

    @property
    def line(self):
        """The output without its line end: an id, mostly."""
        return self.out.strip()

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def json_lines(self):
        return [json.loads(l) for l in self.out.splitlines()]


def entries(directory):
    """What is in a directory that may not be there: paths."""
    try:
        return list(directory.iterdir())
    except OSError:
        return []


class Program:
    """One program with its global options; calling it runs it."""

    everyone = weakref.WeakSet()

    def __init__(self, path, options, env):
        self.path = str(path)
        self.options = [str(o) for o in options]
        self.env = env
        Program.everyone.add(self)

    def kept(self):
        """What it keeps from call to call: a path for each."""
        return set()

    def drop(self, kept):
        """Remove of that what is given."""

    def argv(self, *args):
        return [self.path, *self.options, *map(str, args)]

    def environment(self, env=None):
        return {**os.environ, **self.env, **(env or {})}

    def try_(self, *args, input=None, timeout=TIMEOUT_S, env=None, **popen):
        """Run it to its end, whatever its exit status."""
        if isinstance(input, str):
            input = input.encode()
        argv = self.argv(*args)
        if input is None:
            popen.setdefault("stdin", subprocess.DEVNULL)
        else:
            popen["input"] = input
        try:
            p = subprocess.run(argv, capture_output=True, timeout=timeout,
                               env=self.environment(env), **popen)
        except subprocess.TimeoutExpired as ex:
            raise AssertionError(f"{Result(argv, 'none', ex.stdout or b'', ex.stderr or b'')}\n"
                                 f"did not end within {timeout} s") from None
        return Result(argv, p.returncode, p.stdout, p.stderr)

    def __call__(self, *args, **kw):
        """Run it; it must end with 0."""
        r = self.try_(*args, **kw)
        assert r.rc == 0, str(r)
        return r

    def fails(self, *args, rc=None, says=None, **kw):
        """Run it; it must fail (with `rc`), and say `says` on its standard error."""
        r = self.try_(*args, **kw)
        assert r.rc != 0 if rc is None else r.rc == rc, str(r)
        if says is not None:
            assert says in r.err, str(r)
        return r

    def popen(self, *args, env=None, **kw):
        kw.setdefault("stdin", subprocess.DEVNULL)
        kw.setdefault("stdout", subprocess.PIPE)
        kw.setdefault("stderr", subprocess.PIPE)
        return subprocess.Popen(self.argv(*args), env=self.environment(env), **kw)

    def terminal(self, *args, env=None):
        return Terminal(self.argv(*args), self.environment(env))


class Terminal:
    """A command on a pseudo-terminal, as a user sits before it."""

    def __init__(self, argv, env):
        self.argv = argv
        self.text = b""
        self.rc = None
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(argv[0], argv, env)

    def write(self, data):
        os.write(self.fd, data if isinstance(data, bytes) else data.encode())

    def read(self, deadline):
        """More of the output; False at its end."""
        ready, _, _ = select.select([self.fd], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            raise AssertionError(f"{self.argv}: nothing more after {self.text!r}")
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # EIO: the last process on the terminal is gone
            return False
        self.text += data
        return bool(data)

    def expect(self, wanted, timeout=60):
        """Read until `wanted` came; forget the output up to it."""
        wanted = wanted if isinstance(wanted, bytes) else wanted.encode()
        deadline = time.monotonic() + timeout
        while wanted not in self.text:
            if not self.read(deadline):
                raise AssertionError(f"{self.argv}: ended without {wanted!r}: {self.text!r}")
        before, _, self.text = self.text.partition(wanted)
        return before + wanted

    def resize(self, rows, columns):
        import fcntl
        import struct
        import termios
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def wait(self, timeout=60):
        """Its exit status, having read the rest."""
        deadline = time.monotonic() + timeout
        while self.read(deadline):
            pass
        while self.rc is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.rc = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > deadline:
                raise AssertionError(f"{self.argv}: closed its terminal and goes on")
            else:
                time.sleep(0.01)
        return self.rc

    def close(self):
        if self.rc is None:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            os.waitpid(self.pid, 0)
            self.rc = -9
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class Atoll(Program):
    """`atoll` with its own root and state below `base`; ends what it started with `clean()`."""

    def __init__(self, build, base, state=None):
        self.build = build
        self.base = base
        self.root = base / "root"
        self.state = state or base / "state"
        super().__init__(build / "atoll", ["--root", self.root, "--state", self.state], {})

    def inspect(self, name):
        return self("inspect", name).json[0]

    def ids(self):
        return self("ps", "-aq", "--no-trunc").out.split()

    def kept(self):
        return {*entries(self.root / "workloads"), *entries(self.root / "volumes")}

    def drop(self, kept):
        for kind, *words in ("workloads", "rm", "-f"), ("volumes", "volume", "rm", "-f"):
            gone = [p.name for p in kept if p.parent.name == kind]
            if gone:
                self.try_(*words, *gone)

    def clean(self):
        """Remove every workload, volume of none left out."""
        if (self.root / "atoll.db").exists():
            ids = self.try_("ps", "-aq", "--no-trunc").out.split()
            if ids:
                self("rm", "-f", *ids)


class Runtime(Program):
    """`atoll-runtime` with its own state directory."""

    def __init__(self, build, base):
        self.base = base
        self.state_dir = base / "runtime"
        options = ["--root", self.state_dir]
        if cgroups.BY_SYSTEMD:
            options += ["--cgroup-manager", cgroups.MANAGER]
        super().__init__(build / "atoll-runtime", options, {})

    def state(self, id):
        return self("state", id).json

    def leave(self, *args, rc=0, **kw):
        """
        As a call, for what stays behind with our descriptors (create, run -d, exec -d): the output
        goes to files, as a pipe would end only with the container.
        """
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            kw.setdefault("stdin", subprocess.DEVNULL)
            env = self.environment(kw.pop("env", None))
            p = subprocess.run(self.argv(*args), stdout=out, stderr=err, timeout=TIMEOUT_S, env=env,
                               check=False, **kw)
            out.seek(0)
            err.seek(0)
            r = Result(self.argv(*args), p.returncode, out.read(), err.read())
        assert rc is None or r.rc == rc, str(r)
        return r

    def kept(self):
        # '@' starts what it keeps for itself.
        return {p for p in entries(self.state_dir) if not p.name.startswith("@")}

    def drop(self, kept):
        for p in sorted(kept):
            self.try_("delete", "--force", p.name)

    def clean(self):
        self.drop(self.kept())
