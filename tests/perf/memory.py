#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What an idle container keeps in memory beside itself: the shim against conmon and containerd's."""
import statistics
import sys
import time
from pathlib import Path

import measure
import peers

sys.path.insert(0, str(measure.TOP / "tests/e2e"))
from lib import leaks  # noqa: E402
from lib.run import Atoll  # noqa: E402

CONTAINERS = 5


def pss(pid):
    """Kilobytes."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def named(comm, beneath):
    """Pids of processes with this name that have to do with the directory."""
    pids = [int(p.split()[0]) for p in leaks.processes(str(beneath))]
    return [pid for pid in pids if Path(f"/proc/{pid}/comm").read_text().startswith(comm)]


def report(name, pids):
    values = [pss(pid) for pid in pids]
    value = statistics.median(values)
    print(f"     {name}: {value:.0f} kB PSS each ({len(values)} of them)", flush=True)
    return value


def main():
    args = measure.arguments(__doc__)
    verdict = measure.Verdict()
    with peers.Peers(args.build) as p:
        atoll = Atoll(args.build, p.dir)
        atoll("load", "-i", p.archive)
        for _ in range(CONTAINERS):
            atoll("run", "-d", "--network", "none", "busybox:latest", "sleep", "1000")
        podman = p.podman()
        at = podman.index("--rm")
        for _ in range(CONTAINERS):
            p.do(*podman[:at], "-d", *podman[at + 1:-1], "sleep", "1000")
        time.sleep(2)  # until what they do at their start is done: what is measured is idleness
        own = report("atoll-shim", named("atoll-shim", p.dir))
        conmon = report("conmon", named("conmon", p.dir))
        verdict.ratio("memory of atoll-shim to conmon", own, conmon, 1.0)
        atoll.clean()
        p.do(*p.podman_base, "rm", "-f", "-t", "0", "-a")
    verdict.end()


if __name__ == "__main__":
    main()
