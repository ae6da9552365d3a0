"""Docstrings, help texts and pages are plain English: phrases that stand for something plainer are refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INSTEAD = {
    r"\bfor ever\b": "without end, or for good",
    r"\banew\b": "again, or from the start",
    r"\bso many\b": "this many",
    r"\bof (now|before)\b": "present, previous",
    r"\bbe (it|they)\b": "even if it is",
    r"\b(is|are|was) none (of|to|that|has)\b": "is not",
    r"\bnot one (pane|event|row|record|message|word)\b": "no pane, no event",
    r'"""(Whether|Where|Of|By|As|In which|To which|None:)(?= )': "Return true if, or a noun with its verb",
    r"\bonly where\b": "only if",
    r"\bwhere (there (is|are|was)|nothing|nobody|none (is|does|has|of)|it is (not|no))\b": "if",
    r"\b[tT]old\b(?! apart)": "published, logged, reported, known",
    r"\bsaid\b|\b_?say\(|\bsay_": "published, logged, returned, written",
    r"\beat(s|en)?\b": "reads",
    r"[,;] for (it|they|there|what|else|nobody)\b": "because",
    r"[,;:(] since (it|they|there|the|a|an|no|our|all|its|every|that|what|nobody|this|these|both|each)\b": "because",
    r"\b(None|null|[01]) where\b": "None if",
    r"\blets? expect\b": "would predict",
}
"""Patterns, and what to write in their place."""


def texts() -> list[Path]:
    """Everything that is read by people: the code of the service and of the producers, and the pages."""
    code = [path for package in ("monitor", "producers") for path in sorted((ROOT / package).rglob("*.py"))]
    pages = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "monitor/README.md"]
    return [*code, *pages, ROOT / "alerts.yaml"]


def faults(path: Path) -> list[str]:
    """What is to be mended in a file, each with its line and what to write."""
    return [
        f"{path.relative_to(ROOT)}:{number}: {found[0]!r}: write {instead!r}"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for pattern, instead in INSTEAD.items()
        if (found := re.search(pattern, line)) is not None
    ]


def test_what_people_read_is_plain_english() -> None:
    """Subject and verb first, one word for one thing, and no phrase that has a plainer one."""
    found = [fault for path in texts() for fault in faults(path)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "it goes on for ever",
        "a detector begins anew",
        "closes after so many events",
        "the end of now",
        "has its partitions (be it none)",
        "starts of its process; the first is none to mend",
        "1 while the model has not one pane",
        '    """Whether the rule is violated."""',
        '    """Of each setting what the model has."""',
        '    """By lane."""',
        '    """As the other does."""',
        "judged only where a window has closed",
        "created where nobody has before",
        "Told how many bytes",
        "nobody is told",
        "self._say(text)",
        "messages that were said before",
        "it eats 0 or 1",
        "the row waits, for it would be late",
        "limits, since the service keeps it all in memory",
        "`most`: its bound, None where it has none",
    ],
)
def test_each_phrase_is_found(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The patterns match what they are meant for."""
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    path = tmp_path / "text.py"
    path.write_text(line)
    assert len(faults(path)) == 1


@pytest.mark.parametrize(
    "line",
    [
        '    """Return true if the rule is violated, for each column."""',
        '    """The newest reference, by lane."""',
        "where a first start begins",
        "stands in the ledger, where none belongs",
        "two brokers can be told apart",
        "since the last judgement",
        "there is none",
        "'x' is not one of 'y', 'z'",
        "the value is not one whole JSON text",
    ],
)
def test_plain_words_are_not(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are no phrases."""
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    path = tmp_path / "text.py"
    path.write_text(line)
    assert faults(path) == []
