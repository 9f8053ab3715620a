"""Puts the audio of results on this disk: names of ours only, no file ever replaced, every byte checked."""

import contextlib
import hashlib
import os
from pathlib import Path

from receiver.cli.failures import CommandError
from receiver.sdk import Client, DownloadError, Result, Task

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


def folder_for(path: Path) -> Path:
    """Make sure of the folder, before anything is asked for that costs money. Raises CommandError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"--out: {path} cannot be made a folder ({error.strerror})") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise CommandError(f"--out: nothing can be written into {path}")
    return path


def name_of(task: Task, result: Result) -> str:
    """Return the file name: our task id, the result's number, and an ending for its media type."""
    ending = _ENDINGS.get((result.artifact.media_type or "").partition(";")[0].lower(), "audio")
    return f"{task.id}-{result.index}.{ending}"


async def save(client: Client, task: Task, result: Result, folder: Path) -> Path:
    """Download one stored result; a file that holds that very audio already is left as it is.

    Raises CommandError for a file that holds something else, or audio that is not the task's.
    """
    path = folder / name_of(task, result)
    try:
        # Exclusive, and through no link: whoever may write into the folder cannot lead us elsewhere.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except FileExistsError as error:
        if _holds(path, result):
            return path
        raise CommandError(f"{path} cannot be written ({error.strerror})") from None
    except OSError as error:
        raise CommandError(f"{path} cannot be written ({error.strerror})") from None
    complete = False
    try:
        with os.fdopen(descriptor, "wb") as file:
            await client.download(task, result, file)
        complete = True
    except DownloadError as error:
        raise CommandError(f"{path} was not kept: {error}") from None
    except OSError as error:
        raise CommandError(f"{path} cannot be written ({error.strerror})") from None
    finally:
        if not complete:
            with contextlib.suppress(OSError):
                path.unlink()
    return path


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
