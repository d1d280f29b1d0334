# SPDX-License-Identifier: Apache-2.0
"""
What readlink says of names that are answered in the sandbox without its kernel, after each change of
them: in its own file systems, and in those of the host.
"""
import os
import threading

import pytest

from lib import guest, sentry

pytestmark = [pytest.mark.timeout(180),
              pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")]


@pytest.fixture
def sentries(build, base):
    s = sentry.Sentries(build, base, [guest.compiled("sandbox_names.c", base)])
    sentry.need(s)
    return s


@pytest.mark.parametrize("where", ["/dev/shm", "/tmp/own"])
def test_names_change(sentries, where):
    r = sentries.run(["/bin/sandbox_names", where])
    assert (r.returncode, r.stdout, r.stderr) == (0, b"right\n", b"")
