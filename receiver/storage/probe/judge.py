"""The judgement: which kind of audio a file is, whether it is whole, and how long it plays."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from receiver.domain.errors import MediaInterruptedError, MediaRefusedError
from receiver.lifecycle.ports import Probed
from receiver.storage.probe import flac, mp3, mp4, ogg, wav
from receiver.storage.probe.looks import looks_like
from receiver.storage.probe.source import Source, refuse
from receiver.storage.probe.tags import sound_begins

#: Raw PCM is 16 bit, lowest byte first, and tells nothing of itself.
_PCM_SAMPLE_BYTES = 2
_HEAD = 1024
_BUFFER = 256 * 1024
_LONGEST_SECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class _Kind:
    """``matches`` looks at the first bytes of the sound, ``seconds`` at all of the file."""

    media_type: str
    extension: str
    matches: Callable[[bytes], bool]
    seconds: Callable[[Source, int], float]


_KINDS = (
    _Kind("audio/wav", "wav", wav.matches, wav.seconds),
    _Kind("audio/flac", "flac", flac.matches, flac.seconds),
    _Kind("audio/ogg", "ogg", ogg.matches, ogg.seconds),
    _Kind("audio/mp4", "m4a", mp4.matches, mp4.seconds),
)
_MP3 = _Kind("audio/mpeg", "mp3", mp3.matches, mp3.seconds)


def probe(path: Path, wanted: tuple[str, int] | None) -> Probed:
    """Return what audio a file is. Blocks.

    ``wanted`` is None, or ``("pcm", samples a second)`` where headerless PCM was asked for: then bytes of no other
    known kind are taken for it. A whole file of a known kind is taken for what it is, whatever was asked for. Raises
    MediaRefusedError for everything else, MediaInterruptedError when our disk cannot be read.
    """
    try:
        with path.open("rb", buffering=_BUFFER) as file:
            return _judged(Source(file), wanted)
    except OSError as error:
        raise MediaInterruptedError(f"our disk: {error.strerror or type(error).__name__}") from None


def _judged(source: Source, wanted: tuple[str, int] | None) -> Probed:
    if source.size == 0:
        raise refuse("the file is empty")
    begin = sound_begins(source)
    head = source.at(begin, _HEAD)
    for kind in _KINDS:
        if kind.matches(head):
            return _measured(kind, source, begin)
    rate = wanted[1] if wanted is not None and wanted[0] == "pcm" else None
    if begin > 0 or mp3.matches(head):
        try:
            return _measured(_MP3, source, begin)
        except MediaRefusedError:
            # Loud samples can look like the four bytes of a frame; only a tag is no chance.
            if rate is None or begin > 0:
                raise
    what = looks_like(head)
    if what is not None:
        raise refuse(f"looks like {what}, not audio")
    if rate is None:
        raise refuse("not audio of a known kind")
    return _pcm(source)


def _measured(kind: _Kind, source: Source, begin: int) -> Probed:
    return Probed(kind.media_type, kind.extension, _plausible(kind.seconds(source, begin)))


def _pcm(source: Source) -> Probed:
    """Take headerless samples; how long they play hangs on the channels, whose number nobody documents."""
    if source.size % _PCM_SAMPLE_BYTES:
        raise refuse("not PCM of 16 bit: the number of bytes is odd")
    return Probed("audio/L16", "pcm", None)


def _plausible(seconds: float) -> float:
    if not 0 < seconds < _LONGEST_SECONDS:
        raise refuse("the file plays for no time, or for ever")
    return seconds
