# SPDX-License-Identifier: Apache-2.0
"""
Kernels made ready for microVMs by atoll-kernel: from every compression, in bad condition, many at
once, killed half-way, damaged afterwards; and booted.
"""
import hashlib
import itertools
import os
import random
import shutil
import signal
import subprocess
import time

import pytest

from lib import kernels
from lib.run import Atoll

BUSYBOX = "/usr/bin/busybox"


NUMBERS = itertools.count()


@pytest.fixture
def place(base):
    d = base / f"k{next(NUMBERS)}"
    (d / "cache").mkdir(parents=True)
    return d


@pytest.fixture
def start(build, place):
    """start(kernel=, ...): atoll-kernel under way, with the place's cache and modules."""

    def start(kernel, modules=None, agent=BUSYBOX, cache=None):
        return subprocess.Popen(
            [build / "atoll-kernel", "prepare", "--kernel", kernel, "--modules",
             modules or place / "lib/modules", "--agent", agent, "--cache", cache or place / "cache"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start


@pytest.fixture
def prepare(start):
    """The same, to its end: the directory's name."""

    def prepare(*a, **kw):
        p = start(*a, **kw)
        out, err = p.communicate(timeout=120)
        assert p.returncode == 0 and err == "", err
        return out.strip()

    return prepare


@pytest.fixture
def refused(start, place):
    """It fails in one line, and leaves nothing."""

    def refused(*a, **kw):
        p = start(*a, **kw)
        out, err = p.communicate(timeout=120)
        assert p.returncode == 1 and out == "", out
        assert err.count("\n") == 1 and kernels.prepared(place / "cache") == []
        return err

    return refused


def record(place, name):
    text = (place / "cache" / name / "record").read_text()
    return dict(l.split(" ", 1) for l in text.splitlines())


def test_of_debian(prepare, place):
    """The kernel that the package brings: whole, its modules in an order that they load in."""
    version = kernels.cloud()
    name = prepare(f"/boot/vmlinuz-{version}", modules="/lib/modules")
    made = place / "cache" / name
    assert kernels.prepared(place / "cache") == [name]
    assert record(place, name)["version"] == version
    assert (made / "vmlinux").read_bytes()[:4] == b"\x7fELF"
    there = os.stat(made / "vmlinux")
    assert there.st_blocks * 512 < there.st_size * 0.9  # a third of it is zeros
    files = kernels.read_cpio((made / "initramfs").read_bytes())
    assert list(files)[:3] == ["init", "modules", "modules/later"]
    assert files["init"] == (0o100755, open(BUSYBOX, "rb").read())
    order = [n.split("-", 1)[1].removesuffix(".ko") for n in list(files)[3:]]
    assert [n.split("/")[-1][:2] for n in list(files)[3:]] == [f"{i:02}" for i in range(len(order))]
    for module, needs in (("virtio", "virtio_ring"), ("virtio_pci", "virtio"), ("virtiofs", "fuse"),
                          ("vmw_vsock_virtio_transport", "vsock"), ("erofs", "libcrc32c")):
        if module in order and needs in order:
            assert order.index(needs) < order.index(module)
    for name, (mode, text) in list(files.items())[3:]:
        assert mode == 0o100644 and text[:4] == b"\x7fELF", name


def test_same_in_same_out(prepare, place):
    """Two caches, the same bytes."""
    kernel = kernels.tree(place, "6.9.0-a")
    (place / "other").mkdir()
    a, b = prepare(kernel), prepare(kernel, cache=place / "other")
    assert a == b
    for f in ("vmlinux", "initramfs"):
        assert (place / "cache" / a / f).read_bytes() == (place / "other" / b / f).read_bytes()


@pytest.mark.parametrize("pack", sorted(kernels.PACK))
def test_compressions(prepare, place, pack):
    image = kernels.vmlinux("6.9.0-p", fill=random.Random(1).randbytes(200000) +
                            bytes(50000) + random.Random(2).randbytes(100000) + bytes(9000))
    kernel = kernels.tree(place, "6.9.0-p", kernels.bzimage(image, "6.9.0-p", pack))
    name = prepare(kernel)
    assert (place / "cache" / name / "vmlinux").read_bytes() == image
    assert record(place, name)["kernel"] == str(kernel)


def test_an_uncompressed_one(prepare, place):
    image = kernels.vmlinux("6.9.0-u")
    name = prepare(kernels.tree(place, "6.9.0-u", image))
    assert (place / "cache" / name / "vmlinux").read_bytes() == image


@pytest.mark.parametrize("suffix, pack", [(".xz", "xz"), (".zst", "zstd"), (".gz", "gzip")])
def test_compressed_modules(prepare, place, suffix, pack):
    kernel = kernels.tree(place, "6.9.0-c", suffix=suffix, pack=kernels.PACK[pack])
    files = kernels.read_cpio((place / "cache" / prepare(kernel) / "initramfs").read_bytes())
    assert files["modules/00-virtio_pci.ko"][1] == kernels.module("virtio_pci")
    assert len(files) == 3 + len(kernels.MODULES)


def test_what_waits_until_it_is_needed(prepare, place):
    """A file system to write to: not every machine has one."""
    kernel = kernels.tree(place, "6.9.0-l", names=[*kernels.MODULES, "ext4"])
    name = prepare(kernel)
    files = kernels.read_cpio((place / "cache" / name / "initramfs").read_bytes())
    last = f"modules/later/{len(kernels.MODULES):02}-ext4.ko"
    assert [n for n in files if n.startswith("modules/later/")] == [last]
    assert files[last][1] == kernels.module("ext4")
    assert record(place, name)["lacks"] == ""


def test_built_in_counts(prepare, place):
    names = kernels.MODULES
    kernel = kernels.tree(place, "6.9.0-b", names=names[1:3],
                          builtin=[names[0], "overlay", "virtio_rng"])
    name = prepare(kernel)
    files = kernels.read_cpio((place / "cache" / name / "initramfs").read_bytes())
    assert list(files)[3:] == ["modules/00-vmw_vsock_virtio_transport.ko", "modules/01-virtiofs.ko"]
    assert record(place, name)["lacks"] == \
        "virtio_blk erofs virtio_net virtio_balloon virtio_console ext4"


def damaged(image):
    return image[:1500] + bytes(200) + image[1700:]


BAD = {
    "text": (b"#!/bin/sh\n" * 100, "not a Linux kernel"),
    "empty": (b"", "the file is empty"),
    "one byte": (b"M", "not a Linux kernel"),
    "header alone": (kernels.bzimage()[:0x220], "its setup header is not whole"),
    "cut short": (kernels.bzimage()[:1100], "the file is cut short"),
    "damaged": (damaged(kernels.bzimage(kernels.vmlinux(fill=os.urandom(5000)))), "damaged"),
    "payload of another": (kernels.bzimage(b"\x7fELF" + bytes(500)), "x86-64 is needed"),
    "arm64": (bytes(0x38) + b"ARM\x64" + bytes(500), "a kernel for arm64, where x86-64 is needed"),
    "arm64 ELF": (kernels.vmlinux(machine=kernels.AARCH64), "a kernel for arm64, where x86-64"),
    "no PVH": (kernels.bzimage(kernels.vmlinux(pvh=False)), "no PVH entry"),
    "a program": (open(BUSYBOX, "rb").read(), "kernel"),
    "cut within": (kernels.bzimage(kernels.vmlinux(fill=bytes(500))[:600], pack="xz"), "damaged kernel"),
    "other version": (kernels.bzimage(version="6.8.0-no"), "no modules for it"),
    "bent version": (kernels.bzimage(version="../../etc"), "does not say its version"),
    "lzo": (kernels.bzimage(pack="none").replace(b"\x7fELF", b"\x89LZO"), "lzo"),
}


@pytest.mark.parametrize("what", sorted(BAD))
def test_bad_kernels(refused, place, what):
    image, why = BAD[what]
    kernels.tree(place, "6.9.0-test")
    bad = place / "bad kernel"
    bad.write_bytes(image)
    said = refused(bad)
    assert why in said and f"'{bad}'" in said


def test_no_kernel(refused, place):
    kernels.tree(place, "6.9.0-test")
    assert "No such file" in refused(place / "nothing")
    assert "not a regular file" in refused(place)
    fifo = place / "fifo"
    os.mkfifo(fifo)
    assert "not a regular file" in refused(fifo)


@pytest.mark.parametrize("without", kernels.MODULES[:3])
def test_a_module_that_is_needed(refused, place, without):
    kernel = kernels.tree(place, "6.9.0-m", names=[n for n in kernels.MODULES if n != without])
    assert f"no module '{without}'" in refused(kernel)


def test_a_listed_module_that_is_not_there(refused, place):
    kernel = kernels.tree(place, "6.9.0-m")
    (place / "lib/modules/6.9.0-m/kernel/virtiofs.ko").unlink()
    assert "virtiofs.ko" in refused(kernel)
    (place / "lib/modules/6.9.0-m/modules.dep").unlink()
    (place / "lib/modules/6.9.0-m/modules.builtin").unlink()
    assert "run: depmod 6.9.0-m" in refused(kernel)


def test_an_agent_that_is_none(refused, place):
    kernel = kernels.tree(place, "6.9.0-m")
    assert "not a program" in refused(kernel, agent=kernel)
    assert "No such file" in refused(kernel, agent=place / "nobody")


def test_many_at_once(start, place):
    """All get the same directory, made once."""
    kernel = kernels.tree(place, "6.9.0-n", kernels.bzimage(
        kernels.vmlinux("6.9.0-n", fill=os.urandom(3 << 20)), "6.9.0-n"))
    all_ = [start(kernel) for _ in range(12)]
    names = {p.communicate(timeout=120)[0].strip() for p in all_}
    assert {p.returncode for p in all_} == {0}
    assert kernels.prepared(place / "cache") == list(names)


def test_killed(start, prepare, place):
    """Whenever: nothing that is visible is not whole, and the next one clears up."""
    kernel = kernels.tree(place, "6.9.0-x", kernels.bzimage(
        kernels.vmlinux("6.9.0-x", fill=os.urandom(4 << 20)), "6.9.0-x", "xz"))
    (place / "measure").mkdir()
    begun = time.monotonic()
    want = prepare(kernel, cache=place / "measure")
    whole = time.monotonic() - begun
    sizes = {f: os.stat(place / "measure" / want / f).st_size for f in ("vmlinux", "initramfs")}
    rnd = random.Random(7)
    for _ in range(40):
        p = start(kernel)
        time.sleep(rnd.random() * whole)  # the moment is what is tested
        p.send_signal(signal.SIGKILL)
        p.communicate(timeout=60)
        if (place / "cache" / want).exists():
            assert {f: os.stat(place / "cache" / want / f).st_size for f in sizes} == sizes
            shutil.rmtree(place / "cache" / want)
    assert prepare(kernel) == want
    assert kernels.prepared(place / "cache") == [want]


def test_left_behind_is_removed(prepare, place):
    kernel = kernels.tree(place, "6.9.0-l")
    (place / "cache/new.kernel").mkdir()
    (place / "cache/new.kernel/vmlinux").write_bytes(b"half")
    os.symlink("nowhere", place / "cache/@1-2-3")
    name = prepare(kernel)
    assert kernels.prepared(place / "cache") == [name]
    assert not os.path.lexists(place / "cache/@1-2-3")


DAMAGE = {
    "cut": lambda d: os.truncate(d / "vmlinux", 100),
    "gone": lambda d: (d / "initramfs").unlink(),
    "changed": lambda d: (d / "vmlinux").write_bytes(b"x" * os.stat(d / "vmlinux").st_size),
    "no record": lambda d: (d / "record").unlink(),
    "bent record": lambda d: (d / "record").write_text("atoll-kernel 1\nversion x\n"),
    "a directory": lambda d: ((d / "vmlinux").unlink(), (d / "vmlinux").mkdir()),
}


@pytest.mark.parametrize("how", sorted(DAMAGE))
def test_damaged(prepare, place, how):
    kernel = kernels.tree(place, "6.9.0-d")
    name = prepare(kernel)
    d = place / "cache" / name
    want = {f: (d / f).read_bytes() for f in ("vmlinux", "initramfs")}
    DAMAGE[how](d)
    assert prepare(kernel) == name
    assert {f: (d / f).read_bytes() for f in want} == want
    assert kernels.prepared(place / "cache") == [name]


def of_another_boot(d):
    text = (d / "record").read_text().splitlines()
    text[1] = "boot 00000000-0000-4000-8000-000000000000"
    (d / "record").chmod(0o600)
    (d / "record").write_text("\n".join(text) + "\n")


def test_after_a_reboot(prepare, place):
    """What a power cut left is compared once; what is good stays as it is."""
    kernel = kernels.tree(place, "6.9.0-r")
    name = prepare(kernel)
    d = place / "cache" / name
    inode = os.stat(d / "vmlinux").st_ino
    of_another_boot(d)
    assert prepare(kernel) == name and os.stat(d / "vmlinux").st_ino == inode
    assert record(place, name)["boot"] == open("/proc/sys/kernel/random/boot_id").read().strip()
    # The same size and time, as a file system may leave a file that never reached the disk.
    want = (d / "vmlinux").read_bytes()
    (d / "vmlinux").write_bytes(bytes(len(want)))
    os.utime(d / "vmlinux", (0, 0))
    of_another_boot(d)
    assert prepare(kernel) == name and (d / "vmlinux").read_bytes() == want


def test_what_it_is_made_of_names_it(prepare, place):
    """Another kernel, agent or module is another directory."""
    kernel = kernels.tree(place, "6.9.0-w")
    names = [prepare(kernel), prepare(kernel, agent="/proc/self/exe")]
    (place / "lib/modules/6.9.0-w/kernel/virtiofs.ko").write_bytes(kernels.module("another"))
    names.append(prepare(kernel))
    kernel.write_bytes(kernel.read_bytes() + b"\0")
    names.append(prepare(kernel))
    assert len(set(names)) == 4 and kernels.prepared(place / "cache") == sorted(names)
    # The kernel itself is there once.
    assert len({os.stat(place / "cache" / n / "vmlinux").st_ino for n in names}) == 1
    # And damaged once for all; nobody takes it from another then.
    want = (place / "cache" / names[0] / "vmlinux").read_bytes()
    os.truncate(place / "cache" / names[0] / "vmlinux", 5)
    assert prepare(kernel) == names[3]
    assert (place / "cache" / names[3] / "vmlinux").read_bytes() == want


def test_full_disk(start, place):
    """No room: said in one line, and nothing is left."""
    kernel = kernels.tree(place, "6.9.0-f", kernels.bzimage(
        kernels.vmlinux("6.9.0-f", fill=os.urandom(8 << 20)), "6.9.0-f"))
    small = place / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small], check=True)
    try:
        p = start(kernel, cache=small)
        _, err = p.communicate(timeout=60)
        assert p.returncode == 1 and "No space left" in err and err.count("\n") == 1
        assert kernels.prepared(small) == []
    finally:
        subprocess.run(["umount", small], check=True)


