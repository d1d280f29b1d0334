# SPDX-License-Identifier: Apache-2.0
"""
Registries on the loopback: Debian's docker-registry as it is, and one of our own that does wrong
what it is told to. And images for them, pushed as bytes.
"""
import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from . import wait
from .images import image_config, sha256

OCI = "application/vnd.oci.image"
# Of "user:secret", by htpasswd -B.
HTPASSWD = "user:$2y$05$F8VwZdQ4veVJpNR..qRnqejAZKrEttFklEOAQc81T2lzK7DQ4y1IK\n"


def digest(data):
    return f"sha256:{sha256(data)}"


def descriptor(data, media, **more):
    return {"mediaType": media, "digest": digest(data), "size": len(data), **more}


class Image:
    """The documents and blobs of one image."""

    def __init__(self, layers, pack=lambda l: l, media=f"{OCI}.layer.v1.tar", **config):
        self.config = image_config(layers, **config)
        self.blobs = [pack(l) for l in layers]
        self.manifest = json.dumps({
            "schemaVersion": 2, "mediaType": f"{OCI}.manifest.v1+json",
            "config": descriptor(self.config, f"{OCI}.config.v1+json"),
            "layers": [descriptor(b, media) for b in self.blobs]}).encode()
        self.id = digest(self.config)

    def __iter__(self):
        return iter([self.config, *self.blobs])


def index(manifests):
    """Of {platform: image}."""
    def platform(text):
        return dict(zip(("os", "architecture", "variant"), text.split("/")))
    return json.dumps({"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": [
        descriptor(i.manifest, f"{OCI}.manifest.v1+json", platform=platform(p))
        for p, i in manifests.items()]}).encode()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def certificate(directory, name="127.0.0.1"):
    """A CA of its own and a server's certificate of it: ca.crt, server.crt, server.key."""
    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=directory, check=True, capture_output=True)
    directory.mkdir(exist_ok=True)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=test CA")
    openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", f"/CN={name}")
    (directory / "ext").write_text(f"subjectAltName=IP:{name}\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
            "-out", "server.crt", "-days", "30", "-extfile", "ext")
    return directory


class Registry:
    """Debian's docker-registry, with its data below `directory`."""

    def __init__(self, directory, auth=False, tls=None):
        directory.mkdir()
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        self.tls = ssl.create_default_context(cafile=tls / "ca.crt") if tls else None
        config = {"version": 0.1, "log": {"level": "error"},
                  "storage": {"filesystem": {"rootdirectory": str(directory / "data")}},
                  "http": {"addr": self.host}}
        if auth:
            (directory / "htpasswd").write_text(HTPASSWD)
            config["auth"] = {"htpasswd": {"realm": "tests", "path": str(directory / "htpasswd")}}
        if tls:
            config["http"]["tls"] = {"certificate": str(tls / "server.crt"),
                                     "key": str(tls / "server.key")}
        self.headers = {"Authorization": "Basic dXNlcjpzZWNyZXQ="} if auth else {}
        (directory / "config.yml").write_text(json.dumps(config))  # which is YAML, too
        self.log = open(directory / "log", "wb")
        # It takes REGISTRY_... of its environment for parts of its configuration.
        env = {k: v for k, v in os.environ.items() if not k.startswith("REGISTRY_")}
        self.process = subprocess.Popen(["docker-registry", "serve", directory / "config.yml"],
                                        env=env, stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log)
        wait.until(self.answers, "the registry")

    def answers(self):
        assert self.process.poll() is None, "docker-registry has ended"
        try:
            return self.ask("GET", "/v2/")[0] in (200, 401)
        except OSError:
            return False

    def ask(self, method, path, body=None, **headers):
        if self.tls:
            c = http.client.HTTPSConnection(self.host, timeout=20, context=self.tls)
        else:
            c = http.client.HTTPConnection(self.host, timeout=20)
        try:
            c.request(method, path, body, {**self.headers, **headers})
            r = c.getresponse()
            r.read()
            return r.status, r.headers
        finally:
            c.close()

    def push(self, repository, tag, image):
        for blob in image:
            status, headers = self.ask("POST", f"/v2/{repository}/blobs/uploads/")
            assert status == 202, status
            path = re.sub(r"^https?://[^/]*", "", headers["Location"])
            status, _ = self.ask("PUT", f"{path}&digest={digest(blob)}", blob,
                                 **{"Content-Type": "application/octet-stream"})
            assert status == 201, status
        self.push_document(repository, tag, image.manifest)
        return f"{self.host}/{repository}:{tag}"

    def push_document(self, repository, tag, text):
        status, _ = self.ask("PUT", f"/v2/{repository}/manifests/{tag}", text,
                             **{"Content-Type": json.loads(text)["mediaType"]})
        assert status == 201, status

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


class Fake:
    """
    A registry that has `documents` (by tag or digest) and `blobs` (by digest), asks `before` of
    each request whether it is answered in another way, and keeps what was asked for in `asked`.
    """

    def __init__(self, before=lambda request: False):
        self.before = before
        self.documents, self.blobs, self.asked = {}, {}, []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def answer(self, status, body=b"", **headers):
                self.send_response(status)
                for key, value in headers.items():
                    self.send_header(key.replace("_", "-"), value)
                if "Content_Length" not in headers:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def cut(self, status, body, length, **headers):
                """So much of what is `length` long, and then nothing."""
                self.answer(status, body, Content_Length=str(length), **headers)
                self.close_connection = True

            def part(self, data):
                """What of it is asked for: status, bytes, headers."""
                m = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
                if not m:
                    return 200, data, {}
                at = int(m[1])
                return 206, data[at:], {"Content_Range": f"bytes {at}-{len(data) - 1}/{len(data)}"}

            def do_GET(self):
                fake.asked.append((self.path, dict(self.headers)))
                if fake.before(self):
                    return
                name = self.path.rsplit("/", 1)[-1]
                if self.path == "/v2/":
                    self.answer(200)
                elif "/blobs/" in self.path and name in fake.blobs:
                    status, body, headers = self.part(fake.blobs[name])
                    self.answer(status, body, **headers)
                elif "/manifests/" in self.path and name in fake.documents:
                    text = fake.documents[name]
                    self.answer(200, text, Content_Type=json.loads(text)["mediaType"])
                else:
                    self.answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"gone"}]}')

            def do_HEAD(self):
                fake.asked.append((self.path, dict(self.headers)))
                if fake.before(self):
                    return
                there = self.path.rsplit("/", 1)[-1] in fake.blobs
                self.answer(200 if there else 404)

            def body(self):
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))

            def do_POST(self):
                fake.asked.append((self.path, dict(self.headers)))
                self.sent = self.body()
                if not fake.before(self):
                    self.answer(202, Location="/v2/upload/1?state=x")

            def do_PUT(self):
                fake.asked.append((self.path, dict(self.headers)))
                data = self.body()
                if fake.before(self):
                    return
                if "/manifests/" in self.path:
                    fake.documents[self.path.rsplit("/", 1)[-1]] = data
                elif "digest=" + digest(data).replace(":", "%3A") in self.path.replace(":", "%3A"):
                    fake.blobs[digest(data)] = data
                else:
                    return self.answer(400)
                self.answer(201)

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass  # who asks may go away

        self.server = Server(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def add(self, image, tag="1"):
        for b in image:
            self.blobs[digest(b)] = b
        self.documents[tag] = self.documents[digest(image.manifest)] = image.manifest
        return f"{self.host}/a/b:{tag}"

    def paths(self, part):
        return [p for p, _ in self.asked if part in p]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
