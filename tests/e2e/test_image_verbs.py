# SPDX-License-Identifier: Apache-2.0
"""The verbs of images: in by archive, layout, tar and workload; out again; named, shown, removed."""
import gzip
import io
import json
import os
import subprocess
import tarfile

import pytest

from lib.images import docker_archive, entry, image_config, layer, oci_layout, sha256

DIR, SYM = tarfile.DIRTYPE, tarfile.SYMTYPE
BASE = layer([(entry("etc", DIR, 0o755), None), (entry("etc/a"), b"base")])
TOP = layer([(entry("etc/b"), b"top"), (entry("etc/.wh.a"), b"")])


@pytest.fixture(autouse=True)
def empty(atoll):
    """Each test begins and ends without images."""
    yield
    ids = atoll("images", "-aq", "--no-trunc").out.split()
    if ids:
        atoll("rmi", "-f", *sorted(set(ids)))
    for d in ("layers", "blobs/sha256"):
        assert os.listdir(atoll.root / d) == []
    assert not [n for n in os.listdir(atoll.root / "tmp") if not n.startswith("image-lock")]


@pytest.fixture
def two(base):
    return docker_archive(base / "two.tar", [BASE, TOP], ["two:1", "other/two:latest"], Cmd=["x"],
                          Labels={"k": "v"}, ExposedPorts={"80/tcp": {}})


def names(atoll):
    return sorted(l for l in atoll("images", "--format", "{{.Repository}}:{{.Tag}}").out.split())


def members(path):
    with tarfile.open(path) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar.getmembers() if m.isfile()}


def image_id(atoll, name):
    return atoll("image", "inspect", name).json[0]["Id"]


def test_load_names_and_shows(atoll, two):
    r = atoll("load", "-i", two)
    assert "two:1" in r.out
    assert names(atoll) == ["other/two:latest", "two:1"]
    info = atoll("image", "inspect", "two:1").json[0]
    cfg = image_config([BASE, TOP], Cmd=["x"], Labels={"k": "v"}, ExposedPorts={"80/tcp": {}})
    assert info["Id"] == f"sha256:{sha256(cfg)}"
    assert sorted(info["RepoTags"]) == ["other/two:latest", "two:1"]
    assert info["Config"]["Cmd"] == ["x"] and info["Config"]["Labels"] == {"k": "v"}
    assert info["RootFS"] == {"Type": "layers",
                              "Layers": [f"sha256:{sha256(l)}" for l in (BASE, TOP)]}
    assert (info["Os"], info["Architecture"]) == ("linux", "amd64")
    assert info["Size"] == len("base") + len("top")


@pytest.mark.parametrize("ref", ["two", "two:2", "nosuch", "sha256:" + "0" * 64, "0" * 64, "ab12"])
def test_what_is_not_there_is_not_found(atoll, two, ref):
    atoll("load", "-i", two)
    atoll.fails("image", "inspect", ref, rc=1, says="no such image")


def test_a_prefix_of_the_id_names_it(atoll, two):
    atoll("load", "-i", two)
    i = image_id(atoll, "two:1")
    for ref in (i, i[7:], i[7:19], i[:19]):
        assert image_id(atoll, ref) == i


@pytest.mark.parametrize("how", ["file", "stdin", "pipe", "gzip", "zstd", "directory"])
def test_every_way_in(atoll, base, two, how):
    data = two.read_bytes()
    if how == "file":
        atoll("load", "-i", two)
    elif how == "stdin":
        with open(two, "rb") as f:
            atoll("load", stdin=f)
    elif how == "pipe":
        atoll("load", input=data)
    elif how == "gzip":
        atoll("load", input=gzip.compress(data))
    elif how == "zstd":
        p = base / "two.tar.zst"
        p.write_bytes(subprocess.run(["zstd", "-c"], input=data, capture_output=True,
                                     check=True).stdout)
        atoll("load", "-i", p)
        p.unlink()
    else:
        d = base / "extracted"
        d.mkdir()
        with tarfile.open(two) as tar:
            tar.extractall(d)
        atoll("load", "-i", d)
        subprocess.run(["rm", "-r", d], check=True)
    assert names(atoll) == ["other/two:latest", "two:1"]


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("packed", [True, False])
def test_oci_layouts(atoll, base, compress, packed):
    d = oci_layout(base / f"oci{compress}{packed}", [BASE, TOP], "reg.example/img:3", compress)
    src = d
    if packed:
        src = base / "oci.tar"
        with tarfile.open(src, "w") as tar:
            tar.add(d, ".")
    atoll("load", "-i", src)
    assert names(atoll) == ["reg.example/img:3"]
    assert image_id(atoll, "reg.example/img:3") == f"sha256:{sha256(image_config([BASE, TOP]))}"


