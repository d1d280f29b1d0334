#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`atoll run --rm --network none IMAGE true` against podman, docker and ctr."""
import sys

import measure
import peers

sys.path.insert(0, str(measure.TOP / "tests/e2e"))
from lib.run import Atoll  # noqa: E402


def tools(p, args, verdict):
    atoll = Atoll(args.build, p.dir, state=p.run / "atoll")
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


def main():
    args = measure.arguments(__doc__)
    verdict = measure.Verdict()
    with peers.Peers(args.build) as p:
        tools(p, args, verdict)
    verdict.end()


if __name__ == "__main__":
    main()
