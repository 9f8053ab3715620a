"""Objects in a store that obstore speaks to: an S3-compatible bucket, or memory."""

import heapq
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from ssl import SSLContext

import obstore
from anyio import to_thread
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import ObjectStore, S3Store

from receiver.domain.errors import MediaInterruptedError, NotFoundError, UnavailableError
from receiver.lifecycle.ports import Fetched
from receiver.storage.gathering import gather
from receiver.storage.keys import checked_key, checked_range
from receiver.storage.putting import put_file, trusting

_PIECE = 256 * 1024
#: A larger file is not read whole, but goes up piece by piece.
_WHOLE = 5 * 1024 * 1024
#: The link that a large file goes up by has to be used by then; the upload may take longer.
_LINK_LIVES = timedelta(minutes=5)


class BucketObjects:
    """The port ``Objects`` on a bucket. What an answered put means for durability is the bucket's promise.

    Every object is brought by one request: whatever happens to us meanwhile, nothing half is left there.
    """

    def __init__(self, store: ObjectStore, url: str, scratch: Path) -> None:
        """``url`` names the bucket to an operator and ends with a slash; ``scratch`` is a folder of this process."""
        self._store = store
        self._url = url
        self._scratch = scratch
        self._numbers = count()
        self._trusted: SSLContext | None = None

    def scratch(self) -> Path:
        """Return a path that no file has."""
        return self._scratch / str(next(self._numbers))

    def where(self, key: str) -> str:
        """Return the URL of an object, which need not exist."""
        return f"{self._url}{checked_key(key)}"

    async def gather(self, chunks: AsyncIterable[bytes]) -> Fetched:
        """Write what comes into a new file in a folder of this process."""
        return await gather(chunks, self.scratch())

    async def keep_file(self, path: Path, key: str, *, replace: bool = False) -> None:
        """Put a file under a key and delete it; on failure it stays. Raises MediaInterruptedError."""
        checked_key(key)
        try:
            size = (await to_thread.run_sync(path.stat)).st_size
            if size <= _WHOLE or not isinstance(self._store, S3Store):
                await self._keep(await to_thread.run_sync(path.read_bytes), key, replace=replace)
            else:
                await self._keep_large(self._store, path, size, key, replace=replace)
            await to_thread.run_sync(path.unlink)
        except UnavailableError as error:
            raise MediaInterruptedError(str(error)) from None
        except OSError as error:
            raise MediaInterruptedError(f"our disk: {error.strerror or type(error).__name__}") from None

    async def keep_bytes(self, data: bytes, key: str) -> None:
        """Put bytes under a key where nothing lies, or the same. Raises UnavailableError."""
        await self._keep(data, checked_key(key), replace=False)

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

    async def link(self, key: str, seconds: int) -> str | None:
        """Return a link that the bucket's own key has signed; memory has none."""
        checked_key(key)
        if not isinstance(self._store, S3Store):
            return None
        with _told(key):
            return str(await obstore.sign_async(self._store, "GET", key, timedelta(seconds=seconds)))

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

    async def _keep(self, data: bytes, key: str, *, replace: bool) -> None:
        try:
            with _told(key):
                await obstore.put_async(self._store, key, data, mode="create", use_multipart=False)
        except AlreadyExistsError:
            if await self.read(key) == data:
                return
            if not replace:
                raise _occupied(key) from None
            with _told(key):
                await obstore.put_async(self._store, key, data, use_multipart=False)

    async def _keep_large(self, store: S3Store, path: Path, size: int, key: str, *, replace: bool) -> None:
        """As ``_keep``, but looks before it brings what may lie there already."""
        known = await _size(store, key)
        if known is None:
            if await self._put(store, path, size, key, replace=False):
                return
            # Somebody else was faster.
            known = await _size(store, key)
        if known == size and await self._is_same(path, size, key):
            return
        if not replace:
            raise _occupied(key)
        await self._put(store, path, size, key, replace=True)

    async def _put(self, store: S3Store, path: Path, size: int, key: str, *, replace: bool) -> bool:
        if self._trusted is None:
            self._trusted = await to_thread.run_sync(trusting)
        with _told(key):
            link = str(await obstore.sign_async(store, "PUT", key, _LINK_LIVES))
        return await put_file(link, path, size, self._trusted, replace=replace)

    async def _is_same(self, path: Path, size: int, key: str) -> bool:
        file = await to_thread.run_sync(path.open, "rb")
        try:
            async for piece in self._pieces(key, 0, size):
                if await to_thread.run_sync(file.read, len(piece)) != piece:
                    return False
        finally:
            await to_thread.run_sync(file.close)
        return True

    async def _pieces(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        if start >= end:
            return
        with _told(key):
            found = await obstore.get_async(self._store, key, options={"range": (start, end)})
            async for chunk in found.stream(min_chunk_size=_PIECE):
                data = memoryview(chunk)
                for position in range(0, len(data), _PIECE):
                    yield bytes(data[position : position + _PIECE])


async def _size(store: S3Store, key: str) -> int | None:
    """Return the size of an object, None when there is none."""
    with _told(key):
        try:
            return (await obstore.head_async(store, key))["size"]
        except FileNotFoundError:
            return None


def _occupied(key: str) -> UnavailableError:
    return UnavailableError(f"another object is kept as {key}")


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
