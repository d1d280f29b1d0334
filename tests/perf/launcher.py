# SPDX-License-Identifier: Apache-2.0
"""
Commands started by a small program (launch.c), which gives each one's cost: what Python itself
takes for a start is as long as what is measured here, and its memory would count as the command's.
"""
import os
import shutil
import statistics
import subprocess
from dataclasses import dataclass

import measure

HERE = measure.TOP / "tests/perf"


def compiled(build, name, *flags):
    """A static program of tests/perf, made when it is older than its source."""
    source, program = HERE / f"{name}.c", build / "perf" / name
    program.parent.mkdir(exist_ok=True)
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-static", *flags, "-o", program, source],
                       check=True)
    return program


def install_idle(build, rootfs):
    """The smallest workload there can be (idle.c), as /idle of a root file system."""
    shutil.copy2(compiled(build, "idle", "-nostdlib", "-fno-stack-protector"), rootfs / "idle")


@dataclass
class Cost:
    """Of one command, or of several one after the other."""
    seconds: float = 0
    user: float = 0
    system: float = 0
    rss_kib: int = 0  # the largest process of it
    faults: int = 0

    def __add__(self, other):
        return Cost(self.seconds + other.seconds, self.user + other.user,
                    self.system + other.system, max(self.rss_kib, other.rss_kib),
                    self.faults + other.faults)


class Launcher:
    """Context: costs of commands. A list of commands is one subject: they run one by one."""

    def __init__(self, build, env=None):
        self.program = compiled(build, "launch")
        self.env = env or os.environ

    def __enter__(self):
        self.errors = open(f"/tmp/.atoll-launch-{os.getpid()}", "w+b")
        os.unlink(self.errors.name)
        self.p = subprocess.Popen([self.program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=self.errors, env=self.env)
        return self

    def __exit__(self, *exc):
        self.p.stdin.close()
        self.p.wait()
        self.errors.close()

    def once(self, argv, may_fail=False):
        """(exit status, Cost)"""
        data = b"".join(os.fsencode(a) + b"\0" for a in argv)
        self.errors.seek(0)
        self.errors.truncate()
        self.p.stdin.write(b"%d\n%b" % (len(data), data))
        self.p.stdin.flush()
        status, wall, user, system, rss, faults = map(int, self.p.stdout.readline().split())
        if status and not may_fail:
            self.errors.seek(0)
            raise RuntimeError(f"{argv}: status {status:#x}\n{self.errors.read().decode()}")
        return status, Cost(wall / 1e9, user / 1e6, system / 1e6, rss, faults)

    def cost(self, subject):
        total = Cost()
        commands = subject() if callable(subject) else subject
        for argv in commands if isinstance(commands[0], (list, tuple)) else [commands]:
            total += self.once(argv)[1]
        return total

    def in_turns(self, subjects, runs, warm=2):
        """
        {name: [Cost]}. In turns, so that a busy moment of the machine falls on all, and the order
        turned round each time, so that none always comes after the same neighbour.
        """
        costs = {name: [] for name in subjects}
        for i in range(runs + warm):
            names = list(subjects) if i % 2 else list(reversed(subjects))
            for name in names:
                c = self.cost(subjects[name])
                if i >= warm:
                    costs[name].append(c)
        return costs


def median(costs):
    return statistics.median(c.seconds for c in costs)


def least(costs):
    return min(c.seconds for c in costs)


def peak_kib(costs):
    return max(c.rss_kib for c in costs)
