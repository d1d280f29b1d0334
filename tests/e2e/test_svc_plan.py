# SPDX-License-Identifier: Apache-2.0
"""What the flags of create mean, seen from inside the workload."""
import os

import pytest

from lib import wait


def inside(atoll, image, *flags, script):
    return atoll("run", "--rm", *flags, image, "sh", "-c", script).out


def status(text, key):
    return next(l.split(":", 1)[1].strip() for l in text.splitlines() if l.startswith(key + ":"))


def test_default_capabilities_and_filter(atoll, busybox):
    text = inside(atoll, busybox, script="cat /proc/self/status")
    assert int(status(text, "CapBnd"), 16) == 0xA80425FB
    assert int(status(text, "CapInh"), 16) == 0 and int(status(text, "CapAmb"), 16) == 0
    assert status(text, "Seccomp") == "2" and status(text, "NoNewPrivs") == "0"


def test_capabilities_are_added_and_dropped(atoll, busybox):
    text = inside(atoll, busybox, "--cap-drop", "ALL", "--cap-add", "chown", "--cap-add",
                  "CAP_KILL", script="cat /proc/self/status")
    assert int(status(text, "CapEff"), 16) == (1 << 0) | (1 << 5)
    text = inside(atoll, busybox, "--cap-add", "ALL", "--cap-drop", "SYS_ADMIN",
                  script="cat /proc/self/status")
    assert not int(status(text, "CapBnd"), 16) & (1 << 21)


def test_privileged(atoll, busybox):
    text = inside(atoll, busybox, "--privileged",
                  script="mount -t tmpfs x /tmp && cat /proc/self/status; echo 1 > /proc/sys/kernel/ns_last_pid && echo written")
    assert status(text, "Seccomp") == "0" and "written" in text


def test_filter_refuses_what_acts_on_the_machine(atoll, busybox):
    out = inside(atoll, busybox, script="mount -t tmpfs x /tmp; unshare -U true; echo $?")
    assert out.strip().endswith("1")
    # With the capability the call is let through.
    assert inside(atoll, busybox, "--cap-add", "SYS_ADMIN",
                  script="mount -t tmpfs x /tmp && echo mounted") == "mounted\n"


def test_seccomp_profile_of_a_file(atoll, busybox, base):
    profile = base / "profile.json"
    profile.write_text('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": ['
                       '{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95},'
                       '{"names": ["chdir"], "action": "SCMP_ACT_ERRNO",'
                       ' "includes": {"caps": ["CAP_SYS_BOOT"]}}]}')
    r = atoll.try_("run", "--rm", "--security-opt", f"seccomp={profile}", busybox, "sh", "-c",
                   "mkdir /x; cd / && echo there")
    assert "not supported" in r.err and r.out == "there\n", str(r)
    text = inside(atoll, busybox, "--security-opt", "seccomp=unconfined", "--security-opt",
                  "no-new-privileges", script="cat /proc/self/status")
    assert status(text, "Seccomp") == "0" and status(text, "NoNewPrivs") == "1"
    profile.write_text("{")
    atoll.fails("run", "--rm", "--security-opt", f"seccomp={profile}", busybox, "true", rc=125)


def test_masked_and_read_only_paths(atoll, busybox):
    out = inside(atoll, busybox, script="cat /proc/kcore | head -c 1 | wc -c; ls /sys/firmware | wc -l;"
                 " echo x > /proc/sys/kernel/hostname || echo refused; touch /sys/x || echo refused")
    assert out.split() == ["0", "0", "refused", "refused"]


def test_devices(atoll, busybox):
    out = inside(atoll, busybox, script="ls /dev; head -c 4 /dev/urandom | wc -c;"
                 " mknod /tmp/d b 254 0; head -c 1 /tmp/d 2>&1; true")
    assert "null" in out and "mem" not in out.split() and "not permitted" in out
    out = inside(atoll, busybox, "--device", "/dev/null:/dev/abyss:r",
                 script="ls -l /dev/abyss; head -c 1 /dev/abyss && echo read")
    assert "1,   3" in out and "read" in out
    atoll.fails("run", "--rm", "--device", "/dev/no-such", busybox, "true", rc=125)


