# SPDX-License-Identifier: Apache-2.0
"""atoll checkpoint and restore: here, from docker's start, and through a file elsewhere."""
import io
import json
import os
import shutil
import subprocess
import tarfile
import time

import pytest

from lib.wait import until

COUNTER = "i=0; while :; do i=$((i+1)); echo $i >> /tmp/count; echo $i; sleep 0.05; done"


def with_criu(a, criu_path):
    a.env["PATH"] = f"{criu_path.parent}:{os.environ['PATH']}"
    return a


@pytest.fixture(scope="module")
def at(atoll, criu_path, busybox):
    return with_criu(atoll, criu_path)


@pytest.fixture
def run(at, busybox, request):
    made = []

    def start(*args, name=None, command=("sh", "-c", COUNTER)):
        label = request.node.name[5:30].replace("_", "-").replace("[", "-").replace("]", "")
        made.append(name or f"{label}-{len(made)}")
        at("run", "-d", "--name", made[-1], *args, busybox, *command)
        return made[-1]

    yield start
    for name in made:
        at.try_("rm", "-f", name)


def logs(a, name):
    d = a.root / "workloads" / a.inspect(name)["Id"]
    return "".join(f.read_text(errors="replace")[-6000:] for f in d.glob("*.log") if "work" not in f.name)


def does(a, *args, **kw):
    r = a.try_(*args, **kw)
    assert r.rc == 0, f"{r}\n{a.try_('ps', '-a')}\n" + "".join(f.read_text(errors="replace")[-5000:] for f in
                                         a.root.glob("workloads/*/*.log") if "workload" not in f.name)
    return r


def counts(a, name):
    count = lambda: does(a, "exec", name, "sh", "-c", "cat /tmp/count || true").out.split()
    n = len(count())
    until(lambda: len(count()) > n + 2, "the counter goes on")
    seen = count()
    assert seen == [str(i + 1) for i in range(len(seen))]


def events(a, name):
    return [e["Action"] for e in a("events", "--since", "1", "--until", f"{time.time():.6f}", "--filter",
                                   f"container={name}", "--format", "json").json_lines]


def test_there_and_back(at, run):
    name = run("-m", "64m", "--pids-limit", "50", "-e", "WHO=me")
    counts(at, name)
    does(at, "checkpoint", name)
    s = at.inspect(name)["State"]
    assert s["Status"] == "exited" and s["Pid"] == 0
    does(at, "restore", name)
    s = at.inspect(name)["State"]
    assert s["Status"] == "running" and s["Pid"] > 0
    counts(at, name)
    printed = at("logs", name).out.split()  # from before and after, without a gap
    assert printed == [str(i + 1) for i in range(len(printed))] and len(printed) > 5
    assert at("exec", name, "sh", "-c", "tr '\\0' '\\n' < /proc/1/environ").out.count("WHO=me") == 1
    assert at("stats", "--no-stream", "--format", "{{.MemUsage}}", name).out.strip().endswith("64MiB")
    at("pause", name)
    at("unpause", name)
    counts(at, name)
    assert [e for e in events(at, name) if e in ("start", "checkpoint", "die", "restore")] == [
        "start", "checkpoint", "die", "restore"]
    at("stop", "-t", "0", name)
    at("start", name)  # and from the beginning again
    until(lambda: at("exec", name, "cat", "/tmp/count").out.split().count("1") == 2, "it begins anew")


