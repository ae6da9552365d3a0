"""The role of each column by its name and its values, or the reason why it is left out.

A pure function of the sample. What a name says counts for the roles that a model gives its columns (time, prediction,
probability, label, version, id), and only if the values can have that role; else the values decide. On a terminal
somebody is asked about what is `unsure`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from monitor.inference.column_values import ENOUGH, Values
from monitor.inference.role_names import is_named, is_outcome, is_truth_of, rank
from monitor.inference.sample import Sample

Role = Literal[
    "timestamp", "prediction", "probability", "label", "id", "numerical", "binary", "categorical", "arrays", "left out"
]
_FEW: Final = 20
"""Different whole numbers up to which a column may be one of codes."""
_FEW_CODES: Final = 5
"""Different whole numbers up to which a column of any name may be one of codes."""
_WORDS: Final = 3.0
"""Words of a value, in the mean, from which on a text is free."""
_MOST_NAME: Final = 128
_FLAGS: Final = ({"0", "1"}, {"true", "false"}, {"yes", "no"}, {"y", "n"}, {"t", "f"})


class Decision(NamedTuple):
    """What became of one column. `why`: the reason, in words. `unsure`: another role that it may well have."""

    name: str
    role: Role
    why: str
    unsure: Role | None = None


def roles_of(sample: Sample, given: Mapping[str, Role] | None = None) -> list[Decision]:
    """Decide on each column, in the sample's order. `given`: roles that are known already."""
    known = dict(given or {})
    found: dict[str, Decision] = {}
    seen = {name: Values(values, sample.decimal) for name, values in sample.columns.items()}
    for name, values in seen.items():
        if name in sample.repeated:
            found[name] = _out(name, "more than one column has this name")
        elif name in known:
            found[name] = Decision(name, known[name], "as given")
        else:
            found[name] = _decide(name, values)
    _keep_one(found, "timestamp", lambda name: (seen[name].ascends, rank("timestamp", name)))
    for role in ("prediction", "probability", "label"):
        _keep_one(found, role, partial(rank, role))
    _settle_scores(found, seen)
    _find_label(found, seen)
    _find_copies(found, seen)
    _find_id(found, seen)
    return list(found.values())


def _decide(name: str, values: Values) -> Decision:
    found = _left_out(name, values)
    if found is not None:
        return Decision(name, "left out", found)
    if values.is_list:
        is_numeric = all(isinstance(part, int | float) for cell in values.cells if cell for part in cell)
        return Decision(name, "arrays", "lists of numbers") if is_numeric else _out(name, "lists of something else")
    if (decided := _by_name(name, values)) is not None:
        return decided
    if {text.lower() for text in values.different} in _FLAGS:
        return Decision(name, "binary", f"{' and '.join(sorted(values.different))}")
    if values.are_times and not values.are_numbers:
        return Decision(name, "timestamp", f"times{_in_format(values)}")
    if values.are_numbers:
        return _of_numbers(name, values)
    return _of_texts(name, values)


def _left_out(name: str, values: Values) -> str | None:
    if values.n == 0:
        return "empty"
    if (unusable := fault_of_name(name)) is not None:
        return unusable
    if values.is_object:
        return "objects; name a path in alerts.yaml to watch a part"
    if not values.is_list and len(values.different) == 1:
        return f"constant ({next(iter(values.different))[:40]})"
    return None


def fault_of_name(name: str) -> str | None:
    """Say why alerts.yaml can't have a column of that name; None if it can."""
    if not name.strip():
        return "without a usable name"
    is_written = len(name) <= _MOST_NAME and not any(ord(letter) < 32 or ord(letter) == 127 for letter in name)
    return None if is_written else "its name can't be written"


