# SPDX-License-Identifier: Apache-2.0
"""
Process 1 of a World (lib/clients.py): makes the mounts that its callers see, then reaps orphans at
once (podman waits for that) until it is killed, and everything in its pid namespace with it.
"""
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def run(*argv):
    subprocess.run([*map(str, argv)], check=True)


def mount_programs(root):
    """The packages as if they were installed: their files over ours, what is written in memory."""
    run("mount", "--make-rprivate", "/")
    for d in ("/run", "/var/lib"):
        run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", d)
    for d in ("up", "work"):
        Path(f"/run/etc-{d}").mkdir()
    run("mount", "-t", "overlay", "-o", f"lowerdir={root}/usr:/usr", "clients", "/usr")
    run("mount", "-t", "overlay", "-o",
        f"lowerdir={root}/etc:/etc,upperdir=/run/etc-up,workdir=/run/etc-work", "clients", "/etc")


def mount_cgroups():
    """Each hierarchy from our own group on, which is the root of our cgroup namespace."""
    if (CGROUPS / "cgroup.controllers").exists():
        run("umount", CGROUPS)
        run("mount", "-t", "cgroup2", "cgroup2", CGROUPS)
        # A group that hands controllers on holds no processes: ours move one further.
        (CGROUPS / "callers").mkdir()
        for pid in (CGROUPS / "cgroup.procs").read_text().split():
            (CGROUPS / "callers/cgroup.procs").write_text(pid)
        names = (CGROUPS / "cgroup.controllers").read_text().split()
        (CGROUPS / "cgroup.subtree_control").write_text(" ".join(f"+{n}" for n in names))
        return
    found = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        names = line.split(":")[1]
        at = CGROUPS / (names.removeprefix("name=") or "unified")
        if at.is_mount():
            run("umount", at)
            found.append((names, at))
    # What podman makes for controllers that are nowhere are directories of this one.
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", CGROUPS)
    for names, at in found:
        at.mkdir()
        if names:
            run("mount", "-t", "cgroup", "-o", f"none,{names}" if "=" in names else names,
                "cgroup", at)
        else:
            run("mount", "-t", "cgroup2", "cgroup2", at)
        for one in names.split(",") if "," in names else ():
            (CGROUPS / one).symlink_to(names)


def loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS


def main(root):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    mount_programs(root)
    mount_cgroups()
    loopback_up()
    print("ready", flush=True)
    while True:
        signal.sigwait({signal.SIGCHLD})
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass


if __name__ == "__main__":
    main(sys.argv[1])
