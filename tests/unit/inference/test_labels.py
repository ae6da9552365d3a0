"""Labels under the names that people give outcomes: found beside a prediction, asked about without one."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monitor.alerts_file import load_config
from monitor.cli.init import init
from monitor.cli.replay import Options, replay
from monitor.inference.roles import Decision, roles_of
from monitor.inference.sample import Sample

ROWS = 400


def decided(**columns: Callable[[random.Random], Any]) -> dict[str, Decision]:
    """The decisions on columns whose values are drawn."""
    drawn = {name: [draw(random.Random(name + str(n))) for n in range(ROWS)] for name, draw in columns.items()}
    return {decision.name: decision for decision in roles_of(Sample("t", drawn, ROWS))}


def number(rng: random.Random) -> float:
    return rng.gauss(100, 15)


def share(rng: random.Random) -> float:
    return rng.random()


def flag(rng: random.Random) -> int:
    return rng.randint(0, 1)


def word(rng: random.Random) -> str:
    return rng.choice(["yes", "no"])


def kind(rng: random.Random) -> str:
    return rng.choice(["cat", "dog", "bird"])


@pytest.mark.parametrize(
    "name",
    ["is_fraud", "isFraud", "Fraud Flag", "fraudulent", "churn", "churned", "has_churned", "converted", "conversion",
     "default", "defaulted", "default_payment_next_month", "clicked", "purchased", "is_spam", "survived", "approved"],
)  # fmt: skip
@pytest.mark.parametrize("values", [flag, word])
@pytest.mark.parametrize(("foretold", "prediction"), [("predicted", flag), ("y_pred_proba", share)])
def test_an_outcome_beside_a_prediction_is_the_label(
    name: str, values: Callable[..., Any], foretold: str, prediction: Callable[..., Any]
) -> None:
    """And not watched as a feature; the decision says whose label it is."""
    found = decided(amount=number, **{name: values, foretold: prediction})
    assert found[name] == Decision(name, "label", f"named like what {foretold} predicts")
    assert found["amount"].role == "numerical"


@pytest.mark.parametrize("name", ["is_new_card", "fraud_type", "default_language", "returning", "has_garden"])
def test_another_flag_beside_a_prediction_is_a_feature(name: str) -> None:
    """Whatever words it shares with an outcome."""
    assert decided(amount=number, predicted=flag, **{name: flag})[name] == Decision(name, "binary", "0 and 1")


@pytest.mark.parametrize(
    ("truth", "prediction", "values"),
    [
        ("price", "predicted_price", number),
        ("actual_price", "price_pred", number),
        ("PriceObserved", "PricePrediction", number),
        ("animal", "pred_animal", kind),
        ("is_ill", "ill_predicted", flag),
    ],
)
def test_a_column_named_like_the_prediction_is_its_label(
    truth: str, prediction: str, values: Callable[..., Any]
) -> None:
    """Numbers, categories and flags alike, before any other outcome."""
    found = decided(churned=flag, area=number, **{truth: values, prediction: values})
    assert (found[truth].role, found[prediction].role, found["churned"].role) == ("label", "prediction", "binary")


def test_a_column_of_other_values_is_not_the_label_of_a_prediction() -> None:
    """A price is no label of a class, and a text none of a number."""
    assert decided(price=number, predicted_price=flag)["price"].role == "numerical"
    assert decided(price=kind, predicted_price=number)["price"].role == "categorical"


def test_of_several_outcomes_none_is_chosen() -> None:
    """Somebody is asked; a usual name of labels settles it."""
    found = decided(churned=flag, converted=word, predicted=flag)
    assert [(found[name].role, found[name].unsure) for name in ("churned", "converted")] == [("binary", "label")] * 2
    found = decided(churned=flag, y_true=flag, predicted=flag)
    assert (found["y_true"].role, found["churned"]) == ("label", Decision("churned", "binary", "0 and 1"))


def test_an_outcome_without_a_prediction_is_watched_and_asked_about() -> None:
    """It may be all that there is to watch."""
    assert decided(amount=number, is_fraud=flag)["is_fraud"] == Decision("is_fraud", "binary", "0 and 1", "label")


def test_numbers_that_are_all_different_are_no_copies_of_a_label_of_such_numbers() -> None:
    """Unless they rise or fall with it."""
    target = [random.Random(n).gauss(0, 1) for n in range(ROWS)]
    columns = {
        "target": target,
        "area": [random.Random(ROWS + n).gauss(0, 1) for n in range(ROWS)],
        "twice": [2 * value for value in target],
        "less": [-value for value in target],
        "same": list(target),
    }
    found = {decision.name: decision.role for decision in roles_of(Sample("t", columns, ROWS))}
    assert found == {
        "target": "label", "area": "numerical", "twice": "left out", "less": "left out", "same": "left out"
    }  # fmt: skip


def test_a_prediction_that_is_a_number_has_no_probability_beside_it() -> None:
    """Of a regression it is watched as a number; of two scores one is the probability."""
    found = decided(y_pred=number, y_pred_proba=share)
    assert [(one.name, one.role) for one in found.values()] == [("y_pred", "prediction"), ("y_pred_proba", "numerical")]
    found = decided(prediction=share, probability=share)
    assert found["prediction"] == Decision("prediction", "left out", "another probability beside probability")
    assert found["probability"].role == "probability"


def test_what_labels_meet_predictions_by_differs_in_each_row() -> None:
    """Of several such columns it is the one that is named best; without a label or a prediction it is left out."""
    columns = {"order_id": lambda rng: rng.getrandbits(60), "id": lambda rng: rng.getrandbits(60), "amount": number}
    found = decided(**columns, customer_id=lambda rng: rng.getrandbits(9), is_fraud=flag, predicted=flag)
    roles = {name: found[name].role for name in ("order_id", "id", "customer_id")}
    assert roles == {"order_id": "left out", "id": "id", "customer_id": "left out"}
    for one in ({"is_fraud": flag}, {"predicted": flag}):
        assert decided(**columns, **one)["id"].role == "left out"


CASES: dict[str, tuple[Callable[[random.Random], Any], Callable[[random.Random, Any], Any], str]] = {
    "classification_binary": (flag, lambda rng, truth: truth if rng.random() < 0.9 else 1 - truth, "performance: {"),
    "classification_multiclass": (kind, lambda rng, truth: truth if rng.random() < 0.9 else "cat", "performance: {"),
    "regression": (number, lambda rng, truth: truth + rng.gauss(0, 1), "mae > 1.2 * reference_mean"),
    "by name": (word, lambda rng, truth: truth if rng.random() < 0.9 else "yes", 'positive: "'),
}


@pytest.mark.parametrize("case", CASES)
def test_a_table_with_outcomes_and_ids_is_judged_by_them(
    tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The proposed file is right as it stands, and its rule on performance is judged; not beside a feature `loss`."""
    draw, predict, expected = CASES[case]
    rng = random.Random(case)
    rows = []
    for n in range(3000):
        truth = draw(rng)
        time = f"2026-03-{1 + n // 1440:02d}T{n // 60 % 24:02d}:{n % 60:02d}:00Z"
        rows.append([time, f"tx-{n}", rng.gauss(0, 1), predict(rng, truth), truth if n % 20 else ""])
    for name, is_judged in (("x", True), ("loss", False)):
        table, out = tmp_path / "t.csv", tmp_path / "alerts.yaml"
        with table.open("w", newline="") as file:
            csv.writer(file).writerows([["event_time", "prediction_id", name, "prediction", "target"], *rows])
        init(str(table), out, None, None, True, True)
        (model,) = load_config(out).models
        assert model.rules.task == ("classification_binary" if case == "by name" else case)
        assert ("labels" in {stream.stream for stream in model.contract.streams}) is is_judged
        assert (expected in out.read_text()) is is_judged
        capsys.readouterr()
        assert replay(Options((str(table),), out)).records == (8850 if is_judged else 6000)
        assert (" times on performance" in capsys.readouterr().out) is is_judged
