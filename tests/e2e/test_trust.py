# SPDX-License-Identifier: Apache-2.0
"""policy.json: which images of registries may be had, and by whose signatures."""
import base64
import json
import tarfile

import pytest

from lib import registry, signing
from lib.images import busybox_entries, entry, layer
from lib.registry import Fake, Image, Registry, digest
from lib.signing import Key, Signatures, payload, sign

LAYERS = [layer([(entry("etc", tarfile.DIRTYPE, 0o755), None), (entry("etc/a"), b"base")])]
ANY = [{"type": "insecureAcceptAnything"}]
REJECT = [{"type": "reject"}]


@pytest.fixture(scope="module")
def server(base):
    r = Registry(base / "registry")
    yield r
    r.stop()


@pytest.fixture(scope="module")
def key(base):
    return Key(base / "keys", "a")


@pytest.fixture(scope="module")
def other(base):
    return Key(base / "keys", "b")


@pytest.fixture
def fake():
    f = Fake()
    yield f
    f.stop()


@pytest.fixture(autouse=True)
def policy(atoll, base, monkeypatch):
    """Writes the user's policy.json: its default, and docker's scopes."""
    home = base / "home"
    path = home / ".config/containers/policy.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    monkeypatch.delenv("ATOLL_POLICY", raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(home / "auth.json"))

    def write(default, docker=None):
        path.write_text(json.dumps({"default": default,
                                    "transports": {"docker": docker or {}}}))
        return path

    yield write
    path.unlink(missing_ok=True)
    ids = atoll("images", "-aq", "--no-trunc").out.split()
    if ids:
        atoll("rmi", "-f", *sorted(set(ids)))


def signed_by(*keys, **more):
    if len(keys) == 1:
        return [{"type": "sigstoreSigned", "keyPath": str(keys[0].public), **more}]
    return [{"type": "sigstoreSigned", "keyPaths": [str(k.public) for k in keys], **more}]


def identity(kind, **more):
    return {"signedIdentity": {"type": kind, **more}}


def new_image(text):
    """One that no other test has signed."""
    return Image([*LAYERS, layer([(entry("etc/b"), text.encode())])])


def test_signed(atoll, server, policy, key, other):
    image = new_image("signed")
    name = server.push("t/signed", "1", image)
    path = policy(signed_by(key))
    r = atoll.fails("pull", name, says=f"pull {name}: the default of {path}, sigstoreSigned: the "
                                       "registry has no signature of it")
    assert atoll("images", "-aq").out == ""
    sign(server, "t/signed", "1", image, other)
    atoll.fails("pull", name, says="by none of its keys")
    policy(signed_by(other, key))
    atoll("pull", name)
    policy(signed_by(key))
    atoll.fails("pull", name, says="by none of its keys")  # also what is here already
    s = sign(server, "t/signed", "1", image, key)
    atoll("pull", name)
    atoll("pull", f"{server.host}/t/signed@{digest(image.manifest)}")
    # Each requirement counts; so do keys in the file.
    policy(signed_by(key) + signed_by(other))
    atoll.fails("pull", name, says="by none of its keys")
    both = Signatures(image.manifest, *[(p, k.sign(p)) for k in (other, key) for p in s.blobs])
    server.push("t/signed", both.tag(), both)
    atoll("pull", name)
    data = base64.b64encode(key.public.read_bytes()).decode()
    policy([{"type": "sigstoreSigned", "keyData": data}])
    atoll("pull", name)
    policy([{"type": "sigstoreSigned", "keyDatas": [data]}])
    atoll("pull", name)


