# SPDX-License-Identifier: Apache-2.0
"""
The real callers of a runtime (podman, containerd, dockerd; Debian's packages, unpacked below the
build tree) each in a World: pid, mount, network and cgroup namespaces of its own, in which the
packages look installed. Whatever they start, mount, or configure ends with it.
"""
import json
import os
import signal
import subprocess
import threading
import sys
from pathlib import Path

import pytest

from . import cgroups, images, mirror
from .run import Terminal
from .wait import until

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "perf"))
import peers as packages  # noqa: E402

TIMEOUT_S = 150
# The hard limits of these may be below podman's defaults, and not to be raised.
PODMAN_LIMITS = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]


def root(cache):
    """Where the packages are; skips when they cannot be had."""
    if not packages.is_unpacked(cache) and not mirror.reachable():
        pytest.skip("the Debian mirror cannot be reached")
    return packages.unpacked(cache)


class Done:
    """How a client's command ended."""

    def __init__(self, p):
        self.rc, self.out, self.err = p.returncode, p.stdout, p.stderr
        self.args = p.args[6:]

    def __str__(self):
        return f"$ {' '.join(self.args)}\nexit status {self.rc}\n{self.out}{self.err}"

    __repr__ = __str__


class World:
    """Context; `sh` is the argument list that runs what follows it inside."""

    def __init__(self, cache, base, name):
        self.packages = root(cache)
        self.dir = base / name
        self.dir.mkdir()
        self.group = f"atoll-{name}-{os.getpid()}"
        self.daemons = []
        self.env = {**os.environ, "PATH": "/usr/sbin:/usr/bin:/usr/libexec/podman",
                    "HOME": str(self.dir)}
        for k in ("XDG_RUNTIME_DIR", "DOCKER_HOST", "CONTAINER_HOST", "LD_LIBRARY_PATH"):
            self.env.pop(k, None)

    def __enter__(self):
        self.groups = []
        for names, at in cgroups.hierarchies():
            own = cgroups.of_process("self").get(names, "/").strip("/")
            # In a cgroup namespace the mount's root and ours are one.
            parent = at / own if (at / own).is_dir() else at
            d = parent / self.group
            d.mkdir()
            self.groups.append(d)
            if names == "cpuset":
                for f in ("cpuset.cpus", "cpuset.mems"):
                    (d / f).write_text((parent / f).read_text())
        self.log = open(self.dir / "log", "wb")
        join = ["/bin/sh", "-c", 'g=$1; shift; for d in $g; do echo 0 > "$d/cgroup.procs"; done; '
                'exec "$@"', "sh", " ".join(map(str, self.groups))]
        self.holder = subprocess.Popen(
            [*join, "unshare", "-m", "-n", "-p", "-i", "-C", "--fork", "--kill-child",
             "--mount-proc", "/usr/bin/python3", Path(__file__).with_name("world.py"),
             self.packages],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log, env=self.env)
        try:
            assert self.holder.stdout.readline() == b"ready\n", (self.dir / "log").read_text()
            init = Path(f"/proc/{self.holder.pid}/task/{self.holder.pid}/children")
            self.pid = int(init.read_text().split()[0])
            if cgroups.PURE_V2:
                join[-1] = str(self.groups[0] / "callers")
            self.sh = [*join, "nsenter", "-t", str(self.pid), "-m", "-n", "-p", "-i", "-C", "--"]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc):
        for p in reversed(self.daemons):
            try:
                self.end(p)
            except subprocess.TimeoutExpired:
                pass
        self.holder.kill()  # and, by --kill-child, process 1 and all that it has
        self.holder.wait()
        for p in self.daemons:
            p.kill()
            p.wait()
        self.log.close()
        until(lambda: all(map(self._gone, self.groups)), "the cgroups are empty and removed")

    @staticmethod
    def end(daemon):
        """SIGTERM, and its end. The Popen is nsenter, which waits for the program itself."""
        try:
            of = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split()
            for pid in of:
                os.kill(int(pid), signal.SIGTERM)
        except (FileNotFoundError, ProcessLookupError):
            pass  # it has ended by itself
        daemon.wait(30)

    @staticmethod
    def _gone(group):
        for d, _, _ in os.walk(group, topdown=False):
            try:
                os.rmdir(d)
            except OSError:
                pass
        return not group.exists()

    def try_(self, *argv, timeout=TIMEOUT_S, **kw):
        if "input" not in kw:
            kw.setdefault("stdin", subprocess.DEVNULL)
        p = subprocess.run([*self.sh, *map(str, argv)], env=self.env, capture_output=True,
                           text=True, errors="replace", timeout=timeout, check=False, **kw)
        p.args = [*p.args[:5], "", *map(str, argv)]
        return Done(p)

    def __call__(self, *argv, **kw):
        d = self.try_(*argv, **kw)
        assert d.rc == 0, str(d)
        return d.out

    def talk(self, *argv, timeout=TIMEOUT_S):
        """
        (the first line, the exit status) of a command that says a line, reads one and ends. A ctr
        passes on what its process says until that ends, and drops what it has not come to by then.
        """
        p = subprocess.Popen([*self.sh, *map(str, argv)], env=self.env, stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True, errors="replace")
        late = threading.Timer(timeout, p.kill)
        late.start()
        with p:
            try:
                line = p.stdout.readline()
                p.stdin.write("\n")
                p.stdin.close()
                return line, p.wait()
            finally:
                late.cancel()
                p.kill()

    def terminal(self, *argv):
        return Terminal([*self.sh, *map(str, argv)], self.env)

    def daemon(self, *argv, ready):
        """Start it and wait until ready() holds; ended with the World."""
        log = open(self.dir / f"{Path(argv[0]).name}.log", "wb")
        p = subprocess.Popen([*self.sh, *map(str, argv)], env=self.env, stdin=subprocess.DEVNULL,
                             stdout=log, stderr=log)
        log.close()
        self.daemons.append(p)

        def up():
            assert p.poll() is None, Path(log.name).read_text()
            return ready()
        try:
            until(up, f"{argv[0]} is ready", 120)
        except AssertionError as ex:
            raise AssertionError(f"{ex}\n{Path(log.name).read_text()[-4000:]}") from None
        return p

    def states(self, directory):
        """The containers that atoll-runtime has below its --root; '@' starts what it keeps."""
        return [n for n in self.try_("ls", directory).out.split() if not n.startswith("@")]

    def cgroup(self, controller, pattern, v1_file, v2_file):
        """The control file of the one group below ours that matches."""
        for names, at in zip([n for n, _ in cgroups.hierarchies()], self.groups):
            if controller in names.split(","):
                found, f = list(at.glob(pattern)), v1_file
                break
        else:
            found, f = list(self.groups[-1].glob(pattern)), v2_file
        assert len(found) == 1, (pattern, found)
        return (found[0] / f).read_text().strip()


