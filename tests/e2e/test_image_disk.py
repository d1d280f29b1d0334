# SPDX-License-Identifier: Apache-2.0
"""
An image's files as a disk (EROFS): the same as a container sees, whoever asks for it, however many
at once, and whatever is killed meanwhile.
"""
import os
import random
import signal
import stat
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from lib.images import docker_archive, entry, layer


def xattr(name, value):
    return {"pax_headers": {f"SCHILY.xattr.{name}": value}}


LOWER = [
    (entry("etc", tarfile.DIRTYPE, 0o755, mtime=1000), None),
    (entry("etc/passwd", mtime=1234567890), b"root:x:0:0::/:/bin/sh\n"),
    (entry("etc/gone"), b"deleted above"),
    (entry("opaque", tarfile.DIRTYPE, 0o755), None),
    (entry("opaque/below"), b"hidden above"),
    (entry("bin", tarfile.DIRTYPE, 0o755), None),
    (entry("bin/su", mode=0o4755, **xattr("user.note", "lower")), b"setuid"),
    (entry("tmp", tarfile.DIRTYPE, 0o1777), None),
    (entry("one"), b"linked"),
    (entry("two", tarfile.LNKTYPE, link="one"), None),
    (entry("big"), random.Random(3).randbytes(3_000_001)),
    (entry("empty"), b""),
]
UPPER = [
    (entry("etc/.wh.gone"), b""),
    (entry("opaque/.wh..wh..opq"), b""),
    (entry("opaque/above"), b"seen"),
    (entry("owned", uid=70000, gid=4_000_000_000 - 1, mode=0o640), b"far ids"),
    (entry("link", tarfile.SYMTYPE, 0o777, link="/etc/passwd"), None),
    (entry("pipe", tarfile.FIFOTYPE, 0o622), None),
    (entry("null", tarfile.CHRTYPE, 0o666, devmajor=1, devminor=3), None),
    (entry("name with \N{SNOWMAN} and blanks", mode=0o600), b"x"),
    (entry("bin/su", mode=0o6755, **xattr("user.note", "upper")), b"setuid, newer"),
]


@pytest.fixture(scope="module")
def archive(base):
    return docker_archive(base / "all.tar", [layer(LOWER), layer(UPPER)], ["all:1"])


@pytest.fixture
def image(atoll, archive):
    atoll("load", "-q", "-i", archive)
    yield "all:1"
    atoll.try_("rmi", "-f", "all:1")
    atoll("image", "prune", "-a", "-f")
    assert disks(atoll) == [] and os.listdir(atoll.root / "tmp") == []


def disks(atoll):
    d = atoll.root / "disks"
    return sorted(os.listdir(d)) if d.exists() else []


@pytest.fixture
def mounted(base):
    """mounted(disk): where its files are seen."""
    places = []

    def mount(disk):
        place = base / f"m{len(places)}"
        place.mkdir()
        p = subprocess.run(["mount", "-t", "erofs", "-o", "loop,ro", disk, place],
                           capture_output=True, text=True, check=False)
        if "unknown filesystem type" in p.stderr or "failed to setup loop" in p.stderr:
            place.rmdir()
            pytest.skip("this machine mounts no EROFS")
        assert p.returncode == 0, p.stderr
        places.append(place)
        return place

    yield mount
    for place in places:
        subprocess.run(["umount", place], check=True)
        place.rmdir()


def save(atoll, image, to, **kw):
    return atoll("save", "--format", "erofs", "-o", to, image, **kw)


def test_contents(atoll, image, base, mounted):
    save(atoll, image, base / "disk")
    m = mounted(base / "disk")
    want = {name.name: (name, data) for name, data in LOWER + UPPER if ".wh." not in name.name}
    for hidden in ("etc/gone", "opaque/below"):
        del want[hidden]
    found = {str(Path(d, n).relative_to(m)) for d, ds, fs in os.walk(m) for n in ds + fs}
    assert found == set(want)
    for name, (t, data) in want.items():
        st = os.lstat(m / name)
        if t.type != tarfile.LNKTYPE and t.type != tarfile.SYMTYPE:
            assert stat.S_IMODE(st.st_mode) == t.mode, name
        if t.type == tarfile.REGTYPE:
            assert (m / name).read_bytes() == data, name
        assert (st.st_uid, st.st_gid) == (t.uid, t.gid), name
    assert os.readlink(m / "link") == "/etc/passwd"
    assert stat.S_ISFIFO(os.lstat(m / "pipe").st_mode)
    null = os.lstat(m / "null")
    assert stat.S_ISCHR(null.st_mode) and null.st_rdev == os.makedev(1, 3)
    assert os.stat(m / "one").st_ino == os.stat(m / "two").st_ino
    assert os.stat(m / "one").st_nlink == 2
    assert os.stat(m / "etc/passwd").st_mtime == 1234567890
    assert os.getxattr(m / "bin/su", "user.note") == b"upper"
    assert {a for a in os.listxattr(m / "opaque") if "overlay" in a} == set()


def test_the_same_every_time(atoll, image, base):
    """Deterministic; made once, then only opened."""
    save(atoll, image, base / "a")
    disk = atoll.root / "disks" / disks(atoll)[0]
    made = os.stat(disk)
    save(atoll, image, base / "b")
    assert os.stat(disk).st_ino == made.st_ino
    disk.unlink()
    save(atoll, image, base / "c")
    a, b, c = ((base / n).read_bytes() for n in "abc")
    assert a == b == c == disk.read_bytes() and len(a) % 4096 == 0


