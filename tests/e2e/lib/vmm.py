# SPDX-License-Identifier: Apache-2.0
"""
atoll-vmm under test: kernels of a few instructions, which any KVM runs, and what is asked of it on
its control socket.
"""
import contextlib
import ctypes
import errno
import os
import socket
import struct
import subprocess
from pathlib import Path

import pytest

from . import wait

NO_KVM = "needs KVM that runs guests"
PROBE_S = 15  # beside other suites; an interpreter of guests would take minutes

TYPES = {"info": 1, "stats": 2, "pause": 3, "resume": 4, "balloon": 5, "quit": 6,
         "limit": 7, "balloon-wait": 8, "snapshot": 9}
SNAPSHOT_DIFF = 1
FS = 26  # virtio's number of shares
AT = 0x100000  # where a kernel of ours is loaded

# 32-bit code; ports: 0x3f8 the serial one, 0x600 sleep, 0x602 reset.
RESET = b"\x66\xba\x02\x06\xb0\x01\xee\xf4"  # mov dx, 0x602; mov al, 1; out dx, al; hlt
OFF = b"\x66\xba\x00\x06\xb0\x34\xee\xf4"  # mov dx, 0x600; mov al, 0x34; out dx, al; hlt
TRIPLE_FAULT = b"\x0f\x0b"  # ud2, and nowhere to go with it
SPIN = b"\xeb\xfe"  # jmp $
HELLO = b"\x66\xba\xf8\x03\xb0\x48\xee\xb0\x69\xee\xb0\x0a\xee" + RESET  # "Hi\n"
WRITES = b"\x66\xba\xf8\x03\xb0\x78\xee\xeb\xfd"  # out dx, al for ever
# mov edi, 0x200000; mov dx, 0x3f8; 1: inc ecx; mov [edi], ecx; mov al, cl; out dx, al; jmp 1b
NUMBERS = b"\x31\xc9\xbf\x00\x00\x20\x00\x66\xba\xf8\x03\x41\x89\x0f\x88\xc8\xee\xeb\xf8"
NUMBER_AT = 0x200000  # in its memory
# Copies to 0x8000 what the second processor does in real mode (count at 0x9000), starts it by two
# messages of its own APIC, and counts too.
_SECOND = b"\x66\x31\xc9\x66\x41\x66\x89\x0e\x00\x90\xeb\xf7"
SECOND_AT = 0x9000
NUMBERS_OF_TWO = (b"".join(b"\xc6\x05" + struct.pack("<IB", 0x8000 + i, byte)
                           for i, byte in enumerate(_SECOND)) +
                  b"\xb9\x1b\0\0\0\x0f\x32\x0d\0\x04\0\0\x0f\x30"  # x2APIC mode
                  b"\xb9\x30\x08\0\0\xba\x01\0\0\0"  # to processor 1: INIT, then start at 0x8000
                  b"\xb8\0\x45\0\0\x0f\x30\xb8\x08\x46\0\0\x0f\x30" +
                  NUMBERS)
HALT = b"\xfa\xf4\xeb\xfd"  # cli; hlt
# A hundred million rounds: nothing for a processor, minutes for an interpreter.
COUNT = b"\xb9\x00\xe1\xf5\x05\x49\x75\xfd" + RESET  # mov ecx, N; dec ecx; jnz


def elf(code, at=AT, entry=None, machine=62, note=True, memory=4096):
    """A vmlinux of one segment, with the note of its PVH entry."""
    notes = struct.pack("<III4sI", 4, 4, 18 if note else 17, b"Xen\0", entry or at)
    header = (b"\x7fELF\x02\x01\x01" + bytes(9) +
              struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, at, 64, 0, 0, 64, 56, 2, 0, 0, 0))
    segments = (struct.pack("<IIQQQQQQ", 1, 7, 4096, at, at, len(code), len(code) + memory, 4096) +
                struct.pack("<IIQQQQQQ", 4, 4, 2048, 0, 0, len(notes), len(notes), 4))
    return ((header + segments).ljust(2048, b"\0") + notes).ljust(4096, b"\0") + code