def test_kinds_of_keys(atoll, base, server, policy):
    for i, kind in enumerate((("RSA", "-pkeyopt", "rsa_keygen_bits:2048"), ("ED25519",),
                              ("EC", "-pkeyopt", "ec_paramgen_curve:P-384"))):
        k = Key(base / "keys", f"kind{i}", kind)
        image = new_image(f"kind{i}")
        name = server.push(f"t/kind{i}", "1", image)
        sign(server, f"t/kind{i}", "1", image, k)
        policy(signed_by(k))
        atoll("pull", name)
    k = Key(base / "keys", "kind", ("X25519",))
    policy(signed_by(k))
    atoll.fails("pull", name, says="another kind than ECDSA, RSA and Ed25519")
    k.public.write_text("no key")
    r = atoll.fails("pull", name, says="no public key in PEM")
    assert "policy.json" in r.err
    k.public.unlink()
    atoll.fails("pull", name, says=f"the key {k.public}")


def test_what_a_signature_is_of(atoll, server, policy, key):
    image, stranger = new_image("of"), new_image("stranger")
    name = server.push("t/of", "1", image)
    server.push("t/of", "2", image)
    policy(signed_by(key))

    def put(p, signature=None):
        s = Signatures(image.manifest, (p, signature or key.sign(p)))
        server.push("t/of", s.tag(), s)

    put(payload(name, stranger.manifest))
    atoll.fails("pull", name, says="of another image's digest")
    put(payload(f"{server.host}/t/of:2", image.manifest))
    atoll.fails("pull", name, says=f"of the name '{server.host}/t/of:2'")
    put(payload(name, image.manifest, "atomic container signature"))
    atoll.fails("pull", name, says="its type is not")
    good = payload(name, image.manifest)
    put(good.replace(b"t/of:1", b"t/of:2"), key.sign(good))
    atoll.fails("pull", name, says="or of other bytes")
    put(good.replace(b"null", b"[]  "), key.sign(good))
    atoll.fails("pull", name, says="or of other bytes")
    for says in (b"", b"[]", b"{}", good[:-1], good + b"x", b"\xff" * 100,
                 good.replace(b'"optional"', b'"more"')):
        put(says)
        atoll.fails("pull", name, says="what is signed")
    for signature in (b"x", b"\x30\x06\x02\x01\x00\x02\x01\x00", key.sign(good)[:-1],
                      b"\x30\x84\xff\xff\xff\xff", b"x" * 4000):
        put(good, signature)
        atoll.fails("pull", name, says="by none of its keys")
    put(good)
    atoll("pull", name)
    atoll.fails("pull", f"{server.host}/t/of:2", says=f"of the name '{name}'")


def test_whose_name(atoll, server, policy, key):
    image = new_image("name")
    name = server.push("t/name", "1", image)
    bare = name.rsplit(":", 1)[0]
    sign(server, "t/name", "1", image, key, name="prod.test/team/name:7")
    for more, good in (
            ({}, False), (identity("matchExact"), False), (identity("matchRepository"), False),
            (identity("exactReference", dockerReference="prod.test/team/name:7"), True),
            (identity("exactReference", dockerReference="prod.test/team/name:8"), False),
            (identity("exactRepository", dockerRepository="prod.test/team/name"), True),
            (identity("exactRepository", dockerRepository="prod.test/team"), False),
            (identity("remapIdentity", prefix=f"{server.host}/t", signedPrefix="prod.test/team"),
             False)):  # it is :1 here
        policy(signed_by(key, **more))
        if good:
            atoll("pull", name)
        else:
            atoll.fails("pull", name, says="of the name 'prod.test/team/name:7'")
    server.push("t/name", "7", image)
    policy(signed_by(key, **identity("remapIdentity", prefix=f"{server.host}/t",
                                     signedPrefix="prod.test/team")))
    atoll("pull", f"{bare}:7")
    atoll("pull", f"{bare}@{digest(image.manifest)}")
    # As cosign calls it: the repository alone.
    sign(server, "t/name", "1", image, key, name=bare)
    policy(signed_by(key))
    atoll.fails("pull", name, says=f"of the name '{bare}'")
    policy(signed_by(key, **identity("matchRepository")))
    atoll("pull", name)
    policy(signed_by(key, **identity("matchExact")))
    atoll.fails("pull", name, says=f"of the name '{bare}'")
    sign(server, "t/name", "1", image, key)
    atoll("pull", name)