INIT = r"""
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void)
{
	struct dirent **list;
	int n = scandir("/modules", &list, NULL, alphasort), bad = 0, loaded = 0;
	for (int i = 0; i < n; i++) {
		char path[300];
		if (!strstr(list[i]->d_name, ".ko"))
			continue;
		snprintf(path, sizeof(path), "/modules/%s", list[i]->d_name);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (syscall(SYS_finit_module, fd, "", 0) < 0 && ++bad)
			perror(path);
		else
			loaded++;
	}
	mkdir("/t", 0700);
	printf("loaded %d bad %d overlay %d\n", loaded, bad,
	       mount("overlay", "/t", "overlay", 0, "lowerdir=/modules:/dev"));
	fflush(stdout);
	reboot(RB_POWER_OFF);
}
"""


@pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="no QEMU on this machine")
def test_boots(prepare, place):
    """What was prepared is a kernel that boots by PVH, with modules that it takes."""
    (place / "init.c").write_text(INIT)
    subprocess.run(["gcc", "-static", "-O1", "-include", "sys/stat.h", "-w", "-o", place / "init",
                    place / "init.c"], check=True)
    name = prepare(f"/boot/vmlinuz-{kernels.cloud()}", modules="/lib/modules", agent=place / "init")
    d = place / "cache" / name
    out = subprocess.run(
        ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-cpu", "max,-cx16", "-m", "256",
         "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio",
         "-kernel", d / "vmlinux", "-initrd", d / "initramfs",
         "-append", "console=ttyS0 quiet panic=-1 cryptomgr.notests"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=400)
    listed = len(kernels.read_cpio((d / "initramfs").read_bytes())) - 3
    assert f"loaded {listed} bad 0 overlay 0" in out.stdout, out.stdout + out.stderr


