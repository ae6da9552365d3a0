"""From settings to the client's security options: what is refused before anybody is connected to, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from monitor.bus.address import open_bus
from monitor.bus.kafka_security import SECRETS, client_options
from monitor.bus.kafka_token import TokenFile
from monitor.errors import ConfigurationError
from monitor.settings import ENV_PREFIX, Settings, load_settings
from tests.kafka.certificates import Authority, needs_openssl

CANARY = "canary-hunter2"
SCRAM = {
    "kafka_security_protocol": "SASL_SSL",
    "kafka_sasl_mechanism": "SCRAM-SHA-512",
    "kafka_username": "app",
}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(ENV_PREFIX + name.upper(), raising=False)


def refused(**settings: Any) -> str:
    """The message of the refusal, which carries no secret."""
    with pytest.raises(ConfigurationError) as caught:
        client_options(load_settings(**settings))
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None
    return str(caught.value)


def test_without_settings_there_are_no_options() -> None:
    """So the embedded bus takes none by accident; a named PLAINTEXT is an option."""
    assert client_options(load_settings()) == {}
    assert client_options(load_settings(kafka_security_protocol="PLAINTEXT")) == {"security_protocol": "PLAINTEXT"}


@needs_openssl
def test_settings_become_options_of_the_client(tmp_path: Path) -> None:
    """By kafka-python's names, together with those that were passed through."""
    authority = Authority(tmp_path, "authority")
    made = authority.sign("app", password=CANARY)
    options = client_options(
        load_settings(
            **SCRAM,
            kafka_password=CANARY,
            kafka_ca_file=authority.ca,
            kafka_cert_file=made.cert,
            kafka_key_file=made.key,
            kafka_key_password=CANARY,
            kafka_python_options={"request_timeout_ms": 5000},
        )
    )
    assert options == {
        "request_timeout_ms": 5000,
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "app",
        "sasl_plain_password": CANARY,
        "ssl_cafile": str(authority.ca),
        "ssl_certfile": str(made.cert),
        "ssl_keyfile": str(made.key),
        "ssl_password": CANARY,
    }


