"""How long the latest tasks of each model were waited for: a few index seeks, however many tasks there are."""

from collections.abc import Collection, Iterable
from datetime import datetime

from sqlalchemy import Connection, Row, bindparam, select

from receiver.domain.learning import Known, Waited
from receiver.domain.task import Status, Work
from receiver.storage.statistics import ENDED
from receiver.storage.tables import tasks

#: How many of the latest tasks that ended so are read, of each model.
LATEST = 200
#: Where more are under way at a provider, those that end speak for them.
MOST_UNDER_WAY = 1000
#: Of one provider: whoever invents names of models must not make us read for ever.
_MOST_MODELS = 64
#: The ends at which a provider has told what became of a task.
_TOLD = (Status.SUCCEEDED, Status.PARTIAL, Status.FAILED)

_WAITED = (
    tasks.columns.pushed,
    tasks.columns.submitted_at,
    tasks.columns.looked_at,
    tasks.columns.settled_at,
    tasks.columns.missed,
    tasks.columns.callbacks,
)
#: The first model of a provider after one, in the index of ended tasks: to step from one to the next reads a row of
#: each. Not with the provider in one comparison of both, which SQLite answers by walking all tasks of a model.
NEXT_MODEL = (
    select(tasks.columns.model)
    .where(
        ENDED,
        tasks.columns.provider == bindparam("of_provider"),
        tasks.columns.model > bindparam("after"),
    )
    .order_by(tasks.columns.model)
    .limit(1)
)
LATEST_ENDED = (
    select(*_WAITED, tasks.columns.completed_at)
    .where(
        ENDED,
        tasks.columns.provider == bindparam("of_provider"),
        tasks.columns.model == bindparam("of_model"),
        tasks.columns.status == bindparam("of_status"),
    )
    .order_by(tasks.columns.completed_at.desc())
    .limit(LATEST)
)
UNDER_WAY = (
    select(*_WAITED, tasks.columns.model)
    .where(
        tasks.columns.work == Work.POLL.value,
        tasks.columns.provider == bindparam("of_provider"),
        tasks.columns.status == Status.SUBMITTED.value,
    )
    .order_by(tasks.columns.free_at)
    .limit(MOST_UNDER_WAY)
)


def known(connection: Connection, providers: Collection[str]) -> list[Known]:
    """Return the latest tasks of every model of these providers."""
    found = []
    for provider in sorted(providers):
        under_way = _under_way(connection, provider)
        for model in models(connection, provider):
            ended, all_since = _ended(connection, provider, model)
            found.append(
                Known(
                    provider,
                    model,
                    tuple(ended),
                    all_since,
                    tuple(one for one, of_model in under_way if of_model == model),
                    too_many=len(under_way) >= MOST_UNDER_WAY,
                )
            )
    return found


def models(connection: Connection, provider: str) -> Iterable[str]:
    """Yield the models of a provider of which tasks have ended, by name."""
    # None that is nameless: of an adopted generation neither its model is known nor when it began.
    model: str | None = ""
    for _ in range(_MOST_MODELS):
        model = connection.scalar(NEXT_MODEL, {"of_provider": provider, "after": model})
        if model is None:
            return
        yield model


def _ended(connection: Connection, provider: str, model: str) -> tuple[list[Waited], datetime | None]:
    ended: list[Waited] = []
    all_since: datetime | None = None
    for status in _TOLD:
        named = {"of_provider": provider, "of_model": model, "of_status": status.value}
        rows = connection.execute(LATEST_ENDED, named).all()
        ended += [waited for row in rows if (waited := _waited(row)) is not None and waited.settled_at is not None]
        if len(rows) >= LATEST:
            oldest = rows[-1].completed_at
            all_since = oldest if all_since is None else max(all_since, oldest)
    return ended, all_since


def _under_way(connection: Connection, provider: str) -> list[tuple[Waited, str]]:
    rows = connection.execute(UNDER_WAY, {"of_provider": provider})
    return [(waited, row.model) for row in rows if (waited := _waited(row)) is not None]


def _waited(row: Row[*tuple[object, ...]]) -> Waited | None:
    if row.submitted_at is None:
        # Refused, or never sent.
        return None
    return Waited(
        pushed=row.pushed,
        submitted_at=row.submitted_at,
        looked_at=row.looked_at,
        settled_at=row.settled_at,
        missed=row.missed,
        callbacks=row.callbacks,
    )
