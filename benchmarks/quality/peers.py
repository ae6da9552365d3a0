"""What people would use else, each with its defaults. Those of windows take 500 rows at once, one behind the other.

None of these reads a stream: their user cuts it, and calls them. A window in which one of them finds drift is one alarm
at its end, whatever the number of columns.

alibi-detect (0.13.0) takes no part: it needs numpy below 2, and so no environment holds both.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any, Final

from river.drift import ADWIN

from benchmarks.quality.cases import Alarm, Case, Columns

WINDOW: Final = 500


def river(case: Case) -> list[Alarm]:
    """River's ADWIN on each numeric column as it is, from the reference's first row on.

    Missing cells are passed over, because one would blind it for good; it reads no texts.
    """
    found = []
    for name, values in case.columns.numeric.items():
        adwin = ADWIN()
        for row, value in enumerate(values.tolist(), 1 - case.reference):
            if value == value:
                adwin.update(value)
                if adwin.drift_detected and row > 0:
                    found.append(Alarm(row, name, (name,), until=row))
    return sorted(found, key=lambda alarm: alarm.row)


def evidently(case: Case) -> list[Alarm]:
    """Evidently's DriftedColumnsCount, by which its DataDriftPreset decides: drift of at least half of the columns."""
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import DriftedColumnsCount

    columns = case.columns
    definition = DataDefinition(numerical_columns=list(columns.numeric), categorical_columns=list(columns.categorical))

    def finds(reference: Any, window: Any) -> bool:
        both = [Dataset.from_pandas(frame, data_definition=definition) for frame in (window, reference)]
        counted = Report([DriftedColumnsCount()]).run(*both).dict()["metrics"][0]
        return bool(counted["value"]["share"] >= 0.5)

    return _by_window(case, finds)


def nannyml(case: Case) -> list[Alarm]:
    """NannyML's UnivariateDriftCalculator: the Jensen-Shannon distance of any column above its threshold."""
    os.environ.setdefault("NML_DISABLE_USAGE_LOGGING", "1")  # else it reports every call to its makers
    from nannyml import UnivariateDriftCalculator

    reference, live = _frames(case.columns, case.reference)
    texts = list(case.columns.categorical)
    names = [*case.columns.numeric, *texts]
    calculator = UnivariateDriftCalculator(names, treat_as_categorical=texts or None, chunk_size=WINDOW)
    found = calculator.fit(reference).calculate(live).to_df()
    of_windows = found.loc[found[("chunk", "chunk", "period")] == "analysis"]
    alerts = of_windows.xs("alert", axis=1, level=2).to_numpy().any(axis=1)
    ends = of_windows[("chunk", "chunk", "end_index")].to_numpy()
    return [_of_window(int(end) + 1) for end, alert in zip(ends, alerts, strict=True) if alert]


def _by_window(case: Case, finds: Callable[[Any, Any], bool]) -> list[Alarm]:
    reference, live = _frames(case.columns, case.reference)
    return [_of_window(end) for end, window in _windows(live) if finds(reference, window)]


def _of_window(end: int) -> Alarm:
    """An alarm that stands until the next window ends."""
    return Alarm(end, "window", until=end + WINDOW)


def _windows(live: Any) -> Iterator[tuple[int, Any]]:
    for end in range(WINDOW, len(live) + 1, WINDOW):
        yield end, live.iloc[end - WINDOW : end]


def _frames(columns: Columns, reference: int) -> tuple[Any, Any]:
    """Reference and live rows as pandas has them."""
    import pandas as pd

    texts = {name: [text or None for text in values] for name, values in columns.categorical.items()}
    frame = pd.DataFrame({**columns.numeric, **texts})
    return frame.iloc[:reference].reset_index(drop=True), frame.iloc[reference:].reset_index(drop=True)


PEERS: Final[dict[str, Callable[[Case], list[Alarm]]]] = {"river": river, "evidently": evidently, "nannyml": nannyml}

SEEDS: Final = {"evidently": 2}
"""Who is too slow for all seeds of a stream: a window of 33 columns takes it half a second."""


def left_out() -> dict[str, str]:
    """Peers that can't take part here, and why."""
    found = {
        peer: f"{peer} is not installed: pip install -e .[benchmark]"
        for peer in ("evidently", "nannyml")
        if find_spec(peer) is None
    }
    return {**found, "alibi-detect": "it needs numpy below 2, which no environment of this project has"}
