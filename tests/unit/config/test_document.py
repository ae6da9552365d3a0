"""YAML as a tree with places: what it means, and what is refused before it is built."""

from __future__ import annotations

import pytest

from monitor.config.document import DEEPEST, MOST_BYTES, MOST_NODES, compose


def lines(text: str) -> list[str]:
    return [str(problem) for problem in compose(text, "f")[1]]


def test_plain_scalars_mean_what_they_do_in_the_core_schema() -> None:
    """NO, times and dates are text; quotes make text of anything."""
    root, problems = compose("[1, -2, 1.5, 1e3, true, null, ~, NO, 12:30:45, 2026-10-01, '1', \"true\", 0x10]", "f")
    assert root is not None
    assert not problems
    assert root.plain() == [1, -2, 1.5, 1000.0, True, None, None, "NO", "12:30:45", "2026-10-01", "1", "true", "0x10"]


def test_every_key_and_value_has_its_place() -> None:
    """Lines and columns count from 1."""
    root, _ = compose("a:\n  - b: [x, 'y']\n", "f")
    assert root is not None
    item = root.child("a")
    assert item is not None
    inner = item.child(0)
    assert inner is not None
    assert isinstance(inner.content, dict)
    assert inner.content["b"].key == (2, 5)
    quoted = inner.content["b"].node.child(1)
    assert quoted is not None
    assert (quoted.place, quoted.inside) == ((2, 12), 13)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3", ["f:3:1: duplicate key 'a'; first on line 1"]),
        ("a: &x 1\nb: *x", ["f:1:4: anchors are not", "f:2:4: aliases are not"]),
        ("a: !!str 1\nb: !python/object:os.system {}", ["f:1:4: tags are not", "f:2:4: tags are not"]),
        ("? [a]\n: 1", ["f:1:3: a key is a single word"]),
        ("a: 1\n---\nb: 2", ["f:2:1: a second document"]),
        ("%YAML 1.1\n---\na: 1", ["f:2:1: directives are not supported"]),
        ("a: [1, 2", ["f:1:9: not YAML"]),
        ("a: b: c", ["f:1:5: not YAML"]),
        ("\x00", ["f:1:1: not YAML"]),
        ('"\\UFFFFFFFF"', ["f:1:1: not YAML"]),
        ("[" * 100_000, [f"f:1:{DEEPEST + 1}: nested deeper than {DEEPEST} levels"]),
        ("{a: " * 100_000, [f"f:1:{4 * DEEPEST - 2}: nested deeper"]),
        ("x" * (MOST_BYTES + 1), ["f:1:1: the file is larger than 1 MiB"]),
        ("é" * (MOST_BYTES // 2 + 1), ["f:1:1: the file is larger than 1 MiB"]),
    ],
)
def test_what_is_dangerous_or_broken_is_refused_with_its_place(text: str, expected: list[str]) -> None:
    """Depth, size, aliases, tags, duplicates, syntax: each by name, none by a crash."""
    found = lines(text)
    assert len(found) == len(expected)
    assert all(line.startswith(start) for line, start in zip(found, expected, strict=True))


def test_a_bomb_of_aliases_is_never_set_off() -> None:
    """Each level stands for ten of the one below: a hundred million values in 300 characters."""
    levels = [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]" for i in range(1, 9)]
    root, problems = compose("\n".join(["l0: &l0 [x]", *levels]), "f")
    assert len(problems) == 9 + 80
    assert root is not None
    assert len(str(root.plain())) < 1_000


def test_the_number_of_values_is_capped() -> None:
    """A small file can hold many values; they are counted while it is read."""
    found = lines("[" + "1," * MOST_NODES + "]")
    assert len(found) == 1
    assert f"more than {MOST_NODES} values" in found[0]
