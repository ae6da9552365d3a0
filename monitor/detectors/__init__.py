"""River's drift detectors, one a file, behind one protocol; the unions below are the lists of them and their states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from monitor.detectors.adwin import ADWIN, ADWINState
from monitor.detectors.ddm import DDM, DDMState
from monitor.detectors.eddm import EDDM, EDDMState
from monitor.detectors.fhddm import FHDDM, FHDDMState
from monitor.detectors.hddm_a import HDDMA, HDDMAState
from monitor.detectors.hddm_w import HDDMW, HDDMWState
from monitor.detectors.kswin import KSWIN, KSWINState
from monitor.detectors.page_hinkley import PageHinkley, PageHinkleyState
from monitor.detectors.plugin import Plugin
from monitor.detectors.state import BlindState, FreshState

DetectorPlugin = Annotated[
    ADWIN | KSWIN | PageHinkley | DDM | EDDM | FHDDM | HDDMA | HDDMW, Field(discriminator="class_")
]
"""What `detectors:` in alerts.yaml holds, told apart by `class`."""

PLUGINS: Mapping[str, type[Plugin]] = {
    plugin.__name__: plugin for plugin in (ADWIN, KSWIN, PageHinkley, DDM, EDDM, FHDDM, HDDMA, HDDMW)
}
"""The same by River's class names."""

DetectorState = (
    FreshState
    | BlindState
    | ADWINState
    | KSWINState
    | PageHinkleyState
    | DDMState
    | EDDMState
    | FHDDMState
    | HDDMAState
    | HDDMWState
)
"""What a snapshot holds of a detector, told apart by River's class name: nothing else is ever loaded."""

__all__ = [
    "ADWIN",
    "DDM",
    "EDDM",
    "FHDDM",
    "HDDMA",
    "HDDMW",
    "KSWIN",
    "PLUGINS",
    "DetectorPlugin",
    "DetectorState",
    "PageHinkley",
]
