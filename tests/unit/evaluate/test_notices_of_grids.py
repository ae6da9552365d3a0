"""A grid that left values of its sample out is reported when its lane is judged."""

from __future__ import annotations

import numpy as np

from benchmarks.null_categories import CATEGORY, of_categories
from monitor.evaluate.notices import dictionary_limited
from monitor.events import TopicPartition
from monitor.panes.grid import MAX_CATEGORIES, make_grid
from monitor.panes.open_pane import OpenPane
from monitor.panes.rows import take


def test_a_dictionary_that_left_values_out_is_one_notice_that_names_the_column() -> None:
    """One value more than it holds is one too many; as many as it holds is not."""
    for values in (3, MAX_CATEGORIES, MAX_CATEGORIES + 1):
        sample = of_categories([f"v{k}" for k in range(values)])
        grid = make_grid(sample, CATEGORY)
        pane = OpenPane(take(sample, np.arange(0)), TopicPartition("t", 0), 7, 10_000, 100)
        pane.add(take(sample, np.arange(3)), grid)
        found = list(dictionary_limited(pane.seal(grid), grid, 80_000))
        assert len(found) == (values > MAX_CATEGORIES)
        for notice in found:
            assert notice.labels == (("bound", "dictionary"), ("column", "c"), ("stream", "features"))
            assert str(values) in notice.text
            assert notice.at == 80_000
