# SPDX-License-Identifier: Apache-2.0
"""
atoll-device fs: directories and files of the host in a machine of QEMU's with an emulated processor.
The program in the machine is tests/fixtures/guest_fs.c, which runs shell commands from a share, and
says the same of a share as of a directory when it puts either through all that programs do.
"""
import os
import re
import stat
import subprocess

import pytest

from lib import guest, wait
from lib import shares as shares_of
from lib.shares import Shares

TIMEOUT_S = 300

pytestmark = pytest.mark.timeout(420)


@pytest.fixture(scope="module")
def parts(build):
    return guest.kernel(build)


@pytest.fixture(scope="module")
def program(base):
    return guest.compiled("guest_fs.c", base)


@pytest.fixture(scope="module")
def initrd(parts, program, base):
    return shares_of.initramfs(parts, program, base)


@pytest.fixture(scope="module")
def shares(build, parts, initrd, base):
    directory = base / "one"
    directory.mkdir()
    for name in ("rw", "ro", "upper"):
        (directory / name).mkdir()
    (directory / "ro" / "kept").write_text("kept\n")
    (directory / "single").write_text("alone\n")
    s = Shares(build, parts, initrd, directory, {
        "rw": (directory / "rw", False), "ro": (directory / "ro", True),
        "upper": (directory / "upper", False), "single": (directory / "single", False),
        "single-ro": (directory / "single", True)})
    s.rw, s.ro, s.single, s.upper = (directory / n for n in ("rw", "ro", "single", "upper"))
    yield s
    s.close()


def test_the_same_as_a_directory(shares, program, base):
    """All that programs do with files comes to the same as on the host."""
    (shares.rw / "t").mkdir()
    (base / "host").mkdir()
    there = shares.ok("/init torture /s/rw/t").splitlines()
    here = subprocess.run([program, "torture", base / "host"], check=True, timeout=TIMEOUT_S,
                          stdout=subprocess.PIPE, text=True, errors="surrogateescape").stdout
    assert there == here.splitlines()
    assert not list((shares.rw / "t").iterdir())


def test_what_the_guest_writes_is_there(shares):
    shares.ok("cd /s/rw; echo text > f; chmod 640 f; chown 1000:2000 f; ln -s /etc/shadow link")
    st = (shares.rw / "f").stat()
    assert (shares.rw / "f").read_text() == "text\n"
    assert (stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid) == (0o640, 1000, 2000)
    assert os.readlink(shares.rw / "link") == "/etc/shadow"
    assert "No such file" in shares.run("cat /s/rw/link")[1]  # the guest's own /etc, which is none


def test_what_the_host_changes_is_seen(shares):
    live = shares.rw / "live"
    live.mkdir()
    (live / "a").write_text("first\n")
    assert shares.ok("ls /s/rw/live; cat /s/rw/live/a") == "a\nfirst\n"
    (live / "b").write_text("new\n")  # a name that was not there is looked for each time
    assert shares.ok("cat /s/rw/live/b") == "new\n"
    os.symlink("/etc", live / "escape")
    (live / "a").write_text("second, and longer\n")
    (live / "b").rename(live / "c")
    (live / "sub").mkdir()
    (live / "sub" / "x").write_text("x\n")
    # What is known already may be believed for a second.
    seen = "cat /s/rw/live/a; ls /s/rw/live; cat /s/rw/live/sub/x"
    want = "second, and longer\na\nc\nescape\nsub\nx\n"
    wait.until(lambda: shares.run(seen)[1] == want, "what the host changed", TIMEOUT_S)
    wait.until(lambda: "No such file" in shares.run("cat /s/rw/live/b")[1], "a name to go",
               TIMEOUT_S)
    assert "No such file" in shares.run("cat /s/rw/live/escape/passwd")[1]


def test_a_file_that_the_host_replaces(shares):
    """As editors do it: the open one stays as it was, the name leads to the new one."""
    replaced = shares.rw / "replaced"
    replaced.write_text("old\n")
    script = """cd /s/rw; exec 3<replaced; cat replaced; touch ready; while [ -e ready ]; do
                :; done; sleep 2; cat <&3; cat replaced"""
    n = shares.send(script)
    wait.until((shares.rw / "ready").exists, "the guest", TIMEOUT_S)
    (shares.rw / "other").write_text("new\n")
    (shares.rw / "other").rename(replaced)
    (shares.rw / "ready").unlink()
    assert shares.answer(n) == (0, "old\nold\nnew\n")


