# SPDX-License-Identifier: Apache-2.0
"""Timing commands in turns, and printing medians with the ratios that count."""
import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

import peers

TOP = Path(__file__).resolve().parents[2]


def arguments(about, **more):
    """more: options of this measurement alone, with their defaults."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--build", type=Path, default=TOP / "build")
    parser.add_argument("--runs", type=int, default=21, help="of each subject")
    parser.add_argument("-n", type=int, default=1000, help="containers (density)")
    for name, default in more.items():
        parser.add_argument(f"--{name}", default=default)
    args = parser.parse_args()
    args.build = args.build.resolve()
    return args


def once(argv, env=None):
    """Seconds of one run, output dropped; it must end with 0."""
    start = time.perf_counter()
    p = peers.spawn(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, err = p.communicate()
    took = time.perf_counter() - start
    if p.returncode:
        raise RuntimeError(f"{argv}: {p.returncode}\n{err.decode(errors='replace')}")
    return took


def in_turns(subjects, runs, env=None):
    """
    {name: median seconds}. subjects: {name: argument list, or a function that gives one}. In turns,
    so that a busy moment of the machine falls on all; the first round is not counted.
    """
    times = {name: [] for name in subjects}
    for i in range(runs + 1):
        for name, argv in subjects.items():
            took = once(argv() if callable(argv) else argv, env)
            if i:
                times[name].append(took)
    return {name: statistics.median(t) for name, t in times.items()}


class Verdict:
    """Promises, each a ratio with its bound; the exit status says whether all were kept."""

    def __init__(self):
        self.kept = True

    def ratio(self, what, value, of, bound):
        r = value / of
        ok = r <= bound
        self.kept = self.kept and ok
        print(f"{'ok  ' if ok else 'MISS'} {what}: {r:.3f}, at most {bound}", flush=True)

    def below(self, what, value, bound):
        ok = value < bound
        self.kept = self.kept and ok
        print(f"{'ok  ' if ok else 'MISS'} {what}: {value}, below {bound}", flush=True)

    def end(self):
        sys.exit(0 if self.kept else 1)


def tell(name, seconds):
    print(f"     {name}: {seconds * 1000:.2f} ms", flush=True)
