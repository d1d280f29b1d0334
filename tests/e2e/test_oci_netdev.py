# SPDX-License-Identifier: Apache-2.0
"""
linux.netDevices: network devices of the runtime's network namespace become the container's. The
"host" is a network namespace that the test made, the devices are virtual ones made in it.
"""
import os
import subprocess
from itertools import count

import pytest

from lib.net import Net

ids = (f"atoll-netdev-{os.getpid()}-{n}" for n in count())


@pytest.fixture
def host():
    n = Net()
    n.ip("link", "set", "lo", "up")
    yield n
    n.close()


@pytest.fixture
def run(runtime, bundle, host):
    """Run a container with these devices from within `host`; gives how it ended."""
    def go(devices, script, change=None, verb="run", **process):
        def all_changes(s):
            s["linux"]["netDevices"] = devices
            if change:
                change(s)
        b = bundle(["/bin/sh", "-c", script], all_changes, **process)
        i = next(ids)
        return subprocess.run(host.argv(*runtime.argv(verb, "-b", b, i)), capture_output=True,
                              text=True, check=False, stdin=subprocess.DEVNULL, timeout=120)
    return go


def good(r):
    assert r.returncode == 0, r
    return r.stdout


def bad(r, says):
    assert r.returncode != 0 and says in r.stderr, r


def veth(host, name="veth0", peer="peer0"):
    host.ip("link", "add", name, "type", "veth", "peer", "name", peer)
    host.ip("link", "set", peer, "up")


def test_a_device_moves_with_its_addresses(run, host):
    veth(host)
    host.ip("link", "set", "veth0", "mtu", "1400", "address", "02:11:22:33:44:55")
    host.ip("addr", "add", "10.9.1.2/24", "dev", "veth0")
    host.ip("addr", "add", "10.9.2.2/32", "peer", "10.9.2.1", "dev", "veth0")
    host.ip("addr", "add", "fd00:9::2/64", "dev", "veth0", "nodad")
    host.ip("addr", "add", "169.254.3.4/16", "dev", "veth0", "scope", "link")
    host.ip("addr", "add", "10.9.5.5/24", "dev", "veth0", "valid_lft", "1000", "preferred_lft", "900")
    host.ip("addr", "add", "10.9.1.1/24", "dev", "peer0")
    out = good(run({"veth0": {}}, "ip addr show dev veth0; ping -c 1 -W 20 10.9.1.1; ip route"))
    assert "mtu 1400" in out and "link/ether 02:11:22:33:44:55" in out and ",UP" in out, out
    assert "inet 10.9.1.2/24 scope global veth0" in out
    assert "inet 10.9.2.2 peer 10.9.2.1/32 scope global veth0" in out
    assert "inet6 fd00:9::2/64 scope global" in out
    assert "169.254.3.4" not in out and "10.9.5.5" not in out  # of a link, of a lease
    assert "1 packets received" in out and "10.9.1.0/24 dev veth0" in out
    assert not host.has("veth0")


@pytest.mark.parametrize("name,want", [("eth0", "eth0"), ("eth%d", "eth0"), ("", "veth0"),
                                       ("n%dx", "n0x")])
def test_a_device_gets_a_name(run, host, name, want):
    veth(host)
    host.ip("addr", "add", "10.9.1.2/24", "dev", "veth0")
    out = good(run({"veth0": {"name": name}}, f"ip addr show dev {want}"))
    assert "10.9.1.2/24" in out


def test_several_and_a_pattern(run, host):
    for i in range(3):
        veth(host, f"v{i}", f"p{i}")
    out = good(run({"v2": {"name": "eth%d"}, "v0": {"name": "eth%d"}, "v1": {"name": "wan"}},
                   "cd /sys/class/net; ls -d eth0 eth1 wan lo",
                   lambda s: s["mounts"].append({"destination": "/sys", "type": "sysfs",
                                                 "source": "sysfs", "options": ["ro"]})
                   if not any(m["destination"] == "/sys" for m in s["mounts"]) else None))
    assert out.split() == ["eth0", "eth1", "lo", "wan"]


