# SPDX-License-Identifier: Apache-2.0
"""
Directories and files of the host inside a sandbox: atoll-sentry with a gofer (atoll-device), by
hand. What programs do with files, what the host sees of it, refusals, walls, ends.
"""
import hashlib
import json
import os
import resource
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

import pytest

from lib import guest, sentry

pytestmark = [pytest.mark.timeout(120),
              pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")]


class World:
    """A root directory of the host and sandboxes in it."""

    def __init__(self, build, base):
        self.build, self.base = build, base
        self.root = sentry.tree(base / "root")

    def words(self, gofer, what, binds, more=()):
        path = self.base / f"config{next(sentry.NUMBERS)}"
        path.write_text(json.dumps(what), encoding="utf-8")
        first = len(what["mounts"]) - len(binds)
        return [self.build / "atoll-sentry", "--root", "share:root", "--gofer",
                f"fd:{gofer.socket.fileno()}", "--config", path,
                *(w for n in range(len(binds)) for w in ("--bind", f"{first + n}=b{n}")), *more]

    def config(self, args, binds=(), **changes):
        args = ["sh", "-c", args] if isinstance(args, str) else args
        c = sentry.config(args, **changes)
        c["mounts"] += [{"destination": to, "type": "bind", "source": str(path).split(",")[0],
                         "options": list(options)} for to, path, options in binds]
        return c

    def gofer(self, binds=(), **kw):
        return sentry.Gofer(self.build, {"root": self.root,
                                         **{f"b{n}": b[1] for n, b in enumerate(binds)}}, **kw)

    def start(self, gofer, args, binds=(), **changes):
        return subprocess.Popen(self.words(gofer, self.config(args, binds, **changes), binds),
                                pass_fds=[gofer.socket.fileno()], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, args, binds=(), stdin=b"", **changes):
        with self.gofer(binds) as g:
            with self.start(g, args, binds, **changes) as p:
                out, err = p.communicate(stdin, timeout=110)
        assert g.process.returncode == 0
        return p.returncode, out.decode(), err.decode()

    def ok(self, args, binds=(), **changes):
        status, out, err = self.run(args, binds, **changes)
        assert (status, err) == (0, ""), (out, err)
        return out


@pytest.fixture(scope="module")
def world(build, base):
    sentry.need(sentry.Sentries(build, base))
    w = World(build, base)
    (w.root / "bin/files").write_bytes(guest.compiled("sandbox_files.c", base).read_bytes())
    (w.root / "bin/files").chmod(0o755)
    shutil.copy(guest.compiled("sandbox_names.c", base), w.root / "bin/names")
    return w


def test_reads_and_writes_the_root(world):
    (world.root / "there").write_text("from the host\n")
    assert world.ok("cat /there; echo inside >/made; mkdir -p /a/b; mv /made /a/b/moved; "
                    "ln -s ../b/moved /a/b/link; cat /a/b/link; rm /there; ls /a/b") == \
        "from the host\ninside\nlink\nmoved\n"
    assert (world.root / "a/b/moved").read_text() == "inside\n"
    assert not (world.root / "there").exists()


def test_large_files_are_the_same(world):
    data = os.urandom(5 << 20) + b"end"
    (world.root / "large").write_bytes(data)
    said = world.ok("md5sum </large; cp /large /copy; md5sum </copy; cat >/given; wc -c </given",
                    stdin=data)
    digest = hashlib.md5(data).hexdigest()
    assert said == f"{digest}  -\n{digest}  -\n{len(data)}\n"
    for name in ("copy", "given"):
        assert (world.root / name).read_bytes() == data
        (world.root / name).unlink()


def test_binds(world, base):
    for n in ("rw", "ro", "kept"):
        (base / n).mkdir()
        (base / n / "f").write_text(n)
    (base / "file").write_text("one file\n")
    binds = [("/mnt/rw", base / "rw", ["rbind", "rprivate"]),
             ("/mnt/ro", base / "ro", ["bind", "ro", "nosuid", "nodev"]),
             ("/mnt/kept", f"{base / 'kept'},ro", ["bind"]),
             ("/etc/one", base / "file", ["bind"])]
    assert world.ok("cat /mnt/*/f /etc/one; echo new >/mnt/rw/g; echo more >>/etc/one; "
                    "for d in ro kept; do touch /mnt/$d/x 2>&1; rm -f /mnt/$d/f 2>&1; done; "
                    "grep -c ' fuse ' /proc/mounts", binds) == \
        "keptrorwone file\n" + "".join(
            f"touch: /mnt/{d}/x: Read-only file system\n"
            f"rm: can't remove '/mnt/{d}/f': Read-only file system\n" for d in ("ro", "kept")) + \
        "5\n"
    assert (base / "rw/g").read_text() == "new\n"
    assert (base / "file").read_text() == "one file\nmore\n"
    assert (world.root / "mnt/ro").is_dir() and (world.root / "etc/one").is_file()


@pytest.mark.parametrize("option", ["idmap", "size=1m", "nonsense"])
def test_refused_options_of_binds(world, base, option):
    status, _, said = world.run("true", [("/mnt/x", base, ["bind", option])])
    assert status == 125 and f"a sandbox's bind has no option '{option}'" in said


WORDS = {
    "gofer": (["--bind", "0=x"], "shares need --gofer"),
    "bind": (["--bind", "x=y"], "--bind: cannot be 'x=y'"),
    "twice": (["--bind", "0=a", "--bind", "0=b"], "--bind: cannot be '0=b'"),
    "share": (["--root", "share:"], "--root: cannot be 'share:'"),
    "both": (["--root", "share:x"], "an image or a share, not both"),
    "socket": (["--gofer", "fd:0"], "is no seqpacket socket that is connected"),
    "proc": (None, "mount number 0 of config.json is no bind"),
    "none": (None, "the gofer has no share 'nosuch'"),
}


@pytest.mark.parametrize("what", sorted(WORDS))
def test_refused_words(world, build, base, what):
    words, why = WORDS[what]
    with world.gofer() as g:
        given = world.words(g, world.config("true"), ())
        if words:
            image = base / "none"
            image.write_bytes(b"x")
            given = [build / "atoll-sentry", "--root", image, "--config", given[6], *words]
        else:
            given += ["--bind", "0=root"] if what == "proc" else []
            given[2] = "share:nosuch" if what == "none" else given[2]
        r = subprocess.run(given, pass_fds=[g.socket.fileno()], capture_output=True, check=False,
                           stdin=subprocess.DEVNULL, timeout=60)
    assert r.returncode == 125 and why in r.stderr.decode(), r


def test_what_programs_do(world):
    """Mappings, files without names, renames, holes, locks, attributes, users, 10,000 names."""
    caps = [*sentry.CAPS, "CAP_FOWNER", "CAP_FSETID", "CAP_DAC_OVERRIDE"]
    status, out, err = world.run("mkdir /w && files /w", process_capabilities={
        k: caps for k in ("bounding", "effective", "permitted")})
    assert (status, out, err) == (0, "0 failures\n", "")
    # And the host has it so.
    done = world.root / "w"
    assert (done / "map").read_bytes() == b"bc" + b"a" * 4998 + b"XYZ" + b"a" * (3 * 4096 - 4903)
    assert (done / "u/mine").stat().st_uid == 1000 and (done / "u/d").stat().st_gid == 1001
    assert (done / "hole").stat().st_size == 100 * 4096
    assert (done / "linked").read_bytes() == b"tmp" and not (done / "gone").exists()


def acl(*entries):
    """Of tags, rights and ids: linux/posix_acl_xattr.h."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in entries)


def test_acls_of_the_host(world):
    """Neither seen nor lost: the mode's bits count inside."""
    nobody = 0xffffffff
    given = acl((1, 6, nobody), (2, 6, 1000), (4, 4, nobody), (16, 6, nobody), (32, 0, nobody))
    with tempfile.TemporaryDirectory(prefix="atoll-acl-", dir="/dev/shm") as directory:
        path = Path(directory) / "f"
        path.write_text("listed\n")
        os.setxattr(path, "system.posix_acl_access", given)
        status, out, err = world.run("cat /s/f; files names /s/f; stat -c %a /s/f; chmod 640 /s/f; stat -c %a /s/f",
                                     [("/s", directory, ["bind"])])
        assert (status, out, err) == (0, "listed\n0\n660\n640\n", "")
        # Linux's chmod sets the mask.
        assert os.getxattr(path, "system.posix_acl_access") == acl(
            (1, 6, nobody), (2, 6, 1000), (4, 4, nobody), (16, 4, nobody), (32, 0, nobody))


def test_the_host_writes_meanwhile(world, base):
    """What is done outside is seen inside, a little later."""
    directory = base / "shared"
    directory.mkdir()
    (directory / "f").write_text("one\n")
    binds = [("/s", directory, ["bind"])]
    with world.gofer(binds) as g, world.start(
            g, "cat /s/f /s/new; until cat /s/new 2>/dev/null; do sleep 0.1; done; "
               "until grep other /s/f; do sleep 0.1; done; ls /s | wc -l", binds) as p:
        assert p.stdout.readline() == b"one\n"
        assert p.stderr.readline().startswith(b"cat: can't open '/s/new'")
        (directory / "f").write_text("other\n")
        (directory / "new").write_text("new\n")
        out, err = p.communicate(timeout=60)
    assert (out, err) == (b"new\nother\n2\n", b"")


def test_names_that_change(world, base):
    """Where the answers of readlink are told in the sandbox without its kernel, and where not."""
    directory = base / "names"
    directory.mkdir()
    assert world.ok("names / && names /s", [("/s", directory, ["bind"])]) == "right\nright\n"


@pytest.mark.parametrize("bound", [True, False])
def test_the_host_changes_names(world, base, bound):
    directory = base / f"changed{bound}"
    directory.mkdir()
    of_host = directory if bound else world.root
    (of_host / "changes").write_text("")
    binds = [("/s", directory, ["bind"])]
    with world.gofer(binds) as g, world.start(
            g, f"names link {'/s' if bound else ''}/changes", binds) as p:
        assert p.stdout.readline() == b"there\n"
        (of_host / "new").symlink_to("four")
        (of_host / "new").rename(of_host / "changes")
        out, err = p.communicate(timeout=60)
    assert (out, err) == (b"4\n", b"")
    (of_host / "changes").unlink()


def test_nothing_outside_is_within_reach(world, base):
    """Links and names that lead up stay inside: in the root, and in a bind."""
    inner = base / "walled"
    inner.mkdir()
    (base / "secret").write_text("secret\n")
    (inner / "up").symlink_to("../secret")
    (inner / "absolute").symlink_to(base / "secret")
    (world.root / "passwd").symlink_to("/etc/passwd")
    status, out, _ = world.run("cat /passwd; for f in up absolute; do cat /b/$f 2>/dev/null || echo none; "
                               "echo over >/b/$f || echo no; done; cat /b/../secret",
                               [("/b", inner, ["bind"])])
    assert (status, out) == (0, "root:x:0:0:root:/:/bin/sh\nnone\nnone\nno\nover\n") and \
        (base / "secret").read_text() == "secret\n"


def test_less_memory_than_files(world):
    """What is read of files takes what memory is left, and no more."""
    data = os.urandom(1 << 20) * 64
    (world.root / "much").write_bytes(data)
    out = world.ok("md5sum </much; cat /much /much | md5sum",
                   linux_resources={"memory": {"limit": 24 << 20}})
    assert out == f"{hashlib.md5(data).hexdigest()}  -\n{hashlib.md5(data * 2).hexdigest()}  -\n"
    (world.root / "much").unlink()


def few_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (192, 192))


