"""A PostgreSQL database of a drill's own, on the server that the user's is on; theirs is only connected to."""

import asyncio
from collections.abc import Callable, Coroutine
from importlib.util import find_spec
from urllib.parse import urlsplit, urlunsplit

from receiver.drill.processes import DrillError

_CONNECT_SECONDS = 10.0


def is_postgresql(url: str | None) -> bool:
    """Tell whether a database is one of PostgreSQL's."""
    return url is not None and urlsplit(url).scheme in {"postgresql", "postgres"}


def make(url: str, name: str) -> str:
    """Make a database beside that of ``url`` and return its own URL. Raises DrillError with what to do."""
    _run(url, f'CREATE DATABASE "{name}"')
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def drop(url: str, name: str) -> None:
    """Drop it, whoever is still connected. Raises DrillError."""
    _run(url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _run(url: str, statement: str) -> None:
    if find_spec("asyncpg") is None:
        raise DrillError('PostgreSQL needs the extra `postgres`: pip install "receiver[postgres]"')
    _alone(lambda: _ask(url, statement))


def _alone(work: Callable[[], Coroutine[object, object, None]]) -> None:
    with asyncio.Runner() as runner:
        runner.run(work())


async def _ask(url: str, statement: str) -> None:
    import asyncpg  # noqa: PLC0415 - an extra: imported only where PostgreSQL is used

    try:
        connection = await asyncpg.connect(url, timeout=_CONNECT_SECONDS)
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        # Its words may quote the URL, and with it a password.
        raise DrillError(f"the database server cannot be used ({type(error).__name__})") from None
    try:
        await connection.execute(statement)
    except asyncpg.InsufficientPrivilegeError:
        raise DrillError(
            "the user of RECEIVER_DATABASE_URL may not make a database of the drill's own\n"
            "as the server's administrator: ALTER ROLE <that user> CREATEDB, and NOCREATEDB afterwards\n"
            "or name another user for the drill alone: RECEIVER_DATABASE_URL=… receiver drill"
        ) from None
    except asyncpg.PostgresError as error:
        raise DrillError(f"the database server refuses ({type(error).__name__})") from None
    finally:
        await connection.close(timeout=_CONNECT_SECONDS)
