"""A certification authority of the tests' own, by the openssl command."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

DAYS = "2"
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl on the path")


@dataclass(frozen=True)
class Certificate:
    """PEM files: a certificate, its key in PKCS#8, and both in one as Kafka wants its key store."""

    cert: Path
    key: Path
    store: Path


class Authority:
    """Signs certificates; `ca` is its own, which those who trust it are given."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder / name
        self._folder.mkdir(parents=True)
        self.ca, self._key = self._folder / "ca.pem", self._folder / "ca.key"
        subject: list[str] = ["-subj", f"/CN={name}", "-days", DAYS]
        _openssl("req", "-x509", *NEW_KEY, *subject, "-keyout", self._key, "-out", self.ca)

    def sign(self, name: str, hosts: tuple[str, ...] = (), password: str = "") -> Certificate:
        """A certificate for CN=`name`, valid for `hosts` (as in DNS:localhost); its key is encrypted by `password`."""
        stem = f"{name}-locked" if password else name
        plain, request, extensions = (self._folder / f"{stem}.{end}" for end in ("plain", "csr", "ext"))
        made = Certificate(*(self._folder / f"{stem}.{end}" for end in ("pem", "key", "store")))
        _openssl("req", *NEW_KEY, "-subj", f"/CN={name}", "-keyout", plain, "-out", request)
        extensions.write_text(f"subjectAltName={','.join(hosts)}\n" if hosts else "")
        signed_by: list[str | Path] = ["-CA", self.ca, "-CAkey", self._key, "-CAcreateserial", "-days", DAYS]
        _openssl("x509", "-req", "-in", request, *signed_by, "-extfile", extensions, "-out", made.cert)
        encryption: list[str] = ["-v2", "aes256", "-passout", f"pass:{password}"] if password else ["-nocrypt"]
        _openssl("pkcs8", "-topk8", "-in", plain, *encryption, "-out", made.key)
        made.store.write_text(made.key.read_text() + made.cert.read_text())
        return made


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)
