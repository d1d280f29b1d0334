# SPDX-License-Identifier: Apache-2.0
"""atoll-runtime as dockerd's default runtime: what docker's users do, with bridge and iptables."""
import json
import signal
import time

import pytest

from lib import clients
from lib.wait import until

IMAGE = "busybox:latest"


@pytest.fixture(scope="module")
def docker(cache, base, build, busybox_tar):
    with clients.World(cache, base, "docker") as w:
        yield clients.docker(w, build, busybox_tar)


@pytest.fixture
def life(docker):
    docker("run", "-d", "--name", "life", "-m", "64m", "--memory-swap", "128m", "--pids-limit",
           "50", "--cpus", "0.5", IMAGE, "sh", "-c",
           "trap 'exit 3' TERM; trap 'exit 5' USR1; while :; do sleep 0.05; done")
    yield "life"
    docker.try_("rm", "-f", "life")


def state(docker, name):
    return docker.json("inspect", name)[0]["State"]


def limit(docker, name, controller, v1, v2):
    id = docker.json("inspect", name)[0]["Id"]
    return docker.world.cgroup(controller, f"atoll/{id}", v1, v2)


def test_it_runs_on_ours(docker, life):
    info = docker.json("info", "--format", "{{json .}}")
    assert info["DefaultRuntime"] == "atoll"
    assert info["Runtimes"]["atoll"]["path"].endswith("/atoll-runtime")
    assert docker("inspect", "-f", "{{.HostConfig.Runtime}}", life) == "atoll\n"


def test_run(docker):
    assert docker("run", "--rm", IMAGE, "echo", "hello") == "hello\n"
    assert docker.try_("run", "--rm", IMAGE, "sh", "-c", "exit 7").rc == 7
    assert docker.try_("run", "--rm", "--init", IMAGE, "sh", "-c", "kill -9 $$").rc == 137
    p = docker.try_("run", "--rm", "-i", IMAGE, "sh", "-c", "cat; echo e >&2", input="in")
    assert (p.out, p.err) == ("in", "e\n")


@pytest.mark.parametrize("flag, argv, rc", [
    ([], ["no-such"], 127), ([], ["/etc/passwd"], 126), (["-w", "/etc/passwd"], ["true"], 125),
    (["--no-such-flag"], ["true"], 125), (["--entrypoint", "/no/such"], [], 127),
    (["-m", "1k"], ["true"], 125)])
def test_why_it_does_not_run(docker, flag, argv, rc):
    d = docker.try_("run", "--rm", *flag, IMAGE, *argv)
    assert d.rc == rc, str(d)
    until(lambda: docker("ps", "-aq") == "", "it is removed")


def test_terminal(docker):
    with docker.terminal("run", "--rm", "-it", IMAGE, "sh") as t:
        t.resize(33, 99)
        t.write("echo a=$(tty); until [ \"$(stty size)\" = '33 99' ]; do sleep 0.05; done; "
                "echo b=$(stty size)\n")
        t.expect("a=/dev/pts/0")
        t.expect("b=33 99")
        t.write("exit 4\n")
        assert t.wait() == 4


def test_exec(docker, life):
    assert docker("exec", "-e", "A=b", "-w", "/tmp", "-u", "1000:50", life, "sh", "-c",
                  "echo $A $(pwd) $(id -u):$(id -g)") == "b /tmp 1000:50\n"
    assert docker.try_("exec", life, "sh", "-c", "exit 9").rc == 9
    assert docker.try_("exec", life, "no-such").rc in (126, 127)
    assert docker.try_("exec", life, "/etc/passwd").rc == 126
    assert docker("exec", "-i", life, "cat", input="through") == "through"
    docker("exec", "-d", life, "touch", "/tmp/was-here")
    until(lambda: docker.try_("exec", life, "test", "-e", "/tmp/was-here").rc == 0, "touched")
    with docker.terminal("exec", "-it", life, "sh") as t:
        t.write("tty; exit 6\n")
        t.expect("/dev/pts/")
        assert t.wait() == 6
    privileged = docker("exec", "--privileged", life, "grep", "CapEff", "/proc/self/status")
    plain = docker("exec", life, "grep", "CapEff", "/proc/self/status")
    assert int(privileged.split()[1], 16) > int(plain.split()[1], 16)


