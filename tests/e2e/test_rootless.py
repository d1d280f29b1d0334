# SPDX-License-Identifier: Apache-2.0
"""
atoll-runtime from an ordinary user, who is not known to the machine and owns nothing of it: what
works for him, what is refused and how it is said, and that nothing of his is more than his.
"""
import json
import os
import re
import subprocess
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from lib import cgroups, images
from lib.rootless import UserRuntime
from lib.run import Terminal
from lib.wait import until

ids = (f"atoll-rl-{os.getpid()}-{n}" for n in count())
TOP = f"atoll-rl-{os.getpid()}"
LIMITABLE = ("memory", "pids", "cpu", "freezer")


@pytest.fixture(scope="module")
def mine(build, user):
    """atoll-runtime of the user."""
    r = UserRuntime(build, user)
    yield r
    r.clean()


@pytest.fixture(scope="module")
def home(user):
    """The user's own root file system, which containers may write to."""
    root = images.busybox_rootfs(user.base / "rootfs")
    subprocess.run(["chown", "-hR", f"{user.uid}:{user.uid}", root], check=True)
    return root


@pytest.fixture(scope="module")
def make(user, home):
    """make(args, change, ids=1, **process): a bundle for the user with so many ids mapped."""
    numbers = count()

    def go(args=("/bin/true",), change=None, mapped=1, **process):
        def rootless(s):
            ns = s["linux"]["namespaces"]
            ns.append({"type": "user"})
            for k in ("uidMappings", "gidMappings"):
                s["linux"][k] = [{"containerID": 0, "hostID": user.uid, "size": 1}]
                if mapped > 1:
                    s["linux"][k].append({"containerID": 1, "hostID": user.first,
                                          "size": mapped - 1})
            if mapped <= 5:
                pts = next(m for m in s["mounts"] if m["type"] == "devpts")
                pts["options"].remove("gid=5")
            return (change(s) or s) if change else s
        return images.bundle(user.base / f"bundle-{next(numbers)}", home, args, rootless,
                             **process)
    return go


@pytest.fixture
def run(mine, make):
    """run(args, change, mapped, **process): what it printed."""
    def go(args, change=None, mapped=1, **process):
        return mine("run", "-b", make(args, change, mapped, **process), next(ids)).out
    return go


@pytest.fixture
def refuses(mine, make):
    def go(says, change=None, mapped=1, runtime=None, **process):
        r = (runtime or mine).fails("run", "-b", make(("/bin/true",), change, mapped, **process),
                                    next(ids))
        assert says in r.err.replace('\\"', '"'), str(r)
        assert mine("list", "-q").out == "", "nothing is left"
        return r
    return go


@contextmanager
def held(mine, bundle, *options, verb=("run", "-d")):
    """A container that is there for a while."""
    id = next(ids)
    mine.leave(*verb, *options, "-b", bundle, id)
    try:
        yield id
    finally:
        mine.try_("delete", "--force", id)


