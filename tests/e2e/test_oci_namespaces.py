# SPDX-License-Identifier: Apache-2.0
"""Namespaces, identity, sysctls and names, each seen from inside the workload."""
import os
import re
import subprocess
from itertools import count

import pytest

ids = (f"atoll-ns-{os.getpid()}-{n}" for n in count())
TYPES = ("pid", "net", "ipc", "uts", "mnt", "cgroup")


def holder_of(*flags):
    """A process in new namespaces, ready."""
    p = subprocess.Popen(["unshare", *flags, "sh", "-c", "echo ready; exec sleep 1000"],
                         stdout=subprocess.PIPE)
    assert p.stdout.readline() == b"ready\n"
    return p


def namespaces(*types):
    def change(spec):
        spec["linux"]["namespaces"] = [t if isinstance(t, dict) else {"type": t} for t in types]
    return change


def user(spec):
    """A user namespace: 0 to 65535 are 100000 and on."""
    spec["linux"]["namespaces"].append({"type": "user"})
    maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    spec["linux"]["uidMappings"] = maps
    spec["linux"]["gidMappings"] = maps


def time_ns(spec):
    spec["linux"]["namespaces"].append({"type": "time"})
    spec["linux"]["timeOffsets"] = {"boottime": {"secs": 1000000, "nanosecs": 5},
                                    "monotonic": {"secs": 500}}


def test_all_are_new(run):
    out = run(["/bin/sh", "-c", "for t in pid net ipc uts mnt cgroup; do "
                                "readlink /proc/self/ns/$t; done"])
    for t, inside in zip(TYPES, out.split()):
        assert inside.startswith(f"{t}:[") and inside != os.readlink(f"/proc/self/ns/{t}"), t


def test_init_is_pid_1_and_loopback_is_up(run):
    out = run(["/bin/sh", "-c", "echo $$; ip addr show lo; hostname"])
    assert out.startswith("1\n") and "127.0.0.1/8" in out and out.endswith("\natoll\n")


def test_only_those_asked_for(run):
    out = run(["/bin/sh", "-c", "readlink /proc/self/ns/net; readlink /proc/self/ns/ipc"],
              lambda s: (namespaces("pid", "mount", "uts")(s), s["mounts"].pop())[0])
    assert out.split() == [os.readlink("/proc/self/ns/net"), os.readlink("/proc/self/ns/ipc")]


@pytest.mark.parametrize("kind,name", [("network", "net"), ("ipc", "ipc"), ("uts", "uts"),
                                       ("pid", "pid"), ("cgroup", "cgroup"), ("time", "time")])
