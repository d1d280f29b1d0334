# SPDX-License-Identifier: Apache-2.0
"""A container's control groups as files, wherever this machine has their hierarchies."""
import os
from pathlib import Path

TOP = Path("/sys/fs/cgroup")
PURE_V2 = (TOP / "cgroup.controllers").exists()
UNIFIED = TOP if PURE_V2 else TOP / "unified"


def hierarchies():
    """[(names, mount point)] of all that are mounted; names is "" for v2."""
    found = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, names, _ = line.split(":", 2)
        at = UNIFIED if not names else TOP / names.removeprefix("name=")
        if os.path.ismount(at):
            found.append((names, at))
    return found


def has_v1(controller):
    return any(controller in names.split(",") for names, _ in hierarchies())


def text(path, controller, v1_file, v2_file):
    """The control file of the cgroup `path` (from the root of its hierarchy)."""
    path = path.strip("/")
    for names, at in hierarchies():
        if controller in names.split(","):
            return (at / path / v1_file).read_text().strip()
    return (UNIFIED / path / v2_file).read_text().strip()


def there(path):
    """Where the cgroup exists: mount points of the hierarchies."""
    return [at for _, at in hierarchies() if (at / path.strip("/")).is_dir()]


def of_process(pid):
    """{names: path} of a process."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return {names: path for _, names, path in (l.split(":", 2) for l in lines)}
