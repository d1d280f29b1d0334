# SPDX-License-Identifier: Apache-2.0
"""
The measurements of vm.py, on a machine with KVM: `vm_inside.py SETTINGS` prints a line of JSON for
each figure, and words for whoever waits on standard error.
"""
import fcntl
import json
import mmap
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

HELLO_PORT = 1025
PAUSE, SNAPSHOT = 3, 9  # requests of proto/vmm.h
BOOT_NS = 4  # the field of HELLO, see proto/agent.h
SCRUB_MIB = 1024
CID = 42
MEMORY_MIB = 256
HELLO_S = 180
BENCH_S = 900
APPEND = ("quiet panic=-1 reboot=t cryptomgr.notests no_timer_check tsc=reliable "
          "rcupdate.rcu_expedited=1 cgroup_no_v1=all noreplace-smp "
          "initcall_blacklist=ftrace_check_for_weak_functions,trace_eval_init,tracer_init_tracefs,"
          "crypto_kdf108_init pci=noearly")
TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
VIRTIOFSD = "/usr/lib/qemu/virtiofsd"
DEBUG = Path("/sys/kernel/debug/kvm")
OURS, QEMUS = "ours", "qemu's"  # whose files
# What QEMU's machine for this purpose needs and no more; PCI, as the initial RAM file system has no
# other transport; a clock, without which Linux polls a second for one.
MICROVM = ["-M", "microvm,accel=kvm,pcie=on,rtc=on,pit=off,pic=off,x-option-roms=off"]
Q35 = ["-M", "q35,accel=kvm,sata=off,smbus=off,usb=off,vmport=off"]
QEMU = ["qemu-system-x86_64", "-cpu", "host", "-m", str(MEMORY_MIB), "-smp", "1", "-nodefaults",
        "-no-user-config", "-display", "none", "-no-reboot", "-object", "rng-builtin,id=rng",
        "-device", "virtio-rng-pci,rng=rng,disable-legacy=on"]


def figure(name, subject, value, unit):
    print(json.dumps([name, subject, value, unit]), flush=True)


def say(*words):
    print("vm:", *words, file=sys.stderr, flush=True)


class Settings:
    """Files and numbers that vm.py names."""

    def __init__(self, path):
        self.__dict__.update(json.loads(Path(path).read_text(encoding="utf-8")))
        self.stage = Path(path).parent
        # Read from memory by each start: what is measured is not this machine's disk.
        self.files = Path("/dev/shm/atoll-bench")
        shutil.rmtree(self.files, ignore_errors=True)
        self.files.mkdir()
        # With the holes that atoll-kernel gives a kernel. One each: QEMU maps its kernel, and
        # tmpfs fills a hole that is read through a mapping, for whoever reads the file later.
        for whose in (OURS, QEMUS):
            subprocess.run(["cp", "-r", "--sparse=always", self.stage / "files",
                            self.files / whose], check=True)

    def file(self, name, whose=OURS):
        return str(self.files / whose / name)

    def end(self):
        shutil.rmtree(self.files)


def counters(pid):
    """KVM's own, of the machine of that process."""
    found = {}
    for d in DEBUG.glob(f"{pid}-*"):
        for f in d.iterdir():
            if f.is_file():
                try:
                    found[f.name] = int(f.read_text())
                except (OSError, ValueError):
                    pass
    return found


def memory_kib(pid, but_mib):
    """What a process holds besides its guest's memory, its share of what is shared."""
    total, size, kept = 0, 0, 0
    for line in Path(f"/proc/{pid}/smaps").read_text(encoding="ascii").splitlines():
        word, _, rest = line.partition(":")
        if word == "Size":
            size = int(rest.split()[0])
        elif word == "Pss":
            if size < but_mib << 10:
                total += int(rest.split()[0])
            else:
                kept += int(rest.split()[0])
    return total, kept


def number(message, tag):
    """A numeric field of an agent's message."""
    at = 2
    while at < len(message):
        found, n = struct.unpack_from("<HI", message, at)
        at += 6
        if found == tag:
            return struct.unpack_from("<Q", message, at)[0]
        at += n
    return 0


