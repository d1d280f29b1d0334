#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Checks of the sources themselves.

    house.py all|layers|symbols|headers|format|size|words|skips [--build DIR] [--fix]

Prints "ok NAME" for each check that holds, and file:line: what for each thing that does not.
"""
import argparse
import ast
import fnmatch
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
LINES_MAX = 1200

# Functions with a better replacement (see HACKING.md), and the objects that may use one.
BANNED = {
    r"(__)?(strcpy|strcat|strncpy|strncat|sprintf|vsprintf|gets|stpcpy)(_chk)?": (),
    r"strtok(_r)?|atoi|atol|atoll|atof": (),
    r"(__isoc\d+_)?strto(l|ul|ll|ull|imax|umax)": ("base/num.c", "base/clock.c"),
    r"(__isoc\d+_)?v?[fs]?scanf": (),
    r"system|popen|tmpnam|tempnam|mktemp|gethostbyname|inet_ntoa": (),
    r"ctime|asctime|localtime|gmtime|basename|__xpg_basename|dirname": (),
    r"getenv|signal|dup|alloca|_?setjmp|longjmp|rand|srand": (),
}
# Words that mark unfinished work, and paths of somebody's own machine.
WORDS = [r"\bTODO\b", r"\bFIXME\b(?!\(kernel \d)", r"\bXXX\b", r"\bplaceholders?\b", 
         r"implement(ed)? later", r"(?<![\w.])/(work|farm)/\w"]
# Names that say nothing about what is in a file.
NAMELESS = re.compile(r"(utils?|common|misc|helpers?)\.[ch]$")
TEXT = {".c", ".h", ".py", ".md", ".txt", ".sh", ".build", ".json", ".1", ""}


def files(*under, suffixes):
    for top in under:
        for base, dirs, names in os.walk(TOP / top):
            dirs[:] = sorted(d for d in dirs if not d.startswith((".", "build", "__pycache__", "corpus")))
            for n in sorted(names):
                p = Path(base) / n
                if p.suffix in suffixes and not n.startswith(".") and not p.is_symlink():
                    yield p


def c_files(*suffixes):
    return list(files("src", "tests", suffixes=set(suffixes or (".c", ".h"))))


def name(p):
    return str(p.relative_to(TOP))


def layers():
    """Includes against tools/layers.txt: a room includes only itself and what stands on its line."""
    rooms = {}
    for line in (TOP / "tools/layers.txt").read_text().splitlines():
        line = line.split("#")[0].strip()
        if line:
            room, _, below = line.partition(":")
            for b in below.split():
                if b not in rooms:
                    yield f"tools/layers.txt: {room} names {b}, which does not stand above it"
            rooms[room.strip()] = set(below.split())

    def room_of(path):
        fits = [r for r in rooms if path.startswith(r + "/")]
        return max(fits, key=len, default=None)

    for p in files("src", suffixes={".c", ".h"}):
        own = str(p.relative_to(TOP / "src"))
        room = room_of(own)
        if room is None:
            yield f"{name(p)}:1: its directory is no room of tools/layers.txt"
            continue
        for number, line in enumerate(p.read_text().splitlines(), 1):
            m = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not m:
                continue
            target = room_of(m[1])
            if not (TOP / "src" / m[1]).exists():
                yield f'{name(p)}:{number}: "{m[1]}" is not a path from src/'
            elif target != room and target not in rooms[room]:
                yield f"{name(p)}:{number}: {room} may not include {target} ({m[1]})"


def symbols():
    """Undefined symbols of our objects against the list of banned functions."""
    objects = [o for o in sorted((ARGS.build / "src").rglob("*.o"))]
    if not objects:
        yield f"{ARGS.build}: no objects: build first"
        return
    out = subprocess.run(["nm", "-A", *map(str, objects)], capture_output=True, text=True,
                         check=False).stdout
    exits, mains = {}, set()
    for line in out.splitlines():
        where, _, rest = line.partition(".o:")
        fields = rest.split()
        kind, symbol = fields[-2], fields[-1].split("@")[0]
        if kind == "T" and symbol == "main":
            mains.add(where)
        if kind != "U":
            continue
        if symbol == "exit":
            exits[where] = True
        for pattern, allowed in BANNED.items():
            source = Path(where).name
            room = Path(where).parent.parent.relative_to(ARGS.build / "src")
            if re.fullmatch(pattern, symbol) and str(room / source) not in allowed:
                yield f"src/{room / source}: uses {symbol}()"
    for where in exits:
        if where not in mains:
            yield f"{Path(where).name}: uses exit() outside main's file"


def headers():
    """Each header compiles alone, and opens as the house's headers do."""
    def compile_alone(p):
        r = subprocess.run(["gcc", "-fsyntax-only", "-x", "c", "-std=gnu2x", "-D_GNU_SOURCE",
                            "-Wall", "-Wextra", "-Werror", "-Wno-unused", f"-I{TOP}/src",
                            "-isystem/usr/include/lwip", f"-I{p.parent}", "-"], input=f'#include "{p}"\n', capture_output=True,
                           text=True, check=False)
        return p, r.stderr if r.returncode else ""

    # Those beside musl's headers mean something there alone.
    everything = [p for p in c_files(".h") if TOP / "src/libc/include" not in p.parents]
    for p in everything:
        if "#pragma once" not in p.read_text():
            yield f"{name(p)}:1: no #pragma once"
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for p, complaint in pool.map(compile_alone, everything):
            if complaint:
                yield f"{name(p)}:1: does not compile alone\n{complaint}"