def test_oci_digests_are_verified(atoll, base):
    d = oci_layout(base / "oci-bad", [BASE, TOP], "x:1")
    manifest = json.loads((d / "index.json").read_text())["manifests"][0]
    m = json.loads((d / "blobs/sha256" / manifest["digest"][7:]).read_text())
    for descriptor in (m["layers"][0], m["config"], manifest):
        blob = d / "blobs/sha256" / descriptor["digest"][7:]
        good = blob.read_bytes()
        for bad in (good[:-1] + bytes([good[-1] ^ 1]), good + b" ", b""):
            blob.write_bytes(bad)
            atoll.fails("load", "-i", d)
        blob.unlink()
        atoll.fails("load", "-i", d)
        blob.symlink_to("/etc/passwd")
        atoll.fails("load", "-i", d)
        blob.unlink()
        blob.write_bytes(good)
    atoll("load", "-i", d)


def test_an_index_of_many_platforms(atoll, base):
    d = oci_layout(base / "oci-multi", [BASE], "multi:1")
    top = json.loads((d / "index.json").read_text())
    mine = top["manifests"][0]
    del mine["annotations"]
    mine["platform"] = {"os": "linux", "architecture": "amd64"}
    other = {**mine, "digest": "sha256:" + "0" * 64, "platform": {"os": "linux",
                                                                  "architecture": "s390x"}}
    inner = json.dumps({"schemaVersion": 2, "manifests": [other, mine]}).encode()
    (d / "blobs/sha256" / sha256(inner)).write_bytes(inner)
    top["manifests"] = [{"mediaType": "application/vnd.oci.image.index.v1+json", "size": len(inner),
                         "digest": f"sha256:{sha256(inner)}",
                         "annotations": {"io.containerd.image.name": "docker.io/library/multi:1"}}]
    (d / "index.json").write_text(json.dumps(top))
    atoll("load", "-i", d)
    assert names(atoll) == ["multi:1"]
    mine["platform"]["architecture"] = "s390x"
    inner = json.dumps({"schemaVersion": 2, "manifests": [mine]}).encode()
    (d / "blobs/sha256" / sha256(inner)).write_bytes(inner)
    top["manifests"][0].update(digest=f"sha256:{sha256(inner)}", size=len(inner))
    (d / "index.json").write_text(json.dumps(top))
    atoll.fails("load", "-i", d, says="no image for linux/amd64")


def test_old_archives_link_layers(atoll, base):
    """docker before 1.10 linked a layer that stood in the archive already."""
    cfg = image_config([BASE, BASE])
    data = json.dumps([{"Config": "c.json", "RepoTags": None,
                        "Layers": ["a/layer.tar", "b/layer.tar"]}]).encode()
    path = base / "old.tar"
    path.write_bytes(layer([(entry("a/layer.tar"), BASE),
                            (entry("b/layer.tar", SYM, link="../a/layer.tar"), None),
                            (entry("c.json"), cfg), (entry("manifest.json"), data)]))
    r = atoll("load", "-i", path)
    assert sha256(cfg) in r.out
    assert names(atoll) == ["<none>:<none>"]


@pytest.mark.parametrize("manifest", [
    b"", b"[]", b"{}", b"[{}]", b'[{"Config":"../../etc/passwd","Layers":[]}]',
    b'[{"Config":"c.json","Layers":["nosuch"]}]', b'[{"Config":"c.json","Layers":[]}]',
    b'[{"Config":"manifest.json","Layers":[]}]', b'[{"Config":1}]', b"[" * 10000,
    b'[{"Config":"c.json","Layers":' + json.dumps(["x"] * 501).encode() + b"}]",
])
def test_bad_manifests(atoll, base, manifest):
    path = base / "bad.tar"
    path.write_bytes(layer([(entry("c.json"), image_config([BASE])),
                            (entry("manifest.json"), manifest)]))
    r = atoll.fails("load", "-i", path, rc=1)
    assert r.err.count("\n") == 1
    path.unlink()


def test_bad_names_in_an_archive_are_dropped_with_a_word(atoll, base):
    path = docker_archive(base / "names.tar", [BASE], ["UPPER:1", "good:1", "a b", "x:y:z"])
    r = atoll("load", "-i", path)
    assert names(atoll) == ["good:1"] and "UPPER" in r.err