def test_sysctls_and_hooks_see_the_device(run, host, base):
    veth(host)
    hook = base / "hook.sh"
    hook.write_text(f"#!/bin/sh\nip link show veth0 > {base}/hook.out 2>&1; exit 0\n")
    hook.chmod(0o755)

    def change(s):
        s["linux"]["sysctl"] = {"net.ipv4.conf.in0.forwarding": "1"}
        s["hooks"] = {"createRuntime": [{"path": str(hook)}]}
    out = good(run({"veth0": {"name": "in0"}}, "cat /proc/sys/net/ipv4/conf/in0/forwarding", change))
    assert out == "1\n"
    assert "does not exist" in (base / "hook.out").read_text()


def test_into_a_joined_namespace(run, host):
    other = Net()
    try:
        veth(host)

        def change(s):
            for n in s["linux"]["namespaces"]:
                if n["type"] == "network":
                    n["path"] = other.path
        veth(other)
        bad(run({"veth0": {}}, "true", change), "'veth0': the name 'veth0' in the container")
        assert host.has("veth0")
        good(run({"veth0": {"name": "veth%d"}}, "true", change))
        assert other.has("veth1") and not host.has("veth0")

        def to_host(s):
            change(s)
            for n in s["linux"]["namespaces"]:
                if n["type"] == "network":
                    n["path"] = host.path
        bad(run({"peer1": {}}, "true", to_host), "is the host's")
    finally:
        other.close()


def test_all_come_back_when_one_fails(run, host):
    veth(host, "va", "pa")
    veth(host, "vb", "pb")
    host.ip("addr", "add", "10.9.1.2/24", "dev", "va")
    host.ip("link", "set", "va", "up")
    bad(run({"va": {"name": "x"}, "vb": {}, "none": {}}, "true"),
        "no network device 'none' on the host")
    assert host.has("va") and host.has("vb")
    bad(run({"va": {"name": "x"}, "vb": {"name": "lo"}}, "true"), "'vb': the name 'lo'")
    out = host.ip("addr", "show", "va")
    assert "10.9.1.2/24" in out and ",UP" in out
    assert host.has("vb")


def test_a_device_that_cannot_move(run, host):
    bad(run({"lo": {"name": "lo2"}}, "true"), "linux.netDevices: 'lo': cannot be moved")
    assert host.has("lo")


@pytest.mark.parametrize("devices,says", [
    ({"a" * 16: {}}, "invalid network device name"),
    ({"veth0": {"name": "a/b"}}, "invalid network device name 'a/b'"),
    ({"veth0": {"name": "a b"}}, "invalid network device name"),
    ({"..": {}}, "invalid network device name"),
    ({"": {}}, "invalid network device name"),
    ({"a": {"name": "eth0"}, "b": {"name": "eth0"}}, "would both be 'eth0'"),
    ({"veth0": {"name": "%d%d"}}, "the name '%d%d'"),
    ({"veth0": {"name": "x%s"}}, "the name 'x%s'"),
])
def test_wrong_names(run, host, devices, says):
    veth(host)
    bad(run(devices, "true"), says)
    assert host.has("veth0")


def test_not_without_a_network_namespace(run, host):
    def change(s):
        s["linux"]["namespaces"] = [n for n in s["linux"]["namespaces"] if n["type"] != "network"]
    veth(host)
    bad(run({"veth0": {}}, "true", change), "unable to move network devices without a NET namespace")
    assert host.has("veth0")


def test_in_a_user_namespace(run, host):
    def change(s):
        s["linux"]["namespaces"].append({"type": "user"})
        s["linux"]["uidMappings"] = s["linux"]["gidMappings"] = [
            {"containerID": 0, "hostID": 100000, "size": 65536}]
    veth(host)
    host.ip("addr", "add", "10.9.1.2/24", "dev", "veth0")
    assert "10.9.1.2/24" in good(run({"veth0": {"name": "eth0"}}, "ip addr show dev eth0", change))
