"""The calls about being told: where, under which secret, what is on its way, and what is to be sent again."""

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime

from receiver.sdk.connection import Connection, given, query_of, segment
from receiver.sdk.outbox import (
    Deliveries,
    Delivery,
    Endpoint,
    Redriven,
    Secret,
    Trial,
    deliveries_of,
    endpoint_of,
    endpoints_of,
    redriven_of,
    secret_of,
    trial_of,
)


class EndpointCalls(Connection):
    """What a program arranges about notifications."""

    async def endpoints(self) -> tuple[Endpoint, ...]:
        """Return all endpoints, oldest first."""
        return await self._read(endpoints_of, "GET", "v1/endpoints")

    async def add_endpoint(
        self, url: str, *, types: Sequence[str] | None = None, secret: str | None = None
    ) -> Secret:
        """Have an URL told of what happens, of these types alone if any are given, and return its secret.

        The secret is told this once. Raises ConflictError where there is an endpoint with this URL.
        """
        request = given(url=url, types=None if types is None else list(types), secret=secret)
        return await self._ask(secret_of, "POST", "v1/endpoints", request)

    async def remove_endpoint(self, endpoint_id: str) -> None:
        """Tell an endpoint nothing any more; what was on its way to it is forgotten."""
        async with self._answer("DELETE", f"v1/endpoints/{segment(endpoint_id)}"):
            return

    async def pause_endpoint(self, endpoint_id: str) -> Endpoint:
        """Send nothing to an endpoint until it is resumed; what happens meanwhile waits."""
        return await self._read(endpoint_of, "POST", f"v1/endpoints/{segment(endpoint_id)}/pause")

    async def resume_endpoint(self, endpoint_id: str) -> Endpoint:
        """Send to an endpoint again, what waits for it too, whyever it was paused or stopped."""
        return await self._read(endpoint_of, "POST", f"v1/endpoints/{segment(endpoint_id)}/resume")

    async def rotate_secret(
        self, endpoint_id: str, *, secret: str | None = None, overlap_seconds: float | None = None
    ) -> Secret:
        """Give an endpoint a new secret and return it, told this once; the former signs too for the overlap."""
        request = given(secret=secret, overlap_seconds=overlap_seconds)
        return await self._ask(secret_of, "POST", f"v1/endpoints/{segment(endpoint_id)}/rotate", request)

    async def test_endpoint(self, endpoint_id: str) -> Trial:
        """Send a notification that only tries an endpoint, now, and return what came of it."""
        return await self._read(trial_of, "POST", f"v1/endpoints/{segment(endpoint_id)}/test")

    async def deliveries(
        self,
        *,
        status: str | None = None,
        endpoint_id: str | None = None,
        task_id: str | None = None,
        error: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Deliveries:
        """Return one page of the deliveries that fit all that is given, newest first."""
        query = query_of(
            status=status,
            endpoint_id=endpoint_id,
            task_id=task_id,
            error=error,
            created_after=created_after,
            created_before=created_before,
            limit=limit,
            cursor=cursor,
        )
        return await self._read(deliveries_of, "GET", "v1/deliveries", query=query)

    async def every_delivery(
        self, *, status: str | None = None, endpoint_id: str | None = None, task_id: str | None = None
    ) -> AsyncGenerator[Delivery]:
        """Yield all the deliveries that fit all that is given, newest first, page after page as they are needed."""
        cursor = None
        while True:
            page = await self.deliveries(status=status, endpoint_id=endpoint_id, task_id=task_id, cursor=cursor)
            for delivery in page.deliveries:
                yield delivery
            cursor = page.next_cursor
            if cursor is None:
                return

    async def redrive(
        self,
        *,
        delivery_id: str | None = None,
        status: str | None = None,
        endpoint_id: str | None = None,
        task_id: str | None = None,
        error: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> Redriven:
        """Have dead deliveries sent again under their ids: one, or those that fit all that is given.

        With the ``status`` sent those that arrived. One call takes up to 10,000; ``more`` says that there may be
        further ones, and ``detail`` why one that was named, or some that fit, are not sent.
        """
        request = given(
            id=delivery_id,
            status=status,
            endpoint_id=endpoint_id,
            task_id=task_id,
            error=error,
            created_after=None if created_after is None else created_after.isoformat(),
            created_before=None if created_before is None else created_before.isoformat(),
        )
        return await self._ask(redriven_of, "POST", "v1/deliveries/redrive", request)
