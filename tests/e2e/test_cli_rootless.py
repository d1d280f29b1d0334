# SPDX-License-Identifier: Apache-2.0
"""
`atoll` from an ordinary user: his images, workloads and files, in a user namespace of his own that
is there as long as something of his is.
"""
import os
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lib import images
from lib.rootless import UserAtoll
from lib.run import Terminal
from lib.wait import until

NET = ("--network", "none")


@pytest.fixture(scope="module")
def mine(build, user):
    a = UserAtoll(build, user)
    yield a
    a.clean()
    until(lambda: not a.keepers(), "the namespaces end with the last command")


@pytest.fixture(scope="module")
def image(mine, busybox_tar, user):
    # Readable for him, wherever the cache is.
    tar = user.base / "busybox.tar"
    tar.write_bytes(Path(busybox_tar).read_bytes())
    mine("load", "-i", tar)
    return "busybox:latest"


@pytest.fixture
def life(mine, image):
    mine("run", "-d", "--name", "life", *NET, image, "sh", "-c", "echo started; exec sleep 1000")
    yield "life"
    mine.try_("rm", "-f", "life")


def test_where_it_is(mine, image, user):
    """Everything of his is in his own directories, and his."""
    assert (mine.root / "atoll.db").stat().st_uid == user.uid
    assert (mine.state / "user").stat().st_uid == user.uid
    assert mine.state.stat().st_mode & 0o077 == 0 or user.run_dir.stat().st_mode & 0o022 == 0


def test_files_of_other_owners(mine, image, user):
    """They are his granted ids, outside and inside."""
    out = mine("run", "--rm", *NET, image, "sh", "-c",
               "stat -c %u:%g /home/tester /etc/passwd; cat /proc/self/uid_map").out.split()
    assert out[:2] == ["1000:1000", "0:0"]
    assert out[2:] == ["0", str(user.uid), "1", "1", str(user.first), "65536"]
    homes = list(mine.root.glob("layers/*/home/tester"))
    assert [h.stat().st_uid for h in homes] == [user.first + 999]


