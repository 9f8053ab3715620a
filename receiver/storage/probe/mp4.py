"""M4A: boxes to the last byte, with a sound track and its samples among them (ISO 14496-12)."""

from collections.abc import Iterator

from receiver.storage.probe.source import Source, big, refuse

_HEADER = 8
_LONG_HEADER = 16
_MOST_BOXES = 10_000
_MOST_DESCRIPTION_BYTES = 16 * 1024 * 1024


def matches(head: bytes) -> bool:
    """Tell an MP4 file by its first eight bytes."""
    return head[4:8] == b"ftyp"


def seconds(source: Source, _begin: int) -> float:
    """Return the duration of a whole file's sound track."""
    place, description, has_samples = 0, None, False
    for _ in range(_MOST_BOXES):
        if place == source.size:
            break
        header = source.at(place, _LONG_HEADER)
        size, header_size = _box_size(header, source.size - place)
        if len(header) < _HEADER or size < header_size or place + size > source.size:
            raise refuse("the M4A file is cut short or damaged")
        if header[4:8] == b"moov":
            if size > _MOST_DESCRIPTION_BYTES:
                raise refuse("the M4A file's description is too large")
            description = source.at(place + header_size, size - header_size)
        elif header[4:8] == b"mdat":
            has_samples = has_samples or size > header_size
        place += size
    else:
        raise refuse("the M4A file has too many parts")
    if description is None or not has_samples:
        raise refuse("the M4A file lacks its description or its sound")
    return _sound_seconds(description)


def _sound_seconds(description: bytes) -> float:
    found = None
    for kind, track in _boxes(description):
        media = dict(_boxes(dict(_boxes(track)).get(b"mdia", b""))) if kind == b"trak" else {}
        handler = media.get(b"hdlr", b"")[8:12]
        if handler == b"vide":
            raise refuse("looks like a video, not audio")
        if handler == b"soun":
            found = _duration(media.get(b"mdhd", b""))
    if found is None:
        raise refuse("the MP4 file has no sound track")
    return found


def _duration(header: bytes) -> float:
    """Read a media header: version 1 has 64 bit times."""
    is_long = header[:1] == b"\x01"
    scale_at, size = (20, 8) if is_long else (12, 4)
    scale = big(header[scale_at : scale_at + 4])
    length = header[scale_at + 4 : scale_at + 4 + size]
    if len(length) < size or not scale or length == b"\xff" * size:
        raise refuse("the M4A file does not tell its duration")
    return big(length) / scale


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of the boxes in a box."""
    place = 0
    for _ in range(_MOST_BOXES):
        size, header_size = _box_size(data[place : place + _LONG_HEADER], len(data) - place)
        if size < header_size or place + size > len(data):
            return
        yield data[place + 4 : place + 8], data[place + header_size : place + size]
        place += size


def _box_size(header: bytes, rest: int) -> tuple[int, int]:
    """Return the size of a box and of its header; 0 in the file means up to the end, 1 that 64 bits follow."""
    size = big(header[:4])
    if size == 1 and len(header) == _LONG_HEADER:
        return big(header[8:16]), _LONG_HEADER
    return (rest if size == 0 else size), _HEADER
