"""Settings depend on the place and not on the log: they come from flags and the environment (`STREAMDRIFT_...`)."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, JsonValue, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from monitor.errors import ConfigurationError

ENV_PREFIX = "STREAMDRIFT_"

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "json", "console"]
Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]


class Settings(BaseSettings):
    """Settings of one process. An empty variable counts as unset; `load_settings` is the way in."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_ignore_empty=True, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    bus: str = Field("sqlite:///streamdrift.db", description="kafka://host:port[,host:port] or sqlite:///path")
    config: Path = Field(Path("alerts.yaml"), description="file with models, detectors and rules")
    prefix: str = Field(
        "streamdrift.", pattern=r"^[A-Za-z0-9._-]{0,100}$", description="first part of our topics' names"
    )
    instance: str = Field(
        default_factory=socket.gethostname,
        pattern=r"^[A-Za-z0-9._-]{1,100}$",
        description="name of this process in its group; no two at once may share it (default: host name)",
    )
    source: str = Field("/streamdrift", min_length=1, description="CloudEvents `source` of our messages")
    links_url: str = Field("http://localhost:8787", pattern=r"^https?://\S+$", description="base of links in messages")
    web: str | None = Field(
        None,
        pattern=r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$",
        description="host:port at which `run` answers /live, /ready and /metrics (default: nowhere)",
    )
    ledger_partitions: int = Field(8, ge=1, le=1024, description="partitions of the ledger, when it is created")
    snapshot_panes: int = Field(60, ge=1, le=100_000, description="most panes of a model between two snapshots")
    commit_interval_ms: int = Field(1000, ge=10, le=60_000, description="time between commits")
    memory_mb: int = Field(
        1024, ge=128, description="memory budget of each process; above it profile reads no further ahead than it must"
    )
    command_key_file: Path | None = Field(
        None, description="file that holds the key with which commands are signed; with it unsigned ones are refused"
    )
    log_level: LogLevel = "info"
    log_format: LogFormat = Field("auto", description="auto: console on a terminal, else json")
    kafka_security_protocol: Protocol = Field(
        "PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL, as the broker's listener has it"
    )
    kafka_sasl_mechanism: Mechanism | None = Field(
        None, description="PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER; for the SASL protocols"
    )
    kafka_username: str | None = Field(None, description="user of PLAIN and SCRAM")
    kafka_password: SecretStr | None = Field(None, description="password of PLAIN and SCRAM")
    kafka_password_file: Path | None = Field(None, description="file that holds the password instead")
    kafka_token_file: Path | None = Field(
        None, description="file that holds the token of OAUTHBEARER, read again for every connection"
    )
    kafka_ca_file: Path | None = Field(
        None, description="PEM file of the authorities that sign brokers' certificates (default: the system's)"
    )
    kafka_cert_file: Path | None = Field(None, description="PEM file of the client's certificate, for mutual TLS")
    kafka_key_file: Path | None = Field(None, description="PEM file of its private key (default: the certificate's)")
    kafka_key_password: SecretStr | None = Field(None, description="password of the private key")
    kafka_key_password_file: Path | None = Field(None, description="file that holds the key's password instead")
    kafka_allow_plaintext_credentials: bool = Field(
        False, description="allow SASL over an unencrypted connection: everybody on the way can use the credentials"
    )
    kafka_python_options: dict[str, JsonValue] = Field(
        default_factory=dict, repr=False, description="JSON object of options passed to kafka-python's clients"
    )


def load_settings(**flags: Any) -> Settings:
    """Return the settings of this process: a flag unless it is None, else the environment, else the default.

    Raises a ConfigurationError that names all wrong settings and never their values, because some hold secrets.
    """
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        problems = [f"{ENV_PREFIX}{str(detail['loc'][0]).upper()}: {_reason(detail)}" for detail in found]
    except SettingsError:
        problems = [f"{ENV_PREFIX}KAFKA_PYTHON_OPTIONS: Input should be a JSON object"]
    # Raised here and not above, so that no chained exception carries the values.
    raise ConfigurationError("; ".join(problems))


def _reason(detail: ErrorDetails) -> str:
    """Return what is wrong with a setting; instead of a pattern, what the setting is."""
    if detail["type"] != "string_pattern_mismatch":
        return detail["msg"]
    return f"not in the form of this setting: {Settings.model_fields[str(detail['loc'][0])].description}"
