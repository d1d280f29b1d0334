# SPDX-License-Identifier: Apache-2.0
"""The root file system: mounts and their options, devices, masks, and images that mean harm."""
import os
import stat
import subprocess
from itertools import count

import pytest

from lib import images

ids = (f"atoll-mounts-{os.getpid()}-{n}" for n in count())


def mount(destination, type="bind", source="none", *options):
    def change(spec):
        spec["mounts"].append({"destination": destination, "type": type, "source": str(source),
                               "options": list(options)})
    return change


def all_of(*changes):
    def change(spec):
        for c in changes:
            c(spec)
    return change


def options_at(out, path):
    """Per mount and per file system options of the last mount there, of /proc/self/mountinfo."""
    for line in reversed(out.splitlines()):
        f = line.split()
        if "-" in f and f[4] == path:
            return set(f[5].split(",")), set(f[-1].split(","))
    raise AssertionError(f"no mount at {path}: {out}")


MOUNTINFO = ["/bin/cat", "/proc/self/mountinfo"]


@pytest.fixture
def source(base, request):
    d = base / f"source-{next(ids)}"
    d.mkdir()
    (d / "file").write_text("text\n")
    return d


@pytest.mark.parametrize("words,has,lacks", [
    (["ro"], {"ro"}, {"rw"}), (["rw"], {"rw"}, set()),
    (["nosuid", "nodev", "noexec"], {"nosuid", "nodev", "noexec"}, set()),
    (["nosuid", "suid"], set(), {"nosuid"}), (["nodev", "dev"], set(), {"nodev"}),
    (["noexec", "exec"], set(), {"noexec"}), (["noatime"], {"noatime"}, {"relatime"}),
    (["noatime", "atime"], set(), {"noatime"}), (["nodiratime"], {"nodiratime"}, set()),
    (["strictatime"], set(), {"noatime", "relatime"}), (["relatime"], {"relatime"}, set()),
    (["nosymfollow"], {"nosymfollow"}, set()), (["rro"], {"ro"}, {"rw"}),
    (["rnosuid", "rnodev", "rnoexec"], {"nosuid", "nodev", "noexec"}, set()),
    (["rnoatime"], {"noatime"}, set()), (["rstrictatime"], set(), {"noatime", "relatime"}),
    (["rnosymfollow"], {"nosymfollow"}, set()), (["rro", "rw"], {"rw"}, set()),
    (["iversion", "noiversion", "loud", "silent", "defaults", "async", "mand", "nomand"],
     {"rw"}, set()),
])
def test_bind_options(run, source, words, has, lacks):
    got, _ = options_at(run(MOUNTINFO, mount("/mnt", "bind", source, "bind", *words)), "/mnt")
    assert has <= got and not lacks & got, got


def test_bind_of_files_and_directories(run, source):
    out = run(["/bin/sh", "-c", "cat /a/b/c /d/e/file; echo new > /d/e/made; echo no > /a/b/c"],
              all_of(mount("/a/b/c", "bind", source / "file", "bind"),
                     mount("/d/e", "bind", source, "rbind")))
    assert out == "text\ntext\n"
    assert (source / "made").read_text() == "new\n" and (source / "file").read_text() == "no\n"


def test_bind_source_relative_to_the_bundle(run, runtime, bundle):
    b = bundle(["/bin/cat", "/mnt/x"], mount("/mnt", "bind", "here/", "bind"))
    (b / "here").mkdir()
    (b / "here/x").write_text("relative\n")
    assert runtime("run", "-b", b, next(ids)).out == "relative\n"


def test_read_only_is_recursive_when_asked(run, base, source):
    """Under "ro" what is mounted below stays writable, under "rro" it does not."""
    (source / "below").mkdir()
    script = f"mount -t tmpfs t {source}/below && exec \"$@\""
    for word, writable in (("ro", True), ("rro", False)):
        def go(runtime, bundle):
            b = bundle(["/bin/sh", "-c", "touch /mnt/x; touch /mnt/below/x && echo below"],
                       mount("/mnt", "bind", source, "rbind", word))
            argv = runtime.argv("run", "-b", b, next(ids))
            return subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", *argv],
                                  capture_output=True, text=True, timeout=120)
        r = go(run.__closure__[1].cell_contents, run.__closure__[0].cell_contents)
        assert ("below" in r.stdout.split()) == writable, r
        assert "Read-only" in r.stderr


