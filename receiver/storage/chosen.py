"""Rows that a query with a limit finds, as a condition."""

from typing import Any, Self

from sqlalchemy import Boolean, ColumnElement, Select, Table, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.sql.visitors import InternalTraversal


class Chosen(ColumnElement[bool]):
    """True of the rows of a table that a query finds: a query with a limit, and locks, which must run once.

    ``IN`` alone leaves PostgreSQL free to run it again for every row that it is compared to; what was claimed by the
    run before is stepped over then, and more rows are claimed than the limit says. An array is made once.
    """

    inherit_cache = True
    # Told of what it is made of, SQLAlchemy compiles a statement with it once: that took longer than to run it.
    _traverse_internals = [  # noqa: RUF012 - SQLAlchemy says what it is
        ("by_key", InternalTraversal.dp_clauseelement),
        ("by_place", InternalTraversal.dp_clauseelement),
    ]
    type = Boolean()

    def __init__(self, table: Table, query: Select[*tuple[Any, ...]]) -> None:
        # By several columns SQLite would look at every row there is.
        [found_by] = table.primary_key.columns
        self.found_by: ColumnElement[object] = found_by
        self.by_key = query.with_only_columns(found_by)
        place: ColumnElement[object] = literal_column(f"{table.name}.ctid")
        self.place = place
        self.by_place = query.with_only_columns(place)

    def self_group(self, against: OperatorType | None = None) -> Self:  # noqa: ARG002 - it is true or false anywhere
        return self


@compiles(Chosen)
def _chosen(chosen: Chosen, compiler: SQLCompiler, **named: Any) -> str:  # noqa: ANN401 - SQLAlchemy's own
    if compiler.dialect.name == "postgresql":
        place, rows = (compiler.process(part, **named) for part in (chosen.place, chosen.by_place))
        return f"{place} = ANY (ARRAY({rows}))"
    key, rows = (compiler.process(part, **named) for part in (chosen.found_by, chosen.by_key))
    return f"{key} IN ({rows})"
