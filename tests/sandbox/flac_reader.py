"""A reader of verbatim FLAC written from RFC 9639 alone, to hold the encoder to it."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stream:
    """What a file holds."""

    rate: int
    samples: list[int]


def read_flac(content: bytes) -> Stream:
    """Return the samples; asserts magic, STREAMINFO, frame headers, both CRCs of each frame, and the MD5."""
    assert content[:4] == b"fLaC"
    assert content[4] == 0x80, "STREAMINFO, last block"
    assert int.from_bytes(content[5:8], "big") == 34
    info, at = content[8:42], 42
    packed = int.from_bytes(info[10:18], "big")
    rate, channels, depth, total = packed >> 44, packed >> 41 & 7, packed >> 36 & 31, packed & (1 << 36) - 1
    assert (channels + 1, depth + 1) == (1, 16)
    samples: list[int] = []
    number = 0
    while at < len(content):
        start = at
        assert content[at : at + 2] == b"\xff\xf8"
        size_code, rate_code = content[at + 2] >> 4, content[at + 2] & 15
        assert rate_code == 0
        assert content[at + 3] == 0b0000_1000, "mono, 16 bit"
        coded = chr(number).encode()
        assert content[at + 4 : at + 4 + len(coded)] == coded
        at += 4 + len(coded)
        if size_code == 0b0111:
            count = int.from_bytes(content[at : at + 2], "big") + 1
            at += 2
        else:
            assert size_code == 0b1100
            count = 4096
        assert content[at] == _remainder(content[start:at], 0x107, 8)
        assert content[at + 1] == 0b0_000001_0, "verbatim"
        at += 2
        samples += [
            int.from_bytes(content[place : place + 2], "big", signed=True) for place in range(at, at + 2 * count, 2)
        ]
        at += 2 * count
        assert int.from_bytes(content[at : at + 2], "big") == _remainder(content[start:at], 0x18005, 16)
        at += 2
        number += 1
    assert len(samples) == total
    little = b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples)
    assert hashlib.md5(little, usedforsecurity=False).digest() == info[18:34]
    return Stream(rate, samples)


def _remainder(content: bytes, polynomial: int, width: int) -> int:
    """Return a CRC by long division in GF(2): slow, but plainly the definition."""
    value = int.from_bytes(content, "big") << width
    for shift in range(value.bit_length() - 1, width - 1, -1):
        if value >> shift & 1:
            value ^= polynomial << (shift - width)
    return value
