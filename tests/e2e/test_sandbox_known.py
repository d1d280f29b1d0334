# SPDX-License-Identifier: Apache-2.0
"""
Calls that are answered without the kernel (task/known.h): what a program is told of itself stays what
/proc says, whatever changes it.
"""
import os

import pytest

from lib import guest, sentry

pytestmark = [pytest.mark.timeout(180),
              pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")]


@pytest.fixture(scope="module")
def sentries(build, base):
    s = sentry.Sentries(build, base, [guest.compiled("sandbox_known.c", base)])
    sentry.need(s)
    return s


def test_numbers_of_ones_own(sentries):
    r = sentries.run(["/bin/sandbox_known"])
    assert (r.returncode, r.stdout, r.stderr) == (0, b"right\n", b"")


def test_many_at_a_time(sentries):
    r = sentries.run("for n in 1 2 3 4; do /bin/sandbox_known & done; wait")
    assert (r.returncode, r.stdout, r.stderr) == (0, b"right\n" * 4, b"")
