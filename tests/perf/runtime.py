#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""atoll-runtime's verbs on one bundle against crun's and runc's, in the same namespace, in turns."""
import subprocess
import sys
from itertools import count

import measure
import peers

sys.path.insert(0, str(measure.TOP / "tests/e2e"))
from lib import images  # noqa: E402
from lib.run import Runtime  # noqa: E402

BOUNDS = {"run": 1.0, "create, start, delete": 1.0, "exec": 1.0, "state": 1.0}
ids = (f"atoll-perf-{n}" for n in count())


def spec(s):
    s["ociVersion"] = "1.0.2"  # Debian's crun knows nothing later


def verbs(runtimes, bundle, running):
    """{verb: {runtime: argument list or a function that gives one}}"""
    life = '"$@" create --bundle "$B" "$ID" && "$@" start "$ID" && "$@" delete --force "$ID"'

    def cycle(argv):
        return lambda: ["sh", "-c", f'B=$1 ID=$2; shift 2; {life}', "sh", str(bundle), next(ids),
                        *argv]
    return {
        "run": {n: lambda argv=argv: [*argv, "run", "--bundle", str(bundle), next(ids)]
                for n, argv in runtimes.items()},
        "create, start, delete": {n: cycle(argv) for n, argv in runtimes.items()},
        "exec": {n: [*argv, "exec", running[n], "/bin/true"] for n, argv in runtimes.items()},
        "state": {n: [*argv, "state", running[n]] for n, argv in runtimes.items()},
    }


def start_sleepers(p, runtimes):
    bundle = images.bundle(p.dir / "sleeper", p.rootfs, ["/bin/sleep", "100000"], spec)
    running = {}
    for name, argv in runtimes.items():
        running[name] = next(ids)
        subprocess.run([*argv, "run", "--detach", "--bundle", str(bundle), running[name]],
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return running


def main():
    args = measure.arguments(__doc__)
    verdict = measure.Verdict()
    with peers.Peers(args.build) as p:
        if peers.hybrid():
            # In our own mount namespace: crun refuses to start where it sees both kinds.
            subprocess.run(["umount", "/sys/fs/cgroup/unified"], check=True)
        bundle = images.bundle(p.dir / "bundle", p.rootfs, change=spec)
        runtimes = {"atoll-runtime": Runtime(args.build, p.dir).argv()}
        for name in ("crun", "runc"):
            runtimes[name] = [p.bin(name), "--root", str(p.dir / f"{name}-state")]
        running = start_sleepers(p, runtimes)
        try:
            for verb, subjects in verbs(runtimes, bundle, running).items():
                medians = measure.in_turns(subjects, args.runs, p.env)
                for name, seconds in medians.items():
                    measure.tell(f"{name} {verb}", seconds)
                verdict.ratio(f"atoll-runtime {verb} to crun's", medians["atoll-runtime"],
                              medians["crun"], BOUNDS[verb])
        finally:
            for name, argv in runtimes.items():
                subprocess.run([*argv, "delete", "--force", running[name]], check=False)
    verdict.end()


if __name__ == "__main__":
    main()