@pytest.mark.parametrize("user, want", [
    ("65534", "uid=65534"),
    ("12345:54321", "uid=12345 gid=54321"),
    ("0", "uid=0(root) gid=0(root)"),
])
def test_user(atoll, busybox, user, want):
    assert inside(atoll, busybox, "-u", user, script="id").startswith(want)


def test_user_that_is_none(atoll, busybox):
    atoll.fails("run", "--rm", "-u", "nobody-knows", busybox, "true", rc=125, says="nobody-knows")
    # 2^32 would wrap to root: more of it in test_cve.py.
    atoll.fails("run", "--rm", "-u", "4294967296", busybox, "true", rc=125)
    atoll.fails("run", "--rm", "-u", "4294967295", busybox, "true", rc=125)


def test_accounts_behind_links_and_fifos(atoll, busybox, base):
    """/etc/passwd of the workload is what it says inside its root, never the host's."""
    (base / "host-passwd").write_text("intruder:x:0:0::/:/bin/sh\n")
    name = atoll("run", "-d", busybox, "sh", "-c",
                 f"rm -f /etc/passwd; ln -s {base}/host-passwd /etc/passwd; sleep 1000").line
    r = atoll.try_("exec", "-u", "intruder", name, "id")
    assert r.rc != 0, str(r)
    atoll("rm", "-f", name)
    name = atoll("create", busybox, "true").line
    atoll("cp", "/dev/null", f"{name}:/etc/group")
    atoll("rm", name)


def test_names(atoll, busybox):
    out = inside(atoll, busybox, "--hostname", "island", "--add-host", "db:10.1.2.3", "--dns",
                 "192.0.2.1", "--dns-search", "example.org",
                 script="hostname; cat /etc/hostname /etc/hosts /etc/resolv.conf; echo $HOSTNAME")
    assert out.startswith("island\nisland\n") and "10.1.2.3\tdb" in out
    assert "nameserver 192.0.2.1" in out and "search example.org" in out
    assert out.endswith("island\n")


def test_environment(atoll, busybox):
    out = inside(atoll, busybox, "-e", "A=1", "-e", "A=2", "-e", "EMPTY=", "-e", "PATH=/bin",
                 script="env")
    lines = out.splitlines()
    assert "A=2" in lines and "A=1" not in lines and "EMPTY=" in lines and "PATH=/bin" in lines
    assert any(l.startswith("HOME=/") for l in lines)


def test_limits(atoll, busybox):
    out = inside(atoll, busybox, "--ulimit", "nofile=100:200", "--shm-size", "1m", "--sysctl",
                 "net.ipv4.ip_forward=1",
                 script="ulimit -n; ulimit -Hn; df /dev/shm | tail -1; cat /proc/sys/net/ipv4/ip_forward")
    lines = out.splitlines()
    assert lines[0] == "100" and lines[1] == "200" and "1024" in lines[2] and lines[3] == "1"


def test_limits_above_the_machines_are_taken_down_and_told(atoll, busybox):
    with open("/proc/self/status") as f:
        bounding = int(next(l for l in f if l.startswith("CapBnd")).split()[1], 16)
    if bounding & (1 << 24):
        pytest.skip("CAP_SYS_RESOURCE is there: every limit can be raised")
    r = atoll("run", "--rm", "--ulimit", "nofile=1000000:1000000", busybox, "sh", "-c", "ulimit -n")
    assert "at most" in r.err and int(r.out) < 1000000
    with open("/proc/self/oom_score_adj") as f:
        own = f.read()
    r = atoll("run", "--rm", "--oom-score-adj", "-900", busybox, "cat", "/proc/self/oom_score_adj")
    assert r.out == own and "taking that" in r.err
    r = atoll("run", "--rm", "--oom-score-adj", "700", busybox, "cat", "/proc/self/oom_score_adj")
    assert r.out == "700\n" and not r.err


