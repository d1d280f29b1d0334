# SPDX-License-Identifier: Apache-2.0
"""`image scan`: packages of images and workloads against data bases of advisories made here."""
import gzip
import io
import json
import os
import shutil
import tarfile
import zipfile
import zlib

import pytest

from lib.images import busybox_entries, docker_archive, entry, layer
from lib.rootless import UserAtoll
from lib.wait import until

DIR, SYM = tarfile.DIRTYPE, tarfile.SYMTYPE

BOOKWORM = b'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\nPRETTY_NAME="Debian 12"\n'
STATUS = b"""Package: libc6
Status: install ok installed
Source: glibc
Version: 2.36-9+deb12u3

Package: bash
Status: install ok installed
Source: bash (5.2.15-2)
Version: 5.2.15-2+b7

Package: gone
Status: deinstall ok config-files
Version: 1.0

Package: zlib1g
Status: install ok installed
Source: zlib
Version: 1:1.2.13.dfsg-1
"""
TRACKER = {
    "glibc": {"CVE-2024-0001": {"description": "A buffer overflow", "releases": {
        "bookworm": {"status": "resolved", "fixed_version": "2.36-9+deb12u4", "urgency": "high"},
        "sid": {"status": "resolved", "fixed_version": "2.38-1", "urgency": "high"}}},
              "CVE-2020-0002": {"releases": {
                  "bookworm": {"status": "resolved", "fixed_version": "2.30-1",
                               "urgency": "medium"}}}},
    "bash": {"CVE-2024-0003": {"description": "No fix", "releases": {
        "bookworm": {"status": "open", "urgency": "low"}}}},
    "zlib": {"CVE-2023-0004": {"releases": {
        "bookworm": {"status": "resolved", "fixed_version": "0", "urgency": "low"},
        "bullseye": {"status": "open", "urgency": "low"}}}},
    "gone": {"CVE-2024-0009": {"releases": {"bookworm": {"status": "open", "urgency": "high"}}}},
}
SITE = "usr/local/lib/python3.11/site-packages"


def osv(id, ecosystem, name, *events, **more):
    return {"id": id, "summary": f"{name} is broken", "affected": [{
        "package": {"ecosystem": ecosystem, "name": name},
        "ranges": [{"type": "SEMVER" if ecosystem == "npm" else "ECOSYSTEM",
                    "events": list(events)}]}], **more}


PYPI = osv("GHSA-1", "PyPI", "Jinja_2", {"introduced": "0"}, {"fixed": "3.1.3"},
           aliases=["CVE-2024-0005"], severity=[{
               "type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N"}])
NPM = osv("GHSA-2", "npm", "@scope/left", {"introduced": "1.0.0"}, {"last_affected": "1.4.0"},
          database_specific={"severity": "CRITICAL"})
ALPINE = osv("ALPINE-CVE-2024-0006", "Alpine:v3.18", "openssl", {"introduced": "0"},
             {"fixed": "3.1.4-r5"}, upstream=["CVE-2024-0006"])


def dirs(*paths):
    seen = set()
    for p in paths:
        parts = p.split("/")
        for i in range(1, len(parts) + 1):
            d = "/".join(parts[:i])
            if d not in seen:
                seen.add(d)
                yield entry(d, DIR, 0o755), None


def tree(files):
    """A layer of {path: bytes}."""
    parents = {os.path.dirname(p) for p in files if os.path.dirname(p)}
    return layer([*dirs(*sorted(parents)), *((entry(p), data) for p, data in files.items())])


DEBIAN = {"etc/os-release": BOOKWORM, "var/lib/dpkg/status": STATUS}
LANGUAGES = {
    f"{SITE}/jinja2-3.1.2.dist-info/METADATA": b"Name: Jinja-2\nVersion: 3.1.2\n\nVersion: 9\n",
    f"{SITE}/ok-1.0.egg-info/PKG-INFO": b"Name: ok\nVersion: 1.0\n",
    "srv/app/node_modules/@scope/left/package.json":
        b'{"name": "@scope/left", "version": "1.4.0"}',
    "srv/app/node_modules/x/node_modules/@scope/left/package.json":
        b'{"name": "@scope/left", "version": "1.4.1"}',
    "srv/app/package.json": b'{"name": "@scope/left", "version": "1.0.0"}',  # itself no dependency
}


