#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
What single operations take (ops.c) on the host, in a container (atoll-runtime), in Atoll's sandbox
(atoll-sentry) and in gVisor's (runsc of Debian's backports), in turns; the start of `true`, and what an
idle sandbox keeps in memory.

    sandbox.py [--build DIR] [--runs N] [--only OPERATION,...]
"""
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path

import launcher
import measure
import memory
import newer
import peers

sys.path.insert(0, str(measure.TOP / "tests/e2e"))
from lib import images, sentry  # noqa: E402

HOST, CONTAINER, OWN, BAR = "host", "atoll-runtime", "atoll-sentry", "runsc"
WHERE = "/dev/shm"  # a tmpfs in each of them
PLATFORMS = ("systrap", "ptrace")
PATIENCE = 30  # seconds for one operation's batches: runsc may stand still where processors are busy
# Of runsc's time.
PROMISES = {"call": 0.7, "open+close": 0.5, "create+unlink": 0.5, "fork+exit": 0.2,
            "fork+exec": 0.2, "thread": 0.7, "signal": 0.5}
LOCAL = 1  # of the host's own
BUSY = 0.3  # a call, while somebody else wants every processor
START = 0.1
PSS = 0.1
ids = (f"perf-sandbox-{n}" for n in count())


class Subjects:
    """Argument lists that run a command of one root file system in each of them."""

    def __init__(self, build, base):
        self.build, self.base = build, base
        self.rootfs = images.busybox_rootfs(base / "rootfs")
        self.ops = launcher.compiled(build, "ops", "-pthread")
        shutil.copy2(self.ops, self.rootfs / "ops")
        for d in ("proc", "dev", "sys", "tmp"):
            (self.rootfs / d).mkdir(exist_ok=True)
        self.image = base / "image"
        subprocess.run(["mkfs.erofs", "-d0", "--all-root", self.image, self.rootfs], check=True,
                       stdout=subprocess.DEVNULL)
        self.spec = base / "spec"
        self.spec.mkdir()
        subprocess.run([build / "atoll-runtime", "spec", "--bundle", self.spec], check=True)
        self.bar = []  # runsc and its options

    def operations(self):
        return subprocess.run([self.ops], capture_output=True, text=True,
                              check=True).stdout.split()

    def bundle(self, argv):
        spec = json.loads((self.spec / "config.json").read_text())
        spec["ociVersion"] = "1.0.2"
        spec["process"].update(terminal=False, args=argv, env=["PATH=/bin"])
        spec["root"] = {"path": str(self.rootfs), "readonly": False}
        where = Path(tempfile.mkdtemp(dir=self.base))
        (where / "config.json").write_text(json.dumps(spec))
        return where

    def host(self, argv):
        if argv[0] == "/ops":
            return [self.ops, *argv[1:]]
        return [images.BUSYBOX, Path(argv[0]).name, *argv[1:]]

    def container(self, argv):
        return [self.build / CONTAINER, "--root", self.base / "runtime", "run", "--bundle",
                self.bundle(argv), next(ids)]

    def own(self, argv):
        with tempfile.NamedTemporaryFile("w", dir=self.base, delete=False) as f:
            json.dump(sentry.config(argv), f)
        return [self.build / OWN, "--root", self.image, "--config", f.name]

    def runsc(self, argv):
        return [*self.bar, "run", "--bundle", self.bundle(argv), next(ids)]

    def find_bar(self):
        """runsc with the first platform that works here; what it said, or None."""
        program, said = newer.runsc(self.build), ""
        for platform in PLATFORMS:
            self.bar = [program, "--root", self.base / "runsc", "--platform", platform,
                        "--network", "none", "--ignore-cgroups"]
            p = subprocess.run(self.runsc(["/bin/true"]), stdin=subprocess.DEVNULL,
                               capture_output=True, text=True, timeout=120, check=False)
            if p.returncode == 0:
                print(f"     {BAR}: platform {platform}", flush=True)
                return None
            said += f"{platform}: {p.stderr.strip()[-300:]} "
        return said

    def clear(self):
        """Containers of commands that were ended: their control groups would stay."""
        runtime = [self.build / CONTAINER, "--root", self.base / "runtime"]
        left = subprocess.run([*runtime, "list", "--quiet"], capture_output=True, text=True,
                              check=False).stdout.split()
        for id in left:
            subprocess.run([*runtime, "delete", "--force", id], check=False)

    def all(self, with_bar):
        found = {HOST: self.host, CONTAINER: self.container, OWN: self.own}
        return found | ({BAR: self.runsc} if with_bar else {})


def end(p):
    """A command with all that it has started, whatever that does."""
    for pid in reversed([p.pid, *sentry.children(p.pid)]):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    p.communicate()


def measured(argv):
    """Microseconds of one operation and None, or None and why there are none."""
    p = subprocess.Popen([*map(str, argv)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    try:
        out, err = p.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        end(p)
        return None, f"no end within {PATIENCE} s"
    if p.returncode:
        return None, f"ended with {p.returncode} {out}{err}"
    return float(out.split()[1]), None


def operations(subjects, names, runs):
    """{operation: {subject: median us}}; runsc, where it cannot, is left out of it."""
    figures = {}
    for name in names:
        found = {s: [] for s in subjects}
        for _ in range(runs):
            for s in [*found]:
                us, why = measured(subjects[s](["/ops", WHERE, name]))
                if why and s != BAR:
                    raise RuntimeError(f"{s}: {name}: {why}")
                if why:
                    print(f"     {s}: {name}: {why}", flush=True)
                    del found[s]
                else:
                    found[s].append(us)
        figures[name] = {s: statistics.median(us) for s, us in found.items()}
        row = ", ".join(f"{s} {us:.2f}" for s, us in figures[name].items())
        print(f"     {name}, us: {row}", flush=True)
    return figures


def judge(figures, verdict):
    for operation, bound in PROMISES.items():
        by = figures.get(operation, {})
        if BAR in by:
            verdict.ratio(f"{operation}: {OWN} to {BAR}", by[OWN], by[BAR], bound)
    if "local-call" in figures:
        by = figures["local-call"]
        verdict.ratio(f"local-call: {OWN} to {HOST}", by[OWN], by[HOST], LOCAL)


def busy(subjects, runs, verdict):
    """Calls beside a loop on each processor, which is nobody's of them."""
    loops = [subprocess.Popen([images.BUSYBOX, "sh", "-c", "while :; do :; done"])
             for _ in os.sched_getaffinity(0)]
    try:
        print("     beside a loop on each processor:", flush=True)
        by = operations(subjects, ["call"], runs)["call"]
    finally:
        for p in loops:
            end(p)
    if BAR in by:
        verdict.ratio(f"call beside loops: {OWN} to {BAR}", by[OWN], by[BAR], BUSY)


