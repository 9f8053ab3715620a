"""A reference audio from this disk: looked at before a byte of it is sent, then uploaded where a person can watch."""

from contextlib import nullcontext
from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from receiver.cli import screen
from receiver.cli.failures import CommandError, UsageError
from receiver.cli.screen import foreign
from receiver.cli.words import amount
from receiver.domain.errors import MediaError
from receiver.domain.input import LONGEST_SECONDS, MOST_BYTES, SHORTEST_SECONDS, length_problem
from receiver.sdk import Client
from receiver.storage.probe import probe

_TAKEN = (
    f"taken are MP3, WAV, FLAC, Ogg and M4A of {SHORTEST_SECONDS:g} seconds to {LONGEST_SECONDS / 60:g} minutes, "
    f"up to {MOST_BYTES // 1024**2} MiB"
)


def check_file(path: Path) -> int:
    """Judge a file as the service will and return its size. Raises UsageError for a folder, else CommandError."""
    if path.is_dir():
        raise UsageError(f"--audio: {path} is a folder", "give one audio file")
    try:
        size = path.stat().st_size
        with path.open("rb"):
            pass
    except OSError as error:
        raise CommandError(f"--audio: {path} cannot be read ({error.strerror})") from None
    if size > MOST_BYTES:
        raise CommandError(f"--audio: {path} is too large: {amount(size)}", _TAKEN)
    try:
        problem = length_problem(probe(path, None).duration_seconds)
    except MediaError as error:
        raise CommandError(f"--audio: {path} is no audio that can be used: {error}", _TAKEN) from None
    if problem is not None:
        raise CommandError(f"--audio: {path} {problem}")
    return size


async def upload(client: Client, path: Path, size: int) -> str:
    """Upload a file that was judged, shown on a terminal, and return what a request says to use it."""
    console = screen.console(error=True)
    bar = Progress(
        TextColumn("Uploading"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), console=console, transient=True
    )
    live = console.is_terminal and not console.is_dumb_terminal
    try:
        with bar if live else nullcontext():
            task = bar.add_task("", total=size)
            taken = await client.upload(path, on_sent=lambda piece: bar.advance(task, piece))
    except OSError as error:
        raise CommandError(f"--audio: {path} cannot be read ({error.strerror})") from None
    if live:
        length = "" if taken.duration_seconds is None else f", {taken.duration_seconds:.0f} s"
        screen.line("Uploaded ", foreign(path.name), f" ({amount(taken.size)}{length}).", error=True)
    return taken.reference
