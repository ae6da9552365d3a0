"""From settings to the security options of every Kafka client, by kafka-python's names.

What can be known to be wrong is refused here, before anybody is connected to, and all of it at once; what a broker
thinks of the rest is `kafka_probe`'s. No message carries a secret. Options that come through `kafka_python_options` are
held to the same rules, and may not say again what a setting of its own says.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import SecretStr

from monitor.bus.secret_file import read_secret
from monitor.errors import ConfigurationError
from monitor.settings import ENV_PREFIX, Settings

OPTIONS = {
    "kafka_security_protocol": "security_protocol",
    "kafka_sasl_mechanism": "sasl_mechanism",
    "kafka_username": "sasl_plain_username",
    "kafka_password": "sasl_plain_password",
    "kafka_token_file": "sasl_oauth_token_provider",
    "kafka_ca_file": "ssl_cafile",
    "kafka_cert_file": "ssl_certfile",
    "kafka_key_file": "ssl_keyfile",
    "kafka_key_password": "ssl_password",
}
"""Our settings, and the client's options that they become."""

OURS = (
    "acks",
    "allow_auto_create_topics",
    "auto_offset_reset",
    "bootstrap_servers",
    "enable_auto_commit",
    "enable_idempotence",
    "group_id",
    "group_instance_id",
    "isolation_level",
    "transactional_id",
)
"""Options of the client that exactly-once stands on: they are not for others to set."""

SECRETS = ("kafka_password", "kafka_key_password")
"""Settings that can stand in a file instead, named by `<setting>_file`."""

ENCRYPTED = {"SSL": True, "SASL_SSL": True, "PLAINTEXT": False, "SASL_PLAINTEXT": False}
MECHANISMS = {
    "PLAIN": ("kafka_username", "kafka_password"),
    "SCRAM-SHA-256": ("kafka_username", "kafka_password"),
    "SCRAM-SHA-512": ("kafka_username", "kafka_password"),
    "OAUTHBEARER": ("kafka_token_file",),
}
"""SASL mechanisms that have settings, and the settings that they need."""
_CREDENTIALS = ("kafka_username", "kafka_password", "kafka_token_file")
_TLS = ("kafka_ca_file", "kafka_cert_file", "kafka_key_file", "kafka_key_password")


def client_options(settings: Settings) -> dict[str, object]:
    """Options for every Kafka client; raises ConfigurationError that names all that is wrong, and no secret."""
    given: dict[str, object] = dict(settings.kafka_python_options)
    problems: list[str] = []
    if OPTIONS["kafka_token_file"] in given:
        problems.append(f"{_env('kafka_python_options')}: a token provider is no JSON; set {_env('kafka_token_file')}")
    if found := [name for name in OURS if name in given]:
        problems.append(f"{_env('kafka_python_options')}: Streamdrift sets {', '.join(found)} itself")
    for name, value in _given(settings, problems):
        if OPTIONS[name] in given:
            problems.append(f"{_env(name)}: {OPTIONS[name]} is in {_env('kafka_python_options')} too; say it once")
        given[OPTIONS[name]] = value
    problems += _contradictions(given, settings.kafka_allow_plaintext_credentials)
    if not problems:
        problems += _unusable_files(given)
    if problems:
        raise ConfigurationError("; ".join(problems))
    return given


def _given(settings: Settings, problems: list[str]) -> Iterator[tuple[str, object]]:
    """Settings of security that were set, secrets as text, whichever way they came."""
    for name in OPTIONS:
        if name in SECRETS:
            secret = _secret(settings, name, problems)
            if secret is not None:
                yield name, secret
        elif name in settings.model_fields_set and (value := getattr(settings, name)) is not None:
            yield name, _option(value, name, problems)


def _option(value: object, name: str, problems: list[str]) -> object:
    """A setting as the client takes it."""
    if name == "kafka_token_file" and isinstance(value, Path):
        from monitor.bus.kafka_token import TokenFile  # kafka-python is imported only when it is asked for

        try:
            return TokenFile(value)
        except ConfigurationError as error:
            problems.append(f"{_env(name)}: {error}")
    return str(value) if isinstance(value, Path) else value


