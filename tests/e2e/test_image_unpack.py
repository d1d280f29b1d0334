# SPDX-License-Identifier: Apache-2.0
"""
Layers become directories: what every kind of entry turns into, and what hostile archives get: an
error, and nothing left behind. The layers are written here byte by byte where tarfile would refuse.
"""
import errno
import gzip
import io
import os
import random
import stat
import struct
import subprocess
import tarfile
from pathlib import Path

import pytest

from lib.images import docker_archive, entry, layer, sha256

DIR, SYM, LNK, CHR, BLK, FIFO = (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE,
                                 tarfile.BLKTYPE, tarfile.FIFOTYPE)


def raw(name, data=b"", flag=b"0", link=b"", mode=0o644, size=None, magic=b"ustar\x0000"):
    """One entry, field by field: names of any byte and sizes that lie."""
    size = len(data) if size is None else size
    h = bytearray(512)
    h[0:len(name[:100])] = name[:100]
    h[100:108] = b"%07o\0" % mode
    h[108:116] = h[116:124] = b"%07o\0" % 0
    h[124:136] = b"%011o\0" % size
    h[136:148] = b"%011o\0" % 0
    h[148:156] = b" " * 8
    h[156:157] = flag
    h[157:157 + len(link[:100])] = link[:100]
    h[257:257 + len(magic)] = magic
    h[148:156] = b"%06o\0 " % sum(h)
    return bytes(h) + data + bytes(-len(data) % 512)


END = bytes(1024)


class Box:
    """One installation, and what is in its store."""

    def __init__(self, atoll, base):
        self.atoll, self.base = atoll, base
        self.n = 0

    def archive(self, *layers):
        self.n += 1
        self.name = f"t{self.n}:1"
        return docker_archive(self.base / f"t{self.n}.tar", layers, [self.name])

    def load(self, *layers):
        """Load an image of these layers; the directories they became, bottom to top."""
        path = self.archive(*layers)
        self.atoll("load", "-i", path)
        path.unlink()
        info = self.atoll("image", "inspect", self.name).json[0]
        return [Path(d) for d in info["GraphDriver"]["Data"]["Layers"]]

    def refused(self, *layers, says=None, **kw):
        """Loading fails, and says why; nothing of it is in the store, and nothing was written."""
        before = self.state()
        path = self.archive(*layers)
        r = self.atoll.fails("load", "-i", path, says=says, **kw)
        path.unlink()
        assert self.state() == before
        return r

    def state(self):
        root = self.atoll.root
        listed = {d: sorted(os.listdir(root / d)) for d in ("layers", "blobs/sha256")
                  if (root / d).exists()}
        tmp = [n for n in os.listdir(root / "tmp") if "lock" not in n] if (root / "tmp").exists() \
            else []
        assert tmp == []
        return listed or {"layers": [], "blobs/sha256": []}


@pytest.fixture(scope="module")
def box(atoll, base):
    atoll("images")
    return Box(atoll, base)


def opaque(path):
    try:
        return os.getxattr(path, "trusted.overlay.opaque") == b"y"
    except OSError as ex:
        assert ex.errno == errno.ENODATA
        return False


def is_whiteout(path):
    st = os.lstat(path)
    return stat.S_ISCHR(st.st_mode) and st.st_rdev == 0


