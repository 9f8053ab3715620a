from receiver.domain.event import EventType
from receiver.domain.task import Change
from receiver.storage.store import SqlStore
from tests.storage.making import event, task


async def test_the_newest_event_is_the_last_one_that_a_reader_finds(store: SqlStore) -> None:
    assert await store.last_event() == 0
    for number in range(3):
        await store.create(Change(task(), (event(EventType.TASK_CREATED),) * (number + 1)))
        assert await store.last_event() == (await store.events(None))[-1].id
