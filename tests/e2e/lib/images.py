# SPDX-License-Identifier: Apache-2.0
"""
Images made without a network: a docker archive of Debian's static busybox, and the pieces to make
others (layers, manifests) with whatever a test wants in them. Also bundles for atoll-runtime.
"""
import copy
import gzip
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

from . import cgroups

BUSYBOX = "/bin/busybox"
EPOCH = "2026-01-01T00:00:00Z"


def entry(name, kind=tarfile.REGTYPE, mode=0o644, size=0, link="", uid=0, gid=0, **more):
    """One header of a layer."""
    t = tarfile.TarInfo(name)
    t.type, t.mode, t.size, t.linkname, t.uid, t.gid = kind, mode, size, link, uid, gid
    for key, value in more.items():
        setattr(t, key, value)
    return t


def layer(entries):
    """A tar of (header, bytes or None) pairs, as bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for header, data in entries:
            if data is not None:
                header = copy.copy(header)
                header.size = len(data)
            tar.addfile(header, io.BytesIO(data) if data is not None else None)
    return out.getvalue()


def busybox_applets():
    import subprocess
    return subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True,
                          check=True).stdout.split()


def busybox_entries():
    """A root file system: busybox, its applets as links, and what programs expect to find."""
    dirs = ["bin", "dev", "etc", "home", "lib", "mnt", "opt", "proc", "root", "run", "sbin", "srv",
            "sys", "usr", "usr/bin", "usr/sbin", "var", "var/log"]
    yield from ((entry(d, tarfile.DIRTYPE, 0o755), None) for d in dirs)
    yield entry("tmp", tarfile.DIRTYPE, 0o1777), None
    yield entry("bin/busybox", mode=0o755), Path(BUSYBOX).read_bytes()
    for applet in busybox_applets():
        if applet != "busybox":
            yield entry(f"bin/{applet}", tarfile.SYMTYPE, 0o777, link="busybox"), None
    for name, text in {
        "passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
                  "tester:x:1000:1000::/home/tester:/bin/sh\n",
        "group": "root:x:0:\nstaff:x:50:tester\nnogroup:x:65534:\ntester:x:1000:\n",
        "os-release": 'ID=busybox\nPRETTY_NAME="busybox"\n',
    }.items():
        yield entry(f"etc/{name}"), text.encode()
    yield entry("home/tester", tarfile.DIRTYPE, 0o755, uid=1000, gid=1000), None


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def image_config(layers, **config):
    """An image's config JSON for uncompressed layers; keywords go to its `config` member."""
    return json.dumps({
        "architecture": "amd64", "os": "linux", "created": EPOCH,
        "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                   **config},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(l)}" for l in layers]},
        "history": [{"created": EPOCH, "created_by": f"layer {i}"} for i in range(len(layers))],
    }, sort_keys=True).encode()


def docker_archive(path, layers, tags, **config):
    """What `docker save` writes: manifest.json, config, layers."""
    cfg = image_config(layers, **config)
    files = {f"{sha256(cfg)}.json": cfg}
    names = []
    for data in layers:
        names.append(f"{sha256(data)}/layer.tar")
        files[names[-1]] = data
    files["manifest.json"] = json.dumps([{"Config": f"{sha256(cfg)}.json", "RepoTags": tags,
                                          "Layers": names}]).encode()
    Path(path).write_bytes(layer((entry(n), d) for n, d in files.items()))
    return path


def oci_layout(directory, layers, tag, compress=True, **config):
    """An OCI image layout as a directory."""
    directory = Path(directory)
    blobs = directory / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(data, media):
        (blobs / sha256(data)).write_bytes(data)
        return {"mediaType": media, "digest": f"sha256:{sha256(data)}", "size": len(data)}

    base = "application/vnd.oci.image"
    cfg = blob(image_config(layers, **config), f"{base}.config.v1+json")
    parts = [blob(gzip.compress(l, 6, mtime=0), f"{base}.layer.v1.tar+gzip") if compress
             else blob(l, f"{base}.layer.v1.tar") for l in layers]
    manifest = blob(json.dumps({"schemaVersion": 2, "mediaType": f"{base}.manifest.v1+json",
                                "config": cfg, "layers": parts}).encode(),
                    f"{base}.manifest.v1+json")
    manifest["annotations"] = {"org.opencontainers.image.ref.name": tag}
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2,
                                                      "manifests": [manifest]}))
    return directory


def busybox_archive(path, tag="busybox:latest"):
    return docker_archive(path, [layer(busybox_entries())], [tag], Cmd=["sh"])


def busybox_rootfs(directory):
    """The same as a directory: a bundle's root file system."""
    directory = Path(directory)
    directory.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(layer(busybox_entries()))) as tar:
        tar.extractall(directory)
    return directory


CAPS = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
        "CAP_NET_BIND_SERVICE", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID",
        "CAP_SYS_CHROOT", "CAP_AUDIT_WRITE", "CAP_NET_RAW"]

SPEC = {
    "ociVersion": "1.2.0",
    "process": {
        "terminal": False, "user": {"uid": 0, "gid": 0}, "args": ["/bin/true"], "cwd": "/",
        "env": ["PATH=/bin:/sbin:/usr/bin:/usr/sbin", "TERM=xterm"],
        "capabilities": {k: CAPS for k in ("bounding", "effective", "permitted")},
        "noNewPrivileges": True,
    },
    "root": {"path": "rootfs", "readonly": False},
    "hostname": "atoll",
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
         "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs",
         "options": ["nosuid", "noexec", "nodev", "ro"]},
    ],
    "linux": {
        "namespaces": [{"type": t} for t in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
        "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list"],
        "readonlyPaths": ["/proc/sys", "/proc/bus", "/proc/irq"],
    },
}


def spec(rootfs, args=("/bin/true",), **process):
    """A config.json; keywords replace members of its process."""
    s = copy.deepcopy(SPEC)
    s["root"]["path"] = str(rootfs)
    s["process"]["args"] = list(args)
    s["process"].update(process)
    return s


def bundle(directory, rootfs, args=("/bin/true",), change=None, **process):
    """
    A bundle in a new directory; the root file system is shared with other bundles. `change` gets
    the spec to alter as it likes; further keywords replace members of its process.
    """
    directory = Path(directory)
    directory.mkdir(parents=True)
    s = spec(rootfs, args, **process)
    if change:
        s = change(s) or s
    path = s.get("linux", {}).get("cgroupsPath") if isinstance(s, dict) else None
    if isinstance(path, str):
        s["linux"]["cgroupsPath"] = cgroups.spec_path(path)
    (directory / "config.json").write_text(json.dumps(s, indent=1))
    os.chmod(directory, 0o755)
    return directory
