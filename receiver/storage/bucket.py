"""Objects in a store that obstore speaks to; today the one in memory."""

import heapq
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path

import obstore
from anyio import to_thread
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import ObjectStore

from receiver.domain.errors import MediaInterruptedError, NotFoundError, UnavailableError
from receiver.storage.keys import checked_key, checked_range

_PIECE = 256 * 1024


class BucketObjects:
    """The port ``Objects`` on a bucket. What an answered put means for durability is the bucket's promise."""

    def __init__(self, store: ObjectStore, url: str, scratch: Path) -> None:
        """``url`` names the bucket to an operator and ends with a slash; ``scratch`` is a folder of this process."""
        self._store = store
        self._url = url
        self._scratch = scratch
        self._numbers = count()

    def scratch(self) -> Path:
        """Return a path that no file has."""
        return self._scratch / str(next(self._numbers))

    def where(self, key: str) -> str:
        """Return the URL of an object, which need not exist."""
        return f"{self._url}{checked_key(key)}"

    async def keep_file(self, path: Path, key: str) -> None:
        """Put a file under a key and delete it; on failure it stays. Raises MediaInterruptedError."""
        try:
            data = await to_thread.run_sync(path.read_bytes)
            await self.keep_bytes(data, key)
            await to_thread.run_sync(path.unlink)
        except UnavailableError as error:
            raise MediaInterruptedError(str(error)) from None
        except OSError as error:
            raise MediaInterruptedError(f"our disk: {error.strerror or type(error).__name__}") from None

    async def keep_bytes(self, data: bytes, key: str) -> None:
        """Put bytes under a key where nothing lies, or the same. Raises UnavailableError."""
        checked_key(key)
        try:
            with _told(key):
                await obstore.put_async(self._store, key, data, mode="create")
        except AlreadyExistsError:
            if await self.read(key) != data:
                raise UnavailableError(f"another object is kept as {key}") from None

    async def read(self, key: str) -> bytes:
        """Return an object whole."""
        with _told(key):
            found = await obstore.get_async(self._store, checked_key(key))
            return bytes(await found.bytes_async())

    @asynccontextmanager
    async def stream(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open a part of an object, cut at its end."""
        checked_range(start, end)
        with _told(key):
            meta = await obstore.head_async(self._store, checked_key(key))
        # A bucket refuses an empty range and one that begins behind the end; for us they are empty.
        last = meta["size"] if end is None else min(end, meta["size"])
        yield self._pieces(key, start, last)

    async def remove(self, key: str) -> None:
        """Delete an object; one that is not there is no error."""
        with _told(key):
            try:
                await obstore.delete_async(self._store, checked_key(key))
            except FileNotFoundError:
                return

    async def newest(self, folder: str, most: int) -> list[str]:
        """Return the keys right below a folder that sort last."""
        found: list[str] = []
        with _told(folder):
            async for page in obstore.list(self._store, f"{checked_key(folder)}/"):
                found = heapq.nlargest(most, [*found, *(meta["path"] for meta in page)])
        return found

    async def _pieces(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        for position in range(start, end, _PIECE):
            part = (position, min(position + _PIECE, end))
            with _told(key):
                found = await obstore.get_async(self._store, key, options={"range": part})
                piece = bytes(await found.bytes_async())
            yield piece


@contextmanager
def _told(key: str) -> Iterator[None]:
    """Turn obstore's errors into those of the port; that something exists is for the caller."""
    try:
        yield
    except FileNotFoundError:
        raise NotFoundError(f"there is no object {key}") from None
    except AlreadyExistsError:
        raise
    except (BaseError, OSError) as error:
        # The text of these errors may hold a signed URL.
        raise UnavailableError(f"the artifact store: {type(error).__name__}") from None
