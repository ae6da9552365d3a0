"""What a user may do on a cluster, against what a process needs: all that is lacking at once, with the command for it.

Nothing is tried out: the broker tells the operations that it would allow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from kafka import errors as kafka_errors

from monitor.bus.port import Needs
from monitor.errors import BusError

TOPIC, GROUP, TRANSACTIONAL_ID = "topic", "group", "transactional-id"


class Right(NamedTuple):
    """An operation by its name in Kafka's ACLs, on a `kind` of resource by the name of kafka-acls.sh's option."""

    operation: str
    kind: str
    name: str


def lacking(admin: Any, needs: Needs) -> list[Right]:
    """The rights that the user of `admin` does not have. Where the cluster does not tell (yet), none is reported."""
    return [
        *_on_topics(admin, needs),
        *(right for group, _ in needs.members if (right := _on_group(admin, group))),
        *(right for member in needs.members if (right := _on_transactional_id(admin, "-".join(member)))),
    ]


def _on_topics(admin: Any, needs: Needs) -> Iterator[Right]:
    wanted: dict[str, tuple[str, ...]] = {
        **dict.fromkeys(needs.inputs, ("READ", "DESCRIBE_CONFIGS")),
        **dict.fromkeys(needs.outputs, ("READ", "WRITE")),
    }
    cluster = admin.describe_cluster().get("authorized_operations") or ()
    for found in admin.describe_topics(sorted(wanted)):
        topic, error = found["name"], kafka_errors.for_code(found["error_code"])
        allowed = found["authorized_operations"]
        asked = wanted[topic]
        if error is kafka_errors.UnknownTopicOrPartitionError and topic in needs.outputs and "CREATE" not in cluster:
            asked = ("CREATE", *asked)
        if error is kafka_errors.TopicAuthorizationFailedError:
            allowed = ()
        if allowed is not None:
            yield from (Right(operation, TOPIC, topic) for operation in asked if operation not in allowed)


def _on_group(admin: Any, group: str) -> Right | None:
    try:
        allowed = admin.describe_groups([group])[group]["authorized_operations"]
    except kafka_errors.GroupAuthorizationFailedError:
        allowed = ()
    except kafka_errors.RetriableError:  # a cluster that never had a group has no coordinator yet
        return None
    # A group that was never used tells no operations; that it may be described is known, and the first poll tells more.
    return Right("READ", GROUP, group) if allowed is not None and "READ" not in allowed else None


def _on_transactional_id(admin: Any, name: str) -> Right | None:
    try:
        admin.describe_transactions([name])
    except kafka_errors.TransactionalIdAuthorizationFailedError:
        return Right("WRITE", TRANSACTIONAL_ID, name)
    except (kafka_errors.RetriableError, kafka_errors.TransactionalIdNotFoundError):
        return None
    return None


def refusal(server: str, options: Mapping[str, object], rights: Iterable[Right]) -> BusError:
    """The error that names all lacking rights, and how an administrator gives the first of them."""
    lacking = list(rights)
    user = options.get("sasl_plain_username")
    principal = f"User:{user}" if user else "User:<the name in the certificate or token>"
    first = lacking[0]
    at = server.removeprefix("kafka://")
    listed = ", ".join(f"{right.operation} on {right.kind} {right.name}" for right in lacking)
    return BusError(
        f"{server}: rights: {f'user {user!r}' if user else 'this user'} lacks {listed}; an administrator gives each"
        f" as in kafka-acls.sh --bootstrap-server {at} --add --allow-principal '{principal}'"
        f" --operation {first.operation.title().replace('_', '')} --{first.kind} {first.name}"
    )