def test_an_index(atoll, server, policy, key):
    """A signature of it, or of the manifest that is taken of it."""
    image, arm = new_image("amd"), new_image("arm")
    text = registry.index({"linux/amd64": image, "linux/arm64": arm})
    for i in (image, arm):
        server.push("t/index", digest(i.manifest), i)
    server.push_document("t/index", "1", text)
    name = f"{server.host}/t/index:1"
    policy(signed_by(key))
    atoll.fails("pull", name, says="no signature of it")
    sign(server, "t/index", "1", arm, key)
    atoll.fails("pull", "--platform", "linux/amd64", name, says="no signature of it")
    sign(server, "t/index", "1", image, key)
    atoll("pull", "--platform", "linux/amd64", name)
    text = registry.index({"linux/amd64": image})
    server.push_document("t/index", "2", text)
    atoll.fails("pull", "--platform", "linux/amd64", f"{server.host}/t/index:2", says="t/index:1'")
    sign(server, "t/index", "2", image, key, manifest=text)
    atoll("pull", "--platform", "linux/amd64", f"{server.host}/t/index:2")


def test_scopes(atoll, server, policy, key, monkeypatch, base):
    image = new_image("scopes")
    one = server.push("t/scopes", "1", image)
    two = server.push("t/scopes", "2", image)
    deep = server.push("t/scopes/deep", "1", image)
    far = server.push("u/scopes", "1", image)
    path = policy(REJECT, {one: ANY, f"{server.host}/t/scopes/deep": ANY, server.host: REJECT})
    asked = f'docker "{server.host}" of {path}, reject: such images are refused'
    atoll("pull", one)
    atoll.fails("pull", two, says=f"pull {two}: {asked}")
    atoll.fails("pull", f"{server.host}/t/scopes@{digest(image.manifest)}", says=asked)
    atoll("pull", deep)
    atoll.fails("pull", far, says=asked)
    atoll.fails("pull", "127.0.0.1:1/x", says=f"the default of {path}, reject")
    policy(ANY, {f"{server.host}/t": REJECT, two: signed_by(key)})
    atoll("pull", far)
    atoll.fails("pull", one, says="reject")
    atoll.fails("pull", two, says="no signature of it")
    policy(ANY, {"*.test": REJECT})
    atoll.fails("pull", "a.b.test:5000/x", says='docker "*.test"')
    policy(REJECT, {"": ANY})
    atoll("pull", far)
    # Another file; one that is named must be there.
    (base / "p.json").write_text(json.dumps({"default": REJECT}))
    monkeypatch.setenv("ATOLL_POLICY", str(base / "p.json"))
    atoll.fails("pull", far, says=f"the default of {base}/p.json")
    monkeypatch.setenv("ATOLL_POLICY", str(base / "none.json"))
    atoll.fails("pull", far, says=f"read {base}/none.json")


def test_nothing_is_asked_of_whom_is_refused(atoll, fake, policy):
    name = fake.add(new_image("asked"))
    policy(REJECT)
    atoll.fails("pull", name, says="reject")
    assert fake.asked == []
    # Who asks for no signatures does not look for any.
    policy(ANY)
    atoll("pull", name)
    assert not fake.paths(".sig")


def test_run_and_build(atoll, base, server, policy):
    """Each way that an image comes from a registry."""
    name = server.push("t/tool", "1", Image([layer(busybox_entries())], Cmd=["sh"]))
    policy(ANY, {f"{server.host}/t/tool": REJECT})
    for verb in (("run", "--rm"), ("create",), ("run", "--rm", "--pull", "always")):
        atoll.fails(*verb, "--network", "none", name, "true", rc=125, says=", reject: ")
    context = base / "context"
    context.mkdir(exist_ok=True)
    (context / "Containerfile").write_text(f"FROM {name}\nLABEL a=b\n")
    atoll.fails("build", str(context), says=", reject: ")
    (context / "Containerfile").write_text(f"FROM scratch\nCOPY --from={name} /bin /bin\n")
    atoll.fails("build", str(context), says=", reject: ")
    policy(ANY)
    atoll("build", str(context))
    assert atoll("run", "--rm", "--network", "none", name, "echo", "well").out == "well\n"


