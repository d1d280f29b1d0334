#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
atoll-vmm against QEMU, both on KVM, in turns on one machine and with the same kernel and initial RAM
file system: from the start of the program to the agent's first message, the program's own memory,
a restore, disks, networks and shares; and twenty machines at once. KVM is that of the throw-away machine of
tools/dev-vm, whose processor is emulated: ratios mean something there, times do not.
"""
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import measure

sys.path[:0] = [str(measure.TOP), str(measure.TOP / "tests/e2e")]
from lib import guest, kernels  # noqa: E402
from tools.vm import machine, parts  # noqa: E402

OURS = "atoll-vmm"
PARTS = "boot,restore,devices,many"
DEVICES = "disk,net,fs"
MODULES = ["virtio_pci", "virtio_blk", "virtio_net", "virtiofs"]
MEMORY_MIB = 6144
LIMIT_S = 3600
HERE = Path(__file__).resolve().parent
# Of the better of QEMU's two machines.
BOOT_BOUND = 0.5
MEMORY_BOUND_KIB = 3 << 10
RESTORE_BOUND = 0.1
# Not slower than QEMU's; what such a machine's moods make of it is no figure.
DEVICE_BOUND = 1.0


def prepare(args, stage):
    """All that the machine needs, in stage/files."""
    files = stage / "files"
    files.mkdir()
    for name in ("atoll-vmm", "atoll-device"):
        shutil.copy2(args.build / name, files)
    cache = stage / "kernels"
    cache.mkdir()
    version = kernels.cloud()
    made = subprocess.run([args.build / "atoll-kernel", "prepare", "--kernel",
                           f"/boot/vmlinuz-{version}", "--modules", "/lib/modules", "--agent",
                           args.build / "atoll-agent", "--cache", cache],
                          check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    for name in ("vmlinux", "initramfs"):
        shutil.move(cache / made / name, files / name)
    shutil.rmtree(cache)
    kernel = guest.kernel(args.build)
    bench = guest.compiled("guest_bench.c", files)
    fs = guest.compiled("guest_fs.c", stage)
    initrd = guest.initramfs(kernel, bench, MODULES, stage,
                             [("guest_fs", 0o755, fs.read_bytes())])
    initrd.rename(files / "bench-initramfs")
    shutil.copy2(kernel.kernel / "vmlinux", files / "bench-vmlinux")
    shutil.copy2(HERE / "vm_inside.py", stage)
    settings = {"boots": args.boots, "turns": args.turns, "rounds": args.rounds,
                "many": args.many, "parts": args.parts.split(","),
                "devices": args.devices.split(",")}
    (stage / "settings").write_text(json.dumps(settings), encoding="utf-8")


def run(args, cache):
    """Figures: {name: {subject: [values]}}, and units."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=cache) as d:
        stage = Path(d)
        prepare(args, stage)
        (stage / "results").mkdir()
        m = machine.Machine(cache, memory_mib=MEMORY_MIB, shares=[stage / "results"],
                            directory=stage)
        script = ("modprobe kvm_amd && test -c /dev/kvm && modprobe -a vhost_vsock vhost_net tun && "
                  "mount -t debugfs debug /sys/kernel/debug; mount -o remount,size=75% /dev/shm; "
                  "/usr/bin/python3 vm_inside.py settings >results/figures")
        r = m.run(["/bin/sh", "-c", script], LIMIT_S)
        said = (stage / "results/figures").read_text(encoding="utf-8")
        if r.status != 0:
            print(r.out, file=sys.stderr)
        figures, units = {}, {}
        for line in said.splitlines():
            name, subject, value, unit = json.loads(line)
            figures.setdefault(name, {}).setdefault(subject, []).append(value)
            units[name] = unit
        return r.status, figures, units


def tell(figures, units, verdict):
    for name, subjects in figures.items():
        unit = units[name]
        # Not the best: one turn in twenty meets a rhythm of its own (QEMU's net-send: 99 of 58).
        medians = {s: statistics.median(v) for s, v in subjects.items()}
        print(f"     {name}: " + ", ".join(f"{s} {medians[s]:.4g} {unit}".rstrip() +
                                           f" ({min(v):.4g} to {max(v):.4g})"
                                           for s, v in subjects.items()), flush=True)
        others = [v for s, v in medians.items() if s != OURS and not s.endswith("vhost")]
        if OURS not in medians or not others or ":" in name:
            continue
        mine = medians[OURS]
        if name == "boot":
            verdict.ratio("to the agent's first message, of QEMU's better", mine, min(others),
                          BOOT_BOUND)
        elif name == "memory":
            verdict.ratio("its own memory, of 3 MiB", mine, MEMORY_BOUND_KIB, 1)
        elif unit == "us":
            verdict.ratio(f"{name}, of QEMU's", mine, min(others), DEVICE_BOUND)
        else:
            verdict.ratio(f"{name}, QEMU's of ours", max(others), mine, DEVICE_BOUND)
    if "restore" in figures and "boot" in figures:
        verdict.ratio("a restore, of a boot", statistics.median(figures["restore"][OURS]),
                      statistics.median(figures["boot"][OURS]), RESTORE_BOUND)
    if "many alive" in figures:
        alive = figures["many alive"][OURS][0]
        verdict.ratio("machines of those at once that have ended", ARGS.many - alive, ARGS.many, 0)


def main():
    verdict = measure.Verdict()
    cache = (ARGS.build / "vm").resolve()
    try:
        parts.Parts(cache).get()
        load = os.getloadavg()[0]
        print(f"     the host's load: {load:.1f}", flush=True)
        status, figures, units = run(ARGS, cache)
    except parts.Unavailable as ex:
        print(f"no machine: {ex}")
        return
    tell(figures, units, verdict)
    if status != 0:
        print("MISS the measurements did not come to their end")
        sys.exit(1)
    verdict.end()


if __name__ == "__main__":
    ARGS = measure.arguments(__doc__, boots=5, turns=2, rounds=3, many=20, parts=PARTS,
                             devices=DEVICES)
    for number in ("boots", "turns", "rounds", "many"):
        setattr(ARGS, number, int(getattr(ARGS, number)))
    main()