def test_of_one_layer(atoll, base, mounted):
    """A single layer, which the kernel's overlay does not take alone."""
    docker_archive(base / "one.tar", [layer([(entry("only"), b"this")])], ["single:1"])
    atoll("load", "-q", "-i", base / "one.tar")
    save(atoll, "single:1", base / "single")
    m = mounted(base / "single")
    assert os.listdir(m) == ["only"] and (m / "only").read_bytes() == b"this"
    atoll("rmi", "single:1")
    assert disks(atoll) == []


def test_many_at_once(atoll, image, base):
    all_ = [atoll.popen("save", "--format", "erofs", "-o", base / f"n{i}", image) for i in range(8)]
    for p in all_:
        _, err = p.communicate(timeout=120)
        assert p.returncode == 0, err
    assert len({(base / f"n{i}").read_bytes() for i in range(8)}) == 1
    assert len(disks(atoll)) == 1


def test_goes_with_the_last_image(atoll, image, base):
    """Two images of the same layers share it."""
    docker_archive(base / "more.tar", [layer(LOWER), layer(UPPER)], ["same:1"], Cmd=["/other"])
    atoll("load", "-q", "-i", base / "more.tar")
    save(atoll, image, base / "a")
    save(atoll, "same:1", base / "b")
    assert len(disks(atoll)) == 1
    atoll("rmi", image)
    assert len(disks(atoll)) == 1
    atoll("rmi", "same:1")
    assert disks(atoll) == []


def test_goes_though_its_layers_stay(atoll, image, base):
    """An image beneath another: its layers are still needed, its disk is not."""
    top = layer([(entry("top"), b"top")])
    docker_archive(base / "top.tar", [layer(LOWER), layer(UPPER), top], ["top:1"])
    atoll("load", "-q", "-i", base / "top.tar")
    save(atoll, image, base / "a")
    atoll("rmi", image)
    assert disks(atoll) == []
    atoll("rmi", "top:1")


def test_killed(atoll, image, base):
    """At any moment: what is there is whole, and nothing stays but that."""
    begun = time.monotonic()
    save(atoll, image, base / "whole")
    took = time.monotonic() - begun
    whole = (base / "whole").read_bytes()
    rnd = random.Random(5)
    for _ in range(25):
        for d in disks(atoll):
            assert (atoll.root / "disks" / d).read_bytes() == whole
            (atoll.root / "disks" / d).unlink()
        p = atoll.popen("save", "--format", "erofs", "-o", base / "k", image)
        time.sleep(rnd.random() * took)  # the moment is what is tested
        p.send_signal(signal.SIGKILL)
        p.communicate(timeout=60)
    save(atoll, image, base / "k")
    assert (base / "k").read_bytes() == whole


def test_without_the_program(atoll, image, base):
    r = atoll.fails("save", "--format", "erofs", "-o", base / "no", image, rc=1,
                    says="erofs-utils", env={"PATH": str(base)})
    assert not (base / "no").exists(), r


def test_full_disk(base, build, archive, new_atoll):
    """No room for it: said, and nothing is left."""
    atoll = new_atoll("full")
    atoll.root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=9m", "tmpfs", atoll.root], check=True)
    try:
        atoll("load", "-q", "-i", archive)
        free = os.statvfs(atoll.root)
        (atoll.root / "filler").write_bytes(bytes(max(0, free.f_bavail * free.f_frsize - (1 << 20))))
        atoll.fails("save", "--format", "erofs", "-o", base / "f", "all:1", rc=1, says="mkfs.erofs")
        assert disks(atoll) == [] and not (base / "f").exists()
        left = [n for n in os.listdir(atoll.root / "tmp") if "lock" not in n]
        assert left == []
    finally:
        subprocess.run(["umount", atoll.root], check=True)


def test_refusals(atoll, image, base):
    atoll.fails("save", "--format", "erofs", "-o", base / "x", image, image, rc=1, says="one image")
    atoll.fails("save", "--format", "ext4", "-o", base / "x", image, rc=1, says="erofs")
    atoll.fails("save", "--format", "erofs", "-o", base / "x", "none:1", rc=1, says="none:1")
    assert not (base / "x").exists()


def test_of_an_ordinary_user(build, user, base, mounted):
    """His image, his user namespace: the ids are those that the image has."""
    from lib.rootless import UserAtoll
    mine = UserAtoll(build, user)
    docker_archive(user.base / "u.tar", [layer([
        (entry("a", uid=1000, gid=100, mode=0o640), b"his"), (entry("b"), b"roots"),
        (entry("d", tarfile.DIRTYPE, 0o755), None), (entry("d/gone"), b"")]),
        layer([(entry("d/.wh.gone"), b"")])], ["u:1"])
    mine("load", "-q", "-i", user.base / "u.tar")
    save(mine, "u:1", user.base / "u.disk")
    m = mounted(user.base / "u.disk")
    assert sorted(os.listdir(m)) == ["a", "b", "d"] and os.listdir(m / "d") == []
    assert (os.stat(m / "a").st_uid, os.stat(m / "a").st_gid) == (1000, 100)
    assert os.stat(m / "b").st_uid == 0
    mine("rmi", "u:1")
