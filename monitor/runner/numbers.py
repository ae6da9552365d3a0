"""The numbers that the stages show of themselves: where each partition and each model stands."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from monitor.evaluate.lane import LaneStanding
from monitor.evaluate.model import ModelFold
from monitor.evaluate.performance import HELD
from monitor.events import TopicPartition
from monitor.profile.accounting import Account
from monitor.runner.hanging import HangingTransaction
from monitor.runner.stopped_models import Progress
from monitor.telemetry import Sample, sample


class PartitionStanding(NamedTuple):
    """The standing of a partition. `watermark`: sealed event time, ms; None if there is none."""

    position: int
    folding_again: bool
    watermark: int | None = None
    paused: bool = False


def input_numbers(standings: Mapping[TopicPartition, PartitionStanding]) -> Iterator[Sample]:
    """Return the numbers of the partitions that profile reads."""
    for tp, standing in sorted(standings.items()):
        yield sample("streamdrift_input_position", standing.position, *tp)
        yield sample("streamdrift_input_folding_again", standing.folding_again, *tp)
        yield sample("streamdrift_input_paused", standing.paused, *tp)
        if standing.watermark is not None:
            yield sample("streamdrift_input_watermark_seconds", standing.watermark / 1000, *tp)


def account_numbers(accounts: Mapping[TopicPartition, Account]) -> Iterator[Sample]:
    """What became of the records."""
    for tp, account in sorted(accounts.items()):
        for bucket, records in sorted(account.buckets.items()):
            yield sample("streamdrift_input_records_total", records, *tp, bucket)
        yield sample("streamdrift_input_unaccounted_records", account.difference, *tp)


def ledger_numbers(standings: Mapping[TopicPartition, PartitionStanding]) -> Iterator[Sample]:
    """Return the numbers of the ledger partitions that evaluate reads."""
    for tp, standing in sorted(standings.items()):
        yield sample("streamdrift_ledger_position", standing.position, tp.partition)
        yield sample("streamdrift_ledger_folding_again", standing.folding_again, tp.partition)


def model_numbers(models: Iterable[ModelFold]) -> Iterator[Sample]:
    """Return the numbers of the models that evaluate judges."""
    for fold in models:
        if fold.decisions.rules is None:
            continue
        yield sample("streamdrift_model_waiting", fold.judged_to is None, fold.model)
        if fold.judged_to is not None:
            yield sample("streamdrift_model_judged_seconds", fold.judged_to / 1000, fold.model)
        yield from lane_numbers(fold.standings)
        for total in fold.totals:
            yield sample("streamdrift_rule_judgements_total", total.judged, fold.model, total.alert)
            yield sample("streamdrift_rule_never_judged", total.never, fold.model, total.alert)
        for outcome, rows in fold.labels.items():
            if outcome in HELD:
                yield sample("streamdrift_label_rows_held", rows, fold.model, outcome)
            else:
                yield sample("streamdrift_label_rows_total", rows, fold.model, outcome)
        yield sample("streamdrift_model_blind_detectors", fold.blind_detectors, fold.model)
        for state, alerts in fold.alerts.items():
            yield sample("streamdrift_model_alerts", alerts, fold.model, state)
        yield sample("streamdrift_model_open_incidents", len(fold.incidents.open), fold.model)


def lane_numbers(standings: Iterable[LaneStanding]) -> Iterator[Sample]:
    """Return the numbers of the lanes of one model."""
    for lane in standings:
        labels = (lane.model, lane.stream, lane.segment)
        waits = lane.state == "waiting"
        yield sample("streamdrift_lane_waiting", waits, *labels)
        yield sample("streamdrift_lane_panes_left_out_total", lane.left_out, *labels)
        if waits:
            yield sample("streamdrift_lane_reference_rows", lane.rows, *labels)
        if waits and lane.wanted_span:
            yield sample("streamdrift_lane_reference_seconds", lane.span / 1000, *labels)
            yield sample("streamdrift_lane_reference_seconds_wanted", lane.wanted_span / 1000, *labels)
        elif waits:
            yield sample("streamdrift_lane_reference_rows_wanted", lane.wanted, *labels)


def hanging_numbers(stage: str, hanging: Iterable[HangingTransaction]) -> Iterator[Sample]:
    """Return the numbers of the partitions that an open transaction holds back for too long."""
    for found in hanging:
        yield sample("streamdrift_hanging_transaction_seconds", found.standing_s, stage, *found.tp)


def stopped_numbers(models: Iterable[str], stopped: Collection[str]) -> Iterator[Sample]:
    """Which models wait for a rebuild."""
    for model in sorted({*models, *stopped}):
        yield sample("streamdrift_model_stopped", model in stopped, model)


def rebuild_numbers(progress: Iterable[tuple[str, Progress]]) -> Iterator[Sample]:
    """Return how much of the ledger the models have still to fold that are rebuilt."""
    for model, found in progress:
        yield sample("streamdrift_model_rebuild_left_records", found.end - found.position, model)


def command_numbers(partition: int, outcomes: Mapping[str, int]) -> Iterator[Sample]:
    """What became of the commands of one partition."""
    for outcome in ("taken", "repeated", "refused", "unusable"):
        yield sample("streamdrift_commands_total", outcomes.get(outcome, 0), partition, outcome)


LAGS = {"profile": "streamdrift_input_lag_records", "evaluate": "streamdrift_ledger_lag_records"}


def lag_numbers(stage: str, lags: Mapping[TopicPartition, int]) -> Iterator[Sample]:
    """How far the partitions are from their ends."""
    for tp, lag in sorted(lags.items()):
        yield sample(LAGS[stage], lag, *(tp if stage == "profile" else (tp.partition,)))