def ended(pid):
    """Gone, or waiting to be reaped by whoever took it over."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


SLEEP = ("/bin/sleep", "1000")


def without(*types):
    def change(s):
        s["linux"]["namespaces"] = [n for n in s["linux"]["namespaces"] if n["type"] not in types]
    return change


def both(*changes):
    def change(s):
        for c in changes:
            s = c(s) or s
        return s
    return change


def bind(source, destination, *options):
    def change(s):
        s["mounts"].append({"destination": destination, "type": "none", "source": str(source),
                            "options": list(options)})
    return change


CGROUP_MOUNT = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
                "options": ["nosuid", "noexec", "nodev", "relatime", "rw"]}


# -- the bundle that `spec --rootless` writes

def test_spec_is_for_the_user(mine, user):
    d = user.base / "spec"
    d.mkdir()
    os.chown(d, user.uid, user.uid)
    mine("spec", "--rootless", "-b", d)
    s = json.loads((d / "config.json").read_text())
    assert "resources" not in s["linux"]
    assert {n["type"] for n in s["linux"]["namespaces"]} >= {"user", "pid", "mount", "ipc", "uts"}
    assert "network" not in {n["type"] for n in s["linux"]["namespaces"]}
    one = [{"containerID": 0, "hostID": user.uid, "size": 1}]
    assert s["linux"]["uidMappings"] == s["linux"]["gidMappings"] == one
    at = {m["destination"]: m for m in s["mounts"]}
    assert at["/sys"] == {"destination": "/sys", "type": "none", "source": "/sys",
                          "options": ["rbind", "nosuid", "noexec", "nodev", "ro"]}
    assert not [o for m in s["mounts"] for o in m.get("options", ()) if o.startswith("gid=")]


def test_spec_runs(mine, user, home):
    d = user.base / "spec-runs"
    d.mkdir()
    os.chown(d, user.uid, user.uid)
    (d / "rootfs").symlink_to(home)
    mine("spec", "--rootless", "-b", d)
    with Terminal(mine.argv("run", "-b", str(d), next(ids)), mine.environment()) as t:
        t.write("id -u; cat /proc/self/uid_map; exit 7\n")
        t.expect("exit 7")
        t.expect(f"0      {user.uid}          1")
        assert t.wait() == 7


# -- what must be in the spec

def test_a_user_namespace_is_required(refuses):
    def change(s):
        without("user")(s)
        del s["linux"]["uidMappings"], s["linux"]["gidMappings"]
    refuses("rootless containers require user namespaces", change)


def test_what_is_not_mapped_is_refused_by_name(refuses):
    def pts(s):
        next(m for m in s["mounts"] if m["type"] == "devpts")["options"].append("gid=5")
    refuses("'gid=5' of '/dev/pts': 5 is not mapped", pts)
    refuses("process.user.uid: 1000 is not mapped", user={"uid": 1000, "gid": 0})
    refuses("process.user.gid: 1000 is not mapped", user={"uid": 0, "gid": 1000})
    refuses("process.user.additionalGids[0]: 7 is not mapped",
            user={"uid": 0, "gid": 0, "additionalGids": [7]})
    r = refuses("process.user.additionalGids", user={"uid": 0, "gid": 0, "additionalGids": [0]})
    assert "/etc/subgid" in r.err


def test_limits_of_the_user_hold(refuses, run):
    """Neither limits nor the OOM score get better than his own."""
    hard = int(re.search(r"Max open files +\d+ +(\d+)", Path("/proc/self/limits").read_text())[1])
    r = refuses("process.rlimits[0]", rlimits=[{"type": "RLIMIT_NOFILE", "soft": 10,
                                                "hard": hard + 1}])
    assert str(hard + 1) in r.err and "CAP_SYS_RESOURCE" in r.err
    refuses("process.oomScoreAdj -900", oomScoreAdj=-900)
    out = run(["/bin/sh", "-c", "cat /proc/self/oom_score_adj; ulimit -n; ulimit -Hn"],
              oomScoreAdj=500, rlimits=[{"type": "RLIMIT_NOFILE", "soft": 50, "hard": 60}])
    assert out.split() == ["500", "50", "60"]


# -- who one is

def test_alone(run, user):
    seen = user.base / "seen"
    seen.mkdir()
    os.chown(seen, user.uid, user.uid)
    out = run(["/bin/sh", "-c", "id; cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups;"
                                "touch /mnt/file; echo x > /dev/null; ls /dev"],
              bind(seen, "/mnt", "bind"))
    assert out.startswith("uid=0(root) gid=0(root)")
    assert [l.split() for l in out.splitlines()[1:4]] == [["0", str(user.uid), "1"]] * 2 + [["deny"]]
    assert {"null", "zero", "full", "random", "urandom", "tty", "pts", "fd"} <= set(out.split())
    st = os.stat(seen / "file")
    assert (st.st_uid, st.st_gid) == (user.uid, user.uid)


def test_ranges_by_the_helpers(run, user):
    seen = user.base / "seen-ranges"
    seen.mkdir()
    os.chown(seen, user.uid, user.uid)
    out = run(["/bin/sh", "-c", "cat /proc/self/uid_map; touch /mnt/a; chown 1000:1001 /mnt/a; "
                                "grep Groups: /proc/self/status; ls -ld /dev/pts/ptmx"],
              bind(seen, "/mnt", "bind"), mapped=65536,
              user={"uid": 0, "gid": 0, "additionalGids": [5, 50]})
    lines = [l.split() for l in out.splitlines()]
    assert lines[:2] == [["0", str(user.uid), "1"], ["1", str(user.first), "65535"]]
    assert ["Groups:", "5", "50"] in lines
    st = os.stat(seen / "a")
    assert (st.st_uid, st.st_gid) == (user.first + 999, user.first + 1000)
    assert run(["/bin/sh", "-c", "id -u; id -g; touch /tmp/of-1000; cat /etc/passwd | wc -l"],
               mapped=65536, user={"uid": 1000, "gid": 1000}).split()[:2] == ["1000", "1000"]


def test_root_may_be_nobody(run, user):
    """0 need not be mapped."""
    def change(s):
        for k in ("uidMappings", "gidMappings"):
            s["linux"][k] = [{"containerID": 1000, "hostID": user.uid, "size": 1}]
    assert run(["/bin/sh", "-c", "id -u; id -g; touch /tmp/x"], change,
               user={"uid": 1000, "gid": 1000}).split() == ["1000", "1000"]


def test_ranges_that_are_not_granted(refuses, user):
    def change(s):
        s["linux"]["uidMappings"][1]["hostID"] = user.first + 70000
    r = refuses("linux.uidMappings: /usr/bin/newuidmap: newuidmap: uid range", change, mapped=100)
    assert "not allowed" in r.err and "/etc/subuid" in r.err

    def group(s):
        s["linux"]["gidMappings"][1]["hostID"] = user.first + 70000
    r = refuses("linux.gidMappings: /usr/bin/newgidmap: newgidmap: gid range", group, mapped=100)
    assert "/etc/subgid" in r.err

    def root(s):
        s["linux"]["uidMappings"] = [{"containerID": 0, "hostID": 0, "size": 1}]
    refuses("newuidmap", root)


def test_helpers_that_are_missing(refuses, mine, user):
    nothing = user.base / "nothing"
    nothing.touch()
    without_helper = mine.but(first=f"mount --bind {nothing} /usr/bin/newuidmap")
    r = refuses("the helper newuidmap is needed", mapped=100, runtime=without_helper)
    assert "uidmap" in r.err and "/etc/subuid" in r.err
    r = refuses("no_new_privs is set", mapped=100, runtime=mine.but(last=["setpriv", "--no-new-privs"]))
    assert "newuidmap" in r.err


def test_helpers_with_file_capabilities(mine, make, user):
    """As some distributions have them: not setuid."""
    script = ""
    for name, cap in (("newuidmap", "cap_setuid"), ("newgidmap", "cap_setgid")):
        own = user.base / name
        own.write_bytes(Path("/usr/bin", name).read_bytes())
        own.chmod(0o755)
        subprocess.run(["/sbin/setcap", f"{cap}+ep", own], check=True)
        script += f"mount --bind {own} /usr/bin/{name}\n"
    r = mine.but(first=script)
    assert r("run", "-b", make(["/bin/sh", "-c", "cat /proc/self/uid_map | wc -l; id -u"],
                               mapped=1000, user={"uid": 9, "gid": 9}), next(ids)).out == "2\n9\n"


def test_capabilities(run):
    caps = {k: ["CAP_NET_BIND_SERVICE"] for k in ("bounding", "effective", "permitted",
                                                  "inheritable", "ambient")}
    out = run(["/bin/grep", "Cap", "/proc/self/status"], mapped=2000, capabilities=caps,
              user={"uid": 1000, "gid": 1000})
    assert set(out.split()[1::2]) == {f"{1 << 10:016x}"}
    out = run(["/bin/sh", "-c", "hostname inside && hostname; ip link set lo down && echo down"],
              capabilities={k: ["CAP_NET_ADMIN", "CAP_SYS_ADMIN"] for k in
                            ("bounding", "effective", "permitted")})
    assert out.split() == ["inside", "down"]


def test_seccomp_and_new_privileges(run):
    def change(s):
        s["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 31}]}
    for nnp in (True, False):
        out = run(["/bin/sh", "-c", "mkdir /tmp/d 2>&1; grep -E 'Seccomp:|NoNew' /proc/self/status"],
                  change, noNewPrivileges=nnp)
        assert "Too many links" in out
        assert out.split()[-4:] == ["NoNewPrivs:", str(int(nnp)), "Seccomp:", "2"]


# -- the verbs

def test_life_without_a_cgroup(mine, make, user):
    with held(mine, make(SLEEP), verb=("create",)) as id:
        state = mine.state(id)
        assert state["status"] == "created" and os.stat(f"/proc/{state['pid']}").st_uid == user.uid
        assert mine("exec", id, "id", "-u").out == "0\n", "also before it is started"
        mine("start", id)
        assert mine.state(id)["status"] == "running"
        assert mine.try_("exec", id, "sh", "-c", "exit 9").rc == 9
        assert mine("exec", "-e", "A=b", "--cwd", "/tmp", id, "sh", "-c", "echo $A; pwd").out == "b\n/tmp\n"
        r = mine.try_("exec", id, "no-such")
        assert r.rc != 0 and "executable file not found in $PATH" in r.err
        assert "sleep 1000" in mine("ps", id).out
        mine.leave("exec", "-d", id, "sleep", "2000")
        until(lambda: "sleep 2000" in mine("ps", id).out, "the second process")
        pids = mine("ps", "-f", "json", id).json
        assert state["pid"] in pids and len(pids) == 2
        listed = mine("list", "-f", "json").json
        assert [(c["id"], c["status"]) for c in listed] == [(id, "running")]
        assert listed[0]["owner"] == user.name
        for verb in (("pause",), ("update", "--memory", "100000000")):
            r = mine.fails(*verb, id, says="has none")
            assert "delegated" in r.err
        r = mine.fails("delete", id)
        mine("kill", "--all", id, "KILL")
        until(lambda: mine.state(id)["status"] == "stopped", "stopped")
        mine("delete", id)
    assert mine("list", "-q").out == ""


def test_delete_force_in_each_state(mine, make):
    for verb in (("create",), ("run", "-d")):
        with held(mine, make(SLEEP), verb=verb) as id:
            pid = mine.state(id)["pid"]
            mine("delete", "--force", id)
            until(lambda: ended(pid), "its process has ended")


def test_exit_status_and_streams(mine, make):
    id = next(ids)
    r = mine.try_("run", "-b", make(["/bin/sh", "-c", "cat; echo bad >&2; exit 3"]), id, input="in")
    assert (r.rc, r.out, r.err) == (3, "in", "bad\n")


def test_passed_descriptors_survive_the_wait(mine, make):
    """What is not passed is closed while the init waits; what is, is not."""
    read, write = os.pipe()
    pid = None
    try:
        def fds():
            os.dup2(write, 3)
        id = next(ids)
        b = make(["/bin/sh", "-c", "echo through >&3; exec sleep 1000"])
        mine.leave("create", "--preserve-fds", "1", "-b", b, id, preexec_fn=fds, pass_fds=(3,))
        pid = mine.state(id)["pid"]
        links = {os.readlink(p) for p in Path(f"/proc/{pid}/fd").iterdir()}
        assert not [l for l in links if l.startswith(("/tmp", "/sys", "/proc"))
                    and "run-" not in l and "deleted" not in l], links
        mine("start", id)
        assert os.read(read, 100) == b"through\n"
    finally:
        os.close(read)
        os.close(write)
        mine.try_("delete", "--force", id)


def test_hooks_run_as_the_user(mine, make, user):
    log = user.base / "hooks"

    def change(s):
        s["hooks"] = {k: [{"path": "/bin/sh", "args": ["sh", "-c", f"echo {k} $(id -u) >> {log}"]}]
                      for k in ("createRuntime", "poststart", "poststop")}
    mine("run", "-b", make(change=change), next(ids))
    assert log.read_text().split("\n")[:3] == [f"{k} {user.uid}" for k in
                                               ("createRuntime", "poststart", "poststop")]


def test_a_killed_creator_takes_the_init_along(mine, make, user):
    """The kernel forgets to tell the init of its parent's death when its ids change."""
    gate = user.base / "hanging"

    def change(s):
        s["linux"]["uidMappings"] = [{"containerID": 0, "hostID": user.first, "size": 10}]
        s["linux"]["gidMappings"] = [{"containerID": 0, "hostID": user.first, "size": 10}]
        s["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": [
            "sh", "-c", f"cat > {gate}.part; mv {gate}.part {gate}; exec sleep 1000"]}]}

    for d in [user.base, *user.base.parents][:2]:
        d.chmod(0o755)
    id = next(ids)
    p = mine.popen("create", "-b", make(SLEEP, change, mapped=10), id,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(gate.exists, "the hook runs")
        pid = json.loads(gate.read_text())["pid"]
        stat = Path(f"/proc/{pid}/stat").read_text()
        creator = int(stat.rsplit(")", 1)[1].split()[1])
        os.kill(creator, 9)
        until(lambda: ended(pid), "the init is gone")
    finally:
        p.kill()
        p.wait()
        for line in subprocess.run(["ps", "-eo", "pid,uid,args"], capture_output=True, text=True,
                                   check=True).stdout.splitlines():
            if line.split()[1] == str(user.uid) and line.endswith("sleep 1000"):
                os.kill(int(line.split()[0]), 9)
        mine("delete", "--force", id)


def test_a_runtime_of_the_users_own(mine, make, user, build):
    """CVE-2019-5736: what the container finds in /proc/PID/exe is not the file he may write."""
    own = user.base / "own-runtime"
    own.write_bytes((build / "atoll-runtime").read_bytes())
    own.chmod(0o755)
    os.chown(own, user.uid, user.uid)
    me = mine.but()
    me.path = str(own)
    with held(me, make(SLEEP), verb=("create",)) as id:
        exe = os.open(f"/proc/{me.state(id)['pid']}/exe", os.O_RDONLY)
        me("delete", "--force", id)
    try:
        assert os.fstat(exe).st_ino != own.stat().st_ino
        with pytest.raises(PermissionError):
            with open(f"/proc/self/fd/{exe}", "r+b") as f:
                f.write(b"evil")
    finally:
        os.close(exe)
    with held(me, make(SLEEP)) as id:
        assert me("exec", id, "echo", "in").out == "in\n"


# -- terminals

def test_terminals(mine, make, user):
    b = make(["/bin/sh", "-c", "tty; stat -c '%u:%t:%T' /dev/pts/0 /dev/console; echo x > /dev/tty; "
              "exit 5"], mapped=2000, terminal=True, user={"uid": 1000, "gid": 1000})
    with Terminal(mine.argv("run", "-b", str(b), next(ids)), mine.environment()) as t:
        assert t.wait() == 5
        assert t.text.decode().split() == ["/dev/pts/0", "1000:88:0", "1000:88:0", "x"], t.text
    with held(mine, make(SLEEP, mapped=2000)) as id:
        with Terminal(mine.argv("exec", "-t", "-u", "7:7", id, "sh", "-c",
                                "tty; stat -c %u $(tty)"), mine.environment()) as t:
            assert t.wait() == 0
            assert t.text.decode().split() == ["/dev/pts/0", "7"], t.text


# -- mounts

def test_sys_of_the_host_stays_read_only(run, user):
    """Without a network namespace of its own the host's /sys is shown, and all below it."""
    def written(change):
        out = run(["/bin/sh", "-c", "grep ' /sys' /proc/self/mountinfo"], change)
        points = [l.split() for l in out.splitlines()]
        assert points and points[0][4] == "/sys"
        return {p[4]: p[5].split(",") for p in points}

    for at, options in written(without("network")).items():
        assert "ro" in options, at

    def as_spec(s):
        without("network")(s)
        sys = next(m for m in s["mounts"] if m["destination"] == "/sys")
        sys.update(type="none", source="/sys", options=["rbind", "nosuid", "noexec", "nodev", "ro"])
    for at, options in written(as_spec).items():
        assert "ro" in options, at


@pytest.mark.parametrize("mount", [False, True])
@pytest.mark.parametrize("namespace", [False, True])
def test_the_users_cgroups_are_not_handed_out(mine, make, delegated, mount, namespace):
    """CVE-2023-25809: what the user may write of /sys/fs/cgroup, his container must not."""
    def change(s):
        without("network", *(() if namespace else ("cgroup",)))(s)
        sys = next(m for m in s["mounts"] if m["destination"] == "/sys")
        sys.update(type="none", source="/sys", options=["rbind", "nosuid", "noexec", "nodev", "ro"])
        if mount:
            s["mounts"].append(dict(CGROUP_MOUNT, options=["nosuid", "noexec", "nodev", "ro"]))
    out = mine.but(cgroups=delegated.leaves)(
        "run", "-b", make(["/bin/sh", "-c", "find /sys/fs/cgroup -type d | while read d; do "
                           "mkdir $d/evil 2>/dev/null && echo $d; done; echo end"], change),
        next(ids)).out
    assert out == "end\n"


def test_cgroups_that_are_not_his_are_mounted_read_only(run):
    """Without a cgroup of its own it is shown the caller's, whatever the options say."""
    for change in (without(), without("cgroup")):
        out = run(["/bin/sh", "-c", "grep -E ' cgroup2? ' /proc/self/mountinfo"],
                  both(change, lambda s: s["mounts"].append(CGROUP_MOUNT)))
        lines = [l.split() for l in out.splitlines()]
        own = [l for l in lines if l[4].startswith("/sys/fs/cgroup")]
        assert own and all("ro" in l[5].split(",") for l in own), out


def test_the_hosts_namespaces(run):
    """proc and mqueue of a namespace that is shared are the host's own mounts."""
    out = run(["/bin/sh", "-c", "readlink /proc/self/ns/pid; cat /proc/$$/comm; "
                                "true"], without("pid"))
    assert out.split()[:2] == [os.readlink("/proc/self/ns/pid"), "sh"]
    queue = {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
             "options": ["nosuid", "noexec", "nodev"]}
    if os.path.ismount("/dev/mqueue"):
        assert "mqueue" in run(["/bin/cat", "/proc/self/mountinfo"],
                               both(without("ipc"), lambda s: s["mounts"].append(queue)))
    assert "mqueue" in run(["/bin/cat", "/proc/self/mountinfo"],
                           lambda s: s["mounts"].append(queue))


def test_binds(run, mine, make, user, refuses):
    d = user.base / "binds"
    (d / "sub").mkdir(parents=True)
    (d / "file").write_text("text")
    subprocess.run(["chown", "-R", f"{user.uid}", d], check=True)
    out = run(["/bin/sh", "-c", "cat /mnt/file /opt/f; touch /mnt/x 2>&1; touch /srv/y && echo w; "
                                "readlink /opt/l"],
              both(bind(d, "/mnt", "bind", "ro"), bind(d / "sub", "/srv", "bind"),
                   bind(d / "file", "/opt/f", "bind"),
                   bind("/proc/self/cwd", "/opt/l", "bind", "copy-symlink")))
    assert out.startswith("texttext") and "Read-only" in out and "w\n" in out
    assert (d / "sub/y").exists() and not (d / "x").exists()
    refuses("mount source '/no/such'", bind("/no/such", "/mnt", "bind"))
    refuses("idmapped mounts of the host's file systems need root", bind(d, "/mnt", "bind", "idmap"))
    refuses("use rbind", bind("/sys", "/mnt", "bind"))


def test_relative_paths_are_the_bundles(mine, make, user):
    b = make(["/bin/cat", "/mnt/f"], both(
        bind("data", "/mnt", "bind"), lambda s: s["root"].update(path="../rootfs")))
    (b / "data").mkdir()
    (b / "data/f").write_text("here")
    assert mine("run", "-b", b, next(ids)).out == "here"


def test_the_root_file_system_of_another(mine, make, rootfs):
    """Read-only for him, as its files say; what he cannot read is an error that names it."""
    b = make(["/bin/sh", "-c", "touch /x 2>&1; ls /bin/busybox"],
             lambda s: s["root"].update(path=str(rootfs)))
    assert "denied" in mine("run", "-b", b, next(ids)).out
    r = mine.fails("run", "-b", make(change=lambda s: s["root"].update(path="/root/no")), next(ids))
    assert "root file system '/root/no'" in r.err


# -- namespaces

def test_time_namespace(run):
    def change(s):
        s["linux"]["namespaces"].append({"type": "time"})
        s["linux"]["timeOffsets"] = {"boottime": {"secs": 1000000}}
    for mapped in (1, 100):
        assert float(run(["/bin/cat", "/proc/uptime"], change, mapped).split()[0]) > 1000000


def test_sysctls_of_its_namespaces(run):
    def change(s):
        s["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1", "net.ipv4.ip_unprivileged_port_start": "0"}
    assert run(["/bin/sh", "-c", "cd /proc/sys/net/ipv4; cat ip_forward ip_unprivileged_port_start"],
               change).split() == ["1", "0"]


def test_joined_namespaces(mine, make, user):
    """A user namespace of his that is there already, and others that belong to it."""
    holder = subprocess.Popen([*user.inside(), "unshare", "-Urnipf", "--kill-child", "sh", "-c",
                               "echo ready; exec sleep 1000"], stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"ready\n"
        child = int(Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()[0])

        def change(*types):
            def go(s):
                names = {"network": "net"}
                for n in s["linux"]["namespaces"]:
                    if n["type"] in types:
                        n["path"] = f"/proc/{child}/ns/{names.get(n['type'], n['type'])}"
                del s["linux"]["uidMappings"], s["linux"]["gidMappings"]
            return go
        for types in (("user",), ("user", "network", "ipc"), ("user", "pid")):
            out = mine("run", "-b", make(
                ["/bin/sh", "-c", "for n in user net ipc pid uts; do readlink /proc/self/ns/$n; "
                                  "done; id -u"], change(*types)), next(ids)).out.split()
            for name, type in zip(("user", "net", "ipc", "pid", "uts"),
                                  ("user", "network", "ipc", "pid", "uts")):
                link = os.readlink(f"/proc/{child}/ns/{name}")
                assert (link in out) == (type in types), (types, name, out)
            assert out[-1] == "0"
        with held(mine, make(SLEEP, change("user", "pid", "network")), verb=("create",)) as id:
            mine("start", id)
            assert mine("exec", id, "readlink", "/proc/self/ns/pid").out.strip() == \
                os.readlink(f"/proc/{child}/ns/pid")
    finally:
        holder.kill()
        holder.communicate()


def test_as_root_of_a_user_namespace(mine, make, user):
    """Nested, as in `podman unshare`: no further user namespace is needed."""
    def change(s):
        without("user")(s)
        del s["linux"]["uidMappings"], s["linux"]["gidMappings"]
    b = make(["/bin/sh", "-c", "id -u; ls /dev/null; readlink /proc/self/ns/user"], change)
    for flags in (["-Urm"], ["-Ur"], ["-Urm", "--map-auto"]):
        if flags[-1] == "--map-auto" and "--map-auto" not in subprocess.run(
                ["unshare", "--help"], capture_output=True, text=True, check=True).stdout:
            continue
        nested = mine.but(last=["unshare", *flags])
        out = nested("run", "-b", b, next(ids)).out.split()
        assert out[:2] == ["0", "/dev/null"]
        assert out[2] != os.readlink("/proc/self/ns/user")
    # And one more within it, of which it is not yet known what it maps to outside.
    inner = make(["/bin/cat", "/proc/self/uid_map"], lambda s: [
        s["linux"].update({k: [{"containerID": 0, "hostID": 0, "size": 1}]}) for k in
        ("uidMappings", "gidMappings")] and None)
    out = mine.but(last=["unshare", "-Urm"])("run", "-b", inner, next(ids)).out
    assert out.split() == ["0", "0", "1"]


# -- the state directory

def state_dirs(user):
    return Path("/tmp", f"atoll-runtime-{user.uid}"), Path("/run/user", str(user.uid))


def test_without_xdg_runtime_dir(mine, make, user):
    """A private directory in /tmp, taken only when it is his and nobody else may write to it."""
    own, _ = state_dirs(user)
    env = {"XDG_RUNTIME_DIR": ""}
    assert not own.exists()
    try:
        id = next(ids)
        mine("run", "-b", make(), id, env=env)
        assert (own.stat().st_uid, own.stat().st_mode & 0o1777) == (user.uid, 0o1700)
        own.chmod(0o777)
        r = mine.fails("run", "-b", make(), next(ids), env=env, says="is not safe")
        assert str(own) in r.err
        own.chmod(0o700)
        os.chown(own, 0, 0)
        mine.fails("run", "-b", make(), next(ids), env=env)
        own.rmdir()
        own.symlink_to(user.run_dir)
        mine.fails("run", "-b", make(), next(ids), env=env, says=str(own))
    finally:
        own.unlink() if own.is_symlink() else own.is_dir() and own.rmdir()


def test_state_of_others_is_theirs(mine, user, runtime):
    """Root's containers cannot be reached."""
    r = mine.try_("--root", runtime.state_dir, "list", "-q")
    assert r.out == ""


# -- control groups

class Delegated:
    """In each hierarchy a cgroup of the user with one for his processes below it."""

    def __init__(self, user, controllers=None):
        self.made, self.leaves = [], []
        for names, at in cgroups.hierarchies():
            if names and controllers is not None and not set(names.split(",")) & set(controllers):
                continue
            top = at / TOP
            leaf = top / "session"
            if not names and cgroups.PURE_V2:
                enable(at)
            top.mkdir()
            self.made.append(top)
            if not names and cgroups.PURE_V2:
                enable(top)
            leaf.mkdir()
            self.made.append(leaf)
            for d in (top, leaf):
                os.chown(d, user.uid, user.uid)
                for f in ("cgroup.procs", "tasks", "cgroup.subtree_control", "cgroup.threads"):
                    if (d / f).exists():
                        os.chown(d / f, user.uid, user.uid)
                if (d / "cpuset.cpus").exists() and names:
                    for f in ("cpuset.cpus", "cpuset.mems"):
                        (d / f).write_text((d.parent / f).read_text())
            self.leaves.append(leaf)

    def end(self):
        for d in reversed(self.made):
            until(lambda: not (d / "cgroup.procs").read_text(), f"{d} is empty")
            d.rmdir()


def enable(at):
    have = (at / "cgroup.controllers").read_text().split()
    for c in set(have) & {"memory", "pids", "cpu", "cpuset", "io"}:
        try:
            (at / "cgroup.subtree_control").write_text(f"+{c}")
        except OSError:
            pass


@pytest.fixture
def delegated(user):
    d = Delegated(user)
    yield d
    d.end()


def with_resources(resources, path=None):
    def change(s):
        s["linux"]["resources"] = resources
        if path:
            s["linux"]["cgroupsPath"] = path
    return change


PIDS = {"pids": {"limit": 20}}


def test_limits_without_a_cgroup_are_refused(refuses, run, mine, make):
    for limit, name in ((PIDS, "pids"), ({"memory": {"limit": 1 << 26}}, "memory"),
                        ({"cpu": {"shares": 100}}, "cpu")):
        r = refuses(f"cannot set {name} limit", with_resources(limit))
        assert f"linux.resources.{name}" in r.err and "delegated" in r.err
    assert run(["/bin/echo", "none"], with_resources({"devices": [
        {"allow": False, "access": "rwm"}]})) == "none\n"
    refuses(f"linux.cgroupsPath '/{TOP}-no/x'", with_resources({}, f"/{TOP}-no/x"))
    r = mine.fails("--rootless", "false", "run", "-b", make(), next(ids))
    assert "make the cgroup" in r.err and "Permission denied" in r.err
    assert mine("--rootless", "true", "run", "-b", make(["/bin/echo", "x"]), next(ids)).out == "x\n"
    assert cgroups.there(f"{TOP}-no") == []


@pytest.mark.parametrize("given", [False, True])
def test_delegated_cgroups_limit(mine, make, delegated, given):
    """In his own subtree, at the path that is given or beside or below his session."""
    me = mine.but(cgroups=delegated.leaves)
    id = next(ids)
    limits = {"pids": {"limit": 20}, "memory": {"limit": 64 << 20}, "cpu": {"quota": 50000,
                                                                           "period": 100000}}
    b = make(SLEEP, with_resources(limits, f"/{TOP}/{id}" if given else None))
    me.leave("run", "-d", "-b", b, id)
    try:
        at = cgroups.of_process(me.state(id)["pid"])
        for names, _ in cgroups.hierarchies():
            assert at[names].split("/")[1] == TOP and at[names].endswith(id), at
        path = at["pids"] if cgroups.has_v1("pids") else at[""]
        assert cgroups.text(path, "pids", "pids.max", "pids.max") == "20"
        path = at["memory"] if cgroups.has_v1("memory") else at[""]
        assert cgroups.text(path, "memory", "memory.limit_in_bytes", "memory.max") == str(64 << 20)
        r = me.try_("exec", id, "sh", "-c", "for i in $(seq 40); do sleep 100 > /dev/null 2>&1 & done")
        assert "fork" in r.err, str(r)
        me("pause", id)
        assert me.state(id)["status"] == "paused"
        me("resume", id)
        me("update", "--pids-limit", "33", id)
        path = at["pids"] if cgroups.has_v1("pids") else at[""]
        assert cgroups.text(path, "pids", "pids.max", "pids.max") == "33"
        assert me("events", "--stats", id).json["data"]["pids"]["limit"] == 33
        assert "sleep 1000" in me("ps", id).out
        me("kill", "--all", id, "KILL")
        until(lambda: me.state(id)["status"] == "stopped", "stopped")
    finally:
        me.try_("delete", "--force", id)
    assert cgroups.there(f"{TOP}/{id}") == cgroups.there(f"{TOP}/session/{id}") == []


def test_an_exec_from_another_session(mine, make, delegated):
    """It cannot be moved into the cgroup from there on v2: it runs all the same."""
    me = mine.but(cgroups=delegated.leaves)
    id = next(ids)
    me.leave("run", "-d", "-b", make(SLEEP, with_resources(PIDS)), id)
    try:
        assert mine("exec", id, "echo", "here").out == "here\n"
    finally:
        me("delete", "--force", id)


def test_no_internal_processes(mine, make, user, delegated):
    """A session right in the delegated cgroup: no limits there on v2, but a place."""
    if not cgroups.PURE_V2:
        top = [d.parent for d in delegated.leaves]
    else:
        own = cgroups.UNIFIED / TOP / "session"
        os.chown(own.parent, 0, 0)  # only its own directory is his
        for f in ("cgroup.procs", "cgroup.subtree_control"):
            os.chown(own.parent / f, 0, 0)
        top = [own]
    me = mine.but(cgroups=top)
    with held(me, make(SLEEP)) as id:
        at = cgroups.of_process(me.state(id)["pid"])
        for d in top:
            assert any(p == f"/{TOP}/session/{id}" or p == f"/{TOP}/{id}" for p in at.values()), at
        assert "sleep 1000" in me("ps", id).out


@pytest.mark.skipif(cgroups.PURE_V2, reason="needs cgroup v1 hierarchies")
def test_some_hierarchies_alone(mine, make, user, refuses):
    """v1: each that is his is used, the others are left out unless a limit needs them."""
    d = Delegated(user, ("pids", "freezer"))
    try:
        me = mine.but(cgroups=d.leaves)
        with held(me, make(SLEEP, with_resources(PIDS))) as id:
            at = cgroups.of_process(me.state(id)["pid"])
            assert at["pids"].endswith(id) and not at["memory"].endswith(id)
            me("pause", id)
            me("resume", id)
        refuses("cannot set memory limit", with_resources({"memory": {"limit": 1 << 26}}),
                runtime=me)
        assert cgroups.there(f"{TOP}/session/{id}") == []
    finally:
        d.end()


def test_a_writable_cgroup_of_its_own(mine, make, delegated):
    """As systemd in a container wants it: the container's own, and nothing above."""
    me = mine.but(cgroups=delegated.leaves)
    file = "" if cgroups.PURE_V2 else "/pids"
    out = me("run", "-b", make(
        ["/bin/sh", "-c", f"mkdir /sys/fs/cgroup{file}/sub && rmdir /sys/fs/cgroup{file}/sub && "
                          "echo made; ls /sys/fs/cgroup/*/session /sys/fs/cgroup/session 2>/dev/null; true"],
        lambda s: s["mounts"].append(CGROUP_MOUNT)), next(ids)).out
    assert out == "made\n"


def test_no_machines(mine, refuses, user, build):
    """Of atoll-microvm he is to be root of a user namespace, as under podman."""
    link = user.base / "atoll-microvm"
    link.symlink_to(build / "atoll-runtime")
    other = mine.but()
    other.path = str(link)
    refuses("only root can make machines", runtime=other)
