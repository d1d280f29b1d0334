# SPDX-License-Identifier: Apache-2.0
"""What listing verbs print: docker's columns, templates, JSON, ids, filters."""
import json
import re
import time
from collections import Counter
from pathlib import Path

import pytest

from lib.killing import calls_of, strace_works

REFERENCE = json.loads((Path(__file__).resolve().parents[1] / "fixtures" / "inspect-keys.json")
                       .read_text())


@pytest.fixture(scope="module")
def two(atoll, busybox):
    """A workload that runs and one that has ended."""
    atoll("run", "-d", "--name", "runs", "--label", "tier=front", "-e", "A=1", busybox, "sleep",
          "1000")
    atoll.fails("run", "--name", "ended", busybox, "sh", "-c",
                "echo a very long command line; exit 3", rc=3)
    yield
    atoll("rm", "-f", "runs", "ended")


def test_ps_table(atoll, two):
    head, *rows = atoll("ps").out.splitlines()
    assert re.split(r"\s{2,}", head.strip()) == ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED",
                                                 "STATUS", "PORTS", "NAMES"]
    assert len(rows) == 1
    assert re.match(r'[0-9a-f]{12}   busybox:latest   "sleep 1000"   .* ago   Up .* runs$', rows[0])
    rows = atoll("ps", "-a").out.splitlines()[1:]
    assert [r.split()[-1] for r in rows] == ["ended", "runs"]
    assert "Exited (3)" in rows[0] and "…" in rows[0]
    assert "exit 3" in atoll("ps", "-a", "--no-trunc").out
    assert "SIZE" in atoll("ps", "-s").out and "(virtual " in atoll("ps", "-s").out


def test_ps_formats(atoll, two):
    assert atoll("ps", "--format", "{{.Names}}|{{.State}}|{{.Networks}}|{{.Label \"tier\"}}").line \
        == "runs|running|none|front"
    assert atoll("ps", "-a", "--format", "table {{.Names}}\\t{{.State}}").out == \
        "NAMES     STATE\nended     exited\nruns      running\n"
    rows = atoll("ps", "-a", "--format", "json").json_lines
    assert [r["Names"] for r in rows] == ["ended", "runs"]
    assert rows == atoll("ps", "-a", "--format", "{{json .}}").json_lines
    assert rows[1]["Labels"] == "tier=front"
    ids = atoll("ps", "-aq").out.split()
    assert [len(i) for i in ids] == [12, 12]
    atoll.fails("ps", "--format", "{{.Nope}}", rc=1, says="there is no field .Nope")
    atoll.fails("ps", "--format", "{{.Names", rc=1, says="1:3")


def test_ps_filters(atoll, two):
    def names(*filters):
        words = [w for f in filters for w in ("--filter", f)]
        return atoll("ps", "-a", "--format", "{{.Names}}", *words).out.split()

    assert names("status=exited") == ["ended"]
    assert names("name=run") == ["runs"]
    assert names("label=tier") == ["runs"] == names("label=tier=front")
    assert names("exited=3") == ["ended"] and names("exited=4") == []
    assert names("ancestor=busybox") == ["ended", "runs"]
    assert names("status=exited", "status=running") == ["ended", "runs"]
    assert names("status=exited", "name=run") == []
    atoll.fails("ps", "--filter", "nonsense=1", says="nonsense")
    assert atoll("ps", "-l", "--format", "{{.Names}}").line == "ended"
    assert atoll("ps", "-n", "1", "--format", "{{.Names}}").line == "ended"


def test_inspect_is_dockers_shape(atoll, two):
    got = atoll.inspect("runs")

    def missing(want, have, path=""):
        for key, below in want.items():
            if not isinstance(have, dict) or key not in have:
                yield f"{path}.{key}"
            elif below:
                yield from missing(below, have[key], f"{path}.{key}")

    assert list(missing(REFERENCE, got)) == []
    assert got["Path"] == "sleep" and got["Args"] == ["1000"] and got["Name"] == "/runs"
    assert "A=1" in got["Config"]["Env"]


def test_inspect_templates(atoll, two):
    def show(template, name="runs"):
        return atoll("inspect", "-f", template, name).line

    assert show("{{.State.Running}} {{.State.Status}}") == "true running"
    assert show("{{.State.ExitCode}}", "ended") == "3"
    assert show("{{index .Config.Labels \"tier\"}}") == "front"
    lines = show("{{range .Config.Env}}{{println .}}{{end}}").splitlines()
    assert lines[0] == "A=1" and lines[1].startswith("PATH=")
    assert show("{{json .Config.Cmd}}") == '["sleep","1000"]'
    assert show("{{if .State.Paused}}p{{else if .State.Running}}r{{end}}") == "r"
    assert show("{{.Name | upper}}") == "/RUNS"
    atoll.fails("inspect", "-f", "{{.State.Nope}}", "runs", says=".Nope")
    r = atoll.fails("inspect", "runs", "nobody", rc=1, says="no such object: nobody")
    assert [o["Name"] for o in r.json] == ["/runs"]
    assert atoll("container", "inspect", "--format", "json", "runs").out.count("\n") == 1


