"""The reference pages list all there is and nothing else: keys, defaults, metrics, reasons, topics and files."""

from __future__ import annotations

import json
import math
import re
from typing import get_args

import pytest
from ruamel.yaml import YAML

from monitor import telemetry
from monitor.bus.memory import MemoryBus
from monitor.codec.captured import CapturedHeader
from monitor.codec.durations import duration_text, parse_duration
from monitor.codec.reasons import SENTENCES
from monitor.config import alerts_schema
from monitor.config.built_in import GAPS, LEAST_SILENCE_MS
from monitor.config.effective import BUILT_IN
from monitor.config.entry import Shape
from monitor.config.metrics import METRICS, Values
from monitor.config.model_contract import THRESHOLD
from monitor.config.performance import PerformanceEntry
from monitor.config.resolved import IncidentSpec
from monitor.config.shape import NOT_YET_KEYS, NOT_YET_VALUES
from monitor.config.streams import LabelsEntry
from monitor.config.windows import WindowEntry
from monitor.evaluate.incident_messages import TITLES
from monitor.evaluate.incidents import CAUSES
from monitor.ledger.commands import Command
from monitor.ledger.entries import Agreement, NoticeName
from monitor.ledger.entry_codec import KIND_OF
from monitor.ledger.ledger_topics import LedgerTopics
from monitor.runner.topics import create_topics
from tests.unit.pages import (
    ALERTS,
    ARCHITECTURE,
    INCIDENTS,
    MESSAGES,
    OPERATIONS,
    ROOT,
    STATISTICS,
    rows,
    section,
    spans,
)

# ---------------------------------------------------------------------- alerts.yaml

SCHEMA = alerts_schema()
SECTIONS = {
    "Top level": "",
    "Limits": "LimitsEntry",
    "Settings": "ModelSettings",
    "Streams": "StreamsEntry",
    "Stream": "StreamEntry",
    "Labels": "LabelsEntry",
    "Columns": "ColumnsEntry",
    "Timestamp": "TimestampEntry",
    "Column": "ColumnEntry BinaryEntry CategoricalEntry FieldEntry",
    "Reference": "ReferenceEntry",
    "Budget": "BudgetEntry",
    "Windows": "WindowEntry",
    "Performance": "PerformanceEntry",
    "Detectors": "ADWIN",
    "Groups": "GroupEntry",
    "Rules": "RuleEntry",
    "Inhibit rules": "InhibitEntry",
    "Incidents": "IncidentsEntry",
    "Retraining": "RetrainingEntry",
    "When": "WhenEntry",
    "Training window": "TrainingWindowEntry",
}
"""Heading -> the definitions of the schema whose keys stand under it."""


def keys(definitions: str) -> list[str]:
    found = [SCHEMA["$defs"][name] for name in definitions.split()] or [SCHEMA]
    mappings = [next((choice for choice in one.get("anyOf", ()) if "properties" in choice), one) for one in found]
    return sorted({key for one in mappings for key in one["properties"]})


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_key_of_alerts_yaml_is_explained_at_its_place(heading: str) -> None:
    """No more and no less than the schema has."""
    assert sorted(cells[0].strip("`") for cells in rows(section(ALERTS, heading))) == sorted(keys(SECTIONS[heading]))


def test_the_keys_of_a_model_are_its_own_and_the_settings() -> None:
    own = [cells[0].strip("`") for cells in rows(section(ALERTS, "Models"))]
    assert sorted([*own, *keys("ModelSettings")]) == sorted(keys("ModelEntry"))
    explained = {name for names in SECTIONS.values() for name in names.split()} | {""}
    assert explained | {"ModelEntry"} | {d for d in SCHEMA["$defs"] if _is_detector(d)} == {
        "",
        *SCHEMA["$defs"],
    }


def _is_detector(definition: str) -> bool:
    return definition.removesuffix("Params") + "Params" in SCHEMA["$defs"]


