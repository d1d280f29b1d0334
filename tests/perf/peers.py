# SPDX-License-Identifier: Apache-2.0
"""
Other runtimes to measure against: Debian's packages, downloaded and unpacked below the build tree
(nothing of them is installed), their daemons started for the length of a `with` and only there.
Each peer has run(): the argument list of `run --rm, no network, IMAGE true`, or None.
"""
import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/e2e"))

from lib import images, leaks  # noqa: E402

# Cgroups that the peers make for all their containers and leave.
SHARED_GROUPS = ["docker", "libpod_parent", "default"]

PACKAGES = ["podman", "docker.io", "containerd", "runc", "crun", "conmon", "skopeo", "umoci",
            "buildah"]


def is_unpacked(build):
    complete = build / "peers/.complete"
    return complete.exists() and complete.read_text().split() == PACKAGES


def unpacked(build):
    """The directory with all of PACKAGES and what they need that this machine has not."""
    into = build / "peers"
    into.mkdir(parents=True, exist_ok=True)
    with open(into / ".lock", "w") as lock:  # test modules run side by side
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_unpacked(build):
            unpack(into)
    return into / "root"


def unpack(into):
    archives = into / "debs"
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    for wait in (5, 20, 60, None):
        p = subprocess.run(["apt-get", "install", "-q", "-y", "--download-only", "--reinstall",
                            "--no-install-recommends", "-o", f"Dir::Cache::archives={archives}",
                            "-o", "Acquire::Retries=3", *PACKAGES], capture_output=True, text=True,
                           check=False)
        if p.returncode == 0:
            break
        if wait is None:
            sys.exit(f"peers: {p.stderr}")
        time.sleep(wait)
        subprocess.run(["apt-get", "update", "-q"], capture_output=True, check=False)
    for deb in sorted(archives.glob("*.deb")):
        subprocess.run(["dpkg", "-x", str(deb), str(into / "root")], check=True)
    # As in Debian: /bin, /lib and /sbin are in /usr, wherever a package still has its files.
    for d in ("bin", "lib", "lib64", "sbin"):
        top, usr = into / "root" / d, into / "root/usr" / d
        usr.mkdir(parents=True, exist_ok=True)
        if top.is_dir() and not top.is_symlink():
            subprocess.run(["cp", "-a", f"{top}/.", usr], check=True)
            shutil.rmtree(top)
        if not top.is_symlink():
            top.symlink_to(f"usr/{d}")
    (into / ".complete").write_text("\n".join(PACKAGES))


OWN = set()  # pids of children that somebody here waits for


def spawn(argv, **kw):
    kw.setdefault("stdin", subprocess.DEVNULL)
    p = subprocess.Popen([*map(str, argv)], **kw)
    OWN.add(p.pid)
    return p


def reap_orphans():
    """
    podman waits until its conmon, an orphan, is reaped. Where process 1 takes seconds for that,
    the wait would be measured; so this process takes orphans over and reaps them at once.
    """
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER

    def reap():
        while True:
            try:
                z = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                # conmon becomes `podman container cleanup` when its container has ended.
                if z and z.si_pid not in OWN and Path(f"/proc/{z.si_pid}/comm").read_text(
                        ).startswith(("conmon", "podman")):
                    os.waitpid(z.si_pid, 0)
                    continue
            except OSError:
                pass
            time.sleep(0.001)

    threading.Thread(target=reap, daemon=True).start()


