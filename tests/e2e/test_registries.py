# SPDX-License-Identifier: Apache-2.0
"""registries.conf: short names, aliases, mirrors, other locations, what is blocked."""
import base64
import json
import os
import tarfile
import time

import pytest

from lib import registry
from lib.images import busybox_entries, entry, layer
from lib.registry import Fake, Image, Registry, digest
from lib.run import Terminal

LAYERS = [layer([(entry("etc", tarfile.DIRTYPE, 0o755), None), (entry("etc/a"), b"base")])]
DEAD = "127.0.0.1:1"  # where nothing is


@pytest.fixture
def fakes():
    made = [Fake(), Fake()]
    yield made
    for f in made:
        f.stop()


@pytest.fixture
def conf(atoll, base, monkeypatch):
    """Writes the user's registries.conf, or a file beside it."""
    home = base / "home"
    dir_ = home / ".config/containers"
    (dir_ / "registries.conf.d").mkdir(parents=True, exist_ok=True)
    for name in ("XDG_RUNTIME_DIR", "DOCKER_CONFIG", "CONTAINERS_REGISTRIES_CONF"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(home / "auth.json"))
    made = [home / "auth.json"]

    def write(text, name="registries.conf"):
        made.append(dir_ / name)
        made[-1].write_text(text)
        return made[-1]

    yield write
    for path in made:
        path.unlink(missing_ok=True)
    ids = atoll("images", "-aq", "--no-trunc").out.split()
    if ids:
        atoll("rmi", "-f", *sorted(set(ids)))


def test_mirrors(atoll, fakes, conf):
    """In their order, then the registry; the name is the one that was asked for."""
    one, two = fakes
    image = Image(LAYERS)
    two.add(image)
    conf(f"""
[[registry]]
prefix = "registry.test/team"
location = "{DEAD}/real"
[[registry.mirror]]
location = "{one.host}/m/one"
[[registry.mirror]]
location = "{two.host}/m/two"
""")
    r = atoll("pull", "registry.test/team/app:1")
    assert r.out.splitlines()[0] == f"Pulling registry.test/team/app:1 from {two.host}/m/two/app:1"
    assert one.paths("/manifests/") == ["/v2/m/one/app/manifests/1"]
    assert two.paths("/manifests/") == ["/v2/m/two/app/manifests/1"]
    assert two.paths("/blobs/") and not one.paths("/blobs/")
    assert atoll("image", "inspect", "registry.test/team/app:1").json[0]["Id"] == image.id
    told = atoll("pull", "--progress", "json", "registry.test/team/app:1").out.splitlines()
    assert json.loads(told[-1])["id"] == "registry.test/team/app:1"
    # Nobody has it: each place is named, with its reason.
    two.documents.clear()
    r = atoll.fails("pull", "registry.test/team/app:1", says="none of 3 places has it")
    for says in (f"{one.host}/m/one/app:1: ", f"{two.host}/m/two/app:1: ", f"{DEAD}/real/app:1: ",
                 "gone", "cannot be reached"):
        assert says in r.err, r.err
    # Other names are not touched by it.
    atoll.fails("pull", f"{DEAD}/team/app:1", says="cannot be reached")


def test_a_mirror_is_not_waited_for(atoll, fakes, conf):
    """One that is out of order is asked once; the last place as often as ever."""
    one, two = fakes
    two.add(Image(LAYERS))
    conf(f"""
[[registry]]
prefix = "registry.test"
location = "{two.host}"
[[registry.mirror]]
location = "{one.host}"
""")
    one.before = lambda q: q.answer(503, Retry_After="60") or True
    begun = time.monotonic()
    atoll("pull", "registry.test/a:1")
    assert time.monotonic() - begun < 20 and one.asked
    one.asked.clear()
    one.before = lambda q: "/manifests/" in q.path and (q.answer(503, Retry_After="60") or True)
    atoll("pull", "registry.test/a:1")
    assert time.monotonic() - begun < 40 and len(one.paths("/manifests/")) == 1
    # Once it is what is asked it is asked again.
    one.before, tries = lambda q: False, []
    one.add(Image(LAYERS))
    id_ = atoll("image", "inspect", "registry.test/a:1").json[0]["Id"]
    atoll("rmi", "-f", id_)

    def later(q):
        if "/blobs/" not in q.path or q.path in tries:
            return False
        tries.append(q.path)
        q.answer(503)
        return True

    one.before = later
    assert f"from {one.host}/a:1" in atoll("pull", "registry.test/a:1").out and len(tries) == 2


