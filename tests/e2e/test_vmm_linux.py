# SPDX-License-Identifier: Apache-2.0
"""
atoll-vmm with Debian's kernel, where KVM runs guests at a processor's speed. The program in the
machine is tests/fixtures/guest_words.c.
"""
import os
import socket
import struct

import pytest

from lib import guest, vmm, wait

DEADLINE_S = 150  # of a boot, beside other machines
QUIET = ("quiet panic=-1 reboot=t cryptomgr.notests no_timer_check tsc=reliable "
         "rcupdate.rcu_expedited=1")
MODULES = ["virtio_pci", "virtio_blk", "virtio-rng", "virtio_balloon", "virtio_console", "virtio_net",
           "virtiofs"]
MAC = "02:00:00:00:00:01"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def linux(build, base):
    """A kernel and an initial RAM file system with guest_words."""
    vmm.need(build, base, vmm.COUNT)
    parts = guest.kernel(build)
    initrd = guest.initramfs(parts, guest.compiled("guest_words.c", base), MODULES, base)
    return parts.kernel / "vmlinux", initrd


@pytest.fixture
def run(build, base):
    yield from vmm.starter(build, base)


@pytest.fixture
def boot(linux, run, base):
    def start(words, *options, memory="256M", fds=()):
        kernel, initrd = linux
        serial = base / f"serial{vmm.Vmm.count}"
        m = run("--initrd", initrd, "--memory", memory, "--serial", serial, "--append",
                f"{QUIET} test={words}", *options, kernel=kernel, fds=fds)
        m.serial = serial
        return m
    return start


def test_processors_and_memory_above_4_gib(boot, build, base):
    """And interrupts of another process, which reach the processor that the guest wants them on."""
    share = base / "moves"
    share.mkdir()
    (share / "file").write_text("shared")
    fd = os.open(share, os.O_PATH)
    with guest.Device(build, "fs", base, ["--share", f"s=fd:{fd}"], [fd]) as server:
        os.close(fd)
        m = boot("machine,mount:tag,moves:requests.0=/mnt/s/file,hold", "--cpus", "2", "--fs",
                 f"tag=tag,socket=fd:{server.socket.fileno()}", memory="3300M",
                 fds=[server.socket.fileno()])
        server.socket.close()
        m.wait_for(b"holds", DEADLINE_S)
        devices = vmm.devices(m.ask("stats")[1])
        assert m.ask("quit") == (0, ())
        assert m.ended() == (0, "")
        assert server.ended() == (0, "")
    lines = m.said().decode().split("\n")
    assert "processors 2" in lines
    assert 3100 < int(next(x for x in lines if x.startswith("memory ")).split()[1]) < 3300
    assert "moves requests.0: 30 of 30" in lines, lines
    # None went by our loop but those that came while the interrupt was masked, on its way.
    assert devices[vmm.FS]["interrupts"] < 30, devices