def test_inspect_by_type(atoll, busybox, two):
    atoll("volume", "create", "vol")
    assert atoll("inspect", "vol").json[0]["Mountpoint"].endswith("/vol/_data")
    assert atoll("inspect", "none").json[0]["Driver"] == "null"
    assert atoll("inspect", "--type", "image", busybox).json[0]["RepoTags"] == [busybox]
    atoll.fails("inspect", "--type", "volume", "runs", rc=1, says="no such volume")
    atoll.fails("inspect", "--type", "thing", "runs", rc=1, says="--type")
    atoll("volume", "rm", "vol")


def test_images(atoll, busybox):
    head, row = atoll("images").out.splitlines()
    assert re.split(r"\s{2,}", head.strip()) == ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]
    assert re.match(r"busybox      latest    [0-9a-f]{12}   .* ago   [\d.]+MB$", row)
    assert atoll("images", "--format", "{{.Repository}}:{{.Tag}}").line == busybox
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", atoll("images", "-q", "--no-trunc").line)
    atoll("tag", busybox, "other:1")
    assert sorted(atoll("images", "--format", "{{.Repository}}").out.split()) == ["busybox", "other"]
    assert atoll("images", "other", "--format", "{{.Tag}}").line == "1"
    assert "Untagged: other:1" in atoll("rmi", "other:1").out
    assert "IMAGE" in atoll("history", busybox).out


def test_stats(atoll, two):
    head, row = atoll("stats", "--no-stream").out.splitlines()
    assert re.split(r"\s{2,}", head.strip()) == ["CONTAINER ID", "NAME", "CPU %",
                                                 "MEM USAGE / LIMIT", "MEM %", "NET I/O",
                                                 "BLOCK I/O", "PIDS"]
    assert re.match(r"[0-9a-f]{12}   runs .*%.*B / .*B.*%", row)
    one = atoll("stats", "--no-stream", "--format", "json", "runs").json
    assert one["Name"] == "runs" and one["PIDs"] == "1"


def test_top(atoll, two):
    head, row = atoll("top", "runs").out.splitlines()
    assert head.split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert row.endswith("sleep 1000")


def test_events(atoll, busybox):
    since = f"{time.time():.6f}"
    atoll("run", "--rm", "--name", "seen", busybox, "true")
    until = f"{time.time():.6f}"
    rows = atoll("events", "--since", since, "--until", until, "--format", "json").json_lines
    actions = [r["Action"] for r in rows if r["Type"] == "container"]
    assert actions[0] == "create" and {"start", "die", "destroy"} <= set(actions)
    lines = atoll("events", "--since", since, "--until", until).out.splitlines()
    assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z container create [0-9a-f]{64} \(.*name=seen.*\)$",
                    lines[0])
    assert atoll("events", "--since", since, "--until", until, "-f", "event=die", "--format",
                 "{{.Action}} {{.Actor.Attributes.name}}").line == "die seen"


def test_live_events(atoll, busybox):
    p = atoll.popen("events", "--filter", "type=volume", "--format", "{{.Action}} {{.Actor.ID}}",
                    "--since", f"{time.time():.6f}")
    atoll("volume", "create", "watched")
    assert p.stdout.readline() == b"create watched\n"
    atoll("volume", "rm", "watched")
    assert p.stdout.readline().endswith(b" watched\n")
    p.terminate()
    p.communicate(timeout=60)


def test_live_stats(atoll, two):
    p = atoll.popen("stats", "--format", "{{.Name}}", "runs")
    assert p.stdout.readline() == p.stdout.readline() == b"runs\n"
    p.terminate()
    p.communicate(timeout=60)


def test_live_logs(atoll, busybox):
    atoll("run", "-di", "--name", "follow", busybox, "cat")
    p = atoll.popen("logs", "-f", "follow")
    atoll.try_("exec", "follow", "sh", "-c", "echo through the log > /proc/1/fd/1")
    assert p.stdout.readline() == b"through the log\n"
    atoll("kill", "follow")
    assert p.wait(60) == 0
    p.communicate()
    atoll("rm", "follow")