def test_mirrors_of_digests_and_of_tags(atoll, fakes, conf):
    one, two = fakes
    image = Image(LAYERS)
    one.add(image)
    two.add(image)
    conf(f"""
[[registry]]
location = "registry.test"
[[registry.mirror]]
location = "{one.host}"
pull-from-mirror = "digest-only"
[[registry.mirror]]
location = "{two.host}"
pull-from-mirror = "tag-only"
""")
    atoll("pull", "registry.test/a:1")
    assert two.paths("/manifests/1") and not one.asked
    two.asked.clear()
    by = f"registry.test/a@{digest(image.manifest)}"
    atoll("pull", by)
    assert one.paths("/manifests/sha256:") and not two.asked
    assert atoll("image", "inspect", by).json[0]["RepoDigests"] == [by]
    # What a mirror gives for a digest is that, or it is passed over.
    atoll("rmi", "-f", image.id)
    one.documents[digest(image.manifest)] = image.manifest + b" "
    conf(f"""
[[registry]]
location = "registry.test"
mirror-by-digest-only = true
[[registry.mirror]]
location = "{one.host}"
[[registry.mirror]]
location = "{two.host}"
""")
    one.asked.clear()
    r = atoll("pull", by)
    assert f"from {two.host}/a@" in r.out and one.paths("/manifests/sha256:")
    one.asked.clear()
    two.asked.clear()
    atoll.fails("pull", "registry.test/a:1", says="registry.test")
    assert not one.asked and not two.asked


def test_who_asks_a_mirror(atoll, fakes, conf, base):
    """A mirror hears of who the user is there, not of who he is elsewhere."""
    one, two = fakes
    two.add(Image(LAYERS))

    def basic(q):
        if "Authorization" in q.headers:
            return False
        q.answer(401, WWW_Authenticate='Basic realm="x"')
        return True

    one.before = two.before = basic
    (base / "home/auth.json").write_text(json.dumps({"auths": {
        two.host: {"auth": base64.b64encode(b"me:two").decode()},
        "registry.test": {"auth": base64.b64encode(b"me:real").decode()}}}))
    conf(f"""
[[registry]]
location = "registry.test"
[[registry.mirror]]
location = "{one.host}"
[[registry.mirror]]
location = "{two.host}"
""")
    atoll("pull", "registry.test/a:1")
    said = {h["Authorization"] for _, h in one.asked + two.asked if "Authorization" in h}
    assert said == {"Basic " + base64.b64encode(b"me:two").decode()}


def test_blocked(atoll, fakes, conf):
    one, _ = fakes
    name = one.add(Image(LAYERS))
    atoll("pull", name)
    path = conf(f'[[registry]]\nlocation = "{one.host}"\nblocked = true\n')
    one.asked.clear()
    says = f"{name.rsplit(':', 1)[0]} is blocked: registry '{one.host}' in {path}"
    atoll.fails("pull", name, says=says)
    atoll.fails("push", name, says=says)
    atoll.fails("run", "--rm", f"{one.host}/other", "true", rc=125, says="is blocked")
    atoll.fails("login", "-u", "a", "-p", "b", one.host, says="is blocked")
    assert one.asked == []
    # A part of its names only.
    conf(f'[[registry]]\nlocation = "{one.host}/a/c"\nblocked = true\n')
    atoll("pull", name)


def test_insecure(atoll, base, conf):
    """TLS that nobody vouches for, and none at all, where the file says so."""
    tls = registry.certificate(base / "tls")
    server = Registry(base / "registry", tls=tls)
    try:
        name = server.push("a/tls", "1", Image(LAYERS))
        atoll.fails("pull", name, says="cannot be verified")
        conf(f'[[registry]]\nlocation = "{server.host}"\ninsecure = true\n')
        atoll("pull", name)
        atoll("push", name)
        # Or its CA is known to the user alone.
        conf("")
        dir_ = base / "home/.config/containers/certs.d" / server.host
        dir_.mkdir(parents=True)
        atoll.fails("pull", name, says="cannot be verified")
        (dir_ / "some.crt").write_bytes((tls / "ca.crt").read_bytes())
        atoll("pull", name)
        (dir_ / "who.cert").write_bytes((tls / "server.crt").read_bytes())
        atoll.fails("pull", name, says="who.cert has no")
        (dir_ / "who.key").write_bytes((tls / "server.key").read_bytes())
        atoll("pull", name)
        (dir_ / "who.cert").unlink()
        atoll.fails("pull", name, says="who.key has no")
        (dir_ / "who.key").unlink()
        (dir_ / "some.crt").write_text("no PEM")
        atoll.fails("pull", name)
    finally:
        server.stop()


