"""MP3: frame after frame to the last byte (ISO 11172-3 and 13818-3, layer III)."""

from dataclasses import dataclass

from receiver.storage.probe.source import MOST_STEPS, Source, big, refuse
from receiver.storage.probe.tags import sound_ends

_HEADER = 4
#: The first eleven bits of a frame.
_SYNC = 0x7FF
_LAYER_III = 0b01
_MPEG_1, _MPEG_2, _MPEG_2_5 = 0b11, 0b10, 0b00
_RATES = {
    _MPEG_1: (44100, 48000, 32000),
    _MPEG_2: (22050, 24000, 16000),
    _MPEG_2_5: (11025, 12000, 8000),
}
_KILOBITS_MPEG_1 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KILOBITS_MPEG_2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MONO = 0b11
# Some writers round a file up with zeros.
_MOST_PADDING = 4096
_XING_HAS_FRAMES = 0b0001


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame's header, read."""

    version: int
    rate: int
    samples: int
    length: int
    side_information: int

    @classmethod
    def read(cls, header: bytes) -> "Frame | None":
        """Read four bytes; None when they begin no frame of layer III with a known length."""
        if len(header) < _HEADER or big(header[:2]) >> 5 != _SYNC:
            return None
        version, layer = header[1] >> 3 & 0b11, header[1] >> 1 & 0b11
        kilobits_code, rate_code = header[2] >> 4, header[2] >> 2 & 0b11
        is_possible = version in _RATES and rate_code < len(_RATES[version]) and kilobits_code not in {0, 15}
        if layer != _LAYER_III or not is_possible:
            return None
        rate = _RATES[version][rate_code]
        is_first = version == _MPEG_1
        kilobits = (_KILOBITS_MPEG_1 if is_first else _KILOBITS_MPEG_2)[kilobits_code - 1]
        samples = 1152 if is_first else 576
        length = samples // 8 * kilobits * 1000 // rate + (header[2] >> 1 & 1)
        is_mono = header[3] >> 6 == _MONO
        side_information = (17 if is_mono else 32) if is_first else (9 if is_mono else 17)
        return cls(version, rate, samples, length, side_information)


def matches(head: bytes) -> bool:
    """Tell whether these bytes begin with a frame; four bytes can also do so by chance."""
    return Frame.read(head[:_HEADER]) is not None


def seconds(source: Source, begin: int) -> float:
    """Return the duration of a whole file whose first frame is at ``begin``."""
    end = sound_ends(source)
    first = Frame.read(source.at(begin, _HEADER))
    if first is None:
        raise refuse("the file has an ID3 tag but no MP3 frame behind it")
    announced = _announced_frames(source, begin, first)
    place = begin if announced is None else begin + first.length
    frames = 0
    while place < end:
        frame = Frame.read(source.at(place, _HEADER))
        if frame is None or (frame.version, frame.rate) != (first.version, first.rate):
            if _is_padding(source.at(place, min(end - place, _MOST_PADDING + 1))):
                break
            raise refuse(f"the MP3 file is damaged or cut short after {frames} frames")
        place += frame.length
        if place > end:
            raise refuse(f"the MP3 file is cut short within frame {frames + 1}")
        frames += 1
        if frames > MOST_STEPS:
            raise refuse("the MP3 file has too many frames")
    # Whether the frame with the announcement counts itself differs by one between encoders.
    if announced is not None and frames < announced - 1:
        raise refuse(f"the MP3 file is cut short: {frames} of {announced} frames")
    return frames * first.samples / first.rate


def _announced_frames(source: Source, place: int, first: Frame) -> int | None:
    """Return how many frames the Xing or Info tag in the first frame announces (0: it does not say), None without."""
    tag = source.at(place + _HEADER + first.side_information, 12)
    if tag[:4] not in {b"Xing", b"Info"}:
        return None
    return big(tag[8:12]) if big(tag[4:8]) & _XING_HAS_FRAMES else 0


def _is_padding(rest: bytes) -> bool:
    return len(rest) <= _MOST_PADDING and not any(rest)
