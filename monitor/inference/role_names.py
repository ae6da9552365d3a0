"""What the name of a column says of its role: the usual names of each role, and those of outcomes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_NAMED: Final[Mapping[str, re.Pattern[str]]] = {
    "timestamp": re.compile(
        r"((event|creation|request)_?)?(time|date|timestamp|datetime|ts|epoch|day|zeit|datum|zeitstempel)(_(s|ms|us|ns|utc))?"
        r"|.*_(time|date|timestamp|datetime|at|ts|datum|zeit)"
    ),
    "prediction": re.compile(
        r"y_?pred(icted|iction)?|pred(icted|iction)?s?|y_?hat|(predicted|prediction|pred)_.*|.*_(pred|predicted|prediction)"
    ),
    "probability": re.compile(
        r"(y_)?(pred|predicted|prediction)_?(proba?|probability|score)s?|proba?|probability|y_?score|.*_(proba|probability)|y_proba?"
    ),
    "label": re.compile(r"y|y_?true|label|target|class|ground_?truth|truth|actual|outcome|.*_(label|target)"),
    "version": re.compile(r"(model_?)?version|model_?v(er)?"),
    "id": re.compile(
        r"(.*[_\W])?(id|uuid|guid|key|hash|index|idx|nr|no|number)|.*_id|id_.*|unnamed: ?\d+|row(_?(number|nr|id))?|"
    ),
    "code": re.compile(
        r"(.*_)?(code|type|kind|class|category|kategorie|group|level|grade|zip|plz|postal|month|weekday|region|status|store"
        r"|branch)(_.*|s)?"
    ),
}

_BEST: Final[Mapping[str, tuple[str, ...]]] = {
    "timestamp": ("event_time", "timestamp", "time", "datetime", "ts", "date"),
    "prediction": ("prediction", "y_pred", "predicted", "pred"),
    "probability": ("probability", "y_pred_proba", "pred_proba", "y_score", "proba"),
    "label": ("label", "target", "y_true", "y", "class"),
    "id": ("prediction_id", "id", "event_id", "uuid", "key"),
}

_OUTCOMES: Final = re.compile(
    r"(fraud(ulent)?|scam|spam|churn(ed)?|attrition|exited|cancell?ed|convert(ed)?|conversion|purchased?|bought|sold|click(ed)?"
    r"|subscribed|responded|default(ed)?(_payment.*)?|delinquent|repaid|readmitted|survived|died|returned|fail(ed|ure)?"
    r"|success(ful)?|won|approved|accepted|rejected)(_(flag|status|ind|indicator|yn))?"
)
"""What turns out later, and is therefore predicted."""
_ASKING: Final = re.compile(r"(is|has|was|did|will)_(?=.)")
_OF_TRUTH: Final = re.compile(r"(actual|true|real|observed)_(?=.)|(?<=.)_(actual|true|real|observed|truth)$")
_OF_PREDICTIONS: Final = re.compile(
    r"(y_)?(predicted|prediction|pred|hat|proba?|probability|score)(_of)?_(?=.)"
    r"|(?<=.)_(predicted|prediction|pred|hat|proba?|probability|score)s?(?=_|$)"
)


def is_named(name: str, role: str) -> bool:
    """Tell whether a name is usual for a role."""
    return _NAMED[role].fullmatch(plain_name(name)) is not None


def rank(role: str, name: str) -> int:
    """The nearer a name is to the usual ones of a role, the higher."""
    best = _BEST[role]
    plain = plain_name(name)
    return len(best) - best.index(plain) if plain in best else 0


def is_outcome(name: str) -> bool:
    """Tell whether a name says what turns out later.

    >>> is_outcome("isFraud"), is_outcome("churned"), is_outcome("default"), is_outcome("fraud_score")
    (True, True, True, False)
    """
    return _OUTCOMES.fullmatch(_ASKING.sub("", plain_name(name))) is not None


def is_truth_of(name: str, prediction: str) -> bool:
    """Tell whether a name says what a prediction's name does, without being one itself.

    >>> [is_truth_of(name, "predicted_price") for name in ("price", "actual_price", "area")]
    [True, True, False]
    """
    subject = _subject(_OF_PREDICTIONS, prediction)
    return subject != plain_name(prediction) and subject == _subject(_OF_TRUTH, name)


def _subject(words: re.Pattern[str], name: str) -> str:
    """What a name is about, without the words that say how it is known."""
    return _ASKING.sub("", words.sub("", plain_name(name)))


def plain_name(name: str) -> str:
    """A name in lower case, with _ for what separates its words."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[\s.\-/]+", "_", spaced.strip().lower())
