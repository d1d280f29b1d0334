# SPDX-License-Identifier: Apache-2.0
"""
What a module of tests left on the machine: mounts, processes, cgroups, files. Other modules run
beside it, so all but the cgroups are told by the module's own directory, whose name is unique.
"""
import os
from pathlib import Path

from . import wait

CGROUPS = "/sys/fs/cgroup"


def cgroups():
    """Directories of ours in every hierarchy."""
    return {base for base, _, _ in os.walk(CGROUPS) if "atoll" in base[len(CGROUPS):]}


def _populated(path):
    for base, _, _ in os.walk(path):
        try:
            if (Path(base) / "cgroup.procs").read_text().strip():
                return True
        except OSError:
            return True  # going away at this moment
    return False


def mounts(marker):
    """Mounts in our own mount namespace that name the directory."""
    text = Path("/proc/self/mountinfo").read_text(errors="replace")
    return [l.split()[4] for l in text.splitlines() if marker in l]


def _links(p):
    """What its descriptors and its directory are: a shim shows its directories nowhere else."""
    found = []
    for link in [p / "cwd", *(p / "fd").iterdir()]:
        try:
            found.append(os.readlink(link))
        except OSError:
            continue
    return "\n".join(found).encode()


def processes(marker):
    """Processes that have the directory in arguments, environment, mounts or descriptors."""
    found = []
    wanted = marker.encode()
    own = {os.getpid(), os.getppid()}
    for p in Path("/proc").glob("[0-9]*"):
        if int(p.name) in own:
            continue
        for what in ("cmdline", "environ", "mountinfo", "fd"):
            try:
                if wanted in (_links(p) if what == "fd" else (p / what).read_bytes()):
                    name = (p / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    found.append(f"{p.name} ({what}): {name}")
                    break
            except OSError:
                continue
    return found


class Watch:
    """Compare before and after: `Watch(base)` at the start, `.check()` at the end."""

    def __init__(self, base):
        self.marker = str(base)
        self.cgroups = cgroups()

    def left(self):
        left = [f"mount {m}" for m in mounts(self.marker)]
        # A mount is in every process's table that was forked since: name processes only when
        # the mount is not in ours, and so is theirs.
        left += [f"process {p}" for p in processes(self.marker)]
        state = Path(self.marker) / "state" / "workloads"
        if state.is_dir():
            left += [f"state {d}" for d in state.iterdir()]
        # Groups of modules running beside this one have processes; an empty one that stays is lost.
        self.suspects = {c for c in getattr(self, "suspects", cgroups() - self.cgroups)
                         if os.path.isdir(c) and not _populated(c)}
        return left + [f"cgroup {c}" for c in sorted(self.suspects)]

    def check(self, deadline_s=20):
        try:
            wait.until(lambda: not self.left(), "nothing left behind", deadline_s)
        except AssertionError:
            raise AssertionError("left behind:\n" + "\n".join(self.left())) from None


def fds(pid):
    """Descriptors of a process: {number: what it is}."""
    found = {}
    for f in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found[int(f.name)] = os.readlink(f)
        except OSError:
            continue
    return found
