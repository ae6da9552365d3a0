"""A broker with a listener for each way to come in: TLS, mutual TLS, SASL with and without TLS; and with rights.

Users: `app`, with the rights that docs/operations.md asks for (given by the test), and `poor`, who has none. The open
listener of the tests' own administrator is the base broker's address; whoever comes in there, or over TLS without a
certificate, is the super user ANONYMOUS.
"""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path

from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    KafkaAdminClient,
    ResourcePattern,
    ResourceType,
)

from tests.broker import BRIEF, Broker, free_ports
from tests.kafka.certificates import Authority

APP, APP_PASSWORD = "app", "canary-7d1f-app-password"
POOR, POOR_PASSWORD = "poor", "canary-7d1f-poor-password"
LISTENERS = ("TLS", "MTLS", "SASLTLS", "SASLOPEN", "FOREIGN")
LOGIN = "org.apache.kafka.common.security"

PROPERTIES = """
listeners={plain},{listeners},{controller}
advertised.listeners={plain},{listeners}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,\
TLS:SSL,MTLS:SSL,SASLTLS:SASL_SSL,SASLOPEN:SASL_PLAINTEXT,FOREIGN:SSL
ssl.keystore.type=PEM
ssl.keystore.location={store}
ssl.truststore.type=PEM
ssl.truststore.location={ca}
listener.name.foreign.ssl.keystore.type=PEM
listener.name.foreign.ssl.keystore.location={foreign}
listener.name.mtls.ssl.client.auth=required
ssl.principal.mapping.rules=RULE:^CN=(.*)$/$1/
listener.name.sasltls.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
listener.name.saslopen.sasl.enabled.mechanisms=PLAIN
listener.name.sasltls.plain.sasl.jaas.config={plain_login}
listener.name.saslopen.plain.sasl.jaas.config={plain_login}
listener.name.sasltls.scram-sha-256.sasl.jaas.config={login}.scram.ScramLoginModule required;
listener.name.sasltls.scram-sha-512.sasl.jaas.config={login}.scram.ScramLoginModule required;
listener.name.sasltls.oauthbearer.sasl.jaas.config={login}.oauthbearer.OAuthBearerLoginModule required \
unsecuredLoginStringClaim_sub="broker";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
auto.create.topics.enable=false
"""


Right = tuple[str, str, str]
"""Operation, kind of resource, and its name; a name that ends in * is a prefix."""


def everything(name: str) -> list[Right]:
    """The rights that docs/operations.md asks for, on all resources of a name."""
    topics = [(operation, "TOPIC", name) for operation in ("CREATE", "READ", "WRITE", "DESCRIBE_CONFIGS")]
    return [*topics, ("READ", "GROUP", name), ("WRITE", "TRANSACTIONAL_ID", name)]


def _acl(user: str, operation: str, kind: str, name: str) -> ACL:
    how = ACLResourcePatternType.PREFIXED if name.endswith("*") else ACLResourcePatternType.LITERAL
    resource = ResourcePattern(ResourceType[kind], name.removesuffix("*"), how)
    return ACL(f"User:{user}", "*", ACLOperation[operation], ACLPermissionType.ALLOW, resource)


class SecureBroker(Broker):
    """`listener` gives the address of each of LISTENERS; FOREIGN shows a certificate of another host."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder, "authority")
        self.stranger = Authority(folder, "stranger")
        self._ports = dict(zip(LISTENERS, free_ports(len(LISTENERS)), strict=True))
        self._server = self.authority.sign("broker", ("DNS:localhost", "IP:127.0.0.1"))
        self._elsewhere = self.authority.sign("elsewhere", ("DNS:elsewhere.example",))
        super().__init__(folder, java=BRIEF)

    def listener(self, name: str) -> str:
        return f"127.0.0.1:{self._ports[name]}"

    def allow(self, user: str, *rights: Right) -> None:
        """Gives rights, as an administrator."""
        admin = KafkaAdminClient(bootstrap_servers=self.address)
        admin.create_acls([_acl(user, *right) for right in rights])
        admin.close()

    def take_away(self, user: str, *rights: Right) -> None:
        """Takes rights back that were given."""
        admin = KafkaAdminClient(bootstrap_servers=self.address)
        filters = [_acl(user, *right) for right in rights]
        admin.delete_acls(
            [ACLFilter(f.principal, f.host, f.operation, f.permission_type, f.resource_pattern) for f in filters]
        )
        admin.close()

    def _java(self, *arguments: str) -> None:
        """Formats with our listeners and users too: of two lines with one key the later counts."""
        base = dict(line.split("=", 1) for line in self._properties.read_text().splitlines() if "=" in line)
        plain, controller = base["listeners"].split(",")
        users = {APP: APP_PASSWORD, POOR: POOR_PASSWORD}
        own = PROPERTIES.format(
            plain=plain,
            controller=controller,
            listeners=",".join(f"{name}://{self.listener(name)}" for name in LISTENERS),
            store=self._server.store,
            foreign=self._elsewhere.store,
            ca=self.authority.ca,
            login=LOGIN,
            plain_login=f"{LOGIN}.plain.PlainLoginModule required "
            + " ".join(f'user_{name}="{password}"' for name, password in users.items())
            + ";",
        )
        with self._properties.open("a") as file:
            file.write(own)
        scram = [
            f"{mechanism}=[name={name},password={password}]"
            for name, password in users.items()
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
        ]
        super()._java(*arguments, *(word for user in scram for word in ("--add-scram", user)))


def token(user: str, seconds: int = 3600) -> str:
    """A token of OAUTHBEARER that nobody has signed: Kafka's own validator for tests takes it."""
    now = int(time.time())
    parts: list[dict[str, object]] = [{"alg": "none"}, {"sub": user, "iat": now, "exp": now + seconds}]
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."
