"""The token of OAUTHBEARER, for the clients of kafka-python."""

from __future__ import annotations

import re
from pathlib import Path

from kafka.net.sasl.oauth import AbstractTokenProvider

from monitor.bus.secret_file import read_secret
from monitor.errors import ConfigurationError

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


class TokenFile(AbstractTokenProvider):  # type: ignore[misc] # the client ships no types
    """A token from a file that somebody else keeps fresh: read for every connection."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.token()

    def token(self) -> str:
        token = read_secret(self._path)
        if not _TOKEN.fullmatch(token):
            raise ConfigurationError(f"{self._path}: holds no bearer token (letters, digits and -._~+/ only)")
        return token
