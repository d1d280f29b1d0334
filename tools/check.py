#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Build, run the suites, print each one's totals, show every failure in full at the end.

    check.py build|fast|all|asan|clang|fuzz|e2e [--build DIR] [--seconds N] [-k EXPRESSION]
    check.py vm [--build DIR] [--stage v2|systemd|kvm [FILE...]]

A skipped test must stand in tools/skips.txt with its reason; another skip is a failure. `vm` with a
stage runs the tests in that machine alone, or just these files of tests/e2e in it.
"""
import argparse
import fnmatch
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

from vm import suite as vm_suite

TOP = Path(__file__).resolve().parent.parent
JOBS = str(os.cpu_count() or 2)
STARTED = time.monotonic()
# The whole takes some 30 minutes on two idle cores. What is late at its end, which are the
# emulated machines, gets what is left until then, and says what it did not come to.
TOTAL_S = 37 * 60
SUITE_TIMEOUT_S = 41 * 60
# libsqlite3.a refers to dlopen() for extensions, which the store never loads; glibc's static dlopen
# comes in with iconv in any case, and ld says so for each static program.
KNOWN_WARNING = re.compile(r"Using 'dlopen' in statically linked applications")


class Suite:
    """The outcome of one suite."""

    def __init__(self, name):
        self.name = name
        self.passed = 0
        self.failures = []  # (test, text)
        self.skips = []  # (test, reason)
        self.started = time.monotonic()

    def fail(self, test, text):
        self.failures.append((test, text.rstrip()))

    def skip(self, test, reason):
        if any(fnmatch.fnmatch(test, t) and fnmatch.fnmatch(reason, r) for t, r in listed_skips()):
            self.skips.append((test, reason))
        else:
            self.fail(test, f"skipped, and not on tools/skips.txt: {reason}")

    def end(self):
        seconds = time.monotonic() - self.started
        print(f"{self.name}: {self.passed} passed, {len(self.failures)} failed, "
              f"{len(self.skips)} skipped ({seconds:.0f} s)", flush=True)
        return self


def run(argv, timeout=SUITE_TIMEOUT_S, env=None):
    """Exit status and output of a command in a process group of its own, ended with it."""
    p = subprocess.Popen(argv, cwd=TOP, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, errors="replace",
                         start_new_session=True)
    try:
        out, _ = p.communicate(timeout=timeout)
        return p.returncode, out
    except (subprocess.TimeoutExpired, KeyboardInterrupt) as ex:
        try:
            os.killpg(p.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        out, _ = p.communicate()
        if isinstance(ex, KeyboardInterrupt):
            raise
        return 124, out + f"\n[killed after {timeout} s]"


def build(where, *options, cc=None, warnings=True):
    """
    Configure (once) and compile; one suite with one test. warnings: each is a failure. Not so
    under sanitizers, whose own code misleads the compiler's analysis.
    """
    s = Suite("build" if where == ARGS.build else f"build {where.name}")
    env = dict(os.environ)
    if cc:
        env["CC"] = cc
    if not (where / "build.ninja").exists():
        shutil.rmtree(where, ignore_errors=True)
        rc, out = run(["meson", "setup", str(where), f"-Dwerror={str(warnings).lower()}",
                       *options], env=env)
        if rc:
            s.fail("meson setup", out)
            return s.end()
    rc, out = run(["ninja", "-C", str(where), "-j", JOBS], env=env)
    if rc:
        s.fail("ninja", "\n".join(l for l in out.splitlines() if not l.startswith("[")))
    elif warnings and (told := [l for l in out.splitlines() if "warning:" in l and not KNOWN_WARNING.search(l)]):
        s.fail("ninja", "\n".join(told))
    else:
        s.passed = 1
    return s.end()


def meson_suite(where, suite, name):
    s = Suite(name)
    log = where / "meson-logs" / "testlog.json"
    log.unlink(missing_ok=True)
    rc, out = run(["meson", "test", "-C", str(where), "--no-rebuild", "--suite", suite])
    results = [json.loads(l) for l in log.read_text().splitlines()] if log.exists() else []
    for t in results:
        label = t["name"].split(" / ")[-1]
        text = t.get("stdout", "") + t.get("stderr", "")
        if t["result"] in ("OK", "EXPECTEDFAIL"):
            s.passed += 1
        elif t["result"] == "SKIP":
            s.skip(f"{name}:{label}", (text.strip().splitlines() or [""])[-1])
        else:
            s.fail(f"{name}:{label} ({t['result']})", text)
    if rc and not s.failures:
        s.fail(name, out)
    return s.end()


def house():
    s = Suite("house")
    rc, out = run([str(TOP / "tools/house.py"), "all", "--build", str(ARGS.build)])
    for line in out.splitlines():
        if line.startswith("ok "):
            s.passed += 1
    failed = [l for l in out.splitlines() if not l.startswith("ok ")]
    if rc:
        s.fail("house", "\n".join(failed))
    return s.end()


def e2e():
    s = Suite("e2e")
    report = ARGS.build / "e2e.xml"
    report.unlink(missing_ok=True)
    before = traces()
    argv = ["/usr/bin/python3", "-m", "pytest", "tests/e2e", "-q", "-n", JOBS, "--dist", "loadfile",
            "-p", "no:cacheprovider", "--timeout", "420", f"--junitxml={report}",
            "--tb=short", "--color=no"]
    if ARGS.k:
        argv += ["-k", ARGS.k]
    rc, out = run(argv, env=dict(os.environ, ATOLL_BUILD=str(ARGS.build.resolve()),
                                 PYTHONDONTWRITEBYTECODE="1"))
    if not report.exists():
        s.fail("pytest", out)
        return s.end()
    for case in ET.parse(report).iter("testcase"):
        name = f"{case.get('classname', '').replace('.', '/')}::{case.get('name')}"
        bad = [c for c in case if c.tag in ("failure", "error")]
        skip = case.find("skipped")
        if bad:
            for b in bad:
                extra = "".join(c.text or "" for c in case if c.tag.startswith("system-"))
                s.fail(f"{name} ({b.tag})", (b.text or b.get("message") or "") + "\n" + extra)
        elif skip is not None:
            s.skip(name, skip.get("message") or "")
        else:
            s.passed += 1
    if rc not in (0, 1) and not s.failures:
        s.fail("pytest", out)
    left = settle(before)
    if left:
        s.fail("traces", "left behind by the suite:\n" + "\n".join(sorted(left)))
    return s.end()


def vm():
    """The end-to-end tests again, some of them, in machines with another kernel."""
    stages = vm_suite.chosen(ARGS.stage, ARGS.files)
    suites = [Suite(stage.name) for stage in stages]
    vm_suite.run(ARGS.build, stages, suites, STARTED + TOTAL_S)
    return suites


def traces():
    """What the end-to-end tests could leave behind on this machine."""
    found = set()
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if "atoll" in line:
            found.add("mount " + line.split()[4])
    for base, dirs, _ in os.walk("/sys/fs/cgroup"):
        if "atoll" in base:
            found.add("cgroup " + base)
    for p in Path("/proc").glob("[0-9]*"):
        try:
            name = (p / "comm").read_text().strip()
            # 22nd field, past the name in parentheses: the start time tells one use of a pid from another
            start = (p / "stat").read_text().rsplit(")", 1)[1].split()[19]
        except OSError:
            continue
        if name.startswith("atoll"):
            found.add(f"process {p.name} {name} started at {start}")
    return found


def settle(before):
    """What is still there beyond `before` after a bounded wait."""
    for _ in range(120):
        left = traces() - before
        if not left:
            break
        time.sleep(0.5)
    return left


def fuzz_replay(where, name):
    return meson_suite(where, "fuzz", name)


def clang_suites():
    where = ARGS.build.with_name(ARGS.build.name + "-clang")
    b = build(where, cc="clang")
    return [b] if b.failures else [b, meson_suite(where, "unit", "unit (clang)")]


def asan_suites():
    where = ARGS.build.with_name(ARGS.build.name + "-asan")
    b = build(where, "-Db_sanitize=address,undefined", "-Db_lundef=false", warnings=False)
    if b.failures:
        return [b]
    return [b, meson_suite(where, "unit", "unit (asan, ubsan)"),
            fuzz_replay(where, "fuzz replay (asan, ubsan)")]


def fuzz_suites():
    where = ARGS.build.with_name(ARGS.build.name + "-fuzz")
    b = build(where, "-Db_sanitize=address,undefined", "-Db_lundef=false", "-Dfuzzers=true",
              cc="clang", warnings=False)
    if b.failures:
        return [b]
    suites = [b]
    for target in sorted((where / "tests/fuzz").glob("fuzz_*")):
        if target.is_dir():
            continue
        s = Suite(target.name)
        found = where / "found" / target.name
        found.mkdir(parents=True, exist_ok=True)
        corpus = TOP / "tests/fuzz/corpus" / target.name.removeprefix("fuzz_")
        # New inputs go to `found`; the corpus in the repository only changes by hand.
        rc, out = run([str(target), f"-max_total_time={ARGS.seconds}", "-timeout=10",
                       f"-artifact_prefix={found}/crash-", "-print_final_stats=1", str(found),
                       str(corpus)])
        if rc:
            s.fail(target.name, out[-8000:])
        else:
            s.passed = 1
        suites.append(s.end())
    return suites


def first_build():
    return [build(ARGS.build)]


def fast_suites():
    suites = first_build()
    if suites[0].failures:
        return suites
    return suites + [meson_suite(ARGS.build, "unit", "unit"), house(),
                     fuzz_replay(ARGS.build, "fuzz replay")]


def e2e_suites():
    suites = first_build()
    return suites if suites[0].failures else suites + [e2e()]


def vm_suites():
    suites = first_build()
    return suites if suites[0].failures else suites + vm()


def all_suites():
    suites = fast_suites()
    if suites[0].failures:
        return suites
    return suites + [e2e()] + clang_suites() + asan_suites() + vm()  # the last gets what time is left


WHAT = {"build": first_build, "fast": fast_suites, "all": all_suites, "asan": asan_suites,
        "clang": clang_suites, "fuzz": fuzz_suites, "e2e": e2e_suites, "vm": vm_suites}


@functools.cache
def listed_skips():
    """(test pattern, reason pattern) of tools/skips.txt."""
    pairs = []
    for line in (TOP / "tools/skips.txt").read_text().splitlines():
        line = line.split("#")[0].strip()
        if line:
            test, reason = line.split("|", 1)
            pairs.append((test.strip(), reason.strip()))
    return pairs


def main():
    suites = WHAT[ARGS.what]()
    ok = True
    for s in suites:
        for test, reason in s.skips:
            print(f"skipped: {test}: {reason}")
    for s in suites:
        for test, text in s.failures:
            print(f"\n==== failed: {s.name}: {test}\n{text}")
            ok = False
    if len(suites) > 1:
        print(f"\ntotal: {sum(s.passed for s in suites)} passed, "
              f"{sum(len(s.failures) for s in suites)} failed, "
              f"{sum(len(s.skips) for s in suites)} skipped")
    return 0 if ok else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=sorted(WHAT))
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--seconds", type=int, default=30, help="per fuzz target")
    parser.add_argument("--stage", choices=[s.key for s in vm_suite.STAGES],
                        help="vm: this machine alone")
    parser.add_argument("files", nargs="*", metavar="FILE",
                        help="vm: these of tests/e2e instead of the stage's own")
    parser.add_argument("-k", help="only end-to-end tests that match (pytest's -k)")
    ARGS = parser.parse_intermixed_args()
    if ARGS.files and not ARGS.stage:
        parser.error("files are for one --stage of vm")
    ARGS.files = [Path(f).name for f in ARGS.files]
    ARGS.build = (TOP / ARGS.build).resolve()
    sys.exit(main())
