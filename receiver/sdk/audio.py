"""The calls that move audio: a reference up, results down; every byte is checked and no file is ever replaced."""

import asyncio
import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO

from receiver.sdk.connection import Connection, segment
from receiver.sdk.errors import DownloadError, UnexpectedAnswerError
from receiver.sdk.values import Input, Result, Task, input_of

_PIECE_BYTES = 256 * 1024
#: File endings by the service's closed list of media types.
_ENDINGS = {
    "audio/mpeg": "mp3",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/flac": "flac",
    "audio/x-flac": "flac",
    "audio/ogg": "ogg",
    "audio/l16": "pcm",
    "audio/pcm": "pcm",
}


class AudioCalls(Connection):
    """What a program sends and fetches."""

    async def upload(self, audio: Path | bytes, *, on_sent: Callable[[int], object] = lambda _: None) -> Input:
        """Hand a reference audio to the service, a file or bytes; its ``reference`` then goes into a request.

        ``on_sent`` is told the size of each piece of a file as it goes. Raises InvalidRequestError for what is no
        audio, too short, too long or too large, and OSError for a file that cannot be read.
        """
        digest = hashlib.sha256()
        if isinstance(audio, bytes):
            digest.update(audio)
            taken = await self._read(input_of, "POST", "v1/inputs", headers=_BYTES, content=audio)
        else:
            with await asyncio.to_thread(audio.open, "rb") as file:
                headers = {**_BYTES, "Content-Length": str(os.fstat(file.fileno()).st_size)}
                pieces = _pieces(file, digest, on_sent)
                taken = await self._read(input_of, "POST", "v1/inputs", headers=headers, content=pieces)
        if taken.sha256.lower() != digest.hexdigest():
            raise UnexpectedAnswerError("the service does not hold the audio that was sent")
        return taken

    async def download(self, task: Task, result: Result, into: BinaryIO) -> None:
        """Write the stored audio of a result into ``into``; length and sha256 must be those that the task names.

        Where the service sends us to its artifact store, we go there once, and without our key.
        """
        artifact = result.artifact
        if artifact.status != "stored" or artifact.size is None or artifact.sha256 is None:
            raise DownloadError(f"the audio is not stored, but {artifact.status}")
        digest, arrived = hashlib.sha256(), 0
        async with self._bytes(f"v1/tasks/{segment(task.id)}/results/{segment(result.id)}/audio") as answer:
            if "content-encoding" in answer.headers:
                raise DownloadError("the audio came encoded by something in between")
            async for chunk in answer.aiter_raw():
                arrived += len(chunk)
                if arrived > artifact.size:
                    raise DownloadError(f"the audio should have {artifact.size} bytes; more came")
                digest.update(chunk)
                into.write(chunk)
        if arrived != artifact.size:
            raise DownloadError(f"the audio should have {artifact.size} bytes; {arrived} came")
        if digest.hexdigest() != artifact.sha256.lower():
            raise DownloadError("the audio that came does not have the sha256 that the task names")

    async def save(self, task: Task, result: Result, folder: Path) -> Path:
        """Download the stored audio of a result into a file of ``folder``, which must be there; return its path.

        The file has its name once it is whole, and never replaces another: one that holds this very audio already
        is left as it is, for any other FileExistsError is raised.
        """
        path = folder / file_name(task, result)
        if await asyncio.to_thread(_is_there, path, result):
            return path
        part = folder / f".{path.name}.{secrets.token_hex(8)}.part"
        # Exclusive, and through no link: whoever may write into the folder cannot lead us elsewhere.
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            with os.fdopen(descriptor, "wb") as file:
                await self.download(task, result, file)
            _give_name(part, path)
        finally:
            with contextlib.suppress(OSError):
                part.unlink()
        return path


def file_name(task: Task, result: Result) -> str:
    """Return the file name: our task id, the result's number, and an ending for its media type."""
    ending = _ENDINGS.get((result.artifact.media_type or "").partition(";")[0].lower(), "audio")
    return f"{task.id}-{result.index}.{ending}"


#: What it is, the service finds out by itself.
_BYTES = {"Content-Type": "application/octet-stream"}


async def _pieces(file: BinaryIO, digest: "hashlib._Hash", on_sent: Callable[[int], object]) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
        digest.update(piece)
        yield piece
        on_sent(len(piece))


def _give_name(part: Path, path: Path) -> None:
    """Give a whole file its name unless that is taken. Raises FileExistsError."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links: the name is taken first, by an empty file of ours that is then replaced.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666))
        part.replace(path)


def _is_there(path: Path, result: Result) -> bool:
    """Tell whether the audio of a result is there already. Raises FileExistsError when it is something else."""
    if _holds(path, result):
        return True
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    return False


def _holds(path: Path, result: Result) -> bool:
    """Tell whether a plain file, no link, holds the audio of a result."""
    artifact = result.artifact
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size != artifact.size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == (artifact.sha256 or "").lower()
    except OSError:
        return False
