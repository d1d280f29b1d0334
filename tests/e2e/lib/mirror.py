# SPDX-License-Identifier: Apache-2.0
"""Whether Debian's packages can be had at this moment: tests that need them skip when not."""
import subprocess
import tempfile

RELEASE = "http://deb.debian.org/debian/dists/bookworm/InRelease"


def reachable(tries=3):
    """Asked the way apt asks, with its proxies and time-outs."""
    with tempfile.TemporaryDirectory(prefix="atoll-mirror-") as d:
        for _ in range(tries):
            p = subprocess.run(["/usr/lib/apt/apt-helper", "-o", "Acquire::http::Timeout=20",
                                "download-file", RELEASE, f"{d}/InRelease"],
                               capture_output=True, timeout=120, check=False)
            if p.returncode == 0:
                return True
    return False
