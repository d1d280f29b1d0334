# SPDX-License-Identifier: Apache-2.0
"""
What changes the machine itself, and so is tested in one that is thrown away only: AppArmor profiles
that are loaded into the kernel, and an ordinary user with a systemd of his own.
"""
import json
import os
import subprocess
from itertools import count
from pathlib import Path

import pytest

from lib import cgroups, images
from lib.run import Runtime
from lib.wait import until

pytestmark = pytest.mark.skipif(
    os.environ.get("ATOLL_THROWAWAY") != "1" or not Path("/run/systemd/system").is_dir(),
    reason="changes the machine itself: runs in one that is thrown away")

ids = (f"atoll-machine-{os.getpid()}-{n}" for n in count())
MIB = 1 << 20
UID = 4242
PROFILE = """
profile {name} flags=(attach_disconnected,mediate_deleted) {{
  file,
  capability,
  network,
  mount,
  signal,
  unix,
  deny /etc/os-release r,
  deny /tmp/** w,
  deny capability chown,
}}
"""


@pytest.fixture
def id(runtime):
    i = next(ids)
    yield i
    runtime.try_("delete", "--force", i)


# -- AppArmor, SELinux

@pytest.fixture(scope="module")
def profile(base):
    """Two loaded profiles: the one confines, the other only complains."""
    if not Path("/sys/kernel/security/apparmor/profiles").exists():
        pytest.fail("this machine's kernel has no AppArmor")
    text = PROFILE.format(name="atoll-test") + PROFILE.format(name="atoll-mild").replace(
        "flags=(", "flags=(complain,")
    file = base / "profile"
    file.write_text(text)
    subprocess.run(["apparmor_parser", "--replace", "--skip-cache", file], check=True)
    yield "atoll-test"
    subprocess.run(["apparmor_parser", "--remove", file], check=True)


def test_a_profile_confines(runtime, bundle, id, profile):
    script = ("cat /proc/self/attr/current; cat /etc/passwd > /dev/null && echo reads; "
              "cat /etc/os-release; echo x > /tmp/x; echo x > /dev/null && echo writes")
    r = runtime.try_("run", "-b", bundle(["/bin/sh", "-c", script], apparmorProfile=profile), id)
    assert r.out == "atoll-test (enforce)\nreads\nwrites\n", str(r)
    assert r.err.count("Permission denied") == 2 and "os-release" in r.err, str(r)


def test_a_profile_takes_what_a_capability_gives(runtime, bundle, id, profile):
    caps = {k: ["CAP_CHOWN"] for k in ("bounding", "effective", "permitted")}
    script = ["/bin/sh", "-c", ": > /run/x && chown 5 /run/x"]
    tmpfs = {"destination": "/run", "type": "tmpfs", "source": "tmpfs"}
    for confined, rc in ((None, 0), (profile, 1)):
        r = runtime.try_("run", "-b", bundle(script, lambda s: s["mounts"].append(tmpfs),
                                             capabilities=caps, apparmorProfile=confined or ""), id)
        assert r.rc == rc, str(r)
    assert "not permitted" in r.err or "denied" in r.err, str(r)


def test_exec_is_confined_as_asked(runtime, bundle, id, profile):
    runtime.leave("run", "-d", "-b", bundle(["/bin/sleep", "1000"], apparmorProfile=profile), id)
    assert runtime("exec", id, "cat", "/proc/self/attr/current").out == "atoll-test (enforce)\n"
    assert runtime.try_("exec", id, "cat", "/etc/os-release").rc != 0
    other = {"cwd": "/", "args": ["cat", "/proc/self/attr/current"], "env": ["PATH=/bin"],
             "user": {"uid": 0, "gid": 0}, "apparmorProfile": "atoll-mild"}
    assert runtime("exec", "--process", "/dev/stdin", id,
                   input=json.dumps(other)).out == "atoll-mild (complain)\n"


def test_a_profile_and_no_new_privileges(runtime, bundle, id, profile):
    r = runtime("run", "-b", bundle(["/bin/cat", "/proc/self/attr/current"],
                                    apparmorProfile=profile, noNewPrivileges=True), id)
    assert r.out == "atoll-test (enforce)\n"