def test_logs(atoll, busybox):
    atoll("run", "--name", "talks", busybox, "sh", "-c",
          "for i in 1 2 3 4 5; do echo line $i; done; echo bad >&2")
    r = atoll("logs", "talks")
    assert r.out.splitlines() == [f"line {i}" for i in range(1, 6)] and r.err == "bad\n"
    assert len((lambda r: r.out + r.err)(atoll("logs", "-n", "2", "talks")).splitlines()) == 2
    assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z line 1$", atoll("logs", "-t", "talks").out
                    .splitlines()[0])
    assert atoll("logs", "--since", "1h", "talks").out == r.out
    assert atoll("logs", "--until", "1h", "talks").out == ""
    assert atoll("logs", "-f", "talks").out == r.out
    atoll.fails("logs", "--tail", "some", "talks", says="--tail")
    atoll.fails("logs", "--since", "someday", "talks", says="--since")
    atoll.fails("logs", "nobody", rc=1)
    atoll("rm", "talks")


def test_volumes(atoll):
    assert atoll("volume", "create", "--label", "a=b", "v1").line == "v1"
    name = atoll("volume", "create").line
    assert re.fullmatch(r"[0-9a-f]{64}", name)
    assert atoll("volume", "ls", "-q").out.split() == sorted([name, "v1"])
    assert atoll("volume", "ls", "--format", '{{.Name}} {{.Driver}} {{.Label "a"}}', "--filter",
                 "name=v1").line == "v1 local b"
    assert atoll("volume", "inspect", "v1").json[0]["Labels"] == {"a": "b"}
    assert "Total reclaimed space" in atoll("volume", "prune", "-af").out
    assert atoll("volume", "ls", "-q").out == ""
    atoll.fails("volume", "rm", "v1", rc=1, says="v1")


def test_ps_of_many_asks_the_kernel_once_for_each(atoll, busybox):
    if not strace_works():
        pytest.skip("strace cannot trace here")
    names = [f"many-{n}" for n in range(65)]  # past svc/heal.c's EXACT_MAX
    for name in names:
        atoll("run", "-d", "--name", name, "--network", "none", busybox, "sleep", "1000")
    try:
        many = len(atoll("ps", "-q").out.split())
        assert many >= len(names)
        for words in ("-q",), ():
            # The database's pages and its log are read in one piece or in many.
            more = Counter(c for c in calls_of(atoll, "ps", *words)
                           if c not in ("pread64", "pwrite64"))
            asked = [name for name, n in more.items() if n >= many]
            assert len(asked) <= 1, more
            assert more.total() - sum(more[a] for a in asked) < 150, more
            assert all(more[a] <= many + 5 for a in asked), more
        # What is not asked for is not read, and what is asked for by name still is.
        atoll("kill", "many-7")
        assert len(atoll("ps", "-q").out.split()) == many - 1
        assert atoll("ps", "-aq", "--filter", "name=many-7").line == \
            atoll("inspect", "-f", "{{.Id}}", "many-7").line[:12]
    finally:
        atoll("rm", "-f", *names, timeout=300)


def test_networks(atoll):
    assert atoll("network", "ls", "--format", "{{.Name}} {{.Driver}}").out.splitlines() == \
        ["host host", "none null"]
    assert atoll("network", "inspect", "host", "-f", "{{.Driver}}").line == "host"


def test_info_syscalls(atoll):
    """The list of system calls of Atoll's kernel: every row has a state, and an error unless it is served."""
    head, *rows = atoll("info", "--syscalls").out.splitlines()
    assert head.split() == ["NUMBER", "NAME", "STATE", "ERROR", "NOTE"] and len(rows) > 370
    rows = [json.loads(line) for line in atoll("info", "--syscalls", "--format", "json").out.splitlines()]
    by_name = {r["Name"]: r for r in rows}
    assert by_name["read"]["Number"] == 0 and by_name["read"]["State"] == "full"
    assert by_name["io_uring_setup"]["Error"] == "ENOSYS" and by_name["io_uring_setup"]["Note"]
    for r in rows:
        assert r["State"] in ("full", "partial", "refused", "missing")
        assert bool(r["Error"]) == (r["State"] in ("refused", "missing")), r
        assert bool(r["Note"]) == (r["State"] in ("refused", "partial")), r
    page = atoll("man", "--syscalls").out
    assert ".TH" in page and all(f"\\fB{r['Name']}\\fR" in page for r in rows)


def test_info_and_df(atoll, two):
    assert atoll("info", "--format", "{{.Containers}} {{.ContainersRunning}}").line == "2 1"
    assert "container: ready" in atoll("system", "info").out
    head, *rows = atoll("system", "df").out.splitlines()
    assert head.split() == ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"] and \
        [r.split("  ")[0] for r in rows] == ["Images", "Containers", "Local Volumes", "Snapshots", "Image Disks", "Kernels"]


def test_prune_asks(atoll, busybox):
    atoll("create", "--name", "unused", busybox)
    assert atoll("container", "prune", input="n\n").out.endswith("[y/N] ")
    assert "unused" in atoll("ps", "-a").out
    assert "Deleted Containers:" in atoll("container", "prune", input="y\n").out
    assert "unused" not in atoll("ps", "-a").out
