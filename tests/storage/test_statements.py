from collections.abc import Iterator, Sequence
from uuid import UUID

import pytest
from sqlalchemy import (
    Column,
    Connection,
    Integer,
    MetaData,
    Table,
    Text,
    create_engine,
    delete,
    literal_column,
    make_url,
    select,
)

from receiver.storage.running import run
from receiver.storage.sqlite import driver
from receiver.storage.statements import Excluded, ForKeys, Insert, Update, lists
from receiver.storage.types import Key

notes = Table(
    "notes",
    MetaData(),
    Column("key", Key, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("word", Text),
)
COLUMNS = ("key", "number", "word")
ALL = select(notes.c.key, notes.c.number, notes.c.word).order_by(notes.c.number)


def key(number: int) -> UUID:
    return UUID(int=number)


def rows(amount: int) -> list[tuple[object, ...]]:
    return [(key(number), number, f"word {number}") for number in range(amount)]


@pytest.fixture
def executed() -> list[str]:
    """The texts that went to the database, in order."""
    return []


@pytest.fixture
def connection(executed: list[str]) -> Iterator[Connection]:
    def note(statement: str) -> None:
        if not statement.startswith("BEGIN"):
            executed.append(statement)

    engine = create_engine("sqlite://")
    with engine.connect() as opened:
        notes.create(opened)
        # Whichever way a statement takes, it comes by here.
        driver(opened).set_trace_callback(note)
        yield opened
    engine.dispose()


def everything(connection: Connection) -> Sequence[tuple[object, ...]]:
    return [tuple(row) for row in connection.execute(ALL)]


@pytest.mark.parametrize("amount", [0, 1, 7, 8, 63, 64, 65, 200])
def test_any_number_of_rows_is_inserted_in_few_statements(
    connection: Connection, executed: list[str], amount: int
) -> None:
    run(connection, Insert(notes, COLUMNS).ready(connection.dialect, rows(amount)))
    assert len(executed) <= amount // 64 + 14
    assert everything(connection) == rows(amount)


def test_an_overwriting_insert_changes_what_is_there(connection: Connection) -> None:
    insert = Insert(notes, COLUMNS, lambda new: {"number": notes.c.number + new["number"]})
    for _ in range(2):
        run(connection, insert.ready(connection.dialect, [(key(1), 5, "first"), (key(2), 7, "second")]))
    assert everything(connection) == [(key(1), 10, "first"), (key(2), 14, "second")]


def test_an_update_names_only_the_columns_that_changed(connection: Connection, executed: list[str]) -> None:
    run(connection, Insert(notes, COLUMNS).ready(connection.dialect, rows(3)))
    executed.clear()
    changes = [
        ((key(0),), (0, "word 0"), (0, "other")),
        ((key(1),), (1, "word 1"), (10, "word 1")),
        ((key(2),), (2, "word 2"), (2, "word 2")),
    ]
    run(connection, Update(notes, ("number", "word")).ready(connection.dialect, changes))
    assert [text.partition("UPDATE ")[2] for text in executed] == [
        'notes SET word=new.word FROM new WHERE notes."key" = new."key"',
        'notes SET number=new.number FROM new WHERE notes."key" = new."key"',
    ]
    assert everything(connection) == [(key(0), 0, "other"), (key(2), 2, "word 2"), (key(1), 10, "word 1")]


@pytest.mark.parametrize("amount", [0, 1, 2, 9, 65, 300])
def test_any_number_of_rows_is_updated_each_with_its_own_values(connection: Connection, amount: int) -> None:
    run(connection, Insert(notes, COLUMNS).ready(connection.dialect, rows(amount + 1)))
    changes = [((key(n),), (n, f"word {n}"), (n + 1000, f"new {n}")) for n in range(amount)]
    run(connection, Update(notes, ("number", "word")).ready(connection.dialect, changes))
    untouched = (key(amount), amount, f"word {amount}")
    assert everything(connection) == [untouched, *((key(n), n + 1000, f"new {n}") for n in range(amount))]


@pytest.mark.parametrize("amount", [0, 1, 7, 8, 73, 300])
def test_every_column_of_any_number_of_rows_is_set_alike_or_not(connection: Connection, amount: int) -> None:
    run(connection, Insert(notes, COLUMNS).ready(connection.dialect, rows(amount + 4)))
    changes: list[tuple[UUID, int, str | None]] = [(key(n), 7, "alike") for n in range(amount)]
    changes += [(key(amount + n), n, None if n else "own") for n in range(3)]
    run(connection, Update(notes, ("number", "word")).all_of(connection.dialect, changes))
    assert everything(connection) == sorted(
        [*changes, (key(amount + 3), amount + 3, f"word {amount + 3}")], key=lambda row: (row[1], row[0])
    )


@pytest.mark.parametrize("amount", [0, 1, 2, 9, 65, 300])
def test_rows_are_found_by_any_number_of_keys_once_each(connection: Connection, amount: int) -> None:
    run(connection, Insert(notes, COLUMNS).ready(connection.dialect, rows(310)))
    found = ForKeys(ALL, notes.c.key).rows(connection, [key(number) for number in range(amount)])
    assert [tuple(row) for row in found] == rows(amount)


def test_rows_are_deleted_by_their_keys(connection: Connection) -> None:
    run(connection, Insert(notes, COLUMNS).ready(connection.dialect, rows(300)))
    run(connection, ForKeys(delete(notes), notes.c.key).ready(connection.dialect, [key(n) for n in range(1, 300)]))
    assert everything(connection) == rows(1)


def test_lists_of_keys_come_in_few_lengths_and_hold_every_key() -> None:
    for amount in range(600):
        keys = [key(number) for number in range(amount)]
        cut = list(lists(keys))
        assert {len(part) for part in cut} <= {1, 8, 64, 128, 256}
        assert {each for part in cut for each in part} == set(keys)


def test_postgresql_is_given_an_array_for_each_column_and_one_text_for_any_number_of_rows() -> None:
    dialect = make_url("postgresql+asyncpg://").get_dialect()()
    insert = Insert(notes, COLUMNS, lambda new: {"word": new["word"]})
    [two], [many, rest] = (list(insert.ready(dialect, rows(amount))) for amount in (2, 1001))
    assert "FROM unnest($1::UUID[], $2::INTEGER[], $3::TEXT[])" in two.text
    assert two.text.endswith("ON CONFLICT (key) DO UPDATE SET word = excluded.word")
    assert two.parameters == ([key(0), key(1)], [0, 1], ["word 0", "word 1"])
    assert two.text == many.text == rest.text
    assert [len(part.parameters[0]) for part in (many, rest)] == [1000, 1]  # type: ignore[arg-type]
    assert list(insert.ready(dialect, [])) == []
    [changed] = Update(notes, ("number", "word")).ready(dialect, [((key(0),), (0, "a"), (1, "a"))])
    assert changed.text.endswith(
        'FROM unnest($1::UUID[], $2::INTEGER[]) AS "new"(key, number) WHERE notes.key = "new".key'
    )
    assert changed.parameters == ([key(0)], [1])
    [found] = ForKeys(select(notes.c.number), notes.c.key).ready(dialect, [key(0), key(1), key(0)])
    assert found.text.endswith("notes.key = ANY ($1::UUID[])")
    assert found.parameters == ([key(0), key(1)],)


def test_a_statement_with_parameters_of_its_own_is_refused() -> None:
    broken = Insert(notes, COLUMNS, lambda _: {"word": "a constant"})
    with pytest.raises(AssertionError, match="not those of its rows"):
        list(broken.ready(make_url("sqlite+pysqlite://").get_dialect()(), rows(1)))


@pytest.mark.parametrize("size", [1, 2, 8, 64])
def test_the_text_for_many_rows_is_the_one_that_would_be_compiled(connection: Connection, size: int) -> None:
    dialect = connection.dialect
    insert = Insert(notes, COLUMNS, lambda new: {"number": notes.c.number + new["number"]})
    assert insert._text(dialect, size) == insert._compile(dialect, size)
    update = Update(notes, COLUMNS)
    assert update._text(dialect, (1, 2), size) == update._compile(dialect, (1, 2), size)
    for_keys = ForKeys(select(notes.c.word).where(notes.c.number > literal_column("3")), notes.c.key)
    assert for_keys._text(dialect, size) == for_keys._compile(dialect, size)


def test_no_more_than_two_rows_are_compiled_for_any_number_of_them(connection: Connection) -> None:
    compiled = []

    def overwrite(new: Excluded) -> dict[str, object]:
        compiled.append(new)
        return {"number": new["number"]}

    insert = Insert(notes, COLUMNS, overwrite)
    for amount in (64, 32, 3):
        run(connection, insert.ready(connection.dialect, rows(amount)))
    assert len(compiled) == 2
