# SPDX-License-Identifier: Apache-2.0
"""search: by a registry's own search, by the list of its repositories, by several registries."""
import base64
import json
from urllib.parse import parse_qs, urlsplit

import pytest

from lib.images import entry, layer
from lib.registry import Fake, Image, Registry


def hit(name, stars=0, official=False, description="", **more):
    return {"name": name, "star_count": stars, "is_official": official, "is_automated": False,
            "description": description, **more}


HITS = [hit("tool", 12000, True, "The tool of all. " * 5), hit("some/tool", 7, description="Mine"),
        hit("other/tools", 0, description=None)]


@pytest.fixture
def conf(base, monkeypatch):
    """Writes registries.conf; nobody is known."""
    home = base / "home"
    home.mkdir(exist_ok=True)
    for name in ("XDG_RUNTIME_DIR", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(home / "auth.json"))
    path = home / "registries.conf"
    path.write_text("")
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(path))
    yield path.write_text
    (home / "auth.json").unlink(missing_ok=True)


def searches(fake, hits):
    def before(q):
        if not q.path.startswith("/v1/search?"):
            return False
        q.answer(200, json.dumps({"num_results": len(hits), "results": hits}).encode())
        return True
    fake.before = before


@pytest.fixture
def fake(conf):
    f = Fake()
    searches(f, HITS)
    yield f
    f.stop()


def names(atoll, *args):
    return atoll("search", "--format", "{{.Name}}", *args).out.splitlines()


def test_search(atoll, fake):
    r = atoll("search", f"{fake.host}/tool")
    lines = r.out.splitlines()
    assert lines[0].split() == ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"]
    assert lines[1].split()[0] == f"{fake.host}/tool" and lines[1].endswith("[OK]")
    assert "…" in lines[1] and "12000" in lines[1]
    assert parse_qs(urlsplit(fake.paths("/v1/search")[0]).query) == {"q": ["tool"], "n": ["25"]}
    row = atoll("search", "--format", "json", f"{fake.host}/tool").json_lines[1]
    assert row == {"Name": f"{fake.host}/some/tool", "Description": "Mine", "StarCount": "7",
                   "IsOfficial": "", "IsAutomated": "", "Index": fake.host}
    full = atoll("search", "--no-trunc", f"{fake.host}/tool").out
    assert ("The tool of all. " * 5).strip() in full
    # What is asked for is one value, whatever is in it.
    atoll("search", f"{fake.host}/a b&n=7/ü")
    assert parse_qs(urlsplit(fake.paths("/v1/search")[-1]).query) == {"q": ["a b&n=7/ü"],
                                                                      "n": ["25"]}


def test_limit_and_filters(atoll, fake):
    where = f"{fake.host}/tool"
    all_ = [f"{fake.host}/{n}" for n in ("tool", "some/tool", "other/tools")]
    assert names(atoll, "--limit", "2", where) == all_[:2]  # though more are given
    assert "n=2" in fake.paths("/v1/search")[-1]
    assert names(atoll, "--filter", "is-official=true", where) == all_[:1]
    assert names(atoll, "-f", "is-official=false", "-f", "stars=1", where) == all_[1:2]
    assert names(atoll, "--filter", "is-automated=true", where) == []
    for limit in ("0", "101", "x"):
        atoll.fails("search", "--limit", limit, where, says="--limit")
    for filter_ in ("stars", "stars=x", "is-official=maybe", "name=x"):
        atoll.fails("search", "--filter", filter_, where, says="filter")
    atoll.fails("search", "", says="1 to 100 characters")
    atoll.fails("search", "x" * 101, says="1 to 100 characters")


def test_what_a_registry_says_is_not_obeyed(atoll, fake):
    searches(fake, [hit("good", description="a\x1b[2J\nb\u009bc\x01d\tE"), hit("../evil"), hit("A"),
                    hit("x\x1b[2J"), hit("a:b"), hit(5), "text", {}, hit("bad", stars=-1),
                    hit("bad2", stars="many")])
    r = atoll("search", f"{fake.host}/x")
    assert "a [2J b c d E" in r.out and "\x1b" not in r.out and "\u009b" not in r.out
    assert names(atoll, f"{fake.host}/x") == [f"{fake.host}/{n}" for n in ("good", "bad", "bad2")]
    for body, says in ((b"<html>", "not valid JSON"), (b"[]", "with nonsense"),
                       (b'{"results": 5}', "with nonsense"), (b'{"results": ["\\u0000"]}', "NUL")):
        fake.before = lambda q: q.path.startswith("/v1/") and (q.answer(200, body) or True)
        atoll.fails("search", f"{fake.host}/x", says=says)
    fake.before = lambda q: False
    atoll.fails("search", f"{fake.host}/x", says="has no search")
    fake.before = lambda q: q.path.startswith("/v") and len(q.path) > 4 and (
        q.answer(200, b'{"repositories": 5}') or True)
    atoll.fails("search", f"{fake.host}/x", says="lists nonsense")
    atoll.fails("search", "127.0.0.1:1/x", says="cannot be reached")


