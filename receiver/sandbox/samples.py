"""Samples as bytes: signed 16 bit values in the byte order a format wants."""

import sys
from array import array


def little_endian(samples: "array[int]") -> bytes:
    """Return the samples as little-endian bytes (WAV, raw PCM, the MD5 of FLAC)."""
    return _ordered(samples, "little")


def big_endian(samples: "array[int]") -> bytes:
    """Return the samples as big-endian bytes (FLAC)."""
    return _ordered(samples, "big")


def _ordered(samples: "array[int]", order: str) -> bytes:
    if sys.byteorder == order:
        return samples.tobytes()
    swapped = samples[:]
    swapped.byteswap()
    return swapped.tobytes()
