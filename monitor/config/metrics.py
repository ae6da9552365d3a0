"""The table of metrics: what a rule may be about, and which labels and thresholds each metric allows."""

from __future__ import annotations

from math import inf
from typing import Literal, NamedTuple

Task = Literal["classification_binary", "classification_multiclass", "regression"]
Subject = Literal["column", "stream", "detector", "performance"]
Kind = Literal["numeric", "categorical"]
Maturity = Literal["mature", "provisional"]
"""Windows that a rule on performance is judged on: mature and final ones, or provisional ones, too."""
Need = Literal["probability", "tolerance", "costs"]


class Values(NamedTuple):
    """What a metric can be: from `least` to `most`, both included. `whole`: whole numbers only."""

    least: float
    most: float
    whole: bool = False


_ANY, _POSITIVE, _SHARE = Values(-inf, inf), Values(0.0, inf), Values(0.0, 1.0)
_COUNT, _FLAG = Values(0.0, inf, whole=True), Values(0.0, 1.0, whole=True)
QUANTILES = ("0.05", "0.25", "0.5", "0.75", "0.95", "0.99")


class Metric(NamedTuple):
    """One metric. `kinds`: columns that have it. `values`: its smallest and largest value, and whether it is whole.

    Of performance: `tasks` that have it; `estimated`, those of them in which it has an interval of confidence;
    `of_pairs`: whether it is of predictions with their labels, and of nothing else.
    """

    name: str
    subject: Subject
    kinds: tuple[Kind, ...]
    values: Values
    description: str
    tasks: tuple[Task, ...] = ()
    estimated: tuple[Task, ...] = ()
    of_pairs: bool = False

    @property
    def has_reference(self) -> bool:
        """True if reference_mean and reference_std exist: the reference has counts of columns and of pairs only."""
        return self.subject == "column" or self.of_pairs

    def needs(self, task: Task) -> Need | None:
        """Return what alerts.yaml has to name beside labels for a model of that task to have it."""
        if self.name in OF_PROBABILITIES:
            return "probability"
        if self.name == "error_rate" and task == "regression":
            return "tolerance"
        return "costs" if self.name == "cost_per_1000" else None


def _of_pairs(
    name: str, tasks: tuple[Task, ...], values: Values, description: str, estimated: tuple[Task, ...] | None = None
) -> Metric:
    return Metric(name, "performance", (), values, description, tasks, tasks if estimated is None else estimated, True)


_BOTH: tuple[Kind, ...] = ("numeric", "categorical")
_NUMERIC: tuple[Kind, ...] = ("numeric",)
_CATEGORICAL: tuple[Kind, ...] = ("categorical",)

_BINARY: tuple[Task, ...] = ("classification_binary",)
_REGRESSION: tuple[Task, ...] = ("regression",)
_CLASSES: tuple[Task, ...] = (*_BINARY, "classification_multiclass")
_TASKS: tuple[Task, ...] = (*_CLASSES, *_REGRESSION)
OF_PROBABILITIES = ("roc_auc", "log_loss", "brier", "calibration_error")
"""Metrics of the probability of class 1."""
AVERAGED = ("precision", "recall", "f1")
"""Metrics of one class; of many classes they are averaged."""
AVERAGES = ("macro", "weighted")
"""How: over classes alike, which holds if a rule selects none, or by their labels."""

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
    Metric("drift", "stream", (), _POSITIVE, "how far the stream is from its reference: 1 is the limit"),
    Metric("change", "detector", _BOTH, _FLAG, "1 at the judgement that covers a detection; else 0"),
    Metric("detector_blind", "detector", _BOTH, _FLAG, "1 if the detector can no longer see any change; else 0"),
    _of_pairs("accuracy", _CLASSES, _SHARE, "share of predictions that are right"),
    _of_pairs("error_rate", _TASKS, _SHARE, "share of predictions that are wrong, numbers by more than `tolerance`"),
    _of_pairs("precision", _CLASSES, _SHARE, "share of predictions of a class that are right", _BINARY),
    _of_pairs("recall", _CLASSES, _SHARE, "share of labels of a class that were predicted", _BINARY),
    _of_pairs("f1", _CLASSES, _SHARE, "harmonic mean of precision and recall", _BINARY),
    _of_pairs("false_positive_rate", _BINARY, _SHARE, "share of labels of class 0 that were predicted as 1"),
    _of_pairs("roc_auc", _BINARY, _SHARE, "area under the curve of recall over false_positive_rate"),
    _of_pairs("log_loss", _BINARY, Values(0.0, 34.54), "mean of -ln p, p the probability of the label, at least 1e-15"),
    _of_pairs("brier", _BINARY, _SHARE, "mean squared distance of the probability from the label"),
    _of_pairs("calibration_error", _BINARY, _SHARE, "distance of probabilities from shares of class 1, 10 bins", ()),
    _of_pairs("mae", _REGRESSION, _POSITIVE, "mean size of the error, in the label's unit"),
    _of_pairs("rmse", _REGRESSION, _POSITIVE, "root of the mean squared error, in the label's unit", ()),
    _of_pairs("mape", _REGRESSION, Values(0.0, 256.0), "mean size of the error by that of the label"),
    _of_pairs("bias", _REGRESSION, _ANY, "mean of prediction less label, in the label's unit"),
    Metric("label_coverage", "performance", (), _SHARE, "share of predictions whose label has come", _TASKS),
    _of_pairs("cost_per_1000", _CLASSES, _POSITIVE, "what 1,000 predictions cost, by `costs`", ()),
)
METRICS = {metric.name: metric for metric in _ALL}

COMPARED = ("psi", "js_distance", "hellinger", "chi2", "cramers_v", "ks", "wasserstein")
"""Metrics that compare a window with the reference: of few values they differ by chance alone."""
SILENCE = "seconds_since_last_event"
"""The metric of streams that have a topic, whether there are windows of them or not."""
DRIFT = "drift"
"""The metric of what has changed in a stream as a whole, which is of no window."""
AMOUNTS = ("events", "events_per_second")
"""Metrics of how much came: rules on them judge small windows, too."""


def selector_labels(metric: Metric) -> tuple[str, ...]:
    """Return the labels by which a rule on this metric may select."""
    if metric.subject == "performance":
        return ("average",) if metric.name in AVERAGED else ()
    if metric.subject == "stream":
        return ("stream",)
    own = ("detector",) if metric.subject == "detector" else ("quantile",) if metric.name == "quantile" else ()
    return ("column", "stream", *own)


def alert_labels(metric: Metric) -> tuple[str, ...]:
    """Return the labels that every alert of this metric carries, beside those of its rule."""
    place = tuple(label for label in selector_labels(metric) if label != "stream" or metric.subject == "stream")
    return ("alertname", "model", "metric", *place)
