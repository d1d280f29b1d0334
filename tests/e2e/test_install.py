# SPDX-License-Identifier: Apache-2.0
"""`make install` into a directory: everything is there, and works from there."""
import shutil
import subprocess

import pytest
from lib.run import Atoll

from conftest import TOP


@pytest.fixture(scope="module")
def prefix(build, base):
    # The build tree's own configuration is not touched: meson install with --destdir.
    p = subprocess.run(["meson", "install", "-C", build, "--no-rebuild", "--destdir",
                        base / "dest"], capture_output=True, text=True, check=False)
    assert p.returncode == 0, p.stdout + p.stderr
    return next((base / "dest").rglob("bin/atoll")).parent.parent  # whatever prefix it is for


def test_everything_is_in_its_place(prefix):
    for program in ("bin/atoll", "bin/atoll-runtime", "libexec/atoll/atoll-shim",
                    "libexec/atoll/atoll-image", "libexec/atoll/atoll-kernel",
                    "libexec/atoll/atoll-probe"):
        assert (prefix / program).stat().st_mode & 0o111, program
    assert (prefix / "share/man/man1/atoll-run.1").exists()
    assert (prefix / "share/man/man7/atoll-syscalls.7").exists()
    for completion in ("bash-completion/completions/atoll", "zsh/site-functions/_atoll",
                       "fish/vendor_completions.d/atoll.fish"):
        assert (prefix / "share" / completion).stat().st_size > 1000


def test_bash_reads_the_completions(prefix):
    script = prefix / "share/bash-completion/completions/atoll"
    subprocess.run(["bash", "-n", script], check=True)


def test_installed_programs_find_each_other(prefix, base, busybox_tar):
    installed = base / "moved"
    shutil.copytree(prefix, installed)
    atoll = Atoll(installed / "bin", base / "i")
    atoll("load", "-i", busybox_tar)
    assert atoll("run", "--rm", "busybox", "echo", "installed").line == "installed"
    atoll.clean()
