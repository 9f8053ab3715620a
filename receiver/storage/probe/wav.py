"""WAV: a RIFF file with a format and the samples (Microsoft's multimedia interface specification of 1991)."""

from receiver.storage.probe.source import Source, little, refuse

_CHUNK_HEADER = 8
_MOST_CHUNKS = 1000
#: What a program writes that cannot go back to fill in the size.
_UNKNOWN = 0xFFFF_FFFF
# Some programs count the header into the RIFF size; it is off by this much.
_HEADER_MISCOUNTED = 8
_FORMAT_AT_LEAST = 16
_PCM, _FLOAT, _EXTENSIBLE = 0x0001, 0x0003, 0xFFFE


def matches(head: bytes) -> bool:
    """Tell a WAV file by its first twelve bytes."""
    return head.startswith(b"RIFF") and head[8:12] == b"WAVE"


def seconds(source: Source, _begin: int) -> float:
    """Return the duration of a whole file."""
    riff_size = little(source.at(4, 4))
    place, bytes_a_second, block = 12, 0, 1
    for _ in range(_MOST_CHUNKS):
        header = source.at(place, _CHUNK_HEADER)
        if len(header) < _CHUNK_HEADER:
            raise refuse("the WAV file ends before its sound")
        size = little(header[4:])
        place += _CHUNK_HEADER
        if header[:4] == b"fmt ":
            bytes_a_second, block = _format(source.at(place, min(size, _FORMAT_AT_LEAST)))
        elif header[:4] == b"data":
            if not bytes_a_second:
                raise refuse("the WAV file does not tell its format")
            return _data_size(source, place, size, riff_size, block) / bytes_a_second
        place += size + size % 2
    raise refuse("the WAV file has too many parts")


def _data_size(source: Source, place: int, size: int, riff_size: int, block: int) -> int:
    held = source.size - place
    if size == _UNKNOWN or (size == 0 and riff_size in {0, _UNKNOWN}):
        if held % block:
            raise refuse("the WAV file is cut short within a sample")
        return held
    if size > held:
        raise refuse(f"the WAV file is cut short: {held} of {size} bytes of sound")
    if riff_size != _UNKNOWN and riff_size > source.size - _CHUNK_HEADER + _HEADER_MISCOUNTED:
        raise refuse("the WAV file is cut short after its sound")
    return size


def _format(data: bytes) -> tuple[int, int]:
    """Return bytes a second and bytes of one sample of all channels."""
    if len(data) < _FORMAT_AT_LEAST:
        raise refuse("the WAV file's format is cut short")
    kind, channels = little(data[0:2]), little(data[2:4])
    rate, bytes_a_second = little(data[4:8]), little(data[8:12])
    block, bits = little(data[12:14]), little(data[14:16])
    plain = kind not in {_PCM, _FLOAT, _EXTENSIBLE} or (
        block == channels * -(-bits // 8) and bytes_a_second == rate * block
    )
    if not (channels and rate and block and bytes_a_second and plain):
        raise refuse("the WAV file's format makes no sense")
    return bytes_a_second, block
