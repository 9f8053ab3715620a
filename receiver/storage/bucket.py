"""Objects in a store that obstore speaks to: an S3-compatible bucket, or memory."""

import heapq
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path

import obstore
from anyio import to_thread
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import ObjectStore, S3Store

from receiver.domain.errors import MediaInterruptedError, NotFoundError, UnavailableError
from receiver.lifecycle.ports import Fetched
from receiver.storage.gathering import gather
from receiver.storage.keys import checked_key, checked_range

_PIECE = 256 * 1024
#: A larger file goes up in parts of this size, two at a time: the memory that one upload takes is four of them. It is
#: also the smallest part that S3 takes.
_PART = 5 * 1024 * 1024
_PARTS_AT_ONCE = 2


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

    async def gather(self, chunks: AsyncIterable[bytes]) -> Fetched:
        """Write what comes into a new file in a folder of this process."""
        return await gather(chunks, self.scratch())

    async def keep_file(self, path: Path, key: str, *, replace: bool = False) -> None:
        """Put a file under a key and delete it; on failure it stays. Raises MediaInterruptedError."""
        checked_key(key)
        try:
            size = (await to_thread.run_sync(path.stat)).st_size
            if size <= _PART:
                await self._keep(await to_thread.run_sync(path.read_bytes), key, replace=replace)
            else:
                await self._keep_in_parts(path, size, key, replace=replace)
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

    async def _keep_in_parts(self, path: Path, size: int, key: str, *, replace: bool) -> None:
        """Put a large file where nothing lies. Whoever keeps under one key at the same time brings the same bytes.

        A bucket takes a condition for a put in one piece only. obstore gives an upload up that it cannot end.
        """
        with _told(key):
            try:
                known = (await obstore.head_async(self._store, key))["size"]
            except FileNotFoundError:
                known = None
        if known is not None:
            if known == size and await self._is_same(path, size, key):
                return
            if not replace:
                raise _occupied(key)
        with _told(key):
            await obstore.put_async(
                self._store, key, path, use_multipart=True, chunk_size=_PART, max_concurrency=_PARTS_AT_ONCE
            )

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
