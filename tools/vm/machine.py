# SPDX-License-Identifier: Apache-2.0
"""
One machine from boot to power-off: QEMU emulates the processor (no KVM needed, and none that would
lack something), Debian's kernel runs with cgroup v2 alone and all capabilities. Its root is this
host's, read-only under a layer of memory, so nothing it does lasts.
"""
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from . import parts

HERE = Path(__file__).resolve().parent
# Generous: 3-6 s on an idle core, ten times that beside a build.
BOOT_TIMEOUT_S = 180
ENDED_BY_ITSELF = 125
STOOD_STILL = 126
# A processor that is only slow takes a second or two for what gives a sign of life every five.
STANDSTILL_S = 180
# What the machine mounts its own, empty file systems over.
HIDDEN = ("/tmp", "/run", "/dev")
# On the console: our first program has begun, or the kernel found nothing in our initramfs to begin.
OUR_WORDS = r"boot: begins|No working init found|Unable to mount root fs|Attempted to kill init"
UNIT = """[Unit]
Description=The command of tools/dev-vm
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/run/vm-bin/busybox sh /run/vm/init.sh
StandardInput=null
StandardOutput=tty
StandardError=tty
TTYPath=/dev/hvc0
"""


class NoBoot(Exception):
    """The machine did not come up, twice; the text is its console. ours: what we put into it is to
    blame, not the emulator or the kernel, which never came as far as that."""

    def __init__(self, consoles):
        super().__init__("\n".join(f"---- boot {n}\n{c[-4000:]}"
                                   for n, c in enumerate(consoles, 1)))
        self.ours = all(re.search(OUR_WORDS, c) for c in consoles)
        self.last = last_line(consoles[-1])


def last_line(console):
    return (console.strip().splitlines() or ["no word from it"])[-1]


class Result:
    """
    Exit status (124: over its time; ENDED_BY_ITSELF; STOOD_STILL) and output of a command in a
    machine.
    """

    def __init__(self, status, out, boots):
        self.status = status
        self.out = out
        self.boots = boots


class Standstill:
    """Whether a file was not written for too long; never without a file."""

    def __init__(self, path):
        self.path = path
        self.last = None
        self.since = time.monotonic()

    def seen(self):
        if self.path is None:
            return False
        try:
            now = os.stat(self.path).st_mtime_ns
        except OSError:
            now = None
        if now != self.last:
            self.last, self.since = now, time.monotonic()
        return time.monotonic() - self.since > STANDSTILL_S


