"""Random logs of predictions and labels: every window, counter and alert as a slow oracle has it, however it is folded.

    python -m tests.labels.run --logs 300

Each log is folded whole, in random batches, and restored at places that chance picks; all that is said has to be the
same bytes, and what the oracle says. Of some, a service whose processes are killed makes a capture as it goes: it has
to say what the replay of that says, to the byte.
"""

from __future__ import annotations

import argparse
import time
import traceback

from monitor.telemetry import configure_logging
from tests.labels import logs, ways

SERVED_S, KILLS = 90, 8
"""Seconds of event time of what is served, and how many processes are killed meanwhile."""


def main() -> int:
    """The command; 0 if all holds."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--logs", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--served", type=int, default=6, help="a service for each so many logs; 0: none")
    options = parser.parse_args()
    configure_logging("critical", "json")
    began, failed = time.monotonic(), list[int]()
    for number, seed in enumerate(range(options.first, options.first + options.logs), 1):
        try:
            wrong = ways.check(logs.random_log(seed))
            if options.served and number % options.served == 0:
                wrong += ways.served(logs.random_log(seed, SERVED_S), KILLS)
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
