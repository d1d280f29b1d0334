# SPDX-License-Identifier: Apache-2.0
"""
Network cards of src/virtio/net.h, each on another kind of link, in one machine of QEMU's: what its
Linux makes of them, and what the host's end of each link hears. The program in the machine is
tests/fixtures/guest_tcp.c.
"""
import json
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from lib import guest, pattern
from lib.net import Net, StreamSwitch

TIMEOUT_S = 300
MTU = 1500
PACKET, TAP, STREAM = 1, 2, 3  # the guest's address on each: 10.77.N.2
INTERFACES = {PACKET: "p1", TAP: "t2", STREAM: "t3"}  # the host's interface there
pytestmark = pytest.mark.timeout(1200)


def mac(n):
    return f"02:00:00:00:77:{n:02x}"


class Cards:
    """The machine, with the other ends of its links in .host. `ends` is told what must end."""

    def __init__(self, build, directory, ends):
        self.build, self.directory, self.ends = build, directory, ends
        parts = guest.kernel(build)
        initrd = guest.initramfs(parts, guest.compiled("guest_tcp.c", directory),
                                 ["virtio_pci", "virtio_net"], directory)
        self.host, container = Net(), Net()
        ends.callback(self.host.close)
        ends.callback(container.close)
        self.devices = {}
        self.plug_packet(container)
        self.plug_tap()
        self.plug_stream()
        # For network cards QEMU passes descriptors only over what it has connected to itself, and
        # without KVM version 7.2 dies of interrupts as messages for them.
        options = []
        for n, name in INTERFACES.items():
            options += ["-chardev", f"socket,id=c{n},path={directory}/s{n}",
                        "-netdev", f"vhost-user,id=n{n},chardev=c{n}", "-device",
                        f"virtio-net-pci,netdev=n{n},mac={mac(n)},disable-legacy=on,vectors=0"]
            self.host.ip("addr", "add", f"10.77.{n}.1/24", "dev", name)
            self.host.ip("link", "set", name, "up")
        self.machine = guest.Machine(parts, initrd, directory, options)
        ends.callback(self.machine.kill)
        self.machine.said("ready")

    def plug(self, n, kind, fd):
        at = self.directory / kind
        at.mkdir()
        self.devices[n] = guest.Device(self.build, "net", at,
                                       [f"--{kind}", f"fd:{fd}", "--mac", mac(n)], [fd],
                                       listen=self.directory / f"s{n}")
        self.ends.callback(self.devices[n].kill)

    def plug_packet(self, container):
        """One end of a veth is the container's: what comes there is the guest's."""
        self.host.ip("link", "add", "p1", "type", "veth", "peer", "name", "v1", "netns",
                     container.holder.pid)
        container.ip("link", "set", "v1", "address", mac(PACKET), "up")
        with container.packet_socket("v1") as s:
            self.plug(PACKET, "packet", s.fileno())

    def plug_tap(self):
        with open(self.host.tap("t2"), "rb", buffering=0) as f:
            self.plug(TAP, "tap", f.fileno())

    def plug_stream(self):
        self.switch = StreamSwitch(self.host.tap("t3", 0))
        self.ends.callback(self.switch.close, self.host, "t3")
        with self.switch.socket as s:
            self.plug(STREAM, "stream", s.fileno())

    def connect(self, n):
        s = self.host.inside(socket.socket)
        s.settimeout(TIMEOUT_S)
        try:
            s.connect((f"10.77.{n}.2", 7))
        except OSError as ex:
            raise AssertionError(f"card {n}: {ex}\n{self.machine.why()}") from None
        return s

    def echo(self, n, size):
        """So many bytes there and back at the same time; whether they came as they went."""
        with self.connect(n) as s:
            sender = threading.Thread(target=pattern.send, args=(s, size))
            sender.start()
            came = pattern.everything(s)
            sender.join()
        assert came == (size, True)

    def counters(self, n):
        link, = json.loads(self.host.ip("-s", "-j", "link", "show", "dev", INTERFACES[n]))
        return {(way, what): link["stats64"][way][what]
                for way in ("rx", "tx") for what in ("bytes", "packets")}


@pytest.fixture(scope="module")
def cards(build, base):
    if not os.path.exists("/dev/net/tun"):
        pytest.skip("no /dev/net/tun")
    directory = base / "cards"
    directory.mkdir()
    with ExitStack() as ends:
        yield Cards(build, directory, ends)


def test_all_are_there(cards):
    assert sorted(x for x in cards.machine.console.splitlines() if x.startswith("card ")) == \
        ["card 1", "card 2", "card 3"]


@pytest.mark.parametrize("n, size", [(PACKET, 8 << 20), (TAP, 8 << 20), (STREAM, 1 << 20)],
                         ids=["packet", "tap", "stream"])
def test_bytes_there_and_back(cards, n, size):
    before = cards.counters(n)
    cards.echo(n, size)
    after = cards.counters(n)
    assert all(after[way, "bytes"] - before[way, "bytes"] > size for way in ("rx", "tx"))


@pytest.mark.parametrize("n", [PACKET, TAP], ids=["packet", "tap"])
def test_segments_are_left_to_the_other_side(cards, n):
    """In both directions the frames that carry data are longer than the network lets through."""
    before = cards.counters(n)
    cards.echo(n, 8 << 20)
    after = cards.counters(n)
    for way in ("rx", "tx"):
        each = ((after[way, "bytes"] - before[way, "bytes"]) /
                (after[way, "packets"] - before[way, "packets"]))
        assert each > MTU + 14, (way, each)


def test_many_at_once_on_all_of_them(cards):
    with ThreadPoolExecutor(12) as pool:
        for done in [pool.submit(cards.echo, n, 100_000) for n in INTERFACES for _ in range(12)]:
            done.result()


def test_a_link_that_is_gone_harms_no_other(cards):
    """Last: the stream's other end hangs up."""
    cards.switch.hang_up()
    cards.echo(PACKET, 1 << 20)
    cards.echo(TAP, 1 << 20)
    for n in (PACKET, TAP, STREAM):
        assert cards.devices[n].process.poll() is None
