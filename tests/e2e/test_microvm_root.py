# SPDX-License-Identifier: Apache-2.0
"""
Where a machine's root file system comes from: a disk of the image's files, and where the workload may
change it a disk of its own over that; without them the host's directories. What a user sees is the
same. Of what is on a workload's own disk the host knows only by its machine, or by one that is made
for that.
"""
import io
import os
import shutil
import signal
import subprocess
import tarfile
from concurrent.futures import ThreadPoolExecutor
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


def own(atoll, name):
    """The disk of the workload's own."""
    return atoll.root / "workloads" / atoll.inspect(name)["Id"] / "disk"


def names(tar):
    return {n.rstrip("/"): n for n in tarfile.open(fileobj=io.BytesIO(tar)).getnames()}


@pytest.fixture(scope="module")
def changed(atoll, image):
    """The name of a workload that has ended and changed things."""
    r = atoll("run", "--name", "rw", *MICROVM, "--tmpfs", "/tmp", image, "sh", "-c",
              DISK + "echo 1 >> /x; rm /etc/group; rm -r /made/old; mkdir /made/old; echo o > /made/old/own;"
              "chown 12:34 /made/old/own; ln -s /made/old /to; ln -s /etc/passwd /out; chmod 1750 /; echo t > /tmp/t",
              timeout=SLOW_S)
    assert r.out == "disks: vda vdb\n"
    yield "rw"
    atoll("rm", "-f", "rw")


def test_a_root_that_changes_is_a_disk(atoll, changed):
    st = own(atoll, changed).stat()
    assert st.st_size == 64 << 30 and st.st_blocks * 512 < 8 << 20
    assert os.listdir(own(atoll, changed).parent / "upper") == []
    lines = atoll("diff", changed, timeout=SLOW_S).out.splitlines()
    assert lines == ["C /etc", "D /etc/group", "C /made", "C /made/old", "A /made/old/own", "A /out", "A /to",
                     "A /x"], lines
    listed = names(atoll("export", changed, timeout=SLOW_S).raw)
    assert {"made/old/own", "x", "to", "made/link"} <= set(listed)
    assert not {"etc/group", "made/old/new", "tmp/t"} & set(listed)


def test_what_a_stopped_one_is_copied(atoll, changed, base):
    """As of a container: links, owners, archives, both ways."""
    tar = tarfile.open(fileobj=io.BytesIO(atoll("cp", "-a", f"{changed}:/made/old/.", "-", timeout=SLOW_S).raw))
    own_one = next(m for m in tar.getmembers() if m.name.endswith("own"))
    assert (own_one.uid, own_one.gid) == (12, 34) and not any("new" in m.name for m in tar.getmembers())
    out = base / "out"
    atoll("cp", f"{changed}:/out", out, timeout=SLOW_S)
    assert out.is_symlink() and os.readlink(out) == "/etc/passwd"
    atoll("cp", "-L", f"{changed}:/out", base / "followed", timeout=SLOW_S)
    assert "root" in (base / "followed").read_text() and not (base / "followed").is_symlink()
    (base / "in").mkdir()
    (base / "in/a").write_text("a" * 300000)
    os.symlink("a", base / "in/l")
    os.chown(base / "in/a", 5, 6)
    atoll("cp", "-a", base / "in", f"{changed}:/to", timeout=SLOW_S)  # into what it points to
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as t:
        m = tarfile.TarInfo("new/deep")
        m.size, m.uid = 3, 77
        t.addfile(m, io.BytesIO(b"abc"))
    atoll("cp", "-a", "-", f"{changed}:/made", input=buffer.getvalue(), timeout=SLOW_S)
    atoll.fails("cp", f"{changed}:/none", "-", says="no such file", timeout=SLOW_S)
    atoll("commit", changed, "rwkept", timeout=SLOW_S)
    seen = atoll("run", "--rm", "--network", "none", "rwkept", "sh", "-c",
                 "cat /x /made/new/deep; wc -c < /to/in/a; stat -c %u:%g /made/old/in/a /made/new/deep /made/old/own;"
                 "readlink /to/in/l; ls /made/old; ls /etc/group || true").out.split()
    assert seen == ["1", "abc300000", "5:6", "77:0", "12:34", "a", "in", "own"], seen
    atoll("image", "rm", "-f", "rwkept")


