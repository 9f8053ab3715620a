"""A file as the readers of formats see it: bytes at places, numbers in bytes, and one way to say no."""

import os
from typing import BinaryIO

from receiver.domain.errors import MediaRefusedError

# Every reader goes forward in steps; a file made of millions of tiny parts is no music and would take minutes.
MOST_STEPS = 1_000_000


class Source:
    """An open file and its size in bytes."""

    def __init__(self, file: BinaryIO) -> None:
        """The file must be open for reading, and stays the caller's to close."""
        self._file = file
        self.size = os.fstat(file.fileno()).st_size

    def at(self, place: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``place`` on, fewer where the file ends."""
        self._file.seek(place)
        return self._file.read(length)


def little(data: bytes) -> int:
    """Read an unsigned number, lowest byte first."""
    return int.from_bytes(data, "little")


def big(data: bytes) -> int:
    """Read an unsigned number, highest byte first."""
    return int.from_bytes(data, "big")


def refuse(why: str) -> MediaRefusedError:
    """Return the refusal to raise. ``why`` holds words of ours and numbers, nothing out of the file."""
    return MediaRefusedError(why)
