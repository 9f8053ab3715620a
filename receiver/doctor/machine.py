"""What lies on this machine: the data folder and its keys, the database, the disk, the audio's store."""

import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from receiver import bootstrap
from receiver.doctor.finding import Finding, failed, ok, skipped, warning
from receiver.domain.errors import NotFoundError, UnavailableError
from receiver.domain.token import SigningKey, TokenSigner
from receiver.lifecycle.ports import Objects, System
from receiver.settings import LEAST_KEY_CHARACTERS, Loaded, without_passwords
from receiver.storage import keyfiles
from receiver.storage.inspecting import holder, inspect, try_commits
from receiver.storage.objects import open_objects
from receiver.storage.sqlite import refuse_lost

_OTHERS = 0o077
_MIB = 1024 * 1024
_LEAST_FREE_BYTES = 256 * _MIB
_FEW_FREE_BYTES = 2048 * _MIB
#: Beyond this a commit, which every callback waits for, is slow; beyond the other it hurts.
SLOW_COMMIT_SECONDS = 0.05
#: Faster than any disk that keeps its word: what is "synced" so soon is not on it.
TOO_FAST_SECONDS = 0.00003
_SERVE = "`receiver serve` makes it on its first start"


@dataclass(frozen=True, slots=True)
class Known:
    """What further looks need: the signer of this installation, and the process that serves it; None for neither.

    ``what`` is what a process serves.
    """

    tokens: TokenSigner | None
    process: str | None
    what: str = "data folder"


def folder(loaded: Loaded) -> Finding:
    """Look at the data folder: there, ours, closed to others."""
    path = loaded.settings.data_dir.absolute()
    if not path.exists():
        above = next(parent for parent in path.parents if parent.exists())
        if not _may(above, os.W_OK | os.X_OK):
            return failed(
                "data folder", f"{path} is not there and cannot be made in {above}", "give it with --data-dir"
            )
        return warning("data folder", f"{path} is not there yet", _SERVE)
    if not path.is_dir():
        return failed("data folder", f"{path} is not a folder", "give another with --data-dir")
    if not _may(path, os.R_OK | os.W_OK | os.X_OK):
        return failed(
            "data folder", f"{path} cannot be read and written by this user", f"chown it, or chmod 700 {path}"
        )
    if stat.S_IMODE(path.stat().st_mode) & _OTHERS:
        return warning("data folder", f"others may read {path}", f"chmod 700 {path}, as `receiver serve` does")
    return ok("data folder", f"{path}, closed to others")


def api_keys(loaded: Loaded) -> Finding:
    """Look at the keys of /v1: where they are, whether others may read them, how long they are."""
    path = bootstrap.api_key_path(loaded).absolute()
    text = loaded.settings.api_keys
    where = "RECEIVER_API_KEYS"
    if text is None and bootstrap.shares_database(loaded):
        return _not_set("API keys", where)
    if text is None:
        where = str(path)
        try:
            text = keyfiles.read(path)
        except FileNotFoundError:
            return warning("API keys", f"there is no {path} yet", _SERVE)
        except keyfiles.KeyFileError as error:
            return failed(
                "API keys",
                str(error),
                "what others could read is to be replaced: delete it, and `receiver serve` makes another",
            )
    keys = [key for part in text.replace("\n", ",").split(",") if (key := part.strip())]
    for number, key in enumerate(keys, 1):
        if len(key.rpartition(":")[2]) < LEAST_KEY_CHARACTERS:
            least = LEAST_KEY_CHARACTERS
            return failed(
                "API keys",
                f"{where}: key {number} has fewer than {least} characters",
                "`receiver keys new` makes one",
            )
    if not keys:
        return failed("API keys", f"{where} holds no key", "`receiver keys new` makes one")
    return ok("API keys", f"{len(keys)} of at least {LEAST_KEY_CHARACTERS} characters, {where}")


def signing_keys(loaded: Loaded) -> tuple[Finding, tuple[SigningKey, ...]]:
    """Look at the keys that callback URLs are signed with, and return them."""
    path = loaded.settings.data_dir.absolute() / "signing_keys"
    text = loaded.settings.signing_keys
    where = "RECEIVER_SIGNING_KEYS"
    if text is None and bootstrap.shares_database(loaded):
        return _not_set("signing keys", where), ()
    try:
        if text is None:
            where, text = str(path), keyfiles.read(path)
        keys = keyfiles.parse_signing_keys(text)
        TokenSigner(keys, b"")
    except FileNotFoundError:
        return warning("signing keys", f"there is no {path} yet", _SERVE), ()
    except keyfiles.KeyFileError as error:
        return failed(
            "signing keys", str(error), "what others could read: `receiver keys rotate` puts a new one first"
        ), ()
    except ValueError as error:
        return failed("signing keys", f"{where}: {error}", "`receiver keys new` makes one"), ()
    return ok("signing keys", f"{len(keys)}, the first signs, {where}"), keys


def _not_set(name: str, setting: str) -> Finding:
    # What lies in the folder is of a time on SQLite: `receiver serve` does not take it.
    words = f"{setting} is not set, and where RECEIVER_DATABASE_URL is PostgreSQL every process needs the same"
    return failed(name, words, "`receiver keys new` makes one")


