# SPDX-License-Identifier: Apache-2.0
"""The command line itself: help, suggestions, refusals, manual pages, completions."""
import json
import re
import shutil
import subprocess

import pytest

GROUPS = ["container", "image", "kernel", "network", "system", "volume"]


def verbs(text):
    """The commands a help lists."""
    listed = re.split(r"\n(?:Management commands|Commands):\n", text)[1:]
    return [line.split()[0] for part in listed for line in part.split("\n\n")[0].splitlines()
            if line.startswith("  ")]


def leaves(atoll):
    top = verbs(atoll("--help").out)
    assert set(GROUPS) <= set(top)
    for verb in top:
        if verb not in GROUPS:
            yield [verb]
        else:
            yield from ([verb, sub] for sub in verbs(atoll(verb, "--help").out))


def test_every_verb_has_help(atoll):
    seen = list(leaves(atoll))
    assert len(seen) > 70
    for words in seen:
        text = atoll(*words, "--help").out
        assert text.startswith(f"Usage:  atoll {' '.join(words)}"), text
        assert "\n\n" in text


def test_help_as_a_verb(atoll):
    assert atoll("help").out == atoll("--help").out == atoll().out
    assert atoll("help", "image", "ls").out == atoll("image", "ls", "--help").out
    atoll.fails("help", "nosuch", rc=1, says="nosuch")


def test_the_verbs_of_the_issue(atoll):
    top = set(verbs(atoll("--help").out))
    assert top >= set("run create start stop kill rm ps logs exec attach wait inspect pause unpause "
                      "rename cp top stats update diff commit events images load save import "
                      "export version restart info".split())
    assert set(verbs(atoll("image", "--help").out)) >= set(
        "ls inspect rm tag history prune save load import bootstrap".split())
    assert set(verbs(atoll("volume", "--help").out)) >= {"create", "ls", "inspect", "rm", "prune"}
    assert set(verbs(atoll("system", "--help").out)) >= {"info", "df", "prune", "repair", "events"}


def test_the_flags_of_the_issue(atoll):
    text = atoll("run", "--help").out
    for flag in ("rm name env env-file volume mount tmpfs workdir user entrypoint hostname restart "
                 "memory memory-swap cpus cpu-shares cpuset-cpus pids-limit shm-size ulimit "
                 "cap-add cap-drop privileged security-opt read-only device init label pid ipc uts "
                 "userns cgroupns sysctl group-add cidfile stop-signal stop-timeout health-cmd "
                 "health-interval health-retries health-timeout health-start-period log-opt "
                 "log-driver network isolation detach interactive tty sig-proxy "
                 "detach-keys").split():
        assert re.search(rf"--{flag}\b", text), flag


@pytest.mark.parametrize("words,said", [
    (["rnu"], "did you mean 'run'?"),
    (["image", "histroy"], "did you mean 'history'?"),
    (["qqqqqqqqqq"], "is not a command"),
])
def test_unknown_verbs(atoll, words, said):
    r = atoll.try_(*words)
    assert r.rc == 1 and said in r.err, str(r)


@pytest.mark.parametrize("words,said", [
    (["run", "--nmae", "x", "y"], "unknown flag: --nmae; did you mean --name?"),
    (["ps", "--formt", "x"], "did you mean --format?"),
    (["ps", "-Z"], "unknown shorthand flag: 'Z' in -Z"),
    (["run", "--name"], "flag needs an argument: --name"),
    (["run", "-m", "lots", "x"], "invalid argument \"lots\""),
    (["run", "--rm=perhaps", "x"], "must be true or false"),
    (["run", "--gpus", "all", "x"], "unsupported"),
    (["run", "--runtime", "runc", "x"], "unsupported"),
    (["--log-level", "loud", "ps"], "--log-level"),
    (["--root", "", "ps"], "need a directory"),
])
def test_wrong_flags_are_125(atoll, words, said):
    r = atoll.try_(*words)
    assert r.rc == 125 and said in r.err and "--help'" in r.err, str(r)


@pytest.mark.parametrize("words,said", [
    (["run"], '"atoll run" requires at least 1 argument'),
    (["rename", "x"], '"atoll rename" requires exactly 2 arguments'),
    (["ps", "x"], '"atoll ps" accepts no arguments'),
])
def test_wrong_numbers_of_arguments_are_1(atoll, words, said):
    r = atoll.try_(*words)
    assert r.rc == 1 and said in r.err, str(r)


def test_version(atoll):
    assert re.match(r"atoll \d+\.\d+", atoll("version").out)
    assert atoll("--version").out.startswith("atoll version ")
    client = json.loads(atoll("version", "--format", "{{json .Client}}").out)
    assert client["Version"] == atoll("version", "-f", "{{.Server.Version}}").out.strip()


def test_output_that_cannot_be_written(build):
    with open("/dev/full", "w") as full:
        r = subprocess.run([build / "atoll", "--help"], stdout=full, stderr=subprocess.PIPE,
                           text=True)
    assert r.returncode == 1 and "No space left" in r.stderr


