# SPDX-License-Identifier: Apache-2.0
"""
What a machine is made of: Debian's kernel and its modules, an initramfs, optionally a Debian root
with systemd on a disk image. Made once, kept in a directory (build/vm), nothing of it is committed.
Each part is made under another name and renamed, so one that exists is whole.
"""
import fcntl
import hashlib
import lzma
import os
import re
import shutil
import stat
import struct
import subprocess
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUSYBOX = Path("/bin/busybox")
# In the initramfs; everything else the machine loads by itself when it is asked for.
MODULES = ["virtio_pci", "9pnet_virtio", "9p", "virtio_console", "virtio_blk", "overlay", "ext4"]
SCRATCH_MIB = 8192
SYSTEMD_ROOT = ["systemd-sysv", "dbus", "dbus-user-session", "libpam-systemd", "udev", "kmod",
                "procps", "iproute2", "busybox-static", "apparmor", "uidmap", "strace", "python3",
                "python3-pytest", "python3-pytest-timeout",
                # what atoll-image is linked with
                "libisal2", "libseccomp2", "libssl3", "libzstd1"]
SYSTEMD_IMAGE_MIB = 1536
FETCH_TIMEOUT_S = 600


class Unavailable(Exception):
    """A part cannot be had on this machine at this moment: no mirror, no right to install."""


def call(argv, what, cwd=None, timeout=FETCH_TIMEOUT_S):
    """Output of a command; Unavailable names `what` and the command's last words."""
    try:
        p = subprocess.run(argv, cwd=cwd, timeout=timeout, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                           errors="replace", check=False)
    except (OSError, subprocess.TimeoutExpired) as ex:
        raise Unavailable(f"{what}: {ex}") from None
    if p.returncode:
        last = (p.stdout.strip().splitlines() or ["no output"])[-1]
        raise Unavailable(f"{what}: {last}")
    return p.stdout


