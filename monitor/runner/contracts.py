"""What profile processes agree on: the contract of each topic, in the order in which contracts were published (law 9).

A process publishes the contract of its alerts.yaml with its first commit where nobody has before; all take the newest
one, those with an older file too. One that was there before counts as old, and is published again only when somebody
lets a running process take it (SIGHUP): a process that starts with an old file must not lead the others back.
"""

from __future__ import annotations

from monitor.config.resolved import Config
from monitor.contract import ModelContract, TopicContract, contract_of_topic
from monitor.errors import ConfigurationError
from monitor.runner.reloading import contract_refusals


class Contracts:
    """The published contracts, by `add`, and those of this process's configuration."""

    def __init__(self, config: Config) -> None:
        self.by_digest: dict[str, TopicContract] = {}
        self._newest: dict[str, TopicContract] = {}
        self._own = contracts_of(config)
        self._asked: set[str] = set()
        self._said: set[str] = set()

    def add(self, contract: TopicContract) -> None:
        """The next one on the topic `decisions`."""
        self.by_digest.pop(contract.digest, None)  # the order is that of the newest of each
        self.by_digest[contract.digest] = contract
        self._newest[contract.topic] = contract

    def get(self, digest: str) -> TopicContract | None:
        """The contract of that name; the configuration's own may be wanted before it is read back."""
        own = {contract.digest: contract for contract in self._own.values()}
        return self.by_digest.get(digest) or own.get(digest)

    def models_of(self, topic: str) -> set[str]:
        """All models that have ever read the topic."""
        known = [contract for contract in self.by_digest.values() if contract.topic == topic]
        return {model.model for contract in [*known, self.newest(topic)] for model in contract.models}

    def use(self, config: Config) -> None:
        """Another configuration, on somebody's word: what is other in it is published, even if it was there before."""
        before, self._own = self._own, contracts_of(config)
        self._asked = {topic for topic, own in self._own.items() if own != before.get(topic)}
        self._said = set()

    def newest(self, topic: str) -> TopicContract:
        """The contract to fold a topic under: the newest published, else that of the configuration."""
        return self._newest.get(topic) or self._own[topic]

    @property
    def all(self) -> list[TopicContract]:
        """That of each topic, sorted by topic."""
        return [self.newest(topic) for topic in sorted(self._own)]

    @property
    def to_publish(self) -> list[TopicContract]:
        """Own ones that are to become the newest."""
        return [own for topic, own in sorted(self._own.items()) if self._is_to_be_published(topic, own)]

    def said(self) -> None:
        """What was to be published is committed; it is read back a little later."""
        self._said |= {own.digest for own in self.to_publish}

    def _is_to_be_published(self, topic: str, own: TopicContract) -> bool:
        if own.digest in self._said:
            return False
        return own.digest not in self.by_digest or (topic in self._asked and own != self.newest(topic))

    @property
    def older(self) -> list[str]:
        """Topics for which the own contract was there before, and a newer one is in use."""
        return [
            topic
            for topic, own in sorted(self._own.items())
            if own.digest in self.by_digest and own != self.newest(topic) and topic not in self._asked
        ]

    def check(self, config: Config) -> None:
        """Raises ConfigurationError where a configuration changes what can't be changed in a model that has run."""
        known: dict[tuple[str, str], ModelContract] = {}
        for contract in self.by_digest.values():
            known |= {(contract.topic, model.model): model for model in contract.models}
        refused = [
            f"model {model.model}: {what}"
            for topic, own in contracts_of(config).items()
            for model in own.models
            if (topic, model.model) in known
            for what in contract_refusals(known[topic, model.model], model)
        ]
        if refused:
            raise ConfigurationError("; ".join(sorted(set(refused))))


def contracts_of(config: Config) -> dict[str, TopicContract]:
    """The contract of each topic that the configuration's models read."""
    return {topic: contract_of_topic(topic, [m.contract for m in config.models]) for topic in input_topics(config)}


def input_topics(config: Config) -> tuple[str, ...]:
    """The topics that models of the configuration read, sorted."""
    return tuple(sorted({stream.topic for model in config.models for stream in model.contract.streams}))