@pytest.fixture(scope="module")
def make(atoll, base):
    """make("name", {path: bytes}, ...): an image of these layers, loaded."""
    def go(name, *layers):
        path = docker_archive(base / "image.tar", [l if isinstance(l, bytes) else tree(l)
                                                   for l in layers], [f"{name}:latest"], Cmd=["x"])
        atoll("load", "-i", path)
        path.unlink()
        return name
    return go


@pytest.fixture(scope="module")
def debian_image(make):
    return make("deb", DEBIAN)


@pytest.fixture(scope="module")
def tracker(base):
    p = base / "tracker.json"
    p.write_text(json.dumps(TRACKER))
    return p


@pytest.fixture
def bases(atoll):
    """What a test imports is gone after it."""
    yield
    for name in atoll("image", "scan-db", "ls", "-q").out.split():
        atoll("image", "scan-db", "rm", name)


def rows(r):
    return [tuple(l.split("|")) for l in r.out.splitlines()]


ROW = "{{.ID}}|{{.Package}}|{{.Version}}|{{.Fixed}}|{{.Severity}}"


def scan(atoll, image, *options, db):
    return rows(atoll("image", "scan", *(x for d in ([db] if not isinstance(db, list) else db)
                                         for x in ("--db", d)), "--format", ROW, *options, image))


LIBC = ("CVE-2024-0001", "libc6", "2.36-9+deb12u3", "2.36-9+deb12u4", "high")
BASH = ("CVE-2024-0003", "bash", "5.2.15-2+b7", "", "low")


def test_the_tracker_of_debian_fixable_first(atoll, debian_image, tracker):
    assert scan(atoll, debian_image, db=tracker) == [LIBC, BASH]


def test_what_is_imported_is_kept(atoll, debian_image, tracker, bases):
    r = atoll("image", "scan-db", "import", "debian", tracker)
    assert r.line == "debian: 6 advisories"
    listed = atoll("image", "scan-db", "ls", "--format", "json").json_lines
    assert [(d["Name"], d["Advisories"]) for d in listed] == [("debian", "6")]
    assert rows(atoll("image", "scan", "--format", ROW, debian_image)) == [LIBC, BASH]
    tracker_2 = tracker.with_name("second.json")
    tracker_2.write_text(json.dumps({"bash": TRACKER["bash"]}))
    atoll("image", "scan-db", "import", "debian", tracker_2)  # replaced
    assert rows(atoll("image", "scan", "--format", ROW, debian_image)) == [BASH]
    # What fails leaves the old one.
    tracker_2.write_text('{"bash": {"CVE-1": {')
    atoll.fails("image", "scan-db", "import", "debian", tracker_2, says="damaged")
    assert rows(atoll("image", "scan", "--format", ROW, debian_image)) == [BASH]
    assert not [n for n in os.listdir(atoll.root / "tmp") if n.startswith("image-")
                and "lock" not in n]
    assert atoll("image", "scan-db", "rm", "debian").line == "debian"
    atoll.fails("image", "scan-db", "rm", "debian", rc=1, says="no data base")
    atoll.fails("image", "scan", debian_image, rc=1, says="scan-db import")


@pytest.mark.parametrize("name", ["../x", ".x", "-x", "", "a/b", "x" * 65])
def test_names_of_data_bases(atoll, tracker, name):
    atoll.fails("image", "scan-db", "import", "--", name, tracker, says="no name")
    atoll.fails("image", "scan-db", "rm", "--", name, rc=1, says="no data base")


