# SPDX-License-Identifier: Apache-2.0
"""Images from registries: pull, login, run of what is not here; and registries that do wrong."""
import base64
import gzip
import json
import os
import pty
import random
import signal
import subprocess
import tarfile
import threading
import time
from urllib.parse import parse_qs

import pytest

from lib import registry, wait
from lib.images import busybox_entries, entry, layer, sha256
from lib.registry import Fake, Image, Registry, digest

LAYERS = [layer([(entry("etc", tarfile.DIRTYPE, 0o755), None), (entry("etc/a"), b"base")]),
          layer([(entry("etc/b"), b"top"), (entry("etc/.wh.a"), b"")]),
          layer([(entry("etc/hard", tarfile.LNKTYPE, link="etc/b"), None)])]
NOISE = random.Random(6).randbytes(3 << 20)  # that no packing makes smaller
BIG = layer([(entry("noise"), NOISE)])


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
    home = base / "home"
    home.mkdir(exist_ok=True)
    for name in ("XDG_RUNTIME_DIR", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(home / "auth.json"))
    yield
    (home / "auth.json").unlink(missing_ok=True)
    ids = atoll("images", "-aq", "--no-trunc").out.split()
    if ids:
        atoll("rmi", "-f", *sorted(set(ids)))
    else:
        atoll("image", "prune", "-f")
    for d in ("layers", "blobs/sha256"):
        assert os.listdir(atoll.root / d) == []


def parts(atoll):
    return [n for n in os.listdir(atoll.root / "tmp") if n.startswith("image-part")]


def content(atoll, name, path):
    """A file of the image, by the layers that have it."""
    info = atoll("image", "inspect", name).json[0]
    assert info["Os"] == "linux"
    out = subprocess.run([atoll.build / "atoll", "--root", atoll.root, "--state", atoll.state,
                          "save", name], capture_output=True, check=True).stdout
    found = None
    import io
    with tarfile.open(fileobj=io.BytesIO(out)) as tar:
        manifest = json.load(tar.extractfile("manifest.json"))[0]
        for part in manifest["Layers"]:
            data = tar.extractfile(part).read()
            if data[:2] == b"\x1f\x8b":
                data = gzip.decompress(data)
            with tarfile.open(fileobj=io.BytesIO(data)) as one:
                if path in one.getnames() and one.getmember(path).isfile():
                    found = one.extractfile(path).read()
    return found


# ---- as it should be ----

@pytest.mark.parametrize("pack", ["plain", "gzip"])
def test_pull(atoll, server, pack):
    image = Image(LAYERS, Cmd=["x"]) if pack == "plain" else Image(
        LAYERS, lambda l: gzip.compress(l, mtime=0), f"{registry.OCI}.layer.v1.tar+gzip", Cmd=["x"])
    name = server.push(f"a/{pack}", "1", image)
    r = atoll("pull", name)
    lines = r.out.splitlines()
    assert lines[0] == f"Pulling {name}" and lines[-1] == name
    assert f"Digest: {digest(image.manifest)}" in lines
    assert f"Status: Downloaded newer image for {name}" in lines
    for blob in image.blobs:
        for word in ("Pulling fs layer", "Download complete", "Pull complete"):
            assert lines.count(f"{sha256(blob)[:12]}: {word}") == 1
    info = atoll("image", "inspect", name).json[0]
    assert info["Id"] == image.id and info["RepoTags"] == [name] and info["Config"]["Cmd"] == ["x"]
    assert content(atoll, name, "etc/b") == b"top"
    again = atoll("pull", name)
    assert f"Status: Image is up to date for {name}" in again.out
    assert atoll("pull", "-q", name).out == name + "\n"
    assert parts(atoll) == []