def test_it_goes_on_where_it_was(atoll, changed):
    r = atoll("start", "-a", changed, timeout=SLOW_S)
    assert r.out == "disks: vda vdb\n"
    assert names(atoll("export", changed, timeout=SLOW_S).raw).keys() >= {"made/new/deep", "to"}
    tar = tarfile.open(fileobj=io.BytesIO(atoll("cp", f"{changed}:/x", "-", timeout=SLOW_S).raw))
    assert tar.extractfile("x").read() == b"1\n1\n"


def test_two_at_once_wait_for_each_other(atoll, changed):
    """A disk is in one machine at a time."""
    with ThreadPoolExecutor(3) as pool:
        for r in pool.map(lambda _: atoll("cp", f"{changed}:/x", "-", timeout=2 * SLOW_S), range(3)):
            assert b"1\n1\n" in r.raw


def test_a_killed_look_leaves_no_machine(atoll, changed):
    disk = own(atoll, changed)
    p = atoll.popen("diff", changed, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait.until(lambda: users(disk) > 1, "its machine has the disk", SLOW_S)
    p.kill()
    p.wait()
    wait.until(lambda: users(disk) == 0, "its machine has ended", SLOW_S)
    assert "A /x" in atoll("diff", changed, timeout=SLOW_S).out


def users(path):
    """Processes that have the file open."""
    st, n = path.stat(), 0
    for p in os.listdir("/proc"):
        try:
            fds = os.listdir(f"/proc/{p}/fd") if p.isdigit() else []
        except OSError:
            continue
        for fd in fds:
            try:
                other = os.stat(f"/proc/{p}/fd/{fd}")
            except OSError:
                continue
            if (other.st_dev, other.st_ino) == (st.st_dev, st.st_ino):
                n += 1
                break
    return n


def test_while_it_runs(atoll, image, base):
    """Through its own kernel: with what is mounted in it, and what it has not written yet."""
    (base / "volume").mkdir()
    (base / "volume/v").write_text("v\n")
    atoll("run", "-d", "--name", "live", *MICROVM, "-v", f"{base}/volume:/volume", "--tmpfs", "/t", image, "sh", "-c",
          "echo 1 > /t/one; echo 2 > /two; echo late:x:4711:4711::/home/late:/bin/sh >> /etc/passwd;"
          "echo more:x:99:late >> /etc/group; echo ready; exec sleep 1000", timeout=SLOW_S)
    logged(atoll, "live", "ready")
    for path, text in (("/t/one", b"1\n"), ("/two", b"2\n"), ("/volume/v", b"v\n")):
        tar = tarfile.open(fileobj=io.BytesIO(atoll("cp", f"live:{path}", "-", timeout=SLOW_S).raw))
        assert tar.extractfile(path.rpartition("/")[2]).read() == text
    (base / "in-live").write_text("in\n")
    atoll("cp", base / "in-live", "live:/t/in", timeout=SLOW_S)
    assert atoll("exec", "live", "cat", "/t/in", timeout=SLOW_S).out == "in\n"
    assert {"A /two", "C /etc/passwd"} <= set(atoll("diff", "live", timeout=SLOW_S).out.splitlines())
    # It is seen without what is mounted by export; and stands still for a commit, and goes on.
    listed = names(atoll("export", "live", timeout=SLOW_S).raw)
    assert "two" in listed and not {"t/one", "volume/v"} & set(listed)
    atoll("commit", "live", "livekept", timeout=SLOW_S)
    assert atoll("run", "--rm", "--network", "none", "livekept", "cat", "/two").out == "2\n"
    atoll("image", "rm", "-f", "livekept")
    # Users are looked up where they are: in there.
    r = atoll("exec", "-u", "late", "live", "sh", "-c", "id; echo $HOME", timeout=SLOW_S).out
    assert "uid=4711(late)" in r and "99(more)" in r and r.endswith("\n/home/late\n"), r
    atoll.fails("exec", "-u", "nobodythere", "live", "true", says="no user 'nobodythere'", timeout=SLOW_S)
    atoll("pause", "live")
    for words in ("cp", "live:/two", "-"), ("diff", "live"), ("export", "live"):
        atoll.fails(*words, says="unpause it first", timeout=SLOW_S)
    atoll("unpause", "live")
    atoll("rm", "-f", "live", timeout=SLOW_S)


def test_users_of_a_second_start(atoll, image):
    """By the files as the first has left them."""
    atoll.fails("run", "--rm", *MICROVM, "-u", "late", image, "true", rc=125, says="no user 'late'", timeout=SLOW_S)
    atoll("run", "--name", "who", *MICROVM, "-u", "0", image, "sh", "-c",
          "echo $HOME; id -G; sed -i 's,^root:x:0:0:[^:]*:/root,root:x:0:0:root:/elsewhere,' /etc/passwd;"
          "echo more:x:99:root >> /etc/group", timeout=SLOW_S)
    atoll("start", "-a", "who", timeout=SLOW_S)
    first, groups, second, more = atoll("logs", "who").out.splitlines()
    assert (first, second) == ("/root", "/elsewhere") and "99" not in groups.split() and "99" in more.split()
    atoll("rm", "who")


def test_what_was_synchronised_survives(atoll, image):
    """SIGKILL of the machine: as if its power was cut."""
    id = atoll("run", "-d", "--name", "cut", *MICROVM, image, "sh", "-c",
               "[ -e /safe ] && md5sum /safe && exit; dd if=/dev/urandom of=/safe bs=64k count=40 2>/dev/null; sync;"
               "md5sum /safe; echo lost > /lost; exec sleep 1000", timeout=SLOW_S).line
    first = logged(atoll, "cut", "/safe").splitlines()[0]
    proxy = atoll.inspect("cut")["State"]["Pid"]
    os.kill(proxy, signal.SIGKILL)
    wait.until(lambda: atoll.inspect("cut")["State"]["Status"] == "exited", "its end", SLOW_S)
    atoll("start", "-a", "cut", timeout=SLOW_S)
    assert atoll("logs", "cut").out.splitlines() == [first, first]
    disk = own(atoll, "cut")
    atoll("rm", "cut")
    assert not disk.exists() and not (atoll.root / "workloads" / id).exists()


def test_its_size(atoll, image):
    r = atoll("run", "--name", "small", *MICROVM, "--storage-opt", "size=64M", image, "sh", "-c",
              "df -m / | tail -1; dd if=/dev/zero of=/big bs=1M count=200 2>&1 | grep -o 'No space.*'; ls -s /big",
              timeout=SLOW_S)
    size, full, big = r.out.splitlines()
    assert 40 < int(size.split()[1]) <= 64 and full == "No space left on device" and int(big.split()[0]) < 64 << 10
    assert atoll.inspect("small")["HostConfig"]["StorageOpt"] == {"size": str(64 << 20)}
    assert own(atoll, "small").stat().st_size == 64 << 20
    atoll("rm", "small")
    for options, says in ((("--network", "none", "--storage-opt", "size=1G"), "no limit"),
                          ((*READ_ONLY, "--storage-opt", "size=1G"), "--read-only"),
                          ((*MICROVM, "--storage-opt", "size=1M"), "from 64M"),
                          ((*MICROVM, "--storage-opt", "speed=1"), "only size=")):
        atoll.fails("run", "--rm", *options, image, "true", rc=125, says=says)


def test_deleted_files_take_no_room(atoll, image):
    atoll("run", "--name", "room", *MICROVM, image, "sh", "-c",
          "dd if=/dev/urandom of=/big bs=1M count=24 2>/dev/null", timeout=SLOW_S)
    taken = own(atoll, "room").stat().st_blocks * 512
    assert taken > 24 << 20
    atoll("rm", "room")
    atoll("run", "--name", "room", *MICROVM, image, "sh", "-c",
          "dd if=/dev/urandom of=/big bs=1M count=24 2>/dev/null; sync; rm /big; sync", timeout=SLOW_S)
    wait.until(lambda: own(atoll, "room").stat().st_blocks * 512 < taken - (20 << 20), "it is given back", SLOW_S)
    atoll("rm", "room")


def test_changed_before_its_first_start(atoll, image, base):
    """Then its files are in a directory, and stay there."""
    (base / "early").write_text("early\n")
    atoll("create", "--name", "early", *MICROVM, image, "sh", "-c", DISK + "cat /early; touch /x")
    atoll("cp", base / "early", "early:/early")
    r = atoll("start", "-a", "early", timeout=SLOW_S)
    assert r.out == "disks:\nearly\n"
    assert "A /x" in atoll("diff", "early").out.splitlines()
    atoll("rm", "early")


def without(top, *modules):
    """Debian's cloud kernel in a tree of its own, as if it had none of these."""
    version = kernels.cloud()
    theirs, ours = Path("/lib/modules", version), top / "lib/modules" / version
    (top / "boot").mkdir()
    shutil.copy(f"/boot/vmlinuz-{version}", top / "boot")
    ours.mkdir(parents=True)
    for name in "modules.dep", "modules.builtin":
        lines = [n for n in (theirs / name).read_text().splitlines() if not any(f"/{m}.ko" in n for m in modules)]
        (ours / name).write_text("\n".join(lines) + "\n")
    for f in theirs.glob("modules.*"):
        if f.name not in ("modules.dep", "modules.builtin") and not f.name.endswith(".bin"):
            shutil.copy(f, ours)
    told = (theirs / "modules.builtin.modinfo").read_bytes().split(b"\0")
    (ours / "modules.builtin.modinfo").write_bytes(
        b"\0".join(n for n in told if n.partition(b".")[0].decode() not in modules))
    shutil.copytree(theirs / "kernel", ours / "kernel")  # links out of a tree are not followed
    return str(top / "boot" / f"vmlinuz-{version}")


def test_kernels_that_cannot_read_it(atoll, image, base):
    top = base / "other"
    top.mkdir()
    r = atoll("run", "--rm", *READ_ONLY, image, "sh", "-c", DISK + "cat /made/link; touch /x || echo no",
              env={"ATOLL_KERNEL": without(top, "erofs")}, timeout=SLOW_S)
    assert r.out == "disks:\nnew\nno\n", str(r)


def test_kernels_that_cannot_write_to_it(atoll, image, base):
    top = base / "another"
    top.mkdir()
    env = {"ATOLL_KERNEL": without(top, "ext4")}
    r = atoll("run", "--rm", *MICROVM, image, "sh", "-c", DISK + "touch /x && echo yes", env=env, timeout=SLOW_S)
    assert r.out == "disks:\nyes\n", str(r)
    atoll("run", "--name", "kept", *MICROVM, image, "touch", "/x", timeout=SLOW_S)
    atoll.fails("start", "kept", env=env, says="lacks ext4", timeout=SLOW_S)
    atoll.fails("run", "--rm", *MICROVM, "--storage-opt", "size=1G", image, "true", env=env, rc=125,
                says="lacks ext4", timeout=SLOW_S)
    atoll("rm", "kept")


def test_hosts_that_cannot_make_it(atoll, image, base):
    shutil.rmtree(atoll.root / "disks")
    tools = base / "tools"
    tools.mkdir()
    os.symlink(shutil.which("qemu-system-x86_64"), tools / "qemu-system-x86_64")
    r = atoll("run", "--rm", *READ_ONLY, image, "sh", "-c", DISK + "cat /made/link; touch /x || echo no",
              env={"PATH": str(tools)}, timeout=SLOW_S)
    assert r.out == "disks:\nnew\nno\n", str(r)
    r = atoll("run", "--rm", *MICROVM, image, "sh", "-c", DISK + "touch /x && echo yes",
              env={"PATH": str(tools)}, timeout=SLOW_S)
    assert r.out == "disks:\nyes\n", str(r)
    os.symlink(shutil.which("mkfs.erofs"), tools / "mkfs.erofs")
    atoll.fails("run", "--rm", *MICROVM, "--storage-opt", "size=1G", image, "true", env={"PATH": str(tools)}, rc=125,
                says="mkfs.ext4 is not in PATH", timeout=SLOW_S)