def test_what_is_not_supported(atoll, server, policy):
    """It is refused, by its name; not passed over."""
    name = server.push("t/gpg", "1", new_image("gpg"))
    path = policy([{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/nosuch"}])
    atoll.fails("pull", name, says=f"the default of {path}, signedBy: it asks for signedBy "
                                   "(signatures of GPG), which is not supported")
    policy([{"type": "sigstoreSigned", "fulcio": {"caPath": "/x", "oidcIssuer": "y",
                                                  "subjectEmail": "z"},
             "rekorPublicKeyPath": "/r"}])
    atoll.fails("pull", name, says="fulcio (keys by certificates), which is not supported")
    policy([{"type": "sigstoreSigned", "keyPath": "/x", "rekorPublicKeyPath": "/r"}])
    atoll.fails("pull", name, says="rekorPublicKey")
    # Elsewhere it does no harm.
    policy(ANY, {"other.test": [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/x"}]})
    atoll("pull", name)


def test_files_that_are_wrong(atoll, server, policy):
    name = server.push("t/wrong", "1", new_image("wrong"))
    path = policy(ANY)
    for text, says in (("", "policy.json: "), ("{}", "default"), ('{"default": []}', "one at least"),
                       ('{"default": [{"type": "accept"}]}', "type 'accept' is none of"),
                       ('{"default": [{"type": "reject", "x": 1}]}', "x: unknown key"),
                       ('{"default": [{"type": "sigstoreSigned"}]}', "exactly one of keyPath")):
        path.write_text(text)
        atoll.fails("pull", name, says=says)
    path.unlink()
    path.mkdir()
    atoll.fails("pull", name, says=f"read {path}")
    path.rmdir()


def test_a_registry_that_lies(atoll, fake, policy, key):
    """What it says of signatures is bounded, and explains a refusal at best."""
    image = new_image("lies")
    name = fake.add(image)
    policy(signed_by(key))
    p = payload(name, image.manifest)
    good = Signatures(image.manifest, (p, key.sign(p)))

    def put(manifest):
        fake.documents[good.tag()] = manifest
        for b in good:
            fake.blobs[digest(b)] = b

    def changed(**more):
        m = json.loads(good.manifest)
        m["layers"][0].update(more)
        return json.dumps(m).encode()

    put(b'{"mediaType": "x", "layers": 7}')
    atoll.fails("pull", name, says="is no manifest")
    put(changed(annotations={signing.ANNOTATION: "???"}))
    atoll.fails("pull", name, says="or no base64")
    put(changed(annotations={}))
    atoll.fails("pull", name, says="or no base64")
    put(changed(annotations={signing.ANNOTATION: "QUFB" * 5000}))
    atoll.fails("pull", name, says="too large")
    put(changed(size=1 << 40))
    atoll.fails("pull", name, says="too large")
    put(changed(mediaType="application/octet-stream"))
    atoll.fails("pull", name, says="no signature of it")
    put(good.manifest)
    fake.blobs[digest(p)] = p[:-1] + b" "
    atoll.fails("pull", name, says="the registry gives other bytes")
    del fake.blobs[digest(p)]
    atoll.fails("pull", name, says="signatures: ")
    fake.before = lambda q: q.path.endswith(".sig") and (q.answer(403) or True)
    atoll.fails("pull", name, says="signatures: ")
    fake.before = lambda q: False
    many = json.loads(good.manifest)
    many["layers"] = [{**many["layers"][0], "annotations": {
        signing.ANNOTATION: base64.b64encode(b"no").decode()}}] * 400
    put(json.dumps(many).encode())
    fake.asked.clear()
    atoll.fails("pull", name, says="by none of its keys")
    assert len(fake.paths(digest(p))) <= 64
    put(good.manifest)
    atoll("pull", name)