def starts(subjects, build, runs, verdict):
    with launcher.Launcher(build) as launch:
        costs = launch.in_turns({n: (lambda argv=argv: [*map(str, argv(["/bin/true"]))])
                                 for n, argv in subjects.items()}, runs)
    for name, c in costs.items():
        print(f"     {name}, start of true: {launcher.median(c) * 1000:.2f} ms median, "
              f"{launcher.least(c) * 1000:.2f} least", flush=True)
    if BAR in costs:
        verdict.ratio(f"start of true: {OWN} to {BAR}", launcher.median(costs[OWN]),
                      launcher.median(costs[BAR]), START)


def idle(subjects, verdict):
    """Of all processes of a sleep, but the sleep's own where it is the host's."""
    sizes = {}
    for name, argv in subjects.items():
        p = subprocess.Popen([*map(str, argv(["/bin/sleep", "1000"]))], stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(2)  # until what is done at a start is done: what is measured is idleness
        tree = [p.pid, *sentry.children(p.pid)]
        sizes[name] = sum(memory.pss(pid) for pid in tree)
        print(f"     {name}, idle: {sizes[name]} kB PSS in {len(tree)} processes", flush=True)
        end(p)
    if BAR in sizes:
        verdict.ratio(f"idle memory: {OWN} to {BAR}", sizes[OWN], sizes[BAR], PSS)


def main():
    args = measure.arguments(__doc__, only=None)
    verdict = measure.Verdict()
    peers.own_mounts()
    wanted = args.only.split(",") if args.only else []
    with tempfile.TemporaryDirectory(prefix="atoll-sandbox-", ignore_cleanup_errors=True) as base:
        s = Subjects(args.build, Path(base))
        known = s.operations()
        for name in wanted:
            if name not in known:
                sys.exit(f"--only: there is no operation '{name}', only {', '.join(known)}")
        try:
            reason = s.find_bar()
            if reason:
                print(f"     {BAR} cannot run here: {reason}", flush=True)
            subjects = s.all(not reason)
            judge(operations(subjects, wanted or known, max(3, args.runs // 5)), verdict)
            if not args.only:
                busy(subjects, max(3, args.runs // 5), verdict)
                starts(subjects, args.build, args.runs, verdict)
                idle(subjects, verdict)
        finally:
            s.clear()
    verdict.end()


if __name__ == "__main__":
    main()
