"""Finding a task by any id that belongs to it: by an index of its own, all but the id that a provider gave a result.

Such ids are drawn at random, so an index of them had every result change another page of it: half of all pages that
were written to settle. They are asked for now and then, by a person; who asks waits for a walk through the newest
results instead, half a second for each million.
"""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import Connection, Select, Text, bindparam, select

from receiver.storage.outbox_tables import deliveries
from receiver.storage.tables import reports, results, tasks
from receiver.storage.types import Key

MOST = 10
#: Results looked at by one statement, and by all of a search.
AT_ONCE, MOST_LOOKED_AT = 20_000, 2_000_000
_LAST_KEY = UUID(int=2**128 - 1)
_ID = bindparam("id", type_=Key)
_TEXT = bindparam("text", type_=Text)

BY_ID = select(tasks.columns.key).where(tasks.columns.id == _ID)
BY_PROVIDER_ID = select(tasks.columns.key).where(
    tasks.columns.provider == bindparam("of_provider"), tasks.columns.provider_task_id == _TEXT
)
BY_RESULT = select(results.columns.task_key).where(results.columns.id == _ID).limit(MOST)
BY_REPORT = select(reports.columns.task_key).where(reports.columns.id == _ID)
BY_DELIVERY = select(deliveries.columns.task_key).where(deliveries.columns.id == _ID)
_BY_UUID: tuple[Select[UUID], ...] = (BY_ID, BY_RESULT, BY_REPORT, BY_DELIVERY)


def named(connection: Connection, text: str, providers: Collection[str]) -> list[UUID]:
    """Return the public ids of the tasks that an id belongs to, the newest first."""
    keys: set[UUID] = set()
    try:
        wanted = UUID(text)
    except ValueError:
        wanted = None
    if wanted is not None:
        for statement in _BY_UUID:
            keys.update(connection.scalars(statement, {"id": wanted}))
    for spelling in {text, text.lower()}:
        for provider in providers:
            keys.update(connection.scalars(BY_PROVIDER_ID, {"of_provider": provider, "text": spelling}))
    if not keys:
        keys = _of_provider_result(connection, {text, text.lower()})
    newest = sorted(keys, reverse=True)[:MOST]
    if not newest:
        return []
    found = connection.execute(select(tasks.columns.key, tasks.columns.id).where(tasks.columns.key.in_(newest)))
    ids: dict[UUID, UUID] = {row.key: row.id for row in found}
    return [ids[key] for key in newest if key in ids]


def _of_provider_result(connection: Connection, spellings: Collection[str]) -> set[UUID]:
    """Return the keys of the newest tasks whose results a provider knows by this id."""
    before, looked_at = _LAST_KEY, 0
    while looked_at < MOST_LOOKED_AT:
        found = set(connection.scalars(by_provider_result(before, spellings)))
        last = connection.scalar(last_looked_at(before))
        if found or last is None:
            return found
        # The results of one task, four at most, may lie on both sides: it is looked at again.
        before, looked_at = last, looked_at + AT_ONCE
    return set()


def by_provider_result(before: UUID, spellings: Collection[str]) -> Select[UUID]:
    """Return what finds an id of a provider among some results, from a task on back in time."""
    newest = _back_from(before).limit(AT_ONCE).subquery("newest")
    return select(newest.columns.task_key).where(newest.columns.provider_result_id.in_(spellings)).limit(MOST)


def last_looked_at(before: UUID) -> Select[UUID]:
    """Return what finds the task of the last of them, where they were as many as that."""
    return _back_from(before).with_only_columns(results.columns.task_key).offset(AT_ONCE - 1).limit(1)


def _back_from(before: UUID) -> Select[UUID, str | None]:
    return (
        select(results.columns.task_key, results.columns.provider_result_id)
        .where(results.columns.task_key <= before)
        .order_by(results.columns.task_key.desc(), results.columns.position.desc())
    )
