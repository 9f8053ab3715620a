"""A small tune, synthesised: a plucked melody over a bass, on a common chord progression.

Pure Python, so it is built from what is fast there: a few periods of each note repeated, one envelope for each
length, their products in C (`map` over arrays), and a mix of two voices that is one addition.
"""

import math
import sys
from array import array
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from operator import add, mul, rshift
from random import Random

from receiver.sandbox.samples import little_endian

_CYCLES = 8
_LEVEL_BITS = 12
_RAISED = 0x4000
_PEAK = 9000
_CONCERT_PITCH_HERTZ = 440.0
_CONCERT_NOTE = 69
_BARS_OF_A_PHRASE = 4

# Relative strength of the first harmonics: something between a guitar and an electric piano, and a round bass.
_VOICES = {"lead": (1.0, 0.45, 0.22, 0.1), "bass": (1.0, 0.5, 0.12)}

# Semitones above the root; the chords of a bar are I V vi IV and relatives.
_PENTATONIC = (0, 2, 4, 7, 9, 12, 14, 16)
_PROGRESSIONS = ((0, 7, 9, 5), (0, 9, 5, 7), (9, 5, 0, 7), (0, 5, 9, 7), (0, 5, 0, 7))
_BEATS_PER_MINUTE = (88, 104, 120)
_ROOTS = (57, 60, 62, 65)
# Rhythms of a bar of four half-beats.
_RHYTHMS = ((1, 1, 2), (2, 1, 1), (1, 2, 1), (2, 2), (1, 1, 1, 1))
# A melody walks: mostly to a neighbouring tone, at times a leap.
_WALK = (-2, -1, -1, 0, 1, 1, 2)
_REST_SHARE = 0.08


@dataclass(frozen=True, slots=True)
class Recipe:
    """What makes a tune unique and how it is sampled: mono, 16 bit, `rate` samples a second."""

    key: str
    seconds: float
    rate: int


def synthesise(recipe: Recipe) -> "array[int]":
    """Return the samples of the tune, signed 16 bit, mono; the same recipe gives the same samples."""
    random = Random(recipe.key)
    total = max(1, round(recipe.seconds * recipe.rate))
    step = max(1, round(60 / random.choice(_BEATS_PER_MINUTE) / 2 * recipe.rate))
    root, chords = random.choice(_ROOTS), random.choice(_PROGRESSIONS)
    motif = [_bar(random), _bar(random)]
    lead, bass = bytearray(), bytearray()
    bar = 0
    while len(bass) < 2 * total:
        place = bar % _BARS_OF_A_PHRASE
        if place == _BARS_OF_A_PHRASE - 1:
            motif[1] = _bar(random)
        for degree, length in motif[bar % 2]:
            note = None if degree is None else root + degree
            lead += _note("lead", note, length * step, recipe.rate)
        low = root - 24 + chords[place]
        for note in (low, low + 12, low + 7, low + 12):
            bass += _note("bass", note, step, recipe.rate)
        bar += 1
    return _mixed(lead[: 2 * total], bass[: 2 * total])


def _mixed(one: bytearray, other: bytearray) -> "array[int]":
    """Return the sum of two voices, each sample of which is raised by _RAISED.

    The voices are added as two very large numbers, in one step: raised samples are positive and their sums stay
    within 16 bits, so nothing carries over. What remains raised by twice 0x4000 is two's complement but for its
    top bit.
    """
    top_bits = int.from_bytes(b"\x00\x80" * (len(one) // 2), "little")
    total = (int.from_bytes(one, "little") + int.from_bytes(other, "little")) ^ top_bits
    samples = array("h", total.to_bytes(len(one), "little"))
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


def _bar(random: Random) -> list[tuple[int | None, int]]:
    """Return one bar as (semitones above the root or None for a rest, length in half-beats)."""
    place = random.randrange(len(_PENTATONIC))
    notes: list[tuple[int | None, int]] = []
    for length in random.choice(_RHYTHMS):
        place = min(len(_PENTATONIC) - 1, max(0, place + random.choice(_WALK)))
        rests = random.random() < _REST_SHARE
        notes.append((None if rests else _PENTATONIC[place], length))
    return notes


@lru_cache(maxsize=512)
def _note(voice: str, note: int | None, count: int, rate: int) -> bytes:
    """Return `count` samples of one plucked note (a MIDI number) or of a rest, little-endian, raised by _RAISED."""
    if note is None:
        return _RAISED.to_bytes(2, "little") * count
    cycles = _cycles(voice, note, rate)
    wave = cycles * (count // len(cycles) + 1)
    plucked = map(rshift, map(mul, wave, _envelope(count, rate)), repeat(_LEVEL_BITS))
    return little_endian(array("h", map(add, plucked, repeat(_RAISED))))


@lru_cache(maxsize=256)
def _cycles(voice: str, note: int, rate: int) -> "array[int]":
    """Return a few whole periods of a voice: enough that rounding to whole samples does not detune it."""
    period = rate / (_CONCERT_PITCH_HERTZ * 2 ** ((note - _CONCERT_NOTE) / 12))
    count = round(period * _CYCLES)
    turn = 2 * math.pi * _CYCLES / count
    harmonics = _VOICES[voice]
    scale = _PEAK / sum(harmonics)
    return array(
        "h",
        (
            round(scale * sum(part * math.sin(turn * place * index) for place, part in enumerate(harmonics, 1)))
            for index in range(count)
        ),
    )


@lru_cache(maxsize=64)
def _envelope(count: int, rate: int) -> tuple[int, ...]:
    """Return the level of each sample of a plucked note, 0 to 1 << _LEVEL_BITS: quick rise, long decay, soft end."""
    attack, release = max(1, rate // 100), max(1, rate // 50)
    full = 1 << _LEVEL_BITS
    return tuple(
        int(full * math.exp(-3.0 * index / count) * min(1.0, index / attack, (count - index) / release))
        for index in range(count)
    )
