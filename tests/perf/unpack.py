#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`atoll load` of an image with one gzip layer of 400 MB against inflating and hashing it alone."""
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import measure

sys.path.insert(0, str(measure.TOP / "tests/e2e"))
from lib.run import Atoll  # noqa: E402

LAYER_BYTES = 400_000_000
ROUNDS = 5


def files():
    """Of this machine's /usr, as an image's are: text, programs, many small, some large."""
    for base, dirs, names in os.walk("/usr"):
        dirs.sort()
        for name in sorted(names):
            f = Path(base) / name
            if not f.is_symlink() and f.is_file() and f.stat().st_size <= 20_000_000:
                yield f


def fill(tar, some, most):
    """Files of these into the tar until they have so many bytes; how many."""
    total = 0
    for f in some:
        tar.add(f, arcname=str(f)[1:], recursive=False)
        total += f.stat().st_size + 1024
        if total > most:
            break
    return total


def make_layer(path):
    part = path.with_suffix(".part")
    packer = subprocess.Popen(["gzip", "-6"], stdin=subprocess.PIPE, stdout=open(part, "wb"))
    with tarfile.open(fileobj=packer.stdin, mode="w|") as tar:
        fill(tar, files(), LAYER_BYTES)
    packer.stdin.close()
    assert packer.wait() == 0
    part.rename(path)


def digest(path, command):
    p = subprocess.run(f"{command} {path} | sha256sum", shell=True, capture_output=True, text=True,
                       check=True)
    return p.stdout.split()[0]


def make_layout(directory, layer):
    """An OCI layout around the layer, its blob a link."""
    blobs = directory / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(data, media):
        d = hashlib.sha256(data).hexdigest()
        (blobs / d).write_bytes(data)
        return {"mediaType": media, "digest": f"sha256:{d}", "size": len(data)}

    base = "application/vnd.oci.image"
    config = blob(json.dumps({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest(layer, 'gzip -dc')}"]},
    }).encode(), f"{base}.config.v1+json")
    name = digest(layer, "cat")
    os.link(layer, blobs / name)
    manifest = blob(json.dumps({
        "schemaVersion": 2, "mediaType": f"{base}.manifest.v1+json", "config": config,
        "layers": [{"mediaType": f"{base}.layer.v1.tar+gzip", "digest": f"sha256:{name}",
                    "size": layer.stat().st_size}],
    }).encode(), f"{base}.manifest.v1+json")
    manifest["annotations"] = {"org.opencontainers.image.ref.name": "big:1"}
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2,
                                                      "manifests": [manifest]}))


def main():
    args = measure.arguments(__doc__)
    verdict = measure.Verdict()
    kept = args.build / "perf"
    kept.mkdir(exist_ok=True)
    layer = kept / "layer.tar.gz"
    if not layer.exists():
        make_layer(layer)
    inflate = kept / "inflate"
    subprocess.run(["cc", "-O2", "-o", inflate, measure.TOP / "tests/perf/inflate.c", "-lisal",
                    "-lcrypto"], check=True)
    with tempfile.TemporaryDirectory(prefix="perf-", dir=kept) as d:
        layout = Path(d) / "layout"
        make_layout(layout, layer)
        loads, alone = [], []
        for i in range(ROUNDS + 1):
            atoll = Atoll(args.build, Path(d) / f"a{i}")
            os.sync()  # what the round before wrote is not written back in this one
            start = time.perf_counter()
            atoll("load", "-i", layout, timeout=600)
            loads.append(time.perf_counter() - start)
            alone.append(measure.once([inflate, str(layer)]))
            shutil.rmtree(atoll.base)
        load, least = statistics.median(loads[1:]), statistics.median(alone[1:])
    measure.tell("atoll load", load)
    measure.tell("inflating and hashing alone", least)
    verdict.ratio("unpacking to inflating and hashing alone", load, least, 1.3)
    verdict.end()


if __name__ == "__main__":
    main()