# ---- the verbs ----


class Host:
    """`atoll` on a host with kernels of its own, and an agent that is any program."""

    def __init__(self, build, top):
        self.top = top
        (top / "bin").mkdir(parents=True)
        for name in ("atoll", "atoll-kernel"):
            shutil.copy(build / name, top / "bin")
        shutil.copy(BUSYBOX, top / "bin/atoll-agent")
        (top / "boot").mkdir()
        (top / "lib/modules").mkdir(parents=True)
        (top / "wrap").mkdir()
        script = top / "wrap/atoll"
        script.write_text("#!/bin/sh\nexec unshare -m sh -ec '\n"
                          f"mount --bind {top}/boot /boot\nmount --bind {top}/lib/modules /lib/modules\n"
                          f"exec {top}/bin/atoll \"$@\"' atoll \"$@\"\n")
        script.chmod(0o755)
        self.atoll = Atoll(top / "wrap", top / "i")
        self.kernels = self.atoll.root / "kernels"

    def add(self, version, **kw):
        return kernels.tree(self.top, version, **kw)

    def ls(self):
        rows = self.atoll("kernel", "ls", "--no-trunc", "--format", "json").json_lines
        return {r["Version"]: r for r in rows}

    def used(self, **kw):
        rows = self.atoll("kernel", "ls", "--format", "{{.Used}} {{.Version}}", **kw).out
        return [l.split()[1] for l in rows.splitlines() if l.startswith("*")]


