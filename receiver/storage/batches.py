"""Many callers, few transactions: how what is asked of PostgreSQL at the same time is written together."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Generic, Protocol, TypeVar, cast

from sqlalchemy import Connection
from sqlalchemy.util import await_only

from receiver.domain.errors import UnavailableError
from receiver.storage.faults import fault
from receiver.storage.serving import MOST_WEIGHT, Prepare, undone_if_it_fails

T = TypeVar("T")
Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

#: What waits beside a transaction under way, before it has one of its own: two small ones cost more than one.
WORTH_ANOTHER = 64


class _Engine(Protocol):
    """What runs transactions."""

    async def committed(self, work: Callable[[Connection], T], calls: int) -> T:
        """Run ``work`` in a transaction that serves so many callers, and return its value after the commit."""

    def spawn(self, work: Coroutine[object, object, T]) -> "asyncio.Task[T]":
        """Run something that no caller's end may cut off."""

    def future(self) -> "asyncio.Future[object]":
        """Return a future for an answer."""


class Together(Generic[Item, Outcome]):
    """One function for many callers, one batch of them at a time: whoever asks meanwhile is served by the next.

    Two commits at once would each have half of the callers, and each its own flush of the disk. So ``at_once`` more
    than one are under way only where what waits is worth it.
    """

    def __init__(
        self,
        engine: _Engine,
        prepare: Prepare[Item, Outcome],
        weigh: Callable[[Item], int],
        told: Callable[[Outcome], object] | None = None,
        *,
        at_once: int = 1,
    ) -> None:
        self._engine = engine
        self._told = told
        self._prepare = prepare
        self._weigh = weigh
        self._at_once = at_once
        self._asked: deque[tuple[Item, int, asyncio.Future[object]]] = deque()
        self._weight = 0
        self._serving = 0

    def ask(self, item: Item) -> "asyncio.Future[object]":
        future = self._engine.future()
        weight = self._weigh(item)
        self._asked.append((item, weight, future))
        self._weight += weight
        if self._serving < self._at_once and self._is_worth_it(self._serving):
            self._serving += 1
            # It begins with the next turn of the loop, when all who came together have asked.
            self._engine.spawn(self._serve())
        return future

    def _is_worth_it(self, others: int) -> bool:
        """Tell whether there is enough to do for one beside so many others."""
        return bool(self._asked) and (not others or self._weight >= WORTH_ANOTHER)

    async def _serve(self) -> None:
        while self._is_worth_it(self._serving - 1):
            items: list[Item] = []
            waiting: list[asyncio.Future[object]] = []
            taken = 0
            while self._asked and taken < MOST_WEIGHT:
                item, weight, future = self._asked.popleft()
                items.append(item)
                waiting.append(future)
                taken += weight
            self._weight -= taken
            for future, outcome in zip(waiting, await self._outcomes(items), strict=True):
                heard = outcome
                if self._told is not None and not isinstance(outcome, Exception):
                    heard = self._told(cast("Outcome", outcome))
                _tell(future, heard)
        self._serving -= 1

    async def _outcomes(self, items: Sequence[Item]) -> Sequence[object]:
        """Return what each caller is to hear; an exception is raised to it."""
        try:
            return await self._engine.committed(lambda connection: self._together(connection, items), len(items))
        except UnavailableError as error:
            return [type(error)(str(error)) for _ in items]
        except Exception as error:  # noqa: BLE001 - whatever it is, its caller hears of it
            if len(items) == 1:
                return [error]
        # One of them cannot be written: each by itself finds out which.
        try:
            return await self._engine.committed(
                lambda connection: [self._alone(connection, item) for item in items], len(items)
            )
        except Exception as error:  # noqa: BLE001 - the same
            return [type(error)(str(error)) if isinstance(error, UnavailableError) else error for _ in items]

    def _together(self, connection: Connection, items: Sequence[Item]) -> Sequence[Outcome | Exception]:
        return self._prepare(connection, items, _breathe)(connection)

    def _alone(self, connection: Connection, item: Item) -> Outcome | Exception:
        try:
            [outcome] = undone_if_it_fails(connection, lambda open_: self._together(open_, [item]))
        except Exception as error:
            if fault(error) is not None:
                raise
            return error
        return outcome


def _tell(future: "asyncio.Future[object]", outcome: object) -> None:
    if future.done():
        return
    if isinstance(outcome, Exception) and not isinstance(outcome, StopIteration):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def _breathe() -> None:
    """Let the event loop go round: what is prepared here is prepared in it, and callbacks are waiting for theirs."""
    await_only(a_turn())


async def a_turn() -> None:
    """Let the loop go round once."""
    turn = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(turn.set_result, None)
    await turn