def test_few_descriptors(world):
    """A gofer that may have few of them serves as many files, one after the other."""
    with world.gofer(limit=few_descriptors) as g, \
            world.start(g, "mkdir /few; for n in $(seq 600); do echo $n >/few/$n; done; "
                           "cat /few/* | wc -l; rm -r /few") as p:
        out, err = p.communicate(timeout=100)
    assert (p.returncode, out, err) == (0, b"600\n", b"")


def test_killed_gofer(world):
    """All that it served is EIO; what needs none of it goes on."""
    with world.gofer() as g, world.start(
            g, "exec 3<>/f; echo ready; read l; cat /etc/passwd 2>&1; echo x >&3; "
               "echo $?; ls / 2>&1; echo y >/dev/shm/z && echo goes on; exit 7") as p:
        assert p.stdout.readline() == b"ready\n"
        g.process.kill()
        g.process.wait()
        out, err = p.communicate(b"\n", timeout=60)
        assert p.returncode == 7 and out.endswith(b"goes on\n"), (out, err)
        assert b"is lost" in err and b"Input/output error" in out + err


def test_nonsense_of_the_client(build, base):
    """What is no request: it is not served, and the gofer ends."""
    with sentry.Gofer(build, {"x": base}) as g:
        g.socket.send(b"y" * 150000)
        assert g.process.wait(20) == 1
        assert b"what is no request" in g.process.stderr.read()
    with sentry.Gofer(build, {"x": base}) as g:
        g.socket.send(b"short")
        g.socket.send(os.urandom(4096))
        g.socket.close()
        assert g.process.wait(20) == 0