def test_by_digest(atoll, server):
    image = Image(LAYERS)
    name = server.push("a/digest", "1", image)
    repository = name.rsplit(":", 1)[0]
    by = f"{repository}@{digest(image.manifest)}"
    atoll("pull", by)
    info = atoll("image", "inspect", by).json[0]
    assert info["RepoDigests"] == [by] and info["RepoTags"] == []
    rows = atoll("images", "--digests", "--format", "{{.Repository}} {{.Tag}} {{.Digest}}").out
    assert rows == f"{repository} <none> {digest(image.manifest)}\n"
    wrong = f"{repository}@sha256:{'0' * 64}"
    atoll.fails("pull", wrong, says="manifest unknown")
    atoll("rmi", by)


def test_platforms(atoll, server):
    arm, amd = Image(LAYERS[:1]), Image(LAYERS[:2])
    for image, tag in ((arm, "arm"), (amd, "amd")):
        name = server.push("a/many", tag, image)
    text = registry.index({"linux/arm64/v8": arm, "linux/amd64": amd})
    server.push_document("a/many", "all", text)
    name = name.replace(":amd", ":all")
    r = atoll("pull", name)
    assert f"Digest: {digest(text)}" in r.out
    assert atoll("image", "inspect", name).json[0]["Id"] == amd.id
    atoll("pull", "--platform", "linux/arm64", name)
    assert atoll("image", "inspect", name).json[0]["Id"] == arm.id
    atoll("pull", "--platform", "linux/arm64/v8", name)
    atoll.fails("pull", "--platform", "linux/riscv64", name,
                says="not there for linux/riscv64, but for: linux/arm64/v8, linux/amd64")
    atoll.fails("pull", "--platform", "windows/amd64", name, says="must be linux/")


def test_layers_that_are_here_are_not_fetched(atoll, fake):
    atoll("pull", fake.add(Image(LAYERS[:2]), "two"))
    fake.asked.clear()
    three = Image(LAYERS)
    r = atoll("pull", fake.add(three, "three"))
    assert r.out.count("Already exists") == 2
    assert fake.paths("/blobs/") == [f"/v2/a/b/blobs/{digest(b)}"
                                     for b in (three.config, three.blobs[2])]
    # The same bytes upon other layers.
    fake.asked.clear()
    other = Image([LAYERS[1]])
    atoll("pull", fake.add(other, "other"))
    assert fake.paths("/blobs/") == [f"/v2/a/b/blobs/{digest(other.config)}"]
    fake.asked.clear()
    assert "up to date" in atoll("pull", fake.add(other, "other")).out  # nor its configuration
    assert fake.paths("/manifests/") and not fake.paths("/blobs/")


def test_run_and_create_fetch_what_is_missing(atoll, server):
    name = server.push("lib/busybox", "1", Image([layer(busybox_entries())], Cmd=["sh"]))
    atoll.fails("run", "--rm", "--pull", "never", name, "true", rc=125, says="no such image")
    r = atoll("run", "--rm", "--network", "none", name, "echo", "well")
    assert r.out == "well\n"
    assert f"Unable to find image '{name}' locally" in r.err and "Downloaded newer image" in r.err
    r = atoll("run", "--rm", "--network", "none", name, "echo", "well")
    assert r.out == "well\n" and r.err == ""
    r = atoll("run", "--rm", "--pull", "always", "--network", "none", name, "echo", "well")
    assert "up to date" in r.err
    atoll("rmi", name)
    r = atoll("create", "-q", "--network", "none", name, "true")
    assert r.err == ""
    atoll("rm", r.out.strip())
    atoll.fails("run", "--rm", "--pull", "sometimes", name, "true", rc=125, says="always, missing")
    atoll.fails("run", "--rm", f"{server.host}/a/none:1", "true", rc=125, says="manifests/1")


