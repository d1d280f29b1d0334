# SPDX-License-Identifier: Apache-2.0
"""Images from Containerfiles: every instruction, what is kept for later builds, what is refused."""
import gzip
import io
import json
import os
import signal
import stat
import tarfile
import time
from pathlib import Path

import pytest

from lib import wait
from lib.images import entry, layer
from lib.registry import Image, Registry

BASE = "FROM busybox:latest\n"


@pytest.fixture(autouse=True)
def only_busybox(atoll, busybox):
    """Each test begins and ends with the base image alone, and no remembered step."""
    yield
    lines = atoll("images", "--no-trunc", "--format", "{{.ID}} {{.Repository}}").out.splitlines()
    ids = {line.split()[0] for line in lines if not line.endswith(" busybox")}
    if ids:
        atoll("rmi", "-f", *ids)
    atoll("builder", "prune", "-f")
    assert len(atoll("images", "-aq").out.split()) == 1
    assert not [p for p in (atoll.root / "tmp").iterdir() if "-lock-" not in p.name]


@pytest.fixture
def context(base, tmp_path):
    return tmp_path


def write(context, files):
    for name, text in files.items():
        p = context / name
        p.parent.mkdir(parents=True, exist_ok=True)
        p.write_bytes(text if isinstance(text, bytes) else text.encode())


def build(atoll, context, text, *options, **kw):
    """The image's id; its output in .out"""
    (context / "Containerfile").write_text(text)
    return atoll("build", "-t", "app", *options, context, **kw)


def refused(atoll, context, text, says, *options, **kw):
    (context / "Containerfile").write_text(text)
    return atoll.fails("build", "-t", "app", *options, context, rc=1, says=says, **kw)


def sh(atoll, script, image="app"):
    return atoll("run", "--rm", "--entrypoint", "", image, "sh", "-c", script).out


def config(atoll, image="app"):
    return atoll("image", "inspect", image).json[0]["Config"]


def cached(r):
    return r.out.count("Using cache")


def files_of(atoll, image="app"):
    """The names in the image's own layers, topmost last, as sets."""
    data = atoll("save", image).raw
    with tarfile.open(fileobj=io.BytesIO(data)) as t:
        manifest = json.load(t.extractfile("manifest.json"))[0]
        return [set(tarfile.open(fileobj=t.extractfile(name)).getnames())
                for name in manifest["Layers"]]


# ---- instructions ----

def test_configuration(atoll, context):
    build(atoll, context, BASE + r'''
ENV A=1 B="two words" C=it\'s
ENV A=2 D=$HOME${A}
ENV A=1
ENV OLD  the rest "quoted" $A
LABEL a="x y" "b"='$A' c=${A:-no}
EXPOSE 80 $A/udp 9000-9002
VOLUME /data ["x"]
USER nobody:nogroup
STOPSIGNAL SIGUSR1
SHELL ["/bin/sh", "-ec"]
CMD echo "$A"
HEALTHCHECK --interval=5s --retries=2 CMD test -e /x
ONBUILD RUN echo later
MAINTAINER somebody
'''.replace('VOLUME /data ["x"]', 'VOLUME /data /more\nVOLUME ["/with blank"]'))
    c = config(atoll)
    env = dict(e.split("=", 1) for e in c["Env"])
    assert env["A"] == "1" and env["B"] == "two words" and env["C"] == "it's" and env["D"] == "1"
    assert env["OLD"] == "the rest quoted 1"
    assert c["Labels"] == {"a": "x y", "b": "$A", "c": "1"}
    assert set(c["ExposedPorts"]) == {"80/tcp", "1/udp", "9000/tcp", "9001/tcp", "9002/tcp"}
    assert set(c["Volumes"]) == {"/data", "/more", "/with blank"}
    assert c["User"] == "nobody:nogroup" and c["StopSignal"] == "SIGUSR1"
    assert c["Cmd"] == ["/bin/sh", "-ec", 'echo "$A"']
    assert c["Healthcheck"]["Test"] == ["CMD-SHELL", "test -e /x"]
    assert c["OnBuild"] == ["RUN echo later"]
    assert atoll("image", "inspect", "app").json[0]["Author"] == "somebody"


