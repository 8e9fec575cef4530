"""Topics by name, as this edge has met them: the fabric's topics with their logs kept at hand.

Above: `session`, `deliver`. Below: `fabric.ports.Topics`.
"""

from collections.abc import Sequence

from fabric.ports import TopicLog, Topics

__all__ = ["Catalogue"]


class Catalogue:
    """One per edge. It remembers existing topics only, so it is as small as the fabric's own list."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._logs: dict[str, Sequence[TopicLog]] = {}

    async def names(self) -> Sequence[str]:
        """The topics that exist, sorted."""
        return await self._topics.names()

    async def open(self, topic: str) -> Sequence[TopicLog]:
        """The topic's partitions; makes the view when there is none. Raises NoSuchTopic, LimitExceeded."""
        logs = await self._topics.open(topic)
        self._logs[topic] = logs
        return logs

    async def existing(self, topic: str) -> Sequence[TopicLog]:
        """The partitions of a topic that is there, else none: only naming a topic makes its view."""
        logs = self._logs.get(topic)
        if logs is None:
            logs = await self.open(topic) if topic in await self._topics.names() else ()
        return logs

    async def log(self, topic: str, partition: int) -> TopicLog | None:
        """One partition's log, or None when there is no such topic or partition."""
        logs = await self.existing(topic)
        return logs[partition] if 0 <= partition < len(logs) else None

    def forget(self, topic: str) -> None:
        """Look it up anew: it was removed."""
        self._logs.pop(topic, None)
