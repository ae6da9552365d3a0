"""The golden stories: each alone on the bus in memory, and all together by processes on Kafka that are killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stories import accepted, grouped, inhibited, silenced
from tests.stories.in_memory import InMemory
from tests.stories.on_kafka import OnKafka
from tests.stories.story import Story, tell

STORIES = (silenced.STORY, inhibited.STORY, accepted.STORY, grouped.STORY)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_a_story_in_memory(story: Story) -> None:
    """It comes out as it should, and a replay says the same."""
    tell([story], InMemory([story]))


@pytest.mark.kafka
@pytest.mark.slow
def test_all_stories_on_kafka(kafka_address: str, tmp_path: Path) -> None:
    """They come out as they should, and the replay of the capture says the same."""
    live = OnKafka(STORIES, kafka_address, tmp_path)
    try:
        tell(STORIES, live)
    finally:
        live.close()