DEBSECAN = ("VERSION 1\nCVE-2024-0001,,overflow\nCVE-2024-0007,,of a binary\nCVE-2024-0008,,none\n\n"
            "glibc,0,SHRF,2.38-1,2.36-9+deb12u4 2.36-9+deb12u5\n"
            "bash,1,BM F,5.3-1,\nbash,2,SL  ,5.3-1,\n\nglibc,libc6 libc-bin\n")


@pytest.mark.parametrize("packed", [False, True])
def test_debsecan(atoll, base, debian_image, packed):
    p = base / "bookworm"  # as the feed is called
    p.write_bytes(zlib.compress(DEBSECAN.encode()) if packed else DEBSECAN.encode())
    found = [("CVE-2024-0001", "libc6", "2.36-9+deb12u3", "2.36-9+deb12u4", "high"),
             ("CVE-2024-0007", "bash", "5.2.15-2+b7", "5.3-1", "medium"),
             ("CVE-2024-0008", "bash", "5.2.15-2+b7", "", "low")]
    assert scan(atoll, debian_image, db=p) == found
    q = p.rename(base / "feed")
    atoll.fails("image", "scan", "--db", q, debian_image, rc=1, says="--release bookworm")
    assert scan(atoll, debian_image, "--release", "bookworm", db=q) == found


def pack(base, how, advisories):
    files = {f"{a['id']}.json": json.dumps(a).encode() for a in advisories}
    p = base / f"osv-{how}"
    if p.is_dir():
        shutil.rmtree(p)
    if how == "directory":
        p.mkdir()
        (p / "below").mkdir()
        for i, (name, data) in enumerate(files.items()):
            (p / ("below" if i else ".") / name).write_bytes(data)
        (p / "README").write_text("no feed")
        (p / "passwd.json").symlink_to("/etc/passwd")
        return p
    if how in ("zip", "stored"):
        with zipfile.ZipFile(p, "w", zipfile.ZIP_DEFLATED if how == "zip" else 0) as z:
            for name, data in files.items():
                z.writestr(name, data)
        return p
    if how == "array":
        p.write_text(json.dumps(advisories))
        return p
    tar = layer((entry(n), d) for n, d in files.items())
    p.write_bytes(gzip.compress(tar) if how == "tar.gz" else tar)
    return p


@pytest.mark.parametrize("how", ["directory", "zip", "stored", "tar", "tar.gz", "array"])
def test_osv_as_it_is_published(atoll, base, make, how):
    image = make("languages", DEBIAN, LANGUAGES)
    p = pack(base, how, [PYPI, NPM, ALPINE])
    r = atoll("image", "scan", "--db", p, "--format", ROW, image)
    assert rows(r) == [("CVE-2024-0005", "jinja-2", "3.1.2", "3.1.3", "medium"),
                       ("GHSA-2", "@scope/left", "1.4.0", "", "critical")]
    assert "its 3 deb packages were not checked" in r.err


def test_apk(atoll, base, make):
    image = make("alp", {"etc/os-release": b"ID=alpine\nVERSION_ID=3.18.4\n",
                         "lib/apk/db/installed": b"P:libssl3\nV:3.1.4-r1\no:openssl\n\n"
                                                 b"P:libcrypto3\nV:3.1.4-r5\no:openssl\n\n"})
    assert scan(atoll, image, db=pack(base, "one", [ALPINE])) == \
        [("CVE-2024-0006", "libssl3", "3.1.4-r1", "3.1.4-r5", "unknown")]
    assert "end of life since 2025-05-09" in \
        atoll("image", "scan", "--db", base / "osv-one", image).out


def test_images_without_dpkg(atoll, make, tracker):
    image = make("distroless", {"etc/os-release": BOOKWORM, "var/lib/dpkg/status.d/libc6":
                                b"Package: libc6\nSource: glibc\nVersion: 2.36-9+deb12u3\n"})
    assert scan(atoll, image, db=tracker) == [LIBC]


