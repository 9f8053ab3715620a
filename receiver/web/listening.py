"""One event stream on its way to one reader: what there is, then what comes, until one of the two sides ends it."""

import asyncio
import logging
from collections.abc import Mapping
from uuid import UUID

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from receiver.domain.errors import UnavailableError
from receiver.domain.event import EventType
from receiver.domain.task import Status
from receiver.web.context import Context
from receiver.web.faults import log_fault
from receiver.web.operations import EVENT_STREAM
from receiver.web.problems import BrokenOffError
from receiver.web.streams import first_of

#: A reader that was cut off is asked to come again after this many milliseconds. The id says where it stands before
#: the first event: who is cut off until then, or asked for what comes from now on, misses nothing either.
_BEGINNING = b"retry: 2000\nid: %d\n\n"
_HEARTBEAT = b": nothing new\n\n"
_ENDINGS = frozenset(f"task.{status}" for status in Status if status.terminal)
_log = logging.getLogger("receiver.web")


class EventStream(Response):
    """Events above ``after`` (None: from now on) as server-sent events (WHATWG HTML, 9.2), of one task or of all.

    Of one task: it ends once the task has, with the last event on record then; ``ended`` says that it has already.
    """

    def __init__(
        self,
        context: Context,
        task_id: UUID | None,
        after: int | None,
        *,
        ended: bool = False,
        headers: Mapping[str, str],
    ) -> None:
        """Take where to begin."""
        # Without a charset: the format knows UTF-8 only. Proxies must not gather what is to come at once.
        super().__init__(headers={**headers, "Content-Type": EVENT_STREAM, "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._context = context
        self._task_id = task_id
        self._after = after
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; raises ProblemError 429 and UnavailableError before the first byte only."""
        start: Message = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        if scope["method"] == "HEAD":
            await send(start)
            await send({"type": "http.response.body", "body": b""})
            return
        context = self._context
        with context.streams.enter():
            async with context.news.listening() as newest:
                after = newest if self._after is None else self._after
                if after > newest and after > await context.ports.store.last_event():
                    # An id of another life of this database (it was restored from a backup): all is told anew.
                    after = 0
                await send(start)
                await first_of(self._tell(send, after), _left(receive))

    async def _tell(self, send: Send, after: int) -> None:
        """Send what there is and what comes, and end."""
        await self._write(send, _BEGINNING % after)
        try:
            await self._follow(send, after)
        except UnavailableError as error:
            # What was sent is complete; the reader comes again and goes on behind it.
            log_fault(_log, "stream_fault", error)
        await self._write(send, b"", more=False)

    async def _follow(self, send: Send, after: int) -> None:
        news, config, clock = self._context.news, self._context.config, self._context.ports.system.monotonic
        position, quiet_since = after, clock()
        while not config.draining():
            batch = await news.batch(self._task_id, position)
            position = batch.position
            if batch.lines:
                await self._write(send, b"".join(line.text for line in batch.lines))
                quiet_since = clock()
            for line in batch.lines:
                self._note(line.event.type)
            if not batch.complete:
                continue
            if self._ended and self._task_id is not None:
                return
            left = quiet_since + config.heartbeat_seconds - clock()
            if left <= 0:
                await self._write(send, _HEARTBEAT)
                quiet_since = clock()
            else:
                await news.rest(position, left)

    async def _write(self, send: Send, text: bytes, *, more: bool = True) -> None:
        """Send a piece; raise BrokenOffError when the reader takes nothing for too long."""
        try:
            async with asyncio.timeout(self._context.config.slow_reader_seconds):
                await send({"type": "http.response.body", "body": text, "more_body": more})
        except TimeoutError:
            self._context.ports.metrics.count("streams_too_slow")
            raise BrokenOffError from None

    def _note(self, kind: str) -> None:
        """Take over what an event says of its task: it has ended, or it was lost and is under way again."""
        if kind in _ENDINGS:
            self._ended = True
        elif kind == EventType.TASK_FOUND:
            self._ended = False


async def _left(receive: Receive) -> None:
    """Wait until the reader has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
