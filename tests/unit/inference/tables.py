"""Fifteen tables as people have them, and the role of each column, written down before anything was inferred."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet

from monitor.inference.roles import Role

ROWS = 1500
BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
Row = dict[str, Any]


class Table(NamedTuple):
    """One table. `row`: makes the n-th; `roles`: what is right; `write`: as a file of that name."""

    name: str
    row: Callable[[int, random.Random], Row]
    roles: Mapping[str, Role]
    write: Callable[[Path, list[Row]], None]
    rows: int = ROWS

    def file(self, folder: Path) -> Path:
        rng = random.Random(self.name)
        path = folder / self.name
        self.write(path, [self.row(n, rng) for n in range(self.rows)])
        return path


def _csv(sep: str = ",", decimal: str = ".", encoding: str = "utf-8") -> Callable[[Path, list[Row]], None]:
    def text(cell: Any) -> str:
        return str(cell).replace(".", decimal) if isinstance(cell, float) else "" if cell is None else str(cell)

    def write(path: Path, rows: list[Row]) -> None:
        out = io.StringIO()
        writer = csv.writer(out, delimiter=sep)
        writer.writerow(rows[0])
        writer.writerows([[text(cell) for cell in row.values()] for row in rows])
        path.write_text(out.getvalue(), encoding=encoding)

    return write


def _parquet(path: Path, rows: list[Row]) -> None:
    pa.parquet.write_table(pa.Table.from_pylist(rows), path)


def _jsonl(path: Path, rows: list[Row]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _json(path: Path, rows: list[Row]) -> None:
    path.write_text(json.dumps(rows), encoding="utf-8")


def _at(n: int, step_s: float = 1.0) -> datetime:
    return BEGIN + timedelta(seconds=n * step_s)


def _iso(n: int, step_s: float = 1.0) -> str:
    return _at(n, step_s).isoformat().replace("+00:00", "Z")


def _uuid(rng: random.Random) -> str:
    return f"{rng.getrandbits(64):016x}"


def _fraud(n: int, rng: random.Random) -> Row:
    score = rng.random()
    return {
        "transaction_id": _uuid(rng),
        "event_time": _iso(n),
        "amount_usd": round(rng.lognormvariate(4, 1), 2),
        "country": rng.choice(["DE", "FR", "US", "GB"]),
        "is_new_card": rng.choice(["yes", "no"]),
        "model_version": "v1" if n < ROWS - 5 else "v2",
        "y_pred_proba": round(score, 4),
        "y_pred": int(score > 0.5),
        "y_true": int(rng.random() < score),
    }


def _german(n: int, rng: random.Random) -> Row:
    return {
        "Zeitstempel": _iso(n, 60),
        "Größe (m²)": round(rng.gauss(80, 20), 1),
        "Preis €": round(rng.gauss(250_000, 40_000), 2),
        "PLZ": f"0{rng.randint(1000, 1040)}",
        "Heizung": rng.choice(["Gas", "Öl", "Wärmepumpe"]),
        "Balkon": rng.choice(["true", "false"]),
    }


def _tabs(n: int, rng: random.Random) -> Row:
    return {
        "ts": int(_at(n).timestamp()),
        "sensor.temp": round(rng.gauss(20, 2), 2),
        "sensor.hum": round(rng.uniform(20, 80), 1),
        "status_code": rng.choice([200, 404, 500]),
    }


def _millis(n: int, rng: random.Random) -> Row:
    return {
        "timestamp": int(_at(n, 0.25).timestamp() * 1000),
        "latency_ms": rng.expovariate(0.02),
        "retries": rng.choice([0, 0, 0, 1, 2, 3, 4, 5, 6]),
        "route": rng.choice(["/a", "/b", "/c"]),
        "prediction": rng.gauss(50, 5),
    }


def _no_time(n: int, rng: random.Random) -> Row:
    return {
        "": n,
        "sepal_length": round(rng.gauss(5.8, 0.8), 1),
        "sepal_width": round(rng.gauss(3.0, 0.4), 1),
        "species": rng.choice(["setosa", "versicolor", "virginica"]),
    }


def _reviews(n: int, rng: random.Random) -> Row:
    words = ["good", "bad", "very", "slow", "fast", "never", "again", "delivery", "price", "thing"]
    return {
        "created_at": _iso(n, 30),
        "review": " ".join(rng.choices(words, k=rng.randint(6, 14))),
        "stars": rng.randint(1, 9),
        "channel": rng.choice(["web", "app"]),
        "source": "import",
    }


def _copies(n: int, rng: random.Random) -> Row:
    label = rng.choice(["good", "bad"])
    return {
        "time": _iso(n),
        "income": round(rng.gauss(3000, 500)),
        "risk": {"good": "A", "bad": "B"}[label],
        "risk_value": {"good": 10.0, "bad": 90.0}[label],
        "target": label,
    }


def _typed(n: int, rng: random.Random) -> Row:
    return {
        "event_time": _at(n, 10),
        "height": rng.gauss(170, 9),
        "active": rng.random() < 0.3,
        "embedding": [rng.gauss(0, 1) for _ in range(4)],
        "city": rng.choice(["Kyiv", "Lyon", "Oslo", None]),
        "extra": {"a": 1, "b": rng.random()},
    }


def _daily(n: int, rng: random.Random) -> Row:
    return {
        "date": (BEGIN + timedelta(days=n)).date().isoformat(),
        "sales": rng.randint(50, 5000),
        "weekday": (n + 2) % 7,
        "promotion": rng.choice(["y", "n"]),
        "store_id": f"S{rng.randint(1, 30)}",
    }


def _many(n: int, rng: random.Random) -> Row:
    return {
        "event_ts": _iso(n),
        "merchant": f"merchant-{int(rng.paretovariate(0.6)) % 700}",
        "amount": round(rng.expovariate(0.01), 2),
        "device_uuid": _uuid(rng),
        "empty": None,
    }


def _hostile(n: int, rng: random.Random) -> Row:
    return {
        "time": _iso(n),
        'say "hi"': rng.gauss(0, 1),
        "a: b": rng.choice(["x", "y", "z"]),
        "{{ x }}": rng.random(),
        "yes": rng.gauss(5, 1),
        "# note": rng.choice([0, 1]),
    }


def _events(n: int, rng: random.Random) -> Row:
    return {
        "event_id": str(n),
        "model": "scorer",
        "event_time": _iso(n),
        "features": {"amount": rng.gauss(10, 2), "country": rng.choice(["DE", "FR"])},
    }


def _scores(n: int, rng: random.Random) -> Row:
    return {
        "datetime": _iso(n),
        "age": rng.randint(18, 90),
        "score": round(rng.random(), 3),
        "predicted_class": rng.choice(["cat", "dog", "bird"]),
        "label": rng.choice(["cat", "dog", "bird"]),
    }


def _regression(n: int, rng: random.Random) -> Row:
    return {
        "Timestamp": _iso(n, 5),
        "Rooms": rng.randint(1, 12),
        "AreaSqm": round(rng.gauss(90, 25), 1),
        "HasGarden": rng.choice(["T", "F"]),
        "YPred": round(rng.gauss(300, 50), 2),
    }


def _units(n: int, rng: random.Random) -> Row:
    return {
        "ts_ns": int(_at(n, 0.01).timestamp() * 10**9),
        "cpu": rng.random() * 100,
        "month": rng.randint(1, 12),
        "host": rng.choice(["a1", "a2"]),
        "updated_at": _iso(0),
    }


TABLES = (
    Table(
        "fraud.csv",
        _fraud,
        {
            "transaction_id": "left out",
            "event_time": "timestamp",
            "amount_usd": "numerical",
            "country": "categorical",
            "is_new_card": "binary",
            "model_version": "left out",
            "y_pred_proba": "probability",
            "y_pred": "prediction",
            "y_true": "label",
        },
        _csv(),
    ),
    Table(
        "wohnungen.csv",
        _german,
        {
            "Zeitstempel": "timestamp",
            "Größe (m²)": "numerical",
            "Preis €": "numerical",
            "PLZ": "categorical",
            "Heizung": "categorical",
            "Balkon": "binary",
        },
        _csv(";", ",", "utf-8-sig"),
    ),
    Table(
        "sensors.tsv",
        _tabs,
        {"ts": "timestamp", "sensor.temp": "numerical", "sensor.hum": "numerical", "status_code": "categorical"},
        _csv("\t"),
    ),
    Table(
        "latency.parquet",
        _millis,
        {
            "timestamp": "timestamp",
            "latency_ms": "numerical",
            "retries": "numerical",
            "route": "categorical",
            "prediction": "prediction",
        },
        _parquet,
    ),
    Table(
        "iris.csv",
        _no_time,
        {"": "left out", "sepal_length": "numerical", "sepal_width": "numerical", "species": "categorical"},
        _csv(),
    ),
    Table(
        "reviews.jsonl",
        _reviews,
        {
            "created_at": "timestamp",
            "review": "left out",
            "stars": "numerical",
            "channel": "categorical",
            "source": "left out",
        },
        _jsonl,
    ),
    Table(
        "copies.csv",
        _copies,
        {"time": "timestamp", "income": "numerical", "risk": "left out", "risk_value": "left out", "target": "label"},
        _csv("|"),
    ),
    Table(
        "typed.parquet",
        _typed,
        {
            "event_time": "timestamp",
            "height": "numerical",
            "active": "binary",
            "embedding": "arrays",
            "city": "categorical",
            "extra": "left out",
        },
        _parquet,
    ),
    Table(
        "daily.csv",
        _daily,
        {
            "date": "timestamp",
            "sales": "numerical",
            "weekday": "categorical",
            "promotion": "binary",
            "store_id": "categorical",
        },
        _csv(),
        rows=730,
    ),
    Table(
        "merchants.json",
        _many,
        {
            "event_ts": "timestamp",
            "merchant": "categorical",
            "amount": "numerical",
            "device_uuid": "left out",
            "empty": "left out",
        },
        _json,
    ),
    Table(
        "hostile.csv",
        _hostile,
        {
            "time": "timestamp",
            'say "hi"': "numerical",
            "a: b": "categorical",
            "{{ x }}": "numerical",
            "yes": "numerical",
            "# note": "binary",
        },
        _csv(),
    ),
    Table(
        "events.jsonl",
        _events,
        {"event_time": "timestamp", "amount": "numerical", "country": "categorical"},
        _jsonl,
    ),
    Table(
        "scores.csv",
        _scores,
        {
            "datetime": "timestamp",
            "age": "numerical",
            "score": "numerical",
            "predicted_class": "prediction",
            "label": "label",
        },
        _csv(),
    ),
    Table(
        "Houses.CSV",
        _regression,
        {
            "Timestamp": "timestamp",
            "Rooms": "numerical",
            "AreaSqm": "numerical",
            "HasGarden": "binary",
            "YPred": "prediction",
        },
        _csv(),
    ),
    Table(
        "hosts.parquet",
        _units,
        {
            "ts_ns": "timestamp",
            "cpu": "numerical",
            "month": "categorical",
            "host": "categorical",
            "updated_at": "left out",
        },
        _parquet,
    ),
)