def test_layers_hide_what_is_below(atoll, make, tracker):
    newer = STATUS.replace(b"deb12u3", b"deb12u4")
    assert scan(atoll, make("newer", DEBIAN, {"var/lib/dpkg/status": newer}), db=tracker) == [BASH]
    image = make("removed", DEBIAN, tree({"var/lib/dpkg/.wh.status": b""}))
    assert scan(atoll, image, db=tracker) == []


def test_severity_unfixed_and_the_exit_status(atoll, debian_image, tracker):
    def rc(*options):
        return atoll.try_("image", "scan", "--db", tracker, *options, debian_image).rc

    assert scan(atoll, debian_image, "--severity", "low,critical", db=tracker) == [BASH]
    assert scan(atoll, debian_image, "--ignore-unfixed", db=tracker) == [LIBC]
    assert rc() == 0
    assert rc("--exit-code", "7") == 7
    assert rc("--exit-code", "7", "--severity", "critical") == 0
    assert rc("--exit-code", "7", "--severity", "low", "--ignore-unfixed") == 0
    atoll.fails("image", "scan", "--db", tracker, "--severity", "worse", debian_image, rc=125,
                says="negligible")
    atoll.fails("image", "scan", "--db", tracker, "--exit-code", "256", debian_image, rc=125)


def test_the_table(atoll, debian_image, tracker):
    out = atoll("image", "scan", "--db", tracker, debian_image).out.splitlines()
    assert out[0].startswith("deb: Debian 12, supported until 2028-06-30, made ")
    assert out[1] == "3 packages, 2 findings: 1 high, 1 low; 1 fixed in a newer version"
    assert out[3].split() == ["PACKAGE", "VERSION", "FIXED", "IN", "SEVERITY", "ID", "SUMMARY"]
    assert out[4].split() == ["libc6", "2.36-9+deb12u3", "2.36-9+deb12u4", "high", "CVE-2024-0001",
                              "A", "buffer", "overflow"]
    clean = atoll("image", "scan", "--db", tracker, "-s", "critical", debian_image).out
    assert clean.splitlines()[1:] == ["3 packages, 0 findings"]


def test_json(atoll, debian_image, tracker):
    doc = atoll("image", "scan", "--db", tracker, "--format", "json", debian_image).json
    t, = doc["Targets"]
    assert (t["Target"], t["Type"], t["Unchecked"], t["Unread"]) == ("deb", "image", [], 0)
    assert t["Packages"] == {"deb": 3, "apk": 0, "pypi": 0, "npm": 0}
    assert t["OS"] == {"ID": "debian", "Version": "12", "Codename": "bookworm", "Name": "Debian 12",
                       "EndOfSupport": "2028-06-30", "EndOfLife": False}
    assert t["Findings"][0] == {
        "ID": "CVE-2024-0001", "Severity": "high", "Package": "libc6", "Version": "2.36-9+deb12u3",
        "Fixed": "2.36-9+deb12u4", "Type": "deb", "Path": "var/lib/dpkg/status",
        "Summary": "A buffer overflow"}
    assert t["Findings"][1]["Fixed"] is None


def test_sarif(atoll, make, tracker):
    make("deb2", DEBIAN, {"x": b""})
    doc = atoll("image", "scan", "--db", tracker, "-f", "sarif", "deb", "deb2").json
    assert doc["version"] == "2.1.0"
    run, = doc["runs"]
    assert [r["id"] for r in run["tool"]["driver"]["rules"]] == ["CVE-2024-0001", "CVE-2024-0003"]
    assert [(r["ruleId"], r["level"]) for r in run["results"]] == \
        [("CVE-2024-0001", "error"), ("CVE-2024-0003", "note")] * 2
    where = run["results"][2]["locations"][0]
    assert where["physicalLocation"]["artifactLocation"]["uri"] == "var/lib/dpkg/status"
    assert where["logicalLocations"][0]["fullyQualifiedName"] == "deb2"