def test_read_only(shares):
    """The server refuses, whatever the guest's mount says."""
    script = """cd /s/ro; mount -o remount,rw /s; cat kept
        echo x > new; echo x >> kept; rm kept; mkdir d; mv kept moved; ln kept linked; ln -s x y
        chmod 777 kept; chown 1 kept; touch kept; truncate -s 0 kept; mknod n c 0 0; mkfifo p
        echo x >> /s/single-ro; mv /s/rw/live/a /s/ro/a; ln /s/ro/kept /s/rw/kept
        mkdir /s/x; rmdir /s/rw; touch /s/x; true"""
    before = (shares.ro / "kept").stat()
    said = shares.ok(script)
    assert said.count("Read-only file system") >= 16, said
    assert [p.name for p in shares.ro.iterdir()] == ["kept"]
    after = (shares.ro / "kept").stat()
    assert (before.st_mode, before.st_mtime_ns, before.st_ctime_ns, before.st_nlink) == \
        (after.st_mode, after.st_mtime_ns, after.st_ctime_ns, after.st_nlink)
    assert shares.single.read_text() == "alone\n" and not (shares.rw / "kept").exists()


def test_a_share_that_is_a_file(shares):
    assert shares.ok("cat /s/single; stat -c %s /s/single") == "alone\n6\n"
    shares.ok("touch /f; mount --bind /s/single /f; echo more >> /f; umount /f")
    assert shares.single.read_text() == "alone\nmore\n"
    assert "single" in shares.ok("ls /s")
    shares.single.write_text("alone\n")


def test_nothing_above_a_share(shares):
    """`..` ends at the share, and of one share nothing gets into another."""
    assert shares.ok("cd /s/rw/..; pwd; ls").split() == \
        ["/s", "ctl", "ro", "rw", "single", "single-ro", "upper"]
    status, said = shares.run("ln /s/rw/f /s/upper/f")
    assert status != 0 and "ross-device" in said
    assert shares.ok("mv /s/rw/f /s/upper/f; cat /s/upper/f; rm /s/upper/f") == "text\n"


def test_inode_numbers_differ(shares):
    """Of all that can be seen, no two files are taken for one."""
    said = shares.ok("find /s -xdev -exec stat -c '%d:%i %n' {} +").splitlines()
    numbers = [line.split(" ", 1) for line in said if "single" not in line]
    assert len({n for n, _ in numbers}) == len(numbers) > 5


def test_other_attributes_are_not_supported(shares):
    """Those of the host's root and of its security modules are not shown, nor set."""
    x = shares.rw / "x"
    x.write_text("")
    os.setxattr(x, "trusted.secret", b"1")
    for name in ("trusted.secret", "trusted.overlay.opaque", "security.evil"):
        said = shares.ok(f"/init attribute /s/rw/x {name}")
        assert said == "set: EOPNOTSUPP\nget: EOPNOTSUPP\nremove: EOPNOTSUPP\n"
    assert os.listxattr(x) == ["trusted.secret"]
    assert shares.ok("/init attribute /s/rw/x user.mine") == "set: 0\nget: 1\nremove: 0\n"
    x.unlink()


def test_overlay(shares):
    """The guest's overlayfs with its upper directory in a share, as `userxattr`."""
    shares.ok("""mkdir -p /lower/d /m /s/upper/u /s/upper/w; echo low > /lower/f; echo l > /lower/d/x
        echo gone > /lower/gone
        mount -t overlay -o lowerdir=/lower,upperdir=/s/upper/u,workdir=/s/upper/w,userxattr o /m""")
    assert shares.ok("""cd /m; cat f; echo up >> f; rm gone; rm -r d; mkdir d; echo n > d/new
        mv f g; ls -A . d; cat g; ls gone 2>/dev/null""" + " ; true") == \
        "low\n.:\nd\ng\n\nd:\nnew\nlow\nup\n"
    upper = shares.upper / "u"
    for white in ("f", "gone"):
        st = (upper / white).stat()
        assert stat.S_ISCHR(st.st_mode) and st.st_rdev == 0
    assert os.getxattr(upper / "d", "user.overlay.opaque") == b"y"
    assert shares.ok("umount /m; mount -t overlay -o lowerdir=/lower,upperdir=/s/upper/u,"
                     "workdir=/s/upper/w,userxattr o /m; cd /m; ls -A; cat g; cd /; umount /m") == \
        "d\ng\nlow\nup\n"