def test_short_names(atoll, fakes, conf, base):
    one, two = fakes
    image = Image([layer(busybox_entries())], Cmd=["sh"])
    two.add(image, "latest")
    where = f'unqualified-search-registries = ["{one.host}", "{two.host}"]\n'
    conf(where)
    # Without a terminal all of them, in their order.
    r = atoll("run", "--rm", "--network", "none", "team/tool", "echo", "well")
    assert r.out == "well\n" and "Unable to find image 'team/tool' locally" in r.err
    assert one.paths("/manifests/") == ["/v2/team/tool/manifests/latest"]
    assert atoll("image", "inspect", "team/tool").json[0]["RepoTags"] == [
        f"{two.host}/team/tool:latest"]
    # It is found by that name from now on, and pushed to where it is from.
    one.asked.clear()
    assert atoll("run", "--rm", "--network", "none", "team/tool", "echo", "well").err == ""
    assert atoll("push", "-q", "team/tool").out == f"{two.host}/team/tool:latest\n"
    assert not one.asked
    # What was given such a name here comes first.
    atoll("tag", "team/tool", "team/tool:mine")
    assert f"team/tool:mine" in atoll("image", "inspect", "team/tool:mine").json[0]["RepoTags"]
    atoll("rmi", "team/tool:mine", "team/tool")
    atoll.fails("run", "--rm", "--pull", "never", "team/tool", rc=125, says="no such image")
    r = atoll.fails("pull", "team/none:7", says="none of 2 places has it")
    assert f"{one.host}/team/none:7" in r.err and f"{two.host}/team/none:7" in r.err
    conf(where + 'short-name-mode = "enforcing"\n')
    atoll.fails("pull", "team/tool", says=f"it may be {one.host}/team/tool:latest, {two.host}/team"
                                          "/tool:latest: give the whole name")
    # With one there is nothing to ask.
    conf(f'unqualified-search-registries = ["{two.host}"]\nshort-name-mode = "enforcing"\n')
    atoll("pull", "team/tool")


def test_aliases(atoll, fakes, conf):
    """Of the file, of those beside it in their order; "" takes one away."""
    one, two = fakes
    image = Image(LAYERS)
    one.add(image), two.add(image)
    conf(f'[aliases]\n"tool" = "{one.host}/x/tool"\n')
    atoll("pull", "tool:1")
    assert one.paths("/manifests/") == ["/v2/x/tool/manifests/1"]
    conf(f'[aliases]\n"tool" = "{two.host}/y/tool"\n', "registries.conf.d/10-b.conf")
    conf("nonsense", "registries.conf.d/20-no")
    atoll("pull", f"tool@{digest(image.manifest)}")
    assert two.paths("/manifests/") == [f"/v2/y/tool/manifests/{digest(image.manifest)}"]
    conf(f'unqualified-search-registries = ["{two.host}"]\n[aliases]\n"tool" = ""\n',
         "registries.conf.d/11-c.conf")
    two.asked.clear()
    atoll("pull", "tool:1")
    assert two.paths("/manifests/") == ["/v2/tool/manifests/1"]


def test_a_terminal_is_asked(atoll, fakes, conf):
    one, two = fakes
    two.add(Image(LAYERS))
    conf(f'unqualified-search-registries = ["{one.host}", "{two.host}"]\n')

    def pull():
        # What is chosen is kept for all of the machine: the test's own has it here.
        script = 'mount -t tmpfs none /var/cache && "$@" && cat /var/cache/containers/*.conf && "$@"'
        return Terminal(["/usr/bin/unshare", "-m", "--propagation", "private", "/bin/sh", "-c",
                         script, "sh", *atoll.argv("pull", "tool:1")], atoll.environment())

    with pull() as t:
        t.expect(f"'tool:1' may be:\r\n1  {one.host}/tool:1\r\n2  {two.host}/tool:1\r\n")
        t.expect("Which one (1-2)? ")
        t.write("2\n")
        t.expect(f"{two.host}/tool:1\r\n")
        t.expect(f'[aliases]\r\n"tool" = "{two.host}/tool"\r\n')
        t.expect("up to date")  # the second time without a question
        assert t.wait() == 0
    assert not one.asked
    for answer in ("3\n", "\n", "x\n", "\x04"):
        with pull() as t:
            t.expect("(1-2)? ")
            t.write(answer)
            t.expect("none is chosen")
            assert t.wait() != 0


def test_files_that_are_wrong(atoll, fakes, conf, base, monkeypatch):
    one, _ = fakes
    name = one.add(Image(LAYERS))
    for text, says in (("[[registry]\n", "registries.conf: not valid TOML, line 1"),
                       ("[registries.search]\nregistries = ['x.y']\n", "version 1"),
                       ("[[registry]]\nlocation = 'http://x'\n", "no URL"),
                       ("short-name-mode = 'loud'\n", "enforcing, permissive or disabled")):
        conf(text)
        atoll.fails("pull", name, says=says)
    conf("")
    conf("x", "registries.conf.d/1.conf")
    atoll.fails("pull", name, says="registries.conf.d/1.conf: not valid TOML")
    conf("", "registries.conf.d/1.conf")
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(base / "nosuch"))
    atoll.fails("pull", name, says=f"read {base}/nosuch")
    (base / "other.conf").write_text(f'[[registry]]\nlocation = "{one.host}"\nblocked = true\n')
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(base / "other.conf"))
    atoll.fails("pull", name, says="other.conf")
    os.unlink(base / "other.conf")
    assert one.asked == []
