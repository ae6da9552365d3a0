"""Performance of a model as alerts.yaml has it: its windows, and what makes a prediction right."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from monitor.codec.columns import class_of, classes
from monitor.config.entry import Shape
from monitor.config.scalars import SINGLE_SCHEMA
from monitor.config.windows import WindowEntry


def _class(value: object) -> str:
    (text,), (state,) = classes([value])
    if state or not text:
        raise ValueError("should be a class: a text, a whole number or a boolean")
    return text


def _by_class(costs: dict[str, Any]) -> dict[str, Any]:
    """Return costs by the names of classes; raises ValueError where two keys name one class."""
    names = {key: class_of(key) for key in costs}
    for i, (key, name) in enumerate(names.items()):
        if name in list(names.values())[:i]:
            raise ValueError(f"{key!r} and another key are the class {name!r}: leave out one of them")
    return {names[key]: cost for key, cost in costs.items()}


Number = Annotated[float, Field(allow_inf_nan=False)]
Costs = Annotated[dict[str, Annotated[Number, Field(ge=0)]], Field(min_length=1), AfterValidator(_by_class)]


class PerformanceEntry(Shape):
    """How predictions are compared with their labels, and judged by the time of the prediction."""

    window: WindowEntry = WindowEntry.model_validate({"time": "1d", "every": "1h"})
    """Window of predictions, by their own time; its step cuts them into the cohorts that all windows are made of."""
    mature: Annotated[Number, Field(gt=0, le=1)] = 0.9
    """Share of the predictions of a window whose label has come, from which on it is mature."""
    positive: Annotated[str, BeforeValidator(_class), WithJsonSchema(SINGLE_SCHEMA)] | None = None
    """The class that counts as 1, if it is not 1 itself; every other one is 0."""
    threshold: Annotated[Number, Field(gt=0, lt=1)] | None = None
    """Least probability that is a prediction of class 1, if there is no column `prediction`."""
    tolerance: Annotated[Number, Field(ge=0)] | None = None
    """Largest error of a right prediction of a regression, in the label's unit."""
    baseline: dict[str, Number] = Field(default_factory=dict)
    """What metrics are worth normally, by name: what the word `baseline` in thresholds stands for."""
    costs: Annotated[dict[str, Costs], AfterValidator(_by_class)] = Field(default_factory=dict)
    """What a prediction costs, by the true class and the predicted one; what is not named costs nothing."""
