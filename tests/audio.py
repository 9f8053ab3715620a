"""Real audio for tests that need a file of somebody's own."""

import io
import wave

_RATE = 16000


def song(seconds: float = 7.0) -> bytes:
    """Return a WAV file that plays for so long."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        size = round(seconds * _RATE) * 2
        file.writeframes((bytes(range(256)) * (size // 256 + 1))[:size])
    return buffer.getvalue()