class Machine:
    """
    Settings of a machine. shares: directories it may write to, under their own paths.
    cpus: one is fastest under emulation, unless a test is about several. append: words for its
    kernel's command line.
    """

    def __init__(self, cache, cpus=1, memory_mib=2048, systemd=False, shares=(), directory="/",
                 append=""):
        self.parts = parts.Parts(cache)
        self.cpus = cpus
        self.memory_mib = memory_mib
        self.systemd = systemd
        self.shares = [Path(s).resolve() for s in shares]
        self.directory = Path(directory).resolve()
        self.append = append

    def run(self, command, timeout, env=None, terminal=False, report=print, pulse=None):
        """
        Boot, run a list of arguments, power off. A boot that hangs is tried once more, and reported:
        emulated processors do that once in many times. pulse: a file that the command writes again
        and again; when it stops to the machine is ended. Raises Unavailable, NoBoot.
        """
        self.parts.get(self.systemd)
        consoles = []
        for boots in (1, 2):
            with tempfile.TemporaryDirectory(prefix="atoll-vm-") as d:
                self._write(Path(d), command, env or {}, terminal)
                status, out = self._boot(Path(d), timeout, terminal, pulse)
                if (Path(d) / "ready").exists():
                    console = (Path(d) / "console").read_text(errors="replace")
                    if status is None:
                        status, out = ENDED_BY_ITSELF, out + f"\n[the machine ended by itself]\n{console}"
                    return Result(status, out, boots)
                consoles.append((Path(d) / "console").read_text(errors="replace") + out)
            report(f"dev-vm: boot {boots} of at most 2 did not come up: {last_line(consoles[-1])}")
        raise NoBoot(consoles)

    def _write(self, d, command, env, terminal):
        """Fill the control directory."""
        mounts = [f"show {p}\n" for p in sorted({self.directory, self.parts.cache})
                  if not self.systemd and any(Path(h) in p.parents for h in HIDDEN)]
        mounts += [f"share{n} {p}\n" for n, p in enumerate(self.shares)]
        (d / "mounts").write_text("".join(mounts))
        modules = self.parts.kernel / "lib/modules"
        (d / "settings").write_text(
            f"directory={shlex.quote(str(self.directory))}\n"
            f"modules={shlex.quote(('/host' if self.systemd else '') + str(modules))}\n"
            f"terminal={'yes' if terminal else 'no'}\n")
        exports = "".join(f"export {k}={shlex.quote(v)}\n" for k, v in env.items())
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        term = os.environ.get("TERM", "vt100") if terminal else "dumb"
        (d / "run").write_text(f"export PATH={path} HOME=/root TERM={shlex.quote(term)}\n{exports}"
                               f"exec {shlex.join(command)}\n")
        shutil.copy(HERE / "init.sh", d)
        (d / "atoll-vm.service").write_text(UNIT)
        (d / "console").touch()
        (d / "initramfs").write_bytes(
            self.parts.initramfs((HERE / "boot.sh").read_text()))
        parts.file_system(d / "scratch", parts.SCRATCH_MIB)

    def _argv(self, d):
        append = ("console=ttyS0 quiet panic=-1 reboot=t mitigations=off cgroup_no_v1=all "
                  f"random.trust_cpu=on {self.append}")

        def export(path, tag, *more):
            # A comma in a path is written twice, as QEMU's options want it.
            doubled = str(path).replace(",", ",,")
            return ["-virtfs", ",".join(["local", f"path={doubled}", f"mount_tag={tag}",
                                         "security_model=none", "multidevs=remap", *more])]

        argv = ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-M", "q35",
                "-accel", "tcg,thread=multi", "-smp", str(self.cpus),
                # Without cx16: with it Debian's 6.12 fails in cmpxchg16b under QEMU 7.2. Without
                # erms, the promise that rep stosb is fast: emulated it clears byte by byte, four
                # times as long as by words.
                "-cpu", "max,+svm,-cx16,-erms", "-m", str(self.memory_mib),
                "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
                "-chardev", f"file,id=console,path={d}/console", "-serial", "chardev:console",
                "-chardev", "stdio,id=io,signal=off", "-device", "virtio-serial-pci",
                "-device", "virtconsole,chardev=io",
                "-kernel", str(self.parts.kernel / "vmlinux"), "-initrd", str(d / "initramfs"),
                *export("/", "host", "readonly=on"), *export(d, "control")]
        for n, path in enumerate(self.shares):
            argv += export(path, f"share{n}")
        # /tmp; nothing of it needs to reach the host's disk.
        argv += ["-drive", f"file={d}/scratch,format=raw,if=virtio,cache=unsafe"]
        if self.systemd:
            append += " atoll.systemd"
            argv += ["-drive", f"file={self.parts.image},format=raw,if=virtio,snapshot=on"]
        return [*argv, "-append", append]

    def _boot(self, d, timeout, terminal, pulse):
        """(exit status or None, output) of one boot."""
        out = tempfile.TemporaryFile()
        pipes = {} if terminal else {"stdin": subprocess.DEVNULL, "stdout": out,
                                     "stderr": subprocess.STDOUT}
        with out, subprocess.Popen(self._argv(d), **pipes) as p:
            try:
                booted = self._wait(p, BOOT_TIMEOUT_S, lambda: (d / "ready").exists())
                still = Standstill(pulse)
                over = booted and not self._wait(p, timeout, still.seen)
                stood_still = p.poll() is None and still.seen()
            finally:
                if p.poll() is None:
                    p.kill()
                p.wait()
            out.seek(0)
            text = out.read().decode(errors="replace")
            if stood_still:
                return STOOD_STILL, text + f"\n[killed: no sign of life for {STANDSTILL_S} s]\n"
            if over:
                return 124, text + f"\n[killed after {timeout} s]\n"
            try:
                return int((d / "status").read_text()), text
            except (OSError, ValueError):
                return None, text

    @staticmethod
    def _wait(p, seconds, condition):
        """Until condition() or the end of QEMU; False when neither came in time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if condition():
                return True
            try:
                p.wait(0.1)
                return True
            except subprocess.TimeoutExpired:
                continue
        return False
