"""Objects that rows share: claimed before they are made, removed when nobody names them and nobody is making them.

Audio is named by its bytes, so that several results may share an object, and several workers be making it at once.
Whether one may be removed is answered in one transaction, which also says that it is being removed. Whoever is going
to make it claims it first, and is refused while it is being removed; whoever names it proves in the same transaction
that its claim still stands. On PostgreSQL a lock on the name puts claims and removals in a row; SQLite has one
writer. Nothing is counted: a count that one fault made wrong would stay wrong.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import BigInteger, Connection, Select, bindparam, delete, func, literal, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from receiver.storage.claim import Claim
from receiver.storage.object_tables import doomed_objects, object_claims
from receiver.storage.running import run
from receiver.storage.saving import DOOMED
from receiver.storage.tables import artifacts

#: What the hashes of names begin with, so that they are not those of other locks.
_NAMES = 0x6F62_6A73
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

DUE = (
    select(doomed_objects.columns.object_key)
    .where(
        doomed_objects.columns.until <= bindparam("now"),
        or_(doomed_objects.columns.removing.is_(False), doomed_objects.columns.until <= bindparam("by_all")),
    )
    .order_by(doomed_objects.columns.until)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
EXPIRED = (
    select(object_claims.columns.object_key, object_claims.columns.holder)
    .where(object_claims.columns.until <= bindparam("now"))
    .order_by(object_claims.columns.until)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)


def naming(names: Collection[str]) -> Select[str | None]:
    """Return the statement that finds which of some objects results name."""
    return select(artifacts.columns.object_key).where(artifacts.columns.object_key.in_(names))


def claim(connection: Connection, object_key: str, holder: UUID, until: datetime) -> bool:
    """Let an object be made by ``holder``; False while somebody is removing it."""
    _one_at_a_time(connection, [object_key])
    removing = select(doomed_objects.columns.removing).where(doomed_objects.columns.object_key == object_key)
    if connection.scalar(removing):
        return False
    construct = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = construct(object_claims).values(object_key=object_key, holder=holder, until=until)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=list(object_claims.primary_key.columns), set_={"until": statement.excluded["until"]}
        )
    )
    return True


def prolong(connection: Connection, holders: Collection[UUID], until: datetime) -> None:
    """Let claims last longer."""
    connection.execute(update(object_claims).where(object_claims.columns.holder.in_(holders)).values(until=until))


def is_held(connection: Connection, object_keys: Sequence[str], holder: UUID) -> bool:
    """Tell whether a holder's claims stand; they do then until this transaction ends."""
    found = connection.execute(
        select(object_claims.columns.object_key)
        .where(object_claims.columns.holder == holder, object_claims.columns.object_key.in_(object_keys))
        .with_for_update()
    )
    return {object_key for (object_key,) in found} >= set(object_keys)


def expire(connection: Connection, now: datetime, limit: int) -> int:
    """End claims that were not prolonged, and doom what they were on; return how many those were.

    Their holders died, or were away for so long that they may not name the object any more.
    """
    found = connection.execute(EXPIRED, {"now": now, "most": limit}).all()
    for object_key, holder in found:
        connection.execute(
            delete(object_claims).where(
                object_claims.columns.object_key == object_key, object_claims.columns.holder == holder
            )
        )
    names = sorted({object_key for object_key, _ in found})
    run(connection, DOOMED.ready(connection.dialect, [(name, now) for name in names]))
    return len(found)


def is_waiting(connection: Connection, now: datetime) -> bool:
    """Tell whether there may be something to ``expire`` or to ``condemn``, without a lock."""
    doomed, claims = doomed_objects.columns.until, object_claims.columns.until
    return any(connection.scalar(select(literal(1)).where(until <= now).limit(1)) for until in (doomed, claims))


def condemn(connection: Connection, claim: Claim, now: datetime, only: Collection[str] | None) -> list[str]:
    """Return objects that the caller is to remove by the end of its claim, and nobody else until then.

    Those that something names, and those that somebody is making, stay. ``now`` is the caller's own time, by which
    objects are doomed; ``only`` narrows it to some.
    """
    columns = doomed_objects.columns
    due = DUE if only is None else DUE.where(columns.object_key.in_(only))
    given = {"now": max(now, claim.now), "by_all": claim.now, "most": claim.limit}
    names = {object_key for (object_key,) in connection.execute(due, given)}
    if not names:
        return []
    _one_at_a_time(connection, names)
    # In this order: a claim ends in the transaction that names its object.
    making = select(object_claims.columns.object_key).where(object_claims.columns.object_key.in_(names))
    claimed = set(connection.scalars(making))
    named = {name for name in connection.scalars(naming(names)) if name is not None}
    connection.execute(delete(doomed_objects).where(columns.object_key.in_(named)))
    gone = names - claimed - named
    for those, values in (
        (claimed - named, {"until": claim.until}),
        (gone, {"until": claim.until, "removing": True}),
    ):
        connection.execute(update(doomed_objects).where(columns.object_key.in_(those)).values(values))
    return sorted(gone)


def void(connection: Connection) -> None:
    """Let nobody make or remove anything any more: whoever did is dead."""
    connection.execute(update(object_claims).values(until=_LONG_AGO))
    removing = doomed_objects.columns.removing
    connection.execute(update(doomed_objects).where(removing).values(removing=False, until=_LONG_AGO))


def put_off(connection: Connection, object_keys: Sequence[str], until: datetime) -> None:
    """Leave condemned objects that could not be removed alone until a moment; nobody makes them anew meanwhile."""
    connection.execute(
        update(doomed_objects)
        .where(doomed_objects.columns.object_key.in_(object_keys), doomed_objects.columns.removing)
        .values(until=until)
    )


def forget(connection: Connection, object_keys: Sequence[str]) -> None:
    """Forget the names of condemned objects that are removed."""
    connection.execute(
        delete(doomed_objects).where(
            doomed_objects.columns.object_key.in_(object_keys), doomed_objects.columns.removing
        )
    )


def _one_at_a_time(connection: Connection, names: Collection[str]) -> None:
    """Let those who claim or condemn an object wait for each other until the transaction ends."""
    if connection.dialect.name != "postgresql":
        return
    for name in sorted(names):
        connection.execute(
            select(func.pg_advisory_xact_lock(func.hashtextextended(name, literal(_NAMES, BigInteger))))
        )
