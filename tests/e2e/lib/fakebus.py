# SPDX-License-Identifier: Apache-2.0
"""
A D-Bus server on a socket of its own, as far as a runtime talks to one, that misbehaves as asked. A
fake at a process border: what it says is written here byte by byte.
"""
import os
import socket
import struct
import threading
from pathlib import Path

CALL, RETURN, ERROR, SIGNAL = 1, 2, 3, 4
MANAGER = "org.freedesktop.systemd1"


def pad(data, to):
    return data + bytes(-len(data) % to)


def string(text):
    raw = text.encode()
    return struct.pack("<I", len(raw)) + raw + b"\0"


def message(kind, serial, fields, body=b""):
    out = b""
    for code, type_, value in fields:
        out = pad(out, 8) + bytes([code, 1]) + type_.encode() + b"\0"
        if type_ == "u":
            out += struct.pack("<I", value)
        elif type_ == "g":
            out += bytes([len(value)]) + value.encode() + b"\0"
        else:
            out += string(value)
    head = b"l" + bytes([kind, 0, 1]) + struct.pack("<III", len(body), serial, len(out))
    return pad(head + out, 8) + body


def reply(serial, signature="", body=b""):
    fields = [(5, "u", serial), (7, "s", ":1.1")] + ([(8, "g", signature)] if signature else [])
    return message(RETURN, 100 + serial, fields, body)


def error(serial, name, text):
    return message(ERROR, 100 + serial, [(4, "s", name), (5, "u", serial), (8, "g", "s")],
                   string(text))


def job_removed(job, unit, how, sender=":1.1"):
    body = pad(pad(struct.pack("<I", 7) + string(job), 4) + string(unit), 4) + string(how)
    return message(SIGNAL, 99, [(1, "o", "/org/freedesktop/systemd1"), (2, "s", f"{MANAGER}.Manager"),
                                (3, "s", "JobRemoved"), (7, "s", sender), (8, "g", "uoss")], body)


def member_of(raw):
    """(member, serial, first string of the body) of a call."""
    body_n, serial, fields_n = struct.unpack_from("<III", raw, 4)
    at, member = 16, ""
    while at < 16 + fields_n:
        at += -at % 8
        code, type_ = raw[at], chr(raw[at + 2])
        at += 4
        n = raw[at] if type_ == "g" else struct.unpack_from("<I", raw, at)[0]
        start = at + (1 if type_ == "g" else 4)
        if code == 3:
            member = raw[start:start + n].decode()
        at = start + n + 1
    body = raw[len(raw) - body_n:]
    first = body[4:4 + struct.unpack_from("<I", body)[0]].decode() if body_n else ""
    return member, serial, first


class Bus:
    """
    behave(bus, connection) serves one connection; the helpers below are parts of it. What was called
    is in `calls`.
    """

    def __init__(self, path, behave, listen=8):
        self.path = path
        self.behave = behave
        self.calls = []
        self.open = []
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(path))
        self.server.listen(listen)
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def env(self):
        return {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={self.path}"}

    def _serve(self):
        while True:
            try:
                c, _ = self.server.accept()
            except OSError:
                return
            self.open.append(c)
            threading.Thread(target=self._one, args=(c,), daemon=True).start()

    def _one(self, c):
        try:
            self.behave(self, c)
        except (OSError, EOFError):
            pass

    def close(self):
        self.server.close()
        for c in self.open:
            c.close()
        os.unlink(self.path)


def exactly(c, n):
    data = b""
    while len(data) < n:
        more = c.recv(n - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def welcome(c):
    """The greeting of a client, answered."""
    data = b""
    while not data.endswith(b"BEGIN\r\n"):
        data += exactly(c, 1)
    c.sendall(b"DATA\r\nOK 0123456789abcdef0123456789abcdef\r\n")


def calls(bus, c):
    """Each call: (member, serial, first string). Hello, AddMatch and Subscribe are answered."""
    while True:
        head = exactly(c, 16)
        body_n, _, fields_n = struct.unpack_from("<III", head, 4)
        rest = exactly(c, (16 + fields_n + 7) // 8 * 8 - 16 + body_n)
        member, serial, first = member_of(head + rest)
        bus.calls.append(member)
        if member == "Hello":
            c.sendall(reply(serial, "s", string(":1.5")))
        elif member in ("AddMatch", "Subscribe"):
            c.sendall(reply(serial))
        else:
            yield member, serial, first


def silent(bus, c):
    """Takes the connection and says nothing, ever."""
    while c.recv(4096):
        pass


def deaf(bus, c):
    """A bus that works, before a systemd that does not."""
    welcome(c)
    for _ in calls(bus, c):
        pass


def says(text):
    """The first words are these."""
    def behave(bus, c):
        c.recv(4096)
        c.sendall(text)
        silent(bus, c)
    return behave


def closes(bus, c):
    c.recv(10)
    c.close()


def refuses(name, text):
    """Every method of systemd ends with this error."""
    def behave(bus, c):
        welcome(c)
        for _, serial, _ in calls(bus, c):
            c.sendall(error(serial, name, text))
    return behave


def job(how, sender=":1.1"):
    """Methods return a job, which ends like this."""
    def behave(bus, c):
        welcome(c)
        for _, serial, unit in calls(bus, c):
            path = "/org/freedesktop/systemd1/job/7"
            c.sendall(reply(serial, "o", string(path)))
            c.sendall(job_removed("/org/freedesktop/systemd1/job/8", unit, "failed"))
            c.sendall(job_removed(path, unit, how, sender))
    return behave


def nonsense(bus, c):
    """A message that is none, after a proper beginning."""
    welcome(c)
    for _, serial, _ in calls(bus, c):
        c.sendall(b"l\2\0\1" + struct.pack("<III", 8, 1, 8) + b"\xff" * 16)


def huge(bus, c):
    welcome(c)
    for _, serial, _ in calls(bus, c):
        c.sendall(b"l\2\0\1" + struct.pack("<III", 0x7ffffff0, 1, 16) + b"\0" * 4096)


def keepers():
    """
    The processes that hold a scope until its container is in it: of our user, as those that hold an
    ordinary user's namespaces have the same name, and tests of them may run beside us.
    """
    return [p for p in Path("/proc").glob("[0-9]*/status") if _is_keeper(p)]


def _is_keeper(p):
    try:
        words = dict(l.split(":\t", 1) for l in p.read_text().splitlines() if ":\t" in l)
        return words["Name"] == "atoll-keeper" and int(words["Uid"].split()[0]) == os.geteuid()
    except OSError:
        return False
