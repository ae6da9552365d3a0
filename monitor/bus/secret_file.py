"""Secrets that stand in files, as orchestrators mount them."""

from __future__ import annotations

from pathlib import Path

from monitor.errors import ConfigurationError

MOST_SECRET_BYTES = 64 << 10


def read_secret(path: Path) -> str:
    """A secret from a file, without the newline at its end; raises ConfigurationError without a word of it."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_SECRET_BYTES + 1)
        secret = content.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or 'can not be read'}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: is not UTF-8 text") from None
    if not secret or len(content) > MOST_SECRET_BYTES:
        raise ConfigurationError(f"{path}: {'is empty' if not secret else 'is too large for a secret'}")
    return secret
