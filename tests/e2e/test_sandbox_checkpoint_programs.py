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


@pytest.fixture(scope="module", autouse=True)
def possible(build, base):
    sentry.need(sentry.Sentries(build, base / "sentries"))


def test_nginx_and_redis(atoll, request):
    atoll("load", "-i", request.getfixturevalue("programs_tar"), timeout=300)
    atoll("run", "-d", "--name", "servers", "--isolation=sandbox", "--network", "none", "programs:latest",
          "bash", "-c", SERVERS)

    def counted():
        s = atoll.inspect("servers")["State"]
        assert s["Status"] == "running", f"{s} {atoll('logs', 'servers')}"
        r = atoll.try_("exec", "servers", "cat", "/count.redis", "/count.nginx").out.split()
        return [int(n) for n in r] if len(r) == 2 else [0, 0]

    def go_on():
        before = counted()
        until(lambda: all(now > then + 2 for now, then in zip(counted(), before, strict=True)), "both go on", 60)
    try:
        go_on()
        for _ in range(2):
            for did in ("checkpoint", "restore"):
                r = atoll.try_(did, "servers")
                assert r.rc == 0, r
            go_on()
        assert atoll("exec", "servers", "redis-cli", "-s", "/tmp/sock", "ping").out == "PONG\n"
    finally:
        atoll.try_("rm", "-f", "servers")
