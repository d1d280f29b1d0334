# SPDX-License-Identifier: Apache-2.0
"""
Programs of every day in machines of their own, from an image of Debian's packages: web server, two
data bases, a compiler.
"""
import pytest

from lib import wait

SLOW_S = 240  # the processor may be emulated, and shared
MICROVM = ("--isolation=microvm", "--network", "none", "-m", "512m")

pytestmark = pytest.mark.timeout(1500)


@pytest.fixture(scope="module")
def programs(atoll, programs_tar):
    atoll("load", "-i", programs_tar, timeout=300)
    return "programs:latest"


@pytest.fixture
def serve(atoll, programs):
    """Start a machine with a server; it is gone at the end of the test."""
    names = []

    def start(name, *words):
        names.append(name)
        atoll("run", "-d", "--name", name, *MICROVM, *words, timeout=SLOW_S)
        return name
    yield start
    for name in names:
        atoll("rm", "-f", name, timeout=SLOW_S)


def answers(atoll, name, text, *words):
    """Wait until a program in the machine says the text."""
    def said():
        assert atoll.inspect(name)["State"]["Running"], atoll("logs", name)
        return text in atoll.try_("exec", name, *words, timeout=SLOW_S).out
    wait.until(said, f"{text!r} from {words[0]}", SLOW_S)


def test_nginx(atoll, programs, serve):
    name = serve("web", programs, "nginx", "-g", "daemon off;")
    ask = ("exec 3<>/dev/tcp/127.0.0.1/80; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3")
    answers(atoll, name, "200 OK", "bash", "-c", ask)
    page = atoll("exec", name, "bash", "-c", ask, timeout=SLOW_S).out
    assert "Server: nginx" in page and "Welcome to nginx!" in page, page
    atoll("stop", "-t", "60", name, timeout=SLOW_S)
    assert atoll.inspect(name)["State"]["ExitCode"] == 0


def test_redis(atoll, programs, serve, base):
    """What it was told is in its file when it ends, and read from there by the next."""
    data = base / "redis"
    data.mkdir()
    for name in "first", "second":
        serve(name, "-v", f"{data}:/data", "-w", "/data", programs, "redis-server", "--appendonly",
              "yes")
        answers(atoll, name, "PONG", "redis-cli", "ping")
        if name == "first":
            out = atoll("exec", name, "sh", "-c",
                        "redis-cli set key kept; redis-cli incr n; redis-cli incr n; redis-benchmark "
                        "-q -n 200 -t set,get", timeout=SLOW_S).out
            assert out.startswith("OK\n1\n2\n") and "SET: " in out.replace("\r", "\n"), out
        assert atoll("exec", name, "redis-cli", "get", "key", timeout=SLOW_S).out == "kept\n"
        atoll("stop", "-t", "60", name, timeout=SLOW_S)
        assert atoll.inspect(name)["State"]["ExitCode"] == 0


def test_postgres(atoll, programs, serve, base):
    """Its files are the host's; it takes locks on them, maps and syncs them."""
    data = base / "postgres"
    data.mkdir()
    # The cluster that the package has made; of its own it would take an emulator minutes.
    script = ("cp -a /var/lib/postgresql/*/main/. /data && mkdir -p /run/postgresql &&"
              "chown postgres /run/postgresql && exec setpriv --reuid postgres --regid postgres "
              "--init-groups /usr/lib/postgresql/*/bin/postgres -D /data -c data_directory=/data "
              "-c config_file=$(echo /etc/postgresql/*/main/postgresql.conf) -c listen_addresses= "
              "-c ssl=off -c external_pid_file=")
    name = serve("sql", "-v", f"{data}:/data", programs, "sh", "-c", script)
    psql = ("setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups", "psql", "-At",
            "-c")
    answers(atoll, name, "1", *psql, "select 1")
    out = atoll("exec", name, *psql,
                "create table t (n int primary key, s text);"
                "insert into t select i, md5(i::text) from generate_series(1, 1000) i;",
                *psql[-1:], "checkpoint", *psql[-1:], "select count(*), min(s) from t",
                timeout=SLOW_S).out
    assert out.splitlines()[-1].startswith("1000|"), out
    atoll("kill", "-s", "INT", name, timeout=SLOW_S)  # its fast end
    wait.until(lambda: not atoll.inspect(name)["State"]["Running"], "its end", SLOW_S)
    assert atoll.inspect(name)["State"]["ExitCode"] == 0
    assert not (data / "postmaster.pid").exists() and (data / "PG_VERSION").exists()


def test_a_compile(atoll, programs):
    source = "#include <stdio.h>\nint main(void) { return printf(\"%d made here\\n\", 6 * 7) < 0; }\n"
    r = atoll("run", "--rm", "-i", *MICROVM, programs, "sh", "-c",
              "cd /tmp && cat >a.c && gcc -O2 -Wall -o a a.c && ./a", input=source.encode(),
              timeout=SLOW_S)
    assert r.out == "42 made here\n", str(r)
