"""Random logs of predictions and labels: every window, counter and alert as a slow oracle has it, however it is folded.

    python -m tests.labels.run --logs 300

Each log is folded whole, in random batches, and restored at places that chance picks; all that is said has to be the
same bytes, and what the oracle says.
"""

from __future__ import annotations

import argparse
import time
import traceback

from tests.labels import ways


def main() -> int:
    """The command; 0 if all holds."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--logs", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    options = parser.parse_args()
    began, failed = time.monotonic(), list[int]()
    for number, seed in enumerate(range(options.first, options.first + options.logs), 1):
        try:
            wrong = ways.check(seed)
        except Exception:  # the other logs are to be tried, too
            wrong = traceback.format_exc().splitlines()[-4:]
        if wrong:
            failed.append(seed)
            print(f"FAILED seed {seed}:", *wrong[:8], sep="\n  ", flush=True)
        if number % 10 == 0:
            seconds = time.monotonic() - began
            print(f"{number} of {options.logs} logs, {len(failed)} failed, {seconds:.0f} s", flush=True)
    print(f"{options.logs} logs; failed: {failed or 'none'}; {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
