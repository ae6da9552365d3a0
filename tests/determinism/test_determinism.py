"""Same log, same answers: whatever the batches, the interleaving, the hash seed or the processor's features.

Each check is shown to bite: planted faults have to fail it. `make determinism LOGS=300` is the full run.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np
import pytest

from monitor.evaluate import measure, stream
from monitor.evaluate.detection import DetectorBank
from monitor.evaluate.messages import Message
from monitor.evaluate.reference import Reference
from monitor.events import Codes, Int64s, TopicPartition
from monitor.panes import merging
from monitor.panes import rows as rows_of
from monitor.panes.grid import Grid
from monitor.profile.intake import Intake
from monitor.replay import Replay
from tests.determinism import logs, oracle, processors

LOGS = int(os.environ.get("STREAMDRIFT_DETERMINISM_LOGS", "28"))
ORACLE_LOGS = min(LOGS, 60)
PLANTED_LOGS = min(LOGS, 24)
ROOT = Path(__file__).parents[2]


@cache
def messages_of(seed: int) -> tuple[Message, ...]:
    """The log's messages, folded partition after partition, whole."""
    return tuple(logs.run(logs.random_log(seed)))


def other_process(salt: int, **environment: str) -> subprocess.Popen[str]:
    """Digests of all logs from a process with other settings."""
    command = [sys.executable, "-m", "tests.determinism.digests", "0", str(LOGS), str(salt)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, **environment})


def test_same_log_same_bytes_in_any_process_and_any_batches() -> None:
    """Random batches and interleavings, two hash seeds, and no SIMD give the bytes of one plain fold."""
    features = np.show_config("dicts")["SIMD Extensions"].get("found", [])
    processes = [
        other_process(1, PYTHONHASHSEED="1"),
        other_process(2, PYTHONHASHSEED="2", NPY_DISABLE_CPU_FEATURES=" ".join(features)),
    ]
    wanted = {seed: logs.digest(list(messages_of(seed))) for seed in range(LOGS)}
    for process in processes:
        output, _ = process.communicate(timeout=600)
        assert process.returncode == 0
        found = {int(seed): digest for seed, digest in (line.split() for line in output.splitlines())}
        assert [seed for seed in wanted if found.get(seed) != wanted[seed]] == []


PROCESSORS = [{"OPENBLAS_CORETYPE": name} for name in ("Nehalem", "Haswell", "SkylakeX")]
"""Whose kernels OpenBLAS takes."""


def on_processors(places: list[dict[str, str]], *plant: str) -> list[str]:
    """The digests of `processors.py` in a process of each place."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.determinism.processors", *plant]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, **place})
        for place in places
    ]
    found = [process.communicate(timeout=600)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(places)
    return found


def test_references_and_drift_are_the_same_on_other_processors() -> None:
    """Under other kernels of BLAS, and without the vector instructions that numpy finds."""
    features = np.show_config("dicts")["SIMD Extensions"].get("found", [])
    found = on_processors([*PROCESSORS, {"NPY_DISABLE_CPU_FEATURES": " ".join(features)}])
    assert len(found[0].splitlines()) == 11
    assert found == found[:1] * len(found)


@pytest.mark.slow
@pytest.mark.parametrize("plant", sorted(processors.PLANTS))
def test_a_library_in_the_algebra_is_found_by_its_bits(plant: str) -> None:
    """Products of fractions by BLAS, and a triangle by LAPACK, differ between two processors at least."""
    assert len(set(on_processors(PROCESSORS, plant))) > 1


def test_the_logs_are_worth_it() -> None:
    """In 80 % an alert fires and resolves, in 30 % one that came from a trace; late rows and silences are common.

    In 15 % one resolves because the data are accepted.
    """
    both, traced, late, silenced, accepted = 0, 0, 0, 0, 0
    for seed in range(LOGS):
        alerts = [msgspec.json.decode(m.value)["data"] for m in messages_of(seed) if m.topic == "alerts"]
        by_status = {
            status: {a["fingerprint"] for a in alerts if a["status"] == status} for status in ("firing", "resolved")
        }
        both += bool(by_status["firing"] & by_status["resolved"])
        traced += any(a["labels"]["alertname"] == "Change" and a["status"] == "firing" for a in alerts)
        accepted += any(a.get("reason") == "accepted" for a in alerts)
        silenced += any("silencedBy" in a for a in alerts) and any("silencedBy" not in a for a in alerts)
        late += any(b'"late_rate":0.0}' not in m.value for m in messages_of(seed) if m.topic == "observations")
    assert both >= 0.8 * LOGS
    assert traced >= 0.3 * LOGS
    assert late >= 0.5 * LOGS
    assert silenced >= 0.5 * LOGS
    assert accepted >= 0.15 * LOGS


def test_every_published_number_has_twelve_digits() -> None:
    """np.log differs in the last bits between processors, so scores are rounded before anything is done with them."""
    assert [seed for seed in range(LOGS) if logs.unrounded(list(messages_of(seed)))] == []


# ---------------------------------------------------------------------- detectors' input, against a slow oracle


class Spy:
    """What the detectors were fed with, and the grids and references they stood on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fed: dict[str, list[float]] = {}
        self.bases: dict[str, tuple[Grid, Reference]] = {}
        feed = DetectorBank.feed
        measure = stream.StreamFold._measure_by

        def spied_feed(bank: DetectorBank, codes: Codes) -> dict[tuple[str, str, str], bool]:
            numbers = list(bank._numbers.of(codes))
            for watch in bank._watches:
                self.fed.setdefault(watch.sighting[0], []).extend(numbers[watch.input].tolist())
            return feed(bank, codes)  # type: ignore[return-value]

        def spied_measure(fold: stream.StreamFold, reference: Reference) -> DetectorBank:
            self.bases[fold.stream.topic] = (fold.grid, reference)
            return measure(fold, reference)

        monkeypatch.setattr(DetectorBank, "feed", spied_feed)
        monkeypatch.setattr(stream.StreamFold, "_measure_by", spied_measure)