def test_tmpfs(run):
    out = run(["/bin/sh", "-c", "cat /proc/self/mountinfo; stat -c %a /t /opt /tmp"],
              all_of(mount("/t", "tmpfs", "tmpfs", "size=64k", "mode=1711", "nosuid"),
                     mount("/opt", "tmpfs", "tmpfs", "defaults"), mount("/tmp", "tmpfs", "tmpfs")))
    own, fs = options_at(out, "/t")
    assert "nosuid" in own and "size=64k" in fs
    assert out.split()[-3:] == ["1711", "755", "1777"]  # the mount point's own mode is inherited


def test_tmpcopyup(run, refuses, rootfs):
    out = run(["/bin/sh", "-c", "cat /etc/passwd | head -1; readlink /bin/true; "
                                "stat -c '%u %a' /home/tester; echo x > /etc/new; ls /etc"],
              all_of(mount("/etc", "tmpfs", "tmpfs", "tmpcopyup"),
                     mount("/home", "tmpfs", "tmpfs", "tmpcopyup", "ro")))
    assert out.startswith("root:x:0:0") and "\n1000 755\n" in out and "\nnew\n" in out
    assert not (rootfs / "etc/new").exists()
    refuses("for tmpfs mounts only", mount("/etc", "bind", "/etc", "bind", "tmpcopyup"))


def test_mount_over_the_root(run):
    def change(spec):
        spec["mounts"].insert(0, {"destination": "/", "type": "bind", "source": spec["root"]["path"],
                                  "options": ["rbind", "nosuid"]})
    out = run(MOUNTINFO, change)
    own, _ = options_at(out, "/")
    assert "nosuid" in own
    assert len([l for l in out.splitlines() if l.split()[4] == "/"]) == 1  # nothing of the host's
    out = run(["/bin/sh", "-c", "ls /.. /../.. && wc -l < /proc/self/mountinfo"], change)
    assert "rootfs" not in out and int(out.split()[-1]) < 30


def test_propagation(run, source):
    for word, shown in (("rprivate", ""), ("rslave", "master:"), ("rshared", "shared:")):
        out = run(MOUNTINFO, mount("/mnt", "bind", source, "rbind", word))
        line = [l for l in out.splitlines() if l.split()[4] == "/mnt"][0]
        fields = line.split(" - ")[0].split()[6:]
        assert (shown == "" and not fields) or any(f.startswith(shown) for f in fields) or \
            (word == "rslave" and not fields), line  # the host's own mount may be private


def test_root_propagation(run):
    for word in ("shared", "private", "slave", "unbindable"):
        out = run(MOUNTINFO, lambda s: s["linux"].update(rootfsPropagation=word))
        line = [l for l in out.splitlines() if l.split()[4] == "/"][-1]
        fields = " ".join(line.split(" - ")[0].split()[6:])
        assert {"shared": "shared:" in fields, "private": fields == "",
                "slave": "shared" not in fields, "unbindable": "unbindable" in fields}[word], line


def test_idmapped_mount(run, source, refuses):
    maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]

    def change(spec):
        spec["mounts"].append({"destination": "/mnt", "type": "bind", "source": str(source),
                               "options": ["bind"], "uidMappings": maps, "gidMappings": maps})
        spec["mounts"].append({"destination": "/raw", "type": "bind", "source": str(source),
                               "options": ["bind"]})

    assert run(["/bin/stat", "-c", "%u", "/mnt/file", "/raw/file"], change).split() == \
        ["100000", "0"]
    refuses("idmap needs", mount("/mnt", "bind", source, "bind", "idmap"))


def test_read_only_root(run):
    out = run(["/bin/sh", "-c", "touch /x 2>&1; touch /dev/shm/y && echo fine"],
              lambda s: s["root"].update(readonly=True))
    assert "Read-only file system" in out and out.endswith("fine\n")


