# SPDX-License-Identifier: Apache-2.0
"""podman over atoll-sandbox: its containers on Atoll's own kernel, and what it is refused."""
import os
from pathlib import Path

import pytest

from lib import clients, criu, sentry
from lib.wait import until

IMAGE = "localhost/busybox:latest"
RUN = ["--network", "none", "--pull", "never", "--no-healthcheck"]
BOOT_ID = "/proc/sys/kernel/random/boot_id"

pytestmark = [pytest.mark.timeout(300),
              pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86-64")]


@pytest.fixture(scope="module")
def podman(cache, base, build, busybox_tar):
    sentry.need(sentry.Sentries(build, base / "sentries"))
    name = base / "atoll-sandbox"
    name.symlink_to(build / "atoll-runtime")
    with clients.World(cache, base, "podman-sandbox") as w:
        c = clients.podman(w, build, busybox_tar)
        yield clients.Client(w, *c.base, "--runtime", name)
        assert w.states("/run/atoll-runtime") == []


@pytest.fixture
def life(podman):
    podman("run", "-d", "--name", "life", *RUN, "-m", "64m", "--pids-limit", "50", IMAGE, "sh", "-c",
           "trap 'exit 3' TERM; trap 'exit 5' USR1; echo up; while :; do sleep 0.05; done")
    until(lambda: podman("logs", "life") == "up\n", "its traps are set")
    yield "life"
    podman.try_("rm", "-f", "-t", "0", "life")


def state(podman, name):
    return podman.json("inspect", name)[0]["State"]


def test_run(podman):
    d = podman.try_("run", "--rm", "-i", *RUN, "-e", "A=b", "-w", "/tmp", "-u", "1000:50",
                    "--hostname", "h", IMAGE, "sh", "-c",
                    f"cat {BOOT_ID}; cat; echo $A $(pwd) $(id -u):$(id -g) $(hostname); "
                    "echo e >&2; exit 7", input="in\n")
    boot, *lines = d.out.splitlines()
    assert (d.rc, lines, d.err) == (7, ["in", "b /tmp 1000:50 h"], "e\n"), str(d)
    assert boot != Path(BOOT_ID).read_text().strip()


@pytest.mark.parametrize("how", ["broker", "strict"])
def test_on_the_bridge(podman, how):
    """It answers at the address that CNI gave it, and reaches who is beside it, in both ways."""
    asked = [*RUN[2:], "--annotation", f"org.atoll.sandbox.network={how}", IMAGE]
    podman("run", "-d", "--name", "web", *asked, "sh", "-c",
           "echo page > /tmp/index.html; exec httpd -f -p 80 -h /tmp")
    try:
        at = podman("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web").strip()
        until(lambda: podman.world.try_("/bin/busybox", "wget", "-qO-", f"http://{at}/").out
              == "page\n", "it serves a page")
        assert podman("run", "--rm", *asked, "wget", "-qO-", f"http://{at}/") == "page\n"
        of = podman("inspect", "-f", "{{.NetworkSettings.SandboxKey}}", "web").strip()
        host = podman.world("nsenter", f"--net={of}", "cat", "/proc/net/tcp", "/proc/net/tcp6")
        assert host.count(" 0A ") == (1 if how == "broker" else 0), host
    finally:
        podman.try_("rm", "-f", "-t", "0", "web")


@pytest.mark.parametrize("argv, rc", [(["no-such"], 127), (["/etc/passwd"], 126)])
def test_why_it_does_not_run(podman, argv, rc):
    d = podman.try_("run", "--rm", *RUN, IMAGE, *argv)
    assert d.rc == rc, str(d)
    assert podman("ps", "-aq") == ""


def test_terminal(podman):
    with podman.terminal("run", "--rm", "-it", *RUN, IMAGE, "sh") as t:
        t.resize(33, 99)
        t.write("until [ \"$(stty size)\" = '33 99' ]; do sleep 0.05; done; echo b=$(stty size)\n")
        t.expect("b=33 99")
        t.write("exit 4\n")
        assert t.wait() == 4


def test_exec(podman, life):
    assert podman("exec", "-e", "A=b", "-w", "/tmp", "-u", "1000:50", life, "sh", "-c",
                  "echo $A $(pwd) $(id -u):$(id -g)") == "b /tmp 1000:50\n"
    assert podman.try_("exec", life, "sh", "-c", "exit 9").rc == 9
    assert podman.try_("exec", life, "no-such").rc == 127
    assert podman("exec", "-i", life, "cat", input="through") == "through"


def test_figures(podman, life):
    s = podman.json("stats", "--no-stream", "--format", "json", life)[0]
    assert "67.11MB" in s["mem_usage"], s
    assert podman("exec", life, "grep", "MemTotal", "/proc/meminfo").split()[1] == str(64 << 10)
    # Asked with options of ps, podman runs one inside; else it reads the host's /proc.
    rows = [r.split() for r in podman("top", life, "-o", "pid,comm").splitlines()]
    assert rows[:2] == [["PID", "COMMAND"], ["1", "sh"]], rows


def test_stop_kill_and_start_again(podman, life):
    podman("stop", "-t", "100", life)
    assert (state(podman, life)["Status"], state(podman, life)["ExitCode"]) == ("exited", 3)
    podman("start", life)
    until(lambda: podman("logs", life) == "up\nup\n", "its traps are set again")
    podman("kill", "--signal", "USR1", life)
    podman("wait", life)
    assert state(podman, life)["ExitCode"] == 5


def test_health(podman):
    podman("run", "-d", "--name", "well", "--network", "none", "--pull", "never", "--health-cmd",
           "test -e /tmp/well", "--health-interval", "disable", "--health-retries", "1", IMAGE,
           "sleep", "1000")
    try:
        assert podman.try_("healthcheck", "run", "well").rc == 1
        podman("exec", "well", "touch", "/tmp/well")
        podman("healthcheck", "run", "well")
        assert state(podman, "well")["Health"]["Status"] == "healthy"
    finally:
        podman("rm", "-f", "-t", "0", "well")


def test_volumes(podman):
    host = podman.world.dir / "vol"
    host.mkdir()
    (host / "f").write_text("from the host\n")
    out = podman("run", "--rm", *RUN, "-v", f"{host}:/h:ro", "-v", f"{host}:/m", IMAGE, "sh", "-c",
                 "cat /h/f; echo back > /m/g; touch /h/x 2>/dev/null || echo refused")
    assert out == "from the host\nrefused\n"
    assert (host / "g").read_text() == "back\n" and not (host / "x").exists()


def test_checkpoint_and_restore(podman, build, base):
    """By its own kernel; podman wants to see a criu all the same, and asks it for its version."""
    program = criu.get(build)
    if not program:
        pytest.skip("the Debian mirror cannot be reached")
    path = podman.world.env["PATH"]
    podman.world.env["PATH"] = f"{program.parent}:{path}"
    name, file = "kept", base / "podman.tar.gz"
    count = lambda: podman("exec", name, "cat", "/dev/shm/count").split()

    def goes_on():
        n = len(count())
        until(lambda: len(count()) > n + 2, "it counts")
        seen = count()
        assert seen == [str(i + 1) for i in range(len(seen))]
    try:
        podman("run", "-d", "--name", name, *RUN, IMAGE, "sh", "-c",
               "i=0; while :; do i=$((i+1)); echo $i >> /dev/shm/count; sleep 0.05; done")
        goes_on()
        podman("container", "checkpoint", name)
        assert podman("inspect", "-f", "{{.State.Status}} {{.State.Checkpointed}}", name) == "exited true\n"
        podman("container", "restore", name)
        goes_on()
        podman("container", "checkpoint", "--leave-running", name)
        goes_on()
        podman("container", "checkpoint", "--compress", "gzip", "--export", file, name)
        podman("rm", name)
        podman("container", "restore", "--import", file)
        goes_on()
    finally:
        podman.try_("rm", "-f", "-t", "0", name)
        podman.world.env["PATH"] = path


def test_what_is_refused(podman):
    for flag, says in ((["--pid", "host"], "share the host's pid namespace"),
                       (["--uidmap", "0:200000:1000"], "a sandbox cannot")):
        d = podman.try_("run", "--rm", *RUN, *flag, IMAGE, "true")
        assert d.rc != 0 and says in d.err, str(d)


def test_a_pod(podman):
    """Its containers share a kernel, localhost and /dev/shm; one ends and comes again; all go."""
    def sh(name, script):
        return podman("exec", name, "sh", "-c", script)
    podman("pod", "create", "--name", "p", "--hostname", "thepod", "--network", "none")
    try:
        for name in "a", "b":
            podman("run", "-d", "--pod", "p", "--name", name, "--pull", "never", "--no-healthcheck",
                   IMAGE, "sh", "-c", "trap 'exit 3' TERM; echo said; while :; do sleep 0.1; done")
        boot = sh("a", f"cat {BOOT_ID}")
        assert boot == sh("b", f"cat {BOOT_ID}") != Path(BOOT_ID).read_text()
        assert sh("a", "hostname") == sh("b", "hostname") == "thepod\n"
        sh("a", "echo page > /tmp/index.html; httpd -p 127.0.0.1:80 -h /tmp; echo two > /dev/shm/f")
        assert sh("b", "wget -qO- http://127.0.0.1/; cat /dev/shm/f") == "page\ntwo\n"
        assert sh("b", "cat /proc/1/comm; echo $PPID") == "sh\n0\n"
        d = podman.try_("run", "--rm", "-i", "--pod", "p", "--pull", "never", "--no-healthcheck",
                        IMAGE, "sh", "-c", f"cat {BOOT_ID}; cat; exit 7", input="in")
        assert (d.rc, d.out) == (7, boot + "in"), str(d)
        assert podman("logs", "b") == "said\n"
        d = podman.try_("pause", "b")
        assert d.rc != 0 and "one container of a sandbox's pod cannot be paused" in d.err, str(d)
        podman("stop", "-t", "100", "a")
        assert state(podman, "a")["ExitCode"] == 3
        podman("start", "a")
        assert sh("a", f"cat {BOOT_ID}") == boot
        with podman.terminal("exec", "-it", "a", "sh") as t:
            t.write("echo b=$((6*7))\nexit 4\n")
            t.expect("b=42")
            assert t.wait() == 4
    finally:
        podman("pod", "rm", "-f", "-t", "0", "p")
    assert not podman.world.try_("ls", "/run/atoll-runtime/@pods").out


def test_a_read_only_root_with_tmpfs(podman):
    """podman's tmpfs begin with what the image has there (tmpcopyup)."""
    assert podman("run", "--rm", "--read-only", "--tmpfs", "/bin:exec", *RUN, IMAGE, "sh", "-c",
                  "touch /x 2>/dev/null || echo refused; touch /bin/y && ls /bin/y; grep -c ' /run ' "
                  "/proc/mounts") == "refused\n/bin/y\n1\n"
