# SPDX-License-Identifier: Apache-2.0
"""
Machines with shares: atoll-device fs beside a QEMU with an emulated processor, in which
tests/fixtures/guest_fs.c runs the shell commands that it finds in a share.
"""
import os

from . import guest, wait

TIMEOUT_S = 300
MODULES = ["virtio_pci", "virtiofs", "overlay"]
BUSYBOX = "/bin/busybox"


def initramfs(parts, program, directory):
    """With guest_fs (compiled: `program`) and a busybox."""
    with open(BUSYBOX, "rb") as f:
        files = [("busybox", 0o755, f.read())]
    return guest.initramfs(parts, program, MODULES, directory, files)


class Shares:
    """
    A machine with shares; name -> (path, read-only). `ctl` is the one commands go through. limit:
    descriptors the server may have; user: whose process it is. devices, fds: more of the
    machine's.
    """

    def __init__(self, build, parts, initrd, directory, shares, limit=None, user=None,
                 devices=(), fds=()):
        directory.mkdir(exist_ok=True)
        self.ctl = directory / "ctl"
        self.ctl.mkdir()
        self.commands = 0
        own, options = [], []
        prefix = ["prlimit", f"--nofile={limit}"] if limit else []
        if user:
            os.chown(self.ctl, user, user)
            prefix = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        for name, (path, read_only) in {"ctl": (self.ctl, False), **shares}.items():
            own.append(os.open(path, os.O_PATH))
            options += ["--share", f"{name}=fd:{own[-1]}{',ro' if read_only else ''}"]
        self.device = guest.Device(build, "fs", directory, options, own,
                                   prefix)
        for fd in own:
            os.close(fd)
        fd = self.device.socket.fileno()
        self.machine = guest.Machine(
            parts, initrd, directory,
            ["-chardev", f"socket,id=f,fd={fd}", "-device",
             "vhost-user-fs-pci,chardev=f,tag=atoll,queue-size=1024", *devices], [fd, *fds])
        self.device.socket.close()

    def send(self, script):
        """Its number."""
        n = self.commands
        self.commands += 1
        temporary = self.ctl / f"new-{n}"
        temporary.write_text(script)
        temporary.rename(self.ctl / f"cmd-{n}")
        return n

    def answer(self, n):
        """Status and output."""
        out = self.ctl / f"out-{n}"

        def there():
            assert self.machine.process.poll() is None, self.machine.why()
            assert self.device.process.poll() is None, self.device.ended()
            return out.exists()
        try:
            wait.until(there, "an answer from the machine", TIMEOUT_S + guest.BOOT_S)
        except AssertionError as ex:
            raise AssertionError(f"{ex}\n{self.machine.why()}") from None
        text = out.read_text(errors="surrogateescape")
        said, status = text.rsplit("status ", 1)
        return int(status), said

    def run(self, script):
        return self.answer(self.send(script))

    def ok(self, script):
        status, said = self.run(script)
        assert status == 0, said
        return said

    def close(self):
        self.machine.kill()
        self.device.kill()
