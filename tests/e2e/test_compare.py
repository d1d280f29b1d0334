# SPDX-License-Identifier: Apache-2.0
"""`atoll compare`: its rows, its files, and that nothing of it stays."""
import json
import signal
import xml.etree.ElementTree as ET

from lib import wait

FIGURES = ["start_first_instruction", "start_exit", "stop", "syscall", "fork_exec", "compute",
           "file_write_mib", "file_read_mib", "random_io_4k", "syscalls_let_through",
           "capabilities", "devices"]


# Machines that are emulated take seconds for what a container does in milliseconds: of those tests
# that are about the report they are kept out.
NO_MACHINES = {"ATOLL_MICROVM": "tcg", "PATH": "/nonexistent"}


def compare(atoll, *args):
    return atoll("compare", "--format", "json", "--runs", "2", *args, timeout=300, env=NO_MACHINES)


def test_one_row_per_engine_beside_bare_metal(atoll, busybox):
    report = compare(atoll, busybox).json
    assert [r["name"] for r in report["rows"]] == ["bare metal", "container", "sandbox",
                                                "microvm"]
    bare, container = (r["figures"] for r in report["rows"][:2])
    assert "is not installed" in report["rows"][3]["why_not"], report["rows"][3]
    for key in FIGURES:
        assert bare[key]["median"] >= 0, key
        assert container[key]["p99"] >= container[key]["median"] > 0, key
    assert container["disk"]["median"] > 500_000
    assert container["memory_overhead"]["median"] > 0
    assert container["start_exit"]["samples"] == 2
    # The wall: fewer system calls, capabilities and devices than a plain process has.
    for key in ("syscalls_let_through", "capabilities", "devices"):
        assert container[key]["median"] < bare[key]["median"], key
    assert container["capabilities"]["median"] == 14
    assert atoll("ps", "-aq").out == ""


def test_command_is_timed_in_the_engines(atoll, busybox):
    report = compare(atoll, busybox, "--", "sh", "-c", "echo hello").json
    assert report["command"] == "sh -c echo hello"
    assert report["rows"][0]["figures"]["command_exit"] is None
    assert report["rows"][1]["figures"]["command_exit"]["samples"] == 2


def test_only_the_walls_that_are_asked_for(atoll, busybox):
    report = atoll("compare", "--format", "json", "--runs", "1", "--isolation", "container", busybox,
                   timeout=300).json
    assert [r["name"] for r in report["rows"]] == ["bare metal", "container"]
    atoll.fails("compare", "--isolation", "cardboard", busybox, says="cardboard")


def test_a_machine_that_is_emulated_says_so(atoll, busybox):
    p = atoll("compare", "--runs", "1", "--isolation", "microvm", busybox, timeout=400,
              env={"ATOLL_MICROVM": "tcg"})
    assert "\nmicrovm (emulated)" in p.out
    reach = p.out[p.out.index("\nREACH"):]
    # What is reached in a kernel of its own is not of the host's.
    assert [w for w in reach.splitlines() if w.startswith("microvm")][0].split()[2:] == ["-", "-", "-"]


def test_table_and_charts(atoll, busybox, base):
    svg, html, js = (base / f"walls.{x}" for x in ("svg", "html", "json"))
    table = atoll("compare", "--runs", "1", "-o", svg, busybox, timeout=300, env=NO_MACHINES).out
    assert "FIRST INSTRUCTION" in table and "\ncontainer " in table
    assert ET.parse(svg).getroot().tag.endswith("svg")
    compare(atoll, "-o", html, busybox)
    assert html.read_text().startswith("<!doctype html>")
    compare(atoll, "-o", js, busybox)
    assert json.loads(js.read_text())["image"] == busybox


def test_wrong_requests(atoll, busybox):
    atoll.fails("compare", "no-such-image", says="no-such-image")
    atoll.fails("compare", "--output", "chart.png", busybox, rc=125, says=".svg")
    atoll.fails("compare", "--format", "xml", busybox, rc=125, says="xml")
    atoll.fails("compare", "--runs", "0", busybox, rc=125)


def test_interrupt_leaves_nothing(atoll, busybox):
    p = atoll.popen("compare", "--runs", "1000", busybox)
    wait.until(lambda: atoll("ps", "-aq").out, "a workload of compare")
    p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=60)
    assert p.returncode == 130, err
    assert out == b""
    assert atoll("ps", "-aq").out == ""