def test_run(mine, image):
    r = mine.try_("run", "--rm", *NET, image, "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (r.rc, r.out, r.err) == (7, "out\n", "err\n")
    assert mine("run", "--rm", "-i", *NET, image, "cat", input="in").out == "in"
    assert mine("run", "--rm", "-u", "tester", *NET, image, "id", "-u").out == "1000\n"
    assert mine.try_("run", "--rm", *NET, image, "no-such").rc == 127
    assert "lo" in mine("run", "--rm", "--network", "host", image, "ls", "/sys/class/net").out
    assert mine("run", "--rm", "--read-only", "--tmpfs", "/tmp", *NET, image, "sh", "-c",
                "touch /tmp/x && touch /x 2>&1 || echo ro").out.endswith("ro\n")
    assert mine.ids() == []


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")
def test_a_sandbox(mine, image):
    """On Atoll's own kernel; as ordinary a user outside, and with the ids of the image inside."""
    boot = "/proc/sys/kernel/random/boot_id"
    r = mine.try_("run", "--rm", "-i", "--isolation", "sandbox", *NET, image, "sh", "-c",
                  f"cat {boot}; id -u; stat -c %u /home/tester; touch /x && ls /x; cat; exit 7", input="in")
    own, *lines = r.out.splitlines()
    assert (r.rc, lines) == (7, ["0", "1000", "/x", "in"]), str(r)
    assert own != Path(boot).read_text().strip()
    assert mine("run", "--rm", "--read-only", "--isolation", "sandbox", *NET, image, "id", "-u").out == "0\n"
    mine("run", "-d", "--name", "boxed", "--isolation", "sandbox", "--network", "host", "-m", "64m", image,
         "sleep", "1000")
    try:
        for mib in 64, 96:
            mine("update", "-m", f"{mib}m", "--pids-limit", "99", "boxed")
            assert mine("exec", "boxed", "sh", "-c", "id -u; cat /sys/fs/cgroup/memory.max"
                        ).out == f"0\n{mib << 20}\n"
        mine("stop", "-t", "0", "boxed")
    finally:
        mine("rm", "-f", "boxed")
    assert mine.ids() == []


def test_terminal(mine, image):
    with Terminal(mine.argv("run", "--rm", "-it", *NET, image, "tty"), mine.environment()) as t:
        assert t.wait() == 0 and b"/dev/pts/0" in t.text


def test_life(mine, life, image):
    assert mine("exec", life, "id", "-u").out == "0\n"
    assert mine.try_("exec", life, "sh", "-c", "exit 9").rc == 9
    until(lambda: mine("logs", life).out == "started\n", "the log")
    assert "Up" in mine("ps").out
    assert "sleep 1000" in mine("top", life).out
    assert life in mine("stats", "--no-stream").out
    assert mine.inspect(life)["State"]["Running"] is True
    mine("rename", life, "other")
    mine("rename", "other", life)
    mine("kill", life)
    assert mine("wait", life).line == "137"
    mine("start", life)
    mine("restart", "-t", "0", life)
    assert mine("exec", life, "echo", "again").out == "again\n"
    mine("stop", "-t", "0", life)
    assert "Exited" in mine("ps", "-a").out
    mine("rm", life)
    assert mine.ids() == []


def test_copies(mine, life, user):
    d = user.base / "copies"
    d.mkdir()
    os.chown(d, user.uid, user.uid)
    (d / "in").write_text("text")
    mine("cp", d / "in", f"{life}:/root/in")
    assert mine("exec", life, "cat", "/root/in").out == "text"
    mine("exec", life, "sh", "-c", "echo out > /tmp/out; chown 1000 /tmp/out")
    mine("cp", f"{life}:/tmp/out", d / "out")
    assert (d / "out").read_text() == "out\n" and (d / "out").stat().st_uid == user.uid
    assert "A /root/in" in mine("diff", life).out


def test_volumes(mine, image, user):
    d = user.base / "bound"
    d.mkdir()
    os.chown(d, user.uid, user.uid)
    mine("run", "--rm", "-v", f"{d}:/mnt", "-v", "named:/data", *NET, image, "sh", "-c",
         "touch /mnt/a; chown 5 /mnt/a; echo kept > /data/f")
    assert (d / "a").stat().st_uid == user.first + 4
    assert mine("run", "--rm", "-v", "named:/data", *NET, image, "cat", "/data/f").out == "kept\n"
    mine("volume", "rm", "named")


def test_images_with_whiteouts_and_devices(mine, user):
    """An opaque directory, a whiteout, and a node, which a user namespace cannot have."""
    busybox = images.layer(images.busybox_entries())
    e = images.entry
    second = images.layer([(e("etc/old"), b"x"), (e("var/log/gone"), b"x"),
                           (e("dev/node", tarfile.CHRTYPE, devmajor=1, devminor=3), None)])
    third = images.layer([(e("etc/.wh.old"), b""), (e("var/log/.wh..wh..opq"), b""),
                          (e("var/log/new"), b"x")])
    tar = images.docker_archive(user.base / "odd.tar", [busybox, second, third], ["odd:1"],
                                Cmd=["sh"])
    mine("load", "-i", tar)
    out = mine("run", "--rm", *NET, "odd:1", "sh", "-c", "ls /etc /var/log; ls /dev/node || true").out
    assert "old" not in out.split() and "gone" not in out.split() and "new" in out.split()
    mine("run", "--name", "opaque", *NET, "odd:1", "sh", "-c",
         "rm -rf /var/log && mkdir /var/log && touch /var/log/mine")
    mine("commit", "opaque", "odd:2")
    assert mine("run", "--rm", *NET, "odd:2", "ls", "/var/log").out == "mine\n"
    mine("rm", "opaque")
    mine("rmi", "odd:1", "odd:2") if "rmi" in mine("--help").out else mine("image", "rm", "odd:1", "odd:2")


def test_what_needs_more_is_refused(mine, image, life):
    for args in (("image", "bootstrap", "debian"), ("compare", image),
                 ("checkpoint", "create", life, "c1"), ("restore", "x")):
        r = mine.fails(*args)
        assert "needs root; for ordinary users it is not supported" in r.err
    r = mine.fails("run", "--rm", "-m", "64m", *NET, image, "true", rc=125)
    assert "cannot set memory limit" in r.err and "delegated" in r.err
    r = mine.fails("pause", life)
    assert "delegated" in r.err or "none" in r.err


def test_without_granted_ids(build, user, base):
    """What is missing is said, with the command that gives it."""
    other = UserAtoll(build, user, ["env", f"XDG_RUNTIME_DIR={user.base}/none"])
    (user.base / "none").mkdir()
    os.chown(user.base / "none", user.uid, user.uid)
    nothing = user.base / "nothing"
    nothing.touch()
    other.prefix = user.prefix(f"mount --bind {nothing} /etc/subuid",
                               ["env", f"XDG_RUNTIME_DIR={user.base}/none"])
    r = other.fails("run", "--rm", *NET, "x", "true", rc=125)
    assert "/etc/subuid grants" in r.err and "usermod --add-subuids" in r.err
    other.prefix = user.prefix(f"mount --bind {nothing} /usr/bin/newuidmap",
                               ["env", f"XDG_RUNTIME_DIR={user.base}/none"])
    assert "newuidmap is needed" in other.fails("ps").err
    assert "atoll" in other("version").out


def test_a_state_directory_of_others_is_not_taken(mine, user):
    d = user.base / "loose"
    d.mkdir()
    d.chmod(0o777)
    assert "is not safe" in mine.fails("--state", d, "ps").err
    os.chown(d, user.uid, user.uid)
    assert "is not safe" in mine.fails("--state", d, "ps").err


def test_one_namespace_for_all(mine, image):
    """Commands that race to make it share one; it stays for a workload and goes with it."""
    until(lambda: not mine.keepers(), "nothing of before")
    with ThreadPoolExecutor(8) as pool:
        out = set(pool.map(lambda _: mine("run", "--rm", *NET, image, "readlink",
                                          "/proc/self/ns/user").out, range(8)))
    assert len(out) == 1
    until(lambda: not mine.keepers(), "it goes with the last command")
    mine("run", "-d", "--name", "stays", *NET, image, "sleep", "1000")
    (keeper,) = mine.keepers()
    inside = os.readlink(f"/proc/{keeper}/ns/user")
    assert mine("exec", "stays", "readlink", "/proc/self/ns/user").line == inside
    assert mine.keepers() == [keeper]
    mine("rm", "-f", "stays")
    until(lambda: not mine.keepers(), "it goes with the last workload")


def test_root_is_as_before(atoll, busybox):
    """None of this is in a namespace of his, nor leaves files of it."""
    assert atoll("run", "--rm", *NET, busybox, "cat", "/proc/self/uid_map").out.split() == \
        ["0", "0", "4294967295"]
    assert not (atoll.state / "user").exists()
