"""Puts the audio of results on this disk, and says in words for a person why it could not."""

import os
from pathlib import Path

from receiver.cli.failures import CommandError
from receiver.sdk import Client, DownloadError, Result, Task, file_name


def folder_for(path: Path) -> Path:
    """Make sure of the folder, before anything is asked for that costs money. Raises CommandError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"--out: {path} cannot be made a folder ({error.strerror})") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise CommandError(f"--out: nothing can be written into {path}")
    return path


async def save(client: Client, task: Task, result: Result, folder: Path) -> Path:
    """Download one stored result; a file that holds that very audio already is left as it is.

    Raises CommandError for a file that holds something else, or audio that is not the task's.
    """
    path = folder / file_name(task, result)
    try:
        return await client.save(task, result, folder)
    except DownloadError as error:
        raise CommandError(f"{path} was not kept: {error}") from None
    except OSError as error:
        raise CommandError(f"{path} cannot be written ({error.strerror})") from None
