#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A thousand idle containers at once: starting them, listing them, ending them, nothing left."""
import statistics
import sys
import tempfile
import time
from pathlib import Path

import measure

sys.path.insert(0, str(measure.TOP / "tests/e2e"))
from lib import images, leaks  # noqa: E402
from lib.run import Atoll  # noqa: E402

EDGE = 20  # starts whose median stands for "the first" and "the last"


def main():
    args = measure.arguments(__doc__)
    verdict = measure.Verdict()
    with tempfile.TemporaryDirectory(prefix="atoll-d-", dir="/tmp") as d:
        base = Path(d)
        watch = leaks.Watch(base)
        (base / "one").mkdir()
        (base / "many").mkdir()
        archive = images.busybox_archive(base / "busybox.tar")
        alone, atoll = Atoll(args.build, base / "one"), Atoll(args.build, base / "many")
        start = ("run", "-d", "--network", "none", "busybox:latest", "sleep", "100000")
        for a in (alone, atoll):
            a("load", "-i", archive)
            measure.once(a.argv(*start))
        run = atoll.argv(*start)
        try:
            began = time.monotonic()
            starts = [measure.once(run) for _ in range(args.n)]
            took = time.monotonic() - began
            print(f"     {args.n} starts: {took:.1f} s", flush=True)
            first, last = (statistics.median(starts[:EDGE]), statistics.median(starts[-EDGE:]))
            measure.tell("first starts", first)
            measure.tell("last starts", last)
            # In turns: what else the machine does falls on both.
            ps = measure.in_turns({"one": alone.argv("ps", "-q"), "many": atoll.argv("ps", "-q")},
                                  args.runs)
            one, many = ps["one"], ps["many"]
            measure.tell("ps at 1", one)
            measure.tell(f"ps at {args.n + 1}", many)
            running = len(atoll("ps", "-q").out.split())
            verdict.ratio("containers that do not run", args.n + 1 - running, args.n, 0)
            verdict.ratio(f"seconds for {args.n} starts to 120", took, 120, 1)
            verdict.ratio("the last starts to the first", last, first, 1.3)
            verdict.ratio("ps at many to ps at one", many, one, 5)
        finally:
            began = time.monotonic()
            alone("rm", "-f", *alone.ids())
            ids = atoll.ids()
            for i in range(0, len(ids), 100):
                atoll("rm", "-f", *ids[i:i + 100], timeout=600)
            print(f"     removed: {time.monotonic() - began:.1f} s", flush=True)
        watch.check(deadline_s=60)
        print("     nothing left behind", flush=True)
    verdict.end()


if __name__ == "__main__":
    main()
