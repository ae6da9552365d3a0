"""A small run of mutated configurations; `make reload` is the large one."""

from __future__ import annotations

from tests.reload.run import run, table


def test_each_configuration_counts_from_the_pane_that_its_record_names() -> None:
    """The old one until then, refused ones never, and a replay of the log says the same bytes."""
    report = run(60, seed=4)
    print(table(report))
    assert report.problems == []
    assert report.thresholds >= 15
    assert report.shown >= 10
    assert min(report.outcomes[name] for name in ("refused by what runs", "refused by its check")) > 0
    assert report.deaths > 0


def test_labels_come_and_go_while_the_service_runs() -> None:
    """With other windows, budgets and rules: a replay of the log says the same bytes."""
    report = run(30, seed=5, labels=True)
    print(table(report))
    assert report.problems == []
    assert report.thresholds >= 5