class Vmm:
    """A running atoll-vmm. code: of its kernel, unless `kernel` is a file's path."""

    count = 0

    def __init__(self, build, directory, *options, code=None, kernel=None, fds=(), uid=None,
                 before=None, restore=None):
        Vmm.count += 1
        self.directory = Path(directory) / f"v{Vmm.count}"
        self.directory.mkdir(parents=True)
        self.errors = self.directory / "errors"
        self.serial = self.directory / "serial"
        self.control = self.directory / "c"
        if restore:  # a directory with a snapshot
            what = ["--restore", f"{restore}/state,{restore}/memory"]
        elif kernel is None:
            kernel = self.directory / "kernel"
            kernel.write_bytes(elf(code))
        if not restore:
            what = ["--kernel", kernel]
        ids = [] if uid is None else ["--uid", str(uid), "--gid", str(uid)]
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(
                [Path(build) / "atoll-vmm", *what, "--memory", "64M", "--control",
                 self.control, *ids, *options],
                pass_fds=fds, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
                preexec_fn=before)

    def ended(self, deadline_s=wait.DEADLINE_S):
        """Its exit status, and what it said on standard error."""
        try:
            status = self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"does not end\n{self.why()}") from None
        return status, self.errors.read_text(errors="replace")

    def said(self):
        return self.serial.read_bytes() if self.serial.exists() else b""

    def why(self):
        return f"{self.errors.read_text(errors='replace')}({self.process.poll()})\n{self.said()[-3000:].decode(errors='replace')}"

    def wait_for(self, text, deadline_s=wait.DEADLINE_S, times=1):
        """Until its guest has said so on the serial port."""
        def look():
            assert self.process.poll() is None or text in self.said(), self.why()
            return self.said().count(text) >= times
        try:
            wait.until(look, f"{text!r} from the guest", deadline_s)
        except AssertionError as ex:
            raise AssertionError(f"{ex}\n{self.why()}") from None

    def connect(self):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(wait.DEADLINE_S)

        def connected():
            try:
                s.connect(str(self.control))
            except OSError:
                assert self.process.poll() is None, self.why()
                return False
            return True
        wait.until(connected, "the control socket")
        return s

    def ask(self, what, value=0, which=0):
        """(errno, numbers) of one request on a connection of its own."""
        with self.connect() as s:
            s.sendall(struct.pack("<HHIQ", 1, TYPES[what], which, value))
            return answer(s, what)

    def snapshot(self, directory, flags=0):
        """(errno, numbers or why) of a snapshot made into a directory that is made, too."""
        directory = Path(directory)
        directory.mkdir()
        with (open(directory / "state", "xb") as state, open(directory / "memory", "xb") as memory,
              self.connect() as s):
            socket.send_fds(s, [struct.pack("<HHIQ", 1, TYPES["snapshot"], 0, flags)],
                            [state.fileno(), memory.fileno()])
            return answer(s, "snapshot")

    def status(self, thread=None):
        path = f"/proc/{self.process.pid}/" + (f"task/{thread}/" if thread else "") + "status"
        return dict(line.split(":\t", 1) for line in Path(path).read_text().splitlines()
                    if ":\t" in line)

    def threads(self):
        return [int(t) for t in os.listdir(f"/proc/{self.process.pid}/task")]

    def thread(self, name):
        """The one of that name; it gives it to itself. Another, which loads the kernel, ends."""
        def of_that_name():
            found = []
            for t in self.threads():
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    found += [t] if self.status(t)["Name"] == name else []
            return found
        wait.until(of_that_name, f"a thread {name!r}")
        return of_that_name()[0]

    def resident_kib(self, but_larger_than_kib):
        """What it holds in memory besides its guest's."""
        total, size = 0, 0
        for line in Path(f"/proc/{self.process.pid}/smaps").read_text().splitlines():
            if line.startswith("Size:"):
                size = int(line.split()[1])
            elif line.startswith("Rss:") and size < but_larger_than_kib:
                total += int(line.split()[1])
        return total

    def kill(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


class Stopped:
    """A thread that gets nowhere, as if what it waits for did not come; the others go on."""

    SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17
    ANY_CHILD = 0x40000000  # __WALL: threads are waited for, too

    def __init__(self, thread):
        self.thread = thread
        self._trace(self.SEIZE)
        self._trace(self.INTERRUPT)
        _, status = os.waitpid(thread, self.ANY_CHILD)
        assert os.WIFSTOPPED(status)
        self.stopped = True

    def _trace(self, request):
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.ptrace(ctypes.c_long(request), ctypes.c_int(self.thread), None, None) < 0:
            raise OSError(ctypes.get_errno(), f"ptrace {request:#x}")

    def goes_on(self):
        self._trace(self.DETACH)
        self.stopped = False

    def ended(self):
        """With its process: wait status."""
        self.stopped = False
        return os.waitpid(self.thread, self.ANY_CHILD)[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.stopped:
            self.goes_on()


def answer(s, what):
    head = s.recv(16, socket.MSG_WAITALL)
    assert len(head) == 16, head
    version, kind, error, words, zero = struct.unpack("<HHIII", head)
    assert (version, kind, zero) == (1, TYPES[what], 0)
    body = s.recv(words * 8, socket.MSG_WAITALL) if words else b""
    if error and body:
        return error, body.rstrip(b"\0").decode()
    return error, struct.unpack(f"<{words}Q", body)


def devices(stats):
    """Of an answer to "stats": {virtio's number: counters}."""
    names = ("read_bytes", "write_bytes", "reads", "writes", "errors", "interrupts")
    words = stats[2:]
    return {words[i]: dict(zip(names, words[i + 1:i + 7])) for i in range(0, len(words), 7)}


def lay_over(diff, onto):
    """The data of a sparse file over another file."""
    with open(diff, "rb") as f, open(onto, "r+b") as to:
        at, size = 0, os.fstat(f.fileno()).st_size
        assert os.fstat(to.fileno()).st_size == size
        while True:
            try:
                at = os.lseek(f.fileno(), at, os.SEEK_DATA)
            except OSError as ex:
                assert ex.errno == errno.ENXIO
                return
            end = os.lseek(f.fileno(), at, os.SEEK_HOLE)
            to.seek(at)
            to.write(os.pread(f.fileno(), end - at, at))
            at = end


def need(build, directory, code):
    """Skips where no kernel of these instructions comes to its end in time."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        pytest.skip(NO_KVM)
    with Vmm(build, directory, code=code) as v:
        try:
            status = v.process.wait(PROBE_S)
        except subprocess.TimeoutExpired:
            status = None
        if status is None or (status != 0 and "KVM" in v.why()):
            pytest.skip(NO_KVM)
        assert status == 0, v.why()


def starter(build, directory):
    """For a fixture: start machines that are gone at the end of the test."""
    machines = []

    def start(*options, **more):
        machines.append(Vmm(build, directory, *options, **more))
        return machines[-1]
    yield start
    for m in machines:
        m.kill()
