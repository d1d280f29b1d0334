#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
In the machine: run files of end-to-end tests, one process each, one after the other.

    inside.py RESULTS BUDGET_S FILE_LIMIT_S TEST_LIMIT_S [NAME=VALUE | FILE[:WORD,...]]...

A NAME=VALUE is in the environment of the files after it; of FILE:WORD,... run the tests whose names
have one of the words. All the while RESULTS.pulse is written anew
every PULSE_S: who looks from outside knows by it that the machine has not come to a standstill.

Python starts slowly here, so pytest is loaded once and forked from. A test that failed is run once
more by itself, as deadlines that are ample on a machine can be short on an emulated one. What each test did is a line of
JSON in RESULTS as soon as it is known: what a file that never ends had done counts.
"""
import json
import os
import signal
import sys
import time

import pytest

PULSE_S = 5


class Pulse:
    """The sign of life."""

    def __init__(self, path):
        self.path = path
        self.last = 0

    def beat(self):
        now = time.monotonic()
        if now - self.last >= PULSE_S:
            self.last = now
            with open(self.path, "w", encoding="ascii") as f:
                f.write(f"{now}\n")


class Report:
    """A plugin of pytest that writes down each test's outcome as it ends."""

    def __init__(self, out, deadline, again):
        self.out = out
        self.deadline = deadline
        self.again = again
        self.bad = set()

    def say(self, **fact):
        self.out.write(json.dumps({**fact, "again": self.again}) + "\n")
        self.out.flush()

    def pytest_collection_finish(self, session):
        for item in session.items:
            self.say(test=item.nodeid, outcome="found")

    def pytest_collectreport(self, report):
        if report.failed:
            self.say(test=report.nodeid, outcome="failed", text=report.longreprtext)

    def pytest_runtest_setup(self, item):
        if time.monotonic() > self.deadline:
            pytest.skip("out of time in the emulated machine")

    def pytest_runtest_logreport(self, report):
        if report.failed:
            captured = "".join(f"\n---- {title}\n{text}" for title, text in report.sections)
            self.say(test=report.nodeid, outcome="failed", when=report.when,
                     text=report.longreprtext + captured)
            self.bad.add(report.nodeid)
        elif report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            self.say(test=report.nodeid, outcome="skipped", text=reason.removeprefix("Skipped: "))
            self.bad.add(report.nodeid)
        elif report.when == "teardown" and report.nodeid not in self.bad:
            self.say(test=report.nodeid, outcome="passed")


def child(results, deadline, test_limit_s, tests, again):
    """Never returns."""
    os.setpgid(0, 0)
    with open(results, "a", encoding="utf-8") as out:
        status = pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=long",
                              "--color=no", f"--timeout={test_limit_s}", *tests],
                             plugins=[Report(out, deadline, again)])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(status))


def run(results, pulse, limit, test_limit_s, tests, again):
    """True when its process had to be killed."""
    pid = os.fork()
    if pid == 0:
        child(results, limit, test_limit_s, tests, again)
    # New tests stop at the limit by themselves; one that is under way may take its own time.
    killed = False
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > limit + test_limit_s + 60 and not killed:
            os.killpg(pid, signal.SIGKILL)
            killed = True
        pulse.beat()
        time.sleep(0.1)
    return killed


def worth_another_try(results, file):
    """Tests of the file that failed; none when something was left behind: that is no question of
    time, and would not be seen when they run by themselves."""
    with open(results, encoding="utf-8") as f:
        facts = [x for x in map(json.loads, f) if x.get("outcome") == "failed"]
    facts = [x for x in facts if x["test"].split("::")[0] == file]
    if any(x.get("when") not in ("setup", "call") for x in facts):
        return []
    return list(dict.fromkeys(x["test"] for x in facts))


def main():
    results, budget_s, file_limit_s, test_limit_s = sys.argv[1], *map(int, sys.argv[2:5])
    end = time.monotonic() + budget_s
    pulse = Pulse(f"{results}.pulse")
    pulse.beat()
    for file in sys.argv[5:]:
        name, equals, value = file.partition("=")
        if equals:
            os.environ[name] = value
            continue
        if time.monotonic() > end:
            break
        started = time.monotonic()
        limit = min(started + file_limit_s, end)
        path, _, words = file.partition(":")
        chosen = [path, "-k", words.replace(",", " or ")] if words else [path]
        killed = run(results, pulse, limit, test_limit_s, chosen, False)
        failed = [] if killed else worth_another_try(results, path)
        if failed and time.monotonic() < limit:
            killed = run(results, pulse, limit, test_limit_s, failed, True)
        with open(results, "a", encoding="utf-8") as out:
            out.write(json.dumps({"file": file, "killed": killed,
                                  "seconds": round(time.monotonic() - started)}) + "\n")


if __name__ == "__main__":
    main()