@pytest.mark.parametrize("fmt", ["docker", "oci"])
def test_save_is_reproducible_and_loads_again(atoll, base, new_atoll, two, fmt):
    atoll("load", "-i", two)
    a, b = base / f"{fmt}-a.tar", base / f"{fmt}-b.tar"
    atoll("save", "--format", fmt, "-o", a, "two:1", "other/two")
    b.write_bytes(atoll("save", "--format", fmt, "two:1", "other/two").raw)
    assert a.read_bytes() == b.read_bytes()
    other = new_atoll(f"again-{fmt}")
    other("load", "-i", a)
    assert names(other) == ["other/two:latest", "two:1"]
    assert image_id(other, "two:1") == image_id(atoll, "two:1")
    if fmt == "docker":
        m = members(a)
        image, = json.loads(m["manifest.json"])
        assert image["RepoTags"] == ["two:1", "other/two:latest"]
        assert [sha256(m[l]) for l in image["Layers"]] == [sha256(BASE), sha256(TOP)]


def test_a_packed_layer_is_saved_plain_and_kept_packed(atoll, base):
    d = oci_layout(base / "oci-keep", [BASE], "keep:1", True)
    atoll("load", "-i", d)
    out = base / "keep.tar"
    atoll("save", "-o", out, "keep:1")
    m = members(out)
    assert m[json.loads(m["manifest.json"])[0]["Layers"][0]] == BASE
    atoll("save", "--format", "oci", "-o", out, "keep:1")
    m = members(out)
    blobs = {f"blobs/sha256/{p.name}": p.read_bytes() for p in (d / "blobs/sha256").iterdir()}
    assert {n for n, b in blobs.items() if b[:2] == b"\x1f\x8b"} <= set(m)
    assert all(sha256(b) == n.split("/")[-1] for n, b in m.items() if n.startswith("blobs/"))


def test_save_of_what_is_not_there(atoll, two):
    atoll("load", "-i", two)
    atoll.fails("save", "nosuch", says="no such image", rc=1)


@pytest.mark.parametrize("how", ["file", "stdin", "gzip"])
def test_import_takes_a_root_file_system(atoll, base, how):
    path = base / "root.tar"
    path.write_bytes(BASE)
    args = ["-c", 'CMD ["sh", "-c", "x"]', "-c", "ENV A=1 B=2", "-c", "EXPOSE 80", "-c",
            "WORKDIR /etc", "-m", "a word"]
    if how == "file":
        r = atoll("import", *args, path, "imp:1")
    else:
        r = atoll("import", *args, "-", "imp:1",
                  input=gzip.compress(BASE) if how == "gzip" else BASE)
    info = atoll("image", "inspect", "imp:1").json[0]
    assert r.line == info["Id"] and info["Comment"] == "a word"
    assert info["Config"]["Cmd"] == ["sh", "-c", "x"] and info["Config"]["Env"] == ["A=1", "B=2"]
    assert info["Config"]["ExposedPorts"] == {"80/tcp": {}}
    assert info["Config"]["WorkingDir"] == "/etc"
    assert info["RootFS"]["Layers"] == [f"sha256:{sha256(BASE)}"]


def test_import_refuses_bad_changes_and_names(atoll, base):
    path = base / "root.tar"
    path.write_bytes(BASE)
    atoll.fails("import", "-c", "RUN x", path, "imp:1", says="is none of CMD")
    atoll.fails("import", path, "UPPER", says="lower case")
    atoll.fails("import", base / "nosuch", "imp:1", says="nosuch")
    atoll.fails("import", "--platform", "windows/amd64", path, "imp:1", says="must be linux/")
    assert names(atoll) == []


def test_the_same_import_gives_the_same_digest(atoll, base, new_atoll):
    path = base / "root.tar"
    path.write_bytes(BASE)
    env = {"SOURCE_DATE_EPOCH": "1700000000"}
    a = atoll("import", path, "imp:1", env=env).line
    assert new_atoll("imp2")("import", path, "imp:1", env=env).line == a


def test_history(atoll, two):
    atoll("load", "-i", two)
    rows = atoll("history", "--no-trunc", "--format", "{{.ID}} {{.CreatedBy}}", "two:1").out
    assert rows.splitlines() == [f"{image_id(atoll, 'two:1')} layer 1", "<missing> layer 0"]