def test_logs_and_attach(docker):
    docker("run", "-d", "--name", "talk", "-i", IMAGE, "sh", "-c",
           "i=0; while [ $i -lt 500 ]; do echo line $i; i=$((i+1)); done; echo oops >&2; head -n1")
    try:
        until(lambda: "oops" in docker.try_("logs", "talk").err, "all is said")
        d = docker.try_("logs", "talk")
        assert d.out.splitlines() == [f"line {i}" for i in range(500)] and d.err == "oops\n"
        docker("attach", "talk", input="typed\n")
        until(lambda: docker("logs", "--tail", "1", "talk") == "typed\n", "what was typed")
    finally:
        docker("rm", "-f", "talk")


def test_pause(docker, life):
    docker("pause", life)
    assert state(docker, life)["Status"] == "paused"
    assert docker.try_("exec", life, "true").rc != 0
    docker("unpause", life)
    docker("exec", life, "true")


def test_stats_and_top(docker, life):
    s = docker.json("stats", "--no-stream", "--format", "{{json .}}", life)
    assert s["MemUsage"].endswith("/ 64MiB") and 1 <= int(s["PIDs"]) <= 50, s
    rows = docker("top", life, "-o", "pid,args").splitlines()
    assert any("trap" in r for r in rows)


def test_limits_and_update(docker, life):
    def now():
        return (limit(docker, life, "memory", "memory.limit_in_bytes", "memory.max"),
                limit(docker, life, "pids", "pids.max", "pids.max"),
                limit(docker, life, "cpu", "cpu.cfs_quota_us", "cpu.max").split()[0])
    assert now() == (str(64 << 20), "50", "50000")
    docker("update", "--cpus", "0.7", "-m", "80m", "--memory-swap", "160m", "--pids-limit", "60",
           life)
    assert now() == (str(80 << 20), "60", "70000")
    docker("update", "--pids-limit", "-1", "--cpu-shares", "512", "--cpuset-cpus", "0", life)
    assert limit(docker, life, "pids", "pids.max", "pids.max") == "max"
    assert limit(docker, life, "cpuset", "cpuset.cpus", "cpuset.cpus") == "0"
    assert docker.try_("update", "-m", "1g", life).rc != 0, "above its swap limit"


def test_stop_kill_wait_and_restart(docker, life):
    clients.catches(docker, life, signal.SIGTERM)
    docker("stop", "-t", "100", life)
    assert state(docker, life)["ExitCode"] == 3, "its own handler ended it"
    docker("start", life)
    clients.catches(docker, life, signal.SIGUSR1)
    docker("kill", "--signal", "USR1", life)
    assert docker("wait", life) == "5\n"
    docker("restart", "-t", "0", life)
    pid = state(docker, life)["Pid"]
    docker.world("kill", "-9", pid)
    assert docker("wait", life) == "137\n"
    docker("start", life)
    assert state(docker, life)["Status"] == "running"


def test_restart_policy(docker):
    docker("run", "-d", "--name", "again", "--restart", "on-failure:2", IMAGE, "sh", "-c", "exit 4")
    try:
        until(lambda: state(docker, "again")["Status"] == "exited" and
              docker("inspect", "-f", "{{.RestartCount}}", "again") == "2\n", "tried twice more")
    finally:
        docker("rm", "-f", "again")


def test_oom_is_told(docker):
    d = docker.try_("run", "--name", "oom", "-m", "16m", "--memory-swap", "16m", IMAGE, "sh", "-c",
                    "x=$(head -c 64m /dev/zero | tr '\\0' x); echo never")
    try:
        assert d.rc == 137 and "never" not in d.out
        until(lambda: state(docker, "oom")["OOMKilled"], "it is told")
    finally:
        docker("rm", "-f", "oom")


def test_health(docker):
    docker("run", "-d", "--name", "well", "--health-cmd", "test -e /tmp/well", "--health-interval",
           "1s", "--health-retries", "1", IMAGE, "sleep", "1000")
    try:
        def is_(what):
            return lambda: state(docker, "well")["Health"]["Status"] == what
        until(is_("unhealthy"), "unhealthy")
        docker("exec", "well", "touch", "/tmp/well")
        until(is_("healthy"), "healthy")
    finally:
        docker("rm", "-f", "well")