def test_devices(run):
    def change(spec):
        spec["linux"]["devices"] = [
            {"path": "/dev/mine", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640,
             "uid": 7, "gid": 8},
            {"path": "/dev/sub/pipe", "type": "p", "fileMode": 0o600},
            {"path": "/dev/zero", "type": "c", "major": 1, "minor": 5, "fileMode": 0o600}]

    out = run(["/bin/sh", "-c", "stat -c '%n %F %t:%T %a %u:%g' /dev/* /dev/sub/*; "
                                "for l in fd ptmx stdin; do readlink /dev/$l; done"], change)
    assert "/dev/mine character special file 1:5 640 7:8" in out
    assert "/dev/sub/pipe fifo 0:0 600 0:0" in out
    assert "/dev/zero character special file 1:5 600" in out
    for name, dev in {"null": "1:3", "full": "1:7", "random": "1:8", "urandom": "1:9",
                      "tty": "5:0"}.items():
        assert f"/dev/{name} character special file {dev} 666 0:0" in out, name
    assert out.endswith("/proc/self/fd\npts/ptmx\n/proc/self/fd/0\n")


def test_masked_and_read_only_paths(run):
    def change(spec):
        spec["linux"]["maskedPaths"] = ["/etc/passwd", "/home", "/bin/none", "/proc/kcore", "/home"]
        spec["linux"]["readonlyPaths"] = ["/proc/sys", "/srv", "/none"]

    out = run(["/bin/sh", "-c", "wc -c < /etc/passwd; ls /home | wc -l; touch /home/x 2>&1; "
                                "echo 1 2>&1 > /proc/sys/kernel/printk; touch /srv/x 2>&1; "
                                "grep -c ' /home ' /proc/self/mountinfo; "
                                "cat /proc/kcore | wc -c"], change)
    assert out.split()[-2] == "1", "named twice, masked once"
    assert out.split()[:2] == ["0", "0"] and out.split()[-1] == "0"
    assert out.count("Read-only file system") >= 2


def test_cgroup_mount(run):
    out = run(["/bin/sh", "-c", "cat /proc/self/mountinfo; ls /sys/fs/cgroup; "
                                "find /sys/fs/cgroup -name cgroup.procs | head -1 | xargs cat"],
              mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "ro"))
    own, _ = options_at(out, "/sys/fs/cgroup")
    assert "ro" in own
    assert "1" in out.splitlines()  # the container's own group: its init is in it


def test_sources_that_are_not_there(refuses):
    refuses("mount source '/nowhere/at/all'", mount("/mnt", "bind", "/nowhere/at/all", "bind"))
    refuses("No such device", mount("/mnt", "nofs", "none"))
    refuses("Invalid argument", mount("/mnt", "tmpfs", "tmpfs", "flavour=sweet"))
    refuses("neither a type nor the option bind", mount("/mnt", "", "x"))
    refuses("destination: must not be empty", mount("", "tmpfs", "tmpfs"))


# -- images that mean harm, beside those of test_cve.py

@pytest.fixture
def hostile(runtime, base):
    """hostile(prepare, args, change): runs a bundle whose root `prepare` has altered."""
    def go(prepare, args=("/bin/true",), change=None, **process):
        i = next(ids)
        root = images.busybox_rootfs(base / f"root-{i}")
        prepare(root)
        b = images.bundle(base / f"hostile-{i}", root, args, change, **process)
        return runtime.try_("run", "-b", b, i)
    return go


def test_masked_path_behind_a_link(hostile):
    def prepare(root):
        (root / "link").symlink_to("/etc")

    r = hostile(prepare, ["/bin/cat", "/etc/passwd"],
                lambda s: s["linux"].update(maskedPaths=["/link/passwd"]))
    assert r.rc == 0 and r.out == "", str(r)


def test_dangling_link_as_destination(hostile, source):
    def prepare(root):
        (root / "dangling").symlink_to("/made/here")

    r = hostile(prepare, ["/bin/cat", "/made/here"],
                mount("/dangling", "bind", source / "file", "bind"))
    assert r.out == "text\n", str(r)


def test_the_hosts_mounts_stay(runtime, bundle):
    before = open("/proc/self/mountinfo").read()
    runtime("run", "-b", bundle(["/bin/true"], lambda s: s["linux"].update(
        rootfsPropagation="rshared")), next(ids))
    assert open("/proc/self/mountinfo").read() == before
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


# -- as mount(2) has it, and callers of runc and crun rely on it