def test_all_and_wrong_command_lines(atoll, debian_image, make, tracker):
    names = set(atoll("images", "--format", "{{.Repository}}:{{.Tag}}").out.split())
    doc = atoll("image", "scan", "--all", "--db", tracker, "--format", "json").json
    assert {t["Target"] for t in doc["Targets"]} == names
    atoll.fails("image", "scan", "--all", "--db", tracker, debian_image, rc=125, says="--all")
    atoll.fails("image", "scan", "--db", tracker, rc=125, says="--all")
    atoll.fails("image", "scan", "--db", tracker, "nosuch", rc=1, says="nosuch")
    atoll.fails("image", "scan", "--db", "/nonexistent", debian_image, rc=1, says="/nonexistent")
    atoll.fails("image", "scan", "--db", "/etc/passwd", debian_image, rc=1, says="no feed")


@pytest.mark.parametrize("running", [True, False])
def test_workloads_have_what_they_installed(atoll, make, tracker, running):
    image = make("box", layer(busybox_entries()), DEBIAN)
    newer = STATUS.decode().replace("deb12u3", "deb12u4")
    atoll("run", "-d", "--name", "w", image, "sh", "-c",
          "cat >/var/lib/dpkg/status <<'X'\n" + newer + "X\ntouch /done; exec sleep 1000")
    try:
        if running:
            atoll("exec", "w", "sh", "-c", "until [ -e /done ]; do :; done")
        else:
            atoll("exec", "w", "sh", "-c", "until [ -e /done ]; do :; done")
            atoll("stop", "-t", "0", "w")
        doc = atoll("image", "scan", "--db", tracker, "--format", "json", "w").json
        t, = doc["Targets"]
        assert t["Type"] == "workload" and t["Created"]
        assert [f["ID"] for f in t["Findings"]] == ["CVE-2024-0003"]
        assert [f["ID"] for f in atoll("image", "scan", "--db", tracker, "--format", "json",
                                       image).json["Targets"][0]["Findings"]] == \
            ["CVE-2024-0001", "CVE-2024-0003"]
    finally:
        atoll("rm", "-f", "w")


def test_several_data_bases_tell_of_one_thing(atoll, base, debian_image, tracker):
    other = base / "bookworm"
    other.write_text("VERSION 1\nCVE-2024-0003,,again\n\nbash,0,SH F,5.3-1,\n\n")
    assert scan(atoll, debian_image, db=[tracker, other]) == \
        [("CVE-2024-0003", "bash", "5.2.15-2+b7", "5.3-1", "high"), LIBC]


def test_hostile_files(atoll, make, tracker):
    """Links out of the image, devices and nonsense in the place of lists: nothing is followed."""
    bad = layer([
        *dirs("etc", "var/lib/dpkg/status.d", "lib/apk/db", SITE, f"{SITE}/pipe-1.dist-info",
              f"{SITE}/bad-1.dist-info", f"{SITE}/link-1.dist-info", "a/node_modules/b",
              "a/node_modules/c", "a/node_modules/d"),
        (entry("etc/os-release", SYM, link="../../../../../etc/os-release"), None),
        (entry("var/lib/dpkg/status", SYM, link="/proc/self/environ"), None),
        (entry("lib/apk/db/installed", tarfile.FIFOTYPE), None),
        (entry(f"{SITE}/pipe-1.dist-info/METADATA", tarfile.FIFOTYPE), None),
        (entry(f"{SITE}/bad-1.dist-info/METADATA"), b"Name: a b\nVersion: \x1b[31m\n\0"),
        (entry(f"{SITE}/link-1.dist-info/METADATA", SYM, link="/etc/passwd"), None),
        (entry("a/node_modules/b/package.json"), b'{"name":"\xff","version":'),
        (entry("a/node_modules/c/package.json"), b"[" * 100000),
        (entry("a/node_modules/d/package.json"), b'{"name":"d","version":"1","name":"e"}'),
        (entry("a/node_modules/loop", SYM, link="."), None),
    ])
    r = atoll("image", "scan", "--db", tracker, "--format", "json", make("bad", bad))
    t, = r.json["Targets"]
    assert t["Findings"] == [] and t["OS"]["ID"] == "" and sum(t["Packages"].values()) == 0
    assert t["Unread"] >= 6 and "could not be read" in r.err
    r = atoll("image", "scan", "--db", tracker, make("escape", {
        "etc/os-release": b'ID=debian\nVERSION_ID=12\nPRETTY_NAME="\x1b[2J"\n'}))
    assert "\x1b" not in r.out