def test_devices(boot, build, base):
    disk, fixed, share = base / "disk", base / "fixed", base / "share"
    disk.write_bytes(b"first".ljust(1 << 20, b"\0"))
    fixed.write_bytes(b"second".ljust(1 << 20, b"\0"))
    share.mkdir()
    (share / "file").write_text("shared")
    (share / "other").write_text("")
    (console, their_console), (wire, their_wire) = socket.socketpair(), socket.socketpair()
    fd = os.open(share, os.O_PATH)
    with guest.Device(build, "fs", base, ["--share", f"s=fd:{fd}"], [fd]) as server:
        os.close(fd)
        fds = [s.fileno() for s in (their_console, their_wire, server.socket)]
        m = boot("cat:/dev/vda,cat:/dev/vdb,put:/dev/vda=changed,put:/dev/vdb=x,"
                 "cat:/sys/class/misc/hw_random/rng_current,ls:/sys/bus/pci/devices,"
                 "cat:/sys/class/net/eth0/address,cat:/sys/class/net/eth0/mtu,send:eth0=from_the_guest,"
                 "mount:tag,cat:/mnt/s/file,put:/mnt/s/other=mine,put:/dev/hvc0=console",
                 "--disk", disk, "--disk", f"{fixed},ro", "--balloon",
                 "--net", f"stream=fd:{fds[1]},mac={MAC},mtu=1400",
                 "--fs", f"tag=tag,socket=fd:{fds[2]}", "--console", f"fd:{fds[0]}", fds=fds)
        for s in (their_console, their_wire, server.socket):
            s.close()
        assert m.ended(DEADLINE_S) == (0, ""), m.why()
        assert server.ended() == (0, "")
    said = m.said().replace(b"\0", b"").decode(errors="replace").split("\n")
    assert "/dev/vda: first" in said and "/dev/vdb: second" in said
    assert "put /dev/vda" in said and disk.read_bytes()[:8] == b"changed\0"
    assert "put /dev/vdb: Operation not permitted" in said
    assert fixed.read_bytes()[:7] == b"second\0"
    assert "/sys/class/misc/hw_random/rng_current: virtio_rng.0" in said, said
    functions = [x.split()[1] for x in said if x.startswith("/sys/bus/pci")]
    assert functions == [f"0000:00:0{i}.0" for i in range(8)]  # the bridge and seven devices
    assert f"/sys/class/net/eth0/address: {MAC}" in said, said
    assert "/sys/class/net/eth0/mtu: 1400" in said
    assert "/mnt/s/file: shared" in said and "put /mnt/s/other" in said, said
    assert (share / "other").read_text() == "mine"
    assert everything(console).startswith(b"console"), said
    console.close()
    assert "send eth0" in said
    frames = everything(wire)  # others may come before
    assert b"\0\0\0\x3c" + b"\xff" * 6 + bytes(6) + b"\x88\xb5from_the_guest" in frames
    wire.close()


def test_slow_disk(boot, base):
    """Its thread gets nowhere: a processor writes to it, and all else goes on."""
    disk = base / "slow"
    disk.write_bytes(b"first".ljust(1 << 20, b"\0"))
    (console, their_console), (wire, their_wire) = socket.socketpair(), socket.socketpair()
    fds = [s.fileno() for s in (their_console, their_wire)]
    m = boot("cat:/dev/vda,cat:/dev/hvc0,later:put:/dev/vda=changed,send:eth0=from_the_guest,"
             "cat:/dev/hvc0,hold", "--disk", disk, "--console", f"fd:{fds[0]}",
             "--net", f"stream=fd:{fds[1]},mac={MAC}", fds=fds)
    for s in (their_console, their_wire):
        s.close()
    m.wait_for(b"/dev/vda: first", DEADLINE_S)
    wire.settimeout(DEADLINE_S)
    with vmm.Stopped(m.thread("disk0")) as stopped:
        console.sendall(b"one\n")
        frames = b""
        while b"from_the_guest" not in frames:
            frames += wire.recv(65536)
        console.sendall(b"two\n")
        m.wait_for(b"holds", DEADLINE_S)
        assert b"/dev/hvc0: one\n" in m.said() and b"/dev/hvc0: two\n" in m.said()
        assert m.ask("stats")[0] == 0
        with m.connect() as s:
            s.sendall(struct.pack("<HHIQ", 1, vmm.TYPES["pause"], 0, 0))
            assert m.ask("info")[1][3] == 0
            assert disk.read_bytes()[:5] == b"first" and b"put /dev/vda" not in m.said()
            stopped.goes_on()
            assert vmm.answer(s, "pause") == (0, ())
    assert m.ask("resume") == (0, ())
    m.wait_for(b"put /dev/vda\n", DEADLINE_S)
    assert disk.read_bytes()[:8] == b"changed\0"
    assert m.ask("quit") == (0, ())
    assert m.ended() == (0, "")
    console.close()
    wire.close()


def everything(s):
    """To the end."""
    with s.makefile("rb") as f:
        return f.read()


