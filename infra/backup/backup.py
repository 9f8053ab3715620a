"""Backs up a receiver while it runs, checks a backup, and restores one; needs nothing but Python.

A backup is a folder of its own: the database as of one moment, the keys, and the audio and large reports that this
database names. The database is copied first and files afterwards: the service names a file only once it is durable
and never changes one, so whatever the copy names is there. What the last backup holds already is linked, not copied.
"""

import argparse
import fcntl
import hashlib
import json
import os
import shlex
import shutil
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

DATABASE = "receiver.db"
OBJECTS = "artifacts"
KEYS = ("signing_keys", "api_key")
MANIFEST = "manifest.json"
#: Folders of the object store whose files are all named by the database; one that is not was made after it.
NAMED = frozenset({"audio", "reports"})
SCRATCH = ".scratch"
#: A file that is named and not there was erased meanwhile; a new copy of the database no longer names it.
TRIES = 3
_BUSY_SECONDS = 60.0
_PIECE = 1024 * 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_NAMED_FILES = """
    SELECT object_key, size, lower(sha256) FROM artifacts WHERE status = 'stored' AND object_key IS NOT NULL
    UNION SELECT object_key, size, lower(hex(sha256)) FROM reports WHERE object_key IS NOT NULL
"""
# As though the process had died while sending: whether the provider has the task is asked, it is not sent again.
_OPEN_ATTEMPTS = (
    """INSERT INTO attempts (task_key, ordinal, started_at)
       SELECT key, attempts + 1, :moment FROM tasks WHERE status = 'queued' AND attempt_open_since IS NULL""",
    """UPDATE tasks SET attempts = attempts + 1, attempt_open_since = :moment
       WHERE status = 'queued' AND attempt_open_since IS NULL""",
)