@pytest.fixture
def restricted(base):
    """A directory on a mount of its own, with restrictions."""
    d = base / "restricted"
    d.mkdir()

    def make(options):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", d], check=True)
        subprocess.run(["mount", "--bind", "-o", f"remount,{options}", d], check=True)
        return d

    yield make
    subprocess.run(["umount", "-l", d], check=True)
    d.rmdir()


def seen_at(runtime, bundle, source, options, users=False):
    def change(spec):
        spec["mounts"].append({"destination": "/mnt", "type": "bind", "source": str(source),
                               "options": options})
        if users:
            full = [{"containerID": 0, "hostID": 100000, "size": 65536}]
            spec["linux"]["namespaces"].append({"type": "user"})
            spec["linux"].update(uidMappings=full, gidMappings=full)

    r = runtime.try_("run", "-b", bundle(["/bin/grep", " /mnt ", "/proc/self/mountinfo"], change),
                     f"atoll-mounts-{os.getpid()}-bind")
    return set(r.out.split()[5].split(",")) if r.rc == 0 else r.err


@pytest.mark.parametrize("users", [False, True])
def test_a_bind_without_words_keeps_what_its_source_has(runtime, bundle, restricted, users):
    d = restricted("ro,nosuid,nodev,noexec,noatime")
    assert {"ro", "nosuid", "nodev", "noexec", "noatime"} <= seen_at(runtime, bundle, d, ["bind"],
                                                                     users)


def test_words_of_a_bind_are_the_whole_list(runtime, bundle, restricted):
    d = restricted("nosuid,nodev,noexec,noatime")
    assert seen_at(runtime, bundle, d, ["bind", "ro"]) == {"ro", "noatime"}
    assert seen_at(runtime, bundle, d, ["bind", "exec"]) == {"rw", "noatime"}
    assert seen_at(runtime, bundle, d, ["bind", "relatime"]) == {"rw", "relatime"}


def test_a_user_namespace_cannot_lift_restrictions(runtime, bundle, restricted):
    d = restricted("nosuid,nodev,noatime")
    assert seen_at(runtime, bundle, d, ["bind", "ro"], True) == {"ro", "nosuid", "nodev", "noatime"}
    for lifted in ("suid", "dev", "strictatime"):
        err = seen_at(runtime, bundle, d, ["bind", lifted], True)
        assert "run failed: unable to start container process: error during container init: " \
               "error mounting" in err and "operation not permitted" in err


def test_what_is_in_dev_whoever_makes_it_when(run, base):
    """Devices, links and modes are the same where one mount below /dev keeps it from being filled
    ahead, and whatever the caller's umask."""
    (base / "extra").write_text("extra\n")
    dev = [{"path": "/dev/mine", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640, "uid": 7}]
    look = ["/bin/sh", "-c", "cd /dev; stat -c '%n %A %u:%g %t:%T' . * | grep -v extra; "
            "echo x >null; for l in fd stdin stdout stderr ptmx; do readlink $l; done"]

    def mine(spec):
        spec["linux"]["devices"] = dev

    old = os.umask(0o077)
    try:
        usual = run(look, mine)
    finally:
        os.umask(old)
    assert "null crw-rw-rw- 0:0 1:3" in usual and "mine crw-r----- 7:0 1:3" in usual, usual
    assert usual.splitlines()[0].startswith(". drwxr-xr-x")
    assert usual.splitlines()[-5:] == ["/proc/self/fd", "/proc/self/fd/0", "/proc/self/fd/1",
                                       "/proc/self/fd/2", "pts/ptmx"]
    assert run(look, all_of(mine, mount("/dev/extra", "bind", base / "extra", "bind"))) == usual


def test_a_read_only_dev_is_filled_first(runtime, bundle):
    def change(spec):
        for m in spec["mounts"]:
            if m["destination"] == "/dev":
                m["options"].append("ro")

    r = runtime("run", "-b", bundle(["/bin/sh", "-c", "grep ' /dev ' /proc/mounts; test -c /dev/null; "
                                     "ls /dev/pts/ptmx; touch /dev/x || echo refused"], change),
                f"atoll-mounts-{os.getpid()}-dev")
    assert " ro," in r.out and "/dev/pts/ptmx" in r.out and "refused" in r.out


