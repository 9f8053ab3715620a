"""Samples into a file: WAV, FLAC, MP3 or raw PCM."""

import io
import wave
from array import array
from dataclasses import dataclass
from enum import StrEnum

from receiver.sandbox.flac import flac
from receiver.sandbox.mp3 import MP3_RATES, mp3
from receiver.sandbox.samples import little_endian


class Format(StrEnum):
    """The audio formats of both providers; the value is the file extension."""

    MP3 = "mp3"
    WAV = "wav"
    FLAC = "flac"
    PCM = "pcm"


MEDIA_TYPES = {
    Format.MP3: "audio/mpeg",
    Format.WAV: "audio/wav",
    Format.FLAC: "audio/flac",
    Format.PCM: "application/octet-stream",
}


@dataclass(frozen=True, slots=True)
class Encoding:
    """What a result is asked to be: format, samples a second, and kilobits a second where the format has them."""

    format: Format
    rate: int
    kilobits: int

    @property
    def possible_rate(self) -> int:
        """The rate asked for, or for MP3 the nearest one that the format has."""
        if self.format is not Format.MP3:
            return self.rate
        return min(MP3_RATES, key=lambda rate: abs(rate - self.rate))


def encode(samples: "array[int]", encoding: Encoding, name: str) -> bytes:
    """Return the file of signed 16 bit mono samples taken at `encoding.possible_rate`."""
    match encoding.format:
        case Format.MP3:
            return mp3(samples, encoding.possible_rate, encoding.kilobits, name)
        case Format.WAV:
            return _wav(samples, encoding.rate)
        case Format.FLAC:
            return flac(samples, encoding.rate)
        case Format.PCM:
            return little_endian(samples)


def _wav(samples: "array[int]", rate: int) -> bytes:
    """Return a RIFF file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(little_endian(samples))
    return buffer.getvalue()
