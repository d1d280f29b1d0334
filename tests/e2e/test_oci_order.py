# SPDX-License-Identifier: Apache-2.0
"""mountinfo of a container shows the mounts of config.json in its order, whoever made them when."""
import os
import subprocess
from itertools import count

import pytest

ids = (f"atoll-order-{os.getpid()}-{n}" for n in count())
USUAL = ["/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup"]
DOCKERS = ["/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue", "/dev/shm"]


def order(out, wanted):
    """The destinations in mountinfo's order; each is mounted once."""
    seen = [line.split()[4] for line in out.splitlines()]
    assert sorted(d for d in seen if d in wanted) == sorted(wanted), out
    return [d for d in seen if d in wanted]


@pytest.fixture
def sources(base, rootfs):
    """With the places in the root file system, where root of a user namespace may make none."""
    for place in "a/dir", "b/dir", "c/dir":
        (rootfs / place).mkdir(parents=True, exist_ok=True)
    for place in "a/file", "b/file":
        (rootfs / place).touch()
    d = base / "order"
    (d / "directory").mkdir(parents=True, exist_ok=True)
    (d / "file").write_text("text\n")
    return d


def listed(sources, destinations, users=False):
    """The usual mounts as `spec` has them; what is /x/dir is a bind of a directory, /x/file of one."""
    def change(spec):
        known = {m["destination"]: m for m in spec["mounts"]}
        for d in destinations:
            if d not in known:
                source = sources / ("file" if d.endswith("file") else "directory")
                known[d] = {"destination": d, "type": "bind", "source": str(source),
                            "options": ["rbind", "rprivate"]}
        spec["mounts"] = [known[d] for d in destinations]
        if users:
            full = [{"containerID": 0, "hostID": 100000, "size": 65536}]
            spec["linux"]["namespaces"].append({"type": "user"})
            spec["linux"].update(uidMappings=full, gidMappings=full)
    return change


@pytest.mark.parametrize("users", [False, True])
@pytest.mark.parametrize("destinations", [
    USUAL,
    DOCKERS,
    DOCKERS + ["/a/dir", "/a/file", "/b/dir", "/dev/c/file"],
    ["/a/dir", "/a/file"] + USUAL,
    ["/a/file", "/proc", "/a/dir", "/sys", "/dev", "/b/dir", "/dev/shm", "/b/file", "/dev/pts",
     "/sys/fs/cgroup", "/dev/mqueue", "/c/dir"],
    ["/sys", "/sys/fs/cgroup", "/dev", "/dev/shm", "/dev/pts", "/proc"],
])
def test_the_order_of_the_list(run, sources, destinations, users):
    out = run(["/bin/cat", "/proc/self/mountinfo"], listed(sources, destinations, users))
    assert order(out, destinations) == destinations, out


def test_what_was_made_again_is_what_it_was(run, sources):
    """Options, what is in it, and propagation; and none of it is left to be seen twice."""
    def change(spec):
        listed(sources, DOCKERS + ["/a/dir", "/a/file"])(spec)
        spec["mounts"][-2]["options"] = ["rbind", "ro", "nosuid", "rslave"]

    out = run(["/bin/sh", "-c", "cat /proc/self/mountinfo; cat /a/file; test -c /dev/null && "
               "readlink /dev/ptmx; ls /dev/pts; touch /dev/shm/x && echo writable"], change)
    lines = {l.split()[4]: l.split() for l in out.splitlines() if " - " in l}
    assert {"ro", "nosuid"} <= set(lines["/a/dir"][5].split(",")), out
    assert out.splitlines()[-4:] == ["text", "pts/ptmx", "ptmx", "writable"], out
    assert not [d for d in lines if d.startswith("/proc/self") or d.startswith("/proc/1/")], out


@pytest.mark.parametrize("words", [["bind", "unbindable"], ["rbind", "runbindable"],
                                   ["rbind", "unbindable"]])
def test_what_cannot_be_bound_again_has_its_place(run, sources, words):
    wanted = DOCKERS + ["/a/dir", "/b/dir"]

    def change(spec):
        listed(sources, wanted)(spec)
        spec["mounts"][-2]["options"] = words

    out = run(["/bin/cat", "/proc/self/mountinfo"], change)
    assert order(out, wanted) == wanted, out
    (line,) = [l for l in out.splitlines() if " /a/dir " in l]
    assert " unbindable " in line, out


