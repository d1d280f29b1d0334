# SPDX-License-Identifier: Apache-2.0
"""Signatures of images as cosign and skopeo write them, made by openssl."""
import base64
import json
import subprocess

from .registry import OCI, descriptor, digest

MEDIA = "application/vnd.dev.cosign.simplesigning.v1+json"
ANNOTATION = "dev.cosignproject.cosign/signature"


def openssl(*args, **more):
    return subprocess.run(["openssl", *args], check=True, capture_output=True, **more).stdout


class Key:
    """A pair of keys: NAME.key (PKCS #8, PEM) and NAME.pub."""

    def __init__(self, directory, name, kind=("EC", "-pkeyopt", "ec_paramgen_curve:P-256")):
        directory.mkdir(exist_ok=True)
        self.private, self.public = directory / f"{name}.key", directory / f"{name}.pub"
        self.kind = kind[0]
        openssl("genpkey", "-algorithm", *kind, "-out", self.private)
        openssl("pkey", "-in", self.private, "-pubout", "-out", self.public)

    def sign(self, data):
        if self.kind != "ED25519":
            return openssl("dgst", "-sha256", "-sign", self.private, input=data)
        (self.private.with_suffix(".data")).write_bytes(data)
        return openssl("pkeyutl", "-sign", "-rawin", "-inkey", self.private, "-in",
                       self.private.with_suffix(".data"))

    def verifies(self, data, signature):
        path = self.private.with_suffix(".sig")
        path.write_bytes(signature)
        r = subprocess.run(["openssl", "dgst", "-sha256", "-verify", self.public, "-signature",
                            path], input=data, capture_output=True)
        return r.returncode == 0


def payload(name, manifest, kind="cosign container image signature"):
    """What is signed: that this manifest (bytes) is called `name`."""
    return json.dumps({"critical": {"identity": {"docker-reference": name},
                                    "image": {"docker-manifest-digest": digest(manifest)},
                                    "type": kind}, "optional": None}).encode()


class Signatures:
    """Of one manifest: pushed like an image, to tag()."""

    def __init__(self, manifest, *signed):
        """signed: (payload, signature) each."""
        self.of = manifest
        self.blobs = [p for p, _ in signed]
        self.config = json.dumps({"architecture": "", "os": "", "config": {}, "rootfs": {
            "type": "layers", "diff_ids": [digest(p) for p in self.blobs]}}).encode()
        self.manifest = json.dumps({
            "schemaVersion": 2, "mediaType": f"{OCI}.manifest.v1+json",
            "config": descriptor(self.config, f"{OCI}.config.v1+json"),
            "layers": [descriptor(p, MEDIA, annotations={
                ANNOTATION: base64.b64encode(s).decode()}) for p, s in signed]}).encode()

    def __iter__(self):
        return iter([self.config, *self.blobs])

    def tag(self):
        return digest(self.of).replace(":", "-") + ".sig"


def sign(where, repository, tag, image, key, name=None, manifest=None):
    """`where`: a Registry. Of the image of repository:tag, or of this manifest of it."""
    manifest = manifest or image.manifest
    p = payload(name or f"{where.host}/{repository}:{tag}", manifest)
    s = Signatures(manifest, (p, key.sign(p)))
    where.push(repository, s.tag(), s)
    return s