def test_entrypoint_takes_the_bases_command_away(atoll, context):
    build(atoll, context, BASE + 'CMD ["a"]\nENTRYPOINT ["e"]\n')
    assert config(atoll)["Cmd"] == ["a"]
    atoll("tag", "app", "older")
    build(atoll, context, 'FROM older\nENTRYPOINT ["f"]\n')
    assert config(atoll)["Entrypoint"] == ["f"] and not config(atoll)["Cmd"]


def test_run(atoll, context):
    r = build(atoll, context, BASE + '''
ARG V=7 W
ENV V=env X=1
ARG Y
WORKDIR /a/b
WORKDIR ../c
RUN echo "$V $X $Y $W." > out; pwd >> out; id -u >> out; echo said; echo wrong >&2
USER tester
RUN ["/bin/sh", "-c", "id -un > /tmp/who"]
''', "--build-arg", "Y=given", "--build-arg", "W", env={"W": "inherited"})
    assert "said" in r.out and "wrong" in r.err
    assert sh(atoll, "cat /a/c/out /tmp/who; ls /a") == \
        "env 1 given inherited.\n/a/c\n0\ntester\nb\nc\n"
    assert r.line.splitlines()[-1] == atoll("image", "inspect", "app").json[0]["Id"]
    assert not atoll("ps", "-aq").out


def test_layers_hold_what_was_changed_alone(atoll, context, base):
    """Files that were there while RUN ran for it alone are not in it."""
    (context / "secret").write_text("s3cret")
    build(atoll, context, BASE + '''
RUN --mount=type=tmpfs,target=/not/there --mount=type=bind,target=/ctx,source=. \
    --mount=type=secret,id=s cat /run/secrets/s /ctx/Containerfile > /dev/null && touch /x
RUN rm /etc/group
''', "--secret", f"id=s,src={context}/secret")
    layers = files_of(atoll)[1:]
    assert layers[0] == {"x"} and layers[1] == {"etc", "etc/.wh.group"}
    assert b"s3cret" not in atoll("save", "app").raw


def test_heredocs(atoll, context):
    build(atoll, context, BASE + r'''
ENV A=value
RUN <<EOF
set -e
echo one > /one
	echo "$A" >> /one
EOF
RUN cat <<-X > /two; cat <<'Y' >> /two
	from $A
	X
not $A
Y
COPY --chown=1000 --chmod=640 <<EOF /three
$A and \$A
EOF
COPY <<four <<"five" /dir/
4
four
$A
five
''')
    assert sh(atoll, "cat /one /two /three /dir/four /dir/five; stat -c '%u %g %a' /three") == \
        "one\nvalue\nfrom value\nnot $A\nvalue and $A\n4\n$A\n1000 1000 640\n"


def test_mounts_of_run(atoll, context):
    write(context, {"src/a": "from context", "token": "s3cret"})
    text = BASE + '''
RUN --mount=type=cache,target=/c,sharing=locked echo $(($(cat /c/n 2>/dev/null || echo 0) + 1)) > /c/n; cp /c/n /n
RUN --mount=type=bind,source=src,target=/s,ro cp /s/a /a; ! touch /s/b
RUN --mount=type=secret,id=t,env=TOKEN --mount=type=secret,id=none echo $TOKEN | sha256sum > /sum
'''
    secret = ["--secret", f"id=t,src={context}/token"]
    build(atoll, context, text, *secret)
    assert sh(atoll, "cat /n /a") == "1\nfrom context"
    build(atoll, context, text, *secret, "--no-cache")
    assert sh(atoll, "cat /n") == "2\n"
    assert cached(build(atoll, context, text, *secret)) == 3
    write(context, {"src/a": "changed"})
    assert cached(build(atoll, context, text, *secret)) == 1
    drop_caches(atoll)


@pytest.mark.parametrize("isolation", ["sandbox", "microvm"])
def test_behind_walls(atoll, context, isolation):
    text = BASE + "COPY Containerfile /f\nRUN --network=none uname -a > /u; rm /etc/group; ln -s f /l\n"
    build(atoll, context, text, "--isolation", isolation, timeout=300)
    assert sh(atoll, "cat /u; cat /l; test -e /etc/group || echo gone").endswith("gone\n")
    assert (sh(atoll, "cat /u") == sh(atoll, "uname -a")) is False


