#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`atoll run --rm --network none IMAGE true` against podman, docker and ctr; bundles against crun, runc."""
import sys

import measure
import peers

sys.path.insert(0, str(measure.TOP / "tests/e2e"))
from lib import images  # noqa: E402
from lib.run import Atoll, Runtime  # noqa: E402


def tools(p, args, verdict):
    atoll = Atoll(args.build, p.dir)
    atoll("load", "-i", p.archive)
    subjects = {"atoll run": atoll.argv("run", "--rm", "--network", "none", "busybox:latest",
                                        "true")}
    for name in ("podman", "docker", "ctr"):
        try:
            subjects[f"{name} run"] = getattr(p, name)()
        except (RuntimeError, AssertionError) as ex:
            print(f"     {name} cannot run here: {ex}")
    medians = measure.in_turns(subjects, args.runs, p.env)
    for name, seconds in medians.items():
        measure.tell(name, seconds)
    others = [s for n, s in medians.items() if n != "atoll run"]
    if others:
        verdict.ratio("atoll run to the fastest of the others", medians["atoll run"], min(others),
                      0.1)


def runtimes(p, args, verdict):
    def spec(s):
        s["ociVersion"] = "1.0.2"  # Debian's crun knows nothing later
    bundle = images.bundle(p.dir / "bundle", p.rootfs, change=spec)
    runtime = Runtime(args.build, p.dir)
    ways = {"atoll-runtime run": runtime.argv("run", "--bundle", str(bundle))}
    count = iter(range(1_000_000))
    for name in ("crun", "runc"):
        ways[f"{name} run"] = [*p.low_level(name), str(bundle)]
    subjects = {name: lambda argv=argv: [*argv, f"perf-{next(count)}"]
                for name, argv in ways.items()}
    # crun is timed in its mount namespace made beforehand: what hides v2 is not its own cost.
    if peers.hybrid():
        hidden = measure.in_turns({"hide": ["unshare", "-m", "sh", "-c",
                                            'umount /sys/fs/cgroup/unified && exec "$@"', "sh",
                                            "true"]}, args.runs, p.env)["hide"]
        plain = measure.in_turns({"true": ["true"]}, args.runs, p.env)["true"]
    medians = measure.in_turns(subjects, args.runs, p.env)
    if peers.hybrid():
        medians["crun run"] -= hidden - plain
    for name, seconds in medians.items():
        measure.tell(name, seconds)
    verdict.ratio("atoll-runtime run to crun run", medians["atoll-runtime run"],
                  medians["crun run"], 1.0)


def main():
    args = measure.arguments(__doc__)
    verdict = measure.Verdict()
    with peers.Peers(args.build) as p:
        tools(p, args, verdict)
        runtimes(p, args, verdict)
    verdict.end()


if __name__ == "__main__":
    main()
