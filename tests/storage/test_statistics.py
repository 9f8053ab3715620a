from dataclasses import replace
from datetime import timedelta

from receiver.domain.report import Via
from receiver.domain.result import Result
from receiver.domain.statistics import Statistics, percentile
from receiver.domain.task import Status, Task, Work
from receiver.lifecycle.ports import Decision
from receiver.storage.store import SqlStore
from tests.storage.making import NOW, changing, given, result, submitted


def ended(of: Task, seconds: float, *results: Result, status: Status = Status.SUCCEEDED, polls: int = 0) -> Task:
    """The task after it has ended so many seconds after its submit."""
    at = NOW + timedelta(seconds=seconds)
    return replace(of, status=status, work=None, due_at=None, completed_at=at, results=results, polls=polls)


def made(via: Via = Via.CALLBACK, cost_micros: int | None = 100_000) -> Result:
    return replace(result(), via=via, cost_micros=cost_micros)


def becoming(task: Task) -> Decision:
    return changing(task, lambda _: task)


async def figures(store: SqlStore, **fields: timedelta) -> dict[tuple[str, str], Statistics]:
    since = NOW + fields["since"] if fields else None
    return {(found.provider, found.model): found for found in await store.statistics(since)}


async def test_without_tasks_there_are_no_figures(store: SqlStore) -> None:
    assert await store.statistics(None) == []


async def test_each_model_of_each_provider_has_figures_of_its_own(store: SqlStore) -> None:
    waiting, other = submitted(), submitted("aimlapi")
    unpushed = replace(other, pushed=False, model="minimax/music-cover")
    tasks = [submitted() for _ in range(4)]
    await given(store, waiting, unpushed, *tasks)
    changes = [
        ended(tasks[0], 10, made(), polls=1),
        ended(tasks[1], 20, made(), made(Via.POLL), polls=3, status=Status.PARTIAL),
        ended(tasks[2], 90, status=Status.FAILED),
        ended(tasks[3], 99, made(cost_micros=None), status=Status.CANCELLED),
        ended(unpushed, 30, made(Via.POLL), polls=5),
    ]
    numbered = [
        replace(task, results=tuple(replace(one, index=at) for at, one in enumerate(task.results)))
        for task in changes
    ]
    await store.apply([becoming(task) for task in numbered])
    found = await figures(store)
    runware = found["runware", "minimax:music@cover"]
    assert {status: count for status, count in runware.counts.items() if count} == {
        Status.SUBMITTED: 1,
        Status.SUCCEEDED: 1,
        Status.PARTIAL: 1,
        Status.FAILED: 1,
        Status.CANCELLED: 1,
    }
    assert (runware.tasks, runware.polls, runware.polls_per_task) == (5, 4, 0.8)
    assert (runware.awaited, runware.missed, runware.miss_rate) == (3, 1, 1 / 3)
    assert runware.cost_micros == 300_000
    assert (runware.seconds_p50, runware.seconds_p99) == (10, 20)
    aimlapi = found["aimlapi", "minimax/music-cover"]
    assert (aimlapi.tasks, aimlapi.miss_rate, aimlapi.polls_per_task) == (1, None, 5)


async def test_a_window_leaves_out_what_ended_before_and_counts_what_is_under_way(store: SqlStore) -> None:
    waiting, early, late = submitted(), submitted(), submitted()
    await given(store, waiting, early, late)
    await store.apply([becoming(task) for task in (ended(early, 10), ended(late, 60))])
    [found] = (await figures(store, since=timedelta(seconds=60))).values()
    assert (found.counts[Status.SUBMITTED], found.counts[Status.SUCCEEDED]) == (1, 1)
    assert (found.seconds_p50, found.seconds_p99) == (60, 60)


async def test_how_long_an_adopted_generation_took_is_not_known(store: SqlStore) -> None:
    adopted = replace(submitted(), model="")
    await given(store, adopted)
    await store.apply([changing(adopted, lambda _: ended(adopted, 10))])
    [found] = (await figures(store)).values()
    assert (found.counts[Status.SUCCEEDED], found.seconds_p50) == (1, None)


async def test_what_a_task_cost_and_missed_is_kept_up_to_date_with_it(store: SqlStore) -> None:
    task = submitted()
    await given(store, task)
    await store.apply([changing(task, lambda current: ended(current, 10, made()))])
    await store.apply([changing(task, lambda current: replace(current, told_cost_micros=7, work=Work.POLL))])
    [found] = (await figures(store)).values()
    assert (found.cost_micros, found.missed) == (7, 0)
    # Not a number of the database's own, which no answer can tell.
    assert type(found.cost_micros) is type(found.polls) is int


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([], 0.5) is None
    assert [percentile([1.0, 2.0, 3.0, 4.0], share) for share in (0.0, 0.25, 0.5, 0.51, 0.99, 1.0)] == [
        1,
        1,
        2,
        3,
        4,
        4,
    ]
