"""The chaos run: the service on real Kafka under faults drawn from a seed, compared with an undisturbed replay.

    python -m tests.chaos.run --kills 200 --freezes 50 --joins 100 --restarts 20 --events 2000000 --seed 1 --dir DIR

Three profile and two evaluate processes over six partitions; the traffic lasts as long as the faults, and its last
events come after the last of them. With --labels there is a model whose labels come two days behind, so many of them
in one night, and its twin without labels, which has to find the same drift in the predictions. Commands come among the
events, and each has to be answered once. Then everything is folded, captured and replayed, and alerts, retraining
requests, observations and dead letters are compared byte for byte. A run that is interrupted is gone on with by the
same command: DIR keeps the broker's data, how many events were sent, and which faults have been.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from monitor.bus.kafka import KafkaBus
from monitor.codec import reasons
from monitor.config import load
from monitor.errors import StreamdriftError
from monitor.runner.activations import Activations
from monitor.service import prepare
from monitor.settings import load_settings
from tests.broker import Broker, Cluster
from tests.chaos.absences import Absences
from tests.chaos.commanded import Commanded, lacks_of_commands
from tests.chaos.crew import Crew, RunFailed
from tests.chaos.labelled import lacks_of_labels
from tests.chaos.oracle import expected, judge, published_in
from tests.chaos.plan import HITS, SETTLING_S, Aim, Fault, Options, faults, owed
from tests.chaos.progress import Progress
from tests.chaos.reached import COMMANDS, LEDGER, OURS, Reached
from tests.chaos.report import lacks, table
from tests.chaos.scenario import LEDGER_PARTITIONS, MODELS, PREFIX, RATE, START_MS, Feed, configuration, topics
from tests.chaos.sending import Sending
from tests.chaos.stage import AGAIN, COMMIT

PROFILES, EVALUATES = 3, 2
LAST_SHARE = 0.02
"""Share of the events that is kept for after the last fault."""
LOOK_S, AIM_S, LONGEST_AIM_S = 0.25, 2.0, 20.0
"""How long an aimed kill looks for a process in its phase: at once, in all, and in all while there is work to commit.