def oracle_agrees(seed: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the detectors were fed with what the oracle says, up to the last pane that was folded."""
    with monkeypatch.context() as patch:
        spy = Spy(patch)
        log = logs.plain_log(seed)
        logs.run(log)
    for topic, column, detector in oracle.WATCHED:
        if oracle.fed(log, topic, column, *spy.bases[topic]) != spy.fed[detector]:
            return False
    return True


def test_detectors_are_fed_with_what_a_slow_oracle_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lateness, canonical order, thinning, interleaving and ranks, all recomputed row by row."""
    assert [seed for seed in range(ORACLE_LOGS) if not oracle_agrees(seed, monkeypatch)] == []


# ---------------------------------------------------------------------- planted faults


def batches_agree(seed: int, _: pytest.MonkeyPatch) -> bool:
    plain, cut = logs.plain_log(seed), logs.plain_log(seed)
    return logs.digest(logs.run(plain)) == logs.digest(logs.run(cut, random.Random(seed)))


def all_rounded(seed: int, _: pytest.MonkeyPatch) -> bool:
    return not logs.unrounded(logs.run(logs.plain_log(seed)))


def no_sort(patch: pytest.MonkeyPatch) -> None:
    """Rows stay in the order in which they came."""
    patch.setattr(rows_of, "canonical_order", lambda time, offset, part: np.arange(len(time)))


def global_watermark(patch: pytest.MonkeyPatch) -> None:
    """Lateness by the largest event time of any partition seen so far in the run."""
    seen: list[int] = []
    prefix_maximum, replay_of = Intake._prefix_maximum, logs.replay_of

    def fresh(log: logs.RandomLog) -> Replay:
        seen.clear()
        return replay_of(log)

    def shared(intake: Intake, time: Int64s, accepted: np.ndarray) -> tuple[int | None, Int64s]:
        if len(time):
            intake.highest = max([*seen, intake.highest or 0])
        highest, before = prefix_maximum(intake, time, accepted)
        seen[:] = [max([*seen, highest or 0])]
        return highest, before

    patch.setattr(logs, "replay_of", fresh)
    patch.setattr(Intake, "_prefix_maximum", shared)


def end_to_end(patch: pytest.MonkeyPatch) -> None:
    """Traces of partitions laid one after the other."""
    patch.setattr(merging, "interleave", lambda parts: np.concatenate([part.codes for part in parts]))


def unrounded_scores(patch: pytest.MonkeyPatch) -> None:
    """PSI and its kin as they come."""
    patch.setattr(measure, "significant_all", lambda values: [float(value) for value in values])


Check = Callable[[int, pytest.MonkeyPatch], bool]


@pytest.mark.parametrize(
    ("plant", "check"),
    [
        (no_sort, oracle_agrees),
        (global_watermark, batches_agree),
        (end_to_end, oracle_agrees),
        (unrounded_scores, all_rounded),
    ],
    ids=lambda value: value.__name__,
)
def test_a_planted_fault_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each fault fails at least five logs, and the same logs pass without it."""
    seeds = range(PLANTED_LOGS)
    assert all(check(seed, monkeypatch) for seed in list(seeds)[:3])
    with monkeypatch.context() as patch:
        plant(patch)
        failed = islice((seed for seed in seeds if not check(seed, patch)), 5)
        assert len(list(failed)) == 5


def test_partitions_of_the_logs_differ() -> None:
    """The logs have one to four partitions of each topic, so that merging is really exercised."""
    sizes = {sum(1 for tp in logs.plain_log(seed).records if tp.topic == logs.TOPICS[0]) for seed in range(20)}
    assert sizes == {1, 2, 3, 4}
    assert all(isinstance(tp, TopicPartition) for tp in logs.plain_log(0).records)
