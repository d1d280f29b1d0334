# SPDX-License-Identifier: Apache-2.0
"""
What a service manager and a workload tell each other through the runtime: NOTIFY_SOCKET
(sd_notify), LISTEN_FDS (socket activation).
"""
import array
import json
import os
import socket
import subprocess
import sys
import threading
from itertools import count

import pytest

from lib.wait import until

ids = (f"atoll-sd-{os.getpid()}-{n}" for n in count())

# sd_notify by a static program that images have: none does datagrams, so one is compiled.
NOTIFY_C = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	const char *to = getenv("NOTIFY_SOCKET");

	if (!to)
		return 2;
	snprintf(at.sun_path, sizeof(at.sun_path), "%s", to);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "stay") == 0)
			pause();
		else if (strcmp(argv[i], "wait") == 0)
			getchar();
		else if (sendto(fd, argv[i], strlen(argv[i]), 0, (void *) &at, sizeof(at)) < 0)
			return perror(argv[i]), 1;
	}
	return 0;
}
"""


class Manager:
    """Where NOTIFY_SOCKET leads to; `said` is each message, barriers answered."""

    def __init__(self, address):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(address)
        self.address = address
        self.said = []
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def listen(self):
        while True:
            text, control, _, _ = self.sock.recvmsg(8192, socket.CMSG_SPACE(64))
            for _, _, data in control:
                fds = array.array("i")
                fds.frombytes(data)
                for fd in fds:
                    os.close(fd)
            if text == b"end":
                return
            self.said.append(text.decode())

    def has(self, message):
        until(lambda: message in self.said, f"{message!r} in {self.said}")
        return True

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(b"end", self.address)
        self.thread.join(30)
        self.sock.close()
        if not self.address.startswith("\0"):
            os.unlink(self.address)


@pytest.fixture
def manager(base):
    m = Manager(str(base / "manager.sock"))
    yield m
    m.close()


@pytest.fixture(scope="module")
def prog(base):
    d = base / "prog"
    d.mkdir()
    (d / "notify.c").write_text(NOTIFY_C)
    subprocess.run(["gcc", "-O1", "-static", "-w", "-o", d / "notify", d / "notify.c"], check=True)
    return d


@pytest.fixture
def make(bundle, prog):
    def go(*args, change=None, **process):
        def all_changes(s):
            s["mounts"].append({"destination": "/prog", "type": "bind", "source": str(prog),
                                "options": ["bind", "ro"]})
            if change:
                change(s)
        return bundle(["/prog/notify", *args], all_changes, **process)
    return go


def env(m):
    return {"NOTIFY_SOCKET": m.address.replace("\0", "@")}


def test_start_waits_for_ready(runtime, make, manager):
    i = next(ids)
    b = make("STATUS=warming up", "MAINPID=77\nREADY=1\nX_OWN=2", "stay")
    runtime.leave("create", "-b", b, i, env=env(manager))
    try:
        assert not manager.said
        p = runtime.popen("start", i, env=env(manager), stdout=subprocess.DEVNULL)
        pid = runtime.state(i)["pid"]
        manager.has(f"READY=1\nX_OWN=2\nMAINPID={pid}\n")
        manager.has("BARRIER=1")
        assert p.wait(60) == 0
        p.stderr.close()
        assert manager.said == ["STATUS=warming up\n", f"READY=1\nX_OWN=2\nMAINPID={pid}\n", "BARRIER=1"]
        assert runtime.state(i)["status"] == "running"
    finally:
        runtime("delete", "-f", i)


def test_start_ends_with_a_workload_that_never_gets_ready(runtime, make, manager):
    i = next(ids)
    runtime.leave("create", "-b", make("STATUS=no"), i, env=env(manager))
    runtime("start", i, env=env(manager))
    runtime("delete", i)
    assert manager.has("STATUS=no\n") and len(manager.said) == 1


def test_a_container_can_be_ended_while_start_waits(runtime, make, manager):
    i = next(ids)
    runtime.leave("create", "-b", make("stay"), i, env=env(manager))
    p = runtime.popen("start", i, env=env(manager))
    until(lambda: runtime.state(i)["status"] == "running", "running")
    runtime("pause", i)
    runtime("resume", i)
    runtime("delete", "-f", i, timeout=30)
    assert p.wait(30) == 0
    p.communicate()


def test_run_detached_and_another_user(runtime, make, manager):
    i = next(ids)
    runtime.leave("run", "-d", "-b", make("READY=1", "stay", user={"uid": 1234, "gid": 1234}), i,
                  env=env(manager))
    try:
        pid = runtime.state(i)["pid"]
        assert manager.has(f"READY=1\nMAINPID={pid}\n")
    finally:
        runtime("delete", "-f", i)


def test_run_passes_on_as_the_main_process(runtime, make, manager):
    i = next(ids)
    p = runtime.popen("run", "-b", make("READY=1", "RELOADING=1", "wait", "STOPPING=1"), i,
                      env=env(manager), stdin=subprocess.PIPE)
    manager.has(f"READY=1\nMAINPID={p.pid}\n")
    manager.has("RELOADING=1\n")
    p.stdin.write(b"\n")
    p.stdin.close()
    assert p.wait(60) == 0
    p.stdout.close()
    p.stderr.close()
    assert manager.has("STOPPING=1\n")


def test_in_a_user_namespace_by_an_abstract_address(runtime, make):
    def change(s):
        s["linux"]["namespaces"].append({"type": "user"})
        s["linux"]["uidMappings"] = s["linux"]["gidMappings"] = [
            {"containerID": 0, "hostID": 100000, "size": 65536}]
    m = Manager(f"\0atoll-sd-{os.getpid()}")
    try:
        runtime("run", "-b", make("READY=1", change=change), next(ids), env=env(m))
        until(lambda: m.said, "a message")
        assert m.said[0].startswith("READY=1\nMAINPID=")
    finally:
        m.close()


def test_nobody_there_is_a_warning(runtime, make, base):
    i = next(ids)
    r = runtime.leave("run", "-d", "-b", make("stay"), i,
                      env={"NOTIFY_SOCKET": str(base / "none.sock")})
    try:
        assert "nobody is told" in r.err and "No such file" in r.err
        assert runtime.state(i)["status"] == "running"
    finally:
        runtime("delete", "-f", i)


def test_without_it_nothing_is_there(runtime, make):
    assert runtime.try_("run", "-b", make("READY=1"), next(ids)).rc == 2


# ---- socket activation ---------------------------------------------------------------------------

LISTEN = "import os,sys; os.environ['LISTEN_PID']=str(os.getpid()); os.execv(sys.argv[1], sys.argv[1:])"
SHOW = "echo $$ $LISTEN_PID $LISTEN_FDS $LISTEN_FDNAMES; readlink /proc/self/fd/3; readlink /proc/self/fd/4"


def activated(runtime, fds, *args, names=None, pid=True, **more):
    """Run it as systemd starts a service with sockets: these descriptors as 3, 4, ..."""
    e = {**os.environ, "LISTEN_FDS": str(len(fds)), **({"LISTEN_FDNAMES": names} if names else {}), **more}
    dup = "".join(f"os.dup2({fd},{3 + n});" for n, fd in enumerate(fds))
    code = dup + (LISTEN if pid else "import os,sys; os.execv(sys.argv[1], sys.argv[1:])")
    return subprocess.run([sys.executable, "-c", "import os;" + code, *runtime.argv(*args)], env=e,
                          pass_fds=fds, capture_output=True, text=True, timeout=60, check=False,
                          stdin=subprocess.DEVNULL)


@pytest.fixture
def sockets():
    """High numbers, so that putting them at 3 and 4 overwrites none of them."""
    import fcntl
    both = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(2)]
    high = [fcntl.fcntl(s.fileno(), fcntl.F_DUPFD, 100) for s in both]
    yield high
    for fd in high:
        os.close(fd)
    for s in both:
        s.close()


def test_sockets_are_passed_to_the_init(runtime, bundle, sockets):
    r = activated(runtime, sockets, "run", "-b", bundle(["/bin/sh", "-c", SHOW]), next(ids),
                  names="web:admin")
    lines = r.stdout.splitlines()
    assert lines[0] == "1 1 2 web:admin", r
    assert len(lines) == 3 and all(l.startswith("socket:") for l in lines[1:])


def test_sockets_without_own_pids(runtime, bundle, sockets):
    """LISTEN_PID is the pid that the process sees."""
    def change(s):
        s["linux"]["namespaces"] = [n for n in s["linux"]["namespaces"] if n["type"] != "pid"]
    r = activated(runtime, sockets, "run", "-b", bundle(["/bin/sh", "-c", SHOW], change), next(ids))
    own, listen, n = r.stdout.splitlines()[0].split()
    assert own == listen != "1" and n == "2", r


def test_sockets_for_another_process_are_not_ours(runtime, bundle, sockets):
    r = activated(runtime, sockets, "run", "-b", bundle(["/bin/sh", "-c", SHOW]), next(ids),
                  pid=False, LISTEN_PID="1")
    assert r.stdout == "1\n", r


def test_sockets_by_create_and_exec(runtime, bundle, sockets, base):
    i = next(ids)
    b = bundle(["/bin/sh", "-c", f"({SHOW}) > /out/log 2>&1; exec sleep 1000"],
               lambda s: s["mounts"].append({"destination": "/out", "type": "bind",
                                             "source": str(base), "options": ["bind"]}))
    # What create leaves keeps our pipes: its output goes to a file.
    with open(base / "create.out", "w+") as out:
        code = "".join(f"os.dup2({fd},{3 + n});" for n, fd in enumerate(sockets))
        subprocess.run([sys.executable, "-c", "import os;" + code + LISTEN,
                        *runtime.argv("create", "-b", b, i)], pass_fds=sockets, stdout=out, stderr=out,
                       stdin=subprocess.DEVNULL, check=True, timeout=60,
                       env={**os.environ, "LISTEN_FDS": "2"})
    try:
        runtime("start", i)
        log = base / "log"
        until(lambda: log.exists() and log.read_text().count("\n") == 3, "the log")
        assert log.read_text().splitlines()[0].split() == ["1", "1", "2"]
        r = activated(runtime, sockets, "exec", i, "sh", "-c", SHOW, names="a:b")
        lines = r.stdout.splitlines()
        own, listen, n, names = lines[0].split()
        assert own == listen != "1" and (n, names) == ("2", "a:b"), r
        assert all(l.startswith("socket:") for l in lines[1:]) and len(lines) == 3
    finally:
        runtime("delete", "-f", i)


def test_the_lock_is_free_while_a_container_runs(runtime, bundle):
    """`run` in the foreground is in nobody's way."""
    i = next(ids)
    p = runtime.popen("run", "-b", bundle(["/bin/sleep", "1000"]), i)
    until(lambda: runtime.try_("state", i).rc == 0 and runtime.state(i)["status"] == "running", "running")
    runtime("pause", i, timeout=20)
    assert runtime.state(i)["status"] == "paused"
    runtime("resume", i, timeout=20)
    runtime("delete", "-f", i, timeout=20)
    _, err = p.communicate(timeout=30)
    assert p.returncode == 137 and err == b"", err
    assert json.loads(runtime("list", "-f", "json").out or "null") in (None, [])
