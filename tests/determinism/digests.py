"""Digests of random logs under random batches, one a line: run in processes of other settings, to be compared."""

from __future__ import annotations

import random
import sys

from tests.determinism import logs


def main() -> None:
    """Arguments: first seed, last seed (exclusive), salt of the batches."""
    first, last, salt = (int(argument) for argument in sys.argv[1:4])
    for seed in range(first, last):
        log = logs.random_log(seed)
        print(seed, logs.digest(logs.run(log, random.Random(salt * 1_000_003 + seed))), flush=True)


if __name__ == "__main__":
    main()
