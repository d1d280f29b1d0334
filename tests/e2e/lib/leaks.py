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


def lost_cgroups(before):
    """Those that came since, and hold no process: of others that run beside us they do."""
    return {c for c in cgroups() - before if os.path.isdir(c) and not _populated(c)}


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


def _parent(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
            return int(f.read().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _anothers(p):
    """
    Whether a process is of a module that runs beside ours: its mount namespace is a copy from a
    moment at which ours had something mounted.
    """
    for what in ("cmdline", "environ"):
        try:
            if b"/tmp/atoll-t-" in (p / what).read_bytes():
                return True  # not ours, which is asked before
        except OSError:
            continue
    if b"/tmp/atoll-t-" in _links(p):
        return True
    pid, own, siblings_parent = int(p.name), os.getpid(), os.getppid()
    while pid > 1 and pid != own:
        parent = _parent(pid)
        if parent == siblings_parent:
            return True
        pid = parent
    return False


def processes(marker):
    """Processes that have the directory in arguments, environment, descriptors or mounts."""
    found = []
    wanted = marker.encode()
    own = {os.getpid(), os.getppid()}
    for p in Path("/proc").glob("[0-9]*"):
        if int(p.name) in own:
            continue
        for what in ("cmdline", "environ", "fd", "mountinfo"):
            try:
                if wanted in (_links(p) if what == "fd" else (p / what).read_bytes()):
                    if what == "mountinfo" and _anothers(p):
                        break
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
        # Others have one without a process for a moment: lost is what was empty at every look.
        lost = lost_cgroups(self.cgroups)
        self.suspects = lost & getattr(self, "suspects", lost)
        return left + [f"cgroup {c}" for c in sorted(self.suspects)]

    def check(self, deadline_s=60):
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