def test_a_registry_without_a_search(atoll, base, conf):
    """Debian's: of its repositories those that have the term in their names."""
    server = Registry(base / "registry")
    try:
        image = Image([layer([(entry("a"), b"a")])])
        for name in ("team/tool", "team/other", "tools", "z/tool"):
            server.push(name, "1", image)
        assert names(atoll, f"{server.host}/tool") == [
            f"{server.host}/{n}" for n in ("team/tool", "tools", "z/tool")]
        assert len(names(atoll, f"{server.host}/")) == 4
        assert names(atoll, "--limit", "1", f"{server.host}/tool") == [f"{server.host}/team/tool"]
        assert names(atoll, f"{server.host}/team/t") == [f"{server.host}/team/tool"]
        assert names(atoll, f"{server.host}/none") == []
        atoll("pull", "-q", f"{names(atoll, f'{server.host}/z/')[0]}:1")
        atoll("rmi", f"{server.host}/z/tool:1")
    finally:
        server.stop()


def test_pages(atoll, fake):
    every = [f"r/n{i:04}" for i in range(2500)]

    def before(q):
        if not q.path.startswith("/v2/_catalog"):
            return False
        asked = parse_qs(urlsplit(q.path).query)
        rest = [n for n in every if n > asked.get("last", [""])[0]]
        q.answer(200, json.dumps({"repositories": rest[:700]}).encode())  # fewer than asked for
        return True

    fake.before = before
    assert names(atoll, f"{fake.host}/n2499") == [f"{fake.host}/r/n2499"]
    assert len(fake.paths("_catalog")) == 5
    assert len(names(atoll, "--limit", "100", f"{fake.host}/n")) == 100
    # One without pages gives all of it each time.
    fake.asked.clear()
    fake.before = lambda q: "_catalog" in q.path and (
        q.answer(200, b'{"repositories":["only/one"]}') or True)
    assert names(atoll, f"{fake.host}/one") == [f"{fake.host}/only/one"]
    assert len(fake.paths("_catalog")) == 2


def test_who_asks(atoll, base, fake):
    """A list that is not for all: with a token for it."""
    tokens = []

    def before(q):
        if q.path.startswith("/token?"):
            tokens.append((parse_qs(urlsplit(q.path).query), q.headers.get("Authorization")))
            q.answer(*((200, b'{"token":"t"}') if tokens[-1][1] else (401, b"")))
        elif q.headers.get("Authorization") != "Bearer t":
            q.answer(401, WWW_Authenticate=f'Bearer realm="http://{fake.host}/token",service="s"')
        elif "_catalog" in q.path:
            q.answer(200, b'{"repositories":["a/tool"]}')
        else:
            return False
        return True

    fake.before = before
    atoll.fails("search", f"{fake.host}/tool", says=f"it may want 'atoll login {fake.host}'")
    (base / "home/auth.json").write_text(json.dumps(
        {"auths": {fake.host: {"auth": base64.b64encode(b"me:pw").decode()}}}))
    tokens.clear()
    assert names(atoll, f"{fake.host}/tool") == [f"{fake.host}/a/tool"]
    assert tokens[0] == ({"service": ["s"], "scope": ["registry:catalog:*"], "account": ["me"]},
                         "Basic " + base64.b64encode(b"me:pw").decode())


def test_several_registries(atoll, fake, conf):
    other = Fake()
    try:
        searches(other, [hit("more/tool")])
        conf(f'unqualified-search-registries = ["{fake.host}", "127.0.0.1:1", "{other.host}"]\n')
        r = atoll("search", "--format", "{{.Index}} {{.Name}}", "--limit", "1", "tool")
        assert r.out.splitlines() == [f"{fake.host} {fake.host}/tool",
                                      f"{other.host} {other.host}/more/tool"]
        assert "search 127.0.0.1:1: 127.0.0.1:1 cannot be reached" in r.err
        conf('unqualified-search-registries = ["127.0.0.1:1", "127.0.0.1:2"]\n')
        atoll.fails("search", "tool", says="none of 2 registries answers")
        conf(f'[[registry]]\nlocation = "{fake.host}"\nblocked = true\n')
        fake.asked.clear()
        atoll.fails("search", f"{fake.host}/tool", says="is blocked")
        assert fake.asked == []
    finally:
        other.stop()
