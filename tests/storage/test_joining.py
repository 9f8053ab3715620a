"""Statements that become one: their parameters keep their places, and what cannot be joined stays apart."""

import pytest
from sqlalchemy import Dialect, make_url

from receiver.storage.joining import joined
from receiver.storage.running import Ready

POSTGRESQL: Dialect = make_url("postgresql+asyncpg://").get_dialect()()
SQLITE: Dialect = make_url("sqlite://").get_dialect()()
ONE = Ready("INSERT INTO a SELECT * FROM unnest($1, $2)", ([1], [2]))
TWO = Ready("DELETE FROM b WHERE id = ANY ($1) AND other <> $1", ([3],))
THREE = Ready("UPDATE c SET d = $2 WHERE e = $1", (4, 5))


def test_the_parameters_of_each_follow_those_before_it() -> None:
    [all_of_them] = joined(POSTGRESQL, [ONE, TWO, THREE])
    assert all_of_them.text == (
        "WITH step_0 AS (INSERT INTO a SELECT * FROM unnest($1, $2)), "
        "step_1 AS (DELETE FROM b WHERE id = ANY ($3) AND other <> $3) "
        "UPDATE c SET d = $5 WHERE e = $4"
    )
    assert all_of_them.parameters == ([1], [2], [3], 4, 5)


@pytest.mark.parametrize(
    ("dialect", "statements"),
    [
        pytest.param(SQLITE, [ONE, TWO], id="an engine in this process"),
        pytest.param(POSTGRESQL, [ONE, TWO, ONE], id="a text that comes twice"),
        pytest.param(POSTGRESQL, [ONE], id="one alone"),
        pytest.param(POSTGRESQL, [], id="none"),
    ],
)
def test_others_stay_as_they_are(dialect: Dialect, statements: list[Ready]) -> None:
    assert list(joined(dialect, statements)) == statements