class BackupError(Exception):
    """It cannot be done; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a receiver keeps what it keeps."""

    data_dir: Path
    database: Path
    objects: Path


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file that the database names: its key, its size in bytes, its sha256 in hex."""

    key: str
    size: int
    sha256: str


def create(source: Source, destination: Path, keep: int) -> Path:
    """Write a new backup below ``destination``, drop all but the newest ``keep`` (0: keep all), return its folder."""
    if not source.database.is_file():
        raise BackupError(f"{source.database}: there is no database; is --data-dir right?")
    destination.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _held(destination / ".lock", "another backup is being written"):
        for leftover in destination.glob(".*.partial"):
            shutil.rmtree(leftover)
        earlier = _backups(destination)
        started_at = datetime.now(UTC)
        name = started_at.strftime("%Y-%m-%dT%H%M%S.%fZ")
        partial = destination / f".{name}.partial"
        try:
            _fill(partial, source, earlier[-1] if earlier else None)
            _sync_folders(partial)
            partial.rename(destination / name)
            _sync(destination)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        for old in _backups(destination)[:-keep] if keep else []:
            shutil.rmtree(old)
    return destination / name


def verify(folder: Path) -> dict[str, object]:
    """Read a whole backup and return its manifest. Raises BackupError for the first thing that is not as it was."""
    try:
        manifest: dict[str, object] = json.loads((folder / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BackupError(f"{folder}: is no finished backup ({error})") from None
    files = manifest["files"]
    if not isinstance(files, dict):
        raise BackupError(f"{folder / MANIFEST}: cannot be read")
    expected = {str(name): str(digest) for name, digest in files.items()}
    expected |= {f"{OBJECTS}/{named.key}": named.sha256 for named in _named_files(folder / DATABASE)}
    for name, digest in expected.items():
        path = folder / name
        if not path.is_file():
            raise BackupError(f"{path}: is missing")
        if _digest(path) != digest:
            raise BackupError(f"{path}: is not what was backed up")
    return manifest


def restore(folder: Path, source: Source, *, replace: bool, nothing_was_sent: bool) -> int:
    """Put a backup in the place of a receiver that does not run; return how many queued tasks may have been sent.

    What was queued at the moment of the backup may have been sent since. Unless ``nothing_was_sent``, such tasks are
    left as if the service had died sending them: it asks the provider and never pays twice; what the provider does
    not know ends as lost.
    """
    manifest = verify(folder)
    source.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _held(source.database.with_name(f"{source.database.name}.lock"), "the receiver runs: stop it first"):
        _make_way(source, replace=replace)
        _copy_tree(folder / OBJECTS, source.objects)
        for name in KEYS:
            if (folder / name).exists():
                _copy(folder / name, source.data_dir / name)
        fresh = source.database.with_name(f".{source.database.name}.restored")
        _copy(folder / DATABASE, fresh)
        moment = (datetime.fromisoformat(str(manifest["started_at"])) - _EPOCH) // (_EPOCH.resolution)
        marked = 0 if nothing_was_sent else _open_attempts(fresh, moment)
        _sync(fresh)
        _sync_folders(source.objects)
        # Last, so that a restore that broke off is not taken for a whole one.
        fresh.rename(source.database)
        _sync(source.data_dir)
    return marked


def _fill(partial: Path, source: Source, previous: Path | None) -> None:
    """Write the content of a backup."""
    started_at, named = _take_all(partial, source, previous)
    # After the database: whatever key signed a URL that this database knows of is among them.
    for name in KEYS:
        if (source.data_dir / name).exists():
            _copy(source.data_dir / name, partial / name)
    files = {name: _digest(partial / name) for name in (DATABASE, *KEYS) if (partial / name).exists()}
    manifest = {"started_at": started_at.isoformat(), "objects": named, "files": files}
    (partial / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
    _sync(partial / MANIFEST)


def _take_all(partial: Path, source: Source, previous: Path | None) -> tuple[datetime, int]:
    """Copy the database and what it names; return the moment before that and how many files are named.

    Begins anew when a file was erased between the copy of the database and its turn.
    """
    missing: str | None = None
    for _ in range(TRIES):
        shutil.rmtree(partial, ignore_errors=True)
        (partial / OBJECTS).mkdir(mode=0o700, parents=True)
        started_at = datetime.now(UTC)
        _snapshot(source.database, partial / DATABASE)
        named = {file.key: file for file in _named_files(partial / DATABASE)}
        try:
            for key in sorted(named.keys() | _unnamed_keys(source.objects)):
                _take(source.objects / key, partial / OBJECTS / key, named.get(key), previous, key)
        except FileNotFoundError as error:
            missing = error.filename
        else:
            return started_at, len(named)
    raise BackupError(f"{missing}: the database names it and it is not there")


def _snapshot(database: Path, copy: Path) -> None:
    """Copy a database as it is at one moment, writers going on; what was deleted from it is not in the copy."""
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True, timeout=_BUSY_SECONDS)) as live:
        live.execute("VACUUM INTO ?", (str(copy),))
    with closing(_opened_still(copy)) as still:
        [(verdict,)] = still.execute("PRAGMA quick_check(1)").fetchall()
    _sync(copy)
    if verdict != "ok":
        raise BackupError(f"{database}: is damaged: {verdict}")


def _named_files(database: Path) -> list[NamedFile]:
    with closing(_opened_still(database)) as still:
        return [NamedFile(*row) for row in still.execute(_NAMED_FILES)]


def _opened_still(database: Path) -> sqlite3.Connection:
    """Open a database that nobody writes, without making any file beside it."""
    return sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro&immutable=1", uri=True)


def _unnamed_keys(objects: Path) -> set[str]:
    """Return the keys of files that the database does not name one by one, such as uploaded references."""
    found = set()
    for path in objects.rglob("*") if objects.is_dir() else ():
        top = path.relative_to(objects).parts[0]
        if top not in NAMED and top != SCRATCH and path.is_file():
            found.add(path.relative_to(objects).as_posix())
    return found


def _take(path: Path, copy: Path, named: NamedFile | None, previous: Path | None, key: str) -> None:
    """Link a file from the previous backup or copy it; raises FileNotFoundError when it is named and not there."""
    copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if previous is not None:
        earlier = previous / OBJECTS / key
        size = named.size if named else path.stat().st_size
        # A file never changes under its key, so the same size under the same key is the same file.
        with suppress(OSError):
            if earlier.stat().st_size == size:
                os.link(earlier, copy)
                return
    try:
        _copy(path, copy)
    except FileNotFoundError:
        if named is None:
            return
        raise
    if named is not None and _digest(copy) != named.sha256:
        raise BackupError(f"{path}: is not what the database says; restore it from an earlier backup")


def _open_attempts(database: Path, moment: int) -> int:
    """Open an attempt for each queued task, at a moment in microseconds since 1970; return how many."""
    with closing(sqlite3.connect(database)) as connection, connection:
        return [connection.execute(statement, {"moment": moment}).rowcount for statement in _OPEN_ATTEMPTS][-1]


def _make_way(source: Source, *, replace: bool) -> None:
    """Move what is there into a folder beside it, or refuse to."""
    there = [source.objects, *(source.data_dir / name for name in KEYS)]
    there += [source.database.with_name(source.database.name + end) for end in ("", "-wal", "-shm")]
    there = [path for path in there if path.exists()]
    if not there:
        return
    if not replace:
        raise BackupError(f"{there[0]}: is there already; --replace moves it aside")
    aside = source.data_dir / datetime.now(UTC).strftime("replaced-%Y-%m-%dT%H%M%SZ")
    aside.mkdir(mode=0o700)
    for path in there:
        path.rename(aside / path.name)


def _backups(destination: Path) -> list[Path]:
    """Return the finished backups, oldest first: their names are their times."""
    return sorted(path.parent for path in destination.glob(f"[0-9]*/{MANIFEST}"))


def _copy_tree(source: Path, target: Path) -> None:
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in sorted(source.rglob("*")):
        if path.is_file():
            copy = target / path.relative_to(source)
            copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _copy(path, copy)


def _copy(path: Path, copy: Path) -> None:
    """Copy a file whole, for its owner's eyes, and onto the disk."""
    with path.open("rb") as source, copy.open("xb") as target:
        shutil.copyfileobj(source, target, _PIECE)
        target.flush()
        os.fsync(target.fileno())
    copy.chmod(0o600)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_folders(root: Path) -> None:
    for folder, _, _ in os.walk(root):
        _sync(Path(folder))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _held(path: Path, otherwise: str) -> Iterator[None]:
    """Hold a lock for the length of the block, or raise BackupError with what stands in the way."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupError(otherwise) from None
        yield
    finally:
        os.close(descriptor)


def _source(options: argparse.Namespace) -> Source:
    data_dir = Path(options.data_dir)
    database, objects = options.database or data_dir / DATABASE, options.artifacts or data_dir / OBJECTS
    return Source(data_dir, Path(database), Path(objects))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Back up a receiver that runs, check a backup, restore one.")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("create", help="write a backup below a folder; the service may run")
    one.add_argument("destination", type=Path)
    one.add_argument("--keep", type=int, default=0, metavar="N", help="delete all but the newest N (0: keep all)")
    two = commands.add_parser("verify", help="read a whole backup and compare it with what was written")
    two.add_argument("backup", type=Path)
    three = commands.add_parser("restore", help="put a backup in the place of a receiver that does not run")
    three.add_argument("backup", type=Path)
    three.add_argument("--replace", action="store_true", help="move aside what is there")
    three.add_argument(
        "--nothing-was-sent",
        action="store_true",
        help="the service did not run since the backup: what was queued is sent as if nothing had happened",
    )
    for command in (one, three):
        command.add_argument("--data-dir", required=True, metavar="DIR", help="the folder of RECEIVER_DATA_DIR")
        command.add_argument("--database", metavar="FILE", help="if RECEIVER_DATABASE_URL is set: its file")
        command.add_argument("--artifacts", metavar="DIR", help="if RECEIVER_ARTIFACT_STORE_URL is set: its folder")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what was asked for; return 0 when done and 1 when it failed."""
    os.umask(0o077)
    options = _parser().parse_args(arguments)
    try:
        if options.command == "create":
            source = _source(options)
            made = create(source, options.destination, options.keep)
            print(made)
            if (
                sys.stderr.isatty()
            ):  # for a person; standard output is the folder alone, for whoever takes it from there
                told = shlex.join(["python3", sys.argv[0], "verify", str(made)])
                print(f"look whether it is whole: {told}", file=sys.stderr)
            if not (source.data_dir / KEYS[0]).exists():
                print("The signing keys are not in the data folder: keep RECEIVER_SIGNING_KEYS too.", file=sys.stderr)
        elif options.command == "verify":
            print(f"{options.backup}: whole, {verify(options.backup)['objects']} named files")
        else:
            marked = restore(
                options.backup, _source(options), replace=options.replace, nothing_was_sent=options.nothing_was_sent
            )
            print(f"Restored. {marked} queued tasks may have been sent since: their provider will be asked.")
    except (BackupError, OSError, sqlite3.Error) as error:
        print(f"backup: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