class Booted:
    """A machine up to its agent's first message. Takes fds."""

    def __init__(self, argv, fds, accept):
        program = shutil.which(argv[0])
        null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1)]
        for fd in fds:
            os.set_inheritable(fd, True)
        # The program's start is the clock's, not what Popen does before it.
        began = time.monotonic()
        self.pid = os.posix_spawn(program, argv, os.environ, file_actions=null)
        for fd in fds:  # its end is to be seen
            os.close(fd)
        try:
            self.hello = accept()
            self.hello.settimeout(HELLO_S)
            head = self.hello.recv(8, socket.MSG_WAITALL)
            self.seconds = time.monotonic() - began
            if len(head) != 8:
                raise RuntimeError(f"{argv[0]}: no word from its agent")
            said = self.hello.recv(struct.unpack("<I", head[:4])[0], socket.MSG_WAITALL)
            self.inside_seconds = number(said, BOOT_NS) / 1e9
        except BaseException:
            self.end()
            raise
        self.counters = counters(self.pid)

    def alive(self):
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        if hasattr(self, "hello"):
            self.hello.close()


def boot_ours(s, number=0, more=(), restore=None):
    """Or take up a snapshot in a directory: its agent says hello once more."""
    forward, theirs = socket.socketpair()
    forward.settimeout(HELLO_S)
    path = f"/tmp/bench-vsock-{number}"
    if os.path.exists(path):
        os.unlink(path)

    def accept():
        _, got, _, _ = socket.recv_fds(forward, 1, 4)
        if not got:
            raise RuntimeError("atoll-vmm has ended")
        return socket.socket(fileno=got[0])
    with forward:
        what = (["--restore", f"{restore}/state,{restore}/memory"] if restore else
                ["--kernel", s.file("vmlinux"), "--initrd", s.file("initramfs"), "--append",
                 f"{APPEND} 8250.nr_uarts=0"])
        return Booted([s.file("atoll-vmm"), *what, "--memory",
                       f"{MEMORY_MIB}M", "--vsock",
                       f"cid=3,listen={path},forward={HELLO_PORT}:fd:{theirs.fileno()}", *more],
                      [theirs.detach()], accept)


def boot_qemu(s, kind):
    with socket.socket(socket.AF_VSOCK) as listener:
        listener.bind((socket.VMADDR_CID_ANY, HELLO_PORT))
        listener.listen(4)
        listener.settimeout(HELLO_S)
        return Booted([*QEMU, *kind, "-kernel", s.file("vmlinux", QEMUS), "-initrd",
                       s.file("initramfs", QEMUS), "-append", f"{APPEND} 8250.nr_uarts=0", "-device",
                       f"vhost-vsock-pci,guest-cid={CID},disable-legacy=on"], [],
                      lambda: listener.accept()[0])


SUBJECTS = {"atoll-vmm": boot_ours, "QEMU microvm": lambda s: boot_qemu(s, MICROVM),
            "QEMU q35": lambda s: boot_qemu(s, Q35)}


def scrub():
    """
    An emulator remembers which memory was code, and writing there for the first time again takes it
    many times as long: who starts after another machine would pay for its end.
    """
    with mmap.mmap(-1, SCRUB_MIB << 20) as m:
        m.madvise(mmap.MADV_HUGEPAGE)
        for at in range(0, SCRUB_MIB << 20, 16 * mmap.PAGESIZE):
            m[at] = 0


def measure_boots(s):
    for turn in range(s.boots + 1):
        for name, boot in SUBJECTS.items():
            scrub()
            b = boot(s)
            try:
                say(f"{name}: {b.seconds:.2f} s")
                if turn == 0:  # the files have been read, now
                    for counter in ("exits", "io_exits", "mmio_exits", "halt_exits", "irq_exits"):
                        if counter in b.counters:
                            figure(f"exits: {counter}", name, b.counters[counter], "")
                    continue
                figure("boot", name, b.seconds, "s")
                figure("boot: of it the guest's own", name, b.inside_seconds, "s")
                figure("memory", name, memory_kib(b.pid, MEMORY_MIB)[0], "KiB")
            finally:
                b.end()