def test_json_lines(atoll, server):
    image = Image(LAYERS)
    name = server.push("a/json", "1", image)
    told = [json.loads(l) for l in atoll("pull", "--progress", "json", name).out.splitlines()]
    assert told[0] == {"status": "Pulling", "id": name}
    assert told[-1] == {"status": "Downloaded newer image", "id": name,
                        "digest": digest(image.manifest)}
    assert {t["id"] for t in told if t["status"] == "Pull complete"} == {
        sha256(b)[:12] for b in image.blobs}
    atoll.fails("pull", "--progress", "loud", name, says="--progress 'loud'")


def test_bars_on_a_terminal(atoll, server):
    name = server.push("a/bars", "1", Image(LAYERS))
    pid, fd = pty.fork()
    if pid == 0:
        subprocess.run(["stty", "rows", "40", "cols", "160"], check=False)
        os.execv(atoll.build / "atoll", ["atoll", "--root", str(atoll.root), "--state",
                                         str(atoll.state), "pull", name])
    text = b""
    while True:
        try:
            more = os.read(fd, 4096)
        except OSError:
            break
        if not more:
            break
        text += more
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, text
    os.close(fd)
    assert b"\x1b[3A\r\x1b[K" in text and b"Pull complete\x1b[3B" in text, text
    assert text.endswith(name.encode() + b"\r\n")


def test_ten_at_once(atoll, fake):
    image = Image([*LAYERS, BIG])
    name = fake.add(image)
    all_ = [atoll.popen("pull", "-q", name) for _ in range(10)]
    for p in all_:
        out, err = p.communicate(timeout=120)
        assert p.returncode == 0 and out == name.encode() + b"\n", err
    assert len(fake.paths(digest(BIG))) == 1
    assert parts(atoll) == []


# ---- who asks ----

@pytest.fixture(scope="module")
def guarded(base):
    tls = registry.certificate(base / "tls")
    r = Registry(base / "guarded", auth=True, tls=tls)
    yield r
    r.stop()


@pytest.fixture
def trusted(base, guarded):
    """The registry's CA, where docker and podman look for it."""
    d = f"/etc/containers/certs.d/{guarded.host}"
    made = not os.path.exists("/etc/containers")
    os.makedirs(d)
    (base / "tls/ca.crt").read_bytes()
    with open(f"{d}/ca.crt", "wb") as f:
        f.write((base / "tls/ca.crt").read_bytes())
    yield
    os.unlink(f"{d}/ca.crt")
    os.rmdir(d)
    for up in ("/etc/containers/certs.d", "/etc/containers") if made else ():
        os.rmdir(up)


def test_certificates(atoll, guarded):
    name = guarded.push("a/tls", "1", Image(LAYERS))
    atoll.fails("pull", name, says="cannot be verified")
    atoll.fails("pull", "--tls-verify=false", name, says=f"atoll login {guarded.host}")


def test_login(atoll, base, guarded, trusted):
    name = guarded.push("a/tls", "1", Image(LAYERS))
    auth = base / "home/auth.json"
    atoll.fails("login", "-u", "user", "-p", "wrong", guarded.host, says="refuses this user name")
    atoll.fails("login", "-u", "user", guarded.host, says="--password-stdin")
    atoll.fails("login", "-p", "x", guarded.host, says="--username")
    atoll.fails("login", "-u", "a:b", "-p", "x", guarded.host, says="no ':'")
    atoll.fails("login", "-u", "a", "-p", "x", "no/such host", says="no registry")
    assert not auth.exists()
    atoll.fails("pull", name, says="wants a user name and a password")
    auth.write_text('{"auths": {"other": {"auth": "eDp5"}}, "more": [1]}')
    r = atoll("login", "-u", "user", "--password-stdin", guarded.host, input="secret\n")
    assert "Login Succeeded" in r.out and str(auth) in r.err
    assert auth.stat().st_mode & 0o777 == 0o600
    kept = json.loads(auth.read_text())
    assert kept["auths"]["other"] == {"auth": "eDp5"} and kept["more"] == [1]
    assert base64.b64decode(kept["auths"][guarded.host]["auth"]) == b"user:secret"
    atoll("pull", name)
    assert str(auth) in atoll("logout", guarded.host).out
    kept = json.loads(auth.read_text())
    assert list(kept["auths"]) == ["other"] and kept["more"] == [1]
    atoll.fails("logout", guarded.host, says="nobody is logged in")
    atoll("rmi", name)
    atoll.fails("pull", name, says="atoll login")


