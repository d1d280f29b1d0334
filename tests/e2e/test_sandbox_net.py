# SPDX-License-Identifier: Apache-2.0
"""
The network outside of a sandbox, by its broker: programs of an image reach the other side of a
network namespace and are reached from there, within a policy; their own loopback is theirs alone.
"""
import os
import socket

import pytest

from lib import sentry
from lib.outside import HOST4, Outside

pytestmark = [pytest.mark.timeout(120),
              pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")]


@pytest.fixture(scope="module")
def out(build, base):
    box = sentry.Sentries(build, base)
    sentry.need(box)
    o = Outside(build, box)
    yield o
    o.close()


# ---- streams ----


def test_a_client(out):
    with out.listener() as l, out.sandbox(f"echo hello | nc {HOST4} {l.getsockname()[1]}") as p:
        s, _ = l.accept()
        with s:
            assert s.recv(100) == b"hello\n"
            s.sendall(b"answer\n")
            s.shutdown(socket.SHUT_WR)
        assert p.communicate(timeout=60) == (b"answer\n", b"")