def test_unconfined(runtime, bundle, id, profile):
    r = runtime("run", "-b", bundle(["/bin/cat", "/proc/self/attr/current"],
                                    apparmorProfile="unconfined"), id)
    assert r.out == "unconfined\n"


def test_a_profile_that_is_not_loaded(runtime, bundle, id, profile):
    runtime.fails("run", "-b", bundle(apparmorProfile="atoll-no-such"), id, says="atoll-no-such")
    assert runtime("list", "-q").out == ""


@pytest.mark.parametrize("key", ["process.selinuxLabel", "linux.mountLabel"])
def test_labels_without_selinux(runtime, bundle, id, key):
    """Debian's kernel can do SELinux, and runs without unless told at boot: no silent ignoring."""
    if Path("/sys/fs/selinux/enforce").exists():
        pytest.fail("this machine runs SELinux")

    def change(s):
        section, name = key.split(".")
        s[section][name] = "system_u:object_r:container_file_t:s0:c1,c2"
    runtime.fails("run", "-b", bundle(change=change), id, says=f"{key}: selinux is not enabled")
    assert runtime("list", "-q").out == ""


# -- a slice for atoll run

def test_a_slice_named_to_atoll_run(atoll, busybox):
    """cgroupfs is atoll's own way; who names a slice wants systemd's."""
    def show(*properties):
        return [subprocess.run(["systemctl", "show", "--value", "-p", p, unit], check=True,
                               capture_output=True, text=True).stdout.strip() for p in properties]
    id = atoll("run", "-d", "--cgroup-parent", "trial.slice", "-m", "50m", "--pids-limit", "9",
               busybox, "sleep", "1000").line
    unit = f"atoll-{id}.scope"
    assert show("ActiveState", "Slice", "MemoryMax", "TasksMax") == [
        "active", "trial.slice", str(50 * MIB), "9"]
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    pid = atoll.inspect(id)["State"]["Pid"]
    assert cgroups.of_process(pid)[""] == f"/trial.slice/{unit}"
    here = cgroups.TOP / "trial.slice" / unit
    assert (here / "memory.max").read_text().strip() == str(50 * MIB)
    assert atoll("exec", id, "cat", "/proc/self/cgroup").out.strip().endswith(":/")
    atoll("update", "--memory", "60m", "--memory-swap", "60m", id)
    assert show("MemoryMax") == [str(60 * MIB)]
    atoll("rm", "-f", id)
    assert show("LoadState") == ["not-found"] and not here.exists()
    assert atoll("run", "--rm", "--cgroup-parent", "trial.slice", busybox, "echo",
                 "in").out == "in\n"
    id = atoll("run", "-d", busybox, "sleep", "1000").line
    assert cgroups.of_process(atoll.inspect(id)["State"]["Pid"])[""] == f"/atoll/{id}"
    atoll("rm", "-f", id)
    subprocess.run(["systemctl", "stop", "trial.slice"], check=True)  # one stays when it is empty


# -- an ordinary user with a systemd of his own

class Mine(Runtime):
    """atoll-runtime of the user, started from outside of his session."""

    def __init__(self, build, base):
        super().__init__(build, base)
        self.options = ["--root", str(self.state_dir), "--cgroup-manager", "systemd"]
        self.env = {"XDG_RUNTIME_DIR": f"/run/user/{UID}", "HOME": "/", "USER": "atoll-user"}

    def argv(self, *args):
        return ["setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups", "--",
                *super().argv(*args)]


def of_user(*args):
    return subprocess.run(
        ["setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups", "--", "env",
         f"XDG_RUNTIME_DIR=/run/user/{UID}", *args], capture_output=True, text=True, check=False)


def shown(unit, *properties):
    return [of_user("systemctl", "--user", "show", "--value", "-p", p, unit).stdout.strip()
            for p in properties]