def test_by_name(at, run, base):
    name = run()
    counts(at, name)
    assert does(at, "checkpoint", "create", "--leave-running", name, "one").line == "one"
    counts(at, name)
    at.fails("checkpoint", "create", "--leave-running", name, "one", says="already exists")
    at.fails("start", "--checkpoint", "none", name, says="runs: stop it before")
    (base / "elsewhere").mkdir()
    does(at, "checkpoint", "--checkpoint-dir", base / "elsewhere", name, "two")
    assert at("checkpoint", "ls", name).out == "CHECKPOINT NAME\none\n"
    assert at("checkpoint", "ls", "--checkpoint-dir", base / "elsewhere", name).out == \
        "CHECKPOINT NAME\ntwo\n"
    at.fails("start", "--checkpoint", "two", name, says="checkpoint two does not exist")
    at.fails("start", "--checkpoint", "../one", name, says="are allowed in a name")
    at.fails("start", "--checkpoint-dir", base, name, says="--checkpoint")
    does(at, "start", "--checkpoint", "two", "--checkpoint-dir", base / "elsewhere", name)
    counts(at, name)
    at("kill", name)
    until(lambda: at.inspect(name)["State"]["Status"] == "exited", "it ends")
    at("checkpoint", "rm", name, "one")
    at.fails("checkpoint", "rm", name, "one", says="does not exist")
    assert at("checkpoint", "ls", name).out == "CHECKPOINT NAME\n"
    shutil.rmtree(base / "elsewhere")


def test_restored_with_its_streams(at, run):
    name = run("-i", command=("sh", "-c", "while read x && [ $x != quit ]; do echo got $x; done; "
                                    "echo end; exit 3"))
    does(at, "checkpoint", name)
    p = at.popen("start", "--checkpoint", "checkpoint", "-ai", name, stdin=subprocess.PIPE)
    p.stdin.write(b"one\n")
    p.stdin.flush()
    assert p.stdout.readline() == b"got one\n"
    p.stdin.write(b"quit\n")
    p.stdin.flush()
    assert p.stdout.readline() == b"end\n"
    assert p.wait(60) == 3


def test_restored_with_its_terminal(at, run):
    name = run("-it", command=("sh", "-c", "stty -echo; while read x; do echo got $x; done"))
    does(at, "checkpoint", name)
    does(at, "restore", name)
    with at.terminal("attach", name) as t:
        t.write("one\n")
        t.expect("got one")
        t.resize(33, 44)
        until(lambda: "33 44" in at("exec", name, "sh", "-c", "stty size < /proc/1/fd/0").out,
              "the new size")


def test_a_policy_of_restarts_does_not_bring_it_back(at, run):
    name = run("--restart", "always")
    does(at, "checkpoint", name)
    s = at.inspect(name)
    assert s["State"]["Status"] == "exited" and s["RestartCount"] == 0
    does(at, "restore", name)
    counts(at, name)
    os.kill(at.inspect(name)["State"]["Pid"], 9)  # from now on it holds again
    until(lambda: at.inspect(name)["RestartCount"] == 1, "it is started again")


def test_volumes_are_there_again(at, run, base):
    (base / "host").mkdir()
    name = run("-v", f"{base}/host:/host", "-v", "kept:/kept", "--tmpfs", "/scratch", "--read-only",
               command=("sh", "-c", "echo a > /kept/a; echo b > /scratch/b; "
                        "while :; do echo x >> /host/x; sleep 0.05; done"))
    until(lambda: (base / "host/x").exists(), "it writes")
    does(at, "checkpoint", name)
    size = (base / "host/x").stat().st_size
    does(at, "restore", name)
    until(lambda: (base / "host/x").stat().st_size > size + 4, "it writes on")
    assert at("exec", name, "cat", "/kept/a", "/scratch/b").out == "a\nb\n"
    assert at.fails("exec", name, "sh", "-c", "echo > /etc/x").err.count("Read-only") == 1
    at("rm", "-f", name)
    at("volume", "rm", "kept")


