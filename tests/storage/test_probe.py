"""What is taken for audio and what is not."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tinytag import TinyTag

from receiver.domain.errors import MediaInterruptedError, MediaRefusedError
from receiver.lifecycle.ports import Probed
from receiver.storage.probe import probe
from tests.storage.audio import (
    RATE,
    ape,
    box,
    flac,
    id3v1,
    id3v2,
    m4a,
    mp3,
    mp3_frame,
    ogg,
    riff,
    tune,
    wav,
    wav_format,
    xing,
)

PCM = ("pcm", 44100)


@pytest.fixture
def probed(tmp_path: Path) -> Callable[..., Probed]:
    """Probe bytes that lie in a file."""

    def in_a_file(data: bytes, wanted: tuple[str, int] | None = None) -> Probed:
        path = tmp_path / "anything"
        path.write_bytes(data)
        return probe(path, wanted)

    return in_a_file


@pytest.fixture
def reason(probed: Callable[..., Probed]) -> Callable[..., str]:
    """Why bytes are refused."""

    def of_bytes(data: bytes, wanted: tuple[str, int] | None = None) -> str:
        with pytest.raises(MediaRefusedError) as caught:
            probed(data, wanted)
        return str(caught.value)

    return of_bytes


Probing = Callable[..., Probed]
Refusing = Callable[..., str]

WHOLE: dict[str, tuple[bytes, str, str, float]] = {
    "wav": (wav(2.0), "audio/wav", "wav", 2.0),
    "wav, stereo": (wav(0.25, channels=2, rate=44100), "audio/wav", "wav", 0.25),
    "wav with a list first": (
        riff((b"LIST", b"INFOabc"), (b"fmt ", wav_format()), (b"data", bytes(RATE))),
        "audio/wav",
        "wav",
        0.5,
    ),
    "wav with a list last": (
        riff((b"fmt ", wav_format()), (b"data", bytes(RATE)), (b"LIST", b"INFO")),
        "audio/wav",
        "wav",
        0.5,
    ),
    "wav of floats": (riff((b"fmt ", wav_format(kind=3, bits=32)), (b"data", bytes(RATE))), "audio/wav", "wav", 0.25),
    "wav that miscounts its header": (
        riff((b"fmt ", wav_format()), (b"data", bytes(RATE)), size=36 + RATE + 8),
        "audio/wav",
        "wav",
        0.5,
    ),
    "mp3": (mp3(1.0), "audio/mpeg", "mp3", 40 * 1152 / 44100),
    "mp3, MPEG 2": (mp3(1.0, rate=16000, kilobits=32), "audio/mpeg", "mp3", 30 * 576 / 16000),
    "mp3, one frame": (mp3_frame(), "audio/mpeg", "mp3", 1152 / 44100),
    "mp3 with tags": (
        id3v2() + id3v2(5, footer=True) + mp3(1.0) + ape() + id3v1(),
        "audio/mpeg",
        "mp3",
        40 * 1152 / 44100,
    ),
    "mp3 with an announcement": (xing(40) + mp3_frame() * 40, "audio/mpeg", "mp3", 40 * 1152 / 44100),
    "mp3 whose announcement counts itself": (xing(41) + mp3_frame() * 40, "audio/mpeg", "mp3", 40 * 1152 / 44100),
    "mp3 whose announcement is empty": (xing(0) + mp3_frame() * 40, "audio/mpeg", "mp3", 40 * 1152 / 44100),
    "mp3 filled up with zeros": (mp3_frame() * 3 + bytes(500), "audio/mpeg", "mp3", 3 * 1152 / 44100),
    "flac": (flac(2.0), "audio/flac", "flac", 2.0),
    "flac in one short frame": (flac(0.01), "audio/flac", "flac", 0.01),
    "flac that counts samples": (flac(1.0, block=500, counts_samples=True), "audio/flac", "flac", 1.0),
    "flac that does not know its length": (flac(1.0, knows_length=False), "audio/flac", "flac", 1.0),
    "flac behind a tag": (id3v2() + flac(1.0), "audio/flac", "flac", 1.0),
    "flac before a tag": (flac(1.0) + id3v1(), "audio/flac", "flac", 1.0),
    "ogg opus": (ogg(), "audio/ogg", "ogg", 1.0),
    "ogg vorbis": (
        ogg(packet=b"\x01vorbis" + struct.pack("<IBIIIIBB", 0, 1, 16000, 0, 0, 0, 0, 1), granule=24000),
        "audio/ogg",
        "ogg",
        1.5,
    ),
    "m4a": (m4a(2.0), "audio/mp4", "m4a", 2.0),
    "m4a with its description last": (m4a(2.0, description_last=True), "audio/mp4", "m4a", 2.0),
    "m4a with long times": (m4a(2.0, long_times=True), "audio/mp4", "m4a", 2.0),
}


@pytest.mark.parametrize("what", WHOLE)
def test_a_whole_file_is_taken_for_what_it_is(probed: Probing, what: str) -> None:
    data, media_type, extension, seconds = WHOLE[what]
    for wanted in (None, PCM):
        got = probed(data, wanted)
        assert (got.media_type, got.extension) == (media_type, extension)
        assert got.duration_seconds == pytest.approx(seconds, abs=0.01)


@pytest.mark.parametrize("extension", ["wav", "mp3", "flac"])
def test_the_duration_is_what_another_reader_finds(tmp_path: Path, extension: str) -> None:
    data = {"wav": wav(3.0), "mp3": mp3(3.0, kilobits=128), "flac": flac(3.0)}[extension]
    path = tmp_path / f"a.{extension}"
    path.write_bytes(data)
    assert probe(path, None).duration_seconds == pytest.approx(TinyTag.get(path).duration, abs=0.06)


# --- cut short ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["wav", "wav, stereo", "flac", "flac that counts samples", "ogg opus", "m4a"])
def test_a_file_cut_short_anywhere_is_refused(probed: Probing, what: str) -> None:
    data = WHOLE[what][0]
    cuts = {*range(1, 120), *range(120, len(data), len(data) // 50), *range(len(data) - 30, len(data))}
    for length in sorted(cuts & set(range(len(data)))):
        for wanted in (None, PCM) if length > 12 else (None,):
            with pytest.raises(MediaRefusedError):
                probed(data[:length], wanted)


@pytest.mark.parametrize("description_last", [True, False])
def test_half_an_m4a_is_refused_wherever_its_description_is(reason: Refusing, description_last: bool) -> None:
    data = m4a(description_last=description_last)
    assert "cut short" in reason(data[: len(data) // 2])


def test_an_mp3_cut_within_a_frame_is_refused(probed: Probing) -> None:
    # Without an announcement a cut between two frames cannot be told, and between two frames only.
    data = mp3(0.1)
    played = []
    for length in range(1, len(data) + 1):
        try:
            played.append(probed(data[:length]).duration_seconds)
        except MediaRefusedError:
            continue
    assert played == [frames * 1152 / 44100 for frames in range(1, 6)]


def test_an_mp3_with_an_announcement_is_refused_wherever_it_is_cut(probed: Probing) -> None:
    data = xing(20) + mp3_frame() * 20
    for length in range(1, len(data) - 417, 13):
        with pytest.raises(MediaRefusedError):
            probed(data[:length])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (xing(40) + mp3_frame() * 20, "cut short: 20 of 40 frames"),
        (mp3_frame() * 3 + mp3_frame()[:100], "cut short within frame 4"),
        (mp3_frame() * 3 + bytes(5000), "damaged or cut short after 3 frames"),
        (mp3_frame() * 3 + b"<html>error</html>", "damaged or cut short after 3 frames"),
        (mp3_frame() * 3 + mp3(0.5, rate=16000), "damaged or cut short after 3 frames"),
        (id3v2(300)[:200], "cut short within its ID3 tag"),
        (id3v2(300) + b"<html>", "no MP3 frame behind it"),
        (id3v2(10) * 9, "too many ID3 tags"),
        (b"ID3\x04\x00\x00\xff\xff\xff\xff" + mp3_frame(), "ID3 tag makes no sense"),
        (riff((b"data", bytes(100))), "does not tell its format"),
        (riff((b"fmt ", wav_format())), "ends before its sound"),
        (riff((b"fmt ", wav_format()[:10]), (b"data", b"ab")), "format is cut short"),
        (riff((b"fmt ", wav_format(channels=0)), (b"data", b"ab")), "makes no sense"),
        (riff((b"fmt ", wav_format(rate=0)), (b"data", b"ab")), "makes no sense"),
        (riff((b"fmt ", wav_format()[:12] + b"\x07\x00\x10\x00"), (b"data", b"ab")), "makes no sense"),
        (riff((b"fmt ", wav_format()), (b"data", b"")), "plays for no time"),
        (riff(*[(b"junk", b"")] * 2000), "too many parts"),
        (riff((b"fmt ", wav_format()), (b"data", bytes(100)), size=5000), "cut short after its sound"),
        (b"fLaC\x84\x00\x00\x00", "does not begin with its format"),
        (flac(1.0)[:4] + bytes(4000), "does not begin with its format"),
        (flac(1.0).replace(b"\xff\xf8", b"\xff\x00"), "no sound behind its metadata"),
        (flac(1.0)[:-1] + b"\x55", "cut short or damaged at its end"),
        (flac(1.0)[: flac(1.0).rfind(b"\xff\xf8\x74\x08")], "cut short or damaged at its end"),
        (flac(1.0) + b"x", "cut short or damaged at its end"),
        (ogg(last=False), "its last page is missing"),
        (ogg() + b"garbage", "damaged or cut short between two pages"),
        (ogg(packet=b"\x80theora" + bytes(40)), "no sound of a known kind"),
        (ogg(granule=312), "plays for no time"),
        (b"OggS" + bytes(30), "does not begin with a stream"),
        (m4a(handler=b"vide"), "looks like a video"),
        (m4a(handler=b"text"), "no sound track"),
        (m4a(0.0), "plays for no time"),
        (box(b"ftyp", b"M4A ") + box(b"mdat", bytes(10)), "lacks its description"),
        (m4a().replace(b"mdat", b"free"), "lacks its description or its sound"),
        (m4a() + box(b"free", size=5), "cut short or damaged"),
        (box(b"ftyp", b"M4A ") + box(b"moov", bytes(17 * 1024 * 1024)), "description is too large"),
        (box(b"ftyp") + box(b"free") * 10_001, "too many parts"),
    ],
)
def test_a_damaged_file_is_refused_with_what_is_wrong(reason: Refusing, data: bytes, words: str) -> None:
    assert words in reason(data)


def test_a_wav_of_unknown_length_is_taken_up_to_its_end(probed: Probing, reason: Refusing) -> None:
    head = b"RIFF\xff\xff\xff\xffWAVEfmt " + struct.pack("<I", 16) + wav_format() + b"data\xff\xff\xff\xff"
    assert probed(head + bytes(RATE)).duration_seconds == 0.5
    assert "within a sample" in reason(head + bytes(RATE + 1))


# --- no audio at all ------------------------------------------------------------------------------------------

NO_AUDIO: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "the file is empty"),
    "HTML": (b"<!DOCTYPE html><html><body>Sign in to continue</body></html>", "looks like HTML, not audio"),
    "HTML after blanks": (b"\xef\xbb\xbf\r\n  <html lang='de'>\xc3\xbc" + b"x" * 5000, "looks like HTML, not audio"),
    "JSON": (b'{"error": {"message": "expired"}}', "looks like JSON, not audio"),
    "a list": (b'\n[{"code": "timeout"}]', "looks like JSON, not audio"),
    "XML": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "looks like XML, not audio"),
    "text": (b"upstream connect error or disconnect/reset before headers", "looks like text, not audio"),
    "text that is cut in a letter": ("ü".encode() * 600, "looks like text, not audio"),
    "gzip": (gzip.compress(wav(0.1)), "looks like gzip, not audio"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), "looks like a PNG picture, not audio"),
    "another RIFF": (b"RIFF\x24\0\0\0AVI " + bytes(28), "looks like a RIFF file of another kind than WAV, not audio"),
    "a film": (b"\x1a\x45\xdf\xa3" + bytes(100), "looks like a Matroska or WebM file, not audio"),
}


@pytest.mark.parametrize("what", NO_AUDIO)
def test_what_is_no_audio_is_refused_whatever_was_asked_for(reason: Refusing, what: str) -> None:
    data, words = NO_AUDIO[what]
    assert reason(data) == words
    assert reason(data, PCM) == words


def test_a_refusal_quotes_nothing_of_the_file(reason: Refusing) -> None:
    for data in (
        b"secret-token",
        b'{"secret": 1}',
        b"<secret/>",
        b"ID3secretsecret",
        b"\x00secret",
        mp3_frame() + b"secret",
    ):
        assert "secret" not in reason(data)


def test_bytes_of_no_known_kind_are_no_audio(reason: Refusing) -> None:
    assert reason(tune(1.0)) == "not audio of a known kind"


def test_pcm_is_taken_only_when_it_was_asked_for(probed: Probing, reason: Refusing) -> None:
    data = tune(1.0, 44100)
    got = probed(data, ("pcm", 44100))
    assert (got.media_type, got.extension) == ("audio/L16", "pcm")
    assert got.duration_seconds is None, "nobody says how many channels it has"
    assert reason(data, ("mp3", 44100)) == "not audio of a known kind"
    assert "odd" in reason(data[:-1], ("pcm", 44100))


def test_pcm_that_begins_like_an_mp3_frame_is_pcm(probed: Probing) -> None:
    data = b"\xff\xfb\x90\xc0" + tune(1.0)
    assert probed(data, PCM).extension == "pcm"


def test_a_file_that_cannot_be_read_is_our_fault(tmp_path: Path) -> None:
    with pytest.raises(MediaInterruptedError, match="our disk"):
        probe(tmp_path / "nothing", None)


# --- anything at all ------------------------------------------------------------------------------------------

ANY_CASE = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
BEGINNINGS = [
    b"",
    b"RIFF\x24\0\0\0WAVE",
    b"RIFF\x24\0\0\0WAVEfmt ",
    b"fLaC",
    b"fLaC\0\0\0\x22",
    b"OggS\0\x02",
    b"ID3\x04\0\0",
]
BEGINNINGS += [b"\xff\xfb\x90\xc0", b"\0\0\0\x08ftyp", b"\0\0\0\x08ftyp\0\0\0\x20moov", b"<", b"{"]


@ANY_CASE
@given(begin=st.sampled_from(BEGINNINGS), rest=st.binary(max_size=300), wanted=st.sampled_from([None, PCM]))
def test_any_bytes_are_audio_or_refused(
    probed: Probing, begin: bytes, rest: bytes, wanted: tuple[str, int] | None
) -> None:
    try:
        got = probed(begin + rest, wanted)
    except MediaRefusedError:
        return
    if got.extension == "pcm":
        assert got.duration_seconds is None
    else:
        assert got.duration_seconds is not None
        assert got.duration_seconds > 0


SMALL = [wav(0.05), flac(0.05), mp3_frame() * 4, xing(4) + mp3_frame() * 4, ogg(), m4a(), id3v2(20) + mp3_frame() * 2]


@ANY_CASE
@given(data=st.data())
def test_a_damaged_file_is_audio_or_refused(probed: Probing, data: st.DataObject) -> None:
    damaged = bytearray(data.draw(st.sampled_from(SMALL)))
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        got = probed(bytes(damaged[: data.draw(st.integers(1, len(damaged)))]))
    except MediaRefusedError:
        return
    assert got.duration_seconds is not None
    assert got.duration_seconds > 0


def test_a_file_made_to_waste_time_is_given_up(probed: Probing) -> None:
    """Every two bytes begin a frame; each could be asked for its checksum over all the rest."""
    whole = bytearray(flac(1.0, knows_length=False))
    # The longest frame is not told, so all of the end has to be looked at.
    whole[15:18] = bytes(3)
    head = b"\xff\xf8\x14\x08\x00"
    remainder = 0
    for byte in head:
        remainder ^= byte
        for _ in range(8):
            remainder = (remainder << 1 ^ (0x07 if remainder & 0x80 else 0)) & 0xFF
    with pytest.raises(MediaRefusedError, match="cut short or damaged"):
        probed(bytes(whole) + (head + bytes([remainder]) + b"\x01") * 250_000)
