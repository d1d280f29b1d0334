# SPDX-License-Identifier: Apache-2.0
"""
An ordinary user of the test's own, whom the machine does not know: his commands run in a private
mount namespace in which /etc/passwd, /etc/group, /etc/subuid and /etc/subgid name him.
"""
import os
import shlex

from .run import Runtime

FILES = {"passwd": "{name}:x:{uid}:{uid}::/:/bin/sh\n", "group": "{name}:x:{uid}:\n",
         "subuid": "{name}:{first}:65536\n", "subgid": "{name}:{first}:65536\n"}


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
        for f, line in FILES.items():
            text = line.format(name=self.name, uid=self.uid, first=self.first)
            if f in ("passwd", "group"):
                text = open(f"/etc/{f}", encoding="utf-8").read() + text
            (self.base / "etc" / f).write_text(text)

    def prefix(self, first="", last=(), cgroups=()):
        """
        What goes before a command: `first` is done by root in the private mount namespace, `last`
        is put between the change to the user and the command; the cgroups are entered.
        """
        etc = self.base / "etc"
        script = "set -e\n"
        for f in FILES:
            script += f"[ -e /etc/{f} ] || : > /etc/{f}\nmount --bind {etc}/{f} /etc/{f}\n"
        for at in cgroups:
            script += f"echo $$ > {shlex.quote(str(at))}/cgroup.procs\n"
        script += f"{first}\nexec \"$@\"\n"
        return ["/usr/bin/unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh",
                "setpriv", "--reuid", str(self.uid), "--regid", str(self.uid), "--clear-groups",
                *last]


class UserRuntime(Runtime):
    """`atoll-runtime` as that user, who has his state below XDG_RUNTIME_DIR."""

    def __init__(self, build, user, **prefix):
        super().__init__(build, user.base)
        self.user = user
        self.options = []
        self.prefix = user.prefix(**prefix)
        self.state_dir = user.run_dir / "atoll-runtime"
        self.env = {"XDG_RUNTIME_DIR": str(user.run_dir), "USER": user.name}

    def argv(self, *args):
        return [*self.prefix, *super().argv(*args)]

    def but(self, **prefix):
        """The same with other words before it."""
        r = UserRuntime.__new__(UserRuntime)
        r.__dict__.update(self.__dict__)
        r.prefix = self.user.prefix(**prefix)
        return r
