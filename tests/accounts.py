"""The identity of accounting, held against the log itself: for every test that has run the profile stage on a bus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from monitor.bus.port import Bus
from monitor.bus.reading import read_whole, records_of, whole_values
from monitor.codec.chunks import Assembler
from monitor.codec.dead_letters import dead_letters_of
from monitor.events import TopicPartition
from monitor.ledger import position_records as positions
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.ledger.position_records import ProfilePosition
from monitor.profile.accounting import Account, account_of


def accounts(bus: Bus, topics: LedgerTopics, inputs: Iterable[str]) -> dict[TopicPartition, Account]:
    """What the newest position record of each partition accounts for; one that was never committed has none."""
    return {tp: account_of(position) for tp, position in positions_of(bus, topics, inputs).items()}


def positions_of(bus: Bus, topics: LedgerTopics, inputs: Iterable[str]) -> dict[TopicPartition, ProfilePosition]:
    """The newest position record of each partition; a partition that was never committed has none."""
    newest: dict[bytes, bytes] = {}
    assembler = Assembler(compacted=True)
    for batch in read_whole(bus, TopicPartition(topics.name("positions"), 0)):
        for record, value in whole_values(assembler, batch):
            newest[record.key or b""] = value
    tps = [TopicPartition(topic, p) for topic in inputs for p in range(bus.partitions(topic) or 0)]
    keys = {tp: positions.key_of(topics.name("profile"), *tp) for tp in tps}
    return {tp: positions.decode_profile(newest[key]) for tp, key in keys.items() if key in newest}


def check_accounts(bus: Bus, topics: LedgerTopics, inputs: Iterable[str]) -> Counter[str]:
    """Every consumed record is in one bucket, and every dead letter was written once; returns the buckets' sums."""
    total: Counter[str] = Counter()
    for tp, account in accounts(bus, topics, inputs).items():
        assert account.difference == 0, (tp, account)
        kept = max(account.start, bus.beginning(tp))
        consumed = [o for batch in read_whole(bus, tp, kept) for o in batch.offsets if o < account.position]
        if kept == account.start:  # else retention took what was counted
            assert len(consumed) == sum(account.buckets.values()) + account.held, (tp, account)
        dead = {name[5:]: n for name, n in account.buckets.items() if name.startswith("dead:") and n}
        letters: Counter[str] = Counter()
        seen: set[bytes] = set()
        dead_letters = dead_letters_of(topics.prefix, tp.topic)
        partition = tp.partition % (bus.partitions(dead_letters) or 1)
        for batch in read_whole(bus, TopicPartition(dead_letters, partition)):
            for record in records_of(batch):
                headers = dict(record.headers)
                if int(headers["sd-partition"]) != tp.partition:
                    continue
                letters[headers["sd-reason"].decode()] += 1
                assert headers["sd-offset"] not in seen, (tp, headers)
                seen.add(headers["sd-offset"])
        assert dict(letters) == dead, tp
        total.update(account.buckets)
    return total
