# SPDX-License-Identifier: Apache-2.0
"""
Fixtures. Every module of tests gets `atoll` (and `runtime`) with directories of its own, in a
temporary directory with a short name (a socket's path has room for 107 bytes), and is checked for
what it leaves behind: mounts, processes, cgroups, state.
"""
import fcntl
import hashlib
import os
import shutil
import signal
import sys
import tempfile
from itertools import count
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lib import criu, images, leaks, mirror, wait  # noqa: E402  (the path above finds it)
from lib.rootless import User  # noqa: E402
from lib.run import Atoll, Program, Runtime  # noqa: E402

TOP = Path(__file__).resolve().parents[2]
FAILED = pytest.StashKey()

# A shell ignores it for what runs in the background, and so would all that is started here.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    if (yield).get_result().failed:
        item.stash[FAILED] = True


@pytest.fixture(autouse=True)
def leaves_nothing(request):
    """
    A workload, volume or container that a test leaves in an installation is removed, and fails this
    test, not those after it. What fixtures of its module keep for several tests is there before.
    """
    def kept():
        return set().union(*(p.kept() for p in list(Program.everyone)))

    before = kept()
    yield
    try:
        if not request.node.stash.get(FAILED, False):  # else it came to no end at which it clears up
            wait.until(lambda: kept() <= before, "what removes itself")
    except AssertionError:
        pytest.fail("left behind: " + ", ".join(map(str, sorted(kept() - before))), pytrace=False)
    finally:
        for p in list(Program.everyone):
            p.drop(p.kept() - before)


@pytest.fixture(scope="session")
def build():
    """The build tree whose programs are tested."""
    d = Path(os.environ.get("ATOLL_BUILD", TOP / "build"))
    assert (d / "atoll").exists(), f"{d}/atoll does not exist: build first (make all)"
    return d


@pytest.fixture(scope="session")
def cache(build):
    """Images that are dear to make, kept from run to run in the build tree."""
    d = build / "test-images"
    d.mkdir(exist_ok=True)
    return d


@pytest.fixture(scope="module")
def base():
    """The module's directory; at its end nothing on the machine may name it any more."""
    d = Path(tempfile.mkdtemp(prefix="atoll-t-", dir="/tmp"))
    d.chmod(0o755)
    watch = leaks.Watch(d)
    yield d
    watch.check()
    shutil.rmtree(d)


@pytest.fixture(scope="module")
def new_atoll(build, base):
    """Makes further, independent installations: new_atoll("other")."""
    made = []

    def make(name):
        made.append(Atoll(build, base / name))
        (base / name).mkdir()
        return made[-1]

    yield make
    for a in made:
        a.clean()


@pytest.fixture(scope="module")
def atoll(build, base):
    """`atoll` of this module: atoll("run", "--rm", image, "true")."""
    a = Atoll(build, base)
    yield a
    a.clean()


@pytest.fixture(scope="module")
def runtime(build, base):
    r = Runtime(build, base)
    r.state_dir.mkdir()  # `list` refuses a --root that is not there, as runc's
    yield r
    r.clean()


@pytest.fixture(scope="module")
def machine_runtime(base, build):
    """By its name it makes machines: what clients can give no options to."""
    p = base / "atoll-microvm"
    p.symlink_to(build / "atoll-runtime")
    return p


def cached(cache, name, make):
    """cache/name, made once by make(temporary path), also when several sessions want it at once."""
    path = cache / name
    with open(cache / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            part = cache / f"{name}.part"
            make(part)
            part.rename(path)
    return path


@pytest.fixture(scope="session")
def busybox_tar(cache):
    """A docker archive with busybox:latest."""
    return cached(cache, "busybox.tar", images.busybox_archive)


@pytest.fixture(scope="module")
def busybox(atoll, busybox_tar):
    """The name of an image that is loaded into `atoll`."""
    atoll("load", "-i", busybox_tar)
    return "busybox:latest"


def bootstrapped(build, cache, name, *options):
    """A docker archive of Debian's packages, made by atoll itself."""
    def make(part):
        with tempfile.TemporaryDirectory(prefix="atoll-b-", dir="/tmp") as d:
            a = Atoll(build, Path(d))
            r = a.try_("image", "bootstrap", *options, "-t", name, "debian:bookworm", timeout=900)
            if r.rc and not mirror.reachable():
                pytest.skip("the Debian mirror cannot be reached")
            assert r.rc == 0, str(r)
            a("save", "-o", part, name, timeout=300)

    # Another choice of packages is another image: the cache outlives changes of this file.
    which = f"-{hashlib.sha256(repr(options).encode()).hexdigest()[:8]}" if options else ""
    return cached(cache, f"{name.partition(':')[0]}{which}.tar", make)


@pytest.fixture(scope="session")
def debian_tar(build, cache):
    """With debian:bookworm."""
    return bootstrapped(build, cache, "debian:bookworm")


@pytest.fixture(scope="session")
def programs_tar(build, cache):
    """With programs:latest: servers, a compiler and git as Debian has them."""
    return bootstrapped(build, cache, "programs:latest", "--include=nginx-light,redis-server,"
                        "postgresql,gcc,libc6-dev,make,git,apache2-utils")


@pytest.fixture(scope="session")
def languages_tar(build, cache):
    """With languages:latest: what runs programs in other languages than C, and two in Go."""
    return bootstrapped(build, cache, "languages:latest",
                        "--include=python3,nodejs,openjdk-17-jre-headless,ecj,caddy,restic")


@pytest.fixture(scope="module")
def debian(atoll, debian_tar):
    atoll("load", "-i", debian_tar, timeout=300)
    return "debian:bookworm"


@pytest.fixture(scope="module")
def rootfs(base):
    """A root file system for bundles, shared by the module's tests."""
    return images.busybox_rootfs(base / "rootfs")


@pytest.fixture(scope="module")
def bundle(base, rootfs):
    """Makes bundles: bundle(["/bin/echo", "hello"], change=lambda spec: ...) gives its path."""
    count = iter(range(1_000_000))

    def make(args=("/bin/true",), change=None, **process):
        return images.bundle(base / f"bundle-{next(count)}", rootfs, args, change, **process)

    return make


_ids = (f"atoll-run-{os.getpid()}-{n}" for n in count())


@pytest.fixture
def id(runtime):
    """A container's name; what has it at the end is removed."""
    i = next(_ids)
    yield i
    runtime.try_("delete", "--force", i)


@pytest.fixture
def sleeper(runtime, bundle, id):
    """A running container."""
    runtime.leave("run", "-d", "-b", bundle(["/bin/sleep", "1000"]), id)
    return id


@pytest.fixture
def run(runtime, bundle):
    """run(args, change): what a container printed."""
    def go(args, change=None, **process):
        return runtime("run", "-b", bundle(args, change, **process), next(_ids)).out
    return go


@pytest.fixture
def refuses(runtime, bundle):
    """refuses(text, change): a container is not run, and the error has the text."""
    def go(says, change=None, args=("/bin/true",), **process):
        r = runtime.fails("run", "-b", bundle(args, change, **process), next(_ids))
        assert says in r.err.replace('\\"', '"'), str(r)
        return r
    return go


@pytest.fixture(scope="module")
def user(base):
    """An ordinary user, with ids of his own."""
    with User(base) as u:
        yield u


@pytest.fixture(scope="session")
def criu_path(build):
    path = criu.get(build)
    if not path:
        pytest.skip("the Debian mirror cannot be reached")
    return path
