"""Windows and stretches against sums over all blocks."""

from __future__ import annotations

import numpy as np

from monitor.drift.windows import LEVELS, PARTS, Windows


def test_windows_and_stretches_are_sums_of_the_last_blocks() -> None:
    """Each moved window is full, and what ends now begins where some part begins; a restored one goes on alike."""
    blocks = np.random.default_rng(1).integers(-5, 9, (1200, 3))
    windows = Windows(3)
    for count in range(1, len(blocks) + 1):
        windows.add(100 * (count - 1), blocks[count - 1])
        sizes = [size for size in (1, 2, 4, 8) if size <= count]
        sizes += [PARTS << j for j in range(1, LEVELS) if count % (1 << j) == 0 and count >= PARTS << j]
        assert windows.moved().tolist() == [blocks[count - size : count].sum(axis=0).tolist() for size in sizes]
        starts = [suffix.start // 100 for suffix in windows.suffixes()]
        assert starts == sorted(set(starts), reverse=True)
        assert starts[0] == count - 1
        for suffix in windows.suffixes():
            assert suffix.sums.tolist() == blocks[suffix.start // 100 : count].sum(axis=0).tolist()
        if count % 97 == 0:
            state, windows = windows.state(), Windows(3)
            windows.restore(*state)


def test_stretches_reach_back_over_the_longest_window() -> None:
    windows = Windows(1)
    for count in range(2000):
        windows.add(count, np.ones(1, dtype=np.int64))
    assert windows.suffixes()[-1].sums[0] >= PARTS << (LEVELS - 1)