def test_credential_helper(atoll, base, guarded, trusted, monkeypatch):
    name = guarded.push("a/tls", "1", Image(LAYERS))
    bin_ = base / "bin"
    bin_.mkdir()
    helper = bin_ / "docker-credential-test"
    helper.write_text(f"""#!/bin/sh
case $1 in
get) read -r server; [ -f {base}/held ] || {{ echo credentials not found; exit 1; }}
  [ "$server" = {guarded.host} ] && echo '{{"ServerURL":"x","Username":"user","Secret":"secret"}}';;
store) cat > {base}/held;;
erase) cat > {base}/erased; rm {base}/held;;
esac
""")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_}:{os.environ['PATH']}")
    auth = base / "home/auth.json"
    auth.write_text(json.dumps({"credHelpers": {guarded.host: "test"}}))
    atoll.fails("pull", name, says="atoll login")
    atoll("login", "-u", "user", "-p", "secret", guarded.host)
    assert json.loads((base / "held").read_text()) == {
        "ServerURL": guarded.host, "Username": "user", "Secret": "secret"}
    assert "secret" not in auth.read_text()
    atoll("pull", name)
    atoll("logout", guarded.host)
    assert (base / "erased").read_text() == guarded.host
    auth.write_text(json.dumps({"credsStore": "nosuch"}))
    atoll.fails("pull", name, says="docker-credential-nosuch is not in PATH")
    auth.write_text(json.dumps({"credsStore": "../evil"}))
    atoll.fails("pull", name, says="no name of a credential helper")
    for text, says in (("{", "auth.json"), ("[]", "no object"),
                       (json.dumps({"auths": {guarded.host: {"auth": "%%"}}}), "no base64"),
                       (json.dumps({"auths": {guarded.host: {"auth": "eHl6"}}}), "USER:PASSWORD")):
        auth.write_text(text)
        atoll.fails("pull", name, says=says)


def test_tokens(atoll, base, fake):
    name = fake.add(Image([*LAYERS, BIG]))
    tokens = []

    def before(q):
        if q.path.startswith("/token?"):
            assert "scope=repository:a/b:pull" in q.path and "service=the%20service" in q.path
            tokens.append(q.headers.get("Authorization"))
            q.answer(200, json.dumps({"token": f"t{len(tokens)}"}).encode())
        elif q.headers.get("Authorization") != f"Bearer t{len(tokens)}":
            q.answer(401, WWW_Authenticate=f'Bearer realm="http://{fake.host}/token",'
                                           'service="the service",scope="repository:all:*"')
        else:
            return False
        return True

    fake.before = before
    atoll("pull", name)
    assert tokens == [None]
    atoll("rmi", name)
    tokens.clear()
    (base / "home/auth.json").write_text(json.dumps(
        {"auths": {fake.host: {"auth": base64.b64encode(b"me:pw").decode()}}}))
    atoll("pull", name)
    assert tokens == ["Basic " + base64.b64encode(b"me:pw").decode()]
    atoll("rmi", name)

    # One that runs out in the middle is asked for again.
    def runs_out(q):
        if "/blobs/" in q.path and len(tokens) == 1:
            q.answer(401, WWW_Authenticate=f'Bearer realm="http://{fake.host}/token",'
                                           'service="the service"')
            return True
        return before(q)

    tokens.clear()
    fake.before = runs_out
    atoll("pull", name)
    assert len(tokens) == 2


