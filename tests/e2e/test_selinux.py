# SPDX-License-Identifier: Apache-2.0
"""
SELinux labels under a policy that is loaded and enforced, which changes the machine itself: in one
that is thrown away only. The policy is tests/fixtures/selinux.conf.
"""
import json
import os
import subprocess
from itertools import count
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
FS = Path("/sys/fs/selinux")

pytestmark = pytest.mark.skipif(
    os.environ.get("ATOLL_THROWAWAY") != "1" or not FS.is_dir(),
    reason="loads a policy of SELinux: runs in a machine that is thrown away")

ids = (f"atoll-selinux-{os.getpid()}-{n}" for n in count())
HOST = "system_u:system_r:host_t:s0-s0:c0,c1"
LABEL = "system_u:system_r:container_t:s0:c0"
OTHER = "system_u:system_r:container_t:s0:c1"
FILES = "system_u:object_r:container_file_t:s0:c0"
STRANGER = "system_u:system_r:stranger_t:s0"
UNKNOWN = "system_u:system_r:no_such_t:s0"
CURRENT = "/proc/self/attr/current"
MQUEUE = {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
          "options": ["nosuid", "noexec", "nodev"]}


@pytest.fixture(scope="module", autouse=True)
def policy(base):
    file = base / "policy"
    subprocess.run(["checkpolicy", "-M", "-U", "allow", "-o", file,
                    TOP / "tests/fixtures/selinux.conf"], check=True)
    if not (FS / "load").exists():
        subprocess.run(["mount", "-t", "selinuxfs", "selinuxfs", FS], check=True)
    (FS / "load").write_bytes(file.read_bytes())
    (FS / "enforce").write_text("1")
    yield
    (FS / "enforce").write_text("0")


@pytest.fixture
def id(runtime):
    i = next(ids)
    yield i
    runtime.try_("delete", "--force", i)


def labelled(mount=FILES, *mounts):
    """A change of a spec."""
    def change(s):
        s["linux"]["mountLabel"] = mount
        s["mounts"] += [MQUEUE, *mounts]
    return change


def label_of(path):
    return os.getxattr(path, "security.selinux").rstrip(b"\0").decode()


def test_a_process_is_confined(runtime, bundle, id):
    script = f"cat {CURRENT}; echo; echo x > /tmp/of-{id} && echo writes"
    r = runtime("run", "-b", bundle(["/bin/sh", "-c", script]), id)
    assert r.out.replace("\0", "") == f"{HOST}\nwrites\n"
    r = runtime.try_("run", "-b", bundle(["/bin/sh", "-c", script], selinuxLabel=LABEL), id)
    assert r.out.replace("\0", "") == f"{LABEL}\n" and "Permission denied" in r.err, str(r)


def test_mounts_have_the_label(runtime, bundle, id):
    """All that are new, but those whose files the kernel labels; its queues are the policy's."""
    up = {"destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}
    runtime.leave("run", "-d", "-b", bundle(["/bin/sleep", "1000"], labelled(FILES, up),
                                            selinuxLabel=LABEL), id)
    root = f"/proc/{runtime.state(id)['pid']}/root"
    for path in ("/dev", "/dev/null", "/dev/shm", "/dev/pts", "/dev/pts/ptmx", "/dev/mqueue",
                 "/etc", "/etc/passwd"):
        assert label_of(root + path) == FILES, path
    for path in ("/proc", "/sys", "/bin/busybox"):
        assert label_of(root + path) == label_of("/proc"), path
    for path in ("/dev/shm/f", "/etc/passwd"):
        runtime("exec", id, "sh", "-c", f"echo x >> {path}")
    assert runtime.try_("exec", id, "sh", "-c", "echo x > /home/f").rc != 0
    assert label_of(root + "/dev/shm/f") == FILES


def test_without_a_label_of_mounts_nothing_is_written(runtime, bundle, id):
    r = runtime.try_("run", "-b", bundle(["/bin/sh", "-c", "echo x > /dev/shm/f"],
                                         selinuxLabel=LABEL), id)
    assert r.rc != 0 and "Permission denied" in r.err, str(r)


def test_a_category_is_kept_apart(runtime, bundle, id):
    r = runtime.try_("run", "-b", bundle(["/bin/sh", "-c", "echo x > /dev/shm/f"], labelled(),
                                         selinuxLabel=OTHER), id)
    assert r.rc != 0 and "Permission denied" in r.err, str(r)


def test_exec_gets_the_label(runtime, bundle, id):
    runtime.leave("run", "-d", "-b", bundle(["/bin/sleep", "1000"], labelled(),
                                            selinuxLabel=LABEL), id)
    assert runtime("exec", id, "cat", CURRENT).out.rstrip("\0") == LABEL
    assert runtime("exec", "--process-label", OTHER, id, "cat", CURRENT).out.rstrip("\0") == OTHER
    other = {"cwd": "/", "args": ["cat", CURRENT], "env": ["PATH=/bin"],
             "user": {"uid": 0, "gid": 0}, "selinuxLabel": OTHER}
    assert runtime("exec", "--process", "/dev/stdin", id,
                   input=json.dumps(other)).out.rstrip("\0") == OTHER
    for label in (STRANGER, UNKNOWN):
        runtime.fails("exec", "--process-label", label, id, "true", says=label)


def test_a_terminal_has_the_label(runtime, bundle, id):
    """It is of the container's own devpts."""
    script = f"echo x > /dev/console; echo y > /dev/tty; cat {CURRENT}"
    b = bundle(["/bin/sh", "-c", script], labelled(), selinuxLabel=LABEL, terminal=True)
    with runtime.terminal("run", "-b", b, id) as t:
        assert t.wait() == 0 and t.text.decode() == f"x\ny\n{LABEL}\0"


def test_its_keys_are_its_own(runtime, bundle, id):
    def change(s):
        s["linux"]["maskedPaths"] = []
    runtime.leave("run", "-d", "-b", bundle(["/bin/sleep", "1000"], change,
                                            selinuxLabel=LABEL), id)
    assert f"keyring   {id}:" in runtime("exec", id, "cat", "/proc/keys").out


@pytest.mark.parametrize("label", [STRANGER, UNKNOWN])
def test_a_label_that_the_policy_refuses(runtime, bundle, id, label):
    runtime.fails("run", "-b", bundle(selinuxLabel=label), id, says=label)
    runtime.fails("run", "-b", bundle(change=labelled(UNKNOWN)), id, says=UNKNOWN)
    assert runtime("list", "-q").out == ""


def test_workloads_of_atoll_have_none(atoll, busybox, base):
    """They run beside those that have one, with the label of who started them."""
    assert atoll("run", "--rm", busybox, "cat", CURRENT).out.rstrip("\0\n") == HOST
    assert atoll("run", "--rm", "--security-opt", "label=disable", "-v", f"{base}:/v:z", busybox,
                 "sh", "-c", "echo x > /v/f; echo ran").out == "ran\n"
    atoll.fails("run", "--rm", "--security-opt", "label=type:container_t", busybox, "true", rc=125,
                says="no label of SELinux")
