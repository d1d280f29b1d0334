# SPDX-License-Identifier: Apache-2.0
"""
The end-to-end tests of the container engine on Debian's kernel with cgroup v2 alone, which few
development machines have: a chosen few, as everything is 10 to 30 times slower there.
ATOLL_VM=0 leaves them out. Without a mirror to get a kernel from they are skipped, with the reason.
"""
import json
import os
import shutil
import tempfile
from pathlib import Path

from . import machine, parts

TOP = Path(__file__).resolve().parents[2]
NAME = "e2e (Debian's kernel, cgroup v2)"
# What says most about control groups and the kernel first: the budget may end the list early.
FILES = ["test_runtime_cgroups.py", "test_rootless.py", "test_oci_namespaces.py",
         "test_oci_process.py",
         "test_oci_hooks.py", "test_oci_seccomp.py", "test_oci_notify.py", "test_oci_netdev.py",
         "test_runtime_verbs.py", "test_runtime_robust.py", "test_cli_run.py", "test_cli_rootless.py",
         "test_shim_life.py",
         "test_svc_plan.py", "test_svc_volumes.py", "test_cli_files.py", "test_store_power.py",
         "test_weather.py", "test_races.py", "test_oci_mounts.py", "test_runtime_callers.py"]
BUDGET_S = 450
FILE_LIMIT_S = 180
TEST_LIMIT_S = 150


def fill(suite, build):
    """Run it, into a Suite of tools/check.py."""
    if os.environ.get("ATOLL_VM") == "0":
        suite.skips.append((NAME, "ATOLL_VM=0"))
        return
    # The build may be replaced while the machine runs, which 9p does not survive: it gets copies.
    cache = build / "vm"
    try:
        parts.Parts(cache).get()
        with tempfile.TemporaryDirectory(prefix="stage-", dir=cache) as stage:
            _run(suite, build, cache, Path(stage))
    except parts.Unavailable as ex:
        suite.skips.append((NAME, f"no machine: {ex}"))
    except machine.NoBoot as ex:
        if ex.ours:
            suite.fail("boot", str(ex))
        else:
            suite.skips.append((NAME, f"no machine: it did not come up, twice: {ex.last}"))


def _stage(build, stage):
    """The programs and the tests, without what either keeps for itself."""
    (stage / "build/test-images").mkdir(parents=True)
    for f in build.iterdir():
        if f.name.startswith("atoll") and f.is_file():
            shutil.copy2(f, stage / "build")
    archive = build / "test-images/busybox.tar"
    if archive.exists():
        shutil.copy2(archive, stage / "build/test-images")
    shutil.copytree(TOP / "tests/e2e", stage / "tests/e2e",
                    ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(Path(__file__).with_name("inside.py"), stage)
    (stage / "results").mkdir()
    return [f"tests/e2e/{f}" for f in FILES if (stage / "tests/e2e" / f).exists()]


def _run(suite, build, cache, stage):
    files = _stage(build, stage)
    results = stage / "results/results"
    home = "/tmp/atoll-vm"  # on its own disk: 9p is slow, and no overlay can be put on it
    script = (f"mkdir {home} && cp -a {stage}/build {stage}/tests {stage}/inside.py {home} && "
              f"cd {home} && /usr/bin/python3 inside.py {results} "
              f"{BUDGET_S} {FILE_LIMIT_S} {TEST_LIMIT_S} {' '.join(files)}")
    m = machine.Machine(cache, memory_mib=3072, shares=[results.parent])
    for attempt in (1, 2):
        results.write_text("")
        r = m.run(["/bin/sh", "-c", script], BUDGET_S + 2 * TEST_LIMIT_S,
                  env={"ATOLL_BUILD": f"{home}/build", "PYTHONDONTWRITEBYTECODE": "1"})
        if r.status != machine.ENDED_BY_ITSELF:
            break
        # A kernel that panics is not ours, and what makes this one panic is the emulator mostly.
        print(f"  the machine ended by itself in run {attempt} of at most 2", flush=True)
    # The last line may be cut short, when the machine was.
    facts = [json.loads(l) for l in results.read_text().splitlines(True) if l.endswith("}\n")]
    _count(suite, facts, r)


def _count(suite, facts, r):
    ended, found, again = {}, set(), set()
    for f in facts:
        if "file" in f:
            if f["killed"]:
                suite.fail(f["file"], f"did not end; killed after {f['seconds']} s")
            continue
        test = f["test"]
        if f["outcome"] == "found":
            found.add(test)
        elif f["again"] and f["outcome"] == "passed":
            print(f"  passed at the second try: {test}", flush=True)
            ended[test] = ("passed", "")
        elif f["again"] and f["outcome"] == "failed" and test not in again:
            again.add(test)
            ended[test] = ("failed", f"{ended[test][1]}\n\n-- at the second try\n{f['text']}")
        elif ended.get(test, ("",))[0] != "failed":
            ended[test] = (f["outcome"], f.get("text", ""))
    for test, (outcome, text) in sorted(ended.items()):
        if outcome == "passed":
            suite.passed += 1
        elif outcome == "skipped":
            suite.skips.append((f"vm/{test}", text))
        else:
            suite.fail(test, text)
    for test in sorted(found - set(ended)):
        suite.skips.append((f"vm/{test}", "out of time in the emulated machine"))
    if r.status not in (0, 124) or not ended:
        suite.fail("the machine", f"exit status {r.status}\n{r.out[-8000:]}")
