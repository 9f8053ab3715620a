"""Finding a task by any id that belongs to it: each kind of id is one seek in an index of its own."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import Connection, Select, Text, bindparam, literal_column, select

from receiver.storage.outbox_tables import deliveries
from receiver.storage.tables import reports, results, tasks
from receiver.storage.types import Key

MOST = 10
_ID = bindparam("id", type_=Key)
_TEXT = bindparam("text", type_=Text)

BY_ID = select(tasks.columns.key).where(tasks.columns.id == _ID)
BY_PROVIDER_ID = select(tasks.columns.key).where(
    tasks.columns.provider == bindparam("of_provider"), tasks.columns.provider_task_id == _TEXT
)
BY_RESULT = select(results.columns.task_key).where(results.columns.id == _ID).limit(MOST)
#: The condition is spelt out as in the index, which is otherwise not used.
BY_PROVIDER_RESULT = (
    select(results.columns.task_key)
    .where(literal_column("provider_result_id IS NOT NULL"), results.columns.provider_result_id == _TEXT)
    .limit(MOST)
)
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
        keys.update(connection.scalars(BY_PROVIDER_RESULT, {"text": spelling}))
    newest = sorted(keys, reverse=True)[:MOST]
    if not newest:
        return []
    found = connection.execute(select(tasks.columns.key, tasks.columns.id).where(tasks.columns.key.in_(newest)))
    ids: dict[UUID, UUID] = {row.key: row.id for row in found}
    return [ids[key] for key in newest if key in ids]
