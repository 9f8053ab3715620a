"""Uploaded files in the database, on both engines: shared by their bytes, kept as long as a task needs them."""

import asyncio
import hashlib
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from receiver.domain.erasure import erase
from receiver.domain.errors import InvalidRequestError, UnavailableError
from receiver.domain.input import Input
from receiver.domain.task import Change, Status, Task
from receiver.lifecycle.ports import Erasing
from receiver.storage.store import SqlStore
from tests.storage.making import NOW, changing, event, given, task

DAY = timedelta(days=1)


def an_input(content: bytes = b"a song") -> Input:
    return Input(uuid4(), hashlib.sha256(content).hexdigest(), len(content), 12.5, "audio/mpeg", "mp3")


async def kept(store: SqlStore, new: Input) -> Input:
    await store.inputs.promise(new.object_key, NOW + DAY)
    return await store.inputs.keep(new, now=NOW, unused_until=NOW + DAY)


def using(held: Input) -> Task:
    plain = task()
    return replace(plain, request=replace(plain.request, reference_audio=f"input:{held.id}"))


async def erased(store: SqlStore, *tasks: Task) -> list[str]:
    _, names = await store.erase([one.key for one in tasks], lambda one: Erasing(erase(one, NOW), {}))
    return list(names)


async def test_a_kept_file_is_found_again_and_is_no_longer_to_be_removed(store: SqlStore) -> None:
    song = an_input()
    assert await kept(store, song) == song
    assert await store.inputs.find(song.id) == song
    assert await store.inputs.unused() == (1, song.size)
    assert await store.condemn(NOW + 2 * DAY, 10, lease=DAY) == []
    assert await store.inputs.find(uuid4()) is None


async def test_the_same_bytes_are_the_same_input_and_the_second_object_goes(store: SqlStore) -> None:
    first, second = an_input(), an_input()
    assert {one.id for one in await asyncio.gather(kept(store, first), kept(store, second))} in (
        {first.id},
        {second.id},
    )
    [left] = await store.condemn(NOW + 2 * DAY, 10, lease=DAY)
    assert left in {first.object_key, second.object_key}
    assert await store.inputs.unused() == (1, first.size)


async def test_a_file_whose_promise_ran_out_is_not_kept(store: SqlStore) -> None:
    song = an_input()
    await store.inputs.promise(song.object_key, NOW)
    with pytest.raises(UnavailableError):
        await store.inputs.keep(song, now=NOW, unused_until=NOW + DAY)
    assert await store.inputs.find(song.id) is None


async def test_a_task_that_names_no_input_is_refused_and_leaves_the_others(store: SqlStore) -> None:
    song = await kept(store, an_input())
    good, bad = using(song), using(replace(song, id=uuid4()))
    done = await asyncio.gather(
        *(store.create(Change(one, (event(),))) for one in (good, bad)), return_exceptions=True
    )
    assert done[0] is None
    assert isinstance(done[1], InvalidRequestError)
    assert done[1].problems[0].field == "reference_audio"
    assert await store.task(bad.id) is None
    assert await store.inputs.unused() == (0, 0)


async def test_an_unused_file_goes_after_its_time_and_a_used_one_stays(store: SqlStore) -> None:
    used, unused = await kept(store, an_input(b"one")), await kept(store, an_input(b"two"))
    await given(store, using(used))
    assert await store.inputs.erase_unused(NOW + DAY - timedelta(seconds=1), 10) == 0
    assert await store.inputs.erase_unused(NOW + DAY, 10) == 1
    assert (await store.inputs.find(used.id), await store.inputs.find(unused.id)) == (used, None)
    assert await store.condemn(NOW + DAY, 10, lease=DAY) == [unused.object_key]


async def test_an_input_goes_with_the_last_of_its_tasks(store: SqlStore) -> None:
    song = await kept(store, an_input())
    first, second = using(song), using(song)
    await given(store, first, second)
    assert await erased(store, first) == []
    assert await store.inputs.find(song.id) == song
    assert await erased(store, second) == [song.object_key]
    assert await store.inputs.find(song.id) is None
    assert await store.inputs.of_task(second.key) is None


async def test_a_file_uploaded_again_while_a_task_used_it_outlives_that_task(store: SqlStore) -> None:
    song = await kept(store, an_input())
    one = using(song)
    await given(store, one)
    assert await store.inputs.renew(song.sha256, NOW + DAY) == song
    assert await erased(store, one) == []
    assert await store.inputs.find(song.id) == song
    assert await store.inputs.erase_unused(NOW + DAY, 10) == 1
    assert await store.inputs.find(song.id) is None


async def test_a_file_uploaded_again_and_still_used_is_not_erased_for_its_time(store: SqlStore) -> None:
    song = await kept(store, an_input())
    one = using(song)
    await given(store, one)
    await store.inputs.renew(song.sha256, NOW + DAY)
    await store.inputs.erase_unused(NOW + DAY, 10)
    assert await store.inputs.find(song.id) == song
    # From then on it is the task's alone.
    assert await erased(store, one) == [song.object_key]


async def test_a_task_is_made_or_its_input_erased_but_never_both(store: SqlStore) -> None:
    for number in range(5):
        song = await kept(store, an_input(str(number).encode()))
        one = using(song)
        made, _ = await asyncio.gather(
            store.create(Change(one, (event(),))),
            store.inputs.erase_unused(NOW + DAY, 10),
            return_exceptions=True,
        )
        there = await store.inputs.find(song.id) is not None
        assert there == (made is None), number


async def test_what_a_provider_is_offered_follows_its_task(store: SqlStore) -> None:
    song = await kept(store, an_input())
    one = using(song)
    await given(store, one)
    offered = await store.inputs.of_task(one.key)
    assert offered is not None
    assert (offered.input, offered.to_be_given(NOW)) == (song, True)
    deadline = NOW + timedelta(hours=1)
    await store.apply([changing(one, lambda now: replace(now, status=Status.SUBMITTED, deadline_at=deadline))])
    offered = await store.inputs.of_task(one.key)
    assert offered is not None
    assert offered.to_be_given(deadline + timedelta(hours=1))
    assert not offered.to_be_given(deadline + timedelta(hours=1, seconds=1))
    for status in set(Status) - {Status.QUEUED, Status.SUBMITTED, Status.UNKNOWN}:
        assert not replace(offered, status=status).to_be_given(NOW)
    assert await store.inputs.of_task(UUID(int=7)) is None
