# SPDX-License-Identifier: Apache-2.0
"""cp, diff, export, import, commit, save, load, and the rest of a workload's life by its verbs."""
import io
import os
import tarfile

import pytest

from lib import wait


@pytest.fixture(params=["running", "stopped"])
def box(request, atoll, busybox):
    """A workload to copy to and from, with a volume; it runs or it doesn't."""
    atoll("run", "-d", "--name", "box", "-v", "boxvol:/data", busybox, "sh", "-c",
          "mkdir -p /src/dir/sub; echo one > /src/one; echo two > /src/dir/two; "
          "ln -s one /src/link; ln -s /etc /src/out; echo v > /data/in-volume; touch /ready; "
          "sleep 1000")
    wait.until(lambda: atoll.try_("exec", "box", "test", "-e", "/ready").rc == 0, "the files")
    if request.param == "stopped":
        atoll("stop", "-t", "0", "box")
    yield request.param
    atoll("rm", "-f", "-v", "box")
    atoll("volume", "rm", "boxvol")


def test_cp_out(atoll, box, base):
    d = base / f"out-{box}"
    d.mkdir()
    atoll("cp", "box:/src/one", d)
    assert (d / "one").read_text() == "one\n"
    atoll("cp", "box:/src/one", d / "renamed")
    assert (d / "renamed").read_text() == "one\n"
    atoll("cp", "box:/src", d)
    assert (d / "src/dir/two").read_text() == "two\n"
    assert os.readlink(d / "src/link") == "one" and os.readlink(d / "src/out") == "/etc"
    atoll("cp", "box:/src", d / "new")
    assert (d / "new/dir/two").exists() and not (d / "new/src").exists()
    atoll("cp", "box:/src/.", d / "new")
    assert not (d / "new/src").exists()
    atoll("cp", "box:/src/link", d / "l")
    assert os.readlink(d / "l") == "one"
    atoll("cp", "-L", "box:/src/link", d / "followed")
    assert (d / "followed").read_text() == "one\n"
    atoll.fails("cp", "box:/nosuch", d, rc=1, says="/nosuch")
    atoll.fails("cp", "box:/src", d / "one", rc=1, says="directory")
    atoll.fails("cp", "box:/src/one", f"{d}/missing/", rc=1)
    with tarfile.open(fileobj=io.BytesIO(atoll("cp", "box:/src/dir", "-").raw)) as tar:
        assert sorted(tar.getnames()) == ["dir", "dir/sub", "dir/two"]


def test_cp_in(atoll, box, base):
    d = base / "in"
    if not d.exists():
        (d / "tree/below").mkdir(parents=True)
        (d / "file").write_text("from the host\n")
        (d / "tree/below/leaf").write_text("leaf\n")

    def show(path):
        with tarfile.open(fileobj=io.BytesIO(atoll("cp", f"box:{path}", "-").raw)) as tar:
            return tar.extractfile(tar.getmembers()[0]).read().decode()

    atoll("cp", d / "file", "box:/tmp")
    assert show("/tmp/file") == "from the host\n"
    atoll("cp", d / "file", "box:/tmp/other")
    assert show("/tmp/other") == "from the host\n"
    atoll("cp", d / "tree", "box:/tmp")
    assert show("/tmp/tree/below/leaf") == "leaf\n"
    atoll("cp", f"{d}/tree/.", "box:/tmp")
    assert show("/tmp/below/leaf") == "leaf\n"
    buf = io.BytesIO()
    with tarfile.open(fileobj=buf, mode="w") as tar:
        header = tarfile.TarInfo("streamed")
        header.size, header.uid = 3, 1000
        tar.addfile(header, io.BytesIO(b"abc"))
    atoll("cp", "-", "box:/tmp", input=buf.getvalue())
    assert show("/tmp/streamed") == "abc"
    # A link that leads out of the root leads within it.
    atoll("cp", d / "file", "box:/src/out")
    assert show("/etc/file") == "from the host\n" and not os.path.exists("/etc/file")
    atoll.fails("cp", d / "tree", "box:/src/one", rc=1)
    atoll.fails("cp", d / "nosuch", "box:/", rc=1, says="nosuch")
    atoll.fails("cp", d / "file", "box:/no/where/", rc=1)
    atoll.fails("cp", d / "file", d / "copy", rc=1, says="CONTAINER")