def test_joined_by_path(run, kind, name):
    flag = {"net": "-n", "ipc": "-i", "uts": "-u", "pid": "-p", "cgroup": "-C", "time": "-T"}[name]
    fork = ["-f", "--kill-child"] if name in ("pid", "time") else []
    holder = subprocess.Popen(["unshare", flag, *fork, "sh", "-c", "echo ready; exec sleep 1000"],
                              stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"ready\n"
        pid = holder.pid
        if fork:
            pid = int(open(f"/proc/{pid}/task/{pid}/children").read().split()[0])
        path = f"/proc/{pid}/ns/{name}"

        def change(spec):
            ns = [n for n in spec["linux"]["namespaces"] if n["type"] != kind]
            spec["linux"]["namespaces"] = [*ns, {"type": kind, "path": path}]

        out = run(["/bin/sh", "-c", f"readlink /proc/self/ns/{name}; echo $$"], change)
        assert out.split()[0] == os.readlink(path)
        if name == "pid":
            assert out.split()[1] != "1"
    finally:
        holder.kill()
        holder.communicate()


def test_a_path_of_another_type_is_refused(refuses):
    refuses("'/proc/self/ns/uts' is not a network namespace",
            namespaces("pid", "mount", "uts", {"type": "network", "path": "/proc/self/ns/uts"}))
    refuses("No such file", namespaces("pid", "mount", "uts", {"type": "network", "path": "/nowhere"}))


def test_user_namespace(run, base):
    seen = base / "owner"
    seen.mkdir(exist_ok=True)
    seen.chmod(0o777)

    def change(spec):
        user(spec)
        spec["mounts"].append({"destination": "/mnt", "type": "bind", "source": str(seen),
                               "options": ["bind"]})

    out = run(["/bin/sh", "-c", "id -u; cat /proc/self/uid_map; touch /mnt/file; "
                                "ls -l /dev/null /dev/zero; echo x > /dev/null"], change)
    assert out.split()[:4] == ["0", "0", "100000", "65536"], out
    assert os.stat(seen / "file").st_uid == 100000
    assert out.count("crw-rw-rw-") == 2


def test_user_namespace_with_time_and_all(run):
    out = run(["/bin/sh", "-c", "cat /proc/uptime; id -u"],
              lambda s: (user(s), time_ns(s))[0], user={"uid": 7, "gid": 8})
    assert float(out.split()[0]) > 1000000 and out.split()[-1] == "7"


def test_joined_user_namespace(run):
    """Namespaces made beside a joined user namespace belong to it."""
    holder = subprocess.Popen(["unshare", "-U", "sh", "-c", "echo ready; exec sleep 1000"],
                              stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"ready\n"
        for f in ("uid_map", "gid_map"):
            with open(f"/proc/{holder.pid}/{f}", "w") as m:
                m.write("0 200000 65536")
        path = f"/proc/{holder.pid}/ns/user"

        def change(spec):
            spec["linux"]["namespaces"].append({"type": "user", "path": path})

        out = run(["/bin/sh", "-c", "readlink /proc/self/ns/user; echo $$; hostname; "
                                    "ip link set lo down && echo owned; cat /proc/self/uid_map"],
                  change, capabilities={k: ["CAP_NET_ADMIN"] for k in
                                        ("bounding", "effective", "permitted")})
        assert out.split()[:4] == [os.readlink(path), "1", "atoll", "owned"], out
        assert "200000" in out
    finally:
        holder.kill()
        holder.communicate()


def test_user_namespace_without_a_network_of_its_own(run):
    """sysfs belongs to the network namespace: the host's is shown, read-only."""
    def change(spec):
        user(spec)
        spec["linux"]["namespaces"] = [n for n in spec["linux"]["namespaces"]
                                       if n["type"] != "network"]
    out = run(["/bin/sh", "-c", "ls /sys/class/net | wc -l; grep ' /sys ' /proc/self/mountinfo"],
              change)
    assert int(out.split()[0]) > 0 and " ro," in out, out


def test_limits_in_user_namespaces(run):
    """They are set with the rights of who asks, which the namespace does not have."""
    limits = {"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}], "oomScoreAdj": 77}
    out = run(["/bin/sh", "-c", "cat /proc/self/limits /proc/self/oom_score_adj"], user, **limits)
    assert out.endswith("\n77\n") and "200" in out
    holder = holder_of("-U")
    try:
        for f in ("uid_map", "gid_map"):
            with open(f"/proc/{holder.pid}/{f}", "w") as m:
                m.write("0 200000 65536")
        out = run(["/bin/sh", "-c", "cat /proc/self/limits /proc/self/oom_score_adj"],
                  lambda s: s["linux"]["namespaces"].append(
                      {"type": "user", "path": f"/proc/{holder.pid}/ns/user"}), **limits)
        assert out.endswith("\n77\n") and "200" in out
    finally:
        holder.kill()
        holder.communicate()


def test_a_low_limit_of_files_is_the_programs_alone(run, base):
    """Not that of the set-up, which has more mounts in hand at once."""
    (base / "shared").mkdir()

    def change(spec):
        user(spec)
        spec["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"})
        spec["mounts"] += [{"destination": f"/tmp/{n}", "source": str(base / "shared"),
                            "options": ["bind"]} for n in range(24)]

    out = run(["/bin/sh", "-c", "ls /tmp | wc -l; cat /proc/self/limits"], change,
              rlimits=[{"type": "RLIMIT_NOFILE", "soft": 20, "hard": 20}])
    assert out.startswith("24\n")
    assert re.search(r"Max open files\s+20\s+20\s", out), out


def test_joined_mount_namespace(run):
    """Everything is mounted in the namespace that is there, and its own root stays what it was."""
    holder = holder_of("-m", "--propagation", "private")
    try:
        path = f"/proc/{holder.pid}/ns/mnt"

        def change(spec):
            ns = [n for n in spec["linux"]["namespaces"] if n["type"] != "mount"]
            spec["linux"]["namespaces"] = [*ns, {"type": "mount", "path": path}]

        out = run(["/bin/sh", "-c", "readlink /proc/self/ns/mnt; ls /"], change)
        assert out.split()[0] == os.readlink(path)
        assert set(out.split()[1:]) >= {"bin", "proc"} and "boot" not in out.split()
    finally:
        holder.kill()
        holder.communicate()


def test_without_pivot_root(runtime, bundle):
    out = runtime("run", "--no-pivot", "-b", bundle(["/bin/sh", "-c", "ls /; ls /../.."]),
                  next(ids)).out.split()
    half = len(out) // 2
    assert out[:half] == out[half:] and "bin" in out and "boot" not in out


def test_time_offsets(run):
    out = run(["/bin/cat", "/proc/uptime", "/proc/self/timens_offsets"], time_ns)
    assert float(out.split()[0]) > 1000000
    assert ["boottime", "1000000", "5"] in [l.split() for l in out.splitlines()]


def test_exec_joins_user_and_time(runtime, bundle):
    i = next(ids)
    runtime.leave("run", "-d", "-b", bundle(["/bin/sleep", "1000"],
                                            lambda s: (user(s), time_ns(s))[0]), i)
    try:
        out = runtime("exec", i, "/bin/sh", "-c", "cat /proc/uptime /proc/self/uid_map; id -u; "
                                                  "readlink /proc/1/ns/time; readlink /proc/self/ns/time").out
        assert float(out.split()[0]) > 1000000 and "100000" in out
        assert out.split()[-1] == out.split()[-2]
    finally:
        runtime("delete", "-f", i)


def test_sysctls(run, refuses):
    def change(spec):
        spec["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.shmmax": "4096",
                                   "net/ipv4/conf/lo/forwarding": "1", "fs.mqueue.msg_max": "11"}

    out = run(["/bin/sh", "-c", "cd /proc/sys; cat net/ipv4/ip_forward kernel/shmmax "
                                "net/ipv4/conf/lo/forwarding fs/mqueue/msg_max"], change)
    assert out.split() == ["1", "4096", "1", "11"]
    for key, says in {"kernel.core_pattern": "not in a separate kernel namespace",
                      "net../kernel.x": "'..' in its name",
                      "vm.swappiness": "not in a separate kernel namespace",
                      "kernel.hostname": "use the field hostname"}.items():
        refuses(says, lambda s: s["linux"].update(sysctl={key: "1"}))
    refuses("not allowed in the host's network namespace",
            lambda s: (namespaces("pid", "mount", "uts")(s),
                       s["linux"].update(sysctl={"net.ipv4.ip_forward": "1"}))[0])


def test_hostname_and_domainname(run, refuses):
    out = run(["/bin/sh", "-c", "hostname; cat /proc/sys/kernel/domainname"],
              lambda s: s.update(hostname="inside", domainname="example.org"))
    assert out.split() == ["inside", "example.org"]
    refuses("without a private UTS namespace", namespaces("pid", "mount"))


def test_wrong_namespaces(refuses):
    refuses("without a private MNT namespace", lambda s: (namespaces("pid")(s), s.pop("hostname"))[0])
    refuses("'pid' twice", namespaces("pid", "mount", "pid"))
    refuses("none of those known", namespaces("pid", "mount", "net"))
    refuses("needs both linux.uidMappings", lambda s: (
        namespaces("pid", "mount", "uts", "user")(s), s["linux"].update(
            uidMappings=[{"containerID": 0, "hostID": 0, "size": 1}]))[0])
    refuses("require a time namespace",
            lambda s: s["linux"].update(timeOffsets={"boottime": {"secs": 1}}))
