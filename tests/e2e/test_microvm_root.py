# SPDX-License-Identifier: Apache-2.0
"""
Where a machine's root file system comes from: a disk of the image's files for a workload that
cannot change it, the host's directories for every other. What a user sees is the same.
"""
import io
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from lib import kernels, wait

SLOW_S = 120

pytestmark = pytest.mark.timeout(1500)

MICROVM = ("--isolation=microvm", "--network", "none")
READ_ONLY = (*MICROVM, "--read-only")
# The image's own files: what they are, and their content.
TREE = ("find / -xdev ! -type d ! -path '/proc/*' ! -path '/sys/*' ! -path '/dev/*' "
        "! -name 'host*' ! -name resolv.conf "
        "-exec stat -c '%n %f %u %g %s %h %Y %t' {} + | sort;"
        "find /bin /etc /made -xdev -type f ! -name 'host*' ! -name resolv.conf -exec md5sum {} + | sort;")
DISK = "echo disks: $(ls /sys/block | grep ^vd);"


@pytest.fixture(scope="module")
def image(atoll, busybox):
    """Of two layers: the upper hides and replaces parts of the lower."""
    atoll("run", "--name", "maker", "--network", "none", busybox, "sh", "-c",
          "mkdir -p /made/old && echo old > /made/old/gone && cp /bin/busybox /made/copy && mknod /made/fifo p")
    atoll("commit", "maker", "below")
    atoll("rm", "maker")
    atoll("run", "--name", "maker", "--network", "none", "below", "sh", "-c",
          "rm -r /made/old; mkdir /made/old; echo new > /made/old/new; ln /made/old/new /made/link;"
          "chown 7:8 /made/link; chmod 4751 /made/copy; rm /made/fifo; ln -s nowhere /made/symlink")
    atoll("commit", "maker", "layered")
    atoll("rm", "maker")
    yield "layered"
    atoll("image", "rm", "-f", "layered", "below")


def logged(atoll, name, last):
    def said():
        out = atoll("logs", name).out
        return out if last in out else None

    return wait.until(said, f"'{last}' in the log", SLOW_S)


def test_a_root_that_cannot_change_is_a_disk(atoll, image, base):
    same = atoll("run", "--rm", "--network", "none", "--read-only", image, "sh", "-c", TREE).out
    assert "/made/old/new" in same and "gone" not in same
    atoll("run", "-d", "--name", "ro", *READ_ONLY, "--tmpfs", "/tmp", image, "sh", "-c",
          TREE + DISK + "touch /x || echo refused; mount -o remount,rw / || echo denied;"
          "ls /late; echo t > /tmp/t && echo ready; exec sleep 1000", timeout=SLOW_S)
    out = logged(atoll, "ro", "ready")
    assert out.startswith(same), out
    assert out[len(same):].split() == ["disks:", "vda", "refused", "denied", "ready"], out
    assert len(os.listdir(atoll.root / "disks")) == 1
    # From the host: the same files, and as little to be changed.
    tar = tarfile.open(fileobj=io.BytesIO(atoll("cp", "ro:/made/old", "-").raw))
    assert sorted(tar.getnames()) == ["old", "old/new"]
    (base / "late").write_text("late\n")
    atoll.fails("cp", base / "late", "ro:/late", says="ead-only")
    assert atoll("exec", "-u", "root", "ro", "cat", "/made/link", timeout=SLOW_S).out == "new\n"
    assert atoll("diff", "ro").out == ""
    names = tarfile.open(fileobj=io.BytesIO(atoll("export", "ro").raw)).getnames()
    assert "made/link" in names and "made/old/gone" not in names
    # It starts again from the disk, and once something was changed meanwhile, with that.
    atoll("stop", "-t", "0", "ro", timeout=SLOW_S)
    atoll("start", "ro", timeout=SLOW_S)
    wait.until(lambda: atoll("logs", "ro").out.count("ready\n") == 2, "the second start", SLOW_S)
    assert atoll("logs", "ro").out.count("disks: vda\n") == 2
    atoll("stop", "-t", "0", "ro", timeout=SLOW_S)
    atoll("cp", base / "late", "ro:/late")
    atoll("start", "ro", timeout=SLOW_S)
    wait.until(lambda: atoll("logs", "ro").out.count("ready\n") == 3, "the third start", SLOW_S)
    out = atoll("logs", "ro").out
    assert out.count("disks: vda\n") == 2 and out.endswith("refused\ndenied\n/late\nready\n"), out
    assert atoll("diff", "ro").out == "A /late\n"
    atoll("rm", "-f", "ro")


def test_the_restart_policys_starts(atoll, image):
    """The shim keeps the disk for them."""
    atoll("run", "-d", "--name", "again", "--restart", "on-failure:1", *READ_ONLY, image, "sh",
          "-c", DISK + "exit 3", timeout=SLOW_S)
    atoll("wait", "again", timeout=2 * SLOW_S)
    assert wait.until(lambda: atoll("logs", "again").out == "disks: vda\ndisks: vda\n",
                      "both starts", SLOW_S)
    atoll("rm", "again")


def test_a_root_that_changes_is_the_hosts(atoll, image):
    r = atoll("run", "--name", "rw", *MICROVM, image, "sh", "-c", DISK + "touch /x", timeout=SLOW_S)
    assert r.out == "disks:\n"
    assert "A /x" in atoll("diff", "rw").out.splitlines()
    atoll("rm", "rw")


def without_erofs(top):
    """Debian's cloud kernel in a tree of its own, as if it had no EROFS."""
    version = kernels.cloud()
    theirs, ours = Path("/lib/modules", version), top / "lib/modules" / version
    (top / "boot").mkdir()
    shutil.copy(f"/boot/vmlinuz-{version}", top / "boot")
    ours.mkdir(parents=True)
    lines = [n for n in (theirs / "modules.dep").read_text().splitlines() if "/erofs" not in n]
    (ours / "modules.dep").write_text("\n".join(lines) + "\n")
    for f in theirs.glob("modules.*"):
        if f.name != "modules.dep" and not f.name.endswith(".bin"):
            shutil.copy(f, ours)
    os.symlink(theirs / "kernel", ours / "kernel")
    return str(top / "boot" / f"vmlinuz-{version}")


def test_kernels_that_cannot_read_it(atoll, image, base):
    top = base / "other"
    top.mkdir()
    r = atoll("run", "--rm", *READ_ONLY, image, "sh", "-c", DISK + "cat /made/link; touch /x || echo no",
              env={"ATOLL_KERNEL": without_erofs(top)}, timeout=SLOW_S)
    assert r.out == "disks:\nnew\nno\n", str(r)


def test_hosts_that_cannot_make_it(atoll, image, base):
    shutil.rmtree(atoll.root / "disks")
    tools = base / "tools"
    tools.mkdir()
    os.symlink(shutil.which("qemu-system-x86_64"), tools / "qemu-system-x86_64")
    r = atoll("run", "--rm", *READ_ONLY, image, "sh", "-c", DISK + "cat /made/link; touch /x || echo no",
              env={"PATH": str(tools)}, timeout=SLOW_S)
    assert r.out == "disks:\nnew\nno\n", str(r)
