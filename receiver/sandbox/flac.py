"""A FLAC encoder of the plainest kind: mono, 16 bit, every subframe stored verbatim (RFC 9639)."""

import hashlib
from array import array
from collections.abc import Iterable

from receiver.sandbox.samples import big_endian, little_endian

_BLOCK = 4096
_SYNC_OF_FIXED_BLOCKS = b"\xff\xf8"
_BLOCK_CODE_4096 = 0b1100
_BLOCK_CODE_SIZE_FOLLOWS = 0b0111
_MONO_16_BIT = 0b0000_100_0
_SUBFRAME_VERBATIM = b"\x02"
_STREAMINFO_AND_LAST = b"\x80"
_BITS_PER_SAMPLE = 16


def flac(samples: "array[int]", rate: int) -> bytes:
    """Return a FLAC file of signed 16 bit mono samples."""
    starts = range(0, len(samples), _BLOCK)
    frames = [_frame(samples[start : start + _BLOCK], number) for number, start in enumerate(starts)]
    info = _stream_info(samples, rate, [len(frame) for frame in frames])
    return b"".join((b"fLaC", _STREAMINFO_AND_LAST, len(info).to_bytes(3, "big"), info, *frames))


def _stream_info(samples: "array[int]", rate: int, frame_sizes: list[int]) -> bytes:
    """Return STREAMINFO: block and frame sizes, rate, channels, depth, length, MD5 (RFC 9639, section 8.2)."""
    channels_less_one = 0
    packed = (rate << 44) | (channels_less_one << 41) | ((_BITS_PER_SAMPLE - 1) << 36) | len(samples)
    return b"".join(
        (
            _BLOCK.to_bytes(2, "big") * 2,
            min(frame_sizes).to_bytes(3, "big"),
            max(frame_sizes).to_bytes(3, "big"),
            packed.to_bytes(8, "big"),
            hashlib.md5(little_endian(samples), usedforsecurity=False).digest(),
        )
    )


def _frame(block: "array[int]", number: int) -> bytes:
    """Return one frame: header and its CRC-8, one verbatim subframe, CRC-16 (RFC 9639, section 9)."""
    size_code = _BLOCK_CODE_4096 if len(block) == _BLOCK else _BLOCK_CODE_SIZE_FOLLOWS
    size = b"" if len(block) == _BLOCK else (len(block) - 1).to_bytes(2, "big")
    # The low half of the third byte is the rate: 0 means as in STREAMINFO. Frame numbers are coded as UTF-8 is.
    coded_number = chr(number).encode("utf-8", "surrogatepass")
    header = _SYNC_OF_FIXED_BLOCKS + bytes((size_code << 4, _MONO_16_BIT)) + coded_number + size
    frame = header + crc8(header).to_bytes(1, "big") + _SUBFRAME_VERBATIM + big_endian(block)
    return frame + crc16(frame).to_bytes(2, "big")


def crc8(content: bytes) -> int:
    """Return the CRC-8 of a frame header (polynomial 0x07)."""
    remainder = 0
    for byte in content:
        remainder = _CRC_8[remainder ^ byte]
    return remainder


def crc16(content: bytes) -> int:
    """Return the CRC-16 of a frame (polynomial 0x8005)."""
    remainder = 0
    for byte in content:
        remainder = ((remainder & 0xFF) << 8) ^ _CRC_16[(remainder >> 8) ^ byte]
    return remainder


def _crc_table(polynomial: int, width: int) -> Iterable[int]:
    """Yield the remainder of each byte for a most-significant-bit-first CRC."""
    top, mask = 1 << (width - 1), (1 << width) - 1
    for byte in range(256):
        remainder = byte << (width - 8)
        for _ in range(8):
            remainder = ((remainder << 1) ^ (polynomial if remainder & top else 0)) & mask
        yield remainder


_CRC_8 = tuple(_crc_table(0x07, 8))
_CRC_16 = tuple(_crc_table(0x8005, 16))