On a busy machine commits are seconds apart. A shorter look leaves it to luck how many kills hit.
"""
LONGEST_STEP_S = 0.25
SWITCH_S = 0.0002
"""An aimed kill must not wait for the thread of the producer: a commit takes some ten milliseconds."""
FLAGS: Mapping[Aim, str] = {"commit": COMMIT, "again": AGAIN}
MOST_FROZEN = 2
COMMIT_MS = 400
CATCH_UP_S = 600.0
QUARANTINED = f"dead:{reasons.QUARANTINED}"
LINUX_ONLY = "the chaos run reads /proc: Linux only"


class Chaos:
    """One run in a folder, on brokers that are to be started. `say`: prints a line."""

    def __init__(
        self, options: Options, folder: Path, cluster: Broker | Cluster, say: Callable[[str], None] = print
    ) -> None:
        self._options = options
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._say = say
        self._plan = faults(options)
        self._progress = Progress.load(folder, options)
        self._config = folder / "alerts.yaml"
        self._config.write_text(configuration(options.idle, options.labels))
        self._topics = topics(options.labels)
        self._cluster = cluster
        self._servers = self._cluster.address.split(",")
        self._crew = Crew(self._environment(), self._config, folder, self._progress.counts)
        self._absences = Absences(cluster)
        self._commanded: Commanded | None = None
        self._asked = False
        self._looks_since: float | None = None
        """Since when an aimed kill looks for its victim."""

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("STREAMDRIFT_")}
        heartbeat_ms = min(2000, int(self._options.session_s * 200))
        options = {"session_timeout_ms": int(self._options.session_s * 1000), "heartbeat_interval_ms": heartbeat_ms}
        own = {
            "BUS": f"kafka://{self._cluster.address}",
            "PREFIX": PREFIX,
            "LEDGER_PARTITIONS": str(LEDGER_PARTITIONS),
            "COMMIT_INTERVAL_MS": str(COMMIT_MS),
            "LOG_FORMAT": "json",
            "KAFKA_PYTHON_OPTIONS": json.dumps(options),
        }
        return kept | {f"STREAMDRIFT_{name}": value for name, value in own.items()}

    # ------------------------------------------------------------------ the run

    def run(self) -> dict[str, Any]:
        """Everything; returns the report."""
        began = time.monotonic()
        bus = KafkaBus(self._servers, {})
        try:
            self._prepare(bus)
            self._commanded = self._commands(bus)
            sending = Sending(self._servers, self._feed(), self._progress.sent, self._allowed)
            self._hire()
            try:
                self._disturb(bus, sending)
                caught_up_s = self._catch_up(Reached(bus, self._topics), sending)
            finally:
                self._progress.sent = sending.sent
                self._progress.save(self._folder)
                sending.stop()
            return self._report(bus, caught_up_s, time.monotonic() - began)
        finally:
            self._crew.close()
            with suppress(StreamdriftError):
                bus.close()

    def _prepare(self, bus: KafkaBus) -> None:
        for topic, partitions in self._topics.items():
            if bus.partitions(topic) is None:
                bus.create(topic, partitions)
        settings = load_settings(prefix=PREFIX, ledger_partitions=LEDGER_PARTITIONS, config=self._config)
        prepare(bus, load(self._config.read_text(), str(self._config)), settings)

    def _feed(self) -> Feed:
        options = self._options
        return Feed(options.events, options.seed, options.idle, options.labels, self._commanded)

    def _commands(self, bus: KafkaBus) -> Commanded | None:
        """Those of the run; none if its replay is of the records of the input topics alone."""
        options = self._options
        if not options.idle:
            return None
        return Commanded(options.events, options.seed, MODELS, OURS, bus.cluster_id(), START_MS, RATE)

    def _hire(self) -> None:
        for stage, count in (("profile", PROFILES), ("evaluate", EVALUATES)):
            for number in range(count):
                self._crew.hire(stage, f"{stage[0]}{number}")

    def _allowed(self) -> int:
        """Events that may have been sent by now: as much of them as of the time that the faults take."""
        events = self._options.events
        if self._progress.faults_done == len(self._plan):
            return events
        return int(events * (1 - LAST_SHARE) * min(1.0, self._progress.seconds / self._plan[-1].at))

    def _disturb(self, bus: KafkaBus, sending: Sending) -> None:
        """The faults one after the other, each when it is due."""
        reached, reported, last = Reached(bus, self._topics), 0.0, self._plan[-1].at
        self._wait(self._crew.all_joined, "all processes are up")
        sending.start()
        before = time.monotonic()
        while self._progress.faults_done < len(self._plan):
            self._check(sending)
            now = time.monotonic()
            # The time for which an aimed kill waits does not count, so that the next one keeps its distance.
            self._progress.seconds += min(now - before, LONGEST_STEP_S)
            before = now
            self._crew.look_after()
            fault = self._plan[self._progress.faults_done]
            if self._progress.seconds >= fault.at:
                if self._strike(fault, reached):
                    self._progress.faults_done += 1
                else:
                    self._progress.seconds = fault.at  # time stands still, so that the next ones keep their distance
            if self._progress.seconds - reported > 10:
                reported = self._progress.seconds
                self._progress.sent = sending.sent
                self._progress.save(self._folder)
                self._say(
                    f"{reported:.0f} of {last:.0f} s, {self._progress.faults_done} of {len(self._plan)} faults, "
                    f"{sending.sent} events; {dict(self._progress.counts)}"
                )
            time.sleep(0.02)
            if sending.sent == self._options.events:
                raise RunFailed("the last event came before the last fault")
        self._crew.thaw()

    def _check(self, sending: Sending | None = None) -> None:
        if self._asked:
            raise RunFailed("interrupted")
        if sending is not None and sending.failed is not None:
            raise RunFailed(f"the producer failed: {sending.failed!r}")
        if self._absences.failed is not None:
            raise RunFailed(f"a broker did not come back: {self._absences.failed!r}")

    def _strike(self, fault: Fault, reached: Reached) -> bool:
        """Do it; False where it has to wait for a better moment."""
        if fault.kind == "kill":
            return self._kill(fault, reached)
        if fault.kind == "freeze":
            return self._freeze(fault)
        if fault.kind == "join":
            return self._join(fault)
        return self._take_broker_away(fault)

    def _kill(self, fault: Fault, reached: Reached) -> bool:
        counts, targets = self._progress.counts, self._crew.targets()
        if not targets or self._absences.all_stand_still:
            return False
        lag = self._lag(reached)
        aim = fault.aim or owed(self._plan[: self._progress.faults_done], counts)
        victim = self._crew.hold(FLAGS[aim], LOOK_S) if aim else None
        if aim and victim is None and self._may_look_on(lag):
            return False
        self._looks_since = None
        if victim is None:
            targets = self._crew.targets()
            if not targets:
                return False
            victim = targets[self._progress.faults_done * 7919 % len(targets)]
        struck = self._crew.kill(victim)
        if struck is None:
            return False
        counts["kill"] += 1
        counts[f"kill of {victim.stage}"] += 1
        counts["kill aimed" if aim else "kill blind"] += 1
        counts["kill that missed its aim"] += bool(aim) and FLAGS[aim] not in struck
        for one, name in HITS.items():
            counts[name] += FLAGS[one] in struck
        if lag is None:
            counts["kill at unknown lag"] += 1
        else:
            counts["kill at lag"] += lag[victim.stage] > 0
        return True

    def _may_look_on(self, lag: Mapping[str, int] | None) -> bool:
        """Return true while an aimed kill that has met nobody in its phase should look on."""
        self._looks_since = self._looks_since or time.monotonic()
        looks_for_s = LONGEST_AIM_S if lag is not None and any(lag.values()) else AIM_S
        return time.monotonic() < self._looks_since + looks_for_s

    def _lag(self, reached: Reached) -> dict[str, int] | None:
        """Of both stages; unknown while no broker answers."""
        if self._absences.none_answers:
            return None
        try:
            return {"profile": reached.lag(reached.inputs), "evaluate": reached.lag(LEDGER)}
        except StreamdriftError:
            return None

    def _freeze(self, fault: Fault) -> bool:
        targets = self._crew.targets()
        if not targets or sum(1 for member in self._crew.members if member.frozen_until) >= MOST_FROZEN:
            return False
        victim = targets[self._progress.faults_done * 104729 % len(targets)]
        self._crew.freeze(victim, fault.lasts_s)
        self._progress.counts["freeze"] += 1
        return True

    def _join(self, fault: Fault) -> bool:
        number = self._progress.faults_done
        self._crew.hire(("profile", "evaluate")[number % 2], f"extra{number}", fault.lasts_s)
        return True

    def _take_broker_away(self, fault: Fault) -> bool:
        begun = self._absences.begin(self._progress.faults_done, fault)
        self._progress.counts[fault.kind.replace("_", " ")] += begun
        return begun

    # ------------------------------------------------------------------ the end

    def _catch_up(self, reached: Reached, sending: Sending) -> float:
        """All is sent, folded and judged, and everybody has left; returns the seconds from the last event on."""
        self._wait(lambda: sending.done, "the last events are sent")
        if sending.failed is not None:
            raise RunFailed(f"the producer failed: {sending.failed!r}")
        self._progress.sent = sending.sent
        began = time.monotonic()
        self._wait(lambda: self._is_zero(reached, reached.inputs), "the input is folded")
        self._wait(lambda: all(m.running for m in self._crew.members if not m.extra), "all processes are up")
        self._wait(lambda: not any(m.extra for m in self._crew.members), "those who joined have left")
        self._wait(lambda: self._is_zero(reached, COMMANDS), "the commands are answered")
        self._wait(lambda: self._is_zero(reached, LEDGER), "the ledger is judged")
        seconds = time.monotonic() - began
        # Profile first: what it writes on leaving has to be judged.
        self._crew.stop("profile")
        self._wait(lambda: self._is_zero(reached, LEDGER), "the last of the ledger is judged")
        self._crew.stop("evaluate")
        return seconds

    def _is_zero(self, reached: Reached, tps: tuple[Any, ...]) -> bool:
        try:
            return reached.lag(tps) == 0
        except StreamdriftError:
            return False

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        self._say(f"waiting until {what}")
        until = time.monotonic() + CATCH_UP_S
        while not condition():
            self._check()
            if time.monotonic() > until:
                raise RunFailed(f"not within {CATCH_UP_S:g} s: {what}; {dict(self._progress.counts)}")
            self._crew.look_after()
            time.sleep(0.1)

    def _report(self, bus: KafkaBus, caught_up_s: float, seconds: float) -> dict[str, Any]:
        log = self._folder / "captured.jsonl"
        self._streamdrift("capture", *self._topics, "--out", str(log))
        self._say("replaying the captured log")
        wanted = expected(log, None if self._options.idle else self._config.read_text())
        verdicts = judge(self._servers, wanted)
        buckets = Reached(bus, self._topics).buckets()
        counts = self._progress.counts
        problems = [f"{name}: {verdict}" for name, verdict in verdicts.items() if not verdict.holds]
        records = buckets.pop("records")
        if sum(buckets.values()) != records or +Counter(buckets) != +wanted.buckets:
            problems.append(f"buckets {buckets} of {records} records; a replay gives {dict(wanted.buckets)}")
        if buckets.get(QUARANTINED, 0):
            problems.append(f"{buckets[QUARANTINED]} records are quarantined")
        if self._options.labels:
            problems += lacks_of_labels(self._messages("alerts"), self._messages("observations"))
        if self._commanded is not None:
            (decided := Activations(bus, OURS)).read()
            sent = self._commanded.up_to(self._progress.sent)
            problems += lacks_of_commands(sent, decided.all, self._messages("alerts"))
        return {
            "options": asdict(self._options),
            "seconds": round(seconds),
            "events": self._progress.sent,
            "records": records,
            "buckets": buckets,
            "heartbeats": wanted.heartbeats,
            "faults": dict(sorted(counts.items())),
            "catch_up_s": round(caught_up_s, 1),
            "topics": {name: asdict(verdict) for name, verdict in verdicts.items()},
            "quarantined": buckets.get(QUARANTINED, 0),
            "problems": problems + lacks(self._options, counts, verdicts),
        }

    def _messages(self, topic: str) -> list[dict[str, Any]]:
        return [json.loads(record.value) for record in published_in(self._servers, PREFIX + topic)]

    def _streamdrift(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "monitor.cli.main", *arguments]
        done = subprocess.run(command, env=self._environment(), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RunFailed(f"streamdrift {arguments[0]}: {done.stderr[-2000:]}")

    def interrupt(self) -> None:
        self._asked = True


def _options(arguments: argparse.Namespace) -> Options:
    a = arguments
    times = a.kills, a.freezes, a.joins, a.restarts, a.broker_kills
    return Options(a.events, *times, a.brokers, bool(a.idle), a.seed, a.session, a.labels)


def main() -> int:
    """The command; 0 when everything holds."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    numbers = (("events", 60_000), ("kills", 6), ("freezes", 1), ("joins", 2), ("restarts", 0), ("broker-kills", 0))
    for name, default in (*numbers, ("brokers", 1), ("idle", 1), ("seed", 1), ("labels", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--session", type=float, default=10.0, help="session time-out of the groups, seconds")
    parser.add_argument("--dir", type=Path, required=True, help="working folder; a run found there is gone on with")
    parser.add_argument("--keep", action="store_true", help="keep the broker's data and the captured log")
    arguments = parser.parse_args()
    options = _options(arguments)
    if options.labels and not options.idle:
        parser.error("labels get heartbeats, and --idle 0 is to have none")
    sys.setswitchinterval(SWITCH_S)

    def say(line: str) -> None:
        print(line, flush=True)

    say(f"seed {options.seed}: {options}; about {faults(options)[-1].at:.0f} s of faults after {SETTLING_S:g} s")
    arguments.dir.mkdir(parents=True, exist_ok=True)
    kafka = arguments.dir / "kafka"
    cluster = Broker(kafka) if options.brokers == 1 else Cluster(kafka, options.brokers)
    chaos = Chaos(options, arguments.dir, cluster, say)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: chaos.interrupt())
    try:
        cluster.start()
        report = chaos.run()
    except RunFailed as failed:
        cluster.stop()  # a single broker that is killed can leave a transaction that hangs for ever
        say(f"seed {options.seed}: {failed}; the same command with --dir {arguments.dir} goes on from there")
        return 1
    finally:
        cluster.close()
    (arguments.dir / "report.json").write_text(json.dumps(report, indent=1))
    say(table(report))
    if not report["problems"] and not arguments.keep:
        shutil.rmtree(arguments.dir / "kafka", ignore_errors=True)
        (arguments.dir / "captured.jsonl").unlink(missing_ok=True)
        (arguments.dir / "progress.json").unlink(missing_ok=True)
    return 1 if report["problems"] else 0


if __name__ == "__main__":
    if sys.platform != "linux":
        sys.exit(LINUX_ONLY)
    sys.exit(main())
