# SPDX-License-Identifier: Apache-2.0
"""
A CRIU that works on any kernel the tests meet: a newer Debian suite's, with its own loader and
libraries beside it, downloaded and unpacked below the build tree once (nothing is installed, and
apt's own lists and sources stay as they are). The directory can be moved as a whole.
"""
import fcntl
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

SUITE = "trixie"
MIRROR = "http://deb.debian.org/debian"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
NAME = f"criu-{SUITE}"

# criu asks for itself by its own path; the loader is told where the libraries are.
WRAPPER = """#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
exec "$here"/lib/ld-linux-x86-64.so.2 --library-path "$here"/lib "$here"/criu.bin "$@"
"""


def _apt(d, *args):
    """apt-get with everything it keeps, and all it knows, below d."""
    settings = {"Dir::State::lists": d / "lists", "Dir::State::status": d / "status",
                "Dir::Etc::sourcelist": d / "sources.list", "Dir::Etc::sourceparts": "-",
                "Dir::Etc::preferences": "-", "Dir::Etc::preferencesparts": "-",
                "Dir::Cache": d, "Dir::Cache::archives": d / "archives",
                "APT::Sandbox::User": "root", "APT::Architecture": "amd64",
                "Acquire::Retries": "3", "Acquire::http::Timeout": "20",
                "Acquire::Languages": "none", "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled": "false"}
    options = [o for k, v in settings.items() for o in ("-o", f"{k}={v}")]
    return subprocess.run(["apt-get", "-q", *options, *args], capture_output=True, text=True,
                          check=False, timeout=600)


def _fetch(into):
    """The directory `into` with the program `criu`; None when no mirror is reached."""
    with tempfile.TemporaryDirectory(prefix="criu-apt-", dir=into.parent) as tmp:
        d = Path(tmp)
        for part in ("lists/partial", "archives/partial", "root"):
            (d / part).mkdir(parents=True)
        (d / "status").touch()
        (d / "sources.list").write_text(f"deb [signed-by={KEYRING}] {MIRROR} {SUITE} main\n")
        for wait in (3, 10, None):
            if _apt(d, "update").returncode == 0 and _apt(
                    d, "install", "-y", "--download-only", "--no-install-recommends",
                    "criu").returncode == 0:
                break
            if wait is None:
                return None
            time.sleep(wait)
        for deb in sorted((d / "archives").glob("*.deb")):
            subprocess.run(["dpkg", "-x", str(deb), str(d / "root")], check=True)
        part = d / "part"
        (part / "lib").mkdir(parents=True)
        shutil.copy2(d / "root/usr/sbin/criu", part / "criu.bin")
        shutil.copy2(d / "root/usr/lib64/ld-linux-x86-64.so.2", part / "lib")
        for lib in (d / "root/usr/lib/x86_64-linux-gnu").glob("*.so.*"):
            if lib.is_file():
                shutil.copy2(lib, part / "lib")  # links become files
        (part / "criu").write_text(WRAPPER)
        (part / "criu").chmod(0o755)
        part.rename(into.resolve())  # an empty directory may stand there, or a link to one
    return into


def get(build):
    """The path of the program, from the cache or fetched; None when no mirror is reached."""
    into = build / NAME
    with open(build / f"{NAME}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (into / "criu").exists() and not _fetch(into):
            return None
    return into / "criu"
