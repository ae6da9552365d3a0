"""Settings come from flags, then the environment, then defaults, and a wrong one is refused without its value."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.errors import ConfigurationError
from monitor.settings import ENV_PREFIX, Settings, load_settings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(ENV_PREFIX + name.upper(), raising=False)


def test_without_any_setting_it_runs_on_a_file_beside_it() -> None:
    """The defaults need no broker and no environment."""
    settings = load_settings()
    assert settings.bus == "sqlite:///streamdrift.db"
    assert settings.config == Path("alerts.yaml")
    assert settings.prefix == "streamdrift."
    assert settings.ledger_partitions == 8
    assert settings.instance


def test_a_flag_goes_before_the_environment_and_that_before_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag that was not given (None) leaves the word to the environment."""
    monkeypatch.setenv("STREAMDRIFT_BUS", "kafka://broker:9092")
    monkeypatch.setenv("STREAMDRIFT_INSTANCE", "one")
    settings = load_settings(bus="sqlite:///other.db", instance=None)
    assert settings.bus == "sqlite:///other.db"
    assert settings.instance == "one"


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose files pass variables that nobody set as empty text."""
    monkeypatch.setenv("STREAMDRIFT_BUS", "")
    assert load_settings().bus == "sqlite:///streamdrift.db"


def test_variables_of_others_under_the_prefix_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kubernetes sets such variables in every container beside a service named streamdrift."""
    monkeypatch.setenv("STREAMDRIFT_SERVICE_HOST", "10.0.0.7")
    assert load_settings().source == "/streamdrift"


def test_options_of_the_kafka_client_are_a_json_object(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values keep their JSON type."""
    monkeypatch.setenv(
        "STREAMDRIFT_KAFKA_PYTHON_OPTIONS", '{"security_protocol": "SASL_SSL", "request_timeout_ms": 5000}'
    )
    assert load_settings().kafka_python_options == {"security_protocol": "SASL_SSL", "request_timeout_ms": 5000}


def test_all_wrong_settings_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the variables, as the user would have to write them."""
    monkeypatch.setenv("STREAMDRIFT_LEDGER_PARTITIONS", "0")
    monkeypatch.setenv("STREAMDRIFT_LOG_LEVEL", "loud")
    with pytest.raises(ConfigurationError) as caught:
        load_settings(prefix="with space")
    for name in ("STREAMDRIFT_LEDGER_PARTITIONS: ", "STREAMDRIFT_LOG_LEVEL: ", "STREAMDRIFT_PREFIX: "):
        assert name in str(caught.value)


def test_a_setting_of_the_wrong_form_is_refused_by_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not by the pattern that it does not match."""
    monkeypatch.setenv("STREAMDRIFT_WEB", "8801")
    with pytest.raises(
        ConfigurationError, match=r"STREAMDRIFT_WEB: not in the form of this setting: host:port at which"
    ):
        load_settings()


@pytest.mark.parametrize("text", ['{"sasl_plain_password": "hunter2"', '["hunter2"]', '"hunter2"'])
def test_a_mistyped_secret_is_not_repeated(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Neither the message nor a chained exception shows what was in the variable."""
    monkeypatch.setenv("STREAMDRIFT_KAFKA_PYTHON_OPTIONS", text)
    with pytest.raises(ConfigurationError, match="STREAMDRIFT_KAFKA_PYTHON_OPTIONS") as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_settings_print_without_the_options_of_the_client() -> None:
    """They may hold a password."""
    assert "hunter2" not in repr(load_settings(kafka_python_options={"sasl_plain_password": "hunter2"}))
