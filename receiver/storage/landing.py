"""Usual callbacks into their tables: one relation of all that arrived, of which every table takes its part.

Each value goes to the engine once, in one row for a callback, though seven rows are written of it in five tables:
to put each of those together here, value by value, took longer than the engine needs to write them. SQLite keeps the
relation in a temporary table in memory; PostgreSQL takes it as arrays, within the one statement that does it all.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Delete,
    Dialect,
    Insert,
    Integer,
    MetaData,
    Select,
    Table,
    Text,
    Update,
    case,
    cast,
    delete,
    insert,
    literal_column,
    null,
    select,
    union_all,
    update,
)
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql import FromClause

from receiver.domain.report import Via
from receiver.domain.result import ArtifactStatus
from receiver.domain.task import Status
from receiver.domain.usual import FIRST_TOLD, LAST_TOLD, Arrival
from receiver.storage import statements
from receiver.storage.rows import ARTIFACT_COLUMNS, EVENT_COLUMNS, RESULT_COLUMNS, NewRow
from receiver.storage.running import Ready
from receiver.storage.statements import Converters, column_wise, compiled_text, takes_arrays, unnested, writers_of
from receiver.storage.tables import artifacts, events, inbox, results, tasks
from receiver.storage.types import Document, Key, Moment, encode

#: A row for each task, its result and its report. ``received``, ``told`` and ``settled`` are the data of its events,
#: as JSON; the last of them where no other result is to follow. ``last_seq`` is the number of its last event before.
ARRIVED = Table(
    "arrived",
    MetaData(),
    Column("task_key", Key),
    Column("report_id", Key),
    Column("result_id", Key),
    Column("position", Integer),
    Column("identity", Text),
    Column("provider_result_id", Text),
    Column("seed", BigInteger),
    Column("cost_micros", BigInteger),
    Column("link", Text),
    Column("link_expires_at", Moment),
    Column("received_at", Moment),
    Column("at", Moment),
    Column("last_seq", Integer),
    Column("received", Text),
    Column("told", Text),
    Column("settled", Text),
    prefixes=["TEMPORARY"],
)
_NAMES = ARRIVED.columns.keys()
_ROWS = statements.Insert(ARRIVED, _NAMES)
_VIA = Via.CALLBACK.value

_Step = Insert | Update | Delete


def row(arrival: Arrival, last_seq: int) -> NewRow:
    """Return what the relation holds of an arrival; ``last_seq`` is the number of the last event its task has."""
    report, output, result_id, index = arrival.report, arrival.output, arrival.result_id, arrival.index
    # The data of ``Arrival.events``: nothing in them needs to be escaped.
    return (
        arrival.task.key, report.id, result_id, index, output.identity, output.provider_result_id, output.seed,
        output.cost_micros, output.link, arrival.link_expires_at, report.received_at, arrival.at, last_seq,
        f'{{"report_id":"{report.id}","bytes":{report.size}}}',
        f'{{"result_id":"{result_id}","index":{index},"via":"{_VIA}"}}',
        _settled(arrival.task.expected) if arrival.is_last else None,
    )  # fmt: skip


@lru_cache(maxsize=16)
def _settled(results_in_all: int) -> str:
    return encode({"results": results_in_all, "failed": 0})


def ready(dialect: Dialect, rows: Sequence[NewRow]) -> Iterator[Ready]:
    """Yield what writes all that arrived: results, audio to be fetched, events, tasks moved on, lines closed."""
    if not rows:
        return
    if takes_arrays(dialect):
        yield from column_wise(rows, *_whole(dialect))
        return
    first, *steps = _apart(dialect)
    yield first
    yield from _ROWS.ready(dialect, rows)
    yield from steps


@lru_cache(maxsize=2)
def _whole(dialect: Dialect) -> tuple[str, Converters]:
    """Return the one statement that takes the relation as arrays."""
    columns = list(ARRIVED.columns)
    arrived = select(unnested(columns)).cte("arrived")
    # Numbered in this order; which of several statements goes first is not said.
    told = union_all(*_events(arrived, dialect)).order_by("seq")
    steps = [*_moved(arrived), *_added(arrived), insert(events).from_select(EVENT_COLUMNS, told)]
    whole = _closed(arrived).add_cte(*(step.cte(f"step_{number}") for number, step in enumerate(steps)))
    return compiled_text(whole, dialect, _NAMES), writers_of(columns, dialect)


@lru_cache(maxsize=2)
def _apart(dialect: Dialect) -> Sequence[Ready]:
    """Return what makes the relation, then what each table takes of it, then what empties it."""
    steps: list[_Step] = [
        *_moved(ARRIVED),
        *_added(ARRIVED),
        *(insert(events).from_select(EVENT_COLUMNS, rows) for rows in _events(ARRIVED, dialect)),
        _closed(ARRIVED),
        delete(ARRIVED),
    ]
    made = str(CreateTable(ARRIVED, if_not_exists=True).compile(dialect=dialect))
    return [Ready(made, ()), *(Ready(compiled_text(step, dialect, ()), ()) for step in steps)]


def _moved(arrived: FromClause) -> list[Update]:
    """Return what moves tasks: those that wait for more, then those that have all."""
    new = arrived.columns
    every = {
        "callbacks": tasks.columns.callbacks + literal_column("1", Integer),
        "cost_micros": new.cost_micros,
        # As ``Task.missed``: a callback came where one was due.
        "missed": case((tasks.columns.pushed, literal_column("false")), else_=null()),
    }
    moving = update(tasks).where(tasks.columns.key == new.task_key)
    # A column that is set, even to what it was, costs the renewal of every index it is part of.
    return [
        moving.where(new.settled.is_(None)).values(**every, last_seq=_numbered(new.last_seq, len(FIRST_TOLD))),
        moving.where(new.settled.is_not(None)).values(
            **every,
            last_seq=_numbered(new.last_seq, len(LAST_TOLD)),
            status=_word(Status.COLLECTING.value),
            settled_at=new.at,
            work=null(),
            due_at=null(),
        ),
    ]


def _added(arrived: FromClause) -> list[Insert]:
    """Return what adds results, and their audio to be fetched."""
    new = arrived.columns
    no: ColumnElement[bool] = literal_column("false")
    none_yet: ColumnElement[int] = literal_column("0")
    of_result: dict[str, ColumnElement[Any]] = {
        "id": new.result_id,
        "via": _word(_VIA),
        "inline": no,
        "late": no,
        **{name: new[name] for name in RESULT_COLUMNS if name in new},
    }
    of_audio: dict[str, ColumnElement[Any]] = {
        "task_key": new.task_key,
        "position": new.position,
        "result_id": new.result_id,
        "link_expires_at": new.link_expires_at,
        "status": _word(ArtifactStatus.PENDING.value),
        "due_at": new.at,
        "attempts": none_yet,
        "refusals": none_yet,
    }
    audio_columns = [name for name in ARTIFACT_COLUMNS if name in of_audio]
    return [
        insert(results).from_select(RESULT_COLUMNS, select(*(of_result[name] for name in RESULT_COLUMNS))),
        insert(artifacts).from_select(audio_columns, select(*(of_audio[name] for name in audio_columns))),
    ]


def _events(arrived: FromClause, dialect: Dialect) -> list[Select[Any]]:
    """Return what selects the rows of each kind of event, in the order they are told in."""
    new = arrived.columns
    told = ((new.received_at, new.received), (new.at, new.told), (new.at, new.settled))
    return [
        select(
            new.task_key,
            _numbered(new.last_seq, number).label("seq"),
            _word(kind.value).label("type"),
            at.label("at"),
            (cast(data, Document) if takes_arrays(dialect) else data).label("data"),
        ).where(data.is_not(None))
        for number, (kind, (at, data)) in enumerate(zip(LAST_TOLD, told, strict=True), 1)
    ]


def _closed(arrived: FromClause) -> Delete:
    return delete(inbox).where(inbox.columns.report_id.in_(select(arrived.columns.report_id)))


def _numbered(last_seq: ColumnElement[int], event: int) -> ColumnElement[int]:
    """Return the number of a task's event that comes so many after its last one."""
    return last_seq + literal_column(str(event), Integer)


def _word(word: str) -> ColumnElement[str]:
    """Return one of our own words as it stands in a text: each parameter is one of the relation's."""
    return literal_column(f"'{word}'", Text)