def test_what_fails_harms_nothing(at, run, base, criu_path):
    name = run(command=("sh", "-c", "echo kept > /tmp/a; ln /tmp/a /tmp/b; exec 7</tmp/a; rm /tmp/a; "
                        + COUNTER))
    counts(at, name)
    r = at.fails("checkpoint", name, says="criu cannot dump")
    assert "dump.log): Error (criu/" in r.err and "link-remap" in r.err
    counts(at, name)
    assert at("checkpoint", "ls", name).out == "CHECKPOINT NAME\n"
    at.fails("restore", name, says="runs: stop it before")
    at.fails("checkpoint", name, says="no program 'criu' in PATH", env={"PATH": str(base)})
    does(at, "checkpoint", "--link-remap", name)
    at.fails("checkpoint", name, says="it is not running")
    at.fails("restore", name, says="no program 'criu' in PATH", env={"PATH": str(base)})
    images = at.root / "workloads" / at.inspect(name)["Id"] / "checkpoints/checkpoint"
    (images / "core-1.img").rename(images / "aside")
    at.fails("restore", name, says="criu cannot restore")
    s = at.inspect(name)["State"]
    assert s["Status"] == "exited" and "criu cannot restore" in s["Error"]
    (images / "aside").rename(images / "core-1.img")
    does(at, "restore", name)
    counts(at, name)
    rm = run("--rm")
    at.fails("checkpoint", rm, says="--leave-running")
    counts(at, rm)


# ---- elsewhere ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def other(new_atoll, criu_path, busybox_tar):
    a = with_criu(new_atoll("o"), criu_path)
    a("load", "-i", busybox_tar)
    return a


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tar.zst"])
def test_moved_to_another_installation(at, other, run, base, suffix):
    if suffix.endswith("zst") and not shutil.which("zstd"):
        suffix = "tar.gz"
    name = run("-m", "64m", "--hostname", "moved")
    counts(at, name)
    at("exec", name, "sh", "-c", "rm /etc/os-release; mkdir /new; echo n > /new/n; chown 1000 /new/n")
    file = base / f"moved.{suffix}"
    does(at, "container", "checkpoint", "--export", file, name)
    assert at("checkpoint", "ls", name).out == "CHECKPOINT NAME\n"
    assert file.read_bytes()[:2] == {"tar": b"at", "gz": b"\x1f\x8b", "zst": b"\x28\xb5"}[
        suffix.rpartition(".")[2]]
    id = does(other, "container", "restore", "--import", file, "--name", "here").line
    s = other.inspect("here")
    assert s["Id"] == id and s["State"]["Running"] and s["HostConfig"]["Memory"] == 64 << 20
    counts(other, "here")
    assert other("exec", "here", "sh", "-c", "hostname; cat /new/n; stat -c %u /new/n; "
                 "ls /etc/os-release || true").out == "moved\nn\n1000\n"
    other.fails("restore", "--import", file, "--name", "here", says="in use")
    # A second one of the same, under its own name, and once more from there.
    does(other, "restore", "--import", file)
    counts(other, name)
    other("rm", "-f", name)
    does(other, "checkpoint", "here")
    does(other, "restore", "here")
    counts(other, "here")
    other("rm", "-f", "here")
    file.unlink()


def test_left_running_while_it_is_copied(at, other, run, base):
    name = run()
    counts(at, name)
    file = base / "copy.tar"
    does(at, "checkpoint", "--leave-running", "--export", file, name)
    counts(at, name)
    does(other, "restore", "--import", file, "--name", "copy")
    counts(other, "copy")  # its files are of the same moment as its memory
    other("rm", "-f", "copy")


def test_the_image_must_be_there(at, run, base, new_atoll, criu_path):
    empty = with_criu(new_atoll("e"), criu_path)
    name = run()
    does(at, "checkpoint", "--export", base / "x.tar", name)
    r = empty.fails("restore", "--import", base / "x.tar", says="load it first")
    assert "busybox:latest" in r.err
    assert empty.ids() == []


def members(path):
    with tarfile.open(path) as t:
        return {m.name: t.extractfile(m).read() for m in t.getmembers()}


def archive(path, parts):
    with tarfile.open(path, "w") as t:
        for name, data in parts.items():
            info = data if isinstance(data, tarfile.TarInfo) else tarfile.TarInfo(name)
            if isinstance(data, bytes):
                info.size = len(data)
            t.addfile(info, io.BytesIO(data) if isinstance(data, bytes) else None)
    return path