def test_volumes_are_seen_while_it_runs(atoll, box, base):
    if box == "running":
        atoll("cp", "box:/data/in-volume", base / "v")
        assert (base / "v").read_text() == "v\n"


def test_diff(atoll, box):
    lines = atoll("diff", "box").out.splitlines()
    assert "A /src" in lines and "A /src/dir/two" in lines and "A /ready" in lines
    if box == "running":
        atoll("exec", "box", "sh", "-c", "rm /etc/os-release; echo x >> /etc/passwd; rm -r /mnt")
        lines = atoll("diff", "box").out.splitlines()
        assert "D /etc/os-release" in lines and "C /etc/passwd" in lines and "C /etc" in lines
        assert "D /mnt" in lines


def test_export_and_import(atoll, box, base):
    tar_path = base / "export.tar"
    atoll("export", "-o", tar_path, "box")
    with tarfile.open(tar_path) as tar:
        names = {n.removeprefix("./") for n in tar.getnames()}
    assert {"src/one", "bin/busybox"} <= names and "data/in-volume" not in names
    id = atoll("import", "-c", 'CMD ["cat", "/src/one"]', tar_path, "imported:1").line
    assert id.startswith("sha256:")
    assert atoll("run", "--rm", "imported:1").out == "one\n"
    assert atoll("import", "-", "imported:2", input=tar_path.read_bytes()).rc == 0
    atoll("rmi", "imported:1", "imported:2")
    tar_path.unlink()


def test_commit(atoll, box):
    atoll("commit", "-m", "why", "-c", 'CMD ["cat","/src/dir/two"]', "-c", "ENV NEW=1", "box",
          "committed:1")
    assert atoll("run", "--rm", "committed:1").out == "two\n"
    assert atoll("run", "--rm", "committed:1", "sh", "-c", "echo $NEW").out == "1\n"
    assert atoll.inspect("box")["State"]["Paused"] is False
    atoll("rmi", "committed:1")


def test_save_and_load(atoll, busybox, base):
    id = atoll("images", "-q", "--no-trunc").line
    for form in ("docker", "oci"):
        path = base / f"{form}.tar"
        atoll("tag", busybox, "kept:1")
        atoll("save", "--format", form, "-o", path, busybox)
        atoll("rmi", busybox)
        assert "busybox:latest" in atoll("load", "-i", path).out
        assert id in atoll("images", "-q", "--no-trunc").out
        atoll("rmi", "kept:1")
    assert atoll("load", input=path.read_bytes()).rc == 0
    assert atoll("save", busybox).raw[:1] != b""
    atoll.fails("save", "-o", base / "none.tar", "nosuch:1", rc=1)
    assert not (base / "none.tar").exists()


def test_life(atoll, busybox):
    atoll("run", "-d", "--name", "first", "--restart", "on-failure:2", busybox, "sleep", "1000")
    pid = atoll.inspect("first")["State"]["Pid"]
    atoll("pause", "first")
    assert "(Paused)" in atoll("ps").out and atoll.inspect("first")["State"]["Status"] == "paused"
    atoll.fails("exec", "first", "true", rc=1)
    atoll("unpause", "first")
    atoll("rename", "first", "second")
    assert atoll("ps", "--format", "{{.Names}}").line == "second"
    atoll("restart", "-t", "0", "second")
    assert atoll.inspect("second")["State"]["Pid"] not in (0, pid)
    atoll("update", "-m", "64m", "--pids-limit", "50", "--restart", "no", "second")
    host = atoll.inspect("second")["HostConfig"]
    assert host["Memory"] == 64 << 20 and host["PidsLimit"] == 50
    assert host["RestartPolicy"]["Name"] == "no"
    atoll.fails("update", "second", rc=1, says="flags")
    atoll.fails("rm", "second", rc=1)
    atoll("kill", "-s", "TERM", "second")  # PID 1 takes no heed
    assert atoll.inspect("second")["State"]["Running"]
    p = atoll.popen("wait", "second")
    atoll("kill", "second")
    assert p.communicate(timeout=60)[0] == b"137\n"
    atoll("rm", "second")
    atoll.fails("rm", "second", rc=1, says="second")
    assert atoll.try_("rm", "-f", "second").rc == 0
