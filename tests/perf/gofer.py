#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
Files of the host in a sandbox: what operations (ops.c) ask of the gofer, counted by a stranger
between the two, and what they take beside the bare host, in turns.

    gofer.py [--build DIR] [--runs N] [--only OPERATION,...]
"""
import collections
import json
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import launcher
import measure
import peers

sys.path.insert(0, str(measure.TOP / "tests/e2e"))
from lib import sentry  # noqa: E402

TIMES = 200
ROOM = 256 << 10
# linux/fuse.h
NAMES = {1: "LOOKUP", 2: "FORGET", 3: "GETATTR", 4: "SETATTR", 5: "READLINK", 6: "SYMLINK",
         8: "MKNOD", 9: "MKDIR", 10: "UNLINK", 11: "RMDIR", 12: "RENAME", 13: "LINK", 14: "OPEN",
         15: "READ", 16: "WRITE", 17: "STATFS", 18: "RELEASE", 20: "FSYNC", 21: "SETXATTR",
         22: "GETXATTR", 23: "LISTXATTR", 24: "REMOVEXATTR", 26: "INIT", 27: "OPENDIR",
         28: "READDIR", 29: "RELEASEDIR", 30: "FSYNCDIR", 35: "CREATE", 42: "BATCH_FORGET",
         43: "FALLOCATE", 44: "READDIRPLUS", 45: "RENAME2", 46: "LSEEK", 51: "TMPFILE"}
SILENT = ("FORGET", "BATCH_FORGET")
# Requests whose answer somebody waits for, of one operation; FORGET and RELEASE are beside them.
PROMISES = {"stat": 0.1, "open+close": 0.1, "create+unlink": 2, "make-whole": 2, "read-4k": 0.1,
            "list-32": 4}


class Stranger:
    """Hands on what a sandbox and its gofer say to each other, and counts requests."""

    def __init__(self, gofer):
        self.gofer, self.counts = gofer.socket, collections.Counter()
        self.near, self.socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for s in (self.near, self.socket, self.gofer):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.threads = [threading.Thread(target=self.carry, args=ends) for ends in
                        ((self.near, self.gofer, True), (self.gofer, self.near, False))]
        for t in self.threads:
            t.start()

    def carry(self, source, to, requests):
        while True:
            data, fds, _, _ = socket.recv_fds(source, ROOM, 4)
            if not data:
                break
            if requests:
                self.counts[struct.unpack_from("<II", data)[1]] += 1
            try:
                socket.send_fds(to, [data], fds)
            except OSError:
                break
            finally:
                for fd in fds:
                    socket.close(fd)
        try:
            to.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has hung up itself

    def close(self):
        """Its own end; when both have hung up it is over."""
        self.socket.close()
        for t in self.threads:
            t.join()
        self.near.close()


class World:
    def __init__(self, build, base, where):
        self.build, self.base, self.where = build, base, where
        self.ops = launcher.compiled(build, "ops", "-pthread")
        self.root = sentry.tree(base / "root", [self.ops])
        (self.root / "w").mkdir()

    def words(self, fd, args):
        c = sentry.config(["ops", *args])
        c["mounts"].append({"destination": "/w", "type": "bind", "source": "w",
                            "options": ["bind"]})
        with tempfile.NamedTemporaryFile("w", dir=self.base, delete=False) as f:
            json.dump(c, f)
        return [self.build / "atoll-sentry", "--root", "share:root", "--gofer", f"fd:{fd}",
                "--config", f.name, "--bind", f"{len(c['mounts']) - 1}=w"]

    def run(self, args, count=None):
        """What it said; count: gets the number of each request."""
        with sentry.Gofer(self.build, {"root": self.root, "w": self.where}) as g:
            stranger = Stranger(g) if count is not None else None
            s = (stranger or g).socket
            p = subprocess.run(self.words(s.fileno(), args), pass_fds=[s.fileno()], text=True,
                               stdout=subprocess.PIPE, timeout=120, check=True)
            if stranger:
                stranger.close()
                count.update({NAMES.get(op, str(op)): n for op, n in stranger.counts.items()})
        return p.stdout

    def requests(self, name):
        """{request: how many of one operation}, without those of the beginning and the end."""
        few, many = collections.Counter(), collections.Counter()
        self.run(["-n", str(TIMES // 10), "/w", name], few)
        self.run(["-n", str(TIMES // 10 + TIMES), "/w", name], many)
        many.subtract(few)
        return {op: n / TIMES for op, n in many.items() if abs(n) > TIMES / 100}

    def took(self, name, inside):
        said = self.run(["/w", name]) if inside else subprocess.run(
            [self.ops, self.where, name], capture_output=True, text=True, check=True).stdout
        return float(said.split()[1])


def times(world, name, runs):
    """Medians of microseconds on the host and inside."""
    found = {False: [], True: []}
    for _ in range(runs):
        for inside, us in found.items():
            us.append(world.took(name, inside))
    return statistics.median(found[False]), statistics.median(found[True])


def main():
    args = measure.arguments(__doc__, only=",".join((*PROMISES, "write-4k")))
    verdict = measure.Verdict()
    peers.own_mounts()
    base = Path(tempfile.mkdtemp(prefix="atoll-gofer-", dir="/tmp"))
    where = Path(tempfile.mkdtemp(prefix="atoll-gofer-", dir="/dev/shm"))
    try:
        world = World(args.build, base, where)
        for name in args.only.split(","):
            asked = world.requests(name)
            host, inside = times(world, name, max(3, args.runs // 5))
            row = ", ".join(f"{op} {n:.2f}" for op, n in sorted(asked.items()))
            print(f"     {name}: host {host:.2f} us, sandbox {inside:.2f} us "
                  f"({inside / host:.1f}x); of one: {row or 'nothing'}", flush=True)
            waits = sum(n for op, n in asked.items()
                        if op not in SILENT and not op.startswith("RELEASE"))
            if name in PROMISES:
                verdict.ratio(f"{name}: requests", waits, 1, PROMISES[name])
    finally:
        shutil.rmtree(base)
        shutil.rmtree(where)
    verdict.end()


if __name__ == "__main__":
    main()
