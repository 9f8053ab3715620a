"""Objects as files below a folder, with plain system calls: obstore's own folder store never fsyncs."""

import errno
import heapq
import itertools
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Self

from anyio import to_thread

from receiver.domain.errors import MediaInterruptedError, NotFoundError, UnavailableError
from receiver.lifecycle.ports import Fetched
from receiver.storage.faults import disk_fault
from receiver.storage.gathering import gather
from receiver.storage.keys import checked_key, checked_range

_SCRATCH = ".scratch"
_LEFTOVER_AFTER_SECONDS = 86400
_PIECE = 256 * 1024
_PRIVATE_FILE = 0o600
_PRIVATE_FOLDER = 0o700
# How often a folder that another process emptied and removed between two of our steps is made again.
_TRIES = 3
#: What file systems without hard links answer.
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class _OccupiedError(Exception):
    """Another object lies under the key."""


class FolderObjects:
    """The port ``Objects`` on a folder; ``scratch`` lies inside it, so that keeping a file is one rename."""

    def __init__(self, root: Path, prefix: str) -> None:
        """``prefix`` tells the temporary files of this process from those of others; see ``open``."""
        self._root = root
        self._disk = root.stat().st_dev
        self._prefix = prefix
        self._numbers = itertools.count()
        # An emptied folder must not vanish between making it and putting a file into it.
        self._changing_folders = threading.Lock()

    @classmethod
    def open(cls, root: Path) -> Self:
        """Make the folder, remove old leftovers; raise UnavailableError when it cannot be written to. Blocks."""
        try:
            root = root.absolute()
            root.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
            scratch = root / _SCRATCH
            scratch.mkdir(mode=_PRIVATE_FOLDER, exist_ok=True)
            descriptor, name = tempfile.mkstemp(prefix="", dir=scratch)
            # The disk's own clock tells how old a leftover is; ours may differ from that of a shared disk.
            now = os.fstat(descriptor).st_mtime
            os.close(descriptor)
            Path(name).unlink()
            for leftover in scratch.iterdir():
                with suppress(OSError):
                    if leftover.lstat().st_mtime < now - _LEFTOVER_AFTER_SECONDS:
                        leftover.unlink()
            _sync_folder(root)
            _sync_folder(root.parent)
        except OSError as error:
            raise UnavailableError(f"{root}: cannot be used for artifacts ({_reason(error)})") from None
        return cls(root, Path(name).name)

    def scratch(self) -> Path:
        """Return a path that no file has, in the store's own folder for work in progress."""
        self._come_back()
        return self._root / _SCRATCH / f"{self._prefix}-{next(self._numbers)}"

    def where(self, key: str) -> str:
        """Return the path of an object, which need not exist."""
        return str(self._path(key))

    async def gather(self, chunks: AsyncIterable[bytes]) -> Fetched:
        """Write what comes into a new file in the store's own folder for work in progress."""
        return await gather(chunks, self.scratch())

    async def keep_file(self, path: Path, key: str, *, replace: bool = False) -> None:
        """Make a file durable under a key and take it away from ``path``; on failure it stays there.

        An object that lies there already is accepted when its bytes are the same; other bytes are replaced only when
        that is asked for. Else, and for every fault of the disk, MediaInterruptedError.
        """
        target = self._path(key)
        try:
            await to_thread.run_sync(self._keep_file, path, target, replace)
        except _OccupiedError:
            raise MediaInterruptedError(f"another object is kept as {key}") from None
        except OSError as error:
            raise MediaInterruptedError(f"our disk: {_reason(error)}") from None

    async def keep_bytes(self, data: bytes, key: str) -> None:
        """Make bytes durable under a key; as ``keep_file``, but UnavailableError."""
        target = self._path(key)
        try:
            await to_thread.run_sync(self._keep_bytes, data, target)
        except _OccupiedError:
            raise UnavailableError(f"another object is kept as {key}") from None
        except OSError as error:
            raise disk_fault(error) from None

    async def read(self, key: str) -> bytes:
        """Return an object whole."""
        path = self._path(key)
        with self._told(key):
            return await to_thread.run_sync(_read, path)

    @asynccontextmanager
    async def stream(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open a part of an object, cut at its end; it is read piece by piece as it is asked for."""
        checked_range(start, end)
        path = self._path(key)
        with self._told(key):
            file = await to_thread.run_sync(_open_to_read, path)
        with file:
            yield _pieces(file.fileno(), start, end)

    async def link(self, key: str, seconds: int) -> str | None:  # noqa: ARG002 - the port's
        """A folder is reached through us alone."""
        checked_key(key)
        return None

    async def remove(self, key: str) -> None:
        """Delete an object for good, and the folders it leaves empty."""
        path = self._path(key)
        with suppress(NotFoundError), self._told(key):
            await to_thread.run_sync(self._remove, path)

    async def newest(self, folder: str, most: int) -> list[str]:
        """Return the keys right below a folder that sort last."""
        path = self._path(folder)
        try:
            with self._told(folder):
                names = await to_thread.run_sync(_last_names, path, most)
        except NotFoundError:
            return []
        return [f"{folder}/{name}" for name in names]

    @contextmanager
    def _told(self, key: str) -> Iterator[None]:
        """Turn the errors of the system into those of the port."""
        try:
            yield
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            if not self._is_here():
                # A disk that is not mounted, a folder that was moved: what is missing today may be there tomorrow.
                raise UnavailableError("our disk: the folder of the artifacts is away") from None
            raise NotFoundError(f"there is no object {key}") from None
        except OSError as error:
            raise disk_fault(error) from None

    def _is_here(self) -> bool:
        """Tell whether the folder is the one that was opened, by what only an open store has."""
        return (self._root / _SCRATCH).is_dir()

    def _come_back(self) -> None:
        """Go on in a folder that was emptied or made anew.

        On the disk of before alone: what is written into the mount point of a disk that is away is gone from sight
        when that comes back.
        """
        with suppress(OSError):
            if not self._is_here() and self._root.stat().st_dev == self._disk:
                (self._root / _SCRATCH).mkdir(mode=_PRIVATE_FOLDER)

    def _path(self, key: str) -> Path:
        return self._root / checked_key(key)

    def _keep_file(self, path: Path, target: Path, replace: bool = False) -> None:  # noqa: FBT001, FBT002 - run_sync
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fchmod(descriptor, _PRIVATE_FILE)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        try:
            self._place(path, target, replace=replace)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self._copy(path, target, replace=replace)
        path.unlink(missing_ok=True)

    def _copy(self, path: Path, target: Path, *, replace: bool) -> None:
        """Bring a file over from another disk."""
        copy = self.scratch()
        try:
            with path.open("rb") as source, copy.open("xb") as file:
                shutil.copyfileobj(source, file, _PIECE)
            self._keep_file(copy, target, replace)
        finally:
            copy.unlink(missing_ok=True)

    def _keep_bytes(self, data: bytes, target: Path) -> None:
        path = self.scratch()
        try:
            with path.open("xb") as file:
                file.write(data)
            self._keep_file(path, target)
        finally:
            path.unlink(missing_ok=True)

    def _place(self, path: Path, target: Path, *, replace: bool) -> None:
        """Give a durable file its second name, atomically; over a file with other bytes only to ``replace`` it."""
        folders = self._folders(target)
        for remaining in reversed(range(_TRIES)):
            try:
                with self._changing_folders:
                    for folder in folders:
                        folder.mkdir(mode=_PRIVATE_FOLDER, exist_ok=True)
                    _link(path, target)
            except FileNotFoundError:
                if not remaining or not path.exists():
                    raise
                continue
            except FileExistsError:
                if not _same(path, target):
                    if not replace:
                        raise _OccupiedError from None
                    path.replace(target)
            break
        # From the file's own folder up: only then can a power cut not take the way to it.
        for folder in (*reversed(folders), self._root):
            _sync_folder(folder)

    def _folders(self, target: Path) -> list[Path]:
        """Return the folders between the root and a file, outermost first."""
        between = target.relative_to(self._root).parents
        return [self._root / folder for folder in reversed(between) if folder != Path()]

    def _remove(self, path: Path) -> None:
        try:
            path.unlink()
        except IsADirectoryError:
            return
        _sync_folder(path.parent)
        with self._changing_folders, suppress(OSError):
            for folder in reversed(self._folders(path)):
                folder.rmdir()


async def _pieces(descriptor: int, start: int, end: int | None) -> AsyncIterator[bytes]:
    position = start
    while end is None or position < end:
        size = _PIECE if end is None else min(_PIECE, end - position)
        try:
            piece = await to_thread.run_sync(os.pread, descriptor, size, position)
        except OSError as error:
            raise disk_fault(error) from None
        if not piece:
            return
        position += len(piece)
        yield piece


def _open_to_read(path: Path) -> FileIO:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise IsADirectoryError
    return FileIO(descriptor)


def _last_names(folder: Path, most: int) -> list[str]:
    with os.scandir(folder) as entries:
        return heapq.nlargest(most, (entry.name for entry in entries if entry.is_file(follow_symlinks=False)))


def _read(path: Path) -> bytes:
    with _open_to_read(path) as file:
        return file.readall()


def _link(path: Path, target: Path) -> None:
    """Name a file a second time; FileExistsError when something has that name."""
    try:
        os.link(path, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # Only the holder of a lease writes a key, so what is asked for and what is done need not be one step.
        if os.path.lexists(target):
            raise FileExistsError from None
        path.rename(target)


def _same(path: Path, target: Path) -> bool:
    try:
        with path.open("rb") as ours, BufferedReader(_open_to_read(target)) as theirs:
            if os.fstat(ours.fileno()).st_size != os.fstat(theirs.fileno()).st_size:
                return False
            while piece := ours.read(_PIECE):
                if piece != theirs.read(_PIECE):
                    return False
    except IsADirectoryError:
        return False
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