def test_tag_and_remove(atoll, two):
    atoll("load", "-i", two)
    i = image_id(atoll, "two:1")
    atoll("tag", "two:1", "third")
    atoll("tag", i[7:17], "localhost:5000/deep/er:x")
    assert names(atoll) == ["localhost:5000/deep/er:x", "other/two:latest", "third:latest", "two:1"]
    atoll.fails("tag", "two:1", "Bad Name")
    atoll.fails("tag", "nosuch", "x")
    atoll.fails("rmi", i, says="names")
    for n in ("third", "other/two", "localhost:5000/deep/er:x"):
        assert "Untagged" in atoll("rmi", n).out
    assert names(atoll) == ["two:1"]
    r = atoll("rmi", "two:1")
    assert f"Deleted: {i}" in r.out and names(atoll) == []
    atoll.fails("rmi", "two:1", says="no such image")


def test_a_tag_moves_and_leaves_the_old_image_dangling(atoll, base):
    for text in (BASE, TOP):
        atoll("load", "-i", docker_archive(base / "move.tar", [text], ["move:1"]))
    assert names(atoll) == ["<none>:<none>", "move:1"]
    dangling = atoll("images", "-q", "--filter", "dangling=true").out.split()
    assert len(dangling) == 1
    r = atoll("image", "prune", "-f")
    assert "Deleted" in r.out and names(atoll) == ["move:1"]
    atoll("image", "prune", "-a", "-f")
    assert names(atoll) == []


def test_layers_are_shared(atoll, base):
    atoll("load", "-i", docker_archive(base / "s1.tar", [BASE], ["s1:1"]))
    atoll("load", "-i", docker_archive(base / "s2.tar", [BASE, TOP], ["s2:1"]))
    assert len(os.listdir(atoll.root / "layers")) == 2
    atoll("rmi", "s1:1")
    assert len(os.listdir(atoll.root / "layers")) == 2
    atoll("rmi", "s2:1")
    assert os.listdir(atoll.root / "layers") == []


def test_filters(atoll, base, two):
    atoll("load", "-i", two)
    atoll("load", "-i", docker_archive(base / "plain.tar", [BASE], ["plain:9"]))

    def of(*filters):
        args = [a for f in filters for a in ("--filter", f)]
        return sorted(atoll("images", *args, "--format", "{{.Repository}}").out.split())

    assert of("label=k") == ["other/two", "two"] and of("label=k=v") == ["other/two", "two"]
    assert of("label=k=w") == []
    assert "plain" in of("reference=pl*") and of("reference=plain:9") == ["plain"]
    assert of("dangling=true") == []


def test_an_image_in_use_stays(atoll, busybox):
    name = atoll("create", "--network", "none", busybox, "true").line
    atoll.fails("rmi", busybox, says="used by")
    atoll("image", "prune", "-a", "-f")
    assert busybox in names(atoll)
    atoll("rmi", "-f", busybox)
    assert names(atoll) == ["<none>:<none>"]
    assert atoll("start", "-a", name).rc == 0
    atoll("rm", name)


def test_commit_keeps_what_changed(atoll, busybox_tar):
    atoll("load", "-i", busybox_tar)
    c = atoll("run", "-d", "--network", "none", "busybox", "sh", "-c",
              "rm /etc/group; rm -r /var/log; mkdir /var/log; touch /var/log/x;"
              "echo new > /etc/new; chown 1000:50 /etc/new; chmod 4755 /etc/new; mkdir /d;"
              "ln -s /etc/new /d/l; ln /etc/new /d/h; mkfifo /d/p").line
    atoll("wait", c)
    atoll("commit", "-a", "me", "-m", "why", "-c", "CMD [\"cat\", \"/etc/new\"]", c, "mine:1")
    atoll("rm", c)
    info = atoll("image", "inspect", "mine:1").json[0]
    assert (info["Author"], info["Comment"], len(info["RootFS"]["Layers"])) == ("me", "why", 2)
    assert atoll("run", "--rm", "--network", "none", "mine:1").line == "new"
    out = atoll("run", "--rm", "--network", "none", "mine:1", "sh", "-c",
                "stat -c '%a %u %g' /etc/new; ls /var/log; readlink /d/l; test -p /d/p && echo p;"
                "test -e /etc/group || echo gone").out
    assert out.split() == ["4755", "1000", "50", "x", "/etc/new", "p", "gone"]
    rows = atoll("history", "--format", "{{.Comment}}", "mine:1").out.splitlines()
    assert rows[0] == "why"


def test_events_tell_of_images(atoll, two):
    atoll("load", "-i", two)
    atoll("tag", "two:1", "seen:1")
    out = atoll("events", "--since", "1h", "--until", "0s", "--filter", "type=image",
                "--format", "{{.Action}}").out.split()
    assert out[-2:] == ["load", "tag"]