def identity_server(fake, tokens):
    """Wants Bearer; its token server takes me:pw, or the refresh token r, and keeps how it was asked."""
    def before(q):
        if q.path.startswith("/token"):
            form = parse_qs(q.sent.decode() if q.command == "POST" else q.path.partition("?")[2])
            tokens.append((q.command, {k: v[0] for k, v in form.items()}))
            if q.command == "POST":
                good = "refresh_token" in form and form["refresh_token"] == ["r+/="]
            else:
                good = q.headers.get("Authorization") == "Basic " + base64.b64encode(b"me:pw").decode()
            answer = {"access_token": "t"}
            if "offline_token" in form:
                answer["refresh_token"] = "r+/="
            q.answer(*((200, json.dumps(answer).encode()) if good else (401, b"{}")))
        elif q.headers.get("Authorization") != "Bearer t":
            q.answer(401, WWW_Authenticate=f'Bearer realm="http://{fake.host}/token",service="s"')
        else:
            return False
        return True
    fake.before = before


def test_identity_tokens(atoll, base, fake):
    """A login keeps the token that it is given, which is then asked with by POST, as docker does."""
    name = fake.add(Image(LAYERS))
    auth = base / "home/auth.json"
    tokens = []
    identity_server(fake, tokens)
    atoll.fails("login", "-u", "me", "-p", "no", fake.host, says="refuses this user name")
    r = atoll("login", "-u", "me", "-p", "pw", fake.host)
    assert f"the identity token is kept in {auth}" in r.err
    assert tokens[-1] == ("GET", {"service": "s", "account": "me", "client_id": "atoll",
                                  "offline_token": "true"})
    kept = json.loads(auth.read_text())["auths"][fake.host]
    assert base64.b64decode(kept["auth"]) == b"me:" and kept["identitytoken"] == "r+/="
    assert b"pw" not in auth.read_bytes()
    atoll("pull", name)
    assert tokens[-1] == ("POST", {"service": "s", "scope": "repository:a/b:pull",
                                   "client_id": "atoll", "grant_type": "refresh_token",
                                   "refresh_token": "r+/="})
    # As others write it: alone, and where there was another.
    for entry_, says in (({"identitytoken": "r+/="}, None),
                         ({"auth": base64.b64encode(b"0000:").decode(), "identitytoken": "r+/="}, None),
                         ({"identitytoken": "old"}, "does not take the identity token: 'atoll login"),
                         ({"auth": "", "identitytoken": ""}, "denies access")):
        auth.write_text(json.dumps({"auths": {fake.host: entry_}}))
        if says:
            atoll.fails("pull", name, says=says)
        else:
            atoll("pull", name)
    # One is no password; and it goes no further than it is for.
    auth.write_text(json.dumps({"auths": {fake.host: {"identitytoken": "r"}}}))
    fake.before = lambda q: q.answer(401, WWW_Authenticate='Basic realm="x"') or True
    atoll.fails("pull", name, says="wants a password, and what is kept is an identity token")
    other = Fake()
    try:
        def elsewhere(q):
            if q.path == "/token":
                q.answer(307, Location=f"http://{other.host}/token")
            else:
                q.answer(401, WWW_Authenticate=f'Bearer realm="http://{fake.host}/token"')
            return True
        fake.before = elsewhere
        atoll.fails("pull", name, says="status 307")
        assert other.asked == []
    finally:
        other.stop()


def test_identity_token_of_a_helper(atoll, base, fake, monkeypatch):
    name = fake.add(Image(LAYERS))
    tokens = []
    identity_server(fake, tokens)
    bin_ = base / "bin-identity"
    bin_.mkdir()
    (bin_ / "docker-credential-id").write_text(f"""#!/bin/sh
case $1 in
get) [ -f {base}/id ] || {{ echo credentials not found; exit 1; }}; cat {base}/id;;
store) cat > {base}/id;;
erase) rm {base}/id;;
esac
""")
    (bin_ / "docker-credential-id").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_}:{os.environ['PATH']}")
    (base / "home/auth.json").write_text(json.dumps({"credHelpers": {fake.host: "id"}}))
    atoll("login", "-u", "me", "-p", "pw", fake.host)
    assert json.loads((base / "id").read_text()) == {
        "ServerURL": fake.host, "Username": "<token>", "Secret": "r+/="}
    atoll("pull", name)
    assert tokens[-1][0] == "POST"
    (base / "id").write_text('{"Username": "<token>", "Secret": ""}')
    atoll.fails("pull", name, says="an empty identity token")
    atoll("logout", fake.host)
    assert not (base / "id").exists()