def test_what_cgroup_v2_lacks_is_discarded_and_told(atoll, busybox):
    v1 = os.path.exists("/sys/fs/cgroup/memory/memory.swappiness")
    r = atoll("run", "--rm", "--memory", "64m", "--memory-swappiness", "40", "--oom-kill-disable",
              busybox, "sh", "-c", "cat /sys/fs/cgroup/memory/memory.swappiness || true")
    if v1:
        assert r.out == "40\n" and "discarded" not in r.err
    else:
        assert "--memory-swappiness: cgroup v2" in r.err and "--oom-kill-disable: cgroup v2" in r.err


def test_read_only_root(atoll, busybox):
    out = inside(atoll, busybox, "--read-only", "--tmpfs", "/tmp:size=64k",
                 script="touch /x 2>&1; touch /tmp/y && echo fine")
    assert "Read-only" in out and out.endswith("fine\n")


def test_namespaces_of_the_host_and_of_others(atoll, busybox):
    host = os.readlink("/proc/self/ns/uts")
    assert inside(atoll, busybox, "--uts", "host", script="readlink /proc/self/ns/uts").strip() == host
    atoll("run", "-d", "--name", "first", "--ipc", "shareable", busybox, "sleep", "1000")
    out = inside(atoll, busybox, "--pid", "container:first", "--ipc", "container:first",
                 "--network", "container:first", script="ps; echo shared > /dev/shm/f")
    assert "sleep 1000" in out
    assert atoll("exec", "first", "cat", "/dev/shm/f").out == "shared\n"
    atoll("rm", "-f", "first")
    atoll.fails("run", "--rm", "--pid", "container:first", busybox, "true", rc=125, says="first")


def test_init_reaps_and_passes_on(build, atoll, busybox):
    if b"/ld-linux" in (build / "atoll-init").read_bytes()[:4096]:
        pytest.skip("atoll-init is linked dynamically in this build: it runs in no image")
    assert inside(atoll, busybox, "--init", script="cat /proc/1/comm").strip() == "init"
    assert atoll.try_("run", "--rm", "--init", busybox, "sh", "-c", "exit 7").rc == 7
    atoll.fails("run", "--rm", "--init", busybox, "/no/such", rc=127)
    name = atoll("run", "-d", "--init", busybox, "sh", "-c",
                 "trap 'exit 3' TERM; echo ready; (sleep 0.1 &) ; while :; do sleep 0.1; done").line
    wait.until(lambda: "ready" in atoll("logs", name).out, "its trap is set")
    atoll("stop", "-t", "60", name)
    assert atoll.inspect(name)["State"]["ExitCode"] == 3
    atoll("rm", name)


@pytest.mark.parametrize("flags, says", [
    (("--memory", "1k"), "minimum"),
    (("--memory", "64m", "--memory-swap", "32m"), "--memory-swap"),
    (("--cpus", "1", "--cpu-quota", "5000"), "conflicting"),
    (("--restart", "always"), "--rm"),
    (("--pid", "nonsense"), "nonsense"),
    (("--network", "bridge"), "bridge"),
    (("--userns", "auto"), "auto"),
    (("--isolation", "magic"), "it has: container, sandbox, microvm"),
    (("--ulimit", "nofle=1"), "nofile"),
    (("--cap-add", "NO_SUCH"), "NO_SUCH"),
    (("--stop-signal", "SIGNOPE"), "SIGNOPE"),
    (("--security-opt", "nonsense=1"), "nonsense"),
    (("--security-opt", "label=type:container_t"), "no label of SELinux"),
    (("-v", "/a:/b", "-v", "/c:/b"), "duplicate"),
    (("--mount", "type=bind,source=/no/such/dir,target=/x"), "/no/such/dir"),
    (("-w", "relative"), "relative"),
    (("--sysctl", "../../etc=1"), "etc"),
    (("--hostname", "two words"), "two words"),
])
def test_refused_before_anything_changes(atoll, busybox, flags, says):
    atoll.fails("run", "--rm", *flags, busybox, "true", rc=125, says=says)
    assert atoll("ps", "-aq").out == ""