@pytest.fixture
def host(build, place):
    h = Host(build, place / "h")
    (place / "h/i").mkdir()
    yield h
    h.atoll.clean()


def test_the_default(host):
    """The newest for clouds, else the newest; what has no modules is none."""
    assert host.atoll("kernel", "ls", "-q").out == ""
    host.add("6.9.0-1-amd64")
    host.add("6.10.0-1-amd64")
    assert host.used() == ["6.10.0-1-amd64"]
    host.add("6.1.0-9-cloud-amd64")
    host.add("6.1.0-56-cloud-amd64")
    host.add("6.20.0-1-amd64")
    shutil.rmtree(host.top / "lib/modules/6.20.0-1-amd64")
    assert host.used() == ["6.1.0-56-cloud-amd64"]
    assert host.atoll("kernel", "ls", "-q").out.split() == [
        "6.1.0-56-cloud-amd64", "6.1.0-9-cloud-amd64", "6.10.0-1-amd64", "6.9.0-1-amd64"]
    assert host.used(env={"ATOLL_KERNEL": "6.9.0-1-amd64"}) == ["6.9.0-1-amd64"]
    assert host.used(env={"ATOLL_KERNEL": "none"}) == []


def test_a_kernel_beside_its_modules(host):
    """Fedora's way: /lib/modules/VERSION/vmlinuz."""
    path = host.add("6.9.0-1.fc40.x86_64")
    path.rename(host.top / "lib/modules/6.9.0-1.fc40.x86_64/vmlinuz")
    assert host.ls()["6.9.0-1.fc40.x86_64"]["Path"] == "/lib/modules/6.9.0-1.fc40.x86_64/vmlinuz"


