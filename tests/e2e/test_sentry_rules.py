# SPDX-License-Identifier: Apache-2.0
"""
atoll-sentry: what a config.json says of rights and limits: filters of system calls, the guest's own
and the engine's.
"""
import errno
import os
import struct
import subprocess

import pytest

from lib import guest, sentry

pytestmark = [pytest.mark.timeout(60),
              pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")]

# Of x86-64, and of seccomp(2).
MKDIR, SYNC = 83, 162
ALLOW, ERRNO, KILL = 0x7fff0000, 0x00050000, 0x80000000
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06


@pytest.fixture(scope="module")
def box(build, base):
    s = sentry.Sentries(build, base)
    sentry.need(s)
    return s


def program(fates):
    """A filter: {number of a call: what becomes of it}; all else is allowed."""
    code = struct.pack("<HBBI", LOAD, 0, 0, 0)
    for nr, fate in fates.items():
        code += struct.pack("<HBBI", EQUAL, 0, 1, nr) + struct.pack("<HBBI", RETURN, 0, 0, fate)
    return code + struct.pack("<HBBI", RETURN, 0, 0, ALLOW)


# ---- seccomp ----


@pytest.fixture(scope="module")
def confined(base):
    return guest.compiled("guest_confined.c", base)


def test_filters_of_the_guest(box, confined):
    """The same program says the same as on the host's kernel."""
    own = subprocess.run([confined], capture_output=True, timeout=60, check=True).stdout
    r = box.run("cat >/tmp/p; chmod +x /tmp/p; /tmp/p", stdin=confined.read_bytes())
    assert r.returncode == 0, r.stderr
    before, after = own.decode().split("NoNewPrivs")
    here, there = r.stdout.decode().split("NoNewPrivs")
    assert here == before == ("1 9\n4321 1 7 1 1\n0 0\n1 31\nstill here\n0 0\n66\n0 0\n-55 1\n0 0\n")
    assert there == ":\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n" and "Seccomp:\t2\n" in after


def test_an_engines_filter(box, base):
    """It is there from the first instruction on, for children, and for what is executed."""
    path = base / "filter"
    path.write_bytes(program({MKDIR: ERRNO | errno.ENOTTY, SYNC: KILL}))
    r = box.run("mkdir /x 2>&1; sync; echo $?; grep -i seccomp /proc/self/status; "
                "sh -c 'sync; echo $?'", "--seccomp", path,
                linux_seccomp={"defaultAction": "SCMP_ACT_ALLOW"})
    said = r.stdout.decode()
    assert said == ("mkdir: can't create directory '/x': Inappropriate ioctl for device\n159\n"
                    "Seccomp:\t2\nSeccomp_filters:\t1\n159\n"), r
    with open(path, "rb") as f:
        r = subprocess.run(box.command(sentry.config(["sync"]), "--seccomp", f"fd:{f.fileno()}"),
                           pass_fds=[f.fileno()], capture_output=True, timeout=60, check=False)
    assert r.returncode == 128 + 31, r


def test_an_exec_has_the_filter(box, base):
    path = base / "filter-of-exec"
    path.write_bytes(program({MKDIR: ERRNO | errno.ENOTTY}))
    null = os.open("/dev/null", os.O_RDWR)
    with box.start("sleep 100", "--seccomp", path) as s:
        assert s.ask("start") == {}
        spec = sentry.config(["sh", "-c", "mkdir /x 2>/dev/null || exit 5"])["process"]
        reply = s.ask("exec", fds=(null, null, null), spec=spec)
        assert s.ask("wait", process=reply["process"])["status"] == 5
    os.close(null)


@pytest.mark.parametrize("code, why", [
    (b"", "0 bytes are no program"),
    (b"x" * 12, "12 bytes are no program"),
    (struct.pack("<HBBI", LOAD, 0, 0, 0), "no program that seccomp(2) would run"),
    (program({}) * 2049, "File too large"),
])
def test_no_filters(box, base, code, why):
    path = base / "no-filter"
    path.write_bytes(code)
    r = box.run(["true"], "--seccomp", path)
    assert r.returncode == 125 and why in r.stderr.decode() and r.stderr.count(b"\n") == 1, r


def test_seccomp_that_is_refused(box, base):
    path = base / "good-filter"
    path.write_bytes(program({}))
    r = box.run(["true"], linux_seccomp={"defaultAction": "SCMP_ACT_ALLOW"})
    assert r.returncode == 125 and b"no linux.seccomp that was not compiled" in r.stderr
    r = box.run(["true"], "--seccomp", path, linux_seccomp={
        "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/x"})
    assert r.returncode == 125 and b"no linux.seccomp.listenerPath" in r.stderr