@pytest.mark.parametrize("challenge, says", [
    ("", "neither Basic nor Bearer"), ("Negotiate", "neither Basic nor Bearer"),
    ("Bearer realm=", "does not say how"), ('Bearer realm="gopher://x/"', "without TLS"),
    ('Basic realm="x"', "atoll login")])
def test_challenges(atoll, fake, challenge, says):
    name = fake.add(Image(LAYERS))
    fake.before = lambda q: q.answer(401, WWW_Authenticate=challenge) or True
    atoll.fails("pull", name, says=says)


def test_an_endless_401(atoll, fake):
    name = fake.add(Image(LAYERS))

    def before(q):
        if q.path.startswith("/token"):
            q.answer(200, b'{"token":"t"}')
        else:
            q.answer(401, WWW_Authenticate=f'Bearer realm="http://{fake.host}/token"')
        return True

    fake.before = before
    atoll.fails("pull", name, says="denies access")
    assert len(fake.asked) < 10


# ---- registries that do wrong ----

def one_time(then, path="/blobs/"):
    """What is answered `then` once, of each path."""
    seen = set()

    def before(q):
        if path not in q.path or q.path in seen:
            return False
        seen.add(q.path)
        then(q)
        return True
    return before


def test_a_connection_that_is_cut_goes_on(atoll, fake):
    image = Image([BIG])
    name = fake.add(image)
    fake.before = lambda q: (q.path.endswith(digest(BIG)) and "Range" not in q.headers and
                             (q.cut(200, BIG[:1000000], len(BIG)) or True))
    atoll("pull", name)
    ranges = [h.get("Range") for p, h in fake.asked if p.endswith(digest(BIG))]
    assert ranges == [None, "bytes=1000000-"]
    assert content(atoll, name, "noise") == NOISE


def test_what_was_fetched_is_not_fetched_again(atoll, fake):
    """After a failure, and after a SIGKILL in the middle."""
    image = Image([BIG])
    name = fake.add(image)
    reached = threading.Event()
    go_on = threading.Event()

    def stalls(q):
        if not q.path.endswith(digest(BIG)):
            return False
        q.cut(200, BIG[:2000000], len(BIG) + 0) if not reached.is_set() else q.answer(500)
        reached.set()
        go_on.wait(30)
        return True

    fake.before = stalls
    p = atoll.popen("pull", name)
    assert reached.wait(30)
    part = atoll.root / "tmp" / f"image-part-{sha256(BIG)}"
    wait.until(lambda: part.exists() and part.stat().st_size == 2000000, "the first part")
    p.send_signal(signal.SIGKILL)
    p.communicate()
    go_on.set()
    assert atoll("images", "-q").out == ""
    fake.before = lambda q: False
    fake.asked.clear()
    atoll("pull", name)
    assert [h.get("Range") for p, h in fake.asked if p.endswith(digest(BIG))] == ["bytes=2000000-"]
    assert content(atoll, name, "noise") == NOISE and parts(atoll) == []


def test_a_server_without_ranges(atoll, fake):
    image = Image([BIG])
    name = fake.add(image)
    count = []

    def before(q):
        if not q.path.endswith(digest(BIG)):
            return False
        count.append(1)
        if len(count) == 1:
            q.cut(200, BIG[:1000000], len(BIG))
        else:
            q.answer(200, BIG)
        return True

    fake.before = before
    atoll("pull", name)
    assert len(count) == 2 and content(atoll, name, "noise") == NOISE


