"""Mutated alerts.yaml: with other thresholds, with lanes that stand on something else, and broken ones.

One that reads another topic is sound, too, but a service that runs refuses it.
"""

from __future__ import annotations

import random
from collections.abc import Callable

CONFIG = """version: 1
defaults: {{window: {{events: 6, every: 1}}, lateness: 2s, pane: 2s, interval: {interval}s, max_clock_skew: 1m}}
models:
  m:
    task: classification_binary
    streams: {{features: {{topic: ml.features}}, predictions: {{topic: ml.predictions}}}}
    columns: {{prediction: y_pred, numerical: [a], categorical: [c]}}
    reference: {{first: 100}}
groups:
  - name: g
    models: [m]
    rules:
      - {{alert: Always, expr: 'mean{{column="a"}} > -{always}', min_events: 1, labels: {{severity: {severity}}}}}
      - {{alert: Psi, expr: psi > {psi}, for: {hold}s, keep_firing_for: {keep}s{under}}}
      - {{alert: Spread, expr: mean > reference_mean + 2 * reference_std, window: {{time: {window}s, every: 4s}}}}
retraining:
  - trigger: t
    models: [m]
    when: {{any: [Psi]}}
    cooldown: {cooldown}s
    training_window: {{since: first_violation, max: 1h}}
"""
"""`Always` is judged at every pane end, so that each new threshold is in force at its first judgement."""
LABELS = """
    performance: {{window: {{time: {time}s, every: {every}s}}, mature: {mature}, baseline: {{accuracy: {baseline}}}}}
"""
ON_LABELS = """
  - name: labels
    models: [m]
    rules:
      - {{alert: Drop, expr: accuracy < baseline - {drop}, min_labels: 5, maturity: {maturity}}}
      - {{alert: Errors, expr: 'change{{detector="errors"}} > 0'}}
"""
ANOTHER = """
  n:
    task: classification_binary
    streams: {predictions: {topic: ml.predictions}, labels: {topic: ml.labels, max_delay: 40s, max_early: 4s}}
    columns: {id: prediction_id, prediction: y_pred, label: y_true}
    performance: {window: {time: 20s, every: 4s}, baseline: {accuracy: 0.5}}
    reference: {first: 100}
    pane: 2s
    lateness: 2s
"""
"""A model that always has labels, so that those of `m` may come and go while the service runs."""
_NASTY = "{}[]:,'\"&*!|>%@`#\t \n\0é-0123456789.xX"
_WORDS = (
    "alert",
    "expr",
    "rules",
    "models",
    "m",
    "g",
    "psi",
    "mean",
    "events",
    "null",
    "true",
    "NO",
    "1e999",
    "-1",
    "2s",
)


def sound(rng: random.Random) -> str:
    """A file that a running service takes."""
    return CONFIG.format(
        interval=rng.choice([2, 2, 2, 4]),
        always=round(rng.uniform(100, 100_000), 3),
        severity=rng.choice(["info", "warning", "critical"]),
        psi=round(rng.uniform(0.05, 2), 3),
        hold=rng.choice([0, 2, 4, 6]),
        keep=rng.choice([0, 2, 8]),
        window=rng.choice([8, 12, 20]),
        cooldown=rng.choice([0, 10, 60]),
        under=rng.choice(["", ", under: Spread"]),
    )


def labelled(rng: random.Random) -> str:
    """A sound file in which `m` mostly has labels, judged in one way or another; and another model always has."""
    text = sound(rng)
    if rng.random() < 0.8:
        every = rng.choice([2, 4, 10])
        performance = LABELS.format(
            time=every * rng.choice([1, 2, 5]),
            every=every,
            mature=rng.choice([0.5, 0.9]),
            baseline=rng.choice([0.5, 0.6]),
        )
        delay, pending = rng.choice([20, 40, 40]), rng.choice([30, 1000, 1000])
        labels = f", labels: {{topic: ml.labels, max_delay: {delay}s, max_early: 4s, pending: {pending}}}}}"
        rules = ON_LABELS.format(drop=rng.choice([0.0, 0.1]), maturity=rng.choice(["mature", "provisional"]))
        text = text.replace("ml.predictions}}", "ml.predictions}" + labels)
        text = text.replace("prediction: y_pred", "id: prediction_id, label: y_true, prediction: y_pred")
        detectors = "detectors: {errors: {class: ADWIN, input: error, model: m}}\n"
        text = text.replace("groups:\n", f"{performance}{detectors}groups:\n")
        text = text.replace("retraining:\n", f"{rules}retraining:\n")
    return text.replace("models:\n", f"models:\n{ANOTHER}", 1)


def mutant(rng: random.Random, sound: Callable[[random.Random], str] = sound) -> bytes:
    """A file of any sort: two in five sound, one in ten with other lanes or topics, the others mutated."""
    text, kind = sound(rng), rng.random()
    if kind < 0.4:
        return text.encode()
    if kind < 0.5:
        old, new = rng.choice(_RESHAPED)
        assert old in text
        return text.replace(old, new, 1).encode()
    if kind < 0.53:
        return rng.choice([b"", b"\xff\xfe\x00", b"[" * 100_000, b"version: 1", text.encode()[:100] + b"\xc3"])
    for _ in range(rng.randint(1, 3)):
        text = rng.choice(_MUTATE)(rng, text)
    return text.encode("utf-8", "surrogatepass")


_RESHAPED = (
    ("numerical: [a]", "numerical: [a, b]"),
    ("pane: 2s", "pane: 1s"),
    ("lateness: 2s", "lateness: 5s"),
    ("first: 100", "first: 110"),
    ("topic: ml.predictions", "topic: ml.other"),
)
"""Sound by themselves: lanes start again; another topic is refused by what runs."""


def _delete(rng: random.Random, text: str) -> str:
    at = rng.randrange(len(text))
    return text[:at] + text[at + rng.randint(1, 4) :]


def _insert(rng: random.Random, text: str) -> str:
    at = rng.randrange(len(text))
    return text[:at] + rng.choice(_NASTY) + text[at:]


def _change(rng: random.Random, text: str) -> str:
    at = rng.randrange(len(text))
    return text[:at] + rng.choice(_NASTY) + text[at + 1 :]


def _line(rng: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    at = rng.randrange(len(lines))
    what = rng.choice(["drop", "double", "swap"])
    if what == "drop":
        del lines[at]
    elif what == "double":
        lines.insert(at, lines[at])
    else:
        other = rng.randrange(len(lines))
        lines[at], lines[other] = lines[other], lines[at]
    return "".join(lines)


def _word(rng: random.Random, text: str) -> str:
    words = text.split(" ")
    words[rng.randrange(len(words))] = rng.choice(_WORDS)
    return " ".join(words)


def _cut(rng: random.Random, text: str) -> str:
    return text[: rng.randrange(len(text))]


_MUTATE: tuple[Callable[[random.Random, str], str], ...] = (_delete, _insert, _change, _change, _line, _word, _cut)