def test_use(host):
    host.add("6.9.0-a")
    host.add("6.10.0-b")
    assert host.atoll("kernel", "use", "6.9.0-a").line == "6.9.0-a"
    assert host.used() == ["6.9.0-a"]
    row = host.ls()["6.9.0-a"]
    assert kernels.prepared(host.kernels) == [row["ID"]] and row["PreparedSize"]
    assert not host.ls()["6.10.0-b"]["ID"]
    # What the user chose is gone: nothing else is taken in its place.
    (host.top / "boot/vmlinuz-6.9.0-a").unlink()
    assert host.used() == []
    assert host.atoll("kernel", "use", "--default").line == "6.10.0-b"
    assert host.used() == ["6.10.0-b"]


def test_use_of_a_path(host, place):
    """A tree of its own brings its modules; a relative path means the same."""
    host.add("6.9.0-a")
    path = kernels.tree(place / "own", "6.9.9-own")
    assert host.atoll("kernel", "use", "own/boot/vmlinuz-6.9.9-own", cwd=place).line == "6.9.9-own"
    assert host.ls()["6.9.9-own"]["Path"] == str(path) and host.used() == ["6.9.9-own"]


def test_use_of_what_is_not_fit(host, place):
    host.add("6.9.0-a")
    host.add("6.9.0-old", names=kernels.MODULES[1:])
    text = place / "text"
    text.write_text("no kernel\n" * 99)
    host.atoll.fails("kernel", "use", "6.8", rc=1, says="there is: 6.9.0-old, 6.9.0-a")
    host.atoll.fails("kernel", "use", text, rc=1, says="not a Linux kernel")
    host.atoll.fails("kernel", "use", place / "gone", rc=1, says="No such file")
    host.atoll.fails("kernel", "use", "6.9.0-old", rc=1, says="virtio_pci")
    host.atoll.fails("kernel", "use", rc=125, says="--default")
    assert host.used() == ["6.9.0-old"]  # none of them was taken
    (host.top / "bin/atoll-agent").unlink()
    host.atoll.fails("kernel", "use", "6.9.0-a", rc=1, says="atoll-agent")


