# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of sandboxes with servers of every day, whose clients talk to them meanwhile."""
import os

import pytest

from lib import sentry
from lib.wait import until

pytestmark = [pytest.mark.timeout(300),
              pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")]

# nginx with two workers and redis, each with clients that end at the first answer that is not as it has to be.
SERVERS = r"""
cd /tmp; mkdir www; seq 20000 >www/big
cat >nginx.conf <<C
user www-data; worker_processes 2; pid /tmp/nginx.pid; error_log /tmp/error.log; events { worker_connections 256; }
http { access_log off; sendfile on; server { listen 127.0.0.1:8080; root /tmp/www; } }
C
nginx -c /tmp/nginx.conf
redis-server --dir /tmp --daemonize yes --logfile log --save "" --unixsocket /tmp/sock >/dev/null
until redis-cli ping >/dev/null 2>&1; do sleep 0.05; done
counts() {
    exec 3<>/dev/tcp/127.0.0.1/6379; i=0
    while :; do
        i=$((i + 1)); printf 'INCR n\r\n' >&3; read -r said <&3
        [ "$said" = ":$i"$'\r' ] || { echo "redis: $said"; exit 1; }
        echo $i >/count.redis
    done
}
pages() {
    n=0
    while ab -q -k -n 50 -c 4 http://127.0.0.1:8080/big >ab.log 2>&1 && grep -q 'Failed requests: *0$' ab.log; do
        n=$((n + 1)); echo $n >/count.nginx
    done
    cat ab.log error.log; exit 1
}
counts & pages & wait -n
"""

# A client that keeps its connection, and counts by transactions; pgbench before, and whenever it is asked for.
DATABASE = r"""
set -e; export PATH=$(echo /usr/lib/postgresql/*/bin):$PATH PGHOST=/tmp/sql PGUSER=postgres LC_ALL=C.UTF-8
mkdir /tmp/sql; chown postgres /tmp/sql; cd /tmp/sql
as() { setpriv --reuid postgres --regid postgres --init-groups "$@"; }
as initdb -A trust --no-sync -D data >init.log
as postgres -D data -k /tmp/sql -c listen_addresses= -c shared_buffers=8MB -c fsync=off >log 2>&1 &
until psql -Atqc 'select 1' >/dev/null 2>&1; do sleep 0.1; done
pgbench -i -q -s 1 2>/dev/null; pgbench -n -c 2 -t 20 2>&1
psql -qc 'create table counted (n int)'
coproc psql -Atq
echo 'select pg_backend_pid();' >&${COPROC[1]}; read -r pid <&${COPROC[0]}
i=0
while :; do
    i=$((i + 1))
    echo "begin; insert into counted values ($i); commit; select pg_backend_pid(), count(*) from counted;" >&${COPROC[1]}
    read -r said <&${COPROC[0]}
    [ "$said" = "$pid|$i" ] || { echo "postgres: $said, not $pid|$i"; cat log; exit 1; }
    echo $i >/count.next; mv /count.next /count.sql
    sleep 0.01
done
"""


@pytest.fixture(scope="module", autouse=True)
def possible(build, base):
    sentry.need(sentry.Sentries(build, base / "sentries"))


@pytest.fixture(scope="module")
def programs(atoll, programs_tar):
    atoll("load", "-i", programs_tar, timeout=300)
    return "programs:latest"


@pytest.fixture
def goes_on(atoll, programs):
    """Runs a script in a sandbox, whose clients count in files: they go on before and after what it yields to."""
    name = "servers"

    def counted(files):
        s = atoll.inspect(name)["State"]
        assert s["Status"] == "running", f"{s} {atoll('logs', name)}"
        r = atoll.try_("exec", name, "cat", *files).out.split()
        return [int(n) for n in r] if len(r) == len(files) else [0] * len(files)

    def go_on(files):
        before = counted(files)
        until(lambda: all(now > then + 2 for now, then in zip(counted(files), before, strict=True)), "all go on", 120)

    def goes(script, *files):
        atoll("run", "-d", "--name", name, "--isolation=sandbox", "--network", "none", programs, "bash", "-c", script)
        go_on(files)
        for _ in range(2):
            for did in ("checkpoint", "restore"):
                r = atoll.try_(did, name)
                assert r.rc == 0, r
            go_on(files)
        return lambda *command: atoll("exec", name, *command, timeout=60).out
    yield goes
    atoll.try_("rm", "-f", name)


def test_nginx_and_redis(goes_on):
    inside = goes_on(SERVERS, "/count.redis", "/count.nginx")
    assert inside("redis-cli", "-s", "/tmp/sock", "ping") == "PONG\n"


def test_postgres(goes_on):
    """Its processes, whose memory is shared by System V's too, and a connection that is open all the time."""
    inside = goes_on(DATABASE, "/count.sql")
    ask = lambda sql: inside("psql", "-h", "/tmp/sql", "-U", "postgres", "-Atc", sql)
    same = "select count(*), (select sum(abalance) from pgbench_accounts) = sum(delta) from pgbench_history"
    assert ask(same) == "40|t\n"
    inside("sh", "-c", "/usr/lib/postgresql/*/bin/pgbench -h /tmp/sql -U postgres -n -c 2 -t 20 postgres 2>&1")
    assert ask(same) == "80|t\n"
    assert len(inside("cat", "/proc/sysvipc/shm").splitlines()) == 2
