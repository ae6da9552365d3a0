"""Messages of observations: one for each closed window of a stream, with all its series."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from monitor.codec.canonical import time_text
from monitor.codec.cloud_events import CloudEvent, JsonObject
from monitor.evaluate.alerts import Place, labelled_value, offsets_value
from monitor.evaluate.rules import Threshold
from monitor.events import Observation

_ENCODER = msgspec.json.Encoder()


def observation_key(observation: Observation) -> str:
    """What names the series of one window specification; the key of its messages."""
    return f"{observation.model}/{observation.segment}/{observation.stream}/{observation.window}"


def observation_message(
    observation: Observation, place: Place, reference: str, thresholds: Sequence[Threshold], at: int | None = None
) -> bytes:
    """The message as the topic carries it. `reference`: the digest of what the window is compared with. `at`: the pane
    end (ms) at which labels have brought the window further, for one by the time of the prediction.

    Scores are written as they come: they are finite and rounded already.
    """
    end, key = time_text(observation.end), observation_key(observation)
    data = {
        "model": observation.model,
        "segment": observation.segment,
        "stream": observation.stream,
        "window": {
            "name": observation.window,
            "from": time_text(observation.start),
            "to": end,
            "events": observation.events,
            "offsets": offsets_value(observation.offsets),
        },
        "reference": reference,
        **labelled_value(observation),
        "thresholds": [_threshold(threshold) for threshold in thresholds],
        "totals": observation.totals,
        "columns": observation.columns,
    }
    return CloudEvent(
        type="streamdrift.observation.v1",
        source=place.source,
        id=f"{key}/{end}" if at is None else f"{key}/{end}/{time_text(at)}",
        at=observation.end if at is None else at,
        subject=f"{observation.model}/{observation.stream}",
        key=key,
        data=msgspec.Raw(_ENCODER.encode(data)),
    ).encode()


def _threshold(threshold: Threshold) -> JsonObject:
    rule = threshold.rule
    limit: JsonObject = (
        {"by_column": threshold.by_column} if threshold.everywhere is None else {"threshold": threshold.everywhere}
    )
    return {
        "rule": f"{rule.group}/{rule.alert}",
        "labels": rule.labels,
        "metric": threshold.metric,
        "op": rule.comparison.op,
        **limit,
    }
