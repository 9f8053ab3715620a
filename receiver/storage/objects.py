"""Opens the artifact store: objects under keys, in a folder or in memory, durable when a call returns."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from anyio import to_thread

from receiver.domain.errors import UnavailableError
from receiver.lifecycle.ports import Objects
from receiver.storage.folder import FolderObjects


@asynccontextmanager
async def open_objects(location: str) -> AsyncIterator[Objects]:
    """Open the store in a folder (a path or ``file:///…``), or one in memory (``memory://``) that ends with us.

    A folder is made when it is not there, and day-old leftovers of interrupted work in it are removed. Raises
    ValueError for a location of another kind and UnavailableError for a folder that cannot be used.
    """
    folder = _folder(location)
    if folder is not None:
        yield await to_thread.run_sync(FolderObjects.open, folder)
        return
    from obstore.store import MemoryStore  # noqa: PLC0415 0.1 s and 17 MB that a folder does not need

    from receiver.storage.bucket import BucketObjects  # noqa: PLC0415 imports obstore, see above

    try:
        scratch = await to_thread.run_sync(lambda: tempfile.TemporaryDirectory(prefix="receiver-"))
    except OSError as error:
        raise UnavailableError(f"no folder for temporary files ({error.strerror})") from None
    try:
        yield BucketObjects(MemoryStore(), "memory:///", Path(scratch.name))
    finally:
        await to_thread.run_sync(scratch.cleanup)


def _folder(location: str) -> Path | None:
    """Return the folder of a location, or None for the store in memory."""
    scheme, separator, rest = location.partition("://")
    if not separator:
        if not location.strip():
            raise ValueError("the artifact store needs a folder's path, file:///… or memory://")
        return Path(location)
    if scheme == "memory" and not rest.strip("/"):
        return None
    if scheme == "file":
        parts = urlsplit(location)
        if parts.netloc in {"", "localhost"} and parts.path.startswith("/"):
            return Path(unquote(parts.path))
        raise ValueError("the artifact store's URL must be file:/// and an absolute path")
    if scheme == "s3":
        raise ValueError("the artifact store cannot be s3:// yet: give a folder's path, file:///… or memory://")
    raise ValueError(f"the artifact store cannot be {scheme[:20]}://: give a folder's path, file:///… or memory://")