def test_a_server_that_answers_another_range(atoll, fake):
    name = fake.add(Image([BIG]))

    def before(q):
        if not q.path.endswith(digest(BIG)):
            return False
        if "Range" in q.headers:
            q.answer(206, BIG[5:], Content_Range=f"bytes 5-{len(BIG) - 1}/{len(BIG)}")
        elif len(fake.paths(digest(BIG))) == 1:
            q.cut(200, BIG[:1000000], len(BIG))
        else:
            q.answer(200, BIG)
        return True

    fake.before = before
    atoll("pull", name)
    assert content(atoll, name, "noise") == NOISE


@pytest.mark.parametrize("status", [429, 500, 503])
def test_later_it_goes_well(atoll, fake, status):
    name = fake.add(Image(LAYERS))
    fake.before = one_time(lambda q: q.answer(status, Retry_After="1"))
    began = time.monotonic()
    atoll("pull", name)
    assert time.monotonic() - began >= 1
    # And where it never does, that is said.
    atoll("rmi", name)
    fake.before = lambda q: "/blobs/" in q.path and (q.answer(status, b"x") or True)
    atoll.fails("pull", name, says="429" if status == 429 else f"status {status}")


def test_wrong_bytes(atoll, fake):
    image = Image(LAYERS)
    name = fake.add(image)
    wrong = bytearray(image.blobs[1])
    wrong[600] ^= 1
    fake.blobs[digest(image.blobs[1])] = bytes(wrong)
    atoll.fails("pull", name, says="its bytes hash to")
    assert parts(atoll) in ([], [f"image-part-{sha256(image.blobs[2])}"])
    assert atoll("images", "-q").out == ""
    fake.add(image)
    atoll("pull", name)


@pytest.mark.parametrize("what", ["long", "short", "config", "config-size", "manifest"])
def test_wrong_sizes_and_documents(atoll, fake, what):
    image = Image(LAYERS)
    name = fake.add(image)
    says = {"long": "more of", "short": "of the", "config": "other bytes",
            "config-size": "other bytes", "manifest": ""}[what]
    blob = digest(image.blobs[1])
    if what == "long":
        fake.blobs[blob] += b"more"
    elif what == "short":
        fake.blobs[blob] = fake.blobs[blob][:-1]
    elif what == "config":
        fake.blobs[image.id] = image.config.replace(b"amd64", b"AMD64")
    elif what == "config-size":
        fake.blobs[image.id] = image.config[:-1]
    else:
        text = registry.index({"linux/amd64": image})
        fake.documents["1"] = text
        fake.documents[digest(image.manifest)] = image.manifest + b" "
        says = "more of"
    atoll.fails("pull", name, says=says)
    assert atoll("images", "-q").out == ""


def manifest_with(fake, change):
    image = Image(LAYERS)
    name = fake.add(image)
    m = json.loads(image.manifest)
    change(m)
    fake.documents["1"] = json.dumps(m).encode()
    return name


def test_documents_that_are_none(atoll, fake):
    def pull_fails(change, says):
        atoll.fails("pull", manifest_with(fake, change), says=says)

    pull_fails(lambda m: m["layers"].pop(), "names 3 layers, its manifest 2")
    pull_fails(lambda m: m["config"].update(mediaType="application/vnd.cncf.helm.config.v1+json"),
               "no image, but an artifact of type application/vnd.cncf.helm")
    pull_fails(lambda m: m["layers"][0].update(digest="sha256:../../x"), "digest")
    pull_fails(lambda m: m["config"].update(size=1 << 40), "more than are allowed")
    pull_fails(lambda m: m.update(mediaType="application/vnd.docker.distribution.manifest.v1+json"),
               "schema 1")
    name = fake.add(Image(LAYERS))
    fake.before = lambda q: "/manifests/" in q.path and (q.answer(
        200, b" " * (5 << 20), Content_Type=f"{registry.OCI}.manifest.v1+json") or True)
    atoll.fails("pull", name, says="more of manifests/1")
    fake.before = lambda q: "/manifests/" in q.path and (q.answer(
        200, b"<html>", Content_Type="text/html") or True)
    atoll.fails("pull", name)


