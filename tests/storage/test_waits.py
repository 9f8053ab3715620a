"""What the store tells of how long tasks were waited for."""

from dataclasses import replace
from datetime import timedelta

from receiver.domain.learning import Waited
from receiver.domain.task import Change, Status, Task
from receiver.storage import waits
from receiver.storage.store import SqlStore
from tests.storage.making import NOW, SECOND, submitted


def ended(seconds: int, status: Status = Status.SUCCEEDED, provider: str = "runware") -> Task:
    moment = NOW + seconds * SECOND
    over = replace(submitted(provider), status=status, settled_at=moment, completed_at=moment + SECOND)
    return replace(over, work=None, due_at=None, looked_at=NOW + SECOND, callbacks=1)


async def keep(store: SqlStore, *tasks: Task) -> None:
    for task in tasks:
        await store.create(Change(task))


async def test_of_each_model_the_ended_tasks_and_those_under_way_are_told(store: SqlStore) -> None:
    other = replace(ended(7), model="another")
    open_one = replace(submitted(), looked_at=NOW + 3 * SECOND)
    await keep(store, ended(5), other, ended(6, Status.FAILED), open_one, ended(9, provider="aimlapi"))
    known = await store.known(["runware"])
    assert [(each.provider, each.model) for each in known] == [
        ("runware", "another"),
        ("runware", "minimax:music@cover"),
    ]
    told = known[1]
    assert {one.settled_at for one in told.ended} == {NOW + 5 * SECOND, NOW + 6 * SECOND}
    assert told.under_way == (Waited(pushed=True, submitted_at=NOW, looked_at=NOW + 3 * SECOND),)
    assert (told.all_since, told.too_many) == (None, False)
    assert told.ended[0] == Waited(True, NOW, NOW + SECOND, NOW + 5 * SECOND, None, 1)


async def test_what_tells_nothing_of_a_duration_is_left_out(store: SqlStore) -> None:
    refused = replace(ended(5, Status.FAILED), submitted_at=None)
    given_up = (ended(5, Status.LOST), ended(5, Status.CANCELLED))
    adopted = replace(ended(5), model="")
    await keep(store, refused, *given_up, adopted)
    assert [each.ended for each in await store.known(["runware"])] == [()]


async def test_where_more_ended_than_are_read_it_is_told_since_when_they_are_all(store: SqlStore) -> None:
    await keep(store, *[ended(number) for number in range(1, waits.LATEST + 6)])
    [told] = await store.known(["runware"])
    assert len(told.ended) == waits.LATEST
    assert told.all_since == NOW + timedelta(seconds=7), "the sixth, completed a second after it was settled"