def test_the_server_is_confined(shares):
    """Few capabilities, no new ones, a filter, and nothing to see of the host."""
    pid = shares.device.process.pid
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        text = f.read()
    kept = {0, 1, 3, 4, 6, 7, 27, 31}  # chown dac_override fowner fsetid setgid setuid mknod setfcap
    for name in ("CapPrm", "CapBnd"):
        held = int(re.search(rf"{name}:\s*(\w+)", text)[1], 16)
        assert held == sum(1 << n for n in kept), name
    assert re.search(r"NoNewPrivs:\s*1", text) and re.search(r"Seccomp:\s*2", text)
    assert os.listdir(f"/proc/{pid}/root") == []
    for space in ("mnt", "net", "ipc", "uts"):
        assert os.readlink(f"/proc/{pid}/ns/{space}") != os.readlink(f"/proc/self/ns/{space}")


def test_what_the_guest_forgets(shares):
    """No descriptor stays open for it."""
    pid = shares.device.process.pid
    shares.ok("find /s/rw | wc -l")
    known = len(os.listdir(f"/proc/{pid}/fd"))
    assert known < 100
    for i in range(500):
        (shares.rw / f"known-{i}").write_text("")
    assert shares.ok("cat /s/rw/known-* | wc -c") == "0\n"
    assert len(os.listdir(f"/proc/{pid}/fd")) >= known + 500
    shares.ok("echo 3 > /proc/sys/vm/drop_caches")
    wait.until(lambda: len(os.listdir(f"/proc/{pid}/fd")) < known + 100, "forgotten files",
               TIMEOUT_S)
    shares.ok("rm /s/rw/known-*")


def test_more_files_than_descriptors(build, parts, initrd, base):
    """A server with few descriptors: what it had to close is found again."""
    directory = base / "few"
    directory.mkdir()
    rw = directory / "rw"
    rw.mkdir()
    for d in range(10):
        (rw / f"d{d}").mkdir()
        for i in range(300):
            (rw / f"d{d}" / f"f{i}").write_text(f"{d} {i}\n")
    s = Shares(build, parts, initrd, directory, {"rw": (rw, False)}, limit=300)
    try:
        for _ in range(2):
            said = s.ok("cd /s/rw; for d in d*; do cat $d/f* | sort | tail -n 1; done; "
                        "find . -type f | wc -l; mv d1 moved; cat moved/f7; mv moved d1")
            assert said.splitlines() == [f"{d} 99" for d in range(10)] + ["3000", "1 7"]
        assert len(os.listdir(f"/proc/{s.device.process.pid}/fd")) < 400
        assert s.ok("/init hold /s/rw 100") == "opened 100, read 100\n"
        assert re.search(r"open: EN?FILE\nopened (\d+), read \1\n",
                         s.run("ulimit -n 4096; /init hold /s/rw 2000")[1])
        assert s.ok("cat /s/rw/d3/f33") == "3 33\n"
    finally:
        s.close()


def test_an_ordinary_users_server(build, parts, initrd, base):
    """Without privileges it serves what its user may, in his name."""
    directory = base / "user"
    directory.mkdir()
    rw, kept = directory / "rw", directory / "kept"
    for d in (rw, kept):
        d.mkdir()
    kept.chmod(0o755)
    (kept / "f").write_text("root's\n")
    os.chown(rw, 12345, 12345)
    s = Shares(build, parts, initrd, directory, {"rw": (rw, False), "kept": (kept, False)},
               user=12345)
    try:
        assert s.ok("cd /s/rw; echo text > f; mkdir d; mv f d/g; ln d/g d/h; ln -s x d/l; cat d/h; "
                    "cat /s/kept/f") == "text\nroot's\n"
        st = (rw / "d" / "g").stat()
        assert (st.st_uid, st.st_gid, st.st_nlink) == (12345, 12345, 2)
        said = s.run("echo x >> /s/kept/f; touch /s/kept/new")[1]
        assert said.count("ermission denied") == 2, said
        assert (kept / "f").read_text() == "root's\n"
        with open(f"/proc/{s.device.process.pid}/status", encoding="ascii") as f:
            assert re.search(r"Uid:\s*12345\s+12345\s", f.read())
    finally:
        s.close()


