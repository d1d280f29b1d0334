#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
What programs of every day get done (nginx, redis, PostgreSQL, make and gcc, of the tests' image
`programs`) in a container (atoll-runtime), in Atoll's sandbox (atoll-sandbox) and in gVisor's
(runsc of Debian 12's backports), in turns; servers and their clients stand in the same one, on its
loopback, their files in its tmpfs.

    programs.py [--build DIR] [--runs N] [--only PROGRAM,...]
"""
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import measure
import newer
import peers
import sandbox

sys.path.insert(0, str(measure.TOP / "tests/e2e"))
from lib import images  # noqa: E402

CONTAINER, OWN, BAR = "atoll-runtime", "atoll-sandbox", "runsc"
PATIENCE = 180
PROMISE = 1.5  # of runsc's

NGINX = """
printf 'user www-data; worker_processes 2; pid /srv/pid; error_log /srv/error;
events {} http { access_log off; server { listen 127.0.0.1:80; root /srv; } }' >/srv/conf
echo small >/srv/index.html; nginx -c /srv/conf
ab -q -n 200 -c 8 http://127.0.0.1/ >/dev/null
ab -q -n %d -c 8 http://127.0.0.1/ | awk '/^Requests per second/ { print $4 }'
nginx -c /srv/conf -s stop"""
REDIS = """
redis-server --dir /srv --save '' --daemonize yes --unixsocket /srv/sock >/dev/null
until redis-cli ping >/dev/null 2>&1; do sleep 0.1; done
redis-benchmark -q -n %d -c 10 -t get --csv | tail -n1 | cut -d'"' -f4; redis-cli shutdown"""
SQL = """
bin=$(echo /usr/lib/postgresql/*/bin); export PGHOST=/srv PGUSER=postgres PGDATA=/srv/d LC_ALL=C
chown postgres /srv; as() { setpriv --reuid postgres --regid postgres --init-groups "$@"; }
cp -a /var/lib/postgresql/*/main /srv/d
printf 'local all all trust\\n' >/srv/d/pg_hba.conf; cd /srv; : >d/postgresql.conf; chown postgres d/*.conf
as $bin/pg_ctl -s -w -l /srv/log -o '-k /srv -c listen_addresses=' start
$bin/pgbench -i -q postgres 2>/dev/null
$bin/pgbench -n -c 4 -j 2 -T %d postgres 2>/dev/null | awk '/^tps/ { print $3 }'
as $bin/pg_ctl -s -m immediate stop"""
MAKE = """
cp -r /src/src /srv; cd /srv
cat >Makefile <<'M'
all: $(patsubst %%.c,%%.o,$(wildcard src/base/*.c))
CFLAGS = -O2 -std=gnu2x -Isrc -D_GNU_SOURCE
M
begin=$(date +%%s%%N); for n in $(seq %d); do make -s -B -j2; done
awk "BEGIN { print $n / ($(date +%%s%%N) - $begin) * 1e9 }" """
# name: (what is counted, script, how much of it)
WORK = {"nginx": ("requests/s", NGINX, 3000), "redis": ("operations/s", REDIS, 20000),
        "postgres": ("transactions/s", SQL, 4), "make": ("builds/s", MAKE, 1)}


class Subjects:
    def __init__(self, build, base):
        self.build, self.base = build, base
        self.own = base / OWN
        self.own.symlink_to(build / CONTAINER)
        self.rootfs = base / "rootfs"
        archive = next((build / "test-images").glob("programs-*.tar"), None)
        if not archive:
            sys.exit("programs: no image of them yet: run tests/e2e/test_sandbox_programs.py once")
        self.rootfs.mkdir()
        held = base / "archive"
        held.mkdir()
        subprocess.run(["tar", "-xf", archive, "-C", held], check=True)
        for layer in json.loads((held / "manifest.json").read_text())[0]["Layers"]:
            subprocess.run(["tar", "--numeric-owner", "-xpf", held / layer, "-C", self.rootfs],
                           check=True)
        shutil.rmtree(held)
        shutil.copytree(measure.TOP / "src/base", self.rootfs / "src/src/base")
        (self.rootfs / "srv").mkdir(exist_ok=True)

    def bundle(self, script):
        spec = images.spec(self.rootfs, ["bash", "-euc", script], noNewPrivileges=False)
        spec["ociVersion"] = "1.0.2"
        spec["process"]["capabilities"] = {k: images.CAPS for k in
                                           ("bounding", "effective", "permitted")}
        spec["mounts"].append({"destination": "/srv", "type": "tmpfs", "source": "tmpfs",
                               "options": ["nosuid", "mode=755", "size=1g"]})
        where = Path(tempfile.mkdtemp(dir=self.base))
        (where / "config.json").write_text(json.dumps(spec))
        return where

    def options(self, with_bar):
        found = {CONTAINER: [self.build / CONTAINER, "--root", self.base / "runtime"],
                 OWN: [self.own, "--root", self.base / "sandboxes"]}
        if with_bar:
            found[BAR] = [newer.runsc(self.build), "--root", self.base / "runsc",
                          "--platform", "systrap", "--network", "none", "--ignore-cgroups"]
        return found

    def measured(self, options, script):
        """A figure and None, or None and why there is none."""
        argv = [*options, "run", "--bundle", self.bundle(script), next(sandbox.ids)]
        p = subprocess.Popen([*map(str, argv)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True)
        try:
            out, err = p.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            sandbox.end(p)
            return None, f"no end within {PATIENCE} s"
        try:
            return float(out.split()[-1]), None
        except (IndexError, ValueError):
            return None, f"ended with {p.returncode} {out}{err[-500:]}"

    def clear(self, options):
        for name in CONTAINER, OWN:
            left = subprocess.run([*options[name], "list", "--quiet"], capture_output=True,
                                  text=True, check=False).stdout.split()
            for id in left:
                subprocess.run([*options[name], "delete", "--force", id], check=False)


def main():
    args = measure.arguments(__doc__, only=None)
    verdict = measure.Verdict()
    peers.own_mounts()
    with tempfile.TemporaryDirectory(prefix="atoll-programs-", ignore_cleanup_errors=True) as base:
        s = Subjects(args.build, Path(base))
        subjects = s.options(True)
        try:
            for name in args.only.split(",") if args.only else [*WORK]:
                unit, script, much = WORK[name]
                found = {subject: [] for subject in subjects}
                for _ in range(max(1, args.runs // 7)):
                    for subject in [*found]:
                        figure, why = s.measured(subjects[subject], script % much)
                        if why and subject != BAR:
                            raise RuntimeError(f"{subject}: {name}: {why}")
                        if why:
                            print(f"     {subject}: {name}: {why}", flush=True)
                            del found[subject]
                        else:
                            found[subject].append(figure)
                by = {subject: statistics.median(f) for subject, f in found.items()}
                row = ", ".join(f"{subject} {figure:.2f}" for subject, figure in by.items())
                print(f"     {name}, {unit}: {row}; {OWN} to {CONTAINER}: "
                      f"{by[OWN] / by[CONTAINER]:.2f}", flush=True)
                if BAR in by:
                    verdict.ratio(f"{name}: {BAR} to {OWN}", by[BAR], by[OWN],
                                  round(1 / PROMISE, 2))
        finally:
            s.clear(subjects)
    verdict.end()


if __name__ == "__main__":
    main()
