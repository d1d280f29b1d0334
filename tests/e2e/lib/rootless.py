# SPDX-License-Identifier: Apache-2.0
"""
An ordinary user of the test's own, whom the machine does not know: his commands run in a private
mount namespace in which /etc/passwd, /etc/group, /etc/subuid and /etc/subgid name him.
"""
import os
import shlex
import subprocess

from .run import Atoll, Runtime

FILES = {"passwd": "{name}:x:{uid}:{uid}::/:/bin/sh\n", "group": "{name}:x:{uid}:\n",
         "subuid": "{name}:{first}:65536\n", "subgid": "{name}:{first}:65536\n"}
PRIVATE = ["/usr/bin/unshare", "-m", "--propagation", "private", "sh", "-c"]


class User:
    """His number is not used by others, and 65536 more from `first` on are granted to him."""

    def __init__(self, base):
        self.uid = 50000 + os.getpid() % 10000
        self.first = 2_000_000 + self.uid * 65536 % 1_000_000_000
        self.name = f"atoll-{self.uid}"
        self.base = base / "user"
        self.run_dir = self.base / "run"
        for d in (self.base, self.run_dir, self.base / "etc"):
            d.mkdir()
            os.chown(d, self.uid, self.uid)
        self.script = "set -e\n"
        for f, line in FILES.items():
            text = line.format(name=self.name, uid=self.uid, first=self.first)
            if f in ("passwd", "group"):
                text = open(f"/etc/{f}", encoding="utf-8").read() + text
            own = self.base / "etc" / f
            own.write_text(text)
            self.script += f"mount --bind {own} /etc/{f}\n"  # Debian has all four

    def prefix(self, first="", last=()):
        """
        What goes before a command: `first` is done by root in the private mount namespace, `last`
        is put between the change to the user and the command.
        """
        return [*PRIVATE, f"{self.script}{first}\nexec \"$@\"\n", "sh", "setpriv", "--reuid",
                str(self.uid), "--regid", str(self.uid), "--clear-groups", *last]

    def __enter__(self):
        """A process that keeps the mount namespace for those that need no other."""
        self.holder = subprocess.Popen(
            [*PRIVATE, f"{self.script}echo ready; exec sleep 100000"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert self.holder.stdout.readline() == b"ready\n"
        return self

    def __exit__(self, *exc):
        self.holder.kill()
        self.holder.communicate()

    def inside(self, last=(), cgroups=(), groups=()):
        """As prefix, in the kept namespace; the cgroups are entered first, `groups` are his beside."""
        enter = "".join(f"echo 0 > {shlex.quote(str(d))}/cgroup.procs && " for d in cgroups)
        there = ["/usr/bin/nsenter", "-t", str(self.holder.pid), "-m"]
        if groups:
            become = ["--", "setpriv", "--reuid", str(self.uid), "--regid", str(self.uid), "--groups",
                      ",".join(map(str, groups))]
        else:
            become = ["-S", str(self.uid), "-G", str(self.uid), "--"]
        return [*(["/bin/sh", "-c", f"{enter}exec \"$@\"", "sh"] if enter else []), *there, *become,
                *last]


class UserRuntime(Runtime):
    """`atoll-runtime` as that user, who has his state below XDG_RUNTIME_DIR. Its cwd is "/"."""

    def __init__(self, build, user):
        super().__init__(build, user.base)
        self.user = user
        self.options = []
        self.prefix = user.inside()
        self.state_dir = user.run_dir / "atoll-runtime"
        self.env = {"XDG_RUNTIME_DIR": str(user.run_dir), "USER": user.name}

    def argv(self, *args):
        return [*self.prefix, *super().argv(*args)]

    def but(self, first=None, **how):
        """The same with other words before it; `first` needs a mount namespace of its own."""
        r = UserRuntime.__new__(UserRuntime)
        r.__dict__.update(self.__dict__)
        r.prefix = self.user.prefix(first, **how) if first else self.user.inside(**how)
        return r


class UserAtoll(Atoll):
    """His `atoll`, with its default directories."""

    def __init__(self, build, user, last=(), groups=()):
        super().__init__(build, user.base)
        self.user = user
        self.options = []
        self.prefix = user.inside(last, groups=groups)
        self.root = user.base / ".local/share/atoll"
        self.state = user.run_dir / "atoll"
        self.env = {"XDG_RUNTIME_DIR": str(user.run_dir), "HOME": str(user.base),
                    "XDG_DATA_HOME": "", "USER": user.name}

    def argv(self, *args):
        return [*self.prefix, *super().argv(*args)]

    def keepers(self):
        """Processes that hold the namespaces."""
        p = subprocess.run(["ps", "-eo", "pid,uid,args"], capture_output=True, text=True, check=True)
        rows = [l.split(None, 2) for l in p.stdout.splitlines()]
        return [int(r[0]) for r in rows if r[1:] == [str(self.user.uid), "atoll-keeper"]]
