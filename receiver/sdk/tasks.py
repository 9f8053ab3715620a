"""The calls about one task or a list of them: ask for one, look at it, wait for its end, stop waiting."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import datetime

from receiver.sdk.connection import NOTHING, PASSING, Connection, given, query_of, segment
from receiver.sdk.errors import ClientError, NotEndedError, TooManyRequestsError
from receiver.sdk.values import Page, Task, page_of, task_of

#: The longest that the service holds an answer.
_LONGEST_HOLD_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0
_GROWTH = 2.0


class TaskCalls(Connection):
    """What a program asks of its tasks."""

    async def submit(self, request: Mapping[str, object], *, idempotency_key: str | None = None) -> Task:
        """Ask for a generation and return its task, whose intent is durable from then on.

        With the same ``idempotency_key`` the same request gives the same task, however often it is sent.
        """
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else NOTHING
        return await self._ask(task_of, "POST", "v1/tasks", request, headers)

    async def adopt(
        self,
        provider: str,
        provider_task_id: str,
        *,
        count: int | None = None,
        metadata: Mapping[str, str] = NOTHING,
        deadline_seconds: float | None = None,
        idempotency_key: str | None = None,
    ) -> Task:
        """Take over a generation that was started elsewhere and return its task, which is looked at from then on.

        ``count`` is how many results were asked for there, one if it is not given. Raises ConflictError when a task
        stands for that generation already.
        """
        request = given(
            provider=provider,
            provider_task_id=provider_task_id,
            count=count,
            metadata=dict(metadata) or None,
            deadline_seconds=deadline_seconds,
        )
        return await self.submit(request, idempotency_key=idempotency_key)

    async def task(self, task_id: str, *, wait_seconds: float = 0.0) -> Task:
        """Return a task; with ``wait_seconds`` (up to 60) only once it has ended or that time has passed."""
        query = {"wait": f"{wait_seconds:g}"} if wait_seconds else NOTHING
        path = f"v1/tasks/{segment(task_id)}"
        return await self._read(task_of, "GET", path, query=query, patience_seconds=wait_seconds)

    async def wait(
        self,
        task_id: str,
        *,
        timeout_seconds: float | None = None,
        patience_seconds: float = 60.0,
        on_trouble: Callable[[ClientError], None] = lambda _: None,
    ) -> Task:
        """Return a task once it has ended; restarts of the service and broken connections are outlasted.

        ``on_trouble`` is told of each, and once nobody has answered for ``patience_seconds`` that is raised. Raises
        NotEndedError, which holds the task as it was last seen, when ``timeout_seconds`` are over before.
        """
        begun = heard = time.monotonic()
        last: Task | None = None
        pause = _FIRST_PAUSE_SECONDS
        while True:
            left = _LONGEST_HOLD_SECONDS if timeout_seconds is None else begun + timeout_seconds - time.monotonic()
            if last is not None and left <= 0:
                raise NotEndedError(last)
            try:
                last = await self._held(task_id, min(max(left, 0.0), _LONGEST_HOLD_SECONDS))
                heard = time.monotonic()
            except PASSING as error:
                if time.monotonic() - heard > patience_seconds:
                    raise
                on_trouble(error)
            if last is not None and last.ended:
                return last
            await asyncio.sleep(max(min(pause, left), 0.0))
            pause = min(pause * _GROWTH, _LONGEST_PAUSE_SECONDS)

    async def _held(self, task_id: str, seconds: float) -> Task:
        """Look at a task, waiting for its end where the service has room for one more who waits."""
        try:
            return await self.task(task_id, wait_seconds=seconds)
        except TooManyRequestsError:
            return await self.task(task_id)

    async def tasks(
        self,
        *,
        status: str | None = None,
        provider: str | None = None,
        metadata: Mapping[str, str] = NOTHING,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        """Return one page of the tasks that fit all that is given, newest first."""
        query = query_of(
            status=status,
            provider=provider,
            created_after=created_after,
            created_before=created_before,
            limit=limit,
            cursor=cursor,
        )
        query |= {f"metadata.{name}": value for name, value in metadata.items()}
        return await self._read(page_of, "GET", "v1/tasks", query=query)

    async def every_task(
        self,
        *,
        status: str | None = None,
        provider: str | None = None,
        metadata: Mapping[str, str] = NOTHING,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> AsyncGenerator[Task]:
        """Yield all the tasks that fit all that is given, newest first, page after page as they are needed."""
        cursor = None
        while True:
            page = await self.tasks(
                status=status,
                provider=provider,
                metadata=metadata,
                created_after=created_after,
                created_before=created_before,
                cursor=cursor,
            )
            for task in page.tasks:
                yield task
            cursor = page.next_cursor
            if cursor is None:
                return

    async def cancel(self, task_id: str) -> Task:
        """Stop waiting for a task and return it. Raises ConflictError for one that has ended otherwise."""
        return await self._read(task_of, "POST", f"v1/tasks/{segment(task_id)}/cancel")

    async def refresh(self, task_id: str) -> Task:
        """Have a task looked at now and return it. Raises ConflictError for one that has ended."""
        return await self._read(task_of, "POST", f"v1/tasks/{segment(task_id)}/refresh")
