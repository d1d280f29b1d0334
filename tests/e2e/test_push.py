# SPDX-License-Identifier: Apache-2.0
"""Images to registries: what is sent, what is not sent again, who is told who asks."""
import base64
import gzip
import json
import os
import tarfile

import pytest

from lib import registry
from lib.images import docker_archive, entry, layer, sha256
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


def as_app(atoll, where, tag="1"):
    name = f"{where.host}/team/app:{tag}"
    atoll("tag", "app:1", name)
    return name


def test_push(atoll, server, loaded):
    name = as_app(atoll, server)
    id_ = atoll("image", "inspect", name).json[0]["Id"]
    lines = atoll("push", name).out.splitlines()
    assert lines[0] == f"Pushing {name}"
    assert lines[1:3] == [f"{sha256(l)[:12]}: Pushed" for l in LAYERS]
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


def test_what_came_packed_goes_packed(atoll, server):
    image = Image(LAYERS, lambda l: gzip.compress(l, mtime=0), f"{registry.OCI}.layer.v1.tar+gzip")
    name = server.push("a/packed", "1", image)
    atoll("pull", name)
    other = name.replace("a/packed:1", "b/packed:2")
    atoll("tag", name, other)
    assert f"digest: {digest(image.manifest)} size: {len(image.manifest)}" in atoll("push", other).out


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
    assert fake.blobs[digest(LAYERS[1])] == LAYERS[1] and "1" in fake.documents


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
        assert set(other.blobs) >= {digest(l) for l in LAYERS} and "1" in fake.documents
        assert other.asked and not [h for _, h in other.asked if "Authorization" in h]
    finally:
        other.stop()
    assert os.listdir(atoll.root / "tmp") == [] or all(
        n.startswith("image-lock") for n in os.listdir(atoll.root / "tmp"))