def test_a_tmpfs_on_a_directory_made_for_it_is_for_all(runtime, bundle):
    def change(spec):
        spec["root"]["readonly"] = False
        spec["mounts"].append({"destination": "/made/for/it", "type": "tmpfs", "source": "tmpfs"})

    assert runtime("run", "-b", bundle(["/bin/stat", "-c", "%a", "/made/for/it"], change),
                   f"atoll-mounts-{os.getpid()}-mode").out == "1777\n"


def test_a_source_in_the_container_has_what_was_mounted_there(runtime, bundle, source):
    """Named by its place on the host, as the destination may be too."""
    (source / "deep").mkdir(exist_ok=True)
    (source / "deep" / "word").write_text("found\n")

    def change(spec):
        root = spec["root"]["path"]
        spec["root"]["readonly"] = False
        spec["mounts"] += [
            {"destination": "/first", "type": "bind", "source": str(source), "options": ["rbind"]},
            {"destination": f"{root}/second", "type": "bind", "source": f"{root}/first/deep",
             "options": ["rbind", "ro"]}]

    r = runtime("run", "-b", bundle(["/bin/sh", "-c", "cat /second/word; touch /second/x || echo ro"],
                                    change), f"atoll-mounts-{os.getpid()}-late")
    assert r.out == "found\nro\n"


def test_nothing_on_procfs_but_what_lxcfs_shows(runtime, bundle, source):
    (source / "file").write_text("fake\n")

    def at(path):
        return lambda spec: spec["mounts"].append(
            {"destination": path, "type": "bind", "source": str(source / "file"),
             "options": ["bind"]})

    id = f"atoll-mounts-{os.getpid()}-proc"
    assert runtime("run", "-b", bundle(["/bin/cat", "/proc/uptime"], at("/proc/uptime")), id).out == "fake\n"
    runtime.fails("run", "-b", bundle(["/bin/true"], at("/proc/self/status")), id,
                  says="inside /proc")


def test_no_pivot_leaves_no_other_procfs(runtime, bundle):
    """Or a new one could be mounted inside, with nothing masked."""
    script = ("grep -c ' - proc ' /proc/self/mountinfo; "
              "unshare -Urpfm sh -c 'mount -t proc none /proc && echo bare'")

    def change(spec):
        caps = spec["process"]["capabilities"]
        for kind in ("bounding", "permitted", "effective"):
            caps[kind] = caps.get(kind, []) + ["CAP_SETFCAP"]

    r = runtime.try_("run", "--no-pivot", "-b", bundle(["/bin/sh", "-c", script], change),
                     f"atoll-mounts-{os.getpid()}-nopivot")
    assert "bare" not in r.out and r.rc != 0, str(r)


@pytest.mark.parametrize("users", [False, True])
def test_shared_with_the_host_when_asked_and_never_across_users(runtime, bundle, base, users):
    """A mount made inside shows outside; not when a user namespace could make it."""
    d = base / f"peer-{users}"
    d.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", d], check=True)
    try:
        subprocess.run(["mount", "--make-shared", d], check=True)
        (d / "sub").mkdir()

        def change(spec):
            spec["linux"]["rootfsPropagation"] = "rshared" if users else "rprivate"
            spec["mounts"].append({"destination": "/mnt", "type": "bind", "source": str(d),
                                   "options": ["rbind", "rshared"]})
            caps = spec["process"]["capabilities"]
            for kind in ("bounding", "permitted", "effective"):
                caps[kind] = caps.get(kind, []) + ["CAP_SYS_ADMIN"]
            if users:
                full = [{"containerID": 0, "hostID": 100000, "size": 65536}]
                spec["linux"]["namespaces"].append({"type": "user"})
                spec["linux"].update(uidMappings=full, gidMappings=full)

        runtime("run", "-b", bundle(["/bin/mount", "-t", "tmpfs", "inside", "/mnt/sub"], change),
                f"atoll-mounts-{os.getpid()}-peer")
        with open("/proc/self/mountinfo", encoding="ascii") as f:
            seen = [l for l in f if f" {d}/sub " in l]
        assert len(seen) == (0 if users else 1), seen
    finally:
        subprocess.run(["umount", "-R", "-l", d], check=True)
        d.rmdir()
