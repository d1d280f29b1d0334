#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
Images from and to a registry on the loopback (Debian's docker-registry): an image of five gzip
layers, 500 MB unpacked, against podman, docker, and skopeo with umoci; the memory that a layer of
2 GB takes; and the room that ten images take which share all layers but one.
"""
import gzip
import io
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path

import measure
import peers
import unpack

sys.path.insert(0, str(measure.TOP / "tests/e2e"))
from lib import images  # noqa: E402
from lib.registry import OCI, Image, Registry  # noqa: E402
from lib.run import Atoll  # noqa: E402
from memory import pss  # noqa: E402

LAYERS = 5
LAYER_BYTES = 100_000_000
SHARING = 10
OWN_BYTES = 5_000_000
BIG_BYTES = 2_000_000_000
ROUNDS = 5
MEMORY_KB = 64 << 10
PROGRAMS = ("atoll", "atoll-image", "atoll-registry")


def layers():
    some = unpack.files()
    for _ in range(LAYERS):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            assert unpack.fill(tar, some, LAYER_BYTES) > LAYER_BYTES
        yield data.getvalue()


def pack(layer):
    return subprocess.run(["gzip", "-6n"], input=layer, capture_output=True, check=True).stdout


def of_random(count):
    """A layer that is no other's."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        tar.addfile(images.entry("own", size=count), io.BytesIO(os.urandom(count)))
    return data.getvalue()


def big():
    """One file that does not compress to nothing, and is quick to make."""
    block = os.urandom(1 << 20)
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        tar.addfile(images.entry("big", size=BIG_BYTES // len(block) * len(block)),
                    io.BytesIO(block * (BIG_BYTES // len(block))))
    return data.getvalue()


class Subject:
    """What pulls and pushes: every step a shell's words, {ref} for the image's reference."""

    def __init__(self, p, pull, drop, tag=None, push=None):
        self.p, self.steps = p, {"pull": pull, "drop": drop, "tag": tag, "push": push}

    def __call__(self, step, **words):
        """Seconds it took."""
        script = self.steps[step].format(dir=self.p.dir, **words)
        return measure.once(["sh", "-ec", script], self.p.env)


def subjects(p, build):
    p.podman()
    podman = f"{' '.join(p.podman_base)}"
    policy = p.dir / "policy.json"
    p.docker()
    docker = " ".join(p.docker_base)
    own = Atoll(build, p.dir / "atoll")
    atoll = " ".join(map(str, own.argv()))
    skopeo = f"{p.bin('skopeo')} --insecure-policy"
    umoci = p.bin("umoci")
    return {
        "atoll": Subject(p, f"{atoll} pull -q {{ref}}", f"{atoll} rmi {{ref}}",
                         f"{atoll} tag {{of}} {{ref}}", f"{atoll} push -q {{ref}}"),
        "podman": Subject(p, f"{podman} pull -q --tls-verify=false --signature-policy {policy} {{ref}}",
                          f"{podman} rmi {{ref}}", f"{podman} tag {{of}} {{ref}}",
                          f"{podman} push -q --tls-verify=false --signature-policy {policy} {{ref}}"),
        "docker": Subject(p, f"{docker} pull -q {{ref}}", f"{docker} rmi {{ref}}",
                          f"{docker} tag {{of}} {{ref}}", f"{docker} push -q {{ref}}"),
        "skopeo and umoci": Subject(
            p, f"{skopeo} copy -q --src-tls-verify=false docker://{{ref}} oci:{{dir}}/layout:big; "
               f"{umoci} unpack --image {{dir}}/layout:big {{dir}}/bundle",
            "rm -rf {dir}/layout {dir}/bundle"),
        "skopeo": Subject(
            p, f"{skopeo} copy -q --src-tls-verify=false docker://{{ref}} oci:{{dir}}/pushed:big",
            "rm -rf {dir}/pushed", "true",
            f"{skopeo} copy -q --dest-tls-verify=false oci:{{dir}}/pushed:big docker://{{ref}}"),
    }


def report(verdict, what, times, bound):
    medians = {name: statistics.median(t) for name, t in times.items()}
    for name, seconds in medians.items():
        measure.tell(f"{what}, {name}", seconds)
    best = min((n for n in medians if n != "atoll"), key=medians.get)
    verdict.ratio(f"{what}, to {best}'s", medians["atoll"], medians[best], bound)


def pulls(verdict, all_, ref):
    cold = {n: [] for n in all_ if n != "skopeo"}
    warm = {n: [] for n in cold if n != "skopeo and umoci"}
    for i in range(ROUNDS + 1):
        for name in cold:
            os.sync()  # what the one before wrote is not written back in this one's time
            took = all_[name]("pull", ref=ref)
            again = all_[name]("pull", ref=ref) if name in warm else 0
            all_[name]("drop", ref=ref)
            if i:
                cold[name].append(took)
                if name in warm:
                    warm[name].append(again)
    report(verdict, "pull", cold, 0.5)
    report(verdict, "pull of what is there", warm, 0.5)


def pushes(verdict, all_, ref, directory):
    """Each to an empty registry at an address of its own, so that nothing is known of it."""
    times = {n: [] for n, s in all_.items() if s.steps["push"]}
    for name in times:
        all_[name]("pull", ref=ref)
    for i in range(ROUNDS + 1):
        for name in times:
            to = Registry(directory / f"to-{i}-{name}")
            try:
                target = f"{to.host}/big:1"
                all_[name]("tag", of=ref, ref=target)
                os.sync()
                took = all_[name]("push", ref=target)
                if name != "skopeo":
                    all_[name]("drop", ref=target)
            finally:
                to.stop()
                shutil.rmtree(directory / f"to-{i}-{name}")
            if i:
                times[name].append(took)
    for name in times:
        all_[name]("drop", ref=ref)
    report(verdict, "push", times, 0.7)


def used(directory):
    """Bytes on the disk; 0 where there is nothing yet."""
    out = subprocess.run(["du", "-s", "-B1", directory], capture_output=True, check=False).stdout
    return int(out.split()[0]) if out else 0


def sizes(p, all_, registry, shared):
    """What pulls wrote stays: each has its own store, with nothing else in it by now."""
    packed = {l: pack(l) for l in shared}
    refs = []
    for i in range(SHARING):
        own = of_random(OWN_BYTES)
        image = Image([*shared, own], lambda l: packed.get(l) or pack(l), f"{OCI}.layer.v1.tar+gzip")
        refs.append(registry.push("sharing", str(i), image))
    for name, where in (("atoll", "atoll/root"), ("podman", "podman"), ("docker", "docker")):
        before = used(p.dir / where)
        for ref in refs:
            all_[name]("pull", ref=ref)
        print(f"     {SHARING} images that share all but {OWN_BYTES / 1e6:.0f} MB, {name}: "
              f"{(used(p.dir / where) - before) / 1e6:.0f} MB", flush=True)
        for ref in refs:
            all_[name]("drop", ref=ref)


def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def is_below(pid, top):
    while pid > 1 and pid != top:
        pid = parent(pid)
    return pid == top


class Watched:
    """Context: the most memory that the programs had together which this process has started, by
    name, kB of PSS, looked at all the time."""

    def __init__(self):
        self.most, self.ended = {}, False
        self.thread = threading.Thread(target=self.watch)

    def watch(self):
        while not self.ended:
            now = {}
            for p in Path("/proc").glob("[0-9]*"):
                try:
                    name = (p / "comm").read_text().strip()
                    if name in PROGRAMS and is_below(int(p.name), os.getpid()):
                        now[name] = now.get(name, 0) + pss(p.name)
                except OSError:
                    pass  # it has ended
            if sum(now.values()) > sum(self.most.values()):
                self.most = now
            time.sleep(0.01)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.ended = True
        self.thread.join()


def main():
    args = measure.arguments(__doc__)
    verdict = measure.Verdict()
    with peers.Peers(args.build) as p, tempfile.TemporaryDirectory(prefix="perf-") as d:
        directory = Path(d)
        registry = Registry(directory / "registry")
        try:
            shared = list(layers())
            image = Image(shared, pack, f"{OCI}.layer.v1.tar+gzip")
            ref = registry.push("big", "1", image)
            print(f"     {sum(map(len, image.blobs)) / 1e6:.0f} MB in {LAYERS} blobs", flush=True)
            del image
            all_ = subjects(p, args.build)
            pulls(verdict, all_, ref)
            pushes(verdict, all_, ref, directory)
            sizes(p, all_, registry, shared)
            del shared
            ref = registry.push("huge", "1", Image([big()], lambda l: gzip.compress(l, 1),
                                                   f"{OCI}.layer.v1.tar+gzip"))
            with Watched() as w:
                all_["atoll"]("pull", ref=ref)
            all_["atoll"]("drop", ref=ref)
            print(f"     {w.most}")
            verdict.below("memory for a layer of 2 GB, kB", sum(w.most.values()), MEMORY_KB)
        finally:
            registry.stop()
    verdict.end()


if __name__ == "__main__":
    main()