def test_the_defaults_of_the_settings_are_those_that_hold() -> None:
    """Durations are compared by their length."""
    for name, reported, _ in rows(section(ALERTS, "Settings")):
        value = getattr(BUILT_IN, name.strip("`"))
        if value is None:  # it follows from the data
            assert name == "`no_data`"
            assert reported == f"{GAPS} × longest gap, at least `{duration_text(LEAST_SILENCE_MS)}`"
            continue
        shown = YAML(typ="safe").load(reported.strip("`"))
        if name == "`incidents`":
            shown = {key: parse_duration(one) for key, one in shown.items()}
        if name not in ("`start`", "`timezone`") and isinstance(shown, str):
            shown = parse_duration(shown)
        assert shown == (value.model_dump(exclude_none=True) if isinstance(value, Shape) else value), name


def test_the_defaults_of_incidents_are_those_that_hold() -> None:
    """Durations are compared by their length."""
    shown = {
        name.strip("`"): parse_duration(length.strip("`")) for name, length, _ in rows(section(ALERTS, "Incidents"))
    }
    assert BUILT_IN.incidents is not None
    assert shown == BUILT_IN.incidents.model_dump()
    assert IncidentSpec(**{f"{name}_ms": length for name, length in shown.items()}) == IncidentSpec()


@pytest.mark.parametrize(("heading", "entry"), [("Labels", LabelsEntry), ("Performance", PerformanceEntry)])
def test_the_defaults_of_labels_are_those_of_the_model(heading: str, entry: type[Shape]) -> None:
    """Durations are compared by their length; what is none has none, or is said in words."""
    for name, reported, _ in rows(section(ALERTS, heading)):
        default = entry.model_fields[name.strip("`")].get_default(call_default_factory=True)
        if not default or name in ("`topic`", "`threshold`"):
            assert reported == SAID.get(name, "none")
        elif isinstance(default, WindowEntry):
            assert default == WindowEntry.model_validate(YAML(typ="safe").load(reported.strip("`")))
        else:
            shown = reported.strip("`")
            assert default in (shown, float(shown) if shown[-1].isdigit() else None) or default == parse_duration(shown)


SAID = {"`topic`": "required", "`sample`": "`1`", "`positive`": "1", "`threshold`": f"`{THRESHOLD}`"}
"""Defaults that stand for another value, or for none."""


def test_every_parameter_of_every_detector_is_listed_with_its_default() -> None:
    """River's names and defaults, as the plug-ins have them."""
    listed: dict[tuple[str, str], str] = {}
    owner = ""
    for first, name, default, _ in rows(section(ALERTS, "Detector classes")):
        owner = first.strip("`") or owner
        listed[owner, name.strip("`")] = default
    plugins = {
        d.removesuffix("Params"): SCHEMA["$defs"][d]["properties"] for d in SCHEMA["$defs"] if d.endswith("Params")
    }
    assert set(listed) == {(name, key) for name, properties in plugins.items() for key in properties}
    for (name, key), reported in listed.items():
        default = plugins[name][key].get("default")
        assert (
            default is None
            or json.loads(reported.strip("`") if not isinstance(default, str) else f'"{default}"') == default
        )
        assert (default is None) == (not reported.startswith("`")), (name, key)


def test_what_is_refused_by_name_is_listed() -> None:
    """Keys and values of the design that are not built yet."""
    reported = set(re.findall(r"\w+", " ".join(spans(section(ALERTS, "Not supported yet")))))
    refused = {word for words in (*NOT_YET_KEYS.values(), *NOT_YET_VALUES.values()) for word in words}
    assert refused <= reported


# ---------------------------------------------------------------------- metrics, messages, files


def test_every_metric_is_explained_under_its_subject() -> None:
    """With the columns that have it, and its upper bound where it has one."""
    headings = {
        "Columns against the reference": "column",
        "Columns by themselves": "column",
        "Streams": "stream",
        "Detectors": "detector",
        "Performance": "performance",
    }
    reported = {
        cells[0].strip("`"): (subject, cells)
        for heading, subject in headings.items()
        for cells in rows(section(STATISTICS, heading))
    }
    assert set(reported) == set(METRICS)
    kinds = {"all": ("numeric", "categorical"), "numeric": ("numeric",), "categorical": ("categorical",)}
    classes = ("classification_binary", "classification_multiclass")
    tasks = {"all": (*classes, "regression"), "classes": classes, "binary": classes[:1], "regression": ("regression",)}
    for name, metric in METRICS.items():
        subject, cells = reported[name]
        assert subject == metric.subject
        assert metric.subject != "column" or kinds[cells[1]] == metric.kinds, name
        assert metric.subject != "performance" or tasks[cells[1]] == metric.tasks, name
        assert RANGES[metric.values] in cells, name


