# SPDX-License-Identifier: Apache-2.0
"""Kernels that are small and good for nothing but to be taken apart, and trees like a host's."""
import bz2
import glob
import gzip
import lzma
import os
import struct
import subprocess
from pathlib import Path

X86_64, AARCH64 = 62, 183
MODULES = ["virtio_pci", "vmw_vsock_virtio_transport", "virtiofs", "overlay", "virtio_blk", "erofs",
           "virtio_net", "virtio-rng", "virtio_balloon", "virtio_console"]


def cloud():
    """The version of Debian's cloud kernel, which tools/packages.txt brings."""
    return sorted(Path(p).name.removeprefix("vmlinuz-") for p in glob.glob("/boot/vmlinuz-*-cloud-*"))[-1]


def vmlinux(version="6.9.0-test", pvh=True, machine=X86_64, fill=b""):
    banner = b"Linux version " + version.encode() + b" (me) #1\0" + fill
    banner += bytes(-len(banner) % 4)
    note = struct.pack("<III4sQ", 4, 8, 18, b"Xen\0", 0x1000000) if pvh else b""
    at = 64 + 2 * 56
    head = b"\x7fELF\2\1\1" + bytes(9) + struct.pack(
        "<HHIQQQIHHHHHH", 2, machine, 1, 0x1000000, 64, 0, 0, 64, 56, 2 if pvh else 1, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, at + len(note), 0, 0x1000000, len(banner), len(banner), 0)
    notes = struct.pack("<IIQQQQQQ", 4, 4, at, 0, 0, len(note), len(note), 4)
    return head + load + notes + note + banner


def zstd(data):
    return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout


def lzma_alone(data):
    return lzma.compress(data, lzma.FORMAT_ALONE)


PACK = {"gzip": gzip.compress, "xz": lzma.compress, "zstd": zstd, "lzma": lzma_alone,
        "bzip2": bz2.compress, "none": bytes}


def bzimage(image=None, version="6.9.0-test", pack="gzip"):
    """A compressed kernel as Linux's build makes it: setup header, payload, its length at the end."""
    image = vmlinux(version) if image is None else image
    payload = PACK[pack](image)
    if pack not in ("gzip", "none"):
        payload += struct.pack("<I", len(image))
    p = bytearray(1024)
    p[0x1f1] = 1
    p[0x1fe:0x200] = b"\x55\xaa"
    p[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", p, 0x206, 0x20f)
    struct.pack_into("<H", p, 0x20e, 0x100)
    text = version.encode() + b" (me) #1\0"
    p[0x300:0x300 + len(text)] = text
    struct.pack_into("<H", p, 0x236, 1)
    struct.pack_into("<II", p, 0x248, 0, len(payload))
    return bytes(p) + payload + bytes(64)


def module(name):
    return b"\x7fELF no module at all: " + name.encode()


def modules(top, version, names=MODULES, builtin=(), suffix="", pack=bytes):
    """TOP/VERSION as depmod leaves it, each module needing the first of them."""
    d = Path(top) / version
    (d / "kernel").mkdir(parents=True, exist_ok=True)
    lines = []
    for i, name in enumerate(names):
        path = f"kernel/{name}.ko{suffix}"
        (d / path).write_bytes(pack(module(name)))
        first = f"kernel/{names[0]}.ko{suffix}"
        lines.append(f"{path}:" + (f" {first}" if i else ""))
    (d / "modules.dep").write_text("".join(l + "\n" for l in lines))
    (d / "modules.builtin").write_text("".join(f"kernel/{n}.ko\n" for n in builtin))
    return d


def tree(top, version, image=None, **kw):
    """TOP/boot/vmlinuz-VERSION and TOP/lib/modules/VERSION; gives the kernel's path."""
    path = Path(top) / "boot" / f"vmlinuz-{version}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bzimage(version=version) if image is None else image)
    modules(Path(top) / "lib/modules", version, **kw)
    return path


def read_cpio(data):
    """{name: (mode, content)} of a newc archive, in its order."""
    found, at = {}, 0
    while True:
        assert data[at:at + 6] == b"070701", at
        f = [int(data[at + 6 + 8 * i:at + 14 + 8 * i], 16) for i in range(13)]
        name = data[at + 110:at + 110 + f[11] - 1].decode()
        at += 110 + f[11]
        at += -at % 4
        if name == "TRAILER!!!":
            assert not data[at:].strip(b"\0")
            return found
        found[name] = (f[1], data[at:at + f[6]])
        assert f[2:4] == [0, 0] and f[5] == 0, "of root, without a time"
        at += f[6]
        at += -at % 4


def prepared(cache):
    """The directories in a cache of prepared kernels; nothing half-made is beside them."""
    names = set(os.listdir(cache))
    assert not [n for n in names if n.startswith("new.")], names
    return sorted(n for n in names if n != "lock" and not n.startswith("@") and n != "choice")
