"""The table of metrics: what a rule may be about, and which labels and thresholds each metric allows."""

from __future__ import annotations

from math import inf
from typing import Literal, NamedTuple

Subject = Literal["column", "stream", "detector"]
Kind = Literal["numeric", "categorical"]


class Values(NamedTuple):
    """What a metric can be: from `least` to `most`, both included. `whole`: whole numbers only."""

    least: float
    most: float
    whole: bool = False


_ANY, _POSITIVE, _SHARE = Values(-inf, inf), Values(0.0, inf), Values(0.0, 1.0)
_COUNT, _FLAG = Values(0.0, inf, whole=True), Values(0.0, 1.0, whole=True)
QUANTILES = ("0.05", "0.25", "0.5", "0.75", "0.95", "0.99")


class Metric(NamedTuple):
    """One metric. `kinds`: columns that have it. `values`: its smallest and largest value, and whether it is whole."""

    name: str
    subject: Subject
    kinds: tuple[Kind, ...]
    values: Values
    description: str

    @property
    def has_reference(self) -> bool:
        """True if reference_mean and reference_std exist: the reference has counts of columns only."""
        return self.subject == "column"


_BOTH: tuple[Kind, ...] = ("numeric", "categorical")
_NUMERIC: tuple[Kind, ...] = ("numeric",)
_CATEGORICAL: tuple[Kind, ...] = ("categorical",)

_ALL = (
    Metric("psi", "column", _BOTH, _POSITIVE, "population stability index on bins that the reference gives"),
    Metric("js_distance", "column", _BOTH, _SHARE, "Jensen-Shannon distance, base 2, on the same bins"),
    Metric("hellinger", "column", _BOTH, _SHARE, "Hellinger distance on the same bins"),
    Metric("chi2", "column", _BOTH, _POSITIVE, "two-sample chi-square statistic on the same bins; grows with n"),
    Metric("cramers_v", "column", _BOTH, _SHARE, "effect size of chi2, free of n"),
    Metric("ks", "column", _NUMERIC, _SHARE, "Kolmogorov-Smirnov distance on all bins of the grid"),
    Metric("wasserstein", "column", _NUMERIC, _POSITIVE, "earth mover's distance in the reference's spreads"),
    Metric("out_of_grid_rate", "column", _NUMERIC, _SHARE, "share of valid values outside the grid's 0.1 % to 99.9 %"),
    Metric("beyond_rate", "column", _NUMERIC, _SHARE, "share of valid values that mean and deviation leave out"),
    Metric("mean", "column", _NUMERIC, _ANY, "mean, in the column's unit"),
    Metric("std", "column", _NUMERIC, _POSITIVE, "standard deviation, in the column's unit"),
    Metric("quantile", "column", _NUMERIC, _ANY, 'a quantile, chosen by quantile{quantile="0.5"}'),
    Metric("missing_rate", "column", _BOTH, _SHARE, "share of cells that are null or absent"),
    Metric("invalid_rate", "column", _BOTH, _SHARE, "share of cells of wrong type, NaN, infinite or out of range"),
    Metric(
        "vanished",
        "column",
        _BOTH,
        _FLAG,
        "1 if the window has no valid value although the reference would predict 20, or has none itself; else 0",
    ),
    Metric("new_category_rate", "column", _CATEGORICAL, _SHARE, "share of valid values that the grid does not know"),
    Metric("events", "stream", (), _COUNT, "rows in the window"),
    Metric("events_per_second", "stream", (), _POSITIVE, "rows a second of event time in the window"),
    Metric("late_rate", "stream", (), _SHARE, "share of rows that came behind the watermark"),
    Metric(
        "seconds_since_last_event", "stream", (), _POSITIVE, "event time since the newest row, or since the beginning"
    ),
    Metric("change", "detector", _BOTH, _FLAG, "1 at the judgement that covers a detection; else 0"),
    Metric("detector_blind", "detector", _BOTH, _FLAG, "1 if the detector can no longer see any change; else 0"),
)
METRICS = {metric.name: metric for metric in _ALL}

NEEDS_LABELS = frozenset(
    {
        "roc_auc",
        "precision",
        "recall",
        "f1",
        "accuracy",
        "log_loss",
        "mae",
        "rmse",
        "label_delay_seconds",
    }
)
"""Metrics of the grammar that need the stream of labels, which is not built yet."""
COMPARED = ("psi", "js_distance", "hellinger", "chi2", "cramers_v", "ks", "wasserstein")
"""Metrics that compare a window with the reference: of few values they differ by chance alone."""
AMOUNTS = ("events", "events_per_second")
"""Metrics of how much came: rules on them judge small windows, too."""


def selector_labels(metric: Metric) -> tuple[str, ...]:
    """Return the labels by which a rule on this metric may select."""
    if metric.subject == "stream":
        return ("stream",)
    own = ("detector",) if metric.subject == "detector" else ("quantile",) if metric.name == "quantile" else ()
    return ("column", "stream", *own)


def alert_labels(metric: Metric) -> tuple[str, ...]:
    """Return the labels that every alert of this metric carries, beside those of its rule."""
    place = tuple(label for label in selector_labels(metric) if label != "stream" or metric.subject == "stream")
    return ("alertname", "model", "metric", *place)
