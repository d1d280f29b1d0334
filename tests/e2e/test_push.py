# SPDX-License-Identifier: Apache-2.0
"""Images to registries: what is sent, what is not sent again, who is told who asks."""
import base64
import gzip
import json
import os
import random
import re
import socket
import tarfile
import threading
from urllib.parse import parse_qs

import pytest

from lib import registry
from lib.images import docker_archive, entry, layer
from lib.registry import Fake, Image, Registry, digest

LAYERS = [layer([(entry("etc", tarfile.DIRTYPE, 0o755), None), (entry("etc/a"), b"base")]),
          layer([(entry("etc/b"), b"top" * 100000)])]


@pytest.fixture(scope="module")
def server(base):
    r = Registry(base / "registry")
    yield r
    r.stop()


@pytest.fixture
def fake():
    f = Fake()
    yield f
    f.stop()


@pytest.fixture(autouse=True)
def empty(atoll, base, monkeypatch):
    """Each test begins and ends without images, and knows nobody."""
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(base / "auth.json"))
    yield
    (base / "auth.json").unlink(missing_ok=True)
    ids = atoll("images", "-aq", "--no-trunc").out.split()
    if ids:
        atoll("rmi", "-f", *sorted(set(ids)))


@pytest.fixture
def loaded(atoll, base):
    atoll("load", "-i", docker_archive(base / "a.tar", LAYERS, ["app:1"], Cmd=["x"]))
    return "app:1"


def unpacked(fake):
    """What a registry has got."""
    return {gzip.decompress(b) if b[:2] == b"\x1f\x8b" else b for b in fake.blobs.values()}


def as_app(atoll, where, tag="1"):
    name = f"{where.host}/team/app:{tag}"
    atoll("tag", "app:1", name)
    return name


def test_push(atoll, server, loaded):
    name = as_app(atoll, server)
    id_ = atoll("image", "inspect", name).json[0]["Id"]
    lines = atoll("push", name).out.splitlines()
    assert lines[0] == f"Pushing {name}"
    assert all(re.fullmatch("[0-9a-f]{12}: Pushed", l) for l in lines[1:3])
    kind, d, size = lines[3].split()[1::2][0], lines[3].split()[2], lines[3].split()[4]
    assert kind == "digest:" and d.startswith("sha256:") and int(size) > 100
    assert atoll("push", name).out.count("Layer already exists") == 2
    assert atoll("push", "-q", name).out == name + "\n"
    atoll("rmi", "-f", id_)
    r = atoll("pull", name)
    assert f"Digest: {d}" in r.out
    assert atoll("image", "inspect", name).json[0]["Id"] == id_
    # And it is still that image where it goes on to.
    other = name.replace("team/app", "other/app")
    atoll("tag", name, other)
    assert f"digest: {d}" in atoll("push", other).out


def test_what_was_made_here_goes_compressed(atoll, base, fake, loaded):
    """From the first push on, and the same bytes each time; it is the same image."""
    before = atoll("save", "app:1").raw
    id_ = atoll("image", "inspect", "app:1").json[0]["Id"]
    d = atoll("push", as_app(atoll, fake)).out.split("digest: ")[1].split()[0]
    layers = json.loads(fake.documents["1"])["layers"]
    assert {l["mediaType"] for l in layers} == {f"{registry.OCI}.layer.v1.tar+gzip"}
    blobs = [fake.blobs[l["digest"]] for l in layers]
    assert [gzip.decompress(b) for b in blobs] == LAYERS and len(blobs[1]) < 2000 < len(LAYERS[1])
    assert all(b[3:10] == bytes([0, 0, 0, 0, 0, b[8], 255]) for b in blobs)  # no name, no time
    assert atoll("save", "app:1").raw == before
    assert atoll("image", "inspect", "app:1").json[0]["Id"] == id_
    atoll("rmi", "-f", id_)
    atoll("load", "-i", base / "a.tar")
    fake.blobs.clear()
    assert f"digest: {d} " in atoll("push", as_app(atoll, fake, "2")).out
    # What a registry has as plain tar stays that, also below what is made on it.
    plain = Image([layer([(entry("plain"), b"plain" * 100)])])
    name = fake.add(plain, "plain")
    atoll("pull", name)
    other = f"{fake.host}/other/plain:1"
    atoll("tag", name, other)
    assert f"digest: {digest(plain.manifest)} " in atoll("push", other).out
    r = atoll("build", "-q", "-t", f"{fake.host}/other/built:1", "-", input=f"FROM {name}\n"
              "COPY <<x /x\ntext\nx\n")
    atoll("push", f"{fake.host}/other/built:1")
    kinds = [l["mediaType"] for l in json.loads(fake.documents["1"])["layers"]]
    assert kinds == [f"{registry.OCI}.layer.v1.tar", f"{registry.OCI}.layer.v1.tar+gzip"]
    atoll("rmi", "-f", r.line)
    atoll("builder", "prune", "-f")


