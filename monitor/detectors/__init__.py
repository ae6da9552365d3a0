"""River's drift detectors, one a file, behind one protocol; the union below is the list of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from monitor.detectors.adwin import ADWIN
from monitor.detectors.ddm import DDM
from monitor.detectors.eddm import EDDM
from monitor.detectors.fhddm import FHDDM
from monitor.detectors.hddm_a import HDDMA
from monitor.detectors.hddm_w import HDDMW
from monitor.detectors.kswin import KSWIN
from monitor.detectors.page_hinkley import PageHinkley

DetectorPlugin = Annotated[
    ADWIN | KSWIN | PageHinkley | DDM | EDDM | FHDDM | HDDMA | HDDMW, Field(discriminator="class_")
]
"""What `detectors:` in alerts.yaml holds, told apart by `class`."""

__all__ = ["ADWIN", "DDM", "EDDM", "FHDDM", "HDDMA", "HDDMW", "KSWIN", "DetectorPlugin", "PageHinkley"]