class Parts:
    """Paths of the parts below `cache`; each method makes one when it is not there."""

    def __init__(self, cache):
        self.cache = Path(cache).resolve()
        self.kernel = self.cache / "kernel"
        # Another list of packages is another image.
        key = hashlib.sha256(" ".join(SYSTEMD_ROOT).encode()).hexdigest()[:8]
        self.image = self.cache / f"systemd-{key}.img"

    @contextmanager
    def locked(self):
        """One maker at a time; the others wait and find the part made."""
        self.cache.mkdir(parents=True, exist_ok=True)
        with open(self.cache / "lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def get(self, systemd=False):
        """All parts of a machine."""
        with self.locked():
            call([str(HERE.parent / "deps"), str(HERE / "packages.txt")],
                 "the packages for a virtual machine cannot be installed", timeout=1800)
            if not self.kernel.is_dir():
                self._make("kernel", self._fetch_kernel)
            if systemd and not self.image.exists():
                for old in self.cache.glob("systemd*.img"):
                    old.unlink()
                self._make(self.image.name, self._bootstrap)
        return self

    def _make(self, name, make):
        part = self.cache / f"{name}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.unlink(missing_ok=True)
        make(part)
        part.rename(self.cache / name)

    @property
    def version(self):
        return (self.kernel / "version").read_text().strip()

    def _fetch_kernel(self, part):
        part.mkdir()
        apt = ["apt-get", "-q", "-o", "Acquire::Retries=3", "-o", "Acquire::http::Timeout=30",
               "-o", "APT::Sandbox::User=root"]
        last = None
        # The lists of packages may be missing, or older than the kernel on the mirror.
        for update in (False, True):
            try:
                if update:
                    call([*apt, "update"], "the Debian mirror cannot be reached")
                meta = call(["apt-cache", "show", "--no-all-versions", "linux-image-amd64"],
                            "no package linux-image-amd64")
                found = re.search(r"^Depends:.*?(linux-image-[0-9][^ ,]*)", meta, re.M)
                if not found:
                    raise Unavailable("linux-image-amd64 depends on no kernel")
                call([*apt, "download", found[1]], "Debian's kernel cannot be fetched", cwd=part)
                break
            except Unavailable as ex:
                last = ex
        else:
            raise last
        deb, = part.glob("*.deb")
        call(["dpkg-deb", "-x", str(deb), str(part)], "Debian's kernel cannot be unpacked")
        deb.unlink()
        bz_image, = (part / "boot").glob("vmlinuz-*")
        version = bz_image.name.removeprefix("vmlinuz-")
        if not (part / "lib/modules").exists():  # where Debian has merged /usr in the package
            (part / "lib").mkdir(exist_ok=True)
            (part / "lib/modules").symlink_to("../usr/lib/modules")
        call([tool("depmod"), "-b", str(part), version], "depmod")
        (part / "vmlinux").write_bytes(uncompressed(bz_image.read_bytes()))
        (part / "version").write_text(version + "\n")

    def _bootstrap(self, part):
        root = self.cache / "systemd.root"
        shutil.rmtree(root, ignore_errors=True)
        try:
            call(["mmdebstrap", "--mode=root", "--variant=minbase",
                  f"--include={','.join(SYSTEMD_ROOT)}", "--skip=output/dev", "bookworm",
                  str(root)], "the Debian root with systemd cannot be made", timeout=1800)
            (root / "etc/hostname").write_text("atoll-vm\n")
            (root / "etc/fstab").write_text("")
            units = root / "etc/systemd/system"
            # Gettys hang up the terminals they take, our output with them.
            for unit in ("serial-getty@ttyS0", "serial-getty@hvc0", "getty@tty1", "console-getty"):
                (units / f"{unit}.service").symlink_to("/dev/null")
            file_system(part, SYSTEMD_IMAGE_MIB, root)
        finally:
            shutil.rmtree(root, ignore_errors=True)

    def modules(self, wanted):
        """The modules and what they need, as (name, mode, bytes): their names sort as they load."""
        paths = []
        for module in wanted:
            shown = call([tool("modprobe"), "-d", str(self.kernel), "-S", self.version,
                          "--show-depends", module], f"no module {module} in Debian's kernel")
            for line in shown.splitlines():
                if line.startswith("insmod "):
                    path = Path(line.split()[1])
                    if path not in paths:
                        paths.append(path)
        files = []
        for n, path in enumerate(paths):
            data = path.read_bytes()
            if path.suffix == ".xz":
                data = lzma.decompress(data)
            files.append((f"modules/{n:03}-{path.name.removesuffix('.xz')}", 0o644, data))
        return files

    def initramfs(self, script):
        """A cpio archive, uncompressed: busybox, the modules of the boot, `script` as init."""
        files = [("bin/busybox", 0o755, BUSYBOX.read_bytes()), ("init", 0o755, script.encode())]
        return cpio(["bin", "dev", "proc", "sys", "modules", "lower", "rw", "root"],
                    files + self.modules(MODULES))


def tool(name):
    """Path of a program that may stand in a directory for root's programs only."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if not found:
        raise Unavailable(f"no program {name}")
    return found


def file_system(path, mib, root=None):
    """An ext4 image, sparse; with the files of a directory."""
    with open(path, "wb") as f:
        f.truncate(mib << 20)
    call([tool("mkfs.ext4"), "-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1",
          *(["-d", str(root)] if root else []), str(path)], "mkfs.ext4")


def uncompressed(bz_image):
    """
    The ELF image in a bzImage: QEMU starts it in 32-bit mode (PVH), which saves unpacking it with
    emulated instructions. Offset and length are in the header, see Linux's x86/boot.rst.
    """
    if bz_image[0x202:0x206] != b"HdrS":
        start = bz_image.find(b"HdrS")
    else:
        start = 0x202
    setup_sectors = bz_image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", bz_image, start - 0x202 + 0x248)
    payload = bz_image[(setup_sectors + 1) * 512 + offset:][:length]
    if not payload.startswith(b"\xfd7zXZ\0"):
        return bz_image  # another compression: QEMU boots it as it is, a few seconds later
    # After the stream stands its unpacked length.
    return lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(payload)


def cpio(dirs, files):
    """A "newc" archive, see Linux's buffer-format.rst. Files without a type in their mode are regular."""
    out = bytearray()

    def put(name, mode, data):
        put.ino += 1
        raw = name.encode() + b"\0"
        fields = (put.ino, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0)
        out.extend(b"070701" + b"".join(b"%08X" % f for f in fields) + raw)
        out.extend(bytes(-len(out) % 4))
        out.extend(data)
        out.extend(bytes(-len(out) % 4))

    put.ino = 0
    for name in dirs:
        put(name, stat.S_IFDIR | 0o755, b"")
    for name, mode, data in files:
        put(name, mode if stat.S_IFMT(mode) else stat.S_IFREG | mode, data)
    put("TRAILER!!!", 0, b"")
    return bytes(out)
