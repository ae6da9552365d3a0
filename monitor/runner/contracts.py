"""What profile processes agree on: the contract of each topic, in the order in which contracts were published (law 9).

The first process to commit a contract publishes it; every process then folds under the newest, even if its own file is
older. An old contract is published again only on SIGHUP, so that starting a process with a stale file cannot roll the
others back.
"""

from __future__ import annotations

import msgspec

from monitor.config.resolved import Config
from monitor.contract import TopicContract, contract_of_topic
from monitor.runner.lives import Lives


class Contracts:
    """The published contracts, by `add`, and those of this process's configuration."""

    def __init__(self, config: Config) -> None:
        self.by_digest: dict[str, TopicContract] = {}
        self.lives = Lives()
        self._newest: dict[str, TopicContract] = {}
        self._own = contracts_of(config)
        self._seen: set[TopicContract] = set()
        """What was published, whatever lives the models were in: as configurations give it."""
        self._taken: dict[str, TopicContract] = {}
        """The newest of each topic, as a configuration would give it."""
        self._asked: set[str] = set()
        self._published: set[str] = set()
        self._handed: set[str] = set()
        """Newest ones with models in other lives, until they are read back."""
        self._begun: dict[str, TopicContract] = {}
        """Contracts of the configuration that a partition was begun under, by digest, until they are published."""
        self._unread: dict[str, TopicContract] = {}
        """Contracts that this process has published, by digest, until they are read back."""

    def add(self, contract: TopicContract) -> None:
        """The next one on the topic `decisions`."""
        self.by_digest.pop(contract.digest, None)  # the order is that of the newest of each
        self.by_digest[contract.digest] = contract
        self._newest[contract.topic] = contract
        self._taken[contract.topic] = whatever_life(contract)
        self._seen.add(self._taken[contract.topic])
        self._handed.discard(contract.digest)
        self._unread.pop(contract.digest, None)
        self._begun.pop(contract.digest, None)

    def get(self, digest: str) -> TopicContract | None:
        """The contract of that name; the configuration's own may be wanted before it is read back."""
        own = {contract.digest: contract for contract in map(self._living, self._own.values())}
        return self.by_digest.get(digest) or self._begun.get(digest) or own.get(digest)

    def models_of(self, topic: str) -> set[str]:
        """All models that have ever read the topic."""
        known = [contract for contract in self.by_digest.values() if contract.topic == topic]
        return {model.model for contract in [*known, self.newest(topic)] for model in contract.models}

    def use(self, config: Config) -> None:
        """A configuration, on somebody's word: what is other in it is published, even if it was there before.

        It is compared with what is published, and with nothing while this process has yet to read back its own.
        """
        self._own = contracts_of(config)
        unread = {contract.topic for contract in self._unread.values()}
        self._asked = {topic for topic, own in self._own.items() if topic in unread or own != self._taken.get(topic)}
        self._published = set()

    def newest(self, topic: str) -> TopicContract:
        """The contract to fold a topic under: the newest published, else that of the configuration."""
        return self._newest.get(topic) or self._living(self._own[topic])

    def begin(self, topic: str) -> TopicContract:
        """The contract to begin a partition under: published with its first commit, whatever lives begin till then."""
        contract = self.newest(topic)
        if contract.digest not in self.by_digest:
            self._begun[contract.digest] = contract
        return contract

    @property
    def all(self) -> list[TopicContract]:
        """That of each topic, sorted by topic."""
        return [self.newest(topic) for topic in sorted(self._own)]

    @property
    def to_publish(self) -> list[TopicContract]:
        """Those begun under, and those to become the newest: own ones, and with models in the lives that have begun."""
        own = [self._living(contract) for contract in self._own_to_publish]
        begun = [contract for contract in self._begun.values() if contract not in own]
        return [*begun, *own, *self._revived]

    @property
    def _own_to_publish(self) -> list[TopicContract]:
        return [own for topic, own in sorted(self._own.items()) if self._is_to_be_published(topic, own)]

    @property
    def _revived(self) -> list[TopicContract]:
        living = [(newest, self._living(newest)) for _, newest in sorted(self._newest.items())]
        return [after for before, after in living if after != before and after.digest not in self._handed]

    @property
    def to_repeat(self) -> list[TopicContract]:
        """Those that were published and not read back: a broker that crashes can lose them, and keep what names them.

        They go with each commit till then.
        """
        return list(self._unread.values())

    def note_published(self) -> None:
        """What was to be published is committed; it is read back a little later."""
        self._handed |= {contract.digest for contract in self._revived}
        for contract in self.to_publish:
            self._unread.pop(contract.digest, None)  # the order is that of the newest of each
            self._unread[contract.digest] = contract
        self._published |= {own.digest for own in self._own_to_publish}
        self._begun.clear()

    def _is_to_be_published(self, topic: str, own: TopicContract) -> bool:
        if own.digest in self._published:
            return False
        return own not in self._seen or (topic in self._asked and own != self._taken.get(topic))

    def _living(self, contract: TopicContract) -> TopicContract:
        """The contract with each model in the life that it is in, or will be in."""
        if not self.lives:
            return contract
        newest = self._newest.get(contract.topic)
        known = {model.model: model.life for model in newest.models} if newest is not None else {}
        lives = self.lives
        models = tuple(
            msgspec.structs.replace(
                model, life=lives.of(name, known[name]) if (name := model.model) in known else lives.next(name)
            )
            for model in contract.models
        )
        return msgspec.structs.replace(contract, models=models)

    @property
    def older(self) -> list[str]:
        """Topics for which the own contract was there before, and a newer one is in use."""
        return [
            topic
            for topic, own in sorted(self._own.items())
            if own in self._seen and own != self._taken.get(topic) and topic not in self._asked
        ]


def whatever_life(contract: TopicContract) -> TopicContract:
    """The contract as a configuration gives it: whatever lives its models are in."""
    return msgspec.structs.replace(
        contract, models=tuple(msgspec.structs.replace(model, life=0) for model in contract.models)
    )


def contracts_of(config: Config) -> dict[str, TopicContract]:
    """The contract of each topic that the configuration's models read."""
    return {topic: contract_of_topic(topic, [m.contract for m in config.models]) for topic in input_topics(config)}


def input_topics(config: Config) -> tuple[str, ...]:
    """The topics that models of the configuration read, sorted."""
    return tuple(sorted({stream.topic for model in config.models for stream in model.contract.streams}))
