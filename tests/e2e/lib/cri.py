# SPDX-License-Identifier: Apache-2.0
"""
A client of Kubernetes' container runtime interface (runtime.v1) with only what the tests call: the
messages are written and read by hand from their field numbers, the calls are python3-grpcio's.
Run as a program (cri.py URL) it is the other end of a streamed exec: a websocket.
"""
import base64
import http.client
import json
import os
import struct
import sys
import urllib.parse

# field: (number, kind); kinds: text, bytes, int, [kind] for repeated, "map" of texts, or a message.
INT64 = {"value": (1, "int")}
META = {"name": (1, "text"), "uid": (2, "text"), "namespace": (3, "text"), "attempt": (4, "int")}
NAMESPACES = {"network": (1, "int"), "pid": (2, "int"), "ipc": (3, "int"), "target_id": (4, "text")}
SECCOMP = {"profile_type": (1, "int"), "localhost_ref": (2, "text")}
RESOURCES = {"cpu_period": (1, "int"), "cpu_quota": (2, "int"), "cpu_shares": (3, "int"),
             "memory_limit_in_bytes": (4, "int"), "oom_score_adj": (5, "int"),
             "cpuset_cpus": (6, "text"), "unified": (9, "map")}
SANDBOX = {
    "metadata": (1, META), "hostname": (2, "text"), "log_directory": (3, "text"),
    "labels": (6, "map"), "annotations": (7, "map"),
    "linux": (8, {"cgroup_parent": (1, "text"), "sysctls": (3, "map"), "resources": (5, RESOURCES),
                  "security_context": (2, {"namespace_options": (1, NAMESPACES),
                                           "run_as_user": (3, INT64), "seccomp": (9, SECCOMP)})}),
}
IMAGE = {"image": (1, "text")}
MOUNT = {"container_path": (1, "text"), "host_path": (2, "text"), "readonly": (3, "int"),
         "propagation": (5, "int")}
CONTAINER = {
    "metadata": (1, {"name": (1, "text"), "attempt": (2, "int")}), "image": (2, IMAGE),
    "command": (3, ["text"]), "args": (4, ["text"]), "working_dir": (5, "text"),
    "envs": (6, [{"key": (1, "text"), "value": (2, "text")}]), "mounts": (7, [MOUNT]),
    "labels": (9, "map"), "log_path": (11, "text"), "stdin": (12, "int"), "tty": (14, "int"),
    "linux": (15, {"resources": (1, RESOURCES), "security_context": (2, {
        "capabilities": (1, {"add": (1, ["text"]), "drop": (2, ["text"])}),
        "privileged": (2, "int"), "namespace_options": (3, NAMESPACES), "run_as_user": (5, INT64),
        "run_as_group": (12, INT64), "readonly_rootfs": (7, "int"),
        "supplemental_groups": (8, ["int"]), "no_new_privs": (11, "int"),
        "masked_paths": (13, ["text"]), "readonly_paths": (14, ["text"]),
        "seccomp": (15, SECCOMP)})}),
}
NUMBER = {"value": (1, "int")}
STATS = {"cpu": (2, {"usage_core_nano_seconds": (2, NUMBER)}),
         "memory": (3, {"working_set_bytes": (2, NUMBER)})}
POD_STATUS = {"id": (1, "text"), "state": (3, "int"), "created_at": (4, "int"),
              "network": (5, {"ip": (1, "text")}), "labels": (7, "map")}
STATUS = {"id": (1, "text"), "state": (3, "int"), "created_at": (4, "int"),
          "started_at": (5, "int"), "finished_at": (6, "int"), "exit_code": (7, "int"),
          "reason": (10, "text"), "message": (11, "text"), "log_path": (15, "text")}
POD = {"pod_sandbox_id": (1, "text")}
ID = {"container_id": (1, "text")}
CALLS = {  # name: (request, response)
    "Version": ({}, {"runtime_name": (2, "text"), "runtime_version": (3, "text")}),
    "RunPodSandbox": ({"config": (1, SANDBOX), "runtime_handler": (2, "text")}, POD),
    "StopPodSandbox": (POD, {}),
    "RemovePodSandbox": (POD, {}),
    "PodSandboxStatus": (POD, {"status": (1, POD_STATUS)}),
    "ListPodSandbox": ({}, {"items": (1, [{"id": (1, "text"), "state": (3, "int")}])}),
    "CreateContainer": ({**POD, "config": (2, CONTAINER), "sandbox_config": (3, SANDBOX)}, ID),
    "StartContainer": (ID, {}),
    "StopContainer": ({**ID, "timeout": (2, "int")}, {}),
    "RemoveContainer": (ID, {}),
    "ListContainers": ({}, {"containers": (1, [{"id": (1, "text"), "state": (6, "int")}])}),
    "ContainerStatus": ({**ID, "verbose": (2, "int")}, {"status": (1, STATUS), "info": (2, "map")}),
    "UpdateContainerResources": ({**ID, "linux": (2, RESOURCES)}, {}),
    "ReopenContainerLog": (ID, {}),
    "ExecSync": ({**ID, "cmd": (2, ["text"]), "timeout": (3, "int")},
                 {"stdout": (1, "bytes"), "stderr": (2, "bytes"), "exit_code": (3, "int")}),
    "Exec": ({**ID, "cmd": (2, ["text"]), "tty": (3, "int"), "stdin": (4, "int"),
              "stdout": (5, "int"), "stderr": (6, "int")}, {"url": (1, "text")}),
    "PortForward": ({"pod_sandbox_id": (1, "text"), "port": (2, ["int"])}, {"url": (1, "text")}),
    "ContainerStats": (ID, {"stats": (1, STATS)}),
    "ListContainerStats": ({}, {"stats": (1, [STATS])}),
    "ImageStatus": ({"image": (1, IMAGE)}, {"image": (1, {"id": (1, "text")})}),
}
PAIR = {"key": (1, "text"), "value": (2, "text")}