def test_user_and_network(atoll, context):
    build(atoll, context, BASE + "RUN --network=none ls /sys/class/net > /none\n"
          "RUN ls /sys/class/net > /host; cat /etc/hosts > /h\n", "--add-host", "there:10.1.2.3")
    assert sh(atoll, "cat /none") == "lo\n"
    assert "10.1.2.3" in sh(atoll, "cat /h")
    refused(atoll, context, BASE + "RUN --network=bridge true\n", "default, none or host")


# ---- COPY and ADD ----

def test_copy(atoll, context):
    write(context, {"a": "1", "b": "2", "d/x": "3", "d/sub/y": "4", "d/sub/deep/z": "5"})
    (context / "link").symlink_to("a")
    (context / "d/rel").symlink_to("sub/y")
    (context / "d/x").chmod(0o754)
    os.utime(context / "d/x", (1000000000, 1000000000))
    os.utime(context / "d/sub", (1000000001, 1000000001))
    build(atoll, context, BASE + '''
WORKDIR /w
COPY a .
COPY a renamed
COPY a b /new/dir/
COPY d /d
COPY d/ /d2/
COPY --chown=tester:staff --chmod=0600 d/x /owned
COPY link copied
COPY ["b", "with blank"]
COPY [ab] /glob/
COPY d/s*/?  /glob2/
COPY a /bin/
COPY a /etc/passwd.d/../a
''')
    assert sh(atoll, '''
cd /w; cat a renamed copied "with blank"; cat /new/dir/a /new/dir/b; ls /glob /glob2 /d2
readlink /d/rel; cat /d/rel /d/sub/deep/z /bin/a /etc/a; stat -c '%U:%G %a' /owned /d/x
stat -c %Y /d/x /d/sub; test -L copied || echo file''') == (
        "111212/d2:\nrel\nsub\nx\n\n/glob:\na\nb\n\n/glob2:\ny\nsub/y\n4511"
        "tester:staff 600\nroot:root 754\n1000000000\n1000000001\nfile\n")


def test_copy_onto_links_of_the_image(atoll, context):
    """A link of the image is followed inside the image, wherever it points."""
    write(context, {"a": "1", "evil/a": "2"})
    build(atoll, context, BASE + '''
RUN mkdir /real && ln -s /real /abs && ln -s ../../../../../../../tmp/escape /up && ln -s /etc/passwd /file
COPY a /abs/
COPY a /abs/new/
COPY a /up/
COPY a /file
COPY evil /abs
''')
    assert sh(atoll, "cat /real/a /real/new/a /tmp/escape/a /file; test -L /file || echo replaced; "
              "head -c 4 /etc/passwd") == "2111replaced\nroot"
    assert not Path("/tmp/escape").exists()


def test_ignore(atoll, context):
    write(context, {"keep": "", "a.log": "", "sub/b.log": "", "sub/c.txt": "", "build/x": "",
                    "build/keep/y": "", "only/this": "", "only/that": "",
                    ".dockerignore": "# what is left out\n*.log\n**/*.txt\nbuild\n!build/keep\n"
                                     "only/*\n!only/this\n.dockerignore\nContainerfile\n"})
    build(atoll, context, BASE + "COPY . /c\n")
    assert sh(atoll, "cd /c; find . -type f | sort").split() == \
        ["./build/keep/y", "./keep", "./only/this", "./sub/b.log"]
    refused(atoll, context, BASE + "COPY a.log /\n", "it is left out by the ignore file")
    write(context, {"Containerfile.dockerignore": "*\n!keep"})
    build(atoll, context, BASE + "COPY . /c\n")
    assert sh(atoll, "cd /c; find . -type f") == "./keep\n"
    write(context, {"Containerfile.dockerignore": "fine\n[a-"})
    refused(atoll, context, BASE + "COPY . /c\n", "Containerfile.dockerignore: line 2")


