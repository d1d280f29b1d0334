#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
atoll-runtime's verbs on one bundle against crun's and runc's, Debian 12's and those of a newer
suite, in one mount namespace and in turns. Beside the times: the peak memory of each verb's largest
process, the smallest memory limit that starts a container, and what a thousand neighbours cost.

    runtime.py [--build DIR] [--runs N] [-n NEIGHBOURS] [--strace FILE] [--only WORD,...]

--only: those whose name begins with one of the words: scenes ("run", "exec", ...), "smallest
memory limit", "growth".
"""
import json
import subprocess
import sys
from itertools import count
from pathlib import Path

import launcher
import measure
import newer
import peers

sys.path.insert(0, str(measure.TOP / "tests/e2e"))
from lib.run import Atoll  # noqa: E402

OWN = "atoll-runtime"
BAR = f"crun {newer.SUITE}"  # whom the promises are about
TIME = 0.4  # of its time
RSS_KIB = 1024  # below
LIMIT_KIB = 384  # at most
GROWTH = 1.25  # of the time beside nobody; of the least, as the two are not taken in turns
SLOW = {"runc", f"runc {newer.SUITE}"}  # timed less often
LIMITS_KIB = [128, 192, 256, 320, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 8192, 16384]
STARTS = 4  # that all succeed under a limit
ids = (f"perf-{n}" for n in count())


class Bench:
    def __init__(self, p, args, launch):
        self.p, self.args, self.launch = p, args, launch
        latest = newer.Newer(args.build)
        programs = {OWN: str(args.build / OWN)}
        for name in ("crun", "runc"):
            programs |= {name: p.bin(name), f"{name} {newer.SUITE}": latest.bin(name)}
        # Each state in its own directory below /run, a tmpfs, where they keep it by default.
        self.runtimes = {n: [program, "--root", f"/run/perf-{n.replace(' ', '-')}"]
                         for n, program in programs.items()}
        self.bundles = count()
        self.default = json.loads(self.spec_text())
        self.verdict = measure.Verdict()

    def wanted(self, name):
        return not self.args.only or name.startswith(tuple(self.args.only.split(",")))

    def spec_text(self):
        where = self.p.dir / "spec"
        where.mkdir()
        subprocess.run([*self.runtimes[OWN], "spec", "--bundle", str(where)], check=True)
        return (where / "config.json").read_text()

    def bundle(self, *argv, change=None):
        """`spec`'s default with a command; the root file system has busybox and `idle`."""
        spec = json.loads(json.dumps(self.default))
        spec["ociVersion"] = "1.0.2"  # Debian 12's crun knows nothing later
        spec["process"].update(terminal=False, args=list(argv))
        spec["root"]["path"] = str(self.p.rootfs)
        if change:
            change(spec)
        where = self.p.dir / f"bundle-{next(self.bundles)}"
        where.mkdir()
        (where / "config.json").write_text(json.dumps(spec))
        return str(where)

    def versions(self):
        for name, argv in self.runtimes.items():
            out = subprocess.run([argv[0], "--version"], capture_output=True, text=True,
                                 check=True).stdout
            print(f"     {name}: {out.splitlines()[0]}", flush=True)

    # -- one scene: the same command of every runtime

    def scene(self, title, command, names=None, memory=True):
        """
        command(argv of the runtime, its name) -> a subject. Tells all, judges time and, unless it
        is the workload's, memory.
        """
        if not self.wanted(title):
            return
        subjects = {n: (lambda argv=argv, n=n: command(argv, n))
                    for n, argv in self.runtimes.items() if not names or n in names}
        fast = {n: s for n, s in subjects.items() if n not in SLOW}
        costs = self.launch.in_turns(fast, self.args.runs)
        costs |= self.launch.in_turns({n: s for n, s in subjects.items() if n in SLOW},
                                      max(3, self.args.runs // 4))
        for n in subjects:
            c = costs[n]
            print(f"     {n} {title}: {launcher.median(c) * 1000:.2f} ms median, "
                  f"{launcher.least(c) * 1000:.2f} least, "
                  f"{launcher.peak_kib(c)} KiB, {min(x.faults for x in c)} faults", flush=True)
        self.verdict.ratio(f"{title}: {OWN} to {BAR}", launcher.median(costs[OWN]),
                           launcher.median(costs[BAR]), TIME)
        if memory:
            self.verdict.below(f"{title}: KiB of its largest process",
                               launcher.peak_kib(costs[OWN]), RSS_KIB)

    def detached(self, argv, bundle):
        id = next(ids)
        self.launch.once([*argv, "run", "--detach", "--bundle", bundle, id])
        return id

    def delete(self, argv, *names):
        for id in names:
            self.launch.once([*argv, "delete", "--force", id], may_fail=True)


def cycle(bundle):
    def command(argv, _):
        id = next(ids)
        return [[*argv, "create", "--bundle", bundle, id], [*argv, "start", id],
                [*argv, "delete", "--force", id]]
    return command


def run(bundle):
    return lambda argv, _: [*argv, "run", "--bundle", bundle, next(ids)]


def docker_profile(p, build):
    """linux.seccomp as docker's default profile makes it for an ordinary container."""
    atoll = Atoll(build, p.dir / "atoll")
    (p.dir / "atoll").mkdir()
    atoll("load", "-i", p.archive)
    id = atoll("run", "-d", "--network", "none", "busybox:latest", "sleep", "1000").line
    config = json.loads((atoll.root / "workloads" / id / "config.json").read_text())
    atoll("rm", "--force", id)
    return config["linux"]["seccomp"]


def verbs(b):
    """Times and memory of each verb. The workload needs next to nothing: memory is the runtime's."""
    def filtered(spec):
        spec["linux"]["seccomp"] = docker_profile(b.p, b.args.build)

    def with_user(spec):
        spec["linux"]["namespaces"].append({"type": "user"})
        for k in ("uidMappings", "gidMappings"):
            spec["linux"][k] = [{"containerID": 0, "hostID": 0, "size": 65536}]

    plain, sleeper = b.bundle("/idle"), b.bundle("/idle", "forever")
    b.scene("run", run(plain))
    b.scene("run, docker's seccomp profile", run(b.bundle("/idle", change=filtered)))
    b.scene("run, also a user namespace", run(b.bundle("/idle", change=with_user)))
    b.scene("run busybox true", run(b.bundle("/bin/true")), {OWN, BAR}, memory=False)
    running = {}
    try:
        for n, argv in b.runtimes.items():
            running[n] = [b.detached(argv, sleeper)]
        b.scene("exec", lambda argv, n: [*argv, "exec", running[n][0], "/idle"])
        b.scene("state", lambda argv, n: [*argv, "state", running[n][0]])
        b.scene("list of 1", lambda argv, n: [*argv, "list"])
        b.scene("create, start, delete --force", cycle(plain))
        for n in (OWN, BAR) if b.wanted("list of 100") else ():
            running[n] += [b.detached(b.runtimes[n], sleeper) for _ in range(99)]
        b.scene("list of 100", lambda argv, n: [*argv, "list"], {OWN, BAR})
    finally:
        for n, names in running.items():
            b.delete(b.runtimes[n], *names)


def smallest_limit(b):
    for name in (OWN, BAR, f"runc {newer.SUITE}"):
        for kib in LIMITS_KIB:
            def limited(spec, kib=kib):
                spec["linux"]["resources"]["memory"] = {"limit": kib << 10}

            bundle = b.bundle("/bin/true", change=limited)
            good = 0
            for _ in range(STARTS):
                id = next(ids)
                status, _ = b.launch.once([*b.runtimes[name], "run", "--bundle", bundle, id],
                                          may_fail=True)
                good += status == 0
                if status:
                    b.delete(b.runtimes[name], id)
            if good == STARTS:
                break
        print(f"     {name}: smallest memory limit that starts true {STARTS} of {STARTS} times: "
              f"{kib} KiB", flush=True)
        if name == OWN:
            b.verdict.ratio("smallest memory limit, KiB, to the promise", kib, LIMIT_KIB, 1.0)


def growth(b):
    argv, plain, sleeper = b.runtimes[OWN], b.bundle("/idle"), b.bundle("/idle", "forever")
    running = [b.detached(argv, sleeper)]
    subjects = {
        "state": [*argv, "state", running[0]],
        "exec": [*argv, "exec", running[0], "/idle"],
        "run": lambda: [*argv, "run", "--bundle", plain, next(ids)],
        "list": [*argv, "list"],
        # What the kernel itself takes longer for, beside so many cgroups and namespaces.
        f"run of {BAR}": lambda: [*b.runtimes[BAR], "run", "--bundle", plain, next(ids)],
        "start of an empty program": [str(b.p.rootfs / "idle")],
    }
    try:
        alone = b.launch.in_turns(subjects, b.args.runs)
        running += [b.detached(argv, sleeper) for _ in range(b.args.n)]
        beside = b.launch.in_turns(subjects, b.args.runs)
        for verb, costs in beside.items():
            print(f"     {verb} alone: {launcher.median(alone[verb]) * 1000:.2f} ms median; beside "
                  f"{b.args.n}: {launcher.median(costs) * 1000:.2f} ms", flush=True)
            if verb in ("state", "exec"):  # list tells of each of them
                b.verdict.ratio(f"{verb} beside {b.args.n} to alone", launcher.least(costs),
                                launcher.least(alone[verb]), GROWTH)
        # Namespaces and cgroups cost the kernel more beside so many: no more than with them.
        added = {v: launcher.median(beside[v]) - launcher.median(alone[v])
                 for v in ("run", f"run of {BAR}")}
        b.verdict.ratio(f"what {b.args.n} neighbours add to a run, to what they add to {BAR}'s",
                        max(0, added["run"]), max(1e-4, added[f"run of {BAR}"]), 1.0)
        each = (launcher.median(beside["list"]) - launcher.median(alone["list"])) / b.args.n
        print(f"     list: {each * 1e6:.1f} us for each more", flush=True)
    finally:
        b.delete(argv, *running)


def strace(b, into):
    """Which system calls a `run` makes, ours and theirs: `strace -f -c`."""
    plain = b.bundle("/idle")
    with open(into, "w", encoding="utf-8") as out:
        for name in (OWN, BAR):
            text = subprocess.run(["strace", "-f", "-c", *b.runtimes[name], "run", "--bundle", plain,
                                   next(ids)], capture_output=True, text=True, check=True).stderr
            out.write(f"== {name}\n{text}\n")


def main():
    args = measure.arguments(__doc__, strace=None, only=None)
    with peers.Peers(args.build) as p:
        if peers.hybrid():
            # In our own mount namespace: crun refuses to start where it sees both kinds.
            subprocess.run(["umount", "/sys/fs/cgroup/unified"], check=True)
        launcher.install_idle(args.build, p.rootfs)
        with launcher.Launcher(args.build, p.env) as launch:
            b = Bench(p, args, launch)
            b.versions()
            if args.strace:
                strace(b, Path(args.strace))
            verbs(b)
            if b.wanted("smallest memory limit"):
                smallest_limit(b)
            if b.wanted("growth"):
                growth(b)
    b.verdict.end()


if __name__ == "__main__":
    main()
