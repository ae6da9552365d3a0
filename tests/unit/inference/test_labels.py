"""Labels under the names that people give outcomes: found beside a prediction, asked about without one."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

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
