# SPDX-License-Identifier: Apache-2.0
"""
Signals inside a sandbox, of one program that does the same on the host: with code that is patched,
so that calls reach the kernel without the host's, and as it is.
"""
import os
import subprocess

import pytest

from lib import guest, sentry

pytestmark = [pytest.mark.timeout(120),
              pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")]


@pytest.fixture(scope="module")
def program(base):
    return guest.compiled("sandbox_signals.c", base)


@pytest.fixture(scope="module")
def box(build, base, program):
    s = sentry.Sentries(build, base, [program])
    sentry.need(s)
    return s


def test_on_the_host(program):
    p = subprocess.run([program], capture_output=True, text=True, timeout=60, check=False)
    assert (p.returncode, p.stdout) == (0, "right\n")


@pytest.mark.parametrize("more", [[], ["--no-gates"]])
def test_in_a_sandbox(box, more):
    r = box.run(["sandbox_signals"], *more, timeout=60)
    assert (r.returncode, r.stdout, r.stderr) == (0, b"right\n", b"")