def test_what_the_host_has_below_a_shared_source_stays(runtime, bundle, base):
    """The mount that is put aside goes with the host's root: nothing of its peers goes with it."""
    d = base / "shared"
    d.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", d], check=True)
    try:
        subprocess.run(["mount", "--make-shared", d], check=True)
        (d / "sub").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "below", d / "sub"], check=True)
        (d / "sub/file").write_text("below\n")

        def change(spec):
            spec["linux"]["rootfsPropagation"] = "rshared"
            spec["mounts"].append({"destination": "/mnt", "type": "bind", "source": str(d),
                                   "options": ["rbind", "rshared"]})

        for _ in range(2):
            assert runtime("run", "-b", bundle(["/bin/cat", "/mnt/sub/file"], change),
                           next(ids)).out == "below\n"
            assert (d / "sub/file").read_text() == "below\n"
    finally:
        subprocess.run(["umount", "-R", "-l", d], check=True)
        d.rmdir()


def test_without_pivot_nothing_is_put_aside(runtime, bundle, sources):
    r = runtime("run", "--no-pivot", "-b",
                bundle(["/bin/cat", "/a/file", "/proc/self/mountinfo"],
                       listed(sources, DOCKERS + ["/a/file"])), next(ids))
    assert r.out.startswith("text\n") and "/limits" not in r.out and "/ns" not in r.out


MAPS = [{"containerID": 0, "hostID": 100000, "size": 65536}]


def in_own_tree(source, words, users):
    """/final is a bind of what earlier mounts have put at /mnt/x: two mounts, each with a file of 7."""
    def change(spec):
        root = spec["root"]["path"]
        binds = [(source / "a", "/mnt", ["bind"]), (source / "b", "/mnt/x", ["bind"]),
                 (source / "c", "/mnt/x/y", ["bind"]), (f"{root}/mnt/x", "/final", words)]
        spec["mounts"] += [{"destination": d, "type": "bind", "source": str(s), "options": w}
                           for s, d, w in binds]
        if users:
            spec["linux"]["namespaces"].append({"type": "user"})
            spec["linux"].update(uidMappings=MAPS, gidMappings=MAPS)
        elif words != ["rbind"]:
            spec["mounts"][-1].update(uidMappings=MAPS, gidMappings=MAPS)
    return change


@pytest.fixture
def trees(base, rootfs):
    d = base / "trees"
    for sub in "a/x", "b/y", "c":
        (d / sub).mkdir(parents=True, exist_ok=True)
    for f in d / "b/file", d / "c/file":
        f.write_text("text\n")
        os.chown(f, 7, 7)
    d.chmod(0o750)
    for sub in "mnt", "final":
        (rootfs / sub).mkdir(exist_ok=True)
    return d


LOOK = ["/bin/stat", "-c", "%u", "/final/file", "/final/y/file"]


@pytest.mark.parametrize("users,words,owners", [
    (False, ["rbind"], ["7", "7"]), (True, ["rbind"], ["65534", "65534"]),
    (False, ["rbind", "idmap"], ["100007", "7"]), (True, ["rbind", "idmap"], ["7", "65534"]),
    (False, ["rbind", "ridmap"], ["100007", "100007"]), (True, ["rbind", "ridmap"], ["7", "7"]),
])
def test_sources_in_the_container_itself(run, trees, users, words, owners):
    """Idmapped, too, also where its root has no right to do that to the host's file systems."""
    assert run(LOOK, in_own_tree(trees, words, users)).split() == owners


def test_such_a_source_by_create_and_start(runtime, bundle, trees, id):
    b = bundle(LOOK, in_own_tree(trees, ["rbind", "idmap"], True))
    runtime.leave("create", "-b", b, id)
    runtime("start", id)


def test_what_cannot_be_idmapped_is_named(refuses, trees):
    """A mount has one idmap for ever."""
    def change(spec):
        in_own_tree(trees, ["rbind", "idmap"], True)(spec)
        spec["mounts"].append({"destination": "/mnt", "type": "bind", "options": ["bind", "idmap"],
                               "source": f"{spec['root']['path']}/final"})

    refuses("mount at '/mnt': its file system cannot be idmapped", change)
