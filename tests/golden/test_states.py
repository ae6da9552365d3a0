"""States written by the pinned version of River, kept as files, still load, and go on as they did when written."""

from __future__ import annotations

import msgspec
import pytest
from river import __version__

from monitor.detectors.protocol import Detector
from monitor.evaluate.messages import Message
from monitor.ledger.entry_codec import decode_entry
from tests.contracts.test_detector_states import CLASSES, encoded, plugin, restored
from tests.golden.make_states import BEFORE, FOLDER, Golden, published, values_for
from tests.snapshots import restored as restored_task
from tests.snapshots import snapshot
from tests.unit.evaluate.test_snapshot import PLACE, forged

FILE = FOLDER / f"river-{__version__}.msgpack"


@pytest.fixture(scope="module")
def golden() -> Golden:
    assert FILE.exists(), (
        f"River is {__version__}: run `python -m tests.golden.make_states`, and see what it says first"
    )
    return msgspec.msgpack.decode(FILE.read_bytes(), type=Golden)


def test_all_eight_are_kept(golden: Golden) -> None:
    """By two settings each, and each finds something in what comes after."""
    assert golden.river == __version__ == "0.26.1"
    assert {case.name for case in golden.detectors} == CLASSES.keys()
    assert all(any(case.found for case in golden.detectors if case.name == name) for name in CLASSES)


def test_every_detector_goes_on_as_it_did(golden: Golden) -> None:
    """The same detections, the same state after them, and the state that was loaded says itself in the same bytes."""
    for case in golden.detectors:
        it = plugin(case.name, case.setting)
        detector: Detector = restored(it, case.state)
        assert encoded(detector) == case.state, case.name
        assert detector.update(values_for(it, 1200)[BEFORE:]) == case.found, case.name
        assert encoded(detector) == case.later, case.name


def test_a_model_goes_on_as_it_did(golden: Golden) -> None:
    """Windows, alerts, triggers and detectors of a snapshot: every message after it has the same bytes."""
    task, errors = restored_task(PLACE, golden.parts, {change.digest: change for change in golden.changes})
    assert not errors
    assert snapshot(task) == golden.parts
    messages: list[Message] = []
    for headers, value in golden.entries:
        outputs = [*task.read(decode_entry(headers, value)), *task.advance()]
        messages += [output for output in outputs if isinstance(output, Message)]
    assert {message.topic for message in messages} >= {"alerts", "observations"}
    assert published(messages) == golden.messages


def test_a_forged_version_is_refused(golden: Golden) -> None:
    """Of the codec, with the remedy; whatever numpy and River are installed does not matter."""
    changes = {change.digest: change for change in golden.changes}
    part = forged(golden.parts["m"], version="0")
    _, errors = restored_task(PLACE, {**golden.parts, "m": part}, changes)
    assert "streamdrift rebuild m" in str(errors["m"])
    header = golden.parts["m"].split(b"\n")[0]
    assert b"numpy" not in header
    assert b"river" not in header
