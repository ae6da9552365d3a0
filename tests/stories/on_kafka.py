"""Stories on a real broker: `streamdrift run` as people run it, killed with SIGKILL, captured and replayed."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from monitor.bus.kafka import KafkaBus
from monitor.settings import load_settings
from tests.chaos.oracle import expected, judge
from tests.kafka.service import COMMAND, LEDGER_PARTITIONS, Service, environment
from tests.stories.story import Live, Published, Story, by_key, configuration

PATIENCE_S = 120.0


class OnKafka(Live):
    """A service in a process group of its own, under a prefix of its own, in a folder of its own."""

    def __init__(self, stories: Sequence[Story], address: str, folder: Path) -> None:
        url, prefix = f"kafka://{address}", f"t{uuid.uuid4().hex[:8]}."
        topics = {story.name: f"in-{prefix}{story.name}" for story in stories}
        settings = load_settings(bus=url, prefix=prefix, ledger_partitions=LEDGER_PARTITIONS)
        super().__init__(KafkaBus([address], {}), settings, topics)
        config = folder / "alerts.yaml"
        config.write_text(configuration(stories, topics))
        self._address = address
        self._folder = folder
        self._env = environment(url, prefix)
        self._service = Service(self._env, config, folder / "service.log")
        self._service.start()
        self.wait_until(lambda: self.bus.partitions(f"{prefix}commands") is not None, "topics are there")

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        self._service.wait_until(condition, what, PATIENCE_S)

    def kill(self) -> None:
        self._service.kill()
        self._service.start()

    def end(self) -> None:
        assert self._service.stop() == 0, self._service.tail()

    def close(self) -> None:
        """Leave no process behind, however the stories ended."""
        self._service.kill()
        self.bus.close()

    def replayed(self) -> Published:
        """By `streamdrift capture`; sequence numbers, dead letters and `firing` are judged, too."""
        log = self._folder / "captured.jsonl"
        words = ("capture", *self.topics.values(), "--out", str(log))
        subprocess.run([*COMMAND, *words], env=self._env, check=True, stderr=subprocess.DEVNULL, timeout=PATIENCE_S)
        wanted = expected(log, None)
        verdicts = judge([self._address], wanted, self.settings.prefix)
        assert all(verdict.holds for verdict in verdicts.values()), verdicts
        topics = wanted.topics.items()
        return {name: by_key({p: messages for p, messages in found.items() if messages}) for name, found in topics}
