# SPDX-License-Identifier: Apache-2.0
"""
The end-to-end tests of the container engine on Debian's kernel with cgroup v2 alone, which few
development machines have, once without systemd and once with it: a chosen few, as everything is 10
to 30 times slower there.
ATOLL_VM=0 leaves them out. Without a mirror to get a kernel from they are skipped, with the reason.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

from . import machine, parts

TOP = Path(__file__).resolve().parents[2]
# What says most about control groups and the kernel first: the budget may end the list early.
FILES = ["test_runtime_cgroups.py", "test_rootless.py", "test_oci_namespaces.py",
         "test_oci_process.py",
         "test_oci_hooks.py", "test_oci_seccomp.py", "test_oci_notify.py", "test_oci_netdev.py",
         "test_runtime_verbs.py", "test_runtime_robust.py", "test_cli_run.py", "test_cli_rootless.py",
         "test_shim_life.py",
         "test_svc_plan.py", "test_svc_volumes.py", "test_cli_files.py", "test_store_power.py",
         "test_weather.py", "test_races.py", "test_oci_mounts.py", "test_runtime_callers.py",
         "test_sandbox.py:by_hand,foreground,pause_and,volumes",
         "test_selinux.py",  # whose policy stays loaded
         "test_checkpoint.py"]
# With systemd as process 1: its cgroup driver, from an ordinary user, and what else only it has.
SYSTEMD_FILES = ["test_runtime_systemd.py", "test_machine.py", "ATOLL_CGROUP_MANAGER=systemd",
                 "test_runtime_cgroups.py", "test_oci_hooks.py", "test_runtime_verbs.py",
                 "test_oci_process.py", "test_runtime_callers.py", "ATOLL_CGROUP_MANAGER=",
                 "test_rootless.py"]
# With KVM, which an emulated processor with SVM gives: microVMs on our own monitor. Below their tests
# a second kernel is emulated by the first, so a boot takes half a minute: a few files alone.
KVM_FILES = ["test_microvm.py:foreground,guest_sees,streams_and_codes,volumes",
             "test_vmm.py", "test_vmm_snapshot.py",
             "test_vmm_linux.py:processors,devices,slow,vsock,balloon", "test_vmm_restore.py",
             "test_microvm.py:refusals", "test_microvm_live.py:rates_of,less_of",
             "test_microvm_root.py:synchronised",
             "test_microvm_snapshot.py:two_from_one",
             "test_microvm_kill.py:monitor", "test_microvm_net.py:interfaces",
             "test_microvm_bad.py:panics,hears", "test_microvm_rootless.py:a_run"]
BUDGET_S = 540
# Beside the other machine and the next one, so that the whole takes no longer.
KVM_BUDGET_S = 600
FILE_LIMIT_S = 180
TEST_LIMIT_S = 150
# Less is not worth a boot.
BUDGET_MIN_S = 60
# Before the budget: a boot on a busy machine. After it: the test that is under way, what that is given
# to end, powering off.
HEAD_S = 60
TAIL_S = TEST_LIMIT_S + 90
OUT_OF_TIME = "out of time in the emulated machine"
ENDS_OF_EMULATORS = {machine.ENDED_BY_ITSELF: "ended by itself", machine.STOOD_STILL: "stood still"}


class Stage:
    """One machine and what runs in it."""

    def __init__(self, key, name, files, systemd=False, kvm=False, memory_mib=3072,
                 budget_s=BUDGET_S, append=""):
        self.key = key
        self.name = name
        self.files = files
        self.systemd = systemd
        self.kvm = kvm
        self.memory_mib = memory_mib
        self.budget_s = budget_s
        self.append = append

    def with_files(self, files):
        return Stage(self.key, self.name, files, self.systemd, self.kvm, self.memory_mib,
                     self.budget_s, self.append)


# An emulated processor each: two at once, in this order.
AT_ONCE = 2
STAGES = [Stage("v2", "e2e (Debian's kernel, cgroup v2)", FILES, append="security=selinux"),
          Stage("kvm", "e2e (Debian's kernel, KVM)", KVM_FILES, kvm=True, memory_mib=4096,
                budget_s=KVM_BUDGET_S),
          Stage("systemd", "e2e (Debian's kernel, systemd)", SYSTEMD_FILES, systemd=True)]


def chosen(key=None, files=()):
    """Stages to run: those with files, or the one of a key, with its own files or others."""
    if key is None:
        return [s for s in STAGES if s.files]
    stage = next(s for s in STAGES if s.key == key)
    return [stage.with_files(list(files)) if files else stage]


def run(build, stages, suites, end):
    """
    Run the stages, each into its own of the Suites of tools/check.py. end: of time.monotonic(); what
    was not begun in time to be done by then is skipped.
    """
    free = threading.Semaphore(AT_ONCE)
    threads = [threading.Thread(target=_fill, args=(stage, suite, build, end, free), daemon=True)
               for stage, suite in zip(stages, suites)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def _fill(stage, suite, build, end, free):
    with free:
        suite.started = time.monotonic()
        _fill_now(stage, suite, build, end)


def _fill_now(stage, suite, build, end):
    if os.environ.get("ATOLL_VM") == "0":
        suite.skip(stage.name, "ATOLL_VM=0")
        return
    # The build may be replaced while the machine runs, which 9p does not survive: it gets copies.
    cache = (build / "vm").resolve()  # a link would lead elsewhere in the machine
    try:
        parts.Parts(cache).get(stage.systemd)
        with tempfile.TemporaryDirectory(prefix="stage-", dir=cache) as d:
            _run(stage, suite, build, cache, Path(d), end)
    except parts.Unavailable as ex:
        suite.skip(stage.name, f"no machine: {ex}")
    except machine.NoBoot as ex:
        if ex.ours:
            suite.fail("boot", str(ex))
        else:
            suite.skip(stage.name, f"no machine: it did not come up, twice: {ex.last}")
    except Exception:  # in a thread of its own it would be lost
        suite.fail(stage.name, traceback.format_exc())
    finally:
        suite.end()


def _criu(build):
    """The CRIU of tests/e2e/lib/criu.py, there or fetched; False without a mirror."""
    code = f"from lib import criu; exit(not criu.get(__import__('pathlib').Path({str(build)!r})))"
    return subprocess.run([sys.executable, "-c", code], cwd=TOP / "tests/e2e",
                          check=False).returncode == 0


def _stage(build, cache, stage, files):
    """The programs and the tests, without what either keeps for itself."""
    (stage / "build/test-images").mkdir(parents=True)
    for f in build.iterdir():
        if f.name.startswith("atoll") and f.is_file():
            shutil.copy2(f, stage / "build")
    archive = build / "test-images/busybox.tar"
    if archive.exists():
        shutil.copy2(archive, stage / "build/test-images")
    if _criu(build):  # in there nothing can be fetched
        shutil.copytree(build / "criu-trixie", stage / "build/criu-trixie")
    for d in ("tests/e2e", "tests/fixtures", "tools/vm"):
        shutil.copytree(TOP / d, stage / d, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(TOP / "tools/deps", stage / "tools")
    (stage / "build/vm").symlink_to(cache)  # the kernel, for machines in the machine
    (stage / "results").mkdir()
    return [f if "=" in f else f"tests/e2e/{f}" for f in files
            if "=" in f or (stage / "tests/e2e" / f.partition(":")[0]).exists()]


def _budget(what, end):
    """Seconds for the files of a machine that is booted now; None when it is too late for one."""
    left = int(end - time.monotonic()) - HEAD_S - TAIL_S
    return min(what.budget_s, left) if left >= BUDGET_MIN_S else None


def _facts(results):
    # The last line may be cut short, when the machine was.
    return [json.loads(l) for l in results.read_text().splitlines(True) if l.endswith("}\n")]


def _rest(files, facts):
    """The words of `files` whose files were not run to their end."""
    done = sum("file" in f for f in facts)
    rest = []
    for f in files:
        if "=" in f:
            rest.append(f)
        elif done:
            done -= 1
        else:
            rest.append(f)
    return rest


def _run(what, suite, build, cache, stage, end):
    files = _stage(build, cache, stage, what.files)
    results = stage / "results/results"
    host = "/host" if what.systemd else ""  # where the machine has the host's files
    home = "/tmp/atoll-vm"  # on its own disk: 9p is slow, and no overlay can be put on it
    kvm = "modprobe -a kvm_amd fuse && test -c /dev/kvm && test -c /dev/fuse && " if what.kvm else ""
    m = machine.Machine(cache, memory_mib=what.memory_mib, systemd=what.systemd,
                        shares=[results.parent], append=what.append)
    env = {"ATOLL_BUILD": f"{home}/build", "PYTHONDONTWRITEBYTECODE": "1", "ATOLL_THROWAWAY": "1",
           **({"ATOLL_MICROVM": "kvm"} if what.kvm else {})}
    done, was_at, r = [], None, None
    for attempt in (1, 2):
        budget_s = _budget(what, end)
        if budget_s is None:
            break
        results.write_text("")
        script = (f"{kvm}mkdir {home} && cd {host}{stage} && cp -a build tests tools {home} && "
                  f": >{results}.pulse && cd {home} && /usr/bin/python3 tools/vm/inside.py {results} "
                  f"{budget_s} {FILE_LIMIT_S} {TEST_LIMIT_S} {' '.join(_rest(files, done))}")
        r = m.run(["/bin/sh", "-c", script], budget_s + TAIL_S, env=env,
                  pulse=f"{results}.pulse")
        facts = _facts(results)
        if r.status not in ENDS_OF_EMULATORS:
            done += facts
            break
        # A kernel that panics is not ours, and what makes this one panic is the emulator mostly; so
        # is a processor that waits for ever. But not twice in one file.
        whole = max((n for n, f in enumerate(facts, 1) if "file" in f), default=0)
        done += facts[:whole]
        before, was_at = was_at, next((f for f in _rest(files, done) if "=" not in f), "its end")
        how = ENDS_OF_EMULATORS[r.status]
        print(f"  the machine {how} in run {attempt} of at most 2, at {was_at}", flush=True)
        if was_at == before:
            suite.fail(was_at, f"the machine {how} in it, twice\n{r.out[-8000:]}")
    _count(suite, done)
    for f in _rest(files, done):
        if "=" not in f:
            suite.skip(f"vm/{f}", OUT_OF_TIME)
    if r and r.status not in (0, 124, *ENDS_OF_EMULATORS):
        suite.fail("the machine", f"exit status {r.status}\n{r.out[-8000:]}")


def _count(suite, facts):
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
            suite.skip(f"vm/{test}", text)
        else:
            suite.fail(test, text)
    for test in sorted(found - set(ended)):
        suite.skip(f"vm/{test}", OUT_OF_TIME)