def _secret(settings: Settings, name: str, problems: list[str]) -> str | None:
    value: SecretStr | None = getattr(settings, name)
    path: Path | None = getattr(settings, f"{name}_file")
    if value is not None and path is not None:
        problems.append(f"{_env(name)} and {_env(name)}_FILE: give one of them")
    elif path is not None:
        try:
            return read_secret(path)
        except ConfigurationError as error:
            problems.append(f"{_env(name)}_FILE: {error}")
            return ""
    return None if value is None else value.get_secret_value()


def _contradictions(given: Mapping[str, object], plaintext_allowed: bool) -> Iterator[str]:
    """What does not go together, each with its remedy."""
    protocol = given.get("security_protocol", "PLAINTEXT")
    if not isinstance(protocol, str) or protocol not in ENCRYPTED:
        yield f"{_env('kafka_security_protocol')}: Input should be {', '.join(ENCRYPTED)}"
        return
    mechanism = given.get("sasl_mechanism")
    if protocol.startswith("SASL_"):
        yield from _sasl(given, protocol, mechanism, plaintext_allowed)
    elif found := [_env(name) for name in ("kafka_sasl_mechanism", *_CREDENTIALS) if OPTIONS[name] in given]:
        yield f"{', '.join(found)}: {protocol} sends no credentials; set {_env('kafka_security_protocol')}=SASL_SSL"
    if not ENCRYPTED[protocol] and (found := [_env(name) for name in _TLS if OPTIONS[name] in given]):
        yield f"{', '.join(found)}: {protocol} is not encrypted; set {_env('kafka_security_protocol')}=SSL or SASL_SSL"
    if "ssl_certfile" not in given and (found := [_env(name) for name in _TLS[2:] if OPTIONS[name] in given]):
        yield f"{', '.join(found)}: there is no certificate; set {_env('kafka_cert_file')}"


def _sasl(given: Mapping[str, object], protocol: str, mechanism: object, plaintext_allowed: bool) -> Iterator[str]:
    if not isinstance(mechanism, str):
        yield f"{_env('kafka_sasl_mechanism')}: {protocol} needs one of {', '.join(MECHANISMS)}"
        return
    if missing := [_env(name) for name in MECHANISMS.get(mechanism, ()) if not given.get(OPTIONS[name])]:
        yield f"{', '.join(missing)}: {mechanism} needs {'it' if len(missing) == 1 else 'them'}"
    # Kerberos proves the user without handing over anything that another could use; all others do.
    if protocol == "SASL_PLAINTEXT" and mechanism != "GSSAPI" and not plaintext_allowed:
        yield (
            f"{_env('kafka_security_protocol')}: SASL_PLAINTEXT shows credentials to everybody on the way; set "
            f"SASL_SSL, or {_env('kafka_allow_plaintext_credentials')}=true where the network is trusted"
        )


def _unusable_files(given: Mapping[str, object]) -> Iterator[str]:
    """Certificates and keys that can't be read, or that don't belong together."""
    for name in ("kafka_ca_file", "kafka_cert_file", "kafka_key_file"):
        if (path := given.get(OPTIONS[name])) is not None:
            try:
                Path(str(path)).open("rb").close()
            except OSError as error:
                yield f"{_env(name)}: {path}: {error.strerror or 'can not be read'}"
                return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ca, cert, key, password = (given.get(OPTIONS[name]) for name in _TLS)
    try:
        if ca is not None:
            context.load_verify_locations(str(ca))
    except ssl.SSLError:
        yield f"{_env('kafka_ca_file')}: {ca}: holds no certificate in PEM"
    try:
        if cert is not None:
            # Without a password OpenSSL would ask for one on the terminal.
            context.load_cert_chain(str(cert), None if key is None else str(key), lambda: str(password or ""))
    except (ssl.SSLError, ValueError):
        yield (
            f"{_env('kafka_cert_file')}: {cert}: certificate and key can't be used: not PEM, not of each other, or "
            f"another {_env('kafka_key_password')}"
        )


def _env(name: str) -> str:
    """The setting as the user would write it."""
    return ENV_PREFIX + name.upper()
