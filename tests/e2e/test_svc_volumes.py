# SPDX-License-Identifier: Apache-2.0
"""Volumes: named, anonymous, bound, filled from the image, and gone with whom they belong to."""
from lib import wait


def names(atoll, *args):
    return atoll("volume", "ls", "-q", *args).out.split()


def test_life_of_a_named_volume(atoll, busybox):
    assert atoll("volume", "create", "--label", "k=v", "data").line == "data"
    assert atoll("volume", "create", "data").line == "data"
    atoll("run", "--rm", "-v", "data:/d", busybox, "sh", "-c", "echo kept > /d/f")
    assert atoll("run", "--rm", "-v", "data:/d:ro", busybox, "sh", "-c",
                 "cat /d/f; touch /d/x 2>&1 || true").out.startswith("kept\n")
    assert names(atoll, "--filter", "label=k=v") == ["data"]
    atoll("create", "--name", "user", "-v", "data:/d", busybox, "true")
    atoll.fails("volume", "rm", "data", says="user")
    atoll("rm", "-v", "user")
    assert names(atoll) == ["data"]
    atoll("volume", "rm", "data")
    assert names(atoll) == []
    atoll.fails("volume", "rm", "data", says="data")
    atoll("volume", "rm", "-f", "data")


def test_anonymous_volumes_go_with_their_workload(atoll, busybox):
    atoll("run", "--rm", "-v", "/a", busybox, "touch", "/a/x")
    assert names(atoll) == []
    atoll("run", "--name", "keeps", "-v", "/a", busybox, "touch", "/a/x")
    assert len(names(atoll)) == 1
    # The same one at the next start.
    atoll("start", "keeps")
    assert len(names(atoll)) == 1
    atoll("rm", "keeps")
    assert len(names(atoll)) == 1
    atoll("volume", "prune", "-f")
    assert names(atoll) == []


def test_new_volume_gets_the_images_content(atoll, busybox):
    out = atoll("run", "--rm", "-v", "fill:/bin", busybox, "ls", "/bin").out
    assert "busybox" in out and "sh" in out
    # What is in it is not overwritten, and what is not is not brought back.
    atoll("run", "--rm", "-v", "fill:/mnt", busybox, "sh", "-c", "rm /mnt/ls; echo mine > /mnt/new")
    out = atoll("run", "--rm", "-v", "fill:/bin", busybox, "busybox", "ls", "/bin").out.split()
    assert "ls" not in out and "new" in out
    assert atoll("run", "--rm", "-v", "bare:/bin:nocopy", "-v", "fill:/fill", busybox,
                 "/fill/busybox", "ls", "/bin").out == ""
    atoll("volume", "rm", "bare")
    atoll("volume", "rm", "fill")


def test_binds(atoll, busybox, base):
    src = base / "src"
    src.mkdir()
    (src / "f").write_text("host\n")
    assert atoll("run", "--rm", "-v", f"{src}:/s", busybox, "sh", "-c",
                 "cat /s/f; echo back > /s/g").out == "host\n"
    assert (src / "g").read_text() == "back\n"
    r = atoll.fails("run", "--rm", "-v", f"{src}:/s:ro", busybox, "touch", "/s/h")
    assert "Read-only" in r.err
    # One file over another; a missing source is made by -v, refused by --mount.
    assert atoll("run", "--rm", "-v", f"{src}/f:/etc/issue", busybox, "cat", "/etc/issue").out == "host\n"
    atoll("run", "--rm", "-v", f"{base}/made:/s", busybox, "true")
    assert (base / "made").is_dir()
    atoll.fails("run", "--rm", "--mount", f"type=bind,src={base}/none,dst=/s", busybox, "true",
                rc=125, says="does not exist")


def test_mounts_within_mounts(atoll, busybox, base):
    (base / "outer" / "in").mkdir(parents=True)
    out = atoll("run", "--rm", "-v", "inner:/o/in", "-v", f"{base}/outer:/o", "--tmpfs",
                "/o/in/t:size=64k", busybox, "sh", "-c", "touch /o/in/t/x /o/in/y; df /o/in/t | tail -1").out
    assert "64" in out
    assert list((base / "outer" / "in").iterdir()) == []
    atoll("volume", "rm", "inner")


def test_link_in_the_image_does_not_lead_out(atoll, busybox, base):
    """A mount's target and the copy-up look inside the root, whatever its links say."""
    atoll("run", "--name", "linker", busybox, "sh", "-c", f"ln -s {base} /out; ln -s / /root-link")
    atoll("commit", "linker", "linked")
    (base / "secret").write_text("host's")
    out = atoll("run", "--rm", "-v", "probe:/out", "linked", "sh", "-c", "ls -a /out/").out
    assert "secret" not in out
    atoll("volume", "rm", "probe")
    atoll("rm", "linker")
    atoll("rmi", "linked")


def test_volumes_from(atoll, busybox):
    atoll("run", "--name", "giver", "-v", "given:/g", busybox, "sh", "-c", "echo x > /g/f")
    assert atoll("run", "--rm", "--volumes-from", "giver:ro", busybox, "sh", "-c",
                 "cat /g/f; touch /g/h 2>/dev/null || echo ro").out == "x\nro\n"
    atoll("rm", "giver")
    atoll("volume", "rm", "given")


def root_options(atoll, *args):
    mounts = atoll("run", "--name", "looks", *args, "cat", "/proc/mounts").out.splitlines()
    atoll.try_("rm", "looks")
    return next(m.split()[3] for m in mounts if m.split()[1] == "/")


def test_only_what_is_thrown_away_is_not_synced(atoll, busybox):
    assert "volatile" in root_options(atoll, "--rm", busybox)
    assert "volatile" not in root_options(atoll, busybox)


def test_restart_keeps_what_is_removed_at_its_end(atoll, busybox):
    atoll("run", "-d", "--rm", "--name", "again", busybox, "sh", "-c",
          "echo x >> /count; exec sleep 1000")
    for starts in range(1, 4):
        wait.until(lambda: atoll("exec", "again", "cat", "/count").out == "x\n" * starts,
                   f"start {starts} on the same root")
        if starts < 3:
            atoll("restart", "-t", "0", "again")
    atoll("stop", "-t", "0", "again")
    wait.until(lambda: not atoll("ps", "-aq", "--filter", "name=again").out,
               "the removal at the end")
