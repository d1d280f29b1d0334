# SPDX-License-Identifier: Apache-2.0
"""A container's control groups as files, wherever this machine has their hierarchies."""
import os
from pathlib import Path

TOP = Path("/sys/fs/cgroup")
PURE_V2 = (TOP / "cgroup.controllers").exists()
UNIFIED = TOP if PURE_V2 else TOP / "unified"
# Tests write paths, "/a/b"; with another manager under test they mean scopes.
MANAGER = os.environ.get("ATOLL_CGROUP_MANAGER") or "cgroupfs"
BY_SYSTEMD = MANAGER == "systemd"


def _scope(path):
    """("a", "b") of "/a/b", "" for what is missing; None: no path that a scope could stand for."""
    parts = [p for p in path.split("/") if p]
    if not BY_SYSTEMD or not parts or ":" in path or {".", ".."} & set(parts):
        return None
    return "-".join(parts[:-1]) or "t", parts[-1]


def spec_path(path):
    """linux.cgroupsPath, as the manager under test wants it."""
    scope = _scope(path)
    return f":{scope[0]}:{scope[1]}" if scope else path


def real(path):
    """Where it is, without a '/' before it."""
    scope = _scope(path)
    return f"system.slice/{scope[0]}-{scope[1]}.scope" if scope else path.strip("/")


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
    path = real(path)
    for names, at in hierarchies():
        if controller in names.split(","):
            return (at / path / v1_file).read_text().strip()
    return (UNIFIED / path / v2_file).read_text().strip()


def there(path):
    """Where the cgroup exists: mount points of the hierarchies."""
    pattern = real(path)
    if BY_SYSTEMD and "/" not in path.strip("/"):  # all below it
        pattern = f"system.slice/{path.strip('/')}-*.scope"
    return [at for _, at in hierarchies() if any(at.glob(pattern))]


def of_process(pid):
    """{names: path} of a process."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return {names: path for _, names, path in (l.split(":", 2) for l in lines)}
