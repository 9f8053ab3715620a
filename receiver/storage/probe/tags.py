"""Tags that any kind of file may carry before and after its sound (ID3: https://id3.org, APE: MusicBrainz' wiki)."""

from receiver.storage.probe.source import Source, little, refuse

_ID3V2_HEADER = 10
_ID3V2_HAS_FOOTER = 0x10
_ID3V1 = 128
_APE = 32
_APE_HAS_HEADER = 1 << 31
_MOST_TAGS = 8


def sound_begins(source: Source) -> int:
    """Return where the ID3v2 tags at the beginning end, 0 without any; refuse one that the file does not hold."""
    place = 0
    for _ in range(_MOST_TAGS):
        header = source.at(place, _ID3V2_HEADER)
        if len(header) < _ID3V2_HEADER or not header.startswith(b"ID3"):
            return place
        if any(byte & 0x80 for byte in header[6:]):
            raise refuse("the ID3 tag makes no sense")
        size = header[6] << 21 | header[7] << 14 | header[8] << 7 | header[9]
        place += size + _ID3V2_HEADER * (2 if header[5] & _ID3V2_HAS_FOOTER else 1)
        if place > source.size:
            raise refuse("the file is cut short within its ID3 tag")
    raise refuse("the file has too many ID3 tags")


def sound_ends(source: Source) -> int:
    """Return where the tags at the end begin, the file's size without any."""
    end = source.size
    if end >= _ID3V1 and source.at(end - _ID3V1, 3) == b"TAG":
        end -= _ID3V1
    footer = source.at(end - _APE, _APE) if end >= _APE else b""
    if footer.startswith(b"APETAGEX"):
        header = _APE if little(footer[20:24]) & _APE_HAS_HEADER else 0
        end = max(0, end - little(footer[12:16]) - header)
    return end
