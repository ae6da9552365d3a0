"""Reference files of ours: grids and references as JSON texts, which `reference: {path: ...}` takes as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from monitor.codec.formats import decode_format
from monitor.errors import FormatError
from monitor.evaluate.labelled_reference import LabelledReference, decode_labelled, encode_labelled
from monitor.evaluate.reference import Reference, decode_reference, encode_reference
from monitor.panes.grid import Grid, decode_grid, encode_grid

FILE_FORMAT = "streamdrift.reference-file/1"
GridAndReference = tuple[Grid, Reference]


class _ReferenceFile(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One pair of texts a stream, and the text of the labelled reference, or why there is none."""

    format: str
    streams: tuple[tuple[str, str], ...]
    labelled: str = ""
    unlabelled: str = ""


class ReferenceFile(NamedTuple):
    """What a file of ours holds: grid and reference of each stream, and the labelled reference, or why it has none."""

    pairs: list[GridAndReference]
    labelled: LabelledReference | str


def write_reference_file(pairs: Sequence[GridAndReference], labelled: LabelledReference | str = "") -> bytes:
    """Grids and references as a file that `reference: {path: ...}` takes. `labelled`: as in `ReferenceFile`."""
    streams = tuple((encode_grid(grid).decode(), encode_reference(reference)) for grid, reference in pairs)
    both = ("", labelled) if isinstance(labelled, str) else (encode_labelled(labelled), "")
    return msgspec.json.encode(_ReferenceFile(FILE_FORMAT, streams, *both)) + b"\n"


def read_reference_file(value: bytes) -> ReferenceFile:
    """Grids and references of a file of ours; raises FormatError."""
    raw = decode_format(value, _ReferenceFile, FILE_FORMAT, "reference file")
    pairs = []
    for grid_text, reference_text in raw.streams:
        grid = decode_grid(grid_text.encode())
        pairs.append((grid, decode_reference(reference_text, [grid])[0]))
    if not raw.labelled:
        return ReferenceFile(pairs, raw.unlabelled)
    labelled = decode_labelled(raw.labelled)
    grids = [grid for grid, _ in pairs if grid.digest == labelled.grid]
    if not grids:
        raise FormatError(f"labelled reference of {labelled.model} stands on grid {labelled.grid}, which is not there")
    labelled.vectors(grids[0])  # unpacks all counts
    return ReferenceFile(pairs, labelled)
