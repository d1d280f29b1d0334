# SPDX-License-Identifier: Apache-2.0
"""
crun and runc of a newer Debian suite, with the libraries they were built for, and runsc of Debian
12's backports. apt gets a configuration, lists and a status of its own below the build tree, so that
it sees nothing of this machine and changes nothing of it; the packages are unpacked there and never
installed.
"""
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

SUITE = "sid"
MIRROR = "http://deb.debian.org/debian"
PACKAGES = ["crun", "runc"]
# runsc is static. That of sid, the same version, was built by a Go that it does not know: it panics
# ("running on goroutine ...") as soon as threads or processes sleep.
BACKPORTS = "bookworm-backports"
# Where their dynamic linker and its cache are: names no longer than Debian's, put in their place.
HOME = "/run/newer"
NAMES = {b"/lib64/ld-linux-x86-64.so.2": b"/run/newer/ld.so",
         b"/lib/ld-linux-aarch64.so.1": b"/run/newer/ld.so",
         b"/etc/ld.so.cache": b"/run/newer/cache"}


def apt(into, suite, *argv):
    conf = into / "apt.conf"
    if not conf.exists():
        for d in ("etc", "lists/partial", "cache", "archives/partial"):
            (into / d).mkdir(parents=True, exist_ok=True)
        (into / "status").touch()
        (into / "sources.list").write_text(
            f"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {MIRROR} {suite} main\n")
        conf.write_text(
            f'Dir::Etc "{into}/etc";\nDir::Etc::sourcelist "{into}/sources.list";\n'
            f'Dir::Etc::sourceparts "-";\nDir::State::lists "{into}/lists";\n'
            f'Dir::State::status "{into}/status";\nDir::Cache "{into}/cache";\n'
            f'Dir::Cache::archives "{into}/archives";\n'
            # A mirror may be behind: what is wanted is one state of the suite, not its newest.
            f'Acquire::Check-Valid-Until "false";\nAcquire::Retries "3";\n'
            f'Acquire::Languages "none";\n')
    return subprocess.run(["apt-get", *argv], env={**os.environ, "APT_CONFIG": str(conf)},
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def rename(program):
    """NAMES exchanged in a program, in place: it finds its libraries and no others."""
    data = program.read_bytes()
    for old, new in NAMES.items():
        data = data.replace(old + b"\0", new.ljust(len(old), b"\0") + b"\0")
    program.write_bytes(data)


def downloaded(into, suite, *argv):
    """The packages that argv brings into into/archives, unpacked into into/root."""
    shutil.rmtree(into, ignore_errors=True)
    (into / "archives").mkdir(parents=True)
    for wait in (5, 20, 60, None):
        p = apt(into, suite, "update", "-q")
        if p.returncode == 0:
            p = apt(into, suite, *argv)
        if p.returncode == 0:
            break
        if wait is None:
            sys.exit(f"newer: {p.stdout}{p.stderr}")
        time.sleep(wait)
    for deb in sorted((into / "archives").glob("*.deb")):
        subprocess.run(["dpkg", "-x", str(deb), str(into / "root")], check=True)


def complete(into, packages):
    done = into / ".complete"
    return done.exists() and done.read_text().split() == packages


def finish(into, packages):
    for d in ("root", "lists", "cache", "archives"):
        shutil.rmtree(into / d, ignore_errors=True)
    (into / ".complete").write_text(" ".join(packages))


def unpacked(build):
    """The directory with bin/, and below it what HOME shall show: lib/, ld.so and its cache."""
    into = build / "peers" / SUITE
    if complete(into, PACKAGES):
        return into
    downloaded(into, SUITE, "install", "-q", "-y", "--download-only", "--no-install-recommends",
               *PACKAGES)
    home = into / HOME[1:]
    for d in (into / "bin", home / "lib"):
        d.mkdir(parents=True)
    for found in sorted((into / "root").rglob("*")):
        if found.is_dir():
            continue
        if found.name in PACKAGES and found.parent.name in ("bin", "sbin"):
            shutil.copy2(found, into / "bin" / found.name)
            rename(into / "bin" / found.name)
        elif found.name.startswith("ld-linux"):
            shutil.copy2(found, home / "ld.so")
            rename(home / "ld.so")
        elif ".so." in found.name and "gconv" not in str(found):
            shutil.copy2(found, home / "lib" / found.name)
    (into / "ld.so.conf").write_text(f"{HOME}/lib\n")
    subprocess.run(["ldconfig", "-X", "-r", into, "-f", "/ld.so.conf", "-C", f"{HOME}/cache"],
                   check=True, capture_output=True)
    finish(into, PACKAGES)
    return into


def runsc(build):
    """gVisor's program."""
    into = build / "peers" / BACKPORTS
    if not complete(into, ["runsc"]):
        downloaded(into, BACKPORTS, "install", "-q", "-y", "--download-only",
                   "--no-install-recommends", "runsc")
        (into / "bin").mkdir()
        shutil.copy2(next((into / "root").rglob("bin/runsc")), into / "bin/runsc")
        finish(into, ["runsc"])
    return str(into / "bin/runsc")


class Newer:
    """Their programs, to be used in a private mount namespace whose /run is free to write to."""

    def __init__(self, build):
        self.dir = unpacked(build)
        Path(HOME).symlink_to(self.dir / HOME[1:])

    def bin(self, name):
        return str(self.dir / "bin" / name)
