from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Boolean, Dialect, LargeBinary, make_url
from sqlalchemy.types import TypeEngine

from receiver.storage.types import Document, Key, Moment, together, writer

SQLITE = make_url("sqlite+pysqlite://").get_dialect()()
POSTGRESQL = make_url("postgresql+asyncpg://").get_dialect()()
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - made aware
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    # What UTF-8 cannot carry is no text.
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=6,
)


def written(kind: TypeEngine[Any], value: object, dialect: Dialect = SQLITE) -> object:
    write = kind.bind_processor(dialect)
    return value if write is None else write(value)


def back(kind: TypeEngine[Any], value: object, dialect: Dialect = SQLITE) -> object:
    read = kind.result_processor(dialect, None)
    return value if read is None else read(value)


@given(st.uuids())
def test_a_key_comes_back_as_it_was(key: UUID) -> None:
    assert back(Key(), written(Key(), key)) == key


@given(st.uuids(), st.uuids())
def test_keys_sort_in_the_database_as_they_do_here(one: UUID, other: UUID) -> None:
    first, second = written(Key(), one), written(Key(), other)
    assert isinstance(first, bytes)
    assert isinstance(second, bytes)
    assert (first < second) == (one < other)


@given(MOMENTS)
def test_a_moment_comes_back_exactly_and_in_utc(moment: datetime) -> None:
    read = back(Moment(), written(Moment(), moment))
    assert read == moment
    assert isinstance(read, datetime)
    assert read.tzinfo is UTC


def test_a_moment_in_another_zone_is_the_same_moment() -> None:
    moment = datetime(2026, 11, 20, 12, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    assert back(Moment(), written(Moment(), moment)) == moment


def test_a_naive_moment_is_refused() -> None:
    with pytest.raises(TypeError):
        written(Moment(), datetime(2026, 11, 20))  # noqa: DTZ001 - naive on purpose


@given(JSON)
def test_a_document_comes_back_as_it_was(value: object) -> None:
    assert back(Document(), written(Document(), value)) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("-inf")]}])
def test_a_document_with_a_number_that_json_does_not_have_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        written(Document(), value)


def test_a_document_may_be_a_read_only_mapping_but_no_foreign_object() -> None:
    assert written(Document(), MappingProxyType({"a": MappingProxyType({"b": (1, 2)})})) == '{"a":{"b":[1,2]}}'
    with pytest.raises(TypeError):
        written(Document(), {"a": object()})


@pytest.mark.parametrize("kind", [Key(), Moment(), Document()])
def test_nothing_stays_nothing(kind: TypeEngine[Any]) -> None:
    assert written(kind, None) is None
    assert back(kind, None) is None


@pytest.mark.parametrize(
    ("kind", "on_sqlite", "on_postgresql"),
    [
        (Key(), "BLOB", "UUID"),
        (Moment(), "BIGINT", "TIMESTAMP WITH TIME ZONE"),
        (Document(), "TEXT", "JSONB"),
    ],
)
def test_each_engine_gets_the_type_that_suits_it(kind: TypeEngine[Any], on_sqlite: str, on_postgresql: str) -> None:
    assert kind.compile(dialect=SQLITE) == on_sqlite
    assert kind.compile(dialect=POSTGRESQL) == on_postgresql


@given(
    st.sampled_from([(Key(), st.uuids()), (Moment(), MOMENTS), (Boolean(), st.booleans()), (Document(), JSON),
                     (LargeBinary(), st.binary(max_size=40))]),
    st.data(),
)  # fmt: skip
def test_a_column_is_converted_as_each_of_its_values_is(
    kind_and_values: tuple[TypeEngine[Any], st.SearchStrategy[Any]], data: st.DataObject
) -> None:
    kind, values = kind_and_values
    drawn = data.draw(st.lists(st.none() | values, max_size=4))
    # Rows that are written together often have the very same value.
    column = [*drawn, *drawn, None]
    write = writer(kind, SQLITE)
    assert write is not None
    assert list(together(write)(column)) == [write(value) for value in column]
    for value in together(write)(column):
        assert value is None or type(value) in {bytearray, int, str}, "what the driver binds without an adapter"