def ask(path, kind, fds=()):
    """A request without a value on atoll-vmm's control socket, see proto/vmm.h."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(HELLO_S)
        s.connect(path)
        socket.send_fds(s, [struct.pack("<HHIQ", 1, kind, 0, 0)], list(fds))
        head = s.recv(16, socket.MSG_WAITALL)
        if len(head) != 16 or struct.unpack("<HHIII", head)[2]:
            raise RuntimeError(f"request {kind} of atoll-vmm: {head!r} {s.recv(512)!r}")


def measure_restores(s):
    """From the start of the program to the agent's word, of a machine that had said its first."""
    control, place = "/tmp/bench-control", Path("/dev/shm/bench-snapshot")
    place.mkdir()
    b = boot_ours(s, more=["--control", control])
    try:
        began = time.monotonic()
        ask(control, PAUSE)
        with open(place / "state", "wb") as state, open(place / "memory", "wb") as memory:
            ask(control, SNAPSHOT, [state.fileno(), memory.fileno()])
        figure("snapshot", "atoll-vmm", time.monotonic() - began, "s")
    finally:
        b.end()
        os.unlink(control)
    try:
        for turn in range(s.boots + 1):
            scrub()
            b = boot_ours(s, more=["--control", control], restore=place)
            try:
                say(f"restored: {b.seconds:.3f} s")
                if turn:
                    figure("restore", "atoll-vmm", b.seconds, "s")
            finally:
                b.end()
                os.unlink(control)
    finally:
        shutil.rmtree(place)


def available_kib():
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1])
    raise RuntimeError("no MemAvailable")


def measure_many(s):
    machines = []
    before = available_kib()
    began = time.monotonic()
    try:
        for n in range(s.many):
            machines.append(boot_ours(s, n))
        figure("many", "atoll-vmm", time.monotonic() - began, "s")
        alive = sum(m.alive() for m in machines)
        figure("many alive", "atoll-vmm", alive, "")
        figure("many memory", "atoll-vmm", (before - available_kib()) / s.many / 1024, "MiB")
        own, guests = zip(*(memory_kib(m.pid, MEMORY_MIB) for m in machines))
        figure("many own memory", "atoll-vmm", sum(own) / s.many, "KiB")
        figure("many guest memory", "atoll-vmm", sum(guests) / s.many / 1024, "MiB")
    finally:
        for m in machines:
            m.end()


# --- devices

def tap(name, address):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(),
                                           IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
    subprocess.run(["ip", "addr", "add", f"{address}/24", "dev", name], check=True)
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    return fd


