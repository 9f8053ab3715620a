"""MP3: by LAME where the extra `sandbox` is installed, else valid frames of silence that carry the tune's name."""

import importlib
from array import array
from typing import Protocol

from receiver.sandbox.samples import little_endian

_RATES_MPEG_1 = (44100, 48000, 32000)
_RATES_MPEG_2 = (22050, 24000, 16000)
_RATES_MPEG_2_5 = (11025, 12000, 8000)
MP3_RATES = tuple(sorted(_RATES_MPEG_1 + _RATES_MPEG_2 + _RATES_MPEG_2_5))
_KBPS_MPEG_1 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBPS_MPEG_2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_FAST = 7


class _Lame(Protocol):
    """The part of `lameenc.Encoder` that is used; the package ships without types."""

    def set_bit_rate(self, kilobits: int) -> None: ...
    def set_in_sample_rate(self, rate: int) -> None: ...
    def set_out_sample_rate(self, rate: int) -> None: ...
    def set_channels(self, channels: int) -> None: ...
    def set_quality(self, quality: int) -> None: ...
    def silence(self) -> None: ...
    def encode(self, pcm: bytes) -> bytes: ...
    def flush(self) -> bytes: ...


def mp3(samples: "array[int]", rate: int, kilobits: int, name: str) -> bytes:
    """Return an MP3 of signed 16 bit mono samples at a constant bit rate, the nearest one the format has.

    `rate` must be one of MP3_RATES. `name` tells silent files apart.
    """
    encoder = _lame()
    if encoder is None:
        return silent_mp3(len(samples), rate, kilobits, name)
    encoder.set_bit_rate(kilobits)
    encoder.set_in_sample_rate(rate)
    encoder.set_out_sample_rate(rate)
    encoder.set_channels(1)
    encoder.set_quality(_FAST)
    encoder.silence()
    return bytes(encoder.encode(little_endian(samples))) + bytes(encoder.flush())


def _lame() -> _Lame | None:
    """Return a fresh encoder, or None where lameenc is not installed."""
    try:
        module = importlib.import_module("lameenc")
    except ImportError:
        return None
    encoder: _Lame = module.Encoder()
    return encoder


def silent_mp3(count: int, rate: int, kilobits: int, name: str) -> bytes:
    """Return frames of silence for `count` samples, led by an ID3v2 tag with `name` (ISO 11172-3, 13818-3)."""
    if rate in _RATES_MPEG_1:
        version, rates, table, samples_in_frame, side_bytes = 0b11, _RATES_MPEG_1, _KBPS_MPEG_1, 1152, 17
    elif rate in _RATES_MPEG_2:
        version, rates, table, samples_in_frame, side_bytes = 0b10, _RATES_MPEG_2, _KBPS_MPEG_2, 576, 9
    else:
        version, rates, table, samples_in_frame, side_bytes = 0b00, _RATES_MPEG_2_5, _KBPS_MPEG_2, 576, 9
    nearest = min(table, key=lambda step: abs(step - kilobits))
    length = samples_in_frame // 8 * nearest * 1000 // rate
    header = bytes(
        (
            0xFF,
            0b1110_0011 | (version << 3),  # rest of the sync word, version, layer III, no CRC
            (table.index(nearest) + 1) << 4 | rates.index(rate) << 2,
            0b1100_0000,  # one channel
        )
    )
    # Side information of zeros means no audio data in the frame: decoders give silence.
    frame = header + bytes(max(side_bytes, length - len(header)))
    frames = max(1, -(-count // samples_in_frame))
    return _id3_title(name) + frame * frames


def _id3_title(name: str) -> bytes:
    """Return an ID3v2.3 tag with one title frame."""
    text = b"\x00" + name.encode("latin-1", "replace")
    frame = b"TIT2" + len(text).to_bytes(4, "big") + b"\x00\x00" + text
    # Tag sizes have seven bits a byte.
    size = bytes((len(frame) >> shift) & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\x00\x00" + size + frame
