# SPDX-License-Identifier: Apache-2.0
"""run, create, start, exec, attach: exit statuses, streams, signals, what flags do inside."""
import os
import signal
import subprocess

import pytest

from lib import wait


def test_output_and_status(atoll, busybox):
    r = atoll.try_("run", "--rm", busybox, "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (r.rc, r.out, r.err) == (7, "out\n", "err\n")


@pytest.mark.parametrize("words,rc", [
    (["nosuch-program"], 127),
    (["/etc"], 126),
    (["/etc/passwd"], 126),
    (["sh", "-c", "exit 0"], 0),
    (["sh", "-c", "exit 255"], 255),
    (["sh", "-c", "sh -c 'kill -9 $$'; exit $?"], 137),
])
def test_exit_statuses(atoll, busybox, words, rc):
    assert atoll.try_("run", "--rm", busybox, *words).rc == rc
    assert atoll.ids() == []


def test_failures_before_the_workload_are_125(atoll, busybox):
    atoll.fails("run", "--rm", "no/such-image", "true", rc=125, says="no/such-image")
    atoll.fails("run", "--rm", "--network", "bridge", busybox, "true", rc=125)
    atoll.fails("run", "--rm", "-v", "relative/../path:/x", busybox, "true", rc=125)
    atoll.fails("run", "--rm", "--restart", "always", busybox, "true", rc=125, says="--rm")
    atoll.fails("run", "--rm", "--cpus", os.cpu_count() + 1, busybox, "true", rc=125, says="only")
    assert atoll.ids() == []


def test_a_failed_start_is_kept_for_a_look(atoll, busybox):
    atoll.fails("run", "--name", "stillborn", busybox, "nosuch", rc=127)
    assert atoll.inspect("stillborn")["State"]["ExitCode"] == 127
    atoll("rm", "stillborn")


def test_stdin(atoll, busybox):
    data = os.urandom(300_000)
    assert atoll("run", "-i", "--rm", busybox, "cat", input=data).raw == data
    assert atoll("run", "--rm", busybox, "cat", input=b"not sent").raw == b""
    r = atoll("run", "-i", "--rm", busybox, "sh", "-c", "wc -c", input=b"x" * 100_000)
    assert r.line == "100000"


def test_much_output_arrives_whole(atoll, busybox):
    r = atoll("run", "--rm", busybox, "sh", "-c", "i=0; while [ $i -lt 20000 ]; do echo $i; "
              "i=$((i+1)); done")
    assert r.out.split() == [str(i) for i in range(20000)]


def test_output_to_a_file(atoll, busybox, base):
    with open(base / "file", "wb") as f:
        p = subprocess.run(atoll.argv("run", "--rm", busybox, "echo", "to a file"), stdout=f,
                           stdin=subprocess.DEVNULL)
    assert p.returncode == 0 and (base / "file").read_text() == "to a file\n"


def test_reader_that_goes_away(atoll, busybox):
    p = atoll.popen("run", "--name", "yes", busybox, "yes")
    assert p.stdout.read(2) == b"y\n"
    p.stdout.close()
    assert p.wait(60) in (141, -signal.SIGPIPE)
    p.stderr.close()
    atoll("rm", "-f", "yes")


def test_signals_are_passed_on(atoll, busybox):
    script = "trap 'echo got term; exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    p = atoll.popen("run", "--rm", busybox, "sh", "-c", script)
    assert p.stdout.readline() == b"ready\n"
    p.send_signal(signal.SIGTERM)
    out, _ = p.communicate(timeout=60)
    assert out == b"got term\n" and p.returncode == 3


def test_signals_that_are_not_passed_on(atoll, busybox):
    p = atoll.popen("run", "--name", "lives", "--sig-proxy=false", busybox, "sh", "-c",
                    "echo ready; sleep 1000")
    assert p.stdout.readline() == b"ready\n"
    p.send_signal(signal.SIGINT)
    assert p.wait(60) == 128 + signal.SIGINT
    p.stdout.close()
    p.stderr.close()
    assert atoll.inspect("lives")["State"]["Running"]
    atoll("rm", "-f", "lives")


def test_detached(atoll, busybox):
    id = atoll("run", "-d", "--name", "bg", busybox, "sleep", "1000").line
    assert len(id) == 64
    assert atoll("ps", "-q", "--no-trunc").line == id
    assert atoll("ps", "--format", "{{.Names}} {{.State}} {{.Image}}").line == \
        f"bg running {busybox}"
    atoll("kill", "bg")
    assert atoll("wait", "bg").line == "137"
    assert atoll("rm", "bg").line == "bg"


def test_create_and_start(atoll, busybox):
    atoll("create", "--name", "later", busybox, "sh", "-c", "echo ran; exit 4")
    assert atoll("ps", "-a", "--format", "{{.Status}}").line == "Created"
    r = atoll.try_("start", "-a", "later")
    assert (r.rc, r.out) == (4, "ran\n")
    assert atoll.try_("start", "-a", "later").rc == 4
    atoll("rm", "later")


def test_flags_inside(atoll, busybox):
    def inside(*words, flags=()):
        return atoll("run", "--rm", *flags, busybox, *words).line

    assert inside("hostname", flags=["-h", "here"]) == "here"
    assert inside("pwd", flags=["-w", "/var/log"]) == "/var/log"
    assert inside("id", "-u", flags=["-u", "1000"]) == "1000"
    assert inside("id", "-un", flags=["--user=tester"]) == "tester"
    assert inside("sh", "-c", "echo $A-$B", flags=["-e", "A=1", "--env", "B=two words"]) == \
        "1-two words"
    assert inside("one", "two", flags=["--entrypoint", "echo"]) == "one two"
    assert inside("sh", "-c", "echo x > /x 2>&1 || echo read-only", flags=["--read-only"]).endswith(
        "read-only")
    assert inside("sh", "-c", "ulimit -n", flags=["--ulimit", "nofile=512:512"]) == "512"
    assert inside("stat", "-c", "%a", "/t", flags=["--tmpfs", "/t:mode=700"]) == "700"
    assert "1" == inside("cat", "/proc/sys/net/ipv4/ip_forward",
                         flags=["--sysctl", "net.ipv4.ip_forward=1"])
    assert "lo" in inside("ls", "/sys/class/net")
    assert inside("sh", "-c", "df -k /dev/shm | tail -1 | awk '{print $2}'",
                  flags=["--shm-size", "1m"]) == "1024"


def test_env_file_and_caller(atoll, busybox, base):
    (base / "env").write_text("# comment\n\nFROM_FILE=file\nBOTH=file\nCALLER\n")
    r = atoll("run", "--rm", "--env-file", base / "env", "-e", "BOTH=flag", "-e", "ALSO", "-e",
              "MISSING", busybox, "env", env={"CALLER": "mine", "ALSO": "too"})
    got = dict(l.split("=", 1) for l in r.out.splitlines())
    assert got["FROM_FILE"] == "file" and got["BOTH"] == "flag"
    assert got["CALLER"] == "mine" and got["ALSO"] == "too" and "MISSING" not in got
    atoll.fails("run", "--rm", "--env-file", base / "none", busybox, "true", rc=125, says="none")
    (base / "env").write_text("bad name=1\n")
    atoll.fails("run", "--rm", "--env-file", base / "env", busybox, "true", rc=125, says=":1:")


def test_labels_and_label_file(atoll, busybox, base):
    (base / "labels").write_text("a=1\nb\n")
    atoll("create", "--name", "labelled", "--label-file", base / "labels", "-l", "c=x=y",
          busybox)
    assert atoll.inspect("labelled")["Config"]["Labels"] == {"a": "1", "b": "", "c": "x=y"}
    assert atoll("ps", "-a", "--filter", "label=c=x=y", "--format", '{{.Label "a"}}').line == "1"
    atoll("rm", "labelled")


def test_cidfile(atoll, busybox, base):
    cid = base / "cid"
    id = atoll("run", "-d", "--cidfile", cid, busybox, "true").line
    assert cid.read_text() == id
    atoll.fails("run", "--rm", "--cidfile", cid, busybox, "true", rc=125, says="cid")
    atoll("wait", id)
    atoll("rm", id)
    cid.unlink()


def test_exec(atoll, busybox):
    atoll("run", "-d", "--name", "host", "-e", "FROM_RUN=1", busybox, "sleep", "1000")
    r = atoll.try_("exec", "host", "sh", "-c", "echo out; echo err >&2; exit 9")
    assert (r.rc, r.out, r.err) == (9, "out\n", "err\n")
    assert atoll("exec", "-i", "host", "cat", input=b"typed").raw == b"typed"
    r = atoll("exec", "-e", "X=1", "-w", "/tmp", "-u", "tester", "host", "sh", "-c",
              "echo $X $FROM_RUN $PWD $(id -un)")
    assert r.line == "1 1 /tmp tester"
    assert atoll.try_("exec", "host", "nosuch").rc == 127
    assert atoll.try_("exec", "host", "/etc").rc == 126
    atoll("exec", "-d", "host", "touch", "/tmp/made")
    wait.until(lambda: atoll.try_("exec", "host", "test", "-e", "/tmp/made").rc == 0, "exec -d")
    atoll.fails("exec", "nobody", "true", rc=1, says="nobody")
    atoll("stop", "-t", "0", "host")
    atoll.fails("exec", "host", "true", rc=1, says="not running")
    atoll("rm", "host")


def test_attach(atoll, busybox):
    atoll("run", "-di", "--name", "echoes", busybox, "cat")
    p = atoll.popen("attach", "echoes", stdin=subprocess.PIPE)
    p.stdin.write(b"hello\n")
    p.stdin.flush()
    assert p.stdout.readline() == b"hello\n"
    atoll("kill", "echoes")
    p.communicate(timeout=60)
    assert p.returncode == 137
    atoll.fails("attach", "echoes", rc=1, says="stopped container")
    atoll("rm", "echoes")


def test_the_cli_may_die(atoll, busybox):
    p = atoll.popen("run", "--name", "orphan", busybox, "sh", "-c",
                    "echo ready; sleep 1000")
    assert p.stdout.readline() == b"ready\n"
    p.kill()
    p.wait()
    p.stdout.close()
    p.stderr.close()
    assert atoll.inspect("orphan")["State"]["Running"]
    assert atoll("logs", "orphan").out == "ready\n"
    atoll("rm", "-f", "orphan")


def test_input_must_be_a_terminal(atoll, busybox):
    atoll.fails("run", "-it", "--rm", busybox, "true", says="not a TTY")
    assert atoll.ids() == []
