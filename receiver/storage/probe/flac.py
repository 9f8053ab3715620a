"""FLAC: the metadata at its beginning, and the last frame, which must end where the file does (RFC 9639)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from receiver.storage.probe.source import Source, big, refuse
from receiver.storage.probe.tags import sound_ends

_BLOCK_HEADER = 4
_IS_LAST_BLOCK = 0x80
_STREAMINFO = 34
_MOST_BLOCKS = 1000
_LONGEST_FRAME_HEADER = 16
_SHORTEST_FRAME_HEADER = 6
_FIXED_SYNC, _VARIABLE_SYNC = b"\xff\xf8", b"\xff\xf9"
_NO_RATE = 0x0F
_CONTINUES = 0b10
# Codes of the number of samples in a frame: one odd value, four steps from 576 on, and steps from 256 on.
_CODE_OF_192, _LAST_CODE_FROM_576 = 1, 5
# The longest frame of eight channels of 32 bit and 65535 samples, a little more.
_MOST_FRAME_BYTES = 2_200_000
# Bytes that begin like a frame occur by chance; the work to find out is limited.
_MOST_CHECKED_BYTES = 2 * _MOST_FRAME_BYTES


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What the first metadata block says; ``samples`` is 0 where the encoder did not know."""

    block_samples: int
    most_frame_bytes: int
    rate: int
    samples: int


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """``number`` counts frames, or samples where ``counts_samples``; ``samples`` are in this frame."""

    number: int
    counts_samples: bool
    samples: int

    @classmethod
    def read(cls, data: bytes) -> "FrameHeader | None":
        """Read a frame header at the beginning of ``data``; None when there is none with a right checksum."""
        if len(data) < _SHORTEST_FRAME_HEADER or data[:2] not in {_FIXED_SYNC, _VARIABLE_SYNC} or data[3] & 1:
            return None
        size_code, rate_code = data[2] >> 4, data[2] & 0x0F
        number, place = _coded_number(data, 4)
        if place == 0 or size_code == 0 or rate_code == _NO_RATE:
            return None
        extra = {6: 1, 7: 2}.get(size_code, 0)
        samples = big(data[place : place + extra]) + 1 if extra else _block_size(size_code)
        place += extra + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
        if place >= len(data) or crc8(data[:place]) != data[place]:
            return None
        return cls(number, data[:2] == _VARIABLE_SYNC, samples)

    def end(self, info: StreamInfo) -> int:
        """Return how many samples of the stream lie before the end of this frame."""
        begin = self.number if self.counts_samples else self.number * info.block_samples
        return begin + self.samples


def matches(head: bytes) -> bool:
    """Tell a FLAC file by its first four bytes."""
    return head.startswith(b"fLaC")


def seconds(source: Source, begin: int) -> float:
    """Return the duration of a whole file."""
    info, place = _metadata(source, begin)
    end = sound_ends(source)
    first = FrameHeader.read(source.at(place, _LONGEST_FRAME_HEADER))
    if first is None or first.number != 0:
        raise refuse("the FLAC file has no sound behind its metadata")
    # Zero is no known limit; else some air, for a limit that is written too small.
    longest = min(2 * info.most_frame_bytes or _MOST_FRAME_BYTES, _MOST_FRAME_BYTES)
    tail_begin = max(place, end - longest)
    samples = _samples_at_end(source.at(tail_begin, end - tail_begin), info)
    if samples is None:
        raise refuse("the FLAC file is cut short or damaged at its end")
    return samples / info.rate


def _metadata(source: Source, begin: int) -> tuple[StreamInfo, int]:
    """Return what the metadata says and where it ends."""
    place = begin + 4
    info = None
    for _ in range(_MOST_BLOCKS):
        header = source.at(place, _BLOCK_HEADER)
        size = big(header[1:])
        place += _BLOCK_HEADER
        if len(header) < _BLOCK_HEADER or place + size > source.size:
            raise refuse("the FLAC file is cut short within its metadata")
        if info is None:
            if header[0] & 0x7F or size < _STREAMINFO:
                raise refuse("the FLAC file does not begin with its format")
            info = _stream_info(source.at(place, _STREAMINFO))
        place += size
        if header[0] & _IS_LAST_BLOCK:
            return info, place
    raise refuse("the FLAC file has too much metadata")


def _stream_info(data: bytes) -> StreamInfo:
    packed = big(data[10:18])
    info = StreamInfo(
        block_samples=big(data[2:4]),
        most_frame_bytes=big(data[7:10]),
        rate=packed >> 44,
        samples=packed & (1 << 36) - 1,
    )
    if not (info.rate and info.block_samples):
        raise refuse("the FLAC file's format makes no sense")
    return info


def _samples_at_end(tail: bytes, info: StreamInfo) -> int | None:
    """Return the stream's length by the frame that ends with ``tail``, None when no frame does.

    A frame does when its header is right, when it ends where the format says the stream does, and when its CRC-16,
    which covers all of it, comes out even.
    """
    left = _MOST_CHECKED_BYTES
    for place in _syncs_from_the_end(tail):
        header = FrameHeader.read(tail[place : place + _LONGEST_FRAME_HEADER])
        if header is None or info.samples not in {0, header.end(info)}:
            continue
        left -= len(tail) - place
        if left < 0:
            return None
        if crc16(tail[place:]) == 0:
            return header.end(info)
    return None


def _syncs_from_the_end(tail: bytes) -> Iterator[int]:
    place = tail.rfind(b"\xff")
    while place >= 0:
        if tail[place : place + 2] in {_FIXED_SYNC, _VARIABLE_SYNC}:
            yield place
        place = tail.rfind(b"\xff", 0, place)


def _coded_number(data: bytes, place: int) -> tuple[int, int]:
    """Read a number coded the way UTF-8 is, up to 36 bits; return it and the place behind it, 0 when it is wrong."""
    first = data[place]
    ones = 8 - (first ^ 0xFF).bit_length()
    if ones == 0:
        return first, place + 1
    following = data[place + 1 : place + ones]
    if ones in {1, 8} or len(following) < ones - 1 or any(byte >> 6 != _CONTINUES for byte in following):
        return 0, 0
    number = first & (0x7F >> ones)
    for byte in following:
        number = number << 6 | byte & 0x3F
    return number, place + ones


def _block_size(code: int) -> int:
    if code == _CODE_OF_192:
        return 192
    return 576 << (code - 2) if code <= _LAST_CODE_FROM_576 else 256 << (code - 8)


def crc8(data: bytes) -> int:
    """Return the checksum of a frame header (polynomial 0x07)."""
    remainder = 0
    for byte in data:
        remainder = _CRC_8[remainder ^ byte]
    return remainder


def crc16(data: bytes) -> int:
    """Return the checksum of a frame (polynomial 0x8005); 0 for a frame together with its own checksum."""
    remainder = 0
    for byte in data:
        remainder = (remainder & 0xFF) << 8 ^ _CRC_16[remainder >> 8 ^ byte]
    return remainder


def _table(polynomial: int, bits: int) -> Iterable[int]:
    for byte in range(256):
        remainder = byte << bits - 8
        for _ in range(8):
            remainder = remainder << 1 ^ (polynomial if remainder >> bits - 1 & 1 else 0)
        yield remainder & (1 << bits) - 1


_CRC_8 = tuple(_table(0x07, 8))
_CRC_16 = tuple(_table(0x8005, 16))