def test_every_kind_of_entry(box):
    d, = box.load(layer([
        (entry("d/", DIR, 0o1750, uid=5, gid=6, mtime=1000), None),
        (entry("d/f", mode=0o640, uid=1000, gid=3000000, mtime=1234567890), b"text"),
        (entry("d/suid", mode=0o6755), b"#!"),
        (entry("d/h", LNK, link="d/f"), None),
        (entry("d/s", SYM, 0o777, link="../../etc/passwd", uid=7), None),
        (entry("d/p", FIFO, 0o600), None),
        (entry("d/c", CHR, 0o666, devmajor=1, devminor=3), None),
        (entry("d/b", BLK, 0o660, devmajor=7, devminor=200, gid=6), None),
        (entry("d/empty"), b""),
        (entry("n" * 200 + "/" + "m" * 255), b"long"),
    ]))
    st = os.lstat(d / "d")
    assert (st.st_mode, st.st_uid, st.st_gid, st.st_mtime) == (stat.S_IFDIR | 0o1750, 5, 6, 1000)
    st = os.lstat(d / "d/f")
    assert (stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid, st.st_mtime, st.st_nlink) == \
        (0o640, 1000, 3000000, 1234567890, 2)
    assert (d / "d/f").read_bytes() == b"text" and os.path.samefile(d / "d/f", d / "d/h")
    assert stat.S_IMODE(os.lstat(d / "d/suid").st_mode) == 0o6755
    assert os.readlink(d / "d/s") == "../../etc/passwd" and os.lstat(d / "d/s").st_uid == 7
    assert stat.S_ISFIFO(os.lstat(d / "d/p").st_mode)
    st = os.lstat(d / "d/c")
    assert stat.S_ISCHR(st.st_mode) and st.st_rdev == os.makedev(1, 3)
    st = os.lstat(d / "d/b")
    assert stat.S_ISBLK(st.st_mode) and st.st_rdev == os.makedev(7, 200) and st.st_gid == 6
    assert (d / ("n" * 200) / ("m" * 255)).read_bytes() == b"long"


def test_extended_attributes(box):
    caps = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
    text = caps.decode("utf-8", "surrogateescape")
    d, = box.load(layer([
        (entry("ping", mode=0o755, pax_headers={
            "SCHILY.xattr.security.capability": text,
            "SCHILY.xattr.user.note": "line\nwith = signs",
            "SCHILY.xattr.trusted.overlay.opaque": "y",
            "SCHILY.xattr.user.overlay.opaque": "y",
            "SCHILY.xattr.security.selinux": "system_u:object_r:x:s0"}), b"x"),
        (entry("dir", DIR, 0o755, pax_headers={"SCHILY.xattr.trusted.overlay.opaque": "y",
                                               "SCHILY.xattr.user.d": "1"}), None),
        (entry("enc", pax_headers={"LIBARCHIVE.xattr.user.a%20b": "aGVsbG8"}), b"")]))
    assert sorted(os.listxattr(d / "ping")) == ["security.capability", "user.note"]
    assert os.getxattr(d / "ping", "security.capability") == caps
    assert os.getxattr(d / "ping", "user.note") == b"line\nwith = signs"
    assert os.listxattr(d / "dir") == ["user.d"]
    assert os.getxattr(d / "enc", "user.a b") == b"hello"


def test_names_of_any_byte(box):
    names = [bytes([b]) + b"-x" for b in range(1, 256) if b not in b"./"]
    d, = box.load(b"".join(raw(n, n) for n in names) + END)
    assert sorted(os.listdir(os.fsencode(d))) == sorted(names)
    assert all((Path(os.fsdecode(os.fsencode(d) + b"/" + n))).read_bytes() == n for n in names)


def test_absolute_and_dotted_names_stay_inside(box):
    d, = box.load(b"".join([raw(b"/etc/abs", b"1"), raw(b"./a/./b//c", b"2"),
                            raw(b"./", flag=b"5", mode=0o711), raw(b"//x", b"3")]) + END)
    assert (d / "etc/abs").read_bytes() == b"1" and (d / "a/b/c").read_bytes() == b"2"
    assert (d / "x").read_bytes() == b"3" and stat.S_IMODE(os.stat(d).st_mode) == 0o711


