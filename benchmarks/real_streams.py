"""Replays public streams under the shipped rules: what alerts, when, and whether every row ends in a bucket.

    python benchmarks/real_streams.py --data DIR [--json FILE]

DIR holds `elec_first_30k.parquet` and `car_loan_first_50k.parquet`; what is not there is left out and said so.
The reference is a stream's first 5,000 rows. The rules are those of the shipped alerts.yaml that need no labels,
categories or predictions.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from ruamel.yaml import YAML

from monitor.cli.replay import Options, replay
from monitor.codec.canonical import time_text
from monitor.codec.times import parse_time
from monitor.sources.table_rows import DEFAULT_START_MS

ROWS = 5000
KEPT = ("FeatureNullsHigh", "FeatureInvalid", "FeatureDrift", "FeatureShift", "ChangeDetected")


@dataclass(frozen=True)
class RealStream:
    """A stream: its file, its columns, and columns that are constant until a known row."""

    name: str
    columns: tuple[str, ...]
    constant: tuple[str, ...] = ()
    until: int = 0


STREAMS = (
    RealStream("elec_first_30k", ("f0", "f1", "f2", "f3", "f4", "f5"), ("f3", "f4", "f5"), 17_424),
    RealStream(
        "car_loan_first_50k",
        (
            "car_value",
            "salary_range",
            "debt_to_income_ratio",
            "loan_length",
            "repaid_loan_on_prev_car",
            "size_of_downpayment",
            "driver_tenure",
            "pred_proba",
        ),
    ),
)


def main() -> None:
    """Replay every stream that is there and print one row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the streams")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    console, rows = Console(), []
    for stream in STREAMS:
        file = arguments.data / f"{stream.name}.parquet"
        if file.exists():
            rows.append(figures(stream, file))
        else:
            console.print(f"{file} is not there: left out")
    table = Table("stream", "rows in buckets", "firing", "by rule", "first alert of a column that was constant")
    for row in rows:
        cells = (row["stream"], row["records"], row["firing"], row["rules"], row["after_constant"])
        table.add_row(*(json.dumps(c) if isinstance(c, dict) else str(c) for c in cells))
    console.print(table)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


def figures(stream: RealStream, file: Path) -> dict[str, object]:
    """Replay one stream."""
    from monitor.cli.reference import build

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config, reference, out = folder / "alerts.yaml", folder / "reference.json", folder / "alerts.jsonl"
        write_config(stream, reference, config)
        build(file, reference, config, None, ROWS, None)
        outcome = replay(
            Options(sources=(str(file),), config=config, start=time_text(DEFAULT_START_MS), alerts_out=out)
        )
        alerts = [json.loads(line)["data"] | {"at": json.loads(line)["time"]} for line in out.read_text().splitlines()]
    firing = [alert for alert in alerts if alert.get("status") == "firing"]
    rules: dict[str, int] = {}
    for alert in firing:
        rules[alert["labels"]["alertname"]] = rules.get(alert["labels"]["alertname"], 0) + 1
    first: dict[str, int] = {}
    for alert in firing:
        column = alert["labels"].get("column")
        if column in stream.constant:
            first.setdefault(column, (parse_time(alert["at"]) - DEFAULT_START_MS) // 1000 - stream.until)
    return {
        "stream": stream.name,
        "records": outcome.records,
        "firing": len(firing),
        "rules": rules,
        "after_constant": {column: f"{rows:+d} rows" for column, rows in sorted(first.items())},
    }


def write_config(stream: RealStream, reference: Path, out: Path) -> None:
    """The shipped alerts.yaml, for the columns of a stream."""
    yaml = YAML()
    config = yaml.load((Path(__file__).parents[1] / "alerts.yaml").read_text())
    config["models"] = {
        stream.name: {
            "task": "classification_binary",
            "streams": {"features": {"topic": stream.name}},
            "columns": {"numerical": list(stream.columns)},
            "reference": {"path": str(reference)},
        }
    }
    config["detectors"] = {"value_adwin": config["detectors"]["value_adwin"]}
    for group in config["groups"]:
        group["models"] = [stream.name]
        group["rules"] = [rule for rule in group["rules"] if rule["alert"] in KEPT]
    config["groups"] = [group for group in config["groups"] if group["rules"]]
    del config["inhibit_rules"], config["retraining"]
    with out.open("w") as file:
        yaml.dump(config, file)


if __name__ == "__main__":
    main()
