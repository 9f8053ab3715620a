"""How we stand with each provider, for all processes that serve one account: a row each, changed under its lock."""

from collections.abc import Mapping
from dataclasses import astuple, fields

from sqlalchemy import Connection, bindparam, select, update

from receiver.domain.standing import Standing
from receiver.lifecycle.ports import Answer, ChangeStanding
from receiver.storage.running import run
from receiver.storage.statements import Insert
from receiver.storage.tables import provider_standings

_NAMES = tuple(part.name for part in fields(Standing))
_ALL = select(provider_standings.columns.provider, *(provider_standings.columns[name] for name in _NAMES))
_ONE = _ALL.where(provider_standings.columns.provider == bindparam("of_provider")).with_for_update()
_CHANGE = (
    update(provider_standings)
    .where(provider_standings.columns.provider == bindparam("of_provider"))
    .values({name: bindparam(f"new_{name}") for name in _NAMES})
)
#: Of two that come first at once, the second changes nothing.
_FIRST = Insert(
    provider_standings, ("provider", *_NAMES), lambda _: {"provider": provider_standings.columns.provider}
)


def change_standing(connection: Connection, provider: str, change: ChangeStanding[Answer], now: float) -> Answer:
    """Change a standing; whoever comes meanwhile waits for the end of the transaction."""
    row = connection.execute(_ONE, {"of_provider": provider}).one_or_none()
    if row is None:
        run(connection, _FIRST.ready(connection.dialect, [(provider, *astuple(Standing()))]))
        row = connection.execute(_ONE, {"of_provider": provider}).one()
    kept = Standing(*row[1:])
    changed, answer = change(kept, now)
    if changed != kept:
        values = {f"new_{name}": value for name, value in zip(_NAMES, astuple(changed), strict=True)}
        connection.execute(_CHANGE, {"of_provider": provider, **values})
    return answer


def all_standings(connection: Connection) -> Mapping[str, Standing]:
    return {provider: Standing(*kept) for provider, *kept in connection.execute(_ALL)}
