"""Opens the artifact store: objects under keys, in a folder, a bucket or memory, durable when a call returns."""

import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from anyio import to_thread

from receiver.domain.errors import UnavailableError
from receiver.lifecycle.ports import Objects
from receiver.storage.folder import FolderObjects
from receiver.storage.keys import checked_key

if TYPE_CHECKING:
    from obstore.store import ObjectStore, S3Config

#: A callback that is too large for the database waits for the store, and its sender waits for us.
_REQUEST_TIMEOUT = timedelta(seconds=30)
_CONNECT_TIMEOUT = timedelta(seconds=3)
_RETRIES = 2
_RETRY_TIMEOUT = timedelta(seconds=6)
#: What Amazon takes for the name of a bucket.
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class BucketAccess:
    """How to reach a bucket. What is None is taken from the environment's ``AWS_…`` variables or the machine."""

    endpoint_url: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)


_PLAIN = BucketAccess()


@asynccontextmanager
async def open_objects(location: str, access: BucketAccess = _PLAIN) -> AsyncIterator[Objects]:
    """Open the store in a folder (a path or ``file:///…``), in a bucket (``s3://bucket/prefix``), or one in memory
    (``memory://``) that ends with us.

    A folder is made when it is not there, and day-old leftovers of interrupted work in it are removed; a bucket must
    be there, and is not asked before it is needed. Raises ValueError for a location of another kind and
    UnavailableError for a folder that cannot be used.
    """
    folder = _folder(location)
    if folder is not None:
        yield await to_thread.run_sync(FolderObjects.open, folder)
        return
    from receiver.storage.bucket import BucketObjects  # noqa: PLC0415 obstore: 0.1 s and 17 MB not needed for a folder

    store, url = _bucket(location, access)
    try:
        scratch = await to_thread.run_sync(lambda: tempfile.TemporaryDirectory(prefix="receiver-"))
    except OSError as error:
        raise UnavailableError(f"no folder for temporary files ({error.strerror})") from None
    try:
        yield BucketObjects(store, url, Path(scratch.name))
    finally:
        await to_thread.run_sync(scratch.cleanup)


def check_location(location: str) -> None:
    """Raise ValueError for a location that ``open_objects`` does not know, without making anything."""
    _folder(location)


def _bucket(location: str, access: BucketAccess) -> "tuple[ObjectStore, str]":
    """Return the store of a location that is no folder, and its URL with a slash at the end."""
    from obstore.exceptions import BaseError  # noqa: PLC0415 see above
    from obstore.store import MemoryStore, S3Store  # noqa: PLC0415 see above

    if location.startswith("memory:"):
        return MemoryStore(), "memory:///"
    parts = urlsplit(location)
    config: S3Config = {}
    if access.endpoint_url is not None:
        config["endpoint"] = access.endpoint_url
    if access.region is not None:
        config["region"] = access.region
    if access.access_key_id is not None and access.secret_access_key is not None:
        config["access_key_id"] = access.access_key_id
        config["secret_access_key"] = access.secret_access_key
    try:
        store = S3Store(
            parts.netloc,
            prefix=parts.path.strip("/") or None,
            config=config,
            client_options={
                "timeout": _REQUEST_TIMEOUT,
                "connect_timeout": _CONNECT_TIMEOUT,
                "allow_http": (access.endpoint_url or "").startswith("http://"),
            },
            retry_config={"max_retries": _RETRIES, "retry_timeout": _RETRY_TIMEOUT},
        )
    except BaseError:
        # Its text may hold what it was given.
        raise ValueError(f"the bucket {parts.netloc} cannot be opened with these settings") from None
    return store, f"{location.rstrip('/')}/"


def _folder(location: str) -> Path | None:
    """Return the folder of a location, or None for a bucket and the store in memory."""
    scheme, separator, rest = location.partition("://")
    if not separator:
        if not location.strip():
            raise ValueError("the artifact store needs a folder's path, file:///…, s3://… or memory://")
        return Path(location)
    if scheme == "memory" and not rest.strip("/"):
        return None
    if scheme == "file":
        parts = urlsplit(location)
        if parts.netloc in {"", "localhost"} and parts.path.startswith("/"):
            return Path(unquote(parts.path))
        raise ValueError("the artifact store's URL must be file:/// and an absolute path")
    if scheme == "s3":
        parts = urlsplit(location)
        if parts.query or parts.fragment or not _BUCKET.fullmatch(parts.netloc):
            raise ValueError("the artifact store's URL must be s3://bucket or s3://bucket/prefix, nothing else")
        checked_key(parts.path.strip("/") or "none")
        return None
    raise ValueError(
        f"the artifact store cannot be {scheme[:20]}://: give a folder's path, file:///…, s3://… or memory://"
    )