def test_deep_trees_end(atoll, make, tracker):
    deep = "/".join(["node_modules/d"] * 100)
    image = make("deep", {f"{deep}/package.json": b'{"name":"d","version":"1"}'})
    t, = atoll("image", "scan", "--db", tracker, "--format", "json", image).json["Targets"]
    assert t["Unread"] == 1


def test_rpm_is_named(atoll, make, tracker):
    image = make("rpm", {"var/lib/rpm/rpmdb.sqlite": b"SQLite", "etc/os-release": b"ID=fedora\n"})
    r = atoll("image", "scan", "--db", tracker, image)
    assert "rpm data base found: unsupported" in r.err


def test_debians_own_python_is_debians(atoll, base, make):
    p = pack(base, "own", [PYPI])
    own = {"usr/lib/python3/dist-packages/jinja2-3.1.2.dist-info/METADATA":
           b"Name: jinja-2\nVersion: 3.1.2\n"}
    assert scan(atoll, make("own", DEBIAN, own), db=p) == []
    assert len(scan(atoll, make("notown", own), db=p)) == 1


def test_a_wrong_checksum(atoll, base, debian_image):
    data = bytearray(pack(base, "stored", [PYPI]).read_bytes())
    p = base / "wrong.zip"
    at = data.index(b"is broken")
    data[at:at + 2] = b"IS"
    p.write_bytes(data)
    atoll.fails("image", "scan", "--db", p, debian_image, rc=1, says="checksum")


@pytest.mark.parametrize("cut", [1, 30, 200, -1, -30])
def test_damaged_archives(atoll, base, debian_image, cut):
    data = json.dumps([PYPI, NPM]).encode()
    z = io.BytesIO()
    with zipfile.ZipFile(z, "w", zipfile.ZIP_DEFLATED) as f:
        f.writestr("a.json", data[:1000])
    p = base / "damaged"
    for whole in (z.getvalue(), gzip.compress(data), zlib.compress(data), data):
        p.write_bytes(whole[:cut])
        atoll.fails("image", "scan", "--db", p, debian_image, rc=1)


def test_a_base_that_was_written_over_is_refused(atoll, debian_image, tracker, bases):
    atoll("image", "scan-db", "import", "debian", tracker)
    path = atoll.root / "advisories/debian"
    good = path.read_bytes()
    for bad in (b"", good[:-1], b"nonsense\n"):
        path.write_bytes(bad)
        atoll.fails("image", "scan", debian_image, rc=1, says="data base")
        atoll("image", "scan-db", "ls")
    path.write_bytes(good.replace(b"\tI0", b"\tQQ"))  # lines that mean nothing are passed over
    assert rows(atoll("image", "scan", "--format", ROW, debian_image)) == []


def test_old_data_bases_are_told(atoll, debian_image, tracker, bases):
    atoll("image", "scan-db", "import", "debian", tracker)
    os.utime(atoll.root / "advisories/debian", (1_700_000_000, 1_700_000_000))
    assert "import a newer one" in atoll("image", "scan", debian_image).err


def test_paths_in_sarif_are_uris(atoll, base, make):
    p = pack(base, "uri", [PYPI])
    image = make("uri", {"a b%/\xe9/j-3.dist-info/METADATA": b"Name: jinja-2\nVersion: 3\n"})
    run, = atoll("image", "scan", "--db", p, "--format", "sarif", image).json["runs"]
    assert run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == \
        "a%20b%25/%C3%A9/j-3.dist-info"


@pytest.fixture
def mine(build, user):
    a = UserAtoll(build, user)
    yield a
    a.clean()
    until(lambda: not a.keepers(), "the namespaces end with the last command")