def entry(name, kind, **more):
    t = tarfile.TarInfo(name)
    t.type = kind
    for k, v in more.items():
        setattr(t, k, v)
    return t


def inner(data, *entries):
    """A tar of the archive with more in it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t, tarfile.open(fileobj=io.BytesIO(data)) as old:
        for m in old.getmembers():
            t.addfile(m, old.extractfile(m) if m.isfile() else None)
        for e in entries:
            t.addfile(e)
    return out.getvalue()


def test_hostile_archives(at, other, run, base):
    name = run()
    does(at, "checkpoint", "--export", base / "good.tar", name)
    good = members(base / "good.tar")
    assert list(good) == ["atoll-checkpoint.json", "checkpoint.tar", "rootfs-diff.tar"]
    text = json.loads(good["atoll-checkpoint.json"])
    (base / "secret").write_text("secret\n")

    def described(**change):
        return {**good, "atoll-checkpoint.json": json.dumps({**text, **change}).encode()}

    def images(*entries):
        return {**good, "checkpoint.tar": inner(good["checkpoint.tar"], *entries)}

    def files(*entries):
        return {**good, "rootfs-diff.tar": inner(good["rootfs-diff.tar"], *entries)}

    for parts, says in (
            ({}, ""),
            ({"x": b"y"}, "atoll-checkpoint.json"),
            ({k: v for k, v in good.items() if k != "checkpoint.tar"}, "checkpoint.tar"),
            ({**good, "checkpoint.tar": b"no tar"}, "checkpoint.tar"),
            ({**good, "rootfs-diff.tar": good["rootfs-diff.tar"][:700]}, "rootfs-diff.tar"),
            ({**good, "atoll-checkpoint.json": b"{"}, "atoll-checkpoint.json"),
            ({**good, "atoll-checkpoint.json": entry("atoll-checkpoint.json", tarfile.SYMTYPE,
                                                     linkname=str(base / "secret"))}, ""),
            (described(version=2), "version"),
            (described(more=1), "more"),
            (described(config=[]), "atoll-checkpoint.json"),
            (described(config={**text["config"], "mounts": [{"kind": 77}]}), ""),
            (described(imageId="sha256:" + "0" * 64, image="other"), "load it first"),
            (described(isolation="magic"), "magic"),
            (described(name="../../x"), "name"),
            (images(entry("link.img", tarfile.SYMTYPE, linkname=str(base / "secret"))),
             "no plain file"),
            (images(entry("hard.img", tarfile.LNKTYPE, linkname="inventory.img")), "no plain file"),
            (images(entry("dir", tarfile.DIRTYPE)), "no plain file"),
            (images(entry("fifo", tarfile.FIFOTYPE)), "no plain file"),
            (images(entry("../../out", tarfile.REGTYPE)), ""),
            (files(entry("../../../out", tarfile.REGTYPE)), "")):
        r = other.try_("restore", "--import", archive(base / "bad.tar", parts))
        assert r.rc == 1 and says in r.err, f"{says}: {r}"
        assert other.ids() == []
        assert not [p for p in base.rglob("out") if p.is_file()]
        assert not list(other.root.glob("workloads/*"))
    does(other, "restore", "--import", archive(base / "again.tar", good), "--name", "again")
    counts(other, "again")
    other("rm", "-f", "again")


def test_flags_that_contradict(at, run, base):
    name = run()
    at.fails("checkpoint", "--export", base / "x", name, "named", says="alone")
    at.fails("checkpoint", "--compress", "gzip", name, says="--export")
    at.fails("checkpoint", "--export", base / "x", "--compress", "rar", name, says="rar")
    at.fails("restore", says="--import")
    at.fails("restore", "--name", "x", name, says="--import")
    at.fails("restore", "--import", base / "x", name, says="of its own")
    at.fails("restore", "--import", base / "none", says="none")
    assert not (base / "x").exists()
    counts(at, name)
