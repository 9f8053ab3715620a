"""The part of the store that speaks of objects; what a method does lies in ``custody``."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection

from receiver.lifecycle.ports.custody import NameObjects
from receiver.storage import custody, leases, retiring
from receiver.storage.claiming import Claims
from receiver.storage.engine import Engine


class Custodian:
    """``receiver.lifecycle.ports.custody.Custody`` in a database; the store is one."""

    def __init__(self, engine: Engine, claims: Claims) -> None:
        self._engine = engine
        self._claims = claims
        self._owner = claims.owner

    async def claim_object(self, object_key: str, holder: UUID, *, now: datetime, lease: timedelta) -> bool:
        return await self._engine.write(
            lambda connection: custody.claim(
                connection, object_key, holder, self._claims.moment(connection, now) + lease
            )
        )

    async def condemn(
        self, now: datetime, limit: int, *, lease: timedelta, only: Collection[str] | None = None
    ) -> list[str]:
        def condemned(connection: Connection) -> list[str]:
            claim = self._claims.claim(connection, now, limit, lease)
            if only is None:
                custody.expire(connection, claim.now, limit)
            return custody.condemn(connection, claim, now, only)

        # Most of the time there is nothing, and to write nothing is a transaction all the same.
        waiting = await self._engine.read(
            lambda connection: custody.is_waiting(connection, max(now, self._claims.moment(connection, now)))
        )
        return await self._engine.write(condemned) if waiting else []

    async def put_off_objects(self, object_keys: Sequence[str], until: datetime) -> None:
        await self._engine.write(lambda connection: custody.put_off(connection, object_keys, until))

    async def forget_objects(self, object_keys: Sequence[str]) -> None:
        await self._engine.write(lambda connection: custody.forget(connection, object_keys))

    async def links_dying(self, *, before: datetime, waits_since: datetime) -> int:
        return await self._engine.read(
            lambda connection: leases.links_dying(connection, before=before, waits_since=waits_since)
        )

    async def with_audio(self, ended_before: datetime, limit: int) -> list[UUID]:
        return await self._engine.read(lambda connection: retiring.with_audio(connection, ended_before, limit))

    async def retire_carriers(self, task_keys: Collection[UUID], ended_before: datetime) -> None:
        await self._engine.write(lambda connection: retiring.retire_carriers(connection, task_keys, ended_before))

    async def retire_reports(self, ended_before: datetime, limit: int) -> int:
        return await self._engine.write(lambda connection: retiring.retire_reports(connection, ended_before, limit))

    async def retire_tasks(self, ended_before: datetime, limit: int, objects: NameObjects) -> int:
        return await self._engine.write(
            lambda connection: retiring.retire_tasks(connection, ended_before, limit, objects)
        )
