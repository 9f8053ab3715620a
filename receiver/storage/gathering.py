"""Brings what arrives piece by piece into a new file: hashed on its way, never more than a piece of it in memory."""

import hashlib
import os
from collections.abc import AsyncIterable
from pathlib import Path

from anyio import CancelScope, to_thread

from receiver.lifecycle.ports import Fetched
from receiver.storage.faults import disk_fault

_PIECE = 1024 * 1024
_PRIVATE = 0o600


async def gather(chunks: AsyncIterable[bytes], path: Path) -> Fetched:
    """Write ``chunks`` into a file that must not exist; it is not yet durable, as ``keep_file`` makes it so.

    Raises UnavailableError for a fault of the disk, and whatever ``chunks`` raises; then no file stays.
    """
    file = _NewFile(path)
    complete = False
    try:
        await to_thread.run_sync(file.create)
        gathered = bytearray()
        async for chunk in chunks:
            gathered += chunk
            if len(gathered) >= _PIECE:
                piece, gathered = gathered, bytearray()
                await to_thread.run_sync(file.write, piece)
        await to_thread.run_sync(file.write, gathered)
        complete = True
    except OSError as error:
        raise disk_fault(error) from None
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(file.close, complete)
    return Fetched(path, file.size, file.hash.hexdigest())


class _NewFile:
    """A file that goes again unless it is complete. Blocks."""

    def __init__(self, path: Path) -> None:
        self.size = 0
        self.hash = hashlib.sha256()
        self._path = path
        self._descriptor = -1

    def create(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, _PRIVATE)

    def write(self, piece: bytearray) -> None:
        self.hash.update(piece)
        self.size += len(piece)
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def close(self, complete: bool) -> None:  # noqa: FBT001 - called through a thread, which takes no names
        if self._descriptor < 0:
            return
        os.close(self._descriptor)
        if not complete:
            self._path.unlink(missing_ok=True)