def connected(path, serve):
    """A connected socket, and the process of serve(listener) that has the other end."""
    if os.path.exists(path):
        os.unlink(path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        process = serve(listener)
        s = socket.socket(socket.AF_UNIX)
        s.connect(path)
        return s, process


def virtiofsd(share):
    def serve(listener):
        return subprocess.Popen([VIRTIOFSD, f"--fd={listener.fileno()}", "-o", f"source={share}",
                                 "-o", "cache=auto", "-o", "xattr"], pass_fds=[listener.fileno()],
                                stderr=subprocess.DEVNULL)
    return connected("/tmp/bench-fs", serve)


def our_fs(s, share):
    ours, theirs = socket.socketpair()
    fd = os.open(share / "s", os.O_PATH)
    process = subprocess.Popen([s.file("atoll-device"), "fs", "--socket", f"fd:{theirs.fileno()}",
                                "--share", f"s=fd:{fd}"], pass_fds=[theirs.fileno(), fd])
    os.close(fd)
    theirs.close()
    return ours, process


def device_argv(s, subject, disk, wire, fs, serial, words):
    append = f"{APPEND} test={words}"
    mac = "02:00:00:00:00:01"
    if subject == "atoll-vmm":
        return [s.file("atoll-vmm"), "--kernel", s.file("bench-vmlinux"), "--initrd",
                s.file("bench-initramfs"), "--append", append, "--memory", f"{MEMORY_MIB}M",
                "--serial", serial, "--disk", disk, "--net", f"tap=fd:{wire},mac={mac}",
                "--fs", f"tag=tag,socket=fd:{fs}"]
    vhost = "on" if subject.endswith("vhost") else "off"
    return [*QEMU, *MICROVM, "-object",
            f"memory-backend-memfd,id=m,size={MEMORY_MIB}M,share=on", "-machine",
            "memory-backend=m", "-kernel", s.file("bench-vmlinux", QEMUS), "-initrd",
            s.file("bench-initramfs", QEMUS), "-append", append, "-serial", f"file:{serial}",
            "-object", "iothread,id=io", "-drive",
            f"file={disk},if=none,id=d,format=raw,cache=writeback,aio=threads", "-device",
            "virtio-blk-pci,drive=d,disable-legacy=on,iothread=io",
            "-netdev", f"tap,id=n,fd={wire},vhost={vhost}", "-device",
            f"virtio-net-pci,netdev=n,mac={mac},disable-legacy=on,romfile=",
            "-chardev", f"socket,id=f,fd={fs}", "-device",
            "vhost-user-fs-pci,chardev=f,tag=tag,queue-size=1024"]


def exits_to_the_end(process):
    """KVM's counters of a machine, as they were shortly before its end; processors that are gone
    count nothing."""
    last, end = {}, time.monotonic() + BENCH_S
    while process.poll() is None:
        last = max(last, counters(process.pid), key=lambda c: c.get("exits", 0))
        if time.monotonic() > end:
            raise RuntimeError(f"a machine has not ended within {BENCH_S} s")
        time.sleep(0.5)
    return last


def measure_devices(s, subject, number):
    """One machine that says its figures."""
    share, disk, serial = (Path(f"/dev/shm/bench-{n}") for n in ("share", "disk", "serial"))
    (share / "s").mkdir(parents=True)
    with open(disk, "wb") as f:
        f.truncate(128 << 20)
    name, address = f"bench{number}", f"10.99.{number}.1"
    wire = tap(name, address)
    peer = subprocess.Popen([s.file("guest_bench"), "peer", address, "7"], stdout=subprocess.PIPE)
    fs, server = our_fs(s, share) if subject == "atoll-vmm" else virtiofsd(share)
    words = {"disk": "disk:/dev/vda", "net": f"net:eth0={address}:7", "fs": "fs:tag"}
    words = ",".join([*(words[d] for d in s.devices), f"again:{s.rounds - 1}"])
    process = None
    try:
        peer.stdout.readline()
        process = subprocess.Popen(
            device_argv(s, subject, str(disk), wire, fs.fileno(), str(serial), words),
            pass_fds=[wire, fs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        fs.close()
        exits = exits_to_the_end(process)
        said = serial.read_text(errors="replace") if serial.exists() else ""
        if not said.endswith("ends\n"):
            raise RuntimeError(f"{subject}: it ended with {said[-2000:]!r}")
        for line in said.splitlines():
            word = line.split()
            if len(word) == 3 and word[2] in ("MiB/s", "/s", "us"):
                figure(word[0], subject, float(word[1]), word[2])
        for counter in ("exits", "halt_exits", "irq_injections"):
            figure(f"devices: {counter}", subject, exits.get(counter, 0), "")
    finally:
        for p in (process, server, peer):
            if p:
                p.kill()
                p.wait()
        os.close(wire)
        shutil.rmtree(share)
        for path in (disk, serial):
            path.unlink(missing_ok=True)


def main():
    s = Settings(sys.argv[1])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if "boot" in s.parts:
            measure_boots(s)
        if "restore" in s.parts:
            measure_restores(s)
        if "devices" in s.parts:
            number = 0
            for _ in range(s.turns):
                for subject in ("atoll-vmm", "QEMU microvm", "QEMU microvm, vhost"):
                    number += 1
                    say(f"devices of {subject}")
                    measure_devices(s, subject, number)
        if "many" in s.parts:
            measure_many(s)
    finally:
        s.end()


if __name__ == "__main__":
    main()
