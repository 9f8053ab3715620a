import io
import wave
from array import array

import pytest
from tinytag import TinyTag

from receiver.sandbox.encode import MEDIA_TYPES, Encoding, Format, encode
from receiver.sandbox.flac import crc8, crc16, flac
from receiver.sandbox.mp3 import MP3_RATES, silent_mp3
from receiver.sandbox.samples import big_endian, little_endian
from receiver.sandbox.tune import Recipe, synthesise
from tests.sandbox.flac_reader import read_flac

RATE = 16000


def tag_of(content: bytes, name: str) -> TinyTag:
    return TinyTag.get(filename=name, file_obj=io.BytesIO(content))


def test_a_tune_has_the_length_asked_for_and_can_be_heard() -> None:
    samples = synthesise(Recipe("tune", 1.5, RATE))
    assert len(samples) == 1.5 * RATE
    assert max(samples) > 3000
    assert min(samples) < -3000


def test_a_tune_stays_within_sixteen_bits_without_clipping() -> None:
    samples = synthesise(Recipe("loud", 3.0, RATE))
    assert max(abs(sample) for sample in samples) < 20000


def test_the_same_recipe_gives_the_same_tune() -> None:
    assert synthesise(Recipe("a", 2.0, RATE)) == synthesise(Recipe("a", 2.0, RATE))


def test_every_recipe_gives_a_tune_of_its_own() -> None:
    tunes = {synthesise(Recipe(f"key {number}", 2.0, 8000)).tobytes() for number in range(50)}
    assert len(tunes) == 50


def test_wav_is_what_the_wave_module_reads_back() -> None:
    samples = synthesise(Recipe("wav", 0.5, RATE))
    with wave.open(io.BytesIO(encode(samples, Encoding(Format.WAV, RATE, 0), "wav"))) as reader:
        assert (reader.getnchannels(), reader.getsampwidth(), reader.getframerate()) == (1, 2, RATE)
        assert reader.readframes(reader.getnframes()) == little_endian(samples)


def test_pcm_is_little_endian_samples_and_nothing_else() -> None:
    samples = array("h", [1, -2, 300])
    assert encode(samples, Encoding(Format.PCM, RATE, 0), "pcm") == b"\x01\x00\xfe\xff\x2c\x01"


@pytest.mark.parametrize("count", [1, 4095, 4096, 4097, 20000])
def test_flac_is_read_back_sample_for_sample_by_an_independent_reader(count: int) -> None:
    samples = synthesise(Recipe("flac", count / RATE, RATE))
    stream = read_flac(flac(samples, RATE))
    assert stream.rate == RATE
    assert stream.samples == list(samples)


def test_flac_checksums_have_their_published_check_values() -> None:
    # CRC-8/SMBUS and CRC-16/UMTS in the catalogue of parametrised CRC algorithms.
    assert crc8(b"123456789") == 0xF4
    assert crc16(b"123456789") == 0xFEE8


def test_flac_says_how_long_it_is() -> None:
    tag = tag_of(flac(synthesise(Recipe("flac", 2.0, RATE)), RATE), "a.flac")
    assert tag.samplerate == RATE
    assert tag.duration == pytest.approx(2.0)


@pytest.mark.parametrize(("rate", "kilobits"), [(16000, 32), (24000, 64), (32000, 128), (44100, 256), (22050, 64)])
def test_mp3_has_the_rate_the_bit_rate_and_the_length_asked_for(rate: int, kilobits: int) -> None:
    samples = synthesise(Recipe("mp3", 2.0, rate))
    tag = tag_of(encode(samples, Encoding(Format.MP3, rate, kilobits), "mp3"), "a.mp3")
    assert tag.samplerate == rate
    assert tag.bitrate == pytest.approx(kilobits)
    assert tag.duration == pytest.approx(2.0, abs=0.15)


@pytest.mark.parametrize("rate", MP3_RATES)
def test_silent_mp3_frames_are_valid_at_every_rate_of_the_format(rate: int) -> None:
    tag = tag_of(silent_mp3(2 * rate, rate, 64, "nobody"), "a.mp3")
    assert tag.title == "nobody"
    assert tag.samplerate == rate
    assert tag.duration == pytest.approx(2.0, abs=0.15)


def test_silence_still_differs_from_tune_to_tune() -> None:
    assert silent_mp3(RATE, RATE, 64, "one") != silent_mp3(RATE, RATE, 64, "other")


def test_a_rate_that_mp3_does_not_have_becomes_the_nearest_one() -> None:
    assert Encoding(Format.MP3, 10000, 64).possible_rate == 11025
    assert Encoding(Format.WAV, 10000, 64).possible_rate == 10000


def test_every_format_has_a_media_type() -> None:
    assert set(MEDIA_TYPES) == set(Format)


def test_byte_orders_are_each_others_mirror() -> None:
    samples = array("h", [0x0102])
    assert little_endian(samples) == big_endian(samples)[::-1] == b"\x02\x01"
