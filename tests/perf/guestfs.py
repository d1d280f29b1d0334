#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
A share of atoll-device against one of QEMU's own virtiofsd, in one machine and in turns: small
operations and throughput. The processor is emulated, so most of the time is the guest's kernel's.
"""
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import measure

sys.path.insert(0, str(measure.TOP / "tests/e2e"))
from lib import guest, shares  # noqa: E402

VIRTIOFSD = "/usr/lib/qemu/virtiofsd"
OPERATIONS = 500
# Not slower than the other by more than what such a machine's moods make of it.
BOUND = 1.15


def virtiofsd(directory, path):
    """Its process, and a connected socket of it."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / "other"))
        listener.listen(1)
        with open(directory / "virtiofsd.err", "wb") as errors:
            process = subprocess.Popen(
                [VIRTIOFSD, f"--fd={listener.fileno()}", "-o", f"source={path}", "-o", "cache=auto",
                 "-o", "xattr"], pass_fds=[listener.fileno()], stderr=errors)
        s = socket.socket(socket.AF_UNIX)
        s.connect(str(directory / "other"))
        return process, s


def figures(said):
    """{operation: (value, unit)}"""
    return {m[1]: (float(m[2]), m[3]) for m in re.finditer(r"(\S+) ([\d.]+) (us|MiB/s)", said)}


def measured(args, directory, memory):
    kernel = guest.kernel(args.build)
    initrd = shares.initramfs(kernel, guest.compiled("guest_fs.c", directory), directory)
    (directory / "machine").mkdir()
    for name in ("ours", "theirs"):
        (memory / name).mkdir()
    process, s = virtiofsd(directory, memory / "theirs")
    machine = shares.Shares(
        args.build, kernel, initrd, directory / "machine", {"rw": (memory / "ours", False)},
        devices=["-chardev", f"socket,id=v,fd={s.fileno()}", "-device",
                 "vhost-user-fs-pci,chardev=v,tag=other,queue-size=1024"], fds=[s.fileno()])
    s.close()
    results = {"/s/rw": {}, "/other": {}}
    try:
        machine.ok("mkdir /other; mount -t virtiofs other /other")
        for turn in range(args.runs + 1):
            for path, all_of in results.items():
                said = figures(machine.ok(f"/init perf {path} {OPERATIONS}"))
                for what, value in said.items() if turn else ():
                    all_of.setdefault(what, []).append(value)
    finally:
        machine.close()
        process.kill()
        process.wait()
    return results


def main():
    args = measure.arguments(__doc__)
    args.runs = min(args.runs, 7)
    if not Path(VIRTIOFSD).exists():
        print(f"no {VIRTIOFSD} to compare with")
        return
    directory = Path(tempfile.mkdtemp(prefix="atoll-p-", dir="/tmp"))
    # No disk: what is measured are the two servers.
    memory = Path(tempfile.mkdtemp(prefix="atoll-p-", dir="/dev/shm"))
    verdict = measure.Verdict()
    try:
        results = measured(args, directory, memory)
    finally:
        shutil.rmtree(directory)
        shutil.rmtree(memory)
    for what, ours in results["/s/rw"].items():
        unit = ours[0][1]
        # The best of each: what another program of this machine slows down is no figure.
        best = min if unit == "us" else max
        mine = best(v for v, _ in ours)
        other = best(v for v, _ in results["/other"][what])
        print(f"     {what}: {mine} {unit}, virtiofsd {other} {unit}", flush=True)
        if unit == "us":
            verdict.ratio(what, mine, other, BOUND)
        else:
            verdict.ratio(what, other, mine, BOUND)
    verdict.end()


if __name__ == "__main__":
    main()
