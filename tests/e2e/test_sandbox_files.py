# SPDX-License-Identifier: Apache-2.0
"""
Directories and files of the host inside a sandbox: atoll-sentry with a gofer (atoll-device), by
hand. What programs do with files, what the host sees of it, refusals, walls, ends.
"""
import hashlib
import json
import os
import subprocess

import pytest

from lib import sentry

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
    return World(build, base)


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


@pytest.mark.parametrize("option", ["rshared", "rslave", "idmap", "size=1m"])
def test_refused_options_of_binds(world, base, option):
    status, _, said = world.run("true", [("/mnt/x", base, ["bind", option])])
    assert status == 125 and f"a sandbox's bind has no option '{option}'" in said
