"""Addresses of buses: what they open, and what is refused with the forms that exist."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from monitor.bus.address import open_bus
from monitor.errors import BusUnreachable, ConfigurationError


def test_a_sqlite_address_opens_the_file(tmp_path: Path) -> None:
    """Four slashes are an absolute path."""
    bus = open_bus(f"sqlite:///{tmp_path}/drift.db")
    assert bus.name == f"sqlite:///{tmp_path}/drift.db"
    assert (tmp_path / "drift.db").exists()
    bus.close()


def test_three_slashes_are_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sqlite:///drift.db` is in the working directory."""
    monkeypatch.chdir(tmp_path)
    open_bus("sqlite:///drift.db").close()
    assert (tmp_path / "drift.db").exists()


def test_memory_opens_a_place_of_its_own() -> None:
    """Two calls are two places."""
    first, second = open_bus("memory:"), open_bus("memory:")
    first.create("t", 1)
    assert first.name == "memory:"
    assert second.partitions("t") is None


def test_who_reads_begins_no_file(tmp_path: Path) -> None:
    """A mistyped path is refused by name, and leaves nothing behind."""
    with pytest.raises(ConfigurationError, match=r"drfit\.db: there is no such file"):
        open_bus(f"sqlite:///{tmp_path}/drfit.db", creates=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["", "drift.db", "sqlite://drift.db", "sqlite:///", "kafka:host:1", "amqp://h:1"])
def test_an_unknown_form_is_answered_with_the_known_ones(url: str) -> None:
    """The message shows what would do."""
    with pytest.raises(ConfigurationError, match=r"kafka://host:port\[,host:port\], sqlite:///path or memory:"):
        open_bus(url)


@pytest.mark.parametrize(
    "url", ["kafka://", "kafka://host", "kafka://:9092", "kafka://a:1,b", "kafka://a:0", "kafka://a:x"]
)
def test_a_broker_needs_host_and_port(url: str) -> None:
    """Each of the list does."""
    with pytest.raises(ConfigurationError, match="no host:port"):
        open_bus(url)


def test_options_are_for_kafka_only(tmp_path: Path) -> None:
    """They would do nothing elsewhere."""
    with pytest.raises(ConfigurationError, match="kafka:// only"):
        open_bus(f"sqlite:///{tmp_path}/drift.db", {"security_protocol": "SSL"})


def test_an_option_that_no_client_has_is_refused_by_name() -> None:
    """Before anything is connected."""
    with pytest.raises(ConfigurationError, match="'securty_protocol'"):
        open_bus("kafka://127.0.0.1:1", {"securty_protocol": "SSL"})


def test_nobody_there_is_unreachable_and_names_the_address() -> None:
    """Port 1 answers nobody."""
    with pytest.raises(BusUnreachable, match=r"kafka://127\.0\.0\.1:1: unreachable: nobody listens there"):
        open_bus("kafka://127.0.0.1:1", {"bootstrap_timeout_ms": 300})


def test_the_embedded_bus_imports_no_kafka(tmp_path: Path) -> None:
    """Nor does importing the address module; the memory bus imports no sqlite3 either."""
    code = (
        "import sys; from monitor.bus.address import open_bus; open_bus('memory:');"
        "assert 'sqlite3' not in sys.modules;"
        f"open_bus('sqlite:///{tmp_path}/x.db').close();"
        "assert 'kafka' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