def test_every_secret_can_stand_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One newline at its end is left out, of either kind; blanks belong to the secret."""
    for content in (b" s3cret \n", b" s3cret \r\n", b" s3cret "):
        (tmp_path / "secret").write_bytes(content)
        monkeypatch.setenv("STREAMDRIFT_KAFKA_PASSWORD_FILE", str(tmp_path / "secret"))
        assert " s3cret " in client_options(load_settings(**SCRAM)).values()
    (tmp_path / "secret").write_bytes(b"two\n\n")
    assert "two\n" in client_options(load_settings(**SCRAM)).values()
    assert {f"{name}_file" for name in SECRETS} <= set(Settings.model_fields)


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_comes_one_way(name: str, tmp_path: Path) -> None:
    """The value and the file at once are refused, whichever would win."""
    (tmp_path / "secret").write_text(CANARY)
    message = refused(**SCRAM, **{name: CANARY, f"{name}_file": tmp_path / "secret"})
    assert f"STREAMDRIFT_{name.upper()} and STREAMDRIFT_{name.upper()}_FILE: give one of them" in message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "No such file"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff", "not UTF-8"),
        (b"x" * 70_000, "too large"),
    ],
)
def test_a_file_without_a_secret_is_named(content: bytes | None, expected: str, tmp_path: Path) -> None:
    """With what is wrong, and nothing of what is in it."""
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    message = refused(**SCRAM, kafka_password_file=path)
    assert f"STREAMDRIFT_KAFKA_PASSWORD_FILE: {path}: " in message
    assert expected in message


@pytest.mark.parametrize("through_options", [False, True])
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_credentials_over_an_open_connection_need_a_flag(mechanism: str, through_options: bool) -> None:
    """However they come; with the flag they are taken."""
    given: dict[str, Any] = (
        {
            "kafka_python_options": {
                "security_protocol": "SASL_PLAINTEXT",
                "sasl_mechanism": mechanism,
                "sasl_plain_username": "app",
                "sasl_plain_password": CANARY,
            }
        }
        if through_options
        else {
            "kafka_security_protocol": "SASL_PLAINTEXT",
            "kafka_sasl_mechanism": mechanism,
            "kafka_username": "app",
            "kafka_password": CANARY,
        }
    )
    assert "STREAMDRIFT_KAFKA_ALLOW_PLAINTEXT_CREDENTIALS=true" in refused(**given)
    options = client_options(load_settings(**given, kafka_allow_plaintext_credentials=True))
    assert options["sasl_plain_password"] == CANARY


def test_a_token_over_an_open_connection_needs_the_flag_too(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a.b.c")
    given = {
        "kafka_security_protocol": "SASL_PLAINTEXT",
        "kafka_sasl_mechanism": "OAUTHBEARER",
        "kafka_token_file": tmp_path / "token",
    }
    assert "STREAMDRIFT_KAFKA_ALLOW_PLAINTEXT_CREDENTIALS=true" in refused(**given)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"kafka_username": "app", "kafka_password": CANARY}, "PLAINTEXT sends no credentials"),
        ({"kafka_python_options": {"sasl_plain_password": CANARY}}, "KAFKA_PASSWORD: PLAINTEXT sends no credentials"),
        ({"kafka_security_protocol": "SSL", "kafka_password": CANARY}, "SSL sends no credentials"),
        ({"kafka_security_protocol": "SASL_SSL"}, "SASL_MECHANISM: SASL_SSL needs one of PLAIN"),
        (SCRAM, "KAFKA_PASSWORD: SCRAM-SHA-512 needs it"),
        (
            {"kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": "PLAIN"},
            "KAFKA_USERNAME, STREAMDRIFT_KAFKA_PASSWORD: PLAIN needs them",
        ),
        (
            {"kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": "OAUTHBEARER"},
            "TOKEN_FILE: OAUTHBEARER needs",
        ),
        ({"kafka_python_options": {"sasl_oauth_token_provider": CANARY}}, "a token provider is no JSON"),
        (
            {"kafka_python_options": {"security_protocol": "sasl_ssl"}},
            "should be SSL, SASL_SSL, PLAINTEXT, SASL_PLAINTEXT",
        ),
        (
            {"kafka_python_options": {"group_id": "x", "isolation_level": "read_uncommitted"}},
            "STREAMDRIFT_KAFKA_PYTHON_OPTIONS: Streamdrift sets group_id, isolation_level itself",
        ),
        ({"kafka_ca_file": "/etc/ca.pem"}, "STREAMDRIFT_KAFKA_CA_FILE: PLAINTEXT is not encrypted"),
        ({"kafka_security_protocol": "SSL", "kafka_key_password": CANARY}, "KEY_PASSWORD: there is no certificate"),
        ({"kafka_security_protocol": "SSL", "kafka_ca_file": "/no/ca.pem"}, "KAFKA_CA_FILE: /no/ca.pem: No such file"),
        (
            {"kafka_security_protocol": "SSL", "kafka_python_options": {"security_protocol": "SSL"}},
            "security_protocol is in STREAMDRIFT_KAFKA_PYTHON_OPTIONS too; say it once",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_with_its_remedy(settings: dict[str, Any], expected: str) -> None:
    assert expected in refused(**settings)


def test_all_that_is_wrong_is_reported_at_once(tmp_path: Path) -> None:
    """One start, one message."""
    message = refused(
        kafka_security_protocol="SASL_PLAINTEXT", kafka_sasl_mechanism="PLAIN", kafka_password_file=tmp_path / "none"
    )
    assert message.count("; STREAMDRIFT_") == 2


@needs_openssl
def test_files_that_are_no_certificates_are_named(tmp_path: Path) -> None:
    """Neither a wrong password, nor another's key, nor a text file waits for a broker to be noticed."""
    authority, junk = Authority(tmp_path, "authority"), tmp_path / "junk.pem"
    junk.write_text(CANARY)
    app, other = authority.sign("app", password=CANARY), authority.sign("other")
    tls = {"kafka_security_protocol": "SSL"}
    assert "KAFKA_CA_FILE: " in refused(**tls, kafka_ca_file=junk)
    for wrong in (
        {"kafka_cert_file": junk},
        {"kafka_cert_file": app.cert, "kafka_key_file": other.key},
        {"kafka_cert_file": app.cert, "kafka_key_file": app.key},
        {"kafka_cert_file": app.cert, "kafka_key_file": app.key, "kafka_key_password": "wrong"},
    ):
        assert "certificate and key can't be used" in refused(**tls, **wrong)


def test_a_token_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """Somebody else keeps it fresh; what is no token is refused without a word of it."""
    path = tmp_path / "token"
    path.write_text("first.token\n")
    provider = TokenFile(path)
    assert provider.token() == "first.token"
    path.write_text("second.token")
    assert provider.token() == "second.token"
    path.write_text(f"{CANARY}\x01auth=other")
    with pytest.raises(ConfigurationError, match="holds no bearer token") as caught:
        provider.token()
    assert CANARY not in str(caught.value)


def test_secrets_are_in_no_representation() -> None:
    """Neither of the settings nor of what carries them on."""
    settings = load_settings(**SCRAM, kafka_password=CANARY, kafka_key_password=CANARY)
    assert CANARY not in repr(settings)
    assert CANARY not in str(settings)


def test_an_address_with_a_password_in_it_is_refused_unread() -> None:
    """It would be in the list of processes, in messages and in logs."""
    with pytest.raises(ConfigurationError, match="STREAMDRIFT_KAFKA_PASSWORD_FILE") as caught:
        open_bus(f"kafka://app:{CANARY}@broker:9092")
    assert CANARY not in str(caught.value)
