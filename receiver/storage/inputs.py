"""Uploaded files: rows that are shared by their bytes, given up when no task needs them."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Select, bindparam, case, delete, func, literal, null, select, update
from sqlalchemy.dialects import postgresql, sqlite

from receiver.domain.errors import FieldProblem, InvalidRequestError, UnavailableError
from receiver.domain.input import Input, Offered, named, object_key
from receiver.domain.task import Change, Status
from receiver.storage.engine import Engine
from receiver.storage.object_tables import doomed_objects
from receiver.storage.running import run
from receiver.storage.saving import DOOMED, Doomed
from receiver.storage.statements import Insert
from receiver.storage.tables import input_uses, inputs, tasks
from receiver.storage.types import Key, Moment

_COLUMNS = (
    inputs.columns.id,
    inputs.columns.sha256,
    inputs.columns.size,
    inputs.columns.duration_seconds,
    inputs.columns.media_type,
    inputs.columns.extension,
)
_USES = Insert(input_uses, ("task_key", "input_id"))
UNUSED = select(func.count(), func.coalesce(func.sum(inputs.columns.size), 0)).where(
    inputs.columns.unused_until.is_not(None)
)
OF_TASK = (
    select(*_COLUMNS, tasks.columns.status, tasks.columns.deadline_at)
    .join_from(input_uses, inputs, inputs.columns.id == input_uses.columns.input_id)
    .join(tasks, tasks.columns.key == input_uses.columns.task_key)
    .where(input_uses.columns.task_key == bindparam("of_task", type_=Key()))
)
KEPT_TOO_LONG = (
    select(inputs.columns.id)
    .where(inputs.columns.unused_until <= bindparam("now", type_=Moment()))
    .order_by(inputs.columns.unused_until)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)


class SqlInputs:
    """``receiver.lifecycle.ports.Inputs`` in a database."""

    def __init__(self, engine: Engine) -> None:
        """Take the engine of the store."""
        self._engine = engine

    async def unused(self) -> tuple[int, int]:
        return await self._engine.read(_unused)

    async def renew(self, sha256: str, unused_until: datetime) -> Input | None:
        return await self._engine.write(lambda connection: _renew(connection, sha256, unused_until))

    async def promise(self, object_key: str, until: datetime) -> None:
        def promised(connection: Connection) -> None:
            run(connection, DOOMED.ready(connection.dialect, [(object_key, until)]))

        await self._engine.write(promised)

    async def keep(self, new: Input, *, now: datetime, unused_until: datetime) -> Input:
        return await self._engine.write(lambda connection: _keep(connection, new, now, unused_until))

    async def find(self, input_id: UUID) -> Input | None:
        return await self._engine.read(
            lambda connection: _first(connection, select(*_COLUMNS).where(inputs.columns.id == input_id))
        )

    async def of_task(self, task_key: UUID) -> Offered | None:
        def offered(connection: Connection) -> Offered | None:
            row = connection.execute(OF_TASK, {"of_task": task_key}).first()
            return None if row is None else Offered(_input(row), Status(row.status), row.deadline_at)

        return await self._engine.read(offered)

    async def erase_unused(self, now: datetime, limit: int) -> int:
        return await self._engine.write(lambda connection: _erase_unused(connection, now, limit))


def missing(connection: Connection, changes: Sequence[Change]) -> dict[UUID, InvalidRequestError]:
    """Return the refusals of new tasks that name an input which there is not; the others stay until we commit."""
    wanted = {change.task.key: named(change.task.request.reference_audio) for change in changes}
    ids = {input_id for input_id in wanted.values() if input_id is not None}
    if not ids:
        return {}
    held = select(inputs.columns.id).where(inputs.columns.id.in_(ids)).order_by(inputs.columns.id)
    there = {input_id for (input_id,) in connection.execute(held.with_for_update(read=True, key_share=True))}
    return {key: _no_input() for key, input_id in wanted.items() if input_id is not None and input_id not in there}


def use(connection: Connection, changes: Sequence[Change]) -> None:
    """Note which inputs new tasks use; from then on these are kept as long as the tasks."""
    wanted = ((change.task.key, named(change.task.request.reference_audio)) for change in changes)
    uses = [(key, input_id) for key, input_id in wanted if input_id is not None]
    if not uses:
        return
    run(connection, _USES.ready(connection.dialect, uses))
    used = inputs.columns.id.in_({input_id for _, input_id in uses})
    connection.execute(
        update(inputs).where(used, inputs.columns.unused_until.is_not(None)).values(unused_until=null())
    )


def released(connection: Connection, task_keys: Sequence[UUID], now: datetime) -> list[Doomed]:
    """Let tasks use their inputs no more, and erase those that nobody uses and nobody uploaded again since.

    Returns the objects that go.
    """
    of_tasks = input_uses.columns.task_key.in_(task_keys)
    wanted = set(connection.scalars(select(input_uses.columns.input_id).where(of_tasks)))
    if not wanted:
        return []
    ours = select(inputs.columns.id, inputs.columns.unused_until).where(inputs.columns.id.in_(wanted))
    held = connection.execute(ours.order_by(inputs.columns.id).with_for_update()).all()
    connection.execute(delete(input_uses).where(of_tasks))
    used = _used(connection, wanted)
    return _erase(
        connection,
        [input_id for input_id, unused_until in held if unused_until is None and input_id not in used],
        now,
    )


def _unused(connection: Connection) -> tuple[int, int]:
    count, size = connection.execute(UNUSED).one()
    return int(count), int(size)


def _renew(connection: Connection, sha256: str, unused_until: datetime) -> Input | None:
    same = inputs.columns.sha256 == bytes.fromhex(sha256)
    later = case(
        (inputs.columns.unused_until > unused_until, inputs.columns.unused_until), else_=literal(unused_until, Moment)
    )
    row = connection.execute(update(inputs).where(same).values(unused_until=later).returning(*_COLUMNS)).first()
    return None if row is None else _input(row)


def _keep(connection: Connection, new: Input, now: datetime, unused_until: datetime) -> Input:
    construct = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = construct(inputs).values(
        id=new.id,
        sha256=bytes.fromhex(new.sha256),
        size=new.size,
        duration_seconds=new.duration_seconds,
        media_type=new.media_type,
        extension=new.extension,
        unused_until=unused_until,
    )
    # An upload that ended at the same moment with the same bytes came first; its object is the one that stays.
    same = statement.on_conflict_do_update(index_elements=["sha256"], set_={"unused_until": unused_until})
    kept = _input(connection.execute(same.returning(*_COLUMNS)).one())
    if kept.id == new.id:
        mine = delete(doomed_objects).where(
            doomed_objects.columns.object_key == new.object_key,
            doomed_objects.columns.until > now,
            doomed_objects.columns.removing.is_(False),
        )
        if not connection.execute(mine).rowcount:
            raise UnavailableError("the upload took so long that its file was given up")
    return kept


def _erase_unused(connection: Connection, now: datetime, limit: int) -> int:
    found = list(connection.scalars(KEPT_TOO_LONG, {"now": now, "most": limit}))
    if not found:
        return 0
    used = _used(connection, found)
    # Uploaded again while a task used it, and used by that one still.
    connection.execute(update(inputs).where(inputs.columns.id.in_(used)).values(unused_until=null()))
    _erase(connection, [input_id for input_id in found if input_id not in used], now)
    return len(found)


def _used(connection: Connection, input_ids: Collection[UUID]) -> set[UUID]:
    uses = select(input_uses.columns.input_id).where(input_uses.columns.input_id.in_(input_ids))
    return set(connection.scalars(uses.distinct()))


def _erase(connection: Connection, input_ids: Sequence[UUID], now: datetime) -> list[Doomed]:
    if not input_ids:
        return []
    connection.execute(delete(inputs).where(inputs.columns.id.in_(input_ids)))
    doomed = [(object_key(input_id), now) for input_id in input_ids]
    run(connection, DOOMED.ready(connection.dialect, doomed))
    return doomed


def _first(connection: Connection, statement: Select[*tuple[Any, ...]]) -> Input | None:
    row = connection.execute(statement).first()
    return None if row is None else _input(row)


def _input(row: Row[*tuple[Any, ...]]) -> Input:
    return Input(
        id=row.id,
        sha256=row.sha256.hex(),
        size=row.size,
        duration_seconds=row.duration_seconds,
        media_type=row.media_type,
        extension=row.extension,
    )


def _no_input() -> InvalidRequestError:
    message = "names no input: it was never uploaded here, or erased because no task used it in time; upload it again"
    return InvalidRequestError((FieldProblem("reference_audio", message),))