class Client:
    """A client's command in a World: client("ps") is its output, client.try_() how it ended."""

    def __init__(self, world, *base):
        self.world = world
        self.base = base

    def try_(self, *args, **kw):
        return self.world.try_(*self.base, *args, **kw)

    def __call__(self, *args, **kw):
        return self.world(*self.base, *args, **kw)

    def talk(self, *args, **kw):
        return self.world.talk(*self.base, *args, **kw)

    def json(self, *args, **kw):
        return json.loads(self(*args, **kw))

    def terminal(self, *args):
        return self.world.terminal(*self.base, *args)


def catches(client, name, *signals):
    """Wait until the container's process has its handlers: before, it is deaf to them."""
    def does():
        d = client.try_("exec", name, "grep", "SigCgt", "/proc/1/status")
        return d.rc == 0 and all(int(d.out.split()[1], 16) >> (s - 1) & 1 for s in signals)
    until(does, f"{name} catches {signals}")


def pause_archive(directory):
    """The image of what holds a pod's namespaces."""
    entries = [(images.entry("busybox", mode=0o755), Path(images.BUSYBOX).read_bytes())]
    return images.docker_archive(directory / "pause.tar", [images.layer(entries)],
                                 ["localhost/pause:latest"],
                                 Entrypoint=["/busybox", "sleep", "1000000"])


def podman(world, build, archive):
    d = world.dir
    conf = d / "containers.conf"
    conf.write_text(
        f'[engine]\ntmp_dir="{d}/tmp"\nstatic_dir="{d}/static"\nvolume_path="{d}/volumes"\n'
        f'events_logger="file"\ncgroup_manager="cgroupfs"\nruntime="atoll"\n'
        f'infra_image="localhost/pause:latest"\n'
        f'[engine.runtimes]\natoll=["{build}/atoll-runtime"]\n'
        '[containers]\ndefault_ulimits=["nofile=1024:1024","nproc=1024:1024"]\n')
    world.env["CONTAINERS_CONF"] = str(conf)
    (d / "policy.json").write_text('{"default":[{"type":"insecureAcceptAnything"}]}')
    c = Client(world, "podman", "--root", d / "root", "--runroot", d / "run", "--storage-driver",
               "overlay")
    for tar in (archive, pause_archive(d)):
        c("load", "--signature-policy", d / "policy.json", "-i", tar)
    return c


def containerd(world, build, archive, cri=""):
    """Its ctr, with the image in both namespaces; `cri`: text for that plug-in's configuration."""
    d = world.dir
    sock = d / "sock"
    off = "" if cri else '"io.containerd.grpc.v1.cri"'
    (d / "config.toml").write_text(
        f'version = 2\nroot = "{d}/root"\nstate = "{d}/state"\ndisabled_plugins = [{off}]\n'
        f'[grpc]\naddress = "{sock}"\n[ttrpc]\naddress = "{sock}.ttrpc"\n{cri}')
    c = Client(world, "ctr", "--address", sock)
    world.daemon("containerd", "--config", d / "config.toml",
                 ready=lambda: sock.exists() and c.try_("version").rc == 0)
    c("image", "import", archive)
    c.image = c("image", "ls", "-q").split()[0]
    c.socket = sock
    return c


def docker(world, build, archive, *flags):
    d = world.dir
    sock = d / "sock"
    c = Client(world, "docker", "-H", f"unix://{sock}")
    (d / "daemon.json").write_text("{}")
    world.daemon("dockerd", "--config-file", d / "daemon.json", "--data-root", d / "data", "--exec-root",
                 d / "exec", "--pidfile", d / "pid", "-H", f"unix://{sock}",
                 "--add-runtime", f"atoll={build}/atoll-runtime", "--default-runtime", "atoll",
                 "--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", "/atoll",
                 *flags, ready=lambda: sock.exists() and c.try_("version").rc == 0)
    c("load", "-i", archive)
    return c
