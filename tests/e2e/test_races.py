# SPDX-License-Identifier: Apache-2.0
"""Many at once: on one name, on one image, on one workload."""
import subprocess


def finish(processes, timeout=240):
    """[(exit status, stdout, stderr)] of processes that were started together."""
    done = []
    for p in processes:
        try:
            out, err = p.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            for q in processes:
                q.kill()
            raise
        done.append((p.returncode, out.decode(), err.decode()))
    return done


def test_one_name_has_one_winner(atoll, busybox):
    done = finish([atoll.popen("create", "--name", "same", busybox, "true") for _ in range(12)])
    winners = [out.strip() for rc, out, _ in done if rc == 0]
    assert len(winners) == 1, done
    for rc, _, err in done:
        assert rc == 0 or "same" in err, err
    assert atoll("ps", "-aq", "--no-trunc").out.split() == winners
    atoll("rm", "same")


def test_thirty_two_runs_of_one_image(atoll, busybox):
    done = finish([atoll.popen("run", "--rm", busybox, "sh", "-c", f"echo {i}; exit {i}")
                   for i in range(32)])
    for i, (rc, out, err) in enumerate(done):
        assert (rc, out) == (i, f"{i}\n"), err
    assert atoll("ps", "-aq").out == ""


def test_detached_runs_and_removal_at_once(atoll, busybox):
    done = finish([atoll.popen("run", "-d", busybox, "sleep", "1000") for _ in range(16)])
    ids = [out.strip() for rc, out, _ in done]
    assert all(rc == 0 for rc, _, _ in done), done
    assert len(atoll("ps", "-q").out.split()) == 16
    done = finish([atoll.popen("rm", "-f", i) for i in ids])
    assert all(rc == 0 for rc, _, _ in done), done
    assert atoll("ps", "-aq").out == ""


def test_removing_one_workload_many_times(atoll, busybox):
    name = atoll("run", "-d", busybox, "sleep", "1000").line
    done = finish([atoll.popen("rm", "-f", name) for _ in range(8)])
    assert any(rc == 0 for rc, _, _ in done), done
    for rc, _, err in done:
        assert rc == 0 or name in err, err
    atoll.fails("inspect", name)


def test_loading_one_image_at_once(new_atoll, busybox_tar):
    atoll = new_atoll("load")
    done = finish([atoll.popen("load", "-i", busybox_tar) for _ in range(6)])
    assert all(rc == 0 for rc, _, _ in done), done
    assert len(atoll("images", "-q").out.split()) == 1
    assert atoll("run", "--rm", "busybox", "echo", "whole").line == "whole"


def test_starts_and_stops_of_one_workload(atoll, busybox):
    name = atoll("create", busybox, "sleep", "1000").line
    done = finish([atoll.popen(*args) for args in
                   [("start", name), ("stop", "-t", "1", name)] * 6])
    for rc, _, err in done:
        assert rc in (0, 1), err
    # Whoever came last: the record tells the truth, and the workload can still be ended.
    atoll("start", name)
    assert atoll.inspect(name)["State"]["Running"] is True
    atoll("rm", "-f", name)
