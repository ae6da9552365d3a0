"""What a chaos run says at its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.chaos.oracle import Verdict
from tests.chaos.plan import HITS, Options


def lacks(options: Options, counts: Mapping[str, int], verdicts: Mapping[str, Verdict]) -> list[str]:
    """What a run has to have had to prove anything."""
    kills = options.kills
    wanted = {
        "kill": kills,
        "kill at lag": kills // 2,
        **dict.fromkeys(HITS.values(), min(10, kills // 10)),
        "freeze": options.freezes,
        "join": options.joins,
        "leave": options.joins,
        "broker restart": options.restarts,
        "broker kill": options.broker_kills,
    }
    found = {name: counts.get(name, 0) for name in wanted}
    lacking = [f"{found[name]} times {name}, {least} wanted" for name, least in wanted.items() if found[name] < least]
    return lacking + [f"no message in {name}" for name, verdict in verdicts.items() if verdict.expected == 0]


def table(report: dict[str, Any]) -> str:
    """The report for people."""
    lines = [
        f"{report['events']} events ({report['records']} records), {report['seconds']} s, "
        f"caught up {report['catch_up_s']} s after the last event, {report['heartbeats']} heartbeats"
    ]
    lines += [f"  {name:<36} {count}" for name, count in report["faults"].items()]
    lines.append(
        f"  {'':<24}" + "".join(f"{name:>13}" for name in ("expected", "found", "missing", "duplicate", "other"))
    )
    for topic, v in report["topics"].items():
        lines.append(
            f"  {topic:<24}" + "".join(f"{v[k]:>13}" for k in ("expected", "found", "missing", "duplicate", "other"))
        )
    lines.append(f"  quarantined {report['quarantined']}; buckets {report['buckets']}")
    lines += [f"FAILED: {problem}" for problem in report["problems"]] or ["HOLDS: the same bytes as undisturbed"]
    return "\n".join(lines)