def why_not(role: Role, name: str, values: Values) -> str | None:
    """Say why a column can't have a role that somebody gave it; None if it can."""
    if role in ("left out", "label", "id"):
        return None
    if (fault := fault_of_name(name)) is not None:
        return fault
    if values.n == 0:
        return "it has no values"
    if values.is_list or values.is_object:
        return f"its values are {'lists' if values.is_list else 'objects'}"
    wanted = {
        "timestamp": ("no times", values.are_times),
        "numerical": ("no numbers", values.share_of_numbers >= ENOUGH),
        "probability": ("not between 0 and 1", values.share_of_numbers >= ENOUGH and _within_one(values)),
        "categorical": ("numbers that are not whole", values.are_whole or not values.are_typed_numbers),
    }
    what, is_so = wanted.get(role, ("", True))
    return None if is_so else f"its values are {what}"


def _by_name(name: str, values: Values) -> Decision | None:
    """What the name says, if the values can have that role."""
    if is_named(name, "timestamp") and values.are_times:
        return Decision(name, "timestamp", f"times{_in_format(values)}, and named so")
    if is_named(name, "probability") and values.are_numbers and _within_one(values):
        return Decision(name, "probability", "numbers from 0 to 1, and named so")
    if is_named(name, "prediction"):
        return Decision(name, "prediction", "named so")
    if is_named(name, "label") and (values.are_numbers or len(values.different) <= _FEW * 5):
        return Decision(name, "label", "named so")
    if is_named(name, "version") and len(values.different) <= _FEW * 5:
        return _out(name, "version of the model")
    is_key = len(values.different) >= 0.5 * values.n and (not values.are_numbers or values.are_whole)
    if is_named(name, "id") and is_key and values.n > 1:
        return _out(name, "id-like: named so, and mostly different")
    return None


def _in_format(values: Values) -> str:
    return f" as {values.time_form.format}" if values.time_form.format else ""


def _of_numbers(name: str, values: Values) -> Decision:
    if values.are_whole and values.n > 2:
        steps = np.diff(values.numbers)
        if (steps == steps[0]).all() and steps[0] > 0 and values.are_times:
            return Decision(name, "timestamp", "numbers since 1970, equally far apart")
        if (steps == steps[0]).all() and steps[0] != 0:
            return _out(name, "id-like: counts the rows")
    is_code = values.are_whole and len(values.different) <= _FEW and values.n >= 5 * len(values.different)
    if is_code and is_named(name, "code"):
        return Decision(name, "categorical", f"{len(values.different)} whole numbers, named like codes", "numerical")
    if is_code and len(values.different) <= _FEW_CODES:
        return Decision(name, "numerical", f"{len(values.different)} whole numbers", "categorical")
    return Decision(name, "numerical", "numbers")


def _of_texts(name: str, values: Values) -> Decision:
    if (strange := values.strange) is not None:
        texts = ", ".join(f"{text[:20]!r}" for text in strange)
        why = f"numbers, but for {1 - values.share_of_numbers:.0%} ({texts})"
        return Decision(name, "numerical", why, "categorical")
    words = float(np.mean([len(text.split()) for text in values.texts]))
    share = len(values.different) / values.n
    if words >= _WORDS and share > 0.2:
        return _out(name, "free text")
    if share >= 0.9 and values.n >= 20:
        return _out(name, "id-like: mostly different texts")
    return Decision(name, "categorical", f"{len(values.different)} different texts")


def _settle_scores(found: dict[str, Decision], seen: Mapping[str, Values]) -> None:
    """A prediction that is a number is one of a regression, which has no probability, or a probability itself."""
    name_of = {decision.role: name for name, decision in found.items()}
    prediction, probability = name_of.get("prediction"), name_of.get("probability")
    if prediction is None or probability is None or not seen[prediction].are_measures:
        return
    if _within_one(seen[prediction]):
        found[prediction] = _out(prediction, f"another probability beside {probability}")
    else:
        found[probability] = Decision(probability, "numerical", "numbers; a regression has no probability")


def _find_id(found: dict[str, Decision], seen: Mapping[str, Values]) -> None:
    """Find by what labels meet predictions, if there are both: a column named like an id, different in each row."""
    roles = {decision.role for decision in found.values()}
    if "label" not in roles or "id" in roles or roles.isdisjoint({"prediction", "probability"}):
        return
    named = [name for name in found if found[name].role == "left out" and is_named(name, "id") and name.strip()]
    fitting = [name for name in named if len(seen[name].different) == len(seen[name].cells) > 1]
    if fitting:
        chosen = max(fitting, key=lambda name: rank("id", name))
        found[chosen] = Decision(chosen, "id", "different in each row, and named so")