def test_what_came_packed_goes_packed(atoll, server):
    image = Image(LAYERS, lambda l: gzip.compress(l, mtime=0), f"{registry.OCI}.layer.v1.tar+gzip")
    name = server.push("a/packed", "1", image)
    atoll("pull", name)
    other = name.replace("a/packed:1", "b/packed:2")
    atoll("tag", name, other)
    assert f"digest: {digest(image.manifest)} size: {len(image.manifest)}" in atoll("push", other).out


def test_mounts(atoll, server, fake, loaded):
    """Of another repository of the registry that is known to have it: after a push, and a pull."""
    name = as_app(atoll, server)
    atoll("push", name)
    other = name.replace("team/app", "other/mounted")
    atoll("tag", name, other)
    lines = atoll("push", other).out.splitlines()
    assert all(re.fullmatch("[0-9a-f]{12}: Mounted from team/app", l) for l in lines[1:3])
    atoll("rmi", "-f", atoll("image", "inspect", name).json[0]["Id"])
    # Whose bytes are gone is known no more; a pull says so anew.
    atoll("pull", other)
    third = name.replace("team/app", "third/app")
    atoll("tag", other, third)
    assert atoll("push", third).out.count("Mounted from other/mounted") == 2
    atoll("rmi", third, name.replace("team/app", "other/mounted"))
    atoll("pull", third)
    # Another registry has nothing to mount.
    there = third.replace(server.host, fake.host)
    atoll("tag", third, there)
    assert atoll("push", there).out.count(": Pushed") == 2
    assert not fake.paths("mount=")


@pytest.mark.parametrize("status", [202, 400, 403, 404])
def test_a_registry_that_does_not_mount(atoll, fake, loaded, status):
    name = as_app(atoll, fake)
    atoll("push", name)
    fake.blobs.clear()
    other = name.replace("team/app", "other/app")
    atoll("tag", name, other)

    def before(q):
        if q.command != "POST" or "mount=" not in q.path:
            return False
        assert "from=team/app" in q.path
        q.answer(status, **({"Location": "/v2/upload/7?state=x"} if status == 202 else {}))
        return True

    fake.before = before
    assert atoll("push", other).out.count(": Pushed") == 2
    assert len(fake.paths("mount=")) == 2
    assert unpacked(fake) >= set(LAYERS)


def test_the_right_to_mount(atoll, fake, loaded):
    """It is asked for with the other; who does not get it goes without."""
    name = as_app(atoll, fake)
    atoll("push", name)
    fake.blobs.clear()
    scopes, refused = [], []

    def before(q):
        if q.path.startswith("/token?"):
            scopes.append(parse_qs(q.path.partition("?")[2])["scope"])
            if refused and len(scopes[-1]) > 1:
                q.answer(403)
            else:
                q.answer(200, b'{"access_token":"t"}')
        elif q.headers.get("Authorization") != "Bearer t":
            q.answer(401, WWW_Authenticate=f'Bearer realm="http://{fake.host}/token"')
        elif q.command == "POST" and "mount=" in q.path:
            q.answer(401 if refused else 201,
                     **({"WWW_Authenticate": f'Bearer realm="http://{fake.host}/token"'}
                        if refused else {}))
        else:
            return False
        return True

    fake.before = before
    two = name.replace("team/app", "two/app")
    atoll("tag", name, two)
    assert atoll("push", two).out.count("Mounted from team/app") == 2
    assert scopes == [["repository:two/app:pull,push", "repository:team/app:pull"]]
    scopes.clear()
    refused.append(1)
    three = name.replace("team/app", "three/app")
    atoll("tag", name, three)
    assert atoll("push", three).out.count(": Pushed") == 2
    assert ["repository:three/app:pull,push"] in scopes


def test_three_at_a_time(atoll, base, fake):
    layers = [layer([(entry(f"n{i}"), bytes([i]) * 1000)]) for i in range(6)]
    layers.append(layers[0])  # the same bytes again
    atoll("load", "-i", docker_archive(base / "six.tar", layers, ["app:1"], Cmd=["x"]))
    lock, now, most = threading.Lock(), [0], [0]
    met = threading.Barrier(3)

    def before(q):
        if q.command != "PUT" or "/manifests/" in q.path:
            return False
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        try:
            met.wait(3)  # so many come at once, and no more
        except threading.BrokenBarrierError:
            pass
        with lock:
            now[0] -= 1
        return False

    fake.before = before
    r = atoll("push", as_app(atoll, fake))
    assert r.out.count(": Pushed") == 7 and most[0] == 3
    puts = [p for p, _ in fake.asked if "digest=" in p]
    assert len(puts) == 7  # six layers and the configuration
    assert fake.asked[-1][0].endswith("/manifests/1")


