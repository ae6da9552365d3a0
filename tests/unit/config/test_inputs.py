"""Inputs of detectors, resolved into series."""

from __future__ import annotations

import pytest

from monitor.config.inputs import InputRefused, ResolvedInput, resolve_inputs
from monitor.config.resolved import DetectorSpec
from monitor.contract import ColumnSpec, ModelContract, StreamContract

CONTRACT = ModelContract(
    model="m",
    pane_ms=1,
    lateness_ms=0,
    idle_timeout_ms=1,
    max_clock_skew_ms=1,
    raw_rows=10,
    trace_points=16,
    streams=(
        StreamContract(
            "features",
            "f",
            "event_time",
            (
                ColumnSpec("amount", "amount", "numerical"),
                ColumnSpec("is_foreign", "is_foreign", "binary"),
                ColumnSpec("country", "country", "categorical"),
                ColumnSpec("bio", "bio", "text"),
                ColumnSpec("vec", "vec", "array"),
            ),
        ),
        StreamContract("predictions", "p", "event_time", (ColumnSpec("prediction", "y_pred", "categorical"),)),
    ),
)


def spec(detector: str, given: str) -> DetectorSpec:
    return DetectorSpec.model_validate({"name": "d", "detector": {"class": detector}, "input": given})


@pytest.mark.parametrize(
    ("detector", "given", "columns"),
    [
        ("ADWIN", "amount", ["amount"]),
        ("ADWIN", "vec.*", ["vec.length", "vec.mean", "vec.norm"]),
        (
            "ADWIN",
            "*",
            ["amount", "is_foreign", "country", "bio.length", "vec.length", "vec.mean", "vec.norm", "prediction"],
        ),
        ("ADWIN", "missing(c*)", ["country"]),
        ("FHDDM", "missing( amount )", ["amount"]),
        ("FHDDM", "is_foreign", ["is_foreign"]),
        ("FHDDM", "*", ["is_foreign"]),
        ("FHDDM", "class(1)", ["prediction"]),
        ("ADWIN", "class(fraud)", ["prediction"]),
    ],
)
def test_inputs_name_series_in_the_order_of_the_contract(detector: str, given: str, columns: list[str]) -> None:
    """A glob stands for the columns that the detector can read."""
    assert [found.column for found in resolve_inputs(spec(detector, given), CONTRACT)] == columns


@pytest.mark.parametrize("label", ["1", "1.0", "true", "True"])
def test_a_class_is_named_as_its_values_are_read(label: str) -> None:
    """1, 1.0 and true are one class in predictions, and so they are in an input."""
    (found,) = resolve_inputs(spec("FHDDM", f"class({label})"), CONTRACT)
    assert found.label == "1"


def test_the_form_and_the_label_are_reported() -> None:
    """Evaluate learns the stream, the form and the class."""
    assert resolve_inputs(spec("FHDDM", "class(1)"), CONTRACT) == (
        ResolvedInput("predictions", "prediction", "class", "1"),
    )
    assert resolve_inputs(spec("DDM", "missing(bio.length)"), CONTRACT) == (
        ResolvedInput("features", "bio.length", "missing", None),
    )


@pytest.mark.parametrize(
    ("detector", "given", "message"),
    [
        ("FHDDM", "amount", "FHDDM reads 0 or 1; 'amount' is a numerical column: use missing(amount)"),
        ("HDDMW", "country", "HDDMW reads 0 or 1; 'country' is a categorical column"),
        ("ADWIN", "amont", "did you mean 'amount'"),
        ("ADWIN", "zz*", "no column of m is 'zz*'"),
        ("ADWIN", "mising(amount)", "did you mean 'missing'"),
        ("ADWIN", "missing()", "needs a name"),
        ("ADWIN", "error", "the input 'error' needs labels: add streams.labels, and the columns id and label"),
    ],
)
def test_what_a_detector_cannot_read_is_refused(detector: str, given: str, message: str) -> None:
    """With what would do instead."""
    with pytest.raises(InputRefused) as refused:
        resolve_inputs(spec(detector, given), CONTRACT)
    assert message in str(refused.value)


def test_class_needs_predicted_classes() -> None:
    """A model without them has no such input."""
    from msgspec.structs import replace

    with pytest.raises(InputRefused, match="needs predicted classes"):
        resolve_inputs(spec("ADWIN", "class(1)"), replace(CONTRACT, streams=CONTRACT.streams[:1]))