def test_add(atoll, context):
    tar = layer([(entry("in/a", uid=7), b"1"), (entry("b"), b"2")])
    write(context, {"x.tar": tar, "y.tar.gz": gzip.compress(tar), "plain": "3",
                    "z.tar.xz": b"", "bad.tar": b"no archive" * 100})
    build(atoll, context, BASE + "ADD x.tar /x/\nADD y.tar.gz plain /y/\nCOPY x.tar /copied/\n")
    assert sh(atoll, "cat /x/in/a /y/b /y/plain; stat -c %u /x/in/a; ls /copied") == \
        "1237\nx.tar\n"
    refused(atoll, context, BASE + "ADD z.tar.xz /\n", "archives are unpacked of tar, gzip and zstd")
    refused(atoll, context, BASE + "ADD bad.tar /\n", "ADD 'bad.tar'")
    refused(atoll, context, BASE + "ADD https://example.com/x /\n", "is unsupported")


def test_add_stays_within(atoll, context, tmp_path):
    tar = layer([(entry("l", tarfile.SYMTYPE, link="/"), None), (entry("l/../../../../../../tmp/atoll-out"), b"x")])
    write(context, {"x.tar": tar})
    (context / "Containerfile").write_text(BASE + "ADD x.tar /x/\n")
    atoll.try_("build", "-t", "app", context)  # refused or kept inside
    assert not Path("/tmp/atoll-out").exists()


def test_sources_refused(atoll, context):
    write(context, {"a": "", "d/x": ""})
    for text, says in {
            "COPY nothing /": "'nothing': there is no such file in the context",
            "COPY n* /": "nothing fits",
            "COPY ../a /": "'..' leads out",
            "COPY a d /x": "must end in '/'",
            "COPY a": "COPY wants SOURCE... DESTINATION",
            "COPY --from=none:1 a /": "none:1",
            "COPY --wrong a /": "COPY --wrong is unsupported",
            "COPY --chmod=u+x a /": "no octal number",
            "COPY --chown=nobodyknows a /": "nobodyknows",
            "COPY a /etc/passwd/x": "make the directory",
            "RUN mkdir /dir\nCOPY a /dir\nCOPY --link a /dir/a/": "make the directory",
    }.items():
        refused(atoll, context, BASE + text + "\n", says)