def test_closed_descriptors(build):
    r = subprocess.run(["/bin/sh", "-c", f'exec "{build}/atoll" version <&- >&- 2>&-'])
    assert r.returncode == 0


# ---- manual pages ----

@pytest.fixture(scope="module")
def pages(atoll, base):
    d = base / "man"
    d.mkdir()
    atoll("man", "--dir", d)
    yield sorted(d.iterdir())
    shutil.rmtree(d)


def test_manual_pages(pages):
    names = {p.name for p in pages}
    assert {"atoll.1", "atoll-run.1", "atoll-image.1", "atoll-image-bootstrap.1",
            "atoll-volume-ls.1", "atoll-system-repair.1"} <= names
    if not shutil.which("man"):
        pytest.skip("man is not installed")
    for page in pages:
        r = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", page],
                           capture_output=True, text=True, env={"MANWIDTH": "80", "PATH":
                                                                "/usr/bin:/bin", "LANG": "C.UTF-8"})
        assert r.returncode == 0 and not r.stderr, f"{page.name}: {r.stderr}"
        text = re.sub(".\x08", "", r.stdout)  # bold is overstruck
        assert "NAME" in text and "SYNOPSIS" in text


def test_manual_pages_know_every_flag(atoll, pages):
    page = next(p for p in pages if p.name == "atoll-run.1").read_text().replace("\\-", "-")
    for flag in re.findall(r"--([a-z-]+)", atoll("run", "--help").out):
        assert f"--{flag}" in page or flag == "help", flag


# ---- completions ----

@pytest.fixture(scope="module")
def script(atoll, base):
    def make(shell):
        path = base / f"completion.{shell}"
        path.write_text(atoll("completion", shell).out)
        return path

    return make


def bash_offers(script, atoll, *words):
    """What bash offers for the last of the words."""
    line = " ".join(words)
    array = " ".join(f"'{w}'" for w in words)
    r = subprocess.run(["bash", "--norc", "-c", f"""
        source {script('bash')}
        COMP_WORDS=({array}); COMP_CWORD={len(words) - 1}; COMP_LINE='{line}'; COMP_POINT={len(line)}
        _atoll; printf '%s\\n' "${{COMPREPLY[@]}}" """], capture_output=True, text=True)
    assert r.returncode == 0 and not r.stderr, r.stderr
    return r.stdout.split()


def test_bash_completion(script, atoll):
    def offers(*words):
        return bash_offers(script, atoll, *words)

    assert {"run", "ps", "image", "rm", "restart"} <= set(offers("atoll", ""))
    assert offers("atoll", "uns") == [] and offers("atoll", "unp") == ["unpause"]
    assert {"ls", "bootstrap", "tag"} <= set(offers("atoll", "image", ""))
    assert offers("atoll", "run", "--memory-sw") == ["--memory-swap", "--memory-swappiness"]
    assert offers("atoll", "container", "run", "--hostn") == ["--hostname"]
    assert offers("atoll", "run", "--restart", "un") == ["unless-stopped"]
    assert offers("atoll", "run", "--restart", "=", "un") == ["unless-stopped"]
    assert offers("atoll", "--root", "/x", "volume", "cr") == ["create"]
    assert offers("atoll", "completion", "f") == ["fish"]


def test_bash_completion_of_names(script, atoll, build):
    atoll("volume", "create", "complete-me")
    words = [str(build / "atoll"), "--root", str(atoll.root), "--state", str(atoll.state),
             "volume", "rm", "compl"]
    assert bash_offers(script, atoll, *words) == ["complete-me"]
    atoll("volume", "rm", "complete-me")


def test_zsh_completion(script):
    if not shutil.which("zsh"):
        pytest.skip("zsh is not installed")
    r = subprocess.run(["zsh", "-f", "-c", f"""
        autoload -U compinit && compinit -u -D; source {script('zsh')}
        _atoll_commands 'atoll image'; print -l $list; _atoll_value 'atoll run' --restart
        print $REPLY; _atoll_canonical 'atoll container ls'; print $REPLY"""],
                       capture_output=True, text=True)
    assert r.returncode == 0 and not r.stderr, r.stderr
    assert "bootstrap:Build an image" in r.stdout
    assert "words no on-failure" in r.stdout and "atoll ps" in r.stdout


def test_fish_completion(script, atoll, build, base):
    if not shutil.which("fish"):
        pytest.skip("fish is not installed")

    def offers(line):
        r = subprocess.run(["fish", "--no-config", "-c",
                            f"source {script('fish')}; complete -C '{line}'"],
                           capture_output=True, text=True,
                           env={"PATH": f"{build}:/usr/bin:/bin", "HOME": str(base),
                                "ATOLL_ROOT": str(atoll.root), "ATOLL_STATE": str(atoll.state)})
        assert r.returncode == 0, r.stderr
        return [line.split("\t")[0] for line in r.stdout.splitlines()]

    assert {"run", "image", "ps"} <= set(offers("atoll "))
    assert "bootstrap" in offers("atoll image ")
    assert "--memory-swap" in offers("atoll container run --memory-")
    assert "unless-stopped" in offers("atoll run --restart un")