def test_progress(atoll, fake, loaded):
    name = as_app(atoll, fake)
    told = [json.loads(l) for l in atoll("push", "--progress", "json", name).out.splitlines()]
    assert told[0] == {"status": "Pushing", "id": name}
    assert sorted(t["id"] for t in told if t["status"] == "Pushed") == sorted(
        l["digest"][7:19] for l in json.loads(fake.documents["1"])["layers"])
    assert told[-1]["status"] == "Pushed image" and told[-1]["digest"].startswith("sha256:")
    assert told[-1]["id"] == name and told[-1]["size"] > 100
    atoll.fails("push", "--progress", "loud", name, says="--progress 'loud'")
    with atoll.terminal("push", name) as t:
        t.resize(40, 160)
        t.expect(f"Pushing {name}\r\n")
        assert t.wait() == 0
        assert b"Layer already exists" in t.text and b"digest: sha256:" in t.text


def test_a_connection_that_is_cut(atoll, base, fake):
    """What was begun is begun anew: the registry may have kept a part of it."""
    noise = layer([(entry("noise"), random.Random(7).randbytes(3 << 20))])
    atoll("load", "-i", docker_archive(base / "n.tar", [noise], ["app:1"], Cmd=["x"]))
    cut = []

    def before(q):
        if q.command == "PUT" and "digest=" in q.path and len(cut) < 2:
            cut.append(q.path)
            q.close_connection = True
            q.connection.shutdown(socket.SHUT_RDWR)
            return True
        return False

    fake.before = before
    atoll("push", as_app(atoll, fake))
    assert len(cut) == 2 and noise in unpacked(fake)
    fake.blobs.clear()
    cut.clear()
    fake.before = lambda q: q.command == "PUT" and "digest=" in q.path and (
        q.answer(400, b'{"errors":[{"code":"DIGEST_INVALID"}]}') or True)
    atoll.fails("push", as_app(atoll, fake), says="DIGEST_INVALID")
    assert [p for p in fake.paths("/manifests/")] == ["/v2/team/app/manifests/1"]


def test_refused(atoll, server, fake, loaded):
    atoll.fails("push", "nosuch", says="no such image")
    atoll.fails("push", f"app@sha256:{'0' * 64}", says="give a tag")
    name = as_app(atoll, fake)
    fake.before = lambda q: q.command == "POST" and (q.answer(403, json.dumps(
        {"errors": [{"code": "DENIED", "message": "read only"}]}).encode()) or True)
    atoll.fails("push", name, says="denies access to team/app: read only")
    fake.before = lambda q: q.command == "POST" and (q.answer(202) or True)
    atoll.fails("push", name, says="does not say where to upload")
    fake.before = lambda q: q.command == "POST" and (q.answer(
        202, Location="file:///tmp/x") or True)
    atoll.fails("push", name)
    fake.before = lambda q: q.command == "PUT" and "/manifests/" in q.path and (
        q.answer(400, b"{}") or True)
    atoll.fails("push", name, says="status 400")
    atoll.fails("push", "127.0.0.1:1/app", says="no such image")


def test_later_it_goes_well(atoll, fake, loaded):
    name = as_app(atoll, fake)
    seen = set()

    def before(q):
        if (q.command, q.path) in seen or q.path == "/v2/":
            return False
        seen.add((q.command, q.path))
        q.answer(503)
        return True

    fake.before = before
    atoll("push", name)
    assert LAYERS[1] in unpacked(fake) and "1" in fake.documents


def test_who_asks_is_told_to_the_registry_alone(atoll, base, fake, loaded):
    """The token is for pushing; a server that it sends its blobs to hears of nobody."""
    other = Fake()
    try:
        name = as_app(atoll, fake)
        (base / "auth.json").write_text(json.dumps(
            {"auths": {fake.host: {"auth": base64.b64encode(b"me:pw").decode()}}}))
        scopes = []

        def before(q):
            if q.path.startswith("/token?"):
                scopes.append(q.path)
                q.answer(200, b'{"access_token":"t"}')
            elif q.headers.get("Authorization") != "Bearer t":
                q.answer(401, WWW_Authenticate=f'Bearer realm="http://{fake.host}/token"')
            elif q.command == "POST":
                q.answer(202, Location=f"http://{other.host}/v2/upload/9?state=x")
            else:
                return False
            return True

        fake.before = before
        atoll("push", name)
        assert scopes and all("repository:team/app:pull,push" in s for s in scopes)
        assert unpacked(other) >= set(LAYERS) and "1" in fake.documents
        assert other.asked and not [h for _, h in other.asked if "Authorization" in h]
    finally:
        other.stop()
    assert os.listdir(atoll.root / "tmp") == [] or all(
        n.startswith("image-lock") for n in os.listdir(atoll.root / "tmp"))
