# SPDX-License-Identifier: Apache-2.0
"""
Programs of every day on Atoll's own kernel. Each does its work in a sandbox and in a container of
the same image, and both must say the same: the container is the oracle.
"""
import os
import shutil
import time
from pathlib import Path

import pytest

from lib import sentry

PROGRAMS = Path(__file__).resolve().parent.parent / "fixtures/programs"
SOURCES = Path(__file__).resolve().parents[2] / "src/base"
SLOW_S = 120  # the machine may be busy

pytestmark = [pytest.mark.timeout(1200),
              pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")]


@pytest.fixture(scope="module", autouse=True)
def possible(build, base):
    sentry.need(sentry.Sentries(build, base / "sentries"))


@pytest.fixture(scope="module")
def given(base):
    """What the programs are to work on, seen by both."""
    d = base / "given"
    shutil.copytree(PROGRAMS, d)
    shutil.copytree(SOURCES, d / "src/base")
    return d


@pytest.fixture(scope="module")
def loaded(atoll):
    """loaded(archive, name): the image is there, once."""
    there = set()

    def load(archive, name):
        if name not in there:
            atoll("load", "-i", archive, timeout=SLOW_S)
            there.add(name)
        return name
    return load


@pytest.fixture(scope="module")
def programs(loaded, programs_tar):
    return loaded(programs_tar, "programs:latest")


@pytest.fixture(scope="module")
def languages(loaded, languages_tar):
    return loaded(languages_tar, "languages:latest")


@pytest.fixture
def same(atoll, given):
    """same(image, *command): it ends with `rc` in both, and says the same."""
    def compare(image, *command, rc=0, options=()):
        found = []
        for isolation in (), ("--isolation=sandbox",):
            begin = time.monotonic()
            found.append(atoll.try_("run", "--rm", *isolation, "--network", "none", "-m", "768m",
                                    "-h", "programs", "-v", f"{given}:/given:ro", *options, image,
                                    *command, timeout=SLOW_S))
            print(f"{isolation}: {time.monotonic() - begin:.1f} s")  # shown where a test fails
        container, sandbox = found
        assert container.rc == rc and container.out, str(container)
        assert (sandbox.rc, sandbox.out.splitlines()) == (rc, container.out.splitlines()), \
            str(sandbox)
        return container.out
    return compare


def test_busybox(same, busybox):
    same(busybox, "sh", "/given/box.sh")


def test_bash_and_the_tools_of_debian(same, debian):
    out = same(debian, "bash", "/given/shell.sh")
    assert "ended by TERM" in out and "client 4" in out and out.endswith("exit trap\n"), out


def test_apt(same, debian):
    out = same(debian, "bash", "/given/apt.sh")
    assert "upper runs\nlower runs\n" in out, out


def test_python(same, languages):
    out = same(languages, "python3", "/given/words.py")
    assert "terminal" in out, out


def test_node(same, languages):
    out = same(languages, "node", "/given/words.js", rc=6)
    assert 'timer true' in out, out


def test_java(same, languages):
    """Java's own compiler, written in it, and what it makes."""
    out = same(languages, "sh", "-ec", "mkdir /tmp/c; cp /given/Words.java /tmp/c; cd /tmp/c;"
               "ecj -proc:none -17 Words.java; ls; WORD=said exec java -cp . Words", rc=8)
    assert "both caught" in out and out.endswith("hook\n"), out


def test_go(same, languages):
    out = same(languages, "bash", "/given/go.sh")
    assert "whole\n" in out and "same\n" in out, out


def test_git(same, programs):
    same(programs, "bash", "/given/git.sh")


def test_make_and_gcc(same, programs):
    out = same(programs, "bash", "/given/build.sh")
    assert "nothing to do\n" in out and "error" in out, out


def test_nginx(same, programs):
    out = same(programs, "bash", "/given/web.sh")
    assert "two workers\n" in out and "reloaded\n" in out, out


def test_redis(same, programs):
    out = same(programs, "bash", "/given/redis.sh")
    assert "rdb_last_bgsave_status:ok" in out and "aof_last_bgrewrite_status:ok" in out, out


def test_postgres(same, programs):
    out = same(programs, "bash", "/given/sql.sh")
    assert "shut down" in out, out
