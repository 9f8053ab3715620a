"""Ogg with Vorbis, Opus, Speex or FLAC inside: page after page to the one that says it is the last (RFC 3533)."""

from receiver.storage.probe.source import MOST_STEPS, Source, big, little, refuse

_PAGE_HEADER = 27
_IS_FIRST, _IS_LAST = 0x02, 0x04
#: Of a page on which no packet ends.
_NO_POSITION = (1 << 64) - 1
_OPUS_RATE = 48000


def matches(head: bytes) -> bool:
    """Tell an Ogg file by its first four bytes."""
    return head.startswith(b"OggS")


def seconds(source: Source, begin: int) -> float:
    """Return the duration of a whole file."""
    place, position, has_ended = begin, 0, False
    serial, rate, skipped = _first_page(source, begin)
    for _ in range(MOST_STEPS):
        if place == source.size:
            break
        header = source.at(place, _PAGE_HEADER)
        if not header.startswith(b"OggS\x00"):
            raise refuse("the Ogg file is damaged or cut short between two pages")
        segments = source.at(place + _PAGE_HEADER, header[26]) if len(header) == _PAGE_HEADER else b""
        place += _PAGE_HEADER + len(segments) + sum(segments)
        if len(header) < _PAGE_HEADER or len(segments) < header[26] or place > source.size:
            raise refuse("the Ogg file is cut short within a page")
        if header[14:18] == serial:
            has_ended = bool(header[5] & _IS_LAST)
            if (granule := little(header[6:14])) != _NO_POSITION:
                position = max(position, granule)
    else:
        raise refuse("the Ogg file has too many pages")
    if not has_ended:
        raise refuse("the Ogg file is cut short: its last page is missing")
    return max(0, position - skipped) / rate


def _first_page(source: Source, begin: int) -> tuple[bytes, int, int]:
    """Return the stream's serial number, its samples a second, and how many of them are not heard."""
    header = source.at(begin, _PAGE_HEADER)
    if len(header) < _PAGE_HEADER or not header[5] & _IS_FIRST:
        raise refuse("the Ogg file does not begin with a stream")
    packet = source.at(begin + _PAGE_HEADER + header[26], 64)
    rate = skipped = 0
    if packet.startswith(b"\x01vorbis"):
        rate = little(packet[12:16])
    elif packet.startswith(b"OpusHead"):
        rate, skipped = _OPUS_RATE, little(packet[10:12])
    elif packet.startswith(b"Speex   "):
        rate = little(packet[36:40])
    elif packet.startswith(b"\x7fFLAC"):
        rate = big(packet[27:30]) >> 4
    if not rate:
        raise refuse("the Ogg file holds no sound of a known kind")
    return header[14:18], rate, skipped