def test_file_systems_below_a_share(build, parts, initrd, base):
    """Are seen, their files are taken for no others, and nothing is moved or linked across."""
    directory = base / "below"
    directory.mkdir()
    rw = directory / "rw"
    (rw / "a").mkdir(parents=True)
    (rw / "b").mkdir()
    mounted = []
    try:
        for name in ("a", "b"):
            subprocess.run(["mount", "-t", "tmpfs", "t", rw / name], check=True)
            mounted.append(rw / name)
            (rw / name / "f").write_text(f"in {name}\n")
            (rw / name / "g").write_text(f"also in {name}\n")
        s = Shares(build, parts, initrd, directory, {"rw": (rw, False)})
        try:
            assert s.ok("cd /s/rw; cat */*") == "in a\nalso in a\nin b\nalso in b\n"
            numbers = s.ok("find /s/rw -exec stat -c %i {} +").split()
            assert len(set(numbers)) == len(numbers) == 7
            said = s.ok("cd /s/rw; ln a/f b/h; mv a/f b/moved; cat b/moved; rmdir a; ls a; true")
            assert "ross-device" in said and "in a\n" in said and "busy" in said.lower(), said
            assert (rw / "b" / "moved").read_text() == "in a\n"
        finally:
            s.close()
    finally:
        for path in mounted:
            subprocess.run(["umount", path], check=True)


def hanging(path):
    """A file system there whose server never answers; closing the descriptor ends it."""
    path.mkdir(parents=True)
    fd = os.open("/dev/fuse", os.O_RDWR)
    subprocess.run(["mount", "-i", "-t", "fuse", "hangs", path, "-o",
                    f"fd={fd},rootmode=40000,user_id=0,group_id=0"], pass_fds=[fd], check=True)
    return fd


def test_a_file_system_that_hangs(build, parts, initrd, base):
    """Who waits for it waits; all others go on, served by threads as confined as the first."""
    directory = base / "hangs"
    rw = directory / "rw"
    names = [f"hung-{i}" for i in range(3)]
    fds = []
    try:
        for name in names:
            fds.append(hanging(rw / name))
        # Elsewhere: a directory of whose names one is looked up is not changed meanwhile (Linux).
        calm = rw / "calm"
        calm.mkdir()
        s = Shares(build, parts, initrd, directory, {"rw": (rw, False)})
        pid = s.device.process.pid
        try:
            for name in names:
                s.ok(f"(ls /s/rw/{name}; echo $? > /s/rw/calm/{name}) > /dev/null 2>&1 &")
            assert s.ok("cd /s/rw/calm; umask 027; echo there > f; cat f; mv f g; ls -l g") \
                .startswith("there\n-rw-r-----")
            assert not list(calm.glob("hung-*"))
            tasks = os.listdir(f"/proc/{pid}/task")
            assert len(tasks) >= 1 + 1 + len(names)  # the watch, and one more leads
            for task in tasks:
                with open(f"/proc/{pid}/task/{task}/status", encoding="ascii") as f:
                    text = f.read()
                assert re.search(r"NoNewPrivs:\s*1", text) and re.search(r"Seccomp:\s*2", text)
                assert int(re.search(r"CapPrm:\s*(\w+)", text)[1], 16) < 1 << 32
            while fds:
                os.close(fds.pop())
            for name in names:
                wait.until((calm / name).exists, f"the end of {name}", TIMEOUT_S)
            assert s.ok("cd /s/rw/calm; cat g; rm g hung-*") == "there\n"
        finally:
            s.close()
    finally:
        for fd in fds:
            os.close(fd)
        for name in names:
            subprocess.run(["umount", "-l", rw / name], check=False)
