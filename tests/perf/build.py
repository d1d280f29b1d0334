#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
`atoll build` beside docker (its classic builder and BuildKit) and buildah: a Containerfile of two
stages with packages of Debian and a compilation, with nothing known of it and with everything; and
twenty small steps.
"""
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import measure
import peers

sys.path.insert(0, str(measure.TOP / "tests/e2e"))
from lib.run import Atoll  # noqa: E402

ROUNDS = 3
CACHED_ROUNDS = 9
STEPS = 20
REAL = """\
FROM debian:bookworm AS build
RUN apt-get update -q && apt-get install -q -y --no-install-recommends gcc libc6-dev make
WORKDIR /src
COPY src ./
RUN make
FROM debian:bookworm
RUN apt-get update -q && apt-get install -q -y --no-install-recommends file
COPY --from=build /src/program /usr/local/bin/
CMD ["program"]
"""


def write_contexts(directory):
    real, small = directory / "real", directory / "small"
    (real / "src").mkdir(parents=True)
    (real / "Dockerfile").write_text(REAL)
    (real / "src/program.c").write_text('#include <stdio.h>\nint main(void) { puts("built"); }\n')
    (real / "src/Makefile").write_text("program: program.c\n\tgcc -O2 -o $@ $<\n")
    small.mkdir()
    (small / "Dockerfile").write_text("FROM busybox:latest\n" + "".join(
        f"RUN echo {i} > /{i}\n" for i in range(STEPS)))
    return real, small


def subjects(p, own):
    """{name: (words of a build, what it takes to do all steps, environment)}"""
    p.docker()
    atoll = [*own.argv(), "build", "-q"]
    docker = [*p.docker_base, "build", "-q", "--network", "host"]
    storage = ["--root", p.dir / "buildah", "--runroot", p.run / "buildah", "--storage-driver",
               "overlay"]
    buildah = [p.bin("buildah"), *storage, "bud", "-q", "--layers", "--network", "host",
               "--runtime", p.bin("runc"), "--signature-policy", p.dir / "policy.json"]
    (p.dir / "policy.json").write_text('{"default":[{"type":"insecureAcceptAnything"}]}')
    for archive in p.dir.glob("*.tar"):
        own("load", "-i", archive, timeout=600)
        p.do(*p.docker_base, "load", "-i", archive)
        name = {"busybox": "busybox:latest", "debian": "debian:bookworm"}[archive.stem]
        p.do(p.bin("buildah"), *storage, "pull", "--signature-policy", p.dir / "policy.json",
             f"docker-archive:{archive}")
        p.do(p.bin("buildah"), *storage, "tag", name, f"docker.io/library/{name}")
    return {"atoll": (atoll, {}),
            "docker": (docker, {"DOCKER_BUILDKIT": "0"}),
            "docker, BuildKit": (docker, {"DOCKER_BUILDKIT": "1"}),
            "buildah": (buildah, {})}


def rounds(all_, p, context, n, *options):
    """Medians of n after one that is not counted, in turns."""
    times = {name: [] for name in all_}
    for i in range(n + 1):
        for name, (words, env) in all_.items():
            os.sync()  # what the one before wrote is not written back in this one's time
            took = measure.once([*map(str, words), *options, str(context)], {**p.env, **env})
            if i:
                times[name].append(took)
    return {name: statistics.median(t) for name, t in times.items()}


def report(verdict, what, medians, bound):
    for name, seconds in medians.items():
        measure.tell(f"{what}, {name}", seconds)
    best = min((n for n in medians if n != "atoll"), key=medians.get)
    verdict.ratio(f"{what}, to {best}'s", medians["atoll"], medians[best], bound)


def main():
    args = measure.arguments(__doc__)
    verdict = measure.Verdict()
    with peers.Peers(args.build) as p, tempfile.TemporaryDirectory(prefix="perf-") as d:
        real, small = write_contexts(Path(d))
        own = Atoll(args.build, p.dir / "atoll")
        own("image", "bootstrap", "debian:bookworm", timeout=900)
        own("save", "-o", p.dir / "debian.tar", "debian:bookworm", timeout=300)
        all_ = subjects(p, own)
        report(verdict, "packages and a compilation, every step",
               rounds(all_, p, real, ROUNDS, "--no-cache"), 1)
        report(verdict, "the same, nothing changed", rounds(all_, p, real, CACHED_ROUNDS), 0.2)
        report(verdict, f"{STEPS} small steps, every one",
               rounds(all_, p, small, ROUNDS, "--no-cache"), 0.5)
        subprocess.run([str(x) for x in (p.bin("buildah"), "--root", p.dir / "buildah", "--runroot",
                                         p.run / "buildah", "--storage-driver", "overlay", "rm",
                                         "-a")], env=p.env, capture_output=True, check=False)
    verdict.end()


if __name__ == "__main__":
    main()
