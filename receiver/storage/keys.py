"""What the key of an object may look like, the same for every kind of store."""

import re

_MOST_CHARACTERS = 512
# A part does not begin with a dot: neither "..", nor the store's own folders, nor a hidden file can be named.
_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")


def checked_key(key: str) -> str:
    """Return the key; raise ValueError for one that could leave the store or mean two things."""
    if len(key) > _MOST_CHARACTERS or not _KEY.fullmatch(key):
        raise ValueError(f"{key[:_MOST_CHARACTERS]!r} cannot be the key of an object")
    return key


def checked_range(start: int, end: int | None) -> None:
    """Raise ValueError for a range that runs backwards or begins before the object."""
    if start < 0 or (end is not None and end < start):
        raise ValueError(f"the range {start} to {end} is none")
