"""What a PostgreSQL server that is shared says of itself: reach and schema, rights, durability, room, its clock."""

from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

from receiver.doctor.finding import Finding, failed, ok, warning
from receiver.doctor.machine import SLOW_COMMIT_SECONDS, TOO_FAST_SECONDS, Known, disk
from receiver.domain.errors import UnavailableError
from receiver.domain.token import SigningKey, TokenSigner
from receiver.lifecycle.ports import System
from receiver.settings import Loaded

#: The oldest version with everything that is asked of it.
_OLDEST = 130000
#: Leases go by the server's clock, what a report says of its coming by ours.
_FEW_SECONDS, _MANY_SECONDS = 2.0, 30.0


async def database(loaded: Loaded, keys: tuple[SigningKey, ...], system: System) -> AsyncIterator[Finding | Known]:
    """Look at the server and the database in it; the last is what further looks need."""
    # As the driver, only where it is used.
    from receiver.storage.surveying import survey  # noqa: PLC0415 - the driver is an extra

    url = loaded.settings.database_url or ""
    place = _place(url)
    try:
        found = await survey(url, system.now, system.monotonic)
    except (UnavailableError, ValueError) as error:
        yield failed(
            "database",
            f"{place}: {error}",
            "see that it runs, is reached from here, and takes this user and password",
        )
    else:
        yield _schema(
            place, found.version, found.version_number, found.revision, found.newest, readable=found.may_write
        )
        yield _rights(
            standby=found.standby or found.read_only,
            may_write=found.may_write,
            may_create=found.may_create,
            empty=found.revision is None,
        )
        yield _durability(
            synced=found.synced,
            whole_pages=found.whole_pages,
            standbys=found.standbys,
            commit_seconds=found.commit_seconds,
        )
        yield _room(found.room)
        yield _clock(found.ahead_seconds)
        tokens = TokenSigner(keys, found.installation_id) if keys and found.installation_id is not None else None
        for finding in _disk(loaded):
            yield finding
        yield Known(tokens, "unknown" if found.others else None, "database")
        return
    for finding in _disk(loaded):
        yield finding
    yield Known(None, None, "database")


def _place(url: str) -> str:
    """Return where a database is, without who comes and with what password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "PostgreSQL"
    return f"PostgreSQL at {parts.netloc.rpartition('@')[2] or 'a socket'}{parts.path}"


def _schema(place: str, version: str, number: int, revision: str | None, newest: str, *, readable: bool) -> Finding:
    told = f"{place}, version {version.partition(' ')[0]}"
    if number < _OLDEST:
        return failed("database", told, "PostgreSQL 13 or newer is needed")
    if not readable:
        return ok("database", told)
    if revision is None:
        return warning("database", f"{told}, is empty", "`receiver migrate`, or the next start, makes its tables")
    if revision < newest:
        return warning(
            "database", f"{told}, is at revision {revision}, the newest is {newest}", "the next start brings it there"
        )
    if revision > newest:
        return failed("database", f"{told}, was written by a newer version ({revision})", "install that one")
    return ok("database", f"{told}, revision {revision}")


def _rights(*, standby: bool, may_write: bool, may_create: bool, empty: bool) -> Finding:
    if standby:
        return failed(
            "rights", "it takes no writes: a standby, or read-only", "name the primary in RECEIVER_DATABASE_URL"
        )
    if not may_write:
        return failed(
            "rights", "this user may not read and write every table there", "make it the owner of the database"
        )
    if not may_create:
        mend = "make this user the owner of the database, or run `receiver migrate` as one who is"
        if empty:
            return failed("rights", "this user may not make tables, and there are none", mend)
        return warning("rights", "this user may not make tables, which the next version may need", mend)
    return ok("rights", "this user may read, write and make tables")


def _durability(*, synced: bool, whole_pages: bool, standbys: str, commit_seconds: float | None) -> Finding:
    took = "" if commit_seconds is None else f"; the slowest of five commits took {commit_seconds * 1000:.1f} ms"
    if not synced:
        return failed(
            "durability", "fsync is off: a power cut may cost everything", "set fsync = on in postgresql.conf"
        )
    if not whole_pages:
        return warning(
            "durability", "full_page_writes is off", "set it on, unless the file system never tears a page"
        )
    if commit_seconds is not None and commit_seconds < TOO_FAST_SECONDS:
        return warning(
            "durability", f"synced{took}: this disk keeps nothing over a power cut", "use a disk that does"
        )
    if commit_seconds is not None and commit_seconds > SLOW_COMMIT_SECONDS:
        return warning("durability", f"synced{took}", "every callback waits for one: a nearer server or faster disk")
    where = "and on a standby too " if standbys.strip() else ""
    return ok("durability", f"every commit of ours is synced {where}before it is acknowledged{took}")


def _room(room: int) -> Finding:
    from receiver.storage.surveying import CONNECTIONS  # noqa: PLC0415 - as above

    told = f"{room} are left; a process takes up to {CONNECTIONS}"
    if room < CONNECTIONS:
        return warning("connections", told, "raise max_connections, or the limit of the user or of the database")
    return ok("connections", told)


def _clock(ahead_seconds: float) -> Finding:
    how = "ahead of" if ahead_seconds > 0 else "behind"
    told = f"the server's is {abs(ahead_seconds):.1f} s {how} this machine's"
    if abs(ahead_seconds) > _MANY_SECONDS:
        return failed("database clock", told, "set both by NTP")
    if abs(ahead_seconds) > _FEW_SECONDS:
        return warning("database clock", told, "set both by NTP")
    return ok("database clock", "agrees with this machine's")


def _disk(loaded: Loaded) -> Iterator[Finding]:
    path = loaded.settings.data_dir.absolute()
    if path.is_dir():
        yield disk(path)
