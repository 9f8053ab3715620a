"""Callers are served together: one batch at a time, and beside it another only where that is worth it."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import TypeVar, cast

from sqlalchemy import Connection

from receiver.storage.batches import WORTH_ANOTHER, Together
from receiver.storage.serving import MOST_WEIGHT, Finish

T = TypeVar("T")


class Halting:
    """Transactions that each last until they are let go."""

    def __init__(self) -> None:
        self.under_way: list[asyncio.Event] = []
        self.sizes: list[int] = []

    async def committed(self, work: Callable[[Connection], T], calls: int) -> T:
        self.sizes.append(calls)
        end = asyncio.Event()
        self.under_way.append(end)
        await end.wait()
        self.under_way.remove(end)
        return work(cast("Connection", None))

    def spawn(self, work: Coroutine[object, object, T]) -> "asyncio.Task[T]":
        return asyncio.create_task(work)

    def future(self) -> "asyncio.Future[object]":
        return asyncio.get_running_loop().create_future()

    async def end(self, number: int = 0) -> None:
        self.under_way[number].set()
        await settled()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def doubled(_: Connection, items: Sequence[int], __: Callable[[], None]) -> Finish[int]:
    return lambda _: [2 * item for item in items]


def gathering(at_once: int) -> tuple[Halting, Together[int, int]]:
    halting = Halting()
    return halting, Together(halting, doubled, lambda _: 1, at_once=at_once)


async def asked(together: Together[int, int], count: int) -> list["asyncio.Future[object]"]:
    futures = [together.ask(number) for number in range(count)]
    await settled()
    return futures


async def test_who_asks_meanwhile_waits_for_the_batch_under_way() -> None:
    halting, together = gathering(1)
    first, others = await asked(together, 2), await asked(together, 3 * WORTH_ANOTHER)
    assert halting.sizes == [2]
    await halting.end()
    assert halting.sizes == [2, 3 * WORTH_ANOTHER]
    await halting.end()
    assert [await future for future in (*first, *others)] == [0, 2, *(2 * n for n in range(3 * WORTH_ANOTHER))]


async def test_a_few_wait_for_the_batch_under_way_and_many_have_one_beside_it() -> None:
    halting, together = gathering(2)
    await asked(together, 2)
    await asked(together, WORTH_ANOTHER - 1)
    assert halting.sizes == [2]
    await asked(together, 1)
    assert halting.sizes == [2, WORTH_ANOTHER]
    # Two are under way: a third begins with the end of one.
    await asked(together, 2 * WORTH_ANOTHER)
    assert len(halting.sizes) == 2
    await halting.end(1)
    assert halting.sizes == [2, WORTH_ANOTHER, 2 * WORTH_ANOTHER]


async def test_what_is_not_worth_another_batch_is_served_by_whichever_ends_last() -> None:
    halting, together = gathering(2)
    await asked(together, 2)
    await asked(together, WORTH_ANOTHER)
    [late] = await asked(together, 1)
    await halting.end(1)
    assert halting.sizes == [2, WORTH_ANOTHER]
    await halting.end()
    assert halting.sizes == [2, WORTH_ANOTHER, 1]
    await halting.end()
    assert await late == 0
    [again] = await asked(together, 1)
    await halting.end()
    assert await again == 0
    assert halting.under_way == []


async def test_no_batch_is_larger_than_the_most_a_transaction_takes() -> None:
    halting, together = gathering(2)
    await asked(together, 3 * MOST_WEIGHT + 1)
    assert halting.sizes == [MOST_WEIGHT] * 2
    await halting.end()
    assert halting.sizes == [MOST_WEIGHT] * 3
    await halting.end()
    assert halting.sizes == [MOST_WEIGHT] * 3
    await halting.end()
    assert halting.sizes == [*[MOST_WEIGHT] * 3, 1]