def _find_label(found: dict[str, Decision], seen: Mapping[str, Values]) -> None:
    """Find what the prediction foretells, if no column is named like a label; of several outcomes choose none."""
    role_of = {decision.role: name for name, decision in found.items()}
    foretold = role_of.get("prediction") or role_of.get("probability")
    if "label" in role_of:
        return
    watched = [
        name
        for name, decision in found.items()
        if decision.role in ("numerical", "binary", "categorical") and decision.why != "as given"
    ]
    if foretold is None:
        outcomes = [name for name in watched if is_outcome(name) and len(seen[name].different) <= 2]
    else:
        alike = [name for name in watched if _may_be_compared(seen[name], seen[foretold])]
        truths = [name for name in alike if is_truth_of(name, foretold)]
        outcomes = truths or [name for name in alike if is_outcome(name) and len(seen[name].different) <= 2]
    if foretold is not None and len(outcomes) == 1:
        found[outcomes[0]] = Decision(outcomes[0], "label", f"named like what {foretold} predicts")
    else:
        found |= {name: found[name]._replace(unsure="label") for name in outcomes}


def _may_be_compared(label: Values, prediction: Values) -> bool:
    """Tell whether these may be values of a label and of its prediction, as classes, scores or numbers."""
    if label.are_numbers and len(label.different) > _FEW:
        return prediction.are_numbers and len(prediction.different) > _FEW
    if len(label.different) <= 2 and (prediction.are_numbers or len(prediction.different) <= 2):
        return True
    return not label.different.isdisjoint(prediction.different)


def _find_copies(found: dict[str, Decision], seen: Mapping[str, Values]) -> None:
    """Leave out what tells the label row by row, though it has another name."""
    label = next((name for name, decision in found.items() if decision.role == "label"), None)
    if label is None or len(seen[label].different) < 2:
        return
    for name, decision in found.items():
        is_watched = decision.role in ("numerical", "binary", "categorical") and decision.why != "as given"
        if is_watched and _is_copy(seen[name], seen[label]):
            found[name] = _out(name, f"copy of the label {label}")


def _is_copy(values: Values, label: Values) -> bool:
    """Tell whether each value stands beside one value of the label, and each of these beside one of the values.

    Two columns of which no value comes twice are so by chance: there they have to rise, or fall, together.
    """
    sides = [[cell if isinstance(cell, str) else repr(cell) for cell in side.cells] for side in (values, label)]
    pairs = set(zip(*sides, strict=True))
    if not len(pairs) == len(set(sides[0])) == len(set(sides[1])):
        return False
    if len(pairs) <= len(sides[0]) / 2:
        return True
    if not (values.n == label.n == len(sides[0]) and values.are_numbers and label.are_numbers):
        return sides[0] == sides[1]
    steps = np.diff(values.numbers[np.argsort(label.numbers, kind="stable")])
    return bool((steps >= 0).all() or (steps <= 0).all())


def _keep_one(found: dict[str, Decision], role: str, worth: Callable[[str], Any]) -> None:
    """Let the best of several columns keep a role that one alone can have."""
    several = [name for name, decision in found.items() if decision.role == role]
    if len(several) < 2:
        return
    given = [name for name in several if found[name].why == "as given"]
    best = given[0] if given else max(several, key=worth)
    for name in several:
        if name != best:
            if role in ("timestamp", "prediction", "label"):
                found[name] = _out(name, f"another {role} beside {best}")
            else:
                found[name] = Decision(name, "numerical", "numbers")


def _out(name: str, why: str) -> Decision:
    return Decision(name, "left out", why)


def _within_one(values: Values) -> bool:
    found = values.numbers
    known = found[np.isfinite(found)]
    return bool(((known >= 0) & (known <= 1)).all())