def test_inspect(host):
    host.add("6.9.0-a", names=kernels.MODULES[:-2])
    host.add("6.9.0-b")
    assert host.atoll("kernel", "inspect", "6.9.0-a").json[0]["Prepared"] is None
    host.atoll("kernel", "use", "6.9.0-a")
    for ref in ("6.9.0-a", "/boot/vmlinuz-6.9.0-a", host.ls()["6.9.0-a"]["ID"][:12]):
        got = host.atoll("kernel", "inspect", ref).json[0]
        assert (got["Version"], got["Modules"], got["Used"]) == ("6.9.0-a", "/lib/modules", True)
        p = got["Prepared"]
        assert p["Lacks"] == ["virtio_balloon", "virtio_console", "ext4"]
        for name in "vmlinux", "initramfs":
            data = open(f"{p['Path']}/{name}", "rb").read()
            digest = hashlib.sha256(data).hexdigest()
            assert p[name.capitalize()] == {"Size": len(data), "Digest": f"sha256:{digest}"}
    assert host.atoll("kernel", "inspect", "-f", "{{.Used}}", "6.9.0-b").line == "false"
    host.atoll.fails("kernel", "inspect", "6.8", rc=1, says="6.8")


def test_of_an_ordinary_user(build, user):
    """The host's kernel, prepared in his own directory."""
    from lib.rootless import UserAtoll
    mine = UserAtoll(build, user)
    version = kernels.cloud()
    assert mine("kernel", "use", version).line == version
    row, = (r for r in mine("kernel", "ls", "--no-trunc", "--format", "json").json_lines
            if r["Version"] == version)
    assert row["Used"] == "*" and kernels.prepared(mine.root / "kernels") == [row["ID"]]
    mine("kernel", "prune", "-a", "-f")
    assert kernels.prepared(mine.root / "kernels") == []


def test_rm_and_prune(host):
    host.add("6.9.0-a")
    host.add("6.9.0-b")
    host.atoll("kernel", "use", "6.9.0-a")
    host.atoll("kernel", "use", "6.9.0-b")
    ids = {v: r["ID"] for v, r in host.ls().items()}
    host.atoll.fails("kernel", "rm", "6.9.0-c", rc=1, says="no prepared kernel: 6.9.0-c")
    assert host.atoll("kernel", "rm", "6.9.0-a").line == "6.9.0-a"
    assert kernels.prepared(host.kernels) == [ids["6.9.0-b"]]
    assert "0B" in host.atoll("kernel", "prune", "-f").out
    assert kernels.prepared(host.kernels) == [ids["6.9.0-b"]]
    # With another agent it is no more what a machine would get.
    with open(host.top / "bin/atoll-agent", "ab") as f:
        f.write(b"\0")
    assert not host.ls()["6.9.0-b"]["ID"]
    assert ids["6.9.0-b"] in host.atoll("kernel", "prune", "-f").out
    assert kernels.prepared(host.kernels) == []
    host.atoll("kernel", "use", "6.9.0-b")
    assert host.ls()["6.9.0-b"]["ID"] != ids["6.9.0-b"]
    host.atoll("kernel", "rm", host.ls()["6.9.0-b"]["ID"][:8])
    host.atoll("kernel", "use", "6.9.0-b")
    host.atoll("kernel", "prune", "-a", "-f")
    assert kernels.prepared(host.kernels) == []
