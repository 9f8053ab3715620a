"""What a file that is no audio looks like, in words of ours: so that a person knows what the provider sent."""

import codecs

_ENOUGH = 1024
#: First bytes of other kinds of files.
_KNOWN = (
    (b"\x1f\x8b\x08", "gzip"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"%PDF-", "a PDF document"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"\x1a\x45\xdf\xa3", "a Matroska or WebM file"),
    (b"RIFF", "a RIFF file of another kind than WAV"),
    (b"RF64", "a WAV file of more than 4 GiB"),
    (b"FORM", "an AIFF file"),
    (b"\x30\x26\xb2\x75", "a Windows Media file"),
    (b"MThd", "a MIDI file"),
    (b"#!AMR", "an AMR file"),
    (b"BZh", "bzip2"),
    (b"\x28\xb5\x2f\xfd", "Zstandard"),
    (b"\xfd7zXZ", "XZ"),
    (b"\x7fELF", "a program"),
)


def looks_like(head: bytes) -> str | None:
    """Name what begins with ``head``, or None when it may be anything."""
    for magic, name in _KNOWN:
        if head.startswith(magic):
            return name
    text = _as_text(head[:_ENOUGH])
    if text is None:
        return None
    begin = text.lstrip("\ufeff \t\r\n").lower()
    if begin.startswith("<?xml"):
        return "XML"
    if begin.startswith("<"):
        return "HTML" if "<html" in begin or begin.startswith("<!doctype") else "XML"
    return "JSON" if begin.startswith(("{", "[")) else "text"


def _as_text(head: bytes) -> str | None:
    try:
        # Not final: the last character may be cut in two.
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return None
    is_plain = all(letter.isprintable() or letter in "\ufeff\t\r\n\f" for letter in text)
    return text if text and is_plain else None
