"""What processes that share a PostgreSQL database owe each other: one at a time at the schema, events none skips.

An event gets its number before its transaction commits, so numbers become visible out of order: a reader that goes on
behind the greatest it has seen would skip those of a slower transaction. That of its snapshot (``pg_snapshot_xmin``)
does not tell either, as a transaction may have begun early and number its events late. So whoever numbers events
first says from where on, by a lock that ends with its transaction (see migration 0005), and readers stay below.
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy import BigInteger, Connection, cast, column, func, literal, select, table, text

from receiver.lifecycle.ports import Decision, Once
from receiver.storage import reports

#: The first 16 bits of the keys of those locks; the others are a number.
ANNOUNCED = 0x5245
#: The key of the lock for changing the schema.
SCHEMA = 0x5245_0000_0000_0001 + (1 << 60)
_NUMBER_BITS = 48
#: What the hashes of names begin with, so that they are not those of other locks.
_NAMES = 0x6E61_6D65

_locks = table(
    "pg_locks", column("locktype"), column("database"), column("classid"), column("objid"), column("objsubid")
)
_databases = table("pg_database", column("oid"), column("datname"))
_class = cast(_locks.columns.classid, BigInteger)
_key = _class.op("<<")(literal(32)).op("|")(cast(_locks.columns.objid, BigInteger))
_NEWEST = text("SELECT last_value FROM events_id_seq")
_LEAST_ANNOUNCED = select(func.min(_key.op("&")(literal((1 << _NUMBER_BITS) - 1, BigInteger)))).where(
    _locks.columns.locktype == text("'advisory'"),
    _locks.columns.objsubid == text("1"),
    _locks.columns.database
    == select(_databases.columns.oid).where(_databases.columns.datname == func.current_database()).scalar_subquery(),
    _class.op(">>")(literal(_NUMBER_BITS - 32)) == literal(ANNOUNCED),
)


def whole(connection: Connection) -> int:
    """Return a number up to which no event can appear any more that is not there for whoever looks from now on."""
    # In this order: who is not announced yet when the locks are read numbers its events beyond this.
    newest: int = connection.execute(_NEWEST).scalar_one()
    announced: int | None = connection.scalar(_LEAST_ANNOUNCED)
    return newest if announced is None else min(newest, announced)


def without_taken_over(
    connection: Connection, asked: Sequence[Sequence[Decision]], owner: UUID
) -> list[list[Decision]]:
    """Return decisions of which those on a report that another instance has taken over do nothing."""
    report_ids = [report_id for of_caller in asked for decision in of_caller for report_id in decision.reports]
    gone = reports.taken_over(connection, report_ids, owner) if report_ids else set()
    return [
        [
            Decision(decision.task_key, lambda _: None) if gone.intersection(decision.reports) else decision
            for decision in of_caller
        ]
        for of_caller in asked
    ]


def one_at_a_time(connection: Connection, names: Iterable[Once]) -> None:
    """Let requests under the same name wait for each other, wherever they arrive, until the transaction ends."""
    for name in sorted({f"{name.caller}\n{name.name}" for name in names}):
        connection.execute(
            select(func.pg_advisory_xact_lock(func.hashtextextended(name, literal(_NAMES, BigInteger))))
        )


def alone_for_now(connection: Connection) -> None:
    """Wait until nobody else changes the schema, and keep others from it until the transaction ends."""
    # Building an index over many rows may take its time, and so may whoever was first.
    for setting in ("statement_timeout", "lock_timeout"):
        connection.execute(select(func.set_config(setting, "0", True)))  # noqa: FBT003 - "for this transaction"
    connection.execute(select(func.pg_advisory_xact_lock(literal(SCHEMA, BigInteger))))