def test_redirects(atoll, fake):
    """To others without what we say of ourselves; not from TLS to none, not for ever."""
    other = Fake()
    try:
        image = Image(LAYERS)
        name = fake.add(image)
        other.add(image)
        fake.before = lambda q: "/blobs/" in q.path and (q.answer(
            307, Location=f"http://{other.host}{q.path}") or True)
        fake.documents[digest(image.manifest)] = image.manifest
        atoll("pull", name)
        assert other.paths("/blobs/")
        atoll("rmi", name)
        (fake_auth := {"auths": {fake.host: {"auth": base64.b64encode(b"me:pw").decode()}}})
        with open(os.environ["REGISTRY_AUTH_FILE"], "w") as f:
            json.dump(fake_auth, f)
        def basic(q):
            if "Authorization" not in q.headers:
                q.answer(401, WWW_Authenticate='Basic realm="x"')
            elif "/blobs/" in q.path:
                q.answer(307, Location=f"http://{other.host}{q.path}")
            else:
                return False
            return True
        fake.before = basic
        other.asked.clear()
        atoll("pull", name)
        assert other.paths("/blobs/") and not [h for _, h in other.asked if "Authorization" in h]
        atoll("rmi", name)
        fake.before = lambda q: "/blobs/" in q.path and (q.answer(307, Location=q.path) or True)
        atoll.fails("pull", name, says="redirects")
        fake.before = lambda q: "/blobs/" in q.path and (q.answer(
            307, Location="file:///etc/passwd") or True)
        atoll.fails("pull", name)
    finally:
        other.stop()


def test_names(atoll, fake):
    for name in ("a/../b", "a/b:../c", "A/b", f"{fake.host}/a:b:c", "a@sha256:12", "", "-x"):
        atoll.fails("pull", "--", name)
    assert fake.asked == []
    atoll.fails("pull", "127.0.0.1:1/a/b", says="cannot be reached")


def test_its_walls(atoll, build, fake):
    """What speaks with the registry has no file and no right of the host."""
    image = Image([BIG])
    name = fake.add(image)
    asked, go_on = threading.Event(), threading.Event()

    def before(q):
        if "/blobs/" in q.path:
            asked.set()
            go_on.wait(30)
        return False

    fake.before = before
    p = atoll.popen("pull", name)
    try:
        assert asked.wait(30)
        pids = [e for e in os.listdir("/proc") if e.isdigit() and
                os.path.exists(f"/proc/{e}/exe") and
                os.readlink(f"/proc/{e}/exe") == str(build / "atoll-registry")]
        with open(f"/proc/{p.pid}/task/{p.pid}/children", encoding="utf8") as f:
            pid, = set(pids) & set(f.read().split())
        status = dict(l.split(":\t", 1) for l in open(f"/proc/{pid}/status", encoding="utf8"))
        assert int(status["CapPrm"], 16) == int(status["CapBnd"], 16) == 0
        assert status["NoNewPrivs"] == "1\n" and status["Seccomp"] == "2\n"
        assert set(os.listdir(f"/proc/{pid}/root")) <= {"etc"}
        assert set(os.listdir(f"/proc/{pid}/root/etc")) <= {
            "resolv.conf", "hosts", "nsswitch.conf", "gai.conf", "services", "protocols"}
        assert os.readlink(f"/proc/{pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt")
    finally:
        go_on.set()
        p.communicate(timeout=60)
    assert p.returncode == 0
    assert subprocess.run([build / "atoll-registry"], capture_output=True).returncode == 2