def database(loaded: Loaded, keys: tuple[SigningKey, ...], system: System) -> Iterator[Finding | Known]:
    """Look at the file of the database and at how commits end beside it; the last is what further looks need."""
    path = loaded.settings.sqlite_path.absolute()
    tokens, process = None, holder(path)
    try:
        refuse_lost(path)
    except UnavailableError as error:
        yield failed("database", str(error))
        yield Known(None, process)
        return
    if not path.exists():
        yield warning("database", f"there is no {path} yet", _SERVE)
    else:
        try:
            found = inspect(path)
        except UnavailableError as error:
            yield failed(
                "database", f"{path}: {error}", "look at the disk and the file's owner; see the runbook for a restore"
            )
        else:
            yield _schema(path, found.revision, found.newest)
            if keys and found.installation_id is not None:
                tokens = TokenSigner(keys, found.installation_id)
    if path.parent.is_dir():
        yield from _durable(path.parent, system)
    yield Known(tokens, process)


def _schema(path: Path, revision: str | None, newest: str) -> Finding:
    if stat.S_IMODE(path.stat().st_mode) & _OTHERS:
        return failed("database", f"others may read {path}", f"chmod 600 {path}")
    if revision is None:
        return warning("database", f"{path} is empty", "`receiver migrate`, or the next start, makes its tables")
    if revision < newest:
        return warning(
            "database", f"{path} is at revision {revision}, the newest is {newest}", "the next start brings it there"
        )
    if revision > newest:
        return failed("database", f"{path} was written by a newer version ({revision})", "install that one")
    return ok("database", f"{path}, revision {revision}")


def _durable(path: Path, system: System) -> Iterator[Finding]:
    try:
        tried = try_commits(path, system.monotonic)
    except UnavailableError as error:
        yield failed(
            "durability", f"nothing can be committed in {path}: {error}", "make the disk writable and give it room"
        )
    else:
        took = f"the slowest of five commits took {tried.commit_seconds * 1000:.1f} ms"
        if tried.journal_mode != "wal":
            yield failed(
                "durability",
                f"{path} takes no write-ahead log ({tried.journal_mode})",
                "use a local disk, no network share",
            )
        elif not tried.synced:
            yield failed(
                "durability",
                "commits are not synced to the disk",
                "this Python's SQLite does not do what it is told: run it with another Python",
            )
        elif tried.commit_seconds < TOO_FAST_SECONDS:
            yield warning(
                "durability", f"{took}: this disk keeps nothing over a power cut", "use a disk, no memory file system"
            )
        elif tried.commit_seconds > SLOW_COMMIT_SECONDS:
            yield warning(
                "durability", f"write-ahead log, synced; {took}", "every callback waits for one: a faster disk helps"
            )
        else:
            yield ok("durability", f"write-ahead log, every commit synced; {took}")
    yield disk(path)


def disk(path: Path) -> Finding:
    """Look at how much room there is."""
    free = shutil.disk_usage(path).free
    told = f"{free / 1e9:.1f} GB free at {path}"
    if free < _LEAST_FREE_BYTES:
        return failed("disk", told, "free some, or move the data folder")
    if free < _FEW_FREE_BYTES:
        return warning("disk", told, "a cover is some MB: free some soon")
    return ok("disk", told)


async def store(loaded: Loaded, system: System) -> Finding:
    """Write, read and delete an object where audio is kept."""
    location = bootstrap.artifact_store(loaded)
    shown = without_passwords(location) if "://" in location else _whole(location)
    if "://" not in location and not _has_place(Path(location)):
        return skipped("audio store", f"there is no {shown} yet", _SERVE)
    key, body = f"doctor/{system.new_id()}", b"receiver doctor"
    try:
        async with open_objects(location, bootstrap.bucket_access(loaded)) as objects:
            await objects.keep_bytes(body, key)
            same = await objects.read(key) == body
            await objects.remove(key)
            gone = await _is_gone(objects, key)
    except (UnavailableError, NotFoundError, ValueError, OSError) as error:
        mend = (
            "see that the bucket is there and RECEIVER_S3_… right"
            if location.startswith("s3:")
            else "make it writable"
        )
        return failed("audio store", f"{shown}: {error}", f"{mend}, or set RECEIVER_ARTIFACT_STORE_URL")
    if not same or not gone:
        wrong = "what was written is not what was read" if not same else "what was deleted is still there"
        return failed("audio store", f"{shown}: {wrong}", "use another store")
    if location.startswith("memory:"):
        return warning(
            "audio store",
            "memory: all audio is gone when the service stops",
            "set RECEIVER_ARTIFACT_STORE_URL to a folder",
        )
    return ok("audio store", f"written, read and deleted at {shown}")


async def _is_gone(objects: Objects, key: str) -> bool:
    try:
        await objects.read(key)
    except NotFoundError:
        return True
    return False


def _whole(path: str) -> str:
    return str(Path(path).absolute())


def _has_place(path: Path) -> bool:
    return path.absolute().parent.is_dir()


def _may(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)
