"""Why no connection to a cluster comes about, told apart: unreachable, TLS, authentication.

The client tries again until its time is over and then says only that; so this goes the same way once, step by step and
with nothing in between, and the step that fails is the answer: name, port, TLS, a first answer, SASL, and whether the
brokers are where the cluster says they are. What the user may do there is `kafka_rights`'. A message never carries
what was sent.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Mapping, Sequence
from contextlib import closing

from kafka import errors as kafka_errors
from kafka.net.manager import KafkaConnectionManager
from kafka.net.sasl import get_sasl_mechanism
from kafka.net.transport import KafkaSSLTransport

from monitor.bus.kafka_security import ENCRYPTED, MECHANISMS
from monitor.bus.kafka_wire import (
    ConnectionClosed,
    NoKafka,
    advertised_brokers,
    ask,
    connected,
    content_of,
    nullable_text,
    sized,
    speaks_tls,
    text,
    texts,
    tls_alert,
)
from monitor.errors import BusError, BusUnreachable

_HANDSHAKE, _VERSIONS, _AUTHENTICATE, _METADATA = (17, 1), (18, 0), (36, 1), (3, 1)
_TLS_RECORD = range(0x14, 0x18)

_HOST_MISMATCH = (62, 64)
_OUT_OF_DATE = (9, 10)
_PROTOCOL, _SET_PROTOCOL = "STREAMDRIFT_KAFKA_SECURITY_PROTOCOL", "set STREAMDRIFT_KAFKA_SECURITY_PROTOCOL"


def diagnosis(servers: Sequence[str], options: Mapping[str, object]) -> BusError | None:
    """Return what keeps clients from the cluster, or None if one of the servers lets them in.

    `servers`: host:port. `options`: the client's, by kafka-python's names. If the servers differ, the
    answer is what was found furthest on the way.
    """
    if options.get("proxy_url") or options.get("socks5_proxy"):
        return None  # the way there is the proxy's to know
    found: list[BusError] = []
    for server in servers:
        problem = _Visit(server, options).problem()
        if problem is None:
            return None
        found.append(problem)
    return min(found, key=lambda problem: isinstance(problem, BusUnreachable))


class _Visit:
    """One attempt at one server."""

    def __init__(self, server: str, options: Mapping[str, object]) -> None:
        self._server = server
        host, _, port = server.rpartition(":")
        self._place = (host.strip("[]"), int(port))
        self._options = options
        self._protocol = str(options.get("security_protocol", "PLAINTEXT"))

    def problem(self) -> BusError | None:
        try:
            with (
                closing(connected(self._server, *self._place)) as plain,
                closing(self._encrypted(plain)) as connection,
            ):
                self._first_answer(connection)
                if self._protocol.startswith("SASL_"):
                    if self._options.get("sasl_mechanism") not in MECHANISMS:
                        return None  # Kerberos and its like: the client's to try
                    self._authenticate(connection)
                self._brokers(connection)
        except BusError as error:
            return error
        except OSError as error:
            return self._failed(f"the connection broke: {error.strerror or error}", "look at the broker's log")
        return None

    def _failed(self, what: str, remedy: str) -> BusError:
        return BusError(f"kafka://{self._server}: {what}; {remedy}")

    # ------------------------------------------------------------------ TLS

    def _encrypted(self, plain: socket.socket) -> socket.socket:
        if not ENCRYPTED.get(self._protocol, False):
            return plain
        chosen = {name: self._options[name] for name in KafkaSSLTransport.DEFAULT_CONFIG if name in self._options}
        # The context of the client itself, so that what is tried here is what it will do.
        context = KafkaSSLTransport._build_ssl_context(KafkaSSLTransport.DEFAULT_CONFIG | chosen)
        host = self._place[0]
        try:
            return context.wrap_socket(plain, server_hostname=host)  # type: ignore[no-any-return] # no types
        except ssl.SSLCertVerificationError as error:
            raise self._untrusted(error, host) from None
        except (ssl.SSLError, ConnectionError) as error:
            if alert := tls_alert(error):
                raise self._refused_certificate(alert) from None
            raise self._failed(
                "TLS: what listens there does not speak TLS",
                f"{_SET_PROTOCOL} to that of the listener, or name the port of the one with TLS",
            ) from None
        except TimeoutError:
            raise self._failed("TLS: no answer to the handshake", "is that the port of a listener with TLS?") from None

    def _untrusted(self, error: ssl.SSLCertVerificationError, host: str) -> BusError:
        if error.verify_code in _HOST_MISMATCH:
            return self._failed(
                f"TLS: the broker's certificate is not for {host!r}", "use a name that stands in the certificate"
            )
        if error.verify_code in _OUT_OF_DATE:
            return self._failed(f"TLS: the broker's {error.verify_message}", "renew it, or set this machine's clock")
        return self._failed(
            f"TLS: the broker's certificate is not trusted ({error.verify_message})",
            "set STREAMDRIFT_KAFKA_CA_FILE to the authority that signed it",
        )

    def _refused_certificate(self, alert: str) -> BusError:
        if "ssl_certfile" in self._options:
            return self._failed(
                f"TLS: the broker does not accept the client's certificate ({alert})",
                "set STREAMDRIFT_KAFKA_CERT_FILE to one signed by an authority that it trusts",
            )
        return self._failed(
            f"TLS: the broker wants a client's certificate ({alert})",
            "set STREAMDRIFT_KAFKA_CERT_FILE and STREAMDRIFT_KAFKA_KEY_FILE",
        )

    # ------------------------------------------------------------------ Kafka's protocol

    def _first_answer(self, connection: socket.socket) -> None:
        """Every listener tells its versions, before any authentication; TLS 1.3 refuses certificates only here."""
        try:
            ask(connection, _VERSIONS)
            return
        except NoKafka as other:
            if other.first[0] not in _TLS_RECORD:
                raise self._failed("what listens there is no Kafka broker", "correct host and port") from None
        except ConnectionClosed as closed:
            if ENCRYPTED.get(self._protocol, False):
                raise self._refused_certificate(closed.alert or "it closed the connection") from None
            if not speaks_tls(*self._place):
                raise self._failed(
                    "what listens there does not answer as a broker does", "is that a broker's port?"
                ) from None
        secured = "SASL_SSL" if self._protocol.startswith("SASL_") else "SSL or SASL_SSL"
        raise self._failed(f"TLS: the listener is encrypted, and {self._protocol} is not", f"{_SET_PROTOCOL}={secured}")

    def _authenticate(self, connection: socket.socket) -> None:
        name = str(self._options.get("sasl_mechanism"))
        answer = self._ask(connection, _HANDSHAKE, text(name))
        (code,), rest = struct.unpack_from(">h", answer), answer[2:]
        error = kafka_errors.for_code(code)
        if error is kafka_errors.IllegalSaslStateError:
            without = "SSL" if ENCRYPTED[self._protocol] else "PLAINTEXT"
            raise self._failed("authentication: the listener asks nobody for credentials", f"{_SET_PROTOCOL}={without}")
        if error is kafka_errors.UnsupportedSaslMechanismError:
            enabled = ", ".join(texts(rest))
            raise self._failed(
                f"authentication: the listener does not take {name}, but {enabled}",
                "set STREAMDRIFT_KAFKA_SASL_MECHANISM",
            )
        config = KafkaConnectionManager.DEFAULT_CONFIG | dict(self._options)
        mechanism = get_sasl_mechanism(name)(host=self._place[0], **config)
        while not mechanism.is_done():
            answer = self._ask(connection, _AUTHENTICATE, sized(mechanism.auth_bytes()))
            (code,) = struct.unpack_from(">h", answer)
            if code:
                raise self._unauthenticated(name, nullable_text(answer[2:])[0])
            _message, rest = nullable_text(answer[2:])
            try:
                mechanism.receive(content_of(rest))
            except (ValueError, KeyError):
                raise self._unauthenticated(name, "it does not prove that it knows the password") from None

    def _unauthenticated(self, mechanism: str, answer: str) -> BusError:
        remedy = (
            "renew the token in STREAMDRIFT_KAFKA_TOKEN_FILE"
            if mechanism == "OAUTHBEARER"
            else "correct STREAMDRIFT_KAFKA_USERNAME or the password"
        )
        return self._failed(f"authentication: {mechanism} failed: the broker says {answer!r}", remedy)

    def _ask(self, connection: socket.socket, request: tuple[int, int], body: bytes) -> bytes:
        try:
            return ask(connection, request, body)
        except ConnectionClosed:
            raise self._failed("authentication: the broker closed the connection", "look at the broker's log") from None
        except NoKafka:
            raise self._failed("what listens there is no Kafka broker", "correct host and port") from None

    def _brokers(self, connection: socket.socket) -> None:
        """The cluster names its brokers, and at least one of them is where it says."""
        try:
            answer = ask(connection, _METADATA, struct.pack(">i", 0))
        except (ConnectionClosed, NoKafka):
            if self._protocol.startswith("SASL_"):
                raise self._failed("the broker closes the connection after authentication", "look at its log") from None
            wanted = "SASL_SSL" if ENCRYPTED[self._protocol] else "SASL_PLAINTEXT"
            raise self._failed(
                "authentication: the listener wants credentials",
                f"{_SET_PROTOCOL}={wanted}, and the mechanism and credentials of a user",
            ) from None
        advertised = list(advertised_brokers(answer))
        for server, host, port in advertised:
            try:
                connected(server, host, port).close()
                return
            except BusUnreachable as error:
                problem = error
        if advertised:
            raise BusUnreachable(
                f"kafka://{self._server}: answers, but its brokers can't be reached under the names that it gives:"
                f" {problem}; correct the broker's advertised.listeners, or make those names known here"
            )