@pytest.fixture(scope="module")
def mine(build, base):
    subprocess.run(["useradd", "--uid", str(UID), "--no-create-home", "--home-dir", "/",
                    "atoll-user"], check=True)
    subprocess.run(["systemctl", "start", f"user@{UID}.service"], check=True)
    until(lambda: Path(f"/run/user/{UID}/bus").exists(), "the user's bus")
    own = base / "mine"
    own.mkdir()
    os.chown(own, UID, UID)
    r = Mine(build, own)
    r.base = own
    yield r
    for id in r("list", "-q").out.split():
        r.try_("delete", "--force", id)
    subprocess.run(["systemctl", "stop", f"user@{UID}.service"], check=True)
    subprocess.run(["userdel", "atoll-user"], check=True)


@pytest.fixture(scope="module")
def home(mine):
    root = images.busybox_rootfs(mine.base / "rootfs")
    subprocess.run(["chown", "-hR", f"{UID}:{UID}", root], check=True)
    return root


@pytest.fixture
def users_bundle(mine, home):
    """users_bundle(id, resources, path): with a user namespace of one user."""
    def make(id, resources=None, path=None):
        def change(s):
            s["linux"]["namespaces"].append({"type": "user"})
            for k in ("uidMappings", "gidMappings"):
                s["linux"][k] = [{"containerID": 0, "hostID": UID, "size": 1}]
            pts = next(m for m in s["mounts"] if m["type"] == "devpts")
            pts["options"].remove("gid=5")
            s["linux"]["cgroupsPath"] = f"app.slice:t:{id}" if path is None else path
            s["linux"]["resources"] = resources or {}
        return images.bundle(mine.base / f"bundle-{id}", home, ["/bin/sleep", "1000"], change)
    return make


@pytest.fixture
def started(mine, users_bundle):
    """started(resources, path): a container of the user's; its id."""
    made = []

    def make(resources=None, path=None):
        id = next(ids)
        mine.leave("run", "-d", "-b", users_bundle(id, resources, path), id)
        made.append(id)
        return id
    yield make
    for id in made:
        mine.try_("delete", "--force", id)


def test_a_scope_of_the_users_own(mine, started):
    id = started({"memory": {"limit": 50 * MIB}, "pids": {"limit": 30}})
    unit = f"t-{id}.scope"
    assert shown(unit, "ActiveState", "Slice", "MemoryMax", "TasksMax") == [
        "active", "app.slice", str(50 * MIB), "30"]
    pid = mine.state(id)["pid"]
    where = cgroups.of_process(pid)[""]
    assert where.startswith(f"/user.slice/user-{UID}.slice/user@{UID}.service/app.slice/")
    assert where.endswith(unit)
    here = cgroups.TOP / where.strip("/")
    assert (here / "memory.max").read_text().strip() == str(50 * MIB)
    assert (here / "cgroup.procs").read_text().split() == [str(pid)]
    p = mine.popen("exec", id, "sleep", "1000")
    until(lambda: len((here / "cgroup.procs").read_text().split()) == 2, "exec enters it")
    mine("update", "--memory", "60m", "--pids-limit", "31", id)
    assert shown(unit, "MemoryMax", "TasksMax") == [str(60 * MIB), "31"]
    mine("pause", id)
    assert (here / "cgroup.freeze").read_text() == "1\n"
    mine("resume", id)
    mine("delete", "-f", id)
    p.wait(60)
    assert shown(unit, "LoadState") == ["not-found"] and not here.exists()


def test_the_users_default_slice(mine, started):
    id = started(path="")
    assert shown(f"atoll-{id}.scope", "ActiveState", "Slice") == ["active", "user.slice"]
    mine("delete", "-f", id)


def test_without_a_manager_of_the_users(mine, users_bundle):
    id = next(ids)
    r = mine.fails("run", "-b", users_bundle(id), id, says="no manager of the user's session",
                   env={"XDG_RUNTIME_DIR": "/nonexistent", "DBUS_SESSION_BUS_ADDRESS": ""})
    assert "/nonexistent/bus" in r.err and mine("list", "-q").out == ""