def test_an_ordinary_user(mine, user, tracker):
    own = user.base / "feeds"
    own.mkdir()
    (own / "tracker.json").write_bytes(tracker.read_bytes())
    docker_archive(user.base / "image.tar", [tree(DEBIAN), tree({"x": b""})], ["deb:latest"])
    mine("load", "-i", user.base / "image.tar")
    mine("image", "scan-db", "import", "debian", own)  # a directory
    assert rows(mine("image", "scan", "--format", ROW, "deb")) == [LIBC, BASH]
    assert rows(mine("image", "scan", "--db", own / "tracker.json", "--format", ROW, "deb")) == \
        [LIBC, BASH]


# ---- run --require ----

BUSYBOX = layer(busybox_entries())


def runs(atoll, image, require):
    return atoll.try_("run", "--rm", "--require", require, image, "true")


def refused(atoll, image, require, says):
    for verb in ("run", "create"):
        atoll.fails(verb, "--require", require, image, "true", rc=125, says=says)
    assert atoll("ps", "-aq").out == ""


@pytest.fixture(scope="module")
def runnable(make):
    return make("runnable", BUSYBOX, DEBIAN)


def test_required_findings(atoll, runnable, tracker, bases):
    refused(atoll, runnable, "scanned", "scan-db import")
    atoll("image", "scan-db", "import", "debian", tracker)
    for ok in ("scanned", "below=critical", "patched=critical", "supported, scanned"):
        assert runs(atoll, runnable, ok).rc == 0, ok
    refused(atoll, runnable, "below=high", "CVE-2024-0001 (high) in libc6 2.36-9+deb12u3, fixed in "
            "2.36-9+deb12u4")
    refused(atoll, runnable, "supported,below=low", "has 2 known faults")
    refused(atoll, runnable, "patched", "has 1 known fault ")
    patched = {"var/lib/dpkg/status": STATUS.replace(b"deb12u3", b"deb12u4")}
    assert runs(atoll, name := "patched", "patched").rc == 125  # no such image
    from_newer = docker_archive(tracker.with_name("p.tar"), [BUSYBOX, tree(DEBIAN), tree(patched)],
                                [f"{name}:latest"])
    atoll("load", "-i", from_newer)
    assert runs(atoll, name, "patched,below=medium").rc == 0
    refused(atoll, name, "below=low", "CVE-2024-0003 (low) in bash")
    os.utime(atoll.root / "advisories/debian", (1_700_000_000, 1_700_000_000))
    refused(atoll, runnable, "scanned", "older than a week")


def test_required_packages_that_were_not_checked(atoll, make, tracker, bases):
    atoll("image", "scan-db", "import", "debian", tracker)
    refused(atoll, make("lang", BUSYBOX, DEBIAN, LANGUAGES), "scanned", "pypi packages")
    refused(atoll, make("unread", BUSYBOX, {"a/node_modules/b/package.json": b"{"}), "scanned",
            "cannot be read")
    refused(atoll, make("rpms", BUSYBOX, {"var/lib/rpm/rpmdb.sqlite": b"x"}), "scanned", "rpm")


def test_required_age_and_support(atoll, base, runnable, make):
    assert runs(atoll, runnable, "max-age=36000d").rc == 0
    assert runs(atoll, runnable, "supported,max-age=876000h").rc == 0
    refused(atoll, runnable, "max-age=1h", "days old: pull or build a newer one")
    old = make("old", BUSYBOX, {"etc/os-release": b"ID=debian\nVERSION_ID=9\nPRETTY_NAME=Old\n"})
    refused(atoll, old, "supported", "without support since 2022-06-30")
    refused(atoll, make("plain", BUSYBOX), "supported", "not known")


@pytest.mark.parametrize("words", ["", "nonsense", "max-age", "max-age=", "max-age=-1h", "max-age=0d",
                                   "below", "below=worse", "patched=", "scanned,", "scanned=1"])
def test_wrong_words_of_require(atoll, runnable, words):
    refused(atoll, runnable, words, "--require")
