# SPDX-License-Identifier: Apache-2.0
"""
Small machines that tests start under an emulated processor: Debian's kernel, the modules asked for,
and one static program from tests/fixtures as process 1. A boot takes seconds, on a loaded machine
a minute. What runs in one is trusted; what is tested are the devices and who serves them.
"""
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from . import wait

TOP = Path(__file__).resolve().parents[3]
FIXTURES = TOP / "tests/fixtures"
sys.path.insert(0, str(TOP))

from tools.vm import parts  # noqa: E402  (the path above finds it)

READY = 1025  # the port of the host that a guest's program connects to
# The kernel, several times over what it takes beside other suites.
BOOT_S = 300
APPEND = ("console=ttyS0 panic=-1 reboot=t cryptomgr.notests no_timer_check tsc=reliable "
          "rcupdate.rcu_expedited=1")
EMULATED = ["-M", "q35,accel=tcg,memory-backend=m", "-cpu", "max,-cx16", "-nodefaults",
            "-no-user-config", "-display", "none"]


def kernel(build):
    """Debian's kernel and modules, made once: .kernel / "vmlinux", .modules(). Skips without."""
    try:
        return parts.Parts(Path(build) / "vm").get()
    except parts.Unavailable as ex:
        pytest.skip(f"no machine: {ex}")


def compiled(source, directory):
    """A static program of tests/fixtures."""
    program = Path(directory) / Path(source).stem
    subprocess.run(["gcc", "-std=gnu2x", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror",
                    "-static", "-o", program, FIXTURES / source], check=True, timeout=300)
    return program


def initramfs(kernel_parts, program, modules, directory, files=()):
    """Path of a cpio archive: the program as /init, the modules in /modules, and further files."""
    everything = [("init", 0o755, Path(program).read_bytes()), *kernel_parts.modules(modules),
                  *files]
    path = Path(directory) / "initramfs"
    path.write_bytes(parts.cpio(["dev", "proc", "sys", "modules"], everything))
    return path


class Machine:
    """
    A running QEMU. devices: its arguments; fds: descriptors that these name. console: what the
    machine said. It is gone at the end of a `with`.
    """

    def __init__(self, kernel_parts, initrd, directory, devices=(), fds=(), memory="192M",
                 append="", stay=False):
        self.log = Path(directory) / "console"
        self.errors = Path(directory) / "qemu.err"
        self.argv = ["qemu-system-x86_64", *EMULATED, "-m", memory,
                     "-object", f"memory-backend-memfd,id=m,size={memory},share=on",
                     *([] if stay else ["-no-reboot"]),
                     "-chardev", f"file,id=console,path={self.log}", "-serial", "chardev:console",
                     "-kernel", str(kernel_parts.kernel / "vmlinux"), "-initrd", str(initrd),
                     "-append", f"{APPEND} {append}", *devices]
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(self.argv, pass_fds=fds, stdin=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL, stderr=errors)

    @property
    def console(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def said(self, text, times=1, deadline_s=BOOT_S):
        """Wait until it has said so, so many times."""
        def look():
            assert self.process.poll() is None or self.console.count(text) >= times, self.why()
            return self.console.count(text) >= times
        try:
            wait.until(look, f"{text!r} from the machine", deadline_s)
        except AssertionError as ex:
            raise AssertionError(f"{ex}\n{self.why()}") from None

    def why(self):
        return f"{self.errors.read_text(errors='replace')}\n{self.console[-3000:]}"

    def kill(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


class Device:
    """
    A running atoll-device of a kind; .socket is for the front end, to be closed once it has it.
    fds: descriptors that the options name. prefix: a command that starts it. listen: a path where the
    front end is to connect.
    """

    def __init__(self, build, kind, directory, options=(), fds=(), prefix=(),
                 listen=None):
        self.socket, own = socket.socketpair()
        if listen:
            own.close()
            own = socket.socket(socket.AF_UNIX)
            own.bind(str(listen))
            own.listen(1)
        self.errors = Path(directory) / f"{kind}.err"
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(
                [*prefix, Path(build) / "atoll-device", kind, "--socket", f"fd:{own.fileno()}",
                 *options],
                pass_fds=[own.fileno(), *fds], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=errors,
                env={**os.environ, "ATOLL_TEST": str(directory)})
        own.close()

    def ended(self):
        """Its status, once it has ended, and what it said."""
        status = self.process.wait(wait.DEADLINE_S)
        return status, self.errors.read_text(errors="replace")

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


def line(s):
    got = b""
    while not got.endswith(b"\n"):
        byte = s.recv(1)
        if not byte:
            break
        got += byte
    return got


class Vsock:
    """A machine with a vsock device. Connections of the guest to READY come from forwarded()."""

    def __init__(self, build, kernel_parts, initrd, directory, devices=(), fds=(), **machine):
        directory.mkdir()
        self.path = directory / "v"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.path))
            listener.listen(512)
            self.forward, theirs = socket.socketpair()
            self.device = Device(
                build, "vsock", directory,
                ["--cid", "3", "--listen", f"fd:{listener.fileno()}",
                 "--forward", f"{READY}:fd:{theirs.fileno()}"],
                [listener.fileno(), theirs.fileno()])
            theirs.close()
        fd = self.device.socket.fileno()
        self.machine = Machine(
            kernel_parts, initrd, directory,
            ["-chardev", f"socket,id=v,fd={fd}", "-device",
             "vhost-user-vsock-pci,chardev=v,disable-legacy=on", *devices], [fd, *fds], **machine)
        self.device.socket.close()
        self.forward.settimeout(BOOT_S)

    def ready(self):
        """Wait for the guest's own connection, after each of its boots."""
        s = self.forwarded()
        assert s.recv(6, socket.MSG_WAITALL) == b"ready\n"
        s.close()
        return self

    def forwarded(self):
        byte, fds, _, _ = socket.recv_fds(self.forward, 1, 4)
        assert byte == b"C" and len(fds) == 1, self.machine.why()
        s = socket.socket(fileno=fds[0])
        s.settimeout(BOOT_S)
        return s

    def connect(self, port):
        """A connection to the guest's port, or None: refused."""
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(BOOT_S)
        s.connect(str(self.path))
        s.sendall(b"CONNECT %d\n" % port)
        answer = line(s)
        if not answer:
            s.close()
            return None
        assert answer.startswith(b"OK ") and int(answer[3:]) >= 1 << 30
        return s

    def close(self):
        self.machine.kill()
        self.device.kill()
        self.forward.close()