def varint(n):
    out = bytearray()
    n &= (1 << 64) - 1
    while n > 0x7f:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def field(number, kind, value):
    if isinstance(kind, list):
        return b"".join(field(number, kind[0], v) for v in value)
    if kind == "map":
        return b"".join(field(number, PAIR, {"key": k, "value": v}) for k, v in value.items())
    if kind == "int":
        return varint(number << 3) + varint(int(value))
    data = encode(kind, value) if isinstance(kind, dict) else (
        value if isinstance(value, bytes) else value.encode())
    return varint(number << 3 | 2) + varint(len(data)) + data


def encode(message, values):
    return b"".join(field(*message[name], value) for name, value in values.items())


def read_varint(data, at):
    n = shift = 0
    while True:
        n |= (data[at] & 0x7f) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return n, at


def empty(kind):
    if isinstance(kind, list):
        return []
    return {"int": 0, "text": "", "bytes": b"", "map": {}}[kind] if isinstance(kind, str) else None


def decode(message, data):
    """Every field of the message is there: what was not sent has its empty value."""
    values = {name: empty(kind) for name, (_, kind) in message.items()}
    names = {number: (name, kind) for name, (number, kind) in message.items()}
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        if tag & 7 == 0:
            raw, at = read_varint(data, at)
            raw = raw - (1 << 64) if raw >> 63 else raw
        elif tag & 7 == 2:
            size, at = read_varint(data, at)
            raw, at = data[at:at + size], at + size
        else:
            size = 8 if tag & 7 == 1 else 4
            raw, at = data[at:at + size], at + size
        name, kind = names.get(tag >> 3, (None, None))
        if name is None:
            continue
        if kind == "map":
            pair = decode(PAIR, raw)
            values[name][pair["key"]] = pair["value"]
            continue
        of = kind[0] if isinstance(kind, list) else kind
        value = (decode(of, raw) if isinstance(of, dict) else
                 raw.decode(errors="replace") if of == "text" else raw)
        if isinstance(kind, list):
            values[name].append(value)
        else:
            values[name] = value
    return values


class Cri:
    """cri.ExecSync(container_id=..., cmd=[...]) gives the response as a dict; grpc.RpcError."""

    def __init__(self, socket, timeout_s=60):
        import grpc
        self.timeout_s = timeout_s
        self.channel = grpc.insecure_channel(f"unix://{socket}")

    def __getattr__(self, name):
        request, response = CALLS[name]
        service = "ImageService" if name.startswith("Image") else "RuntimeService"
        call = self.channel.unary_unary(f"/runtime.v1.{service}/{name}",
                                        request_serializer=lambda v: encode(request, v),
                                        response_deserializer=lambda b: decode(response, b))
        return lambda **values: call(values, timeout=self.timeout_s)

    def close(self):
        self.channel.close()


# -- streams of an exec, or of a forwarded port

def send(sock, payload):
    """One binary frame, masked as a client's has to be."""
    mask = os.urandom(4)
    size = len(payload)
    head = bytes([0x82, 0x80 | size]) if size < 126 else b"\x82\xfe" + struct.pack(">H", size)
    sock.sendall(head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload)))


def frames(answers):
    while True:
        head = answers.read(2)
        if len(head) < 2 or head[0] & 0xf == 8:
            return
        size = head[1] & 0x7f
        if size == 126:
            size = struct.unpack(">H", answers.read(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", answers.read(8))[0]
        yield head[0] & 0xf, answers.read(size)


def stream(url):
    """What comes on each channel, {0: b"", ...}. Standard input goes to the first one."""
    u = urllib.parse.urlparse(url)
    c = http.client.HTTPConnection(u.hostname, u.port, timeout=60)
    c.putrequest("GET", f"{u.path}?{u.query}")
    for k, v in {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
                 "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
                 "Sec-WebSocket-Protocol": "v4.channel.k8s.io"}.items():
        c.putheader(k, v)
    c.endheaders()
    answers = c.sock.makefile("rb")
    line = answers.readline()
    assert b" 101 " in line, line
    while answers.readline() not in (b"\r\n", b""):
        pass
    got = {0: b"", 1: b"", 2: b"", 3: b""}
    typed = sys.stdin.buffer.read()
    if typed:
        send(c.sock, b"\0" + typed)
    for op, payload in frames(answers):
        if op in (1, 2) and payload:
            got[payload[0]] = got.get(payload[0], b"") + payload[1:]
    return got


def stream_exec(url):
    """{"out", "err", "status"} comes back on standard output."""
    got = stream(url)
    print(json.dumps({"out": got[1].decode(), "err": got[2].decode(),
                      "status": json.loads(got[3] or b"{}")}))


def stream_port(url):
    """{"data", "error"}, without the port's number."""
    got = stream(url)
    print(json.dumps({"data": got[0][2:].decode(), "error": got[1][2:].decode()}))


if __name__ == "__main__":
    {"exec": stream_exec, "port": stream_port}[sys.argv[1]](sys.argv[2])
