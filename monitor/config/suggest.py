"""Suggestions for mistyped words."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'psi'?`, or "" if no known word is near.

    >>> did_you_mean("treshold", ["threshold", "op"])
    "; did you mean 'threshold'?"
    """
    near = nearest(word, known)
    return f"; did you mean {near!r}?" if near is not None else ""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that was probably meant, or None.

    >>> nearest("js", ["psi", "js_distance", "ks"])
    'js_distance'
    """
    candidates = sorted(set(known))
    by_case = {candidate.casefold(): candidate for candidate in candidates}
    if word.casefold() in by_case:
        return by_case[word.casefold()]
    near = get_close_matches(word[:128], candidates, n=1, cutoff=0.6)
    if near:
        return near[0]
    longer = [candidate for candidate in candidates if word.casefold() in candidate.casefold().split("_")]
    return longer[0] if len(longer) == 1 else None