def test_duplicates_the_last_wins(box):
    d, = box.load(layer([
        (entry("a", mode=0o600), b"first"), (entry("a", mode=0o644), b"second"),
        (entry("d/x"), b"gone"), (entry("d"), b"now a file"),
        (entry("f"), b"a file"), (entry("f", DIR, 0o755), None), (entry("f/in"), b"1"),
        (entry("l", SYM, link="/etc"), None), (entry("l"), b"no link"),
        (entry("keep", DIR, 0o700), None), (entry("keep/y"), b"2"),
        (entry("keep", DIR, 0o755), None)]))
    assert (d / "a").read_bytes() == b"second" and stat.S_IMODE(os.stat(d / "a").st_mode) == 0o644
    assert (d / "d").read_bytes() == b"now a file"
    assert (d / "f/in").read_bytes() == b"1" and opaque(d / "f")
    assert not (d / "l").is_symlink() and (d / "l").read_bytes() == b"no link"
    assert (d / "keep/y").exists() and stat.S_IMODE(os.stat(d / "keep").st_mode) == 0o755


def test_whiteouts_become_overlay_form(box):
    low = layer([(entry(n), b"low") for n in ("gone", "d/a", "d/b", "o/a", "again/a", "same/low")])
    up = layer([
        (entry(".wh.gone"), b""), (entry("d/.wh.a"), b""),
        (entry("o/new"), b"n"), (entry("o/.wh..wh..opq"), b""),
        (entry(".wh.again"), b""), (entry("again/b"), b"b"),
        (entry("same/up"), b"u"), (entry(".wh.same"), b""),
        (entry("sib"), b"kept"), (entry(".wh.sib"), b""),
        (entry(".wh..wh.aufs"), b""), (entry(".wh..wh.plnk/1"), b"")])
    _, d = box.load(low, up)
    assert is_whiteout(d / "gone") and is_whiteout(d / "d/a")
    assert opaque(d / "o") and (d / "o/new").exists()
    assert opaque(d / "again") and (d / "again/b").exists()
    assert opaque(d / "same") and (d / "same/up").exists()
    assert (d / "sib").read_bytes() == b"kept"
    left = [n for _, dirs, files in os.walk(d) for n in dirs + files if n.startswith(".wh.")]
    assert left == [".wh..wh.plnk"] or left == []


def test_parents_and_links_of_lower_layers(box):
    low = layer([(entry("usr", DIR, 0o755), None), (entry("usr/lib", DIR, 0o751, uid=9, gid=8), None),
                 (entry("usr/lib/base", mode=0o4711, uid=3), b"base"),
                 (entry("lib", SYM, link="usr/lib"), None),
                 (entry("abs", SYM, link="/usr/lib"), None)])
    up = layer([(entry("lib/new"), b"1"), (entry("abs/other"), b"2"),
                (entry("usr/lib/link", LNK, link="usr/lib/base"), None)])
    _, d = box.load(low, up)
    assert not os.path.lexists(d / "lib") and not os.path.lexists(d / "abs")
    assert (d / "usr/lib/new").read_bytes() == b"1" and (d / "usr/lib/other").read_bytes() == b"2"
    st = os.stat(d / "usr/lib")
    assert (stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid) == (0o751, 9, 8)
    assert os.path.samefile(d / "usr/lib/link", d / "usr/lib/base")
    st = os.stat(d / "usr/lib/base")
    assert (stat.S_IMODE(st.st_mode), st.st_uid) == (0o4711, 3)


def test_links_are_followed_inside_only(box, base):
    outside = base / "outside"
    outside.mkdir(exist_ok=True)
    target = str(outside)
    d, = box.load(layer([
        (entry("up", SYM, link="../../../../../../.."), None),
        (entry("up/tmp/inside"), b"1"),
        (entry("out", SYM, link=target), None),
        (entry("out/file"), b"2"),
        (entry("f", SYM, link=f"{target}/direct"), None),
        (entry("f"), b"3")]))
    assert os.listdir(outside) == []
    assert (d / "tmp/inside").read_bytes() == b"1"
    assert (d / target.lstrip("/") / "file").read_bytes() == b"2"
    assert (d / "f").read_bytes() == b"3" and not (d / "f").is_symlink()


@pytest.mark.parametrize("name", ["../x", "a/../../x", "a/..", "..", "/../x", "./../x"])
def test_dotdot_is_refused(box, name):
    box.refused(raw(name.encode(), b"x") + END, says="has '..' in its name")