def test_vsock(build, linux, run, base):
    parts, directory = guest.kernel(build), base / "vsock"
    directory.mkdir()
    initrd = guest.initramfs(parts, guest.compiled("guest_vsock.c", directory),
                             ["virtio_pci", "vmw_vsock_virtio_transport"], directory)
    forward, theirs = socket.socketpair()
    forward.settimeout(DEADLINE_S)
    path = directory / "v"
    m = run("--initrd", initrd, "--memory", "256M", "--append", QUIET, "--vsock",
            f"cid=3,listen={path},forward=1025:fd:{theirs.fileno()}", kernel=linux[0],
            fds=(theirs.fileno(),))
    theirs.close()
    with forward:
        byte, fds, _, _ = socket.recv_fds(forward, 1, 4)
        assert byte == b"C" and len(fds) == 1, m.why()
        with socket.socket(fileno=fds[0]) as s:
            s.settimeout(DEADLINE_S)
            assert s.makefile("rb", 0).readline() == b"ready\n"
    text = bytes(range(256)) * 400
    assert ask_port(path, 7, text) == text
    # Of a connection that is open at a snapshot each side hears the end; others come at once.
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(DEADLINE_S)
        s.connect(str(path))
        s.sendall(b"CONNECT 7\n")
        assert s.makefile("rb", 0).readline().startswith(b"OK ")
        assert m.ask("pause") == (0, ())
        assert m.snapshot(directory / "s")[0] == 0
        assert m.ask("resume") == (0, ())
        s.sendall(b"still there")  # for the one that it was made of
        assert s.recv(100) == b"still there"
        assert m.ask("quit") == (0, ())
        assert m.ended() == (0, "")
    for n in range(2):
        path = directory / f"v{n}"
        forward, theirs = socket.socketpair()
        m = run("--memory", "256M", "--vsock",
                f"cid={4 + n},listen={path},forward=1025:fd:{theirs.fileno()}",
                restore=directory / "s", fds=(theirs.fileno(),))
        theirs.close()
        assert ask_port(path, 7, text) == text
        assert ask_port(path, 9, b"") == b"0 good\n"
        # The guest knows its new address: it connects to the host.
        assert ask_port(path, 8, b"connect 1025\n") == b"ok\n"
        assert m.ask("quit") == (0, ())
        assert m.ended() == (0, "")
        forward.close()


def ask_port(path, port, text):
    """What a service in the guest answers."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(DEADLINE_S)
        wait.until(lambda: s.connect_ex(str(path)) == 0, "the machine's socket")
        s.sendall(b"CONNECT %d\n" % port)
        assert s.makefile("rb", 0).readline().startswith(b"OK ")
        s.sendall(text)
        s.shutdown(socket.SHUT_WR)
        return everything(s)


def test_balloon_and_pause(boot):
    m = boot("free", "--balloon")
    m.wait_for(b"free ", DEADLINE_S, times=2)
    assert m.ask("balloon", 100 << 20) == (0, ())
    wait.until(lambda: m.ask("stats")[1][1] >= 100 << 20, "the balloon", DEADLINE_S)
    before = free(m, 0)
    wait.until(lambda: free(m, -2) < before - 90, "less memory in the guest", DEADLINE_S)
    assert m.ask("pause") == (0, ())
    n = len(m.said())
    assert m.ask("balloon", 0) == (0, ())
    assert len(m.said()) == n
    assert m.ask("resume") == (0, ())
    wait.until(lambda: free(m, -2) > before - 20, "the memory again", DEADLINE_S)
    assert m.ask("quit") == (0, ())
    assert m.ended() == (0, "")


def free(m, which):
    """MiB in one of its lines; the last may be cut."""
    return int(m.said().decode().split("free ")[1:][which].split()[0])


def test_panic(boot):
    """Resets at once (panic=-1), which ends the machine."""
    m = boot("panic")
    assert m.ended(DEADLINE_S) == (0, ""), m.why()
    assert b"ends" not in m.said()