def format():
    """clang-format has nothing to change."""
    sources = [str(p) for p in c_files()]
    if ARGS.fix:
        subprocess.run(["clang-format", "-i", *sources], check=True)
        return

    def look(chunk):
        return subprocess.run(["clang-format", "--dry-run", "--ferror-limit=1", *chunk],
                              capture_output=True, text=True, check=False).stderr

    n = os.cpu_count() or 1
    with ThreadPoolExecutor(n) as pool:
        for text in pool.map(look, [sources[i::n] for i in range(n)]):
            for line in text.splitlines():
                if "warning:" in line or "error:" in line:
                    yield line.replace(f"{TOP}/", "") + " (make format)"


def size():
    """No file past the hard stop, but tables."""
    for p in c_files():
        n = len(p.read_bytes().splitlines())
        if n > LINES_MAX and not re.search(r"_tables?\.c$", p.name):
            yield f"{name(p)}:{LINES_MAX}: {n} lines; split it by noun"
        if NAMELESS.search(p.name):
            yield f"{name(p)}:1: name the file after what it holds"


# Comments, strings and character constants of C, in this order of trial at each position.
TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def words():
    """SPDX lines, no line comments, no marks of unfinished work, no paths of one machine."""
    for p in c_files():
        text = p.read_text()
        for m in TOKEN.finditer(text):
            if m[0].startswith("//"):
                yield f"{name(p)}:{text.count(chr(10), 0, m.start()) + 1}: a // comment"
        if "\r" in text or re.search(r"[ \t]$", text, re.M):
            yield f"{name(p)}:1: blanks at a line's end"
    for p in list(files("src", "tests", "tools", suffixes={".c", ".h", ".py", ".build"})):
        if "SPDX-License-Identifier: Apache-2.0" not in p.read_text()[:200]:
            yield f"{name(p)}:1: no SPDX line"
    top = [p for p in TOP.iterdir() if p.is_file() and p.suffix in TEXT | {".yml"} and p.name not in
           ("LICENSE", ".git")]
    marks = re.compile("|".join(WORDS))
    for p in top + list(files("src", "tests", "tools", "doc", ".ci", suffixes=TEXT)):
        if p == Path(__file__).resolve():
            continue
        for number, line in enumerate(p.read_text(errors="replace").splitlines(), 1):
            m = marks.search(line)
            if m:
                yield f"{name(p)}:{number}: '{m[0]}'"


UNKNOWN = "x"  # the part of a reason that is known at run time only; a helper may get all of it


def skip_reasons(tree):
    """(line, test function or None, reason) of what skips in a file of Python tests."""
    def text(node):
        if isinstance(node, ast.Constant):
            return str(node.value)
        if isinstance(node, ast.JoinedStr):
            return "".join(text(v) for v in node.values)
        return UNKNOWN

    def walk(node, test):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            test = node.name
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func).rpartition(".")[2]
            given = {k.arg: k.value for k in node.keywords}
            if called == "skip" and "pytest" in ast.unparse(node.func):
                yield node.lineno, test, text(given.get("reason", (*node.args, None)[0]))
            elif called == "skipif":
                yield node.lineno, test, text(given.get("reason"))
            elif called == "importorskip":
                yield node.lineno, test, f"could not import {text(node.args[0])!r}: x"
        for child in ast.iter_child_nodes(node):
            yield from walk(child, test)

    return walk(tree, None)


def skips():
    """Each reason to skip that stands in a test has a line in tools/skips.txt for it."""
    listed = []
    for line in (TOP / "tools/skips.txt").read_text().splitlines():
        test, bar, reason = line.split("#")[0].partition("|")
        if bar:
            listed.append((test.strip(), reason.strip()))

    def known(tests, reason):
        return any(fnmatch.fnmatch(reason, r) and any(fnmatch.fnmatch(n, t) for n in tests)
                   for t, r in listed)

    for p in files("tests", suffixes={".py"}):
        for number, test, reason in skip_reasons(ast.parse(p.read_text())):
            # Natively and in a machine, as a test with parameters or none; a helper's are anybody's.
            where = (name(p).removesuffix(".py"), f"vm/{name(p)}")
            tests = [f"{w}::{test}{x}" for w in where for x in ("", "[x]")]
            if not (known(tests, reason) if test else reason == UNKNOWN or
                    any(fnmatch.fnmatch(reason, r) for _, r in listed)):
                yield f"{name(p)}:{number}: no line of tools/skips.txt is for '{reason}'"
    for p in c_files(".c"):
        text = p.read_text()
        for m in re.finditer(r"\breturn 77;", text):
            said = re.findall(r'printf\("([^"\\]*)', text[:m.start()])
            if not said or not any(fnmatch.fnmatch(said[-1], r) for t, r in listed):
                line = text.count("\n", 0, m.start()) + 1
                yield f"{name(p)}:{line}: no line of tools/skips.txt is for what it says"


CHECKS = {f.__name__: f for f in (layers, symbols, headers, format, size, words, skips)}


def main():
    bad = False
    for check in CHECKS if ARGS.what == "all" else [ARGS.what]:
        complaints = list(CHECKS[check]())
        for c in complaints:
            print(f"{check}: {c}")
        if not complaints:
            print(f"ok {check}")
        bad = bad or bool(complaints)
    return 1 if bad else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["all", *CHECKS])
    parser.add_argument("--build", type=Path, default=TOP / "build")
    parser.add_argument("--fix", action="store_true", help="format: change the files")
    ARGS = parser.parse_args()
    ARGS.build = ARGS.build.resolve()
    sys.exit(main())
