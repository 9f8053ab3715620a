"""The calls about many tasks at once: their figures, reading stored reports again, erasing."""

from collections.abc import Mapping
from datetime import datetime

from receiver.sdk.connection import Connection, given, query_of, segment
from receiver.sdk.upkeep import Replay, Statistics, erased_of, replay_of, statistics_of


class CareCalls(Connection):
    """What an operator asks."""

    async def stats(self, *, since: datetime | None = None) -> tuple[Statistics, ...]:
        """Return figures by provider and model: of tasks under way, and of those that ended since a moment."""
        return await self._read(statistics_of, "GET", "v1/stats", query=query_of(since=since))

    async def replay(
        self,
        *,
        task_id: str | None = None,
        provider: str | None = None,
        since: datetime | None = None,
        apply: bool = False,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Replay:
        """Have stored reports read again: those of a task, or of a provider, or since a moment; a page at a time.

        Without ``apply`` nothing changes: the answer shows what would.
        """
        beginning = None if since is None else since.isoformat()
        request = given(task_id=task_id, provider=provider, since=beginning, apply=apply, limit=limit, cursor=cursor)
        return await self._ask(replay_of, "POST", "v1/replay", request)

    async def erase(self, task_id: str) -> int:
        """Erase what a task holds for good, and return how many tasks that changed: 0 when it was erased before.

        The task stays as a husk of numbers and times, its audio with the status ``erased``.
        """
        return (await self._read(erased_of, "DELETE", f"v1/tasks/{segment(task_id)}")).count

    async def erase_matching(self, metadata: Mapping[str, str]) -> int:
        """Erase every task with all of this metadata, at least one pair, and return how many those were."""
        query = {f"metadata.{name}": value for name, value in metadata.items()}
        count, more = 0, True
        while more:
            erased = await self._read(erased_of, "DELETE", "v1/tasks", query=query)
            count, more = count + erased.count, erased.more
        return count