def own_mounts():
    """What is written below /run and /var/lib from now on nobody else sees."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x00020000):  # CLONE_NEWNS
        raise OSError(ctypes.get_errno(), "unshare: run this as root")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    for d in ("/run", "/var/lib"):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", d], check=True)


def private_mounts(root):
    """
    The peers as if they were installed (their /usr over ours: podman's helpers find each other by
    fixed paths), with mounts of their own.
    """
    own_mounts()
    subprocess.run(["mount", "-t", "overlay", "-o", f"lowerdir={root}/usr:/usr", "peers", "/usr"],
                   check=True)


def hybrid():
    return os.path.ismount("/sys/fs/cgroup/unified")


def shared_groups():
    """Those of the peers that there are, in every hierarchy."""
    tops = [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()]
    return [top / name for top in tops for name in SHARED_GROUPS if (top / name).is_dir()]


class Peers:
    """Context: the peers, ready to run, with an image and a bundle of busybox."""

    def __init__(self, build):
        self.build = build
        self.root = unpacked(build)
        self.daemons = []
        # Not what stands in /usr/local or with the user: Debian's.
        self.env = {**os.environ, "PATH": "/usr/sbin:/usr/bin:/usr/libexec/podman"}

    def bin(self, name):
        found = shutil.which(name, path=self.env["PATH"])
        assert found, f"{name} is in none of Debian's packages {PACKAGES}"
        return found

    def do(self, *argv, **kw):
        p = spawn(argv, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                  **kw)
        out, err = p.communicate()
        if p.returncode:
            raise RuntimeError(f"{' '.join(map(str, argv))}: {p.returncode}\n{out}{err}")
        return out

    def daemon(self, *argv, ready):
        log = open(self.dir / f"{Path(argv[0]).name}.log", "wb")
        p = spawn(argv, env=self.env, stdout=log, stderr=log, start_new_session=True)
        self.daemons.append(p)
        deadline = time.monotonic() + 60
        while not ready():
            if p.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(Path(log.name).read_text())
            time.sleep(0.05)

    def __enter__(self):
        private_mounts(self.root)
        self.dir = Path(tempfile.mkdtemp(prefix="atoll-peers-"))
        self.run = Path("/run") / self.dir.name  # what lasts until reboot: a tmpfs, as by default
        self.run.mkdir()
        self.groups_before = set(shared_groups())
        self.archive = images.busybox_archive(self.dir / "busybox.tar")
        self.rootfs = images.busybox_rootfs(self.dir / "rootfs")
        return self

    def __exit__(self, *exc):
        for p in reversed(self.daemons):
            p.send_signal(signal.SIGTERM)
            try:
                p.wait(30)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        # Containers that outlived their command, after a failure, and what they have mounted.
        for p in leaks.processes(self.dir.name):
            os.kill(int(p.split()[0]), signal.SIGKILL)
        for _ in range(50):
            for line in sorted(Path("/proc/self/mountinfo").read_text().splitlines(),
                               key=lambda l: l.split()[4], reverse=True):
                where = line.split()[4]
                if self.dir.name in where:
                    subprocess.run(["umount", "-l", where], check=False)
            try:
                shutil.rmtree(self.dir)
                break
            except OSError:
                time.sleep(0.1)
        for group in set(shared_groups()) - self.groups_before:
            for below, _, _ in os.walk(group, topdown=False):
                try:
                    os.rmdir(below)
                except OSError:
                    pass  # something of somebody else's runs in it

    # -- each gives its `run`; a peer that cannot run here raises RuntimeError with the reason

    def podman(self):
        d = self.dir
        reap_orphans()
        (d / "policy.json").write_text('{"default":[{"type":"insecureAcceptAnything"}]}')
        conf = d / "containers.conf"
        conf.write_text(f'[engine]\ntmp_dir="{self.run}/podman-tmp"\nconmon_path=["{self.bin("conmon")}"]\n'
                        f'runtime="runc"\nevents_logger="file"\ncgroup_manager="cgroupfs"\n'
                        f'[engine.runtimes]\nrunc=["{self.bin("runc")}"]\n')
        self.env["CONTAINERS_CONF"] = str(conf)
        base = [self.bin("podman"), "--root", d / "podman", "--runroot", self.run / "podman",
                "--storage-driver", "overlay"]
        self.podman_base = [*map(str, base)]
        self.do(*base, "load", "--signature-policy", d / "policy.json", "-i", self.archive)
        return [*self.podman_base, "run", "--rm", "--network", "none", "--pull", "never",
                "--no-healthcheck", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024",
                "localhost/busybox:latest" if "localhost/busybox" in
                self.do(*base, "images") else "busybox:latest", "true"]

    def docker(self):
        d = self.dir
        sock = d / "docker.sock"
        self.daemon(self.bin("dockerd"), "--data-root", d / "docker", "--exec-root", self.run / "d",
                    "--pidfile", d / "docker.pid", "-H", f"unix://{sock}", "--bridge", "none",
                    "--iptables=false", "--ip6tables=false", "--ip-forward=false",
                    "--ip-masq=false", ready=sock.exists)
        client = self.bin("docker")
        self.docker_base = [client, "-H", f"unix://{sock}"]
        self.do(*self.docker_base, "load", "-i", self.archive)
        return [*self.docker_base, "run", "--rm", "--network", "none", "busybox:latest", "true"]

    def ctr(self):
        d = self.dir
        sock = d / "containerd.sock"
        (d / "containerd.toml").write_text(
            f'version = 2\nroot = "{d}/c-root"\nstate = "{self.run}/containerd"\n'
            f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            f'[grpc]\naddress = "{sock}"\n')
        self.daemon(self.bin("containerd"), "--config", d / "containerd.toml", ready=sock.exists)
        self.ctr_base = [self.bin("ctr"), "--address", str(sock)]
        self.do(*self.ctr_base, "image", "import", self.archive)
        name = self.do(*self.ctr_base, "image", "ls", "-q").split()[0]
        self.ctr_count = 0

        def argv():
            self.ctr_count += 1
            return [*self.ctr_base, "run", "--rm", name, f"bench-{self.ctr_count}", "true"]
        return argv
