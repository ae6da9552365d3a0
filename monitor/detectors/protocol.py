"""What a detector is to evaluate, and what each of the eight reads.

| class | reads | River's input | ours | seeded |
|---|---|---|---|---|
| ADWIN, PageHinkley | rank | any number | the rank | no |
| KSWIN | rank | any number | the rank | yes: by `seed`, else by the series |
| DDM, EDDM, HDDMA, HDDMW | binary | 1 = error | 1 = error | no |
| FHDDM | binary | says 1 = error, but alarms when the mean falls | 1 = error, turned round for River | no |

A detector that reads ranks may be fed with 0 and 1 as well: those are numbers in [0, 1].
"""

from __future__ import annotations

from typing import Literal, Protocol

from monitor.detectors.state import State
from monitor.events import Float64s

Reads = Literal["rank", "binary"]
"""rank: numbers in [0, 1]. binary: 0 or 1, where 1 is the error or event that is watched."""


class Detector(Protocol):
    """One change detector on one series. Evaluate feeds it with the trace of each pane, in pane order.

    The caller leaves out what is not VALID: all values are finite and in [0, 1] (0 or 1 if `reads` is "binary").
    It may rely on this: however the stream is cut into calls, the same values are found; after a detection the
    detector has started afresh.
    """

    reads: Reads

    def update(self, values: Float64s) -> list[int]:
        """Feed values (n,) in order; the places in `values`, ascending, at which a change is detected."""

    @property
    def is_blind(self) -> bool:
        """True if it read a value outside [0, 1] and finds nothing any more; gated inputs make that impossible."""

    def state(self) -> State:
        """All that later updates depend on."""

    def restore(self, state: State) -> None:
        """Go on from there; of a detector just built of the same plug-in and seed. Raises FormatError."""
