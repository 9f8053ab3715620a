"""The calls about what happened, and what happens: timelines, live events, and what the provider said."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from http import HTTPStatus
from typing import BinaryIO, Literal

from receiver.sdk.connection import NOTHING, PASSING, Connection, segment
from receiver.sdk.errors import ClientError
from receiver.sdk.upkeep import Report, reports_of
from receiver.sdk.values import Event, events_of
from receiver.sdk.watching import (
    FIRST_WAIT_SECONDS,
    GROWTH,
    LONGEST_WAIT_SECONDS,
    SILENCE_SECONDS,
    Position,
    events_in,
)


class TimelineCalls(Connection):
    """What a program hears of its tasks."""

    async def events(self, task_id: str) -> tuple[Event, ...]:
        """Return the timeline of a task, oldest first."""
        return await self._read(events_of, "GET", f"v1/tasks/{segment(task_id)}/events")

    async def watch(
        self,
        task_id: str | None = None,
        *,
        after: int | Literal["latest"] = 0,
        patience_seconds: float = 60.0,
        on_trouble: Callable[[ClientError], None] = lambda _: None,
    ) -> AsyncGenerator[Event]:
        """Yield events as they happen, of one task until it has ended, or of all for ever; none twice, none left out.

        ``after`` begins behind the event with that id, with ``latest`` at what happens from now on. A connection that
        is lost is made again; ``on_trouble`` is told why, and once nobody has answered for ``patience_seconds`` that
        is raised.
        """
        path = "v1/events" if task_id is None else f"v1/tasks/{segment(task_id)}/events"
        position = Position(str(after) if after != "latest" and after else None)
        heard, wait = time.monotonic(), FIRST_WAIT_SECONDS
        while True:
            headers = {"Accept": "text/event-stream"}
            if position.last_id is not None:
                headers["Last-Event-ID"] = position.last_id
            query = {"after": "latest"} if after == "latest" and position.last_id is None else NOTHING
            try:
                call = self._answer("GET", path, query=query, headers=headers, silence_seconds=SILENCE_SECONDS)
                async with call as answer:
                    if answer.status_code == HTTPStatus.NO_CONTENT:
                        return
                    heard = time.monotonic()
                    async for event in events_in(answer.aiter_raw(), position):
                        yield event
                        heard, wait = time.monotonic(), FIRST_WAIT_SECONDS
                # It came to its end: the task's, or the service is about to stop.
            except PASSING as error:
                if time.monotonic() - heard > patience_seconds:
                    raise
                on_trouble(error)
            await asyncio.sleep(wait)
            wait = min(wait * GROWTH, LONGEST_WAIT_SECONDS)

    async def reports(self, task_id: str) -> tuple[Report, ...]:
        """Return what the provider said of a task, oldest first, without its words."""
        return await self._read(reports_of, "GET", f"v1/tasks/{segment(task_id)}/reports")

    async def raw_report(self, report_id: str, into: BinaryIO) -> None:
        """Write what the provider said, verbatim but for our own tokens and keys, into ``into``."""
        async with self._answer("GET", f"v1/reports/{segment(report_id)}/raw") as answer:
            async for chunk in answer.aiter_raw():
                into.write(chunk)
