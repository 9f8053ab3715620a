"""Small audio files, made here byte by byte or by other people's encoders."""

import io
import math
import struct
import wave
from array import array
from importlib import import_module
from typing import Any

RATE = 8000


def tune(seconds: float, rate: int = RATE) -> bytes:
    """Samples of 16 bit, lowest byte first: a tone that grows."""
    count = int(seconds * rate)
    samples = array("h", (int(20_000 * at / count * math.sin(at / 9)) for at in range(count)))
    return samples.tobytes()


def wav(seconds: float = 1.0, *, channels: int = 1, rate: int = RATE) -> bytes:
    """A WAV file by the standard library."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(tune(seconds * channels, rate))
    return buffer.getvalue()


def riff(*chunks: tuple[bytes, bytes], size: int | None = None) -> bytes:
    """A RIFF file of chunks."""
    body = b"WAVE" + b"".join(
        name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for name, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


def wav_format(*, kind: int = 1, channels: int = 1, rate: int = RATE, bits: int = 16) -> bytes:
    """The content of a format chunk."""
    block = channels * bits // 8
    return struct.pack("<HHIIHH", kind, channels, rate, rate * block, block, bits)


def mp3(seconds: float = 1.0, *, rate: int = 44100, kilobits: int = 64) -> bytes:
    """An MP3 file by LAME."""
    encoder: Any = import_module("lameenc").Encoder()
    encoder.set_bit_rate(kilobits)
    encoder.set_in_sample_rate(rate)
    encoder.set_channels(1)
    encoder.set_quality(7)
    encoder.silence()
    return bytes(encoder.encode(tune(seconds, rate))) + bytes(encoder.flush())


def mp3_frame(*, content: bytes = b"") -> bytes:
    """One frame of MPEG 1 layer III, 128 kbit/s, 44.1 kHz, mono: 417 bytes, 1152 samples."""
    return (b"\xff\xfb\x90\xc0" + bytes(17) + content).ljust(417, b"\0")


def xing(frames: int) -> bytes:
    """A first frame that announces how many follow."""
    return mp3_frame(content=b"Xing" + struct.pack(">II", 1, frames))


def id3v2(size: int = 300, *, footer: bool = False) -> bytes:
    """A tag of ``size`` bytes at the beginning of a file."""
    coded = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x04\x00" + (b"\x10" if footer else b"\x00") + coded + bytes(size) + (bytes(10) if footer else b"")


def id3v1() -> bytes:
    """A tag at the end of a file."""
    return b"TAG" + bytes(125)


def ape() -> bytes:
    """A tag at the end of a file, with header and footer."""
    flags = 1 << 31
    return (
        struct.pack("<8sIIII8s", b"APETAGEX", 2000, 32 + 20, 1, flags, b"")
        + bytes(20)
        + struct.pack("<8sIIII8s", b"APETAGEX", 2000, 32 + 20, 1, flags, b"")
    )


def flac(
    seconds: float = 1.0,
    *,
    block: int = 1024,
    counts_samples: bool = False,
    knows_length: bool = True,
    tag: bytes = b"",
) -> bytes:
    """A FLAC file of verbatim frames: mono, 16 bit, 8 kHz (RFC 9639)."""
    samples = array("h", tune(seconds))
    frames = []
    for number, begin in enumerate(range(0, len(samples), block)):
        part = samples[begin : begin + block]
        sync = 0xFFF9 if counts_samples else 0xFFF8
        # 0x74: the number of samples follows in 16 bits, the rate is 8 kHz; 0x08: one channel of 16 bit.
        head = struct.pack(">H", sync) + b"\x74\x08" + _coded(begin if counts_samples else number)
        head += struct.pack(">H", len(part) - 1)
        head += bytes([_crc(head, 0x07, 8)])
        frame = head + b"\x02" + struct.pack(f">{len(part)}h", *part)
        frames.append(frame + struct.pack(">H", _crc(frame, 0x8005, 16)))
    sizes = [len(frame) for frame in frames]
    packed = RATE << 44 | 15 << 36 | (len(samples) if knows_length else 0)
    info = struct.pack(">HH", block, block) + min(sizes).to_bytes(3, "big") + max(sizes).to_bytes(3, "big")
    info += packed.to_bytes(8, "big") + bytes(16)
    comment = b"\x00" * 40
    blocks = b"\x00" + (34).to_bytes(3, "big") + info + b"\x84" + len(comment).to_bytes(3, "big") + comment
    return b"fLaC" + blocks + b"".join(frames)


def _coded(number: int) -> bytes:
    return chr(number).encode("utf-8", "surrogatepass")


def _crc(data: bytes, polynomial: int, bits: int) -> int:
    """Bit by bit, unlike the code under test."""
    remainder = 0
    for byte in data:
        remainder ^= byte << bits - 8
        for _ in range(8):
            remainder = remainder << 1 ^ (polynomial if remainder >> bits - 1 else 0)
            remainder &= (1 << bits) - 1
    return remainder


def ogg(*, packet: bytes | None = None, pages: int = 5, last: bool = True, granule: int = 48000 + 312) -> bytes:
    """An Ogg file of Opus, one second by its positions; its sound is zeros."""
    first = packet or b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 312, 48000, 0, 0)
    made = [_page(first, flags=2, granule=0, number=0), _page(b"OpusTags" + bytes(8), flags=0, granule=0, number=1)]
    for number in range(2, pages):
        at_end = number == pages - 1
        made.append(
            _page(
                bytes(400), flags=4 if at_end and last else 0, granule=granule * number // (pages - 1), number=number
            )
        )
    return b"".join(made)


def _page(packet: bytes, *, flags: int, granule: int, number: int) -> bytes:
    lacing = bytes([255] * (len(packet) // 255) + [len(packet) % 255])
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, granule, 7, number, 0, len(lacing))
    return head + lacing + packet


def box(kind: bytes, *content: bytes, size: int | None = None) -> bytes:
    """A box of an MP4 file."""
    data = b"".join(content)
    return struct.pack(">I4s", len(data) + 8 if size is None else size, kind) + data


def m4a(
    seconds: float = 2.0, *, handler: bytes = b"soun", description_last: bool = False, long_times: bool = False
) -> bytes:
    """An M4A file whose sound is zeros."""
    length = int(seconds * 44100)
    times = (
        struct.pack(">BxxxQQIQ", 1, 0, 0, 44100, length)
        if long_times
        else struct.pack(">BxxxIIII", 0, 0, 0, 44100, length)
    )
    media = box(b"mdia", box(b"mdhd", times, bytes(4)), box(b"hdlr", bytes(8), handler, bytes(13)))
    moov = box(b"moov", box(b"mvhd", bytes(100)), box(b"trak", box(b"tkhd", bytes(84)), media))
    parts = [box(b"mdat", bytes(1000)), moov]
    return b"".join([box(b"ftyp", b"M4A \0\0\0\0M4A mp42"), *(parts if description_last else reversed(parts))])