def test_volumes_and_cp(docker):
    host = docker.world.dir / "vol"
    host.mkdir()
    (host / "f").write_text("from the host")
    docker("volume", "create", "vol")
    docker("run", "-d", "--name", "vols", "-v", "vol:/v", "-v", f"{host}:/h:ro", "--tmpfs",
           "/t:size=1m", IMAGE, "sleep", "1000")
    try:
        docker("exec", "vols", "sh", "-ec", "cp /h/f /v/f; ! touch /h/x 2>/dev/null; "
               "[ $(df -k /t | awk 'END {print $2}') = 1024 ]")
        assert docker("run", "--rm", "--volumes-from", "vols", IMAGE, "cat", "/v/f") == \
            "from the host"
        (host / "g").write_text("copied")
        docker("cp", host / "g", "vols:/v/g")
        assert docker("exec", "vols", "cat", "/v/g") == "copied"
        assert "A /root/made" in docker("exec", "vols", "touch", "/root/made") + \
            docker("diff", "vols")
    finally:
        docker("rm", "-f", "vols")
        docker("volume", "rm", "-f", "vol")


def test_network(docker):
    """The bridge's plumbing is dockerd's, by a prestart hook that enters our namespaces."""
    docker("network", "create", "n")
    try:
        docker("run", "-d", "--name", "web", "--network", "n", "-p", "127.0.0.1:8080:80", IMAGE, "sh",
               "-c", "echo page > /index.html; httpd -f -p 80 -h /")
        until(lambda: docker.try_("run", "--rm", "--network", "n", IMAGE, "wget", "-qO-",
                                  "http://web/").out == "page\n", "it is reached by its name")
        until(lambda: docker.world.try_("/bin/busybox", "wget", "-qO-", "http://127.0.0.1:8080/"
                                        ).out == "page\n", "its published port")
        assert docker("run", "--rm", "--network", "container:web", IMAGE, "wget", "-qO-",
                      "http://127.0.0.1/") == "page\n"
        docker("network", "disconnect", "n", "web")
        assert "eth0" not in docker("exec", "web", "ip", "link")
    finally:
        docker.try_("rm", "-f", "web")
        docker("network", "rm", "n")


def test_security_reaches_the_process(docker):
    out = docker("run", "--rm", "--cap-drop", "all", "--cap-add", "net_raw", "--read-only",
                 "--security-opt", "no-new-privileges", "-u", "1000", "--hostname", "h", "--sysctl",
                 "net.ipv4.ip_default_ttl=99", "--ulimit", "core=0:0", "--group-add", "77", IMAGE,
                 "sh", "-c", "grep -E '^(CapInh|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status | "
                 "tr -d '\\t'; hostname; cat /proc/sys/net/ipv4/ip_default_ttl; id -G; "
                 "touch /x 2>&1; true")
    assert out.startswith("CapInh:0000000000000000\nCapBnd:0000000000002000\nNoNewPrivs:1\n"
                          "Seccomp:2\nh\n99\n"), out
    assert "77" in out and "Read-only" in out
    assert docker("run", "--rm", "--privileged", IMAGE, "sh", "-c",
                  "mount -t tmpfs t /mnt && echo may") == "may\n"


def test_events_have_every_step(docker):
    since = time.time()
    docker("run", "--name", "steps", IMAGE, "true")
    docker("rm", "steps")
    rows = [json.loads(l) for l in docker(
        "events", "--since", since, "--until", time.time(), "--filter", "container=steps", "--format",
        "{{json .}}").splitlines()]
    assert [r["Action"] for r in rows] == ["create", "attach", "start", "die", "destroy"]


def test_commit_and_build_on_it(docker):
    docker("run", "--name", "changed", IMAGE, "sh", "-c", "echo x > /made")
    docker("commit", "changed", "made:1")
    docker("rm", "changed")
    d = docker.world.dir / "context"
    d.mkdir()
    (d / "Dockerfile").write_text("FROM made:1\nRUN cat /made > /again && id -u >> /again\n"
                                  "USER 1000\nCMD cat /again\n")
    docker("build", "-t", "made:2", d)
    assert docker("run", "--rm", "made:2") == "x\n0\n"


def test_survives_a_restart_of_the_daemon(docker, life):
    """What runs is stopped by the daemon's end, and known when it is back."""
    w = docker.world
    old = w.daemons.pop()
    w.end(old)
    argv = old.args[len(w.sh):]
    w.daemon(*argv, ready=lambda: docker.try_("version").rc == 0)
    assert state(docker, life)["Status"] == "exited"
    docker("start", life)
    assert docker("exec", life, "echo", "back") == "back\n"


def test_nothing_stays(docker):
    assert docker("ps", "-aq") == ""
    assert docker.world.states(docker.world.dir / "exec/runtime-runc/moby") == []
    until(lambda: not [d for g in docker.world.groups for d in g.glob("atoll/*")
                       if d.is_dir()], "its cgroups are gone")