def test_link_that_leads_out_of_the_context(atoll, context, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret").write_text("s")
    (context / "out").symlink_to(outside / "secret")
    (context / "dir").symlink_to(outside)
    refused(atoll, context, BASE + "COPY out /\n", "there is no such file in the context")
    refused(atoll, context, BASE + "COPY dir/secret /\n", "there is no such file in the context")


# ---- stages ----

STAGES = '''
ARG TAG=latest
FROM busybox:${TAG} AS one
RUN echo 1 > /one
FROM one AS two
RUN echo 2 > /two
FROM busybox AS broken
RUN false
FROM scratch
COPY --from=Two /one /two /
COPY --from=0 /one /first
COPY --from=busybox:latest /etc/passwd /
'''


def test_stages(atoll, context):
    r = build(atoll, context, STAGES)
    assert "broken" not in r.out and "STEP 8/8" in r.out
    assert files_of(atoll)[0] == {"one", "two"}
    assert len(files_of(atoll)) == 3
    build(atoll, context, STAGES, "--target", "one")
    assert sh(atoll, "cat /one; test -e /two || echo none") == "1\nnone\n"
    refused(atoll, context, STAGES, "ended with status 1", "--target", "broken")
    refused(atoll, context, STAGES, "there is no stage 'none'", "--target", "none")


def meeting(own, other):
    return (f"RUN --mount=type=cache,target=/c echo {own} says; touch /c/{own}; "
            f"until test -e /c/{other}; do sleep 0.1; done; touch /{own}\n")


def drop_caches(atoll):
    atoll("volume", "rm", *[v for v in atoll("volume", "ls", "-q").out.split()
                            if v.startswith("build-cache-")])


def test_stages_side_by_side(atoll, context):
    """Each waits for the other's RUN; the last has a step of its own before it copies."""
    text = (BASE[:-1] + " AS one\n" + meeting("one", "two") + BASE[:-1] + " AS two\n"
            + meeting("two", "three") + BASE + meeting("three", "one")
            + "COPY --from=one /one /\nCOPY --from=two /two /\n")
    r = build(atoll, context, text)
    assert {"one says", "two says", "three says"} <= set(r.out.splitlines())
    assert sh(atoll, "ls /one /two /three") == "/one\n/three\n/two\n"
    assert cached(build(atoll, context, text)) == 5
    drop_caches(atoll)


def test_a_stage_fails_beside_another(atoll, context):
    text = ("FROM busybox AS one\nRUN --mount=type=cache,target=/c touch /c/x; sleep 1000\n"
            "FROM busybox AS two\nRUN --mount=type=cache,target=/c "
            "until test -e /c/x; do sleep 0.1; done; echo last words; exit 5\n"
            "FROM busybox\nCOPY --from=one / /\nCOPY --from=two / /\n")
    r = refused(atoll, context, text, "Containerfile:4: RUN ended with status 5")
    assert "last words" in r.out
    wait.until(lambda: not atoll("ps", "-aq").out.split(), "the other's workload is removed")
    drop_caches(atoll)


def test_base_is_pulled(atoll, context, base):
    """What is not here, and with --pull what is another one by now."""
    registry = Registry(base / "registry")
    try:
        def push(text):
            return registry.push("team/base", "1", Image([layer([(entry("f"), text)])]))
        name = push(b"old")
        text = f"FROM {name}\nCOPY Containerfile /c\n"
        build(atoll, context, text)
        push(b"new")
        assert cached(build(atoll, context, text)) == 1
        r = build(atoll, context, text, "--pull")
        assert cached(r) == 0 and "Downloaded newer image" in r.err
        refused(atoll, context, f"FROM {registry.host}/none:1\n", "none:1")
    finally:
        registry.stop()


def test_onbuild(atoll, context):
    write(context, {"f": "1"})
    build(atoll, context, BASE + "ONBUILD COPY f /f\nONBUILD RUN cat /f > /g\n")
    atoll("tag", "app", "parent")
    r = build(atoll, context, "FROM parent\nRUN cat /g /f > /h\n")
    assert "ONBUILD: COPY f /f" in r.out
    assert sh(atoll, "cat /h") == "11" and not config(atoll).get("OnBuild")
    refused(atoll, context, BASE + "ONBUILD FROM x\n", "ONBUILD cannot have FROM")
    atoll("tag", "parent", "app")
    (context / "f").unlink()
    refused(atoll, context, "FROM parent\n", "ONBUILD COPY f /f")


# ---- what is kept ----

def test_cache(atoll, context):
    write(context, {"a": "1", "b": "1"})
    text = BASE + "ARG V=1\nRUN echo one\nCOPY a /\nRUN echo $V\nCOPY b /\nLABEL x=y\n"
    first = build(atoll, context, text)
    again = build(atoll, context, text)
    assert cached(first) == 0 and cached(again) == 4
    assert first.line.splitlines()[-1] == again.line.splitlines()[-1]
    os.utime(context / "a", (1, 1))
    assert cached(build(atoll, context, text)) == 4  # times do not count
    write(context, {"b": "2"})
    assert cached(build(atoll, context, text)) == 3
    (context / "a").chmod(0o755)
    assert cached(build(atoll, context, text)) == 1  # modes do
    assert cached(build(atoll, context, text, "--build-arg", "V=2")) == 0
    assert cached(build(atoll, context, text, "--no-cache")) == 0
    assert len(atoll("images", "-q").out.split()) < len(atoll("images", "-aq").out.split())
    asked = atoll.try_("system", "prune", input="n\n")
    assert "what builds keep for later builds" in asked.out + asked.err
    atoll("image", "prune", "-f")
    assert cached(build(atoll, context, text)) == 4
    atoll("system", "prune", "-f")
    assert sh(atoll, "cat /a /b") == "12"
    assert cached(build(atoll, context, text)) == 0


def test_build_args_count_from_where_they_are_declared(atoll, context):
    text = BASE + "RUN echo before\nARG V=1\nRUN echo $V > /v\n"
    build(atoll, context, text)
    r = build(atoll, context, text, "--build-arg", "V=2")
    assert cached(r) == 1 and sh(atoll, "cat /v") == "2\n"
    assert "asks for --build-arg NONE" in build(atoll, context, text, "--build-arg", "NONE=1").err


def test_reproducible(atoll, context, new_atoll, busybox_tar):
    write(context, {"d/a": "1", "b": "2"})
    text = BASE + "COPY d /d\nRUN mkdir /m && echo x > /m/x\nENV A=1\nWORKDIR /q\n"
    epoch = {"SOURCE_DATE_EPOCH": "1700000000"}
    first = build(atoll, context, text, env=epoch).line.splitlines()[-1]
    assert atoll("image", "inspect", "app").json[0]["Created"].startswith("2023-11-14T22:13:20")
    other = new_atoll("other")
    other("load", "-i", busybox_tar)
    time.sleep(1.1)
    assert build(other, context, text, env=epoch).line.splitlines()[-1] == first


def trees(atoll):
    """What the layers of the store are: everything but the overlay's notes for itself."""
    found = {}
    for top in (atoll.root / "layers").iterdir():
        for where, dirs, files in os.walk(top):
            for name in [".", *dirs, *files]:
                p = f"{where}/{name}"
                st = os.lstat(p)
                kind = stat.S_IFMT(st.st_mode)
                found[os.path.relpath(p, top.parent)] = (
                    oct(st.st_mode), st.st_uid, st.st_gid, st.st_rdev,
                    int(st.st_mtime) if kind == stat.S_IFREG else None,
                    open(p, "rb").read() if kind == stat.S_IFREG else
                    os.readlink(p) if kind == stat.S_IFLNK else None,
                    st.st_nlink if kind == stat.S_IFREG else None,
                    {x: os.getxattr(p, x, follow_symlinks=False)
                     for x in os.listxattr(p, follow_symlinks=False)
                     if x.endswith("overlay.opaque") or ".overlay." not in x})
    return found


@pytest.mark.parametrize("more", ["true", "ln -s /d/sock /dev/log && syslogd && sleep 1"],
                         ids=["taken", "socket"])
def test_layers_are_what_is_unpacked_elsewhere(atoll, context, new_atoll, more,
                                                request):
    """Also those that are not unpacked here, as what RUN and COPY wrote is taken as it is."""
    write(context, {"tree/a": "a", "tree/sub/b": "b", "new/c": "c"})
    build(atoll, context, f"""FROM busybox
COPY tree /tree
RUN rm -r /tree/sub && mkdir -m 700 /tree/sub && echo n >/tree/sub/n && rm /tree/a \\
 && mkdir /d && echo x >/d/x && ln /d/x /d/y && ln -s x /d/l && chown 5:6 /d/x \\
 && mkfifo /d/p && mknod /d/dev c 1 3 && touch -d '2001-02-03 04:05:06' /d/old && {more}
RUN mv /d /moved && rm /bin/vi && chmod 4755 /moved/x
COPY new /tree
RUN true >/tree/empty
""")
    atoll("save", "-o", context / "app.tar", "app")
    other = new_atoll(f"elsewhere-{request.node.callspec.id}")
    other("load", "-i", context / "app.tar")
    here, there = trees(atoll), trees(other)
    assert sum("/" not in n for n in here) == 6
    assert {n: v for n, v in here.items() if there.get(n) != v} == {} and set(here) == set(there)
    script = "ls -lR /tree /moved; test ! -e /bin/vi && test ! -e /tree/a"
    assert sh(atoll, script) == sh(other, script)


def test_names_and_output(atoll, context, tmp_path):
    (context / "Containerfile").write_text(BASE + "RUN echo said\nLABEL a=file b=file\n")
    r = atoll("build", "-q", "-t", "app:1", "-t", "registry.example.com/team/app", "--iidfile",
              tmp_path / "id", "--label", "a=flag", context)
    id_ = r.line
    assert r.out == f"{id_}\n" and id_.startswith("sha256:")
    assert (tmp_path / "id").read_text() == id_
    assert set(atoll("image", "inspect", id_).json[0]["RepoTags"]) == \
        {"app:1", "registry.example.com/team/app:latest"}
    assert config(atoll, id_)["Labels"] == {"a": "flag", "b": "file"}
    r = atoll("build", "-q", "-", input=BASE + "RUN echo x > /x\n")
    assert sh(atoll, "cat /x", r.line) == "x\n"
    (context / "other").write_text(BASE + "RUN echo out; echo err >&2; false\n")
    r = atoll.fails("build", "-q", "-f", context / "other", context, rc=1, says="out\nerr\n")
    assert not r.out
    history = atoll("history", "--no-trunc", "--format", "{{.CreatedBy}}", id_).out.splitlines()
    assert history[:2] == ["LABEL a=file b=file", "RUN echo said"]


# ---- what goes wrong ----

def test_errors_point_at_the_line(atoll, context):
    for text, line, says in (
            ("RUNN x", 2, "there is no instruction 'RUNN' (did you mean 'RUN'?)"),
            ("RUN exit 3", 2, "RUN ended with status 3"),
            ("\nENV A", 3, "ENV wants KEY=VALUE, not 'A'"),
            ("ENV A=${B:?must be given}", 2, "B: must be given"),
            ("EXPOSE x", 2, "EXPOSE x"),
            ("RUN --mount=type=wrong true", 2, "--mount=type=wrong"),
            ("RUN --mount=type=bind,from=x,target=/y true", 2, "is unsupported"),
            ("RUN --mount=type=cache,target=/c,sharing=private true", 2, "is unsupported"),
            ("RUN --mount=type=secret,id=x,required true", 2, "is required"),
            ("RUN --security=insecure true", 2, "RUN --security is unsupported"),
            ("RUN <<X\n#!/usr/bin/awk\nX", 2, "an interpreter of its own is unsupported"),
            ('RUN ["/none"]', 2, "/none"),
            ("HEALTHCHECK what", 2, "CMD ... or NONE"),
            ("FROM", 2, "FROM wants something to follow it"),
            ("FROM a b c d", 2, "FROM wants IMAGE or IMAGE AS NAME"),
            ("FROM --platform=linux/s390x x", 2, "this machine builds for")):
        r = refused(atoll, context, BASE + text + "\n", says)
        assert f"Containerfile:{line}: " in r.err and f"\n{line:6} | " in r.err
    refused(atoll, context, "RUN x\n", "Containerfile:1: RUN stands before the first FROM")
    assert not atoll("images", "-q", "app").out


def test_usage(atoll, context, tmp_path):
    (context / "Containerfile").write_text(BASE)
    atoll.fails("build", rc=1, says="requires exactly 1 argument")
    atoll.fails("build", "https://example.com/x.git", rc=1, says="is unsupported")
    atoll.fails("build", "--secret", "id=x", context, rc=1, says="wants id=ID,src=FILE")
    atoll.fails("build", "--secret", "id=x,src=/none", context, rc=1, says="/none")
    atoll.fails("build", "--network", "bridge", context, rc=1, says="host or none")
    atoll.fails("build", "-f", "none", context, rc=1, says="there is no file 'none'")
    atoll.fails("build", context / "none", rc=1, says="open the context")
    atoll.fails("build", "-t", "Bad Name", context, rc=1)
    (context / "Containerfile").unlink()
    atoll.fails("build", context, rc=1, says="there is no Containerfile or Dockerfile in")
    atoll.fails("build", "-", rc=1, input=BASE + "COPY a /\n", says="there is no context")


@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize("signo", [signal.SIGINT, signal.SIGKILL])
def test_killed(atoll, context, signo, stages):
    """Nothing runs on, and nothing of it is visible; the next build goes on from what was done."""
    text = BASE + "RUN echo done\nRUN sleep 1000\n"
    if stages == 2:
        text = f"{BASE[:-1]} AS one\nRUN sleep 1000\n{text}COPY --from=one /bin/sh /x\n"
    (context / "Containerfile").write_text(text)
    p = atoll.popen("build", "-t", "app", context)
    wait.until(lambda: len(atoll("ps", "-q").out.split()) == stages, "RUN runs")
    p.send_signal(signo)
    p.communicate()
    wait.until(lambda: not atoll("ps", "-aq").out.split(), "the workloads are removed")
    assert not atoll("images", "-q", "app").out
    assert cached(build(atoll, context, text.replace("sleep 1000", "true"))) == 1


def test_many_at_once(atoll, context):
    (context / "Containerfile").write_text(BASE + "RUN echo x > /x\nCOPY Containerfile /\n")
    all_ = [atoll.popen("build", "-q", context) for _ in range(6)]
    out = {p.communicate()[0].strip() for p in all_}
    assert all(p.returncode == 0 for p in all_) and all(o.startswith(b"sha256:") for o in out)
