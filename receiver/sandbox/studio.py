"""Renders tunes off the event loop, and keeps the latest in memory; a tune that was dropped is rendered anew."""

from collections import OrderedDict

import anyio
from anyio.to_thread import run_sync

from receiver.sandbox.encode import Encoding, encode
from receiver.sandbox.tune import Recipe, synthesise

_KEPT_BYTES = 64 * 1024 * 1024
_THREADS = 2


class Studio:
    """Audio for recipes. Memory stays bounded however many results there are, because a recipe always repeats."""

    def __init__(self) -> None:
        """Start with nothing rendered."""
        self._kept: OrderedDict[tuple[Recipe, Encoding], bytes] = OrderedDict()
        self._kept_bytes = 0
        self._limiter = anyio.CapacityLimiter(_THREADS)

    async def render(self, recipe: Recipe, encoding: Encoding) -> bytes:
        """Return the encoded audio."""
        key = (recipe, encoding)
        audio = self._kept.get(key)
        if audio is None:
            audio = await run_sync(_render, recipe, encoding, limiter=self._limiter)
            self._keep(key, audio)
        else:
            self._kept.move_to_end(key)
        return audio

    def _keep(self, key: tuple[Recipe, Encoding], audio: bytes) -> None:
        """Remember the audio, and forget the longest unused above the limit."""
        if key not in self._kept:
            self._kept[key] = audio
            self._kept_bytes += len(audio)
        while self._kept_bytes > _KEPT_BYTES and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._kept_bytes -= len(dropped)


def _render(recipe: Recipe, encoding: Encoding) -> bytes:
    """Return the encoded audio; runs in a thread."""
    return encode(synthesise(recipe), encoding, recipe.key)