RANGES = {
    Values(-math.inf, math.inf): "the column's unit",
    Values(0.0, math.inf): "0 and up",
    Values(0.0, math.inf, whole=True): "0 and up, whole",
    Values(0.0, 1.0): "0 to 1",
    Values(0.0, 34.54): "0 to 34.54",
    Values(0.0, 256.0): "0 to 256",
    Values(0.0, 1.0, whole=True): "0 or 1",
}
"""What a metric can be, and how its row says so."""


def test_every_metric_of_the_endpoint_is_listed_as_it_is() -> None:
    """Word for word, in the order of the list."""
    reported = [cells[:4] for cells in rows(section(OPERATIONS, "Metrics"))]
    assert reported == [
        [f"`{metric.name}`", metric.kind, ", ".join(f"`{label}`" for label in metric.labels), metric.meaning]
        for metric in telemetry.METRICS.values()
    ]


def test_every_reason_of_dead_letters_is_explained_in_its_order() -> None:
    reported = [cells[0].strip("`") for cells in rows(section(MESSAGES, "Dead letters"))]
    assert [reason for reason in reported if not reason.startswith("sd-")] == list(SENTENCES)


def test_every_kind_of_entry_is_explained_with_its_topic() -> None:
    """In the table of the page are the kinds that this release writes, and no others."""
    reported = {cells[0].strip("`"): cells[1].strip("`") for cells in rows(section(MESSAGES, "Entries"))}
    others = dict.fromkeys(get_args(Agreement), "decisions") | {Command: "commands"}
    assert reported == {name: others.get(kind, "ledger") for kind, name in KIND_OF.items()}


def test_every_notice_is_explained() -> None:
    """By the name that its labels give."""
    reported = [cells[0].strip("`") for cells in rows(section(MESSAGES, "Notices"))]
    assert sorted(name for name in reported if name[0].isupper()) == sorted(get_args(NoticeName))


def test_the_titles_of_incidents_are_those_of_the_code() -> None:
    assert rows(section(INCIDENTS, "Titles")) == [[f"`{cause}`", TITLES[cause]] for cause in CAUSES]


def test_the_topics_are_those_that_are_created() -> None:
    """On a bus that has nothing but the input."""
    bus = MemoryBus()
    bus.create("in", 3)
    create_topics(bus, LedgerTopics("streamdrift.", 8), ("in",))
    reported = {cells[0].strip("`").replace("<input topic>", "in") for cells in rows(section(MESSAGES, "Topics"))}
    assert reported == set(bus.topics()) - {"in"}


def test_the_header_of_a_captured_log_is_explained_field_by_field() -> None:
    """Files of this format outlive the version that wrote them."""
    assert set(CapturedHeader.__struct_fields__) <= set(spans(section(MESSAGES, "Captured log")))


def test_the_codemap_names_every_package_and_only_files_that_exist() -> None:
    """Every part of `monitor` has its row."""
    reported = {cells[0].strip("`"): cells[2] for cells in rows(section(ARCHITECTURE, "Codemap"))}
    parts = {path.name + ("/" if path.is_dir() else "") for path in (ROOT / "monitor").iterdir()}
    packages = {part for part in parts if part.endswith(".py") or (ROOT / "monitor" / part / "__init__.py").exists()}
    assert set(reported) == packages - {"__init__.py"}
    for package, files in reported.items():
        for name in re.findall(r"`(\w+\.py)`", files):
            assert (ROOT / "monitor" / package / name).exists(), f"{package}{name}"


def test_the_files_that_the_architecture_page_names_exist() -> None:
    """As `package/file.py`, from `monitor` or from the top."""
    for span in spans(ARCHITECTURE.read_text()):
        if re.fullmatch(r"[\w/.]+/[\w/.]*\.(py|md|toml)", span):
            assert (ROOT / "monitor" / span).exists() or (ROOT / span).exists(), span