@pytest.mark.parametrize("link", ["../../etc/shadow", "a/../../b", "/../x"])
def test_hard_links_out_are_refused(box, link):
    box.refused(raw(b"h", flag=b"1", link=link.encode()) + END, says="hard link out of the tree")


def test_hard_links_through_symlinks_stay_inside(box):
    box.refused(layer([(entry("e", SYM, link="/etc"), None),
                       (entry("h", LNK, link="e/passwd"), None)]), says="does not exist")
    box.refused(layer([(entry("d", DIR, 0o755), None), (entry("h", LNK, link="d"), None)]),
                says="hard link to a directory")


def loop():
    return layer([(entry("a", SYM, link="b"), None), (entry("b", SYM, link="a"), None),
                  (entry("a/x"), b"")])


def below_a_file():
    return layer([(entry("f"), b"x"), (entry("f/below"), b"y")])


def nameless_whiteout():
    return layer([(entry("d/.wh."), b"")])


def dotted_whiteout():
    return layer([(entry(".wh..."), b"")])


def device_zero():
    return layer([(entry("w", CHR, devmajor=0, devminor=0), None)])


def lying_small():
    return raw(b"f", b"x" * 2000, size=512) + raw(b"g", b"y") + END


def lying_large():
    return raw(b"f", b"x", size=1 << 30)


def bad_checksum():
    good = bytearray(raw(b"f", b"x") + END)
    good[0] ^= 1
    return bytes(good)


def long_component():
    return layer([(entry("x" * 256), b"")])


def long_path():
    return layer([(entry("/".join(["d" * 100] * 60)), b"")])


def file_for_root():
    return raw(b".", b"x") + END


def odd_kind():
    return raw(b"v", flag=b"V") + END


def pax_lies():
    return raw(b"p", b"999 path=x\n", flag=b"x") + raw(b"f", b"x") + END


def pax_huge():
    return raw(b"p", b"", flag=b"x", size=64 << 20) + END


def pax_nul():
    return raw(b"p", record(b"path=a\0b"), flag=b"x") + raw(b"f") + END


def no_archive():
    return b"this is no archive at all" * 100


def record(text):
    """A pax record: its length counts its own digits."""
    n = len(text) + 2
    while len(str(n)) + 1 + len(text) + 1 != n:
        n += 1
    return b"%d %s\n" % (n, text)


def sparse_lies():
    head = record(b"GNU.sparse.map=0,10,5,10") + record(b"GNU.sparse.realsize=20")
    return raw(b"p", head, flag=b"x") + raw(b"f", b"x" * 20) + END


@pytest.mark.parametrize("make, says", [
    (loop, "too many symbolic links"), (below_a_file, "is a file, and another entry lies below"),
    (nameless_whiteout, "deletes a file without a name"),
    (dotted_whiteout, "deletes a file without a name"), (device_zero, "device 0:0"),
    (lying_small, "damaged tar archive"), (lying_large, "cut short"),
    (bad_checksum, "checksum is wrong"), (long_component, "longer than 255"),
    (long_path, "longer than 4095"), (file_for_root, "would replace the root"),
    (odd_kind, "no kind of file"), (pax_lies, "lying length"), (pax_huge, "extended header of"),
    (pax_nul, "NUL byte"), (no_archive, "no tar archive"), (sparse_lies, "sparse"),
], ids=lambda v: getattr(v, "__name__", ""))
def test_hostile_archives_are_refused(box, make, says):
    box.refused(make(), says=says)


def test_an_error_names_no_control_bytes(box):
    r = box.refused(raw(b"\x1b[31m/../evil\n", b"") + END, says="\\x1b[31m")
    assert "\x1b" not in r.err


