# SPDX-License-Identifier: Apache-2.0
"""
Code that is patched while other threads run on the same page: each patch makes that page another
one, and nobody may meet what its frame is used for next.
"""
import os

import pytest

from lib import guest, sentry

pytestmark = [pytest.mark.timeout(180),
              pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")]


def test_others_run_there(build, base):
    s = sentry.Sentries(build, base, [guest.compiled("sandbox_patches.c", base)])
    sentry.need(s)
    r = s.run(["sandbox_patches", "24"])
    assert (r.returncode, r.stdout, r.stderr) == (0, b"right\n", b"")