@pytest.mark.parametrize("pack", ["gzip", "zstd"])
def test_truncated_anywhere(box, pack):
    data = layer([(entry(f"f{i}"), random.Random(i).randbytes(3000)) for i in range(20)])
    packed = gzip.compress(data) if pack == "gzip" else \
        subprocess.run(["zstd", "-c"], input=data, capture_output=True, check=True).stdout
    for cut in (3, 100, len(packed) // 2, len(packed) - 9, len(packed) - 1):
        box.refused(packed[:cut])
    flipped = bytearray(packed)
    flipped[len(packed) // 2] ^= 0x55
    box.refused(bytes(flipped))


def archive_of_packed(box, packed, plain):
    """A docker archive whose layer is packed, though its diff id is the plain tar's."""
    path = box.archive(plain)
    with tarfile.open(path) as tar:
        members = [(m, tar.extractfile(m).read()) for m in tar.getmembers()]
    path.write_bytes(layer((entry(m.name), packed if d == plain else d) for m, d in members))
    return path


def test_members_and_frames_in_a_row(box):
    plain = layer([(entry("f"), b"x" * 100000), (entry("g"), b"y")])
    cut = 40001
    parts = plain[:cut], plain[cut:]
    zstd = b"".join(subprocess.run(["zstd", "-c"], input=p, capture_output=True, check=True).stdout
                    for p in parts)
    for packed in (b"".join(map(gzip.compress, parts)), b"".join(map(gzip.compress, parts)) + bytes(512),
                   zstd):
        path = archive_of_packed(box, packed, plain)
        box.atoll("load", "-i", path)
        path.unlink()
        box.atoll("rmi", box.name)


def test_a_wrong_digest_is_refused(box):
    a, b = layer([(entry("a"), b"1")]), layer([(entry("a"), b"2")])
    assert len(a) == len(b)
    path = box.archive(a)
    path.write_bytes(path.read_bytes().replace(a, b))
    box.atoll.fails("load", "-i", path, says="the configuration says")
    path.unlink()
    assert sha256(b) not in os.listdir(box.atoll.root / "layers")


def test_a_bomb_is_refused(box):
    """Deflate reaches a factor of 1032; zstd has no such bound, so the ratio is ours to limit."""
    head = raw(b"bomb", b"", size=8 << 30)
    p = subprocess.Popen(["zstd", "-19", "-c"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    out = io.BytesIO()
    import threading
    t = threading.Thread(target=lambda: out.write(p.stdout.read()))
    t.start()
    p.stdin.write(head)
    zeros = bytes(1 << 20)
    for _ in range(200):
        p.stdin.write(zeros)
    p.stdin.close()
    t.join()
    assert p.wait() == 0
    path = archive_of_packed(box, out.getvalue(), head)
    before = box.state()
    box.atoll.fails("load", "-i", path, says="decompression bomb")
    path.unlink()
    assert box.state() == before


def test_a_hundred_thousand_files(box):
    out = io.BytesIO()
    for i in range(100_000):
        out.write(raw(b"d%d/%d" % (i // 1000, i), b""))
    d, = box.load(out.getvalue() + END)
    assert sum(len(f) for _, _, f in os.walk(d)) == 100_000
    box.atoll("rmi", box.name)


def test_deep_trees(box):
    deep = "/".join("d" * 1 for _ in range(1900))
    d, = box.load(layer([(entry(deep + "/f"), b"x")]))
    found = subprocess.run(["find", d, "-name", "f"], capture_output=True, check=True).stdout
    assert found.count(b"\n") == 1
    box.atoll("rmi", box.name)
    assert not d.exists()


def test_sparse_files(box, base):
    big = base / "sparse"
    with open(big, "wb") as f:
        f.truncate(64 << 20)
        f.seek(1 << 20)
        f.write(b"here")
        f.seek(40 << 20)
        f.write(b"there")
    for fmt in (["--format=gnu"], ["--format=pax", "--sparse-version=0.1"],
                ["--format=pax", "--sparse-version=1.0"]):
        data = subprocess.run(["tar", "-C", base, "-cSf", "-", *fmt, "sparse"],
                              capture_output=True, check=True).stdout
        assert len(data) < 1 << 20
        d, = box.load(data)
        assert (d / "sparse").read_bytes() == big.read_bytes()
        assert os.stat(d / "sparse").st_blocks * 512 < 2 << 20
        box.atoll("rmi", box.name)
    big.unlink()
